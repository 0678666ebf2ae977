//! `backroom run` as users meet it: verdicts, exit codes, diagnostics, reproduction.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate stands in the workspace")
        .to_owned()
}

fn backroom(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backroom"))
        .args(args)
        .current_dir(root())
        .env("NO_COLOR", "1")
        .output()
        .expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A short lunch: 20 minutes with an outage of 4, small enough for a debug build.
fn short(seed: &str, more: &[&str]) -> Output {
    let mut args = vec![
        "run",
        "scenarios/lunch-uplink-cut.toml",
        "--no-save",
        "--set",
        "start=2025-03-14T11:55:00-05:00",
        "--set",
        "warmup=4m",
        "--set",
        "duration=25m",
        "--set",
        "fault.uplink-cut.for=4m",
        "--set",
        "traffic.telemetry.rate=4KB/s",
        "--seed",
        seed,
    ];
    args.extend(more);
    backroom(&args)
}

#[test]
fn a_run_is_json_on_request_and_the_same_every_time() {
    let json = || {
        let out = short("3", &["--json", "--verify", "--strict", "--hash-payloads"]);
        let value: serde_json::Value =
            serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
        value
    };
    let (first, second) = (json(), json());
    assert_eq!(first, second, "no wall clock, no host in the result");
    assert_eq!(first["seeds"], serde_json::json!([3]));
    let hash = first["traces"][0]["hash"].as_str().expect("a hash");
    assert_eq!(hash.len(), 16);
    let invariants = first["invariants"].as_array().expect("a list");
    for invariant in invariants {
        assert_ne!(invariant["verdict"], "fail", "{invariant}");
    }
}

#[test]
fn a_failed_expectation_names_its_line_and_the_command_that_shows_it_again() {
    let out = short(
        "3",
        &[
            "--set",
            "expect.no-order-twice.that=count(order.duplicated) == 5",
        ],
    );
    let screen = text(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{screen}");
    assert!(screen.contains("✗ no-order-twice"), "{screen}");
    assert!(
        screen.contains("--set:1: count(order.duplicated) == 5"),
        "{screen}"
    );
    let line = screen
        .lines()
        .find_map(|l| l.trim().strip_prefix("reproduce: backroom "))
        .expect("the command");
    assert!(line.contains("--seed 3"), "{line}");
    assert!(line.contains("fault.uplink-cut.for=4m"), "{line}");
}

#[test]
fn bad_files_and_bad_words_have_their_codes() {
    let code = |args: &[&str]| backroom(args).status.code();
    assert_eq!(code(&["run", "scenarios/none.toml"]), Some(66));
    assert_eq!(code(&["run"]), Some(64));
    assert_eq!(code(&["ruin"]), Some(64));
    assert_eq!(code(&["--help"]), Some(0));
    let misspelt = backroom(&[
        "run",
        "scenarios/lunch-uplink-cut.toml",
        "--set",
        "fault.uplink-cut.fro=40m",
    ]);
    let errors = text(&misspelt.stderr);
    assert_eq!(misspelt.status.code(), Some(65), "{errors}");
    assert!(errors.contains("error[E0202]"), "{errors}");
    assert!(errors.contains(" --> --set:1:18"), "{errors}");
    assert!(misspelt.stdout.is_empty());
}

#[test]
fn what_is_known_and_not_run_says_so() {
    let out = backroom(&["run", "scenarios/regional-herd.toml"]);
    let errors = text(&out.stderr);
    assert_eq!(out.status.code(), Some(65), "{errors}");
    assert!(errors.contains("has a fleet of stores"), "{errors}");
}

#[test]
fn a_run_is_kept_with_its_lock_file_and_its_manifest() {
    let runs = tempfile::tempdir().expect("a folder");
    let folder = runs.path().to_str().expect("text");
    let out = backroom(&[
        "run",
        "scenarios/lunch-uplink-cut.toml",
        "--seed",
        "1",
        "--runs",
        folder,
        "--set",
        "duration=20m",
        "--set",
        "warmup=5m",
        "--set",
        "start=2025-03-14T11:55:00-05:00",
        "--set",
        "fault.uplink-cut.for=2m",
        "--set",
        "traffic.telemetry.rate=2KB/s",
    ]);
    let latest = runs.path().join("lunch-uplink-cut/latest");
    for name in ["manifest.json", "scenario.lock.toml", "summary.json"] {
        let kept = std::fs::read_to_string(latest.join(name));
        let kept = kept.unwrap_or_else(|e| panic!("{name}: {e}; {out:?}"));
        assert!(!kept.is_empty(), "{name}");
    }
    let manifest = std::fs::read_to_string(latest.join("manifest.json")).expect("read above");
    assert!(
        manifest.contains("qsr-18.toml"),
        "inputs are named: {manifest}"
    );
}
