//! Receivers that break every rule, over HTTP/1.1 and HTTP/2: nothing is lost, memory is bounded, the log says what was seen, a
//! metric counts it, and when the receiver is well again everything arrives.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use backroom_collector::{
    config::Protocol,
    env::{Env, Listener, OsEnv, OsStream},
    otlp::Signal,
};
use common::{Running, Sink, buffer, config, env};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};

/// What is wrong with a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    /// Bytes that are no HTTP.
    Garbage,
    /// Half of an answer.
    Cut,
    /// Headers without end.
    Headers,
    /// "100 Continue" without end.
    Continue,
    /// No answer, ever.
    Stall,
    /// An answer of 10 GiB.
    Huge,
    /// A chunked answer without end.
    Chunks,
    /// A redirect to itself.
    Circle,
    /// The same over HTTP/2.
    Circle2,
    /// A message over gRPC that says it has 4 GiB, the most that can be said, and the status OK.
    Claim,
    /// Frames of HTTP/2 that make no sense.
    Frames,
    /// GOAWAY on every connection.
    Goaway,
    /// Every stream is reset, and ones that never were.
    Resets,
    /// A header block that does not end.
    Continuation,
    /// Pings without end.
    Pings,
    /// No room for the request's body, ever.
    Window,
    /// Data without end, over every window.
    Flood,
}

/// A receiver that is bad, until it is told to pass everything on to a good one.
struct Receiver {
    address: std::net::SocketAddr,
    met: Arc<AtomicUsize>,
    is_well: Arc<AtomicBool>,
}

impl Receiver {
    async fn open(env: &OsEnv, bad: Bad, good: std::net::SocketAddr) -> Self {
        let mut listener = env.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            met: Arc::default(),
            is_well: Arc::default(),
        };
        let (here, met, is_well) = (env.clone(), receiver.met.clone(), receiver.is_well.clone());
        env.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (env, met, is_well) = (here.clone(), met.clone(), is_well.clone());
                here.spawn(async move {
                    if is_well.load(Ordering::Relaxed) {
                        let mut onward = common::connect(&env, good).await;
                        let _ = copy_bidirectional(&mut stream, &mut onward).await;
                    } else {
                        met.fetch_add(1, Ordering::Relaxed);
                        misbehave(&env, stream, bad).await;
                    }
                });
            }
        });
        receiver
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n";

async fn misbehave(env: &OsEnv, stream: OsStream, bad: Bad) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    // The request is read and thrown away, so that nothing is reset for it.
    let (some, mut came) = tokio::sync::watch::channel(false);
    env.spawn(async move {
        let mut data = vec![0; 4096];
        while reader.read(&mut data).await.is_ok_and(|read| read > 0) {
            some.send_replace(true);
        }
    });
    let _ = came.wait_for(|came| *came).await;
    let line = vec![b'a'; 1000];
    let endless = [b"x-", &line[..], b": ", &line[..], b"\r\n"].concat();
    let chunk = [b"3e8\r\n", &line[..], b"\r\n"].concat();
    let settings = frame(4, 0, 0, b"");
    // Literals that are not put into the table: `:status`, `location` and `content-type` by their index, `grpc-status` by name.
    let redirect = frame(1, 5, 1, b"\x08\x03302\x0f\x1f\x0a/v1/traces");
    let head = frame(1, 4, 1, b"\x88\x0f\x10\x10application/grpc");
    let status = frame(1, 5, 1, b"\x00\x0bgrpc-status\x010");
    let claim = frame(0, 0, 1, b"\x00\xff\xff\xff\xffabc");
    let once: &[&[u8]] = match bad {
        Bad::Garbage => &[&[0xfe; 300]],
        Bad::Frames => &[
            &settings,
            &frame(0x42, 0, 7, &line),
            &frame(0, 0, 99, &line),
        ],
        Bad::Cut => &[HEAD.as_bytes(), b"content-length: 100\r\n\r\nabc"],
        Bad::Headers => &[HEAD.as_bytes()],
        Bad::Huge => &[HEAD.as_bytes(), b"content-length: 10737418240\r\n\r\n"],
        Bad::Chunks => &[HEAD.as_bytes(), b"transfer-encoding: chunked\r\n\r\n"],
        Bad::Circle => {
            &[b"HTTP/1.1 302 Found\r\nlocation: /v1/traces\r\ncontent-length: 0\r\n\r\n"]
        }
        Bad::Circle2 => &[&settings, &redirect],
        Bad::Claim => &[&settings, &head, &claim, &status],
        Bad::Continue | Bad::Stall => &[],
        Bad::Goaway => &[&settings, &frame(7, 0, 0, &[0; 8])],
        Bad::Resets => &[&settings, &frame(3, 0, 1, &[0, 0, 0, 7])],
        // Literal headers that are not put into the table, in a block without END_HEADERS.
        Bad::Continuation => &[&settings, &frame(1, 0, 1, b"\x88")],
        Bad::Pings | Bad::Flood => &[&settings],
        // INITIAL_WINDOW_SIZE (4) is 0.
        Bad::Window => &[&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])],
    };
    for part in once {
        if writer.write_all(part).await.is_err() {
            return;
        }
    }
    let field = [&b"\x00\x01x\x7f\xe9\x06"[..], &line[..]].concat();
    match bad {
        Bad::Garbage
        | Bad::Cut
        | Bad::Circle
        | Bad::Circle2
        | Bad::Claim
        | Bad::Goaway
        | Bad::Frames => {
            let _ = writer.shutdown().await;
        }
        Bad::Headers => forever(&mut writer, &endless).await,
        Bad::Continue => forever(&mut writer, b"HTTP/1.1 100 Continue\r\n\r\n").await,
        Bad::Huge => forever(&mut writer, &line).await,
        Bad::Chunks => forever(&mut writer, &chunk).await,
        Bad::Stall | Bad::Window => std::future::pending().await,
        Bad::Resets => forever(&mut writer, &frame(3, 0, 1, &[0, 0, 0, 7])).await,
        Bad::Continuation => forever(&mut writer, &frame(9, 0, 1, &field)).await,
        Bad::Pings => forever(&mut writer, &frame(6, 0, 0, &[7; 8])).await,
        Bad::Flood => {
            let head = frame(1, 4, 1, b"\x88");
            let _ = writer.write_all(&head).await;
            forever(&mut writer, &frame(0, 0, 1, &line)).await;
        }
    }
}

async fn forever(writer: &mut (impl AsyncWrite + Unpin), data: &[u8]) {
    let many = data.repeat(16);
    while writer.write_all(&many).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Most memory that this process has had, where that is known.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

async fn attempts(running: &Running) -> f64 {
    let mut client = running.client().await;
    let page = client.request("GET", "/metrics", &[], b"").await.unwrap();
    let page = String::from_utf8(page.body).unwrap();
    let failed = page.lines().filter_map(|line| {
        let rest = line.strip_prefix("backroom_send_attempts_total{verdict=\"")?;
        let is_path = rest.starts_with("path\"") || rest.starts_with("suspended\"");
        is_path.then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok())?
    });
    failed.sum()
}

async fn check(protocol: Protocol, bad: Bad, words: &str) {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = match protocol {
        Protocol::Grpc => Sink::open_grpc(&env).await,
        _ => Sink::open(&env).await,
    };
    let receiver = Receiver::open(&env, bad, sink.address).await;
    let mut config = config(&dir, Some(format!("http://{}", receiver.address)));
    let endpoint = config.endpoint.as_mut().unwrap();
    endpoint.protocol = protocol;
    endpoint.timeout = Duration::from_millis(300);
    let running = Running::start(&env, config).await;
    let answer = running.client().await.post_spans(0..10).await;
    assert_eq!(answer.unwrap().status, 200);
    let told = &running.told;
    told.wait(&format!("{bad:?}"), |told| told.has_notice("is down"))
        .await;
    let notices = told.notices.lock().unwrap().join("\n");
    assert!(notices.contains(words), "{protocol:?} {bad:?}: {notices}");
    assert!(receiver.met.load(Ordering::Relaxed) > 0);
    assert!(attempts(&running).await >= 1.0, "{bad:?}");
    let items = *told.accounting.lock().unwrap().items(Signal::Traces);
    assert_eq!((items.stored, items.delivered), (10, 0), "{bad:?}");
    assert_eq!((items.quarantined, items.dropped_total()), (0, 0));
    receiver.is_well.store(true, Ordering::Relaxed);
    // Whatever it waits for now, an answer or the next probe, is over at once.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    sink.wait_for_spans(10).await;
    assert_eq!(sink.taken(), (0..10).map(|id| (id, 1)).collect());
    running.stop().await;
    env.abort_all();
}

/// The words are those of the log: what a person has to go by.
#[tokio::test]
async fn nothing_is_lost_and_memory_is_bounded() {
    use Protocol::{Grpc, HttpProtobuf as Http};
    let before = peak_bytes();
    for (protocol, bad, words) in [
        (Http, Bad::Garbage, "invalid HTTP"),
        (Http, Bad::Cut, "end of file before message length reached"),
        (Http, Bad::Headers, "message head is too large"),
        (Http, Bad::Continue, "no answer within"),
        (Http, Bad::Stall, "no answer within"),
        (Http, Bad::Huge, "not OTLP"),
        (Http, Bad::Chunks, "not OTLP"),
        (Http, Bad::Circle, "status 302"),
        (Http, Bad::Frames, "invalid HTTP"),
        (Grpc, Bad::Garbage, "http2 error"),
        (Grpc, Bad::Cut, "http2 error"),
        (Grpc, Bad::Stall, "no answer within"),
        (Grpc, Bad::Circle2, "status 302"),
        (Grpc, Bad::Claim, "OK whose message is not OTLP"),
        (Grpc, Bad::Frames, "http2 error"),
        (Grpc, Bad::Goaway, "not a result of an error"),
        (Grpc, Bad::Resets, "http2 error"),
        (Grpc, Bad::Continuation, "http2 error"),
        (Grpc, Bad::Pings, "no answer within"),
        (Grpc, Bad::Window, "no answer within"),
        (Grpc, Bad::Flood, "not gRPC"),
    ] {
        check(protocol, bad, words).await;
        // The peak only grows: the first receiver that takes too much is the one that is named.
        if let (Some(before), Some(after)) = (before, peak_bytes()) {
            let grown = (after - before) >> 20;
            assert!(grown < 48, "{protocol:?} {bad:?}: {grown} MiB");
        }
    }
}
