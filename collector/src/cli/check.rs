//! `backroom-collector check`: reads a configuration as `run` does, and says everything that is wrong with it.
//!
//! It opens no socket and touches no file but the configuration: what the machine thinks of it is `doctor`'s.

use std::path::PathBuf;

use super::{exit, put, settings};
use crate::config::Format;

/// Read a configuration as `run` would, and say everything that is wrong with it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration files (TOML).
    #[arg(value_name = "FILE", required_unless_present = "config")]
    files: Vec<PathBuf>,
    /// The same as FILE.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Shape of the findings; annotations are added by themselves where GITHUB_ACTIONS is set.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    message_format: Format,
    /// Print every setting with the place where it comes from, if the file is right.
    #[arg(long)]
    print_config: bool,
}

/// Checks all files; 0 if all are right, else 65 (bad file) or 66 (missing file).
pub(super) fn run(args: &Args) -> u8 {
    let mut code = exit::OK;
    for file in args.config.iter().chain(&args.files) {
        match settings::load(Some(file)) {
            Ok(settings) if args.print_config => put(&settings.origins().to_string()),
            Ok(_) if matches!(args.message_format, Format::Human | Format::Short) => {
                put(&format!("{}: ok\n", file.display()));
            }
            Ok(_) => {}
            Err(report) => {
                settings::tell(&report, args.message_format);
                code = code.max(report.exit_code());
            }
        }
    }
    code
}
