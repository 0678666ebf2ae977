//! What a sender is told when it is refused for the moment: how long until there is room, from what was measured.
//!
//! Room in memory is made by commits and by sealing, room on disk by deliveries. Each is a [`Rate`]; the answer is the
//! work before the sender divided by the rate, in whole seconds, at least 1 and at most [`RETRY_MAX`]. Without any
//! progress lately the answer is the most: the destination is down, and nobody knows for how long. There is no jitter in
//! it: senders add their own, and the same state gives the same answer.

use std::time::Duration;

use super::Mono;

/// Longest time that a sender is told: stock SDKs give up on a batch after a minute, and room may be made sooner.
pub const RETRY_MAX: Duration = Duration::from_secs(30);

/// Shortest time that a sender is told: HTTP knows whole seconds only.
pub const RETRY_MIN: Duration = Duration::from_secs(1);

/// Bytes a second over about the last ten seconds: older bytes weigh less, by half every seven seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    weight: f64,
    at: Mono,
}

/// Ten seconds: several commits and batches of a busy store, so that one of them does not decide alone.
const MEMORY: f64 = 10.0;

impl Rate {
    /// Bytes got done.
    pub fn add(&mut self, now: Mono, bytes: u64) {
        *self = Self {
            weight: self.per_second(now) + bytes as f64 / MEMORY,
            at: now,
        };
    }

    /// Bytes a second.
    pub fn per_second(&self, now: Mono) -> f64 {
        self.weight * (-now.since(self.at).as_secs_f64() / MEMORY).exp()
    }

    /// Time in which so many bytes get done, as a sender is told it.
    pub fn retry_after(&self, now: Mono, bytes: u64) -> Duration {
        // A rate of zero gives infinity, or no number at all; both are the most.
        let seconds = (bytes as f64 / self.per_second(now)).ceil();
        if seconds < RETRY_MAX.as_secs_f64() {
            Duration::from_secs(seconds as u64).max(RETRY_MIN)
        } else {
            RETRY_MAX
        }
    }
}

/// The rates at which room is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pressure {
    /// Bytes of requests that became durable.
    pub committed: Rate,
    /// Bytes of requests that went from memory into a batch on disk.
    pub sealed: Rate,
    /// Bytes of batches, as stored, that the destination took.
    pub delivered: Rate,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    /// After `per_second` for a minute, so many bytes take that many seconds.
    fn check(per_second: u64, bytes: u64, expect: u64) {
        let mut rate = Rate::default();
        for second in 0..60 {
            rate.add(at(second), per_second);
        }
        let told = rate.retry_after(at(60), bytes);
        assert_eq!(
            told,
            Duration::from_secs(expect),
            "{bytes} at {per_second}/s"
        );
    }

    #[test]
    fn the_time_is_what_the_work_takes() {
        check(1000, 4500, 5);
        check(1000, 9000, 10);
        check(1_000_000, 10, 1);
        check(1000, 1_000_000, 30);
        check(0, 1, 30);
        check(0, 0, 30);
    }

    #[test]
    fn a_rate_is_forgotten() {
        let mut rate = Rate::default();
        for second in 0..60 {
            rate.add(at(second), 1000);
        }
        let steady = rate.per_second(at(59));
        assert!((900.0..1100.0).contains(&steady), "{steady}");
        assert!(rate.per_second(at(66)) < steady * 0.51);
        assert_eq!(rate.retry_after(at(3600), 1000), RETRY_MAX);
    }
}
