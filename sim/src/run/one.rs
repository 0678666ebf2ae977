//! One seed of one scenario, from power-on to the end of the settle phase.
//!
//! Builds the world that the scenario describes, boots its machines, lets the router probe, plays the faults, and waits
//! until what is under way has arrived. What machines do is `store`'s, how a line behaves is `link`'s; the verdict on what
//! happened is `outcome`'s. Next: `faults`, `settle`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use crate::{
    event::{Event, EventLog, MachineChange, MachineId, Recorder},
    fault::hq_reject::Refusals,
    link::{Trace, TraceError},
    metric::LinkBytes,
    plant::Plant,
    scenario::{Fidelity, Scenario},
    spill::{NotSpilled, Scratch},
    store::{self, Context, Directory, GATEWAY, HQ},
    world::{self, Active, MachineSpec, Way, World, WorldReport, WorldSpec, Zone, seed},
};

use super::{
    faults,
    holds::Holds,
    settle,
    supervise::{self, Supervisor},
};

/// How a run is computed, beyond what the scenario says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Largest simulated packet in bytes, headers included; lines count the headers of real ones either way.
    pub mtu: u32,
    /// Whether the trace hash covers payloads.
    pub hash_payloads: bool,
    /// A bug that is planted, to see that the search finds it; `None` unless a test of the search asks.
    pub plant: Option<Plant>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mtu: 1500,
            hash_payloads: false,
            plant: None,
        }
    }
}

/// What one seed did.
#[derive(Clone, Debug)]
pub struct SeedRun {
    /// The seed.
    pub seed: u64,
    /// Everything that was recorded, in time order.
    pub events: EventLog,
    /// What the links carried.
    pub links: Vec<LinkBytes>,
    /// Machine names by number; head office is the last one.
    pub machines: Vec<String>,
    /// When the settle phase ended.
    pub ended_at: Duration,
    /// What had not arrived when the settle phase gave up; empty if everything had.
    pub pending: Vec<String>,
    /// The engine's own figures, but for what the links carried.
    pub world: WorldReport,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A recording cannot be read.
    #[error(transparent)]
    Recording(#[from] TraceError),
    /// The scenario asks for what this version does not have.
    #[error("{0}")]
    Unsupported(String),
    /// What the seed did cannot be written down.
    #[error(transparent)]
    NotKept(#[from] super::keep::NotKept),
    /// There is no room for what the seed records.
    #[error(transparent)]
    NotSpilled(#[from] NotSpilled),
}

/// Runs `scenario` with `seed`. Call it on a fresh thread for every seed: hash keys of libraries advance within one.
///
/// # Errors
/// If a recording cannot be read, the scenario asks for what this version cannot run, or the folder of temporary files (`TMPDIR`)
/// has no room for a log that does not fit in memory.
pub fn run(scenario: &Arc<Scenario>, seed: u64, options: Options) -> Result<SeedRun, RunError> {
    run_with(scenario, seed, options, Scratch::open())
}

/// The same with a scratch file that is open: a thread in the strict mode opens none.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    scenario: &Arc<Scenario>,
    seed: u64,
    options: Options,
    scratch: Scratch,
) -> Result<SeedRun, RunError> {
    let scenario = match scenario.of_seed(seed) {
        Cow::Borrowed(_) => Arc::clone(scenario),
        Cow::Owned(settled) => Arc::new(settled),
    };
    let scenario = &scenario;
    let recordings = faults::recordings(scenario)?;
    let directory = Arc::new(Directory::of(scenario));
    let spec = world_spec(scenario, &directory, seed, options)?;
    let mut machines: Vec<String> = directory
        .machines()
        .iter()
        .map(|m| m.name.clone())
        .collect();
    machines.push(HQ.to_owned());

    let of_world = scenario.clone();
    let line = spec.line.clone();
    let of_log = scratch.clone();
    let of_links = scratch.clone();
    let ((events, pending), mut report) = world::run_with(&spec, &of_links, |world| async move {
        let refusals = Refusals::default();
        if let Some(line) = line {
            refusals.use_line(&line);
        }
        let director = Director {
            world,
            scenario: of_world,
            directory,
            recorder: Recorder::into_log(EventLog::new(of_log)),
            refusals,
            holds: Arc::default(),
            supervisor: Supervisor::default(),
            recordings,
            seed,
            plant: options.plant,
        };
        tokio::select! {
            biased;
            told = director.direct() => told,
            // Two more weeks would be for nothing.
            () = scratch.failed() => (director.recorder.take(), Vec::new()),
        }
    })?;
    events.check()?;
    let links = std::mem::take(&mut report.carried)
        .into_iter()
        .map(|((link, way, class), carried)| LinkBytes {
            link,
            upwards: way == Way::Up,
            class,
            carried: carried.bytes,
            lost: carried.lost,
            packets: carried.packets,
        })
        .collect();
    Ok(SeedRun {
        seed,
        events,
        links,
        machines,
        ended_at: report.virtual_time,
        pending,
        world: report,
    })
}

/// Whoever directs a store: starts, stops and starts again.
#[derive(Clone)]
pub(crate) struct Director {
    pub(crate) world: World,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) recorder: Recorder,
    /// What faults make of head office.
    pub(crate) refusals: Refusals,
    holds: Arc<Mutex<Holds>>,
    supervisor: Supervisor,
    /// Recordings that faults play, by the fault's index.
    pub(super) recordings: BTreeMap<u16, Arc<Trace>>,
    pub(crate) seed: u64,
    plant: Option<Plant>,
}

impl Director {
    async fn direct(&self) -> (EventLog, Vec<String>) {
        let context = self.context(HQ, HQ, self.directory.hq());
        self.world
            .start(HQ, |env| log_end(HQ, store::run_hq(context(env))));
        if self.scenario.hq.gateway {
            self.start_gateway();
        }
        let story = async {
            let boots = self.directory.machines().iter().map(|m| {
                self.holds().stop(m.id);
                self.boot(&m.name)
            });
            let boots = all(boots.collect());
            let faults = faults::play(self);
            let end = tokio::time::sleep_until(self.world.at(self.scenario.duration));
            tokio::join!(biased; boots, faults, end);
            settle::wait(self).await
        };
        let pending = tokio::select! {
            biased;
            pending = story => pending,
            () = self.probe() => unreachable!("the router probes for ever"),
            () = self.supervise() => unreachable!("it watches for ever"),
        };
        (self.recorder.take(), pending)
    }

    /// Starts the program of head office's gateway.
    pub(crate) fn start_gateway(&self) {
        let context = self.context(GATEWAY, GATEWAY, self.directory.hq());
        self.world.start(GATEWAY, |env| {
            log_end(GATEWAY, store::run_gateway(context(env)))
        });
    }

    /// What keeps machines from running.
    pub(crate) fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds
            .lock()
            .expect("one thread, and no panic while it is held")
    }

    /// Time from power-on to running, then the program, unless something else still keeps it from running.
    pub(crate) async fn boot(&self, name: &str) {
        let machine = self.directory.named(name).expect("a machine of the store");
        let node = &self.scenario.nodes[&machine.group];
        let boot = {
            let at = self.world.now().as_nanos().to_string();
            let mut rng = seed::stream(self.seed, &[name, "boot", &at]);
            node.boot.sample_duration(&mut rng)
        };
        tokio::time::sleep(boot).await;
        self.release(name);
    }

    /// One reason less for a machine not to run; after the last one its program starts at once.
    pub(crate) fn release(&self, name: &str) {
        let machine = self.directory.named(name).expect("a machine of the store");
        if !self.holds().release(machine.id) {
            return;
        }
        self.recorder.record(Event::Machine {
            machine: machine.id,
            change: MachineChange::Started,
        });
        let context = self.context(name, &machine.group, machine.id);
        let (name, supervisor) = (name.to_owned(), self.supervisor.clone());
        let disk = self.world.disk(&name);
        let custom = self.scenario.nodes[&machine.group].custom.clone();
        self.world.start(&name.clone(), |env| async move {
            let ended = match custom {
                Some(service) => service.start(context(env)).await,
                None => store::run(context(env)).await,
            };
            let Err(error) = ended else {
                return;
            };
            // Its disk fails because a fault says so: then it is the supervisor's. Anything else is a mistake of ours, and a
            // run that went on silently would judge a store with a machine less.
            let is_expected = disk.bites() > 0 || disk.met_full() > 0;
            assert!(is_expected, "{name} has stopped: {error}");
            supervisor.ended(&name);
        });
    }

    /// Starts programs again that have ended because their disk failed, for ever.
    async fn supervise(&self) {
        let mut restarts: VecDeque<(Duration, String)> = VecDeque::new();
        loop {
            let next = restarts.front().map(|(at, _)| self.world.at(*at));
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                name = self.supervisor.next() => {
                    let machine = self.directory.named(&name).expect("a machine of the store");
                    if !self.holds().stop(machine.id) {
                        // Something else stops it already, and will start it.
                        self.holds().release(machine.id);
                        continue;
                    }
                    self.world.crash(&name).await;
                    self.recorder.record(Event::Machine {
                        machine: machine.id,
                        change: MachineChange::Crashed,
                    });
                    restarts.push_back((self.world.now() + supervise::RESTART_AFTER, name));
                }
                () = due => {
                    if let Some((_, name)) = restarts.pop_front() {
                        self.release(&name);
                    }
                }
            }
        }
    }

    fn context<E>(
        &self,
        name: &str,
        group: &str,
        id: MachineId,
    ) -> impl FnOnce(E) -> Context<E> + use<E> {
        let (name, group) = (name.to_owned(), group.to_owned());
        let (scenario, recorder) = (self.scenario.clone(), self.recorder.clone());
        let machines = self.directory.clone();
        let refusals = self.refusals.clone();
        let (run_seed, plant) = (self.seed, self.plant);
        move |env| Context {
            env,
            id,
            name,
            group,
            scenario,
            recorder,
            machines,
            run_seed,
            refusals,
            plant,
        }
    }

    /// Lets the router probe its primary line, for ever.
    async fn probe(&self) {
        let Some(failover) = &self.scenario.failover else {
            return std::future::pending().await;
        };
        let interval = failover.probe;
        // An answer that is not there after half the interval does not count: three probes that fail are known after
        // three intervals, not four.
        let timeout = interval / 2;
        let mut next = self.world.now() + interval;
        loop {
            tokio::time::sleep_until(self.world.at(next)).await;
            let asked = self.world.now();
            let is_captive = self.refusals.is_captive(&failover.primary);
            let answer = self.world.probe();
            let answer = answer.filter(|at| *at <= asked + timeout && !is_captive);
            tokio::time::sleep_until(self.world.at(answer.unwrap_or(asked + timeout))).await;
            self.world.probed(answer.is_some());
            for (at, active) in self.world.take_switches() {
                let backup = active == Active::Backup;
                self.refusals.use_line(match active {
                    Active::Primary => &failover.primary,
                    Active::Backup => &failover.backup,
                });
                self.recorder.record_at(at, Event::Failover { backup });
            }
            next += interval;
        }
    }
}

/// Head office's program ends only when a port is taken; a run that went on silently would judge a store without it.
async fn log_end(name: &str, program: impl Future<Output = std::io::Result<()>>) {
    match program.await {
        Ok(()) => {}
        Err(error) => panic!("{name} has stopped: {error}"),
    }
}

/// Waits for all of them.
pub(crate) async fn all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        futures.retain_mut(|f| f.as_mut().poll(cx).is_pending());
        match futures.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

fn world_spec(
    scenario: &Scenario,
    directory: &Directory,
    seed: u64,
    options: Options,
) -> Result<WorldSpec, RunError> {
    if scenario.fidelity == Fidelity::Flow {
        return Err(RunError::Unsupported(
            "`fidelity = \"flow\"` is not run in this version; `check` and `explain` know it"
                .into(),
        ));
    }
    let mut machines: Vec<MachineSpec> = directory
        .machines()
        .iter()
        .map(|machine| MachineSpec {
            name: machine.name.clone(),
            zone: Zone::Store,
            access: access_of(scenario, machine).map(str::to_owned),
            disk: scenario.nodes[&machine.group]
                .disk
                .as_ref()
                .map(|disk| scenario.disks[disk].clone()),
        })
        .collect();
    machines.push(MachineSpec {
        name: HQ.into(),
        zone: Zone::Hq,
        access: None,
        disk: None,
    });
    if scenario.hq.gateway {
        machines.push(MachineSpec {
            name: GATEWAY.into(),
            zone: Zone::Hq,
            access: None,
            disk: Some(store::gateway::disk()),
        });
    }
    if machines.len() > world::MACHINES_MAX {
        return Err(RunError::Unsupported(format!(
            "a store of {} machines; one world holds {}",
            machines.len(),
            world::MACHINES_MAX
        )));
    }
    let line = scenario.primary_line().map(str::to_owned);
    Ok(WorldSpec {
        seed,
        epoch: Duration::from_nanos(
            u64::try_from(scenario.start.timestamp().as_nanosecond()).unwrap_or(0),
        ),
        mtu: options.mtu,
        hash_payloads: options.hash_payloads,
        machines,
        links: scenario.links.clone(),
        classes: scenario.classes.clone(),
        ports: store::classes_by_port(scenario).into_iter().collect(),
        line,
        failover: scenario.failover.clone(),
    })
}

/// The link between a machine and the router: its own, its group's, or everybody's.
fn access_of<'a>(scenario: &'a Scenario, machine: &store::Machine) -> Option<&'a str> {
    let ends = [machine.name.as_str(), machine.group.as_str(), "store/*"];
    ends.iter().find_map(|end| {
        scenario
            .links
            .iter()
            .find(|(_, link)| link.between.0 == *end && link.between.1 == "router")
            .map(|(name, _)| name.as_str())
    })
}
