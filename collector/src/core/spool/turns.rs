//! Whose turn it is: strict between priorities, then lanes, then classes, in proportion to weights and bytes.
//!
//! Between lanes, and between the classes of a lane, start-time fair queueing decides (Goyal, Vin and Cheng 1996): each
//! stands where its last batch ended, in bytes by weight, but not before the one that was picked last. So who had nothing to send
//! cannot claim the time that it was silent, and who comes back stands in front. The lanes are asked before the classes: a
//! fresh batch waits for one batch of the backlog at most, whatever class that is of.
//!
//! - `backfill_share` is what the backlog gets of a line that fresh data would fill; of any other line it gets all that is left.
//! - A class gets its weight's part of each lane. A higher priority goes first altogether, its backlog included.
//! - Late batches go when nothing else can.
//!
//! Next: `outbox`, which looks for the batch.

use std::collections::BTreeMap;

use super::{ClassLimits, ClassName};
use crate::core::lane::{Ask, Lane};

/// What a batch's bytes are multiplied with before they are divided by a weight.
const UNIT: u64 = 1000;

/// Who went last, and where everybody stands.
#[derive(Debug, Default)]
pub(in crate::core) struct Turns {
    levels: BTreeMap<u8, Level>,
}

/// The turns of one priority.
#[derive(Debug, Default)]
struct Level {
    lanes: Fair<Lane>,
    classes: BTreeMap<Lane, Fair<ClassName>>,
}

impl Turns {
    /// Lanes and classes in the order in which they are to be asked for a batch.
    pub(super) fn order<'a>(
        &self,
        classes: impl Iterator<Item = &'a ClassLimits>,
        ask: Ask,
    ) -> Vec<(Lane, ClassName)> {
        let mut by_priority: BTreeMap<u8, Vec<ClassName>> = BTreeMap::new();
        for class in classes {
            by_priority
                .entry(class.priority)
                .or_default()
                .push(class.name);
        }
        let lanes = |priority: u8| {
            let mut lanes = [Lane::Live, Lane::Backfill];
            if let Some(level) = self.levels.get(&priority) {
                level.lanes.sort(&mut lanes);
            }
            lanes
        };
        let highest_first = || by_priority.iter().rev();
        let mut asked: Vec<(u8, Lane)> = Vec::new();
        if ask != Ask::Any {
            asked.extend(highest_first().map(|(priority, _)| (*priority, Lane::Live)));
        }
        match ask {
            Ask::LiveOnly => {}
            // Asking for live once more does no harm: there is none.
            Ask::Any | Ask::LiveFirst => {
                let in_time = highest_first().flat_map(|(p, _)| lanes(*p).map(|lane| (*p, lane)));
                let late = highest_first().map(|(priority, _)| (*priority, Lane::Late));
                asked.extend(in_time.chain(late));
            }
        }
        let mut order = Vec::new();
        for (priority, lane) in asked {
            let mut classes = by_priority[&priority].clone();
            let level = self.levels.get(&priority);
            if let Some(fair) = level.and_then(|level| level.classes.get(&lane)) {
                fair.sort(&mut classes);
            }
            order.extend(classes.into_iter().map(|class| (lane, class)));
        }
        order
    }

    /// A batch of that many bytes was picked. `backfill_permille` is the share of the backlog, 1 to 999.
    pub(super) fn picked(
        &mut self,
        lane: Lane,
        class: &ClassLimits,
        bytes: u64,
        backfill_permille: u16,
    ) {
        let level = self.levels.entry(class.priority).or_default();
        let share = u64::from(backfill_permille.clamp(1, 999));
        match lane {
            Lane::Live => level.lanes.advance(lane, bytes, 1000 - share),
            Lane::Backfill => level.lanes.advance(lane, bytes, share),
            // What goes when nothing else can takes nobody's turn.
            Lane::Late => {}
        }
        let fair = level.classes.entry(lane).or_default();
        fair.advance(class.name, bytes, class.weight.into());
    }
}

/// Start-time fair queueing over a few members.
#[derive(Debug)]
struct Fair<K> {
    /// Where the member picked last stood.
    now: u64,
    /// Where each member's last batch ended.
    ends: BTreeMap<K, u64>,
}

impl<K> Default for Fair<K> {
    fn default() -> Self {
        Self {
            now: 0,
            ends: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Copy> Fair<K> {
    fn start(&self, member: K) -> u64 {
        self.ends
            .get(&member)
            .map_or(self.now, |end| self.now.max(*end))
    }

    /// Who stands first comes first; their own order decides between equals.
    fn sort(&self, members: &mut [K]) {
        members.sort_by_key(|member| (self.start(*member), *member));
    }

    fn advance(&mut self, member: K, bytes: u64, weight: u64) {
        let start = self.start(member);
        let cost = bytes.saturating_mul(UNIT) / weight.max(1);
        self.now = start;
        self.ends.insert(member, start.saturating_add(cost));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A class of that name, priority and weight.
    fn class(index: usize, priority: u8, weight: u16) -> ClassLimits {
        ClassLimits {
            priority,
            weight,
            ..ClassLimits::plain(ClassName::new(["a", "b", "c", "d"][index]).unwrap())
        }
    }

    /// Picks `picks` batches among those that are never out of batches, and returns the bytes that each got.
    fn serve(
        turns: &mut Turns,
        classes: &[ClassLimits],
        busy: &[(Lane, usize)],
        sizes: &mut impl Iterator<Item = u64>,
        picks: usize,
        permille: u16,
    ) -> BTreeMap<(Lane, usize), u64> {
        let mut got = BTreeMap::new();
        for _ in 0..picks {
            let order = turns.order(classes.iter(), Ask::Any);
            let index =
                |name: ClassName| classes.iter().position(|class| class.name == name).unwrap();
            let mut places = order.into_iter().map(|(lane, name)| (lane, index(name)));
            let place = places
                .find(|place| busy.contains(place))
                .expect("all are asked");
            let bytes = sizes.next().unwrap();
            turns.picked(place.0, &classes[place.1], bytes, permille);
            *got.entry(place).or_default() += bytes;
        }
        got
    }

    const BYTES_MAX: u64 = 4000;

    proptest! {
        /// Only the highest priority that has anything is served; in it each lane gets its share, and each class its weight's
        /// part of a lane, but for a few batches; none is starved.
        #[test]
        fn bytes_follow_priorities_shares_and_weights(
            priorities in prop::collection::vec(0..3_u8, 4),
            weights in prop::collection::vec(1..5_u16, 4),
            busy in prop::collection::btree_set((0..2_usize, 0..4_usize), 1..8),
            sizes in prop::collection::vec(1..BYTES_MAX, 1..50),
            permille in 100..900_u16,
            silence in 0..100_usize,
        ) {
            let classes: Vec<ClassLimits> = (0..4).map(|i| class(i, priorities[i], weights[i])).collect();
            let lanes = [Lane::Live, Lane::Backfill];
            let busy: Vec<(Lane, usize)> = busy.into_iter().map(|(lane, class)| (lanes[lane], class)).collect();
            let mut sizes = sizes.iter().copied().cycle();
            let mut turns = Turns::default();
            // Time in which one had the line for itself earns and costs nothing.
            serve(&mut turns, &classes, &busy[..1], &mut sizes, silence, permille);
            let got = serve(&mut turns, &classes, &busy, &mut sizes, 3000, permille);
            let highest = busy.iter().map(|(_, class)| priorities[*class]).max().unwrap();
            let total: u64 = got.values().sum();
            for (place, bytes) in &got {
                prop_assert_eq!(priorities[place.1], highest, "{:?} {}", place, bytes);
            }
            let served: Vec<(Lane, usize)> = busy.into_iter().filter(|(_, class)| priorities[*class] == highest).collect();
            let of_lane = |lane| served.iter().filter(move |(of, _)| *of == lane).map(|(_, class)| *class);
            for lane in lanes {
                let members: Vec<usize> = of_lane(lane).collect();
                let is_alone = served.iter().all(|(of, _)| *of == lane);
                let share = match lane {
                    _ if members.is_empty() => 0.0,
                    _ if is_alone => 1.0,
                    Lane::Backfill => f64::from(permille) / 1000.0,
                    _ => 1.0 - f64::from(permille) / 1000.0,
                };
                let lane_bytes: u64 = members.iter().filter_map(|class| got.get(&(lane, *class))).sum();
                let slack = 2.0 * BYTES_MAX as f64;
                prop_assert!((lane_bytes as f64 - share * total as f64).abs() <= slack, "{lane:?} {lane_bytes} of {total}");
                let weight: f64 = members.iter().map(|class| f64::from(weights[*class])).sum();
                for class in &members {
                    let part = f64::from(weights[*class]) / weight * lane_bytes as f64;
                    let bytes = got.get(&(lane, *class)).copied().unwrap_or(0) as f64;
                    // Each of the others may be ahead by a batch, as its weight counts.
                    let slack = 10.0 * BYTES_MAX as f64;
                    prop_assert!((bytes - part).abs() <= slack, "{class} {bytes} {part}");
                }
            }
        }

        /// Whoever comes back after silence waits for no more than one batch of each of the others that are in turn.
        #[test]
        fn fresh_data_waits_for_one_batch(silence in 1..200_usize, weights in prop::collection::vec(1..5_u16, 4)) {
            let classes: Vec<ClassLimits> = (0..4).map(|i| class(i, 0, weights[i])).collect();
            let backlog = [0, 1, 2, 3].map(|class| (Lane::Backfill, class));
            let mut turns = Turns::default();
            serve(&mut turns, &classes, &backlog, &mut std::iter::repeat(1000), silence, 250);
            let order = turns.order(classes.iter(), Ask::Any);
            let first_four: Vec<Lane> = order[..4].iter().map(|(lane, _)| *lane).collect();
            prop_assert_eq!(first_four, [Lane::Live; 4]);
        }
    }

    #[test]
    fn who_asks_for_live_gets_nothing_else_first() {
        let classes = [class(0, 0, 1), class(1, 7, 1)];
        let mut turns = Turns::default();
        // Live has had more than its share.
        turns.picked(Lane::Live, &classes[1], 1_000_000, 250);
        let order = |ask| -> Vec<(Lane, String)> {
            let order = turns.order(classes.iter(), ask).into_iter();
            order.map(|(lane, name)| (lane, name.to_string())).collect()
        };
        let (a, b) = (String::from("a"), String::from("b"));
        let live = [(Lane::Live, b.clone()), (Lane::Live, a.clone())];
        assert_eq!(order(Ask::LiveOnly), live);
        assert_eq!(order(Ask::LiveFirst)[..2], live);
        let expect = [
            (Lane::Backfill, b.clone()),
            (Lane::Live, b.clone()),
            (Lane::Live, a.clone()),
            (Lane::Backfill, a.clone()),
            (Lane::Late, b),
            (Lane::Late, a),
        ];
        assert_eq!(order(Ask::Any), expect);
    }
}
