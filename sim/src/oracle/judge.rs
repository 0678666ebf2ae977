//! A closed form against runs: what goes into it is measured in each seed, and the seeds are put together.
//!
//! An oracle holds if the 95 % interval of the mean deviation meets `0 ± tolerance`. It refuses where an assumption of the form does
//! not hold, and says which one. The forms are next door; their names are in `scenario::models`.

use std::time::Duration;

use backroom_reports::{Oracle as Judged, OracleInput, OracleSeed, Unit, Verdict};
use serde::{Deserialize, Serialize};

use super::{
    Refusal, assume,
    fluid::{Fluid, fluid_recovery},
    observed,
};
use crate::{
    event::Event,
    metric::{Sample, SeedLog, evaluate, series::gauge_at, windows},
    scenario::{FaultKind, FaultWindow, Oracle, Scenario, expr::Function},
};

/// What one seed contributes to one oracle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OracleSample {
    /// What the form says with the figures of the run; `None` if it refuses.
    pub theory: Option<f64>,
    /// What it says with the figures of the file alone.
    pub declared: Option<f64>,
    /// What was observed; `None` if there was nothing.
    pub observed: Option<f64>,
    /// Whether the observation had not ended with the run: it is at least that.
    pub observed_is_lower_bound: bool,
    /// What went into the form.
    pub inputs: Vec<OracleInput>,
    /// Why the form refuses.
    pub refusal: Option<String>,
    /// Random events that the observation is made of; `None` where it is one measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

/// 30 random events of all seeds together: with fewer, an observation says little of a mean.
const EVENTS_MIN: u64 = 30;

/// What a form says, and why.
pub(super) struct Figures {
    pub(super) theory: f64,
    pub(super) declared: Option<f64>,
    pub(super) inputs: Vec<OracleInput>,
    pub(super) events: Option<u64>,
}

impl OracleSample {
    /// One seed's contribution.
    pub fn of(log: &SeedLog<'_>, oracle: &Oracle) -> Self {
        let window = observed::window(oracle);
        let (observed, observed_is_lower_bound) =
            match evaluate::measure(log, &oracle.observe, &window) {
                Sample::Number { value } => (Some(value), false),
                Sample::Ratio { over, under } => (Some(over / under), false),
                Sample::AtLeast { value } => (Some(value), true),
                Sample::Values { values } if oracle.observe.function == Function::Mean => {
                    (weighted_mean(&values), false)
                }
                _ => (None, false),
            };
        let figures = match oracle.model.as_str() {
            "fluid_recovery" => fluid_figures(log, oracle),
            _ => observed::figures(log, oracle),
        };
        let mut out = OracleSample {
            observed,
            observed_is_lower_bound,
            ..OracleSample::default()
        };
        match figures {
            Ok(Figures {
                theory,
                declared,
                inputs,
                events,
            }) => {
                (out.theory, out.declared, out.inputs) = (Some(theory), declared, inputs);
                out.events = events;
            }
            Err(refusal) => out.refusal = Some(refusal.to_string()),
        }
        out
    }
}

/// The mean of `(value, weight)`; `None` of nothing.
fn weighted_mean(values: &[(f64, u64)]) -> Option<f64> {
    let weight: f64 = values.iter().map(|(_, n)| *n as f64).sum();
    let sum: f64 = values.iter().map(|(value, n)| value * *n as f64).sum();
    (weight > 0.0).then(|| sum / weight)
}

/// Judges an oracle from the samples of all seeds, each with its seed.
pub fn judge(scenario: &Scenario, oracle: &Oracle, samples: &[(u64, OracleSample)]) -> Judged {
    let pairs: Vec<(f64, f64, bool)> = samples
        .iter()
        .filter_map(|(_, s)| Some((s.theory?, s.observed?, s.observed_is_lower_bound)))
        .filter(|(theory, ..)| *theory > 0.0)
        .collect();
    let deviations: Vec<f64> = pairs
        .iter()
        .map(|(theory, observed, _)| observed / theory - 1.0)
        .collect();
    let deviation = mean(&deviations);
    let half = deviation.and_then(|mean| half_width(&deviations, mean));
    let mut notes = refusals(samples);
    // A lower bound beyond the band decides; one within it could still be anything.
    let open = pairs
        .iter()
        .zip(&deviations)
        .any(|((.., open), d)| *open && *d <= oracle.tolerance);
    let events = samples.iter().map(|(_, s)| s.events).sum::<Option<u64>>();
    let verdict = match deviation {
        _ if open => {
            notes.push("the run ended before the recovery".into());
            Verdict::Inconclusive
        }
        Some(_) if events.is_some_and(|n| n < EVENTS_MIN) => {
            notes.push(format!(
                "{} random events in all seeds, {EVENTS_MIN} are needed: run more seeds or a longer fault",
                events.unwrap_or_default()
            ));
            Verdict::Inconclusive
        }
        Some(mean) if mean.abs() - half.unwrap_or(0.0) <= oracle.tolerance => Verdict::Pass,
        Some(_) => Verdict::Fail,
        None if samples.iter().any(|(_, s)| s.theory.is_some()) => {
            notes.push(format!(
                "there was nothing to observe: {}",
                oracle.observe_text
            ));
            Verdict::Inconclusive
        }
        None => Verdict::Skipped,
    };
    Judged {
        id: oracle.id.clone(),
        model: oracle.model.clone(),
        observe: oracle.observe_text.clone(),
        unit: evaluate::unit(&oracle.observe),
        theory: mean_of(samples, |s| s.theory),
        theory_declared: mean_of(samples, |s| s.declared),
        observed: mean_of(samples, |s| s.observed),
        deviation,
        deviation_half_width: half,
        tolerance: oracle.tolerance,
        verdict,
        inputs: inputs(samples),
        seeds: samples
            .iter()
            .map(|(seed, s)| OracleSeed {
                seed: *seed,
                theory: s.theory,
                observed: s.observed,
            })
            .collect(),
        notes,
        file: scenario.path.display().to_string(),
        line: oracle.line,
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn mean_of(
    samples: &[(u64, OracleSample)],
    which: fn(&OracleSample) -> Option<f64>,
) -> Option<f64> {
    mean(
        &samples
            .iter()
            .filter_map(|(_, s)| which(s))
            .collect::<Vec<_>>(),
    )
}

/// Half-width of the 95 % interval of a mean: `1.96 * s / sqrt(n)`, as T2 has it; `None` for one value.
fn half_width(values: &[f64], mean: f64) -> Option<f64> {
    let n = values.len() as f64;
    if n < 2.0 {
        return None;
    }
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some(1.96 * (squares / (n - 1.0) / n).sqrt())
}

/// Each reason once, with how many seeds it met where others were judged.
fn refusals(samples: &[(u64, OracleSample)]) -> Vec<String> {
    let refused: Vec<&String> = samples
        .iter()
        .filter_map(|(_, s)| s.refusal.as_ref())
        .collect();
    let mut reasons: Vec<&String> = Vec::new();
    for reason in &refused {
        if !reasons.contains(reason) {
            reasons.push(reason);
        }
    }
    let all = refused.len() == samples.len();
    // 3: figures in the text differ from seed to seed.
    let told = reasons.into_iter().take(3);
    told.map(|reason| {
        if all {
            reason.clone()
        } else {
            format!("in {} seeds: {reason}", refused.len())
        }
    })
    .collect()
}

/// Means of the seeds' figures, in their order.
fn inputs(samples: &[(u64, OracleSample)]) -> Vec<OracleInput> {
    let judged: Vec<&OracleSample> = samples
        .iter()
        .map(|(_, s)| s)
        .filter(|s| s.theory.is_some())
        .collect();
    let Some(first) = judged.first() else {
        return Vec::new();
    };
    let average = |input: &OracleInput| {
        let values: Vec<f64> = judged
            .iter()
            .filter_map(|s| s.inputs.iter().find(|i| i.name == input.name))
            .map(|i| i.value)
            .collect();
        OracleInput {
            value: mean(&values).unwrap_or(input.value),
            ..input.clone()
        }
    };
    first.inputs.iter().map(average).collect()
}

/// What T1 says of a recovery, with the figures of the run, and how much of it is the time to the first accepted export. Seconds.
pub(super) fn fluid_theory(log: &SeedLog<'_>, question: &Oracle) -> Result<(f64, f64), Refusal> {
    let figures = fluid_figures(log, question)?;
    let reconnect = figures.inputs.iter().find(|input| input.name == "t0");
    Ok((figures.theory, reconnect.map_or(0.0, |input| input.value)))
}

/// Takes T1's figures from a run.
///
/// `a` is what the line carried of the class before the fault, all overhead counted; `c` the slowest of what the file allows on the way
/// to head office; `t0` the first export that head office accepted after the fault. What is stored and what the level
/// counts are bodies; on the wire they are larger by the overhead that was measured before the fault.
fn fluid_figures(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    let scenario = log.scenario;
    let (link, outage, end) = one_outage(scenario, &oracle.fault)?;
    let below = level(log, oracle)?;
    let telemetry = scenario
        .telemetry
        .as_ref()
        .ok_or_else(|| Refusal("there is no telemetry".into()))?;
    assume(telemetry.steady_rate().is_some(), || {
        "telemetry does not arrive at the same rate at all times".into()
    })?;
    let c = drain(scenario, link, &telemetry.class)?;
    let d = (end - outage.start).as_secs_f64();

    let steady = (outage.start.saturating_sub(scenario.warmup)).as_secs_f64();
    assume(steady >= STEADY_MIN, || {
        format!(
            "the arrival rate needs {STEADY_MIN} s between warm-up and fault, there are {steady} s"
        )
    })?;
    let wire = carried(log, link, &telemetry.class, scenario.warmup, outage.start);
    let bodies = |from: Duration, to: Duration| {
        log.events
            .iter()
            .filter(move |s| s.at >= from && s.at < to)
            .filter_map(|s| match s.event {
                Event::ExportReceived { wire_bytes, .. } => Some((s.at, f64::from(wire_bytes))),
                _ => None,
            })
    };
    let body: f64 = bodies(scenario.warmup, outage.start)
        .map(|(_, bytes)| bytes)
        .sum();
    assume(wire > 0.0 && body > 0.0, || {
        "head office received nothing before the fault".into()
    })?;
    let (a, overhead) = (wire / steady, (wire / body).max(1.0));

    let first = bodies(end, Duration::MAX).next();
    let (accepted, _) =
        first.ok_or_else(|| Refusal("head office accepted nothing after the fault".into()))?;
    let drained: Vec<f64> = bodies(accepted, accepted + Duration::from_secs(60))
        .map(|(_, bytes)| bytes)
        .collect();
    let batch = drained.iter().sum::<f64>() / drained.len() as f64;
    let backlog: Vec<(Duration, f64)> = log
        .events
        .iter()
        .filter_map(|s| match s.event {
            Event::Backlog { bytes, .. } => Some((s.at, bytes as f64)),
            _ => None,
        })
        .collect();
    let before = gauge_at(0.0, &backlog, outage.start);

    let t0 = (accepted - end).as_secs_f64();
    let came = before * overhead + a * (d + t0);
    let waited = backlog
        .iter()
        .filter(|(at, _)| (outage.start..=accepted).contains(at));
    let waited = waited
        .map(|(_, bytes)| bytes * overhead)
        .fold(0.0, f64::max);
    let spared = (came - waited).max(0.0);
    // Packing does not do more; less than that was lost.
    assume(spared <= SPARED_MAX * came, || {
        format!("{came:.0} B came until the line was back, and only {waited:.0} B waited")
    })?;
    let form = Fluid {
        a,
        c,
        d,
        t0,
        below: below * overhead,
        before: before * overhead,
        spared,
        batch: batch * overhead,
    };
    let recovery = fluid_recovery(&form)?;
    let buffer = scenario.collector.buffer.disk.0 as f64;
    assume(recovery.peak / overhead <= buffer, || {
        format!(
            "the backlog reaches {:.0} B and the buffer has {buffer:.0} B",
            recovery.peak / overhead
        )
    })?;
    let until = end + Duration::from_secs_f64(recovery.seconds);
    undisturbed(scenario, &oracle.fault, outage.start, until)?;

    let input = |name: &str, value, unit, origin: &str| OracleInput {
        name: name.into(),
        value,
        unit,
        origin: origin.into(),
    };
    let ratio = scenario.collector.compress.ratio;
    let declared = ratio.and_then(|ratio| {
        let a = telemetry.bytes_per_second / ratio;
        fluid_recovery(&Fluid {
            a,
            c,
            d,
            ..Fluid::default()
        })
        .ok()
    });
    Ok(Figures {
        events: None,
        theory: recovery.seconds,
        declared: declared.map(|r| r.seconds),
        inputs: vec![
            input(
                "a",
                a,
                Unit::BytesPerSecond,
                "measured on the line before the fault",
            ),
            input("c", c, Unit::BytesPerSecond, "file"),
            input("D", d, Unit::Seconds, "file"),
            input(
                "t0",
                form.t0,
                Unit::Seconds,
                "measured: first export accepted after the fault",
            ),
            input(
                "waiting before",
                form.before,
                Unit::Bytes,
                "measured, on the wire",
            ),
            input(
                "spared",
                form.spared,
                Unit::Bytes,
                "measured, on the wire: what came less what waited",
            ),
            input("batch", form.batch, Unit::Bytes, "measured, on the wire"),
            input(
                "wire over body",
                overhead,
                Unit::Count,
                "measured before the fault",
            ),
        ],
    })
}

/// A quarter: batches of minutes instead of seconds take a tenth to a fifth less.
const SPARED_MAX: f64 = 0.25;

/// 60 s: a dozen exports, so one more or less is within the tolerances that people write.
const STEADY_MIN: f64 = 60.0;

/// The link, the only occurrence of the fault, and its end.
pub(super) fn one_outage<'s>(
    scenario: &'s Scenario,
    fault: &str,
) -> Result<(&'s str, FaultWindow, Duration), Refusal> {
    let found = scenario.faults.iter().find(|f| f.id == fault);
    let found = found.ok_or_else(|| Refusal(format!("there is no fault `{fault}`")))?;
    let FaultKind::LinkDown { link } = &found.kind else {
        return Err(Refusal(format!("`{fault}` is not an outage of a link")));
    };
    let [window] = found.windows.as_slice() else {
        return Err(Refusal(format!(
            "the form is of one outage, `{fault}` happens {} times",
            found.windows.len()
        )));
    };
    let end = window.end.filter(|end| *end < scenario.duration);
    let end = end.ok_or_else(|| Refusal(format!("`{fault}` does not end within the run")))?;
    Ok((link, *window, end))
}

/// The level of `recovery(telemetry.backlog, below=…)`, bytes.
fn level(log: &SeedLog<'_>, oracle: &Oracle) -> Result<f64, Refusal> {
    let measure = &oracle.observe;
    let recovers =
        measure.function == Function::Recovery && measure.metric.name == "telemetry.backlog";
    assume(recovers, || {
        format!(
            "the form tells the recovery of telemetry.backlog, not {}",
            oracle.observe_text
        )
    })?;
    let condition = measure
        .condition
        .as_ref()
        .ok_or_else(|| Refusal("`recovery` has no level".into()))?;
    Ok(evaluate::limit(log.scenario, &condition.limit))
}

/// `c`: the slowest of pacing, line and head office, bytes per second.
pub(super) fn drain(scenario: &Scenario, link: &str, class: &str) -> Result<f64, Refusal> {
    let line = scenario
        .links
        .get(link)
        .ok_or_else(|| Refusal(format!("there is no link `{link}`")))?;
    assume(line.trace.is_none(), || {
        format!("`{link}` plays a recording: its capacity is not constant")
    })?;
    if let Some(failover) = &scenario.failover {
        assume(failover.primary == link, || {
            format!("`{link}` is not the router's primary line")
        })?;
        assume(
            !failover.allow.iter().any(|allowed| allowed == class),
            || format!("class `{class}` goes over `{}` meanwhile", failover.backup),
        )?;
    }
    let share = scenario
        .classes
        .get(class)
        .map_or(1.0, |class| class.max_share);
    let paced = scenario
        .collector
        .send
        .max_rate
        .map(|rate| rate.bytes_per_second());
    Ok([
        Some(line.up.bytes_per_second() * share),
        paced,
        Some(scenario.hq.ingest_bytes_per_second),
    ]
    .into_iter()
    .flatten()
    .fold(f64::INFINITY, f64::min))
}

/// Wire bytes of a class towards head office in `from..to`.
pub(super) fn carried(
    log: &SeedLog<'_>,
    link: &str,
    class: &str,
    from: Duration,
    to: Duration,
) -> f64 {
    let stretch = [windows::Stretch {
        start: from,
        end: to,
    }];
    let of_class = |index: u8| {
        log.scenario
            .classes
            .get_index(usize::from(index))
            .is_some_and(|(name, _)| name == class)
    };
    let matching = log
        .links
        .iter()
        .filter(|l| l.link == link && l.upwards && of_class(l.class));
    matching
        .flat_map(|l| &l.carried)
        .filter(|(second, _)| {
            windows::contain(
                &stretch,
                Duration::from_secs((*second).into()),
                Duration::MAX,
            )
        })
        .map(|(_, bytes)| bytes as f64)
        .sum()
}

/// No other fault from the start of this one until its recovery.
fn undisturbed(
    scenario: &Scenario,
    fault: &str,
    from: Duration,
    to: Duration,
) -> Result<(), Refusal> {
    for other in scenario.faults.iter().filter(|other| other.id != fault) {
        let meets = |w: &FaultWindow| w.start < to && w.end.is_none_or(|end| end > from);
        assume(!other.windows.iter().any(meets), || {
            format!("fault `{}` falls into the recovery", other.id)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
