//! Published reports, end to end on a small shape: what they ask is simulated, written, and compared.

use backroom_benches::published::{
    Kind, Stamp, cell, engine, page,
    recovery::{self, Question},
};
use backroom_sim::plan::stores;

/// Scenario: an agency's office without its line for two minutes.
/// Guarantees: recovery and peak are told beside the closed form, equal runs are equal, and a change is found.
#[test]
fn a_recovery_is_simulated_told_and_compared() {
    let question = Question {
        store: stores::find("agency-office").expect("a kind"),
        outage_minutes: 4,
        line_kbit: 128,
        minutes: 18,
    };
    let answer = recovery::answer(&question).expect("it runs");
    let (is, theory) = (
        answer.recovery_ms.expect("recovers"),
        answer.theory_ms.expect("told"),
    );
    assert!(
        is > 0 && (is as f64 / theory as f64 - 1.0).abs() < 0.1,
        "{answer:?}"
    );
    assert!(
        answer.peak_bytes > 240 * answer.stored_bytes_per_second / 2,
        "{answer:?}"
    );

    let text = recovery::tables(std::slice::from_ref(&answer));
    assert!(text.contains("| 4 min | 128kbit/s |"), "{text}");
    assert!(text.contains("| 14 days |"), "{text}");

    let same = std::slice::from_ref(&answer);
    assert!(recovery::differences(same, same).is_empty());
    let mut later = answer.clone();
    later.recovery_ms = Some(is + 1);
    assert_eq!(recovery::differences(same, &[later]).len(), 1);
    assert_eq!(recovery::differences(&[], same).len(), 1);
    assert_eq!(recovery::differences(same, &[]).len(), 1);
}

/// Guarantees: the engine's page has every table, and a page built without optimisations says so.
#[test]
fn the_engine_is_measured() {
    let effort = engine::Effort {
        runs: 1,
        requests: 5,
        beside: 1,
    };
    let text = engine::tables(&effort);
    for part in ["## Packets", "## Quiet time", "turmoil 0.7", "| 60 |"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let stamp = Stamp {
        optimised: false,
        ..Stamp::here("engine")
    };
    let page = page("The engine", Kind::Measured, &stamp, &text, engine::LIMITS);
    assert!(page.contains("Built without optimisations"), "{page}");
    assert!(page.contains("## What this does not tell"), "{page}");
}

#[test]
fn text_of_others_stays_in_its_cell() {
    assert_eq!(cell("a|b\n<script>"), r"a\|b \<script>");
}
