//! Head office's gateway: the collector's own code in `role = "gateway"`, between the lines of stores and the OTLP sink.
//!
//! Nothing of it is imitated: it keeps what it acknowledges on a disk of its own, drops what stores send again, and forwards over
//! head office's network to [`HQ`]. It dies and starts again where the fault `hq.gateway_crash` says so. What it drops is
//! recorded as dropped, its backlog is not that of the store. Next: `backroom_collector::shell`.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use backroom_collector::{
    config::{ByteSize, Config, Endpoint, Role},
    core::accounting,
    env::Env,
    otlp::Signal,
    shell::{self, Observer},
};

use super::{Context, DATA_DIR, HQ, HQ_OTLP_GRPC_PORT, HQ_OTLP_PORT, collector::reason};
use crate::{
    dist::Dist,
    event::{Event, Recorder},
    scenario::{DiskSpec, OnPowerCut},
};

/// What it waits for company of a batch: a network that is fast and free needs no large batches.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// A server's disk: a write cache with a battery syncs in less than a millisecond.
pub fn disk() -> DiskSpec {
    DiskSpec {
        size: ByteSize(1 << 40),
        free: ByteSize(1 << 38),
        write_bytes_per_second: 400e6,
        fsync: Dist::Const(0.0005),
        on_power_cut: OnPowerCut::LoseUnsynced,
    }
}

/// Runs the gateway until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let observer = Arc::new(Recording(ctx.recorder.clone()));
    shell::run(ctx.env, deployed(), observer, std::future::pending())
        .await
        .map_err(io::Error::other)
}

fn deployed() -> Config {
    let any = |port| Some(SocketAddr::from(([0, 0, 0, 0], port)));
    let mut config = Config {
        role: Role::Gateway,
        endpoint: Some(Endpoint::new(format!("http://{HQ}:{HQ_OTLP_PORT}"))),
        ..Config::default()
    };
    config.listen.http = any(HQ_OTLP_PORT);
    config.listen.grpc = any(HQ_OTLP_GRPC_PORT);
    config.buffer.dir = Path::new(DATA_DIR).join("buffer");
    config.batch.delay = BATCH_DELAY;
    config
}

struct Recording(Recorder);

impl Observer for Recording {
    fn repeated(&self, _: Signal, items: u64) {
        self.0.record(Event::TelemetryRepeated { items });
    }

    fn dropped(&self, _: Signal, items: u64, why: accounting::DropReason) {
        let reason = reason(why);
        self.0.record(Event::TelemetryDropped { items, reason });
    }
}
