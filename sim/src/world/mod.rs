//! The engine: a discrete-event world of machines, lines and disks. The only place that names turmoil.
//!
//! **Problem.** Weeks of a store have to pass in seconds, with packet delays that are right to a millisecond. A world that
//! advances in fixed ticks cannot do both. **What we do.** One paused current-thread runtime holds the whole world. Its
//! network ([`net`]) delivers what is due, drains the machines' TCP stacks (turmoil-net), and asks the link model when
//! each packet arrives; its driver (`drive`) sleeps until the next arrival; tokio's paused clock then jumps to the next
//! timer or packet, whichever is first. Quiet time is free.
//!
//! - [mod@env]: what a machine's program sees. `scope`: its tasks. `wall`: its wall clock. `pause`: whether it stands still. [`disk`] with `disk_state`, `disk_time`, `disk_fault`: its disk.
//! - [`net`]: packets and paths. `agenda`: what is due, and who wakes for it. `clock`: virtual time.
//!   `flow`: lost segments. [`router`]: which line. `names`: look-ups that fail. `faults`: what whoever plays faults may do. [`trace`]: the run's hash. [`seed`]: randomness.
//! - [`det`]: what keeps two processes equal although libraries draw entropy.
//!
//! Not here: what machines do (`store`), when faults begin and end (`run`), what a line is like (`link`).

mod agenda;
mod clock;
mod cut_answers;
pub mod det;
pub mod disk;
mod disk_fault;
mod disk_state;
mod disk_time;
mod drive;
pub mod env;
mod faults;
mod flow;
mod names;
pub mod net;
mod pause;
pub mod router;
mod scope;
pub mod seed;
pub mod trace;
mod wall;

use std::{
    collections::BTreeMap,
    future::Future,
    hash::Hasher as _,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use indexmap::IndexMap;
use tokio::time::Instant;
use turmoil_net::KernelConfig;

use self::{
    disk::SimDisk,
    env::SimEnv,
    net::{Cap, Classes, Line, Net, NetHost, Signal, Wan},
    pause::Pause,
    router::Router,
    scope::Scope,
    wall::Wall,
};
pub use self::{
    disk_fault::DiskOp,
    disk_time::Slow as SlowDisk,
    names::Fails as NamesFail,
    net::{Carried, Way, Zone},
    router::Active,
};
use crate::{
    link::{Direction, Link, TraceError},
    scenario::{ClassSpec, DiskSpec, Failover, LinkSpec},
    spill::Scratch,
};

/// Machines that a world may have: the driver visits every one of them on each turn.
pub const MACHINES_MAX: usize = 64;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldSpec {
    /// The run's seed.
    pub seed: u64,
    /// Wall-clock time at virtual time zero, since 1970-01-01T00:00:00Z.
    pub epoch: Duration,
    /// Largest packet, headers included. Larger than 1,500 makes bulk transfers cheap; lines count real headers either way.
    pub mtu: u32,
    /// Whether the trace hash covers payloads.
    pub hash_payloads: bool,
    /// The machines, in the order in which they are visited.
    pub machines: Vec<MachineSpec>,
    /// Links by name, as declared; a machine's access link and the lines to head office refer to them.
    pub links: IndexMap<String, LinkSpec>,
    /// Traffic classes, in order.
    pub classes: IndexMap<String, ClassSpec>,
    /// Class of each of head office's ports.
    pub ports: BTreeMap<u16, String>,
    /// Name of the line between router and head office; `None` where all machines stand in one place.
    pub line: Option<String>,
    /// The backup line and the router's rules.
    pub failover: Option<Failover>,
}

impl Default for WorldSpec {
    fn default() -> Self {
        Self {
            seed: 0,
            epoch: Duration::from_secs(1_700_000_000),
            mtu: 1500,
            hash_payloads: false,
            machines: Vec::new(),
            links: IndexMap::new(),
            classes: IndexMap::new(),
            ports: BTreeMap::new(),
            line: None,
            failover: None,
        }
    }
}

/// One machine.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// Its name, which the others connect to.
    pub name: String,
    /// Where it stands.
    pub zone: Zone,
    /// Name of its link to the router; `None` is a perfect one.
    pub access: Option<String>,
    /// Its disk; `None` is a fast one of 8 GiB.
    pub disk: Option<DiskSpec>,
}

/// What a finished world says of itself.
#[derive(Clone, Debug, Default)]
pub struct WorldReport {
    /// Hash of the trace.
    pub trace_hash: u64,
    /// Packets sent by all machines.
    pub packets: u64,
    /// Turns of the driver.
    pub turns: u64,
    /// Connections reset because a sender gave up.
    pub gave_up: u64,
    /// What the links carried, by name, direction and class index; the index after the last class is everything else.
    pub carried: BTreeMap<(String, Way, u8), Carried>,
    /// Virtual time at the end.
    pub virtual_time: Duration,
}

/// A handle to the world, for whoever directs it: starts, crashes, cuts and heals.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    seed: u64,
    start: Instant,
    names: IndexMap<String, u16>,
    machines: Vec<Mutex<Running>>,
    line_names: Vec<String>,
    /// Traffic classes, by number.
    classes: Vec<String>,
    net: Arc<Mutex<Net>>,
    signal: Signal,
}

struct Running {
    host: turmoil_net::HostId,
    disk: SimDisk,
    clock: Wall,
    pause: Pause,
    scope: Scope,
    starts: u32,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World of {} machines", self.0.machines.len())
    }
}

/// Builds a world, runs `direct` in it to its end, and takes it down.
///
/// Call it on a fresh thread for every seed: hash keys of libraries advance within a thread.
///
/// # Errors
/// If a link's recording cannot be read.
///
/// # Panics
/// If the specification names a link that it does not have, has two machines of one name, or more than
/// [`MACHINES_MAX`].
pub fn run<T, F>(
    spec: &WorldSpec,
    direct: impl FnOnce(World) -> F,
) -> Result<(T, WorldReport), TraceError>
where
    F: Future<Output = T>,
{
    run_with(spec, &Scratch::in_memory(), direct)
}

/// The same, for a world of weeks: what its links carried goes to `scratch` instead of growing in memory. Whether there was room
/// for it, [`Scratch::check`] tells.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// As [`run`].
pub fn run_with<T, F>(
    spec: &WorldSpec,
    scratch: &Scratch,
    direct: impl FnOnce(World) -> F,
) -> Result<(T, WorldReport), TraceError>
where
    F: Future<Output = T>,
{
    // Before the runtime: its clock and its random choices begin with what the kit gives them.
    let _inside = det::enter(spec.seed);
    // Declared before the runtime, so dropped after it when the director panics: sockets close themselves in the network.
    let net;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true);
    // Only a runtime that parks moves its paused clock.
    runtime.on_thread_unpark(clock::tick);
    // Where the unstable flag is set anyway, `select!` and friends follow the seed without the kit in `det`.
    #[cfg(tokio_unstable)]
    runtime.rng_seed(tokio::runtime::RngSeed::from_bytes(
        &spec.seed.to_le_bytes(),
    ));
    let runtime = runtime
        .build()
        .expect("a current-thread runtime without IO needs nothing from the system");

    let world = {
        let _entered = runtime.enter();
        World::build(spec)?
    };
    net = world.0.net.clone();
    lock(&net).spill_to(scratch);
    let start = world.0.start;
    let _running = clock::begin(start);
    let (out, virtual_time) = runtime.block_on(async {
        let out = drive::run(world.clone(), direct(world)).await;
        (out, start.elapsed())
    });
    // What has happened on the lines and nobody has noticed.
    lock(&net).catch_up(virtual_time);
    drop(runtime);
    let mut net = lock(&net);
    let carried = net.take_carried().map(|(link, way, class, carried)| {
        let (name, _) = spec.links.get_index(link).expect("links of the world");
        ((name.clone(), way, class), carried)
    });
    let carried = carried.collect();
    let report = WorldReport {
        trace_hash: net.trace.finish(),
        packets: net.trace.packets(),
        turns: net.turns,
        gave_up: net.gave_up,
        carried,
        virtual_time,
    };
    Ok((out, report))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("a world is used by one thread and ends with its first panic")
}

impl World {
    fn build(spec: &WorldSpec) -> Result<Self, TraceError> {
        assert!(
            spec.machines.len() <= MACHINES_MAX,
            "a world of {} machines; at most {MACHINES_MAX}",
            spec.machines.len()
        );
        let kernel = KernelConfig::default()
            .mtu(spec.mtu)
            // TCP's timers are played by `flow`: this one counts egress passes, not time.
            .retx_threshold(u32::MAX);
        let mut fabric = turmoil_net::Net::with_config(kernel);
        let mut lines = Vec::new();
        let mut line_names = Vec::new();
        let mut add_line = |link: &str, of: &str| -> Result<usize, TraceError> {
            let (index, _, link_spec) = spec
                .links
                .get_full(link)
                .unwrap_or_else(|| panic!("{of} uses link {link}, which the world does not have"));
            lines.push(Line {
                link: index,
                name: link.to_owned(),
                up: make(spec, link_spec, true, &[of, link, "up"])?,
                down: make(spec, link_spec, false, &[of, link, "down"])?,
                delay_mean: Duration::from_secs_f64(link_spec.delay.mean()),
                delay_declared: Duration::from_secs_f64(link_spec.delay.mean()),
                refused: 0,
                worse: None,
                throttle: None,
                met_degraded: 0,
                cuts: Vec::new(),
                cut_rng: seed::stream(spec.seed, &[of, link, "cut-answers"]),
                cut: 0,
                polls: [None; 2],
            });
            line_names.push(link.to_owned());
            Ok(lines.len() - 1)
        };

        let start = Instant::now();
        let (mut names, mut hosts, mut machines) = (IndexMap::new(), Vec::new(), Vec::new());
        for machine in &spec.machines {
            let id = fabric.add_host(machine.name.as_str());
            let access = match &machine.access {
                Some(link) => Some(add_line(link, &machine.name)?),
                None => None,
            };
            hosts.push(NetHost {
                ip: fabric.lookup(&machine.name),
                zone: machine.zone,
                access,
                powered: true,
                paused: false,
                missed: 0,
            });
            machines.push(Mutex::new(Running {
                host: id,
                disk: SimDisk::new(machine.disk.as_ref(), spec.seed, &machine.name),
                clock: Wall::new(spec.epoch),
                pause: Pause::default(),
                scope: Scope::default(),
                starts: 0,
            }));
            let before = names.insert(machine.name.clone(), names.len() as u16);
            assert!(before.is_none(), "two machines are called {}", machine.name);
        }
        let wan = match (&spec.line, &spec.failover) {
            (None, None) => None,
            (Some(line), None) => Some(Wan {
                primary: add_line(line, "router")?,
                backup: None,
                router: None,
                allowed: Vec::new(),
                cap: None,
            }),
            (_, Some(plan)) => Some(Wan {
                primary: add_line(&plan.primary, "router")?,
                backup: Some(add_line(&plan.backup, "router")?),
                router: Some(Router::new(
                    plan.clone(),
                    seed::stream(spec.seed, &["router", "failover"]),
                )),
                allowed: spec
                    .classes
                    .keys()
                    .map(|class| plan.allow.contains(class))
                    .collect(),
                cap: plan.data_cap.clone().map(|plan| Cap {
                    plan,
                    used: 0,
                    period: 0,
                    exceeded: false,
                    forced: 0,
                    met: 0,
                }),
            }),
        };
        let class_index = |name: &str| {
            spec.classes
                .get_index_of(name)
                .unwrap_or_else(|| panic!("a port has class {name}, which the world does not have"))
                as u8
        };
        let classes = Classes {
            by_port: spec
                .ports
                .iter()
                .map(|(port, class)| (*port, class_index(class)))
                .collect(),
            // What has no class goes between: after payments and orders, before bulk.
            priorities: spec
                .classes
                .values()
                .map(|class| class.priority)
                .chain([2])
                .collect(),
        };
        let signal = Signal::default();
        let net = Net::new(
            fabric.enter(),
            hosts,
            lines,
            wan,
            classes,
            signal.clone(),
            trace::TraceHash::new(spec.hash_payloads),
        );
        Ok(Self(Arc::new(Inner {
            seed: spec.seed,
            start,
            names,
            machines,
            line_names,
            classes: spec.classes.keys().cloned().collect(),
            net: Arc::new(Mutex::new(net)),
            signal,
        })))
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        lock(&self.0.net)
    }

    /// The network, with everything done that has happened.
    fn caught_up(&self) -> MutexGuard<'_, Net> {
        let mut net = self.net();
        let now = net.now();
        net.catch_up(now);
        net
    }

    fn index(&self, machine: &str) -> u16 {
        *self
            .0
            .names
            .get(machine)
            .unwrap_or_else(|| panic!("the world has no machine {machine}"))
    }

    /// Virtual time.
    pub fn now(&self) -> Duration {
        clock::now()
    }

    /// The instant of a virtual time, for `tokio::time::sleep_until`.
    pub fn at(&self, time: Duration) -> Instant {
        self.0.start + time
    }

    /// The machines' names, in order.
    pub fn machines(&self) -> impl Iterator<Item = &str> {
        self.0.names.keys().map(String::as_str)
    }

    /// Starts a machine's program; it runs until it ends by itself or the machine is crashed or cut. A panic in one of its
    /// tasks ends the world.
    ///
    /// # Panics
    /// If the world has no such machine.
    pub fn start<F>(&self, machine: &str, program: impl FnOnce(SimEnv) -> F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let index = self.index(machine);
        let mut running = lock(&self.0.machines[index as usize]);
        assert!(
            !running.scope.is_busy(),
            "{machine} is started while it runs: crash it first"
        );
        if running.starts > 0 {
            self.net().forget_orphans(index);
        }
        running.scope = Scope::default();
        let env = SimEnv::new(
            machine.to_owned(),
            running.host,
            index,
            self.0.seed,
            running.starts,
            running.disk.clone(),
            running.scope.clone(),
            self.0.signal.clone(),
            self.0.net.clone(),
            running.clock.clone(),
            running.pause.clone(),
        );
        running.starts += 1;
        let (scope, pause) = (running.scope.clone(), running.pause.clone());
        drop(running);
        scope.spawn(env::Watched {
            signal: self.0.signal.clone(),
            pause,
            task: Box::pin(program(env)),
        });
    }

    /// Kills a machine's program: memory is lost, connections are closed by its kernel, the disk stays as it is.
    /// Gives the number of tasks that died.
    pub async fn crash(&self, machine: &str) -> u64 {
        let scope = lock(&self.0.machines[self.index(machine) as usize])
            .scope
            .clone();
        let tasks = scope.close().await as u64;
        self.0.signal.mark();
        tasks
    }

    /// Cuts a machine's power: memory and unsynced writes are lost, and nobody hears a word of it. Gives the tasks that
    /// died and the bytes that had been written and not synced.
    pub async fn power_off(&self, machine: &str) -> (u64, u64) {
        let index = self.index(machine);
        let (scope, disk) = {
            let running = lock(&self.0.machines[index as usize]);
            (running.scope.clone(), running.disk.clone())
        };
        // Before the tasks end: what they say in dying is not heard.
        self.net().mute(index);
        let tasks = scope.close().await as u64;
        self.net().cut_sockets(index);
        (tasks, disk.power_lost())
    }

    /// A machine's disk, to plan its faults.
    ///
    /// # Panics
    /// If the world has no such machine.
    pub fn disk(&self, machine: &str) -> SimDisk {
        lock(&self.0.machines[self.index(machine) as usize])
            .disk
            .clone()
    }

    /// Gives a machine its power back; its program must be started again.
    pub fn power_on(&self, machine: &str) {
        let index = self.index(machine);
        self.net().power_on(index);
    }

    /// Sends a probe over the primary line; gives the instant at which its answer is back, `None` if it is lost.
    pub fn probe(&self) -> Option<Duration> {
        self.net().probe()
    }

    /// Tells the router how a probe ended.
    pub fn probed(&self, answered: bool) {
        self.net().probed(answered);
    }

    /// The router's changes of line since the last call.
    pub fn take_switches(&self) -> Vec<(Duration, Active)> {
        std::mem::take(&mut self.net().switched)
    }

    /// None where nothing uses such a link: a fault on it meets nothing, and the run says so.
    fn lines(&self, link: &str) -> Vec<usize> {
        (0..self.0.line_names.len())
            .filter(|i| self.0.line_names[*i] == link)
            .collect()
    }
}

fn make(
    spec: &WorldSpec,
    link: &LinkSpec,
    up: bool,
    path: &[&str],
) -> Result<Link<net::Flight>, TraceError> {
    let direction = Direction::from_spec(link, up, &spec.classes)?;
    // By name, so that a class more, or more traffic of one, leaves the draws of the others alone.
    let named = spec.classes.keys().map(|class| ["class", class]);
    let streams = named.chain([["", "other"], ["", "probe"]]);
    let streams = streams.map(|purpose| seed::stream(spec.seed, &[path, &purpose].concat()));
    Ok(Link::new(direction, streams.collect()))
}
