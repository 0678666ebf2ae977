//! `link.degrade`: a link is slower, longer or lossier than declared. A brownout.
//!
//! It models an evening when the neighbours watch films, rain on a radio link, a worn cable: capacity, one-way delay and loss are
//! replaced, and what is not given stays as it is. Of two of them that set the same thing the one that began last wins; what only
//! one of them sets stays. Not modelled: a queue of another size, a line that changes from minute to minute (use `link.trace`).
//! Typical values: 100 kbit/s up, 180 ms in the middle and seconds at worst, 6 % (as in `bad-day.toml`). The end heals: packets that start after it
//! meet the link as declared.

use super::stage::Stage;
use crate::link::Degrade;

pub(crate) async fn play(stage: &Stage<'_>, link: &str, change: (Degrade, Degrade)) -> u64 {
    stage.change(link, change).await
}
