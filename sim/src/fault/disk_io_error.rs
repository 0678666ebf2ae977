//! `disk.io_error`: a share of a disk's operations fails.
//!
//! It models a dying disk, a loose cable, a controller that resets: reads, writes or syncs fail with EIO, each with the given
//! probability. A sync that failed loses what was dirty, as on Linux ("fsyncgate", PostgreSQL, 2018): a later one does not bring it
//! back. Not modelled: errors that stay with a sector, and a file system that turns read-only (`share = "100%"` of writes is close).
//! Typical values: below 1 % for minutes before a disk is replaced. The end heals. A program that ends because its disk fails is
//! started again by its supervisor, and may fail again.

use super::stage::Stage;
use crate::world::DiskOp;

/// The words of `ops`.
pub(crate) const OPS: [(&str, &[DiskOp]); 4] = [
    ("all", DiskOp::FALLIBLE),
    ("reads", DiskOp::READS),
    ("writes", DiskOp::WRITES),
    ("syncs", DiskOp::SYNCS),
];

pub(crate) async fn play(stage: &Stage<'_>, node: &str, ops: &'static [DiskOp], share: f64) -> u64 {
    let machines = stage.machines(node).into_iter();
    let failing: Vec<_> = machines
        .map(|machine| {
            let disk = stage.world().disk(&machine.name);
            let rng = stage.rng(&format!("errors {}", machine.name));
            let (bites, number) = (disk.bites(), disk.fail_share(ops, share, rng));
            (disk, number, bites)
        })
        .collect();
    if !stage.over().await {
        return 0;
    }
    let mut effects = 0;
    for (disk, number, bites) in failing {
        disk.heal_share(number);
        effects += disk.bites() - bites;
    }
    effects
}
