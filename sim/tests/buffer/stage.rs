//! The world of these tests: two lanes of a till, the collector, a receiver; and what a script may do in it.
//!
//! The director is the test's script. Whatever the collector meets, [`Stage::drained`] brings it back as a service manager
//! would: after a power cut when the power is back, after an exit a second later.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use backroom_collector::{
    config::{Backoff, ByteSize, Config, Endpoint, Role},
    core::{
        accounting::{Accounting, DropReason},
        class::ClassName,
        codec::{CodecId, decompress},
        losses,
        range::ItemRange,
        recovery::Report,
        spool::in_blocks,
    },
    env::{Env, Listener as _, Target},
    otlp::Signal,
    shell::{self, Observer},
};
use backroom_sim::{
    dist::Dist,
    scenario::{DiskSpec, OnPowerCut},
    world::{
        self, MachineSpec, World, WorldSpec, Zone,
        disk::{PowerLoss, SimDisk},
        env::SimEnv,
    },
};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::{
    io::AsyncWriteExt as _,
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::{
    lies::{Lie, LyingEnv, Syncs},
    wire,
};

pub(crate) const S: Duration = Duration::from_secs(1);

/// Blocks of a simulated disk.
const BLOCK: u64 = 4096;

/// Longest virtual time for a drain.
const LIMIT: Duration = Duration::from_secs(3600);

/// The buffer's quota: small, so that a short workload fills several journals and segments.
pub(crate) const QUOTA: u64 = 64 << 10;

const PORT: u16 = 4318;

/// Restarts in [`Stage::drained`].
pub(crate) const FINAL_RESTARTS: usize = 2;

/// Requests that are offered when everything has been drained.
const LAST_CALL: u32 = 3;

/// Tries of a lane that repeats.
const TRIES: u32 = 200;

/// The lane that offers them.
const LAST_LANE: u32 = 2;

/// What a run begins with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    /// Requests of each lane.
    pub(crate) requests: u32,
    /// Longest pause between two requests of a lane.
    pub(crate) pause: Duration,
    /// Most bytes of ballast in an item.
    pub(crate) ballast: usize,
    pub(crate) loss: PowerLoss,
    pub(crate) disk_free: u64,
    pub(crate) lie: Option<Lie>,
    /// Whether logs go to a second receiver besides.
    pub(crate) has_audit: bool,
    /// Whether the lanes are stores of their own: each request has a range, and is repeated until it is acknowledged, and at times
    /// after that.
    pub(crate) repeats: bool,
    /// Whether the collector is a gateway.
    pub(crate) is_gateway: bool,
    /// Gets the syncs that a disk that lies was asked for.
    pub(crate) syncs: Syncs,
}

impl Setup {
    /// A workload of a few virtual seconds: some dozens of commits, a few journals and segments.
    pub(crate) fn short() -> Self {
        Self {
            seed: 1,
            requests: 12,
            pause: Duration::from_millis(120),
            ballast: 250,
            loss: PowerLoss::Unsynced,
            disk_free: 1 << 20,
            lie: None,
            has_audit: false,
            repeats: false,
            is_gateway: false,
            syncs: Syncs::default(),
        }
    }
}

/// What the receiver does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Takes everything.
    #[default]
    Take,
    /// Answers 503.
    Busy,
    /// Takes it, and the answer is lost.
    Mute,
}

/// A batch that the receiver took.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) range: ItemRange,
    pub(crate) ids: Vec<u32>,
}

/// One life of the collector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) report: Report,
    pub(crate) accounting: Accounting,
    pub(crate) is_up: bool,
    /// Why it ended by itself.
    pub(crate) exit: Option<String>,
    pub(crate) dropped: BTreeMap<DropReason, u64>,
    pub(crate) notices: Vec<String>,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) offered: BTreeSet<u32>,
    pub(crate) acked: BTreeSet<u32>,
    /// Requests that were answered, and not with an ack.
    pub(crate) refused: u32,
    pub(crate) arrivals: Vec<Arrival>,
    /// What the second receiver took.
    pub(crate) audited: Vec<Arrival>,
    /// Items that are logs.
    pub(crate) logs: BTreeSet<u32>,
    /// Answers that were lost on purpose.
    pub(crate) muted: u32,
    pub(crate) lives: Vec<Life>,
    pub(crate) lanes: u32,
    /// Requests of the last call that were acknowledged.
    pub(crate) last_acks: u32,
    /// The most that the buffer's files took together, seen at each change of the account.
    pub(crate) buffer_bytes_max: u64,
    /// The most that the reserve's file took.
    pub(crate) reserve_bytes_max: u64,
    /// The same at the end, without the reserve.
    pub(crate) buffer_bytes_end: u64,
    pub(crate) files_end: Vec<(std::path::PathBuf, u64)>,
    /// Operations that failed or were cut.
    pub(crate) bites: u64,
    pub(crate) changes: u64,
    pub(crate) mode: Mode,
    /// The same of the second receiver.
    pub(crate) audit_mode: Mode,
}

impl Log {
    /// The life that goes on.
    pub(crate) fn life(&mut self) -> &mut Life {
        self.lives.last_mut().expect("the collector was started")
    }

    fn is_drained(&self) -> bool {
        let life = self.lives.last();
        let is_empty = life.is_some_and(|life| life.is_up && life.accounting.stored_total() == 0);
        self.lanes == 0 && is_empty
    }
}

/// The log, and a bell for the director.
#[derive(Clone, Default)]
struct Shared(Arc<(Mutex<Log>, Notify)>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.0.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let out = change(&mut self.lock());
        self.0.1.notify_one();
        out
    }
}

/// The world while a script runs.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) disk: SimDisk,
    setup: Setup,
    shared: Shared,
}

/// A till, a collector with a disk of which so much is free, and head office, side by side.
pub(crate) fn spec(seed: u64, disk_free: u64) -> WorldSpec {
    let machine = |name: &str| MachineSpec {
        name: name.into(),
        zone: Zone::Store,
        access: None,
        disk: None,
    };
    let mut collector = machine("collector");
    collector.disk = Some(DiskSpec {
        size: ByteSize(1 << 30),
        free: ByteSize(disk_free),
        write_bytes_per_second: 50e6,
        fsync: Dist::Const(0.004),
        on_power_cut: OnPowerCut::LoseUnsynced,
    });
    WorldSpec {
        seed,
        machines: vec![machine("till"), collector, machine("hq"), machine("audit")],
        ..WorldSpec::default()
    }
}

/// Plays a script in a world of its own; gives what happened.
pub(crate) fn play<F>(setup: Setup, script: impl FnOnce(Stage) -> F + Send) -> Log
where
    F: Future<Output = ()>,
{
    let spec = spec(setup.seed, setup.disk_free);
    let shared = Shared::default();
    let stage = shared.clone();
    // A fresh thread for each world, as real runs have.
    std::thread::scope(|scope| {
        let world = scope.spawn(|| {
            let direct = |world: World| {
                let disk = world.disk("collector");
                disk.on_power_loss(setup.loss);
                let bell = stage.clone();
                let stage = Stage {
                    disk: disk.clone(),
                    world,
                    setup,
                    shared: stage,
                };
                async move {
                    script(stage).await;
                    let mut log = bell.lock();
                    log.bites = disk.bites();
                    log.changes = disk.changes();
                    log.buffer_bytes_end = buffer_bytes(&disk) - reserve_bytes(&disk);
                    log.files_end = disk.files();
                }
            };
            world::run(&spec, direct).expect("no recordings")
        });
        world.join().expect("the world ends well");
    });
    shared.lock().clone()
}

/// What all files take, in whole blocks.
fn buffer_bytes(disk: &SimDisk) -> u64 {
    let files = disk.files();
    let taken = files.iter().map(|(_, bytes)| in_blocks(*bytes, BLOCK));
    taken.sum()
}

/// What the reserve's file takes.
pub(crate) fn reserve_bytes(disk: &SimDisk) -> u64 {
    let files = disk.files();
    let reserve = files
        .iter()
        .filter(|(path, _)| path.ends_with("reserve"))
        .map(|(_, bytes)| bytes);
    reserve.sum()
}

impl Stage {
    /// The receiver, the collector, and both lanes.
    pub(crate) fn start(&self) {
        self.start_receiver();
        self.start_collector();
        self.start_lanes();
    }

    pub(crate) fn start_receiver(&self) {
        let shared = self.shared.clone();
        self.world
            .start("hq", move |env| receive(env, shared, false));
        if self.setup.has_audit {
            let shared = self.shared.clone();
            self.world
                .start("audit", move |env| receive(env, shared, true));
        }
    }

    /// Two lanes that offer as much as the setup says.
    pub(crate) fn start_lanes(&self) {
        self.start_some(0..2, self.setup.requests);
    }

    fn start_some(&self, lanes: std::ops::Range<u32>, requests: u32) {
        let (shared, setup) = (self.shared.clone(), self.setup.clone());
        self.shared.lock().lanes = lanes.end - lanes.start;
        self.world.start("till", move |env| async move {
            for lane in lanes {
                let offer = offer(env.clone(), shared.clone(), setup.clone(), lane, requests);
                drop(env.spawn(offer));
            }
        });
    }

    pub(crate) fn start_collector(&self) {
        let shared = self.shared.clone();
        shared.lock().lives.push(Life::default());
        let observer = Arc::new(Watch {
            shared: shared.clone(),
            disk: self.disk.clone(),
        });
        let (lie, config) = (self.setup.lie, config(&self.setup));
        let syncs = self.setup.syncs.clone();
        self.world.start("collector", move |env| async move {
            let never = std::future::pending();
            let result = match lie {
                None => shell::run(env, config, observer, never).await,
                Some(lie) => {
                    let env = LyingEnv::new(env, lie, syncs);
                    shell::run(env, config, observer, never).await
                }
            };
            let why = result.expect_err("nobody shut it down").to_string();
            shared.change(|log| log.life().exit = Some(why));
        });
    }

    pub(crate) fn receiver(&self, mode: Mode) {
        self.shared.lock().mode = mode;
    }

    /// What the second receiver does from now on.
    pub(crate) fn auditor(&self, mode: Mode) {
        self.shared.lock().audit_mode = mode;
    }

    /// What has happened so far.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.lock()
    }

    /// The power goes, and is back a second later.
    pub(crate) async fn power_cut(&self) {
        self.world.power_off("collector").await;
        sleep(S).await;
        self.world.power_on("collector");
        self.start_collector();
    }

    /// The process dies and is started again at once.
    pub(crate) async fn crash(&self) {
        self.world.crash("collector").await;
        self.start_collector();
    }

    /// Waits until something holds, while the collector is brought back from whatever it meets.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Log) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !holds(&self.log()) {
            if self.log().life().exit.is_some() {
                assert!(self.log().lives.len() < 50, "it exits again and again");
                sleep(S).await;
                self.crash().await;
            }
            tokio::select! {
                biased;
                () = self.disk.darkness() => self.power_cut().await,
                () = self.shared.0.1.notified() => {}
                () = tokio::time::sleep_until(deadline) => {
                    let life = self.log().life().clone();
                    let (files, free) = (self.disk.files(), self.disk.free());
                    panic!("{what}: not within {LIMIT:?}; {life:?}; {files:?}, {free} bytes free");
                }
            }
        }
    }

    /// Waits so long, while the collector is brought back from whatever it meets.
    pub(crate) async fn pass(&self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            if self.log().lives.last().is_some_and(|l| l.exit.is_some()) {
                sleep(S).await;
                self.crash().await;
            }
            tokio::select! {
                biased;
                () = self.disk.darkness() => self.power_cut().await,
                () = self.shared.0.1.notified() => {}
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// Waits until both lanes are done and everything stored has been delivered, restarts included; then restarts twice:
    /// what is drained stays drained, what comes then is taken in, and files that nobody needs go.
    pub(crate) async fn drained(&self) {
        self.until("both lanes are done", |log| log.lanes == 0)
            .await;
        self.receiver(Mode::Take);
        self.auditor(Mode::Take);
        for _ in 0..FINAL_RESTARTS {
            self.until("everything is delivered", Log::is_drained).await;
            // Notes of the last deliveries, files that go.
            self.pass(60 * S).await;
            self.until("everything stays delivered", Log::is_drained)
                .await;
            self.crash().await;
        }
        self.until("nothing comes back", Log::is_drained).await;
        self.start_some(LAST_LANE..LAST_LANE + 1, LAST_CALL);
        self.until("the last call", Log::is_drained).await;
        self.pass(60 * S).await;
        self.until("the end", Log::is_drained).await;
    }
}

fn config(setup: &Setup) -> Config {
    let mut config = Config::default();
    if setup.is_gateway {
        config.role = Role::Gateway;
    }
    config.listen.http = Some(SocketAddr::from(([0, 0, 0, 0], PORT)));
    config.listen.grpc = None;
    let mut endpoint = Endpoint::new(format!("http://hq:{PORT}"));
    endpoint.timeout = 5 * S;
    config.endpoint = Some(endpoint);
    config.buffer.dir = Path::new("/buffer").to_owned();
    config.buffer.disk = ByteSize(QUOTA);
    config.batch.bytes = ByteSize(2 << 10);
    config.batch.delay = Duration::from_millis(200);
    config.batch.delay_down = S;
    config.retry.backoff = Backoff::FullJitter {
        base: Duration::from_millis(100),
        cap: S,
    };
    if setup.has_audit {
        let mut audit = Endpoint::new(format!("http://audit:{PORT}"));
        audit.timeout = 5 * S;
        audit.classes = Some(vec![Signal::Logs.into()]);
        let name = ClassName::new("audit").expect("it is one");
        config.destinations = vec![(name, audit)];
    }
    config
}

struct Watch {
    shared: Shared,
    disk: SimDisk,
}

impl Observer for Watch {
    fn recovered(&self, report: &Report) {
        self.shared.change(|log| log.life().report = report.clone());
    }

    fn listening(&self, _: Option<SocketAddr>, _: Option<SocketAddr>) {
        self.shared.change(|log| log.life().is_up = true);
    }

    fn accounting(&self, accounting: &Accounting) {
        for signal in Signal::ALL {
            let items = accounting.items(signal);
            let elsewhere =
                items.delivered + items.stored + items.quarantined + items.dropped_total();
            assert_eq!(items.accepted, elsewhere, "{items:?}");
        }
        let (bytes, reserve) = (buffer_bytes(&self.disk), reserve_bytes(&self.disk));
        self.shared.change(|log| {
            log.life().accounting = *accounting;
            log.buffer_bytes_max = log.buffer_bytes_max.max(bytes);
            log.reserve_bytes_max = log.reserve_bytes_max.max(reserve);
        });
    }

    fn dropped(&self, _: Signal, items: u64, reason: DropReason) {
        let mut log = self.shared.lock();
        *log.life().dropped.entry(reason).or_default() += items;
    }

    fn notice(&self, message: &str) {
        self.shared.lock().life().notices.push(message.to_owned());
    }
}

/// A lane: offers its requests one after the other. What is not acknowledged is not offered again, so that every arrival
/// is the collector's doing.
async fn offer(env: SimEnv, shared: Shared, setup: Setup, lane: u32, requests: u32) {
    let mut rng = ChaCha8Rng::seed_from_u64(setup.seed ^ (u64::from(lane) << 32));
    let target = Target {
        host: "collector".into(),
        port: PORT,
        tls: None,
    };
    let mut connection = None;
    let mut again = ChaCha8Rng::seed_from_u64(setup.seed ^ (u64::from(lane) << 40));
    let mut sent = BTreeMap::new();
    for number in 0..requests {
        // Computed first: whatever fails, the next request is the same.
        let first = (lane * setup.requests + number) * 8;
        let ids: Vec<u32> = (first..first + rng.random_range(1..=8)).collect();
        let mut ballast = vec![0; rng.random_range(0..=setup.ballast)];
        rng.fill_bytes(&mut ballast);
        let signal = [Signal::Traces, Signal::Logs][rng.random_range(0..2)];
        let body = wire::request(signal, &ids, &ballast);
        let pause = setup.pause.mul_f64(rng.random_range(0.0..1.0));
        sleep(pause).await;
        let first: &mut usize = sent.entry(signal.name()).or_default();
        let batch = format!("{:016x}-1-{signal}-{first}-{}", lane + 1, ids.len());
        *first += ids.len();
        let batch = setup.repeats.then_some(batch.as_str());
        // A store never gives up; here it does after longer than any fault lasts.
        let mut tries = if setup.repeats { TRIES } else { 1 };
        while tries > 0 {
            tries -= 1;
            while connection.is_none() {
                match timeout(S, env.connect(&target)).await {
                    Ok(Ok(stream)) => connection = Some((stream, Vec::new())),
                    _ => sleep(Duration::from_millis(200)).await,
                }
            }
            {
                let mut log = shared.lock();
                log.offered.extend(&ids);
                if signal == Signal::Logs {
                    log.logs.extend(&ids);
                }
            }
            let (stream, unread) = connection.as_mut().expect("made above");
            let answer = timeout(5 * S, wire::post(stream, unread, signal, batch, &body)).await;
            match answer {
                Ok(Some(answer)) if answer.status() == 200 => {
                    shared.change(|log| {
                        log.acked.extend(&ids);
                        log.last_acks += u32::from(lane == LAST_LANE);
                    });
                    // The answer was lost, as far as the store knows.
                    tries = u32::from(setup.repeats && again.random_ratio(1, 3));
                }
                Ok(Some(answer)) => {
                    let status = answer.status();
                    assert_eq!(status, 503, "{answer:?}");
                    shared.change(|log| log.refused += 1);
                }
                _ => connection = None,
            }
            if tries > 0 {
                sleep(Duration::from_millis(150)).await;
            }
        }
    }
    shared.change(|log| log.lanes -= 1);
}

/// A receiver: the first one, or the auditor.
async fn receive(env: SimEnv, shared: Shared, is_audit: bool) {
    let any = SocketAddr::from(([0, 0, 0, 0], PORT));
    let mut listener = env.listen(any).await.expect("the port is free");
    while let Ok((mut stream, _)) = listener.accept().await {
        let shared = shared.clone();
        drop(env.spawn(async move {
            let mut unread = Vec::new();
            while let Some(request) = wire::read(&mut stream, &mut unread).await {
                let mode = match is_audit {
                    false => shared.lock().mode,
                    true => shared.lock().audit_mode,
                };
                if mode != Mode::Busy {
                    let arrival = arrival(&request);
                    shared.change(|log| match is_audit {
                        false => log.arrivals.extend(arrival),
                        true => log.audited.extend(arrival),
                    });
                }
                let answer = match mode {
                    Mode::Take => wire::answer("200 OK"),
                    Mode::Busy => wire::answer("503 Busy"),
                    Mode::Mute => {
                        shared.lock().muted += 1;
                        return;
                    }
                };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }));
    }
}

/// What came; `None` for what the collector itself tells of losses.
fn arrival(request: &wire::Message) -> Option<Arrival> {
    let encoding = request.headers.get("content-encoding");
    let codec = CodecId::from_content_encoding(encoding.map_or("", String::as_str));
    let codec = codec.expect("a known encoding");
    let body = decompress(codec, &request.body, 1 << 24).expect("it decompresses");
    let signal = Signal::from_path(request.path()).expect("an OTLP path");
    let range = ItemRange::parse(signal, &request.headers["x-backroom-batch"]);
    let range = range.expect("a range");
    if range.class.as_str() == losses::CLASS {
        return None;
    }
    let ids = wire::ids(signal, &body);
    assert_eq!(range.count, ids.len() as u64, "{range}");
    Some(Arrival { range, ids })
}
