//! How much of something there was in each second of a run: what a line carried, lost, and saw.
//!
//! A second without any takes nothing, and memory holds the newest seconds only: older ones are in the seed's temporary file
//! ([`spill`]), so that a line which is busy for weeks costs no more memory than one that is busy for an hour. What is
//! counted is the owner's. Next to read: `world::net`, which counts; `metric::links`, which reads.

use std::{fmt, time::Duration};

use crate::spill::{self, Scratch, Spilled};

/// 2,048 seconds, 32 KiB: at most twice as many are in memory. A store has some tens of these lists, three for each link,
/// direction and class.
const CHUNK: usize = 2048;

/// (second since the start, amount), seconds increasing, those without any left out.
#[derive(Clone)]
pub struct Seconds(Spilled<(u32, u64)>);

impl Seconds {
    /// Nothing yet.
    pub fn new(scratch: &Scratch) -> Self {
        Self(Spilled::in_chunks_of(CHUNK, scratch.clone()))
    }

    /// Adds to the second of `at`, which is not before the newest one.
    ///
    /// # Panics
    /// If it is before: whoever reads sums up in order.
    pub fn count(&mut self, at: Duration, amount: u64) {
        let second = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        match self.0.last_mut() {
            Some(last) if last.0 == second => last.1 += amount,
            last => {
                assert!(
                    last.as_ref().is_none_or(|last| last.0 < second),
                    "second {second} is counted after second {}: lines see packets in the order of their instants",
                    last.map_or(0, |last| last.0)
                );
                self.0.push((second, amount));
            }
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.last().is_none()
    }

    /// One pass, from the first second on.
    ///
    /// # Panics
    /// The iterator does, if the temporary file cannot be read again.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter_from(0))
    }
}

/// One pass over seconds.
#[derive(Clone, Debug)]
pub struct Iter<'a>(spill::Iter<'a, (u32, u64)>);

impl Iterator for Iter<'_> {
    type Item = (u32, u64);

    fn next(&mut self) -> Option<(u32, u64)> {
        self.0.next()
    }
}

impl<'a> IntoIterator for &'a Seconds {
    type Item = (u32, u64);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// All in memory.
impl Default for Seconds {
    fn default() -> Self {
        Self::new(&Scratch::in_memory())
    }
}

/// In memory; seconds must increase.
impl FromIterator<(u32, u64)> for Seconds {
    fn from_iter<I: IntoIterator<Item = (u32, u64)>>(all: I) -> Self {
        let mut seconds = Self::default();
        for (second, amount) in all {
            seconds.count(Duration::from_secs(second.into()), amount);
        }
        seconds
    }
}

impl PartialEq for Seconds {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other)
    }
}

impl Eq for Seconds {}

/// A million of them is no message: it says how many.
impl fmt::Debug for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seconds({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is counted at these times, by second, in memory and on the disk.
    fn check(counted: &[(f64, u64)], expect: &[(u32, u64)]) {
        let small = Scratch::of(tempfile::tempfile(), 2);
        let mut lists = [Seconds::default(), Seconds::new(&small)];
        for list in &mut lists {
            for (at, amount) in counted {
                list.count(Duration::from_secs_f64(*at), *amount);
            }
            assert_eq!(list.iter().collect::<Vec<_>>(), expect);
            assert_eq!(list.is_empty(), expect.is_empty());
        }
        small.check().expect("there is room");
        assert_eq!(small.bytes() > 0, expect.len() > 4, "{expect:?}");
        assert!(lists[0] == lists[1]);
    }

    #[test]
    fn amounts_of_one_second_are_one_entry() {
        check(&[], &[]);
        check(&[(1.2, 10), (1.9, 5), (3.0, 20)], &[(1, 15), (3, 20)]);
        let busy: Vec<(f64, u64)> = (0..40).map(|n| (f64::from(n) / 2.0, 1)).collect();
        let expect: Vec<(u32, u64)> = (0..20).map(|second| (second, 2)).collect();
        check(&busy, &expect);
    }

    #[test]
    #[should_panic(expected = "second 1 is counted after second 2")]
    fn a_second_that_is_over_is_not_counted_again() {
        check(&[(2.0, 1), (1.0, 1)], &[]);
    }
}
