//! How long a disk takes. Sans-IO.
//!
//! Writes go to the page cache and take no time; a sync flushes what is dirty at the disk's sequential rate and then pays
//! one fsync. The disk does one thing at a time: a second sync waits for the first. Reads come from the page cache.
//! What a disk *keeps* is decided in `disk`.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use crate::dist::Dist;

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
        }
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
        let flush = self.dirty_bytes as f64 / self.write_bytes_per_second;
        self.dirty_bytes = 0;
        let took = Duration::from_secs_f64(flush) + self.fsync.sample_duration(&mut self.rng);
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
    }
}
