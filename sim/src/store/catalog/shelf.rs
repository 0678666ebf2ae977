//! What a machine has of a published set: the version in use, and chunks of the next one. Sans-IO.
//!
//! A chunk that has come is put down before it counts, so a crash or a dead line costs the chunk under way and no other. The next
//! version is used when all of it is there, at once: until then the old one stands as it was. Next: `puller`.
//!
//! ```text
//! record := 1, version u32le, index u32le, crc32c u32le      a chunk of the next version
//!         | 2, version u32le, crc32c u32le * chunks          the version in use
//! ```

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::content::Manifest;
use crate::scenario::shop::CHUNKS_MAX;

const CHUNK: u8 = 1;
const IN_USE: u8 = 2;

/// The state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Shelf {
    version: u32,
    checksums: Vec<u32>,
    /// Chunks that have come since, by their number.
    next: BTreeMap<u32, u32>,
}

impl Shelf {
    /// What the journal says; without a word of it, what the installer left.
    pub(in crate::store) fn recover(records: &[Bytes], installed: Manifest) -> Self {
        let mut shelf = Self {
            version: installed.version,
            checksums: installed.checksums,
            next: BTreeMap::new(),
        };
        for record in records {
            // A record that makes no sense is none: its chunk is fetched again.
            let _ = shelf.replay(record);
        }
        shelf
    }

    fn replay(&mut self, mut record: &[u8]) -> Option<()> {
        match record.try_get_u8().ok()? {
            CHUNK => {
                let _version = record.try_get_u32_le().ok()?;
                let index = record.try_get_u32_le().ok()?;
                let checksum = record.try_get_u32_le().ok()?;
                if u64::from(index) < CHUNKS_MAX {
                    self.next.insert(index, checksum);
                }
            }
            IN_USE => {
                let version = record.try_get_u32_le().ok()?;
                if !record.len().is_multiple_of(4) || record.len() as u64 > 4 * CHUNKS_MAX {
                    return None;
                }
                let chunks = record.len() / 4;
                self.checksums = (0..chunks).map(|_| record.get_u32_le()).collect();
                self.version = version;
                self.next.clear();
            }
            _ => return None,
        }
        Some(())
    }

    /// The version in use.
    pub(in crate::store) fn version(&self) -> u32 {
        self.version
    }

    /// Chunks of a version that are neither in use nor here already.
    pub(in crate::store) fn missing(&self, manifest: &Manifest) -> Vec<u32> {
        let has = |index: u32, checksum: u32| {
            self.checksums.get(index as usize) == Some(&checksum)
                || self.next.get(&index) == Some(&checksum)
        };
        let chunks = (0..).zip(&manifest.checksums);
        chunks
            .filter(|(index, checksum)| !has(*index, **checksum))
            .map(|(index, _)| index)
            .collect()
    }

    /// The record of a chunk that is on the disk.
    pub(in crate::store) fn chunk(&self, version: u32, index: u32, checksum: u32) -> Bytes {
        let mut out = BytesMut::with_capacity(13);
        out.put_u8(CHUNK);
        out.put_u32_le(version);
        out.put_u32_le(index);
        out.put_u32_le(checksum);
        out.freeze()
    }

    /// The record of a chunk is durable.
    pub(in crate::store) fn has(&mut self, index: u32, checksum: u32) {
        self.next.insert(index, checksum);
    }

    /// Uses a version from now on; gives the record, which says all that is needed from before.
    ///
    /// # Panics
    /// If any of it is missing.
    pub(in crate::store) fn apply(&mut self, manifest: &Manifest) -> Bytes {
        let missing = self.missing(manifest);
        assert!(missing.is_empty(), "chunks {missing:?} are not there");
        self.version = manifest.version;
        self.checksums = manifest.checksums.clone();
        self.next.clear();
        let mut out = BytesMut::with_capacity(5 + 4 * self.checksums.len());
        out.put_u8(IN_USE);
        out.put_u32_le(self.version);
        self.checksums.iter().for_each(|sum| out.put_u32_le(*sum));
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(version: u32, checksums: &[u32]) -> Manifest {
        Manifest {
            version,
            bytes: 4_096 * checksums.len() as u64,
            chunk_bytes: 4_096,
            checksums: checksums.to_vec(),
        }
    }

    #[test]
    fn only_what_differs_is_fetched_and_nothing_twice() {
        let mut shelf = Shelf::recover(&[], manifest(1, &[10, 11, 12]));
        assert_eq!(shelf.version(), 1);
        let two = manifest(2, &[10, 21, 22]);
        assert_eq!(shelf.missing(&two), [1, 2]);
        let record = shelf.chunk(2, 1, 21);
        shelf.has(1, 21);
        assert_eq!(shelf.missing(&two), [2]);
        // A crash: the chunk that was put down is there, and version 1 in use.
        let mut shelf = Shelf::recover(&[record], manifest(1, &[10, 11, 12]));
        assert_eq!((shelf.version(), shelf.missing(&two)), (1, vec![2]));
        // Version 3 came out meanwhile; what it shares with 2 is not fetched again.
        let three = manifest(3, &[10, 21, 32, 33]);
        assert_eq!(shelf.missing(&three), [2, 3]);
        shelf.has(2, 32);
        shelf.has(3, 33);
        let record = shelf.apply(&three);
        assert!(shelf.missing(&three).is_empty());
        let again = Shelf::recover(&[record], manifest(1, &[10, 11, 12]));
        assert_eq!(again, shelf);
    }

    #[test]
    #[should_panic(expected = "chunks [1] are not there")]
    fn half_a_version_is_never_used() {
        let mut shelf = Shelf::recover(&[], manifest(1, &[10, 11]));
        shelf.apply(&manifest(2, &[10, 21]));
    }

    proptest! {
        #[test]
        fn arbitrary_records_never_panic(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let records: Vec<Bytes> = records.into_iter().map(Bytes::from).collect();
            let shelf = Shelf::recover(&records, manifest(1, &[1, 2]));
            shelf.missing(&manifest(2, &[1, 3]));
        }
    }
}
