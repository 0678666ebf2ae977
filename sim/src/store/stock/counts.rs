//! What the stock may not forget: portions of each item, which sales it has counted, the number of its last list. Sans-IO.
//!
//! ```text
//! record := 1, order u64le, lines                  a sale
//!         | 2, item u16le, portions u32le          more of an item
//!         | 3, seq u32le, portions u32le * items   all of it
//!         | 4, order u64le                         a sale that is in 3 already
//! ```

use std::collections::BTreeSet;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::{
    event::{ItemId, OrderId},
    store::{front::Lines, kds::Recent},
};

/// Sales that are told apart: a repeat comes within minutes, a busy day has some thousand sales.
const REMEMBERED_MAX: usize = 4096;

const SOLD: u8 = 1;
const FILLED: u8 = 2;
const COUNTS: u8 = 3;
const COUNTED: u8 = 4;

/// The state.
#[derive(Debug)]
pub(super) struct Counts {
    portions: Vec<u32>,
    counted: Recent,
    /// Grows with each change of what is sold out; 1 at the start.
    seq: u32,
}

/// What a sale changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Sold although none was left.
    pub(super) short: Vec<ItemId>,
    /// Sold out now.
    pub(super) sold_out: Vec<ItemId>,
}

impl Counts {
    /// Rebuilds the state from the journal over what was installed; records that make no sense are skipped.
    pub(super) fn recover(records: &[Bytes], installed: Vec<u32>) -> Self {
        let mut counts = Self {
            portions: installed,
            counted: Recent::new(REMEMBERED_MAX),
            seq: 1,
        };
        for record in records {
            // A record that is too short for what it says to be is none.
            let _ = counts.replay(record);
        }
        counts
    }

    fn replay(&mut self, mut record: &[u8]) -> Option<()> {
        match record.try_get_u8().ok()? {
            SOLD => {
                let order = record.try_get_u64_le().ok()?;
                self.take(order, &Lines::decode(record));
            }
            FILLED => {
                let item = record.try_get_u16_le().ok()?;
                let portions = record.try_get_u32_le().ok()?;
                self.put(item, portions);
            }
            COUNTS => {
                let seq = record.try_get_u32_le().ok()?;
                if record.len() != 4 * self.portions.len() {
                    return None;
                }
                self.seq = seq;
                for portions in &mut self.portions {
                    *portions = record.get_u32_le();
                }
            }
            COUNTED => {
                self.counted.insert(record.try_get_u64_le().ok()?);
            }
            _ => return None,
        }
        Some(())
    }

    /// Records that rebuild this state.
    pub(super) fn snapshot(&self) -> Vec<Bytes> {
        let mut all = BytesMut::with_capacity(5 + 4 * self.portions.len());
        all.put_u8(COUNTS);
        all.put_u32_le(self.seq);
        self.portions.iter().for_each(|n| all.put_u32_le(*n));
        let counted = self.counted.iter().map(|order| {
            let mut out = BytesMut::with_capacity(9);
            out.put_u8(COUNTED);
            out.put_u64_le(order);
            out.freeze()
        });
        [all.freeze()].into_iter().chain(counted).collect()
    }

    /// Number of the list of what is sold out.
    pub(super) fn seq(&self) -> u32 {
        self.seq
    }

    /// What is sold out.
    pub(super) fn out_of(&self) -> BTreeSet<ItemId> {
        let items = (0..).zip(&self.portions);
        items
            .filter(|(_, portions)| **portions == 0)
            .map(|(item, _)| item)
            .collect()
    }

    /// Whether a sale was counted.
    pub(super) fn knows(&self, order: OrderId) -> bool {
        self.counted.contains(order)
    }

    /// Counts a sale down; gives its record.
    pub(super) fn sell(&mut self, order: OrderId, lines: &Lines) -> (Bytes, Change) {
        let change = self.take(order, lines);
        let mut out = BytesMut::with_capacity(40);
        out.put_u8(SOLD);
        out.put_u64_le(order);
        lines.encode(&mut out);
        (out.freeze(), change)
    }

    /// There is more of an item; gives the record.
    pub(super) fn fill(&mut self, item: ItemId, portions: u32) -> Bytes {
        self.put(item, portions);
        let mut out = BytesMut::with_capacity(7);
        out.put_u8(FILLED);
        out.put_u16_le(item);
        out.put_u32_le(portions);
        out.freeze()
    }

    fn take(&mut self, order: OrderId, lines: &Lines) -> Change {
        let mut change = Change::default();
        if !self.counted.insert(order) {
            return change;
        }
        for item in lines.iter() {
            // What is not on the menu is not counted: a till may be ahead of the stock.
            let Some(portions) = self.portions.get_mut(usize::from(item)) else {
                continue;
            };
            match *portions {
                0 => change.short.push(item),
                1 => {
                    *portions = 0;
                    change.sold_out.push(item);
                }
                _ => *portions -= 1,
            }
        }
        if !change.sold_out.is_empty() {
            self.seq += 1;
        }
        change
    }

    fn put(&mut self, item: ItemId, more: u32) {
        if let Some(portions) = self.portions.get_mut(usize::from(item)) {
            if *portions == 0 && more > 0 {
                self.seq += 1;
            }
            *portions = portions.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(items: &[ItemId]) -> Lines {
        items.iter().copied().collect()
    }

    #[test]
    fn the_last_portion_is_told_once() {
        let mut counts = Counts::recover(&[], vec![2, 1, 5]);
        let (_, change) = counts.sell(1, &lines(&[0, 2, 2]));
        assert_eq!((change, counts.seq()), (Change::default(), 1));
        // Two portions of what has one: the second is short.
        let (_, change) = counts.sell(2, &lines(&[0, 1, 1]));
        let expect = Change {
            short: vec![1],
            sold_out: vec![0, 1],
        };
        assert_eq!((change, counts.seq()), (expect, 2));
        assert_eq!(counts.out_of(), BTreeSet::from([0, 1]));
        assert!(counts.knows(2));
        let (_, again) = counts.sell(2, &lines(&[2]));
        assert_eq!(again, Change::default());
        counts.fill(1, 10);
        assert_eq!((counts.out_of(), counts.seq()), (BTreeSet::from([0]), 3));
        let (_, change) = counts.sell(3, &lines(&[9]));
        assert_eq!(change, Change::default(), "not on the menu");
    }

    proptest! {
        #[test]
        fn the_journal_rebuilds_the_counts(
            steps in prop::collection::vec((0..6_u8, 0..20_u64, 0..5_u16), 0..60),
        ) {
            let installed = vec![3, 2, 1, 4];
            let mut counts = Counts::recover(&[], installed.clone());
            let mut journal = Vec::new();
            for (step, order, item) in steps {
                match step {
                    0 => journal.push(counts.fill(item, 2)),
                    1 => journal = counts.snapshot(),
                    _ if counts.knows(order) => {}
                    _ => journal.push(counts.sell(order, &lines(&[item, 0])).0),
                }
            }
            let again = Counts::recover(&journal, installed);
            prop_assert_eq!(&again.portions, &counts.portions);
            prop_assert_eq!(again.seq, counts.seq);
            let known = |c: &Counts| c.counted.iter().collect::<Vec<_>>();
            prop_assert_eq!(known(&again), known(&counts));
        }

        #[test]
        fn arbitrary_records_never_panic(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let records: Vec<Bytes> = records.into_iter().map(Bytes::from).collect();
            Counts::recover(&records, vec![1; 4]).snapshot();
        }
    }
}
