//! `backroom-collector buffer` as a process of its own, beside a collector in this one.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use backroom_collector::env::{Env as _, OsEnv};

/// A verb of `buffer` on the buffer in `dir`.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    command
        .arg("buffer")
        .args(args)
        .arg("--buffer-dir")
        .arg(dir)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// Runs a tool beside whatever this runtime is doing.
pub async fn tool(env: &OsEnv, dir: &Path, args: &[&str]) -> Output {
    let mut command = command(dir, args);
    env.compute(move || command.output().expect("the binary starts"))
        .await
}

/// What a tool printed that went well.
#[track_caller]
pub fn done(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{told}");
    text
}

/// The JSON that a tool printed that went well.
pub async fn told(env: &OsEnv, dir: &Path, args: &[&str]) -> serde_json::Value {
    let text = done(&tool(env, dir, args).await);
    serde_json::from_str(&text).unwrap()
}
