//! Items that were refused one by one: where they are put aside, and how they leave again because an operator says so.
//!
//! # How items leave
//! A quarantine file is released as a whole: [`Spool::begin_release`]; then what goes back becomes batches in new segments
//! ([`Spool::put_back`]), what is deleted is only counted ([`Release::delete`]), and what stays is copied to a new quarantine
//! file ([`Spool::keep_aside`]). When all of that is written and synced, [`Spool::released`] makes it count, all of it at once:
//! one frame of the next commit says that the old file is finished, and what the account is. If anything fails before,
//! [`Spool::release_failed`] leaves everything as it was.
//!
//! So does a crash before that commit. A batch that was put back names its old file in its header, and does not count while
//! that file is there and not finished (`core::recovery`). Copies of what stays may then stand in two files, with the same
//! range: whoever reads the quarantine takes a range once.
//!
//! A frame may also belong to a batch that still waits, for a batch is settled as a whole: its item is in the buffer, not in the
//! quarantine, and whoever releases leaves it where it is. Next: `outbox`, where items are refused.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    BatchInfo, Entry, Event, FileId, FileKind, Lost, Placement, SEGMENT_BATCHES, Segment, Size,
    Spool, in_blocks, intake::services_of, size::growth_max,
};
use crate::{
    core::{
        accounting::DropReason,
        class::ClassName,
        codec::CodecId,
        frame::{self, Header, Kind, Place},
        ledger::Services,
        notes::{Note, whole},
        range::ItemRange,
    },
    otlp::Signal,
};

/// A quarantine file under release: files that were made for it, and what is deleted.
#[derive(Debug)]
pub struct Release {
    /// Number of the old file.
    from: u64,
    /// New segments.
    segments: BTreeMap<u64, Made>,
    /// New quarantine file, and its length.
    aside: Option<(u64, u64)>,
    /// What is deleted, by signal and class.
    deleted: BTreeMap<(Signal, ClassName), Deleted>,
}

/// A new segment.
#[derive(Debug)]
struct Made {
    class: ClassName,
    bytes: u64,
    entries: Vec<Entry>,
    services: Services,
}

/// Items that are deleted.
#[derive(Debug)]
struct Deleted {
    items: u64,
    services: Services,
    born: (u64, u64),
}

/// Items that go back as one batch.
#[derive(Clone, Debug)]
pub struct Returned {
    range: ItemRange,
    born: (u64, u64),
    pieces: Vec<Bytes>,
    raw_bytes: u64,
    services: Services,
}

impl Returned {
    /// A batch of one item, with the request that holds it alone. Where nobody knows when it came in, it comes in now.
    pub fn new(header: &Header, request: Bytes, unix_now: u64) -> Self {
        let born = match (header.born_min, header.born_max) {
            (0, 0) => (unix_now, unix_now),
            born => born,
        };
        let range = header.range;
        Self {
            range,
            born,
            raw_bytes: request.len() as u64,
            services: services_of(range.signal, &request, range.count),
            pieces: vec![request],
        }
    }

    /// Adds the items of another batch if they follow, and all of it has at most so many bytes; gives it back otherwise.
    ///
    /// What was refused together is sent together: whoever put a thousand items back does not want a thousand requests.
    ///
    /// # Errors
    /// With the other batch, if it does not follow.
    pub fn join(&mut self, other: Self, bytes_max: u64) -> Result<(), Box<Self>> {
        let follows = ItemRange {
            first: self.range.end(),
            count: other.range.count,
            ..self.range
        };
        if other.range != follows || self.raw_bytes + other.raw_bytes > bytes_max {
            return Err(Box::new(other));
        }
        self.range.count += other.range.count;
        self.born.0 = self.born.0.min(other.born.0);
        self.born.1 = self.born.1.max(other.born.1);
        self.pieces.extend(other.pieces);
        self.raw_bytes += other.raw_bytes;
        self.services.merge(&other.services);
        Ok(())
    }

    /// Its requests, whose concatenation is the batch.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }
}

impl Release {
    /// The item of this request is deleted.
    pub fn delete(&mut self, header: &Header, request: &[u8]) {
        let range = &header.range;
        let key = (range.signal, range.class);
        let deleted = self.deleted.entry(key).or_insert_with(|| Deleted {
            items: 0,
            services: Services::default(),
            born: (u64::MAX, 0),
        });
        deleted.items += range.count;
        let services = services_of(range.signal, request, range.count);
        deleted.services.merge(&services);
        deleted.born.0 = deleted.born.0.min(header.born_min);
        deleted.born.1 = deleted.born.1.max(header.born_max);
    }

    /// All files that were made, with their lengths.
    fn files(&self) -> impl Iterator<Item = (FileId, u64)> {
        let file = |kind| move |(number, bytes)| (FileId { kind, number }, bytes);
        let segments = self
            .segments
            .iter()
            .map(|(number, made)| (*number, made.bytes));
        let segments = segments.map(file(FileKind::Batches));
        segments.chain(self.aside.into_iter().map(file(FileKind::Quarantine)))
    }
}

impl Spool {
    /// What the quarantine takes on disk.
    pub fn quarantine_bytes(&self) -> u64 {
        self.quarantines.values().map(|size| size.disk_bytes).sum()
    }

    /// Where a refused item goes: its words (length as u32, text), then the request that holds it alone.
    ///
    /// Like a batch it counts only after write and sync; then [`Spool::quarantined`]. One at a time. `None` if the disk or
    /// the quarantine is full ([`Limits::quarantine_bytes`](super::Limits::quarantine_bytes)): then the item stays in its batch.
    pub fn place_quarantined(
        &mut self,
        range: ItemRange,
        words: &str,
        request: &[u8],
    ) -> Option<Placement> {
        let bytes = frame::frame_bytes(4 + words.len() + request.len());
        let bytes = growth_max(bytes, self.limits.block_bytes);
        let is_full = self.disk_bytes() + bytes > self.quota_bytes();
        if is_full || self.quarantine_bytes() + bytes > self.limits.quarantine_bytes() {
            return None;
        }
        let file_bytes = self.limits.quarantine_file_bytes();
        let (number, offset) = match self.quarantine {
            Some(current) if current.1 < file_bytes => current,
            _ => (self.new_file(), 0),
        };
        let mut payload = Vec::with_capacity(4 + words.len() + request.len());
        payload.extend((words.len() as u32).to_le_bytes());
        payload.extend(words.as_bytes());
        payload.extend(request);
        let mut batches = self.sending.values().map(|sending| &sending.entry.header);
        let batch = batches.find(|batch| batch.range.contains(&range));
        let (born_min, born_max) = batch.map_or((0, 0), |batch| (batch.born_min, batch.born_max));
        let header = Header {
            codec: CodecId::None,
            range,
            born_min,
            born_max,
            ..self.header(Kind::Quarantined, 0, payload.len())
        };
        let base = Place {
            file: number,
            offset,
        };
        let mut out = Vec::new();
        frame::append(&mut out, base, header, &payload);
        let size = self.quarantines.entry(number).or_default();
        size.grow(out.len() as u64, self.limits.block_bytes);
        self.quarantine = Some((number, offset + out.len() as u64));
        Some(self.placed(FileKind::Quarantine, base, out))
    }

    /// Writing this to the quarantine failed: the next item goes to another file.
    pub fn quarantine_failed(&mut self, placement: &Placement) {
        self.quarantine = None;
        if placement.create {
            // It holds nothing that counts, and many failures must not fill the quarantine.
            let bytes = placement.bytes.len() as u64;
            let bytes = in_blocks(bytes, self.limits.block_bytes);
            self.other_bytes -= bytes;
            self.quarantines.remove(&placement.file.number);
            self.garbage.insert(placement.file, bytes);
        }
    }

    /// Quarantine files with their lengths. What is refused from now on goes to another one.
    pub fn close_quarantine(&mut self) -> Vec<(FileId, u64)> {
        self.quarantine = None;
        self.quarantined_files().collect()
    }

    /// Quarantine files with their lengths.
    pub fn quarantined_files(&self) -> impl Iterator<Item = (FileId, u64)> {
        let kind = FileKind::Quarantine;
        let files = self.quarantines.iter();
        files.map(move |(number, size)| {
            (
                FileId {
                    kind,
                    number: *number,
                },
                size.bytes,
            )
        })
    }

    /// Begins to release a file of [`Spool::close_quarantine`]; one at a time. `None` if it is gone.
    pub fn begin_release(&mut self, file: FileId) -> Option<Release> {
        self.quarantine
            .take_if(|(current, _)| *current == file.number);
        self.quarantines
            .contains_key(&file.number)
            .then(|| Release {
                from: file.number,
                segments: BTreeMap::new(),
                aside: None,
                deleted: BTreeMap::new(),
            })
    }

    /// Where a batch goes that is put back; `None` if its class has no room for it.
    pub fn put_back(
        &mut self,
        release: &mut Release,
        batch: &Returned,
        codec: CodecId,
        body: &Bytes,
    ) -> Option<Placement> {
        let class = batch.range.class;
        let limit = self.queue_mut(class).segment_bytes;
        if self.lack(class, batch.raw_bytes).is_some() {
            return None;
        }
        let frame_bytes = frame::frame_bytes(body.len());
        let has_room = |made: &Made| {
            made.class == class
                && made.bytes + frame_bytes <= limit
                && made.entries.len() < SEGMENT_BATCHES
        };
        let mut segments = release.segments.iter().rev();
        let number = segments.find(|(_, made)| has_room(made)).map(|(n, _)| *n);
        let number = number.unwrap_or_else(|| self.new_file());
        let made = release.segments.entry(number).or_insert_with(|| Made {
            class,
            bytes: 0,
            entries: Vec::new(),
            services: Services::default(),
        });
        let offset = made.bytes;
        let header = Header {
            codec,
            raw_bytes: batch.raw_bytes as u32,
            range: batch.range,
            born_min: batch.born.0,
            born_max: batch.born.1,
            commit: release.from,
            ..self.header(Kind::Batch, 0, 0)
        };
        let base = Place {
            file: number,
            offset,
        };
        let mut out = Vec::with_capacity(frame_bytes as usize);
        let header = frame::append(&mut out, base, header, body);
        made.bytes += out.len() as u64;
        made.entries.push(Entry { offset, header });
        made.services.merge(&batch.services);
        Some(self.placed(FileKind::Batches, base, out))
    }

    /// Where an item goes that stays in the quarantine, damaged or not; `None` if the disk has no room for the copy.
    pub fn keep_aside(
        &mut self,
        release: &mut Release,
        header: &Header,
        payload: &[u8],
    ) -> Option<Placement> {
        let bytes = frame::frame_bytes(payload.len());
        let bytes = growth_max(bytes, self.limits.block_bytes);
        if self.disk_bytes() + bytes > self.quota_bytes() {
            return None;
        }
        let (number, offset) = release.aside.unwrap_or_else(|| (self.new_file(), 0));
        let base = Place {
            file: number,
            offset,
        };
        let mut out = Vec::new();
        frame::append_as_is(&mut out, base, header, payload);
        release.aside = Some((number, offset + out.len() as u64));
        Some(self.placed(FileKind::Quarantine, base, out))
    }

    /// Bytes of a file that counts among the others until it is done with.
    fn placed(&mut self, kind: FileKind, at: Place, bytes: Vec<u8>) -> Placement {
        let block = self.limits.block_bytes;
        self.other_bytes += Size::of(at.offset, block).grow(bytes.len() as u64, block);
        let number = at.file;
        Placement {
            footer: None,
            file: FileId { kind, number },
            create: at.offset == 0,
            offset: at.offset,
            bytes: bytes.into(),
        }
    }

    /// Ends of the segments that were made, to be written before the sync: they make recovery faster.
    pub fn release_footers(&mut self, release: &mut Release) -> Vec<(FileId, u64, Bytes)> {
        let block = self.limits.block_bytes;
        let mut footers = Vec::new();
        for (number, made) in &mut release.segments {
            let entries: Vec<(u64, Header)> = made
                .entries
                .iter()
                .map(|entry| (entry.offset, entry.header))
                .collect();
            let base = Place {
                file: *number,
                offset: made.bytes,
            };
            let footer = frame::encode_footer(base, self.header(Kind::Index, 0, 0), &entries);
            let mut size = Size::of(made.bytes, block);
            self.other_bytes += size.grow(footer.len() as u64, block);
            made.bytes = size.bytes;
            let (kind, number) = (FileKind::Batches, *number);
            footers.push((FileId { kind, number }, base.offset, footer.into()));
        }
        footers
    }

    /// All files of a release are synced, and so is the directory: it counts from now on, and is durable with the next commit.
    pub fn released(&mut self, release: Release, unix_now: u64) {
        self.unix_now = unix_now;
        self.uncount(&release);
        let block = self.limits.block_bytes;
        for (number, made) in release.segments {
            let mut segment = Segment::new(made.class);
            segment.size = Size::of(made.bytes, block);
            for entry in &made.entries {
                let range = &entry.header.range;
                segment.add(&entry.header);
                self.readmit(range.signal, range.count);
                self.events
                    .push(Event::Sealed(BatchInfo::of(&entry.header)));
            }
            self.add_segment(number, segment);
            self.ledger.sealed(number, &made.services);
        }
        if let Some((number, bytes)) = release.aside {
            let size = Size::of(bytes, block);
            self.other_bytes += size.disk_bytes;
            self.quarantines.insert(number, size);
        }
        for ((signal, class), deleted) in release.deleted {
            self.readmit(signal, deleted.items);
            let lost = Lost {
                signal,
                class,
                reason: DropReason::Purged,
                items: deleted.items,
                born: deleted.born,
            };
            self.lose_of(&deleted.services, lost);
        }
        let (kind, number) = (FileKind::Quarantine, release.from);
        if let Some(size) = self.quarantines.remove(&number) {
            self.other_bytes -= size.disk_bytes;
            self.leaving
                .insert(FileId { kind, number }, size.disk_bytes);
        }
        if self.quarantines.is_empty() {
            self.lose_unfound();
        }
        // The class says nothing where nothing was sealed.
        let note = Note::of_place(whole(number), Signal::Logs.into());
        self.notes.push(note);
    }

    /// No file of the quarantine is left, so what the account still has in it is in none: headers that rotted, or files that were
    /// taken away.
    fn lose_unfound(&mut self) {
        for signal in Signal::ALL {
            let items = self.lifetime(signal).quarantined;
            self.readmit(signal, items);
            let lost = Lost {
                signal,
                class: signal.into(),
                reason: DropReason::Damaged,
                items,
                born: (self.unix_now, self.unix_now),
            };
            self.lose_of(&Services::default(), lost);
        }
    }

    /// A release was given up: everything stays as it was.
    pub fn release_failed(&mut self, release: &Release) {
        self.uncount(release);
        let block = self.limits.block_bytes;
        let files = release.files();
        self.garbage
            .extend(files.map(|(file, bytes)| (file, in_blocks(bytes, block))));
    }

    /// What a release has written is no other file any more.
    fn uncount(&mut self, release: &Release) {
        let block = self.limits.block_bytes;
        let files = release.files();
        let taken: u64 = files.map(|(_, bytes)| in_blocks(bytes, block)).sum();
        self.other_bytes -= taken;
    }

    /// Items leave the quarantine and are stored again. First go those of earlier starts, which are found in the buffer with
    /// that; so do those that the account never heard of, because power was lost between the item and its note.
    fn readmit(&mut self, signal: Signal, items: u64) {
        let earlier = self.ledger.take_quarantined(signal, items);
        let now = self.accounting.release(signal, items - earlier);
        self.accounting.recover(signal, items - now);
    }
}
