//! What a gateway knows of its stores, value by value: last seen, backlog, drain ETA, gaps; over restarts and `kill -9`.
//!
//! - `what_stores_say_and_what_came_is_shown`: made requests of three stores; the page, the metrics and the table, before and after
//! - `backlog_and_arrivals_add_up_while_a_store_drains`: a collector that drains into a gateway; every look adds up
//! - `a_hole_is_explained_by_what_the_store_dropped`: a store purges a batch, the gateway is away meanwhile, and starts again
//!
//! That items come once is `gateway.rs`.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{net::SocketAddr, ops::Range, path::Path};

use backroom_collector::{
    config::{BitRate, ByteSize, Codec, Config, Role},
    env::{Env as _, OsEnv},
    shell::stores::{Page, Store},
};
use common::{Client, PROTOBUF, Process, Running, Sink, buffer, env, spans, tools};

fn gateway(dir: &Path, sink: &Sink) -> Config {
    let mut config = common::config(dir, Some(sink.url()));
    config.role = Role::Gateway;
    config
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut client = Client::connect(address).await;
    let answer = client.request("GET", path, &[], &[]).await.unwrap();
    String::from_utf8(answer.body).unwrap()
}

async fn page(address: SocketAddr) -> Page {
    let text = get(address, "/stores").await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Every sample of `/metrics` whose name begins so, without that beginning.
async fn metrics(address: SocketAddr, prefix: &str) -> Vec<String> {
    let text = get(address, "/metrics").await;
    let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    lines.map(str::to_owned).collect()
}

/// What a store sends: its number and start, which spans, and what it says of itself.
async fn send(
    address: SocketAddr,
    (store, boot): (u64, u64),
    ids: Range<u32>,
    says: Option<&str>,
) -> u16 {
    let range = format!("{store:016x}-{boot}-traces-{}-{}", ids.start, ids.len());
    let mut headers = vec![PROTOBUF, ("x-backroom-batch", &range)];
    headers.extend(says.map(|says| ("x-backroom-store", says)));
    let mut client = Client::connect(address).await;
    let body = spans(ids);
    let answer = client.request("POST", "/v1/traces", &headers, &body).await;
    answer.unwrap().status
}

/// Everything but the times, as a line each.
fn shown(page: &Page) -> Vec<String> {
    let row = |s: &Store| {
        let name = s.name.as_deref().unwrap_or("-");
        let said = [
            s.backlog_items,
            s.backlog_bytes,
            s.under_way_items,
            s.drain_seconds,
            s.dropped_items,
            s.quarantined_items,
            s.unexplained_items,
        ];
        let said = said.map(|value| value.map_or("-".to_owned(), |value| value.to_string()));
        let came = [s.taken_items, s.repeated_items];
        let known = [s.boots, s.gaps, s.missing_items];
        format!("{} {name} {} {came:?} {known:?}", s.store, said.join(" "))
    };
    page.stores.iter().map(row).collect()
}

/// Starts the program on what it left.
fn start(file: &Path, dir: &Path, sink: &Sink) -> Process {
    let text = format!(
        "role = \"gateway\"\nendpoint = \"{}\"\nlisten = {{ http = \"127.0.0.1:0\", grpc = \"127.0.0.1:0\" }}\n\
         buffer = {{ dir = \"{}\", disk = \"16MiB\" }}\n",
        sink.url(),
        dir.display()
    );
    std::fs::write(file, text).unwrap();
    Process::spawn(Process::command(file))
}

/// Scenario: one store sends with two holes and a repeat and says how it is, another has two starts and says nothing, a third says nonsense;
/// the gateway is stopped, or killed, and started again; then a hole closes and the first store speaks again.
/// Guarantees: each value is the one that was sent. What came is known over the restart, with the time at which it came; what a store said
/// is not, and shown as not known.
#[tokio::test]
async fn what_stores_say_and_what_came_is_shown() {
    const SAYS: &str =
        "items=30,bytes=3000,under_way=2,drain=12,dropped=13,quarantined=1,name=0412 Graz";
    for is_killed in [false, true] {
        let env = env();
        let (keep, dir) = buffer();
        let file = keep.path().join("gateway.toml");
        let sink = Sink::open(&env).await;
        let mut process = start(&file, &dir, &sink);
        let address = process.address;
        let before = env.unix_time().as_secs();
        assert!(page(address).await.stores.is_empty());
        for (who, ids, says) in [
            ((1, 1), 0..100, Some("items=900,bytes=90000")),
            ((1, 1), 150..200, None),
            ((1, 1), 210..220, Some(SAYS)),
            ((1, 1), 50..100, None),
            ((2, 1), 0..10, None),
            ((2, 2), 0..20, None),
            ((3, 7), 5..6, Some("items=many")),
        ] {
            assert_eq!(send(address, who, ids.clone(), says).await, 200, "{ids:?}");
        }
        let first = page(address).await;
        let after = env.unix_time().as_secs();
        // Number, name; items and bytes that wait, items under way, seconds to drain, dropped, in quarantine, unexplained;
        // items taken and repeated; starts, holes, missing items.
        assert_eq!(
            shown(&first),
            [
                "0000000000000001 0412 Graz 30 3000 2 12 13 1 14 [160, 50] [1, 2, 60]",
                "0000000000000002 - - - - - - - - [30, 0] [2, 0, 0]",
                "0000000000000003 - - - - - - - - [1, 0] [1, 0, 0]",
            ]
        );
        for store in &first.stores {
            assert!((before..=after).contains(&store.last_seen), "{store:?}");
            assert!(store.age_seconds <= after - before);
            assert!(!store.is_stale);
        }
        let sums = metrics(address, "backroom_gateway_").await;
        for sum in [
            "stores{state=\"fresh\"} 3",
            "stores{state=\"stale\"} 0",
            "backlog_items 30",
            "missing_items 60",
            "unexplained_items 14",
            "store_backlog_bytes{store=\"0000000000000001\"} 3000",
            "store_drain_seconds{store=\"0000000000000001\"} 12",
            "store_missing_items{store=\"0000000000000001\"} 60",
            "store_missing_items{store=\"0000000000000002\"} 0",
        ] {
            assert!(sums.iter().any(|line| line == sum), "{sum} in {sums:?}");
        }
        let said = |line: &&String| line.starts_with("store_backlog_bytes{");
        assert_eq!(sums.iter().filter(said).count(), 1, "others said nothing");

        match is_killed {
            true => process.kill(),
            false => assert_eq!(process.terminate(), Some(0)),
        }
        let mut process = start(&file, &dir, &sink);
        let address = process.address;
        let second = page(address).await;
        assert_eq!(
            shown(&second),
            [
                "0000000000000001 - - - - - - - - [0, 0] [1, 2, 60]",
                "0000000000000002 - - - - - - - - [0, 0] [2, 0, 0]",
                "0000000000000003 - - - - - - - - [0, 0] [1, 0, 0]",
            ]
        );
        for (was, is) in first.stores.iter().zip(&second.stores) {
            assert_eq!(was.last_seen, is.last_seen, "{is:?}");
        }
        // A request over the smaller hole and both of its edges: only what is missing is taken.
        assert_eq!(send(address, (1, 1), 190..215, Some(SAYS)).await, 200);
        assert_eq!(
            shown(&page(address).await)[0],
            "0000000000000001 0412 Graz 30 3000 2 12 13 1 4 [10, 15] [1, 1, 50]"
        );
        let text = table(&env, address).await;
        let row = text
            .lines()
            .find(|line| line.starts_with("0000000000000001"));
        let words: Vec<_> = row.unwrap().split_whitespace().collect();
        assert_eq!(words[1..3], ["0412", "Graz"], "{text}");
        assert_eq!(
            words[4..],
            ["30", "2.93KiB", "12.0s", "50", "4", "15"],
            "{text}"
        );
        assert!(text.contains("3 stores, 0 stale"), "{text}");
        assert_eq!(process.terminate(), Some(0));
    }
}

async fn table(env: &OsEnv, address: SocketAddr) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    command
        .args(["stores", "--listen", &address.to_string()])
        .env("NO_COLOR", "1");
    let output = env.compute(move || command.output().unwrap()).await;
    tools::done(&output)
}

/// Scenario: a store has buffered 1,200 spans, and drains them into a gateway one request at a time, at a rate that makes it last a while.
/// Guarantees: at every look what came, and what waits beside what came, are all items; at the end nothing waits, and nothing is missing.
#[tokio::test]
async fn backlog_and_arrivals_add_up_while_a_store_drains() {
    const SPANS: u64 = 1200;
    let env = env();
    let (_keep, dir) = buffer();
    let (_keep_store, store_dir) = buffer();
    let sink = Sink::open(&env).await;
    let away = Sink::closed(&env).await;
    let mut config = common::config(&store_dir, Some(away.url()));
    config.batch.bytes = ByteSize(4 << 10);
    config.compress.codec = Codec::None;
    config.send.inflight = Some(1);
    config.send.max_rate = Some(BitRate(8 * 100_000));
    config.telemetry.resource = vec![("store.id".to_owned(), "0412".to_owned())];
    let store = Running::start(&env, config).await;
    let mut client = store.client().await;
    for first in (0..SPANS as u32).step_by(20) {
        assert_eq!(
            client.post_spans(first..first + 20).await.unwrap().status,
            200
        );
    }
    let mut config = gateway(&dir, &sink);
    config.listen.http = Some(away.address);
    let running = Running::start(&env, config).await;
    let mut looks = 0;
    loop {
        let page = page(running.address).await;
        let Some(shown) = page.stores.first() else {
            continue;
        };
        // The first request went before the store knew that a gateway answers.
        let Some(backlog) = shown.backlog_items else {
            continue;
        };
        assert_eq!(shown.taken_items + backlog, SPANS, "{shown:?}");
        assert_eq!(backlog == 0, shown.backlog_bytes == Some(0), "{shown:?}");
        assert!(shown.under_way_items.is_some_and(|items| items > 0));
        assert_eq!(shown.name.as_deref(), Some("0412"));
        assert!(shown.drain_seconds.is_some(), "something moved: {shown:?}");
        looks += u32::from(backlog > 0);
        if backlog == 0 {
            assert_eq!(shown.drain_seconds, Some(0));
            let none = (shown.gaps, shown.missing_items, shown.unexplained_items);
            assert_eq!(none, (0, 0, Some(0)), "{shown:?}");
            break;
        }
    }
    assert!(looks > 3, "{looks} looks while it drained");
    sink.wait_for_spans(SPANS as usize).await;
    store.stop().await;
    running.stop().await;
}

/// Scenario: a store delivers, loses its gateway, throws away what waits, goes on; the gateway starts again, twice.
/// Guarantees: the gateway sees the hole and its size, over restarts; while the store has not spoken it is not explained, and then it is.
#[tokio::test]
async fn a_hole_is_explained_by_what_the_store_dropped() {
    let env = env();
    let (_keep, dir) = buffer();
    let (_keep_store, store_dir) = buffer();
    let sink = Sink::open(&env).await;
    let mut running = Running::start(&env, gateway(&dir, &sink)).await;
    let address = running.address;
    let listening = || {
        let mut config = gateway(&dir, &sink);
        config.listen.http = Some(address);
        config
    };
    let config = common::config(&store_dir, Some(format!("http://{address}")));
    let store = Running::start(&env, config).await;
    let mut client = store.client().await;
    let mut post = async |ids| {
        let answer = client.post_spans(ids).await;
        assert_eq!(answer.unwrap().status, 200);
    };
    let empty = async |what| store.told.wait(what, |told| told.stored() == 0).await;
    post(0..50).await;
    empty("the first").await;
    running.stop().await;
    post(50..80).await;
    let told = &store.told;
    told.wait("it is sealed", |told| told.sealed_items() == 80)
        .await;
    told.wait("it is noticed", |told| told.has_notice("is down"))
        .await;
    let purged = tools::tool(&env, &store_dir, &["purge", "--all", "--yes"]).await;
    assert!(tools::done(&purged).contains("30"));
    empty("what was thrown away").await;
    running = Running::start(&env, listening()).await;
    post(80..100).await;
    empty("what came after it").await;
    let only = async || {
        let page = page(address).await;
        let [shown] = &page.stores[..] else {
            panic!("{page:?}");
        };
        shown.clone()
    };
    let hole = |shown: &Store| (shown.boots, shown.gaps, shown.missing_items);
    let one = only().await;
    assert_eq!(hole(&one), (1, 1, 30));
    running.stop().await;
    running = Running::start(&env, listening()).await;
    let two = only().await;
    assert_eq!(hole(&two), (1, 1, 30));
    assert_eq!((two.dropped_items, two.unexplained_items), (None, None));
    assert_eq!(two.last_seen, one.last_seen);
    // The first request tells the store that a gateway answers again, the second one says how it is.
    for ids in [100..110, 110..120] {
        post(ids).await;
        empty("one more").await;
    }
    let three = only().await;
    assert_eq!(hole(&three), (1, 1, 30));
    assert_eq!(
        (three.dropped_items, three.unexplained_items),
        (Some(30), Some(0))
    );
    assert_eq!((three.taken_items, three.backlog_items), (20, Some(0)));
    sink.wait_for_spans(90).await;
    store.stop().await;
    running.stop().await;
    let expect = (0..50).chain(80..120).map(|id| (id, 1));
    assert_eq!(sink.taken(), expect.collect());
}
