//! The record against a set of single items: any order of requests, repeats, halves, failing commits and restarts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn range((store, boot, first, count): (u64, u64, u64, u64)) -> ItemRange {
    ItemRange {
        store,
        boot,
        class: Signal::Logs.into(),
        signal: Signal::Logs,
        first,
        count,
    }
}

fn items(range: &ItemRange) -> BTreeSet<(u64, u64, u64)> {
    let (store, boot) = (range.store, range.boot);
    (range.first..range.end())
        .map(|item| (store, boot, item))
        .collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// A request comes.
    Come(ItemRange),
    /// The oldest that waits is committed, or not.
    Commit(bool),
    /// The process dies: what waits is gone, what is durable is read.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = (0..2_u64, 0..2_u64, 0..60_u64, 1..20_u64).prop_map(range);
    let step = prop_oneof![
        6 => some.prop_map(Step::Come),
        5 => prop::bool::weighted(0.8).prop_map(Step::Commit),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    /// Each item is taken once, and none that was not taken is called a repeat.
    #[test]
    fn each_item_is_taken_once(steps in steps()) {
        let (mut seen, mut model) = (Seen::default(), BTreeSet::new());
        let mut waiting: Vec<ItemRange> = Vec::new();
        for (step, second) in steps.into_iter().zip(1..) {
            match step {
                Step::Come(range) => {
                    let busy: BTreeSet<_> = waiting.iter().flat_map(items).collect();
                    let wanted = items(&range);
                    let new: Vec<_> = wanted.difference(&model).copied().collect();
                    match seen.news(&range) {
                        News::UnderWay => prop_assert!(!wanted.is_disjoint(&busy)),
                        News::Nothing => prop_assert!(new.is_empty()),
                        News::All => {
                            prop_assert_eq!(new.len() as u64, range.count);
                            prop_assert!(wanted.is_disjoint(&busy));
                            seen.begin(range);
                            waiting.push(range);
                        }
                        News::Parts(parts) => {
                            let told: Vec<_> = parts.iter().flat_map(items).collect();
                            prop_assert_eq!(told, new);
                            for part in parts {
                                prop_assert_eq!(seen.news(&part), News::All);
                                seen.begin(part);
                                waiting.push(part);
                            }
                        }
                    }
                }
                Step::Commit(is_durable) if !waiting.is_empty() => {
                    let range = waiting.remove(0);
                    seen.end(&range, is_durable.then_some(second * SECOND));
                    if is_durable {
                        for item in items(&range) {
                            prop_assert!(model.insert(item), "{:?} is taken twice", item);
                        }
                    }
                }
                Step::Commit(_) => {}
                Step::Restart => {
                    waiting.clear();
                    let payload = seen.encode();
                    seen = Seen::default();
                    prop_assert_eq!(seen.read(&payload), Some(()));
                    // Frames only add up: what is read twice says nothing new.
                    prop_assert_eq!(seen.read(&payload), Some(()));
                    prop_assert_eq!(seen.encode(), payload);
                }
            }
            let told: u64 = seen.gaps().map(|(.., gaps)| gaps.seen_items).sum();
            prop_assert_eq!(told, model.len() as u64);
        }
    }

    /// However it is bounded, nothing that did not come is called a repeat, and the bounds hold.
    #[test]
    fn what_is_forgotten_is_new_again(
        came in prop::collection::vec((0..6_u64, 0..2_u64, 0..200_u64, 1..4_u64, 0..50_u64), 1..120),
        stores_max in 1..5_usize,
        intervals_max in 1..20_usize,
        horizon in 1..40_u64,
    ) {
        let horizon = Duration::from_secs(horizon);
        let mut seen = Seen::new(Bounds { horizon, stores_max, intervals_max });
        let mut model = BTreeSet::new();
        let mut second = 100;
        for (store, boot, first, count, pause) in came {
            second += pause;
            let range = range((store, boot, first, count));
            seen.insert(&range, second * SECOND);
            model.extend(items(&range));
            prop_assert!(seen.stores() <= stores_max);
            prop_assert!(seen.intervals() <= intervals_max);
            prop_assert_eq!(seen.encode().len(), seen.encoded_bytes());
            let told = seen.gaps().map(|(.., gaps)| gaps.seen_items).sum::<u64>();
            prop_assert!(told <= model.len() as u64);
            for item in &model {
                let one = self::range((item.0, item.1, item.2, 1));
                prop_assert!(seen.news(&one) == News::All || model.contains(item));
            }
        }
    }

    /// Whatever stands in a payload is refused or read, and no panic.
    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
        Seen::default().read(&noise);
        let mut seen = Seen::default();
        seen.insert(&range((1, 2, 3, 4)), SECOND);
        let mut payload = seen.encode();
        payload.truncate(cut.index(payload.len()));
        prop_assert!(!Seen::is_one(&payload));
        wire::split_origin(&range((0, 0, 0, 1)), &noise);
    }
}

#[test]
fn an_interval_is_remembered_for_the_horizon() {
    let horizon = Duration::from_secs(1000);
    let mut seen = Seen::new(Bounds {
        horizon,
        ..Bounds::NONE
    });
    seen.insert(&range((1, 1, 0, 10)), 10 * SECOND);
    seen.insert(&range((2, 1, 0, 10)), 900 * SECOND);
    // Others come all the while.
    seen.insert(&range((2, 1, 10, 10)), 1005 * SECOND);
    assert_eq!(seen.news(&range((1, 1, 0, 10))), News::Nothing);
    seen.insert(&range((2, 1, 20, 10)), 1200 * SECOND);
    assert_eq!(seen.news(&range((1, 1, 0, 10))), News::All);
    assert_eq!(seen.news(&range((2, 1, 0, 30))), News::Nothing);
    assert_eq!((seen.stores(), seen.crowded_out()), (1, 0));
}

#[test]
fn the_quietest_go_first() {
    let mut seen = Seen::new(Bounds {
        intervals_max: 3,
        ..Bounds::NONE
    });
    for (first, second) in [(0, 4), (100, 1), (200, 2), (300, 3)] {
        seen.insert(&range((1, 1, first, 5)), second * SECOND);
    }
    assert_eq!(seen.news(&range((1, 1, 100, 5))), News::All);
    assert_eq!(seen.news(&range((1, 1, 0, 5))), News::Nothing);
    assert_eq!(seen.crowded_out(), 5);
    let (.., gaps) = seen.gaps().next().unwrap();
    // 5 to 200 and 205 to 300, of which 5 came and are forgotten.
    assert_eq!(gaps.missing_items, 285);
}
