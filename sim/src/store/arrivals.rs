//! When customers come to one machine, store-local time: the arrival process of `[traffic.orders]`, and of records of telemetry
//! (`telemetry::volume`).
//!
//! A process is a rate over time and a way to place arrivals under it: an amount of expected customers has to pass until the next
//! one comes, one each time (`constant`) or drawn (`poisson`). What bursts changes the rate: by a factor for each interval
//! (`negbin`), or while there is a rush (`mmpp`). Machines share a store's customers, so what is said of the store is true of
//! all machines together. Sans-IO: it is asked for the next arrival. Next: `orders`, which takes them.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::Distribution as _;

use crate::{
    scenario::{OrderArrivals, Orders, Profile, Scenario},
    world::seed,
};

/// One machine's customers.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// Customers per second at the profile's peak.
    peak: f64,
    profile: Option<Profile>,
    start: jiff::ZonedDateTime,
    /// Virtual time at which they stop.
    end: Duration,
    rng: ChaCha8Rng,
    /// The hour last looked at: from, to, rate.
    hour: (Duration, Duration, f64),
    how: How,
}

/// What is added to a plain Poisson process.
#[derive(Debug)]
enum How {
    Poisson,
    /// The last arrival; the first one falls anywhere within a spacing, or all machines would move in step.
    Constant(Option<Duration>),
    Bursts(Bursts),
    Rushes(Rushes),
    /// Those of this machine, and how many have come.
    Listed(Vec<Duration>, usize),
}

/// 1 s: two listed customers of one instant are served one after the other.
const PATIENCE: Duration = Duration::from_secs(1);

/// When things come to a whole store.
#[derive(Clone, Debug)]
pub(crate) struct Process<'a> {
    pub(crate) arrivals: &'a OrderArrivals,
    /// At the profile's peak; not looked at where they are listed.
    pub(crate) peak_per_second: f64,
    pub(crate) profile: Option<Profile>,
    /// What has the rushes of the whole store in common.
    pub(crate) purpose: &'a str,
}

/// Which machine it is, of those that share a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) of: usize,
}

impl Arrivals {
    /// The customers of one machine. `rng` is its own; `run_seed` gives what the whole store has in common.
    pub(crate) fn new(
        scenario: &Scenario,
        orders: &Orders,
        place: Place,
        run_seed: u64,
        rng: ChaCha8Rng,
        bursts: ChaCha8Rng,
    ) -> Self {
        let process = Process {
            arrivals: &orders.arrivals,
            peak_per_second: orders.peak_per_hour / 3600.0,
            profile: orders.profile.clone(),
            purpose: "traffic.orders",
        };
        Self::of_process(scenario, process, place, run_seed, rng, bursts)
    }

    /// One machine's share of any process.
    pub(crate) fn of_process(
        scenario: &Scenario,
        process: Process<'_>,
        place: Place,
        run_seed: u64,
        rng: ChaCha8Rng,
        bursts: ChaCha8Rng,
    ) -> Self {
        let share = 1.0 / place.of as f64;
        let how = match process.arrivals {
            OrderArrivals::Poisson => How::Poisson,
            OrderArrivals::Constant => How::Constant(None),
            OrderArrivals::NegBin { dispersion, per } => {
                How::Bursts(Bursts::new(dispersion * share, *per, bursts))
            }
            OrderArrivals::Mmpp { calm, rush, factor } => {
                let rng = seed::stream(run_seed, &["store", process.purpose, "mmpp"]);
                How::Rushes(Rushes::new(*calm, *rush, *factor, rng))
            }
            OrderArrivals::At(all) => {
                let mine = all.iter().skip(place.index).step_by(place.of);
                How::Listed(mine.copied().collect(), 0)
            }
        };
        Self {
            peak: process.peak_per_second * share,
            profile: process.profile,
            start: scenario.start.clone(),
            end: scenario.duration,
            rng,
            hour: (Duration::ZERO, Duration::ZERO, 0.0),
            how,
        }
    }

    /// A plain Poisson process at a rate per hour at the profile's peak.
    pub(crate) fn of(
        scenario: &Scenario,
        peak_per_hour: f64,
        profile: Option<Profile>,
        rng: ChaCha8Rng,
    ) -> Self {
        Self {
            peak: peak_per_hour / 3600.0,
            profile,
            start: scenario.start.clone(),
            end: scenario.duration,
            rng,
            hour: (Duration::ZERO, Duration::ZERO, 0.0),
            how: How::Poisson,
        }
    }

    /// The first arrival after `from`; `None` if none comes before the end. Ask with growing times.
    pub(crate) fn next(&mut self, from: Duration) -> Option<Duration> {
        // Time change: this much of expected customers has to pass.
        let mut left: f64 = match &mut self.how {
            How::Listed(all, taken) => {
                // Nobody waits for a machine that is down: whoever came meanwhile has left.
                let gone = |at: &&Duration| **at + PATIENCE < from;
                *taken += all[*taken..].iter().take_while(gone).count();
                let at = all.get(*taken).copied()?;
                *taken += 1;
                return (at < self.end).then_some(at);
            }
            How::Constant(None) => self.rng.random(),
            How::Constant(Some(_)) => 1.0,
            _ => rand_distr::Exp1.sample(&mut self.rng),
        };
        let mut at = match self.how {
            // From the last arrival, not from when it was taken: the spacing does not drift.
            How::Constant(Some(last)) => last,
            _ => from,
        };
        while at < self.end {
            let (until, rate) = self.rate(at);
            let span = (until - at).as_secs_f64();
            if rate * span >= left {
                let arrival = at + Duration::from_secs_f64(left / rate);
                if let How::Constant(last) = &mut self.how {
                    *last = Some(arrival);
                }
                return (arrival < self.end).then_some(arrival);
            }
            left -= rate * span;
            at = until;
        }
        None
    }

    /// The rate at a virtual time, and until when it holds.
    fn rate(&mut self, at: Duration) -> (Duration, f64) {
        let (until, rate) = self.plain_rate(at);
        let (change, factor) = match &mut self.how {
            How::Bursts(bursts) => bursts.at(at),
            How::Rushes(rushes) => rushes.at(at),
            _ => return (until, rate),
        };
        (until.min(change), rate * factor)
    }

    fn plain_rate(&mut self, at: Duration) -> (Duration, f64) {
        let Some(profile) = &self.profile else {
            return (self.end.max(at), self.peak);
        };
        if !(self.hour.0..self.hour.1).contains(&at) {
            let local = self
                .start
                .checked_add(at)
                .expect("a run ends before the year 9999");
            let into = Duration::new(
                u64::from(local.minute().unsigned_abs()) * 60
                    + u64::from(local.second().unsigned_abs()),
                local.subsec_nanosecond().unsigned_abs(),
            );
            let day = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
            let hour = usize::from(local.hour().unsigned_abs());
            let rate = self.peak * profile.hours[hour] * profile.days[day];
            let left = Duration::from_secs(3600).saturating_sub(into);
            self.hour = (at, at + left.max(Duration::from_millis(1)), rate);
        }
        (self.hour.1, self.hour.2)
    }
}

/// `negbin`: in each interval the rate is multiplied by a gamma variate of mean 1, so that the count of an interval is negative
/// binomial: a gamma mixture of Poisson counts (Greenwood and Yule 1920). Counts of machines that share the dispersion add up to
/// a negative binomial of the whole.
#[derive(Debug)]
struct Bursts {
    gamma: rand_distr::Gamma<f64>,
    per: Duration,
    rng: ChaCha8Rng,
    /// End of the interval last looked at, and its factor.
    now: (Duration, f64),
}

impl Bursts {
    fn new(dispersion: f64, per: Duration, rng: ChaCha8Rng) -> Self {
        Self {
            gamma: rand_distr::Gamma::new(dispersion, 1.0 / dispersion)
                .expect("the reader takes a dispersion above zero only"),
            per,
            rng,
            now: (Duration::ZERO, 1.0),
        }
    }

    fn at(&mut self, at: Duration) -> (Duration, f64) {
        if at >= self.now.0 {
            let index = (at.as_nanos() / self.per.as_nanos()) as u32;
            self.now = (self.per * (index + 1), self.gamma.sample(&mut self.rng));
        }
        self.now
    }
}

/// `mmpp`: calm and rush, each of an exponential length, and customers that come `factor` times as fast in a rush. The mean over
/// time is the declared rate. A Markov-modulated Poisson process of two states (Fischer and Meier-Hellstern 1993). One timeline for
/// the whole store: a bus stops for all tills.
#[derive(Debug)]
struct Rushes {
    /// Mean seconds of each state, calm first.
    stay: [f64; 2],
    /// Factor of each state.
    rate: [f64; 2],
    rng: ChaCha8Rng,
    /// The state last looked at: its end, and whether it is a rush.
    now: (Duration, bool),
}

impl Rushes {
    fn new(calm: Duration, rush: Duration, factor: f64, mut rng: ChaCha8Rng) -> Self {
        let stay = [calm.as_secs_f64(), rush.as_secs_f64()];
        let total = stay[0] + stay[1];
        let slow = total / (stay[0] + stay[1] * factor);
        // It may begin with either, by how long they last.
        let rush = rng.random::<f64>() * total < stay[1];
        let mut rushes = Self {
            stay,
            rate: [slow, slow * factor],
            rng,
            now: (Duration::ZERO, !rush),
        };
        rushes.change();
        rushes
    }

    fn change(&mut self) {
        let rush = !self.now.1;
        let unit: f64 = rand_distr::Exp1.sample(&mut self.rng);
        let stay = Duration::from_secs_f64((unit * self.stay[usize::from(rush)]).clamp(1e-3, 1e9));
        self.now = (self.now.0 + stay, rush);
    }

    fn at(&mut self, at: Duration) -> (Duration, f64) {
        while at >= self.now.0 {
            self.change();
        }
        (self.now.0, self.rate[usize::from(self.now.1)])
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::{dist::Dist, metric::fixture};

    const HOUR: Duration = Duration::from_secs(3600);

    /// One of `of` machines of a store with 180 orders an hour, from 11:30 on a Friday.
    fn machine(
        arrivals: OrderArrivals,
        profile: Option<Profile>,
        end: Duration,
        place: Place,
    ) -> Arrivals {
        let orders = Orders {
            from: Vec::new(),
            arrivals,
            peak_per_hour: 180.0,
            profile,
            items: Dist::Const(1.0),
            flow: Vec::new(),
        };
        let mut scenario = fixture::scenario();
        scenario.duration = end;
        let rng = |n: u8| ChaCha8Rng::from_seed([n + place.index as u8; 32]);
        Arrivals::new(&scenario, &orders, place, 7, rng(3), rng(103))
    }

    const ALONE: Place = Place { index: 0, of: 1 };

    fn all(mut arrivals: Arrivals) -> Vec<Duration> {
        let (mut at, mut all) = (Duration::ZERO, Vec::new());
        while let Some(next) = arrivals.next(at) {
            assert!(next >= at);
            at = next + Duration::from_nanos(1);
            all.push(next);
        }
        all
    }

    #[test]
    fn customers_come_at_the_declared_rate_and_stop_at_the_end() {
        let got = all(machine(OrderArrivals::Poisson, None, 100 * HOUR, ALONE)).len();
        // 18,000 expected; four standard deviations are 537.
        assert!((17_463..=18_537).contains(&got), "{got}");
        let mut short = machine(OrderArrivals::Poisson, None, HOUR, ALONE);
        assert_eq!(short.next(HOUR), None);
    }

    #[test]
    fn the_profile_is_read_in_store_time() {
        let mut profile = Profile {
            hours: [0.0; 24],
            days: [1.0; 7],
        };
        profile.hours[12] = 1.0;
        profile.days[5] = 0.0;
        // From 11:30: nobody for half an hour, then one busy hour; nobody on Saturday.
        let mut arrivals = machine(OrderArrivals::Poisson, Some(profile), 48 * HOUR, ALONE);
        let first = arrivals.next(Duration::ZERO).expect("somebody comes");
        assert!((HOUR / 2..HOUR * 3 / 2).contains(&first), "{first:?}");
        assert_eq!(arrivals.next(HOUR * 3 / 2), None);
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        let got = all(machine(OrderArrivals::Constant, None, 10 * HOUR, ALONE));
        assert_eq!(got.len(), 1800);
        assert!(got[0] < Duration::from_secs(20));
        for pair in got.windows(2) {
            let gap = (pair[1] - pair[0]).as_secs_f64();
            assert!((gap - 20.0).abs() < 1e-6, "{gap}");
        }
    }

    /// Mean and variance of a store's counts by `per`, from three machines together.
    fn counts(arrivals: &OrderArrivals, per: Duration) -> (f64, f64) {
        let intervals = 6_000;
        let end = per * intervals;
        let mut counts = vec![0.0; intervals as usize];
        for index in 0..3 {
            let place = Place { index, of: 3 };
            for at in all(machine(arrivals.clone(), None, end, place)) {
                counts[(at.as_nanos() / per.as_nanos()) as usize] += 1.0;
            }
        }
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        let squares: f64 = counts.iter().map(|c| (c - mean) * (c - mean)).sum();
        (mean, squares / counts.len() as f64)
    }

    /// Guarantees: the counts of the whole store have the variance that its dispersion says: `m + m^2 / k`.
    #[test]
    fn negative_binomial_counts_spread_as_they_should() {
        let per = Duration::from_secs(300);
        let arrivals = OrderArrivals::NegBin {
            dispersion: 2.0,
            per,
        };
        let (mean, variance) = counts(&arrivals, per);
        assert!((mean / 15.0 - 1.0).abs() < 0.03, "{mean}");
        let expect = 15.0 + 15.0 * 15.0 / 2.0;
        assert!((variance / expect - 1.0).abs() < 0.08, "{variance}");
        let (_, poisson) = counts(&OrderArrivals::Poisson, per);
        assert!((poisson / 15.0 - 1.0).abs() < 0.08, "{poisson}");
    }

    /// Guarantees: rushes do not change the rate over time, and all machines have them at once.
    #[test]
    fn rushes_are_the_store_s() {
        let arrivals = OrderArrivals::Mmpp {
            calm: Duration::from_secs(1200),
            rush: Duration::from_secs(300),
            factor: 6.0,
        };
        let (mean, variance) = counts(&arrivals, Duration::from_secs(60));
        assert!((mean / 3.0 - 1.0).abs() < 0.1, "{mean}");
        // Factors 0.5 and 3 for four fifths and a fifth of the time: variance 1 of the factor, and some change within a minute.
        assert!((9.0..13.0).contains(&variance), "{variance}");
    }

    #[test]
    fn listed_arrivals_go_round() {
        let s = Duration::from_secs;
        let list: Vec<Duration> = [10, 20, 30, 40, 50, 7200].map(s).to_vec();
        let of = |index| {
            let arrivals = OrderArrivals::At(list.clone().into());
            all(machine(arrivals, None, HOUR, Place { index, of: 2 }))
        };
        assert_eq!(of(0), [10, 30, 50].map(s));
        assert_eq!(of(1), [20, 40].map(s), "the last one is after the end");
        let mut late = machine(OrderArrivals::At(list.into()), None, HOUR, ALONE);
        assert_eq!(late.next(s(25)), Some(s(30)), "nobody waits for a machine");
    }
}
