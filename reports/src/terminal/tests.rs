//! Golden screens: bless, then read the difference before committing.

use super::*;
use crate::{
    Invariant, Moment, Op, OracleInput, OracleSeed, SCHEMA_VERSION, SeedTrace, Worst, json,
};

fn expectation(
    id: &str,
    measure: &str,
    op: Op,
    limit: (f64, &str, Unit),
    value: f64,
) -> Expectation {
    let sign = match op {
        Op::Ge => ">=",
        other => other.sign(),
    };
    Expectation {
        id: id.into(),
        text: format!("{measure} {sign} {}", limit.1),
        measure: measure.into(),
        op,
        limit_text: limit.1.into(),
        window: "during uplink-cut".into(),
        severity: Severity::Error,
        verdict: Verdict::Pass,
        value: Some(value),
        value_is_lower_bound: false,
        limit: limit.0,
        unit: limit.2,
        interval: None,
        physics: None,
        samples: None,
        seeds_held: 20,
        seeds_total: 20,
        worst: Some(Worst {
            seed: 13,
            value: Some(value * 1.17),
        }),
        notes: vec![],
        file: "scenarios/lunch-uplink-cut.toml".into(),
        line: 50,
    }
}

pub(crate) fn passing() -> RunResult {
    let moment = |at_seconds, clock: &str, symbol: &str, text: &str, seed| Moment {
        at_seconds,
        clock: clock.into(),
        symbol: symbol.into(),
        text: text.into(),
        seed,
    };
    RunResult {
        schema_version: SCHEMA_VERSION,
        scenario: "lunch-uplink-cut".into(),
        description: "15 min of dead uplink at the lunch peak".into(),
        file: "scenarios/lunch-uplink-cut.toml".into(),
        overrides: vec![],
        seeds: (1..=20).collect(),
        seeds_planned: 20,
        failures: vec![],
        simulated_seconds: 5400.0,
        timeline: vec![
            moment(
                2100.0,
                "12:05",
                "▼",
                "uplink-cut (link.down uplink, 15m)",
                None,
            ),
            moment(2121.0, "12:05:21", "", "failover → lte", Some(1)),
            moment(3000.0, "12:20", "▲", "uplink-cut", None),
            moment(3079.0, "12:21:19", "", "fail-back → uplink", Some(1)),
        ],
        expectations: vec![
            Expectation {
                samples: Some(812),
                ..expectation(
                    "kitchen-never-waits",
                    "p99(order.to_kds)",
                    Op::Lt,
                    (1.5, "1500ms", Unit::Seconds),
                    0.2144,
                )
            },
            Expectation {
                worst: Some(Worst {
                    seed: 4,
                    value: Some(0.981),
                }),
                ..expectation(
                    "payments-move-to-lte",
                    "share(payment.auth < 8s)",
                    Op::Ge,
                    (0.99, "99%", Unit::Fraction),
                    0.9963,
                )
            },
            Expectation {
                worst: Some(Worst {
                    seed: 1,
                    value: Some(0.0),
                }),
                ..expectation(
                    "start-of-outage-survives",
                    "count(telemetry.lost, born='during uplink-cut')",
                    Op::Eq,
                    (0.0, "0", Unit::Count),
                    0.0,
                )
            },
            expectation(
                "caught-up-in-10-min",
                "recovery(telemetry.backlog, below=256KiB)",
                Op::Lt,
                (600.0, "10m", Unit::Seconds),
                211.0,
            ),
        ],
        oracles: vec![Oracle {
            id: "fluid-recovery".into(),
            model: "fluid_recovery".into(),
            observe: "recovery(telemetry.backlog, below=256KiB)".into(),
            unit: Unit::Seconds,
            theory: Some(207.69),
            theory_declared: Some(199.2),
            observed: Some(211.0),
            deviation: Some(0.016),
            deviation_half_width: Some(0.004),
            tolerance: 0.08,
            verdict: Verdict::Pass,
            inputs: [
                ("a", 6000.0, Unit::BytesPerSecond, "measured"),
                ("c", 32_000.0, Unit::BytesPerSecond, "file"),
                ("D", 900.0, Unit::Seconds, "file"),
                ("t0", 1.3, Unit::Seconds, "measured"),
            ]
            .map(|(name, value, unit, origin)| OracleInput {
                name: name.into(),
                value,
                unit,
                origin: origin.into(),
            })
            .to_vec(),
            seeds: vec![
                OracleSeed {
                    seed: 1,
                    theory: Some(207.0),
                    observed: Some(210.0),
                },
                OracleSeed {
                    seed: 2,
                    theory: Some(207.0),
                    observed: Some(290.0),
                },
            ],
            notes: vec![],
            file: "scenarios/lunch-uplink-cut.toml".into(),
            line: 74,
        }],
        invariants: vec![Invariant {
            id: "DELIVERY-1".into(),
            title: "what was acknowledged arrives".into(),
            verdict: Verdict::Pass,
            seed: None,
            message: String::new(),
            seeds_violated: 0,
        }],
        traces: vec![SeedTrace {
            seed: 1,
            hash: "5f3a9c10".into(),
        }],
        notes: vec![],
        exit_code: 0,
        exit_reason: "everything holds".into(),
    }
}

pub(crate) fn failing() -> RunResult {
    let mut result = passing();
    result.overrides = vec![
        "fault.uplink-cut.for=40m".into(),
        "link.uplink.trace={ file = \"a b\" }".into(),
    ];
    let late = &mut result.expectations[3];
    late.verdict = Verdict::Fail;
    late.value = Some(612.0);
    late.seeds_held = 17;
    late.worst = Some(Worst {
        seed: 7,
        value: Some(612.0),
    });
    let never = &mut result.expectations[2];
    never.severity = Severity::Warn;
    never.verdict = Verdict::Fail;
    never.value = Some(12.0);
    never.value_is_lower_bound = true;
    let oracle = &mut result.oracles[0];
    oracle.verdict = Verdict::Fail;
    oracle.deviation = Some(0.142);
    oracle.observed = Some(237.2);
    let invariant = &mut result.invariants[0];
    invariant.verdict = Verdict::Fail;
    invariant.seed = Some(3);
    invariant.message =
        "20 of 198 acknowledged items never arrived; first: 34 of kiosk-2, acked at 5.1s".into();
    result.exit_code = exit::of_run(&result, exit::Inconclusive::Tell);
    result
}

fn inconclusive() -> RunResult {
    let mut result = passing();
    result.seeds = vec![7];
    result.seeds_planned = 1;
    for e in &mut result.expectations {
        (e.seeds_held, e.seeds_total) = (1, 1);
    }
    let few = &mut result.expectations[0];
    few.verdict = Verdict::Inconclusive;
    few.worst = Some(Worst {
        seed: 7,
        value: Some(0.2144),
    });
    few.samples = Some(41);
    few.notes = vec!["41 samples, p99 needs 100: run more seeds".into()];
    let skipped = &mut result.expectations[1];
    skipped.verdict = Verdict::Skipped;
    skipped.value = None;
    skipped.worst = None;
    (skipped.seeds_held, skipped.seeds_total) = (0, 0);
    skipped.notes = vec!["the window never happened".into()];
    let oracle = &mut result.oracles[0];
    oracle.verdict = Verdict::Skipped;
    oracle.theory = None;
    oracle.observed = None;
    oracle.deviation = None;
    oracle.theory_declared = None;
    oracle.inputs.clear();
    oracle.notes = vec!["6kB/s arrive and only 5kB/s may leave: the backlog never drains".into()];
    result.notes = vec!["the head office of this version has one region".into()];
    result.exit_code = exit::of_run(&result, exit::Inconclusive::Tell);
    result
}

fn screen(width: usize) -> Screen<'static> {
    Screen {
        styles: Styles::plain(),
        width,
        timing: None,
        report: None,
    }
}

/// Guarantees: an interval stands beside its value, and what is possible at best below the row.
#[test]
fn confidence_and_physics_are_shown() {
    let mut result = passing();
    result.expectations = vec![
        Expectation {
            interval: Some(Interval {
                confidence: 0.95,
                low: Some(0.0021),
                high: None,
            }),
            verdict: Verdict::Inconclusive,
            notes: vec!["the limit lies within the 95% interval: run more seeds".into()],
            ..expectation(
                "few-are-lost",
                "ratio(telemetry.dropped, telemetry.generated)",
                Op::Lt,
                (0.01, "1%", Unit::Fraction),
                0.0047,
            )
        },
        Expectation {
            physics: Some(crate::Physics {
                model: "fluid_recovery".into(),
                value: 2320.0,
                text: "the line needs 38m 40s for that backlog".into(),
            }),
            ..expectation(
                "caught-up",
                "recovery(telemetry.backlog, below=256KiB)",
                Op::Lt,
                (3600.0, "1h", Unit::Seconds),
                2460.0,
            )
        },
    ];
    let shown = render(&result, &screen(140));
    assert!(shown.contains("= 0.47% (0.21% … –)"), "{shown}");
    assert!(shown.contains("\n      the line needs 38m 40s"), "{shown}");
}

#[test]
fn a_passing_run() {
    let timing = Timing {
        wall_seconds: 4.1,
        cpu_seconds: None,
        simulated_seconds: 108_000.0,
        jobs: 2,
        memory_bytes_peak: None,
    };
    let screen = Screen {
        timing: Some(&timing),
        ..screen(140)
    };
    insta::assert_snapshot!(render(&passing(), &screen));
}

#[test]
fn a_failing_run() {
    let screen = Screen {
        report: Some("runs/x/report.html"),
        ..screen(140)
    };
    assert_eq!(failing().exit_code, exit::SUSPECT);
    insta::assert_snapshot!(render(&failing(), &screen));
}

#[test]
fn an_inconclusive_run() {
    assert_eq!(inconclusive().exit_code, exit::INCONCLUSIVE);
    insta::assert_snapshot!(render(&inconclusive(), &screen(140)));
}

#[test]
fn a_narrow_screen_cuts_what_was_measured() {
    let text = render(&passing(), &screen(80));
    assert!(
        text.contains("count(telemet…uplink-cut')") || text.contains('…'),
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn colours_only_repeat_what_symbols_say() {
    let screen = Screen {
        styles: Styles::colored(),
        ..screen(140)
    };
    let colored = render(&failing(), &screen);
    let mut plain = String::new();
    let mut inside = false;
    for c in colored.chars() {
        match (c, inside) {
            ('\u{1b}', _) => inside = true,
            ('m', true) => inside = false,
            (_, true) => {}
            (c, false) => plain.push(c),
        }
    }
    let trimmed: Vec<_> = plain.lines().map(str::trim_end).collect();
    let expect = render(&failing(), &self::screen(140));
    assert_eq!(trimmed, expect.lines().collect::<Vec<_>>());
}

#[test]
fn json_follows_its_schema_and_comes_back() {
    let schema: serde_json::Value = serde_json::from_str(&json::schema()).expect("is JSON");
    for result in [passing(), failing(), inconclusive()] {
        let text = json::render(&result);
        let value: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        jsonschema::validate(&schema, &value).expect("follows its schema");
        assert_eq!(
            serde_json::from_str::<RunResult>(&text).expect("comes back"),
            result
        );
    }
    insta::assert_snapshot!("schema", json::schema());
}
