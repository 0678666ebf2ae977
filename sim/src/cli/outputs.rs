//! What a judged run leaves behind and shows, for every verb that judges: the folder's files, JSON, the screen.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use backroom_reports::{
    self as reports, RunResult, RunSeries, Timing, exit,
    html::Report,
    messages::Message,
    terminal::{Screen, Styles},
};

use super::{
    Terminal,
    run_dir::{RunDir, Unwritable, write_whole},
};
use crate::scenario::Loaded;

/// Options of verbs that judge.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Print the result as JSON: an object for one scenario file, a list for several or a folder.
    #[arg(long)]
    pub(super) json: bool,

    /// Print what happens as it happens, one JSON object a line; the results are in them.
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "human",
        conflicts_with = "json"
    )]
    pub(super) message_format: MessageFormat,

    /// Write JUnit XML here, for all scenarios together; each run folder has its own in any case.
    #[arg(long, value_name = "PATH")]
    pub(super) junit: Option<PathBuf>,

    /// What an expectation counts as that could not be judged.
    #[arg(long, value_name = "VERDICT", default_value = "tell")]
    pub(super) inconclusive: Inconclusive,

    /// Folder in which the run is kept: `DIR/<scenario>/<time>-<id>/`, and `latest` beside it.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(super) runs: PathBuf,

    /// Keep nothing on disk.
    #[arg(long)]
    pub(super) no_save: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum MessageFormat {
    /// A screen at the end.
    Human,
    /// A line for each thing that happens.
    Json,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Inconclusive {
    /// Exit code 2.
    Tell,
    /// As if it held.
    Pass,
    /// As if it had failed.
    Fail,
}

impl From<Inconclusive> for exit::Inconclusive {
    fn from(value: Inconclusive) -> Self {
        match value {
            Inconclusive::Tell => Self::Tell,
            Inconclusive::Pass => Self::Pass,
            Inconclusive::Fail => Self::Fail,
        }
    }
}

/// A run that was judged.
pub(super) struct Judged<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) result: RunResult,
    pub(super) timing: Timing,
    /// What plots are made of; `None` where nobody has it.
    pub(super) series: Option<RunSeries>,
    /// Where it is kept; `None` keeps nothing.
    pub(super) folder: Option<RunDir>,
    /// Which part of a sharded run it is: `2/8`.
    pub(super) part: Option<String>,
    /// What an inconclusive verdict counts as.
    pub(super) inconclusive: exit::Inconclusive,
}

impl Judged<'_> {
    /// Writes the files of its folder. What cannot be written decides the exit code.
    pub(super) fn save(&mut self) {
        let Some(folder) = &mut self.folder else {
            return;
        };
        let files = Files {
            loaded: self.loaded,
            result: &self.result,
            timing: &self.timing,
            series: self.series.as_ref(),
            part: self.part.as_deref(),
            inconclusive: self.inconclusive,
        };
        if let Err(error) = files.put(folder) {
            self.not_written(&error);
        }
    }

    /// Takes down that something of it is not on disk: told now, beside what is, and with the verdict.
    pub(super) fn not_written(&mut self, error: &Unwritable) {
        let why = match &self.folder {
            Some(folder) => format!("{error}; {}", folder.kept()),
            None => error.to_string(),
        };
        self.ends_otherwise(exit::CANNOT_WRITE, &why);
    }

    /// Takes down what keeps the process from ending as the verdict alone would have it. A screen that says `exit 0` where the process says
    /// another number would be read, and the number not.
    pub(super) fn ends_otherwise(&mut self, code: i32, why: &str) {
        eprintln!("error: {why}");
        let result = &mut self.result;
        if exit::first([result.exit_code, code]) == result.exit_code {
            return;
        }
        let note = format!("the verdict alone is exit {}; {why}", result.exit_code);
        result.notes.push(note);
        result.exit_code = code;
        result.exit_reason = why.to_owned();
    }

    /// As people read it.
    pub(super) fn screen(&self, terminal: Terminal) -> String {
        let report = self.folder.as_ref().map(|f| f.folder.join("report.html"));
        let report = report.filter(|r| r.exists());
        let report = report.map(|r| r.display().to_string());
        let screen = Screen {
            styles: match terminal.stdout_colors {
                true => Styles::colored(),
                false => Styles::plain(),
            },
            width: width(),
            timing: Some(&self.timing),
            report: report.as_deref(),
        };
        reports::terminal::render(&self.result, &screen)
    }
}

/// The files of a run's folder.
struct Files<'a> {
    loaded: &'a Loaded,
    result: &'a RunResult,
    timing: &'a Timing,
    series: Option<&'a RunSeries>,
    part: Option<&'a str>,
    inconclusive: exit::Inconclusive,
}

impl Files<'_> {
    /// The manifest first: with it, and the log of outcomes, nothing is lost that cannot be made again.
    fn put(&self, folder: &mut RunDir) -> Result<(), Unwritable> {
        let manifest = folder.manifest(self.loaded, self.timing);
        let text = reports::json::render_manifest(&manifest);
        folder.put("manifest.json", text.as_bytes())?;
        folder.put("scenario.lock.toml", self.loaded.lock_toml().as_bytes())?;
        folder.put(
            "summary.json",
            reports::json::render(self.result).as_bytes(),
        )?;
        if let Some(series) = self.series {
            let series = reports::json::render_series(series);
            folder.put("series.json", series.as_bytes())?;
        }
        let report = reports::html::render(&Report {
            result: self.result,
            series: self.series,
            manifest: Some(&manifest),
        });
        folder.put("report.html", report.as_bytes())?;
        let path = folder.folder.join("junit.xml");
        let junit = reports::junit::render(&[self.result], self.part, self.inconclusive);
        let junit = junit.map_err(|why| Unwritable::at(&path)(io::Error::other(why)))?;
        folder.put("junit.xml", junit.as_bytes())?;
        let metrics = reports::openmetrics::render(&[self.result]);
        folder.put("metrics.om", metrics.as_bytes())?;
        folder.finish();
        Ok(())
    }
}

/// Writes what goes elsewhere than into the folders of judged runs, then shows them in the shape that was asked for. What cannot be
/// written decides the exit code of each, and is shown with it. Gives the code of all.
pub(super) fn show(
    args: &Args,
    terminal: Terminal,
    judged: &mut [Judged<'_>],
    as_list: bool,
) -> i32 {
    for error in elsewhere(args, judged) {
        match judged {
            [] => _ = cannot_write(&error),
            [first, others @ ..] => {
                first.not_written(&error);
                // It is of all of them, and told once.
                for other in others {
                    let codes = [other.result.exit_code, exit::CANNOT_WRITE];
                    other.result.exit_code = exit::first(codes);
                }
            }
        }
    }
    let results: Vec<&RunResult> = judged.iter().map(|j| &j.result).collect();
    if args.message_format == MessageFormat::Json {
        for one in &*judged {
            let folder = one.folder.as_ref().map(|f| f.folder.display().to_string());
            let result = Box::new(one.result.clone());
            say(&Message::ScenarioFinished { result, folder });
        }
    } else if args.json {
        print(&json(&results, as_list));
    } else {
        for one in &*judged {
            print(&one.screen(terminal));
        }
        print(&all_in_one_line(&results));
        if std::env::var_os("GITHUB_ACTIONS").is_some_and(|v| !v.is_empty()) {
            let inconclusive = args.inconclusive.into();
            print(&reports::github::annotations(&results, inconclusive));
        }
    }
    exit::first(results.iter().map(|result| result.exit_code))
}

/// Writes the files that are of all runs together. Gives what cannot be written.
fn elsewhere(args: &Args, judged: &[Judged<'_>]) -> Vec<Unwritable> {
    let results: Vec<&RunResult> = judged.iter().map(|j| &j.result).collect();
    let mut errors = Vec::new();
    if let Some(path) = &args.junit {
        let part = judged.iter().find_map(|j| j.part.as_deref());
        let text = reports::junit::render(&results, part, args.inconclusive.into());
        let text = text.map_err(|why| Unwritable::at(path)(io::Error::other(why)));
        let written = text.and_then(|text| write_whole(path, text.as_bytes()));
        errors.extend(written.err());
    }
    errors.extend(step_summary(&results).err());
    errors
}

/// The summary of a step of GitHub Actions: other steps and tools write to the same file.
fn step_summary(results: &[&RunResult]) -> Result<(), Unwritable> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|p| !p.is_empty()) else {
        return Ok(());
    };
    let path = PathBuf::from(path);
    let text = reports::github::summary(results);
    let mut options = std::fs::OpenOptions::new();
    let file = options.append(true).create(true).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Unwritable::at(&path))
}

/// Tells a program that watches.
pub(super) fn say(message: &Message) {
    print(&reports::messages::render(message));
}

/// The last line of several scenarios; nothing for one.
fn all_in_one_line(results: &[&RunResult]) -> String {
    if results.len() < 2 {
        return String::new();
    }
    let failing = results.iter().filter(|r| r.exit_code != exit::OK);
    let names: Vec<String> = failing
        .map(|r| format!("{} ({})", r.scenario, r.exit_code))
        .collect();
    match names.as_slice() {
        [] => format!("\n{} scenarios, all hold\n", results.len()),
        names => format!(
            "\n{} scenarios, {} hold; not: {}\n",
            results.len(),
            results.len() - names.len(),
            names.join(", ")
        ),
    }
}

/// Results as JSON: one is an object, unless a list was asked for.
fn json(results: &[&RunResult], as_list: bool) -> String {
    match results {
        [one] if !as_list => reports::json::render(one),
        several => {
            let text = serde_json::to_string_pretty(several);
            text.expect("plain data has no key that is not text") + "\n"
        }
    }
}

/// Writes to standard output; whoever has closed it has seen enough, and the verdict stands all the same.
pub(super) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Says that something cannot be written.
pub(super) fn cannot_write(error: &Unwritable) -> i32 {
    eprintln!("error: {error}");
    exit::CANNOT_WRITE
}

/// All `*.toml` files among `paths`: files as they are, folders by what stands directly in them, sorted by name.
///
/// # Errors
/// A message and its exit code.
pub(super) fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, (String, i32)> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error: io::Error| {
            let what = format!("read the folder {}: {error}", path.display());
            (what, exit::NO_INPUT)
        };
        let mut found: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(unreadable)?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<io::Result<_>>()
            .map_err(unreadable)?;
        found.retain(|p| p.extension().is_some_and(|e| e == "toml") && p.is_file());
        found.sort();
        if found.is_empty() {
            let what = format!("{} has no *.toml", path.display());
            return Err((what, exit::NO_INPUT));
        }
        files.append(&mut found);
    }
    Ok(files)
}

/// Columns of the screen: what `COLUMNS` says, else the terminal's, else 120, which fits a CI log.
pub(super) fn width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    if let Some(columns) = asked {
        return usize::clamp(columns, 40, 400);
    }
    let terminal = terminal_size::terminal_size_of(io::stdout());
    terminal.map_or(120, |(width, _)| usize::from(width.0).clamp(80, 200))
}

/// Whether a path was named with a folder, so that results are a list even if it holds one file.
pub(super) fn is_list(paths: &[PathBuf]) -> bool {
    paths.len() > 1 || paths.iter().any(|p| Path::is_dir(p))
}
