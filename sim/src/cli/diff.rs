//! `backroom diff`: what changed between two runs. The rules are `reports::diff`'s.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use backroom_reports::{
    RunResult,
    diff::{self, Diff},
    exit,
};

use super::{
    kept::{self, Wrong},
    outputs,
};

/// Compare two runs: exact for simulated figures.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run to compare with: its folder, its `summary.json`, or a folder of committed baselines, `<scenario>.json` each.
    #[arg(value_name = "BASE")]
    base: PathBuf,

    /// The run that is compared, likewise; `runs` stands for the latest of every scenario in it.
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// What exits with 4: a verdict that got worse, or any figure that is further on the wrong side.
    #[arg(long, value_name = "WHAT")]
    fail_on: Option<FailOn>,

    /// Print the differences as JSON.
    #[arg(long)]
    json: bool,

    /// Write the new results over the baseline, a folder, once they have been looked at.
    #[arg(long)]
    accept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// A verdict that got worse, or an expectation that is gone.
    Regression,
    /// That, and every figure that got worse although it holds.
    Figures,
}

pub(super) fn run(args: &Args) -> i32 {
    super::code(compare(args))
}

fn compare(args: &Args) -> Result<i32, Wrong> {
    let new = results(&args.new)?;
    if args.accept {
        return accept(&args.base, &new);
    }
    let base = results(&args.base).map_err(|(why, code)| match args.base.exists() {
        true => (why, code),
        false => (
            format!("{why}; --accept writes it from {}", args.new.display()),
            code,
        ),
    })?;
    let figures = args.fail_on == Some(FailOn::Figures);
    let mut diffs: Vec<Diff> = Vec::new();
    for (name, (path, result)) in &new {
        let Some((base_path, base)) = base.get(name) else {
            eprintln!(
                "note: {name} is not in {}: nothing to compare with",
                args.base.display()
            );
            continue;
        };
        let mut diff = diff::of(base, result, figures);
        if let (Ok(a), Ok(b)) = (kept::manifest(base_path), kept::manifest(path)) {
            diff.changes.push(diff::wall_clock(&a, &b));
        }
        diffs.push(diff);
    }
    if diffs.is_empty() {
        let why = format!(
            "{} and {} have no scenario in common",
            args.base.display(),
            args.new.display()
        );
        return Err((why, exit::NO_INPUT));
    }
    if args.json {
        let text = serde_json::to_string_pretty(&diffs);
        outputs::print(&(text.expect("plain data has no key that is not text") + "\n"));
    } else {
        diffs.iter().for_each(|d| outputs::print(&diff::render(d)));
    }
    Ok(
        match args.fail_on.is_some() && diffs.iter().any(Diff::is_regression) {
            true => exit::REGRESSION,
            false => exit::OK,
        },
    )
}

/// Results by scenario, with the folder of their run if it has one.
fn results(path: &Path) -> Result<BTreeMap<String, (PathBuf, RunResult)>, Wrong> {
    let mut found = Vec::new();
    if !path.is_dir() || path.join("summary.json").is_file() {
        found.push(path.to_owned());
    } else {
        let unreadable =
            |e: std::io::Error| (format!("read {}: {e}", path.display()), exit::NO_INPUT);
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?.path();
            let latest = entry.join("latest");
            if entry.extension().is_some_and(|e| e == "json") {
                found.push(entry);
            } else if latest.join("summary.json").is_file() {
                found.push(latest);
            }
        }
        found.sort();
    }
    let mut all = BTreeMap::new();
    for path in found {
        let result = kept::result(&path)?;
        all.insert(result.scenario.clone(), (path, result));
    }
    match all.is_empty() {
        true => Err((
            format!("{} holds no results", path.display()),
            exit::NO_INPUT,
        )),
        false => Ok(all),
    }
}

fn accept(base: &Path, new: &BTreeMap<String, (PathBuf, RunResult)>) -> Result<i32, Wrong> {
    for (name, (_, result)) in new {
        let file = match base.extension().is_some_and(|e| e == "json") {
            true => base.to_owned(),
            false => base.join(format!("{name}.json")),
        };
        let text = backroom_reports::json::render(result);
        super::run_dir::write_whole(&file, text.as_bytes())?;
        outputs::print(&format!("{}: written\n", file.display()));
    }
    Ok(exit::OK)
}
