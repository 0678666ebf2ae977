//! Answers: the ones our receiver gives, and the reading of a receiver's.
//!
//! An answer only counts as one if it is OTLP: a captive portal also says 200. What follows from an answer is decided in
//! `core::verdict`.

use std::time::Duration;

use serde::Deserialize;

use super::{
    split::put_varint,
    walk::{LENGTH_DELIMITED, Reader, VARINT},
};

/// Content type of protobuf bodies.
pub const PROTOBUF: &str = "application/x-protobuf";

/// Content type of JSON bodies.
pub const JSON: &str = "application/json";

/// gRPC's codes, as far as a receiver of ours gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// A request that will never be taken.
    InvalidArgument = 3,
    /// It took longer than the sender wants to wait.
    DeadlineExceeded = 4,
    /// A limit that was reached: for good, or with a `RetryInfo` for the moment.
    ResourceExhausted = 8,
    /// What is not built in.
    Unimplemented = 12,
    /// A broken protocol.
    Internal = 13,
    /// A condition that passes.
    Unavailable = 14,
    /// No token, or a wrong one.
    Unauthenticated = 16,
}

/// A `google.rpc.Status`: the body of every OTLP/HTTP error, and the details of a gRPC error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What kind of error it is.
    pub code: Code,
    /// For a person.
    pub message: String,
    /// When to try again, as a `google.rpc.RetryInfo`; `None` where trying again is of no use.
    pub retry: Option<Duration>,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl Status {
    /// One without a time to try again.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry: None,
        }
    }

    /// Encodes it as protobuf.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.message.len() + 80);
        put_number(&mut out, 1, self.code as u64);
        put_blob(&mut out, 2, self.message.as_bytes());
        if let Some(retry) = self.retry {
            let (mut delay, mut info, mut any) = (Vec::new(), Vec::new(), Vec::new());
            put_number(&mut delay, 1, retry.as_secs());
            put_number(&mut delay, 2, retry.subsec_nanos().into());
            put_blob(&mut info, 1, &delay);
            put_blob(&mut any, 1, RETRY_INFO.as_bytes());
            put_blob(&mut any, 2, &info);
            put_blob(&mut out, 3, &any);
        }
        out
    }

    /// Writes it as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut status = serde_json::json!({"code": self.code as u32, "message": self.message});
        if let Some(retry) = self.retry {
            let delay = format!("{}s", retry.as_secs_f64());
            status["details"] = serde_json::json!([{"@type": RETRY_INFO, "retryDelay": delay}]);
        }
        status.to_string().into_bytes()
    }
}

fn put_number(out: &mut Vec<u8>, tag: u8, number: u64) {
    if number > 0 {
        out.push(tag << 3 | VARINT);
        put_varint(out, number);
    }
}

fn put_blob(out: &mut Vec<u8>, tag: u8, blob: &[u8]) {
    out.push(tag << 3 | LENGTH_DELIMITED);
    put_varint(out, blob.len() as u64);
    out.extend_from_slice(blob);
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

/// The same of one in protobuf or JSON.
pub fn error_message(body: &[u8]) -> Option<String> {
    if !body.starts_with(b"{") {
        return status_message(body);
    }
    let status: serde_json::Value = serde_json::from_slice(body).ok()?;
    let message = status.get("message")?.as_str()?;
    (!message.is_empty()).then(|| message.to_owned())
}

/// When to try again by the `google.rpc.RetryInfo` among the details of a `Status`, in protobuf or JSON; `None` if it does not
/// say. A delay below zero is none.
pub fn retry_info(body: &[u8]) -> Option<Duration> {
    if body.starts_with(b"{") {
        return retry_info_json(body);
    }
    let mut found = None;
    each_field(body, |tag, field| {
        if tag == 3
            && let Field::Blob(any) = field
        {
            found = found.or_else(|| retry_delay(any));
        }
    })?;
    found
}

/// The delay in an `Any`, if it holds a `RetryInfo`.
fn retry_delay(any: &[u8]) -> Option<Duration> {
    let (mut is_retry, mut info) = (false, &[][..]);
    each_field(any, |tag, field| match (tag, field) {
        (1, Field::Blob(name)) => is_retry = name.ends_with(b"/google.rpc.RetryInfo"),
        (2, Field::Blob(value)) => info = value,
        _ => {}
    })?;
    let mut delay = is_retry.then_some(Duration::ZERO)?;
    each_field(info, |tag, field| {
        if tag == 1
            && let Field::Blob(duration) = field
        {
            let (mut seconds, mut nanos) = (0, 0);
            let _ = each_field(duration, |tag, field| match (tag, field) {
                (1, Field::Integer(n)) => seconds = n as i64,
                (2, Field::Integer(n)) => nanos = n as i32,
                _ => {}
            });
            let nanos = u32::try_from(nanos).unwrap_or(0).min(999_999_999);
            delay = Duration::new(u64::try_from(seconds).unwrap_or(0), nanos);
        }
    })?;
    Some(delay)
}

fn retry_info_json(body: &[u8]) -> Option<Duration> {
    let status: serde_json::Value = serde_json::from_slice(body).ok()?;
    let details = status.get("details")?.as_array()?;
    let is_retry = |detail: &&serde_json::Value| {
        let name = detail.get("@type").and_then(serde_json::Value::as_str);
        name.is_some_and(|name| name.ends_with("/google.rpc.RetryInfo"))
    };
    let delay = details.iter().find(is_retry)?.get("retryDelay")?.as_str()?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
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
        let mut status = Status::new(Code::Unavailable, "the \"buffer\" is full");
        for retry in [None, Some(Duration::from_millis(2500))] {
            status.retry = retry;
            let body = status.to_protobuf();
            assert_eq!(status_message(&body).as_ref(), Some(&status.message));
            for body in [&body, &status.to_json()] {
                assert_eq!(error_message(body).as_ref(), Some(&status.message));
                assert_eq!(retry_info(body), retry);
            }
            let json: serde_json::Value = serde_json::from_slice(&status.to_json()).unwrap();
            assert_eq!(json["code"], 14);
            assert_eq!(json["message"], status.message.as_str());
            assert_eq!(json["details"].is_array(), retry.is_some());
        }
        let json = String::from_utf8(status.to_json()).unwrap();
        assert!(json.contains(r#""retryDelay":"2.5s""#), "{json}");
        // Status.details (3), Any.value (2), RetryInfo.retry_delay (1): 2 s and 500,000,000 ns.
        let delay = b"\x12\x0a\x0a\x08\x08\x02\x10\x80\xca\xb5\xee\x01";
        assert!(status.to_protobuf().ends_with(delay));
        assert_eq!(status_message(b"<html>"), None);
        assert_eq!(error_message(b"{\"login\":true}"), None);
    }

    #[test]
    fn retry_info_of_others_is_read() {
        let check = |text: &str, seconds: Option<f64>| {
            let body = format!(r#"{{"code":14,"details":[{{"@type":"a/b"}},{text}]}}"#);
            let expect = seconds.map(Duration::from_secs_f64);
            assert_eq!(retry_info(body.as_bytes()), expect, "{body}");
        };
        let info = |delay| format!(r#"{{"@type":"{RETRY_INFO}","retryDelay":"{delay}"}}"#);
        check(&info("30s"), Some(30.0));
        check(&info("-30s"), Some(0.0));
        check(&info("30"), None);
        check(&info("1e300s"), None);
        check("7", None);
        // A RetryInfo without a delay, one below zero, an unknown detail.
        let any = |info: &[u8]| {
            let (mut any, mut status) = (Vec::new(), Vec::new());
            put_blob(&mut any, 1, RETRY_INFO.as_bytes());
            put_blob(&mut any, 2, info);
            put_blob(&mut status, 3, b"\x0a\x01x");
            put_blob(&mut status, 3, &any);
            status
        };
        assert_eq!(retry_info(&any(b"")), Some(Duration::ZERO));
        let minus = b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(retry_info(&any(minus)), Some(Duration::ZERO));
        assert_eq!(retry_info(b"\x1a\x03\x0a\x01x"), None);
        assert_eq!(retry_info(b"<html>"), None);
    }
}
