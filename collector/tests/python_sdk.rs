//! The stock Python SDK as the client, `opentelemetry-proto` as the receiver: 10,000 spans in while the receiver is down,
//! `kill -9`, a restart, the receiver up, 10,000 out.
//!
//! It installs packages into a virtual environment and so runs only where `BACKROOM_INTEROP=1` is set and Python is there;
//! elsewhere it says that it was skipped.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::{Process, Sink, buffer, env};

const COUNT: u32 = 10_000;

/// The interpreter of a virtual environment with the packages, or why there is none.
fn python() -> Result<PathBuf, String> {
    if std::env::var_os("BACKROOM_INTEROP").is_none_or(|value| value != "1") {
        return Err("BACKROOM_INTEROP=1 is not set".to_owned());
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-venv");
    let python = dir.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    }
    let packages = [
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-proto",
    ];
    let mut install = Command::new(&python);
    run(install
        .args(["-m", "pip", "install", "--quiet"])
        .args(packages))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} ended with {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

#[tokio::test]
async fn ten_thousand_spans_of_the_python_sdk() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env()).await;

    let mut process = Process::start(&dir, &sink.url());
    let url = format!("http://{}", process.address);
    let sent = Command::new(&python)
        .arg(scripts.join("send.py"))
        .args([&url, &COUNT.to_string()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&sent.stderr);
    assert!(sent.status.success(), "{errors}");
    assert_eq!(sent.stdout, b"sent\n", "{errors}");
    process.kill();

    let process = Process::start(&dir, &sink.url());
    assert!(
        process.start_line.contains("10000 items waiting"),
        "{}",
        process.start_line
    );
    let received = Command::new(&python)
        .arg(scripts.join("receive.py"))
        .args([sink.address.port().to_string(), COUNT.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&received.stdout);
    assert_eq!(text, "received 10000 10000\n", "all of them, once each");
    assert!(received.status.success());
}
