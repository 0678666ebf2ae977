//! `link.trace`: a link's capacity follows a recording while it lasts.
//!
//! It models a line as somebody measured it: the recording is played from its beginning at the fault's beginning, upwards and
//! downwards, in place of what is declared; delay and loss stay. Not modelled: recorded delays. Recordings: `cooked` (Norway's
//! HSDPA and the FCC's broadband traces, as Pensieve uses them) and mahimahi's; see `recorded-line.toml`. A recording of a line
//! that carries nothing for minutes makes it dead for as long. Typical values: 0.2 Mbit/s at least and below 6 Mbit/s in the mean, which is
//! what Pensieve keeps of those two sets (Mao et al., SIGCOMM 2017). The end heals.

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
