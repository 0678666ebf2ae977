//! A run that is kept, read back: its outcomes and the scenario that was run, whatever became of the files since.

use std::path::{Path, PathBuf};

use backroom_collector::config::Format;
use backroom_reports::{Manifest, RunResult, exit};
use serde::de::DeserializeOwned;

use super::run_dir::crc_of;
use crate::{
    run::{
        ndjson::LogError,
        outcome_log::{self, Header, Part},
        seeds,
    },
    scenario::{self, Loaded},
};

/// Name of the lock file in a run's folder.
pub(super) const LOCK: &str = "scenario.lock.toml";

/// A message and its exit code.
pub(super) type Wrong = (String, i32);

/// The log of outcomes of a run.
pub(super) fn part(folder: &Path) -> Result<Part, Wrong> {
    let read = outcome_log::read(folder);
    read.map_err(|error| {
        let (why, code) = Wrong::from(error);
        (why + &way_out(folder), code)
    })
}

/// What to name instead of a folder that holds runs and is none.
fn way_out(folder: &Path) -> String {
    match folder.join("latest").is_dir() {
        true => format!(
            "; this folder holds runs: name one, such as {}",
            folder.join("latest").display()
        ),
        false => String::new(),
    }
}

/// Says of a seed that it is none of the run's: it can be run all the same, and nothing there is about it.
pub(super) fn mind_seed(part: &Part, seed: u64) {
    let seeds = &part.header.seeds;
    if seeds::parse(seeds).is_ok_and(|all| !all.contains(&seed)) {
        eprintln!(
            "note: seed {seed} is none of that run's ({seeds}): it is run for the first time"
        );
    }
}

/// Says of a run that another version made it.
pub(super) fn mind_version(part: &Part) {
    let (there, here) = (&part.header.tool_version, env!("CARGO_PKG_VERSION"));
    if there != here {
        eprintln!(
            "warning: the run was made by backroom {there}, this is {here}: the trace may differ"
        );
    }
}

/// No log is a missing input (66), a damaged one a bad one (65).
impl From<LogError> for Wrong {
    fn from(error: LogError) -> Self {
        let code = match error.is_missing() {
            true => exit::NO_INPUT,
            false => exit::BAD_SCENARIO,
        };
        (error.to_string(), code)
    }
}

/// The scenario that was run, out of its lock file, with the places of the original.
pub(super) fn scenario(folder: &Path, header: &Header) -> Result<Loaded, Wrong> {
    let path = folder.join(LOCK);
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    let crc = crc_of(&text);
    if crc != header.lock_crc32c {
        let why = format!(
            "{} has checksum {crc}, the run was made with {}: it was changed afterwards",
            path.display(),
            header.lock_crc32c
        );
        return Err((why, exit::BAD_SCENARIO));
    }
    let mut loaded = scenario::load_lock(&path).map_err(|report| {
        let text = report.render(Format::Human, false);
        (text.trim_end().to_owned(), i32::from(report.exit_code()))
    })?;
    header.places.restore(&mut loaded.scenario);
    Ok(loaded)
}

/// How it was run.
pub(super) fn manifest(folder: &Path) -> Result<Manifest, Wrong> {
    json(&folder.join("manifest.json"))
}

/// What it found out. `path` may be its folder, or the file itself, such as a baseline that was committed.
pub(super) fn result(path: &Path) -> Result<RunResult, Wrong> {
    let file = match path.is_dir() {
        true => path.join("summary.json"),
        false => path.to_owned(),
    };
    let result: RunResult = json(&file)?;
    if result.schema_version != backroom_reports::SCHEMA_VERSION {
        let why = format!(
            "{} has schema_version {}, this program reads {}",
            file.display(),
            result.schema_version,
            backroom_reports::SCHEMA_VERSION
        );
        return Err((why, exit::BAD_SCENARIO));
    }
    Ok(result)
}

/// A file that cannot be read: missing, or there and no text.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Wrong {
    match error.kind() {
        std::io::ErrorKind::InvalidData => {
            let why = format!("read {}: it is not text", path.display());
            (why, exit::BAD_SCENARIO)
        }
        _ => (format!("read {}: {error}", path.display()), exit::NO_INPUT),
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Wrong> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        (
            format!("read {}: {error}", path.display()),
            exit::BAD_SCENARIO,
        )
    })
}

/// `runs/lunch/latest:7` in two parts; a number after the last colon is a seed.
pub(super) fn split_seed(text: &str) -> (PathBuf, Option<u64>) {
    match text.rsplit_once(':') {
        Some((folder, seed)) if !folder.is_empty() => match seed.parse() {
            Ok(seed) => (folder.into(), Some(seed)),
            Err(_) => (text.into(), None),
        },
        _ => (text.into(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_behind_the_last_colon() {
        let check = |text: &str, folder: &str, seed| {
            assert_eq!(split_seed(text), (folder.into(), seed));
        };
        check("runs/x/latest:7", "runs/x/latest", Some(7));
        check("runs/x/latest", "runs/x/latest", None);
        check("a:b/latest", "a:b/latest", None);
        check("a:b:12", "a:b", Some(12));
        check(":7", ":7", None);
    }
}
