//! A new configuration for a running collector: what changes at once, and what is refused whole.
//!
//! - `batches_go_to_the_new_address`, `a_request_that_hangs_does_not_hold_up_the_new_address`, `an_address_may_be_taken_away`
//! - `a_larger_quota_makes_room`, `limits_of_requests_change`, `classes_change`
//! - `what_needs_a_restart_is_refused_whole`
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use backroom_collector::{
    config::{ByteSize, Class, Codec, Endpoint, OnFull, Order},
    core::class::ClassName,
    env::{Env, Listener},
    otlp::Signal,
    shell::ReloadError,
};
use common::{Running, Sink, buffer, config, env};

/// A line of the metrics page.
async fn has_metric(running: &Running, line: &str) -> bool {
    let mut client = running.client().await;
    let answer = client.request("GET", "/metrics", &[], b"").await.unwrap();
    let page = String::from_utf8(answer.body).unwrap();
    page.lines().any(|found| found == line)
}

#[tokio::test]
async fn batches_go_to_the_new_address() {
    let env = env();
    let (_keep, dir) = buffer();
    let (old, new) = (Sink::closed(&env).await, Sink::open(&env).await);
    let mut config = config(&dir, Some(old.url()));
    // Without the reload it would be tried in an hour.
    config.retry.backoff = backroom_collector::config::Backoff::Exponential {
        base: Duration::from_secs(3600),
        cap: Duration::from_secs(3600),
    };
    let running = Running::start(&env, config.clone()).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    running
        .told
        .wait("down", |told| told.has_notice("is down"))
        .await;
    let mut endpoint = Endpoint::new(new.url());
    endpoint.headers = vec![("x-store".to_owned(), "0412".to_owned())];
    config.endpoint = Some(endpoint);
    let reloaded = running.handle.reload(config.clone()).await.unwrap();
    assert_eq!(reloaded.changed, ["endpoint"]);
    assert_eq!(reloaded.generation, 2);
    new.wait_for_spans(10).await;
    assert_eq!(new.received()[0].headers["x-store"], "0412");
    assert!(has_metric(&running, "backroom_config_generation 2").await);
    assert!(has_metric(&running, "backroom_destination_up 1").await);
    let again = running.handle.reload(config).await.unwrap();
    assert_eq!(again.changed, Vec::<&str>::new());
    running.stop().await;
}

/// The old address takes the connection and never answers.
#[tokio::test]
async fn a_request_that_hangs_does_not_hold_up_the_new_address() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut hole = env.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mut endpoint = Endpoint::new(format!("http://{}", hole.local_addr().unwrap()));
    endpoint.timeout = Duration::from_secs(3600);
    let mut config = config(&dir, None);
    config.endpoint = Some(endpoint);
    config.send.inflight = Some(1);
    let running = Running::start(&env, config.clone()).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    let _hanging = hole.accept().await.unwrap();
    let new = Sink::open(&env).await;
    config.endpoint = Some(Endpoint::new(new.url()));
    running.handle.reload(config).await.unwrap();
    new.wait_for_spans(10).await;
    running
        .told
        .wait("delivered", |told| told.stored() == 0)
        .await;
    running.stop().await;
}

#[tokio::test]
async fn an_address_may_be_taken_away_and_given_back() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let without = config(&dir, None);
    let mut with = without.clone();
    with.endpoint = Some(Endpoint::new(sink.url()));
    with.send.inflight = Some(3);
    let running = Running::start(&env, without.clone()).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    running.handle.reload(with.clone()).await.unwrap();
    sink.wait_for_spans(10).await;
    running
        .told
        .wait("delivered", |told| told.stored() == 0)
        .await;
    running.handle.reload(without).await.unwrap();
    assert_eq!(client.post_spans(10..20).await.unwrap().status, 200);
    running
        .told
        .wait("sealed", |told| told.sealed_items() == 20)
        .await;
    assert_eq!(sink.taken().len(), 10, "nobody to send to");
    running.handle.reload(with).await.unwrap();
    sink.wait_for_spans(20).await;
    running.stop().await;
}

#[tokio::test]
async fn a_larger_quota_makes_room() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.buffer.disk = ByteSize(100_000);
    config.compress.codec = Codec::None;
    let running = Running::start(&env, config.clone()).await;
    let mut client = running.client().await;
    let mut acked = 0;
    while client.post_spans(acked..acked + 10).await.unwrap().status == 200 {
        acked += 10;
        assert!(acked < 10_000, "the quota holds");
    }
    config.buffer.disk = ByteSize(200_000);
    running.handle.reload(config.clone()).await.unwrap();
    let answer = client.post_spans(acked..acked + 10).await.unwrap();
    assert_eq!(answer.status, 200);
    // And back, to less than is stored, with another policy: what is stored stays.
    config.buffer.disk = ByteSize(30_000);
    config.buffer.on_full = OnFull::DropNewest;
    running.handle.reload(config).await.unwrap();
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    assert_eq!(running.told.dropped.lock().unwrap().len(), 1);
    assert_eq!(running.told.stored(), u64::from(acked) + 10);
    running.stop().await;
}

#[tokio::test]
async fn limits_of_requests_change() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    let running = Running::start(&env, config.clone()).await;
    let post = async || {
        let mut client = running.client().await;
        client.post_spans(0..100).await.unwrap().status
    };
    assert_eq!(post().await, 200);
    config.listen.body_bytes_max = ByteSize(1000);
    let reloaded = running.handle.reload(config).await.unwrap();
    assert_eq!(reloaded.changed, ["listen.body_bytes_max"]);
    assert_eq!(post().await, 413);
    running.stop().await;
}

/// Nothing of a refused configuration is taken, not even what could be.
#[tokio::test]
async fn what_needs_a_restart_is_refused_whole() {
    let env = env();
    let (_keep, dir) = buffer();
    let config = config(&dir, None);
    let running = Running::start(&env, config.clone()).await;
    let mut other = config.clone();
    other.listen.http = Some("127.0.0.1:1".parse().unwrap());
    other.buffer.dir = PathBuf::from("elsewhere");
    other.listen.body_bytes_max = ByteSize(1);
    let error = running.handle.reload(other).await.unwrap_err();
    assert!(matches!(error, ReloadError::NeedsRestart { .. }));
    assert_eq!(
        error.to_string(),
        "listen.http and buffer.dir cannot change while the collector runs: restart it, or set the old value again"
    );
    let mut wrong = config.clone();
    wrong.endpoint = Some(Endpoint::new("hq.example"));
    let error = running.handle.reload(wrong).await.unwrap_err();
    assert!(error.to_string().contains("hq.example"), "{error}");
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    assert!(has_metric(&running, "backroom_config_generation 1").await);
    assert!(has_metric(&running, "backroom_config_last_reload_ok 0").await);
    assert!(
        has_metric(
            &running,
            "backroom_config_reloads_total{outcome=\"refused\"} 2"
        )
        .await
    );
    running.handle.reload(config).await.unwrap();
    assert!(has_metric(&running, "backroom_config_last_reload_ok 1").await);
    running.stop().await;
}

/// New items go to the new class; what its predecessor holds is delivered under its own name.
#[tokio::test]
async fn classes_change() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let mut config = config(&dir, Some(sink.url()));
    let running = Running::start(&env, config.clone()).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    config.classes = vec![Class {
        name: ClassName::new("till").unwrap(),
        signal: Signal::Traces,
        rules: Vec::new(),
        quota: None,
        ttl: None,
        on_full: OnFull::Refuse,
        priority: 0,
        weight: 1,
        order: Order::OldestFirst,
    }];
    let reloaded = running.handle.reload(config).await.unwrap();
    assert_eq!(reloaded.changed, ["class"]);
    assert_eq!(client.post_spans(10..20).await.unwrap().status, 200);
    sink.listen().await;
    sink.wait_for_spans(20).await;
    let mut classes = BTreeMap::<_, u64>::new();
    for received in sink.received().iter().filter(|r| r.was_taken) {
        *classes.entry(received.range.class.to_string()).or_default() += received.range.count;
    }
    let expect = [("till".to_owned(), 10), ("traces".to_owned(), 10)];
    assert_eq!(classes, expect.into());
    running.stop().await;
}
