//! `backroom shrink`: the smallest scenario that fails as a seed does, as a file that stands alone.
//!
//! Of a kept run it goes by the run's own lock file, as `repro` does. Next: `search::shrink`, how; `found`, the file.

use std::path::{Path, PathBuf};

use backroom_reports::{exit, terminal::shell_word};

use super::{
    Terminal,
    found::{self, Limits, place_of},
    kept::{self, Wrong},
    outputs, repro,
    run::load_all,
    run_dir::RunDir,
};
use crate::{
    run::one::Options,
    scenario::Loaded,
    search::{
        check::Failure,
        doc::{Doc, Value, place},
        trial::{Stop, Tried, Tries as _},
    },
};

/// Make a failing scenario as small as it can be while it fails the same check.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of a run, with the seed behind a colon, such as `runs/lunch-uplink-cut/latest:7`; without one the worst seed of what
    /// failed. Or a scenario.
    #[arg(value_name = "RUN[:SEED]|FILE")]
    target: String,

    /// The seed of a scenario; its first one unless given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Change a value of the scenario first; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    /// What has to go on failing, where several things do: an invariant such as `DELIVERY-1`, an expectation or an oracle by its name.
    /// The gravest unless given.
    #[arg(long, value_name = "NAME")]
    check: Option<String>,

    /// Write it here, or into this folder. Beside the run unless given; of a scenario, in `runs/<scenario>.shrink/<time>-<id>/`.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,

    #[command(flatten)]
    limits: Limits,

    /// Folder in which it is kept.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// What is to be shrunk.
struct Target {
    loaded: Loaded,
    seed: u64,
    options: Options,
    /// The run's folder.
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &Args, terminal: Terminal) -> i32 {
    super::code(shrunk(args, terminal))
}

fn shrunk(args: &Args, terminal: Terminal) -> Result<i32, Wrong> {
    let target = target(args, terminal)?;
    let name = target.loaded.scenario.name.clone();
    let mut doc = Doc::of(&target.loaded);
    // A lock file has them all.
    doc.drop_defaults();
    one_seed(&mut doc, target.seed);
    let (status, _ears) = found::listen(&name);
    let hunt = found::hunt(&args.limits, terminal, &name, None);
    let mut trial = args.limits.trial(&status.control, target.options)?;
    let tried = trial.all(std::slice::from_ref(&doc)).map_err(stopped)?;
    let failures = match tried.into_iter().next() {
        Some(Tried::Ran(ran)) => ran.failures,
        Some(Tried::Stopped(stopped)) => {
            let why = format!(
                "seed {} was {}: nothing is known of it",
                target.seed, stopped.why
            );
            return Err((why, exit::USAGE));
        }
        _ => return Err(("the scenario cannot be run".into(), exit::BAD_SCENARIO)),
    };
    let failure = chosen(args, target.seed, failures)?;
    // Times of their own first: then one fault can go without the others.
    let mut plain = doc.clone();
    plain.use_offsets(&target.loaded.scenario);
    let begun = match trial
        .all(std::slice::from_ref(&plain))
        .map_err(stopped)?
        .pop()
    {
        Some(Tried::Ran(ran)) => {
            let same = ran.failures.into_iter().find(|f| f.check == failure.check);
            same.map(|failure| (plain, failure))
        }
        _ => None,
    };
    let runs = args.limits.shrink_runs;
    let found = found::shrink(&mut trial, doc, begun, failure, runs, &hunt)?;
    hunt.clear();
    let name = found.name(&name);
    let path = match (&args.out, &target.folder) {
        (Some(out), _) => place_of(out, &name),
        (None, Some(folder)) => folder
            .join("shrunk")
            .join(format!("{name}-{}.toml", target.seed)),
        (None, None) => {
            let of = format!("{}.shrink", target.loaded.scenario.name);
            let folder = RunDir::create(&args.runs, &of)?;
            folder.finish();
            folder.folder.join(format!("{name}.toml"))
        }
    };
    let text = found.write(&path, &name, &command(args, target.seed))?;
    outputs::print(&text);
    eprintln!("written to {}", path.display());
    Ok(match found.interrupted {
        true => exit::INTERRUPTED,
        false => exit::OK,
    })
}

fn stopped(stop: Stop) -> Wrong {
    (stop.to_string(), stop.exit_code())
}

/// The scenario with this seed only.
pub(super) fn one_seed(doc: &mut Doc, seed: u64) {
    doc.remove(&place(&["seeds"]));
    let seed = i64::try_from(seed).unwrap_or(i64::MAX);
    doc.set(&place(&["seed"]), Value::Integer(seed));
}

fn target(args: &Args, terminal: Terminal) -> Result<Target, Wrong> {
    let (folder, seed) = kept::split_seed(&args.target);
    if !folder.is_dir() {
        let file = PathBuf::from(&args.target);
        let named = std::slice::from_ref(&file);
        // What is wrong has been told by whoever reads it.
        let (_, loaded) = load_all(named, &args.sets, named, terminal)
            .map_err(|code| (String::new(), code))?
            .remove(0);
        let seed = args.seed.or_else(|| loaded.scenario.seeds.first().copied());
        return Ok(Target {
            seed: seed.unwrap_or(1),
            loaded,
            options: Options::default(),
            folder: None,
        });
    }
    if args.seed.is_some() || !args.sets.is_empty() {
        let why = "--seed and --set are for a scenario; a run is shrunk as it was: RUN:SEED";
        return Err((why.into(), exit::USAGE));
    }
    let part = kept::part(&folder)?;
    let loaded = kept::scenario(&folder, &part.header)?;
    let seed = match seed {
        Some(seed) => seed,
        None => repro::seed_of(&folder, &part)?,
    };
    kept::mind_version(&part);
    kept::mind_seed(&part, seed);
    Ok(Target {
        loaded,
        seed,
        options: Options {
            mtu: part.header.mtu,
            hash_payloads: part.header.hash_payloads,
            ..Options::default()
        },
        folder: Some(folder),
    })
}

/// The failure that is to go on: the one that was asked for, or the gravest.
fn chosen(args: &Args, seed: u64, failures: Vec<Failure>) -> Result<Failure, Wrong> {
    let all: Vec<String> = failures.iter().map(|f| f.check.to_string()).collect();
    let is_asked = |f: &Failure| {
        let name = f.check.to_string();
        let asked = args.check.as_deref();
        asked.is_none_or(|asked| name == asked || name.strip_prefix("oracle ") == Some(asked))
    };
    failures.into_iter().find(is_asked).ok_or_else(|| {
        let what = match (&args.check, all.is_empty()) {
            (Some(check), false) => format!("{check} does not fail; this does: {}", all.join(", ")),
            _ => {
                "nothing fails that one seed can decide: percentiles and shares need their samples"
                    .into()
            }
        };
        (format!("seed {seed}: {what}"), exit::USAGE)
    })
}

fn command(args: &Args, seed: u64) -> String {
    let mut words = vec!["backroom shrink".to_owned(), shell_word(&args.target)];
    if !Path::new(&args.target).is_dir() && kept::split_seed(&args.target).1.is_none() {
        words.push(format!("--seed {seed}"));
    }
    words.extend(
        args.sets
            .iter()
            .map(|set| format!("--set {}", shell_word(set))),
    );
    words.extend(args.check.iter().map(|check| format!("--check {check}")));
    words.join(" ")
}
