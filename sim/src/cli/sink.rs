//! `backroom sink`: a receiver of OTLP that checks every item of a load, and misbehaves on a schedule.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use backroom_collector::{
    config::{Format, Report},
    env::OsEnv,
};
use backroom_reports::{exit, human, load as page};
use tokio::time::{Instant, sleep};

use super::{Terminal, check, plan::time, progress::LINE_EVERY, real};
use crate::{
    load::receipt,
    sink::{Bound, Options, Sink, Tolerated, schedule::Schedule},
};

/// Receive OTLP, check every item of a load by its id, and be down, slow or rude on a schedule.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    backroom sink --listen 127.0.0.1:4319 --until-idle 10s --receipt acked.json\n  \
    backroom sink --schedule 'down 10s..20s, slow 200ms 30s..40s, reject 429 retry-after 5s 50% 40s..1m, cut after 25% 1m..2m'\n\n\
    A schedule has phases, parted by commas; times count from when it listens:\n  \
    down FROM..UNTIL                                      nobody listens\n  \
    slow TIME FROM..UNTIL                                 each answer comes so much later\n  \
    reject STATUS [retry-after TIME] [SHARE] FROM..UNTIL  nothing is taken\n  \
    portal [SHARE] FROM..UNTIL                            200 and a page, nothing is taken\n  \
    cut before|after [SHARE] FROM..UNTIL                  the connection ends before or after the request is taken\n\n\
    Exit codes: 0 nothing lost and nothing twice, 1 otherwise, 64 usage, 65 bad schedule or receipt, 66 missing input, 73 cannot listen.")]
pub(super) struct Args {
    /// Where to listen for OTLP/HTTP, protobuf and JSON; `off` for nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4319", value_parser = address)]
    listen: Address,

    /// Where to listen for OTLP/gRPC.
    #[arg(long, value_name = "ADDRESS", default_value = "off", value_parser = address)]
    grpc_listen: Address,

    /// When to be down, slow or rude: phases, or a TOML file with a list of them.
    #[arg(long, value_name = "PHASES|FILE.toml")]
    schedule: Option<String>,

    /// Items are late when they come so long after they were made.
    #[arg(long, value_name = "TIME", value_parser = time)]
    late: Option<Duration>,

    /// What `load --receipt` wrote, read at the end: with it, lost is what was acknowledged and did not come.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,

    /// End when nothing has come for so long after the first request.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until_idle: Option<Duration>,

    /// End when so many different items have come; fewer are an error.
    #[arg(long, value_name = "N")]
    expect: Option<u64>,

    /// What is no error: any of lost, duplicates, late.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = ["lost", "duplicates", "late"])]
    tolerate: Vec<String>,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// An address, or none.
#[derive(Clone, Copy, Debug)]
struct Address(Option<SocketAddr>);

fn address(text: &str) -> Result<Address, String> {
    match text {
        "off" => Ok(Address(None)),
        _ => text
            .parse()
            .map(|address| Address(Some(address)))
            .map_err(|_| {
                format!("`{text}` is not an address and port; write 127.0.0.1:4319, or off")
            }),
    }
}

/// How often it is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) fn run(args: &Args, _terminal: Terminal) -> i32 {
    let schedule = match &args.schedule {
        None => Schedule::default(),
        Some(text) => {
            let is_file = text.trim_end().ends_with(".toml");
            let read = match is_file {
                true => Schedule::load(text.trim().as_ref()),
                false => Schedule::parse(text),
            };
            match read {
                Ok(schedule) => schedule,
                Err(report) => return refused(&report, is_file),
            }
        }
    };
    if args.listen.0.is_none() && args.grpc_listen.0.is_none() {
        eprintln!("error: --listen and --grpc-listen are both off: nobody could send anything");
        return exit::USAGE;
    }
    let options = Options {
        http: args.listen.0,
        grpc: args.grpc_listen.0,
        schedule,
        late_after: args.late,
    };
    match real::run(|env| async move { receive(&env, options, args).await }) {
        Err(error) => {
            eprintln!("error: start to receive: {error}");
            exit::INTERNAL
        }
        Ok(code) => code,
    }
}

fn refused(report: &Report, is_file: bool) -> i32 {
    check::print_report(report, Format::Human);
    match is_file {
        true => report.exit_code().into(),
        false => exit::USAGE,
    }
}

async fn receive(env: &OsEnv, options: Options, args: &Args) -> i32 {
    let bound = match Sink::bind(env, options).await {
        Ok(bound) => bound,
        Err(error) => {
            eprintln!("error: {error}");
            return exit::CANNOT_WRITE;
        }
    };
    let mut stop = match real::Stop::listen() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("error: hear signals: {error}");
            return exit::INTERNAL;
        }
    };
    let sink = Arc::clone(bound.sink());
    announce(&bound);
    let ended: io::Result<()> = tokio::select! {
        biased;
        () = stop.told() => Ok(()),
        () = over(&sink, args) => Ok(()),
        failed = bound.serve() => failed,
        () = show(&sink) => Ok(()),
    };
    if let Err(error) = &ended {
        eprintln!("error: {error}; what came so far:");
    }
    let receipt = match args.receipt.as_deref().map(receipt::read).transpose() {
        Ok(receipt) => receipt,
        Err(why) => {
            eprintln!("error: {why}; the result is without it");
            None
        }
    };
    let has = |what: &str| args.tolerate.iter().any(|tolerated| tolerated == what);
    let tolerated = Tolerated {
        lost: has("lost"),
        duplicates: has("duplicates"),
        late: has("late"),
    };
    let result = sink.result(receipt.as_ref(), tolerated, args.expect);
    check::put(&match args.json {
        true => page::render_json(&result),
        false => result.table(),
    });
    let misses_receipt = args.receipt.is_some() && receipt.is_none();
    match (ended.is_err(), misses_receipt) {
        (true, _) => exit::CANNOT_WRITE,
        (_, true) if args.receipt.as_deref().is_some_and(|path| path.exists()) => {
            exit::BAD_SCENARIO
        }
        (_, true) => exit::NO_INPUT,
        _ if result.findings.is_empty() => exit::OK,
        _ => exit::FAILED,
    }
}

/// On standard error, one line a listener.
fn announce(bound: &Bound) {
    let (http, grpc) = bound.addresses();
    if let Some(address) = http {
        eprintln!("listening for OTLP/HTTP on {address}");
    }
    if let Some(address) = grpc {
        eprintln!("listening for OTLP/gRPC on {address}");
    }
}

/// Waits until it has seen enough.
async fn over(sink: &Sink, args: &Args) {
    loop {
        let at = sink.standing();
        let all = args.expect.is_some_and(|expect| at.distinct >= expect);
        let quiet = args.until_idle.zip(at.idle);
        if all || quiet.is_some_and(|(until, idle)| idle >= until) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A line now and then, for ever.
async fn show(sink: &Sink) {
    let (mut before, mut since) = (0, Instant::now());
    loop {
        sleep(LINE_EVERY).await;
        let at = sink.standing();
        let rate = (at.items - before) as f64 / since.elapsed().as_secs_f64();
        (before, since) = (at.items, Instant::now());
        eprintln!(
            "{} items, {} distinct, {}{}",
            human::count(at.items as f64),
            human::count(at.distinct as f64),
            page::per_second(rate),
            if at.is_down { ", down" } else { "" }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert!(address("off").is_ok_and(|address| address.0.is_none()));
        assert!(address("127.0.0.1:0").is_ok_and(|address| address.0.is_some()));
        for wrong in ["", "4319", "localhost:4319", "127.0.0.1", "127.0.0.1:99999"] {
            let said = address(wrong).expect_err(wrong);
            assert!(said.contains("write 127.0.0.1:4319"), "{said}");
        }
    }
}
