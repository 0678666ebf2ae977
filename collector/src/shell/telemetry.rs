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
    config::Config,
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
            Stored::Discarded
            | Stored::Full
            | Stored::Busy
            | Stored::DiskFailed
            | Stored::Known => Reported::Skipped,
        };
        shared.lock().counters.report(reported);
    }
}

async fn store<E: Env>(shared: &Shared<E>, start_unix_nano: u64, unix_nano: u64) -> Stored {
    let families = metrics::collect(shared).await;
    let (config, store) = (shared.config(), shared.lock().spool.identity().0);
    let resource = attributes(&config, store);
    match otlp::request(&families, &origin(&resource, start_unix_nano, unix_nano)) {
        Some((body, points)) => {
            let parts = sort_parts(&config, Signal::Metrics, points, body.into());
            shared.keep(Signal::Metrics, &parts).await
        }
        None => Stored::Yes,
    }
}

/// The attributes of the collector's own resource.
pub(super) fn attributes(config: &Config, store: u64) -> Vec<(String, String)> {
    let own = [
        ("service.name", "backroom-collector".to_owned()),
        ("service.version", VERSION.to_owned()),
        ("service.instance.id", format!("{store:016x}")),
    ];
    let mut resource: Vec<(String, String)> = own
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (name, value) in &config.telemetry.resource {
        resource.retain(|(known, _)| known != name);
        resource.push((name.clone(), value.clone()));
    }
    resource
}

/// Who tells of itself, and when.
pub(super) fn origin(
    resource: &[(String, String)],
    start_unix_nano: u64,
    unix_nano: u64,
) -> Origin<'_> {
    let resource = resource.iter();
    Origin {
        resource: resource
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        scope: ("backroom-collector", VERSION),
        start_unix_nano,
        unix_nano,
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
