//! Head office with a gateway: a line that cuts answers makes stores send again what was taken, and each item reaches the back end
//! once all the same. Without the gateway the same line makes duplicates, so the fault and the count mean something.

mod play;

use std::{path::Path, sync::Arc, time::Duration};

use backroom_reports::Verdict;
use backroom_sim::{event::Event, run::one::SeedRun, scenario::Scenario};

const S: Duration = Duration::from_secs(1);

/// The small store for two and a half minutes, with answers cut for half of them.
fn store(settings: &str) -> Arc<Scenario> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gateway.toml");
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/small-store.toml");
    let text = format!(
        r#"
schema = 1
name = "gateway"
description = "answers are cut"
use = [{template:?}]
seed = 1
start = "2025-03-14T12:00:00-05:00"
warmup = "20s"
duration = "150s"
collector.batch.delay = "1s"
{settings}
[[fault]]
id = "cut"
kind = "link.cut_answers"
on = "uplink"
at = "12:00:30"
for = "80s"
share = "30%"
class = "telemetry"
[[expect]]
id = "nothing-lost"
that = "count(telemetry.lost) == 0"
window = "at end"
"#
    );
    std::fs::write(&file, text).expect("it has room");
    play::load(&file, &[])
}

/// Items that came to the gateway again, and that came to the back end again.
fn repeats(run: &SeedRun) -> (u64, u64) {
    let mut seen = std::collections::BTreeSet::new();
    let (mut at_gateway, mut at_back_end) = (0, 0);
    for event in &run.events {
        match event.event {
            Event::TelemetryRepeated { items } => at_gateway += items,
            Event::TelemetryReceived {
                machine,
                first,
                count,
            } => {
                for item in first..first + u64::from(count) {
                    at_back_end += u64::from(!seen.insert((machine, item)));
                }
            }
            _ => {}
        }
    }
    (at_gateway, at_back_end)
}

/// Whether the fault tells that it bit.
fn bites(run: &SeedRun) -> u64 {
    let effects = |event: &Event| match *event {
        Event::Fault {
            begins: false,
            effects,
            ..
        } => Some(effects),
        _ => None,
    };
    run.events.iter().filter_map(|e| effects(&e.event)).sum()
}

#[test]
fn with_a_gateway_each_item_reaches_the_back_end_once() {
    for protocol in ["http/protobuf", "grpc"] {
        let endpoint = format!("collector.endpoint.protocol = \"{protocol}\"\n");
        let without = play::run(&store(&endpoint), 1);
        let (_, twice) = repeats(&without);
        assert!(bites(&without) > 5, "{protocol}");
        assert!(twice > 0, "{protocol}: the line makes duplicates");
        let scenario = store(&format!("{endpoint}hq.gateway = true\n"));
        let with = play::run(&scenario, 1);
        let (dropped, twice) = repeats(&with);
        assert!(bites(&with) > 5, "{protocol}");
        assert!(dropped > 0, "{protocol}: the gateway met repeats");
        assert_eq!(twice, 0, "{protocol}: the back end met none");
        assert_eq!(with.pending, Vec::<String>::new(), "nothing is lost");
        let result = play::judge(&scenario, std::slice::from_ref(&with));
        for expectation in &result.expectations {
            assert_eq!(expectation.verdict, Verdict::Pass, "{expectation:?}");
        }
        let last = with.events.iter().filter_map(|e| match e.event {
            Event::TelemetryReceived { .. } => Some(e.at),
            _ => None,
        });
        let last = last.last();
        assert!(last > Some(145 * S), "it goes on to the end");
    }
}

/// Scenario: the line cuts answers, head office's back end refuses everything for a while, and meanwhile the gateway is killed, then
/// loses power, then is killed again.
/// Guarantees: what it has seen is as durable as what it stores: what comes again after a crash is dropped, nothing is lost, and the
/// back end gets each item once. While the back end refuses, the gateway itself cannot have sent anything twice.
#[test]
fn a_gateway_that_crashes_knows_what_it_has_seen() {
    let crash = |id: &str, at: &str, power: bool| {
        format!(
            "[[fault]]\nid = \"{id}\"\nkind = \"hq.gateway_crash\"\non = \"hq\"\nat = \"{at}\"\nfor = \"4s\"\npower = {power}\n"
        )
    };
    let refuses = "[[fault]]\nid = \"refuses\"\nkind = \"hq.reject\"\non = \"hq\"\nat = \"12:00:35\"\nfor = \"60s\"\n\
                   share = \"100%\"\nservice = \"telemetry\"\n";
    let crashes = [
        crash("killed", "12:00:50", false),
        crash("dark", "12:01:02", true),
        crash("killed-again", "12:01:14", false),
    ];
    let scenario = store(&format!(
        "hq.gateway = true\ncollector.retry.backoff = \"full-jitter(base=500ms, cap=2s)\"\n{refuses}{}",
        crashes.concat()
    ));
    let run = play::run(&scenario, 1);
    let ends = run.events.iter().filter_map(|e| match e.event {
        Event::Fault {
            fault,
            begins: false,
            effects,
        } => Some((fault, effects)),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends.len(), 5);
    assert!(
        ends.iter().all(|(_, effects)| *effects > 0),
        "each bit: {ends:?}"
    );
    let repeated_after = |at: Duration| {
        let after = run.events.iter().filter(|e| e.at > at);
        let items = after.map(|e| match e.event {
            Event::TelemetryRepeated { items } => items,
            _ => 0,
        });
        items.sum::<u64>()
    };
    assert!(
        repeated_after(54 * S) > 0,
        "it met repeats after the first crash"
    );
    let (dropped, twice) = repeats(&run);
    assert!(dropped > 0);
    assert_eq!(twice, 0, "the back end met none");
    assert_eq!(run.pending, Vec::<String>::new(), "nothing is lost");
    let result = play::judge(&scenario, std::slice::from_ref(&run));
    for expectation in &result.expectations {
        assert_eq!(expectation.verdict, Verdict::Pass, "{expectation:?}");
    }
}

/// The same seed is the same run, gateway included.
#[test]
fn a_run_with_a_gateway_is_deterministic() {
    let scenario = store("hq.gateway = true\n");
    let [one, two] = [7, 7].map(|seed| play::run(&scenario, seed).world.trace_hash);
    assert_eq!(one, two);
}
