//! `outcomes.ndjson`: every seed of a run as it ended, and what is needed to judge them elsewhere.
//!
//! The first line says what was run; each further one is a seed. A shard leaves one; [`Shards`] puts those of all shards
//! together, and refuses what does not belong together. Judging is `merge`'s, the format of lines is `ndjson`'s.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use backroom_reports::SeedFailure;
use serde::{Deserialize, Serialize};

use super::{
    merge::Difference,
    ndjson::{self, LogError},
    outcome::SeedOutcome,
    pool::End,
    seeds,
    shard::Shard,
};
use crate::scenario::Scenario;

/// Name of the file in a run's folder.
pub const FILE: &str = "outcomes.ndjson";

/// Version of the lines.
const VERSION: u32 = 1;

/// What was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the lines.
    pub version: u32,
    /// Version of `backroom`.
    pub tool_version: String,
    /// Name of the scenario.
    pub scenario: String,
    /// CRC32C of `scenario.lock.toml`, in hexadecimal.
    pub lock_crc32c: String,
    /// `--set` values, in order.
    pub sets: Vec<String>,
    /// Largest simulated packet in bytes.
    pub mtu: u32,
    /// Whether traces cover payloads.
    pub hash_payloads: bool,
    /// Whether every seed was run twice.
    pub verified: bool,
    /// Seeds of all shards together.
    pub seeds: String,
    /// Which part this is; `None` is all of it.
    pub shard: Option<Shard>,
    /// Where things are declared.
    pub places: Places,
}

/// Where things are declared: the lock file has other lines than the files that people edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The scenario's file, as it was named.
    pub file: PathBuf,
    /// By expectation.
    pub expects: Vec<(PathBuf, usize)>,
    /// By oracle.
    pub oracles: Vec<usize>,
}

impl Places {
    /// Those of a scenario that was read from its file.
    pub fn of(scenario: &Scenario) -> Self {
        let expects = scenario.expects.iter();
        Self {
            file: scenario.path.clone(),
            expects: expects.map(|e| (e.file.clone(), e.line)).collect(),
            oracles: scenario.oracles.iter().map(|o| o.line).collect(),
        }
    }

    /// Gives a scenario that was read from its lock file the places of the original.
    pub fn restore(&self, scenario: &mut Scenario) {
        scenario.path.clone_from(&self.file);
        for (expect, (file, line)) in scenario.expects.iter_mut().zip(&self.expects) {
            expect.file.clone_from(file);
            expect.line = *line;
        }
        for (oracle, line) in scenario.oracles.iter_mut().zip(&self.oracles) {
            oracle.line = *line;
        }
    }
}

impl Header {
    /// Version of the lines that this program writes.
    pub const VERSION: u32 = VERSION;

    /// What must be equal in all shards, with its name.
    fn identity(&self) -> [(&'static str, String); 8] {
        [
            ("version of the file", self.version.to_string()),
            ("version of backroom", self.tool_version.clone()),
            ("scenario", self.scenario.clone()),
            ("lock file", self.lock_crc32c.clone()),
            ("--set", self.sets.join(" ")),
            (
                "--mtu and --hash-payloads",
                format!("{} {}", self.mtu, self.hash_payloads),
            ),
            ("--verify", self.verified.to_string()),
            ("seeds", self.seeds.clone()),
        ]
    }
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first one.
    Run(Box<Header>),
    /// A seed that ran to its end.
    Seed(Box<SeedOutcome>),
    /// A seed that did not.
    Failed(SeedFailure),
    /// A seed whose two runs differ.
    Differs(Difference),
}

impl From<&End> for Line {
    fn from(end: &End) -> Self {
        match end {
            End::Ran(outcome) => Self::Seed(outcome.clone()),
            End::Failed(failure) => Self::Failed(failure.clone()),
        }
    }
}

/// What was read of one run.
#[derive(Debug)]
pub struct Part {
    /// Its folder.
    pub folder: PathBuf,
    /// What was run.
    pub header: Header,
    /// By seed.
    pub outcomes: BTreeMap<u64, SeedOutcome>,
    /// By seed.
    pub failures: BTreeMap<u64, SeedFailure>,
    /// What `--verify` found.
    pub differences: Vec<Difference>,
    /// Whether the writer was stopped in the middle of a line.
    pub torn: bool,
}

/// Reads the log of a run.
///
/// # Errors
/// If it cannot be read, is damaged, or is not one.
pub fn read(folder: &Path) -> Result<Part, LogError> {
    let path = folder.join(FILE);
    let read = ndjson::read::<Line>(&path)?;
    let damaged = |line: usize, why: String| LogError::Damaged {
        path: path.clone(),
        line,
        why,
    };
    let mut lines = read.lines.into_iter();
    let header = match lines.next() {
        Some(Line::Run(header)) if header.version == VERSION => *header,
        Some(Line::Run(header)) => {
            let why = format!(
                "says version {}, this program reads version {VERSION}",
                header.version
            );
            return Err(damaged(1, why));
        }
        _ => {
            let why = "does not say what was run: its writer was stopped before it began";
            return Err(damaged(1, why.into()));
        }
    };
    let mut part = Part {
        folder: folder.to_owned(),
        header,
        outcomes: BTreeMap::new(),
        failures: BTreeMap::new(),
        differences: Vec::new(),
        torn: read.torn,
    };
    for (number, line) in (2..).zip(lines) {
        let twice = |seed: u64| damaged(number, format!("tells seed {seed} a second time"));
        match line {
            Line::Run(_) => return Err(damaged(number, "begins a second run".into())),
            Line::Seed(outcome) => {
                let seed = outcome.seed;
                if part.failures.contains_key(&seed)
                    || part.outcomes.insert(seed, *outcome).is_some()
                {
                    return Err(twice(seed));
                }
            }
            Line::Failed(failure) => {
                let seed = failure.seed;
                if part.outcomes.contains_key(&seed)
                    || part.failures.insert(seed, failure).is_some()
                {
                    return Err(twice(seed));
                }
            }
            Line::Differs(difference) => part.differences.push(difference),
        }
    }
    Ok(part)
}

/// All shards of one run, put together.
#[derive(Debug)]
pub struct Shards {
    /// What was run; it has no shard.
    pub header: Header,
    /// Sorted by seed.
    pub outcomes: Vec<SeedOutcome>,
    /// Sorted by seed.
    pub failures: Vec<SeedFailure>,
    /// What `--verify` found, sorted by seed.
    pub differences: Vec<Difference>,
    /// Seeds that were planned.
    pub seeds_planned: usize,
    /// What is not there; empty if everything is.
    pub missing: Vec<String>,
}

impl Shards {
    /// Puts shards together.
    ///
    /// # Errors
    /// If they are not of one run, or a seed stands in two of them.
    pub fn of(parts: Vec<Part>) -> Result<Self, String> {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Err("there is nothing to merge".into());
        };
        let mut header = first.header.clone();
        header.shard = None;
        let mut all: BTreeMap<u64, (PathBuf, End)> = BTreeMap::new();
        let mut differences = Vec::new();
        let mut shards: BTreeMap<(u32, u32), PathBuf> = BTreeMap::new();
        let mut torn = Vec::new();
        for part in std::iter::once(first).chain(parts) {
            let there = part.folder.display().to_string();
            for ((what, a), (_, b)) in header.identity().iter().zip(part.header.identity()) {
                if *a != b {
                    return Err(format!(
                        "{there} is of another run: its {what} is `{b}`, that of the first one is `{a}`"
                    ));
                }
            }
            let shard = part.header.shard.unwrap_or(Shard { index: 1, count: 1 });
            let place = (shard.count, shard.index);
            if let Some(other) = shards.insert(place, part.folder.clone()) {
                return Err(format!(
                    "{there} and {} are both shard {shard}; leave one of them out",
                    other.display()
                ));
            }
            if part.torn {
                torn.push(there.clone());
            }
            let ran = part
                .outcomes
                .into_values()
                .map(|o| (o.seed, End::Ran(Box::new(o))));
            let failed = part
                .failures
                .into_values()
                .map(|f| (f.seed, End::Failed(f)));
            for (seed, end) in ran.chain(failed) {
                if let Some((other, _)) = all.insert(seed, (part.folder.clone(), end)) {
                    return Err(format!(
                        "seed {seed} stands in {} and in {there}: these shards overlap",
                        other.display()
                    ));
                }
            }
            differences.extend(part.differences);
        }
        let planned = seeds::parse(&header.seeds)?;
        let missing = missing(&header, &planned, &all, &shards, &torn);
        differences.sort_by_key(|d: &Difference| d.seed);
        let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
        for (_, end) in all.into_values() {
            match end {
                End::Ran(outcome) => outcomes.push(*outcome),
                End::Failed(failure) => failures.push(failure),
            }
        }
        Ok(Self {
            header,
            outcomes,
            failures,
            differences,
            seeds_planned: planned.len(),
            missing,
        })
    }
}

/// Which shards, and which seeds of those that are there, are missing.
fn missing(
    header: &Header,
    planned: &[u64],
    all: &BTreeMap<u64, (PathBuf, End)>,
    shards: &BTreeMap<(u32, u32), PathBuf>,
    torn: &[String],
) -> Vec<String> {
    let mut missing = Vec::new();
    let counts: Vec<u32> = shards.keys().map(|(count, _)| *count).collect();
    let count = counts.first().copied().unwrap_or(1);
    let is_one_split = counts.iter().all(|n| *n == count);
    for index in 1..=count {
        let shard = Shard { index, count };
        let of_shard =
            |seed: &&u64| !is_one_split || shard.owns(&header.scenario, &seed.to_string());
        let absent: Vec<u64> = planned
            .iter()
            .filter(of_shard)
            .filter(|seed| !all.contains_key(seed))
            .copied()
            .collect();
        if !is_one_split {
            if !absent.is_empty() {
                missing.push(format!("seeds {} are missing", seeds::show(&absent)));
            }
            break;
        }
        match shards.get(&(count, index)) {
            None => missing.push(match absent.is_empty() {
                true => format!("shard {shard} is missing"),
                false => format!("shard {shard} is missing: seeds {}", seeds::show(&absent)),
            }),
            Some(folder) if !absent.is_empty() => missing.push(format!(
                "{} was stopped before its end: seeds {} of shard {shard} are missing",
                folder.display(),
                seeds::show(&absent)
            )),
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        let torn = torn.iter();
        missing.extend(torn.map(|t| format!("the last line of {t}/{FILE} is torn and left out")));
    }
    missing
}

#[cfg(test)]
mod tests;
