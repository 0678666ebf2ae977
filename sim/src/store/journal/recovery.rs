//! Reads a journal's file back: every whole record, whatever was torn or has rotten between them. Sans-IO.
//!
//! Behind a damaged record the next whole one is looked for, byte by byte; a checksum of 32 bits says that it is one. Where what lies
//! in between is a whole record but for its length, it is taken: the checksum covers the right one. What lies behind the last whole
//! record and is too short for what it says to be is a torn write, of which nobody was promised anything: it is cut off and not told
//! (last records of which the first rots in its length and elsewhere look the same). Who writes is `journal`.

use bytes::Bytes;

use super::{HEADER_BYTES, MAGIC, RECORD_BYTES_MAX, checksum};

/// Length and checksum.
const RECORD_HEADER_BYTES: usize = 8;

/// 256 MiB of checksums while looking for the next record: a second of one core. A file that needs more is all damage from there.
const SEARCH_BYTES_MAX: usize = 256 << 20;

/// What a journal has lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Places that could not be read.
    pub(crate) places: u32,
    /// Records that were lost in them, at most. Where lengths are damaged too, as many empty ones as there is room for, unless the
    /// rotten lengths happen to lead to the next whole record: then they are believed.
    pub(crate) records_max: u32,
    /// Bytes of the places.
    pub(crate) bytes: u64,
}

impl Damage {
    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        self.places == 0
    }
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whole records, oldest first.
    pub(super) records: Vec<Bytes>,
    pub(super) damage: Damage,
}

/// Takes a file apart. Any bytes at all are a valid input; an empty file is an empty journal.
pub(super) fn recover(file: &Bytes) -> Found {
    let mut scan = Scan {
        file,
        searched_bytes: 0,
    };
    let mut found = Found::default();
    if file.len() < HEADER_BYTES {
        // Its first write was torn, or it is new.
        return found;
    }
    let is_ours = file.starts_with(MAGIC);
    if !is_ours {
        // Eight bytes that only say what this is: records stand behind them all the same.
        found.damage.lost(0, HEADER_BYTES);
    }
    let mut at = HEADER_BYTES;
    while at < file.len() {
        if let Some(end) = scan.whole(at) {
            found
                .records
                .push(file.slice(at + RECORD_HEADER_BYTES..end));
            at = end;
            continue;
        }
        let next = scan.search(at + 1);
        let end = next.unwrap_or(file.len());
        if scan.is_whole_of(at, end) {
            found
                .records
                .push(file.slice(at + RECORD_HEADER_BYTES..end));
            found.damage.lost(0, 4);
        } else if let Some(records) = scan.records_by_length(at, end) {
            found.damage.lost(records, end - at);
        } else if next.is_some() || !is_ours || scan.is_exhausted() || scan.is_overlong(at) {
            // The lengths do not tell how many it was, nor do the records that are left: the lost ones may have been the small ones.
            let most = (end - at).div_ceil(RECORD_HEADER_BYTES);
            found
                .damage
                .lost(u32::try_from(most).unwrap_or(u32::MAX), end - at);
        }
        at = end;
    }
    found
}

impl Damage {
    fn lost(&mut self, records: u32, bytes: usize) {
        self.places += 1;
        self.records_max = self.records_max.saturating_add(records);
        self.bytes += bytes as u64;
    }
}

struct Scan<'a> {
    file: &'a Bytes,
    searched_bytes: usize,
}

impl Scan<'_> {
    /// Length and checksum of the record at `at`.
    fn header(&self, at: usize) -> Option<([u8; 4], u32)> {
        let header = self.file.get(at..)?.first_chunk::<RECORD_HEADER_BYTES>()?;
        let length: [u8; 4] = header[..4].try_into().expect("four of eight bytes");
        let crc: [u8; 4] = header[4..].try_into().expect("four of eight bytes");
        Some((length, u32::from_le_bytes(crc)))
    }

    /// Where the record at `at` would end, if its length can be right.
    fn end_by_length(&self, at: usize) -> Option<usize> {
        let (length, _) = self.header(at)?;
        let bytes = u32::from_le_bytes(length) as usize;
        let end = at + RECORD_HEADER_BYTES + bytes;
        (bytes <= RECORD_BYTES_MAX && end <= self.file.len()).then_some(end)
    }

    /// Where the record at `at` ends, if it is whole.
    fn whole(&self, at: usize) -> Option<usize> {
        let (length, crc) = self.header(at)?;
        let end = self.end_by_length(at)?;
        let payload = &self.file[at + RECORD_HEADER_BYTES..end];
        (checksum(length, payload) == crc).then_some(end)
    }

    /// Whether `at..end` is a whole record, but for its length.
    fn is_whole_of(&self, at: usize, end: usize) -> bool {
        let Some((_, crc)) = self.header(at) else {
            return false;
        };
        let Some(payload) = self.file.get(at + RECORD_HEADER_BYTES..end) else {
            return false;
        };
        payload.len() <= RECORD_BYTES_MAX
            && checksum((payload.len() as u32).to_le_bytes(), payload) == crc
    }

    /// How many records `at..end` is by their lengths; `None` if they do not end there.
    fn records_by_length(&self, mut at: usize, end: usize) -> Option<u32> {
        let mut records = 0;
        while at < end {
            at = self.end_by_length(at)?;
            records += 1;
        }
        (at == end).then_some(records)
    }

    /// No record of ours has such a length: it rotted, since a torn write keeps the beginning of what was written.
    fn is_overlong(&self, at: usize) -> bool {
        let header = self.header(at);
        header.is_some_and(|(length, _)| u32::from_le_bytes(length) as usize > RECORD_BYTES_MAX)
    }

    fn is_exhausted(&self) -> bool {
        self.searched_bytes >= SEARCH_BYTES_MAX
    }

    /// The first whole record at or behind `from`.
    fn search(&mut self, from: usize) -> Option<usize> {
        for at in from..self.file.len() {
            if self.is_exhausted() {
                return None;
            }
            let Some(end) = self.end_by_length(at) else {
                continue;
            };
            self.searched_bytes += end - at;
            if self.whole(at).is_some() {
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::{
        super::{encode, encode_all},
        *,
    };

    fn file_of(payloads: &[Vec<u8>]) -> Bytes {
        let payloads: Vec<Bytes> = payloads.iter().cloned().map(Bytes::from).collect();
        encode_all(&payloads)
    }

    /// Where each record of these payloads begins, and the end of the last.
    fn bounds(payloads: &[Vec<u8>]) -> Vec<usize> {
        (0..=payloads.len())
            .map(|n| file_of(&payloads[..n]).len())
            .collect()
    }

    /// Flips bits of a file with ten records of 40 bytes; gives the records that are left by number, and the damage.
    fn check(flips: &[(usize, u8)], expect: &[usize], damage: Damage) {
        let payloads: Vec<Vec<u8>> = (0..10_u8).map(|n| vec![n + 1; 40]).collect();
        let mut file = file_of(&payloads).to_vec();
        for (at, mask) in flips {
            file[*at] ^= mask;
        }
        let found = recover(&file.into());
        let left: Vec<usize> = found
            .records
            .iter()
            .map(|r| usize::from(r[0]) - 1)
            .collect();
        assert_eq!(left, expect, "{flips:?}");
        assert_eq!(found.damage, damage, "{flips:?}");
    }

    fn damage(places: u32, records_max: u32, bytes: u64) -> Damage {
        Damage {
            places,
            records_max,
            bytes,
        }
    }

    /// The lost ones were smaller than any that is left.
    #[test]
    fn small_records_that_are_lost_are_told() {
        let payloads = [vec![1; 8], vec![2], vec![3; 34], vec![4], vec![5; 21]];
        let bounds = bounds(&payloads);
        let mut file = file_of(&payloads).to_vec();
        file[bounds[0] + 3] ^= 0x80;
        for record in 1..4 {
            file[bounds[record] + 4] ^= 1;
        }
        let found = recover(&file.into());
        assert_eq!(found.records, [vec![5; 21]]);
        assert!(found.damage.records_max >= 4, "{:?}", found.damage);
    }

    #[test]
    fn one_damaged_record_costs_one_record() {
        let without =
            |gone: &[usize]| -> Vec<usize> { (0..10).filter(|n| !gone.contains(n)).collect() };
        let start = |record: usize| HEADER_BYTES + record * 48;
        check(&[], &without(&[]), damage(0, 0, 0));
        // In the payload, in the checksum, at both ends of the file.
        check(&[(start(4) + 20, 1)], &without(&[4]), damage(1, 1, 48));
        check(&[(start(4) + 5, 1)], &without(&[4]), damage(1, 1, 48));
        check(&[(start(0) + 9, 1)], &without(&[0]), damage(1, 1, 48));
        check(&[(start(9) + 9, 1)], &without(&[9]), damage(1, 1, 48));
        // In the length: too small, too large for the file, too large for any record. The checksum tells the right one.
        for (byte, mask) in [(0, 0x08), (1, 0x40), (3, 0x80)] {
            check(&[(start(4) + byte, mask)], &without(&[]), damage(1, 0, 4));
            check(&[(start(9) + byte, mask)], &without(&[]), damage(1, 0, 4));
        }
        // Two neighbours, the first in its length: one place, and no telling how many records it was.
        let both = [(start(4) + 3, 0x80), (start(5) + 20, 1)];
        check(&both, &without(&[4, 5]), damage(1, 12, 96));
        check(
            &[(start(4) + 20, 1), (start(6) + 20, 1)],
            &without(&[4, 6]),
            damage(2, 2, 96),
        );
        // The eight bytes in front.
        check(&[(3, 0xff)], &without(&[]), damage(1, 0, 8));
    }

    proptest! {
        /// Whatever was cut off, the records before it are there, and a torn tail is not told as damage.
        #[test]
        fn what_lies_before_a_torn_write_survives(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = file_of(&payloads);
            let torn = whole.slice(..cut.index(whole.len() + 1));
            let found = recover(&torn);
            let ends = bounds(&payloads);
            let expected = ends.iter().filter(|&&end| end <= torn.len()).count().saturating_sub(1);
            prop_assert_eq!(&found.records[..], &payloads[..expected]);
            prop_assert!(found.damage.is_none());
        }

        /// Whatever bits of a record rot, all others are there, in order, and nothing is made up.
        #[test]
        fn what_is_not_damaged_survives(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..12),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6),
        ) {
            let mut damaged = file_of(&payloads).to_vec();
            let ends = bounds(&payloads);
            let mut hit = std::collections::BTreeSet::new();
            let mut is_length_hit = false;
            for (at, mask) in flips {
                let at = at.index(damaged.len());
                damaged[at] ^= mask;
                let record = (0..payloads.len()).find(|n| (ends[*n]..ends[n + 1]).contains(&at));
                is_length_hit |= record.is_some_and(|n| at < ends[n] + 4);
                hit.extend(record);
            }
            let found = recover(&damaged.into());
            let lost = payloads.len() - found.records.len();
            prop_assert!(lost <= hit.len(), "{lost} records are lost, {hit:?} were hit");
            // Those at the end may look like a torn write.
            let end = (0..payloads.len()).rev().take_while(|n| hit.contains(n)).count();
            let told = if is_length_hit {
                found.damage.bytes as usize / RECORD_HEADER_BYTES
            } else {
                found.damage.records_max as usize
            };
            prop_assert!(lost <= told + end, "{lost} records are lost, {:?}", found.damage);
            let mut left = payloads.iter();
            for record in &found.records {
                prop_assert!(left.any(|payload| payload == record), "{record:?} in order");
            }
        }

        /// Any bytes at all are a valid input, and what is found is a journal.
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut file = BytesMut::from(&MAGIC[..]);
            encode(&mut file, b"first");
            file.extend_from_slice(&bytes);
            let found = recover(&file.freeze());
            prop_assert_eq!(&found.records[0][..], b"first");
            let again = recover(&encode_all(&found.records));
            prop_assert_eq!(again.records, found.records);
            recover(&bytes.into());
        }
    }
}
