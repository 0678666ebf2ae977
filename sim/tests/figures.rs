//! Figures that expectations take from whole runs, in a small store: each is judged on what really happened, not on paper.
//!
//! - `patience`: how the collector waits when it is sent away, and what head office sees of it

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
