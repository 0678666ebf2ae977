//! `clock.step`: the wall clock of a machine jumps.
//!
//! It models NTP that corrects a wrong clock in one go (`ntpd` steps beyond 128 ms, `chronyd` with `makestep`), a dead battery, an
//! operator with `date -s`. Only the wall clock jumps: timers are monotonic. Not modelled: leap seconds that are smeared, a step
//! across a change of the time zone (a store's clock is UTC, and is shown in its zone). Typical values: seconds to minutes, either
//! way. It happens at an instant and stays: the clock was corrected. Where `for` is given, the clock jumps back at the end. It bites
//! wherever a machine is: each of them has a clock.

use super::stage::Stage;

pub(crate) async fn play(stage: &Stage<'_>, node: &str, by_nanos: i64) -> u64 {
    let machines = stage.machines(node);
    for machine in &machines {
        stage.world().step_clock(&machine.name, by_nanos);
    }
    let lasts = stage.until.is_some_and(|end| end > stage.start);
    if lasts && stage.over().await {
        for machine in &machines {
            stage.world().step_clock(&machine.name, -by_nanos);
        }
    }
    machines.len() as u64
}
