//! The real binary and `kill -9`: what was acknowledged comes out, whenever it dies.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeSet, net::SocketAddr, ops::Range};

use backroom_collector::env::{Env as _, OsEnv};
use common::{Client, Process, Received, Reply, Sink, buffer, env};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Kills of the normal run; `BACKROOM_KILLS=N` makes it N.
const KILLS: usize = 20;

/// Kills between two drains: bounds what the receiver keeps in memory.
const KILLS_A_DRAIN: usize = 20;

/// What the receiver does until the next kill.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Up,
    /// 503 to everything.
    Busy,
    /// It takes what it gets, and one answer of three is lost.
    Lossy,
}

impl Weather {
    fn set(self, sink: &Sink) {
        match self {
            Self::Up => sink.decide(|_, _| Reply::Take),
            Self::Busy => sink.decide(|_, _| {
                let head = "503 Busy\r\ncontent-type: application/x-protobuf".to_owned();
                Reply::Raw(head, Vec::new())
            }),
            Self::Lossy => sink.decide(|index, _| match index % 3 {
                0 => Reply::TakeAndCut,
                _ => Reply::Take,
            }),
        }
    }
}

/// Scenario: spans come in over four connections; the collector is killed at seeded points under load, again and again, and
/// started again on what it left; the receiver is closed at first, then up, busy or loses answers, as the seed says.
/// Guarantees: every acknowledged span arrives (C1, C2); a repeat is the same batch (C11); no start fails.
#[tokio::test]
async fn acknowledged_spans_survive_kill_9() {
    let kills = std::env::var("BACKROOM_KILLS");
    let kills = kills.map_or(KILLS, |n| n.parse().expect("BACKROOM_KILLS is a number"));
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let mut rng = ChaCha8Rng::seed_from_u64(2026);
    let mut next = 0;
    let mut total = 0;
    let mut acked = BTreeSet::new();
    for kill in 1..=kills {
        if kill == 3 {
            sink.listen().await;
        }
        let weather = [Weather::Up, Weather::Busy, Weather::Lossy][rng.random_range(0..3)];
        weather.set(&sink);
        let mut process = Process::start(&dir, &sink.url());
        // Kill after so many acks, while other requests are under way.
        let kill_after = rng.random_range(1..40_usize);
        let mut acks = load(&env, process.address, next);
        next += LANES * LANE_IDS;
        for _ in 0..kill_after {
            acked.extend(acks.recv().await.expect("requests are acknowledged"));
        }
        process.kill();
        // Acks that were under way when it died count too; the lanes end with their connections.
        while let Some(ids) = acks.recv().await {
            acked.extend(ids);
        }
        if kill % KILLS_A_DRAIN == 0 || kill == kills {
            if kill < 3 {
                sink.listen().await;
            }
            Weather::Up.set(&sink);
            let mut process = Process::start(&dir, &sink.url());
            total += acked.len();
            sink.wait("every acknowledged span", |all| has_all(all, &acked))
                .await;
            assert_eq!(process.terminate(), Some(0), "SIGTERM is no error");
            check_repeats(&sink.take_received());
            acked.clear();
        }
    }
    assert!(total > kills * 100, "{total} acknowledged");
}

/// Connections that offer spans at once.
const LANES: u32 = 4;

/// Numbers that each of them has.
const LANE_IDS: u32 = 4000;

/// Spans over four connections, each until it breaks; gives what is acknowledged.
fn load(
    env: &OsEnv,
    address: SocketAddr,
    first: u32,
) -> tokio::sync::mpsc::UnboundedReceiver<Range<u32>> {
    let (tell, acks) = tokio::sync::mpsc::unbounded_channel();
    for lane in 0..LANES {
        let first = first + lane * LANE_IDS;
        let tell = tell.clone();
        drop(env.spawn(async move {
            let mut client = Client::connect(address).await;
            for request in 0..LANE_IDS / 20 {
                let ids = first + request * 20..first + (request + 1) * 20;
                match client.post_spans(ids.clone()).await {
                    Some(answer) if answer.status == 200 => tell.send(ids).unwrap_or(()),
                    _ => return,
                }
            }
        }));
    }
    acks
}

/// Whether the receiver took all these spans.
fn has_all(received: &[Received], acked: &BTreeSet<u32>) -> bool {
    let taken = received.iter().filter(|received| received.was_taken);
    let items: u64 = taken.clone().map(|received| received.range.count).sum();
    if items < acked.len() as u64 {
        return false;
    }
    let taken: BTreeSet<u32> = taken
        .flat_map(|received| common::span_ids(&received.body))
        .collect();
    acked.is_subset(&taken)
}

/// The same range is the same batch, and ranges do not overlap but for parts of a batch: what was sent in parts before a kill
/// comes whole after it, or in other parts.
fn check_repeats(received: &[Received]) {
    let mut batches = std::collections::BTreeMap::new();
    for received in received {
        let before = batches.insert(received.range, &received.body);
        assert!(
            before.is_none_or(|before| *before == received.body),
            "{} changed",
            received.range
        );
    }
    let ranges: Vec<_> = batches.keys().collect();
    for pair in ranges.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        let same = (one.store, one.boot, one.class) == (next.store, next.boot, next.class);
        let is_part = one.contains(next) || next.contains(one);
        assert!(
            !same || one.end() <= next.first || is_part,
            "{one} and {next} overlap"
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
