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
    config::{ByteSize, Config, Endpoint, quantity},
    core::accounting::Accounting,
    otlp::Signal,
    shell::{self, Observer, keeper::Keeper},
};

/// Send what is on a dead disk, or in an export, to an OTLP/HTTP endpoint.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An export to send; without it, the buffer.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Base URL to send to; the path of the signal is appended. Without it, the endpoint of the configuration.
    #[arg(long, value_name = "URL")]
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
    if let Some(url) = &args.to {
        match &mut config.endpoint {
            Some(endpoint) => endpoint.url.clone_from(url),
            slot => *slot = Some(Endpoint::new(url)),
        }
    }
    if config.endpoint.is_none() {
        return fail(
            "where to? add --to URL, such as --to http://hq.example:4318",
            exit::USAGE,
        );
    }
    let scratch = args.file.as_deref().map(scratch);
    if let (Some(file), Some(dir)) = (&args.file, &scratch) {
        if let Err(code) = unpack(here, file, dir).await {
            return code;
        }
        // The file goes to one place; the buffer's other destinations have nothing to do with it.
        config.destinations.clear();
        config.buffer.dir.clone_from(dir);
        config.buffer.disk = unlimited();
    } else if !config.buffer.dir.is_dir() {
        let dir = config.buffer.dir.display();
        return fail(
            format_args!("no buffer in {dir}; name it with --buffer-dir or --config"),
            exit::NO_INPUT,
        );
    }
    let told = Arc::new(Told::default());
    let mut keeper = match Keeper::open(here.env.clone(), config, told.clone()).await {
        Ok(keeper) => keeper,
        Err(error @ shell::Error::InUse { .. }) => {
            let hint = "what it holds it sends itself";
            return fail(format_args!("{error}; {hint}"), exit::UNAVAILABLE);
        }
        Err(error) => return fail(error, exit::CANNOT_WRITE),
    };
    if let Err(error) = keeper.drain() {
        return fail(error, exit::USAGE);
    }
    let is_interrupted = drain(&keeper, patience).await;
    let accounting = keeper.accounting();
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
    summary(&accounting, &told, args.json, is_interrupted)
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
async fn drain(keeper: &Keeper<crate::env::OsEnv>, patience: Duration) -> bool {
    let is_drawn = std::io::stderr().is_terminal();
    let mut progress = (u64::MAX, tokio::time::Instant::now());
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let left = keeper.accounting().stored_total();
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

fn summary(accounting: &Accounting, told: &Told, as_json: bool, is_interrupted: bool) -> u8 {
    let delivered = total(accounting, |items| items.delivered);
    let quarantined = total(accounting, |items| items.quarantined);
    let dropped = total(accounting, |items| items.dropped_total());
    let left = accounting.stored_total();
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
