//! What an answer means for the batch and for its destination, over HTTP and over gRPC.
//!
//! [`TABLE`] says it for every status and every code, in the words of the documentation and in numbers; [`judge`] and
//! [`judge_grpc`] look an answer up in it and read what the number alone does not say: whether an OTLP receiver spoke, and
//! what about. Only an OTLP receiver condemns data; path failures never do. Next: `destination`, which acts on verdicts
//! about the path.

mod grpc;
mod http;
mod table;

use std::time::Duration;

pub use grpc::{GrpcAnswer, judge_grpc};
pub use http::{Answer, judge, parse_retry_after};
pub use table::{Class, Row, TABLE, markdown};

use crate::otlp::response::Accepted;

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken, but for the items rejected.
    Delivered(Accepted),
    /// The way is blocked, for a moment or until somebody acts.
    Path {
        /// How long the peer wants to be left alone.
        retry_after: Option<Duration>,
        /// Whether trying again soon is pointless.
        suspend: bool,
        /// For a person to read.
        reason: String,
    },
    /// The peer does not know this content encoding.
    Codec {
        /// Whether an OTLP receiver said so, and not something on the way to it.
        is_otlp: bool,
    },
    /// The peer refuses what is in the request.
    Payload {
        /// Whether an OTLP receiver said so. If not, smaller requests may pass, but no item is condemned.
        is_otlp: bool,
        /// The server's words.
        message: String,
    },
}

/// Longest delay that a peer may ask for: a mistyped date must not silence a store for a year.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a server says is cut here.
const TEXT_CHARS_MAX: usize = 300;

/// A server's words, short enough for a log.
fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// Judges both ways through one check each, for the tests of this folder.
#[cfg(test)]
fn name(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Delivered(accepted) => format!("delivered -{}", accepted.rejected),
        Verdict::Path {
            suspend,
            retry_after,
            ..
        } => {
            let word = if *suspend { "suspend" } else { "back off" };
            match retry_after {
                Some(delay) => format!("{word} {delay:?}"),
                None => word.to_owned(),
            }
        }
        Verdict::Codec { is_otlp: true } => "codec".to_owned(),
        Verdict::Codec { is_otlp: false } => "foreign codec".to_owned(),
        Verdict::Payload { is_otlp: true, .. } => "payload".to_owned(),
        Verdict::Payload { is_otlp: false, .. } => "foreign payload".to_owned(),
    }
}
