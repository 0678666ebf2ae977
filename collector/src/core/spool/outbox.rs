//! Sealed batches out: which goes next, what ends a batch, and which segments go to make room. See `core::recovery` next.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, RangeInclusive},
    time::Duration,
};

use super::{Entry, FileId, FileKind, Lost, RouteId, Segment, Sending, Size, Spool, routes::Aside};
use crate::{
    config::{Late, Order},
    core::{
        Mono,
        accounting::DropReason,
        class::ClassName,
        frame::{Header, Place},
        lane::{Ask, Births, Cuts, Lane},
        link::Gate,
        notes::{Note, whole},
        range::ItemRange,
        takes::Has,
    },
    otlp::Signal,
};

/// A batch that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRef {
    /// Where its frame stands.
    pub place: Place,
    /// Its header.
    pub header: Header,
    /// The lane that it was picked from.
    pub lane: Lane,
    /// Who has it under way.
    pub route: RouteId,
}

impl BatchRef {
    /// The segment that holds it.
    pub fn file(&self) -> FileId {
        FileId {
            kind: FileKind::Batches,
            number: self.place.file,
        }
    }
}

/// What is left of a batch of which parts are settled already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Parts that nobody has taken, in the order in which they go.
    pub ranges: Vec<ItemRange>,
    /// Items that the receiver rejected in the settled parts.
    pub rejected: u64,
    /// Items of the settled parts that are in the quarantine.
    pub quarantined: u64,
}

/// A batch that waits after a failure of its own.
#[derive(Debug)]
pub(in crate::core) struct Suspended {
    until: Mono,
    /// Ranges only: bodies are read again, so that memory does not grow with what waits.
    left: Option<Left>,
}

/// What to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This batch; it is marked as being sent.
    Batch(BatchRef),
    /// First read the headers of this segment ([`Spool::index_loaded`]), then ask again.
    Load(FileId, u64),
    /// Nothing before that instant: all there is waits after a failure of its own.
    At(Mono),
    /// Nothing.
    Empty,
}

/// So long after an outage what is fresh goes first, whatever its turn.
const REFRESH: Duration = Duration::from_secs(5);

/// So long the backlog waits after an outage for what is fresh to be sealed: much longer than a disk takes, and not for ever if
/// it fails.
const REFRESH_SEAL: Duration = Duration::from_secs(1);

/// Segments whose headers are kept in memory for each destination, beside those that are written.
const LOADED_SEGMENTS: usize = 4;

impl Spool {
    /// The batch that goes next to a destination, of the lanes that are asked for. `unix_now` in nanoseconds decides what is
    /// fresh, and what is too old. Whose turn it is says `turns`.
    pub fn pick(&mut self, route: RouteId, ask: Ask, now: Mono, unix_now: u64) -> Pick {
        self.unix_now = unix_now;
        let Some(refreshed_at) = self.route_mut(route).map(|route| route.refreshed_at) else {
            return Pick::Empty;
        };
        let since = refreshed_at.map(|at| now.since(at));
        let is_refreshing = since.is_some_and(|since| since < REFRESH);
        let is_sealing = !self.closing.is_empty() || self.sealing.is_some();
        if is_sealing && since.is_some_and(|since| since < REFRESH_SEAL) && ask != Ask::LiveOnly {
            let until = refreshed_at.expect("looked at above").after(REFRESH_SEAL);
            return match self.pick_in_turn(route, Ask::LiveOnly, now) {
                Pick::At(at) => Pick::At(at.min(until)),
                Pick::Empty => Pick::At(until),
                other => other,
            };
        }
        let ask = match ask {
            Ask::Any if is_refreshing => Ask::LiveFirst,
            ask => ask,
        };
        self.pick_in_turn(route, ask, now)
    }

    /// What may go over the line from now on; what is under way goes on.
    pub fn set_gate(&mut self, gate: Gate) {
        self.gate = gate;
    }

    /// What may go over the line.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// A destination is back: what came in last is to be there first, and not `batch.delay` later. Its batches are sealed
    /// at once, and go before the backlog for a moment.
    pub fn refresh(&mut self, route: RouteId, now: Mono) {
        let is_wanted = self.limits.live_window.is_some();
        if let Some(route) = self.route_mut(route).filter(|_| is_wanted) {
            route.refreshed_at = Some(now);
            self.close_batches();
        }
    }

    fn pick_in_turn(&mut self, id: RouteId, ask: Ask, now: Mono) -> Pick {
        let Some(route) = self.routes.iter().find(|route| route.id == id) else {
            return Pick::Empty;
        };
        let Some(limits) = &route.limits else {
            return Pick::Empty;
        };
        let late = limits.late;
        let cuts = Cuts::at(self.unix_now, self.limits.live_window, limits.age_max);
        let waiting = self
            .queues
            .values()
            .filter(|queue| !queue.files.is_empty() && limits.wants(queue.limits.name))
            .filter(|queue| self.gate.lets(queue.limits.name));
        let order = route.turns.order(waiting.map(|queue| &queue.limits), ask);
        let mut wait: Option<Mono> = None;
        for (lane, class) in order {
            if lane == Lane::Late && late == Late::Hold {
                continue;
            }
            match self.pick_of(id, class, lane, late, &cuts, now) {
                Pick::Batch(batch) => {
                    let bytes = batch.header.frame_bytes();
                    let limits = self.queues[&class].limits.clone();
                    let share = self.limits.backfill_permille;
                    // What is taken out of turn, such as a probe, costs nobody a turn.
                    if ask != Ask::LiveFirst
                        && let Some(route) = self.route_mut(id)
                    {
                        route.turns.picked(lane, &limits, bytes, share);
                    }
                    return Pick::Batch(batch);
                }
                Pick::Load(file, bytes) => return Pick::Load(file, bytes),
                Pick::At(at) => wait = Some(wait.map_or(at, |wait| wait.min(at))),
                Pick::Empty => {}
            }
        }
        wait.map_or(Pick::Empty, Pick::At)
    }

    /// The batch of a class and a lane that goes next to a destination.
    fn pick_of(
        &mut self,
        route: RouteId,
        class: ClassName,
        lane: Lane,
        late: Late,
        cuts: &Cuts,
        now: Mono,
    ) -> Pick {
        let unix_now = self.unix_now;
        let mut wait: Option<Mono> = None;
        let mut from = Bound::Unbounded;
        loop {
            let queue = &self.queues[&class];
            let (ttl, order) = (queue.limits.ttl, queue.limits.order);
            let next = match order {
                Order::OldestFirst => queue.files.range((from, Bound::Unbounded)).next(),
                Order::NewestFirst => queue.files.range((Bound::Unbounded, from)).next_back(),
            };
            let Some(&number) = next else {
                return wait.map_or(Pick::Empty, Pick::At);
            };
            from = Bound::Excluded(number);
            let Some(segment) = self.segments.get_mut(&number) else {
                continue;
            };
            segment.skip_spent();
            let segment = &self.segments[&number];
            let is_out = segment.waiting_for(route) == 0 || segment.doomed.is_some();
            if is_out || !cuts.may_be_in(lane, &segment.births) {
                continue;
            }
            let Some(entries) = &segment.entries else {
                let kind = FileKind::Batches;
                return Pick::Load(FileId { kind, number }, segment.size.bytes);
            };
            let (mut expired, mut missed) = (Vec::new(), Vec::new());
            let mut picked = None;
            let mut consider = |entry: &Entry| {
                let place = Place {
                    file: number,
                    offset: entry.offset,
                };
                let Header {
                    born_min, born_max, ..
                } = entry.header;
                let by = self.sending.get(&place).map_or(0, |sending| sending.by);
                if cuts.lane(born_min, born_max) != lane
                    || segment.finished.contains(&entry.offset)
                    || segment.has(route, entry.offset).is_some()
                    || by & (route.bit() | RouteId::OPERATOR.bit()) != 0
                {
                    return false;
                }
                let age = unix_now.saturating_sub(born_max);
                if ttl.is_some_and(|limit| u128::from(age) > limit.as_nanos()) {
                    // Others may still be at it.
                    if by == 0 {
                        expired.push(*entry);
                    }
                    return false;
                }
                if lane == Lane::Late && late == Late::Drop {
                    missed.push(*entry);
                    return false;
                }
                match self.suspended.get(&(place, route)) {
                    Some(Suspended { until, .. }) if now < *until => {
                        wait = Some(wait.map_or(*until, |wait| wait.min(*until)));
                        return false;
                    }
                    _ => {}
                }
                picked = Some((place, *entry));
                true
            };
            let mut entries = entries[segment.spent..].iter();
            match order {
                Order::OldestFirst => entries.any(&mut consider),
                Order::NewestFirst => entries.rev().any(&mut consider),
            };
            for entry in expired {
                let items = entry.header.range.count;
                self.lose(number, Lost::of(&entry.header, items, DropReason::TooOld));
                self.finish(number, &entry);
            }
            for entry in missed {
                self.take(route, number, &entry, Has::Missed, Aside::default());
            }
            if let Some((place, entry)) = picked {
                let sending = self.sending.entry(place);
                sending.or_insert(Sending { entry, by: 0 }).by |= route.bit();
                let header = entry.header;
                return Pick::Batch(BatchRef {
                    place,
                    header,
                    lane,
                    route,
                });
            }
        }
    }

    /// The headers of a segment, asked for by [`Pick::Load`]: batches only, in file order.
    ///
    /// Batches that were counted and are not among them any more are damaged.
    pub fn index_loaded(&mut self, file: FileId, headers: Vec<(u64, Header)>) {
        let Some(segment) = self.segments.get_mut(&file.number) else {
            return;
        };
        if segment.entries.is_some() {
            return;
        }
        let finished = std::mem::take(&mut segment.finished);
        let kept = headers
            .iter()
            .filter(|(offset, _)| !finished.contains(offset))
            .map(|(_, header)| header);
        let found = Segment::found(segment.class, segment.size, finished.clone(), kept);
        let before = std::mem::replace(&mut segment.items, found.items);
        segment.finished = found.finished;
        segment.batches = found.batches;
        segment.payload_bytes = found.payload_bytes;
        let entries = headers
            .into_iter()
            .map(|(offset, header)| Entry { offset, header })
            .collect();
        segment.entries = Some(entries);
        segment.spent = 0;
        segment.forget_taken_strangers();
        let (class, births) = (segment.class, segment.births);
        let born = (births.oldest, births.youngest);
        for (index, signal) in Signal::ALL.into_iter().enumerate() {
            let (before, after) = (before[index], found.items[index]);
            let lost = Lost {
                signal,
                class,
                reason: DropReason::Damaged,
                items: before.saturating_sub(after),
                born,
            };
            self.lose(file.number, lost);
            if after > before {
                self.accounting.recover(signal, after - before);
            }
        }
        self.settle(file.number);
        self.retire_if_empty(file.number);
        self.unload_idle(file.number);
    }

    /// Forgets the headers of segments that are not being sent, beyond a few.
    fn unload_idle(&mut self, keep: u64) {
        let busy = |number: u64| {
            number == keep
                || self.is_written(number)
                || self.sending.range(place_range(number)).next().is_some()
        };
        let idle: Vec<u64> = self
            .segments
            .iter()
            .filter(|(number, segment)| segment.entries.is_some() && !busy(**number))
            .map(|(number, _)| *number)
            .collect();
        for number in idle
            .iter()
            .rev()
            .skip(LOADED_SEGMENTS * self.routes.len().max(1))
        {
            if let Some(segment) = self.segments.get_mut(number) {
                segment.unload();
            }
        }
    }

    /// The receiver took the batch, but for `rejected` items.
    pub fn delivered(&mut self, batch: &BatchRef, rejected: u64) {
        self.quarantined(batch, 0, rejected);
    }

    /// The receiver took the batch but for `quarantined` items, which are in a synced quarantine file, and `rejected` ones
    /// that it counted itself.
    pub fn quarantined(&mut self, batch: &BatchRef, quarantined: u64, rejected: u64) {
        let Some(entry) = self.end_send(batch) else {
            return;
        };
        let count = entry.header.range.count;
        let quarantined = quarantined.min(count);
        let rejected = rejected.min(count - quarantined);
        let aside = Aside {
            rejected,
            quarantined,
        };
        self.take(batch.route, batch.place.file, &entry, Has::It, aside);
    }

    /// The batch was not delivered; it goes again when its turn comes.
    pub fn failed(&mut self, batch: &BatchRef) {
        self.keep(batch, None);
    }

    /// The batch itself is in trouble: it waits until then, and others go before it. `left` says what is to be sent then,
    /// if parts of it are settled.
    pub fn suspend(&mut self, batch: &BatchRef, until: Mono, left: Option<Left>) {
        self.keep(batch, Some(Suspended { until, left }));
    }

    /// What is left of a batch that was suspended in parts; `None` if all of it is.
    pub fn left(&self, batch: &BatchRef) -> Option<&Left> {
        self.suspended
            .get(&(batch.place, batch.route))?
            .left
            .as_ref()
    }

    fn keep(&mut self, batch: &BatchRef, suspended: Option<Suspended>) {
        let number = batch.place.file;
        let doomed = self.segments.get(&number).and_then(|s| s.doomed);
        let Some(entry) = self.end_send(batch) else {
            return;
        };
        match doomed {
            // The last one that was at it has failed.
            Some(reason) if !self.sending.contains_key(&batch.place) => {
                let items = entry.header.range.count;
                self.lose(number, Lost::of(&entry.header, items, reason));
                self.finish(number, &entry);
            }
            Some(_) => {}
            None if self.is_wanted_by(batch.route, number) => {
                let place = (batch.place, batch.route);
                self.suspended
                    .extend(suspended.map(|suspended| (place, suspended)));
            }
            // Its destination left meanwhile, and this batch waited for nothing else, perhaps.
            None => self.settle(number),
        }
    }

    /// The batch could not be read: its payload is not what was stored.
    pub fn damaged(&mut self, batch: &BatchRef) {
        if let Some(entry) = self.end_send(batch) {
            let items = entry.header.range.count;
            let lost = Lost::of(&entry.header, items, DropReason::Damaged);
            self.lose(batch.place.file, lost);
            self.finish(batch.place.file, &entry);
        }
    }

    /// A batch is not under way any more; `None` if it has ended meanwhile, because another one found it damaged.
    pub(super) fn end_send(&mut self, batch: &BatchRef) -> Option<Entry> {
        self.suspended.remove(&(batch.place, batch.route));
        let sending = self.sending.get_mut(&batch.place)?;
        sending.by &= !batch.route.bit();
        let Sending { entry, by } = *sending;
        if by == 0 {
            self.sending.remove(&batch.place);
        }
        let segment = self.segments.get(&batch.place.file)?;
        (!segment.finished.contains(&entry.offset)).then_some(entry)
    }

    /// Batches at these places wait for nobody any more. Asked for every batch that ends, so others are not looked at.
    fn forget_suspended(&mut self, places: RangeInclusive<Place>) {
        let (first, last) = places.into_inner();
        let of_all = (first, RouteId::FIRST)..=(last, RouteId::OPERATOR);
        self.suspended
            .extract_if(of_all, |_, _| true)
            .for_each(drop);
    }

    /// Takes a batch out of its segment's sums and notes that it is finished.
    pub(super) fn finish(&mut self, number: u64, entry: &Entry) {
        let place = Place {
            file: number,
            offset: entry.offset,
        };
        self.forget_suspended(place..=place);
        let range = &entry.header.range;
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        segment.forget(entry.offset, &entry.header);
        // Another store's numbers say nothing about how far ours is sealed.
        let note = if range.store == self.store {
            Note::new(place, range)
        } else {
            Note::foreign(place, range)
        };
        self.notes.push(note);
        self.retire_if_empty(number);
    }

    /// A segment without batches that is not written to goes once its notes are written.
    pub(super) fn retire_if_empty(&mut self, number: u64) {
        let Some(segment) = self.segments.get(&number) else {
            return;
        };
        let (class, is_doomed) = (segment.class, segment.doomed.is_some());
        if segment.batches > 0 || self.is_written(number) && !is_doomed {
            return;
        }
        self.queue_mut(class)
            .segment
            .take_if(|written| *written == number);
        // What was lost of it is in no journal yet, perhaps.
        let is_told = self.notes.is_empty() && !self.ledger.is_dirty() && !self.wants_journal;
        if is_told && self.committing.is_none() {
            self.discard_segment(number);
        } else if !self.emptied.contains(&number) {
            self.emptied.push(number);
        }
    }

    /// Segments that recovery found without batches go once that is noted anew: the notes that it read need not be synced.
    pub(in crate::core) fn retire_found(&mut self) {
        let segments = self.segments.iter();
        let empty = segments.filter(|(_, segment)| segment.batches == 0);
        let empty: Vec<u64> = empty.map(|(number, _)| *number).collect();
        for number in empty {
            let bytes = self.take_segment(number).expect("listed above");
            let kind = FileKind::Batches;
            self.leaving.insert(FileId { kind, number }, bytes);
        }
    }

    /// Whether a segment is one that batches are written to.
    pub(super) fn is_written(&self, number: u64) -> bool {
        let class = self.segments.get(&number).map(|segment| segment.class);
        let queue = class.and_then(|class| self.queues.get(&class));
        queue.is_some_and(|queue| queue.segment == Some(number))
    }

    /// Drops a segment with everything in it that is not under way.
    pub(super) fn drop_segment(&mut self, number: u64, reason: DropReason) {
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        let under_way: Vec<Entry> = self
            .sending
            .range(place_range(number))
            .map(|(_, sending)| sending.entry)
            .filter(|entry| !segment.finished.contains(&entry.offset))
            .collect();
        segment.doomed = Some(reason);
        let (class, births) = (segment.class, segment.births);
        let born = (births.oldest, births.youngest);
        let mut dropped = segment.items;
        for entry in &under_way {
            dropped[entry.header.range.signal.index()] -= entry.header.range.count;
        }
        segment.batches = under_way.len() as u64;
        segment.payload_bytes = under_way
            .iter()
            .map(|entry| u64::from(entry.header.payload_bytes))
            .sum();
        for (items, dropped) in segment.items.iter_mut().zip(dropped) {
            *items -= dropped;
        }
        self.queue_mut(class)
            .segment
            .take_if(|written| *written == number);
        for (signal, items) in Signal::ALL.into_iter().zip(dropped) {
            let lost = Lost {
                signal,
                class,
                reason,
                items,
                born,
            };
            self.lose(number, lost);
        }
        self.forget_suspended(place_range(number));
        if under_way.is_empty() {
            return self.leave(number, class);
        }
        // What is under way keeps the file for a moment; the others must not come back from it.
        let segment = self.segments.get_mut(&number).expect("looked up above");
        for entry in segment.entries.iter().flatten() {
            let place = Place {
                file: number,
                offset: entry.offset,
            };
            if !self.sending.contains_key(&place) && segment.finished.insert(entry.offset) {
                self.notes.push(Note::new(place, &entry.header.range));
            }
        }
    }

    /// Ends a segment of which nothing is under way: all of it was delivered, or dropped for that reason.
    pub(super) fn end_segment(&mut self, number: u64, dropped: Option<DropReason>) {
        if let Some(reason) = dropped {
            return self.drop_segment(number, reason);
        }
        let Some(segment) = self.segments.get(&number) else {
            return;
        };
        let (class, items) = (segment.class, segment.items);
        for (signal, items) in Signal::ALL.into_iter().zip(items) {
            self.accounting.deliver(signal, items);
        }
        self.forget_suspended(place_range(number));
        self.leave(number, class);
    }

    /// Notes that a segment is finished as a whole; its file goes once that is synced.
    fn leave(&mut self, number: u64, class: ClassName) {
        self.notes.push(Note::of_place(whole(number), class));
        // Journals may still hold its requests, and they must not come back either: what was sealed is told, too.
        let sealed = self.sealed.iter().filter(|((_, of), _)| *of == class);
        self.notes.extend(sealed.map(|(numbering, end)| Note {
            place: whole(number),
            numbering: *numbering,
            end: *end,
        }));
        if let Some(bytes) = self.take_segment(number) {
            let kind = FileKind::Batches;
            self.leaving.insert(FileId { kind, number }, bytes);
        }
    }
}

pub(super) fn place_range(file: u64) -> RangeInclusive<Place> {
    let place = |offset| Place { file, offset };
    place(0)..=place(u64::MAX)
}

impl Segment {
    /// An empty segment of a class.
    pub(in crate::core) fn new(class: ClassName) -> Self {
        Self {
            class,
            size: Size::default(),
            entries: None,
            finished: BTreeSet::new(),
            taken: BTreeMap::new(),
            spent: 0,
            batches: 0,
            payload_bytes: 0,
            items: [0; 3],
            births: Births::default(),
            doomed: None,
        }
    }

    /// A segment found on disk, from the batches in it that are not finished.
    pub(in crate::core) fn found<'a>(
        class: ClassName,
        size: Size,
        finished: BTreeSet<u64>,
        batches: impl Iterator<Item = &'a Header>,
    ) -> Self {
        let mut segment = Self {
            size,
            finished,
            ..Self::new(class)
        };
        for header in batches {
            segment.add(header);
        }
        segment
    }

    /// One batch more.
    pub(super) fn add(&mut self, header: &Header) {
        self.batches += 1;
        self.payload_bytes += u64::from(header.payload_bytes);
        self.items[header.range.signal.index()] += header.range.count;
        self.births.add(header.born_min, header.born_max);
    }

    /// One batch less.
    pub(in crate::core) fn forget(&mut self, offset: u64, header: &Header) {
        if self.finished.insert(offset) {
            for taken in self.taken.values_mut() {
                taken.batches.remove(&offset);
            }
            self.batches -= 1;
            self.payload_bytes -= u64::from(header.payload_bytes);
            self.items[header.range.signal.index()] -= header.range.count;
        }
    }

    /// Forgets what destinations are said to have of batches that are not there.
    fn forget_taken_strangers(&mut self) {
        let entries = self.entries.iter().flatten().map(|entry| entry.offset);
        let left: BTreeSet<u64> = entries
            .filter(|offset| !self.finished.contains(offset))
            .collect();
        for taken in self.taken.values_mut() {
            taken.batches.retain(|offset, _| left.contains(offset));
        }
    }

    /// Forgets the headers: they are read again when they are needed. What is left of them is exact, or a segment without
    /// anything for a lane would be read for it again and again.
    pub(super) fn unload(&mut self) {
        if let Some(entries) = self.entries.take() {
            let kept = |entry: &&Entry| !self.finished.contains(&entry.offset);
            let mut births = Births::default();
            for Entry { header, .. } in entries.iter().filter(kept) {
                births.add(header.born_min, header.born_max);
            }
            self.births = births;
        }
        self.spent = 0;
    }

    fn skip_spent(&mut self) {
        let entries = self.entries.iter().flatten().skip(self.spent);
        let is_finished = |entry: &&Entry| self.finished.contains(&entry.offset);
        self.spent += entries.take_while(is_finished).count();
    }

    /// Birth of the oldest item in it, as exactly as is known without reading.
    pub(super) fn oldest_born(&self) -> u64 {
        let kept = |entry: &&Entry| !self.finished.contains(&entry.offset);
        let entries = self.entries.iter().flatten().skip(self.spent).filter(kept);
        let oldest = entries.map(|entry| entry.header.born_min).min();
        oldest.unwrap_or(self.births.oldest)
    }
}
