//! RECEIPT-1: receipts are of sales that a POS stored, and none is forgotten: while any is owed, printers go on printing.
//!
//! Printers are slow and run out of paper, so there is no bound for one receipt; but a printer that has paper, receipts to print, and
//! nothing wrong around it does not stand still. Source: liveness as CONVERGENCE-1, as progress instead of an end. A store that prints
//! nothing owes none, and while a fault lasts to the end of the run they may wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Finding, Invariant, at, finding, told};
use crate::{
    event::{Event, ShopEvent},
    metric::{SeedLog, orders, shop},
};

pub(super) const RECEIPT_1: Invariant = Invariant {
    id: "RECEIPT-1",
    title: "receipts are of sales, and none is forgotten",
    check,
};

/// 60 s more than a sale has: a printer only listens, and finds a connection dead by its keep-alive of 300 s.
const STAND_STILL_MAX: Duration = orders::SETTLE_BOUND.saturating_add(Duration::from_secs(60));

fn check(log: &SeedLog<'_>) -> Finding {
    let mut stored: BTreeMap<u64, Duration> = BTreeMap::new();
    let (mut printed, mut wrong) = (BTreeSet::new(), Vec::new());
    let mut empty = BTreeSet::new();
    let mut moved = Duration::ZERO;
    for stamped in log.events {
        match stamped.event {
            Event::SaleStored { order, .. } => {
                stored.entry(order).or_insert(stamped.at);
            }
            Event::Shop(ShopEvent::ReceiptPrinted { order, .. }) => {
                moved = stamped.at;
                printed.insert(order);
                if !stored.contains_key(&order) {
                    wrong.push(format!(
                        "order {order:x}, printed at {} and not stored",
                        at(stamped.at)
                    ));
                }
            }
            Event::Shop(ShopEvent::Paper { printer, loaded }) => {
                moved = stamped.at;
                match loaded {
                    true => empty.remove(&printer),
                    false => empty.insert(printer),
                };
            }
            _ => {}
        }
    }
    let owes = shop::prints(log.scenario) && empty.is_empty();
    let Some(healed) = orders::healed_at(log).filter(|_| owes) else {
        return finding("receipts are wrong", &wrong);
    };
    let since = |stored: Duration| stored.max(healed).max(moved);
    let owed = stored.iter().filter(|(order, at)| {
        !printed.contains(*order) && since(**at) + STAND_STILL_MAX <= log.ended_at
    });
    let owed = told::untold(log, owed.map(|(order, time)| (*time, *order)).collect());
    let owed = owed.into_iter();
    wrong.extend(owed.map(|(time, order)| format!("order {order:x}, stored at {}", at(time))));
    finding("receipts are wrong or were never printed", &wrong)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::told, *};
    use crate::{
        event::MachineId,
        metric::fixture::{Log, node, orders_with, scenario},
        scenario::{Role, Scenario},
    };

    fn with_printer() -> Scenario {
        let mut scenario = scenario();
        scenario
            .nodes
            .insert("printer".into(), node(Role::Printer, 1));
        scenario.orders = Some(orders_with("receipt.print", "printer"));
        scenario
    }

    fn message(mut log: Log) -> Option<String> {
        told(check(&log.log(&with_printer())))
    }

    fn printed(order: u64) -> Event {
        let printer = MachineId(0);
        Event::Shop(ShopEvent::ReceiptPrinted { order, printer })
    }

    #[test]
    fn a_printer_that_stands_still_violates() {
        let sale = || Log::default().order(1, 700.0, 701.0, 702.0);
        let owed = "1 receipts are wrong or were never printed; first: order 1, stored at 701.000s";
        assert_eq!(message(sale()).as_deref(), Some(owed));
        assert_eq!(message(sale().at(760.0, printed(1))), None);
        assert!(message(sale().at(760.0, printed(1)).at(800.0, printed(2))).is_some());
        // It prints until the end: there is more than it can do.
        let busy = sale()
            .order(3, 5_000.0, 5_001.0, 5_002.0)
            .at(5_900.0, printed(3));
        assert_eq!(message(busy), None);
        let paper = |loaded| {
            let printer = MachineId(0);
            Event::Shop(ShopEvent::Paper { printer, loaded })
        };
        assert_eq!(message(sale().at(705.0, paper(false))), None);
        assert!(message(sale().at(705.0, paper(false)).at(800.0, paper(true))).is_some());
    }

    #[test]
    fn a_store_that_prints_nothing_owes_no_receipt() {
        let mut log = Log::default().order(1, 700.0, 701.0, 702.0);
        assert_eq!(check(&log.log(&scenario())), Finding::Holds);
    }
}
