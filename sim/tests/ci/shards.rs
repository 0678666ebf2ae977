//! Parts that several machines run, and their merge.

use super::*;

const SETS: [&str; 2] = ["--set", "vars.limit=9m"];

/// Runs the parts with the variables of an engine; the folders of all.
fn parts(folder: &Path, count: u32, variables: &dyn Fn(u32) -> Vec<(&'static str, String)>) {
    for index in 1..=count {
        let runs = folder.join(format!("machine-{index}"));
        let mut part = command(&["run", QUICK, "--shard", "auto", "--runs", str(&runs)]);
        let out = part
            .args(SETS)
            .envs(variables(index))
            .output()
            .expect("it starts");
        let (shown, err) = (text(&out.stdout), text(&out.stderr));
        assert_eq!(out.status.code(), Some(0), "{shown}{err}");
        assert!(
            shown.contains(&format!("shard {index}/{count} of 4 seeds")),
            "{shown}"
        );
    }
}

/// The result and the series of a merge.
fn merged(folder: &Path) -> [Vec<u8>; 2] {
    let runs = folder.join("merged");
    let mut args = vec!["merge".to_owned(), "--runs".into(), str(&runs).into()];
    for entry in std::fs::read_dir(folder).expect("there") {
        let path = entry.expect("an entry").path();
        if path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("machine"))
        {
            args.push(str(&path).into());
        }
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (code, out, err) = told(&args);
    assert_eq!(code, 0, "{out}{err}");
    let read = |name: &str| std::fs::read(latest(&runs, "quick").join(name)).expect("kept");
    [read("summary.json"), read("series.json")]
}

#[test]
fn a_merge_equals_the_unsharded_run_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole");
    let (code, out, err) = told(&[&["run", QUICK, "--runs", str(&whole)][..], &SETS].concat());
    assert_eq!(code, 0, "{out}{err}");
    let read = |name: &str| std::fs::read(latest(&whole, "quick").join(name)).expect("kept");
    let whole = [read("summary.json"), read("series.json")];
    let same = |folder: &Path| {
        let [result, series] = merged(folder);
        assert_eq!(text(&result), text(&whole[0]));
        assert!(series == whole[1], "what plots are made of differs");
    };

    let kubernetes = folder.path().join("kubernetes");
    parts(&kubernetes, 2, &|index| {
        vec![
            ("JOB_COMPLETION_INDEX", (index - 1).to_string()),
            ("JOB_COMPLETION_COUNT", "2".into()),
        ]
    });
    same(&kubernetes);
    let slurm = folder.path().join("slurm");
    parts(&slurm, 2, &|index| {
        vec![
            ("SLURM_ARRAY_TASK_ID", (index + 4).to_string()),
            ("SLURM_ARRAY_TASK_MIN", "5".into()),
            ("SLURM_ARRAY_TASK_COUNT", "2".into()),
        ]
    });
    same(&slurm);
    let github = folder.path().join("github");
    parts(&github, 2, &|index| {
        vec![
            ("STRATEGY_JOB_INDEX", (index - 1).to_string()),
            ("STRATEGY_JOB_TOTAL", "2".into()),
        ]
    });
    same(&github);

    // A part too few, one too often, one that was changed.
    let lost = slurm.join("machine-2");
    let (code, out, err) = told(&["merge", str(&slurm.join("machine-1")), "--no-save"]);
    assert_eq!((code, out.as_str()), (66, ""), "{err}");
    assert!(err.contains("shard 2/2 is missing: seeds "), "{err}");
    let one = slurm.join("machine-1");
    let (_, out, err) = told(&["merge", str(&one), "--no-save", "--partial"]);
    assert!(out.contains("of 4 seeds"), "{out}{err}");
    let (code, _, err) = told(&["merge", str(&one), str(&lost), str(&lost), "--no-save"]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("both shard"), "{err}");
    let lock = latest(&slurm.join("machine-1"), "quick").join("scenario.lock.toml");
    let old = std::fs::read_to_string(&lock).expect("kept");
    std::fs::write(&lock, old.replace("\"15s\"", "\"16s\"")).expect("written");
    let (code, _, err) = told(&["merge", str(&one), str(&lost), "--no-save"]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("it was changed afterwards"), "{err}");

    // A part that was killed before its end has handed no plots on: the verdict stands.
    let one = latest(&kubernetes.join("machine-1"), "quick");
    std::fs::remove_file(one.join("plots.part.json.zst")).expect("kept");
    let runs = folder.path().join("without");
    let parts = ["machine-1", "machine-2"].map(|name| kubernetes.join(name));
    let args = [
        "merge",
        str(&parts[0]),
        str(&parts[1]),
        "--runs",
        str(&runs),
    ];
    let (code, _, err) = told(&args);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("note: quick: no plots: read "), "{err}");
    assert!(!latest(&runs, "quick").join("series.json").exists());
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let merge = |expect: i32, part: &str| {
        let (code, out, err) = told(&["merge", str(folder.path()), "--no-save"]);
        assert_eq!((code, out.as_str()), (expect, ""), "{err}");
        assert!(err.contains(part), "{err}");
    };
    merge(66, "holds no run");
    let log = folder.path().join("outcomes.ndjson");
    std::fs::write(&log, b"\x00\x01garbage\n").expect("written");
    merge(65, "line 1 is not what it should be");
    std::fs::write(&log, b"").expect("written");
    merge(65, "stopped before it began");
    let (code, _, err) = told(&["merge", "no/such/folder"]);
    assert_eq!(code, 66, "{err}");
    let (code, _, err) = told(&["run", QUICK, "--shard", "3/2"]);
    assert_eq!(code, 64);
    assert!(err.contains("there are only 2 shards"), "{err}");
    let (code, _, err) = told(&["run", QUICK, "--shard", "auto"]);
    assert_eq!(code, 64);
    assert!(err.contains("no engine has told"), "{err}");
}
