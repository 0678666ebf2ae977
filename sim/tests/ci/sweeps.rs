//! Grids, and sweeps that are stopped and resumed.

use super::*;

fn file(folder: &Path) -> PathBuf {
    let fixtures = root().join("sim/tests/fixtures");
    let text = std::fs::read_to_string(fixtures.join("quick.toml")).expect("the fixture");
    let template = fixtures.join("small-store.toml");
    let sweep = r#"
[sweep]
seeds_per_point = 1
[sweep.grid]
"fault.cut.for" = ["5s", "15s"]
"vars.limit"    = ["1ms", "10m"]
[[sweep.skip]]
"fault.cut.for" = "5s"
"vars.limit"    = "1ms"

[report]
rows    = "fault.cut.for"
columns = "vars.limit"
cell    = "recovery(telemetry.backlog, below=64KiB)"
answer  = "smallest vars.limit where caught-up passes"
"#;
    let file = folder.join("grid.toml");
    let text = text.replace("small-store.toml", str(&template));
    std::fs::write(&file, text + sweep).expect("written");
    file
}

#[test]
fn a_grid_is_run_shown_and_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file(folder.path());
    let runs = folder.path().join("runs");
    let sweep =
        |more: &[&str]| told(&[&["sweep", str(&file), "--runs", str(&runs)], more].concat());
    let (code, out, err) = sweep(&["--dry-run"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("3 of 3 points, 3 runs of"), "{err}");
    assert!(!runs.exists());

    let (code, whole, err) = sweep(&[]);
    assert_eq!(code, 0, "{whole}{err}");
    assert!(whole.contains("3 of 3 points"), "{whole}");
    assert!(whole.contains("fault.cut.for"), "{whole}");
    assert!(
        whole.contains("smallest vars.limit where caught-up passes:"),
        "{whole}"
    );
    let kept = latest(&runs, "quick.sweep");
    let result = std::fs::read(kept.join("points.json")).expect("kept");

    // Killed in the middle of the last point's line: that point is run again, and the result is the same.
    let log = kept.join("points.ndjson");
    let text = std::fs::read_to_string(&log).expect("kept");
    std::fs::write(&log, &text[..text.len() - 40]).expect("written");
    let (code, resumed, err) = sweep(&["--resume"]);
    assert_eq!(code, 0, "{resumed}{err}");
    assert!(err.contains("1 of 3 points"), "{err}");
    assert_eq!(resumed, whole);
    assert_eq!(
        std::fs::read(kept.join("points.json")).expect("kept"),
        result
    );

    // Nothing else may be put on top of it.
    let (code, _, err) = sweep(&["--resume", "--seeds", "7"]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("its seeds is `1`, here it is `7`"), "{err}");
    std::fs::write(&log, text.replacen('{', "#", 2)).expect("written");
    let (code, _, err) = sweep(&["--resume"]);
    assert_eq!(code, 65, "{err}");
    let (code, _, err) = sweep(&["--resume", "no/such/sweep"]);
    assert_eq!(code, 66, "{err}");
}

#[test]
fn parts_of_a_sweep_make_the_whole_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file(folder.path());
    let sweep = |name: &str, more: &[&str]| {
        let runs = folder.path().join(name);
        let (code, out, err) = told(&[&["sweep", str(&file), "--runs", str(&runs)], more].concat());
        assert_eq!(code, 0, "{out}{err}");
        latest(&runs, "quick.sweep")
    };
    let read = |folder: &Path| std::fs::read_to_string(folder.join("points.json")).expect("kept");
    let whole = sweep("whole", &[]);
    // As the Indexed Job of `deploy/ci` runs them, and with the parts written out.
    let [one, two] = ["0", "1"].map(|index| {
        let runs = folder.path().join(index);
        let mut part = command(&["sweep", str(&file), "--shard", "auto", "--runs", str(&runs)]);
        part.env("JOB_COMPLETION_INDEX", index)
            .env("JOB_COMPLETION_COUNT", "2");
        let out = part.output().expect("it starts");
        assert!(out.status.success(), "{}", text(&out.stderr));
        latest(&runs, "quick.sweep")
    });
    let by_hand = sweep("by-hand", &["--shard", "1/2"]);
    assert_eq!(read(&by_hand), read(&one));
    let merged = sweep("merged", &["--merge", str(&one), str(&two)]);
    assert_eq!(read(&merged), read(&whole));
    let args = [
        "sweep",
        str(&file),
        "--merge",
        str(&one),
        str(&one),
        "--runs",
        str(folder.path()),
    ];
    let (code, _, err) = told(&args);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("they overlap"), "{err}");
    let (code, _, err) = told(&["sweep", QUICK]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("has no [sweep.grid]"), "{err}");
}

/// Guarantees: `stop_when` ends a point once the interval of its figure is narrow enough, after whole rounds of seeds, however many jobs there are.
#[test]
fn a_point_ends_when_its_figure_is_known_well_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = file(folder.path());
    let text = std::fs::read_to_string(&plain).expect("there");
    let text = text
        .replace(
            "seeds_per_point = 1",
            "seeds_per_point = 20\nstop_when = { half_width = \"50%\", of = \"count(order.placed)\" }",
        )
        .replace("[\"1ms\", \"10m\"]", "[\"10m\"]")
        .replace("[\"5s\", \"15s\"]", "[\"5s\"]");
    let text = text + "\n[[expect]]\nid = \"placed\"\nthat = \"count(order.placed) >= 0\"\n";
    let file = folder.path().join("stops.toml");
    std::fs::write(&file, text).expect("written");
    let seeds = |half_width: &str, jobs: &str| {
        let runs = folder.path().join(format!("{half_width}-{jobs}"));
        let half = format!("sweep.stop_when.half_width={half_width}");
        let (code, out, err) = told(&[
            "sweep",
            str(&file),
            "--runs",
            str(&runs),
            "--jobs",
            jobs,
            "--set",
            &half,
            "--set",
            "duration=20s",
            "--set",
            "warmup=2s",
            "--set",
            "fault.cut.at=+5s",
        ]);
        assert_eq!(code, 0, "{out}{err}");
        assert!(
            err.contains("1 of 1 points, at most 20 runs of 20s"),
            "{err}"
        );
        let points = latest(&runs, "quick.sweep").join("points.json");
        let points = std::fs::read_to_string(points).expect("kept");
        let points: serde_json::Value = serde_json::from_str(&points).expect("JSON");
        let seeds = &points["points"][0]["result"]["seeds"];
        seeds.as_array().expect("a list").len()
    };
    assert_eq!(seeds("50%", "1"), 10);
    assert_eq!(seeds("50%", "3"), 10, "the number of jobs decides nothing");
    assert_eq!(seeds("0.001%", "2"), 20, "never narrow enough");
}

/// The shipped sweep, two points of it in a short form: its estimate, a stop by the budget, and the rest by `--resume`.
#[test]
fn the_shipped_sweep_is_estimated_stopped_and_resumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(root().join("scenarios/outage-by-line-rate.toml"));
    let store = root().join("scenarios/stores/qsr-18.toml");
    let text = text
        .expect("shipped")
        .replace("stores/qsr-18.toml", str(&store))
        .replace("[\"5m\", \"10m\", \"20m\"]", "[\"1m\"]")
        .replace("\"256kbit/s\", ", "")
        .replace("seeds       = \"1..=3\"", "seed = 1");
    let file = folder.path().join("outage-by-line-rate.toml");
    std::fs::write(&file, text).expect("written");
    let runs = folder.path().join("runs");
    let short = [
        "--set",
        "start=\"2025-03-14T12:03:30-05:00\"",
        "--set",
        "warmup=30s",
        "--set",
        "duration=6m",
        "--set",
        "traffic.telemetry.rate=4KB/s",
        "--jobs",
        "1",
        "--runs",
        str(&runs),
    ];
    let verb = |verb: &str, more: &[&str]| told(&[&[verb, str(&file)], &short[..], more].concat());
    let (_, _, err) = verb("sweep", &["--dry-run"]);
    assert!(
        err.contains("no run of it is kept that would say how long"),
        "{err}"
    );
    let (code, out, err) = verb("run", &["--events", "none"]);
    assert!(matches!(code, 0..=2), "{out}{err}");
    let (_, _, err) = verb("sweep", &["--dry-run"]);
    let estimate = "outage-by-line-rate: 2 of 2 points, 2 runs of 6m; about ";
    assert!(err.contains(estimate), "{err}");
    assert!(err.contains(" on 1 processors, by the cost of "), "{err}");

    let (code, out, err) = verb("sweep", &["--budget", "1ms"]);
    assert_eq!(code, 75, "{out}{err}");
    assert!(
        err.contains("1 of 2 points are there; --resume goes on"),
        "{err}"
    );
    assert!(
        out.contains("not known before all points are there"),
        "{out}"
    );
    let (code, out, err) = verb("sweep", &["--resume"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("1 of 2 points, 1 runs of 6m"), "{err}");
    assert!(out.contains("2 of 2 points"), "{out}");
    let answer = "smallest collector.send.max_rate where caught-up-in-10-min passes:";
    assert!(out.contains(answer), "{out}");
}
