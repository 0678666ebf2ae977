//! Export files: batches outside a buffer, with the item ranges that tell repeats.
//!
//! Two formats, both plain OTLP, both optionally compressed as a whole (`.gz`, `.zst`):
//!
//! **JSON lines**: one `Export*ServiceRequest` a line in OTLP/JSON, as the `otlpjsonfile` receiver of the OpenTelemetry
//! Collector reads it. A first member `"backroom"` carries what OTLP has no word for; readers that do not know it skip it.
//!
//! ```json
//! {"backroom":{"batch":"0000000000000abc-3-logs-1200-34","born":["…","…"],"signal":"logs"},"resourceLogs":[…]}
//! ```
//!
//! **Protobuf**: the whole file is one message, so it can be read whole with `docs/export.proto`, or field by field:
//!
//! ```proto
//! message Export { repeated Batch batches = 1; }
//! message Batch {
//!   string range = 1;      // store-boot-class-first-count
//!   fixed64 born_min = 2;  // unix nanoseconds at which the earliest item came in
//!   fixed64 born_max = 3;
//!   fixed32 crc32c = 4;    // CRC32C of range, born_min, born_max (8 bytes each, little endian) and request
//!   oneof request { bytes traces = 5; bytes metrics = 6; bytes logs = 7; }  // an encoded Export*ServiceRequest
//! }
//! ```
//!
//! What was not made by us is refused at the first wrong byte, with its place. Next: `write`, then `read`.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{ReadError, Reader};
pub use write::Writer;

use bytes::Bytes;

use crate::core::range::ItemRange;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One protobuf message for the whole file; byte for byte what was accepted.
    Proto,
    /// One OTLP/JSON request a line; unknown fields are left out.
    Json,
}

/// How a file is compressed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Compression {
    /// By the end of a file's name.
    pub fn from_name(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// A batch in an export file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who its items are.
    pub range: ItemRange,
    /// When its earliest item came in, unix nanoseconds.
    pub born_min: u64,
    /// When its latest item came in, unix nanoseconds.
    pub born_max: u64,
    /// The encoded request.
    pub request: Bytes,
}

/// Largest request in a file: far above what a collector takes in, far below what would exhaust a small machine.
pub const REQUEST_BYTES_MAX: usize = 256 << 20;

/// Fields of a batch.
mod field {
    pub(super) const BATCHES: u32 = 1;
    pub(super) const RANGE: u32 = 1;
    pub(super) const BORN_MIN: u32 = 2;
    pub(super) const BORN_MAX: u32 = 3;
    pub(super) const CRC: u32 = 4;
    /// Of traces; metrics and logs follow.
    pub(super) const REQUEST: u32 = 5;
}

/// Covers a batch as its file holds it: a digit of the range that flips would make it somebody else's.
fn checksum(range: &str, born_min: u64, born_max: u64, request: &[u8]) -> u32 {
    let born = [born_min.to_le_bytes(), born_max.to_le_bytes()].concat();
    let crc = crc32c::crc32c_append(crc32c::crc32c(range.as_bytes()), &born);
    crc32c::crc32c_append(crc, request)
}

/// The member of a line that is ours.
const MEMBER: &str = "backroom";
