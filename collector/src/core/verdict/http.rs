//! Answers over HTTP. Next: `grpc`.

use std::time::Duration;

use super::{Class, RETRY_AFTER_MAX, Verdict, cut, table::of_status};
use crate::otlp::response;

/// An answer over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// `content-type`.
    pub content_type: Option<&'a str>,
    /// `retry-after`.
    pub retry_after: Option<&'a str>,
    /// Body, cut at some bound.
    pub body: &'a [u8],
}

/// Judges an answer; `unix_now` turns a date in `Retry-After` into a delay.
pub fn judge(answer: &Answer<'_>, unix_now: Duration) -> Verdict {
    let status = answer.status;
    let path = |suspend, reason: String| Verdict::Path {
        retry_after: retry_after(answer, unix_now),
        suspend,
        reason,
    };
    match of_status(status) {
        Class::Taken => match response::parse_response(answer.content_type, answer.body) {
            Some(accepted) => Verdict::Delivered(accepted),
            None => path(
                true,
                format!(
                    "status {status} whose body is not OTLP ({}): a captive portal or proxy?",
                    answer.content_type.unwrap_or("no content type")
                ),
            ),
        },
        Class::Busy | Class::Exhausted => path(false, describe(answer)),
        Class::Codec => Verdict::Codec {
            is_otlp: is_otlp_error(answer),
        },
        Class::TooLarge => Verdict::Payload {
            is_otlp: is_otlp_error(answer),
            message: describe(answer),
        },
        // aiohttp says in plain text that it lacks zstd, and the OpenTelemetry Collector in a Status.
        Class::Payload if names_the_encoding(answer) => Verdict::Codec {
            is_otlp: is_otlp_error(answer),
        },
        Class::Payload if is_otlp_error(answer) => Verdict::Payload {
            is_otlp: true,
            message: describe(answer),
        },
        Class::Payload | Class::Blocked => path(true, describe(answer)),
    }
}

/// How long the peer wants to be left alone: by its header, or by the `RetryInfo` in its `Status`.
fn retry_after(answer: &Answer<'_>, unix_now: Duration) -> Option<Duration> {
    match answer.retry_after {
        Some(value) => parse_retry_after(value, unix_now),
        None if is_otlp_error(answer) => {
            let delay = response::retry_info(answer.body)?;
            Some(delay.min(RETRY_AFTER_MAX))
        }
        None => None,
    }
}

/// Whether an error is about the content encoding.
fn names_the_encoding(answer: &Answer<'_>) -> bool {
    let lower = describe(answer).to_ascii_lowercase();
    lower.contains("content-encoding") || lower.contains("content encoding")
}

/// Whether an error was said by an OTLP receiver, and not by something between us and it.
fn is_otlp_error(answer: &Answer<'_>) -> bool {
    let media_type = answer
        .content_type
        .map(|value| value.split(';').next().unwrap_or("").trim())
        .unwrap_or("");
    if media_type.eq_ignore_ascii_case(response::PROTOBUF) {
        answer.body.is_empty() || response::status_message(answer.body).is_some()
    } else {
        media_type.eq_ignore_ascii_case(response::JSON)
            && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(answer.body)
                .is_ok()
    }
}

/// Status and, where it is short and readable, what the server says.
fn describe(answer: &Answer<'_>) -> String {
    let text = response::error_message(answer.body).or_else(|| {
        let text = std::str::from_utf8(answer.body).ok()?.trim();
        (!text.is_empty() && !text.starts_with('<')).then(|| text.to_owned())
    });
    match text {
        Some(text) => format!("status {}: {}", answer.status, cut(&text)),
        None => format!("status {}", answer.status),
    }
}

/// Reads `Retry-After`: seconds, or a date of RFC 9110.
pub fn parse_retry_after(value: &str, unix_now: Duration) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let at = Duration::from_secs(u64::try_from(at.as_second()).ok()?);
    Some(at.saturating_sub(unix_now).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::verdict::name,
        otlp::response::{Code, Status},
    };

    fn check(status: u16, content_type: &str, body: &[u8], expect: &str) {
        let answer = Answer {
            status,
            content_type: (!content_type.is_empty()).then_some(content_type),
            retry_after: None,
            body,
        };
        let verdict = name(&judge(&answer, Duration::ZERO));
        assert_eq!(verdict, expect, "{status} {content_type:?} {body:?}");
    }

    /// Test of the table above, row by row.
    #[test]
    fn table() {
        let protobuf = response::PROTOBUF;
        let status = Status::new(Code::InvalidArgument, "bad trace id").to_protobuf();
        let encoding = Status::new(
            Code::InvalidArgument,
            "unsupported \"Content-Encoding\": zstd",
        )
        .to_protobuf();
        check(200, protobuf, b"", "delivered -0");
        check(202, protobuf, &[0x0a, 0x02, 0x08, 0x07], "delivered -7");
        check(200, "text/html", b"<html>", "suspend");
        check(200, "", b"ok", "suspend");
        for code in [429, 502, 503, 504] {
            check(code, "text/html", b"", "back off");
        }
        for code in [301, 302, 401, 403, 404, 405, 407, 408, 500, 501, 511] {
            check(code, protobuf, &status, "suspend");
        }
        check(415, protobuf, b"", "codec");
        check(415, "application/json", br#"{"code":3}"#, "codec");
        check(415, "text/html", b"<html>", "foreign codec");
        check(415, "", b"", "foreign codec");
        check(400, protobuf, &encoding, "codec");
        let aiohttp =
            b"Can not decode content-encoding: zstandard (zstd). Please install `backports.zstd`";
        check(400, "text/plain; charset=utf-8", aiohttp, "foreign codec");
        check(400, "text/html", b"<html>content-encoding", "suspend");
        for code in [400, 422] {
            check(code, protobuf, &status, "payload");
            check(code, "application/json", br#"{"code":3}"#, "payload");
            check(code, "text/html", b"<html>", "suspend");
            check(code, "text/plain", b"Bad Request", "suspend");
            check(code, "", b"", "suspend");
        }
        check(413, protobuf, &status, "payload");
        check(413, "text/html", b"<html>", "foreign payload");
        check(413, "", b"", "foreign payload");
    }

    /// `RetryInfo` counts where there is no header, and only in an answer that is OTLP.
    #[test]
    fn retry_info_stands_in_for_the_header() {
        let mut status = Status::new(Code::Unavailable, "busy");
        status.retry = Some(Duration::from_secs(7));
        let body = status.to_protobuf();
        check(503, response::PROTOBUF, &body, "back off 7s");
        check(503, response::JSON, &status.to_json(), "back off 7s");
        check(503, "text/plain", &body, "back off");
        status.retry = Some(Duration::from_secs(1 << 40));
        check(
            503,
            response::PROTOBUF,
            &status.to_protobuf(),
            "back off 86400s",
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Duration::from_secs(784_111_700);
        let read = |value| parse_retry_after(value, now).map(|delay| delay.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(77));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(read("Sat, 06 Nov 2094 08:00:00 GMT"), Some(86_400));
        assert_eq!(read("99999999999"), Some(86_400));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }
}
