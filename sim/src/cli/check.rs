//! `backroom check`: reads files as a run would, and says everything that is wrong with them.
//!
//! The same code path as `run`: a file that passes here is not refused there, except for what this version cannot run, which is
//! said here too.

use std::{io::Write as _, path::PathBuf};

use backroom_collector::config::{Format, Report, Severity, quantity::show_duration};
use clap::Parser;

use crate::scenario::{self, Checked, Loaded};

/// Check scenarios and templates without running them.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// Files to check.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Override a setting, as for `run`: fault.uplink-cut.for=40m.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
    /// Shape of the findings; annotations are added by themselves where GITHUB_ACTIONS is set.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub message_format: Format,
}

/// Checks all files; 0 if all are right, else 65 (bad file) or 66 (missing file).
pub fn run(args: &Args) -> u8 {
    let mut exit = 0;
    for file in &args.files {
        match scenario::check(file, &args.sets) {
            Ok(Checked::Scenario(loaded)) => {
                print_report(&loaded.warnings, args.message_format);
                if is_for_people(args.message_format) {
                    put(&format!("{}: {}\n", file.display(), summary(&loaded)));
                    for refusal in refusals(&loaded) {
                        put(&format!("  not run by this version: it {refusal}\n"));
                    }
                }
            }
            Ok(Checked::Template(warnings)) => {
                print_report(&warnings, args.message_format);
                if is_for_people(args.message_format) {
                    put(&format!("{}: ok, a template\n", file.display()));
                }
            }
            Err(report) => {
                print_report(&report, args.message_format);
                exit = exit.max(report.exit_code());
            }
        }
    }
    exit
}

/// Shows findings: for people on stderr, for machines on stdout.
pub fn print_report(report: &Report, format: Format) {
    if report.is_empty() {
        return;
    }
    if is_for_people(format) {
        // Colours are written always and taken out by anstream where they are not wanted.
        let _ = anstream::stderr().write_all(report.render(format, true).as_bytes());
        if std::env::var_os("GITHUB_ACTIONS").is_some() {
            put(&report.render(Format::Github, false));
        }
    } else {
        put(&report.render(format, false));
    }
}

/// Writes to stdout; a reader that has gone away (`| head`) is no error.
pub(super) fn put(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

fn is_for_people(format: Format) -> bool {
    matches!(format, Format::Human | Format::Short)
}

/// "ok, 1 fault, 8 expectations, 1 oracle; 20 seeds of 1h 30m".
fn summary(loaded: &Loaded) -> String {
    let scenario = &loaded.scenario;
    let mut text = format!(
        "ok, {}, {}, {}; {} of {}",
        count(scenario.faults.len(), "fault"),
        count(scenario.expects.len(), "expectation"),
        count(scenario.oracles.len(), "oracle"),
        count(scenario.seeds.len(), "seed"),
        show_duration(scenario.duration),
    );
    if loaded.sweep_points > 1 {
        text.push_str(&format!(", a sweep of {} points", loaded.sweep_points));
    }
    if loaded.stores > 1 {
        text.push_str(&format!(", {} stores", loaded.stores));
    }
    text
}

/// What `run` would refuse: "has a fault of kind …".
pub(super) fn refusals(loaded: &Loaded) -> Vec<String> {
    let report = loaded.refusals().unwrap_or_default();
    let errors = report.list.iter().filter(|d| d.severity == Severity::Error);
    errors
        .map(|d| d.title.trim_start_matches(Loaded::REFUSAL).to_owned())
        .collect()
}

pub(super) fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
