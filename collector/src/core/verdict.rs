//! What an answer means for the batch and for its destination. One table, spec/collector.md section 2, for HTTP:
//!
//! | the peer answers | verdict |
//! |---|---|
//! | 2xx with an OTLP body | delivered; `partial_success` counts what was rejected, nothing is sent again |
//! | 429, 502, 503, 504; no answer, reset, timeout | path: back off, keep |
//! | 401, 403, 404, 405, 407, 408, other 5xx, 3xx; 2xx, 400 or 422 whose body is not OTLP (captive portal, proxy) | path: suspend, probe slowly, say so, keep |
//! | 415 with an OTLP body; 400 that names the content encoding | codec: fall back (zstd, gzip, none), send again |
//! | 415 whose body is not OTLP | codec, for this request alone; remembered once a lesser codec is delivered; path if none is left |
//! | 413; 400 or 422 with an OTLP body | payload: halve it down to the culprit |
//! | 413 for a single item, whose body is not OTLP | path: suspend, keep |
//!
//! Only an OTLP receiver condemns data; path failures never do. Next: `destination`, which acts on path verdicts.

use std::time::Duration;

use crate::otlp::response::{self, Accepted};

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

/// Longest `Retry-After` that is obeyed: a mistyped date must not silence a store for a year.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Judges an answer; `unix_now` turns a date in `Retry-After` into a delay.
pub fn judge(answer: &Answer<'_>, unix_now: Duration) -> Verdict {
    let status = answer.status;
    let retry_after = answer
        .retry_after
        .and_then(|value| parse_retry_after(value, unix_now));
    let path = |suspend, reason: String| Verdict::Path {
        retry_after,
        suspend,
        reason,
    };
    match status {
        200..=299 => match response::parse_response(answer.content_type, answer.body) {
            Some(accepted) => Verdict::Delivered(accepted),
            None => path(
                true,
                format!(
                    "status {status} whose body is not OTLP ({}): a captive portal or proxy?",
                    answer.content_type.unwrap_or("no content type")
                ),
            ),
        },
        429 | 502..=504 => path(false, describe(answer)),
        415 => Verdict::Codec {
            is_otlp: is_otlp_error(answer),
        },
        413 => Verdict::Payload {
            is_otlp: is_otlp_error(answer),
            message: describe(answer),
        },
        400 | 422 if is_otlp_error(answer) => {
            let message = describe(answer);
            let lower = message.to_ascii_lowercase();
            if lower.contains("content-encoding") || lower.contains("content encoding") {
                Verdict::Codec { is_otlp: true }
            } else {
                Verdict::Payload {
                    is_otlp: true,
                    message,
                }
            }
        }
        _ => path(true, describe(answer)),
    }
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
    const TEXT_BYTES_MAX: usize = 300;
    let text = response::status_message(answer.body).or_else(|| {
        let text = std::str::from_utf8(answer.body).ok()?.trim();
        (!text.is_empty() && !text.starts_with('<')).then(|| text.to_owned())
    });
    match text {
        Some(text) => {
            let text: String = text.chars().take(TEXT_BYTES_MAX).collect();
            format!("status {}: {text}", answer.status)
        }
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
    use crate::otlp::response::{Code, Status};

    fn check(status: u16, content_type: &str, body: &[u8], expect: &str) {
        let answer = Answer {
            status,
            content_type: (!content_type.is_empty()).then_some(content_type),
            retry_after: None,
            body,
        };
        let verdict = match judge(&answer, Duration::ZERO) {
            Verdict::Delivered(accepted) => format!("delivered -{}", accepted.rejected),
            Verdict::Path { suspend: false, .. } => "back off".to_owned(),
            Verdict::Path { suspend: true, .. } => "suspend".to_owned(),
            Verdict::Codec { is_otlp: true } => "codec".to_owned(),
            Verdict::Codec { is_otlp: false } => "foreign codec".to_owned(),
            Verdict::Payload { is_otlp: true, .. } => "payload".to_owned(),
            Verdict::Payload { is_otlp: false, .. } => "foreign payload".to_owned(),
        };
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
