//! `watch`: files that really change, and the real program.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use super::*;

/// A watch that is ended with the test, however it ends.
struct Watch {
    child: Child,
    told: BufReader<std::process::ChildStderr>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watch {
    fn of(file: &Path) -> Self {
        let mut child = command(&["watch", str(file), "--"])
            .args(["--seed", "1", "--no-save", "--progress", "none"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let told = BufReader::new(child.stderr.take().expect("asked for"));
        Self { child, told }
    }

    /// Reads until a line has this in it; gives all lines up to it.
    fn until(&mut self, part: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.told.read_line(&mut line).expect("text");
            assert!(read > 0, "it ended before it said `{part}`: {all}");
            all.push_str(&line);
            if line.contains(part) {
                return all;
            }
        }
    }
}

/// Guarantees: a change of the file, of its template and of its recording each begin a run; an error is told and the watch goes on; Ctrl-C ends it.
#[test]
fn a_scenario_is_run_again_when_one_of_its_files_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = root().join("sim/tests/fixtures");
    let put = |name: &str, text: &str| {
        // As editors do: beside, then over it.
        let beside = folder.path().join("beside");
        std::fs::write(&beside, text).expect("written");
        std::fs::rename(&beside, folder.path().join(name)).expect("renamed");
    };
    let read = |name: &str| std::fs::read_to_string(fixtures.join(name)).expect("the fixture");
    put("small-store.toml", &read("small-store.toml"));
    put("line.txt", "60\t5\n");
    let text = read("quick.toml").replace("duration    = \"90s\"", "duration = \"60s\"");
    let link = "[link.uplink.trace]\nfile = \"line.txt\"\n";
    put("quick.toml", &format!("{text}\n{link}"));
    let mut watch = Watch::of(&folder.path().join("quick.toml"));
    watch.until("watching 3 files; Ctrl-C ends");

    put(
        "small-store.toml",
        &(read("small-store.toml") + "\n# changed\n"),
    );
    watch.until("small-store.toml changed");
    watch.until("watching 3 files");
    put("line.txt", "60\t6\n");
    watch.until("line.txt changed");
    watch.until("watching 3 files");
    put("quick.toml", "durration = 1");
    watch.until("quick.toml changed");
    let said = watch.until("watching 3 files");
    assert!(said.contains("did you mean `duration`?"), "{said}");
    put("quick.toml", &format!("{text}\n{link}"));
    watch.until("quick.toml changed");
    watch.until("watching 3 files");

    send(&watch.child, "INT");
    let mut out = String::new();
    let mut stdout = watch.child.stdout.take().expect("asked for");
    std::io::Read::read_to_string(&mut stdout, &mut out).expect("text");
    let code = watch.child.wait().expect("it ends").code();
    assert_eq!(code, Some(130), "{out}");
    let runs = out
        .lines()
        .filter(|line| line.starts_with("quick  1 seed"))
        .count();
    assert_eq!(runs, 4, "{out}");
}

#[test]
fn what_is_not_there_cannot_be_watched() {
    let (code, _, err) = told(&["watch", "no/such.toml"]);
    assert_eq!(code, 66, "{err}");
    assert!(err.contains("there is no no/such.toml"), "{err}");
}
