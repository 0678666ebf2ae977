//! The list of all events of a seed, in the order of time.
//!
//! Decides where an event goes that is recorded after a later one: a router's change of line is seen at its next probe. Those
//! few stay in memory, and each pass puts them into their places. What is in memory and what on the disk is `spill`'s.

use std::{fmt, iter::Peekable};

use super::Stamped;
use crate::spill::{self, NotSpilled, Scratch, Spilled};

/// What was recorded, in the order of time, and at one instant in the order in which it happened. Memory holds a bounded part of
/// it, however long the run: at most 65,536 events of 56 bytes, and in a pass half as many again.
#[derive(Clone)]
pub struct EventLog {
    in_order: Spilled<Stamped>,
    /// Recorded when a later one was there already: sorted, few. One for each change of line.
    late: Vec<Stamped>,
}

impl EventLog {
    /// Nothing yet.
    pub fn new(scratch: Scratch) -> Self {
        Self {
            in_order: Spilled::new(scratch),
            late: Vec::new(),
        }
    }

    /// Puts an event into its place.
    pub(super) fn push(&mut self, event: Stamped) {
        if self.in_order.last().is_none_or(|last| last.at <= event.at) {
            return self.in_order.push(event);
        }
        let place = self.late.partition_point(|e| e.at <= event.at);
        self.late.insert(place, event);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.in_order.len() + self.late.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One pass over all of them, in the order of time.
    ///
    /// # Panics
    /// The iterator does, if the temporary file cannot be read again.
    pub fn iter(&self) -> Events<'_> {
        Events {
            in_order: self.in_order.iter_from(0).peekable(),
            late: self.late.iter(),
        }
    }

    /// Whether all that was recorded is in it.
    ///
    /// # Errors
    /// The first part that could not be written; then nothing that the log says is true.
    pub fn check(&self) -> Result<(), NotSpilled> {
        self.scratch().check()
    }

    /// Bytes in the temporary file of its seed, those of other lists included.
    pub fn bytes_on_disk(&self) -> u64 {
        self.scratch().bytes()
    }

    pub(super) fn replay(&self, skip: usize, each: impl FnMut(Stamped)) -> usize {
        self.in_order.iter_from(skip).for_each(each);
        self.in_order.len()
    }

    pub(super) fn scratch(&self) -> &Scratch {
        self.in_order.scratch()
    }
}

/// One pass over a log.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    in_order: Peekable<spill::Iter<'a, Stamped>>,
    late: std::slice::Iter<'a, Stamped>,
}

impl Iterator for Events<'_> {
    type Item = Stamped;

    fn next(&mut self) -> Option<Stamped> {
        let Some(late) = self.late.as_slice().first() else {
            return self.in_order.next();
        };
        // It came when a later one was there already: what has the same time was there before it.
        let first = self.in_order.next_if(|e| e.at <= late.at);
        first.or_else(|| self.late.next().copied())
    }
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new(Scratch::open())
    }
}

impl<'a> IntoIterator for &'a EventLog {
    type Item = Stamped;
    type IntoIter = Events<'a>;

    fn into_iter(self) -> Events<'a> {
        self.iter()
    }
}

/// Events in any order of time; it is stable.
impl FromIterator<Stamped> for EventLog {
    fn from_iter<I: IntoIterator<Item = Stamped>>(events: I) -> Self {
        let mut events: Vec<Stamped> = events.into_iter().collect();
        events.sort_by_key(|e| e.at);
        let mut log = Self::default();
        events.into_iter().for_each(|e| log.push(e));
        log
    }
}

impl PartialEq for EventLog {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other)
    }
}

impl Eq for EventLog {}

/// A log of millions is no message: it says how many.
impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventLog({} events)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Event;

    /// Events at these seconds, recorded in this order: a pass gives them as a stable sort does.
    fn check(seconds: &[u64]) {
        let mut log = EventLog::new(Scratch::of(tempfile::tempfile(), 2));
        let mut expect = Vec::new();
        for (order, at) in (0..).zip(seconds) {
            let event = Stamped {
                at: Duration::from_secs(*at),
                event: Event::OrderAccepted { order },
            };
            log.push(event);
            expect.push(event);
        }
        expect.sort_by_key(|e| e.at);
        assert_eq!(log.iter().collect::<Vec<_>>(), expect);
        assert_eq!(log.len(), expect.len());
        assert!(log == log.iter().collect());
        assert!(expect.is_empty() || log != EventLog::new(Scratch::open()));
        log.check().expect("there is room");
    }

    #[test]
    fn what_is_recorded_late_finds_its_place() {
        check(&[]);
        check(&[1, 1, 2, 3, 5, 8, 13, 21]);
        check(&[5, 1, 5, 5, 2, 9, 9, 3, 9, 9, 9, 0, 10, 5]);
        check(&[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn whoever_goes_on_from_where_it_was_sees_each_event_once() {
        let mut log = EventLog::new(Scratch::of(tempfile::tempfile(), 2));
        let (mut seen, mut at) = (Vec::new(), 0);
        for order in 0..23 {
            let event = Event::OrderAccepted { order };
            log.push(Stamped {
                at: Duration::from_secs(order),
                event,
            });
            if order % 5 == 0 {
                at = log.replay(at, |e| seen.push(e));
            }
        }
        log.replay(at, |e| seen.push(e));
        assert_eq!(seen, log.iter().collect::<Vec<_>>());
    }
}
