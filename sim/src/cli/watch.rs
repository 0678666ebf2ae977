//! `backroom watch`: runs scenarios again whenever one of their files changes.
//!
//! Looks at the files five times a second instead of asking the system for events: editors replace files rather than write them, and shared
//! folders of containers and networks tell no events; a scenario stands on a handful of files, so looking costs nothing. Each run is a process
//! of its own, the same program with `run`, and one at a time: a change stops the run under way and begins anew. What a file that is wrong
//! says is told by that run, and the watch goes on. Next: `scenario::files`, what is watched.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

use backroom_reports::exit;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{kept::Wrong, outputs};
use crate::scenario::{self, Checked};

/// Run scenarios again whenever one of their files changes: itself, its templates, its recordings.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenarios; a folder stands for the scenarios in it.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Options of `run`, behind `--`: `-- --seed 7 --set duration=10m`.
    #[arg(last = true, value_name = "OPTIONS OF RUN")]
    options: Vec<String>,
}

/// 200 ms: nobody waits for it, and an editor that writes in several steps has mostly ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// 10,000 files: folders are looked at as a whole, and a folder of more is none of scenarios.
const FILES_MAX: usize = 10_000;

/// What a file looked like: when it was last written, its length, which file it is. `None`: it was not there.
type Look = Option<(Option<std::time::SystemTime>, u64, u64)>;

pub(super) fn run(args: &Args) -> i32 {
    super::code(watch(args))
}

fn watch(args: &Args) -> Result<i32, Wrong> {
    let internal = |what: &str, error: io::Error| (format!("{what}: {error}"), exit::INTERNAL);
    // A name that is wrong from the beginning is a typing error; one that disappears later may come back.
    outputs::files_of(&args.files)?;
    if let Some(file) = args.files.iter().find(|file| !file.exists()) {
        return Err((format!("there is no {}", file.display()), exit::NO_INPUT));
    }
    let program = std::env::current_exe().map_err(|e| internal("start the program again", e))?;
    let stop = stops().map_err(|e| internal("listen for Ctrl-C", e))?;
    let mut known = BTreeSet::new();
    loop {
        // Looked at before they are read: what changes in between is seen as a change.
        known = files(args, known);
        let before = look(&known);
        clear();
        let mut command = Command::new(&program);
        command.arg("run").args(&args.files).args(&args.options);
        // Ctrl-C is for the watch, which hands it on: otherwise the run would be told twice, and end without a report.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|e| internal("start a run", e))?;
        match wait(child, &before, &stop) {
            After::Changed(what) => eprintln!("{} changed", what.display()),
            After::Stopped => return Ok(exit::INTERRUPTED),
        }
    }
}

/// Why the waiting ended.
enum After {
    Changed(PathBuf),
    Stopped,
}

/// Waits for a change that has settled, with the run beside it.
fn wait(mut child: Child, before: &BTreeMap<PathBuf, Look>, stop: &Receiver<i32>) -> After {
    let mut is_running = true;
    let mut last = before.clone();
    let known: BTreeSet<PathBuf> = before.keys().cloned().collect();
    loop {
        match stop.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(signal) => {
                end(&mut child, signal, stop);
                return After::Stopped;
            }
            Err(RecvTimeoutError::Disconnected) => {
                end(&mut child, SIGTERM, stop);
                return After::Stopped;
            }
        }
        if is_running && !matches!(child.try_wait(), Ok(None)) {
            is_running = false;
            eprintln!("watching {} files; Ctrl-C ends", before.len());
        }
        let now = look(&known);
        // Twice the same: whoever writes has ended.
        let has_settled = now == last;
        last = now;
        let changed = before
            .iter()
            .find(|(path, seen)| last.get(*path) != Some(*seen));
        if let (true, Some((path, _))) = (has_settled, changed) {
            end(&mut child, SIGTERM, stop);
            return After::Changed(path.clone());
        }
    }
}

/// Hands a signal on, and waits; whoever asks once more is obeyed at once.
fn end(child: &mut Child, signal: i32, stop: &Receiver<i32>) {
    send(child, signal);
    while matches!(child.try_wait(), Ok(None)) {
        if let Ok(again) = stop.recv_timeout(LOOK_EVERY / 10) {
            send(child, again);
        }
    }
}

fn send(child: &Child, signal: i32) {
    let signal = match signal {
        SIGINT => rustix::process::Signal::INT,
        _ => rustix::process::Signal::TERM,
    };
    let id = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // One that has ended by itself needs no signal.
        let _ = rustix::process::kill_process(id, signal);
    }
}

/// Signals that end the watch, as they come.
fn stops() -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (tell, stop) = mpsc::channel();
    // It lives as long as the process: nothing joins it.
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if tell.send(signal).is_err() {
                    return;
                }
            }
        })?;
    Ok(stop)
}

/// What the scenarios stand on. Of a file that cannot be read as one, what it stood on before: an error is mended in any of these.
fn files(args: &Args, before: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let mut all: BTreeSet<PathBuf> = args.files.iter().cloned().collect();
    let named = outputs::files_of(&args.files).unwrap_or_else(|_| args.files.clone());
    let sets = sets(&args.options);
    let mut is_whole = true;
    for file in named {
        match scenario::check(&file, &sets) {
            Ok(Checked::Scenario(loaded)) => all.extend(loaded.files()),
            Ok(Checked::Template(report)) => all.extend(names(&report.sources)),
            Err(report) => {
                is_whole = false;
                all.extend(names(&report.sources));
            }
        }
        all.insert(file);
    }
    if !is_whole {
        all.extend(before);
    }
    all.into_iter().take(FILES_MAX).collect()
}

fn names(sources: &backroom_collector::config::Sources) -> Vec<PathBuf> {
    let names = sources.iter().map(|source| source.name.as_str());
    let names = names.filter(|name| !name.starts_with("--"));
    names.map(PathBuf::from).collect()
}

/// The `--set` values among the options of `run`: they may name other recordings.
fn sets(options: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.strip_prefix("--set") {
            Some("") => all.extend(options.next().cloned()),
            Some(rest) => all.extend(rest.strip_prefix('=').map(str::to_owned)),
            None => {}
        }
    }
    all
}

fn look(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Look> {
    files
        .iter()
        .map(|path| (path.clone(), look_at(path)))
        .collect()
}

fn look_at(path: &Path) -> Look {
    let seen = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let which = std::os::unix::fs::MetadataExt::ino(&seen);
    #[cfg(not(unix))]
    let which = 0;
    // A folder is as long as its list of names takes, and is written to when a name comes or goes.
    Some((seen.modified().ok(), seen.len(), which))
}

/// An empty screen for each run, where there is one.
fn clear() {
    if io::stdout().is_terminal() {
        let _ = io::stdout().write_all(b"\x1b[2J\x1b[3J\x1b[H");
        let _ = io::stdout().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_is_found_among_the_options_of_run() {
        let check = |options: &[&str], expect: &[&str]| {
            let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
            assert_eq!(sets(&options), expect);
        };
        check(
            &["--seed", "7", "--set", "a=1", "--set=b=2"],
            &["a=1", "b=2"],
        );
        check(&["--sets", "x", "--set"], &[]);
    }

    #[test]
    fn a_file_that_is_replaced_or_gone_looks_otherwise() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.toml");
        assert_eq!(look_at(&path), None);
        std::fs::write(&path, "one").expect("written");
        let first = look_at(&path);
        assert_eq!(look_at(&path), first);
        let other = folder.path().join("b.toml");
        std::fs::write(&other, "two").expect("written");
        std::fs::rename(&other, &path).expect("renamed");
        assert_ne!(look_at(&path), first, "another file of the same length");
    }
}
