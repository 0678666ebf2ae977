//! Invariants over recorded events, one file each: always on, whatever a scenario expects.
//!
//! An expectation asks whether the store is good enough; an invariant asks whether the run can be true at all. So a violation
//! suspects our code or the model (exit code 3), not the store. They see events and nothing of a machine's insides. Each has
//! an id, says its source, and is tested with a trace that holds and one that violates it. A new one is a file and a line
//! in [`INVARIANTS`].

mod bounds;
mod conservation;
mod convergence;
mod delivery;
mod device_order;
mod effects;
mod kitchen;
mod little;
mod menu;
mod offers;
mod orders;
mod payments;
mod publishing;
mod receipts;
mod sold_out;
mod telemetry;
mod told;

use backroom_reports::{Invariant as Judged, Verdict};
use serde::{Deserialize, Serialize};

use crate::metric::{SeedLog, telemetry::Missing};

/// One invariant.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its name in reports and docs.
    pub id: &'static str,
    /// What it says.
    pub title: &'static str,
    /// Checks one seed.
    pub check: fn(&SeedLog<'_>) -> Finding,
}

/// All invariants, in the order of reports.
pub static INVARIANTS: &[Invariant] = &[
    orders::ORDER_1,
    effects::EFFECT_1,
    payments::PAYMENT_1,
    device_order::DEVICE_1,
    telemetry::TELEMETRY_1,
    delivery::DELIVERY_1,
    convergence::CONVERGENCE_1,
    kitchen::KITCHEN_1,
    conservation::TELEMETRY_2,
    bounds::BOUND_1,
    menu::MENU_1,
    publishing::CATALOG_1,
    sold_out::STOCK_1,
    offers::OFFER_1,
    receipts::RECEIPT_1,
    little::LITTLE_1,
];

/// What an invariant found in one seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finding {
    /// It holds.
    Holds,
    /// It does not.
    Violated {
        /// How often, and the first time.
        message: String,
    },
    /// The run cannot answer.
    NotAsked {
        /// Why.
        why: String,
    },
}

impl Finding {
    /// Whether the seed violates it.
    pub fn is_violated(&self) -> bool {
        matches!(self, Self::Violated { .. })
    }
}

/// What all invariants find in a seed, in the order of the table.
pub fn check(log: &SeedLog<'_>) -> Vec<Finding> {
    INVARIANTS
        .iter()
        .map(|invariant| (invariant.check)(log))
        .collect()
}

/// The verdicts from the findings of all seeds.
///
/// # Panics
/// If a seed's findings are not one for each invariant.
pub fn judge(seeds: &[(u64, Vec<Finding>)]) -> Vec<Judged> {
    let one = |(index, invariant): (usize, &Invariant)| {
        let findings = || seeds.iter().map(|(seed, all)| (*seed, &all[index]));
        let violated: Vec<(u64, &str)> = findings()
            .filter_map(|(seed, finding)| match finding {
                Finding::Violated { message } => Some((seed, message.as_str())),
                _ => None,
            })
            .collect();
        let asked = findings().any(|(_, finding)| *finding == Finding::Holds);
        let why = findings().find_map(|(_, finding)| match finding {
            Finding::NotAsked { why } => Some(why.clone()),
            _ => None,
        });
        let (verdict, message) = match violated.first() {
            Some((_, message)) => (Verdict::Fail, (*message).to_owned()),
            None if asked => (Verdict::Pass, String::new()),
            None => (Verdict::Skipped, why.unwrap_or_default()),
        };
        Judged {
            id: invariant.id.into(),
            title: invariant.title.into(),
            verdict,
            seed: violated.first().map(|(seed, _)| *seed),
            message,
            seeds_violated: violated.len(),
        }
    };
    INVARIANTS.iter().enumerate().map(one).collect()
}

/// Holds unless there are violations; the message tells how many, and the first one.
fn finding(what: &str, violations: &[String]) -> Finding {
    match violations.first() {
        None => Finding::Holds,
        Some(first) => Finding::Violated {
            message: format!("{} {what}; first: {first}", violations.len()),
        },
    }
}

/// The message of missing items: how many, and the first of them. `None` where there are none.
fn missing(
    log: &SeedLog<'_>,
    items: impl IntoIterator<Item = Missing>,
    what: &str,
) -> Option<String> {
    let mut items = items.into_iter().peekable();
    let first = *items.peek()?;
    let count: u64 = items.map(|m| m.end - m.first).sum();
    Some(format!(
        "{count} {what}; first: {} of {}, made at {}",
        first.first,
        log.machine(first.machine),
        at(first.born)
    ))
}

/// A virtual time in a message.
fn at(time: std::time::Duration) -> String {
    format!("{:.3}s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::fixture::{Log, scenario};

    #[test]
    fn ids_are_unique() {
        for (n, invariant) in INVARIANTS.iter().enumerate() {
            assert!(
                INVARIANTS[..n].iter().all(|other| other.id != invariant.id),
                "{}",
                invariant.id
            );
        }
    }

    #[test]
    fn an_empty_run_violates_nothing() {
        let scenario = scenario();
        let findings = check(&Log::default().log(&scenario));
        assert!(
            findings
                .iter()
                .all(|f| !matches!(f, Finding::Violated { .. })),
            "{findings:?}"
        );
    }

    #[test]
    fn the_first_seed_that_violates_is_told() {
        let holds = || vec![Finding::Holds; INVARIANTS.len()];
        let mut bad = holds();
        bad[1] = Finding::Violated {
            message: "x".into(),
        };
        let mut skipped = holds();
        skipped[0] = Finding::NotAsked { why: "y".into() };
        let judged = judge(&[(1, holds()), (2, bad.clone()), (3, bad)]);
        assert_eq!(
            (judged[1].verdict, judged[1].seed, judged[1].seeds_violated),
            (Verdict::Fail, Some(2), 2)
        );
        assert_eq!(judged[0].verdict, Verdict::Pass);
        let judged = judge(&[(1, skipped)]);
        assert_eq!(
            (judged[0].verdict, judged[0].message.as_str()),
            (Verdict::Skipped, "y")
        );
    }
}

#[cfg(test)]
mod probe {
    use super::{Finding, Invariant};
    use crate::metric::fixture::{Log, scenario};

    /// What a finding says is wrong.
    pub(super) fn told(finding: Finding) -> Option<String> {
        match finding {
            Finding::Violated { message } => Some(message),
            Finding::Holds => None,
            Finding::NotAsked { why } => panic!("not asked: {why}"),
        }
    }

    /// Message of a trace that violates; `None` where the invariant holds.
    ///
    /// # Panics
    /// If it is not asked: such a trace proves nothing.
    pub(super) fn message(invariant: &Invariant, mut log: Log) -> Option<String> {
        let scenario = scenario();
        told((invariant.check)(&log.log(&scenario)))
    }
}
