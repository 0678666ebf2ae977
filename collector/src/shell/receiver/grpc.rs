//! OTLP/gRPC: heads, deadlines, answers and errors. The frames and names are in `otlp::grpc`.

use hyper::{
    HeaderMap, Method, Request, Response, Version,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};

use super::{
    Answer, Doors, Reply,
    body::Format,
    http::{self, text},
    intake::{self, Offer},
    refusal::{Cause, Refusal},
};
use crate::{core::codec::CodecId, env::Env, otlp::grpc, shell::shared::Shared};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Answers a request on the gRPC port.
pub(super) async fn answer<E: Env>(
    shared: &Shared<E>,
    doors: &Doors,
    request: Request<Incoming>,
) -> Answer {
    let is_grpc = grpc::is_grpc(text(request.headers(), header::CONTENT_TYPE));
    if !is_grpc || request.version() != Version::HTTP_2 || request.method() != Method::POST {
        let message = http::elsewhere("HTTP", doors.http);
        let refusal = Refusal::new(Cause::ContentType, message);
        return http::refuse(Format::Protobuf, &refusal);
    }
    let (head, mut body) = request.into_parts();
    let offer = match intake::admit(shared, doors, &head.headers).await {
        Ok(()) => offer(head.uri.path(), &head.headers),
        Err(refusal) => Err(refusal),
    };
    let result = match offer {
        Ok(offer) => {
            let take = intake::take(shared, offer, &head.headers, &mut body);
            match grpc::timeout(text(&head.headers, TIMEOUT)) {
                None => take.await,
                Some(timeout) => tokio::time::timeout(timeout, take)
                    .await
                    .unwrap_or_else(|_| {
                        let message =
                            "the sender's deadline passed; what was stored by then is kept";
                        Err(Refusal::new(Cause::Deadline, message))
                    }),
            }
        }
        Err(refusal) => {
            intake::count(shared, refusal.cause);
            Err(refusal)
        }
    };
    match result {
        Ok(()) => {
            let mut answer = accepted();
            intake::mark(shared, &mut answer);
            answer
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// What a head offers.
fn offer(path: &str, headers: &HeaderMap) -> Result<Offer, Refusal> {
    let signal = match grpc::method(path) {
        grpc::Method::Export(signal) => signal,
        grpc::Method::Profiles => {
            let message = "profiles are not implemented: only traces, metrics and logs are kept";
            return Err(Refusal::new(Cause::NoSuchPath, message));
        }
        grpc::Method::Unknown => {
            let message = format!("unknown method {path}");
            return Err(Refusal::new(Cause::NoSuchPath, message));
        }
    };
    let encoding = text(headers, ENCODING);
    let Some(codec) = CodecId::from_content_encoding(encoding) else {
        let message = format!("grpc-encoding {encoding:?} is not identity, gzip or zstd");
        return Err(Refusal::new(Cause::Encoding, message));
    };
    Ok(Offer {
        signal,
        format: Format::Protobuf,
        codec,
        is_framed: true,
    })
}

/// The complete success: an empty message, and status 0 behind it.
fn accepted() -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    with_head(Reply::with_trailers(grpc::frame(&[]), trailers))
}

/// An error, in one block of headers.
pub(super) fn refuse(refusal: &Refusal) -> Answer {
    let status = &refusal.status;
    let ascii = |text: String| HeaderValue::try_from(text).expect("it is printable ASCII");
    let mut answer = with_head(Reply::default());
    let headers = answer.headers_mut();
    headers.insert(STATUS, HeaderValue::from(status.code as u32));
    headers.insert(MESSAGE, ascii(grpc::percent_encode(&status.message)));
    headers.insert(DETAILS, ascii(grpc::binary_header(&status.to_protobuf())));
    answer
}

fn with_head(reply: Reply) -> Answer {
    let mut answer = Response::new(reply);
    let headers = answer.headers_mut();
    let content_type = HeaderValue::from_static(grpc::CONTENT_TYPE);
    headers.insert(header::CONTENT_TYPE, content_type);
    let encodings = HeaderValue::from_static(grpc::ACCEPT_ENCODING);
    headers.insert(ACCEPT_ENCODING, encodings);
    answer
}
