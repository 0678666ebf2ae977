//! What faults do to the network: allowances, names, machines that stand still, a router without power.
//!
//! Each of them first does what has happened until now, and then makes predictions void: what is under way meets the new
//! state at its own instant. When they begin and end is decided in `fault`. Not here: lines that go down (`net`).

use std::time::Duration;

use backroom_collector::config::BitRate;

use super::{Cap, Line, Net, NetHost, Wan, Way, Zone};
use crate::{
    link::Degrade,
    world::{names::Fails, router::Active},
};

impl Zone {
    /// Whether one of two machines stands here.
    pub(super) fn has_one_of(self, a: &NetHost, b: &NetHost) -> bool {
        a.zone == self || b.zone == self
    }
}

impl Wan {
    /// The line would carry this packet if its allowance were not used up.
    pub(super) fn meet_cap(&mut self) {
        if let Some(cap) = self.cap.as_mut().filter(|cap| cap.forced > 0) {
            cap.met += 1;
        }
    }
}

impl Line {
    /// Puts into force what faults and the carrier make of it. Of two rates the lower one holds.
    pub(in crate::world) fn change(&mut self, now: Duration) {
        let throttle = self.throttle;
        let with = |change: &Degrade| Degrade {
            rate: match (change.rate, throttle) {
                (Some(a), Some(b)) => Some(BitRate(a.0.min(b.0))),
                (one, other) => one.or(other),
            },
            ..change.clone()
        };
        let (up, down) = match &self.worse {
            Some((up, down)) => (Some(with(up)), Some(with(down))),
            None => {
                let throttled = throttle.map(|_| with(&Degrade::default()));
                (throttled.clone(), throttled)
            }
        };
        self.up.degrade(now, up);
        self.down.degrade(now, down);
    }
}

impl Cap {
    fn is_used_up(&self) -> bool {
        self.forced > 0 || self.used > self.plan.bytes.0
    }
}

impl Net {
    /// Throttles the backup line, or lets it go, by what its allowance is.
    pub(super) fn mind_allowance(&mut self, now: Duration, line: usize) {
        let Some(cap) = self.wan.as_mut().and_then(|w| w.cap.as_mut()) else {
            return;
        };
        let exceeded = cap.is_used_up();
        if exceeded == cap.exceeded {
            return;
        }
        cap.exceeded = exceeded;
        self.lines[line].throttle = exceeded.then_some(cap.plan.throttle_to).flatten();
        self.lines[line].change(now);
        for way in [Way::Up, Way::Down] {
            self.poll_later(line, way);
        }
        self.rearm();
        self.signal.mark();
    }

    /// A fault says that the backup's allowance is used up, or says so no more. `false` where there is no allowance.
    pub(in crate::world) fn force_cap(&mut self, begins: bool) -> bool {
        let now = self.now();
        self.catch_up(now);
        let Some(wan) = &mut self.wan else {
            return false;
        };
        let (Some(line), Some(cap)) = (wan.backup, &mut wan.cap) else {
            return false;
        };
        match begins {
            true => cap.forced += 1,
            false => cap.forced -= 1,
        }
        self.mind_allowance(now, line);
        true
    }

    /// Packets that met an allowance which a fault has used up.
    pub(in crate::world) fn met_cap(&self) -> u64 {
        let cap = self.wan.as_ref().and_then(|wan| wan.cap.as_ref());
        cap.map_or(0, |cap| cap.met)
    }

    /// How the look-up of a name by a machine of the store fails; names within the store are known.
    pub(in crate::world) fn names_meet(&mut self, own: &str, name: &str) -> Option<Fails> {
        let zone_of = |net: &Self, name: &str| {
            let host = net.host_at(turmoil_net::lookup_host(name)?)?;
            Some(net.hosts[host as usize].zone)
        };
        let is_within = zone_of(self, own) != Some(Zone::Store);
        if is_within || zone_of(self, name) == Some(Zone::Store) {
            return None;
        }
        self.names.meet()
    }

    /// A machine stands still, or goes on.
    pub(in crate::world) fn pause(&mut self, host: u16, begins: bool) {
        let now = self.now();
        self.catch_up(now);
        self.hosts[host as usize].paused = begins;
        self.rearm();
        self.signal.mark();
    }

    /// The router loses its power, or has it back: then it begins on its primary line. What waited in its queues is lost, in
    /// TCP's sense.
    pub(in crate::world) fn router_power(&mut self, on: bool) {
        let now = self.now();
        self.catch_up(now);
        self.router_on = on;
        if on {
            let router = self.wan.as_mut().and_then(|wan| wan.router.as_mut());
            if router.is_some_and(|router| router.restart()) {
                self.switched.push((now, Active::Primary));
            }
        } else {
            for line in 0..self.lines.len() {
                for way in [Way::Up, Way::Down] {
                    for packet in self.lines[line].way(way).drain() {
                        self.lost(now, packet.payload);
                    }
                }
            }
        }
        self.rearm();
        self.signal.mark();
    }
}
