//! Which run stands for an outage, and what is said where none does.

use super::*;
use crate::plan::{LOSS_TARGET, answer, stores};

/// An agency's office: 2.1 KB/s on the wire, over a line of `line` bytes per second that telemetry may take all of.
fn office(line: f64, outage: f64) -> Question {
    Question {
        store: *stores::find("agency-office").expect("it is there"),
        outage: Some(outage),
        line,
        share: Some(1.0),
        target: None,
        disk: None,
        loss_target: LOSS_TARGET,
    }
}

/// Guarantees: the longest outage is played whose recovery ends in 45 minutes although telemetry compresses half as well as declared;
/// where there is none, nothing is chosen.
#[test]
fn the_outage_that_is_played_recovers_in_time() {
    let check = |line: f64, outage: f64, expect: Option<f64>| {
        let got = shorter(&office(line, outage));
        assert_eq!(got.map(|(d, _)| d), expect, "{line} B/s, {outage} s");
        let Some((d, seconds)) = got else { return };
        // t0 + 2a (D + t0) / (c - 2a), and five minutes.
        let recovery = 75.0 + 4200.0 * (d + 75.0) / (line - 4200.0);
        assert!((seconds - recovery - 300.0).abs() < 1e-6, "{seconds}");
        assert!(seconds <= RECOVERY_MAX, "{seconds}");
    };
    check(250_000.0, 14.0 * DAY, Some(600.0));
    check(250_000.0, 200.0, Some(200.0));
    check(250_000.0, 5.0, Some(60.0));
    check(5400.0, 14.0 * DAY, Some(300.0));
    check(4700.0, 14.0 * DAY, Some(120.0));
    // 2325 s are left for 4200 (120 + 75) / (c - 4200).
    check(4553.0, 14.0 * DAY, Some(120.0));
    check(4551.0, 14.0 * DAY, None);
    // No recovery ends if it compresses half as well.
    check(4200.0, 14.0 * DAY, None);
    check(4000.0, 14.0 * DAY, None);
}

/// Guarantees: where less leaves than arrives no store is run, the plan says so, and its forms stand.
#[test]
fn a_line_that_carries_too_little_is_not_simulated() {
    let q = office(2000.0, 3600.0);
    let mut plan = answer(&q);
    let on_paper = plan.answers.clone();
    add(&mut plan, &q).expect("a plan without a run");
    let [note] = plan.notes.as_slice() else {
        panic!("{:?}", plan.notes);
    };
    assert!(note.starts_with("no store was simulated: "), "{note}");
    for (after, before) in plan.answers.iter().zip(&on_paper) {
        assert_eq!((after.value, after.margin), (before.value, before.margin));
        assert!(after.id == "loss" || after.simulated.is_none(), "{after:?}");
    }
}
