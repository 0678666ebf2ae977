//! Answers over gRPC: what stands in its trailers, or in the one block of headers of an error.
//!
//! gRPC's own rules turn a foreign answer into UNKNOWN or UNAVAILABLE by its HTTP status; here the status is judged as such,
//! because a login page is no matter of the payload. Sources: "gRPC over HTTP2", "Status codes", `google.rpc.RetryInfo`.

use std::time::Duration;

use super::{Answer, Class, RETRY_AFTER_MAX, Verdict, cut, http, table::of_code};
use crate::{
    core::codec::{CodecId, decompress},
    otlp::{grpc, response},
};

/// A response has a count and some words.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024;

/// An answer over gRPC.
#[derive(Clone, Copy, Debug)]
pub struct GrpcAnswer<'a> {
    /// The status of HTTP, 200 for whatever a gRPC server says.
    pub http_status: u16,
    /// `content-type`.
    pub content_type: Option<&'a str>,
    /// `retry-after`, which only something between us and the server sends.
    pub retry_after: Option<&'a str>,
    /// `grpc-status`; `None` if it did not come, or is no number.
    pub status: Option<u32>,
    /// `grpc-message`, decoded.
    pub message: &'a str,
    /// `grpc-status-details-bin`, decoded: a `google.rpc.Status`; empty if it did not come.
    pub details: &'a [u8],
    /// `grpc-accept-encoding`.
    pub accepts: Option<&'a str>,
    /// `grpc-encoding`, of the body.
    pub encoding: Option<&'a str>,
    /// Body as it came, in its frame, cut at some bound.
    pub body: &'a [u8],
    /// The encoding of the request.
    pub sent: CodecId,
}

/// Judges an answer; `unix_now` turns a date in `Retry-After` into a delay.
pub fn judge_grpc(answer: &GrpcAnswer<'_>, unix_now: Duration) -> Verdict {
    if answer.http_status != 200 {
        return foreign(answer, unix_now);
    }
    let path = |suspend, reason: String| Verdict::Path {
        retry_after: retry_info(answer),
        suspend,
        reason,
    };
    if !answer.content_type.is_some_and(grpc::is_grpc) {
        let kind = answer.content_type.unwrap_or("no content type");
        let reason =
            format!("status 200 whose body is not gRPC ({kind}): a captive portal or proxy?");
        return path(true, reason);
    }
    let Some(code) = answer.status else {
        return path(false, "the answer ends without a grpc-status".to_owned());
    };
    let words = describe(code, answer.message);
    match of_code(code) {
        Class::Taken => match message(answer) {
            Some(accepted) => Verdict::Delivered(accepted),
            None => path(true, "OK whose message is not OTLP: a proxy?".to_owned()),
        },
        _ if refuses_codec(code, answer) => Verdict::Codec { is_otlp: true },
        Class::Busy => path(false, words),
        Class::Exhausted if retry_info(answer).is_some() => path(false, words),
        Class::Exhausted | Class::Payload | Class::TooLarge => Verdict::Payload {
            is_otlp: true,
            message: words,
        },
        Class::Blocked | Class::Codec => path(true, words),
    }
}

/// An answer of something that does not speak gRPC: its status is judged, its body is nobody's.
fn foreign(answer: &GrpcAnswer<'_>, unix_now: Duration) -> Verdict {
    let as_http = Answer {
        status: answer.http_status,
        content_type: None,
        retry_after: answer.retry_after,
        body: answer.body,
    };
    match http::judge(&as_http, unix_now) {
        // By gRPC's rules 415 is about the content type: nobody speaks gRPC there. A 204 delivers nothing.
        Verdict::Codec { .. } | Verdict::Delivered(_) => Verdict::Path {
            retry_after: None,
            suspend: true,
            reason: format!("status {}: no gRPC server answers", answer.http_status),
        },
        other => other,
    }
}

/// The response in the one frame of a body. Identity was asked for, but grpc-go answers in the encoding of the request.
fn message(answer: &GrpcAnswer<'_>) -> Option<response::Accepted> {
    let is_compressed = grpc::read_frame(answer.body).ok()?;
    let body = &answer.body[grpc::FRAME_HEAD_BYTES..];
    let kind = Some(response::PROTOBUF);
    if !is_compressed {
        return response::parse_response(kind, body);
    }
    let codec = CodecId::from_content_encoding(answer.encoding?)?;
    let body = decompress(codec, body, MESSAGE_BYTES_MAX).ok()?;
    response::parse_response(kind, &body)
}

/// Whether it is the encoding that was refused. grpc-go, grpc-java and tonic answer UNIMPLEMENTED, grpc-core INTERNAL.
fn refuses_codec(code: u32, answer: &GrpcAnswer<'_>) -> bool {
    let Some(sent) = answer.sent.content_encoding() else {
        return false;
    };
    let lower = answer.message.to_ascii_lowercase();
    let has = |word: &str| lower.contains(word);
    let names_it = has("grpc-encoding") || has("content-encoding") || has("content encoding");
    match code {
        3 => names_it,
        12 | 13 => {
            let lacks = |list: &str| !list.split(',').any(|name| name.trim() == sent);
            names_it || has("compress") || answer.accepts.is_some_and(lacks)
        }
        _ => false,
    }
}

/// What `RetryInfo` asks for.
fn retry_info(answer: &GrpcAnswer<'_>) -> Option<Duration> {
    let delay = response::retry_info(answer.details)?;
    Some(delay.min(RETRY_AFTER_MAX))
}

/// The code's name, its number, and the server's words.
fn describe(code: u32, message: &str) -> String {
    let name = grpc::code_name(code);
    match message.trim() {
        "" => format!("{name} ({code})"),
        text => format!("{name} ({code}): {}", cut(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Codec,
        core::{codec::compress, verdict::name},
        otlp::response::{Code, Status},
    };

    const ANSWER: GrpcAnswer<'static> = GrpcAnswer {
        http_status: 200,
        content_type: Some("application/grpc"),
        retry_after: None,
        status: Some(0),
        message: "",
        details: b"",
        accepts: None,
        encoding: None,
        body: b"\0\0\0\0\0",
        sent: CodecId::Zstd,
    };

    fn check(answer: GrpcAnswer<'_>, expect: &str) {
        let verdict = judge_grpc(&answer, Duration::ZERO);
        assert_eq!(name(&verdict), expect, "{answer:?} {verdict:?}");
    }

    fn check_code(code: u32, message: &str, expect: &str) {
        let answer = GrpcAnswer {
            status: Some(code),
            message,
            body: b"",
            ..ANSWER
        };
        check(answer, expect);
    }

    #[test]
    fn codes_are_those_of_the_table() {
        for code in [1, 4, 10, 11, 14, 15] {
            check_code(code, "x", "back off");
        }
        for code in [2, 5, 6, 7, 12, 13, 16, 17, u32::MAX] {
            check_code(code, "x", "suspend");
        }
        for code in [3, 8, 9] {
            check_code(code, "x", "payload");
        }
    }

    #[test]
    fn ok_needs_a_message_of_otlp() {
        let body = |body: &'static [u8]| GrpcAnswer { body, ..ANSWER };
        check(ANSWER, "delivered -0");
        check(body(b"\0\0\0\0\x04\x0a\x02\x08\x07"), "delivered -7");
        check(body(b""), "suspend");
        check(body(b"\0\0\0\0\x06<html>"), "suspend");
        check(body(b"\0\0\0\0\x07short"), "suspend");
        check(body(b"\x01\0\0\0\0"), "suspend");
    }

    /// Found with the OpenTelemetry Collector: a message in zstd, though only identity was asked for.
    #[test]
    fn a_compressed_message_is_read() {
        let message = bytes::Bytes::from_static(b"\x0a\x02\x08\x07");
        for (codec, name) in [(Codec::Zstd(1), "zstd"), (Codec::Gzip(1), "gzip")] {
            let body = grpc::frame_of(&compress(codec, std::slice::from_ref(&message)), true);
            let answer = GrpcAnswer {
                body: &body,
                encoding: Some(name),
                ..ANSWER
            };
            check(answer, "delivered -7");
            let encoding = None;
            check(GrpcAnswer { encoding, ..answer }, "suspend");
            let encoding = Some("br");
            check(GrpcAnswer { encoding, ..answer }, "suspend");
        }
        let bomb = compress(Codec::Zstd(1), &[vec![0; 1 << 20].into()]);
        let answer = GrpcAnswer {
            body: &grpc::frame_of(&bomb, true),
            encoding: Some("zstd"),
            ..ANSWER
        };
        check(answer, "suspend");
    }

    #[test]
    fn retry_info_makes_exhaustion_a_matter_of_time() {
        let mut status = Status::new(Code::ResourceExhausted, "slow down");
        status.retry = Some(Duration::from_secs(9));
        let details = status.to_protobuf();
        let answer = GrpcAnswer {
            status: Some(8),
            details: &details,
            ..ANSWER
        };
        check(answer, "back off 9s");
        let status = Some(14);
        check(GrpcAnswer { status, ..answer }, "back off 9s");
        status_without_info();
    }

    fn status_without_info() {
        let details = Status::new(Code::ResourceExhausted, "too large").to_protobuf();
        let answer = GrpcAnswer {
            status: Some(8),
            details: &details,
            ..ANSWER
        };
        check(answer, "payload");
    }

    /// The words of the stock servers: grpc-go, tonic, grpc-core, ours.
    #[test]
    fn a_refused_encoding_is_told_from_other_errors() {
        let go = "grpc: Decompressor is not installed for grpc-encoding \"zstd\"";
        check_code(12, go, "codec");
        check_code(
            12,
            "Content is compressed with `zstd` which isn't supported",
            "codec",
        );
        check_code(13, "Error parsing 'grpc-encoding' metadata", "codec");
        check_code(12, "unknown method Export", "suspend");
        check_code(13, "panic in handler", "suspend");
        check_code(
            8,
            "received message after decompression larger than max",
            "payload",
        );
        let lacks = GrpcAnswer {
            status: Some(12),
            accepts: Some("identity, deflate,gzip"),
            ..ANSWER
        };
        check(lacks, "codec");
        let sent = CodecId::Gzip;
        check(GrpcAnswer { sent, ..lacks }, "suspend");
        let plain = GrpcAnswer {
            sent: CodecId::None,
            message: go,
            ..lacks
        };
        check(plain, "suspend");
    }

    #[test]
    fn what_is_not_grpc_condemns_nothing() {
        let page = GrpcAnswer {
            content_type: Some("text/html"),
            status: None,
            body: b"<html>",
            ..ANSWER
        };
        check(page, "suspend");
        for (http_status, expect) in [
            (204, "suspend"),
            (302, "suspend"),
            (400, "suspend"),
            (401, "suspend"),
            (404, "suspend"),
            (407, "suspend"),
            (413, "foreign payload"),
            (415, "suspend"),
            (429, "back off 3s"),
            (500, "suspend"),
            (503, "back off 3s"),
        ] {
            let retry_after = matches!(http_status, 429 | 503).then_some("3");
            check(
                GrpcAnswer {
                    http_status,
                    retry_after,
                    ..page
                },
                expect,
            );
        }
        let status = None;
        check(GrpcAnswer { status, ..ANSWER }, "back off");
    }
}
