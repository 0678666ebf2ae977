//! `node.pause`: a machine stands still and then goes on.
//!
//! It models a virtual machine that is moved, a host that swaps, a stop-the-world collection, SIGSTOP: nothing is lost, and nothing
//! moves. Its tasks are not polled; packets that reach it are lost, in TCP's sense, and come again after a retransmission. Time
//! goes on: timers that ended meanwhile are late, and leases may have run out. Not modelled: a wall clock that stands still, too
//! (add `clock.step`); a crash within the pause starts a program that stands still. Typical values: 100 ms to 10 s for a
//! collection or a move, minutes for a host that swaps. The end heals: everything goes on where it was. Beyond 15 minutes its
//! peers' TCP has given up (Linux's `tcp_retries2`).

use super::stage::Stage;

pub(crate) async fn play(stage: &Stage<'_>, node: &str) -> u64 {
    let world = stage.world();
    let machines = stage.machines(node).into_iter();
    let held: Vec<_> = machines
        .map(|machine| {
            let missed = world.missed_by(&machine.name);
            let number = stage.shared.still.put(&machine.name, ());
            world.pause(&machine.name);
            (machine, number, missed)
        })
        .collect();
    if !stage.over().await {
        return 0;
    }
    let mut effects = 0;
    for (machine, number, missed) in held {
        effects += world.missed_by(&machine.name) - missed;
        if stage.shared.still.take(&machine.name, number) {
            effects += world.resume(&machine.name);
        }
    }
    effects
}
