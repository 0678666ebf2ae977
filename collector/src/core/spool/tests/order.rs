//! Which batch goes next, against a list of all batches that wait: lanes, order within them, priorities.

use super::*;
use crate::core::lane::{Cuts, Lane};

const WINDOW: Duration = Duration::from_secs(10);

impl World {
    /// All batches that wait and are not under way, in the order of their places.
    fn waiting_batches(&self) -> Vec<(Place, Header)> {
        let files = self
            .disk
            .0
            .keys()
            .filter(|file| file.kind == FileKind::Batches);
        let batches = files.flat_map(|file| {
            let headers = self.disk.headers(*file).into_iter();
            headers.map(move |(offset, header)| {
                let file = file.number;
                (Place { file, offset }, header)
            })
        });
        batches
            .filter(|(place, _)| {
                self.spool.is_waiting(*place) && !self.spool.sending.contains_key(place)
            })
            .collect()
    }

    /// Requests of 30 items, each a batch, one a second.
    fn fill(&mut self, signals: &[Signal]) {
        for signal in signals {
            self.step(&Step::Append(*signal, 30));
            self.step(&Step::Commit);
            self.step(&Step::Seal);
            self.step(&Step::Wait(1));
        }
    }
}

fn with_lanes() -> Limits {
    Limits {
        live_window: Some(WINDOW),
        ..limits(u64::MAX >> 1, OnFull::Refuse)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// What is picked is the first of its class and lane, of the highest priority that has anything; nothing is overlooked.
    #[test]
    fn the_first_of_its_lane_goes_next(
        seed: u64,
        steps in steps(),
        priorities in prop::collection::vec(0..2_u8, 3),
        newest_first in prop::collection::vec(any::<bool>(), 3),
        asks in prop::collection::vec(0..3_usize, 1..20),
    ) {
        let mut limits = with_lanes();
        for (index, class) in limits.classes.iter_mut().enumerate() {
            class.priority = priorities[index];
            class.order = match newest_first[index] {
                true => Order::NewestFirst,
                false => Order::OldestFirst,
            };
        }
        let mut world = World::new(seed, limits);
        let mut asks = asks.into_iter().map(|ask| [Ask::Any, Ask::LiveFirst, Ask::LiveOnly][ask]).cycle();
        for step in &steps {
            world.step(step);
            let (Step::Deliver | Step::FailToDeliver) = step else { continue };
            let ask = asks.next().unwrap();
            let waiting = world.waiting_batches();
            let cuts = Cuts::at(world.unix, Some(WINDOW), None);
            let lane = |header: &Header| cuts.lane(header.born_min, header.born_max);
            let priority = |header: &Header| priorities[header.range.signal.index()];
            let is_live_only = ask == Ask::LiveOnly
                || ask == Ask::LiveFirst && waiting.iter().any(|(_, header)| lane(header) == Lane::Live);
            let allowed: Vec<&(Place, Header)> =
                waiting.iter().filter(|(_, header)| !is_live_only || lane(header) == Lane::Live).collect();
            let Some(picked) = world.pick_asked(ask) else {
                prop_assert!(allowed.is_empty(), "overlooked {allowed:?}");
                continue;
            };
            let header = picked.header;
            prop_assert_eq!(picked.lane, lane(&header));
            prop_assert_eq!(Some(priority(&header)), allowed.iter().map(|(_, other)| priority(other)).max());
            let mut mine = allowed.iter().filter(|(_, other)| other.range.class == header.range.class && lane(other) == picked.lane);
            let first = match newest_first[header.range.signal.index()] {
                true => mine.next_back(),
                false => mine.min_by_key(|(place, _)| *place),
            };
            prop_assert_eq!(first.map(|(place, _)| *place), Some(picked.place));
            world.spool.failed(&picked);
        }
        world.drain();
    }
}

/// With weeks of backlog, what is fresh is the next but one at most, and the backlog goes on in its order.
#[test]
fn fresh_batches_pass_the_backlog() {
    let mut world = World::new(1, with_lanes());
    world.fill(&[Signal::Logs; 40]);
    world.step(&Step::Wait(3600));
    let mut backlog = Vec::new();
    for _ in 0..5 {
        let old = world.pick().expect("a backlog");
        assert_eq!(old.lane, Lane::Backfill);
        backlog.push(old);
        world.spool.delivered(&old, 0);
        world.fill(&[Signal::Logs]);
        let fresh = world.pick().expect("a fresh batch");
        assert_eq!(fresh.lane, Lane::Live);
        assert!(fresh.header.born_max > 3_600_000_000_000);
        world.spool.delivered(&fresh, 0);
    }
    assert!(backlog.is_sorted_by_key(|batch| batch.place));
    assert_eq!(world.spool.accounting().stored_total(), 35 * 30);
}

/// What is too fresh for its turn is not lost: it becomes backlog, and goes in its order.
#[test]
fn fresh_batches_become_backlog() {
    let mut world = World::new(1, with_lanes());
    world.fill(&[Signal::Logs; 3]);
    assert_eq!(
        world.pick_asked(Ask::LiveOnly).map(|batch| batch.lane),
        Some(Lane::Live)
    );
    world.step(&Step::Wait(60));
    assert_eq!(world.pick_asked(Ask::LiveOnly), None);
    assert_eq!(world.pick().map(|batch| batch.lane), Some(Lane::Backfill));
}

/// After an outage nothing of the backlog goes before what came in last is sealed and on its way, however large it is; but a disk
/// that fails does not hold the backlog up.
#[test]
fn an_outage_ends_with_what_is_fresh() {
    let mut world = World::new(1, with_lanes());
    world.fill(&[Signal::Logs; 20]);
    world.step(&Step::Wait(60));
    for signal in Signal::ALL {
        world.step(&Step::Append(signal, 1));
    }
    world.step(&Step::Commit);
    assert_eq!(world.pick_asked(Ask::LiveOnly), None, "nothing is due");
    world.spool.refresh(world.endpoint(), world.now);
    assert_eq!(world.pick(), None, "the backlog waits");
    for _ in Signal::ALL {
        world.step(&Step::Seal);
        assert_eq!(world.pick().map(|batch| batch.lane), Some(Lane::Live));
    }
    assert_eq!(world.pick().map(|batch| batch.lane), Some(Lane::Backfill));

    world.step(&Step::Append(Signal::Logs, 1));
    world.step(&Step::Commit);
    world.spool.refresh(world.endpoint(), world.now);
    world.step(&Step::SealFails);
    let Pick::At(until) = world
        .spool
        .pick(world.endpoint(), Ask::Any, world.now, world.unix)
    else {
        panic!("it waits");
    };
    world.now = until;
    assert_eq!(world.pick().map(|batch| batch.lane), Some(Lane::Backfill));
}
