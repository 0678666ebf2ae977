//! A seed that is run again, runs that are compared.

use super::*;

#[test]
fn a_kept_seed_is_run_again_exactly_whatever_became_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = root().join("sim/tests/fixtures");
    let original = std::fs::read_to_string(fixtures.join("quick.toml")).expect("the fixture");
    let template = fixtures.join("small-store.toml");
    let file = folder.path().join("quick.toml");
    std::fs::write(&file, original.replace("small-store.toml", str(&template))).expect("written");
    let runs = folder.path().join("runs");
    let (code, out, err) = told(&["run", str(&file), "--seeds", "2,3", "--runs", str(&runs)]);
    assert_eq!(code, 0, "{out}{err}");
    std::fs::write(&file, "edited since").expect("written");

    let run = format!("{}:3", str(&latest(&runs, "quick")));
    let (code, out, err) = told(&["repro", &run]);
    assert!(matches!(code, 0 | 2), "{out}{err}");
    assert!(out.contains("the trace is that of the run"), "{out}{err}");
    assert!(
        err.contains("quick.toml has changed since the run"),
        "{err}"
    );

    let trace = |args: &[&str]| {
        let (_, out, err) = told(&[&["repro", &run, "--trace"], args].concat());
        let lines = out
            .lines()
            .filter(|l| l.starts_with("12:0") && l.contains('.'));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        assert!(!lines.is_empty(), "{args:?}: {err}");
        lines
    };
    let all = trace(&[]);
    let placed = all
        .iter()
        .find_map(|l| l.split_once("order_placed")?.1.split_once("order="));
    let order = placed.expect("an order").1;
    let one = trace(&["--order", order]);
    assert!(
        one.len() < all.len() && one.iter().all(|l| l.contains(order)),
        "{one:?}"
    );
    let pos = trace(&["--machine", "pos"]);
    assert!(pos.iter().all(|l| l.contains("=pos-")), "{pos:?}");
    let minute = trace(&["--between", "12:00:30", "+40s"]);
    assert!(
        minute
            .iter()
            .all(|l| l.starts_with("12:00:3") || l.starts_with("12:00:40")),
        "{minute:?}"
    );

    let (code, _, err) = told(&["repro", &run, "--trace", "--between", "25:00", "12:00"]);
    assert_eq!(code, 64, "{err}");
    // Another program wrote the run: it is told, and a difference is no accusation.
    let log = latest(&runs, "quick").join("outcomes.ndjson");
    let old = std::fs::read_to_string(&log).expect("kept");
    let version = env!("CARGO_PKG_VERSION");
    std::fs::write(&log, old.replace(version, "0.0.1")).expect("written");
    let (code, _, err) = told(&["repro", &run]);
    assert!(matches!(code, 0 | 2), "{err}");
    assert!(err.contains("made by backroom 0.0.1, this is"), "{err}");
    let (code, _, err) = told(&["repro", "no/run:1"]);
    assert_eq!(code, 66, "{err}");
}

/// Regression: the lock file names a recording as it is seen from where the run stood, and was read as if it were seen from the run's
/// folder.
#[test]
fn a_kept_seed_finds_its_recording_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = str(folder.path());
    let short = [
        "run",
        "scenarios/recorded-line.toml",
        "--seed=1",
        "--set=duration=20s",
        "--set=warmup=1s",
        "--set=traffic.telemetry.rate=2KB/s",
        "--events=none",
        "--inconclusive=pass",
        "--runs",
        runs,
    ];
    let (code, out, err) = told(&short);
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = told(&["repro", str(&latest(folder.path(), "recorded-line"))]);
    assert!(matches!(code, 0 | 2), "{out}{err}");
    assert!(out.contains("the trace is that of the run"), "{out}{err}");
}

#[test]
fn a_regression_against_a_baseline_exits_with_four() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, new) = (folder.path().join("base"), folder.path().join("new"));
    let run = |runs: &Path, more: &[&str]| {
        let args = [
            "run",
            QUICK,
            "--seeds",
            "1,2",
            "--events",
            "none",
            "--runs",
            str(runs),
        ];
        told(&[&args[..], more].concat())
    };
    run(&base, &[]);
    run(
        &new,
        &["--set", "expect.orders.that=count(order.lost) == 5"],
    );
    let baseline = folder.path().join("baseline");
    let (code, out, err) = told(&["diff", str(&baseline), str(&base), "--accept"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(baseline.join("quick.json").is_file());
    let gate = |new: &Path| told(&["diff", str(&baseline), str(new), "--fail-on", "regression"]);
    let (code, out, err) = gate(&base);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("quick: no difference"), "{out}");
    let (code, out, err) = gate(&new);
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("✗ orders"), "{out}");
    assert!(out.contains("holds → fails"), "{out}");
    let (code, out, _) = told(&["diff", str(&baseline), str(&new)]);
    assert_eq!(code, 0, "a look is no gate: {out}");

    // Processor time is compared between runs of one machine, and told as not compared between others.
    let (_, out, _) = told(&["diff", str(&base), str(&new)]);
    assert!(
        out.contains("wall clock") && !out.contains("other machines"),
        "{out}"
    );
    let manifest = latest(&new, "quick").join("manifest.json");
    let text = std::fs::read_to_string(&manifest).expect("kept");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["machine"] = "Another(R) Processor, 96 processors".into();
    std::fs::write(&manifest, json.to_string()).expect("written");
    let (code, out, _) = told(&["diff", str(&base), str(&new)]);
    assert_eq!(code, 0);
    assert!(
        out.contains("wall clock") && out.contains("not compared: other machines"),
        "{out}"
    );
    // A baseline has no machine: nothing of the clock is told.
    let (_, out, _) = told(&["diff", str(&baseline), str(&base)]);
    assert!(!out.contains("wall clock"), "{out}");

    std::fs::write(baseline.join("quick.json"), "{").expect("written");
    let (code, _, err) = gate(&new);
    assert_eq!(code, 65, "{err}");
}
