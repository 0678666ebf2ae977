//! Where the closed forms' figures come from: what of it is read from a run, and what from the file.
//!
//! T1 takes `c` and `D` from the file, and from the run what the file cannot know: `a`, the wire bytes a second that the
//! collector's batches make once they are really compressed; `t0`, from the end of the fault to the first batch that head
//! office took; and what was waiting before. The forms themselves are in `oracle`. Each seed is compared with its own
//! figures: what is left is what the form does not explain.

use std::time::Duration;

use backroom_reports::{self as reports, OracleInput, OracleSeed, Unit, Verdict};
use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    metric::{Sample, SeedLog, evaluate},
    oracle::fluid::{Fluid, fluid_recovery},
    scenario::{Fault, Oracle, Scenario, expr::Window},
};

/// One seed's part of an oracle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OracleSample {
    /// What was observed; `None` if it did not happen in this run.
    pub observed: Option<f64>,
    /// What the form says with this seed's figures.
    pub theory: Option<f64>,
    /// The figures: name, value, where from.
    pub inputs: Vec<OracleInput>,
    /// Why it cannot be judged.
    pub refused: Option<String>,
}

impl OracleSample {
    /// Measures what `oracle` needs in one log.
    pub fn of(log: &SeedLog<'_>, oracle: &Oracle) -> Self {
        let mut sample = Self {
            observed: None,
            theory: None,
            inputs: Vec::new(),
            refused: None,
        };
        match oracle.model.as_str() {
            "fluid_recovery" => match fluid(log, oracle, &mut sample) {
                Ok(()) => {}
                Err(why) => sample.refused = Some(why),
            },
            other => {
                sample.refused = Some(format!(
                    "{other} is known and not computed at packet fidelity in this version"
                ));
            }
        }
        sample
    }
}

fn fluid(log: &SeedLog<'_>, oracle: &Oracle, sample: &mut OracleSample) -> Result<(), String> {
    let scenario = log.scenario;
    let (start, end) = window_of(scenario, &oracle.fault)?;
    let c = drain_rate(scenario)?;
    let below = level(oracle)?;
    let window = Window::After {
        fault: oracle.fault.clone(),
        len: None,
    };
    sample.observed = match evaluate::measure(log, &oracle.observe, &window) {
        Sample::Number { value } => Some(value),
        Sample::AtLeast { value } => {
            return Err(format!("not recovered {value:.0} s after the fault"));
        }
        other => return Err(format!("nothing was observed: {other:?}")),
    };

    let a = arrival_rate(log, start)?;
    let back = log
        .events
        .iter()
        .find(|e| e.at > end && matches!(e.event, Event::ExportReceived { .. }))
        .ok_or("head office took nothing after the fault")?
        .at;
    let t0 = (back - end).as_secs_f64();
    let (before, batch) = (backlog_before(log, start), mean_batch(log, start));
    let form = Fluid {
        a,
        c,
        d: (end - start).as_secs_f64(),
        t0,
        below,
        before,
        batch,
    };
    sample.theory = Some(fluid_recovery(&form).map_err(|r| r.0)?.seconds);
    let mut input = |name: &str, value, unit, origin: &str| {
        sample.inputs.push(OracleInput {
            name: name.into(),
            value,
            unit,
            origin: origin.into(),
        });
    };
    input("a", a, Unit::BytesPerSecond, "run: wire bytes of telemetry before the fault");
    input("c", c, Unit::BytesPerSecond, "file: collector.send.max_rate");
    input("D", form.d, Unit::Seconds, "file");
    input("t0", t0, Unit::Seconds, "run: fault end to the first accepted export");
    input("below", below, Unit::Bytes, "file");
    input("before", before, Unit::Bytes, "run: mean backlog before the fault");
    input("batch", batch, Unit::Bytes, "run: mean wire bytes of an export");
    Ok(())
}

fn window_of(scenario: &Scenario, id: &str) -> Result<(Duration, Duration), String> {
    let fault: &Fault = scenario
        .faults
        .iter()
        .find(|f| f.id == id)
        .ok_or_else(|| format!("there is no fault {id}"))?;
    match fault.windows.as_slice() {
        [w] => match w.end {
            Some(end) if end < scenario.duration => Ok((w.start, end)),
            _ => Err(format!("{id} does not end within the run")),
        },
        more => Err(format!("{id} happens {} times; the form is about one outage", more.len())),
    }
}

fn drain_rate(scenario: &Scenario) -> Result<f64, String> {
    let rate = scenario.collector.send.max_rate;
    rate.map(|r| r.bytes_per_second())
        .ok_or_else(|| "collector.send.max_rate is not set: what drains it is the line".into())
}

fn level(oracle: &Oracle) -> Result<f64, String> {
    let condition = oracle.observe.condition.as_ref();
    condition
        .and_then(|c| c.limit.number())
        .ok_or_else(|| "the observed recovery has no level".into())
}

/// Wire bytes a second of telemetry on its way up, from the end of the warm-up (or a minute in) to the fault.
fn arrival_rate(log: &SeedLog<'_>, fault: Duration) -> Result<f64, String> {
    let scenario = log.scenario;
    let telemetry = scenario.telemetry.as_ref().ok_or("there is no telemetry")?;
    let class = scenario
        .classes
        .get_index_of(&telemetry.class)
        .ok_or("telemetry has no class")? as u8;
    let from = scenario.warmup.max(Duration::from_secs(60));
    let seconds = fault.as_secs_f64() - from.as_secs_f64();
    if seconds < 60.0 {
        return Err("less than a minute between warm-up and fault: nothing to take `a` from".into());
    }
    let window = from.as_secs() as u32..fault.as_secs() as u32;
    let to_hq = |link: &str| {
        scenario
            .links
            .get(link)
            .is_some_and(|l| l.between.1 == "hq")
    };
    let bytes: u64 = log
        .links
        .iter()
        .filter(|l| l.upwards && l.class == class && to_hq(&l.link))
        .flat_map(|l| &l.carried)
        .filter(|(second, _)| window.contains(second))
        .map(|(_, bytes)| bytes)
        .sum();
    Ok(bytes as f64 / seconds)
}

/// The mean backlog over the two minutes before the fault: what a healthy queue holds.
fn backlog_before(log: &SeedLog<'_>, fault: Duration) -> f64 {
    let from = fault.saturating_sub(Duration::from_secs(120));
    let (mut last, mut since, mut area) = (0.0, from, 0.0);
    for stamped in log.events.iter().take_while(|e| e.at < fault) {
        if let Event::Backlog { bytes, .. } = stamped.event {
            if stamped.at > since {
                area += last * (stamped.at - since).as_secs_f64();
                since = stamped.at;
            }
            last = bytes as f64;
        }
    }
    area += last * (fault - since).as_secs_f64();
    area / (fault - from).as_secs_f64().max(1e-9)
}

fn mean_batch(log: &SeedLog<'_>, fault: Duration) -> f64 {
    let before = log.events.iter().take_while(|e| e.at < fault);
    let (mut bytes, mut count) = (0.0, 0.0_f64);
    for stamped in before {
        if let Event::ExportReceived { wire_bytes, .. } = stamped.event {
            bytes += f64::from(wire_bytes);
            count += 1.0;
        }
    }
    bytes / count.max(1.0)
}

/// Judges an oracle: it holds if the confidence interval of the seeds' deviations meets the tolerance (spec/theory.md).
pub fn judge(scenario: &Scenario, oracle: &Oracle, samples: &[(u64, OracleSample)]) -> reports::Oracle {
    let pairs: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|(_, s)| Some((s.theory?, s.observed?)))
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let column = |pick: fn(&(f64, f64)) -> f64| -> Option<f64> {
        let values: Vec<f64> = pairs.iter().map(pick).collect();
        (!values.is_empty()).then(|| mean(&values))
    };
    let deviations: Vec<f64> = pairs.iter().map(|(t, o)| (o - t) / t).collect();
    let (deviation, half_width) = match deviations.len() {
        0 => (None, None),
        1 => (Some(deviations[0]), None),
        n => {
            let m = mean(&deviations);
            let variance =
                deviations.iter().map(|d| (d - m).powi(2)).sum::<f64>() / (n - 1) as f64;
            (Some(m), Some(1.96 * (variance / n as f64).sqrt()))
        }
    };
    let verdict = match deviation {
        None => Verdict::Inconclusive,
        // The interval meets the band: its nearer end is inside.
        Some(d) if d.abs() - half_width.unwrap_or(0.0) <= oracle.tolerance => Verdict::Pass,
        Some(_) => Verdict::Fail,
    };
    let mut notes: Vec<String> = Vec::new();
    let refused = samples.iter().filter(|(_, s)| s.refused.is_some());
    if let Some((seed, sample)) = refused.clone().next() {
        notes.push(format!(
            "not judged in {} of {} seeds; seed {seed}: {}",
            refused.count(),
            samples.len(),
            sample.refused.as_deref().unwrap_or_default()
        ));
    }
    reports::Oracle {
        id: oracle.id.clone(),
        model: oracle.model.clone(),
        observe: oracle.observe_text.clone(),
        unit: evaluate::unit(&oracle.observe),
        theory: column(|(t, _)| *t),
        theory_declared: declared(scenario, oracle),
        observed: column(|(_, o)| *o),
        deviation,
        deviation_half_width: half_width,
        tolerance: oracle.tolerance,
        verdict,
        inputs: mean_inputs(samples),
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

/// T1 alone with the declared compression ratio, without `t0` and threshold: `aD/(c-a)`.
fn declared(scenario: &Scenario, oracle: &Oracle) -> Option<f64> {
    if oracle.model != "fluid_recovery" {
        return None;
    }
    let (start, end) = window_of(scenario, &oracle.fault).ok()?;
    let form = Fluid {
        a: scenario.telemetry.as_ref()?.bytes_per_second / scenario.collector.compress.ratio?,
        c: drain_rate(scenario).ok()?,
        d: (end - start).as_secs_f64(),
        ..Fluid::default()
    };
    fluid_recovery(&form).ok().map(|r| r.seconds)
}

fn mean_inputs(samples: &[(u64, OracleSample)]) -> Vec<OracleInput> {
    let all: Vec<&Vec<OracleInput>> = samples
        .iter()
        .map(|(_, s)| &s.inputs)
        .filter(|inputs| !inputs.is_empty())
        .collect();
    let Some(first) = all.first() else {
        return Vec::new();
    };
    first
        .iter()
        .enumerate()
        .map(|(i, input)| OracleInput {
            value: all.iter().map(|inputs| inputs[i].value).sum::<f64>() / all.len() as f64,
            ..input.clone()
        })
        .collect()
}
