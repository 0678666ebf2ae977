//! `backroom` as a CI job meets it: many scenarios, many seeds, several machines, and somebody who stops it.
//!
//! - `many`: several files and folders, what one bad file does;
//! - `start`: what a new user meets: `init`, `list`, completions, manual pages;
//! - `sweeps`: grids, and sweeps that are stopped and resumed;
//! - `stops`: signals, failing early, seeds that hang, disks that are full;
//! - `kept`: what a run leaves behind, for CI servers and for whoever looks closer;
//! - `again`: a seed that is run again, runs that are compared;
//! - `engines`: the files in `deploy/ci`, held to the program;
//! - `files`: `fmt` and `trace import`;
//! - `help`: golden files of help texts;
//! - `damage`: what is half written, of another run, or cannot be written;
//! - `watch`: scenarios that are run again when a file changes;
//! - `shards`: parts that several machines run, and their merge.

#[path = "ci/again.rs"]
mod again;
#[path = "ci/damage.rs"]
mod damage;
#[path = "ci/engines.rs"]
mod engines;
#[path = "ci/files.rs"]
mod files;
#[path = "ci/help.rs"]
mod help;
#[path = "ci/kept.rs"]
mod kept;
#[path = "ci/many.rs"]
mod many;
#[path = "ci/shards.rs"]
mod shards;
#[path = "ci/start.rs"]
mod start;
#[path = "ci/stops.rs"]
mod stops;
#[path = "ci/sweeps.rs"]
mod sweeps;
#[path = "ci/watch.rs"]
mod watch;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output},
};

const QUICK: &str = "sim/tests/fixtures/quick.toml";

fn root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir
        .parent()
        .expect("it lies in the workspace")
        .to_owned()
}

/// The variables of CI engines: a test must not see those of the engine that runs it.
const ENGINE_VARIABLES: [&str; 11] = [
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "JOB_COMPLETION_INDEX",
    "JOB_COMPLETION_COUNT",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_MIN",
    "STRATEGY_JOB_INDEX",
    "STRATEGY_JOB_TOTAL",
    "CI_NODE_INDEX",
    "CI_NODE_TOTAL",
];

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom"));
    with_a_plain_environment(command.args(args));
    command
}

fn with_a_plain_environment(command: &mut Command) -> &mut Command {
    command.current_dir(root()).env("NO_COLOR", "1");
    for name in ENGINE_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// The same on a disk where no file takes more than so many blocks of 1,024 bytes.
fn on_a_small_disk(blocks: u64, args: &[&str]) -> Output {
    // The signal of a file that grows beyond its limit is ignored, so that the write fails, as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut bash = Command::new("bash");
    bash.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_backroom")]);
    with_a_plain_environment(bash.args(args))
        .output()
        .expect("bash is there")
}

/// Sends a signal by its name, such as `INT`.
fn send(child: &Child, signal: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status();
    assert!(sent.expect("kill is there").success());
}

fn backroom(args: &[&str]) -> Output {
    command(args).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code, standard output, standard error.
fn told(args: &[&str]) -> (i32, String, String) {
    let out = backroom(args);
    let code = out.status.code().expect("it was not killed");
    (code, text(&out.stdout), text(&out.stderr))
}

fn str(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// The newest run of a scenario below a folder.
fn latest(runs: &Path, scenario: &str) -> PathBuf {
    let link = runs.join(scenario).join("latest");
    std::fs::canonicalize(&link).unwrap_or_else(|e| panic!("{}: {e}", link.display()))
}
