//! What the network has to do, and when somebody has to wake for it. Sans-IO.
//!
//! **Problem.** A packet crosses several links, and each crossing is an event; but to wake the driver costs as much as the
//! event itself, and no machine can tell whether a packet crossed the router when it did or a moment later, as long as it
//! was computed as of its own instant. **What we do.** An entry has two times: the instant at which it *happens*, and its
//! *alarm*, the instant before which it changes nothing for any machine. The driver sleeps until the first alarm; whoever
//! wakes for another reason first does everything that has happened meanwhile, in order. What is done takes its alarm
//! with it. When a line changes, predictions are void: [`Agenda::rearm`]. Who predicts: `ahead`. Who acts: `net`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

/// Milliseconds of virtual time: the grain of tokio's timers.
type Alarm = u64;

/// The first instant at or after `at` to which a timer can be set.
fn ceil(at: Duration) -> Alarm {
    at.as_secs() * 1000 + u64::from(at.subsec_nanos().div_ceil(1_000_000))
}

struct Entry<D> {
    at: Duration,
    seq: u64,
    alarm: Alarm,
    due: D,
}

impl<D> PartialEq for Entry<D> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}
impl<D> Eq for Entry<D> {}
impl<D> PartialOrd for Entry<D> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<D> Ord for Entry<D> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// Entries in the order of their instants; of one instant, in the order in which they were pushed.
pub(super) struct Agenda<D> {
    queue: BinaryHeap<Reverse<Entry<D>>>,
    /// How many entries ring when.
    alarms: BTreeMap<Alarm, u32>,
    seq: u64,
}

impl<D> Agenda<D> {
    /// Nothing to do.
    pub(super) fn new() -> Self {
        Self {
            queue: BinaryHeap::new(),
            alarms: BTreeMap::new(),
            seq: 0,
        }
    }

    /// `due` happens at `at`, and nobody can tell before `alarm`.
    pub(super) fn push(&mut self, at: Duration, alarm: Duration, due: D) {
        self.seq += 1;
        let seq = self.seq;
        let alarm = ceil(alarm.max(at));
        *self.alarms.entry(alarm).or_default() += 1;
        let entry = Entry {
            at,
            seq,
            alarm,
            due,
        };
        self.queue.push(Reverse(entry));
    }

    /// The first entry that has happened by `now`, and when.
    pub(super) fn pop(&mut self, now: Duration) -> Option<(Duration, D)> {
        if self.queue.peek()?.0.at > now {
            return None;
        }
        let Reverse(entry) = self.queue.pop()?;
        if let Some(count) = self.alarms.get_mut(&entry.alarm) {
            *count -= 1;
            if *count == 0 {
                self.alarms.remove(&entry.alarm);
            }
        }
        Some((entry.at, entry.due))
    }

    /// When to wake for what is left.
    pub(super) fn alarm(&self) -> Option<Duration> {
        let (alarm, _) = self.alarms.first_key_value()?;
        Some(Duration::from_millis(*alarm))
    }

    /// Lets every entry ring at its own instant, after `change` has seen it.
    pub(super) fn rearm(&mut self, mut change: impl FnMut(&mut D)) {
        self.alarms.clear();
        let mut entries = std::mem::take(&mut self.queue).into_vec();
        for Reverse(entry) in &mut entries {
            change(&mut entry.due);
            entry.alarm = ceil(entry.at);
            *self.alarms.entry(entry.alarm).or_default() += 1;
        }
        self.queue = entries.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Pushes `(happens, rings, what)`, all in milliseconds.
    fn agenda(entries: &[(u32, u32, char)]) -> Agenda<char> {
        let mut agenda = Agenda::new();
        for (at, alarm, due) in entries {
            agenda.push(MS * *at, MS * *alarm, *due);
        }
        agenda
    }

    fn done_by(agenda: &mut Agenda<char>, now: u32) -> String {
        std::iter::from_fn(|| agenda.pop(MS * now))
            .map(|(_, due)| due)
            .collect()
    }

    #[test]
    fn what_happens_is_done_in_order_whoever_woke_for_it() {
        let mut it = agenda(&[(5, 9, 'b'), (3, 20, 'a'), (5, 5, 'c'), (7, 7, 'd')]);
        assert_eq!(it.alarm(), Some(5 * MS));
        assert_eq!(done_by(&mut it, 5), "abc");
        assert_eq!(it.alarm(), Some(7 * MS), "what is done rings no more");
        assert_eq!(done_by(&mut it, 7), "d");
        assert_eq!(it.alarm(), None);
    }

    #[test]
    fn void_predictions_ring_when_their_entries_happen() {
        let mut it = agenda(&[(3, 20, 'a'), (3, 30, 'b'), (6, 6, 'c')]);
        it.rearm(|due| due.make_ascii_uppercase());
        assert_eq!(it.alarm(), Some(3 * MS));
        assert_eq!(done_by(&mut it, 10), "ABC");
        assert_eq!(it.alarm(), None);
    }

    #[test]
    fn timers_are_never_early() {
        let mut it = Agenda::new();
        it.push(Duration::from_micros(1_200), Duration::ZERO, ());
        assert_eq!(it.alarm(), Some(2 * MS));
        assert_eq!(it.pop(MS), None);
    }
}
