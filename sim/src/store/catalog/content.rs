//! What a published set consists of: the bytes of its chunks, and the list of their checksums.
//!
//! Bytes are made from their place (set, chunk, the version that last changed it) and never kept: a set of hundreds of megabytes
//! costs a page of memory. A chunk is one page of 4 KiB over and over, so head office computes its checksum without making it; whoever
//! receives it computes it over what really came.
//!
//! ```text
//! manifest := magic[8], version u32le, bytes u64le, chunk_bytes u32le, crc32c u32le * chunks
//! ```

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::{
    event::Set,
    scenario::{
        Scenario,
        shop::{CHUNKS_MAX, Publication},
    },
};

const MAGIC: &[u8; 8] = b"BRMANI01";
const PAGE_BYTES: usize = 4096;

/// What a scenario publishes of a set; media are a set whose every chunk is new.
pub(in crate::store) fn publication(scenario: &Scenario, set: Set) -> Option<Publication> {
    let catalog = scenario.shop.catalog.as_ref();
    match set {
        Set::Menu => catalog?.menu.clone(),
        Set::Reference => catalog?.reference.clone(),
        Set::Media => scenario.media.as_ref().map(|media| Publication {
            bytes: media.bytes,
            chunk: backroom_collector::config::ByteSize(MEDIA_CHUNK_BYTES),
            at: media.at.clone(),
            changed: 1.0,
        }),
    }
}

/// 1 MiB: a second of a line of 10 Mbit/s. A break costs no more than that, and heads cost a tenth of a thousandth.
const MEDIA_CHUNK_BYTES: u64 = 1 << 20;

/// The list of a version's chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Manifest {
    pub(in crate::store) version: u32,
    pub(in crate::store) bytes: u64,
    pub(in crate::store) chunk_bytes: u32,
    pub(in crate::store) checksums: Vec<u32>,
}

impl Manifest {
    /// That of a version, as head office makes it.
    pub(in crate::store) fn of(set: Set, publication: &Publication, version: u32) -> Self {
        let chunks = 0..publication.chunks();
        Self {
            version,
            bytes: publication.bytes.0,
            chunk_bytes: u32::try_from(publication.chunk.0).unwrap_or(u32::MAX),
            checksums: chunks
                .map(|index| checksum(set, publication, version, index))
                .collect(),
        }
    }

    pub(in crate::store) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(24 + 4 * self.checksums.len());
        out.put_slice(MAGIC);
        out.put_u32_le(self.version);
        out.put_u64_le(self.bytes);
        out.put_u32_le(self.chunk_bytes);
        self.checksums.iter().for_each(|sum| out.put_u32_le(*sum));
        out.freeze()
    }

    /// Reads one; `None` if it is none, such as the page of a portal.
    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let version = rest.try_get_u32_le().ok()?;
        let bytes = rest.try_get_u64_le().ok()?;
        let chunk_bytes = rest.try_get_u32_le().ok()?;
        let chunks = bytes.checked_div(u64::from(chunk_bytes))?;
        let chunks = chunks + u64::from(bytes % u64::from(chunk_bytes) > 0);
        if chunks > CHUNKS_MAX || rest.len() as u64 != 4 * chunks {
            return None;
        }
        let checksums = (0..chunks).map(|_| rest.get_u32_le()).collect();
        Some(Self {
            version,
            bytes,
            chunk_bytes,
            checksums,
        })
    }

    /// Size of a chunk.
    pub(in crate::store) fn chunk_bytes(&self, index: u32) -> u64 {
        let start = u64::from(index) * u64::from(self.chunk_bytes);
        self.bytes
            .saturating_sub(start)
            .min(u64::from(self.chunk_bytes))
    }
}

/// The bytes of a chunk; empty where there is none.
pub(in crate::store) fn chunk(
    set: Set,
    publication: &Publication,
    version: u32,
    index: u32,
) -> Bytes {
    let bytes = usize::try_from(publication.chunk_bytes(index)).unwrap_or(0);
    let page = page(set, changed_in(set, publication, version, index), index);
    let mut out = BytesMut::with_capacity(bytes);
    while out.len() < bytes {
        let rest = (bytes - out.len()).min(PAGE_BYTES);
        out.put_slice(&page[..rest]);
    }
    out.freeze()
}

fn checksum(set: Set, publication: &Publication, version: u32, index: u32) -> u32 {
    let bytes = usize::try_from(publication.chunk_bytes(index)).unwrap_or(0);
    let page = page(set, changed_in(set, publication, version, index), index);
    let whole = (0..bytes / PAGE_BYTES).fold(0, |sum, _| crc32c::crc32c_append(sum, &page));
    crc32c::crc32c_append(whole, &page[..bytes % PAGE_BYTES])
}

/// The version that last changed a chunk.
fn changed_in(set: Set, publication: &Publication, version: u32, index: u32) -> u32 {
    let changes = |version: &u32| {
        let draw = mix(place(set, *version, index)) >> 11;
        (draw as f64) < publication.changed * (1_u64 << 53) as f64
    };
    (2..=version).rev().find(changes).unwrap_or(1)
}

fn place(set: Set, version: u32, index: u32) -> u64 {
    (set as u64) << 62 ^ u64::from(version) << 32 ^ u64::from(index)
}

fn page(set: Set, version: u32, index: u32) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    let mut state = mix(place(set, version, index)) ^ 0x6261_636b_726f_6f6d;
    for word in page.chunks_exact_mut(8) {
        state = mix(state);
        word.copy_from_slice(&state.to_le_bytes());
    }
    page
}

/// SplitMix64 (Steele, Lea, Flood 2014): bytes need to be many, not secret.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use backroom_collector::config::ByteSize;
    use proptest::prelude::*;

    use super::*;

    fn set(bytes: u64, chunk: u64, changed: f64) -> Publication {
        Publication {
            bytes: ByteSize(bytes),
            chunk: ByteSize(chunk),
            at: Vec::new(),
            changed,
        }
    }

    #[test]
    fn a_version_changes_its_share_of_the_chunks() {
        let set = set(4_096_000, 4_096, 0.1);
        let [one, two, three] = [1, 2, 3].map(|v| Manifest::of(Set::Menu, &set, v));
        let differ = |a: &Manifest, b: &Manifest| {
            let pairs = a.checksums.iter().zip(&b.checksums);
            pairs.filter(|(a, b)| a != b).count()
        };
        // 1,000 chunks; four standard deviations are 38.
        assert!((62..=138).contains(&differ(&one, &two)));
        assert!((62..=138).contains(&differ(&two, &three)));
        assert!(differ(&one, &three) > differ(&one, &two));
        let all = super::tests::set(40_960, 4_096, 1.0);
        let [one, two] = [1, 2].map(|v| Manifest::of(Set::Media, &all, v));
        assert_eq!(differ(&one, &two), 10);
    }

    proptest! {
        #[test]
        fn checksums_are_those_of_the_bytes(
            bytes in 1_u64..100_000,
            chunk_pages in 1_u64..5,
            version in 1_u32..6,
        ) {
            let set = set(bytes, chunk_pages * 4_096, 0.3);
            let manifest = Manifest::of(Set::Reference, &set, version);
            prop_assert_eq!(manifest.checksums.len(), set.chunks() as usize);
            let mut whole = 0;
            for (index, sum) in (0..).zip(&manifest.checksums) {
                let chunk = chunk(Set::Reference, &set, version, index);
                prop_assert_eq!(crc32c::crc32c(&chunk), *sum);
                prop_assert_eq!(chunk.len() as u64, manifest.chunk_bytes(index));
                whole += chunk.len() as u64;
            }
            prop_assert_eq!(whole, bytes);
            prop_assert_eq!(Manifest::decode(&manifest.encode()), Some(manifest));
        }

        #[test]
        fn arbitrary_manifests_never_panic(
            begins_well in any::<bool>(),
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut all = if begins_well { MAGIC.to_vec() } else { Vec::new() };
            all.extend(bytes);
            if let Some(manifest) = Manifest::decode(&all) {
                prop_assert_eq!(manifest.encode(), all);
            }
        }
    }
}
