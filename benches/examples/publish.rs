//! Writes the published reports. `cargo run --release -p backroom-benches --example publish -- recovery` (or `engine`, `peers ROUNDS.json`).
//!
//! `recovery` also writes `benches/results/recovery.json`; with `--check` it writes nothing, compares with it and exits with 4 where anything
//! differs: virtual time is exact, so a difference is a change of the code.

use std::{path::PathBuf, process::ExitCode};

use backroom_benches::published::{self, Kind, Stamp, engine, peers, recovery};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Write a published report.
#[derive(Debug, Parser)]
enum Args {
    /// Recovery time and buffer size for three kinds of store: simulated, about a minute.
    Recovery {
        /// Compare with the committed results, and write nothing.
        #[arg(long)]
        check: bool,
    },
    /// What the simulator costs on this machine.
    Engine,
    /// The collector beside its peers.
    Peers {
        /// What the `peers` example has written.
        rounds: PathBuf,
    },
}

/// The folder of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("publish: {error}");
            ExitCode::from(backroom_reports::exit::INTERNAL as u8)
        }
    }
}

fn run(args: Args) -> Result<ExitCode, String> {
    let pages = root().join("reports/published");
    let (name, title, kind, arguments, body, limits) = match args {
        Args::Recovery { check } => {
            let questions = recovery::questions();
            let mut answers = Vec::new();
            for question in &questions {
                let (store, minutes) = (question.store.name, question.outage_minutes);
                eprintln!("{store}: {minutes} min at {} kbit/s", question.line_kbit);
                answers.push(recovery::answer(question)?);
            }
            let file = root().join("benches/results/recovery.json");
            if check {
                return compare(&file, &answers);
            }
            let json = serde_json::to_string_pretty(&answers).map_err(|e| e.to_string())?;
            published::write(&file, &(json + "\n"))?;
            (
                "recovery",
                "Recovery time and buffer size for three kinds of store",
                Kind::Simulated,
                "recovery".to_owned(),
                recovery::tables(&answers),
                recovery::LIMITS,
            )
        }
        Args::Engine => (
            "engine",
            "What the simulator costs",
            Kind::Measured,
            "engine".to_owned(),
            engine::tables(&engine::Effort::FULL),
            engine::LIMITS,
        ),
        Args::Peers { rounds } => {
            let text = std::fs::read_to_string(&rounds)
                .map_err(|error| format!("read {}: {error}", rounds.display()))?;
            (
                "peers",
                "The collector beside its peers",
                Kind::Measured,
                format!("peers {}", rounds.display()),
                peers::tables(&text)?,
                peers::LIMITS,
            )
        }
    };
    let page = published::page(title, kind, &Stamp::here(&arguments), &body, limits);
    let file = pages.join(name).with_extension("md");
    published::write(&file, &page)?;
    println!("{}", file.display());
    Ok(ExitCode::SUCCESS)
}

fn compare(file: &std::path::Path, answers: &[recovery::Answer]) -> Result<ExitCode, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("read {}: {error}", file.display()))?;
    let committed: Vec<recovery::Answer> =
        serde_json::from_str(&text).map_err(|error| format!("read {}: {error}", file.display()))?;
    let differences = recovery::differences(&committed, answers);
    for line in &differences {
        println!("{line}");
    }
    Ok(match differences.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(backroom_reports::exit::REGRESSION as u8),
    })
}
