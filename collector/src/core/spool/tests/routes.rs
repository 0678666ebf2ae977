//! Several destinations: each gets everything that it is for, through crashes and changes of the configuration; a batch stays until
//! the last one has it, and no longer.

use super::*;
use crate::config::{Late, Start};

const NAMES: [&str; 3] = ["endpoint", "audit", "archive"];

/// What each destination has received.
type Received = BTreeMap<&'static str, BTreeSet<u32>>;

fn routes(names: &[&str]) -> Vec<RouteLimits> {
    names.iter().map(|n| RouteLimits::plain(name(n))).collect()
}

fn with_routes(names: &[&str]) -> Limits {
    Limits {
        routes: routes(names),
        ..limits(u64::MAX >> 1, OnFull::Refuse)
    }
}

impl World {
    /// Sends a batch to a destination; the ids of its items.
    fn send_to(
        &mut self,
        destination: &'static str,
        is_fine: bool,
        received: &mut Received,
    ) -> bool {
        let Some(batch) = self.pick_for(destination, Ask::Any) else {
            return false;
        };
        self.ends(destination, &batch, is_fine, received);
        true
    }

    /// What is under way arrives, or does not.
    fn ends(
        &mut self,
        destination: &'static str,
        batch: &BatchRef,
        is_fine: bool,
        received: &mut Received,
    ) {
        if !is_fine {
            return self.spool.failed(batch);
        }
        let data = &self.disk.0[&batch.file()].written;
        let payload = frame::payload(data, batch.place.offset, &batch.header);
        if batch.header.is_intact(payload) {
            let raw = decompress(batch.header.codec, payload, 1 << 20).unwrap();
            let ids = raw
                .chunks(16)
                .map(|item| u32::from_le_bytes(item[..4].try_into().unwrap()));
            received.entry(destination).or_default().extend(ids);
            self.spool.delivered(batch, 0);
        } else {
            assert!(self.seal_has_failed, "damage where no sync had failed");
            self.spool.damaged(batch);
        }
    }

    /// Commits, seals and sends until these destinations want nothing more.
    fn drain_to(&mut self, names: &[&'static str], received: &mut Received) {
        for _ in 0..2000 {
            self.now = self.now.after(Duration::from_secs(60));
            self.step(&Step::Commit);
            self.step(&Step::Seal);
            let sent: Vec<bool> = names
                .iter()
                .map(|name| self.send_to(name, true, received))
                .collect();
            if !sent.contains(&true)
                && self.spool.unsealed_bytes() == 0
                && !self.spool.wants_commit()
            {
                return;
            }
        }
        panic!("it does not end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Every acknowledged item reaches every destination, whatever fails, and then the disk is given back.
    #[test]
    fn all_destinations_get_everything(
        seed: u64,
        steps in steps(),
        count in 1..4_usize,
        turns in prop::collection::vec(0..3_usize, 1..20),
        has_lanes: bool,
    ) {
        let names = &NAMES[..count];
        let mut limits = with_routes(names);
        limits.live_window = has_lanes.then_some(Duration::from_secs(5));
        let mut world = World::new(seed, limits);
        let mut received = Received::new();
        let mut turns = turns.into_iter().cycle();
        for step in &steps {
            match step {
                Step::Deliver | Step::FailToDeliver => {
                    let name = names[turns.next().unwrap() % count];
                    world.send_to(name, matches!(step, Step::Deliver), &mut received);
                }
                // Refused items go to the quarantine, which is another test's.
                Step::Refuse(_) | Step::PutBack(_) => {}
                step => world.step(step),
            }
        }
        world.drain_to(names, &mut received);
        prop_assert_eq!(world.spool.accounting().stored_total(), 0);
        for name in names {
            let got = received.entry(name).or_default();
            prop_assert!(world.acked.is_subset(got) || world.seal_has_failed, "{} lacks some", name);
        }
        let bytes = world.disk.bytes();
        prop_assert!(bytes < 8000 + world.limits.journal_bytes, "{bytes} bytes stay");
    }

    /// Destinations come and go, at reloads and at restarts. What one has it does not get again without a crash, and who is
    /// gone holds nothing.
    #[test]
    fn destinations_come_and_go(
        seed: u64,
        steps in steps(),
        sets in prop::collection::vec((0..8_usize, any::<bool>(), any::<bool>()), 1..6),
    ) {
        let named = |set: usize| -> Vec<&'static str> {
            NAMES.iter().enumerate().filter(|(i, _)| set & 1 << i != 0).map(|(_, name)| *name).collect()
        };
        let mut world = World::new(seed, with_routes(&NAMES));
        let mut received = Received::new();
        let mut current = named(7);
        let chunk = steps.len() / sets.len() + 1;
        for (steps, (set, is_restart, is_fine)) in steps.chunks(chunk).zip(&sets) {
            for (index, step) in steps.iter().enumerate() {
                match step {
                    Step::Deliver | Step::FailToDeliver if !current.is_empty() => {
                        let name = current[index % current.len()];
                        world.send_to(name, matches!(step, Step::Deliver), &mut received);
                    }
                    Step::Deliver | Step::FailToDeliver => {}
                    Step::Refuse(_) | Step::PutBack(_) => {}
                    step => world.step(step),
                }
            }
            let under_way = current.first().and_then(|name| Some((*name, world.pick_for(name, Ask::Any)?)));
            current = named(*set);
            world.limits.routes = routes(&current);
            if *is_restart {
                world.step(&Step::Crash);
            } else {
                world.spool.set_limits(world.limits.clone());
                if let Some((name, batch)) = under_way {
                    world.ends(name, &batch, *is_fine, &mut received);
                }
            }
        }
        let last = ["archive"];
        world.limits.routes = routes(&last);
        world.spool.set_limits(world.limits.clone());
        world.drain_to(&last, &mut received);
        prop_assert_eq!(world.spool.accounting().stored_total(), 0);
        let anywhere: BTreeSet<u32> = received.values().flatten().copied().collect();
        prop_assert!(world.acked.is_subset(&anywhere) || world.seal_has_failed);
    }
}

/// One is down for long: the other gets what comes, the buffer keeps the rest, and a start knows who has what.
#[test]
fn one_that_is_down_gets_the_rest_later() {
    let names = ["endpoint", "audit"];
    let mut world = World::new(1, with_routes(&names));
    let mut received = Received::new();
    for round in 0..60 {
        world.step(&Step::Append(Signal::ALL[round % 3], 30));
        world.step(&Step::Commit);
        world.step(&Step::Seal);
        while world.send_to("endpoint", true, &mut received) {}
    }
    world.step(&Step::Commit);
    assert_eq!(world.spool.accounting().stored_total(), 1800);
    world.step(&Step::PowerLoss);
    let stat = |world: &World| -> Vec<(u64, u64)> {
        let stats = world.spool.routes(world.unix);
        stats
            .map(|route| (route.waiting_items, route.delivered_total()))
            .collect()
    };
    assert_eq!(stat(&world), [(0, 0), (1800, 0)]);
    assert!(
        !world.send_to("endpoint", true, &mut received),
        "it has everything"
    );
    world.drain_to(&names, &mut received);
    assert_eq!(stat(&world), [(0, 0), (0, 1800)]);
    assert_eq!(received["audit"], received["endpoint"]);
    let items: u64 = Signal::ALL
        .iter()
        .map(|s| world.spool.accounting().items(*s).delivered)
        .sum();
    assert_eq!((items, world.spool.accounting().stored_total()), (1800, 0));
}

/// A batch is under way when its destination is taken out; what comes of it says nothing about the next destination, which
/// may get the same number.
#[test]
fn what_ends_late_is_not_taken_for_another_one() {
    let mut world = World::new(1, with_routes(&["endpoint", "audit"]));
    world.step(&Step::Append(Signal::Logs, 30));
    world.step(&Step::Commit);
    world.step(&Step::Seal);
    let batch = world.pick_for("audit", Ask::Any).expect("a batch");
    for (names, is_over) in [(&["endpoint"][..], true), (&["endpoint", "archive"], false)] {
        world.limits.routes = routes(names);
        world.spool.set_limits(world.limits.clone());
        if is_over {
            world.spool.delivered(&batch, 0);
        }
    }
    let mut received = Received::new();
    world.drain_to(&["endpoint", "archive"], &mut received);
    assert_eq!(
        (received["endpoint"].len(), received["archive"].len()),
        (30, 30)
    );
}

/// Regression: a batch under way to a destination that is taken out failed afterwards, and was kept until the next start, for
/// nobody. What it delivered was told as too old.
#[test]
fn what_fails_late_is_kept_for_nobody() {
    for (is_fine, expect) in [(false, (0, 30)), (true, (30, 0))] {
        let mut world = World::new(1, with_routes(&["endpoint"]));
        world.step(&Step::Append(Signal::Logs, 30));
        world.step(&Step::Commit);
        world.step(&Step::Seal);
        let batch = world.pick_for("endpoint", Ask::Any).expect("a batch");
        let audit = RouteLimits {
            start: Start::Now,
            ..RouteLimits::plain(name("audit"))
        };
        world.limits.routes = vec![audit];
        world.spool.set_limits(world.limits.clone());
        world.ends("endpoint", &batch, is_fine, &mut Received::new());
        let items = world.spool.accounting().items(Signal::Logs);
        let found = (items.delivered, items.dropped_for(DropReason::TooOld));
        assert_eq!((found, items.stored), (expect, 0));
    }
}

/// A destination that begins now gets nothing of what is there, also after a start, and everything else; one for other classes does
/// not hold a class up.
#[test]
fn a_destination_may_begin_now_and_take_a_class() {
    let mut world = World::new(1, with_routes(&["endpoint"]));
    for signal in [Signal::Logs, Signal::Traces, Signal::Logs] {
        world.step(&Step::Append(signal, 30));
        world.step(&Step::Commit);
        world.step(&Step::Seal);
    }
    let audit = RouteLimits {
        classes: Some(vec![name("logs")]),
        start: Start::Now,
        ..RouteLimits::plain(name("audit"))
    };
    world.limits.routes.push(audit);
    world.spool.set_limits(world.limits.clone());
    for signal in [Signal::Logs, Signal::Traces] {
        world.step(&Step::Append(signal, 30));
        world.step(&Step::Commit);
        world.step(&Step::Seal);
    }
    world.step(&Step::PowerLoss);
    let mut received = Received::new();
    world.drain_to(&["endpoint", "audit"], &mut received);
    assert_eq!(
        (received["endpoint"].len(), received["audit"].len()),
        (150, 30)
    );
    assert_eq!(world.spool.accounting().stored_total(), 0);
}

/// What is too old for a destination is held, sent last, or missed; what all missed is counted as too old.
#[test]
fn a_horizon_makes_a_late_lane() {
    for (late, expect) in [
        (Late::Hold, (30, 30, 0)),
        (Late::Send, (60, 0, 0)),
        (Late::Drop, (30, 0, 30)),
    ] {
        let mut world = World::new(1, with_routes(&["endpoint"]));
        let route = &mut world.limits.routes[0];
        (route.late, route.age_max) = (late, Some(Duration::from_secs(60)));
        world.spool.set_limits(world.limits.clone());
        for _ in 0..2 {
            world.step(&Step::Append(Signal::Logs, 30));
            world.step(&Step::Commit);
            world.step(&Step::Seal);
            world.step(&Step::Wait(50));
        }
        let late_items: Vec<u64> = world
            .spool
            .routes(world.unix)
            .map(|route| route.late_items)
            .collect();
        assert_eq!(late_items, [30]);
        let mut received = Received::new();
        world.drain_to(&["endpoint"], &mut received);
        let items = world.spool.accounting().items(Signal::Logs);
        let found = (
            items.delivered,
            items.stored,
            items.dropped_for(DropReason::TooOld),
        );
        assert_eq!(found, expect, "{late:?}");
        assert_eq!(
            received["endpoint"].first(),
            Some(&if late == Late::Send { 0 } else { 30 })
        );
    }
}

/// Records of the loss ledger are logs of a class of their own: who gets logs gets them, and nobody else.
#[test]
fn who_gets_logs_is_told_of_losses() {
    let text = r#"
endpoint = "http://hq"
[class.audit]
signal = "logs"
[destination]
traces  = { url = "http://a", classes = ["traces"] }
named   = { url = "http://b", classes = ["audit", "metrics"] }
signals = { url = "http://c", classes = ["logs"] }
"#;
    let config = crate::config::load_text("x.toml", text).expect("valid");
    let told: Vec<String> = RouteLimits::of(&config)
        .iter()
        .filter(|route| route.wants(losses::class()))
        .map(|route| route.name.to_string())
        .collect();
    assert_eq!(told, ["endpoint", "named", "signals"]);
    let limits = Limits::new(&config);
    let mut spool = Spool::new(limits, 1);
    let part = Part {
        class: losses::class(),
        items: 1,
        body: Bytes::from_static(b"x"),
    };
    spool.append_parts(Signal::Logs, &[part], 1);
    let first = spool.classes().max_by_key(|class| class.limits.priority);
    assert_eq!(first.map(|class| class.limits.name), Some(losses::class()));
}
