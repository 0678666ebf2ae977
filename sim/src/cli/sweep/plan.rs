//! What a sweep is to run, read before anything runs, and about how long it will take.

use std::num::NonZeroUsize;

use backroom_collector::config::Format;
use backroom_reports::{exit, human};

use super::Args;
use crate::{
    cli::kept::{self, Wrong},
    scenario::{
        self, Loaded, Scenario,
        sweep::{Setting, Sweep},
    },
};

/// One point, ready to run.
pub(super) struct Planned {
    pub(super) number: usize,
    pub(super) settings: Vec<Setting>,
    pub(super) scenario: Scenario,
    pub(super) sets: Vec<String>,
    pub(super) seeds: Vec<u64>,
}

/// Every point as a scenario of its own: all are read before any is run.
pub(super) fn plan(args: &Args, loaded: &Loaded, spec: &Sweep) -> Result<Vec<Planned>, Wrong> {
    let mut planned = Vec::new();
    let points = spec.points().map_err(|why| (why, exit::BAD_SCENARIO))?;
    if points.is_empty() {
        return Err((
            "every point of the sweep is skipped".into(),
            exit::BAD_SCENARIO,
        ));
    }
    let seeds = match &args.seeds {
        Some(seeds) => seeds.0.clone(),
        None => spec.seeds(&loaded.scenario.seeds),
    };
    for (number, settings) in points.into_iter().enumerate() {
        let mut sets = args.sets.clone();
        sets.extend(settings.iter().map(Setting::set));
        let point = scenario::load(&args.file, &sets);
        let refusals = point.as_ref().ok().and_then(Loaded::refusals);
        let point = match (point, refusals) {
            (Ok(point), None) => point,
            (Err(report), _) | (_, Some(report)) => {
                let why = format!(
                    "point {}:\n{}",
                    sets.join(", "),
                    report.render(Format::Human, false).trim_end()
                );
                return Err((why, i32::from(report.exit_code())));
            }
        };
        planned.push(Planned {
            number,
            settings,
            scenario: point.scenario,
            sets,
            seeds: seeds.clone(),
        });
    }
    Ok(planned)
}

/// What is to come, on standard error. A run that is kept says what a seed costs; without one the first seeds will.
pub(super) fn estimate(
    args: &Args,
    loaded: &Loaded,
    spec: &Sweep,
    planned: &[Planned],
    todo: &[&Planned],
) {
    let runs: usize = todo.iter().map(|p| p.seeds.len()).sum();
    let simulated = human::span(loaded.scenario.duration.as_secs_f64());
    let kept = args.runs.join(&loaded.scenario.name).join("latest");
    let cost = kept::manifest(&kept).ok().and_then(|m| {
        let cost = m.timing.cpu_seconds? / m.timing.simulated_seconds;
        cost.is_finite().then_some(cost)
    });
    let jobs = jobs(args) as f64;
    let about = match cost {
        Some(cost) => {
            let all: f64 = todo
                .iter()
                .map(|p| p.scenario.duration.as_secs_f64() * p.seeds.len() as f64)
                .sum();
            let time = human::seconds(all * cost / jobs);
            format!(
                "about {time} on {jobs} processors, by the cost of {}",
                kept.display()
            )
        }
        None => "no run of it is kept that would say how long".into(),
    };
    let most = if spec.stop_when.is_some() {
        "at most "
    } else {
        ""
    };
    eprintln!(
        "{}: {} of {} points, {most}{runs} runs of {simulated}; {about}",
        loaded.scenario.name,
        todo.len(),
        planned.len()
    );
}

pub(super) fn jobs(args: &Args) -> usize {
    args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        NonZeroUsize::get,
    )
}
