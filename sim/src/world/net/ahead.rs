//! When anybody can notice a packet that is on its way: the alarms of the agenda.
//!
//! The delays of the hops before it are drawn at once, so its arrival has a lower bound, and no wake-up is spent on the hops
//! between. Three kinds of packet need none at all for now:
//!
//! - One whose path is down changes nothing until a line changes, or its sender gives up.
//! - A bare acknowledgement to a sender with room in its window lets nothing out. It is there when it is due, because
//!   whoever turns catches up first; if the sender fills its window, or its program waits for room, alarms are set anew.
//! - What is lost on the way shows at its retransmission, which is not before the one that the schedule names next.
//!
//! All of it is prediction: what happens is decided in `forward`, as of its own instant. When a line or a route changes,
//! [`Net::rearm`] makes all predictions void.

use std::time::Duration;

use turmoil_net::TcpSegment;

use super::{Due, Flight, Net, Way, Zone};
use crate::{
    link::tcp,
    world::flow::{self, FlowId},
};

/// Delays that were drawn before their time.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    /// Of that line.
    pub(super) line: Option<(usize, Duration)>,
    /// Of the receiver's access link.
    pub(super) access: Option<Duration>,
}

/// Which schedule its retransmissions follow.
fn kind(s: &TcpSegment) -> tcp::Kind {
    match s.flags.syn {
        true => tcp::Kind::Syn,
        false => tcp::Kind::Data,
    }
}

impl Net {
    /// A packet reaches its next hop at `at`.
    pub(super) fn push_hop(&mut self, at: Duration, mut flight: Flight) {
        let alarm = self.noticed_at(at, &mut flight);
        self.agenda.push(at, alarm, Due::Hop(flight));
    }

    /// A flow's oldest lost segment, first sent at `sent`, is sent again at `at`.
    pub(super) fn push_retransmission(
        &mut self,
        at: Duration,
        flow: FlowId,
        timer: u64,
        sent: Duration,
        kind: tcp::Kind,
    ) {
        let alarm = match self.is_dead(flow) {
            true => tcp::last_attempt(sent, kind, 2 * self.path_delay(flow)),
            false => at,
        };
        self.agenda.push(at, alarm, Due::Retransmit(flow, timer));
    }

    /// No machine can tell before then what becomes of a packet that reaches its next hop at `at`.
    fn noticed_at(&mut self, at: Duration, flight: &mut Flight) -> Duration {
        let Some(s) = flow::segment(&flight.packet) else {
            return at;
        };
        let (kind, is_ack) = (kind(s), flow::is_pure_ack(s));
        let (flow, sent) = (flight.flow, flight.sent);
        let arrives = self.arrives_at(at, flight);
        if arrives.is_none() || is_ack && self.defer(flight) {
            return tcp::last_attempt(sent, kind, 2 * self.path_delay(flow));
        }
        let arrives = arrives.unwrap_or(at);
        if arrives <= sent + tcp::RTO_MIN {
            return arrives;
        }
        // A nanosecond later: should it be lost at this very hop, this very instant is over.
        let from = at + Duration::from_nanos(1);
        let again = tcp::attempt_from(sent, from, kind, 2 * self.path_delay(flow));
        again.map_or(at, |(_, again)| arrives.min(again))
    }

    /// The earliest arrival; `None` while its path is down.
    fn arrives_at(&mut self, at: Duration, flight: &mut Flight) -> Option<Duration> {
        let mut arrives = at;
        let class = self.class_of(flight.flow);
        if flight.hop <= 1
            && let Some(way) = self.way_of(flight.flow)
        {
            let line = self.line_ahead(flight, way)?;
            let link = self.lines[line].way(way);
            if !link.is_up() {
                return None;
            }
            let delay = match flight.drawn.line {
                Some((of, delay)) if of == line => delay,
                _ => link.draw_delay(class),
            };
            flight.drawn.line = Some((line, delay));
            arrives += delay;
        }
        if flight.hop <= 2
            && let Some(line) = self.access_of(flight.flow.dst)
        {
            let link = &mut self.lines[line].down;
            if !link.is_up() {
                return None;
            }
            arrives += *flight
                .drawn
                .access
                .get_or_insert_with(|| link.draw_delay(class));
        }
        Some(arrives)
    }

    /// Whether nothing that this flow sends now can arrive.
    fn is_dead(&self, flow: FlowId) -> bool {
        let is_down = |net: &Self, line: Option<usize>, way| {
            line.is_some_and(|line| match way {
                Way::Up => !net.lines[line].up.is_up(),
                Way::Down => !net.lines[line].down.is_up(),
            })
        };
        if is_down(self, self.access_of(flow.src), Way::Up)
            || is_down(self, self.access_of(flow.dst), Way::Down)
        {
            return true;
        }
        match self.way_of(flow) {
            None => false,
            Some(Way::Up) => match self.line_up(self.class_of(flow)) {
                None => true,
                line => is_down(self, line, Way::Up),
            },
            Some(Way::Down) => is_down(self, self.line_down(flow), Way::Down),
        }
    }

    /// The line that it would take now; `None` where the router would drop it.
    fn line_ahead(&self, flight: &Flight, way: Way) -> Option<usize> {
        match way {
            Way::Up => self.line_up(self.class_of(flight.flow)),
            Way::Down => self.route_down(flight),
        }
    }

    /// Its direction over the line; `None` inside the store, and inside head office.
    fn way_of(&self, flow: FlowId) -> Option<Way> {
        let zone = |host: u16| self.hosts[host as usize].zone;
        match (zone(flow.src), zone(flow.dst)) {
            (Zone::Store, Zone::Hq) => Some(Way::Up),
            (Zone::Hq, Zone::Store) => Some(Way::Down),
            _ => None,
        }
    }

    /// The link between a machine of the store and the router.
    fn access_of(&self, host: u16) -> Option<usize> {
        let host = &self.hosts[host as usize];
        host.access.filter(|_| host.zone == Zone::Store)
    }

    /// Whether nobody waits for this acknowledgement.
    fn defer(&mut self, flight: &mut Flight) -> bool {
        if self.is_readdressed(flight) {
            return false;
        }
        let sender = self.senders.get_mut(&flight.flow.reversed().number());
        let Some(sender) = sender.filter(|sender| sender.has_room()) else {
            return false;
        };
        sender.deferred += 1;
        flight.deferred = true;
        true
    }

    /// Whether head office will answer it with a reset, as it comes from an address that it does not know.
    fn is_readdressed(&self, flight: &Flight) -> bool {
        let known = self.nat.get(&flight.flow.number());
        flight.readdressed.is_some()
            || flight.hop <= 1
                && self.way_of(flight.flow) == Some(Way::Up)
                && known.map(|nat| nat.line) != self.line_up(self.class_of(flight.flow))
    }

    /// An acknowledgement that nobody waited for is at its next hop.
    pub(super) fn undefer(&mut self, flight: &mut Flight) {
        if std::mem::take(&mut flight.deferred)
            && let Some(sender) = self.senders.get_mut(&flight.flow.reversed().number())
        {
            sender.deferred = sender.deferred.saturating_sub(1);
        }
    }

    /// Predictions are void: everything rings when it happens. Whoever calls it outside of a turn marks the network, since the
    /// driver has to wake at another instant.
    pub(super) fn rearm(&mut self) {
        for sender in self.senders.values_mut() {
            sender.deferred = 0;
        }
        self.agenda.rearm(|due| {
            if let Due::Hop(flight) = due {
                flight.deferred = false;
                flight.drawn = Drawn::default();
            }
        });
    }
}
