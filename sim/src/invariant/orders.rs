//! ORDER-1: orders come from customers. What is accepted, shown, stored or booked was placed before, and only a stored sale is booked.
//!
//! Source: conservation, accepted = booked + pending. Pending itself is the business of CONVERGENCE-1.

use std::collections::BTreeSet;

use super::{Finding, Invariant, at, finding};
use crate::{event::Event, metric::SeedLog};

pub(super) const ORDER_1: Invariant = Invariant {
    id: "ORDER-1",
    title: "orders come from customers, and bookings from stored sales",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let (mut placed, mut stored, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let takes_sales_by_pos = log
        .events
        .iter()
        .any(|s| matches!(s.event, Event::SaleStored { .. }));
    for stamped in log.events {
        let mut need = |order: u64, known: bool, what: &str| {
            if !known {
                wrong.push(format!("order {order:x} was {what} at {}", at(stamped.at)));
            }
        };
        match stamped.event {
            Event::OrderPlaced { order, .. } => {
                placed.insert(order);
            }
            Event::OrderAccepted { order } => {
                need(order, placed.contains(&order), "accepted and not placed")
            }
            Event::TicketShown { order, .. } => {
                need(order, placed.contains(&order), "shown and not placed")
            }
            Event::SaleStored { order, .. } => {
                need(order, placed.contains(&order), "stored and not placed");
                stored.insert(order);
            }
            Event::SaleBooked { order } => {
                let known = if takes_sales_by_pos { &stored } else { &placed };
                need(order, known.contains(&order), "booked and not stored");
            }
            _ => {}
        }
    }
    finding("events of orders out of nowhere", &wrong)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{event::MachineId, metric::fixture::Log};

    #[test]
    fn a_booking_without_a_sale_violates() {
        let good = || Log::default().order(1, 700.0, 701.0, 702.0);
        assert_eq!(message(&ORDER_1, good()), None);
        let bad = message(&ORDER_1, good().at(800.0, Event::SaleBooked { order: 2 }));
        let text = "1 events of orders out of nowhere; first: order 2 was booked and not stored at 800.000s";
        assert_eq!(bad.as_deref(), Some(text));
        let by = MachineId(1);
        for (event, what) in [
            (Event::OrderAccepted { order: 2 }, "accepted"),
            (Event::TicketShown { order: 2, kds: by }, "shown"),
            (Event::SaleStored { order: 2, pos: by }, "stored"),
        ] {
            let bad = message(&ORDER_1, good().at(800.0, event)).expect("it violates");
            let text = format!("order 2 was {what} and not placed at 800.000s");
            assert!(bad.ends_with(&text), "{bad}");
        }
    }
}
