//! `backroom report`: a kept run as one HTML file, as Markdown, or its series as CSV; a kept sweep as one HTML file.
//!
//! Reads what `run` kept and decides nothing: the verdict stands in `summary.json`, and a report never changes it. What is missing
//! beside it is said on the page; what is there and cannot be read is an error.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use backroom_reports::{
    Manifest, RunResult, RunSeries, SCHEMA_VERSION, csv, exit,
    grid::SweepResult,
    html::{self, Report},
    markdown,
};
use serde::de::DeserializeOwned;

/// Show a kept run or sweep as one HTML file that needs no network.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run's folder, such as `runs/lunch-uplink-cut/latest`, or its summary.json; or a sweep's, such as
    /// `runs/outage-by-line-rate.sweep/latest`, or its points.json.
    run: PathBuf,

    /// Where to write it; `-` is standard output. HTML goes to report.html in the run's folder unless told otherwise, other formats to
    /// standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The format.
    #[arg(long, value_name = "FORMAT", default_value = "html")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One file with plots and tables.
    Html,
    /// Tables, for a pull request or a ticket.
    Markdown,
    /// The points of the plots, one a row.
    Csv,
}

/// A run that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    result: RunResult,
    series: Option<RunSeries>,
    manifest: Option<Manifest>,
}

pub(super) fn run(args: &Args) -> i32 {
    match show(args) {
        Ok(()) => exit::OK,
        Err((code, message)) => {
            eprintln!("error: {message}");
            code
        }
    }
}

fn show(args: &Args) -> Result<(), (i32, String)> {
    if let Some(points) = points_of(&args.run) {
        return show_sweep(args, &points);
    }
    let kept = read(&args.run)?;
    let report = Report {
        result: &kept.result,
        series: kept.series.as_ref(),
        manifest: kept.manifest.as_ref(),
    };
    let text = match args.format {
        Format::Html => html::render(&report),
        Format::Markdown => markdown::render(&report),
        Format::Csv => match &kept.series {
            Some(series) => csv::render(series),
            None => {
                let path = kept.folder.join("series.json");
                return Err((
                    exit::NO_INPUT,
                    format!(
                        "there is no {}: CSV has the series and nothing else; run the scenario again to have them",
                        path.display()
                    ),
                ));
            }
        },
    };
    put(args, &kept.folder.join("report.html"), &text)
}

/// Writes to a file and says which, or to standard output. HTML goes to `page` unless told otherwise.
fn put(args: &Args, page: &Path, text: &str) -> Result<(), (i32, String)> {
    let target = match (&args.output, args.format) {
        (Some(path), _) if path == Path::new("-") => None,
        (Some(path), _) => Some(path.as_path()),
        (None, Format::Html) => Some(page),
        (None, _) => None,
    };
    match target {
        Some(path) => {
            fs::write(path, text).map_err(|error| {
                (
                    exit::CANNOT_WRITE,
                    format!("write {}: {error}", path.display()),
                )
            })?;
            println!("{}", path.display());
        }
        // Whoever has closed it has seen enough.
        None => drop(std::io::stdout().write_all(text.as_bytes())),
    }
    Ok(())
}

/// The points.json of a sweep, if that is what was named.
fn points_of(named: &Path) -> Option<PathBuf> {
    if named.is_file() {
        return named.ends_with("points.json").then(|| named.to_owned());
    }
    let points = named.join("points.json");
    (points.is_file() && !named.join("summary.json").exists()).then_some(points)
}

/// A sweep has one shape: its numbers stand in points.json, which spreadsheets' readers of JSON take.
fn show_sweep(args: &Args, points: &Path) -> Result<(), (i32, String)> {
    let wrong = |why: String| {
        let message = format!("read {}: {why}", points.display());
        (exit::BAD_SCENARIO, message)
    };
    if args.format != Format::Html {
        let why = "a sweep has a page (--format html) alone; its numbers stand in points.json and sweep.json";
        return Err((exit::USAGE, why.into()));
    }
    let result: SweepResult = file(points)?.ok_or_else(|| wrong("not found".into()))?;
    result.check().map_err(wrong)?;
    let page = points.with_file_name("report.html");
    put(args, &page, &html::render_sweep(&result))
}

/// Reads a run's folder, or the one in which a summary.json lies.
///
/// # Errors
/// With an exit code and a message that names the file, what is wrong with it, and the way out.
fn read(run: &Path) -> Result<Kept, (i32, String)> {
    let folder = match run.is_file() {
        true => run.parent().map(Path::to_owned).unwrap_or_default(),
        false => run.to_owned(),
    };
    let summary = match run.is_file() {
        true => run.to_owned(),
        false => folder.join("summary.json"),
    };
    let result = file(&summary)?.ok_or_else(|| {
        let hint = match folder.is_dir() {
            true => "name a folder that `backroom run` has kept, such as runs/SCENARIO/latest",
            false => "there is no such folder",
        };
        (
            exit::NO_INPUT,
            format!("read {}: not found; {hint}", summary.display()),
        )
    })?;
    Ok(Kept {
        result,
        series: file(&folder.join("series.json"))?,
        manifest: file(&folder.join("manifest.json"))?,
        folder,
    })
}

/// A file of this schema version; `None` if there is no such file.
fn file<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, (i32, String)> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let (why, code) = super::kept::unreadable(path, &error);
            return Err((code, why));
        }
    };
    parse(&text).map(Some).map_err(|why| {
        (
            exit::BAD_SCENARIO,
            format!("read {}: {why}", path.display()),
        )
    })
}

/// The version before the rest: of another version nothing else need fit.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| format!("it is not JSON: {e}; was the disk full when it was written?"))?;
    match value
        .get("schema_version")
        .and_then(serde_json::Value::as_u64)
    {
        Some(version) if version == u64::from(SCHEMA_VERSION) => {}
        Some(version) => {
            return Err(format!(
                "it has schema_version {version}, and this backroom reads {SCHEMA_VERSION}; use the one that wrote it, or run the scenario again"
            ));
        }
        None => return Err("it has no schema_version: this is no file of a run".into()),
    }
    serde_json::from_value(value)
        .map_err(|e| format!("it is not what its schema_version says: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_versions_and_garbage_are_refused() {
        let check = |text: &str, expect: &str| {
            let why = parse::<RunResult>(text).expect_err(text);
            assert!(why.contains(expect), "{text}: {why}");
        };
        check("", "it is not JSON");
        check("{\"schema_version\": 1", "it is not JSON");
        check("{}", "no schema_version");
        check("[1]", "no schema_version");
        check("{\"schema_version\": 99}", "it has schema_version 99");
        check("{\"schema_version\": \"1\"}", "no schema_version");
        check("{\"schema_version\": 1}", "missing field");
        check("{\"schema_version\": 1, \"scenario\": 7}", "invalid type");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, message) = read(folder.path()).expect_err("there is nothing");
        assert_eq!(code, exit::NO_INPUT);
        assert!(
            message.contains("summary.json: not found; name a folder"),
            "{message}"
        );
        let (code, message) = read(&folder.path().join("none")).expect_err("there is nothing");
        assert_eq!(code, exit::NO_INPUT);
        assert!(message.ends_with("there is no such folder"), "{message}");
    }
}
