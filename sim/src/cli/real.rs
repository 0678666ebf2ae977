//! What `load` and `sink` have in common: real sockets, real time, several threads.

use std::{future::Future, io};

use backroom_collector::env::OsEnv;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Threads at most: these programs stand beside the one that is measured.
const THREADS_MAX: usize = 4;

/// Runs on a runtime of its own, with the operating system.
///
/// # Errors
/// If the system has no threads or random bytes to give.
pub(super) fn run<F: Future>(work: impl FnOnce(OsEnv) -> F) -> io::Result<F::Output> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(THREADS_MAX))
        .enable_all()
        .build()?;
    let env = OsEnv::new()?;
    let output = runtime.block_on(work(env.clone()));
    env.abort_all();
    // What still waits for a peer is not waited for.
    runtime.shutdown_background();
    Ok(output)
}

/// SIGINT and SIGTERM. They are heard from when it is made: before it is told that anything runs.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the system does not let this process have signals.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
