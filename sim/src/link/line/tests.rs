//! A line against what it promises: conservation, order per flow, capacity, priority, shares, cuts, throughput.

use std::time::Duration;

use backroom_collector::config::{BitRate, ByteSize};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{
    dist::Dist,
    link::Trace,
    scenario::{Loss, QueueSpec},
};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// 1 Mbit/s: 125 bytes take a millisecond.
fn spec(discipline: Discipline) -> Direction {
    Direction {
        capacity: Capacity::Constant(BitRate(1_000_000)),
        delay: Dist::Const(0.01),
        loss: Loss::Bernoulli(0.0),
        queue: QueueSpec {
            bytes: ByteSize(100_000),
            discipline,
        },
        shares: vec![],
    }
}

fn line<P>(spec: Direction) -> Link<P> {
    Link::new(spec, vec![ChaCha8Rng::seed_from_u64(1)])
}

/// Class and priority are the same number; each is its own flow.
fn packet<P>(bytes: u32, priority: u8, payload: P) -> Packet<P> {
    Packet {
        bytes,
        priority,
        class: priority,
        flow: u64::from(priority),
        payload,
    }
}

/// Plays offers at their times, polling at each deadline; returns `(payload, arrival)` in the order told, what was lost and
/// what was refused.
struct Played {
    arrived: Vec<(usize, Duration)>,
    lost: Vec<usize>,
    refused: Vec<usize>,
}

fn play(link: &mut Link<usize>, offers: &[(Duration, Packet<usize>)]) -> Played {
    let mut out = Played {
        arrived: vec![],
        lost: vec![],
        refused: vec![],
    };
    let catch_up = |link: &mut Link<usize>, until: Duration, out: &mut Played| {
        while let Some(at) = link.deadline()
            && at <= until
        {
            while let Some((at, payload)) = link.poll(at) {
                out.arrived.push((payload, at));
            }
        }
    };
    for (now, packet) in offers {
        catch_up(link, *now, &mut out);
        match link.offer(*now, packet.clone()) {
            Offer::Arrives { at, payload } => out.arrived.push((payload, at)),
            Offer::Queued => {}
            Offer::Lost { payload } => out.lost.push(payload),
            Offer::Full { payload } | Offer::Down { payload } => out.refused.push(payload),
        }
    }
    catch_up(link, Duration::MAX, &mut out);
    out
}

#[test]
fn an_idle_line_answers_at_once() {
    let mut link = line(spec(Discipline::Priority));
    let answer = link.offer(ms(5), packet(125, 3, "a"));
    assert_eq!(
        answer,
        Offer::Arrives {
            at: ms(16),
            payload: "a"
        }
    );
    assert_eq!(link.deadline(), None);
}

#[test]
fn a_fifo_line_answers_at_once_until_it_is_far_behind() {
    let mut link = line(spec(Discipline::Fifo));
    for n in 1..=51 {
        let answer = link.offer(ms(0), packet(125, 3, "a"));
        assert_eq!(
            answer,
            Offer::Arrives {
                at: ms(n + 10),
                payload: "a"
            }
        );
    }
    assert_eq!(link.queued_bytes(ms(0)), 50 * 125);
    assert_eq!(link.offer(ms(0), packet(125, 0, "late")), Offer::Queued);
    assert_eq!(link.deadline(), Some(ms(51)));
    assert_eq!(link.poll(ms(51)), Some((ms(62), "late")));
}

#[test]
fn the_lowest_priority_number_goes_next() {
    let mut link = line(spec(Discipline::Priority));
    link.offer(ms(0), packet(1250, 3, "on the line"));
    for (at, priority, name) in [(1, 3, "c"), (2, 1, "b"), (3, 0, "a"), (4, 1, "b2")] {
        assert_eq!(
            link.offer(ms(at), packet(125, priority, name)),
            Offer::Queued
        );
    }
    assert_eq!(link.deadline(), Some(ms(10)), "not preemptive");
    // Polled late, and at once after a packet that came too late to go first.
    assert_eq!(
        link.offer(ms(13), packet(125, 0, "too late")),
        Offer::Queued
    );
    let mut told = vec![];
    while let Some(at) = link.deadline() {
        told.extend(std::iter::from_fn(|| link.poll(at.max(ms(13)))));
    }
    let expect = [
        ("a", 21),
        ("b", 22),
        ("b2", 23),
        ("c", 24),
        ("too late", 25),
    ];
    assert_eq!(told, expect.map(|(name, at)| (ms(at), name)));
}

#[test]
fn a_full_queue_refuses_and_an_idle_line_never_does() {
    let mut link = line(spec(Discipline::Priority));
    assert!(matches!(
        link.offer(ms(0), packet(200_000, 0, ())),
        Offer::Arrives { .. }
    ));
    assert_eq!(link.offer(ms(0), packet(100_000, 0, ())), Offer::Queued);
    assert_eq!(
        link.offer(ms(0), packet(1, 0, ())),
        Offer::Full { payload: () }
    );
    assert_eq!(
        link.counters()[0].full,
        Tally {
            packets: 1,
            bytes: 1
        }
    );
}

/// A class with a quarter of the line gets a quarter of it, also where nobody else wants the rest.
#[test]
fn a_share_bounds_a_class() {
    for discipline in [Discipline::Fifo, Discipline::Priority] {
        let mut link = line(Direction {
            shares: vec![1.0, 0.25],
            ..spec(discipline)
        });
        let offers: Vec<_> = (0..100).map(|n| (ms(0), packet(125, 1, n))).collect();
        let played = play(&mut link, &offers);
        assert_eq!(played.arrived.len(), 100);
        assert_eq!(played.arrived[99].1, ms(99 * 4 + 1 + 10), "{discipline:?}");
        // And the others have the rest.
        let mut link = line(Direction {
            shares: vec![1.0, 0.25],
            ..spec(discipline)
        });
        let offers: Vec<_> = (0..100)
            .map(|n| (ms(0), packet(125, (n % 2) as u8, n)))
            .collect();
        let played = play(&mut link, &offers);
        let last = |class| {
            played
                .arrived
                .iter()
                .filter(|(n, _)| n % 2 == class)
                .map(|(_, at)| *at)
                .max()
        };
        assert!(last(0) <= Some(ms(80)), "{discipline:?}: {:?}", last(0));
    }
}

/// What was on the line arrives, what waited is handed back, and nothing is taken while it is down.
#[test]
fn a_cut_hands_back_what_waits() {
    let mut link = line(spec(Discipline::Priority));
    assert!(matches!(
        link.offer(ms(0), packet(1250, 3, "on the line")),
        Offer::Arrives { .. }
    ));
    link.offer(ms(1), packet(1250, 3, "second"));
    link.offer(ms(2), packet(125, 3, "waits"));
    link.set_up(ms(12), false);
    assert_eq!(
        link.offer(ms(13), packet(125, 0, "no")),
        Offer::Down { payload: "no" }
    );
    assert_eq!(link.deadline(), Some(ms(10)));
    assert_eq!(link.poll(ms(13)), Some((ms(30), "second")));
    assert_eq!(link.deadline(), None);
    let drained: Vec<_> = link.drain().into_iter().map(|p| p.payload).collect();
    assert_eq!(drained, ["waits"]);
    link.set_up(ms(100), true);
    let answer = link.offer(ms(100), packet(125, 0, "again"));
    assert_eq!(
        answer,
        Offer::Arrives {
            at: ms(111),
            payload: "again"
        }
    );
}

/// A line without capacity keeps what it is given and goes on when it heals.
#[test]
fn a_degraded_line_heals() {
    let mut link = line(spec(Discipline::Fifo));
    let slow = Degrade {
        rate: Some(BitRate(100_000)),
        delay: Some(Dist::Const(0.5)),
        loss: None,
        ..Degrade::default()
    };
    link.degrade(ms(0), Some(slow));
    let answer = link.offer(ms(0), packet(125, 0, "slow"));
    assert_eq!(
        answer,
        Offer::Arrives {
            at: ms(510),
            payload: "slow"
        }
    );
    let dead = Degrade {
        rate: Some(BitRate(0)),
        ..Degrade::default()
    };
    link.degrade(ms(20), Some(dead));
    assert_eq!(link.offer(ms(30), packet(125, 1, "waits")), Offer::Queued);
    assert_eq!(link.deadline(), None);
    link.degrade(ms(40), None);
    assert_eq!(link.deadline(), Some(ms(40)));
    assert_eq!(link.poll(ms(40)), Some((ms(51), "waits")));
}

/// A lost packet uses the line: the next one waits for it.
#[test]
fn a_lost_packet_uses_the_line() {
    let mut link = line(Direction {
        loss: Loss::Bernoulli(1.0),
        ..spec(Discipline::Fifo)
    });
    assert_eq!(
        link.offer(ms(0), packet(1250, 0, ())),
        Offer::Lost { payload: () }
    );
    link.degrade(
        ms(0),
        Some(Degrade {
            loss: Some(Loss::Bernoulli(0.0)),
            ..Degrade::default()
        }),
    );
    let answer = link.offer(ms(0), packet(125, 0, ()));
    assert_eq!(
        answer,
        Offer::Arrives {
            at: ms(21),
            payload: ()
        }
    );
}

#[test]
fn the_flow_table_stays_small() {
    let mut link = line(spec(Discipline::Fifo));
    for n in 0..200_000 {
        let packet = Packet {
            bytes: 125,
            priority: 0,
            class: 0,
            flow: n,
            payload: (),
        };
        assert!(matches!(link.offer(ms(n), packet), Offer::Arrives { .. }));
    }
    assert!(link.flows.len() <= FLOWS_MIN, "{} flows", link.flows.len());
}

/// A line that always has work carries its capacity: constant and recorded, within the last packet.
#[test]
fn a_busy_line_carries_its_capacity() {
    let trace = Trace::new(
        [
            (300_000_000, 2e6),
            (500_000_000, 0.0),
            (1_000_000_000, 0.8e6),
        ],
        true,
    );
    let trace = Capacity::Trace(std::sync::Arc::new(trace.expect("carries bits")));
    for capacity in [Capacity::Constant(BitRate(1_000_000)), trace] {
        for discipline in [Discipline::Fifo, Discipline::Priority] {
            let spec = Direction {
                capacity: capacity.clone(),
                ..spec(discipline)
            };
            let mut link = line(spec);
            // 20 % more than it can carry, for 100 s.
            let offers: Vec<_> = (0..10_000)
                .map(|n| (ms(10 * n), packet(1500, (n % 4) as u8, n as usize)))
                .collect();
            let played = play(&mut link, &offers);
            // From 10 s on there is always a queue, also in the recording's best moments.
            let window = ms(10_000)..ms(100_000);
            let carried = played
                .arrived
                .iter()
                .filter(|(_, at)| window.contains(at))
                .count();
            let mean = carried as f64 * 1500.0 * 8.0 / 90.0;
            assert!(
                (mean / 1e6 - 1.0).abs() < 3e-4,
                "{discipline:?} {capacity:?}: {mean} bit/s"
            );
            assert!(!played.refused.is_empty());
        }
    }
}

fn loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        Just(Loss::Bernoulli(0.0)),
        (0.0..0.5).prop_map(Loss::Bernoulli),
        (0.0..0.5, 0.1..1.0, 0.0..1.0).prop_map(|(enter, leave, loss)| Loss::Gilbert {
            enter,
            leave,
            loss
        }),
    ]
}

fn capacity() -> impl Strategy<Value = Capacity> {
    let steps = prop::collection::vec((1u64..50_000_000, 0.0..3e6), 1..8);
    prop_oneof![
        (10_000u64..5_000_000).prop_map(|rate| Capacity::Constant(BitRate(rate))),
        steps.prop_map(|steps| {
            let mut end = 0;
            let steps = steps.into_iter().map(|(length, rate)| {
                end += length;
                // Every third step or so is silent.
                (end, if rate < 1e6 { 0.0 } else { rate })
            });
            let steps: Vec<_> = steps.chain([(600_000_000, 1e6)]).collect();
            Capacity::Trace(std::sync::Arc::new(
                Trace::new(steps, true).expect("carries bits"),
            ))
        }),
    ]
}

fn directions() -> impl Strategy<Value = Direction> {
    let discipline = prop_oneof![Just(Discipline::Fifo), Just(Discipline::Priority)];
    let shares = prop_oneof![Just(vec![]), Just(vec![1.0, 0.5, 0.9, 0.1])];
    (capacity(), loss(), discipline, 2_000u64..50_000, shares).prop_map(
        |(capacity, loss, discipline, bytes, shares)| Direction {
            capacity,
            delay: Dist::LogNormal {
                p50: 0.017,
                p99: 0.2,
            },
            loss,
            queue: QueueSpec {
                bytes: ByteSize(bytes),
                discipline,
            },
            shares,
        },
    )
}

/// Offers with growing times; class, priority and flow agree.
fn offers() -> impl Strategy<Value = Vec<(Duration, Packet<usize>)>> {
    prop::collection::vec((0u64..20_000, 40u32..1500, 0u8..4, 0u64..3), 1..200).prop_map(|all| {
        let mut now = Duration::ZERO;
        let offers = all
            .into_iter()
            .enumerate()
            .map(|(payload, (after, bytes, class, flow))| {
                now += Duration::from_micros(after);
                let flow = u64::from(class) * 10 + flow;
                (
                    now,
                    Packet {
                        bytes,
                        priority: class,
                        class,
                        flow,
                        payload,
                    },
                )
            });
        offers.collect()
    })
}

proptest! {
    /// Every packet is told exactly once, the counters add up, flows keep their order, and nobody is early.
    #[test]
    fn every_packet_is_accounted_for_and_flows_keep_their_order(spec in directions(), offers in offers()) {
        let mut link = line(spec.clone());
        let played = play(&mut link, &offers);
        let mut seen: Vec<usize> = played.arrived.iter().map(|(n, _)| *n).collect();
        seen.extend(played.lost.iter().chain(&played.refused));
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..offers.len()).collect::<Vec<_>>());

        let sum = |which: fn(&Counters) -> Tally| {
            link.counters().iter().map(|c| which(c).packets).sum::<u64>() as usize
        };
        prop_assert_eq!(sum(|c| c.offered), offers.len());
        prop_assert_eq!(sum(|c| c.arrived), played.arrived.len());
        prop_assert_eq!(sum(|c| c.lost), played.lost.len());
        prop_assert_eq!(sum(|c| c.full), played.refused.len());

        let mut last = std::collections::BTreeMap::new();
        let mut by_offer = played.arrived.clone();
        by_offer.sort_unstable();
        for (n, at) in by_offer {
            let (offered, packet) = &offers[n];
            prop_assert!(at > *offered);
            let before = last.insert(packet.flow, at).unwrap_or_default();
            prop_assert!(at >= before, "packet {} of flow {} arrives at {:?}, after {:?}", n, packet.flow, at, before);
        }
    }

    /// Serialisation never overlaps: without delay, the bytes told up to any arrival fit into the time since the start.
    #[test]
    fn capacity_is_never_exceeded(spec in directions(), offers in offers()) {
        let spec = Direction { delay: Dist::Const(0.0), loss: Loss::Bernoulli(0.0), ..spec };
        let mut link = line(spec.clone());
        let played = play(&mut link, &offers);
        let mut arrived = played.arrived;
        arrived.sort_unstable_by_key(|(_, at)| *at);
        // Reference: each packet alone on the line, from the later of its offer and the one before it.
        let mut free = Duration::ZERO;
        for (n, at) in arrived {
            let (offered, packet) = &offers[n];
            let end = spec.capacity.finish(free.max(*offered), packet.bytes).expect("carries bits");
            prop_assert!(at + Duration::from_nanos(2) >= end, "packet {} arrives at {:?}, not before {:?}", n, at, end);
            free = at;
        }
    }

    /// Whoever overtakes has a lower number, or the other one's class has had its share.
    #[test]
    fn nobody_is_overtaken_by_a_less_urgent_packet(spec in directions(), offers in offers()) {
        let spec = Direction { delay: Dist::Const(0.0), shares: vec![], ..spec };
        let discipline = spec.queue.discipline;
        let mut link = line(spec);
        let mut arrived = play(&mut link, &offers).arrived;
        arrived.sort_by_key(|(_, at)| *at);
        for pair in arrived.windows(2) {
            let ((first, _), (second, _)) = (pair[0], pair[1]);
            if first > second {
                prop_assert_eq!(discipline, Discipline::Priority);
                prop_assert!(offers[first].1.priority < offers[second].1.priority);
            }
        }
    }

    /// A timer that fires late changes nothing.
    #[test]
    fn late_polls_change_nothing(spec in directions(), offers in offers()) {
        let spec = Direction { delay: Dist::Const(0.01), ..spec };
        let told = play(&mut line(spec.clone()), &offers).arrived;
        let mut late = line(spec);
        let mut out = Vec::new();
        for (now, packet) in &offers {
            if let Offer::Arrives { at, payload } = late.offer(*now, packet.clone()) {
                out.push((payload, at));
            }
        }
        while let Some((at, payload)) = late.poll(Duration::from_secs(1_000_000)) {
            out.push((payload, at));
        }
        out.sort_unstable();
        let mut told = told;
        told.sort_unstable();
        prop_assert_eq!(out, told);
    }
}

/// What others send changes nothing about which packets of a class are lost, nor about how long they travel.
#[test]
fn chance_is_drawn_by_class() {
    let fate = |others: u32| {
        let spec = Direction {
            loss: Loss::Gilbert {
                enter: 0.1,
                leave: 0.3,
                loss: 0.7,
            },
            delay: Dist::Uniform(0.01, 0.2),
            ..spec(Discipline::Fifo)
        };
        let streams = (0..3).map(ChaCha8Rng::seed_from_u64).collect();
        let mut link = Link::new(spec, streams);
        let mut seen = Vec::new();
        for second in 0..300 {
            let now = Duration::from_secs(second);
            // What another class sends first makes this one wait, so each packet has a flow, and its own time is what counts.
            for _ in 0..others {
                link.offer(now, packet(1, 1, 0));
                link.probe(now, 1);
            }
            let ours = Packet {
                flow: 100 + second,
                ..packet(125, 0, 1)
            };
            let queue = 0.000_008 * f64::from(others);
            seen.push(match link.offer(now, ours) {
                Offer::Arrives { at, .. } => {
                    let took = (at - now).as_secs_f64() - queue;
                    Some((took * 1e6).round() as u64)
                }
                Offer::Lost { .. } => None,
                other => panic!("{other:?}"),
            });
        }
        seen
    };
    let alone = fate(0);
    assert!(alone.contains(&None));
    assert_eq!(alone, fate(3));
}
