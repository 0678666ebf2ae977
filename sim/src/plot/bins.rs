//! How a series becomes points: rates by bin, gauges step by step, samples as a quantile and a maximum by bin.

use std::time::Duration;

use crate::metric::{
    SeedLog,
    evaluate::{quantile, sorted},
    series::Timed,
};

/// 360: a bin is two units wide in a plot.
const BINS_MAX: u64 = 360;

/// Widths that people count in, seconds.
const WIDTHS: [u64; 18] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
];

/// Width of a bin of this run, seconds.
pub(super) fn width(log: &SeedLog<'_>) -> u64 {
    let seconds = log.scenario.duration.as_secs().max(1);
    let fits = |width: &&u64| seconds.div_ceil(**width) <= BINS_MAX;
    WIDTHS
        .iter()
        .find(fits)
        .copied()
        .unwrap_or_else(|| seconds.div_ceil(BINS_MAX))
}

/// Steps of a gauge within the run, from its start to its end.
pub(super) fn gauge(log: &SeedLog<'_>, initial: f64, steps: &[(Duration, f64)]) -> Vec<(f64, f64)> {
    let end = log.scenario.duration;
    let mut points = vec![(0.0, initial)];
    let inside = steps.iter().filter(|(at, _)| *at <= end);
    points.extend(inside.map(|(at, value)| (at.as_secs_f64(), *value)));
    let last = points.last().map_or(initial, |p| p.1);
    points.push((end.as_secs_f64(), last));
    points
}

/// Amounts per second by bin, times `factor`; runs of equal bins are one step. Steps in any order.
pub(super) fn rate(
    log: &SeedLog<'_>,
    steps: impl Iterator<Item = (Duration, f64)>,
    factor: f64,
) -> Vec<(f64, f64)> {
    let width = width(log);
    let end = log.scenario.duration.as_secs().max(1);
    let mut sums = vec![0.0; usize::try_from(end.div_ceil(width)).unwrap_or(0)];
    for (at, amount) in steps {
        let bin = usize::try_from(at.as_secs() / width).unwrap_or(usize::MAX);
        if let Some(sum) = sums.get_mut(bin) {
            *sum += amount;
        }
    }
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (bin, sum) in sums.iter().enumerate() {
        let start = bin as u64 * width;
        let seconds = width.min(end - start) as f64;
        let value = sum * factor / seconds;
        if points.last().is_none_or(|last| last.1 != value) {
            points.push((start as f64, value));
        }
    }
    let last = points.last().map_or(0.0, |p| p.1);
    points.push((end as f64, last));
    points
}

/// By bin of their start: the quantile and the largest of the samples, at the middle of the bin. Bins without samples have no point.
pub(super) fn quantiles(log: &SeedLog<'_>, samples: &[Timed], q: f64) -> [Vec<(f64, f64)>; 2] {
    let width = width(log);
    let mut bins: std::collections::BTreeMap<u64, Vec<(f64, u64)>> = Default::default();
    for sample in samples {
        if sample.start <= log.scenario.duration {
            let bin = bins.entry(sample.start.as_secs() / width).or_default();
            bin.push((sample.value, sample.weight));
        }
    }
    let (mut middle, mut largest) = (Vec::new(), Vec::new());
    for (bin, values) in bins {
        let at = bin as f64 * width as f64 + width as f64 / 2.0;
        let at = at.min(log.scenario.duration.as_secs_f64());
        let values = sorted(values);
        middle.extend(quantile(&values, q).map(|v| (at, v)));
        largest.extend(values.last().map(|(v, _)| (at, *v)));
    }
    [middle, largest]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::fixture::{Log, s, scenario};

    #[test]
    fn rates_by_bin_add_up() {
        let scenario = scenario();
        let mut paper = Log::default();
        let log = paper.log(&scenario);
        assert_eq!(width(&log), 15, "90 minutes in 360 bins");
        let steps = [
            (s(20.0), 30.0),
            (s(29.0), 30.0),
            (s(6000.0), 9.0),
            (s(31.0), 8.0),
        ];
        let points = rate(&log, steps.into_iter(), 8.0);
        assert_eq!(
            points,
            [
                (0.0, 0.0),
                (15.0, 32.0),
                (30.0, 8.0 * 8.0 / 15.0),
                (45.0, 0.0),
                (5400.0, 0.0)
            ]
        );
    }

    #[test]
    fn samples_have_a_median_and_a_maximum() {
        let scenario = scenario();
        let mut paper = Log::default();
        let log = paper.log(&scenario);
        let sample = |at, value| Timed::latency(s(at), s(at + value), 1);
        let all = [
            sample(1.0, 2.0),
            sample(2.0, 9.0),
            sample(3.0, 3.0),
            sample(40.0, 1.0),
        ];
        let [middle, largest] = quantiles(&log, &all, 0.5);
        assert_eq!(middle, [(7.5, 3.0), (37.5, 1.0)]);
        assert_eq!(largest, [(7.5, 9.0), (37.5, 1.0)]);
        assert_eq!(quantiles(&log, &[], 0.5), [vec![], vec![]]);
    }

    #[test]
    fn a_gauge_goes_from_end_to_end() {
        let scenario = scenario();
        let mut paper = Log::default();
        let log = paper.log(&scenario);
        let steps = [(s(10.0), 4.0), (s(9999.0), 1.0)];
        assert_eq!(
            gauge(&log, 2.0, &steps),
            [(0.0, 2.0), (10.0, 4.0), (5400.0, 4.0)]
        );
    }
}
