//! LITTLE-1: what is under way, summed over time, is the times that each thing was under way, summed over things; and at no instant has more
//! arrived than was sent.
//!
//! Source: Little 1961 (T15 of the closed forms), in its exact form for one run (Stidham 1974): no averages, no steady state. Both sides are
//! computed apart, from counters and from latencies, so a metric that forgets, repeats or misdates something breaks it. Telemetry is asked
//! where nothing was given up: what is dropped has no end, and its time is nobody's.

use std::time::Duration;

use super::{Finding, Invariant, at};
use crate::{
    metric::{SeedLog, evaluate, series::Series},
    scenario::expr::MetricRef,
};

pub(super) const LITTLE_1: Invariant = Invariant {
    id: "LITTLE-1",
    title: "what is under way agrees with how long it is under way",
    check,
};

/// What is counted in, counted out, and timed in between.
const FLOWS: [(&str, &str, &str); 2] = [
    ("order.placed", "order.booked", "order.e2e"),
    (
        "telemetry.generated",
        "telemetry.delivered",
        "telemetry.lag",
    ),
];

/// 1e-6 of the sum: a double holds a run's nanoseconds to 1e-9, and sums of millions of them to less.
const ROUNDING: f64 = 1e-6;

fn check(log: &SeedLog<'_>) -> Finding {
    let mut asked = false;
    for (sent, arrived, between) in FLOWS {
        let series = |name: &str| {
            let metric = MetricRef {
                name: name.into(),
                filters: Vec::new(),
            };
            evaluate::series(log, &metric)
        };
        let (Series::Counter(sent_at), Series::Counter(arrived_at), Series::Samples(times)) =
            (series(sent), series(arrived), series(between))
        else {
            continue;
        };
        if let Some(when) = overtaken(&sent_at, &arrived_at) {
            let message = format!("more of {arrived} than of {sent} at {}", at(when));
            return Finding::Violated { message };
        }
        let count: f64 = sent_at.iter().map(|(_, n)| n).sum();
        let timed: u64 = times.iter().map(|t| t.weight).sum();
        if count == 0.0 || timed as f64 != count {
            continue;
        }
        asked = true;
        // What passes a point weighs the time from then to the end of the run.
        let area = |steps: &[(Duration, f64)]| {
            let weight =
                |(at, n): &(Duration, f64)| log.ended_at.saturating_sub(*at).as_secs_f64() * n;
            steps.iter().map(weight).sum::<f64>()
        };
        let under_way = area(&sent_at) - area(&arrived_at);
        let under_way_each: f64 = times.iter().map(|t| t.value * t.weight as f64).sum();
        if (under_way - under_way_each).abs() > ROUNDING * area(&sent_at).max(1.0) {
            let message = format!(
                "{under_way:.3} s between {sent} and {arrived}, summed over time, and {under_way_each:.3} s of {between}"
            );
            return Finding::Violated { message };
        }
    }
    if asked {
        return Finding::Holds;
    }
    Finding::NotAsked {
        why: "there were neither orders nor telemetry, or some of it was given up".into(),
    }
}

/// The first instant after which more has arrived than was sent. What happens at one instant counts as one.
fn overtaken(sent: &[(Duration, f64)], arrived: &[(Duration, f64)]) -> Option<Duration> {
    let mut sent = sent.iter().peekable();
    let mut under_way = 0.0;
    for (at, n) in arrived {
        while let Some((_, more)) = sent.next_if(|(when, _)| when <= at) {
            under_way += more;
        }
        under_way -= n;
        if under_way < 0.0 {
            return Some(*at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::{
        event::Event,
        metric::fixture::{Log, made, received},
    };

    fn sold(order: u64, placed: f64, booked: f64) -> Log {
        Log::default()
            .at(
                placed,
                Event::OrderPlaced {
                    order,
                    at: crate::event::MachineId(1),
                },
            )
            .at(booked, Event::SaleBooked { order })
    }

    #[test]
    fn a_run_that_agrees_holds() {
        assert_eq!(message(&LITTLE_1, sold(1, 700.0, 730.0)), None);
        let log = sold(1, 700.0, 730.0)
            .at(800.0, made(0, 0, 10))
            .at(830.0, received(0, 0, 4))
            .at(930.0, received(0, 4, 6));
        assert_eq!(message(&LITTLE_1, log), None);
        // One that is still under way counts with its age.
        let open = Event::OrderPlaced {
            order: 2,
            at: crate::event::MachineId(1),
        };
        assert_eq!(
            message(&LITTLE_1, sold(1, 700.0, 730.0).at(731.0, open)),
            None
        );
    }

    /// A sale that head office booked twice, as two firsts: a counter that forgot.
    #[test]
    fn a_counter_that_forgets_violates() {
        let log = sold(1, 700.0, 730.0).at(740.0, Event::SaleBooked { order: 1 });
        let found = message(&LITTLE_1, log).expect("violates");
        assert_eq!(
            found,
            "more of order.booked than of order.placed at 740.000s"
        );
        let other = Event::OrderPlaced {
            order: 2,
            at: crate::event::MachineId(1),
        };
        let log = Log::default()
            .at(690.0, other)
            .at(
                700.0,
                Event::OrderPlaced {
                    order: 1,
                    at: crate::event::MachineId(1),
                },
            )
            .at(730.0, Event::SaleBooked { order: 1 })
            .at(740.0, Event::SaleBooked { order: 1 });
        let found = message(&LITTLE_1, log).expect("violates");
        assert!(found.contains("summed over time"), "{found}");
    }

    #[test]
    fn what_arrives_before_it_was_sent_violates() {
        let found = message(&LITTLE_1, sold(1, 700.0, 690.0));
        assert_eq!(
            found.as_deref(),
            Some("more of order.booked than of order.placed at 690.000s")
        );
    }
}
