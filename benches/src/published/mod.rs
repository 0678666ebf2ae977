//! Published reports: pages for capacity planners in `reports/published`, written by one program and never by hand.
//!
//! - [`recovery`]: recovery time and buffer size for three kinds of store. Simulated, so exact: the same on every machine.
//! - [`engine`]: what the simulator costs, and classic turmoil beside it. Processor time of this machine.
//! - [`peers`]: the collector beside others, from the rounds that the `peers` example has measured.
//!
//! `cargo run --release -p backroom-benches --example publish -- recovery` writes one of them. Each says how it was made, on what, and what it
//! does not tell.

pub mod engine;
pub mod peers;
pub mod recovery;

use std::{fmt::Write as _, path::Path, process::Command};

/// What kind of figures a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Virtual time: exact, and the same on every machine.
    Simulated,
    /// Time of the machine that is named, under the load that it had.
    Measured,
}

/// Where and how a page was made.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The command that makes it again.
    pub command: String,
    /// Commit, with a mark where files were changed; `unknown` outside of a repository.
    pub commit: String,
    /// Processor, how many, operating system.
    pub machine: String,
    /// Whether the program was built with optimisations.
    pub optimised: bool,
}

impl Stamp {
    /// Of this program, run with these arguments after `--`, in this repository.
    pub fn here(arguments: &str) -> Self {
        let git = |args: &[&str]| {
            let out = Command::new("git").args(args).output().ok()?;
            let text = String::from_utf8(out.stdout).ok()?;
            out.status.success().then(|| text.trim().to_owned())
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"]);
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
        let mark = match changed.as_deref() {
            Some("") | None => "",
            Some(_) => ", with changes that are not committed",
        };
        let release = if cfg!(debug_assertions) {
            ""
        } else {
            "--release "
        };
        Self {
            command: format!(
                "cargo run {release}-p backroom-benches --example publish -- {arguments}"
            ),
            commit: commit.map_or("unknown".into(), |commit| commit + mark),
            machine: machine(),
            optimised: !cfg!(debug_assertions),
        }
    }
}

/// The kind of processor and how many, from Linux's list; the platform alone elsewhere.
fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": "));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let platform = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    match model {
        Some((_, model)) => format!("{count} x {}, {platform}", model.trim()),
        None => format!("{count} processors, {platform}"),
    }
}

/// A page: what it answers, how it was made, its tables, what it does not tell.
pub fn page(title: &str, kind: Kind, stamp: &Stamp, body: &str, limits: &[&str]) -> String {
    let mut out = format!("# {title}\n\n");
    let figures = match kind {
        Kind::Simulated => "simulated: exact, and the same on every machine",
        Kind::Measured => {
            "measured on this machine, under the load that it had: compare rows, not machines"
        }
    };
    let _ = write!(
        out,
        "| | |\n|---|---|\n| made by | `{}` |\n| commit | {} |\n| machine | {} |\n| figures | {figures} |\n\n",
        stamp.command, stamp.commit, stamp.machine
    );
    if !stamp.optimised && kind == Kind::Measured {
        out.push_str("**Built without optimisations: these figures say nothing about speed.**\n\n");
    }
    out.push_str(body.trim_end());
    out.push_str("\n\n## What this does not tell\n\n");
    for limit in limits {
        let _ = writeln!(out, "- {limit}");
    }
    out
}

/// Text of others in a table's cell: no bar, no line break, no markup.
pub fn cell(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut out = String::new();
    for c in plain.chars() {
        if matches!(c, '|' | '<' | '`' | '*' | '_' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Writes a file, and its folder where there is none.
///
/// # Errors
/// What could not be written, and why.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
