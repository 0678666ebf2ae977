//! The decisions: what is kept, what is sent next, when to try again. No clock, file or socket.
//!
//! `shell` tells it what happened and performs what it returns, so the same decisions run in a store and in a simulation,
//! and property tests drive them through any order of events.
//!
//! - [`frame`], [`recovery`]: the disk format, and what is made of any bytes found on disk (`docs/disk-format.md`).
//! - [`spool`]: journal, open batches, sealed batches, quota, and which batch goes next.
//! - [`lane`]: what is fresh, what is backlog.
//! - [`takes`]: which of several destinations has which batch.
//! - [`seen`]: what stores have delivered to a gateway, so that it takes each item once.
//! - [`accounting`]: accepted = delivered + stored + quarantined + dropped with a reason, per signal, at every instant.
//! - [`ledger`]: what was lost, by service and day; durable, with the account over all starts.
//! - [`losses`]: its rows as log records.
//! - [`verdict`]: what an answer means; [`destination`], [`backoff`]: when to try again.
//! - [`pacing`], [`yielding`]: the share of the line; [`fit`]: how much goes into one request.
//! - [`link`]: which line profile holds, and what may go; [`budget`]: what was used of it; [`level`]: how hard is compressed for it.
//! - [`metrics`]: what is counted, and how that is written for Prometheus and as OTLP.
//! - [`pressure`]: when a refused sender should come again.
//! - [`selection`]: which batches an operator means; [`ranges`]: which items are known.
//! - [`codec`]: one zstd frame or one gzip member per batch.

pub mod accounting;
pub mod backoff;
pub mod budget;
pub mod class;
pub mod codec;
pub mod destination;
pub mod fit;
pub mod frame;
pub mod lane;
pub mod ledger;
pub mod level;
pub mod link;
pub mod losses;
pub mod metrics;
pub mod notes;
pub mod pacing;
pub mod pressure;
pub mod range;
pub mod ranges;
pub mod recovery;
pub mod seen;
pub mod selection;
pub mod spool;
pub mod takes;
mod twins;
pub mod verdict;
pub mod yielding;

/// Monotonic time since an arbitrary start; the shell reads it from `tokio::time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub std::time::Duration);

impl Mono {
    /// Later by `delay`; the far end of time if that overflows.
    pub fn after(self, delay: std::time::Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }

    /// Time from `earlier` to here; zero if it is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        self.0.saturating_sub(earlier.0)
    }
}
