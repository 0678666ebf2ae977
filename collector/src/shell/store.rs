//! Writes what the spool says: group commits in one task, sealed batches in another.
//!
//! Each task owns the file that it writes to. A write or sync that fails is never acknowledged; its file is left alone from
//! then on, because nobody knows what of it is on the platter, and the spool goes on in a new one.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    level::Idle,
    shared::{Shared, Writer},
};
use crate::{
    config::Durability,
    core::{
        codec::compress,
        metrics::Outcome,
        range::ItemRange,
        spool::{Admission, FileId, Part},
    },
    env::{Disk, Env, File, Open},
    otlp::Signal,
};

/// Pause after the disk has failed.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// Batches that may wait for compression: enough to keep it busy, and a part of the memory that the collector promises to
/// stay within. A request beyond them waits.
const UNSEALED_BATCHES: u64 = 8;

/// How long a request waits for compression: less than any sender does.
const SEAL_WAIT: Duration = Duration::from_secs(2);

/// How long a request waits for the room of what is dropped for it: less than any sender does.
const ROOM_WAIT: Duration = Duration::from_secs(2);

/// Pauses between looks for what is too old.
const EXPIRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const EXPIRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Commits that a request is put into, when one after the other finds the disk full: the second one is made with the room that
/// the policy for a full buffer gives, unless others are quicker to take it. Where what is oldest goes it is put into more, for
/// [`ROOM_WAIT`]: each may have dropped something for it.
const COMMITS_MAX: usize = 3;

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// It is durable.
    Yes,
    /// There was no space for it.
    DiskFull,
    /// The disk failed.
    DiskFailed,
}

impl Committed {
    fn of(result: &io::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Yes,
            Err(error) if is_no_space(error) => Self::DiskFull,
            Err(_) => Self::DiskFailed,
        }
    }
}

/// Whether the file system, or the user's quota on it, is used up.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is durable: acknowledge it.
    Yes,
    /// It was counted and thrown away, by the policy for a full buffer: acknowledge it.
    Discarded,
    /// The buffer is full.
    Full,
    /// More is waiting for the disk or for compression than memory may hold.
    Busy,
    /// The disk failed.
    DiskFailed,
    /// Not all of its range is new to this gateway, or that is not known yet.
    Known,
}

/// What a write has found that found no space.
#[derive(Clone, Copy, Debug)]
struct Shortage {
    /// Free bytes, as the file system says.
    free: u64,
    /// There are not so many.
    needed: u64,
    /// Bytes of the reserve that were given up for it.
    given_up: u64,
}

type FileOf<E> = <<E as Env>::Disk as Disk>::File;

/// The file that a writer wrote last, kept open.
pub(super) struct Current<E: Env>(Mutex<Option<(FileId, Arc<FileOf<E>>)>>);

impl<E: Env> Default for Current<E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<E: Env> Current<E> {
    fn lock(&self) -> MutexGuard<'_, Option<(FileId, Arc<FileOf<E>>)>> {
        self.0.lock().expect("nothing panics while it holds it")
    }

    /// The file, if it is that one.
    fn get(&self, file: FileId) -> Option<Arc<FileOf<E>>> {
        let current = self.lock();
        let (_, handle) = current.as_ref().filter(|(id, _)| *id == file)?;
        Some(handle.clone())
    }

    /// Closes it, if it is that one.
    fn close(&self, file: FileId) {
        drop(self.lock().take_if(|(id, _)| *id == file));
    }

    /// Closes it.
    fn clear(&self) {
        drop(self.lock().take());
    }

    /// That one from now on.
    fn set(&self, file: FileId, handle: FileOf<E>) -> Arc<FileOf<E>> {
        let handle = Arc::new(handle);
        *self.lock() = Some((file, handle.clone()));
        handle
    }
}

impl<E: Env> Shared<E> {
    /// Stores a sender's request and returns when it is durable. What was refused for want of room is not counted here: it is one of
    /// several causes of the receiver.
    pub(super) async fn store(&self, signal: Signal, parts: &[Part]) -> Stored {
        let stored = self.keep(signal, parts).await;
        self.count_stored(stored)
    }

    /// Counts what became of a sender's request.
    pub(super) fn count_stored(&self, stored: Stored) -> Stored {
        let outcome = match stored {
            Stored::Yes => Outcome::Accepted,
            Stored::Discarded => Outcome::Discarded,
            Stored::DiskFailed => Outcome::Disk,
            Stored::Full | Stored::Busy | Stored::Known => return stored,
        };
        self.lock().counters.request(outcome, 1);
        stored
    }

    /// Stores a request, sorted by classes, and returns when all of it is durable.
    pub(super) async fn keep(&self, signal: Signal, parts: &[Part]) -> Stored {
        self.keep_from(None, signal, parts).await
    }

    /// The same for a request of one part with a range of its sender, at a gateway: it is stored if all of the range is new.
    pub(super) async fn keep_from(
        &self,
        origin: Option<ItemRange>,
        signal: Signal,
        parts: &[Part],
    ) -> Stored {
        let unsealed_max = UNSEALED_BATCHES * self.config().batch.bytes.0;
        if !self.has_room_to_seal(unsealed_max).await {
            for part in parts {
                self.lock().spool.make_room_to_seal(part.class);
            }
            self.commit.notify_one();
            return Stored::Busy;
        }
        let may_have_changed = {
            let state = self.lock();
            let fits = |part: &Part| state.spool.fits(part.class, part.body.len() as u64);
            state.spool.is_short() && !parts.iter().all(fits)
        };
        if may_have_changed {
            self.look_at_disk().await;
        }
        let deadline = tokio::time::Instant::now() + ROOM_WAIT;
        let mut commits = 0;
        loop {
            let (sealed, committed) = (self.sealed.notified(), self.committed.notified());
            tokio::pin!(sealed, committed);
            // Registered before looking, so that no bell is missed.
            sealed.as_mut().enable();
            committed.as_mut().enable();
            match self.try_keep(origin, signal, parts).await {
                // The spool knows by now; its policy says what becomes of the request.
                Err(Committed::DiskFull) => {
                    commits += 1;
                    let is_over = tokio::time::Instant::now() >= deadline;
                    if commits >= COMMITS_MAX && (is_over || !self.drops_oldest(parts)) {
                        return Stored::Full;
                    }
                }
                Err(_) => return Stored::DiskFailed,
                Ok(Stored::Full) if self.will_have_room(parts) => {
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(deadline) => return Stored::Full,
                        () = sealed => {}
                        () = committed => {}
                    }
                }
                Ok(stored) => return stored,
            }
        }
    }

    /// Whether a class of a request drops what is oldest.
    fn drops_oldest(&self, parts: &[Part]) -> bool {
        let spool = &self.lock().spool;
        parts.iter().any(|part| spool.drops_oldest(part.class))
    }

    /// Whether a request for which there is no room may have it in a moment, because its class drops what is oldest: not until it
    /// is sealed. If so, that is begun.
    fn will_have_room(&self, parts: &[Part]) -> bool {
        let spool = &mut self.lock().spool;
        let will = !parts.iter().all(|part| spool.is_full_for_good(part.class));
        if will {
            spool.close_batches();
            self.seal.notify_one();
            self.commit.notify_one();
        }
        will
    }

    /// Puts a request into one commit; an error if that fails.
    async fn try_keep(
        &self,
        origin: Option<ItemRange>,
        signal: Signal,
        parts: &[Part],
    ) -> Result<Stored, Committed> {
        let born = self.unix_nanos();
        let admission = {
            let mut state = self.lock();
            if state.is_stopping {
                return Ok(Stored::Busy);
            }
            let admission = match origin {
                None => state.spool.append_parts(signal, parts, born),
                Some(origin) => state.spool.append_from(origin, &parts[0], born),
            };
            if admission == Admission::Known {
                return Ok(Stored::Known);
            }
            let mut sizes = parts.iter().map(|p| (p.class, p.body.len() as u64));
            let lacking = sizes.find(|(class, bytes)| !state.spool.fits(*class, *bytes));
            state.lacking = lacking.filter(|_| admission != Admission::Queued);
            match admission {
                Admission::Queued => {
                    let (tell, told) = oneshot::channel();
                    state.waiters.push_back(tell);
                    Ok(told)
                }
                Admission::Discarded => Err(Stored::Discarded),
                Admission::Refused => Err(Stored::Full),
                Admission::Known => unreachable!("returned above"),
            }
        };
        self.commit.notify_one();
        match admission {
            Ok(told) => match told.await {
                Ok(Committed::Yes) => Ok(Stored::Yes),
                Ok(error) => Err(error),
                Err(_) => Err(Committed::DiskFailed),
            },
            Err(stored) => {
                // What was held open is sealed now.
                self.seal.notify_one();
                self.settle();
                Ok(stored)
            }
        }
    }

    /// Asks the file system for its free space, and tells the spool: it is, or was, less than the quota.
    pub(super) async fn look_at_disk(&self) {
        let _one_at_a_time = self.free_bytes.lock().await;
        if let Ok(free) = self.env.disk().free_bytes(&self.dir).await {
            self.lock().spool.disk_free(free);
        }
    }

    /// Gives the reserve up if a write of so many bytes found no space, and looks at what is there then; `None` for other results.
    async fn shortage(&self, result: &io::Result<()>, bytes: usize) -> Option<Shortage> {
        let error = result.as_ref().err()?;
        if !is_no_space(error) {
            return None;
        }
        let given_up = self.give_up_reserve().await;
        let _one_at_a_time = self.free_bytes.lock().await;
        Some(Shortage {
            // One that does not know has nothing to give.
            free: self.env.disk().free_bytes(&self.dir).await.unwrap_or(0),
            needed: bytes as u64 + given_up,
            given_up,
        })
    }

    /// Waits until compression has caught up, so that what is durable and not sealed does not fill the memory; false if it does
    /// not in time. The sender's connection waits with it, which slows it down without a refusal.
    async fn has_room_to_seal(&self, unsealed_max: u64) -> bool {
        if self.lock().spool.unsealed_bytes() <= unsealed_max {
            return true;
        }
        let wait = async {
            loop {
                let bell = self.sealed.notified();
                tokio::pin!(bell);
                // Registered before looking, so that no bell is missed.
                bell.as_mut().enable();
                if self.lock().spool.unsealed_bytes() <= unsealed_max {
                    return;
                }
                bell.await;
            }
        };
        tokio::time::timeout(SEAL_WAIT, wait).await.is_ok()
    }

    /// Removes files that are not needed any more.
    async fn collect_garbage(&self) {
        let garbage = self.lock().spool.take_garbage();
        for file in garbage {
            // An open file keeps its room when its name is gone, and a full disk needs that room for the next commit
            // (test `drop_oldest_on_a_full_file_system_refuses_nothing`).
            self.batches.close(file);
            match self.env.disk().remove_file(&self.path(file)).await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // It is tried again.
                Err(_) => {
                    self.lock().spool.not_removed(file);
                    continue;
                }
            }
            self.lock().spool.removed(file);
        }
    }

    /// Writes and syncs one piece of a file; `current` is the file that was written last.
    async fn write(
        &self,
        current: &Current<E>,
        file: FileId,
        create: bool,
        offset: u64,
        data: Bytes,
    ) -> io::Result<()> {
        if self.lock().spool.needs_reserve() {
            self.give_up_reserve().await;
        }
        let handle = match current.get(file) {
            Some(handle) => handle,
            None => {
                current.clear();
                let how = if create {
                    Open::CreateNew
                } else {
                    Open::ReadWrite
                };
                current.set(file, self.env.disk().open(&self.path(file), how).await?)
            }
        };
        if self.config().buffer.durability == Durability::Os {
            return handle.write_at(offset, data).await;
        }
        let took = handle.write_and_sync(offset, data).await?;
        self.lock().counters.fsync_seconds.record_duration(took);
        if create {
            // After power loss a synced file with an unsynced name is gone.
            self.env.disk().sync_dir(&self.dir).await?;
        }
        Ok(())
    }

    /// Writes a refused item to the quarantine, with the server's words; synced on return.
    pub(super) async fn write_quarantine(
        &self,
        range: ItemRange,
        words: &str,
        request: &[u8],
    ) -> io::Result<()> {
        let _one_at_a_time = self.quarantine.lock().await;
        let placement = self.lock().spool.place_quarantined(range, words, request);
        let Some(placement) = placement else {
            let why = "it is full, at an eighth of buffer.disk; the items stay in the buffer";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        };
        let result = self
            .write(
                &Current::default(),
                placement.file,
                placement.create,
                placement.offset,
                placement.bytes.clone(),
            )
            .await;
        if result.is_err() {
            let shortage = self.shortage(&result, placement.bytes.len()).await;
            let spool = &mut self.lock().spool;
            spool.quarantine_failed(&placement);
            if let Some(Shortage { free, needed, .. }) = shortage {
                spool.disk_full(free, needed);
            }
        }
        result
    }
}

fn describe(what: &str, path: &std::path::Path, error: &io::Error) -> String {
    let path = path.display();
    if is_no_space(error) {
        return format!("the disk is full, on_full applies: {what} {path}: {error}");
    }
    format!("{what} {path}: {error}; nothing is acknowledged until it works")
}

/// Commits what is appended, until the end. The last commit is made after `is_ending` was set.
pub(super) async fn commit<E: Env>(shared: Arc<Shared<E>>) {
    let (current, mut has_committed) = (Current::default(), false);
    loop {
        shared.lock().busy_since = Some(shared.now());
        shared.collect_garbage().await;
        if std::mem::take(&mut has_committed) {
            shared.room.notify_one();
        }
        if shared.lock().spool.is_short() {
            shared.look_at_disk().await;
        }
        let commit = shared.lock().spool.begin_commit();
        let Some(commit) = commit else {
            if shared.lock().is_ending {
                return;
            }
            shared.keep_reserve().await;
            let is_short = {
                let mut state = shared.lock();
                state.busy_since = None;
                state.spool.is_short()
            };
            let look = is_short.then(|| tokio::time::Instant::now() + DISK_PAUSE);
            tokio::select! {
                biased;
                () = shared.commit.notified() => {}
                () = sleep_until(look) => {}
            }
            continue;
        };
        let path = shared.path(commit.file);
        let bytes = commit.bytes.len();
        let result = shared
            .write(
                &current,
                commit.file,
                commit.create,
                commit.offset,
                commit.bytes,
            )
            .await;
        let shortage = shared.shortage(&result, bytes).await;
        let waiters: Vec<_> = {
            let now = shared.now();
            let mut state = shared.lock();
            state.spool.commit_done(now, result.is_ok());
            if let Some(Shortage { free, needed, .. }) = shortage {
                state.spool.disk_full(free, needed);
            }
            let counters = &mut state.counters;
            counters.commit_bytes.record(bytes as f64);
            if commit.requests > 0 {
                counters.commit_requests.record(commit.requests as f64);
            }
            state.waiters.drain(..commit.requests).collect()
        };
        for waiter in waiters {
            // A sender that has gone away needs no answer.
            let _ = waiter.send(Committed::of(&result));
        }
        shared.settle();
        shared.seal.notify_one();
        shared.committed.notify_waiters();
        match result {
            Ok(()) => {
                has_committed = true;
                shared.disk_health(Writer::Journal, None);
                shared.keep_reserve().await;
            }
            Err(error) => {
                current.clear();
                let error = describe("write journal", &path, &error);
                shared.disk_health(Writer::Journal, Some(error));
                if shortage.is_some_and(|shortage| shortage.given_up > 0) {
                    // Now there is room for notes, and this may be the last chance for them.
                    continue;
                }
                if shared.lock().is_ending {
                    return;
                }
                tokio::time::sleep(DISK_PAUSE).await;
            }
        }
    }
}

/// Seals batches that are due, until the end.
pub(super) async fn seal<E: Env>(shared: Arc<Shared<E>>) {
    let mut idle = Idle::default();
    loop {
        let (now, unix_nanos) = (shared.now(), shared.unix_nanos());
        let (work, deadline, has_dropped) = {
            let mut state = shared.lock();
            if state.is_stopping {
                return;
            }
            state.spool.expire(unix_nanos);
            let has_dropped = state.spool.has_events();
            let may_wait = state.is_all_down();
            state.spool.hold_open(may_wait);
            let work = state.spool.begin_seal(now);
            let expiry = state.spool.expire_deadline().map(|at| {
                let ahead = Duration::from_nanos(at.saturating_sub(unix_nanos));
                // Not at once again, where what is too old is under way; and soon, where the clock may be set.
                now.after(ahead.clamp(EXPIRY_PAUSE_MIN, EXPIRY_PAUSE_MAX))
            });
            let deadline = state.spool.seal_deadline().into_iter().chain(expiry).min();
            (work, deadline, has_dropped)
        };
        if has_dropped {
            shared.settle();
            shared.commit.notify_one();
        }
        let Some(work) = work else {
            let deadline = deadline.map(|at| shared.instant(at));
            tokio::select! {
                biased;
                () = shared.seal.notified() => {}
                () = sleep_until(deadline) => {}
            }
            continue;
        };
        let codec = shared.codec_of_line(work.codec, &mut idle);
        let body = shared
            .env
            .compute(move || compress(codec, &work.pieces))
            .await;
        let placement = shared.lock().spool.place_batch(codec.into(), &body);
        if let Some((file, offset, footer)) = placement.footer {
            // Best effort: without it recovery reads the headers one by one.
            let _ = shared
                .write(&shared.batches, file, false, offset, footer)
                .await;
        }
        let path = shared.path(placement.file);
        let bytes = placement.bytes.len();
        let result = shared
            .write(
                &shared.batches,
                placement.file,
                placement.create,
                placement.offset,
                placement.bytes,
            )
            .await;
        let shortage = shared.shortage(&result, bytes).await;
        {
            let spool = &mut shared.lock().spool;
            spool.seal_done(result.is_ok());
            if let Some(Shortage { free, needed, .. }) = shortage {
                spool.disk_full(free, needed);
            }
        }
        shared.sealed.notify_waiters();
        shared.settle();
        shared.commit.notify_one();
        shared.send.notify_waiters();
        match result {
            Ok(()) => shared.disk_health(Writer::Batches, None),
            Err(error) => {
                shared.batches.clear();
                let error = describe("write batch", &path, &error);
                shared.disk_health(Writer::Batches, Some(error));
                if shortage.is_some_and(|shortage| shortage.given_up > 0) {
                    continue;
                }
                tokio::select! {
                    biased;
                    // While it pauses nothing can be dropped for what comes in.
                    () = shared.room.notified(), if shortage.is_some() => {}
                    () = tokio::time::sleep(DISK_PAUSE) => {}
                }
            }
        }
    }
}

/// Sleeps until then, or for ever.
pub(super) async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
