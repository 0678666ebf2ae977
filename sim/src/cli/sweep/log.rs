//! `points.ndjson`: every point of a sweep as it ended, and what must be equal for points to belong together.
//!
//! A writer that was killed leaves a torn last line, which is left out: its point is run again. What a damaged line in the middle is, `ndjson`
//! decides.

use std::path::Path;

use backroom_reports::{exit, grid::Point};
use serde::{Deserialize, Serialize};

use super::Args;
use crate::{
    cli::{
        kept::{LOCK, Wrong},
        run_dir::{RunDir, Unwritable},
    },
    run::ndjson::{self, Log},
    scenario::Loaded,
};

/// Name of the log in a sweep's folder.
pub(super) const FILE: &str = "points.ndjson";

/// The first line: what must be equal for points to belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) tool_version: String,
    pub(super) scenario: String,
    pub(super) lock_crc32c: String,
    pub(super) sets: Vec<String>,
    pub(super) seeds: String,
    pub(super) points: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Sweep(Header),
    Point(Box<Point>),
}

pub(super) fn begin(
    args: &Args,
    loaded: &Loaded,
    header: &Header,
) -> Result<(RunDir, Log), Unwritable> {
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
pub(super) fn read(dir: &Path, header: &Header) -> Result<(Vec<Point>, ndjson::Lines<()>), Wrong> {
    let path = dir.join(FILE);
    let lines = ndjson::read::<Line>(&path)?;
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

pub(super) fn resume(dir: &Path, header: &Header) -> Result<Log, Wrong> {
    let (_, lines) = read(dir, header)?;
    let path = dir.join(FILE);
    Ok(Log::resume(&path, &lines).map_err(Unwritable::at(&path))?)
}

pub(super) fn append(log: &mut Log, point: &Point) -> Result<(), Wrong> {
    let line = Line::Point(Box::new(point.clone()));
    let path = log.path().to_owned();
    let written = log.append(&line).and_then(|()| log.sync());
    Ok(written.map_err(Unwritable::at(&path))?)
}
