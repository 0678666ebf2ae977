//! Receivers, exporter and store over an [`Env`]: performs what `core` decides.
//!
//! [`run`] is the one entry, for the binary and for a simulated machine alike. Every task is spawned in the machine's
//! scope. The parts: `receiver` (OTLP in), `store` (commits and seals), `exporter` with `outlet` and `client` (batches out),
//! `relay` with `stores` (what a gateway does besides), `losses` (the loss ledger over OTLP), `links` (line profiles and budgets),
//! `reserve` (room for notes on a full disk), `admin` with `health` and `metrics`, `telemetry` (the same metrics over OTLP), `supervision` with `reload`, `recover` (from
//! disk at the start). They meet in `shared`. [`inspect`] and [`verify`] look at a buffer from outside; `handling` changes one,
//! for [`keeper`] and, in a collector that runs, for [`control`].

mod admin;
mod client;
pub mod control;
mod exporter;
pub mod fetch;
pub mod handling;
mod health;
pub mod inspect;
pub mod keeper;
mod level;
mod links;
mod losses;
mod metrics;
mod observer;
mod outlet;
mod pace;
mod receiver;
mod recover;
mod relay;
pub mod release;
mod reload;
mod reserve;
mod shared;
mod store;
pub mod stores;
mod supervision;
mod telemetry;
pub mod verify;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

pub use client::request_wire_bytes;
pub use health::HANG;
pub use links::BUDGET_FILE;
pub use observer::{Observer, Quiet};
pub(crate) use receiver::parse_tokens;
use receiver::{Doors, Road, Tokens};
pub use reserve::RESERVE_FILE;
pub use supervision::{Control, Handle, ReloadError, Reloaded, Status, supervision};

use crate::{
    config::Config,
    core,
    env::{Disk, Env, File, Listener, Open, Task},
};

/// How long a shutdown waits for requests under way, then for exports, then for the last sync.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// [`run`] returns within this time after `shutdown`, whatever senders, destination and disk do.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(15);

/// Whoever works on a buffer holds this file's lock; it is empty and stays.
pub const LOCK_FILE: &str = "lock";

/// Why the collector could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The buffer's directory cannot be made or listed.
    #[error("open buffer {}: {source}; set buffer.dir to a directory that can be written", dir.display())]
    Buffer {
        /// `buffer.dir`.
        dir: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has the buffer.
    #[error("open buffer {}: another process has it; stop that one, or set buffer.dir to another directory", dir.display())]
    InUse {
        /// `buffer.dir`.
        dir: PathBuf,
    },
    /// The address cannot be listened on.
    #[error("listen on {address}: {source}; set {key} to a free address, or to \"off\"")]
    Listen {
        /// `listen.http` or `listen.grpc`.
        key: &'static str,
        /// What it says.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file of tokens cannot be used.
    #[error("read tokens {}: {source}; set listen.bearer_tokens_file to a file with one token a line", path.display())]
    Tokens {
        /// `listen.bearer_tokens_file`.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The destination's URL or headers cannot be used.
    #[error("endpoint {url:?}: {reason}")]
    Endpoint {
        /// `endpoint.url`.
        url: String,
        /// What is wrong, and the way out.
        reason: String,
    },
}

/// Runs the collector until `shutdown` completes.
///
/// It recovers the buffer, listens, and forwards. After `shutdown` it takes nothing in, gives requests and exports under way
/// five seconds, syncs, and returns; what is stored stays for the next start. Dropping the future leaves tasks in the
/// environment's scope.
///
/// # Errors
/// If it cannot start. Nothing that happens later is an error: it is retried, counted and told to `observer`.
pub async fn run<E: Env>(
    env: E,
    config: Config,
    observer: Arc<dyn Observer>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let (_, control) = supervision();
    run_with(env, config, observer, control, shutdown).await
}

/// Like [`run`], for somebody who may also ask through a [`Handle`] how it is, and change its configuration.
///
/// # Errors
/// As [`run`].
pub async fn run_with<E: Env>(
    env: E,
    config: Config,
    observer: Arc<dyn Observer>,
    control: Control,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let targets = outlet::targets(&config)?;
    let (_lock, spool) = hold_buffer(&env, &config, &observer).await?;

    let (mut doors, mut listeners) = (Doors::default(), Vec::new());
    if let Some(path) = config.listen.bearer_tokens_file.clone() {
        let tokens = Tokens::open(&env, path.clone()).await;
        doors.tokens = Some(tokens.map_err(|source| Error::Tokens { path, source })?);
    }
    let (http, grpc) = (config.listen.http, config.listen.grpc);
    for (road, key, address, door) in [
        (Road::Http, "listen.http", http, &mut doors.http),
        (Road::Grpc, "listen.grpc", grpc, &mut doors.grpc),
    ] {
        let Some(address) = address else { continue };
        let failed = |source| Error::Listen {
            key,
            address,
            source,
        };
        let listener = match &config.listen.tls {
            None => env.listen(address).await,
            Some(tls) => env.listen_tls(address, tls).await,
        }
        .map_err(failed)?;
        let is_open = config.listen.tls.is_none() && doors.tokens.is_none();
        if is_open && !address.ip().is_loopback() {
            observer.notice(&format!(
                "{key} {address} takes requests from the network without TLS or tokens; see listen.tls and listen.bearer_tokens_file"
            ));
        }
        *door = Some(listener.local_addr().map_err(failed)?);
        listeners.push((road, listener));
    }

    let shared = shared::Shared::new(env.clone(), config, observer.clone(), spool);
    for (name, target) in targets {
        shared.open_outlet(&shared.config(), name, target);
    }
    if !shared.config().links.is_empty() {
        // Before anything is sent.
        shared.look_at_line().await;
    }
    let commit = env.spawn(store::commit(shared.clone()));
    let mut tasks = vec![
        env.spawn(store::seal(shared.clone())),
        env.spawn(telemetry::report(shared.clone())),
        env.spawn(losses::tell(shared.clone())),
        env.spawn(links::watch(shared.clone())),
    ];
    shared.staff();
    let obey = env.spawn(supervision::obey(shared.clone(), control));
    let tools = env.spawn(control::serve(shared.clone()));
    observer.listening(doors.http, doors.grpc);
    shared.settle();
    receiver::serve(shared.clone(), Arc::new(doors), listeners, shutdown).await;

    tools.abort();
    let deadline = tokio::time::Instant::now() + SHUTDOWN;
    shared.stop();
    tasks.append(&mut shared.crew());
    for task in tasks {
        end_by(deadline, task).await;
    }
    // Last, so that what the others finished is noted, and is not sent again at the next start.
    shared.end();
    end_by(deadline + SHUTDOWN, commit).await;
    // A disk that hangs must not hold up the end.
    let _ = tokio::time::timeout_at(deadline + SHUTDOWN, shared.close_budgets()).await;
    obey.abort();
    Ok(())
}

/// The lock of a buffer, where its file system has locks.
type Lock<E> = Option<<<E as Env>::Disk as Disk>::Lock>;

/// Locks a buffer, and makes the spool of what is in it.
async fn hold_buffer<E: Env>(
    env: &E,
    config: &Config,
    observer: &Arc<dyn Observer>,
) -> Result<(Lock<E>, core::spool::Spool), Error> {
    let dir = config.buffer.dir.clone();
    let buffer = |source| Error::Buffer {
        dir: dir.clone(),
        source,
    };
    env.disk().create_dir_all(&dir).await.map_err(buffer)?;
    let lock = match env.disk().lock(&dir.join(LOCK_FILE)).await {
        Ok(lock) => Some(lock),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(Error::InUse { dir });
        }
        // A full disk may not have room for an empty file, and some file systems have no locks: what is stored must be
        // delivered all the same.
        Err(error) => {
            observer.notice(&format!("lock buffer {}: {error}", dir.display()));
            None
        }
    };
    let (spool, report) = recover::recover(env, config, recover::Access::Own)
        .await
        .map_err(buffer)?;
    observer.recovered(&report);
    Ok((lock, spool))
}

/// Puts a small file in the place of the one of that name; durable on return.
async fn replace_file<D: Disk>(disk: &D, dir: &Path, name: &str, data: Bytes) -> io::Result<()> {
    let part = dir.join(format!("{name}.part"));
    match disk.remove_file(&part).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&part, Open::CreateNew).await?;
    file.write_at(0, data).await?;
    file.sync().await?;
    disk.rename(&part, &dir.join(name)).await?;
    disk.sync_dir(dir).await
}

async fn end_by(deadline: tokio::time::Instant, task: Task<()>) {
    let stop = task.abort_handle();
    if tokio::time::timeout_at(deadline, task).await.is_err() {
        stop.abort();
    }
}
