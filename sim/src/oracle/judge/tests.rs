//! T1 against a collector on paper that drains batch by batch, true to its rate or not.

use super::*;
use crate::{
    metric::{
        LinkBytes,
        fixture::{Log, measure, s, scenario, with},
    },
    scenario::expr::{Op, Value},
};

fn oracle() -> Oracle {
    Oracle {
        id: "fluid-recovery".into(),
        model: "fluid_recovery".into(),
        fault: "uplink-cut".into(),
        observe: with(
            measure(Function::Recovery, "telemetry.backlog", &[]),
            Op::Lt,
            Value::Bytes(262_144.0),
        ),
        observe_text: "recovery(telemetry.backlog, below=256KiB)".into(),
        tolerance: 0.08,
        line: 74,
    }
}

/// 6 kB/s of wire bytes in batches of 30 kB, one sealed every 5 s; each is 5 % larger on the wire than on disk. The line is dark from
/// 2100 s to 3000 s and the router goes back after 66 s; then batches leave at `rate` wire bytes a second.
fn store(rate: f64) -> Log {
    const WIRE: f64 = 30_000.0;
    let body = (WIRE / 1.05) as u32;
    let mut line = LinkBytes::new("uplink", true, 2);
    let mut log = Log::default();
    let (mut stored, mut sealed, mut free) = (0u64, 0.0, 0.0);
    let mut events = Vec::new();
    // Every batch leaves in order, as soon as it is sealed and the line carries it.
    while sealed < 5400.0 {
        sealed += 5.0;
        let dark = |at: f64| (2100.0..3066.0).contains(&at);
        let mut start = f64::max(sealed, free);
        if dark(start) || dark(start + WIRE / rate) {
            start = f64::max(start, 3066.0 - WIRE / rate);
        }
        free = start + WIRE / rate;
        events.push((sealed, i64::from(body)));
        events.push((free, -i64::from(body)));
        line.carry(s(free), WIRE as u32);
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (at, change) in events {
        stored = stored.saturating_add_signed(change);
        if change < 0 {
            log = log.at(
                at,
                Event::ExportReceived {
                    wire_bytes: body,
                    raw_bytes: 8 * body,
                },
            );
        }
        log = log.at(
            at,
            Event::Backlog {
                bytes: stored,
                items: 0,
            },
        );
    }
    log.links.push(line);
    log
}

fn judged(seeds: usize, mut log: Log, scenario: &Scenario) -> Judged {
    let sample = OracleSample::of(&log.log(scenario), &oracle());
    let samples: Vec<_> = (1..)
        .map(|seed| (seed, sample.clone()))
        .take(seeds)
        .collect();
    judge(scenario, &oracle(), &samples)
}

/// Guarantees: the form explains the run within a hundredth, where the file's tolerance is eight.
#[test]
fn a_collector_that_keeps_its_rate_agrees() {
    let scenario = scenario();
    let out = judged(1, store(32_000.0), &scenario);
    assert_eq!(out.verdict, Verdict::Pass, "{out:?}");
    assert!(out.deviation.is_some_and(|d| d.abs() < 0.01), "{out:?}");
    assert!(
        out.theory_declared
            .is_some_and(|t| (t - 207.7).abs() < 0.05),
        "{out:?}"
    );
    let value = |name: &str| {
        out.inputs
            .iter()
            .find(|i| i.name == name)
            .expect("is told")
            .value
    };
    assert!((value("a") - 6000.0).abs() < 30.0, "{out:?}");
    assert!((value("t0") - 66.0).abs() < 0.001, "{out:?}");
    assert!((value("wire over body") - 1.05).abs() < 0.001, "{out:?}");
    assert_eq!((value("c"), value("D")), (32_000.0, 900.0));
}

/// The oracle has teeth: a collector at 90 % of its declared rate fails, with one seed and with many.
#[test]
fn a_collector_that_is_a_tenth_slow_fails() {
    let scenario = scenario();
    for seeds in [1, 20] {
        let out = judged(seeds, store(28_800.0), &scenario);
        assert_eq!(out.verdict, Verdict::Fail, "{out:?}");
        assert!(out.deviation.is_some_and(|d| d > 0.09), "{out:?}");
    }
}

#[test]
fn broken_assumptions_are_refused() {
    let check = |change: fn(&mut Scenario), reason: &str| {
        let mut scenario = scenario();
        change(&mut scenario);
        let out = judged(2, store(32_000.0), &scenario);
        assert_eq!(
            (out.verdict, out.theory),
            (Verdict::Skipped, None),
            "{reason}"
        );
        assert_eq!(out.notes, [reason]);
    };
    check(
        |s| {
            s.failover
                .as_mut()
                .expect("has one")
                .allow
                .push("telemetry".into())
        },
        "class `telemetry` goes over `lte` meanwhile",
    );
    check(
        |s| s.faults[0].windows[0].end = None,
        "`uplink-cut` does not end within the run",
    );
    check(
        |s| s.faults[0].kind = FaultKind::NodeCrash { node: "pos".into() },
        "`uplink-cut` is not an outage of a link",
    );
    check(
        |scenario| {
            let mut other = scenario.faults[0].clone();
            other.id = "flapping".into();
            other.windows[0] = FaultWindow {
                start: s(3100.0),
                end: Some(s(3110.0)),
            };
            scenario.faults.push(other);
        },
        "fault `flapping` falls into the recovery",
    );
    check(
        |s| s.warmup = Duration::from_secs(2050),
        "the arrival rate needs 60 s between warm-up and fault, there are 50 s",
    );
    let mut slow = scenario();
    slow.collector.send.max_rate = Some(backroom_collector::config::BitRate(40_000));
    let out = judged(1, store(32_000.0), &slow);
    assert!(
        out.notes[0].ends_with("the backlog never drains"),
        "{:?}",
        out.notes
    );
}

/// The interval of the seeds decides, not their mean alone.
#[test]
fn seeds_are_put_together() {
    let sample = |observed, open| OracleSample {
        theory: Some(100.0),
        observed: Some(observed),
        observed_is_lower_bound: open,
        ..OracleSample::default()
    };
    let judged = |samples: &[OracleSample]| {
        let samples: Vec<_> = (1..).zip(samples.iter().cloned()).collect();
        judge(&scenario(), &oracle(), &samples)
    };
    let out = judged(&[
        sample(109.0, false),
        sample(105.0, false),
        sample(113.0, false),
    ]);
    assert_eq!(out.verdict, Verdict::Pass, "the interval meets the band");
    assert!(
        out.deviation_half_width
            .is_some_and(|h| (h - 0.0453).abs() < 1e-3),
        "{out:?}"
    );
    assert_eq!(
        judged(&[sample(109.0, false), sample(109.5, false)]).verdict,
        Verdict::Fail
    );
    assert_eq!(judged(&[sample(109.0, false)]).verdict, Verdict::Fail);
    // Not over when the run ended: decided only where it is too long already.
    assert_eq!(judged(&[sample(50.0, true)]).verdict, Verdict::Inconclusive);
    assert_eq!(judged(&[sample(150.0, true)]).verdict, Verdict::Fail);
    assert_eq!(
        judged(&[OracleSample {
            observed: None,
            ..sample(0.0, false)
        }])
        .verdict,
        Verdict::Inconclusive
    );
}
