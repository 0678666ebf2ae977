//! A batch of 5,000 items with one that the receiver refuses: what it costs to find it.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use backroom_collector::{
    config::{ByteSize, Protocol},
    otlp::Signal,
};
use common::{Reply, Running, Sink, buffer, config, env, span_ids};

const ITEMS: u32 = 5000;

/// The whole batch, and two halves at each step down to the item.
const REQUESTS_MAX: usize = 2 * ITEMS.next_power_of_two().ilog2() as usize + 1;

async fn check(protocol: Protocol, culprit: u32) {
    let env = env();
    let (keep, dir) = buffer();
    let sink = match protocol {
        Protocol::Grpc => Sink::open_grpc(&env).await,
        _ => Sink::open(&env).await,
    };
    let invalid = if protocol == Protocol::Grpc { 3 } else { 400 };
    sink.decide(
        move |_, request| match span_ids(&request.body).contains(&culprit) {
            true => Reply::Refuse(invalid, "this span is cursed"),
            false => Reply::Take,
        },
    );
    let mut config = config(&dir, Some(sink.url()));
    config.batch.bytes = ByteSize(8 << 20);
    config.endpoint.as_mut().unwrap().protocol = protocol;
    let running = Running::start(&env, config).await;
    let answer = running.client().await.post_spans(0..ITEMS).await;
    assert_eq!(answer.unwrap().status, 200);
    let told = &running.told;
    told.wait("all judged", |told| told.stored() == 0).await;
    let items = *told.accounting.lock().unwrap().items(Signal::Traces);
    let rest = u64::from(ITEMS - 1);
    assert_eq!((items.delivered, items.quarantined), (rest, 1));
    assert_eq!(items.dropped_total(), 0);
    let expect = (0..ITEMS).filter(|id| *id != culprit).map(|id| (id, 1));
    assert_eq!(sink.taken(), expect.collect());
    let requests = sink.received().len();
    assert!(
        requests <= REQUESTS_MAX,
        "{protocol:?} {culprit}: {requests}"
    );
    running.stop().await;
    let files = std::fs::read_dir(keep.path().join("buffer")).unwrap();
    let words = b"this span is cursed";
    let has_words = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "quarantine"))
        .any(|path| {
            let data = std::fs::read(path).unwrap();
            data.windows(words.len()).any(|part| part == words)
        });
    assert!(has_words, "the server's words stand beside the item");
}

#[tokio::test]
async fn one_of_five_thousand_costs_a_logarithm() {
    assert_eq!(REQUESTS_MAX, 27);
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        for culprit in [0, 2500, 3333, ITEMS - 1] {
            check(protocol, culprit).await;
        }
    }
}
