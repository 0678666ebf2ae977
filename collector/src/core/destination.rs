//! When a destination may be tried, and with how many requests at once.
//!
//! While it is up, as many as the window allows; after an outage, and at the start, the window is 1, then 2, then `inflight`.
//! Where all of them carry the backlog, one more may carry what is fresh: it shares the line with them, and does not wait until a
//! large batch is through.
//! A path failure takes it down: one probe at a time, each after a backoff delay or after what Retry-After asks for and a part of
//! that again, for ever.
//! Failures of requests that were under way when it went down belong to the same outage and do not lengthen the delay.
//! What is sent is decided in `spool`, how fast in `pacing`.

use std::time::Duration;

use super::{
    Mono,
    backoff::Delays,
    lane::{Ask, Lane},
};

/// Added to the delay where trying soon is pointless: a captive portal, a wrong token.
const SUSPEND_DELAY: Duration = Duration::from_secs(30);

/// Outages that cost nothing at first. In hundredths, as are the next two, so that sums are exact.
const BUDGET_MAX: u32 = 1000;

/// What a success adds to the budget: one outage for ten successes.
const BUDGET_EARNED: u32 = 10;

/// What an outage costs.
const BUDGET_COST: u32 = 100;

/// The state of one destination.
#[derive(Debug)]
pub struct Destination {
    delays: Delays,
    inflight_max: usize,
    inflight: usize,
    /// The part of `inflight` that is live.
    live: usize,
    outage: u64,
    /// Outages before this one, and requests that began in them, are those of another address.
    first_outage: u64,
    state: State,
    not_before: Mono,
    /// While there is less than an outage costs, delays go on from where they were: a peer that takes one request and refuses the
    /// next is not tried at the pace of its successes.
    budget: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up { window: usize, successes: usize },
    Down { until: Mono, is_probing: bool },
}

/// One request under way. Every attempt ends in exactly one of [`Destination::succeeded`], [`Destination::failed`] and
/// [`Destination::cancelled`].
#[derive(Debug)]
#[must_use]
pub struct Attempt {
    outage: u64,
    is_live: bool,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Yes, of these lanes.
    Now(Ask),
    /// Not before that instant.
    At(Mono),
    /// Not until one under way has ended.
    AfterAnother,
}

impl Destination {
    /// A destination that has not been tried yet, with at most `inflight_max` requests at once (at least 1).
    pub fn new(inflight_max: usize, delays: Delays) -> Self {
        Self {
            delays,
            inflight_max: inflight_max.max(1),
            inflight: 0,
            live: 0,
            outage: 0,
            first_outage: 0,
            state: State::Up {
                window: 1,
                successes: 0,
            },
            not_before: Mono::default(),
            budget: BUDGET_MAX,
        }
    }

    /// Whether the last that was heard of it is a failure.
    pub fn is_down(&self) -> bool {
        matches!(self.state, State::Down { .. })
    }

    /// Requests that may be under way.
    pub fn inflight_max(&self) -> usize {
        self.inflight_max
    }

    /// Requests under way.
    pub fn inflight(&self) -> usize {
        self.inflight
    }

    /// Whether a request may be sent now, and of which lanes.
    pub fn allowed(&self, now: Mono) -> Allowed {
        match self.state {
            State::Up { window, .. } if self.inflight < window => Allowed::Now(Ask::Any),
            // Who asks for one request at a time gets no second one.
            State::Up { .. } if self.live == 0 && 0 < self.inflight && self.inflight_max > 1 => {
                Allowed::Now(Ask::LiveOnly)
            }
            State::Down {
                is_probing: false,
                until,
            } if now >= until => Allowed::Now(Ask::LiveFirst),
            State::Down {
                is_probing: false,
                until,
            } => Allowed::At(until),
            _ => Allowed::AfterAnother,
        }
    }

    /// Whether a request of that lane may be sent now.
    pub fn allows(&self, now: Mono, lane: Lane) -> Allowed {
        match self.allowed(now) {
            Allowed::Now(Ask::LiveOnly) if lane != Lane::Live => Allowed::AfterAnother,
            allowed => allowed,
        }
    }

    /// It is another address from now on: not tried yet. What is under way to the old one says nothing and holds nothing up.
    pub fn redirect(&mut self) {
        self.outage += 1;
        self.first_outage = self.outage;
        self.inflight = 0;
        self.live = 0;
        self.not_before = Mono::default();
        self.budget = BUDGET_MAX;
        self.delays.reset();
        self.state = State::Up {
            window: 1,
            successes: 0,
        };
    }

    /// How many requests may be under way at once (at least 1); those that are already go on.
    pub fn set_inflight_max(&mut self, inflight_max: usize) {
        self.inflight_max = inflight_max.max(1);
        if let State::Up { window, .. } = &mut self.state {
            // A window that stood at the old limit may grow again.
            *window = (*window).min(self.inflight_max);
        }
    }

    /// The delays after failures from now on; they begin with the shortest.
    pub fn set_delays(&mut self, delays: Delays) {
        self.delays = delays;
    }

    /// Starts a request.
    ///
    /// # Panics
    /// If it is not allowed.
    pub fn start(&mut self, now: Mono, lane: Lane) -> Attempt {
        let is_allowed = matches!(self.allows(now, lane), Allowed::Now(_));
        assert!(is_allowed, "started {lane:?} in {:?}", self.state);
        let is_live = lane == Lane::Live;
        self.inflight += 1;
        self.live += usize::from(is_live);
        if let State::Down { is_probing, .. } = &mut self.state {
            *is_probing = true;
        }
        Attempt {
            outage: self.outage,
            is_live,
        }
    }

    fn ended(&mut self, attempt: &Attempt) {
        self.inflight -= 1;
        self.live -= usize::from(attempt.is_live);
    }

    /// The peer answered, whatever it said about the payload: the path is fine. Returns whether an outage ended.
    pub fn succeeded(&mut self, now: Mono, attempt: Attempt) -> bool {
        if attempt.outage < self.first_outage {
            return false;
        }
        self.ended(&attempt);
        self.budget = (self.budget + BUDGET_EARNED).min(BUDGET_MAX);
        match &mut self.state {
            State::Up { window, successes } => {
                *successes += 1;
                if *successes >= *window {
                    *successes = 0;
                    *window = if *window == 1 { 2 } else { self.inflight_max };
                    *window = (*window).min(self.inflight_max);
                }
                false
            }
            // An older request got through after another failed: believe it, but not against a Retry-After.
            State::Down { .. } if attempt.outage < self.outage && now < self.not_before => false,
            State::Down { .. } => {
                if self.budget >= BUDGET_COST {
                    self.delays.reset();
                }
                self.state = State::Up {
                    window: 1,
                    successes: 0,
                };
                true
            }
        }
    }

    /// The path failed. Returns whether an outage began.
    pub fn failed(
        &mut self,
        now: Mono,
        attempt: Attempt,
        retry_after: Option<Duration>,
        suspend: bool,
    ) -> bool {
        if attempt.outage < self.first_outage {
            return false;
        }
        self.ended(&attempt);
        if let Some(asked) = retry_after {
            let delay = asked.saturating_add(self.delays.spread(asked));
            self.not_before = self.not_before.max(now.after(delay));
        }
        let began = match &mut self.state {
            State::Up { .. } if attempt.outage == self.outage => true,
            // Began before the outage that has ended since: it says nothing about now.
            State::Up { .. } => return false,
            State::Down { until, .. } if attempt.outage < self.outage => {
                *until = (*until).max(self.not_before);
                return false;
            }
            State::Down { .. } => false,
        };
        if began {
            self.outage += 1;
            self.budget = self.budget.saturating_sub(BUDGET_COST);
        }
        let mut delay = self.delays.draw();
        if suspend {
            delay = delay.saturating_add(SUSPEND_DELAY);
        }
        self.state = State::Down {
            until: now.after(delay).max(self.not_before),
            is_probing: false,
        };
        began
    }

    /// The request was not sent after all; nothing was learned.
    pub fn cancelled(&mut self, attempt: Attempt) {
        if attempt.outage < self.first_outage {
            return;
        }
        self.ended(&attempt);
        if let State::Down { is_probing, .. } = &mut self.state
            && attempt.outage == self.outage
        {
            *is_probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::config::Backoff;

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    fn destination(inflight: usize) -> Destination {
        let kind = Backoff::Exponential {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
        };
        Destination::new(inflight, Delays::new(kind, ChaCha8Rng::seed_from_u64(1)))
    }

    /// How many requests may start at once.
    fn window(destination: &mut Destination, now: Mono) -> usize {
        let mut attempts = Vec::new();
        while destination.allowed(now) == Allowed::Now(Ask::Any) {
            attempts.push(destination.start(now, Lane::Backfill));
        }
        let count = attempts.len();
        for attempt in attempts {
            destination.cancelled(attempt);
        }
        count
    }

    fn succeed(destination: &mut Destination, now: Mono) {
        let attempt = destination.start(now, Lane::Backfill);
        destination.succeeded(now, attempt);
    }

    #[test]
    fn starts_with_one_then_two_then_all() {
        let mut it = destination(4);
        let mut windows = Vec::new();
        for _ in 0..5 {
            windows.push(window(&mut it, at(0)));
            succeed(&mut it, at(0));
        }
        assert_eq!(windows, [1, 2, 2, 4, 4]);
    }

    /// Beside requests that carry the backlog, one may carry what is fresh, however many they are; while it is down none.
    #[test]
    fn fresh_data_goes_beside_the_backlog() {
        let mut it = destination(2);
        let backlog = it.start(at(0), Lane::Backfill);
        assert_eq!(it.allowed(at(0)), Allowed::Now(Ask::LiveOnly));
        assert_eq!(it.allows(at(0), Lane::Backfill), Allowed::AfterAnother);
        let fresh = it.start(at(0), Lane::Live);
        assert_eq!(it.allowed(at(0)), Allowed::AfterAnother);
        it.succeeded(at(1), fresh);
        assert_eq!(it.allowed(at(1)), Allowed::Now(Ask::Any), "the window is 2");
        it.failed(at(1), backlog, None, false);
        let probe = it.start(at(2), Lane::Backfill);
        assert_eq!(it.allowed(at(2)), Allowed::AfterAnother);
        it.succeeded(at(3), probe);

        let mut single = destination(1);
        let _backlog = single.start(at(0), Lane::Backfill);
        assert_eq!(single.allowed(at(0)), Allowed::AfterAnother);
    }

    #[test]
    fn one_probe_at_a_time_with_growing_delays() {
        let mut it = destination(4);
        let attempt = it.start(at(10), Lane::Backfill);
        assert!(it.failed(at(10), attempt, None, false));
        assert_eq!(it.allowed(at(10)), Allowed::At(at(11)));
        let probe = it.start(at(11), Lane::Backfill);
        assert_eq!(it.allowed(at(99)), Allowed::AfterAnother);
        assert!(!it.failed(at(11), probe, None, false));
        assert_eq!(it.allowed(at(11)), Allowed::At(at(13)));
        let probe = it.start(at(13), Lane::Backfill);
        assert!(it.succeeded(at(14), probe));
        assert_eq!(window(&mut it, at(14)), 1, "slow start after an outage");
    }

    /// Requests that were under way when it went down do not count as further failures.
    #[test]
    fn an_outage_is_counted_once() {
        let mut it = destination(2);
        for _ in 0..3 {
            succeed(&mut it, at(0));
        }
        let (first, second) = (
            it.start(at(1), Lane::Backfill),
            it.start(at(1), Lane::Backfill),
        );
        assert!(it.failed(at(2), first, None, false));
        assert!(!it.failed(at(2), second, None, false));
        assert_eq!(it.allowed(at(2)), Allowed::At(at(3)));
    }

    #[test]
    fn retry_after_holds_for_the_whole_destination() {
        let mut it = destination(2);
        for _ in 0..3 {
            succeed(&mut it, at(0));
        }
        let (throttled, other) = (
            it.start(at(1), Lane::Backfill),
            it.start(at(1), Lane::Backfill),
        );
        it.failed(at(2), throttled, Some(Duration::from_secs(30)), false);
        assert!(!it.succeeded(at(3), other), "one success does not lift it");
        assert_eq!(it.allowed(at(3)), Allowed::At(at(32)));
    }

    #[test]
    fn another_address_starts_afresh() {
        let mut it = destination(4);
        for _ in 0..3 {
            succeed(&mut it, at(0));
        }
        let (hanging, late) = (
            it.start(at(1), Lane::Backfill),
            it.start(at(1), Lane::Backfill),
        );
        let failing = it.start(at(1), Lane::Backfill);
        it.failed(at(2), failing, Some(Duration::from_secs(3600)), true);
        assert!(it.is_down());
        it.redirect();
        assert!(!it.is_down());
        assert_eq!(window(&mut it, at(2)), 1, "slow start");
        assert!(!it.failed(at(3), hanging, None, true), "of the old address");
        assert!(!it.succeeded(at(3), late));
        assert_eq!((it.is_down(), it.inflight()), (false, 0));
        assert_eq!(window(&mut it, at(3)), 1);
        it.set_inflight_max(2);
        succeed(&mut it, at(4));
        assert_eq!(window(&mut it, at(4)), 2);
        it.set_inflight_max(1);
        assert_eq!(window(&mut it, at(4)), 1);
    }

    /// A peer that refuses every second request is tried less and less often, and at once again when it has earned it.
    #[test]
    fn retries_have_a_budget() {
        let mut it = destination(1);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..14 {
            let attempt = it.start(now, Lane::Backfill);
            it.failed(now, attempt, None, false);
            let Allowed::At(until) = it.allowed(now) else {
                panic!("it waits");
            };
            waits.push(until.since(now).as_secs());
            now = until;
            succeed(&mut it, now);
        }
        assert_eq!(waits[..10], [1; 10]);
        assert!(waits[10..].iter().any(|wait| *wait > 1), "{waits:?}");
        for _ in 0..200 {
            succeed(&mut it, now);
        }
        let attempt = it.start(now, Lane::Backfill);
        it.failed(now, attempt, None, false);
        let probe = it.allowed(now);
        let Allowed::At(until) = probe else {
            panic!("it waits")
        };
        now = until;
        succeed(&mut it, now);
        let attempt = it.start(now, Lane::Backfill);
        it.failed(now, attempt, None, false);
        assert_eq!(
            it.allowed(now),
            Allowed::At(now.after(Duration::from_secs(1)))
        );
    }

    #[test]
    fn suspension_probes_slowly() {
        let mut it = destination(1);
        let attempt = it.start(at(0), Lane::Backfill);
        it.failed(at(0), attempt, None, true);
        assert_eq!(it.allowed(at(0)), Allowed::At(at(31)));
    }

    #[test]
    fn late_failures_of_an_ended_outage_are_ignored() {
        let mut it = destination(2);
        for _ in 0..3 {
            succeed(&mut it, at(0));
        }
        let (first, second) = (
            it.start(at(1), Lane::Backfill),
            it.start(at(1), Lane::Backfill),
        );
        it.failed(at(2), first, None, false);
        let probe = it.start(at(3), Lane::Backfill);
        assert!(it.succeeded(at(4), probe));
        assert!(!it.failed(at(5), second, None, false));
        assert!(!it.is_down());
    }
}
