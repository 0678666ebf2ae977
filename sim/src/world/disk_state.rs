//! What a disk keeps: files, names, and what of them a loss of power takes. Sans-IO.
//!
//! The rules are POSIX's, at their least generous. A write is seen at once and lost with the power until its file is synced.
//! A name (made, moved, removed) is seen at once and undone by a loss of power until its directory is synced. An open file
//! outlives its name. After a sync that failed, what was dirty counts as clean: it is seen until the power goes, and no
//! later sync writes it (Linux since 4.13; "fsyncgate", PostgreSQL, 2018).
//!
//! A file takes whole blocks of [`BLOCK_BYTES`]; names and directories take nothing.
//!
//! turmoil-fs is the measure: the tests hold both against each other. It is not used itself because it gives room back
//! only after a directory's sync, counts overlapping unsynced writes twice, and tears writes but neither names nor rot.
//!
//! `file` is one file's content. Not here: how long anything takes (`disk_time`), which operation fails (`disk_fault`), who calls (`disk`).

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use backroom_collector::env::{DirEntry, Open};
use bytes::Bytes;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use self::file::FileState;
use crate::scenario::OnPowerCut;

/// What becomes of what is not synced when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerLoss {
    /// It is gone: data and names.
    Unsynced,
    /// A prefix of each run of unsynced bytes survives, in pages of 4 KiB; names do not.
    Tear,
    /// Any sectors of 512 bytes survive, any lengths, and any changes of names, in their order: all that POSIX allows.
    Scatter,
    /// Everything survives (a disk with capacitors).
    Keep,
}

impl From<OnPowerCut> for PowerLoss {
    fn from(declared: OnPowerCut) -> Self {
        match declared {
            OnPowerCut::LoseUnsynced => Self::Unsynced,
            OnPowerCut::TearLastBlock => Self::Tear,
            OnPowerCut::Keep => Self::Keep,
        }
    }
}

/// What a file takes room in: the block of ext4, XFS and tmpfs with their defaults.
pub(super) const BLOCK_BYTES: u64 = 4096;

fn in_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

/// Number of a file, whatever its name.
pub(super) type FileNo = u64;

/// One disk's content.
#[derive(Debug)]
pub(super) struct DiskState {
    capacity_bytes: u64,
    /// Taken by others.
    held_bytes: u64,
    /// Writes that found no room, and questions for room while others held some.
    met_full: u64,
    /// Of files that have a name or are open.
    used_bytes: u64,
    /// Directories; made durably.
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, FileNo>,
    /// Names as they survive a loss of power.
    synced_names: BTreeMap<PathBuf, FileNo>,
    /// What was done to names since their directory was synced.
    unsynced: Vec<NameChange>,
    files: BTreeMap<FileNo, FileState>,
    next_file: FileNo,
}

#[derive(Clone, Debug)]
enum NameChange {
    Made(PathBuf, FileNo),
    Moved(PathBuf, PathBuf),
    Removed(PathBuf),
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Made(path, _) | Self::Removed(path) => path.parent() == Some(dir),
            Self::Moved(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, FileNo>) {
        match self {
            Self::Made(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Moved(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Removed(path) => {
                names.remove(path);
            }
        }
    }
}

impl DiskState {
    /// An empty disk.
    pub(super) fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            held_bytes: 0,
            met_full: 0,
            used_bytes: 0,
            dirs: [PathBuf::from("/")].into(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            unsynced: Vec::new(),
            files: BTreeMap::new(),
            next_file: 0,
        }
    }

    /// Bytes that may still be written.
    pub(super) fn free_bytes(&self) -> u64 {
        let taken = self.used_bytes.saturating_add(self.held_bytes);
        self.capacity_bytes.saturating_sub(taken)
    }

    /// From now on others hold so much of it.
    pub(super) fn hold(&mut self, bytes: u64) {
        self.held_bytes = bytes;
    }

    /// What others hold.
    pub(super) fn held(&self) -> u64 {
        self.held_bytes
    }

    /// Somebody asks for the room that is left.
    pub(super) fn asked_for_room(&mut self) {
        self.met_full += u64::from(self.held_bytes > 0);
    }

    /// Writes that found no room, and questions for room while others held some.
    pub(super) fn met_full(&self) -> u64 {
        self.met_full
    }

    /// Everything is durable: what an orderly shutdown leaves.
    pub(super) fn sync_all(&mut self) {
        for file in self.files.values_mut() {
            file.synced();
        }
        self.sync_names(|_| true);
    }

    /// Opens a file; it must be closed.
    pub(super) fn open(&mut self, path: &Path, how: Open) -> io::Result<FileNo> {
        let is_dir = self.dirs.contains(path);
        let file = match (self.names.get(path), how) {
            _ if is_dir && how == Open::CreateNew => return Err(exists(path)),
            _ if is_dir => return Err(is_a_directory(path)),
            (Some(_), Open::CreateNew) => return Err(exists(path)),
            (Some(file), _) => *file,
            (None, Open::Read | Open::ReadWrite) => return Err(missing(path)),
            (None, Open::Create | Open::CreateNew) => self.make(path)?,
        };
        self.file_mut(file).handles += 1;
        Ok(file)
    }

    fn make(&mut self, path: &Path) -> io::Result<FileNo> {
        match path.parent() {
            Some(dir) if self.dirs.contains(dir) => {}
            Some(dir) if self.names.contains_key(dir) => return Err(not_a_directory(dir)),
            _ => return Err(missing(path)),
        }
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, FileState::named());
        self.names.insert(path.to_owned(), file);
        self.unsynced.push(NameChange::Made(path.to_owned(), file));
        Ok(file)
    }

    /// A handle is gone. After a loss of power its file may be, too.
    pub(super) fn close(&mut self, file: FileNo) {
        if let Some(state) = self.files.get_mut(&file) {
            state.handles = state.handles.saturating_sub(1);
            self.free_if_unused(file);
        }
    }

    fn file(&self, file: FileNo) -> &FileState {
        &self.files[&file]
    }

    fn file_mut(&mut self, file: FileNo) -> &mut FileState {
        self.files
            .get_mut(&file)
            .expect("a file is there while it is open")
    }

    /// Gives room back; the content stays while a loss of power may bring the name back.
    fn free_if_unused(&mut self, file: FileNo) {
        let state = &self.files[&file];
        if state.names == 0 && state.handles == 0 {
            self.used_bytes -= state.disk_bytes();
            if self.unsynced.is_empty() {
                self.files.remove(&file);
            }
        }
    }

    /// Reads; fewer bytes only where the file ends.
    pub(super) fn read(&self, file: FileNo, offset: u64, len: usize) -> Bytes {
        let data = &self.file(file).data;
        let start = data
            .len()
            .min(usize::try_from(offset).unwrap_or(usize::MAX));
        let end = data.len().min(start.saturating_add(len));
        Bytes::copy_from_slice(&data[start..end])
    }

    /// Writes; where there is no room for all, what fits.
    pub(super) fn write(&mut self, file: FileNo, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let before = self.file(file).disk_bytes();
        if self.claim(in_blocks(end).saturating_sub(before)) {
            self.file_mut(file).write(offset, data);
            return Ok(());
        }
        let room = before + self.free_bytes() / BLOCK_BYTES * BLOCK_BYTES;
        let fits = data.len().min(room.saturating_sub(offset) as usize);
        let state = self.file_mut(file);
        if fits > 0 {
            state.write(offset, &data[..fits]);
        }
        let more = state.disk_bytes() - before;
        self.used_bytes += more;
        Err(full())
    }

    /// Cuts or extends.
    pub(super) fn set_len(&mut self, file: FileNo, bytes: u64) -> io::Result<()> {
        let (before, after) = (self.file(file).disk_bytes(), in_blocks(bytes));
        if !self.claim(after.saturating_sub(before)) {
            return Err(full());
        }
        self.used_bytes -= before.saturating_sub(after);
        self.file_mut(file).set_len(bytes);
        Ok(())
    }

    fn claim(&mut self, bytes: u64) -> bool {
        if bytes > self.free_bytes() {
            self.met_full += 1;
            return false;
        }
        self.used_bytes += bytes;
        let kept = || self.files.values().map(FileState::disk_bytes).sum::<u64>();
        if !self.unsynced.is_empty() && kept() + bytes > self.capacity_bytes {
            // Blocks of removed files are used again only after their removal is durable.
            self.sync_names(|_| true);
        }
        true
    }

    /// Length in bytes.
    pub(super) fn len(&self, file: FileNo) -> u64 {
        self.file(file).len()
    }

    /// Content and length are durable.
    pub(super) fn sync(&mut self, file: FileNo) {
        self.file_mut(file).synced();
    }

    /// A sync of it failed; see the head of this file.
    pub(super) fn sync_failed(&mut self, file: FileNo) {
        self.file_mut(file).sync_failed();
    }

    /// Makes a directory and its parents, durably.
    pub(super) fn make_dirs(&mut self, path: &Path) -> io::Result<()> {
        for dir in path.ancestors() {
            if self.names.contains_key(dir) {
                return Err(exists(dir));
            }
        }
        for dir in path.ancestors() {
            self.dirs.insert(dir.to_owned());
        }
        Ok(())
    }

    /// A directory's names are durable.
    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        if !self.dirs.contains(path) {
            return Err(missing(path));
        }
        self.sync_names(|change| change.is_in(path));
        Ok(())
    }

    fn sync_names(&mut self, which: impl Fn(&NameChange) -> bool) {
        let names = &mut self.synced_names;
        self.unsynced.retain(|change| {
            let goes = which(change);
            if goes {
                change.apply(names);
            }
            !goes
        });
        if self.unsynced.is_empty() {
            self.files
                .retain(|_, file| file.names > 0 || file.handles > 0);
        }
    }

    /// What is in a directory, by name.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        if self.names.contains_key(path) {
            return Err(not_a_directory(path));
        }
        if !self.dirs.contains(path) {
            return Err(missing(path));
        }
        // Paths are ordered by component: what is below a directory follows it.
        let below = self.names.range(path.to_owned()..);
        let below = below.take_while(|(name, _)| name.starts_with(path));
        let files = below.map(|(name, file)| (name, Some(self.file(*file).len())));
        let dirs = self.dirs.range(path.to_owned()..);
        let dirs = dirs.take_while(|name| name.starts_with(path));
        let dirs = dirs.map(|name| (name, None));
        let mut entries: Vec<DirEntry> = files
            .chain(dirs)
            .filter(|(name, _)| name.parent() == Some(path))
            .filter_map(|(name, bytes)| {
                Some(DirEntry {
                    name: name.file_name()?.to_string_lossy().into_owned(),
                    bytes: bytes.unwrap_or(0),
                    // A simulated file has no holes.
                    disk_bytes: in_blocks(bytes.unwrap_or(0)),
                    is_dir: bytes.is_none(),
                })
            })
            .collect();
        entries.sort();
        Ok(entries)
    }

    /// Moves a file over another one.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.dirs.contains(to) {
            return Err(is_a_directory(to));
        }
        if !self.names.contains_key(from) || !to.parent().is_some_and(|dir| self.dirs.contains(dir))
        {
            return Err(missing(from));
        }
        let change = NameChange::Moved(from.to_owned(), to.to_owned());
        let before = self.names.get(to).copied();
        change.apply(&mut self.names);
        self.unsynced.push(change);
        if let Some(before) = before
            && from != to
        {
            self.file_mut(before).names -= 1;
            self.free_if_unused(before);
        }
        Ok(())
    }

    /// Removes a file's name.
    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        if self.dirs.contains(path) {
            return Err(is_a_directory(path));
        }
        let Some(file) = self.names.remove(path) else {
            return Err(missing(path));
        };
        self.unsynced.push(NameChange::Removed(path.to_owned()));
        self.file_mut(file).names -= 1;
        self.free_if_unused(file);
        Ok(())
    }

    /// The power goes; handles are void. Gives the bytes that were written and not synced, whatever became of them.
    pub(super) fn lose_power(&mut self, loss: PowerLoss, rng: &mut ChaCha8Rng) -> u64 {
        let mut unsynced = 0;
        for file in self.files.values_mut() {
            unsynced += file.lose_power(loss, rng);
        }
        for change in std::mem::take(&mut self.unsynced) {
            let survives = match loss {
                PowerLoss::Unsynced | PowerLoss::Tear => false,
                PowerLoss::Scatter => rng.random(),
                PowerLoss::Keep => true,
            };
            if survives {
                change.apply(&mut self.synced_names);
            }
        }
        self.names.clone_from(&self.synced_names);
        for file in self.names.values() {
            self.files.get_mut(file).expect("a name has a file").names += 1;
        }
        self.files.retain(|_, file| file.names > 0);
        self.used_bytes = self.files.values().map(FileState::disk_bytes).sum();
        unsynced
    }

    /// All files, with their lengths.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, u64)> {
        let names = self.names.iter();
        names.map(|(path, file)| (path.as_path(), self.file(*file).len()))
    }

    /// Flips the bits of `mask` in a byte that was synced; `false` where there is none.
    pub(super) fn rot(&mut self, path: &Path, offset: u64, mask: u8) -> bool {
        let Some(file) = self.names.get(path) else {
            return false;
        };
        let state = self.files.get_mut(file).expect("a name has a file");
        state.rot(offset, mask)
    }
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{}: no such file or directory", path.display()),
    )
}

fn exists(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{}: it exists", path.display()),
    )
}

fn is_a_directory(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::IsADirectory,
        format!("{}: it is a directory", path.display()),
    )
}

fn not_a_directory(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotADirectory,
        format!("{}: it is not a directory", path.display()),
    )
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on the disk")
}

#[cfg(test)]
mod tests;
