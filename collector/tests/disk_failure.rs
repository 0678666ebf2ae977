//! A disk that fails on command, under the real collector: nothing is acknowledged that is not durable, health tells the truth,
//! deliveries go on, and it recovers by itself.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backroom_collector::{
    env::{
        ConnectError, DirEntry, Disk, Env, File, Open, OsDisk, OsEnv, OsFile, OsListener, OsLock,
        OsStream, Target, Task,
    },
    shell,
};
use bytes::Bytes;
use common::{Recorder, Sink, buffer, config, env};

/// What fails at the moment.
#[derive(Debug, Default)]
struct Faults {
    sync: AtomicBool,
    /// No space left: writes, and new files.
    write: AtomicBool,
    /// New batch segments.
    batches: AtomicBool,
}

impl Faults {
    fn check(&self, which: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
        if which.load(Ordering::Relaxed) {
            return Err(kind.into());
        }
        Ok(())
    }
}

/// The operating system with a disk that fails.
#[derive(Clone)]
struct FaultyEnv {
    inner: OsEnv,
    disk: FaultyDisk,
}

#[derive(Clone)]
struct FaultyDisk {
    inner: OsDisk,
    faults: Arc<Faults>,
}

struct FaultyFile {
    inner: OsFile,
    faults: Arc<Faults>,
}

impl Env for FaultyEnv {
    type Stream = OsStream;
    type Listener = OsListener;
    type Disk = FaultyDisk;

    async fn connect(&self, target: &Target) -> Result<OsStream, ConnectError> {
        self.inner.connect(target).await
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<OsListener> {
        self.inner.listen(address).await
    }

    fn disk(&self) -> &FaultyDisk {
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

impl Disk for FaultyDisk {
    type File = FaultyFile;
    type Lock = OsLock;

    async fn lock(&self, path: &Path) -> io::Result<OsLock> {
        self.inner.lock(path).await
    }

    async fn open(&self, path: &Path, how: Open) -> io::Result<FaultyFile> {
        if how == Open::CreateNew {
            self.faults
                .check(&self.faults.write, io::ErrorKind::StorageFull)?;
            if path.extension().is_some_and(|kind| kind == "batches") {
                self.faults
                    .check(&self.faults.batches, io::ErrorKind::Other)?;
            }
        }
        Ok(FaultyFile {
            inner: self.inner.open(path, how).await?,
            faults: self.faults.clone(),
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
        self.faults.check(&self.faults.sync, io::ErrorKind::Other)?;
        self.inner.sync_dir(path).await
    }

    async fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path).await
    }

    async fn block_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.block_bytes(path).await
    }
}

impl File for FaultyFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.inner.read_at(offset, len).await
    }

    async fn write_at(&self, offset: u64, data: Bytes) -> io::Result<()> {
        self.faults
            .check(&self.faults.write, io::ErrorKind::StorageFull)?;
        self.inner.write_at(offset, data).await
    }

    async fn sync(&self) -> io::Result<()> {
        self.faults.check(&self.faults.sync, io::ErrorKind::Other)?;
        self.inner.sync().await
    }

    async fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.inner.set_len(bytes).await
    }

    async fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.faults
            .check(&self.faults.write, io::ErrorKind::StorageFull)?;
        self.inner.allocate(bytes).await
    }

    async fn len(&self) -> io::Result<u64> {
        self.inner.len().await
    }
}

/// Starts a collector on a disk that can fail; returns its records and the switch.
fn start(dir: &Path, sink: &Sink) -> (Arc<Recorder>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let env = FaultyEnv {
        inner: env(),
        disk: FaultyDisk {
            inner: *env().disk(),
            faults: faults.clone(),
        },
    };
    let told = Arc::new(Recorder::default());
    let config = config(dir, Some(sink.url()));
    let run = shell::run(env.clone(), config, told.clone(), std::future::pending());
    drop(env.spawn(run));
    (told, faults)
}

async fn status(address: SocketAddr, path: &str) -> (u16, String) {
    let mut client = common::Client::connect(address).await;
    let answer = client.request("GET", path, &[], b"").await.unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

/// A sync that fails is never acknowledged, and health says so until it works again.
#[tokio::test]
async fn a_failed_sync_acknowledges_nothing() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let (told, faults) = start(&dir, &sink);
    let (address, _) = told.listening().await;
    let mut client = common::Client::connect(address).await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    told.wait("sealed", |told| told.sealed_items() == 10).await;

    faults.sync.store(true, Ordering::Relaxed);
    let answer = client.post_spans(10..20).await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(told.stored(), 10, "what was not synced is not accepted");
    let (health, reason) = status(address, "/healthz").await;
    assert_eq!(health, 503);
    assert!(reason.contains(".journal"), "{reason}");

    faults.sync.store(false, Ordering::Relaxed);
    let answer = client.post_spans(20..30).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(status(address, "/healthz").await.0, 200);
    assert!(told.has_notice("the disk works again"));

    sink.listen().await;
    told.wait("all delivered", |told| told.stored() == 0).await;
    let taken = sink.taken();
    assert!((0..10).chain(20..30).all(|id| taken.get(&id) == Some(&1)));
}

/// A journal that works does not hide that batches cannot be written.
#[tokio::test]
async fn health_stays_bad_while_batches_fail() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let (told, faults) = start(&dir, &sink);
    let (address, _) = told.listening().await;
    let mut client = common::Client::connect(address).await;
    faults.batches.store(true, Ordering::Relaxed);
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    told.wait("a failure", |told| told.has_notice("write batch"))
        .await;
    assert_eq!(client.post_spans(10..20).await.unwrap().status, 200);
    let (health, reason) = status(address, "/healthz").await;
    assert_eq!(health, 503);
    assert!(reason.contains(".batches"), "{reason}");
    assert!(!told.has_notice("the disk works again"));

    faults.batches.store(false, Ordering::Relaxed);
    told.wait("an end", |told| told.has_notice("the disk works again"))
        .await;
    assert_eq!(status(address, "/healthz").await.0, 200);
}

/// A disk without space takes nothing in; what is sealed is delivered and deleted all the same, and intake comes back.
#[tokio::test]
async fn a_disk_without_space_still_delivers() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let (told, faults) = start(&dir, &sink);
    let (address, _) = told.listening().await;
    let mut client = common::Client::connect(address).await;
    for first in (0..100).step_by(10) {
        let answer = client.post_spans(first..first + 10).await;
        assert_eq!(answer.unwrap().status, 200);
    }
    told.wait("all sealed", |told| told.sealed_items() == 100)
        .await;

    faults.write.store(true, Ordering::Relaxed);
    assert_eq!(client.post_spans(100..110).await.unwrap().status, 503);
    sink.listen().await;
    told.wait("all delivered", |told| told.stored() == 0).await;

    faults.write.store(false, Ordering::Relaxed);
    assert_eq!(client.post_spans(110..120).await.unwrap().status, 200);
    told.wait("the rest", |told| told.stored() == 0).await;
    let taken = sink.taken();
    assert_eq!(taken.keys().filter(|id| **id < 100).count(), 100);
    assert!(taken.values().all(|count| *count == 1));
}

/// What is durable and cannot be sealed is bounded in memory: then requests are refused, and come in again when it can.
#[tokio::test]
async fn what_cannot_be_sealed_does_not_fill_the_memory() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let (told, faults) = start(&dir, &sink);
    let (address, _) = told.listening().await;
    let mut client = common::Client::connect(address).await;
    faults.batches.store(true, Ordering::Relaxed);
    let request = common::spans(0..500);
    // Eight batches, and one request that began when there was room.
    let taken_max = 8 * config(&dir, None).batch.bytes.0 as usize / request.len() + 2;
    let mut taken = 0;
    while client.post_spans(0..500).await.unwrap().status == 200 {
        taken += 1;
        assert!(taken <= taken_max, "more than {taken_max} were taken");
    }
    assert!(taken >= 4, "only {taken} were taken");

    faults.batches.store(false, Ordering::Relaxed);
    told.wait("an end", |told| told.has_notice("the disk works again"))
        .await;
    assert_eq!(client.post_spans(0..500).await.unwrap().status, 200);
}
