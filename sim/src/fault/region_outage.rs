//! `region.outage`: all stores of a region lose their primary line.
//!
//! It models a cut backbone, or a carrier's core: at one instant for all of them, and healed for each store later by `heal`, so that
//! they come back spread over that time. A run of one store plays it if the store is in that region. Not modelled: backup lines of
//! the same carrier (add a `link.down`). Typical values: 1 to 10 h (the FCC's outage reports, AT&T's core on 22 February 2024: 12 h).
//! The end heals.

use super::stage::Stage;
use crate::dist::Dist;

pub(crate) async fn play(stage: &Stage<'_>, is_ours: bool, heal: Option<&Dist>) -> u64 {
    let line = stage.director.scenario.primary_line();
    let Some(line) = line.filter(|_| is_ours) else {
        stage.over().await;
        return 0;
    };
    let refused = stage.world().refused_by(line);
    let number = stage.cut(line);
    if !stage.over().await {
        return 0;
    }
    if let Some(heal) = heal {
        tokio::time::sleep(heal.sample_duration(&mut stage.rng("heal"))).await;
    }
    stage.mend(line, number);
    stage.world().refused_by(line) - refused
}
