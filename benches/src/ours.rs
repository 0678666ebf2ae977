//! The small scenario on our engine: every machine behind the store's router, head office at the other end of a line.

use std::{net::SocketAddr, time::Duration};

use backroom_collector::{
    config::{BitRate, ByteSize},
    env::{Env as _, Listener as _, Target},
};
use backroom_sim::{
    dist::Dist,
    scenario::{Discipline, LinkSpec, Loss, QueueSpec},
    world::{self, MachineSpec, WorldReport, WorldSpec, Zone, env::SimEnv},
};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    cpu,
    exchange::{Exchange, Log, PORT},
};

/// How machines are connected to the store's router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// At once.
    Perfect,
    /// Over a local network of 300 Mbit/s and a millisecond: one hop more, each way.
    Lan,
}

/// Rate of the line: no packet waits for another one. Classic turmoil has no bandwidth.
const LINE: BitRate = BitRate(100_000_000_000);

fn link(between: (&str, &str), rate: BitRate, delay: Duration) -> LinkSpec {
    LinkSpec {
        between: (between.0.into(), between.1.into()),
        backup: false,
        up: rate,
        down: rate,
        delay: Dist::Const(delay.as_secs_f64()),
        loss: Loss::Bernoulli(0.0),
        queue: QueueSpec {
            bytes: ByteSize(1 << 20),
            discipline: Discipline::Fifo,
        },
        trace: None,
    }
}

/// The world of a small scenario.
pub fn world_of(exchange: &Exchange, access: Access) -> WorldSpec {
    let machine = |name: String, zone| MachineSpec {
        access: (access == Access::Lan && zone == Zone::Store).then(|| "lan".to_owned()),
        name,
        zone,
        disk: None,
    };
    WorldSpec {
        seed: exchange.seed,
        machines: (0..exchange.hosts)
            .map(|host| machine(Exchange::name(host), Zone::Store))
            .chain([machine("hq".into(), Zone::Hq)])
            .collect(),
        links: [
            (
                "line".to_owned(),
                link(("router", "hq"), LINE, exchange.delay),
            ),
            (
                "lan".to_owned(),
                link(
                    ("store/*", "router"),
                    BitRate(300_000_000),
                    Duration::from_millis(1),
                ),
            ),
        ]
        .into(),
        line: Some("line".into()),
        ..WorldSpec::default()
    }
}

/// Runs it to its end, on a thread of its own.
///
/// # Panics
/// If a machine's connection breaks.
pub fn run(exchange: &Exchange, access: Access) -> (Log, WorldReport) {
    let spec = world_of(exchange, access);
    cpu::on_a_fresh_thread(|| play(&spec, *exchange))
}

/// Runs it in this thread: one world a thread.
///
/// # Panics
/// If a machine's connection breaks.
pub fn play(spec: &WorldSpec, exchange: Exchange) -> (Log, WorldReport) {
    let log = Log::default();
    let of_world = log.clone();
    let ((), report) = world::run(spec, |world| async move {
        let start = Instant::now();
        let (done, mut ended) = mpsc::unbounded_channel();
        let served = of_world.clone();
        world.start("hq", move |env| serve(env, exchange, start, served));
        for host in 0..exchange.hosts {
            let (log, done) = (of_world.clone(), done.clone());
            world.start(&Exchange::name(host), move |env| async move {
                let stream = env.connect(&hq()).await.expect("head office listens");
                let asked = exchange.ask(host, stream, start, log).await;
                // Nobody waits any more only when the run is over.
                let _ = done.send(asked);
            });
        }
        for _ in 0..exchange.hosts {
            let asked = ended.recv().await.expect("the sender is alive");
            asked.expect("the line is well");
        }
    })
    .expect("no recordings");
    (log, report)
}

fn hq() -> Target {
    Target {
        host: "hq".into(),
        port: PORT,
        tls: None,
    }
}

async fn serve(env: SimEnv, exchange: Exchange, start: Instant, log: Log) {
    let any = SocketAddr::from(([0, 0, 0, 0], PORT));
    let mut listener = env.listen(any).await.expect("the port is free");
    while let Ok((stream, _)) = listener.accept().await {
        env.spawn(exchange.answer(stream, start, log.clone()));
    }
}
