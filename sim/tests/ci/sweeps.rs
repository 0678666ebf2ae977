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
    let (one, two) = (
        sweep("one", &["--shard", "1/2"]),
        sweep("two", &["--shard", "2/2"]),
    );
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
