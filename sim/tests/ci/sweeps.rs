//! Grids, and sweeps that are stopped and resumed, by a budget, by somebody, or by a full disk.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use backroom_reports::grid::SweepResult;

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

    // It has a page, which is that of what was kept, byte for byte.
    let page = std::fs::read_to_string(kept.join("report.html")).expect("kept");
    assert!(page.contains("3 of 3 points were run"), "{page}");
    let (code, again, err) = told(&["report", str(&kept), "-o", "-"]);
    assert_eq!((code, again == page), (0, true), "{err}");
    let points = kept.join("points.json");
    let (code, named, err) = told(&["report", str(&points), "-o", "-"]);
    assert_eq!((code, named == page), (0, true), "{err}");
    let (code, _, err) = told(&["report", str(&kept), "--format", "csv"]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("its numbers stand in points.json"), "{err}");
    for (garbage, says) in [
        (
            "{\"schema_version\":1}",
            "it is not what its schema_version says",
        ),
        ("{", "it is not JSON"),
    ] {
        std::fs::write(&points, garbage).expect("written");
        let (code, _, err) = told(&["report", str(&kept), "-o", "-"]);
        assert_eq!(code, 65, "{err}");
        assert!(err.contains(says), "{err}");
    }

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
    let resumed = std::fs::read_to_string(kept.join("report.html")).expect("kept");
    assert!(resumed == page, "the page of a sweep that was gone on with");

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
    // As the engines of `deploy/ci` run them, and with the parts written out.
    let parts = |engine: &str, variables: &dyn Fn(u32) -> Vec<(&'static str, String)>| {
        [1, 2].map(|index| {
            let runs = folder.path().join(format!("{engine}-{index}"));
            let mut part = command(&["sweep", str(&file), "--shard", "auto", "--runs", str(&runs)]);
            let out = part.envs(variables(index)).output().expect("it starts");
            assert!(out.status.success(), "{}", text(&out.stderr));
            latest(&runs, "quick.sweep")
        })
    };
    let [one, two] = parts("kubernetes", &|index| {
        vec![
            ("JOB_COMPLETION_INDEX", (index - 1).to_string()),
            ("JOB_COMPLETION_COUNT", "2".into()),
        ]
    });
    let slurm = parts("slurm", &|index| {
        vec![
            ("SLURM_ARRAY_TASK_ID", (index * 2 + 3).to_string()),
            ("SLURM_ARRAY_TASK_MIN", "5".into()),
            ("SLURM_ARRAY_TASK_STEP", "2".into()),
            ("SLURM_ARRAY_TASK_COUNT", "2".into()),
        ]
    });
    let github = parts("github", &|index| {
        vec![
            ("STRATEGY_JOB_INDEX", (index - 1).to_string()),
            ("STRATEGY_JOB_TOTAL", "2".into()),
        ]
    });
    for other in [slurm, github] {
        assert_eq!(read(&other[0]), read(&one));
        assert_eq!(read(&other[1]), read(&two));
    }
    let by_hand = sweep("by-hand", &["--shard", "1/2"]);
    assert_eq!(read(&by_hand), read(&one));
    let merged = sweep("merged", &["--merge", str(&one), str(&two)]);
    assert_eq!(read(&merged), read(&whole));
    // By the `runs` of each machine, too, as `merge` and `fuzz --merge` take them.
    let above = ["kubernetes-1", "kubernetes-2"].map(|name| folder.path().join(name));
    let merged = sweep("above", &["--merge", str(&above[0]), str(&above[1])]);
    assert_eq!(read(&merged), read(&whole));
    // A part of another version is not mixed in.
    let newer = folder.path().join("newer");
    std::fs::create_dir(&newer).expect("made");
    let log = std::fs::read_to_string(two.join("points.ndjson")).expect("kept");
    let log = log.replacen("\"tool_version\":\"", "\"tool_version\":\"9", 1);
    std::fs::write(newer.join("points.ndjson"), log).expect("written");
    let args = ["sweep", str(&file), "--merge", str(&one), str(&newer)];
    let (code, _, err) = told(&args);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("its version of backroom is `9"), "{err}");
    // Half of it is shown, and does not pass for all of it.
    let half = folder.path().join("half");
    let (code, out, err) = told(&[
        "sweep",
        str(&file),
        "--merge",
        str(&one),
        "--runs",
        str(&half),
    ]);
    assert_eq!(code, 75, "{out}{err}");
    assert!(
        out.ends_with("\nUNFINISHED  points are missing      exit 75\n"),
        "{out}"
    );
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

/// A sweep that is under way, with the first line that it says about a seed: by then one has ended, and others have not.
fn begun(args: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let args = [args, &["--jobs", "1", "--progress", "plain"]].concat();
    let mut child = command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut err = BufReader::new(child.stderr.take().expect("asked for"));
    let mut line = String::new();
    while !line.contains("seed 1: ") {
        line.clear();
        assert!(err.read_line(&mut line).expect("a line") > 0, "no seed ran");
    }
    (child, err)
}

/// Two points: one that ends, and one that would take hours and that the file stops at once, unless the command line gives it time.
fn endless(folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(file(folder)).expect("written");
    let (scenario, _) = text.split_once("[sweep]").expect("it sweeps");
    let sweep = r#"
[sweep]
seeds_per_point = 1
[sweep.grid]
"duration"         = ["90s", "20d"]
"limits.wall_time" = ["10h", "100ms"]
[[sweep.skip]]
"duration"         = "90s"
"limits.wall_time" = "100ms"
[[sweep.skip]]
"duration"         = "20d"
"limits.wall_time" = "10h"
"#;
    let file = folder.join("endless.toml");
    std::fs::write(&file, format!("{scenario}{sweep}")).expect("written");
    file
}

/// Scenario: Ctrl-C in the middle of a sweep; again, and a second time while it writes; then `--resume`.
/// Guarantees: the table of what has ended is shown and kept; the second signal ends the process at once; what is resumed is byte for byte
/// what nobody has stopped.
#[test]
fn ctrl_c_shows_a_part_of_the_table_and_resume_makes_it_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = endless(folder.path());
    let place = |name: &str| folder.path().join(name);
    let (code, whole, err) = told(&["sweep", str(&file), "--runs", str(&place("whole"))]);
    assert_eq!(code, 70, "{whole}{err}");
    let end = "FAIL  an invariant or an oracle failed, or a seed did not end, in 1 of 2 points      exit 70\n";
    assert!(whole.ends_with(end), "{whole}");
    let points = |runs: &str| {
        let kept = latest(&place(runs), "quick.sweep");
        std::fs::read_to_string(kept.join("points.json")).expect("kept")
    };

    let stopped = place("stopped");
    let args = ["sweep", str(&file), "--runs", str(&stopped)];
    let patient = [&args[..], &["--timeout-per-seed", "10h"]].concat();
    let (child, err) = begun(&patient);
    send(&child, "INT");
    let rest = std::io::read_to_string(err).expect("text");
    let out = child.wait_with_output().expect("it ends");
    let shown = text(&out.stdout);
    assert_eq!(out.status.code(), Some(130), "{shown}{rest}");
    assert!(rest.contains("interrupted: "), "{rest}");
    assert!(
        rest.contains("1 of 2 points are there; --resume goes on"),
        "{rest}"
    );
    let end = "INTERRUPTED  1 of 2 points are there      exit 130\n";
    assert!(shown.ends_with(end), "{shown}");
    let result: SweepResult = serde_json::from_str(&points("stopped")).expect("JSON");
    let told_in_json = (result.points.len(), result.exit_code, &*result.stopped);
    assert_eq!(told_in_json, (1, 130, "interrupted"));

    // From its beginning again. While it waits for a reader of `points.json`, a pipe, it hears the second signal.
    let kept = latest(&stopped, "quick.sweep");
    let log = kept.join("points.ndjson");
    let before = std::fs::read_to_string(&log).expect("kept");
    let header = before.lines().next().expect("what was swept").to_owned() + "\n";
    std::fs::write(&log, header).expect("written");
    let pipe = kept.join("points.json");
    std::fs::remove_file(&pipe).expect("kept");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    let (mut child, mut err) = begun(&[&patient[..], &["--resume"]].concat());
    send(&child, "INT");
    let mut line = String::new();
    while !line.starts_with("interrupted: ") {
        line.clear();
        assert!(err.read_line(&mut line).expect("a line") > 0, "no answer");
    }
    send(&child, "INT");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let after = std::fs::read_to_string(&log).expect("kept");
    assert!(before == after, "the point that has ended is there again");
    std::fs::remove_file(&pipe).expect("it is there");

    let (code, shown, err) = told(&[&args[..], &["--resume"]].concat());
    assert_eq!(code, 70, "{err}");
    assert!(err.contains("1 of 2 points, 1 runs"), "{err}");
    assert_eq!(shown, whole);
    assert!(points("stopped") == points("whole"), "byte for byte");
}

/// Scenario: the disk has room for the scenario and the first points, and not for the last one.
/// Guarantees: the table of what has ended is shown, with the exit code of the process, by the screen and by `--json`; with room again
/// `--resume` completes it, byte for byte.
#[test]
fn a_sweep_on_a_full_disk_shows_its_table_and_can_be_resumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file(folder.path());
    let place = |name: &str| folder.path().join(name);
    let (code, whole, err) = told(&["sweep", str(&file), "--runs", str(&place("whole"))]);
    assert_eq!(code, 0, "{whole}{err}");
    let kept = latest(&place("whole"), "quick.sweep");
    let size = |name: &str| std::fs::metadata(kept.join(name)).expect("kept").len();
    // Blocks of 1,024 bytes.
    let blocks = (size("points.ndjson") - 1) / 1024;
    assert!(size("scenario.lock.toml") / 1024 < blocks, "it comes first");
    let on_a_full_disk = |runs: &str, more: &[&str]| {
        let runs = place(runs);
        let args = ["sweep", str(&file), "--runs", str(&runs), "--jobs", "1"];
        let out = on_a_small_disk(blocks, &[&args[..], more].concat());
        let (shown, err) = (text(&out.stdout), text(&out.stderr));
        assert_eq!(out.status.code(), Some(73), "{shown}{err}");
        assert!(err.contains("error: write "), "{err}");
        assert!(err.contains("points.ndjson: File too large"), "{err}");
        shown
    };
    let shown = on_a_full_disk("full", &[]);
    assert!(
        shown.contains("3 of 3 points"),
        "what has ended is shown: {shown}"
    );
    assert!(shown.contains("points.ndjson: File too large"), "{shown}");
    assert!(shown.ends_with("      exit 73\n"), "{shown}");
    let shown = on_a_full_disk("json", &["--json"]);
    let result: SweepResult = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((result.points.len(), result.exit_code), (3, 73));
    assert!(
        result.stopped.contains("File too large"),
        "{}",
        result.stopped
    );

    let runs = place("full");
    let (code, shown, err) = told(&["sweep", str(&file), "--runs", str(&runs), "--resume"]);
    assert_eq!(code, 0, "{shown}{err}");
    assert!(err.contains("1 of 3 points, 1 runs"), "{err}");
    assert_eq!(shown, whole);
    let points = |folder: &Path| std::fs::read(folder.join("points.json")).expect("kept");
    assert!(points(&latest(&runs, "quick.sweep")) == points(&kept));

    // The room ends while parts are put together: the table is there all the same.
    let merged = on_a_full_disk("merged", &["--merge", str(&kept)]);
    assert!(merged.contains("3 of 3 points"), "{merged}");
}
