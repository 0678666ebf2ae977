//! How fast is sent: what the configuration says, and what was learned of the line. The decisions stand in `core::pacing`,
//! `core::yielding` and `core::fit`. Next: `exporter`, which tells what it saw; `client::body`, which waits for its place.

use std::time::Duration;

use super::{
    client::Line,
    shared::{Shared, State},
};
use crate::{
    config::Config,
    core::{
        Mono,
        fit::{self, Fit},
        lane::Lane,
        pacing::wire_bytes,
        pressure::Rate,
        yielding::Yield,
    },
    env::Env,
};

/// Requests at once where `send.inflight` is "auto", before and after the line is known.
pub(super) const INFLIGHT_MIN: usize = 2;
pub(super) const INFLIGHT_MAX: usize = 16;

/// What was learned of the line to one destination.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// What gets through.
    fit: Fit,
    /// Finds a rate, where others are given way to.
    yielding: Option<Yield>,
    /// Bytes on the wire of requests that were answered.
    carried: Rate,
    /// The shortest time from the last byte to an answer.
    answer_min: Option<Duration>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) body_bytes: u64,
    pub(super) wire_bytes: u64,
    /// From its start to the answer.
    pub(super) took: Duration,
    /// From its last byte to the answer; `None` where that came before.
    pub(super) delay: Option<Duration>,
}

impl Learned {
    /// What an answer says of the line.
    pub(super) fn learn(&mut self, now: Mono, seen: &Seen) {
        self.fit.got_through(seen.body_bytes, seen.took);
        self.carried.add(now, seen.wire_bytes);
        if let Some(delay) = seen.delay {
            let least = self.answer_min.map_or(delay, |least| least.min(delay));
            self.answer_min = Some(least);
            if let Some(yielding) = &mut self.yielding {
                yielding.answered(now, delay, seen.wire_bytes);
            }
        }
    }

    /// A request with a body of that many bytes went out and was not answered.
    pub(super) fn broke_off(&mut self, body_bytes: u64) {
        self.fit.broke_off(body_bytes);
    }

    /// The line went down, and may be another one when it is back. What gets through is known until something else does.
    pub(super) fn forget(&mut self) {
        self.answer_min = None;
        if let Some(yielding) = &mut self.yielding {
            yielding.forget();
        }
    }

    /// Most bytes of a body that fit the line as it is: what got through, and no more than a second of it where others are given
    /// way to, because the delay is looked at after each request only.
    pub(super) fn body_bytes_max(&self) -> Option<u64> {
        let rate = self.yielding.as_ref().map(Yield::rate);
        let second = rate.map(|rate| (rate as u64).max(fit::LEAST_BYTES));
        self.fit.bytes_max().into_iter().chain(second).min()
    }

    /// Others are given way to by that delay from now on, or not at all.
    fn set_target(&mut self, target: Option<Duration>) {
        if self.yielding.as_ref().map(Yield::target) != target {
            self.yielding = target.map(Yield::new);
        }
    }

    /// Requests that fill the line.
    fn requests_at_once(&self, now: Mono) -> usize {
        let answer = self.answer_min.unwrap_or_default();
        fit::requests_at_once(self.carried.per_second(now), answer, INFLIGHT_MAX)
    }
}

impl State {
    /// Sends as fast as the configuration and what was learned say. Destinations share one line, and the one that finds it
    /// fullest is believed.
    pub(super) fn set_pace(&mut self, now: Mono, config: &Config) {
        let link = self.link(config);
        let given = link.and_then(|link| link.rate).or(config.send.max_rate);
        let given = given.map(|rate| rate.bytes_per_second());
        let target = link.and_then(|link| link.yield_delay);
        let target = target.unwrap_or(config.send.yield_delay);
        let mut found = Vec::new();
        for outlet in &mut self.outlets {
            outlet.line.set_target(target);
            let rate = outlet.line.yielding.as_ref().map(Yield::rate);
            found.extend(rate.map(|rate| (outlet.destination.is_down(), rate)));
            let most = config.send.inflight;
            let most = most.unwrap_or_else(|| outlet.line.requests_at_once(now));
            outlet.destination.set_inflight_max(most);
        }
        self.pacer.set_rate(now, slowest(given, &found));
    }

    /// Most bytes of a body that every line takes.
    pub(super) fn body_bytes_max(&self) -> Option<u64> {
        let outlets = self.outlets.iter();
        outlets
            .filter_map(|outlet| outlet.line.body_bytes_max())
            .min()
    }
}

/// The smallest of the rate that is given and of those that were found, each with whether its destination is down. Who is down has
/// nothing to say while others are up, for it begins anew; where all are, a probe goes as slowly as that.
fn slowest(given: Option<f64>, found: &[(bool, f64)]) -> Option<f64> {
    let all_down = found.iter().all(|(is_down, _)| *is_down);
    let believed = found.iter().filter(|(is_down, _)| all_down || !is_down);
    let rates = given.into_iter().chain(believed.map(|(_, rate)| *rate));
    rates.reduce(f64::min)
}

impl<E: Env> Line for Shared<E> {
    fn place(
        &self,
        lane: Lane,
        sent: u64,
        left: u64,
        extra: u64,
    ) -> Option<(u64, tokio::time::Instant)> {
        let now = self.now();
        let (piece, at) = {
            let pacer = &mut self.lock().pacer;
            let piece = pacer.piece(sent + extra, left)?;
            let cost = wire_bytes(sent + extra + piece, 0) - wire_bytes(sent, 0);
            (piece, pacer.take(now, lane, cost))
        };
        Some((piece, self.instant(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_up_is_believed_and_a_probe_is_slow() {
        let check = |given, found: &[(bool, f64)], rate| {
            assert_eq!(slowest(given, found), rate, "{given:?} {found:?}");
        };
        check(None, &[], None);
        check(Some(32_000.0), &[], Some(32_000.0));
        check(
            None,
            &[(false, 90_000.0), (false, 70_000.0)],
            Some(70_000.0),
        );
        check(Some(32_000.0), &[(false, 70_000.0)], Some(32_000.0));
        check(None, &[(true, 8000.0), (false, 70_000.0)], Some(70_000.0));
        check(None, &[(true, 8000.0)], Some(8000.0));
        check(Some(4000.0), &[(true, 8000.0)], Some(4000.0));
    }
}
