//! The line itself: queue, serialisation, loss, delay, order per flow.
//!
//! **Exact however late it is asked.** A real timer fires up to a millisecond late. What happened in between is
//! computed as of the instants at which it happened ([`Link::offer`] and [`Link::poll`] first catch up), so a
//! late poll changes nothing about who goes next.
//!
//! **Few wake-ups.** A packet that finds the line idle, or waits a little in a FIFO queue, is answered at once by
//! arithmetic. Only what waits behind a choice (priorities, shares) or for long costs a timer.
//!
//! Invariant: offered = arrived + lost + full + down + drained + waiting, per class. Not here: TCP (`tcp`), routes.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use rand_chacha::ChaCha8Rng;

use super::{Capacity, Counters, Degrade, Direction, LossState, Offer, Packet, Tally};
use crate::scenario::Discipline;

/// 50 ms: a FIFO packet that starts within it is answered at once. Until then it cannot be taken back when the line
/// changes, so this bounds the error of a fault's instant; and it spares a timer per packet on an ordinarily busy line.
const COMMIT_MAX: Duration = Duration::from_millis(50);

/// 64: a store has about this many connections over a line. The table doubles before it is swept, so sweeping costs
/// a constant per packet.
const FLOWS_MIN: usize = 64;

/// One direction of a line.
#[derive(Debug)]
pub struct Link<P> {
    spec: Direction,
    degrade: Degrade,
    chances: Vec<Chance>,
    up: bool,
    /// The line is busy until then.
    free_at: Duration,
    /// Bytes whose serialisation was promised for a later instant, by start.
    promised: VecDeque<(Duration, u32)>,
    promised_bytes: u64,
    /// By priority (0 where the queue is FIFO) and number of arrival.
    waiting: BTreeMap<(u8, u64), Waiting<P>>,
    waiting_bytes: u64,
    next_number: u64,
    /// Decided and not yet told: (decided at, arrives at, payload).
    ready: VecDeque<(Duration, Duration, P)>,
    /// When a class may start its next packet, for classes that may not have all of the line.
    paced: BTreeMap<u8, Duration>,
    has_shares: bool,
    /// Last arrival of each flow that is still under way.
    flows: BTreeMap<u64, Duration>,
    flows_sweep_at: usize,
    counters: Vec<Counters>,
}

/// What chance does to one class: its own draws, and its own state of the loss, so that packets of other classes change nothing
/// about what becomes of these but the queue. Two runs that differ in one class can be compared seed by seed.
#[derive(Debug)]
struct Chance {
    rng: ChaCha8Rng,
    loss: LossState,
}

#[derive(Debug)]
struct Waiting<P> {
    since: Duration,
    bytes: u32,
    priority: u8,
    class: u8,
    flow: u64,
    /// `None` was lost: it uses the line all the same.
    payload: Option<P>,
}

impl<P> Link<P> {
    /// An idle line that is up. Loss and delay are drawn from one stream for each class, by index; the last stream is for probes
    /// and for classes beyond the end of the list.
    ///
    /// # Panics
    /// If there is no stream, or a share is not above 0 and at most 1.
    pub fn new(spec: Direction, streams: Vec<ChaCha8Rng>) -> Self {
        assert!(!streams.is_empty(), "a line needs a stream of draws");
        let chances = streams.into_iter().map(|rng| Chance {
            rng,
            loss: LossState::default(),
        });
        for share in &spec.shares {
            assert!(
                *share > 0.0 && *share <= 1.0,
                "a class has a share of {share} of the line"
            );
        }
        Self {
            has_shares: spec.shares.iter().any(|share| *share < 1.0),
            spec,
            degrade: Degrade::default(),
            chances: chances.collect(),
            up: true,
            free_at: Duration::ZERO,
            promised: VecDeque::new(),
            promised_bytes: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            next_number: 0,
            ready: VecDeque::new(),
            paced: BTreeMap::new(),
            flows: BTreeMap::new(),
            flows_sweep_at: FLOWS_MIN,
            counters: Vec::new(),
        }
    }

    /// Hands a packet to the line. `now` never goes back, over all calls.
    pub fn offer(&mut self, now: Duration, packet: Packet<P>) -> Offer<P> {
        self.offer_delayed(now, packet, None)
    }

    /// The delay of a packet of a class that will be offered later: it will not arrive sooner than so long after that.
    pub fn draw_delay(&mut self, class: u8) -> Duration {
        self.delay_of(class.into())
    }

    fn delay_of(&mut self, chance: usize) -> Duration {
        let delay = self.degrade.delay.as_ref().unwrap_or(&self.spec.delay);
        let last = self.chances.len() - 1;
        delay.sample_duration(&mut self.chances[chance.min(last)].rng)
    }

    fn is_lost(&mut self, chance: usize) -> bool {
        let loss = self.degrade.loss.unwrap_or(self.spec.loss);
        let last = self.chances.len() - 1;
        let chance = &mut self.chances[chance.min(last)];
        chance.loss.next(&loss, &mut chance.rng)
    }

    /// Like [`offer`](Self::offer), with a delay that was drawn before. A packet that has to wait draws another one when it
    /// starts.
    pub fn offer_delayed(
        &mut self,
        now: Duration,
        packet: Packet<P>,
        delay: Option<Duration>,
    ) -> Offer<P> {
        self.advance(now);
        let Packet {
            bytes,
            priority,
            class,
            flow,
            payload,
        } = packet;
        self.count(class, bytes, |c| &mut c.offered);
        if !self.up {
            self.count(class, bytes, |c| &mut c.down);
            return Offer::Down { payload };
        }
        let idle = self.free_at <= now && self.eligible_at(class) <= now;
        if !idle && self.queued_bytes(now) + u64::from(bytes) > self.spec.queue.bytes.0 {
            self.count(class, bytes, |c| &mut c.full);
            return Offer::Full { payload };
        }
        let lost = self.is_lost(class.into());
        if lost {
            self.count(class, bytes, |c| &mut c.lost);
        }
        if let Some((start, end)) = self.at_once(now, idle, bytes) {
            self.occupy(start, end, class);
            if start > now {
                self.promised.push_back((start, bytes));
                self.promised_bytes += u64::from(bytes);
            }
            if lost {
                return Offer::Lost { payload };
            }
            let delay = delay.unwrap_or_else(|| self.draw_delay(class));
            let at = self.arrival(now, end + delay, flow, class, bytes);
            return Offer::Arrives { at, payload };
        }
        let (payload, answer) = match lost {
            true => (None, Offer::Lost { payload }),
            false => (Some(payload), Offer::Queued),
        };
        let rank = match self.spec.queue.discipline {
            Discipline::Fifo => 0,
            Discipline::Priority => priority,
        };
        let waiting = Waiting {
            since: now,
            bytes,
            priority,
            class,
            flow,
            payload,
        };
        self.waiting.insert((rank, self.next_number), waiting);
        self.waiting_bytes += u64::from(bytes);
        self.next_number += 1;
        answer
    }

    /// A packet too small and too urgent to queue, such as a router's echo request: when it arrives, `None` if it is lost
    /// or the line is down. It waits for what is being serialised, and takes no capacity from others.
    pub fn probe(&mut self, now: Duration, bytes: u32) -> Option<Duration> {
        if !self.up {
            return None;
        }
        if self.is_lost(usize::MAX) {
            return None;
        }
        let sent = self.finish(self.free_at.max(now), bytes)?;
        Some(sent + self.delay_of(usize::MAX))
    }

    /// When to poll again; `None` until the next offer or change of the line. May lie in the past.
    pub fn deadline(&self) -> Option<Duration> {
        match self.ready.front() {
            Some((decided, ..)) => Some(*decided),
            None if self.up => self.next_start().map(|(_, start, _)| start),
            None => None,
        }
    }

    /// The next packet that waited and is under way now: when it arrives, and what. Call until `None`.
    pub fn poll(&mut self, now: Duration) -> Option<(Duration, P)> {
        self.advance(now);
        self.ready.pop_front().map(|(_, at, payload)| (at, payload))
    }

    /// Cuts the line, or brings it back. What was on it already arrives (poll for it); what waits can be taken with
    /// [`drain`](Self::drain), or stays and goes on when the line is back.
    pub fn set_up(&mut self, now: Duration, up: bool) {
        self.advance(now);
        self.free_at = self.free_at.max(now);
        self.up = up;
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Makes the line worse than declared, or heals it with `None`. Holds for packets that start after `now`; a packet that is
    /// lost is so from the moment in which it is offered.
    pub fn degrade(&mut self, now: Duration, change: Option<Degrade>) {
        self.advance(now);
        self.free_at = self.free_at.max(now);
        self.degrade = change.unwrap_or_default();
    }

    /// Takes back what waits, in the order in which it would have gone. The caller parks it or lets it go.
    pub fn drain(&mut self) -> Vec<Packet<P>> {
        self.waiting_bytes = 0;
        let taken = std::mem::take(&mut self.waiting).into_values();
        let mut out = Vec::new();
        for Waiting {
            bytes,
            priority,
            class,
            flow,
            payload,
            ..
        } in taken
        {
            if let Some(payload) = payload {
                self.count(class, bytes, |c| &mut c.drained);
                out.push(Packet {
                    bytes,
                    priority,
                    class,
                    flow,
                    payload,
                });
            }
        }
        out
    }

    /// Bytes that wait for the line at `now`, without the packet that is on it.
    pub fn queued_bytes(&mut self, now: Duration) -> u64 {
        while let Some((start, bytes)) = self.promised.front()
            && *start <= now
        {
            self.promised_bytes -= u64::from(*bytes);
            self.promised.pop_front();
        }
        self.promised_bytes + self.waiting_bytes
    }

    /// What became of the packets, by class index; classes without packets may be missing at the end.
    pub fn counters(&self) -> &[Counters] {
        &self.counters
    }

    /// Start and end of a packet that need not wait for a choice.
    fn at_once(&self, now: Duration, idle: bool, bytes: u32) -> Option<(Duration, Duration)> {
        let soon = self.spec.queue.discipline == Discipline::Fifo
            && !self.has_shares
            && self.waiting.is_empty()
            && self.free_at <= now + COMMIT_MAX;
        if !idle && !soon {
            return None;
        }
        let start = self.free_at.max(now);
        // A line that will never send keeps what it is given: it may be healed.
        Some((start, self.finish(start, bytes)?))
    }

    /// Starts every waiting packet whose turn came up to `now`.
    fn advance(&mut self, now: Duration) {
        while self.up
            && let Some((key, start, end)) = self.next_start()
            && start <= now
        {
            let packet = self.waiting.remove(&key).expect("the key was just found");
            self.waiting_bytes -= u64::from(packet.bytes);
            self.occupy(start, end, packet.class);
            if let Some(payload) = packet.payload {
                let earliest = end + self.draw_delay(packet.class);
                let at = self.arrival(start, earliest, packet.flow, packet.class, packet.bytes);
                self.ready.push_back((start, at, payload));
            }
        }
    }

    /// Which waiting packet goes next, with its start and end.
    fn next_start(&self) -> Option<((u8, u64), Duration, Duration)> {
        let (key, start) = if self.has_shares {
            let may_go = |w: &Waiting<P>| w.since.max(self.eligible_at(w.class));
            let start = self.waiting.values().map(may_go).min()?.max(self.free_at);
            let (key, _) = self.waiting.iter().find(|(_, w)| may_go(w) <= start)?;
            (*key, start)
        } else {
            // Whatever waits came before the line was free, or it would not wait.
            (*self.waiting.first_key_value()?.0, self.free_at)
        };
        let end = self.finish(start, self.waiting[&key].bytes)?;
        Some((key, start, end))
    }

    fn finish(&self, start: Duration, bytes: u32) -> Option<Duration> {
        match (self.degrade.rate, &self.degrade.recording) {
            (Some(rate), _) => Capacity::Constant(rate).finish(start, bytes),
            (None, Some((since, trace))) => {
                let end = trace.finish(start.saturating_sub(*since), f64::from(bytes) * 8.0)?;
                Some(*since + end)
            }
            (None, None) => self.spec.capacity.finish(start, bytes),
        }
    }

    fn share(&self, class: u8) -> f64 {
        self.spec
            .shares
            .get(usize::from(class))
            .copied()
            .unwrap_or(1.0)
    }

    fn eligible_at(&self, class: u8) -> Duration {
        self.paced.get(&class).copied().unwrap_or_default()
    }

    /// Takes the line from `start` to `end`; a class with a share of one half then pauses for as long again.
    fn occupy(&mut self, start: Duration, end: Duration, class: u8) {
        assert!(
            start >= self.free_at,
            "a packet starts at {start:?} on a line busy until {:?}",
            self.free_at
        );
        self.free_at = end;
        let share = self.share(class);
        if share < 1.0 {
            self.paced
                .insert(class, start + (end - start).div_f64(share));
        }
    }

    /// When a packet arrives that is not there before `earliest`.
    fn arrival(
        &mut self,
        now: Duration,
        earliest: Duration,
        flow: u64,
        class: u8,
        bytes: u32,
    ) -> Duration {
        self.count(class, bytes, |c| &mut c.arrived);
        if self.flows.len() >= self.flows_sweep_at {
            // A flow whose packets have all arrived cannot be overtaken.
            self.flows.retain(|_, last| *last > now);
            self.flows_sweep_at = (2 * self.flows.len()).max(FLOWS_MIN);
        }
        let last = self.flows.entry(flow).or_default();
        *last = earliest.max(*last);
        *last
    }

    fn count(&mut self, class: u8, bytes: u32, which: impl Fn(&mut Counters) -> &mut Tally) {
        let index = usize::from(class);
        if self.counters.len() <= index {
            self.counters.resize(index + 1, Counters::default());
        }
        which(&mut self.counters[index]).add(bytes);
    }
}

#[cfg(test)]
mod tests;
