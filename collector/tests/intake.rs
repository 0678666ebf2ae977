//! What the receiver takes and what it refuses: bodies, encodings, sizes, garbage, a full buffer, many at once.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::io::Write;

use backroom_collector::{
    config::{ByteSize, Codec, OnFull},
    core::codec::compress,
    env::Env,
};
use common::{Client, PROTOBUF, Running, Sink, buffer, bytes, config, env, spans};

/// A body with headers gives a status.
async fn check(client: &mut Client, headers: &[(&str, &str)], body: &[u8], status: u16) -> String {
    let answer = client
        .request("POST", "/v1/traces", headers, body)
        .await
        .expect("an answer");
    assert_eq!(answer.status, status, "{headers:?} {answer:?}");
    assert_eq!(answer.headers["content-type"], "application/x-protobuf");
    assert!(!answer.headers.contains_key("date"), "no date header");
    if status == 200 {
        assert!(answer.body.is_empty());
        return String::new();
    }
    answer.message()
}

#[tokio::test]
async fn encodings_are_read_and_all_arrive() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let mut client = running.client().await;
    check(&mut client, &[PROTOBUF], &spans(0..10), 200).await;
    for (first, name, codec) in [(10, "gzip", Codec::Gzip(6)), (20, "zstd", Codec::Zstd(3))] {
        let body = compress(codec, &[bytes(&spans(first..first + 10))]);
        let headers = [PROTOBUF, ("content-encoding", name)];
        check(&mut client, &headers, &body, 200).await;
    }
    // Two gzip members are one body.
    let two: Vec<u8> = [spans(30..35), spans(35..40)]
        .iter()
        .flat_map(|part| compress(Codec::Gzip(1), &[bytes(part)]))
        .collect();
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    check(&mut client, &headers, &two, 200).await;
    // An empty request is fine and stores nothing.
    check(&mut client, &[PROTOBUF], &[], 200).await;
    sink.wait_for_spans(40).await;
    assert_eq!(sink.taken(), (0..40).map(|id| (id, 1)).collect());
    running.stop().await;
}

#[tokio::test]
async fn bad_bodies_are_refused_with_a_reason() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.listen.body_bytes_max = ByteSize(100_000);
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    let good = spans(0..10);

    let message = check(&mut client, &[PROTOBUF], b"not protobuf", 400).await;
    assert!(
        message.contains("not a protobuf traces request"),
        "{message}"
    );
    let message = check(&mut client, &[PROTOBUF], &good[..good.len() - 1], 400).await;
    assert!(message.contains("length beyond the end"), "{message}");
    let gzip = [PROTOBUF, ("content-encoding", "gzip")];
    let message = check(&mut client, &gzip, &good, 400).await;
    assert!(message.contains("decompress"), "{message}");
    check(
        &mut client,
        &[("content-type", "text/plain")],
        b"hello",
        415,
    )
    .await;
    let brotli = [PROTOBUF, ("content-encoding", "br")];
    let message = check(&mut client, &brotli, &good, 415).await;
    assert!(message.contains("identity, gzip or zstd"), "{message}");

    // A bomb: small on the wire, larger than the limit unfolded.
    for (name, codec) in [("gzip", Codec::Gzip(6)), ("zstd", Codec::Zstd(3))] {
        let bomb = compress(codec, &[bytes(&vec![0; 10_000_000])]);
        let headers = [PROTOBUF, ("content-encoding", name)];
        let message = check(&mut client, &headers, &bomb, 413).await;
        assert!(message.contains("100000 bytes"), "{message}");
    }
    let mut client = running.client().await;
    check(&mut client, &[PROTOBUF], &vec![0; 100_001], 413).await;

    let mut client = running.client().await;
    let answer = client.request("GET", "/v1/traces", &[], b"").await.unwrap();
    assert_eq!(
        (answer.status, answer.headers["allow"].as_str()),
        (405, "POST")
    );
    let answer = client.request("POST", "/v1/spans", &[], b"").await.unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(running.told.stored(), 0, "nothing of it was stored");
    running.stop().await;
}

/// Garbage, half requests and silence on some connections do not disturb others.
#[tokio::test]
async fn garbage_hurts_nobody_else() {
    let env = env();
    let (_keep, dir) = buffer();
    let running = Running::start(&env, config(&dir, None)).await;
    let mut clients = Vec::new();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"\0\0\0\0\r\n\r\n\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: 500\r\n\r\nhalf",
        b"POST /v1/tra",
    ] {
        let mut client = running.client().await;
        client.write(garbage).await.unwrap();
        clients.push(client);
    }
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    assert_eq!(running.told.stored(), 10);
    drop(clients);
    assert_eq!(client.post_spans(10..20).await.unwrap().status, 200);
    running.stop().await;
}

/// Who shuts down its own direction after a request is told what became of it.
#[tokio::test]
async fn a_sender_that_has_said_all_is_answered() {
    let env = env();
    let (_keep, dir) = buffer();
    let running = Running::start(&env, config(&dir, None)).await;
    let body = spans(0..10);
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: store\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut client = running.client().await;
    client
        .write(&[head.as_bytes(), &body].concat())
        .await
        .unwrap();
    client.end().await;
    assert_eq!(client.answer().await.expect("an answer").status, 200);
    assert_eq!(running.told.stored(), 10);
    running.stop().await;
}

/// Many connections at once share fsyncs, and each request is stored once.
#[tokio::test]
async fn many_senders_at_once() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let mut senders = Vec::new();
    for lane in 0..32_u32 {
        let mut client = running.client().await;
        senders.push(env.spawn(async move {
            for request in 0..10 {
                let first = lane * 1000 + request * 10;
                let answer = client.post_spans(first..first + 10).await.unwrap();
                assert_eq!(answer.status, 200);
            }
        }));
    }
    for sender in senders {
        sender.await.expect("a sender ends well");
    }
    sink.wait_for_spans(3200).await;
    let taken = sink.taken();
    assert_eq!(taken.len(), 3200);
    assert!(taken.values().all(|count| *count == 1));
    running
        .told
        .wait("all delivered", |told| told.stored() == 0)
        .await;
    let answer = running
        .client()
        .await
        .request("GET", "/metrics", &[], b"")
        .await
        .unwrap();
    let metrics = String::from_utf8(answer.body).unwrap();
    for line in [
        "backroom_accepted_items_total{signal=\"traces\"} 3200",
        "backroom_delivered_items_total{signal=\"traces\"} 3200",
        "backroom_stored_items{signal=\"traces\"} 0",
        "backroom_requests_total{outcome=\"accepted\"} 320",
        "backroom_backlog_bytes 0",
        "backroom_destination_up 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
    }
    running.stop().await;
}

/// A full buffer refuses with Retry-After, says so in /readyz, and takes requests again when it has room.
#[tokio::test]
async fn a_full_buffer_refuses_until_it_has_room() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let mut config = config(&dir, Some(sink.url()));
    config.buffer.disk = ByteSize(200_000);
    config.compress.codec = Codec::None;
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    let mut acked = 0;
    let refused = loop {
        let answer = client.post_spans(acked..acked + 20).await.unwrap();
        if answer.status == 200 {
            acked += 20;
            assert!(acked < 10_000, "the quota holds");
            continue;
        }
        // A batch that was being sealed makes room once more.
        let ready = client.request("GET", "/readyz", &[], b"").await.unwrap();
        if ready.status == 503 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["retry-after"], "30", "nothing drains");
    assert!(
        refused.message().contains("buffer.disk"),
        "{}",
        refused.message()
    );
    let used: u64 = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(used <= 200_000, "{used} bytes on disk");
    let health = client.request("GET", "/healthz", &[], b"").await.unwrap();
    assert_eq!(health.status, 200, "the disk itself is fine");
    sink.listen().await;
    sink.wait_for_spans(acked as usize).await;
    running.told.wait("room", |told| told.stored() == 0).await;
    // Its files go a moment after the last delivery: a sender comes again until it is taken.
    let again =
        async { while client.post_spans(acked..acked + 20).await.unwrap().status != 200 {} };
    tokio::time::timeout(common::LIMIT, again).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn drop_oldest_keeps_what_is_new() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let mut config = config(&dir, Some(sink.url()));
    config.buffer.disk = ByteSize(1_000_000);
    config.buffer.on_full = OnFull::DropOldest;
    config.compress.codec = Codec::None;
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    for request in 0..800 {
        let first = request * 20;
        let answer = client.post_spans(first..first + 20).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let dropped: u64 = running
        .told
        .dropped
        .lock()
        .unwrap()
        .iter()
        .map(|(n, _)| n)
        .sum();
    assert!(dropped > 0);
    sink.listen().await;
    running
        .told
        .wait("all delivered", |told| told.stored() == 0)
        .await;
    let taken = sink.taken();
    let items = *running
        .told
        .accounting
        .lock()
        .unwrap()
        .items(backroom_collector::otlp::Signal::Traces);
    assert_eq!(items.accepted, taken.len() as u64 + dropped);
    assert!(
        taken.keys().max() > Some(&15_900) && taken.keys().min() > Some(&0),
        "{taken:?}"
    );
    running.stop().await;
}

/// Too much at once is refused for a moment, within the memory that is configured.
#[tokio::test]
async fn memory_is_bounded() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.listen.inflight_bytes_max = ByteSize(1000);
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    let answer = client.post_spans(0..100).await.unwrap();
    assert_eq!(answer.status, 503);
    let retry: u64 = answer.headers["retry-after"].parse().unwrap();
    assert!((1..=30).contains(&retry), "{retry}");
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..2).await.unwrap().status, 200);
    let mut small = Vec::new();
    let mut gzip = flate2::write::GzEncoder::new(&mut small, flate2::Compression::new(6));
    gzip.write_all(&spans(0..100)).unwrap();
    gzip.finish().unwrap();
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    let answer = client.request("POST", "/v1/traces", &headers, &small).await;
    assert_eq!(answer.unwrap().status, 503);
    running.stop().await;
}
