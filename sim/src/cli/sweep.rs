//! `backroom sweep`: every point of a scenario's grid, and the table of what came of it.
//!
//! A point is the file with overrides (`scenario::sweep`), judged as a run of its own. `points.ndjson` grows by a line with each point that
//! ends, so a sweep that is stopped goes on with `--resume`, and parts of several machines are put together by reading all of theirs. The
//! unit of a shard is the whole point. Next: `plan`, what is run; `play`, who runs it; `log`, what is kept; `table`, what is shown.

mod log;
mod plan;
mod play;
mod table;

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf, time::Duration};

use backroom_reports::{
    self as reports, RunResult, exit,
    grid::{self, Point, SweepResult},
};

use self::{log::Header, plan::Planned, play::Ended};
use super::{
    Terminal,
    kept::Wrong,
    merge::{DEPTH_MAX, find},
    outputs,
    progress::Progress,
    run::{Seeds, load_all, parse_seeds, parse_time},
    run_dir::{Unwritable, crc_of, write_whole},
};
use crate::{run::seeds, scenario::sweep::Setting};

/// Run every point of a scenario's `[sweep.grid]`, and show what came of it as a table.
///
/// A point that fails is an answer, and stops nothing: there is no `--fail-fast` or `--max-failures`. What ends a sweep early is `--budget`.
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

    /// Show what parts of other machines have found out: their folders, or folders that hold them, such as the `runs` of each machine. Nothing is run.
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

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    super::code(sweep(args, terminal))
}

fn sweep(args: &Args, terminal: Terminal) -> Result<i32, Wrong> {
    let shard = super::shard(args.shard.as_deref())?;
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
    let planned = plan::plan(args, &loaded, &spec)?;
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
    for dir in resumed.iter().chain(&parts(&args.merge)?) {
        for point in log::read(dir, &header)?.0 {
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
    plan::estimate(args, &loaded, &spec, &planned, &todo);
    if args.dry_run {
        return Ok(exit::OK);
    }
    let (mut folder, log) = match &resumed {
        Some(dir) => (None, log::resume(dir, &header)?),
        None => {
            let made = log::begin(args, &loaded, &header)?;
            (Some(made.0), made.1)
        }
    };
    // What parts found out is part of this sweep.
    let mut log = log;
    let mut merged = Ok(());
    if !args.merge.is_empty() {
        let mut all = points.values();
        merged = all.try_for_each(|point| log::append(&mut log, point));
    }
    let played = play::play(args, terminal, &spec, &todo, log);
    points.extend(played.points.into_iter().map(|p| (p.number, p)));
    let ended = match merged {
        Ok(()) => played.ended,
        Err(wrong) => Ended::Broken(wrong),
    };
    let mut result = table::result(
        args,
        &loaded,
        &spec,
        planned.len(),
        points.into_values().collect(),
    );
    judge(&mut result, ended, shard.is_some());
    let mut put = |name: &str, text: &str| match (&mut folder, &resumed) {
        (Some(folder), _) => folder.put(name, text.as_bytes()),
        (None, Some(dir)) => write_whole(&dir.join(name), text.as_bytes()),
        (None, None) => Ok(()),
    };
    // The maps first: `points.json` then says whether they are there.
    let maps = reports::json::render_sweep(&grid::maps(&result));
    if let Err(error) = put("sweep.json", &maps) {
        not_written(&mut result, &error);
    }
    if let Err(error) = put("report.html", &reports::html::render_sweep(&result)) {
        not_written(&mut result, &error);
    }
    if let Err(error) = put("points.json", &grid::json(&result)) {
        not_written(&mut result, &error);
    }
    match args.json {
        true => outputs::print(&grid::json(&result)),
        false => outputs::print(&grid::render(&result)),
    }
    if let Some(folder) = &folder {
        folder.finish();
        eprintln!(
            "kept in {}; report.html there is its page",
            folder.folder.display()
        );
    }
    Ok(result.exit_code)
}

/// The sweeps in these folders, or below them.
fn parts(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Wrong> {
    let mut found = Vec::new();
    for folder in folders {
        let before = found.len();
        find(folder, log::FILE, DEPTH_MAX, &mut found)
            .map_err(|e| (format!("read {}: {e}", folder.display()), exit::NO_INPUT))?;
        if found.len() == before {
            let (folder, file) = (folder.display(), log::FILE);
            let why = format!("{folder} holds no sweep: there is no {file} in it or below");
            return Err((why, exit::NO_INPUT));
        }
    }
    Ok(found)
}

/// Takes down what is not on disk.
fn not_written(result: &mut SweepResult, error: &Unwritable) {
    eprintln!("error: {error}");
    result.exit_code = exit::first([result.exit_code, exit::CANNOT_WRITE]);
    if result.stopped.is_empty() {
        result.stopped = error.to_string();
    }
}

/// A sweep is a question, and points that fail are its answer: what counts is whether all were judged, and whether our own code held.
fn judge(result: &mut SweepResult, ended: Ended, is_part: bool) {
    let suspect = |r: &RunResult| matches!(r.exit_code, exit::SUSPECT | exit::INTERNAL);
    let codes = result
        .points
        .iter()
        .map(|p| &p.result)
        .filter(|r| suspect(r))
        .map(|r| r.exit_code);
    let missing = result.points.len() < result.points_planned && !is_part;
    let (stopped, code) = match ended {
        Ended::Whole if missing => ("points are missing".to_owned(), exit::UNFINISHED),
        Ended::Whole => (String::new(), exit::OK),
        Ended::Budget => ("the budget is spent".to_owned(), exit::UNFINISHED),
        Ended::Interrupted => ("interrupted".to_owned(), exit::INTERRUPTED),
        Ended::Broken((why, code)) => {
            eprintln!("error: {why}");
            (why, code)
        }
    };
    if code != exit::OK {
        eprintln!(
            "{} of {} points are there; --resume goes on",
            result.points.len(),
            result.points_planned
        );
    }
    result.exit_code = exit::first(codes.chain([code]));
    result.stopped = stopped;
}
