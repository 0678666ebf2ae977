//! Redeems coupons in the store: checked against the offers of the last menu, written down before the answer, settled later.
//!
//! There is one such service in a store, so two tills cannot give one reward twice; and it asks nobody, so a dead line costs
//! neither a customer nor a reward. What was redeemed waits in an outbox until head office has answered, and head office drops
//! repeats by the coupon's number. Coupons shown at two stores that are both cut off are beyond it.
//!
//! ```text
//! POST /redeem    scan u64le, coupon u64le, version u32le, offer u16le
//! 200 the reward is given    409 redeemed before    404 not heard of    410 does not hold any more
//! record := 1, scan u64le, coupon u64le, version u32le      redeemed
//!         | 2, coupon u64le                                 settled
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use backroom_collector::env::Env;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use crate::{
    event::{CouponId, Event, OfferAnswer, ShopEvent},
    scenario::shop::Offers,
    store::{
        Context, DATA_DIR, HQ, HQ_REWARDS_PORT, http, journal::Journal, pace::FullJitter, target,
        telemetry::Telemetry,
    },
};

/// Where phones ask.
pub(in crate::store) const OFFERS_PORT: u16 = 8090;

/// Rewards in one request.
const BATCH_MAX: usize = 64;

/// Limit for one request to head office.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The journal is rewritten when it is longer.
const COMPACT_BYTES: u64 = 1 << 20;

/// New sessions per second: phones of a full store.
const ACCEPTS_PER_SECOND: f64 = 100.0;

/// What a phone shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Scan {
    /// Number of this scan: a phone that got no answer asks again with the same.
    pub(in crate::store) scan: u64,
    /// Number of the coupon.
    pub(in crate::store) coupon: CouponId,
    /// The version of the menu that the offer came with.
    pub(in crate::store) version: u32,
    /// Number of the offer in it.
    pub(in crate::store) offer: u16,
}

impl Scan {
    pub(in crate::store) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(22);
        out.put_u64_le(self.scan);
        out.put_u64_le(self.coupon);
        out.put_u32_le(self.version);
        out.put_u16_le(self.offer);
        out.freeze()
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 22).then(|| Self {
            scan: bytes.get_u64_le(),
            coupon: bytes.get_u64_le(),
            version: bytes.get_u32_le(),
            offer: bytes.get_u16_le(),
        })
    }
}

/// What an answer says; `None` where it says nothing, and the phone asks again.
pub(in crate::store) fn answer_of(status: StatusCode) -> Option<OfferAnswer> {
    ANSWERS
        .iter()
        .find(|(_, known)| *known == status)
        .map(|(answer, _)| *answer)
}

const ANSWERS: [(OfferAnswer, StatusCode); 4] = [
    (OfferAnswer::Redeemed, StatusCode::OK),
    (OfferAnswer::Used, StatusCode::CONFLICT),
    (OfferAnswer::Unknown, StatusCode::NOT_FOUND),
    (OfferAnswer::Expired, StatusCode::GONE),
];

/// What was redeemed, and what of it waits for head office. Sans-IO.
#[derive(Debug, Default, PartialEq, Eq)]
struct Coupons {
    /// By coupon: the scan that redeemed it, and the version of its offer. Those that have expired are forgotten.
    redeemed: BTreeMap<CouponId, (u64, u32)>,
    /// Oldest first.
    outbox: VecDeque<CouponId>,
}

const REDEEMED: u8 = 1;
const SETTLED: u8 = 2;

impl Coupons {
    fn recover(records: &[Bytes]) -> Self {
        let mut coupons = Self::default();
        for record in records {
            // A record that is too short for what it says to be is none.
            let _ = coupons.replay(record);
        }
        coupons
    }

    fn replay(&mut self, mut record: &[u8]) -> Option<()> {
        match record.try_get_u8().ok()? {
            REDEEMED => {
                let scan = record.try_get_u64_le().ok()?;
                let coupon = record.try_get_u64_le().ok()?;
                let version = record.try_get_u32_le().ok()?;
                self.insert(scan, coupon, version);
            }
            SETTLED => self.strike(record.try_get_u64_le().ok()?),
            _ => return None,
        }
        Some(())
    }

    fn insert(&mut self, scan: u64, coupon: CouponId, version: u32) {
        if self.redeemed.insert(coupon, (scan, version)).is_none() {
            self.outbox.push_back(coupon);
        }
    }

    fn strike(&mut self, coupon: CouponId) {
        self.outbox.retain(|other| *other != coupon);
    }

    /// What a scan gets, with `menu` in use.
    fn check(&self, scan: &Scan, menu: u32, offers: &Offers) -> OfferAnswer {
        match self.redeemed.get(&scan.coupon) {
            Some((by, _)) if *by == scan.scan => return OfferAnswer::Redeemed,
            Some(_) => return OfferAnswer::Used,
            None => {}
        }
        match menu.checked_sub(scan.version) {
            None => OfferAnswer::Unknown,
            _ if scan.offer >= offers.count => OfferAnswer::Unknown,
            Some(age) if age >= u32::from(offers.valid_for) => OfferAnswer::Expired,
            Some(_) => OfferAnswer::Redeemed,
        }
    }

    /// Redeems; gives the record.
    fn redeem(&mut self, scan: &Scan) -> Bytes {
        self.insert(scan.scan, scan.coupon, scan.version);
        encode_redeemed(scan.scan, scan.coupon, scan.version)
    }

    /// Head office has it; gives the record, which may be lost.
    fn settled(&mut self, coupon: CouponId) -> Bytes {
        self.strike(coupon);
        encode_settled(coupon)
    }

    /// Records that rebuild this state, without coupons that have expired and settled.
    fn snapshot(&mut self, menu: u32, offers: &Offers) -> Vec<Bytes> {
        let holds = |version: u32| menu.saturating_sub(version) < u32::from(offers.valid_for);
        let waits = |coupon: &CouponId| self.outbox.contains(coupon);
        self.redeemed
            .retain(|coupon, (_, version)| holds(*version) || waits(coupon));
        let of = |coupon: &CouponId| {
            let (scan, version) = self.redeemed[coupon];
            encode_redeemed(scan, *coupon, version)
        };
        let done = self.redeemed.keys().filter(|coupon| !waits(coupon));
        let done = done.flat_map(|coupon| [of(coupon), encode_settled(*coupon)]);
        done.chain(self.outbox.iter().map(of)).collect()
    }
}

fn encode_redeemed(scan: u64, coupon: CouponId, version: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(21);
    out.put_u8(REDEEMED);
    out.put_u64_le(scan);
    out.put_u64_le(coupon);
    out.put_u32_le(version);
    out.freeze()
}

fn encode_settled(coupon: CouponId) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    out.put_u8(SETTLED);
    out.put_u64_le(coupon);
    out.freeze()
}

/// Answers phones and settles rewards until it is aborted; idle where the scenario has no offers.
pub(super) async fn run<E: Env>(
    ctx: &Context<E>,
    boot: u16,
    menu: watch::Receiver<u32>,
    telemetry: &Telemetry,
) -> io::Result<()> {
    let Some(offers) = ctx.scenario.shop.offers.clone() else {
        return pending().await;
    };
    let path = Path::new(DATA_DIR).join("offers").join("journal");
    let (journal, records) = ctx.journal(&path).await?;
    let coupons = Coupons::recover(&records);
    for coupon in &coupons.outbox {
        let (scan, _) = coupons.redeemed[coupon];
        let event = ShopEvent::OfferRedeemed {
            scan,
            coupon: *coupon,
        };
        ctx.recorder.record(Event::Shop(event));
    }
    let desk = Arc::new(Desk {
        ctx: ctx.clone(),
        offers,
        menu,
        journal,
        coupons: Mutex::new(coupons),
        unsynced: Mutex::default(),
        redeemed: Notify::new(),
        telemetry: telemetry.clone(),
    });
    let address = SocketAddr::from(([0, 0, 0, 0], OFFERS_PORT));
    let listener = ctx.env.listen(address).await?;
    let gate = http::Gate::within(ACCEPTS_PER_SECOND);
    let handler = {
        let desk = Arc::clone(&desk);
        move |request| Arc::clone(&desk).serve(request)
    };
    let env = ctx.env.clone();
    ctx.env
        .spawn(http::serve(env, listener, http::Road::Http1, gate, handler));
    desk.settle(boot).await
}

struct Desk<E> {
    ctx: Context<E>,
    offers: Offers,
    menu: watch::Receiver<u32>,
    journal: Journal,
    coupons: Mutex<Coupons>,
    /// Coupons whose record is on its way to the disk: head office must not hear of them, and nobody else may have them.
    unsynced: Mutex<std::collections::BTreeSet<CouponId>>,
    redeemed: Notify,
    telemetry: Telemetry,
}

impl<E: Env> Desk<E> {
    fn coupons(&self) -> MutexGuard<'_, Coupons> {
        self.coupons.lock().expect("nobody panics while holding it")
    }

    fn unsynced(&self) -> MutexGuard<'_, std::collections::BTreeSet<CouponId>> {
        self.unsynced
            .lock()
            .expect("nobody panics while holding it")
    }

    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = http::read_body(request.into_body(), 64).await;
        let Some(scan) = body.and_then(|body| Scan::decode(&body)) else {
            return http::answer(StatusCode::BAD_REQUEST, Bytes::new());
        };
        let status = match self.answer(&scan).await {
            Some(answer) => ANSWERS
                .iter()
                .find(|(known, _)| *known == answer)
                .map_or(StatusCode::SERVICE_UNAVAILABLE, |(_, status)| *status),
            // The disk has not got it: no promise.
            None => StatusCode::SERVICE_UNAVAILABLE,
        };
        http::answer(status, Bytes::new())
    }

    /// The answer to a scan; a reward is durable by then. `None` if it could not be made so, or is just being.
    async fn answer(&self, scan: &Scan) -> Option<OfferAnswer> {
        if self.unsynced().contains(&scan.coupon) {
            return None;
        }
        let record = {
            let mut coupons = self.coupons();
            let answer = coupons.check(scan, *self.menu.borrow(), &self.offers);
            let is_known = coupons.redeemed.contains_key(&scan.coupon);
            if answer != OfferAnswer::Redeemed || is_known {
                return Some(answer);
            }
            self.unsynced().insert(scan.coupon);
            coupons.redeem(scan)
        };
        let synced = async { self.journal.append(record).await?.await };
        synced.await.ok()?;
        self.unsynced().remove(&scan.coupon);
        self.ctx
            .recorder
            .record(Event::Shop(ShopEvent::OfferRedeemed {
                scan: scan.scan,
                coupon: scan.coupon,
            }));
        self.telemetry.count("store.offers.redeemed", 1);
        self.redeemed.notify_one();
        Some(OfferAnswer::Redeemed)
    }

    /// Brings rewards to head office while there are any, then waits for more.
    async fn settle(&self, boot: u16) -> io::Result<()> {
        let mut client = http::Client::new(self.ctx.env.clone(), target(HQ, HQ_REWARDS_PORT));
        let mut backoff = FullJitter::new(
            Duration::from_millis(500),
            Duration::from_secs(30),
            self.ctx.rng("rewards-backoff", boot),
        );
        loop {
            let batch: Vec<CouponId> = {
                let (coupons, unsynced) = (self.coupons(), self.unsynced());
                let durable = coupons.outbox.iter().filter(|c| !unsynced.contains(c));
                durable.take(BATCH_MAX).copied().collect()
            };
            if batch.is_empty() {
                self.redeemed.notified().await;
                continue;
            }
            let mut body = BytesMut::with_capacity(8 * batch.len());
            batch.iter().for_each(|coupon| body.put_u64_le(*coupon));
            let answer = client.post(
                "/rewards",
                "application/octet-stream",
                body.freeze(),
                SETTLE_TIMEOUT,
            );
            if !answer.await.is_ok_and(|a| a.is_success()) {
                sleep(backoff.next()).await;
                continue;
            }
            backoff.reset();
            for coupon in batch {
                let record = self.coupons().settled(coupon);
                self.journal.append_lazily(record).await?;
            }
            if self.journal.bytes() > COMPACT_BYTES {
                let menu = *self.menu.borrow();
                let snapshot = self.coupons().snapshot(menu, &self.offers);
                self.journal.replace(snapshot).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offers() -> Offers {
        Offers {
            count: 10,
            valid_for: 2,
            scans_per_hour: 60.0,
            reused: 0.0,
            class: String::new(),
        }
    }

    fn scan(scan: u64, coupon: u64, version: u32) -> Scan {
        Scan {
            scan,
            coupon,
            version,
            offer: 3,
        }
    }

    #[test]
    fn a_coupon_is_redeemed_by_one_scan() {
        let mut coupons = Coupons::default();
        let check = |coupons: &Coupons, s: Scan, expect: OfferAnswer| {
            assert_eq!(coupons.check(&s, 5, &offers()), expect, "{s:?}");
        };
        check(&coupons, scan(1, 1, 5), OfferAnswer::Redeemed);
        coupons.redeem(&scan(1, 1, 5));
        // The phone that got no answer asks again; another one has no luck.
        check(&coupons, scan(1, 1, 5), OfferAnswer::Redeemed);
        check(&coupons, scan(2, 1, 5), OfferAnswer::Used);
        check(&coupons, scan(3, 3, 6), OfferAnswer::Unknown);
        check(&coupons, scan(4, 4, 4), OfferAnswer::Redeemed);
        check(&coupons, scan(5, 5, 3), OfferAnswer::Expired);
        let beyond = Scan {
            offer: 10,
            ..scan(6, 6, 5)
        };
        check(&coupons, beyond, OfferAnswer::Unknown);
        for (answer, status) in ANSWERS {
            assert_eq!(answer_of(status), Some(answer));
        }
        assert_eq!(answer_of(StatusCode::SERVICE_UNAVAILABLE), None);
    }

    proptest! {
        #[test]
        fn the_journal_rebuilds_the_coupons(
            steps in prop::collection::vec((0..4_u8, 0..12_u64, 1..6_u32), 0..60),
        ) {
            let mut coupons = Coupons::default();
            let mut journal = Vec::new();
            for (step, coupon, version) in steps {
                match step {
                    0 | 1 if !coupons.redeemed.contains_key(&coupon) => {
                        journal.push(coupons.redeem(&scan(coupon + 100, coupon, version)));
                    }
                    2 if coupons.outbox.contains(&coupon) => journal.push(coupons.settled(coupon)),
                    3 => journal = coupons.snapshot(version, &offers()),
                    _ => {}
                }
                prop_assert!(coupons.outbox.iter().all(|c| coupons.redeemed.contains_key(c)));
            }
            prop_assert_eq!(Coupons::recover(&journal), coupons);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            for record in &records {
                Scan::decode(record);
            }
            let records: Vec<Bytes> = records.into_iter().map(Bytes::from).collect();
            Coupons::recover(&records).snapshot(3, &offers());
        }
    }
}
