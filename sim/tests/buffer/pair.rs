//! Two destinations with different classes: head office gets everything, an auditor the logs. A segment goes when both have it.

use std::collections::BTreeSet;

use backroom_sim::world::disk::{PowerLoss, Side};

use crate::{
    judge::{Excused, judge, must_hold},
    stage::{Log, Mode, S, Setup, Stage, play},
};

fn setup(loss: PowerLoss) -> Setup {
    Setup {
        loss,
        has_audit: true,
        ..Setup::short()
    }
}

/// Both lanes are taken in while the auditor is away, head office has all of it, and then the auditor is back.
fn run(setup: Setup, plan: impl FnOnce(&Stage) + Send) -> Log {
    play(setup, async |stage: Stage| {
        stage.auditor(Mode::Busy);
        plan(&stage);
        stage.start();
        stage.until("both lanes", |log| log.lanes == 0).await;
        let has_all = |log: &Log| log.acked.is_subset(&arrived(log));
        stage.until("head office has all", has_all).await;
        stage.pass(5 * S).await;
        {
            let log = stage.log();
            assert!(log.audited.is_empty(), "the auditor has taken nothing");
            let logs = log.acked.intersection(&log.logs).count() as u64;
            let life = log.lives.last().expect("it was started");
            let stored = life.accounting.stored_total();
            assert!(!life.is_up || stored >= logs, "{stored} of {logs} wait");
        }
        stage.drained().await;
    })
}

fn arrived(log: &Log) -> BTreeSet<u32> {
    let ids = log.arrivals.iter().flat_map(|arrival| &arrival.ids);
    ids.copied().collect()
}

/// The run as the auditor sees it.
fn audit(log: &Log) -> Log {
    let logs = |ids: &BTreeSet<u32>| ids.intersection(&log.logs).copied().collect();
    Log {
        offered: logs(&log.offered),
        acked: logs(&log.acked),
        arrivals: log.audited.clone(),
        ..log.clone()
    }
}

/// What holds for head office holds for the auditor, and it gets logs alone.
fn both_hold(what: &dyn std::fmt::Debug, log: &Log) -> usize {
    let repeats = must_hold(&("hq", what), log, Excused::default()).repeats;
    repeats + must_hold(&("audit", what), &audit(log), Excused::default()).repeats
}

#[test]
fn a_quiet_run_gives_each_what_is_for_it_once() {
    let log = run(setup(PowerLoss::Unsynced), |_| {});
    assert_eq!(both_hold(&"quiet", &log), 0);
    assert_eq!(log.acked, log.offered);
    let logs = audit(&log).acked;
    assert!(!logs.is_empty() && logs.len() < log.acked.len());
}

/// The power goes after each change of the disk, and takes all that is not synced, or any part of it.
#[test]
fn a_power_cut_at_any_boundary_loses_nothing_for_either() {
    let changes = run(setup(PowerLoss::Unsynced), |_| {}).changes;
    let mut repeats = 0;
    for at in 0..changes {
        // Each boundary with one of both, or it would take twice as long.
        let loss = match at % 2 {
            0 => PowerLoss::Unsynced,
            _ => PowerLoss::Scatter,
        };
        let log = run(setup(loss), |stage| stage.disk.cut_at(at, Side::After));
        assert_eq!(log.bites, 1, "the power went");
        repeats += both_hold(&(loss, at), &log);
    }
    assert!(repeats > 0, "some cut fell between an answer and its note");
}

/// The check has teeth: an auditor that misses a batch is found.
#[test]
fn what_one_of_them_misses_is_found() {
    let mut log = run(setup(PowerLoss::Unsynced), |_| {});
    let missed = log.audited.pop().expect("it got some");
    assert!(judge(&log, Excused::default()).is_fine());
    let lost = judge(&audit(&log), Excused::default()).lost;
    assert_eq!(lost, missed.ids);
}
