//! Lists longer than memory: what a seed records in two weeks does not fit, and every judge reads it again from the start.
//!
//! A `Spilled` list keeps its newest items in memory and writes the older ones, a chunk at a time, into the seed's
//! [`Scratch`] file: columns of `bitcode`, compressed and with a checksum by zstd. Reading is a pass from the front to the
//! back, as often as one likes; a pass holds one chunk. So memory does not grow with simulated time, and a short run never
//! touches the disk. This file is the one place that knows the format, which no other process ever reads.
//!
//! **Failing.** A scratch file that cannot be written ([`NotSpilled`]) ends the seed: a list with a gap would be judged like a
//! whole one. A chunk that cannot be read again, or is not what was written, is a panic: no later figure could be true.
//!
//! Must not know what the items are. Next to read: `event::log`, the list of events; `seconds`, counts of lines.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use bitcode::{DecodeOwned, Encode};

/// 32,768 items: 2 MB of events. At most twice as many are in memory; a store at its busiest makes them in an hour or so.
const CHUNK: usize = 32 << 10;

/// Level 1: half of the time of zstd's default, for a tenth more bytes.
const ZSTD_LEVEL: i32 = 1;

/// What is recorded cannot be put on the disk.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "write what the seed records to a temporary file in {}: {error}; make room there, or name another folder in TMPDIR",
    folder.display()
)]
pub struct NotSpilled {
    /// The folder of temporary files.
    pub folder: PathBuf,
    /// Why. Shared, for the error is told to whoever asks.
    pub error: Arc<io::Error>,
}

/// The temporary file of one seed, for all of its lists. It has no name where the system can do that, and its room is free again
/// when the last list is dropped, however the process ends.
#[derive(Clone, Debug)]
pub struct Scratch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Items of a chunk, at most.
    chunk: usize,
    state: Mutex<State>,
    failed: tokio::sync::Notify,
}

#[derive(Debug)]
struct State {
    /// An error is told when the file is needed: a run that fits in memory needs none.
    file: Result<File, Arc<io::Error>>,
    /// Where the next chunk goes, in bytes.
    end: u64,
    failed: Option<NotSpilled>,
}

impl Scratch {
    /// A file in the folder of temporary files (`TMPDIR`). Opened by a thread of its own: looking for a free name may draw hash
    /// keys, and those of this thread belong to a world. So a thread in the strict mode is given one from outside.
    pub fn open() -> Self {
        let opened = std::thread::scope(|scope| scope.spawn(tempfile::tempfile).join());
        let opened = opened.unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        Self::of(opened, CHUNK)
    }

    /// No file, and none is ever needed: lists stay in memory, for worlds that last minutes.
    pub fn in_memory() -> Self {
        let none = io::Error::other("lists stay in memory");
        // Twice as many is the bound of a list's tail.
        Self::of(Err(none), usize::MAX / 2)
    }

    /// Any file, and chunks of so many items at most: for tests.
    pub(crate) fn of(file: io::Result<File>, chunk: usize) -> Self {
        Self(Arc::new(Shared {
            folder: std::env::temp_dir(),
            chunk: chunk.max(1),
            state: Mutex::new(State {
                file: file.map_err(Arc::new),
                end: 0,
                failed: None,
            }),
            failed: tokio::sync::Notify::new(),
        }))
    }

    /// Waits until a write fails; for ever, mostly. Whoever records does not see it: whoever directs the run must.
    pub(crate) async fn failed(&self) {
        self.0.failed.notified().await;
    }

    /// Whether everything that was given to it can be read again.
    ///
    /// # Errors
    /// The first write that failed.
    pub fn check(&self) -> Result<(), NotSpilled> {
        self.state().failed.clone().map_or(Ok(()), Err)
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.state().end
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while it is held")
    }

    /// Writes a chunk; gives where it stands. `None`: it failed, now or before.
    fn put(&self, bytes: &[u8]) -> Option<u64> {
        let mut state = self.state();
        if state.failed.is_some() {
            return None;
        }
        let at = state.end;
        let wrote = match &mut state.file {
            Ok(file) => file
                .seek(SeekFrom::Start(at))
                .and_then(|_| file.write_all(bytes))
                .map_err(Arc::new),
            Err(error) => Err(Arc::clone(error)),
        };
        if let Err(error) = wrote {
            state.failed = Some(NotSpilled {
                folder: self.0.folder.clone(),
                error,
            });
            self.0.failed.notify_one();
            return None;
        }
        state.end += bytes.len() as u64;
        Some(at)
    }

    fn get(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        match &mut self.state().file {
            Ok(file) => {
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(&mut bytes)?;
                Ok(bytes)
            }
            Err(error) => Err(io::Error::other(Arc::clone(error))),
        }
    }
}

/// Where a chunk stands in the scratch file.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    at: u64,
    bytes: usize,
}

/// A list of any length, of which memory holds the end.
#[derive(Clone, Debug)]
pub(crate) struct Spilled<T> {
    scratch: Scratch,
    /// Items of a chunk.
    chunk: usize,
    /// 16 bytes for each.
    chunks: Vec<Chunk>,
    tail: Vec<T>,
}

impl<T: Copy + Encode + DecodeOwned> Spilled<T> {
    /// Nothing yet.
    pub(crate) fn new(scratch: Scratch) -> Self {
        Self::in_chunks_of(CHUNK, scratch)
    }

    /// The same, with smaller chunks: for one of many lists, each of which holds two of them in memory.
    pub(crate) fn in_chunks_of(most: usize, scratch: Scratch) -> Self {
        Self {
            chunk: most.min(scratch.0.chunk),
            scratch,
            chunks: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// Adds an item at the end. What becomes of a chunk that cannot be written, [`Scratch::check`] tells.
    pub(crate) fn push(&mut self, item: T) {
        let chunk = self.chunk;
        if self.tail.len() >= 2 * chunk {
            let packed = pack(&self.tail[..chunk]);
            self.tail.drain(..chunk);
            let bytes = packed.len();
            let at = self.scratch.put(&packed);
            self.chunks.extend(at.map(|at| Chunk { at, bytes }));
        }
        self.tail.push(item);
    }

    /// The newest item. In memory always.
    pub(crate) fn last(&self) -> Option<&T> {
        self.tail.last()
    }

    /// The same, to change it.
    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.tail.last_mut()
    }

    /// Where it is written.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.chunks.len() * self.chunk + self.tail.len()
    }

    /// All of them, in the order in which they were added, but for the first `skip`.
    ///
    /// # Panics
    /// The iterator does, if a chunk cannot be read again.
    pub(crate) fn iter_from(&self, skip: usize) -> Iter<'_, T> {
        let chunk = self.chunk;
        let whole = (skip / chunk).min(self.chunks.len());
        let mut iter = Iter {
            scratch: &self.scratch,
            chunks: self.chunks[whole..].iter(),
            chunk: Vec::new().into_iter(),
            tail: self.tail.iter(),
        };
        match skip - whole * chunk {
            0 => {}
            more => drop(iter.nth(more - 1)),
        }
        iter
    }
}

/// One pass.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a, T> {
    scratch: &'a Scratch,
    chunks: std::slice::Iter<'a, Chunk>,
    chunk: std::vec::IntoIter<T>,
    tail: std::slice::Iter<'a, T>,
}

impl<T: Copy + DecodeOwned> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.chunk.next() {
                return Some(item);
            }
            let Some(next) = self.chunks.next() else {
                return self.tail.next().copied();
            };
            let bytes = self.scratch.get(next.at, next.bytes);
            let items = bytes.and_then(|bytes| unpack(&bytes));
            self.chunk = match items {
                Ok(items) => items.into_iter(),
                Err(error) => panic!(
                    "what the seed recorded cannot be read again from the temporary file in {}: {error}",
                    self.scratch.0.folder.display()
                ),
            };
        }
    }
}

fn pack<T: Encode>(items: &[T]) -> Vec<u8> {
    let columns = bitcode::encode(items);
    let packed = zstd::bulk::Compressor::new(ZSTD_LEVEL).and_then(|mut zstd| {
        zstd.include_checksum(true)?;
        zstd.compress(&columns)
    });
    packed.expect("zstd fails only without memory")
}

fn unpack<T: DecodeOwned>(bytes: &[u8]) -> io::Result<Vec<T>> {
    let columns = zstd::decode_all(bytes)?;
    bitcode::decode(&columns).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(file: io::Result<File>, items: std::ops::Range<u64>) -> Spilled<u64> {
        let mut list = Spilled::new(Scratch::of(file, 4));
        items.for_each(|item| list.push(item));
        list
    }

    #[test]
    fn a_pass_gives_every_item_from_any_place_as_often_as_one_likes() {
        for n in [0, 1, 7, 8, 9, 40, 41] {
            let list = list(tempfile::tempfile(), 0..n);
            assert_eq!(list.len() as u64, n);
            assert_eq!(list.last().copied(), n.checked_sub(1));
            assert!(list.tail.len() <= 8, "memory holds two chunks");
            for skip in 0..=n + 1 {
                let found: Vec<u64> = list.iter_from(skip as usize).collect();
                assert_eq!(found, (skip..n).collect::<Vec<_>>(), "{skip} of {n}");
            }
        }
    }

    #[test]
    fn two_lists_share_a_file() {
        let scratch = Scratch::of(tempfile::tempfile(), 3);
        let mut lists = [0, 1000].map(|from| (from, Spilled::new(scratch.clone())));
        for n in 0..50 {
            lists
                .iter_mut()
                .for_each(|(from, list)| list.push(*from + n));
        }
        for (from, list) in &lists {
            let all: Vec<u64> = list.iter_from(0).collect();
            assert_eq!(all, (*from..*from + 50).collect::<Vec<_>>());
        }
        assert!(scratch.bytes() > 0);
    }

    /// `None`: the list is whole.
    fn check(file: io::Result<File>, items: u64, expect: Option<&str>) {
        let list = list(file, 0..items);
        let found = list.scratch.check().err().map(|error| error.to_string());
        match (&found, expect) {
            (None, None) => {}
            (Some(found), Some(part)) => {
                assert!(found.contains(part) && found.contains("TMPDIR"), "{found}");
            }
            _ => panic!("{found:?} is not {expect:?}"),
        }
        assert!(list.tail.len() <= 8, "a full disk does not fill memory");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_once_it_is_needed() {
        let gone = || Err(io::Error::new(io::ErrorKind::NotFound, "no such folder"));
        check(gone(), 8, None);
        check(gone(), 9, Some("no such folder"));
        check(gone(), 500, Some("no such folder"));
        #[cfg(target_os = "linux")]
        {
            let full = || File::options().read(true).write(true).open("/dev/full");
            check(full(), 8, None);
            check(full(), 100, Some("No space left on device"));
        }
    }

    #[test]
    fn whoever_directs_hears_of_a_failure_before_or_after_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let list = list(Err(io::Error::other("gone")), 0..20);
            list.scratch.failed().await;
        });
    }

    #[test]
    #[should_panic(expected = "cannot be read again")]
    fn a_chunk_that_is_not_what_was_written_is_no_figure() {
        let list = list(tempfile::tempfile(), 0..40);
        let mut state = list.scratch.state();
        let file = state.file.as_mut().expect("it could be opened");
        let middle = list.chunks[3].at + list.chunks[3].bytes as u64 / 2;
        let wrote = file
            .seek(SeekFrom::Start(middle))
            .and_then(|_| file.write_all(&[0x5a; 3]));
        wrote.expect("it could be written before");
        drop(state);
        list.iter_from(0).for_each(drop);
    }
}
