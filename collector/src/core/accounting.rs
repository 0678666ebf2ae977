//! Every item is accounted for: accepted = delivered + stored + quarantined + dropped with a reason, per signal.
//!
//! `spool` is the only writer. The equation is asserted wherever an item changes its place.

use crate::otlp::Signal;

/// Why items were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The buffer was full, and its policy says to drop.
    BufferFull,
    /// Older than `retry.give_up`.
    TooOld,
    /// The receiver took the request and rejected these items for good (`partial_success`).
    Refused,
    /// Damaged on disk.
    Damaged,
    /// Removed from the buffer by an operator.
    Purged,
    /// Moved to another place by an operator.
    Exported,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::BufferFull,
        Self::TooOld,
        Self::Refused,
        Self::Damaged,
        Self::Purged,
        Self::Exported,
    ];

    /// The reason as metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::TooOld => "too_old",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Purged => "purged",
            Self::Exported => "exported",
        }
    }
}

/// Items of one signal, counted since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// Acknowledged to a sender, or found on disk at the start.
    pub accepted: u64,
    /// The part of `accepted` that was found on disk at the start.
    pub recovered: u64,
    /// Taken by the receiver.
    pub delivered: u64,
    /// In the buffer.
    pub stored: u64,
    /// Refused one by one and put aside, and still there.
    pub quarantined: u64,
    /// Put aside since this start, and not there any more: they are counted elsewhere again.
    pub released: u64,
    /// Dropped, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
}

impl Items {
    /// Dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Dropped for one reason.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

/// The account of all signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    signals: [Items; 3],
}

impl Accounting {
    /// The account of one signal.
    pub fn items(&self, signal: Signal) -> &Items {
        &self.signals[signal.index()]
    }

    /// Items in the buffer, all signals.
    pub fn stored_total(&self) -> u64 {
        self.signals.iter().map(|items| items.stored).sum()
    }

    /// Acknowledged and durable.
    pub(crate) fn accept(&mut self, signal: Signal, count: u64) {
        let items = &mut self.signals[signal.index()];
        items.accepted += count;
        items.stored += count;
        self.check(signal);
    }

    /// Found on disk at the start.
    pub(crate) fn recover(&mut self, signal: Signal, count: u64) {
        self.signals[signal.index()].recovered += count;
        self.accept(signal, count);
    }

    /// Acknowledged and dropped at once.
    pub(crate) fn discard(&mut self, signal: Signal, count: u64, reason: DropReason) {
        self.accept(signal, count);
        self.drop(signal, count, reason);
    }

    /// Out of the buffer, into the receiver.
    pub(crate) fn deliver(&mut self, signal: Signal, count: u64) {
        self.take(signal, count).delivered += count;
        self.check(signal);
    }

    /// Out of the buffer, put aside.
    pub(crate) fn quarantine(&mut self, signal: Signal, count: u64) {
        self.take(signal, count).quarantined += count;
        self.check(signal);
    }

    /// Out of the quarantine and into the buffer again: as many of `count` as were put aside since this start.
    pub(crate) fn release(&mut self, signal: Signal, count: u64) -> u64 {
        let items = &mut self.signals[signal.index()];
        let count = count.min(items.quarantined);
        items.quarantined -= count;
        items.released += count;
        items.stored += count;
        self.check(signal);
        count
    }

    /// Out of the buffer, gone.
    pub(crate) fn drop(&mut self, signal: Signal, count: u64, reason: DropReason) {
        self.take(signal, count).dropped[reason as usize] += count;
        self.check(signal);
    }

    fn take(&mut self, signal: Signal, count: u64) -> &mut Items {
        let items = &mut self.signals[signal.index()];
        assert!(
            items.stored >= count,
            "{count} {signal} leave a buffer of {}",
            items.stored
        );
        items.stored -= count;
        items
    }

    fn check(&self, signal: Signal) {
        let items = self.items(signal);
        let sum = items.delivered + items.stored + items.quarantined + items.dropped_total();
        assert_eq!(items.accepted, sum, "{signal} do not add up: {items:?}");
    }
}
