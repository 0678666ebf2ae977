//! Signals, failing early, seeds that hang, disks that are full.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use super::*;

/// Sends a signal to a run once its first seed has ended, and gives the rest.
fn signalled(signal: &str, runs: &Path) -> (i32, String, String) {
    let mut child = command(&[
        "run",
        QUICK,
        "--seeds",
        "1..=2000",
        "--jobs",
        "1",
        "--progress",
        "plain",
        "--runs",
        str(runs),
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("it starts");
    let mut err = BufReader::new(child.stderr.take().expect("asked for"));
    let mut first = String::new();
    err.read_line(&mut first).expect("a line");
    assert!(first.starts_with("seed 1: "), "{first}");
    send(&child, signal);
    if signal == "USR1" {
        let mut line = String::new();
        while !line.starts_with("running: quick, seed ") {
            line.clear();
            assert!(
                err.read_line(&mut line).expect("a line") > 0,
                "it did not answer"
            );
            // Between two seeds that is the true answer.
            if line.starts_with("nothing is running") {
                send(&child, signal);
            }
        }
        send(&child, "TERM");
    }
    let rest = std::thread::scope(|scope| {
        let rest = scope.spawn(move || std::io::read_to_string(err).expect("text"));
        rest.join().expect("read")
    });
    let out = child.wait_with_output().expect("it ends");
    let code = out.status.code().expect("it ended by itself");
    (code, text(&out.stdout), rest)
}

#[test]
fn ctrl_c_writes_what_is_there() {
    let runs = tempfile::tempdir().expect("a folder");
    let (code, out, err) = signalled("INT", runs.path());
    assert_eq!(code, 130, "{out}{err}");
    assert!(err.contains("interrupted: "), "{err}");
    assert!(out.contains("of 2000 seeds"), "{out}");
    assert!(out.contains("INTERRUPTED"), "{out}");
    let summary = std::fs::read_to_string(latest(runs.path(), "quick").join("summary.json"));
    let summary: serde_json::Value = serde_json::from_str(&summary.expect("kept")).expect("JSON");
    assert_eq!(summary["seeds_planned"], 2000);
    assert_eq!(summary["exit_code"], 130);
    let seeds = summary["seeds"].as_array().expect("a list").len();
    assert!((1..2000).contains(&seeds), "{seeds}");
}

#[test]
fn a_signal_asks_what_is_running() {
    let runs = tempfile::tempdir().expect("a folder");
    let (code, out, err) = signalled("USR1", runs.path());
    assert_eq!(code, 130, "SIGTERM ends it like Ctrl-C: {out}{err}");
}

#[test]
fn failing_early_leaves_the_rest_and_says_so() {
    let args = [
        "run",
        QUICK,
        "--set",
        "expect.orders.that=count(order.lost) == 5",
        "--jobs",
        "1",
        "--no-save",
    ];
    let (code, out, err) = told(&[&args[..], &["--fail-fast"]].concat());
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("1 of 4 seeds"), "{out}");
    assert!(out.contains("stopped after 1 failing seeds"), "{out}");
    let (code, out, err) = told(&[&args[..], &["--max-failures", "2"]].concat());
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("2 of 4 seeds"), "{out}");
    let (code, out, _) = told(&["run", QUICK, "--seeds", "1,2", "--fail-fast", "--no-save"]);
    assert_eq!(code, 0, "what holds is run to the end: {out}");
}

#[test]
fn a_seed_that_takes_too_long_is_stopped_and_told() {
    let (code, out, err) = told(&[
        "run",
        QUICK,
        "--seed",
        "1",
        "--set",
        "duration=20d",
        "--timeout-per-seed",
        "300ms",
        "--no-save",
    ]);
    assert_eq!(code, 70, "{out}{err}");
    assert!(
        out.contains("✗ seed 1 timed out: stopped after 300ms"),
        "{out}"
    );
    assert!(out.contains("reproduce: backroom run"), "{out}");
    // The file may say it too; the command line has the last word.
    let args = ["run", QUICK, "--seed", "1", "--no-save", "--set"];
    let long = ["duration=20d", "--set", "limits.wall_time=250ms"];
    let (code, out, err) = told(&[&args[..], &long].concat());
    assert_eq!(code, 70, "{out}{err}");
    let why = "✗ seed 1 timed out: stopped after 250ms of wall-clock time (`limits.wall_time`;";
    assert!(out.contains(why), "{out}");
    let short = ["limits.wall_time=0s", "--timeout-per-seed", "10m"];
    let (code, out, err) = told(&[&args[..], &short].concat());
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) = told(&[&args[..], &["limits.wall_time=soon"]].concat());
    assert_eq!(code, 65, "{err}");
    let runs = tempfile::tempdir().expect("a folder");
    let args = ["run", QUICK, "--seeds", "1,2", "--set", "duration=20d"];
    let more = ["--timeout-per-seed", "100ms", "--runs", str(runs.path())];
    let (code, out, err) = told(&[&args[..], &more].concat());
    assert_eq!(code, 70, "{out}{err}");
    let note = "note: quick: nothing is kept of seed 1, which timed out; seed 2, which timed out";
    assert!(err.contains(note), "{err}");
    let (code, _, err) = told(&["run", QUICK, "--timeout-per-seed", "90"]);
    assert_eq!(code, 64, "{err}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_seed_that_holds_too_much_memory_is_stopped_and_told() {
    let args = ["run", QUICK, "--seed", "1", "--no-save", "--set"];
    let small = ["duration=20d", "--set", "limits.memory=1MiB"];
    let (code, out, err) = told(&[&args[..], &small].concat());
    assert_eq!(code, 70, "{out}{err}");
    let why = "✗ seed 1 ran out of memory: stopped beyond 1MiB of memory (`limits.memory`)";
    assert!(out.contains(why), "{out}");
    let (code, out, err) = told(&[&args[..], &["limits.memory=4GiB"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) = told(&[&args[..], &["limits.memory=much"]].concat());
    assert_eq!(code, 65, "{err}");
}

#[test]
fn what_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("runs");
    std::fs::write(&file, "no folder").expect("written");
    let (code, _, err) = told(&["run", QUICK, "--seed", "1", "--runs", str(&file)]);
    assert_eq!(code, 73, "{err}");
    assert!(err.contains("error: write "), "{err}");
}
