//! What an operator does with refused items: sends them again, or deletes them. Durable when the function returns.
//!
//! One file of the quarantine after the other is read, and released as a whole (`core::spool`, `quarantine`): it is done, or nothing
//! of it happened. Next: `control`, which lets another process ask; `inspect`, which looks.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{shared::Shared, verify::quarantined};
use crate::{
    config::Durability,
    core::{
        codec::compress,
        frame::{self, Found, Header, Kind},
        ranges::Ranges,
        selection::Selection,
        spool::{FileId, Placement, Release, Returned},
    },
    env::{Disk, Env, File, Open},
};

/// A quarantine file larger than this was not written by us.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What becomes of items that leave the quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// They go back to the queue of their class, with their item range.
    Redrive,
    /// They are deleted, counted as dropped for the reason `purged`.
    Purge,
}

/// What left the quarantine, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Items by signal.
    pub items: BTreeMap<String, u64>,
    /// Items that are meant, and whose batch still waits: they are in the buffer, and their frames stay.
    pub waiting_items: u64,
    /// Items that are meant, and would be dropped at once for their age: they stay.
    pub too_old_items: u64,
    /// Items that are meant, and cannot be read: they stay, unless they are deleted.
    pub damaged_items: u64,
    /// Bytes between readable items, which are deleted with their file: what they held is counted as damaged when no file is left.
    pub unknown_bytes: u64,
    /// Why it stopped before everything was done; what is told here was done.
    pub stopped: Option<String>,
}

impl Released {
    /// Items of all signals.
    pub fn items_total(&self) -> u64 {
        self.items.values().sum()
    }
}

/// What an item's frame is for.
enum Course {
    Goes(Bytes),
    Stays,
    /// The same item went, or goes, with another frame.
    Repeats,
}

impl<E: Env> Shared<E> {
    /// Releases what a selection covers; with `is_trial` only says what that would be.
    ///
    /// # Errors
    /// If a file cannot be read, or the disk does not do its part in time.
    pub(super) async fn release(
        self: &Arc<Self>,
        selection: &Selection,
        fate: Fate,
        is_trial: bool,
    ) -> io::Result<Released> {
        let _one_at_a_time = self.quarantine.lock().await;
        // First the files, then what waits: an item that is refused meanwhile is in neither.
        let files = match is_trial {
            true => self.lock().spool.quarantined_files().collect(),
            false => self.lock().spool.close_quarantine(),
        };
        let mut round = Round {
            shared: self,
            selection,
            fate,
            waiting: self.waiting().await?,
            gone: Ranges::default(),
            unix_now: self.unix_nanos(),
            released: Released::default(),
        };
        for (file, _) in files {
            match round.file(file, is_trial).await {
                Ok(()) => {}
                // Moved away by hand.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_trial => return Err(error),
                Err(error) => {
                    round.released.stopped = Some(error.to_string());
                    break;
                }
            }
        }
        let released = round.released;
        self.noted().await?;
        Ok(released)
    }
}

/// One operator's wish.
struct Round<'a, E: Env> {
    shared: &'a Arc<Shared<E>>,
    selection: &'a Selection,
    fate: Fate,
    /// Items of batches that wait.
    waiting: Ranges,
    /// Items that went.
    gone: Ranges,
    unix_now: u64,
    released: Released,
}

impl<E: Env> Round<'_, E> {
    async fn file(&mut self, file: FileId, is_trial: bool) -> io::Result<()> {
        let shared = self.shared;
        let path = shared.path(file);
        let data = shared.env.disk().read(&path, FILE_BYTES_MAX).await?;
        let (mut frames, unknown_bytes) = frames(file, &data);
        frames.sort_by_key(|(_, header)| header.range);
        let (mut told, mut gone) = (self.released.clone(), self.gone.clone());
        let courses: Vec<Course> = frames
            .iter()
            .map(|(payload, header)| self.course(header, payload, &mut told, &mut gone))
            .collect();
        let is_junk = self.fate == Fate::Purge && self.selection.is_everything();
        let has_work = courses
            .iter()
            .any(|course| !matches!(course, Course::Stays))
            || is_junk && unknown_bytes > 0;
        if has_work {
            told.unknown_bytes += unknown_bytes;
        }
        if has_work && !is_trial {
            let Some(release) = shared.lock().spool.begin_release(file) else {
                return Ok(());
            };
            let mut work = Work::new(shared, release);
            work.perform(self.fate, &frames, courses, self.unix_now)
                .await?;
            work.finish(self.unix_now).await?;
        }
        (self.released, self.gone) = (told, gone);
        Ok(())
    }

    fn course(
        &self,
        header: &Header,
        payload: &Bytes,
        told: &mut Released,
        gone: &mut Ranges,
    ) -> Course {
        let range = &header.range;
        if gone.missing(range).is_empty() {
            return Course::Repeats;
        }
        if !self.selection.covers(header) {
            return Course::Stays;
        }
        if self.waiting.missing(range).is_empty() {
            told.waiting_items += range.count;
            return Course::Stays;
        }
        let request = header
            .is_intact(payload)
            .then(|| quarantined(payload))
            .flatten();
        let request = match (self.fate, request) {
            (_, Some((_, request))) => payload.slice_ref(request),
            (Fate::Purge, None) => Bytes::new(),
            (Fate::Redrive, None) => {
                told.damaged_items += range.count;
                return Course::Stays;
            }
        };
        let ttl = self.shared.lock().spool.ttl(range.class);
        let age = self.unix_now.saturating_sub(header.born_max);
        let is_too_old =
            header.born_max > 0 && ttl.is_some_and(|ttl| u128::from(age) > ttl.as_nanos());
        if is_too_old && self.fate == Fate::Redrive {
            told.too_old_items += range.count;
            return Course::Stays;
        }
        gone.insert(range);
        let signal = range.signal.name().to_owned();
        *told.items.entry(signal).or_default() += range.count;
        Course::Goes(request)
    }
}

/// The items of a quarantine file: payloads and headers; and how many bytes are no frame.
fn frames(file: FileId, data: &Bytes) -> (Vec<(Bytes, Header)>, u64) {
    let mut unknown_bytes = 0;
    let item = |found| match found {
        Found::Frame { offset, header, .. } if header.kind == Kind::Quarantined => {
            let payload = data.slice_ref(frame::payload(data, offset, &header));
            Some((payload, header))
        }
        Found::Gap { bytes, .. } => {
            unknown_bytes += bytes;
            None
        }
        Found::Frame { .. } => None,
    };
    let frames = frame::scan(file.number, data).into_iter();
    let frames = frames.filter_map(item).collect();
    (frames, unknown_bytes)
}

/// The release of one file. Dropped before it is finished, nothing of it happened.
struct Work<'a, E: Env> {
    shared: &'a Arc<Shared<E>>,
    release: Option<Release>,
    files: BTreeMap<FileId, <E::Disk as Disk>::File>,
}

impl<'a, E: Env> Work<'a, E> {
    fn new(shared: &'a Arc<Shared<E>>, release: Release) -> Self {
        Self {
            shared,
            release: Some(release),
            files: BTreeMap::new(),
        }
    }

    async fn perform(
        &mut self,
        fate: Fate,
        frames: &[(Bytes, Header)],
        courses: Vec<Course>,
        unix_now: u64,
    ) -> io::Result<()> {
        let mut batch: Option<Returned> = None;
        for ((payload, header), course) in frames.iter().zip(courses) {
            match (course, fate) {
                (Course::Repeats, _) => {}
                (Course::Stays, _) => {
                    let place =
                        self.with(|spool, release| spool.keep_aside(release, header, payload));
                    self.write(place).await?;
                }
                (Course::Goes(request), Fate::Purge) => {
                    self.with(|_, release| release.delete(header, &request));
                }
                (Course::Goes(request), Fate::Redrive) => {
                    let bytes_max = self.shared.lock().spool.batch_bytes(header.range.class);
                    let item = Returned::new(header, request, unix_now);
                    let rest = match &mut batch {
                        Some(batch) => batch.join(item, bytes_max).err().map(|item| *item),
                        None => Some(item),
                    };
                    if let Some(item) = rest
                        && let Some(full) = batch.replace(item)
                    {
                        self.put_back(full).await?;
                    }
                }
            }
        }
        match batch {
            Some(batch) => self.put_back(batch).await,
            None => Ok(()),
        }
    }

    async fn put_back(&mut self, batch: Returned) -> io::Result<()> {
        let codec = self.shared.config().compress.codec;
        let pieces = batch.pieces().to_vec();
        let body = self
            .shared
            .env
            .compute(move || compress(codec, &pieces))
            .await;
        let place =
            self.with(|spool, release| spool.put_back(release, &batch, codec.into(), &body));
        self.write(place).await
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut crate::core::spool::Spool, &mut Release) -> T,
    ) -> T {
        let release = self.release.as_mut().expect("it ends in `finish`");
        act(&mut self.shared.lock().spool, release)
    }

    async fn write(&mut self, place: Option<Placement>) -> io::Result<()> {
        let place = place.ok_or_else(|| {
            let why = "the buffer is full (buffer.disk)";
            io::Error::new(io::ErrorKind::StorageFull, why)
        })?;
        if place.create {
            let path = self.shared.path(place.file);
            let file = self.shared.env.disk().open(&path, Open::CreateNew).await?;
            self.files.insert(place.file, file);
        }
        self.append(place.file, place.offset, place.bytes).await
    }

    async fn append(&self, file: FileId, offset: u64, bytes: Bytes) -> io::Result<()> {
        let file = self.files.get(&file).expect("made before it is written");
        file.write_at(offset, bytes).await
    }

    /// Makes it count.
    async fn finish(mut self, unix_now: u64) -> io::Result<()> {
        let footers = self.with(|spool, release| spool.release_footers(release));
        for (file, offset, footer) in footers {
            self.append(file, offset, footer).await?;
        }
        let shared = self.shared;
        if shared.config().buffer.durability == Durability::Fsync {
            for file in self.files.values() {
                file.sync().await?;
            }
            shared.env.disk().sync_dir(&shared.dir).await?;
        }
        let release = self.release.take().expect("taken here only");
        shared.lock().spool.released(release, unix_now);
        shared.settle();
        shared.commit.notify_one();
        shared.send.notify_waiters();
        Ok(())
    }
}

impl<E: Env> Drop for Work<'_, E> {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            self.shared.lock().spool.release_failed(release);
            self.shared.commit.notify_one();
        }
    }
}
