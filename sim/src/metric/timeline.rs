//! What happened when, for the line below the scenario's name: faults as the file says, fail-over as it was seen.

use std::time::Duration;

use backroom_reports::{Moment, human};

use super::{SeedLog, windows::clock};
use crate::{
    event::Event,
    scenario::{FaultKind, Scenario},
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
    for fault in &scenario.faults {
        for window in fault.windows.iter().take(SEEN_MAX) {
            put(
                window.start,
                "▼",
                format!(
                    "{} ({})",
                    fault.id,
                    what(&fault.kind, window.end.map(|e| e - window.start))
                ),
                None,
            );
            if let Some(end) = window.end
                && end <= scenario.duration
            {
                put(end, "▲", fault.id.clone(), None);
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

fn change_text(scenario: &Scenario, backup: bool) -> String {
    match (&scenario.failover, backup) {
        (Some(failover), true) => format!("failover → {}", failover.backup),
        (Some(failover), false) => format!("fail-back → {}", failover.primary),
        (None, true) => "failover".into(),
        (None, false) => "fail-back".into(),
    }
}

fn what(kind: &FaultKind, length: Option<Duration>) -> String {
    let text = match kind {
        FaultKind::LinkDown { link } => format!("link.down {link}"),
        FaultKind::LinkDegrade { link, .. } => format!("link.degrade {link}"),
        FaultKind::NodeCrash { node } => format!("node.crash {node}"),
        FaultKind::StorePowerCut { .. } => "store.power_cut".into(),
        FaultKind::LinkCaptivePortal { link } => format!("link.captive_portal {link}"),
        FaultKind::HqReject(rule) => format!("hq.reject {}", rule.status),
        FaultKind::Unsupported { kind } => kind.clone(),
    };
    match length {
        Some(length) => format!("{text}, {}", human::span(length.as_secs_f64())),
        None => format!("{text}, to the end"),
    }
}
