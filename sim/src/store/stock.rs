//! The stock: counts portions down by sales, and tells boards, kiosks and tills what is sold out, and what is back.
//!
//! A sale is acknowledged to the broker when it is counted and on the disk; it may come twice and is counted once, by its order. What
//! is sold out is one retained message with a number that grows, so who was away learns all of it at once and nobody goes back. An item
//! that is sold although none is left counts as short: the kitchen has to say sorry. `counts` is what it may not forget.

mod counts;

use std::{collections::BTreeSet, future::pending, io, path::Path};

use backroom_collector::env::Env;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rand_chacha::ChaCha8Rng;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use self::counts::Counts;
use super::{
    Context, DATA_DIR, boot,
    front::{Lines, STOCK_TOPIC, encode_stock},
    journal::Journal,
    mqtt::{self, Delivery},
    orders::Order,
    telemetry::Telemetry,
};
use crate::{
    event::{Event, ItemId, OrderId, ShopEvent},
    scenario::{Role, shop::Stock},
};

/// Where tills tell of sales.
pub(super) const SOLD_TOPIC: &str = "stock/sold";

/// The journal is rewritten when it is longer.
const COMPACT_BYTES: u64 = 1 << 20;

/// What a till tells of a sale.
pub(super) fn encode_sold(order: &Order) -> Bytes {
    let mut out = BytesMut::with_capacity(40);
    out.put_u64_le(order.id);
    order.lines.encode(&mut out);
    out.freeze()
}

fn decode_sold(mut bytes: &[u8]) -> Option<(OrderId, Lines)> {
    let order = bytes.try_get_u64_le().ok()?;
    let lines = Lines::decode(bytes);
    (!lines.is_empty()).then_some((order, lines))
}

/// Runs the stock until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let (Some(stock), Some(broker)) = (
        ctx.scenario.shop.stock.clone(),
        ctx.host_of(Role::Broker).map(str::to_owned),
    ) else {
        return pending().await;
    };
    let path = Path::new(DATA_DIR).join("stock").join("journal");
    let (journal, records) = ctx.journal(&path).await?;
    // What the shelves hold on the first morning does not depend on how often the machine has started.
    let mut first = ctx.rng("stock-start", 0);
    let installed = (0..stock.items).map(|_| portions(&stock, &mut first));
    let counts = Counts::recover(&records, installed.collect());
    if records.is_empty() {
        journal.replace(counts.snapshot()).await?;
    }
    let (news, latest) = watch::channel(counts.seq());
    let options = mqtt::Options {
        subscriptions: vec![SOLD_TOPIC.to_owned()],
    };
    let (client, mut sales) = mqtt::Client::start(&ctx, boot, broker, options);
    let mut room = Room {
        out_of: watch::channel(counts.out_of()).0,
        rng: ctx.rng("restock", boot),
        due: BTreeSet::new(),
        counts,
        journal,
        telemetry,
        stock,
        ctx,
        news,
    };
    let out_of = room.out_of.subscribe();
    let waiting: Vec<ItemId> = room.counts.out_of().into_iter().collect();
    waiting.into_iter().for_each(|item| room.order_more(item));
    room.news.send_replace(room.counts.seq());
    tokio::select! {
        biased;
        ended = room.run(&mut sales) => ended,
        ended = tell(&client, latest, out_of) => ended,
    }
}

fn portions(stock: &Stock, rng: &mut ChaCha8Rng) -> u32 {
    stock.start.sample(rng).round().clamp(1.0, 1e9) as u32
}

/// Brings the newest list to the broker; lists that nobody has seen are passed over.
async fn tell(
    client: &mqtt::Client,
    mut latest: watch::Receiver<u32>,
    out_of: watch::Receiver<BTreeSet<ItemId>>,
) -> io::Result<()> {
    latest.mark_changed();
    while latest.changed().await.is_ok() {
        let message = {
            let seq = *latest.borrow_and_update();
            encode_stock(seq, &out_of.borrow())
        };
        client.publish(STOCK_TOPIC, message, true).await?;
    }
    pending().await
}

struct Room<E: Env> {
    ctx: Context<E>,
    stock: Stock,
    counts: Counts,
    journal: Journal,
    telemetry: Telemetry,
    rng: ChaCha8Rng,
    /// When there is more of an item.
    due: BTreeSet<(Instant, ItemId)>,
    out_of: watch::Sender<BTreeSet<ItemId>>,
    /// Number of the newest list.
    news: watch::Sender<u32>,
}

impl<E: Env> Room<E> {
    async fn run(&mut self, sales: &mut tokio::sync::mpsc::Receiver<Delivery>) -> io::Result<()> {
        loop {
            let next = self.due.first().copied();
            let restocked = async {
                match next {
                    Some((at, item)) => {
                        sleep_until(at).await;
                        (at, item)
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                due = restocked => {
                    self.due.remove(&due);
                    self.fill(due.1).await?;
                }
                sale = sales.recv() => match sale {
                    Some(sale) => self.count(sale).await?,
                    None => return pending().await,
                },
            }
        }
    }

    async fn count(&mut self, sale: Delivery) -> io::Result<()> {
        if let Some((order, lines)) = decode_sold(&sale.payload)
            && !self.counts.knows(order)
        {
            let (record, change) = self.counts.sell(order, &lines);
            self.put_down(record).await?;
            self.record(ShopEvent::SaleCounted { order });
            for item in change.short {
                self.record(ShopEvent::ItemShort { order, item });
                self.telemetry.count("store.stock.short", 1);
            }
            for &item in &change.sold_out {
                self.record(ShopEvent::Stocked { item, some: false });
                self.telemetry
                    .log("stock.sold_out", format!("item {item}"), Vec::new());
                self.order_more(item);
            }
            if !change.sold_out.is_empty() {
                self.tell();
            }
        }
        sale.ack();
        Ok(())
    }

    async fn fill(&mut self, item: ItemId) -> io::Result<()> {
        let portions = portions(&self.stock, &mut self.rng);
        let record = self.counts.fill(item, portions);
        self.put_down(record).await?;
        self.record(ShopEvent::Stocked { item, some: true });
        self.tell();
        Ok(())
    }

    fn order_more(&mut self, item: ItemId) {
        if let Some(restock) = &self.stock.restock {
            let at = Instant::now() + restock.sample_duration(&mut self.rng);
            self.due.insert((at, item));
        }
    }

    fn tell(&self) {
        self.out_of.send_replace(self.counts.out_of());
        self.news.send_replace(self.counts.seq());
    }

    async fn put_down(&self, record: Bytes) -> io::Result<()> {
        self.journal.append(record).await?.await?;
        if self.journal.bytes() > COMPACT_BYTES {
            self.journal.replace(self.counts.snapshot()).await?;
        }
        Ok(())
    }

    fn record(&self, event: ShopEvent) {
        self.ctx.recorder.record(Event::Shop(event));
    }
}
