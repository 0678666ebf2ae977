//! One queue for each class: its policy, its share of the disk, and which segment goes to make room. Next: `intake`.
//!
//! # Shares
//! A class with a quota has it for itself: it never takes more, and what other classes keep never makes it less. Classes without
//! one share what the quotas leave. Quotas are parts of `buffer.disk`; journals, the quarantine and the reserve come off all
//! shares alike.

use std::{collections::BTreeSet, time::Duration};

use super::{FileId, FileKind, Limits, Open, Segment, Size, Spool};
use crate::{
    config::{Config, OnFull, Order},
    core::{accounting::DropReason, class::ClassName, frame, losses, seen::wire::ORIGIN_BYTES},
    otlp::Signal,
};

/// What bounds a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// Its name.
    pub name: ClassName,
    /// The signal that goes to it; `None` for a class that was found on disk and is not configured any more.
    pub signal: Option<Signal>,
    /// Whether it takes a part of the signal only, which the shell sorts out; else it takes what no other class does.
    pub has_rules: bool,
    /// Its own part of the disk; `None` shares what the others leave.
    pub quota_bytes: Option<u64>,
    /// Age at which a batch is dropped.
    pub ttl: Option<Duration>,
    /// What happens when its share is used up.
    pub on_full: OnFull,
    /// Higher goes first.
    pub priority: u8,
    /// Its part of the line, beside others of its priority.
    pub weight: u16,
    /// Which of its batches goes first, in each lane.
    pub order: Order,
}

impl ClassLimits {
    /// A class that nobody has said anything about.
    pub fn plain(name: ClassName) -> Self {
        Self {
            name,
            signal: None,
            has_rules: false,
            quota_bytes: None,
            ttl: None,
            on_full: OnFull::Refuse,
            priority: 0,
            weight: 1,
            order: Order::OldestFirst,
        }
    }

    /// The classes of a configuration: what is declared, and one of its own for each signal that no declared class takes the rest of.
    pub fn of(config: &Config) -> Vec<Self> {
        let declared = config.classes.iter().map(|class| Self {
            name: class.name,
            signal: Some(class.signal),
            has_rules: !class.rules.is_empty(),
            quota_bytes: class.quota.map(|quota| quota.bytes(config.buffer.disk)),
            ttl: class.ttl,
            on_full: class.on_full,
            priority: class.priority,
            weight: class.weight,
            order: class.order,
        });
        let mut classes: Vec<Self> = declared.collect();
        for signal in Signal::ALL {
            if !classes.iter().any(|class| class.takes_rest_of(signal)) {
                classes.push(Self {
                    signal: Some(signal),
                    ttl: config.retry.give_up,
                    on_full: config.buffer.on_full,
                    order: config.send.order,
                    ..Self::plain(signal.into())
                });
            }
        }
        classes
    }
}

impl ClassLimits {
    /// Whether it takes all of a signal that no other class does.
    fn takes_rest_of(&self, signal: Signal) -> bool {
        self.signal == Some(signal) && !self.has_rules
    }

    /// Those of a class, whether it is configured or was only found on disk.
    fn find(limits: &Limits, class: ClassName) -> Self {
        let configured = limits.classes.iter().find(|known| known.name == class);
        if configured.is_none() && class == losses::class() {
            // Before everything else; few, and never dropped for others.
            return Self {
                priority: u8::MAX,
                ..Self::plain(class)
            };
        }
        configured.cloned().unwrap_or(Self {
            ttl: limits.give_up,
            on_full: limits.on_full,
            order: limits.order,
            ..Self::plain(class)
        })
    }
}

/// One class's items, from the open batch to the last segment.
#[derive(Debug)]
pub(in crate::core) struct Queue {
    pub(super) limits: ClassLimits,
    /// Raw size at which a batch is sealed.
    pub(super) batch_bytes: u64,
    /// Size at which a segment is closed.
    pub(super) segment_bytes: u64,
    pub(super) next_seq: u64,
    pub(super) open: Option<Open>,
    /// The segment that is written to.
    pub(super) segment: Option<u64>,
    /// All its segments.
    pub(super) files: BTreeSet<u64>,
    /// What its segments take on disk.
    pub(super) bytes: u64,
    /// Raw bytes that wait for a commit or are in one.
    pub(super) incoming_bytes: u64,
    /// Compressed bytes by raw bytes of the batch sealed last.
    pub(super) ratio: f64,
}

impl Queue {
    /// An empty one.
    fn new(limits: &Limits, class: ClassName) -> Self {
        let mut queue = Self {
            limits: ClassLimits::find(limits, class),
            batch_bytes: 0,
            segment_bytes: 0,
            next_seq: 0,
            open: None,
            segment: None,
            files: BTreeSet::new(),
            bytes: 0,
            incoming_bytes: 0,
            ratio: limits.first_ratio(),
        };
        queue.bound(limits, class);
        queue
    }

    /// Sets its bounds.
    fn bound(&mut self, limits: &Limits, class: ClassName) {
        self.limits = ClassLimits::find(limits, class);
        let quota = self.limits.quota_bytes.unwrap_or(limits.disk_bytes);
        // A share of few batches, or of few segments, would be full before the first one can be given back.
        self.batch_bytes = limits.batch_bytes.min(quota / 8).max(1);
        self.segment_bytes = limits.segment_bytes.min(quota / 8).max(1);
    }

    /// What raw bytes will take once they are sealed.
    fn later_bytes(&self, raw_bytes: u64) -> u64 {
        (raw_bytes as f64 * (1.25 * self.ratio + 0.02).min(1.0)) as u64
    }
}

/// What a class is and holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassStat {
    /// Its policy.
    pub limits: ClassLimits,
    /// Bytes that it may take on disk at present.
    pub share_bytes: u64,
    /// What its segments take on disk.
    pub disk_bytes: u64,
    /// Compressed bytes that are stored; what is not sealed yet is counted at the most recent ratio.
    pub payload_bytes: u64,
    /// Items that are stored.
    pub items: u64,
    /// Sealed batches that are stored.
    pub batches: u64,
    /// Birth of its oldest item, unix nanoseconds.
    pub oldest_born: Option<u64>,
}

/// Why a request does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// The class's share is used up.
    Share,
    /// The share is not, but the disk is.
    Disk,
}

impl Spool {
    /// The queue of a class; made if it is met for the first time.
    pub(in crate::core) fn queue_mut(&mut self, class: ClassName) -> &mut Queue {
        let limits = &self.limits;
        self.queues
            .entry(class)
            .or_insert_with(|| Queue::new(limits, class))
    }

    /// The limits from now on. What is stored stays: a smaller quota takes effect with the next request, and a class that is
    /// gone is drained like one that was found on disk.
    pub fn set_limits(&mut self, limits: Limits) {
        self.set_routes(&limits);
        // The file system is the same one.
        let block_bytes = self.limits.block_bytes;
        self.limits = Limits {
            block_bytes,
            ..limits
        };
        if let Some(bounds) = self.limits.gateway {
            self.seen.set_bounds(bounds);
        }
        for (class, queue) in &mut self.queues {
            queue.bound(&self.limits, *class);
        }
        self.make_queues();
    }

    /// Makes the queues of all classes that are configured.
    pub(super) fn make_queues(&mut self) {
        let classes: Vec<ClassName> = self.limits.classes.iter().map(|c| c.name).collect();
        for class in classes {
            self.queue_mut(class);
        }
    }

    /// The class that takes what no other class takes of a signal.
    pub fn class_of(&self, signal: Signal) -> ClassName {
        let mut classes = self.limits.classes.iter();
        let class = classes.find(|class| class.takes_rest_of(signal));
        class.map_or(signal.into(), |class| class.name)
    }

    /// Age at which items of a class are dropped, whether it is configured or not.
    pub fn ttl(&self, class: ClassName) -> Option<Duration> {
        ClassLimits::find(&self.limits, class).ttl
    }

    /// Size at which a batch of a class is sealed.
    pub fn batch_bytes(&mut self, class: ClassName) -> u64 {
        self.queue_mut(class).batch_bytes
    }

    /// All classes, those that are not configured any more included, by name.
    pub fn classes(&self) -> impl Iterator<Item = ClassStat> {
        self.queues.iter().map(|(class, queue)| {
            let raw_bytes = self.unsealed_of(*class).map(|open| open.raw_bytes).sum();
            let segments = || self.segments_of(queue);
            let sealed = segments()
                .filter(|s| s.batches > 0)
                .map(Segment::oldest_born);
            let unsealed = self.unsealed_of(*class);
            let unsealed_items: u64 = unsealed.map(|open| open.range.count).sum();
            ClassStat {
                limits: queue.limits.clone(),
                share_bytes: self.share_bytes(queue),
                disk_bytes: queue.bytes,
                payload_bytes: segments().map(|s| s.payload_bytes).sum::<u64>()
                    + ratio_of(raw_bytes, queue.ratio),
                items: segments().flat_map(|s| s.items).sum::<u64>() + unsealed_items,
                batches: segments().map(|s| s.batches).sum(),
                oldest_born: self
                    .unsealed_of(*class)
                    .map(|o| o.born_min)
                    .chain(sealed)
                    .min(),
            }
        })
    }

    pub(super) fn segments_of<'a>(&'a self, queue: &'a Queue) -> impl Iterator<Item = &'a Segment> {
        queue
            .files
            .iter()
            .filter_map(|number| self.segments.get(number))
    }

    /// Batches of a class that are durable and not sealed.
    pub(super) fn unsealed_of(&self, class: ClassName) -> impl Iterator<Item = &Open> {
        self.unsealed()
            .filter(move |open| open.range.class == class)
    }

    /// Bytes that all segments together may take, as long as the other files are as large as they are.
    fn pool_bytes(&self) -> u64 {
        // One journal segment is written to while the one before waits for its last requests to be sealed.
        let others = self.reserve_bytes() + self.other_bytes + 2 * self.journal_bytes();
        self.quota_bytes().saturating_sub(others)
    }

    /// The part of the pool that a quota is.
    fn part_of_pool(&self, quota_bytes: u64) -> u64 {
        let part = u128::from(self.pool_bytes()) * u128::from(quota_bytes);
        (part / u128::from(self.limits.disk_bytes.max(1))) as u64
    }

    fn share_bytes(&self, queue: &Queue) -> u64 {
        match queue.limits.quota_bytes {
            Some(quota) => self.part_of_pool(quota),
            None => {
                let quotas: u64 = self
                    .limits
                    .classes
                    .iter()
                    .filter_map(|c| c.quota_bytes)
                    .sum();
                self.part_of_pool(self.limits.disk_bytes.saturating_sub(quotas))
            }
        }
    }

    /// What a class will take more on disk once all that is accepted is sealed, and so many raw bytes beside.
    fn later_bytes(&self, class: ClassName, queue: &Queue, more: u64) -> u64 {
        let unsealed: u64 = self.unsealed_of(class).map(|open| open.raw_bytes).sum();
        let later = queue.later_bytes(unsealed + queue.incoming_bytes + more);
        let segment = queue.segment.and_then(|number| self.segments.get(&number));
        let segment = segment.map_or(Size::default(), |segment| segment.size);
        self.growth_bytes(segment, later, queue.segment_bytes)
    }

    /// What a file will take more when so many bytes are added, with those that follow it when it is full.
    fn growth_bytes(&self, mut size: Size, bytes: u64, full_bytes: u64) -> u64 {
        let block = self.limits.block_bytes;
        let growth = size.grow(bytes, block);
        match size.bytes > full_bytes {
            true => growth + (block - 1),
            false => growth,
        }
    }

    /// What those take together that share a class's share, and will take, with so many raw bytes more of the class itself.
    fn share_used_bytes(&self, queue: &Queue, more: u64) -> u64 {
        let own = queue.limits.name;
        let shares = |other: &Queue| match queue.limits.quota_bytes {
            Some(_) => other.limits.name == queue.limits.name,
            None => other.limits.quota_bytes.is_none(),
        };
        let queues = self.queues.iter().filter(|(_, other)| shares(other));
        queues
            .map(|(class, queue)| {
                let more = if *class == own { more } else { 0 };
                queue.bytes + self.later_bytes(*class, queue, more)
            })
            .sum()
    }

    /// Why a request does not fit; `None` if it does: beside its copy in the journal there must be room for what it will be
    /// compressed to.
    pub(super) fn lack(&self, class: ClassName, raw_bytes: u64) -> Option<Lack> {
        let queue = &self.queues[&class];
        let committing = self.committing.as_ref().map_or(0, |c| c.bytes);
        // At a gateway each may have its range before it.
        let origin = self.limits.gateway.map_or(0, |_| ORIGIN_BYTES);
        let headers = (self.pending.len() * (frame::HEADER_BYTES + origin)) as u64;
        let own = frame::frame_bytes(raw_bytes as usize + origin);
        let journal = committing + self.pending_bytes + headers + own;
        let current = self
            .journal
            .and_then(|(number, _)| self.journals.get(&number));
        let current = current.map_or(Size::default(), |current| current.size);
        let journal = self.growth_bytes(current, journal, self.journal_bytes());
        let all_later: u64 = self
            .queues
            .iter()
            .map(|(other, queue)| {
                let more = if *other == class { raw_bytes } else { 0 };
                self.later_bytes(*other, queue, more)
            })
            .sum();
        let needed = self.kept_bytes() + journal + all_later + self.reserve_bytes();
        let fits = needed <= self.quota_bytes();
        if self
            .limits
            .classes
            .iter()
            .all(|class| class.quota_bytes.is_none())
        {
            // The whole disk is the share.
            return (!fits).then_some(Lack::Share);
        }
        if self.share_used_bytes(queue, raw_bytes) > self.share_bytes(queue) {
            return Some(Lack::Share);
        }
        (!fits).then_some(Lack::Disk)
    }

    /// Drops a segment so that a request of this class gets room. Returns whether there was one that may go.
    pub(super) fn make_room(&mut self, class: ClassName, lack: Lack) -> bool {
        let queue = &self.queues[&class];
        let may_go = |other: &Queue| {
            let is_of_share = match queue.limits.quota_bytes {
                Some(_) => other.limits.name == class,
                None => other.limits.quota_bytes.is_none(),
            };
            let takes_too_much = || self.share_used_bytes(other, 0) > self.share_bytes(other);
            other.limits.on_full == OnFull::DropOldest
                && match lack {
                    Lack::Share => is_of_share,
                    Lack::Disk => takes_too_much(),
                }
        };
        let victims = self.queues.values().filter(|queue| may_go(queue));
        let busy = self.sealing_segment();
        let oldest = victims
            .flat_map(|queue| &queue.files)
            .filter_map(|number| Some((*number, self.segments.get(number)?)))
            .filter(|(number, segment)| segment.doomed.is_none() && Some(*number) != busy)
            // The one whose newest item is the oldest: a segment that grows slowly is not old because it was begun long ago.
            .min_by_key(|(number, segment)| (segment.births.youngest, *number));
        let Some((number, _)) = oldest else {
            return false;
        };
        self.drop_segment(number, DropReason::BufferFull);
        true
    }

    /// The segment that the batch under way may be written to.
    pub(super) fn sealing_segment(&self) -> Option<u64> {
        let sealing = self.sealing.as_ref()?;
        self.queues.get(&sealing.open.range.class)?.segment
    }

    /// Drops what is older than its class allows, segment by segment; single batches of a segment go when their turn comes.
    ///
    /// A segment is closed when it spans an eighth of its class's time to live, so space comes back that much late at most.
    pub fn expire(&mut self, unix_now: u64) {
        self.unix_now = unix_now;
        let busy = self.sealing_segment();
        let expired: Vec<u64> = self
            .expiries()
            .filter(|(number, at)| *at <= unix_now && Some(*number) != busy)
            .map(|(number, _)| number)
            .collect();
        for number in expired {
            self.drop_segment(number, DropReason::TooOld);
        }
    }

    /// When [`Spool::expire`] will have something to do, unix nanoseconds; `None` if nothing ever gets too old.
    pub fn expire_deadline(&self) -> Option<u64> {
        self.expiries().map(|(_, at)| at).min()
    }

    /// Segments of classes whose items get too old, and when the last of their items does.
    fn expiries(&self) -> impl Iterator<Item = (u64, u64)> {
        let queues = self.queues.values();
        let mortal = queues.filter_map(|queue| Some((queue, queue.limits.ttl?)));
        mortal.flat_map(move |(queue, ttl)| {
            let ttl = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
            let segment = move |number: &u64| {
                let segment = self.segments.get(number)?;
                let lives = segment.batches > 0 && segment.doomed.is_none();
                lives.then(|| (*number, segment.births.youngest.saturating_add(ttl)))
            };
            queue.files.iter().filter_map(segment)
        })
    }

    /// Gives a segment to its class.
    pub(in crate::core) fn add_segment(&mut self, number: u64, segment: Segment) {
        let queue = self.queue_mut(segment.class);
        queue.files.insert(number);
        queue.bytes += segment.size.disk_bytes;
        self.segments.insert(number, segment);
    }

    /// Notes that a segment's file has grown.
    pub(super) fn grow_segment(&mut self, number: u64, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            let more = segment.size.grow(bytes, self.limits.block_bytes);
            let class = segment.class;
            self.queue_mut(class).bytes += more;
        }
    }

    /// A segment's file is not needed any more.
    pub(super) fn discard_segment(&mut self, number: u64) {
        if let Some(bytes) = self.take_segment(number) {
            let kind = FileKind::Batches;
            self.garbage.insert(FileId { kind, number }, bytes);
        }
    }

    /// Takes a segment out; returns what its file takes.
    pub(super) fn take_segment(&mut self, number: u64) -> Option<u64> {
        let segment = self.segments.remove(&number)?;
        let queue = self.queue_mut(segment.class);
        queue.files.remove(&number);
        queue.bytes -= segment.size.disk_bytes;
        self.failed_writes.retain(|(file, _)| *file != number);
        self.ledger.forget(number);
        Some(segment.size.disk_bytes)
    }
}

/// Raw bytes at a ratio.
pub(super) fn ratio_of(raw_bytes: u64, ratio: f64) -> u64 {
    (raw_bytes as f64 * ratio) as u64
}
