//! What GitHub Actions shows of a run: annotations on the lines of the scenario, and the summary of the step.
//!
//! GitHub shows ten errors and ten warnings of a step and drops the rest: errors come first, what has no room is counted in the
//! last one, and the step summary has all of it.

use std::fmt::Write as _;

use crate::{RunResult, Severity, Verdict, exit, junit, terminal::reproduce};

/// 10 of a level in a step: what GitHub shows.
const LEVEL_MAX: usize = 10;

struct Annotation {
    error: bool,
    /// File and line; none for what stands in no file.
    place: Option<(String, usize)>,
    title: String,
    text: String,
}

/// Annotations as workflow commands, one a line. Empty where everything holds.
pub fn annotations(results: &[&RunResult], inconclusive: exit::Inconclusive) -> String {
    let all: Vec<Annotation> = results
        .iter()
        .flat_map(|result| of(result, inconclusive))
        .collect();
    let mut out = String::new();
    for (error, level) in [(true, "error"), (false, "warning")] {
        let of_level: Vec<&Annotation> = all.iter().filter(|a| a.error == error).collect();
        let more = of_level.len().saturating_sub(LEVEL_MAX);
        // The last place says how many have none.
        let shown = if more > 0 { LEVEL_MAX - 1 } else { LEVEL_MAX };
        for annotation in of_level.iter().take(shown) {
            line(level, annotation, &mut out);
        }
        if more > 0 {
            let _ = writeln!(out, "::{level}::and {} more, in the summary", more + 1);
        }
    }
    out
}

fn line(level: &str, annotation: &Annotation, out: &mut String) {
    let mut properties = Vec::new();
    if let Some((file, line)) = &annotation.place {
        properties.push(format!("file={}", property(file)));
        properties.push(format!("line={line}"));
    }
    properties.push(format!("title={}", property(&annotation.title)));
    let text = data(&annotation.text);
    let _ = writeln!(out, "::{level} {}::{text}", properties.join(","));
}

fn of(result: &RunResult, inconclusive: exit::Inconclusive) -> Vec<Annotation> {
    let mut all = Vec::new();
    for e in &result.expectations {
        let error = match (e.verdict, e.severity) {
            (Verdict::Fail, Severity::Error) => true,
            (Verdict::Fail, Severity::Warn) => false,
            (Verdict::Inconclusive, _) if inconclusive != exit::Inconclusive::Pass => {
                inconclusive == exit::Inconclusive::Fail
            }
            _ => continue,
        };
        let mut text = junit::short(e);
        text.push_str(&format!(
            "; {} of {} seeds hold it",
            e.seeds_held, e.seeds_total
        ));
        e.notes
            .iter()
            .for_each(|note| text.push_str(&format!("\n{note}")));
        if let Some(worst) = &e.worst {
            text.push_str(&format!("\nreproduce: {}", reproduce(result, worst.seed)));
        }
        all.push(Annotation {
            error,
            // What `--set` changed stands in no file.
            place: (!e.file.starts_with("--")).then(|| (e.file.clone(), e.line)),
            title: format!("{}: {}", result.scenario, e.id),
            text,
        });
    }
    for oracle in result.oracles.iter().filter(|o| o.verdict == Verdict::Fail) {
        all.push(Annotation {
            error: true,
            place: Some((oracle.file.clone(), oracle.line)),
            title: format!("{}: {}", result.scenario, oracle.id),
            text: format!("{} does not agree with {}", oracle.observe, oracle.model),
        });
    }
    for invariant in result.violated() {
        let again = invariant.seed.map(|seed| reproduce(result, seed));
        let again = again.map(|again| format!("\nreproduce: {again}"));
        all.push(Annotation {
            error: true,
            place: Some((result.file.clone(), 1)),
            title: format!("{}: {} violated", result.scenario, invariant.id),
            text: format!("{}{}", invariant.message, again.unwrap_or_default()),
        });
    }
    for failure in &result.failures {
        all.push(Annotation {
            error: true,
            place: Some((result.file.clone(), 1)),
            title: format!("{}: seed {}", result.scenario, failure.seed),
            text: failure.message.clone(),
        });
    }
    all
}

/// The text of a workflow command: a line break would end it.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a workflow command: a colon or a comma would end it, too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The summary of a step, in Markdown.
pub fn summary(results: &[&RunResult]) -> String {
    let mut out = String::new();
    for result in results {
        let verdict = match result.exit_code {
            exit::OK => "✅ all holds".to_owned(),
            code => format!("❌ exit {code}: {}", cell(&result.exit_reason)),
        };
        let _ = writeln!(out, "### {}: {verdict}\n", cell(&result.scenario));
        let of = match result.seeds.len() == result.seeds_planned {
            true => format!("{} seeds", result.seeds.len()),
            false => format!("{} of {} seeds", result.seeds.len(), result.seeds_planned),
        };
        let _ = writeln!(out, "{}, {of}\n", cell(&result.description));
        let _ = writeln!(
            out,
            "| | expectation | measured | limit | seeds | see it again |"
        );
        let _ = writeln!(out, "|---|---|---|---|---|---|");
        for e in &result.expectations {
            let value = match e.value {
                None => "= –".into(),
                Some(value) if e.value_is_lower_bound => format!("> {}", e.unit.show(value)),
                Some(value) => format!("= {}", e.unit.show(value)),
            };
            let again = match (e.verdict, &e.worst) {
                (Verdict::Fail | Verdict::Inconclusive, Some(worst)) => {
                    format!("`{}`", cell(&reproduce(result, worst.seed)))
                }
                _ => String::new(),
            };
            let _ = writeln!(
                out,
                "| {} | {} | `{}` {value} | {} {} | {}/{} | {again} |",
                sign(e.verdict),
                cell(&e.id),
                cell(&e.measure),
                e.op.sign(),
                cell(&e.limit_text),
                e.seeds_held,
                e.seeds_total
            );
        }
        for invariant in result.violated() {
            let _ = writeln!(
                out,
                "\n❌ **{}** {}",
                invariant.id,
                cell(&invariant.message)
            );
        }
        for failure in &result.failures {
            let _ = writeln!(
                out,
                "\n❌ seed {}: {}",
                failure.seed,
                cell(&failure.message)
            );
        }
        out.push('\n');
    }
    out
}

fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "❔",
        Verdict::Skipped => "➖",
    }
}

/// Text in a cell of a table: no bar, no line break, no HTML.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_failing_run_is_annotated_and_summed_up() {
        let result = fixture::failing();
        let shown = annotations(&[&result], exit::Inconclusive::Tell);
        insta::assert_snapshot!(format!("{shown}---\n{}", summary(&[&result])));
    }

    #[test]
    fn a_value_that_was_not_reached_is_no_value() {
        let mut result = fixture::failing();
        let e = &mut result.expectations[0];
        e.value_is_lower_bound = true;
        let shown = format!("` > {} |", e.unit.show(e.value.expect("one")));
        assert!(summary(&[&result]).contains(&shown), "{shown}");
    }

    #[test]
    fn errors_come_first_and_hostile_text_stays_in_its_line() {
        let mut result = fixture::failing();
        let mut one = result.expectations[0].clone();
        one.verdict = Verdict::Fail;
        one.id = "a,b:c\n::error::x".into();
        one.notes = vec!["50%\r\nof it".into()];
        let mut warning = one.clone();
        warning.severity = Severity::Warn;
        result.expectations = vec![warning];
        result.expectations.extend(std::iter::repeat_n(one, 12));
        result.oracles.clear();
        result.invariants.clear();
        let shown = annotations(&[&result], exit::Inconclusive::Tell);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 11, "{shown}");
        assert!(
            lines[..9].iter().all(|l| l.starts_with("::error file=")),
            "{shown}"
        );
        assert_eq!(lines[9], "::error::and 3 more, in the summary");
        assert!(lines[10].starts_with("::warning file="), "{shown}");
        assert!(
            lines[0].contains("a%2Cb%3Ac%0A%3A%3Aerror%3A%3Ax::"),
            "{shown}"
        );
        assert!(lines[0].contains("50%25%0D%0Aof it"), "{shown}");
    }
}
