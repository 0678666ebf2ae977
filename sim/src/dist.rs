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
    /// Geometric on 1, 2, 3, …
    Geometric {
        /// Mean, at least 1.
        mean: f64,
    },
}

impl Dist {
    /// Draws one value.
    pub fn sample(&self, rng: &mut impl Rng) -> f64 {
        match *self {
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
            Self::Const(v) => v,
            Self::Uniform(a, b) => (a + b) / 2.0,
            Self::Exp { mean } | Self::Geometric { mean } => mean,
            Self::LogNormal { p50, p99 } => {
                let sigma = (p99 / p50).ln() / Z99;
                p50 * (sigma * sigma / 2.0).exp()
            }
        }
    }
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
        ] {
            let all = draws(&dist);
            near(
                all.iter().sum::<f64>() / DRAWS as f64,
                dist.mean(),
                0.01,
                &format!("{dist:?}"),
            );
            assert!(all[0] >= 0.0, "{dist:?}");
        }
    }

    /// Quantiles that people give are the ones that they get.
    #[test]
    fn a_log_normal_goes_through_its_quantiles() {
        for (p50, p99) in [(0.017, 0.071), (0.004, 0.060), (0.12, 0.9)] {
            let all = draws(&Dist::LogNormal { p50, p99 });
            near(all[DRAWS / 2], p50, 0.01, "p50");
            near(all[DRAWS * 99 / 100], p99, 0.03, "p99");
        }
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
