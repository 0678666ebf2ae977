//! Open batches into segments: what is due, where the compressed batch goes, and what that frees. Next: `outbox`.

use bytes::Bytes;

use super::{
    BatchInfo, Entry, Event, FileId, FileKind, Open, Queue, SEGMENT_BATCHES, Segment, Spool,
    in_blocks,
};
use crate::{
    config::Codec,
    core::{
        Mono,
        class::ClassName,
        codec::CodecId,
        frame::{self, Header, Kind, Place},
    },
};

/// What may be held open beyond its delay, in full batches: a half of what the shell lets wait for compression, and a part of the
/// memory that the collector promises to stay within.
const HELD_BATCHES: u64 = 4;

/// A batch to compress: its body is the concatenation of the pieces.
#[derive(Clone, Debug)]
pub struct SealWork {
    /// How to compress it.
    pub codec: Codec,
    /// Requests in their order.
    pub pieces: Vec<Bytes>,
}

/// Where a compressed batch goes.
#[derive(Clone, Debug)]
pub struct Placement {
    /// A segment that is closed before: best effort, it only makes recovery faster.
    pub footer: Option<(FileId, u64, Bytes)>,
    /// The segment.
    pub file: FileId,
    /// Whether it is new: create it, and sync the directory before the batch counts.
    pub create: bool,
    /// Where the bytes go.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

#[derive(Debug)]
pub(in crate::core) struct Sealing {
    pub(super) open: Open,
    /// The segment it goes to, whether that is new, its entry and its frame's length.
    placed: Option<(u64, bool, Entry, u64)>,
}

impl Sealing {
    /// Bytes that are being written; 0 before it is known where.
    pub(super) fn placed_bytes(&self) -> u64 {
        self.placed.map_or(0, |(.., bytes)| bytes)
    }
}

impl Spool {
    /// A batch that is due; `None` if there is none or one is under way.
    pub fn begin_seal(&mut self, now: Mono) -> Option<SealWork> {
        if self.sealing.is_some() {
            return None;
        }
        let due = self.queues.iter().filter(|(_, queue)| {
            let open = queue.open.as_ref();
            open.is_some_and(|open| now >= self.due_at(queue, open))
        });
        let due: Vec<ClassName> = due.map(|(class, _)| *class).collect();
        for class in due {
            self.close_batch(class);
        }
        let open = self.closing.pop_front()?;
        let work = SealWork {
            codec: self.limits.codec,
            pieces: open.pieces.clone(),
        };
        self.sealing = Some(Sealing { open, placed: None });
        Some(work)
    }

    /// When a batch will be due by age.
    pub fn seal_deadline(&self) -> Option<Mono> {
        if !self.closing.is_empty() {
            return Some(Mono::default());
        }
        let queues = self.queues.values();
        let due = queues.filter_map(|queue| Some(self.due_at(queue, queue.open.as_ref()?)));
        due.min()
    }

    /// When an open batch is to be sealed though it is not full.
    ///
    /// A frame of few requests compresses badly. While nobody waits for batches ([`Spool::hold_open`]) one may grow: a
    /// journal has its requests. It ends when that journal is not written to any more, for what is not sealed keeps a
    /// journal, or with an eighth of the time to live, as a segment does.
    fn due_at(&self, queue: &Queue, open: &Open) -> Mono {
        let delay = self.limits.batch_delay;
        let journal = self.journal.map(|(number, _)| number);
        let may_grow = self.holds_open
            && open.journals.keys().next().copied() == journal
            && self.unsealed_bytes() <= HELD_BATCHES * self.limits.batch_bytes;
        if !may_grow {
            return open.since.after(delay);
        }
        let patience = self.limits.batch_delay_down;
        let patience = queue
            .limits
            .ttl
            .map_or(patience, |ttl| patience.min(ttl / 8));
        open.since.after(delay.max(patience))
    }

    /// Whether batches that are not full wait for `batch_delay_down`: there is no destination, or it is down.
    pub fn hold_open(&mut self, may: bool) {
        self.holds_open = may;
    }

    /// From now on batches are compressed with another codec: the destination refused this one.
    pub fn set_codec(&mut self, codec: Codec) {
        self.limits.codec = codec;
    }

    /// Where the compressed batch goes.
    ///
    /// # Panics
    /// If no seal is under way.
    pub fn place_batch(&mut self, codec: CodecId, body: &Bytes) -> Placement {
        let frame_bytes = frame::frame_bytes(body.len());
        let open = &self.sealing.as_ref().expect("a seal is under way").open;
        let (class, born_max) = (open.range.class, open.born_max);
        let footer = self.close_full_segment(class, frame_bytes, born_max);
        let (number, create) = match self.queue_mut(class).segment {
            Some(number) => (number, false),
            None => (self.new_file(), true),
        };
        let offset = self.segments.get(&number).map_or(0, |s| s.size.bytes);
        let open = &self.sealing.as_ref().expect("a seal is under way").open;
        let header = Header {
            codec,
            raw_bytes: open.raw_bytes as u32,
            range: open.range,
            born_min: open.born_min,
            born_max: open.born_max,
            ..self.header(Kind::Batch, 0, 0)
        };
        let base = Place {
            file: number,
            offset,
        };
        let mut out = Vec::with_capacity(frame_bytes as usize);
        let header = frame::append(&mut out, base, header, body);
        let entry = Entry { offset, header };
        let sealing = self.sealing.as_mut().expect("a seal is under way");
        sealing.placed = Some((number, create, entry, frame_bytes));
        Placement {
            footer,
            file: FileId {
                kind: FileKind::Batches,
                number,
            },
            create,
            offset,
            bytes: out.into(),
        }
    }

    /// Stops writing to a segment that is full, or large enough to be given back now, or spans so much time that its oldest
    /// batches would wait long for the youngest to get too old. Returns its footer.
    fn close_full_segment(
        &mut self,
        class: ClassName,
        frame_bytes: u64,
        born: u64,
    ) -> Option<(FileId, u64, Bytes)> {
        let most = self.file_bytes_max();
        let queue = self.queue_mut(class);
        let number = queue.segment?;
        let (limit, ttl) = (queue.segment_bytes.min(most), queue.limits.ttl);
        let Some(segment) = self.segments.get_mut(&number) else {
            self.queue_mut(class).segment = None;
            return None;
        };
        let count = segment.entries.as_ref().map_or(0, Vec::len);
        let span = born.saturating_sub(segment.births.oldest);
        let is_full = segment.size.bytes + frame_bytes > limit
            || count >= SEGMENT_BATCHES
            || segment.doomed.is_some()
            || ttl.is_some_and(|ttl| u128::from(span) > ttl.as_nanos() / 8);
        let is_spent = segment.batches == 0 && segment.size.bytes > limit / 8;
        if !is_full && !is_spent {
            return None;
        }
        self.queue_mut(class).segment = None;
        let segment = self.segments.get_mut(&number).expect("looked up above");
        if segment.batches == 0 {
            self.retire_if_empty(number);
            return None;
        }
        let entries: Vec<(u64, Header)> = segment
            .entries
            .iter()
            .flatten()
            .map(|entry| (entry.offset, entry.header))
            .collect();
        let offset = segment.size.bytes;
        let base = Place {
            file: number,
            offset,
        };
        let template = self.header(Kind::Index, 0, 0);
        let footer = frame::encode_footer(base, template, &entries);
        self.grow_segment(number, footer.len() as u64);
        let segment = self.segments.get_mut(&number).expect("looked up above");
        // A backlog must not grow memory: the index is read again when its turn comes.
        if !self.sending.keys().any(|place| place.file == number) {
            segment.unload();
        }
        let kind = FileKind::Batches;
        Some((FileId { kind, number }, offset, footer.into()))
    }

    /// The batch is synced, or was not: then it will be tried again in another segment. It stays in the journal until then.
    pub fn seal_done(&mut self, is_synced: bool) {
        let Sealing { open, placed } = self.sealing.take().expect("a seal is under way");
        let Some((number, is_new, entry, bytes)) = placed else {
            self.closing.push_front(open);
            return;
        };
        let class = open.range.class;
        if !is_synced {
            self.queue_mut(class).segment = None;
            if is_new {
                let kind = FileKind::Batches;
                let disk_bytes = in_blocks(bytes, self.limits.block_bytes);
                self.garbage.insert(FileId { kind, number }, disk_bytes);
            } else if let Some(segment) = self.segments.get_mut(&number) {
                // The frame may be in the file all the same: it is not a batch of ours.
                segment.finished.insert(entry.offset);
                self.grow_segment(number, bytes);
                self.failed_writes.insert((number, entry.offset));
                self.retire_if_empty(number);
            }
            self.closing.push_front(open);
            return;
        }
        if is_new {
            let mut segment = Segment::new(class);
            segment.entries = Some(Vec::new());
            self.add_segment(number, segment);
        }
        self.grow_segment(number, bytes);
        let queue = self.queue_mut(class);
        queue.segment = Some(number);
        queue.ratio = f64::from(entry.header.payload_bytes) / open.raw_bytes.max(1) as f64;
        let segment = self
            .segments
            .get_mut(&number)
            .expect("kept while it is written");
        segment.add(&entry.header);
        self.ledger.sealed(number, &open.services);
        if let Some(entries) = &mut segment.entries {
            entries.push(entry);
        }
        if open.journals.is_empty() {
            // It was put in from outside, and is durable from now on.
            self.accounting.accept(open.range.signal, open.range.count);
        } else {
            let numbering = (open.range.boot, open.range.class);
            let sealed = self.sealed.entry(numbering).or_default();
            *sealed = open.range.end().max(*sealed);
        }
        for (journal, requests) in open.journals {
            let journal = self
                .journals
                .get_mut(&journal)
                .expect("a journal stays while it holds what is not sealed");
            journal.unsealed -= requests;
        }
        self.events
            .push(Event::Sealed(BatchInfo::of(&entry.header)));
        self.release_journals();
    }
}
