//! Batches out over gRPC: what stands in the requests, outages and refusals, codecs, sizes, the connections.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeSet, time::Duration};

use backroom_collector::{
    config::{ByteSize, Config, Protocol},
    core::codec::CodecId,
    otlp::{
        Signal,
        grpc::{self, binary_header},
        response::{Code, Status},
    },
};
use common::{PROTOBUF, Received, Reply, Running, Sink, buffer, config, env, span_ids};

fn over_grpc(dir: &std::path::Path, sink: &Sink) -> Config {
    let mut config = config(dir, Some(sink.url()));
    config.endpoint.as_mut().unwrap().protocol = Protocol::Grpc;
    config
}

/// Runs a collector with `count` spans and a receiver that answers by `decide`; returns when all were taken.
async fn check(
    count: u32,
    decide: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static,
    change: impl FnOnce(&mut Config),
) -> (Sink, Running, tempfile::TempDir) {
    let env = env();
    let (keep, dir) = buffer();
    let sink = Sink::open_grpc(&env).await;
    sink.decide(decide);
    let mut config = over_grpc(&dir, &sink);
    change(&mut config);
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    for first in (0..count).step_by(10) {
        let ids = first..(first + 10).min(count);
        assert_eq!(client.post_spans(ids).await.unwrap().status, 200);
    }
    let told = &running.told;
    told.wait("all delivered", |told| told.stored() == 0).await;
    (sink, running, keep)
}

/// Every signal goes to its own service, with the range and the configured headers as metadata.
#[tokio::test]
async fn every_signal_has_its_service() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open_grpc(&env).await;
    let mut config = over_grpc(&dir, &sink);
    let endpoint = config.endpoint.as_mut().unwrap();
    endpoint.headers = vec![("X-Store".to_owned(), "0412".to_owned())];
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    // Resource logs, scope logs, one record; resource metrics, scope metrics, a metric, a gauge, one point.
    let logs = b"\x0a\x04\x12\x02\x12\x00";
    let metrics = b"\x0a\x08\x12\x06\x12\x04\x2a\x02\x0a\x00";
    for (path, body) in [
        ("/v1/traces", &common::spans(0..1)[..]),
        ("/v1/logs", logs),
        ("/v1/metrics", metrics),
    ] {
        let answer = client.request("POST", path, &[PROTOBUF], body).await;
        assert_eq!(answer.unwrap().status, 200);
    }
    sink.wait("three", |all| all.len() == 3).await;
    let received = sink.received();
    let signals: BTreeSet<_> = received.iter().map(|r| r.signal).collect();
    assert_eq!(signals, Signal::ALL.into());
    for request in &received {
        let header = |name: &str| request.headers[name].as_str();
        assert_eq!(header("content-type"), "application/grpc");
        assert_eq!(header("te"), "trailers");
        assert_eq!(header("grpc-encoding"), "zstd");
        assert_eq!(header("x-store"), "0412");
        assert_eq!(
            grpc::timeout(header("grpc-timeout")),
            Some(Duration::from_secs(30))
        );
        assert_eq!(request.range.count, 1);
    }
    running.stop().await;
}

/// Answers that are about the path keep the backlog intact; everything arrives once they are over.
#[tokio::test]
async fn path_failures_condemn_nothing() {
    let mut busy = Status::new(Code::ResourceExhausted, "come back");
    busy.retry = Some(Duration::ZERO);
    let details = binary_header(&busy.to_protobuf());
    let html = b"<html>".to_vec();
    let failures = [
        Reply::Refuse(14, "unavailable"),
        Reply::Refuse(4, "deadline"),
        Reply::Trailers(vec![
            ("grpc-status", "8".to_owned()),
            ("grpc-status-details-bin", details),
        ]),
        Reply::Raw("503 Busy\r\nretry-after: 0".to_owned(), html),
        Reply::Raw(
            "200 OK\r\ncontent-type: application/grpc".to_owned(),
            Vec::new(),
        ),
        Reply::Cut,
        Reply::Cut,
    ];
    let decide = move |index, _: &Received| failures.get(index).cloned().unwrap_or(Reply::Take);
    let (sink, running, _keep) = check(100, decide, |_| {}).await;
    assert_eq!(sink.taken(), (0..100).map(|id| (id, 1)).collect());
    assert!(
        running
            .told
            .has_notice("is down: UNAVAILABLE (14): unavailable")
    );
    assert!(running.told.has_notice("is back"));
    running.stop().await;
}

/// What blocks the path for longer is not tried again soon, is told, and condemns nothing.
#[tokio::test]
async fn a_blocked_path_is_suspended_and_keeps_everything() {
    let page = || {
        let html = b"<html>Welcome to FreeWifi</html>".to_vec();
        Reply::Raw("200 OK\r\ncontent-type: text/html".to_owned(), html)
    };
    for (reply, words) in [
        (
            Reply::Refuse(16, "expired"),
            "UNAUTHENTICATED (16): expired",
        ),
        (Reply::Refuse(12, "no such service"), "UNIMPLEMENTED (12)"),
        (Reply::Refuse(2, "?"), "UNKNOWN (2)"),
        (page(), "captive portal"),
        (
            Reply::Raw("404 Not Found".to_owned(), Vec::new()),
            "status 404",
        ),
    ] {
        let env = env();
        let (_keep, dir) = buffer();
        let sink = Sink::open_grpc(&env).await;
        sink.decide(move |_, _| reply.clone());
        let running = Running::start(&env, over_grpc(&dir, &sink)).await;
        let answer = running.client().await.post_spans(0..10).await;
        assert_eq!(answer.unwrap().status, 200);
        let told = &running.told;
        told.wait(words, |told| told.has_notice(words)).await;
        assert_eq!((told.stored(), sink.received().len()), (10, 1));
        running.stop().await;
        // It is there for the next start.
        sink.decide(|_, _| Reply::Take);
        let running = Running::start(&env, over_grpc(&dir, &sink)).await;
        sink.wait_for_spans(10).await;
        running.stop().await;
    }
}

/// A receiver without zstd gets gzip, one without gzip gets it plain, and this is remembered.
#[tokio::test]
async fn codecs_fall_back() {
    let go = "grpc: Decompressor is not installed for grpc-encoding";
    let core = "Error parsing 'grpc-encoding' metadata";
    for (accepts, code, words) in [(CodecId::Gzip, 13, core), (CodecId::None, 12, go)] {
        let decide = move |_, request: &Received| match request.codec > accepts {
            true => Reply::Refuse(code, words),
            false => Reply::Take,
        };
        let (sink, running, _keep) = check(10, decide, |_| {}).await;
        let answer = running.client().await.post_spans(10..20).await;
        assert_eq!(answer.unwrap().status, 200);
        sink.wait_for_spans(20).await;
        let refused = sink.received().iter().filter(|r| !r.was_taken).count();
        let tries = CodecId::Zstd as usize - accepts as usize;
        assert_eq!(refused, tries, "{accepts:?}");
        running.stop().await;
    }
}

/// `partial_success` is an answer, and a refused item costs itself.
#[tokio::test]
async fn rejected_items_cost_themselves() {
    let (_, running, _keep) = check(10, |_, _| Reply::Partial(3), |_| {}).await;
    let items = *running
        .told
        .accounting
        .lock()
        .unwrap()
        .items(Signal::Traces);
    assert_eq!((items.delivered, items.dropped_total()), (7, 3));
    running.stop().await;

    let decide = |_, request: &Received| match span_ids(&request.body).contains(&33) {
        true => Reply::Refuse(3, "span 33 is cursed"),
        false => Reply::Take,
    };
    let (sink, running, _keep) = check(70, decide, |_| {}).await;
    let expect = (0..70).filter(|id| *id != 33).map(|id| (id, 1)).collect();
    assert_eq!(sink.taken(), expect);
    assert!(running.told.has_notice("span 33 is cursed"));
    running.stop().await;
}

/// A batch above the limit goes in parts that stay below it, without being refused first.
#[tokio::test]
async fn batches_fit_the_receiver() {
    let max = 4096;
    let (sink, running, _keep) = check(
        200,
        |_, _| Reply::Take,
        |config| {
            let endpoint = config.endpoint.as_mut().unwrap();
            endpoint.request_bytes_max = Some(ByteSize(max));
        },
    )
    .await;
    let received = sink.received();
    assert!(received.iter().all(|r| r.was_taken));
    let largest = received.iter().map(|r| r.body.len()).max().unwrap();
    assert!(largest as u64 <= max, "{largest}");
    assert_eq!(sink.taken(), (0..200).map(|id| (id, 1)).collect());
    for request in &received {
        assert_eq!(request.range.count as usize, span_ids(&request.body).len());
    }
    running.stop().await;
}

/// Several requests share one connection, and a server that goes away gets another one.
#[tokio::test]
async fn connections_are_shared_and_renewed() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open_grpc(&env).await;
    let mut config = over_grpc(&dir, &sink);
    config.batch.bytes = ByteSize(1024);
    config.send.inflight = Some(8);
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    for first in (0..400).step_by(10) {
        let answer = client.post_spans(first..first + 10).await;
        assert_eq!(answer.unwrap().status, 200);
    }
    sink.wait_for_spans(400).await;
    assert!(sink.received().len() > 8);
    assert_eq!(sink.connections(), 1);
    sink.go_away();
    assert_eq!(client.post_spans(400..410).await.unwrap().status, 200);
    sink.wait_for_spans(410).await;
    assert_eq!(sink.connections(), 2);
    assert_eq!(sink.taken(), (0..410).map(|id| (id, 1)).collect());
    assert!(!running.told.has_notice("is down"));
    running.stop().await;
}
