//! The collector's configuration, resolved: every value present, every unit settled.
//!
//! `[collector]` of a scenario is this very struct, so a simulated store is configured as a deployed one.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use jiff::tz::TimeZone;

use super::{BitRate, ByteSize, Class, Link};
use crate::{
    core::class::ClassName,
    env::{ClientTls, ServerTls},
};

/// Everything the collector is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whose requests it takes.
    pub role: Role,
    /// What it remembers of stores, as a gateway.
    pub gateway: Gateway,
    /// Where it listens.
    pub listen: Listen,
    /// Where it sends to; `None` keeps everything until a destination is configured.
    pub endpoint: Option<Endpoint>,
    /// Where it sends to besides, by name, in the order of the file.
    pub destinations: Vec<(ClassName, Endpoint)>,
    /// The buffer on disk.
    pub buffer: Buffer,
    /// Declared classes, in the order of the file.
    pub classes: Vec<Class>,
    /// Line profiles, in the order of the file.
    pub links: Vec<Link>,
    /// How batches are compressed.
    pub compress: Compress,
    /// When a batch is sealed.
    pub batch: Batch,
    /// How fast and in which order it sends.
    pub send: Send,
    /// When it tries again.
    pub retry: Retry,
    /// What it tells about itself.
    pub telemetry: Telemetry,
}

/// Where a collector stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// In a store: takes what its services send.
    #[default]
    Collector,
    /// At head office: takes what collectors of stores send, each item once.
    Gateway,
}

/// What a gateway remembers of stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// A repeat is known for one so long after its items came; 30 days.
    pub horizon: Duration,
    /// Most stores; 10,000. Beyond it the one that has been quiet for longest is forgotten.
    pub stores_max: usize,
    /// A store that was not heard for longer is shown as stale; an hour.
    pub stale_after: Duration,
    /// Stores with time series of their own; 200. Beyond it there are sums only.
    pub series_max: usize,
}

/// Listeners.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// OTLP/HTTP; `127.0.0.1:4318` unless told otherwise, `None` is off.
    pub http: Option<SocketAddr>,
    /// OTLP/gRPC; `127.0.0.1:4317` unless told otherwise, `None` is off.
    pub grpc: Option<SocketAddr>,
    /// Certificates of both listeners; `None` is plain TCP.
    pub tls: Option<ServerTls>,
    /// A file with tokens of which senders must know one; `None` takes requests from anyone.
    pub bearer_tokens_file: Option<PathBuf>,
    /// Largest request body after decompression; 8 MiB.
    pub body_bytes_max: ByteSize,
    /// All requests in flight together, after decompression; 32 MiB. Beyond it 503 with Retry-After.
    pub inflight_bytes_max: ByteSize,
}

/// A destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Base URL, such as `http://hq.example:4318`; the signal's path is appended.
    pub url: String,
    /// Whom to trust and what to show over `https`; `None` trusts the operating system's roots.
    pub tls: Option<ClientTls>,
    /// Extra request headers, in order.
    pub headers: Vec<(String, String)>,
    /// Limit for one request, from connecting to the last byte of the answer; 30 s.
    pub timeout: Duration,
    /// How OTLP is spoken to it.
    pub protocol: Protocol,
    /// Largest request before compression, in protobuf: a larger batch goes in parts. `None` is 3.5 MiB over gRPC, because stock
    /// servers refuse 4 MiB, and no limit over HTTP.
    pub request_bytes_max: Option<ByteSize>,
    /// A file whose first line is sent as a bearer token; read again when it changes.
    pub bearer_token_file: Option<PathBuf>,
    /// URL of the proxy on the way, such as `http://user:password@proxy:3128`; `None` goes directly.
    pub proxy: Option<String>,
    /// The classes that go there; `None` is all.
    pub classes: Option<Vec<ClassName>>,
    /// The oldest that it takes, by the time at which the collector got it; `None` is no limit.
    pub age_max: Option<Duration>,
    /// What becomes of what is older.
    pub late: Late,
    /// What of the buffer goes there when it is new.
    pub start: Start,
}

/// What becomes of batches that are too old for a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Late {
    /// They stay, until they are too old for their class, or the destination takes older ones.
    #[default]
    Hold,
    /// They go when nothing else waits.
    Send,
    /// The destination does not get them; those that none got are dropped, and counted.
    Drop,
}

/// What a new destination gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// All that is stored.
    #[default]
    Oldest,
    /// What comes in from now on.
    Now,
}

/// The name of `endpoint` among the destinations.
pub const ENDPOINT_NAME: &str = "endpoint";

impl Config {
    /// All destinations with their names.
    pub fn routes(&self) -> impl Iterator<Item = (ClassName, &Endpoint)> {
        let name = ClassName::new(ENDPOINT_NAME).expect("it is one");
        let endpoint = self.endpoint.iter().map(move |endpoint| (name, endpoint));
        let others = self.destinations.iter();
        endpoint.chain(others.map(|(name, endpoint)| (*name, endpoint)))
    }
}

/// How OTLP is spoken, by the words of `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf over HTTP/1.1.
    #[default]
    HttpProtobuf,
    /// JSON over HTTP/1.1.
    HttpJson,
    /// gRPC.
    Grpc,
}

impl Protocol {
    /// Every protocol with its word.
    pub const ALL: [(&str, Self); 3] = [
        ("http/protobuf", Self::HttpProtobuf),
        ("http/json", Self::HttpJson),
        ("grpc", Self::Grpc),
    ];
}

/// The buffer on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Directory; made if missing.
    pub dir: PathBuf,
    /// All files together, as they are on disk; 1 GiB.
    pub disk: ByteSize,
    /// What happens when `disk` is used up.
    pub on_full: OnFull,
    /// When a request is acknowledged.
    pub durability: Durability,
}

/// What happens when the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// Refuse new requests with 503 and Retry-After.
    Refuse,
    /// Delete the oldest batches, and count them.
    DropOldest,
    /// Accept and discard new requests, and count them.
    DropNewest,
}

/// When a request is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After its bytes are in a file that was synced: survives power loss.
    Fsync,
    /// After its bytes were handed to the operating system: survives a crash of the process only.
    Os,
}

/// Compression of batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Compress {
    /// Codec and level.
    pub codec: Codec,
    /// Whether the level is chosen batch by batch (`core::level`); that of `codec` is then the least.
    pub is_auto: bool,
    /// Scenarios only: the ratio that closed forms and the flow fidelity assume. The running collector refuses it.
    pub ratio: Option<f64>,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Bodies as they are.
    None,
    /// One gzip member, level 1 to 9.
    Gzip(u32),
    /// One zstd frame, level 1 to 19.
    Zstd(i32),
}

/// When a batch is sealed: whichever comes first.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Raw size at which it is sealed; 1 MiB.
    pub bytes: ByteSize,
    /// Age at which it is sealed; 5 s.
    pub delay: Duration,
    /// The same while there is no destination, or it is down; 10 minutes. Shorter ones than `delay` count as that.
    pub delay_down: Duration,
}

/// Sending.
#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    /// Requests under way at once; `None` is as many as fill the line, from 2 to 16. From 2 on, one more may carry what is fresh
    /// while all of these carry the backlog.
    pub inflight: Option<usize>,
    /// Wire bytes a second, all overhead counted; `None` is no limit.
    pub max_rate: Option<BitRate>,
    /// Delay that is added to the line at most: others are given way to by it. `None` is no look at the delay.
    pub yield_delay: Option<Duration>,
    /// The profile that holds; `None` is by the interface of the default route.
    pub link: Option<ClassName>,
    /// The store's time zone; needed for windows and months only.
    pub time_zone: Option<TimeZone>,
    /// Which batch of a class and a lane goes first, unless the class says otherwise.
    pub order: Order,
    /// A batch is fresh, and goes before the backlog, while its youngest item is younger; `None` is never. 15 s: three times
    /// `batch.delay`, so that what is sealed on time has two more turns before it counts as backlog.
    pub live_window: Option<Duration>,
    /// What the backlog gets of a line that fresh batches would fill, above 0 and below 1; 0.25: it ends in finite time, and
    /// costs what is fresh a third more time at most.
    pub backfill_share: f64,
}

/// Which batch goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// First in, first out.
    OldestFirst,
    /// Last in, first out.
    NewestFirst,
}

/// Trying again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The delay between attempts.
    pub backoff: Backoff,
    /// Age at which a batch is dropped, and counted; `None` is never.
    pub give_up: Option<Duration>,
}

/// Delay before the next attempt, where `n` failures came before (closed form T6; Brooker, AWS Architecture Blog 2015).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backoff {
    /// At once.
    None,
    /// `min(cap, base * 2^n)`.
    Exponential {
        /// First delay.
        base: Duration,
        /// Longest delay.
        cap: Duration,
    },
    /// Half of the exponential delay, plus a uniform draw of the other half.
    EqualJitter {
        /// First delay.
        base: Duration,
        /// Longest delay.
        cap: Duration,
    },
    /// A uniform draw from zero to the exponential delay.
    FullJitter {
        /// First delay.
        base: Duration,
        /// Longest delay.
        cap: Duration,
    },
    /// `min(cap, uniform(base, 3 * previous))`.
    DecorrelatedJitter {
        /// Shortest delay.
        base: Duration,
        /// Longest delay.
        cap: Duration,
    },
}

/// Whether rows of the loss ledger are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TellLosses {
    /// Once a destination has taken logs: one that takes none would answer 404, which takes it down for everything.
    #[default]
    Auto,
    /// Always, where there is a destination.
    On,
    /// Never.
    Off,
}

/// What the collector tells of itself over OTLP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// How often they go into the buffer; `None` is never.
    ///
    /// Never unless told otherwise: a destination that takes no metrics answers 404, which takes it down for everything.
    pub metrics_interval: Option<Duration>,
    /// Whether the loss ledger goes there as log records.
    pub losses: TellLosses,
    /// Attributes of the resource beside `service.name`, `service.version` and `service.instance.id`, or in their place.
    pub resource: Vec<(String, String)>,
}
