//! How long to wait: backoff with full jitter, and a token bucket. Sans-IO; who waits is decided elsewhere.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// Delays between attempts, each drawn uniformly from `0..min(cap, base * 2^failures)`.
///
/// "Full jitter", Brooker, AWS Architecture Blog 2015.
#[derive(Debug)]
pub(crate) struct FullJitter {
    base: Duration,
    cap: Duration,
    failures: u32,
    rng: ChaCha8Rng,
}

impl FullJitter {
    /// `base` is the longest first delay, `cap` the longest of all.
    pub(crate) fn new(base: Duration, cap: Duration, rng: ChaCha8Rng) -> Self {
        Self {
            base,
            cap,
            failures: 0,
            rng,
        }
    }

    /// The delay after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let most = self
            .base
            .saturating_mul(1 << self.failures.min(20))
            .min(self.cap);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(self.rng.random::<f64>())
    }

    /// An attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A token bucket that may be overdrawn: a taker learns how long to wait until its debt is paid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket of one second's worth, and at least one token.
    pub(crate) fn new(per_second: f64, now: Instant) -> Self {
        let burst = per_second.max(1.0);
        Self {
            per_second,
            burst,
            level: burst,
            at: now,
        }
    }

    /// From now on it fills at another rate.
    pub(crate) fn set_rate(&mut self, per_second: f64, now: Instant) {
        if per_second != self.per_second {
            self.refill(now);
            self.per_second = per_second;
            self.burst = per_second.max(1.0);
        }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + elapsed * self.per_second).min(self.burst);
        self.at = now;
    }

    /// How long the next taker of `tokens` would have to wait.
    pub(crate) fn wait_for(&mut self, tokens: f64, now: Instant) -> Duration {
        self.refill(now);
        let debt = tokens.min(self.burst) - self.level;
        if debt <= 0.0 {
            return Duration::ZERO;
        }
        if self.per_second <= 0.0 {
            return Duration::MAX;
        }
        Duration::try_from_secs_f64(debt / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Takes tokens, on credit where there are too few.
    pub(crate) fn take(&mut self, tokens: f64, now: Instant) {
        self.refill(now);
        self.level -= tokens;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_start_over() {
        let mut backoff = FullJitter::new(
            Duration::from_millis(100),
            Duration::from_secs(2),
            ChaCha8Rng::from_seed([1; 32]),
        );
        for n in 0..40_u32 {
            let most = Duration::from_millis(100 << n.min(10)).min(Duration::from_secs(2));
            assert!(backoff.next() <= most, "attempt {n}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_holds_its_rate_over_time() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(50.0, start);
        let mut now = start;
        for _ in 0..1_000 {
            now += bucket.wait_for(1.0, now);
            bucket.take(1.0, now);
        }
        let elapsed = (now - start).as_secs_f64();
        assert!(
            (18.9..=19.1).contains(&elapsed),
            "950 tokens on credit took {elapsed} s"
        );
    }
}
