//! What tests with other languages share: where their packages go, and whether they are wanted and can run.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Where packages are installed; kept from run to run.
pub fn place(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A file or folder beside the tests.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// Why there is nothing to run; an installation that fails where it was asked for is a failure.
pub fn wanted(program: &str) -> Result<(), String> {
    wanted_by(program, "--version")
}

/// The same of a program that tells its version by another word.
pub fn wanted_by(program: &str, version: &str) -> Result<(), String> {
    if std::env::var_os("BACKROOM_INTEROP").is_none_or(|value| value != "1") {
        return Err("BACKROOM_INTEROP=1 is not set".to_owned());
    }
    match Command::new(program).arg(version).output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(format!("{program} is not installed")),
    }
}

/// Runs a command that must end well.
pub fn run(command: &mut Command) {
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?} ended with {status}");
}
