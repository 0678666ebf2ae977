//! The language as its users see it: what a bad file is told, in golden files.
//!
//! - `bad_file`: sixteen errors of one file, in one go, with their codes and carets
//! - `syntax`: a file that is not TOML
//! - `warnings`: what looks wrong before a run
//! - `annotations`: the same findings for machines
//! - what no run could play: refused by `check`, at the value
//! - exit codes of `check` and `explain`
//! - `schema`: the shipped JSON Schema is the one that the tables of keys make

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

/// Guarantees: W0601 to W0605 are found with the figures of closed forms, and blame the value that is to change.
#[test]
fn what_looks_wrong_is_told_before_a_run() {
    let path = fixture("warned.toml");
    let loaded = scenario::load(&path, &[]).unwrap_or_else(|report| panic!("{report}"));
    let shown = loaded.warnings.render(Format::Human, false);
    let folder = path.parent().expect("a folder").display().to_string() + "/";
    let shown = shown.replace(&folder, "");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .join("scenarios");
    let shown = shown.replace(&scenarios.display().to_string(), "scenarios");
    for code in ["W0601", "W0602", "W0603", "W0604", "W0605"] {
        assert!(shown.contains(code), "{code}:\n{shown}");
    }
    insta::assert_snapshot!("warnings", shown);
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

/// Guarantees: editors complete what the reader takes. `BLESS_SCHEMA=1` writes the file anew.
#[test]
fn the_shipped_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/scenario.schema.json");
    let schema = backroom_sim::cli::schema::text(backroom_sim::cli::schema::Of::Scenario);
    if std::env::var_os("BLESS_SCHEMA").is_some() {
        std::fs::write(&path, &schema).expect("written");
    }
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        shipped == schema,
        "run `backroom schema > scenarios/scenario.schema.json`"
    );
}

#[test]
fn exit_codes_tell_bad_files_from_missing_ones() {
    use backroom_sim::cli::{check, explain};
    use clap::Parser as _;

    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/lunch-uplink-cut.toml");
    let shipped = shipped.display().to_string();
    let bad = fixture("bad.toml").display().to_string();
    let check = |args: &[&str]| check::run(&check::Args::parse_from([&["check"], args].concat()));
    assert_eq!(check(&[&shipped]), 0);
    assert_eq!(check(&[&shipped, &bad, "--message-format", "json"]), 65);
    assert_eq!(check(&[&bad, "none.toml", "--message-format", "short"]), 66);
    assert_eq!(check(&[&shipped, "--set", "fault.uplink-cut.for=40x"]), 65);

    let explain =
        |args: &[&str]| explain::run(&explain::Args::parse_from([&["explain"], args].concat()));
    assert_eq!(explain(&[&shipped]), 0);
    assert_eq!(explain(&[&shipped, "--origin", "--set", "seed=7"]), 0);
    assert_eq!(explain(&["e0204"]), 0);
    assert_eq!(explain(&["metrics"]), 0);
    assert_eq!(explain(&["E9999"]), 64);
    assert_eq!(explain(&[&bad]), 65);
    assert_eq!(explain(&["link.down"]), 0);
    assert_eq!(explain(&["keys"]), 0);
    assert_eq!(explain(&["link.dwon"]), 66);
    assert_eq!(explain(&["none.toml"]), 66);
}

/// A small store whose line is cut once, for one mistake at a time.
const SMALL: &str = r#"schema = 1
start = "2025-03-14T11:30:00-05:00"
duration = "30m"
[node.kiosk]
role = "kiosk"
count = 2
[node.broker]
role = "broker"
[class.order]
priority = 1
[link.lan]
between = ["store/*", "router"]
up = "100Mbit/s"
down = "100Mbit/s"
delay = "1ms"
[link.uplink]
between = ["router", "hq"]
up = "2Mbit/s"
down = "10Mbit/s"
delay = "20ms"
[traffic.orders]
from = ["kiosk"]
arrivals = "poisson"
rate = "60/h"
flow = [{ msg = "order.placed", to = "broker", bytes = "1KB", class = "order" }]
[[fault]]
id = "cut"
kind = "link.down"
on = "uplink"
at = "+5m"
for = "5m"
"#;

/// Guarantees: what no run could play is refused by `check`, at the value that is wrong, with a way out.
#[test]
fn what_cannot_be_played_is_refused_before_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("it is written");
    };
    write("noise", &[0x80, 0xff, 0x00, 0x9c]);
    write("words", b"1\t2\n2\tabc\n");
    write("dead", b"1\t0\n2\t0\n");
    let check = |from: &str, to: &str, expect: &str| {
        assert!(SMALL.contains(from), "{from}");
        write("case.toml", SMALL.replacen(from, to, 1).as_bytes());
        let path = folder.path().join("case.toml");
        let found = match scenario::load(&path, &[]) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        };
        let found = found.render(Format::Human, false);
        let missing: Vec<&str> = expect.split(" | ").filter(|e| !found.contains(e)).collect();
        assert!(missing.is_empty(), "{to}: no {missing:?} in\n{found}");
        assert_eq!(expect.is_empty(), found.is_empty(), "{found}");
    };
    check("schema = 1", "schema = 1", "");
    let line = |file: &str, format: &str| {
        format!("trace = {{ file = \"{file}\", format = \"{format}\" }}\nup = \"2Mbit/s\"")
    };
    let up = "up = \"2Mbit/s\"";
    check(
        up,
        &line("noise", "cooked"),
        "E0115 | `noise` cannot be played | case.toml:18:19 | byte 0 is not text | trace import",
    );
    check(
        up,
        &line("words", "cooked"),
        "E0115 | line 2: throughput `abc`",
    );
    check(
        up,
        &line("words", "mahimahi"),
        "E0115 | `words` cannot be played",
    );
    check(up, &line("dead", "cooked"), "E0115 | every value is zero");
    check(up, &line("none", "cooked"), "E0112 | none");
    check(
        "[\"router\", \"hq\"]",
        "[\"router\", \"router\"]",
        "E0107 | a link leads from one place to another | the same end twice",
    );
    check(
        "\"60/h\"",
        "\"1000000000/s\"",
        "E0107 | no store has so much traffic | case.toml:24:8 | is the unit right?",
    );
    check(up, "up = \"2Mb\"", "E0105 | did you mean `Mbit/s`?");
    let crash = "kind = \"node.crash\"\non = \"kiosk-7\"";
    check(
        "kind = \"link.down\"\non = \"uplink\"",
        crash,
        "E0204 | there is no machine `kiosk-7` | `kiosk` has 2: `kiosk-1` to `kiosk-2`",
    );
    check(
        "for = \"5m\"",
        "for = \"until cut.end\"",
        "E0207 | case.toml:31:7 | waits for a fault that waits for this one",
    );
}
