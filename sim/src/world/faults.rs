//! What whoever plays faults may do to a world, and how it learns whether that bit.
//!
//! Nothing here counts who holds what: two faults on one thing are put together in `fault::stage`. Crashes and power cuts stand
//! in `mod`, faults of a disk in [`SimDisk`](super::disk::SimDisk).

use std::time::Duration;

use super::{NamesFail, World, lock};
use crate::link::Degrade;

impl World {
    /// Steps a machine's wall clock by `nanos`, forwards or back.
    pub fn step_clock(&self, machine: &str, nanos: i64) {
        lock(&self.0.machines[self.index(machine) as usize])
            .clock
            .step(nanos);
    }

    /// Lets a machine's wall clock gain so many seconds each second, besides what it gains already; negative loses.
    pub fn drift_clock(&self, machine: &str, by: f64) {
        lock(&self.0.machines[self.index(machine) as usize])
            .clock
            .drift(by);
    }

    /// Lets a machine stand still: its tasks do not move, and packets that reach it are lost, in TCP's sense.
    pub fn pause(&self, machine: &str) {
        let index = self.index(machine);
        lock(&self.0.machines[index as usize]).pause.begin();
        self.net().pause(index, true);
    }

    /// Lets it go on; gives the tasks that had something to do meanwhile.
    pub fn resume(&self, machine: &str) -> u64 {
        let index = self.index(machine);
        self.net().pause(index, false);
        lock(&self.0.machines[index as usize]).pause.end()
    }

    /// Packets that reached a machine without power, or one that stood still.
    pub fn missed_by(&self, machine: &str) -> u64 {
        let index = self.index(machine);
        self.caught_up().hosts[index as usize].missed
    }

    /// Cuts every line of this link's name, or brings them back.
    pub fn set_link_up(&self, link: &str, up: bool) {
        let lines = self.lines(link);
        let mut net = self.net();
        for line in lines {
            net.set_up(line, up);
        }
    }

    /// Makes every line of this link's name another one than declared, upwards and downwards, or heals it with `None`.
    pub fn degrade_link(&self, link: &str, change: Option<(Degrade, Degrade)>) {
        let lines = self.lines(link);
        let mut net = self.caught_up();
        let now = net.now();
        for line in lines {
            let delay = change.as_ref().and_then(|(up, _)| up.delay.as_ref());
            net.lines[line].delay_mean = match delay {
                Some(delay) => Duration::from_secs_f64(delay.mean()),
                None => net.lines[line].delay_declared,
            };
            net.lines[line].worse = change.clone();
            net.lines[line].change(now);
            net.wake_link(line);
        }
    }

    /// Packets that found this link down, or were taken out of its queue when it went down: whether a fault bit.
    pub fn refused_by(&self, link: &str) -> u64 {
        let lines = self.lines(link);
        let net = self.caught_up();
        lines.iter().map(|line| net.lines[*line].refused).sum()
    }

    /// Packets that came to this link while it was degraded and up: whether a fault bit.
    pub fn met_degraded(&self, link: &str) -> u64 {
        let lines = self.lines(link);
        let net = self.caught_up();
        lines.iter().map(|line| net.lines[*line].met_degraded).sum()
    }

    /// Says that the backup's allowance is used up, or says so no more; `false` where it has none. Calls are counted.
    pub fn force_cap(&self, begins: bool) -> bool {
        self.net().force_cap(begins)
    }

    /// Packets that met an allowance which was said to be used up.
    pub fn met_cap(&self) -> u64 {
        self.caught_up().met_cap()
    }

    /// Names outside of the store are not resolved from now on; the number ends it.
    pub fn fail_names(&self, how: NamesFail) -> u64 {
        self.net().names.begin(how)
    }

    /// They are again, as far as this number goes.
    pub fn heal_names(&self, number: u64) {
        self.net().names.end(number);
    }

    /// Look-ups that failed.
    pub fn failed_names(&self) -> u64 {
        self.net().names.met()
    }

    /// Takes the router's power, or gives it back: then it begins on its primary line.
    pub fn router_power(&self, on: bool) {
        self.net().router_power(on);
    }
}
