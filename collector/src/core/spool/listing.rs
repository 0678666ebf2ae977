//! What is stored, for those who look: which batches of a segment wait, and what stands in the journal alone.

use bytes::Bytes;

use super::{FileId, FileKind, Spool};
use crate::core::{
    codec::CodecId,
    frame::{Header, Kind, Place},
};

/// Requests that are in no sealed batch yet: the next batch of their signal.
#[derive(Clone, Debug)]
pub struct Unsealed {
    /// A header as the batch would get, uncompressed.
    pub header: Header,
    /// Its requests in order; their concatenation is the batch.
    pub pieces: Vec<Bytes>,
}

impl Spool {
    /// Batch segments that hold something, with their length as it is counted.
    pub fn segments(&self) -> impl Iterator<Item = (FileId, u64)> {
        self.segments.iter().map(|(number, segment)| {
            let kind = FileKind::Batches;
            let number = *number;
            (FileId { kind, number }, segment.size.bytes)
        })
    }

    /// Whether the batch at `place` waits for delivery.
    pub fn is_waiting(&self, place: Place) -> bool {
        let segment = self.segments.get(&place.file);
        segment.is_some_and(|s| s.doomed.is_none() && !s.finished.contains(&place.offset))
    }

    /// What is durable in a journal only.
    pub fn unsealed_batches(&self) -> Vec<Unsealed> {
        let all = self.unsealed();
        all.map(|open| Unsealed {
            header: Header {
                codec: CodecId::None,
                payload_bytes: open.raw_bytes as u32,
                raw_bytes: open.raw_bytes as u32,
                range: open.range,
                born_min: open.born_min,
                born_max: open.born_max,
                ..self.header(Kind::Request, 0, 0)
            },
            pieces: open.pieces.clone(),
        })
        .collect()
    }
}
