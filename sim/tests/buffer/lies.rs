//! Disks that break their word: what the collector would be with one line of its store left out.
//!
//! They stand between the collector and its simulated disk, which never hears of what is left out.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use backroom_collector::{
    core::{
        frame::{Header, Place, frame_bytes},
        spool::FileId,
    },
    env::{ConnectError, DirEntry, Disk, Env, File, Open, Target, Task},
};
use backroom_sim::world::{
    disk::{SimDisk, SimFile, SimLock},
    env::{SimEnv, SimListener, SimStream},
};
use bytes::Bytes;

/// What a disk says without doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Every sync of a file: an ack without an fsync.
    Sync,
    /// Every sync of a directory: files without names.
    SyncDir,
    /// One sync of a file, this one from 0.
    OneSync(u64),
}

/// A sync of a file that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    /// Its number in this life of the collector, from 0.
    pub(crate) number: u64,
    /// The file's name.
    pub(crate) name: String,
    /// How many changes the disk had seen.
    pub(crate) changes: u64,
    /// Requests that were written to the file since its last sync.
    pub(crate) requests: usize,
}

/// Syncs in their order.
pub(crate) type Syncs = Arc<Mutex<Vec<Sync>>>;

/// Requests in a piece of a file.
fn requests(name: &str, offset: u64, data: &[u8]) -> usize {
    let Some(FileId { number: file, .. }) = FileId::from_name(name) else {
        return 0;
    };
    let (mut at, mut count) = (0, 0);
    while let Some(header) = data.get(at..).and_then(|rest| {
        let offset = offset + at as u64;
        Header::decode(rest, Place { file, offset })
    }) {
        count += usize::from(header.kind.is_request());
        at += frame_bytes(header.payload_bytes as usize) as usize;
    }
    count
}

/// A machine with such a disk.
#[derive(Clone)]
pub(crate) struct LyingEnv {
    inner: SimEnv,
    disk: LyingDisk,
}

#[derive(Clone)]
pub(crate) struct LyingDisk {
    inner: SimDisk,
    lie: Lie,
    syncs: Arc<AtomicU64>,
    told: Syncs,
}

pub(crate) struct LyingFile {
    inner: SimFile,
    name: String,
    requests: AtomicUsize,
    disk: LyingDisk,
}

impl LyingEnv {
    /// `told` gets the syncs that are asked for.
    pub(crate) fn new(inner: SimEnv, lie: Lie, told: Syncs) -> Self {
        let disk = LyingDisk {
            inner: inner.disk().clone(),
            lie,
            syncs: Arc::default(),
            told,
        };
        Self { inner, disk }
    }
}

impl Env for LyingEnv {
    type Stream = SimStream;
    type Listener = SimListener;
    type Disk = LyingDisk;

    async fn connect(&self, target: &Target) -> Result<SimStream, ConnectError> {
        self.inner.connect(target).await
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<SimListener> {
        self.inner.listen(address).await
    }

    fn disk(&self) -> &LyingDisk {
        &self.disk
    }

    fn unix_time(&self) -> Duration {
        self.inner.unix_time()
    }

    fn seed(&self, purpose: &str) -> [u8; 32] {
        self.inner.seed(purpose)
    }

    fn spawn<F>(&self, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner.spawn(task)
    }

    async fn compute<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.inner.compute(work).await
    }
}

impl Disk for LyingDisk {
    type File = LyingFile;
    type Lock = SimLock;

    async fn lock(&self, path: &Path) -> io::Result<SimLock> {
        self.inner.lock(path).await
    }

    async fn open(&self, path: &Path, how: Open) -> io::Result<LyingFile> {
        Ok(LyingFile {
            inner: self.inner.open(path, how).await?,
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            requests: AtomicUsize::new(0),
            disk: self.clone(),
        })
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path).await
    }

    async fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.read_dir(path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to).await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self.lie {
            Lie::SyncDir => Ok(()),
            Lie::Sync | Lie::OneSync(_) => self.inner.sync_dir(path).await,
        }
    }

    async fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path).await
    }

    async fn block_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.block_bytes(path).await
    }
}

impl File for LyingFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.inner.read_at(offset, len).await
    }

    async fn write_at(&self, offset: u64, data: Bytes) -> io::Result<()> {
        let requests = requests(&self.name, offset, &data);
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.inner.write_at(offset, data).await
    }

    async fn sync(&self) -> io::Result<()> {
        let index = self.disk.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.told.lock().unwrap().push(Sync {
            number: index,
            name: self.name.clone(),
            changes: self.disk.inner.changes(),
            requests: self.requests.swap(0, Ordering::Relaxed),
        });
        match self.disk.lie {
            Lie::Sync => Ok(()),
            Lie::OneSync(at) if at == index => Ok(()),
            Lie::OneSync(_) | Lie::SyncDir => self.inner.sync().await,
        }
    }

    async fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.inner.set_len(bytes).await
    }

    async fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.inner.allocate(bytes).await
    }

    async fn len(&self) -> io::Result<u64> {
        self.inner.len().await
    }
}
