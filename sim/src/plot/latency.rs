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
    let mut out = Vec::new();
    for (name, _, of_metric) in all {
        for phase in [Phase::During, Phase::After, Phase::Outside] {
            let judged = |s: &&Timed| {
                s.start >= log.scenario.warmup && phase_at(log.scenario, s.start) == phase
            };
            let values = of_metric.iter().filter(judged);
            let values = values.map(|s| (bucket(s.value), s.weight));
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
        for phase in [Phase::During, Phase::After, Phase::Outside] {
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

/// The phase of an instant. After a fault: as long as it had lasted, until the next one begins.
fn phase_at(scenario: &Scenario, at: Duration) -> Phase {
    let windows = scenario.faults.iter().flat_map(|f| &f.windows);
    let mut after = false;
    for window in windows {
        let end = window.end.unwrap_or(Duration::MAX);
        if window.start <= at && at < end {
            return Phase::During;
        }
        after |= end <= at && at < end + (end - window.start);
    }
    if after { Phase::After } else { Phase::Outside }
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
        let scenario = scenario();
        let check = |at: f64, expect| assert_eq!(phase_at(&scenario, s(at)), expect, "{at}");
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
