//! Names that are not resolved: what the store's resolver says instead. Sans-IO.
//!
//! The resolver is the router's forwarder. Machines of the store know each other from its leases, so only names outside of
//! the store fail. A connection that stands needs no name. Who looks up, and waits, is `env`.

use std::time::Duration;

/// How a look-up fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// The forwarder reaches nobody and says so (RFC 1035, RCODE 2).
    ServFail,
    /// The forwarder is silent.
    Timeout,
    /// The forwarder says that there is no such name (RFC 1035, RCODE 3).
    NxDomain,
    /// The forwarder answers with an address that head office has left: nobody is there.
    Stale,
}

/// A look-up in the local network, when the answer is at hand.
const ANSWERED: Duration = Duration::from_millis(2);

/// `resolv.conf(5)`: `timeout` is 5 s, `attempts` is 2.
const GIVES_UP: Duration = Duration::from_secs(10);

/// Linux's `tcp_syn_retries` of 6: 127 s until a connection to nobody is given up.
const SYN_GIVES_UP: Duration = Duration::from_secs(127);

impl Fails {
    /// How long the caller waits until it knows.
    pub(super) fn takes(self) -> Duration {
        match self {
            Self::ServFail | Self::NxDomain => ANSWERED,
            Self::Timeout => GIVES_UP,
            Self::Stale => SYN_GIVES_UP,
        }
    }

    /// What the resolver said; `None` where it gave an address.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::ServFail => Some("the resolver failed (SERVFAIL)"),
            Self::Timeout => Some("the resolver did not answer in 10 s"),
            Self::NxDomain => Some("no such name (NXDOMAIN)"),
            Self::Stale => None,
        }
    }
}

/// The resolver's troubles.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The one that began last decides.
    failing: Vec<(u64, Fails)>,
    next: u64,
    met: u64,
}

impl Names {
    /// Look-ups fail from now on; the number ends it.
    pub(super) fn begin(&mut self, how: Fails) -> u64 {
        self.next += 1;
        self.failing.push((self.next, how));
        self.next
    }

    /// Ends it.
    pub(super) fn end(&mut self, number: u64) {
        self.failing.retain(|(other, _)| *other != number);
    }

    /// Somebody looks a name up that is outside of the store.
    pub(super) fn meet(&mut self) -> Option<Fails> {
        let (_, how) = self.failing.last()?;
        self.met += 1;
        Some(*how)
    }

    /// Look-ups that failed so far: whether a fault bit.
    pub(super) fn met(&self) -> u64 {
        self.met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_trouble_decides_and_the_end_heals() {
        let mut names = Names::default();
        assert_eq!(names.meet(), None);
        let first = names.begin(Fails::Timeout);
        let second = names.begin(Fails::NxDomain);
        assert_eq!(names.meet(), Some(Fails::NxDomain));
        names.end(second);
        assert_eq!(names.meet(), Some(Fails::Timeout));
        names.end(first);
        assert_eq!((names.meet(), names.met()), (None, 2));
    }
}
