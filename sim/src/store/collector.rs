//! The collector's machine: the very code that is deployed in stores, on this machine's disk and sockets.
//!
//! Nothing of it is imitated. It gets the scenario's `[collector]` as its configuration, an address that the store reaches,
//! and head office, or its gateway, as its destination unless the scenario names another one (over gRPC where `endpoint.protocol` says so); what it observes goes to the recorder.
//! Next: `backroom_collector::shell`.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use backroom_collector::{
    config::{Config, Endpoint, Protocol},
    core::{accounting, spool},
    env::Env,
    otlp::Signal,
    shell::{self, Observer},
};
use tokio::sync::watch;

use super::{
    COLLECTOR_PORT, Context, DATA_DIR, GATEWAY, HQ, HQ_OTLP_GRPC_PORT, HQ_OTLP_PORT, boot,
    held::Held,
};
use crate::{
    event::{DropReason, Event, Queue, Recorder},
    plant::Plant,
    scenario::Scenario,
};

/// A backlog that changes with every request is recorded ten times a second: enough for any latency that a line has.
const RECORD_EVERY: Duration = Duration::from_millis(100);

/// Limit for one export where the scenario names no endpoint of its own.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the collector until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    boot::next(&ctx).await?;
    let config = deployed(&ctx.scenario);
    let (backlog, changes) = watch::channel(None);
    ctx.env.spawn(record(ctx.recorder.clone(), changes));
    let observer = Arc::new(Recording {
        recorder: ctx.recorder.clone(),
        backlog,
        held: Mutex::new(Held::new(&ctx, Queue::Requests)),
        failed: Mutex::default(),
        drops_silently: ctx.plant == Some(Plant::CollectorDropsSilently),
    });
    shell::run(ctx.env, config, observer, std::future::pending())
        .await
        .map_err(io::Error::other)
}

/// The scenario's configuration with this machine's places.
fn deployed(scenario: &Scenario) -> Config {
    let mut config = scenario.collector.clone();
    // Only closed forms and the flow fidelity read it; here the collector really compresses.
    config.compress.ratio = None;
    config.listen.http = Some(SocketAddr::from(([0, 0, 0, 0], COLLECTOR_PORT)));
    config.listen.grpc = None;
    config.buffer.dir = Path::new(DATA_DIR).join("buffer");
    let endpoint = config.endpoint.get_or_insert_with(|| Endpoint {
        timeout: EXPORT_TIMEOUT,
        ..Endpoint::new("")
    });
    if endpoint.url.is_empty() {
        let port = match endpoint.protocol {
            Protocol::Grpc => HQ_OTLP_GRPC_PORT,
            Protocol::HttpProtobuf | Protocol::HttpJson => HQ_OTLP_PORT,
        };
        let host = if scenario.hq.gateway { GATEWAY } else { HQ };
        endpoint.url = format!("http://{host}:{port}");
    }
    config
}

/// Records the backlog, not more often than [`RECORD_EVERY`], and always the last value.
async fn record(recorder: Recorder, mut changes: watch::Receiver<Option<spool::Backlog>>) {
    while changes.changed().await.is_ok() {
        let now = *changes.borrow_and_update();
        if let Some(spool::Backlog { bytes, items }) = now {
            recorder.record(Event::Backlog { bytes, items });
        }
        tokio::time::sleep(RECORD_EVERY).await;
    }
}

struct Recording {
    recorder: Recorder,
    backlog: watch::Sender<Option<spool::Backlog>>,
    held: Mutex<Held>,
    /// By destination: when attempts failed that no other one has followed yet. At most as many as were under way at once.
    failed: Mutex<BTreeMap<String, Vec<Duration>>>,
    /// A planted bug.
    drops_silently: bool,
}

impl Observer for Recording {
    fn backlog(&self, backlog: spool::Backlog) {
        self.backlog.send_replace(Some(backlog));
    }

    fn inflight(&self, bytes: u64) {
        let mut held = self.held.lock().expect("nobody panics while holding it");
        held.look(bytes);
    }

    fn exporting(&self, url: &str) {
        let mut failed = self.failed.lock().expect("nobody panics while holding it");
        for failed_at in failed.remove(url).unwrap_or_default() {
            self.recorder.record(Event::ExportRetried { failed_at });
        }
    }

    fn export_failed(&self, url: &str) {
        let mut failed = self.failed.lock().expect("nobody panics while holding it");
        let of_destination = failed.entry(url.to_owned()).or_default();
        of_destination.push(self.recorder.now());
    }

    fn dropped(&self, _: Signal, items: u64, reason: accounting::DropReason) {
        let reason = self::reason(reason);
        if self.drops_silently && reason == DropReason::BufferFull {
            return;
        }
        self.recorder
            .record(Event::TelemetryDropped { items, reason });
    }
}

/// The simulator's word for why items were dropped.
pub(super) fn reason(reason: accounting::DropReason) -> DropReason {
    match reason {
        accounting::DropReason::BufferFull => DropReason::BufferFull,
        accounting::DropReason::TooOld => DropReason::TooOld,
        accounting::DropReason::Refused => DropReason::Refused,
        accounting::DropReason::Damaged => DropReason::Damaged,
        accounting::DropReason::Purged | accounting::DropReason::Exported => DropReason::Removed,
    }
}
