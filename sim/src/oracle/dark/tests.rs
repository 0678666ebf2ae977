//! T3, T3b and T13 against lines on paper that are up and down as their plan says, or carry something else.

use backroom_collector::config::ByteSize;
use backroom_reports::{Oracle as Judged, Verdict};

use super::*;
use crate::{
    event::DropReason,
    metric::{
        LinkBytes, SeedLog,
        fixture::{Log, made, measure, received, s, scenario},
    },
    oracle::judge::{OracleSample, judge},
    scenario::{
        expr::{Measure, MetricRef},
        occur::Plan,
    },
};

fn plan(up: f64, down: f64) -> Plan {
    let exp = |mean| Dist::Exp { mean };
    Plan {
        begins: Begins::Random(exp(up)),
        lasts: Length::Random(exp(down)),
        every: None,
        times: None,
    }
}

/// 6 kB/s behind a line of 24 kB/s that is up for 20 minutes and down for 10, both on average; two days.
fn dips() -> Scenario {
    let mut scenario = scenario();
    scenario.failover = None;
    scenario.duration = s(2.0 * 86_400.0);
    scenario.collector.send.max_rate = Some(backroom_collector::config::BitRate(192_000));
    scenario.collector.buffer.disk = ByteSize(1 << 40);
    let fault = &mut scenario.faults[0];
    (fault.id, fault.plan) = ("dips".into(), Some(plan(1200.0, 600.0)));
    fault.windows.clear();
    scenario
}

fn oracle(model: &str, observe: Measure, tolerance: f64) -> Oracle {
    Oracle {
        id: "form".into(),
        model: model.into(),
        fault: "dips".into(),
        observe,
        observe_text: "what the test asks for".into(),
        tolerance,
        line: 1,
    }
}

fn backlog() -> Oracle {
    let mean = measure(Function::Mean, "telemetry.backlog", &[]);
    oracle("onoff_infinite_buffer", mean, 0.05)
}

fn lost() -> Oracle {
    let of = MetricRef {
        name: "telemetry.generated".into(),
        filters: Vec::new(),
    };
    let ratio = Measure {
        of: Some(of),
        ..measure(Function::Ratio, "telemetry.dropped", &[])
    };
    oracle("onoff_finite_buffer", ratio, 0.10)
}

/// One item of 30,000 bytes every 5 s; the oldest leaves at `rate` bytes a second while the line is up, and comes again from its start
/// after a cut; what finds more than `room` items waiting is dropped.
fn store(scenario: &Scenario, rate: f64, room: usize) -> Log {
    const BYTES: u32 = 30_000;
    let cuts: Vec<(f64, f64)> = scenario.faults[0]
        .windows
        .iter()
        .map(|w| (w.start.as_secs_f64(), w.end.expect("ends").as_secs_f64()))
        .collect();
    let send = f64::from(BYTES) / rate;
    // When a batch that may start at `at` has gone through.
    let through = |mut at: f64| {
        for (from, to) in &cuts[cuts.partition_point(|(_, to)| *to <= at)..] {
            if at + send <= *from {
                break;
            }
            if at < *to {
                at = *to;
            }
        }
        at + send
    };
    let mut line = LinkBytes::new("uplink", true, 2);
    let mut log = Log::default();
    let mut waiting = std::collections::VecDeque::new();
    let (mut free, mut sealed, mut item) = (0.0f64, 0.0, 0);
    let put = |log: &mut Log, at: f64, event: Event| {
        log.events.push(crate::event::Stamped { at: s(at), event });
    };
    while sealed < scenario.duration.as_secs_f64() {
        sealed += 5.0;
        while let Some((item, done)) = waiting.pop_front_if(|(_, done)| *done <= sealed) {
            line.carry(s(done), BYTES);
            put(
                &mut log,
                done,
                Event::ExportReceived {
                    wire_bytes: BYTES,
                    raw_bytes: BYTES,
                },
            );
            put(&mut log, done, received(0, item, 1));
            let left = waiting.len() as u64;
            put(
                &mut log,
                done,
                Event::Backlog {
                    bytes: left * u64::from(BYTES),
                    items: left,
                },
            );
        }
        put(&mut log, sealed, made(0, item, 1));
        if waiting.len() >= room {
            let reason = DropReason::BufferFull;
            put(
                &mut log,
                sealed,
                Event::TelemetryDropped { items: 1, reason },
            );
        } else {
            free = through(free.max(sealed));
            waiting.push_back((item, free));
            let all = waiting.len() as u64;
            put(
                &mut log,
                sealed,
                Event::Backlog {
                    bytes: all * u64::from(BYTES),
                    items: all,
                },
            );
        }
        item += 1;
    }
    log.links.push(line);
    log
}

fn judged(
    played: &Scenario,
    declared: &Scenario,
    oracle: &Oracle,
    rate: f64,
    room: usize,
) -> Judged {
    judged_of(&[1, 2], played, declared, oracle, rate, room)
}

fn judged_of(
    seeds: &[u64],
    played: &Scenario,
    declared: &Scenario,
    oracle: &Oracle,
    rate: f64,
    room: usize,
) -> Judged {
    let samples: Vec<_> = seeds
        .iter()
        .map(|&seed| {
            let mut log = store(&played.of_seed(seed), rate, room);
            let scenario = declared.of_seed(seed);
            let log = SeedLog {
                seed,
                ..log.log(&scenario)
            };
            (seed, OracleSample::of(&log, oracle))
        })
        .collect();
    judge(declared, oracle, &samples)
}

/// Guarantees: what waits behind a line that keeps its rate agrees within a twentieth; a line of 80 % of what is declared does not, and nor
/// do outages of another length.
#[test]
fn what_waits_behind_a_line_at_random_is_the_forms() {
    let scenario = dips();
    let out = judged(&scenario, &scenario, &backlog(), 24_000.0, usize::MAX);
    assert_eq!(out.verdict, Verdict::Pass, "{out:#?}");
    let value = |name: &str| {
        let found = out.inputs.iter().find(|input| input.name == name);
        found.expect("is told").value
    };
    assert!((value("a") - 6000.0).abs() < 60.0, "{out:#?}");
    assert!(
        (value("fluid over closed form") - 1.0).abs() < 0.05,
        "{out:#?}"
    );
    assert!(value("outages") > 70.0, "{out:#?}");

    let slow = judged(&scenario, &scenario, &backlog(), 0.8 * 24_000.0, usize::MAX);
    assert_eq!(slow.verdict, Verdict::Fail, "{slow:#?}");
    assert!(slow.deviation.is_some_and(|d| d > 0.05), "{slow:#?}");
}

/// Guarantees: a buffer of two hundred items loses what the form says; where outages last half as long again as declared, it is found out.
#[test]
fn what_a_buffer_loses_is_the_forms() {
    let mut scenario = dips();
    scenario.collector.buffer.disk = ByteSize(200 * 30_000);
    let out = judged(&scenario, &scenario, &lost(), 24_000.0, 200);
    assert_eq!(out.verdict, Verdict::Pass, "{out:#?}");
    let mut declared = scenario.clone();
    declared.faults[0].plan = Some(plan(1200.0, 400.0));
    // Of two seeds that are off by this much, and not equally, the interval is wide enough for any form.
    let longer = judged_of(&[1], &scenario, &declared, &lost(), 24_000.0, 200);
    assert_eq!(longer.verdict, Verdict::Fail, "{longer:#?}");
    assert!(longer.deviation.is_some_and(|d| d > 0.10), "{longer:#?}");
    // A buffer that is full with a quarter of its disk is not the file's.
    let small = judged(&scenario, &scenario, &lost(), 24_000.0, 50);
    assert_eq!(small.verdict, Verdict::Skipped, "{small:#?}");
    assert!(
        small.notes[0].contains("has no such overhead"),
        "{small:#?}"
    );
}

#[test]
fn lines_that_are_not_the_forms_are_refused() {
    let check = |oracle: &Oracle, change: fn(&mut Scenario), reason: &str| {
        let mut scenario = dips();
        change(&mut scenario);
        let settled = scenario.of_seed(1);
        let mut log = store(&settled, 24_000.0, usize::MAX);
        let sample = OracleSample::of(&log.log(&settled), oracle);
        assert_eq!(
            (sample.theory, sample.refusal.as_deref()),
            (None, Some(reason))
        );
    };
    let exponential = "`dips` is not up and down for exponential times (`mtbf` and `mttr`)";
    check(
        &backlog(),
        |s| {
            s.faults[0].plan.as_mut().expect("has one").lasts =
                Length::For(crate::metric::fixture::s(600.0))
        },
        exponential,
    );
    check(
        &backlog(),
        |s| s.collector.send.max_rate = Some(backroom_collector::config::BitRate(64_000)),
        "6000 B/s arrive and the line carries 5333 B/s on average",
    );
    check(
        &lost(),
        |_| {},
        "the buffer was full in 0 outages of this run, 3 are needed",
    );
    check(
        &Oracle {
            observe: measure(Function::Max, "telemetry.backlog", &[]),
            ..backlog()
        },
        |_| {},
        "the form tells mean(telemetry.backlog), not what the test asks for",
    );
    check(
        &oracle(
            "failover_downtime",
            measure(Function::Mean, "failover.dark", &[]),
            0.1,
        ),
        |_| {},
        "there is no backup line",
    );
}

/// Two lines at random for 60 days; the router goes over `takeover` seconds after the first one fails, and back at once.
fn two_lines() -> Scenario {
    let mut scenario = scenario();
    scenario.duration = s(60.0 * 86_400.0);
    scenario.warmup = Duration::ZERO;
    let failover = scenario.failover.as_mut().expect("has one");
    failover.stable_for = s(1.0);
    let first = &mut scenario.faults[0];
    (first.id, first.plan) = ("dips".into(), Some(plan(7200.0, 900.0)));
    first.windows.clear();
    let mut second = first.clone();
    (second.id, second.plan) = ("lte-dips".into(), Some(plan(3600.0, 600.0)));
    second.kind = FaultKind::LinkDown { link: "lte".into() };
    scenario.faults.push(second);
    scenario
}

/// Guarantees: a router that takes over in the time of its file (three probes of 2 s, 10 s to switch) agrees; one that takes four times as
/// long is found out.
#[test]
fn a_second_line_leaves_what_the_form_says() {
    let scenario = two_lines();
    let dark = oracle(
        "failover_downtime",
        measure(Function::Mean, "failover.dark", &[]),
        0.10,
    );
    let judged = |takeover: f64| {
        let samples: Vec<_> = (1..4)
            .map(|seed| {
                let settled = scenario.of_seed(seed);
                let mut log = Log::default();
                for window in &settled.faults[0].windows {
                    let (from, to) = (
                        window.start.as_secs_f64(),
                        window.end.expect("ends").as_secs_f64(),
                    );
                    if from + takeover < to {
                        log = log
                            .at(from + takeover, Event::Failover { backup: true })
                            .at(to, Event::Failover { backup: false });
                    }
                }
                let log = SeedLog {
                    seed,
                    ..log.log(&settled)
                };
                (seed, OracleSample::of(&log, &dark))
            })
            .collect();
        judge(&scenario, &dark, &samples)
    };
    let out = judged(16.0);
    assert_eq!(out.verdict, Verdict::Pass, "{out:#?}");
    let slow = judged(64.0);
    assert_eq!(slow.verdict, Verdict::Fail, "{slow:#?}");

    let mut alone = scenario.clone();
    alone.faults.pop();
    let settled = alone.of_seed(1);
    let sample = OracleSample::of(&Log::default().log(&settled), &dark);
    assert_eq!(
        sample.refusal.as_deref(),
        Some("no fault takes `lte` down at random")
    );
}
