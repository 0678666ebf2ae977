//! OTLP over HTTP/1.1: takes requests in and answers when they are durable. Health and metrics share the port.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};

use super::{
    SHUTDOWN, admin,
    body::{self, Lease, Refusal},
    shared::Shared,
    store::Stored,
};
use crate::{
    core::{codec::CodecId, metrics::Outcome},
    env::{Env, Listener},
    otlp::{Signal, response},
};

/// Connections at once: each may hold a request, and a few tens of KiB.
const CONNECTIONS_MAX: usize = 1024;

/// Time for the head of a request, idle time between two included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Time for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for the rest of a body that was refused.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What a sender should wait when memory is short, and when the buffer is full. Seconds.
const RETRY_BUSY: u32 = 1;
const RETRY_FULL: u32 = 30;

type Answer = Response<Full<Bytes>>;

/// Serves until `shutdown`, then gives the requests under way a moment.
pub(super) async fn serve<E: Env>(
    shared: Arc<Shared<E>>,
    mut listener: E::Listener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = pin!(shutdown);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stop, stopped) = watch::channel(());
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (connection, stopped) = (shared.clone(), stopped.clone());
                shared.env.spawn(async move {
                    serve_connection(connection, stream, stopped).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Too many open files, mostly: connections that end will help.
                shared.observer.notice(&format!("accept: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    drop(stop);
    let all_done = slots.acquire_many(CONNECTIONS_MAX as u32);
    // Who does not end in time is cut off when the process ends.
    let _ = tokio::time::timeout(SHUTDOWN, all_done).await;
}

async fn serve_connection<E: Env>(
    shared: Arc<Shared<E>>,
    stream: E::Stream,
    mut stopped: watch::Receiver<()>,
) {
    let _counted = shared.connected();
    let service = service_fn(|request| answer(shared.clone(), request));
    let connection = http1::Builder::new()
        // A date would make every answer of a simulation depend on the clock.
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // Errors are the peer's: garbage, a reset, a head that never came. hyper has answered what can be answered.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer<E: Env>(
    shared: Arc<Shared<E>>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    Ok(match Signal::from_path(path) {
        Some(signal) if request.method() == Method::POST => {
            let (head, mut body) = request.into_parts();
            match take(&shared, signal, &head.headers, &mut body).await {
                Ok(()) => accepted(),
                Err(refused) => {
                    let _ = tokio::time::timeout(DRAIN_TIMEOUT, body::drain(&mut body)).await;
                    refused
                }
            }
        }
        Some(_) => {
            let mut answer = refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                response::UNIMPLEMENTED,
                "use POST",
            );
            let allow = HeaderValue::from_static("POST");
            answer.headers_mut().insert(header::ALLOW, allow);
            answer
        }
        None => match admin::answer(&shared, &request).await {
            Some(answer) => answer,
            None => {
                let message =
                    format!("{path}: no such path, use /v1/traces, /v1/metrics or /v1/logs");
                refuse(StatusCode::NOT_FOUND, response::UNIMPLEMENTED, &message)
            }
        },
    })
}

/// Takes a request in; returns when it is durable.
async fn take<E: Env>(
    shared: &Shared<E>,
    signal: Signal,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<(), Answer> {
    let codec = check_head(headers).map_err(|message| {
        count(shared, Outcome::Invalid);
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        refuse(status, response::INVALID_ARGUMENT, &message)
    })?;
    let mut lease = Lease::new(shared);
    let read = body::read(&mut lease, signal, codec, body);
    let Ok(read) = tokio::time::timeout(BODY_TIMEOUT, read).await else {
        count(shared, Outcome::Invalid);
        return Err(refuse(
            StatusCode::REQUEST_TIMEOUT,
            response::INVALID_ARGUMENT,
            "the body did not come in time",
        ));
    };
    let (body, items) = read.map_err(|refusal| {
        let (outcome, answer) = match refusal {
            Refusal::Malformed(message) => (
                Outcome::Invalid,
                refuse(
                    StatusCode::BAD_REQUEST,
                    response::INVALID_ARGUMENT,
                    &message,
                ),
            ),
            Refusal::TooLarge(limit) => (
                Outcome::TooLarge,
                refuse(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    response::INVALID_ARGUMENT,
                    &format!(
                        "body exceeds {limit} bytes after decompression: send smaller batches or raise listen.body_bytes_max"
                    ),
                ),
            ),
            Refusal::Busy => (Outcome::Memory, busy()),
        };
        count(shared, outcome);
        answer
    })?;
    if items == 0 {
        return Ok(());
    }
    match shared.store(signal, items, body).await {
        Stored::Yes => Ok(()),
        Stored::Busy => {
            count(shared, Outcome::Memory);
            Err(busy())
        }
        Stored::Full => {
            count(shared, Outcome::Full);
            Err(later(RETRY_FULL, "the buffer is full (buffer.disk)"))
        }
        Stored::DiskFailed => Err(later(RETRY_BUSY, "the disk failed, nothing was stored")),
    }
}

/// The content encoding, or why the request cannot be read.
fn check_head(headers: &HeaderMap) -> Result<CodecId, String> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    let content_type = text(header::CONTENT_TYPE).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if media_type.eq_ignore_ascii_case(response::JSON) {
        return Err(format!(
            "OTLP/JSON is not in this version; set the exporter's protocol to http/protobuf ({})",
            response::PROTOBUF
        ));
    }
    if !media_type.eq_ignore_ascii_case(response::PROTOBUF) {
        return Err(format!(
            "content type {content_type:?} is not {}",
            response::PROTOBUF
        ));
    }
    let encoding = text(header::CONTENT_ENCODING).unwrap_or("");
    CodecId::from_content_encoding(encoding)
        .ok_or_else(|| format!("content-encoding {encoding:?} is not identity, gzip or zstd"))
}

fn count<E: Env>(shared: &Shared<E>, outcome: Outcome) {
    shared.lock().counters.request(outcome, 1);
}

fn accepted() -> Answer {
    // An empty message: nothing was rejected.
    with_type(Response::new(Full::default()))
}

fn busy() -> Answer {
    later(
        RETRY_BUSY,
        "too much in flight (listen.inflight_bytes_max), or the disk cannot keep up",
    )
}

fn later(seconds: u32, message: &str) -> Answer {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut answer = refuse(status, response::UNAVAILABLE, message);
    let headers = answer.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

fn refuse(status: StatusCode, code: u32, message: &str) -> Answer {
    let body = response::encode_status(code, message);
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    with_type(answer)
}

fn with_type(mut answer: Answer) -> Answer {
    let value = HeaderValue::from_static(response::PROTOBUF);
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}
