//! A kiosk: customers confirm orders, which go to the broker. It has nothing of its own to keep.
//!
//! What it does with an order is decided in `orders`; a POS takes orders in the same way. What customers see of the menu is
//! `front`'s.

use std::{future::pending, io};

use backroom_collector::env::Env;

use super::{Context, boot, front::Front, mqtt, orders, telemetry::Telemetry};
use crate::scenario::Role;

/// Runs a kiosk until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let Some(broker) = ctx.host_of(Role::Broker) else {
        return pending().await;
    };
    let options = mqtt::Options {
        subscriptions: Front::topics(&ctx),
    };
    let (client, mut menus) = mqtt::Client::start(&ctx, boot, broker.to_owned(), options);
    let front = Front::new(&ctx);
    let shows = front.clone();
    if !Front::topics(&ctx).is_empty() {
        ctx.env.spawn(async move {
            while let Some(menu) = menus.recv().await {
                shows.hear(&menu.topic, &menu.payload);
                menu.ack();
            }
        });
    }
    orders::take(&ctx, boot, &client, &telemetry, &front).await;
    // The client's tasks send what still waits; the handle keeps them from stopping.
    pending().await
}
