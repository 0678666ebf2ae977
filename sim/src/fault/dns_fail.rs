//! `dns.fail`: the router's resolver does not resolve names outside of the store.
//!
//! It models a forwarder whose upstream is gone: SERVFAIL or NXDOMAIN at once, silence for 10 s (`resolv.conf(5)`: two attempts of
//! 5 s), or a stale address where nobody is any more, which costs a connection attempt of 127 s (Linux's `tcp_syn_retries`) unless
//! the program gives up earlier. Machines of the store know each other from the router's leases. Connections that stand need no
//! name, so a store that keeps its connections may not notice; then the run says that the fault met nothing (`hq.idle_timeout` says how
//! long a silent one stands). Not modelled: caches
//! in programs, and a probe of the router that asks for a name. Typical values: minutes. The end heals: the next look-up succeeds.

use super::stage::Stage;
use crate::world::NamesFail;

/// The words of `mode`.
pub(crate) const MODES: [(&str, NamesFail); 4] = [
    ("servfail", NamesFail::ServFail),
    ("timeout", NamesFail::Timeout),
    ("nxdomain", NamesFail::NxDomain),
    ("stale", NamesFail::Stale),
];

pub(crate) async fn play(stage: &Stage<'_>, how: NamesFail) -> u64 {
    let world = stage.world();
    let failed = world.failed_names();
    let number = world.fail_names(how);
    if !stage.over().await {
        return 0;
    }
    world.heal_names(number);
    world.failed_names() - failed
}
