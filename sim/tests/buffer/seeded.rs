//! Long workloads with many faults, each from a seed.

use std::{io::ErrorKind, time::Duration};

use backroom_sim::world::disk::{DiskOp, PowerLoss, Side};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    judge::{Excused, must_hold},
    stage::{Log, Mode, S, Setup, Stage, play},
};

/// Seeds of the normal run.
const SEEDS: u64 = 40;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The power goes after so many changes of the disk.
    Cut(u64, Side, PowerLoss),
    Crash,
    /// Operations of a kind fail for so many milliseconds.
    Errors(DiskOp, ErrorKind, u64),
    /// One fails, after so many.
    Error(DiskOp, u64),
    /// Somebody else fills the disk for so many milliseconds.
    Full(u64),
    /// Syncs take 100 times as long.
    Slow(u64),
    /// The receiver does something else.
    Receiver(Mode),
}

impl Fault {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let loss = [PowerLoss::Unsynced, PowerLoss::Tear, PowerLoss::Scatter];
        let ops = [
            DiskOp::Create,
            DiskOp::Read,
            DiskOp::Write,
            DiskOp::Sync,
            DiskOp::SyncDir,
            DiskOp::Remove,
        ];
        let op = ops[rng.random_range(0..ops.len())];
        let side = [Side::Before, Side::After][rng.random_range(0..2)];
        let millis = rng.random_range(100..5000);
        match rng.random_range(0..12) {
            0..3 => Self::Cut(rng.random_range(0..20), side, loss[rng.random_range(0..3)]),
            3 => Self::Crash,
            4 => Self::Errors(op, ErrorKind::Other, millis),
            5 => Self::Errors(op, ErrorKind::StorageFull, millis),
            6 => Self::Error(op, rng.random_range(0..5)),
            7 => Self::Full(millis),
            8 => Self::Slow(millis),
            _ => Self::Receiver([Mode::Take, Mode::Busy, Mode::Mute][rng.random_range(0..3)]),
        }
    }

    fn is_error(&self) -> bool {
        matches!(self, Self::Errors(..) | Self::Error(..) | Self::Full(_))
    }

    async fn play(self, stage: &Stage) {
        match self {
            Self::Cut(ahead, side, loss) => {
                stage.disk.on_power_loss(loss);
                stage.disk.cut_at(ahead, side);
            }
            Self::Crash => stage.crash().await,
            Self::Errors(op, kind, millis) => {
                stage.disk.fail(op, Some(kind));
                stage.pass(Duration::from_millis(millis)).await;
                stage.disk.fail(op, None);
            }
            Self::Error(op, ahead) => stage.disk.fail_once(op, ahead, ErrorKind::Other),
            Self::Full(millis) => {
                stage.disk.hold(u64::MAX);
                stage.pass(Duration::from_millis(millis)).await;
                stage.disk.hold(0);
            }
            Self::Slow(millis) => {
                stage.disk.slow_down(100.0);
                stage.pass(Duration::from_millis(millis)).await;
                stage.disk.slow_down(1.0);
            }
            Self::Receiver(mode) => stage.receiver(mode),
        }
    }
}

/// The faults of a seed, each with the pause before it.
fn faults(seed: u64, count: usize) -> Vec<(Duration, Fault)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut fault = || {
        let pause = Duration::from_millis(rng.random_range(0..3000));
        (pause, Fault::draw(&mut rng))
    };
    (0..count).map(|_| fault()).collect()
}

/// Plays faults under a workload of `seed`.
fn run(seed: u64, faults: &[(Duration, Fault)]) -> Log {
    let setup = Setup {
        seed,
        requests: 60,
        pause: Duration::from_millis(600),
        ballast: 1000,
        disk_free: 1 << 20,
        ..Setup::short()
    };
    play(setup, async |stage: Stage| {
        stage.start();
        for (pause, fault) in faults {
            stage.pass(*pause).await;
            fault.play(&stage).await;
        }
        stage.pass(S).await;
        stage.drained().await;
    })
}

fn check(seed: u64, faults: &[(Duration, Fault)]) -> Log {
    let log = run(seed, faults);
    let errors = faults.iter().any(|(_, fault)| fault.is_error());
    let excused = Excused {
        errors,
        ..Excused::default()
    };
    must_hold(&(seed, faults), &log, excused);
    log
}

/// Everything at once, many times.
#[test]
fn any_faults_in_any_order_lose_nothing() {
    let seeds = std::env::var("BACKROOM_BUFFER_SEEDS");
    let seeds = seeds.map_or(SEEDS, |n| n.parse().expect("a number of seeds"));
    let (mut bites, mut lives, mut acked) = (0, 0, 0);
    for seed in 0..seeds {
        let log = check(seed, &faults(seed, 12));
        bites += log.bites;
        lives += log.lives.len();
        acked += log.acked.len();
    }
    // Faults bite, and what they hit is worth it.
    assert!(bites as usize > seeds as usize, "{bites} bites");
    assert!(lives > 5 * seeds as usize, "{lives} lives");
    assert!(acked > 100 * seeds as usize, "{acked} acknowledged");
}

/// Scenario: files cannot be removed for a while, the power goes meanwhile, and the buffer is small.
/// Guarantees: old journals go when room is wanted. Regression: an empty buffer refused for ever, as only a commit releases
/// journals and only room lets one in.
#[test]
fn an_empty_buffer_full_of_journals_takes_in_again() {
    let millis = Duration::from_millis;
    let (other, full) = (ErrorKind::Other, ErrorKind::StorageFull);
    let faults = [
        (millis(847), Fault::Error(DiskOp::Remove, 3)),
        (millis(1484), Fault::Full(804)),
        (millis(1673), Fault::Errors(DiskOp::Remove, other, 4347)),
        (millis(425), Fault::Error(DiskOp::Sync, 3)),
        (millis(2245), Fault::Cut(14, Side::Before, PowerLoss::Tear)),
        (millis(2269), Fault::Error(DiskOp::Remove, 1)),
        (
            millis(393),
            Fault::Cut(0, Side::Before, PowerLoss::Unsynced),
        ),
        (millis(698), Fault::Crash),
        (millis(1469), Fault::Errors(DiskOp::Write, full, 3103)),
        (millis(1421), Fault::Errors(DiskOp::Remove, other, 4619)),
        (millis(788), Fault::Full(2081)),
        (millis(1804), Fault::Errors(DiskOp::Remove, full, 1223)),
    ];
    check(106, &faults);
}

/// Scenario: the reserve gives way and old journals go, so that a full buffer takes in again; the power goes before the directory
/// is synced, and all of it is back, beside what came in since.
/// Guarantees: the buffer is over its quota by no more than that.
#[test]
fn what_gave_way_is_back_after_a_power_cut() {
    check(102, &faults(102, 12));
}
