//! The store's catalog: keeps what head office publishes (menu, reference data) and answers for offers.
//!
//! It goes on with what it has while the line is dead: boards and kiosks show the last menu, and coupons are checked against the
//! offers that came with it. A new menu is shown when all of it is on the disk, by one retained message at the broker.
//! `content` is what a set consists of, `shelf` what is here of it, `puller` how it comes; `offers` redeems coupons.

pub(super) mod content;
mod offers;
mod puller;
mod shelf;

use std::{future::pending, io};

use backroom_collector::env::Env;
use tokio::sync::watch;

pub(super) use offers::{OFFERS_PORT, Scan, answer_of};
pub(super) use puller::media;

use self::puller::{Pace, Puller};
use super::{
    Context, HQ_CATALOG_PORT, boot,
    front::{MENU_TOPIC, encode_menu},
    mqtt,
    telemetry::Telemetry,
};
use crate::{
    event::Set,
    scenario::{Role, shop::Catalog},
};

/// Runs the catalog until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let Some(catalog) = ctx.scenario.shop.catalog.clone() else {
        return pending().await;
    };
    let (menus, menu) = watch::channel(0);
    let reference = pull(&ctx, boot, &catalog, Set::Reference, |version| {
        telemetry.count("store.catalog.versions", 1);
        telemetry.log(
            "catalog.applied",
            format!("reference data {version}"),
            Vec::new(),
        );
        std::future::ready(())
    });
    let own = pull(&ctx, boot, &catalog, Set::Menu, |version| {
        menus.send_replace(version);
        telemetry.count("store.menu.versions", 1);
        telemetry.log("catalog.applied", format!("menu {version}"), Vec::new());
        std::future::ready(())
    });
    tokio::select! {
        biased;
        ended = own => ended,
        ended = reference => ended,
        ended = show(&ctx, boot, menu.clone()) => ended,
        ended = offers::run(&ctx, boot, menu, &telemetry) => ended,
    }
}

/// Keeps one set up to date; for ever idle where the scenario does not publish it.
async fn pull<E: Env, F: Future<Output = ()>>(
    ctx: &Context<E>,
    boot: u16,
    catalog: &Catalog,
    set: Set,
    applied: impl FnMut(u32) -> F,
) -> io::Result<()> {
    let Some(publication) = content::publication(&ctx.scenario, set) else {
        return pending().await;
    };
    let pace = Pace::Every(catalog.poll);
    let puller = Puller::open(ctx, boot, set, &publication, HQ_CATALOG_PORT, pace).await?;
    puller.run(applied).await
}

/// Brings each menu in use to the broker, which keeps it for whoever asks.
async fn show<E: Env>(
    ctx: &Context<E>,
    boot: u16,
    mut menu: watch::Receiver<u32>,
) -> io::Result<()> {
    let Some(broker) = ctx.host_of(Role::Broker) else {
        return pending().await;
    };
    let options = mqtt::Options::default();
    let (client, _none) = mqtt::Client::start(ctx, boot, broker.to_owned(), options);
    while menu.changed().await.is_ok() {
        let version = *menu.borrow_and_update();
        client
            .publish(MENU_TOPIC, encode_menu(version), true)
            .await?;
    }
    pending().await
}
