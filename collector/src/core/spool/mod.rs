//! What is kept, where, and which batch goes next. Sans-IO: it names files and bytes, `shell::store` writes them.
//!
//! # Order of calls
//! 1. [`Spool::append`] takes a request in; [`Spool::begin_commit`] gives the bytes of a group commit; after write and
//!    sync, [`Spool::commit_done`]. Only then are its requests acknowledged.
//! 2. [`Spool::hold_open`] says whether anybody waits for batches; [`Spool::begin_seal`] gives a batch that is due; compress it; [`Spool::place_batch`] says where it goes; after write
//!    and sync, [`Spool::seal_done`].
//! 3. [`Spool::pick`] gives a batch to send; it ends in [`Spool::delivered`], [`Spool::failed`], [`Spool::suspend`],
//!    [`Spool::quarantined`] or [`Spool::damaged`].
//! 4. [`Spool::expire`] drops what is too old, [`Spool::purge`] what an operator does not want.
//! 5. [`Spool::take_garbage`] names files to remove; then [`Spool::removed`].
//! 6. [`Spool::disk_full`] after a write that found no space; [`Spool::disk_free`] while [`Spool::is_short`]. Before a write, the
//!    reserve is given up if [`Spool::needs_reserve`]; it is made what [`Spool::reserve_wanted`] says when nothing else waits.
//!
//! One commit and one seal may be under way at a time, and any number of sends.
//!
//! # Invariants
//! - An acknowledged item is in a synced journal frame or a synced batch frame, until its batch is finished.
//! - A journal segment goes when all its requests are sealed and a younger segment's checkpoint is synced.
//! - A batch segment goes when all its batches are finished and that was noted (or could not be).
//! - A class with a quota is never short of it for what other classes keep.
//! - Files count as what they take on disk, in whole blocks.
//! - Memory: open batches, requests not yet committed, and the headers of a few segments of at most 4096 batches; not the
//!   backlog.
//!
//! Next: `queue` is what there is once for each class, `room` what the disk leaves for all, `size` what a file takes of it; `intake`, `seal`, `outbox` with `turns`
//! are the three parts of the work;
//! `core::recovery` makes a spool from a disk.

mod handling;
mod intake;
mod listing;
mod outbox;
mod purge;
mod quarantine;
mod queue;
mod room;
mod routes;
mod seal;
mod size;
#[cfg(test)]
mod tests;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;

pub use handling::{Reserve, Reserved};
pub use intake::{Admission, Commit, Part};
pub use listing::Unsealed;
pub use outbox::{BatchRef, Left, Pick};
pub use purge::{Purge, Purged};
pub use quarantine::{Release, Returned};
pub(super) use queue::Queue;
pub use queue::{ClassLimits, ClassStat};
pub(super) use routes::Taken;
pub use routes::{ROUTES_MAX, RouteId, RouteLimits, RouteStat};
pub use seal::{Placement, SealWork};
pub(in crate::core) use size::Size;
pub use size::in_blocks;

use super::{
    Mono,
    accounting::{Accounting, DropReason, Items},
    class::ClassName,
    codec::CodecId,
    frame::{Header, Place},
    lane::Births,
    ledger::{self, Ledger, Services},
    link::Gate,
    losses::{self, Untold},
    notes::{Note, Numbering},
    range::ItemRange,
    seen::{Bounds, Seen, wire::INTERVAL_BYTES_MAX},
    takes::Take,
};
use crate::{
    config::{Codec, Config, OnFull, Order, Role},
    otlp::Signal,
};

/// What bounds a spool. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Raw size at which a batch is sealed.
    pub batch_bytes: u64,
    /// Age at which a batch is sealed.
    pub batch_delay: Duration,
    /// The same while nobody waits for it ([`Spool::hold_open`]), if it is more.
    pub batch_delay_down: Duration,
    /// All files together.
    pub disk_bytes: u64,
    /// The file system gives room in blocks of so many bytes, 1 at least.
    pub block_bytes: u64,
    /// What happens beyond that to classes that are not configured any more.
    pub on_full: OnFull,
    /// Size at which a batch segment is closed.
    pub segment_bytes: u64,
    /// Size at which a journal segment is followed by another.
    pub journal_bytes: u64,
    /// Which batch goes first, in classes that are not configured any more.
    pub order: Order,
    /// A batch is live while its youngest item is younger than that; `None` is never.
    pub live_window: Option<Duration>,
    /// The share of the backlog of a line that live batches would fill, in thousandths (1 to 999).
    pub backfill_permille: u16,
    /// Age at which a batch is dropped, in classes that are not configured any more.
    pub give_up: Option<Duration>,
    /// How batches are compressed.
    pub codec: Codec,
    /// The classes; each signal goes to the first one that takes it.
    pub classes: Vec<ClassLimits>,
    /// The destinations, [`ROUTES_MAX`] at most; none keeps everything.
    pub routes: Vec<RouteLimits>,
    /// What a gateway remembers of its stores; `None` takes requests whatever range they carry.
    pub gateway: Option<Bounds>,
}

/// Bytes of requests in one group commit, beyond which the next one takes them: bounds the write's buffer and the file.
const COMMIT_BYTES: u64 = 4 << 20;

/// Batches in one segment: bounds its index in memory.
const SEGMENT_BATCHES: usize = 4096;

/// Kept for notes and footers, so that a full buffer can still be emptied; beside what a checkpoint may take.
const RESERVE_BYTES: u64 = 16 << 10;

/// What file systems give room in, unless they say otherwise: ext4, XFS, btrfs and tmpfs with their defaults.
const BLOCK_BYTES: u64 = 4096;

/// Bytes of a row of the ledger, about.
const LEDGER_ROW_BYTES: u64 = 128;

/// What a gateway remembers. A quarter of a journal segment at most, for each begins with all of it.
fn gateway_bounds(config: &Config, disk: u64) -> Option<Bounds> {
    let intervals = journal_bytes(disk) / 4 / INTERVAL_BYTES_MAX as u64;
    (config.role == Role::Gateway).then(|| Bounds {
        horizon: config.gateway.horizon,
        stores_max: config.gateway.stores_max,
        intervals_max: (intervals as usize).max(16),
    })
}

fn journal_bytes(disk: u64) -> u64 {
    (disk / 64).clamp(64 << 10, 16 << 20).min(disk / 8)
}

impl Limits {
    /// Rows of the ledger: an eighth of a journal segment at most, for each begins with all of them.
    pub(super) fn ledger_rows_max(&self) -> usize {
        (self.journal_bytes / 8 / LEDGER_ROW_BYTES).clamp(16, 1024) as usize
    }

    /// Most that the quarantine takes: its items are never sent, and must not take the room of those that will be.
    pub fn quarantine_bytes(&self) -> u64 {
        self.disk_bytes / 8
    }

    /// Length at which a quarantine file is followed by another: one is read and released as a whole.
    pub(super) fn quarantine_file_bytes(&self) -> u64 {
        (self.quarantine_bytes() / 8).clamp(64 << 10, 4 << 20)
    }

    /// The limits that follow from a configuration.
    ///
    /// Segments are a 32nd of the buffer (64 KiB to 64 MiB): space comes back in steps of 3 %, and 64 MiB are read in a
    /// second. Journal segments are a 64th (64 KiB to 16 MiB), as they hold what is sealed already. Of a tiny buffer both
    /// are an eighth.
    pub fn new(config: &Config) -> Self {
        let disk = config.buffer.disk.0;
        Self {
            // A buffer of few batches would be full before the first one is sealed.
            batch_bytes: config.batch.bytes.0.min(disk / 8).max(1),
            batch_delay: config.batch.delay,
            batch_delay_down: config.batch.delay_down,
            disk_bytes: disk,
            block_bytes: BLOCK_BYTES,
            on_full: config.buffer.on_full,
            segment_bytes: (disk / 32).clamp(64 << 10, 64 << 20).min(disk / 8),
            journal_bytes: journal_bytes(disk),
            order: config.send.order,
            live_window: config.send.live_window,
            backfill_permille: (config.send.backfill_share * 1000.0).round() as u16,
            give_up: config.retry.give_up,
            codec: config.compress.codec,
            classes: ClassLimits::of(config),
            routes: RouteLimits::of(config),
            gateway: gateway_bounds(config, disk),
        }
    }

    /// The ratio of compression that is expected until the first batch is sealed.
    fn first_ratio(&self) -> f64 {
        match CodecId::from(self.codec) {
            CodecId::None => 1.0,
            // What store-like traces give.
            _ => 0.2,
        }
    }
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Requests as accepted, and notes.
    Journal,
    /// Sealed batches.
    Batches,
    /// Refused items.
    Quarantine,
}

/// A file of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// Its kind.
    pub kind: FileKind,
    /// Its number, unique in the buffer and growing.
    pub number: u64,
}

impl FileId {
    /// Name in the buffer's directory: 16 hex digits and the kind.
    pub fn name(&self) -> String {
        let suffix = match self.kind {
            FileKind::Journal => "journal",
            FileKind::Batches => "batches",
            FileKind::Quarantine => "quarantine",
        };
        format!("{:016x}.{suffix}", self.number)
    }

    /// Reads a name; `None` for files that are not ours.
    pub fn from_name(name: &str) -> Option<Self> {
        let (number, suffix) = name.split_once('.')?;
        let kind = match suffix {
            "journal" => FileKind::Journal,
            "batches" => FileKind::Batches,
            "quarantine" => FileKind::Quarantine,
            _ => return None,
        };
        let number = u64::from_str_radix(number, 16).ok()?;
        let id = Self { kind, number };
        (id.name() == name).then_some(id)
    }
}

/// Something that an observer may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Items were dropped.
    Dropped {
        /// Their signal.
        signal: Signal,
        /// How many.
        items: u64,
        /// Why.
        reason: DropReason,
    },
    /// A batch was sealed and is synced.
    Sealed(BatchInfo),
    /// A batch was taken by the receiver.
    Delivered(BatchInfo),
}

/// A sealed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchInfo {
    /// Its items.
    pub range: ItemRange,
    /// Joined size before compression.
    pub raw_bytes: u32,
    /// Size as stored.
    pub payload_bytes: u32,
}

/// What is stored and not acknowledged by the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes after compression; what is not sealed yet is counted at the most recent ratio.
    pub bytes: u64,
    /// Items.
    pub items: u64,
}

/// A batch that somebody has at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) entry: Entry,
    /// Bits of the [`RouteId`]s that have it under way.
    pub(super) by: u32,
}

/// A sealed batch in its segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) header: Header,
}

#[derive(Debug)]
pub(super) struct Segment {
    /// Whose batches it holds.
    pub(super) class: ClassName,
    pub(super) size: Size,
    /// Batches in file order; `None` while nobody needs them.
    pub(super) entries: Option<Vec<Entry>>,
    pub(super) finished: BTreeSet<u64>,
    /// What each destination has of what is not finished.
    pub(super) taken: BTreeMap<RouteId, Taken>,
    /// Entries at the front that are all finished, so that a pick need not look at them again.
    pub(super) spent: usize,
    /// Sums over what is not finished.
    pub(super) batches: u64,
    pub(super) payload_bytes: u64,
    pub(super) items: [u64; 3],
    /// Of what is, or was, in it.
    pub(super) births: Births,
    /// Why all its batches were dropped, if they were; it goes when none of them is under way.
    pub(super) doomed: Option<DropReason>,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) size: Size,
    /// Requests that are not in a sealed batch.
    pub(super) unsealed: u64,
    /// Offsets of damaged requests that are in the ledger.
    pub(super) ledgered: BTreeSet<u64>,
}

/// A batch that grows.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) range: ItemRange,
    pub(super) pieces: Vec<Bytes>,
    pub(super) services: Services,
    pub(super) raw_bytes: u64,
    pub(super) born_min: u64,
    pub(super) born_max: u64,
    pub(super) since: Mono,
    /// Requests by journal segment.
    pub(super) journals: BTreeMap<u64, u64>,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) class: ClassName,
    pub(super) signal: Signal,
    pub(super) items: u64,
    pub(super) body: Bytes,
    pub(super) born: u64,
    /// Whether the next one is of the same request, and so of the same commit.
    pub(super) has_more: bool,
    /// Parts of the same request that had no room: they are thrown away, and counted, when the request is acknowledged.
    pub(super) discards: Vec<Part>,
    /// The range that its sender gave it, at a gateway.
    pub(super) origin: Option<ItemRange>,
}

/// The buffer of one store. See the module's head for the order of calls.
#[derive(Debug)]
pub struct Spool {
    pub(super) limits: Limits,
    /// What the disk has for the buffer, where that is less than the quota; see `room`.
    pub(super) room_bytes: Option<u64>,
    /// The reserve's file, on disk.
    pub(in crate::core) reserve_held: u64,
    pub(super) store: u64,
    pub(super) boot: u64,
    pub(super) next_file: u64,
    pub(super) next_commit: u64,
    pub(super) queues: BTreeMap<ClassName, Queue>,

    pub(super) pending: VecDeque<Pending>,
    pub(super) pending_bytes: u64,
    pub(super) committing: Option<intake::Committing>,
    pub(super) journals: BTreeMap<u64, Journal>,
    /// The journal segment that is written to, and whether its checkpoint is synced.
    pub(super) journal: Option<(u64, bool)>,
    /// Whether the next commit goes to a new journal segment, though the current one is not full.
    pub(super) wants_journal: bool,
    pub(super) notes: Vec<Note>,
    /// What destinations have got since the last commit.
    pub(super) takes: Vec<Take>,
    /// Writes whose sync failed; see `Checkpoint::failed`.
    pub(super) failed_writes: BTreeSet<(u64, u64)>,

    /// What may go over the line.
    pub(super) gate: Gate,
    /// Whether batches may wait to be full.
    pub(super) holds_open: bool,
    pub(super) closing: VecDeque<Open>,
    pub(super) sealing: Option<seal::Sealing>,
    pub(super) sealed: BTreeMap<Numbering, u64>,

    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) routes: Vec<routes::Route>,
    pub(super) sending: BTreeMap<Place, Sending>,
    pub(super) suspended: BTreeMap<(Place, RouteId), outbox::Suspended>,
    /// Segments without batches whose last notes are not written yet.
    pub(super) emptied: Vec<u64>,
    /// Files that go once that is noted, with what they take, and then others get their room: segments that were dropped, quarantine
    /// files that were released, and what recovery found finished.
    pub(super) leaving: BTreeMap<FileId, u64>,

    pub(super) garbage: BTreeMap<FileId, u64>,
    /// Those of `garbage` that could not be removed when that was tried.
    pub(super) stuck: BTreeSet<FileId>,
    /// What files take that are neither journal nor batch segment, such as the quarantine.
    pub(super) other_bytes: u64,
    /// What small files of our own take that are written as a whole, by name.
    pub(in crate::core) small_files: BTreeMap<&'static str, u64>,
    /// The part of `other_bytes` that is the quarantine: its files.
    pub(super) quarantines: BTreeMap<u64, Size>,
    /// The quarantine file that is written to, and its length.
    pub(super) quarantine: Option<(u64, u64)>,
    pub(super) accounting: Accounting,
    pub(super) ledger: Ledger,
    /// What stores have delivered, at a gateway.
    pub(super) seen: Seen,
    /// The latest wall clock that was told, unix nanoseconds.
    pub(super) unix_now: u64,
    pub(super) events: Vec<Event>,
}

impl Spool {
    /// An empty spool: boot 1 of a store with that number.
    pub fn new(limits: Limits, store: u64) -> Self {
        let mut spool = Self::bare(limits, store);
        let limits = spool.limits.clone();
        spool.set_routes(&limits);
        spool
    }

    /// The same, without destinations: what is found on disk decides which of them are new.
    pub(in crate::core) fn bare(limits: Limits, store: u64) -> Self {
        let ledger = Ledger::new(limits.ledger_rows_max());
        let seen = Seen::new(limits.gateway.unwrap_or(Bounds::NONE));
        let mut spool = Self {
            limits,
            room_bytes: None,
            reserve_held: 0,
            store,
            boot: 1,
            next_file: 1,
            next_commit: 1,
            queues: BTreeMap::new(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            committing: None,
            journals: BTreeMap::new(),
            journal: None,
            wants_journal: false,
            notes: Vec::new(),
            takes: Vec::new(),
            failed_writes: BTreeSet::new(),
            gate: Gate::default(),
            holds_open: false,
            closing: VecDeque::new(),
            sealing: None,
            sealed: BTreeMap::new(),
            segments: BTreeMap::new(),
            routes: Vec::new(),
            sending: BTreeMap::new(),
            suspended: BTreeMap::new(),
            emptied: Vec::new(),
            leaving: BTreeMap::new(),
            garbage: BTreeMap::new(),
            stuck: BTreeSet::new(),
            other_bytes: 0,
            small_files: BTreeMap::new(),
            quarantines: BTreeMap::new(),
            quarantine: None,
            accounting: Accounting::default(),
            ledger,
            seen,
            unix_now: 0,
            events: Vec::new(),
        };
        spool.make_queues();
        spool
    }

    /// The account of one signal over all starts of the collector on this buffer; `recovered` is that of this start.
    pub fn lifetime(&self, signal: Signal) -> Items {
        let (before, now) = (self.ledger.before(signal), self.accounting.items(signal));
        let mut items = *now;
        items.accepted += before.accepted;
        items.delivered += before.delivered;
        items.quarantined += before.quarantined;
        for (dropped, before) in items.dropped.iter_mut().zip(before.dropped) {
            *dropped += before;
        }
        items
    }

    /// What was lost, over all starts: durable with the next commit.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Rows of the ledger were told, as they stand here: durable with the next commit.
    pub fn losses_told(&mut self, rows: &[Untold]) {
        self.ledger.tell(rows);
    }

    /// Whether records of the ledger wait for a destination.
    pub fn has_untold_under_way(&self) -> bool {
        let queue = self.queues.get(&losses::class());
        queue.is_some_and(|queue| {
            let is_stored = |segment: &Segment| segment.batches > 0;
            queue.incoming_bytes > 0
                || self.unsealed_of(losses::class()).next().is_some()
                || self.segments_of(queue).any(is_stored)
        })
    }

    /// What stores have delivered, at a gateway.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The account of all items since this start.
    pub fn accounting(&self) -> &Accounting {
        &self.accounting
    }

    /// The store's number and the count of starts.
    pub fn identity(&self) -> (u64, u64) {
        (self.store, self.boot)
    }

    /// What is stored and not acknowledged by the destination.
    pub fn backlog(&self) -> Backlog {
        let sealed: u64 = self.segments.values().map(|s| s.payload_bytes).sum();
        let later = |open: &Open| {
            let queue = self.queues.get(&open.range.class);
            queue::ratio_of(open.raw_bytes, queue.map_or(1.0, |queue| queue.ratio))
        };
        Backlog {
            bytes: sealed + self.unsealed().map(later).sum::<u64>(),
            items: self.accounting.stored_total(),
        }
    }

    /// The part of the backlog that is being sent to some destination, and not acknowledged; batches count whole until they are settled.
    pub fn under_way(&self) -> Backlog {
        let headers = self.sending.values().map(|sending| &sending.entry.header);
        headers.fold(Backlog::default(), |sum, header| Backlog {
            bytes: sum.bytes + u64::from(header.payload_bytes),
            items: sum.items + header.range.count,
        })
    }

    /// Batches that are durable and not sealed.
    pub(super) fn unsealed(&self) -> impl Iterator<Item = &Open> {
        let open = self.queues.values().filter_map(|queue| queue.open.as_ref());
        let sealing = self.sealing.iter().map(|sealing| &sealing.open);
        open.chain(&self.closing).chain(sealing)
    }

    /// Raw bytes that are durable and not in a sealed batch.
    pub fn unsealed_bytes(&self) -> u64 {
        self.unsealed().map(|open| open.raw_bytes).sum()
    }

    /// Raw bytes of requests that wait for a commit.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// What all files take on disk, those that wait for removal included.
    pub fn disk_bytes(&self) -> u64 {
        let garbage = self.garbage.iter();
        let going = garbage.filter(|(file, _)| !self.stuck.contains(file));
        let noted = self.committing.iter().flat_map(|c| &c.leaving);
        let leaving: u64 = self
            .leaving
            .iter()
            .chain(noted)
            .map(|(_, bytes)| bytes)
            .sum();
        let going: u64 = going.map(|(_, bytes)| bytes).sum();
        self.kept_bytes() + self.reserve_held + leaving + going
    }

    /// Files that stay, and those that should not but cannot be removed; not the reserve, which gives way.
    pub(super) fn kept_bytes(&self) -> u64 {
        let journals: u64 = self
            .journals
            .values()
            .map(|journal| journal.size.disk_bytes)
            .sum();
        let segments: u64 = self.queues.values().map(|queue| queue.bytes).sum();
        let stuck = self.stuck.iter().filter_map(|file| self.garbage.get(file));
        let small: u64 = self.small_files.values().sum();
        journals + segments + self.other_bytes + small + stuck.sum::<u64>()
    }

    /// Birth of the oldest item that is stored, unix nanoseconds.
    pub fn oldest_born(&self) -> Option<u64> {
        let open = self.unsealed().map(|open| open.born_min);
        let sealed = self.segments.values().filter(|s| s.batches > 0);
        open.chain(sealed.map(Segment::oldest_born)).min()
    }

    /// Whether something happened that nobody has taken.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Files that are not needed any more, to be removed in any order.
    pub fn take_garbage(&mut self) -> Vec<FileId> {
        self.garbage.keys().copied().collect()
    }

    /// A file of [`Spool::take_garbage`] is gone.
    pub fn removed(&mut self, file: FileId) {
        self.garbage.remove(&file);
        self.stuck.remove(&file);
    }

    /// A file of [`Spool::take_garbage`] could not be removed: until it is, it takes room that nothing else can have.
    pub fn not_removed(&mut self, file: FileId) {
        if self.garbage.contains_key(&file) {
            self.stuck.insert(file);
        }
    }

    /// A small file of ours has that length from now on: it is counted with the others.
    pub fn hold_small(&mut self, name: &'static str, bytes: u64) {
        let disk_bytes = in_blocks(bytes, self.limits.block_bytes);
        self.small_files.insert(name, disk_bytes);
    }

    /// A number for another file.
    pub(super) fn new_file(&mut self) -> u64 {
        let number = self.next_file;
        self.next_file += 1;
        number
    }

    /// Drops items of a segment, or of a journal, and enters them into the ledger.
    pub(in crate::core) fn lose(&mut self, file: u64, lost: Lost) {
        self.lose_of(&self.ledger.services_of(file), lost);
    }

    /// Drops items of these services, and enters them into the ledger.
    fn lose_of(&mut self, services: &Services, lost: Lost) {
        let Lost {
            signal,
            class,
            reason,
            items,
            born,
        } = lost;
        if items == 0 {
            return;
        }
        self.accounting.drop(signal, items, reason);
        self.events.push(Event::Dropped {
            signal,
            items,
            reason,
        });
        self.ledger.record(&ledger::Drop {
            signal,
            class,
            reason,
            items,
            services,
            born,
            at: self.unix_now,
        });
    }

    /// Journal segments whose requests are all sealed, once a younger checkpoint is synced.
    pub(super) fn release_journals(&mut self) {
        let Some((current, true)) = self.journal else {
            return;
        };
        let released: Vec<u64> = self
            .journals
            .range(..current)
            .filter(|(_, journal)| journal.unsealed == 0)
            .map(|(number, _)| *number)
            .collect();
        for number in released {
            let journal = self.journals.remove(&number).expect("listed above");
            let kind = FileKind::Journal;
            self.garbage
                .insert(FileId { kind, number }, journal.size.disk_bytes);
            self.failed_writes.retain(|(file, _)| *file != number);
        }
    }
}

/// Items that are dropped; `born` is the birth of the oldest and the youngest.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Lost {
    pub(in crate::core) signal: Signal,
    pub(in crate::core) class: ClassName,
    pub(in crate::core) reason: DropReason,
    pub(in crate::core) items: u64,
    pub(in crate::core) born: (u64, u64),
}

impl Lost {
    /// So many items of a batch or a request.
    pub(in crate::core) fn of(header: &Header, items: u64, reason: DropReason) -> Self {
        Self {
            signal: header.range.signal,
            class: header.range.class,
            reason,
            items,
            born: (header.born_min, header.born_max),
        }
    }
}

impl BatchInfo {
    pub(super) fn of(header: &Header) -> Self {
        Self {
            range: header.range,
            raw_bytes: header.raw_bytes,
            payload_bytes: header.payload_bytes,
        }
    }
}
