//! `link.down`: a link carries nothing in either direction.
//!
//! It models a cut cable, a dead modem, a carrier's outage: what waits in the link's queues is lost, in TCP's sense, and comes at
//! a retransmission. What is on the wire arrives. Not modelled: a line that comes back and synchronises for a minute (use a longer
//! `for`), and machines that see their carrier go and give up at once. Typical values: minutes for a modem that restarts, hours for
//! a cable; a home line in a developed country is down for ten minutes or more about once a month (Grover et al., "Peeking Behind
//! the NAT", IMC 2013). The end heals, unless another fault holds the link.

use super::stage::Stage;

pub(crate) async fn play(stage: &Stage<'_>, link: &str) -> u64 {
    let refused = stage.world().refused_by(link);
    let number = stage.cut(link);
    if !stage.over().await {
        return 0;
    }
    stage.mend(link, number);
    stage.world().refused_by(link) - refused
}
