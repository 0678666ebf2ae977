//! How much telemetry a machine owes by now: the arrival process of `[traffic.telemetry]`. Sans-IO.
//!
//! `constant` under a plain rate is a straight line. All others are records of [`RECORD_BYTES`] that come as customers do (`arrivals`):
//! independently, in bursts, in rushes of the whole store, or evenly under a rate that follows the day. Listed arrivals have a size of
//! their own, of which every machine makes its share at that time, as when all logs of a day are read out at closing time. Who
//! makes it is the maker's business, who counts from the start of its program: what a dead machine would have made is not made up for.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use crate::{
    scenario::{OrderArrivals, Scenario, Telemetry},
    store::arrivals::{Arrivals, Place, Process},
};

/// 400 B: about the mean of a span, a point or a log record on the wire. A process of arrivals is one of these.
const RECORD_BYTES: f64 = 400.0;

/// What one machine owes.
#[derive(Debug)]
pub(super) enum Volume {
    /// So many bytes a second.
    Even(f64),
    /// Records of so many bytes, the time of the next one, and what has come.
    Records {
        arrivals: Box<Arrivals>,
        bytes_each: f64,
        next: Option<Duration>,
        come: f64,
    },
}

impl Volume {
    /// The volume of machine `place`, whose program starts at `born`. The streams are its own.
    pub(super) fn new(
        scenario: &Scenario,
        traffic: &Telemetry,
        place: Place,
        run_seed: u64,
        born: Duration,
        rng: ChaCha8Rng,
        bursts: ChaCha8Rng,
    ) -> Self {
        let share = 1.0 / place.of as f64;
        if traffic.arrivals == OrderArrivals::Constant && traffic.profile.is_none() {
            return Self::Even(traffic.bytes_per_second / place.of as f64);
        }
        let (place, bytes_each) = match traffic.arrivals {
            // Every machine has its share of each.
            OrderArrivals::At(_) => (
                Place { index: 0, of: 1 },
                traffic.bytes_each.0 as f64 * share,
            ),
            _ => (place, RECORD_BYTES),
        };
        let process = Process {
            arrivals: &traffic.arrivals,
            peak_per_second: traffic.bytes_per_second / RECORD_BYTES,
            profile: traffic.profile.clone(),
            purpose: "traffic.telemetry",
        };
        let mut arrivals = Arrivals::of_process(scenario, process, place, run_seed, rng, bursts);
        let next = arrivals.next(born);
        Self::Records {
            arrivals: Box::new(arrivals),
            bytes_each,
            next,
            come: 0.0,
        }
    }

    /// Bytes that are owed since the start of the program, which was `elapsed` ago, at virtual time `now`.
    pub(super) fn owed(&mut self, elapsed: Duration, now: Duration) -> f64 {
        match self {
            Self::Even(rate) => *rate * elapsed.as_secs_f64(),
            Self::Records {
                arrivals,
                bytes_each,
                next,
                come,
            } => {
                while let Some(at) = next.filter(|at| *at <= now) {
                    *come += *bytes_each;
                    *next = arrivals.next(at);
                }
                *come
            }
        }
    }

    /// Whether what a machine made beyond its share is made up for: only where the share is the same at all times, or a quiet night
    /// would be paid for by the morning.
    pub(super) fn is_even(&self) -> bool {
        matches!(self, Self::Even(_))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::{
        metric::fixture::{s, scenario},
        scenario::Profile,
    };

    /// What all of four machines owe after each of these hours, in kilobytes, from 11:30 on a Friday.
    fn owed(arrivals: OrderArrivals, profile: Option<Profile>, hours: u32) -> Vec<f64> {
        let mut scenario = scenario();
        scenario.duration = s(86_400.0);
        let traffic = Telemetry {
            bytes_per_second: 8_000.0,
            arrivals,
            profile,
            bytes_each: backroom_collector::config::ByteSize(4_000_000),
            ..scenario.telemetry.clone().expect("it has telemetry")
        };
        let mut machines: Vec<Volume> = (0..4_usize)
            .map(|index| {
                let place = Place { index, of: 4 };
                let rng = |n| ChaCha8Rng::from_seed([n + index as u8; 32]);
                Volume::new(
                    &scenario,
                    &traffic,
                    place,
                    7,
                    Duration::ZERO,
                    rng(1),
                    rng(99),
                )
            })
            .collect();
        (1..=hours)
            .map(|hour| {
                let now = s(3_600.0) * hour;
                machines.iter_mut().map(|m| m.owed(now, now)).sum::<f64>() / 1e3
            })
            .collect()
    }

    fn near(found: f64, expect: f64, share: f64) {
        assert!(
            (found / expect - 1.0).abs() < share,
            "{found}, about {expect}"
        );
    }

    #[test]
    fn every_process_keeps_the_rate_in_the_mean() {
        let an_hour = 28_800.0;
        assert_eq!(
            owed(OrderArrivals::Constant, None, 2),
            [an_hour, 2.0 * an_hour]
        );
        near(
            owed(OrderArrivals::Poisson, None, 10)[9],
            10.0 * an_hour,
            0.01,
        );
        let bursts = OrderArrivals::NegBin {
            dispersion: 2.0,
            per: s(60.0),
        };
        near(owed(bursts, None, 20)[19], 20.0 * an_hour, 0.06);
        let rushes = OrderArrivals::Mmpp {
            calm: s(600.0),
            rush: s(60.0),
            factor: 6.0,
        };
        let by_hour = owed(rushes, None, 20);
        near(by_hour[19], 20.0 * an_hour, 0.2);
        // Some hours have more than others: all machines are in a rush together.
        let hours = by_hour.windows(2).map(|w| w[1] - w[0]);
        let (least, most) = hours.fold((f64::MAX, 0.0_f64), |(l, m), h| (l.min(h), m.max(h)));
        assert!(most > 1.3 * least, "{least} {most}");
    }

    #[test]
    fn a_profile_and_a_list_say_when() {
        let mut profile = Profile {
            hours: [0.0; 24],
            days: [1.0; 7],
        };
        (profile.hours[11], profile.hours[12]) = (0.5, 1.0);
        let by_hour = owed(OrderArrivals::Constant, Some(profile), 4);
        // Half an hour at a half, and one at the peak; then nothing.
        near(by_hour[0], 7_200.0 + 14_400.0, 0.001);
        near(by_hour[1], 7_200.0 + 28_800.0, 0.001);
        assert_eq!(by_hour[1], by_hour[3]);
        let listed = OrderArrivals::At([s(1_800.0), s(9_000.0)].into());
        assert_eq!(owed(listed, None, 3), [4_000.0, 4_000.0, 8_000.0]);
    }
}
