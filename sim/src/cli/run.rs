//! `backroom run`: scenarios, their seeds, the verdicts.
//!
//! All files are read before anything runs: with one bad file among many, every finding is told and nothing is run. Then one
//! queue of (scenario, seed) goes over the workers, and the scenarios are judged in the order in which they were named. Next:
//! `run::pool`, the queue; `outputs`, what is kept and shown; `signals`, what stops it.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backroom_collector::config::{Format, Report, quantity};
use backroom_reports::{
    RunResult, SeedFailure, Timing, exit,
    messages::{Message, Planned},
};

use super::{
    Terminal,
    events::Events,
    outputs::{self, Judged, MessageFormat},
    progress::{Progress, Shown},
    run_dir::{RunDir, crc_of},
    signals::{self, Status},
};
use crate::{
    plot::keep::Kept,
    run::{
        merge::{self, Asked, Difference},
        ndjson::Log,
        one::Options,
        outcome::SeedOutcome,
        outcome_log::{Header, Line, Places},
        pool::{self, Control, End, Job, PoolError, Task},
        seeds,
        shard::Shard,
    },
    scenario::{self, Checked, Loaded},
};

/// Run scenarios with their seeds, judge them, and exit with the verdict.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenarios; a folder stands for the scenarios in it.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Change a value of the scenario: `fault.uplink-cut.for=40m`, `link.uplink.up=1Mbit/s`. May be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    /// Run this seed only.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,

    /// Run these seeds in place of the scenario's: `1..=20`, or `1,5,9`.
    #[arg(long, value_name = "SEEDS", value_parser = parse_seeds)]
    seeds: Option<Seeds>,

    /// Run one part of the seeds: `2/8`, or `auto` for what the CI engine says. `backroom merge` puts parts together.
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,

    /// Worker processes; one for each processor unless told otherwise.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Start no further seed after the first that fails; the same as `--max-failures 1`.
    #[arg(long, conflicts_with = "max_failures")]
    fail_fast: bool,

    /// Start no further seed after so many that fail: by an expectation that has to hold in every seed, an invariant, a crash.
    #[arg(long, value_name = "N")]
    max_failures: Option<NonZeroUsize>,

    /// Stop a seed that takes longer, by the wall clock: `90s`. It is told as failed, and the exit code is 70.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_per_seed: Option<Duration>,

    /// Run every seed a second time in another process and compare traces, contents of packets included, and results; a
    /// difference is exit code 3.
    #[arg(long)]
    verify: bool,

    /// Let the trace hash cover the contents of packets too, not only their headers. Slower.
    #[arg(long)]
    hash_payloads: bool,

    /// Abort, with a backtrace, on anything that escapes the simulated world: a real socket, thread, sleep or file.
    #[arg(long)]
    strict: bool,

    /// Largest simulated packet, headers included. Lines count the headers of 1,500-byte packets whatever it is.
    #[arg(long, value_name = "BYTES", default_value_t = Options::default().mtu,
          value_parser = clap::value_parser!(u32).range(576..=65_535))]
    mtu: u32,

    /// How progress is shown.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    progress: Progress,

    /// Seeds of which events, timeline and histograms are kept. They are run once more for it.
    #[arg(long, value_name = "SEEDS", default_value = "failing")]
    events: Events,

    #[command(flatten)]
    outputs: outputs::Args,
}

/// Seeds of the command line.
#[derive(Clone, Debug)]
pub(super) struct Seeds(pub(super) Vec<u64>);

pub(super) fn parse_seeds(text: &str) -> Result<Seeds, String> {
    seeds::parse(text).map(Seeds)
}

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    match quantity::duration(text) {
        Ok(time) if time > Duration::ZERO => Ok(time),
        Ok(_) => Err("no time at all".into()),
        Err(_) => Err(format!("`{text}` is not a time; write 90s or 5m")),
    }
}

/// A scenario with the seeds that are to be run here.
struct Plan {
    loaded: Loaded,
    /// Of this shard.
    seeds: Vec<u64>,
    /// Of all shards.
    all_seeds: Vec<u64>,
    job: Job,
}

/// What came of it.
#[derive(Default)]
struct Ended {
    outcomes: Vec<SeedOutcome>,
    failures: Vec<SeedFailure>,
    differences: Vec<Difference>,
    plots: Kept,
}

/// Where outcomes are written as they come; the first error is kept.
type Journal = Mutex<(Option<Log>, Option<std::io::Error>)>;

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    match prepare(args, terminal) {
        Ok((plans, shard)) => play(args, terminal, &plans, shard).unwrap_or_else(|code| code),
        Err(code) => code,
    }
}

/// Reads everything, tells everything that is wrong, and says what is to be run.
fn prepare(args: &Args, terminal: Terminal) -> Result<(Vec<Plan>, Option<Shard>), i32> {
    let shard = match &args.shard {
        None => None,
        Some(text) => {
            let shard = Shard::parse(text, &|name| std::env::var(name).ok());
            Some(shard.map_err(|why| {
                eprintln!("error: --shard {why}");
                exit::USAGE
            })?)
        }
    };
    let files = outputs::files_of(&args.files).map_err(|(why, code)| {
        eprintln!("error: {why}");
        code
    })?;
    let loaded = load_all(&files, &args.sets, &args.files, terminal)?;
    let plans = loaded.into_iter().map(|(file, loaded)| {
        let all_seeds = match (&args.seed, &args.seeds) {
            (Some(seed), _) => vec![*seed],
            (None, Some(seeds)) => seeds.0.clone(),
            (None, None) => loaded.scenario.seeds.clone(),
        };
        let name = &loaded.scenario.name;
        let mine = |seed: &&u64| shard.is_none_or(|shard| shard.owns(name, &seed.to_string()));
        Plan {
            seeds: all_seeds.iter().filter(mine).copied().collect(),
            all_seeds,
            job: Job {
                file,
                sets: args.sets.clone(),
                options: Options {
                    mtu: args.mtu,
                    hash_payloads: args.hash_payloads || args.verify,
                },
                strict: args.strict,
                timeout: args.timeout_per_seed,
            },
            loaded,
        }
    });
    Ok((plans.collect(), shard))
}

/// Loads scenarios. Templates that a folder holds are left out; those that were named are an error, as is whatever else
/// keeps one from running.
pub(super) fn load_all(
    files: &[PathBuf],
    sets: &[String],
    named: &[PathBuf],
    terminal: Terminal,
) -> Result<Vec<(PathBuf, Loaded)>, i32> {
    let mut all: Vec<(PathBuf, Loaded)> = Vec::new();
    let mut codes = Vec::new();
    let mut tell = |report: &Report| {
        eprint!("{}", report.render(Format::Human, terminal.stderr_colors));
        codes.push(i32::from(report.exit_code()));
    };
    for file in files {
        let loaded = match named.contains(file) {
            true => scenario::load(file, sets).map(Some),
            false => scenario::check(file, sets).map(|checked| match checked {
                Checked::Scenario(loaded) => Some(*loaded),
                Checked::Template(_) => None,
            }),
        };
        match loaded {
            Ok(None) => {}
            Err(report) => tell(&report),
            Ok(Some(loaded)) => {
                if !loaded.warnings.is_empty() {
                    let warnings = &loaded.warnings;
                    eprint!("{}", warnings.render(Format::Human, terminal.stderr_colors));
                }
                match loaded.refusals() {
                    Some(report) => tell(&report),
                    None => all.push((file.clone(), loaded)),
                }
            }
        }
    }
    let mut names: Vec<(&str, &PathBuf)> = Vec::new();
    for (file, loaded) in &all {
        let name = loaded.scenario.name.as_str();
        match names.iter().find(|(other, _)| *other == name) {
            Some((_, other)) => {
                eprintln!(
                    "error: {} and {} are both called `{name}`; their results would mix",
                    other.display(),
                    file.display()
                );
                codes.push(exit::BAD_SCENARIO);
            }
            None => names.push((name, file)),
        }
    }
    if codes.is_empty() && all.is_empty() {
        eprintln!("error: there are templates only, and nothing to run");
        codes.push(exit::NO_INPUT);
    }
    match codes.is_empty() {
        true => Ok(all),
        false => Err(exit::first(codes)),
    }
}

fn play(args: &Args, terminal: Terminal, plans: &[Plan], shard: Option<Shard>) -> Result<i32, i32> {
    let (mut folders, mut journals) = (Vec::new(), Vec::new());
    for plan in plans {
        let (folder, log) = match args.outputs.no_save {
            true => (None, None),
            false => {
                let begun = begin(args, plan, shard);
                let (folder, log) = begun.map_err(|error| outputs::cannot_write(&error))?;
                (Some(folder), Some(log))
            }
        };
        folders.push(folder);
        journals.push(Journal::new((log, None)));
    }
    let jobs = args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        NonZeroUsize::get,
    );
    let names: Vec<String> = plans
        .iter()
        .map(|p| p.loaded.scenario.name.clone())
        .collect();
    let status = Arc::new(Status {
        control: Control::default(),
        names: names.clone(),
    });
    // Without signals a run can still be run; it only cannot be stopped gently.
    let _ears = signals::listen(&status)
        .inspect_err(|error| eprintln!("note: Ctrl-C keeps nothing: {error}"))
        .ok();
    if args.outputs.message_format == MessageFormat::Json {
        outputs::say(&Message::RunStarted {
            schema_version: backroom_reports::SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            scenarios: plans.iter().map(planned).collect(),
        });
    }
    let tasks: usize = plans.iter().map(|p| p.seeds.len()).sum();
    let times = if args.verify { 2 } else { 1 };
    let shown = Shown::new(args.progress, terminal, &names, tasks * times);
    let (mut ended, stopped) = all_seeds(args, plans, &status.control, jobs, &shown, &journals)?;
    shown.clear();

    let mut codes = Vec::new();
    let mut judged = Vec::new();
    let interrupted = status.control.is_interrupted();
    for (((plan, ended), folder), journal) in
        plans.iter().zip(&mut ended).zip(folders).zip(journals)
    {
        let asked = Asked {
            overrides: args.sets.clone(),
            inconclusive: args.outputs.inconclusive.into(),
            seeds_planned: plan.seeds.len(),
            verified: args.verify,
            stopped: stopped.clone().filter(|_| is_partial(plan, ended)),
            interrupted,
        };
        let result = judge(plan, ended, &asked, shard);
        let plots = std::mem::take(&mut ended.plots);
        let mut one = Judged {
            series: Some(plots.finish(&plan.loaded.scenario, &result)),
            result,
            timing: timing(plan, ended, &shown, jobs, times),
            loaded: &plan.loaded,
            folder,
            part: shard.filter(|s| s.count > 1).map(|s| s.to_string()),
            inconclusive: args.outputs.inconclusive.into(),
        };
        codes.push(one.result.exit_code);
        codes.push(close(journal));
        codes.push(one.save());
        judged.push(one);
    }
    codes.extend(kept_seeds(args, plans, &mut judged, &status.control, jobs));
    let list = outputs::is_list(&args.files);
    codes.push(outputs::show(&args.outputs, terminal, &judged, list));
    let code = exit::first(codes);
    if args.outputs.message_format == MessageFormat::Json {
        outputs::say(&Message::RunFinished { exit_code: code });
    }
    Ok(code)
}

/// Runs the seeds again whose events are to be kept, now that it is known which these are.
fn kept_seeds(
    args: &Args,
    plans: &[Plan],
    judged: &mut [Judged<'_>],
    control: &Control,
    jobs: usize,
) -> Option<i32> {
    let mut tasks = Vec::new();
    for (job, one) in judged.iter().enumerate() {
        let Some(folder) = &one.folder else { continue };
        for seed in args.events.of(&one.result) {
            let keep_in = folder.folder.join("seeds").join(seed.to_string());
            // Workers may stand elsewhere one day; a whole path means the same everywhere.
            let keep_in = std::path::absolute(&keep_in).unwrap_or(keep_in);
            tasks.push(Task {
                job,
                seed,
                keep_in: Some(keep_in),
            });
        }
    }
    if tasks.is_empty() || control.is_interrupted() {
        return None;
    }
    let work: Vec<Job> = plans.iter().map(|plan| plan.job.clone()).collect();
    match pool::run(&work, &tasks, jobs, &Control::default(), &|_, _| {}) {
        Ok(_) => None,
        Err(PoolError::Refused { seed, why, .. }) => {
            eprintln!("error: keep the events of seed {seed}: {why}");
            Some(exit::CANNOT_WRITE)
        }
        Err(error) => {
            eprintln!("error: {error}");
            Some(exit::INTERNAL)
        }
    }
}

/// Runs all seeds, and with `--verify` again. Gives what came of each plan, and why not all were run.
fn all_seeds(
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

fn planned(plan: &Plan) -> Planned {
    Planned {
        scenario: plan.loaded.scenario.name.clone(),
        file: plan.job.file.display().to_string(),
        seeds: plan.seeds.len(),
    }
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

fn begin(
    args: &Args,
    plan: &Plan,
    shard: Option<Shard>,
) -> Result<(RunDir, Log), super::run_dir::Unwritable> {
    let scenario = &plan.loaded.scenario;
    let mut folder = RunDir::create(&args.outputs.runs, &scenario.name)?;
    let lock = plan.loaded.lock_toml();
    // Now, not at the end: a run whose process is killed can be judged by it and its log.
    folder.put("scenario.lock.toml", lock.as_bytes())?;
    let log = folder.log(Header {
        version: Header::VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        scenario: scenario.name.clone(),
        lock_crc32c: crc_of(&lock),
        sets: args.sets.clone(),
        mtu: args.mtu,
        hash_payloads: plan.job.options.hash_payloads,
        verified: args.verify,
        seeds: seeds::show(&plan.all_seeds),
        shard,
        places: Places::of(scenario),
    })?;
    Ok((folder, log))
}

/// Ends a log; what could not be written is told.
fn close(journal: Journal) -> i32 {
    let (log, error) = journal.into_inner().expect("no panic while it was held");
    let Some(log) = log else { return exit::OK };
    match error.or_else(|| log.sync().err()) {
        None => exit::OK,
        Some(error) => {
            eprintln!("error: write {}: {error}", log.path().display());
            exit::CANNOT_WRITE
        }
    }
}

fn is_partial(plan: &Plan, ended: &Ended) -> bool {
    ended.outcomes.len() + ended.failures.len() < plan.seeds.len()
}

fn judge(plan: &Plan, ended: &Ended, asked: &Asked, shard: Option<Shard>) -> RunResult {
    let scenario = &plan.loaded.scenario;
    let Ended {
        outcomes,
        failures,
        differences,
        ..
    } = ended;
    let mut result = merge::merge(scenario, asked, outcomes, failures, differences);
    if let Some(shard) = shard
        && shard.count > 1
    {
        // What is judged on all seeds together is not this part's to say.
        let mut codes = vec![exit::OK];
        codes.extend(outcomes.iter().map(|o| merge::decided_by(scenario, o)));
        codes.extend(failures.iter().map(|_| exit::INTERNAL));
        codes.extend(differences.iter().map(|_| exit::SUSPECT));
        codes.extend(asked.interrupted.then_some(exit::INTERRUPTED));
        result.exit_code = exit::first(codes);
        result.exit_reason =
            format!("shard {shard} alone: `backroom merge` judges all shards together");
        result.notes.push(format!(
            "shard {shard} of {} seeds: what is judged on all seeds together is judged by `backroom merge`",
            plan.all_seeds.len()
        ));
    }
    result
}

fn timing(plan: &Plan, ended: &Ended, shown: &Shown, jobs: usize, times: usize) -> Timing {
    let outcomes = ended.outcomes.iter();
    Timing {
        wall_seconds: shown.elapsed().as_secs_f64(),
        cpu_seconds: Some(match times {
            1 => outcomes.clone().map(|o| o.cost.cpu_seconds).sum(),
            _ => shown.cpu_seconds(),
        }),
        simulated_seconds: plan.loaded.scenario.duration.as_secs_f64()
            * (ended.outcomes.len() * times) as f64,
        jobs: jobs.min(plan.seeds.len().max(1)) as u32,
        memory_bytes_peak: outcomes.map(|o| o.cost.memory_bytes_peak).max(),
    }
}
