//! `backroom fmt`: scenarios in their canonical form. The rules are `scenario::format`'s.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use backroom_collector::config::Format;
use backroom_reports::exit;
use similar::TextDiff;

use super::{check::print_report, outputs, run_dir};
use crate::scenario::format;

/// Write scenarios and templates in their canonical form.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files; a folder stands for the *.toml in it.
    #[arg(
        value_name = "FILE",
        required_unless_present = "stdin",
        conflicts_with = "stdin"
    )]
    files: Vec<PathBuf>,

    /// Change nothing; show what would change, and exit with 1 if anything would.
    #[arg(long)]
    check: bool,

    /// Read standard input and write to standard output, for editors.
    #[arg(long)]
    stdin: bool,
}

/// 4 MiB: what a run reads of a file at most.
const BYTES_MAX: u64 = 4 << 20;

/// What standard input is called.
const STDIN: &str = "<stdin>";

pub(super) fn run(args: &Args) -> i32 {
    if args.stdin {
        return of_stdin(args);
    }
    let files = outputs::files_of(&args.files);
    super::code(files.map(|files| exit::first(files.iter().map(|file| of_file(args, file)))))
}

fn of_stdin(args: &Args) -> i32 {
    let text = match read(std::io::stdin().lock()) {
        Ok(text) => text,
        Err(why) => {
            eprintln!("error: read {STDIN}: {why}");
            return exit::BAD_SCENARIO;
        }
    };
    match formatted(STDIN, &text) {
        Ok(new) if args.check => shown(STDIN, &text, &new),
        Ok(new) => {
            outputs::print(&new);
            exit::OK
        }
        Err(code) => code,
    }
}

fn of_file(args: &Args, file: &Path) -> i32 {
    let name = file.display().to_string();
    let text = match std::fs::File::open(file) {
        Ok(open) => read(open).map_err(|why| (why, exit::BAD_SCENARIO)),
        Err(error) => Err((error.to_string(), exit::NO_INPUT)),
    };
    let text = match text {
        Ok(text) => text,
        Err((why, code)) => {
            eprintln!("error: read {name}: {why}");
            return code;
        }
    };
    match formatted(&name, &text) {
        Ok(new) if new == text => exit::OK,
        Ok(new) if args.check => shown(&name, &text, &new),
        Ok(new) => {
            // A link stays one: what it points at is written.
            let place = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
            match run_dir::write_whole(&place, new.as_bytes()) {
                Ok(()) => exit::OK,
                Err(error) => outputs::cannot_write(&error),
            }
        }
        Err(code) => code,
    }
}

fn read(from: impl std::io::Read) -> Result<String, String> {
    let mut text = String::new();
    let read = from.take(BYTES_MAX + 1).read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > BYTES_MAX => Err(format!("is larger than {BYTES_MAX} bytes")),
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

/// What is wrong with it has been told if there is none.
fn formatted(name: &str, text: &str) -> Result<String, i32> {
    format::format(name, text).map_err(|report| {
        print_report(&report, Format::Human);
        i32::from(report.exit_code())
    })
}

/// Shows what would change.
fn shown(name: &str, old: &str, new: &str) -> i32 {
    if old == new {
        return exit::OK;
    }
    let diff = TextDiff::from_lines(old, new);
    let mut diff = diff.unified_diff();
    outputs::print(&diff.header(name, "formatted").to_string());
    exit::FAILED
}
