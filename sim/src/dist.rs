//! Distributions, given by quantiles that people know.
//!
//! Values are plain `f64` in the quantity's base unit: seconds for times, bytes for sizes, counts for counts.
//! Decides how a draw is made; what is drawn, and with which seed, is decided where it is used.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use rand_distr::Distribution as _;

/// The 99 % quantile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_840_8;

/// A distribution of non-negative values.
#[derive(Clone, Debug, PartialEq)]
pub enum Dist {
    /// Always the same value.
    Const(f64),
    /// Uniform between the two bounds.
    Uniform(f64, f64),
    /// Exponential.
    Exp {
        /// Mean.
        mean: f64,
    },
    /// Log-normal through two quantiles.
    LogNormal {
        /// Median.
        p50: f64,
        /// 99 % quantile, at least the median.
        p99: f64,
    },
    /// Weibull: `P(X > x) = exp(-(x / scale)^shape)`.
    Weibull {
        /// Its 63 % quantile.
        scale: f64,
        /// Below 1 the tail is heavier than exponential.
        shape: f64,
    },
    /// Pareto: `P(X > x) = (min / x)^alpha`.
    Pareto {
        /// Smallest value.
        min: f64,
        /// More than 1, so that there is a mean.
        alpha: f64,
    },
    /// By quantiles, straight lines in between: (quantile, value), from 0 to 1, growing in both.
    Quantiles(Vec<(f64, f64)>),
    /// Geometric on 1, 2, 3, …
    Geometric {
        /// Mean, at least 1.
        mean: f64,
    },
}

impl Dist {
    /// The log-normal through two quantiles, the lower one first: (quantile, value).
    pub fn log_normal(low: (f64, f64), high: (f64, f64)) -> Self {
        // Exactly what was written, where that is what is kept.
        if (low.0, high.0) == (0.5, 0.99) {
            let (p50, p99) = (low.1, high.1);
            return Self::LogNormal { p50, p99 };
        }
        let (z1, z2) = (inverse_normal(low.0), inverse_normal(high.0));
        let sigma = (high.1 / low.1).ln() / (z2 - z1);
        let p50 = low.1 * (-sigma * z1).exp();
        let p99 = p50 * (sigma * Z99).exp();
        Self::LogNormal { p50, p99 }
    }

    /// The Weibull through two quantiles, the lower one first.
    pub fn weibull(low: (f64, f64), high: (f64, f64)) -> Self {
        if high.1 <= low.1 {
            return Self::Const(low.1);
        }
        let hazard = |q: f64| -(-q).ln_1p();
        let shape = (hazard(high.0) / hazard(low.0)).ln() / (high.1 / low.1).ln();
        let scale = low.1 / hazard(low.0).powf(1.0 / shape);
        Self::Weibull { scale, shape }
    }

    /// The Pareto through two quantiles, the lower one first; `None` if it would have no mean.
    pub fn pareto(low: (f64, f64), high: (f64, f64)) -> Option<Self> {
        if high.1 <= low.1 {
            return Some(Self::Const(low.1));
        }
        let alpha = ((1.0 - low.0) / (1.0 - high.0)).ln() / (high.1 / low.1).ln();
        let min = low.1 * (1.0 - low.0).powf(1.0 / alpha);
        (alpha > 1.0).then_some(Self::Pareto { min, alpha })
    }

    /// Draws one value.
    pub fn sample(&self, rng: &mut impl Rng) -> f64 {
        match *self {
            Self::Weibull { scale, shape } => {
                let unit: f64 = rand_distr::Exp1.sample(rng);
                scale * unit.powf(1.0 / shape)
            }
            Self::Pareto { min, alpha } => {
                let unit: f64 = rand_distr::Exp1.sample(rng);
                min * (unit / alpha).exp()
            }
            Self::Quantiles(ref list) => {
                let u: f64 = rng.random();
                let next = list
                    .partition_point(|(q, _)| *q <= u)
                    .clamp(1, list.len() - 1);
                let ((q1, v1), (q2, v2)) = (list[next - 1], list[next]);
                v1 + (v2 - v1) * ((u - q1) / (q2 - q1)).clamp(0.0, 1.0)
            }
            Self::Const(v) => v,
            Self::Uniform(a, b) if a >= b => a,
            Self::Uniform(a, b) => rng.random_range(a..b),
            Self::Exp { mean } => {
                let unit: f64 = rand_distr::Exp1.sample(rng);
                unit * mean
            }
            Self::LogNormal { p50, p99 } => {
                let z: f64 = rand_distr::StandardNormal.sample(rng);
                p50 * (z * (p99 / p50).ln() / Z99).exp()
            }
            Self::Geometric { mean } if mean <= 1.0 => 1.0,
            Self::Geometric { mean } => {
                // Inversion: the smallest k with 1 - (1 - p)^k >= u.
                let u: f64 = rng.random();
                (1.0 + ((1.0 - u).ln() / (1.0 - 1.0 / mean).ln()).floor()).max(1.0)
            }
        }
    }

    /// Draws a time; values are seconds.
    pub fn sample_duration(&self, rng: &mut impl Rng) -> Duration {
        Duration::from_secs_f64(self.sample(rng).clamp(0.0, 1e9))
    }

    /// The expected value.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Weibull { scale, shape } => scale * gamma(1.0 + 1.0 / shape),
            Self::Pareto { min, alpha } => alpha * min / (alpha - 1.0),
            Self::Quantiles(ref list) => {
                let part =
                    |pair: &[(f64, f64)]| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0;
                list.windows(2).map(part).sum()
            }
            Self::Const(v) => v,
            Self::Uniform(a, b) => (a + b) / 2.0,
            Self::Exp { mean } | Self::Geometric { mean } => mean,
            Self::LogNormal { p50, p99 } => {
                let sigma = (p99 / p50).ln() / Z99;
                p50 * (sigma * sigma / 2.0).exp()
            }
        }
    }

    /// The expected square. Infinite where the tail is too heavy for one: a Pareto with `alpha` of at most 2.
    pub fn mean_square(&self) -> f64 {
        match *self {
            Self::Const(v) => v * v,
            Self::Uniform(a, b) => (a * a + a * b + b * b) / 3.0,
            Self::Exp { mean } => 2.0 * mean * mean,
            Self::LogNormal { p50, p99 } => {
                let sigma = (p99 / p50).ln() / Z99;
                p50 * p50 * (2.0 * sigma * sigma).exp()
            }
            Self::Weibull { scale, shape } => scale * scale * gamma(1.0 + 2.0 / shape),
            Self::Pareto { min, alpha } if alpha > 2.0 => alpha * min * min / (alpha - 2.0),
            Self::Pareto { .. } => f64::INFINITY,
            Self::Quantiles(ref list) => {
                let part = |pair: &[(f64, f64)]| {
                    let (a, b) = (pair[0].1, pair[1].1);
                    (pair[1].0 - pair[0].0) * (a * a + a * b + b * b) / 3.0
                };
                list.windows(2).map(part).sum()
            }
            Self::Geometric { mean } => {
                let p = 1.0 / mean.max(1.0);
                (2.0 - p) / (p * p)
            }
        }
    }
}

/// The gamma function for `x >= 1`: Lanczos, with g = 7 and nine terms; 15 digits.
fn gamma(x: f64) -> f64 {
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let t = x + 7.5;
    let sum = (1..9).fold(C[0], |sum, i| sum + C[i] / (x + i as f64));
    (2.0 * std::f64::consts::PI).sqrt() * t.powf(x + 0.5) * (-t).exp() * sum
}

/// The inverse of the standard normal distribution: Acklam's rational approximation, relative error below 1.2e-9.
pub(crate) fn inverse_normal(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    if p > 0.5 {
        return -inverse_normal(1.0 - p);
    }
    let poly = |all: &[f64], x: f64| all.iter().fold(0.0, |sum, c| sum * x + c);
    if p < 0.024_25 {
        let x = (-2.0 * p.ln()).sqrt();
        return poly(&C, x) / (poly(&D, x) * x + 1.0);
    }
    let x = p - 0.5;
    let r = x * x;
    poly(&A, r) * x / (poly(&B, r) * r + 1.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const DRAWS: usize = 200_000;

    fn draws(dist: &Dist) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut all: Vec<f64> = (0..DRAWS).map(|_| dist.sample(&mut rng)).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    fn near(got: f64, expect: f64, relative: f64, what: &str) {
        assert!(
            (got / expect - 1.0).abs() < relative,
            "{what}: {got}, expected {expect}"
        );
    }

    #[test]
    fn means_are_what_they_say() {
        for dist in [
            Dist::Const(3.0),
            Dist::Uniform(35.0, 70.0),
            Dist::Exp { mean: 7200.0 },
            Dist::LogNormal {
                p50: 0.017,
                p99: 0.071,
            },
            Dist::Geometric { mean: 2.2 },
            Dist::Geometric { mean: 1.0 },
            Dist::weibull((0.5, 2.0), (0.99, 30.0)),
            Dist::pareto((0.5, 1.0), (0.99, 5.0)).expect("it has a mean"),
            Dist::Quantiles(vec![(0.0, 1.0), (0.5, 2.0), (0.9, 2.0), (1.0, 40.0)]),
        ] {
            let all = draws(&dist);
            near(
                all.iter().sum::<f64>() / DRAWS as f64,
                dist.mean(),
                0.01,
                &format!("{dist:?}"),
            );
            assert!(all[0] >= 0.0, "{dist:?}");
            // Squares vary more than values do, and those of a heavy tail never settle.
            if !matches!(dist, Dist::Pareto { .. }) {
                let squares = all.iter().map(|v| v * v).sum::<f64>() / DRAWS as f64;
                near(
                    squares,
                    dist.mean_square(),
                    0.05,
                    &format!("{dist:?} squared"),
                );
            }
        }
        let heavy = Dist::Pareto {
            min: 1.0,
            alpha: 1.5,
        };
        assert_eq!(heavy.mean_square(), f64::INFINITY);
        let light = Dist::Pareto {
            min: 1.0,
            alpha: 3.0,
        };
        assert_eq!(light.mean_square(), 3.0);
    }

    /// Quantiles that people give are the ones that they get.
    #[test]
    fn distributions_go_through_their_quantiles() {
        for (p50, p99) in [(0.017, 0.071), (0.004, 0.060), (0.12, 0.9)] {
            let all = draws(&Dist::LogNormal { p50, p99 });
            near(all[DRAWS / 2], p50, 0.01, "p50");
            near(all[DRAWS * 99 / 100], p99, 0.03, "p99");
        }
        for (low, high) in [(0.5, 0.95), (0.9, 0.999), (0.25, 0.5)] {
            let through = [(low, 0.02), (high, 0.3)];
            let heavy = Dist::pareto((low, 0.1), (high, 0.12)).expect("it has a mean");
            for (all, expect) in [
                (draws(&Dist::log_normal(through[0], through[1])), through),
                (draws(&Dist::weibull(through[0], through[1])), through),
                (draws(&heavy), [(low, 0.1), (high, 0.12)]),
            ] {
                for (q, v) in expect {
                    near(all[(DRAWS as f64 * q) as usize], v, 0.06, "quantile");
                }
            }
        }
        assert_eq!(Dist::pareto((0.5, 1.0), (0.99, 1000.0)), None);
        let steps = draws(&Dist::Quantiles(vec![(0.0, 1.0), (0.9, 2.0), (1.0, 4.0)]));
        near(steps[DRAWS * 9 / 10], 2.0, 0.02, "p90");
        assert!(steps[0] >= 1.0 && steps[DRAWS - 1] <= 4.0);
        let flat = draws(&Dist::LogNormal { p50: 2.0, p99: 2.0 });
        assert_eq!((flat[0], flat[DRAWS - 1]), (2.0, 2.0));
    }

    #[test]
    fn a_geometric_draw_is_a_whole_number_from_one_on() {
        let all = draws(&Dist::Geometric { mean: 2.2 });
        assert!(all.iter().all(|v| *v >= 1.0 && v.fract() == 0.0));
        let ones = all.partition_point(|v| *v < 2.0);
        near(ones as f64 / DRAWS as f64, 1.0 / 2.2, 0.01, "share of ones");
    }

    #[test]
    fn a_uniform_draw_stays_between_its_bounds() {
        let all = draws(&Dist::Uniform(4.0, 30.0));
        assert!(all[0] >= 4.0 && all[DRAWS - 1] < 30.0);
        assert_eq!(draws(&Dist::Uniform(5.0, 5.0))[0], 5.0);
    }

    #[test]
    fn a_seed_gives_the_same_draws() {
        let dist = Dist::LogNormal {
            p50: 0.017,
            p99: 0.071,
        };
        assert_eq!(draws(&dist), draws(&dist));
    }
}
