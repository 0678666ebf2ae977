//! `/healthz`, `/readyz` and `/metrics`: what operators and their tools ask.
//!
//! - `/healthz`: 200 unless the disk failed last.
//! - `/readyz`: 200 while requests would be taken; 503 with the reason in words otherwise. A destination that is down does
//!   not make it unready: buffering is what it is for.
//! - `/metrics`: Prometheus text or OpenMetrics, as the scraper asks. Which metrics there are stands in `metrics`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{self, HeaderValue},
};

use super::{
    metrics,
    shared::{Shared, State},
};
use crate::{
    core::metrics::text::{self, Format},
    env::Env,
};

/// Answers an operator's path; `None` if it is none.
pub(super) async fn answer<E: Env, B>(
    shared: &Shared<E>,
    request: &Request<B>,
) -> Option<Response<Full<Bytes>>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return None;
    }
    let plain = "text/plain; charset=utf-8";
    let (status, content_type, text) = match request.uri().path() {
        "/healthz" => {
            let (status, text) = health(&shared.lock());
            (status, plain, text)
        }
        "/readyz" => {
            let (status, text) = ready(&shared.lock());
            (status, plain, text)
        }
        "/metrics" => {
            let accept = request.headers().get(header::ACCEPT);
            let format = Format::accepted(accept.and_then(|value| value.to_str().ok()));
            let page = text::page(&metrics::collect(shared).await, format);
            (StatusCode::OK, format.content_type(), page)
        }
        _ => return None,
    };
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let value = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    Some(answer)
}

fn health(state: &State) -> (StatusCode, String) {
    match state.disk_error() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

fn ready(state: &State) -> (StatusCode, String) {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    if state.is_stopping {
        return (unavailable, "stopping\n".to_owned());
    }
    if state.is_full {
        return (unavailable, "the buffer is full\n".to_owned());
    }
    let (status, text) = health(state);
    let destination = if state.destination.is_down() {
        "destination: down, buffering\n"
    } else {
        ""
    };
    (status, text + destination)
}
