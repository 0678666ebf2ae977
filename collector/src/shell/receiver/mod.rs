//! OTLP in: accepts connections, tells HTTP/1.1 from HTTP/2, and serves each with limits. Health and metrics share the HTTP
//! port.
//!
//! A listener has a [`Road`]: OTLP/gRPC (HTTP/2 only) or OTLP/HTTP (HTTP/1.1, or HTTP/2 with prior knowledge). Whoever
//! comes to the wrong one is told where the other is. What both roads share stands in `intake`: a body is read within the
//! memory budget (`body`), stored, and acknowledged when it is durable; a request that is not taken is a `refusal`, which
//! `http` and `grpc` say in their own words.

mod body;
mod grpc;
mod http;
mod intake;
mod preface;
mod refusal;
mod reply;
mod sorting;
mod tokens;

use std::{
    convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};

use super::{SHUTDOWN, shared::Shared};
use crate::env::{Env, Executor, Listener, Task};
use reply::Reply;
pub(in crate::shell) use sorting::sort_parts;
pub(in crate::shell) use tokens::Tokens;
pub(crate) use tokens::parse as parse_tokens;

/// Connections at once on each listener: each may hold a request, and a few tens of KiB.
const CONNECTIONS_MAX: usize = 1024;

/// Time for the head of a request, idle time between two included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Longest head of a request over HTTP/1.1, and longest header list over HTTP/2.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Requests at once on one HTTP/2 connection: an SDK has one under way for each signal, a gateway of them a few dozens.
const STREAMS_MAX: u32 = 128;

/// What a peer may send on one stream before it is read: at 1 ms of delay inside a store this is 256 MB/s.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The same for all streams of a connection. It bounds what a connection may hold outside of the memory budget.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// An HTTP/2 peer that is silent for so long is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(60);

/// An HTTP/2 peer that gives none for so long is dead.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Answers to requests.
type Answer = Response<Reply>;

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Road {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP, health and metrics.
    Http,
}

/// Where the listeners are bound, so that who comes to the wrong one can be sent to the other; and who may pass.
#[derive(Debug, Default)]
pub(super) struct Doors {
    /// `None` lets everybody pass.
    pub(super) tokens: Option<Tokens>,
    pub(super) grpc: Option<SocketAddr>,
    pub(super) http: Option<SocketAddr>,
}

/// Serves until `shutdown`, then gives the requests under way a moment.
pub(super) async fn serve<E: Env>(
    shared: Arc<Shared<E>>,
    doors: Arc<Doors>,
    listeners: Vec<(Road, E::Listener)>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (stop, stopped) = watch::channel(());
    let tasks: Vec<Task<()>> = listeners
        .into_iter()
        .map(|(road, listener)| {
            let door = accept(
                shared.clone(),
                road,
                doors.clone(),
                listener,
                stopped.clone(),
            );
            shared.env.spawn(door)
        })
        .collect();
    drop(stopped);
    shutdown.await;
    drop(stop);
    for task in tasks {
        task.await;
    }
}

async fn accept<E: Env>(
    shared: Arc<Shared<E>>,
    road: Road,
    doors: Arc<Doors>,
    mut listener: E::Listener,
    mut stopped: watch::Receiver<()>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (connection, doors) = (shared.clone(), doors.clone());
                let stopped = stopped.clone();
                shared.env.spawn(async move {
                    serve_connection(connection, road, doors, stream, stopped).await;
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
    let all_done = slots.acquire_many(CONNECTIONS_MAX as u32);
    // Who does not end in time is cut off when the process ends.
    let _ = tokio::time::timeout(SHUTDOWN, all_done).await;
}

async fn serve_connection<E: Env>(
    shared: Arc<Shared<E>>,
    road: Road,
    doors: Arc<Doors>,
    stream: E::Stream,
    mut stopped: watch::Receiver<()>,
) {
    let preface = tokio::time::timeout(HEAD_TIMEOUT, preface::read(stream));
    let (stream, is_http2) = tokio::select! {
        biased;
        _ = stopped.changed() => return,
        // Silence, a handshake that fails, an end: nobody is there to be answered.
        read = preface => match read {
            Ok(Ok(read)) => read,
            Ok(Err(_)) | Err(_) => return,
        },
    };
    let counted = shared.clone();
    let _counted = counted.connected();
    let (io, executor) = (TokioIo::new(stream), Executor(shared.env.clone()));
    let service = service_fn(move |request| answer(shared.clone(), road, doors.clone(), request));
    // Errors are the peer's: garbage, a reset, a head that never came. hyper has answered what can be answered.
    if is_http2 {
        let connection = http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    } else {
        let connection = http1::Builder::new()
            // A date would make every answer of a simulation depend on the clock.
            .auto_date_header(false)
            // Who shuts down its own direction still waits for the answer, and would send what was taken once more.
            .half_close(true)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

async fn answer<E: Env>(
    shared: Arc<Shared<E>>,
    road: Road,
    doors: Arc<Doors>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    Ok(match road {
        Road::Grpc => grpc::answer(&shared, &doors, request).await,
        Road::Http => http::answer(&shared, &doors, request).await,
    })
}
