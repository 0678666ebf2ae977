//! Batches that stand in two segments, found without keeping every batch in memory.
//!
//! A batch whose sync failed is sealed again, with the same range, in another segment. To find such a pair among a million
//! batches takes no list of them: the batches of one segment follow each other, so a segment is a few *spans* of numbers, and only
//! segments with overlapping spans are looked at again. So memory grows with segments, not with batches. Next: `recovery`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    frame::{Header, Place},
    range::ItemRange,
    ranges::Ranges,
};
use crate::otlp::Signal;

/// Numbers of batches that follow each other in one segment, of any signal: a class is numbered as a whole.
#[derive(Clone, Copy, Debug)]
struct Span {
    range: ItemRange,
    segment: u64,
}

/// What is known of batches by their numbers.
#[derive(Debug, Default)]
pub(super) struct Twins {
    spans: Vec<Span>,
    /// Numbers that stand in two places.
    shared: Ranges,
    /// Batches with some of these numbers, in the order in which they were told.
    found: BTreeMap<ItemRange, Vec<(Place, Header)>>,
}

impl Twins {
    /// A batch, or what is left of one, stands in a segment.
    pub(super) fn meet(&mut self, segment: u64, range: &ItemRange) {
        let range = of_class(range);
        if let Some(last) = self.spans.last_mut()
            && last.segment == segment
            && numbering(&last.range) == numbering(&range)
            && last.range.end() == range.first
        {
            last.range.count += range.count;
            return;
        }
        self.spans.push(Span { range, segment });
    }

    /// The segments that share numbers with another one, in order: their headers are to be told once more, to
    /// [`Twins::look`].
    pub(super) fn segments(&mut self) -> BTreeSet<u64> {
        self.spans
            .sort_unstable_by_key(|span| (numbering(&span.range), span.range.first, span.segment));
        let mut segments = BTreeSet::new();
        // The one of those before that reaches farthest.
        let mut far: Option<Span> = None;
        for span in std::mem::take(&mut self.spans) {
            let same = far.filter(|far| numbering(&far.range) == numbering(&span.range));
            if let Some(far) = same
                && span.range.first < far.range.end()
            {
                segments.extend([far.segment, span.segment]);
                let end = span.range.end().min(far.range.end());
                let count = end - span.range.first;
                self.shared.insert(&ItemRange {
                    count,
                    ..span.range
                });
            }
            if same.is_none_or(|far| span.range.end() > far.range.end()) {
                far = Some(span);
            }
        }
        segments
    }

    /// A batch of one of these segments that counts.
    pub(super) fn look(&mut self, place: Place, header: &Header) {
        let range = of_class(&header.range);
        if self.shared.missing(&range) != [range] {
            let places = self.found.entry(header.range).or_default();
            places.push((place, *header));
        }
    }

    /// Whether a batch of exactly this range was found.
    pub(super) fn has(&self, range: &ItemRange) -> bool {
        self.found.contains_key(range)
    }

    /// The batches that another one stands for: of each range all but the last.
    pub(super) fn superseded(&self) -> Vec<(Place, Header)> {
        let all_but_last = |places: &Vec<(Place, Header)>| places[..places.len() - 1].to_vec();
        self.found.values().flat_map(all_but_last).collect()
    }
}

fn numbering(range: &ItemRange) -> (u64, u64, super::class::ClassName) {
    (range.store, range.boot, range.class)
}

fn of_class(range: &ItemRange) -> ItemRange {
    ItemRange {
        signal: Signal::Traces,
        ..*range
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::{codec::CodecId, frame::Kind};

    fn header((boot, first, count): (u64, u64, u64)) -> Header {
        Header {
            kind: Kind::Batch,
            codec: CodecId::None,
            payload_bytes: 1,
            payload_crc: 0,
            raw_bytes: 1,
            range: ItemRange {
                store: 7,
                boot,
                class: Signal::Logs.into(),
                signal: Signal::ALL[(first % 3) as usize],
                first,
                count,
            },
            born_min: 0,
            born_max: 0,
            commit: 0,
        }
    }

    proptest! {
        /// Against a map of all batches.
        #[test]
        fn finds_what_a_map_of_all_batches_finds(
            segments in prop::collection::vec(
                prop::collection::vec((0..2_u64, 0..30_u64, 1..6_u64), 0..6), 0..8),
        ) {
            let batches = || segments.iter().enumerate().flat_map(|(segment, batches)| {
                batches.iter().enumerate().map(move |(index, batch)| {
                    let place = Place { file: segment as u64, offset: index as u64 * 32 };
                    (place, header(*batch))
                })
            });
            let (mut model, mut expect) = (BTreeMap::new(), BTreeSet::new());
            let mut twins = Twins::default();
            for (place, header) in batches() {
                twins.meet(place.file, &header.range);
                expect.extend(model.insert(header.range, place));
            }
            let again = twins.segments();
            for (place, header) in batches().filter(|(place, _)| again.contains(&place.file)) {
                twins.look(place, &header);
            }
            let found = twins.superseded().into_iter().map(|(place, _)| place).collect();
            prop_assert_eq!(expect, found);
        }
    }

    #[test]
    fn what_follows_takes_one_span() {
        let mut twins = Twins::default();
        for number in 0..100_000 {
            twins.meet(number / 1000, &header((1, number * 3, 3)).range);
        }
        assert_eq!(twins.spans.len(), 100);
        assert_eq!(twins.segments().len(), 0);
    }
}
