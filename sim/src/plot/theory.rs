//! The backlog, and beside it what T1 says of this very outage, with the figures that the oracle took from the run.
//!
//! The form is drawn in the bytes that are stored: what it says of the wire, less the overhead that was measured.

use backroom_reports::{Plot, Shape, Track, Unit};

use super::{bins, metric};
use crate::{
    metric::{SeedLog, series::Series},
    oracle::judge::OracleSample,
};

/// T1's figures for one outage, in stored bytes and virtual seconds.
struct Outage {
    start: f64,
    end: f64,
    a: f64,
    c: f64,
    t0: f64,
    before: f64,
    spared: f64,
}

/// One for each oracle of this model that judged.
fn outages(log: &SeedLog<'_>, oracles: &[OracleSample]) -> Vec<Outage> {
    let declared = log.scenario.oracles.iter().zip(oracles);
    let fluid = declared.filter(|(o, s)| o.model == "fluid_recovery" && s.theory.is_some());
    fluid
        .filter_map(|(oracle, sample)| {
            let input = |name: &str| {
                let found = sample.inputs.iter().find(|i| i.name == name)?;
                Some(found.value)
            };
            let fault = log.scenario.faults.iter().find(|f| f.id == oracle.fault)?;
            let window = fault.windows.first()?;
            let overhead = input("wire over body")?;
            Some(Outage {
                start: window.start.as_secs_f64(),
                end: window.end?.as_secs_f64(),
                a: input("a")? / overhead,
                c: input("c")? / overhead,
                t0: input("t0")?,
                before: input("waiting before")? / overhead,
                spared: input("spared")? / overhead,
            })
        })
        .collect()
}

/// The backlog with the form's: up with `a` from the start of the outage, down with `c - a` from the first batch that is accepted.
pub(super) fn backlog(log: &SeedLog<'_>, oracles: &[OracleSample]) -> Option<Plot> {
    let Series::Gauge { initial, steps } = metric(log, "telemetry.backlog") else {
        return None;
    };
    if steps.is_empty() {
        return None;
    }
    let run = log.scenario.duration.as_secs_f64();
    let mut tracks = vec![Track::new(
        "stored, not acknowledged",
        Shape::Step,
        &bins::gauge(log, initial, &steps),
    )];
    for outage in outages(log, oracles) {
        let top = outage.end + outage.t0;
        let peak = outage.before + outage.a * (top - outage.start) - outage.spared;
        let fall = outage.c - outage.a;
        let down = top + (peak - outage.before).max(0.0) / fall;
        let mut points = vec![(outage.start, outage.before), (top, peak)];
        match down <= run {
            true => points.push((down, outage.before)),
            false => points.push((run, peak - fall * (run - top))),
        }
        tracks.push(Track::new("closed form", Shape::Line, &points).theory());
    }
    Some(Plot {
        id: "backlog".into(),
        title: "Telemetry backlog".into(),
        unit: Unit::Bytes,
        note: "after compression, on the collector's disk".into(),
        tracks,
    })
}

/// What the form says of the rate: `c` while there is a backlog.
pub(super) fn drain(log: &SeedLog<'_>, oracles: &[OracleSample]) -> Vec<Track> {
    let run = log.scenario.duration.as_secs_f64();
    let track = |outage: Outage| {
        let top = outage.end + outage.t0;
        let peak = outage.before + outage.a * (top - outage.start) - outage.spared;
        let down = top + (peak - outage.before).max(0.0) / (outage.c - outage.a);
        let points = [(top.min(run), outage.c), (down.min(run), outage.c)];
        Track::new("closed form", Shape::Line, &points).theory()
    };
    outages(log, oracles).into_iter().map(track).collect()
}
