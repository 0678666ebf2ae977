//! `docs/ci.md`, command by command: what the tutorial shows is what the program says.
//!
//! Its `console` blocks are run in order, in one folder, each command by a shell that finds `backroom` first. Below a command stands what it
//! said, and its exit code if that is not 0. Times and the names of runs differ from run to run and are not compared. `BLESS_TUTORIAL=1`
//! writes the document anew.

use std::path::{Path, PathBuf};
use std::process::Command;

const START: &str = "```console\n";
const END: &str = "```\n";

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ci.md")
}

/// The commands of a block, each with what stands below it.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => all.push((command.to_owned(), String::new())),
            (None, Some((_, said))) => said.push_str(&format!("{line}\n")),
            (None, None) => panic!("a block begins with a command: {line}"),
        }
    }
    all
}

/// What a shell says to a command, both streams as they come, and the exit code of its first program.
fn said(command: &str, folder: &Path, path: &str) -> String {
    let script = format!("set -o pipefail; exec 2>&1; {command}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder);
    bash.env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .env("LC_ALL", "C")
        .env("COLUMNS", "110");
    let out = bash.output().expect("bash is there");
    let mut said = String::from_utf8(out.stdout).expect("text");
    match out.status.code() {
        Some(0) => {}
        code => said.push_str(&format!("(exit code {})\n", code.expect("not killed"))),
    }
    said
}

/// Without what differs from run to run: how long it took, and when it was.
fn lasting(said: &str) -> String {
    let mut out = String::new();
    for line in said.lines() {
        // How far a long run is: told every ten seconds.
        if line.contains("× real time, about ") || line.ends_with(" runs left") {
            continue;
        }
        let mut line = line.to_owned();
        if let Some(end) = line.find(" real time)")
            && let Some(start) = line[..end].rfind("  in ")
        {
            line.replace_range(start + 5..end, "…");
        }
        let words: Vec<String> = line.split('/').map(run).collect();
        out.push_str(&words.join("/"));
        out.push('\n');
    }
    out
}

/// `20261127T065800Z-8f2c`, the name of a run.
fn run(word: &str) -> String {
    let shape = "00000000T000000Z-";
    let fits = word.len() > shape.len()
        && word.bytes().zip(shape.bytes()).all(|(a, b)| match b {
            b'0' => a.is_ascii_digit(),
            b => a == b,
        });
    match fits {
        true => {
            let rest = word[shape.len()..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
            format!("RUN{rest}")
        }
        false => word.to_owned(),
    }
}

#[test]
fn what_differs_from_run_to_run_is_left_out() {
    let check = |said: &str, expect: &str| assert_eq!(lasting(said), format!("{expect}\n"));
    check(
        "x  20 seeds  90m simulated each  in 44.8s (2,400× real time)",
        "x  20 seeds  90m simulated each  in … real time)",
    );
    check(
        "report: runs/x/20261127T065800Z-8f2c/report.html      exit 1",
        "report: runs/x/RUN/report.html      exit 1",
    );
    check("kept in runs/x/20261127T065800Z-8f2c", "kept in runs/x/RUN");
    check("runs/2026/x", "runs/2026/x");
}

/// Guarantees: whoever follows the tutorial sees what it shows.
#[test]
fn the_tutorial_is_what_the_program_says() {
    let text = std::fs::read_to_string(document()).expect("the tutorial");
    let bin = Path::new(env!("CARGO_BIN_EXE_backroom"));
    let place = tempfile::tempdir().expect("a folder");
    let bins = place.path().join("bin");
    let folder = place.path().join("shop");
    for made in [&bins, &folder] {
        std::fs::create_dir(made).expect("made");
    }
    std::os::unix::fs::symlink(bin, bins.join("backroom")).expect("linked");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", bins.display());

    let bless = std::env::var_os("BLESS_TUTORIAL").is_some();
    let (mut new, mut wrong) = (String::new(), Vec::new());
    let mut rest = text.as_str();
    let mut count = 0;
    while let Some((before, after)) = rest.split_once(START) {
        let (block, after) = after.split_once(END).expect("a block ends");
        new.push_str(before);
        new.push_str(START);
        for (command, expect) in commands(block) {
            let got = said(&command, &folder, &path);
            // What has not changed stays as it was, times included.
            let same = lasting(&got) == lasting(&expect);
            if !same {
                wrong.push(format!("$ {command}\n{got}instead of\n{expect}"));
            }
            let shown = if same { &expect } else { &got };
            new.push_str(&format!("$ {command}\n{shown}"));
            count += 1;
        }
        new.push_str(END);
        rest = after;
    }
    new.push_str(rest);
    assert!(count >= 10, "{count} commands");
    if bless {
        std::fs::write(document(), new).expect("written");
        return;
    }
    assert!(
        wrong.is_empty(),
        "run `BLESS_TUTORIAL=1 cargo test -p backroom-sim --test tutorial`, and look at the difference:\n{}",
        wrong.join("\n")
    );
}
