//! JUnit XML, as CI servers read it: a suite for each scenario, a case for each question asked.
//!
//! A case says in `system-out` what was measured and how to see it again. *Skipped* is a window that never happened. What could not be
//! judged is an error, unless the run counts it as something else. There are no times and no host in it: equal results give
//! equal bytes. Parts of a sharded run name their cases by the part, so that files of several machines can lie side by side.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{Expectation, Oracle, RunResult, Severity, Verdict, exit, human, terminal::reproduce};

/// The file. `part` names the part of a sharded run, such as `2/8`.
///
/// # Errors
/// If the writer of XML refuses, which plain text gives it no reason to.
pub fn render(
    results: &[&RunResult],
    part: Option<&str>,
    inconclusive: exit::Inconclusive,
) -> Result<String, String> {
    let mut report = Report::new("backroom");
    for result in results {
        report.add_test_suite(suite(result, part, inconclusive));
    }
    report.to_string().map_err(|error| error.to_string())
}

fn suite(result: &RunResult, part: Option<&str>, inconclusive: exit::Inconclusive) -> TestSuite {
    let mut suite = TestSuite::new(&result.scenario);
    let mut case = |id: &str, status: TestCaseStatus, text: String| {
        let name = match part {
            Some(part) => format!("{id} [shard {part}]"),
            None => id.to_owned(),
        };
        let mut case = TestCase::new(name, status);
        case.set_classname(&result.scenario).set_system_out(text);
        suite.add_test_case(case);
    };
    for e in &result.expectations {
        case(&e.id, of_expectation(e, inconclusive), measured(e, result));
    }
    for oracle in &result.oracles {
        let status = status(
            oracle.verdict,
            inconclusive,
            "oracle",
            &told(oracle),
            &oracle.notes,
        );
        case(&oracle.id, status, told(oracle));
    }
    for invariant in &result.invariants {
        let mut text = format!("{}: {}", invariant.title, invariant.message);
        if let (Verdict::Fail, Some(seed)) = (invariant.verdict, invariant.seed) {
            text.push_str(&format!("\nreproduce: {}", reproduce(result, seed)));
        }
        let message = &invariant.message;
        let status = status(invariant.verdict, inconclusive, "invariant", message, &[]);
        case(&invariant.id, status, text);
    }
    for failure in &result.failures {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        let what = failure.kind.as_str();
        status.set_type(what).set_message(&failure.message);
        let again = format!("reproduce: {}", reproduce(result, failure.seed));
        case(&format!("seed {}", failure.seed), status, again);
    }
    suite
}

fn of_expectation(e: &Expectation, inconclusive: exit::Inconclusive) -> TestCaseStatus {
    if (e.verdict, e.severity) == (Verdict::Fail, Severity::Warn) {
        return TestCaseStatus::success();
    }
    let message = short(e);
    status(e.verdict, inconclusive, "expectation", &message, &e.notes)
}

fn status(
    verdict: Verdict,
    inconclusive: exit::Inconclusive,
    kind: &str,
    message: &str,
    notes: &[String],
) -> TestCaseStatus {
    use exit::Inconclusive;
    let mut status = match (verdict, inconclusive) {
        (Verdict::Pass, _) | (Verdict::Inconclusive, Inconclusive::Pass) => {
            return TestCaseStatus::success();
        }
        (Verdict::Skipped, _) => {
            let mut status = TestCaseStatus::skipped();
            let why = notes.first().map_or("it was not asked", String::as_str);
            status.set_message(why);
            return status;
        }
        (Verdict::Fail, _) | (Verdict::Inconclusive, Inconclusive::Fail) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(kind);
            status
        }
        (Verdict::Inconclusive, Inconclusive::Tell) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("inconclusive");
            status
        }
    };
    status.set_message(message);
    if !notes.is_empty() {
        status.set_description(notes.join("\n"));
    }
    status
}

/// `p99(order.to_kds) = 1.9s, and must be < 1500ms`.
pub(crate) fn short(e: &Expectation) -> String {
    let value = match e.value {
        Some(value) if e.value_is_lower_bound => format!("> {}", e.unit.show(value)),
        Some(value) => format!("= {}", e.unit.show(value)),
        None => "is not known".into(),
    };
    let mut text = format!(
        "{} {value}, and must be {} {}",
        e.measure,
        e.op.sign(),
        e.limit_text
    );
    if !e.window.is_empty() {
        text.push_str(&format!(", {}", e.window));
    }
    text
}

fn measured(e: &Expectation, result: &RunResult) -> String {
    let mut lines = vec![
        short(e),
        format!("{} of {} seeds hold it", e.seeds_held, e.seeds_total),
    ];
    if let Some(samples) = e.samples {
        lines.push(format!("{samples} samples"));
    }
    if let Some(worst) = &e.worst {
        let value = worst
            .value
            .map_or_else(|| "never".into(), |v| e.unit.show(v));
        lines.push(format!("worst {value} in seed {}", worst.seed));
    }
    lines.extend(e.notes.iter().cloned());
    lines.push(format!("declared at {}:{}", e.file, e.line));
    if let Some(worst) = &e.worst {
        lines.push(format!("reproduce: {}", reproduce(result, worst.seed)));
    }
    lines.join("\n")
}

fn told(oracle: &Oracle) -> String {
    let show = |value: Option<f64>| value.map_or_else(|| "none".into(), |v| oracle.unit.show(v));
    format!(
        "{}: theory {}, observed {} {}, band ±{}",
        oracle.model,
        show(oracle.theory),
        oracle.observe,
        show(oracle.observed),
        human::fraction(oracle.tolerance)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_failing_run() {
        let text = render(&[&fixture::failing()], None, exit::Inconclusive::Tell);
        insta::assert_snapshot!(text.expect("it is written"));
    }

    #[test]
    fn parts_have_names_of_their_own_and_hostile_text_stays_text() {
        let mut result = fixture::failing();
        result.expectations.truncate(1);
        result.expectations[0].id = "<a> & \"b\" \u{1}\u{7f}".into();
        result.oracles.clear();
        result.invariants.clear();
        let text = render(&[&result], Some("2/8"), exit::Inconclusive::Fail).expect("written");
        assert!(text.contains("&lt;a&gt; &amp; &quot;b&quot;"), "{text}");
        assert!(text.contains("[shard 2/8]"), "{text}");
        assert!(!text.contains('\u{1}'), "{text}");
    }
}
