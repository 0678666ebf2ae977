//! The loss ledger over OTLP: rows that changed become log records in the collector's own buffer, which go before everything else.
//!
//! A record is stored like any other, so it survives what the others survive, and counts as one. What was told is noted after that, so
//! a crash in between tells it again, with the same totals. While a report waits for the line no other is made, but for one an
//! hour: an outage in which the buffer drops for days makes a few records, and the first report after it says all. A report
//! that finds no room is made again later. Losses of these very records stand in the ledger, and are not told.
//! What a record says stands in `core::losses`.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    shared::Shared,
    store::{Stored, sleep_until},
    telemetry::{attributes, origin},
};
use crate::{
    config::TellLosses,
    core::{
        losses::{self, RECORDS_MAX, Untold},
        spool::Part,
    },
    env::Env,
    otlp::Signal,
};

/// Time between a loss and its report, where nothing keeps it: several losses at once are one report.
const GATHER: Duration = Duration::from_secs(1);

/// Time between two reports, while losses go on.
const PAUSE: Duration = Duration::from_secs(10);

/// So long a report may wait for the line until another one joins it.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Tells until the end.
pub(super) async fn tell<E: Env>(shared: Arc<Shared<E>>) {
    let (mut last, mut due): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        // Quiet without a timer while nothing was lost.
        if shared.lock().spool.ledger().untold(1).is_empty() {
            due = None;
        } else if due.is_none() {
            let now = Instant::now();
            let gathered = now + GATHER;
            due = Some(last.map_or(gathered, |last| gathered.max(last + PAUSE)));
        }
        let is_due = tokio::select! {
            biased;
            // A loss, or the end.
            () = shared.losses.notified() => false,
            () = sleep_until(due) => true,
        };
        if shared.lock().is_stopping {
            return;
        }
        if !is_due {
            continue;
        }
        due = None;
        let is_patient = last.is_none_or(|last| last.elapsed() >= PATIENCE);
        let rows = untold(&shared, is_patient);
        if rows.is_empty() {
            continue;
        }
        let unix_nano = shared.unix_nanos();
        let (config, store) = (shared.config(), shared.lock().spool.identity().0);
        let resource = attributes(&config, store);
        let body = losses::request(&rows, &origin(&resource, unix_nano, unix_nano));
        let part = Part {
            class: losses::class(),
            items: rows.len() as u64,
            body: body.into(),
        };
        if shared.keep(Signal::Logs, &[part]).await == Stored::Yes {
            last = Some(Instant::now());
            shared.lock().spool.losses_told(&rows);
            // What was told is durable with the next commit.
            shared.commit.notify_one();
        }
    }
}

/// Rows to tell now.
fn untold<E: Env>(shared: &Shared<E>, is_patient: bool) -> Vec<Untold> {
    let config = shared.config();
    let state = shared.lock();
    let is_wanted = match config.telemetry.losses {
        TellLosses::Off => false,
        TellLosses::On => config.routes().next().is_some(),
        // A destination that takes no logs would answer 404, which takes it down for everything.
        TellLosses::Auto => state.spool.lifetime(Signal::Logs).delivered > 0,
    };
    let waits = !is_patient && state.spool.has_untold_under_way();
    match is_wanted && !waits {
        true => state.spool.ledger().untold(RECORDS_MAX),
        false => Vec::new(),
    }
}
