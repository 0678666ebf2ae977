//! `cases.ndjson`: every case of a search as it ended, in the order of their numbers, and what must be equal for cases to belong together.
//!
//! A writer that was killed leaves a torn last line, which is left out. Next: `merge`, which reads those of several machines.

use std::path::Path;

use backroom_reports::exit;
use serde::{Deserialize, Serialize};

use crate::{
    cli::kept::Wrong,
    run::{ndjson, shard::Shard},
    search::check::Failure,
};

/// Name of the log in a search's folder.
pub(in crate::cli) const FILE: &str = "cases.ndjson";

/// The first line: of which search it is. All but the shard must be equal for cases to belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) tool_version: String,
    pub(super) scenario: String,
    pub(super) lock_crc32c: String,
    pub(super) sets: Vec<String>,
    /// Of the search.
    pub(super) seed: u64,
    /// Whether expectations count.
    pub(super) expect: bool,
    /// What was asked for; `None` where only the budget ends it.
    pub(super) cases: Option<u64>,
    /// A bug that was planted.
    pub(super) plant: Option<String>,
    /// `None`: all of the cases.
    pub(super) shard: Option<Shard>,
}

/// A case as it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) case: u64,
    pub(super) seed: u64,
    pub(super) changes: Vec<String>,
    /// What failed, the gravest first.
    pub(super) failures: Vec<Failure>,
    /// Whether it was stopped because it took too long: nothing is known of it.
    pub(super) timed_out: bool,
    /// Whether it was stopped because it held too much memory: nothing is known of it.
    #[serde(default)]
    pub(super) out_of_memory: bool,
    pub(super) trace_hash: String,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Search(Box<Header>),
    Case(Box<Case>),
}

/// The log of a folder.
///
/// # Errors
/// If it is not there (66), or is no log of a search (65).
pub(super) fn read(folder: &Path) -> Result<(Header, Vec<Case>), Wrong> {
    let path = folder.join(FILE);
    let read = ndjson::read::<Line>(&path)?;
    let bad = |why: &str| (format!("{} {why}", path.display()), exit::BAD_SCENARIO);
    if read.torn {
        eprintln!(
            "note: the last line of {} is half written, and left out",
            path.display()
        );
    }
    let mut lines = read.lines.into_iter();
    let Some(Line::Search(header)) = lines.next() else {
        return Err(bad(
            "does not begin with what was searched: it was stopped before it began, or is something else",
        ));
    };
    let mut cases: Vec<Case> = Vec::new();
    for line in lines {
        match line {
            Line::Case(case) => cases.push(*case),
            Line::Search(_) => {
                return Err(bad("says twice what was searched; keep one log a file"));
            }
        }
    }
    Ok((*header, cases))
}

impl Header {
    /// What differs from the header of a part of the same search: its name, what it is here and there.
    pub(super) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let show = |h: &Self| {
            [
                ("version of backroom", h.tool_version.clone()),
                ("scenario", h.scenario.clone()),
                ("lock file", h.lock_crc32c.clone()),
                ("--set", h.sets.join(" ")),
                ("--seed", h.seed.to_string()),
                ("--expect", h.expect.to_string()),
                (
                    "--cases",
                    h.cases
                        .map_or_else(|| "not given".into(), |n| n.to_string()),
                ),
                ("--plant", h.plant.clone().unwrap_or_default()),
                (
                    "number of shards",
                    h.shard.map_or(1, |shard| shard.count).to_string(),
                ),
            ]
        };
        let mut both = show(self).into_iter().zip(show(other));
        both.find(|(a, b)| a != b)
            .map(|((what, a), (_, b))| (what, a, b))
    }
}
