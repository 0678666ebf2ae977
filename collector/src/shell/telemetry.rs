//! The collector's own metrics over OTLP: a request like any other, into its own buffer, so that an outage does not lose them.
//!
//! One request each `telemetry.metrics_interval`, whatever is in it, so nothing feeds upon itself: its points count among the
//! stored metrics, as they must for the account, and that makes no more of them. It does not count among the requests. A
//! report that finds no room is skipped; counters are cumulative, so the next one tells the same and more.
//! Which metrics there are stands in `metrics`; how they are encoded in `core::metrics::otlp`.

use std::sync::Arc;

use super::{
    metrics,
    receiver::sort_parts,
    shared::Shared,
    store::{Stored, sleep_until},
};
use crate::{
    core::metrics::{
        Reported,
        otlp::{self, Origin},
    },
    env::Env,
    otlp::Signal,
};

/// Reports until the end.
pub(super) async fn report<E: Env>(shared: Arc<Shared<E>>) {
    let mut start_unix_nano = shared.unix_nanos();
    let mut last = tokio::time::Instant::now();
    loop {
        if shared.lock().is_stopping {
            return;
        }
        let interval = shared.config().telemetry.metrics_interval;
        let due = interval.map(|interval| last + interval);
        tokio::select! {
            biased;
            // A reload, or the end.
            () = shared.telemetry.notified() => continue,
            () = sleep_until(due) => {}
        }
        last = tokio::time::Instant::now();
        let unix_nano = shared.unix_nanos();
        // The clock was put back to before the start: a series that begins after its points would be refused.
        start_unix_nano = start_unix_nano.min(unix_nano);
        let stored = store(&shared, start_unix_nano, unix_nano).await;
        let reported = match stored {
            Stored::Yes => Reported::Stored,
            Stored::Discarded | Stored::Full | Stored::Busy | Stored::DiskFailed => {
                Reported::Skipped
            }
        };
        shared.lock().counters.report(reported);
    }
}

async fn store<E: Env>(shared: &Shared<E>, start_unix_nano: u64, unix_nano: u64) -> Stored {
    let families = metrics::collect(shared).await;
    let config = shared.config();
    let (store, _) = shared.lock().spool.identity();
    let store = format!("{store:016x}");
    let version = env!("CARGO_PKG_VERSION");
    let mut resource = vec![
        ("service.name", "backroom-collector"),
        ("service.version", version),
        ("service.instance.id", store.as_str()),
    ];
    for (name, value) in &config.telemetry.resource {
        resource.retain(|(known, _)| known != name);
        resource.push((name, value));
    }
    let origin = Origin {
        resource,
        scope: ("backroom-collector", version),
        start_unix_nano,
        unix_nano,
    };
    match otlp::request(&families, &origin) {
        Some((body, points)) => {
            let parts = sort_parts(&config, Signal::Metrics, points, body.into());
            shared.keep(Signal::Metrics, &parts).await
        }
        None => Stored::Yes,
    }
}
