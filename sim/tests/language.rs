//! The language as its users see it: what a bad file is told, in golden files.
//!
//! - `bad_file`: sixteen errors of one file, in one go, with their codes and carets
//! - `syntax`: a file that is not TOML
//! - `annotations`: the same findings for machines

use std::path::{Path, PathBuf};

use backroom_collector::config::{Format, Report};
use backroom_sim::scenario;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/bad")
        .join(name)
}

/// What is wrong with a fixture, with paths as if the shell stood beside it.
fn findings(name: &str, format: Format) -> String {
    let path = fixture(name);
    let report: Report = scenario::load(&path, &[]).expect_err("it is bad");
    assert_eq!(report.exit_code(), 65);
    let folder = path.parent().expect("a folder").display().to_string() + "/";
    report.render(format, false).replace(&folder, "")
}

/// The golden file: all of `bad.toml`, then all of `syntax.toml`.
fn golden() -> String {
    std::fs::read_to_string(fixture("diagnostics.txt")).expect("the golden file")
}

#[test]
fn a_bad_file_is_told_everything_in_one_go() {
    let golden = golden();
    let (bad, _) = golden
        .split_once("error[E0001]")
        .expect("two files, one after the other");
    assert_eq!(findings("bad.toml", Format::Human), bad);
}

#[test]
fn a_file_that_is_not_toml_is_blamed_at_the_bracket() {
    let golden = golden();
    let at = golden.find("error[E0001]").expect("the second file");
    let found = findings("syntax.toml", Format::Human);
    assert_eq!(found.trim_end(), golden[at..].trim_end());
}

#[test]
fn machines_are_told_the_same() {
    let annotations = findings("bad.toml", Format::Github);
    assert_eq!(annotations.lines().count(), 16);
    let expect = "::error file=bad.toml,line=34,col=15,endColumn=31,title=E0301 unknown metric::unknown metric \
                  'order.to_kitchen' — did you mean 'order.to_kds'?";
    assert!(annotations.lines().any(|l| l == expect), "{annotations}");
    insta::assert_snapshot!("short", findings("bad.toml", Format::Short));
    let json = findings("bad.toml", Format::Json);
    let first: serde_json::Value =
        serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["code"], "E0102");
    assert_eq!(first["primary"]["line"], 8);
    assert_eq!(first["primary"]["end_column"], 10);
}
