//! `backroom run`: a scenario, its seeds, the verdict.

use std::{
    fs,
    io::{self, Write as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use backroom_collector::config::Format;
use backroom_reports::{
    self as reports, Input, Manifest, RunResult, RunSeries, Timing, exit,
    html::Report,
    terminal::{Screen, Styles},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Terminal;
use crate::{
    plot::keep::Kept,
    run::{
        merge::{self, Asked, Difference},
        one::Options,
        outcome::SeedOutcome,
        pool::{self, Job},
    },
    scenario::{self, Loaded, Scenario},
};

/// Run a scenario with its seeds, judge it, and exit with the verdict.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The scenario.
    file: PathBuf,

    /// Change a value of the scenario: `fault.uplink-cut.for=40m`, `link.uplink.up=1Mbit/s`. May be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    /// Run this seed only.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,

    /// Run these seeds in place of the scenario's: `1..=20`, or `1,5,9`.
    #[arg(long, value_name = "SEEDS", value_parser = parse_seeds)]
    seeds: Option<Seeds>,

    /// Worker processes; one for each processor unless told otherwise.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,

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

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,

    /// What an expectation counts as that could not be judged.
    #[arg(long, value_name = "VERDICT", default_value = "tell")]
    inconclusive: Inconclusive,

    /// Show progress: a bar on a terminal, nothing elsewhere, unless told otherwise.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    progress: Progress,

    /// Folder in which the run is kept: `DIR/<scenario>/<time>-<id>/`, and `latest` beside it.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,

    /// Keep nothing on disk.
    #[arg(long)]
    no_save: bool,
}

/// Seeds of the command line.
#[derive(Clone, Debug)]
struct Seeds(Vec<u64>);

/// A run of a million seeds is a typing error, or a job for a sweep.
const SEEDS_MAX: u64 = 1_000_000;

fn parse_seeds(text: &str) -> Result<Seeds, String> {
    let number = |t: &str| {
        t.trim()
            .parse::<u64>()
            .map_err(|_| format!("`{t}` is not a seed; write `7`, `1,5,9` or `1..=20`"))
    };
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = match (part.split_once("..="), part.split_once("..")) {
            (Some((a, b)), _) => (number(a)?, number(b)?),
            (None, Some((a, b))) => (
                number(a)?,
                number(b)?
                    .checked_sub(1)
                    .ok_or_else(|| format!("`{part}` is empty"))?,
            ),
            (None, None) => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(format!("`{part}` is empty"));
        }
        if last - first >= SEEDS_MAX || seeds.len() as u64 >= SEEDS_MAX {
            return Err(format!("`{part}` is more than {SEEDS_MAX} seeds"));
        }
        seeds.extend(first..=last);
    }
    seeds.sort_unstable();
    seeds.dedup();
    Ok(Seeds(seeds))
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Inconclusive {
    /// Exit code 2.
    Tell,
    /// As if it held.
    Pass,
    /// As if it had failed.
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Progress {
    /// A bar on a terminal.
    Auto,
    /// A bar.
    Bar,
    /// A line for each seed.
    Plain,
    /// Nothing.
    None,
}

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    let loaded = match scenario::load(&args.file, &args.sets) {
        Ok(loaded) => loaded,
        Err(report) => {
            eprint!("{}", report.render(Format::Human, terminal.stderr_colors));
            return i32::from(report.exit_code());
        }
    };
    if !loaded.warnings.is_empty() {
        let text = loaded
            .warnings
            .render(Format::Human, terminal.stderr_colors);
        eprint!("{text}");
    }
    if let Some(report) = loaded.refusals() {
        eprint!("{}", report.render(Format::Human, terminal.stderr_colors));
        return i32::from(report.exit_code());
    }
    match run_loaded(args, terminal, &loaded) {
        Ok(code) => code,
        Err(code) => code,
    }
}

fn run_loaded(args: &Args, terminal: Terminal, loaded: &Loaded) -> Result<i32, i32> {
    let scenario = &loaded.scenario;
    let seeds = match (&args.seed, &args.seeds) {
        (Some(seed), _) => vec![*seed],
        (None, Some(seeds)) => seeds.0.clone(),
        (None, None) => scenario.seeds.clone(),
    };
    let job = Job {
        file: args.file.clone(),
        sets: args.sets.clone(),
        options: Options {
            mtu: args.mtu,
            hash_payloads: args.hash_payloads || args.verify,
        },
        strict: args.strict,
    };
    let jobs = args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        NonZeroUsize::get,
    );

    #[expect(clippy::disallowed_methods, reason = "how long the run takes for real")]
    let began = std::time::Instant::now();
    let times = if args.verify { 2 } else { 1 };
    let bar = progress(args, terminal, scenario, seeds.len() * times);
    let seen = Mutex::new((0.0, 0.0));
    let kept = Mutex::new(Some(Kept::default()));
    let each = |outcome: &mut SeedOutcome| {
        match kept.lock().expect("no panic while it is held").as_mut() {
            Some(kept) => kept.take(scenario, outcome),
            None => outcome.plots = None,
        }
        let mut seen = seen.lock().expect("no panic while it is held");
        seen.0 += outcome.cost.virtual_seconds;
        seen.1 += outcome.cost.cpu_seconds;
        bar.told(outcome, scenario.duration, began.elapsed(), seen.0);
    };
    let ran = |job: &Job| {
        pool::run(job, &seeds, jobs, each).map_err(|error| {
            bar.clear();
            eprintln!("error: {}: {error}", args.file.display());
            match error {
                pool::PoolError::Failed { .. } => exit::BAD_SCENARIO,
                _ => exit::INTERNAL,
            }
        })
    };
    let outcomes = ran(&job)?;
    // A second run of the same seeds has the same series.
    let series = kept.lock().expect("no panic while it is held").take();
    let differences = match args.verify {
        // New workers: a second run in the same process would share what the first one left there.
        true => differences(&outcomes, &ran(&job)?),
        false => Vec::new(),
    };
    bar.clear();

    let asked = Asked {
        overrides: args.sets.clone(),
        inconclusive: match args.inconclusive {
            Inconclusive::Tell => exit::Inconclusive::Tell,
            Inconclusive::Pass => exit::Inconclusive::Pass,
            Inconclusive::Fail => exit::Inconclusive::Fail,
        },
        seeds_planned: seeds.len(),
        verified: args.verify,
    };
    let result = merge::merge(scenario, &asked, &outcomes, &differences);
    let series = series.unwrap_or_default().finish(scenario, &result);
    let timing = Timing {
        wall_seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: Some(seen.lock().expect("no panic while it is held").1),
        simulated_seconds: result.simulated_seconds * (seeds.len() * times) as f64,
        jobs: jobs.min(seeds.len().max(1)) as u32,
        memory_bytes_peak: outcomes.iter().map(|o| o.cost.memory_bytes_peak).max(),
    };
    let mut code = result.exit_code;
    let saved = match args.no_save {
        true => None,
        false => match save(args, loaded, &result, &series, &timing) {
            Ok(folder) => Some(folder),
            Err((path, error)) => {
                eprintln!("error: write {}: {error}", path.display());
                code = exit::first([code, exit::CANNOT_WRITE]);
                None
            }
        },
    };
    if args.json {
        print(&reports::json::render(&result));
        print("\n");
    } else {
        let report = saved.as_ref().map(|f| f.join("report.html"));
        let report = report.as_ref().map(|s| s.display().to_string());
        let screen = Screen {
            styles: match terminal.stdout_colors {
                true => Styles::colored(),
                false => Styles::plain(),
            },
            width: width(),
            timing: Some(&timing),
            report: report.as_deref(),
        };
        print(&reports::terminal::render(&result, &screen));
    }
    Ok(code)
}

/// Writes to standard output; whoever has closed it has seen enough, and the verdict stands all the same.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Seeds whose two runs differ.
fn differences(first: &[SeedOutcome], second: &[SeedOutcome]) -> Vec<Difference> {
    first
        .iter()
        .zip(second)
        .filter(|(a, b)| a.trace_hash != b.trace_hash || !a.says_the_same(b))
        .map(|(a, b)| Difference {
            seed: a.seed,
            hashes: (a.trace_hash.clone(), b.trace_hash.clone()),
        })
        .collect()
}

/// Columns of the screen: what `COLUMNS` says, else the terminal's, else 120, which fits a CI log.
fn width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    if let Some(columns) = asked {
        return usize::clamp(columns, 40, 400);
    }
    let terminal = terminal_size::terminal_size_of(io::stdout());
    terminal.map_or(120, |(width, _)| usize::from(width.0).clamp(80, 200))
}

/// Progress on standard error.
enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

fn progress(args: &Args, terminal: Terminal, scenario: &Scenario, steps: usize) -> Shown {
    let how = match args.progress {
        Progress::Auto if terminal.interactive => Progress::Bar,
        Progress::Auto => Progress::None,
        other => other,
    };
    match how {
        Progress::Plain => Shown::Lines,
        Progress::Bar => {
            let bar =
                ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(
                "{prefix}  {pos}/{len}  {bar:24}  {elapsed}, about {eta} left  {msg}",
            );
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.set_prefix(scenario.name.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            Shown::Bar(bar)
        }
        Progress::None | Progress::Auto => Shown::Nothing,
    }
}

impl Shown {
    fn told(&self, outcome: &SeedOutcome, duration: Duration, wall: Duration, simulated: f64) {
        let times = simulated / wall.as_secs_f64().max(1e-9);
        match self {
            Self::Bar(bar) => {
                bar.set_message(format!(
                    "{}× real time",
                    reports::human::count(times.round())
                ));
                bar.inc(1);
            }
            Self::Lines => eprintln!(
                "seed {}: {} simulated in {}, trace {}",
                outcome.seed,
                reports::human::span(duration.as_secs_f64()),
                reports::human::span(outcome.cost.cpu_seconds),
                outcome.trace_hash
            ),
            Self::Nothing => {}
        }
    }

    fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Keeps the run: `manifest.json`, `scenario.lock.toml`, `summary.json`, `series.json`, `report.html`, and `latest` that points at it.
fn save(
    args: &Args,
    loaded: &Loaded,
    result: &RunResult,
    series: &RunSeries,
    timing: &Timing,
) -> Result<PathBuf, (PathBuf, io::Error)> {
    let now = jiff::Timestamp::now();
    let id = format!(
        "{}-{:04x}",
        now.strftime("%Y%m%dT%H%M%SZ"),
        std::process::id() & 0xffff
    );
    let of_scenario = args.runs.join(&result.scenario);
    let folder = of_scenario.join(&id);
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    fs::create_dir_all(&folder).map_err(at(&folder))?;
    let manifest = Manifest {
        schema_version: reports::SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        argv: std::env::args().collect(),
        started_at: now.to_string(),
        platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        inputs: loaded
            .sources
            .iter()
            .map(|source| Input {
                file: source.name.clone(),
                crc32c: format!("{:08x}", crc32c::crc32c(source.text.as_bytes())),
            })
            .collect(),
        timing: timing.clone(),
    };
    let report = Report {
        result,
        series: Some(series),
        manifest: Some(&manifest),
        sweep: None,
    };
    let files = [
        ("manifest.json", reports::json::render_manifest(&manifest)),
        ("scenario.lock.toml", loaded.lock_toml()),
        ("summary.json", reports::json::render(result)),
        ("series.json", reports::json::render_series(series)),
        ("report.html", reports::html::render(&report)),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(at(&path))?;
    }
    let latest = of_scenario.join("latest");
    // A link that cannot be made (other systems, odd file systems) costs a convenience, not the run.
    #[cfg(unix)]
    {
        let _ = fs::remove_file(&latest);
        let _ = std::os::unix::fs::symlink(&id, &latest);
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_lists_and_ranges() {
        let check = |text: &str, expect: Option<&[u64]>| {
            assert_eq!(
                parse_seeds(text).ok().map(|s| s.0).as_deref(),
                expect,
                "{text}"
            );
        };
        check("7", Some(&[7]));
        check("1..=3", Some(&[1, 2, 3]));
        check("1..3", Some(&[1, 2]));
        check("5, 1,5", Some(&[1, 5]));
        check("3..=1", None);
        check("0..0", None);
        check("x", None);
        check("1..=99999999999", None);
    }
}
