//! Batches out: outages, throttling, captive portals, broken connections, refused payloads, codecs, the rate.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::time::Duration;

use backroom_collector::{
    config::{BitRate, ByteSize, Codec, Protocol},
    core::{accounting::DropReason, codec::CodecId},
    otlp::Signal,
};
use common::{Reply, Running, Sink, buffer, config, env, span_ids};

/// Runs a collector with `count` spans and a receiver that answers by `decide`; returns when all were taken.
async fn check(
    count: u32,
    decide: impl Fn(usize, &common::Received) -> Reply + Send + Sync + 'static,
) -> (Sink, Running, tempfile::TempDir) {
    let env = env();
    let (keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    sink.decide(decide);
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let mut client = running.client().await;
    for first in (0..count).step_by(10) {
        let ids = first..(first + 10).min(count);
        assert_eq!(client.post_spans(ids).await.unwrap().status, 200);
    }
    running
        .told
        .wait("all delivered", |told| told.stored() == 0)
        .await;
    (sink, running, keep)
}

/// Answers that are about the path keep the backlog intact; everything arrives once they are over.
#[tokio::test]
async fn path_failures_condemn_nothing() {
    let portal = b"<html>Please accept the terms</html>".to_vec();
    let failures = [
        Reply::Raw("429 Slow Down\r\nretry-after: 0".to_owned(), Vec::new()),
        Reply::Raw(
            "503 Busy\r\nretry-after: 0\r\ncontent-type: text/html".to_owned(),
            portal,
        ),
        Reply::Refuse(502, "bad gateway"),
        Reply::Refuse(504, "gateway timeout"),
        Reply::Cut,
        Reply::Cut,
    ];
    let (sink, running, _keep) = check(100, move |index, _| {
        failures.get(index).cloned().unwrap_or(Reply::Take)
    })
    .await;
    let taken = sink.taken();
    assert_eq!(taken, (0..100).map(|id| (id, 1)).collect());
    assert!(running.told.has_notice("is down") && running.told.has_notice("is back"));
    running.stop().await;
}

/// A captive portal says 200, and delivers nothing: the destination is suspended, loudly, and the batch stays.
#[tokio::test]
async fn a_captive_portal_delivers_nothing() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    sink.decide(|_, _| {
        let html = b"<html>Welcome to FreeWifi</html>".to_vec();
        Reply::Raw("200 OK\r\ncontent-type: text/html".to_owned(), html)
    });
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    running
        .told
        .wait("a notice", |told| told.has_notice("captive portal"))
        .await;
    assert_eq!(running.told.stored(), 10);
    let ready = client.request("GET", "/readyz", &[], b"").await.unwrap();
    assert_eq!(ready.status, 200, "buffering is what it is for");
    assert!(
        String::from_utf8(ready.body)
            .unwrap()
            .contains("destination: down")
    );
    // It is there for the next start.
    running.stop().await;
    sink.decide(|_, _| Reply::Take);
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    sink.wait_for_spans(10).await;
    assert_eq!(sink.taken(), (0..10).map(|id| (id, 1)).collect());
    running.stop().await;
}

/// Every repeat of a batch has the same range and the same content.
#[tokio::test]
async fn a_batch_is_the_same_batch_each_time() {
    let (sink, running, _keep) = check(200, |index, _| {
        if index % 3 == 2 {
            Reply::Take
        } else {
            Reply::Cut
        }
    })
    .await;
    let mut seen = std::collections::BTreeMap::new();
    let received = sink.received();
    for batch in &received {
        assert_eq!(batch.range.count as usize, span_ids(&batch.body).len());
        assert_eq!(batch.codec, CodecId::Zstd);
        let before = seen.insert(batch.range, &batch.body);
        assert!(before.is_none_or(|before| before == &batch.body));
    }
    assert!(received.len() > seen.len(), "some were sent again");
    running.stop().await;
}

/// Retry-After is obeyed by the whole destination. Time is paused once the sockets are quiet.
#[tokio::test]
async fn retry_after_is_obeyed() {
    let start = tokio::time::Instant::now();
    let (sink, running, _keep) = check(10, |index, _| match index {
        0 => Reply::Raw("429 Slow Down\r\nretry-after: 1".to_owned(), Vec::new()),
        _ => Reply::Take,
    })
    .await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(sink.received().len(), 2);
    running.stop().await;
}

/// One bad span among many: the rest is delivered, the span stands in quarantine with the server's words.
#[tokio::test]
async fn one_bad_span_costs_one_span() {
    let (sink, running, keep) = check(70, |_, request| {
        if span_ids(&request.body).contains(&33) {
            Reply::Refuse(400, "span 33 is cursed")
        } else {
            Reply::Take
        }
    })
    .await;
    let expect = (0..70).filter(|id| *id != 33).map(|id| (id, 1)).collect();
    assert_eq!(sink.taken(), expect);
    let items = *running
        .told
        .accounting
        .lock()
        .unwrap()
        .items(Signal::Traces);
    assert_eq!((items.delivered, items.quarantined), (69, 1));
    assert!(running.told.has_notice("span 33 is cursed"));
    // Parts carry sub-ranges that do not overlap.
    let taken: Vec<_> = sink
        .received()
        .into_iter()
        .filter(|r| r.was_taken)
        .collect();
    for (index, one) in taken.iter().enumerate() {
        for other in &taken[index + 1..] {
            assert!(one.range.end() <= other.range.first || other.range.end() <= one.range.first);
        }
    }
    let quarantine = std::fs::read_dir(keep.path().join("buffer"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "quarantine"))
        .expect("a quarantine file");
    let data = std::fs::read(quarantine).unwrap();
    assert!(data.windows(17).any(|text| text == b"span 33 is cursed"));
    running.stop().await;
}

/// `partial_success` is an answer: what was rejected is counted and not sent again.
#[tokio::test]
async fn partial_success_is_counted() {
    let (sink, running, _keep) = check(10, |_, _| Reply::Partial(3)).await;
    let items = *running
        .told
        .accounting
        .lock()
        .unwrap()
        .items(Signal::Traces);
    assert_eq!(
        (items.delivered, items.dropped_for(DropReason::Refused)),
        (7, 3)
    );
    assert_eq!(sink.received().len(), 1);
    running.stop().await;
}

/// A receiver without zstd gets gzip, one without gzip gets it plain, and this is remembered.
#[tokio::test]
async fn codecs_fall_back() {
    for (accepts, tries) in [(CodecId::Gzip, 1), (CodecId::None, 2)] {
        let (sink, running, _keep) = check(10, move |_, request| {
            if request.codec > accepts {
                Reply::Refuse(415, "unsupported content encoding")
            } else {
                Reply::Take
            }
        })
        .await;
        let answer = running.client().await.post_spans(10..20).await;
        assert_eq!(answer.unwrap().status, 200);
        sink.wait_for_spans(20).await;
        let refused = sink.received().iter().filter(|r| !r.was_taken).count();
        assert_eq!(refused, tries, "{accepts:?}");
        running.stop().await;
    }
}

/// A proxy's 415 changes nothing for good; a lesser codec that is then delivered does.
#[tokio::test]
async fn a_foreign_415_is_believed_once_a_lesser_codec_is_taken() {
    let foreign = || {
        Reply::Raw(
            "415 No\r\ncontent-type: text/html".into(),
            b"<html>".to_vec(),
        )
    };
    let (sink, running, _keep) = check(10, move |number, request| {
        match (number, request.codec) {
            // At first a proxy refuses everything that is compressed, then the path breaks.
            (0 | 1, _) => foreign(),
            (2, _) => Reply::Raw("502 Bad Gateway".into(), Vec::new()),
            (_, CodecId::Zstd) => foreign(),
            _ => Reply::Take,
        }
    })
    .await;
    assert_eq!(sink.taken().len(), 10);
    let codecs: Vec<_> = sink.received().iter().map(|r| r.codec).collect();
    use CodecId::{Gzip, None, Zstd};
    assert_eq!(codecs, [Zstd, Gzip, None, Zstd, Gzip]);
    running.stop().await;
}

/// A proxy's 413 halves batches, but a single item that it refuses is kept, and what passed is not sent again.
#[tokio::test]
async fn a_foreign_413_condemns_nothing() {
    let env = env();
    let (keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let (refused, mut last) = tokio::sync::watch::channel(0);
    sink.decide(move |_, request| {
        let ids = span_ids(&request.body);
        if !ids.contains(&69) {
            return Reply::Take;
        }
        refused.send_replace(ids.len());
        Reply::Raw(
            "413 No\r\ncontent-type: text/html".into(),
            b"<html>".to_vec(),
        )
    });
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let answer = running.client().await.post_spans(0..70).await;
    assert_eq!(answer.unwrap().status, 200);
    last.wait_for(|items| *items == 1).await.unwrap();
    let expect = (0..69).map(|id| (id, 1)).collect();
    assert_eq!(sink.taken(), expect);
    let told = running.told.clone();
    running.stop().await;
    let items = *told.accounting.lock().unwrap().items(Signal::Traces);
    assert_eq!(
        (items.quarantined, items.dropped_total(), items.stored),
        (0, 0, 70)
    );
    let mut files = std::fs::read_dir(keep.path().join("buffer")).unwrap();
    assert!(!files.any(|file| {
        let path = file.unwrap().path();
        path.extension().is_some_and(|e| e == "quarantine")
    }));
}

/// Headers are sent as configured.
#[tokio::test]
async fn headers_are_sent() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let mut config = config(&dir, Some(sink.url()));
    let endpoint = config.endpoint.as_mut().unwrap();
    endpoint.headers = vec![("Authorization".to_owned(), "Bearer abc".to_owned())];
    let running = Running::start(&env, config).await;
    let answer = running.client().await.post_spans(0..10).await;
    assert_eq!(answer.unwrap().status, 200);
    sink.wait_for_spans(10).await;
    let received = &sink.received()[0];
    assert_eq!(received.headers["authorization"], "Bearer abc");
    assert_eq!(received.headers["host"], sink.address.to_string());
    running.stop().await;
}

/// JSON on request: the same items, the same ranges, compressed, and halved where they are refused.
#[tokio::test]
async fn json_is_sent_on_request() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    sink.decide(|_, request| match span_ids(&request.body).contains(&7) {
        true => Reply::Refuse(400, "span 7 is cursed"),
        false => Reply::Take,
    });
    let mut config = config(&dir, Some(sink.url()));
    config.endpoint.as_mut().unwrap().protocol = Protocol::HttpJson;
    let running = Running::start(&env, config).await;
    let answer = running.client().await.post_spans(0..20).await;
    assert_eq!(answer.unwrap().status, 200);
    sink.wait_for_spans(19).await;
    let expect = (0..20).filter(|id| *id != 7).map(|id| (id, 1)).collect();
    assert_eq!(sink.taken(), expect);
    for request in sink.received() {
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.codec, CodecId::Zstd);
        assert_eq!(request.range.count as usize, span_ids(&request.body).len());
    }
    let whole = &sink.received()[0];
    assert_eq!(whole.body, common::spans(0..20), "through JSON and back");
    running.stop().await;
}

/// Oldest first, and not faster than `max_rate` but for one batch.
#[tokio::test]
async fn the_rate_is_kept_oldest_first() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let mut config = config(&dir, Some(sink.url()));
    config.compress.codec = Codec::None;
    config.batch.bytes = ByteSize(8 << 10);
    config.send.inflight = Some(1);
    config.send.max_rate = Some(BitRate(8 * 100_000));
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    for first in (0..1000).step_by(20) {
        assert_eq!(
            client.post_spans(first..first + 20).await.unwrap().status,
            200
        );
    }
    let start = tokio::time::Instant::now();
    sink.listen().await;
    sink.wait_for_spans(1000).await;
    let seconds = start.elapsed().as_secs_f64();
    let received = sink.received();
    let bytes: usize = received.iter().map(|r| r.body.len()).sum();
    let largest = received.iter().map(|r| r.body.len()).max().unwrap();
    assert!(
        (bytes - largest) as f64 <= 100_000.0 * seconds,
        "{bytes} bytes in {seconds} s"
    );
    let order: Vec<u64> = received.iter().map(|r| r.range.first).collect();
    assert!(order.is_sorted(), "{order:?}");
    running.stop().await;
}
