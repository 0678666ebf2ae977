//! The seeds of a sweep's points over the workers. A point is judged and written down when its last seed has ended, or when `stop_when` has
//! seen enough of them.

use std::sync::{Arc, Mutex};

use backroom_reports::{SeedFailure, exit, grid::Point};

use super::{
    Args,
    log::append,
    plan::{Planned, jobs},
    table::measured_by,
};
use crate::{
    cli::{
        Terminal,
        kept::Wrong,
        progress::Shown,
        signals::{self, Status},
    },
    metric::Sample,
    run::{
        merge::{self, Asked},
        ndjson::Log,
        one::Options,
        outcome::SeedOutcome,
        pool::{self, End, Job, Task, Timeout},
    },
    scenario::{
        Scenario,
        sweep::{Setting, Sweep},
    },
};

/// How it ended.
pub(super) enum Ended {
    Whole,
    Budget,
    Interrupted,
    /// Something cannot be written or run: what, and its exit code.
    Broken(Wrong),
}

pub(super) struct Played {
    pub(super) points: Vec<Point>,
    pub(super) ended: Ended,
}

/// What has come of a point so far.
#[derive(Default)]
struct SoFar {
    outcomes: Vec<SeedOutcome>,
    failures: Vec<SeedFailure>,
    is_done: bool,
}

/// 10 seeds: between two looks at the interval of `stop_when`. Fixed, so that the number of processors decides nothing.
const ROUND: usize = 10;

pub(super) fn play(
    args: &Args,
    terminal: Terminal,
    spec: &Sweep,
    todo: &[&Planned],
    log: Log,
) -> Played {
    let names: Vec<String> = todo
        .iter()
        .map(|p| {
            let values: Vec<&str> = p.settings.iter().map(Setting::plain).collect();
            values.join(" ")
        })
        .collect();
    let status = Arc::new(Status::new(names.clone()));
    let _ears = signals::listen(&status)
        .inspect_err(|error| eprintln!("note: Ctrl-C keeps nothing: {error}"))
        .ok();
    let work: Vec<Job> = todo
        .iter()
        .map(|p| Job {
            file: args.file.clone(),
            sets: p.sets.clone(),
            options: Options::default(),
            strict: false,
            timeout: Timeout::of(args.timeout_per_seed, &p.scenario),
            memory_max: p.scenario.memory_max,
            said: None,
        })
        .collect();
    let total = todo.iter().map(|p| p.seeds.len()).sum();
    let shown = Shown::new(args.progress, terminal, &names, total);
    let state = Mutex::new((
        todo.iter().map(|_| SoFar::default()).collect::<Vec<_>>(),
        Vec::<Point>::new(),
        log,
        None::<Wrong>,
    ));
    let is_out_of_budget = || args.budget.is_some_and(|most| shown.elapsed() >= most);
    let each = |task: &Task, end: &mut End| {
        // A table has no plots, and thousands of seeds have no room for them.
        if let End::Ran(outcome) = end {
            outcome.plots = None;
        }
        let end = &*end;
        let mut state = state.lock().expect("no panic while it is held");
        let (so_far, points, log, wrong) = &mut *state;
        let planned = todo[task.job];
        let one = &mut so_far[task.job];
        match end {
            End::Ran(outcome) => one.outcomes.push((**outcome).clone()),
            End::Failed(failure) => one.failures.push(failure.clone()),
        }
        if one.outcomes.len() + one.failures.len() == planned.seeds.len() {
            finish(args, planned, one, points, log, wrong);
        }
        // A point that is told is on the disk: whoever kills the sweep now finds it there.
        shown.ended(task, end);
        if is_out_of_budget() || wrong.is_some() {
            status.control.finish();
        }
    };
    let mut at = 0;
    loop {
        let tasks: Vec<Task> = {
            let state = state.lock().expect("no panic while it is held");
            let of = |(job, p): (usize, &&Planned)| {
                let range = match spec.stop_when {
                    Some(_) => at.min(p.seeds.len())..(at + ROUND).min(p.seeds.len()),
                    None => 0..p.seeds.len(),
                };
                let range = if state.0[job].is_done { 0..0 } else { range };
                let task = move |seed: &u64| Task {
                    job,
                    seed: *seed,
                    keep_in: None,
                };
                p.seeds[range].iter().map(task).collect::<Vec<_>>()
            };
            todo.iter().enumerate().flat_map(of).collect()
        };
        if tasks.is_empty() || status.control.is_stopping() {
            break;
        }
        let ran = pool::run(&work, &tasks, jobs(args), &status.control, &each);
        if let Err(error) = ran {
            let code = match error {
                pool::PoolError::Refused { .. } => exit::BAD_SCENARIO,
                pool::PoolError::Start(_) => exit::INTERNAL,
                pool::PoolError::CannotWrite { .. } => exit::CANNOT_WRITE,
            };
            let mut state = state.lock().expect("no panic while it is held");
            state.3.get_or_insert((error.to_string(), code));
            break;
        }
        let Some(stop) = &spec.stop_when else { break };
        at += ROUND;
        let mut state = state.lock().expect("no panic while it is held");
        let (so_far, points, log, wrong) = &mut *state;
        for (job, planned) in todo.iter().enumerate() {
            let one = &mut so_far[job];
            if !one.is_done
                && !status.control.is_stopping()
                && is_enough(&planned.scenario, one, stop)
            {
                finish(args, planned, one, points, log, wrong);
            }
        }
    }
    shown.clear();
    let (_, points, _, wrong) = state.into_inner().expect("no panic while it was held");
    Played {
        points,
        ended: match wrong {
            Some(wrong) => Ended::Broken(wrong),
            None if status.control.is_interrupted() => Ended::Interrupted,
            None if status.control.is_stopping() => Ended::Budget,
            None => Ended::Whole,
        },
    }
}

/// Judges a point and writes it down.
fn finish(
    args: &Args,
    planned: &Planned,
    one: &mut SoFar,
    points: &mut Vec<Point>,
    log: &mut Log,
    wrong: &mut Option<Wrong>,
) {
    one.is_done = true;
    one.outcomes.sort_by_key(|o| o.seed);
    one.failures.sort_by_key(|f| f.seed);
    let asked = Asked {
        overrides: planned.sets.clone(),
        seeds_planned: one.outcomes.len() + one.failures.len(),
        ..Asked::default()
    };
    let mut result = merge::merge(&planned.scenario, &asked, &one.outcomes, &one.failures, &[]);
    result.file = args.file.display().to_string();
    let point = Point {
        number: planned.number,
        values: planned
            .settings
            .iter()
            .map(|s| s.plain().to_owned())
            .collect(),
        result,
    };
    if wrong.is_none() {
        *wrong = append(log, &point).err();
    }
    points.push(point);
    // They may be large, and nobody asks for them again.
    one.outcomes = Vec::new();
}

/// Whether the 95 % interval of the mean over seeds is narrow enough. A point whose mean is zero in ten seeds and more is, too: no
/// number of seeds makes an interval relative to it.
fn is_enough(scenario: &Scenario, one: &SoFar, (most, of): &(f64, String)) -> bool {
    let Some(index) = measured_by(scenario, of) else {
        return false;
    };
    let values: Vec<f64> = one
        .outcomes
        .iter()
        .filter_map(|o| match o.samples.get(index) {
            Some(Sample::Number { value } | Sample::AtLeast { value }) => Some(*value),
            Some(Sample::Share { hits, of, .. }) if *of > 0.0 => Some(hits / of),
            Some(Sample::Ratio { over, under }) if *under > 0.0 => Some(over / under),
            _ => None,
        })
        .collect();
    let n = values.len() as f64;
    if values.len() < ROUND {
        return false;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = 1.96 * (variance / n).sqrt();
    half <= most * mean.abs()
}
