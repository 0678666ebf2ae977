//! Who is told what the collector does: the binary prints notices, a simulation records events.

use std::net::SocketAddr;

use crate::{
    core::{
        accounting::{Accounting, DropReason},
        recovery::Report,
        spool::{Backlog, BatchInfo},
    },
    otlp::Signal,
};

/// Is told what happens, at once and in order. Methods must return quickly and may not call back.
#[expect(
    unused_variables,
    reason = "the default of each method is to ignore it"
)]
pub trait Observer: Send + Sync + 'static {
    /// The buffer was recovered.
    fn recovered(&self, report: &Report) {}

    /// The receivers are bound, those that are not off.
    fn listening(&self, http: Option<SocketAddr>, grpc: Option<SocketAddr>) {}

    /// Items changed their place: accepted, delivered, dropped.
    fn accounting(&self, accounting: &Accounting) {}

    /// What is stored and not acknowledged by the destination changed.
    fn backlog(&self, backlog: Backlog) {}

    /// Requests that are being taken in hold more memory than before: bytes of all of them, at most `listen.inflight_bytes_max`.
    fn inflight(&self, bytes: u64) {}

    /// Items were dropped.
    fn dropped(&self, signal: Signal, items: u64, reason: DropReason) {}

    /// Items came to a gateway that has them, and were dropped.
    fn repeated(&self, signal: Signal, items: u64) {}

    /// A batch was sealed and synced.
    fn sealed(&self, batch: &BatchInfo) {}

    /// A batch was taken by the receiver.
    fn delivered(&self, batch: &BatchInfo) {}

    /// A request to a destination begins.
    fn exporting(&self, url: &str) {}

    /// A request to a destination failed on its way, and what it carried is tried again later. `exporting` is told of the next one.
    fn export_failed(&self, url: &str) {}

    /// Something that an operator should know: one line, lower case.
    fn notice(&self, message: &str) {}
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {}
