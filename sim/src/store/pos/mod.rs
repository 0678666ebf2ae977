//! A till: fires the ticket, tells the stock, takes the payment, keeps the sale until head office has booked it, prints the receipt.
//!
//! An order that the broker delivers is acknowledged only when its ticket is with the broker and its sale is in the outbox
//! and synced; a crash before that means that the broker delivers it again. So every step may happen twice, and every
//! step is told apart by the order's id: the display shows it once, head office authorises and books it once.
//!
//! ```text
//! order -> ticket to a display, stock         -> broker's acknowledgement ┐
//!       -> authorisation (or in its place)    -> outbox, fsync, receipt   ┴-> acknowledge the order
//! outbox -> ledger, oldest first (`uploader`)      payments -> settlement or advice, oldest first (`uploader`)
//! ```
//! A payment that head office does not answer in time is approved by the till in its place (`stand_in`), or else taken unapproved and
//! stored (`book`), each within limits, or else declined.
//!
//! The tills also take counter orders of their own (`orders`), which go through the broker like all others.

mod book;
mod stand_in;
pub(crate) mod uploader;

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use backroom_collector::env::Env;
use bytes::Bytes;
use hyper::StatusCode;
use opentelemetry::{KeyValue, trace::SpanKind};
use rand::RngExt as _;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use self::book::{Book, Stored, paid};
use super::{
    Context, DATA_DIR, HQ, HQ_PAYMENT_PORT, boot,
    front::{BOARD_BYTES, Front, MENU_TOPIC},
    http::{self, Answer},
    journal::Journal,
    kds,
    mqtt::{self, Delivery},
    orders::{self, Order},
    printer, stock, target,
    telemetry::{ActiveSpan, Telemetry, TraceParent},
};
use crate::{
    event::{Event, OrderId, Payment},
    scenario::{FlowStep, OfflinePayments, Role, StandIn},
    world::seed,
};

/// Limit for an authorisation where the flow does not say one.
const AUTH_TIMEOUT: Duration = Duration::from_secs(8);

/// Longest pause between two tries of one authorisation.
const AUTH_PAUSE: Duration = Duration::from_millis(500);

/// Connections to the payment service that are kept.
const PAYMENT_CLIENTS_MAX: usize = 2;

/// The journal is rewritten when it is longer than this and four times what is still needed.
const COMPACT_BYTES: u64 = 1 << 20;

/// Runs a POS until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let Some(broker) = ctx.host_of(Role::Broker).map(str::to_owned) else {
        return pending().await;
    };
    let path = Path::new(DATA_DIR).join("pos").join("outbox");
    let (journal, records) = ctx.journal(&path).await?;
    let book = Book::recover(&records);
    // A crash may have come between the disk and this record: what is found is durable now, and told again.
    for order in book.all_sales() {
        ctx.recorder
            .record(Event::SaleStored { order, pos: ctx.id });
    }
    telemetry.log(
        "pos.started",
        format!("{} sales wait for head office", book.sales()),
        Vec::new(),
    );
    drop(records);

    let mut subscriptions = vec![orders::order_topic(&ctx.name)];
    subscriptions.extend(Front::topics(&ctx));
    let options = mqtt::Options { subscriptions };
    let (client, mut deliveries) = mqtt::Client::start(&ctx, boot, broker, options);
    let node = &ctx.scenario.nodes[&ctx.group];
    let (offline, stand_in) = (node.offline_payments.clone(), node.stand_in.clone());
    let till = Arc::new(Till {
        boot,
        mqtt: client,
        journal,
        telemetry,
        book: Mutex::new(book),
        sold: Notify::new(),
        stored: Notify::new(),
        offline,
        stand_in,
        payment_clients: Mutex::default(),
        under_way: Mutex::default(),
        displays: ctx
            .machines
            .of_role(Role::Kds)
            .map(|kds| kds::topic(&kds.name).into())
            .collect(),
        printers: ctx
            .machines
            .of_role(Role::Printer)
            .map(|printer| printer::topic(&printer.name).into())
            .collect(),
        has_stock: ctx.host_of(Role::Stock).is_some(),
        front: Front::new(&ctx),
        ctx,
    });
    let env = &till.ctx.env;
    let sales = env.spawn(uploader::upload_sales(Arc::clone(&till)));
    let payments = env.spawn(uploader::settle_payments(Arc::clone(&till)));
    let own = Arc::clone(&till);
    till.ctx.env.spawn(async move {
        own.publish_menu().await;
        orders::take(&own.ctx, own.boot, &own.mqtt, &own.telemetry, &own.front).await;
    });
    let orders = async {
        while let Some(delivery) = deliveries.recv().await {
            till.take(delivery);
        }
        pending().await
    };
    tokio::select! {
        biased;
        error = first_error(sales, payments) => Err(error),
        // A till that cannot store takes no more orders: it would keep them from one that can.
        error = till.journal.failed() => Err(error),
        () = orders => Ok(()),
    }
}

/// The error of the task that fails first. A task whose step the scenario does not have ends without one.
async fn first_error(
    one: impl Future<Output = Option<io::Result<()>>>,
    other: impl Future<Output = Option<io::Result<()>>>,
) -> io::Error {
    // What was aborted goes with its machine.
    let one = async { one.await.unwrap_or(Ok(())) };
    let other = async { other.await.unwrap_or(Ok(())) };
    match tokio::try_join!(one, other) {
        Err(error) => error,
        Ok(_) => pending().await,
    }
}

/// What head office says to a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authorized {
    Yes,
    /// Its issuer declines it.
    No,
    /// Nobody answered in time, or not to the question.
    Unknown,
}

/// A till's program.
struct Till<E> {
    ctx: Context<E>,
    boot: u16,
    mqtt: mqtt::Client,
    journal: Journal,
    telemetry: Telemetry,
    book: Mutex<Book>,
    /// There is a new sale.
    sold: Notify,
    /// There is a new offline payment.
    stored: Notify,
    offline: Option<OfflinePayments>,
    stand_in: Option<StandIn>,
    payment_clients: Mutex<Vec<http::Client<E>>>,
    /// Orders being handled, with all deliveries of them that came meanwhile. The broker's window bounds it.
    under_way: Mutex<BTreeMap<OrderId, Vec<Delivery>>>,
    /// Topics of the kitchen displays.
    displays: Vec<Arc<str>>,
    /// Topics of the receipt printers.
    printers: Vec<Arc<str>>,
    /// Whether somebody counts what is left.
    has_stock: bool,
    /// What its counter shows.
    front: Front,
}

impl<E: Env> Till<E> {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics while holding it")
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<OrderId, Vec<Delivery>>> {
        self.under_way
            .lock()
            .expect("nobody panics while holding it")
    }

    /// The menu of a store whose head office publishes none: retained, from the first till, when it starts.
    async fn publish_menu(&self) {
        let catalog = self.ctx.scenario.shop.catalog.as_ref();
        if catalog.is_some_and(|catalog| catalog.menu.is_some()) {
            return;
        }
        let first = self.ctx.machines.of_role(Role::Pos).next();
        if first.is_some_and(|pos| pos.name == self.ctx.name) {
            let menu = Bytes::from(vec![b'm'; BOARD_BYTES]);
            // A client that has stopped has nobody to show a menu to.
            let _ = self.mqtt.publish(MENU_TOPIC, menu, true).await;
        }
    }

    /// An order came from the broker, or what its counter shows.
    fn take(self: &Arc<Self>, delivery: Delivery) {
        if Front::is_for(&delivery.topic) {
            self.front.hear(&delivery.topic, &delivery.payload);
            delivery.ack();
            return;
        }
        let Some(order) = Order::decode(&delivery.payload) else {
            self.telemetry.log(
                "order.unreadable",
                format!("{} bytes on {}", delivery.payload.len(), delivery.topic),
                Vec::new(),
            );
            delivery.ack();
            return;
        };
        let mut under_way = self.under_way();
        if let Some(deliveries) = under_way.get_mut(&order.id) {
            // Its sale may be in the book and not yet on the disk.
            deliveries.push(delivery);
        } else if self.book().knows(order.id) {
            // Sold, and perhaps a crash came before its ticket was with the broker. Displays show a ticket once.
            self.ctx
                .env
                .spawn(Arc::clone(self).fire_again(order, delivery));
        } else {
            under_way.insert(order.id, vec![delivery]);
            self.ctx.env.spawn(Arc::clone(self).handle(order));
        }
    }

    async fn fire_again(self: Arc<Self>, order: Order, delivery: Delivery) {
        let begun = Arc::clone(&self).begin(order, order.trace).await;
        if begun && self.print(&order).await {
            delivery.ack();
        }
    }

    async fn handle(self: Arc<Self>, mut order: Order) {
        let span = self.telemetry.span(
            "order.handle",
            SpanKind::Consumer,
            Some(order.trace),
            vec![
                KeyValue::new("order.id", order.id as i64),
                KeyValue::new("order.items", i64::from(order.items)),
                KeyValue::new("order.cents", i64::from(order.cents)),
            ],
        );
        let ticket = self
            .ctx
            .env
            .spawn(Arc::clone(&self).begin(order, span.parent()));
        let how = self.pay(&order, &span).await;
        order.paid = paid(how);
        let stored = self.store(order).await;
        let printed = stored.is_ok() && self.print(&order).await;
        let begun = ticket.await.unwrap_or(false);
        self.telemetry.count("store.orders.handled", 1);
        span.end();
        let deliveries = self.under_way().remove(&order.id).unwrap_or_default();
        // Without all of it, the broker must deliver it again.
        if printed && begun {
            for delivery in deliveries {
                delivery.ack();
            }
        }
    }

    /// What happens before the payment: the kitchen begins, and what it takes is counted down. A payment may wait for seconds, and
    /// in them others would order what is gone. `true` when the broker has both.
    async fn begin(self: Arc<Self>, order: Order, parent: TraceParent) -> bool {
        if !Arc::clone(&self).fire(order, parent).await {
            return false;
        }
        if !self.has_stock || order.lines.is_empty() {
            return true;
        }
        let sold = stock::encode_sold(&order);
        let told = self.mqtt.publish(stock::SOLD_TOPIC, sold, false).await;
        told.is_ok()
    }

    /// Sends the ticket to its display; `true` when the broker has it.
    async fn fire(self: Arc<Self>, order: Order, parent: TraceParent) -> bool {
        let Some(step) = self.ctx.step("ticket.fire") else {
            return true;
        };
        let Some(topic) = one_of(&self.displays, order.id) else {
            return true;
        };
        let span = self.telemetry.span(
            "ticket.fire",
            SpanKind::Producer,
            Some(parent),
            vec![KeyValue::new("order.id", order.id as i64)],
        );
        let ticket = Order {
            trace: span.parent(),
            ..order
        };
        let fired = self
            .mqtt
            .publish(topic, ticket.encode(step.bytes.0), false)
            .await;
        span.end();
        fired.is_ok()
    }

    /// Sends the receipt to its printer; `true` when the broker has it, or nobody prints.
    async fn print(&self, order: &Order) -> bool {
        let step = self.ctx.step("receipt.print");
        let (Some(step), Some(topic)) = (step, one_of(&self.printers, order.id)) else {
            return true;
        };
        let receipt = order.encode(step.bytes.0);
        self.mqtt.publish(topic, receipt, false).await.is_ok()
    }

    /// Puts the sale into the outbox; durable on return.
    async fn store(&self, order: Order) -> io::Result<()> {
        let bytes = self.sale_bytes();
        let record = self.book().sell(order, bytes);
        self.journal.append(record).await?.await?;
        self.book().sale_synced(order.id);
        self.ctx.recorder.record(Event::SaleStored {
            order: order.id,
            pos: self.ctx.id,
        });
        self.sold.notify_one();
        Ok(())
    }

    fn sale_bytes(&self) -> u64 {
        self.ctx.step("order.sync").map_or(0, |step| step.bytes.0)
    }

    /// Appends a record that may be lost, and rewrites the journal when it has grown too long.
    async fn note(&self, record: Bytes) -> io::Result<()> {
        self.journal.append_lazily(record).await?;
        let bytes = self.journal.bytes();
        let needed = self.book().sales() as u64 * (self.sale_bytes() + 16);
        if bytes > COMPACT_BYTES && bytes > 4 * needed {
            let snapshot = self.book().snapshot(self.sale_bytes());
            self.journal.replace(snapshot).await?;
        }
        Ok(())
    }

    /// Asks for an authorisation; takes the payment offline when there is no answer in time.
    async fn pay(&self, order: &Order, parent: &ActiveSpan) -> Payment {
        let Some(step) = self.ctx.step("payment.auth") else {
            return Payment::Online;
        };
        let asked_at = self.ctx.recorder.now();
        let span = self.telemetry.span(
            "payment.authorize",
            SpanKind::Client,
            Some(parent.parent()),
            vec![
                KeyValue::new("order.id", order.id as i64),
                KeyValue::new("payment.cents", i64::from(order.cents)),
            ],
        );
        // Taken before a crash that came before the sale: it stands, whatever head office would say now.
        let taken = self.book().payment(order.id);
        let how = match taken {
            Some(how) => how,
            None => match self.authorize(order, step).await {
                Authorized::Yes => Payment::Online,
                Authorized::No => Payment::Refused,
                Authorized::Unknown => self.without_answer(order, step, asked_at).await,
            },
        };
        self.telemetry.time(
            "store.payment.duration",
            self.ctx.recorder.now().saturating_sub(asked_at),
        );
        if how != Payment::Online {
            self.telemetry.log(
                "payment.offline",
                format!("no authorisation for order {:x}: {how:?}", order.id),
                vec![KeyValue::new("order.id", order.id as i64)],
            );
        }
        span.end();
        self.ctx.recorder.record(Event::PaymentSettled {
            order: order.id,
            asked_at,
            how,
        });
        how
    }

    /// Tries until the limit: a line that switches to its backup breaks connections, and the next one works.
    async fn authorize(&self, order: &Order, step: &FlowStep) -> Authorized {
        let deadline = Instant::now() + step.timeout.unwrap_or(AUTH_TIMEOUT);
        let body = order.encode(step.bytes.0);
        let mut rng = self.ctx.rng(&format!("auth-pause/{}", order.id), self.boot);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Authorized::Unknown;
            }
            match self.ask("/authorize", body.clone(), left).await {
                Ok(answer) if answer.is_success() => return Authorized::Yes,
                Ok(answer) if answer.status == StatusCode::PAYMENT_REQUIRED => {
                    return Authorized::No;
                }
                // Refused for what it is; it will not get better.
                Ok(answer) if answer.status.is_client_error() && answer.status != 429 => {
                    return Authorized::Unknown;
                }
                // Told to come back when the customer is gone: to ask again now only makes it worse.
                Ok(answer)
                    if answer
                        .retry_after()
                        .is_some_and(|wait| Instant::now() + wait > deadline) =>
                {
                    return Authorized::Unknown;
                }
                _ => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            sleep(AUTH_PAUSE.mul_f64(rng.random::<f64>()).min(left)).await;
        }
    }

    /// Posts to the payment service on a connection that is free, or a new one.
    async fn ask(&self, path: &str, body: Bytes, limit: Duration) -> io::Result<Answer> {
        let kept = self
            .payment_clients
            .lock()
            .expect("nobody panics while holding it")
            .pop();
        let mut client = kept.unwrap_or_else(|| {
            http::Client::new(self.ctx.env.clone(), target(HQ, HQ_PAYMENT_PORT))
        });
        let answer = client
            .post(path, "application/octet-stream", body, limit)
            .await;
        let mut clients = self
            .payment_clients
            .lock()
            .expect("nobody panics while holding it");
        if clients.len() < PAYMENT_CLIENTS_MAX {
            clients.push(client);
        }
        answer
    }

    /// Nobody answered: the till approves in head office's place, or takes the payment unapproved, as far as the step and the
    /// limits allow it; durable on return.
    async fn without_answer(&self, order: &Order, step: &FlowStep, asked_at: Duration) -> Payment {
        let payment = Stored {
            order: order.id,
            cents: order.cents,
            taken: self.ctx.env.unix_time().as_secs(),
            asked_at,
            card: None,
        };
        let (record, how) = {
            let mut book = self.book();
            let approved = self.stand_in.as_ref().and_then(|limits| {
                let card = self.card_of(order.id, limits);
                book.stand_in(payment, card, limits).ok()
            });
            let offline = self.offline.as_ref().filter(|_| step.store_and_forward);
            match (approved, offline) {
                (Some(record), _) => (Some(record), Payment::StandIn),
                (None, Some(limits)) => (book.take_offline(payment, limits), Payment::Offline),
                (None, None) => (None, Payment::Declined),
            }
        };
        let Some(record) = record else {
            return Payment::Declined;
        };
        let synced = async { self.journal.append(record).await?.await };
        if synced.await.is_err() {
            return Payment::Declined;
        }
        self.book().payment_synced(order.id);
        self.stored.notify_one();
        how
    }

    /// The card that a customer pays with: the same one, whichever till asks and however often.
    fn card_of(&self, order: OrderId, limits: &StandIn) -> u32 {
        let purpose = ["store", "cards", &order.to_string()];
        seed::stream(self.ctx.run_seed, &purpose).random_range(0..limits.cards.max(1))
    }
}

/// The topic that an order goes to: always the same one.
fn one_of(topics: &[Arc<str>], order: OrderId) -> Option<Arc<str>> {
    let count = u64::try_from(topics.len()).ok().filter(|n| *n > 0)?;
    let at = usize::try_from(mix(order) % count).ok()?;
    topics.get(at).cloned()
}

/// Spreads ids evenly (the finaliser of SplitMix64): orders of one source count up in steps of one.
fn mix(id: OrderId) -> u64 {
    let mut x = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    /// Regression: the task that brings sales to head office ended with a disk error, and the till went on without it.
    #[tokio::test(start_paused = true)]
    async fn a_till_ends_with_the_task_that_fails() {
        let fails = || ready(Some(Err(io::ErrorKind::StorageFull.into())));
        let error = first_error(pending(), fails()).await;
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let error = first_error(fails(), ready(Some(Ok(())))).await;
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let goes_on = first_error(ready(Some(Ok(()))), ready(None));
        let limit = Duration::from_secs(1);
        assert!(tokio::time::timeout(limit, goes_on).await.is_err());
    }
}
