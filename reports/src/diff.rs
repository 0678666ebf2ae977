//! What changed between two runs of a scenario: expectation by expectation, figure by figure.
//!
//! Simulated figures are exact: the same scenario, seeds and program give the same bytes, so every difference is a change of one of
//! these and none is noise. Times of the wall clock are noise: they are compared only on the same machine, and only called slower where
//! the difference is beyond what one run's times spread. No source; the rule stands at [`wall_clock`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Expectation, Manifest, RunResult, Severity, Verdict, human};

/// The direction of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// What held does not, or something is further on the wrong side of its limit.
    Worse,
    /// The other way round.
    Better,
    /// Different, and neither.
    Changed,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// What: name of an expectation, an oracle, an invariant; `seeds`, `trace`, `wall clock`.
    pub what: String,
    /// Its direction.
    pub trend: Trend,
    /// Whether it makes the second run a regression: a verdict that got worse, never a figure alone.
    pub is_regression: bool,
    /// In words.
    pub text: String,
}

/// All differences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// Version of this type.
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// In the order of the second run.
    pub changes: Vec<Change>,
}

impl Diff {
    /// Whether something got worse that counts.
    pub fn is_regression(&self) -> bool {
        self.changes.iter().any(|c| c.is_regression)
    }
}

/// Compares two results of one scenario. `figures_count`: a figure that is worse is a regression even where its verdict holds.
pub fn of(base: &RunResult, new: &RunResult, figures_count: bool) -> Diff {
    let mut changes = Vec::new();
    if base.seeds != new.seeds {
        let seeds = |r: &RunResult| format!("{} seeds", r.seeds.len());
        changes.push(Change {
            what: "seeds".into(),
            trend: Trend::Changed,
            is_regression: false,
            text: format!(
                "{} instead of {}: figures of different seeds are no regression by themselves",
                seeds(new),
                seeds(base)
            ),
        });
    }
    let same_seeds = base.seeds == new.seeds;
    for e in &new.expectations {
        match base.expectations.iter().find(|b| b.id == e.id) {
            Some(b) => changes.extend(expectation(b, e, figures_count && same_seeds)),
            None => changes.push(Change {
                what: e.id.clone(),
                trend: Trend::Changed,
                is_regression: false,
                text: format!("new, {}", word(e.verdict)),
            }),
        }
    }
    for b in &base.expectations {
        if new.expectations.iter().all(|e| e.id != b.id) {
            changes.push(Change {
                what: b.id.clone(),
                trend: Trend::Worse,
                is_regression: b.severity == Severity::Error,
                text: "not asked any more: an expectation that is gone cannot fail".into(),
            });
        }
    }
    let oracles = new.oracles.iter().map(|o| (&o.id, o.verdict));
    for (id, verdict) in oracles {
        if let Some(b) = base.oracles.iter().find(|b| b.id == *id) {
            changes.extend(verdicts(id, b.verdict, verdict, true));
        }
    }
    for i in &new.invariants {
        let old = base.invariants.iter().find(|b| b.id == i.id);
        // An invariant that the base did not know held, as far as anyone knew.
        let old = old.map_or(Verdict::Pass, |b| b.verdict);
        changes.extend(verdicts(&i.id, old, i.verdict, true));
    }
    let differing = new.traces.iter().filter(|t| {
        let old = base.traces.iter().find(|b| b.seed == t.seed);
        old.is_some_and(|b| b.hash != t.hash)
    });
    let differing = differing.count();
    if differing > 0 {
        changes.push(Change {
            what: "trace".into(),
            trend: Trend::Changed,
            is_regression: false,
            text: format!("{differing} of {} seeds ran otherwise", new.traces.len()),
        });
    }
    Diff {
        schema_version: crate::SCHEMA_VERSION,
        scenario: new.scenario.clone(),
        changes,
    }
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Skipped => 1,
        Verdict::Inconclusive => 2,
        Verdict::Fail => 3,
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "holds",
        Verdict::Skipped => "not asked",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Fail => "fails",
    }
}

fn verdicts(what: &str, base: Verdict, new: Verdict, counts: bool) -> Option<Change> {
    if base == new {
        return None;
    }
    let is_worse = rank(new) > rank(base);
    Some(Change {
        what: what.into(),
        trend: if is_worse {
            Trend::Worse
        } else {
            Trend::Better
        },
        is_regression: is_worse && counts,
        text: format!("{} → {}", word(base), word(new)),
    })
}

fn expectation(base: &Expectation, new: &Expectation, figures_count: bool) -> Option<Change> {
    let figure = match (base.value, new.value) {
        (a, b) if a == b => None,
        (Some(a), Some(b)) => {
            let relative = match a == 0.0 {
                true => String::new(),
                false => format!(" ({})", human::deviation(b / a - 1.0)),
            };
            Some(format!(
                "{} {} → {}{relative}",
                new.measure,
                new.unit.show(a),
                new.unit.show(b)
            ))
        }
        (a, b) => {
            let show = |v: Option<f64>| v.map_or_else(|| "nothing".into(), |v| new.unit.show(v));
            Some(format!("{} {} → {}", new.measure, show(a), show(b)))
        }
    };
    let limit = (base.text != new.text)
        .then(|| format!("asked otherwise: `{}`, was `{}`", new.text, base.text));
    let verdict = verdicts(
        &new.id,
        base.verdict,
        new.verdict,
        new.severity == Severity::Error,
    );
    let details = figure.into_iter().chain(limit.clone());
    if let Some(mut change) = verdict {
        details.for_each(|d| change.text.push_str(&format!("; {d}")));
        return Some(change);
    }
    let text = details.collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        return None;
    }
    let trend = match (base.value, new.value) {
        _ if limit.is_some() => Trend::Changed,
        (Some(a), Some(b)) => further(new, a, b),
        _ => Trend::Changed,
    };
    Some(Change {
        what: new.id.clone(),
        trend,
        is_regression: figures_count && trend == Trend::Worse && new.severity == Severity::Error,
        text,
    })
}

/// Which way a figure went, by the side of the limit on which it should be.
fn further(e: &Expectation, base: f64, new: f64) -> Trend {
    use crate::Op;
    let worse = match e.op {
        Op::Lt | Op::Le => new > base,
        Op::Gt | Op::Ge => new < base,
        Op::Eq => (new - e.limit).abs() > (base - e.limit).abs(),
        Op::Ne => return Trend::Changed,
    };
    match worse {
        true => Trend::Worse,
        false => Trend::Better,
    }
}

/// 25 %: wide on purpose. One run is one sample of a machine that others share; what is within it says nothing.
const WALL_CLOCK_BAND: f64 = 0.25;

/// The processor time of two runs, for a simulated second: what changed of it, or why nothing can be said. Never a regression: one run is
/// one sample, and no interval can be drawn around it; the benchmarks measure.
pub fn wall_clock(base: &Manifest, new: &Manifest) -> Change {
    let cost = |m: &Manifest| {
        let cpu = m.timing.cpu_seconds.unwrap_or(m.timing.wall_seconds);
        cpu / m.timing.simulated_seconds.max(1e-9)
    };
    let (text, trend) = if base.platform != new.platform || base.machine != new.machine {
        ("not compared: other machines".to_owned(), Trend::Changed)
    } else if base.machine.is_empty() {
        (
            "not compared: the runs do not say on which machine they ran".to_owned(),
            Trend::Changed,
        )
    } else {
        let change = cost(new) / cost(base) - 1.0;
        let shown = human::deviation(change);
        match change.abs() > WALL_CLOCK_BAND {
            true if change > 0.0 => (
                format!("{shown} processor time for a simulated second"),
                Trend::Worse,
            ),
            true => (
                format!("{shown} processor time for a simulated second"),
                Trend::Better,
            ),
            false => (
                format!("{shown}, within what one run's times spread"),
                Trend::Changed,
            ),
        }
    };
    Change {
        what: "wall clock".into(),
        trend,
        is_regression: false,
        text,
    }
}

/// JSON Schema (2020-12) of a list of [`Diff`].
pub fn schema() -> String {
    crate::json::pretty(&schemars::schema_for!(Vec<Diff>))
}

/// As people read it.
pub fn render(diff: &Diff) -> String {
    let mut out = format!("{}: ", diff.scenario);
    if diff.changes.is_empty() {
        return out + "no difference\n";
    }
    let regressions = diff.changes.iter().filter(|c| c.is_regression).count();
    out.push_str(&match regressions {
        0 => "no regression\n".to_owned(),
        1 => "1 regression\n".to_owned(),
        n => format!("{n} regressions\n"),
    });
    let width = diff.changes.iter().map(|c| c.what.len()).max().unwrap_or(0);
    for change in &diff.changes {
        let sign = match (change.is_regression, change.trend) {
            (true, _) => "✗",
            (_, Trend::Worse) => "-",
            (_, Trend::Better) => "+",
            (_, Trend::Changed) => "~",
        };
        out.push_str(&format!(
            "  {sign} {:width$}  {}\n",
            change.what, change.text
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn check(change: impl Fn(&mut RunResult), figures: bool, expect: &[(&str, Trend, bool)]) {
        let base = fixture::passing();
        let mut new = base.clone();
        change(&mut new);
        let diff = of(&base, &new, figures);
        let got: Vec<(&str, Trend, bool)> = diff
            .changes
            .iter()
            .map(|c| (c.what.as_str(), c.trend, c.is_regression))
            .collect();
        assert_eq!(got, expect, "{}", render(&diff));
        let regression = expect.iter().any(|(_, _, regression)| *regression);
        assert_eq!(diff.is_regression(), regression);
    }

    #[test]
    fn equal_runs_do_not_differ() {
        check(|_| {}, true, &[]);
    }

    #[test]
    fn a_verdict_that_gets_worse_is_a_regression_and_a_figure_only_if_asked() {
        let id = "kitchen-never-waits";
        let slower = |r: &mut RunResult| r.expectations[0].value = Some(0.4);
        check(slower, false, &[(id, Trend::Worse, false)]);
        check(slower, true, &[(id, Trend::Worse, true)]);
        let faster = |r: &mut RunResult| r.expectations[0].value = Some(0.1);
        check(faster, true, &[(id, Trend::Better, false)]);
        let fails = |r: &mut RunResult| r.expectations[0].verdict = Verdict::Fail;
        check(fails, false, &[(id, Trend::Worse, true)]);
        let warns = |r: &mut RunResult| {
            r.expectations[0].verdict = Verdict::Fail;
            r.expectations[0].severity = Severity::Warn;
        };
        check(warns, false, &[(id, Trend::Worse, false)]);
        let oracle = |r: &mut RunResult| r.oracles[0].verdict = Verdict::Fail;
        check(oracle, false, &[("fluid-recovery", Trend::Worse, true)]);
        let broken = |r: &mut RunResult| r.invariants[0].verdict = Verdict::Fail;
        check(broken, false, &[("DELIVERY-1", Trend::Worse, true)]);
    }

    #[test]
    fn what_is_gone_or_asked_otherwise_is_told() {
        let gone = |r: &mut RunResult| drop(r.expectations.remove(0));
        check(gone, false, &[("kitchen-never-waits", Trend::Worse, true)]);
        let other = |r: &mut RunResult| {
            r.expectations[0].text = "p99(order.to_kds) < 9s".into();
            r.expectations[0].value = Some(8.0);
        };
        check(
            other,
            true,
            &[("kitchen-never-waits", Trend::Changed, false)],
        );
        let seeds = |r: &mut RunResult| {
            r.seeds.pop();
            r.expectations[0].value = Some(0.4);
        };
        check(
            seeds,
            true,
            &[
                ("seeds", Trend::Changed, false),
                ("kitchen-never-waits", Trend::Worse, false),
            ],
        );
        let trace = |r: &mut RunResult| r.traces[0].hash = "0".into();
        check(trace, true, &[("trace", Trend::Changed, false)]);
    }

    #[test]
    fn times_are_compared_on_one_machine_only_and_never_a_regression() {
        let manifest = |machine: &str, cpu: f64| Manifest {
            schema_version: 1,
            tool_version: "1".into(),
            argv: vec![],
            started_at: String::new(),
            platform: "x86_64-linux".into(),
            machine: machine.into(),
            git: None,
            inputs: vec![],
            timing: crate::Timing {
                wall_seconds: cpu,
                cpu_seconds: Some(cpu),
                simulated_seconds: 100.0,
                jobs: 1,
                memory_bytes_peak: None,
            },
        };
        let check = |a: (&str, f64), b: (&str, f64), part: &str, trend| {
            let change = wall_clock(&manifest(a.0, a.1), &manifest(b.0, b.1));
            assert!(change.text.contains(part), "{}", change.text);
            assert_eq!((change.trend, change.is_regression), (trend, false));
        };
        check(("m", 1.0), ("n", 1.0), "other machines", Trend::Changed);
        check(("", 1.0), ("", 9.0), "do not say", Trend::Changed);
        check(("m", 1.0), ("m", 1.1), "within", Trend::Changed);
        check(("m", 1.0), ("m", 2.0), "+100.0%", Trend::Worse);
        check(("m", 2.0), ("m", 1.0), "-50.0%", Trend::Better);
    }
}
