//! A menu board: shows what the retained menu topics say. Light on purpose: it has no customer waiting.
//!
//! Bulk media from head office is not fetched in this version.

use std::{future::pending, io};

use backroom_collector::env::Env;

use super::{Context, boot, mqtt, telemetry::Telemetry};
use crate::scenario::Role;

/// Retained: the menu as a whole.
pub(super) const MENU_TOPIC: &str = "menu/board";

/// Runs a menu board until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let Some(broker) = ctx.host_of(Role::Broker) else {
        return pending().await;
    };
    let options = mqtt::Options {
        subscriptions: vec!["menu/#".to_owned()],
    };
    let (client, mut menus) = mqtt::Client::start(&ctx, boot, broker.to_owned(), options);
    let mut showing = bytes::Bytes::new();
    while let Some(menu) = menus.recv().await {
        // The broker sends it again with each connection; only a change is worth a word.
        if menu.payload != showing {
            showing = menu.payload.clone();
            telemetry.count("store.menu.changes", 1);
            telemetry.log(
                "menu.shown",
                format!("{} with {} bytes", menu.topic, menu.payload.len()),
                Vec::new(),
            );
        }
        menu.ack();
    }
    drop(client);
    pending().await
}
