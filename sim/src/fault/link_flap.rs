//! `link.flap`: a link goes down and comes back by turns.
//!
//! It models an obstructed satellite dish, a loose plug, a modem that synchronises and fails: each time down for `down_for`, then
//! up for `up_for`, beginning with down. Both are drawn anew, from the fault's own stream. Not modelled: a line that is slow just
//! after it came back. Typical values: up 13 s, down 6 s for a satellite dish behind a tree (as in
//! `flapping-satellite.toml`). The end heals, in whichever turn it falls. A link is held down by whatever else holds it.

use std::time::Duration;

use super::stage::Stage;
use crate::dist::Dist;

/// A turn that would take no time takes this long: the script must come to its end.
const TURN_MIN: Duration = Duration::from_millis(10);

pub(crate) async fn play(stage: &Stage<'_>, link: &str, up_for: &Dist, down_for: &Dist) -> u64 {
    let refused = stage.world().refused_by(link);
    let mut rng = stage.rng("flap");
    let run_end = stage.director.scenario.duration;
    let until = stage.until.unwrap_or(run_end);
    let mut at = stage.start;
    while at < until {
        let number = stage.cut(link);
        at += down_for.sample_duration(&mut rng).max(TURN_MIN);
        tokio::time::sleep_until(stage.world().at(at.min(until))).await;
        // Without an end it flaps until the run is over, and then the line is there: what is under way must arrive.
        stage.mend(link, number);
        at += up_for.sample_duration(&mut rng).max(TURN_MIN);
        tokio::time::sleep_until(stage.world().at(at.min(until))).await;
    }
    stage.world().refused_by(link) - refused
}
