//! The collector's share of the line: a bucket of *wire* bytes.
//!
//! What a request costs ([`wire_bytes`]) is counted in our direction only, headers of HTTP, TCP and IPv4 included:
//! `r + 40 * ceil(r / 1460)` with `r` = request line, headers and body. Pure acknowledgements, handshakes and
//! retransmissions are not counted.
//!
//! A request may start when the ones before it have been paid for, and pays after it has started. What is fresh waits for what
//! is fresh only: on a thin line a batch of the backlog is paid for seconds. So what was sent until any instant exceeds
//! `max_rate * time` by one request of the backlog and one of fresh data at most. A pause earns no credit. Next: `destination`.

use std::time::Duration;

use super::{Mono, lane::Lane};

/// Payload of a full TCP segment on a 1500-byte line.
pub const MSS: u64 = 1460;

/// TCP and IPv4 headers without options.
pub const SEGMENT_HEADER_BYTES: u64 = 40;

/// A late timer may be made up for by this much: tokio's timers are exact to a millisecond, and a rate that loses one per
/// request would stay below its limit.
const LATE: Duration = Duration::from_millis(5);

/// Bytes on the line for a request of `head` and `body` bytes.
pub fn wire_bytes(head: u64, body: u64) -> u64 {
    let request = head + body;
    request + SEGMENT_HEADER_BYTES * request.div_ceil(MSS)
}

/// Paces requests to a rate.
#[derive(Clone, Debug)]
pub struct Pacer {
    bytes_per_second: Option<f64>,
    /// When everything that was started is paid for.
    paid_at: Mono,
    /// When everything live that was started is paid for.
    live_paid_at: Mono,
}

impl Pacer {
    /// A pacer for that many wire bytes a second; `None` is no limit.
    pub fn new(bytes_per_second: Option<f64>) -> Self {
        Self {
            bytes_per_second: bytes_per_second.filter(|rate| *rate > 0.0),
            paid_at: Mono::default(),
            live_paid_at: Mono::default(),
        }
    }

    /// From now on that many wire bytes a second. What was sent before is paid for at the old rate, but nobody waits longer
    /// than for that.
    pub fn set_rate(&mut self, now: Mono, bytes_per_second: Option<f64>) {
        let rate = bytes_per_second.filter(|rate| *rate > 0.0);
        if rate != self.bytes_per_second {
            self.bytes_per_second = rate;
            // A debt at a thin rate would hold up a fast one for as long.
            self.paid_at = self.paid_at.min(now);
            self.live_paid_at = self.live_paid_at.min(now);
        }
    }

    /// When the next request of a lane may start.
    pub fn ready_at(&self, lane: Lane) -> Mono {
        match lane {
            Lane::Live => self.live_paid_at,
            Lane::Backfill | Lane::Late => self.paid_at,
        }
    }

    /// Starts a request of a lane and that cost.
    ///
    /// # Panics
    /// If `now` is before [`Pacer::ready_at`].
    pub fn start(&mut self, now: Mono, lane: Lane, wire_bytes: u64) {
        let ready_at = self.ready_at(lane);
        assert!(now >= ready_at, "started at {now:?}, before {ready_at:?}");
        self.add(now, lane, wire_bytes);
    }

    /// Charges a request that had to be sent again without waiting.
    pub fn add(&mut self, now: Mono, lane: Lane, wire_bytes: u64) {
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let takes = Duration::from_secs_f64(wire_bytes as f64 / rate);
        let pay = |paid_at: &mut Mono| {
            let from = if now.since(*paid_at) <= LATE {
                *paid_at
            } else {
                now
            };
            *paid_at = from.after(takes);
        };
        pay(&mut self.paid_at);
        if lane == Lane::Live {
            pay(&mut self.live_paid_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_of_each_segment_are_counted() {
        assert_eq!(wire_bytes(0, 0), 0);
        assert_eq!(wire_bytes(200, 100), 340);
        assert_eq!(wire_bytes(200, 1260), 1500);
        assert_eq!(wire_bytes(200, 1261), 1541);
    }

    proptest! {
        /// Over any time, what was sent exceeds the rate by one request at most, and a busy pacer loses nothing.
        #[test]
        fn average_never_exceeds_the_rate(costs in prop::collection::vec(1..200_000_u64, 1..100), late_us in 0..20_000_u64) {
            let rate = 32_000.0;
            let mut pacer = Pacer::new(Some(rate));
            let late = Duration::from_micros(late_us);
            let smallest = *costs.iter().min().unwrap() as f64;
            let largest = *costs.iter().max().unwrap() as f64;
            let (mut sent, mut now) = (0.0, Mono::default());
            for cost in costs {
                now = now.max(pacer.ready_at(Lane::Backfill).after(late));
                pacer.start(now, Lane::Backfill, cost);
                sent += cost as f64;
                let allowed = rate * now.0.as_secs_f64() + largest;
                prop_assert!(sent <= allowed + 1.0, "{sent} > {allowed}");
            }
            // Costs that take longer than the lateness keep it busy: then all of the time is used.
            if late <= LATE && smallest > 2.0 * rate * late.as_secs_f64() {
                let paid = pacer.ready_at(Lane::Backfill).0.as_secs_f64() * rate;
                prop_assert!((paid - sent).abs() < 1.0, "{paid} {sent}");
            }
        }
    }

    proptest! {
        /// What is fresh passes the backlog's debt, and both together keep the rate but for one request of each.
        #[test]
        fn fresh_data_does_not_wait_for_a_large_batch(
            requests in prop::collection::vec((any::<bool>(), 1..200_000_u64, 0..3000_u64), 1..100),
        ) {
            let rate = 32_000.0;
            let mut pacer = Pacer::new(Some(rate));
            let (mut sent, mut live_sent, mut now) = (0.0, 0.0, Mono::default());
            let largest = |live: bool| requests.iter().filter(|r| r.0 == live).map(|r| r.1).max().unwrap_or(0) as f64;
            for (is_live, cost, pause_ms) in &requests {
                let lane = if *is_live { Lane::Live } else { Lane::Backfill };
                now = now.after(Duration::from_millis(*pause_ms)).max(pacer.ready_at(lane));
                let live_debt = live_sent - rate * now.0.as_secs_f64();
                if *is_live {
                    prop_assert!(live_debt <= 1.0, "only fresh data holds fresh data up");
                    live_sent += *cost as f64;
                }
                pacer.start(now, lane, *cost);
                sent += *cost as f64;
                let allowed = rate * now.0.as_secs_f64() + largest(true) + largest(false);
                prop_assert!(sent <= allowed + 1.0, "{sent} > {allowed}");
            }
        }
    }

    #[test]
    fn a_pause_earns_no_credit() {
        let mut pacer = Pacer::new(Some(1000.0));
        pacer.start(Mono::default(), Lane::Backfill, 1000);
        let late = Mono(Duration::from_secs(100));
        pacer.start(late, Lane::Backfill, 500);
        assert_eq!(
            pacer.ready_at(Lane::Backfill),
            late.after(Duration::from_millis(500))
        );
    }

    #[test]
    fn no_limit_is_no_wait() {
        let mut pacer = Pacer::new(None);
        pacer.start(Mono::default(), Lane::Backfill, u64::MAX);
        assert_eq!(pacer.ready_at(Lane::Backfill), Mono::default());
    }
}
