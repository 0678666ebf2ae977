//! A function of a metric in a window, for one seed.
//!
//! Two kinds of answer: functions of single samples (quantiles, means, shares) hand their samples on, to be judged with
//! those of the other seeds; everything else is one number per seed.
//!
//! **For good.** `recovery(x, below=L)` is the time from the end of the fault until the gauge is below the level *for good*: the
//! first instant after which it stays there for [`STEADY`], or to the end of the window. A backlog falls in steps of a batch
//! and rises in between, so the first touch is not recovery; and days later another wave is not this fault's.
//! `recovery(x, p99 < 2s)` looks at minutes: the end of the last minute whose quantile does not meet the condition, before
//! `STEADY_SAMPLES` in which all do.

use std::time::Duration;

use super::{
    Sample, SeedLog, catalogue, freshness, links, office, orders,
    series::{Series, Timed, gauge_at, gauge_stretches},
    shop, telemetry, windows,
    windows::Stretch,
};
use crate::scenario::{
    Scenario,
    expr::{Comparison, Condition, Function, Measure, MetricRef, Op, Value, Window},
};

/// 60 s: a dozen batches at the default of 5 s, so a batch more or less does not end it, and short beside any recovery that matters.
pub const STEADY: Duration = Duration::from_secs(60);

/// Quantiles of samples are taken of minutes.
const MINUTE: Duration = Duration::from_secs(60);

/// 5 min without a sample that breaks the condition, and with one that holds: a store sells once in some minutes at its quietest, so
/// one good order between bad ones does not end it, and a fault of the afternoon is not the morning's.
const STEADY_SAMPLES: Duration = Duration::from_secs(300);

/// One seed's contribution to an expectation.
pub fn expectation(log: &SeedLog<'_>, that: &Comparison, window: &Window) -> Sample {
    measure(log, &that.measure, window)
}

/// A measure in a window.
pub fn measure(log: &SeedLog<'_>, measure: &Measure, window: &Window) -> Sample {
    let stretches = windows::stretches(window, log.scenario);
    if stretches.is_empty() {
        return nothing("the window never happened");
    }
    let view = View {
        at_end: *window == Window::AtEnd,
        end: log.scenario.duration,
        stretches,
    };
    let series = series(log, &measure.metric);
    let condition = measure
        .condition
        .as_ref()
        .map(|c| Test::new(log.scenario, c));
    if measure.function == Function::Ratio {
        let Some(of) = &measure.of else {
            return nothing("a ratio needs two metrics");
        };
        return ratio(&view, &series, &self::series(log, of));
    }
    let sample = match series {
        Series::Unrecorded => nothing(&format!(
            "`{}` is not recorded in this version",
            measure.metric.name
        )),
        Series::Samples(all) => of_samples(&view, measure.function, condition, &all),
        Series::Counter(all) => of_counter(&view, measure.function, &all),
        Series::Gauge { initial, steps } => of_gauge(
            &view,
            measure.function,
            condition,
            &Gauge {
                initial,
                steps: &steps,
            },
        ),
    };
    match sample {
        // Links are rated in bits, and limits of a rate are read as bits a second whatever their unit.
        Sample::Number { value } if unit(measure) == backroom_reports::Unit::BitsPerSecond => {
            Sample::Number { value: value * 8.0 }
        }
        other => other,
    }
}

/// A metric over the whole run.
pub fn series(log: &SeedLog<'_>, metric: &MetricRef) -> Series {
    orders::series(log, &metric.name)
        .or_else(|| telemetry::series(log, metric))
        .or_else(|| freshness::series(log, metric))
        .or_else(|| links::series(log, metric))
        .or_else(|| office::series(log, &metric.name))
        .or_else(|| shop::series(log, &metric.name))
        .unwrap_or(Series::Unrecorded)
}

/// A limit as a number; the names of the router's lines are 0 for the primary and 1 for the backup.
pub fn limit(scenario: &Scenario, value: &Value) -> f64 {
    match (value, &scenario.failover) {
        (Value::Text(name), Some(failover)) if *name == failover.backup => 1.0,
        (Value::Text(name), Some(failover)) if *name == failover.primary => 0.0,
        (Value::Text(_), _) => -1.0,
        (value, _) => value.number().expect("only words are not numbers"),
    }
}

/// The unit of a measure: of its function, or of its metric.
pub fn unit(measure: &Measure) -> backroom_reports::Unit {
    use backroom_reports::Unit as Out;
    let metric = catalogue::find(&measure.metric.name);
    match measure.function {
        Function::Share | Function::Ratio => Out::Fraction,
        Function::Gap | Function::Recovery | Function::TimeTo => Out::Seconds,
        Function::Count => Out::Count,
        Function::Rate => match metric.map(|m| m.unit) {
            Some(catalogue::Unit::Bytes) => Out::BitsPerSecond,
            _ => Out::PerSecond,
        },
        _ => match metric.map(|m| m.unit) {
            Some(catalogue::Unit::Time) => Out::Seconds,
            Some(catalogue::Unit::Bytes) => Out::Bytes,
            Some(catalogue::Unit::PerSecond) => Out::PerSecond,
            Some(catalogue::Unit::Count | catalogue::Unit::Link) | None => Out::Count,
        },
    }
}

/// Whether `value op limit` holds.
pub fn holds(op: Op, value: f64, limit: f64) -> bool {
    op_of(op).holds(value, limit)
}

/// The same comparison in a report.
pub fn op_of(op: Op) -> backroom_reports::Op {
    use backroom_reports::Op as Out;
    match op {
        Op::Lt => Out::Lt,
        Op::Le => Out::Le,
        Op::Gt => Out::Gt,
        Op::Ge => Out::Ge,
        Op::Eq => Out::Eq,
        Op::Ne => Out::Ne,
    }
}

/// The `q`-quantile of `(value, weight)`, values increasing: the smallest value that at least that share does not exceed
/// (nearest rank). `None` if there is nothing.
pub fn quantile(values: &[(f64, u64)], q: f64) -> Option<f64> {
    let total: u64 = values.iter().map(|(_, weight)| weight).sum();
    // A hair less: 0.99 * 100 must be rank 99, whatever the last bit says.
    let rank = ((q * total as f64 - 1e-9).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    values
        .iter()
        .find(|(_, weight)| {
            seen += weight;
            seen >= rank
        })
        .map(|(value, _)| *value)
}

/// Sorted, equal values together.
pub fn sorted(values: impl IntoIterator<Item = (f64, u64)>) -> Vec<(f64, u64)> {
    let mut all: Vec<(f64, u64)> = values.into_iter().collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    all
}

struct View {
    stretches: Vec<Stretch>,
    end: Duration,
    at_end: bool,
}

impl View {
    fn contains(&self, at: Duration) -> bool {
        windows::contain(&self.stretches, at, self.end)
    }

    fn seconds(&self) -> f64 {
        self.stretches.iter().map(Stretch::seconds).sum()
    }

    /// Samples of the window. `at end` is those that ended in the last minute or are still under way.
    fn samples<'s>(&'s self, all: &'s [Timed]) -> impl Iterator<Item = &'s Timed> {
        let last = self.end.saturating_sub(STEADY);
        let warm = self.stretches[0].start;
        all.iter().filter(move |s| match self.at_end {
            true => s.start >= warm && s.stop >= last,
            false => self.contains(s.start),
        })
    }
}

struct Gauge<'a> {
    initial: f64,
    steps: &'a [(Duration, f64)],
}

impl Gauge<'_> {
    fn at(&self, at: Duration) -> f64 {
        gauge_at(self.initial, self.steps, at)
    }

    fn stretches(&self, s: Stretch) -> impl Iterator<Item = (Duration, Duration, f64)> {
        gauge_stretches(self.initial, self.steps, s.start, s.end)
    }
}

/// A condition with its limit as a number.
#[derive(Clone, Copy)]
struct Test {
    op: Op,
    limit: f64,
    quantile: Option<f64>,
}

impl Test {
    fn new(scenario: &Scenario, condition: &Condition) -> Self {
        Self {
            op: condition.op,
            limit: limit(scenario, &condition.limit),
            quantile: condition.quantile,
        }
    }

    fn holds(self, value: f64) -> bool {
        holds(self.op, value, self.limit)
    }
}

fn nothing(why: &str) -> Sample {
    Sample::Nothing { why: why.into() }
}

fn number(value: Option<f64>) -> Sample {
    match value {
        // The sum of nothing is -0.0 in floating point, and nobody wants to read that.
        Some(value) => Sample::Number { value: value + 0.0 },
        None => nothing("there was no sample"),
    }
}

fn of_samples(view: &View, function: Function, condition: Option<Test>, all: &[Timed]) -> Sample {
    let samples = || view.samples(all);
    let weighted = |f: fn(&Timed) -> f64| samples().map(|s| f(s) * s.weight as f64).sum::<f64>();
    match (function, condition) {
        (Function::Quantile(_) | Function::Mean, _) => Sample::Values {
            values: sorted(samples().map(|s| (s.value, s.weight))),
        },
        (Function::Share, Some(test)) => Sample::Share {
            hits: samples()
                .filter(|s| test.holds(s.value))
                .map(|s| s.weight as f64)
                .sum(),
            of: weighted(|_| 1.0),
            counted: true,
        },
        (Function::Count, _) => number(Some(weighted(|_| 1.0))),
        (Function::Sum, _) => number(Some(weighted(|s| s.value))),
        (Function::Rate, _) => number(Some(weighted(|_| 1.0) / view.seconds())),
        (Function::Min, _) => number(samples().map(|s| s.value).reduce(f64::min)),
        (Function::Max, _) => number(samples().map(|s| s.value).reduce(f64::max)),
        (Function::Last, _) => number(samples().max_by_key(|s| s.start).map(|s| s.value)),
        (Function::Delta, _) => {
            let first = samples().min_by_key(|s| s.start).map(|s| s.value);
            let last = samples().max_by_key(|s| s.start).map(|s| s.value);
            number(last.zip(first).map(|(last, first)| last - first))
        }
        (Function::Gap, _) => number(Some(gap(view, samples().map(|s| s.start)))),
        (Function::Recovery, Some(test)) => worst(view, |s| recovery_of_samples(*s, test, all)),
        (Function::TimeTo, Some(test)) => worst(view, |s| {
            let inside = |at: Duration| at >= s.start && at < s.end;
            let hits = all.iter().filter(|t| inside(t.stop) && test.holds(t.value));
            hits.map(|t| t.stop).min().map(|at| at - s.start)
        }),
        (Function::Share | Function::Recovery | Function::TimeTo, None) => {
            nothing("it needs a condition")
        }
        (Function::Ratio, _) => nothing("a ratio needs two metrics"),
    }
}

fn of_counter(view: &View, function: Function, all: &[(Duration, f64)]) -> Sample {
    let steps = || all.iter().filter(|(at, _)| view.contains(*at));
    let sum = || steps().map(|(_, amount)| amount).sum::<f64>();
    match function {
        Function::Count | Function::Sum | Function::Delta => number(Some(sum())),
        Function::Rate => number(Some(sum() / view.seconds())),
        Function::Gap => number(Some(gap(view, steps().map(|(at, _)| *at)))),
        Function::Last => {
            let end = view.stretches[view.stretches.len() - 1].end;
            let before = all.iter().filter(|(at, _)| (*at).min(view.end) <= end);
            number(Some(before.map(|(_, amount)| amount).sum()))
        }
        // What was added in one second.
        Function::Max | Function::Min | Function::Mean => {
            let mut seconds: Vec<(u64, f64)> = Vec::new();
            for (at, amount) in steps() {
                match seconds.last_mut() {
                    Some(last) if last.0 == at.as_secs() => last.1 += amount,
                    _ => seconds.push((at.as_secs(), *amount)),
                }
            }
            let values = seconds.iter().map(|(_, amount)| *amount);
            let silent = (seconds.len() as f64) < view.seconds().floor();
            number(Some(match function {
                Function::Max => values.fold(0.0, f64::max),
                Function::Min if silent => 0.0,
                Function::Min => values.reduce(f64::min).unwrap_or(0.0),
                _ => sum() / view.seconds(),
            }))
        }
        _ => nothing("a counter has no such function"),
    }
}

fn of_gauge(view: &View, function: Function, condition: Option<Test>, gauge: &Gauge<'_>) -> Sample {
    let stretches = || view.stretches.iter().flat_map(|s| gauge.stretches(*s));
    let seconds = |from: Duration, to: Duration| (to - from).as_secs_f64();
    let first = view.stretches[0].start;
    let end = view.stretches[view.stretches.len() - 1].end;
    let values = || stretches().map(|(_, _, value)| value);
    // The instant of the end belongs to the window: a step may fall on it.
    let last = gauge.at(end);
    match (function, condition) {
        (Function::Mean, _) => {
            let area: f64 = stretches()
                .map(|(from, to, value)| seconds(from, to) * value)
                .sum();
            number(Some(area / view.seconds()))
        }
        (Function::Min, _) if !view.at_end => number(values().reduce(f64::min)),
        (Function::Max, _) if !view.at_end => number(values().reduce(f64::max)),
        (Function::Min | Function::Max | Function::Last | Function::Sum | Function::Count, _) => {
            number(Some(last))
        }
        (Function::Delta, _) => number(Some(last - gauge.at(first))),
        (Function::Rate, _) => number(Some((last - gauge.at(first)) / view.seconds())),
        (Function::Quantile(q), _) => {
            // Time-weighted, in microseconds: fine enough for any gauge, and exact to add.
            let weight = |from: Duration, to: Duration| (to - from).as_micros() as u64;
            let all = sorted(stretches().map(|(from, to, value)| (value, weight(from, to))));
            number(quantile(&all, q))
        }
        (Function::Share, Some(test)) => Sample::Share {
            hits: stretches()
                .filter(|s| test.holds(s.2))
                .map(|(from, to, _)| seconds(from, to))
                .sum(),
            of: view.seconds(),
            counted: false,
        },
        (Function::Gap, _) => {
            let changes = gauge.steps.iter().map(|(at, _)| *at);
            number(Some(gap(view, changes.filter(|at| view.contains(*at)))))
        }
        (Function::Recovery, Some(test)) => worst(view, |s| recovery_of_gauge(*s, test, gauge)),
        (Function::TimeTo, Some(test)) => worst(view, |s| {
            gauge
                .stretches(*s)
                .find(|(_, _, value)| test.holds(*value))
                .map(|(from, ..)| from - s.start)
        }),
        (Function::Share | Function::Recovery | Function::TimeTo, None) => {
            nothing("it needs a condition")
        }
        (Function::Ratio, _) => nothing("a ratio needs two metrics"),
    }
}

/// Sum over sum for counters, mean over mean for gauges, number over number for samples.
fn ratio(view: &View, over: &Series, under: &Series) -> Sample {
    let amount = |series: &Series| match series {
        Series::Samples(all) => Some(view.samples(all).map(|s| s.weight as f64).sum::<f64>()),
        Series::Counter(all) => Some(
            all.iter()
                .filter(|(at, _)| view.contains(*at))
                .map(|(_, amount)| amount)
                .sum(),
        ),
        Series::Gauge { initial, steps } => {
            let gauge = Gauge {
                initial: *initial,
                steps,
            };
            let all = view.stretches.iter().flat_map(|s| gauge.stretches(*s));
            Some(
                all.map(|(from, to, value)| (to - from).as_secs_f64() * value)
                    .sum(),
            )
        }
        Series::Unrecorded => None,
    };
    match (amount(over), amount(under)) {
        (Some(over), Some(under)) if under > 0.0 => Sample::Ratio { over, under },
        (Some(_), Some(_)) => nothing("there was nothing to divide by"),
        _ => nothing("one of the metrics is not recorded in this version"),
    }
}

/// Longest time without a happening within a stretch, its ends counted as happenings. Seconds.
fn gap(view: &View, at: impl Iterator<Item = Duration>) -> f64 {
    let mut all: Vec<Duration> = at.map(|at| at.min(view.end)).collect();
    all.sort_unstable();
    let longest = |s: &Stretch| {
        let from = all.partition_point(|at| *at < s.start);
        let inside = all[from..].iter().copied().take_while(|at| *at < s.end);
        let mut before = s.start;
        let mut longest = Duration::ZERO;
        for at in inside.chain([s.end]) {
            longest = longest.max(at - before);
            before = at;
        }
        longest
    };
    view.stretches
        .iter()
        .map(longest)
        .max()
        .unwrap_or_default()
        .as_secs_f64()
}

/// The longest of a time over all stretches; a stretch in which it never passes gives its whole length as a lower bound.
fn worst(view: &View, time: impl Fn(&Stretch) -> Option<Duration>) -> Sample {
    let mut longest = (Duration::ZERO, false);
    for stretch in &view.stretches {
        let this = match time(stretch) {
            Some(time) => (time, false),
            None => (stretch.end - stretch.start, true),
        };
        longest = longest.max(this);
    }
    let value = longest.0.as_secs_f64();
    match longest.1 {
        true => Sample::AtLeast { value },
        false => Sample::Number { value },
    }
}

/// Time from the start of the stretch until the condition holds for good; `None` if it does not by its end.
fn recovery_of_gauge(stretch: Stretch, test: Test, gauge: &Gauge<'_>) -> Option<Duration> {
    let mut since: Option<Duration> = None;
    for (from, _, value) in gauge.stretches(stretch) {
        if let Some(good) = since
            && from >= good + STEADY
        {
            break;
        }
        since = match test.holds(value) {
            true => since.or(Some(from)),
            false => None,
        };
    }
    Some(since? - stretch.start)
}

/// The same for samples: of single samples, the end of the last one that fails; of a quantile, the end of the last minute
/// that fails. Samples count where they begin, a minute without samples does not fail.
fn recovery_of_samples(stretch: Stretch, test: Test, all: &[Timed]) -> Option<Duration> {
    let inside = all
        .iter()
        .filter(|s| s.start >= stretch.start && s.start < stretch.end);
    // Spans in order: begin, end, and whether the condition is broken in it.
    let mut spans: Vec<(Duration, Duration, bool)> = match test.quantile {
        None => inside
            .map(|s| (s.start, s.stop, !test.holds(s.value)))
            .collect(),
        Some(q) => {
            let mut minutes: std::collections::BTreeMap<u64, Vec<(f64, u64)>> = Default::default();
            for sample in inside {
                let minute = (sample.start - stretch.start).as_secs() / MINUTE.as_secs();
                minutes
                    .entry(minute)
                    .or_default()
                    .push((sample.value, sample.weight));
            }
            let span = |(minute, values): (u64, Vec<(f64, u64)>)| {
                let begin = stretch.start + MINUTE * u32::try_from(minute).ok()?;
                let broken = quantile(&sorted(values), q).is_some_and(|v| !test.holds(v));
                Some((begin, begin + MINUTE, broken))
            };
            minutes.into_iter().filter_map(span).collect()
        }
    };
    spans.sort_by_key(|(begin, ..)| *begin);
    let (mut last, mut has_held) = (stretch.start, false);
    for (begin, end, broken) in spans {
        if !broken {
            has_held = true;
            continue;
        }
        if has_held && begin >= last + STEADY_SAMPLES {
            break;
        }
        (last, has_held) = (last.max(end), false);
    }
    (last < stretch.end).then(|| last - stretch.start)
}

#[cfg(test)]
mod tests;
