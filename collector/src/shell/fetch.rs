//! One request of a tool, with the collector's own client: `/metrics` of a collector, or a probe of a destination.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Method, Response};
use rustls::pki_types::CertificateDer;

use super::client::{Client, Destination, judge_parts};
use crate::{
    config::Endpoint,
    core::{codec::CodecId, verdict::Verdict},
    env::{Env, OsEnv},
};

/// What a tool asks for is read to this size: a page of metrics takes some tens of KiB.
const BYTES_MAX: usize = 1 << 20;

/// A line of the list of stores takes half a KiB, and there may be 100,000 of them.
const LONG_BYTES_MAX: usize = 64 << 20;

/// Asks for a path below the URL of an endpoint; `timeout` for all of it.
///
/// # Errors
/// Why there is no answer, in words.
pub async fn get<E: Env>(
    env: &E,
    endpoint: &Endpoint,
    path: &str,
    timeout: Duration,
) -> Result<Response<Bytes>, String> {
    ask(env, endpoint, Method::GET, path, timeout, BYTES_MAX).await
}

/// The same for an answer that may be long: a list of many stores.
///
/// # Errors
/// Why there is no answer, in words.
pub async fn get_long<E: Env>(
    env: &E,
    endpoint: &Endpoint,
    path: &str,
    timeout: Duration,
) -> Result<Response<Bytes>, String> {
    ask(env, endpoint, Method::GET, path, timeout, LONG_BYTES_MAX).await
}

/// Host and port of a URL; `None` if it cannot be used.
pub fn host_of(url: &str) -> Option<(String, u16)> {
    let destination = Destination::new(&Endpoint::new(url)).ok()?;
    let target = destination.target();
    Some((target.host.clone(), target.port))
}

/// The certificates that an endpoint shows, its own first; none in clear. `timeout` for the handshake.
///
/// # Errors
/// Why there is no connection, in words.
pub async fn certificates(
    env: &OsEnv,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let destination = Destination::new(endpoint).map_err(|error| error.to_string())?;
    let client = Client::new(env.clone(), Arc::new(destination));
    Ok(client.stream(timeout).await?.server_certificates())
}

/// Sends an empty export of traces to a destination, with all its headers, as the exporter would; `timeout` for all of it.
///
/// # Errors
/// Why there is no answer, in words.
pub async fn probe<E: Env>(
    env: &E,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Result<Response<Bytes>, String> {
    ask(
        env,
        endpoint,
        Method::POST,
        "/v1/traces",
        timeout,
        BYTES_MAX,
    )
    .await
}

/// What the answer to a probe means.
pub fn judge(endpoint: &Endpoint, answer: &Response<Bytes>, unix_now: Duration) -> Verdict {
    judge_parts(
        endpoint.protocol,
        CodecId::None,
        answer.status().as_u16(),
        answer.headers(),
        answer.body(),
        unix_now,
    )
}

async fn ask<E: Env>(
    env: &E,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    timeout: Duration,
    bytes_max: usize,
) -> Result<Response<Bytes>, String> {
    let destination = Destination::new(endpoint).map_err(|error| error.to_string())?;
    // A portal's page says what it is by its head; half a page of metrics says something wrong.
    let must_be_whole = method == Method::GET;
    let mut client = Client::new(env.clone(), Arc::new(destination));
    let limit = (bytes_max, must_be_whole);
    client.fetch(method, path, timeout, limit).await
}
