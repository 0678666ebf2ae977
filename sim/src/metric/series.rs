//! A metric over one run, before any function or window: samples, a counter's steps, or a gauge.

use std::time::Duration;

/// A metric over one run.
#[derive(Clone, Debug, PartialEq)]
pub enum Series {
    /// Happenings with a value.
    Samples(Vec<Timed>),
    /// What was added, and when; time order.
    Counter(Vec<(Duration, f64)>),
    /// A value at every instant: steps in time order, and what holds before the first one.
    Gauge {
        /// Value before the first step.
        initial: f64,
        /// New values.
        steps: Vec<(Duration, f64)>,
    },
    /// Known to the language, and not recorded in this version.
    Unrecorded,
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed {
    /// When it began: decides its window.
    pub start: Duration,
    /// When it ended; the end of the run for what is still under way.
    pub stop: Duration,
    /// Its value.
    pub value: f64,
    /// How many such samples: a run of telemetry items that travelled together.
    pub weight: u64,
}

impl Timed {
    /// One latency: its value is the time between its ends.
    pub(crate) fn latency(start: Duration, stop: Duration, weight: u64) -> Self {
        Self {
            start,
            stop,
            value: stop.saturating_sub(start).as_secs_f64(),
            weight,
        }
    }
}

/// Value of a gauge at an instant.
pub fn gauge_at(initial: f64, steps: &[(Duration, f64)], at: Duration) -> f64 {
    match steps.partition_point(|(t, _)| *t <= at) {
        0 => initial,
        n => steps[n - 1].1,
    }
}

/// Stretches of constant value within `start..end`: (from, to, value), none empty.
pub fn gauge_stretches(
    initial: f64,
    steps: &[(Duration, f64)],
    start: Duration,
    end: Duration,
) -> impl Iterator<Item = (Duration, Duration, f64)> {
    let first = steps.partition_point(|(t, _)| *t <= start);
    let last = steps.partition_point(|(t, _)| *t < end).max(first);
    let head = (start, gauge_at(initial, steps, start));
    let ends = steps[first..last].iter().map(|(t, _)| *t).chain([end]);
    std::iter::once(head)
        .chain(steps[first..last].iter().copied())
        .zip(ends)
        .map(|((from, value), to)| (from, to, value))
        .filter(|(from, to, _)| from < to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_holds_until_it_changes() {
        let s = Duration::from_secs;
        let steps = [(s(2), 5.0), (s(4), 7.0), (s(4), 1.0), (s(9), 3.0)];
        assert_eq!(gauge_at(0.5, &steps, s(1)), 0.5);
        assert_eq!(gauge_at(0.5, &steps, s(2)), 5.0);
        assert_eq!(gauge_at(0.5, &steps, s(4)), 1.0);
        let all: Vec<_> = gauge_stretches(0.5, &steps, s(1), s(9)).collect();
        assert_eq!(
            all,
            [(s(1), s(2), 0.5), (s(2), s(4), 5.0), (s(4), s(9), 1.0)]
        );
        let all: Vec<_> = gauge_stretches(0.5, &steps, s(9), s(10)).collect();
        assert_eq!(all, [(s(9), s(10), 3.0)]);
        assert_eq!(gauge_stretches(0.5, &[], s(1), s(1)).count(), 0);
    }
}
