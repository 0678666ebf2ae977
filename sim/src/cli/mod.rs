//! The command line, one file per verb.
//!
//! Decides what a verb is called and what every verb has in common; what it does stands in its file. Results go to standard
//! output, diagnostics and progress to standard error. Exit codes are `backroom_reports::exit`'s.

pub mod check;
mod diff;
mod events;
pub mod explain;
mod fmt;
mod found;
mod fuzz;
mod hunt;
mod init;
mod kept;
mod list;
mod load;
mod merge;
mod outputs;
mod plan;
mod progress;
mod real;
mod report;
mod repro;
mod run;
mod run_dir;
pub mod schema;
mod shell;
mod shrink;
mod signals;
mod sink;
mod sweep;
mod trace;
mod watch;
mod worker;

use std::io::IsTerminal as _;

use backroom_reports::exit;
use clap::{Parser, Subcommand, ValueEnum};

use self::kept::Wrong;
use crate::run::shard::Shard;

/// Runs whole stores through outages, in a deterministic simulation, and says whether they kept selling.
#[derive(Debug, Parser)]
#[command(
    name = "backroom",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 all holds, 1 an expectation failed, 2 inconclusive, 3 an oracle or invariant failed,\n\
                  4 a regression against a baseline, 64 usage, 65 bad scenario, 66 missing input, 70 internal error, 73 cannot write, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// When to use colours; NO_COLOR and CLICOLOR_FORCE are obeyed with `auto`.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run scenarios with their seeds, judge them, and exit with the verdict.
    Run(run::Args),
    /// Show a kept run as one HTML file, as Markdown or as CSV.
    Report(report::Args),
    /// Plan capacity: what a store needs for an outage, or which outage it survives.
    Plan(plan::Args),
    /// Send realistic OTLP of many stores to a real receiver at a fixed rate, and say how it kept up.
    Load(load::Args),
    /// Receive OTLP, check every item of a load by its id, and be down, slow or rude on a schedule.
    Sink(sink::Args),
    /// Judge the parts of a sharded run as one run.
    Merge(merge::Args),
    /// Run every point of a scenario's grid, and show what came of it as a table.
    Sweep(sweep::Args),
    /// Run a seed of a kept run again, exactly; tell every event of it.
    Repro(repro::Args),
    /// Change a scenario at random, case by case, and look for what must never be; shrink what is found.
    Fuzz(fuzz::Args),
    /// Make a failing scenario as small as it can be while it fails the same check.
    Shrink(shrink::Args),
    /// Compare two runs; exit with 4 on a regression if asked to.
    Diff(diff::Args),
    /// Write a scenario to start from, with the store that it uses.
    Init(init::Args),
    /// Run scenarios again whenever one of their files changes.
    Watch(watch::Args),
    /// Bring in recordings of real lines.
    Trace(trace::Args),
    /// List scenarios with their questions, and what is kept of their runs.
    List(list::Args),
    /// Check scenarios and templates without running them.
    Check(check::Args),
    /// Write scenarios and templates in their canonical form.
    Fmt(fmt::Args),
    /// Tell a scenario in words, or what a code, a metric or a fault is.
    Explain(explain::Args),
    /// Print a JSON Schema: of scenario files, of the collector's configuration, or of results.
    Schema(schema::Args),
    /// Print the completions of a shell.
    Completions(shell::Completions),
    /// Print the manual page, or write all of them to a folder.
    Man(shell::Man),
    /// Answer seeds from standard input: what `run` starts.
    #[command(hide = true)]
    Worker(worker::Args),
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// Which streams may be coloured.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Standard output.
    pub stdout_colors: bool,
    /// Standard error.
    pub stderr_colors: bool,
    /// Whether standard error is a terminal: progress is drawn only there.
    pub interactive: bool,
}

impl Terminal {
    fn new(color: Color) -> Self {
        let wants = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0");
                match (set("NO_COLOR"), set("CLICOLOR_FORCE")) {
                    (true, _) => false,
                    (false, true) => true,
                    (false, false) => {
                        terminal && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
                    }
                }
            }
        };
        Self {
            stdout_colors: wants(std::io::stdout().is_terminal()),
            stderr_colors: wants(std::io::stderr().is_terminal()),
            interactive: std::io::stderr().is_terminal(),
        }
    }
}

/// The whole command line, for a program of yours whose scenarios may name these services; gives the exit code.
///
/// Call it in `main`, first thing and once: a run starts the same program again for its workers. The determinism kit needs nothing
/// else of you.
///
/// # Panics
/// If services were installed before.
pub fn main_with(services: crate::service::Services) -> i32 {
    services.install();
    main()
}

/// Parses the command line of this process and does what it asks; gives the exit code.
pub fn main() -> i32 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = match error.use_stderr() {
                true => backroom_reports::exit::USAGE,
                false => backroom_reports::exit::OK,
            };
            // A closed pipe is no reason to fail: whoever asked has gone.
            let _ = error.print();
            return code;
        }
    };
    let terminal = Terminal::new(cli.color);
    match cli.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    match cli.verb {
        Verb::Run(args) => run::run(&args, terminal),
        Verb::Report(args) => report::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Load(args) => load::run(&args, terminal),
        Verb::Sink(args) => sink::run(&args, terminal),
        Verb::Merge(args) => merge::run(&args, terminal),
        Verb::Sweep(args) => sweep::run(&args, terminal),
        Verb::Repro(args) => repro::run(&args, terminal),
        Verb::Fuzz(args) => fuzz::run(&args, terminal),
        Verb::Shrink(args) => shrink::run(&args, terminal),
        Verb::Diff(args) => diff::run(&args),
        Verb::Init(args) => init::run(&args),
        Verb::Watch(args) => watch::run(&args),
        Verb::Trace(args) => trace::run(&args),
        Verb::List(args) => list::run(&args),
        Verb::Completions(args) => shell::completions(&args),
        Verb::Man(args) => shell::man(&args),
        Verb::Check(args) => check::run(&args).into(),
        Verb::Fmt(args) => fmt::run(&args),
        Verb::Explain(args) => explain::run(&args).into(),
        Verb::Schema(args) => schema::run(&args).into(),
        Verb::Worker(args) => worker::run(&args),
    }
}

/// The exit code of a verb. Why it stopped is told, unless whoever found it has told it already and left it empty.
fn code(ended: Result<i32, Wrong>) -> i32 {
    ended.unwrap_or_else(|(why, code)| {
        if !why.is_empty() {
            eprintln!("error: {why}");
        }
        code
    })
}

/// The part that `--shard` asks for; `auto` is what the variables of a CI engine say.
fn shard(asked: Option<&str>) -> Result<Option<Shard>, Wrong> {
    let parsed = asked.map(|text| Shard::parse(text, &|name| std::env::var(name).ok()));
    parsed
        .transpose()
        .map_err(|why| (format!("--shard {why}"), exit::USAGE))
}
