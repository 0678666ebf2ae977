//! How much goes into one request, so that it gets through a line as it is, and how many requests fill it.
//!
//! A batch is sealed when it is full, long before anybody knows how the line will be when it is sent. On a line that is up for ten
//! seconds at a time, one that takes fifteen never arrives, however often it is sent. So what goes into one request follows what got
//! through: it halves when a request breaks off, it is cut where one took longer than [`LONG`], and it doubles when several in a
//! row were short. A larger batch is cut into ranges of items (`core::range`). Next: `pacing`.

use std::time::Duration;

/// A request that takes longer than this is too long for a line that comes and goes.
pub const LONG: Duration = Duration::from_secs(5);

/// Smaller bodies than this are not made: head and handshake would be most of what is sent.
pub const LEAST_BYTES: u64 = 4096;

/// Short requests in a row before more is tried.
const SHORT_RUN: u32 = 4;

/// A limit beyond which there is none.
const MOST_BYTES: u64 = 64 << 20;

/// A window of TCP that is never scaled. One connection moves so much in a round trip at least.
const WINDOW_BYTES: f64 = 65_536.0;

/// Bytes of a body that get through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fit {
    limit: Option<u64>,
    short: u32,
}

impl Fit {
    /// Most bytes of a body; `None` while nothing is known against any size.
    pub fn bytes_max(&self) -> Option<u64> {
        self.limit
    }

    /// A request with a body of that many bytes was answered after that time on an open connection.
    pub fn got_through(&mut self, bytes: u64, took: Duration) {
        if took > LONG {
            let fits = bytes as f64 * LONG.as_secs_f64() / took.as_secs_f64();
            self.set((fits as u64).min(self.limit.unwrap_or(u64::MAX)));
        } else if let Some(limit) = self.limit
            && took * 2 <= LONG
            && bytes * 2 >= limit
        {
            self.short += 1;
            if self.short >= SHORT_RUN {
                self.set(limit * 2);
            }
        }
    }

    /// A request with a body of that many bytes broke off, or was never answered, on an open connection.
    pub fn broke_off(&mut self, bytes: u64) {
        // Others of that size that break off with it say nothing new.
        if self.limit.is_none_or(|limit| bytes / 2 < limit) {
            self.set(bytes / 2);
        }
    }

    fn set(&mut self, bytes: u64) {
        self.short = 0;
        self.limit = (bytes < MOST_BYTES).then_some(bytes.max(LEAST_BYTES));
    }
}

/// How many requests at once fill a line that carries so many bytes a second and gives an answer after that time: as many as
/// it takes windows, one more that is on its way while the answer to another is, and where one window does not fill it yet another
/// one, since each begins with a round trip in which its connection carries nothing. At least 2, at most `most`.
pub fn requests_at_once(bytes_per_second: f64, answer: Duration, most: usize) -> usize {
    let windows = (bytes_per_second * answer.as_secs_f64() / WINDOW_BYTES).ceil() as usize;
    let begins = usize::from(windows > 1);
    windows.saturating_add(1 + begins).clamp(2, most.max(2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn halves_until_it_gets_through_and_grows_again() {
        let mut it = Fit::default();
        assert_eq!(it.bytes_max(), None);
        it.got_through(1 << 20, SECOND);
        assert_eq!(it.bytes_max(), None, "nothing is known against it");
        it.broke_off(160_000);
        it.broke_off(80_000);
        assert_eq!(it.bytes_max(), Some(40_000));
        for _ in 0..3 {
            it.got_through(39_000, SECOND);
        }
        assert_eq!(it.bytes_max(), Some(40_000));
        it.got_through(39_000, SECOND);
        assert_eq!(it.bytes_max(), Some(80_000));
        // What is small by itself says nothing about larger ones, and what takes long enough is large enough.
        for _ in 0..20 {
            it.got_through(1000, SECOND);
            it.got_through(80_000, 3 * SECOND);
        }
        assert_eq!(it.bytes_max(), Some(80_000));
        it.got_through(80_000, 10 * SECOND);
        assert_eq!(it.bytes_max(), Some(40_000));
    }

    #[test]
    fn two_requests_at_once_and_more_on_a_long_line() {
        let check = |mbit: f64, ms, count| {
            let answer = Duration::from_millis(ms);
            assert_eq!(requests_at_once(mbit * 125_000.0, answer, 16), count);
        };
        check(2.0, 40, 2);
        check(2.0, 600, 5);
        check(100.0, 40, 10);
        check(1000.0, 600, 16);
        check(0.0, 0, 2);
    }

    proptest! {
        /// On a line that is up for `up` seconds of each minute, a backlog of any size is gone after a while, and what is left
        /// never grows.
        #[test]
        fn a_line_that_comes_and_goes_drains(
            rate in 2000.0..1_000_000.0_f64,
            up in 6..50_u64,
            batches in prop::collection::vec(5000..300_000_u64, 1..8),
        ) {
            let mut it = Fit::default();
            let mut left = batches;
            let (mut clock, mut tries) = (0.0, 0);
            while let Some(batch) = left.pop() {
                tries += 1;
                prop_assert!(tries < 20_000, "{left:?} {it:?}");
                let body = batch.min(it.bytes_max().unwrap_or(u64::MAX));
                let took = body as f64 / rate + 0.1;
                if clock + took > up as f64 {
                    it.broke_off(body);
                    left.push(batch);
                    clock = 0.0;
                    continue;
                }
                clock += took;
                it.got_through(body, Duration::from_secs_f64(took));
                if batch > body {
                    left.push(batch - body);
                }
            }
        }
    }
}
