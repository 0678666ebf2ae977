//! Many stores and one head office that comes back: the collector's own decisions (`core::destination`, `core::pacing`), 500 of them in
//! one event loop, without sockets and disks. An hour of outage takes milliseconds.

#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use backroom_collector::{
    config::Backoff,
    core::{
        Mono,
        backoff::Delays,
        destination::{Allowed, Attempt, Destination},
        lane::{Ask, Lane},
        pacing::Pacer,
    },
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STORES: usize = 500;

/// Between a store's batches.
const EVERY: Duration = Duration::from_secs(15);

/// Bytes of one on the wire.
const BATCH_BYTES: u64 = 16_000;

/// Half of it in each direction.
const ROUND_TRIP: Duration = Duration::from_millis(60);

/// Head office: when it is away, and what it does with what it has no time for.
#[derive(Clone, Copy, Debug)]
struct Office {
    away: (Duration, Duration),
    requests_per_second: f64,
    /// Requests that wait at most; beyond them it answers 503.
    queue_max: usize,
    retry_after: Option<Duration>,
}

struct Store {
    destination: Destination,
    pacer: Pacer,
    backlog: VecDeque<Mono>,
    under_way: Vec<Option<(Attempt, Mono)>>,
    /// When it looks again, so that one look is planned at a time.
    looks_at: Option<Mono>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Batch,
    Look,
    Arrives(usize),
    Answer(usize, Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Taken,
    Busy,
    /// Nobody is there.
    None,
}

/// What head office saw.
struct Seen {
    /// Requests that reached it, taken or not, in bins of 10 s.
    requests: Vec<u64>,
    /// The part that it took.
    taken: Vec<u64>,
    /// When the last store had nothing old any more.
    caught_up: Option<Duration>,
    /// Requests in all while it was busy or away, and all that were taken.
    refused: u64,
}

const BIN_SECONDS: u64 = 10;

/// Runs `stores` stores for `span`.
fn run(
    seed: u64,
    stores: usize,
    office: Office,
    backoff: Backoff,
    rate: Option<f64>,
    span: Duration,
) -> Seen {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut heap = BinaryHeap::new();
    let mut all: Vec<Store> = (0..stores)
        .map(|_| Store {
            destination: Destination::new(
                2,
                Delays::new(backoff, ChaCha8Rng::seed_from_u64(rng.random())),
            ),
            pacer: Pacer::new(rate),
            backlog: VecDeque::new(),
            under_way: Vec::new(),
            looks_at: None,
        })
        .collect();
    let mut number = 0_u64;
    let mut plan = |heap: &mut BinaryHeap<_>, at: Mono, store: usize, what: What| {
        number += 1;
        heap.push(Reverse((at, number, store, what)));
    };
    for store in 0..stores {
        let at = Mono(EVERY.mul_f64(rng.random::<f64>()));
        plan(&mut heap, at, store, What::Batch);
    }
    let bins = (span.as_secs() / BIN_SECONDS + 1) as usize;
    let mut seen = Seen {
        requests: vec![0; bins],
        taken: vec![0; bins],
        caught_up: None,
        refused: 0,
    };
    // When the office has worked off what it has taken.
    let mut free_at = Mono::default();
    while let Some(Reverse((now, _, index, what))) = heap.pop() {
        if now.0 > span {
            break;
        }
        let bin = (now.0.as_secs() / BIN_SECONDS) as usize;
        let is_away = office.away.0 <= now.0 && now.0 < office.away.1;
        let store = &mut all[index];
        match what {
            What::Batch => {
                store.backlog.push_back(now);
                plan(&mut heap, now.after(EVERY), index, What::Batch);
            }
            What::Look => store.looks_at = store.looks_at.filter(|at| *at > now),
            What::Arrives(request) => {
                let waiting =
                    (free_at.since(now).as_secs_f64() * office.requests_per_second) as usize;
                let (answer, at) = if is_away {
                    (Answer::None, now.after(Duration::from_secs(3)))
                } else {
                    seen.requests[bin] += 1;
                    if waiting >= office.queue_max {
                        seen.refused += 1;
                        (Answer::Busy, now)
                    } else {
                        seen.taken[bin] += 1;
                        let takes = Duration::from_secs_f64(1.0 / office.requests_per_second);
                        free_at = free_at.max(now).after(takes);
                        (Answer::Taken, free_at)
                    }
                };
                plan(
                    &mut heap,
                    at.after(ROUND_TRIP / 2),
                    index,
                    What::Answer(request, answer),
                );
            }
            What::Answer(request, answer) => {
                let (attempt, born) = store.under_way[request].take().expect("it is under way");
                match answer {
                    Answer::Taken => {
                        store.destination.succeeded(now, attempt);
                    }
                    Answer::Busy | Answer::None => {
                        let retry_after = office.retry_after.filter(|_| answer == Answer::Busy);
                        store.destination.failed(now, attempt, retry_after, false);
                        store.backlog.push_front(born);
                    }
                }
            }
        }
        while !store.backlog.is_empty() {
            let ready_at = store.pacer.ready_at(Lane::Backfill);
            let wait = match store.destination.allowed(now) {
                Allowed::Now(Ask::LiveOnly) | Allowed::AfterAnother => None,
                Allowed::At(at) => Some(at),
                Allowed::Now(_) if now < ready_at => Some(ready_at),
                Allowed::Now(_) => {
                    let attempt = store.destination.start(now, Lane::Backfill);
                    store.pacer.start(now, Lane::Backfill, BATCH_BYTES);
                    let born = store.backlog.pop_front().expect("there is one");
                    let request = match store.under_way.iter().position(Option::is_none) {
                        Some(free) => free,
                        None => {
                            store.under_way.push(None);
                            store.under_way.len() - 1
                        }
                    };
                    store.under_way[request] = Some((attempt, born));
                    plan(
                        &mut heap,
                        now.after(ROUND_TRIP / 2),
                        index,
                        What::Arrives(request),
                    );
                    continue;
                }
            };
            if let Some(at) = wait
                && store.looks_at.is_none_or(|planned| at < planned)
            {
                store.looks_at = Some(at);
                plan(&mut heap, at, index, What::Look);
            }
            break;
        }
        let is_over = seen.caught_up.is_none() && now.0 > office.away.1 && what == What::Batch;
        if is_over && all.iter().all(|store| store.backlog.len() <= 1) {
            seen.caught_up = Some(now.0 - office.away.1);
        }
    }
    seen
}

const FULL_JITTER: Backoff = Backoff::FullJitter {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(60),
};

const HOUR: Duration = Duration::from_secs(3600);

/// Requests in the fullest bin, and in a bin of the middle of the drain.
fn peak_and_steady(seen: &Seen, office: &Office) -> (u64, u64) {
    let back = (office.away.1.as_secs() / BIN_SECONDS) as usize;
    let bins = &seen.requests[back..];
    let caught_up = seen.caught_up.expect("it catches up").as_secs() / BIN_SECONDS;
    let mut middle: Vec<u64> = bins[caught_up as usize / 4..caught_up as usize * 3 / 4].to_vec();
    middle.sort_unstable();
    (
        bins.iter().max().copied().unwrap_or(0),
        middle[middle.len() / 2],
    )
}

/// 500 stores after an hour without head office: nobody but their own jitter and pace spreads them, and the fullest ten
/// seconds have 1.3 times the requests of the steady drain at most.
#[test]
fn a_head_office_that_comes_back_meets_no_herd() {
    for (name, requests_per_second, queue_max, retry_after) in [
        ("with time for all", 10_000.0, 10_000, None),
        ("that is slower than all together", 400.0, 10_000, None),
        ("that sheds load", 400.0, 800, Some(Duration::from_secs(20))),
    ] {
        for seed in 1..=5 {
            let office = Office {
                away: (HOUR, 2 * HOUR),
                requests_per_second,
                queue_max,
                retry_after,
            };
            // 32 kB/s: two requests a second from each store.
            let seen = run(seed, STORES, office, FULL_JITTER, Some(32_000.0), 3 * HOUR);
            let (peak, steady) = peak_and_steady(&seen, &office);
            let ratio = peak as f64 / steady as f64;
            println!(
                "office {name}, seed {seed}: steady {steady}, peak {peak} requests in 10 s ({ratio:.2}), {} refused, caught up after {:?}",
                seen.refused,
                seen.caught_up.unwrap()
            );
            assert!(
                ratio <= 1.3,
                "office {name}, seed {seed}: {peak} after {steady}"
            );
        }
    }
}

/// The checker sees a herd where there is one: all stores try at the same instants.
#[test]
fn without_jitter_there_is_a_herd() {
    let office = Office {
        away: (HOUR, 2 * HOUR),
        requests_per_second: 10_000.0,
        queue_max: 10_000,
        retry_after: None,
    };
    let backoff = Backoff::Exponential {
        base: Duration::from_secs(1),
        cap: Duration::from_secs(60),
    };
    let seen = run(1, STORES, office, backoff, None, 3 * HOUR);
    let (peak, steady) = peak_and_steady(&seen, &office);
    assert!(peak as f64 > 1.3 * steady as f64, "{peak} after {steady}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A few stores through outages of any length, with an office of any size: nobody is ever stuck, and what is repeated is bounded
    /// by what was taken.
    #[test]
    fn every_outage_ends(
        seed: u64,
        stores in 1..6_usize,
        away in (1..2000_u64, 1..20_000_u64),
        requests_per_second in 1..50_u32,
        // Fewer than the stores may have under way would turn each of them away for ever.
        queue_max in 12..40_usize,
        retry_after in prop::option::of(1..120_u64),
    ) {
        let away = (Duration::from_secs(away.0), Duration::from_secs(away.0 + away.1));
        let office = Office {
            away,
            requests_per_second: requests_per_second.into(),
            queue_max,
            retry_after: retry_after.map(Duration::from_secs),
        };
        let span = away.1 + 2 * (away.1 - away.0) + Duration::from_secs(3600);
        let seen = run(seed, stores, office, FULL_JITTER, None, span);
        prop_assert!(seen.caught_up.is_some(), "it is stuck");
        let taken: u64 = seen.taken.iter().sum();
        // One in ten, and ten for each store for every outage of its own making.
        prop_assert!(seen.refused <= taken / 5 + 40 * stores as u64, "{} refused, {taken} taken", seen.refused);
    }
}
