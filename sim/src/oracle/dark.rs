//! T3, T3b and T13 in a run: lines that are up and down for exponential times.
//!
//! Problem: a backlog behind such a line varies so much that even hundreds of outages tell its mean to a tenth only, and packets cost
//! too much for thousands. So T3 and T3b are judged over a bridge: the same scenario as a fluid, computed exactly ([`numeric`]).
//! Through *the very outages of the run* the fluid says what packets must have shown, without any chance in between; through a
//! hundred thousand outages of the same plan it must meet the closed form. What the oracle compares with is the closed form, carried over
//! to these outages: `closed * fluid(these outages) / fluid(many outages)`. A line that is slower than declared, outages that are
//! not exponential, or a form with a mistake all show. So a handful of outages is enough where chance alone would need hundreds. T13 needs
//! no bridge: a probe costs next to nothing.
//!
//! Forms: `outages`. `judge` puts the seeds together.

use std::time::Duration;

use backroom_reports::Unit;

use super::{
    Refusal, assume,
    judge::{self, Figures},
    numeric,
    observed::{fault, input, is_of, ratio_of},
    outages::{self, OnOff},
};
use crate::{
    dist::Dist,
    event::Event,
    metric::{
        SeedLog,
        series::{gauge_at, gauge_stretches},
    },
    scenario::{
        Fault, FaultKind, Oracle, Scenario,
        expr::Function,
        occur::{self, Begins, Length},
        time::Clock,
    },
};

/// Outages of the long fluid: the most that one fault may have. The mean of so many is within 1 or 2 % of the form.
const OUTAGES: f64 = occur::OCCURRENCES_MAX as f64 * 0.99;

/// What a run shows of a line at random, all in bytes of bodies, as the buffer counts them.
struct Shown {
    line: OnOff,
    /// Outages as telemetry met them: each lasts until head office has accepted something again, [`LATE_MAX`] longer at most.
    outages: Vec<(f64, f64)>,
    /// Seconds that telemetry was cut off beyond the outages themselves, on average.
    t0: f64,
    overhead: f64,
}

/// 60 s: a back-off in full jitter, and a connection that is tried again. A store that needs longer is not explained away: it disagrees.
const LATE_MAX: f64 = 60.0;

/// Mean times up and down of a fault, in seconds, if both are exponential.
fn exponential(fault: &Fault) -> Result<(f64, f64), Refusal> {
    let plan = fault.plan.as_ref();
    match plan.map(|plan| (&plan.begins, &plan.lasts)) {
        Some((
            Begins::Random(Dist::Exp { mean: up }),
            Length::Random(Dist::Exp { mean: down }),
        )) => Ok((*up, *down)),
        _ => Err(Refusal(format!(
            "`{}` is not up and down for exponential times (`mtbf` and `mttr`)",
            fault.id
        ))),
    }
}

/// The link that a fault takes down.
fn link_of(fault: &Fault) -> Result<&str, Refusal> {
    match &fault.kind {
        FaultKind::LinkDown { link } => Ok(link),
        _ => Err(Refusal(format!(
            "`{}` is not an outage of a link",
            fault.id
        ))),
    }
}

fn shown(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Shown, Refusal> {
    let scenario = log.scenario;
    let outage = fault(log, oracle)?;
    let (mtbf, mttr) = exponential(outage)?;
    let link = link_of(outage)?;
    for other in scenario.faults.iter().filter(|f| f.id != outage.id) {
        assume(other.windows.is_empty(), || {
            format!("fault `{}` disturbs the line", other.id)
        })?;
    }
    let telemetry = scenario
        .telemetry
        .as_ref()
        .ok_or_else(|| Refusal("there is no telemetry".into()))?;
    let c = judge::drain(scenario, link, &telemetry.class)?;
    let (mut bodies, mut received, mut made) = (0.0, 0.0, 0.0);
    let mut accepted: Vec<Duration> = Vec::new();
    for stamped in log.events {
        match stamped.event {
            Event::ExportReceived { wire_bytes, .. } => {
                bodies += f64::from(wire_bytes);
                accepted.push(stamped.at);
            }
            Event::TelemetryReceived { count, .. } => received += f64::from(count),
            Event::TelemetryMade { count, .. } => made += f64::from(count),
            _ => {}
        }
    }
    let wire = judge::carried(log, link, &telemetry.class, Duration::ZERO, Duration::MAX);
    assume(bodies > 0.0 && received > 0.0 && wire > 0.0, || {
        "head office received nothing".into()
    })?;
    let overhead = (wire / bodies).max(1.0);
    let end = scenario.duration;
    let mut outages = Vec::new();
    let mut late = Vec::new();
    for window in &outage.windows {
        let healed = window.end.unwrap_or(end).min(end);
        let next = accepted.partition_point(|at| *at < healed);
        // The batch itself was on its way for a while, and the line was well by then.
        let back = accepted.get(next).copied().unwrap_or(end).min(end);
        let batch = bodies / accepted.len() as f64 * overhead / c;
        let healed = healed.as_secs_f64();
        let lateness = (back.as_secs_f64() - batch - healed).clamp(0.0, LATE_MAX);
        late.push(lateness);
        outages.push((window.start.as_secs_f64(), healed + lateness));
    }
    let t0 = late.iter().sum::<f64>() / late.len().max(1) as f64;
    Ok(Shown {
        line: OnOff {
            a: bodies / received * made / end.as_secs_f64(),
            c: c / overhead,
            mtbf,
            mttr,
        },
        outages,
        t0,
        overhead,
    })
}

/// The windows of this fault's plan over so many outages, in seconds.
fn many(scenario: &Scenario, outage: &Fault, line: &OnOff, seed: u64) -> (Vec<(f64, f64)>, f64) {
    let seconds = OUTAGES * (line.mtbf + line.mttr);
    let until = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let clock = Clock {
        start: scenario.start.clone(),
    };
    let plans = [(outage.id.as_str(), outage.plan.as_ref())];
    let windows = occur::windows(&plans, &clock, until, Some(seed));
    let windows = windows.into_iter().flatten().flatten();
    let spans: Vec<(f64, f64)> = windows
        .map(|w| {
            let end = w.end.map_or(seconds, |end| end.as_secs_f64());
            (w.start.as_secs_f64(), end)
        })
        .collect();
    // The plan ends after the most outages that one fault may have: so does the fluid.
    let until = spans.last().map_or(seconds, |(_, end)| end.min(seconds));
    (spans, until)
}

/// What both forms have in common: the closed form carried over to the outages of the run.
fn bridged(
    log: &SeedLog<'_>,
    oracle: &Oracle,
    shown: &Shown,
    buffer: f64,
    form: f64,
    of: impl Fn(&numeric::Buffered) -> f64,
) -> Result<Figures, Refusal> {
    let scenario = log.scenario;
    let line = &shown.line;
    let outage = fault(log, oracle)?;
    let (spans, until) = many(scenario, outage, line, log.seed);
    let long = of(&numeric::through(line, buffer, spans, 0.0, until));
    assume(long > 0.0, || {
        format!("the same scenario as a fluid shows none of it in {OUTAGES:.0} outages")
    })?;
    let (warmup, end) = (
        scenario.warmup.as_secs_f64(),
        scenario.duration.as_secs_f64(),
    );
    let count = shown.outages.len();
    let here = numeric::through(line, buffer, shown.outages.iter().copied(), warmup, end);
    assume(of(&here) > 0.0, || {
        format!("the same scenario as a fluid shows none of it in the {count} outages of the run")
    })?;
    let unit = crate::metric::evaluate::unit(&oracle.observe);
    Ok(Figures {
        theory: form * of(&here) / long,
        declared: None,
        events: None,
        inputs: vec![
            input(
                "a",
                line.a,
                Unit::BytesPerSecond,
                "measured: bodies of all items that were made",
            ),
            input(
                "c",
                line.c,
                Unit::BytesPerSecond,
                "file, less the overhead on the wire",
            ),
            input("1/f", line.mtbf, Unit::Seconds, "file"),
            input("1/r", line.mttr, Unit::Seconds, "file"),
            input(
                "t0",
                shown.t0,
                Unit::Seconds,
                "measured: from the end of an outage to the first export accepted, mean",
            ),
            input("outages", count as f64, Unit::Count, "drawn by the seed"),
            input("closed form", form, unit, "over all time"),
            input(
                "fluid over closed form",
                long / form,
                Unit::Count,
                "99,000 outages of the same plan",
            ),
            input("wire over body", shown.overhead, Unit::Count, "measured"),
        ],
    })
}

/// T3: mean backlog behind a line that is up and down for exponential times, in a buffer that never fills; and what waits while
/// nothing is wrong: a batch that fills, one that is on its way.
pub(super) fn infinite_buffer(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    is_of(oracle, Function::Mean, "telemetry.backlog")?;
    let dropped = log
        .events
        .iter()
        .find(|s| matches!(s.event, Event::TelemetryDropped { .. }));
    assume(dropped.is_none(), || {
        "the buffer was full: `onoff_finite_buffer` is the form for that".into()
    })?;
    let shown = shown(log, oracle)?;
    let count = shown.outages.len();
    assume(count >= EVENTS_MIN, || {
        format!("{count} outages in this run, {EVENTS_MIN} are needed")
    })?;
    let form = shown.line.mean_backlog()?;
    let mut figures = bridged(log, oracle, &shown, f64::INFINITY, form, |fluid| {
        fluid.mean_backlog
    })?;
    let before = standing(log, &shown);
    figures.theory += before;
    figures.inputs.push(input(
        "waiting before",
        before,
        Unit::Bytes,
        "measured: mean while the fluid is empty",
    ));
    Ok(figures)
}

/// T3b: share of telemetry that a buffer loses behind such a line.
///
/// Its room is what it held while it was full, on average: journals and a reserve take a part of the disk that does not grow with it, and
/// room is given back a segment at a time. Refuses where that is less than a third of the disk: then it is another buffer than the file's.
pub(super) fn finite_buffer(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    ratio_of(oracle, "telemetry.dropped", "telemetry.generated")?;
    let shown = shown(log, oracle)?;
    let drops = || {
        let all = log.events.iter();
        all.filter(|s| matches!(s.event, Event::TelemetryDropped { .. }))
            .map(|s| s.at)
    };
    let full = shown
        .outages
        .iter()
        .filter(|(from, to)| drops().any(|at| (*from..=*to).contains(&at.as_secs_f64())));
    let full = full.count();
    assume(full >= EVENTS_MIN, || {
        format!("the buffer was full in {full} outages of this run, {EVENTS_MIN} are needed")
    })?;
    let levels = levels(log);
    let grain = Duration::from_millis(1);
    let around = drops().flat_map(|at| [at.saturating_sub(grain), at + grain]);
    let (mut sum, mut n) = (0.0, 0.0);
    for at in around {
        sum += gauge_at(0.0, &levels, at);
        n += 1.0;
    }
    let (room, disk) = (sum / n, log.scenario.collector.buffer.disk.0 as f64);
    assume(room * 3.0 >= disk, || {
        format!(
            "a buffer of {disk:.0} B was full with {room:.0} B in it: the form has no such overhead"
        )
    })?;
    let form = shown.line.loss(room)?;
    let mut figures = bridged(log, oracle, &shown, room, form, numeric::Buffered::loss)?;
    figures.inputs.push(input(
        "B",
        room,
        Unit::Bytes,
        "measured: what it held while it was full, mean",
    ));
    Ok(figures)
}

/// What the collector stores, at every change.
fn levels(log: &SeedLog<'_>) -> Vec<(Duration, f64)> {
    let all = log.events.iter();
    all.filter_map(|s| match s.event {
        Event::Backlog { bytes, .. } => Some((s.at, bytes as f64)),
        _ => None,
    })
    .collect()
}

/// Mean backlog while the fluid has been empty for a minute; 0 if it never was.
fn standing(log: &SeedLog<'_>, shown: &Shown) -> f64 {
    let levels = levels(log);
    let warmup = log.scenario.warmup.as_secs_f64();
    let end = log.scenario.duration.as_secs_f64();
    let calm = numeric::empty(&shown.line, shown.outages.iter().copied(), warmup, end);
    let (mut area, mut seconds) = (0.0, 0.0);
    for (from, to) in calm {
        let from = from + SETTLED;
        if from >= to {
            continue;
        }
        let (from, to) = (Duration::from_secs_f64(from), Duration::from_secs_f64(to));
        for (from, to, level) in gauge_stretches(0.0, &levels, from, to) {
            area += level * (to - from).as_secs_f64();
        }
        seconds += (to - from).as_secs_f64();
    }
    if seconds > 0.0 { area / seconds } else { 0.0 }
}

/// 60 s: the last batches of a backlog are on their way when the fluid is empty.
const SETTLED: f64 = 60.0;

/// 3: the bridge takes the chance out of the outages, and less than that is hardly a process.
const EVENTS_MIN: usize = 3;

/// T13: share of time without a line, where a second one takes over.
///
/// The time to take over is the file's: the probes that have to fail, and the switch. Assumes that both lines fail independently of each
/// other, and that the router is soon back on the first one.
pub(super) fn failover_downtime(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    is_of(oracle, Function::Mean, "failover.dark")?;
    let scenario = log.scenario;
    let failover = scenario
        .failover
        .as_ref()
        .ok_or_else(|| Refusal("there is no backup line".into()))?;
    let first = fault(log, oracle)?;
    assume(link_of(first)? == failover.primary, || {
        format!("`{}` is not an outage of the primary line", first.id)
    })?;
    let is_second =
        |f: &&Fault| matches!(&f.kind, FaultKind::LinkDown { link } if *link == failover.backup);
    let second = scenario.faults.iter().find(is_second);
    let second = second.ok_or_else(|| {
        Refusal(format!(
            "no fault takes `{}` down at random",
            failover.backup
        ))
    })?;
    for other in &scenario.faults {
        assume(
            [&first.id, &second.id].contains(&&other.id) || other.windows.is_empty(),
            || format!("fault `{}` disturbs the lines", other.id),
        )?;
    }
    let lines = (exponential(first)?, exponential(second)?);
    let takeover =
        failover.probe.as_secs_f64() * f64::from(failover.fails) + failover.switch.mean();
    let hold = failover.stable_for.as_secs_f64();
    assume(hold <= HOLD_MAX * (lines.0.0 + lines.0.1), || {
        format!("the router stays on its backup for {hold} s each time, a good part of all time")
    })?;
    Ok(Figures {
        theory: outages::downtime_with_failover(lines.0, lines.1, takeover),
        declared: None,
        events: Some(first.windows.len() as u64),
        inputs: vec![
            input("1/f1", lines.0.0, Unit::Seconds, "file"),
            input("1/r1", lines.0.1, Unit::Seconds, "file"),
            input("1/f2", lines.1.0, Unit::Seconds, "file"),
            input("1/r2", lines.1.1, Unit::Seconds, "file"),
            input(
                "takeover",
                takeover,
                Unit::Seconds,
                "file: probes that must fail, and the switch",
            ),
            input(
                "outages",
                first.windows.len() as f64,
                Unit::Count,
                "drawn by the seed",
            ),
        ],
    })
}

/// 5 %: so much more of the backup's own outages is met while the router waits to go back.
const HOLD_MAX: f64 = 0.05;

#[cfg(test)]
mod tests;
