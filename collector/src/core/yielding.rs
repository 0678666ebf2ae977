//! A rate that leaves the line to others: found by the delay of answers, where nobody can say what the line carries.
//!
//! The idea is LEDBAT's (RFC 6817): whoever fills a line makes a queue, a queue is delay, and a sender that keeps the delay which it
//! adds near a small *target* uses what others leave, and gives way when their packets queue too. LEDBAT steers a window by
//! the delay of packets; this steers a rate ([`super::pacing`]) by the delay of answers, from the last byte of a request to its
//! answer, which every receiver and every proxy gives. The shortest such delay of the last ten minutes is what the way and the
//! receiver take by themselves (RFC 6817, 3.4.2, base history); what is longer is queue. A receiver that is slow because it is
//! busy looks like a queue, and is given way to as well.
//!
//! While there is no queue the rate grows, faster at first. Where there is one the line is full, and what was answered over the last
//! seconds is what it carries for us: the rate is that, a little more below the target, less above it, so that the queue goes to
//! the target instead of swinging about it. Next: `pacing`.

use std::{collections::VecDeque, time::Duration};

use super::Mono;

/// The rate before anything is known: 64 kbit/s, which the thinnest line carries.
pub const START: f64 = 8000.0;

/// The rate that is left whatever the delay is: one segment in a second and a half. Without it nothing would be learned any more.
const LEAST: f64 = 1000.0;

/// Growth at each answer, before the first queue and after it.
const GROWTH_FIRST: f64 = 1.5;
const GROWTH: f64 = 1.05;

/// Time in which a queue above or below the target is to be gone.
const SETTLE: Duration = Duration::from_secs(1);

/// Time over which answered bytes are taken together.
const RECENT: Duration = Duration::from_secs(4);

/// Answers that are taken together at most.
const RECENT_MAX: usize = 64;

/// The delay is the least of so many answers (RFC 6817, 4.2, the filter of current delays): a line whose delay varies by itself,
/// like every radio line, would look full for ever.
const CURRENT: usize = 4;

/// The base delay is the least of so many minutes.
const MINUTES: usize = 10;

/// Finds a rate.
#[derive(Clone, Debug)]
pub struct Yield {
    target: Duration,
    rate: f64,
    has_met_queue: bool,
    /// The least delay of each minute, and when the last one began.
    base: VecDeque<Duration>,
    minute: Mono,
    /// The delays of the last answers.
    current: VecDeque<Duration>,
    /// When requests were answered, and their bytes on the wire.
    recent: VecDeque<(Mono, u64)>,
}

impl Yield {
    /// Finds a rate at which answers come later by `target` at most.
    pub fn new(target: Duration) -> Self {
        Self {
            target,
            rate: START,
            has_met_queue: false,
            base: VecDeque::new(),
            minute: Mono::default(),
            current: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    /// What it adds to the delay at most.
    pub fn target(&self) -> Duration {
        self.target
    }

    /// Wire bytes a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The delay that we and others add to the line; zero before the first answer.
    pub fn queueing(&self, delay: Duration) -> Duration {
        delay.saturating_sub(self.base.iter().min().copied().unwrap_or(delay))
    }

    /// A request of that many bytes on the wire was answered, so long after its last byte.
    pub fn answered(&mut self, now: Mono, delay: Duration, wire_bytes: u64) {
        self.remember(now, delay);
        let queueing = self.queueing(self.current.iter().min().copied().unwrap_or(delay));
        self.recent.push_back((now, wire_bytes));
        while self.recent.len() > RECENT_MAX
            || self.recent.len() > 2 && now.since(self.recent[1].0) > RECENT
        {
            self.recent.pop_front();
        }
        let target = self.target.as_secs_f64();
        let off = (target - queueing.as_secs_f64()) / target;
        if off > 0.75 {
            // Who does not use a rate does not learn whether the line carries more.
            if self
                .carried()
                .is_none_or(|carried| carried * 2.0 >= self.rate)
            {
                self.rate *= if self.has_met_queue {
                    GROWTH
                } else {
                    GROWTH_FIRST
                };
            }
        } else if let Some(carried) = self.carried() {
            // What is done now is seen a way later.
            let way = self.base.iter().min().copied().unwrap_or_default();
            let correction = off * target / (SETTLE + 4 * way).as_secs_f64();
            self.rate = carried * (1.0 + correction.clamp(-0.5, GROWTH - 1.0));
            self.has_met_queue = true;
        } else if off < 0.0 {
            self.rate /= GROWTH_FIRST;
        }
        self.rate = self.rate.max(LEAST);
    }

    /// The path failed, or another one is taken: what was learned is of another line.
    pub fn forget(&mut self) {
        *self = Self::new(self.target);
    }

    /// Bytes a second that were answered lately; `None` before there were three answers.
    fn carried(&self) -> Option<f64> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        let seconds = last.0.since(first.0).as_secs_f64();
        let bytes: u64 = self.recent.iter().skip(1).map(|(_, bytes)| bytes).sum();
        (self.recent.len() > 2 && seconds > 0.0).then(|| bytes as f64 / seconds)
    }

    fn remember(&mut self, now: Mono, delay: Duration) {
        self.current.push_back(delay);
        if self.current.len() > CURRENT {
            self.current.pop_front();
        }
        if self.base.is_empty() || now.since(self.minute) >= Duration::from_secs(60) {
            self.minute = now;
            self.base.push_back(delay);
            if self.base.len() > MINUTES {
                self.base.pop_front();
            }
        }
        let last = self.base.back_mut().expect("pushed above, or before");
        *last = (*last).min(delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of `carries` bytes a second and `way` of delay, fed by us and by others.
    struct Line {
        carries: f64,
        way: f64,
        queue: f64,
    }

    /// What came of a minute: our share of what the line carries, and the mean of the queue in milliseconds.
    #[derive(Debug)]
    struct Minute {
        share: f64,
        queue_ms: f64,
    }

    impl Line {
        /// Lets a minute pass in which requests of `bytes` follow one another, and others send at a rate.
        fn minute(&mut self, it: &mut Yield, from: Mono, bytes: f64, others: f64) -> Minute {
            const STEP: f64 = 0.001;
            let (mut ours, mut sent) = (0.0, 0.0);
            let mut sum = 0.0;
            let mut answers: VecDeque<(f64, f64)> = VecDeque::new();
            for step in 0..60_000 {
                let at = f64::from(step) * STEP;
                sent += it.rate() * STEP;
                ours += it.rate() * STEP;
                self.queue = (self.queue + (it.rate() + others - self.carries) * STEP).max(0.0);
                let wait = self.queue / self.carries;
                sum += wait;
                if sent >= bytes {
                    sent -= bytes;
                    answers.push_back((at + wait + self.way, wait + self.way));
                }
                while let Some((_, delay)) = answers.pop_front_if(|(due, _)| *due <= at) {
                    let now = from.after(Duration::from_secs_f64(at));
                    it.answered(now, Duration::from_secs_f64(delay), bytes as u64);
                }
            }
            Minute {
                share: ours / 60.0 / self.carries,
                queue_ms: sum / 60.0,
            }
        }
    }

    fn minutes(minutes: u64) -> Mono {
        Mono(Duration::from_secs(60 * minutes))
    }

    /// It fills a line of any kind, and what it adds to the delay stays near the target.
    #[test]
    fn fills_the_line_and_keeps_the_queue_short() {
        for (mbit, way) in [(0.25, 0.04), (2.0, 0.04), (2.0, 0.6), (50.0, 0.02)] {
            let mut line = Line {
                carries: mbit * 125_000.0,
                way,
                queue: 0.0,
            };
            let mut it = Yield::new(Duration::from_millis(25));
            let bytes = line.carries.min(150_000.0) / 2.0;
            line.minute(&mut it, minutes(0), bytes, 0.0);
            for minute in 1..5 {
                let seen = line.minute(&mut it, minutes(minute), bytes, 0.0);
                let what = format!("{mbit} Mbit/s, {way} s: {seen:?}");
                assert!(seen.share > 0.97, "{what}");
                assert!(seen.queue_ms < 60.0 + way * 100.0, "{what}");
            }
        }
    }

    /// Others who fill the line get it, and it comes back when they are gone.
    #[test]
    fn gives_way_and_comes_back() {
        let mut line = Line {
            carries: 250_000.0,
            way: 0.04,
            queue: 0.0,
        };
        let mut it = Yield::new(Duration::from_millis(25));
        line.minute(&mut it, minutes(0), 50_000.0, 0.0);
        line.minute(&mut it, minutes(1), 50_000.0, 200_000.0);
        let shared = line.minute(&mut it, minutes(2), 50_000.0, 200_000.0);
        assert!(shared.share < 0.25, "{shared:?}");
        assert!(shared.queue_ms < 150.0, "{shared:?}");
        line.minute(&mut it, minutes(3), 50_000.0, 0.0);
        let alone = line.minute(&mut it, minutes(4), 50_000.0, 0.0);
        assert!(alone.share > 0.97, "{alone:?}");
    }

    /// A delay that stays is no queue: after ten minutes it is the way.
    #[test]
    fn a_longer_way_is_learned() {
        let mut it = Yield::new(Duration::from_millis(25));
        for second in 0..60 {
            it.answered(
                Mono(Duration::from_secs(second)),
                Duration::from_millis(40),
                10_000,
            );
        }
        let late = Duration::from_millis(300);
        assert_eq!(it.queueing(late), Duration::from_millis(260));
        for second in 60..800 {
            it.answered(Mono(Duration::from_secs(second)), late, 10_000);
        }
        assert_eq!(it.queueing(late), Duration::ZERO);
    }

    #[test]
    fn what_was_learned_can_be_forgotten() {
        let mut it = Yield::new(Duration::from_millis(25));
        for second in 0..10 {
            it.answered(
                Mono(Duration::from_secs(second)),
                Duration::from_millis(40),
                10_000,
            );
        }
        // It asks for three times what it uses at most.
        assert!((15_000.0..30_001.0).contains(&it.rate()), "{}", it.rate());
        it.forget();
        assert!((it.rate() - START).abs() < f64::EPSILON);
    }
}
