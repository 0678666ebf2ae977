//! How the collector is: alive, ready to take requests, and in one line for an operator.
//!
//! Health is about the disk, readiness about taking requests. A destination that is down is neither: buffering is what the
//! collector is for.

use std::time::Duration;

use super::{
    shared::{Shared, State},
    supervision::Status,
};
use crate::{core::Mono, env::Env};

/// Beyond this a commit that is under way is reported as a disk that does not answer: hundreds of times what a worn SD card
/// needs.
const SLOW: Duration = Duration::from_secs(10);

/// Beyond this a commit that is under way counts as a hang, and a watchdog may act: Linux itself reports a task that waits
/// for a disk after so long.
pub const HANG: Duration = Duration::from_secs(120);

/// What is wrong with the disk.
pub(super) fn disk_trouble(state: &State, now: Mono) -> Option<String> {
    if let Some(error) = state.disk_error() {
        return Some(error.clone());
    }
    if state.is_disk_full() {
        return Some("the disk is full: it has less room than buffer.disk".to_owned());
    }
    let since = now.since(state.busy_since?);
    (since > SLOW).then(|| format!("the disk has not answered for {} s", since.as_secs()))
}

/// Why requests are not taken.
pub(super) fn unready(state: &State, now: Mono) -> Option<String> {
    if state.is_stopping {
        return Some("stopping".to_owned());
    }
    if state.is_full() && !state.is_disk_full() {
        return Some("the buffer is full".to_owned());
    }
    disk_trouble(state, now)
}

/// How it is, for a supervisor.
pub(super) fn status<E: Env>(shared: &Shared<E>) -> Status {
    let now = shared.now();
    let unix_nanos = shared.unix_nanos();
    let quota = shared.config().buffer.disk.0;
    let state = shared.lock();
    let unready = unready(&state, now);
    let backlog = state.spool.backlog();
    let mut line = match backlog.items {
        0 => "nothing stored".to_owned(),
        items => {
            let born = state.spool.oldest_born().unwrap_or(unix_nanos);
            let age = unix_nanos.saturating_sub(born) / 1_000_000_000;
            let percent = state.spool.disk_bytes() * 100 / quota.max(1);
            format!("{items} items stored, the oldest for {age} s, {percent}% of the buffer")
        }
    };
    if state.is_down() {
        line += "; destination down";
    }
    if let Some(why) = &unready {
        line = format!("{why}; {line}");
    }
    Status {
        is_ready: unready.is_none(),
        is_turning: state.busy_since.is_none_or(|since| now.since(since) < HANG),
        line,
    }
}
