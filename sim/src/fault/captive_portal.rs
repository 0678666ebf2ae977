//! `link.captive_portal`: the line is up, and somebody asks to log in first.
//!
//! It models a portal that answers for head office: TCP connects, every request gets 302 with a page that says 200 to a browser,
//! and the router's probe finds no head office, so a store with a backup line switches to it. Only what goes over that line meets
//! it. Not modelled: TLS, which would see a certificate for another name; DNS that is bent; connections that stood before get the
//! page too, where a real portal cuts them. Typical values: minutes after a router was replaced; hours, on a line of a mall, until
//! somebody accepts the terms. The end heals.

use super::hq_reject::Rule;

/// The portal of a link, as a rule for head office's front door.
pub fn rule(link: &str) -> Rule {
    Rule {
        status: 302,
        share: 1.0,
        retry_after: None,
        service: None,
        link: Some(link.to_owned()),
    }
}
