//! TELEMETRY-1: items come from machines. Nothing is acknowledged, received or given up that was never made, or before it was made.
//!
//! Source: C10, every item is accounted for. What is missing is the business of DELIVERY-1.

use std::collections::BTreeMap;

use super::{Finding, Invariant, at, finding};
use crate::{
    event::Event,
    metric::{SeedLog, ranges::RangeSet},
};

pub(super) const TELEMETRY_1: Invariant = Invariant {
    id: "TELEMETRY-1",
    title: "telemetry comes from machines",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let mut made: BTreeMap<_, RangeSet> = BTreeMap::new();
    let mut wrong = Vec::new();
    for stamped in log.events {
        let (machine, first, count, what) = match stamped.event {
            Event::TelemetryMade {
                machine,
                first,
                count,
                ..
            } => {
                let end = first + u64::from(count);
                if made.entry(machine).or_default().insert(first, end) > 0 {
                    let name = log.machine(machine);
                    wrong.push(format!(
                        "items {first}..{end} of {name}, made again at {}",
                        at(stamped.at)
                    ));
                }
                continue;
            }
            Event::TelemetryAcked {
                machine,
                first,
                count,
            } => (machine, first, count, "acknowledged"),
            Event::TelemetryReceived {
                machine,
                first,
                count,
            } => (machine, first, count, "received"),
            Event::TelemetryDiscarded {
                machine,
                first,
                count,
            } => (machine, first, count, "discarded"),
            _ => continue,
        };
        let end = first + u64::from(count);
        if made.entry(machine).or_default().count(first, end) < u64::from(count) {
            let name = log.machine(machine);
            wrong.push(format!(
                "items {first}..{end} of {name}, {what} at {} and not made",
                at(stamped.at)
            ));
        }
    }
    finding("runs of items out of nowhere", &wrong)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::metric::fixture::{Log, acked, made, received};

    #[test]
    fn an_item_out_of_nowhere_violates() {
        let good = || {
            Log::default()
                .at(700.0, made(0, 5, 10))
                .at(701.0, acked(0, 5, 10))
                .at(702.0, received(0, 7, 3))
        };
        assert_eq!(message(&TELEMETRY_1, good()), None);
        let text = "1 runs of items out of nowhere; first: items 14..16 of machine 0, received at 703.000s and not made";
        assert_eq!(
            message(&TELEMETRY_1, good().at(703.0, received(0, 14, 2))).as_deref(),
            Some(text)
        );
        assert!(message(&TELEMETRY_1, good().at(699.0, acked(0, 5, 1))).is_some());
        assert!(message(&TELEMETRY_1, good().at(704.0, made(0, 14, 2))).is_some());
    }
}
