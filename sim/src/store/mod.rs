//! The machines of a store, one file each.
//!
//! A machine is a real asynchronous program: it knows an [`Env`], the scenario and its own recorder, and nothing of the
//! engine. The engine starts [`run`] for every machine of the [`Directory`] and [`run_hq`] for head office, aborts them when
//! they crash, and calls them again when they boot. What crosses between machines goes over sockets.
//!
//! The flow of an order: `orders` (kiosk and POS take it) -> [`broker`] -> [`pos`] -> [`kds`], [`printer`], [`stock`] and [`hq`].
//! What customers see: [`publisher`] (head office) -> [`catalog`] -> broker -> `front` (boards, kiosks, tills); [`stock`] -> broker
//! -> `front`. Coupons: [`mobile`] -> [`catalog`] -> [`publisher`].
//! What every machine shares: `boot` (a counter that survives), `journal` (records that survive), [`mqtt`], `http`, `pace`
//! (backoff and token bucket), [`telemetry`].

pub mod broker;
pub mod catalog;
pub mod collector;
pub mod gateway;
pub mod hq;
pub mod kds;
pub mod kiosk;
pub mod mobile;
pub mod mqtt;
pub mod pos;
pub mod printer;
pub mod publisher;
pub mod signage;
pub mod stock;
pub mod telemetry;

mod arrivals;
mod boot;
mod front;
pub(crate) mod held;
pub(crate) mod http;
mod journal;
mod orders;
mod pace;

use std::{io, path::Path, sync::Arc, time::Duration};

use backroom_collector::env::{Env, Target};
use bytes::Bytes;

use self::journal::Journal;

use crate::{
    event::{Event, MachineId, Recorder},
    fault::hq_reject::Refusals,
    plant::Plant,
    scenario::{FlowStep, Role, Scenario},
};

/// Name of head office, as machines resolve it.
pub const HQ: &str = "hq";
/// Name of head office's gateway, where it has one.
pub const GATEWAY: &str = "gateway";
/// Head office authorises and settles payments here (HTTP).
pub const HQ_PAYMENT_PORT: u16 = 8443;
/// Head office's ledger takes sales here (HTTP).
pub const HQ_SYNC_PORT: u16 = 8444;
/// Head office's OTLP sink (OTLP/HTTP).
pub const HQ_OTLP_PORT: u16 = 4318;
/// The same over OTLP/gRPC.
pub const HQ_OTLP_GRPC_PORT: u16 = 4317;
/// Head office serves bulk media here (HTTP).
pub const HQ_MEDIA_PORT: u16 = 8080;
/// Head office serves menus and reference data here (HTTP).
pub const HQ_CATALOG_PORT: u16 = 8081;
/// Head office settles rewards here (HTTP).
pub const HQ_REWARDS_PORT: u16 = 8445;
/// The broker (MQTT 3.1.1).
pub const BROKER_PORT: u16 = 1883;
/// The store's collector (OTLP/HTTP).
pub const COLLECTOR_PORT: u16 = 4318;

/// Where machines keep what must survive, on their own disk.
pub(crate) const DATA_DIR: &str = "/data";

/// Everything that one machine's program is given.
#[derive(Clone, Debug)]
pub struct Context<E> {
    /// Its operating system.
    pub env: E,
    /// Its number.
    pub id: MachineId,
    /// Its name, which is also its host name.
    pub name: String,
    /// The group that it was declared in.
    pub group: String,
    /// The whole scenario.
    pub scenario: Arc<Scenario>,
    /// Where it records what it did.
    pub recorder: Recorder,
    /// All machines of the store.
    pub machines: Arc<Directory>,
    /// The run's seed, for what the whole store has in common; whatever is a machine's own comes from `env`.
    pub run_seed: u64,
    /// What faults make of head office; other machines do not look at it.
    pub refusals: Refusals,
    /// A bug that is planted, to see that it is found.
    pub plant: Option<Plant>,
}

impl<E: Env> Context<E> {
    /// A step of the order flow, by its message name.
    pub(crate) fn step(&self, msg: &str) -> Option<&FlowStep> {
        let orders = self.scenario.orders.as_ref()?;
        orders.flow.iter().find(|step| step.msg == msg)
    }

    /// The host that runs `role`: the first one where there are several.
    pub fn host_of(&self, role: Role) -> Option<&str> {
        self.machines
            .of_role(role)
            .next()
            .map(|machine| machine.name.as_str())
    }

    /// Counts this start of the machine: 1 for the first, over crashes and power cuts. Durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn boot(&self) -> io::Result<u16> {
        boot::next(self).await
    }

    /// Opens a journal of this machine, and tells what of it is damaged.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) async fn journal(&self, path: &Path) -> io::Result<(Journal, Vec<Bytes>)> {
        let role = self.machines.named(&self.name).map(|machine| machine.role);
        let bug = self.plant.zip(role);
        let bug = bug.and_then(|(plant, role)| plant.in_journal(role));
        let (journal, records, damage) = Journal::open_with(&self.env, path, bug).await?;
        if !damage.is_none() {
            self.recorder.record(Event::RecordsDamaged {
                machine: self.id,
                places: damage.places,
                records_max: damage.records_max,
                bytes: damage.bytes,
            });
        }
        Ok((journal, records))
    }

    /// Records that a custom service has done something which it began at a virtual time ([`Recorder::now`]): one sample of
    /// the metric `custom.done`.
    pub fn did(&self, began: Duration) {
        self.recorder.record(Event::Did { at: self.id, began });
    }

    /// A stream of random numbers for one purpose of this boot.
    pub fn rng(&self, purpose: &str, boot: u16) -> rand_chacha::ChaCha8Rng {
        use rand::SeedableRng as _;
        // A machine that boots again must not repeat its last life.
        rand_chacha::ChaCha8Rng::from_seed(self.env.seed(&format!("{purpose}/{boot}")))
    }
}

/// A plain TCP target.
pub(crate) fn target(host: &str, port: u16) -> Target {
    Target {
        host: host.to_owned(),
        port,
        tls: None,
    }
}

/// One machine of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its number: its index in the directory.
    pub id: MachineId,
    /// Its name, which is also its host name.
    pub name: String,
    /// The group that it was declared in.
    pub group: String,
    /// What it does.
    pub role: Role,
}

/// All machines of a store, in file order. Head office and the router are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    machines: Vec<Machine>,
}

impl Directory {
    /// The machines that a scenario declares: `name-1`, `name-2`, …, or just `name` where there is one of a group.
    pub fn of(scenario: &Scenario) -> Self {
        let mut machines = Vec::new();
        for (group, node) in &scenario.nodes {
            for index in 1..=node.count {
                machines.push(Machine {
                    id: MachineId(
                        u16::try_from(machines.len())
                            .expect("a store has fewer than 65,536 machines"),
                    ),
                    name: if node.count == 1 {
                        group.clone()
                    } else {
                        format!("{group}-{index}")
                    },
                    group: group.clone(),
                    role: node.role,
                });
            }
        }
        Self { machines }
    }

    /// All machines; a machine's id is its index.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// The number that head office records under: one after the last machine.
    pub fn hq(&self) -> MachineId {
        MachineId(
            u16::try_from(self.machines.len()).expect("a store has fewer than 65,536 machines"),
        )
    }

    /// One machine by name.
    pub fn named(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name == name)
    }

    /// The machines of a role, in order.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Machine> {
        self.machines
            .iter()
            .filter(move |machine| machine.role == role)
    }

    /// The machines of a group, in order.
    pub fn of_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Machine> {
        self.machines
            .iter()
            .filter(move |machine| machine.group == group)
    }
}

/// Head office's ports, each with the traffic class that its packets belong to.
///
/// A port whose traffic the scenario does not have is left out: nobody connects to it.
pub fn classes_by_port(scenario: &Scenario) -> Vec<(u16, String)> {
    let mut classes = Vec::new();
    if let Some(orders) = &scenario.orders {
        for step in orders.flow.iter().filter(|step| step.to == HQ) {
            let port = match step.msg.as_str() {
                "payment.auth" => HQ_PAYMENT_PORT,
                "order.sync" => HQ_SYNC_PORT,
                _ => continue,
            };
            classes.push((port, step.class.clone()));
        }
    }
    if let Some(telemetry) = &scenario.telemetry {
        for port in [HQ_OTLP_PORT, HQ_OTLP_GRPC_PORT] {
            classes.push((port, telemetry.class.clone()));
        }
    }
    if let Some(media) = &scenario.media {
        classes.push((HQ_MEDIA_PORT, media.class.clone()));
    }
    if let Some(catalog) = &scenario.shop.catalog {
        classes.push((HQ_CATALOG_PORT, catalog.class.clone()));
    }
    if let Some(offers) = &scenario.shop.offers {
        classes.push((HQ_REWARDS_PORT, offers.class.clone()));
    }
    classes
}

/// Runs a machine's program until it is aborted.
///
/// After a crash or a power cut it is called again, with whatever the disk kept.
///
/// # Errors
/// When the disk fails, or a port is taken. A machine that fails has stopped: its tasks should be aborted.
///
/// # Panics
/// If `ctx.name` is not in `ctx.machines`.
pub async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let role = ctx
        .machines
        .named(&ctx.name)
        .expect("a machine is listed in its own directory")
        .role;
    match role {
        Role::Kiosk => kiosk::run(ctx).await,
        Role::Pos => pos::run(ctx).await,
        Role::Broker => broker::run(ctx).await,
        Role::Kds => kds::run(ctx).await,
        Role::Signage => signage::run(ctx).await,
        Role::Collector => collector::run(ctx).await,
        Role::Printer => printer::run(ctx).await,
        Role::Stock => stock::run(ctx).await,
        Role::Catalog => catalog::run(ctx).await,
        Role::Mobile => mobile::run(ctx).await,
        Role::Custom => Err(io::Error::other(
            "a custom service is started with its own program",
        )),
    }
}

/// Runs head office's gateway until it is aborted.
///
/// # Errors
/// When its disk fails, or a port is taken.
pub async fn run_gateway<E: Env>(ctx: Context<E>) -> io::Result<()> {
    gateway::run(ctx).await
}

/// Runs head office until it is aborted.
///
/// # Errors
/// When a port is taken.
pub async fn run_hq<E: Env>(ctx: Context<E>) -> io::Result<()> {
    hq::run(ctx).await
}
