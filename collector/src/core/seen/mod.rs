//! What stores have delivered here: item ranges, joined into intervals, so that a gateway takes each item once.
//!
//! A range is *under way* from the moment a request is queued until its commit ends, and *seen* once that is durable. Who comes
//! with a range that is under way waits; of one that is seen in part only the rest is taken. The record of a range is durable with
//! its items, in one frame (`wire`), so neither can be there without the other.
//!
//! # Bounds
//! An interval is remembered for the horizon after its last item, and as many as [`Bounds`] say. Beyond them what has been quiet for
//! longest is forgotten, a store as a whole where there are too many stores. What is forgotten is taken for new: a late repeat may
//! then pass, and nothing is ever dropped that was not seen.
//!
//! Sans-IO. Must not know who sends, or how. Next: `wire`, `stores`; `core::spool::intake`, which asks.

mod gaps;
pub mod stores;
pub mod wire;

use std::{collections::BTreeMap, time::Duration};

pub use gaps::Gaps;

use super::{class::ClassName, range::ItemRange};
use crate::otlp::Signal;

/// What bounds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// An interval is remembered so long after its last item came.
    pub horizon: Duration,
    /// Most stores.
    pub stores_max: usize,
    /// Most intervals, of all stores together.
    pub intervals_max: usize,
}

impl Bounds {
    /// None: for what is read from disk, which is bounded afterwards.
    pub const NONE: Self = Self {
        horizon: Duration::MAX,
        stores_max: usize::MAX,
        intervals_max: usize::MAX,
    };
}

/// What is new of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// All of it.
    All,
    /// These parts, in order.
    Parts(Vec<ItemRange>),
    /// Nothing: it is a repeat.
    Nothing,
    /// That is not known yet: a part of it waits for the disk.
    UnderWay,
}

/// Numbered items of one class of one start of a store's collector.
pub(super) type Line = (u64, ClassName, Signal);

/// Items that came without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    /// One past the last item.
    pub(super) end: u64,
    /// When the last of them came, unix seconds.
    pub(super) at: u32,
}

/// What came of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    /// By first item. They neither overlap nor touch.
    pub(super) intervals: BTreeMap<u64, Interval>,
    /// Items that were seen and are forgotten: no gap is made of them.
    pub(super) forgotten: u64,
}

/// What is known of one store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// When it was heard last, unix seconds.
    pub(super) heard_at: u32,
    pub(super) tracks: BTreeMap<Line, Track>,
}

/// What all stores have delivered.
#[derive(Clone, Debug)]
pub struct Seen {
    bounds: Bounds,
    pub(super) stores: BTreeMap<u64, Known>,
    intervals: usize,
    tracks: usize,
    /// Ranges that wait for their commit; few, for each holds a part of the memory for requests.
    under_way: Vec<ItemRange>,
    /// Items that were forgotten for want of room, since the start.
    crowded_out: u64,
    /// Next look for what is past the horizon, unix seconds.
    expire_at: u32,
}

impl Default for Seen {
    fn default() -> Self {
        Self::new(Bounds::NONE)
    }
}

fn seconds(unix_nanos: u64) -> u32 {
    u32::try_from(unix_nanos / 1_000_000_000).unwrap_or(u32::MAX)
}

fn line(range: &ItemRange) -> Line {
    (range.boot, range.class, range.signal)
}

impl Seen {
    /// Nothing seen yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            stores: BTreeMap::new(),
            intervals: 0,
            tracks: 0,
            under_way: Vec::new(),
            crowded_out: 0,
            expire_at: 0,
        }
    }

    /// Other bounds from now on.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.expire_at = 0;
        self.bound();
    }

    /// What is new of a range.
    pub fn news(&self, range: &ItemRange) -> News {
        if self.under_way.iter().any(|other| overlap(other, range)) {
            return News::UnderWay;
        }
        let missing = self.missing(range);
        match &missing[..] {
            [] => News::Nothing,
            [one] if one == range => News::All,
            _ => News::Parts(missing),
        }
    }

    /// The parts of a range that were not seen, in order.
    fn missing(&self, range: &ItemRange) -> Vec<ItemRange> {
        let part = |first: u64, end: u64| ItemRange {
            first,
            count: end - first,
            ..*range
        };
        let known = self.stores.get(&range.store);
        let track = known.and_then(|known| known.tracks.get(&line(range)));
        let (mut at, mut missing) = (range.first, Vec::new());
        if let Some(Track { intervals, .. }) = track {
            if let Some((_, before)) = intervals.range(..=at).next_back() {
                at = at.max(before.end);
            }
            for (first, interval) in intervals.range(at..range.end().max(at)) {
                if *first > at {
                    missing.push(part(at, *first));
                }
                at = interval.end;
            }
        }
        if at < range.end() {
            missing.push(part(at, range.end()));
        }
        missing
    }

    /// A request with that range, all of it new, waits for its commit.
    ///
    /// # Panics
    /// If it is not new.
    pub fn begin(&mut self, range: ItemRange) {
        assert!(self.news(&range) == News::All, "{range} is not new");
        self.under_way.push(range);
    }

    /// The commit of such a request ended; `at` is when it came, unix nanoseconds, if it is durable.
    pub fn end(&mut self, range: &ItemRange, at: Option<u64>) {
        self.under_way.retain(|other| other != range);
        if let Some(at) = at {
            self.insert(range, at);
        }
    }

    /// Adds a range that is durable; `at` in unix nanoseconds.
    pub fn insert(&mut self, range: &ItemRange, at: u64) {
        let at = seconds(at);
        if range.count > 0 {
            self.add(
                range.store,
                line(range),
                range.first,
                Interval {
                    end: range.end(),
                    at,
                },
            );
        }
        self.heard(range.store, at);
        if at >= self.expire_at {
            self.expire(at);
        }
        self.bound();
    }

    pub(super) fn heard(&mut self, store: u64, at: u32) {
        let known = self.stores.entry(store).or_default();
        known.heard_at = known.heard_at.max(at);
    }

    pub(super) fn track(&mut self, store: u64, line: Line) -> &mut Track {
        let known = self.stores.entry(store).or_default();
        known.tracks.entry(line).or_insert_with(|| {
            self.tracks += 1;
            Track::default()
        })
    }

    /// Joins an interval with those that it overlaps or touches.
    pub(super) fn add(&mut self, store: u64, line: Line, first: u64, interval: Interval) {
        let Interval { mut end, mut at } = interval;
        let mut start = first;
        let track = self.track(store, line);
        let joined: Vec<(u64, Interval)> = track
            .intervals
            .range(..=end)
            .rev()
            .take_while(|(_, other)| other.end >= start)
            .map(|(first, other)| (*first, *other))
            .collect();
        for (first, other) in &joined {
            track.intervals.remove(first);
            start = start.min(*first);
            end = end.max(other.end);
            at = at.max(other.at);
        }
        track.intervals.insert(start, Interval { end, at });
        self.intervals = self.intervals + 1 - joined.len();
    }

    /// Forgets what is past the horizon; `now` in unix seconds.
    fn expire(&mut self, now: u32) {
        let horizon = u32::try_from(self.bounds.horizon.as_secs()).unwrap_or(u32::MAX);
        // A hundredth more than what was promised costs little memory, and looking at everything costs time.
        self.expire_at = now.saturating_add((horizon / 100).max(60));
        let oldest = now.saturating_sub(horizon);
        self.forget(oldest);
        self.stores
            .retain(|_, known| known.heard_at >= oldest || !known.tracks.is_empty());
    }

    /// Forgets all intervals whose last item came before that; gives the number of items.
    fn forget(&mut self, before: u32) -> u64 {
        let (mut intervals, mut tracks, mut items) = (0, 0, 0_u64);
        for known in self.stores.values_mut() {
            known.tracks.retain(|_, track| {
                let mut gone = 0_u64;
                track.intervals.retain(|first, interval| {
                    let stays = interval.at >= before;
                    if !stays {
                        gone = gone.saturating_add(interval.end - first);
                        intervals += 1;
                    }
                    stays
                });
                track.forgotten = track.forgotten.saturating_add(gone);
                items = items.saturating_add(gone);
                tracks += usize::from(track.intervals.is_empty());
                !track.intervals.is_empty()
            });
        }
        self.intervals -= intervals;
        self.tracks -= tracks;
        items
    }

    /// Keeps the bounds.
    fn bound(&mut self) {
        if self.stores.len() > self.bounds.stores_max {
            let mut heard: Vec<(u32, u64)> = self
                .stores
                .iter()
                .map(|(store, known)| (known.heard_at, *store))
                .collect();
            heard.sort_unstable();
            // A sixteenth at once, so that looking at all of them is rare.
            let excess = self.stores.len() - self.bounds.stores_max;
            let count = excess + self.bounds.stores_max / 16;
            for (_, store) in heard.into_iter().take(count) {
                let known = self.stores.remove(&store).expect("listed above");
                for track in known.tracks.values() {
                    self.crowded_out = self.crowded_out.saturating_add(track.items());
                    self.intervals -= track.intervals.len();
                    self.tracks -= 1;
                }
            }
        }
        if self.intervals > self.bounds.intervals_max {
            let tracks = self.stores.values().flat_map(|known| known.tracks.values());
            let intervals = tracks.flat_map(|track| track.intervals.values());
            let mut ages: Vec<u32> = intervals.map(|interval| interval.at).collect();
            let excess = self.intervals - self.bounds.intervals_max;
            let count = (excess + self.bounds.intervals_max / 16).min(ages.len() - 1);
            let (_, before, _) = ages.select_nth_unstable(count);
            let before = *before;
            let mut items = self.forget(before);
            if self.intervals > self.bounds.intervals_max {
                // All of the same second, or nearly so.
                items = items.saturating_add(self.forget(before.saturating_add(1)));
            }
            self.crowded_out = self.crowded_out.saturating_add(items);
        }
    }

    /// How many stores are known.
    pub fn stores(&self) -> usize {
        self.stores.len()
    }

    /// How many intervals are remembered.
    pub fn intervals(&self) -> usize {
        self.intervals
    }

    /// Items that were forgotten for want of room since the start, so that a repeat of them would pass.
    pub fn crowded_out(&self) -> u64 {
        self.crowded_out
    }
}

impl Track {
    pub(super) fn items(&self) -> u64 {
        let sizes = self
            .intervals
            .iter()
            .map(|(first, interval)| interval.end - first);
        sizes.fold(0, u64::saturating_add)
    }
}

fn overlap(one: &ItemRange, other: &ItemRange) -> bool {
    one.store == other.store
        && line(one) == line(other)
        && one.first < other.end()
        && other.first < one.end()
}

#[cfg(test)]
mod tests;
