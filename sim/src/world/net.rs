//! The network of one store and its head office: an event queue over turmoil-net's kernels and the link model.
//!
//! `turn` delivers what is due, drains the kernels, asks the link model when each packet arrives at its next hop, and
//! tells when it wants to be called again; the driver in `mod` sleeps until then, so quiet time costs nothing.
//! Paths: machine - access link - router - line - head office. The router's choice of line is `router`'s, what lost
//! segments do is `flow`'s, a line's behaviour is `link`'s. Next: `ahead`, when somebody has to wake for a packet.

mod accounts;
mod ahead;
mod faults;
mod portal;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use turmoil_net::{EnterGuard, NetstatState, Packet, TcpFlags, TcpSegment, Transport};

pub use self::accounts::Carried;
use self::{accounts::Accounts, ahead::Drawn, portal::Portals};
use super::{
    agenda::Agenda,
    clock,
    flow::{self, FlowId, Trouble},
    names::Names,
    router::{Active, Router},
    trace::TraceHash,
};
use crate::{
    link::{self, Degrade, Link, Offer},
    scenario::DataCap,
    spill::Scratch,
};
use backroom_collector::config::BitRate;

/// Payload bytes of a full-sized segment on a real line: larger simulated ones pay for the headers of several.
const MSS_BYTES: u32 = 1460;
/// IPv4 and TCP headers without options.
const HEADER_BYTES: u32 = 40;
/// Bytes of a probe on the wire: an ICMP echo of the usual 56 bytes.
const PROBE_BYTES: u32 = 84;
/// First port that turmoil-net gives to those who connect; servers listen below.
const EPHEMERAL_PORTS: u16 = 49_152;
/// Turns without time passing after which something spins: a busy instant of a store takes some thousands.
const TURNS_AT_ONE_INSTANT_MAX: u64 = 5_000_000;
/// Address translations before the first sweep of those not used for [`NAT_IDLE`].
const NAT_ENTRIES: usize = 1024;
/// Linux's `nf_conntrack_tcp_timeout_established`.
const NAT_IDLE: Duration = Duration::from_secs(5 * 24 * 3600);

/// Wakes the driver when a machine touched its network.
#[derive(Clone, Debug, Default)]
pub(super) struct Signal(Arc<SignalInner>);

#[derive(Debug, Default)]
struct SignalInner {
    dirty: AtomicBool,
    panicked: AtomicBool,
    /// Somebody waits for room to write.
    blocked: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    /// Something may have to be sent. Costs next to nothing where that is known already.
    pub(super) fn mark(&self) {
        if !self.0.dirty.swap(true, Ordering::Relaxed)
            && let Some(driver) = &*self.waker()
        {
            driver.wake_by_ref();
        }
    }

    /// A machine's task has panicked: the run must not go on as if nothing had happened.
    pub(super) fn panicked(&self) {
        self.0.panicked.store(true, Ordering::Relaxed);
        self.mark();
    }

    /// A program waits for room in its connection: acknowledgements matter.
    pub(super) fn blocked(&self) {
        self.0.blocked.store(true, Ordering::Relaxed);
        self.mark();
    }

    /// Whom marks wake.
    pub(super) fn wakes(&self, driver: &Waker) {
        let mut waker = self.waker();
        if !waker.as_ref().is_some_and(|w| w.will_wake(driver)) {
            *waker = Some(driver.clone());
        }
    }

    /// Whether it is marked.
    pub(super) fn is_marked(&self) -> bool {
        self.0.dirty.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        assert!(
            !self.0.panicked.load(Ordering::Relaxed),
            "a task of a simulated machine has panicked; its message stands above"
        );
        self.0.dirty.swap(false, Ordering::Relaxed)
    }

    fn take_blocked(&self) -> bool {
        self.0.blocked.swap(false, Ordering::Relaxed)
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.waker.lock().expect("waking does not panic")
    }
}

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Behind the store's router.
    Store,
    /// At head office.
    Hq,
}

pub(super) struct NetHost {
    pub(super) ip: IpAddr,
    pub(super) zone: Zone,
    /// Index of its access link in `lines`; `None` is a perfect one.
    pub(super) access: Option<usize>,
    pub(super) powered: bool,
    /// It stands still: it sends nothing, and what reaches it is not taken.
    pub(super) paused: bool,
    /// Packets that reached it while it stood still.
    pub(super) missed: u64,
}

/// Both directions of a link.
pub(super) struct Line {
    /// Which link it is one of: a store's machines have one of the same link each.
    pub(super) link: usize,
    /// The link's name.
    pub(super) name: String,
    pub(super) up: Link<Flight>,
    pub(super) down: Link<Flight>,
    /// Mean one-way delay as it is now, for retransmission timeouts.
    pub(super) delay_mean: Duration,
    /// The same as it was declared, for when a fault heals.
    pub(super) delay_declared: Duration,
    /// Packets that found it down or were taken out of its queue: whether a fault bit.
    pub(super) refused: u64,
    /// What faults make of it, upwards and downwards.
    pub(super) worse: Option<(Degrade, Degrade)>,
    /// What its carrier leaves of it once the allowance is used up.
    pub(super) throttle: Option<BitRate>,
    /// Packets that found it degraded and up: whether that fault bit.
    pub(super) met_degraded: u64,
    /// What resets connections when answers come back; the last one is in force.
    pub(super) cuts: Vec<Cut>,
    /// Whether a packet does.
    pub(super) cut_rng: ChaCha8Rng,
    /// Connections that were reset so: whether a fault bit.
    pub(super) cut: u64,
    /// When its queues are polled next, by direction: one timer each, or they would multiply.
    pub(super) polls: [Option<Duration>; 2],
}

/// Resets of connections, while a fault says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Which fault.
    pub(super) number: u64,
    /// Share of packets with data towards the store.
    pub(super) share: f64,
    /// Only of this class.
    pub(super) class: Option<u8>,
}

/// Direction of travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Towards head office.
    Up,
    /// Towards the store.
    Down,
}

impl Line {
    fn way(&mut self, way: Way) -> &mut Link<Flight> {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

/// A packet on its way.
#[derive(Debug)]
pub(super) struct Flight {
    packet: Packet,
    flow: FlowId,
    /// First transmission.
    sent: Duration,
    /// Next hop of its path: 0 sender's access link, 1 line, 2 receiver's access link, 3 arrived.
    hop: u8,
    /// The line of a segment that comes from an address which head office does not know for this connection, and of the
    /// reset that answers it; `None` for all others.
    readdressed: Option<usize>,
    /// Delays of hops before it.
    drawn: Drawn,
    /// An acknowledgement that nobody waits for.
    deferred: bool,
}

impl Flight {
    fn new(packet: Packet, flow: FlowId, sent: Duration) -> Self {
        Self {
            packet,
            flow,
            sent,
            hop: 0,
            readdressed: None,
            drawn: Drawn::default(),
            deferred: false,
        }
    }
}

enum Due {
    Hop(Flight),
    /// A link's queue has a packet whose turn has come.
    Poll(usize, Way),
    /// The retransmission timer of a flow, and which trouble it belongs to.
    Retransmit(FlowId, u64),
}

/// The two lines between a store and its head office.
pub(super) struct Wan {
    pub(super) primary: usize,
    pub(super) backup: Option<usize>,
    pub(super) router: Option<Router>,
    /// Classes that the backup carries, by index.
    pub(super) allowed: Vec<bool>,
    /// The backup's allowance.
    pub(super) cap: Option<Cap>,
}

impl Wan {
    /// Whether the backup carries this class.
    fn allows(&self, class: u8) -> bool {
        self.allowed.get(class as usize).copied().unwrap_or(false)
    }
}

/// A data allowance and what was used of it.
#[derive(Debug)]
pub(super) struct Cap {
    pub(super) plan: DataCap,
    pub(super) used: u64,
    /// Number of the period that `used` belongs to.
    pub(super) period: u64,
    pub(super) exceeded: bool,
    /// Faults that say that it is used up, whatever was used.
    pub(super) forced: u32,
    /// Packets that met it so.
    pub(super) met: u64,
}

/// Traffic classes by head office's port.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    /// Port to class index.
    pub(super) by_port: BTreeMap<u16, u8>,
    /// Priority by class index; the last one is for everything else.
    pub(super) priorities: Vec<u8>,
}

/// What the sender of one flow has under way, as far as its packets show it.
#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    /// Sequence number after the last byte sent.
    sent: u32,
    /// What the receiver last acknowledged, and the room that it told then. None yet: nothing is known to fit.
    acked: u32,
    window: u16,
    /// Acknowledgements on their way to it that ring for nobody.
    deferred: u32,
}

impl Sender {
    /// Whether the receiver's window kept bytes back that an acknowledgement may now let out. After every drain of the
    /// kernels all else has been sent.
    fn is_held_back(&self) -> bool {
        self.sent.wrapping_sub(self.acked) >= self.window.into()
    }

    /// Whether it can go on for a while without hearing from the receiver.
    fn has_room(&self) -> bool {
        self.sent.wrapping_sub(self.acked) < u32::from(self.window) / 2
    }
}

struct Nat {
    line: usize,
    used: Duration,
}

pub(super) struct Net {
    guard: EnterGuard,
    pub(super) hosts: Vec<NetHost>,
    /// Machines by the last two bytes of their address.
    by_ip: Vec<Option<u16>>,
    pub(super) lines: Vec<Line>,
    pub(super) wan: Option<Wan>,
    classes: Classes,
    agenda: Agenda<Due>,
    /// Everything before this instant is done.
    done: Duration,
    nat: BTreeMap<u64, Nat>,
    nat_sweep_at: usize,
    troubles: BTreeMap<FlowId, Trouble>,
    /// By `FlowId::number`; only of connections that nobody has begun to close.
    senders: BTreeMap<u64, Sender>,
    timers: u64,
    signal: Signal,
    pub(super) trace: TraceHash,
    accounts: Accounts,
    /// Connections that were reset because a sender gave up.
    pub(super) gave_up: u64,
    pub(super) turns: u64,
    instant: (Duration, u64),
    egress: Vec<Packet>,
    /// Whether this turn drains the kernels later on.
    draining: bool,
    /// Line changes that nobody has read yet.
    pub(super) switched: Vec<(Duration, Active)>,
    /// Look-ups that fail.
    pub(super) names: Names,
    /// Who answers TLS for head office.
    pub(super) portals: Portals,
    /// Whether the router has power; without it neither lines nor LAN carry anything.
    pub(super) router_on: bool,
}

/// Bytes of a packet on a real line: a simulated segment may be larger than a real one, and then pays for more headers.
fn wire_bytes(packet: &Packet) -> u32 {
    let payload = match &packet.payload {
        Transport::Tcp(s) => s.payload.len() as u32,
        Transport::Udp(_) => return packet.size(),
    };
    payload + HEADER_BYTES * payload.div_ceil(MSS_BYTES).max(1)
}

/// What tells the addresses of one network apart.
fn last_bytes(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(ip) => usize::from(u16::from_be_bytes([ip.octets()[2], ip.octets()[3]])),
        IpAddr::V6(ip) => usize::from(ip.segments()[7]),
    }
}

impl Net {
    pub(super) fn new(
        guard: EnterGuard,
        hosts: Vec<NetHost>,
        lines: Vec<Line>,
        wan: Option<Wan>,
        classes: Classes,
        signal: Signal,
        trace: TraceHash,
    ) -> Self {
        let mut by_ip = Vec::new();
        for (host, index) in hosts.iter().zip(0..) {
            let at = last_bytes(host.ip);
            by_ip.resize(by_ip.len().max(at + 1), None);
            let before = by_ip[at].replace(index);
            assert!(before.is_none(), "two machines end in {}", host.ip);
        }
        let links = lines.iter().map(|line| line.link + 1).max().unwrap_or(0);
        let accounts = Accounts::new(links, classes.priorities.len(), &Scratch::in_memory());
        Self {
            guard,
            hosts,
            by_ip,
            lines,
            wan,
            classes,
            agenda: Agenda::new(),
            done: Duration::ZERO,
            nat: BTreeMap::new(),
            nat_sweep_at: NAT_ENTRIES,
            troubles: BTreeMap::new(),
            senders: BTreeMap::new(),
            timers: 0,
            signal,
            trace,
            accounts,
            gave_up: 0,
            turns: 0,
            instant: (Duration::ZERO, 0),
            egress: Vec::with_capacity(64),
            draining: false,
            switched: Vec::new(),
            names: Names::default(),
            portals: Portals::default(),
            router_on: true,
        }
    }

    pub(super) fn now(&self) -> Duration {
        clock::now()
    }

    /// Sends what the machines have to send, then does everything that is due at `now`; gives the next instant at which
    /// something is.
    ///
    /// What it delivers marks the network again: answers are sent by the next turn, when the machines have run, with
    /// the kernels' own acknowledgements, in one go.
    pub(super) fn turn(&mut self, now: Duration) -> Option<Duration> {
        self.turns += 1;
        if self.instant.0 == now {
            self.instant.1 += 1;
            assert!(
                self.instant.1 < TURNS_AT_ONE_INSTANT_MAX,
                "the network turned {TURNS_AT_ONE_INSTANT_MAX} times at {now:?}: something spins"
            );
        } else {
            self.instant = (now, 0);
        }
        let marked = self.signal.take();
        self.draining = marked;
        // Before anything is sent at `now`: lines see packets in the order of their instants.
        self.catch_up(now);
        if self.signal.take_blocked() && self.senders.values().any(|s| s.deferred > 0) {
            self.rearm();
        }
        if marked {
            let mut egress = std::mem::take(&mut self.egress);
            self.guard.egress_all(&mut egress);
            self.draining = false;
            for packet in egress.drain(..) {
                self.transmit(now, packet);
            }
            self.egress = egress;
            self.catch_up(now);
        }
        if self.router_on
            && let Some(wan) = &mut self.wan
            && let Some(router) = &mut wan.router
            && let Some(active) = router.poll(now)
        {
            self.switched.push((now, active));
            self.rearm();
        }
        let router = self
            .wan
            .as_ref()
            .filter(|_| self.router_on)
            .and_then(|w| w.router.as_ref())
            .and_then(Router::deadline);
        let alarm = self.agenda.alarm();
        [router, alarm].into_iter().flatten().min()
    }

    /// Does everything that is due, each thing as of its own instant: the driver may come late for it.
    pub(super) fn catch_up(&mut self, now: Duration) {
        while let Some((at, due)) = self.agenda.pop(now) {
            // A line's queue may want to be asked about an instant that is over.
            self.done = self.done.max(at);
            self.perform(self.done, due);
        }
        self.done = now;
    }

    fn perform(&mut self, now: Duration, due: Due) {
        match due {
            Due::Hop(mut flight) => {
                self.undefer(&mut flight);
                self.forward(now, flight);
            }
            Due::Poll(line, way) => {
                self.lines[line].polls[way as usize] = None;
                while let Some((at, mut flight)) = self.lines[line].way(way).poll(now) {
                    flight.hop += 1;
                    self.push_hop(at, flight);
                }
                self.poll_later(line, way);
            }
            Due::Retransmit(flow, timer) => self.retransmit(now, flow, timer),
        }
    }

    fn poll_later(&mut self, line: usize, way: Way) {
        let Some(at) = self.lines[line].way(way).deadline() else {
            return;
        };
        let timer = &mut self.lines[line].polls[way as usize];
        if timer.is_none_or(|earlier| at < earlier) {
            *timer = Some(at);
            self.agenda.push(at, at, Due::Poll(line, way));
        }
    }

    /// A kernel sends a packet.
    fn transmit(&mut self, now: Duration, packet: Packet) {
        let Some(flow) = self.flow_of(&packet) else {
            return;
        };
        if !self.hosts[flow.src as usize].powered {
            // What a dying machine still says is not heard.
            return;
        }
        self.trace.packet(now, &packet);
        self.note_sent(flow, &packet);
        self.forward(now, Flight::new(packet, flow, now));
    }

    fn host_at(&self, ip: IpAddr) -> Option<u16> {
        let index = (*self.by_ip.get(last_bytes(ip))?)?;
        (self.hosts[index as usize].ip == ip).then_some(index)
    }

    fn flow_of(&self, packet: &Packet) -> Option<FlowId> {
        let (src_port, dst_port) = match &packet.payload {
            Transport::Tcp(s) => (s.src_port, s.dst_port),
            Transport::Udp(d) => (d.src_port, d.dst_port),
        };
        Some(FlowId {
            src: self.host_at(packet.src)?,
            dst: self.host_at(packet.dst)?,
            src_port,
            dst_port,
        })
    }

    /// Takes a packet over its hops until one of them takes time.
    fn forward(&mut self, now: Duration, mut flight: Flight) {
        loop {
            let src = &self.hosts[flight.flow.src as usize];
            let dst = &self.hosts[flight.flow.dst as usize];
            if !self.router_on && flight.hop < 3 && Zone::Store.has_one_of(src, dst) {
                return self.lost(now, flight);
            }
            let (line, way) = match flight.hop {
                0 => match (src.zone, src.access) {
                    (Zone::Store, Some(line)) => (line, Way::Up),
                    _ => {
                        flight.hop += 1;
                        continue;
                    }
                },
                1 => match (src.zone, dst.zone) {
                    (Zone::Store, Zone::Hq) => match self.route_up(now, &mut flight) {
                        Some(line) => (line, Way::Up),
                        None => return self.lost(now, flight),
                    },
                    (Zone::Hq, Zone::Store) => match self.route_down(&flight) {
                        Some(line) => (line, Way::Down),
                        None => return self.lost(now, flight),
                    },
                    _ => {
                        flight.hop += 1;
                        continue;
                    }
                },
                2 => match (dst.zone, dst.access) {
                    (Zone::Store, Some(line)) => (line, Way::Down),
                    _ => {
                        flight.hop += 1;
                        continue;
                    }
                },
                _ => return self.arrived(now, flight),
            };
            if way == Way::Down && self.is_cut(line, &flight) {
                return self.cut(line, flight.flow);
            }
            self.meet(line, way);
            let bytes = wire_bytes(&flight.packet);
            let class = self.class_of(flight.flow);
            let mut offered = link::Packet {
                bytes,
                priority: self.classes.priorities[class as usize],
                class,
                flow: flight.flow.number(),
                payload: flight,
            };
            let drawn = &mut offered.payload.drawn;
            let delay = match offered.payload.hop {
                0 => None,
                1 => drawn
                    .line
                    .take()
                    .filter(|(of, _)| *of == line)
                    .map(|(_, delay)| delay),
                _ => drawn.access.take(),
            };
            match self.lines[line].way(way).offer_delayed(now, offered, delay) {
                Offer::Arrives { at, mut payload } => {
                    self.account(now, line, way, class, bytes);
                    payload.hop += 1;
                    if at > now {
                        return self.push_hop(at, payload);
                    }
                    flight = payload;
                }
                Offer::Queued => {
                    self.account(now, line, way, class, bytes);
                    return self.poll_later(line, way);
                }
                Offer::Lost { payload } => {
                    self.account(now, line, way, class, bytes);
                    self.account_lost(now, line, way, class);
                    return self.lost(now, payload);
                }
                Offer::Full { payload } => {
                    let offered = self.account_of(line, way, class);
                    offered.packets.count(now, 1);
                    self.account_lost(now, line, way, class);
                    return self.lost(now, payload);
                }
                Offer::Down { payload } => {
                    self.lines[line].refused += 1;
                    return self.lost(now, payload);
                }
            }
        }
    }

    /// Whether a packet with an answer resets its connection.
    fn is_cut(&mut self, line: usize, flight: &Flight) -> bool {
        if self.lines[line].cuts.is_empty() {
            return false;
        }
        let class = self.class_of(flight.flow);
        let has_data = flow::segment(&flight.packet).is_some_and(|s| !s.payload.is_empty());
        let line = &mut self.lines[line];
        let Some(cut) = line.cuts.last().filter(|_| has_data) else {
            return false;
        };
        let is_of_class = cut.class.is_none_or(|only| only == class);
        // The stream of numbers moves only while such a fault is in force.
        is_of_class && line.cut_rng.random::<f64>() < cut.share
    }

    /// Resets the connection that a packet belongs to, on both sides; what is under way on it finds nobody.
    fn cut(&mut self, line: usize, flow: FlowId) {
        self.lines[line].cut += 1;
        self.reset_both(flow);
    }

    /// Resets a connection on both sides.
    fn reset_both(&mut self, flow: FlowId) {
        for flow in [flow, flow.reversed()] {
            let trouble = self.troubles.remove(&flow);
            self.nat.remove(&flow.number());
            let end = self.end_of_handshake(flow, trouble);
            self.reset(flow, end);
        }
    }

    /// A packet comes to a line.
    fn meet(&mut self, line: usize, way: Way) {
        let line = &mut self.lines[line];
        if line.worse.is_some() && line.way(way).is_up() {
            line.met_degraded += 1;
        }
    }

    fn account(&mut self, now: Duration, line: usize, way: Way, class: u8, bytes: u32) {
        let carried = self.account_of(line, way, class);
        carried.bytes.count(now, bytes.into());
        carried.packets.count(now, 1);
        if self.wan.as_ref().is_some_and(|w| w.backup == Some(line)) {
            self.use_allowance(now, line, bytes);
        }
    }

    /// Counts what the backup carries against its allowance: beyond it the carrier throttles the line, or blocks it.
    fn use_allowance(&mut self, now: Duration, line: usize, bytes: u32) {
        let Some(cap) = self.wan.as_mut().and_then(|w| w.cap.as_mut()) else {
            return;
        };
        let period = (now.as_nanos() / cap.plan.per.as_nanos().max(1)) as u64;
        if period != cap.period {
            (cap.period, cap.used) = (period, 0);
        }
        cap.used += u64::from(bytes);
        cap.met += u64::from(cap.forced > 0);
        self.mind_allowance(now, line);
    }

    fn account_lost(&mut self, now: Duration, line: usize, way: Way, class: u8) {
        self.account_of(line, way, class).lost.count(now, 1);
    }

    /// Old counts go to this file. Before the first packet.
    pub(super) fn spill_to(&mut self, scratch: &Scratch) {
        self.accounts = self.accounts.emptied(scratch);
    }

    /// What the links carried: link, direction, class; without those that carried nothing.
    pub(super) fn take_carried(&mut self) -> impl Iterator<Item = (usize, Way, u8, Carried)> {
        self.accounts.take()
    }

    fn account_of(&mut self, line: usize, way: Way, class: u8) -> &mut Carried {
        self.accounts.of(self.lines[line].link, way, class)
    }

    fn class_of(&self, flow: FlowId) -> u8 {
        let port = match self.hosts[flow.dst as usize].zone {
            Zone::Hq => flow.dst_port,
            Zone::Store if self.hosts[flow.src as usize].zone == Zone::Hq => flow.src_port,
            Zone::Store => return self.classes.priorities.len() as u8 - 1,
        };
        let other = self.classes.priorities.len() as u8 - 1;
        self.classes.by_port.get(&port).copied().unwrap_or(other)
    }

    /// The link that the router of a machine in the store uses now; `None` at head office, and without a router.
    pub(super) fn default_route(&self, host: u16) -> Option<&str> {
        let (wan, host) = (self.wan.as_ref()?, self.hosts.get(usize::from(host))?);
        let line = match wan.router.as_ref().map(Router::active) {
            _ if host.zone == Zone::Hq => None,
            None | Some(Active::Primary) => Some(wan.primary),
            Some(Active::Backup) => wan.backup,
        };
        Some(&self.lines[line?].name)
    }

    /// The line that the router chooses for a class; `None` drops the packet.
    fn line_up(&self, class: u8) -> Option<usize> {
        let wan = self.wan.as_ref()?;
        match wan.router.as_ref().map(Router::active) {
            None | Some(Active::Primary) => Some(wan.primary),
            Some(Active::Backup) => {
                let blocked = |c: &Cap| c.exceeded && c.plan.throttle_to.is_none();
                let is_free = !wan.cap.as_ref().is_some_and(blocked);
                wan.backup.filter(|_| is_free && wan.allows(class))
            }
        }
    }

    /// Sends a packet over the router's line; `None` drops it.
    fn route_up(&mut self, now: Duration, flight: &mut Flight) -> Option<usize> {
        let class = self.class_of(flight.flow);
        let Some(line) = self.line_up(class) else {
            if let Some(wan) = &mut self.wan {
                match wan.allows(class) {
                    false => self.lines[wan.primary].refused += 1,
                    true => wan.meet_cap(),
                }
            }
            return None;
        };
        let connection = flight.flow.number();
        if self.nat.len() >= self.nat_sweep_at {
            // Swept when it has doubled: a constant for each connection, however many are still young.
            self.nat.retain(|_, n| now - n.used < NAT_IDLE);
            self.nat_sweep_at = (2 * self.nat.len()).max(NAT_ENTRIES);
        }
        let opens = flow::segment(&flight.packet).is_some_and(|s| s.flags.syn && !s.flags.ack);
        let entry = self
            .nat
            .entry(connection)
            .or_insert(Nat { line, used: now });
        if opens {
            entry.line = line;
        }
        entry.used = now;
        // Another line is another public address: head office does not know the connection from there.
        flight.readdressed = (entry.line != line).then_some(line);
        Some(line)
    }

    /// The line that a connection came over; `None` where there is none.
    fn route_down(&self, flight: &Flight) -> Option<usize> {
        if flight.readdressed.is_some() {
            return flight.readdressed;
        }
        self.line_down(flight.flow)
    }

    /// The line that a connection came over.
    fn line_down(&self, flow: FlowId) -> Option<usize> {
        match self.nat.get(&flow.reversed().number()) {
            Some(nat) => Some(nat.line),
            None => Some(self.wan.as_ref()?.primary),
        }
    }

    /// A packet reached its machine.
    fn arrived(&mut self, now: Duration, flight: Flight) {
        let host = &self.hosts[flight.flow.dst as usize];
        if !host.powered || host.paused {
            self.hosts[flight.flow.dst as usize].missed += 1;
            return self.lost(now, flight);
        }
        let Some(s) = flow::segment(&flight.packet) else {
            return self.deliver(flight.flow, flight.packet);
        };
        if flight.readdressed.is_some() && host.zone == Zone::Hq {
            // RFC 9293, section 3.10.7.1: a segment for no known connection is answered with a reset.
            if !s.flags.rst {
                self.send_reset(now, &flight);
            }
            return;
        }
        if s.flags.rst {
            let trouble = self.troubles.remove(&flight.flow);
            if self.state_of(flight.flow.reversed()) == Some(NetstatState::SynReceived) {
                // turmoil-net keeps a socket that is reset in the middle of its handshake for ever, and its port with
                // it: the handshake ends first, or the reset is not heard and the socket goes with its listener.
                let refused = (s.ack != 0).then(|| self.ack_packet(flight.flow, s.seq, s.ack));
                match trouble.and_then(Trouble::into_ack).or(refused) {
                    Some(ack) => self.deliver(flight.flow, ack),
                    None => return,
                }
            }
            self.nat.remove(&flight.flow.number());
            self.forget(flight.flow);
            return self.deliver(flight.flow, flight.packet);
        }
        let caller = match s.flags.ack {
            false => flight.flow,
            true => flight.flow.reversed(),
        };
        if s.flags.syn && self.state_of(caller).is_none() {
            // The caller gave up meanwhile. A handshake with nobody would stay in turmoil-net's tables for ever, and a listener with 1,024
            // of them takes no more: its beginning is not heard, and its answer is answered with a reset.
            if s.flags.ack {
                self.refuse(now, &flight);
            }
            return;
        }
        if self.troubles.is_empty() || !self.troubles.contains_key(&flight.flow) {
            return self.deliver(flight.flow, flight.packet);
        }
        let Some(trouble) = self.troubles.get_mut(&flight.flow) else {
            return;
        };
        let (mut deliver, mut resend) = (Vec::new(), Vec::new());
        trouble.arrive(flight.packet, &mut deliver, &mut resend);
        if trouble.is_over() {
            self.troubles.remove(&flight.flow);
        } else {
            self.arm(now, flight.flow);
        }
        for packet in deliver {
            self.deliver(flight.flow, packet);
        }
        for (packet, sent) in resend {
            self.forward(now, Flight::new(packet, flight.flow, sent));
        }
    }

    /// Hands a packet to its machine's kernel, which may then have something to send.
    ///
    /// A bare acknowledgement gives it nothing to send unless its window was in the way. To drain the kernels for
    /// nothing is the engine's largest cost, and every other packet is such an acknowledgement.
    fn deliver(&mut self, flow: FlowId, packet: Packet) {
        let mut answers = true;
        if let Some(s) = flow::segment(&packet)
            && s.flags.ack
            && let Some(sender) = self.senders.get_mut(&flow.reversed().number())
        {
            answers = !flow::is_pure_ack(s) || sender.is_held_back();
            (sender.acked, sender.window) = (s.ack, s.window);
        }
        self.guard.deliver(packet);
        if answers {
            return self.signal.mark();
        }
        if cfg!(debug_assertions) && !self.draining && !self.signal.is_marked() {
            let mut egress = Vec::new();
            self.guard.egress_all(&mut egress);
            assert!(
                egress.is_empty(),
                "an acknowledgement on {flow:?} let out {egress:?}"
            );
        }
    }

    /// Keeps account of what a sender has under way.
    fn note_sent(&mut self, flow: FlowId, packet: &Packet) {
        let Some(s) = flow::segment(packet) else {
            return;
        };
        if s.flags.rst || s.flags.fin || s.flags.syn {
            self.forget(flow);
        } else if !s.payload.is_empty() {
            let sender = self.senders.entry(flow.number()).or_default();
            sender.sent = s.seq.wrapping_add(s.payload.len() as u32);
            if sender.deferred > 0 && sender.is_held_back() {
                self.rearm();
            }
        }
    }

    /// What closes, or is closed, answers as it likes.
    fn forget(&mut self, flow: FlowId) {
        self.senders.remove(&flow.number());
        self.senders.remove(&flow.reversed().number());
    }

    /// A packet did not get through.
    fn lost(&mut self, now: Duration, flight: Flight) {
        let Some(s) = flow::segment(&flight.packet) else {
            return;
        };
        // A machine without power retransmits nothing.
        if !self.hosts[flight.flow.src as usize].powered {
            return;
        }
        if s.flags.rst {
            // Nobody retransmits a reset; but whoever is to be reset sends again, and is answered with the next one. That
            // segment was taken off its way when its reset was made, so the reset itself is tried again.
            let rtt = 2 * self.path_delay(flight.flow);
            let from = now + Duration::from_nanos(1);
            if let Some((_, at)) =
                link::tcp::attempt_from(flight.sent, from, link::tcp::Kind::Data, rtt)
            {
                self.push_hop(at, Flight { hop: 0, ..flight });
            }
            return;
        }
        let trouble = self.troubles.entry(flight.flow).or_default();
        if trouble.lose(flight.packet, flight.sent) {
            self.arm(now, flight.flow);
        }
    }

    /// Starts the retransmission timer of a flow for its oldest lost segment.
    fn arm(&mut self, now: Duration, flow: FlowId) {
        let rtt = 2 * self.path_delay(flow);
        let Some(trouble) = self.troubles.get_mut(&flow) else {
            return;
        };
        self.timers += 1;
        trouble.timer = self.timers;
        let Some(head) = trouble.head() else {
            return;
        };
        let kind = match head.syn {
            true => link::tcp::Kind::Syn,
            false => link::tcp::Kind::Data,
        };
        let timer = trouble.timer;
        // A nanosecond later than now: an attempt at this very instant has just failed.
        let from = now + Duration::from_nanos(1);
        match link::tcp::attempt_from(head.sent, from, kind, rtt) {
            Some((_, at)) => self.push_retransmission(at, flow, timer, head.sent, kind),
            None => {
                // Who gives up is whoever waits for an acknowledgement: for a lost one that is its receiver.
                let waits = match trouble.is_about_an_ack() {
                    true => flow.reversed(),
                    false => flow,
                };
                let trouble = self.troubles.remove(&flow);
                self.gave_up += 1;
                let end = self.end_of_handshake(flow, trouble);
                self.reset(waits, end);
            }
        }
    }

    fn retransmit(&mut self, now: Duration, flow: FlowId, timer: u64) {
        let Some(trouble) = self.troubles.get_mut(&flow) else {
            return;
        };
        if trouble.timer != timer {
            return;
        }
        let of_nobody = trouble.is_about_an_ack();
        let Some((packet, sent)) = trouble.retransmit() else {
            return;
        };
        // The last acknowledgement of a close outlives its socket: turmoil-net has no TIME_WAIT (RFC 9293, section 3.6.1).
        if !of_nobody && self.state_of(flow).is_none() {
            self.troubles.remove(&flow);
            return;
        }
        let flight = Flight::new(packet, flow, sent);
        if self.hosts[flow.src as usize].paused {
            // Nobody sends it; its next instant comes.
            return self.lost(now, flight);
        }
        self.forward(now, flight);
    }

    fn path_delay(&self, flow: FlowId) -> Duration {
        let access = |h: &NetHost| {
            h.access
                .map_or(Duration::ZERO, |l| self.lines[l].delay_mean)
        };
        let (src, dst) = (
            &self.hosts[flow.src as usize],
            &self.hosts[flow.dst as usize],
        );
        let line = match (&self.wan, src.zone == dst.zone) {
            (Some(wan), false) => match (wan.router.as_ref().map(Router::active), wan.backup) {
                (Some(Active::Backup), Some(backup)) => self.lines[backup].delay_mean,
                _ => self.lines[wan.primary].delay_mean,
            },
            _ => Duration::ZERO,
        };
        access(src) + line + access(dst)
    }

    /// The state of the sender's socket of `flow`; `None` if it is gone.
    fn state_of(&self, flow: FlowId) -> Option<NetstatState> {
        let src = &self.hosts[flow.src as usize];
        let peer = SocketAddr::new(self.hosts[flow.dst as usize].ip, flow.dst_port);
        turmoil_net::netstat(src.ip)
            .entries
            .iter()
            .find(|e| e.local.port() == flow.src_port && e.peer == Some(peer))
            .and_then(|e| e.state)
            .filter(|state| *state != NetstatState::Closed)
    }

    /// Tells the sender of `flow` that its connection is gone. `end` is what ends its handshake, if that is what it waits for.
    fn reset(&mut self, flow: FlowId, end: Option<Packet>) {
        match (self.state_of(flow), end) {
            (None, _) => return,
            // A socket in the middle of its handshake would stay for ever, see `arrived`.
            (Some(NetstatState::SynReceived), None) => return,
            (Some(NetstatState::SynReceived), Some(end)) => self.guard.deliver(end),
            (Some(_), _) => {}
        }
        self.forget(flow);
        let packet = self.reset_packet(flow.reversed(), 0);
        self.guard.deliver(packet);
        self.signal.mark();
    }

    /// What would end a handshake whose SYN-ACK, of `flow`, does not get through.
    fn end_of_handshake(&self, flow: FlowId, trouble: Option<Trouble>) -> Option<Packet> {
        let (seq, ack) = trouble?.into_syn_ack()?;
        Some(self.ack_packet(flow.reversed(), ack, seq.wrapping_add(1)))
    }

    /// What ends a handshake on the side of its listener.
    fn ack_packet(&self, flow: FlowId, seq: u32, ack: u32) -> Packet {
        let mut packet = self.reset_packet(flow, seq);
        if let Transport::Tcp(s) = &mut packet.payload {
            (s.flags.rst, s.flags.ack, s.ack) = (false, true, ack);
        }
        packet
    }

    /// A machine answers a SYN-ACK for a connection that it has given up (RFC 9293, section 3.10.7.1). The reset carries what it answers, by
    /// which `arrived` ends the handshake.
    fn refuse(&mut self, now: Duration, cause: &Flight) {
        let Some(s) = flow::segment(&cause.packet) else {
            return;
        };
        let flow = cause.flow.reversed();
        let mut packet = self.reset_packet(flow, s.ack);
        if let Transport::Tcp(reset) = &mut packet.payload {
            reset.ack = s.seq.wrapping_add(1);
        }
        self.troubles.remove(&cause.flow);
        self.trace.packet(now, &packet);
        self.forward(now, Flight::new(packet, flow, now));
    }

    fn reset_packet(&self, flow: FlowId, seq: u32) -> Packet {
        Packet {
            src: self.hosts[flow.src as usize].ip,
            dst: self.hosts[flow.dst as usize].ip,
            ttl: 64,
            payload: Transport::Tcp(TcpSegment {
                src_port: flow.src_port,
                dst_port: flow.dst_port,
                seq,
                ack: 0,
                flags: TcpFlags {
                    rst: true,
                    ..TcpFlags::default()
                },
                window: 0,
                payload: Default::default(),
            }),
        }
    }

    /// Head office answers a segment that it cannot place, over the line it came by.
    fn send_reset(&mut self, now: Duration, cause: &Flight) {
        let flow = cause.flow.reversed();
        let seq = flow::segment(&cause.packet).map_or(0, |s| s.ack);
        let packet = self.reset_packet(flow, seq);
        self.troubles.remove(&cause.flow);
        self.nat.remove(&cause.flow.number());
        self.trace.packet(now, &packet);
        self.forward(
            now,
            Flight {
                hop: 1,
                readdressed: cause.readdressed,
                ..Flight::new(packet, flow, now)
            },
        );
    }

    /// Sends a probe to head office and back over the primary line; gives when its answer arrives, `None` if it does not.
    pub(super) fn probe(&mut self) -> Option<Duration> {
        let now = self.now();
        self.catch_up(now);
        if !self.router_on {
            return None;
        }
        let line = self.wan.as_ref()?.primary;
        let class = self.classes.priorities.len() as u8 - 1;
        let mut at = now;
        for way in [Way::Up, Way::Down] {
            self.meet(line, way);
            let Some(back) = self.lines[line].way(way).probe(at, PROBE_BYTES) else {
                if !self.lines[line].way(way).is_up() {
                    self.lines[line].refused += 1;
                }
                return None;
            };
            at = back;
            self.account(now, line, way, class, PROBE_BYTES);
        }
        Some(at)
    }

    /// Tells the router how a probe ended.
    pub(super) fn probed(&mut self, answered: bool) {
        let now = self.now();
        self.catch_up(now);
        if !self.router_on {
            return;
        }
        if let Some(wan) = &mut self.wan
            && let Some(router) = &mut wan.router
        {
            let before = router.deadline();
            if let Some(active) = router.probed(now, answered) {
                self.switched.push((now, active));
                self.rearm();
                return self.signal.mark();
            }
            if router.deadline() != before {
                // The driver has to wake at another instant.
                self.signal.mark();
            }
        }
    }

    /// A line goes down or comes back. What waits in its queues is lost, in TCP's sense.
    pub(super) fn set_up(&mut self, line: usize, up: bool) {
        let now = self.now();
        self.catch_up(now);
        for way in [Way::Up, Way::Down] {
            self.lines[line].way(way).set_up(now, up);
            if !up {
                for packet in self.lines[line].way(way).drain() {
                    self.lines[line].refused += 1;
                    self.lost(now, packet.payload);
                }
            }
            self.poll_later(line, way);
        }
        self.rearm();
        self.signal.mark();
    }

    /// A link changed: what waits for it may start at another instant.
    pub(super) fn wake_link(&mut self, line: usize) {
        for way in [Way::Up, Way::Down] {
            self.poll_later(line, way);
        }
        self.rearm();
        self.signal.mark();
    }

    /// Nothing that a machine says is heard any more.
    pub(super) fn mute(&mut self, host: u16) {
        let now = self.now();
        self.catch_up(now);
        self.hosts[host as usize].powered = false;
    }

    /// A muted machine's sockets are gone when its power comes back. Its tasks must have ended.
    pub(super) fn cut_sockets(&mut self, host: u16) {
        let now = self.now();
        self.discard_egress(now);
        let own = self.hosts[host as usize].ip;
        for entry in turmoil_net::netstat(own).entries {
            let Some(peer) = entry.peer else { continue };
            let Some(peer_index) = self.host_at(peer.ip()) else {
                continue;
            };
            let flow = FlowId {
                src: peer_index,
                dst: host,
                src_port: peer.port(),
                dst_port: entry.local.port(),
            };
            self.forget(flow);
            let packet = self.reset_packet(flow, 0);
            self.guard.deliver(packet);
        }
        self.discard_egress(now);
        self.troubles.retain(|flow, _| flow.src != host);
        self.signal.mark();
    }

    /// Removes the connections that a program which has ended left to its kernel, as far as it had accepted them: turmoil-net
    /// has neither `SO_REUSEADDR` nor a limit for half-closed ones, and a single reset that was lost on the way would keep the
    /// port from the machine's next program for ever. Peers that have not heard of the end are told.
    pub(super) fn forget_orphans(&mut self, host: u16) {
        let now = self.now();
        // What is said in closing goes out first.
        self.discard_egress(now);
        let own = self.hosts[host as usize].ip;
        for entry in turmoil_net::netstat(own).entries {
            let Some(peer) = entry.peer else { continue };
            let Some(peer_index) = self.host_at(peer.ip()) else {
                continue;
            };
            if entry.local.port() >= EPHEMERAL_PORTS {
                continue;
            }
            let flow = FlowId {
                src: host,
                dst: peer_index,
                src_port: entry.local.port(),
                dst_port: peer.port(),
            };
            self.forget(flow);
            if entry.state != Some(NetstatState::FinWait2) {
                let packet = self.reset_packet(flow, 0);
                self.transmit(now, packet);
            }
            self.troubles.remove(&flow);
            let packet = self.reset_packet(flow.reversed(), 0);
            self.guard.deliver(packet);
        }
        self.discard_egress(now);
        self.signal.mark();
    }

    /// The power of a machine is back.
    pub(super) fn power_on(&mut self, host: u16) {
        let now = self.now();
        self.catch_up(now);
        self.hosts[host as usize].powered = true;
    }

    /// Drains the kernels; what machines without power say is dropped in `transmit`.
    fn discard_egress(&mut self, now: Duration) {
        self.catch_up(now);
        let mut egress = Vec::new();
        self.guard.egress_all(&mut egress);
        for packet in egress {
            self.transmit(now, packet);
        }
    }
}
