//! Customers' phones: show coupons to the store's offers service, and wait for its answer.
//!
//! A phone has a line of its own: it knows the offers that head office has published a moment ago, which a store whose line is dead
//! has not heard of. It asks again until it has an answer, with the number of the same scan; some customers show a coupon twice.

use std::{collections::VecDeque, future::pending, io, sync::Arc, time::Duration};

use backroom_collector::env::Env;
use rand::RngExt as _;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    Context,
    arrivals::Arrivals,
    boot,
    catalog::{OFFERS_PORT, Scan, answer_of},
    http,
    orders::order_id,
    target,
    telemetry::Telemetry,
};
use crate::{
    event::{CouponId, Event, OfferAnswer, ShopEvent},
    scenario::Role,
};

/// How long a customer holds a phone out.
const PATIENCE: Duration = Duration::from_secs(15);

/// Pause between two tries of one scan, at most.
const PAUSE: Duration = Duration::from_millis(500);

/// Scans of one machine under way; beyond it customers put the phone away.
const WAITING_MAX: usize = 16;

/// Coupons that may be shown again.
const REMEMBERED_MAX: usize = 64;

/// Runs phones until they are aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let shop = &ctx.scenario.shop;
    let menu = shop.catalog.as_ref().and_then(|c| c.menu.as_ref());
    let (Some(offers), Some(menu), Some(desk)) = (&shop.offers, menu, ctx.host_of(Role::Catalog))
    else {
        return pending().await;
    };
    let phones = ctx.machines.of_role(Role::Mobile).count().max(1);
    let profile = ctx.scenario.orders.as_ref().and_then(|o| o.profile.clone());
    let rate = offers.scans_per_hour / phones as f64;
    let mut arrivals = Arrivals::of(&ctx.scenario, rate, profile, ctx.rng("scans", boot));
    let mut rng = ctx.rng("coupons", boot);
    let mut shown: VecDeque<(CouponId, u32, u16)> = VecDeque::new();
    let places = Arc::new(Semaphore::new(WAITING_MAX));
    let mut count = 0_u32;
    while let Some(at) = arrivals.next(ctx.recorder.now()) {
        sleep(at.saturating_sub(ctx.recorder.now())).await;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let number = order_id(ctx.id.0, boot, count);
        count += 1;
        let again = rng.random::<f64>() < offers.reused && !shown.is_empty();
        let (coupon, version, offer) = match again {
            true => shown[rng.random_range(0..shown.len())],
            false => {
                let version = menu.version_at(&ctx.scenario, ctx.recorder.now());
                (number, version, rng.random_range(0..offers.count))
            }
        };
        if !again {
            shown.push_back((coupon, version, offer));
            if shown.len() > REMEMBERED_MAX {
                shown.pop_front();
            }
        }
        let scan = Scan {
            scan: number,
            coupon,
            version,
            offer,
        };
        telemetry.count("store.offers.scanned", 1);
        ctx.recorder.record(Event::Shop(ShopEvent::OfferScanned {
            scan: number,
            coupon,
            at: ctx.id,
        }));
        let (desk, of_scan) = (desk.to_owned(), ctx.clone());
        ctx.env.spawn(async move {
            let answer = ask(&of_scan, boot, &desk, scan).await;
            let event = ShopEvent::OfferAnswered {
                scan: number,
                answer,
            };
            of_scan.recorder.record(Event::Shop(event));
            drop(place);
        });
    }
    pending().await
}

/// Asks until there is an answer, or the customer has no patience left.
async fn ask<E: Env>(ctx: &Context<E>, boot: u16, desk: &str, scan: Scan) -> OfferAnswer {
    let deadline = Instant::now() + PATIENCE;
    let mut client = http::Client::new(ctx.env.clone(), target(desk, OFFERS_PORT));
    let mut rng = ctx.rng(&format!("scan-pause/{}", scan.scan), boot);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return OfferAnswer::Silence;
        }
        let kind = "application/octet-stream";
        let answer = client.post("/redeem", kind, scan.encode(), left).await;
        if let Some(answer) = answer.ok().and_then(|a| answer_of(a.status)) {
            return answer;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        sleep(PAUSE.mul_f64(rng.random::<f64>()).min(left)).await;
    }
}
