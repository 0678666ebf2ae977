//! The script of what goes wrong: begins and ends every fault of a scenario at its instants.
//!
//! Faults overlap: a link is up again when the last fault that cut it has ended, a machine runs again when the last one that
//! stopped it has (`holds`), and of two that make a link worse the one that began last wins. Each fault tells whether it bit (packets refused, tasks killed, bytes lost): one that never does would
//! make a run falsely green. What a kind models stands in `fault`.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use indexmap::IndexMap;

use super::one::{Director, all};
use crate::{
    event::{Event, MachineChange},
    fault::{captive_portal, hq_reject::Rule},
    link::Degrade,
    scenario::{Fault, FaultKind},
    store::Machine,
};

/// What a fault makes of a link, upwards and downwards.
type Change = (Degrade, Degrade);

/// What overlapping faults share.
#[derive(Debug, Default)]
struct Overlaps {
    /// Faults that hold a link down.
    down: BTreeMap<String, u32>,
    /// Degradations of a link, the last one in force.
    worse: BTreeMap<String, Vec<(u64, Change)>>,
    next: u64,
}

/// Plays every fault to its end.
pub(super) async fn play(director: &Director) {
    let overlaps = Mutex::new(Overlaps::default());
    let faults = director.scenario.faults.iter().zip(0..);
    let windows = faults.flat_map(|(fault, index)| {
        let overlaps = &overlaps;
        fault
            .windows
            .iter()
            .map(move |w| once(director, overlaps, fault, index, w.start, w.end))
    });
    all(windows.collect()).await;
}

async fn once(
    director: &Director,
    overlaps: &Mutex<Overlaps>,
    fault: &Fault,
    index: u16,
    start: Duration,
    end: Option<Duration>,
) {
    let run_end = director.scenario.duration;
    if start >= run_end {
        return;
    }
    tokio::time::sleep_until(director.world.at(start)).await;
    let tell = |begins, effects| {
        director.recorder.record(Event::Fault {
            fault: index,
            begins,
            effects,
        });
    };
    tell(true, 0);
    // A fault without an end, or one that outlasts the run, stays for the settle phase too.
    let until = end.filter(|end| *end <= run_end);
    let effects = match &fault.kind {
        FaultKind::LinkDown { link } => link_down(director, overlaps, link, until).await,
        FaultKind::LinkDegrade {
            link,
            up,
            down,
            delay,
            loss,
        } => {
            let way = |rate: &Option<_>| Degrade {
                rate: *rate,
                delay: delay.clone(),
                loss: *loss,
            };
            degrade(director, overlaps, link, (way(up), way(down)), until).await
        }
        FaultKind::NodeCrash { node } => crash(director, node, until).await,
        FaultKind::StorePowerCut { ups } => {
            let ended = |effects| tell(false, effects);
            return power_cut(director, ups, start, until, ended).await;
        }
        FaultKind::LinkCaptivePortal { link } => {
            reject(director, captive_portal::rule(link), until).await
        }
        FaultKind::HqReject(rule) => reject(director, rule.clone(), until).await,
        FaultKind::Unsupported { kind } => {
            unreachable!("{kind} is refused before anything runs")
        }
    };
    if until.is_some() {
        tell(false, effects);
    }
}

async fn wait_until(director: &Director, until: Option<Duration>) -> bool {
    match until {
        Some(end) => {
            tokio::time::sleep_until(director.world.at(end)).await;
            true
        }
        None => false,
    }
}

fn locked<'a>(overlaps: &'a Mutex<Overlaps>) -> std::sync::MutexGuard<'a, Overlaps> {
    overlaps
        .lock()
        .expect("one thread, and no panic while it is held")
}

/// `link.down`: the link carries nothing in either direction; what waits in its queues is lost, in TCP's sense.
async fn link_down(
    director: &Director,
    overlaps: &Mutex<Overlaps>,
    link: &str,
    until: Option<Duration>,
) -> u64 {
    let refused = director.world.refused_by(link);
    *locked(overlaps).down.entry(link.into()).or_default() += 1;
    director.world.set_link_up(link, false);
    if !wait_until(director, until).await {
        return 0;
    }
    let heals = {
        let mut overlaps = locked(overlaps);
        let holders = overlaps.down.get_mut(link).expect("this fault holds it");
        *holders -= 1;
        *holders == 0
    };
    if heals {
        director.world.set_link_up(link, true);
    }
    director.world.refused_by(link) - refused
}

/// `link.degrade`: the link is worse than declared.
async fn degrade(
    director: &Director,
    overlaps: &Mutex<Overlaps>,
    link: &str,
    change: Change,
    until: Option<Duration>,
) -> u64 {
    let mine = {
        let mut overlaps = locked(overlaps);
        overlaps.next += 1;
        let mine = overlaps.next;
        let stack = overlaps.worse.entry(link.into()).or_default();
        stack.push((mine, change.clone()));
        mine
    };
    let met = director.world.met_degraded(link);
    director.world.degrade_link(link, Some(change));
    if !wait_until(director, until).await {
        return 0;
    }
    let rest = {
        let mut overlaps = locked(overlaps);
        let stack = overlaps.worse.get_mut(link).expect("this fault is in it");
        stack.retain(|(id, _)| *id != mine);
        stack.last().map(|(_, change)| change.clone())
    };
    director.world.degrade_link(link, rest);
    director.world.met_degraded(link) - met
}

/// `hq.reject` and `link.captive_portal`: somebody answers in head office's place.
async fn reject(director: &Director, rule: Rule, until: Option<Duration>) -> u64 {
    let (refusals, before) = (&director.refusals, director.refusals.refused());
    let number = refusals.begin(rule);
    if wait_until(director, until).await {
        refusals.end(number);
    }
    refusals.refused() - before
}

fn members<'a>(director: &'a Director, node: &'a str) -> Vec<&'a Machine> {
    director
        .directory
        .machines()
        .iter()
        .filter(|m| m.group == node || m.name == node)
        .collect()
}

/// `node.crash`: the program dies, memory is lost, its kernel closes the connections, the disk stays. It starts again at
/// the end; the machine itself has not gone down, so nothing boots.
async fn crash(director: &Director, node: &str, until: Option<Duration>) -> u64 {
    let machines = members(director, node);
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
    if wait_until(director, until).await {
        for machine in &machines {
            director.release(&machine.name);
        }
    }
    tasks
}

/// `store.power_cut`: memory and unsynced writes are lost, nobody hears a word. Machines on a UPS run on for as long as it
/// lasts; the router's UPS decides nothing here, since nobody is left to use the lines.
async fn power_cut(
    director: &Director,
    ups: &IndexMap<String, Duration>,
    start: Duration,
    until: Option<Duration>,
    ended: impl Fn(u64),
) {
    let effects = std::cell::Cell::new(0);
    let mut cuts: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    for machine in director.directory.machines() {
        let lasts = ups.get(&machine.group).or_else(|| ups.get(&machine.name));
        let at = start + lasts.copied().unwrap_or_default();
        if until.is_some_and(|end| at >= end) {
            continue;
        }
        let effects = &effects;
        cuts.push(Box::pin(async move {
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
            if !wait_until(director, until).await {
                return;
            }
            let has_power = director.holds().power_back(machine.id);
            if !has_power {
                return director.release(&machine.name);
            }
            director.world.power_on(&machine.name);
            director.boot(&machine.name).await;
        }));
    }
    cuts.push(Box::pin(async {
        if wait_until(director, until).await {
            ended(effects.get());
        }
    }));
    all(cuts).await;
}
