//! The seam: what a program may ask of its operating system, and nothing more.
//!
//! `OsEnv` gives it sockets, files and threads; the simulator's `SimEnv` gives it a machine of a simulated store. Both
//! pass the same conformance suite ([`conformance`]). The trait grows only by what an operating system offers.
//!
//! Monotonic time and timers are `tokio::time`, which a paused runtime makes virtual, and so need no trait.
//! Identity travels in the handle: a stream or file knows its machine, so any task of any library may use it.

pub mod conformance;
mod os;
mod process;
mod route;
mod tls;

pub use os::{OsDisk, OsEnv, OsFile, OsListener, OsLock, derive_seed};
pub use process::{CpuTimes, ProcessStats, use_small_pages};
pub use tls::{ClientTls, OsStream, ServerTls, TlsError, TlsFile};

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// One machine's operating system.
///
/// Clones are handles to the same machine. Every future is `Send`, so that tonic and hyper can hold it.
pub trait Env: Clone + Send + Sync + 'static {
    /// A connected byte stream.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// A bound socket that accepts streams.
    type Listener: Listener<Stream = Self::Stream>;
    /// The machine's disk.
    type Disk: Disk;

    /// Resolves a name, opens a connection, and where `target.tls` is set, secures it. There is no time limit of its own:
    /// callers bound it with `tokio::time::timeout`.
    fn connect(
        &self,
        target: &Target,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Secures a plain stream that is connected already, such as one that a proxy has connected.
    ///
    /// # Errors
    /// As [`Env::connect`], and if the stream is secured already. [`ConnectError::Tls`] unless an environment says otherwise: a
    /// simulated world has no TLS.
    fn secure(
        &self,
        stream: Self::Stream,
        tls: &TargetTls,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send {
        let _ = (stream, tls);
        let why = "there is no TLS in this world".to_owned();
        std::future::ready(Err(ConnectError::Tls(why)))
    }

    /// Binds `address`, and secures each stream that is accepted there. A stream makes its handshake when it is used, within
    /// a limit of time: until then it reads nothing, and an error of the handshake is an error of the first use.
    ///
    /// # Errors
    /// As [`Env::listen`], and where the files cannot be used. `Unsupported` unless an environment says otherwise: a
    /// simulated world has no TLS.
    fn listen_tls(
        &self,
        address: SocketAddr,
        tls: &ServerTls,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send {
        let _ = tls;
        let why = format!("{address}: there is no TLS in this world");
        std::future::ready(Err(io::Error::new(io::ErrorKind::Unsupported, why)))
    }

    /// Binds `address`; port 0 picks a free one, which [`Listener::local_addr`] tells.
    fn listen(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// The machine's disk.
    fn disk(&self) -> &Self::Disk;

    /// Wall-clock time since 1970-01-01T00:00:00Z, as this machine believes it to be. It may jump; never subtract two of them.
    fn unix_time(&self) -> Duration;

    /// A seed for one purpose: the same machine, run and purpose give the same 32 bytes, other purposes independent ones.
    /// Behind an operating system it is random at each start.
    fn seed(&self, purpose: &str) -> [u8; 32];

    /// Runs a task that belongs to this machine: when the machine crashes, the task is dropped where it stands.
    fn spawn<F>(&self, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// What this process has used and holds; `None` where there is no process, as on a simulated machine.
    fn process(&self) -> Option<ProcessStats> {
        None
    }

    /// What the machine's processors have done since it booted; `None` where the system does not tell, as on a simulated machine.
    fn cpu_times(&self) -> Option<CpuTimes> {
        None
    }

    /// The network interface of the default route, as it is now: over which the rest of the world is reached. `None` where there
    /// is no route, or the system does not tell. On a simulated machine it is the link that the store's router uses.
    fn default_route(&self) -> Option<String> {
        None
    }

    /// Runs CPU-bound work off the event loop (on a helper thread behind an operating system, inline in a simulation).
    fn compute<T, F>(&self, work: F) -> impl Future<Output = T> + Send
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;
}

/// A running task of one machine.
///
/// Dropping the handle detaches the task; it stays in its machine's scope. Awaiting it gives the output, or `None` if
/// the task was aborted or its machine crashed.
#[derive(Debug)]
pub struct Task<T>(tokio::task::JoinHandle<T>);

impl<T> Task<T> {
    /// Wraps a task that an [`Env`] has spawned in its own scope.
    pub fn new(handle: tokio::task::JoinHandle<T>) -> Self {
        Self(handle)
    }

    /// Stops the task at its next await point.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether it has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// A handle that can stop the task without owning it.
    pub fn abort_handle(&self) -> tokio::task::AbortHandle {
        self.0.abort_handle()
    }
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

/// Hands hyper's own tasks to a machine's scope, so that a crash ends them too.
#[derive(Clone, Debug)]
pub struct Executor<E>(pub E);

impl<E, F> hyper::rt::Executor<F> for Executor<E>
where
    E: Env,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Host name or IP literal, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `None` is plain TCP.
    pub tls: Option<TargetTls>,
}

/// How a connection is secured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetTls {
    /// The name that the server's certificate must carry.
    pub name: String,
    /// Whom to trust and what to show.
    pub files: ClientTls,
    /// Whether HTTP/2 is asked for (ALPN); otherwise HTTP/1.1 is.
    pub is_h2: bool,
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("resolve {host}: {reason}")]
    Dns {
        /// The name asked for.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nothing listens there (RST to our SYN).
    #[error("connect: connection refused")]
    Refused,
    /// No answer, or no route.
    #[error("connect: no answer")]
    Unreachable,
    /// The peer's certificate is for another name: often a captive portal.
    #[error("the certificate is not for {expected}")]
    CertificateName {
        /// The name that was asked for.
        expected: String,
    },
    /// TLS failed otherwise.
    #[error("TLS: {0}")]
    Tls(String),
    /// Anything else that the operating system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A bound socket.
pub trait Listener: Send + 'static {
    /// What an accepted connection is.
    type Stream;

    /// Waits for the next connection.
    ///
    /// # Errors
    /// Whatever the operating system reports, such as too many open files; the listener stays usable.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The address that was bound, with the port that was picked.
    ///
    /// # Errors
    /// What the operating system reports.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// How [`Disk::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// An existing file, for reading only.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A new file, for reading and writing; it is an error if it exists.
    CreateNew,
    /// For reading and writing; made if it is missing, never truncated.
    Create,
}

/// A file in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Name within its directory.
    pub name: String,
    /// Length in bytes; 0 for directories.
    pub bytes: u64,
    /// Bytes that it takes on the disk: less than its length where it has holes, more where blocks were taken ahead; 0 for
    /// directories.
    pub disk_bytes: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A machine's disk. Paths are absolute, or relative to the process's directory behind an operating system.
///
/// Three states of data: *written* survives a crash of the process, *synced* survives a loss of power. A file whose data
/// is synced is still gone after power loss until its directory is synced too.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// A lock that is held; dropping it gives it back.
    type Lock: Send + Sync + 'static;

    /// Takes the lock that stands behind `path`, which may be made as an empty file. Nobody else gets it until it is dropped,
    /// or its process ends in whatever way, or power is lost.
    ///
    /// # Errors
    /// `WouldBlock` if it is held, by this process or another one; otherwise what the operating system reports, such as a file
    /// system without locks.
    fn lock(&self, path: &Path) -> impl Future<Output = io::Result<Self::Lock>> + Send;

    /// Opens a file. A new file's name is not durable until [`Disk::sync_dir`] of its directory.
    fn open(&self, path: &Path, how: Open) -> impl Future<Output = io::Result<Self::File>> + Send;

    /// Creates a directory and its parents; durable on return.
    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Lists a directory, sorted by name.
    fn read_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<DirEntry>>> + Send;

    /// Renames a file over another one; not durable until [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Removes a file; not durable until [`Disk::sync_dir`].
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes a directory's entries durable.
    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Writes a small file that nobody but this user can read, in the place of the one of that name. It need not survive a
    /// loss of power.
    ///
    /// # Errors
    /// `Unsupported` where files have no owners, as in a simulation.
    fn write_private(
        &self,
        path: &Path,
        data: Bytes,
    ) -> impl Future<Output = io::Result<()>> + Send {
        let _ = (path, data);
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Bytes that an unprivileged process may still write under `path`.
    fn free_bytes(&self, path: &Path) -> impl Future<Output = io::Result<u64>> + Send;

    /// Bytes of the blocks in which files under `path` take room, 1 at least (`f_frsize`): a file of one byte takes one.
    fn block_bytes(&self, path: &Path) -> impl Future<Output = io::Result<u64>> + Send;

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// `FileTooLarge` if it is longer; otherwise as [`Disk::open`] and [`File::read_at`].
    fn read(&self, path: &Path, limit: u64) -> impl Future<Output = io::Result<Bytes>> + Send {
        let path: PathBuf = path.to_owned();
        async move {
            let file = self.open(&path, Open::Read).await?;
            let bytes = file.len().await?;
            if bytes > limit {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("{} has {bytes} bytes, more than {limit}", path.display()),
                ));
            }
            file.read_at(0, bytes as usize).await
        }
    }
}

/// An open file.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length is an I/O operation that may fail"
)]
pub trait File: Send + Sync + 'static {
    /// Reads `len` bytes at `offset`; fewer only where the file ends.
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Bytes>> + Send;

    /// Writes all of `data` at `offset`; not durable until [`File::sync`].
    fn write_at(&self, offset: u64, data: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes what was written, and the length, durable (`fdatasync`).
    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// [`File::write_at`], then [`File::sync`]; gives the time that the sync took. Behind an operating system both are one piece of work
    /// of one helper thread: a group commit waits for one hand-over, not for two.
    fn write_and_sync(
        &self,
        offset: u64,
        data: Bytes,
    ) -> impl Future<Output = io::Result<Duration>> + Send {
        async move {
            self.write_at(offset, data).await?;
            let began = tokio::time::Instant::now();
            self.sync().await?;
            Ok(began.elapsed())
        }
    }

    /// Cuts or extends the file; not durable until [`File::sync`].
    fn set_len(&self, bytes: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// Takes room for the first `bytes` of the file, which is as long as that afterwards or longer. What was written stays; what
    /// was not reads as anything. It is for room, not for data.
    ///
    /// # Errors
    /// `StorageFull` where there is none; the file may have grown all the same.
    fn allocate(&self, bytes: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// Length in bytes.
    fn len(&self) -> impl Future<Output = io::Result<u64>> + Send;
}
