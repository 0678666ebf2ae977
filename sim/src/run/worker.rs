//! A worker process, both ends of its pipe.
//!
//! A seed gets a process of its own kind because a world must not share anything with another one: not the address space,
//! not the hash keys of a thread, not the allocator's mood. A worker is this very program with its `worker` verb; it reads
//! seeds from its standard input, one a line, with the folder in which to keep what the seed leaves behind if there is one,
//! and answers each with one line of JSON. Next: `pool`, who asks; `outcome`, what a line holds.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use backroom_collector::config::ByteSize;
use serde::{Deserialize, Serialize};

use super::{
    cost, keep,
    one::{self, Options, RunError},
    outcome::SeedOutcome,
};
use crate::{scenario::Scenario, spill::Scratch, world::det};

/// What worker processes of a scenario are started with.
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
    /// Wall-clock time that one seed may take; `None` is any.
    pub timeout: Option<Timeout>,
    /// Memory that a worker may hold (`limits.memory`); `None` is any.
    pub memory_max: Option<ByteSize>,
    /// File for what a worker says on standard error; `None` is standard error.
    pub said: Option<PathBuf>,
}

/// How long a seed may take by the wall clock. How much of a run that is depends on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// Most.
    pub most: Duration,
    /// Who says so, for the message.
    pub by: &'static str,
}

impl Timeout {
    /// What holds: the word of the command line before that of the file.
    pub fn of(asked: Option<Duration>, scenario: &Scenario) -> Option<Self> {
        let asked = asked.map(|most| Self {
            most,
            by: "--timeout-per-seed",
        });
        asked.or_else(|| {
            Some(Self {
                most: scenario.wall_time_max?,
                by: "`limits.wall_time`; it depends on the machine",
            })
        })
    }
}

impl Job {
    fn command(&self, program: &Path) -> std::io::Result<Command> {
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
        if let Some(plant) = self.options.plant {
            command.arg("--plant").arg(plant.name());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(said) = &self.said {
            command.stderr(std::fs::File::create(said)?);
        }
        // Ctrl-C is for the run, which keeps what it has and then stops its workers.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(command)
    }
}

/// What is asked of a worker, one a line.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    seed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_in: Option<PathBuf>,
}

/// One line of a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ran(Box<SeedOutcome>),
    Failed(String),
    CannotWrite(String),
}

/// What came of a seed.
#[derive(Debug)]
pub(super) enum Said {
    /// It ran.
    Ran(Box<SeedOutcome>),
    /// The scenario cannot be run.
    Refused(String),
    /// There is no room for what the seed records or leaves behind.
    CannotWrite(String),
    /// The worker ended before it had answered: how.
    Died(String),
}

/// A worker, seen from its run.
pub(super) struct Worker {
    child: Handle,
    stdin: Option<std::process::ChildStdin>,
    answers: BufReader<std::process::ChildStdout>,
}

/// Stops a worker from anywhere.
#[derive(Clone, Debug)]
pub(super) struct Handle(Arc<Mutex<Child>>);

impl Handle {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.0.lock().expect("no panic while it is held")
    }

    /// What it holds of the machine's memory, in bytes; `None` where the system does not tell (Linux does), or it has ended.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        cost::resident_bytes(Some(self.child().id()))
    }

    /// Ends it at once; one that has ended stays as it is.
    pub(super) fn kill(&self) {
        let _ = self.child().kill();
    }
}

impl Worker {
    pub(super) fn start(job: &Job, program: &Path) -> std::io::Result<Self> {
        let mut child = job.command(program)?.spawn()?;
        let stdin = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Self {
            child: Handle(Arc::new(Mutex::new(child))),
            stdin,
            answers,
        })
    }

    pub(super) fn handle(&self) -> Handle {
        self.child.clone()
    }

    pub(super) fn run(&mut self, seed: u64, keep_in: Option<&Path>) -> Said {
        let question = Question {
            seed,
            keep_in: keep_in.map(Path::to_owned),
        };
        let mut line = String::new();
        let asked = match &mut self.stdin {
            Some(stdin) => serde_json::to_string(&question)
                .map_err(Into::into)
                .and_then(|text| writeln!(stdin, "{text}"))
                .and_then(|()| stdin.flush()),
            None => Ok(()),
        };
        let read = asked.and_then(|()| self.answers.read_line(&mut line));
        match (read, serde_json::from_str(&line)) {
            (Ok(1..), Ok(Answer::Ran(outcome))) => Said::Ran(outcome),
            (Ok(1..), Ok(Answer::Failed(why))) => Said::Refused(why),
            (Ok(1..), Ok(Answer::CannotWrite(why))) => Said::CannotWrite(why),
            (_, parsed) => {
                drop(self.stdin.take());
                let how = match (self.child.child().wait(), parsed) {
                    (Ok(status), _) if !status.success() => status.to_string(),
                    (_, Err(error)) => format!("its answer cannot be read: {error}"),
                    (status, Ok(_)) => format!("{status:?}"),
                };
                Said::Died(format!(
                    "the worker ended early ({how}); what it said stands on standard error"
                ))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without input it ends by itself, unless it is in the middle of a seed that nobody waits for.
        drop(self.stdin.take());
        let mut child = self.child.child();
        if !matches!(child.try_wait(), Ok(Some(_))) {
            let _ = child.kill();
            let _ = child.wait();
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
        let answer = match serde_json::from_str::<Question>(&line) {
            Ok(question) => match answer(scenario, &question, options, strict) {
                Ok(outcome) => Answer::Ran(Box::new(outcome)),
                Err(error @ (RunError::NotKept(_) | RunError::NotSpilled(_))) => {
                    Answer::CannotWrite(error.to_string())
                }
                Err(error) => Answer::Failed(error.to_string()),
            },
            Err(error) => Answer::Failed(format!("`{line}` is not a question: {error}")),
        };
        let mut text = serde_json::to_string(&answer)?;
        text.push('\n');
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
    }
    Ok(())
}

fn answer(
    scenario: &Arc<Scenario>,
    question: &Question,
    options: Options,
    strict: bool,
) -> Result<SeedOutcome, RunError> {
    let scratch = Scratch::open();
    let (outcome, run) = on_a_fresh_thread(question.seed, || {
        if strict {
            det::strict().map_err(RunError::Unsupported)?;
        }
        let run = one::run_with(scenario, question.seed, options, scratch)?;
        let outcome = SeedOutcome::of(scenario, &run);
        Ok((outcome, question.keep_in.is_some().then_some(run)))
    })?;
    // Here, not in the seed's thread: a strict one may open no file.
    if let (Some(folder), Some(run)) = (&question.keep_in, &run) {
        keep::keep(folder, scenario, run)?;
    }
    Ok(outcome)
}

/// Runs one seed in a thread of its own: hash keys of libraries advance within one.
///
/// # Errors
/// As [`one::run`].
pub fn on_a_fresh_thread<T: Send>(
    seed: u64,
    run: impl FnOnce() -> Result<T, RunError> + Send,
) -> Result<T, RunError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(format!("seed {seed}"))
            .spawn_scoped(scope, run)
            .expect("a process may have a second thread");
        match thread.join() {
            Ok(result) => result,
            // The panic has told its message; the process ends with the code of an internal error.
            Err(_) => std::process::exit(backroom_reports::exit::INTERNAL),
        }
    })
}
