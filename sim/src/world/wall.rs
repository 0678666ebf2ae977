//! A machine's wall clock: virtual time, an offset, and how fast the offset grows.
//!
//! Faults step it and let it drift; programs only read it. It never decides when anything happens: timers are the runtime's.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

/// One machine's clock; clones show the same time.
#[derive(Clone, Debug)]
pub(super) struct Wall {
    start: Instant,
    epoch: Duration,
    error: Arc<Mutex<Error>>,
}

/// What a clock is wrong by.
#[derive(Debug, Default)]
struct Error {
    /// At `since`.
    nanos: i64,
    /// Seconds that it gains each second.
    drift: f64,
    since: Duration,
}

impl Error {
    fn at(&self, elapsed: Duration) -> i64 {
        let grown = (elapsed.saturating_sub(self.since)).as_nanos() as f64 * self.drift;
        self.nanos.saturating_add(grown as i64)
    }
}

impl Wall {
    /// A clock that shows `epoch` (since 1970) at virtual time zero.
    pub(super) fn new(epoch: Duration) -> Self {
        Self {
            start: Instant::now(),
            epoch,
            error: Arc::default(),
        }
    }

    fn error(&self) -> MutexGuard<'_, Error> {
        self.error
            .lock()
            .expect("one thread, and no panic while it is held")
    }

    /// Steps the clock.
    pub(super) fn step(&self, by_nanos: i64) {
        let mut error = self.error();
        error.nanos = error.nanos.saturating_add(by_nanos);
    }

    /// From now on it gains so many seconds each second more than before; negative loses.
    pub(super) fn drift(&self, by: f64) {
        let elapsed = self.start.elapsed();
        let mut error = self.error();
        error.nanos = error.at(elapsed);
        error.since = elapsed;
        error.drift += by;
    }

    /// Time since 1970, as this clock has it; never before it.
    pub(super) fn now(&self) -> Duration {
        let elapsed = self.start.elapsed();
        let error = self.error().at(elapsed);
        let (right, shift) = (
            self.epoch + elapsed,
            Duration::from_nanos(error.unsigned_abs()),
        );
        match error >= 0 {
            true => right + shift,
            false => right.saturating_sub(shift),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_steps_and_drifts() {
        let (clock, s) = (Wall::new(Duration::from_secs(1_000)), Duration::from_secs);
        let (other, ms) = (clock.clone(), Duration::from_millis);
        clock.step(-90_000_000_000);
        assert_eq!(other.now(), s(910));
        clock.drift(0.001);
        tokio::time::advance(s(100)).await;
        assert_eq!(other.now(), s(1_010) + ms(100));
        clock.drift(0.001);
        tokio::time::advance(s(100)).await;
        assert_eq!(other.now(), s(1_110) + ms(300), "drifts add");
        clock.drift(-0.002);
        tokio::time::advance(s(100)).await;
        assert_eq!(other.now(), s(1_210) + ms(300));
        clock.step(i64::MIN);
        assert_eq!(other.now(), Duration::ZERO, "not before 1970");
    }
}
