//! `/metrics`: the whole page is read by a strict parser, in both formats, before and after every kind of event.
//!
//! - `the_page_is_well_formed_and_counters_only_grow`: all families, monotonicity, the account.
//! - `refusals_are_counted_by_reason`: one request for each reason.
//! - `every_metric_is_documented`: `docs/metrics.md` lists what the page has, and nothing else.
//! - `discarded_requests_are_counted`: a full buffer that drops what is newest.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;
#[path = "common/exposition.rs"]
mod exposition;

use backroom_collector::config::{ByteSize, Codec, OnFull, load_text};
use common::{Client, PROTOBUF, Reply, Running, Sink, buffer, config, env};
use exposition::Page;

/// The page in one format.
async fn page(client: &mut Client, is_open_metrics: bool) -> Page {
    let headers: &[(&str, &str)] = match is_open_metrics {
        true => &[(
            "accept",
            "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
        )],
        false => &[],
    };
    let answer = client.request("GET", "/metrics", headers, b"").await;
    let answer = answer.expect("an answer");
    let kind = match is_open_metrics {
        true => "application/openmetrics-text",
        false => "text/plain",
    };
    assert!(answer.headers["content-type"].starts_with(kind));
    let text = String::from_utf8(answer.body).unwrap();
    exposition::read(&text, is_open_metrics).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The sum of a family's samples that carry this label value; `""` for all.
fn sum(page: &Page, family: &str, label: &str) -> f64 {
    let family = page.get(family).unwrap_or_else(|| panic!("no {family}"));
    let wanted = family
        .samples
        .iter()
        .filter(|sample| label.is_empty() || sample.labels.values().any(|text| text == label));
    wanted.map(|sample| sample.value).sum()
}

/// Counters and buckets that are smaller than before.
fn fallen(before: &Page, after: &Page) -> Vec<String> {
    let grows = |page: &Page| {
        let families = page.values();
        let growing = families.filter(|family| matches!(&*family.kind, "counter" | "histogram"));
        let samples = growing.flat_map(|family| family.samples.clone());
        samples.map(|s| (s.series(), s.value)).collect::<Vec<_>>()
    };
    let after: std::collections::BTreeMap<_, _> = grows(after).into_iter().collect();
    let mut before = grows(before);
    before.retain(|(series, value)| after.get(series).is_none_or(|now| now < value));
    before.into_iter().map(|(series, _)| series).collect()
}

#[tokio::test]
async fn the_page_is_well_formed_and_counters_only_grow() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    sink.decide(|index, _| match index {
        0 => Reply::Refuse(503, "later"),
        1 => Reply::Partial(3),
        _ => Reply::Take,
    });
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let mut client = running.client().await;
    let first = page(&mut client, false).await;
    assert_eq!(client.post_spans(0..40).await.unwrap().status, 200);
    running
        .told
        .wait("all out", |told| {
            told.stored() == 0 && told.sealed_items() == 40
        })
        .await;
    let second = page(&mut client, false).await;
    assert_eq!(fallen(&first, &second), Vec::<String>::new());
    assert!(
        !fallen(&second, &first).is_empty(),
        "the comparison sees growth"
    );

    let check = |family: &str, label: &str, expect: f64| {
        assert_eq!(sum(&second, family, label), expect, "{family} {label}");
    };
    check("backroom_accepted_items_total", "traces", 40.0);
    check("backroom_delivered_items_total", "traces", 37.0);
    check("backroom_dropped_items_total", "refused", 3.0);
    check("backroom_stored_items", "", 0.0);
    check("backroom_backlog_bytes", "", 0.0);
    check("backroom_class_stored_items", "", 0.0);
    check("backroom_class_oldest_item_age_seconds", "traces", 0.0);
    assert!(sum(&second, "backroom_class_disk_max_bytes", "traces") > 0.0);
    check("backroom_requests_total", "accepted", 1.0);
    check("backroom_send_attempts_total", "path", 1.0);
    check("backroom_send_attempts_total", "partial", 1.0);
    check("backroom_destination_outages_total", "", 1.0);
    check("backroom_destination_up", "", 1.0);
    check("backroom_disk_ok", "", 1.0);
    check("backroom_connections", "", 1.0);
    check("backroom_buffer_info", "", 1.0);
    assert!(sum(&second, "backroom_sent_wire_bytes_total", "") > 500.0);
    assert!(sum(&second, "backroom_disk_free_bytes", "") > 0.0);
    assert!(sum(&second, "process_resident_memory_bytes", "") > 0.0);
    for histogram in ["request", "fsync", "send"] {
        let family = &second[&format!("backroom_{histogram}_seconds")];
        let count = family.samples.iter().find(|s| s.name.ends_with("_count"));
        assert!(count.unwrap().value >= 1.0, "{histogram}");
    }

    let open = page(&mut client, true).await;
    assert_eq!(open["backroom_build"].kind, "info");
    assert_eq!(
        open["backroom_fsync_seconds"].unit.as_deref(),
        Some("seconds")
    );
    assert_eq!(sum(&open, "backroom_accepted_items", "traces"), 40.0);
    running.stop().await;
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.listen.body_bytes_max = ByteSize(20_000);
    config.listen.inflight_bytes_max = ByteSize(10_000);
    config.buffer.disk = ByteSize(60_000);
    config.compress.codec = Codec::None;
    let running = Running::start(&env, config).await;
    let post = async |body: &[u8]| {
        let mut client = running.client().await;
        let answer = client
            .request("POST", "/v1/traces", &[PROTOBUF], body)
            .await;
        answer.expect("an answer").status
    };
    assert_eq!(post(b"garbage").await, 400);
    assert_eq!(post(&vec![0; 30_000]).await, 413);
    assert_eq!(post(&vec![0; 15_000]).await, 503);
    let mut client = running.client().await;
    let (mut filled, mut full) = (0, 0);
    // What is sealed after the refusal may leave room once more.
    let page = loop {
        while post(&common::spans(0..10)).await == 200 {
            filled += 1;
            assert!(filled < 1000, "the quota holds");
        }
        full += 1;
        assert!(full < 100, "it is full some time");
        let page = page(&mut client, false).await;
        if sum(&page, "backroom_buffer_full", "") == 1.0 {
            break page;
        }
    };
    let check = |outcome: &str, expect: f64| {
        assert_eq!(
            sum(&page, "backroom_requests_total", outcome),
            expect,
            "{outcome}"
        );
    };
    check("invalid", 1.0);
    check("too_large", 1.0);
    check("memory", 1.0);
    check("accepted", f64::from(filled));
    check("full", f64::from(full));
    check("unauthorized", 0.0);
    check("disk", 0.0);
    assert_eq!(sum(&page, "backroom_buffer_disk_max_bytes", ""), 60_000.0);
    running.stop().await;
}

#[tokio::test]
async fn discarded_requests_are_counted() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.buffer.disk = ByteSize(60_000);
    config.buffer.on_full = OnFull::DropNewest;
    config.compress.codec = Codec::None;
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    let mut page_now = page(&mut client, false).await;
    for _ in 0..1000 {
        if sum(&page_now, "backroom_requests_total", "discarded") > 0.0 {
            break;
        }
        assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
        page_now = page(&mut client, false).await;
    }
    assert_eq!(sum(&page_now, "backroom_requests_total", "discarded"), 1.0);
    assert_eq!(
        sum(&page_now, "backroom_dropped_items_total", "buffer_full"),
        10.0
    );
    running.stop().await;
}

/// Names in the first column of the tables of `docs/metrics.md`, cut to a family's.
fn documented() -> std::collections::BTreeSet<String> {
    let text = include_str!("../../docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(name, _)| name.to_owned());
    // Attributes of log records have dots.
    names.filter(|name| !name.contains('.')).collect()
}

#[tokio::test]
async fn every_metric_is_documented() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = common::Sink::closed(&env).await;
    // Everything that may be absent is there.
    let mut config = config(&dir, Some(sink.url()));
    config.send.yield_delay = Some(std::time::Duration::from_millis(25));
    config.role = backroom_collector::config::Role::Gateway;
    config.compress.is_auto = true;
    config.links = load_text(
        "links.toml",
        "link.lte = { budget = { bytes = \"1MiB\", per = \"1d\" } }",
    )
    .expect("valid")
    .links;
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    let headers = [
        common::PROTOBUF,
        ("x-backroom-batch", "00000000000004d2-1-traces-0-10"),
        ("x-backroom-store", "items=1,bytes=2,drain=3"),
    ];
    let body = common::spans(0..10);
    let answer = client.request("POST", "/v1/traces", &headers, &body).await;
    assert_eq!(answer.map(|answer| answer.status), Some(200));
    let page = page(&mut client, false).await;
    let told: std::collections::BTreeSet<String> = page.into_keys().collect();
    let documented = documented();
    let missing: Vec<_> = told.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&told).collect();
    assert!(missing.is_empty(), "not in docs/metrics.md: {missing:?}");
    assert!(stale.is_empty(), "only in docs/metrics.md: {stale:?}");
    running.stop().await;
}
