//! `fmt` and `trace import`: files of the user that are written anew, or brought in.

use std::{io::Write as _, process::Stdio};

use super::*;

#[test]
fn shipped_scenarios_have_the_canonical_form() {
    let (code, out, err) = told(&[
        "fmt",
        "--check",
        "scenarios",
        "scenarios/stores",
        "sim/tests/fixtures/quick.toml",
        "sim/tests/fixtures/small-store.toml",
    ]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
}

#[test]
fn a_file_is_written_in_its_canonical_form_or_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = root().join(QUICK);
    let good = std::fs::read_to_string(good).expect("the fixture");
    let bad = good.replace("schema      = 1", "schema=1");
    let file = folder.path().join("x.toml");
    let read = || std::fs::read_to_string(&file).expect("there");
    std::fs::write(&file, &bad).expect("written");
    let (code, out, _) = told(&["fmt", "--check", str(&file)]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("\n-schema=1\n+schema      = 1\n"), "{out}");
    assert_eq!(read(), bad, "a look changes nothing");

    // Through a link, which stays one; what is in form already is not written at all.
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    let (code, out, err) = told(&["fmt", str(&link)]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert_eq!(read(), good);
    assert!(link.is_symlink());
    let written = std::fs::metadata(&file).expect("there").modified().ok();
    let (code, ..) = told(&["fmt", str(folder.path())]);
    assert_eq!(code, 0);
    let again = std::fs::metadata(&file).expect("there").modified().ok();
    assert_eq!(again, written);

    // What is no TOML, no text, too large, not there: told, and the others are written all the same.
    let others: [(&str, &[u8], i32); 2] = [("y.toml", b"a = \n", 65), ("z.toml", b"\xff\xfe", 65)];
    for (name, bytes, code) in others {
        std::fs::write(&file, &bad).expect("written");
        let other = folder.path().join(name);
        std::fs::write(&other, bytes).expect("written");
        let (got, out, err) = told(&["fmt", str(&other), str(&file)]);
        assert_eq!((got, out.as_str()), (code, ""), "{err}");
        assert!(err.contains(name), "{err}");
        assert_eq!(read(), good);
        assert_eq!(std::fs::read(&other).expect("there"), bytes);
    }
    let (code, _, err) = told(&["fmt", "no/such.toml"]);
    assert_eq!(code, 66, "{err}");
    let (code, _, err) = told(&["fmt"]);
    assert_eq!(code, 64, "{err}");
}

/// What `fmt --stdin` says to a text.
fn piped(args: &[&str], said: &str) -> (i32, String) {
    let mut fmt = command(args);
    fmt.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = fmt.stderr(Stdio::null()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("asked for");
    stdin.write_all(said.as_bytes()).expect("written");
    drop(stdin);
    let out = child.wait_with_output().expect("it ends");
    (out.status.code().expect("by itself"), text(&out.stdout))
}

#[test]
fn an_editor_formats_through_standard_input() {
    let fmt = |text: &str| piped(&["fmt", "--stdin"], text);
    assert_eq!(fmt("schema=1\n"), (0, "schema = 1\n".into()));
    assert_eq!(fmt("schema =\n"), (65, String::new()));
    assert_eq!(
        piped(&["fmt", "--stdin", "--check"], "schema = 1\n"),
        (0, String::new())
    );
    let (code, out) = piped(&["fmt", "--stdin", "--check"], "schema=1\n");
    assert_eq!(code, 1);
    assert!(out.contains("+schema = 1"), "{out}");
}

#[test]
fn a_recording_is_brought_in_and_played() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("line.csv");
    std::fs::write(&table, "at,down\n0,0\n30,800\n31,0\n60,1000\n").expect("written");
    let out = folder.path().join("traces/line.txt");
    let import = |more: &[&str]| {
        told(&[&["trace", "import", str(&table), "--format", "csv"], more].concat())
    };

    let (code, _, err) = import(&[]);
    assert_eq!(code, 64, "nobody is there to be asked: {err}");
    assert!(
        err.contains("does not say its unit; name it with --unit:"),
        "{err}"
    );
    assert!(err.contains("  kbit/s  a mean of 883kbit/s\n"), "{err}");
    let named = [
        "--unit",
        "kbit/s",
        "--time-column",
        "at",
        "--value-column",
        "down",
        "-o",
        str(&out),
    ];
    let (code, shown, err) = import(&named);
    assert_eq!(code, 0, "{err}");
    assert!(
        shown.contains("line.txt: 1m in 3 steps, mean 883kbit/s"),
        "{shown}"
    );
    assert!(
        shown.contains("below 1kbit/s for 1.7% of the time, once, 1s at most"),
        "{shown}"
    );
    let written = std::fs::read_to_string(&out).expect("written");
    assert_eq!(written, "30\t0.8\n31\t0\n60\t1\n");

    // The command that it tells works, here with the small store.
    let set = format!("link.uplink.trace.file={}", str(&out));
    assert!(shown.contains(&format!("--set {set}")), "{shown}");
    let declare = "link.uplink.trace={ file = \"/dev/null\" }".replace("/dev/null", str(&out));
    let (code, shown, err) = told(&["run", QUICK, "--seed", "1", "--no-save", "--set", &declare]);
    assert!(matches!(code, 0..=2), "{shown}{err}");

    let (code, shown, _) = import(&["--unit", "kbit/s", "--json"]);
    assert_eq!(code, 0);
    let summary: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(summary["steps"], 3);
    let (code, shown, _) = import(&["--unit", "kbit/s", "--every", "20s", "-o", "-"]);
    assert_eq!((code, shown.as_str()), (0, "20\t0.8\n40\t0.85\n60\t1\n"));

    // Another recording is not written over, the same one is.
    assert_eq!(import(&named).0, 0);
    let (code, _, err) = import(&["--unit", "Mbit/s", "-o", str(&out)]);
    assert_eq!(code, 73, "{err}");
    assert!(err.contains("is there and is another recording"), "{err}");
    assert_eq!(std::fs::read_to_string(&out).expect("there"), written);
    assert_eq!(
        import(&["--unit", "Mbit/s", "-o", str(&out), "--force"]).0,
        0
    );
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x");
    let check = |bytes: &[u8], format: &str, more: &[&str], code: i32, part: &str| {
        std::fs::write(&file, bytes).expect("written");
        let out = folder.path().join("out");
        let args = [
            "trace",
            "import",
            str(&file),
            "--format",
            format,
            "-o",
            str(&out),
        ];
        let (got, shown, err) = told(&[&args[..], more].concat());
        assert_eq!((got, shown.as_str()), (code, ""), "{err}");
        assert!(err.contains(part), "{err}");
        assert!(!out.exists());
    };
    let unit: &[&str] = &["--unit", "Mbit/s"];
    check(b"0\t1\n1\tx\n", "cooked", unit, 65, "x:2: throughput `x`");
    check(
        b"5\n4\n",
        "mahimahi",
        &[],
        65,
        "x:2: time `4` comes before 5",
    );
    check(b"5\n", "mahimahi", unit, 64, "says itself what it counts");
    check(b"\xff", "cooked", unit, 65, "byte 0 is not text");
    check(
        b"{",
        "iperf3",
        &[],
        65,
        "x:1: is not what `iperf3 --json` prints",
    );
    check(
        b"t,v\n1,2\n",
        "csv",
        &["--value-column", "w"],
        65,
        "has no column `w`; the first row is t, v",
    );
    check(
        b"1\t2\n",
        "cooked",
        &["--unit", "mbps"],
        64,
        "`mbps` is none of bit/s",
    );
    let (code, _, err) = told(&["trace", "import", "no/such", "--format", "csv"]);
    assert_eq!(code, 66, "{err}");
}
