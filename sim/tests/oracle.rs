//! The closed form beside the simulation: it agrees with a store that does what its file says, and with no other one.
//!
//! - the lunch scenario's recovery is what the fluid form says, within the band that the file states;
//! - a collector that sends at 90 % of its declared rate is found out.
//!
//! The outage, the rates and the compression are the shipped scenario's; only the quiet time around them is shorter.

mod play;

use std::{path::Path, sync::Arc};

use backroom_reports::{RunResult, Verdict, exit};
use backroom_sim::{run::one::SeedRun, scenario::Scenario};

/// The lunch scenario from eight minutes before the outage to ten after it: recovery takes six or seven.
fn lunch(sets: &[&str]) -> Arc<Scenario> {
    let mut all = vec![
        "start=2025-03-14T11:57:00-05:00",
        "warmup=2m",
        "duration=33m",
    ];
    all.extend(sets);
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    play::load(&scenarios.join("lunch-uplink-cut.toml"), &all)
}

fn runs(scenario: &Arc<Scenario>, seeds: &[u64]) -> Vec<SeedRun> {
    seeds
        .iter()
        .map(|seed| play::run(scenario, *seed))
        .collect()
}

fn oracle(result: &RunResult) -> &backroom_reports::Oracle {
    let [oracle] = result.oracles.as_slice() else {
        panic!("the lunch scenario has one oracle: {:?}", result.oracles);
    };
    assert_eq!(oracle.model, "fluid_recovery");
    assert_eq!(oracle.tolerance, 0.08, "the band is the file's");
    oracle
}

/// Scenario: the uplink is dead for a quarter of an hour at lunch, with 48 KB/s of telemetry that is really compressed.
/// Guarantees: recovery takes what T1 says for the measured arrival rate, in each seed and not only on average.
#[test]
fn the_lunch_hour_recovers_as_the_fluid_form_says() {
    let scenario = lunch(&[]);
    let result = play::judge(&scenario, &runs(&scenario, &[1, 2]));
    let oracle = oracle(&result);
    assert_eq!(oracle.verdict, Verdict::Pass, "{oracle:#?}");
    assert_eq!(oracle.seeds.len(), 2);
    for seed in &oracle.seeds {
        let (theory, observed) = (seed.theory.expect("told"), seed.observed.expect("seen"));
        let off = observed / theory - 1.0;
        assert!(off.abs() <= oracle.tolerance, "{off:+.3} in {seed:?}");
        // A recovery that is over at once would agree with anything.
        assert!(observed > 180.0, "{seed:?}");
    }
    let input = |name: &str| {
        let found = oracle.inputs.iter().find(|input| input.name == name);
        found.map(|input| input.value).expect("an input of T1")
    };
    assert_eq!((input("c"), input("D")), (32_000.0, 900.0), "from the file");
    assert!(
        (4_800.0..12_000.0).contains(&input("a")),
        "48 KB/s, compressed four to ten times, are {} B/s",
        input("a")
    );
    let declared = oracle.theory_declared.expect("the file has a ratio");
    assert!((declared - 207.7).abs() < 0.1, "{declared}");
    for invariant in &result.invariants {
        assert_ne!(invariant.verdict, Verdict::Fail, "{invariant:?}");
    }
    assert_ne!(result.exit_code, exit::SUSPECT, "{}", result.exit_reason);
}

/// Scenario: the same, with a collector that sends at 230.4 of the 256 kbit/s that its file declares.
/// Guarantees: the oracle fails, and the process would say that model or code are to be suspected.
#[test]
fn a_collector_that_is_slower_than_declared_is_found_out() {
    let declared = lunch(&[]);
    let slow = lunch(&["collector.send.max_rate=230.4kbit/s"]);
    let rate = |scenario: &Scenario| {
        let rate = scenario.collector.send.max_rate;
        rate.expect("the file limits it").bytes_per_second()
    };
    assert_eq!(rate(&slow), 0.9 * rate(&declared));
    let runs = runs(&slow, &[1]);

    let result = play::judge(&declared, &runs);
    let found = oracle(&result);
    assert_eq!(found.verdict, Verdict::Fail, "{found:#?}");
    assert!(found.deviation.expect("seen") > 0.08, "it took longer");
    assert_eq!(result.exit_code, exit::SUSPECT, "{}", result.exit_reason);
    // Nothing else is wrong with it: invariants do not see a rate.
    for invariant in &result.invariants {
        assert_ne!(invariant.verdict, Verdict::Fail, "{invariant:?}");
    }

    // It is the declaration that is wrong, not the form: told the truth, it agrees.
    let honest = play::judge(&slow, &runs);
    assert_eq!(oracle(&honest).verdict, Verdict::Pass, "{honest:#?}");
}
