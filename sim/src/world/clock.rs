//! Virtual time of the world that this thread is in, for those who ask often.
//!
//! Only the runtime moves its paused clock, and only while it parks; [`tick`] reads it once after each time. To ask tokio
//! takes the runtime's handle and two locks, which is more than most events of a store cost.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

thread_local! {
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// While it lives, this thread's world has a clock.
#[must_use = "the clock stands still when it is dropped"]
#[derive(Debug)]
pub(super) struct Running(());

/// Virtual time zero is `start`; call [`tick`] whenever the runtime may have moved its clock.
pub(super) fn begin(start: Instant) -> Running {
    START.set(Some(start));
    NOW.set(Duration::ZERO);
    Running(())
}

impl Drop for Running {
    fn drop(&mut self) {
        START.set(None);
        NOW.set(Duration::ZERO);
    }
}

/// Reads the runtime's clock.
pub(super) fn tick() {
    if let Some(start) = START.get() {
        NOW.set(start.elapsed());
    }
}

/// Virtual time since the start of the world; zero outside of one.
pub(super) fn now() -> Duration {
    NOW.get()
}
