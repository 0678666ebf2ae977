//! Rot in synced files: a damaged frame costs a frame, and is counted. It always starts.

use std::path::PathBuf;

use backroom_collector::core::accounting::DropReason;

use crate::{
    judge::{Excused, must_hold},
    stage::{Log, Mode, S, Setup, Stage, play},
};

/// Items in a frame, at most: a batch of 2 KiB holds a few requests of up to 8 items.
const FRAME_ITEMS: usize = 200;

/// A run in which the receiver is down until the power was cut, and a byte rotted meanwhile.
fn run(pick: impl FnOnce(&[(PathBuf, u64)]) -> Option<(PathBuf, u64, u8)> + Send) -> (Log, bool) {
    let mut has_rotted = false;
    let log = play(Setup::short(), async |stage: Stage| {
        stage.receiver(Mode::Busy);
        stage.start();
        stage
            .until("both lanes are done", |log| log.lanes == 0)
            .await;
        stage.pass(5 * S).await;
        stage.world.power_off("collector").await;
        if let Some((path, offset, mask)) = pick(&stage.disk.files()) {
            has_rotted = stage.disk.rot(&path, offset, mask);
        }
        stage.world.power_on("collector");
        stage.start_collector();
        stage.drained().await;
    });
    (log, has_rotted)
}

/// Dozens of places in every file of the buffer.
#[test]
fn a_rotten_byte_costs_at_most_its_frame() {
    let mut files = Vec::new();
    run(|found| {
        files = found.to_vec();
        None
    });
    assert!(files.len() >= 3, "journals and segments: {files:?}");
    let (mut lost, mut runs) = (0, 0);
    for (path, bytes) in &files {
        // 97 is prime: headers, payloads and padding are all met.
        for offset in (0..*bytes).step_by(97 * 3) {
            let mask = 1 << (offset % 8);
            let (log, has_rotted) = run(|_| Some((path.clone(), offset, mask)));
            assert!(has_rotted, "{path:?} has no synced byte {offset}");
            let life = &log.lives[1];
            let damaged = life.dropped.get(&DropReason::Damaged).copied();
            let damaged = damaged.unwrap_or(0);
            let found = found(&log);
            let missing = log.acked.len() - found;
            let what = (path, offset, mask, missing, damaged);
            assert!(missing <= FRAME_ITEMS, "{what:?}");
            // Where the header itself is hit nobody can say how many items it was; then bytes are counted.
            if missing > 0 {
                assert!(
                    damaged >= missing as u64 || life.report.unknown_bytes > 0,
                    "{what:?}: a loss that nobody counted"
                );
            }
            if damaged >= missing as u64 {
                let excused = Excused {
                    damage: true,
                    ..Excused::default()
                };
                must_hold(&what, &log, excused);
            }
            lost += missing;
            runs += 1;
        }
    }
    assert!(lost > 0, "of {runs} places one at least was the only copy");
}

/// Acknowledged items that arrived.
fn found(log: &Log) -> usize {
    let arrived: std::collections::BTreeSet<u32> = log
        .arrivals
        .iter()
        .flat_map(|arrival| arrival.ids.iter().copied())
        .collect();
    log.acked.intersection(&arrived).count()
}
