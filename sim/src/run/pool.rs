//! A queue of (scenario, seed) over worker processes: as many as there are jobs, each with one seed at a time.
//!
//! Decides who runs what, when a seed has taken too long or too much memory, and what becomes of a worker that ends early: the seed is told as
//! failed, and the others go on. The order in which seeds end decides nothing: results are sorted. Knows no terminal and no
//! signal: whoever has them asks [`Control`]. Next: `worker`, both ends of the pipe; `merge`, what is made of outcomes.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use backroom_collector::config::{ByteSize, quantity::show_bytes};
use backroom_reports::{SeedFailure, SeedFailureKind};

use super::{
    outcome::SeedOutcome,
    worker::{self, Handle, Said},
};

pub use super::worker::{Job, Timeout};

/// One seed of one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Index of its job.
    pub job: usize,
    /// The seed.
    pub seed: u64,
    /// Folder for what the seed leaves behind: its log, its trace. `None`: nothing is kept.
    pub keep_in: Option<std::path::PathBuf>,
}

/// How a seed ended.
#[derive(Clone, Debug)]
pub enum End {
    /// To its end.
    Ran(Box<SeedOutcome>),
    /// Early.
    Failed(SeedFailure),
}

/// Why there are no results at all.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A worker could not be started.
    #[error("start a worker process: {0}")]
    Start(std::io::Error),
    /// A scenario cannot be run.
    #[error("seed {seed}: {why}")]
    Refused {
        /// Index of its job.
        job: usize,
        /// The seed.
        seed: u64,
        /// Why.
        why: String,
    },
    /// There is no room for what a seed records or leaves behind.
    #[error("seed {seed}: {why}")]
    CannotWrite {
        /// The seed.
        seed: u64,
        /// What, and where.
        why: String,
    },
}

/// What is running now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Index of the job.
    pub job: usize,
    /// The seed.
    pub seed: u64,
    /// For how long, wall clock.
    pub since: Duration,
}

/// The hand on the queue: ask what is running, let it run out, or stop it.
#[derive(Debug, Default)]
pub struct Control {
    state: AtomicU8,
    /// When everything ends; unset: when it has run.
    deadline: OnceLock<Instant>,
    slots: Mutex<Vec<Option<Slot>>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Slot {
    job: usize,
    seed: u64,
    limits: Limits,
    /// Which limit it was stopped at.
    stopped: Option<Limit>,
    worker: Handle,
}

/// What a seed may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    began: Instant,
    timeout: Option<Timeout>,
    memory_max: Option<ByteSize>,
    /// The same for all seeds, whenever they began.
    deadline: Option<Instant>,
}

/// What ends a seed early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// One of its own, which is told of it.
    Own(SeedFailureKind),
    /// The time of all: nothing is known of the seed.
    Deadline,
}

impl Limits {
    /// The limit that is passed at this instant.
    fn passed(&self, now: Instant, resident_bytes: &dyn Fn() -> Option<u64>) -> Option<Limit> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Limit::Deadline);
        }
        let since = now.saturating_duration_since(self.began);
        if self.timeout.is_some_and(|timeout| since >= timeout.most) {
            return Some(Limit::Own(SeedFailureKind::TimedOut));
        }
        let is_beyond = |most: ByteSize| resident_bytes().is_some_and(|bytes| bytes > most.0);
        let is_large = self.memory_max.is_some_and(is_beyond);
        is_large.then_some(Limit::Own(SeedFailureKind::OutOfMemory))
    }
}

const RUN: u8 = 0;
const FINISH: u8 = 1;
const KILL: u8 = 2;

impl Control {
    /// Nothing is started any more; what runs goes on to its end.
    pub fn finish(&self) {
        let _ = self
            .state
            .compare_exchange(RUN, FINISH, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// At this instant everything ends: what runs then is stopped and has no outcome, and nothing is started any more. Said once.
    pub fn end_at(&self, deadline: Instant) {
        let said = self.deadline.set(deadline);
        assert!(said.is_ok(), "a queue has one end");
    }

    /// Whether the instant of [`Control::end_at`] has come.
    pub fn is_over(&self) -> bool {
        let deadline = self.deadline.get();
        deadline.is_some_and(|deadline| now() >= *deadline)
    }

    /// Takes [`Control::finish`] back, for a second queue; an interruption stays one.
    pub fn go_on(&self) {
        let _ = self
            .state
            .compare_exchange(FINISH, RUN, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Everything stops now; the seeds under way have no outcome.
    pub fn interrupt(&self) {
        self.state.store(KILL, Ordering::SeqCst);
        let slots = self.slots();
        slots.iter().flatten().for_each(|slot| slot.worker.kill());
    }

    /// Whether it was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.state.load(Ordering::SeqCst) == KILL
    }

    /// Whether nothing is started any more.
    pub fn is_stopping(&self) -> bool {
        self.state.load(Ordering::SeqCst) != RUN || self.is_over()
    }

    /// What is running now, the longest first.
    pub fn running(&self) -> Vec<Running> {
        let mut all: Vec<Running> = self
            .slots()
            .iter()
            .flatten()
            .map(|slot| Running {
                job: slot.job,
                seed: slot.seed,
                since: slot.limits.began.elapsed(),
            })
            .collect();
        all.sort_by_key(|r| (std::cmp::Reverse(r.since), r.job, r.seed));
        all
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Option<Slot>>> {
        self.slots.lock().expect("no panic while it is held")
    }

    /// Kills what has run for too long or holds too much memory, and at the deadline everything, until `done` is set.
    fn watch(&self, done: &AtomicU8) {
        let mut slots = self.slots();
        while done.load(Ordering::SeqCst) == RUN {
            for slot in slots.iter_mut().flatten() {
                let resident_bytes = || slot.worker.resident_bytes();
                if slot.stopped.is_none()
                    && let Some(limit) = slot.limits.passed(now(), &resident_bytes)
                {
                    slot.stopped = Some(limit);
                    slot.worker.kill();
                }
            }
            // 50 ms: far below any useful limit, and nothing beside a seed.
            let most = Duration::from_millis(50);
            slots = match self.changed.wait_timeout(slots, most) {
                Ok((slots, _)) => slots,
                Err(_) => return,
            };
        }
    }
}

/// Runs `tasks` in `parallel` worker processes; `each` is told of every end as it comes, and may take out of it what need not be
/// held until all have ended. Gives them in the order of `tasks`; what was not run is missing.
///
/// # Errors
/// The first that keeps a whole scenario from running; then what runs is stopped.
pub fn run(
    jobs: &[Job],
    tasks: &[Task],
    parallel: usize,
    control: &Control,
    each: &(dyn Fn(&Task, &mut End) + Sync),
) -> Result<Vec<(Task, End)>, PoolError> {
    let program = std::env::current_exe().map_err(PoolError::Start)?;
    let parallel = parallel.clamp(1, tasks.len().max(1));
    *control.slots() = (0..parallel).map(|_| None).collect();
    let queue = Mutex::new(tasks.iter().enumerate());
    let done = AtomicU8::new(RUN);
    let serve = |number: usize| {
        let served = Server {
            jobs,
            program: &program,
            control,
            number,
        }
        .serve(&queue, each);
        if served.is_err() {
            control.interrupt();
        }
        served
    };
    let serve = &serve;
    let results: Vec<_> = std::thread::scope(|scope| {
        let has_limit = |job: &Job| job.timeout.is_some() || job.memory_max.is_some();
        if control.deadline.get().is_some() || jobs.iter().any(has_limit) {
            scope.spawn(|| control.watch(&done));
        }
        let workers: Vec<_> = (0..parallel)
            .map(|number| scope.spawn(move || serve(number)))
            .collect();
        let results = workers
            .into_iter()
            .map(|w| w.join().expect("it hands its errors over"))
            .collect();
        done.store(FINISH, Ordering::SeqCst);
        control.changed.notify_all();
        results
    });
    let mut ends = Vec::with_capacity(tasks.len());
    for result in results {
        ends.extend(result?);
    }
    ends.sort_by_key(|(at, _)| *at);
    Ok(ends
        .into_iter()
        .map(|(at, end)| (tasks[at].clone(), end))
        .collect())
}

struct Server<'a> {
    jobs: &'a [Job],
    program: &'a std::path::Path,
    control: &'a Control,
    number: usize,
}

impl Server<'_> {
    fn serve<'t>(
        &self,
        queue: &Mutex<impl Iterator<Item = (usize, &'t Task)>>,
        each: &(dyn Fn(&Task, &mut End) + Sync),
    ) -> Result<Vec<(usize, End)>, PoolError> {
        let mut ends = Vec::new();
        let mut worker: Option<(usize, worker::Worker)> = None;
        while !self.control.is_stopping() {
            let next = queue.lock().expect("no panic while it is held").next();
            let Some((at, task)) = next else { break };
            let ready = match worker.take() {
                Some((job, ready)) if job == task.job => ready,
                _ => worker::Worker::start(&self.jobs[task.job], self.program)
                    .map_err(PoolError::Start)?,
            };
            let (end, ready) = self.one(task, ready)?;
            worker = ready.map(|ready| (task.job, ready));
            if let Some(mut end) = end {
                each(task, &mut end);
                ends.push((at, end));
            }
        }
        Ok(ends)
    }

    /// Runs one seed; gives the worker back if it lives. No end: it was interrupted, or the time of all is over.
    fn one(
        &self,
        task: &Task,
        mut worker: worker::Worker,
    ) -> Result<(Option<End>, Option<worker::Worker>), PoolError> {
        let (timeout, memory_max) = (self.jobs[task.job].timeout, self.jobs[task.job].memory_max);
        self.control.slots()[self.number] = Some(Slot {
            job: task.job,
            seed: task.seed,
            limits: Limits {
                began: now(),
                timeout,
                memory_max,
                deadline: self.control.deadline.get().copied(),
            },
            stopped: None,
            worker: worker.handle(),
        });
        // Between the question whether to stop and the slot above it may have been stopped.
        if self.control.is_interrupted() {
            worker.handle().kill();
        }
        let said = worker.run(task.seed, task.keep_in.as_deref());
        let slot = self.control.slots()[self.number].take();
        let failed = |kind, message| {
            End::Failed(SeedFailure {
                seed: task.seed,
                kind,
                message,
            })
        };
        Ok(match said {
            Said::Ran(outcome) => {
                // One that was stopped when it had answered takes no further seed.
                let is_stopped = slot.is_some_and(|slot| slot.stopped.is_some());
                (Some(End::Ran(outcome)), (!is_stopped).then_some(worker))
            }
            Said::Refused(why) => {
                return Err(PoolError::Refused {
                    job: task.job,
                    seed: task.seed,
                    why,
                });
            }
            Said::CannotWrite(why) => {
                let seed = task.seed;
                return Err(PoolError::CannotWrite { seed, why });
            }
            Said::Died(_) if self.control.is_interrupted() => (None, None),
            Said::Died(how) => {
                let kind = match slot.and_then(|slot| slot.stopped) {
                    Some(Limit::Deadline) => return Ok((None, None)),
                    Some(Limit::Own(kind)) => kind,
                    None => SeedFailureKind::Crashed,
                };
                let message = match kind {
                    SeedFailureKind::TimedOut => timeout.map(late).unwrap_or_default(),
                    SeedFailureKind::OutOfMemory => memory_max.map(large).unwrap_or_default(),
                    SeedFailureKind::Crashed => how,
                };
                (Some(failed(kind, message)), None)
            }
        })
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "limits on wall-clock time")]
    Instant::now()
}

/// Why a seed was stopped. What it held then depends on the machine, and is not told.
fn large(most: ByteSize) -> String {
    format!(
        "stopped beyond {} of memory (`limits.memory`)",
        show_bytes(most.0 as f64)
    )
}

fn late(timeout: Timeout) -> String {
    let most = backroom_reports::human::seconds(timeout.most.as_secs_f64());
    format!("stopped after {most} of wall-clock time ({})", timeout.by)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed that began so many seconds after its queue, which has 60 s: what ends it, so many seconds after the queue began.
    fn check(began: u64, at: u64, resident_bytes: u64, expect: Option<Limit>) {
        let start = now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let limits = Limits {
            began: after(began),
            timeout: Some(Timeout {
                most: Duration::from_secs(50),
                by: "a test",
            }),
            memory_max: Some(ByteSize(1000)),
            deadline: Some(after(60)),
        };
        let passed = limits.passed(after(at), &|| Some(resident_bytes));
        assert_eq!(passed, expect, "began at {began}, at {at}");
    }

    /// A seed that began late had as much time as all of its batch together, and a budget was overrun by nearly its length.
    #[test]
    fn the_time_of_all_ends_a_seed_whenever_it_began() {
        check(0, 49, 1000, None);
        check(0, 50, 1000, Some(Limit::Own(SeedFailureKind::TimedOut)));
        check(59, 59, 1000, None);
        check(59, 60, 1000, Some(Limit::Deadline));
        check(0, 60, 1001, Some(Limit::Deadline));
        check(0, 1, 1001, Some(Limit::Own(SeedFailureKind::OutOfMemory)));
    }

    #[test]
    fn a_queue_whose_time_is_over_starts_nothing() {
        let control = Control::default();
        assert!(!control.is_over() && !control.is_stopping());
        control.end_at(now());
        control.go_on();
        assert!(control.is_over() && control.is_stopping());
        assert!(!control.is_interrupted(), "a limit is no interruption");
    }
}
