//! Sets of sequence numbers, as ranges: a machine's telemetry is numbered, and millions of numbers are a few ranges.

use std::collections::BTreeMap;

/// A set of numbers. Ranges are half-open, disjoint, and never touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// Adds `start..end` and returns how many of them were there already.
    pub(crate) fn insert(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        let (mut from, mut to, mut present) = (start, end, 0);
        let touching: Vec<(u64, u64)> = self.touching(start, end).collect();
        for (s, e) in touching {
            present += e.min(end).saturating_sub(s.max(start));
            (from, to) = (from.min(s), to.max(e));
            self.0.remove(&s);
        }
        self.0.insert(from, to);
        present
    }

    /// How many of `start..end` are there.
    pub(crate) fn count(&self, start: u64, end: u64) -> u64 {
        self.touching(start, end)
            .map(|(s, e)| e.min(end).saturating_sub(s.max(start)))
            .sum()
    }

    /// The parts of `start..end` that are not there, in order.
    pub(crate) fn missing(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let (mut out, mut at) = (Vec::new(), start);
        for (s, e) in self.touching(start, end) {
            if s > at {
                out.push((at, s.min(end)));
            }
            at = at.max(e);
        }
        if at < end {
            out.push((at, end));
        }
        out
    }

    /// All numbers.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|(s, e)| e - s).sum()
    }

    /// All ranges, in order.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(s, e)| (*s, *e))
    }

    /// Ranges that overlap or touch `start..end`.
    fn touching(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        let before = self
            .0
            .range(..start)
            .next_back()
            .filter(|(_, e)| **e >= start);
        before
            .into_iter()
            .chain(self.0.range(start..=end))
            .map(|(s, e)| (*s, *e))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_behave_like_a_set(ops in prop::collection::vec((0u64..60, 0u64..12), 0..30), probe in (0u64..60, 0u64..20)) {
            let (mut ranges, mut model) = (RangeSet::default(), BTreeSet::new());
            for (start, len) in ops {
                let present = (start..start + len).filter(|n| !model.insert(*n)).count() as u64;
                prop_assert_eq!(ranges.insert(start, start + len), present);
            }
            let all: BTreeSet<u64> = ranges.iter().flat_map(|(s, e)| s..e).collect();
            prop_assert_eq!(&all, &model);
            prop_assert_eq!(ranges.len(), model.len() as u64);
            let (start, end) = (probe.0, probe.0 + probe.1);
            let missing: Vec<u64> = ranges.missing(start, end).into_iter().flat_map(|(s, e)| s..e).collect();
            prop_assert_eq!(missing, (start..end).filter(|n| !model.contains(n)).collect::<Vec<_>>());
            prop_assert_eq!(ranges.count(start, end), (start..end).filter(|n| model.contains(n)).count() as u64);
        }
    }
}
