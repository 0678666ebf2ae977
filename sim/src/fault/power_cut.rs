//! `store.power_cut`: the power goes, and nobody hears a word.
//!
//! It models a blown fuse or a dark street: memory and unsynced writes are lost (as `on_power_cut` of the disk says), connections
//! end without FIN or RST, machines boot for their declared time when the power is back. Machines in `ups` run on for as long as
//! that lasts. Without the router both lines and the LAN are dead, also for machines that have power; it is `router` in `ups`. When
//! its power is back it begins on its primary line, at once: its boot is not modelled, and it keeps its address translations. Not
//! modelled: brownouts of the mains, a UPS that fails. Typical values: a US customer is without power for about 2 h a year,
//! and for 5 to 8 h with major events (EIA, Form 861, 2020 to 2022); a small UPS carries a router for 10 to 60 min. The end heals.

use std::{cell::Cell, pin::Pin, time::Duration};

use indexmap::IndexMap;

use super::stage::Stage;
use crate::{
    event::{Event, MachineChange},
    run::one::all,
    store::Machine,
};

type Part<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// `ended` is told the effects when the power is back; machines boot after that.
pub(crate) async fn play(stage: &Stage<'_>, ups: &IndexMap<String, Duration>, ended: impl Fn(u64)) {
    let effects = Cell::new(0);
    let goes_at = |names: [&str; 2]| {
        let lasts = names.iter().find_map(|name| ups.get(*name));
        let at = stage.start + lasts.copied().unwrap_or_default();
        stage.until.is_none_or(|end| at < end).then_some(at)
    };
    let mut parts: Vec<Part<'_>> = Vec::new();
    for machine in stage.director.directory.machines() {
        if let Some(at) = goes_at([&machine.name, &machine.group]) {
            parts.push(Box::pin(dark(stage, machine, at, &effects)));
        }
    }
    if let Some(at) = goes_at(["router", "router"]) {
        parts.push(Box::pin(router(stage, at)));
    }
    parts.push(Box::pin(async {
        if stage.over().await {
            ended(effects.get());
        }
    }));
    all(parts).await;
}

async fn dark(stage: &Stage<'_>, machine: &Machine, at: Duration, effects: &Cell<u64>) {
    let director = stage.director;
    tokio::time::sleep_until(director.world.at(at)).await;
    let had_power = director.holds().power_gone(machine.id);
    if had_power {
        let (tasks, bytes) = director.world.power_off(&machine.name).await;
        effects.set(effects.get() + tasks + bytes);
        director.recorder.record(Event::Machine {
            machine: machine.id,
            change: MachineChange::PowerLost,
        });
    }
    if !stage.over().await {
        return;
    }
    let has_power = director.holds().power_back(machine.id);
    if !has_power {
        return director.release(&machine.name);
    }
    director.world.power_on(&machine.name);
    director.boot(&machine.name).await;
}

async fn router(stage: &Stage<'_>, at: Duration) {
    const ROUTER: &str = "router";
    tokio::time::sleep_until(stage.world().at(at)).await;
    let number = stage.shared.dark_router.put(ROUTER, ());
    stage.world().router_power(false);
    if stage.over().await && stage.shared.dark_router.take(ROUTER, number) {
        stage.world().router_power(true);
    }
}
