//! Runs one seed of a scenario in this process and says what it cost, in time and in memory: for `perf record -g -- target/release/examples/profile …`.
//!
//! `--without-collector` puts a sink in the collector's place that takes exports and answers, and plays no faults: what is left
//! is the engine and the models of the other machines.

use std::{
    convert::Infallible, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc,
    time::Duration,
};

use backroom_benches::cpu;
use backroom_collector::env::{Env as _, Listener as _};
use backroom_sim::{
    event::Recorder,
    run::{
        cost,
        one::{self, Options},
    },
    scenario::{self, Role, Scenario},
    store::{self, Context, Directory},
    world::{self, MachineSpec, WorldReport, WorldSpec, Zone, env::SimEnv},
};
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs one seed and says what it cost.
#[derive(Debug, Parser)]
struct Args {
    /// The scenario.
    scenario: PathBuf,
    /// Overrides, PATH=VALUE.
    #[arg(long = "set")]
    sets: Vec<String>,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Largest simulated packet.
    #[arg(long, default_value_t = Options::default().mtu)]
    mtu: u32,
    /// A sink in the collector's place, and no faults.
    #[arg(long)]
    without_collector: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let scenario = match scenario::load(&args.scenario, &args.sets) {
        Ok(loaded) => Arc::new(loaded.scenario),
        Err(report) => {
            eprintln!("{:#?}", report.list);
            return ExitCode::FAILURE;
        }
    };
    let options = Options {
        mtu: args.mtu,
        ..Options::default()
    };
    let before = cost::peak_bytes(None);
    let ((events, spilled, report), took) = cpu::of(|| match args.without_collector {
        true => {
            let (events, report) = without_collector(&scenario, args.seed, options);
            (events, 0, report)
        }
        false => {
            let run = one::run(&scenario, args.seed, options).expect("the scenario can be run");
            (run.events.len(), run.events.bytes_on_disk(), run.world)
        }
    });
    let cpu = took.as_secs_f64();
    let (packets, virtual_s) = (report.packets as f64, report.virtual_time.as_secs_f64());
    println!(
        "{cpu:.2} s of CPU for {:.2} h: {:.0} times real time\n\
         {packets} packets, {:.2} us each; {} turns, {:.2} a packet; {events} events; trace {:016x}",
        virtual_s / 3600.0,
        virtual_s / cpu,
        cpu / packets * 1e6,
        report.turns,
        report.turns as f64 / packets,
        report.trace_hash,
    );
    println!(
        "{:.2} us an event, the world's work for it included; {:.1} events a packet",
        cpu / events as f64 * 1e6,
        events as f64 / packets,
    );
    let days = virtual_s / 86_400.0;
    if let (Some(before), Some(after)) = (before, cost::peak_bytes(None)) {
        println!(
            "memory: {:.1} MB at most, {:.1} MB of it before the run; {:.2} MB for each of {days:.2} simulated days",
            after as f64 / 1e6,
            before as f64 / 1e6,
            after.saturating_sub(before) as f64 / 1e6 / days,
        );
    }
    println!(
        "temporary file: {:.1} MB, {:.2} MB a simulated day",
        spilled as f64 / 1e6,
        spilled as f64 / 1e6 / days,
    );
    ExitCode::SUCCESS
}

fn without_collector(
    scenario: &Arc<Scenario>,
    seed: u64,
    options: Options,
) -> (usize, WorldReport) {
    let machines = Arc::new(Directory::of(scenario));
    let spec = world_of(scenario, &machines, seed, options);
    world::run(&spec, |world| async move {
        let recorder = Recorder::new();
        for machine in machines.machines() {
            let context = context(scenario, &machines, &recorder, seed, machine.id.0);
            let role = machine.role;
            world.start(&machine.name, move |env| async move {
                match role {
                    Role::Collector => take_exports(env).await,
                    _ => store::run(context(env)).await.expect("it runs"),
                }
            });
        }
        let hq = context(scenario, &machines, &recorder, seed, machines.hq().0);
        world.start(store::HQ, move |env| async move {
            store::run_hq(hq(env)).await.expect("it runs");
        });
        let probes = async {
            let Some(failover) = &scenario.failover else {
                return std::future::pending().await;
            };
            loop {
                tokio::time::sleep(failover.probe).await;
                world.probed(world.probe().is_some());
            }
        };
        let end = tokio::time::sleep_until(world.at(scenario.duration));
        let mut events = 0;
        let emptied = async {
            // What is recorded is taken away now and then, as a run does.
            loop {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                events += recorder.take().len();
            }
        };
        tokio::select! { biased; () = end => {}, () = probes => {}, () = emptied => {} }
        events + recorder.take().len()
    })
    .expect("recordings can be read")
}

fn context(
    scenario: &Arc<Scenario>,
    machines: &Arc<Directory>,
    recorder: &Recorder,
    run_seed: u64,
    id: u16,
) -> impl FnOnce(SimEnv) -> Context<SimEnv> + use<> {
    let machine = machines.machines().get(usize::from(id));
    let (name, group) = machine.map_or((store::HQ, store::HQ), |m| (&m.name, &m.group));
    let (name, group) = (name.to_owned(), group.to_owned());
    let (scenario, machines) = (Arc::clone(scenario), Arc::clone(machines));
    let recorder = recorder.clone();
    move |env| Context {
        env,
        id: backroom_sim::event::MachineId(id),
        name,
        group,
        scenario,
        recorder,
        machines,
        run_seed,
        refusals: Default::default(),
        plant: None,
    }
}

fn world_of(scenario: &Scenario, machines: &Directory, seed: u64, options: Options) -> WorldSpec {
    let lan = scenario
        .links
        .iter()
        .find(|(_, l)| l.between.0 == "store/*");
    let store = machines.machines().iter().map(|machine| MachineSpec {
        name: machine.name.clone(),
        zone: Zone::Store,
        access: lan.map(|(name, _)| name.clone()),
        disk: scenario.nodes[&machine.group]
            .disk
            .as_ref()
            .map(|disk| scenario.disks[disk].clone()),
    });
    let hq = MachineSpec {
        name: store::HQ.into(),
        zone: Zone::Hq,
        access: None,
        disk: None,
    };
    WorldSpec {
        seed,
        mtu: options.mtu,
        machines: store.chain([hq]).collect(),
        links: scenario.links.clone(),
        classes: scenario.classes.clone(),
        ports: store::classes_by_port(scenario).into_iter().collect(),
        line: Some("uplink".into()),
        failover: scenario.failover.clone(),
        ..WorldSpec::default()
    }
}

/// Takes exports and answers, for ever.
async fn take_exports(env: SimEnv) {
    let any = SocketAddr::from(([0, 0, 0, 0], store::COLLECTOR_PORT));
    let mut listener = env.listen(any).await.expect("the port is free");
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(|request: Request<Incoming>| async {
            // A body that breaks off is the sender's to send again.
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        });
        env.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .auto_date_header(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
