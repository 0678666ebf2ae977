//! Lines on which somebody else answers TLS for head office: begun and ended by a fault, met by those who connect.
//!
//! There is no TLS in this world, but what a program sees of it at such a place is one error: the certificate is for another name
//! ([`ConnectError::CertificateName`](backroom_collector::env::ConnectError)). TCP connects, then that. Connections that stood when it
//! began are reset, for the box in between knows none of their keys. What answers in clear is no matter of the world (`fault::captive_portal`).

use turmoil_net::NetstatState;

use super::{Net, Zone};
use crate::world::{World, flow::FlowId};

/// Who answers, and where.
#[derive(Debug, Default)]
pub(in crate::world) struct Portals {
    /// By number, the link.
    begun: Vec<(u64, String)>,
    next: u64,
    met: u64,
}

impl World {
    /// From now on whoever connects to head office over this link gets another one's certificate; the number ends it.
    pub fn begin_portal(&self, link: &str) -> u64 {
        let mut net = self.caught_up();
        net.cut_all(link);
        net.portals.next += 1;
        let number = net.portals.next;
        net.portals.begun.push((number, link.to_owned()));
        number
    }

    /// What [`World::begin_portal`] began ends.
    pub fn end_portal(&self, number: u64) {
        self.net()
            .portals
            .begun
            .retain(|(other, _)| *other != number);
    }

    /// Connections that were reset when a portal began, and those that got its certificate: whether a fault bit.
    pub fn met_portals(&self) -> u64 {
        self.net().portals.met
    }
}

impl Net {
    /// Whether a machine that has just connected to `name` speaks to a portal.
    pub(in crate::world) fn portal_meets(&mut self, machine: u16, name: &str) -> bool {
        if self.portals.begun.is_empty() {
            return false;
        }
        let host = turmoil_net::lookup_host(name).and_then(|ip| self.host_at(ip));
        let is_outside = host.is_some_and(|host| self.hosts[host as usize].zone == Zone::Hq);
        let route = self.default_route(machine);
        let is_met = is_outside
            && self
                .portals
                .begun
                .iter()
                .any(|(_, link)| Some(link.as_str()) == route);
        self.portals.met += u64::from(is_met);
        is_met
    }

    /// Resets every connection that stands over a link.
    fn cut_all(&mut self, link: &str) {
        // One in the middle of its handshake finds the portal when it stands.
        let stands = |flow| self.state_of(flow) == Some(NetstatState::Established);
        let over = self.nat.iter();
        let over = over.filter(|(_, nat)| self.lines[nat.line].name == link);
        let flows = over.map(|(number, _)| FlowId::of_number(*number));
        let standing = flows.filter(|flow| stands(*flow) && stands(flow.reversed()));
        for flow in standing.collect::<Vec<_>>() {
            self.portals.met += 1;
            self.reset_both(flow);
        }
    }
}
