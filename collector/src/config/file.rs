//! The collector's configuration file, and `[collector]` of a scenario: the same keys, the same reader.
//!
//! Everything wrong is reported in one go. A deployed collector refuses what only a simulation can mean
//! (`compress.ratio`) and what this version cannot honour, rather than ignore it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    Backoff, Batch, Buffer, ByteSize, Codec, Compress, Config, Durability, Endpoint, Fields,
    Gateway, Late, Listen, OnFull, Order, Protocol, Retry, Role, Send, Start, TellLosses,
    class::{self, CLASS, ON_FULL, ORDER},
    codes,
    diagnostic::{Diagnostic, Report, Sink, Sources, Span},
    grammar::{Call, Grammar, Part, TextError},
    link::{self, LINK, TIME_ZONE},
    proxy,
    quantity::{self, DURATION, RATE, SIZE},
    secrets,
    shape::{Key, Shape, Ty},
    tree::{self, Node, Table, Value},
};

use super::model::ENDPOINT_NAME;
use crate::{
    core::{
        class::{ClassName, NAME_BYTES_MAX},
        spool::ROUTES_MAX,
    },
    otlp::Signal,
};

/// The keys of the collector's configuration.
pub static COLLECTOR: Shape = Shape {
    doc: "The store-side OpenTelemetry collector.",
    keys: &[
        Key::or(
            "role",
            Ty::Choice(&["collector", "gateway"]),
            "\"collector\"",
            "Where it stands: in a store, where it takes what services send; or at head office, where it takes what collectors of stores send, each item once.",
        ),
        Key::may(
            "gateway",
            Ty::Table(&GATEWAY),
            "{ horizon = \"30d\" }",
            "What a gateway remembers of stores. Nothing of it is used in another role.",
        ),
        Key::may(
            "listen",
            Ty::Table(&LISTEN),
            "{ http = \"127.0.0.1:4318\" }",
            "Where it listens. A simulated store sets it itself.",
        ),
        Key::may(
            "endpoint",
            Ty::Either(&[Ty::Word(&URL), Ty::Table(&ENDPOINT)]),
            "\"http://hq.example:4318\"",
            "Where it sends to: a URL, or a table. Without it, and without any `destination`, everything stays in the buffer. A simulated store sets it itself.",
        ),
        Key::may(
            "destination",
            Ty::Named(&ENDPOINT),
            "{ audit = { url = \"https://audit.example:4318\", classes = [\"logs\"] } }",
            "Where it sends to besides, by name: each has a state of its own, and a batch leaves the disk when all that it is for have it.",
        ),
        Key::may(
            "buffer",
            Ty::Table(&BUFFER),
            "{ disk = \"512MiB\" }",
            "The buffer on disk.",
        ),
        Key::may(
            "class",
            Ty::Named(&CLASS),
            "{ logs = { quota = \"25%\" } }",
            "Classes of telemetry with a queue and a policy of their own. A signal that none takes has the policy of `buffer`.",
        ),
        Key::may(
            "link",
            Ty::Named(&LINK),
            "{ lte = { match = { interface = \"wwan*\" }, budget = { bytes = \"2GiB\", per = \"30d\" } } }",
            "Line profiles: what may go over which line, how fast, and how much of it.",
        ),
        Key::may(
            "compress",
            Ty::Table(&COMPRESS),
            "{ codec = \"zstd:1\" }",
            "How batches are compressed.",
        ),
        Key::may(
            "batch",
            Ty::Table(&BATCH),
            "{ bytes = \"1MiB\", delay = \"5s\", delay_down = \"10m\" }",
            "When a batch is sealed: whichever comes first.",
        ),
        Key::may(
            "send",
            Ty::Table(&SEND),
            "{ max_rate = \"256kbit/s\" }",
            "How fast and in which order it sends.",
        ),
        Key::may(
            "retry",
            Ty::Table(&RETRY),
            "{ give_up = \"never\" }",
            "When it tries again.",
        ),
        Key::may(
            "telemetry",
            Ty::Table(&TELEMETRY),
            "{ metrics_interval = \"60s\" }",
            "What the collector tells about itself.",
        ),
    ],
};

static GATEWAY: Shape = Shape {
    doc: "What a gateway remembers of stores.",
    keys: &[
        Key::or(
            "horizon",
            Ty::Word(&DURATION),
            "\"30d\"",
            "A repeat is known for one so long after its items came: longer than any store is away.",
        ),
        Key::or(
            "stores_max",
            Ty::Integer(1, 1_000_000),
            "10000",
            "Most stores that it remembers. Beyond it the one that has been quiet for longest is forgotten, and its repeats pass.",
        ),
        Key::or(
            "stale_after",
            Ty::Word(&DURATION),
            "\"1h\"",
            "A store that was not heard for longer is shown as stale.",
        ),
        Key::or(
            "series_max",
            Ty::Integer(0, 10_000),
            "200",
            "Stores that have time series of their own on /metrics; where there are more, the page has sums only.",
        ),
    ],
};

static LISTEN: Shape = Shape {
    doc: "Where the collector listens.",
    keys: &[
        Key::or(
            "http",
            Ty::Word(&ADDRESS),
            "\"127.0.0.1:4318\"",
            "OTLP/HTTP, health and metrics: address and port, or off.",
        ),
        Key::or(
            "grpc",
            Ty::Word(&ADDRESS),
            "\"127.0.0.1:4317\"",
            "OTLP/gRPC: address and port, or off.",
        ),
        Key::may(
            "tls",
            Ty::Table(&LISTEN_TLS),
            "{ cert = \"/etc/backroom/server.pem\", key = \"/etc/backroom/server.key\" }",
            "Certificates of both listeners; without them it is plain TCP. Not in a simulated store.",
        ),
        Key::may(
            "bearer_tokens_file",
            Ty::Text,
            "\"/etc/backroom/tokens\"",
            "A file with one token a line, of which senders must know one. It is read again when it changes. Not in a simulated store.",
        ),
        Key::or(
            "body_bytes_max",
            Ty::Word(&SIZE),
            "\"8MiB\"",
            "Largest request body after decompression.",
        ),
        Key::or(
            "inflight_bytes_max",
            Ty::Word(&SIZE),
            "\"32MiB\"",
            "All requests in flight together, after decompression; beyond it they get 503 with Retry-After.",
        ),
    ],
};

static LISTEN_TLS: Shape = Shape {
    doc: "Certificates that the listeners show, and those that they ask for. PEM files; they are read again when they change.",
    keys: &[
        Key::need(
            "cert",
            Ty::Text,
            "\"/etc/backroom/server.pem\"",
            "The certificate, followed by those between it and the root.",
        ),
        Key::need(
            "key",
            Ty::Text,
            "\"/etc/backroom/server.key\"",
            "The certificate's private key.",
        ),
        Key::may(
            "client_ca",
            Ty::Text,
            "\"/etc/backroom/clients.pem\"",
            "Roots of the certificates that clients must show; without it none is asked for.",
        ),
    ],
};

static ENDPOINT_TLS: Shape = Shape {
    doc: "Whom the collector trusts, and what it shows, over https. PEM files; they are read again when they change.",
    keys: &[
        Key::may(
            "ca",
            Ty::Text,
            "\"/etc/backroom/hq-ca.pem\"",
            "Roots to trust, in place of those of the operating system.",
        ),
        Key::may(
            "cert",
            Ty::Text,
            "\"/etc/backroom/store.pem\"",
            "The certificate to show; needs `key`.",
        ),
        Key::may(
            "key",
            Ty::Text,
            "\"/etc/backroom/store.key\"",
            "The certificate's private key; needs `cert`.",
        ),
    ],
};

static ENDPOINT: Shape = Shape {
    doc: "Where the collector sends to.",
    keys: &[
        Key::may(
            "url",
            Ty::Word(&URL),
            "\"http://hq.example:4318\"",
            "Base URL; the path of the signal is appended. Needed, but in a simulated store, which sets it itself.",
        ),
        Key::may(
            "tls",
            Ty::Table(&ENDPOINT_TLS),
            "{ ca = \"/etc/backroom/hq-ca.pem\" }",
            "Whom to trust and what to show over https.",
        ),
        Key::may(
            "headers",
            Ty::Map(&Ty::Text),
            "{ x-store = \"0412\" }",
            "Extra request headers, in order.",
        ),
        Key::or(
            "timeout",
            Ty::Word(&DURATION),
            "\"30s\"",
            "Limit for one request, from connecting to the last byte of the answer.",
        ),
        Key::or(
            "protocol",
            Ty::Choice(&["http/protobuf", "http/json", "grpc"]),
            "\"http/protobuf\"",
            "How OTLP is spoken: protobuf or JSON over HTTP/1.1, or gRPC.",
        ),
        Key::may(
            "request_bytes_max",
            Ty::Word(&SIZE),
            "\"3.5MiB\"",
            "Largest request before compression, in protobuf; a larger batch goes in parts. Unless given: 3.5MiB over gRPC, no limit over HTTP.",
        ),
        Key::may(
            "bearer_token_file",
            Ty::Text,
            "\"/etc/backroom/hq-token\"",
            "A file whose first line is sent as a bearer token. It is read again when it changes. Not in a simulated store.",
        ),
        Key::may(
            "proxy",
            Ty::Word(&PROXY),
            "\"http://proxy.example:3128\"",
            "The proxy on the way, or off; unless given, the one of HTTPS_PROXY or HTTP_PROXY, with the exceptions of NO_PROXY. Not in a simulated store.",
        ),
        Key::may(
            "classes",
            Ty::List(&Ty::Text),
            "[\"logs\"]",
            "The classes that go there; all of them unless given.",
        ),
        Key::may(
            "max_age",
            Ty::Word(&DURATION),
            "\"7d\"",
            "The oldest that it takes, by the time at which the collector got it; no limit unless given.",
        ),
        Key::or(
            "late",
            Ty::Choice(&["hold", "send", "drop"]),
            "\"hold\"",
            "What becomes of what is older than `max_age`: it stays, until it is too old for its class; it goes when nothing else waits; or the destination does not get it.",
        ),
        Key::or(
            "from",
            Ty::Choice(&["oldest", "now"]),
            "\"oldest\"",
            "What goes to it when it is new: all that is stored, or what comes in from then on.",
        ),
    ],
};

static BUFFER: Shape = Shape {
    doc: "The buffer on disk.",
    keys: &[
        Key::or(
            "dir",
            Ty::Text,
            "\"backroom-buffer\"",
            "Directory, made if missing; relative to the working directory. A simulated store sets it itself.",
        ),
        Key::or(
            "disk",
            Ty::Word(&SIZE),
            "\"1GiB\"",
            "All files together, as they are on disk.",
        ),
        Key::or(
            "on_full",
            Ty::Choice(&["refuse", "drop-oldest", "drop-newest"]),
            "\"refuse\"",
            "What happens when the disk space is used up: refuse new requests with 503 and Retry-After, delete the oldest batches, or discard new requests. What is dropped is counted.",
        ),
        Key::or(
            "durability",
            Ty::Choice(&["fsync", "os"]),
            "\"fsync\"",
            "When a request is acknowledged: after its bytes were synced, or after they were handed to the operating system.",
        ),
    ],
};

static COMPRESS: Shape = Shape {
    doc: "How batches are compressed.",
    keys: &[
        Key::or(
            "codec",
            Ty::Word(&CODEC),
            "\"zstd:1\"",
            "none, gzip, gzip:1 to gzip:9, zstd, zstd:1 to zstd:19, or zstd:auto: by what the line costs and what the processor has left.",
        ),
        Key::may(
            "ratio",
            Ty::Number(1.0, 1000.0),
            "8.0",
            "Scenarios only: the ratio that closed forms and the flow fidelity assume.",
        ),
    ],
};

static BATCH: Shape = Shape {
    doc: "When a batch is sealed: whichever comes first.",
    keys: &[
        Key::or(
            "bytes",
            Ty::Word(&SIZE),
            "\"1MiB\"",
            "Raw size at which it is sealed.",
        ),
        Key::or(
            "delay",
            Ty::Word(&DURATION),
            "\"5s\"",
            "Age at which it is sealed.",
        ),
        Key::or(
            "delay_down",
            Ty::Word(&DURATION),
            "\"10m\"",
            "The same while there is no destination, or it is down, and no time to live or journal ends it before.",
        ),
    ],
};

static SEND: Shape = Shape {
    doc: "How fast and in which order the collector sends.",
    keys: &[
        Key::or(
            "inflight",
            Ty::Either(&[Ty::Choice(&["auto"]), Ty::Integer(1, 64)]),
            "\"auto\"",
            "Requests under way at once; auto is as many as fill the line, from 2 to 16. From 2 on, one more may carry what is fresh while all of these carry the backlog.",
        ),
        Key::may(
            "max_rate",
            Ty::Word(&RATE),
            "\"256kbit/s\"",
            "Bytes on the wire in a second, all overhead counted; no limit unless given.",
        ),
        Key::or(
            "yield",
            Ty::Word(&YIELD_DELAY),
            "\"off\"",
            "Delay that is added to the line at most: the rate follows the delay of answers, and others go first. Off is no look at it.",
        ),
        Key::or(
            "link",
            Ty::Text,
            "\"auto\"",
            "The name of the line profile that holds, or auto: the first of `link` whose `match` fits the default route, looked at every 5s and after each failure.",
        ),
        Key::may(
            "time_zone",
            Ty::Word(&TIME_ZONE),
            "\"America/Chicago\"",
            "The store's time zone: windows and months of `link` are in its time.",
        ),
        Key::or(
            "order",
            Ty::Choice(&["oldest-first", "newest-first"]),
            "\"oldest-first\"",
            "Which batch of a class goes first, among the fresh ones and in the backlog.",
        ),
        Key::or(
            "live_window",
            Ty::Word(&LIVE_WINDOW),
            "\"15s\"",
            "A batch is fresh, and goes before the backlog, while its youngest item is younger than that; off is never.",
        ),
        Key::or(
            "backfill_share",
            Ty::Word(&PROPER_SHARE),
            "\"25%\"",
            "What the backlog gets of a line that fresh batches would fill, above 0 % and below 100 %. Of any other line it gets all that is left.",
        ),
    ],
};

static RETRY: Shape = Shape {
    doc: "When the collector tries again.",
    keys: &[
        Key::or(
            "backoff",
            Ty::Word(&BACKOFF),
            "\"full-jitter(base=1s, cap=60s)\"",
            "The delay between attempts: none, exponential, equal-jitter, full-jitter or decorrelated-jitter (base, cap).",
        ),
        Key::or(
            "give_up",
            Ty::Word(&GIVE_UP),
            "\"never\"",
            "Age at which a batch is dropped, and counted; never unless told otherwise.",
        ),
    ],
};

static TELEMETRY: Shape = Shape {
    doc: "What the collector tells about itself.",
    keys: &[
        Key::or(
            "metrics_interval",
            Ty::Word(&REPORT_EVERY),
            "\"off\"",
            "How often its own metrics go into the buffer, to be sent over OTLP; at least 1s. A destination that takes no metrics would answer 404, so they are off.",
        ),
        Key::or(
            "losses",
            Ty::Choice(&["auto", "on", "off"]),
            "\"auto\"",
            "Whether what was dropped is told as log records, before everything else; auto is once a destination has taken logs.",
        ),
        Key::may(
            "resource",
            Ty::Map(&Ty::Text),
            "{ \"store.id\" = \"0412\" }",
            "Attributes of the resource of these metrics, beside service.name, service.version and service.instance.id.",
        ),
    ],
};

static REPORT_EVERY: Grammar = Grammar {
    name: "a duration, or \"off\"",
    doc: "off, or a duration of at least a second",
    pattern: "",
    examples: &["off", "60s"],
    units: &["s", "m", "h"],
    check: |text| report_every(text).map(drop),
};

static LIVE_WINDOW: Grammar = Grammar {
    name: "a duration, or \"off\"",
    doc: "off, or a duration such as 15s",
    pattern: "",
    examples: &["off", "15s"],
    units: &["s", "m"],
    check: |text| live_window(text).map(drop),
};

pub(super) static YIELD_DELAY: Grammar = Grammar {
    name: "a duration, or \"off\"",
    doc: "off, or a duration from 1ms to 10s such as 25ms",
    pattern: "",
    examples: &["off", "25ms"],
    units: &["ms"],
    check: |text| yield_delay(text).map(drop),
};

static PROPER_SHARE: Grammar = Grammar {
    name: "a share",
    doc: "a share between 0% and 100%, neither included",
    pattern: "",
    examples: &["25%"],
    units: &["%"],
    check: |text| proper_share(text).map(drop),
};

static ADDRESS: Grammar = Grammar {
    name: "an address and port",
    doc: "an IP address, a colon and a port, such as 127.0.0.1:4318; or off",
    pattern: r"^(off|.+:[0-9]+)$",
    examples: &["127.0.0.1:4318", "[::1]:4318", "off"],
    units: &[],
    check: |text| address(text).map(drop),
};

static URL: Grammar = Grammar {
    name: "a URL",
    doc: "http://, a host, and a port unless it is 80",
    pattern: r"^https?://[^/]+",
    examples: &["http://hq.example:4318"],
    units: &[],
    check: |text| url(text).map(drop),
};

static PROXY: Grammar = Grammar {
    name: "a proxy",
    doc: "http://, user:password@ where it wants them, a host, and a port unless it is 80; or off",
    pattern: r"^(off|(http://)?[^/]+)$",
    examples: &["http://proxy.example:3128", "off"],
    units: &[],
    check: |text| proxy::proxy(text).map(drop),
};

static CODEC: Grammar = Grammar {
    name: "a codec",
    doc: "none, gzip or zstd, with a level such as zstd:3",
    pattern: r"^(none|gzip(:[1-9])?|zstd(:(1?[0-9]|auto))?)$",
    examples: &["zstd:3", "gzip:6", "zstd:auto", "none"],
    units: &[],
    check: |text| codec(text).map(drop),
};

static BACKOFF: Grammar = Grammar {
    name: "a back-off",
    doc: "none, or one of exponential, equal-jitter, full-jitter and decorrelated-jitter with (base=1s, cap=60s)",
    pattern: r"^(none|(exponential|equal-jitter|full-jitter|decorrelated-jitter)\(.*\))$",
    examples: &["full-jitter(base=1s, cap=60s)", "none"],
    units: &[],
    check: |text| backoff(text).map(drop),
};

pub(super) static GIVE_UP: Grammar = Grammar {
    name: "a duration, or \"never\"",
    doc: "never, or a duration such as 30d",
    pattern: "",
    examples: &["never", "30d"],
    units: &["h", "d"],
    check: |text| give_up(text).map(drop),
};

impl Default for Config {
    /// What an empty file says.
    fn default() -> Self {
        Self {
            role: Role::default(),
            gateway: Gateway::default(),
            listen: Listen::default(),
            endpoint: None,
            destinations: Vec::new(),
            buffer: Buffer::default(),
            classes: Vec::new(),
            links: Vec::new(),
            compress: Compress {
                // Level 3 takes twice the CPU for two per cent fewer bytes, at a MiB of a store's telemetry.
                codec: Codec::Zstd(1),
                is_auto: false,
                ratio: None,
            },
            batch: Batch {
                bytes: ByteSize(1 << 20),
                delay: Duration::from_secs(5),
                delay_down: Duration::from_secs(600),
            },
            send: Send {
                inflight: None,
                max_rate: None,
                yield_delay: None,
                link: None,
                time_zone: None,
                order: Order::OldestFirst,
                live_window: Some(Duration::from_secs(15)),
                backfill_share: 0.25,
            },
            retry: Retry {
                backoff: Backoff::FullJitter {
                    base: Duration::from_secs(1),
                    cap: Duration::from_secs(60),
                },
                give_up: None,
            },
            telemetry: super::Telemetry::default(),
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            horizon: Duration::from_secs(30 * 86_400),
            stores_max: 10_000,
            stale_after: Duration::from_secs(3600),
            series_max: 200,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4318))),
            grpc: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4317))),
            tls: None,
            bearer_tokens_file: None,
            body_bytes_max: ByteSize(8 << 20),
            inflight_bytes_max: ByteSize(32 << 20),
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("backroom-buffer"),
            disk: ByteSize(1 << 30),
            on_full: OnFull::Refuse,
            durability: Durability::Fsync,
        }
    }
}

impl Endpoint {
    /// A destination with no headers and a timeout of 30 s, over HTTP with protobuf.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: None,
            headers: Vec::new(),
            timeout: Duration::from_secs(30),
            protocol: Protocol::HttpProtobuf,
            request_bytes_max: None,
            bearer_token_file: None,
            proxy: None,
            classes: None,
            age_max: None,
            late: Late::Hold,
            start: Start::Oldest,
        }
    }

    /// Largest request before compression that goes there, where there is a limit.
    pub fn raw_bytes_max(&self) -> Option<u64> {
        match (self.request_bytes_max, self.protocol) {
            (Some(size), _) => Some(size.0),
            (None, Protocol::Grpc) => Some(GRPC_RAW_BYTES_MAX),
            (None, _) => None,
        }
    }
}

/// 3.5 MiB: grpc-go and tonic take 4 MiB after decompression, and a margin costs little.
const GRPC_RAW_BYTES_MAX: u64 = 7 << 19;

/// Who reads a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The collector that is about to run.
    Deployed,
    /// A simulation.
    Scenario,
}

/// A configuration, with the texts and the tree that it was read from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The texts; none where there was no file.
    pub sources: Sources,
    /// What is written in the file.
    pub table: Table,
}

/// Reads the file of a deployed collector.
///
/// # Errors
/// All that is wrong with it; [`Report::exit_code`] tells a missing file (66) from a bad one (65).
pub fn load(path: &Path) -> Result<Config, Report> {
    load_whole(path).map(|loaded| loaded.config)
}

/// Like [`load`], with what it was read from.
///
/// # Errors
/// All that is wrong with it.
pub fn load_whole(path: &Path) -> Result<Loaded, Report> {
    let text =
        std::fs::read_to_string(path).map_err(|e| Report::unreadable(path, &codes::E0002, &e))?;
    load_text_whole(&path.display().to_string(), &text)
}

/// Like [`load`], for a text; `name` is what messages call it.
///
/// # Errors
/// All that is wrong with it.
pub fn load_text(name: &str, text: &str) -> Result<Config, Report> {
    load_text_whole(name, text).map(|loaded| loaded.config)
}

/// Like [`load_text`], with what it was read from.
///
/// # Errors
/// All that is wrong with it.
pub fn load_text_whole(name: &str, text: &str) -> Result<Loaded, Report> {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    let sink = Sink::default();
    let mut loaded = Loaded::default();
    match tree::parse_node(&sources, file) {
        Ok(node) => {
            loaded.config = read(&node, "", Reader::Deployed, &sink);
            if let Value::Table(table) = node.value {
                loaded.table = table;
            }
        }
        Err(diagnostic) => sink.push(*diagnostic),
    }
    if sink.error_count() == 0 {
        loaded.sources = sources;
        return Ok(loaded);
    }
    Err(Report {
        sources: Arc::new(sources),
        list: sink.into_list(),
        missing_input: false,
    })
}

/// Reads a table of the collector's keys; `place` is its dotted path. What is wrong goes to `sink`, and is read as the default.
pub fn read(node: &Node, place: &str, reader: Reader, sink: &Sink) -> Config {
    let mut config = Config::default();
    let Some(fields) = Fields::open(node, &COLLECTOR, place, sink) else {
        return config;
    };
    let roles = [("collector", Role::Collector), ("gateway", Role::Gateway)];
    set(&mut config.role, fields.choice("role", &roles));
    if let Some(f) = fields.fields("gateway") {
        let gateway = &mut config.gateway;
        set(&mut gateway.horizon, f.text("horizon", horizon));
        set(
            &mut gateway.stores_max,
            f.integer("stores_max").map(|n| n as usize),
        );
        set(&mut gateway.stale_after, f.text("stale_after", horizon));
        set(
            &mut gateway.series_max,
            f.integer("series_max").map(|n| n as usize),
        );
        if config.role != Role::Gateway && config.gateway != Gateway::default() {
            sink.push(
                Diagnostic::error(
                    &codes::E0702,
                    "`gateway` says nothing to a collector of a store",
                )
                .at(fields.key_span("gateway"), "never used")
                .help(String::from(
                    "write `role = \"gateway\"` above it, or remove it",
                )),
            );
        }
    }
    if let Some(f) = fields.fields("listen") {
        set(&mut config.listen.http, f.text("http", address));
        set(&mut config.listen.grpc, f.text("grpc", address));
        config.listen.tls = secrets::listen_tls(&f, reader);
        config.listen.bearer_tokens_file = secrets::tokens_file(&f, reader);
        set(
            &mut config.listen.body_bytes_max,
            f.text("body_bytes_max", positive_size),
        );
        set(
            &mut config.listen.inflight_bytes_max,
            f.text("inflight_bytes_max", positive_size),
        );
    }
    config.endpoint = endpoint(&fields, reader);
    config.destinations = destinations(&fields, reader);
    if let Some(f) = fields.fields("buffer") {
        set(&mut config.buffer.dir, f.string("dir").map(PathBuf::from));
        set(&mut config.buffer.disk, f.text("disk", disk_size));
        set(&mut config.buffer.on_full, f.choice("on_full", &ON_FULL));
        let durability = [("fsync", Durability::Fsync), ("os", Durability::Os)];
        set(
            &mut config.buffer.durability,
            f.choice("durability", &durability),
        );
    }
    if let Some(f) = fields.fields("compress") {
        if let Some((codec, is_auto)) = f.text("codec", codec) {
            (config.compress.codec, config.compress.is_auto) = (codec, is_auto);
        }
        config.compress.ratio = f.number("ratio");
        if reader == Reader::Deployed && f.has("ratio") {
            sink.push(
                Diagnostic::error(
                    &codes::E0701,
                    "`ratio` is for scenarios: a running collector really compresses",
                )
                .at(f.key_span("ratio"), "a figure that it would ignore")
                .help(String::from(
                    "remove it; `codec` decides how hard it compresses",
                )),
            );
        }
    }
    if let Some(f) = fields.fields("batch") {
        set(&mut config.batch.bytes, f.text("bytes", positive_size));
        set(&mut config.batch.delay, f.text("delay", quantity::duration));
        set(
            &mut config.batch.delay_down,
            f.text("delay_down", quantity::duration),
        );
    }
    let send = fields.fields("send");
    if let Some(f) = &send {
        set(
            &mut config.send.inflight,
            f.integer("inflight").map(|n| Some(n as usize)),
        );
        config.send.max_rate = f.text("max_rate", positive_rate);
        set(&mut config.send.yield_delay, f.text("yield", yield_delay));
        set(&mut config.send.order, f.choice("order", &ORDER));
        set(
            &mut config.send.live_window,
            f.text("live_window", live_window),
        );
        set(
            &mut config.send.backfill_share,
            f.text("backfill_share", proper_share),
        );
    }
    if let Some(f) = fields.fields("retry") {
        set(&mut config.retry.backoff, f.text("backoff", backoff));
        config.retry.give_up = f.text("give_up", give_up).flatten();
    }
    if let Some(f) = fields.fields("telemetry") {
        config.telemetry.metrics_interval = f.text("metrics_interval", report_every).flatten();
        let losses = [
            ("auto", TellLosses::Auto),
            ("on", TellLosses::On),
            ("off", TellLosses::Off),
        ];
        set(&mut config.telemetry.losses, f.choice("losses", &losses));
        if let Some(resource) = f.node("resource") {
            f.checked("resource", resource);
            let entries = resource
                .as_table()
                .into_iter()
                .flat_map(|table| &table.entries);
            let pairs = entries.filter_map(|(name, entry)| Some((name, entry.node.as_text()?)));
            let pairs = pairs.map(|(name, text)| (name.clone(), text.to_owned()));
            config.telemetry.resource = pairs.collect();
        }
    }
    // Last, for what a class does not say is what the rest says.
    config.classes = class::read(&fields, &config);
    let sorts = config.classes.iter().any(|class| !class.rules.is_empty());
    if config.role == Role::Gateway && sorts {
        sink.push(
            Diagnostic::error(&codes::E0702, "a gateway does not sort items by `match`")
                .at(fields.key_span("class"), "it keeps a request as it came")
                .help(String::from(
                    "remove `match`, and let the stores' collectors do it",
                )),
        );
    }
    link::read(&fields, send.as_ref(), &mut config, reader);
    check_classes(&fields, &config);
    config
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// A URL, or a table with one.
fn endpoint(fields: &Fields<'_>, reader: Reader) -> Option<Endpoint> {
    let node = fields.node("endpoint")?;
    if node.as_table().is_some() {
        return endpoint_table(&fields.fields("endpoint")?, reader, node.span, None);
    }
    fields.text("endpoint", url).map(Endpoint::new)
}

/// `[destination.NAME]`.
fn destinations(fields: &Fields<'_>, reader: Reader) -> Vec<(ClassName, Endpoint)> {
    let mut found = Vec::new();
    for (text, key, f) in fields.named("destination") {
        let endpoint = endpoint_table(&f, reader, key, Some((text.as_str(), key)));
        let wrong = |label: &str, help: String| {
            fields.sink().push(
                Diagnostic::error(
                    &codes::E0107,
                    format!("`{text}` cannot be a destination's name"),
                )
                .at(key, label.to_owned())
                .help(help),
            );
        };
        match ClassName::new(&text) {
            None => {
                let help = format!("use up to {NAME_BYTES_MAX} of a-z, 0-9, - and _");
                wrong("not a name", help);
            }
            Some(_) if text == ENDPOINT_NAME => {
                wrong(
                    "the name of `endpoint`",
                    String::from("give it another name"),
                );
            }
            Some(_) if found.len() + 1 >= ROUTES_MAX => {
                let help = format!("{ROUTES_MAX} with `endpoint` are the most");
                wrong("one too many", help);
            }
            Some(name) => found.extend(endpoint.map(|endpoint| (name, endpoint))),
        }
    }
    found
}

/// Destinations may name classes that exist only.
fn check_classes(fields: &Fields<'_>, config: &Config) {
    let check = |f: &Fields<'_>| check_class_names(f, &["classes"], config);
    let endpoint = fields
        .node("endpoint")
        .filter(|node| node.as_table().is_some());
    if let Some(f) = endpoint.and_then(|_| fields.fields("endpoint")) {
        check(&f);
    }
    for (_, _, f) in fields.named("destination") {
        check(&f);
    }
}

/// Lists of classes may name those that exist only.
pub(super) fn check_class_names(f: &Fields<'_>, keys: &[&str], config: &Config) {
    for (text, node) in keys.iter().flat_map(|key| f.strings(key)).flatten() {
        let is_signal = Signal::ALL.iter().any(|signal| signal.name() == text);
        let names: Vec<&str> = config.classes.iter().map(|c| c.name.as_str()).collect();
        if is_signal || names.contains(&text.as_str()) {
            continue;
        }
        let known = names.into_iter().chain(Signal::ALL.map(Signal::name));
        f.sink().push(
            Diagnostic::error(&codes::E0106, format!("there is no class `{text}`"))
                .at(node.span, "not declared")
                .help(super::did_you_mean(&text, known, "one of")),
        );
    }
}

/// The table `endpoint`, which stands at a place, or a named destination. A simulated store knows where its `endpoint` is.
fn endpoint_table(
    f: &Fields<'_>,
    reader: Reader,
    at: Span,
    named: Option<(&str, Span)>,
) -> Option<Endpoint> {
    let url = f.text("url", url);
    let mut found = Endpoint::new("");
    set(&mut found.timeout, f.text("timeout", quantity::duration));
    set(&mut found.protocol, f.choice("protocol", &Protocol::ALL));
    found.request_bytes_max = f.text("request_bytes_max", positive_size);
    let classes = f.strings("classes");
    // Names that are none are told by `check_classes`.
    found.classes = classes.map(|all| {
        all.iter()
            .filter_map(|(name, _)| ClassName::new(name))
            .collect()
    });
    found.age_max = f.text("max_age", quantity::duration);
    let late = [
        ("hold", Late::Hold),
        ("send", Late::Send),
        ("drop", Late::Drop),
    ];
    set(&mut found.late, f.choice("late", &late));
    let start = [("oldest", Start::Oldest), ("now", Start::Now)];
    set(&mut found.start, f.choice("from", &start));
    found.tls = secrets::endpoint_tls(f, reader);
    found.bearer_token_file = secrets::token_file(f, reader);
    found.proxy = secrets::proxy(f, reader);
    if let Some(headers) = f.node("headers") {
        f.checked("headers", headers);
        if let Some(table) = headers.as_table() {
            for (name, entry) in &table.entries {
                let Some(value) = entry.node.as_text() else {
                    continue;
                };
                if let Some(err) = header_error(name, value) {
                    f.sink().push(
                        Diagnostic::error(&codes::E0107, format!("`{name}` cannot be a header"))
                            .at(entry.key, err),
                    );
                }
                found.headers.push((name.clone(), value.to_owned()));
            }
        }
    }
    let url = match url {
        None if f.node("url").is_some() => return None,
        None if named.is_none() && reader == Reader::Scenario => String::new(),
        None => {
            let (what, span) = named.unwrap_or(("endpoint", at));
            f.sink().push(
                Diagnostic::error(&codes::E0101, format!("`{what}` needs `url`"))
                    .at(span, "where to?")
                    .help(String::from("add `url = \"http://hq.example:4318\"`")),
            );
            return None;
        }
        Some(url) => url,
    };
    if found.tls.is_some() && url.starts_with("http:") {
        f.sink().push(
            Diagnostic::error(&codes::E0703, "`tls` says nothing about `http://`")
                .at(f.key_span("tls"), "never used")
                .help(String::from("write https:// in `url`, or remove it")),
        );
    }
    found.url = url;
    Some(found)
}

/// Why a header cannot be sent; `None` if it can.
fn header_error(name: &str, value: &str) -> Option<&'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Some("not a header name");
    }
    if !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Some("its value is not plain ASCII");
    }
    None
}

/// Where to listen; `None` is off.
fn address(text: &str) -> Result<Option<SocketAddr>, TextError> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        TextError::value(
            Part::whole(text).range(),
            "`{key}` is not an address and port",
            "expected IP:PORT, or off",
        )
        .help(String::from("write \"127.0.0.1:4318\", or \"off\""))
    })
}

/// A base URL without a slash at its end.
fn url(text: &str) -> Result<String, TextError> {
    let wrong = |at, label: &str| {
        Err(TextError::value(at, "`{key}` is not a URL", label)
            .help(String::from("write \"http://hq.example:4318\"")))
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong(0..text.len(), "no `http://`");
    };
    if !matches!(scheme, "http" | "https") {
        return wrong(0..scheme.len(), "not http or https");
    }
    let from = scheme.len() + 3;
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let part = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    if host.is_empty() || !host.chars().all(part) {
        return wrong(from..from + authority.len().max(1), "no host name");
    }
    if let Some(port) = port
        && port.parse::<u16>().map_or(true, |p| p == 0)
    {
        let at = from + host.len() + 1;
        return wrong(at..at + port.len().max(1), "not a port");
    }
    if let Some(i) = rest.find(|c: char| c.is_whitespace() || c.is_control() || "?#".contains(c)) {
        return wrong(from + i..from + i + 1, "not part of a base URL");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// What its journals, their successors and the reserve take before the first request is about a third of it.
const DISK_MIN: ByteSize = ByteSize(256 << 10);

fn disk_size(text: &str) -> Result<ByteSize, TextError> {
    let size = positive_size(text)?;
    if size >= DISK_MIN {
        return Ok(size);
    }
    Err(TextError::new(
        &codes::E0107,
        Part::whole(text).range(),
        "`{key}` must be at least 256KiB",
        "its journals alone would fill it",
    ))
}

pub(super) fn positive_size(text: &str) -> Result<ByteSize, TextError> {
    let size = quantity::byte_size(text)?;
    if size.0 > 0 {
        return Ok(size);
    }
    Err(zero(text))
}

pub(super) fn positive_rate(text: &str) -> Result<super::BitRate, TextError> {
    let rate = quantity::bit_rate(text)?;
    if rate.0 > 0 {
        return Ok(rate);
    }
    Err(zero(text))
}

pub(super) fn zero(text: &str) -> TextError {
    TextError::new(
        &codes::E0107,
        Part::whole(text).range(),
        "`{key}` cannot be zero",
        "nothing would ever fit",
    )
}

/// A codec, and whether its level is chosen batch by batch.
fn codec(text: &str) -> Result<(Codec, bool), TextError> {
    match text {
        "zstd:auto" => Ok((Codec::Zstd(1), true)),
        text => fixed_codec(text).map(|codec| (codec, false)),
    }
}

fn fixed_codec(text: &str) -> Result<Codec, TextError> {
    let whole = Part::whole(text);
    let (name, level) = match whole.split_once(':') {
        Some((name, level)) => (name, Some(level)),
        None => (whole, None),
    };
    let in_range = |max: i32, default: i32| match level {
        None => Ok(default),
        Some(part) => match part.text.parse::<i32>() {
            Ok(n) if (1..=max).contains(&n) => Ok(n),
            _ => Err(TextError::new(
                &codes::E0107,
                part.range(),
                format!("`{}` has levels 1 to {max}", name.text),
                "no such level",
            )),
        },
    };
    match (name.text, level) {
        ("none", None) => Ok(Codec::None),
        ("gzip", _) => Ok(Codec::Gzip(in_range(9, 6)? as u32)),
        ("zstd", _) => Ok(Codec::Zstd(in_range(19, 3)?)),
        _ => Err(TextError::new(
            &codes::E0106,
            name.range(),
            format!("there is no codec `{}`", whole.text),
            "not one of its words",
        )
        .help(super::did_you_mean(
            name.text,
            ["none", "gzip", "zstd"],
            "one of",
        ))),
    }
}

fn backoff(text: &str) -> Result<Backoff, TextError> {
    const NAMES: [&str; 5] = [
        "none",
        "exponential",
        "equal-jitter",
        "full-jitter",
        "decorrelated-jitter",
    ];
    let call = Call::parse(text)?;
    if call.name.text == "none" {
        call.named([])?;
        return Ok(Backoff::None);
    }
    if !NAMES.contains(&call.name.text) {
        return Err(TextError::new(
            &codes::E0106,
            call.name.range(),
            format!("there is no back-off `{}`", call.name.text),
            "not one of its words",
        )
        .help(super::did_you_mean(call.name.text, NAMES, "one of")));
    }
    let [base_part, cap_part] = call.named(["base", "cap"])?;
    let base = base_part.parse(quantity::duration)?;
    let cap = cap_part.parse(quantity::duration)?;
    if base.is_zero() || cap < base {
        return Err(TextError::new(
            &codes::E0107,
            cap_part.range(),
            "the longest delay is shorter than the first one",
            "must be at least `base`, and `base` more than zero",
        ));
    }
    Ok(match call.name.text {
        "exponential" => Backoff::Exponential { base, cap },
        "equal-jitter" => Backoff::EqualJitter { base, cap },
        "full-jitter" => Backoff::FullJitter { base, cap },
        _ => Backoff::DecorrelatedJitter { base, cap },
    })
}

fn report_every(text: &str) -> Result<Option<Duration>, TextError> {
    if text.trim() == "off" {
        return Ok(None);
    }
    let interval = quantity::duration(text)?;
    if interval < Duration::from_secs(1) {
        return Err(TextError::new(
            &codes::E0107,
            Part::whole(text).range(),
            "`{key}` is shorter than a second",
            "at least 1s, or off",
        ));
    }
    Ok(Some(interval))
}

/// How long a batch is fresh; `None` is never.
fn live_window(text: &str) -> Result<Option<Duration>, TextError> {
    match text.trim() {
        "off" => Ok(None),
        _ => quantity::duration(text).map(Some),
    }
}

/// A time that clocks in unix seconds can tell, and in which a store can come twice.
fn horizon(text: &str) -> Result<Duration, TextError> {
    let time = quantity::duration(text)?;
    if (Duration::from_secs(60)..=Duration::from_secs(3650 * 86_400)).contains(&time) {
        return Ok(time);
    }
    Err(TextError::new(
        &codes::E0107,
        Part::whole(text).range(),
        "`{key}` is shorter than a minute, or longer than ten years",
        "at least 1m, at most 3650d",
    ))
}

pub(super) fn yield_delay(text: &str) -> Result<Option<Duration>, TextError> {
    if text.trim() == "off" {
        return Ok(None);
    }
    let delay = quantity::duration(text)?;
    if (Duration::from_millis(1)..=Duration::from_secs(10)).contains(&delay) {
        return Ok(Some(delay));
    }
    Err(TextError::new(
        &codes::E0107,
        Part::whole(text).range(),
        "`{key}` is not what a queue on a line adds to an answer",
        "at least 1ms, at most 10s",
    ))
}

fn proper_share(text: &str) -> Result<f64, TextError> {
    let share = quantity::proportion(text)?;
    // Thousandths are what the turns are counted in.
    if (0.001..=0.999).contains(&share) {
        return Ok(share);
    }
    Err(TextError::new(
        &codes::E0107,
        Part::whole(text).range(),
        "`{key}` would leave one side without any line",
        "at least 0.1%, at most 99.9%",
    ))
}

pub(super) fn give_up(text: &str) -> Result<Option<Duration>, TextError> {
    match text.trim() {
        "never" => Ok(None),
        _ => quantity::duration(text).map(Some),
    }
}
