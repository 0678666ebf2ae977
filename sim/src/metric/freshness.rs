//! How soon head office sees a store's present again after it has heard nothing: `telemetry.first_fresh`.
//!
//! Birth at a machine says little here, for machines keep their items for as long as `every` says: what counts is how long
//! the collector has had them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    SeedLog,
    ranges::RangeSet,
    series::{Series, Timed},
};
use crate::{
    event::{Event, MachineId},
    scenario::expr::MetricRef,
};

/// Head office has heard nothing when no new item came for so long: longer than any pause between batches.
const SILENCE: Duration = Duration::from_secs(300);

/// An item is fresh when the collector has had it for no longer: `send.live_window` unless told otherwise.
const FRESH: Duration = Duration::from_secs(15);

/// The series of a metric of this family; `None` if it is of another one.
pub(super) fn series(log: &SeedLog<'_>, metric: &MetricRef) -> Option<Series> {
    (metric.name == "telemetry.first_fresh").then(|| Series::Samples(first_fresh(log)))
}

/// Runs of items that one machine's collector acknowledged, in the order of time.
#[derive(Default)]
struct Acked(Vec<(Duration, u64, u64)>);

impl Acked {
    /// Whether any of `first..end` was acknowledged at or after `from`.
    fn has_since(&self, from: Duration, first: u64, end: u64) -> bool {
        let recent = self.0.iter().rev().take_while(|(at, ..)| *at >= from);
        recent.into_iter().any(|(_, f, e)| *f < end && first < *e)
    }
}

fn first_fresh(log: &SeedLog<'_>) -> Vec<Timed> {
    let mut acked: BTreeMap<MachineId, Acked> = BTreeMap::new();
    let mut received: BTreeMap<MachineId, RangeSet> = BTreeMap::new();
    let mut heard_at = Duration::ZERO;
    let mut since: Option<Duration> = None;
    let mut samples = Vec::new();
    for stamped in log.events {
        let at = stamped.at;
        match stamped.event {
            Event::TelemetryAcked {
                machine,
                first,
                count,
            } => {
                let end = first + u64::from(count);
                acked.entry(machine).or_default().0.push((at, first, end));
            }
            Event::TelemetryReceived {
                machine,
                first,
                count,
            } => {
                let end = first + u64::from(count);
                let known = received.entry(machine).or_default().insert(first, end);
                if known == u64::from(count) {
                    continue;
                }
                if at.saturating_sub(heard_at) >= SILENCE {
                    // It had not seen the present when it lost sight of the past, too.
                    let lost = since.replace(at);
                    samples.extend(lost.map(|began| Timed::latency(began, at, 1)));
                }
                heard_at = at;
                let from = at.saturating_sub(FRESH);
                let of_machine = acked.entry(machine).or_default();
                if let Some(began) = since.filter(|_| of_machine.has_since(from, first, end)) {
                    samples.push(Timed::latency(began, at, 1));
                    since = None;
                }
            }
            _ => {}
        }
    }
    // It hears of the past, and never of the present.
    samples.extend(since.map(|began| Timed::latency(began, log.ended_at, 1)));
    samples
}
