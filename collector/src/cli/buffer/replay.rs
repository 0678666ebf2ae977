//! `buffer replay`: sends what is on a dead disk, or in an export, to a destination.
//!
//! It is the collector's own exporter on the collector's own buffer, so verdicts, retries and the quarantine are the same, and
//! what was delivered is noted on disk: stopped in whatever way, the same command goes on where it was. An export is first
//! imported into a buffer of its own beside the file, which goes when everything in it has been delivered.

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use super::{Here, change::Holder, import};
use crate::{
    cli::{exit, fail, put, show},
    config::{ByteSize, Config, ENDPOINT_NAME, Endpoint, quantity},
    core::{accounting::Accounting, class::ClassName},
    otlp::Signal,
    shell::{self, Observer, keeper::Keeper},
};

/// Send what is on a dead disk, or in an export, to an OTLP/HTTP endpoint.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An export to send; without it, the buffer.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Base URL to send to; the path of the signal is appended. Or the name of a destination of the configuration: it gets what it does
    /// not have. Without it, the endpoint of the configuration.
    #[arg(long, value_name = "URL|NAME")]
    to: Option<String>,
    /// Stop when nothing was delivered for so long.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    patience: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// How often it looks.
const TICK: Duration = Duration::from_millis(200);

pub(super) async fn run(here: &Here, args: &Args) -> u8 {
    let patience = match quantity::duration(&args.patience) {
        Ok(patience) => patience,
        Err(_) => {
            return fail(
                format_args!("--patience {}: write 60s or 10m", args.patience),
                exit::USAGE,
            );
        }
    };
    let mut config = here.config.clone();
    let name = match destination(&mut config, args.to.as_deref()) {
        Ok(name) => name,
        Err(why) => return fail(why, exit::USAGE),
    };
    let scratch = args.file.as_deref().map(scratch);
    if let (Some(file), Some(dir)) = (&args.file, &scratch) {
        if let Err(code) = unpack(here, file, dir).await {
            return code;
        }
        // The file goes to one place; the buffer's other destinations have nothing to do with it.
        if name.as_str() != ENDPOINT_NAME {
            config.endpoint = None;
        }
        config.destinations.retain(|(other, _)| *other == name);
        config.buffer.dir.clone_from(dir);
        config.buffer.disk = unlimited();
    } else if !config.buffer.dir.is_dir() {
        let dir = config.buffer.dir.display();
        return fail(
            format_args!("no buffer in {dir}; name it with --buffer-dir or --config"),
            exit::NO_INPUT,
        );
    }
    let is_only = config.routes().count() == 1;
    let told = Arc::new(Told::default());
    let mut keeper = match Keeper::open(here.env.clone(), config, told.clone()).await {
        Ok(keeper) => keeper,
        Err(error @ shell::Error::InUse { .. }) => {
            let hint = "what it holds it sends itself";
            return fail(format_args!("{error}; {hint}"), exit::UNAVAILABLE);
        }
        Err(error) => return fail(error, exit::CANNOT_WRITE),
    };
    if let Err(error) = keeper.drain(name) {
        return fail(error, exit::USAGE);
    }
    let is_interrupted = drain(&keeper, name, patience).await;
    let (accounting, left) = (keeper.accounting(), keeper.waiting(name));
    // With several the account knows only what all of them have.
    let delivered = match is_only {
        true => total(&accounting, |items| items.delivered),
        false => keeper.delivered(name),
    };
    if let Err(error) = keeper.close().await {
        return fail(
            format_args!("close the buffer: {error}"),
            exit::CANNOT_WRITE,
        );
    }
    if let (Some(dir), true) = (&scratch, is_empty(&accounting)) {
        // What is left in it is of no use; if it cannot go, it is small.
        let _ = std::fs::remove_dir_all(dir);
    }
    let sums = Sums {
        delivered,
        quarantined: total(&accounting, |items| items.quarantined),
        dropped: total(&accounting, |items| items.dropped_total()),
        left,
    };
    summary(sums, &told, args.json, is_interrupted)
}

/// Where it goes: the name of the destination, which is in `config` then.
fn destination(config: &mut Config, to: Option<&str>) -> Result<ClassName, String> {
    let name = |text: &str| ClassName::new(text).filter(|_| !text.is_empty());
    let endpoint = name(ENDPOINT_NAME).expect("it is one");
    let known: Vec<ClassName> = config.routes().map(|(name, _)| name).collect();
    match to {
        Some(to) if name(to).is_some_and(|name| known.contains(&name)) => {
            Ok(name(to).expect("looked at above"))
        }
        Some(to) if !to.contains("://") => Err(format!(
            "--to {to}: neither a URL such as http://hq.example:4318 nor a destination of the configuration ({})",
            list(&known)
        )),
        Some(url) => {
            match &mut config.endpoint {
                Some(endpoint) => url.clone_into(&mut endpoint.url),
                slot => *slot = Some(Endpoint::new(url)),
            }
            Ok(endpoint)
        }
        None if known.contains(&endpoint) => Ok(endpoint),
        None => match known[..] {
            [] => Err("where to? add --to URL, such as --to http://hq.example:4318".to_owned()),
            [only] => Ok(only),
            _ => Err(format!("where to? add --to and one of {}", list(&known))),
        },
    }
}

fn list(names: &[ClassName]) -> String {
    match names {
        [] => "there is none".to_owned(),
        names => names
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// The buffer beside an export.
fn scratch(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".replay");
    PathBuf::from(name)
}

/// As much as the disk has.
fn unlimited() -> ByteSize {
    ByteSize(1 << 50)
}

/// Imports an export into its buffer, unless that was done before.
async fn unpack(here: &Here, file: &Path, dir: &Path) -> Result<(), u8> {
    let mut config: Config = here.config.clone();
    config.endpoint = None;
    config.destinations.clear();
    config.buffer.dir = dir.to_owned();
    config.buffer.disk = unlimited();
    let there = Here {
        env: here.env.clone(),
        config,
    };
    import::check(file)?;
    if let Err(error) = std::fs::create_dir_all(dir) {
        return Err(fail(
            format_args!("make {}: {error}", dir.display()),
            exit::CANNOT_WRITE,
        ));
    }
    let holder = Holder::open(&there).await?;
    // What was delivered before is known, and is not imported again.
    import::into(holder, file).await.map(drop)
}

/// Waits until all is sent, patience is out, or somebody interrupts; says whether that was it.
async fn drain(keeper: &Keeper<crate::env::OsEnv>, name: ClassName, patience: Duration) -> bool {
    let is_drawn = std::io::stderr().is_terminal();
    let mut progress = (u64::MAX, tokio::time::Instant::now());
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let left = keeper.waiting(name);
        if left == 0 {
            break;
        }
        if left != progress.0 {
            progress = (left, tokio::time::Instant::now());
        } else if progress.1.elapsed() > patience {
            break;
        }
        if is_drawn {
            let _ = write!(std::io::stderr(), "\r{} left ", show::count(left, "item"));
        }
        tokio::select! {
            biased;
            _ = &mut interrupted => return true,
            () = tokio::time::sleep(TICK) => {}
        }
    }
    if is_drawn {
        let _ = write!(std::io::stderr(), "\r{:30}\r", "");
    }
    false
}

fn total(accounting: &Accounting, of: impl Fn(&crate::core::accounting::Items) -> u64) -> u64 {
    Signal::ALL
        .into_iter()
        .map(|signal| of(accounting.items(signal)))
        .sum()
}

/// Whether nothing is left that anybody could want.
fn is_empty(accounting: &Accounting) -> bool {
    accounting.stored_total() == 0 && total(accounting, |items| items.quarantined) == 0
}

/// What became of the items.
struct Sums {
    /// That the destination took.
    delivered: u64,
    quarantined: u64,
    dropped: u64,
    /// That wait for the destination.
    left: u64,
}

fn summary(sums: Sums, told: &Told, as_json: bool, is_interrupted: bool) -> u8 {
    let Sums {
        delivered,
        quarantined,
        dropped,
        left,
    } = sums;
    let last = told.last();
    if as_json {
        let value = json!({
            "delivered_items": delivered,
            "quarantined_items": quarantined,
            "dropped_items": dropped,
            "left_items": left,
            "last_notice": last,
        });
        put(&format!("{value}\n"));
    } else {
        let mut text = format!("{} delivered", show::count(delivered, "item"));
        for (items, what) in [
            (quarantined, "refused and put into quarantine"),
            (dropped, "rejected by the destination, or damaged"),
        ] {
            if items > 0 {
                text += &format!(", {} {what}", show::number(items));
            }
        }
        put(&format!("{text}\n"));
    }
    if left > 0 {
        let why = last.map(|last| format!("; {last}")).unwrap_or_default();
        let hint = "the same command goes on";
        let code = if is_interrupted {
            exit::INTERRUPTED
        } else {
            exit::UNFINISHED
        };
        return fail(
            format_args!("{} left{why}; {hint}", show::count(left, "item")),
            code,
        );
    }
    if quarantined + dropped > 0 {
        exit::FINDINGS
    } else {
        exit::OK
    }
}

/// The last thing that the exporter said.
#[derive(Default)]
struct Told(Mutex<Option<String>>);

impl Told {
    fn last(&self) -> Option<String> {
        self.0.lock().ok()?.clone()
    }
}

impl Observer for Told {
    fn notice(&self, message: &str) {
        if let Ok(mut last) = self.0.lock() {
            *last = Some(message.to_owned());
        }
    }
}
