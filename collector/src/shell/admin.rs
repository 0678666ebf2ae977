//! `/healthz`, `/readyz`, `/metrics` and `/stores`: what operators and their tools ask.
//!
//! - `/healthz`: 200 unless the disk failed last, or has not answered for ten seconds.
//! - `/readyz`: 200 while requests would be taken; 503 with the reason in words otherwise. A destination that is down does
//!   not make it unready: buffering is what it is for.
//! - `/metrics`: Prometheus text or OpenMetrics, as the scraper asks.
//! - `/stores`: at a gateway what is known of each store, as JSON.
//!
//! What health is stands in `health`, and which metrics there are in `metrics`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    header::{self, HeaderValue},
    http::request,
};

use super::{health, metrics, shared::Shared, stores};
use crate::{
    core::metrics::text::{self, Format},
    env::Env,
};

/// Answers an operator's path; `None` if it is none.
pub(super) async fn answer<E: Env>(
    shared: &Shared<E>,
    head: &request::Parts,
) -> Option<Response<Full<Bytes>>> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    let plain = "text/plain; charset=utf-8";
    let (status, content_type, text) = match head.uri.path() {
        "/healthz" => {
            let trouble = health::disk_trouble(&shared.lock(), shared.now());
            let (status, text) = verdict(trouble);
            (status, plain, text)
        }
        "/readyz" => {
            let (why, is_down) = {
                let state = shared.lock();
                let why = health::unready(&state, shared.now());
                (why, state.is_down())
            };
            let (status, mut text) = verdict(why);
            if is_down {
                text += "destination: down, buffering\n";
            }
            (status, plain, text)
        }
        "/metrics" => {
            let accept = head.headers.get(header::ACCEPT);
            let format = Format::accepted(accept.and_then(|value| value.to_str().ok()));
            let page = text::page(&metrics::collect(shared).await, format);
            (StatusCode::OK, format.content_type(), page)
        }
        stores::PATH => match stores::page(shared) {
            Some(page) => (StatusCode::OK, "application/json", page),
            None => {
                let text = "this collector is no gateway (role)\n".to_owned();
                (StatusCode::NOT_FOUND, plain, text)
            }
        },
        _ => return None,
    };
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let value = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    Some(answer)
}

/// 200, or 503 with what is wrong.
fn verdict(trouble: Option<String>) -> (StatusCode, String) {
    match trouble {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    }
}
