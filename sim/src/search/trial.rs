//! Runs changed scenarios and says what fails in each: every one is a real run, in a worker process of its own, with a limit of time.
//!
//! A candidate is printed to a file and read by the same code that reads what people write, so nothing is tried that could not be
//! committed. Next: `run::pool`, who runs them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use backroom_reports::{SeedFailureKind, exit};

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
    /// It was stopped because it took too long or held too much memory, which says nothing of the scenario.
    Stopped(Stopped),
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

/// A run that was stopped at a limit of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Whether it was stopped because of its memory; otherwise because of its time.
    pub is_out_of_memory: bool,
    /// Which limit, in words.
    pub why: String,
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
    /// So many failures were asked for.
    #[error("stopped after {} failing {}", .0, if *.0 == 1 { "case" } else { "cases" })]
    Failures(u64),
    /// So many runs were allowed.
    #[error("the runs that were allowed are spent")]
    Runs,
    /// A file cannot be written: a disk is full, perhaps.
    #[error("{0}")]
    Unwritable(String),
    /// Processes fail, or we do.
    #[error("{0}")]
    Broken(String),
}

impl Stop {
    /// What a search exits with that ends by it, unless what it has found comes before.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Interrupted => exit::INTERRUPTED,
            Self::Budget | Self::Failures(_) | Self::Runs => exit::UNFINISHED,
            Self::Unwritable(_) => exit::CANNOT_WRITE,
            Self::Broken(_) => exit::INTERNAL,
        }
    }

    /// Whether it is an error of files or processes, and no limit or wish.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Unwritable(_) | Self::Broken(_))
    }
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
    /// Whoever may interrupt it; its deadline is that of the search.
    pub control: &'a Control,
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
        })
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.control.is_over()
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
        let (tried, stopped) = self.some(docs)?;
        match stopped {
            Some(stop) => Err(stop),
            None => Ok(tried.into_iter().flatten().collect()),
        }
    }
}

impl Trial<'_> {
    /// Tries all of them, or as many as there is time for. Gives what became of each, in order, `None` where nobody knows, and why that is.
    /// What runs when the time is over is stopped.
    ///
    /// # Errors
    /// If nothing was tried.
    pub fn some(&mut self, docs: &[Doc]) -> Result<(Vec<Option<Tried>>, Option<Stop>), Stop> {
        if self.control.is_interrupted() {
            return Err(Stop::Interrupted);
        }
        if self.is_over() {
            return Err(Stop::Budget);
        }
        let mut tried: Vec<Option<Tried>> = docs.iter().map(|_| None).collect();
        let (mut jobs, mut tasks, mut scenarios) = (Vec::new(), Vec::new(), Vec::new());
        for (at, doc) in docs.iter().enumerate() {
            let file = self.folder.path().join(format!("{at}.toml"));
            std::fs::write(&file, doc.print())
                .map_err(|e| Stop::Unwritable(format!("write {}: {e}", file.display())))?;
            let Some(scenario) = read(&file) else {
                tried[at] = Some(Tried::Invalid);
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
            error @ PoolError::CannotWrite { .. } => Stop::Unwritable(error.to_string()),
            error @ PoolError::Start(_) => Stop::Broken(error.to_string()),
        })?;
        for (task, end) in &ended {
            let (at, scenario) = &scenarios[task.job];
            tried[*at] = Some(self.became(*at, scenario, end));
        }
        let is_whole = tried.iter().all(Option::is_some);
        let stopped = match (self.control.is_interrupted(), is_whole) {
            (true, _) => Some(Stop::Interrupted),
            (false, true) => None,
            (false, false) => Some(Stop::Budget),
        };
        Ok((tried, stopped))
    }

    /// What became of a run.
    fn became(&self, at: usize, scenario: &Scenario, end: &End) -> Tried {
        match end {
            End::Ran(outcome) => Tried::Ran(Ran {
                failures: check::failures(scenario, outcome),
                trace_hash: outcome.trace_hash.clone(),
                virtual_seconds: outcome.cost.virtual_seconds,
            }),
            End::Failed(failure) => match failure.kind {
                SeedFailureKind::TimedOut | SeedFailureKind::OutOfMemory => {
                    Tried::Stopped(Stopped {
                        is_out_of_memory: failure.kind == SeedFailureKind::OutOfMemory,
                        why: failure.message.clone(),
                    })
                }
                SeedFailureKind::Crashed => {
                    let said = std::fs::read_to_string(self.said(at)).unwrap_or_default();
                    Tried::Ran(Ran {
                        failures: vec![check::crash(&failure.message, &said)],
                        ..Ran::default()
                    })
                }
            },
        }
    }

    /// What a candidate's worker says on standard error.
    fn said(&self, at: usize) -> PathBuf {
        self.folder.path().join(format!("{at}.err"))
    }
}
