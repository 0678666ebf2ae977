//! What must be true of every run, from what was acknowledged and what arrived.

use std::collections::{BTreeMap, BTreeSet};

use backroom_collector::core::accounting::DropReason;

use crate::stage::{FINAL_RESTARTS, Log, QUOTA};

/// What a run's faults excuse.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Excused {
    /// Synced bytes rotted: as many items may be lost as were counted as damaged.
    pub(crate) damage: bool,
    /// The disk refused operations: notes may be lost with it, so items may come again in another grouping.
    pub(crate) errors: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Acknowledged, and never arrived.
    pub(crate) lost: Vec<u32>,
    /// Everything else that must not be.
    pub(crate) violations: Vec<String>,
    /// Batches that came again.
    pub(crate) repeats: usize,
}

impl Verdict {
    pub(crate) fn is_fine(&self) -> bool {
        self.lost.is_empty() && self.violations.is_empty()
    }
}

/// Batches that one interruption may bring again: those under way, and those whose notes wait for a commit.
const REPEATS_BY_INTERRUPTION: usize = 8;

/// Compares what was acknowledged with what arrived.
pub(crate) fn judge(log: &Log, excused: Excused) -> Verdict {
    let mut verdict = Verdict::default();
    let mut violation = |text: String| verdict.violations.push(text);

    // DELIVERY-1: acknowledged is delivered.
    let mut arrived: BTreeMap<u32, BTreeSet<_>> = BTreeMap::new();
    for arrival in &log.arrivals {
        for id in &arrival.ids {
            arrived.entry(*id).or_default().insert(arrival.range);
        }
    }
    let lost = log.acked.iter().filter(|id| !arrived.contains_key(id));
    let lost: Vec<u32> = lost.copied().collect();

    // LOSS-1: what is lost is counted, and nothing is counted as lost where nothing was damaged.
    let dropped = |reason| {
        let lives = log.lives.iter();
        let items = lives.map(|life| life.dropped.get(&reason).copied().unwrap_or(0));
        items.max().unwrap_or(0)
    };
    let damaged = dropped(DropReason::Damaged);
    if !excused.damage && !excused.errors && damaged > 0 {
        violation(format!(
            "{damaged} items counted as damaged in a sound file"
        ));
    }
    let others = [
        DropReason::BufferFull,
        DropReason::TooOld,
        DropReason::Refused,
    ];
    for reason in others {
        if dropped(reason) > 0 {
            violation(format!("{} items dropped as {reason:?}", dropped(reason)));
        }
    }

    // DELIVERY-2: nothing arrives that was not offered.
    let invented = arrived.keys().filter(|id| !log.offered.contains(id));
    let invented: Vec<_> = invented.collect();
    if !invented.is_empty() {
        violation(format!("items that nobody offered: {invented:?}"));
    }

    // BATCH-1: a range is one batch, whenever it comes.
    let mut batches: BTreeMap<_, (&[u32], usize)> = BTreeMap::new();
    for arrival in &log.arrivals {
        let (ids, times) = batches.entry(arrival.range).or_insert((&arrival.ids, 0));
        *times += 1;
        if *ids != arrival.ids {
            violation(format!("{} came with other items", arrival.range));
        }
    }

    // BATCH-2: an item has one range.
    let regrouped = arrived.values().filter(|ranges| ranges.len() > 1).count();
    if regrouped > 0 && !excused.errors {
        violation(format!("{regrouped} items came in two batches"));
    }

    // BATCH-3: a repeat has a cause. Each interruption and each lost answer may bring a batch again, and few of them: more only
    // where the disk took no notes.
    let interruptions = log.lives.len().saturating_sub(1);
    let lost_answers = log.muted as usize;
    let often = batches.values().map(|(_, times)| *times).max().unwrap_or(0);
    if often > 1 + interruptions + lost_answers {
        violation(format!("a batch came {often} times"));
    }
    let repeats: usize = batches.values().map(|(_, times)| times - 1).sum();
    if !excused.errors && repeats > interruptions * REPEATS_BY_INTERRUPTION + lost_answers {
        violation(format!(
            "{repeats} repeats after {interruptions} interruptions"
        ));
    }

    // LIVENESS-1: whatever happened, intake comes back.
    if log.last_acks == 0 {
        violation("nothing of the last call was acknowledged".to_owned());
    }

    // QUOTA-1: the quota holds; what is drained is given back. After an interruption there may be a journal and a segment
    // more: what it tore is sealed again before the torn copy can go, and removals that were not durable come undone. So does
    // the cut of the reserve's file.
    let more = if interruptions > FINAL_RESTARTS {
        QUOTA / 4 + log.reserve_bytes_max
    } else {
        0
    };
    if log.buffer_bytes_max > QUOTA + more {
        violation(format!("the buffer took {} bytes", log.buffer_bytes_max));
    }
    if log.buffer_bytes_end > QUOTA / 3 {
        violation(format!(
            "{} bytes stay behind: {:?}",
            log.buffer_bytes_end, log.files_end
        ));
    }
    verdict.lost = lost;
    verdict.repeats = repeats;
    if excused.damage && verdict.lost.len() as u64 <= damaged {
        verdict.lost.clear();
    }
    verdict
}

/// Judges a run that must be fine.
pub(crate) fn must_hold(what: &dyn std::fmt::Debug, log: &Log, excused: Excused) -> Verdict {
    let verdict = judge(log, excused);
    assert!(
        verdict.is_fine(),
        "{what:?}: lost {:?}, {:?}; {} of {} acknowledged arrived; lives {:#?}",
        verdict.lost,
        verdict.violations,
        log.acked.len() - verdict.lost.len(),
        log.acked.len(),
        log.lives,
    );
    verdict
}

mod tests {
    use backroom_collector::{
        core::{class::ClassName, range::ItemRange},
        otlp::Signal,
    };

    use super::*;
    use crate::stage::{Arrival, Life};

    fn arrival(first: u32, count: u32) -> Arrival {
        let range = ItemRange {
            store: 1,
            boot: 1,
            class: ClassName::new("logs").unwrap(),
            signal: Signal::Logs,
            first: first.into(),
            count: count.into(),
        };
        let ids = (first..first + count).collect();
        Arrival { range, ids }
    }

    /// Ten items, acknowledged, delivered in two batches.
    fn sound() -> Log {
        Log {
            offered: (0..10).collect(),
            acked: (0..10).collect(),
            arrivals: vec![arrival(0, 5), arrival(5, 5)],
            lives: vec![Life::default()],
            last_acks: 1,
            ..Log::default()
        }
    }

    fn check(spoil: impl FnOnce(&mut Log), expect: &str) {
        let mut log = sound();
        spoil(&mut log);
        let verdict = judge(&log, Excused::default());
        let found = format!("lost {:?} {:?}", verdict.lost, verdict.violations);
        assert!(found.contains(expect), "{found}");
        assert_eq!(verdict.is_fine(), expect == "lost [] []", "{found}");
    }

    /// A sound run passes, and each rule has a run that it refuses.
    #[test]
    fn each_rule_has_teeth() {
        check(|_| {}, "lost [] []");
        check(|log| drop(log.arrivals.pop()), "lost [5, 6, 7, 8, 9]");
        check(
            |log| log.arrivals.push(arrival(5, 5)),
            "a batch came 2 times",
        );
        check(
            |log| log.arrivals.push(arrival(10, 1)),
            "items that nobody offered: [10]",
        );
        check(
            |log| {
                log.lives.push(Life::default());
                log.arrivals.push(arrival(4, 2));
            },
            "2 items came in two batches",
        );
        check(
            |log| {
                log.lives.push(Life::default());
                log.arrivals.push(arrival(5, 5));
                log.arrivals[2].ids[0] = 0;
            },
            "came with other items",
        );
        check(
            |log| {
                let life = log.lives.last_mut().unwrap();
                life.dropped.insert(DropReason::Damaged, 3);
            },
            "3 items counted as damaged",
        );
        check(
            |log| {
                let life = log.lives.last_mut().unwrap();
                life.dropped.insert(DropReason::TooOld, 3);
            },
            "3 items dropped as TooOld",
        );
        check(|log| log.buffer_bytes_max = QUOTA + 1, "the buffer took");
        check(|log| log.last_acks = 0, "nothing of the last call");
        check(|log| log.buffer_bytes_end = QUOTA, "bytes stay behind");
        // An interruption excuses a repeat of the same batch.
        check(
            |log| {
                log.lives.push(Life::default());
                log.arrivals.push(arrival(5, 5));
            },
            "lost [] []",
        );
    }

    #[test]
    fn rot_excuses_what_was_counted() {
        let excused = Excused {
            damage: true,
            ..Excused::default()
        };
        let mut log = sound();
        log.arrivals.pop();
        assert_eq!(judge(&log, excused).lost.len(), 5);
        log.lives[0].dropped.insert(DropReason::Damaged, 5);
        assert!(judge(&log, excused).is_fine());
    }
}
