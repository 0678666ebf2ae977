//! Seeds in worker processes: as many as there are jobs, each with one seed at a time.
//!
//! A seed gets a process of its own kind because a world must not share anything with another one: not the address space,
//! not the hash keys of a thread, not the allocator's mood. A worker is this very program with its `worker` verb; it reads
//! seeds from its standard input, one a line, and answers each with one line of JSON. The order in which seeds end decides
//! nothing: results are sorted. Next: `outcome`, what a line holds; `merge`, what is made of them.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::{
    one::{self, Options},
    outcome::SeedOutcome,
};
use crate::{scenario::Scenario, world::det};

/// What a worker process is started with.
#[derive(Clone, Debug)]
pub struct Job {
    /// The scenario's file.
    pub file: PathBuf,
    /// `--set` values, in order.
    pub sets: Vec<String>,
    /// How worlds are computed.
    pub options: Options,
    /// Whether a stray socket, thread, sleep or file aborts the worker.
    pub strict: bool,
}

impl Job {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("worker").arg(&self.file);
        for set in &self.sets {
            command.arg("--set").arg(set);
        }
        command.arg("--mtu").arg(self.options.mtu.to_string());
        if self.options.hash_payloads {
            command.arg("--hash-payloads");
        }
        if self.strict {
            command.arg("--strict");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

/// One line of a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ran(Box<SeedOutcome>),
    Failed(String),
}

/// Why a seed has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A worker could not be started.
    #[error("start a worker process: {0}")]
    Start(std::io::Error),
    /// A worker ended before it had answered; it said why on standard error.
    #[error("the worker for seed {seed} ended early ({how}); what it said stands above")]
    Died {
        /// The seed.
        seed: u64,
        /// Exit status.
        how: String,
    },
    /// The scenario cannot be run.
    #[error("seed {seed}: {why}")]
    Failed {
        /// The seed.
        seed: u64,
        /// Why.
        why: String,
    },
}

/// Runs `seeds` in `jobs` worker processes; `each` is told of every outcome as it arrives, and may take out of it what need not be
/// held until the end. Gives them sorted by seed.
///
/// # Errors
/// The first that happened; seeds that were not started by then are not run.
pub fn run(
    job: &Job,
    seeds: &[u64],
    jobs: usize,
    each: impl Fn(&mut SeedOutcome) + Sync,
) -> Result<Vec<SeedOutcome>, PoolError> {
    let program = std::env::current_exe().map_err(PoolError::Start)?;
    let queue = Mutex::new(seeds.iter().copied());
    let stop = AtomicBool::new(false);
    let worker = || {
        let outcomes = serve(job, &program, &queue, &stop, &each);
        if outcomes.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        outcomes
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.clamp(1, seeds.len().max(1)))
            .map(|_| scope.spawn(worker))
            .collect();
        workers
            .into_iter()
            .map(|w| w.join().expect("it hands its errors over"))
            .collect()
    });
    let mut outcomes = Vec::with_capacity(seeds.len());
    for result in results {
        outcomes.extend(result?);
    }
    outcomes.sort_by_key(|o| o.seed);
    Ok(outcomes)
}

fn serve(
    job: &Job,
    program: &Path,
    queue: &Mutex<impl Iterator<Item = u64>>,
    stop: &AtomicBool,
    each: &(impl Fn(&mut SeedOutcome) + Sync),
) -> Result<Vec<SeedOutcome>, PoolError> {
    let mut outcomes = Vec::new();
    let mut child: Option<Worker> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(seed) = queue.lock().expect("no panic while it is held").next() else {
            break;
        };
        let worker = match &mut child {
            Some(worker) => worker,
            None => child.insert(Worker::start(job, program)?),
        };
        let mut outcome = worker.run(seed)?;
        each(&mut outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

struct Worker {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn start(job: &Job, program: &Path) -> Result<Self, PoolError> {
        let mut child = job.command(program).spawn().map_err(PoolError::Start)?;
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Self { child, answers })
    }

    fn run(&mut self, seed: u64) -> Result<SeedOutcome, PoolError> {
        let mut line = String::new();
        let asked = match &mut self.child.stdin {
            Some(stdin) => writeln!(stdin, "{seed}").and_then(|()| stdin.flush()),
            None => Ok(()),
        };
        let read = asked.and_then(|()| self.answers.read_line(&mut line));
        match (read, serde_json::from_str(&line)) {
            (Ok(1..), Ok(Answer::Ran(outcome))) => Ok(*outcome),
            (Ok(1..), Ok(Answer::Failed(why))) => Err(PoolError::Failed { seed, why }),
            (_, parsed) => {
                drop(self.child.stdin.take());
                let how = match (self.child.wait(), parsed) {
                    (Ok(status), _) if !status.success() => status.to_string(),
                    (_, Err(error)) => format!("its answer cannot be read: {error}"),
                    (status, Ok(_)) => format!("{status:?}"),
                };
                Err(PoolError::Died { seed, how })
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without input it ends by itself, unless it is in the middle of a seed that nobody waits for.
        drop(self.child.stdin.take());
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The worker's side: answers seeds from standard input until it ends.
///
/// # Errors
/// If standard output is gone.
pub fn work(scenario: &Arc<Scenario>, options: Options, strict: bool) -> std::io::Result<()> {
    let stdin = std::io::stdin();
    for line in stdin.lock().lines() {
        let line = line?;
        let answer = match line.trim().parse() {
            Ok(seed) => match on_a_fresh_thread(scenario, seed, options, strict) {
                Ok(outcome) => Answer::Ran(Box::new(outcome)),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Err(_) => Answer::Failed(format!("`{line}` is not a seed")),
        };
        let mut text = serde_json::to_string(&answer)?;
        text.push('\n');
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
    }
    Ok(())
}

/// Runs one seed in this process.
///
/// # Errors
/// As [`one::run`].
pub fn on_a_fresh_thread(
    scenario: &Arc<Scenario>,
    seed: u64,
    options: Options,
    strict: bool,
) -> Result<SeedOutcome, one::RunError> {
    let run = || {
        if strict {
            det::strict().map_err(one::RunError::Unsupported)?;
        }
        let run = one::run(scenario, seed, options)?;
        Ok(SeedOutcome::of(scenario, &run))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(format!("seed {seed}"))
            .spawn_scoped(scope, run)
            .expect("a process may have a second thread");
        match thread.join() {
            Ok(outcome) => outcome,
            // The panic has told its message; the process ends with the code of an internal error.
            Err(_) => std::process::exit(backroom_reports::exit::INTERNAL),
        }
    })
}
