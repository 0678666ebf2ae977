//! EFFECT-1: nothing has an effect twice. A sale is booked once; a ticket is shown once on a display that did not restart.
//!
//! Source: at least once on the line, exactly once in the ledger, by order id. Repeats that were dropped (`SaleRepeated`) are no effect.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Invariant, at, finding};
use crate::{
    event::{Event, MachineChange},
    metric::SeedLog,
};

pub(super) const EFFECT_1: Invariant = Invariant {
    id: "EFFECT-1",
    title: "no effect happens twice",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let (mut booked, mut wrong) = (BTreeSet::new(), Vec::new());
    let mut shown: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
    for stamped in log.events {
        match stamped.event {
            Event::SaleBooked { order } if !booked.insert(order) => {
                wrong.push(format!(
                    "order {order:x} was booked again at {}",
                    at(stamped.at)
                ));
            }
            Event::TicketShown { order, kds } if !shown.entry(kds).or_default().insert(order) => {
                let kds = log.machine(kds);
                wrong.push(format!(
                    "order {order:x} was shown again on {kds} at {}",
                    at(stamped.at)
                ));
            }
            // A display that restarts has an empty screen and may be told again.
            Event::Machine {
                machine,
                change: MachineChange::Crashed | MachineChange::Rebooted | MachineChange::PowerLost,
            } => {
                shown.remove(&machine);
            }
            _ => {}
        }
    }
    finding("effects happened twice", &wrong)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{event::MachineId, metric::fixture::Log};

    #[test]
    fn a_second_booking_violates_and_a_repeat_does_not() {
        let good = || {
            Log::default()
                .order(1, 700.0, 701.0, 702.0)
                .at(703.0, Event::SaleRepeated { order: 1 })
        };
        assert_eq!(message(&EFFECT_1, good()), None);
        let bad = message(&EFFECT_1, good().at(704.0, Event::SaleBooked { order: 1 }));
        assert_eq!(
            bad.as_deref(),
            Some("1 effects happened twice; first: order 1 was booked again at 704.000s")
        );
    }

    #[test]
    fn a_second_ticket_violates_unless_the_display_restarted() {
        let again = Event::TicketShown {
            order: 1,
            kds: MachineId(1),
        };
        let shown = || Log::default().order(1, 700.0, 701.0, 702.0);
        assert!(message(&EFFECT_1, shown().at(710.0, again)).is_some());
        let crash = Event::Machine {
            machine: MachineId(1),
            change: MachineChange::Crashed,
        };
        assert_eq!(
            message(&EFFECT_1, shown().at(705.0, crash).at(710.0, again)),
            None
        );
    }
}
