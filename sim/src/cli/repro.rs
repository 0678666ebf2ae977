//! `backroom repro`: a seed of a run that is kept, once more, exactly.
//!
//! Goes by the run's own lock file, so what was edited since changes nothing; it is told all the same, as is another version of
//! the program. The trace is compared with that of the run. Next: `run::tell`, how events are told.

use std::{sync::Arc, time::Duration};

use backroom_collector::config::quantity;
use backroom_reports::{Manifest, Timing, Verdict, exit};

use super::{
    Terminal,
    kept::{self, Wrong},
    outputs::{self, Judged},
    run_dir::crc_of,
};
use crate::{
    run::{
        keep,
        merge::{self, Asked, Difference},
        one::{self, Options, SeedRun},
        outcome::SeedOutcome,
        outcome_log::Part,
        tell::{Filter, Teller},
        worker,
    },
    scenario::Scenario,
    world::det,
};

/// Run a seed of a kept run again, exactly.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the run, with the seed behind a colon: `runs/lunch-uplink-cut/latest:7`. Without one: the worst seed of what
    /// failed, else the first.
    #[arg(value_name = "RUN[:SEED]")]
    run: String,

    /// Print every recorded event.
    #[arg(long)]
    trace: bool,

    /// Only events of this machine, or of this group: `pos-1`, `pos`.
    #[arg(long, value_name = "NAME", requires = "trace")]
    machine: Option<String>,

    /// Only events of this order.
    #[arg(long, value_name = "NUMBER", requires = "trace")]
    order: Option<u64>,

    /// Only events between two times: `12:05 12:06:30` of the store's clock, or `+35m +36m` since the start.
    #[arg(long, value_names = ["FROM", "TO"], num_args = 2, requires = "trace")]
    between: Option<Vec<String>>,

    /// Keep events, timeline and histograms in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<std::path::PathBuf>,
}

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    // Without it runs are equal all the same, unless something orders by address: worth a word, not a failure.
    if let Err(why) = det::fix_addresses() {
        eprintln!("note: addresses stay random: {why}");
    }
    super::code(again(args, terminal))
}

fn again(args: &Args, terminal: Terminal) -> Result<i32, Wrong> {
    let (folder, seed) = kept::split_seed(&args.run);
    let part = kept::part(&folder)?;
    let loaded = kept::scenario(&folder, &part.header)?;
    let scenario = Arc::new(loaded.scenario.clone());
    let filter = Filter {
        machine: args.machine.clone(),
        order: args.order,
        between: match args.between.as_deref() {
            Some([from, to]) => Some(between(&scenario, from, to)?),
            _ => None,
        },
    };
    let seed = match seed {
        Some(seed) => seed,
        None => seed_of(&folder, &part)?,
    };
    let is_same_version = part.header.tool_version == env!("CARGO_PKG_VERSION");
    kept::mind_version(&part);
    kept::mind_seed(&part, seed);
    // A run whose process was killed has none, and can be run again all the same.
    if let Ok(manifest) = kept::manifest(&folder) {
        tell_changes(&manifest);
    }
    let (outcome, run) = play(&part, &scenario, seed)?;
    if args.trace {
        trace(&scenario, &run, &filter);
    }
    if let Some(folder) = &args.keep {
        keep::keep(folder, &scenario, &run).map_err(|e| (e.to_string(), exit::CANNOT_WRITE))?;
    }
    let recorded = part.outcomes.get(&seed).map(|o| o.trace_hash.clone());
    let differs = recorded.filter(|hash| *hash != outcome.trace_hash);
    let differences: Vec<Difference> = match differs {
        Some(recorded) if is_same_version => vec![Difference {
            seed,
            hashes: (recorded, outcome.trace_hash.clone()),
        }],
        Some(recorded) => {
            eprintln!("note: the run's trace was {recorded}");
            Vec::new()
        }
        None => Vec::new(),
    };
    let asked = Asked {
        overrides: part.header.sets.clone(),
        seeds_planned: 1,
        ..Asked::default()
    };
    let mut result = merge::merge(
        &scenario,
        &asked,
        std::slice::from_ref(&outcome),
        &[],
        &differences,
    );
    if part.outcomes.contains_key(&seed) && differences.is_empty() && is_same_version {
        result.notes.push("the trace is that of the run".into());
    }
    let judged = Judged {
        timing: Timing {
            wall_seconds: outcome.cost.cpu_seconds,
            cpu_seconds: Some(outcome.cost.cpu_seconds),
            simulated_seconds: result.simulated_seconds,
            jobs: 1,
            memory_bytes_peak: Some(outcome.cost.memory_bytes_peak),
        },
        loaded: &loaded,
        result,
        series: None,
        folder: None,
        part: None,
        inconclusive: exit::Inconclusive::Tell,
    };
    outputs::print(&judged.screen(terminal));
    Ok(judged.result.exit_code)
}

/// The worst seed of the first expectation that failed, else the first seed.
pub(super) fn seed_of(folder: &std::path::Path, part: &Part) -> Result<u64, Wrong> {
    let failed = kept::result(folder).ok().and_then(|result| {
        let mut failed = result.expectations.into_iter();
        failed
            .find_map(|e| (e.verdict == Verdict::Fail).then_some(e.worst?.seed))
            .or_else(|| result.invariants.iter().find_map(|i| i.seed))
    });
    let first = || {
        part.failures
            .keys()
            .chain(part.outcomes.keys())
            .next()
            .copied()
    };
    failed.or_else(first).ok_or_else(|| {
        let why = format!(
            "{} has no seed that ended; name one: RUN:SEED",
            folder.display()
        );
        (why, exit::NO_INPUT)
    })
}

/// The lock file is what is run; whoever has edited the scenario since must know that it is not.
fn tell_changes(manifest: &Manifest) {
    for input in &manifest.inputs {
        let now = match std::fs::read_to_string(&input.file) {
            Ok(text) if crc_of(&text) == input.crc32c => continue,
            Ok(_) => "has changed",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "is not there any more",
            Err(_) => "cannot be read",
        };
        // `--set` values are texts too, and no files.
        if !input.file.starts_with("--") {
            eprintln!(
                "warning: {} {now} since the run; what was run then is run again",
                input.file
            );
        }
    }
}

fn play(part: &Part, scenario: &Arc<Scenario>, seed: u64) -> Result<(SeedOutcome, SeedRun), Wrong> {
    let options = Options {
        mtu: part.header.mtu,
        hash_payloads: part.header.hash_payloads,
        ..Options::default()
    };
    let ran = worker::on_a_fresh_thread(seed, || {
        let run = one::run(scenario, seed, options)?;
        Ok((SeedOutcome::of(scenario, &run), run))
    });
    ran.map_err(|error| (format!("seed {seed}: {error}"), exit::BAD_SCENARIO))
}

fn trace(scenario: &Scenario, run: &SeedRun, filter: &Filter) {
    let teller = Teller::new(scenario, &run.machines);
    let mut told = 0_usize;
    for stamped in run.events.iter().filter(|s| teller.is_asked(s, filter)) {
        outputs::print(&format!("{}\n", teller.line(&stamped)));
        told += 1;
    }
    if told == 0 {
        eprintln!(
            "note: none of {} events is asked for; machines are {}",
            run.events.len(),
            run.machines.join(", ")
        );
    }
}

/// Two times of the store's clock, or since the start.
fn between(scenario: &Scenario, from: &str, to: &str) -> Result<(Duration, Duration), Wrong> {
    let start = scenario.start.time();
    let midnight = |h: u64, m: u64, s: u64| (h * 60 + m) * 60 + s;
    let at = |text: &str| -> Result<Duration, Wrong> {
        let wrong = || {
            let why = format!("--between {text}: write 12:05, 12:05:30, or +35m since the start");
            (why, exit::USAGE)
        };
        if let Some(offset) = text.strip_prefix('+') {
            return quantity::duration(offset).map_err(|_| wrong());
        }
        let parts: Option<Vec<u64>> = text.split(':').map(|p| p.parse().ok()).collect();
        let seconds = match parts.as_deref() {
            Some([h @ 0..24, m @ 0..60]) => midnight(*h, *m, 0),
            Some([h @ 0..24, m @ 0..60, s @ 0..60]) => midnight(*h, *m, *s),
            _ => return Err(wrong()),
        };
        let unsigned = |n: i8| u64::from(n.unsigned_abs());
        let began = midnight(
            unsigned(start.hour()),
            unsigned(start.minute()),
            unsigned(start.second()),
        );
        let day = 24 * 3600;
        Ok(Duration::from_secs((day + seconds - began) % day))
    };
    let (from, to) = (at(from)?, at(to)?);
    match from <= to {
        true => Ok((from, to)),
        false => Err((
            "--between: the second time is before the first".into(),
            exit::USAGE,
        )),
    }
}
