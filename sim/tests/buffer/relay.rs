//! The collector as a gateway, under attack: senders give each request a range, repeat it until it is acknowledged, and now and then
//! once more. What it has seen must be as durable as what it stores, or items come in two batches (the judge's BATCH-2).

use backroom_sim::world::disk::{PowerLoss, Side};

use crate::{
    judge::{Excused, judge, must_hold},
    lies::Lie,
    stage::{Log, S, Setup, Stage, play},
};

fn setup(loss: PowerLoss) -> Setup {
    Setup {
        requests: 7,
        loss,
        repeats: true,
        is_gateway: true,
        ..Setup::short()
    }
}

fn run(setup: Setup, plan: impl FnOnce(&Stage) + Send) -> Log {
    play(setup, async |stage: Stage| {
        plan(&stage);
        stage.start();
        stage.drained().await;
    })
}

/// What two batches have, whoever made them.
fn regrouped(log: &Log) -> bool {
    let verdict = judge(log, Excused::default());
    let mut violations = verdict.violations.iter();
    violations.any(|violation| violation.contains("items came in two batches"))
}

/// Guarantees: without a fault everything comes once; all of it is acknowledged.
#[test]
fn a_quiet_gateway_forwards_each_item_once() {
    let log = run(setup(PowerLoss::Unsynced), |_| {});
    let verdict = must_hold(&"quiet", &log, Excused::default());
    assert_eq!((verdict.repeats, log.refused), (0, 0));
    assert_eq!(log.acked, log.offered);
    assert!(log.acked.len() > 40, "{} items", log.acked.len());
}

/// The same senders and a collector that is no gateway: the judge sees that items come twice.
#[test]
fn repeats_without_a_gateway_are_found() {
    let setup = Setup {
        is_gateway: false,
        ..setup(PowerLoss::Unsynced)
    };
    assert!(regrouped(&run(setup, |_| {})));
}

/// The power goes at a change of the disk, each in turn; or the process dies some time in the run.
/// Guarantees: what was acknowledged is delivered, and what was repeated, after the crash too, is in one batch.
#[test]
fn a_crash_at_any_boundary_neither_loses_nor_doubles() {
    let changes = run(setup(PowerLoss::Unsynced), |_| {}).changes;
    assert!(changes > 30, "{changes} changes");
    for (number, at) in (0..changes).enumerate() {
        let loss = [PowerLoss::Unsynced, PowerLoss::Scatter][number % 2];
        let side = [Side::Before, Side::After][number / 2 % 2];
        let log = run(setup(loss), |stage| stage.disk.cut_at(at, side));
        assert_eq!(log.bites, 1, "the power went");
        must_hold(&(loss, side, at), &log, Excused::default());
    }
    for step in 0..10 {
        let log = play(setup(PowerLoss::Unsynced), async |stage: Stage| {
            stage.start();
            stage.pass(S / 20 + step * S / 9).await;
            stage.crash().await;
            stage.drained().await;
        });
        must_hold(&("killed", step), &log, Excused::default());
    }
}

/// The harness has teeth: a gateway that acknowledges before its sync loses what it has, and knows it all the same or not at all.
#[test]
fn a_gateway_without_fsync_is_found() {
    let lying = || Setup {
        lie: Some(Lie::Sync),
        ..setup(PowerLoss::Unsynced)
    };
    let changes = run(lying(), |_| {}).changes;
    let cut = |at| run(lying(), |stage| stage.disk.cut_at(at, Side::After));
    let found = (5..changes)
        .step_by(5)
        .filter(|at| !judge(&cut(*at), Excused::default()).is_fine());
    assert!(found.count() > 2);
}
