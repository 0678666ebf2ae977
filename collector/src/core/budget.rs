//! What was used of a metered line, and that it is never forgotten.
//!
//! **Problem.** A carrier counts every byte and charges for what is beyond the allowance. A counter in memory is lost with the
//! process, and one that is written after each request costs a sync each.
//!
//! **What we do.** Bytes are taken ahead: [`Account::lease`] bytes are written down as used before any of them is sent, and what goes out
//! is taken from them. After a clean end the exact count is written; after any other end the whole lease counts as used. So the
//! count may be too high by a lease, and is never too low.
//!
//! **The file** has two slots of a block each, written in turn, so a torn write leaves the one before:
//!
//! ```text
//! magic u64le, sequence u64le, count u32le, then for each line: name [16], period start i64le, used u64le;  crc32c u32le of all that
//! ```
//!
//! Bytes are those of [`line_bytes`]. When a period begins is decided in `link`; who asks stands in `shell::links`.

use std::collections::BTreeMap;

use super::{
    class::{ClassName, NAME_BYTES_MAX},
    pacing::{MSS, SEGMENT_HEADER_BYTES},
};

/// A slot: a block of the usual file systems, so that it is written as one.
pub const SLOT_BYTES: usize = 4096;

/// Both slots.
pub const FILE_BYTES: usize = 2 * SLOT_BYTES;

/// Lines that a slot has room for: those of the configuration, and as many that were there before.
pub const LINES_MAX: usize = 64;

const MAGIC: u64 = u64::from_le_bytes(*b"bkrmlink");
const HEAD_BYTES: usize = 8 + 8 + 4;
const LINE_BYTES: usize = NAME_BYTES_MAX + 8 + 8;

/// An answer of OTLP with its headers: some 200 bytes are usual, an error's words come to this.
const ANSWER_BYTES: u64 = 640;

/// Opening and closing a connection, both directions: seven segments without data.
const CONNECTION_BYTES: u64 = 7 * SEGMENT_HEADER_BYTES;

/// A full handshake of TLS 1.3 with a chain of two certificates, both directions.
const HANDSHAKE_BYTES: u64 = 6 * 1024;

/// What a request of so many bytes on the wire (`pacing::wire_bytes`) costs on a line that is charged in both directions: itself,
/// an acknowledgement for each of its segments, and its answer. Bytes that are sent again after a loss are not in it.
pub fn line_bytes(wire_bytes: u64) -> u64 {
    let segments = wire_bytes.div_ceil(MSS + SEGMENT_HEADER_BYTES);
    wire_bytes + segments * SEGMENT_HEADER_BYTES + ANSWER_BYTES
}

/// What it costs to open a connection for it.
pub fn connection_bytes(is_tls: bool) -> u64 {
    CONNECTION_BYTES + if is_tls { HANDSHAKE_BYTES } else { 0 }
}

/// What was used of one line in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// When the period began, seconds since 1970.
    pub period: i64,
    /// Bytes.
    pub used: u64,
    /// How many bytes are written down as used.
    durable: u64,
    /// Bytes that requests under way may take yet, because a kept connection may turn out to be closed.
    held: u64,
}

impl Account {
    /// What was written down before.
    pub fn found(period: i64, used: u64) -> Self {
        Self {
            period,
            used,
            durable: used,
            held: 0,
        }
    }

    /// Goes over to the period that began then. A clock that was set back ends no period; one that was far ahead must not keep
    /// the next one from beginning.
    pub fn roll(&mut self, began: i64, now: i64) {
        if began > self.period {
            let held = self.held;
            *self = Self {
                period: began,
                held,
                ..Self::default()
            };
        } else if self.period > now {
            self.period = began;
        }
    }

    /// Takes bytes, if they are written down as used already, with so many more that may follow ([`Account::add`]) until
    /// [`Account::release`]; otherwise [`Account::lease`] comes first.
    #[must_use]
    pub fn take(&mut self, bytes: u64, spare: u64) -> bool {
        let is_durable = self.lease(bytes, spare) <= self.durable;
        if is_durable {
            self.used += bytes;
            self.held += spare;
        }
        is_durable
    }

    /// Counts bytes that go out again, of those that were spare.
    pub fn add(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
    }

    /// The request has ended: what was spare for it is not needed any more.
    pub fn release(&mut self, spare: u64) {
        self.held = self.held.saturating_sub(spare);
    }

    /// What counts as used if the process is killed now.
    pub fn written(&self) -> u64 {
        self.durable.max(self.used)
    }

    /// Gives back bytes that were taken and did not go out.
    pub fn give_back(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// How much to write down as used, so that `bytes` can be taken: `ahead` more than they need.
    pub fn lease(&self, bytes: u64, ahead: u64) -> u64 {
        let all = [self.used, self.held, bytes, ahead];
        all.into_iter().fold(0, u64::saturating_add)
    }

    /// So many bytes are written down as used, and synced. Of another period it says nothing.
    pub fn leased(&mut self, period: i64, bytes: u64) {
        if period == self.period {
            self.durable = self.durable.max(bytes);
        }
    }
}

/// What is written down: for each line the period and what counts as used in it.
pub type Written = BTreeMap<ClassName, (i64, u64)>;

/// The slot for a sequence number, one higher than that of the other slot. Of more than [`LINES_MAX`] lines those whose period is the
/// oldest are left out.
pub fn encode(sequence: u64, written: &Written) -> Vec<u8> {
    let mut lines: Vec<_> = written.iter().collect();
    lines.sort_by_key(|(name, (period, _))| (std::cmp::Reverse(*period), **name));
    lines.truncate(LINES_MAX);
    let mut out = Vec::with_capacity(SLOT_BYTES);
    out.extend(MAGIC.to_le_bytes());
    out.extend(sequence.to_le_bytes());
    out.extend((lines.len() as u32).to_le_bytes());
    for (name, (period, used)) in lines {
        out.extend(name.to_bytes());
        out.extend(period.to_le_bytes());
        out.extend(used.to_le_bytes());
    }
    out.extend(crc32c::crc32c(&out).to_le_bytes());
    out.resize(SLOT_BYTES, 0);
    out
}

/// Where a slot with that sequence number stands.
pub fn slot_offset(sequence: u64) -> u64 {
    sequence % 2 * SLOT_BYTES as u64
}

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The newest slot that is whole, and its sequence number.
    Whole(u64, Written),
    /// There is no file, or an empty one: nothing was used.
    Missing,
    /// There is something, and it says nothing: nobody knows what was used.
    Damaged,
}

/// Reads a file, whatever is in it.
pub fn decode(file: &[u8]) -> Read {
    if file.is_empty() {
        return Read::Missing;
    }
    let slots = file.chunks(SLOT_BYTES).take(2).filter_map(decode_slot);
    let newest = slots.max_by_key(|(sequence, _)| *sequence);
    newest.map_or(Read::Damaged, |(sequence, written)| {
        Read::Whole(sequence, written)
    })
}

fn decode_slot(slot: &[u8]) -> Option<(u64, Written)> {
    let word = |at: usize| Some(u64::from_le_bytes(slot.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u32::from_le_bytes(slot.get(at..at + 4)?.try_into().ok()?));
    if word(0)? != MAGIC {
        return None;
    }
    let (sequence, count) = (word(8)?, half(16)? as usize);
    if count > LINES_MAX {
        return None;
    }
    let end = HEAD_BYTES + count * LINE_BYTES;
    if half(end)? != crc32c::crc32c(slot.get(..end)?) {
        return None;
    }
    let line = |index: usize| {
        let at = HEAD_BYTES + index * LINE_BYTES;
        let name = slot.get(at..at + NAME_BYTES_MAX)?.try_into().ok()?;
        let period = word(at + NAME_BYTES_MAX)? as i64;
        Some((
            ClassName::from_bytes(name)?,
            (period, word(at + NAME_BYTES_MAX + 8)?),
        ))
    };
    let lines: Option<Written> = (0..count).map(line).collect();
    Some((sequence, lines?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ClassName {
        ClassName::new(text).unwrap()
    }

    fn two() -> Written {
        [(name("lte"), (100, 7)), (name("sat"), (-5, u64::MAX))].into()
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let check = |file: &[u8], expect: Read| assert_eq!(decode(file), expect);
        let old: Written = [(name("lte"), (100, 3))].into();
        let (first, second) = (encode(8, &old), encode(9, &two()));
        check(b"", Read::Missing);
        check(&first, Read::Whole(8, old.clone()));
        let both = [first.clone(), second.clone()].concat();
        check(&both, Read::Whole(9, two()));
        // A torn write of the second slot leaves the first.
        let torn = [&first[..], &second[..30], &[0; SLOT_BYTES - 30]].concat();
        check(&torn, Read::Whole(8, old.clone()));
        check(&[&first[..], &second[..30]].concat(), Read::Whole(8, old));
        check(&[0; FILE_BYTES], Read::Damaged);
        check(b"12 bytes", Read::Damaged);
        let many = (0..100).map(|n| (name(&format!("line-{n}")), (i64::from(n), 1)));
        let Read::Whole(_, kept) = decode(&encode(1, &many.collect())) else {
            panic!("it has room for them");
        };
        assert_eq!(kept.len(), LINES_MAX);
        assert!(kept.contains_key(&name("line-99")), "the newest are kept");
    }

    proptest! {
        /// Any bytes are read, and no damage gives another count.
        #[test]
        fn damage_is_found(flip in 0..SLOT_BYTES, mask in 1..=255_u8, noise in prop::collection::vec(any::<u8>(), 0..9000)) {
            decode(&noise);
            let mut file = encode(9, &two());
            file[flip] ^= mask;
            let used = HEAD_BYTES + 2 * LINE_BYTES + 4;
            let expect = if flip < used { Read::Damaged } else { Read::Whole(9, two()) };
            prop_assert_eq!(decode(&file), expect);
        }

        /// Whenever it is killed, what is written down is at least what went out, requests that went out twice included, and at
        /// most a lease more for each kill.
        #[test]
        fn a_kill_forgets_nothing(
            steps in prop::collection::vec((1..100_000_u64, 0..10_u8), 1..200),
            ahead in 100_000..1_000_000_u64,
        ) {
            let mut account = Account::default();
            let (mut on_disk, mut went_out, mut kills) = (0, 0, 0);
            let mut under_way = Vec::new();
            for (bytes, kind) in steps {
                match kind {
                    0 => {
                        prop_assert!(on_disk >= went_out, "{on_disk} {went_out}");
                        kills += 1;
                        account = Account::found(0, on_disk);
                        under_way.clear();
                    }
                    1 => if let Some(bytes) = under_way.pop() {
                        account.release(bytes);
                        // The kept connection was closed, or nothing went out at all.
                        account.add(bytes);
                        went_out += bytes;
                        account.give_back(bytes);
                        went_out -= bytes;
                    },
                    2 => if let Some(bytes) = under_way.pop() {
                        account.add(bytes);
                        account.release(bytes);
                        went_out += bytes;
                    },
                    3 => if let Some(bytes) = under_way.pop() {
                        account.release(bytes);
                    },
                    _ => {
                        if !account.take(bytes, bytes) {
                            on_disk = account.lease(bytes, ahead);
                            account.leased(0, on_disk);
                            prop_assert!(account.take(bytes, bytes));
                        }
                        under_way.push(bytes);
                        went_out += bytes;
                    }
                }
                prop_assert!(on_disk >= went_out, "{on_disk} {went_out}");
            }
            let lease = ahead + 200 * 100_000;
            prop_assert!(on_disk <= went_out + (kills + 1) * lease);
        }
    }

    #[test]
    fn a_clock_that_jumps_neither_frees_nor_locks_the_budget() {
        let used = Account::found;
        let check = |mut account: Account, began, now, expect: Account| {
            account.roll(began, now);
            assert_eq!(account, expect);
        };
        check(used(100, 7), 100, 150, used(100, 7));
        check(used(100, 7), 200, 210, used(200, 0));
        // Set back by a period: what was used stays used.
        check(used(200, 7), 100, 210, used(200, 7));
        // It was years ahead once.
        check(used(90_000, 7), 100, 150, used(100, 7));
    }

    #[test]
    fn a_line_is_charged_in_both_directions() {
        assert_eq!(line_bytes(1500), 1500 + 40 + 640);
        assert_eq!(line_bytes(15_001), 15_001 + 11 * 40 + 640);
        assert!(connection_bytes(true) > connection_bytes(false));
    }
}
