//! Which machines may run: everything that keeps one from it, counted.
//!
//! A machine that crashes while the power is gone, or boots while it is crashed, has several reasons not to run. It starts when
//! the last of them ends: started by each of them, its program would run twice. Decides nothing about when (`faults`, `one`)
//! and touches no world.

use std::collections::BTreeMap;

use crate::event::MachineId;

/// What keeps machines from running.
#[derive(Debug, Default)]
pub(crate) struct Holds(BTreeMap<MachineId, Hold>);

#[derive(Debug, Default)]
struct Hold {
    /// Crashes, power cuts and boots that last.
    stopped: u32,
    /// Power cuts that last.
    dark: u32,
}

impl Holds {
    /// A crash or a boot begins. Tells whether the machine ran until now.
    pub(crate) fn stop(&mut self, machine: MachineId) -> bool {
        let hold = self.0.entry(machine).or_default();
        hold.stopped += 1;
        hold.stopped == 1
    }

    /// The power goes. Tells whether the machine had any; balanced by [`power_back`](Self::power_back), and then by
    /// [`release`](Self::release) once it has booted.
    pub(crate) fn power_gone(&mut self, machine: MachineId) -> bool {
        let hold = self.0.entry(machine).or_default();
        hold.stopped += 1;
        hold.dark += 1;
        hold.dark == 1
    }

    /// A power cut ends. Tells whether the machine has power now; it does not run before it is released.
    ///
    /// # Panics
    /// If no power cut lasts.
    pub(crate) fn power_back(&mut self, machine: MachineId) -> bool {
        let hold = self.0.entry(machine).or_default();
        assert!(hold.dark > 0, "{machine:?} has power already");
        hold.dark -= 1;
        hold.dark == 0
    }

    /// A crash or a boot ends. Tells whether the machine may run now.
    ///
    /// # Panics
    /// If nothing holds the machine.
    pub(crate) fn release(&mut self, machine: MachineId) -> bool {
        let hold = self.0.entry(machine).or_default();
        assert!(hold.stopped > 0, "{machine:?} runs already");
        hold.stopped -= 1;
        hold.stopped == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: MachineId = MachineId(3);

    #[test]
    fn a_machine_starts_when_the_last_reason_ends() {
        let mut holds = Holds::default();
        assert!(holds.stop(M), "the first boot");
        assert!(!holds.stop(M), "a crash during it meets nothing");
        assert!(!holds.release(M));
        assert!(holds.release(M));
        assert!(holds.stop(M), "it ran");
    }

    #[test]
    fn power_is_back_when_the_last_cut_ends() {
        let mut holds = Holds::default();
        assert!(holds.power_gone(M));
        assert!(!holds.power_gone(M));
        assert!(!holds.stop(M));
        assert!(!holds.power_back(M));
        assert!(!holds.release(M));
        assert!(holds.power_back(M));
        assert!(!holds.release(M), "booted, and the crash lasts");
        assert!(holds.release(M));
    }
}
