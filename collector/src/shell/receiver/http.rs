//! OTLP/HTTP: heads, answers and errors, in protobuf or JSON as the request is.

use std::time::Duration;

use hyper::{
    Method, Request, Response, Version,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    http::request,
};

use super::{
    Answer, Doors, Reply,
    body::{self, Format},
    grpc,
    intake::{self, Offer},
    refusal::{Cause, Refusal},
};
use crate::{
    core::codec::CodecId,
    env::Env,
    otlp::{self, Signal, response},
    shell::{admin, shared::Shared},
};

/// Time for the rest of a body that was refused.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The paths of profiles, in development and as it will be: known, and not built in.
const PROFILES: [&str; 2] = ["/v1development/profiles", "/v1/profiles"];

/// Answers a request on the HTTP port.
pub(super) async fn answer<E: Env>(
    shared: &Shared<E>,
    doors: &Doors,
    request: Request<Incoming>,
) -> Answer {
    let (head, mut body) = request.into_parts();
    let (answer, cause) = take(shared, doors, &head, &mut body).await;
    // Over HTTP/2 a stream is reset alone, after its answer. Who was too slow is not waited for once more.
    if cause.is_some_and(|cause| cause != Cause::TooSlow) && head.version != Version::HTTP_2 {
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, body::drain(&mut body)).await;
    }
    answer
}

/// The answer to a request and, unless it was taken, why not.
async fn take<E: Env>(
    shared: &Shared<E>,
    doors: &Doors,
    head: &request::Parts,
    body: &mut Incoming,
) -> (Answer, Option<Cause>) {
    let path = head.uri.path();
    let content_type = text(&head.headers, header::CONTENT_TYPE);
    if otlp::grpc::is_grpc(content_type) {
        let refusal = Refusal::new(Cause::NoSuchPath, elsewhere("gRPC", doors.grpc));
        return (grpc::refuse(&refusal), Some(refusal.cause));
    }
    let format = format(content_type);
    let shown = format.unwrap_or(Format::Protobuf);
    let refused = |refusal: Refusal| (refuse(shown, &refusal), Some(refusal.cause));
    match Signal::from_path(path) {
        Some(signal) if head.method == Method::POST => {
            let offer = match intake::admit(shared, doors, &head.headers).await {
                Ok(()) => offer(signal, format, &head.headers),
                Err(refusal) => Err(refusal),
            };
            let result = match offer {
                Ok(offer) => intake::take(shared, offer, &head.headers, body).await,
                Err(refusal) => {
                    intake::count(shared, refusal.cause);
                    Err(refusal)
                }
            };
            match result {
                Ok(()) => {
                    let mut answer = accepted(shown);
                    intake::mark(shared, &mut answer);
                    (answer, None)
                }
                Err(refusal) => refused(refusal),
            }
        }
        Some(_) => {
            let (mut answer, cause) = refused(Refusal::new(Cause::NoSuchMethod, "use POST"));
            let allow = HeaderValue::from_static("POST");
            answer.headers_mut().insert(header::ALLOW, allow);
            (answer, cause)
        }
        // 404 and not 501: some SDKs try again after any 5xx, and this will not change by waiting.
        None if PROFILES.contains(&path) => {
            let message = "profiles are not implemented: only traces, metrics and logs are kept";
            refused(Refusal::new(Cause::NoSuchPath, message))
        }
        None => match admin::answer(shared, head).await {
            Some(answer) => (answer.map(Reply::from), None),
            None => {
                let message =
                    format!("{path}: no such path, use /v1/traces, /v1/metrics or /v1/logs");
                refused(Refusal::new(Cause::NoSuchPath, message))
            }
        },
    }
}

/// Where the other protocol is spoken.
pub(super) fn elsewhere(name: &str, door: Option<std::net::SocketAddr>) -> String {
    match door {
        Some(address) => format!("this port does not speak OTLP/{name}, which is at {address}"),
        None => format!("this collector does not listen for OTLP/{name}"),
    }
}

/// A header as text: empty if it is missing.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap_or("?"))
}

/// The format that a content type names; `None` if OTLP has no such one.
fn format(content_type: &str) -> Option<Format> {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if media_type.eq_ignore_ascii_case(response::JSON) {
        Some(Format::Json)
    } else if media_type.eq_ignore_ascii_case(response::PROTOBUF) {
        Some(Format::Protobuf)
    } else {
        None
    }
}

/// What a head offers.
fn offer(signal: Signal, format: Option<Format>, headers: &HeaderMap) -> Result<Offer, Refusal> {
    let Some(format) = format else {
        let given = text(headers, header::CONTENT_TYPE);
        let (protobuf, json) = (response::PROTOBUF, response::JSON);
        let message = format!("content type {given:?} is neither {protobuf} nor {json}");
        return Err(Refusal::new(Cause::ContentType, message));
    };
    let encoding = text(headers, header::CONTENT_ENCODING);
    let Some(codec) = CodecId::from_content_encoding(encoding) else {
        let message = format!("content-encoding {encoding:?} is not identity, gzip or zstd");
        return Err(Refusal::new(Cause::Encoding, message));
    };
    Ok(Offer {
        signal,
        format,
        codec,
        is_framed: false,
    })
}

/// The complete success: an empty message.
fn accepted(format: Format) -> Answer {
    with_type(
        format,
        match format {
            Format::Protobuf => Vec::new(),
            Format::Json => b"{}".to_vec(),
        },
    )
}

/// An error with its `Status`.
pub(super) fn refuse(format: Format, refusal: &Refusal) -> Answer {
    let mut answer = with_type(
        format,
        match format {
            Format::Protobuf => refusal.status.to_protobuf(),
            Format::Json => refusal.status.to_json(),
        },
    );
    *answer.status_mut() = refusal.cause.http_status();
    if refusal.cause == Cause::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer");
        answer
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    if let Some(retry) = refusal.status.retry {
        let seconds = HeaderValue::from(retry.as_secs());
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    answer
}

fn with_type(format: Format, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Reply::new(body));
    let value = HeaderValue::from_static(match format {
        Format::Protobuf => response::PROTOBUF,
        Format::Json => response::JSON,
    });
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}
