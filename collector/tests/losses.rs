//! The loss ledger over OTLP: what was dropped is told before everything else, once for each change, with totals that add up.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use backroom_collector::{
    config::{ByteSize, Config, OnFull, TellLosses},
    core::accounting::DropReason,
    otlp::Signal,
};
use common::{Received, Reply, Running, Sink, buffer, env};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest, common::v1::any_value::Value,
};
use prost::Message as _;

/// A collector whose buffer is soon full and drops what is oldest.
fn dropping(dir: &std::path::Path, sink: &Sink, losses: TellLosses) -> Config {
    let mut config = common::config(dir, Some(sink.url()));
    config.buffer.disk = ByteSize(1 << 20);
    config.buffer.on_full = OnFull::DropOldest;
    config.compress.codec = backroom_collector::config::Codec::None;
    config.telemetry.losses = losses;
    config
}

/// Attributes of the records of losses in a request.
fn records(received: &Received) -> Vec<std::collections::BTreeMap<String, Value>> {
    if received.signal != Signal::Logs {
        return Vec::new();
    }
    let request = ExportLogsServiceRequest::decode(&received.body[..]).unwrap();
    let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
    let records = scopes.flat_map(|scope| &scope.log_records);
    records
        .filter(|record| record.event_name == "backroom.loss")
        .map(|record| {
            let attributes = record.attributes.iter();
            attributes
                .map(|a| (a.key.clone(), a.value.clone().unwrap().value.unwrap()))
                .collect()
        })
        .collect()
}

fn integer(value: &Value) -> u64 {
    match value {
        Value::IntValue(value) => *value as u64,
        other => panic!("{other:?}"),
    }
}

/// Scenario: head office is away, the buffer fills and drops, the collector is restarted, head office is back; then more is dropped.
/// Guarantees: the first request that gets through tells of the losses; all records together say what the ledger says, each change once
/// (C10); the account adds up with the records in it.
#[tokio::test]
async fn losses_are_told_first_and_once() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let busy = |_, _: &Received| {
        let head = "503 Busy\r\ncontent-type: application/x-protobuf".to_owned();
        Reply::Raw(head, Vec::new())
    };
    sink.decide(busy);
    let mut dropped = 0;
    for _ in 0..2 {
        let running = Running::start(&env, dropping(&dir, &sink, TellLosses::On)).await;
        let mut client = running.client().await;
        let mut next = 0;
        while running.told.dropped.lock().unwrap().is_empty() {
            assert!(client.post_spans(next..next + 200).await.is_some());
            next += 200;
        }
        let is_told = |told: &common::Recorder| {
            told.accounting.lock().unwrap().items(Signal::Logs).stored > 0
        };
        running.told.wait("a report is stored", is_told).await;
        let told = running.told.dropped.lock().unwrap().clone();
        assert!(
            told.iter()
                .all(|(_, reason)| *reason == DropReason::BufferFull)
        );
        dropped += told.iter().map(|(items, _)| items).sum::<u64>();
        running.stop().await;
    }
    let before = sink.received().len();
    sink.decide(|_, _| Reply::Take);
    let running = Running::start(&env, dropping(&dir, &sink, TellLosses::On)).await;
    let told = |all: &[Received]| {
        let taken = all.iter().filter(|received| received.was_taken);
        let records: Vec<_> = taken.flat_map(records).collect();
        let items = |name: &str| -> u64 { records.iter().map(|r| integer(&r[name])).sum() };
        items("backroom.loss.items")
    };
    sink.wait("all losses are told", |all| told(all) >= dropped)
        .await;
    let all_sent = |told: &common::Recorder| told.stored() == 0;
    running.told.wait("all is sent", all_sent).await;
    let received = sink.received();
    assert_eq!(told(&received), dropped, "each change is told once");
    let first = received[before..].iter().find(|r| r.was_taken).unwrap();
    assert!(
        !records(first).is_empty(),
        "losses go first: {}",
        first.range
    );
    assert_eq!(first.range.class.as_str(), "losses");
    let last = received.iter().flat_map(records).last().unwrap();
    let total = integer(&last["backroom.loss.items_total"]);
    assert!(total > 0 && total <= dropped);
    assert_eq!(
        last["backroom.loss.service"],
        Value::StringValue("pos".to_owned())
    );
    running.stop().await;
    // Nothing new is told by another start.
    let before = sink.received().len();
    let running = Running::start(&env, dropping(&dir, &sink, TellLosses::On)).await;
    let mut client = running.client().await;
    client.post_spans(0..10).await.unwrap();
    sink.wait("spans", |all| all.len() > before).await;
    running.stop().await;
    assert_eq!(told(&sink.received()), dropped);
}

/// A back end that has never taken logs is not sent any by itself.
#[tokio::test]
async fn who_takes_no_logs_is_told_nothing() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    sink.decide(|_, received| match received.signal {
        Signal::Logs => panic!("logs were sent"),
        _ => Reply::Partial(1),
    });
    let running = Running::start(&env, dropping(&dir, &sink, TellLosses::Auto)).await;
    let mut client = running.client().await;
    client.post_spans(0..10).await.unwrap();
    let is_lost = |told: &common::Recorder| !told.dropped.lock().unwrap().is_empty();
    running.told.wait("an item is refused", is_lost).await;
    let stored = |told: &common::Recorder| told.stored() == 0;
    running.told.wait("all is sent", stored).await;
    running.stop().await;
    assert!(sink.received().iter().all(|r| r.signal == Signal::Traces));
}
