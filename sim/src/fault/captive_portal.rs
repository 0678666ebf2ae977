//! `link.captive_portal`: the line is up, and somebody asks to log in first.
//!
//! It models a portal that answers for head office: TCP connects, and a request gets 302 with a page (`answer = "redirect"`, the
//! default), the page itself with 200 (`"page"`), or it is not sent at all, because TLS sees a certificate for another name
//! (`"certificate"`; connections that stood are reset). The router's probe finds no head office, so a store with a backup line switches to
//! it. Only what goes over that line meets it. Not modelled: the round trips of TLS; DNS that is bent; in clear, connections that stood before get
//! the page too, where a real portal cuts them, and a gateway at head office is not in the portal's way; head office's gate counts connections that a
//! portal would take. Typical values: minutes after a router was replaced; hours, on a line of a mall, until somebody accepts the
//! terms. Redirects are what RFC 8908 was written to replace; a certificate for another name is what programs that speak TLS see. The end heals.

use super::{
    hq_reject::{self, Rule},
    stage::Stage,
};

/// What a portal answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// 302 to its login page.
    #[default]
    Redirect,
    /// The login page, with 200: what a program takes for success that looks at the status only.
    Page,
    /// A certificate for another name.
    Certificate,
}

/// The words of `answer`.
pub(crate) const ANSWERS: [(&str, Answer); 3] = [
    ("redirect", Answer::Redirect),
    ("page", Answer::Page),
    ("certificate", Answer::Certificate),
];

/// The portal of a link, as a rule for head office's front door. Where TLS fails no request comes so far; the router's probe goes by it.
pub fn rule(link: &str, answer: Answer) -> Rule {
    Rule {
        status: match answer {
            Answer::Page => 200,
            Answer::Redirect | Answer::Certificate => 302,
        },
        share: 1.0,
        retry_after: None,
        service: None,
        link: Some(link.to_owned()),
    }
}

pub(crate) async fn play(stage: &Stage<'_>, link: &str, answer: Answer) -> u64 {
    let world = stage.world();
    let before = world.met_portals();
    let number = (answer == Answer::Certificate).then(|| world.begin_portal(link));
    let refused = hq_reject::play(stage, rule(link, answer)).await;
    // One that lasts until the end of the run lasts while it settles, too.
    if let Some(number) = number.filter(|_| stage.until.is_some()) {
        world.end_portal(number);
    }
    refused + (world.met_portals() - before)
}
