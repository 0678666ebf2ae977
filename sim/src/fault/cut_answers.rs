//! `link.cut_answers`: something on the line resets connections when the answer comes back.
//!
//! It models a middlebox or a carrier's address translation that drops idle state while head office works on a request: the request was
//! taken, the answer is never read, and whoever sent it cannot know. Each packet with data towards the store resets its connection on
//! both sides with probability `share`, where the line is; what is under way on it is lost. Over HTTP/1.1 such a packet is
//! an answer (or a part of it), over HTTP/2 it may also be a frame of the connection itself. Not modelled: a reset that only one side hears.
//! Typical values: 0.1 % on a mobile line, 5 % and more on one that is nearly unusable. The end heals: later answers come through.

use super::stage::Stage;

/// What cuts, as a scenario says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cuts {
    /// Share of packets with data towards the store, 0 to 1.
    pub share: f64,
    /// Only packets of this traffic class; `None` is all.
    pub class: Option<String>,
}

/// Of two on one link the one that began last is in force.
pub(crate) async fn play(stage: &Stage<'_>, link: &str, cuts: &Cuts) -> u64 {
    let world = stage.world();
    let before = world.cut_on(link);
    let number = world.cut_answers(link, cuts);
    if stage.over().await {
        world.mend_answers(link, number);
    }
    world.cut_on(link) - before
}
