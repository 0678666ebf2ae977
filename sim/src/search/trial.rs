//! Runs changed scenarios and says what fails in each: every one is a real run, in a worker process of its own, with a limit of time.
//!
//! A candidate is printed to a file and read by the same code that reads what people write, so nothing is tried that could not be
//! committed. Next: `run::pool`, who runs them.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use backroom_reports::SeedFailureKind;

use super::{
    check::{self, Failure},
    doc::Doc,
};
use crate::{
    run::{
        one::Options,
        pool::{self, Control, End, Job, PoolError, Task, Timeout},
    },
    scenario::{self, Scenario},
    world::MACHINES_MAX,
};

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Tried {
    /// It is no scenario that can be run.
    Invalid,
    /// It ran to its end, or crashed: what failed, the gravest first.
    Ran(Ran),
    /// It took too long by the wall clock, which says nothing.
    TimedOut,
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ran {
    /// What failed, the gravest first.
    pub failures: Vec<Failure>,
    /// Its trace; empty after a crash.
    pub trace_hash: String,
    /// Seconds that were simulated.
    pub virtual_seconds: f64,
}

/// Why nothing is tried any more.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Somebody interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// The time is over.
    #[error("the budget is spent")]
    Budget,
    /// So many runs were allowed.
    #[error("the runs that were allowed are spent")]
    Runs,
    /// Files or processes fail.
    #[error("{0}")]
    Broken(String),
}

/// Who tries candidates.
pub trait Tries {
    /// How many are worth trying at once.
    fn parallel(&self) -> usize;

    /// Tries all of them; gives what became of each, in order.
    ///
    /// # Errors
    /// If it has to stop; what was tried by then is lost.
    fn all(&mut self, docs: &[Doc]) -> Result<Vec<Tried>, Stop>;
}

/// Runs candidates in worker processes.
#[derive(Debug)]
pub struct Trial<'a> {
    /// Where candidates are written; gone when it is dropped.
    folder: tempfile::TempDir,
    /// How worlds are computed.
    pub options: Options,
    /// Wall-clock time that one run may take.
    pub timeout: Duration,
    /// Worker processes.
    pub jobs: usize,
    /// Whoever may interrupt it.
    pub control: &'a Control,
    /// When the time is over; `None` is never.
    pub deadline: Option<Instant>,
    /// Candidates that were run.
    pub runs: usize,
}

impl<'a> Trial<'a> {
    /// Runs on `jobs` processes.
    ///
    /// # Errors
    /// If there is no room for candidates.
    pub fn new(control: &'a Control, jobs: usize, timeout: Duration) -> std::io::Result<Self> {
        Ok(Self {
            folder: tempfile::Builder::new().prefix("backroom-").tempdir()?,
            options: Options::default(),
            timeout,
            jobs: jobs.max(1),
            control,
            deadline: None,
            runs: 0,
        })
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "a limit on wall-clock time")]
        let now = Instant::now();
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// A candidate's scenario, as a run would read it; `None` if there is none that can be run.
    pub fn read(&self, doc: &Doc) -> Option<Scenario> {
        let path = self.folder.path().join("read.toml");
        std::fs::write(&path, doc.print()).ok()?;
        read(&path)
    }
}

/// A file's scenario, if it can be run.
fn read(path: &Path) -> Option<Scenario> {
    let loaded = scenario::load(path, &[]).ok()?;
    let machines: u64 = loaded
        .scenario
        .nodes
        .values()
        .map(|node| u64::from(node.count))
        .sum();
    // Head office, and its gateway.
    let fits = machines + 2 <= MACHINES_MAX as u64;
    (fits && loaded.refusals().is_none()).then_some(loaded.scenario)
}

impl Tries for Trial<'_> {
    fn parallel(&self) -> usize {
        self.jobs
    }

    fn all(&mut self, docs: &[Doc]) -> Result<Vec<Tried>, Stop> {
        if self.control.is_interrupted() {
            return Err(Stop::Interrupted);
        }
        if self.is_over() {
            return Err(Stop::Budget);
        }
        let broken = |what: &Path, error: std::io::Error| {
            Stop::Broken(format!("write {}: {error}", what.display()))
        };
        let mut tried: Vec<Tried> = docs.iter().map(|_| Tried::Invalid).collect();
        let (mut jobs, mut tasks, mut scenarios) = (Vec::new(), Vec::new(), Vec::new());
        for (at, doc) in docs.iter().enumerate() {
            let file = self.folder.path().join(format!("{at}.toml"));
            std::fs::write(&file, doc.print()).map_err(|e| broken(&file, e))?;
            let Some(scenario) = read(&file) else {
                continue;
            };
            tasks.push(Task {
                job: jobs.len(),
                seed: scenario.seeds.first().copied().unwrap_or(1),
                keep_in: None,
            });
            jobs.push(Job {
                file,
                sets: Vec::new(),
                options: self.options,
                strict: false,
                timeout: Some(Timeout {
                    most: self.timeout,
                    by: "--timeout-per-run",
                }),
                memory_max: scenario.memory_max,
                said: Some(self.said(at)),
            });
            scenarios.push((at, scenario));
        }
        let ended = pool::run(&jobs, &tasks, self.jobs, self.control, &|_, _| {});
        let ended = ended.map_err(|error| match error {
            PoolError::Refused { job, why, .. } => {
                Stop::Broken(format!("run {}: {why}", jobs[job].file.display()))
            }
            other => Stop::Broken(other.to_string()),
        })?;
        if self.control.is_interrupted() || ended.len() < tasks.len() {
            return Err(Stop::Interrupted);
        }
        self.runs += ended.len();
        for ((_, end), (at, scenario)) in ended.iter().zip(&scenarios) {
            tried[*at] = match end {
                End::Ran(outcome) => Tried::Ran(Ran {
                    failures: check::failures(scenario, outcome),
                    trace_hash: outcome.trace_hash.clone(),
                    virtual_seconds: outcome.cost.virtual_seconds,
                }),
                End::Failed(failure) => match failure.kind {
                    SeedFailureKind::TimedOut | SeedFailureKind::OutOfMemory => Tried::TimedOut,
                    SeedFailureKind::Crashed => {
                        let said = std::fs::read_to_string(self.said(*at)).unwrap_or_default();
                        Tried::Ran(Ran {
                            failures: vec![check::crash(&failure.message, &said)],
                            ..Ran::default()
                        })
                    }
                },
            };
        }
        Ok(tried)
    }
}

impl Trial<'_> {
    /// What a candidate's worker says on standard error.
    fn said(&self, at: usize) -> PathBuf {
        self.folder.path().join(format!("{at}.err"))
    }
}
