//! A receipt printer: slow, and out of paper at the worst time. Prints what the broker holds for it, one receipt after the other.
//!
//! A receipt is acknowledged when it is printed, so what waits for paper waits at the broker, on its disk. A crash in the middle
//! prints it again from the top: the program does not know how far the paper went. How much paper is left is the printer's, not
//! the program's: it survives.

use std::{future::pending, io, path::Path, time::Duration};

use backroom_collector::env::Env;
use bytes::{Buf as _, Bytes};
use tokio::time::sleep;

use super::{
    Context, DATA_DIR, boot, journal::Journal, kds::Recent, mqtt, orders::Order,
    telemetry::Telemetry,
};
use crate::{
    event::{Event, ShopEvent},
    scenario::{Role, shop::Printer},
};

/// Receipts that are remembered, as on a kitchen display.
const REMEMBERED_MAX: usize = 4096;

/// Lines of a receipt without items: address, date, sums, tax, thanks.
const LINES_FIXED: u32 = 12;

/// Lines for each item: its name and price, and what is on it.
const LINES_PER_ITEM: u32 = 2;

/// The journal of the paper is rewritten when it is longer.
const COMPACT_BYTES: u64 = 64 << 10;

/// The topic of receipts for one printer.
pub(super) fn topic(printer: &str) -> String {
    format!("receipts/{printer}")
}

/// Runs a printer until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let Some(broker) = ctx.host_of(Role::Broker).map(str::to_owned) else {
        return pending().await;
    };
    let model = ctx.scenario.nodes[&ctx.group].printer.clone();
    let model = model.unwrap_or_default();
    let path = Path::new(DATA_DIR).join("printer").join("paper");
    let (journal, records) = ctx.journal(&path).await?;
    let last = records
        .last()
        .and_then(|record| record.clone().try_get_u32_le().ok());
    let options = mqtt::Options {
        subscriptions: vec![topic(&ctx.name)],
    };
    let (client, mut receipts) = mqtt::Client::start(&ctx, boot, broker, options);
    let mut paper = Paper {
        left: last.unwrap_or(model.roll),
        rng: ctx.rng("print", boot),
        model,
        journal,
        ctx,
    };
    let mut printed = Recent::new(REMEMBERED_MAX);
    while let Some(receipt) = receipts.recv().await {
        if let Some(order) = Order::decode(&receipt.payload)
            && printed.insert(order.id)
        {
            paper
                .print(LINES_FIXED + LINES_PER_ITEM * u32::from(order.items))
                .await?;
            let (order, printer) = (order.id, paper.ctx.id);
            paper.record(ShopEvent::ReceiptPrinted { order, printer });
            telemetry.count("store.receipts.printed", 1);
        }
        receipt.ack();
    }
    drop(client);
    pending().await
}

struct Paper<E: Env> {
    ctx: Context<E>,
    model: Printer,
    journal: Journal,
    rng: rand_chacha::ChaCha8Rng,
    left: u32,
}

impl<E: Env> Paper<E> {
    /// Prints so many lines, and waits for paper where it ends.
    async fn print(&mut self, mut lines: u32) -> io::Result<()> {
        while lines > 0 {
            if self.left == 0 {
                let printer = self.ctx.id;
                let loaded = false;
                self.record(ShopEvent::Paper { printer, loaded });
                sleep(self.model.refill.sample_duration(&mut self.rng)).await;
                self.left = self.model.roll;
                let loaded = true;
                self.record(ShopEvent::Paper { printer, loaded });
            }
            let now = lines.min(self.left);
            let time: Duration = (0..now)
                .map(|_| self.model.line.sample_duration(&mut self.rng))
                .sum();
            sleep(time).await;
            lines -= now;
            self.left -= now;
            let record = Bytes::copy_from_slice(&self.left.to_le_bytes());
            // Lost with the power, the program believes in a receipt's worth of paper more than there is.
            self.journal.append_lazily(record.clone()).await?;
            if self.journal.bytes() > COMPACT_BYTES {
                self.journal.replace(vec![record]).await?;
            }
        }
        Ok(())
    }

    fn record(&self, event: ShopEvent) {
        self.ctx.recorder.record(Event::Shop(event));
    }
}
