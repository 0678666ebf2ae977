//! What happened when, for the line below the scenario's name: faults as the file says, fail-over as it was seen.

use std::time::Duration;

use backroom_reports::{Moment, human};

use super::{SeedLog, windows::clock};
use crate::{
    event::Event,
    fault::told,
    scenario::{
        Fault, FaultKind, Scenario,
        occur::{Begins, Plan},
    },
};

/// 12: what fits on a screen; a flapping line is told by its metrics.
const SEEN_MAX: usize = 12;

/// Faults of the file and changes of line of this seed, in time order.
pub fn moments(log: &SeedLog<'_>) -> Vec<Moment> {
    let scenario = log.scenario;
    let mut all: Vec<(Duration, Moment)> = Vec::new();
    let mut put = |at: Duration, symbol: &str, text: String, seed: Option<u64>| {
        let moment = Moment {
            at_seconds: at.as_secs_f64(),
            clock: clock(scenario, Duration::from_secs(at.as_secs())),
            symbol: symbol.into(),
            text,
            seed,
        };
        all.push((at, moment));
    };
    let any_random = scenario.faults.iter().any(is_random);
    for fault in &scenario.faults {
        // A time that a seed decides is told with it.
        let is_fixed = |plan: &Plan| matches!(plan.begins, Begins::At(_));
        let is_fixed = !any_random || fault.plan.as_ref().is_none_or(is_fixed);
        let seed = (!is_fixed).then_some(log.seed);
        for window in fault.windows.iter().take(SEEN_MAX) {
            put(
                window.start,
                "▼",
                format!(
                    "{} ({})",
                    fault.id,
                    what(&fault.kind, window.end.map(|e| e - window.start))
                ),
                seed,
            );
            if let Some(end) = window.end
                && end <= scenario.duration
            {
                put(end, "▲", fault.id.clone(), seed);
            }
        }
    }
    let changes = log.events.iter().filter_map(|s| match s.event {
        Event::Failover { backup } => Some((s.at, backup)),
        _ => None,
    });
    for (at, backup) in changes.take(SEEN_MAX) {
        put(at, "", change_text(scenario, backup), Some(log.seed));
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, moment)| moment).collect()
}

fn is_random(fault: &Fault) -> bool {
    let plan = fault.plan.as_ref();
    plan.is_some_and(|plan| matches!(plan.begins, Begins::Random(_)))
}

fn change_text(scenario: &Scenario, backup: bool) -> String {
    match (&scenario.failover, backup) {
        (Some(failover), true) => format!("failover → {}", failover.backup),
        (Some(failover), false) => format!("fail-back → {}", failover.primary),
        (None, true) => "failover".into(),
        (None, false) => "fail-back".into(),
    }
}

fn what(kind: &FaultKind, length: Option<Duration>) -> String {
    let text = told::short(kind);
    match length {
        Some(length) => format!("{text}, {}", human::span(length.as_secs_f64())),
        None => format!("{text}, to the end"),
    }
}
