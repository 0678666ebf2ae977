//! Disks that are full, slow, or fail for a while: the collector says so, loses nothing, and comes back by itself.

use std::{io::ErrorKind, time::Duration};

use backroom_sim::world::disk::DiskOp;

use crate::{
    judge::{Excused, must_hold},
    stage::{Life, Log, Mode, S, Setup, Stage, play, reserve_bytes},
};

fn setup() -> Setup {
    Setup {
        requests: 30,
        ..Setup::short()
    }
}

fn errors() -> Excused {
    Excused {
        errors: true,
        ..Excused::default()
    }
}

/// Scenario: somebody else fills the disk under load; the power goes and the collector starts on the full disk; the receiver
/// is back before there is room.
/// Guarantees: what does not fit is refused, not lost; it starts without a free byte; what is sealed is delivered and its
/// files are removed without one; intake comes back with the room. What is in a journal only waits for room to be sealed.
#[test]
fn a_full_disk_refuses_starts_and_drains() {
    let setup = Setup {
        requests: 60,
        pause: S,
        ..Setup::short()
    };
    let log = play(setup, async |stage: Stage| {
        stage.receiver(Mode::Busy);
        stage.start();
        stage.until("half of it", |log| log.acked.len() > 60).await;
        stage.pass(S).await;
        let reserve = reserve_bytes(&stage.disk);
        assert!(reserve > 16 << 10, "there is a reserve: {reserve}");
        let free = stage.disk.free();
        stage.disk.hold(free);
        assert_eq!(stage.disk.free(), 0);
        stage.until("refusals", |log| log.refused > 5).await;
        let is_told = |life: &Life| {
            let mut notices = life.notices.iter();
            notices.any(|notice| notice.contains("no space left"))
        };
        assert!(is_told(stage.log().life()), "it says so");
        assert_eq!(reserve_bytes(&stage.disk), 0, "it is given up");
        stage.power_cut().await;
        stage
            .until("a start on a full disk", |log| {
                log.lives.last().is_some_and(|life| life.is_up)
            })
            .await;
        let sealed = stage.log().life().report.batches;
        assert!(sealed > 3, "it has what was acknowledged");
        let batches = stage.log().arrivals.len();
        stage.receiver(Mode::Take);
        stage
            .until("sealed batches are delivered on a full disk", |log| {
                log.arrivals.len() >= batches + sealed as usize
            })
            .await;
        stage.pass(10 * S).await;
        stage.disk.hold(0);
        stage.drained().await;
        assert_eq!(reserve_bytes(&stage.disk), reserve, "it is taken again");
    });
    must_hold(&"full", &log, errors());
    assert!(log.refused > 5);
}

/// A disk whose syncs take a second: slow, and nothing else.
#[test]
fn a_slow_disk_only_slows() {
    let log = play(setup(), async |stage: Stage| {
        stage.disk.slow_down(250.0);
        stage.start();
        stage.pass(20 * S).await;
        stage.disk.slow_down(1.0);
        stage.drained().await;
    });
    let verdict = must_hold(&"slow", &log, Excused::default());
    assert_eq!((verdict.repeats, log.lives.len()), (0, 3));
    let (acked, offered) = (log.acked.len(), log.offered.len());
    assert!(acked * 10 > offered * 9, "{acked} of {offered}");
}

/// A kind of operation that fails for four seconds under load: a request is put into three commits before it is refused.
fn failing(op: DiskOp, kind: ErrorKind) -> Log {
    play(setup(), async |stage: Stage| {
        stage.start();
        stage.pass(S).await;
        stage.disk.fail(op, Some(kind));
        stage.pass(4 * S).await;
        stage.disk.fail(op, None);
        stage.pass(Duration::from_millis(500)).await;
        stage.drained().await;
    })
}

#[test]
fn each_kind_of_failure_heals() {
    for op in DiskOp::ALL {
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            let log = failing(op, kind);
            must_hold(&(op, kind), &log, errors());
            if matches!(op, DiskOp::Write | DiskOp::Sync) {
                assert!(log.bites > 0, "{op:?} failed");
                assert!(log.refused > 0, "{op:?}: nothing was refused");
            }
        }
    }
}
