//! A collector on real sockets and a real disk, in a thread of its own, and requests for it.
//!
//! The code is the deployed one; only the load is made here. It is written from one thread: all requests of a round go
//! out before the first answer is read, so they are under way together.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use backroom_collector::{
    config::{ByteSize, Codec, Config, Durability, OnFull},
    core::spool::BatchInfo,
    env::OsEnv,
    shell::{self, Observer, Quiet},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::exchange::mix;

/// Spans of a request: what an SDK's batch processor sends from a busy machine.
pub const SPANS: u64 = 100;

/// Different bodies, sent in turn: a buffer of copies would compress too well.
pub const VARIANTS: u64 = 64;

/// Requests with store-like spans, about 43 KB each: few names and routes, ids that do not repeat.
pub fn bodies() -> Vec<Vec<u8>> {
    (0..VARIANTS)
        .map(|variant| request(variant, SPANS).encode_to_vec())
        .collect()
}

/// A request like those of [`bodies`], of so many spans.
pub fn body(variant: u64, spans: u64) -> Vec<u8> {
    request(variant, spans).encode_to_vec()
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}

fn request(variant: u64, spans: u64) -> ExportTraceServiceRequest {
    const NAMES: [&str; 4] = ["POST /orders", "route ticket", "print receipt", "authorise"];
    let span = |number: u64| {
        let draw = |purpose: u64| mix(mix(variant * spans + number) ^ purpose);
        let start = 1_763_000_000_000_000_000 + variant * 1_000_000_000 + number * 9_000_000;
        Span {
            trace_id: [draw(1).to_le_bytes(), draw(2).to_le_bytes()].concat(),
            span_id: draw(3).to_le_bytes().to_vec(),
            parent_span_id: draw(4).to_le_bytes().to_vec(),
            name: NAMES[draw(5) as usize % NAMES.len()].to_owned(),
            kind: 2,
            start_time_unix_nano: start,
            end_time_unix_nano: start + draw(6) % 900_000_000,
            attributes: vec![
                text("http.request.method", "POST".to_owned()),
                text("url.path", format!("/orders/{}/items", draw(7) % 1_000_000)),
                text("server.address", "pos-2.store-0412.internal".to_owned()),
                text("order.id", format!("0412-{:08}", draw(7) % 1_000_000)),
                text("order.lines", (draw(8) % 9).to_string()),
                text("kiosk.id", format!("kiosk-{}", draw(9) % 6)),
                text("menu.version", "2025-11-14.3".to_owned()),
                text("payment.method", "contactless".to_owned()),
                text("deployment.environment", "production".to_owned()),
                text("customer.wait_ms", (draw(10) % 90_000).to_string()),
                text("http.response.status_code", "200".to_owned()),
            ],
            ..Span::default()
        }
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "pos".to_owned()),
                    text("service.instance.id", "pos-2".to_owned()),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope::default()),
                spans: (0..spans).map(span).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// A collector that runs until this is dropped; what it stored goes with it.
#[derive(Debug)]
pub struct Intake {
    http: SocketAddr,
    grpc: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    dir: TempDir,
}

/// Tells where the collector listens, and everything to whoever watches.
struct Told {
    address: mpsc::Sender<(SocketAddr, SocketAddr)>,
    watch: Arc<dyn Observer>,
}

impl Observer for Told {
    fn listening(&self, http: Option<SocketAddr>, grpc: Option<SocketAddr>) {
        self.watch.listening(http, grpc);
        // Nobody waits for a second one.
        let _ = http.zip(grpc).map(|both| self.address.send(both));
    }

    fn sealed(&self, batch: &BatchInfo) {
        self.watch.sealed(batch);
    }

    fn delivered(&self, batch: &BatchInfo) {
        self.watch.delivered(batch);
    }
}

impl Intake {
    /// Starts a collector whose buffer is a new directory in `parent`. It has no destination.
    ///
    /// # Errors
    /// If the directory or the thread cannot be made.
    ///
    /// # Panics
    /// If the collector cannot start.
    pub fn start(parent: &Path, durability: Durability, codec: Codec) -> io::Result<Self> {
        Self::start_with(parent, Arc::new(Quiet), |config| {
            config.buffer.durability = durability;
            config.compress.codec = codec;
        })
    }

    /// The same with a configuration that `adapt` may change, but for the listeners. `watch` is told of listeners, and of batches that
    /// are sealed or delivered.
    ///
    /// # Errors
    /// As [`Intake::start`].
    ///
    /// # Panics
    /// As [`Intake::start`].
    pub fn start_with(
        parent: &Path,
        watch: Arc<dyn Observer>,
        adapt: impl FnOnce(&mut Config),
    ) -> io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        let dir = tempfile::tempdir_in(parent)?;
        let mut config = Config::default();
        config.buffer.dir = dir.path().join("buffer");
        config.buffer.disk = ByteSize(2 << 30);
        // Whoever measures intake does not want to measure a full buffer.
        config.buffer.on_full = OnFull::DropOldest;
        adapt(&mut config);
        let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        (config.listen.http, config.listen.grpc) = (any, any);
        let (stop, stopped) = oneshot::channel();
        let (address, told) = mpsc::channel();
        let told_to = Arc::new(Told { address, watch });
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let env = OsEnv::with_root([7; 32]);
            let shutdown = async {
                // Dropped or sent, it is the end.
                let _ = stopped.await;
            };
            runtime
                .block_on(shell::run(env, config, told_to, shutdown))
                .expect("the collector starts");
        };
        let thread = std::thread::Builder::new().name("collector".into());
        let thread = thread.spawn(run)?;
        let (http, grpc) = told
            .recv()
            .map_err(|_| io::Error::other("the collector has not started"))?;
        Ok(Self {
            http,
            grpc,
            stop: Some(stop),
            thread: Some(thread),
            dir,
        })
    }

    /// Where it takes OTLP over HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where its buffer is, unless it was told another place.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Opens connections to it.
    ///
    /// # Errors
    /// If it does not accept them.
    pub fn connect(&self, connections: usize) -> io::Result<Vec<Connection>> {
        (0..connections)
            .map(|_| {
                let stream = TcpStream::connect(self.http)?;
                stream.set_nodelay(true)?;
                Ok(Connection {
                    stream,
                    answer: Vec::new(),
                })
            })
            .collect()
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the collector has panicked");
        }
    }
}

/// One connection, one request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Sends a request.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let mut message = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: store\r\n\
             content-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
        )
        .into_bytes();
        message.extend_from_slice(body);
        self.stream.write_all(&message)
    }

    /// Waits for the answer; whether it is an acknowledgement.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn receive(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 1024];
        self.answer.clear();
        loop {
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.answer.extend_from_slice(&chunk[..count]);
            let Some(head) = self.answer.windows(4).position(|w| w == b"\r\n\r\n") else {
                continue;
            };
            let text = String::from_utf8_lossy(&self.answer[..head]).to_ascii_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            if self.answer.len() >= head + 4 + length {
                return Ok(text.starts_with("http/1.1 200"));
            }
        }
    }
}
