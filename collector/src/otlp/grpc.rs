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

/// The path of a signal's `Export`.
pub fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
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
    frame_of(message, false)
}

/// The frame of a message, which is compressed if `is_compressed`.
///
/// # Panics
/// If it has 4 GiB: no batch and no answer has.
pub fn frame_of(message: &[u8], is_compressed: bool) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("batches and answers are short");
    let mut out = Vec::with_capacity(FRAME_HEAD_BYTES + message.len());
    out.push(is_compressed.into());
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

/// A duration for `grpc-timeout`, rounded down to a unit that holds it in eight digits.
pub fn timeout_text(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let units = [
        (timeout.as_nanos(), "n"),
        (timeout.as_micros(), "u"),
        (timeout.as_millis(), "m"),
        (timeout.as_secs().into(), "S"),
        (u128::from(timeout.as_secs()) / 60, "M"),
        (u128::from(timeout.as_secs()) / 3600, "H"),
    ];
    let (count, unit) = units
        .into_iter()
        .find(|(count, _)| *count <= MOST)
        .unwrap_or((MOST, "H"));
    format!("{count}{unit}")
}

/// A code's name; a code that nobody knows is `code`.
pub fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(code as usize).copied().unwrap_or("code")
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

/// Reads `grpc-message`: what is no valid escape stays as it is.
pub fn percent_decode(text: &str) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| after.split_at_checked(2))
            .flatten();
        let byte = escaped.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            // `from_str_radix` takes a sign, too.
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok()?;
            is_hex.then_some((byte, after))
        });
        let (byte, after) = byte.unwrap_or((*first, after));
        out.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Bytes for a header whose name ends in `-bin`.
pub fn binary_header(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Reads a header whose name ends in `-bin`, with padding or without; `None` if it is not base64.
pub fn read_binary_header(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()
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
        for signal in Signal::ALL {
            assert_eq!(method(path(signal)), Method::Export(signal));
        }
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
    fn timeouts_are_written() {
        let check = |given: Duration, text: &str, read: Duration| {
            assert_eq!(timeout_text(given), text);
            assert_eq!(timeout(text), Some(read));
        };
        let seconds = Duration::from_secs;
        check(
            Duration::from_millis(50),
            "50000000n",
            Duration::from_millis(50),
        );
        check(seconds(30), "30000000u", seconds(30));
        check(seconds(960), "960000m", seconds(960));
        check(seconds(200_001), "200001S", seconds(200_001));
        check(Duration::ZERO, "0n", Duration::ZERO);
        assert_eq!(timeout_text(Duration::MAX), "99999999H");
    }

    #[test]
    fn messages_of_others_are_read() {
        let check = |text: &str, expect: &str| assert_eq!(percent_decode(text), expect);
        for text in ["a b~\"\\", "100%\nü", ""] {
            check(&percent_encode(text), text);
        }
        check("50% off", "50% off");
        check("%+1%g0%", "%+1%g0%");
        check("%ff", "\u{fffd}");
        let bytes = [0, 1, 250];
        assert_eq!(read_binary_header(&binary_header(&bytes)).unwrap(), bytes);
        assert_eq!(read_binary_header("AAH6").unwrap(), bytes);
        assert_eq!(read_binary_header("AA==").unwrap(), [0]);
        assert_eq!(read_binary_header("*"), None);
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
