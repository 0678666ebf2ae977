//! What the integration tests share: made telemetry, a raw HTTP client, a receiver that misbehaves on command, and the
//! collector in this process or as the real binary.
//!
//! Nothing here sleeps: waiting is for a line, an answer, or a change of the receiver's records, with a limit of a minute.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

pub mod authority;
pub mod grpc;
pub mod http2;
pub mod interop;
pub mod tools;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use backroom_collector::{
    config::{Backoff, ByteSize, Config, Endpoint},
    core::{
        accounting::{Accounting, DropReason},
        codec::{CodecId, decompress},
        range::ItemRange,
        recovery::Report,
    },
    env::{Env, Listener, OsEnv, OsListener, OsStream, ServerTls, Target, Task},
    otlp::{
        Signal,
        json::from_json,
        response::{Code, JSON, Status},
    },
    shell::{self, Handle, Observer},
};
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, oneshot, watch},
    task::AbortHandle,
};

/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// A request of spans numbered `ids`; the number is the span's name.
pub fn spans(ids: std::ops::Range<u32>) -> Vec<u8> {
    let text = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    };
    let span = |id: u32| Span {
        trace_id: vec![7; 16],
        span_id: u64::from(id + 1).to_be_bytes().to_vec(),
        name: id.to_string(),
        start_time_unix_nano: 1_700_000_000_000_000_000 + u64::from(id),
        end_time_unix_nano: 1_700_000_000_000_900_000 + u64::from(id),
        attributes: vec![
            text("http.route", format!("/orders/{}", id % 17)),
            text("store.lane", format!("lane-{}", id % 5)),
        ],
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "pos".to_owned())],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope::default()),
                spans: ids.map(span).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec()
}

/// The numbers of the spans in a request.
pub fn span_ids(request: &[u8]) -> Vec<u32> {
    ExportTraceServiceRequest::decode(request)
        .expect("the receiver gets well-formed requests")
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .map(|span| span.name.parse().expect("a number"))
        .collect()
}

/// An answer of the collector.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The message of the `Status` that every error carries.
    pub fn message(&self) -> String {
        backroom_collector::otlp::response::status_message(&self.body).expect("a Status")
    }
}

/// One connection to the collector.
pub struct Client(OsStream);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        let stream = stream.expect("the collector listens");
        // Head and body are written apart, and the second would wait for the acknowledgement of the first.
        stream.set_nodelay(true).unwrap();
        Self(stream.into())
    }

    /// One over a stream that stands.
    pub fn over(stream: OsStream) -> Self {
        Self(stream)
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, data: &[u8]) -> std::io::Result<()> {
        self.0.write_all(data).await
    }

    /// Says that nothing more comes.
    pub async fn end(&mut self) {
        self.0.shutdown().await.expect("it is open");
    }

    /// Sends a request and reads the answer; `None` if the connection ends first.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: store\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        self.0.write_all(head.as_bytes()).await.ok()?;
        // The collector may answer and close before it has read all.
        let _ = self.0.write_all(body).await;
        self.answer().await
    }

    pub async fn answer(&mut self) -> Option<Answer> {
        let (start, headers) = read_head(&mut self.0).await?;
        let status = start.split(' ').nth(1)?.parse().ok()?;
        let length = headers
            .get("content-length")
            .map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    /// Posts spans; true if they were acknowledged.
    pub async fn post_spans(&mut self, ids: std::ops::Range<u32>) -> Option<Answer> {
        self.request("POST", "/v1/traces", &[PROTOBUF], &spans(ids))
            .await
    }

    /// Reads and throws away until the other side closes.
    pub async fn read_to_end(&mut self) {
        let _ = self.0.read_to_end(&mut Vec::new()).await;
    }

    /// Whether the connection was closed by the other side.
    pub async fn is_closed(&mut self) -> bool {
        matches!(self.0.read_u8().await, Err(error) if error.kind() != std::io::ErrorKind::TimedOut)
    }
}

async fn read_head(
    stream: &mut (impl AsyncReadExt + Unpin),
) -> Option<(String, BTreeMap<String, String>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("a head is text");
    let mut lines = head.lines();
    let start = lines.next()?.to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some((start, headers))
}

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Takes it.
    Take,
    /// Takes it but for some.
    Partial(u64),
    /// A status with headers and body, as they are.
    Raw(String, Vec<u8>),
    /// An OTLP error: a status of HTTP, or over gRPC a code.
    Refuse(u16, &'static str),
    /// Over gRPC, an error in one block of headers.
    Trailers(Vec<(&'static str, String)>),
    /// Closes the connection without an answer.
    Cut,
    /// Takes it, and closes the connection without an answer.
    TakeAndCut,
}

/// A request as the receiver got it.
#[derive(Clone, Debug)]
pub struct Received {
    pub signal: Signal,
    pub range: ItemRange,
    pub codec: CodecId,
    pub headers: BTreeMap<String, String>,
    /// Decompressed, and protobuf in any case.
    pub body: Vec<u8>,
    pub was_taken: bool,
}

type Decide = Box<dyn Fn(usize, &Received) -> Reply + Send + Sync>;

/// An OTLP/HTTP receiver that records what it gets and answers as it is told.
#[derive(Clone)]
pub struct Sink {
    env: OsEnv,
    pub address: SocketAddr,
    decide: Arc<Mutex<Decide>>,
    received: Arc<watch::Sender<Vec<Received>>>,
    accepting: Arc<Mutex<Vec<AbortHandle>>>,
    /// Connections over gRPC so far.
    connections: Arc<Mutex<usize>>,
    leave: Arc<Notify>,
}

impl Sink {
    /// An address on which nobody listens yet.
    pub async fn closed(env: &OsEnv) -> Self {
        let listener = env.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self {
            env: env.clone(),
            address: listener.local_addr().unwrap(),
            decide: Arc::new(Mutex::new(Box::new(|_, _| Reply::Take))),
            received: Arc::new(watch::channel(Vec::new()).0),
            accepting: Arc::default(),
            connections: Arc::default(),
            leave: Arc::default(),
        }
    }

    /// Connections over gRPC so far.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Gives the address back: a test that opens thousands of receivers would run out of sockets.
    pub fn close(&self) {
        for task in self.accepting.lock().unwrap().drain(..) {
            task.abort();
        }
    }

    /// A receiver that takes everything.
    pub async fn open(env: &OsEnv) -> Self {
        let sink = Self::closed(env).await;
        sink.listen().await;
        sink
    }

    /// Starts to listen.
    pub async fn listen(&self) {
        let listener = self.env.listen(self.address).await;
        self.accept(listener.expect("the port is free"));
    }

    /// Starts to listen for gRPC over TLS.
    pub async fn listen_grpc_tls(&self, tls: &ServerTls) {
        let listener = self.env.listen_tls(self.address, tls).await;
        self.accept_grpc(listener.expect("the port is free"));
    }

    /// Starts to listen over TLS.
    pub async fn listen_tls(&self, tls: &ServerTls) {
        let listener = self.env.listen_tls(self.address, tls).await;
        self.accept(listener.expect("the port is free"));
    }

    fn accept(&self, mut listener: OsListener) {
        let sink = self.clone();
        let task = self.env.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = sink.clone();
                sink.env
                    .spawn(async move { connection.serve(stream).await });
            }
        });
        self.accepting.lock().unwrap().push(task.abort_handle());
    }

    /// From now on `decide` says what happens to the n-th request (from 0) and its content.
    pub fn decide(&self, decide: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn serve(&self, mut stream: OsStream) {
        while let Some((start, headers)) = read_head(&mut stream).await {
            let length = headers["content-length"].parse().unwrap();
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let encoding = headers.get("content-encoding").map_or("", String::as_str);
            let codec = CodecId::from_content_encoding(encoding).expect("a known encoding");
            let path = start.split(' ').nth(1).unwrap();
            let signal = Signal::from_path(path).expect("an OTLP path");
            // A probe is no batch: it is answered, and not recorded.
            let raw = decompress(codec, &body, 1 << 30).expect("it decompresses");
            let is_json = headers.get("content-type").is_some_and(|kind| kind == JSON);
            let raw = match is_json {
                true => from_json(signal, &raw, 1 << 30).expect("it is OTLP/JSON"),
                false => raw.to_vec(),
            };
            let is_probe = length == 0 && !headers.contains_key("x-backroom-batch");
            let mut headers = headers;
            if is_probe {
                let nobody = format!("{:016x}-0-{signal}-0-0", 0);
                headers.insert("x-backroom-batch".to_owned(), nobody);
            }
            let mut received = Received {
                signal,
                range: ItemRange::parse(signal, &headers["x-backroom-batch"]).expect("a range"),
                codec,
                headers,
                body: raw,
                was_taken: false,
            };
            let index = self.received.borrow().len();
            let reply = (self.decide.lock().unwrap())(index, &received);
            received.was_taken =
                matches!(reply, Reply::Take | Reply::TakeAndCut | Reply::Partial(_));
            if !is_probe {
                self.received.send_modify(|all| all.push(received));
            }
            let answer = match reply {
                Reply::Cut | Reply::TakeAndCut => return,
                Reply::Trailers(_) => unreachable!("there are none over HTTP/1.1"),
                Reply::Take => otlp_answer("200 OK", &[]),
                Reply::Partial(rejected) => {
                    let inner = [&[0x08, rejected as u8][..], b"\x12\x03why"].concat();
                    otlp_answer("200 OK", &[&[0x0a, inner.len() as u8][..], &inner].concat())
                }
                Reply::Refuse(status, message) => {
                    let body = Status::new(Code::InvalidArgument, message).to_protobuf();
                    otlp_answer(&format!("{status} No"), &body)
                }
                Reply::Raw(head, body) => {
                    let length = body.len();
                    let mut out =
                        format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
                    out.extend(body);
                    out
                }
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// All requests so far, which are forgotten.
    pub fn take_received(&self) -> Vec<Received> {
        self.received.send_replace(Vec::new())
    }

    /// How often each span was taken.
    pub fn taken(&self) -> BTreeMap<u32, usize> {
        let mut taken = BTreeMap::new();
        for received in self.received.borrow().iter().filter(|r| r.was_taken) {
            for id in span_ids(&received.body) {
                *taken.entry(id).or_default() += 1;
            }
        }
        taken
    }

    /// Waits until the records satisfy `is_fine`.
    pub async fn wait(&self, what: &str, is_fine: impl Fn(&[Received]) -> bool) {
        let mut records = self.received.subscribe();
        let wait = records.wait_for(|all| is_fine(all));
        if tokio::time::timeout(LIMIT, wait).await.is_err() {
            panic!(
                "{what}: not within {LIMIT:?}, {} requests",
                self.received.borrow().len()
            );
        }
    }

    /// Waits until as many spans were taken, repeats included.
    pub async fn wait_for_spans(&self, count: usize) {
        let sum = |all: &[Received]| {
            let taken = all.iter().filter(|received| received.was_taken);
            taken
                .map(|received| received.range.count as usize)
                .sum::<usize>()
        };
        self.wait(&format!("{count} spans"), |all| sum(all) >= count)
            .await;
    }
}

fn otlp_answer(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut out = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    out.extend(body);
    out
}

/// A configuration with short delays, so that tests are fast.
pub fn config(dir: &Path, endpoint: Option<String>) -> Config {
    let mut config = Config::default();
    config.listen.http = Some("127.0.0.1:0".parse().unwrap());
    config.listen.grpc = config.listen.http;
    config.endpoint = endpoint.map(Endpoint::new);
    config.buffer.dir = dir.to_owned();
    config.batch.bytes = ByteSize(64 << 10);
    config.batch.delay = Duration::from_millis(20);
    config.batch.delay_down = Duration::ZERO;
    config.retry.backoff = Backoff::FullJitter {
        base: Duration::from_millis(10),
        cap: Duration::from_millis(50),
    };
    config
}

/// What the collector tells.
#[derive(Default)]
pub struct Recorder {
    addresses: Mutex<Option<(SocketAddr, SocketAddr)>>,
    pub accounting: Mutex<Accounting>,
    pub notices: Mutex<Vec<String>>,
    pub dropped: Mutex<Vec<(u64, DropReason)>>,
    pub backlog_bytes: Mutex<Vec<u64>>,
    pub report: Mutex<Report>,
    sealed_items: Mutex<u64>,
    changed: Notify,
}

impl Observer for Recorder {
    fn recovered(&self, report: &Report) {
        *self.report.lock().unwrap() = report.clone();
    }

    fn listening(&self, http: Option<SocketAddr>, grpc: Option<SocketAddr>) {
        *self.addresses.lock().unwrap() = http.zip(grpc);
        self.changed.notify_waiters();
    }

    fn accounting(&self, accounting: &Accounting) {
        *self.accounting.lock().unwrap() = *accounting;
        self.changed.notify_waiters();
    }

    fn backlog(&self, backlog: backroom_collector::core::spool::Backlog) {
        self.backlog_bytes.lock().unwrap().push(backlog.bytes);
    }

    fn sealed(&self, batch: &backroom_collector::core::spool::BatchInfo) {
        *self.sealed_items.lock().unwrap() += batch.range.count;
        self.changed.notify_waiters();
    }

    fn dropped(&self, _: Signal, items: u64, reason: DropReason) {
        self.dropped.lock().unwrap().push((items, reason));
    }

    fn notice(&self, message: &str) {
        self.notices.lock().unwrap().push(message.to_owned());
        self.changed.notify_waiters();
    }
}

impl Recorder {
    /// Waits until something holds.
    pub async fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let bell = self.changed.notified();
                tokio::pin!(bell);
                bell.as_mut().enable();
                if holds(self) {
                    return;
                }
                bell.await;
            }
        };
        if tokio::time::timeout(LIMIT, wait).await.is_err() {
            let accounting = self.accounting.lock().unwrap();
            let notices = self.notices.lock().unwrap();
            panic!("{what}: not within {LIMIT:?}; {accounting:?} {notices:?}");
        }
    }

    /// Waits until the receivers are bound: HTTP and gRPC.
    pub async fn listening(&self) -> (SocketAddr, SocketAddr) {
        let is_up = |told: &Self| told.addresses.lock().unwrap().is_some();
        self.wait("listening", is_up).await;
        self.addresses.lock().unwrap().expect("waited for")
    }

    pub fn sealed_items(&self) -> u64 {
        *self.sealed_items.lock().unwrap()
    }

    pub fn stored(&self) -> u64 {
        self.accounting.lock().unwrap().stored_total()
    }

    pub fn has_notice(&self, part: &str) -> bool {
        let notices = self.notices.lock().unwrap();
        notices.iter().any(|notice| notice.contains(part))
    }
}

/// The collector in this process.
pub struct Running {
    pub address: SocketAddr,
    pub grpc: SocketAddr,
    pub told: Arc<Recorder>,
    pub handle: Handle,
    stop: oneshot::Sender<()>,
    task: Task<Result<(), shell::Error>>,
}

impl Running {
    pub async fn start(env: &OsEnv, config: Config) -> Self {
        let told = Arc::new(Recorder::default());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let (handle, control) = shell::supervision();
        let collector = shell::run_with(env.clone(), config, told.clone(), control, shutdown);
        let task = env.spawn(collector);
        let (address, grpc) = told.listening().await;
        Self {
            address,
            grpc,
            told,
            handle,
            stop,
            task,
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub async fn stop(self) {
        let _ = self.stop.send(());
        let result = tokio::time::timeout(LIMIT, self.task).await;
        result
            .expect("it stops in time")
            .expect("it ran")
            .expect("without error");
    }
}

/// The real binary.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub grpc: SocketAddr,
    pub start_line: String,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Process {
    /// Starts it and waits for its start line.
    pub fn start(dir: &Path, endpoint: &str) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
        Self::start_by(command, dir, &dir.with_extension("toml"), endpoint, "")
    }

    /// The same by a command that ends in running the binary; its configuration is written to `file`. `buffer` is what else stands in
    /// the table of that name.
    pub fn start_by(
        mut command: Command,
        dir: &Path,
        file: &Path,
        endpoint: &str,
        buffer: &str,
    ) -> Self {
        let text = format!(
            "endpoint = \"{endpoint}\"\nlisten = {{ http = \"127.0.0.1:0\", grpc = \"127.0.0.1:0\" }}\n\
             buffer = {{ dir = \"{}\"{buffer} }}\nbatch = {{ bytes = \"64KiB\", delay = \"20ms\", delay_down = \"20ms\" }}\n\
             retry = {{ backoff = \"full-jitter(base=10ms, cap=50ms)\" }}\n",
            dir.display()
        );
        std::fs::write(file, text).unwrap();
        command
            .args(["run", "--config"])
            .arg(file)
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("OTEL_EXPORTER_OTLP_PROTOCOL");
        Self::spawn(command)
    }

    /// The command that runs with this file.
    pub fn command(file: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
        command
            .args(["run", "--config"])
            .arg(file)
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("OTEL_EXPORTER_OTLP_PROTOCOL");
        command
    }

    /// Starts it and waits for its start line.
    pub fn spawn(mut command: Command) -> Self {
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            let read = stderr.read_line(&mut line).expect("its stderr is text");
            assert!(read > 0, "it ended before it listened");
        }
        let address = |before: &str| {
            let address = line.split(before).nth(1).unwrap();
            address.split(',').next().unwrap().parse().unwrap()
        };
        let (address, grpc) = (address("listening on "), address("gRPC on "));
        Self {
            child,
            address,
            grpc,
            start_line: line,
            stderr,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no handler, no flush, nothing.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.exit_code()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success(), "{name}");
    }

    /// Waits for its end.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// The next line that it prints; `None` at its end.
    pub fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self
            .stderr
            .read_line(&mut line)
            .expect("its stderr is text");
        (read > 0).then_some(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection through the seam, for what only a stream can do.
pub async fn connect(env: &OsEnv, address: SocketAddr) -> OsStream {
    let target = Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: None,
    };
    env.connect(&target).await.unwrap()
}

pub fn env() -> OsEnv {
    OsEnv::with_root([42; 32])
}

pub fn buffer() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer");
    (dir, path)
}

pub fn bytes(data: &[u8]) -> Bytes {
    Bytes::copy_from_slice(data)
}
