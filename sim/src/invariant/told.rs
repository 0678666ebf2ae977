//! Losses that were told: records of a journal that rotted on a disk. Who loses one and says so breaks no promise; who is silent does.
//!
//! A record is skipped when its machine starts, and it is told how many at most ([`Event::RecordsDamaged`]), not which: nobody can
//! read them. So of what is missing, as many are excused as were told after they had been written down, and no more.

use std::time::Duration;

use crate::{event::Event, metric::SeedLog};

/// What is missing, each with the time at which it was written down, without as many as were told to be damaged later.
pub(super) fn untold<T>(log: &SeedLog<'_>, mut missing: Vec<(Duration, T)>) -> Vec<(Duration, T)> {
    let told = log.events.iter().filter_map(|s| match s.event {
        Event::RecordsDamaged { records_max, .. } => Some((s.at, u64::from(records_max))),
        _ => None,
    });
    let mut told: Vec<(Duration, u64)> = told.collect();
    // The youngest first: what is told later may have been any of what is older.
    missing.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
    let mut excused = 0;
    missing.retain(|(since, _)| {
        while told.last().is_some_and(|(at, _)| at >= since) {
            excused += told.pop().map_or(0, |(_, records)| records);
        }
        let is_excused = excused > 0;
        excused -= u64::from(is_excused);
        !is_excused
    });
    missing.reverse();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::MachineId,
        metric::fixture::{Log, s, scenario},
    };

    fn check(told: &[(f64, u32)], missing: &[f64], left: &[f64]) {
        let mut log = Log::default();
        for (at, records_max) in told {
            let event = Event::RecordsDamaged {
                machine: MachineId(2),
                places: 1,
                records_max: *records_max,
                bytes: 40,
            };
            log = log.at(*at, event);
        }
        let scenario = scenario();
        let missing = missing.iter().map(|at| (s(*at), ())).collect();
        let found = untold(&log.log(&scenario), missing);
        let left: Vec<_> = left.iter().map(|at| (s(*at), ())).collect();
        assert_eq!(found, left, "{told:?}");
    }

    #[test]
    fn as_many_are_excused_as_were_told_later() {
        check(&[], &[1.0, 2.0], &[1.0, 2.0]);
        check(&[(3.0, 1)], &[1.0, 2.0], &[1.0]);
        check(&[(3.0, 2)], &[1.0, 2.0], &[]);
        check(&[(1.5, 2)], &[1.0, 2.0], &[2.0]);
        check(&[(1.5, 1), (3.0, 1)], &[1.0, 2.0], &[]);
        check(&[(0.5, 9)], &[1.0, 2.0], &[1.0, 2.0]);
        check(&[(3.0, 0)], &[1.0], &[1.0]);
    }
}
