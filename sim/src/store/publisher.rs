//! Head office's publishing house: new versions of menu, reference data and media at their times, served in chunks; and the ledger
//! of rewards.
//!
//! It answers any chunk of any version that is out, so a store that was away for a week is served as well as one that asks each
//! minute. Sessions go through head office's one gate. What a set consists of: `catalog::content`. Who asks: `catalog::puller`,
//! `catalog::offers`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use backroom_collector::env::Env;
use bytes::{Buf as _, Bytes};
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use tokio::time::sleep;

use super::{
    Context, HQ_CATALOG_PORT, HQ_MEDIA_PORT, HQ_REWARDS_PORT,
    catalog::content::{self, Manifest},
    http::{self, Road, answer, read_body},
};
use crate::{
    event::{CouponId, Event, Set, ShopEvent},
    scenario::shop::{Publication, instants},
};

/// Largest batch of rewards.
const REWARDS_BYTES_MAX: usize = 1 << 16;

/// Says no in head office's place, while a fault says so.
pub(super) type Refuse = Arc<dyn Fn() -> Option<Response<Full<Bytes>>> + Send + Sync>;

/// Starts what the scenario publishes; nothing where it publishes nothing in this run.
///
/// # Errors
/// When a port is taken.
pub(super) async fn start<E: Env>(
    ctx: &Context<E>,
    gate: &http::Gate,
    refuse: Refuse,
) -> io::Result<()> {
    let mut sets: BTreeMap<Set, Publication> = BTreeMap::new();
    for set in Set::ALL {
        let Some(publication) = content::publication(&ctx.scenario, set) else {
            continue;
        };
        let times = instants(&ctx.scenario, &publication.at);
        // Boards ask for media only when some are due.
        if set == Set::Media && times.is_empty() {
            continue;
        }
        ctx.env.spawn(publish(ctx.clone(), set, times));
        sets.insert(set, publication);
    }
    let house = Arc::new(House {
        ctx: ctx.clone(),
        manifests: Mutex::default(),
        rewards: Mutex::default(),
        refuse,
        sets,
    });
    let has = |set: Set| house.sets.contains_key(&set);
    let ports = [
        (HQ_CATALOG_PORT, has(Set::Menu) || has(Set::Reference)),
        (HQ_MEDIA_PORT, has(Set::Media)),
        (HQ_REWARDS_PORT, ctx.scenario.shop.offers.is_some()),
    ];
    for (port, _) in ports.into_iter().filter(|(_, is_used)| *is_used) {
        let address = SocketAddr::from(([0, 0, 0, 0], port));
        let listener = ctx.env.listen(address).await?;
        let house = Arc::clone(&house);
        let handler = move |request| Arc::clone(&house).serve(request);
        let gate = gate.clone();
        let env = ctx.env.clone();
        ctx.env
            .spawn(http::serve(env, listener, Road::Http1, gate, handler));
    }
    Ok(())
}

/// Tells of each version when it comes out.
async fn publish<E: Env>(ctx: Context<E>, set: Set, times: Vec<Duration>) {
    for (version, at) in (2..).zip(times) {
        sleep(at.saturating_sub(ctx.recorder.now())).await;
        ctx.recorder
            .record(Event::Shop(ShopEvent::Published { set, version }));
    }
}

struct House<E> {
    ctx: Context<E>,
    sets: BTreeMap<Set, Publication>,
    /// The newest list of each set, as bytes.
    manifests: Mutex<BTreeMap<Set, (u32, Bytes)>>,
    rewards: Mutex<BTreeSet<CouponId>>,
    refuse: Refuse,
}

impl<E: Env> House<E> {
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Some(page) = (self.refuse)() {
            return page;
        }
        if request.method() == Method::POST {
            return self.settle(request).await;
        }
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let set = |name: &str| Set::ALL.into_iter().find(|set| set.as_str() == name);
        let found = match parts.as_slice() {
            [name, "manifest"] => set(name).and_then(|set| {
                let have = request.uri().query().and_then(|q| q.strip_prefix("have="));
                self.manifest(set, have.and_then(|v| v.parse().ok()).unwrap_or(0))
            }),
            [name, "chunk", version, index] => set(name).and_then(|set| {
                let (version, index) = (version.parse().ok()?, index.parse().ok()?);
                self.chunk(set, version, index)
            }),
            _ => None,
        };
        found.unwrap_or_else(|| answer(StatusCode::NOT_FOUND, Bytes::new()))
    }

    fn version(&self, publication: &Publication) -> u32 {
        publication.version_at(&self.ctx.scenario, self.ctx.recorder.now())
    }

    fn manifest(&self, set: Set, have: u32) -> Option<Response<Full<Bytes>>> {
        let publication = self.sets.get(&set)?;
        let version = self.version(publication);
        if have >= version {
            return Some(answer(StatusCode::NOT_MODIFIED, Bytes::new()));
        }
        let mut manifests = self.manifests.lock().expect("nobody panics inside");
        let newest = manifests.entry(set).or_default();
        if newest.0 != version {
            *newest = (version, Manifest::of(set, publication, version).encode());
        }
        Some(answer(StatusCode::OK, newest.1.clone()))
    }

    fn chunk(&self, set: Set, version: u32, index: u32) -> Option<Response<Full<Bytes>>> {
        let publication = self.sets.get(&set)?;
        let is_there = version <= self.version(publication) && index < publication.chunks();
        is_there.then(|| {
            let bytes = content::chunk(set, publication, version, index);
            answer(StatusCode::OK, bytes)
        })
    }

    /// Settles rewards, each coupon once.
    async fn settle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = read_body(request.into_body(), REWARDS_BYTES_MAX).await;
        let Some(mut body) = body.filter(|body| body.len().is_multiple_of(8)) else {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        };
        let mut rewards = self.rewards.lock().expect("nobody panics inside");
        while body.has_remaining() {
            let coupon = body.get_u64_le();
            let is_new = rewards.insert(coupon);
            self.ctx.recorder.record(Event::Shop(match is_new {
                true => ShopEvent::RewardSettled { coupon },
                false => ShopEvent::RewardRepeated { coupon },
            }));
        }
        answer(StatusCode::OK, Bytes::new())
    }
}
