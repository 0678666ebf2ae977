//! How long a small store needs, in virtual time, to catch up after an outage: the figure that capacity planners read.
//!
//! The store, the metric and its level stand in `scenarios/recovery.toml`; an outage's length, the line's rate and the load are
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

/// One point: how long the line is dead, what it carries when it is back, and how much the store makes all the while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Length of the outage, minutes.
    pub outage_minutes: u32,
    /// Rate of the line upwards, kbit/s.
    pub line_kbit: u32,
    /// Telemetry of the whole store before compression, KB/s.
    pub load_kb: u32,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} min at {} kbit/s under {} KB/s",
            self.outage_minutes, self.line_kbit, self.load_kb
        )
    }
}

/// Loads of the grid, KB/s before compression: half of what the small store makes, that, and twice as much. Compressed, the last one is
/// some 24 kbit/s, so that even the slowest line drains.
pub const LOADS_KB: [u32; 3] = [6, 12, 24];

/// The points of the grid under one load.
pub fn points(load_kb: u32) -> impl Iterator<Item = Point> {
    [10, 40].into_iter().flat_map(move |outage_minutes| {
        [64, 128, 256].map(|line_kbit| Point {
            outage_minutes,
            line_kbit,
            load_kb,
        })
    })
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
        // The slowest point needs as long as its outage; what comes after costs time only.
        format!("duration={}m", 20 + 2 * point.outage_minutes),
        format!("fault.dead.for={}m", point.outage_minutes),
        format!("link.uplink.up={}kbit/s", point.line_kbit),
        format!("traffic.telemetry.rate={}KB/s", point.load_kb),
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
