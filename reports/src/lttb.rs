//! Leaves points out of a line so that it still looks the same: Largest-Triangle-Three-Buckets, with the extremes kept.
//!
//! Steinarsson, *Downsampling Time Series for Visual Representation*, University of Iceland 2013, section 4.2. The line is cut into buckets of equal
//! numbers of points; of each bucket the point stays that spans the largest triangle with the point kept before it and the mean
//! of the next bucket. The method alone may lose the highest or the lowest point, which is what people look for, so those
//! two are always kept: the result may be two points longer than asked.

/// At most `bound` points and two, in their order; the first, the last, the lowest and the highest are among them. Values must be
/// finite.
///
/// # Panics
/// If `bound` is below 3: a first and a last point are no line.
pub(crate) fn down_sample(points: &[(f64, f64)], bound: usize) -> Vec<(f64, f64)> {
    assert!(bound >= 3, "a line needs 3 points, not {bound}");
    let n = points.len();
    if n <= bound {
        return points.to_vec();
    }
    let by_value = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
    let lowest = (0..n).min_by(by_value).expect("there are points");
    let highest = (0..n).max_by(by_value).expect("there are points");

    // The first and the last point stand alone; what is between them is cut into `bound - 2` buckets.
    let buckets = bound - 2;
    let edge = |bucket: usize| 1 + bucket * (n - 2) / buckets;
    let mut kept = vec![0];
    for bucket in 0..buckets {
        let (from, to) = (edge(bucket), edge(bucket + 1));
        let next = match bucket + 1 < buckets {
            true => &points[to..edge(bucket + 2)],
            false => &points[n - 1..],
        };
        let mean =
            |which: fn(&(f64, f64)) -> f64| next.iter().map(which).sum::<f64>() / next.len() as f64;
        let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
        let (last_x, last_y) = points[kept[kept.len() - 1]];
        // Twice the area; the factor does not matter.
        let area = |index: usize| {
            let (x, y) = points[index];
            ((last_x - mean_x) * (y - last_y) - (last_x - x) * (mean_y - last_y)).abs()
        };
        let best = (from..to).max_by(|a, b| area(*a).total_cmp(&area(*b)));
        kept.extend(best);
    }
    kept.push(n - 1);
    kept.extend([lowest, highest]);
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(points: &[(f64, f64)], bound: usize, must: &[(f64, f64)]) {
        let out = down_sample(points, bound);
        assert!(out.len() <= bound + 2, "{} of {bound}", out.len());
        assert!(out.windows(2).all(|w| w[0].0 <= w[1].0), "order is kept");
        for point in must {
            assert!(out.contains(point), "{point:?} is missing");
        }
        for point in &out {
            assert!(points.contains(point), "{point:?} was made up");
        }
    }

    #[test]
    fn ends_and_extremes_stay() {
        let wave: Vec<(f64, f64)> = (0..5000)
            .map(|n| (f64::from(n), (f64::from(n) / 50.0).sin()))
            .collect();
        let mut spiked = wave.clone();
        spiked[1234].1 = -9.0;
        spiked[1235].1 = 9.0;
        let must = [spiked[0], spiked[1234], spiked[1235], spiked[4999]];
        for bound in [3, 4, 10, 400, 4999] {
            check(&spiked, bound, &must);
        }
    }

    #[test]
    fn short_and_flat_lines_are_left_alone() {
        check(&[], 3, &[]);
        check(&[(1.0, 2.0)], 3, &[(1.0, 2.0)]);
        let flat: Vec<(f64, f64)> = (0..100).map(|n| (f64::from(n), 7.0)).collect();
        check(&flat, 3, &[flat[0], flat[99]]);
        // Many points at one instant.
        let upright: Vec<(f64, f64)> = (0..100).map(|n| (1.0, f64::from(n))).collect();
        check(&upright, 5, &[upright[0], upright[99]]);
    }

    /// A ramp with one corner: the corner is where the eye is.
    #[test]
    fn a_corner_is_kept_before_a_straight_stretch() {
        let ramp: Vec<(f64, f64)> = (0..1000)
            .map(|n| (f64::from(n), f64::from((n - 500).max(0))))
            .collect();
        let out = down_sample(&ramp, 9);
        assert!(
            out.iter()
                .any(|(x, _)| (x - 500.0).abs() <= 125.0 && *x > 400.0),
            "{out:?}"
        );
    }
}
