//! Several files and folders, what one bad file does.

use super::*;

fn copy(folder: &Path, name: &str, change: impl Fn(&str) -> String) -> PathBuf {
    let fixtures = root().join("sim/tests/fixtures");
    let text = std::fs::read_to_string(fixtures.join("quick.toml")).expect("the fixture");
    let template = fixtures.join("small-store.toml");
    let text = text.replace("small-store.toml", str(&template));
    let file = folder.join(format!("{name}.toml"));
    let text = text.replace("name        = \"quick\"", &format!("name = \"{name}\""));
    std::fs::write(&file, change(&text)).expect("written");
    file
}

#[test]
fn a_folder_is_run_in_the_order_of_names_and_templates_are_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(folder.path(), "b-second", str::to_owned);
    copy(folder.path(), "a-first", str::to_owned);
    let template = root().join("sim/tests/fixtures/small-store.toml");
    std::fs::copy(template, folder.path().join("store.toml")).expect("copied");
    let runs = folder.path().join("runs");
    let (code, out, err) = told(&[
        "run",
        str(folder.path()),
        "--seeds",
        "1,2",
        "--json",
        "--progress",
        "plain",
        "--runs",
        str(&runs),
    ]);
    assert_eq!(code, 0, "{out}{err}");
    let results: serde_json::Value = serde_json::from_str(&out).expect("a list");
    let names: Vec<_> = results
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| &r["scenario"])
        .collect();
    assert_eq!(names, ["a-first", "b-second"]);
    assert_eq!(
        err.lines().filter(|l| l.contains("seed")).count(),
        4,
        "{err}"
    );
    for name in ["a-first", "b-second"] {
        let kept = latest(&runs, name);
        for file in [
            "manifest.json",
            "scenario.lock.toml",
            "summary.json",
            "outcomes.ndjson",
        ] {
            assert!(kept.join(file).is_file(), "{name}/{file}");
        }
    }
}

#[test]
fn one_bad_file_among_many_is_told_with_all_others_and_nothing_is_run() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(folder.path(), "good", str::to_owned);
    copy(folder.path(), "misspelt", |t| {
        t.replace("duration ", "durration ")
    });
    copy(folder.path(), "wrong", |t| t.replace("\"+40s\"", "40"));
    let (code, out, err) = told(&["run", str(folder.path()), "--no-save"]);
    assert_eq!((code, out.as_str()), (65, ""), "{err}");
    assert!(err.contains("did you mean `duration`?"), "{err}");
    assert!(err.contains("wrong.toml"), "{err}");
}

#[test]
fn names_that_would_mix_and_folders_without_scenarios_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let twin = copy(folder.path(), "quick", |t| t.replace("+40s", "+41s"));
    let (code, _, err) = told(&["run", QUICK, str(&twin), "--no-save"]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("both called `quick`"), "{err}");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    let (code, _, err) = told(&["run", str(&empty)]);
    assert_eq!(code, 66, "{err}");
    assert!(err.contains("has no *.toml"), "{err}");
    let (code, _, err) = told(&["run", QUICK, "--seeds", "9..=3"]);
    assert_eq!(code, 64);
    assert!(err.contains("runs backwards; write `3..=9`"), "{err}");
}
