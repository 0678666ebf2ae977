//! What a gateway does with a request of a store: takes what is new of it, and says yes to what was here before.
//!
//! A store says which items it sends ([`BATCH_HEADER`]) and how it is ([`STORE_HEADER`]). What is new decides `core::seen`; this cuts
//! it out of the request and waits for the disk. A request without a range, or with one that does not fit its items, is taken as it
//! is: at least once, as everywhere. A frame has one range, so classes with a `match` are not for a gateway. Next: `stores`, which shows what is known.

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;

use super::{shared::Shared, store::Stored};
use crate::{
    core::{
        metrics::Relayed,
        range::ItemRange,
        seen::{News, stores::Report},
        spool::Part,
    },
    env::Env,
    otlp::{Signal, split_items},
};

/// Which items a request holds.
pub(super) const BATCH_HEADER: &str = "x-backroom-batch";

/// What a store says of itself.
pub(super) const STORE_HEADER: &str = "x-backroom-store";

/// That a gateway answers.
pub(super) const GATEWAY_HEADER: &str = "x-backroom-gateway";

/// How long a request waits for another one with the same items to be durable: less than any store waits for its answer.
const WAIT: Duration = Duration::from_secs(10);

/// Most parts of one request that are taken: what is missing of a batch is a half or a few. Beyond them the store comes again.
const PARTS_MAX: usize = 64;

/// Who sends a request, as its head says.
#[derive(Debug)]
pub(super) struct Sender {
    /// `None` if there is no range, an error if it cannot be read.
    range: Option<Result<ItemRange, String>>,
    /// What cannot be read is left out: it is for show.
    report: Option<Report>,
}

impl Sender {
    pub(super) fn read(signal: Signal, headers: &HeaderMap) -> Self {
        let text = |name: &str| Some(headers.get(name)?.to_str().unwrap_or("?"));
        Self {
            range: text(BATCH_HEADER).map(|text| ItemRange::parse(signal, text)),
            report: text(STORE_HEADER).and_then(|text| Report::parse(text).ok()),
        }
    }
}

impl<E: Env> Shared<E> {
    /// Stores what is new of a store's request; returns when all of it is durable, now or from before.
    pub(super) async fn relay(
        &self,
        sender: Sender,
        signal: Signal,
        items: u64,
        body: Bytes,
    ) -> Stored {
        let range = match &sender.range {
            // A range that overflows would be one of other items.
            Some(Ok(range)) if range.count == items && range.first.checked_add(items).is_some() => {
                *range
            }
            other => {
                let relayed = match other {
                    None => Relayed::NoRange,
                    Some(_) => Relayed::BadRange,
                };
                self.lock().counters.relay(relayed);
                let class = self.lock().spool.class_of(signal);
                return self.store(signal, &[Part { class, items, body }]).await;
            }
        };
        let (stored, taken) = self.take_news(range, &body).await;
        let repeated = match stored {
            Stored::Yes => items - taken,
            _ => 0,
        };
        let (now, stores_max) = (self.unix_nanos(), self.config().gateway.stores_max);
        {
            let mut state = self.lock();
            if stored == Stored::Yes {
                state.counters.relay(match (taken, repeated) {
                    (_, 0) => Relayed::New,
                    (0, _) => Relayed::Repeat,
                    _ => Relayed::Part,
                });
                state.counters.repeated_items[signal.index()] += repeated;
            }
            let count = (taken, repeated);
            state
                .stores
                .heard(range.store, now, count, sender.report, stores_max);
        }
        if repeated > 0 {
            self.observer.repeated(signal, repeated);
        }
        self.count_stored(stored)
    }

    /// Stores what is new, and gives how many items that was.
    async fn take_news(&self, range: ItemRange, body: &Bytes) -> (Stored, u64) {
        let deadline = tokio::time::Instant::now() + WAIT;
        let mut taken = 0;
        loop {
            let bell = self.committed.notified();
            tokio::pin!(bell);
            // Registered before looking, so that no bell is missed.
            bell.as_mut().enable();
            let news = self.lock().spool.seen().news(&range);
            let parts = match news {
                News::Nothing => return (Stored::Yes, taken),
                News::All => vec![range],
                News::Parts(parts) => parts,
                News::UnderWay => {
                    // Whether that one becomes durable decides about this one.
                    if tokio::time::timeout_at(deadline, bell).await.is_err() {
                        return (Stored::Busy, taken);
                    }
                    continue;
                }
            };
            let pieces = match &parts[..] {
                [one] if *one == range => vec![(range, body.clone())],
                parts => {
                    let (parts, body) = (parts.to_vec(), body.clone());
                    let work = move || cut(range, &parts, &body);
                    self.env.compute(work).await
                }
            };
            for (part, body) in pieces {
                let (signal, count) = (part.signal, part.count);
                let class = self.lock().spool.class_of(signal);
                let whole = Part {
                    class,
                    items: count,
                    body,
                };
                match self.keep_from(Some(part), signal, &[whole]).await {
                    Stored::Yes => taken += count,
                    // Another one was quicker: what is new is looked at again.
                    Stored::Known if tokio::time::Instant::now() < deadline => break,
                    other => return (other, taken),
                }
            }
        }
    }
}

/// The parts of a request that hold these ranges.
fn cut(whole: ItemRange, parts: &[ItemRange], body: &Bytes) -> Vec<(ItemRange, Bytes)> {
    let mut pieces = Vec::with_capacity(parts.len());
    let (mut rest, mut at) = (body.clone(), whole.first);
    for part in parts.iter().take(PARTS_MAX) {
        let signal = whole.signal;
        let skipped = split_items(signal, &rest, part.first - at);
        let (_, from) = skipped.expect("it was counted when it came");
        let halves = split_items(signal, &from, part.count);
        let (piece, after) = halves.expect("it was counted when it came");
        pieces.push((*part, piece.into()));
        (rest, at) = (after.into(), part.end());
    }
    pieces
}
