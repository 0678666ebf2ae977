//! The collector's machine: the real collector on a simulated machine.
//!
//! `backroom_collector` does all the work; this file gives it the machine's address, disk and destination.

use std::{future::pending, io};

use backroom_collector::env::Env;

use super::{Context, boot};

/// Runs the collector until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    boot::next(&ctx).await?;
    pending().await
}
