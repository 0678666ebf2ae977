//! What is possible at best, beside each figure of a recovery or a latency: what the line, the probes and the machines take if
//! nothing waits and nothing is lost.
//!
//! Not a verdict and not an oracle: a reader sees how much of a figure is the line's and how much is ours. Recoveries of the backlog
//! are T1 with the figures of the run; latencies are sums of declared times, drawn often enough for a percentile, with a seed of
//! their own. Where no form knows, nothing is said. Next: `judge`, where T1 takes its figures from a run.

use backroom_reports::{Physics, human};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::judge;
use crate::{
    dist::Dist,
    metric::SeedLog,
    scenario::{
        Expect, FaultKind, LinkSpec, Oracle, Role, Scenario,
        expr::{Function, Value, Window},
    },
    world::seed,
};

/// Draws of a sum: a p999 has twenty beyond it.
const DRAWS: usize = 20_000;

/// What one seed's figure is made of at best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Permitted {
    /// Which form.
    pub form: Form,
    /// Seconds.
    pub seconds: f64,
    /// Of these, seconds until the first export was accepted: detection, fail-back, back-off. 0 where there is no such wait.
    #[serde(default)]
    pub reconnect: f64,
}

/// Forms of what is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// T1: the backlog of an outage over the line.
    FluidRecovery,
    /// Probes that fail, and the switch.
    FailoverDetection,
    /// A card payment: the line there and back, and head office.
    PaymentRoundTrip,
    /// Messages within the store: its network and the broker.
    StoreMessages,
}

impl Permitted {
    /// As a report has it.
    pub fn shown(&self) -> Physics {
        let time = human::seconds_fine(self.seconds);
        let (model, text) = match self.form {
            Form::FluidRecovery => (
                "fluid_recovery",
                format!(
                    "the line needs {time} for that backlog, {} of it until the first export gets through",
                    human::seconds_fine(self.reconnect)
                ),
            ),
            Form::FailoverDetection => (
                "failover_detection",
                format!("probes and the switch need {time} at least"),
            ),
            Form::PaymentRoundTrip => (
                "payment_round_trip",
                format!("the line and head office alone take about {time}"),
            ),
            Form::StoreMessages => (
                "store_messages",
                format!("the store's network and the broker alone take about {time}"),
            ),
        };
        Physics {
            model: model.into(),
            value: self.seconds,
            text,
        }
    }
}

/// What an expectation's figure could be at best in this seed; `None` where no form knows.
pub fn permitted(log: &SeedLog<'_>, expect: &Expect) -> Option<Permitted> {
    let measure = &expect.that.measure;
    let scenario = log.scenario;
    let name = measure.metric.name.as_str();
    let mut wait = 0.0;
    let (form, seconds) = match (measure.function, name) {
        (Function::Recovery, "telemetry.backlog") => {
            let (seconds, reconnect) = recovery(log, expect)?;
            wait = reconnect;
            (Form::FluidRecovery, seconds)
        }
        (Function::TimeTo, "failover.active") => {
            (Form::FailoverDetection, detection(scenario, expect)?)
        }
        (Function::Quantile(_) | Function::Mean, "payment.auth") => {
            let times = payment(scenario, &expect.window)?;
            (Form::PaymentRoundTrip, of_sum(&times, measure.function)?)
        }
        (Function::Quantile(_) | Function::Mean, "order.to_kds" | "order.accept_delay") => {
            let times = messages(scenario, name)?;
            (Form::StoreMessages, of_sum(&times, measure.function)?)
        }
        _ => return None,
    };
    Some(Permitted {
        form,
        seconds,
        reconnect: wait,
    })
}

/// T1 with the figures of the run: arrival, drain, reconnect, what waited before.
fn recovery(log: &SeedLog<'_>, expect: &Expect) -> Option<(f64, f64)> {
    let Window::After { fault, .. } = &expect.window else {
        return None;
    };
    let question = Oracle {
        id: String::new(),
        model: "fluid_recovery".into(),
        fault: fault.clone(),
        observe: expect.that.measure.clone(),
        observe_text: expect.text.clone(),
        tolerance: 0.0,
        line: expect.line,
    };
    judge::fluid_theory(log, &question).ok()
}

/// From the first probe that can fail to the verdict on the last one that must, and the shortest switch.
fn detection(scenario: &Scenario, expect: &Expect) -> Option<f64> {
    let failover = scenario.failover.as_ref()?;
    let to = &expect.that.measure.condition.as_ref()?.limit;
    let is_backup = matches!(to, Value::Text(name) if *name == failover.backup);
    if !is_backup || !primary_is_out(scenario, &expect.window) {
        return None;
    }
    // The router gives an answer half an interval (`run::one`).
    let probes = failover.probe * (failover.fails - 1) + failover.probe / 2;
    let mut rng = stream("switch");
    let switches = (0..1_000).map(|_| failover.switch.sample(&mut rng));
    Some(probes.as_secs_f64() + switches.fold(f64::INFINITY, f64::min))
}

/// Whether the window lies in a fault that takes the primary line away.
fn primary_is_out(scenario: &Scenario, window: &Window) -> bool {
    let (Window::During { fault, .. }, Some(failover)) = (window, &scenario.failover) else {
        return false;
    };
    let fault = scenario.faults.iter().find(|f| f.id == *fault);
    fault.is_some_and(|fault| match &fault.kind {
        FaultKind::LinkDown { link } | FaultKind::LinkCaptivePortal { link, .. } => {
            *link == failover.primary
        }
        _ => false,
    })
}

/// Times that are added up: distributions, and how often each is drawn.
struct Times {
    drawn: Vec<(Dist, usize)>,
    fixed: f64,
}

/// The request up, head office, the answer down, over the line that is in use in that window.
fn payment(scenario: &Scenario, window: &Window) -> Option<Times> {
    let orders = scenario.orders.as_ref()?;
    let step = orders.flow.iter().find(|step| step.msg == "payment.auth")?;
    let line = match &scenario.failover {
        Some(failover) if primary_is_out(scenario, window) => &failover.backup,
        Some(failover) => &failover.primary,
        None => {
            let is_line = |link: &LinkSpec| link.between.1 == "hq" && !link.backup;
            scenario.links.iter().find(|(_, link)| is_line(link))?.0
        }
    };
    let link = scenario
        .links
        .get(line)
        .filter(|link| link.trace.is_none())?;
    let wire = step.bytes.0 as f64 / link.up.bytes_per_second()
        + step.reply.0 as f64 / link.down.bytes_per_second();
    Some(Times {
        drawn: vec![(link.delay.clone(), 2), (scenario.hq.auth.clone(), 1)],
        fixed: wire,
    })
}

/// To the broker and back for an acceptance; to the broker, to a till, back to the broker and to a display for a ticket. Each message
/// passes two access links, and the broker serves each that is published.
fn messages(scenario: &Scenario, metric: &str) -> Option<Times> {
    let access = scenario
        .links
        .values()
        .find(|link| link.between.0 == "store/*" && link.between.1 == "router")?;
    let broker = scenario.nodes.values().find(|n| n.role == Role::Broker)?;
    let (delays, services) = match metric {
        "order.to_kds" => (8, 2),
        _ => (4, 1),
    };
    let mut drawn = vec![(access.delay.clone(), delays)];
    drawn.extend(broker.service.clone().map(|service| (service, services)));
    Some(Times { drawn, fixed: 0.0 })
}

fn stream(purpose: &str) -> ChaCha8Rng {
    seed::stream(0, &["physics", purpose])
}

/// A percentile or the mean of a sum.
fn of_sum(times: &Times, function: Function) -> Option<f64> {
    let mean = || {
        let drawn = times.drawn.iter();
        times.fixed + drawn.map(|(dist, n)| dist.mean() * *n as f64).sum::<f64>()
    };
    let Function::Quantile(q) = function else {
        return Some(mean()).filter(|s| s.is_finite());
    };
    let mut rng = stream("sum");
    let mut one = || {
        let drawn = times.drawn.iter();
        let draws = drawn.flat_map(|(dist, n)| std::iter::repeat_n(dist, *n));
        times.fixed + draws.map(|dist| dist.sample(&mut rng)).sum::<f64>()
    };
    let mut all: Vec<f64> = (0..DRAWS).map(|_| one()).collect();
    all.sort_by(f64::total_cmp);
    let rank = (q * DRAWS as f64).ceil() as usize;
    all.get(rank.clamp(1, DRAWS) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::{super::near, *};
    use crate::{
        metric::fixture::{Log, during, measure, s, scenario, with},
        scenario::{
            OrderArrivals, Orders, Severity,
            expr::{Comparison, Measure, Op},
        },
    };

    fn expect(measure: Measure, window: Window) -> Expect {
        Expect {
            id: "fast".into(),
            text: "what is measured".into(),
            that: Comparison {
                measure,
                op: Op::Lt,
                limit: Value::Time(2.0),
            },
            window,
            min_samples: None,
            confidence: None,
            severity: Severity::Error,
            file: "lunch.toml".into(),
            line: 1,
        }
    }

    fn sells(mut scenario: Scenario) -> Scenario {
        let step = crate::scenario::FlowStep {
            msg: "payment.auth".into(),
            to: "hq".into(),
            bytes: backroom_collector::config::ByteSize(1_000),
            reply: Default::default(),
            class: "payment".into(),
            timeout: Some(s(8.0)),
            store_and_forward: true,
            durable: false,
        };
        scenario.orders = Some(Orders {
            from: Vec::new(),
            arrivals: OrderArrivals::Poisson,
            peak_per_hour: 60.0,
            profile: None,
            items: Dist::Const(1.0),
            flow: vec![step],
        });
        scenario
    }

    fn of(scenario: &Scenario, expect: &Expect) -> Option<Permitted> {
        permitted(&Log::default().log(scenario), expect)
    }

    #[test]
    fn a_payment_takes_the_line_and_head_office() {
        let scenario = sells(scenario());
        let p99 = measure(Function::Quantile(0.99), "payment.auth", &[]);
        let found = of(&scenario, &expect(p99.clone(), Window::WholeRun)).expect("a form");
        // 17 ms there and back, 120 ms at head office, 1,000 B at 2 Mbit/s: all of it constant.
        near(found.seconds, 0.158, 1e-9);
        assert_eq!(
            found.shown().text,
            "the line and head office alone take about 158ms"
        );
        // While the uplink is down it goes over the backup, which is half as fast.
        let found = of(&scenario, &expect(p99, during())).expect("a form");
        near(found.seconds, 0.162, 1e-9);
    }

    #[test]
    fn a_switch_takes_its_probes() {
        let to = measure(Function::TimeTo, "failover.active", &[]);
        let to = with(to, Op::Eq, Value::Text("lte".into()));
        let scenario = scenario();
        let found = of(&scenario, &expect(to.clone(), during())).expect("a form");
        // The third probe fails five seconds after the first at the earliest; then 10 s to switch.
        near(found.seconds, 15.0, 1e-9);
        let outside = expect(to, Window::WholeRun);
        assert_eq!(of(&scenario, &outside), None);
    }

    #[test]
    fn where_no_form_knows_nothing_is_said() {
        let scenario = sells(scenario());
        let lag = measure(Function::Quantile(0.99), "telemetry.lag", &[]);
        assert_eq!(of(&scenario, &expect(lag, Window::WholeRun)), None);
        // A recovery of a log without exports: T1 has no figures.
        let back = measure(Function::Recovery, "telemetry.backlog", &[]);
        let back = with(back, Op::Lt, Value::Bytes(1e6));
        let after = crate::metric::fixture::after();
        assert_eq!(of(&scenario, &expect(back, after)), None);
    }
}
