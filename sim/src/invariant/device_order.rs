//! DEVICE-1: sales of one POS are booked in the order in which it stored them.
//!
//! Source: per-device order, always on. Telemetry is not held to it: two batches in flight may overtake each other.

use super::{Finding, Invariant, at, finding};
use crate::metric::{SeedLog, orders};

pub(super) const DEVICE_1: Invariant = Invariant {
    id: "DEVICE-1",
    title: "sales of one POS are booked in their order",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let late: Vec<String> = orders::out_of_order(log)
        .into_iter()
        .map(|(time, order)| format!("order {order:x}, booked at {} after a later one", at(time)))
        .collect();
    finding("sales were overtaken", &late)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{
        event::{Event, MachineId},
        metric::fixture::Log,
    };

    #[test]
    fn a_sale_that_is_overtaken_violates() {
        let good = || {
            Log::default()
                .order(1, 700.0, 701.0, 720.0)
                .order(2, 702.0, 703.0, 720.0)
        };
        assert_eq!(message(&DEVICE_1, good()), None);
        let overtaken = good()
            .order(3, 704.0, 705.0, 730.0)
            .order(4, 706.0, 707.0, 729.0);
        let text = "1 sales were overtaken; first: order 3, booked at 730.000s after a later one";
        assert_eq!(message(&DEVICE_1, overtaken).as_deref(), Some(text));
        // Another POS is another order.
        let other = Event::SaleStored {
            order: 5,
            pos: MachineId(9),
        };
        let other = good()
            .at(
                704.0,
                Event::OrderPlaced {
                    order: 5,
                    at: MachineId(9),
                },
            )
            .at(704.0, other);
        assert_eq!(
            message(&DEVICE_1, other.at(706.0, Event::SaleBooked { order: 5 })),
            None
        );
    }
}
