//! MENU-1: versions never go back, and nobody has what head office has not published. Of a menu that is shown, of a set that is in use,
//! on each machine, over crashes and power cuts.
//!
//! Source: a published set is applied whole and durably before anybody is told; monotonic reads (Terry et al., Session Guarantees, 1994).

use std::collections::BTreeMap;

use super::{Finding, Invariant, at, finding};
use crate::{
    event::{Event, Set, ShopEvent},
    metric::SeedLog,
};

pub(super) const MENU_1: Invariant = Invariant {
    id: "MENU-1",
    title: "menus and reference data never go back to an older version",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let mut published: BTreeMap<Set, u32> = BTreeMap::new();
    let mut in_use: BTreeMap<_, u32> = BTreeMap::new();
    let mut shown: BTreeMap<_, u32> = BTreeMap::new();
    let mut applied_menu = 0;
    let mut wrong = Vec::new();
    for stamped in log.events {
        let event = match stamped.event {
            Event::Shop(event) => event,
            // Which version it had stood in the records that rotted, and it has said so.
            Event::RecordsDamaged { machine, .. } => {
                in_use.retain(|(_, who), _| *who != machine);
                continue;
            }
            _ => continue,
        };
        let time = at(stamped.at);
        match event {
            ShopEvent::Published { set, version } => {
                published.insert(set, version);
            }
            ShopEvent::Applied {
                set,
                at: who,
                version,
            } => {
                let name = log.machine(who);
                let before = in_use.insert((set, who), version).unwrap_or(0);
                if version < before {
                    let set = set.as_str();
                    wrong.push(format!(
                        "{name} went from version {before} of {set} to {version} at {time}"
                    ));
                }
                // Version 1 was installed with the store.
                if version > published.get(&set).copied().unwrap_or(1) {
                    let set = set.as_str();
                    wrong.push(format!(
                        "{name} has version {version} of {set} at {time}, which nobody published"
                    ));
                }
                if set == Set::Menu {
                    applied_menu = applied_menu.max(version);
                }
            }
            ShopEvent::MenuShown { at: who, version } => {
                let name = log.machine(who);
                let before = shown.insert(who, version).unwrap_or(0);
                if version < before {
                    wrong.push(format!(
                        "{name} showed menu {before} and then {version} at {time}"
                    ));
                }
                if version > applied_menu {
                    wrong.push(format!(
                        "{name} shows menu {version} at {time}, which the catalog does not have"
                    ));
                }
            }
            _ => {}
        }
    }
    finding("versions are wrong", &wrong)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{event::MachineId, metric::fixture::Log};

    fn published(version: u32) -> Event {
        let set = Set::Menu;
        Event::Shop(ShopEvent::Published { set, version })
    }

    fn applied(version: u32) -> Event {
        Event::Shop(ShopEvent::Applied {
            set: Set::Menu,
            at: MachineId(5),
            version,
        })
    }

    fn shown(version: u32) -> Event {
        let at = MachineId(1);
        Event::Shop(ShopEvent::MenuShown { at, version })
    }

    #[test]
    fn a_version_that_goes_back_violates() {
        let good = || {
            Log::default()
                .at(1.0, applied(1))
                .at(2.0, shown(1))
                .at(700.0, published(2))
                .at(710.0, applied(2))
                .at(711.0, shown(2))
                // Both started again.
                .at(800.0, applied(2))
                .at(801.0, shown(2))
        };
        assert_eq!(message(&MENU_1, good()), None);
        let back = message(&MENU_1, good().at(900.0, shown(1)));
        let text = "1 versions are wrong; first: machine 1 showed menu 2 and then 1 at 900.000s";
        assert_eq!(back.as_deref(), Some(text));
        assert!(message(&MENU_1, good().at(900.0, applied(1))).is_some());
        assert!(message(&MENU_1, good().at(900.0, applied(3))).is_some());
        assert!(message(&MENU_1, good().at(705.0, shown(2))).is_some());
    }
}
