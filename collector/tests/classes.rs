//! `[class.NAME]` with `match`: each item waits in the class of the first rule that fits.
//!
//! - `items_are_sorted_by_their_rules`: over protobuf and JSON; nothing is lost, doubled or changed; what need not be split is not
//! - `rules_change_while_it_runs`: what comes after a reload goes by the new ones
//! - `a_full_class_refuses_the_whole_request`
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeMap, path::Path};

use backroom_collector::{
    config::{Config, load_text},
    otlp::Signal,
};
use common::{
    PROTOBUF, Received, Running, Sink, buffer, config, env, span_ids, spans, tools::told,
};

/// `config` with classes as they are written in a file.
fn with_classes(config: &Config, text: &str) -> Config {
    Config {
        classes: load_text("classes.toml", text).unwrap().classes,
        ..config.clone()
    }
}

/// Spans have a lane from 0 to 4, by their number.
const LANES: &str = r#"
[class.drive]
signal = "traces"
match  = { attribute = { "store.lane" = "lane-1" } }

[class.front]
signal = "traces"
match  = [
    { resource = { "service.name" = "po*" }, attribute = { "store.lane" = ["lane-2", "lane-1"] } },
    { resource = { "service.name" = "kiosk" } },
]
"#;

/// The numbers of the spans that came, by class.
fn by_class(received: &[Received]) -> BTreeMap<String, Vec<u32>> {
    let mut classes: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for received in received {
        let class = classes.entry(received.range.class.to_string()).or_default();
        class.extend(span_ids(&received.body));
        class.sort_unstable();
    }
    classes
}

fn lanes(ids: std::ops::Range<u32>, lanes: &[u32]) -> Vec<u32> {
    ids.filter(|id| lanes.contains(&(id % 5))).collect()
}

#[tokio::test]
async fn items_are_sorted_by_their_rules() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let config = with_classes(&config(&dir, Some(sink.url())), LANES);
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..50).await.unwrap().status, 200);
    let json = backroom_collector::otlp::json::to_json(Signal::Traces, &spans(50..60)).unwrap();
    let json_type = ("content-type", "application/json");
    let answer = client
        .request("POST", "/v1/traces", &[json_type], json.as_bytes())
        .await;
    assert_eq!(answer.unwrap().status, 200);
    sink.wait_for_spans(60).await;
    let expect = BTreeMap::from([
        ("drive".to_owned(), lanes(0..60, &[1])),
        ("front".to_owned(), lanes(0..60, &[2])),
        ("traces".to_owned(), lanes(0..60, &[0, 3, 4])),
    ]);
    assert_eq!(by_class(&sink.take_received()), expect);
    // All of one class: sent as it came.
    let one: Vec<u8> = spans(66..67);
    let answer = client
        .request("POST", "/v1/traces", &[PROTOBUF], &one)
        .await;
    assert_eq!(answer.unwrap().status, 200);
    sink.wait_for_spans(1).await;
    assert_eq!(sink.received()[0].body, one);
    running
        .told
        .wait("all is sent", |told| told.stored() == 0)
        .await;
    let items = *running
        .told
        .accounting
        .lock()
        .unwrap()
        .items(Signal::Traces);
    assert_eq!((items.accepted, items.delivered), (61, 61));
    running.stop().await;
}

async fn stored(env: &backroom_collector::env::OsEnv, dir: &Path) -> BTreeMap<String, u64> {
    let stat = told(env, dir, &["stat", "--json"]).await;
    let classes = stat["classes"].as_object().unwrap().iter();
    let items = classes.map(|(name, class)| (name.clone(), class["items"].as_u64().unwrap()));
    items.filter(|(_, items)| *items > 0).collect()
}

#[tokio::test]
async fn rules_change_while_it_runs() {
    let env = env();
    let (_keep, dir) = buffer();
    let plain = config(&dir, None);
    let running = Running::start(&env, plain.clone()).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    running
        .handle
        .reload(with_classes(&plain, LANES))
        .await
        .unwrap();
    assert_eq!(client.post_spans(10..20).await.unwrap().status, 200);
    running.handle.reload(plain.clone()).await.unwrap();
    assert_eq!(client.post_spans(20..30).await.unwrap().status, 200);
    running
        .told
        .wait("all is sealed", |told| told.sealed_items() == 30)
        .await;
    let expect = [("drive", 2), ("front", 2), ("traces", 26)];
    let expect = BTreeMap::from(expect.map(|(name, items)| (name.to_owned(), items)));
    assert_eq!(stored(&env, &dir).await, expect);
    running.stop().await;
    // What is stored is delivered, whatever the configuration says today.
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    sink.wait_for_spans(30).await;
    running.stop().await;
    assert_eq!(sink.taken().len(), 30);
}

#[tokio::test]
async fn a_full_class_refuses_the_whole_request() {
    let env = env();
    let (_keep, dir) = buffer();
    let classes = LANES.replacen("signal", "quota  = \"64KiB\"\nsignal", 1);
    let config = with_classes(&config(&dir, None), &classes);
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    let mut acked = 0;
    let refused = loop {
        let answer = client.post_spans(acked..acked + 500).await.unwrap();
        if answer.status != 200 {
            break answer;
        }
        acked += 500;
        assert!(acked < 200_000, "a class without an end");
    };
    assert_eq!(
        (refused.status, refused.message().contains("full")),
        (503, true)
    );
    running
        .told
        .wait("all is sealed", |told| {
            told.sealed_items() == u64::from(acked)
        })
        .await;
    let fifth = u64::from(acked) / 5;
    let expect = [("drive", fifth), ("front", fifth), ("traces", 3 * fifth)];
    let expect = BTreeMap::from(expect.map(|(name, items)| (name.to_owned(), items)));
    assert_eq!(stored(&env, &dir).await, expect);
    // What has nothing to do with the full class is taken.
    let answer = client.post_spans(5..6).await.unwrap();
    assert_eq!(answer.status, 200);
    running.stop().await;
}
