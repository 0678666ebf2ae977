//! `disk.full`: something else fills the disk of a machine.
//!
//! It models a log that nobody rotates, or a download into the wrong folder: at the beginning everything but `leave` is taken, and
//! writes that need more fail with ENOSPC. Room that the machine itself then frees is its own. Two of them add up. Not modelled:
//! reserved blocks, inodes, a file system that is slow when it is full. Typical values: hours, until somebody looks. The end heals:
//! what was taken is given back. A program that ends because its disk is full is started again by its supervisor.

use super::stage::Stage;

pub(crate) async fn play(stage: &Stage<'_>, node: &str, leave_bytes: u64) -> u64 {
    let machines = stage.machines(node).into_iter();
    let filled: Vec<_> = machines
        .map(|machine| {
            let disk = stage.world().disk(&machine.name);
            let taken = disk.free().saturating_sub(leave_bytes);
            disk.hold(disk.held() + taken);
            let met = disk.met_full();
            (disk, taken, met)
        })
        .collect();
    if !stage.over().await {
        return 0;
    }
    let mut effects = 0;
    for (disk, taken, met) in filled {
        effects += disk.met_full() - met;
        disk.hold(disk.held() - taken);
    }
    effects
}
