//! `hq.gateway_crash`: the program of head office's gateway dies and starts again at the end.
//!
//! It models `kill -9`, a node that is drained under it, or with `power = true` a host that goes dark: then what was written and not
//! synced is lost too, and no connection is closed. Stores meet a closed port, or none, and repeat what was not answered. Not
//! modelled: a gateway that comes up elsewhere with an empty disk; two that share the work. Typical values: seconds for a container
//! that is started again, minutes for a host that boots. The end heals: the program starts on what its disk has. Of two that overlap
//! the last one to end starts it.

use super::stage::Stage;
use crate::store::GATEWAY;

pub(crate) async fn play(stage: &Stage<'_>, loses_power: bool) -> u64 {
    let (director, world) = (stage.director, stage.world());
    let number = stage.shared.dead_gateway.put(GATEWAY, loses_power);
    let effects = match loses_power {
        true => {
            let (tasks, bytes) = world.power_off(GATEWAY).await;
            tasks + bytes
        }
        false => world.crash(GATEWAY).await,
    };
    if stage.over().await && stage.shared.dead_gateway.take(GATEWAY, number) {
        world.power_on(GATEWAY);
        director.start_gateway();
    }
    effects
}
