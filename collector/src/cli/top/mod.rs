//! `backroom-collector top`: a live view of a collector, from its own metrics.
//!
//! It asks `/metrics` and nothing else, so what it shows is what a dashboard would. Next: `sample`, which reads a page and
//! computes; `screen`, which owns the terminal.

mod sample;
mod screen;

use std::{io::IsTerminal as _, time::Duration};

use super::{ask, exit, fail, put};
use crate::{
    config::{Endpoint, quantity},
    env::OsEnv,
    shell::fetch,
};
use sample::{Sample, View};

/// Watch a collector, from its own metrics.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    peer: ask::Peer,
    /// Time between two looks.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    interval: String,
    /// Look twice, print once, and leave.
    #[arg(long)]
    once: bool,
    /// One JSON object a look.
    #[arg(long)]
    json: bool,
}

/// Longest wait for the page.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Shows until somebody leaves; gives the exit code.
pub(super) fn run(args: &Args) -> u8 {
    let interval = match quantity::duration(&args.interval) {
        Ok(interval)
            if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval) =>
        {
            interval
        }
        _ => {
            return fail(
                format_args!("--interval {}: write 100ms to 1h", args.interval),
                exit::USAGE,
            );
        }
    };
    let (address, endpoint) = match args.peer.endpoint("/metrics") {
        Ok(found) => found,
        Err(code) => return code,
    };
    super::block_on(async move |env| {
        let is_live = !args.once && !args.json && std::io::stdout().is_terminal();
        let asked = Asked {
            env,
            endpoint,
            shown: address.to_string(),
        };
        let result = match is_live {
            true => live(&asked, interval).await,
            false => plain(&asked, interval, args).await,
        };
        match result {
            Ok(()) => exit::OK,
            Err(error) => {
                let hint = "name it with --listen or --config";
                let url = &asked.endpoint.url;
                fail(
                    format_args!("ask {url}/metrics: {error}; {hint}"),
                    exit::UNAVAILABLE,
                )
            }
        }
    })
}

/// The collector that is asked.
struct Asked {
    env: OsEnv,
    endpoint: Endpoint,
    /// How it is called on the screen.
    shown: String,
}

async fn look(asked: &Asked) -> Result<Sample, String> {
    let answer = fetch::get(&asked.env, &asked.endpoint, "/metrics", TIMEOUT).await?;
    if answer.status() != 200 {
        return Err(format!("it answers {}", answer.status()));
    }
    let at = tokio::time::Instant::now();
    Sample::read(at, &String::from_utf8_lossy(answer.body()))
        .ok_or_else(|| "it is no collector of ours".to_owned())
}

async fn plain(asked: &Asked, interval: Duration, args: &Args) -> Result<(), String> {
    let mut before = look(asked).await?;
    loop {
        tokio::time::sleep(interval).await;
        let now = look(asked).await?;
        let view = View::new(&before, &now);
        match args.json {
            true => put(&format!("{}\n", view.json())),
            false => put(&view.text(&asked.shown)),
        }
        if args.once {
            return Ok(());
        }
        if !args.json {
            put("\n");
        }
        before = now;
    }
}

async fn live(asked: &Asked, interval: Duration) -> Result<(), String> {
    let mut before = look(asked).await?;
    let screen = screen::Screen::open().map_err(|error| format!("use the terminal: {error}"))?;
    let mut text = format!("{}: looking\n", asked.shown);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut next = tokio::time::Instant::now() + interval;
    loop {
        screen.draw(&format!("{text}\nq leaves"));
        let left = tokio::select! {
            biased;
            _ = &mut interrupted => true,
            key = screen.key(&asked.env) => matches!(key, Some(b'q' | b'Q' | 27)),
        };
        if left {
            return Ok(());
        }
        if tokio::time::Instant::now() < next {
            continue;
        }
        next = tokio::time::Instant::now() + interval;
        match look(asked).await {
            Ok(now) => {
                text = View::new(&before, &now).text(&asked.shown);
                before = now;
            }
            // It may be starting again: the last picture stays, with the reason.
            Err(error) => {
                let last = text
                    .lines()
                    .filter(|line| !line.starts_with("! "))
                    .collect::<Vec<_>>()
                    .join("\n");
                text = format!("{last}\n! no answer: {error}\n");
            }
        }
    }
}
