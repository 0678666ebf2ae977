//! `hq.slow`: head office is slow.
//!
//! It models a payment processor on a bad day and a telemetry back end that is being scaled: the time to authorise a payment and
//! the bytes a second that are taken in are replaced. Of two of them that set the same thing the one that began last wins. Not
//! modelled: a slow ledger, a slow handshake (`[hq] accepts`). Typical values: authorisations of 2 to 9 s, where 8 s is a till's
//! usual limit. The end heals: a request that is under way keeps its time.

use super::stage::Stage;
use crate::dist::Dist;

/// What is different; `None` stays as declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slow {
    /// Time to authorise a payment, seconds.
    pub auth: Option<Dist>,
    /// Bytes per second that it takes in.
    pub ingest_bytes_per_second: Option<f64>,
}

pub(crate) async fn play(stage: &Stage<'_>, slow: &Slow) -> u64 {
    let office = &stage.director.refusals;
    let (met, number) = (office.slowed(), office.slow_down(slow.clone()));
    if !stage.over().await {
        return 0;
    }
    office.speed_up(number);
    office.slowed() - met
}
