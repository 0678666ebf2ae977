//! HTTP over an `Env`: a client of HTTP/1.1 that keeps one connection, and a server loop with a gate for new sessions.
//!
//! hyper speaks; this file decides when to connect, when to give up, and when a quiet connection is closed. No `date`
//! header: it would differ between runs. Who retries, and for how long, is the caller's decision.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use backroom_collector::env::{Env, Executor, Listener as _, Target};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Incoming},
    client::conn::http1::SendRequest,
    header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::pace::TokenBucket;
use crate::{
    event::{Event, Recorder},
    scenario::Hq,
};

/// Largest answer that a client reads.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Servers within the store close connections that were silent for so long: the other end may have lost power. Head office's
/// say it in the scenario (`hq.idle_timeout`), with the same default.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
}

impl Answer {
    /// Whether head office did what was asked. A captive portal says 200 as well, with a page for people: that is no answer of head
    /// office, and a sale that it took for one would be lost (scenario `three-portals`).
    pub(crate) fn is_success(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE);
        let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
        self.status.is_success() && !kind.starts_with(b"text/html")
    }

    /// What the server asks to wait before the next try, where it says so in seconds.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

/// A connection to one server, made when it is needed and kept. One request at a time.
pub(crate) struct Client<E> {
    env: E,
    target: Target,
    authority: String,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl<E: Env> Client<E> {
    pub(crate) fn new(env: E, target: Target) -> Self {
        let authority = format!("{}:{}", target.host, target.port);
        Self {
            env,
            target,
            authority,
            open: None,
        }
    }

    /// Posts `body` and reads the answer, all within `limit`.
    ///
    /// A kept connection that turns out to be closed is replaced at once: the server may have closed it for its silence.
    /// So the request may reach the server twice, and must be idempotent.
    ///
    /// # Errors
    /// When there is no answer in time, or no connection. The connection is then given up.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        limit: Duration,
    ) -> io::Result<Answer> {
        let deadline = Instant::now() + limit;
        let kept = self.open.take();
        let reused = kept.is_some();
        match self
            .attempt(kept, path, content_type, body.clone(), deadline)
            .await
        {
            Err(error) if reused && error.kind() != io::ErrorKind::TimedOut => {
                self.attempt(None, path, content_type, body, deadline).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(
        &mut self,
        kept: Option<SendRequest<Full<Bytes>>>,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        deadline: Instant,
    ) -> io::Result<Answer> {
        timeout_at(deadline, async {
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            sender.ready().await.map_err(io::Error::other)?;
            let request = Request::post(path)
                .header(HOST, &self.authority)
                .header(CONTENT_TYPE, content_type)
                .body(Full::new(body))
                .map_err(io::Error::other)?;
            let answer = sender
                .send_request(request)
                .await
                .map_err(io::Error::other)?;
            let (parts, body) = answer.into_parts();
            // No answer's body is of interest here, but the next request can only follow it.
            Limited::new(body, ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(io::Error::other)?;
            // Kept only after a whole exchange: dropping it half-way closes the connection.
            self.open = Some(sender);
            Ok(Answer {
                status: parts.status,
                headers: parts.headers,
            })
        })
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Gets what stands at `path`: its status and body, of at most `limit_bytes`.
    ///
    /// `silence` is how long nothing may come: a large answer over a thin line takes long, and from a dead line nothing comes.
    /// A kept connection that turns out to be closed is replaced at once.
    ///
    /// # Errors
    /// When nothing comes for too long, the body is too long or breaks off, or there is no connection.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        limit_bytes: usize,
        silence: Duration,
    ) -> io::Result<(StatusCode, Bytes)> {
        let kept = self.open.take();
        let reused = kept.is_some();
        match self.attempt_get(kept, path, limit_bytes, silence).await {
            Err(error) if reused && error.kind() != io::ErrorKind::TimedOut => {
                self.attempt_get(None, path, limit_bytes, silence).await
            }
            outcome => outcome,
        }
    }

    async fn attempt_get(
        &mut self,
        kept: Option<SendRequest<Full<Bytes>>>,
        path: &str,
        limit_bytes: usize,
        silence: Duration,
    ) -> io::Result<(StatusCode, Bytes)> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let asked = async {
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            sender.ready().await.map_err(io::Error::other)?;
            let request = Request::get(path)
                .header(HOST, &self.authority)
                .body(Full::default())
                .map_err(io::Error::other)?;
            let answer = sender.send_request(request).await;
            Ok::<_, io::Error>((sender, answer.map_err(io::Error::other)?))
        };
        let (sender, answer) = timeout(silence, asked).await.map_err(late)??;
        let (parts, mut body) = answer.into_parts();
        // A chunk of a catalog is a megabyte, and to double a buffer up to it copies it once more.
        let told = body.size_hint().exact().unwrap_or(0);
        let told = usize::try_from(told).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::with_capacity(told.min(limit_bytes));
        while let Some(frame) = timeout(silence, body.frame()).await.map_err(late)? {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                if bytes.len() + data.len() > limit_bytes {
                    return Err(io::Error::other("the answer is too long"));
                }
                bytes.extend_from_slice(&data);
            }
        }
        self.open = Some(sender);
        Ok((parts.status, bytes.freeze()))
    }

    async fn connect(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let stream = self
            .env
            .connect(&self.target)
            .await
            .map_err(io::Error::other)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        self.env.spawn(async move {
            // Its errors reach whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Road {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge, for gRPC.
    Http2,
}

/// Admits new sessions at a bounded rate, and closes those that are silent; head office's records each.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    bucket: Arc<Mutex<TokenBucket>>,
    /// Silence after which a session is closed.
    idle_max: Duration,
    recorder: Option<Recorder>,
}

impl Gate {
    /// Head office's.
    pub(crate) fn new(hq: &Hq, recorder: Recorder) -> Self {
        let bucket = TokenBucket::new(hq.accepts_per_second, Instant::now());
        Self {
            bucket: Arc::new(Mutex::new(bucket)),
            idle_max: hq.idle_timeout,
            recorder: Some(recorder),
        }
    }

    /// Of a service inside the store, which admits so many a second.
    pub(crate) fn within(per_second: f64) -> Self {
        let bucket = TokenBucket::new(per_second, Instant::now());
        Self {
            bucket: Arc::new(Mutex::new(bucket)),
            idle_max: IDLE_MAX,
            recorder: None,
        }
    }

    fn bucket(&self) -> MutexGuard<'_, TokenBucket> {
        self.bucket.lock().expect("nobody panics while holding it")
    }

    fn admit(&self) {
        self.bucket().take(1.0, Instant::now());
        if let Some(recorder) = &self.recorder {
            recorder.record(Event::SessionOpened);
        }
    }
}

/// Accepts connections for ever and answers requests with `handler`.
pub(crate) async fn serve<E, F, A, B>(
    env: E,
    mut listener: E::Listener,
    road: Road,
    gate: Gate,
    handler: F,
) where
    E: Env,
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    loop {
        let wait = gate.bucket().wait_for(1.0, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
            continue;
        }
        // An accept that fails (too many open files) leaves the listener usable.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        gate.admit();
        let session = session(env.clone(), stream, road, gate.idle_max, handler.clone());
        env.spawn(session);
    }
}

#[derive(Debug)]
struct Activity {
    under_way: usize,
    last: Instant,
}

async fn session<E, F, A, B>(env: E, stream: E::Stream, road: Road, idle_max: Duration, handler: F)
where
    E: Env,
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let activity = Arc::new(Mutex::new(Activity {
        under_way: 0,
        last: Instant::now(),
    }));
    let lock = |activity: &Mutex<Activity>, change: isize| {
        let mut activity = activity.lock().expect("nobody panics while holding it");
        activity.under_way = activity.under_way.saturating_add_signed(change);
        activity.last = Instant::now();
    };
    let seen = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let seen = Arc::clone(&seen);
        lock(&seen, 1);
        let answer = handler(request);
        async move {
            let answer = answer.await;
            lock(&seen, -1);
            Ok::<_, Infallible>(answer)
        }
    });
    let stream = TokioIo::new(stream);
    match road {
        Road::Http1 => {
            let connection = hyper::server::conn::http1::Builder::new()
                .auto_date_header(false)
                .serve_connection(stream, service);
            while_used(connection, idle_max, &activity).await;
        }
        Road::Http2 => {
            let connection = hyper::server::conn::http2::Builder::new(Executor(env))
                .timer(TokioTimer::new())
                .auto_date_header(false)
                .serve_connection(stream, service);
            while_used(connection, idle_max, &activity).await;
        }
    }
}

/// Drives a connection until it ends, or has been silent for too long.
async fn while_used(connection: impl Future, idle_max: Duration, activity: &Mutex<Activity>) {
    tokio::pin!(connection);
    let alarm = sleep_until(Instant::now() + idle_max);
    tokio::pin!(alarm);
    loop {
        tokio::select! {
            biased;
            _ = &mut connection => return,
            () = &mut alarm => {
                let now = Instant::now();
                let due = {
                    let activity = activity.lock().expect("nobody panics while holding it");
                    if activity.under_way > 0 { now + idle_max } else { activity.last + idle_max }
                };
                if due <= now {
                    return;
                }
                alarm.as_mut().reset(due);
            }
        }
    }
}

/// Reads a request's body of at most `limit` bytes; `None` if it is longer or breaks off.
pub(crate) async fn read_body(body: Incoming, limit: usize) -> Option<Bytes> {
    let body = Limited::new(body, limit).collect().await.ok()?;
    Some(body.to_bytes())
}

/// An answer with a body.
pub(crate) fn answer(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}
