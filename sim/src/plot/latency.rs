//! Latencies: over time for one seed, and by phase (during, after, outside faults) for all seeds together.
//!
//! Samples cross processes in buckets of 1/128: their middle is within 0.4 %, which is HdrHistogram's idea (Tene) with seven bits of
//! mantissa, and a few hundred of them hold any number of samples.

use std::time::Duration;

use backroom_reports::{Latency, Phase, Plot, Shape, Track, Unit};
use serde::{Deserialize, Serialize};

use super::{bins, metric};
use crate::{
    metric::{
        SeedLog,
        evaluate::{quantile, sorted},
        series::{Series, Timed},
    },
    scenario::Scenario,
};

/// The latencies that people ask about, with the names of their plots.
const METRICS: [(&str, &str); 4] = [
    ("order.to_kds", "Order to kitchen display"),
    ("payment.auth", "Card payment"),
    ("order.e2e", "Sale to head office"),
    ("telemetry.lag", "Telemetry to head office"),
];

/// Fractions that the table of a report has.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// The phases, in the order of their numbers.
const PHASES: [Phase; 3] = [Phase::During, Phase::After, Phase::Outside];

/// One metric's samples in one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Samples {
    metric: String,
    phase: Phase,
    /// (value, how often), values increasing.
    values: Vec<(f64, u64)>,
}

/// The samples of one metric in this seed, with the names of metric and plot.
pub(super) type Seen = (&'static str, &'static str, Vec<Timed>);

/// The samples of all of them, computed once: those of telemetry are millions of items, sorted out one by one.
pub(super) fn all(log: &SeedLog<'_>) -> Vec<Seen> {
    METRICS
        .iter()
        .filter_map(|(name, title)| match metric(log, name) {
            Series::Samples(samples) => Some((*name, *title, samples)),
            _ => None,
        })
        .collect()
}

/// A plot for each latency of which there are samples.
pub(super) fn plots(log: &SeedLog<'_>, all: &[Seen]) -> Vec<Plot> {
    let mut out = Vec::new();
    for (name, title, samples) in all {
        let [middle, largest] = bins::quantiles(log, samples, 0.5);
        if middle.is_empty() {
            continue;
        }
        let width = backroom_reports::human::span(bins::width(log) as f64);
        out.push(Plot {
            id: format!("latency.{name}"),
            title: format!("{title} ({name})"),
            unit: Unit::Seconds,
            note: format!("by the time at which it began, in bins of {width}"),
            tracks: vec![
                Track::new("p50", Shape::Line, &middle),
                Track::new("max", Shape::Line, &largest),
            ],
        });
    }
    out
}

/// Samples by phase, after the warm-up.
pub(super) fn samples(log: &SeedLog<'_>, all: &[Seen]) -> Vec<Samples> {
    let phases = Phases::of(log.scenario);
    let mut out = Vec::new();
    for (name, _, of_metric) in all {
        let mut by_phase: [Vec<(f64, u64)>; 3] = Default::default();
        for sample in of_metric.iter().filter(|s| s.start >= log.scenario.warmup) {
            let phase = phases.at(sample.start) as usize;
            by_phase[phase].push((bucket(sample.value), sample.weight));
        }
        for (phase, values) in PHASES.into_iter().zip(by_phase) {
            out.push(Samples {
                metric: (*name).into(),
                phase,
                values: sorted(values),
            });
        }
    }
    out.retain(|s| !s.values.is_empty());
    out
}

/// Adds one seed's samples to those of others.
pub(super) fn add(all: &mut Vec<Samples>, more: Vec<Samples>) {
    for one in more {
        let same = |s: &&mut Samples| s.metric == one.metric && s.phase == one.phase;
        match all.iter_mut().find(same) {
            Some(known) => {
                let values = std::mem::take(&mut known.values);
                known.values = sorted(values.into_iter().chain(one.values));
            }
            None => all.push(one),
        }
    }
}

/// The table of a report, by metric and phase.
pub(super) fn table(all: &[Samples]) -> Vec<Latency> {
    let mut out = Vec::new();
    for (name, _) in METRICS {
        for phase in PHASES {
            let found = all.iter().find(|s| s.metric == name && s.phase == phase);
            let Some(found) = found else { continue };
            let count: u64 = found.values.iter().map(|(_, n)| n).sum();
            // A quantile needs that many samples for one to lie beyond it.
            let told = QUANTILES
                .iter()
                .filter(|q| count as f64 * (1.0 - **q) >= 1.0 || **q <= 0.5);
            out.push(Latency {
                metric: name.into(),
                phase,
                samples: count,
                quantiles: told
                    .filter_map(|q| Some((*q, quantile(&found.values, *q)?)))
                    .collect(),
                max_seconds: found.values.last().map(|(value, _)| *value),
            });
        }
    }
    out
}

/// The middle of the value's bucket: seven bits of mantissa.
fn bucket(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 0.0;
    }
    const LOW: u64 = (1 << 45) - 1;
    f64::from_bits((value.to_bits() & !LOW) | (1 << 44))
}

/// The stretches of a seed's phases. A line that flaps for months has a hundred thousand of them, and there are millions of samples.
struct Phases {
    during: Vec<(Duration, Duration)>,
    after: Vec<(Duration, Duration)>,
}

impl Phases {
    /// After a fault: as long as it had lasted, until the next one begins.
    fn of(scenario: &Scenario) -> Self {
        let windows = || scenario.faults.iter().flat_map(|f| &f.windows);
        let during = windows().map(|w| (w.start, w.end.unwrap_or(Duration::MAX)));
        let after = windows().filter_map(|w| {
            let end = w.end?;
            Some((end, end.saturating_add(end.saturating_sub(w.start))))
        });
        Self {
            during: merged(during.collect()),
            after: merged(after.collect()),
        }
    }

    fn at(&self, at: Duration) -> Phase {
        let inside = |all: &[(Duration, Duration)]| {
            let next = all.partition_point(|(start, _)| *start <= at);
            next > 0 && at < all[next - 1].1
        };
        match () {
            () if inside(&self.during) => Phase::During,
            () if inside(&self.after) => Phase::After,
            () => Phase::Outside,
        }
    }
}

/// Stretches in time order, those that touch put together.
fn merged(mut all: Vec<(Duration, Duration)>) -> Vec<(Duration, Duration)> {
    all.sort_unstable();
    let mut out: Vec<(Duration, Duration)> = Vec::new();
    for (start, end) in all {
        match out.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::fixture::{Log, s, scenario};

    #[test]
    fn buckets_are_within_half_a_percent() {
        for value in [1e-6, 0.001, 0.5, 0.99999, 1.0, 7.3, 86_400.0] {
            let off = bucket(value) / value - 1.0;
            assert!(off.abs() < 0.004, "{value}: {off}");
        }
        assert_eq!((bucket(0.0), bucket(f64::NAN)), (0.0, 0.0));
    }

    #[test]
    fn phases_follow_the_faults() {
        let mut scenario = scenario();
        // Another one that overlaps it, and one that outlasts the run.
        let mut other = scenario.faults[0].clone();
        for (start, end) in [(2900.0, Some(2950.0)), (5000.0, None)] {
            other.windows.push(crate::scenario::FaultWindow {
                start: s(start),
                end: end.map(s),
            });
        }
        other.windows.remove(0);
        scenario.faults.push(other);
        let phases = Phases::of(&scenario);
        let check = |at: f64, expect| assert_eq!(phases.at(s(at)), expect, "{at}");
        check(2949.0, Phase::During);
        check(2960.0, Phase::During);
        check(5399.0, Phase::During);
        check(2099.0, Phase::Outside);
        check(2100.0, Phase::During);
        check(3000.0, Phase::After);
        check(3899.0, Phase::After);
        check(3900.0, Phase::Outside);
    }

    #[test]
    fn seeds_are_put_together() {
        let scenario = scenario();
        let mut paper = Log::default();
        for n in 0..30u32 {
            let at = 700.0 + 100.0 * f64::from(n);
            paper = paper.order(u64::from(n), at, at + 0.2, at + 2.0);
        }
        let log = paper.log(&scenario);
        let samples = samples(&log, &super::all(&log));
        let mut sum = Vec::new();
        add(&mut sum, samples.clone());
        add(&mut sum, samples);
        let table = table(&sum);
        let outside = table
            .iter()
            .find(|l| l.metric == "order.to_kds" && l.phase == Phase::Outside)
            .expect("orders were placed");
        assert_eq!(outside.samples, 2 * 14);
        let (q, p50) = outside.quantiles[0];
        assert!(q == 0.5 && (p50 / 0.2 - 1.0).abs() < 0.01, "{outside:?}");
        assert!(
            outside.quantiles.iter().all(|(q, _)| *q < 0.99),
            "28 samples have no p99"
        );
    }
}
