//! What a new user meets: `init`, `list`, completions, manual pages.

use super::*;

#[test]
fn what_init_writes_can_be_checked_and_is_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    for template in [
        "first",
        "lunch",
        "lying-path",
        "two-weeks-dark",
        "cards",
        "sizing",
    ] {
        let place = folder.path().join(template);
        let (code, out, err) = told(&["init", template, str(&place)]);
        assert_eq!(code, 0, "{err}");
        let file = out.lines().next().expect("the scenario").to_owned();
        let (code, checked, err) = told(&["check", &file]);
        assert_eq!(code, 0, "{checked}{err}");
        let (code, _, err) = told(&["init", template, str(&place)]);
        assert_eq!(code, 0, "the same again is no loss: {err}");
        std::fs::write(&file, "mine").expect("written");
        let (code, _, err) = told(&["init", template, str(&place)]);
        assert_eq!(code, 73, "{err}");
        assert!(err.contains("is there and is another text"), "{err}");
        assert_eq!(std::fs::read_to_string(&file).expect("there"), "mine");
    }
    let (code, _, err) = told(&["init", "lunhc", str(folder.path())]);
    assert_eq!(code, 64);
    assert!(err.contains("lunch"), "{err}");
}

#[test]
fn scenarios_are_listed_with_their_questions() {
    let (code, out, err) = told(&["list", "scenarios"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("lunch-uplink-cut  20 seeds of 90m"), "{out}");
    let (code, out, _) = told(&["list", "sim/tests/fixtures/quick.toml", "--json"]);
    assert_eq!(code, 0);
    let list: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(list[0]["can_run"], true);
}

#[test]
fn completions_and_manual_pages_come_from_the_parser() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, _) = told(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("timeout-per-seed"), "{shell}");
    }
    let (code, page, _) = told(&["man"]);
    assert_eq!(code, 0);
    assert!(page.contains(".TH backroom 1"), "{page}");
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, err) = told(&["man", "--dir", str(folder.path())]);
    assert_eq!(code, 0, "{err}");
    let page = std::fs::read_to_string(folder.path().join("backroom-run.1")).expect("written");
    assert!(
        page.contains("fail") && page.contains("backroom\\-run"),
        "{page}"
    );
    assert!(
        !folder.path().join("backroom-worker.1").exists(),
        "it is hidden"
    );
}
