//! `backroom fuzz` and `backroom shrink`, as a CI job meets them.
//!
//! - planted bugs are found, and shrunk to two faults at most;
//! - what is shrunk stands alone, and fails under `run` as it did;
//! - a case comes from scenario, seed and number: shards, processes and `--case` agree;
//! - what is wrong, or stopped, is told;
//! - what searches have found stays mended: `scenarios/regressions`.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use backroom_reports::fuzz::FuzzResult;
use backroom_sim::{plant::Plant, scenario};

const BASE: &str = "sim/tests/fixtures/search.toml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backroom"));
    command.args(args).current_dir(root()).env("NO_COLOR", "1");
    command
}

/// Exit code, standard output, standard error.
fn told(args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(args).output().expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = status.code().expect("it was not killed");
    (code, text(stdout), text(stderr))
}

fn str(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn fuzz(runs: &Path, args: &[&str]) -> (FuzzResult, PathBuf) {
    fuzz_where(runs, args, &[])
}

/// With these variables, as an engine sets them.
fn fuzz_where(runs: &Path, args: &[&str], variables: &[(&str, &str)]) -> (FuzzResult, PathBuf) {
    let all = [&["fuzz", BASE, "--json", "--runs", str(runs)], args].concat();
    let out = command(&all).envs(variables.iter().copied()).output();
    let out = out.expect("it starts");
    let code = out.status.code().expect("it was not killed");
    let (out, err) = (
        String::from_utf8_lossy(&out.stdout).into_owned(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    );
    let result: FuzzResult =
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    assert_eq!(code, result.exit_code, "{err}");
    let latest = std::fs::canonicalize(runs.join("search.fuzz/latest")).expect("kept");
    (result, latest)
}

/// A file's scenario.
fn load(path: &str) -> scenario::Scenario {
    scenario::load(&root().join(path), &[])
        .unwrap_or_else(|report| panic!("{report}"))
        .scenario
}

/// Finds a planted bug, in the cases of a seed that meet it early, and shrinks it in few runs.
fn check(plant: Plant, seed: &str, runs: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let args = [
        "--plant",
        plant.name(),
        "--seed",
        seed,
        "--cases",
        "12",
        "--fail-fast",
        "--shrink-runs",
        runs,
    ];
    let (result, _) = fuzz(folder.path(), &args);
    assert_eq!(result.exit_code, 3, "{}: {result:?}", plant.name());
    let found = &result.found[0];
    let scenario = load(found.file.as_deref().expect("a file"));
    let faults: Vec<&str> = scenario.faults.iter().map(|f| f.id.as_str()).collect();
    assert!(faults.len() <= 2, "{}: {faults:?}", plant.name());
}

#[test]
fn an_outbox_that_forgets_is_found_and_shrunk_to_two_faults_at_most() {
    check(Plant::OutboxForgets, "2", "16");
}

#[test]
fn a_broker_that_acknowledges_early_is_found_and_shrunk_to_two_faults_at_most() {
    check(Plant::BrokerAcksEarly, "2", "16");
}

#[test]
fn a_collector_that_drops_silently_is_found_and_shrunk_to_two_faults_at_most() {
    check(Plant::CollectorDropsSilently, "1", "8");
}

/// What no bug is planted in holds: otherwise the test above would find something else.
#[test]
fn without_a_planted_bug_the_same_cases_hold() {
    let runs = tempfile::tempdir().expect("a folder");
    let (result, folder) = fuzz(
        runs.path(),
        &["--cases", "6", "--seed", "2", "--shrink-runs", "0"],
    );
    assert_eq!(result.exit_code, 0, "{:?}", result.found);
    assert_eq!((result.cases, result.found.len()), (6, 0));
    let log = std::fs::read_to_string(folder.join("cases.ndjson")).expect("kept");
    assert_eq!(log.lines().count(), 7, "what was searched, and its cases");
}

/// A case by itself, on more processes, or as one of a shard, is the same run; and what shards ran is put together as if nobody had shared.
#[test]
fn a_case_is_the_same_wherever_it_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    let fails = [
        "--expect",
        "--set",
        "expect.orders.that=count(order.lost) == 5",
        "--shrink-runs",
        "1",
    ];
    let run = |name: &str, args: &[&str], variables: &[(&str, &str)]| -> (FuzzResult, String) {
        let args = [args, &["--seed", "3"], &fails].concat();
        let (result, kept) = fuzz_where(&place(name), &args, variables);
        let log = std::fs::read_to_string(kept.join("cases.ndjson")).expect("kept");
        (result, log)
    };
    let (whole, all) = run("whole", &["--cases", "6", "--jobs", "2"], &[]);
    assert_eq!(all.lines().count(), 7);
    assert!(whole.cases_failed > 0, "{whole:?}");
    let part = ["--cases", "6", "--shard", "auto", "--jobs", "1"];
    let pod = |index| {
        [
            ("JOB_COMPLETION_INDEX", index),
            ("JOB_COMPLETION_COUNT", "2"),
        ]
    };
    let (first, _) = run("a/runs", &part, &pod("0"));
    assert!((1..6).contains(&first.cases), "{first:?}");
    run("b/runs", &part, &pod("1"));
    let (_, one) = run("one", &["--case", "4"], &[]);
    assert_eq!(one.lines().nth(1), all.lines().nth(4));

    let set = fails[1..3].to_vec();
    let merge = |runs: &str, parts: &[&Path]| {
        let runs = place(runs);
        let mut args = vec!["fuzz", BASE, "--json", "--runs", str(&runs), "--merge"];
        args.extend(parts.iter().map(|part| str(part)));
        told(&[&args[..], &set].concat())
    };
    let (a, b) = (place("a"), place("b"));
    let (code, out, err) = merge("merged", &[&b, &a]);
    assert_eq!(code, whole.exit_code, "{out}{err}");
    let kept = std::fs::canonicalize(place("merged").join("search.fuzz/latest")).expect("kept");
    let log = std::fs::read_to_string(kept.join("cases.ndjson")).expect("kept");
    assert_eq!(log, all, "byte for byte");
    let merged: FuzzResult = serde_json::from_str(&out).expect("JSON");
    let counted = |r: &FuzzResult| -> Vec<(String, u64, u64)> {
        let found = r.found.iter();
        found.map(|f| (f.check.clone(), f.case, f.cases)).collect()
    };
    assert_eq!(counted(&merged), counted(&whole));
    assert_eq!((merged.cases, merged.stopped.as_str()), (6, ""));
    for found in &merged.found {
        let file = root().join(found.file.as_deref().expect("a file"));
        assert!(file.starts_with(&kept) && file.is_file(), "{found:?}");
    }

    let refused = |parts: &[&Path], code: i32, part: &str| {
        let (got, out, err) = merge("refused", parts);
        assert_eq!(got, code, "{out}{err}");
        assert!(err.contains(part) || out.contains(part), "{out}{err}");
    };
    refused(&[&a, &a], 65, "they overlap; name each part once");
    refused(
        &[&a, &place("one")],
        65,
        "is of another search: its --cases is",
    );
    refused(&[&place("none")], 66, "none");
    // A part that is missing is told; what is there is shown.
    refused(&[&a], merged.exit_code, "parts are missing");
    let log = std::fs::canonicalize(b.join("runs/search.fuzz/latest/cases.ndjson")).expect("kept");
    let text = std::fs::read_to_string(&log).expect("kept");
    std::fs::write(&log, &text[..text.len() - 20]).expect("written");
    refused(&[&a, &b], merged.exit_code, "is half written, and left out");
    let newer = text.replacen("\"tool_version\":\"", "\"tool_version\":\"9", 1);
    std::fs::write(&log, newer).expect("written");
    refused(&[&a, &b], 65, "its version of backroom is `9");
    std::fs::write(&log, text.replacen("{\"case\"", "{\"cast\"", 1)).expect("written");
    refused(&[&a, &b], 65, "line 2");
    std::fs::write(&log, b"\x00\xff\n").expect("written");
    refused(&[&a, &b], 65, "line 1");
}

/// Runs a file and gives its exit code and which expectations failed.
fn run(file: &Path) -> (i32, Vec<String>) {
    let (code, out, err) = told(&["run", str(file), "--no-save", "--json"]);
    let result: backroom_reports::RunResult =
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let failed = result.expectations.into_iter();
    let failed = failed.filter(|e| e.verdict == backroom_reports::Verdict::Fail);
    (code, failed.map(|e| e.id).collect())
}

#[test]
fn a_failing_seed_becomes_a_small_file_that_stands_alone_and_fails_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs");
    let (code, out, err) = told(&[
        "run",
        BASE,
        "--seeds",
        "1,2",
        "--events",
        "none",
        "--runs",
        str(&runs),
    ]);
    assert_eq!(code, 1, "{out}{err}");
    let kept = std::fs::canonicalize(runs.join("search/latest")).expect("kept");

    // Of a kept run, into its folder.
    let target = format!("{}:2", str(&kept));
    let (code, out, err) = told(&["shrink", &target, "--shrink-runs", "30"]);
    assert_eq!(code, 0, "{err}");
    let file = kept.join("shrunk/search-lte-is-spared-2.toml");
    assert!(err.contains(str(&file)), "{err}");
    assert_eq!(std::fs::read_to_string(&file).expect("written"), out);
    assert!(!out.contains("use ="), "templates are written out: {out}");
    assert!(
        out.starts_with("# lte-is-spared fails: sum(link.lte.bytes) == 0B"),
        "{out}"
    );
    let (code, _, err) = told(&["check", str(&file)]);
    assert_eq!(code, 0, "{err}");
    let (code, diff, err) = told(&["fmt", "--check", str(&file)]);
    assert_eq!(code, 0, "as `fmt` writes it: {diff}{err}");
    assert_eq!(run(&file), (1, vec!["lte-is-spared".to_owned()]));
    let small = load(str(&file));
    assert_eq!((small.seeds, small.faults.len()), (vec![2], 1), "{out}");
    assert!(small.nodes.len() < 5, "fewer machines: {out}");

    // Of a scenario, to a place that was asked for.
    let regressions = folder.path().join("regressions");
    let args = [
        "shrink",
        BASE,
        "--seed",
        "2",
        "--shrink-runs",
        "30",
        "--jobs",
        "1",
        "--out",
        str(&regressions),
    ];
    let (code, again, err) = told(&args);
    assert_eq!(code, 0, "{err}");
    assert!(again.contains("= \"lte-is-spared\"\n"), "{again}");
    assert!(regressions.join("search-lte-is-spared.toml").is_file());
}

#[test]
fn what_cannot_be_searched_or_shrunk_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let no_folder = folder.path().join("file");
    std::fs::write(&no_folder, "no folder").expect("written");
    let half = folder.path().join("half");
    std::fs::create_dir(&half).expect("made");
    std::fs::write(half.join("outcomes.ndjson"), "{\"run\": {\"vers").expect("written");
    let garbage = folder.path().join("garbage.toml");
    std::fs::write(&garbage, b"\xff\xfe = [").expect("written");
    let check = |args: &[&str], code: i32, part: &str| {
        let (found, out, err) = told(args);
        assert_eq!(found, code, "{args:?}: {out}{err}");
        assert!(err.contains(part), "{args:?}: {err}");
    };
    check(&["fuzz", "no/such.toml"], 66, "no/such.toml");
    check(&["fuzz", str(&garbage)], 66, "garbage.toml");
    check(
        &["fuzz", BASE, "--shard", "3/2"],
        64,
        "there are only 2 shards",
    );
    check(&["fuzz", BASE, "--cases", "0"], 64, "--cases");
    check(
        &["fuzz", BASE, "--case", "1", "--cases", "2"],
        64,
        "cannot be used with",
    );
    check(&["fuzz", BASE, "--set", "fault.cut.fro=1s"], 65, "fro");
    check(&["fuzz", BASE, "--plant", "nothing"], 64, "nothing");
    check(&["fuzz", BASE, "--runs", str(&no_folder)], 73, "write ");
    let runs = folder.path().join("runs");
    let found = no_folder.join("found.toml");
    let fails = [
        "fuzz",
        BASE,
        "--expect",
        "--set",
        "expect.orders.that=count(order.lost) == 5",
        "--case",
        "1",
        "--shrink-runs",
        "0",
        "--runs",
        str(&runs),
        "--out",
        str(&found),
    ];
    check(&fails, 73, "error: write ");
    check(
        &["fuzz", BASE, "--merge", str(&half), "--cases", "2"],
        64,
        "cannot be used with",
    );
    check(
        &["fuzz", BASE, "--merge", str(&half)],
        66,
        "holds no search",
    );
    check(
        &["fuzz", "sim/tests/fixtures/small-store.toml"],
        65,
        "is a template",
    );
    check(&["shrink", "no/such.toml"], 66, "no/such.toml");
    check(&["shrink", str(&half)], 65, "outcomes.ndjson");
    check(&["shrink", str(&folder.path().join("none"))], 66, "none");
    check(
        &["shrink", BASE, "--seed", "1", "--check", "DELIVERY-1"],
        64,
        "DELIVERY-1 does not fail; this does: lte-is-spared",
    );
    check(
        &[
            "shrink",
            BASE,
            "--set",
            "expect.lte-is-spared.that=count(order.lost) == 0",
        ],
        64,
        "nothing fails that one seed can decide",
    );
}

/// SIGUSR1 names the case that runs; Ctrl-C keeps and tells what is there.
#[test]
fn a_search_that_is_interrupted_tells_what_it_has() {
    let runs = tempfile::tempdir().expect("a folder");
    let mut child = command(&[
        "fuzz",
        BASE,
        "--cases",
        "5000",
        "--jobs",
        "1",
        "--progress",
        "plain",
        "--runs",
        str(runs.path()),
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("it starts");
    let mut err = BufReader::new(child.stderr.take().expect("asked for"));
    let mut line = String::new();
    err.read_line(&mut line).expect("a line");
    assert!(line.starts_with("case 1 (seed "), "{line}");
    let id = child.id().to_string();
    let send = |signal: &str| {
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill is there").success());
    };
    send("USR1");
    while !line.starts_with("running: ") {
        line.clear();
        assert!(err.read_line(&mut line).expect("a line") > 0, "no answer");
        // Between two cases that is the true answer.
        if line.starts_with("nothing is running") {
            send("USR1");
        }
    }
    assert!(line.starts_with("running: search, case "), "{line}");
    assert!(line.contains(", seed "), "{line}");
    send("INT");
    let rest = std::io::read_to_string(err).expect("text");
    let out = child.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(130), "{shown}{rest}");
    assert!(shown.contains("INTERRUPTED"), "{shown}");
    assert!(shown.contains("of 5000 cases were run"), "{shown}");
    assert!(runs.path().join("search.fuzz/latest/fuzz.json").is_file());
}

#[test]
fn a_budget_ends_a_search() {
    let runs = tempfile::tempdir().expect("a folder");
    let (result, _) = fuzz(
        runs.path(),
        &["--budget", "1s", "--cases", "5000", "--shrink-runs", "0"],
    );
    assert_eq!(result.stopped, "the budget is spent");
    assert!(result.cases < 5000);
}

/// Scenario: a case runs for longer than the whole search may: `bad-day` took twice its budget of three minutes, and told nothing.
/// Guarantees: what runs when the time is over is stopped, and counts neither as run nor as too slow.
#[test]
fn a_budget_ends_a_case_that_takes_longer() {
    let runs = tempfile::tempdir().expect("a folder");
    let args = ["--budget", "1s", "--case", "1", "--set", "duration=300d"];
    let (result, _) = fuzz(runs.path(), &args);
    assert_eq!(result.stopped, "the budget is spent");
    let counted = (result.cases, result.cases_timed_out, result.exit_code);
    // Nothing is known: that is no pass.
    assert_eq!(counted, (0, 0, 2));
}

/// Guarantees: a case that `limits.memory` stops is told as that, and not as one that is slow; so is a seed that is to be shrunk.
#[test]
#[cfg(target_os = "linux")]
fn a_case_that_holds_too_much_memory_is_not_called_slow() {
    let runs = tempfile::tempdir().expect("a folder");
    let small = ["--set", "duration=20d", "--set", "limits.memory=1MiB"];
    let args = ["fuzz", BASE, "--case", "1", "--progress", "plain"];
    let (code, out, err) = told(&[&args[..], &small, &["--runs", str(runs.path())]].concat());
    assert_eq!(code, 2, "nothing is known: {out}{err}");
    assert!(
        err.contains("): stopped beyond 1MiB of memory (`limits.memory`)"),
        "{err}"
    );
    let note = "note: 1 case held more than `limits.memory` allows, and nothing is known of it";
    assert!(out.contains(note) && !out.contains("took longer"), "{out}");
    let end = "INCONCLUSIVE  no case came to its end      exit 2";
    assert!(out.contains(end), "{out}");
    let kept = runs.path().join("search.fuzz/latest");
    let read = |name: &str| std::fs::read_to_string(kept.join(name)).expect("kept");
    let result: FuzzResult = serde_json::from_str(&read("fuzz.json")).expect("JSON");
    assert_eq!((result.cases_timed_out, result.cases_out_of_memory), (0, 1));
    let told_in_log = "\"timed_out\":false,\"out_of_memory\":true";
    assert!(read("cases.ndjson").contains(told_in_log));
    let (code, _, err) = told(&[&["shrink", BASE, "--seed", "3"], &small[..]].concat());
    assert_eq!(code, 64, "{err}");
    let why = "seed 3 was stopped beyond 1MiB of memory (`limits.memory`)";
    assert!(err.contains(why), "{err}");
}

/// Guarantees: a search ends at the failing case that was asked for, however many run at once, and says that it did.
#[test]
fn so_many_failing_cases_end_a_search() {
    let runs = tempfile::tempdir().expect("a folder");
    let fails = [
        "--expect",
        "--set",
        "expect.orders.that=count(order.lost) == 5",
        "--shrink-runs",
        "0",
        "--cases",
        "20",
    ];
    let ended = |more: &[&str]| {
        let (result, kept) = fuzz(runs.path(), &[&fails[..], more].concat());
        let log = std::fs::read_to_string(kept.join("cases.ndjson")).expect("kept");
        assert_eq!(result.cases as usize + 1, log.lines().count());
        (result.cases_failed, result.stopped, log)
    };
    let one = ended(&["--max-failures", "2", "--jobs", "1"]);
    assert_eq!(one.0, 2);
    assert_eq!(one.1, "stopped after 2 failing cases");
    assert_eq!(ended(&["--max-failures", "2", "--jobs", "3"]), one);
    let (failed, stopped, _) = ended(&["--fail-fast"]);
    assert_eq!(
        (failed, stopped.as_str()),
        (1, "stopped after 1 failing case")
    );
}

/// What a search has found, and was mended since, runs without a violation.
#[test]
fn regressions_stay_mended() {
    let folder = root().join("scenarios/regressions");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return;
    };
    for file in files {
        let file = file.expect("it is there").path();
        let (code, out, err) = told(&["run", str(&file), "--no-save", "--inconclusive", "pass"]);
        assert_eq!(code, 0, "{}: {out}{err}", file.display());
    }
}
