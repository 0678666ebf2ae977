//! What an operator does with what is stored: take batches out, drop them, put others in.
//!
//! Taking out is what an exporter does: a batch is *under way* from [`Spool::reserve`] until [`Spool::dropped`] or
//! [`Spool::failed`], and nobody else gets it meanwhile. Putting in is a seal whose batch stands in no journal: it counts
//! when it is synced, so whoever put it in must wait for that. Next: `outbox`.

use std::ops::Bound;

use bytes::Bytes;

use super::{
    BatchRef, Entry, FileId, FileKind, Lost, Open, RouteId, Sending, Spool, intake::services_of,
};
use crate::core::{
    Mono, accounting::DropReason, class::ClassName, frame::Place, lane::Lane, range::ItemRange,
    selection::Selection,
};

/// What a step of [`Spool::reserve`] gives.
#[derive(Clone, Debug)]
pub enum Reserve {
    /// First read the headers of this segment ([`Spool::index_loaded`]), then ask again.
    Load(FileId, u64),
    /// What one segment had.
    Segment(Reserved),
    /// There is no further segment.
    End,
}

/// Batches of one segment that are under way from now on.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// The segment's number: ask on behind it.
    pub segment: u64,
    /// The batches.
    pub batches: Vec<BatchRef>,
    /// Items that are meant, and on their way to the destination.
    pub busy_items: u64,
    /// Items of batches that are meant in part only: they stay.
    pub partial_items: u64,
}

impl Spool {
    /// Reserves the batches of the first segment behind `after` that a selection covers. With `is_trial` they are told, and
    /// not reserved.
    pub fn reserve(
        &mut self,
        selection: &Selection,
        after: Option<u64>,
        is_trial: bool,
    ) -> Reserve {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut segments = self.segments.range((from, Bound::Unbounded));
        let next = segments.find(|(_, segment)| segment.batches > 0 && segment.doomed.is_none());
        let Some((&segment_number, segment)) = next else {
            return Reserve::End;
        };
        let Some(entries) = &segment.entries else {
            let kind = FileKind::Batches;
            let number = segment_number;
            return Reserve::Load(FileId { kind, number }, segment.size.bytes);
        };
        let mut reserved = Reserved {
            segment: segment_number,
            ..Reserved::default()
        };
        let waiting = entries
            .iter()
            .filter(|entry| !segment.finished.contains(&entry.offset));
        let mut taken: Vec<(Place, Entry)> = Vec::new();
        for entry in waiting.filter(|entry| selection.touches(&entry.header)) {
            let place = Place {
                file: segment_number,
                offset: entry.offset,
            };
            let items = entry.header.range.count;
            if self.sending.contains_key(&place) {
                reserved.busy_items += items;
            } else if selection.covers(&entry.header) {
                taken.push((place, *entry));
            } else {
                reserved.partial_items += items;
            }
        }
        for (place, entry) in taken {
            let header = entry.header;
            let lane = Lane::Backfill;
            reserved.batches.push(BatchRef {
                place,
                header,
                lane,
                route: RouteId::OPERATOR,
            });
            if !is_trial {
                let by = RouteId::OPERATOR.bit();
                self.sending.insert(place, Sending { entry, by });
            }
        }
        Reserve::Segment(reserved)
    }

    /// A reserved batch is gone, for that reason.
    pub fn dropped(&mut self, batch: &BatchRef, reason: DropReason) {
        if let Some(entry) = self.end_send(batch) {
            let lost = Lost::of(&entry.header, entry.header.range.count, reason);
            self.lose(batch.place.file, lost);
            self.finish(batch.place.file, &entry);
        }
    }

    /// Has every open batch sealed at once, so that it can be taken out.
    pub fn close_batches(&mut self) {
        let classes: Vec<ClassName> = self.queues.keys().copied().collect();
        for class in classes {
            self.close_batch(class);
        }
    }

    /// Whether every finished batch is noted on disk.
    pub fn is_noted(&self) -> bool {
        self.notes.is_empty() && self.takes.is_empty() && self.committing.is_none()
    }

    /// Whether a journal of this start is on disk; has one made if not. Journals alone say whose buffer it is: one that holds
    /// nothing but batches of others would go on with their number, and give away their ranges a second time.
    pub fn claim(&mut self) -> bool {
        self.wants_journal |= self.journal.is_none();
        self.journal.is_some()
    }

    /// Puts a batch in, after [`Spool::claim`]; false if there is no room for it. It is stored, and counted, when it is sealed
    /// ([`Spool::is_unsealed`]).
    pub fn import(
        &mut self,
        now: Mono,
        range: ItemRange,
        request: Bytes,
        born: (u64, u64),
    ) -> bool {
        assert!(range.count > 0, "a batch without items needs no place");
        let bytes = request.len() as u64;
        self.queue_mut(range.class);
        if self.lack(range.class, bytes).is_some() {
            return false;
        }
        self.closing.push_back(Open {
            services: services_of(range.signal, &request, range.count),
            range,
            pieces: vec![request],
            raw_bytes: bytes,
            born_min: born.0,
            born_max: born.1,
            since: now,
            journals: std::collections::BTreeMap::new(),
        });
        true
    }

    /// Whether exactly this range waits to be sealed.
    pub fn is_unsealed(&self, range: &ItemRange) -> bool {
        self.unsealed().any(|open| open.range == *range)
    }
}
