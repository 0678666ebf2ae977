//! The HTTP/2 connections to one destination: shared by whoever sends there, each with several requests at once.
//!
//! No pings are sent: stock servers answer pings that come closer than five minutes with GOAWAY "too_many_pings". A dead
//! connection shows itself by a request without an answer, and then gets no further one. A server that says GOAWAY, or resets
//! a stream, has not read the request: it goes over another connection. What a peer may make us hold is bounded: headers of
//! 16 KiB, a window of 64 KiB for each answer.

use std::sync::{Arc, Mutex, MutexGuard};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::AbortHandle;

use super::{
    answer::{self, Answered},
    body::RequestBody,
    with_sources,
};
use crate::env::Env;

/// Requests at once on one connection before another one is opened.
const STREAMS_MAX: usize = 8;

/// Connections at once: as many as `send.inflight` can fill.
const CHANNELS_MAX: usize = 8;

/// A frame of headers may be split over CONTINUATION frames without end; here is the end.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;

/// For an answer, of which no more is read either.
const WINDOW_BYTES: u32 = 64 * 1024;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Channels(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    channels: Vec<Arc<Channel>>,
    /// The line that they were opened on.
    route: u64,
}

impl Channels {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().expect("nothing panics while it holds this")
    }

    /// The line that connections are opened on.
    pub(super) fn route(&self) -> u64 {
        self.open().route
    }

    /// Another line has taken over: no new request goes over what was opened on the one before. The first of those who share this
    /// says so; of the others it is no news.
    pub(super) fn leave(&self, route: u64) {
        let mut open = self.open();
        if route > open.route {
            open.route = route;
            open.channels.clear();
        }
    }

    /// The connection with the fewest requests under way, unless it is better to open another one.
    pub(super) fn pick(&self) -> Option<Arc<Channel>> {
        let open = &mut self.open().channels;
        open.retain(|channel| !channel.sender.is_closed());
        let least = open.iter().min_by_key(|channel| channel.streams())?;
        let is_free = least.streams() < STREAMS_MAX || open.len() >= CHANNELS_MAX;
        is_free.then(|| least.clone())
    }

    /// Others may use it, unless another line has taken over since it was begun.
    fn add(&self, channel: &Arc<Channel>, route: u64) {
        let mut open = self.open();
        if route == open.route {
            open.channels.push(channel.clone());
        }
    }

    /// No new request goes over this one. It is closed when those under way have ended.
    pub(super) fn retire(&self, channel: &Arc<Channel>) {
        let channels = &mut self.open().channels;
        channels.retain(|other| !Arc::ptr_eq(other, channel));
    }
}

/// One connection. Each request under way holds it.
#[derive(Debug)]
pub(super) struct Channel {
    sender: SendRequest<RequestBody>,
    tasks: Tasks,
}

impl Channel {
    /// Requests under way on one of the list of open ones: everybody else who holds it.
    fn streams(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }

    /// Opens one over a stream, for `channels`, on the line that they had when the stream was begun.
    pub(super) async fn open<E: Env>(
        env: &E,
        stream: E::Stream,
        channels: &Channels,
        route: u64,
    ) -> Result<Arc<Self>, String> {
        let tasks = Tasks::default();
        let executor = Executor {
            env: env.clone(),
            tasks: tasks.clone(),
        };
        let (sender, connection) = http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * STREAMS_MAX as u32)
            .max_concurrent_reset_streams(STREAMS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| with_sources(&error))?;
        let task = env.spawn(async move {
            // Its errors reach the requests that are under way.
            let _ = connection.await;
        });
        tasks.add(task.abort_handle());
        let channel = Arc::new(Self { sender, tasks });
        channels.add(&channel, route);
        Ok(channel)
    }

    /// Sends a request and reads the answer.
    pub(super) async fn exchange(&self, request: Request<RequestBody>) -> hyper::Result<Answered> {
        let (answered, _) = answer::read(self.ask(request).await?).await?;
        Ok(answered)
    }

    /// Sends a request; the answer's body is still to be read.
    pub(super) async fn ask(
        &self,
        request: Request<RequestBody>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        sender.send_request(request).await
    }

    /// Whether it can take another request.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

/// The tasks that move a connection's bytes; a peer that stalls must not keep them for ever.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl Tasks {
    fn all(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.0.lock().expect("nothing panics while it holds this")
    }

    fn add(&self, task: AbortHandle) {
        let mut tasks = self.all();
        // Each request has had one: without this the list would grow with them.
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    fn abort(&self) {
        for task in self.all().drain(..) {
            task.abort();
        }
    }
}

/// Runs hyper's tasks in the machine's scope, and knows those of its connection.
#[derive(Clone)]
struct Executor<E> {
    env: E,
    tasks: Tasks,
}

/// Nothing in it is pinned.
impl<E> Unpin for Executor<E> {}

impl<E, F> hyper::rt::Executor<F> for Executor<E>
where
    E: Env,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.tasks.add(self.env.spawn(task).abort_handle());
    }
}
