//! OTLP/JSON and protobuf, turned into each other by the schema's tables; no message is ever built in between.
//!
//! The rules are protobuf's JSON mapping with OTLP's exceptions: lowerCamelCase names only, trace and span ids in hex of
//! any case, enumerations as integers only, 64-bit integers as string or number (written as string), other bytes in
//! base64, `"NaN"` and `"Infinity"`, `null` for absent, unknown names ignored.
//!
//! - [`to_json`] writes one line. What JSON cannot say is left out: unknown fields, and the bits of a NaN.
//! - [`from_json`] reads a stream of tokens and writes protobuf as it goes, so memory holds the text and the result only.
//!
//! Next: `write`, then `read`.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{JsonError, from_json};
pub use write::to_json;
