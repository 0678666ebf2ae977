//! `backroom list`: scenarios, the question each one answers, and the verdict of its latest run.

use std::path::PathBuf;

use backroom_reports::{exit, human};
use serde_json::json;

use super::{kept, outputs};
use crate::scenario::{self, Checked};

/// List scenarios with their questions, and what is kept of their runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenarios; a folder stands for the scenarios in it.
    #[arg(default_value = "scenarios", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Folder in which runs are kept.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,

    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> i32 {
    let files = match outputs::files_of(&args.files) {
        Ok(files) => files,
        Err((why, code)) => {
            eprintln!("error: {why}");
            return code;
        }
    };
    let (mut rows, mut codes) = (Vec::new(), Vec::new());
    for file in files {
        let shown = file.display().to_string();
        match scenario::check(&file, &[]) {
            Ok(Checked::Template(_)) => {}
            Ok(Checked::Scenario(loaded)) => {
                let scenario = &loaded.scenario;
                let latest = kept::result(&args.runs.join(&scenario.name).join("latest")).ok();
                rows.push(json!({
                    "name": scenario.name,
                    "file": shown,
                    "description": scenario.description,
                    "seeds": scenario.seeds.len(),
                    "duration_seconds": scenario.duration.as_secs_f64(),
                    "can_run": loaded.refusals().is_none(),
                    "latest_exit_code": latest.map(|l| l.exit_code),
                }));
            }
            Err(report) => {
                let errors = report.list.len();
                eprintln!("error: {shown}: {errors} errors; `backroom check {shown}` tells them");
                codes.push(i32::from(report.exit_code()));
            }
        }
    }
    if args.json {
        let text = serde_json::to_string_pretty(&rows);
        outputs::print(&(text.expect("plain data has no key that is not text") + "\n"));
    } else {
        rows.iter().for_each(|row| outputs::print(&line(row)));
    }
    exit::first(codes)
}

/// Two lines: what it is, and what it asks.
fn line(row: &serde_json::Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let seconds = row["duration_seconds"].as_f64().unwrap_or_default();
    let latest = match (row["can_run"].as_bool(), row["latest_exit_code"].as_i64()) {
        (Some(false), _) => "not run by this version".to_owned(),
        (_, Some(0)) => "latest run: all holds".into(),
        (_, Some(code)) => format!("latest run: exit {code}"),
        (_, None) => "no run is kept".into(),
    };
    format!(
        "{}  {} seeds of {}, {latest}\n    {}\n    {}\n",
        text("name"),
        row["seeds"],
        human::span(seconds),
        text("description"),
        text("file")
    )
}
