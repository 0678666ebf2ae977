//! What is counted while a load runs, and what its result says.
//!
//! Sans-IO: `drive` tells it what happened. Latencies are HdrHistograms of microseconds with three digits. An item is acknowledged,
//! rejected, refused, unanswered or not sent, and only acknowledged ones stand in the receipt.

use std::{collections::BTreeMap, time::Duration};

use backroom_collector::core::ranges::Ranges;
use backroom_reports::{
    human,
    load::{Quantiles, per_second},
};
use hdrhistogram::Histogram;

use super::{client::Answer, receipt};
use crate::store::telemetry::source::Ticket;

/// An hour: a request is given up long before.
const VALUE_US_MAX: u64 = 3600 * 1_000_000;

/// Different reasons that are told apart; further ones are counted together.
const REASONS_MAX: usize = 32;

/// Holes between acknowledged items that are kept for a receipt: about 100 MB.
const HOLES_MAX: u64 = 1_000_000;

/// A histogram of times.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let empty = Histogram::new_with_bounds(1, VALUE_US_MAX, 3);
        Self(empty.expect("these bounds are right"))
    }
}

impl Latencies {
    /// So many of one length; longer ones than an hour count as an hour.
    pub fn add(&mut self, length: Duration, count: u64) {
        let us = u64::try_from(length.as_micros()).unwrap_or(VALUE_US_MAX);
        self.0.saturating_record_n(us.clamp(1, VALUE_US_MAX), count);
    }

    /// In seconds.
    pub fn quantiles(&self) -> Quantiles {
        let seconds = |us: u64| us as f64 / 1e6;
        let at = |q: f64| match self.0.is_empty() {
            true => 0.0,
            false => seconds(self.0.value_at_quantile(q)),
        };
        Quantiles {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }
}

/// Where the time of a request went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// Encoding and compressing it.
    pub(super) making: Duration,
    /// From sending to its answer.
    pub(super) waiting: Duration,
    /// From when it was due to its answer.
    pub(super) from_due: Duration,
    /// How late it was sent for the generator's own reasons; `None` where its connection was busy.
    pub(super) own_lateness: Option<Duration>,
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent_items: u64,
    pub(super) acked_items: u64,
    pub(super) rejected_items: u64,
    pub(super) unanswered_items: u64,
    pub(super) sent_requests: u64,
    pub(super) acked_requests: u64,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) raw_bytes: u64,
    pub(super) body_bytes: u64,
    pub(super) latency: Latencies,
    pub(super) service_time: Latencies,
    pub(super) own_lateness: Latencies,
    pub(super) making: Duration,
    pub(super) waiting: Duration,
    pub(super) acked: Ranges,
    /// Ranges that could not be kept: the receipt would be wrong.
    pub(super) is_receipt_full: bool,
    holes: u64,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Items sent.
    pub sent_items: u64,
    /// Items acknowledged.
    pub acked_items: u64,
    /// Requests that were not acknowledged.
    pub failed_requests: u64,
    /// How far it is behind its schedule.
    pub behind: Duration,
    /// 99 % of latencies so far, in seconds.
    pub latency_p99: f64,
}

impl Tally {
    /// A request has ended.
    pub(super) fn add(
        &mut self,
        run: u16,
        ticket: &Ticket,
        bytes: (u64, u64),
        answer: Answer,
        times: Times,
    ) {
        let items = u64::from(ticket.items);
        self.making += times.making;
        self.waiting += times.waiting;
        if let Some(lateness) = times.own_lateness {
            self.own_lateness.add(lateness, 1);
        }
        if !matches!(answer, Answer::Unreachable(_)) {
            self.sent_items += items;
            self.sent_requests += 1;
            self.raw_bytes += bytes.0;
            self.body_bytes += bytes.1;
        }
        match answer {
            Answer::Acked { rejected } => {
                self.acked_requests += 1;
                let rejected = rejected.min(items);
                self.rejected_items += rejected;
                self.acked_items += items - rejected;
                self.latency.add(times.from_due, 1);
                self.service_time.add(times.waiting, 1);
                if rejected == 0 {
                    self.keep(run, ticket);
                }
            }
            Answer::Refused(why) => self.refuse(why),
            Answer::Unreachable(why) => self.refuse(why),
            Answer::Unanswered(why) => {
                self.unanswered_items += items;
                self.refuse(why);
            }
        }
    }

    /// For the receipt. A request of which some items were rejected is left out: nobody says which.
    fn keep(&mut self, run: u16, ticket: &Ticket) {
        // Each failed request makes at most one hole.
        self.holes = self.refused.values().sum();
        match self.holes <= HOLES_MAX {
            true => self.acked.insert(&receipt::range(
                run,
                ticket.store,
                ticket.first,
                ticket.items,
            )),
            false => self.is_receipt_full = true,
        }
    }

    fn refuse(&mut self, why: String) {
        let why = match self.refused.len() < REASONS_MAX || self.refused.contains_key(&why) {
            true => why,
            false => "of other kinds".into(),
        };
        *self.refused.entry(why).or_default() += 1;
    }

    pub(super) fn failed_requests(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// What the end of a load is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) seconds: f64,
    pub(super) due_items: u64,
    pub(super) asked: Option<f64>,
    pub(super) acked_per_second: f64,
    pub(super) behind_seconds: f64,
    pub(super) waiting_share: f64,
    pub(super) making_share: f64,
    pub(super) own_lateness_p99: f64,
}

/// The least share of what was due that must be acknowledged: below it the target did not keep up.
const KEEPS_UP: f64 = 0.99;

/// Own lateness that makes latencies doubtful. Timers are exact to 1 ms.
const LATE_SECONDS: f64 = 0.01;

/// What is wrong, in sentences.
pub(super) fn findings(tally: &Tally, end: &End) -> Vec<String> {
    let mut list = Vec::new();
    let count = |n: u64| human::count(n as f64);
    let failed = tally.failed_requests();
    if tally.acked_requests == 0 {
        let why = match tally.refused.iter().max_by_key(|(_, n)| **n) {
            Some((why, _)) => format!("mostly {why}"),
            None => "nothing was sent".into(),
        };
        list.push(format!("nothing was acknowledged; {why}"));
    } else if (tally.acked_items as f64) < KEEPS_UP * end.due_items as f64 {
        let share = tally.acked_items as f64 / end.due_items.max(1) as f64;
        let rate = end.asked.map_or(String::new(), |asked| {
            format!(
                ", {} of {}",
                per_second(end.acked_per_second),
                per_second(asked)
            )
        });
        list.push(format!(
            "{} of what was due was acknowledged{rate}",
            human::fraction((share * 1e3).floor() / 1e3)
        ));
    }
    // Two intervals of a stock exporter: less is jitter.
    if end.asked.is_some() && end.behind_seconds > (0.01 * end.seconds).max(0.1) {
        let who = match end.making_share > end.waiting_share {
            true => {
                "the generator is the limit: its connections were busy making requests; give it more processors, or --compression none"
            }
            false => {
                "its connections were busy waiting for answers: the target is the limit, or there are too few --connections"
            }
        };
        list.push(format!(
            "{} behind at the end, {} items not sent; {who}",
            human::seconds(end.behind_seconds),
            count(end.due_items.saturating_sub(tally.sent_items))
        ));
    }
    if failed > 0 && tally.acked_requests > 0 {
        list.push(format!("{} requests were not acknowledged", count(failed)));
    }
    if tally.rejected_items > 0 {
        list.push(format!(
            "{} items were rejected (partial_success)",
            count(tally.rejected_items)
        ));
    }
    if end.own_lateness_p99 > LATE_SECONDS {
        list.push(format!(
            "the generator itself was late by {} (p99): this machine is too busy for these latencies to be believed",
            human::seconds(end.own_lateness_p99)
        ));
    }
    if tally.is_receipt_full {
        list.push(format!(
            "more than {HOLES_MAX} requests were not acknowledged: the receipt is incomplete"
        ));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::telemetry::source::Source;

    const GOOD: End = End {
        seconds: 10.0,
        due_items: 0,
        asked: Some(1_000.0),
        acked_per_second: 990.0,
        behind_seconds: 0.0,
        waiting_share: 0.4,
        making_share: 0.1,
        own_lateness_p99: 0.001,
    };

    fn tally(answers: &[Answer]) -> Tally {
        let machines = [("pos".to_owned(), "pos-1".to_owned())];
        let mut source = Source::new(7, 1, &machines, 4_000);
        let mut tally = Tally::default();
        for answer in answers {
            let ticket = source.ticket().expect("numbers are left");
            let times = Times {
                waiting: Duration::from_millis(2),
                from_due: Duration::from_millis(5),
                ..Times::default()
            };
            tally.add(7, &ticket, (4_000, 900), answer.clone(), times);
        }
        tally
    }

    fn acked() -> Answer {
        Answer::Acked { rejected: 0 }
    }

    #[test]
    fn only_what_was_acknowledged_stands_in_the_receipt() {
        let tally = tally(&[
            acked(),
            Answer::Refused("503".into()),
            acked(),
            Answer::Unanswered("cut".into()),
            Answer::Unreachable("connect: connection refused".into()),
            Answer::Acked { rejected: 2 },
        ]);
        assert_eq!(tally.sent_requests, 5);
        assert_eq!(tally.acked_requests, 3);
        assert_eq!(tally.rejected_items, 2);
        assert_eq!(tally.acked.iter().count(), 2);
        assert_eq!(tally.failed_requests(), 3);
        assert!(tally.unanswered_items > 0);
        let latency = tally.latency.quantiles();
        assert_eq!(latency.count, 3);
        assert!((latency.p50 - 0.005).abs() < 1e-4, "{latency:?}");
    }

    #[test]
    fn a_load_says_who_is_behind() {
        let check = |answers: &[Answer], end: End, expect: &[&str]| {
            let tally = tally(answers);
            let end = End {
                due_items: match end.due_items {
                    0 => tally.sent_items,
                    n => n,
                },
                ..end
            };
            let found = findings(&tally, &end);
            assert_eq!(found.len(), expect.len(), "{found:?}");
            for (found, expect) in found.iter().zip(expect) {
                assert!(found.contains(expect), "{found}");
            }
        };
        let good = vec![acked(); 200];
        check(&good, GOOD, &[]);
        let slow = End {
            due_items: 1_000_000,
            behind_seconds: 4.0,
            ..GOOD
        };
        check(&good, slow, &["of what was due", "too few --connections"]);
        let busy = End {
            making_share: 0.9,
            ..slow
        };
        check(
            &good,
            busy,
            &["990 items/s of 1,000 items/s", "the generator is the limit"],
        );
        let late = End {
            own_lateness_p99: 0.2,
            ..GOOD
        };
        check(&good, late, &["the generator itself was late by 200ms"]);
        let refused = vec![Answer::Refused("429".into()); 3];
        check(&refused, GOOD, &["nothing was acknowledged; mostly 429"]);
        let some = [vec![acked(); 200], vec![Answer::Refused("429".into())]].concat();
        check(&some, GOOD, &["1 requests were not acknowledged"]);
    }

    #[test]
    fn reasons_are_bounded() {
        let mut tally = Tally::default();
        for n in 0..1_000 {
            tally.refuse(n.to_string());
        }
        assert_eq!(tally.refused.len(), REASONS_MAX + 1);
        assert_eq!(tally.failed_requests(), 1_000);
    }
}
