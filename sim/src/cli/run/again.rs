//! The seeds of which everything is kept, run once more: which these are is known only when all are judged.
//!
//! A second run that ends otherwise than the first is no detail: it is told, and decides the exit code. What was asked for and cannot be kept is
//! told too.

use backroom_reports::{RunResult, exit};

use super::{Args, Plan};
use crate::{
    cli::outputs::Judged,
    run::{
        pool::{self, Control, End, Job, PoolError, Task},
        seeds,
    },
};

/// Runs them again. What goes wrong decides the exit code of whose seed it is.
pub(super) fn kept_seeds(
    args: &Args,
    plans: &[Plan],
    judged: &mut [Judged<'_>],
    control: &Control,
    jobs: usize,
) {
    let mut tasks = Vec::new();
    for (job, one) in judged.iter().enumerate() {
        let Some(folder) = &one.folder else { continue };
        if let Some(note) = not_there(&args.events.missing(&one.result), &one.result) {
            eprintln!("note: {note}");
        }
        for seed in args.events.of(&one.result) {
            let keep_in = folder.folder.join("seeds").join(seed.to_string());
            // Workers may stand elsewhere one day; a whole path means the same everywhere.
            let keep_in = std::path::absolute(&keep_in).unwrap_or(keep_in);
            tasks.push(Task {
                job,
                seed,
                keep_in: Some(keep_in),
            });
        }
    }
    // A run that stopped early because enough had failed goes on here: the failures are what is to be kept.
    control.go_on();
    if tasks.is_empty() || control.is_interrupted() {
        return;
    }
    let work: Vec<Job> = plans.iter().map(|plan| plan.job.clone()).collect();
    let wrong = match pool::run(&work, &tasks, jobs, control, &|_, _| {}) {
        Ok(ends) => {
            let results: Vec<&RunResult> = judged.iter().map(|j| &j.result).collect();
            told(&results, &tasks, &ends)
        }
        Err(error) => {
            let (why, code) = match error {
                PoolError::Refused { seed, why, .. } | PoolError::CannotWrite { seed, why } => {
                    let why = format!("keep the events of seed {seed}: {why}");
                    (why, exit::CANNOT_WRITE)
                }
                error => (error.to_string(), exit::INTERNAL),
            };
            // Whose seed it was is not always known; that one of them is not kept is.
            vec![(tasks[0].job, why, code)]
        }
    };
    for (job, why, code) in wrong {
        judged[job].ends_otherwise(code, &why);
    }
}

/// Of which seeds nothing can be kept although it was asked for, and why.
fn not_there(missing: &[u64], result: &RunResult) -> Option<String> {
    let (mut failed, mut absent) = (Vec::new(), Vec::new());
    for seed in missing {
        match result.failures.iter().find(|f| f.seed == *seed) {
            Some(failure) => failed.push(format!("seed {seed}, which {}", failure.kind.as_str())),
            None => absent.push(*seed),
        }
    }
    if !absent.is_empty() {
        failed.push(format!(
            "seeds {}, which were not run",
            seeds::show(&absent)
        ));
    }
    let what = (!failed.is_empty()).then(|| failed.join("; "));
    what.map(|what| format!("{}: nothing is kept of {what}", result.scenario))
}

/// What is wrong with second runs, and with whose: those that ended early, that differ from the first one, that did not take place.
fn told(results: &[&RunResult], tasks: &[Task], ends: &[(Task, End)]) -> Vec<(usize, String, i32)> {
    let mut all = Vec::new();
    for task in tasks {
        let result = results[task.job];
        let name = format!("{}, seed {}", result.scenario, task.seed);
        let first = result.traces.iter().find(|t| t.seed == task.seed);
        all.extend(match ends.iter().find(|(other, _)| other == task) {
            Some((_, End::Ran(outcome))) => first
                .filter(|first| first.hash != outcome.trace_hash)
                .map(|first| {
                    let why = format!(
                        "{name}: its trace was {}, and is {} in the run whose events are kept",
                        first.hash, outcome.trace_hash
                    );
                    (task.job, why, exit::SUSPECT)
                }),
            Some((_, End::Failed(failure))) => Some((
                task.job,
                format!("{name}: its events are not kept: {}", failure.message),
                exit::INTERNAL,
            )),
            None => Some((
                task.job,
                format!("{name}: interrupted before its events were kept"),
                exit::INTERRUPTED,
            )),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use backroom_reports::{SeedFailure, SeedFailureKind, SeedTrace};

    use super::*;
    use crate::run::{merge, outcome::SeedOutcome};

    fn outcome(seed: u64, hash: &str) -> SeedOutcome {
        let scenario = crate::metric::fixture::scenario();
        let mut paper = crate::metric::fixture::Log::default();
        SeedOutcome {
            seed,
            trace_hash: hash.into(),
            samples: vec![],
            oracles: vec![],
            physics: vec![],
            findings: crate::invariant::check(&paper.log(&scenario)),
            timeline: vec![],
            pending: vec![],
            idle_faults: vec![],
            plots: None,
            cost: crate::run::outcome::Cost::default(),
        }
    }

    fn result() -> RunResult {
        let scenario = crate::scenario::Scenario {
            expects: vec![],
            oracles: vec![],
            ..crate::metric::fixture::scenario()
        };
        let failure = SeedFailure {
            seed: 9,
            kind: SeedFailureKind::TimedOut,
            message: "stopped".into(),
        };
        let outcomes = [outcome(1, "aa"), outcome(2, "bb")];
        let asked = merge::Asked::default();
        let mut result = merge::merge(&scenario, &asked, &outcomes, &[failure], &[]);
        result.scenario = "x".into();
        result
    }

    /// Guarantees: a second run that crashes, differs or does not take place is told with its code; one that is the same is not.
    #[test]
    fn second_runs_that_end_otherwise_are_told() {
        let result = result();
        assert_eq!(
            result.traces[0],
            SeedTrace {
                seed: 1,
                hash: "aa".into()
            }
        );
        let check = |end: Option<End>, expect: Option<(&str, i32)>| {
            let task = Task {
                job: 0,
                seed: 1,
                keep_in: None,
            };
            let ends: Vec<_> = end.into_iter().map(|end| (task.clone(), end)).collect();
            let told = told(&[&result], &[task], &ends);
            let got = told.first().map(|(_, why, code)| (why.as_str(), *code));
            assert_eq!(got, expect);
        };
        let ran = |hash| Some(End::Ran(Box::new(outcome(1, hash))));
        check(ran("aa"), None);
        check(
            ran("ab"),
            Some((
                "x, seed 1: its trace was aa, and is ab in the run whose events are kept",
                exit::SUSPECT,
            )),
        );
        let failed = End::Failed(SeedFailure {
            seed: 1,
            kind: SeedFailureKind::Crashed,
            message: "the worker ended early".into(),
        });
        check(
            Some(failed),
            Some((
                "x, seed 1: its events are not kept: the worker ended early",
                exit::INTERNAL,
            )),
        );
        check(
            None,
            Some((
                "x, seed 1: interrupted before its events were kept",
                exit::INTERRUPTED,
            )),
        );
    }

    #[test]
    fn seeds_of_which_nothing_can_be_kept_are_named() {
        let check = |missing: &[u64], expect: Option<&str>| {
            assert_eq!(not_there(missing, &result()).as_deref(), expect);
        };
        check(&[], None);
        check(
            &[7, 8, 9],
            Some("x: nothing is kept of seed 9, which timed out; seeds 7,8, which were not run"),
        );
    }
}
