//! A short workload, with a fault at every boundary at which one can make a difference.

use std::{collections::BTreeSet, io::ErrorKind, time::Duration};

use backroom_sim::world::disk::{DiskOp, PowerLoss, Side};

use crate::{
    judge::{Excused, judge, must_hold},
    lies::{Lie, Sync, Syncs},
    stage::{Log, Mode, S, Setup, Stage, play},
};

/// A run that meets what `plan` prepares.
fn run(setup: Setup, plan: impl FnOnce(&Stage) + Send) -> Log {
    play(setup, async |stage: Stage| {
        plan(&stage);
        stage.start();
        stage.drained().await;
    })
}

/// The run without a fault: everything arrives once. Gives its changes of the disk.
#[test]
fn a_quiet_run_delivers_everything_once() {
    let mut counts = [0; DiskOp::ALL.len()];
    let log = play(Setup::short(), async |stage: Stage| {
        stage.start();
        stage.drained().await;
        for (count, op) in counts.iter_mut().zip(DiskOp::ALL) {
            *count = stage.disk.count(op);
        }
    });
    let verdict = must_hold(&"quiet", &log, Excused::default());
    assert_eq!(verdict.repeats, 0);
    assert_eq!(log.acked, log.offered);
    assert!(log.acked.len() > 80, "{} items", log.acked.len());
    // The workload is worth its name: several journals and segments come and go.
    let creates = counts[DiskOp::Create as usize];
    let removes = counts[DiskOp::Remove as usize];
    assert!(creates >= 8, "{creates} files, {removes} removed");
    assert!(removes >= 4, "{removes} files removed");
}

/// The power goes before and after each change of the disk, and takes all that is not synced, or any part of it.
#[test]
fn a_power_cut_at_any_boundary_loses_nothing() {
    let changes = run(Setup::short(), |_| {}).changes;
    let mut repeats = 0;
    for loss in [PowerLoss::Unsynced, PowerLoss::Scatter] {
        for side in [Side::Before, Side::After] {
            for at in 0..changes {
                let setup = Setup {
                    loss,
                    ..Setup::short()
                };
                let log = run(setup, |stage| stage.disk.cut_at(at, side));
                assert_eq!(log.bites, 1, "the power went");
                let what = (loss, side, at);
                repeats += must_hold(&what, &log, Excused::default()).repeats;
            }
        }
    }
    assert!(repeats > 0, "some cut fell between an answer and its note");
}

/// The power goes again while the collector recovers, and while it works off what it found.
#[test]
fn a_second_power_cut_loses_nothing() {
    let changes = run(Setup::short(), |_| {}).changes;
    for at in (3..changes).step_by(7) {
        for again in 0..12 {
            let setup = Setup {
                loss: PowerLoss::Scatter,
                seed: 1 + again,
                ..Setup::short()
            };
            let log = play(setup, async |stage: Stage| {
                stage.disk.cut_at(at, Side::Before);
                stage.start();
                stage
                    .until("a restart", |log| log.lives.len() > 1 || log.lanes == 0)
                    .await;
                stage.disk.cut_at(again, Side::After);
                stage.drained().await;
            });
            must_hold(&(at, again), &log, Excused::default());
        }
    }
}

/// Each operation of each kind fails once.
#[test]
fn an_error_at_any_operation_loses_nothing() {
    for op in DiskOp::ALL {
        let mut count = 0;
        play(Setup::short(), async |stage: Stage| {
            stage.start();
            stage.drained().await;
            count = stage.disk.count(op);
        });
        for at in 0..count {
            for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
                let log = run(Setup::short(), |stage| stage.disk.fail_once(op, at, kind));
                assert_eq!(log.bites, 1, "it failed");
                let excused = Excused {
                    errors: true,
                    ..Excused::default()
                };
                must_hold(&(op, at, kind), &log, excused);
            }
        }
    }
}

/// Scenario: a sync fails, and the process dies before anything else reaches the disk; the receiver is down until, later, the
/// power goes. The kernel counts what a failed sync left as clean, so a later sync of it says yes and writes nothing.
/// Guarantees: what only the page cache has is not believed by the next start. Each sync, in turn.
#[test]
fn a_failed_sync_is_not_made_good_by_the_next_start() {
    let mut syncs = 0;
    play(Setup::short(), async |stage: Stage| {
        stage.receiver(Mode::Busy);
        stage.start();
        stage.until("both lanes", |log| log.lanes == 0).await;
        syncs = stage.disk.count(DiskOp::Sync);
    });
    for at in 0..syncs {
        let log = play(Setup::short(), async |stage: Stage| {
            stage.receiver(Mode::Busy);
            stage.disk.fail_once(DiskOp::Sync, at, ErrorKind::Other);
            stage.start();
            while stage.disk.bites() == 0 {
                stage.pass(Duration::from_millis(1)).await;
            }
            stage.crash().await;
            stage.until("both lanes", |log| log.lanes == 0).await;
            stage.pass(5 * S).await;
            stage.power_cut().await;
            stage.drained().await;
        });
        let excused = Excused {
            errors: true,
            ..Excused::default()
        };
        must_hold(&at, &log, excused);
    }
}

/// Scenario: at a start one file cannot be read, each in turn, while the others can; then it can again.
/// Guarantees: numbers of boots and files are not used twice, so a range is never two batches.
#[test]
fn an_unreadable_file_gives_no_number_twice() {
    for op in [DiskOp::Open, DiskOp::Read] {
        for at in 0..14 {
            let log = play(Setup::short(), async |stage: Stage| {
                stage.start();
                stage.until("some", |log| log.acked.len() > 25).await;
                stage.crash().await;
                stage.until("more", |log| log.acked.len() > 50).await;
                stage.disk.fail_once(op, at, ErrorKind::Other);
                stage.crash().await;
                stage.drained().await;
            });
            let excused = Excused {
                errors: true,
                ..Excused::default()
            };
            must_hold(&(op, at), &log, excused);
        }
    }
}

/// Losses that the harness finds on a disk that lies.
fn losses(lie: Lie) -> u64 {
    let setup = || Setup {
        lie: Some(lie),
        ..Setup::short()
    };
    let changes = run(setup(), |_| {}).changes;
    let cut = |at| run(setup(), |stage| stage.disk.cut_at(at, Side::After));
    let losses = (0..changes)
        .step_by(3)
        .filter(|at| !judge(&cut(*at), Excused::default()).lost.is_empty());
    losses.count() as u64
}

/// The harness has teeth: an ack without an fsync is found.
#[test]
fn acks_without_fsync_are_found() {
    assert!(losses(Lie::Sync) > 5);
}

/// The harness has teeth: files whose directory is never synced are found.
#[test]
fn files_without_names_are_found() {
    assert!(losses(Lie::SyncDir) > 5);
}

/// A run with one sync left out, in each life of the collector the one of that number.
fn without<F>(sync: u64, script: impl FnOnce(Stage) -> F + Send) -> (Log, Vec<Sync>)
where
    F: Future<Output = ()>,
{
    let syncs = Syncs::default();
    let setup = Setup {
        requests: 4,
        lie: Some(Lie::OneSync(sync)),
        syncs: syncs.clone(),
        ..Setup::short()
    };
    let log = play(setup, script);
    let syncs = syncs.lock().unwrap();
    // Those of its first life.
    let number = |sync: &Sync| sync.number;
    let first = syncs
        .iter()
        .zip(0..)
        .take_while(|(sync, at)| number(sync) == *at);
    (log, first.map(|(sync, _)| sync.clone()).collect())
}

async fn until_drained(stage: Stage) {
    stage.start();
    stage.drained().await;
}

/// The harness has teeth: each single sync of the first life that acknowledgements rest on is found when it is left out, by a cut soon
/// after it. No other one is, for nothing acknowledged rests on it alone: the reserve holds no data; notes in a journal only keep a
/// batch from coming again; and what a batch segment holds is in a synced journal as well, until another commit lets go of that.
#[test]
fn one_missing_fsync_is_found() {
    let (_, syncs) = without(u64::MAX, until_drained);
    let (mut found, mut others) = (0, BTreeSet::new());
    for sync in &syncs {
        let cuts = sync.changes..sync.changes + 8;
        let lost = cuts.filter(|at| {
            let (log, _) = without(sync.number, async |stage: Stage| {
                stage.disk.cut_at(*at, Side::After);
                until_drained(stage).await;
            });
            !judge(&log, Excused::default()).lost.is_empty()
        });
        let (lost, matters) = (lost.count(), sync.requests > 0);
        assert_eq!(
            lost > 0,
            matters,
            "{lost} cuts of 8 lose something: {sync:?}"
        );
        found += u32::from(matters);
        if !matters {
            let kind = sync.name.rsplit('.').next().expect("a name");
            others.insert(kind.to_owned());
        }
    }
    assert!(found >= 6, "{found} of {} syncs", syncs.len());
    let others: Vec<_> = others.iter().map(String::as_str).collect();
    assert_eq!(others, ["batches", "journal", "reserve"]);
}
