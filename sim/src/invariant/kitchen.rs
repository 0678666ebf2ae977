//! KITCHEN-1: every accepted order was shown on a kitchen display, once everything has healed and there was time.
//!
//! Source: liveness after safety, as CONVERGENCE-1; a booked sale that nobody cooks is lost to its customer. Not asked in a store
//! without displays, nor while a fault lasts to the end of the run.

use std::time::Duration;

use super::{Finding, Invariant, at, finding, told};
use crate::{
    metric::{SeedLog, orders},
    scenario::{Role, Scenario},
};

pub(super) const KITCHEN_1: Invariant = Invariant {
    id: "KITCHEN-1",
    title: "after healing, every accepted order was shown in the kitchen",
    check,
};

/// 60 s more than a sale has: a display only listens, and finds a connection dead by its keep-alive of 300 s.
const SHOW_BOUND: Duration = orders::SETTLE_BOUND.saturating_add(Duration::from_secs(60));

fn check(log: &SeedLog<'_>) -> Finding {
    if !has_displays(log.scenario) {
        return Finding::NotAsked {
            why: "the store fires no tickets".into(),
        };
    }
    let Some(healed) = orders::healed_at(log) else {
        return Finding::NotAsked {
            why: "a fault lasts to the end of the run".into(),
        };
    };
    let missing = orders::orders(log)
        .into_iter()
        .filter(|(_, order)| order.shown.is_none())
        .filter_map(|(id, order)| Some((id, order.accepted?)))
        .filter(|(_, accepted)| healed.max(*accepted) + SHOW_BOUND <= log.ended_at)
        .map(|(id, accepted)| (accepted, id))
        .collect();
    let missing: Vec<String> = told::untold(log, missing)
        .into_iter()
        .map(|(accepted, id)| format!("order {id:x}, accepted at {}", at(accepted)))
        .collect();
    finding("were never shown", &missing)
}

/// Whether orders make tickets, and there is a display for them.
fn has_displays(scenario: &Scenario) -> bool {
    let fires = scenario
        .orders
        .iter()
        .flat_map(|orders| &orders.flow)
        .any(|step| step.msg == "ticket.fire");
    fires
        && scenario
            .nodes
            .values()
            .any(|node| node.role == Role::Kds && node.count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Event,
        metric::fixture::{Log, node, orders_with, scenario},
    };

    fn with_displays() -> Scenario {
        let mut scenario = scenario();
        scenario.nodes.insert("kds".into(), node(Role::Kds, 1));
        scenario.orders = Some(orders_with("ticket.fire", "kds"));
        scenario
    }

    fn is_asked(finding: &Finding) -> bool {
        !matches!(finding, Finding::NotAsked { .. })
    }

    #[test]
    fn an_accepted_order_that_is_never_shown_violates() {
        let scenario = with_displays();
        let shown = || Log::default().order(1, 700.0, 701.0, 702.0);
        let bad = || shown().at(2500.0, Event::OrderAccepted { order: 2 });
        assert_eq!(check(&shown().log(&scenario)), Finding::Holds);
        let text = "1 were never shown; first: order 2, accepted at 2500.000s";
        let violated = Finding::Violated {
            message: text.into(),
        };
        assert_eq!(check(&bad().log(&scenario)), violated);
        // Booked is not cooked.
        let booked = bad().at(2600.0, Event::SaleBooked { order: 2 });
        assert_eq!(check(&{ booked }.log(&scenario)), violated);
        // There was no time.
        let young = shown().at(5990.0, Event::OrderAccepted { order: 2 });
        assert_eq!(check(&{ young }.log(&scenario)), Finding::Holds);
    }

    #[test]
    fn it_is_asked_where_there_are_displays_and_time_to_heal() {
        let mut bad = Log::default().at(2500.0, Event::OrderAccepted { order: 2 });
        assert!(!is_asked(&check(&bad.log(&scenario()))));
        let mut no_tickets = with_displays();
        no_tickets.orders.as_mut().expect("orders").flow.clear();
        assert!(!is_asked(&check(&bad.log(&no_tickets))));
        let mut ill = with_displays();
        ill.faults[0].windows[0].end = None;
        assert!(!is_asked(&check(&bad.log(&ill))));
    }
}
