//! A machine's simulated disk: turmoil-fs keeps the state, `disk_time` gives each operation its delay.
//!
//! An operation takes effect at the *end* of its delay, so a power cut during an fsync finds the data not yet durable.
//! Files know their disk, so any task may use them. Who loses power, and when, is decided in `World`.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use backroom_collector::env::{DirEntry, Disk, File, Open};
use bytes::Bytes;
use turmoil_fs::{Fs, FsContext, shim::std::fs as sfs};

use super::{disk_time::DiskTime, seed};
use crate::{
    dist::Dist,
    scenario::{DiskSpec, OnPowerCut},
};

/// Blocks of which a torn write keeps a prefix: the page of common file systems and flash translation layers.
const TORN_BLOCK_BYTES: u64 = 4096;

/// A handle to one machine's disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Inner>);

struct Inner {
    fs: Fs,
    start: tokio::time::Instant,
    state: Mutex<State>,
    on_power_cut: OnPowerCut,
    capacity_bytes: u64,
}

struct State {
    time: DiskTime,
    /// Bytes written and not synced, for telling what a power cut cost.
    unsynced_bytes: u64,
    /// Locks that are held, each with the number of its holder.
    locks: BTreeMap<PathBuf, u64>,
    locks_taken: u64,
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    /// A new disk; a machine without a declared one gets 8 GiB of fast flash.
    pub(super) fn new(spec: Option<&DiskSpec>, run_seed: u64, machine: &str) -> Self {
        let stream = seed::stream(run_seed, &[machine, "disk"]);
        let fs_seed = u64::from_le_bytes(
            seed::derive(run_seed, &[machine, "disk state"])[..8]
                .try_into()
                .expect("eight bytes of thirty-two"),
        );
        let (time, capacity_bytes, on_power_cut) = match spec {
            Some(d) => (
                DiskTime::new(d.fsync.clone(), d.write_bytes_per_second, stream),
                d.free.0,
                d.on_power_cut,
            ),
            None => (
                DiskTime::new(Dist::Const(0.001), 200e6, stream),
                8 << 30,
                OnPowerCut::LoseUnsynced,
            ),
        };
        let mut fs = Fs::builder().seed(fs_seed).capacity(capacity_bytes);
        if on_power_cut == OnPowerCut::TearLastBlock {
            fs = fs.block_size(TORN_BLOCK_BYTES);
        }
        Self(Arc::new(Inner {
            fs: fs.build(),
            start: tokio::time::Instant::now(),
            state: Mutex::new(State {
                time,
                unsynced_bytes: 0,
                locks: BTreeMap::new(),
                locks_taken: 0,
            }),
            on_power_cut,
            capacity_bytes,
        }))
    }

    /// The power goes. Gives the bytes that were written and not synced, whatever became of them.
    pub(super) fn power_lost(&self) -> u64 {
        let mut state = self.state();
        state.time.power_lost();
        state.locks.clear();
        if self.0.on_power_cut != OnPowerCut::Keep {
            self.0.fs.crash();
        }
        std::mem::take(&mut state.unsynced_bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .state
            .lock()
            .expect("a disk is used by one thread and never held across a panic")
    }

    /// Runs `op` with this disk current.
    fn with<T>(&self, op: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.fs.set_now(self.0.start.elapsed());
        let _current = self.0.fs.enter();
        op()
    }

    /// Waits as long as a sync takes, then does `op`.
    async fn synced<T>(&self, op: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let at = {
            let now = self.0.start.elapsed();
            self.state().time.sync(now)
        };
        tokio::time::sleep_until(self.0.start + at).await;
        self.with(op)
    }

    fn free(&self) -> u64 {
        // turmoil-fs tells only whether a given size still fits.
        let (mut fits, mut too_much) = (0, self.0.capacity_bytes + 1);
        while too_much - fits > 1 {
            let middle = fits + (too_much - fits) / 2;
            let room = self.with(|| Ok(FsContext::current(|c| c.fs.check_space(middle).is_ok())));
            if room.unwrap_or(false) {
                fits = middle;
            } else {
                too_much = middle;
            }
        }
        fits
    }
}

/// turmoil-fs treats every path as absolute; one spelling for each.
fn absolute(path: &Path) -> PathBuf {
    Path::new("/").join(path)
}

/// turmoil-fs reports conditions of the file system as text: callers get the kinds that an operating system gives.
fn os_error(error: io::Error) -> io::Error {
    let text = error.to_string();
    let kind = match text.as_str() {
        t if t.contains("No space left") => io::ErrorKind::StorageFull,
        t if t.contains("No such file") || t.contains("not found") => io::ErrorKind::NotFound,
        t if t.contains("File exists") => io::ErrorKind::AlreadyExists,
        t if t.contains("Not a directory") => io::ErrorKind::NotADirectory,
        t if t.contains("Is a directory") => io::ErrorKind::IsADirectory,
        _ => return error,
    };
    io::Error::new(kind, text)
}

/// A lock of a [`SimDisk`]. A crash drops what its machine's tasks hold, and so gives it back.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    number: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        // After a power cut another holder may have it.
        if state.locks.get(&self.path) == Some(&self.number) {
            state.locks.remove(&self.path);
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    async fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let path = absolute(path);
        let mut state = self.state();
        if state.locks.contains_key(&path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locks_taken += 1;
        let number = state.locks_taken;
        state.locks.insert(path.clone(), number);
        Ok(SimLock {
            disk: self.clone(),
            path,
            number,
        })
    }

    async fn open(&self, path: &Path, how: Open) -> io::Result<SimFile> {
        let path = absolute(path);
        let mut options = sfs::OpenOptions::new();
        options.read(true).write(how != Open::Read);
        match how {
            Open::Read | Open::ReadWrite => {}
            Open::CreateNew => {
                options.create_new(true);
            }
            Open::Create => {
                options.create(true);
            }
        }
        let file = self.with(|| options.open(&path)).map_err(os_error)?;
        Ok(SimFile {
            disk: self.clone(),
            file: Some(file),
        })
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        self.synced(|| {
            sfs::create_dir_all(&path)?;
            for dir in path.ancestors() {
                sfs::sync_dir(dir)?;
            }
            Ok(())
        })
        .await
        .map_err(os_error)
    }

    async fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let path = absolute(path);
        self.with(|| {
            let mut entries = Vec::new();
            for entry in sfs::read_dir(&path)? {
                let entry = entry?;
                let meta = entry.metadata()?;
                entries.push(DirEntry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    bytes: if meta.is_dir() { 0 } else { meta.len() },
                    is_dir: meta.is_dir(),
                });
            }
            entries.sort();
            Ok(entries)
        })
        .map_err(os_error)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (absolute(from), absolute(to));
        self.with(|| sfs::rename(&from, &to)).map_err(os_error)
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        self.with(|| sfs::remove_file(&path)).map_err(os_error)
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        self.synced(|| sfs::sync_dir(&path)).await.map_err(os_error)
    }

    async fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.free())
    }
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    disk: SimDisk,
    /// `None` only while it is being dropped.
    file: Option<sfs::File>,
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimFile")
    }
}

impl SimFile {
    fn file(&self) -> &sfs::File {
        self.file.as_ref().expect("present until the drop")
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        // Closing a file is an operation of its disk: without this it would close a handle of another machine's.
        let file = self.file.take();
        let _ = self.disk.with(|| {
            drop(file);
            Ok(())
        });
    }
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.disk
            .with(|| {
                let bytes = self.file().metadata()?.len();
                let len = len.min(bytes.saturating_sub(offset) as usize);
                let mut buffer = vec![0; len];
                let mut done = 0;
                while done < len {
                    match self
                        .file()
                        .read_at(&mut buffer[done..], offset + done as u64)?
                    {
                        0 => break,
                        n => done += n,
                    }
                }
                buffer.truncate(done);
                Ok(Bytes::from(buffer))
            })
            .map_err(os_error)
    }

    async fn write_at(&self, offset: u64, data: Bytes) -> io::Result<()> {
        self.disk
            .with(|| self.file().write_all_at(&data, offset))
            .map_err(os_error)?;
        let mut state = self.disk.state();
        state.time.wrote(data.len() as u64);
        state.unsynced_bytes += data.len() as u64;
        Ok(())
    }

    async fn sync(&self) -> io::Result<()> {
        self.disk
            .synced(|| self.file().sync_all())
            .await
            .map_err(os_error)?;
        self.disk.state().unsynced_bytes = 0;
        Ok(())
    }

    async fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk
            .with(|| self.file().set_len(bytes))
            .map_err(os_error)
    }

    async fn len(&self) -> io::Result<u64> {
        self.disk
            .with(|| self.file().metadata().map(|m| m.len()))
            .map_err(os_error)
    }
}
