//! Numbers that never came: items between the first and the last that a store delivered, of which nothing was seen.
//!
//! A gap is no loss by itself: what a store sends newest first, what waits there, what it dropped or put into quarantine, leaves
//! one. So a store says how much it keeps and dropped (`stores`), and what that does not explain is worth a look.

use super::{Known, Seen};

/// What is missing of a store's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Starts of its collector of which items are known.
    pub boots: u64,
    /// Items seen, those that are forgotten again not counted.
    pub seen_items: u64,
    /// Holes between them.
    pub holes: u64,
    /// Items in the holes.
    pub missing_items: u64,
}

impl Gaps {
    pub(super) fn of(known: &Known) -> Self {
        let mut gaps = Self::default();
        let mut last_boot = None;
        for ((boot, ..), track) in &known.tracks {
            gaps.boots += u64::from(last_boot != Some(*boot));
            last_boot = Some(*boot);
            let bounds = track.intervals.first_key_value();
            let Some(((first, _), (_, last))) = bounds.zip(track.intervals.last_key_value()) else {
                continue;
            };
            let items = track.items();
            let span = last.end - first;
            let hole_items = span - items;
            gaps.seen_items = gaps.seen_items.saturating_add(items);
            // What was forgotten in between was seen once. It may have stood before the first one, so a gap is rather told too small.
            let missing = hole_items.saturating_sub(track.forgotten);
            gaps.missing_items = gaps.missing_items.saturating_add(missing);
            if missing > 0 {
                gaps.holes += track.intervals.len() as u64 - 1;
            }
        }
        gaps
    }
}

impl Seen {
    /// What is missing of each store that is known, with the time at which it was heard last (unix seconds).
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u32, Gaps)> {
        let stores = self.stores.iter();
        stores.map(|(store, known)| (*store, known.heard_at, Gaps::of(known)))
    }
}
