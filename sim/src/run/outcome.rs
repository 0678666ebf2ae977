//! What crosses processes: one seed's samples, findings and figures, boiled down from its log.
//!
//! A log holds millions of events and stays in its worker. Everything here is deterministic but [`Cost`], which `merge` keeps
//! apart: the same seed gives the same bytes on any machine.

use serde::{Deserialize, Serialize};

use super::{cost, one::SeedRun};
use crate::{
    event::Event,
    invariant::{self, Finding},
    metric::{Sample, SeedLog, evaluate, timeline},
    oracle::{
        judge::OracleSample,
        physics::{Permitted, permitted},
    },
    plot::{self, SeedPlots},
    scenario::Scenario,
    world::trace::TraceHash,
};

/// One seed, boiled down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeedOutcome {
    /// The seed.
    pub seed: u64,
    /// Hash over every packet and every recorded event, in hexadecimal.
    pub trace_hash: String,
    /// By expectation, in file order.
    pub samples: Vec<Sample>,
    /// By oracle, in file order.
    pub oracles: Vec<OracleSample>,
    /// By expectation: what was possible at best, where a closed form knows.
    #[serde(default)]
    pub physics: Vec<Option<Permitted>>,
    /// By invariant, in the table's order.
    pub findings: Vec<Finding>,
    /// What happened when.
    pub timeline: Vec<backroom_reports::Moment>,
    /// What had not arrived at the end of the settle phase.
    pub pending: Vec<String>,
    /// Faults that ended without having had any effect.
    pub idle_faults: Vec<String>,
    /// What it looked like over time. Taken out by whoever keeps it (`plot::keep`): a run of many seeds cannot hold all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plots: Option<Box<SeedPlots>>,
    /// What it took to compute.
    pub cost: Cost,
}

/// Wall-clock figures and sizes: they differ between two runs of a seed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// CPU seconds of the seed's thread.
    pub cpu_seconds: f64,
    /// Largest resident set of the worker so far, bytes.
    pub memory_bytes_peak: u64,
    /// Packets.
    pub packets: u64,
    /// Virtual seconds, settle phase included.
    pub virtual_seconds: f64,
}

impl SeedOutcome {
    /// Whether two runs of a seed agree in everything but their cost.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let text = |outcome: &Self| {
            let free = Self {
                cost: Cost::default(),
                ..outcome.clone()
            };
            serde_json::to_string(&free).ok()
        };
        text(self) == text(other)
    }

    /// Judges nothing yet: only measures.
    pub fn of(scenario: &Scenario, run: &SeedRun) -> Self {
        // Windows of faults at random times are this seed's own.
        let scenario = &*scenario.of_seed(run.seed);
        let log = SeedLog {
            seed: run.seed,
            scenario,
            events: &run.events,
            links: &run.links,
            machines: &run.machines,
            ended_at: run.ended_at,
        };
        let expects = scenario.expects.iter();
        let oracles: Vec<OracleSample> = scenario
            .oracles
            .iter()
            .map(|oracle| OracleSample::of(&log, oracle))
            .collect();
        Self {
            seed: run.seed,
            trace_hash: format!("{:016x}", trace_hash(run)),
            samples: expects
                .map(|e| evaluate::expectation(&log, &e.that, &e.window))
                .collect(),
            plots: Some(Box::new(plot::of(&log, &oracles))),
            oracles,
            physics: scenario
                .expects
                .iter()
                .map(|expect| permitted(&log, expect))
                .collect(),
            findings: invariant::check(&log),
            timeline: timeline::moments(&log),
            pending: run.pending.clone(),
            idle_faults: idle_faults(scenario, run),
            cost: Cost {
                cpu_seconds: cost::thread_cpu().as_secs_f64(),
                memory_bytes_peak: cost::peak_bytes(None).unwrap_or(0),
                packets: run.world.packets,
                virtual_seconds: run.ended_at.as_secs_f64(),
            },
        }
    }
}

/// The packets' hash, with what was recorded: a run that differs only in what it says of itself differs.
fn trace_hash(run: &SeedRun) -> u64 {
    use std::hash::{Hash as _, Hasher as _};

    let mut hash = TraceHash::new(false);
    hash.write_u64(run.world.trace_hash);
    // As the standard library hashes a list of them.
    let told = || run.events.iter().filter(|e| e.event.is_hashed());
    hash.write_usize(told().count());
    told().for_each(|e| e.hash(&mut hash));
    hash.finish()
}

/// A fault that never bites makes a run falsely green.
fn idle_faults(scenario: &Scenario, run: &SeedRun) -> Vec<String> {
    run.events
        .iter()
        .filter_map(|e| match e.event {
            Event::Fault {
                fault,
                begins: false,
                effects: 0,
            } => Some(scenario.faults[usize::from(fault)].id.clone()),
            _ => None,
        })
        .collect()
}
