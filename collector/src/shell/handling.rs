//! What an operator does with a buffer that this process holds: take out, drop, put in. Every change is durable when its
//! function returns. Next: `keeper`, which holds a buffer for nothing else; `control`, which lets another process ask.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::futures::Notified;

use super::{recover::read_batches, shared::Shared};
use crate::{
    archive,
    core::{
        accounting::DropReason,
        frame::Place,
        range::ItemRange,
        ranges::Ranges,
        selection::Selection,
        spool::{BatchRef, Reserve},
    },
    env::{Disk, Env},
    otlp::{Signal, split_items},
};

/// Longest wait for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(60);

/// What was imported before, so that the same file twice is stored once, even if the first was delivered meanwhile.
pub const LEDGER_FILE: &str = "imported";

/// Intervals in that file: about 0.5 MiB. Beyond it the lowest go.
const LEDGER_LINES_MAX: usize = 10_000;

/// What was, or would be, dropped or taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handled {
    /// Batches.
    pub batches: u64,
    /// Items by signal.
    pub items: BTreeMap<String, u64>,
    /// Bytes after compression.
    pub bytes: u64,
    /// When the earliest of them came in, unix nanoseconds.
    pub born_min: Option<u64>,
    /// When the latest of them came in.
    pub born_max: Option<u64>,
    /// Items that are meant, and on their way to the destination: they stay.
    pub busy_items: u64,
    /// Items of batches of which only a part is meant: they stay.
    pub partial_items: u64,
}

impl Handled {
    /// Items of all signals.
    pub fn items_total(&self) -> u64 {
        self.items.values().sum()
    }

    fn add(&mut self, batch: &BatchRef) {
        let header = &batch.header;
        self.batches += 1;
        let signal = header.range.signal.name().to_owned();
        *self.items.entry(signal).or_default() += header.range.count;
        self.bytes += u64::from(header.payload_bytes);
        self.born_min = Some(self.born_min.unwrap_or(u64::MAX).min(header.born_min));
        self.born_max = self.born_max.max(Some(header.born_max));
    }
}

/// Batches that were taken out of the queue. Dropped, they go back.
pub struct Hold<E: Env> {
    shared: Arc<Shared<E>>,
    batches: Vec<BatchRef>,
}

impl<E: Env> Hold<E> {
    /// Where their frames stand.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.batches.iter().map(|batch| batch.place)
    }

    /// They are somebody else's now, but for some that could not be read: they leave the buffer, counted as dropped for the
    /// reason `exported`.
    ///
    /// # Errors
    /// If that could not be noted on disk: after a restart they may be sent after all.
    pub async fn exported(mut self, except: &[Place]) -> io::Result<()> {
        let is_left = |batch: &BatchRef| except.contains(&batch.place);
        let batches = std::mem::take(&mut self.batches);
        let (left, exported): (Vec<_>, Vec<_>) = batches.into_iter().partition(is_left);
        // They go back when this is dropped.
        self.batches = left;
        self.shared.drop_batches(&exported, DropReason::Exported);
        self.shared.noted().await
    }
}

impl<E: Env> Drop for Hold<E> {
    fn drop(&mut self) {
        if self.batches.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        for batch in &self.batches {
            state.spool.failed(batch);
        }
        drop(state);
        self.shared.send.notify_waiters();
    }
}

impl<E: Env> Shared<E> {
    /// Drops what a selection covers, counted with the reason `purged`; with `is_trial` only says what that would be.
    ///
    /// # Errors
    /// If the disk does not do its part in time.
    pub(super) async fn purge(
        self: &Arc<Self>,
        selection: &Selection,
        is_trial: bool,
    ) -> io::Result<Handled> {
        let mut handled = Handled::default();
        // What is sealed goes first: it makes room for sealing the rest.
        let rounds = if is_trial { 1 } else { 2 };
        for round in 0..rounds {
            if round > 0 || is_trial {
                self.sealed().await?;
                // What stayed before is counted again.
                (handled.busy_items, handled.partial_items) = (0, 0);
            }
            let mut after = None;
            while let Some(reserved) = self.reserve(selection, after, is_trial).await? {
                after = Some(reserved.segment);
                handled.busy_items += reserved.busy_items;
                handled.partial_items += reserved.partial_items;
                reserved.batches.iter().for_each(|batch| handled.add(batch));
                if !is_trial {
                    self.drop_batches(&reserved.batches, DropReason::Purged);
                }
            }
        }
        self.noted().await?;
        Ok(handled)
    }

    /// Takes what a selection covers out of the queue.
    ///
    /// # Errors
    /// If the disk does not do its part in time.
    pub(super) async fn take(
        self: &Arc<Self>,
        selection: &Selection,
    ) -> io::Result<(Hold<E>, Handled)> {
        self.sealed().await?;
        let mut handled = Handled::default();
        let mut hold = Hold {
            shared: self.clone(),
            batches: Vec::new(),
        };
        let mut after = None;
        while let Some(reserved) = self.reserve(selection, after, false).await? {
            after = Some(reserved.segment);
            handled.busy_items += reserved.busy_items;
            handled.partial_items += reserved.partial_items;
            reserved.batches.iter().for_each(|batch| handled.add(batch));
            hold.batches.extend(reserved.batches);
        }
        Ok((hold, handled))
    }

    async fn reserve(
        &self,
        selection: &Selection,
        after: Option<u64>,
        is_trial: bool,
    ) -> io::Result<Option<crate::core::spool::Reserved>> {
        loop {
            let step = self.lock().spool.reserve(selection, after, is_trial);
            match step {
                Reserve::End => return Ok(None),
                Reserve::Segment(reserved) => return Ok(Some(reserved)),
                Reserve::Load(file, bytes) => {
                    let path = self.path(file);
                    let batches = read_batches(self.env.disk(), &path, file, bytes).await?;
                    self.lock().spool.index_loaded(file, batches);
                }
            }
        }
    }

    fn drop_batches(&self, batches: &[BatchRef], reason: DropReason) {
        let mut state = self.lock();
        for batch in batches {
            state.spool.dropped(batch, reason);
        }
        drop(state);
        self.settle();
        self.commit.notify_one();
    }

    /// Has everything sealed that was acknowledged before.
    async fn sealed(&self) -> io::Result<()> {
        let before: Vec<ItemRange> = {
            let mut state = self.lock();
            state.spool.close_batches();
            let unsealed = state.spool.unsealed_batches();
            unsealed
                .iter()
                .map(|unsealed| unsealed.header.range)
                .collect()
        };
        self.seal.notify_one();
        let is_sealed = || {
            let state = self.lock();
            before.iter().all(|range| !state.spool.is_unsealed(range))
        };
        self.wait(
            || self.send.notified(),
            is_sealed,
            "seal what is in the journals",
        )
        .await
    }

    /// The items of all batches that wait, sealed or not.
    ///
    /// # Errors
    /// If a file of the buffer cannot be read.
    pub(super) async fn waiting(&self) -> io::Result<Ranges> {
        let (segments, unsealed) = {
            let state = self.lock();
            let segments: Vec<_> = state.spool.segments().collect();
            (segments, state.spool.unsealed_batches())
        };
        let mut waiting = Ranges::default();
        for (file, bytes) in segments {
            let path = self.path(file);
            let batches = read_batches(self.env.disk(), &path, file, bytes).await?;
            let state = self.lock();
            for (offset, header) in batches {
                let place = Place {
                    file: file.number,
                    offset,
                };
                if state.spool.is_waiting(place) {
                    waiting.insert(&header.range);
                }
            }
        }
        unsealed
            .iter()
            .for_each(|unsealed| waiting.insert(&unsealed.header.range));
        Ok(waiting)
    }

    /// Waits until what was finished is noted.
    pub(super) async fn noted(&self) -> io::Result<()> {
        self.commit.notify_one();
        let is_noted = || self.lock().spool.is_noted();
        self.wait(|| self.committed.notified(), is_noted, "note what was done")
            .await
    }

    async fn wait<'a>(
        &'a self,
        bell: impl Fn() -> Notified<'a>,
        is_done: impl Fn() -> bool,
        what: &str,
    ) -> io::Result<()> {
        let deadline = tokio::time::Instant::now() + DISK_TIMEOUT;
        loop {
            let bell = bell();
            tokio::pin!(bell);
            // Registered before looking, so that no bell is missed.
            bell.as_mut().enable();
            if is_done() {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, bell).await.is_err() {
                let reason = self.lock().disk_error().cloned();
                let reason = reason.unwrap_or_else(|| format!("not within {DISK_TIMEOUT:?}"));
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{what}: {reason}"),
                ));
            }
        }
    }
}

/// What became of an imported batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Items that are stored now.
    pub stored_items: u64,
    /// Items that were here, or had been imported before.
    pub known_items: u64,
}

/// Batches that are put into a buffer, one after the other.
pub(super) struct Importer<E: Env> {
    shared: Arc<Shared<E>>,
    /// What is stored or was imported.
    known: Ranges,
    ledger: Ranges,
}

impl<E: Env> Importer<E> {
    /// Sees to it that the buffer knows whose it is, and finds out what is known.
    ///
    /// # Errors
    /// If a file of the buffer cannot be read, or its journal not written.
    pub(super) async fn begin(shared: Arc<Shared<E>>) -> io::Result<Self> {
        let is_claimed = || {
            let is_claimed = shared.lock().spool.claim();
            if !is_claimed {
                shared.commit.notify_one();
            }
            is_claimed
        };
        shared
            .wait(
                || shared.committed.notified(),
                is_claimed,
                "begin a journal",
            )
            .await?;
        let mut ledger = Ranges::default();
        let path = shared.config().buffer.dir.join(LEDGER_FILE);
        match shared.env.disk().read(&path, 1 << 20).await {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                // A line that cannot be read costs itself: at worst a batch is stored twice, with the same range.
                let ranges = text.lines().filter_map(|line| {
                    let (signal, range) = line.split_once(' ')?;
                    let signal = Signal::ALL.into_iter().find(|s| s.name() == signal)?;
                    ItemRange::parse(signal, range).ok()
                });
                ranges.for_each(|range| ledger.insert(&range));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut known = shared.waiting().await?;
        ledger.iter().for_each(|range| known.insert(&range));
        Ok(Self {
            shared,
            known,
            ledger,
        })
    }

    /// Puts in what is not known of a batch; synced on return.
    ///
    /// # Errors
    /// `StorageFull` if the quota has no room for it; `InvalidData` if it is not well formed.
    pub(super) async fn add(&mut self, batch: &archive::Batch) -> io::Result<Imported> {
        let mut imported = Imported {
            stored_items: 0,
            known_items: batch.range.count,
        };
        for part in self.known.missing(&batch.range) {
            let request = cut(batch, &part)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let shared = &self.shared;
            let now = shared.now();
            let born = (batch.born_min, batch.born_max);
            if !shared.lock().spool.import(now, part, request, born) {
                let why = "the buffer is full (buffer.disk)";
                return Err(io::Error::new(io::ErrorKind::StorageFull, why));
            }
            shared.seal.notify_one();
            let is_sealed = || !shared.lock().spool.is_unsealed(&part);
            shared
                .wait(|| shared.send.notified(), is_sealed, "store a batch")
                .await?;
            self.known.insert(&part);
            self.ledger.insert(&part);
            imported.stored_items += part.count;
            imported.known_items -= part.count;
        }
        self.ledger.insert(&batch.range);
        Ok(imported)
    }

    /// Remembers what was imported.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) async fn finish(self) -> io::Result<()> {
        let lines: Vec<String> = self
            .ledger
            .iter()
            .map(|range| format!("{} {range}\n", range.signal))
            .collect();
        let text = lines[lines.len().saturating_sub(LEDGER_LINES_MAX)..].concat();
        let dir = &self.shared.config().buffer.dir;
        let bytes = text.len() as u64;
        super::replace_file(self.shared.env.disk(), dir, LEDGER_FILE, text.into()).await?;
        self.shared.lock().spool.hold_small(LEDGER_FILE, bytes);
        Ok(())
    }
}

/// The part of a batch that a range is.
fn cut(batch: &archive::Batch, part: &ItemRange) -> Result<Bytes, crate::otlp::WalkError> {
    let signal = part.signal;
    let mut request = batch.request.clone();
    if part.end() < batch.range.end() {
        let (left, _) = split_items(signal, &request, part.end() - batch.range.first)?;
        request = left.into();
    }
    if part.first > batch.range.first {
        let (_, right) = split_items(signal, &request, part.first - batch.range.first)?;
        request = right.into();
    }
    Ok(request)
}
