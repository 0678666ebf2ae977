//! When faults happen: the plan that a file gives, and the windows that a seed makes of it.
//!
//! A fault begins at a time, some time after another one begins or ends, or at random. Random ones are an alternating renewal
//! process (Cox, "Renewal Theory", 1962): up for a time drawn from `mtbf`, down for one drawn from `mttr` or for a fixed time, from
//! the start of the run on; each fault has its own stream, so another fault more changes nothing for the rest. A time relative to
//! a fault that happens several times means each time, unless the fault has its own `every`, which counts from the first.
//! `until X.end` means that occurrence's end where the fault also begins after `X`, and X's next end otherwise.
//!
//! Pure: the same plan and seed give the same windows. What is wrong with a time is told in `resolve::faults`.

use std::{borrow::Cow, time::Duration};

use super::{FaultWindow, Scenario, time::Clock};
use crate::{dist::Dist, world::seed};

/// Most occurrences of one fault in one run: once a minute for two months.
pub const OCCURRENCES_MAX: usize = 100_000;

/// When a fault happens, before a seed is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// When it begins.
    pub begins: Begins,
    /// How long it lasts.
    pub lasts: Length,
    /// Interval at which it happens again.
    pub every: Option<Duration>,
    /// How often at most.
    pub times: Option<usize>,
}

/// When a fault begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Begins {
    /// At a virtual time.
    At(Duration),
    /// So long after another fault, by its index, begins or ends.
    After {
        /// The other one.
        fault: usize,
        /// Whether its end is meant.
        end: bool,
        /// How much later.
        plus: Duration,
    },
    /// At random: time between the end of one and the next, seconds.
    Random(Dist),
}

/// How long a fault lasts.
#[derive(Clone, Debug, PartialEq)]
pub enum Length {
    /// It happens at an instant.
    Instant,
    /// So long.
    For(Duration),
    /// At random, seconds.
    Random(Dist),
    /// Until another fault, by its index, begins or ends.
    Until {
        /// The other one.
        fault: usize,
        /// Whether its end is meant.
        end: bool,
    },
    /// Until a time of day, in seconds since midnight.
    UntilClock(u32),
    /// It outlasts the run.
    Forever,
}

impl Plan {
    /// How often it is expected to happen in so long, for one that happens at random; the run's length over the mean of one cycle.
    pub fn expected(&self, duration: Duration) -> Option<f64> {
        let Begins::Random(mtbf) = &self.begins else {
            return None;
        };
        let lasts = match &self.lasts {
            Length::For(length) => length.as_secs_f64(),
            Length::Random(mttr) => mttr.mean(),
            _ => 0.0,
        };
        let cycle = mtbf.mean() + lasts;
        let count = duration.as_secs_f64() / cycle.max(f64::MIN_POSITIVE);
        let most = self.times.unwrap_or(OCCURRENCES_MAX).min(OCCURRENCES_MAX);
        Some(count.min(most as f64))
    }
}

/// What is known of a fault's windows.
#[derive(Clone, Debug)]
enum Known {
    Not,
    /// Asked for while it is being worked out: a circle, which `resolve` has told.
    Soon,
    Yes(Option<Vec<FaultWindow>>),
}

/// Works out the windows of all faults.
struct Occurrences<'a> {
    plans: &'a [(&'a str, Option<&'a Plan>)],
    clock: &'a Clock,
    duration: Duration,
    seed: Option<u64>,
    known: Vec<Known>,
}

/// The windows of faults `(id, plan)` that begin before the run ends, in time order and without overlaps within one fault. `None`
/// for those that only a seed can tell, where there is none.
pub fn windows(
    plans: &[(&str, Option<&Plan>)],
    clock: &Clock,
    duration: Duration,
    seed: Option<u64>,
) -> Vec<Option<Vec<FaultWindow>>> {
    let mut all = Occurrences {
        plans,
        clock,
        duration,
        seed,
        known: vec![Known::Not; plans.len()],
    };
    (0..plans.len()).map(|i| all.of(i)).collect()
}

impl Occurrences<'_> {
    fn of(&mut self, index: usize) -> Option<Vec<FaultWindow>> {
        match &self.known[index] {
            Known::Yes(windows) => return windows.clone(),
            Known::Soon => return Some(Vec::new()),
            Known::Not => {}
        }
        self.known[index] = Known::Soon;
        let windows = self.work_out(index);
        self.known[index] = Known::Yes(windows.clone());
        windows
    }

    fn work_out(&mut self, index: usize) -> Option<Vec<FaultWindow>> {
        let (id, Some(plan)) = self.plans[index] else {
            return Some(Vec::new());
        };
        let drawn = match &plan.begins {
            Begins::Random(mtbf) => self.random(id, plan, mtbf)?,
            Begins::At(at) => vec![self.window(plan, *at, None)?],
            Begins::After { fault, end, plus } => {
                let others = self.of(*fault)?;
                let mut list = Vec::new();
                for other in others {
                    let from = match end {
                        true => other.end,
                        false => Some(other.start),
                    };
                    if let Some(from) = from {
                        let of = Some((*fault, other));
                        list.push(self.window(plan, from.saturating_add(*plus), of)?);
                    }
                }
                list
            }
        };
        let mut list: Vec<FaultWindow> = match plan.every {
            None => drawn.into_iter().flatten().collect(),
            Some(every) => {
                let first = drawn.into_iter().flatten().next();
                let nth = |n: u32| -> Option<FaultWindow> {
                    let (first, by) = (first?, every.checked_mul(n)?);
                    Some(FaultWindow {
                        start: first.start.checked_add(by)?,
                        end: first.end.map(|end| end.saturating_add(by)),
                    })
                };
                let all = (0..u32::MAX).map_while(nth);
                let most = if every.is_zero() { 1 } else { OCCURRENCES_MAX };
                all.take_while(|w| w.start < self.duration)
                    .take(most)
                    .collect()
            }
        };
        list.truncate(plan.times.unwrap_or(OCCURRENCES_MAX).min(OCCURRENCES_MAX));
        let mut free = Some(Duration::ZERO);
        list.retain(|window| {
            // One that begins before the last one has ended does not happen.
            let happens = free.is_some_and(|free| window.start >= free);
            let happens = happens && window.start < self.duration;
            if happens {
                free = window.end;
            }
            happens
        });
        Some(list)
    }

    /// One window: `None` if only a seed can tell, `Some(None)` if it does not happen. `of` is the occurrence it is relative to.
    fn window(
        &mut self,
        plan: &Plan,
        start: Duration,
        of: Option<(usize, FaultWindow)>,
    ) -> Option<Option<FaultWindow>> {
        let end = match &plan.lasts {
            Length::Instant => Some(start),
            Length::For(length) => Some(start.saturating_add(*length)),
            Length::Random(_) => return None,
            Length::UntilClock(second) => Some(self.clock.next(*second, start)),
            Length::Forever => None,
            Length::Until { fault, end } => {
                let edge = |w: &FaultWindow| if *end { w.end } else { Some(w.start) };
                match of.filter(|(other, _)| other == fault) {
                    Some((_, other)) => match edge(&other) {
                        Some(end) if end <= start => return Some(None),
                        end => end,
                    },
                    None => {
                        let others = self.of(*fault)?;
                        let ends = others.iter().filter_map(edge);
                        ends.filter(|end| *end > start).min()
                    }
                }
            }
        };
        Some(Some(FaultWindow { start, end }))
    }

    /// The renewal process of one fault.
    fn random(&self, id: &str, plan: &Plan, mtbf: &Dist) -> Option<Vec<Option<FaultWindow>>> {
        let mut rng = seed::stream(self.seed?, &["fault", id, "times"]);
        let mut list = Vec::new();
        let mut at = Duration::ZERO;
        while list.len() < plan.times.unwrap_or(OCCURRENCES_MAX).min(OCCURRENCES_MAX) {
            let up = mtbf.sample_duration(&mut rng);
            let start = at.saturating_add(up);
            if start >= self.duration {
                break;
            }
            let length = match &plan.lasts {
                Length::For(length) => *length,
                Length::Random(mttr) => mttr.sample_duration(&mut rng),
                _ => Duration::ZERO,
            };
            let end = start.saturating_add(length);
            list.push(Some(FaultWindow {
                start,
                end: Some(end),
            }));
            at = end;
        }
        Some(list)
    }
}

impl Scenario {
    /// The scenario as a seed has it: with the windows of faults whose times are random. The same one where none is.
    pub fn of_seed(&self, seed: u64) -> Cow<'_, Self> {
        let plans: Vec<_> = self.plans();
        let is_open = |plan: &Plan| {
            matches!(plan.begins, Begins::Random(_)) || matches!(plan.lasts, Length::Random(_))
        };
        if !plans.iter().any(|(_, plan)| plan.is_some_and(is_open)) {
            return Cow::Borrowed(self);
        }
        let clock = Clock {
            start: self.start.clone(),
        };
        let all = windows(&plans, &clock, self.duration, Some(seed));
        let mut settled = self.clone();
        for (fault, windows) in settled.faults.iter_mut().zip(all) {
            if fault.plan.is_some() {
                fault.windows = windows.unwrap_or_default();
            }
        }
        Cow::Owned(settled)
    }

    fn plans(&self) -> Vec<(&str, Option<&Plan>)> {
        let faults = self.faults.iter();
        faults.map(|f| (f.id.as_str(), f.plan.as_ref())).collect()
    }

    /// The line to head office that is used unless it fails.
    pub fn primary_line(&self) -> Option<&str> {
        if let Some(failover) = &self.failover {
            return Some(&failover.primary);
        }
        let is_to_hq = |between: &(String, String)| between.0 == "router" && between.1 == "hq";
        let mut lines = self.links.iter();
        let found = lines.find(|(_, link)| is_to_hq(&link.between) && !link.backup);
        found.map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::words;

    const S: Duration = Duration::from_secs(1);

    fn plan(begins: Begins, lasts: Length) -> Plan {
        Plan {
            begins,
            lasts,
            every: None,
            times: None,
        }
    }

    fn random(mtbf: f64, mttr: f64) -> Plan {
        let (up, down) = (Dist::Exp { mean: mtbf }, Dist::Exp { mean: mttr });
        plan(Begins::Random(up), Length::Random(down))
    }

    fn happen(
        plans: &[(&str, &Plan)],
        hours: u32,
        seed: Option<u64>,
    ) -> Vec<Option<Vec<FaultWindow>>> {
        let plans: Vec<_> = plans.iter().map(|(id, plan)| (*id, Some(*plan))).collect();
        let clock = Clock {
            start: words::start("2025-03-14T06:00:00-05:00").expect("start"),
        };
        windows(&plans, &clock, 3600 * hours * S, seed)
    }

    fn seconds(windows: &Option<Vec<FaultWindow>>) -> Vec<(u64, Option<u64>)> {
        let windows = windows.as_ref().expect("known").iter();
        windows
            .map(|w| (w.start.as_secs(), w.end.map(|e| e.as_secs())))
            .collect()
    }

    #[test]
    fn random_faults_are_a_seeds_own_and_have_their_means() {
        let outages = random(3_600.0, 900.0);
        assert!(happen(&[("a", &outages)], 1_000, None)[0].is_none());
        let one = happen(&[("a", &outages)], 1_000, Some(1));
        let beside = happen(
            &[("b", &random(60.0, 1.0)), ("a", &outages)],
            1_000,
            Some(1),
        );
        assert_eq!(one[0], beside[1], "another fault draws from its own stream");
        assert_ne!(one[0], happen(&[("a", &outages)], 1_000, Some(2))[0]);
        assert_ne!(one[0], happen(&[("other", &outages)], 1_000, Some(1))[0]);
        let list = one[0].as_ref().expect("known");
        let expected = outages.expected(3_600_000 * S).expect("random");
        assert!((expected - 800.0).abs() < 1e-9);
        assert!(
            (list.len() as f64 - expected).abs() < 85.0,
            "{}",
            list.len()
        );
        let down = list.iter().map(|w| w.end.expect("ends") - w.start);
        let mean = down.sum::<Duration>().as_secs_f64() / list.len() as f64;
        assert!((mean - 900.0).abs() < 110.0, "{mean}");
        for pair in list.windows(2) {
            assert!(pair[0].end <= Some(pair[1].start));
        }
    }

    #[test]
    fn relative_times_follow_each_occurrence() {
        let outages = random(7_200.0, 1_800.0);
        let mut cap = plan(
            Begins::After {
                fault: 0,
                end: false,
                plus: 600 * S,
            },
            Length::Until {
                fault: 0,
                end: true,
            },
        );
        let both = happen(&[("a", &outages), ("cap", &cap)], 100, Some(3));
        let (outs, caps) = (seconds(&both[0]), seconds(&both[1]));
        let long: Vec<_> = outs
            .iter()
            .filter(|(start, end)| end.is_some_and(|end| end > start + 600))
            .map(|(start, end)| (start + 600, *end))
            .collect();
        assert!(long.len() > 5 && long.len() < outs.len(), "{outs:?}");
        assert_eq!(
            caps, long,
            "those that are shorter than 10 min do not happen"
        );
        cap.times = Some(2);
        let both = happen(&[("a", &outages), ("cap", &cap)], 100, Some(3));
        assert_eq!(seconds(&both[1]), long[..2]);
        let unknown = happen(&[("a", &outages), ("cap", &cap)], 100, None);
        assert!(unknown[1].is_none());
    }

    #[test]
    fn fixed_times_need_no_seed() {
        let at = plan(Begins::At(60 * S), Length::For(30 * S));
        let again = Plan {
            every: Some(600 * S),
            ..at.clone()
        };
        let after = plan(
            Begins::After {
                fault: 0,
                end: true,
                plus: S,
            },
            Length::Until {
                fault: 0,
                end: false,
            },
        );
        let all = happen(&[("again", &again), ("after", &after)], 1, None);
        assert_eq!(seconds(&all[0]).len(), 6);
        assert_eq!(seconds(&all[0])[5], (3_060, Some(3_090)));
        // Until it begins again: that occurrence began before, so it does not happen.
        assert!(seconds(&all[1]).is_empty());
        let until = plan(
            Begins::At(100 * S),
            Length::Until {
                fault: 0,
                end: true,
            },
        );
        let all = happen(&[("again", &again), ("until", &until)], 1, None);
        assert_eq!(seconds(&all[1]), [(100, Some(690))], "its next end");
    }

    #[test]
    fn a_fault_that_never_rests_is_bounded() {
        let wild = random(1e-9, 1e-9);
        let all = happen(&[("wild", &wild)], 24 * 365, Some(1));
        assert_eq!(all[0].as_ref().map(Vec::len), Some(OCCURRENCES_MAX));
        let circle = plan(
            Begins::After {
                fault: 0,
                end: true,
                plus: S,
            },
            Length::Forever,
        );
        assert_eq!(seconds(&happen(&[("circle", &circle)], 1, None)[0]), []);
    }
}
