//! OpenMetrics text: the figures of runs for whoever keeps them in a time series database.
//!
//! Source: OpenMetrics 1.0 (IETF draft-richih-opsawg-openmetrics-00). Gauges only; no timestamps, so equal results give equal bytes.

use std::fmt::Write as _;

use crate::{RunResult, Verdict};

/// The file.
pub fn render(results: &[&RunResult]) -> String {
    let mut out = String::new();
    family(
        &mut out,
        "backroom_expectation_value",
        "What an expectation measured, in base units.",
    );
    each(results, &mut out, |result, out| {
        for e in &result.expectations {
            if let Some(value) = e.value {
                sample(out, "backroom_expectation_value", result, &e.id, value);
            }
        }
    });
    family(
        &mut out,
        "backroom_expectation_limit",
        "Its limit, in base units.",
    );
    each(results, &mut out, |result, out| {
        for e in &result.expectations {
            sample(out, "backroom_expectation_limit", result, &e.id, e.limit);
        }
    });
    family(
        &mut out,
        "backroom_expectation_failed",
        "1 if it does not hold, 0 if it does; none where it could not be judged.",
    );
    each(results, &mut out, |result, out| {
        for e in &result.expectations {
            if let Some(failed) = failed(e.verdict) {
                sample(out, "backroom_expectation_failed", result, &e.id, failed);
            }
        }
    });
    family(
        &mut out,
        "backroom_oracle_deviation",
        "Observed over theory, less one.",
    );
    each(results, &mut out, |result, out| {
        for oracle in &result.oracles {
            if let Some(deviation) = oracle.deviation {
                sample(
                    out,
                    "backroom_oracle_deviation",
                    result,
                    &oracle.id,
                    deviation,
                );
            }
        }
    });
    family(
        &mut out,
        "backroom_invariant_violations",
        "Seeds that violate an invariant.",
    );
    each(results, &mut out, |result, out| {
        for i in &result.invariants {
            let count = i.seeds_violated as f64;
            sample(out, "backroom_invariant_violations", result, &i.id, count);
        }
    });
    for (name, help, value) in [
        (
            "backroom_seeds_run",
            "Seeds that were run to their end.",
            (|r| r.seeds.len() as f64) as fn(&RunResult) -> f64,
        ),
        (
            "backroom_seeds_planned",
            "Seeds that were asked for.",
            |r| r.seeds_planned as f64,
        ),
        ("backroom_exit_code", "Exit code of the verdict.", |r| {
            f64::from(r.exit_code)
        }),
    ] {
        family(&mut out, name, help);
        each(results, &mut out, |result, out| {
            let _ = writeln!(
                out,
                "{name}{{scenario=\"{}\"}} {}",
                label(&result.scenario),
                value(result)
            );
        });
    }
    out.push_str("# EOF\n");
    out
}

fn family(out: &mut String, name: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} gauge\n# HELP {name} {help}");
}

fn each(results: &[&RunResult], out: &mut String, tell: impl Fn(&RunResult, &mut String)) {
    results.iter().for_each(|result| tell(result, out));
}

fn sample(out: &mut String, name: &str, result: &RunResult, id: &str, value: f64) {
    let (scenario, id) = (label(&result.scenario), label(id));
    let value = match value {
        v if v == f64::INFINITY => "+Inf".into(),
        v if v == f64::NEG_INFINITY => "-Inf".into(),
        v if v.is_nan() => "NaN".into(),
        v => v.to_string(),
    };
    let _ = writeln!(out, "{name}{{scenario=\"{scenario}\",id=\"{id}\"}} {value}");
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn failed(verdict: Verdict) -> Option<f64> {
    match verdict {
        Verdict::Pass => Some(0.0),
        Verdict::Fail => Some(1.0),
        Verdict::Inconclusive | Verdict::Skipped => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn figures_of_a_failing_run() {
        insta::assert_snapshot!(render(&[&fixture::failing()]));
    }

    #[test]
    fn names_are_quoted_and_nothing_is_still_a_file() {
        let mut result = fixture::failing();
        result.scenario = "a\"b\\\nc".into();
        let text = render(&[&result]);
        assert!(text.contains(r#"scenario="a\"b\\\nc""#), "{text}");
        assert!(render(&[]).ends_with("# EOF\n"));
    }
}
