//! The collector's machine. It boots, and nobody listens on it yet: exports to it are refused and tried again.
//!
//! The collector's own code (`backroom_collector::shell`) belongs here, with this machine's address, disk and destination;
//! what it observes goes to the recorder. Nothing of it is imitated meanwhile.

use std::{future::pending, io};

use backroom_collector::env::Env;

use super::{Context, boot};

/// Runs the collector until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    boot::next(&ctx).await?;
    pending().await
}
