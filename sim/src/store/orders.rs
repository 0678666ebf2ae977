//! Orders: their numbers, their bytes on the wire, when customers come, and the source that takes them.
//!
//! A kiosk and a POS take orders in the same way: the customer confirms (`OrderPlaced`), the order goes to the broker, and
//! with the broker's acknowledgement the store has accepted it (`OrderAccepted`). What happens next is `pos`'s business.

use std::{sync::Arc, time::Duration};

use backroom_collector::env::Env;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use opentelemetry::{KeyValue, trace::SpanKind};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::Distribution as _;
use tokio::{sync::Semaphore, time::sleep};

use super::{
    Context, mqtt,
    telemetry::{Telemetry, TraceParent},
};
use crate::{
    event::{Event, OrderId},
    scenario::{Orders, Profile, Role, Scenario},
};

/// Orders of one machine that the broker has not acknowledged; with so many waiting, new customers walk away.
const WAITING_MAX: usize = 64;

/// Prices of one item, in cents.
const PRICE_CENTS: std::ops::Range<u32> = 250..1_250;

/// `machine << 40 | boot << 24 | count`: unique in a run, and across crashes.
pub(crate) fn order_id(machine: u16, boot: u16, count: u32) -> OrderId {
    debug_assert!(count < 1 << 24, "16 million orders between two boots");
    u64::from(machine) << 40 | u64::from(boot) << 24 | u64::from(count & 0xff_ffff)
}

/// An order as it travels: from kiosk to POS, as a ticket, and as a sale.
///
/// ```text
/// order u64le, cents u32le, items u16le, kind u8, trace [16], span [8], zeros up to the declared size
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) cents: u32,
    pub(crate) items: u16,
    /// How it was paid; 0 until that is known (see `pos::book`).
    pub(crate) paid: u8,
    pub(crate) trace: TraceParent,
}

const ORDER_BYTES: usize = 8 + 4 + 2 + 1 + 16 + 8;

impl Order {
    /// Its bytes, padded to `bytes`.
    pub(crate) fn encode(&self, bytes: u64) -> Bytes {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(1 << 19);
        let mut out = BytesMut::with_capacity(bytes.max(ORDER_BYTES));
        out.put_u64_le(self.id);
        out.put_u32_le(self.cents);
        out.put_u16_le(self.items);
        out.put_u8(self.paid);
        out.put_slice(&self.trace.trace);
        out.put_slice(&self.trace.span);
        if out.len() < bytes {
            out.resize(bytes, 0);
        }
        out.freeze()
    }

    /// Reads it back; `None` if the bytes are too few.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < ORDER_BYTES {
            return None;
        }
        let id = bytes.get_u64_le();
        let cents = bytes.get_u32_le();
        let items = bytes.get_u16_le();
        let paid = bytes.get_u8();
        let mut trace = TraceParent::default();
        bytes.copy_to_slice(&mut trace.trace);
        bytes.copy_to_slice(&mut trace.span);
        Some(Self {
            id,
            cents,
            items,
            paid,
            trace,
        })
    }
}

/// The topic of orders for one POS.
pub(crate) fn order_topic(pos: &str) -> String {
    format!("orders/{pos}")
}

/// When customers come to one machine: a Poisson process whose rate follows the profile, store-local time.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// Customers per second at the profile's peak.
    peak: f64,
    profile: Option<Profile>,
    start: jiff::ZonedDateTime,
    /// Virtual time at which they stop.
    end: Duration,
    rng: ChaCha8Rng,
    /// The hour last looked at: from, to, rate.
    hour: (Duration, Duration, f64),
}

impl Arrivals {
    /// `share` is this machine's part of the store's orders.
    fn new(scenario: &Scenario, orders: &Orders, share: f64, rng: ChaCha8Rng) -> Self {
        Self {
            peak: orders.peak_per_hour / 3600.0 * share,
            profile: orders.profile.clone(),
            start: scenario.start.clone(),
            end: scenario.duration,
            rng,
            hour: (Duration::ZERO, Duration::ZERO, 0.0),
        }
    }

    /// The first arrival after `from`; `None` if none comes before the end.
    fn next(&mut self, from: Duration) -> Option<Duration> {
        // Time change: an Exp(1) amount of expected customers has to pass.
        let mut left: f64 = rand_distr::Exp1.sample(&mut self.rng);
        let mut at = from;
        while at < self.end {
            let (until, rate) = self.rate(at);
            let span = (until - at).as_secs_f64();
            if rate * span >= left {
                let arrival = at + Duration::from_secs_f64(left / rate);
                return (arrival < self.end).then_some(arrival);
            }
            left -= rate * span;
            at = until;
        }
        None
    }

    /// The rate at a virtual time, and until when it holds.
    fn rate(&mut self, at: Duration) -> (Duration, f64) {
        let Some(profile) = &self.profile else {
            return (self.end.max(at), self.peak);
        };
        if !(self.hour.0..self.hour.1).contains(&at) {
            let local = self
                .start
                .checked_add(at)
                .expect("a run ends before the year 9999");
            let into = Duration::new(
                u64::from(local.minute().unsigned_abs()) * 60
                    + u64::from(local.second().unsigned_abs()),
                local.subsec_nanosecond().unsigned_abs(),
            );
            let day = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
            let hour = usize::from(local.hour().unsigned_abs());
            let rate = self.peak * profile.hours[hour] * profile.days[day];
            let left = Duration::from_secs(3600).saturating_sub(into);
            self.hour = (at, at + left.max(Duration::from_millis(1)), rate);
        }
        (self.hour.1, self.hour.2)
    }
}

/// Takes orders until the scenario's end, if this machine is one that takes them.
///
/// Each goes to one POS: a kiosk's in turn to all of them, a POS's own to itself.
pub(crate) async fn take<E: Env>(
    ctx: &Context<E>,
    boot: u16,
    mqtt: &mqtt::Client,
    telemetry: &Telemetry,
) {
    let Some(orders) = &ctx.scenario.orders else {
        return;
    };
    let sources = orders
        .from
        .iter()
        .map(|group| ctx.machines.of_group(group).count())
        .sum::<usize>();
    if sources == 0 || !orders.from.contains(&ctx.group) {
        return;
    }
    let own = ctx.machines.named(&ctx.name).map(|machine| machine.role);
    let desks: Vec<Arc<str>> = ctx
        .machines
        .of_role(Role::Pos)
        .filter(|pos| own != Some(Role::Pos) || pos.name == ctx.name)
        .map(|pos| order_topic(&pos.name).into())
        .collect();
    if desks.is_empty() {
        return;
    }
    let bytes = ctx.step("order.placed").map_or(0, |step| step.bytes.0);
    let mut arrivals = Arrivals::new(
        &ctx.scenario,
        orders,
        1.0 / sources as f64,
        ctx.rng("arrivals", boot),
    );
    let mut rng = ctx.rng("baskets", boot);
    let places = Arc::new(Semaphore::new(WAITING_MAX));
    let mut count = 0_u32;
    while let Some(at) = arrivals.next(ctx.recorder.now()) {
        sleep(at.saturating_sub(ctx.recorder.now())).await;
        let items = orders.items.sample(&mut rng).clamp(1.0, 99.0) as u16;
        let cents = (0..items).map(|_| rng.random_range(PRICE_CENTS)).sum();
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            telemetry.log(
                "order.refused",
                "too many orders wait for the broker".to_owned(),
                Vec::new(),
            );
            continue;
        };
        let id = order_id(ctx.id.0, boot, count);
        let topic = Arc::clone(&desks[count as usize % desks.len()]);
        count += 1;

        let span = telemetry.span(
            "order.placed",
            SpanKind::Producer,
            None,
            vec![
                KeyValue::new("order.id", id as i64),
                KeyValue::new("order.items", i64::from(items)),
                KeyValue::new("order.cents", i64::from(cents)),
            ],
        );
        ctx.recorder.record(Event::OrderPlaced {
            order: id,
            at: ctx.id,
        });
        telemetry.count("store.orders.placed", 1);
        let order = Order {
            id,
            cents,
            items,
            paid: 0,
            trace: span.parent(),
        };
        let mqtt = mqtt.clone();
        let recorder = ctx.recorder.clone();
        ctx.env.spawn(async move {
            if mqtt
                .publish(topic, order.encode(bytes), false)
                .await
                .is_ok()
            {
                recorder.record(Event::OrderAccepted { order: id });
            }
            span.end();
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn an_order_comes_back_as_it_was_sent() {
        let order = Order {
            id: order_id(17, 3, 99),
            cents: 1234,
            items: 3,
            paid: 2,
            trace: TraceParent {
                trace: [7; 16],
                span: [9; 8],
            },
        };
        let bytes = order.encode(1200);
        assert_eq!(bytes.len(), 1200);
        assert_eq!(Order::decode(&bytes), Some(order));
        assert_eq!(Order::decode(&order.encode(0)), Some(order));
        assert_eq!(Order::decode(&bytes[..ORDER_BYTES - 1]), None);
    }

    fn arrivals(profile: Option<Profile>, end: Duration) -> Arrivals {
        Arrivals {
            peak: 180.0 / 3600.0,
            profile,
            // A Friday.
            start: "2025-03-14T11:30:00-05:00[-05:00]".parse().expect("a date"),
            end,
            rng: ChaCha8Rng::from_seed([3; 32]),
            hour: (Duration::ZERO, Duration::ZERO, 0.0),
        }
    }

    fn count(arrivals: &mut Arrivals, from: Duration, to: Duration) -> usize {
        let mut at = from;
        let mut count = 0;
        while let Some(next) = arrivals.next(at) {
            if next >= to {
                break;
            }
            assert!(next > at || count == 0);
            at = next;
            count += 1;
        }
        count
    }

    #[test]
    fn customers_come_at_the_declared_rate_and_stop_at_the_end() {
        let hour = Duration::from_secs(3600);
        let got = count(&mut arrivals(None, 100 * hour), Duration::ZERO, 100 * hour);
        // 18,000 expected; four standard deviations are 537.
        assert!((17_463..=18_537).contains(&got), "{got}");
        assert_eq!(arrivals(None, hour).next(hour), None);
    }

    #[test]
    fn the_profile_is_read_in_store_time() {
        let mut profile = Profile {
            hours: [0.0; 24],
            days: [1.0; 7],
        };
        profile.hours[12] = 1.0;
        profile.days[5] = 0.0;
        let hour = Duration::from_secs(3600);
        // From 11:30: nobody for half an hour, then one busy hour; nobody on Saturday.
        let mut arrivals = arrivals(Some(profile), 48 * hour);
        let first = arrivals.next(Duration::ZERO).expect("somebody comes");
        assert!((hour / 2..hour * 3 / 2).contains(&first), "{first:?}");
        assert_eq!(arrivals.next(hour * 3 / 2), None);
    }
}
