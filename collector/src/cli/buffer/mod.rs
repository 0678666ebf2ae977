//! `backroom-collector buffer`: what is in a buffer, on the disk of a collector that runs or of one that does not.
//!
//! Verbs that look read the files as they are and lock nothing; verbs that change something ask the collector that holds the
//! buffer, or hold it themselves (`change`). What every verb has in common stands here: which buffer,
//! which part of it, and how a time is written.

mod cat;
mod change;
mod export;
mod import;
mod item;
mod ls;
mod purge;
mod quarantine;
mod replay;
mod stat;
mod verify;

use std::time::Duration;

use clap::Subcommand;

use super::{exit, fail, settings};
use crate::{
    config::{Config, Format, quantity},
    core::selection::Selection,
    env::{Env as _, OsEnv},
    shell::inspect::{self, Survey},
};

/// Look at a buffer, check it, and take out what is in it; the collector may be running or not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    place: settings::Place,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the files of the buffer, or its batches.
    Ls(ls::Args),
    /// Sum up what waits, by class, and what the disk gives.
    Stat(stat::Args),
    /// Check every checksum and every request; exits with 1 if anything is damaged.
    Verify(verify::Args),
    /// Print items.
    Cat(cat::Args),
    /// Write batches to a file, as plain OTLP with their item ranges.
    Export(export::Args),
    /// Put an export into the buffer; what is there already, or was imported before, is left out.
    Import(import::Args),
    /// Send what is on a dead disk, or in an export, to an OTLP/HTTP endpoint.
    Replay(replay::Args),
    /// Delete stored batches, counted as dropped for the reason `purged`.
    Purge(purge::Args),
    /// What the destination refused item by item: look at it, send it again, delete it.
    Quarantine(quarantine::Args),
}

/// Does what a verb asks; gives the exit code.
pub(super) fn run(args: Args) -> u8 {
    let config = match args.place.load() {
        Ok(settings) => settings.config,
        Err(report) => {
            settings::tell(&report, Format::Human);
            return report.exit_code();
        }
    };
    super::block_on(async move |env| {
        let here = Here { env, config };
        match args.verb {
            Verb::Ls(args) => ls::run(&here, &args).await,
            Verb::Stat(args) => stat::run(&here, &args).await,
            Verb::Verify(args) => verify::run(&here, &args).await,
            Verb::Cat(args) => cat::run(&here, &args).await,
            Verb::Export(args) => export::run(&here, &args).await,
            Verb::Import(args) => import::run(&here, &args).await,
            Verb::Replay(args) => replay::run(&here, &args).await,
            Verb::Purge(args) => purge::run(&here, &args).await,
            Verb::Quarantine(args) => quarantine::run(&here, &args).await,
        }
    })
}

/// The buffer that is meant.
struct Here {
    env: OsEnv,
    config: Config,
}

impl Here {
    fn now(&self) -> u64 {
        self.env.unix_time().as_nanos() as u64
    }

    /// What is in it; says why not, and gives the exit code.
    async fn survey(&self) -> Result<Survey, u8> {
        let dir = self.config.buffer.dir.display();
        inspect::survey(&self.env, &self.config)
            .await
            .map_err(|error| {
                let hint = "name it with --buffer-dir or --config";
                fail(
                    format_args!("read buffer {dir}: {error}; {hint}"),
                    exit::NO_INPUT,
                )
            })
    }
}

/// Which part of it.
#[derive(Clone, Debug, Default, clap::Args)]
struct Filter {
    /// Only this signal: traces, metrics or logs. May be repeated.
    #[arg(long, value_name = "SIGNAL")]
    signal: Vec<String>,
    /// Only this class. May be repeated.
    #[arg(long, value_name = "CLASS")]
    class: Vec<String>,
    /// Only what came in at or after this: 2026-11-26T09:00:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what came in before this.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only this batch, or any inside this range: STORE-BOOT-CLASS-FIRST-COUNT. May be repeated.
    #[arg(long, value_name = "RANGE")]
    batch: Vec<String>,
}

impl Filter {
    /// The selection; says what is wrong with it, and gives the exit code.
    fn selection(&self, now: u64) -> Result<Selection, u8> {
        let wrong = |what: String| fail(what, exit::USAGE);
        let time = |name: &str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| {
                instant(text, now).map_err(|why| wrong(format!("--{name} {text}: {why}")))
            })
            .transpose()
        };
        let selection = Selection {
            classes: self.class.clone(),
            signals: self.signal.clone(),
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
            batches: self.batch.clone(),
        };
        if let (Some(since), Some(until)) = (selection.since, selection.until)
            && since >= until
        {
            return Err(wrong(
                "--since is not before --until: nothing is meant".to_owned(),
            ));
        }
        match selection.error() {
            Some(error) => Err(wrong(error)),
            None => Ok(selection),
        }
    }
}

/// An instant in unix nanoseconds: RFC 3339, or an age.
fn instant(text: &str, now: u64) -> Result<u64, String> {
    if let Ok(age) = quantity::duration(text) {
        return Ok(now.saturating_sub(nanos(age)));
    }
    let at: jiff::Timestamp = text.parse().map_err(|_| {
        "not a time; write 2026-11-26T09:00:00Z, or an age such as 2h or 3d".to_owned()
    })?;
    u64::try_from(at.as_nanosecond()).map_err(|_| "before 1970".to_owned())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_instants_or_ages() {
        let now = 1_800_000_000_000_000_000;
        let check = |text, expect| assert_eq!(instant(text, now).ok(), expect, "{text}");
        check("2h", Some(now - 7_200_000_000_000));
        check("1970-01-01T00:00:01Z", Some(1_000_000_000));
        check("1970-01-01T01:00:01+01:00", Some(1_000_000_000));
        check("1969-12-31T00:00:00Z", None);
        check("yesterday", None);
        check("", None);
    }
}
