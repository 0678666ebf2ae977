//! `link.cap_reached`: the data allowance of a link is used up.
//!
//! It models a month that was longer than its gigabytes: the backup line is throttled, or carries nothing, as
//! `failover.data_cap` says; a link without an allowance carries nothing. What was really used goes on being counted, and decides
//! again after the end. Not modelled: a carrier that redirects to its shop (use `link.captive_portal`). Typical values: 2 GiB a
//! month for a backup SIM; throttles of 64 or 128 kbit/s. The end heals: the allowance was raised.

use super::stage::Stage;

pub(crate) async fn play(stage: &Stage<'_>, link: &str) -> u64 {
    let failover = stage.director.scenario.failover.as_ref();
    let has_cap = failover.is_some_and(|f| f.backup == link && f.data_cap.is_some());
    let world = stage.world();
    if !has_cap || !world.force_cap(true) {
        return super::link_down::play(stage, link).await;
    }
    let met = world.met_cap();
    if !stage.over().await {
        return 0;
    }
    let met = world.met_cap() - met;
    world.force_cap(false);
    met
}
