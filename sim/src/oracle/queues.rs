//! T2 and T10 in a run at packet fidelity: one server with Poisson arrivals in front of it, in its steady state and after an outage.
//!
//! The server of T10 is the broker: it serves messages one at a time, for its `service`. The server of T2 is the line to head office: a
//! till's outbox sends its sales over it, oldest first, one request at a time. Both need customers that come independently of each
//! other at a constant rate, and refuse others. The forms are `queueing` and `outages`; `judge` puts the seeds together.

use std::time::Duration;

use backroom_reports::Unit;

use super::{
    Refusal, assume,
    judge::{self, Figures},
    observed::{input, is_of},
    outages, queueing,
};
use crate::{
    event::Event,
    metric::{SeedLog, evaluate, orders},
    scenario::{
        Oracle, OrderArrivals, Orders, Role, Scenario,
        expr::{Function, Op},
    },
    store::pos::uploader::BATCH_MAX,
};

/// Orders per second of a store whose customers come independently, at one rate.
fn poisson(scenario: &Scenario) -> Result<(&Orders, f64), Refusal> {
    let orders = scenario
        .orders
        .as_ref()
        .ok_or_else(|| Refusal("there are no orders".into()))?;
    assume(orders.arrivals == OrderArrivals::Poisson, || {
        "orders do not arrive as a Poisson process".into()
    })?;
    assume(orders.profile.is_none(), || {
        "orders have a profile: their rate is not constant".into()
    })?;
    let lambda = orders.peak_per_hour / 3600.0;
    assume(lambda > 0.0, || "nobody orders".into())?;
    Ok((orders, lambda))
}

/// T10: mean time until the broker has acknowledged an order: the wait of Pollaczek and Khinchine, the service, and the way.
///
/// Assumes that orders are the only messages, so that they are the Poisson arrivals of the form, and that nothing goes wrong. The way is four
/// delays of the store's network and one sync of the journal, from the file; computing takes no time here.
pub(super) fn queue_wait(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    let scenario = log.scenario;
    is_of(oracle, Function::Mean, "order.accept_delay")?;
    let (orders, lambda) = poisson(scenario)?;
    for step in &orders.flow {
        let others = matches!(step.msg.as_str(), "ticket.fire" | "receipt.print");
        assume(!others, || {
            format!("`{}` goes through the broker too", step.msg)
        })?;
    }
    let publishes = |role| matches!(role, Role::Stock | Role::Catalog | Role::Mobile);
    let other = scenario.nodes.iter().find(|(_, n)| publishes(n.role));
    assume(other.is_none(), || {
        format!(
            "`{}` publishes too",
            other.map(|(name, _)| name.as_str()).unwrap_or_default()
        )
    })?;
    if let Some(fault) = scenario.faults.first() {
        return Err(Refusal(format!("`{}` disturbs the steady state", fault.id)));
    }
    let broker = scenario.nodes.values().find(|n| n.role == Role::Broker);
    let broker = broker.ok_or_else(|| Refusal("there is no broker".into()))?;
    let service = broker
        .service
        .as_ref()
        .ok_or_else(|| Refusal("the broker has no `service`".into()))?;
    let (mean, square) = (service.mean(), service.mean_square());
    assume(mean.is_finite() && square.is_finite(), || {
        "the broker's `service` has no variance".into()
    })?;
    let wait = queueing::mean_wait(lambda, mean, square)?;
    let is_access = |between: &(String, String)| between.0 == "store/*" && between.1 == "router";
    let access = scenario.links.values().find(|l| is_access(&l.between));
    let disk = broker
        .disk
        .as_ref()
        .and_then(|disk| scenario.disks.get(disk));
    let way =
        access.map_or(0.0, |l| 4.0 * l.delay.mean()) + disk.map_or(0.0, |disk| disk.fsync.mean());
    let accepted = |e: &Event| matches!(e, Event::OrderAccepted { .. });
    let accepted = log.events.iter().filter(|s| accepted(&s.event)).count();
    Ok(Figures {
        theory: wait + mean + way,
        declared: None,
        events: Some(accepted as u64),
        inputs: vec![
            input("lambda", lambda, Unit::PerSecond, "file"),
            input("E[S]", mean, Unit::Seconds, "file: `service` of the broker"),
            input("rho", lambda * mean, Unit::Fraction, "lambda E[S]"),
            input("wait", wait, Unit::Seconds, "lambda E[S^2] / (2 (1 - rho))"),
            input("way", way, Unit::Seconds, "file: four delays, one sync"),
        ],
    })
}

/// T2: seconds from the end of an outage of the line until a till's outbox is empty.
///
/// `t0 + rho * (D + t0 - n / lambda) / (1 - rho)`: at `t0` after the end head office has booked the first `n` sales, and what came during `D + t0`
/// besides them is the work that the delay cycle begins with. The service time of a sale is its bytes on the wire, measured while the
/// outbox drained, at the rate of the file, and its part of the round trip of a full request. Assumes one till, and a line without backup for sales.
pub(super) fn random_recovery(log: &SeedLog<'_>, oracle: &Oracle) -> Result<Figures, Refusal> {
    let scenario = log.scenario;
    is_of(oracle, Function::TimeTo, "order.outbox")?;
    let condition = oracle.observe.condition.as_ref();
    let empty =
        condition.is_some_and(|c| c.op == Op::Eq && evaluate::limit(scenario, &c.limit) == 0.0);
    assume(empty, || {
        format!(
            "the form tells time_to(order.outbox == 0), not {}",
            oracle.observe_text
        )
    })?;
    let (orders, lambda) = poisson(scenario)?;
    let tills = scenario.nodes.values().filter(|n| n.role == Role::Pos);
    let tills: u32 = tills.map(|n| n.count).sum();
    assume(tills == 1, || {
        format!("{tills} tills share the line: the form is of one server")
    })?;
    let step = orders.flow.iter().find(|step| step.msg == "order.sync");
    let class = &step
        .ok_or_else(|| Refusal("no sales go to head office: there is no `order.sync`".into()))?
        .class;
    let (link, outage, end) = judge::one_outage(scenario, &oracle.fault)?;
    let rate = judge::drain(scenario, link, class)?;
    let d = (end - outage.start).as_secs_f64();

    let booked: Vec<Duration> = log
        .events
        .iter()
        .filter(|s| matches!(s.event, Event::SaleBooked { .. }) && s.at >= end)
        .map(|s| s.at)
        .collect();
    let first = *booked
        .first()
        .ok_or_else(|| Refusal("head office booked nothing after the outage".into()))?;
    let n = booked.iter().filter(|at| **at == first).count();
    let empty = orders::outbox_empty(log, first).unwrap_or(log.scenario.duration);
    let drained = booked.iter().filter(|at| **at > first && **at <= empty);
    let drained = drained.count();
    // Seconds are what lines count by: the drain has to be long beside them.
    let carried = judge::carried(log, link, class, first, empty);
    assume(drained >= DRAINED_MIN && carried > 0.0, || {
        format!(
            "{drained} sales waited when the line was back, {DRAINED_MIN} are needed to tell what one takes"
        )
    })?;
    let bytes = carried / drained as f64;
    let round_trip = 2.0 * scenario.links[link].delay.mean();
    let service = bytes / rate + round_trip / BATCH_MAX as f64;
    let rho = lambda * service;
    let t0 = (first - end).as_secs_f64();
    let work = (d + t0 - n as f64 / lambda).max(0.0);
    let theory = t0 + outages::cycle_mean(rho, work)?;
    let variance = outages::cycle_variance(lambda, service * service, rho, work)?;
    Ok(Figures {
        theory,
        declared: None,
        events: None,
        inputs: vec![
            input("lambda", lambda, Unit::PerSecond, "file"),
            input("D", d, Unit::Seconds, "file"),
            input(
                "t0",
                t0,
                Unit::Seconds,
                "measured: first sales booked after the fault",
            ),
            input("n", n as f64, Unit::Count, "measured: sales booked then"),
            input(
                "bytes of a sale",
                bytes,
                Unit::Bytes,
                "measured on the line while the outbox drained",
            ),
            input(
                "E[S]",
                service,
                Unit::Seconds,
                "those bytes at the rate of the file, and the round trip",
            ),
            input("rho", rho, Unit::Fraction, "lambda E[S]"),
            input(
                "spread",
                variance.sqrt(),
                Unit::Seconds,
                "standard deviation of one seed, by the form",
            ),
        ],
    })
}

/// 20 sales: more than one full request, so that the round trip is shared as the form has it.
const DRAINED_MIN: usize = 20;

#[cfg(test)]
mod tests;
