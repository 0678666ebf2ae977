//! What one seed looked like over time: the series that a report draws.
//!
//! Made in the worker, from the same log that metrics see, and bounded there: a log of millions of events becomes a few hundred
//! kilobytes. Nothing here judges; a verdict never depends on a plot. Next to read: `bins`, how a series becomes a track;
//! `lines`, what the links did; `latency`, quantiles by phase; `theory`, the closed form; `keep`, which seeds are kept.

mod bins;
pub mod keep;
mod latency;
mod lines;
mod theory;

use std::time::Duration;

use backroom_reports::{
    Allowance, Band, LinkUse, Plot, SeedSeries, Shape, Spot, Track, Unit, series,
};
use serde::{Deserialize, Serialize};

use crate::{
    metric::{
        SeedLog, evaluate,
        series::{Series, Timed},
        timeline,
        windows::{self, clock},
    },
    oracle::judge::OracleSample,
    scenario::{
        Expect, Scenario,
        expr::{Function, MetricRef},
    },
};

pub(crate) use latency::Samples;

/// What one seed contributes to the series of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedPlots {
    /// Itself over time.
    pub series: SeedSeries,
    /// Its latencies by phase, to be put together with those of the other seeds.
    pub(crate) latencies: Vec<Samples>,
    /// What its links carried.
    pub links: Vec<LinkUse>,
    /// What it used of an allowance.
    pub allowances: Vec<Allowance>,
}

/// Draws a seed. `oracles` are its samples, in file order.
pub fn of(log: &SeedLog<'_>, oracles: &[OracleSample]) -> SeedPlots {
    let scenario = log.scenario;
    let (bands, bands_left_out) = bands(scenario);
    let latencies = latency::all(log);
    let mut plots = Vec::new();
    plots.extend(theory::backlog(log, oracles));
    plots.extend(lines::drain(log, oracles));
    plots.extend(latency::plots(log, &latencies));
    plots.extend(lines::plots(log));
    plots.extend(active_line(log));
    plots.extend(sales(log));
    plots.truncate(series::PLOTS_MAX);
    SeedPlots {
        series: SeedSeries {
            seed: log.seed,
            why: Vec::new(),
            bands,
            bands_left_out,
            moments: timeline::moments(log),
            spots: scenario
                .expects
                .iter()
                .filter_map(|e| spot(log, e))
                .collect(),
            plots,
        },
        latencies: latency::samples(log, &latencies),
        links: lines::uses(log),
        allowances: lines::allowance(log).into_iter().collect(),
    }
}

/// A metric without filters, over the whole run.
pub(crate) fn metric(log: &SeedLog<'_>, name: &str) -> Series {
    let metric = MetricRef {
        name: name.into(),
        filters: Vec::new(),
    };
    evaluate::series(log, &metric)
}

/// When faults are active, in time order, and how many stretches were left out.
fn bands(scenario: &Scenario) -> (Vec<Band>, usize) {
    let end = scenario.duration.as_secs_f64();
    let mut all: Vec<Band> = scenario
        .faults
        .iter()
        .flat_map(|fault| {
            fault.windows.iter().map(|w| Band {
                fault: fault.id.clone(),
                start_seconds: w.start.as_secs_f64(),
                end_seconds: w.end.map_or(end, |e| e.as_secs_f64()).min(end),
            })
        })
        .filter(|band| band.start_seconds < end)
        .collect();
    all.sort_by(|a, b| a.start_seconds.total_cmp(&b.start_seconds));
    let left_out = all.len().saturating_sub(series::BANDS_MAX);
    all.truncate(series::BANDS_MAX);
    (all, left_out)
}

/// Which of the router's lines carries.
fn active_line(log: &SeedLog<'_>) -> Option<Plot> {
    let failover = log.scenario.failover.as_ref()?;
    let Series::Gauge { initial, steps } = metric(log, "failover.active") else {
        return None;
    };
    Some(Plot {
        id: "failover".into(),
        title: "Active line".into(),
        unit: Unit::Count,
        note: format!("0 is {}, 1 is {}", failover.primary, failover.backup),
        tracks: vec![Track::new(
            "active line",
            Shape::Step,
            &bins::gauge(log, initial, &steps),
        )],
    })
}

/// Sales that are durable in the store and not yet in head office's ledger.
fn sales(log: &SeedLog<'_>) -> Option<Plot> {
    use crate::{event::Event, metric::orders};
    let mut changes: Vec<(Duration, f64)> = Vec::new();
    for order in orders::orders(log).values() {
        let Some(stored) = order.stored else { continue };
        changes.push((stored, 1.0));
        changes.extend(order.booked.map(|at| (at.max(stored), -1.0)));
    }
    let any = log
        .events
        .iter()
        .any(|s| matches!(s.event, Event::SaleStored { .. }));
    if !any {
        return None;
    }
    changes.sort_by_key(|(at, _)| *at);
    let mut waiting = 0.0;
    let steps: Vec<(Duration, f64)> = changes
        .into_iter()
        .map(|(at, change)| {
            waiting += change;
            (at, waiting)
        })
        .collect();
    Some(Plot {
        id: "sales".into(),
        title: "Sales on their way to head office".into(),
        unit: Unit::Count,
        note: "in a durable outbox, and not booked yet".into(),
        tracks: vec![Track::new(
            "sales",
            Shape::Step,
            &bins::gauge(log, 0.0, &steps),
        )],
    })
}

/// The instant at which an expectation was decided in this seed: its largest sample, the first step of a counter, the end of a
/// recovery, the extreme of a gauge. `None` where there is no such instant.
fn spot(log: &SeedLog<'_>, expect: &Expect) -> Option<Spot> {
    let stretches = windows::stretches(&expect.window, log.scenario);
    let first = stretches.first()?;
    let inside = |at: &Duration| windows::contain(&stretches, *at, log.scenario.duration);
    let measure = &expect.that.measure;
    let at = match (evaluate::series(log, &measure.metric), measure.function) {
        (_, Function::Recovery | Function::TimeTo) => {
            match evaluate::measure(log, measure, &expect.window) {
                crate::metric::Sample::Number { value }
                | crate::metric::Sample::AtLeast { value } => {
                    Some(first.start + Duration::try_from_secs_f64(value).ok()?)
                }
                _ => None,
            }
        }
        (Series::Samples(all), _) => {
            let of_window = all.iter().filter(|s: &&Timed| inside(&s.start));
            let worst = of_window.max_by(|a, b| a.value.total_cmp(&b.value));
            worst.map(|s| s.start)
        }
        (Series::Counter(all), _) => {
            let mut hits = all.iter().filter(|(at, n)| inside(at) && *n > 0.0);
            hits.next().map(|(at, _)| *at)
        }
        (Series::Gauge { steps, .. }, _) => {
            let of_window = steps.iter().filter(|(at, _)| inside(at));
            let highest = of_window.max_by(|a, b| a.1.total_cmp(&b.1));
            highest.map(|(at, _)| *at)
        }
        (Series::Unrecorded, _) => None,
    }?;
    let at = at.min(log.scenario.duration);
    Some(Spot {
        expectation: expect.id.clone(),
        at_seconds: at.as_secs_f64(),
        clock: clock(log.scenario, Duration::from_secs(at.as_secs())),
    })
}
