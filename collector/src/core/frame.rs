//! Frames: the one unit of every file in the buffer. Layout and reasons: `docs/disk-format.md`.
//!
//! A frame is a header of 96 bytes with its own CRC32C, then a payload with another, padded to 32 bytes:
//!
//! ```text
//!  0  magic        4  b"BRf2"
//!  4  header crc   4  CRC32C of (file id, offset, bytes 8..96): a frame is valid at its own place only
//!  8  kind         1  see Kind          9  signal  1  0, 1, 2; 255 none
//! 10  zero         1                   11  codec   1  0 none, 1 gzip, 2 zstd
//! 12  payload      4  bytes            16  payload crc  4  CRC32C
//! 20  raw          4  bytes of the payload once decoded
//! 24  store  8     32  boot  8         40  first  8     48  count  8       the item range
//! 56  class       16  its name, then zeros
//! 72  born min  8  80  born max  8     unix nanoseconds
//! 88  commit       8  number of the group commit; 0 outside journals
//! 96  payload, then zeros to a multiple of 32
//! ```
//! All integers are little endian. Pure functions over bytes; who reads the bytes is `shell::store`. Next: `recovery`.

use super::{class::ClassName, range::ItemRange};
use crate::otlp::Signal;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 96;

/// Frames start at multiples of this, so that a scan after damage finds the next one.
pub const ALIGN: usize = 32;

/// Bytes of the trailer of a closed batch segment.
pub const TRAILER_BYTES: usize = 32;

const MAGIC: [u8; 4] = *b"BRf2";
const TRAILER_MAGIC: [u8; 4] = *b"BRx1";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// First frame of a journal segment: what has been finished before it.
    Checkpoint = 1,
    /// A request as it was accepted.
    Request = 2,
    /// A sealed batch.
    Batch = 3,
    /// Batches that are finished.
    Note = 4,
    /// Last frame of a closed batch segment: its headers again.
    Index = 5,
    /// An item that the receiver refused, with its words.
    Quarantined = 6,
    /// What each of several destinations has.
    Takes = 7,
    /// A request as it was accepted, with the range that its sender gave it.
    Relayed = 8,
    /// What stores have delivered before.
    Seen = 9,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Checkpoint,
            2 => Self::Request,
            3 => Self::Batch,
            4 => Self::Note,
            5 => Self::Index,
            6 => Self::Quarantined,
            7 => Self::Takes,
            8 => Self::Relayed,
            9 => Self::Seen,
            _ => return None,
        })
    }
}

/// A frame's header, without magic and checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame holds.
    pub kind: Kind,
    /// How the payload is compressed.
    pub codec: super::codec::CodecId,
    /// Payload length as stored.
    pub payload_bytes: u32,
    /// CRC32C of the payload as stored.
    pub payload_crc: u32,
    /// Payload length once decoded.
    pub raw_bytes: u32,
    /// Store and boot always; class, signal and items where there are items (`count` is 0 otherwise).
    pub range: ItemRange,
    /// Earliest birth of an item, unix nanoseconds.
    pub born_min: u64,
    /// Latest birth of an item, unix nanoseconds.
    pub born_max: u64,
    /// In a journal the group commit, from 1 in each boot. In a batch the number of the quarantine file that it was put back
    /// from. 0 elsewhere.
    pub commit: u64,
}

/// Where a frame stands. Part of its checksum: bytes that were copied or left from elsewhere are not taken for a frame,
/// nor is a frame's image inside somebody's telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's number.
    pub file: u64,
    /// Offset of the header.
    pub offset: u64,
}

impl Place {
    fn salt(self) -> u32 {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.file.to_le_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_le_bytes());
        crc32c::crc32c(&bytes)
    }
}

/// Bytes that a frame takes on disk.
pub fn frame_bytes(payload_bytes: usize) -> u64 {
    (HEADER_BYTES + payload_bytes).next_multiple_of(ALIGN) as u64
}

impl Kind {
    /// Whether it holds a request as it was accepted.
    pub fn is_request(self) -> bool {
        matches!(self, Self::Request | Self::Relayed)
    }
}

impl Header {
    /// The header as it stands on disk at `place`.
    pub fn encode(&self, place: Place) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        let signal = if self.range.count == 0 {
            255
        } else {
            self.range.signal.index() as u8
        };
        put(8, &[self.kind as u8, signal, 0, self.codec as u8]);
        put(12, &self.payload_bytes.to_le_bytes());
        put(16, &self.payload_crc.to_le_bytes());
        put(20, &self.raw_bytes.to_le_bytes());
        put(24, &self.range.store.to_le_bytes());
        put(32, &self.range.boot.to_le_bytes());
        put(40, &self.range.first.to_le_bytes());
        put(48, &self.range.count.to_le_bytes());
        if self.range.count > 0 {
            put(56, &self.range.class.to_bytes());
        }
        put(72, &self.born_min.to_le_bytes());
        put(80, &self.born_max.to_le_bytes());
        put(88, &self.commit.to_le_bytes());
        let crc = crc32c::crc32c_append(place.salt(), &out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header; `None` if there is none at that place. `data` may be longer.
    pub fn decode(data: &[u8], place: Place) -> Option<Self> {
        let data = data.get(..HEADER_BYTES)?;
        let u32_at = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().expect("8 bytes"));
        if data[..4] != MAGIC || u32_at(4) != crc32c::crc32c_append(place.salt(), &data[8..]) {
            return None;
        }
        let count = u64_at(48);
        let signal = match data[9] {
            255 if count == 0 => Signal::Traces,
            index if count > 0 => Signal::from_index(index.into())?,
            _ => return None,
        };
        let class = match count {
            0 => signal.into(),
            _ => ClassName::from_bytes(data[56..72].try_into().expect("16 bytes"))?,
        };
        Some(Self {
            kind: Kind::from_byte(data[8])?,
            codec: super::codec::CodecId::from_byte(data[11])?,
            payload_bytes: u32_at(12),
            payload_crc: u32_at(16),
            raw_bytes: u32_at(20),
            range: ItemRange {
                store: u64_at(24),
                boot: u64_at(32),
                class,
                signal,
                first: u64_at(40),
                count,
            },
            born_min: u64_at(72),
            born_max: u64_at(80),
            commit: u64_at(88),
        })
    }

    /// The numbering of its items.
    pub fn numbering(&self) -> super::notes::Numbering {
        (self.range.boot, self.range.class)
    }

    /// Bytes of the whole frame on disk.
    pub fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload_bytes as usize)
    }

    /// Whether `payload` is what was stored.
    pub fn is_intact(&self, payload: &[u8]) -> bool {
        payload.len() == self.payload_bytes as usize && crc32c::crc32c(payload) == self.payload_crc
    }
}

/// Appends a frame to `out`, whose first byte stands at `base`; fills in length and checksum of the payload.
///
/// # Panics
/// If the payload has 4 GiB or more.
pub fn append(out: &mut Vec<u8>, base: Place, mut header: Header, payload: &[u8]) -> Header {
    header.payload_bytes = u32::try_from(payload.len()).expect("a payload is below 4 GiB");
    header.payload_crc = crc32c::crc32c(payload);
    append_as_is(out, base, &header, payload);
    header
}

/// Appends a frame that was read elsewhere: the checksum of the payload stays, so that damage stays damage.
pub fn append_as_is(out: &mut Vec<u8>, base: Place, header: &Header, payload: &[u8]) {
    let place = Place {
        file: base.file,
        offset: base.offset + out.len() as u64,
    };
    out.extend_from_slice(&header.encode(place));
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// Something found in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A header that is valid at its place, and whether its payload is in the file.
    Frame {
        /// Offset of the header.
        offset: u64,
        /// The header.
        header: Header,
        /// False if the file ends inside the payload: a torn tail.
        is_whole: bool,
    },
    /// Bytes that are no frame; what they were is unknown.
    Gap {
        /// Where they begin.
        offset: u64,
        /// How many.
        bytes: u64,
    },
}

/// Walks a file from header to header without reading payloads, and finds its way again after damage.
///
/// Call [`Walk::want`], read those bytes, hand them to [`Walk::feed`], until `want` gives `None`.
#[derive(Debug)]
pub struct Walk {
    file: u64,
    file_bytes: u64,
    at: u64,
    gap_from: Option<u64>,
}

/// Bytes that are read at once while looking for the next frame.
const RESYNC_BYTES: usize = 64 * 1024;

impl Walk {
    /// A walk over the file with that number and length.
    pub fn new(file: u64, file_bytes: u64) -> Self {
        Self {
            file,
            file_bytes,
            at: 0,
            gap_from: None,
        }
    }

    /// Offset and length to read next; `None` at the end.
    pub fn want(&self) -> Option<(u64, usize)> {
        let left = self.file_bytes.saturating_sub(self.at);
        let bytes = if self.gap_from.is_some() {
            RESYNC_BYTES
        } else {
            HEADER_BYTES
        };
        (left > 0).then(|| (self.at, bytes.min(left as usize)))
    }

    /// Takes the bytes asked for (fewer if the file is shorter than told) and returns what was found in them.
    pub fn feed(&mut self, data: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut step = 0;
        while step == 0 || step + HEADER_BYTES <= data.len() {
            let place = Place {
                file: self.file,
                offset: self.at + step as u64,
            };
            if let Some(header) = Header::decode(&data[step..], place) {
                if let Some(offset) = self.gap_from.take() {
                    let bytes = place.offset - offset;
                    found.push(Found::Gap { offset, bytes });
                }
                let end = place.offset.saturating_add(header.frame_bytes());
                // The padding may be cut; the payload may not.
                let payload_end =
                    place.offset + (HEADER_BYTES as u64) + u64::from(header.payload_bytes);
                found.push(Found::Frame {
                    offset: place.offset,
                    header,
                    is_whole: payload_end <= self.file_bytes,
                });
                self.at = end;
                return found;
            }
            self.gap_from.get_or_insert(place.offset);
            step += ALIGN;
        }
        self.at += step as u64;
        if self.at >= self.file_bytes || data.is_empty() {
            self.at = self.file_bytes;
            if let Some(offset) = self.gap_from.take() {
                let bytes = self.file_bytes - offset;
                found.push(Found::Gap { offset, bytes });
            }
        }
        found
    }
}

/// Everything found in the bytes of a whole file.
pub fn scan(file: u64, data: &[u8]) -> Vec<Found> {
    let mut walk = Walk::new(file, data.len() as u64);
    let mut found = Vec::new();
    while let Some((offset, bytes)) = walk.want() {
        let offset = offset as usize;
        found.extend(walk.feed(&data[offset..offset + bytes]));
    }
    found
}

/// The payload of a frame found in `data`.
pub fn payload<'a>(data: &'a [u8], offset: u64, header: &Header) -> &'a [u8] {
    let start = offset as usize + HEADER_BYTES;
    let end = (start + header.payload_bytes as usize).min(data.len());
    &data[start.min(end)..end]
}

/// Encodes the end of a closed batch segment: an index frame and the trailer that points to it. The segment's bytes so far
/// are `base.offset`.
pub fn encode_footer(base: Place, template: Header, entries: &[(u64, Header)]) -> Vec<u8> {
    let mut index = Vec::with_capacity(entries.len() * INDEX_ENTRY_BYTES);
    for (offset, header) in entries {
        index.extend_from_slice(&offset.to_le_bytes());
        let place = Place {
            file: base.file,
            offset: *offset,
        };
        index.extend_from_slice(&header.encode(place));
    }
    let mut out = Vec::new();
    let header = Header {
        kind: Kind::Index,
        range: ItemRange {
            count: 0,
            ..template.range
        },
        codec: super::codec::CodecId::None,
        raw_bytes: index.len() as u32,
        ..template
    };
    append(&mut out, base, header, &index);
    let file_bytes = base.offset + (out.len() + TRAILER_BYTES) as u64;
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..4].copy_from_slice(&TRAILER_MAGIC);
    trailer[8..16].copy_from_slice(&base.offset.to_le_bytes());
    trailer[16..24].copy_from_slice(&file_bytes.to_le_bytes());
    let place = Place {
        file: base.file,
        offset: file_bytes - TRAILER_BYTES as u64,
    };
    let crc = crc32c::crc32c_append(place.salt(), &trailer[8..]);
    trailer[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&trailer);
    out
}

const INDEX_ENTRY_BYTES: usize = 8 + HEADER_BYTES;

/// Reads the last [`TRAILER_BYTES`] of a segment: offset and length of the index frame with its header.
pub fn decode_trailer(file: u64, file_bytes: u64, trailer: &[u8]) -> Option<(u64, usize)> {
    let u64_at = |at: usize| u64::from_le_bytes(trailer[at..at + 8].try_into().expect("8 bytes"));
    if trailer.len() != TRAILER_BYTES || trailer[..4] != TRAILER_MAGIC {
        return None;
    }
    let place = Place {
        file,
        offset: file_bytes.checked_sub(TRAILER_BYTES as u64)?,
    };
    let crc = crc32c::crc32c_append(place.salt(), &trailer[8..]);
    if trailer[4..8] != crc.to_le_bytes() || u64_at(16) != file_bytes {
        return None;
    }
    let index = u64_at(8);
    let bytes = place.offset.checked_sub(index)?;
    Some((index, usize::try_from(bytes).ok()?))
}

/// Reads the index frame of a closed segment; `None` if anything in it is damaged.
pub fn decode_index(place: Place, data: &[u8]) -> Option<Vec<(u64, Header)>> {
    let header = Header::decode(data, place)?;
    let payload = payload(data, 0, &header);
    if header.kind != Kind::Index || !header.is_intact(payload) {
        return None;
    }
    payload
        .chunks(INDEX_ENTRY_BYTES)
        .map(|entry| {
            let offset = u64::from_le_bytes(entry.get(..8)?.try_into().ok()?);
            let place = Place { offset, ..place };
            Some((offset, Header::decode(&entry[8..], place)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::codec::CodecId;

    fn header(count: u64) -> Header {
        Header {
            kind: Kind::Batch,
            codec: CodecId::Zstd,
            payload_bytes: 0,
            payload_crc: 0,
            raw_bytes: 7,
            range: ItemRange {
                store: 1,
                boot: 2,
                class: ClassName::new("gauges").unwrap(),
                signal: Signal::Metrics,
                first: 3,
                count,
            },
            born_min: 5,
            born_max: 6,
            commit: 9,
        }
    }

    fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<(u64, Header)>) {
        let (mut out, mut entries) = (Vec::new(), Vec::new());
        let base = Place { file: 4, offset: 0 };
        for (index, payload) in payloads.iter().enumerate() {
            let offset = out.len() as u64;
            entries.push((
                offset,
                append(&mut out, base, header(index as u64 + 1), payload),
            ));
        }
        (out, entries)
    }

    fn frames(found: &[Found]) -> Vec<(u64, Header)> {
        let whole = |found: &Found| match *found {
            Found::Frame {
                offset,
                header,
                is_whole: true,
            } => Some((offset, header)),
            _ => None,
        };
        found.iter().filter_map(whole).collect()
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8)
    }

    proptest! {
        #[test]
        fn is_read_as_written(payloads in payloads()) {
            let (data, entries) = file(&payloads);
            let found = scan(4, &data);
            prop_assert_eq!(frames(&found), entries.clone());
            prop_assert_eq!(found.len(), entries.len());
            for ((offset, header), expect) in entries.iter().zip(&payloads) {
                prop_assert_eq!(payload(&data, *offset, header), &expect[..]);
                prop_assert!(header.is_intact(expect));
            }
            // In another file, or moved by one frame, nothing is a frame.
            prop_assert!(frames(&scan(5, &data)).is_empty());
            let moved = [vec![0; ALIGN], data].concat();
            prop_assert!(frames(&scan(4, &moved)).is_empty());
        }

        /// One damaged byte costs at most the frame that it is in; found pieces cover the file in order.
        #[test]
        fn damage_costs_one_frame(payloads in payloads(), at: prop::sample::Index, bit in 0..8_u8) {
            let (mut data, entries) = file(&payloads);
            let at = at.index(data.len());
            data[at] ^= 1_u8 << bit;
            let found = scan(4, &data);
            let hit = entries.iter().rposition(|(offset, _)| *offset as usize <= at).unwrap();
            let mut expect = entries;
            if at < expect[hit].0 as usize + HEADER_BYTES {
                expect.remove(hit);
                prop_assert!(matches!(found[hit], Found::Gap { .. }), "{:?}", found);
            }
            prop_assert_eq!(frames(&found), expect);
        }

        #[test]
        fn a_cut_file_keeps_its_whole_frames(payloads in payloads(), at: prop::sample::Index) {
            let (mut data, entries) = file(&payloads);
            let at = at.index(data.len() + 1);
            data.truncate(at);
            let kept: Vec<_> = entries
                .into_iter()
                .filter(|(offset, header)| {
                    *offset as usize + HEADER_BYTES + header.payload_bytes as usize <= at
                })
                .collect();
            prop_assert_eq!(frames(&scan(4, &data)), kept);
        }

        #[test]
        fn noise_is_a_gap(data in prop::collection::vec(any::<u8>(), 0..2000)) {
            let found = scan(4, &data);
            let gap = Found::Gap { offset: 0, bytes: data.len() as u64 };
            prop_assert_eq!(found, if data.is_empty() { vec![] } else { vec![gap] });
        }

        #[test]
        fn an_index_holds_what_a_walk_finds(payloads in payloads(), flip: Option<(prop::sample::Index, u8)>) {
            let (mut data, entries) = file(&payloads);
            let base = Place { file: 4, offset: data.len() as u64 };
            let footer_at = data.len();
            data.extend(encode_footer(base, header(1), &entries));
            let flipped = flip.map(|(at, bit)| {
                let at = footer_at + at.index(data.len() - footer_at);
                data[at] ^= 1 << (bit % 8);
                at
            });
            let bytes = data.len() as u64;
            let index = decode_trailer(4, bytes, &data[data.len() - TRAILER_BYTES..])
                .and_then(|(offset, len)| {
                    let end = offset as usize + len;
                    decode_index(Place { file: 4, offset }, data.get(offset as usize..end)?)
                });
            match flipped {
                None => prop_assert_eq!(index, Some(entries)),
                // Damage is noticed, or it hit padding.
                Some(_) => prop_assert!(index.is_none() || index == Some(entries)),
            }
        }
    }
}
