//! `disk.corrupt`: bytes of a machine's files rot.
//!
//! It models bit rot and firmware that writes elsewhere: so many bytes that were synced, anywhere in the machine's files, get
//! other values at an instant, and nobody is told. A program sees it when it reads them, which most do only when they start. What
//! is not synced is in memory and does not rot. Not modelled: whole sectors, and a disk that notices (that is `disk.io_error`).
//! Typical values: in 17 months 0.86 % of near-line and 0.065 % of enterprise disks showed it (Bairavasundaram et al., FAST 2008). Nothing heals by itself: a byte is right again when a program writes it. The collector loses the frame that a byte
//! lies in, and ledgers its items; a journal (broker, tills, stock, catalog, printers) loses the record, and its machine tells it when it
//! starts (`RecordsDamaged`). What was lost in it is lost: whoever sent it has been answered.

use rand::RngExt as _;

use super::stage::Stage;
use crate::world::disk::SimDisk;

/// Draws for one byte that must rot: a file may end in bytes that are not synced.
const DRAWS_MAX: u32 = 64;

pub(crate) fn play(stage: &Stage<'_>, node: &str, bytes: u64) -> u64 {
    let machines = stage.machines(node).into_iter();
    let rotten = machines.map(|machine| {
        let disk = stage.world().disk(&machine.name);
        let mut rng = stage.rng(&format!("rot {}", machine.name));
        (0..bytes).filter(|_| rot_one(&disk, &mut rng)).count() as u64
    });
    rotten.sum()
}

/// One byte of all files, each as likely as any other.
fn rot_one(disk: &SimDisk, rng: &mut impl rand::Rng) -> bool {
    let files = disk.files();
    let total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    if total == 0 {
        return false;
    }
    (0..DRAWS_MAX).any(|_| {
        let mut at = rng.random_range(0..total);
        let mask = rng.random_range(1..=u8::MAX);
        let file = files.iter().find(|(_, bytes)| {
            let is_here = at < *bytes;
            at -= if is_here { 0 } else { *bytes };
            is_here
        });
        file.is_some_and(|(path, _)| disk.rot(path, at, mask))
    })
}
