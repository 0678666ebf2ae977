//! The seeds of a run: all of them, and with `--verify` all of them again.
//!
//! What ends is shown, written to its journal and counted as it comes, in any order. Decides when enough have failed. Next: `judge`, what is
//! made of them.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use backroom_reports::{SeedFailure, exit, messages::Message};

use super::{Args, Plan};
use crate::{
    cli::{
        outputs::{self, MessageFormat},
        progress::Shown,
    },
    plot::keep::Kept,
    run::{
        merge::{self, Difference},
        ndjson::Log,
        outcome::SeedOutcome,
        outcome_log::Line,
        pool::{self, Control, End, Job, PoolError, Task},
    },
};

/// What came of it.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) outcomes: Vec<SeedOutcome>,
    pub(super) failures: Vec<SeedFailure>,
    pub(super) differences: Vec<Difference>,
    pub(super) plots: Kept,
}

/// Where outcomes are written as they come; the first error is kept.
pub(super) type Journal = Mutex<(Option<Log>, Option<std::io::Error>)>;

/// Runs all seeds, and with `--verify` again. Gives what came of each plan, and why not all were run.
pub(super) fn all(
    args: &Args,
    plans: &[Plan],
    control: &Control,
    jobs: usize,
    shown: &Shown,
    journals: &[Journal],
) -> Result<(Vec<Ended>, Option<String>), i32> {
    let most = match args.fail_fast {
        true => Some(1),
        false => args.max_failures.map(NonZeroUsize::get),
    };
    let failing = AtomicUsize::new(0);
    let plots: Vec<Mutex<Kept>> = plans.iter().map(|_| Mutex::default()).collect();
    let each = |task: &Task, end: &mut End| {
        if let End::Ran(outcome) = end {
            let mut plots = plots[task.job].lock().expect("no panic while it is held");
            plots.take(&plans[task.job].loaded.scenario, outcome);
        }
        let end = &*end;
        shown.ended(task, end);
        if args.outputs.message_format == MessageFormat::Json {
            outputs::say(&seed_message(&plans[task.job], end));
        }
        let mut journal = journals[task.job]
            .lock()
            .expect("no panic while it is held");
        let (log, error) = &mut *journal;
        if let (Some(log), None) = (log, &error) {
            *error = log.append(&Line::from(end)).err();
        }
        let scenario = &plans[task.job].loaded.scenario;
        let fails = match end {
            End::Ran(outcome) => merge::decided_by(scenario, outcome) != exit::OK,
            End::Failed(_) => true,
        };
        if fails && most.is_some_and(|most| failing.fetch_add(1, Ordering::SeqCst) + 1 >= most) {
            control.finish();
        }
    };
    let tasks: Vec<Task> = plans
        .iter()
        .enumerate()
        .flat_map(|(job, plan)| {
            plan.seeds.iter().map(move |seed| Task {
                job,
                seed: *seed,
                keep_in: None,
            })
        })
        .collect();
    let work: Vec<Job> = plans.iter().map(|plan| plan.job.clone()).collect();
    let ran = |tasks: &[Task], each: &(dyn Fn(&Task, &mut End) + Sync)| {
        pool::run(&work, tasks, jobs, control, each).map_err(|error| {
            shown.clear();
            match error {
                PoolError::Start(_) => {
                    eprintln!("error: {error}");
                    exit::INTERNAL
                }
                PoolError::CannotWrite { .. } => {
                    eprintln!("error: {error}");
                    exit::CANNOT_WRITE
                }
                PoolError::Refused { job, .. } => {
                    eprintln!("error: {}: {error}", work[job].file.display());
                    exit::BAD_SCENARIO
                }
            }
        })
    };
    let first = ran(&tasks, &each)?;
    let mut all: Vec<Ended> = plans.iter().map(|_| Ended::default()).collect();
    if args.verify {
        // New workers: a second run in the same process would share what the first one left there.
        let again: Vec<Task> = first.iter().map(|(task, _)| task.clone()).collect();
        let second = ran(&again, &|task, end| {
            // A second run of the same seeds has the same series.
            if let End::Ran(outcome) = end {
                outcome.plots = None;
            }
            shown.ended(task, end);
        })?;
        for (task, difference) in differences(&first, &second) {
            let mut journal = journals[task.job]
                .lock()
                .expect("no panic while it is held");
            let (log, error) = &mut *journal;
            if let (Some(log), None) = (log, &error) {
                *error = log.append(&Line::Differs(difference.clone())).err();
            }
            all[task.job].differences.push(difference);
        }
    }
    for (ended, plots) in all.iter_mut().zip(plots) {
        ended.plots = plots.into_inner().expect("no panic while it was held");
    }
    for (task, end) in first {
        let ended = &mut all[task.job];
        match end {
            End::Ran(outcome) => ended.outcomes.push(*outcome),
            End::Failed(failure) => ended.failures.push(failure),
        }
    }
    let failing = failing.into_inner();
    let stopped = match most {
        _ if control.is_interrupted() => Some("interrupted".to_owned()),
        Some(_) if control.is_stopping() => Some(format!("stopped after {failing} failing seeds")),
        _ => None,
    };
    Ok((all, stopped))
}

fn seed_message(plan: &Plan, end: &End) -> Message {
    let scenario = plan.loaded.scenario.name.clone();
    match end {
        End::Ran(outcome) => Message::SeedFinished {
            scenario,
            seed: outcome.seed,
            trace_hash: outcome.trace_hash.clone(),
            virtual_seconds: outcome.cost.virtual_seconds,
            cpu_seconds: outcome.cost.cpu_seconds,
        },
        End::Failed(failure) => Message::SeedFailed {
            scenario,
            failure: failure.clone(),
        },
    }
}

/// Seeds whose two runs differ.
fn differences(first: &[(Task, End)], second: &[(Task, End)]) -> Vec<(Task, Difference)> {
    let of_second = |task: &Task| second.iter().find(|(other, _)| other == task);
    let mut all = Vec::new();
    for (task, end) in first {
        let hashes = match (end, of_second(task)) {
            (End::Ran(a), Some((_, End::Ran(b)))) => {
                if a.trace_hash == b.trace_hash && a.says_the_same(b) {
                    continue;
                }
                (a.trace_hash.clone(), b.trace_hash.clone())
            }
            (End::Ran(a), Some((_, End::Failed(failure)))) => {
                (a.trace_hash.clone(), format!("none: {}", failure.message))
            }
            // The first failure is told as such; an interruption says nothing.
            _ => continue,
        };
        let seed = task.seed;
        all.push((task.clone(), Difference { seed, hashes }));
    }
    all
}
