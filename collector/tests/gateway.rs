//! `role = "gateway"`: what stores send again is taken once, over HTTP and gRPC, through answers that are cut and `kill -9`; and what
//! it shows of the stores.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Range,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use backroom_collector::{
    config::{Config, Role},
    env::{Env as _, Listener as _, OsEnv},
    otlp::grpc,
    shell::stores::Page,
};
use common::{Client, PROTOBUF, Process, Received, Reply, Running, Sink, buffer, env, spans};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BATCH: &str = "x-backroom-batch";

fn gateway(dir: &std::path::Path, sink: &Sink) -> Config {
    let mut config = common::config(dir, Some(sink.url()));
    config.role = Role::Gateway;
    config
}

/// The range of spans of a store whose numbers are those of its spans.
fn range(ids: &Range<u32>) -> String {
    format!("00000000000004d2-1-traces-{}-{}", ids.start, ids.len())
}

/// Sends spans with their range; whether they were acknowledged.
async fn offer(client: &mut Client, ids: Range<u32>) -> Option<bool> {
    let range = range(&ids);
    let headers = [PROTOBUF, (BATCH, &range)];
    let answer = client
        .request("POST", "/v1/traces", &headers, &spans(ids))
        .await?;
    Some(answer.status == 200)
}

async fn metric(address: SocketAddr, name: &str) -> u64 {
    let mut client = Client::connect(address).await;
    let page = client.request("GET", "/metrics", &[], &[]).await.unwrap();
    let page = String::from_utf8(page.body).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_else(|| panic!("{name} in {page}"));
    value.trim().parse().unwrap()
}

/// Scenario: a store sends a batch, its halves, the batch again, overlaps with what is new on either side, on two connections at
/// once, over HTTP and gRPC.
/// Guarantees: each span reaches the back end once, and in each answer that says so it was there (C11).
#[tokio::test]
async fn what_comes_again_is_taken_once() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, gateway(&dir, &sink)).await;
    let (mut one, mut two) = (running.client().await, running.client().await);
    assert_eq!(offer(&mut one, 100..200).await, Some(true));
    for ids in [100..150, 150..200, 100..200, 120..130] {
        assert_eq!(offer(&mut one, ids).await, Some(true));
    }
    // A part in the middle is old; then one in the middle is new.
    assert_eq!(offer(&mut one, 50..250).await, Some(true));
    assert_eq!(offer(&mut one, 300..320).await, Some(true));
    assert_eq!(offer(&mut one, 250..340).await, Some(true));
    // At once: the second waits for the first.
    let pair = tokio::join!(offer(&mut one, 400..600), offer(&mut two, 400..600));
    assert_eq!(pair, (Some(true), Some(true)));
    let stream = common::connect(&env, running.grpc).await;
    let mut caller = common::http2::Http2::over(&env, stream).await;
    for ids in [500..700, 600..700] {
        let range = range(&ids);
        let message = grpc::frame(&spans(ids));
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let reply = caller.call(path, &[(BATCH, &range)], message).await;
        assert_eq!(reply.grpc_status(), "0");
        assert_eq!(reply.headers["x-backroom-gateway"], "1");
    }
    sink.wait_for_spans(290 + 300).await;
    let address = running.address;
    let requests = async |range: &str| {
        let name = format!("backroom_gateway_requests_total{{range=\"{range}\"}}");
        metric(address, &name).await
    };
    assert_eq!(requests("new").await, 3);
    assert_eq!(requests("part").await, 3);
    assert_eq!(requests("repeat").await, 6);
    let repeated = "backroom_gateway_repeated_items_total{signal=\"traces\"}";
    let repeats = 50 + 50 + 100 + 10 + 100 + 20 + 200 + 100 + 100;
    assert_eq!(metric(address, repeated).await, repeats);
    running.stop().await;
    let taken = sink.taken();
    let expect = (50..340).chain(400..700).map(|id| (id, 1));
    assert_eq!(taken, expect.collect::<BTreeMap<_, _>>());
}

/// Requests without a range, and with one that says something wrong, are taken each time, and counted.
#[tokio::test]
async fn what_has_no_range_passes() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, gateway(&dir, &sink)).await;
    let mut client = running.client().await;
    let first_max = u64::MAX.to_string();
    let overflow = format!("00000000000004d2-1-traces-{first_max}-10");
    let wrong = [
        None,
        Some("00000000000004d2-1-traces-0-11"),
        Some("00000000000004d2-1-traces-0"),
        Some("\u{e4}"),
        Some(&overflow),
    ];
    for batch in wrong {
        for _ in 0..2 {
            let mut headers = vec![PROTOBUF, ("x-backroom-store", "nonsense")];
            headers.extend(batch.map(|batch| (BATCH, batch)));
            let answer = client
                .request("POST", "/v1/traces", &headers, &spans(0..10))
                .await;
            assert_eq!(answer.unwrap().status, 200, "{batch:?}");
        }
    }
    sink.wait_for_spans(100).await;
    let requests = "backroom_gateway_requests_total";
    let no_range = format!("{requests}{{range=\"no_range\"}}");
    let bad_range = format!("{requests}{{range=\"bad_range\"}}");
    assert_eq!(metric(running.address, &no_range).await, 2);
    assert_eq!(metric(running.address, &bad_range).await, 8);
    assert_eq!(
        metric(running.address, "backroom_gateway_intervals").await,
        0
    );
    running.stop().await;
}

/// A line that takes a request to its end and cuts the connection where the answer comes, the first so many times.
async fn cut_answers(env: &OsEnv, to: SocketAddr, times: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let mut listener = env.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let cuts = Arc::new(AtomicUsize::new(0));
    let (own, counted) = (env.clone(), cuts.clone());
    drop(env.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let cuts = counted.clone();
            let upstream = common::connect(&own, to).await;
            drop(own.spawn(async move {
                let (mut from_store, mut to_store) = tokio::io::split(stream);
                let (mut from_hq, mut to_hq) = tokio::io::split(upstream);
                let up = tokio::io::copy(&mut from_store, &mut to_hq);
                let down = async {
                    let mut answer = vec![0; 1 << 16];
                    loop {
                        let read = from_hq.read(&mut answer).await.unwrap_or(0);
                        if read == 0 || cuts.fetch_add(1, Ordering::Relaxed) < times {
                            return;
                        }
                        if to_store.write_all(&answer[..read]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    _ = up => {}
                    () = down => {}
                }
            }));
        }
    }));
    (address, cuts)
}

/// Scenario: a store's collector sends over a line that cuts answers, to the back end itself and to a gateway before it.
/// Guarantees: without a gateway spans come twice, with one each comes once; the store tells the gateway how it is (C11).
#[tokio::test]
async fn answers_that_are_cut_make_no_duplicates() {
    const CUTS: usize = 6;
    let env = env();
    for has_gateway in [false, true] {
        let (_keep, dir) = buffer();
        let (_keep_store, store_dir) = buffer();
        let sink = Sink::open(&env).await;
        let running = Running::start(&env, gateway(&dir, &sink)).await;
        let to = if has_gateway {
            running.address
        } else {
            sink.address
        };
        let (line, cuts) = cut_answers(&env, to, CUTS).await;
        let mut config = common::config(&store_dir, Some(format!("http://{line}")));
        config.telemetry.resource = vec![("store.id".to_owned(), "0412".to_owned())];
        let store = Running::start(&env, config).await;
        let mut client = store.client().await;
        for first in (0..600).step_by(20) {
            let answer = client.post_spans(first..first + 20).await;
            assert_eq!(answer.unwrap().status, 200);
        }
        let all_sent = |told: &common::Recorder| {
            let accounting = told.accounting.lock().unwrap();
            accounting.stored_total() == 0 && accounting.items(TRACES).delivered == 600
        };
        store.told.wait("all is sent", all_sent).await;
        sink.wait_for_spans(600).await;
        assert!(cuts.load(Ordering::Relaxed) >= CUTS, "the line bit");
        // One more request, so that the gateway hears of the drained store.
        client.post_spans(600..601).await.unwrap();
        sink.wait("the last one", |all| {
            all.iter()
                .any(|r| r.was_taken && common::span_ids(&r.body).contains(&600))
        })
        .await;
        let taken = sink.taken();
        let twice = taken.values().filter(|times| **times > 1).count();
        assert_eq!(taken.len(), 601);
        assert_eq!(twice == 0, has_gateway, "{twice} spans came twice");
        if has_gateway {
            let page = stores(&env, running.address, &["--json"]).await;
            let page: Page = serde_json::from_str(&page).unwrap();
            let [shown] = &page.stores[..] else {
                panic!("{page:?}");
            };
            assert_eq!((shown.taken_items, shown.missing_items), (601, 0));
            assert!(shown.repeated_items > 0);
            assert_eq!(shown.name.as_deref(), Some("0412"));
            assert!(shown.backlog_items.is_some());
            let text = stores(&env, running.address, &[]).await;
            assert!(text.contains("1 store, 0 stale"), "{text}");
            assert!(text.contains(&shown.store), "{text}");
            let series = format!(
                "backroom_gateway_store_missing_items{{store=\"{}\"}}",
                shown.store
            );
            assert_eq!(metric(running.address, &series).await, 0);
        } else {
            // A collector of a store is asked by mistake.
            let mut command = command(store.address, &[]);
            let output = env.compute(move || command.output().unwrap()).await;
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(69), "{told}");
            assert!(told.contains("this collector is no gateway"), "{told}");
        }
        store.stop().await;
        running.stop().await;
    }
}

const TRACES: backroom_collector::otlp::Signal = backroom_collector::otlp::Signal::Traces;

fn command(address: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    command
        .args(["stores", "--listen", &address.to_string()])
        .args(args)
        .env("NO_COLOR", "1");
    command
}

async fn stores(env: &OsEnv, address: SocketAddr, args: &[&str]) -> String {
    let mut command = command(address, args);
    let output = env.compute(move || command.output().unwrap()).await;
    common::tools::done(&output)
}

/// Kills in the normal run; `BACKROOM_KILLS=N` makes it N.
const KILLS: usize = 12;

/// Scenario: a store sends ranges over four connections, each again until it is acknowledged and now and then once more; the gateway
/// is killed at seeded points, again and again, and started on what it left.
/// Guarantees: every span arrives, and each has one number of the gateway's: what may come twice is the same batch, sent again.
#[tokio::test]
async fn a_killed_gateway_takes_each_span_once() {
    let kills = std::env::var("BACKROOM_KILLS");
    let kills = kills.map_or(KILLS, |n| n.parse().expect("BACKROOM_KILLS is a number"));
    let env = env();
    let (keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let file = keep.path().join("gateway.toml");
    let text = format!(
        "role = \"gateway\"\nendpoint = \"{}\"\nlisten = {{ http = \"127.0.0.1:0\", grpc = \"127.0.0.1:0\" }}\n\
         buffer = {{ dir = \"{}\", disk = \"16MiB\" }}\nbatch = {{ bytes = \"64KiB\", delay = \"20ms\" }}\n\
         retry = {{ backoff = \"full-jitter(base=10ms, cap=50ms)\" }}\n",
        sink.url(),
        dir.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut open: Vec<Range<u32>> = Vec::new();
    let mut next = 0;
    for kill in 0..=kills {
        if kill < kills {
            open.extend((0..120).map(|batch| next + batch * 20..next + (batch + 1) * 20));
            next += 120 * 20;
        }
        let mut process = Process::spawn(Process::command(&file));
        let (tell, mut acks) = tokio::sync::mpsc::unbounded_channel();
        for lane in 0..4 {
            let ranges: Vec<_> = open.iter().skip(lane).step_by(4).cloned().collect();
            let (tell, address) = (tell.clone(), process.address);
            let mut rng = ChaCha8Rng::from_rng(&mut rng);
            drop(env.spawn(async move {
                let mut client = Client::connect(address).await;
                for ids in ranges {
                    if offer(&mut client, ids.clone()).await != Some(true) {
                        return;
                    }
                    tell.send(ids.clone()).unwrap();
                    if rng.random_ratio(1, 4) {
                        // The answer was lost; it comes in another cut.
                        let half = ids.start + 10..ids.end;
                        if offer(&mut client, half).await != Some(true) {
                            return;
                        }
                    }
                }
            }));
        }
        drop(tell);
        if kill < kills {
            for _ in 0..rng.random_range(1..80) {
                let acked = acks.recv().await.expect("requests are acknowledged");
                open.retain(|ids| *ids != acked);
            }
            process.kill();
        }
        while let Some(acked) = acks.recv().await {
            open.retain(|ids| *ids != acked);
        }
        if kill == kills {
            assert_eq!(open, [], "all of it gets through");
            sink.wait("every span", |all| numbers(all).len() == next as usize)
                .await;
            assert_eq!(process.terminate(), Some(0));
        }
    }
    assert!(next > 10_000);
}

/// The gateway's number of each span: its start, and the place in its numbering.
fn numbers(all: &[Received]) -> BTreeMap<u32, (u64, u64)> {
    let mut numbers = BTreeMap::new();
    for received in all.iter().filter(|received| received.was_taken) {
        let ids = common::span_ids(&received.body);
        for (id, number) in ids.into_iter().zip(received.range.first..) {
            let number = (received.range.boot, number);
            let before = numbers.insert(id, number);
            let is_same = before.is_none_or(|before| before == number);
            assert!(is_same, "span {id} is {number:?}, and was {before:?}");
        }
    }
    numbers
}

/// A back end that is away: what stores deliver is kept here, and known through a restart.
#[tokio::test]
async fn what_was_seen_is_known_after_a_restart() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    sink.decide(|_, _| Reply::Cut);
    for _ in 0..3 {
        let running = Running::start(&env, gateway(&dir, &sink)).await;
        let mut client = running.client().await;
        assert_eq!(offer(&mut client, 0..100).await, Some(true));
        running.stop().await;
    }
    sink.decide(|_, _| Reply::Take);
    let running = Running::start(&env, gateway(&dir, &sink)).await;
    sink.wait_for_spans(100).await;
    let text = stores(&env, running.address, &[]).await;
    // It has not said anything since the start.
    let row = text
        .lines()
        .find(|line| line.starts_with("00000000000004d2"));
    assert!(row.is_some_and(|row| row.contains("  -  ")), "{text}");
    running.stop().await;
    assert!(sink.taken().values().all(|times| *times == 1));
}
