//! How long a small store needs, in virtual time, to catch up after an outage: the figure that capacity planners read.
//!
//! The store, the metric and its level stand in `scenarios/recovery.toml`; an outage's length and the line's rate are
//! overrides of it. The run is the one that `backroom run` makes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use backroom_sim::{
    metric::{Sample, SeedLog, evaluate},
    run::one::{self, Options},
    scenario::{self, Scenario},
};

use crate::cpu;

/// One point: how long the line is dead, and what it carries when it is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Length of the outage, minutes.
    pub outage_minutes: u32,
    /// Rate of the line upwards, kbit/s.
    pub line_kbit: u32,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} min at {} kbit/s",
            self.outage_minutes, self.line_kbit
        )
    }
}

/// The points of the grid.
pub const POINTS: [Point; 6] = [
    point(10, 64),
    point(10, 128),
    point(10, 256),
    point(40, 64),
    point(40, 128),
    point(40, 256),
];

const fn point(outage_minutes: u32, line_kbit: u32) -> Point {
    Point {
        outage_minutes,
        line_kbit,
    }
}

/// Where the scenario stands.
pub fn scenario_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/recovery.toml")
}

/// The small store with the outage and the line of `point`.
///
/// # Errors
/// What is wrong with the scenario, as a person would be told.
pub fn scenario_of(point: Point) -> Result<Arc<Scenario>, String> {
    let sets = [
        format!("fault.dead.for={}m", point.outage_minutes),
        format!("link.uplink.up={}kbit/s", point.line_kbit),
    ];
    let loaded = scenario::load(&scenario_path(), &sets)
        .map_err(|report| format!("{point}: {:#?}", report.list))?;
    Ok(Arc::new(loaded.scenario))
}

/// Runs one seed and gives the time from the end of the outage until the backlog is small for good.
///
/// # Errors
/// If the scenario cannot be run, or the store did not recover before the end of the run.
pub fn recovery(scenario: &Arc<Scenario>, seed: u64) -> Result<Duration, String> {
    let run = cpu::on_a_fresh_thread(|| one::run(scenario, seed, Options::default()))
        .map_err(|error| error.to_string())?;
    let log = SeedLog {
        seed,
        scenario,
        events: &run.events,
        links: &run.links,
        machines: &run.machines,
        ended_at: run.ended_at,
    };
    let [expect] = &scenario.expects[..] else {
        return Err(format!("{} expectations, not one", scenario.expects.len()));
    };
    match evaluate::expectation(&log, &expect.that, &expect.window) {
        Sample::Number { value } => Ok(Duration::from_secs_f64(value)),
        Sample::AtLeast { value } => Err(format!("not recovered after {value} s")),
        Sample::Nothing { why } => Err(why),
        other => Err(format!("{other:?} is not a time")),
    }
}
