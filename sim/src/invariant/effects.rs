//! EFFECT-1: nothing has an effect twice. A sale is booked once and counted down once; a ticket is shown once on a display that did not
//! restart, a receipt printed once on such a printer.
//!
//! Source: at least once on the line, exactly once in the ledger, by order id. Repeats that were dropped (`SaleRepeated`) are no effect.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Invariant, at, finding};
use crate::{
    event::{Event, MachineChange, ShopEvent},
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
    let mut counted = BTreeSet::new();
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
            Event::Shop(ShopEvent::SaleCounted { order }) if !counted.insert(order) => {
                wrong.push(format!(
                    "order {order:x} was counted down again at {}",
                    at(stamped.at)
                ));
            }
            Event::Shop(ShopEvent::ReceiptPrinted { order, printer })
                if !shown.entry(printer).or_default().insert(order) =>
            {
                let printer = log.machine(printer);
                wrong.push(format!(
                    "the receipt of order {order:x} was printed again on {printer} at {}",
                    at(stamped.at)
                ));
            }
            // A display that restarts has an empty screen and may be told again; so has a printer that forgot what it printed.
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
    fn a_second_count_or_receipt_violates() {
        let counted = Event::Shop(ShopEvent::SaleCounted { order: 1 });
        let printed = Event::Shop(ShopEvent::ReceiptPrinted {
            order: 1,
            printer: MachineId(4),
        });
        let good = || Log::default().at(700.0, counted).at(700.0, printed);
        assert_eq!(message(&EFFECT_1, good()), None);
        let text = "1 effects happened twice; first: order 1 was counted down again at 800.000s";
        let twice = message(&EFFECT_1, good().at(800.0, counted));
        assert_eq!(twice.as_deref(), Some(text));
        assert!(message(&EFFECT_1, good().at(800.0, printed)).is_some());
        let crash = Event::Machine {
            machine: MachineId(4),
            change: MachineChange::PowerLost,
        };
        let again = good().at(750.0, crash).at(800.0, printed);
        assert_eq!(message(&EFFECT_1, again), None);
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
