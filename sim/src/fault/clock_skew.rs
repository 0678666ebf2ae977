//! `clock.skew`: the wall clock of a machine runs fast or slow.
//!
//! It models a crystal that nobody disciplines, because NTP is blocked or its server is gone: the clock gains `rate` seconds each
//! second. Two of them add up. Not modelled: a rate that follows the temperature, and monotonic time, which is right. Typical
//! values: 10 to 100 ppm for a cheap crystal, up to 500 ppm in hot cases (`ntpd` gives up beyond 500 ppm). The end heals: time
//! service is back, and corrects in one step what this fault has made of the clock.

use super::stage::Stage;

pub(crate) async fn play(stage: &Stage<'_>, node: &str, rate: f64) -> u64 {
    let machines = stage.machines(node);
    for machine in &machines {
        stage.world().drift_clock(&machine.name, rate);
    }
    if !stage.over().await {
        return 0;
    }
    let lasted = stage.world().now() - stage.start;
    let gained = (lasted.as_nanos() as f64 * rate) as i64;
    for machine in &machines {
        stage.world().drift_clock(&machine.name, -rate);
        stage.world().step_clock(&machine.name, -gained);
    }
    machines.len() as u64
}
