//! What is done to a peer in a round, and what is measured: a load that passes through, and an outage with a `kill -9`.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use backroom_collector::{
    config::Codec,
    core::ranges::Ranges,
    env::{Env as _, OsEnv},
};
use backroom_reports::load::{Receipt as Written, SinkResult};
use backroom_sim::{
    load::{Load, Options, Outcome, endpoint::Endpoint, pace::Rate, profile::Profile, receipt},
    sink::{self, Receipt, Sink, Tolerated},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    peer::{Peer, Place},
    process::{Running, disk_bytes},
};

/// Nothing that still comes comes so late: retries are set to at most five seconds.
const QUIET: Duration = Duration::from_secs(15);

/// The same where everything is there already, and only repeats could come.
const QUIET_COMPLETE: Duration = Duration::from_secs(3);

/// A peer from which nothing comes at all is waited for so long: some read their buffer first.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// The same load for every peer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Kind of store.
    pub profile: Profile,
    /// How many.
    pub stores: u16,
    /// Length of each of the two loads.
    pub length: Duration,
    /// Items a second during the outage.
    pub outage_rate: f64,
    /// Connections.
    pub connections: usize,
    /// Bytes of a request.
    pub request_bytes: usize,
    /// Where peers keep what they keep.
    pub dir: PathBuf,
}

/// What a round has measured. `None` is what could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Round {
    /// Acknowledged items a second, passing through.
    pub items_per_second: Option<f64>,
    /// Processor seconds for a million items, in and out.
    pub cpu_seconds_per_million: Option<f64>,
    /// Most resident memory, passing through.
    pub peak_bytes: Option<f64>,
    /// The same during the outage.
    pub outage_peak_bytes: Option<f64>,
    /// Bytes on disk for an item that waits.
    pub disk_bytes_per_item: Option<f64>,
    /// Bytes of bodies out for an item.
    pub wire_bytes_per_item: Option<f64>,
    /// Items that were acknowledged during the outage.
    pub outage_acked: Option<f64>,
    /// Share of them that were lost by `kill -9`.
    pub lost_share: Option<f64>,
    /// Share of what came that came again.
    pub duplicate_share: Option<f64>,
    /// Items a second while the backlog drained.
    pub drain_items_per_second: Option<f64>,
    /// Of the load that passed through: what was acknowledged and did not come.
    pub lost_passing: Option<f64>,
}

/// Both loads for one peer.
///
/// # Errors
/// If it cannot be started.
pub async fn round(
    env: &OsEnv,
    plan: &Plan,
    program: &Path,
    peer: &Peer,
    seed: u64,
) -> Result<Round, String> {
    let mut round = Round::default();
    passing(env, plan, program, peer, seed, &mut round).await?;
    outage(env, plan, program, peer, seed + 1, &mut round).await?;
    Ok(round)
}

async fn passing(
    env: &OsEnv,
    plan: &Plan,
    program: &Path,
    peer: &Peer,
    seed: u64,
    round: &mut Round,
) -> Result<(), String> {
    let (_keep, place) = place(plan)?;
    let sink = receive(place.sink).await?;
    let running = Running::start(program, peer, &place).await?;
    let before = running.cpu_seconds();
    let outcome = send(env, plan, &place, Rate::Max, seed).await?;
    let acked = outcome.result.acked_items as f64;
    let result = drained(&sink, &outcome.receipt).await;
    let cpu = before
        .zip(running.cpu_seconds())
        .map(|(before, after)| after - before);
    round.items_per_second = Some(outcome.result.acked_items_per_second);
    round.cpu_seconds_per_million = cpu.map(|cpu| cpu / acked * 1e6).filter(|n| n.is_finite());
    round.peak_bytes = running.peak_bytes().map(|bytes| bytes as f64);
    round.wire_bytes_per_item = per_item(result.body_bytes as f64, result.items as f64);
    round.lost_passing = result.lost.map(|lost| lost as f64);
    Ok(())
}

async fn outage(
    env: &OsEnv,
    plan: &Plan,
    program: &Path,
    peer: &Peer,
    seed: u64,
    round: &mut Round,
) -> Result<(), String> {
    let (_keep, place) = place(plan)?;
    let running = Running::start(program, peer, &place).await?;
    let outcome = send(env, plan, &place, Rate::Items(plan.outage_rate), seed).await?;
    let acked = outcome.result.acked_items as f64;
    round.outage_acked = Some(acked);
    let bytes = disk_bytes(&place.dir).map_err(|error| error.to_string())?;
    round.disk_bytes_per_item = per_item(bytes as f64, acked);
    round.outage_peak_bytes = running.peak_bytes().map(|bytes| bytes as f64);
    running
        .kill()
        .map_err(|error| format!("kill {}: {error}", peer.name))?;
    let sink = receive(place.sink).await?;
    let _running = Running::start(program, peer, &place).await?;
    let result = drained(&sink, &outcome.receipt).await;
    round.lost_share = result.lost.and_then(|lost| per_item(lost as f64, acked));
    round.duplicate_share = per_item(result.duplicates as f64, result.items as f64);
    round.drain_items_per_second = Some(result.items_per_second).filter(|rate| *rate > 0.0);
    Ok(())
}

fn per_item(of: f64, items: f64) -> Option<f64> {
    (items > 0.0).then(|| of / items)
}

/// A fresh folder and free ports.
fn place(plan: &Plan) -> Result<(tempfile::TempDir, Place), String> {
    let failed = |error: std::io::Error| format!("make {}: {error}", plan.dir.display());
    std::fs::create_dir_all(&plan.dir).map_err(failed)?;
    let keep = tempfile::tempdir_in(&plan.dir).map_err(failed)?;
    let home = keep.path().canonicalize().map_err(failed)?;
    let dir = home.join("kept");
    std::fs::create_dir(&dir).map_err(failed)?;
    // All bound at once, so that they differ; free again when they are dropped.
    let bound: Vec<TcpListener> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("find free ports: {error}"))?;
    let address = |at: usize| bound[at].local_addr().map_err(failed);
    let place = Place {
        dir,
        home,
        http: address(0)?,
        grpc: address(1)?,
        sink: address(2)?,
    };
    Ok((keep, place))
}

/// A receiver that lives until this is dropped.
struct Receiver {
    sink: Arc<Sink>,
    task: backroom_collector::env::Task<std::io::Result<()>>,
    scope: OsEnv,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
        // Its connections, too.
        self.scope.abort_all();
    }
}

async fn receive(address: SocketAddr) -> Result<Receiver, String> {
    let scope = OsEnv::new().map_err(|error| error.to_string())?;
    let options = sink::Options {
        http: Some(address),
        ..sink::Options::default()
    };
    let bound = Sink::bind(&scope, options).await;
    let bound = bound.map_err(|error| error.to_string())?;
    Ok(Receiver {
        sink: Arc::clone(bound.sink()),
        task: scope.spawn(bound.serve()),
        scope,
    })
}

async fn send(
    env: &OsEnv,
    plan: &Plan,
    place: &Place,
    rate: Rate,
    seed: u64,
) -> Result<Outcome, String> {
    let mut profile = plan.profile.clone();
    profile.request_bytes = plan.request_bytes;
    let load = Load::new(Options {
        profile,
        endpoint: Endpoint::parse(&format!("http://{}", place.http), false)?,
        stores: plan.stores,
        rate,
        length: plan.length,
        seed,
        codec: Codec::None,
        connections: plan.connections,
        headers: Vec::new(),
        limit: Duration::from_secs(30),
    });
    load.run(env).await.map_err(|error| error.to_string())
}

/// Waits until nothing more comes, and says what came.
async fn drained(receiver: &Receiver, written: &Written) -> SinkResult {
    let receipt = read(written);
    let judge = || {
        receiver
            .sink
            .result(Some(&receipt), Tolerated::default(), None)
    };
    let start = Instant::now();
    loop {
        sleep(Duration::from_millis(100)).await;
        let idle = receiver.sink.standing().idle;
        let is_over = match idle {
            None => start.elapsed() > SILENT_MAX,
            Some(idle) if idle >= QUIET_COMPLETE => idle >= QUIET || judge().lost == Some(0),
            Some(_) => false,
        };
        if is_over {
            return judge();
        }
    }
}

fn read(written: &Written) -> Receipt {
    let run = u16::from_str_radix(&written.run, 16).expect("a load has written it");
    let mut acked = Ranges::default();
    for store in &written.stores {
        for [first, last] in &store.acked {
            acked.insert(&receipt::range(run, store.store, *first, last - first + 1));
        }
    }
    (run, acked)
}
