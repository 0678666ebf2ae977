//! Listeners and connections of a receiver: who may come in, and when everybody is thrown out.
//!
//! While the schedule says `down`, the listeners are closed and so is every connection; afterwards the same addresses are bound
//! again. Bounded: [`CONNECTIONS_MAX`] connections, of which [`AT_ONCE_MAX`] read and take in a request at once. Next: `receive`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use backroom_collector::env::{Env as _, Executor, Listener as _, OsEnv, OsListener, OsStream};
use backroom_reports::load::SinkResult;
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until},
};

use super::{
    ledger::{Ledger, Receipt, Tolerated, findings},
    receive::{Outcome, receive},
    schedule::{Schedule, Treatment},
};
use crate::store::{
    http::Road,
    telemetry::{Malformed, Signal},
};

/// Most connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;

/// Requests that are read and taken in at once: with bodies of 16 MiB and 64 MiB after decompression, at most 2.5 GiB.
const AT_ONCE_MAX: usize = 32;

/// A pause after an accept that failed, as with too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What a receiver is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where it listens for OTLP/HTTP; port 0 picks a free one.
    pub http: Option<SocketAddr>,
    /// Where it listens for OTLP/gRPC.
    pub grpc: Option<SocketAddr>,
    /// When it is down, slow or rude.
    pub schedule: Schedule,
    /// Items are late after this; `None` is never.
    pub late_after: Option<Duration>,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Items received.
    pub items: u64,
    /// Different ones of loads among them.
    pub distinct: u64,
    /// Requests taken.
    pub requests: u64,
    /// Since the last request began or ended, or the last outage of its own ended; zero while one is under way. `None` before the first.
    pub idle: Option<Duration>,
    /// Whether the schedule has it down.
    pub is_down: bool,
}

/// A receiver.
#[derive(Debug)]
pub struct Sink {
    env: OsEnv,
    schedule: Schedule,
    start: Instant,
    books: Mutex<Books>,
    at_once: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Whether it is down; connections watch it.
    down: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Books {
    ledger: Ledger,
    requests: u64,
    malformed: u64,
    scheduled: BTreeMap<String, u64>,
    body_bytes: u64,
    raw_bytes: u64,
    /// When the first and the last item came.
    span: Option<(Instant, Instant)>,
    under_way: usize,
    last: Option<Instant>,
}

/// The listeners of a [`Sink`], bound and not served yet.
#[derive(Debug)]
pub struct Bound {
    sink: Arc<Sink>,
    listeners: Vec<(Road, SocketAddr, OsListener)>,
}

impl Bound {
    /// The receiver.
    pub fn sink(&self) -> &Arc<Sink> {
        &self.sink
    }

    /// Where it listens: OTLP/HTTP and OTLP/gRPC.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let of = |is_http| {
            let mut all = self.listeners.iter();
            let found = all.find(|(road, ..)| matches!(road, Road::Http1) == is_http);
            found.map(|(_, address, _)| *address)
        };
        (of(true), of(false))
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// If an address cannot be bound again after the schedule had it down.
    pub async fn serve(self) -> io::Result<()> {
        let sink = self.sink;
        let turns = Arc::clone(&sink).turn();
        let (failed, mut failure) = tokio::sync::mpsc::channel(1);
        for (road, address, listener) in self.listeners {
            let (sink, failed) = (Arc::clone(&sink), failed.clone());
            let env = sink.env.clone();
            env.spawn(async move {
                if let Err(error) = sink.listen(road, address, listener).await {
                    // Nobody waits for a second one.
                    let _ = failed.try_send(error);
                }
            });
        }
        tokio::select! {
            biased;
            error = failure.recv() => Err(error.unwrap_or_else(|| io::ErrorKind::Other.into())),
            () = turns => Ok(()),
        }
    }
}

impl Sink {
    /// Binds the addresses; time starts to count.
    ///
    /// # Errors
    /// The address that cannot be bound, and why.
    pub async fn bind(env: &OsEnv, options: Options) -> io::Result<Bound> {
        let mut listeners = Vec::new();
        for (road, address) in [(Road::Http1, options.http), (Road::Http2, options.grpc)] {
            let Some(address) = address else {
                continue;
            };
            let listener = bind(env, address).await?;
            listeners.push((road, listener.local_addr()?, listener));
        }
        let books = Books {
            ledger: Ledger::new(options.late_after),
            ..Books::default()
        };
        let sink = Arc::new(Self {
            env: env.clone(),
            down: watch::Sender::new(options.schedule.is_down(Duration::ZERO)),
            schedule: options.schedule,
            start: Instant::now(),
            books: Mutex::new(books),
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        });
        Ok(Bound { sink, listeners })
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let books = self.books();
        let is_down = *self.down.borrow();
        Standing {
            items: books.ledger.items,
            distinct: books.ledger.distinct,
            requests: books.requests,
            idle: books.last.map(|last| match books.under_way {
                0 if !is_down => last.elapsed(),
                _ => Duration::ZERO,
            }),
            is_down,
        }
    }

    /// What came so far, checked against a receipt if there is one.
    pub fn result(
        &self,
        receipt: Option<&Receipt>,
        tolerated: Tolerated,
        expected: Option<u64>,
    ) -> SinkResult {
        let books = self.books();
        let seconds = books
            .span
            .map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        let mut result = SinkResult {
            requests: books.requests,
            malformed_requests: books.malformed,
            scheduled: books.scheduled.clone(),
            body_bytes: books.body_bytes,
            raw_bytes: books.raw_bytes,
            seconds,
            items_per_second: match seconds > 0.0 {
                true => books.ledger.items as f64 / seconds,
                false => 0.0,
            },
            ..books.ledger.result(receipt)
        };
        result.findings = findings(&result, tolerated, expected);
        result
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics while it holds it")
    }

    pub(super) fn env(&self) -> &OsEnv {
        &self.env
    }

    pub(super) fn treat(&self) -> Treatment {
        self.schedule.treat(self.start.elapsed())
    }

    /// A place among the requests that are taken in at once.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.at_once).acquire_owned().await.ok()
    }

    /// The schedule did something to a request.
    pub(super) fn did(&self, what: &str) {
        let mut books = self.books();
        *books.scheduled.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn malformed(&self) {
        self.books().malformed += 1;
    }

    /// Takes in the items of a request.
    pub(super) fn take(
        &self,
        signal: Signal,
        raw: &[u8],
        now_nanos: u64,
        wire_bytes: u64,
    ) -> Result<u64, Malformed> {
        let mut books = self.books();
        let items = books.ledger.take(signal, raw, now_nanos)?;
        books.requests += 1;
        books.body_bytes += wire_bytes;
        books.raw_bytes += raw.len() as u64;
        if items > 0 {
            let now = Instant::now();
            let first = books.span.map_or(now, |(first, _)| first);
            books.span = Some((first, now));
        }
        Ok(items)
    }

    /// A request is under way until this is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let mut books = self.books();
        books.under_way += 1;
        books.last = Some(Instant::now());
        drop(books);
        Busy(Arc::clone(self))
    }

    /// Goes by the schedule for ever.
    async fn turn(self: Arc<Self>) {
        loop {
            let Some(next) = self.schedule.next_turn(self.start.elapsed()) else {
                return std::future::pending().await;
            };
            sleep_until(self.start + next).await;
            let is_down = self.schedule.is_down(next);
            self.down.send_replace(is_down);
            let mut books = self.books();
            // An outage of its own is no silence of others.
            if books.last.is_some() && !is_down {
                books.last = Some(Instant::now());
            }
        }
    }

    async fn listen(
        self: Arc<Self>,
        road: Road,
        address: SocketAddr,
        first: OsListener,
    ) -> io::Result<()> {
        let mut down = self.down.subscribe();
        let mut listener = Some(first);
        loop {
            if *down.borrow_and_update() {
                drop(listener.take());
                // The sender lives as long as `self`.
                let _ = down.wait_for(|down| !*down).await;
            }
            let mut open = match listener.take() {
                Some(open) => open,
                None => bind(&self.env, address).await?,
            };
            loop {
                let accepted = tokio::select! {
                    biased;
                    _ = down.wait_for(|down| *down) => break,
                    accepted = self.accept(&mut open) => accepted,
                };
                match accepted {
                    Ok((stream, permit)) => {
                        let session = Arc::clone(&self).session(road, stream, permit);
                        self.env.spawn(session);
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        }
    }

    async fn accept(
        &self,
        listener: &mut OsListener,
    ) -> io::Result<(OsStream, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.connections).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        Ok((stream, permit))
    }

    async fn session(self: Arc<Self>, road: Road, stream: OsStream, permit: OwnedSemaphorePermit) {
        let _permit = permit;
        let mut down = self.down.subscribe();
        let cut = Arc::new(Notify::new());
        let (sink, cuts) = (Arc::clone(&self), Arc::clone(&cut));
        let service = service_fn(move |request: Request<Incoming>| {
            let (sink, cuts) = (Arc::clone(&sink), Arc::clone(&cuts));
            async move {
                match receive(&sink, request).await {
                    Outcome::Answer(answer) => Ok::<_, Infallible>(answer),
                    Outcome::Cut => {
                        cuts.notify_one();
                        std::future::pending().await
                    }
                }
            }
        });
        let stream = TokioIo::new(stream);
        let served = async {
            // How a connection ends is its sender's business.
            match road {
                Road::Http1 => drop(
                    hyper::server::conn::http1::Builder::new()
                        // Who shuts down its own direction still waits for the answer, and would send what was taken once more.
                        .half_close(true)
                        .timer(TokioTimer::new())
                        .serve_connection(stream, service)
                        .await,
                ),
                Road::Http2 => drop(
                    hyper::server::conn::http2::Builder::new(Executor(self.env.clone()))
                        .timer(TokioTimer::new())
                        .serve_connection(stream, service)
                        .await,
                ),
            }
        };
        tokio::select! {
            biased;
            _ = down.wait_for(|down| *down) => {}
            () = cut.notified() => {}
            () = served => {}
        }
    }
}

async fn bind(env: &OsEnv, address: SocketAddr) -> io::Result<OsListener> {
    env.listen(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("listen on {address}: {error}")))
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Sink>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut books = self.0.books();
        books.under_way -= 1;
        books.last = Some(Instant::now());
    }
}
