//! `backroom merge`: the parts of a run that several machines ran, as the one run that they are.
//!
//! Judges what the parts wrote down, with the lock file that they kept: it runs nothing and needs no other file. The result is the
//! very bytes that a run of all seeds on one machine gives. Next: `run::outcome_log`, what a part is and what does not belong
//! together.

use std::path::{Path, PathBuf};

use backroom_reports::{RunResult, RunSeries, Timing, exit};
use indexmap::IndexMap;

use super::{
    Terminal,
    kept::{self, Wrong},
    outputs::{self, Judged},
    run_dir::RunDir,
};
use crate::{
    plot::keep::{Kept, PART_FILE, PartPlots},
    run::{
        merge::{self, Asked},
        outcome_log::{self, Line, Part, Shards},
        pool::End,
    },
    scenario::Loaded,
};

/// Judge the parts of a sharded run as one run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders of runs, or folders that hold them, such as the `runs` of each machine.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,

    /// Go on although parts are missing, with the seeds that are there.
    #[arg(long)]
    partial: bool,

    #[command(flatten)]
    outputs: outputs::Args,
}

/// The parts of one scenario's run, put together.
struct Merged {
    loaded: Loaded,
    shards: Shards,
    /// Of the parts.
    folders: Vec<PathBuf>,
}

/// 4 levels below a named folder: `shards/1/runs/<scenario>/<id>`.
pub(super) const DEPTH_MAX: usize = 4;

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    let merged = parts(&args.folders).and_then(|by_scenario| {
        let mut all = Vec::new();
        for (name, parts) in by_scenario {
            let folders: Vec<PathBuf> = parts.iter().map(|p| p.folder.clone()).collect();
            let shards =
                Shards::of(parts).map_err(|why| (format!("{name}: {why}"), exit::BAD_SCENARIO))?;
            let loaded = kept::scenario(&folders[0], &shards.header)?;
            all.push(Merged {
                loaded,
                shards,
                folders,
            });
        }
        Ok(all)
    });
    let merged = match merged {
        Ok(merged) => merged,
        Err((why, code)) => {
            eprintln!("error: {why}");
            return code;
        }
    };
    let all = merged.iter().map(|m| &m.shards);
    let mut missing = false;
    for shards in all.filter(|s| !s.missing.is_empty()) {
        missing = true;
        let word = if args.partial { "note" } else { "error" };
        for what in &shards.missing {
            eprintln!("{word}: {}: {what}", shards.header.scenario);
        }
    }
    if missing && !args.partial {
        eprintln!("error: run what is missing, or judge what is there with --partial");
        return exit::NO_INPUT;
    }
    let mut judged = Vec::new();
    for one in &merged {
        match judge(args, one) {
            Ok(one) => judged.push(one),
            Err(code) => return code,
        }
    }
    let as_list = judged.len() > 1;
    outputs::show(&args.outputs, terminal, &mut judged, as_list)
}

/// All runs below the folders, by scenario.
fn parts(folders: &[PathBuf]) -> Result<IndexMap<String, Vec<Part>>, Wrong> {
    let mut found = Vec::new();
    for folder in folders {
        let before = found.len();
        find(folder, outcome_log::FILE, DEPTH_MAX, &mut found).map_err(|error| {
            (
                format!("read {}: {error}", folder.display()),
                exit::NO_INPUT,
            )
        })?;
        if found.len() == before {
            let why = format!(
                "{} holds no run: there is no {} in it or below",
                folder.display(),
                outcome_log::FILE
            );
            return Err((why, exit::NO_INPUT));
        }
    }
    let mut all: IndexMap<String, Vec<Part>> = IndexMap::new();
    for folder in found {
        let part = kept::part(&folder)?;
        let name = part.header.scenario.clone();
        all.entry(name).or_default().push(part);
    }
    all.sort_keys();
    Ok(all)
}

/// Folders that hold `file`, sorted by name; links are not followed, so `latest` is not a second run.
pub(super) fn find(
    folder: &Path,
    file: &str,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    if folder.join(file).is_file() {
        found.push(folder.to_owned());
        return Ok(());
    }
    let mut below: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        }
    }
    below.sort();
    match depth {
        0 => Ok(()),
        _ => below
            .iter()
            .try_for_each(|b| find(b, file, depth - 1, found)),
    }
}

fn judge<'l>(args: &Args, merged: &'l Merged) -> Result<Judged<'l>, i32> {
    let (loaded, shards) = (&merged.loaded, &merged.shards);
    let Shards {
        header,
        outcomes,
        failures,
        differences,
        ..
    } = shards;
    let asked = Asked {
        overrides: header.sets.clone(),
        inconclusive: args.outputs.inconclusive.into(),
        seeds_planned: shards.seeds_planned,
        verified: header.verified,
        stopped: (!shards.missing.is_empty()).then(|| "merged with parts missing".into()),
        interrupted: false,
    };
    let result = merge::merge(&loaded.scenario, &asked, outcomes, failures, differences);
    let folder = match args.outputs.no_save {
        true => None,
        false => {
            let kept = keep(args, shards);
            Some(kept.map_err(|error| outputs::cannot_write(&error))?)
        }
    };
    let cpu_seconds: f64 = outcomes.iter().map(|o| o.cost.cpu_seconds).sum();
    let mut one = Judged {
        timing: Timing {
            // Nobody ran them one after the other: the work of all machines is what can be said.
            wall_seconds: cpu_seconds,
            cpu_seconds: Some(cpu_seconds),
            simulated_seconds: result.simulated_seconds * outcomes.len() as f64,
            jobs: 1,
            memory_bytes_peak: outcomes.iter().map(|o| o.cost.memory_bytes_peak).max(),
        },
        loaded,
        series: folder.is_some().then(|| series(merged, &result)).flatten(),
        result,
        folder,
        part: None,
        inconclusive: args.outputs.inconclusive.into(),
    };
    one.save();
    Ok(one)
}

/// What plots are made of. A part that was killed has handed nothing on: then there are none, and the verdict stands.
fn series(merged: &Merged, result: &RunResult) -> Option<RunSeries> {
    let mut parts = Vec::new();
    for folder in &merged.folders {
        match PartPlots::read(folder) {
            Ok(part) => parts.push(part),
            Err(error) => {
                let path = folder.join(PART_FILE);
                eprintln!(
                    "note: {}: no plots: read {}: {error}",
                    result.scenario,
                    path.display()
                );
                return None;
            }
        }
    }
    let scenario = &merged.loaded.scenario;
    let all = Kept::of_parts(parts, scenario, &merged.shards.outcomes);
    Some(all.finish(scenario, result))
}

/// A folder with the outcomes of all parts: it can be merged and reproduced like any other.
fn keep(args: &Args, shards: &Shards) -> Result<RunDir, super::run_dir::Unwritable> {
    let mut folder = RunDir::create(&args.outputs.runs, &shards.header.scenario)?;
    let mut log = folder.log(shards.header.clone())?;
    let path = log.path().to_owned();
    let ran = shards
        .outcomes
        .iter()
        .map(|o| Line::Seed(Box::new(o.clone())));
    let failed = shards
        .failures
        .iter()
        .map(|f| Line::from(&End::Failed(f.clone())));
    let differs = shards.differences.iter().map(|d| Line::Differs(d.clone()));
    ran.chain(failed)
        .chain(differs)
        .try_for_each(|line| log.append(&line))
        .and_then(|()| log.sync())
        .map_err(super::run_dir::Unwritable::at(&path))?;
    Ok(folder)
}
