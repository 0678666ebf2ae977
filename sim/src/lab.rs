//! The whole engine in a test of yours: read a scenario, run seeds in this process, judge them.
//!
//! ```no_run
//! use backroom_sim::lab::Lab;
//!
//! let lab = Lab::open("scenarios/lunch-uplink-cut.toml", &["fault.uplink-cut.for=10m"]).expect("a scenario");
//! lab.check(&[7]).expect("the store keeps its promises");
//! ```
//! The determinism kit is part of it: each seed gets a fresh thread, whose entropy and clocks belong to its world, so the same
//! seed gives the same run in every process; other threads keep the real ones. What it does not do is what needs a process of its
//! own: fixed addresses and the strict mode (`backroom run --strict`). Next: `run::one`, `run::merge`.

use std::{path::Path, sync::Arc};

use backroom_collector::config::{Format, Report};
use backroom_reports::{
    RunResult, exit,
    terminal::{self, Screen, Styles},
};

use crate::{
    run::{
        merge::{Asked, merge},
        one::{self, Options, RunError, SeedRun},
        outcome::SeedOutcome,
    },
    scenario::{self, Scenario},
    service::Services,
};

/// A scenario that can be run.
#[derive(Clone, Debug)]
pub struct Lab {
    scenario: Arc<Scenario>,
    sets: Vec<String>,
}

impl Lab {
    /// Reads a scenario, with overrides of the form `PATH=VALUE`.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or that this version cannot run, as it is told on the command line.
    pub fn open(file: impl AsRef<Path>, sets: &[&str]) -> Result<Self, String> {
        Self::open_with(file, sets, &Services::installed())
    }

    /// The same, of a store with custom services.
    ///
    /// # Errors
    /// As [`Lab::open`].
    pub fn open_with(
        file: impl AsRef<Path>,
        sets: &[&str],
        services: &Services,
    ) -> Result<Self, String> {
        let told = |report: Report| report.render(Format::Human, false);
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let loaded = scenario::load_with(file.as_ref(), &sets, services).map_err(told)?;
        if let Some(refused) = loaded.refusals() {
            return Err(told(refused));
        }
        Ok(Self {
            scenario: Arc::new(loaded.scenario),
            sets,
        })
    }

    /// What is run.
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    /// Runs one seed to the end of its settle phase; gives all that was recorded.
    ///
    /// # Errors
    /// As [`one::run`].
    ///
    /// # Panics
    /// If a machine's program ends or panics.
    pub fn run(&self, seed: u64) -> Result<SeedRun, RunError> {
        let run = || one::run(&self.scenario, seed, Options::default());
        match std::thread::scope(|scope| scope.spawn(run).join()) {
            Ok(run) => run,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// The verdict on runs: expectations, oracles, invariants. Deterministic, and the same in any order of the runs.
    pub fn judge(&self, runs: &[SeedRun]) -> RunResult {
        let mut outcomes: Vec<SeedOutcome> = runs
            .iter()
            .map(|run| SeedOutcome::of(&self.scenario, run))
            .collect();
        outcomes.sort_by_key(|outcome| outcome.seed);
        let asked = Asked {
            overrides: self.sets.clone(),
            seeds_planned: outcomes.len(),
            ..Asked::default()
        };
        merge(&self.scenario, &asked, &outcomes, &[], &[])
    }

    /// Runs seeds one after the other and judges them.
    ///
    /// # Errors
    /// What the command line shows, if its exit code would not be 0.
    ///
    /// # Panics
    /// As [`Lab::run`].
    pub fn check(&self, seeds: &[u64]) -> Result<RunResult, String> {
        let runs: Result<Vec<SeedRun>, RunError> =
            seeds.iter().map(|seed| self.run(*seed)).collect();
        let result = self.judge(&runs.map_err(|error| error.to_string())?);
        match result.exit_code {
            exit::OK => Ok(result),
            _ => {
                let screen = Screen {
                    styles: Styles::plain(),
                    width: 100,
                    timing: None,
                    report: None,
                };
                Err(terminal::render(&result, &screen))
            }
        }
    }
}
