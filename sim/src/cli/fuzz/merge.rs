//! `backroom fuzz FILE --merge DIR...`: the parts of a search that several machines ran, as the one search that they are.
//!
//! Runs nothing. The log becomes the very bytes that a search of all cases on one machine writes; findings are counted anew in the order of the
//! cases, and each keeps the smallest form that its part has made of it. Next: `log`, what a part is.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use backroom_reports::exit;
use backroom_reports::fuzz::{FuzzFinding, FuzzResult};

use super::log::{self, Case, Header};
use crate::{
    cli::{
        kept::Wrong,
        merge::{DEPTH_MAX, find},
    },
    run::shard::Shard,
};

/// A part.
struct Part {
    folder: PathBuf,
    header: Header,
    cases: Vec<Case>,
    /// What it told at its end; `None` if it was killed before.
    result: Option<FuzzResult>,
}

/// Parts, put together.
pub(super) struct Merged {
    /// That of an unsharded search.
    pub(super) header: Header,
    /// In the order of their numbers, each with the part that ran it.
    cases: Vec<(usize, Case)>,
    parts: Vec<Part>,
}

/// Reads all parts in these folders or below.
///
/// # Errors
/// If one cannot be read, belongs to another search, or overlaps with another.
pub(super) fn read(folders: &[PathBuf]) -> Result<Merged, Wrong> {
    let mut parts: Vec<Part> = Vec::new();
    for folder in folders {
        let mut found = Vec::new();
        find(folder, log::FILE, DEPTH_MAX, &mut found)
            .map_err(|e| (format!("read {}: {e}", folder.display()), exit::NO_INPUT))?;
        if found.is_empty() {
            let why = format!(
                "{} holds no search: there is no {} in it or below",
                folder.display(),
                log::FILE
            );
            return Err((why, exit::NO_INPUT));
        }
        for folder in found {
            parts.push(part(folder)?);
        }
    }
    let mut cases: Vec<(usize, Case)> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        if let Some((what, own, first)) = part.header.difference(&parts[0].header) {
            let why = format!(
                "{} is of another search: its {what} is `{own}`, that of {} is `{first}`",
                part.folder.display(),
                parts[0].folder.display()
            );
            return Err((why, exit::BAD_SCENARIO));
        }
        cases.extend(part.cases.iter().map(|case| (at, case.clone())));
    }
    cases.sort_by_key(|(_, case)| case.case);
    for pair in cases.windows(2) {
        let [(a, one), (b, other)] = pair else {
            continue;
        };
        if one.case == other.case {
            let why = format!(
                "case {} stands in {} and in {}: they overlap; name each part once",
                one.case,
                parts[*a].folder.display(),
                parts[*b].folder.display()
            );
            return Err((why, exit::BAD_SCENARIO));
        }
    }
    let header = Header {
        shard: None,
        ..parts[0].header.clone()
    };
    Ok(Merged {
        header,
        cases,
        parts,
    })
}

fn part(folder: PathBuf) -> Result<Part, Wrong> {
    let (header, cases) = log::read(&folder)?;
    let path = folder.join("fuzz.json");
    let result = match std::fs::read_to_string(&path) {
        Ok(text) => {
            let read = serde_json::from_str(&text);
            let read =
                read.map_err(|e| (format!("read {}: {e}", path.display()), exit::BAD_SCENARIO));
            Some(read?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!(
                "note: {} was stopped before its end: what it found may be not shrunk",
                folder.display()
            );
            None
        }
        Err(error) => return Err(crate::cli::kept::unreadable(&path, &error)),
    };
    Ok(Part {
        folder,
        header,
        cases,
        result,
    })
}

impl Merged {
    /// The cases, in order.
    pub(super) fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().map(|(_, case)| case)
    }

    /// Counts everything into `result`, which has found nothing yet. `command` runs a case again. Gives what each finding's file is in the
    /// part's folder, and the exit codes.
    pub(super) fn count(
        &self,
        result: &mut FuzzResult,
        command: &dyn Fn(u64) -> String,
    ) -> (Vec<Option<PathBuf>>, Vec<i32>) {
        let (mut files, mut codes) = (Vec::new(), Vec::new());
        for (at, case) in &self.cases {
            result.cases += 1;
            result.cases_timed_out += u64::from(case.timed_out);
            result.cases_out_of_memory += u64::from(case.out_of_memory);
            let Some(gravest) = case.failures.first() else {
                continue;
            };
            result.cases_failed += 1;
            codes.extend(case.failures.iter().map(|f| f.check.exit_code()));
            match super::known(&result.found, &case.failures) {
                Some(known) => result.found[known].cases += 1,
                None => {
                    let (found, file) =
                        self.smallest(*at, case, &gravest.check.to_string(), command);
                    result.found.push(found);
                    files.push(file);
                }
            }
        }
        let ends = self.parts.iter().filter_map(|part| part.result.as_ref());
        result.wall_seconds = ends.clone().map(|end| end.wall_seconds).sum();
        let mut stopped: Vec<String> = ends.map(|end| end.stopped.clone()).collect();
        stopped.retain(|why| !why.is_empty());
        stopped.dedup();
        let is_short = result.cases_planned.is_some_and(|all| result.cases < all);
        let unknown = || (is_short && stopped.is_empty()).then(|| "parts are missing".to_owned());
        let why = self.incomplete().or_else(unknown);
        if is_short || why.is_some() {
            codes.push(exit::UNFINISHED);
        }
        stopped.splice(0..0, why);
        result.stopped = stopped.join("; ");
        if result.is_inconclusive() {
            codes.push(exit::INCONCLUSIVE);
        }
        (files, codes)
    }

    /// Why this is not all of the search: parts are not there or, of a search that does not say how many cases it has, did not come to their
    /// end. Half of it would pass for all of it.
    fn incomplete(&self) -> Option<String> {
        // A part that is all of the cases is the first of one.
        let shard = |part: &Part| part.header.shard.unwrap_or(Shard { index: 1, count: 1 });
        let here: BTreeSet<u32> = self.parts.iter().map(|part| shard(part).index).collect();
        let count = shard(&self.parts[0]).count;
        let mut missing = (1..=count).filter(|index| !here.contains(index));
        if let Some(first) = missing.next() {
            let n = 1 + missing.count();
            return Some(format!(
                "parts are missing: {n} of {count}, the first is {first}/{count}"
            ));
        }
        if self.header.cases.is_some() {
            return None;
        }
        let is_cut = |part: &&Part| {
            let end = part.result.as_ref();
            end.is_none_or(|end| end.exit_code == exit::INTERRUPTED)
        };
        let cut = self.parts.iter().find(is_cut)?;
        let folder = cut.folder.display();
        Some(format!("{folder} was stopped before its end"))
    }

    /// What the part has made of the first case that fails by a check, or another part of another case; and where its file is.
    fn smallest(
        &self,
        part: usize,
        case: &Case,
        check: &str,
        command: &dyn Fn(u64) -> String,
    ) -> (FuzzFinding, Option<PathBuf>) {
        let all = || {
            let first = std::iter::once(&self.parts[part]).chain(&self.parts);
            first.flat_map(|part| {
                let found = part.result.iter().flat_map(|end| &end.found);
                found.map(move |found| (part.folder.as_path(), found))
            })
        };
        let found = all()
            .find(|(_, f)| f.check == check && f.case == case.case)
            .or_else(|| all().find(|(_, f)| f.check == check));
        match found {
            Some((folder, found)) => {
                let file = found.file.as_deref().and_then(|file| beside(folder, file));
                let found = FuzzFinding {
                    cases: 1,
                    ..found.clone()
                };
                (found, file)
            }
            None => {
                let found = FuzzFinding {
                    check: check.to_owned(),
                    message: case.failures[0].message.clone(),
                    case: case.case,
                    cases: 1,
                    from: format!("{} changes", case.changes.len()),
                    to: "not shrunk".into(),
                    unfinished: format!("no part has shrunk it; {}", command(case.case)),
                    file: None,
                    found_after_seconds: 0.0,
                    shrink_seconds: 0.0,
                    shrink_runs: 0,
                };
                (found, None)
            }
        }
    }
}

/// A part's file: the part may come from another machine, on which its folder had another name.
fn beside(folder: &Path, file: &str) -> Option<PathBuf> {
    let name = Path::new(file).file_name()?;
    let there = [folder.join(name), PathBuf::from(file)];
    there.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of a search that only a budget ends, each with its number of how many and its exit code; `None` was killed. What a merge says.
    fn check(parts: &[(u32, u32, Option<i32>)], expect: &str) {
        let header = |shard| Header {
            tool_version: "1".into(),
            scenario: "shop".into(),
            lock_crc32c: "0".into(),
            sets: Vec::new(),
            seed: 1,
            expect: false,
            cases: None,
            plant: None,
            shard,
        };
        let result = |exit_code| FuzzResult {
            schema_version: backroom_reports::SCHEMA_VERSION,
            scenario: "shop".into(),
            file: "shop.toml".into(),
            seed: 1,
            shard: None,
            cases: 0,
            cases_planned: None,
            cases_failed: 0,
            cases_timed_out: 0,
            cases_out_of_memory: 0,
            found: Vec::new(),
            stopped: String::new(),
            exit_code,
            wall_seconds: 0.0,
        };
        let part = |&(index, count, code): &(u32, u32, Option<i32>)| Part {
            folder: PathBuf::from(format!("part-{index}")),
            header: header((count > 1).then_some(Shard { index, count })),
            cases: Vec::new(),
            result: code.map(result),
        };
        // Without one that came to its end nothing is known, which is graver than parts that are missing.
        let case = Case {
            case: 0,
            seed: 1,
            changes: Vec::new(),
            failures: Vec::new(),
            timed_out: false,
            out_of_memory: false,
            trace_hash: String::new(),
        };
        let merged = Merged {
            header: header(None),
            cases: vec![(0, case)],
            parts: parts.iter().map(part).collect(),
        };
        let mut told = result(exit::OK);
        let (_, codes) = merged.count(&mut told, &|_| String::new());
        assert_eq!(told.stopped, expect, "{parts:?}");
        let code = if expect.is_empty() {
            exit::OK
        } else {
            exit::UNFINISHED
        };
        assert_eq!(exit::first(codes), code, "{parts:?}");
    }

    #[test]
    fn half_of_a_search_is_not_all_of_it() {
        let ended = Some(exit::OK);
        check(&[(1, 1, ended)], "");
        check(&[(2, 2, ended), (1, 2, ended)], "");
        check(
            &[(2, 2, ended)],
            "parts are missing: 1 of 2, the first is 1/2",
        );
        check(
            &[(1, 4, ended), (3, 4, None)],
            "parts are missing: 2 of 4, the first is 2/4",
        );
        check(
            &[(1, 2, ended), (2, 2, None)],
            "part-2 was stopped before its end",
        );
        let interrupted = Some(exit::INTERRUPTED);
        check(
            &[(1, 2, interrupted), (2, 2, ended)],
            "part-1 was stopped before its end",
        );
    }
}
