//! `backroom sweep`: every point of a scenario's grid, and the table of what came of it.
//!
//! A point is the file with overrides (`scenario::sweep`), judged as a run of its own. `points.ndjson` grows by a line with each point that
//! ends, so a sweep that is stopped goes on with `--resume`, and parts of several machines are put together by reading all of theirs. The
//! unit of a shard is the whole point. Next: `run::pool`, who runs the seeds; `reports::grid`, the table.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use backroom_reports::{
    self as reports, RunResult, SeedFailure, exit,
    grid::{self, Axis, Point, SweepResult},
    human,
};
use serde::{Deserialize, Serialize};

use super::{
    Terminal,
    kept::{LOCK, Wrong},
    outputs,
    progress::{Progress, Shown},
    run::{Seeds, load_all, parse_seeds, parse_time},
    run_dir::{RunDir, Unwritable, crc_of},
    signals::{self, Status},
};
use crate::{
    metric::Sample,
    run::{
        merge::{self, Asked},
        ndjson::{self, Log},
        one::Options,
        outcome::SeedOutcome,
        pool::{self, Control, End, Job, Task},
        seeds,
        shard::Shard,
    },
    scenario::{
        self, Loaded, Scenario,
        sweep::{self, Setting, Sweep},
    },
};

/// Run every point of a scenario's `[sweep.grid]`, and show what came of it as a table.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The scenario.
    file: PathBuf,

    /// Change a value in all points; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    /// Seeds of each point, in place of `seeds_per_point` and those of the file.
    #[arg(long, value_name = "SEEDS", value_parser = parse_seeds)]
    seeds: Option<Seeds>,

    /// Go on with a sweep that was stopped: the latest of this scenario, or that of a folder.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "latest")]
    resume: Option<PathBuf>,

    /// Show what parts of other machines have found out too: their folders. With all points there, nothing is run.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    merge: Vec<PathBuf>,

    /// Run one part of the points: `2/8`, or `auto` for what the CI engine says.
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,

    /// Worker processes; one for each processor unless told otherwise.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Start no further seed after this time, by the wall clock; exit code 75, and `--resume` goes on.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    budget: Option<Duration>,

    /// Stop a seed that takes longer, by the wall clock.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_per_seed: Option<Duration>,

    /// Say what would be run, and what it may cost, and run nothing.
    #[arg(long)]
    dry_run: bool,

    /// How progress is shown.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    progress: Progress,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,

    /// Folder in which it is kept: `DIR/<scenario>.sweep/<time>-<id>/`, and `latest` beside it.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// Name of the log in a sweep's folder.
const FILE: &str = "points.ndjson";

/// The first line: what must be equal for points to belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    tool_version: String,
    scenario: String,
    lock_crc32c: String,
    sets: Vec<String>,
    seeds: String,
    points: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Sweep(Header),
    Point(Box<Point>),
}

/// One point, ready to run.
struct Planned {
    number: usize,
    settings: Vec<Setting>,
    scenario: Scenario,
    sets: Vec<String>,
    seeds: Vec<u64>,
}

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    sweep(args, terminal).unwrap_or_else(|(why, code)| {
        if !why.is_empty() {
            eprintln!("error: {why}");
        }
        code
    })
}

fn sweep(args: &Args, terminal: Terminal) -> Result<i32, Wrong> {
    let shard = match &args.shard {
        None => None,
        Some(text) => {
            let shard = Shard::parse(text, &|name| std::env::var(name).ok());
            Some(shard.map_err(|why| (format!("--shard {why}"), exit::USAGE))?)
        }
    };
    let named = std::slice::from_ref(&args.file);
    // What is wrong has been told by whoever reads it.
    let told = |code| (String::new(), code);
    let (_, loaded) = load_all(named, &args.sets, named, terminal)
        .map_err(told)?
        .remove(0);
    let Some(spec) = loaded.sweep() else {
        let why = format!(
            "{} has no [sweep.grid]; `backroom run` runs it as it is",
            args.file.display()
        );
        return Err((why, exit::BAD_SCENARIO));
    };
    let planned = plan(args, &loaded, &spec)?;
    let header = Header {
        tool_version: env!("CARGO_PKG_VERSION").into(),
        scenario: loaded.scenario.name.clone(),
        lock_crc32c: crc_of(&loaded.lock_toml()),
        sets: args.sets.clone(),
        seeds: planned
            .first()
            .map_or_else(String::new, |p| seeds::show(&p.seeds)),
        points: planned.len(),
    };
    let resumed = match &args.resume {
        Some(dir) if dir.as_os_str() == "latest" => {
            let latest = args
                .runs
                .join(format!("{}.sweep", header.scenario))
                .join("latest");
            Some(latest)
        }
        other => other.clone(),
    };
    let mut points: BTreeMap<usize, Point> = BTreeMap::new();
    for dir in resumed.iter().chain(&args.merge) {
        for point in read(dir, &header)?.0 {
            let number = point.number;
            if points.insert(number, point).is_some() {
                let why = format!(
                    "point {number} stands in {} and in another part: they overlap",
                    dir.display()
                );
                return Err((why, exit::BAD_SCENARIO));
            }
        }
    }
    let mine = |p: &&Planned| {
        let key: Vec<String> = p.settings.iter().map(Setting::set).collect();
        shard.is_none_or(|shard| shard.owns(&header.scenario, &key.join("\n")))
    };
    let todo: Vec<&Planned> = planned
        .iter()
        .filter(|p| !points.contains_key(&p.number))
        .filter(mine)
        .filter(|_| args.merge.is_empty())
        .collect();
    estimate(args, &loaded, &spec, &planned, &todo);
    if args.dry_run {
        return Ok(exit::OK);
    }
    let (mut folder, log) = match &resumed {
        Some(dir) => (None, resume(dir, &header)?),
        None => {
            let made = begin(args, &loaded, &header).map_err(unwritable)?;
            (Some(made.0), made.1)
        }
    };
    // What parts found out is part of this sweep.
    let mut log = log;
    if !args.merge.is_empty() {
        for point in points.values() {
            append(&mut log, point)?;
        }
    }
    let played = play(args, terminal, &spec, &todo, log)?;
    points.extend(played.points.into_iter().map(|p| (p.number, p)));
    let result = result(
        args,
        &loaded,
        &spec,
        planned.len(),
        points.into_values().collect(),
    );
    let text = grid::json(&result);
    let maps = reports::json::render_sweep(&grid::maps(&result));
    match (&mut folder, &resumed) {
        (Some(folder), _) => {
            folder
                .put("points.json", text.as_bytes())
                .map_err(unwritable)?;
            folder
                .put("sweep.json", maps.as_bytes())
                .map_err(unwritable)?;
            folder.finish();
        }
        (None, Some(dir)) => {
            for (name, text) in [("points.json", &text), ("sweep.json", &maps)] {
                super::run_dir::write_whole(&dir.join(name), text.as_bytes())
                    .map_err(unwritable)?;
            }
        }
        (None, None) => {}
    }
    match args.json {
        true => outputs::print(&text),
        false => outputs::print(&grid::render(&result)),
    }
    if let Some(folder) = &folder {
        eprintln!("kept in {}", folder.folder.display());
    }
    Ok(code(&result, &played.ended, shard.is_some()))
}

fn unwritable(error: Unwritable) -> Wrong {
    (error.to_string(), exit::CANNOT_WRITE)
}

/// A sweep is a question, and points that fail are its answer: what counts is whether all were judged, and whether our own code held.
fn code(result: &SweepResult, ended: &Ended, is_part: bool) -> i32 {
    let suspect = |r: &RunResult| matches!(r.exit_code, exit::SUSPECT | exit::INTERNAL);
    let codes = result
        .points
        .iter()
        .map(|p| &p.result)
        .filter(|r| suspect(r))
        .map(|r| r.exit_code);
    let missing = result.points.len() < result.points_planned && !is_part;
    let stopped = match ended {
        Ended::Whole if missing => exit::UNFINISHED,
        Ended::Whole => exit::OK,
        Ended::Budget => exit::UNFINISHED,
        Ended::Interrupted => exit::INTERRUPTED,
    };
    if stopped != exit::OK {
        eprintln!(
            "{} of {} points are there; --resume goes on",
            result.points.len(),
            result.points_planned
        );
    }
    exit::first(codes.chain([stopped]))
}

/// Every point as a scenario of its own: all are read before any is run.
fn plan(args: &Args, loaded: &Loaded, spec: &Sweep) -> Result<Vec<Planned>, Wrong> {
    let mut planned = Vec::new();
    let points = spec.points().map_err(|why| (why, exit::BAD_SCENARIO))?;
    if points.is_empty() {
        return Err((
            "every point of the sweep is skipped".into(),
            exit::BAD_SCENARIO,
        ));
    }
    let seeds = match &args.seeds {
        Some(seeds) => seeds.0.clone(),
        None => spec.seeds(&loaded.scenario.seeds),
    };
    for (number, settings) in points.into_iter().enumerate() {
        let mut sets = args.sets.clone();
        sets.extend(settings.iter().map(Setting::set));
        let point = scenario::load(&args.file, &sets);
        let refusals = point.as_ref().ok().and_then(Loaded::refusals);
        let point = match (point, refusals) {
            (Ok(point), None) => point,
            (Err(report), _) | (_, Some(report)) => {
                let format = backroom_collector::config::Format::Human;
                let why = format!(
                    "point {}:\n{}",
                    sets.join(", "),
                    report.render(format, false).trim_end()
                );
                return Err((why, i32::from(report.exit_code())));
            }
        };
        planned.push(Planned {
            number,
            settings,
            scenario: point.scenario,
            sets,
            seeds: seeds.clone(),
        });
    }
    Ok(planned)
}

/// What is to come, on standard error. A run that is kept says what a seed costs; without one the first seeds will.
fn estimate(args: &Args, loaded: &Loaded, spec: &Sweep, planned: &[Planned], todo: &[&Planned]) {
    let runs: usize = todo.iter().map(|p| p.seeds.len()).sum();
    let simulated = human::span(loaded.scenario.duration.as_secs_f64());
    let kept = args.runs.join(&loaded.scenario.name).join("latest");
    let cost = super::kept::manifest(&kept).ok().and_then(|m| {
        let cost = m.timing.cpu_seconds? / m.timing.simulated_seconds;
        cost.is_finite().then_some(cost)
    });
    let jobs = jobs(args) as f64;
    let about = match cost {
        Some(cost) => {
            let all: f64 = todo
                .iter()
                .map(|p| p.scenario.duration.as_secs_f64() * p.seeds.len() as f64)
                .sum();
            let time = human::seconds(all * cost / jobs);
            format!(
                "about {time} on {jobs} processors, by the cost of {}",
                kept.display()
            )
        }
        None => "no run of it is kept that would say how long".into(),
    };
    let most = if spec.stop_when.is_some() {
        "at most "
    } else {
        ""
    };
    eprintln!(
        "{}: {} of {} points, {most}{runs} runs of {simulated}; {about}",
        loaded.scenario.name,
        todo.len(),
        planned.len()
    );
}

fn jobs(args: &Args) -> usize {
    args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        NonZeroUsize::get,
    )
}

fn begin(args: &Args, loaded: &Loaded, header: &Header) -> Result<(RunDir, Log), Unwritable> {
    let mut folder = RunDir::create(&args.runs, &format!("{}.sweep", header.scenario))?;
    folder.put(LOCK, loaded.lock_toml().as_bytes())?;
    let path = folder.folder.join(FILE);
    let mut log = Log::create(&path).map_err(Unwritable::at(&path))?;
    log.append(&Line::Sweep(header.clone()))
        .map_err(Unwritable::at(&path))?;
    // Now, not at the end: whoever resumes a killed sweep finds it by this.
    folder.finish();
    Ok((folder, log))
}

/// The points of a folder, and its log as it was read.
fn read(dir: &std::path::Path, header: &Header) -> Result<(Vec<Point>, ndjson::Lines<()>), Wrong> {
    let path = dir.join(FILE);
    let lines = ndjson::read::<Line>(&path).map_err(|error| {
        let code = if error.is_missing() {
            exit::NO_INPUT
        } else {
            exit::BAD_SCENARIO
        };
        (error.to_string(), code)
    })?;
    let whole = ndjson::Lines {
        lines: Vec::new(),
        bytes: lines.bytes,
        torn: lines.torn,
    };
    let mut all = lines.lines.into_iter();
    match all.next() {
        Some(Line::Sweep(found)) if found == *header => {}
        Some(Line::Sweep(found)) => {
            let what = [
                (
                    "version of backroom",
                    &found.tool_version,
                    &header.tool_version,
                ),
                ("scenario", &found.scenario, &header.scenario),
                ("lock file", &found.lock_crc32c, &header.lock_crc32c),
                ("--set", &found.sets.join(" "), &header.sets.join(" ")),
                ("seeds", &found.seeds, &header.seeds),
                (
                    "number of points",
                    &found.points.to_string(),
                    &header.points.to_string(),
                ),
            ];
            let what = what.into_iter().find(|(_, a, b)| a != b);
            let (what, a, b) = what
                .map_or(("header", String::new(), String::new()), |(w, a, b)| {
                    (w, a.clone(), b.clone())
                });
            let why = format!(
                "{} is of another sweep: its {what} is `{a}`, here it is `{b}`",
                path.display()
            );
            return Err((why, exit::BAD_SCENARIO));
        }
        _ => {
            let why = format!("{} does not begin with what was swept", path.display());
            return Err((why, exit::BAD_SCENARIO));
        }
    }
    let mut points = Vec::new();
    for line in all {
        match line {
            Line::Point(point) if point.number < header.points => points.push(*point),
            _ => {
                let why = format!(
                    "{} holds a line that is no point of this sweep",
                    path.display()
                );
                return Err((why, exit::BAD_SCENARIO));
            }
        }
    }
    Ok((points, whole))
}

fn resume(dir: &std::path::Path, header: &Header) -> Result<Log, Wrong> {
    let (_, lines) = read(dir, header)?;
    let path = dir.join(FILE);
    Log::resume(&path, &lines).map_err(|error| unwritable(Unwritable::at(&path)(error)))
}

fn append(log: &mut Log, point: &Point) -> Result<(), Wrong> {
    let line = Line::Point(Box::new(point.clone()));
    let path = log.path().to_owned();
    log.append(&line)
        .and_then(|()| log.sync())
        .map_err(|error| unwritable(Unwritable::at(&path)(error)))
}

/// How it ended.
enum Ended {
    Whole,
    Budget,
    Interrupted,
}

struct Played {
    points: Vec<Point>,
    ended: Ended,
}

/// What has come of a point so far.
#[derive(Default)]
struct SoFar {
    outcomes: Vec<SeedOutcome>,
    failures: Vec<SeedFailure>,
    is_done: bool,
}

/// 10 seeds: between two looks at the interval of `stop_when`. Fixed, so that the number of processors decides nothing.
const ROUND: usize = 10;

fn play(
    args: &Args,
    terminal: Terminal,
    spec: &Sweep,
    todo: &[&Planned],
    log: Log,
) -> Result<Played, Wrong> {
    let names: Vec<String> = todo
        .iter()
        .map(|p| {
            let values: Vec<&str> = p.settings.iter().map(Setting::plain).collect();
            values.join(" ")
        })
        .collect();
    let status = Arc::new(Status {
        control: Control::default(),
        names: names.clone(),
    });
    let _ears = signals::listen(&status)
        .inspect_err(|error| eprintln!("note: Ctrl-C keeps nothing: {error}"))
        .ok();
    let work: Vec<Job> = todo
        .iter()
        .map(|p| Job {
            file: args.file.clone(),
            sets: p.sets.clone(),
            options: Options::default(),
            strict: false,
            timeout: args.timeout_per_seed,
        })
        .collect();
    let total = todo.iter().map(|p| p.seeds.len()).sum();
    let shown = Shown::new(args.progress, terminal, &names, total);
    let state = Mutex::new((
        todo.iter().map(|_| SoFar::default()).collect::<Vec<_>>(),
        Vec::<Point>::new(),
        log,
        None::<Wrong>,
    ));
    let is_out_of_budget = || args.budget.is_some_and(|most| shown.elapsed() >= most);
    let each = |task: &Task, end: &mut End| {
        // A table has no plots, and thousands of seeds have no room for them.
        if let End::Ran(outcome) = end {
            outcome.plots = None;
        }
        let end = &*end;
        shown.ended(task, end);
        let mut state = state.lock().expect("no panic while it is held");
        let (so_far, points, log, wrong) = &mut *state;
        let planned = todo[task.job];
        let one = &mut so_far[task.job];
        match end {
            End::Ran(outcome) => one.outcomes.push((**outcome).clone()),
            End::Failed(failure) => one.failures.push(failure.clone()),
        }
        if one.outcomes.len() + one.failures.len() == planned.seeds.len() {
            finish(args, planned, one, points, log, wrong);
        }
        if is_out_of_budget() || wrong.is_some() {
            status.control.finish();
        }
    };
    let mut at = 0;
    loop {
        let tasks: Vec<Task> = {
            let state = state.lock().expect("no panic while it is held");
            let of = |(job, p): (usize, &&Planned)| {
                let range = match spec.stop_when {
                    Some(_) => at.min(p.seeds.len())..(at + ROUND).min(p.seeds.len()),
                    None => 0..p.seeds.len(),
                };
                let range = if state.0[job].is_done { 0..0 } else { range };
                let task = move |seed: &u64| Task {
                    job,
                    seed: *seed,
                    keep_in: None,
                };
                p.seeds[range].iter().map(task).collect::<Vec<_>>()
            };
            todo.iter().enumerate().flat_map(of).collect()
        };
        if tasks.is_empty() || status.control.is_stopping() {
            break;
        }
        pool::run(&work, &tasks, jobs(args), &status.control, &each).map_err(|error| {
            let code = match error {
                pool::PoolError::Refused { .. } => exit::BAD_SCENARIO,
                pool::PoolError::Start(_) => exit::INTERNAL,
            };
            (error.to_string(), code)
        })?;
        let Some(stop) = &spec.stop_when else { break };
        at += ROUND;
        let mut state = state.lock().expect("no panic while it is held");
        let (so_far, points, log, wrong) = &mut *state;
        for (job, planned) in todo.iter().enumerate() {
            let one = &mut so_far[job];
            if !one.is_done
                && !status.control.is_stopping()
                && is_enough(&planned.scenario, one, stop)
            {
                finish(args, planned, one, points, log, wrong);
            }
        }
    }
    shown.clear();
    let (_, points, _, wrong) = state.into_inner().expect("no panic while it was held");
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    Ok(Played {
        points,
        ended: match () {
            () if status.control.is_interrupted() => Ended::Interrupted,
            () if status.control.is_stopping() => Ended::Budget,
            () => Ended::Whole,
        },
    })
}

/// Judges a point and writes it down.
fn finish(
    args: &Args,
    planned: &Planned,
    one: &mut SoFar,
    points: &mut Vec<Point>,
    log: &mut Log,
    wrong: &mut Option<Wrong>,
) {
    one.is_done = true;
    one.outcomes.sort_by_key(|o| o.seed);
    one.failures.sort_by_key(|f| f.seed);
    let asked = Asked {
        overrides: planned.sets.clone(),
        seeds_planned: one.outcomes.len() + one.failures.len(),
        ..Asked::default()
    };
    let mut result = merge::merge(&planned.scenario, &asked, &one.outcomes, &one.failures, &[]);
    result.file = args.file.display().to_string();
    let point = Point {
        number: planned.number,
        values: planned
            .settings
            .iter()
            .map(|s| s.plain().to_owned())
            .collect(),
        result,
    };
    if wrong.is_none() {
        *wrong = append(log, &point).err();
    }
    points.push(point);
    // They may be large, and nobody asks for them again.
    one.outcomes = Vec::new();
}

/// Whether the 95 % interval of the mean over seeds is narrow enough. A point whose mean is zero in ten seeds and more is, too: no
/// number of seeds makes an interval relative to it.
fn is_enough(scenario: &Scenario, one: &SoFar, (most, of): &(f64, String)) -> bool {
    let Some(index) = measured_by(scenario, of) else {
        return false;
    };
    let values: Vec<f64> = one
        .outcomes
        .iter()
        .filter_map(|o| match o.samples.get(index) {
            Some(Sample::Number { value } | Sample::AtLeast { value }) => Some(*value),
            Some(Sample::Share { hits, of, .. }) if *of > 0.0 => Some(hits / of),
            Some(Sample::Ratio { over, under }) if *under > 0.0 => Some(over / under),
            _ => None,
        })
        .collect();
    let n = values.len() as f64;
    if values.len() < ROUND {
        return false;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = 1.96 * (variance / n).sqrt();
    half <= most * mean.abs()
}

/// The expectation that measures something: a cell and `stop_when` show what an expectation asks.
fn measured_by(scenario: &Scenario, measure: &str) -> Option<usize> {
    let plain = |text: &str| {
        text.chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
    };
    let asked = plain(measure);
    let measure_of = |e: &scenario::Expect| plain(&crate::metric::judge::split(&e.text).0);
    scenario.expects.iter().position(|e| measure_of(e) == asked)
}

fn result(
    args: &Args,
    loaded: &Loaded,
    spec: &Sweep,
    points_planned: usize,
    points: Vec<Point>,
) -> SweepResult {
    let scenario = &loaded.scenario;
    let cell = spec.table.cell.as_ref().and_then(|cell| {
        let found = measured_by(scenario, cell);
        if found.is_none() {
            eprintln!(
                "note: no expectation measures `{cell}`: cells show how many expectations hold"
            );
        }
        found.map(|at| scenario.expects[at].id.clone())
    });
    let grid = spec.grid.iter().map(|axis| Axis {
        path: axis.path.clone(),
        values: axis
            .values
            .iter()
            .map(|v| sweep::plain(v).to_owned())
            .collect(),
    });
    SweepResult {
        schema_version: SweepResult::VERSION,
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        file: args.file.display().to_string(),
        overrides: args.sets.clone(),
        answer: spec
            .table
            .answer
            .as_ref()
            .map(|asked| answer(spec, asked, &points, points_planned)),
        grid: grid.collect(),
        table: grid::Shown {
            rows: spec.table.rows.clone(),
            columns: spec.table.columns.clone(),
            cell,
        },
        points_planned,
        points,
    }
}

/// `smallest PATH where EXPECT passes`, for each combination of the other settings.
fn answer(
    spec: &Sweep,
    (path, expect): &(String, String),
    points: &[Point],
    planned: usize,
) -> String {
    let question = format!("smallest {path} where {expect} passes");
    if points.len() < planned {
        return format!("{question}: not known before all points are there");
    }
    let Some(at) = spec.grid.iter().position(|axis| axis.path == *path) else {
        return format!("{question}: the sweep does not vary {path}");
    };
    let others = |p: &Point| -> Vec<String> {
        let rest = p.values.iter().enumerate().filter(|(i, _)| *i != at);
        rest.map(|(_, v)| v.clone()).collect()
    };
    let place = |p: &Point| {
        spec.grid[at]
            .values
            .iter()
            .position(|v| sweep::plain(v) == p.values[at])
    };
    let size = |p: &Point| sweep::number(&p.values[at]).unwrap_or(place(p).unwrap_or(0) as f64);
    let passes = |p: &&Point| {
        let mut all = p.result.expectations.iter();
        all.any(|e| e.id == *expect && e.verdict == reports::Verdict::Pass)
    };
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut lines = Vec::new();
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by_key(|p| {
        p.values
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let values = &spec.grid[i].values;
                values.iter().position(|w| sweep::plain(w) == v)
            })
            .collect::<Vec<_>>()
    });
    for point in &sorted {
        let group = others(point);
        if groups.contains(&group) {
            continue;
        }
        let of_group = sorted.iter().copied().filter(|p| others(p) == group);
        let best = of_group
            .filter(passes)
            .min_by(|a, b| size(a).total_cmp(&size(b)));
        let best = best.map_or("none of them", |p| p.values[at].as_str());
        match group.is_empty() {
            true => lines.push(format!(" {best}")),
            false => lines.push(format!("\n  {}: {best}", group.join(", "))),
        }
        groups.push(group);
    }
    format!("{question}:{}", lines.concat())
}
