//! The collector's share of the line: a bucket of *wire* bytes.
//!
//! What a request costs ([`wire_bytes`]) is counted in our direction only, headers of HTTP, TCP and IPv4 included:
//! `r + 40 * ceil(r / 1460)` with `r` = request line, headers and body. Pure acknowledgements, handshakes and
//! retransmissions are not counted.
//!
//! A request may start when the ones before it have been paid for; its body goes out in pieces of whole segments
//! ([`Pacer::piece`]), each when it may ([`Pacer::take`]). So what was sent until any instant exceeds `max_rate * time` by a few
//! milliseconds' worth or one segment, whichever is more: a batch that is handed to the network whole would stand in the router's
//! queue for seconds, in front of a card payment. What is fresh waits for what is fresh only, and costs the backlog its turn:
//! both together keep the rate but for one such piece of each. A pause earns no credit. Next: `yielding`, which finds a rate where none
//! is given, and `destination`.

use std::time::Duration;

use super::{Mono, lane::Lane};

/// Payload of a full TCP segment on a 1500-byte line.
pub const MSS: u64 = 1460;

/// TCP and IPv4 headers without options.
pub const SEGMENT_HEADER_BYTES: u64 = 40;

/// A late timer may be made up for by this much: tokio's timers are exact to a millisecond, and a rate that loses one per
/// request would stay below its limit.
const LATE: Duration = Duration::from_millis(5);

/// Pieces of a body are about as long as this: fewer wake-ups on a fast line, and a queue that nobody feels.
const PIECE: Duration = Duration::from_millis(4);

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

    /// From now on that many wire bytes a second. What is not paid for yet is paid for at the new rate.
    pub fn set_rate(&mut self, now: Mono, bytes_per_second: Option<f64>) {
        let rate = bytes_per_second.filter(|rate| *rate > 0.0);
        if rate == self.bytes_per_second {
            return;
        }
        // A debt at a thin rate must not hold up a fast one for as long.
        let scale = match (self.bytes_per_second, rate) {
            (Some(old), Some(new)) => old / new,
            _ => 0.0,
        };
        for paid_at in [&mut self.paid_at, &mut self.live_paid_at] {
            let debt = paid_at.since(now);
            if debt > Duration::ZERO {
                let seconds = (debt.as_secs_f64() * scale).min(1e9);
                *paid_at = now.after(Duration::from_secs_f64(seconds));
            }
        }
        self.bytes_per_second = rate;
    }

    /// Wire bytes a second; `None` is no limit.
    pub fn rate(&self) -> Option<f64> {
        self.bytes_per_second
    }

    /// When the next request of a lane may start; of fresh data never later than of the backlog.
    pub fn ready_at(&self, lane: Lane) -> Mono {
        match lane {
            // A late timer is made up for in each account by itself, so the fresh one may be ahead by that.
            Lane::Live => self.live_paid_at.min(self.paid_at),
            Lane::Backfill | Lane::Late => self.paid_at,
        }
    }

    /// Starts a request of a lane whose head costs that.
    ///
    /// # Panics
    /// If `now` is before [`Pacer::ready_at`].
    pub fn start(&mut self, now: Mono, lane: Lane, wire_bytes: u64) {
        let ready_at = self.ready_at(lane);
        assert!(now >= ready_at, "started at {now:?}, before {ready_at:?}");
        self.add(now, lane, wire_bytes);
    }

    /// How many bytes of a body go out next, of which `left` are left and before which `sent` bytes of the request went out;
    /// `None` is all at once. Pieces end where segments end.
    pub fn piece(&self, sent: u64, left: u64) -> Option<u64> {
        let segment = (MSS + SEGMENT_HEADER_BYTES) as f64;
        let segments = (self.bytes_per_second? * PIECE.as_secs_f64() / segment) as u64;
        Some((segments.max(1) * MSS - sent % MSS).min(left))
    }

    /// Takes a place on the line for so many bytes; returns when they may go.
    pub fn take(&mut self, now: Mono, lane: Lane, wire_bytes: u64) -> Mono {
        let at = self.ready_at(lane);
        self.add(now, lane, wire_bytes);
        at.max(now)
    }

    /// Charges bytes that go out without waiting.
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

    /// The pieces of a request fill segments to their ends, and cost together what the whole costs.
    #[test]
    fn pieces_cost_what_the_whole_costs() {
        let check = |rate: f64, body: u64, pieces: &[u64]| {
            let mut pacer = Pacer::new(Some(rate));
            let (head, mut now) = (300, Mono::default());
            let (mut sent, mut seen) = (head, Vec::new());
            pacer.start(now, Lane::Backfill, wire_bytes(head, 0));
            while let Some(piece) = pacer.piece(sent, head + body - sent).filter(|p| *p > 0) {
                let cost = wire_bytes(sent + piece, 0) - wire_bytes(sent, 0);
                now = pacer.take(now, Lane::Backfill, cost);
                sent += piece;
                seen.push(piece);
            }
            assert_eq!(seen, pieces);
            let paid = pacer.ready_at(Lane::Backfill).0.as_secs_f64() * rate;
            let whole = wire_bytes(head, body) as f64;
            assert!((paid - whole).abs() < 0.01, "{paid} of {whole}");
        };
        check(32_000.0, 3000, &[1160, 1460, 380]);
        check(1_500_000.0, 10_000, &[5540, 4460]);
        check(32_000.0, 0, &[]);
        assert_eq!(Pacer::new(None).piece(300, 10_000), None);
    }

    /// What may start at all may start with what is fresh: found by `card-payments-during-catch-up`, seed 2, with `send.yield` = 60 ms.
    #[test]
    fn fresh_data_never_waits_longer_than_the_backlog() {
        let mut pacer = Pacer::new(Some(10_000.0));
        let at = |ms| Mono(Duration::from_millis(ms));
        pacer.start(at(0), Lane::Live, 100);
        assert_eq!(pacer.ready_at(Lane::Live), at(10));
        pacer.start(at(10), Lane::Backfill, 70);
        pacer.start(at(20), Lane::Live, 100);
        let (live, backfill) = (pacer.ready_at(Lane::Live), pacer.ready_at(Lane::Backfill));
        assert!(live <= backfill, "{live:?} {backfill:?}");
        pacer.start(backfill, Lane::Live, 100);
    }

    #[test]
    fn a_debt_is_paid_at_the_new_rate() {
        let check = |rate, seconds| {
            let mut pacer = Pacer::new(Some(1000.0));
            pacer.start(Mono::default(), Lane::Backfill, 10_000);
            let now = Mono(Duration::from_secs(2));
            pacer.set_rate(now, rate);
            let ready = now.after(Duration::from_secs(seconds));
            assert_eq!(pacer.ready_at(Lane::Backfill), ready, "{rate:?}");
        };
        check(Some(4000.0), 2);
        check(Some(500.0), 16);
        check(Some(1000.0), 8);
        check(None, 0);
    }

    #[test]
    fn no_limit_is_no_wait() {
        let mut pacer = Pacer::new(None);
        pacer.start(Mono::default(), Lane::Backfill, u64::MAX);
        assert_eq!(pacer.ready_at(Lane::Backfill), Mono::default());
    }
}
