//! Menus, stock, receipts, offers, published sets: what customers see of them, and how late.
//!
//! Whatever has not come by the end of the run counts with its age, as an item of telemetry does: a menu that nobody shows must not
//! look fresh.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    SeedLog, orders,
    series::{Series, Timed},
};
use crate::{
    event::{Event, ItemId, MachineId, OfferAnswer, Set, ShopEvent},
    scenario::{Role, Scenario},
};

/// The series of a metric of this family; `None` if it is of another one.
pub(super) fn series(log: &SeedLog<'_>, name: &str) -> Option<Series> {
    let count = |is: fn(&ShopEvent) -> bool| {
        orders::count(log, move |e| matches!(e, Event::Shop(shop) if is(shop)))
    };
    Some(match name {
        "menu.staleness" => Series::Samples(staleness(log)),
        "catalog.sync" => Series::Samples(synced(log, &[Set::Menu, Set::Reference])),
        "media.done" => Series::Samples(synced(log, &[Set::Media])),
        "catalog.chunks" => {
            count(|e| matches!(e, ShopEvent::ChunkStored { set, .. } if *set != Set::Media))
        }
        "media.chunks" => {
            count(|e| matches!(e, ShopEvent::ChunkStored { set, .. } if *set == Set::Media))
        }
        "catalog.refetched" => refetched(log),
        "soldout.lag" => Series::Samples(learnt(log, false)),
        "restock.lag" => Series::Samples(learnt(log, true)),
        "soldout.items" => count(|e| matches!(e, ShopEvent::Stocked { some: false, .. })),
        "soldout.sold" => count(|e| matches!(e, ShopEvent::ItemShort { .. })),
        "receipt.delay" => Series::Samples(receipts(log)),
        "receipt.printed" => count(|e| matches!(e, ShopEvent::ReceiptPrinted { .. })),
        "printer.empty" => count(|e| matches!(e, ShopEvent::Paper { loaded: false, .. })),
        "offer.scanned" => count(|e| matches!(e, ShopEvent::OfferScanned { .. })),
        "offer.answer" => Series::Samples(answers(log)),
        "offer.redeemed" => redeemed(log),
        "offer.refused" => count(|e| {
            let ShopEvent::OfferAnswered { answer, .. } = e else {
                return false;
            };
            !matches!(answer, OfferAnswer::Redeemed | OfferAnswer::Silence)
        }),
        "offer.unknown" => count(|e| {
            matches!(
                e,
                ShopEvent::OfferAnswered {
                    answer: OfferAnswer::Unknown,
                    ..
                }
            )
        }),
        "offer.unanswered" => count(|e| {
            matches!(
                e,
                ShopEvent::OfferAnswered {
                    answer: OfferAnswer::Silence,
                    ..
                }
            )
        }),
        "offer.duplicated" => Series::Counter(
            duplicated(log)
                .into_iter()
                .map(|(at, _)| (at, 1.0))
                .collect(),
        ),
        "reward.settle" => Series::Samples(settled(log)),
        "custom.done" => Series::Samples(did(log)),
        _ => return None,
    })
}

fn shop<'a>(log: &'a SeedLog<'_>) -> impl Iterator<Item = (Duration, ShopEvent)> + 'a {
    log.events.iter().filter_map(|s| match s.event {
        Event::Shop(event) => Some((s.at, event)),
        _ => None,
    })
}

/// Machines that show menus and sell: by the numbers of the directory.
pub(crate) fn fronts(log: &SeedLog<'_>) -> BTreeSet<MachineId> {
    let directory = crate::store::Directory::of(log.scenario);
    let shows = |role| matches!(role, Role::Kiosk | Role::Pos | Role::Signage);
    let machines = directory.machines().iter();
    machines.filter(|m| shows(m.role)).map(|m| m.id).collect()
}

/// From a menu's publication until a machine shows it or a newer one; one sample for each machine and version.
fn staleness(log: &SeedLog<'_>) -> Vec<Timed> {
    let fronts = fronts(log);
    let mut waits: BTreeMap<MachineId, Vec<(u32, Duration)>> = BTreeMap::new();
    let mut samples = Vec::new();
    for (at, event) in shop(log) {
        match event {
            ShopEvent::Published {
                set: Set::Menu,
                version,
            } => {
                for front in &fronts {
                    waits.entry(*front).or_default().push((version, at));
                }
            }
            ShopEvent::MenuShown { at: who, version } => {
                arrive(waits.entry(who).or_default(), version, at, &mut samples);
            }
            _ => {}
        }
    }
    rest(log, waits.into_values().flatten(), &mut samples);
    samples
}

/// Ends the waits for `version` and what came before it.
fn arrive(waits: &mut Vec<(u32, Duration)>, version: u32, at: Duration, samples: &mut Vec<Timed>) {
    waits.retain(|(waiting, since)| {
        let is_here = *waiting <= version;
        if is_here {
            samples.push(Timed::latency(*since, at, 1));
        }
        !is_here
    });
}

/// What still waits at the end of the run.
fn rest(log: &SeedLog<'_>, waits: impl Iterator<Item = (u32, Duration)>, samples: &mut Vec<Timed>) {
    samples.extend(waits.map(|(_, since)| Timed::latency(since, log.ended_at.max(since), 1)));
    samples.sort_by_key(|s| s.start);
}

/// From a set's publication until it is in use on a machine that wants it.
fn synced(log: &SeedLog<'_>, sets: &[Set]) -> Vec<Timed> {
    let wanted = pullers(log);
    let mut waits: BTreeMap<(Set, MachineId), Vec<(u32, Duration)>> = BTreeMap::new();
    let mut samples = Vec::new();
    for (at, event) in shop(log) {
        match event {
            ShopEvent::Published { set, version } if sets.contains(&set) => {
                for machine in wanted.get(&set).into_iter().flatten() {
                    let waits = waits.entry((set, *machine)).or_default();
                    waits.push((version, at));
                }
            }
            ShopEvent::Applied {
                set,
                at: who,
                version,
            } if sets.contains(&set) => {
                arrive(
                    waits.entry((set, who)).or_default(),
                    version,
                    at,
                    &mut samples,
                );
            }
            _ => {}
        }
    }
    rest(log, waits.into_values().flatten(), &mut samples);
    samples
}

/// Who fetches which set.
pub(crate) fn pullers(log: &SeedLog<'_>) -> BTreeMap<Set, BTreeSet<MachineId>> {
    let directory = crate::store::Directory::of(log.scenario);
    let of_role = |role| -> BTreeSet<MachineId> { directory.of_role(role).map(|m| m.id).collect() };
    let catalog = of_role(Role::Catalog);
    let mut all = BTreeMap::new();
    if let Some(declared) = &log.scenario.shop.catalog {
        if declared.menu.is_some() {
            all.insert(Set::Menu, catalog.clone());
        }
        if declared.reference.is_some() {
            all.insert(Set::Reference, catalog);
        }
    }
    if let Some(media) = &log.scenario.media {
        let is_for = |m: &&crate::store::Machine| {
            media
                .to
                .iter()
                .any(|to| *to == m.group || *to == m.name || to == "store/*")
        };
        let boards = directory.of_role(Role::Signage).filter(is_for);
        all.insert(Set::Media, boards.map(|m| m.id).collect());
    }
    all
}

/// Chunks that a machine fetched for a version although it had them for it already.
fn refetched(log: &SeedLog<'_>) -> Series {
    let mut seen = BTreeSet::new();
    let again = shop(log).filter(|(_, event)| match *event {
        ShopEvent::ChunkStored {
            set,
            at,
            version,
            index,
        } => !seen.insert((set, at, version, index)),
        _ => false,
    });
    Series::Counter(again.map(|(at, _)| (at, 1.0)).collect())
}

/// From the last portion (or the new ones) until a board, kiosk or till knows; one sample for each. What changes back before a
/// machine has learnt it is no sample: it never had to know.
fn learnt(log: &SeedLog<'_>, some: bool) -> Vec<Timed> {
    let fronts = fronts(log);
    let mut waits: BTreeMap<(MachineId, ItemId), Duration> = BTreeMap::new();
    let mut samples = Vec::new();
    for (at, event) in shop(log) {
        match event {
            ShopEvent::Stocked { item, some: is } => {
                for front in &fronts {
                    match is == some {
                        true => waits.insert((*front, item), at),
                        false => waits.remove(&(*front, item)),
                    };
                }
            }
            ShopEvent::StockKnown {
                at: who,
                item,
                some: is,
            } if is == some => {
                if let Some(since) = waits.remove(&(who, item)) {
                    samples.push(Timed::latency(since, at, 1));
                }
            }
            _ => {}
        }
    }
    let waits = waits.into_values().map(|since| (0, since));
    rest(log, waits, &mut samples);
    samples
}

/// From a stored sale to its receipt.
fn receipts(log: &SeedLog<'_>) -> Vec<Timed> {
    if !prints(log.scenario) {
        return Vec::new();
    }
    let mut waits: BTreeMap<u64, Duration> = BTreeMap::new();
    let mut done = BTreeSet::new();
    let mut samples = Vec::new();
    for stamped in log.events {
        match stamped.event {
            Event::SaleStored { order, .. } if !done.contains(&order) => {
                waits.entry(order).or_insert(stamped.at);
            }
            Event::Shop(ShopEvent::ReceiptPrinted { order, .. }) => {
                done.insert(order);
                if let Some(since) = waits.remove(&order) {
                    samples.push(Timed::latency(since, stamped.at, 1));
                }
            }
            _ => {}
        }
    }
    let waits = waits.into_values().map(|since| (0, since));
    rest(log, waits, &mut samples);
    samples
}

/// Whether sales make receipts, and there is a printer for them.
pub(crate) fn prints(scenario: &Scenario) -> bool {
    let mut nodes = scenario.nodes.values();
    let mut flow = scenario.orders.iter().flat_map(|o| &o.flow);
    nodes.any(|n| n.role == Role::Printer) && flow.any(|step| step.msg == "receipt.print")
}

/// From a scan to its answer.
fn answers(log: &SeedLog<'_>) -> Vec<Timed> {
    let mut waits: BTreeMap<u64, Duration> = BTreeMap::new();
    let mut samples = Vec::new();
    for (at, event) in shop(log) {
        match event {
            ShopEvent::OfferScanned { scan, .. } => {
                waits.insert(scan, at);
            }
            ShopEvent::OfferAnswered { scan, .. } => {
                if let Some(since) = waits.remove(&scan) {
                    samples.push(Timed::latency(since, at, 1));
                }
            }
            _ => {}
        }
    }
    samples.sort_by_key(|s| s.start);
    samples
}

/// Coupons, each when it was redeemed for the first time.
fn redeemed(log: &SeedLog<'_>) -> Series {
    let mut seen = BTreeSet::new();
    let first = shop(log).filter(|(_, event)| match *event {
        ShopEvent::OfferRedeemed { coupon, .. } => seen.insert(coupon),
        _ => false,
    });
    Series::Counter(first.map(|(at, _)| (at, 1.0)).collect())
}

/// When each coupon was redeemed for the first time.
pub(crate) fn redeemed_at(log: &SeedLog<'_>) -> BTreeMap<u64, Duration> {
    let mut first = BTreeMap::new();
    for (at, event) in shop(log) {
        if let ShopEvent::OfferRedeemed { coupon, .. } = event {
            first.entry(coupon).or_insert(at);
        }
    }
    first
}

/// Coupons that gave a reward to a second scan, or were settled twice, with the time of it.
pub(crate) fn duplicated(log: &SeedLog<'_>) -> Vec<(Duration, u64)> {
    let mut by: BTreeMap<u64, u64> = BTreeMap::new();
    let mut settled = BTreeSet::new();
    let second = shop(log).filter_map(|(at, event)| match event {
        ShopEvent::OfferRedeemed { scan, coupon } => {
            let first = *by.entry(coupon).or_insert(scan);
            (first != scan).then_some((at, coupon))
        }
        ShopEvent::RewardSettled { coupon } => (!settled.insert(coupon)).then_some((at, coupon)),
        _ => None,
    });
    second.collect()
}

/// From a redemption to its settlement.
fn settled(log: &SeedLog<'_>) -> Vec<Timed> {
    let mut waits: BTreeMap<u64, Duration> = BTreeMap::new();
    let mut done = BTreeSet::new();
    let mut samples = Vec::new();
    for (at, event) in shop(log) {
        match event {
            ShopEvent::OfferRedeemed { coupon, .. } if !done.contains(&coupon) => {
                waits.entry(coupon).or_insert(at);
            }
            ShopEvent::RewardSettled { coupon } => {
                done.insert(coupon);
                if let Some(since) = waits.remove(&coupon) {
                    samples.push(Timed::latency(since, at, 1));
                }
            }
            _ => {}
        }
    }
    let waits = waits.into_values().map(|since| (0, since));
    rest(log, waits, &mut samples);
    samples
}

/// What custom services say they did.
fn did(log: &SeedLog<'_>) -> Vec<Timed> {
    let done = log.events.iter().filter_map(|s| match s.event {
        Event::Did { began, .. } => Some(Timed::latency(began, s.at, 1)),
        _ => None,
    });
    done.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::fixture::{Log, node, s, scenario},
        scenario::shop::{Catalog, Publication},
    };

    /// The store on paper, with two kiosks (machines 0 and 1) and a catalog (2).
    fn with_kiosks() -> Scenario {
        let mut scenario = scenario();
        scenario.nodes.insert("kiosk".into(), node(Role::Kiosk, 2));
        scenario
            .nodes
            .insert("catalog".into(), node(Role::Catalog, 1));
        scenario.shop.catalog = Some(Catalog {
            class: "media".into(),
            poll: s(60.0),
            menu: Some(Publication {
                bytes: backroom_collector::config::ByteSize(1 << 20),
                chunk: backroom_collector::config::ByteSize(1 << 16),
                at: Vec::new(),
                changed: 0.1,
            }),
            reference: None,
        });
        scenario
    }

    fn check(name: &str, mut log: Log, expect: &[(f64, f64)]) {
        let scenario = with_kiosks();
        let found = series(&log.log(&scenario), name).expect("a metric of this family");
        let found: Vec<(f64, f64)> = match found {
            Series::Samples(all) => all
                .iter()
                .map(|t| (t.start.as_secs_f64(), t.value))
                .collect(),
            Series::Counter(all) => all.iter().map(|(at, n)| (at.as_secs_f64(), *n)).collect(),
            _ => panic!("{name} is neither"),
        };
        assert_eq!(found, expect, "{name}");
    }

    fn at(log: Log, seconds: f64, event: ShopEvent) -> Log {
        log.at(seconds, Event::Shop(event))
    }

    #[test]
    fn a_menu_that_nobody_shows_grows_stale() {
        let published = |version| ShopEvent::Published {
            set: Set::Menu,
            version,
        };
        let shown = |who, version| ShopEvent::MenuShown {
            at: MachineId(who),
            version,
        };
        let log = at(Log::default(), 100.0, published(2));
        let log = at(log, 130.0, shown(0, 2));
        let log = at(log, 200.0, published(3));
        let log = at(log, 250.0, shown(1, 3));
        // Kiosk 2 went from 1 to 3; kiosk 1 still shows 2 at the end, 6,000 s.
        let expect = [
            (100.0, 30.0),
            (100.0, 150.0),
            (200.0, 50.0),
            (200.0, 5_800.0),
        ];
        check("menu.staleness", log, &expect);
    }

    #[test]
    fn a_set_is_synced_when_it_is_in_use() {
        let set = Set::Menu;
        let log = at(
            Log::default(),
            100.0,
            ShopEvent::Published { set, version: 2 },
        );
        let chunk = ShopEvent::ChunkStored {
            set,
            at: MachineId(2),
            version: 2,
            index: 4,
        };
        let log = at(at(log, 110.0, chunk), 120.0, chunk);
        let applied = ShopEvent::Applied {
            set,
            at: MachineId(2),
            version: 2,
        };
        let log = || {
            at(
                Log {
                    events: log.events.clone(),
                    ..Log::default()
                },
                160.0,
                applied,
            )
        };
        check("catalog.sync", log(), &[(100.0, 60.0)]);
        check("catalog.refetched", log(), &[(120.0, 1.0)]);
        check("media.done", log(), &[]);
    }

    #[test]
    fn who_had_no_time_to_learn_is_no_sample() {
        let stocked = |item, some| ShopEvent::Stocked { item, some };
        let known = |who, item, some| ShopEvent::StockKnown {
            at: MachineId(who),
            item,
            some,
        };
        let log = at(Log::default(), 100.0, stocked(7, false));
        let log = at(log, 100.5, known(0, 7, false));
        let log = at(log, 200.0, stocked(7, true));
        let log = at(log, 201.0, known(0, 7, true));
        let log = || Log {
            events: log.events.clone(),
            ..Log::default()
        };
        check("soldout.lag", log(), &[(100.0, 0.5)]);
        check("restock.lag", log(), &[(200.0, 1.0), (200.0, 5_800.0)]);
    }

    #[test]
    fn a_coupon_counts_once_however_often_it_is_told() {
        let scanned = |scan, coupon| ShopEvent::OfferScanned {
            scan,
            coupon,
            at: MachineId(9),
        };
        let redeemed = |scan, coupon| ShopEvent::OfferRedeemed { scan, coupon };
        let log = at(Log::default(), 10.0, scanned(1, 1));
        let log = at(log, 10.2, redeemed(1, 1));
        let answer = OfferAnswer::Redeemed;
        let log = at(log, 10.3, ShopEvent::OfferAnswered { scan: 1, answer });
        // The service started again and tells what it has.
        let log = at(log, 60.0, redeemed(1, 1));
        let log = at(log, 90.0, ShopEvent::RewardSettled { coupon: 1 });
        let log = || Log {
            events: log.events.clone(),
            ..Log::default()
        };
        check("offer.redeemed", log(), &[(10.2, 1.0)]);
        check("offer.duplicated", log(), &[]);
        check("offer.refused", log(), &[]);
        let bad = at(log(), 95.0, redeemed(2, 1));
        check("offer.duplicated", bad, &[(95.0, 1.0)]);
    }
}
