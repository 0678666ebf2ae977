//! `backroom run`: scenarios, their seeds, the verdicts.
//!
//! All files are read before anything runs: with one bad file among many, every finding is told and nothing is run. Then one
//! queue of (scenario, seed) goes over the workers, and the scenarios are judged in the order in which they were named. Next:
//! `play`, from the first seed to the exit code; `run::pool`, the queue.

mod again;
mod judge;
mod play;
mod seeds;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use backroom_collector::config::{Format, Report, quantity};
use backroom_reports::exit;

use super::{Terminal, events::Events, outputs, progress::Progress};
use crate::{
    run::{
        one::Options,
        pool::{Job, Timeout},
        seeds as lists,
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
    #[arg(long, value_name = "N", conflicts_with = "seeds", value_parser = parse_seed)]
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

fn parse_seed(text: &str) -> Result<u64, String> {
    let seed = text.parse();
    seed.map_err(|_| format!("`{text}` is not one seed; --seeds takes lists and ranges"))
}

pub(super) fn parse_seeds(text: &str) -> Result<Seeds, String> {
    lists::parse(text).map(Seeds)
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

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    match prepare(args, terminal) {
        Ok((plans, shard)) => play::play(args, terminal, &plans, shard).unwrap_or_else(|code| code),
        Err(code) => code,
    }
}

/// Reads everything, tells everything that is wrong, and says what is to be run.
fn prepare(args: &Args, terminal: Terminal) -> Result<(Vec<Plan>, Option<Shard>), i32> {
    let told = |wrong| super::code(Err(wrong));
    let shard = super::shard(args.shard.as_deref()).map_err(told)?;
    let files = outputs::files_of(&args.files).map_err(told)?;
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
                    ..Options::default()
                },
                strict: args.strict,
                timeout: Timeout::of(args.timeout_per_seed, &loaded.scenario),
                memory_max: loaded.scenario.memory_max,
                said: None,
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
