//! Which items are known: item ranges joined into intervals, so that what comes twice is told from what is new.
//!
//! One store's items come in few and long intervals, so memory grows with the stores and their starts, not with items.

use std::collections::BTreeMap;

use super::range::ItemRange;

/// A set of items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// For each numbering, shown by an empty range: ends of its intervals by their first numbers. They neither overlap nor
    /// touch.
    intervals: BTreeMap<ItemRange, BTreeMap<u64, u64>>,
}

impl Ranges {
    /// Adds a range.
    pub fn insert(&mut self, range: &ItemRange) {
        if range.count == 0 {
            return;
        }
        let intervals = self.intervals.entry(numbering(range)).or_default();
        let (mut first, mut end) = (range.first, range.end());
        // Whatever begins before our end and ends after our first belongs to us.
        let joined: Vec<(u64, u64)> = intervals
            .range(..=end)
            .rev()
            .take_while(|(_, other_end)| **other_end >= first)
            .map(|(first, end)| (*first, *end))
            .collect();
        for (other_first, other_end) in joined {
            intervals.remove(&other_first);
            first = first.min(other_first);
            end = end.max(other_end);
        }
        intervals.insert(first, end);
    }

    /// The parts of a range that are not in the set, in order.
    pub fn missing(&self, range: &ItemRange) -> Vec<ItemRange> {
        let mut missing = Vec::new();
        let mut at = range.first;
        let part = |first: u64, end: u64| ItemRange {
            first,
            count: end - first,
            ..*range
        };
        if let Some(intervals) = self.intervals.get(&numbering(range)) {
            let before = intervals.range(..=at).next_back();
            if let Some((_, end)) = before {
                at = at.max(*end);
            }
            // Nothing is left to ask for where one interval covers all of it.
            for (first, end) in intervals.range(at..range.end().max(at)) {
                if *first > at {
                    missing.push(part(at, *first));
                }
                at = *end;
            }
        }
        if at < range.end() {
            missing.push(part(at, range.end()));
        }
        missing
    }

    /// How many intervals it is kept in: what its memory grows with.
    pub fn interval_count(&self) -> usize {
        self.intervals.values().map(BTreeMap::len).sum()
    }

    /// Its intervals, in order.
    pub fn iter(&self) -> impl Iterator<Item = ItemRange> {
        self.intervals.iter().flat_map(|(numbering, intervals)| {
            intervals.iter().map(|(first, end)| ItemRange {
                first: *first,
                count: end - first,
                ..*numbering
            })
        })
    }
}

fn numbering(range: &ItemRange) -> ItemRange {
    ItemRange {
        first: 0,
        count: 0,
        ..*range
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::otlp::Signal;

    fn range((boot, first, count): (u64, u64, u64)) -> ItemRange {
        ItemRange {
            store: 7,
            boot,
            class: Signal::Logs.into(),
            signal: Signal::Logs,
            first,
            count,
        }
    }

    fn items(range: &ItemRange) -> impl Iterator<Item = (u64, u64)> {
        let boot = range.boot;
        (range.first..range.end()).map(move |item| (boot, item))
    }

    proptest! {
        /// Against a set of single items.
        #[test]
        fn is_a_set_of_items(
            added in prop::collection::vec((0..2_u64, 0..60_u64, 0..12_u64), 0..20),
            asked in (0..2_u64, 0..60_u64, 0..30_u64),
        ) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for one in added {
                ranges.insert(&range(one));
                model.extend(items(&range(one)));
            }
            let found: Vec<(u64, u64)> = ranges.iter().flat_map(|r| items(&r).collect::<Vec<_>>()).collect();
            prop_assert_eq!(&found, &model.iter().copied().collect::<Vec<_>>());
            let list: Vec<ItemRange> = ranges.iter().collect();
            prop_assert_eq!(list.len(), ranges.interval_count());
            prop_assert!(list.windows(2).all(|w| w[0].boot < w[1].boot || w[0].end() < w[1].first));
            let asked = range(asked);
            let missing: Vec<(u64, u64)> = ranges.missing(&asked).iter().flat_map(|r| items(r).collect::<Vec<_>>()).collect();
            let expect: Vec<(u64, u64)> = items(&asked).filter(|item| !model.contains(item)).collect();
            prop_assert_eq!(missing, expect);
        }
    }
}
