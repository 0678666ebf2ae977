//! A menu board: shows what the retained menu topics say, drops what is sold out, and fetches its films at night.
//!
//! What it shows is `front`'s; how a film of hundreds of megabytes comes over a thin line is `catalog::puller`'s.

use std::{future::pending, io};

use backroom_collector::env::Env;

use super::{Context, boot, catalog::media, front::Front, mqtt, telemetry::Telemetry};
use crate::scenario::Role;

/// Runs a menu board until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let films = media(&ctx, boot).await?;
    let films = async {
        match films {
            Some(puller) => puller.run(|_| std::future::ready(())).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        ended = films => ended,
        ended = show(&ctx, boot, &telemetry) => ended,
    }
}

async fn show<E: Env>(ctx: &Context<E>, boot: u16, telemetry: &Telemetry) -> io::Result<()> {
    let Some(broker) = ctx.host_of(Role::Broker) else {
        return pending().await;
    };
    let options = mqtt::Options {
        subscriptions: vec!["menu/#".to_owned()],
    };
    let (client, mut menus) = mqtt::Client::start(ctx, boot, broker.to_owned(), options);
    let front = Front::new(ctx);
    let mut showing = bytes::Bytes::new();
    while let Some(menu) = menus.recv().await {
        let is_new = front.hear(&menu.topic, &menu.payload);
        // The broker sends it again with each connection; only a change is worth a word.
        if is_new || menu.payload != showing {
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
