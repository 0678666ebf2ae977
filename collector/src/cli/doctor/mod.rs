//! `backroom-collector doctor`: what a machine and its line think of a configuration.
//!
//! Each check is one function that says what it found and, where something is wrong, a way out. Everything is bounded in time;
//! the buffer's own files are read only. Next: `machine` (clock, disk, addresses), `link` (the line profile), `name` and `line` (the destination), `certificates`,
//! `buffer`.

mod buffer;
mod certificates;
mod line;
mod link;
mod machine;
mod name;

use serde::Serialize;

use super::{exit, put, settings};
use crate::{
    config::{Config, Format},
    env::OsEnv,
    shell::control::Control,
};

/// Look at clock, disk, addresses, destination and buffer, and say what is wrong and what to do.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: settings::Flags,
    /// Check every byte of the buffer, as `buffer verify` does, and not only what a start reads.
    #[arg(long)]
    deep: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing, and perhaps meant so.
    Note,
    /// Somebody has to do something.
    Wrong,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    level: Level,
    what: &'static str,
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    way_out: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what,
            found: found.into(),
            way_out: None,
        }
    }

    fn note(what: &'static str, found: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            level: Level::Note,
            way_out: Some(way_out.into()),
            ..Self::ok(what, found)
        }
    }

    fn wrong(what: &'static str, found: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            level: Level::Wrong,
            ..Self::note(what, found, way_out)
        }
    }
}

/// What all checks look at.
struct Patient {
    env: OsEnv,
    config: Config,
    /// Whether a collector that runs has the buffer.
    is_running: bool,
}

/// Makes all checks; 0 if nothing is wrong, else 1.
pub(super) fn run(args: Args) -> u8 {
    let config = match args.settings.load() {
        Ok(settings) => settings.config,
        Err(report) => {
            settings::tell(&report, Format::Human);
            return report.exit_code();
        }
    };
    super::block_on(async move |env| {
        let dir = config.buffer.dir.clone();
        let control = Control::open(&env, &dir).await;
        let patient = Patient {
            is_running: matches!(control, Ok(Some(_))),
            env,
            config,
        };
        drop(control);
        let mut findings = vec![machine::clock(&patient)];
        findings.extend(machine::disk(&patient).await);
        findings.push(machine::lock(&patient).await);
        findings.extend(machine::addresses(&patient).await);
        findings.extend(certificates::own(&patient));
        findings.extend(link::profile(&patient).await);
        findings.extend(line::destinations(&patient).await);
        findings.extend(buffer::integrity(&patient, args.deep).await);
        let wrong = findings
            .iter()
            .filter(|finding| finding.level == Level::Wrong)
            .count();
        match args.json {
            true => put(&format!(
                "{:#}\n",
                serde_json::json!({"findings": findings, "wrong": wrong})
            )),
            false => put(&as_text(&findings, wrong)),
        }
        if wrong == 0 { exit::OK } else { exit::FINDINGS }
    })
}

fn as_text(findings: &[Finding], wrong: usize) -> String {
    let (green, yellow, red, plain) = ("\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m");
    let mut out = String::new();
    for finding in findings {
        let (colour, level) = match finding.level {
            Level::Ok => (green, "ok"),
            Level::Note => (yellow, "note"),
            Level::Wrong => (red, "WRONG"),
        };
        out += &format!(
            "{colour}{level:<5}{plain}  {:<12} {}\n",
            finding.what, finding.found
        );
        if let Some(way_out) = &finding.way_out {
            out += &format!("{:20}-> {way_out}\n", "");
        }
    }
    out += &match wrong {
        0 => "nothing is wrong\n".to_owned(),
        1 => "1 thing is wrong\n".to_owned(),
        n => format!("{n} things are wrong\n"),
    };
    out
}
