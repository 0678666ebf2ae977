//! The closed forms besides T1: where each is observed, and T9, T12 and T14. What goes into them is taken from the file and the run;
//! where an assumption does not hold, they refuse.
//!
//! `judge` puts the seeds together. Queues with Poisson arrivals (T2, T10) are in `queues`, lines that go up and down at random
//! (T3, T3b, T13) in `dark`.

use std::time::Duration;

use backroom_reports::{OracleInput, Unit};

use super::{
    Refusal, assume, dark,
    judge::Figures,
    loss::{gilbert_burst, gilbert_mean},
    outages::allowance_life,
    queues, retry,
};
use crate::{
    event::Event,
    metric::{SeedLog, evaluate},
    scenario::{
        Fault, FaultKind, Loss, Oracle,
        expr::{Function, Window},
    },
};

/// The window in which a model is observed.
pub(super) fn window(oracle: &Oracle) -> Window {
    match oracle.model.as_str() {
        "queue_wait" | "onoff_infinite_buffer" | "onoff_finite_buffer" | "failover_downtime" => {
            Window::WholeRun
        }
        "fluid_recovery" | "random_recovery" => Window::After {
            fault: oracle.fault.clone(),
            len: None,
        },
        _ => Window::During {
            fault: oracle.fault.clone(),
            from: Duration::ZERO,
            len: None,
        },
    }
}

/// What a model says of this seed.
pub(super) fn figures(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    match oracle.model.as_str() {
        "retry_attempts" => retry_attempts(log, oracle),
        "gilbert_loss" => gilbert_loss(log, oracle),
        "cap_life" => cap_life(log, oracle),
        "random_recovery" => queues::random_recovery(log, oracle),
        "queue_wait" => queues::queue_wait(log, oracle),
        "onoff_infinite_buffer" => dark::infinite_buffer(log, oracle),
        "onoff_finite_buffer" => dark::finite_buffer(log, oracle),
        "failover_downtime" => dark::failover_downtime(log, oracle),
        other => Err(Refusal(format!(
            "`{other}` cannot be observed at packet fidelity"
        ))),
    }
}

pub(super) fn input(name: &str, value: f64, unit: Unit, origin: &str) -> OracleInput {
    OracleInput {
        name: name.into(),
        value,
        unit,
        origin: origin.into(),
    }
}

/// The fault that an oracle is about.
pub(super) fn fault<'s>(log: &SeedLog<'s>, oracle: &Oracle) -> Result<&'s Fault, Refusal> {
    let mut faults = log.scenario.faults.iter();
    let found = faults.find(|f| f.id == oracle.fault);
    found.ok_or_else(|| Refusal(format!("there is no fault `{}`", oracle.fault)))
}

/// The measure must be `ratio(of, over)`.
pub(super) fn ratio_of(oracle: &Oracle, of: &str, over: &str) -> Result<(), Refusal> {
    let measure = &oracle.observe;
    let second = measure.of.as_ref().map(|m| m.name.as_str());
    let fits = measure.function == Function::Ratio
        && measure.metric.name == of
        && second == Some(over)
        && measure.metric.filters.is_empty();
    assume(fits, || {
        format!(
            "the form tells ratio({of}, {over}), not {}",
            oracle.observe_text
        )
    })
}

/// The measure must be this function of this metric, of all of it.
pub(super) fn is_of(oracle: &Oracle, function: Function, metric: &str) -> Result<(), Refusal> {
    let measure = &oracle.observe;
    let fits = measure.function == function
        && measure.metric.name == metric
        && measure.metric.filters.is_empty();
    assume(fits, || {
        format!(
            "the form tells {}({metric}), not {}",
            crate::scenario::parse::function_name(function),
            oracle.observe_text
        )
    })
}

/// T9: head office refuses a share `p` of the requests, and each is tried until it is taken: `1 / (1 - p)`.
///
/// Assumes that the answer is one that the collector tries again, that each attempt is refused by itself, and that nothing else is wrong.
fn retry_attempts(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    ratio_of(oracle, "hq.requests", "hq.accepted")?;
    let fault = fault(log, oracle)?;
    let FaultKind::HqReject(rule) = &fault.kind else {
        return Err(Refusal(format!(
            "`{}` is not a refusal of head office",
            fault.id
        )));
    };
    // What the collector's table of answers calls transient.
    let transient = matches!(rule.status, 429 | 502 | 503 | 504);
    assume(transient, || {
        format!("a {} is not simply tried again", rule.status)
    })?;
    let theory = retry::attempts_unlimited(rule.share, 0.0, 1.0)?;
    let window = window(oracle);
    let count = |is: fn(&Event) -> bool| {
        let stretches = crate::metric::windows::stretches(&window, log.scenario);
        let hits = log.events.iter().filter(|s| is(&s.event));
        hits.filter(|s| crate::metric::windows::contain(&stretches, s.at, log.scenario.duration))
            .count()
    };
    let accepted = count(|e| matches!(e, Event::ExportReceived { .. }));
    Ok(Figures {
        theory,
        declared: None,
        events: Some(accepted as u64),
        inputs: vec![
            input("p", rule.share, Unit::Fraction, "file"),
            input("accepted", accepted as f64, Unit::Count, "measured"),
        ],
    })
}

/// T12: the share of packets that a line loses while it is degraded: `h * p / (p + r)`.
///
/// Assumes that its queue never overflows; a queue that does loses more, and the oracle fails.
fn gilbert_loss(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    let fault = fault(log, oracle)?;
    let FaultKind::LinkDegrade { link, loss, .. } = &fault.kind else {
        return Err(Refusal(format!("`{}` is not a degraded link", fault.id)));
    };
    ratio_of(
        oracle,
        &format!("link.{link}.lost"),
        &format!("link.{link}.packets"),
    )?;
    let (theory, inputs) = match loss {
        Some(Loss::Gilbert { enter, leave, loss }) => (
            gilbert_mean(*enter, *leave, *loss),
            vec![
                input("p", *enter, Unit::Fraction, "file"),
                input("r", *leave, Unit::Fraction, "file"),
                input("h", *loss, Unit::Fraction, "file"),
                input("burst", gilbert_burst(*leave), Unit::Count, "1/r, packets"),
            ],
        ),
        _ => {
            return Err(Refusal(format!(
                "`{}` sets no loss of two states",
                fault.id
            )));
        }
    };
    let lost = evaluate::measure(
        log,
        &crate::scenario::expr::Measure {
            function: Function::Sum,
            of: None,
            ..oracle.observe.clone()
        },
        &window(oracle),
    );
    let lost = match lost {
        crate::metric::Sample::Number { value } => value,
        _ => 0.0,
    };
    // Losses come in bursts: a burst is one event.
    let Some(Loss::Gilbert { leave, loss, .. }) = loss else {
        unreachable!("it was matched above")
    };
    let bursts = lost * leave / loss.max(f64::MIN_POSITIVE);
    Ok(Figures {
        theory,
        declared: None,
        events: Some(bursts as u64),
        inputs,
    })
}

/// T14: seconds from the start of an outage until the backup has carried so many bytes of its allowance: `bytes / rate`, with the rate of
/// what it may carry as the primary line carried it before.
///
/// What comes until the router has gone over waits and is sent then, so the time to go over counts only where it is longer than all of
/// it. Assumes that the outage lasts long enough and that nothing was used before.
fn cap_life(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    let scenario = log.scenario;
    let fault = fault(log, oracle)?;
    let failover = scenario
        .failover
        .as_ref()
        .ok_or_else(|| Refusal("there is no backup line".into()))?;
    let is_primary =
        matches!(&fault.kind, FaultKind::LinkDown { link } if *link == failover.primary);
    assume(is_primary, || {
        format!("`{}` is not an outage of the primary line", fault.id)
    })?;
    let cap = failover
        .data_cap
        .as_ref()
        .ok_or_else(|| Refusal(format!("`{}` has no allowance", failover.backup)))?;
    let measure = &oracle.observe;
    let used = format!("link.{}.used", failover.backup);
    let fits = measure.function == Function::TimeTo && measure.metric.name == used;
    assume(fits, || {
        format!(
            "the form tells time_to({used} >= …), not {}",
            oracle.observe_text
        )
    })?;
    let condition = measure.condition.as_ref();
    let level = condition.map_or(0.0, |c| evaluate::limit(scenario, &c.limit));
    assume(level > 0.0 && level <= cap.bytes.0 as f64, || {
        format!(
            "{level:.0} B are not within the allowance of {} B",
            cap.bytes.0
        )
    })?;
    let window = fault
        .windows
        .first()
        .ok_or_else(|| Refusal(format!("`{}` never happens", fault.id)))?;
    let steady = window.start.saturating_sub(scenario.warmup).as_secs_f64();
    assume(steady >= 60.0, || {
        format!("the rate needs 60 s between warm-up and fault, there are {steady} s")
    })?;
    let switched = log.events.iter().find_map(|s| match s.event {
        Event::Failover { backup: true } if s.at >= window.start => Some(s.at - window.start),
        _ => None,
    });
    let switched =
        switched.ok_or_else(|| Refusal("the router did not go over to its backup".into()))?;
    let allowed = |class: u8| {
        let found = scenario.classes.get_index(usize::from(class));
        found.is_some_and(|(name, _)| failover.allow.contains(name))
    };
    let before: f64 = log
        .links
        .iter()
        .filter(|l| l.link == failover.primary && allowed(l.class))
        .flat_map(|l| &l.carried)
        .filter(|(second, _)| {
            let at = Duration::from_secs((*second).into());
            at >= scenario.warmup && at < window.start
        })
        .map(|(_, bytes)| bytes as f64)
        .sum();
    let rate = before / steady;
    assume(rate > 0.0, || {
        "the primary line carried nothing that the backup may".into()
    })?;
    let t0 = switched.as_secs_f64();
    Ok(Figures {
        theory: allowance_life(level, rate).max(t0),
        declared: None,
        events: None,
        inputs: vec![
            input("allowance", level, Unit::Bytes, "file"),
            input(
                "rate",
                rate,
                Unit::BytesPerSecond,
                "measured on the primary line before the fault",
            ),
            input("t0", t0, Unit::Seconds, "measured: the router goes over"),
        ],
    })
}
