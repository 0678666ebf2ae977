//! DELIVERY-1: acknowledged means durable. Every item that the collector acknowledged is at head office, in its buffer, or
//! was dropped with a reason.
//!
//! Source: C1 and C10. The collector tells how many items it holds and drops, see [`Items::fate`].

use std::time::Duration;

use super::{Finding, Invariant};
use crate::metric::{
    SeedLog,
    telemetry::{Fate, Items},
};

pub(super) const DELIVERY_1: Invariant = Invariant {
    id: "DELIVERY-1",
    title: "what was acknowledged arrives, is stored, or was dropped with a reason",
    check,
};

/// 60 s: what the collector holds is told now and then, so its last figure does not cover the last items.
const GRACE: Duration = Duration::from_secs(60);

fn check(log: &SeedLog<'_>) -> Finding {
    let items = Items::new(log);
    let fated = items.fate();
    let old = |born: Duration| born + GRACE <= log.ended_at;
    let lost = fated
        .into_iter()
        .filter(|m| m.fate == Fate::LostAcked && old(m.born));
    let acked: u64 = items
        .machines
        .values()
        .map(crate::metric::telemetry::Machine::acked_count)
        .sum();
    let what = format!("of {acked} acknowledged items never arrived");
    match super::missing(log, lost, &what) {
        Some(message) => Finding::Violated { message },
        None => Finding::Holds,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{
        event::{DropReason, Event},
        metric::fixture::{Log, acked, made, received},
    };

    #[test]
    fn an_acknowledged_item_that_nobody_has_violates() {
        let log = || {
            Log::default()
                .at(700.0, made(0, 0, 10))
                .at(701.0, acked(0, 0, 10))
                .at(702.0, received(0, 0, 8))
        };
        let text =
            "2 of 10 acknowledged items never arrived; first: 8 of machine 0, made at 700.000s";
        assert_eq!(message(&DELIVERY_1, log()).as_deref(), Some(text));
        assert_eq!(
            message(&DELIVERY_1, log().at(900.0, received(0, 8, 2))),
            None
        );
        let stored = Event::Backlog {
            bytes: 800,
            items: 2,
        };
        assert_eq!(message(&DELIVERY_1, log().at(900.0, stored)), None);
        let dropped = Event::TelemetryDropped {
            items: 2,
            reason: DropReason::BufferFull,
        };
        assert_eq!(message(&DELIVERY_1, log().at(900.0, dropped)), None);
        // Nobody promised anything about these.
        assert_eq!(
            message(&DELIVERY_1, Log::default().at(700.0, made(0, 0, 10))),
            None
        );
    }
}
