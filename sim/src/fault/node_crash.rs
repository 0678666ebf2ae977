//! `node.crash`: the program on a machine dies and starts again at the end.
//!
//! It models a bug, or a kernel that kills what uses too much memory: memory is lost, the kernel closes the connections, the disk
//! stays as it is, what was written and not synced included. Not modelled: a core dump, a supervisor that gives up. Typical
//! values: a second for a supervised service, up to a minute where it has to read a journal first; the machine itself has not
//! gone down, so nothing boots. The end heals: the program starts.

use super::stage::Stage;
use crate::event::{Event, MachineChange};

pub(crate) async fn play(stage: &Stage<'_>, node: &str) -> u64 {
    let (director, machines) = (stage.director, stage.machines(node));
    let mut tasks = 0;
    for machine in &machines {
        // What does not run cannot die: it is held a little longer, and the fault has not met it.
        if !director.holds().stop(machine.id) {
            continue;
        }
        tasks += director.world.crash(&machine.name).await;
        director.recorder.record(Event::Machine {
            machine: machine.id,
            change: MachineChange::Crashed,
        });
    }
    if stage.over().await {
        for machine in &machines {
            director.release(&machine.name);
        }
    }
    tasks
}
