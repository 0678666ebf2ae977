//! The operating system as an [`Env`]: tokio's sockets, plain files on helper threads, the machine's clock.
//!
//! Files are read and written with `pread` and `pwrite` on tokio's blocking pool, so that an fsync of 20 ms does not stop
//! the event loop. It knows nothing of telemetry. Next: [`super::conformance`], which it must pass.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::{FileExt, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, TryRng};
use rand_chacha::ChaCha20Rng;
use tokio::net::{TcpListener, TcpStream};

use super::{
    ConnectError, DirEntry, Disk, Env, File, Listener, Open, OsStream, ProcessStats, ServerTls,
    Target, TargetTls, Task, tls,
};

/// The operating system that this process runs on. Must be used inside a tokio runtime.
#[derive(Clone, Debug)]
pub struct OsEnv {
    scope: Arc<Scope>,
    disk: OsDisk,
}

#[derive(Debug)]
struct Scope {
    root: [u8; 32],
    clients: Arc<tls::Clients>,
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl OsEnv {
    /// An environment with a random root seed.
    ///
    /// # Errors
    /// If the operating system has no random bytes to give.
    pub fn new() -> io::Result<Self> {
        let mut root = [0; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut root)
            .map_err(|error| io::Error::other(format!("read random bytes: {error}")))?;
        Ok(Self::with_root(root))
    }

    /// An environment whose seeds derive from `root`: the same root gives the same seeds.
    pub fn with_root(root: [u8; 32]) -> Self {
        Self {
            scope: Arc::new(Scope {
                root,
                clients: Arc::default(),
                tasks: Mutex::default(),
            }),
            disk: OsDisk(()),
        }
    }

    /// The addresses of a name. There is no time limit of its own.
    ///
    /// # Errors
    /// What the resolver says.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    /// Stops every task that was spawned through this environment, each at its next await point.
    pub fn abort_all(&self) {
        let tasks = std::mem::take(&mut *self.scope.tasks());
        for task in tasks {
            task.abort();
        }
    }
}

impl Scope {
    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<tokio::task::AbortHandle>> {
        self.tasks
            .lock()
            .expect("nothing panics while it holds the list")
    }
}

impl Env for OsEnv {
    type Stream = OsStream;
    type Listener = OsListener;
    type Disk = OsDisk;

    async fn connect(&self, target: &Target) -> Result<OsStream, ConnectError> {
        let dns = |reason: String| ConnectError::Dns {
            host: target.host.clone(),
            reason,
        };
        let addresses = self.resolve(&target.host, target.port).await;
        let addresses = addresses.map_err(|error| dns(error.to_string()))?;
        let mut failure = dns("no address".to_owned());
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A request is written in one go; waiting for an ACK before its last segment would cost a round trip.
                    stream.set_nodelay(true)?;
                    return match &target.tls {
                        None => Ok(stream.into()),
                        Some(tls) => self.secure(stream.into(), tls).await,
                    };
                }
                Err(error) => failure = connect_error(error),
            }
        }
        Err(failure)
    }

    async fn secure(&self, stream: OsStream, tls: &TargetTls) -> Result<OsStream, ConnectError> {
        tls::connect(self.scope.clients.clone(), tls, stream).await
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<OsListener> {
        let (socket, identity) = (TcpListener::bind(address).await?, None);
        Ok(OsListener { socket, identity })
    }

    async fn listen_tls(&self, address: SocketAddr, tls: &ServerTls) -> io::Result<OsListener> {
        let identity = Some(tls::Identity::read(tls).await?);
        let socket = TcpListener::bind(address).await?;
        Ok(OsListener { socket, identity })
    }

    fn disk(&self) -> &OsDisk {
        &self.disk
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wall clock of the seam"
    )]
    fn unix_time(&self) -> Duration {
        std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn seed(&self, purpose: &str) -> [u8; 32] {
        derive_seed(&self.scope.root, purpose)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the scope of the seam")]
    fn spawn<F>(&self, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(task);
        let mut tasks = self.scope.tasks();
        // Prune only when the list would grow: amortised constant, and bounded by twice the live tasks.
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(handle.abort_handle());
        Task::new(handle)
    }

    fn process(&self) -> Option<ProcessStats> {
        ProcessStats::read()
    }

    fn cpu_times(&self) -> Option<super::CpuTimes> {
        super::CpuTimes::read()
    }

    fn default_route(&self) -> Option<String> {
        super::route::read()
    }

    async fn compute<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        on_helper(work).await
    }
}

/// Derives the 32 bytes for `purpose` from `root`: a ChaCha20 stream whose number is the purpose's FNV-1a hash.
pub fn derive_seed(root: &[u8; 32], purpose: &str) -> [u8; 32] {
    let stream = purpose
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut rng = ChaCha20Rng::from_seed(*root);
    rng.set_stream(stream);
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}

fn connect_error(error: io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused,
        io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => ConnectError::Unreachable,
        _ => ConnectError::Io(error),
    }
}

/// Runs `work` on tokio's blocking pool. A panic inside goes on in the caller.
#[expect(
    clippy::disallowed_methods,
    reason = "helper threads stand behind the seam"
)]
pub(super) async fn on_helper<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(output) => output,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down: nobody may see an output that does not exist.
        Err(_) => std::future::pending().await,
    }
}

/// A bound TCP socket.
#[derive(Debug)]
pub struct OsListener {
    socket: TcpListener,
    /// What it shows to clients; `None` is plain TCP.
    identity: Option<Arc<tls::Identity>>,
}

impl Listener for OsListener {
    type Stream = OsStream;

    async fn accept(&mut self) -> io::Result<(OsStream, SocketAddr)> {
        let (stream, peer) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        let stream = match &self.identity {
            None => stream.into(),
            Some(identity) => identity.accept(stream),
        };
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// The file systems of this machine.
#[derive(Clone, Copy, Debug)]
pub struct OsDisk(());

/// A lock of the operating system (`flock`), which goes with its process.
#[derive(Debug)]
pub struct OsLock(fs::File);

impl Drop for OsLock {
    /// Closing is not enough: a child that is being started has every descriptor until it executes its program, and would have
    /// the lock that long (test `a_lock_that_was_given_back_is_free`).
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

impl Disk for OsDisk {
    type File = OsFile;
    type Lock = OsLock;

    async fn lock(&self, path: &Path) -> io::Result<OsLock> {
        let path = path.to_owned();
        on_helper(move || {
            let mut options = fs::OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
            Ok(OsLock(file))
        })
        .await
    }

    async fn open(&self, path: &Path, how: Open) -> io::Result<OsFile> {
        let path = path.to_owned();
        on_helper(move || {
            let mut options = fs::OpenOptions::new();
            match how {
                Open::Read => options.read(true),
                Open::ReadWrite => options.read(true).write(true),
                Open::CreateNew => options.read(true).write(true).create_new(true),
                Open::Create => options.read(true).write(true).create(true).truncate(false),
            };
            // A pipe that somebody has put there would be waited for until it has a writer.
            options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
            Ok(OsFile(Arc::new(options.open(path)?)))
        })
        .await
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        on_helper(move || create_dir_all_durable(&path)).await
    }

    async fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let path = path.to_owned();
        on_helper(move || {
            let mut entries = Vec::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                // A file may be removed between the listing and the question for its size.
                let metadata = match entry.metadata() {
                    Ok(metadata) => metadata,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                entries.push(DirEntry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    bytes: if metadata.is_dir() { 0 } else { metadata.len() },
                    // The unit of st_blocks is 512 bytes, whatever the file system's blocks are.
                    disk_bytes: if metadata.is_dir() {
                        0
                    } else {
                        metadata.blocks().saturating_mul(512)
                    },
                    is_dir: metadata.is_dir(),
                });
            }
            entries.sort();
            Ok(entries)
        })
        .await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        on_helper(move || fs::rename(from, to)).await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        on_helper(move || fs::remove_file(path)).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        on_helper(move || fs::File::open(path)?.sync_all()).await
    }

    async fn write_private(&self, path: &Path, data: Bytes) -> io::Result<()> {
        let path = path.to_owned();
        on_helper(move || {
            let mut part = path.as_os_str().to_owned();
            part.push(".part");
            let part = PathBuf::from(part);
            match fs::remove_file(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // Private from the first instant: a file that is narrowed later could be opened before.
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&part)?;
            file.write_all(&data)?;
            fs::rename(part, path)
        })
        .await
    }

    async fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let path = path.to_owned();
        on_helper(move || {
            let stat = rustix::fs::statvfs(&path)?;
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
        })
        .await
    }

    async fn block_bytes(&self, path: &Path) -> io::Result<u64> {
        let path = path.to_owned();
        // Some network file systems say 0.
        on_helper(move || Ok(rustix::fs::statvfs(&path)?.f_frsize.max(1))).await
    }
}

/// Makes `path` and its missing parents, and syncs the parent of each one made.
fn create_dir_all_durable(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut at: PathBuf = path.to_owned();
    while !at.as_os_str().is_empty() && !at.is_dir() {
        missing.push(at.clone());
        if !at.pop() {
            break;
        }
    }
    for dir in missing.iter().rev() {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            other => other?,
        }
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// An open file.
#[derive(Clone, Debug)]
pub struct OsFile(Arc<fs::File>);

impl File for OsFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let file = self.0.clone();
        on_helper(move || {
            let mut data = vec![0; len];
            let mut filled = 0;
            while filled < len {
                match file.read_at(&mut data[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            data.truncate(filled);
            Ok(Bytes::from(data))
        })
        .await
    }

    async fn write_at(&self, offset: u64, data: Bytes) -> io::Result<()> {
        let file = self.0.clone();
        on_helper(move || file.write_all_at(&data, offset)).await
    }

    async fn sync(&self) -> io::Result<()> {
        let file = self.0.clone();
        on_helper(move || file.sync_data()).await
    }

    async fn write_and_sync(&self, offset: u64, data: Bytes) -> io::Result<Duration> {
        let file = self.0.clone();
        on_helper(move || {
            file.write_all_at(&data, offset)?;
            let began = tokio::time::Instant::now();
            file.sync_data()?;
            Ok(began.elapsed())
        })
        .await
    }

    async fn set_len(&self, bytes: u64) -> io::Result<()> {
        let file = self.0.clone();
        on_helper(move || file.set_len(bytes)).await
    }

    async fn allocate(&self, bytes: u64) -> io::Result<()> {
        let file = self.0.clone();
        on_helper(move || allocate(&file, bytes)).await
    }

    async fn len(&self) -> io::Result<u64> {
        let file = self.0.clone();
        on_helper(move || Ok(file.metadata()?.len())).await
    }
}

/// Takes blocks for the first `bytes` of a file.
fn allocate(file: &fs::File, bytes: u64) -> io::Result<()> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::Errno,
    };
    if bytes == 0 {
        return Ok(());
    }
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return fill(file, bytes),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes blocks where the file system has no call for it. Written is noise: zeros take no room where files are compressed.
fn fill(file: &fs::File, bytes: u64) -> io::Result<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(bytes);
    let mut chunk = vec![0; 64 << 10];
    let mut at = file.metadata()?.len();
    while at < bytes {
        let len = chunk.len().min((bytes - at) as usize);
        rng.fill_bytes(&mut chunk[..len]);
        file.write_all_at(&chunk[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::conformance;

    /// Both ways of taking room take blocks, and leave what is there.
    #[test]
    fn room_is_taken_in_blocks() {
        for take in [allocate, fill] {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(b"data", 0).unwrap();
            take(&file, 300_000).unwrap();
            let metadata = file.metadata().unwrap();
            assert_eq!(metadata.len(), 300_000);
            assert!(metadata.blocks() * 512 >= 300_000, "{metadata:?}");
            let mut start = [0; 4];
            file.read_exact_at(&mut start, 0).unwrap();
            assert_eq!(&start, b"data");
            take(&file, 100).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 300_000);
        }
    }

    /// Regression: another thread of the process was starting a child, which had a copy of the descriptor for a moment, and whoever
    /// came next was told that another process had the buffer.
    #[tokio::test]
    async fn a_lock_that_was_given_back_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let (env, path) = (OsEnv::new().unwrap(), dir.path().join("lock"));
        let lock = env.disk().lock(&path).await.unwrap();
        let _in_a_child = lock.0.try_clone().unwrap();
        assert!(env.disk().lock(&path).await.is_err());
        drop(lock);
        env.disk().lock(&path).await.unwrap();
    }

    #[tokio::test]
    async fn conforms() {
        let dir = tempfile::tempdir().unwrap();
        let env = OsEnv::new().unwrap();
        conformance::check(&env, dir.path(), [127, 0, 0, 1].into()).await;
    }

    #[tokio::test]
    async fn private_files_are_private_and_replaced() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "open to all").unwrap();
        let env = OsEnv::with_root([7; 32]);
        env.disk()
            .write_private(&path, Bytes::from_static(b"token"))
            .await
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"token");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn scope_ends_its_tasks() {
        let env = OsEnv::with_root([7; 32]);
        let task = env.spawn(std::future::pending::<()>());
        env.abort_all();
        assert_eq!(task.await, None);
    }

    #[test]
    fn seeds_depend_on_root_and_purpose() {
        assert_eq!(
            derive_seed(&[1; 32], "retry"),
            derive_seed(&[1; 32], "retry")
        );
        assert_ne!(
            derive_seed(&[1; 32], "retry"),
            derive_seed(&[1; 32], "boot")
        );
        assert_ne!(
            derive_seed(&[1; 32], "retry"),
            derive_seed(&[2; 32], "retry")
        );
    }
}
