//! How long a disk takes. Sans-IO.
//!
//! Writes go to the page cache and take no time; a sync flushes what is dirty at the disk's sequential rate and then pays
//! one fsync. The disk does one thing at a time: a second sync waits for the first. Reads come from the page cache.
//! What a disk *keeps* is decided in `disk`.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use crate::dist::Dist;

/// What a fault makes of a disk; `None` stays as declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slow {
    /// Time of one fsync, seconds.
    pub fsync: Option<Dist>,
    /// Sequential write rate.
    pub write_bytes_per_second: Option<f64>,
}

/// One disk's queue of work.
#[derive(Debug)]
pub(super) struct DiskTime {
    fsync: Dist,
    write_bytes_per_second: f64,
    rng: ChaCha8Rng,
    dirty_bytes: u64,
    busy_until: Duration,
    /// Times as long as declared.
    slowness: f64,
    slow: Option<Slow>,
    /// Syncs that began while it was slow.
    met_slow: u64,
}

impl DiskTime {
    /// A disk with nothing to do.
    pub(super) fn new(fsync: Dist, write_bytes_per_second: f64, rng: ChaCha8Rng) -> Self {
        assert!(
            write_bytes_per_second > 0.0,
            "a disk writes at more than 0 B/s"
        );
        Self {
            fsync,
            write_bytes_per_second,
            rng,
            dirty_bytes: 0,
            busy_until: Duration::ZERO,
            slowness: 1.0,
            slow: None,
            met_slow: 0,
        }
    }

    /// From now on it is like that; `None` heals it.
    pub(super) fn become_slow(&mut self, slow: Option<Slow>) {
        self.slow = slow;
    }

    /// Syncs that began while it was slow.
    pub(super) fn met_slow(&self) -> u64 {
        self.met_slow
    }

    /// From now on syncs take so many times as long; 1 is as declared.
    pub(super) fn slow_down(&mut self, factor: f64) {
        assert!(
            factor.is_finite() && factor >= 0.0,
            "a disk is slower by a factor, not by {factor}"
        );
        self.slowness = factor;
    }

    /// Notes bytes written to the page cache.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.dirty_bytes += bytes;
    }

    /// Begins a sync; gives the instant at which its data is durable.
    pub(super) fn sync(&mut self, now: Duration) -> Duration {
        self.met_slow += u64::from(self.slow.is_some());
        let slow = self.slow.as_ref();
        let rate = slow.and_then(|slow| slow.write_bytes_per_second);
        let flush = self.dirty_bytes as f64 / rate.unwrap_or(self.write_bytes_per_second);
        self.dirty_bytes = 0;
        let fsync = slow.and_then(|slow| slow.fsync.as_ref());
        let fsync = fsync.unwrap_or(&self.fsync).sample_duration(&mut self.rng);
        let took = Duration::try_from_secs_f64(flush).unwrap_or(Duration::MAX / 4) + fsync;
        let took = took.mul_f64(self.slowness);
        self.busy_until = self.busy_until.max(now) + took;
        self.busy_until
    }

    /// The power went: the page cache and the queue are gone.
    pub(super) fn power_lost(&mut self) {
        self.dirty_bytes = 0;
        self.busy_until = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::seed;

    #[test]
    fn syncs_queue_and_pay_for_what_is_dirty() {
        let mut d = DiskTime::new(Dist::Const(0.004), 1e6, seed::stream(1, &["disk"]));
        d.wrote(500_000);
        let ms = Duration::from_millis;
        assert_eq!(d.sync(ms(0)), ms(504));
        assert_eq!(d.sync(ms(1)), ms(508), "waits for the first");
        assert_eq!(d.sync(ms(2_000)), ms(2_004), "idle again");
        d.slow_down(10.0);
        assert_eq!(d.sync(ms(3_000)), ms(3_040));
        d.slow_down(1.0);
        d.become_slow(Some(Slow {
            fsync: None,
            write_bytes_per_second: Some(1e3),
        }));
        d.wrote(500);
        assert_eq!(d.sync(ms(4_000)), ms(4_504), "the fsync is as declared");
        d.become_slow(None);
        assert_eq!((d.sync(ms(5_000)), d.met_slow()), (ms(5_004), 1));
    }
}
