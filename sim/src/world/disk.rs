//! A machine's simulated disk: `disk_state` is what it keeps, `disk_time` how long it takes, `disk_fault` what fails.
//!
//! An operation takes effect at the *end* of its delay, so a power cut during an fsync finds the data not yet durable.
//! Files know their disk, so any task may use them. [`SimDisk`]'s own methods are for whoever directs a world; a machine's
//! program has its [`Disk`] and no more. Who loses power, and when, is decided in `World`.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use backroom_collector::env::{DirEntry, Disk, File, Open};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;

pub use super::{
    disk_fault::{DiskOp, Side},
    disk_state::PowerLoss,
};
use super::{
    disk_fault::{Faults, Meets},
    disk_state::{self, DiskState, FileNo},
    disk_time::{DiskTime, Slow},
    seed,
};
use crate::{dist::Dist, scenario::DiskSpec};

/// A handle to one machine's disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Inner>);

struct Inner {
    start: tokio::time::Instant,
    state: Mutex<State>,
    /// Rung when the power goes at a planned operation.
    dark: Notify,
}

struct State {
    keeps: DiskState,
    time: DiskTime,
    faults: Faults,
    on_power_loss: PowerLoss,
    rng: ChaCha8Rng,
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
        let (time, capacity_bytes, on_power_loss) = match spec {
            Some(d) => (
                DiskTime::new(d.fsync.clone(), d.write_bytes_per_second, stream),
                d.free.0,
                d.on_power_cut.into(),
            ),
            None => (
                DiskTime::new(Dist::Const(0.001), 200e6, stream),
                8 << 30,
                PowerLoss::Unsynced,
            ),
        };
        Self(Arc::new(Inner {
            start: tokio::time::Instant::now(),
            state: Mutex::new(State {
                keeps: DiskState::new(capacity_bytes),
                time,
                faults: Faults::default(),
                on_power_loss,
                rng: seed::stream(run_seed, &[machine, "disk state"]),
                locks: BTreeMap::new(),
                locks_taken: 0,
            }),
            dark: Notify::new(),
        }))
    }

    /// The power goes. Gives the bytes that were written and not synced, whatever became of them.
    pub(super) fn power_lost(&self) -> u64 {
        let mut state = self.state();
        let state = &mut *state;
        state.time.power_lost();
        state.faults.power_lost();
        state.locks.clear();
        state.keeps.lose_power(state.on_power_loss, &mut state.rng)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .state
            .lock()
            .expect("a disk is used by one thread and never held across a panic")
    }

    /// Passes the faults, then does `act`; never returns if the power goes.
    async fn act<T>(
        &self,
        op: DiskOp,
        act: impl FnOnce(&mut DiskState) -> io::Result<T>,
    ) -> io::Result<T> {
        let meets = self.state().faults.meet(op);
        let result = match meets {
            Meets::Nothing => return act(&mut self.state().keeps),
            Meets::Error(kind) => Err(io::Error::new(kind, format!("{op:?} failed"))),
            Meets::LastLight => act(&mut self.state().keeps),
            Meets::Darkness => Err(io::ErrorKind::Other.into()),
        };
        if matches!(meets, Meets::Darkness | Meets::LastLight) {
            self.0.dark.notify_one();
            std::future::pending::<()>().await;
        }
        result
    }

    /// Waits as long as a sync takes.
    async fn sync_time(&self) {
        let at = {
            let now = self.0.start.elapsed();
            self.state().time.sync(now)
        };
        tokio::time::sleep_until(self.0.start + at).await;
    }
}

/// For whoever directs a world: faults, and what they met.
impl SimDisk {
    /// Operations of a kind so far.
    pub fn count(&self, op: DiskOp) -> u64 {
        self.state().faults.count(op)
    }

    /// Operations so far that changed what the disk holds or keeps: each is a boundary for [`SimDisk::cut_at`].
    pub fn changes(&self) -> u64 {
        self.state().faults.changes()
    }

    /// Operations that failed or were cut, and bytes that rotted: whether a fault bit.
    pub fn bites(&self) -> u64 {
        self.state().faults.bites()
    }

    /// Every operation of this kind fails so, until it is healed with `None`. Syncs that failed lose what was dirty.
    pub fn fail(&self, op: DiskOp, kind: Option<io::ErrorKind>) {
        self.state().faults.fail(op, kind);
    }

    /// One operation of this kind fails: after `ahead` others.
    pub fn fail_once(&self, op: DiskOp, ahead: u64, kind: io::ErrorKind) {
        self.state().faults.fail_once(op, ahead, kind);
    }

    /// The power goes at one change: after `ahead` others. From then on nothing of this disk returns: wait for
    /// [`SimDisk::darkness`], then call `World::power_off`.
    pub fn cut_at(&self, ahead: u64, side: Side) {
        self.state().faults.cut(ahead, side);
    }

    /// Waits until the power went as [`SimDisk::cut_at`] has planned.
    pub async fn darkness(&self) {
        while !self.state().faults.is_dark {
            self.0.dark.notified().await;
        }
    }

    /// What the next loss of power takes.
    pub fn on_power_loss(&self, loss: PowerLoss) {
        self.state().on_power_loss = loss;
    }

    /// A share of these operations fails from now on, drawn from `rng`; the number ends it.
    pub fn fail_share(&self, ops: &'static [DiskOp], share: f64, rng: ChaCha8Rng) -> u64 {
        self.state().faults.fail_share(ops, share, rng)
    }

    /// Ends a share of failures.
    pub fn heal_share(&self, number: u64) {
        self.state().faults.heal_share(number);
    }

    /// From now on it is as slow as that; `None` heals it.
    pub fn become_slow(&self, slow: Option<Slow>) {
        self.state().time.become_slow(slow);
    }

    /// Syncs that began while it was slow.
    pub fn met_slow(&self) -> u64 {
        self.state().time.met_slow()
    }

    /// Everything that was written is durable.
    pub fn sync_all(&self) {
        self.state().keeps.sync_all();
    }

    /// What others hold of it.
    pub fn held(&self) -> u64 {
        self.state().keeps.held()
    }

    /// Writes that found no room, and questions for room while others held some.
    pub fn met_full(&self) -> u64 {
        self.state().keeps.met_full()
    }

    /// From now on others hold so many bytes of it; 0 gives them back.
    pub fn hold(&self, bytes: u64) {
        self.state().keeps.hold(bytes);
    }

    /// Bytes that may still be written.
    pub fn free(&self) -> u64 {
        self.state().keeps.free_bytes()
    }

    /// Syncs take so many times as long as declared; 1 heals it.
    ///
    /// # Panics
    /// If `factor` is negative or not finite.
    pub fn slow_down(&self, factor: f64) {
        self.state().time.slow_down(factor);
    }

    /// All files, by path, with their lengths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.state();
        let files = state.keeps.files();
        files
            .map(|(path, bytes)| (path.to_owned(), bytes))
            .collect()
    }

    /// Flips the bits of `mask` in a synced byte; `false` if there is none, and then nothing rotted.
    pub fn rot(&self, path: &Path, offset: u64, mask: u8) -> bool {
        let mut state = self.state();
        let bit = state.keeps.rot(&absolute(path), offset, mask);
        if bit {
            state.faults.bit();
        }
        bit
    }
}

/// One spelling for each path.
fn absolute(path: &Path) -> PathBuf {
    Path::new("/").join(path)
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
        let op = match how {
            Open::Read | Open::ReadWrite => DiskOp::Open,
            Open::Create | Open::CreateNew => DiskOp::Create,
        };
        let file = self.act(op, |keeps| keeps.open(&path, how)).await?;
        Ok(SimFile {
            disk: self.clone(),
            file,
        })
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        self.sync_time().await;
        self.act(DiskOp::Create, |keeps| keeps.make_dirs(&path))
            .await
    }

    async fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let path = absolute(path);
        self.act(DiskOp::Open, |keeps| keeps.list(&path)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (absolute(from), absolute(to));
        self.act(DiskOp::Rename, |keeps| keeps.rename(&from, &to))
            .await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        self.act(DiskOp::Remove, |keeps| keeps.remove(&path)).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        self.sync_time().await;
        self.act(DiskOp::SyncDir, |keeps| keeps.sync_dir(&path))
            .await
    }

    async fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        self.state().keeps.asked_for_room();
        Ok(self.free())
    }

    async fn block_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(disk_state::BLOCK_BYTES)
    }
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    disk: SimDisk,
    file: FileNo,
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimFile")
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().keeps.close(self.file);
    }
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let read = |keeps: &mut DiskState| Ok(keeps.read(self.file, offset, len));
        self.disk.act(DiskOp::Read, read).await
    }

    async fn write_at(&self, offset: u64, data: Bytes) -> io::Result<()> {
        self.disk.state().time.wrote(data.len() as u64);
        let write = |keeps: &mut DiskState| keeps.write(self.file, offset, &data);
        self.disk.act(DiskOp::Write, write).await
    }

    async fn sync(&self) -> io::Result<()> {
        self.disk.sync_time().await;
        let sync = |keeps: &mut DiskState| {
            keeps.sync(self.file);
            Ok(())
        };
        let result = self.disk.act(DiskOp::Sync, sync).await;
        if result.is_err() {
            self.disk.state().keeps.sync_failed(self.file);
        }
        result
    }

    async fn set_len(&self, bytes: u64) -> io::Result<()> {
        let set_len = |keeps: &mut DiskState| keeps.set_len(self.file, bytes);
        self.disk.act(DiskOp::Write, set_len).await
    }

    async fn allocate(&self, bytes: u64) -> io::Result<()> {
        let allocate = |keeps: &mut DiskState| {
            let bytes = bytes.max(keeps.len(self.file));
            keeps.set_len(self.file, bytes)
        };
        self.disk.act(DiskOp::Write, allocate).await
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().keeps.len(self.file))
    }
}
