//! Runs whole scenarios in this process, log and all: what the command line does, without its workers.

use std::{path::Path, sync::Arc};

use backroom_reports::RunResult;
use backroom_sim::{
    run::{
        merge::{Asked, merge},
        one::{self, Options, SeedRun},
        outcome::SeedOutcome,
    },
    scenario::{self, Scenario},
};

/// Reads a scenario with overrides of the form `PATH=VALUE`.
pub(crate) fn load(file: &Path, sets: &[&str]) -> Arc<Scenario> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let loaded = scenario::load(file, &sets).unwrap_or_else(|report| {
        let errors: Vec<_> = report.list.iter().map(|d| &d.title).collect();
        panic!("{}: {errors:?}", file.display())
    });
    assert!(loaded.refusals().is_none(), "{}", file.display());
    Arc::new(loaded.scenario)
}

/// Runs one seed on a thread of its own, as the workers do.
pub(crate) fn run(scenario: &Arc<Scenario>, seed: u64) -> SeedRun {
    let run = || one::run(scenario, seed, Options::default()).expect("it can be run");
    std::thread::scope(|scope| scope.spawn(run).join()).expect("the run ends well")
}

/// The verdict on runs, sorted by seed. The scenario need not be the one that was run.
pub(crate) fn judge(scenario: &Scenario, runs: &[SeedRun]) -> RunResult {
    let outcomes: Vec<_> = runs
        .iter()
        .map(|run| SeedOutcome::of(scenario, run))
        .collect();
    let asked = Asked {
        seeds_planned: outcomes.len(),
        ..Asked::default()
    };
    merge(scenario, &asked, &outcomes, &[], &[])
}
