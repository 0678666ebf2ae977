//! Trace hashes of three shipped scenarios, in short forms: a change of what a store does shows in review.
//!
//! A hash covers every packet's time and header and every recorded event. It is the same in debug and release builds. Whoever
//! changes a machine, a line, the collector or a fault changes hashes, and says so in the commit:
//! `BLESS_TRACES=1 cargo test -p backroom-sim --test golden` writes them anew. On x86-64 with glibc only: other mathematical
//! libraries round a logarithm differently.
#![cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]

use std::{path::Path, process::Command};

/// Name in the golden file, and arguments of `backroom run`.
const RUNS: [(&str, &[&str]); 3] = [
    (
        "lunch-uplink-cut, 14 min with 2 min of outage",
        &[
            "scenarios/lunch-uplink-cut.toml",
            "--seed=3",
            "--set=start=2025-03-14T11:55:00-05:00",
            "--set=warmup=4m",
            "--set=duration=14m",
            "--set=fault.uplink-cut.for=2m",
            "--set=traffic.telemetry.rate=4KB/s",
        ],
    ),
    (
        "recorded-line, 6 min",
        &[
            "scenarios/recorded-line.toml",
            "--seed=1",
            "--set=duration=6m",
            "--set=warmup=1m",
            "--set=traffic.telemetry.rate=2KB/s",
        ],
    ),
    (
        "two-weeks-dark, 3 h with 1 h of outage",
        &[
            "scenarios/two-weeks-dark.toml",
            "--seed=1",
            "--set=start=2025-03-03T11:30:00-06:00",
            "--set=warmup=10m",
            "--set=duration=3h",
            "--set=fault.dark.for=1h",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

/// The trace of one seed.
fn trace(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_backroom"))
        .arg("run")
        .args(args)
        .args(["--json", "--no-save"])
        .current_dir(root())
        .output()
        .expect("it starts");
    let result: serde_json::Value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    let hash = result["traces"][0]["hash"].as_str();
    hash.expect("a hash").to_owned()
}

#[test]
fn traces_are_what_they_were() {
    let lines = RUNS.map(|(name, args)| format!("{}  {name}\n", trace(args)));
    let found = lines.concat();
    let file = root().join("sim/tests/fixtures/traces.txt");
    if std::env::var_os("BLESS_TRACES").is_some() {
        std::fs::write(&file, &found).expect("written");
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        golden == found,
        "traces have changed.\nThey were:\n{golden}They are:\n{found}If that is meant, run it again with BLESS_TRACES=1, and say in the commit why"
    );
}
