//! The small scenario on our engine and on classic turmoil: the same program sees the same.

use std::time::Duration;

use backroom_benches::{
    TICK, classic,
    exchange::{Answered, Exchange},
    ours::{self, Access},
};

/// Our own grain: tokio's timers fire at whole milliseconds.
const GRAIN: Duration = Duration::from_millis(1);

fn check(exchange: &Exchange) {
    let (ours, _) = ours::run(exchange, Access::Perfect);
    let classic = classic::run(exchange, TICK);
    let (a, b) = (ours.answered(), classic.answered());
    assert_eq!(a.len() as u64, exchange.total(), "ours answers all");
    let order = |all: &[Answered]| all.iter().map(|a| (a.host, a.number)).collect::<Vec<_>>();
    assert_eq!(
        order(&a),
        order(&b),
        "the same requests, in each machine's order"
    );
    for (a, b) in a.iter().zip(&b) {
        let near = |x: Duration, y: Duration, ways: u32, what: &str| {
            assert!(
                x.abs_diff(y) <= (TICK + GRAIN) * ways,
                "request {} of machine {} is {what} at {x:?} here and at {y:?} there",
                a.number,
                a.host
            );
        };
        near(a.asked, b.asked, 1, "sent");
        near(a.served, b.served, 2, "served");
        near(a.answered, b.answered, 3, "answered");
        // Each engine by itself: a message is never early, and late by its grain at most.
        for x in [a, b] {
            assert!(x.served >= x.asked + exchange.delay, "{x:?} is too early");
            assert!(
                x.answered >= x.served + exchange.delay,
                "{x:?} is too early"
            );
        }
    }
}

/// Scenario: twelve machines ask head office every ten seconds for a minute.
/// Guarantees: both engines answer the same requests in the same order, at the same times within their grains.
#[test]
fn both_engines_answer_the_same_requests_at_the_same_times() {
    for (seed, delay_ms) in [(1, 20), (2, 5), (3, 87)] {
        check(&Exchange {
            seed,
            delay: Duration::from_millis(delay_ms),
            requests: 6,
            ..Exchange::default()
        });
    }
}

/// Scenario: requests follow each other faster than the line's round trip, and are larger than a packet.
/// Guarantees: the same, where every request waits for the answer before it.
#[test]
fn both_engines_agree_on_requests_back_to_back() {
    let exchange = Exchange {
        seed: 4,
        hosts: 3,
        requests: 20,
        every: Duration::from_millis(30),
        request_bytes: 5_000,
        ..Exchange::default()
    };
    let (ours, _) = ours::run(&exchange, Access::Perfect);
    let classic = classic::run(&exchange, TICK);
    let order = |all: Vec<Answered>| all.iter().map(|a| (a.host, a.number)).collect::<Vec<_>>();
    assert_eq!(order(ours.answered()), order(classic.answered()));
}
