//! `disk.slow`: the disk of a machine is slow.
//!
//! It models a worn eMMC, a flash that collects its garbage, a neighbour on the same storage: the time of an fsync and the rate of
//! sequential writes are replaced. Of two of them that set the same thing the one that began last wins. Not modelled: slow reads,
//! since what a store reads is in its page cache. Typical values: fsync p50 120 ms, p99 2 s; consumer flash differs by an order
//! of magnitude, and stalls (Kim et al., "Revisiting Storage for Smartphones", FAST 2012). The end heals: a sync that began before it takes as long as it
//! was to take.

use super::stage::Stage;
use crate::world::SlowDisk;

pub(crate) async fn play(stage: &Stage<'_>, node: &str, slow: &SlowDisk) -> u64 {
    let machines = stage.machines(node).into_iter();
    let slowed: Vec<_> = machines
        .map(|machine| {
            let number = stage.shared.slow_disks.put(&machine.name, slow.clone());
            let met = stage.world().disk(&machine.name).met_slow();
            put_into_force(stage, &machine.name);
            (machine, number, met)
        })
        .collect();
    if !stage.over().await {
        return 0;
    }
    let mut effects = 0;
    for (machine, number, met) in slowed {
        effects += stage.world().disk(&machine.name).met_slow() - met;
        stage.shared.slow_disks.take(&machine.name, number);
        put_into_force(stage, &machine.name);
    }
    effects
}

fn put_into_force(stage: &Stage<'_>, machine: &str) {
    let layers = stage.shared.slow_disks.of(machine).into_iter();
    let all = layers.reduce(|below, above| SlowDisk {
        fsync: above.fsync.or(below.fsync),
        write_bytes_per_second: above
            .write_bytes_per_second
            .or(below.write_bytes_per_second),
    });
    stage.world().disk(machine).become_slow(all);
}
