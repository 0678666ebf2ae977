//! After the run proper: nobody orders or measures any more, and what is under way arrives.
//!
//! Without it, an order placed in the last second would look lost. It ends when everything accepted has arrived, or after
//! [`SETTLE_MAX`], and then says what is still pending.

mod shop;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::shop::Shop;
use super::one::Director;
use crate::{
    event::{Event, MachineId, OrderId},
    metric::{ranges::RangeSet, shop::prints},
};

/// 15 min: a batch may wait for a retry of a minute, a router for its fail-back, TCP for a retransmission of two minutes.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(15 * 60);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is under way.
#[derive(Debug, Default)]
struct Tally {
    /// Accepted and not booked.
    orders: BTreeSet<OrderId>,
    /// Booked before the kiosk heard that its order was accepted: the acknowledgement was slower than the sale.
    early: BTreeSet<OrderId>,
    /// Items made and not yet received, by machine: one number is enough, since nothing is received that was not made.
    items: BTreeMap<MachineId, i64>,
    /// Items that were received or discarded: a second time counts for nothing, or something else would not be waited for.
    told: BTreeMap<MachineId, RangeSet>,
    dropped: i64,
    shop: Shop,
}

impl Tally {
    fn add(&mut self, event: &Event) {
        self.shop.add(event);
        match *event {
            Event::OrderAccepted { order } if !self.early.remove(&order) => {
                self.orders.insert(order);
            }
            Event::SaleBooked { order } if !self.orders.remove(&order) => {
                self.early.insert(order);
            }
            Event::TelemetryMade { machine, count, .. } => {
                *self.items.entry(machine).or_default() += i64::from(count);
            }
            Event::TelemetryReceived {
                machine,
                first,
                count,
            }
            | Event::TelemetryDiscarded {
                machine,
                first,
                count,
            } => {
                let end = first + u64::from(count);
                let again = self.told.entry(machine).or_default().insert(first, end);
                *self.items.entry(machine).or_default() -= i64::from(count) - again as i64;
            }
            Event::TelemetryDropped { items, .. } => self.dropped += items as i64,
            _ => {}
        }
    }

    fn items(&self) -> i64 {
        self.items.values().sum::<i64>() - self.dropped
    }

    fn pending(&self) -> Vec<String> {
        let mut pending = Vec::new();
        if let Some(first) = self.orders.first() {
            pending.push(format!(
                "{} accepted orders have not reached the ledger; first: {first}",
                self.orders.len()
            ));
        }
        // Items that the collector dropped and head office has all the same make this smaller than it is, never larger; the
        // invariants count them one by one.
        if self.items() > 0 {
            pending.push(format!(
                "{} telemetry items have not reached head office",
                self.items()
            ));
        }
        pending.extend(self.shop.pending());
        pending
    }
}

/// Waits until everything has arrived; gives what is still pending.
pub(super) async fn wait(director: &Director) -> Vec<String> {
    let deadline = director.scenario.duration + SETTLE_MAX;
    let mut tally = Tally {
        shop: Shop::new(prints(&director.scenario)),
        ..Tally::default()
    };
    let mut seen = 0;
    loop {
        // What is recorded late are changes of line: nothing is under way because of them.
        seen = director.recorder.replay(seen, |e| tally.add(&e.event));
        let pending = tally.pending();
        if pending.is_empty() || director.world.now() >= deadline {
            return pending;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: an order whose acknowledgement came after its sale was booked counted as pending for ever.
    #[test]
    fn an_order_that_is_booked_before_it_is_acknowledged_is_not_pending() {
        let mut tally = Tally::default();
        tally.add(&Event::SaleBooked { order: 1 });
        tally.add(&Event::OrderAccepted { order: 1 });
        tally.add(&Event::OrderAccepted { order: 2 });
        assert_eq!(
            tally.pending(),
            ["1 accepted orders have not reached the ledger; first: 2"]
        );
        tally.add(&Event::SaleBooked { order: 2 });
        assert!(tally.pending().is_empty());
    }

    /// Regression: items that arrived twice stood for others that had not arrived, and the run ended without them.
    #[test]
    fn what_arrives_twice_does_not_stand_for_what_is_missing() {
        let mut tally = Tally::default();
        let machine = MachineId(2);
        tally.add(&Event::TelemetryMade {
            machine,
            first: 0,
            count: 10,
            bytes: 1_000,
        });
        for (first, count) in [(0, 6), (0, 6), (4, 3)] {
            tally.add(&Event::TelemetryReceived {
                machine,
                first,
                count,
            });
        }
        assert_eq!(
            tally.pending(),
            ["3 telemetry items have not reached head office"]
        );
    }
}
