//! The collector beside its peers: the same load against whichever is installed, several rounds, one table.
//!
//! ```text
//! cargo build --release -p backroom-collector
//! cargo run --release -p backroom-benches --example peers -- --rounds 5 --json peers.json
//! ```
//! What is compared and how stands in `benches/peers/README.md`. Standard output is the table, standard error how far it is.

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode, time::Duration};

use backroom_benches::peers::{
    peer::PEERS,
    round::{Plan, round},
    table::{Row, markdown},
};
use backroom_collector::env::OsEnv;
use backroom_sim::{load::profile::Profile, plan::stores};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sends the same load through each peer that is installed, and prints one table.
#[derive(Debug, Parser)]
struct Args {
    /// How often each is measured, one after the other.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Seconds of each of the two loads of a round.
    #[arg(long = "for", default_value_t = 10)]
    seconds: u64,
    /// Items a second during the outage.
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Kind of store.
    #[arg(long, default_value = "quick-service")]
    profile: String,
    /// How many stores.
    #[arg(long, default_value_t = 50)]
    stores: u16,
    /// Connections of the load.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Bytes of a request before compression: about a hundred spans.
    #[arg(long, default_value_t = 43_000)]
    request_bytes: usize,
    /// Only these peers, by name.
    #[arg(long)]
    only: Vec<String>,
    /// Where peers keep what they keep: on a real disk.
    #[arg(long, default_value = "target/peers")]
    dir: PathBuf,
    /// Writes all rounds as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let store = stores::find(&args.profile)
        .ok_or_else(|| format!("there is no store `{}`", args.profile))?;
    let names: BTreeSet<&str> = PEERS.iter().map(|peer| peer.name).collect();
    if let Some(unknown) = args.only.iter().find(|only| !names.contains(only.as_str())) {
        return Err(format!(
            "there is no peer `{unknown}`, expected one of {names:?}"
        ));
    }
    if args.rate.is_nan() || args.rate <= 0.0 || args.seconds == 0 || args.rounds == 0 {
        return Err("--rate, --for and --rounds must be more than nothing".into());
    }
    let plan = Plan {
        profile: Profile::of(store),
        stores: args.stores,
        length: Duration::from_secs(args.seconds),
        outage_rate: args.rate,
        connections: args.connections,
        request_bytes: args.request_bytes,
        dir: args.dir.clone(),
    };
    let folder = std::env::var_os("BACKROOM_PEERS").map(PathBuf::from);
    let mut found = Vec::new();
    for peer in PEERS {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == peer.name) {
            continue;
        }
        match peer.program(folder.as_deref()) {
            Some(program) => {
                eprintln!("{}: {}", peer.name, program.display());
                let row = Row {
                    peer: peer.name.into(),
                    buffer: peer.buffer.into(),
                    rounds: Vec::new(),
                    failures: Vec::new(),
                };
                found.push((peer, program, row));
            }
            None => eprintln!(
                "skipped: {}: no {} in BACKROOM_PEERS or PATH",
                peer.name, peer.programs[0]
            ),
        }
    }
    if found.is_empty() {
        return Err("none of the peers is there; see benches/peers/README.md".into());
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let env = OsEnv::new().map_err(|error| error.to_string())?;
        for number in 1..=args.rounds {
            // One after the other within a round, so that whatever else the machine does meets all of them.
            for (index, (peer, program, row)) in found.iter_mut().enumerate() {
                eprintln!("round {number} of {}: {}", args.rounds, peer.name);
                let seed = number * 1_000 + 2 * index as u64;
                match round(&env, &plan, program, peer, seed).await {
                    Ok(measured) => row.rounds.push(measured),
                    Err(why) => {
                        eprintln!("{}: {why}", peer.name);
                        row.failures.push(why);
                    }
                }
            }
        }
        Ok::<(), String>(())
    })?;
    let rows: Vec<Row> = found.into_iter().map(|(_, _, row)| row).collect();
    print!("{}", markdown(&rows));
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|e| format!("write {}: {e}", path.display()))?;
    }
    Ok(())
}
