//! CATALOG-1: a machine that is behind head office's sets makes progress, once everything has healed: a chunk at least every twenty
//! minutes, until it has the newest version.
//!
//! Source: liveness after safety, as progress instead of an end: how long hundreds of megabytes take is the line's business. Not asked
//! while a fault lasts to the end of the run.

use std::{collections::BTreeMap, time::Duration};

use super::{Finding, Invariant, at, finding};
use crate::{
    event::{Event, ShopEvent},
    metric::{SeedLog, orders, shop},
};

pub(super) const CATALOG_1: Invariant = Invariant {
    id: "CATALOG-1",
    title: "after healing, who is behind makes progress",
    check,
};

/// 20 min: a board may be in a pause of ten minutes, and the largest chunk, 4 MiB, needs nine on a line of 64 kbit/s.
const STAND_STILL_MAX: Duration = Duration::from_secs(1200);

fn check(log: &SeedLog<'_>) -> Finding {
    let Some(healed) = orders::healed_at(log) else {
        return Finding::NotAsked {
            why: "a fault lasts to the end of the run".into(),
        };
    };
    let mut newest = BTreeMap::new();
    let mut in_use = BTreeMap::new();
    let mut moved = BTreeMap::new();
    for stamped in log.events {
        let Event::Shop(event) = stamped.event else {
            continue;
        };
        match event {
            ShopEvent::Published { set, version } => {
                newest.insert(set, (version, stamped.at));
            }
            ShopEvent::Applied {
                set,
                at: who,
                version,
            } => {
                in_use.insert((set, who), version);
                moved.insert((set, who), stamped.at);
            }
            ShopEvent::ChunkStored { set, at: who, .. } => {
                moved.insert((set, who), stamped.at);
            }
            _ => {}
        }
    }
    let mut still = Vec::new();
    for (set, machines) in shop::pullers(log) {
        let Some((version, out_at)) = newest.get(&set).copied() else {
            continue;
        };
        for who in machines {
            let has = in_use.get(&(set, who)).copied().unwrap_or(1);
            let last = moved.get(&(set, who)).copied().unwrap_or_default();
            let since = healed.max(out_at).max(last);
            if has < version && since + STAND_STILL_MAX <= log.ended_at {
                let (name, set) = (log.machine(who), set.as_str());
                still.push(format!(
                    "{name} has version {has} of {set} and not {version}, nothing since {}",
                    at(since)
                ));
            }
        }
    }
    finding("machines stand still", &still)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::told, *};
    use crate::{
        event::{MachineId, Set},
        metric::fixture::{Log, node, s, scenario},
        scenario::{
            Role, Scenario,
            shop::{Catalog, Publication},
        },
    };

    fn with_catalog() -> Scenario {
        let mut scenario = scenario();
        scenario
            .nodes
            .insert("catalog".into(), node(Role::Catalog, 1));
        scenario.shop.catalog = Some(Catalog {
            class: "media".into(),
            poll: s(60.0),
            menu: None,
            reference: Some(Publication {
                bytes: backroom_collector::config::ByteSize(1 << 20),
                chunk: backroom_collector::config::ByteSize(1 << 16),
                at: Vec::new(),
                changed: 1.0,
            }),
        });
        scenario
    }

    fn message(mut log: Log) -> Option<String> {
        told(check(&log.log(&with_catalog())))
    }

    #[test]
    fn who_is_behind_and_stands_still_violates() {
        let (set, who) = (Set::Reference, MachineId(0));
        let published = Event::Shop(ShopEvent::Published { set, version: 2 });
        let chunk = Event::Shop(ShopEvent::ChunkStored {
            set,
            at: who,
            version: 2,
            index: 1,
        });
        let applied = Event::Shop(ShopEvent::Applied {
            set,
            at: who,
            version: 2,
        });
        let behind = || Log::default().at(2_500.0, published);
        let text = "1 machines stand still; first: machine 0 has version 1 of reference and not 2, nothing since 3000.000s";
        assert_eq!(message(behind()).as_deref(), Some(text));
        assert_eq!(message(behind().at(3_100.0, applied)), None);
        assert!(message(behind().at(3_100.0, chunk)).is_some());
        assert_eq!(message(behind().at(5_500.0, chunk)), None);
    }
}
