//! From whatever is on disk to a spool. Every byte string is a valid input; nothing is written, moved or cut.
//!
//! # Why nothing acknowledged is lost, and nothing comes back
//! A request's frame is synced before its ack and stays in a journal until its batch is synced in a segment. So each
//! acknowledged, unfinished item is in a journal, in a segment, or in both. Where both have it, the batch counts if its
//! payload is intact, and the journal otherwise: a batch that was torn by a crash is always still in the journal (one that rotted
//! later may be there in part, for a batch may span journals, and the older one goes first; the rest is counted). Where
//! only the journal has it, a note or a checkpoint tells whether its batch was finished and its segment deleted.
//!
//! A batch that is read may still be unsynced, if only the process died: its journal would be released on the strength of
//! it. So such a batch is written over itself and synced before it counts (found by
//! `spool::tests::acknowledged_is_delivered`; a sync alone is not enough, see `shell::recover`).
//!
//! The same is true of notes. A file that a note calls finished is therefore not removed before the first commit, whose
//! checkpoint says so again and is synced: else a loss of power could take the note back when the file is gone, and
//! the account would have its items twice or not at all (`spool::tests::quarantine::a_note_that_was_only_read_removes_nothing`).
//!
//! Old files are never appended to, so a torn tail needs no repair: writing goes on in new files. Only journals are read
//! whole (a few MiB, see `Limits`); of segments only the index is read, or the headers where there is no index.
//!
//! # Order of calls
//! [`Recovery::journal`] for each journal in order of number, [`Recovery::reserve`] and [`Recovery::other`] for other files; then [`Recovery::segment`] for
//! each segment, and for each batch it asks for: write it over itself, sync its segment, then [`Recovery::verified`]; then
//! [`Recovery::again`] for each segment that [`Recovery::twins`] names; then [`Recovery::finish`]. Next: `twins`, then `spool`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    Mono,
    accounting::DropReason,
    class::ClassName,
    frame::{self, Found, Header, Kind, Place},
    ledger::Ledger,
    notes::{Checkpoint, Note, Numbering, decode_notes, unsealed, whole},
    range::ItemRange,
    ranges::Ranges,
    seen::{Bounds, Seen, wire},
    spool::{FileId, FileKind, Journal, Limits, Lost, Segment, Size, Spool},
    takes::{self, Take},
    twins::Twins,
};
use crate::otlp::Signal;

/// A journal larger than this was not written by us, and is set aside unread.
pub const JOURNAL_BYTES_MAX: u64 = 256 << 20;

/// What was found, for the start message and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Journal segments read.
    pub journals: u64,
    /// Batch segments found.
    pub segments: u64,
    /// Batches that wait for delivery.
    pub batches: u64,
    /// Requests that were in a journal only.
    pub requests: u64,
    /// Items in them, by signal.
    pub items: [u64; 3],
    /// Items whose frame is damaged, by signal.
    pub damaged_items: [u64; 3],
    /// Items of the last commit whose frame is torn: they were not acknowledged.
    pub torn_items: u64,
    /// Bytes that are no frame.
    pub unknown_bytes: u64,
    /// Files that could not be read.
    pub unreadable: Vec<String>,
}

/// A batch whose payload must be checked, because a journal has its items too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Where its frame stands.
    pub place: Place,
    /// Its header.
    pub header: Header,
}

#[derive(Debug)]
struct Request {
    place: Place,
    header: Header,
    /// `None` if it is damaged.
    body: Option<Bytes>,
    /// The range that its sender gave it.
    origin: Option<ItemRange>,
}

#[derive(Debug)]
struct FoundSegment {
    class: ClassName,
    bytes: u64,
    batches: Vec<(u64, Header)>,
}

/// A recovery under way.
#[derive(Debug, Default)]
pub struct Recovery {
    checkpoint: Checkpoint,
    ledger: Ledger,
    unix_now: u64,
    requests: BTreeMap<Numbering, Vec<Request>>,
    /// First item and end of the requests of each numbering.
    spans: BTreeMap<Numbering, (u64, u64)>,
    journals: BTreeMap<u64, u64>,
    /// What files take on disk, as the file system says.
    on_disk: BTreeMap<FileId, u64>,
    small_files: BTreeMap<&'static str, u64>,
    /// The segment that came last, until its batches are checked.
    unsettled: Option<(u64, FoundSegment)>,
    segments: BTreeMap<u64, Segment>,
    /// Batches that stand in two segments.
    twins: Twins,
    /// Whether the payload is intact, for the batches that a journal has too.
    verified: BTreeMap<Place, bool>,
    /// Batches that are intact or finished, and that a journal has too.
    good: BTreeMap<Numbering, Vec<Header>>,
    /// Batches that are damaged, and that a journal has too.
    bad: BTreeMap<Numbering, Vec<Header>>,
    /// Those of them that are found damaged for the first time.
    fresh_bad: Vec<(Place, Header)>,
    /// Batches at the end of a cut file that no journal has.
    torn: Vec<(Place, Header)>,
    /// What is lost, and is not in the ledger yet.
    damaged: Vec<(Place, Header)>,
    /// Whether a batch may have stood where now nothing can be read.
    has_holes: bool,
    /// Frames of each store in journals, which only its own collector writes.
    stores: BTreeMap<u64, u64>,
    /// The same in segments, which may hold what was imported.
    batch_stores: BTreeMap<u64, u64>,
    boot: u64,
    /// The last commit of each boot.
    last_commit: BTreeMap<u64, u64>,
    /// What destinations have, by segment.
    takes: BTreeMap<u64, Vec<Take>>,
    /// What stores have delivered to a gateway, as checkpoints say.
    seen: Seen,
    /// The last commit of each journal: of those before it is known that they are synced.
    last_commit_of: BTreeMap<u64, u64>,
    /// Requests that may not be on the platter, and could not be written again.
    unsure: BTreeSet<Place>,
    file: u64,
    other_bytes: u64,
    quarantines: BTreeMap<u64, u64>,
    reserve_bytes: u64,
    report: Report,
}

impl Recovery {
    /// Nothing found yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The wall clock, unix nanoseconds: when what is found damaged was lost, as far as anybody knows.
    pub fn set_clock(&mut self, unix_now: u64) {
        self.unix_now = unix_now;
    }

    /// What a journal, a segment or a quarantine file takes on disk, if it is known: where that is more than its length says.
    pub fn on_disk(&mut self, file: FileId, disk_bytes: u64) {
        self.on_disk.insert(file, disk_bytes);
    }

    /// A small file of ours takes so many bytes on disk.
    pub fn small(&mut self, name: &'static str, disk_bytes: u64) {
        self.small_files.insert(name, disk_bytes);
    }

    /// A journal segment's bytes.
    pub fn journal(&mut self, number: u64, data: &Bytes) {
        self.file = self.file.max(number);
        self.report.journals += 1;
        self.journals.insert(number, data.len() as u64);
        for found in frame::scan(number, data) {
            let (offset, header, is_whole) = match found {
                Found::Gap { bytes, .. } => {
                    self.report.unknown_bytes += bytes;
                    continue;
                }
                Found::Frame {
                    offset,
                    header,
                    is_whole,
                } => (offset, header, is_whole),
            };
            self.meet(&header, true);
            let last = self.last_commit.entry(header.range.boot).or_default();
            *last = header.commit.max(*last);
            let last = self.last_commit_of.entry(number).or_default();
            *last = header.commit.max(*last);
            let payload = frame::payload(data, offset, &header);
            let is_intact = is_whole && header.is_intact(payload);
            match header.kind {
                Kind::Request | Kind::Relayed if header.range.count > 0 => {
                    let (origin, body) = match header.kind {
                        _ if !is_intact => (None, None),
                        Kind::Relayed => wire::split_origin(&header.range, payload).unzip(),
                        _ => (None, Some(payload)),
                    };
                    let slice = |body: &[u8]| {
                        let start = body.as_ptr() as usize - data.as_ptr() as usize;
                        data.slice(start..start + body.len())
                    };
                    let place = Place {
                        file: number,
                        offset,
                    };
                    let request = Request {
                        place,
                        header,
                        body: body.map(slice),
                        origin,
                    };
                    let (numbering, range) = (header.numbering(), header.range);
                    let span = self.spans.entry(numbering);
                    let (first, end) = span.or_insert((range.first, range.end()));
                    *first = range.first.min(*first);
                    *end = range.end().max(*end);
                    self.requests.entry(numbering).or_default().push(request);
                }
                Kind::Note if is_intact => {
                    if let Some((notes, rest)) = decode_notes(payload) {
                        notes.iter().for_each(|note| self.checkpoint.add(note));
                        self.ledger.read_changes(rest);
                    }
                }
                Kind::Seen if is_intact => {
                    self.seen.read(payload);
                }
                Kind::Takes if is_intact => {
                    for take in takes::decode(payload).into_iter().flatten() {
                        self.takes.entry(take.place.file).or_default().push(take);
                    }
                }
                Kind::Checkpoint if is_intact => {
                    if let Some((checkpoint, rest)) = Checkpoint::decode(payload) {
                        self.checkpoint.merge(checkpoint);
                        self.ledger.read_all(rest);
                    }
                }
                _ => {}
            }
        }
    }

    /// Requests of a gateway that were read and may never have been synced, once all journals were read: a repeat of one would be
    /// acknowledged on the strength of it, so it is written over itself first, and its journal synced.
    ///
    /// A journal is not written to after a sync that failed, so only its last commit is in doubt.
    pub fn relayed_in_doubt(&self) -> Vec<Suspect> {
        let all = self.requests.values().flatten();
        let in_doubt = all.filter(|request| {
            let (place, commit) = (request.place, request.header.commit);
            request.origin.is_some()
                && self.last_commit_of.get(&place.file) == Some(&commit)
                && !self.checkpoint.failed.contains(&(place.file, commit))
        });
        let suspect = |request: &Request| Suspect {
            place: request.place,
            header: request.header,
        };
        in_doubt.map(suspect).collect()
    }

    /// One of [`Recovery::relayed_in_doubt`] could not be made durable: it counts, and a repeat of it is taken again.
    pub fn stays_in_doubt(&mut self, suspect: &Suspect) {
        self.unsure.insert(suspect.place);
    }

    /// A file that could not be read, or should not be: it stays and takes its space.
    pub fn unreadable(&mut self, file: FileId, bytes: u64, why: &str) {
        self.file = self.file.max(file.number);
        // It may be of a boot that nothing else tells of, and each boot that has numbered items has made a file: so a boot's
        // number is never above the number of its last file. Used twice, one range would name two batches.
        self.boot = self.boot.max(file.number);
        self.other_bytes += bytes;
        self.report
            .unreadable
            .push(format!("{}: {why}", file.name()));
    }

    /// Any other file, and what it takes on disk; of a quarantine file its length.
    pub fn other(&mut self, file: Option<FileId>, bytes: u64) {
        self.file = self.file.max(file.map_or(0, |file| file.number));
        self.other_bytes += bytes;
        if let Some(file) = file.filter(|file| file.kind == FileKind::Quarantine) {
            self.quarantines.insert(file.number, bytes);
        }
    }

    /// The file that holds the reserve takes so many bytes on disk; nobody asks what is in it.
    pub fn reserve(&mut self, bytes: u64) {
        self.reserve_bytes = bytes;
    }

    /// A segment's headers, from its index or from a walk. Returns the batches whose payload must be checked.
    pub fn segment(&mut self, number: u64, bytes: u64, found: &[Found]) -> Vec<Suspect> {
        self.settle();
        self.file = self.file.max(number);
        self.report.segments += 1;
        // All of it was dropped, and the file was to go.
        let is_gone = self.checkpoint.finished.contains(&whole(number));
        let found = if is_gone { &[][..] } else { found };
        let mut batches = Vec::new();
        let mut suspects = Vec::new();
        for (index, item) in found.iter().enumerate() {
            match *item {
                Found::Gap { bytes, .. } => {
                    self.report.unknown_bytes += bytes;
                    // At the end it is the torn tail of a batch that was not synced, and is in a journal.
                    self.has_holes |= index + 1 < found.len();
                }
                Found::Frame {
                    offset,
                    header,
                    is_whole,
                } if header.kind == Kind::Batch && header.range.count > 0 => {
                    self.meet(&header, false);
                    if self.is_put_back_in_vain(&header) {
                        continue;
                    }
                    let place = Place {
                        file: number,
                        offset,
                    };
                    if self.journal_has(&header) {
                        if is_whole {
                            suspects.push(Suspect { place, header });
                        } else {
                            self.verified.insert(place, false);
                        }
                        batches.push((offset, header));
                    } else if is_whole {
                        batches.push((offset, header));
                    } else if !self.checkpoint.finished.contains(&place)
                        && !self.checkpoint.failed.contains(&(number, offset))
                    {
                        self.twins.meet(number, &header.range);
                        self.torn.push((place, header));
                    }
                }
                Found::Frame { header, .. } => self.meet(&header, false),
            }
        }
        // A segment holds the batches of one class; one without batches is nobody's, and goes.
        let class = batches.first().map(|(_, header)| header.range.class);
        let class = class.unwrap_or(Signal::Traces.into());
        let found = FoundSegment {
            class,
            bytes,
            batches,
        };
        self.unsettled = Some((number, found));
        suspects
    }

    /// Whether the payload of a batch is what its header says, and its segment could be synced.
    pub fn verified(&mut self, suspect: &Suspect, is_intact: bool) {
        self.verified.insert(suspect.place, is_intact);
    }

    fn meet(&mut self, header: &Header, is_journal: bool) {
        let stores = match is_journal {
            true => &mut self.stores,
            false => &mut self.batch_stores,
        };
        *stores.entry(header.range.store).or_default() += 1;
        self.boot = self.boot.max(header.range.boot);
    }

    /// Whether a batch was put back from a quarantine file, and a crash came before that was noted: its items are where they were.
    fn is_put_back_in_vain(&self, header: &Header) -> bool {
        let from = header.commit;
        self.quarantines.contains_key(&from) && !self.checkpoint.finished.contains(&whole(from))
    }

    /// Whose buffer it is.
    fn own_store(&self) -> Option<u64> {
        let most = |stores: &BTreeMap<u64, u64>| {
            let most = stores.iter().max_by_key(|(_, count)| **count);
            most.map(|(store, _)| *store)
        };
        most(&self.stores).or_else(|| most(&self.batch_stores))
    }

    fn journal_has(&self, header: &Header) -> bool {
        if self.own_store() != Some(header.range.store) {
            return false;
        }
        let span = self.spans.get(&header.numbering());
        span.is_some_and(|(first, end)| header.range.first < *end && *first < header.range.end())
    }

    /// Takes over the segment that came last: what of it is finished, what is kept.
    fn settle(&mut self) {
        let Some((number, found)) = self.unsettled.take() else {
            return;
        };
        let mut kept = Vec::new();
        for (offset, header) in &found.batches {
            let place = Place {
                file: number,
                offset: *offset,
            };
            let verified = self.verified.get(&place).copied();
            let is_finished = self.checkpoint.finished.contains(&place);
            let has_failed = self.checkpoint.failed.contains(&(number, *offset));
            // Its sync failed and it was sealed again, or it is damaged and a journal has it.
            let is_superseded = !is_finished && (has_failed || verified == Some(false));
            if is_superseded {
                self.checkpoint.failed.insert((number, *offset));
                if verified == Some(false) {
                    if !has_failed {
                        self.fresh_bad.push((place, *header));
                    }
                    self.bad
                        .entry(header.numbering())
                        .or_default()
                        .push(*header);
                }
            } else {
                self.twins.meet(number, &header.range);
                if verified.is_some() {
                    self.good
                        .entry(header.numbering())
                        .or_default()
                        .push(*header);
                }
            }
            if !is_finished && !is_superseded {
                kept.push((*offset, *header));
            }
        }
        let kept_offsets: BTreeSet<u64> = kept.iter().map(|(offset, _)| *offset).collect();
        if let Some(takes) = self.takes.get_mut(&number) {
            // A batch that cannot be read does not stand for one that waits.
            takes.retain(|Take { place, .. }| {
                *place == whole(number) || kept_offsets.contains(&place.offset)
            });
        }
        let offsets = found.batches.iter().map(|(offset, _)| *offset);
        let finished = offsets
            .filter(|offset| !kept_offsets.contains(offset))
            .collect();
        let kept = kept.iter().map(|(_, header)| header);
        // What it takes is known at the end.
        let size = Size::of(found.bytes, 1);
        let segment = Segment::found(found.class, size, finished, kept);
        self.segments.insert(number, segment);
    }

    /// Segments that may hold a batch which another one holds, too: their headers are to be read once more, in order of number,
    /// for [`Recovery::again`]. Seldom any.
    pub fn twins(&mut self) -> Vec<u64> {
        self.settle();
        self.twins.segments().into_iter().collect()
    }

    /// The headers of a segment that [`Recovery::twins`] named. One that cannot be read any more is left out: at worst a batch of
    /// it is sent twice.
    pub fn again(&mut self, number: u64, found: &[Found]) {
        for item in found {
            let Found::Frame {
                offset,
                header,
                is_whole: true,
            } = *item
            else {
                continue;
            };
            let place = Place {
                file: number,
                offset,
            };
            let is_batch = header.kind == Kind::Batch && header.range.count > 0;
            let has_failed = self.checkpoint.failed.contains(&(number, offset))
                && !self.checkpoint.finished.contains(&place);
            if is_batch && !has_failed && !self.is_put_back_in_vain(&header) {
                self.twins.look(place, &header);
            }
        }
    }

    /// Sealed twice: the first sync failed, so the last one counts.
    fn supersede_twins(&mut self) {
        for (place, header) in self.twins.superseded() {
            if self.checkpoint.finished.contains(&place) {
                continue;
            }
            self.checkpoint.failed.insert((place.file, place.offset));
            if let Some(segment) = self.segments.get_mut(&place.file) {
                segment.forget(place.offset, &header);
            }
        }
    }

    /// The spool of what was found. `fresh_store` numbers the store if nothing does.
    pub fn finish(mut self, limits: Limits, fresh_store: u64, now: Mono) -> (Spool, Report) {
        self.settle();
        self.supersede_twins();
        // A number that a note speaks of is never given to another file, or the note would finish its batches.
        let noted = self.checkpoint.finished.iter().map(|place| place.file);
        self.file = noted
            .chain(self.takes.keys().copied())
            .fold(self.file, u64::max);
        // Damage cannot invent headers; where two buffers were mixed, the one with more frames goes on.
        let store = self.own_store();
        let store = store.unwrap_or(fresh_store);
        let mut spool = Spool::bare(limits, store);
        let block = spool.limits.block_bytes;
        let on_disk = std::mem::take(&mut self.on_disk);
        let size = |kind, number, bytes| {
            let found = on_disk.get(&FileId { kind, number }).copied();
            Size::found(bytes, found.unwrap_or(0), block)
        };
        spool.boot = self.boot.saturating_add(1);
        spool.next_file = self.file.saturating_add(1);
        spool.other_bytes = self.other_bytes;
        for (number, bytes) in std::mem::take(&mut self.quarantines) {
            let kind = FileKind::Quarantine;
            let size = size(kind, number, bytes);
            spool.other_bytes -= bytes;
            if self.checkpoint.finished.contains(&whole(number)) {
                spool
                    .leaving
                    .insert(FileId { kind, number }, size.disk_bytes);
            } else {
                spool.other_bytes += size.disk_bytes;
                spool.quarantines.insert(number, size);
            }
        }
        spool.small_files = std::mem::take(&mut self.small_files);
        spool.reserve_held = self.reserve_bytes;
        spool.unix_now = self.unix_now;
        let rows_max = spool.limits.ledger_rows_max();
        spool.ledger = std::mem::take(&mut self.ledger).with_rows_max(rows_max);
        spool
            .ledger
            .retain(|file| self.segments.contains_key(&file));
        spool.sealed = std::mem::take(&mut self.checkpoint.sealed);
        spool
            .sealed
            .retain(|numbering, _| self.requests.contains_key(numbering));
        for (number, bytes) in &self.journals {
            let journal = Journal {
                size: size(FileKind::Journal, *number, *bytes),
                ..Journal::default()
            };
            spool.journals.insert(*number, journal);
        }
        spool.failed_writes = std::mem::take(&mut self.checkpoint.failed);
        spool.failed_writes.retain(|(file, _)| {
            self.journals.contains_key(file) || self.segments.contains_key(file)
        });
        for (number, mut segment) in std::mem::take(&mut self.segments) {
            segment.size = size(FileKind::Batches, number, segment.size.bytes);
            for (signal, items) in Signal::ALL.into_iter().zip(segment.items) {
                spool.accounting.recover(signal, items);
                self.report.items[signal.index()] += items;
            }
            self.report.batches += segment.batches;
            spool.add_segment(number, segment);
        }
        self.restore_seen(&mut spool);
        self.count_unrescued(&mut spool);
        spool.restore_takes(std::mem::take(&mut self.takes).into_values().flatten());
        self.add_requests(&mut spool, now);
        for (place, header) in std::mem::take(&mut self.torn) {
            // Unless its sync failed and it was sealed again elsewhere.
            if !self.twins.has(&header.range) {
                self.damaged.push((place, header));
            }
        }
        for (place, header) in std::mem::take(&mut self.damaged) {
            let ItemRange {
                signal,
                class,
                count,
                ..
            } = header.range;
            self.report.damaged_items[signal.index()] += count;
            spool.accounting.recover(signal, count);
            spool.lose(place.file, Lost::of(&header, count, DropReason::Damaged));
            // Once in the ledger is enough.
            spool.notes.push(Note::of_place(place, class));
            if let Some(journal) = spool.journals.get_mut(&place.file) {
                journal.ledgered.insert(place.offset);
            }
            if let Some(segment) = spool.segments.get_mut(&place.file) {
                segment.finished.insert(place.offset);
            }
        }
        let limits = spool.limits.clone();
        spool.set_routes(&limits);
        spool.retire_found();
        (spool, self.report)
    }

    /// Takes over what stores have delivered, and leaves out requests that were never acknowledged and came again.
    fn restore_seen(&mut self, spool: &mut Spool) {
        let mut seen = std::mem::replace(&mut self.seen, Seen::new(Bounds::NONE));
        let all = self.requests.values().flatten();
        let relayed = all.filter_map(|request| Some((request.place, request.origin?, request)));
        let mut relayed: Vec<_> = relayed
            .map(|(place, origin, request)| {
                let Header {
                    commit, born_min, ..
                } = request.header;
                (place, origin, commit, born_min)
            })
            .collect();
        relayed.sort_unstable_by_key(|(place, ..)| std::cmp::Reverse(*place));
        // What came again after a commit that failed stands there twice: the last one was acknowledged, if any.
        let (mut later, mut superseded) = (Ranges::default(), BTreeSet::new());
        for (place, origin, commit, born) in relayed {
            let has_failed = spool.failed_writes.contains(&(place.file, commit));
            if has_failed || later.missing(&origin).is_empty() {
                superseded.insert(place);
                continue;
            }
            later.insert(&origin);
            if !self.unsure.contains(&place) {
                seen.insert(&origin, born);
            }
        }
        if !superseded.is_empty() {
            for list in self.requests.values_mut() {
                list.retain(|request| !superseded.contains(&request.place));
            }
        }
        if let Some(bounds) = spool.limits.gateway {
            seen.set_bounds(bounds);
            spool.seen = seen;
        }
    }

    /// Counts what a damaged batch had and no journal has: those of its requests whose journal was released.
    ///
    /// It is in the ledger with the checkpoint that says that the batch's write has failed, so it is counted once.
    fn count_unrescued(&mut self, spool: &mut Spool) {
        for (place, header) in std::mem::take(&mut self.fresh_bad) {
            let range = header.range;
            let requests = self.requests.get(&header.numbering());
            let in_journals = requests.into_iter().flatten().map(|r| r.header.range);
            let mut spans: Vec<(u64, u64)> = in_journals
                .map(|request| {
                    (
                        request.first.max(range.first),
                        request.end().min(range.end()),
                    )
                })
                .filter(|(first, end)| first < end)
                .collect();
            // A journal may stand there twice, under two names.
            spans.sort_unstable();
            let (mut lost, mut end) = (range.count, range.first);
            for (first, until) in spans {
                lost -= until.saturating_sub(first.max(end));
                end = end.max(until);
            }
            self.report.damaged_items[range.signal.index()] += lost;
            spool.accounting.recover(range.signal, lost);
            spool.lose(place.file, Lost::of(&header, lost, DropReason::Damaged));
        }
    }

    /// Takes over what only the journals have, in order, as batches to be sealed.
    fn add_requests(&mut self, spool: &mut Spool, now: Mono) {
        for (numbering, mut requests) in std::mem::take(&mut self.requests) {
            let sealed = spool.sealed.get(&numbering).copied().unwrap_or(0);
            let good = self.good.remove(&numbering).unwrap_or_default();
            let bad = self.bad.remove(&numbering).unwrap_or_default();
            requests.sort_by_key(|request| request.header.range.first);
            let mut end = 0;
            // Notes of these say, now or later, that all below them is sealed.
            let passed = good.iter().map(|batch| batch.range.end());
            let passed = passed.fold(sealed, u64::max);
            // How far the numbering is sealed without a hole. Its batches are on disk and need no watermark yet, but once they are
            // finished and their segment is gone, their notes go with the journal that has them, and these requests may stay longer.
            let mut batched_end = None;
            let mut has_unsealed = false;
            for request in requests {
                let range = request.header.range;
                let is_batched = good.iter().any(|batch| overlap(batch, &request.header));
                let is_rescued = bad.iter().any(|batch| overlap(batch, &request.header));
                let mark = unsealed(request.place);
                let is_unsealed = spool.failed_writes.contains(&mark);
                // Sealed, finished, and its segment deleted; unless its batch may be what cannot be read, now or at an earlier start.
                let is_gone =
                    range.end() <= sealed && !self.has_holes && !is_rescued && !is_unsealed;
                if is_batched && !has_unsealed {
                    batched_end = Some(range.end());
                }
                if is_batched || is_gone || range.first < end {
                    continue;
                }
                let Some(body) = request.body else {
                    if self.checkpoint.finished.contains(&request.place) {
                        if let Some(journal) = spool.journals.get_mut(&request.place.file) {
                            journal.ledgered.insert(request.place.offset);
                        }
                        continue;
                    }
                    let commit = request.header.commit;
                    let has_failed = spool.failed_writes.contains(&(request.place.file, commit));
                    // The last commit of a boot may have been cut short by its crash, before the ack.
                    if has_failed || self.last_commit.get(&range.boot) == Some(&commit) {
                        self.report.torn_items += range.count;
                    } else {
                        self.damaged.push((request.place, request.header));
                    }
                    continue;
                };
                end = range.end();
                has_unsealed = true;
                if range.first < passed {
                    // What tells today that its batch is lost may be gone at the next start.
                    spool.failed_writes.insert(mark);
                }
                self.report.requests += 1;
                self.report.items[range.signal.index()] += range.count;
                spool.accounting.recover(range.signal, range.count);
                if let Some(journal) = spool.journals.get_mut(&request.place.file) {
                    journal.unsealed += 1;
                }
                let born = request.header.born_min;
                spool.grow_batch(now, request.place.file, range, body, born);
            }
            spool.close_batch(numbering.1);
            if let Some(end) = batched_end {
                let sealed = spool.sealed.entry(numbering).or_default();
                *sealed = end.max(*sealed);
            }
        }
    }
}

fn overlap(one: &Header, other: &Header) -> bool {
    let (one, other) = (&one.range, &other.range);
    one.store == other.store
        && (one.boot, one.class) == (other.boot, other.class)
        && one.first < other.end()
        && other.first < one.end()
}
