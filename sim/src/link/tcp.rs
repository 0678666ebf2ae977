//! When a sender tries a lost segment again: Linux's schedule as pure functions.
//!
//! The simulated TCP stack below the machines has no clock, so the line plays its part: a segment that is lost, or that
//! finds the line down, is parked and offered again at these instants. Data: first after `max(200 ms, 2 * RTT)`,
//! doubling to 120 s, given up after 924.6 s (`tcp_retries2` = 15). SYN: 1 s doubling, given up after 127 s
//! (`tcp_syn_retries` = 6). Not here: fast retransmit (a lost segment costs a whole RTO), congestion control.

use std::time::Duration;

/// Shortest retransmission timeout: `TCP_RTO_MIN`.
pub const RTO_MIN: Duration = Duration::from_millis(200);

/// Longest retransmission timeout: `TCP_RTO_MAX`.
pub const RTO_MAX: Duration = Duration::from_secs(120);

/// First timeout of a SYN: `TCP_TIMEOUT_INIT`.
pub const SYN_RTO: Duration = Duration::from_secs(1);

/// What kind of segment was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first segment of a connection, either way.
    Syn,
    /// Any other.
    Data,
}

impl Kind {
    /// Time from the first transmission to giving up: the connection is then reset.
    pub fn give_up(self) -> Duration {
        match self {
            Self::Syn => Duration::from_secs(127),
            Self::Data => Duration::from_millis(924_600),
        }
    }

    fn first(self, rtt: Duration) -> Duration {
        match self {
            Self::Syn => SYN_RTO,
            Self::Data => (2 * rtt).clamp(RTO_MIN, RTO_MAX),
        }
    }
}

/// When retransmission `attempt` (1-based) of a segment first sent at `sent` happens; `None` if the sender gives up first.
///
/// `rtt` is the round trip when it was first sent. With 50 ms: 0.2 s, 0.6 s, 1.4 s, … after it.
///
/// # Panics
/// If `attempt` is 0: the first transmission is not a retransmission.
pub fn next_attempt(sent: Duration, attempt: u32, kind: Kind, rtt: Duration) -> Option<Duration> {
    assert!(attempt > 0, "attempts are counted from 1");
    let (mut timeout, mut after) = (kind.first(rtt), Duration::ZERO);
    for _ in 0..attempt {
        after += timeout;
        if after >= kind.give_up() {
            return None;
        }
        timeout = (2 * timeout).min(RTO_MAX);
    }
    Some(sent + after)
}

/// The first retransmission at or after `from`, with its number: where a parked segment goes on when its line is back.
/// `None` if the sender gives up first.
pub fn attempt_from(
    sent: Duration,
    from: Duration,
    kind: Kind,
    rtt: Duration,
) -> Option<(u32, Duration)> {
    let mut attempt = 1;
    loop {
        let at = next_attempt(sent, attempt, kind, rtt)?;
        if at >= from {
            return Some((attempt, at));
        }
        attempt += 1;
    }
}

/// The last retransmission of a segment first sent at `sent`: when that is lost, its sender gives up.
pub fn last_attempt(sent: Duration, kind: Kind, rtt: Duration) -> Duration {
    let (mut timeout, mut after) = (kind.first(rtt), Duration::ZERO);
    while after + timeout < kind.give_up() {
        after += timeout;
        timeout = (2 * timeout).min(RTO_MAX);
    }
    sent + after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: Kind, rtt_ms: u64) -> Vec<f64> {
        (1..)
            .map_while(|n| next_attempt(Duration::ZERO, n, kind, Duration::from_millis(rtt_ms)))
            .map(|at| at.as_secs_f64())
            .collect()
    }

    /// Linux: 15 retransmissions, the last at 804.6 s, and the connection is given up at 924.6 s.
    #[test]
    fn data_follows_tcp_retries2() {
        let all = schedule(Kind::Data, 34);
        assert_eq!(all[..4], [0.2, 0.6, 1.4, 3.0]);
        assert_eq!(all.len(), 15);
        assert_eq!(all[9..12], [204.6, 324.6, 444.6]);
        assert_eq!(all[14], 804.6);
    }

    #[test]
    fn a_long_round_trip_starts_later() {
        assert_eq!(schedule(Kind::Data, 300)[..2], [0.6, 1.8]);
    }

    #[test]
    fn a_syn_doubles_from_one_second() {
        assert_eq!(schedule(Kind::Syn, 34), [1.0, 3.0, 7.0, 15.0, 31.0, 63.0]);
    }

    #[test]
    fn the_last_attempt_is_the_end_of_the_schedule() {
        for (kind, rtt) in [(Kind::Data, 34), (Kind::Data, 300), (Kind::Syn, 34)] {
            let last = last_attempt(Duration::ZERO, kind, Duration::from_millis(rtt));
            assert_eq!(Some(last.as_secs_f64()), schedule(kind, rtt).pop());
        }
    }

    #[test]
    fn a_parked_segment_goes_on_at_its_next_instant() {
        let s = Duration::from_secs;
        let rtt = Duration::from_millis(50);
        let next = attempt_from(s(10), s(310), Kind::Data, rtt);
        assert_eq!(next, Some((11, Duration::from_millis(334_600))));
        assert_eq!(
            attempt_from(s(10), s(10), Kind::Data, rtt),
            Some((1, Duration::from_millis(10_200)))
        );
        assert_eq!(attempt_from(s(10), s(820), Kind::Data, rtt), None);
    }
}
