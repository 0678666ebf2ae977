//! `/healthz`, `/readyz` and `/metrics`: what operators and their tools ask.
//!
//! - `/healthz`: 200 unless the disk failed last.
//! - `/readyz`: 200 while requests would be taken; 503 with the reason in words otherwise. A destination that is down does
//!   not make it unready: buffering is what it is for.
//! - `/metrics`: Prometheus text. Names are stable; counters start at 0 with the process.

use std::fmt::Write;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    header::{self, HeaderValue},
};

use super::shared::{BUCKETS, Shared, State};
use crate::{
    core::accounting::{DropReason, Items},
    env::Env,
    otlp::Signal,
};

/// Answers an operator's path; `None` if it is none.
pub(super) fn answer<E: Env>(
    shared: &Shared<E>,
    method: &Method,
    path: &str,
) -> Option<Response<Full<Bytes>>> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    let (status, text) = match path {
        "/healthz" => health(&shared.lock()),
        "/readyz" => ready(&shared.lock()),
        "/metrics" => {
            let now = shared.unix_nanos();
            (StatusCode::OK, metrics(&shared.lock(), now))
        }
        _ => return None,
    };
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let value = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
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

fn metrics(state: &State, unix_nanos: u64) -> String {
    let mut out = String::new();
    let accounting = state.spool.accounting();
    type Get = fn(&Items) -> u64;
    let per_signal: [(&str, &str, &str, Get); 5] = [
        (
            "accepted_items_total",
            "counter",
            "acknowledged to a sender, or found in the buffer at the start",
            |items| items.accepted,
        ),
        (
            "recovered_items_total",
            "counter",
            "found in the buffer at the start",
            |items| items.recovered,
        ),
        (
            "delivered_items_total",
            "counter",
            "taken by the destination",
            |items| items.delivered,
        ),
        (
            "quarantined_items_total",
            "counter",
            "refused one by one and put aside",
            |items| items.quarantined,
        ),
        ("stored_items", "gauge", "in the buffer", |items| {
            items.stored
        }),
    ];
    for (name, kind, help, get) in per_signal {
        head(&mut out, name, kind, help);
        for signal in Signal::ALL {
            let value = get(accounting.items(signal));
            let _ = writeln!(out, "backroom_{name}{{signal=\"{signal}\"}} {value}");
        }
    }
    head(
        &mut out,
        "dropped_items_total",
        "counter",
        "dropped, by reason",
    );
    for signal in Signal::ALL {
        for reason in DropReason::ALL {
            let value = accounting.items(signal).dropped_for(reason);
            let _ = writeln!(
                out,
                "backroom_dropped_items_total{{signal=\"{signal}\",reason=\"{}\"}} {value}",
                reason.name()
            );
        }
    }
    head(
        &mut out,
        "requests_total",
        "counter",
        "requests, by outcome",
    );
    for (name, count) in ["accepted", "invalid", "busy", "failed"]
        .iter()
        .zip(state.requests)
    {
        let _ = writeln!(out, "backroom_requests_total{{outcome=\"{name}\"}} {count}");
    }
    let backlog = state.spool.backlog();
    let oldest = state.spool.oldest_born();
    let age = oldest.map_or(0, |born| unix_nanos.saturating_sub(born));
    let gauges = [
        (
            "backlog_bytes",
            "stored and not acknowledged by the destination, after compression",
            backlog.bytes as f64,
        ),
        ("backlog_items", "the same in items", backlog.items as f64),
        (
            "oldest_item_age_seconds",
            "age of the oldest item stored",
            age as f64 / 1e9,
        ),
        (
            "buffer_disk_bytes",
            "all files of the buffer",
            state.spool.disk_bytes() as f64,
        ),
        (
            "destination_up",
            "1 unless the destination failed last",
            if state.destination.is_down() {
                0.0
            } else {
                1.0
            },
        ),
        (
            "disk_ok",
            "1 unless the disk failed last",
            if state.disk_error().is_none() {
                1.0
            } else {
                0.0
            },
        ),
    ];
    for (name, help, value) in gauges {
        head(&mut out, name, "gauge", help);
        let _ = writeln!(out, "backroom_{name} {value}");
    }
    head(&mut out, "fsync_seconds", "histogram", "time of each fsync");
    let mut sum = 0;
    for (bound, count) in BUCKETS.iter().zip(state.syncs.buckets) {
        sum += count;
        let _ = writeln!(out, "backroom_fsync_seconds_bucket{{le=\"{bound}\"}} {sum}");
    }
    let (count, seconds) = (state.syncs.count, state.syncs.sum);
    let _ = writeln!(out, "backroom_fsync_seconds_bucket{{le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "backroom_fsync_seconds_sum {seconds}");
    let _ = writeln!(out, "backroom_fsync_seconds_count {count}");
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP backroom_{name} {help}");
    let _ = writeln!(out, "# TYPE backroom_{name} {kind}");
}
