//! gRPC as far as OTLP needs it: one unary method a signal, its frame, its headers, its errors. No streams, no reflection.
//!
//! ```text
//! request body      compressed u8 (0 or 1) | length u32, big endian | message
//! answer            the same frame, then trailers: grpc-status, grpc-message
//! error             no frame: grpc-status, grpc-message and grpc-status-details-bin in the first header block
//! ```
//! From the specification "gRPC over HTTP2" and its "Status codes"; hyper speaks HTTP/2 below. Sans-IO: `shell::receiver`
//! reads and writes. Next: `response`, which encodes the `Status` in the details.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::Signal;

/// Content type of gRPC with protobuf messages; `application/grpc+proto` is the same.
pub const CONTENT_TYPE: &str = "application/grpc";

/// The encodings that a server of ours takes.
pub const ACCEPT_ENCODING: &str = "identity,gzip,zstd";

/// A frame's head: the flag and the length.
pub const FRAME_HEAD_BYTES: usize = 5;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `Export` of a signal's service.
    Export(Signal),
    /// Anything of the profiles service: known, and not built in.
    Profiles,
    /// Anything else.
    Unknown,
}

/// Reads a request's path.
pub fn method(path: &str) -> Method {
    let Some(service) = path.strip_prefix("/opentelemetry.proto.collector.") else {
        return Method::Unknown;
    };
    match service {
        "trace.v1.TraceService/Export" => Method::Export(Signal::Traces),
        "metrics.v1.MetricsService/Export" => Method::Export(Signal::Metrics),
        "logs.v1.LogsService/Export" => Method::Export(Signal::Logs),
        _ if service.starts_with("profiles.") => Method::Profiles,
        _ => Method::Unknown,
    }
}

/// Whether a content type is gRPC's with protobuf messages.
pub fn is_grpc(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    media_type
        .strip_prefix(CONTENT_TYPE)
        .is_some_and(|rest| matches!(rest, "" | "+proto"))
}

/// Why a body is not exactly one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It ends within the frame's head, or there is none.
    #[error("no message")]
    Missing,
    /// The flag is neither 0 nor 1.
    #[error("the frame's flag is {0}, not 0 or 1")]
    Flag(u8),
    /// The length is not that of what follows.
    #[error("the frame says {said} bytes and {has} follow")]
    Length {
        /// What the head says.
        said: u32,
        /// What there is.
        has: usize,
    },
}

/// Takes the one frame of a unary request apart: whether its message is compressed; the message is what follows
/// [`FRAME_HEAD_BYTES`].
///
/// # Errors
/// See [`FrameError`]. A second message is a wrong length.
pub fn read_frame(body: &[u8]) -> Result<bool, FrameError> {
    let Some((head, message)) = body.split_first_chunk::<FRAME_HEAD_BYTES>() else {
        return Err(FrameError::Missing);
    };
    let [flag, length @ ..] = *head;
    let (said, has) = (u32::from_be_bytes(length), message.len());
    match flag {
        _ if said as usize != has => Err(FrameError::Length { said, has }),
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FrameError::Flag(flag)),
    }
}

/// The frame of a message as it is.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("answers are short");
    let mut out = Vec::with_capacity(FRAME_HEAD_BYTES + message.len());
    out.push(0);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// Reads `grpc-timeout`: at most eight digits and a unit; `None` if it is something else.
pub fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A message for `grpc-message`: percent-encoded where it is not printable ASCII, or is a percent sign.
pub fn percent_encode(message: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte.into()),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Bytes for a header whose name ends in `-bin`.
pub fn binary_header(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_methods() {
        let service = "/opentelemetry.proto.collector.";
        for (path, expect) in [
            (
                "trace.v1.TraceService/Export",
                Method::Export(Signal::Traces),
            ),
            (
                "metrics.v1.MetricsService/Export",
                Method::Export(Signal::Metrics),
            ),
            ("logs.v1.LogsService/Export", Method::Export(Signal::Logs)),
            ("logs.v1.LogsService/Import", Method::Unknown),
            (
                "profiles.v1development.ProfilesService/Export",
                Method::Profiles,
            ),
        ] {
            assert_eq!(method(&format!("{service}{path}")), expect, "{path}");
        }
        assert_eq!(method("/v1/traces"), Method::Unknown);
    }

    #[test]
    fn frames_hold_one_message() {
        let check = |body: &[u8], expect| assert_eq!(read_frame(body), expect, "{body:?}");
        check(&frame(b"abc"), Ok(false));
        check(&frame(b""), Ok(false));
        check(&[1, 0, 0, 0, 1, 7], Ok(true));
        check(b"", Err(FrameError::Missing));
        check(&[0, 0, 0, 0], Err(FrameError::Missing));
        check(&[2, 0, 0, 0, 0], Err(FrameError::Flag(2)));
        check(
            &[0, 0, 0, 0, 2, 1],
            Err(FrameError::Length { said: 2, has: 1 }),
        );
        let most = [0, 255, 255, 255, 255, 1];
        check(
            &most,
            Err(FrameError::Length {
                said: u32::MAX,
                has: 1,
            }),
        );
        let two = [frame(b"a"), frame(b"b")].concat();
        check(&two, Err(FrameError::Length { said: 1, has: 7 }));
    }

    #[test]
    fn timeouts_are_read() {
        let check = |text, expect| assert_eq!(timeout(text), expect, "{text}");
        check("10S", Some(Duration::from_secs(10)));
        check("1H", Some(Duration::from_secs(3600)));
        check("99999999n", Some(Duration::from_nanos(99_999_999)));
        check("5m", Some(Duration::from_millis(5)));
        for text in ["", "S", "1", "123456789S", "-1S", "1.5S", "1s", "1ü", "+1S"] {
            check(text, None);
        }
    }

    #[test]
    fn messages_are_printable_ascii() {
        assert_eq!(percent_encode("a b~\"\\"), "a b~\"\\");
        assert_eq!(percent_encode("100%\nü"), "100%25%0A%C3%BC");
    }

    #[test]
    fn content_types_are_told_apart() {
        for (text, expect) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc+json", false),
            ("application/grpc-web", false),
            ("application/x-protobuf", false),
        ] {
            assert_eq!(is_grpc(text), expect, "{text}");
        }
    }
}
