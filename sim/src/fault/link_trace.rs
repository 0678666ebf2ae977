//! `link.trace`: a link's capacity follows a recording while it lasts.
//!
//! It models a line as somebody measured it: the recording is played from its beginning at the fault's beginning, upwards and
//! downwards, in place of what is declared; delay and loss stay. Not modelled: recorded delays. Recordings: `cooked` (Norway's
//! HSDPA and the FCC's broadband traces, as Pensieve uses them) and mahimahi's; see `recorded-line.toml`. A recording of a line
//! that carries nothing for minutes makes it dead for as long. Typical values: a mean of 0.4 to 5 Mbit/s, over 240 public files of those sets
//! and of Oboe's. Pensieve keeps only those that stay above 0.2 Mbit/s and below 6 in the mean (Mao et al., SIGCOMM 2017); others of the
//! same origin fall to nothing for seconds. A file does not say its unit, and sets differ: look at the mean. The end heals.

use std::sync::Arc;

use super::stage::Stage;
use crate::link::{Degrade, Trace};

pub(crate) async fn play(stage: &Stage<'_>, link: &str, recording: &Arc<Trace>) -> u64 {
    let change = Degrade {
        recording: Some((stage.start, Arc::clone(recording))),
        ..Degrade::default()
    };
    stage.change(link, (change.clone(), change)).await
}
