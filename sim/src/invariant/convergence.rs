//! CONVERGENCE-1: once everything has healed, every accepted order is booked, and every payment that was taken without an answer is settled,
//! declined or expired, within the settle bound.
//!
//! Source: liveness after safety (TigerBeetle's two phases). Not asked while a fault lasts to the end of the run, nor in a store without a
//! line to head office: nothing can ever be booked there, and a search would shrink every failure of it to a store without a line. A record that rotted on
//! a disk, and was told, is excused ([`told`]); a fault may not be silent.

use std::{collections::BTreeMap, time::Duration};

use super::{Finding, Invariant, at, finding, payments, told};
use crate::{
    event::{Event, Payment},
    metric::{SeedLog, orders},
};

pub(super) const CONVERGENCE_1: Invariant = Invariant {
    id: "CONVERGENCE-1",
    title: "after healing, everything accepted is booked and settled",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let links = log.scenario.links.values();
    if !links
        .flat_map(|l| [&l.between.0, &l.between.1])
        .any(|end| end == "hq")
    {
        return Finding::NotAsked {
            why: "no line leads to head office".into(),
        };
    }
    let Some(healed) = orders::healed_at(log) else {
        return Finding::NotAsked {
            why: "a fault lasts to the end of the run".into(),
        };
    };
    let lost = told::untold(log, orders::lost(log)).into_iter();
    let mut late: Vec<String> = lost
        .map(|(accepted, order)| format!("order {order:x}, accepted at {}", at(accepted)))
        .collect();
    let due = |since: Duration| since.max(healed) + orders::SETTLE_BOUND <= log.ended_at;
    let open = open_payments(log).into_iter();
    let open = open.map(|(order, since)| (since, order));
    let open = told::untold(log, open.filter(|(since, _)| due(*since)).collect());
    late.extend(open.into_iter().map(|(since, order)| {
        format!(
            "the offline payment of order {order:x}, taken at {}",
            at(since)
        )
    }));
    finding("were never booked or settled", &late)
}

/// Offline payments without an end, with the time at which they were taken.
fn open_payments(log: &SeedLog<'_>) -> BTreeMap<u64, Duration> {
    let mut open = BTreeMap::new();
    for stamped in log.events {
        match stamped.event {
            Event::PaymentSettled { order, how, .. } if payments::is_open(how) => {
                open.insert(order, stamped.at);
            }
            Event::PaymentSettled {
                order,
                how: Payment::SettledLater | Payment::DeclinedLater | Payment::Expired,
                ..
            } => {
                open.remove(&order);
            }
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{
        event::MachineId,
        metric::fixture::{Log, s, scenario},
    };

    fn pay(order: u64, how: Payment) -> Event {
        Event::PaymentSettled {
            order,
            asked_at: s(700.0),
            how,
        }
    }

    #[test]
    fn an_accepted_order_that_is_never_booked_violates() {
        let good = || Log::default().order(1, 700.0, 701.0, 702.0);
        assert_eq!(message(&CONVERGENCE_1, good()), None);
        let bad = good().at(2500.0, Event::OrderAccepted { order: 2 });
        let text = "1 were never booked or settled; first: order 2, accepted at 2500.000s";
        assert_eq!(message(&CONVERGENCE_1, bad).as_deref(), Some(text));
        // There was no time.
        let young = good().at(5990.0, Event::OrderAccepted { order: 2 });
        assert_eq!(message(&CONVERGENCE_1, young), None);
    }

    #[test]
    fn a_loss_that_is_told_does_not_violate() {
        let told = |records_max| {
            let damaged = Event::RecordsDamaged {
                machine: MachineId(2),
                places: 1,
                records_max,
                bytes: 1200,
            };
            Log::default()
                .at(2500.0, Event::OrderAccepted { order: 2 })
                .at(2600.0, damaged)
        };
        assert_eq!(message(&CONVERGENCE_1, told(1)), None);
        assert!(message(&CONVERGENCE_1, told(0)).is_some());
    }

    #[test]
    fn an_offline_payment_is_settled_or_expires() {
        let taken = || Log::default().at(2200.0, pay(1, Payment::Offline));
        let text = "1 were never booked or settled; first: the offline payment of order 1, taken at 2200.000s";
        assert_eq!(message(&CONVERGENCE_1, taken()).as_deref(), Some(text));
        assert_eq!(
            message(
                &CONVERGENCE_1,
                taken().at(3100.0, pay(1, Payment::SettledLater))
            ),
            None
        );
    }

    #[test]
    fn it_is_not_asked_without_a_line_to_head_office() {
        let mut scenario = scenario();
        scenario.links.clear();
        let mut log = Log::default().at(2500.0, Event::OrderAccepted { order: 2 });
        assert!(matches!(
            check(&log.log(&scenario)),
            Finding::NotAsked { .. }
        ));
    }

    #[test]
    fn it_is_not_asked_while_a_fault_lasts() {
        let mut scenario = scenario();
        scenario.faults[0].windows[0].end = None;
        let mut log = Log::default().at(2500.0, Event::OrderAccepted { order: 2 });
        assert!(matches!(
            check(&log.log(&scenario)),
            Finding::NotAsked { .. }
        ));
    }
}
