//! What a search has found, and how it is shown.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::human;

/// A search around one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FuzzResult {
    /// Version of this type: the result's.
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// Its file, as it was named.
    pub file: String,
    /// The seed of the search.
    pub seed: u64,
    /// Which part of the cases it ran: `2/8`; `None` is all of them.
    pub shard: Option<String>,
    /// Cases that were run.
    pub cases: u64,
    /// Cases that were asked for; `None` where only the budget ends it.
    pub cases_planned: Option<u64>,
    /// Cases in which something failed.
    pub cases_failed: u64,
    /// Cases that took too long by the wall clock: nothing is known of them.
    pub cases_timed_out: u64,
    /// Cases that held more memory than `limits.memory` allows: nothing is known of them.
    #[serde(default)]
    pub cases_out_of_memory: u64,
    /// What failed, in the order in which it was found: the gravest of each case that has nothing in common with an earlier one.
    pub found: Vec<FuzzFinding>,
    /// Why it ended early; empty if it did not.
    pub stopped: String,
    /// What it exits with.
    pub exit_code: i32,
    /// Wall-clock time of all of it, seconds.
    pub wall_seconds: f64,
}

/// Something that fails, in its smallest form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FuzzFinding {
    /// What fails: an invariant such as `DELIVERY-1`, an expectation by its name, or where it crashed.
    pub check: String,
    /// What it says in the smallest form.
    pub message: String,
    /// The first case that fails by it.
    pub case: u64,
    /// Cases that fail by it, that one included.
    pub cases: u64,
    /// Size before, in words.
    pub from: String,
    /// Size after, in words.
    pub to: String,
    /// Why it may be not the smallest; empty if no single step makes it smaller.
    pub unfinished: String,
    /// The file; `None` if none was written.
    pub file: Option<String>,
    /// Wall-clock time from the beginning until the case had ended, seconds.
    pub found_after_seconds: f64,
    /// Wall-clock time of shrinking, seconds.
    pub shrink_seconds: f64,
    /// Runs of shrinking.
    pub shrink_runs: u64,
}

impl FuzzResult {
    /// Cases that came to their end: those of which something is known.
    pub fn cases_judged(&self) -> u64 {
        let unknown = self.cases_timed_out + self.cases_out_of_memory;
        self.cases.saturating_sub(unknown)
    }

    /// Whether cases were begun, and not one of them came to its end: nothing was found out.
    pub fn is_inconclusive(&self) -> bool {
        let is_begun = self.cases > 0 || !self.stopped.is_empty();
        is_begun && self.cases_judged() == 0
    }
}

/// As JSON.
pub fn json(result: &FuzzResult) -> String {
    crate::json::pretty(result)
}

/// JSON Schema (2020-12) of [`FuzzResult`].
pub fn schema() -> String {
    crate::json::pretty(&schemars::schema_for!(FuzzResult))
}

/// As people read it, a newline at its end.
pub fn render(result: &FuzzResult) -> String {
    let cases = |n: u64| match n {
        1 => "1 case".to_owned(),
        n => format!("{n} cases"),
    };
    let shard = result
        .shard
        .as_ref()
        .map_or_else(String::new, |s| format!("  shard {s}"));
    let mut out = format!(
        "{}  search with seed {}{shard}  {} in {}\n",
        result.scenario,
        result.seed,
        cases(result.cases),
        human::seconds(result.wall_seconds)
    );
    for found in &result.found {
        let _ = writeln!(
            out,
            "  ✗ {}  first in case {} after {}, {} in all\n      {}",
            found.check,
            found.case,
            human::seconds(found.found_after_seconds),
            cases(found.cases),
            found.message
        );
        let _ = writeln!(
            out,
            "      shrunk, before: {}\n              after:  {}, in {} runs, {}",
            found.from,
            found.to,
            found.shrink_runs,
            human::seconds(found.shrink_seconds)
        );
        if !found.unfinished.is_empty() {
            let _ = writeln!(out, "      perhaps not the smallest: {}", found.unfinished);
        }
        if let Some(file) = &found.file {
            let _ = writeln!(out, "      backroom run {file}");
        }
    }
    for (n, what) in [
        (
            result.cases_timed_out,
            "took longer than --timeout-per-run allows",
        ),
        (
            result.cases_out_of_memory,
            "held more than `limits.memory` allows",
        ),
    ] {
        let of = if n == 1 { "it" } else { "them" };
        if n > 0 {
            let n = cases(n);
            let _ = writeln!(out, "  note: {n} {what}, and nothing is known of {of}");
        }
    }
    if !result.stopped.is_empty() {
        let planned = result
            .cases_planned
            .map_or_else(String::new, |n| format!(" of {n}"));
        let _ = writeln!(
            out,
            "  note: {}: {}{planned} cases were run",
            result.stopped, result.cases
        );
    }
    let word = match (result.exit_code, result.found.is_empty()) {
        (crate::exit::INTERRUPTED, _) => "INTERRUPTED",
        (crate::exit::CANNOT_WRITE, _) => "NOT WRITTEN",
        (crate::exit::INTERNAL, true) => "FAIL",
        (crate::exit::UNFINISHED, true) => "UNFINISHED",
        (crate::exit::INCONCLUSIVE, true) => "INCONCLUSIVE",
        (_, true) => "PASS",
        (_, false) => "FAIL",
    };
    let judged = result.cases_judged();
    let what = match result.found.len() {
        0 if result.is_inconclusive() => "no case came to its end".to_owned(),
        0 => format!("nothing fails in {}", cases(judged)),
        n => format!(
            "{n} {} in {} of {}",
            if n == 1 { "check fails" } else { "checks fail" },
            result.cases_failed,
            cases(judged)
        ),
    };
    let _ = writeln!(out, "{word}  {what}      exit {}", result.exit_code);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> FuzzResult {
        FuzzResult {
            schema_version: crate::SCHEMA_VERSION,
            scenario: "quick".into(),
            file: "quick.toml".into(),
            seed: 1,
            shard: Some("2/3".into()),
            cases: 41,
            cases_planned: Some(100),
            cases_failed: 3,
            cases_timed_out: 2,
            cases_out_of_memory: 1,
            found: vec![FuzzFinding {
                check: "DELIVERY-1".into(),
                message: "what was acknowledged arrives: 3 of 40 never arrived".into(),
                case: 7,
                cases: 3,
                from: "5 faults, 9 machines, 90s, 101 settings".into(),
                to: "1 fault, 2 machines, 20s, 31 settings".into(),
                unfinished: "the budget is spent".into(),
                file: Some("runs/quick.fuzz/x/quick-delivery-1.toml".into()),
                found_after_seconds: 3.25,
                shrink_seconds: 12.0,
                shrink_runs: 88,
            }],
            stopped: "the budget is spent".into(),
            exit_code: crate::exit::SUSPECT,
            wall_seconds: 20.0,
        }
    }

    #[test]
    fn a_search_is_shown_with_what_it_found() {
        insta::assert_snapshot!(render(&result()));
        let nothing = FuzzResult {
            found: Vec::new(),
            cases_failed: 0,
            cases_timed_out: 0,
            cases_out_of_memory: 0,
            stopped: String::new(),
            shard: None,
            exit_code: 0,
            ..result()
        };
        insta::assert_snapshot!(render(&nothing));
    }

    #[test]
    fn cases_that_were_stopped_do_not_pass() {
        let check = |cases, cases_timed_out, stopped: &str, exit_code, expect: &str| {
            let result = FuzzResult {
                found: Vec::new(),
                cases,
                cases_failed: 0,
                cases_timed_out,
                cases_out_of_memory: 0,
                stopped: stopped.into(),
                exit_code,
                ..result()
            };
            let text = render(&result);
            assert!(text.ends_with(expect), "{text}");
            let is_unknown = exit_code == crate::exit::INCONCLUSIVE;
            assert_eq!(result.is_inconclusive(), is_unknown, "{text}");
        };
        check(8, 7, "", 0, "\nPASS  nothing fails in 1 case      exit 0\n");
        let none = "\nINCONCLUSIVE  no case came to its end      exit 2\n";
        check(8, 8, "", 2, none);
        check(0, 0, "the budget is spent", 2, none);
        // A part of few cases may have none.
        check(
            0,
            0,
            "",
            0,
            "\nPASS  nothing fails in 0 cases      exit 0\n",
        );
    }

    #[test]
    fn json_reads_back() {
        let result = result();
        let again: FuzzResult = serde_json::from_str(&json(&result)).expect("JSON");
        assert_eq!(again, result);
    }
}
