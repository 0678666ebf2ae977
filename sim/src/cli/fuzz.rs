//! `backroom fuzz`: random stores, outages, traffic and parameters around a scenario, and the smallest form of what fails.
//!
//! A case comes from the scenario, the seed and its number alone, so shards and machines need not agree about anything else, and
//! `--case` runs one again. Whatever fails newly is shrunk at once: then a search that is stopped has something to show. Next:
//! `search::generate`, what a case is; `found`, the file that is left of a failure; `merge`, the parts of several machines.

mod log;
mod merge;

use std::{
    num::NonZeroU64,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use backroom_reports::{
    exit,
    fuzz::{self, FuzzFinding, FuzzResult},
    terminal::shell_word,
};

use super::{
    Terminal,
    found::{self, Limits, place_of},
    hunt::Hunt,
    kept::Wrong,
    outputs,
    run::load_all,
    run_dir::{RunDir, Unwritable, crc_of},
    shrink::one_seed,
    signals::Status,
};
use crate::{
    run::{ndjson::Log, one::Options},
    scenario::Loaded,
    search::{
        check::{Check, Failure},
        doc::Doc,
        generate::{self, Around, Change},
        shrink::{Size, fewest_changes},
        trial::{Stop, Trial, Tried},
    },
};

/// Change a scenario at random, case by case, and look for what must never be; shrink what is found.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The scenario to search around.
    file: PathBuf,

    /// Change a value of the scenario first; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    /// Run so many cases; 100 unless `--budget` ends it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=CASES_MAX))]
    cases: Option<u64>,

    /// Run this case only, as a search with the same seed has run it.
    #[arg(long, value_name = "N", conflicts_with_all = ["cases", "shard"], value_parser = clap::value_parser!(u64).range(1..=CASES_MAX))]
    case: Option<u64>,

    /// Seed of the search: another one gives other cases.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Judge the file's expectations too, as far as they do not refer to a fault that a case leaves out. Otherwise only invariants and
    /// crashes count: an outage that is longer than the file's may well break what the file expects.
    #[arg(long)]
    expect: bool,

    /// Stop at the first failure, once it is shrunk; the same as `--max-failures 1`.
    #[arg(long, conflicts_with = "max_failures")]
    fail_fast: bool,

    /// Stop once so many cases fail, and what is new in them is shrunk.
    #[arg(long, value_name = "N")]
    max_failures: Option<NonZeroU64>,

    /// Run one part of the cases: `2/8`, or `auto` for what the CI engine says.
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,

    /// Put the parts of a sharded search together: their folders, or folders that hold them, such as the `runs` of each machine. Nothing is run.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 1..,
        conflicts_with_all = ["cases", "case", "seed", "expect", "fail_fast", "max_failures", "shard", "budget", "plant", "out"]
    )]
    merge: Vec<PathBuf>,

    #[command(flatten)]
    limits: Limits,

    /// Write what is found here, or into this folder: `scenarios/regressions`. Into the folder of the search unless given.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,

    /// Folder in which it is kept: `DIR/<scenario>.fuzz/<time>-<id>/`, and `latest` beside it.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// A million cases: weeks.
const CASES_MAX: u64 = 1_000_000;

/// A case that takes longer than this is waited for by itself: whoever watches sees it end, and an interruption costs no other.
const SLOW: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    super::code(search(args, terminal))
}

/// A case that is to be run.
struct Case {
    number: u64,
    seed: u64,
    changes: Vec<Change>,
}

/// A search under way.
struct Search<'a> {
    args: &'a Args,
    name: String,
    around: Around,
    trial: Trial<'a>,
    hunt: &'a Hunt,
    status: Arc<Status>,
    folder: RunDir,
    log: Log,
    result: FuzzResult,
    codes: Vec<i32>,
}

fn search(args: &Args, terminal: Terminal) -> Result<i32, Wrong> {
    let shard = super::shard(args.shard.as_deref())?;
    let named = std::slice::from_ref(&args.file);
    // What is wrong has been told by whoever reads it.
    let (_, loaded) = load_all(named, &args.sets, named, terminal)
        .map_err(|code| (String::new(), code))?
        .remove(0);
    if !args.merge.is_empty() {
        return merged(args, &loaded);
    }
    let name = loaded.scenario.name.clone();
    let mut doc = Doc::of(&loaded);
    doc.use_offsets(&loaded.scenario);
    // A closed form assumes what the file says: around it, it would fail for a good reason.
    doc.list_mut("oracle").clear();
    if !args.expect {
        doc.list_mut("expect").clear();
    }
    doc.tidy();
    let whole = Doc::parse(&loaded.plain_toml(true)).expect("what is printed can be read");
    let planned = match (args.case, args.cases, args.limits.budget) {
        (Some(_), _, _) => Some(1),
        (None, Some(cases), _) => Some(cases),
        (None, None, Some(_)) => None,
        (None, None, None) => Some(100),
    };
    let (status, _ears) = found::listen(&name);
    let hunt = found::hunt(&args.limits, terminal, &name, planned);
    let header = log::Header {
        tool_version: env!("CARGO_PKG_VERSION").into(),
        scenario: name.clone(),
        lock_crc32c: crc_of(&loaded.lock_toml()),
        sets: args.sets.clone(),
        seed: args.seed,
        expect: args.expect,
        cases: args.case.map_or(planned, |_| None),
        plant: args.limits.plant.map(|plant| plant.name().to_owned()),
        shard: shard.filter(|s| s.count > 1),
    };
    let (folder, log) = begin(args, &loaded, &header)?;
    let mut search = Search {
        args,
        around: Around::new(doc, loaded.scenario, &whole),
        trial: args.limits.trial(&status.control, Options::default())?,
        hunt: &hunt,
        status: status.clone(),
        folder,
        log,
        result: nothing_yet(args, &header, planned),
        codes: Vec::new(),
        name,
    };
    if search.trial.read(&search.around.with(&[])).is_none() {
        let why = format!(
            "{} cannot be searched: its times cannot be written as offsets",
            args.file.display()
        );
        return Err((why, exit::BAD_SCENARIO));
    }
    let numbers: Box<dyn Iterator<Item = u64>> = match args.case {
        Some(case) => Box::new(std::iter::once(case)),
        None => Box::new(1..=planned.unwrap_or(CASES_MAX)),
    };
    let (seed, name) = (args.seed, search.name.clone());
    let mine = move |case: &u64| {
        shard.is_none_or(|shard| shard.owns(&name, &format!("fuzz {seed} {case}")))
    };
    let stopped = search.all(numbers.filter(mine));
    hunt.clear();
    search.end(stopped)
}

/// The folder of a search and its log, begun.
fn begin(args: &Args, loaded: &Loaded, header: &log::Header) -> Result<(RunDir, Log), Unwritable> {
    let mut folder = RunDir::create(&args.runs, &format!("{}.fuzz", header.scenario))?;
    folder.put(super::kept::LOCK, loaded.lock_toml().as_bytes())?;
    let path = folder.folder.join(log::FILE);
    let mut log = Log::create(&path).map_err(Unwritable::at(&path))?;
    log.append(&log::Line::Search(Box::new(header.clone())))
        .map_err(Unwritable::at(&path))?;
    // Now, not at the end: what a search that is killed has found is found by this.
    folder.finish();
    Ok((folder, log))
}

/// A search before its first case.
fn nothing_yet(args: &Args, header: &log::Header, planned: Option<u64>) -> FuzzResult {
    FuzzResult {
        schema_version: backroom_reports::SCHEMA_VERSION,
        scenario: header.scenario.clone(),
        file: args.file.display().to_string(),
        seed: header.seed,
        shard: header.shard.map(|s| s.to_string()),
        cases: 0,
        cases_planned: planned,
        cases_failed: 0,
        cases_timed_out: 0,
        cases_out_of_memory: 0,
        found: Vec::new(),
        stopped: String::new(),
        exit_code: exit::OK,
        wall_seconds: 0.0,
    }
}

/// Which finding a case belongs to: it may fail by several checks for one reason, and is new if it has none in common with what was found.
fn known(found: &[FuzzFinding], failures: &[Failure]) -> Option<usize> {
    failures.iter().find_map(|f| {
        let name = f.check.to_string();
        found.iter().position(|found| found.check == name)
    })
}

/// Puts parts together.
fn merged(args: &Args, loaded: &Loaded) -> Result<i32, Wrong> {
    let merged = merge::read(&args.merge)?;
    let header = &merged.header;
    let here = log::Header {
        scenario: loaded.scenario.name.clone(),
        lock_crc32c: crc_of(&loaded.lock_toml()),
        sets: args.sets.clone(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        ..header.clone()
    };
    if let Some((what, there, here)) = header.difference(&here) {
        let why = format!(
            "the parts are not of {}: their {what} is `{there}`, here it is `{here}`",
            args.file.display()
        );
        return Err((why, exit::BAD_SCENARIO));
    }
    let mut result = nothing_yet(args, header, header.cases);
    let command = |case| command(args, header.seed, header.expect, case);
    let (files, codes) = merged.count(&mut result, &command);
    let (mut folder, mut log) = begin(args, loaded, header)?;
    let path = log.path().to_owned();
    merged
        .cases()
        .try_for_each(|case| log.append(&log::Line::Case(Box::new(case.clone()))))
        .and_then(|()| log.sync())
        .map_err(Unwritable::at(&path))?;
    for (found, file) in result.found.iter_mut().zip(files) {
        let Some(file) = file else { continue };
        let bytes = std::fs::read(&file).map_err(|e| super::kept::unreadable(&file, &e))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        folder.put(&name, &bytes)?;
        found.file = Some(folder.folder.join(&*name).display().to_string());
    }
    result.exit_code = exit::first(codes);
    tell(args, &mut folder, &mut result);
    Ok(result.exit_code)
}

/// The words that run a case again.
fn command(args: &Args, seed: u64, expect: bool, case: u64) -> String {
    let file = args.file.display().to_string();
    let mut words = vec!["backroom fuzz".to_owned(), shell_word(&file)];
    let sets = args.sets.iter();
    words.extend(sets.map(|set| format!("--set {}", shell_word(set))));
    words.extend(expect.then(|| "--expect".to_owned()));
    words.push(format!("--seed {seed} --case {case}"));
    words.join(" ")
}

/// Keeps what was found, and tells it whether it can be kept or not.
fn tell(args: &Args, folder: &mut RunDir, result: &mut FuzzResult) {
    if let Err(error) = folder.put("fuzz.json", fuzz::json(result).as_bytes()) {
        not_written(result, &format!("{error}; {}", folder.kept()));
    }
    match args.json {
        true => outputs::print(&fuzz::json(result)),
        false => outputs::print(&fuzz::render(result)),
    }
    eprintln!("kept in {}", folder.folder.display());
}

/// Takes down what is not on disk.
fn not_written(result: &mut FuzzResult, why: &str) {
    eprintln!("error: {why}");
    result.exit_code = exit::first([result.exit_code, exit::CANNOT_WRITE]);
    if result.stopped.is_empty() {
        result.stopped = why.to_owned();
    }
}

impl Search<'_> {
    /// Runs cases until they, the time or somebody's patience end.
    fn all(&mut self, numbers: impl Iterator<Item = u64>) -> Result<(), Stop> {
        let mut numbers = numbers.peekable();
        // As many as there are processes, until it is known that cases are short: then some for each, so that few wait for the slowest.
        let jobs = self.trial.jobs;
        let mut at_once = jobs;
        loop {
            let next: Vec<u64> = numbers.by_ref().take(at_once).collect();
            if next.is_empty() {
                return Ok(());
            }
            // Drawing and reading cases takes time too.
            if self.trial.is_over() {
                return Err(Stop::Budget);
            }
            let cases: Vec<Case> = next.into_iter().map(|number| self.drawn(number)).collect();
            let docs: Vec<Doc> = cases
                .iter()
                .map(|case| self.doc(case.seed, &case.changes))
                .collect();
            #[expect(clippy::disallowed_methods, reason = "how long cases take for real")]
            let began = Instant::now();
            let names = cases
                .iter()
                .map(|case| format!("{}, case {}", self.name, case.number));
            self.status.rename(names.collect());
            let (tried, mut stopped) = self.trial.some(&docs)?;
            let each = began.elapsed() / u32::try_from(docs.len().div_ceil(jobs)).unwrap_or(1);
            at_once = if each > SLOW { jobs } else { jobs * 4 };
            for (at, (case, tried)) in cases.iter().zip(tried).enumerate() {
                let Some(tried) = tried else { continue };
                match self.ended(case, tried) {
                    Ok(()) if self.has_failed_enough() => {
                        let is_last = at + 1 == cases.len() && numbers.peek().is_none();
                        let stop = Stop::Failures(self.result.cases_failed);
                        return if is_last { Ok(()) } else { Err(stop) };
                    }
                    Ok(()) => {}
                    Err(stop) if stop.is_error() => return Err(stop),
                    // The others have ended too, and are told.
                    Err(stop) => stopped = Some(stop),
                }
            }
            if let Some(stop) = stopped {
                return Err(stop);
            }
        }
    }

    /// Whether so many cases fail that it ends.
    fn has_failed_enough(&self) -> bool {
        let most = self.args.max_failures.map(NonZeroU64::get);
        let most = most.or(self.args.fail_fast.then_some(1));
        most.is_some_and(|most| self.result.cases_failed >= most)
    }

    fn drawn(&self, number: u64) -> Case {
        let seed = generate::seed_of(self.args.seed, number);
        let is_valid = |doc: &Doc| self.trial.read(doc).is_some();
        Case {
            number,
            seed,
            changes: self.around.valid_case(self.args.seed, number, &is_valid),
        }
    }

    fn doc(&self, seed: u64, changes: &[Change]) -> Doc {
        let mut doc = self.around.with(changes);
        one_seed(&mut doc, seed);
        doc
    }

    /// Takes down what came of a case; shrinks what is new.
    fn ended(&mut self, case: &Case, tried: Tried) -> Result<(), Stop> {
        let (failures, hash, stopped) = match tried {
            Tried::Ran(ran) => (ran.failures, ran.trace_hash, None),
            Tried::Stopped(stopped) => (Vec::new(), String::new(), Some(stopped)),
            // What was drawn has been read before.
            Tried::Invalid => {
                return Err(Stop::Broken(format!("case {} is not valid", case.number)));
            }
        };
        let failures: Vec<Failure> = failures
            .into_iter()
            .filter(|f| self.args.expect || !matches!(f.check, Check::Expect(_)))
            .collect();
        self.result.cases += 1;
        let out_of_memory = stopped.as_ref().is_some_and(|s| s.is_out_of_memory);
        let timed_out = stopped.is_some() && !out_of_memory;
        self.result.cases_timed_out += u64::from(timed_out);
        self.result.cases_out_of_memory += u64::from(out_of_memory);
        let line = log::Line::Case(Box::new(log::Case {
            case: case.number,
            seed: case.seed,
            changes: case.changes.iter().map(Change::told).collect(),
            failures: failures.clone(),
            timed_out,
            out_of_memory,
            trace_hash: hash.clone(),
        }));
        let path = self.log.path().to_owned();
        self.log
            .append(&line)
            .map_err(|e| Stop::Unwritable(format!("write {}: {e}", path.display())))?;
        let what = match (failures.first(), stopped) {
            (_, Some(stopped)) => stopped.why,
            (None, _) => format!("holds, trace {hash}"),
            (Some(failure), _) => format!("{} fails: {}", failure.check, failure.message),
        };
        self.hunt.case(
            !failures.is_empty(),
            &format!("case {} (seed {}): {what}", case.number, case.seed),
        );
        let Some(gravest) = failures.first() else {
            return Ok(());
        };
        self.result.cases_failed += 1;
        self.codes
            .extend(failures.iter().map(|f| f.check.exit_code()));
        match known(&self.result.found, &failures) {
            Some(at) => self.result.found[at].cases += 1,
            None => self.shrink(case, gravest.clone())?,
        }
        Ok(())
    }

    fn shrink(&mut self, case: &Case, failure: Failure) -> Result<(), Stop> {
        let found_after = self.hunt.elapsed();
        let doing = format!("{}, shrinking case {}", self.name, case.number);
        self.status.rename(vec![doing]);
        let check = failure.check.to_string();
        let from = self.doc(case.seed, &case.changes);
        let runs = self.args.limits.shrink_runs;
        // First of all which changes it takes: the rest is as the file says.
        let around = &self.around;
        let make = |changes: &[Change]| {
            let mut doc = around.with(changes);
            one_seed(&mut doc, case.seed);
            doc
        };
        let all = case.changes.clone();
        let mut fewer = fewest_changes(&mut self.trial, all, failure.clone(), runs, &make);
        let begun = Some((fewer.doc, fewer.failure));
        let spent = fewer.runs;
        let left = match &fewer.stopped {
            None => runs - spent,
            Some(_) => 0,
        };
        if let Some(stop) = fewer.stopped.take_if(|stop| stop.is_error()) {
            return Err(stop);
        }
        let mut found = found::shrink(&mut self.trial, from, begun, failure, left, self.hunt)
            .map_err(stop_of)?;
        found.runs += spent;
        if let Some(stop) = fewer.stopped {
            found.unfinished = stop.to_string();
            found.interrupted = matches!(stop, Stop::Interrupted);
        }
        let name = found.name(&self.name);
        let path = match &self.args.out {
            Some(out) => place_of(out, &name),
            None => self.folder.folder.join(format!("{name}.toml")),
        };
        let written = found.write(&path, &name, &self.command(case.number));
        self.result.found.push(FuzzFinding {
            check,
            message: found.failure.message.clone(),
            case: case.number,
            cases: 1,
            from: Size::of(&found.from).to_string(),
            to: Size::of(&found.doc).to_string(),
            unfinished: found.unfinished.clone(),
            file: written.is_ok().then(|| path.display().to_string()),
            found_after_seconds: found_after.as_secs_f64(),
            shrink_seconds: (self.hunt.elapsed() - found_after).as_secs_f64(),
            shrink_runs: found.runs as u64,
        });
        written.map_err(stop_of)?;
        match found.interrupted {
            true => Err(Stop::Interrupted),
            false => Ok(()),
        }
    }

    fn command(&self, case: u64) -> String {
        command(self.args, self.args.seed, self.args.expect, case)
    }

    /// Tells what was found and keeps it; gives the exit code.
    fn end(mut self, stopped: Result<(), Stop>) -> Result<i32, Wrong> {
        if let Err(stop) = stopped {
            self.result.stopped = stop.to_string();
            match stop {
                // A limit that is reached is no failure.
                Stop::Budget | Stop::Failures(_) | Stop::Runs => {}
                Stop::Interrupted => self.codes.push(stop.exit_code()),
                Stop::Unwritable(_) | Stop::Broken(_) => {
                    eprintln!("error: {stop}");
                    self.codes.push(stop.exit_code());
                }
            }
        }
        if self.result.is_inconclusive() {
            self.codes.push(exit::INCONCLUSIVE);
        }
        self.result.exit_code = exit::first(self.codes);
        self.result.wall_seconds = self.hunt.elapsed().as_secs_f64();
        if let Err(error) = self.log.sync() {
            let why = format!("write {}: {error}", self.log.path().display());
            not_written(&mut self.result, &why);
        }
        tell(self.args, &mut self.folder, &mut self.result);
        Ok(self.result.exit_code)
    }
}

/// What ends a search, from what a file or a process has ended by.
fn stop_of((why, code): Wrong) -> Stop {
    match code {
        exit::CANNOT_WRITE => Stop::Unwritable(why),
        _ => Stop::Broken(why),
    }
}
