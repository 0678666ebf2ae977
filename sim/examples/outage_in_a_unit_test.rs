//! An outage in a unit test of yours: the whole engine as a library, no command line, no worker processes.
//!
//! ```text
//! cargo test -p backroom-sim --example outage_in_a_unit_test
//! cargo run  -p backroom-sim --example outage_in_a_unit_test
//! ```
//! In a project of yours this stands in `tests/`, with your scenario beside it.

use backroom_sim::{
    event::{Event, Payment},
    lab::Lab,
    run::one::SeedRun,
};

/// The small store of our own tests, with a line that is dead for a minute.
fn lab() -> Lab {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/outage.toml");
    Lab::open(file, &["fault.cut.for=60s"]).unwrap_or_else(|told| panic!("{told}"))
}

/// What a scenario cannot say is counted in what was recorded.
fn payments_taken_offline(run: &SeedRun) -> usize {
    let offline = |event: &Event| {
        matches!(
            event,
            Event::PaymentSettled {
                how: Payment::Offline,
                ..
            }
        )
    };
    run.events.iter().filter(|s| offline(&s.event)).count()
}

fn main() {
    let lab = lab();
    let run = lab.run(1).expect("it can be run");
    let result = lab.judge(std::slice::from_ref(&run));
    println!(
        "{} expectations, exit code {}, {} payments taken offline",
        result.expectations.len(),
        result.exit_code,
        payments_taken_offline(&run)
    );
}

/// What a scenario can say, it says: its expectations, and the invariants.
#[test]
fn the_store_keeps_its_promises() {
    lab().check(&[1]).unwrap_or_else(|told| panic!("{told}"));
}

#[test]
fn the_outage_is_felt() {
    let run = lab().run(1).expect("it can be run");
    assert!(payments_taken_offline(&run) > 0);
}

/// The determinism kit works in any thread of any process: the same seed is the same run.
#[test]
fn the_same_seed_is_the_same_run() {
    let lab = lab();
    let (one, other) = (lab.run(7), lab.run(7));
    let (one, other) = (one.expect("it can be run"), other.expect("it can be run"));
    assert_eq!(one.world.trace_hash, other.world.trace_hash);
    assert_eq!(one.events, other.events);
}
