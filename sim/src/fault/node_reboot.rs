//! `node.reboot`: a machine restarts in order.
//!
//! It models an update at night, or somebody who presses the button: the program ends, the disk is synced, the machine boots for
//! its declared `boot` and the program starts. The program is given no time of its own: whatever it holds in memory and nowhere
//! else is lost. Not modelled: an update that changes anything. Typical values: 20 to 90 s for a till. It ends by itself.

use super::stage::Stage;
use crate::{
    event::{Event, MachineChange},
    run::one::all,
};

pub(crate) async fn play(stage: &Stage<'_>, node: &str) -> u64 {
    let director = stage.director;
    let (mut tasks, mut boots) = (0, Vec::new());
    for machine in stage.machines(node) {
        // What does not run meets no reboot, but it does not come up before it has booted.
        if director.holds().stop(machine.id) {
            tasks += director.world.crash(&machine.name).await;
            director.world.disk(&machine.name).sync_all();
            director.recorder.record(Event::Machine {
                machine: machine.id,
                change: MachineChange::Rebooted,
            });
        }
        boots.push(director.boot(&machine.name));
    }
    all(boots).await;
    tasks
}
