//! A kiosk: customers confirm orders, which go to the broker. It has nothing of its own to keep.
//!
//! What it does with an order is decided in `orders`; a POS takes orders in the same way.

use std::{future::pending, io};

use backroom_collector::env::Env;

use super::{Context, boot, mqtt, orders, telemetry::Telemetry};
use crate::scenario::Role;

/// Runs a kiosk until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    if let Some(broker) = ctx.host_of(Role::Broker) {
        let options = mqtt::Options::default();
        let (client, _none) = mqtt::Client::start(&ctx, boot, broker.to_owned(), options);
        orders::take(&ctx, boot, &client, &telemetry).await;
        // The client's tasks send what still waits; the handle keeps them from stopping.
        return pending().await;
    }
    pending().await
}
