//! The store on recorded lines: what must hold on any line, however bad, holds on real ones.
//!
//! Recordings are not part of the project. `BACKROOM_TRACES` names a folder in which each folder holds recordings in the
//! "cooked" format, such as <https://github.com/confiwent/Real-world-bandwidth-traces>, in it or below; where it is unset,
//! nothing is checked, and the test says so. Throughput is in Mbit/s, but in MB/s in folders called `puffer…`.

mod play;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use backroom_reports::Verdict;

/// Of each folder, evenly spread over its files in order of their names.
const OF_EACH_FOLDER: usize = 3;

/// Folders that hold recordings, at most two levels down, with those of them that are played.
fn recordings(root: &Path) -> Vec<(PathBuf, Vec<PathBuf>)> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let listed = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        let mut paths: Vec<_> = listed
            .map(|entry| entry.expect("it is listed").path())
            .collect();
        paths.sort();
        paths
    };
    let folders_of = |folder: &Path| -> Vec<PathBuf> {
        let paths = entries(folder).into_iter();
        paths.filter(|path| path.is_dir()).collect()
    };
    let mut found = Vec::new();
    for folder in folders_of(root) {
        let below = folders_of(&folder);
        for folder in [folder].into_iter().chain(below) {
            let files = entries(&folder).into_iter();
            let files: Vec<_> = files.filter(|path| is_cooked(path)).collect();
            if !files.is_empty() {
                let step = files.len().div_ceil(OF_EACH_FOLDER);
                found.push((folder, files.into_iter().step_by(step).collect()));
            }
        }
    }
    found
}

/// Whether its first line is two numbers: licences and notes lie beside recordings.
fn is_cooked(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else {
        return false;
    };
    let first: Vec<&str> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    first.len() == 2 && first.iter().all(|number| number.parse::<f64>().is_ok())
}

fn unit(folder: &Path) -> &'static str {
    let name = folder.file_name().and_then(OsStr::to_str);
    match name.is_some_and(|name| name.starts_with("puffer")) {
        true => "MB/s",
        false => "Mbit/s",
    }
}

/// Scenario: lunch on the uplink of a bus, a DSL line, a cable modem; a fifth of the telemetry, for a debug build.
/// Guarantees: no expectation fails, no invariant is violated, and the line really was the recorded one.
#[test]
fn the_store_keeps_its_promises_on_recorded_lines() {
    let Some(root) = std::env::var_os("BACKROOM_TRACES") else {
        eprintln!("skipped: BACKROOM_TRACES is not set, there are no recordings to play");
        return;
    };
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/recorded-line.toml");
    let folders = recordings(Path::new(&root));
    assert!(
        !folders.is_empty(),
        "{root:?} has no folder with recordings"
    );
    for (folder, files) in folders {
        for file in files {
            let trace = format!("link.uplink.trace.file={}", file.display());
            let unit = format!("link.uplink.trace.unit={}", unit(&folder));
            let scenario = play::load(
                &scenario,
                &[
                    &trace,
                    &unit,
                    "traffic.telemetry.rate=10KB/s",
                    "duration=15m",
                ],
            );
            let played = scenario.links["uplink"].trace.as_ref();
            assert_eq!(played.map(|t| &t.file), Some(&file));

            let run = play::run(&scenario, 1);
            let up = run.links.iter().filter(|l| l.link == "uplink" && l.upwards);
            let up: u64 = up.flat_map(|l| &l.carried).map(|(_, bytes)| bytes).sum();
            assert!(up > 100_000, "{}: {up} B upwards", file.display());
            let result = play::judge(&scenario, &[run]);
            for expectation in &result.expectations {
                let verdict = expectation.verdict;
                assert_ne!(
                    verdict,
                    Verdict::Fail,
                    "{}: {expectation:#?}",
                    file.display()
                );
            }
            for invariant in &result.invariants {
                let verdict = invariant.verdict;
                assert_eq!(verdict, Verdict::Pass, "{}: {invariant:?}", file.display());
            }
        }
    }
}
