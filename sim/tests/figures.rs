//! Figures that expectations take from whole runs, in a small store: each is judged on what really happened, not on paper.
//!
//! - `patience`: how the collector waits when it is sent away, and what head office sees of it
//! - `physics`: what the line and the machines permit, beside what was measured

mod play;

use std::{path::Path, sync::Arc};

use backroom_reports::{Expectation, RunResult, Verdict};
use backroom_sim::scenario::Scenario;

/// The small store for some minutes.
fn store(duration: &str, more: &str) -> Arc<Scenario> {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/small-store.toml");
    let text = format!(
        r#"
schema = 1
name = "figures"
description = "what is measured"
use = [{template:?}]
seed = 1
start = "2025-03-14T12:00:00-05:00"
warmup = "20s"
duration = "{duration}"
{more}
"#
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("figures.toml");
    std::fs::write(&file, text).expect("it has room");
    play::load(&file, &[])
}

fn judged(scenario: &Arc<Scenario>) -> RunResult {
    let run = play::run(scenario, 1);
    play::judge(scenario, std::slice::from_ref(&run))
}

fn found<'r>(result: &'r RunResult, id: &str) -> &'r Expectation {
    let found = result.expectations.iter().find(|e| e.id == id);
    found.unwrap_or_else(|| panic!("no expectation {id}"))
}

/// Scenario: head office answers 429 with 20 s of Retry-After to four of five exports, from 60 to 180 s.
/// Guarantees: `collector.retry_gap` shows that the collector obeys, and that a limit above it fails; requests that are sent away
/// count as requests and not as accepted; sessions are counted by the second.
#[test]
fn patience() {
    let scenario = store(
        "5m",
        r#"
[[fault]]
id = "throttled"
kind = "hq.reject"
on = "hq"
at = "+60s"
for = "120s"
status = 429
share = "80%"
retry_after = "20s"
service = "telemetry"
[[expect]]
id = "obeys"
that = "min(collector.retry_gap) >= 20s"
window = "during throttled for 100s"
[[expect]]
id = "is-not-slow"
that = "min(collector.retry_gap) >= 60s"
window = "during throttled for 100s"
[[expect]]
id = "asks-again"
that = "ratio(hq.requests, hq.accepted) > 1"
[[expect]]
id = "quiet-before"
that = "ratio(hq.requests, hq.accepted) == 1"
window = "between 12:00 and 12:01"
[[expect]]
id = "sessions"
that = "max(hq.new_sessions) <= 50/s"
"#,
    );
    let result = judged(&scenario);
    let verdict = |id: &str| found(&result, id).verdict;
    assert_eq!(verdict("obeys"), Verdict::Pass, "{result:#?}");
    assert_eq!(verdict("is-not-slow"), Verdict::Fail);
    assert_eq!(verdict("asks-again"), Verdict::Pass);
    assert_eq!(verdict("quiet-before"), Verdict::Pass);
    let sessions = found(&result, "sessions");
    assert_eq!(sessions.verdict, Verdict::Pass);
    assert!(sessions.value.expect("sessions") >= 1.0, "{sessions:?}");
}

/// Scenario: the uplink is cut from 60 to 120 s.
/// Guarantees: beside a recovery stands what the line needs for that backlog, and it is near; beside a card payment and a switch stands
/// what they take at best, and nothing is faster.
#[test]
fn physics() {
    let scenario = store(
        "5m",
        r#"
[[fault]]
id = "cut"
kind = "link.down"
on = "uplink"
at = "+90s"
for = "60s"
[[expect]]
id = "back"
that = "recovery(telemetry.backlog, below=64KiB) < 3m"
window = "after cut"
[[expect]]
id = "cards"
that = "p50(payment.auth) < 2s"
[[expect]]
id = "tickets"
that = "mean(order.to_kds) < 2s"
[[expect]]
id = "switch"
that = "time_to(failover.active == 'lte') < 40s"
window = "during cut"
[[expect]]
id = "lag"
that = "p50(telemetry.lag) < 10m"
"#,
    );
    let result = judged(&scenario);
    let beside = |id: &str| {
        let found = found(&result, id);
        let physics = found.physics.clone();
        (found.value.expect("a value"), physics)
    };
    let (value, physics) = beside("back");
    let physics = physics.unwrap_or_else(|| panic!("T1 knows: {result:#?}"));
    assert_eq!(physics.model, "fluid_recovery");
    assert!(
        (0.5..2.0).contains(&(value / physics.value)),
        "{value}: {physics:?}"
    );
    for (id, model) in [
        ("cards", "payment_round_trip"),
        ("tickets", "store_messages"),
        ("switch", "failover_detection"),
    ] {
        let (value, physics) = beside(id);
        let physics = physics.unwrap_or_else(|| panic!("{id}"));
        assert_eq!(physics.model, model);
        assert!(physics.value <= value, "{id}: {value}, {physics:?}");
        assert!(physics.value > 0.0, "{id}: {physics:?}");
    }
    assert_eq!(beside("lag").1, None);
}
