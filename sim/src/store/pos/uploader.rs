//! Brings the outbox to head office: sales to the ledger, offline payments to settlement, approvals as advices. Oldest first, until
//! answered. Head office may decline a payment then (402): it is struck out, and counted.
//!
//! The ledger's answer is the only thing that strikes a sale out. A request may arrive and its answer be lost; then the
//! same sales go again, and the ledger drops them by their order ids.

use std::{io, sync::Arc, time::Duration};

use backroom_collector::env::Env;
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::StatusCode;
use tokio::time::sleep;

use super::Till;
use crate::{
    event::{Event, Payment},
    store::{
        HQ, HQ_SYNC_PORT,
        http::{self, Answer},
        orders::Order,
        pace::FullJitter,
        target,
    },
};

/// Sales in one request: some 25 KB, so that a thin line gets something across.
pub(crate) const BATCH_MAX: usize = 16;

/// Limit for one request where the flow does not say one.
const SYNC_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest pause between tries.
const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// Longest wait that head office may ask for: a wrong header must not stop the books for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Sends sales while there are any, then waits for more.
pub(super) async fn upload_sales<E: Env>(till: Arc<Till<E>>) -> io::Result<()> {
    let Some(step) = till.ctx.step("order.sync").cloned() else {
        return Ok(());
    };
    let limit = step.timeout.unwrap_or(SYNC_TIMEOUT);
    let mut client = http::Client::new(till.ctx.env.clone(), target(HQ, HQ_SYNC_PORT));
    let mut backoff = backoff(&till, "sync-backoff");
    loop {
        let sales = till.book().oldest_sales(BATCH_MAX);
        if sales.is_empty() {
            till.sold.notified().await;
            continue;
        }
        let body = encode_batch(&sales, step.bytes.0);
        let answer = client
            .post("/sales", "application/octet-stream", body, limit)
            .await;
        if is_success(&answer) {
            backoff.reset();
            for sale in &sales {
                let record = till.book().booked(sale.id);
                till.note(record).await?;
            }
            till.telemetry
                .count("store.sales.synced", sales.len() as u64);
        } else {
            sleep(backoff.next().max(asked_to_wait(&answer))).await;
        }
    }
}

fn is_success(answer: &io::Result<Answer>) -> bool {
    answer.as_ref().is_ok_and(Answer::is_success)
}

/// How long head office asks to wait, at most [`RETRY_AFTER_MAX`].
fn asked_to_wait(answer: &io::Result<Answer>) -> Duration {
    let asked = answer.as_ref().ok().and_then(Answer::retry_after);
    asked.unwrap_or_default().min(RETRY_AFTER_MAX)
}

/// Settles offline payments while there are any, then waits for more.
pub(super) async fn settle_payments<E: Env>(till: Arc<Till<E>>) -> io::Result<()> {
    let Some(step) = till.ctx.step("payment.auth").cloned() else {
        return Ok(());
    };
    let max_age = |how: Payment| match how {
        Payment::StandIn => till.stand_in.as_ref().map(|limits| limits.max_age),
        _ => till.offline.as_ref().map(|limits| limits.max_age),
    };
    let limit = step.timeout.unwrap_or(SYNC_TIMEOUT);
    let mut backoff = backoff(&till, "settle-backoff");
    loop {
        let Some(payment) = till.book().oldest_payment() else {
            till.stored.notified().await;
            continue;
        };
        let taken = payment.how();
        let now = till.ctx.env.unix_time();
        // Taken under limits that are not there any more: those of a scenario do not change.
        let how = if max_age(taken).is_some_and(|max_age| payment.is_expired(now, max_age)) {
            Payment::Expired
        } else {
            let order = Order {
                id: payment.order,
                cents: payment.cents,
                items: 0,
                paid: super::paid(taken),
                trace: Default::default(),
                lines: Default::default(),
            };
            let path = match taken {
                Payment::StandIn => "/advise",
                _ => "/settle",
            };
            let answer = till.ask(path, order.encode(step.bytes.0), limit).await;
            let is_declined = answer
                .as_ref()
                .is_ok_and(|answer| answer.status == StatusCode::PAYMENT_REQUIRED);
            if !is_declined && !is_success(&answer) {
                sleep(backoff.next().max(asked_to_wait(&answer))).await;
                continue;
            }
            backoff.reset();
            match is_declined {
                true => Payment::DeclinedLater,
                false => Payment::SettledLater,
            }
        };
        let record = till.book().close(payment.order);
        till.note(record).await?;
        till.ctx.recorder.record(Event::PaymentSettled {
            order: payment.order,
            asked_at: payment.asked_at,
            how,
        });
    }
}

fn backoff<E: Env>(till: &Till<E>, purpose: &str) -> FullJitter {
    FullJitter::new(
        Duration::from_millis(500),
        BACKOFF_CAP,
        till.ctx.rng(purpose, till.boot),
    )
}

/// Sales one after the other, each with its length (`u32`, little-endian).
fn encode_batch(sales: &[Order], bytes: u64) -> Bytes {
    let mut out = BytesMut::new();
    for sale in sales {
        let body = sale.encode(bytes);
        if out.is_empty() {
            // All are of one length, and a long outage encodes them again and again: one allocation for each try.
            out.reserve(sales.len() * (4 + body.len()));
        }
        out.put_u32_le(u32::try_from(body.len()).expect("a sale has less than a mebibyte"));
        out.put_slice(&body);
    }
    out.freeze()
}
