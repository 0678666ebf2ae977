//! Answers: the ones our receiver gives, and the reading of a receiver's.
//!
//! An answer only counts as one if it is OTLP: a captive portal also says 200. What follows from an answer is decided in
//! `core::verdict`.

use serde::Deserialize;

use super::{
    split::put_varint,
    walk::{LENGTH_DELIMITED, Reader, VARINT},
};

/// Content type of protobuf bodies.
pub const PROTOBUF: &str = "application/x-protobuf";

/// Content type of JSON bodies.
pub const JSON: &str = "application/json";

/// gRPC's code for a request that will never be taken.
pub const INVALID_ARGUMENT: u32 = 3;
/// gRPC's code for a limit that was reached.
pub const RESOURCE_EXHAUSTED: u32 = 8;
/// gRPC's code for what is not built in.
pub const UNIMPLEMENTED: u32 = 12;
/// gRPC's code for a condition that passes.
pub const UNAVAILABLE: u32 = 14;

/// Encodes a `google.rpc.Status`, the body of every OTLP/HTTP error.
pub fn encode_status(code: u32, message: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 8);
    out.push(1 << 3 | VARINT);
    put_varint(&mut out, u64::from(code));
    out.push(2 << 3 | LENGTH_DELIMITED);
    put_varint(&mut out, message.len() as u64);
    out.extend_from_slice(message.as_bytes());
    out
}

/// Reads the message of a `google.rpc.Status`, for a person to read; `None` if it is not one.
pub fn status_message(body: &[u8]) -> Option<String> {
    let mut message = None;
    each_field(body, |tag, field| {
        if tag == 2
            && let Field::Blob(text) = field
        {
            message = Some(String::from_utf8_lossy(text).into_owned());
        }
    })?;
    message.filter(|message| !message.is_empty())
}

/// What a receiver says about a request that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Items that it refused for good (`partial_success`).
    pub rejected: u64,
    /// What it says about them, or a warning.
    pub message: String,
}

/// Reads an `Export*ServiceResponse`; `None` if the body is not one. The three signals' responses have one shape.
pub fn parse_response(content_type: Option<&str>, body: &[u8]) -> Option<Accepted> {
    let media_type = content_type.map(|value| value.split(';').next().unwrap_or("").trim());
    match media_type {
        Some(media_type) if media_type.eq_ignore_ascii_case(PROTOBUF) => parse_protobuf(body),
        Some(media_type) if media_type.eq_ignore_ascii_case(JSON) => parse_json(body),
        // An empty message is a complete success, and small receivers do not name the type of nothing.
        None if body.is_empty() => Some(Accepted::default()),
        _ => None,
    }
}

fn parse_protobuf(body: &[u8]) -> Option<Accepted> {
    let mut accepted = Accepted::default();
    let mut fine = true;
    each_field(body, |tag, field| {
        if tag != 1 {
            return;
        }
        let Field::Blob(partial) = field else {
            fine = false;
            return;
        };
        let read = each_field(partial, |tag, field| match (tag, field) {
            (1, Field::Integer(count)) => accepted.rejected = (count as i64).max(0) as u64,
            (2, Field::Blob(text)) => match std::str::from_utf8(text) {
                Ok(text) => text.clone_into(&mut accepted.message),
                Err(_) => fine = false,
            },
            (1 | 2, _) => fine = false,
            _ => {}
        });
        fine &= read.is_some();
    })?;
    fine.then_some(accepted)
}

fn parse_json(body: &[u8]) -> Option<Accepted> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Response {
        #[serde(rename = "partialSuccess")]
        partial: Option<Partial>,
    }
    #[derive(Deserialize)]
    struct Partial {
        #[serde(
            alias = "rejectedSpans",
            alias = "rejectedDataPoints",
            alias = "rejectedLogRecords"
        )]
        rejected: Option<Count>,
        #[serde(rename = "errorMessage", default)]
        message: String,
    }
    // 64-bit integers are strings in protobuf's JSON, and numbers are accepted.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Number(i64),
        Text(String),
    }
    let response: Response = serde_json::from_slice(body).ok()?;
    let Some(partial) = response.partial else {
        return Some(Accepted::default());
    };
    let rejected = match partial.rejected {
        None => 0,
        Some(Count::Number(count)) => count,
        Some(Count::Text(text)) => text.parse().ok()?,
    };
    Some(Accepted {
        rejected: rejected.max(0) as u64,
        message: partial.message,
    })
}

enum Field<'a> {
    Integer(u64),
    Blob(&'a [u8]),
    Other,
}

/// Calls `visit` for each field; `None` if the message is malformed.
fn each_field<'a>(body: &'a [u8], mut visit: impl FnMut(u32, Field<'a>)) -> Option<()> {
    let mut reader = Reader::new(body);
    while reader.at < body.len() {
        let (tag, wire) = reader.key(body.len()).ok()?;
        match wire {
            VARINT => visit(tag, Field::Integer(reader.varint(body.len()).ok()?)),
            LENGTH_DELIMITED => {
                let end = reader.length(body.len()).ok()?;
                visit(tag, Field::Blob(&body[reader.at..end]));
                reader.at = end;
            }
            _ => {
                reader.skip_field(tag, wire, body.len(), 100).ok()?;
                visit(tag, Field::Other);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use prost::Message;

    use super::*;

    fn check(content_type: Option<&str>, body: &[u8], expect: Option<(u64, &str)>) {
        let expect = expect.map(|(rejected, message)| Accepted {
            rejected,
            message: message.to_owned(),
        });
        assert_eq!(parse_response(content_type, body), expect);
    }

    #[test]
    fn otlp_answers_are_read() {
        let partial = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "too old".to_owned(),
            }),
        };
        let body = partial.encode_to_vec();
        check(Some(PROTOBUF), b"", Some((0, "")));
        check(None, b"", Some((0, "")));
        check(Some(PROTOBUF), &body, Some((3, "too old")));
        check(
            Some("application/json; charset=utf-8"),
            br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#,
            Some((3, "too old")),
        );
        check(Some(JSON), b"{}", Some((0, "")));
    }

    #[test]
    fn other_answers_are_not_otlp() {
        check(Some("text/html"), b"<html>Please log in</html>", None);
        check(Some("text/html"), b"", None);
        check(None, b"OK", None);
        check(Some(PROTOBUF), b"<html>Please log in</html>", None);
        check(Some(PROTOBUF), &[0x0a, 0x02, 0x09, 0x00], None);
        check(Some(JSON), br#"{"login":"required"}"#, None);
        check(Some(JSON), b"<html>", None);
    }

    #[test]
    fn status_is_written_and_read() {
        let status = encode_status(INVALID_ARGUMENT, "invalid varint at byte 300");
        assert_eq!(
            status_message(&status).as_deref(),
            Some("invalid varint at byte 300")
        );
        assert_eq!(status_message(b"<html>"), None);
    }
}
