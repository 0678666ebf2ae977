//! Verdicts from made-up samples.

use super::{
    super::fixture::{after, measure, scenario, with},
    *,
};
use crate::scenario::expr::{Comparison, Measure};

fn expect(measure: Measure, op: Op, limit: Value, text: &str) -> scenario::Expect {
    scenario::Expect {
        id: "it-holds".into(),
        text: text.into(),
        that: Comparison { measure, op, limit },
        window: after(),
        min_samples: None,
        confidence: None,
        severity: scenario::Severity::Error,
        file: "lunch.toml".into(),
        line: 20,
    }
}

fn p99() -> scenario::Expect {
    let measure = measure(Function::Quantile(0.99), "order.to_kds", &[]);
    expect(
        measure,
        Op::Lt,
        Value::Time(1.5),
        "p99(order.to_kds) < 1500ms",
    )
}

fn recovery() -> scenario::Expect {
    let measure = measure(Function::Recovery, "telemetry.backlog", &[]);
    let measure = with(measure, Op::Lt, Value::Bytes(262_144.0));
    expect(
        measure,
        Op::Lt,
        Value::Time(600.0),
        "recovery(telemetry.backlog, below=256KiB) < 10m",
    )
}

fn judge(expect: &scenario::Expect, samples: Vec<Sample>) -> Expectation {
    let samples: Vec<(u64, Sample)> = (1..).zip(samples).collect();
    super::judge(&scenario(), expect, &samples)
}

fn values(values: &[(f64, u64)]) -> Sample {
    Sample::Values {
        values: values.to_vec(),
    }
}

#[test]
fn text_is_split_at_the_comparison() {
    let check =
        |text: &str, left: &str, right: &str| assert_eq!(split(text), (left.into(), right.into()));
    check("p99(order.to_kds) < 1500ms", "p99(order.to_kds)", "1500ms");
    check(
        "share(payment.auth < 8s) >= 99%",
        "share(payment.auth < 8s)",
        "99%",
    );
    check(
        "count(telemetry.lost, born='during a') == 0",
        "count(telemetry.lost, born='during a')",
        "0",
    );
    check(
        "time_to(failover.active == 'lte') < 40s",
        "time_to(failover.active == 'lte')",
        "40s",
    );
}

/// 2 % of all samples are slow, all in one seed: the quantile of all fails, though 3 of 4 seeds hold.
#[test]
fn quantiles_are_of_all_seeds_together() {
    let good = || values(&[(0.2, 100)]);
    let bad = values(&[(0.2, 92), (3.0, 8)]);
    let out = judge(&p99(), vec![good(), bad, good(), good()]);
    assert_eq!(
        (out.verdict, out.value, out.samples),
        (Verdict::Fail, Some(3.0), Some(400))
    );
    assert_eq!((out.seeds_held, out.seeds_total), (3, 4));
    assert_eq!(
        out.worst,
        Some(Worst {
            seed: 2,
            value: Some(3.0)
        })
    );
    assert_eq!(
        (out.measure.as_str(), out.limit_text.as_str()),
        ("p99(order.to_kds)", "1500ms")
    );
    // One slow one in a hundred is what a p99 forgives.
    let out = judge(&p99(), vec![values(&[(0.2, 99), (3.0, 1)])]);
    assert_eq!((out.verdict, out.value), (Verdict::Pass, Some(0.2)));
}

#[test]
fn too_few_samples_are_inconclusive() {
    let out = judge(&p99(), vec![values(&[(0.2, 50)]), values(&[(9.0, 49)])]);
    assert_eq!(
        (out.verdict, out.samples),
        (Verdict::Inconclusive, Some(99))
    );
    assert!(
        out.notes[0].starts_with("99 samples of all seeds, 100 are needed"),
        "{:?}",
        out.notes
    );
    let enough = scenario::Expect {
        min_samples: Some(30),
        ..p99()
    };
    assert_eq!(
        judge(&enough, vec![values(&[(0.2, 50)])]).verdict,
        Verdict::Pass
    );
    assert_eq!(
        judge(&p99(), vec![values(&[])]).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn shares_are_pooled() {
    let measure = with(
        measure(Function::Share, "payment.auth", &[]),
        Op::Lt,
        Value::Time(8.0),
    );
    let expect = expect(
        measure,
        Op::Ge,
        Value::Fraction(0.99),
        "share(payment.auth < 8s) >= 99%",
    );
    let share = |hits, of| Sample::Share {
        hits,
        of,
        counted: true,
    };
    let out = judge(&expect, vec![share(100.0, 100.0), share(98.0, 100.0)]);
    assert_eq!((out.verdict, out.value), (Verdict::Pass, Some(0.99)));
    assert_eq!(
        out.worst,
        Some(Worst {
            seed: 2,
            value: Some(0.98)
        })
    );
    assert_eq!(out.unit, backroom_reports::Unit::Fraction);
    assert_eq!(
        judge(&expect, vec![share(20.0, 20.0)]).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn everything_else_must_hold_in_every_seed() {
    let number = |value| Sample::Number { value };
    let out = judge(
        &recovery(),
        vec![number(200.0), number(612.0), number(300.0)],
    );
    assert_eq!((out.verdict, out.value), (Verdict::Fail, Some(612.0)));
    assert_eq!((out.seeds_held, out.seeds_total), (2, 3));
    assert_eq!(out.notes, ["fails in seed #2"]);
    assert_eq!(out.window, "after uplink-cut");
    let out = judge(&recovery(), vec![number(200.0), number(300.0)]);
    assert_eq!((out.verdict, out.value), (Verdict::Pass, Some(300.0)));
}

/// A recovery that had not come when the run ended fails a limit that has passed, and leaves a later one open.
#[test]
fn what_has_not_happened_is_at_least_as_long() {
    let at_least = |value| Sample::AtLeast { value };
    let out = judge(
        &recovery(),
        vec![at_least(2400.0), Sample::Number { value: 599.0 }],
    );
    assert_eq!(
        (out.verdict, out.value, out.value_is_lower_bound),
        (Verdict::Fail, Some(2400.0), true)
    );
    let out = judge(
        &recovery(),
        vec![at_least(300.0), Sample::Number { value: 500.0 }],
    );
    assert_eq!(
        (out.verdict, out.value, out.value_is_lower_bound),
        (Verdict::Inconclusive, Some(300.0), true)
    );
}

#[test]
fn a_window_that_never_happened_is_skipped() {
    let nothing = Sample::Nothing {
        why: "the window never happened".into(),
    };
    let out = judge(&recovery(), vec![nothing.clone(), nothing.clone()]);
    assert_eq!(
        (out.verdict, out.value, out.seeds_total),
        (Verdict::Skipped, None, 0)
    );
    assert_eq!(out.notes, ["the window never happened"]);
    let out = judge(&recovery(), vec![nothing, Sample::Number { value: 1.0 }]);
    assert_eq!((out.verdict, out.seeds_total), (Verdict::Pass, 1));
}

fn sure(expect: scenario::Expect) -> scenario::Expect {
    scenario::Expect {
        confidence: Some(0.95),
        ..expect
    }
}

/// Guarantees: with a confidence the interval decides, and a limit within it decides nothing.
#[test]
fn an_interval_that_straddles_the_limit_is_inconclusive() {
    let verdict = |expect: &scenario::Expect, samples: Vec<Sample>| {
        let out = judge(expect, samples);
        (
            out.verdict,
            out.interval.map(|i| (i.low, i.high)),
            out.notes,
        )
    };
    // 1 % of 1,000 are slow: the p99 could be either.
    let (found, between, notes) = verdict(&sure(p99()), vec![values(&[(0.2, 990), (3.0, 10)])]);
    assert_eq!(found, Verdict::Inconclusive);
    assert_eq!(between, Some((Some(0.2), Some(3.0))));
    assert_eq!(
        notes,
        ["the limit lies within the 95% interval: run more seeds"]
    );
    let few = vec![values(&[(0.2, 9_990), (3.0, 10)])];
    assert_eq!(verdict(&sure(p99()), few).0, Verdict::Pass);
    let many = vec![values(&[(0.2, 9_700), (3.0, 300)])];
    assert_eq!(verdict(&sure(p99()), many).0, Verdict::Fail);
    // A hundred samples do not bound a p99 above, although all of them are good.
    let (found, between, _) = verdict(&sure(p99()), vec![values(&[(0.2, 100)])]);
    assert_eq!(
        (found, between),
        (Verdict::Inconclusive, Some((Some(0.2), None)))
    );
}

#[test]
fn numbers_are_sure_by_their_mean_over_seeds() {
    let number = |value| Sample::Number { value };
    let expect = sure(recovery());
    let out = judge(&expect, vec![number(590.0), number(592.0), number(591.0)]);
    assert_eq!((out.verdict, out.value), (Verdict::Pass, Some(591.0)));
    let out = judge(&expect, vec![number(500.0), number(660.0), number(580.0)]);
    assert_eq!(out.verdict, Verdict::Inconclusive, "{out:?}");
    let out = judge(&expect, vec![number(500.0)]);
    assert_eq!(out.verdict, Verdict::Inconclusive);
    assert!(out.notes[0].starts_with("one seed has no spread"));
    let open = Sample::AtLeast { value: 300.0 };
    let out = judge(&expect, vec![open, number(310.0), number(320.0)]);
    assert_eq!(out.verdict, Verdict::Inconclusive);
    assert_eq!(out.interval.expect("an interval").high, None);
}

/// Loss that no seed has seen may still exist: 59 seeds that agree are needed to be 95 % sure.
#[test]
fn seeds_that_all_lose_nothing_prove_little() {
    let mut ratio = measure(Function::Ratio, "telemetry.dropped", &[]);
    ratio.of = Some(measure(Function::Count, "telemetry.generated", &[]).metric);
    let limit = Value::Fraction(1e-4);
    let expect = sure(expect(ratio, Op::Lt, limit, "ratio(a, b) < 0.01%"));
    let none = Sample::Ratio {
        over: 0.0,
        under: 1e6,
    };
    let out = judge(&expect, vec![none.clone(); 20]);
    assert_eq!(out.verdict, Verdict::Inconclusive);
    assert_eq!(
        out.notes,
        ["20 seeds agree, 59 are needed for a confidence of 95%"]
    );
    assert_eq!(
        judge(&expect, vec![none.clone(); 59]).verdict,
        Verdict::Pass
    );
    let mut some = vec![none; 399];
    some.push(Sample::Ratio {
        over: 4e4,
        under: 1e6,
    });
    // One seed in 400 lost 4 %: 1e-4 on average, give or take as much.
    assert_eq!(judge(&expect, some).verdict, Verdict::Inconclusive);
}

/// Samples travel between processes as JSON and come back bit by bit.
#[test]
fn samples_come_back() {
    for sample in [
        values(&[(0.1 + 0.2, 1), (1.0 / 3.0, 7)]),
        Sample::Number {
            value: 2_100.123_456_789_012_3,
        },
        Sample::AtLeast { value: 1e-17 },
        Sample::Share {
            hits: 1.0,
            of: 3.0,
            counted: true,
        },
        Sample::Nothing { why: "x".into() },
    ] {
        let text = serde_json::to_string(&sample).expect("plain data");
        assert_eq!(
            serde_json::from_str::<Sample>(&text).expect("comes back"),
            sample
        );
    }
}
