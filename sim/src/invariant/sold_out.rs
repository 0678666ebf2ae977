//! STOCK-1: what is sold out is not sold by a machine that knows, nor by one that could know.
//!
//! A machine knows from the moment at which it heard until it hears otherwise or loses its memory. It could know when the item has
//! been gone for a minute and nothing has been wrong for long enough: a broker's message is there in milliseconds, and a dead connection
//! is found within six minutes. The line to head office plays no part: all of it happens inside the store.
//! Source: the requirement on menu boards, sold out means gone; causal order of what one machine reads and writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Finding, Invariant, at, finding};
use crate::{
    event::{Event, MachineChange, ShopEvent},
    metric::SeedLog,
};

pub(super) const STOCK_1: Invariant = Invariant {
    id: "STOCK-1",
    title: "what is sold out is not sold by who knows or could know",
    check,
};

/// 60 s: a message through the broker, with retransmissions on a bad local network.
const KNOW_BOUND: Duration = Duration::from_secs(60);

/// 360 s: a client finds its connection dead by its keep-alive of 300 s, and connects again.
const QUIET_BOUND: Duration = Duration::from_secs(360);

fn check(log: &SeedLog<'_>) -> Finding {
    let mut gone: BTreeMap<u16, Duration> = BTreeMap::new();
    let mut knows = BTreeSet::new();
    let mut started = BTreeMap::new();
    let mut wrong = Vec::new();
    for stamped in log.events {
        let now = stamped.at;
        match stamped.event {
            Event::Machine { machine, change } => {
                // Memory is lost with the program, or was never there.
                knows.retain(|(who, _)| *who != machine);
                if change == MachineChange::Started {
                    started.insert(machine, now);
                }
            }
            Event::Shop(ShopEvent::Stocked { item, some: false }) => {
                gone.insert(item, now);
            }
            Event::Shop(ShopEvent::Stocked { item, some: true }) => {
                gone.remove(&item);
            }
            Event::Shop(ShopEvent::StockKnown {
                at: who,
                item,
                some,
            }) => {
                match some {
                    false => knows.insert((who, item)),
                    true => knows.remove(&(who, item)),
                };
            }
            Event::Shop(ShopEvent::ItemOrdered {
                order,
                item,
                at: who,
            }) => {
                let name = log.machine(who);
                let time = at(now);
                if knows.contains(&(who, item)) {
                    wrong.push(format!(
                        "{name} knew that item {item} was gone and sold it in order {order:x} at {time}"
                    ));
                    continue;
                }
                let Some(since) = gone.get(&item).copied() else {
                    continue;
                };
                let runs_since = started.get(&who).copied().unwrap_or_default();
                let is_late = now >= since.max(runs_since) + KNOW_BOUND;
                if is_late && is_quiet(log, since.saturating_sub(QUIET_BOUND), now) {
                    wrong.push(format!(
                        "{name} sold item {item} in order {order:x} at {time}, gone since {}",
                        at(since)
                    ));
                }
            }
            _ => {}
        }
    }
    finding("sales of what was sold out", &wrong)
}

/// Whether no fault was in force in between.
fn is_quiet(log: &SeedLog<'_>, from: Duration, to: Duration) -> bool {
    let mut windows = log.scenario.faults.iter().flat_map(|fault| &fault.windows);
    windows.all(|w| w.start > to || w.end.is_some_and(|end| end < from))
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{event::MachineId, metric::fixture::Log};

    fn stocked(some: bool) -> Event {
        Event::Shop(ShopEvent::Stocked { item: 7, some })
    }

    fn known(who: u16, some: bool) -> Event {
        Event::Shop(ShopEvent::StockKnown {
            at: MachineId(who),
            item: 7,
            some,
        })
    }

    fn ordered(who: u16) -> Event {
        Event::Shop(ShopEvent::ItemOrdered {
            order: 0x2a,
            item: 7,
            at: MachineId(who),
        })
    }

    #[test]
    fn who_knows_does_not_sell() {
        let gone = || {
            Log::default()
                .at(700.0, stocked(false))
                .at(700.5, known(1, false))
        };
        // It did not know yet; another one had no time to.
        let good = gone().at(700.2, ordered(1)).at(720.0, ordered(2));
        assert_eq!(message(&STOCK_1, good), None);
        let text = "1 sales of what was sold out; first: machine 1 knew that item 7 was gone and sold it in order 2a at 701.000s";
        let bad = gone().at(701.0, ordered(1));
        assert_eq!(message(&STOCK_1, bad).as_deref(), Some(text));
        let back = gone()
            .at(800.0, stocked(true))
            .at(801.0, known(1, true))
            .at(802.0, ordered(1));
        assert_eq!(message(&STOCK_1, back), None);
        let crash = Event::Machine {
            machine: MachineId(1),
            change: MachineChange::Crashed,
        };
        let forgot = gone().at(705.0, crash).at(706.0, ordered(1));
        assert_eq!(message(&STOCK_1, forgot), None);
    }

    #[test]
    fn who_could_know_does_not_sell_either() {
        let gone = |at| Log::default().at(at, stocked(false));
        let bad = message(&STOCK_1, gone(700.0).at(761.0, ordered(2)));
        let text = "1 sales of what was sold out; first: machine 2 sold item 7 in order 2a at 761.000s, gone since 700.000s";
        assert_eq!(bad.as_deref(), Some(text));
        // The uplink is down from 2100 s to 3000 s, and for all that this knows it may have been the broker.
        assert_eq!(
            message(&STOCK_1, gone(2_000.0).at(2_400.0, ordered(2))),
            None
        );
        assert_eq!(
            message(&STOCK_1, gone(3_100.0).at(3_200.0, ordered(2))),
            None
        );
        assert!(message(&STOCK_1, gone(3_400.0).at(3_500.0, ordered(2))).is_some());
    }
}
