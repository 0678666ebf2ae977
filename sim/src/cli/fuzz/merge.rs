//! `backroom fuzz FILE --merge DIR...`: the parts of a search that several machines ran, as the one search that they are.
//!
//! Runs nothing. The log becomes the very bytes that a search of all cases on one machine writes; findings are counted anew in the order of the
//! cases, and each keeps the smallest form that its part has made of it. Next: `log`, what a part is.

use std::path::{Path, PathBuf};

use backroom_reports::exit;
use backroom_reports::fuzz::{FuzzFinding, FuzzResult};

use super::log::{self, Case, Header};
use crate::cli::{
    kept::Wrong,
    merge::{DEPTH_MAX, find},
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
        let mut stopped: Vec<&str> = ends.map(|end| end.stopped.as_str()).collect();
        stopped.retain(|why| !why.is_empty());
        stopped.dedup();
        result.stopped = stopped.join("; ");
        if result.cases_planned.is_some_and(|all| result.cases < all) {
            codes.push(exit::UNFINISHED);
            if result.stopped.is_empty() {
                result.stopped = "parts are missing".into();
            }
        }
        (files, codes)
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
