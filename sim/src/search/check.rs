//! What fails in one seed: an invariant, an expectation, a closed form, or the program itself.
//!
//! Two failures are the same if their [`Check`] is: a smaller scenario that fails otherwise is another finding.

use backroom_reports::{RunResult, Severity, Unit, Verdict, exit};
use serde::{Deserialize, Serialize};

use crate::{
    run::{
        merge::{self, Asked},
        outcome::SeedOutcome,
    },
    scenario::Scenario,
};

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The seed ended early: where the program says that it panicked, else how its process ended.
    Crash(String),
    /// An invariant, by its id.
    Invariant(String),
    /// A closed form, by its name.
    Oracle(String),
    /// An expectation, by its name.
    Expect(String),
}

impl Check {
    /// The exit code of a run that fails by it alone.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Crash(_) => exit::INTERNAL,
            Self::Invariant(_) | Self::Oracle(_) => exit::SUSPECT,
            Self::Expect(_) => exit::FAILED,
        }
    }

    /// Its name for a file: lower-case letters, digits and `-`.
    pub fn slug(&self) -> String {
        let text = match self {
            Self::Crash(place) => format!("crash-{place}"),
            Self::Invariant(id) | Self::Oracle(id) | Self::Expect(id) => id.clone(),
        };
        let mut slug = String::new();
        for c in text.chars() {
            match c.is_ascii_alphanumeric() {
                true => slug.push(c.to_ascii_lowercase()),
                false if slug.ends_with('-') => {}
                false => slug.push('-'),
            }
        }
        slug.trim_matches('-').chars().take(60).collect()
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Crash(place) => write!(f, "crash at {place}"),
            Self::Invariant(id) => f.write_str(id),
            Self::Oracle(id) => write!(f, "oracle {id}"),
            Self::Expect(id) => f.write_str(id),
        }
    }
}

/// A check that failed, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which one.
    pub check: Check,
    /// What it says: in one line.
    pub message: String,
}

/// All that fails in a seed, the gravest first. What is judged with too few samples does not fail, nor does what only warns.
pub fn failures(scenario: &Scenario, outcome: &SeedOutcome) -> Vec<Failure> {
    let asked = Asked {
        seeds_planned: 1,
        ..Asked::default()
    };
    let outcomes = std::slice::from_ref(outcome);
    of_result(&merge::merge(scenario, &asked, outcomes, &[], &[]))
}

fn of_result(result: &RunResult) -> Vec<Failure> {
    let failed = |verdict| verdict == Verdict::Fail;
    let invariants = result.invariants.iter().filter(|i| failed(i.verdict));
    let invariants = invariants.map(|i| Failure {
        check: Check::Invariant(i.id.clone()),
        message: format!("{}: {}", i.title, i.message),
    });
    let oracles = result.oracles.iter().filter(|o| failed(o.verdict));
    let oracles = oracles.map(|o| Failure {
        check: Check::Oracle(o.id.clone()),
        message: format!(
            "{}: {} where {} says {}",
            o.observe,
            shown(o.unit, o.observed),
            o.model,
            shown(o.unit, o.theory)
        ),
    });
    let expects = result.expectations.iter();
    let expects = expects.filter(|e| failed(e.verdict) && e.severity == Severity::Error);
    let expects = expects.map(|e| Failure {
        check: Check::Expect(e.id.clone()),
        message: format!(
            "{}, {}: it is {}{}",
            e.text,
            e.window,
            if e.value_is_lower_bound {
                "at least "
            } else {
                ""
            },
            shown(e.unit, e.value)
        ),
    });
    invariants.chain(oracles).chain(expects).collect()
}

fn shown(unit: Unit, value: Option<f64>) -> String {
    value.map_or_else(|| "nothing".into(), |value| unit.show(value))
}

/// What ended a worker, from how its process ended and what it said.
pub fn crash(how: &str, said: &str) -> Failure {
    // `thread 'seed 7' (123) panicked at sim/src/store/pos/mod.rs:17:5:` and the message in the next lines.
    let mut lines = said.lines();
    let place = lines.find_map(|line| line.split_once(" panicked at ").map(|(_, place)| place));
    let Some(place) = place else {
        return Failure {
            check: Check::Crash(how.to_owned()),
            message: how.to_owned(),
        };
    };
    let place = place.trim_end_matches(':');
    // Without the column: it says nothing that the line does not.
    let line = place.rsplit_once(':').map_or(place, |(line, _)| line);
    Failure {
        check: Check::Crash(line.to_owned()),
        message: lines.next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_known_by_its_place() {
        let check = |how: &str, said: &str, place: &str, message: &str| {
            let failure = crash(how, said);
            assert_eq!(failure.check, Check::Crash(place.into()));
            assert_eq!(failure.message, message);
        };
        check(
            "exit status: 70",
            "note: x\n\nthread 'seed 7' (12) panicked at sim/src/store/pos/mod.rs:17:5:\npos-1 has stopped: full\nnote: run with",
            "sim/src/store/pos/mod.rs:17",
            "pos-1 has stopped: full",
        );
        check("signal: 6", "", "signal: 6", "signal: 6");
    }

    #[test]
    fn names_of_files_are_plain() {
        let check = |check: Check, expect: &str| assert_eq!(check.slug(), expect);
        check(Check::Invariant("DELIVERY-1".into()), "delivery-1");
        check(Check::Expect("no_order--lost".into()), "no-order-lost");
        check(
            Check::Crash("sim/src/a.rs:1".into()),
            "crash-sim-src-a-rs-1",
        );
    }
}
