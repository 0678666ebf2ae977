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
