//! Every road in: OTLP/gRPC, OTLP/HTTP over HTTP/2, protobuf and JSON; what each is told that it may not do.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{net::SocketAddr, time::Duration};

use backroom_collector::{
    config::{ByteSize, Codec},
    core::codec::compress,
    env::OsEnv,
    otlp::{Signal, grpc, json},
};
use common::{
    PROTOBUF, Running, Sink, buffer, bytes, config, env,
    http2::{Http2, Sent},
    spans,
};
use http_body_util::Full;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

type Headers = &'static [(&'static str, &'static str)];

async fn http2(env: &OsEnv, address: SocketAddr) -> Http2 {
    Http2::over(env, common::connect(env, address).await).await
}

/// A compressed message in its frame.
fn packed(codec: Codec, message: &[u8]) -> Vec<u8> {
    let mut frame = grpc::frame(&compress(codec, &[bytes(message)]));
    frame[0] = 1;
    frame
}

#[tokio::test]
async fn grpc_takes_every_encoding_and_signal() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let mut client = http2(&env, running.grpc).await;
    let calls: [(Headers, Vec<u8>); 5] = [
        (&[], grpc::frame(&spans(0..10))),
        // The flag decides, not the header.
        (&[("grpc-encoding", "gzip")], grpc::frame(&spans(10..20))),
        (
            &[("grpc-encoding", "gzip")],
            packed(Codec::Gzip(6), &spans(20..30)),
        ),
        (
            &[("grpc-encoding", "zstd"), ("grpc-timeout", "10S")],
            packed(Codec::Zstd(3), &spans(30..40)),
        ),
        (&[], grpc::frame(&[])),
    ];
    for (headers, body) in calls {
        let reply = client.call(TRACES, headers, body).await;
        assert_eq!(reply.grpc_status(), "0", "{reply:?}");
        assert_eq!(&reply.body[..], [0; 5], "an empty message");
    }
    for (service, request) in [
        // One log record with a time; one gauge with a point.
        (
            "logs.v1.LogsService",
            &b"\x0a\x0d\x12\x0b\x12\x09\x09\x01\0\0\0\0\0\0\0"[..],
        ),
        (
            "metrics.v1.MetricsService",
            b"\x0a\x08\x12\x06\x12\x04\x2a\x02\x0a\0",
        ),
    ] {
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        let reply = client.call(&path, &[], grpc::frame(request)).await;
        assert_eq!(reply.grpc_status(), "0", "{reply:?}");
    }
    sink.wait("all signals", |all| {
        Signal::ALL
            .iter()
            .all(|s| all.iter().any(|r| r.signal == *s))
    })
    .await;
    sink.wait_for_spans(42).await;
    running.stop().await;
}

#[tokio::test]
async fn grpc_errors_are_grpcs() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.listen.body_bytes_max = ByteSize(100_000);
    let running = Running::start(&env, config).await;
    let mut client = http2(&env, running.grpc).await;
    let profiles = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    let good = grpc::frame(&spans(0..10));
    let gzip: Headers = &[("grpc-encoding", "gzip")];
    let mut lying = good.clone();
    lying[4] ^= 1;
    let calls: [(&str, Headers, Vec<u8>, &str, &str); 12] = [
        (profiles, &[], good.clone(), "12", "profiles"),
        (
            "/grpc.health.v1.Health/Check",
            &[],
            grpc::frame(&[]),
            "12",
            "unknown method",
        ),
        (
            TRACES,
            &[("grpc-encoding", "snappy")],
            good.clone(),
            "12",
            "snappy",
        ),
        (TRACES, &[], Vec::new(), "13", "no message"),
        (TRACES, &[], vec![0, 0, 0], "13", "no message"),
        (TRACES, &[], lying, "13", "bytes and"),
        (
            TRACES,
            &[],
            [good.clone(), good.clone()].concat(),
            "13",
            "follow",
        ),
        (
            TRACES,
            &[],
            vec![1, 0, 0, 0, 0],
            "13",
            "grpc-encoding does not say",
        ),
        (
            TRACES,
            &[],
            grpc::frame(b"nonsense"),
            "3",
            "not a protobuf traces request",
        ),
        (
            TRACES,
            gzip,
            packed(Codec::None, b"nonsense"),
            "3",
            "decompress",
        ),
        (
            TRACES,
            &[],
            grpc::frame(&vec![0; 100_001]),
            "8",
            "100000 bytes",
        ),
        (
            TRACES,
            gzip,
            packed(Codec::Gzip(6), &vec![0; 10_000_000]),
            "8",
            "100000 bytes",
        ),
    ];
    for (path, headers, body, status, message) in calls {
        let reply = client.call(path, headers, body).await;
        assert_eq!(reply.grpc_status(), status, "{reply:?}");
        assert!(
            reply.trailers.is_none() && reply.body.is_empty(),
            "one block of headers"
        );
        let text = reply.headers["grpc-message"].to_str().unwrap();
        assert!(text.contains(message), "{text}");
        assert!(!reply.has_retry_info(), "none of these passes by waiting");
    }
    // A deadline that passes while the body does not come to its end.
    let headers = [
        ("content-type", "application/grpc"),
        ("grpc-timeout", "50m"),
    ];
    let stalled = Sent(Full::new(good.clone().into()), true);
    let reply = client.send(TRACES, &headers, stalled).await;
    assert_eq!(reply.grpc_status(), "4");
    // The connection has survived all of it.
    let reply = client.call(TRACES, &[], good).await;
    assert_eq!(reply.grpc_status(), "0");
    assert_eq!(running.told.stored(), 10);
    running.stop().await;
}

#[tokio::test]
async fn grpc_says_when_to_come_again() {
    let env = env();
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.listen.inflight_bytes_max = ByteSize(1000);
    config.buffer.disk = ByteSize(200_000);
    config.compress.codec = Codec::None;
    let running = Running::start(&env, config).await;
    let mut client = http2(&env, running.grpc).await;
    let reply = client.call(TRACES, &[], grpc::frame(&spans(0..100))).await;
    assert_eq!(reply.grpc_status(), "14", "{reply:?}");
    assert!(reply.has_retry_info());
    let mut taken = 0;
    let full = loop {
        let reply = client.call(TRACES, &[], grpc::frame(&spans(0..5))).await;
        if reply.grpc_status() != "0" {
            break reply;
        }
        taken += 5;
        assert!(taken < 10_000, "the quota holds");
    };
    assert_eq!(full.grpc_status(), "8", "{full:?}");
    assert!(full.has_retry_info());
    running.stop().await;
}

/// Who comes to the wrong port is told where the other one is.
#[tokio::test]
async fn wrong_ports_name_the_right_one() {
    let env = env();
    let (_keep, dir) = buffer();
    let running = Running::start(&env, config(&dir, None)).await;
    let mut client = http2(&env, running.address).await;
    let reply = client.call(TRACES, &[], grpc::frame(&spans(0..1))).await;
    assert_eq!(reply.grpc_status(), "12");
    let text = reply.headers["grpc-message"].to_str().unwrap();
    assert!(text.contains(&running.grpc.to_string()), "{text}");

    let mut client = common::Client::connect(running.grpc).await;
    let answer = client.post_spans(0..1).await.unwrap();
    assert_eq!(answer.status, 415);
    assert!(
        answer.message().contains(&running.address.to_string()),
        "{}",
        answer.message()
    );
    running.stop().await;
}

#[tokio::test]
async fn http2_with_prior_knowledge_serves_many_at_once() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let client = http2(&env, running.address).await;
    let mut posts = Vec::new();
    for lane in 0..50_u32 {
        let mut client = client.clone();
        use backroom_collector::env::Env;
        posts.push(env.spawn(async move {
            let body = spans(lane * 10..lane * 10 + 10);
            client.post("/v1/traces", &[PROTOBUF], body).await
        }));
    }
    for post in posts {
        let reply = post.await.unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["content-type"], PROTOBUF.1);
        assert!(reply.body.is_empty() && !reply.headers.contains_key("date"));
    }
    // A body that is refused resets its stream and nothing else.
    let mut client = client.clone();
    let reply = client
        .post("/v1/traces", &[PROTOBUF], vec![0; 9 << 20])
        .await;
    assert_eq!(reply.status, 413);
    let reply = client
        .post("/v1/traces", &[PROTOBUF], spans(500..510))
        .await;
    assert_eq!(reply.status, 200);
    sink.wait_for_spans(510).await;
    assert_eq!(sink.taken(), (0..510).map(|id| (id, 1)).collect());
    running.stop().await;
}

#[tokio::test]
async fn json_is_answered_in_json_and_arrives_as_protobuf() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let mut config = config(&dir, Some(sink.url()));
    config.listen.body_bytes_max = ByteSize(100_000);
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    let text = |ids| {
        json::to_json(Signal::Traces, &spans(ids))
            .unwrap()
            .into_bytes()
    };
    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
    let zipped = compress(Codec::Gzip(6), &[bytes(&text(10..20))]);
    let many = text(20..400);
    let requests: [(Headers, &[u8], u16, &str); 8] = [
        (&[JSON], &text(0..10), 200, "{}"),
        (&[JSON, ("content-encoding", "gzip")], &zipped, 200, "{}"),
        (&[JSON], b"{}", 200, "{}"),
        (&[JSON], b"", 400, r#""code":3"#),
        (
            &[JSON],
            br#"{"resourceSpans":[{"scopeSpans":7}]}"#,
            400,
            "expected a list for `scopeSpans`",
        ),
        (&[JSON], &many, 413, r#""code":8"#),
        (
            &[JSON, ("content-encoding", "br")],
            b"{}",
            415,
            r#""code":12"#,
        ),
        (
            &[JSON, ("content-encoding", "zstd")],
            b"{}",
            400,
            "decompress",
        ),
    ];
    for (headers, body, status, expect) in requests {
        let answer = client
            .request("POST", "/v1/traces", headers, body)
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.headers["content-type"].as_str()),
            (status, "application/json")
        );
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains(expect), "{text}");
        if status == 413 {
            client = running.client().await;
        }
    }
    sink.wait_for_spans(20).await;
    assert_eq!(sink.taken(), (0..20).map(|id| (id, 1)).collect());
    running.stop().await;
}

/// Fields that this version does not know reach the other end.
#[tokio::test]
async fn unknown_fields_survive() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    // Field 1000 of the request, a text.
    let unknown = b"\xc2\x3e\x05later";
    let body = [&spans(0..3)[..], unknown].concat();
    let mut client = running.client().await;
    let answer = client
        .request("POST", "/v1/traces", &[PROTOBUF], &body)
        .await;
    assert_eq!(answer.unwrap().status, 200);
    sink.wait_for_spans(3).await;
    assert!(sink.received()[0].body.ends_with(unknown));
    running.stop().await;
}

#[tokio::test]
async fn profiles_are_not_swallowed() {
    let env = env();
    let (_keep, dir) = buffer();
    let running = Running::start(&env, config(&dir, None)).await;
    let mut client = running.client().await;
    for path in ["/v1development/profiles", "/v1/profiles"] {
        let request = client.request("POST", path, &[PROTOBUF], b"");
        let answer = request.await.unwrap();
        assert_eq!(answer.status, 404, "{path}");
        let words = answer.message();
        assert!(words.contains("profiles are not implemented"), "{words}");
    }
    // All is read before the connection ends: a reset that overtakes the answer would be tried again.
    let many = vec![0; 8 << 20];
    for (path, content_type, status) in [
        ("/v1development/profiles", PROTOBUF.1, 404),
        ("/v2/traces", PROTOBUF.1, 404),
        ("/v1/traces", "application/grpc", 200),
        ("/v1/traces", "text/plain", 415),
    ] {
        let mut client = running.client().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: store\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            many.len()
        );
        client.write(head.as_bytes()).await.unwrap();
        client.write(&many).await.expect("it is read");
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, status, "{path}, {content_type}");
    }
    running.stop().await;
}

/// Garbage over HTTP/2, and peers that stop in the middle, hurt nobody else.
#[tokio::test]
async fn garbage_over_http2_hurts_nobody_else() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    let env = env();
    let (_keep, dir) = buffer();
    let running = Running::start(&env, config(&dir, None)).await;
    let mut held = Vec::new();
    for address in [running.address, running.grpc] {
        for (garbage, is_closed) in [
            (&b"PRI * HTTP/2.0\r\n"[..], false),
            (PREFACE, false),
            (&[PREFACE, SETTINGS].concat(), false),
            (&[PREFACE, b"GET / HTTP/1.1\r\n\r\n"].concat(), true),
            // A frame of 16 MiB, of which the head comes.
            (
                &[PREFACE, SETTINGS, b"\xff\xff\xff\0\0\0\0\0\x01"].concat(),
                true,
            ),
            // A block of headers that never ends: 70 frames of 16 KiB.
            (&[PREFACE, SETTINGS, &endless_headers()].concat(), true),
            // 5,000 streams that are opened and reset at once.
            (&[PREFACE, SETTINGS, &resets(5000)].concat(), true),
        ] {
            let mut client = common::Client::connect(address).await;
            // It may close before all is written.
            let _ = client.write(garbage).await;
            if is_closed {
                let closed = tokio::time::timeout(common::LIMIT, client.read_to_end()).await;
                assert!(closed.is_ok(), "{address}: still open");
            }
            held.push(client);
        }
    }
    let mut client = http2(&env, running.grpc).await;
    let call = client.call(TRACES, &[], grpc::frame(&spans(0..10)));
    let reply = tokio::time::timeout(Duration::from_secs(30), call)
        .await
        .unwrap();
    assert_eq!(reply.grpc_status(), "0");
    assert_eq!(running.told.stored(), 10);
    drop(held);
    running.stop().await;
}

/// HEADERS without END_HEADERS, then CONTINUATIONs without end; each holds literal headers that are never indexed.
fn endless_headers() -> Vec<u8> {
    let header = [&b"\x10\x04long\x7f\xe9\x1e"[..], &[b'x'; 4000]].concat();
    let block = header.repeat(4);
    let frame = |kind: u8| {
        let length = (block.len() as u32).to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], &block].concat()
    };
    let mut out = frame(1);
    for _ in 0..70 {
        out.extend(frame(9));
    }
    out
}

/// Streams that are opened with `:method: POST` and a few others, and reset.
fn resets(count: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for stream in 0..count {
        let id = (stream * 2 + 1).to_be_bytes();
        // :method POST, :scheme http, :path /
        out.extend([&[0, 0, 3, 1, 4][..], &id, &[0x83, 0x86, 0x84]].concat());
        out.extend([&[0, 0, 4, 3, 0][..], &id, &[0, 0, 0, 8]].concat());
    }
    out
}
