//! Orders: their numbers, their bytes on the wire, and the source that takes them. When customers come is `arrivals`'s.
//!
//! A kiosk and a POS take orders in the same way: the customer confirms (`OrderPlaced`), the order goes to the broker, and
//! with the broker's acknowledgement the store has accepted it (`OrderAccepted`). What happens next is `pos`'s business.

use std::sync::Arc;

use backroom_collector::env::Env;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use opentelemetry::{KeyValue, trace::SpanKind};
use rand::RngExt as _;
use tokio::{sync::Semaphore, time::sleep};

use super::{
    Context,
    arrivals::{Arrivals, Place},
    front::{Front, Lines},
    mqtt,
    telemetry::{Telemetry, TraceParent},
};
use crate::{
    event::{Event, OrderId, ShopEvent},
    scenario::Role,
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
/// order u64le, cents u32le, items u16le, kind u8, trace [16], span [8], lines, zeros up to the declared size
/// lines := nothing, or count u8 (1 to 12), item u16le * count
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) cents: u32,
    pub(crate) items: u16,
    /// How it was paid; 0 until that is known (see `pos::book`).
    pub(crate) paid: u8,
    pub(crate) trace: TraceParent,
    /// Which items of the menu; none where the store has no stock.
    pub(crate) lines: Lines,
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
        self.lines.encode(&mut out);
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
            lines: Lines::decode(bytes),
        })
    }
}

/// The topic of orders for one POS.
pub(crate) fn order_topic(pos: &str) -> String {
    format!("orders/{pos}")
}

/// Takes orders until the scenario's end, if this machine is one that takes them.
///
/// Each goes to one POS: a kiosk's in turn to all of them, a POS's own to itself.
pub(crate) async fn take<E: Env>(
    ctx: &Context<E>,
    boot: u16,
    mqtt: &mqtt::Client,
    telemetry: &Telemetry,
    front: &Front,
) {
    let Some(orders) = &ctx.scenario.orders else {
        return;
    };
    let groups = orders.from.iter();
    let sources: Vec<&str> = groups
        .flat_map(|group| ctx.machines.of_group(group))
        .map(|machine| machine.name.as_str())
        .collect();
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
    let Some(index) = sources.iter().position(|name| *name == ctx.name) else {
        return;
    };
    let place = Place {
        index,
        of: sources.len(),
    };
    let mut arrivals = Arrivals::new(
        &ctx.scenario,
        orders,
        place,
        ctx.run_seed,
        ctx.rng("arrivals", boot),
        ctx.rng("arrivals/bursts", boot),
    );
    let mut rng = ctx.rng("baskets", boot);
    // A stream of its own: what is on the menu does not change who comes, and for how many items.
    let mut tastes = ctx.rng("tastes", boot);
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
        let lines = front.choose(items, &mut tastes);
        for item in lines.iter() {
            ctx.recorder.record(Event::Shop(ShopEvent::ItemOrdered {
                order: id,
                item,
                at: ctx.id,
            }));
        }
        let order = Order {
            id,
            cents,
            items,
            paid: 0,
            trace: span.parent(),
            lines,
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
            lines: Lines::default(),
        };
        let bytes = order.encode(1200);
        assert_eq!(bytes.len(), 1200);
        assert_eq!(Order::decode(&bytes), Some(order));
        assert_eq!(Order::decode(&order.encode(0)), Some(order));
        assert_eq!(Order::decode(&bytes[..ORDER_BYTES - 1]), None);
        let order = Order {
            lines: [7, 0, 299].into_iter().collect(),
            ..order
        };
        assert_eq!(order.encode(1200).len(), 1200);
        assert_eq!(Order::decode(&order.encode(1200)), Some(order));
        assert_eq!(Order::decode(&order.encode(0)), Some(order));
    }
}
