//! What was half written, is of somebody else, or cannot be written: told clearly, and nothing that is there is lost.

use super::*;

/// A run of `quick` as two shards, made once for all tests of this file: each changes a copy of its own.
fn parts() -> &'static Path {
    static MADE: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, shard) in [("one", "1/2"), ("two", "2/2"), ("three", "1/3")] {
            let runs = folder.path().join(name);
            let args = [
                "run",
                QUICK,
                "--shard",
                shard,
                "--events",
                "none",
                "--runs",
                str(&runs),
            ];
            let (code, out, err) = told(&args);
            assert_eq!(code, 0, "{out}{err}");
        }
        folder
    });
    made.path()
}

/// Copies of the two parts, in which `change` may change the log of the second.
fn changed(folder: &Path, change: impl Fn(&str) -> String) -> [PathBuf; 2] {
    ["one", "two"].map(|name| {
        let from = latest(&parts().join(name), "quick");
        let to = folder.join(name);
        std::fs::create_dir(&to).expect("made");
        for entry in std::fs::read_dir(from).expect("kept") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
        if name == "two" {
            let log = to.join("outcomes.ndjson");
            let text = std::fs::read_to_string(&log).expect("kept");
            std::fs::write(&log, change(&text)).expect("written");
        }
        to
    })
}

fn merge(folders: &[PathBuf], more: &[&str]) -> (i32, String, String) {
    let mut args = vec!["merge", "--no-save"];
    args.extend(folders.iter().map(|folder| str(folder)));
    told(&[&args[..], more].concat())
}

#[test]
fn a_log_that_is_half_written_is_judged_as_far_as_it_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let torn = changed(folder.path(), |text| text[..text.len() - 100].to_owned());
    let (code, out, err) = merge(&torn, &[]);
    assert_eq!((code, out.as_str()), (66, ""), "{err}");
    assert!(
        err.contains("two was stopped before its end: seeds "),
        "{err}"
    );
    assert!(err.contains("the last line of "), "{err}");
    assert!(err.contains("judge what is there with --partial"), "{err}");
    let (code, out, err) = merge(&torn, &["--partial"]);
    assert!(matches!(code, 0 | 2), "{out}{err}");
    assert!(out.contains("3 of 4 seeds"), "{out}");
    // One that the run never had says so.
    let (_, _, err) = told(&["repro", &format!("{}:9", str(&torn[0]))]);
    let note = "note: seed 9 is none of that run's (1..=4): it is run for the first time";
    assert!(err.contains(note), "{err}");
    // A seed of what is there can be run again; one that is missing too: the scenario is kept.
    let (code, out, err) = told(&["repro", &format!("{}:1", str(&torn[0]))]);
    assert!(matches!(code, 0 | 2), "{out}{err}");
}

#[test]
fn a_log_that_is_damaged_in_the_middle_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let damaged = changed(folder.path(), |text| {
        text.replacen("{\"seed\":{", "{\"seed\":[", 1)
    });
    let (code, _, err) = merge(&damaged, &[]);
    assert_eq!(code, 65, "{err}");
    assert!(
        err.contains("two/outcomes.ndjson: line 2 is not what it should be"),
        "{err}"
    );
    let (code, _, err) = told(&["repro", str(&damaged[1])]);
    assert_eq!(code, 65, "{err}");
}

#[test]
fn parts_of_other_versions_scenarios_or_options_are_not_mixed() {
    let version = env!("CARGO_PKG_VERSION");
    let check = |from: &str, to: &str, what: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let other = changed(folder.path(), |text| text.replacen(from, to, 1));
        let (code, out, err) = merge(&other, &["--partial"]);
        assert_eq!((code, out.as_str()), (65, ""), "{err}");
        assert!(err.contains("two is of another run: its "), "{err}");
        assert!(err.contains(what), "{err}");
    };
    check(
        &format!("\"tool_version\":\"{version}\""),
        "\"tool_version\":\"0.0.1\"",
        &format!("version of backroom is `0.0.1`, that of the first one is `{version}`"),
    );
    check(
        "\"sets\":[]",
        "\"sets\":[\"vars.limit=1s\"]",
        "--set is `vars.limit=1s`",
    );
    check(
        "\"mtu\":1500",
        "\"mtu\":9000",
        "--mtu and --hash-payloads is `9000 false`",
    );
    check(
        "\"seeds\":\"1..=4\"",
        "\"seeds\":\"1..=5\"",
        "seeds is `1..=5`",
    );
    let folder = tempfile::tempdir().expect("a folder");
    let newer = changed(folder.path(), |t| {
        t.replacen("\"version\":1", "\"version\":2", 1)
    });
    let (code, _, err) = merge(&newer, &[]);
    assert_eq!(code, 65, "{err}");
    assert!(
        err.contains("line 1 says version 2, this program reads version 1"),
        "{err}"
    );
}

#[test]
fn parts_that_overlap_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two] = changed(folder.path(), str::to_owned);
    let third = latest(&parts().join("three"), "quick");
    let (code, _, err) = merge(&[one, two, third], &[]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("these shards overlap"), "{err}");
}

#[test]
fn a_folder_that_cannot_be_read_is_told_by_every_verb() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    std::fs::create_dir(&run).expect("made");
    let check = |args: &[&str], code: i32, part: &str| {
        let (got, out, err) = told(args);
        assert_eq!((got, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: {err}");
    };
    // Empty: nothing of a run is there.
    check(&["repro", str(&run)], 66, "outcomes.ndjson");
    check(&["report", str(&run)], 66, "summary.json");
    check(&["merge", str(&run)], 66, "holds no run");
    check(&["diff", str(&run), str(&run)], 66, "holds no results");
    // One level too high, and a baseline that nobody has written yet.
    let above = str(&parts().join("one/quick")).to_owned();
    let hint = format!("; this folder holds runs: name one, such as {above}/latest");
    check(&["repro", &above], 66, &hint);
    check(&["shrink", &format!("{above}:1")], 66, &hint);
    let none = str(&folder.path().join("baseline")).to_owned();
    let runs = str(&parts().join("one")).to_owned();
    check(&["diff", &none, &runs], 66, "; --accept writes it from ");
    check(
        &[
            "sweep",
            "scenarios/outage-by-line-rate.toml",
            "--merge",
            &runs,
        ],
        66,
        "holds no sweep",
    );
    // Folders where files should be.
    for name in ["outcomes.ndjson", "summary.json"] {
        std::fs::create_dir(run.join(name)).expect("made");
    }
    check(&["repro", str(&run)], 66, "Is a directory");
    check(&["report", str(&run)], 66, "Is a directory");
    for name in ["outcomes.ndjson", "summary.json"] {
        std::fs::remove_dir(run.join(name)).expect("removed");
        std::fs::write(run.join(name), b"\x00\xff{").expect("written");
    }
    // One torn line is a run that was killed before it began.
    check(&["repro", str(&run)], 65, "stopped before it began");
    check(&["report", str(&run)], 65, "summary.json");
    check(&["diff", str(&run), str(&run)], 65, "summary.json");
}

#[test]
fn seeds_and_shards_that_make_no_sense_are_told_before_anything_runs() {
    let check = |more: &[&str], part: &str| {
        let (code, out, err) = told(&[&["run", QUICK], more].concat());
        assert_eq!((code, out.as_str()), (64, ""), "{err}");
        assert!(err.contains(part), "{err}");
    };
    check(&["--seeds", "9..=3"], "runs backwards; write `3..=9`");
    check(
        &["--seed", "1..=3"],
        "`1..=3` is not one seed; --seeds takes lists and ranges",
    );
    check(&["--seeds", "1..1"], "`1..1` is empty");
    check(&["--seeds", "1,x"], "`x` is not a seed");
    check(&["--seeds", "1..=99999999"], "more than 1000000 seeds");
    check(&["--shard", "0/4"], "shards are counted from 1");
    check(&["--jobs", "0"], "--jobs");
}

/// Scenario: the disk has room for the folder's first files and not for all outcomes.
/// Guarantees: the verdict is shown, what could not be written is named, the exit code is 73, and what is there is whole.
#[test]
fn a_disk_that_fills_up_while_results_are_written_costs_no_verdict() {
    let whole = latest(&parts().join("one"), "quick");
    let size = |name: &str| std::fs::metadata(whole.join(name)).expect("kept").len();
    // Blocks of 1,024 bytes: enough for the lock file, which comes first, and too little for the report.
    let blocks = size("scenario.lock.toml") / 1024 + 2;
    assert!(size("report.html") / 1024 > blocks, "the report is larger");
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs");
    let out = on_a_small_disk(
        blocks,
        &[
            "run",
            QUICK,
            "--seeds",
            "1,2",
            "--events",
            "none",
            "--runs",
            str(&runs),
        ],
    );
    let (shown, err) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(73), "{shown}{err}");
    assert!(
        shown.contains("NOT WRITTEN  3 expectations hold") && shown.contains("      exit 73"),
        "what the screen says is what the process says: {shown}"
    );
    assert!(
        shown.contains("; kept in "),
        "what is there is told: {shown}"
    );
    assert!(err.contains("error: write "), "{err}");
    assert!(err.contains("File too large"), "{err}");
    let kept = std::fs::read_dir(runs.join("quick")).expect("made").next();
    let kept = kept.expect("a run").expect("an entry").path();
    for entry in std::fs::read_dir(&kept).expect("there") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_string_lossy();
        assert!(!name.ends_with(".part"), "half a file: {name}");
    }
    // What had ended before is there, up to its last whole line.
    let (code, _, err) = told(&["merge", str(&kept), "--no-save"]);
    assert!(matches!(code, 0 | 2 | 66), "{err}");
}
