//! Orders, payments and the router's line: what a customer and the cook notice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    SeedLog,
    series::{Series, Timed},
};
use crate::{
    event::{Event, MachineChange, MachineId, OrderId, Payment},
    scenario::FaultKind,
};

/// What happened to one order, each for the first time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    pub(crate) placed: Option<Duration>,
    pub(crate) accepted: Option<Duration>,
    pub(crate) shown: Option<Duration>,
    pub(crate) asked: Option<Duration>,
    pub(crate) settled: Option<Duration>,
    pub(crate) stored: Option<Duration>,
    pub(crate) booked: Option<Duration>,
}

/// All orders by number.
pub(crate) fn orders(log: &SeedLog<'_>) -> BTreeMap<OrderId, Order> {
    let mut all: BTreeMap<OrderId, Order> = BTreeMap::new();
    for stamped in log.events {
        let at = stamped.at;
        let mut first = |order: OrderId, which: fn(&mut Order) -> &mut Option<Duration>| {
            which(all.entry(order).or_default()).get_or_insert(at);
        };
        match stamped.event {
            Event::OrderPlaced { order, .. } => first(order, |o| &mut o.placed),
            Event::OrderAccepted { order } => first(order, |o| &mut o.accepted),
            Event::TicketShown { order, .. } => first(order, |o| &mut o.shown),
            Event::SaleStored { order, .. } => first(order, |o| &mut o.stored),
            Event::SaleBooked { order } => first(order, |o| &mut o.booked),
            Event::PaymentSettled {
                order,
                asked_at,
                how,
            } if is_answer(how) => {
                first(order, |o| &mut o.settled);
                all.entry(order).or_default().asked.get_or_insert(asked_at);
            }
            _ => {}
        }
    }
    all
}

/// Whether it ends the customer's wait, as opposed to what becomes of an offline payment later.
pub(crate) fn is_answer(how: Payment) -> bool {
    match how {
        Payment::Online
        | Payment::Offline
        | Payment::StandIn
        | Payment::Declined
        | Payment::Refused => true,
        Payment::SettledLater | Payment::Expired | Payment::DeclinedLater => false,
    }
}

/// A latency between two moments of an order. What has not ended counts with its age at the end of the run.
fn latencies(
    log: &SeedLog<'_>,
    ends: impl Fn(&Order) -> Option<(Duration, Option<Duration>)>,
) -> Series {
    let latency = |order: &Order| {
        let (start, stop) = ends(order)?;
        Some(Timed::latency(
            start,
            stop.unwrap_or(log.ended_at.max(start)),
            1,
        ))
    };
    Series::Samples(orders(log).values().filter_map(latency).collect())
}

/// One for each event that `at` recognises.
pub(super) fn count(log: &SeedLog<'_>, is: impl Fn(&Event) -> bool) -> Series {
    let hits = log.events.iter().filter(|s| is(&s.event));
    Series::Counter(hits.map(|s| (s.at, 1.0)).collect())
}

fn counter(mut steps: Vec<(Duration, f64)>) -> Series {
    steps.sort_by_key(|(at, _)| *at);
    Series::Counter(steps)
}

/// The series of a metric of this family; `None` if it is of another one.
pub(super) fn series(log: &SeedLog<'_>, name: &str) -> Option<Series> {
    let payment = |kind: Payment| {
        count(
            log,
            move |e| matches!(e, Event::PaymentSettled { how, .. } if *how == kind),
        )
    };
    Some(match name {
        "order.accept_delay" => latencies(log, |o| Some((o.placed?, o.accepted))),
        "order.to_kds" => latencies(log, |o| Some((o.placed?, o.shown))),
        "order.e2e" => latencies(log, |o| Some((o.placed?, o.booked))),
        "order.placed" => count(log, |e| matches!(e, Event::OrderPlaced { .. })),
        "order.accepted" => count(log, |e| matches!(e, Event::OrderAccepted { .. })),
        "order.booked" => count(log, |e| matches!(e, Event::SaleBooked { .. })),
        "order.repeated" => count(log, |e| matches!(e, Event::SaleRepeated { .. })),
        "order.outbox" => outbox(log),
        "order.lost" => counter(lost(log).into_iter().map(|(at, _)| (at, 1.0)).collect()),
        "order.duplicated" => Series::Counter(
            duplicated(log)
                .into_iter()
                .map(|(at, _)| (at, 1.0))
                .collect(),
        ),
        "payment.auth" => payments(log),
        "payment.offline" => payment(Payment::Offline),
        "payment.declined" => payment(Payment::Declined),
        "payment.expired" => payment(Payment::Expired),
        "payment.stand_in" => payment(Payment::StandIn),
        "payment.refused" => payment(Payment::Refused),
        "payment.declined_later" => payment(Payment::DeclinedLater),
        "event.out_of_order" => counter(
            out_of_order(log)
                .into_iter()
                .map(|(at, _)| (at, 1.0))
                .collect(),
        ),
        "failover.switch" => count(log, |e| matches!(e, Event::Failover { .. })),
        "failover.active" => Series::Gauge {
            initial: 0.0,
            steps: failovers(log),
        },
        "failover.dark" => dark(log),
        _ => return None,
    })
}

/// Sales that are stored and not booked. One that is told again by a POS that starts counts once.
fn outbox(log: &SeedLog<'_>) -> Series {
    let mut steps = Vec::new();
    for order in orders(log).values() {
        // Head office may book what was stored at the same instant, and never before.
        steps.extend(order.stored.map(|at| (at, 1.0)));
        steps.extend(order.stored.and(order.booked).map(|at| (at, -1.0)));
    }
    steps.sort_by(|a: &(Duration, f64), b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut waiting = 0.0;
    let level = steps.into_iter().map(|(at, change)| {
        waiting += change;
        (at, waiting)
    });
    Series::Gauge {
        initial: 0.0,
        steps: level.collect(),
    }
}

/// The first instant at or after `from` at which no sale waits; `None` if there is none.
pub(crate) fn outbox_empty(log: &SeedLog<'_>, from: Duration) -> Option<Duration> {
    let Series::Gauge { steps, .. } = outbox(log) else {
        return None;
    };
    let next = steps.partition_point(|(at, _)| *at < from);
    steps[next..]
        .iter()
        .find(|(_, waiting)| *waiting == 0.0)
        .map(|(at, _)| *at)
}

/// Whether the line in use is cut, by what the faults do and which line the router uses. One pass over all changes in time order.
fn dark(log: &SeedLog<'_>) -> Series {
    let scenario = log.scenario;
    let failover = scenario.failover.as_ref();
    let backup = failover.map(|failover| failover.backup.as_str());
    let cuts = |kind: &FaultKind| match kind {
        FaultKind::LinkDown { link } if Some(link.as_str()) == backup => Some(1),
        FaultKind::LinkDown { link } if scenario.primary_line() == Some(link) => Some(0),
        FaultKind::RegionOutage { is_ours: true, .. } => Some(0),
        _ => None,
    };
    enum Change {
        Cut(usize, i32),
        Use(usize),
    }
    let mut changes: Vec<(Duration, Change)> = Vec::new();
    for fault in &scenario.faults {
        let Some(line) = cuts(&fault.kind) else {
            continue;
        };
        for window in &fault.windows {
            changes.push((window.start, Change::Cut(line, 1)));
            changes.extend(window.end.map(|end| (end, Change::Cut(line, -1))));
        }
    }
    let switches = failovers(log).into_iter();
    changes.extend(switches.map(|(at, backup)| (at, Change::Use(usize::from(backup > 0.0)))));
    changes.sort_by_key(|(at, _)| *at);
    let (mut cut, mut used) = ([0; 2], 0);
    let mut steps: Vec<(Duration, f64)> = Vec::new();
    for (at, change) in changes {
        match change {
            Change::Cut(line, by) => cut[line] += by,
            Change::Use(line) => used = line,
        }
        steps.push((at, if cut[used] > 0 { 1.0 } else { 0.0 }));
    }
    Series::Gauge {
        initial: 0.0,
        steps,
    }
}

/// Time of each answer since it was asked for. An accepted order that was never answered counts from its acceptance, if the store
/// takes payments at all.
fn payments(log: &SeedLog<'_>) -> Series {
    let flow = log
        .scenario
        .orders
        .as_ref()
        .map(|o| o.flow.as_slice())
        .unwrap_or_default();
    let takes_payments = flow.iter().any(|step| step.msg == "payment.auth");
    latencies(log, |o| match (o.asked, o.settled) {
        (Some(asked), Some(settled)) => Some((asked, Some(settled))),
        _ if takes_payments => Some((o.accepted?, None)),
        _ => None,
    })
}

/// 300 s: time for a durable sale to reach head office once everything is well. A back-off of up to 30 s, a parked segment's 120 s,
/// and the router's minute before it goes back to its line all fit.
pub(crate) const SETTLE_BOUND: Duration = Duration::from_secs(300);

/// 60 s: time for an accepted order to be paid and stored; a payment waits 8 s at most.
const HANDLE_BOUND: Duration = Duration::from_secs(60);

/// Orders that the store accepted and head office never booked, although there was time, with the time of acceptance. Time begins
/// when everything has healed; while a fault lasts to the end of the run, a stored sale is on its way.
pub(crate) fn lost(log: &SeedLog<'_>) -> Vec<(Duration, OrderId)> {
    let healed = healed_at(log);
    let missing = |(id, order): (&OrderId, &Order)| {
        let accepted = order.accepted?;
        let in_time = match (order.stored, healed) {
            (Some(_), None) => true,
            (Some(_), Some(healed)) => accepted.max(healed) + SETTLE_BOUND > log.ended_at,
            (None, healed) => {
                accepted.max(healed.unwrap_or_default()) + HANDLE_BOUND > log.ended_at
            }
        };
        (order.booked.is_none() && !in_time).then_some((accepted, *id))
    };
    orders(log).iter().filter_map(missing).collect()
}

/// When the last fault ended; `None` if one lasts to the end of the run. One that would end later stays for the settle phase too, and one
/// that would begin later never does: a run plays its faults like that.
pub(crate) fn healed_at(log: &SeedLog<'_>) -> Option<Duration> {
    let run = log.scenario.duration;
    let windows = log.scenario.faults.iter().flat_map(|f| &f.windows);
    windows
        .filter(|w| w.start < run)
        .map(|w| w.end.filter(|end| *end <= run))
        .try_fold(Duration::ZERO, |last, end| Some(last.max(end?)))
}

/// Second effects, with the time of the second one: booked twice, or twice on one kitchen display that did not restart.
pub(crate) fn duplicated(log: &SeedLog<'_>) -> Vec<(Duration, OrderId)> {
    let mut booked = BTreeSet::new();
    let mut shown: BTreeMap<MachineId, BTreeSet<OrderId>> = BTreeMap::new();
    let mut second = |event: &Event| match *event {
        Event::SaleBooked { order } => (!booked.insert(order)).then_some(order),
        Event::TicketShown { order, kds } => {
            let again = !shown.entry(kds).or_default().insert(order);
            again.then_some(order)
        }
        // Its screen is empty: what the broker delivers once more is shown for the first time, as EFFECT-1 has it.
        Event::Machine {
            machine,
            change: MachineChange::Crashed | MachineChange::Rebooted | MachineChange::PowerLost,
        } => {
            shown.remove(&machine);
            None
        }
        _ => None,
    };
    log.events
        .iter()
        .filter_map(|s| Some((s.at, second(&s.event)?)))
        .collect()
}

/// Sales that were booked after a later one of the same POS, with the time of booking.
pub(crate) fn out_of_order(log: &SeedLog<'_>) -> Vec<(Duration, OrderId)> {
    let mut stored: BTreeMap<OrderId, (MachineId, usize)> = BTreeMap::new();
    let mut newest: BTreeMap<MachineId, usize> = BTreeMap::new();
    let mut late = Vec::new();
    for (index, stamped) in log.events.iter().enumerate() {
        match stamped.event {
            Event::SaleStored { order, pos } => {
                stored.entry(order).or_insert((pos, index));
            }
            Event::SaleBooked { order } => {
                let Some((pos, number)) = stored.get(&order) else {
                    continue;
                };
                let newest = newest.entry(*pos).or_default();
                if *number < *newest {
                    late.push((stamped.at, order));
                }
                *newest = (*newest).max(*number);
            }
            _ => {}
        }
    }
    late
}

/// 1 while the backup is active.
fn failovers(log: &SeedLog<'_>) -> Vec<(Duration, f64)> {
    let change = |event: &Event| match event {
        Event::Failover { backup } => Some(f64::from(u8::from(*backup))),
        _ => None,
    };
    log.events
        .iter()
        .filter_map(|s| Some((s.at, change(&s.event)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::fixture::{Log, s, scenario},
        scenario::FaultWindow,
    };

    /// Regression: a line that was to come back after the end of the run never does, and passed for healed.
    #[test]
    fn a_fault_that_outlasts_the_run_never_heals() {
        let check = |windows: &[(f64, Option<f64>)], expect: Option<f64>| {
            let mut scenario = scenario();
            let windows = windows.iter().map(|(start, end)| FaultWindow {
                start: s(*start),
                end: end.map(s),
            });
            scenario.faults[0].windows = windows.collect();
            let mut log = Log::default();
            assert_eq!(healed_at(&log.log(&scenario)), expect.map(s));
        };
        check(&[(10.0, Some(20.0)), (30.0, Some(5400.0))], Some(5400.0));
        check(&[(10.0, Some(20.0)), (30.0, Some(5401.0))], None);
        check(&[(10.0, None)], None);
        check(&[(10.0, Some(20.0)), (5400.0, Some(5500.0))], Some(20.0));
        check(&[], Some(0.0));
    }
}
