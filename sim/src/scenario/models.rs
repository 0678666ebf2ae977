//! The table of closed forms that an oracle may name.
//!
//! What each computes stands in `oracle`; here are the names, what they are about, and whether this version has them.

/// A closed form.
#[derive(Debug)]
pub struct Model {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub doc: &'static str,
    /// Whether this version computes it.
    pub runs: bool,
}

impl Model {
    /// Whether it is about a fault; one that is not is about a store in its steady state.
    pub fn has_fault(&self) -> bool {
        self.name != "queue_wait"
    }
}

/// All closed forms.
#[rustfmt::skip]
pub static MODELS: &[Model] = &[
    Model { name: "fluid_recovery", doc: "Time to drain the backlog of an outage: t0 + (a(D + t0) - below)/(c - a).", runs: true },
    Model { name: "random_recovery", doc: "Mean recovery with Poisson arrivals and a server that was down, the delay cycle of M/G/1: rho D/(1 - rho); observes time_to(order.outbox == 0) after an outage.", runs: true },
    Model { name: "onoff_infinite_buffer", doc: "Backlog behind a line with exponential up and down times; observes mean(telemetry.backlog) with link.down at random.", runs: true },
    Model { name: "onoff_finite_buffer", doc: "Loss of a finite buffer behind a line with exponential up and down times; observes ratio(telemetry.dropped, telemetry.generated) with link.down at random.", runs: true },
    Model { name: "shared_onoff", doc: "Overload of a capacity shared by on/off stores (Anick, Mitra, Sondhi).", runs: false },
    Model { name: "herd_full_jitter", doc: "Busiest second of N clients that come back with full jitter.", runs: false },
    Model { name: "fleet_recovery", doc: "Recovery of a fleet: the slower of each store's line and head office's capacity.", runs: false },
    Model { name: "retry_calls", doc: "Calls that contending clients make under a back-off.", runs: false },
    Model { name: "slow_start", doc: "Transfer time of a new connection until it fills the line.", runs: false },
    Model { name: "tcp_loss_throughput", doc: "Throughput of a lossy line (Mathis).", runs: false },
    Model { name: "retry_attempts", doc: "Attempts per request where head office refuses a share: 1/(1 - p); observes ratio(hq.requests, hq.accepted) during the fault.", runs: true },
    Model { name: "queue_wait", doc: "Waiting time of a single server, here the broker (Pollaczek, Khinchine): lambda E[S^2]/(2(1 - rho)); observes mean(order.accept_delay); it is about no fault.", runs: true },
    Model { name: "erlang_c", doc: "Waiting probability of several registers.", runs: false },
    Model { name: "gilbert_loss", doc: "Mean loss of a line of two states: hp/(p + r); observes ratio(link.NAME.lost, link.NAME.packets) during a link.degrade.", runs: true },
    Model { name: "failover_downtime", doc: "Downtime of two lines with a failover time; observes mean(failover.dark) with link.down at random on both.", runs: true },
    Model { name: "cap_life", doc: "How long a data allowance lasts: bytes/rate; observes time_to(link.NAME.used >= BYTES) during an outage.", runs: true },
];

/// The closed form of this name.
pub fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|m| m.name == name)
}
