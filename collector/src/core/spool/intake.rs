//! Requests into the journal: admission against the quota, and group commits. Next: `seal`.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    COMMIT_BYTES, Event, FileId, FileKind, Open, Pending, RESERVE_BYTES, Spool, in_blocks,
    queue::Lack,
};
use crate::{
    config::OnFull,
    core::{
        Mono,
        accounting::DropReason,
        class::ClassName,
        codec::CodecId,
        frame::{self, Header, Kind, Place},
        ledger::{self, Services},
        notes::{Checkpoint, Note, encode_notes, whole},
        range::ItemRange,
        seen::{
            News,
            wire::{self, ORIGIN_BYTES},
        },
        takes::{self, Take},
    },
    otlp::{Signal, count_services},
};

/// Whether a request is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It waits for a commit and may be acknowledged after it, in the order of the calls.
    Queued,
    /// It was counted and thrown away: the buffer is full and drops what is newest. Acknowledge it.
    Discarded,
    /// The buffer is full: ask the sender to come back.
    Refused,
    /// Not all of its range is new, or a part of it is under way: ask [`Spool::seen`] what is.
    Known,
}

/// The items of a request that are of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The class.
    pub class: ClassName,
    /// How many items, 1 at least.
    pub items: u64,
    /// The request that holds them.
    pub body: Bytes,
}

/// Bytes of a group commit.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The journal segment.
    pub file: FileId,
    /// Whether it is new: create it, and sync the directory before the commit counts.
    pub create: bool,
    /// Where the bytes go.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
    /// How many requests are in it, whole ones, in the order of [`Spool::append`] and [`Spool::append_parts`].
    pub requests: usize,
}

#[derive(Debug)]
pub(in crate::core) struct Committing {
    journal: u64,
    commit: u64,
    is_new: bool,
    pub(super) bytes: u64,
    requests: Vec<(ItemRange, Pending)>,
    notes: Vec<Note>,
    takes: Vec<Take>,
    emptied: Vec<u64>,
    pub(super) leaving: BTreeMap<FileId, u64>,
}

/// Whose items a request holds; what it does not tell is nobody's.
pub(super) fn services_of(signal: Signal, body: &[u8], items: u64) -> Services {
    let mut services = Services::default();
    let mut left = items;
    for (service, count) in count_services(signal, body) {
        let count = count.min(left);
        services.add(service, count);
        left -= count;
    }
    if left > 0 {
        services.add("", left);
    }
    services
}

impl Spool {
    /// Takes in a request of `items` items (at least 1), born at `born` (unix nanoseconds), as one part.
    pub fn append(&mut self, signal: Signal, items: u64, body: Bytes, born: u64) -> Admission {
        let class = self.class_of(signal);
        self.append_parts(signal, &[Part { class, items, body }], born)
    }

    /// Takes in a request whose sender gave it that range, of as many items, at a gateway: if all of it is new; when its commit is
    /// synced the range is seen.
    pub fn append_from(&mut self, origin: ItemRange, part: &Part, born: u64) -> Admission {
        let is_its = origin.count == part.items;
        assert!(is_its, "{origin} is not of {} items", part.items);
        if self.seen.news(&origin) != News::All {
            return Admission::Known;
        }
        let admission = self.append_parts(origin.signal, std::slice::from_ref(part), born);
        if admission == Admission::Queued {
            let last = self.pending.back_mut().expect("it was queued");
            last.origin = Some(origin);
            self.seen.begin(origin);
        }
        admission
    }

    /// Takes in a request that was sorted by classes: all of it, or nothing. Where a class drops what is newest, its part may be thrown
    /// away and the others kept; it is [`Admission::Discarded`] if all of them are.
    pub fn append_parts(&mut self, signal: Signal, parts: &[Part], born: u64) -> Admission {
        assert!(!parts.is_empty(), "a request without items needs no place");
        self.unix_now = born;
        let before = self.pending.len();
        let mut full = Vec::new();
        // First those that may be refused, while nothing is thrown away.
        let may_refuse = |spool: &mut Self, part: &Part| {
            spool.queue_mut(part.class).limits.on_full != OnFull::DropNewest
        };
        for part in parts {
            if may_refuse(self, part) && !self.append_part(signal, part, born) {
                self.take_back(before);
                return Admission::Refused;
            }
        }
        for part in parts {
            if !may_refuse(self, part) && !self.append_part(signal, part, born) {
                full.push(part.clone());
            }
        }
        let is_queued = self.pending.len() > before;
        if let Some(last) = self.pending.back_mut().filter(|_| is_queued) {
            last.has_more = false;
            last.discards = full;
            return Admission::Queued;
        }
        for part in full {
            self.discard(signal, &part, born);
        }
        Admission::Discarded
    }

    /// Queues a part if there is room; whether there was.
    fn append_part(&mut self, signal: Signal, part: &Part, born: u64) -> bool {
        let Part { class, items, body } = part.clone();
        assert!(items > 0, "a part without items needs no place");
        let bytes = body.len() as u64;
        if !self.make_way(class, bytes) {
            return false;
        }
        self.pending_bytes += bytes;
        self.queue_mut(class).incoming_bytes += bytes;
        self.pending.push_back(Pending {
            class,
            signal,
            items,
            body,
            born,
            has_more: true,
            discards: Vec::new(),
            origin: None,
        });
        true
    }

    /// Forgets what was queued last, down to so many.
    fn take_back(&mut self, length: usize) {
        for part in self.pending.split_off(length) {
            let bytes = part.body.len() as u64;
            self.pending_bytes -= bytes;
            self.queue_mut(part.class).incoming_bytes -= bytes;
        }
    }

    /// Throws a part away that has no room, and counts it.
    fn discard(&mut self, signal: Signal, part: &Part, born: u64) {
        let (class, items, reason) = (part.class, part.items, DropReason::BufferFull);
        self.accounting.discard(signal, items, reason);
        self.ledger.record(&ledger::Drop {
            signal,
            class,
            reason,
            items,
            services: &services_of(signal, &part.body, items),
            born: (born, born),
            at: born,
        });
        self.events.push(Event::Dropped {
            signal,
            items,
            reason,
        });
    }

    /// Makes room for a request of so many bytes as its class's policy allows; false if there is none.
    pub(super) fn make_way(&mut self, class: ClassName, bytes: u64) -> bool {
        let on_full = self.queue_mut(class).limits.on_full;
        if self.lack(class, bytes).is_some() {
            self.reclaim();
        }
        while let Some(lack) = self.lack(class, bytes) {
            let may_drop = match on_full {
                OnFull::DropNewest => false,
                OnFull::DropOldest => true,
                // What others took beyond their shares goes whatever this class's own policy is.
                OnFull::Refuse => lack == Lack::Disk,
            };
            if !(may_drop && self.make_room(class, lack)) {
                return false;
            }
        }
        true
    }

    /// Gives back what is written to and holds nothing any more: waiting for it to be full would be waiting for ever, when
    /// the buffer is full and takes nothing in.
    fn reclaim(&mut self) {
        if self.holds_open {
            // Compressed they take less than in a journal, which goes then.
            self.close_batches();
        }
        let busy = self.sealing_segment();
        let segments = &self.segments;
        let is_spent = |number: &u64| segments.get(number).is_some_and(|s| s.batches == 0);
        let written = self.queues.values_mut().filter_map(|queue| {
            let number = queue.segment.filter(is_spent)?;
            (Some(number) != busy).then(|| queue.segment.take())?
        });
        let spent: Vec<u64> = written.collect();
        for number in spent {
            self.retire_if_empty(number);
        }
        // What is sealed still stands in journals; a new segment, with a checkpoint, releases them. Without one that is written
        // to, as after a start, old ones may be all there is: an empty buffer that refuses for ever.
        // A failed commit wants one, too: only its success says that the disk works again.
        self.wants_journal |= match self.journal {
            Some((number, _)) => self
                .journals
                .get(&number)
                .is_some_and(|journal| journal.unsealed == 0 && journal.size.bytes > RESERVE_BYTES),
            None => self.journals.values().any(|journal| journal.unsealed == 0),
        };
    }

    /// Whether there is something to commit.
    pub fn wants_commit(&self) -> bool {
        let is_idle = self.pending.is_empty()
            && self.notes.is_empty()
            && self.takes.is_empty()
            && self.leaving.is_empty()
            && !self.ledger.is_dirty()
            && !self.wants_journal;
        self.committing.is_none() && !is_idle
    }

    /// The next group commit; `None` if there is nothing to write or one is under way.
    pub fn begin_commit(&mut self) -> Option<Commit> {
        if !self.wants_commit() {
            return None;
        }
        let wants_journal = std::mem::take(&mut self.wants_journal);
        let current = self.journal.filter(|(number, _)| {
            !wants_journal
                && self
                    .journals
                    .get(number)
                    .is_some_and(|journal| journal.size.bytes < self.journal_bytes())
        });
        let (number, is_new) = match current {
            Some((number, _)) => (number, false),
            None => (self.new_file(), true),
        };
        let offset = self.journals.get(&number).map_or(0, |j| j.size.bytes);
        let base = Place {
            file: number,
            offset,
        };
        let commit = self.next_commit;
        self.next_commit += 1;

        let sums = Signal::ALL.map(|signal| self.lifetime(signal));
        // The room of what was dropped is given to requests only when it is noted, and the file is gone.
        let is_for_room = !self.leaving.is_empty();
        let mut out = Vec::with_capacity((self.pending_bytes.min(COMMIT_BYTES) + 4096) as usize);
        if is_new {
            let mut payload = self.checkpoint().encode();
            payload.extend(self.ledger.encode(sums));
            let header = self.header(Kind::Checkpoint, commit, payload.len());
            frame::append(&mut out, base, header, &payload);
        }
        let takes = std::mem::take(&mut self.takes);
        let told = if is_new {
            self.all_takes()
        } else {
            takes.clone()
        };
        if !told.is_empty() {
            let payload = takes::encode(told);
            let header = self.header(Kind::Takes, commit, payload.len());
            frame::append(&mut out, base, header, &payload);
        }
        let has_seen = self.limits.gateway.is_some() && self.seen.stores() > 0;
        if is_new && has_seen {
            let payload = self.seen.encode();
            let header = self.header(Kind::Seen, commit, payload.len());
            frame::append(&mut out, base, header, &payload);
        }
        let notes = std::mem::take(&mut self.notes);
        if !notes.is_empty() || self.ledger.has_changes() {
            // In one frame, so that a batch is finished and counted, or neither.
            let mut payload = encode_notes(&notes);
            payload.extend(self.ledger.encode_changes(sums));
            let header = self.header(Kind::Note, commit, payload.len());
            frame::append(&mut out, base, header, &payload);
        }
        let mut requests = Vec::new();
        let (mut raw_bytes, mut whole_requests, mut is_within) = (0, 0, false);
        while let Some(next) = self.pending.front().filter(|_| !is_for_room) {
            raw_bytes += next.body.len() as u64;
            // A request is durable with all of its parts, or not at all.
            if raw_bytes > COMMIT_BYTES && !requests.is_empty() && !is_within {
                break;
            }
            is_within = next.has_more;
            whole_requests += usize::from(!next.has_more);
            let next = self.pending.pop_front().expect("looked at above");
            self.pending_bytes -= next.body.len() as u64;
            let (store, boot) = (self.store, self.boot);
            let first = &mut self.queue_mut(next.class).next_seq;
            let range = ItemRange {
                store,
                boot,
                class: next.class,
                signal: next.signal,
                first: *first,
                count: next.items,
            };
            *first += next.items;
            let (kind, head_bytes) = match next.origin {
                None => (Kind::Request, 0),
                Some(_) => (Kind::Relayed, ORIGIN_BYTES),
            };
            let header = Header {
                range,
                born_min: next.born,
                born_max: next.born,
                ..self.header(kind, commit, next.body.len() + head_bytes)
            };
            match &next.origin {
                None => frame::append(&mut out, base, header, &next.body),
                Some(origin) => {
                    let payload = [&wire::origin(origin)[..], &next.body].concat();
                    frame::append(&mut out, base, header, &payload)
                }
            };
            requests.push((range, next));
        }
        let result = Commit {
            file: FileId {
                kind: FileKind::Journal,
                number,
            },
            create: is_new,
            offset,
            requests: whole_requests,
            bytes: out.into(),
        };
        self.committing = Some(Committing {
            journal: number,
            commit,
            is_new,
            bytes: result.bytes.len() as u64,
            requests,
            notes,
            takes,
            emptied: std::mem::take(&mut self.emptied),
            leaving: std::mem::take(&mut self.leaving),
        });
        Some(result)
    }

    /// The commit is synced, or was not: then its requests must not be acknowledged, and its segment is not written again.
    pub fn commit_done(&mut self, now: Mono, is_synced: bool) {
        let done = self.committing.take().expect("one commit is under way");
        let block = self.limits.block_bytes;
        let journal = self.journals.entry(done.journal).or_default();
        // Whatever of it reached the disk takes space.
        journal.size.grow(done.bytes, block);
        if is_synced {
            journal.unsealed += done.requests.len() as u64;
        }
        // Emptied segments go even if their notes were lost: a full disk must not keep what would free it. After a
        // crash such a batch may be sent again.
        for number in done.emptied {
            self.discard_segment(number);
        }
        // A quarantine file stays until it is noted: while it is there, what was put back from it counts by that note alone.
        let goes = |(file, _): &(FileId, u64)| is_synced || file.kind != FileKind::Quarantine;
        let (gone, stays): (Vec<_>, Vec<_>) = done.leaving.into_iter().partition(goes);
        self.garbage.extend(gone);
        self.leaving.extend(stays);
        for (_, request) in &done.requests {
            self.queue_mut(request.class).incoming_bytes -= request.body.len() as u64;
            if let Some(origin) = &request.origin {
                self.seen.end(origin, is_synced.then_some(request.born));
            }
        }
        if is_synced {
            self.journal = Some((done.journal, true));
            for (range, request) in done.requests {
                for part in &request.discards {
                    self.discard(range.signal, part, request.born);
                }
                self.accounting.accept(range.signal, range.count);
                self.grow_batch(now, done.journal, range, request.body, request.born);
            }
        } else {
            self.journal = None;
            // The next one is a new segment, and begins with all of the ledger.
            self.wants_journal = true;
            if done.is_new {
                // Nothing in it was ever acknowledged.
                self.journals.remove(&done.journal);
                let file = FileId {
                    kind: FileKind::Journal,
                    number: done.journal,
                };
                self.garbage.insert(file, in_blocks(done.bytes, block));
            } else {
                self.failed_writes.insert((done.journal, done.commit));
            }
            self.notes.splice(0..0, done.notes);
            self.takes.splice(0..0, done.takes);
            // The numbers of the lost requests are never used again, and a batch has no holes.
            for (range, _) in done.requests {
                self.close_batch(range.class);
            }
        }
        self.release_journals();
    }

    /// Adds an acknowledged request to its open batch.
    pub(in crate::core) fn grow_batch(
        &mut self,
        now: Mono,
        journal: u64,
        range: ItemRange,
        body: Bytes,
        born: u64,
    ) {
        let bytes = body.len() as u64;
        let services = services_of(range.signal, &body, range.count);
        let queue = self.queue_mut(range.class);
        let limit = queue.batch_bytes;
        if let Some(open) = &queue.open {
            let continues = open.range.boot == range.boot
                && open.range.end() == range.first
                && open.range.signal == range.signal;
            // A large request would make a batch much larger than the limit: let it have its own.
            let overflows = open.raw_bytes + bytes > limit && open.raw_bytes >= limit / 2;
            if !continues || overflows {
                self.close_batch(range.class);
            }
        }
        let open = self
            .queue_mut(range.class)
            .open
            .get_or_insert_with(|| Open {
                range: ItemRange { count: 0, ..range },
                services: Services::default(),
                pieces: Vec::new(),
                raw_bytes: 0,
                born_min: born,
                born_max: born,
                since: now,
                journals: BTreeMap::new(),
            });
        open.range.count += range.count;
        open.pieces.push(body);
        open.services.merge(&services);
        open.raw_bytes += bytes;
        open.born_min = open.born_min.min(born);
        open.born_max = open.born_max.max(born);
        *open.journals.entry(journal).or_default() += 1;
        if open.raw_bytes >= limit {
            self.close_batch(range.class);
        }
    }

    pub(in crate::core) fn close_batch(&mut self, class: ClassName) {
        let open = self.queue_mut(class).open.take();
        self.closing.extend(open);
    }

    fn checkpoint(&self) -> Checkpoint {
        let finished = self.segments.iter().flat_map(|(file, segment)| {
            let place = |offset: &u64| Place {
                file: *file,
                offset: *offset,
            };
            let failed = |place: &Place| self.failed_writes.contains(&(place.file, place.offset));
            segment
                .finished
                .iter()
                .map(place)
                .filter(move |place| !failed(place))
        });
        let ledgered = self.journals.iter().flat_map(|(file, journal)| {
            let place = |offset: &u64| Place {
                file: *file,
                offset: *offset,
            };
            journal.ledgered.iter().map(place)
        });
        // A file whose removal is not durable may come back.
        let garbage = self.garbage.keys().filter(|f| f.kind != FileKind::Journal);
        let gone = garbage.chain(self.leaving.keys()).map(|f| f.number);
        Checkpoint {
            sealed: self.sealed.clone(),
            finished: finished.chain(ledgered).chain(gone.map(whole)).collect(),
            failed: self.failed_writes.clone(),
        }
    }

    pub(super) fn header(&self, kind: Kind, commit: u64, raw_bytes: usize) -> Header {
        Header {
            kind,
            codec: CodecId::None,
            payload_bytes: 0,
            payload_crc: 0,
            raw_bytes: raw_bytes as u32,
            range: ItemRange {
                store: self.store,
                boot: self.boot,
                class: Signal::Traces.into(),
                signal: Signal::Traces,
                first: 0,
                count: 0,
            },
            born_min: 0,
            born_max: 0,
            commit,
        }
    }
}
