//! TELEMETRY-2: every item is accounted for. Generated = delivered + stored + dropped with a reason + given up by its machine + in memory; and
//! in memory is nothing for long, once everything has healed.
//!
//! Source: C10. What was acknowledged and is nowhere is DELIVERY-1's; this is the rest: items that no collector ever acknowledged, whose
//! machine lives and has not given them up. Not asked while a fault lasts to the end of the run.

use std::time::Duration;

use super::{Finding, Invariant};
use crate::metric::{
    SeedLog, orders,
    telemetry::{Fate, Items},
};

pub(super) const TELEMETRY_2: Invariant = Invariant {
    id: "TELEMETRY-2",
    title: "every item is delivered, stored, dropped with a reason, or given up",
    check,
};

/// 10 min: a machine tries again every 30 s, and a collector whose buffer was full has room once head office has taken some.
const IN_MEMORY_MAX: Duration = Duration::from_secs(600);

fn check(log: &SeedLog<'_>) -> Finding {
    let Some(healed) = orders::healed_at(log) else {
        return Finding::NotAsked {
            why: "a fault lasts to the end of the run".into(),
        };
    };
    let due = |born: Duration| born.max(healed) + IN_MEMORY_MAX <= log.ended_at;
    let missing = Items::new(log).fate();
    let still = missing
        .into_iter()
        .filter(|m| m.fate == Fate::LostUnacked && due(m.born));
    match super::missing(log, still, "items are unaccounted for") {
        Some(message) => Finding::Violated { message },
        None => Finding::Holds,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{
        event::{Event, MachineId},
        metric::fixture::{Log, acked, made, received},
    };

    #[test]
    fn an_item_that_nobody_ever_took_violates() {
        let log = || {
            Log::default()
                .at(700.0, made(0, 0, 10))
                .at(701.0, acked(0, 0, 8))
                .at(702.0, received(0, 0, 8))
        };
        let text = "2 items are unaccounted for; first: 8 of machine 0, made at 700.000s";
        assert_eq!(message(&TELEMETRY_2, log()).as_deref(), Some(text));
        let given_up = Event::TelemetryDiscarded {
            machine: MachineId(0),
            first: 8,
            count: 2,
        };
        assert_eq!(message(&TELEMETRY_2, log().at(800.0, given_up)), None);
        assert_eq!(
            message(&TELEMETRY_2, log().at(900.0, received(0, 8, 2))),
            None
        );
        // It may still be in the machine's memory.
        let young = Log::default().at(5_500.0, made(0, 0, 10));
        assert_eq!(message(&TELEMETRY_2, young), None);
    }
}
