//! A gateway: stores that send again what may have been taken, in halves and whole, while its disk fails and its power goes.
//!
//! Checked besides what holds for every spool: a store that is told "yes" loses nothing, also where the yes was "I have that", and
//! each item has one number here, so it goes to the back end as one item.

use super::*;
use crate::core::seen::News;

/// One step of a run.
#[derive(Clone, Debug)]
enum Move {
    World(Step),
    /// The store sends a new range of so many items.
    New(u64),
    /// It sends one of its ranges again: whole, a half, or from the middle of it on to the middle of the next.
    Again(prop::sample::Index, u8),
    /// The gateway dies with a commit written and not synced.
    CrashInCommit,
}

struct Store {
    world: World,
    sent: Vec<ItemRange>,
    /// The gateway's number of each item.
    numbers: BTreeMap<u32, (u64, ClassName, u64)>,
    received: usize,
    repeats: u64,
}

fn origin(first: u64, count: u64) -> ItemRange {
    ItemRange {
        store: 9,
        boot: 3,
        class: Signal::Logs.into(),
        signal: Signal::Logs,
        first,
        count,
    }
}

impl Store {
    fn new(seed: u64) -> Self {
        let mut limits = limits(u64::MAX >> 1, OnFull::Refuse);
        limits.gateway = Some(Bounds::NONE);
        Self {
            world: World::new(seed, limits),
            sent: Vec::new(),
            numbers: BTreeMap::new(),
            received: 0,
            repeats: 0,
        }
    }

    fn step(&mut self, step: &Move) {
        match step {
            Move::World(step) => self.world.step(step),
            Move::New(count) => {
                let first = self.sent.last().map_or(0, ItemRange::end);
                self.sent.push(origin(first, *count));
                self.offer(origin(first, *count));
            }
            Move::Again(_, _) if self.sent.is_empty() => {}
            Move::Again(which, how) => {
                let range = *which.get(&self.sent);
                let (left, right) = range.split(range.count / 2);
                match how {
                    0 => self.offer(range),
                    1 => self.offer(left),
                    2 => self.offer(right),
                    _ => self.offer(ItemRange {
                        count: right.count + 3,
                        ..right
                    }),
                }
            }
            Move::CrashInCommit => self.world.crash_in_commit(),
        }
        self.look();
    }

    fn offer(&mut self, range: ItemRange) {
        if range.count == 0 {
            return;
        }
        let last = self.sent.last().expect("it has sent some").end();
        let range = ItemRange {
            count: range.count.min(last - range.first),
            ..range
        };
        let ids = |range: &ItemRange| (range.first as u32..range.end() as u32).collect::<Vec<_>>();
        let parts = match self.world.spool.seen().news(&range) {
            News::UnderWay => return,
            News::Nothing => {
                // It is told that all of it is here.
                self.repeats += 1;
                self.world.acked.extend(ids(&range));
                return;
            }
            News::All => vec![range],
            News::Parts(parts) => parts,
        };
        for part in parts {
            let mut body = Vec::new();
            for id in ids(&part) {
                body.extend(id.to_le_bytes());
                body.extend(self.world.rng.random::<[u8; 12]>());
            }
            let unix = self.world.unix;
            let spool = &mut self.world.spool;
            let whole = Part {
                class: spool.class_of(part.signal),
                items: part.count,
                body: body.into(),
            };
            let admission = spool.append_from(part, &whole, unix);
            assert_eq!(admission, Admission::Queued);
            let known = spool.append_from(part, &whole, unix);
            assert_eq!(known, Admission::Known);
            self.world.waiting.push(ids(&part));
        }
    }

    /// Whether each item has one number.
    fn look(&mut self) {
        if self.world.batches.len() == self.received {
            return;
        }
        self.received = self.world.batches.len();
        for (range, ids) in &self.world.batches {
            for (id, number) in ids.iter().zip(range.first..) {
                let number = (range.boot, range.class, number);
                let before = self.numbers.insert(*id, number);
                let is_same = before.is_none_or(|before| before == number);
                assert!(is_same, "item {id} is {number:?}, and was {before:?}");
            }
        }
    }
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let again = (any::<prop::sample::Index>(), 0..4_u8);
    let step = prop_oneof![
        6 => (1..12_u64).prop_map(Move::New),
        6 => again.prop_map(|(which, how)| Move::Again(which, how)),
        8 => Just(Move::World(Step::Commit)),
        1 => Just(Move::World(Step::CommitFails)),
        5 => Just(Move::World(Step::Seal)),
        1 => Just(Move::World(Step::SealFails)),
        4 => Just(Move::World(Step::Deliver)),
        1 => Just(Move::World(Step::FailToDeliver)),
        2 => (1..8_u64).prop_map(|seconds| Move::World(Step::Wait(seconds))),
        1 => Just(Move::World(Step::Crash)),
        1 => Just(Move::CrashInCommit),
        1 => Just(Move::World(Step::PowerLoss)),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_item_of_a_store_is_taken_once(seed: u64, moves in moves()) {
        let mut store = Store::new(seed);
        for step in &moves {
            store.step(step);
        }
        // In the end the store gets everything through, and repeats all of it.
        store.world.deliver_all();
        for range in store.sent.clone() {
            store.offer(range);
            store.world.deliver_all();
        }
        store.look();
        let repeats = store.repeats;
        for range in store.sent.clone() {
            store.offer(range);
        }
        prop_assert_eq!(store.repeats - repeats, store.sent.len() as u64);
        store.world.drain();
        store.look();
        let items = store.sent.last().map_or(0, ItemRange::end);
        if !store.world.seal_has_failed {
            prop_assert_eq!(store.numbers.len() as u64, items);
        }
    }
}

/// The process dies after a commit was written and before it was synced; the next one reads it, and a repeat is told "I have that".
/// Then the power goes: what was only read must not be lost.
#[test]
fn what_was_only_read_is_durable_before_a_repeat_is_acknowledged() {
    let mut store = Store::new(1);
    store.step(&Move::New(5));
    store.step(&Move::CrashInCommit);
    store.offer(origin(0, 5));
    assert_eq!((store.repeats, store.world.acked.len()), (1, 5));
    for file in store.world.disk.0.values_mut() {
        // The worst that a loss of power does.
        file.written = file.synced.clone();
    }
    store.world.restart();
    store.world.drain();
    store.look();
    assert_eq!(store.numbers.len(), 5);
}

/// A commit fails, and what of it is on disk is found by the next start; the store has sent it again meanwhile.
#[test]
fn what_was_refused_and_came_again_is_taken_once() {
    let mut store = Store::new(1);
    for step in [
        Move::New(5),
        Move::World(Step::Commit),
        Move::New(5),
        Move::World(Step::CommitFails),
    ] {
        store.step(&step);
    }
    store.offer(origin(5, 5));
    for step in [Step::Commit, Step::Crash] {
        store.step(&Move::World(step));
    }
    store.world.drain();
    store.look();
    assert_eq!(store.numbers.len(), 10);
    let accepted = store.world.accepted_ever();
    assert_eq!(accepted, 10, "and counted once");
}

/// A journal that goes takes what it says with it, unless the next one says it again.
#[test]
fn a_record_outlives_its_journal() {
    let mut store = Store::new(1);
    for _ in 0..60 {
        store.step(&Move::New(11));
        store.world.deliver_all();
    }
    let journals = |disk: &Disk| {
        let files = disk.0.keys().filter(|file| file.kind == FileKind::Journal);
        files.map(|file| file.number).min()
    };
    assert!(
        journals(&store.world.disk) > Some(10),
        "the first ones are gone"
    );
    store.world.restart();
    assert_eq!(store.world.spool.seen().intervals(), 1);
    assert_eq!(
        store.world.spool.seen().news(&origin(0, 660)),
        News::Nothing
    );
    // Not a gateway any more: the record goes with the journals, and requests that stand there are delivered all the same.
    store.world.step(&Step::Commit);
    store.step(&Move::New(7));
    store.step(&Move::World(Step::Commit));
    assert_eq!(store.world.acked.len(), 667);
    store.world.limits.gateway = None;
    store.world.restart();
    assert_eq!(store.world.spool.seen().stores(), 0);
    store.world.drain();
    store.look();
    assert_eq!(store.numbers.len(), 667);
}
