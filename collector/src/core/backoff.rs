//! How long to wait before the next attempt. The kinds are those of `config::Backoff` (closed form T6). Next: `destination`.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::config::Backoff;

/// Delays of one destination, with the state that decorrelated jitter needs.
#[derive(Clone, Debug)]
pub struct Delays {
    kind: Backoff,
    rng: ChaCha8Rng,
    failures: u32,
    previous: Option<Duration>,
}

impl Delays {
    /// Delays of that kind, drawn from `rng`: seeded per store, so that stores do not retry in step.
    pub fn new(kind: Backoff, rng: ChaCha8Rng) -> Self {
        Self {
            kind,
            rng,
            failures: 0,
            previous: None,
        }
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The delay after another failure: with `n` failures before this one, the exponential delay is `base * 2^n`.
    pub fn draw(&mut self) -> Duration {
        let n = self.failures;
        self.failures = n.saturating_add(1);
        let exponential =
            |base: Duration, cap: Duration| base.saturating_mul(2_u32.saturating_pow(n)).min(cap);
        let delay = match self.kind {
            Backoff::None => Duration::ZERO,
            Backoff::Exponential { base, cap } => exponential(base, cap),
            Backoff::EqualJitter { base, cap } => {
                let half = exponential(base, cap) / 2;
                half + self.uniform(Duration::ZERO, half)
            }
            Backoff::FullJitter { base, cap } => {
                self.uniform(Duration::ZERO, exponential(base, cap))
            }
            Backoff::DecorrelatedJitter { base, cap } => {
                let previous = self.previous.unwrap_or(base);
                self.uniform(base, previous.saturating_mul(3)).min(cap)
            }
        };
        self.previous = Some(delay);
        delay
    }

    /// What is added to a time that the peer asked for, so that those whom it told the same do not come back at the same instant:
    /// up to as long again, and not longer than the longest delay. Nothing where delays are not drawn.
    pub fn spread(&mut self, asked: Duration) -> Duration {
        match self.kind {
            Backoff::None | Backoff::Exponential { .. } => Duration::ZERO,
            Backoff::EqualJitter { cap, .. }
            | Backoff::FullJitter { cap, .. }
            | Backoff::DecorrelatedJitter { cap, .. } => {
                self.uniform(Duration::ZERO, asked.min(cap))
            }
        }
    }

    /// A success: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.previous = None;
    }

    fn uniform(&mut self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from);
        from + span.mul_f64(self.rng.random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_secs(60);

    fn delays(kind: Backoff, seed: u64) -> Vec<f64> {
        let mut delays = Delays::new(kind, ChaCha8Rng::seed_from_u64(seed));
        (0..10).map(|_| delays.draw().as_secs_f64()).collect()
    }

    #[test]
    fn exponential_doubles_to_its_cap() {
        let kind = Backoff::Exponential {
            base: BASE,
            cap: CAP,
        };
        let expect = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0];
        assert_eq!(delays(kind, 1), expect);
        assert_eq!(delays(Backoff::None, 1), [0.0; 10]);
    }

    /// Ranges hold for every draw, and means are those of the closed form.
    #[test]
    fn jitter_is_uniform_in_its_range() {
        let full = Backoff::FullJitter {
            base: BASE,
            cap: CAP,
        };
        let equal = Backoff::EqualJitter {
            base: BASE,
            cap: CAP,
        };
        let (mut full_sum, mut equal_sum) = ([0.0; 10], [0.0; 10]);
        for seed in 0..2000 {
            for n in 0..10 {
                let top = f64::min(60.0, f64::from(1 << n));
                let (f, e) = (delays(full, seed)[n], delays(equal, seed)[n]);
                assert!((0.0..=top).contains(&f) && (top / 2.0..=top).contains(&e));
                full_sum[n] += f / top / 2000.0;
                equal_sum[n] += e / top / 2000.0;
            }
        }
        for n in 0..10 {
            assert!((full_sum[n] - 0.5).abs() < 0.02, "{full_sum:?}");
            assert!((equal_sum[n] - 0.75).abs() < 0.01, "{equal_sum:?}");
        }
    }

    #[test]
    fn decorrelated_jitter_stays_between_base_and_cap() {
        let kind = Backoff::DecorrelatedJitter {
            base: BASE,
            cap: CAP,
        };
        for seed in 0..200 {
            let mut previous = 1.0_f64;
            for delay in delays(kind, seed) {
                assert!((1.0..=60.0).contains(&delay));
                assert!(delay <= previous * 3.0 + 1e-9);
                previous = delay;
            }
        }
    }

    #[test]
    fn success_starts_over() {
        let mut delays = Delays::new(
            Backoff::Exponential {
                base: BASE,
                cap: CAP,
            },
            ChaCha8Rng::seed_from_u64(1),
        );
        delays.draw();
        delays.draw();
        delays.reset();
        assert_eq!(delays.draw(), BASE);
    }
}
