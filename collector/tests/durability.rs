//! The real binary and `kill -9`: what was acknowledged comes out, whenever it dies.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::collections::BTreeSet;

use common::{Client, Process, Sink, buffer, env};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Scenario: the receiver is down; spans come in over four connections; the collector is killed at seeded points under load,
/// again and again, and started again; then the receiver comes up.
/// Guarantees: every acknowledged span arrives (C1, C2); a repeat is the same batch (C11).
#[tokio::test]
async fn acknowledged_spans_survive_kill_9() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let mut rng = ChaCha8Rng::seed_from_u64(2026);
    let mut next = 0;
    let mut acked = BTreeSet::new();
    for _ in 0..6 {
        let mut process = Process::start(&dir, &sink.url());
        let address = process.address;
        // Kill after so many acks, while other requests are under way.
        let kill_after = rng.random_range(3..40_usize);
        let (tell, mut acks) = tokio::sync::mpsc::unbounded_channel();
        let mut senders = Vec::new();
        for lane in 0..4_u32 {
            let first = next + lane * 100_000;
            let tell = tell.clone();
            senders.push(backroom_collector::env::Env::spawn(&env, async move {
                let mut client = Client::connect(address).await;
                for request in 0..1000 {
                    let ids = first + request * 20..first + (request + 1) * 20;
                    match client.post_spans(ids.clone()).await {
                        Some(answer) if answer.status == 200 => tell.send(ids).unwrap_or(()),
                        _ => return,
                    }
                }
            }));
        }
        drop(tell);
        next += 400_000;
        for _ in 0..kill_after {
            acked.extend(acks.recv().await.expect("requests are acknowledged"));
        }
        process.kill();
        for sender in senders {
            sender.await;
        }
        // Acks that were under way when it died count too.
        while let Some(ids) = acks.recv().await {
            acked.extend(ids);
        }
    }
    assert!(acked.len() > 1000, "{} acknowledged", acked.len());

    sink.listen().await;
    let mut process = Process::start(&dir, &sink.url());
    let all = |all: &[common::Received]| {
        let taken: BTreeSet<u32> = all
            .iter()
            .flat_map(|received| common::span_ids(&received.body))
            .collect();
        acked.is_subset(&taken)
    };
    sink.wait("every acknowledged span", all).await;
    assert_eq!(process.terminate(), Some(0), "SIGTERM is no error");

    let mut batches = std::collections::BTreeMap::new();
    for received in sink.received() {
        let before = batches.insert(received.range, received.body.clone());
        assert!(
            before.is_none_or(|before| before == received.body),
            "{} changed",
            received.range
        );
    }
}

/// Scenario: killed right after deliveries.
/// Guarantees: delivered batches are noted; a repeat is possible only for what was under way, with the same range.
#[tokio::test]
async fn delivered_batches_are_not_sent_again() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    for round in 0..3 {
        let mut process = Process::start(&dir, &sink.url());
        let mut client = Client::connect(process.address).await;
        let answer = client.post_spans(round * 100..(round + 1) * 100).await;
        assert_eq!(answer.unwrap().status, 200);
        sink.wait_for_spans((round as usize + 1) * 100).await;
        // A later ack comes after the note of the delivery: both go through the same journal.
        assert_eq!(process.terminate(), Some(0));
    }
    assert!(sink.taken().values().all(|count| *count == 1));
}

/// A second start names what it found; nothing is lost by stopping in order.
#[tokio::test]
async fn a_stop_keeps_what_is_stored() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let mut process = Process::start(&dir, &sink.url());
    let mut client = Client::connect(process.address).await;
    assert_eq!(client.post_spans(0..50).await.unwrap().status, 200);
    assert_eq!(process.terminate(), Some(0));
    sink.listen().await;
    let process = Process::start(&dir, &sink.url());
    assert!(
        process.start_line.contains("50 items waiting"),
        "{}",
        process.start_line
    );
    sink.wait_for_spans(50).await;
}
