//! What the closed forms are checked against: small simulations of the same models, event by event, without packets.
//!
//! Each draws its random times from the stream that it is given, and computes exactly between them: a fluid rises and falls in straight
//! lines, so there is no step of time that could be too coarse. They know nothing of the closed forms. `backroom plan` shows both.
//! Next to read: `outages`, `queueing`, `loss`, `retry`, the forms.

use rand::{Rng, RngExt as _};

use super::outages::OnOff;

/// What a line that is up and down did to a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Buffered {
    /// Seconds that were simulated.
    pub seconds: f64,
    /// Bytes that arrived.
    pub offered: f64,
    /// Bytes that found the buffer full.
    pub lost: f64,
    /// Times that it was full.
    pub overflows: u64,
    /// Mean backlog in bytes.
    pub mean_backlog: f64,
    /// Share of time that the backlog was above the level that was asked for.
    pub above: f64,
}

impl Buffered {
    /// Lost bytes as a share of those that arrived.
    pub fn loss(&self) -> f64 {
        self.lost / self.offered
    }
}

/// An exponential time of this mean: inversion, so that one number is drawn.
fn exponential(mean: f64, rng: &mut impl Rng) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

/// A buffer behind a line that is up or down, computed exactly: its backlog rises and falls in straight lines.
#[derive(Clone, Copy, Debug)]
pub struct Tank {
    line: OnOff,
    buffer: f64,
    level: f64,
    backlog: f64,
    area: f64,
    above: f64,
    out: Buffered,
}

impl Tank {
    /// Empty, with room for `buffer` bytes (infinite is allowed); the time above `level` bytes is counted. Of `line` only the rates are used.
    pub fn new(line: OnOff, buffer: f64, level: f64) -> Self {
        Self {
            line,
            buffer,
            level,
            backlog: 0.0,
            area: 0.0,
            above: 0.0,
            out: Buffered::default(),
        }
    }

    /// The line carries for so many seconds: the backlog falls until it is empty, and stays so.
    pub fn up(&mut self, seconds: f64) {
        let (x, fall) = (self.backlog, self.line.c - self.line.a);
        let falling = seconds.min(x / fall);
        let low = x - fall * falling;
        self.area += (x + low) / 2.0 * falling;
        self.above += ((x - self.level.max(low)) / fall).clamp(0.0, falling);
        self.backlog = if falling < seconds { 0.0 } else { low };
        self.out.seconds += seconds;
    }

    /// It carries nothing: the backlog rises until the buffer is full; what comes then is lost.
    pub fn down(&mut self, seconds: f64) {
        let (x, a) = (self.backlog, self.line.a);
        let rising = seconds.min((self.buffer - x) / a);
        // No more than fits: what rounding adds to a full buffer would be a negative time to fill it.
        let high = (x + a * rising).min(self.buffer);
        self.area += (x + high) / 2.0 * rising + high * (seconds - rising);
        self.above += ((high - self.level.max(x)) / a).clamp(0.0, rising);
        if rising < seconds {
            self.out.lost += a * (seconds - rising);
            self.out.overflows += 1;
            self.above += if high > self.level {
                seconds - rising
            } else {
                0.0
            };
        }
        self.backlog = high;
        self.out.seconds += seconds;
    }

    /// Forgets what was counted, and keeps the backlog: the end of a warm-up.
    pub fn count_from_here(&mut self) {
        (self.area, self.above, self.out) = (0.0, 0.0, Buffered::default());
    }

    /// Bytes that wait.
    pub fn backlog(&self) -> f64 {
        self.backlog
    }

    /// What was counted.
    pub fn told(&self) -> Buffered {
        Buffered {
            offered: self.line.a * self.out.seconds,
            mean_backlog: self.area / self.out.seconds,
            above: self.above / self.out.seconds,
            ..self.out
        }
    }
}

/// T3 and T3b, simulated: `cycles` times up and down, a buffer of `buffer` bytes (infinite is allowed), and the share of time
/// above `level` bytes. Begins up and empty.
pub fn on_off(line: &OnOff, buffer: f64, level: f64, cycles: u64, rng: &mut impl Rng) -> Buffered {
    let mut tank = Tank::new(*line, buffer, level);
    for _ in 0..cycles {
        tank.up(exponential(line.mtbf, rng));
        tank.down(exponential(line.mttr, rng));
    }
    tank.told()
}

/// The same fluid through given outages `(from, to)`, in order and without overlaps, in seconds since the start; counted from `warmup`
/// to `until`. Begins empty.
pub fn through(
    line: &OnOff,
    buffer: f64,
    outages: impl IntoIterator<Item = (f64, f64)>,
    warmup: f64,
    until: f64,
) -> Buffered {
    let mut tank = Tank::new(*line, buffer, f64::INFINITY);
    let mut at = 0.0;
    // Each stretch is cut where the counting begins.
    let mut pass = |from: f64, to: f64, is_up: bool| {
        for (from, to) in [(from, to.min(warmup)), (from.max(warmup), to)] {
            if from >= to {
                continue;
            }
            if from == warmup {
                tank.count_from_here();
            }
            match is_up {
                true => tank.up(to - from),
                false => tank.down(to - from),
            }
        }
    };
    for (from, to) in outages {
        let (from, to) = (from.clamp(at, until), to.clamp(at, until));
        pass(at, from, true);
        pass(from, to, false);
        at = to;
    }
    pass(at, until, true);
    tank.told()
}

/// Stretches of time `(from, to)` in which nothing waits in that fluid, from `begin` to `until`, without limit to the buffer.
pub fn empty(
    line: &OnOff,
    outages: impl IntoIterator<Item = (f64, f64)>,
    begin: f64,
    until: f64,
) -> Vec<(f64, f64)> {
    let mut tank = Tank::new(*line, f64::INFINITY, f64::INFINITY);
    let mut all = Vec::new();
    let mut at = 0.0;
    for (from, to) in outages.into_iter().chain([(until, until)]) {
        let (from, to) = (from.clamp(at, until), to.clamp(at, until));
        let since = f64::max(begin, at + tank.backlog() / (line.c - line.a));
        if since < from {
            all.push((since, from));
        }
        tank.up(from - at);
        tank.down(to - from);
        at = to;
    }
    all
}

/// T13, simulated: share of `seconds` without a line. Each line is up and down for exponential times (means in seconds); the second
/// one carries from `takeover` seconds after the first one failed, while it is up itself.
pub fn two_lines(
    first: (f64, f64),
    second: (f64, f64),
    takeover: f64,
    seconds: f64,
    rng: &mut impl Rng,
) -> f64 {
    // The second line's outages, walked along with those of the first.
    let (mut down_from, mut down_to) = (0.0f64, 0.0f64);
    let (mut at, mut without) = (0.0, 0.0);
    while at < seconds {
        let from = at + exponential(first.0, rng);
        let to = from + exponential(first.1, rng);
        let carries = (from + takeover).min(to);
        without += carries - from;
        // What is left of this outage is covered but for the second line's own outages.
        while down_from < to {
            without += (down_to.min(to) - f64::max(down_from, carries)).max(0.0);
            if down_to >= to {
                break;
            }
            down_from = down_to + exponential(second.0, rng);
            down_to = down_from + exponential(second.1, rng);
        }
        at = to;
    }
    without / at
}

/// T10, simulated: mean wait of `customers` at one server, by Lindley's recursion (1952). `service` draws a service time.
pub fn waits<R: Rng>(
    lambda: f64,
    service: impl Fn(&mut R) -> f64,
    customers: u64,
    rng: &mut R,
) -> f64 {
    let (mut wait, mut sum) = (0.0f64, 0.0);
    for _ in 0..customers {
        sum += wait;
        let gap = exponential(1.0 / lambda, rng);
        wait = (wait + service(rng) - gap).max(0.0);
    }
    sum / customers as f64
}

/// T2, simulated: seconds from the end of an outage of `down` seconds until the queue is empty, with Poisson arrivals.
pub fn delay_cycle<R: Rng>(
    lambda: f64,
    service: impl Fn(&mut R) -> f64,
    down: f64,
    rng: &mut R,
) -> f64 {
    let (mut at, mut free) = (exponential(1.0 / lambda, rng), down);
    // Everybody who comes before the server is idle extends the cycle.
    while at < free {
        free += service(rng);
        at += exponential(1.0 / lambda, rng);
    }
    free - down
}

/// T12, simulated: share of `packets` lost by the chain of two states, beginning in the good one.
pub fn gilbert(p: f64, r: f64, h: f64, packets: u64, rng: &mut impl Rng) -> f64 {
    let (mut bad, mut lost) = (false, 0u64);
    for _ in 0..packets {
        bad = match bad {
            true => rng.random::<f64>() >= r,
            false => rng.random::<f64>() < p,
        };
        lost += u64::from(bad && rng.random::<f64>() < h);
    }
    lost as f64 / packets as f64
}

/// T9, simulated: mean attempts of `requests` that fail with probability `p` each time, with at most `retries` retries.
pub fn attempts(p: f64, retries: i32, requests: u64, rng: &mut impl Rng) -> f64 {
    let mut tried = 0u64;
    for _ in 0..requests {
        for _ in 0..=retries {
            tried += 1;
            if rng.random::<f64>() >= p {
                break;
            }
        }
    }
    tried as f64 / requests as f64
}

/// Each form agrees with its simulation within the band of the theory page, and a broken variant does not: an oracle that
/// agrees with everything would be no oracle.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{loss, outages, queueing, retry},
        *,
    };
    use crate::world::seed;

    /// `form` is within `band` of the simulation, `broken` outside of it.
    fn check(simulated: f64, form: f64, broken: f64, band: f64) {
        let off = |theory: f64| (simulated / theory - 1.0).abs();
        assert!(
            off(form) <= band,
            "{simulated} simulated, {form} by the form"
        );
        assert!(
            off(broken) > band,
            "{simulated} simulated, {broken} agrees as well"
        );
    }

    fn rng(name: &str) -> rand_chacha::ChaCha8Rng {
        seed::stream(1, &["oracle", name])
    }

    const LINE: OnOff = OnOff {
        a: 6000.0,
        c: 32_000.0,
        mtbf: 10.0 * 3600.0,
        mttr: 7200.0,
    };

    proptest! {
        /// A buffer that is filled again and again holds no more than it does, whatever rounding says.
        #[test]
        fn a_full_buffer_stays_full(a in 1.0..3e4_f64, buffer in 1.0..1e7_f64, downs in prop::collection::vec(0.0..1e5_f64, 1..20)) {
            let mut tank = Tank::new(OnOff { a, ..LINE }, buffer, buffer / 2.0);
            for seconds in downs {
                tank.down(seconds);
                prop_assert!(tank.backlog() <= buffer);
                tank.up(1e-9);
            }
        }
    }

    #[test]
    fn t3_an_infinite_buffer() {
        let level = 43.2e6;
        let got = on_off(&LINE, f64::INFINITY, level, 400_000, &mut rng("t3"));
        let slow = OnOff {
            c: 0.9 * LINE.c,
            ..LINE
        };
        check(
            got.mean_backlog,
            LINE.mean_backlog().expect("stable"),
            slow.mean_backlog().expect("stable"),
            0.02,
        );
        check(
            got.above,
            LINE.exceeds(level).expect("stable"),
            slow.exceeds(level).expect("stable"),
            0.02,
        );
        assert_eq!((got.lost, got.overflows), (0.0, 0));
    }

    #[test]
    fn t3b_a_finite_buffer() {
        let buffer = 64.0 * 1_048_576.0;
        let got = on_off(&LINE, buffer, 0.0, 400_000, &mut rng("t3b"));
        assert!(got.overflows > 10_000, "{got:?}");
        // The rate of the line hardly matters to the loss, which is a finding; what arrives does.
        let quiet = OnOff {
            a: 0.9 * LINE.a,
            ..LINE
        };
        check(
            got.loss(),
            LINE.loss(buffer).expect("stable"),
            quiet.loss(buffer).expect("stable"),
            0.015,
        );
        assert!(got.mean_backlog < buffer);
    }

    /// Given outages and drawn ones are the same fluid; a warm-up is not counted, and its backlog is there.
    #[test]
    fn given_outages_are_the_same_fluid() {
        let line = OnOff {
            a: 1.0,
            c: 3.0,
            ..LINE
        };
        // Down for 10 s from 5 s: 10 bytes, gone at 20 s.
        let got = through(&line, f64::INFINITY, [(5.0, 15.0)], 0.0, 25.0);
        assert_eq!((got.mean_backlog, got.lost), (75.0 / 25.0, 0.0));
        let late = through(&line, f64::INFINITY, [(5.0, 15.0)], 15.0, 25.0);
        assert_eq!((late.mean_backlog, late.seconds), (25.0 / 10.0, 10.0));
        // Room for 4 bytes: 6 are lost, 5 of them after 10 s; 10 arrive from then on.
        let full = through(&line, 4.0, [(5.0, 15.0)], 10.0, 20.0);
        assert_eq!((full.lost, full.offered, full.overflows), (5.0, 10.0, 1));
        let calm = empty(&line, [(5.0, 15.0)], 2.0, 25.0);
        assert_eq!(calm, [(2.0, 5.0), (20.0, 25.0)]);
        // An outage that never ends, and one that begins after the end.
        let dark = through(
            &line,
            f64::INFINITY,
            [(5.0, 99.0), (120.0, 130.0)],
            0.0,
            25.0,
        );
        assert_eq!((dark.mean_backlog, dark.seconds), (200.0 / 25.0, 25.0));
    }

    #[test]
    fn t2_a_server_that_was_down() {
        // Exponential service of 1 s at half load, 30 s of outage: mean 30 s, variance 240 s^2.
        let mut rng = rng("t2");
        let n = 40_000;
        let all: Vec<f64> = (0..n)
            .map(|_| delay_cycle(0.5, |rng| exponential(1.0, rng), 30.0, &mut rng))
            .collect();
        let mean = all.iter().sum::<f64>() / f64::from(n);
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n - 1);
        let form = outages::cycle_mean(0.5, 30.0).expect("stable");
        check(
            mean,
            form,
            outages::cycle_mean(0.45, 30.0).expect("stable"),
            0.01,
        );
        let form = outages::cycle_variance(0.5, 2.0, 0.5, 30.0).expect("stable");
        // A service that never varies has half of it.
        let broken = outages::cycle_variance(0.5, 1.0, 0.5, 30.0).expect("stable");
        check(variance, form, broken, 0.05);
    }

    #[test]
    fn t9_a_share_is_refused() {
        let mut rng = rng("t9");
        check(
            attempts(0.3, 3, 200_000, &mut rng),
            retry::attempts(0.3, 3),
            retry::attempts(0.4, 3),
            0.01,
        );
        check(
            attempts(0.5, 100, 200_000, &mut rng),
            retry::attempts_unlimited(0.5, 1.0, 100.0).expect("stable"),
            retry::attempts(0.5, 2),
            0.01,
        );
    }

    #[test]
    fn t10_a_queue_in_steady_state() {
        let wait = waits(0.7, |_| 1.0, 1_000_000, &mut rng("t10"));
        let form = queueing::mean_wait(0.7, 1.0, 1.0).expect("stable");
        // Exponential service waits twice as long.
        let broken = queueing::mean_wait(0.7, 1.0, 2.0).expect("stable");
        check(wait, form, broken, 0.02);
    }

    #[test]
    fn t12_losses_in_bursts() {
        let share = gilbert(0.002, 0.1, 0.5, 3_000_000, &mut rng("t12"));
        check(
            share,
            loss::gilbert_mean(0.002, 0.1, 0.5),
            // Independent losses of the bad state's size.
            loss::gilbert_mean(0.002, 0.1, 0.6),
            0.05,
        );
    }

    #[test]
    fn t13_two_lines() {
        let (wired, lte) = ((30.0 * 3600.0, 7200.0), (10.0 * 3600.0, 3600.0));
        let share = two_lines(wired, lte, 600.0, 3e9, &mut rng("t13"));
        let form = outages::downtime_with_failover(wired, lte, 600.0);
        let broken = outages::downtime_with_failover(wired, lte, 300.0);
        check(share, form, broken, 0.02);
    }
}
