//! `backroom load`: realistic OTLP of many stores, sent to a real receiver at a fixed rate.

use std::{path::PathBuf, sync::Arc, time::Duration};

use backroom_collector::{
    config::{ByteSize, Codec},
    env::{Env as _, OsEnv},
};
use backroom_reports::{exit, human, load as page};
use hyper::header::{HeaderName, HeaderValue};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Terminal, outputs,
    plan::{size, store, time},
    progress::LINE_EVERY,
    real,
    run_dir::write_whole,
};
use crate::{
    load::{
        CONNECTIONS_MAX, Load, Options, Outcome, Unreachable, endpoint::Endpoint, pace::Rate,
        profile::Profile,
    },
    plan::stores::Store,
    store::telemetry::source::{REQUEST_BYTES, STORES_MAX},
};

/// Send realistic OTLP of many stores to a real receiver at a fixed rate, and say how it kept up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    backroom load --to http://127.0.0.1:4318 --stores 50 --for 60s\n  \
    backroom load --to http://127.0.0.1:4317 --grpc --rate 10000items/s --receipt acked.json\n\n\
    Exit codes: 0 the target kept up, 1 it did not (or nobody listens there), 64 usage, 73 cannot write, 130 interrupted.")]
pub(super) struct Args {
    /// Where to: a URL with http or https. The paths of the three signals are added.
    #[arg(long, value_name = "URL")]
    to: String,

    /// OTLP/gRPC; OTLP/HTTP with protobuf otherwise.
    #[arg(long)]
    grpc: bool,

    /// Kind of store: its machines, and how much they tell.
    #[arg(long, value_name = "STORE", default_value = "quick-service", value_parser = store)]
    profile: Store,

    /// How many stores.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(STORES_MAX)))]
    stores: u16,

    /// How fast, all stores together: 10000items/s, 48KB/s before compression, or max for as fast as the target takes them. The
    /// profile's own times the stores unless told otherwise.
    #[arg(long, value_name = "RATE", value_parser = Rate::parse)]
    rate: Option<Rate>,

    /// How long.
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = time)]
    length: Duration,

    /// Gives the run its tag; random unless told otherwise.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Compression of bodies: none, gzip or zstd.
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = codec)]
    compression: Codec,

    /// Connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=CONNECTIONS_MAX as i64))]
    connections: u16,

    /// Bytes of a request before compression; what a machine of the profile gathers in 5 s unless told otherwise.
    #[arg(long, value_name = "SIZE", value_parser = request_bytes)]
    request_bytes: Option<usize>,

    /// A header of every request: NAME=VALUE. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// Roots to trust (PEM) in place of the system's, for https.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// How long an answer may take, and a connection.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    timeout: Duration,

    /// Write which items were acknowledged, for `backroom sink --receipt`.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn codec(text: &str) -> Result<Codec, String> {
    match text {
        "none" => Ok(Codec::None),
        "gzip" => Ok(Codec::Gzip(6)),
        "zstd" => Ok(Codec::Zstd(3)),
        _ => Err(format!(
            "there is no compression `{text}`, expected none, gzip or zstd"
        )),
    }
}

fn request_bytes(text: &str) -> Result<usize, String> {
    let ByteSize(bytes) = size(text)?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    match REQUEST_BYTES.contains(&bytes) {
        true => Ok(bytes),
        false => Err(format!(
            "expected {} to {}",
            human::bytes(*REQUEST_BYTES.start() as f64),
            human::bytes(*REQUEST_BYTES.end() as f64)
        )),
    }
}

/// Headers that say how the request itself is to be read: they are not the user's.
const OWN_HEADERS: [&str; 7] = [
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-encoding",
    "host",
    "te",
    "transfer-encoding",
];

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` has no `=`; write x-store=0412"))?;
    let name: HeaderName = name
        .trim()
        .to_ascii_lowercase()
        .parse()
        .map_err(|_| format!("`{name}` is no name of a header"))?;
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err(format!("`{name}` is set by the load itself"));
    }
    let value = HeaderValue::from_str(value)
        .map_err(|_| format!("the value of `{name}` has characters that a header cannot have"))?;
    Ok((name, value))
}

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    let mut endpoint = match Endpoint::parse(&args.to, args.grpc) {
        Ok(endpoint) => endpoint,
        Err(why) => return usage(&format!("--to {why}")),
    };
    match &args.ca {
        Some(_) if endpoint.target.tls.is_none() => {
            return usage("--ca is for https, and --to is http");
        }
        Some(ca) => endpoint.trust(ca.clone()),
        None => {}
    }
    let mut profile = Profile::of(&args.profile);
    profile.request_bytes = args.request_bytes.unwrap_or(profile.request_bytes);
    let own = profile.bytes_per_second * f64::from(args.stores);
    let options = |env: &OsEnv| Options {
        endpoint,
        stores: args.stores,
        rate: args.rate.unwrap_or(Rate::Bytes(own)),
        length: args.length,
        seed: args.seed.unwrap_or_else(|| {
            let bytes = env.seed("load");
            u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        }),
        codec: args.compression,
        connections: args.connections.into(),
        headers: args.headers.clone(),
        limit: args.timeout,
        profile,
    };
    let ran = real::run(|env| async move {
        let load = Load::new(options(&env));
        watched(&load, &env, args, terminal).await
    });
    match ran {
        Err(error) => {
            eprintln!("error: start the load: {error}");
            exit::INTERNAL
        }
        Ok(Err(unreachable)) => {
            eprintln!(
                "error: {unreachable}; does it listen there, and is it OTLP/{}?",
                match args.grpc {
                    true => "gRPC",
                    false => "HTTP",
                }
            );
            exit::FAILED
        }
        Ok(Ok(outcome)) => tell(args, &outcome),
    }
}

fn usage(why: &str) -> i32 {
    eprintln!("error: {why}");
    exit::USAGE
}

fn tell(args: &Args, outcome: &Outcome) -> i32 {
    let result = &outcome.result;
    super::check::put(&match args.json {
        true => page::render_json(result),
        false => result.table(),
    });
    if let Some(path) = &args.receipt
        && let Err(error) = write_whole(path, page::render_json(&outcome.receipt).as_bytes())
    {
        return outputs::cannot_write(&error);
    }
    match (result.interrupted, result.findings.is_empty()) {
        (true, _) => exit::INTERRUPTED,
        (false, true) => exit::OK,
        (false, false) => exit::FAILED,
    }
}

/// Runs it, shows how far it is, and stops it when told to.
async fn watched(
    load: &Arc<Load>,
    env: &OsEnv,
    args: &Args,
    terminal: Terminal,
) -> Result<Outcome, Unreachable> {
    let mut signals = real::Stop::listen()
        .inspect_err(|error| eprintln!("warning: signals cannot be heard: {error}"))
        .ok();
    eprintln!("run {} to {}", load.tag(), args.to);
    let bar = terminal.interactive.then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar
    });
    let every = match &bar {
        Some(_) => Duration::from_millis(500),
        None => LINE_EVERY,
    };
    let show = async {
        let mut tick = tokio::time::interval(every);
        tick.tick().await;
        loop {
            tick.tick().await;
            let at = load.progress();
            let line = format!(
                "{} of {}: {} acknowledged, {} requests failed, p99 {}, {} behind",
                human::seconds(at.elapsed.as_secs().min(args.length.as_secs()) as f64),
                human::span(args.length.as_secs_f64()),
                page::per_second(at.acked_items as f64 / at.elapsed.as_secs_f64().max(1e-3)),
                human::count(at.failed_requests as f64),
                human::seconds(at.latency_p99),
                human::seconds(at.behind.as_secs_f64())
            );
            match &bar {
                Some(bar) => {
                    bar.set_message(line);
                    bar.tick();
                }
                None => eprintln!("{line}"),
            }
        }
    };
    let stop = async {
        let Some(signals) = &mut signals else {
            return std::future::pending().await;
        };
        signals.told().await;
        load.stop();
        eprintln!("interrupted: answers under way are waited for; once more ends at once");
        signals.told().await;
        std::process::exit(exit::INTERRUPTED)
    };
    let outcome = tokio::select! {
        biased;
        outcome = load.run(env) => outcome,
        () = show => unreachable!("it shows for ever"),
        () = stop => unreachable!("it listens for ever"),
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |refused: Option<String>, why: &str| {
            let said = refused.expect("it is refused");
            assert!(said.contains(why), "{said}");
        };
        check(codec("lz4").err(), "none, gzip or zstd");
        check(request_bytes("10B").err(), "expected 1kB to 2MB");
        check(request_bytes("10").err(), "unit");
        check(header("x-store").err(), "no `=`");
        check(header("a b=c").err(), "no name of a header");
        check(header("Host=hq").err(), "set by the load itself");
        check(header("x=a\nb").err(), "characters");
        let (name, value) = header("X-Store=04=12").expect("it is one");
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("x-store", &b"04=12"[..])
        );
    }
}
