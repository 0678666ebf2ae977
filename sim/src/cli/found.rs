//! What `fuzz` and `shrink` have in common: their limits, how a failure is shrunk, and the file that is left of it.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use backroom_reports::exit;

use super::{
    Terminal,
    hunt::Hunt,
    kept::Wrong,
    progress::Progress,
    run::parse_time,
    run_dir::write_whole,
    signals::{self, Ears, Status},
};
use crate::{
    plant::Plant,
    run::{one::Options, pool::Control},
    scenario::{self, format},
    search::{
        check::Failure,
        doc::{Doc, Value, place},
        shrink::{self, Size},
        trial::{Stop, Trial},
    },
};

/// What a search may cost.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Limits {
    /// Stop after this time, by the wall clock; what was found by then is told and kept.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) budget: Option<Duration>,

    /// Shrink a failure in at most so many runs; 0 leaves it as it is.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(super) shrink_runs: usize,

    /// Leave a run alone that takes longer, by the wall clock: it says nothing.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "2m")]
    pub(super) timeout_per_run: Duration,

    /// Worker processes; one for each processor unless told otherwise. What is found does not depend on it.
    #[arg(long, short, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,

    /// How progress is shown.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(super) progress: Progress,

    /// Plant a bug: for tests and measurements of the search itself.
    #[arg(long, value_name = "BUG", hide = true)]
    pub(super) plant: Option<Plant>,
}

impl Limits {
    fn jobs(&self) -> usize {
        self.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            NonZeroUsize::get,
        )
    }

    /// Runs candidates within these limits.
    pub(super) fn trial<'c>(
        &self,
        control: &'c Control,
        options: Options,
    ) -> Result<Trial<'c>, Wrong> {
        if let Some(deadline) = self.budget.and_then(|budget| now().checked_add(budget)) {
            control.end_at(deadline);
        }
        let mut trial = Trial::new(control, self.jobs(), self.timeout_per_run)
            .map_err(|error| (format!("make a folder: {error}"), exit::CANNOT_WRITE))?;
        trial.options = Options {
            plant: self.plant,
            ..options
        };
        Ok(trial)
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a limit on wall-clock time")]
    Instant::now()
}

/// Signals are heard as long as the second one lives.
pub(super) fn listen(name: &str) -> (Arc<Status>, Option<Ears>) {
    let status = Arc::new(Status::new(vec![name.to_owned()]));
    let ears = signals::listen(&status)
        .inspect_err(|error| eprintln!("note: Ctrl-C keeps nothing: {error}"))
        .ok();
    (status, ears)
}

/// A failure that was found, before and after it was shrunk.
pub(super) struct Found {
    /// What fails.
    pub(super) failure: Failure,
    /// The scenario as it was found.
    pub(super) from: Doc,
    /// The smallest that was found.
    pub(super) doc: Doc,
    /// Runs that it took, of those that were allowed.
    pub(super) runs: usize,
    /// Why it may be not the smallest; empty if no single step makes it smaller.
    pub(super) unfinished: String,
    /// Whether somebody interrupted it.
    pub(super) interrupted: bool,
}

/// Shrinks a failure. `begun` is what a first step has made of it already.
pub(super) fn shrink(
    trial: &mut Trial<'_>,
    from: Doc,
    begun: Option<(Doc, Failure)>,
    failure: Failure,
    runs: usize,
    hunt: &Hunt,
) -> Result<Found, Wrong> {
    let (doc, failure) = begun.unwrap_or_else(|| (from.clone(), failure));
    let check = failure.check.clone();
    let shrunk = shrink::shrink(trial, doc, failure, runs, |best, left| {
        hunt.smaller(&check, &Size::of(best), left);
    });
    let stopped = match shrunk.stopped {
        Some(stop) if stop.is_error() => return Err((stop.to_string(), stop.exit_code())),
        other => other,
    };
    Ok(Found {
        failure: shrunk.failure,
        from,
        doc: shrunk.doc,
        runs: shrunk.runs,
        unfinished: stopped
            .as_ref()
            .map_or_else(String::new, |stop| stop.to_string()),
        interrupted: matches!(stopped, Some(Stop::Interrupted)),
    })
}

impl Found {
    /// Its name: that of the scenario it came from, and of what fails.
    pub(super) fn name(&self, scenario: &str) -> String {
        format!("{scenario}-{}", self.failure.check.slug())
    }

    /// Writes it as a file that stands alone. `command` is what found it. Gives the text.
    pub(super) fn write(&self, path: &Path, name: &str, command: &str) -> Result<String, Wrong> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let text = self.text(path, name, command, folder);
        // As `backroom fmt` would have it: what is committed passes `fmt --check`.
        let text =
            format::format(&path.display().to_string(), &text).expect("what is printed is TOML");
        write_whole(path, text.as_bytes())?;
        // What cannot be read back would be of no use to anybody, and is a mistake of ours.
        if let Err(report) = scenario::load(path, &[]) {
            let format = backroom_collector::config::Format::Human;
            let why = format!(
                "read back what was written:\n{}",
                report.render(format, false)
            );
            return Err((why.trim_end().to_owned(), exit::INTERNAL));
        }
        Ok(text)
    }

    fn text(&self, path: &Path, name: &str, command: &str, folder: &Path) -> String {
        let mut doc = self.doc.relative_to(folder);
        doc.set(&place(&["name"]), Value::Text(name.to_owned()));
        let description = format!("found by a search: {} fails", self.failure.check);
        doc.set(&place(&["description"]), Value::Text(description));
        let mut out = String::new();
        if folder.join("../scenario.schema.json").is_file() {
            out.push_str("#:schema ../scenario.schema.json\n");
        }
        let mut say = |text: String| {
            // A message is the program's, but what is in it may be a scenario's: it stays on its line.
            out.push_str(&format!("# {}\n", text.replace(['\n', '\r'], " ")));
        };
        say(format!(
            "{} fails: {}",
            self.failure.check, self.failure.message
        ));
        say(format!(
            "   Found by:  {command}  (backroom {})",
            env!("CARGO_PKG_VERSION")
        ));
        let (from, to) = (Size::of(&self.from), Size::of(&self.doc));
        say(format!(
            "   Shrunk:    from {from} to {to}, in {} runs",
            self.runs
        ));
        if !self.unfinished.is_empty() {
            say(format!("   Perhaps not the smallest: {}", self.unfinished));
        }
        say(format!("   Run:       backroom run {}", path.display()));
        out + &doc.print()
    }
}

/// Where a file is written: `out` itself, or a file of that name in it if it is a folder.
pub(super) fn place_of(out: &Path, name: &str) -> PathBuf {
    match out.is_dir() || out.extension().is_none_or(|e| e != "toml") {
        true => out.join(format!("{name}.toml")),
        false => out.to_owned(),
    }
}

/// Progress within these limits.
pub(super) fn hunt(limits: &Limits, terminal: Terminal, name: &str, cases: Option<u64>) -> Hunt {
    Hunt::new(limits.progress, terminal, name, cases, limits.budget)
}
