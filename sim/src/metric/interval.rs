//! How sure a figure is: intervals for shares, quantiles, and means over seeds.
//!
//! Pure functions with their sources. What is judged with them, and what an interval that straddles a limit means, is decided in
//! `judge`. Samples of one kind count as independent of each other: a burst of telemetry items that travelled together makes an
//! interval narrower than it should be, which more seeds put right and more items do not.

use crate::dist::inverse_normal;

/// An interval; an end that the samples do not bound is infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Of a share: `hits` of `of` samples, at a confidence such as 0.95. Stays within 0 and 1, and is never empty at either end.
///
/// The score interval, Wilson 1927.
pub fn share(hits: f64, of: f64, confidence: f64) -> Interval {
    let (p, z) = (hits / of, normal(confidence));
    let z2 = z * z / of;
    let middle = (p + z2 / 2.0) / (1.0 + z2);
    let half = z / (1.0 + z2) * (p * (1.0 - p) / of + z2 / (4.0 * of)).sqrt();
    Interval {
        low: (middle - half).max(0.0),
        high: (middle + half).min(1.0),
    }
}

/// Ranks (1-based) of `n` sorted samples between which the `q`-quantile lies; `None` is beyond all of them.
///
/// Order statistics: the number of samples below the quantile is binomial, taken as normal (Conover, Practical Nonparametric
/// Statistics, section 3.2). A p99 has an upper end from 381 samples on, at 95 %.
pub fn quantile_ranks(n: u64, q: f64, confidence: f64) -> (Option<u64>, Option<u64>) {
    let mean = n as f64 * q;
    let spread = normal(confidence) * (mean * (1.0 - q)).sqrt();
    let (low, high) = ((mean - spread).ceil(), (mean + spread).ceil());
    (
        (low >= 1.0).then_some(low as u64),
        (high <= n as f64).then_some(high as u64),
    )
}

/// Of `sum(over) / sum(under)`, each pair from one seed; a mean is a ratio whose `under` are ones. `None` for fewer than two seeds.
///
/// The ratio estimator with its linearised variance (Cochran, Sampling Techniques, section 6.3), and Student's t for few seeds.
pub fn ratio(pairs: &[(f64, f64)], confidence: f64) -> Option<Interval> {
    let n = pairs.len() as f64;
    let under: f64 = pairs.iter().map(|(_, under)| under).sum();
    if n < 2.0 || under <= 0.0 {
        return None;
    }
    let middle = pairs.iter().map(|(over, _)| over).sum::<f64>() / under;
    let squares: f64 = pairs
        .iter()
        .map(|(over, under)| (over - middle * under).powi(2))
        .sum();
    let half = student(confidence, n - 1.0) * (n / (n - 1.0) * squares).sqrt() / under;
    Some(Interval {
        low: middle - half,
        high: middle + half,
    })
}

/// Seeds that must agree before their agreement says something: so many that what happens in a share `1 - confidence` of all seeds
/// would have been seen, with that confidence (Wilks 1941): 59 at 95 %.
pub fn agreeing_seeds(confidence: f64) -> u64 {
    ((1.0 - confidence).ln() / confidence.ln()).ceil() as u64
}

/// The standard normal deviate that leaves `1 - confidence` in both tails together: 1.96 for 0.95.
fn normal(confidence: f64) -> f64 {
    -inverse_normal((1.0 - confidence) / 2.0)
}

/// Student's t that leaves `1 - confidence` in both tails together, for `n` degrees of freedom.
///
/// Hill 1970, algorithm 396 of the ACM; at least six digits.
fn student(confidence: f64, n: f64) -> f64 {
    let p = 1.0 - confidence;
    if n < 1.5 {
        return 1.0 / (p * std::f64::consts::FRAC_PI_2).tan();
    }
    if n < 2.5 {
        return (2.0 / (p * (2.0 - p)) - 2.0).sqrt();
    }
    let a = 1.0 / (n - 0.5);
    let b = 48.0 / (a * a);
    let c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36;
    let d = ((94.5 / (b + c) - 3.0) / b + 1.0) * (a * std::f64::consts::FRAC_PI_2).sqrt() * n;
    let y = (d * p).powf(2.0 / n);
    let y = if y > 0.05 + a {
        let x = inverse_normal(p / 2.0);
        let x2 = x * x;
        let c = match n < 5.0 {
            true => c + 0.3 * (n - 4.5) * (x + 0.6),
            false => c,
        };
        let c = (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b + c;
        let y = (((((0.4 * x2 + 6.3) * x2 + 36.0) * x2 + 94.5) / c - x2 - 3.0) / b + 1.0) * x;
        (a * y * y).exp_m1()
    } else {
        ((1.0 / (((n + 6.0) / (n * y) - 0.089 * d - 0.822) * (n + 2.0) * 3.0) + 0.5 / (n + 4.0))
            * y
            - 1.0)
            * (n + 1.0)
            / (n + 2.0)
            + 1.0 / y
    };
    (n * y).sqrt()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::oracle::near;

    #[test]
    fn deviates_are_those_of_the_tables() {
        near(normal(0.95), 1.959_964, 1e-6);
        near(normal(0.99), 2.575_829, 1e-6);
        near(normal(0.5), 0.674_490, 1e-5);
        for (confidence, n, expect) in [
            (0.95, 1.0, 12.7062),
            (0.95, 2.0, 4.302_65),
            (0.95, 3.0, 3.182_446),
            (0.95, 4.0, 2.776_445),
            (0.95, 9.0, 2.262_157),
            (0.99, 9.0, 3.249_836),
            (0.95, 29.0, 2.045_230),
            (0.95, 399.0, 1.965_927),
        ] {
            near(student(confidence, n), expect, 2e-4);
        }
        assert_eq!(agreeing_seeds(0.95), 59);
    }

    #[test]
    fn a_share_without_a_miss_is_not_certain() {
        let all = share(100.0, 100.0, 0.95);
        near(all.low, 0.963, 1e-3);
        assert_eq!(all.high, 1.0);
        let half = share(50.0, 100.0, 0.95);
        near(half.low, 0.4038, 1e-3);
        near(half.high, 0.5962, 1e-3);
    }

    #[test]
    fn a_tail_needs_samples_beyond_it() {
        assert_eq!(quantile_ranks(100, 0.5, 0.95), (Some(41), Some(60)));
        assert_eq!(quantile_ranks(100, 0.99, 0.95).1, None);
        assert_eq!(quantile_ranks(385, 0.99, 0.95), (Some(378), Some(385)));
        assert_eq!(quantile_ranks(3, 0.5, 0.95), (None, None));
    }

    /// Guarantees: an interval at 90 % holds what it is about nine times out of ten.
    #[test]
    fn intervals_cover_as_often_as_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut shares, mut quantiles, mut means) = (0, 0, 0);
        let rounds = 2_000;
        for _ in 0..rounds {
            let hits = (0..400).filter(|_| rng.random::<f64>() < 0.9).count();
            let it = share(hits as f64, 400.0, 0.9);
            shares += i32::from((it.low..=it.high).contains(&0.9));
            let mut all: Vec<f64> = (0..400).map(|_| rng.random()).collect();
            all.sort_by(f64::total_cmp);
            let (low, high) = quantile_ranks(400, 0.9, 0.9);
            let at = |rank: Option<u64>| all[rank.expect("enough samples") as usize - 1];
            quantiles += i32::from((at(low)..=at(high)).contains(&0.9));
            let pairs: Vec<(f64, f64)> = (0..6)
                .map(|_| {
                    let under = rng.random_range(50.0..150.0);
                    (under * rng.random_range(0.2..0.4), under)
                })
                .collect();
            let it = ratio(&pairs, 0.9).expect("six seeds");
            means += i32::from((it.low..=it.high).contains(&0.3));
        }
        for (what, covered) in [("share", shares), ("quantile", quantiles), ("mean", means)] {
            let covered = f64::from(covered) / f64::from(rounds);
            assert!((0.87..=0.94).contains(&covered), "{what}: {covered}");
        }
        assert_eq!(ratio(&[(1.0, 1.0)], 0.9), None);
    }
}
