//! Whole runs whose log goes to the disk: they say what a run in memory says, or that there was no room.

use std::{fs::File, io, path::Path, sync::Arc};

use super::{
    one::{self, Options, RunError, SeedRun},
    outcome::SeedOutcome,
};
use crate::{
    scenario::{self, Scenario},
    spill::Scratch,
};

fn lunch() -> Arc<Scenario> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/lunch-uplink-cut.toml");
    let sets = [
        "start=2025-03-14T12:03:30-05:00",
        "warmup=30s",
        "duration=4m",
        "fault.uplink-cut.for=1m",
        "traffic.telemetry.rate=1KB/s",
    ];
    let loaded = scenario::load(&file, &sets.map(str::to_owned));
    Arc::new(loaded.unwrap_or_else(|_| panic!("a scenario")).scenario)
}

/// With chunks of 64 events.
fn run(scenario: &Arc<Scenario>, file: io::Result<File>) -> Result<SeedRun, RunError> {
    let scratch = Scratch::of(file, 64);
    let run = || one::run_with(scenario, 5, Options::default(), scratch);
    std::thread::scope(|scope| scope.spawn(run).join()).expect("no panic")
}

#[test]
fn a_log_on_the_disk_says_what_one_in_memory_says() {
    let scenario = lunch();
    let whole = || one::run(&scenario, 5, Options::default());
    let whole = std::thread::scope(|scope| scope.spawn(whole).join()).expect("no panic");
    let whole = whole.expect("it can be run");
    let spilled = run(&scenario, tempfile::tempfile()).expect("there is room");
    assert!(spilled.events.bytes_on_disk() > 0 && whole.events.bytes_on_disk() == 0);
    assert!(spilled.events == whole.events);
    let [spilled, whole] = [spilled, whole].map(|run| SeedOutcome::of(&scenario, &run));
    assert!(spilled.says_the_same(&whole));
    assert!(!whole.timeline.is_empty());
}

/// No verdict at all: a log with a gap would be judged like a whole one.
fn check(file: io::Result<File>, expect: &str) {
    let error = run(&lunch(), file).expect_err("there is no room");
    assert!(matches!(error, RunError::NotSpilled(_)), "{error}");
    assert!(error.to_string().contains(expect), "{error}");
}

#[test]
fn without_room_for_the_log_a_seed_ends_with_an_error() {
    check(Err(io::ErrorKind::NotFound.into()), "entity not found");
    #[cfg(target_os = "linux")]
    check(
        File::options().read(true).write(true).open("/dev/full"),
        "No space left on device",
    );
}
