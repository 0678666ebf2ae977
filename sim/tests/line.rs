//! What the collector makes of a line: all of it while there is a backlog, and no more than its profile allows.
//!
//! - `a_backlog_fills_the_line`: 2 Mbit/s with round trips of 40 ms and of 600 ms, at least 97 % of the line;
//! - `the_backup_line_is_used_as_its_profile_says`: during a failover only what may go goes, within the budget.

mod play;

use std::{path::Path, sync::Arc, time::Duration};

use backroom_sim::{run::one::SeedRun, scenario::Scenario};

/// The small store with a scenario's text.
fn store(text: &str, sets: &[&str]) -> Arc<Scenario> {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/small-store.toml");
    let text = format!(
        r#"
schema = 1
name = "line"
description = "what the collector makes of a line"
use = [{template:?}]
seed = 1
start = "2025-03-14T12:00:00-05:00"
warmup = "20s"
{text}
[[expect]]
id = "no-acknowledged-item-lost"
that = "count(telemetry.lost, acked=true) == 0"
window = "at end"
"#
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("line.toml");
    std::fs::write(&file, text).expect("it has room");
    play::load(&file, sets)
}

/// Bytes on the wire of a link, in both directions or upwards only, of telemetry or of everything, from one instant to another.
fn carried(
    run: &SeedRun,
    scenario: &Scenario,
    link: &str,
    up_only: bool,
    telemetry_only: bool,
    from: Duration,
    to: Duration,
) -> u64 {
    let telemetry = scenario.classes.get_index_of("telemetry").expect("a class");
    let links = run.links.iter().filter(|l| {
        l.link == link
            && (!up_only || l.upwards)
            && (!telemetry_only || usize::from(l.class) == telemetry)
    });
    let seconds = from.as_secs()..to.as_secs();
    let bytes = links.flat_map(|l| &l.carried);
    let bytes = bytes.filter(|(second, _)| seconds.contains(&u64::from(*second)));
    bytes.map(|(_, bytes)| bytes).sum()
}

/// Scenario: more telemetry than the line carries, not compressed, so that there is a backlog from the first seconds on; nothing
/// but the line limits the collector. `BACKROOM_LINES=all` plays two more lines.
/// Guarantees: its packets, headers included, are on the line for 97 % of the time, whatever the round trip. At 600 ms one
/// connection carries 109 kB/s: it takes rate x round trip / 64 KiB of them, and one more.
#[test]
fn a_backlog_fills_the_line() {
    let mut lines = vec![(2.0, "20ms"), (2.0, "300ms")];
    if std::env::var_os("BACKROOM_LINES").is_some() {
        lines.extend([(0.512, "20ms"), (10.0, "40ms")]);
    }
    println!("  Mbit/s  one way  line B/s  drained B/s  share");
    for (mbit, one_way) in lines {
        let bytes_per_second = mbit * 125_000.0;
        let scenario = store(
            r#"
duration = "60s"
[traffic.orders]
rate = "60/h"
[collector]
send = { max_rate = "100Mbit/s", inflight = "auto", order = "oldest-first" }
compress = { codec = "none", ratio = 1.0 }
batch = { bytes = "256KiB", delay = "1s" }
"#,
            &[
                &format!("link.uplink.up={mbit}Mbit/s"),
                &format!("link.uplink.delay=const({one_way})"),
                "link.uplink.loss=0%",
                &format!("traffic.telemetry.rate={}B/s", 1.28 * bytes_per_second),
            ],
        );
        let run = play::run(&scenario, 1);
        // Each step of the slow start takes an answer, which takes three seconds where the round trip is long.
        let (from, to) = (Duration::from_secs(45), Duration::from_secs(75));
        let bytes = carried(&run, &scenario, "uplink", true, true, from, to);
        let share = bytes as f64 / (bytes_per_second * (to - from).as_secs_f64());
        let rate = bytes as f64 / (to - from).as_secs_f64();
        let percent = share * 100.0;
        println!("{mbit:>8} {one_way:>8} {bytes_per_second:>9.0} {rate:>12.0} {percent:>5.2}%");
        assert!(
            share >= 0.97,
            "{mbit} Mbit/s, {one_way} one way: {percent:.2} % of the line"
        );
    }
}

/// Scenario: three minutes without the primary line. The router lets telemetry over the backup, and the collector has a profile
/// for that: logs and traces only, logs are urgent, and 256 KiB in a day. In the middle of it the collector is killed.
/// Guarantees: what goes over the backup stays within the budget and what TCP sends again of before, nothing else goes, the rest waits, and all of it arrives when the
/// primary is back.
#[test]
fn the_backup_line_is_used_as_its_profile_says() {
    let scenario = store(
        r#"
duration = "5m"
[traffic.telemetry]
rate = "60KB/s"
[collector]
send = { max_rate = "1Mbit/s", order = "oldest-first" }
[collector.link.backup]
match = { interface = "lte" }
rate = "256kbit/s"
classes = ["logs", "traces"]
urgent = ["logs"]
budget = { bytes = "256KiB", per = "1d", reserve = "25%" }
[failover]
allow = ["payment", "order", "telemetry"]
[[fault]]
id   = "cut"
kind = "link.down"
on   = "uplink"
at   = "+30s"
for  = "3m"
[[fault]]
id   = "killed"
kind = "node.crash"
on   = "collector"
at   = "+100s"
for  = "5s"
"#,
        &[],
    );
    let run = play::run(&scenario, 1);
    let result = play::judge(&scenario, std::slice::from_ref(&run));
    assert_eq!(result.exit_code, 0, "all of it arrives, {:?}", run.pending);
    let (start, end) = (Duration::ZERO, Duration::from_secs(3600));
    let used = carried(&run, &scenario, "lte", false, true, start, end);
    println!("{used} bytes over the backup");
    // What was under way when the primary died, TCP sends again over the backup, and nobody paid for that: a window for each of
    // two requests and a fresh one at most.
    let again = 3 * (64 << 10);
    assert!(
        used <= (256 << 10) + again,
        "{used} bytes are more than the budget"
    );
    // What is left of it: a lease that the kill cost, and the rest in which no request found room.
    assert!(
        used >= 96 << 10,
        "{used} bytes: the budget is there to be used"
    );
}
