//! PAYMENT-1: an order is paid once. One answer an order; a payment that nobody answered ends at most once, settled, declined or
//! expired, and nothing else does.
//!
//! Source: conservation, offline + stand-in = settled later + declined later + expired + pending; that pending ends is CONVERGENCE-1's. A POS that lost its memory may ask again.

use std::collections::BTreeMap;

use super::{Finding, Invariant, at, finding};
use crate::{
    event::{Event, MachineChange, Payment},
    metric::{SeedLog, orders},
};

pub(super) const PAYMENT_1: Invariant = Invariant {
    id: "PAYMENT-1",
    title: "an order is paid once",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let mut answers: BTreeMap<u64, (Payment, usize)> = BTreeMap::new();
    let (mut ended, mut wrong, mut crashes) = (BTreeMap::new(), Vec::new(), 0);
    for stamped in log.events {
        let (order, how) = match stamped.event {
            Event::PaymentSettled { order, how, .. } => (order, how),
            Event::Machine {
                change: MachineChange::Crashed | MachineChange::Rebooted | MachineChange::PowerLost,
                ..
            } => {
                crashes += 1;
                continue;
            }
            _ => continue,
        };
        let time = at(stamped.at);
        match how {
            how if orders::is_answer(how) => {
                let before = answers.insert(order, (how, crashes));
                if before.is_some_and(|(_, crashes_then)| crashes_then == crashes) {
                    wrong.push(format!(
                        "order {order:x} has a second answer, {how:?}, at {time}"
                    ));
                }
            }
            _ => {
                let before = ended.insert(order, crashes);
                if before.is_some_and(|crashes_then| crashes_then == crashes) {
                    wrong.push(format!(
                        "the offline payment of order {order:x} ends again, {how:?}, at {time}"
                    ));
                } else if before.is_none()
                    && crashes == 0
                    && !answers.get(&order).is_some_and(|(how, _)| is_open(*how))
                {
                    wrong.push(format!(
                        "order {order:x} was not paid offline and ends, {how:?}, at {time}"
                    ));
                }
            }
        }
    }
    finding("payments do not add up", &wrong)
}

/// Whether head office has yet to hear of it.
pub(super) fn is_open(how: Payment) -> bool {
    matches!(how, Payment::Offline | Payment::StandIn)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{
        event::MachineId,
        metric::fixture::{Log, s},
    };

    fn pay(order: u64, how: Payment) -> Event {
        Event::PaymentSettled {
            order,
            asked_at: s(700.0),
            how,
        }
    }

    #[test]
    fn an_approval_ends_once_like_an_offline_payment() {
        let good = || {
            Log::default()
                .at(701.0, pay(1, Payment::StandIn))
                .at(702.0, pay(2, Payment::Refused))
                .at(3100.0, pay(1, Payment::DeclinedLater))
        };
        assert_eq!(message(&PAYMENT_1, good()), None);
        assert!(message(&PAYMENT_1, good().at(3200.0, pay(1, Payment::SettledLater))).is_some());
        assert!(
            message(
                &PAYMENT_1,
                good().at(3200.0, pay(2, Payment::DeclinedLater))
            )
            .is_some()
        );
        assert!(message(&PAYMENT_1, good().at(710.0, pay(2, Payment::StandIn))).is_some());
    }

    #[test]
    fn an_order_is_paid_once() {
        let good = || {
            Log::default()
                .at(701.0, pay(1, Payment::Online))
                .at(702.0, pay(2, Payment::Offline))
                .at(3100.0, pay(2, Payment::SettledLater))
        };
        assert_eq!(message(&PAYMENT_1, good()), None);
        let twice = message(&PAYMENT_1, good().at(710.0, pay(1, Payment::Offline)));
        let text =
            "1 payments do not add up; first: order 1 has a second answer, Offline, at 710.000s";
        assert_eq!(twice.as_deref(), Some(text));
        assert!(message(&PAYMENT_1, good().at(3200.0, pay(2, Payment::Expired))).is_some());
        assert!(message(&PAYMENT_1, good().at(3200.0, pay(1, Payment::SettledLater))).is_some());
        // What became of it is written down lazily: after a power cut it is settled once more, and head office knows it by its order.
        let dark = Event::Machine {
            machine: MachineId(3),
            change: MachineChange::PowerLost,
        };
        let again = good()
            .at(3150.0, dark)
            .at(3200.0, pay(2, Payment::SettledLater));
        assert_eq!(message(&PAYMENT_1, again), None);
        let crash = Event::Machine {
            machine: MachineId(3),
            change: MachineChange::Crashed,
        };
        assert_eq!(
            message(
                &PAYMENT_1,
                good().at(705.0, crash).at(710.0, pay(1, Payment::Online))
            ),
            None
        );
    }
}
