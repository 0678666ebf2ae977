//! Takes batches out of the buffer because an operator says so, with an entry in the ledger. See `outbox` for other ends.

use std::ops::RangeInclusive;

use super::{Entry, FileId, FileKind, Lost, Spool};
use crate::core::{accounting::DropReason, class::ClassName, frame::Place};

/// What goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The class; `None` is all of them.
    pub class: Option<ClassName>,
    /// All of a batch's items were born in this range, unix nanoseconds.
    pub born: RangeInclusive<u64>,
    /// What the ledger says.
    pub reason: DropReason,
}

/// What [`Spool::purge`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Items that are gone; durable with the next commit.
    pub items: u64,
    /// It stopped at this segment, whose headers must be read first ([`Spool::index_loaded`]): then go on from its number.
    pub load: Option<(FileId, u64)>,
}

impl Spool {
    /// Drops sealed batches, in segments numbered `from` and higher; begin with 0.
    ///
    /// What is being sent, or is written at this moment, stays; so does what is not sealed yet.
    pub fn purge(&mut self, purge: &Purge, from: u64, unix_now: u64) -> Purged {
        let Purge {
            class,
            born,
            reason,
        } = purge;
        self.unix_now = unix_now;
        let before = self.accounting.stored_total();
        let mut load = None;
        let busy = self.sealing_segment();
        let mine = self.segments.range(from..).filter(|(number, segment)| {
            let lives = segment.batches > 0 && segment.doomed.is_none();
            let is_of_class = class.is_none_or(|class| class == segment.class);
            let overlaps =
                segment.births.oldest <= *born.end() && *born.start() <= segment.births.youngest;
            lives && is_of_class && overlaps && Some(**number) != busy
        });
        let mine: Vec<u64> = mine.map(|(number, _)| *number).collect();
        for number in mine {
            let segment = &self.segments[&number];
            if born.contains(&segment.births.oldest) && born.contains(&segment.births.youngest) {
                self.drop_segment(number, *reason);
                continue;
            }
            let Some(entries) = &segment.entries else {
                let kind = FileKind::Batches;
                load = Some((FileId { kind, number }, segment.size.bytes));
                break;
            };
            let goes = |entry: &&Entry| {
                let place = Place {
                    file: number,
                    offset: entry.offset,
                };
                born.contains(&entry.header.born_min)
                    && born.contains(&entry.header.born_max)
                    && !segment.finished.contains(&entry.offset)
                    && !self.sending.contains_key(&place)
            };
            let gone: Vec<Entry> = entries.iter().filter(goes).copied().collect();
            for entry in gone {
                let items = entry.header.range.count;
                self.lose(number, Lost::of(&entry.header, items, *reason));
                self.finish(number, &entry);
            }
        }
        Purged {
            items: before - self.accounting.stored_total(),
            load,
        }
    }
}
