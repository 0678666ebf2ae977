//! Reads answers, of which it holds no more than it needs, and gives them to `core::verdict`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Response, body::Incoming, header::HeaderMap};

use crate::{
    config::Protocol,
    core::{
        codec::CodecId,
        verdict::{Answer, GrpcAnswer, Verdict, judge, judge_grpc},
    },
    otlp::grpc,
    shell::relay::GATEWAY_HEADER,
};

/// Answers are read to this size: they are short, and a captive portal's page is not needed whole.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What the peer answered. Trailers stand among the headers.
#[derive(Debug)]
pub(in crate::shell) struct Answered {
    pub(in crate::shell) status: u16,
    headers: HeaderMap,
    pub(in crate::shell) body: Bytes,
}

/// Reads an answer, and whether all of it was read: after one that was left unread, nothing else comes.
pub(super) async fn read(answer: Response<Incoming>) -> hyper::Result<(Answered, bool)> {
    let (head, body) = answer.into_parts();
    let mut headers = head.headers;
    let (body, is_whole) = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(collected) => {
            if let Some(trailers) = collected.trailers() {
                headers.extend(trailers.clone());
            }
            (collected.to_bytes(), true)
        }
        Err(error) => match error.downcast::<hyper::Error>() {
            // What was cut short is no answer.
            Ok(error) => return Err(*error),
            Err(other) => {
                debug_assert!(other.is::<LengthLimitError>(), "{other}");
                // No answer of OTLP is so long, and this is none.
                (Bytes::from_static(b"\xff"), false)
            }
        },
    };
    let answered = Answered {
        status: head.status.as_u16(),
        headers,
        body,
    };
    Ok((answered, is_whole))
}

impl Answered {
    /// Whether the token was refused, or missed.
    pub(super) fn is_unauthenticated(&self) -> bool {
        let code = self.headers.get("grpc-status");
        self.status == 401 || code.is_some_and(|code| code == "16")
    }

    /// Whether a gateway answered.
    pub(in crate::shell) fn is_gateway(&self) -> bool {
        self.headers.contains_key(GATEWAY_HEADER)
    }

    /// What it means, for a request that was sent in that encoding.
    pub(in crate::shell) fn judge(
        &self,
        protocol: Protocol,
        sent: CodecId,
        unix_now: Duration,
    ) -> Verdict {
        judge_parts(
            protocol,
            sent,
            self.status,
            &self.headers,
            &self.body,
            unix_now,
        )
    }
}

/// Judges an answer by its status, headers (and trailers) and body.
pub(in crate::shell) fn judge_parts(
    protocol: Protocol,
    sent: CodecId,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    unix_now: Duration,
) -> Verdict {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if protocol != Protocol::Grpc {
        let answer = Answer {
            status,
            content_type: text("content-type"),
            retry_after: text("retry-after"),
            body,
        };
        return judge(&answer, unix_now);
    }
    let details = text("grpc-status-details-bin").and_then(grpc::read_binary_header);
    let answer = GrpcAnswer {
        http_status: status,
        content_type: text("content-type"),
        retry_after: text("retry-after"),
        status: text("grpc-status").and_then(|code| code.trim().parse().ok()),
        message: &grpc::percent_decode(text("grpc-message").unwrap_or("")),
        details: details.as_deref().unwrap_or_default(),
        accepts: text("grpc-accept-encoding"),
        encoding: text("grpc-encoding"),
        body,
        sent,
    };
    judge_grpc(&answer, unix_now)
}
