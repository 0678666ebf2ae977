//! One request of OTLP: what the schedule does to it, its coding, its items, and its answer.
//!
//! HTTP and gRPC differ in how a request is unwrapped and how an answer is written; between them is one path. Where several codes
//! of gRPC could stand for a status of HTTP, the one is taken whose meaning to OTLP is the same (specification of OTLP, "Failures").

use std::{sync::Arc, time::Duration};

use backroom_collector::{
    env::Env as _,
    otlp::{
        self, grpc, json,
        response::{Code, JSON, PROTOBUF, Status},
    },
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use tokio::time::{sleep, timeout};

use super::{
    schedule::{Does, Treatment},
    serve::Sink,
};
use crate::store::{
    hq::{EXPORT_BYTES_MAX, GrpcBody, decompress, grpc_error, grpc_ok},
    http::read_body,
    telemetry::Signal,
};

/// Largest body as received; four times what stock exporters send.
const BODY_BYTES_MAX: usize = 16 << 20;

/// A body that takes longer to come is given up.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// What becomes of a request.
pub(super) enum Outcome {
    /// It is answered.
    Answer(Response<GrpcBody>),
    /// Its connection is cut.
    Cut,
}

/// Why a request is not taken: a status, and when to come again.
struct No {
    status: StatusCode,
    retry_after: Option<Duration>,
    why: &'static str,
}

impl No {
    fn of(status: StatusCode, why: &'static str) -> Self {
        Self {
            status,
            retry_after: None,
            why,
        }
    }
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Protobuf,
    Json,
    Grpc,
}

/// Receives a request.
pub(super) async fn receive(sink: &Arc<Sink>, request: Request<Incoming>) -> Outcome {
    let _busy = sink.busy();
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let shape = match kind.split(';').next().unwrap_or("").trim() {
        _ if grpc::is_grpc(kind) => Shape::Grpc,
        media if media.eq_ignore_ascii_case(JSON) => Shape::Json,
        _ => Shape::Protobuf,
    };
    let is_known = match shape {
        Shape::Protobuf => kind.to_ascii_lowercase().starts_with(PROTOBUF),
        _ => true,
    };
    let treatment = sink.treat();
    let outcome = take(sink, shape, is_known, &treatment, request).await;
    if !treatment.delay.is_zero() {
        sleep(treatment.delay).await;
    }
    match outcome {
        Ok(()) if treatment.does == Some(Does::CutAfter) => {
            sink.did("cut after");
            Outcome::Cut
        }
        Ok(()) => Outcome::Answer(yes(shape)),
        Err(None) => Outcome::Cut,
        Err(Some(no)) => Outcome::Answer(answer_no(shape, no)),
    }
}

/// Takes a request in, unless the schedule says otherwise; `Err(None)` is a cut.
///
/// Its body is read whatever it is: a connection that is closed with unread data is reset, and the reset overtakes the answer.
async fn take(
    sink: &Arc<Sink>,
    shape: Shape,
    is_known: bool,
    treatment: &Treatment,
    request: Request<Incoming>,
) -> Result<(), Option<No>> {
    let is_post = request.method() == Method::POST;
    let path = request.uri().path();
    let signal = match shape {
        Shape::Grpc => match grpc::method(path) {
            grpc::Method::Export(signal) => Signal::of_path(signal.path()),
            grpc::Method::Profiles | grpc::Method::Unknown => None,
        },
        _ => Signal::of_path(path),
    };
    let coding = match shape {
        Shape::Grpc => request.headers().get("grpc-encoding"),
        _ => request.headers().get(CONTENT_ENCODING),
    }
    .cloned();
    // Bounds the memory of all requests together.
    let _permit = sink.permit().await;
    let body = timeout(
        BODY_TIME_MAX,
        read_body(request.into_body(), BODY_BYTES_MAX),
    )
    .await;
    match treatment.does {
        Some(Does::CutBefore) => {
            sink.did("cut before");
            return Err(None);
        }
        Some(Does::Reject {
            status,
            retry_after,
        }) => {
            sink.did(&format!("reject {status}"));
            return Err(Some(No {
                status: StatusCode::from_u16(status).expect("the schedule has 400 to 599"),
                retry_after,
                why: "as the schedule says",
            }));
        }
        Some(Does::Portal) => {
            sink.did("portal");
            return Err(Some(No::of(StatusCode::OK, "<html>log in</html>")));
        }
        _ => {}
    }
    let malformed = |status, why| {
        sink.malformed();
        Err(Some(No::of(status, why)))
    };
    let signal = match signal {
        _ if !is_known => {
            return malformed(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content type is neither application/x-protobuf nor application/json",
            );
        }
        Some(signal) if is_post => signal,
        Some(_) => return malformed(StatusCode::METHOD_NOT_ALLOWED, "only POST"),
        None => return malformed(StatusCode::NOT_FOUND, "not a path of OTLP"),
    };
    let Ok(body) = body else {
        return malformed(StatusCode::REQUEST_TIMEOUT, "the body took too long");
    };
    let Some(body) = body else {
        return malformed(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body breaks off, or is larger than 16 MiB",
        );
    };
    let mut coding = coding.as_ref().map(HeaderValue::as_bytes);
    let wire_bytes = body.len() as u64;
    let body = match shape {
        Shape::Grpc => match grpc::read_frame(&body) {
            Ok(is_compressed) => {
                coding = coding.filter(|_| is_compressed);
                body.slice(grpc::FRAME_HEAD_BYTES..)
            }
            Err(_) => return malformed(StatusCode::BAD_REQUEST, "not one gRPC message"),
        },
        _ => body,
    };
    // Walking and decompressing take milliseconds: the runtime has several threads.
    let raw = match decompress(coding, &body) {
        Ok(raw) => raw,
        Err(status) => return malformed(status, "the body cannot be decompressed"),
    };
    let raw = match shape {
        Shape::Json => {
            let of = otlp::Signal::from_path(signal.path()).expect("the same paths");
            match json::from_json(of, &raw, EXPORT_BYTES_MAX) {
                Ok(raw) => Bytes::from(raw),
                Err(_) => return malformed(StatusCode::BAD_REQUEST, "not OTLP in JSON"),
            }
        }
        _ => raw,
    };
    let now = u64::try_from(sink.env().unix_time().as_nanos()).unwrap_or(u64::MAX);
    match sink.take(signal, &raw, now, wire_bytes) {
        Ok(_) => Ok(()),
        Err(_) => malformed(StatusCode::BAD_REQUEST, "not an export request"),
    }
}

fn yes(shape: Shape) -> Response<GrpcBody> {
    let (kind, body): (_, &[u8]) = match shape {
        Shape::Grpc => return grpc_ok(),
        // An empty message: everything was taken.
        Shape::Protobuf => (PROTOBUF, b""),
        Shape::Json => (JSON, b"{}"),
    };
    answer(StatusCode::OK, kind, Bytes::from_static(body))
}

fn answer_no(shape: Shape, no: No) -> Response<GrpcBody> {
    if no.status.is_success() {
        return answer(
            no.status,
            "text/html",
            Bytes::from_static(no.why.as_bytes()),
        );
    }
    let code = code_of(no.status);
    if shape == Shape::Grpc {
        let seconds = no.retry_after.map(|after| after.as_secs());
        return grpc_error(code, seconds);
    }
    let mut status = Status::new(code, no.why);
    status.retry = no.retry_after;
    let (kind, body) = match shape {
        Shape::Json => (JSON, status.to_json()),
        _ => (PROTOBUF, status.to_protobuf()),
    };
    let mut response = answer(no.status, kind, body.into());
    if let Some(after) = no.retry_after {
        let seconds = HeaderValue::from(after.as_secs());
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// The code of gRPC that means the same to a sender of OTLP.
fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        401 | 403 => Code::Unauthenticated,
        429 => Code::ResourceExhausted,
        404 | 405 | 415 | 501 => Code::Unimplemented,
        408 | 504 => Code::DeadlineExceeded,
        502 | 503 => Code::Unavailable,
        400..=499 => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<GrpcBody> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_the_same_over_grpc() {
        let check = |status, expect| {
            let status = StatusCode::from_u16(status).expect("it is one");
            assert_eq!(code_of(status), expect, "{status}");
        };
        check(400, Code::InvalidArgument);
        check(413, Code::InvalidArgument);
        check(401, Code::Unauthenticated);
        check(429, Code::ResourceExhausted);
        check(503, Code::Unavailable);
        check(500, Code::Internal);
        check(504, Code::DeadlineExceeded);
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let no = || No {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(Duration::from_secs(7)),
            why: "busy",
        };
        let http = answer_no(Shape::Protobuf, no());
        assert_eq!(http.status(), 429);
        assert_eq!(http.headers()[RETRY_AFTER], "7");
        let grpc = answer_no(Shape::Grpc, no());
        assert_eq!(grpc.headers()["grpc-status"], "8");
        assert!(grpc.headers().contains_key("grpc-status-details-bin"));
    }
}
