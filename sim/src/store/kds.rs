//! A kitchen display: shows each ticket once, and acknowledges it when it is shown.
//!
//! Its memory is what stands on the screen: after a crash the screen is empty, and what was acknowledged does not come
//! back. Repeats are told by order id.

use std::{
    collections::{BTreeSet, VecDeque},
    future::pending,
    io,
};

use backroom_collector::env::Env;
use opentelemetry::{KeyValue, trace::SpanKind};

use super::{Context, boot, mqtt, orders::Order, telemetry::Telemetry};
use crate::{
    event::{Event, OrderId},
    scenario::Role,
};

/// Orders whose tickets are remembered. A repeat comes within minutes, a busy day has some thousand orders.
const REMEMBERED_MAX: usize = 4096;

/// The topic of tickets for one display.
pub(super) fn topic(kds: &str) -> String {
    format!("tickets/{kds}")
}

/// Runs a kitchen display until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let Some(broker) = ctx.host_of(Role::Broker) else {
        return pending().await;
    };
    let options = mqtt::Options {
        subscriptions: vec![topic(&ctx.name)],
    };
    let (client, mut tickets) = mqtt::Client::start(&ctx, boot, broker.to_owned(), options);
    let mut shown = Recent::new(REMEMBERED_MAX);
    while let Some(ticket) = tickets.recv().await {
        if let Some(order) = Order::decode(&ticket.payload)
            && shown.insert(order.id)
        {
            let span = telemetry.span(
                "ticket.show",
                SpanKind::Consumer,
                Some(order.trace),
                vec![
                    KeyValue::new("order.id", order.id as i64),
                    KeyValue::new("order.items", i64::from(order.items)),
                ],
            );
            ctx.recorder.record(Event::TicketShown {
                order: order.id,
                kds: ctx.id,
            });
            telemetry.count("store.tickets.shown", 1);
            span.end();
        }
        ticket.ack();
    }
    drop(client);
    pending().await
}

/// The last so many order ids.
#[derive(Debug)]
pub(super) struct Recent {
    most: usize,
    known: BTreeSet<OrderId>,
    order: VecDeque<OrderId>,
}

impl Recent {
    /// Remembers the last `most` ids.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            known: BTreeSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Remembers an id; `false` if it was known.
    pub(super) fn insert(&mut self, id: OrderId) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// Whether an id is remembered.
    pub(super) fn contains(&self, id: OrderId) -> bool {
        self.known.contains(&id)
    }

    /// All that are remembered, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.order.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::new(2);
        assert!(recent.insert(1));
        assert!(!recent.insert(1));
        assert!(recent.insert(2));
        assert!(recent.insert(3));
        assert!(!recent.contains(1));
        assert_eq!(recent.iter().collect::<Vec<_>>(), [2, 3]);
    }
}
