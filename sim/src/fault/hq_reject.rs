//! `hq.reject`: head office, or what stands in front of it, refuses requests.
//!
//! It models an expired token (401), a path that leads nowhere (404), a load balancer's error page (500, 502, 503) and a
//! throttle (429), for all of head office's services or for one, for a share of the requests. The answer is a page, as a load
//! balancer gives it, over gRPC too. Not modelled: refusals of a payload, and refusals that depend on what is in a request. Typical
//! values: 503 for minutes during a deployment; 401 for hours, until somebody comes to work. The end heals: what was refused
//! is taken when it comes again.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use rand::{Rng, RngExt as _};

use super::{hq_slow::Slow, stage::Stage};
use crate::dist::Dist;

/// What refuses, as a scenario says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The status of HTTP.
    pub status: u16,
    /// Share of requests, 0 to 1.
    pub share: f64,
    /// What `Retry-After` says.
    pub retry_after: Option<Duration>,
    /// Which of its services; `None` is all.
    pub service: Option<Service>,
    /// Only for what comes over this line; `None` is all.
    pub link: Option<String>,
}

/// A service of head office.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Payment authorisation.
    Payment,
    /// The ledger.
    Sync,
    /// The OTLP sink.
    Telemetry,
    /// Menus, reference data, media, rewards.
    Catalog,
}

impl Service {
    /// Its word in the language.
    pub const ALL: [(&str, Option<Self>); 5] = [
        ("all", None),
        ("payment", Some(Self::Payment)),
        ("sync", Some(Self::Sync)),
        ("telemetry", Some(Self::Telemetry)),
        ("catalog", Some(Self::Catalog)),
    ];
}

/// The rules in force: between who plays the faults and head office's program.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<InForce>>);

#[derive(Debug, Default)]
struct InForce {
    rules: Vec<(u64, Rule)>,
    next: u64,
    refused: u64,
    /// The line that the store's router uses.
    line: Option<String>,
    /// What makes it slow, the youngest last.
    slow: Vec<(u64, Slow)>,
    slowed: u64,
}

impl InForce {
    fn meet<T>(&mut self, of: impl Fn(&Slow) -> Option<T>) -> Option<T> {
        let found = self.slow.iter().rev().find_map(|(_, slow)| of(slow));
        self.slowed += u64::from(found.is_some());
        found
    }
}

impl Refusals {
    fn state(&self) -> MutexGuard<'_, InForce> {
        self.0.lock().expect("nobody panics while holding it")
    }

    /// Puts a rule into force; the number ends it.
    pub fn begin(&self, rule: Rule) -> u64 {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.rules.push((number, rule));
        number
    }

    /// Ends a rule.
    pub fn end(&self, number: u64) {
        self.state().rules.retain(|(other, _)| *other != number);
    }

    /// The router uses this line from now on.
    pub fn use_line(&self, line: &str) {
        self.state().line = Some(line.to_owned());
    }

    /// Whether something answers for head office on a line.
    pub fn is_captive(&self, line: &str) -> bool {
        let state = self.state();
        let is_it = |rule: &Rule| rule.link.as_deref() == Some(line);
        state.rules.iter().any(|(_, rule)| is_it(rule))
    }

    /// Head office is slow from now on; the number ends it.
    pub fn slow_down(&self, slow: Slow) -> u64 {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.slow.push((number, slow));
        number
    }

    /// Ends it.
    pub fn speed_up(&self, number: u64) {
        self.state().slow.retain(|(other, _)| *other != number);
    }

    /// Requests that met a slow head office so far: whether a fault bit.
    pub fn slowed(&self) -> u64 {
        self.state().slowed
    }

    /// A payment comes in: how long its authorisation takes, where that is not as declared.
    pub fn slow_auth(&self) -> Option<Dist> {
        self.state().meet(|slow| slow.auth.clone())
    }

    /// An export comes in: bytes a second that are taken in, where that is not as declared.
    pub fn slow_ingest(&self) -> Option<f64> {
        self.state().meet(|slow| slow.ingest_bytes_per_second)
    }

    /// Requests that were refused so far: whether a fault bit.
    pub fn refused(&self) -> u64 {
        self.state().refused
    }

    /// Whether a request to a service is refused; of several rules for it the one that began last decides.
    pub fn ask(&self, service: Service, rng: &mut impl Rng) -> Option<Rule> {
        let mut state = self.state();
        let is_for = |rule: &Rule| {
            let is_service = rule.service.is_none_or(|only| only == service);
            is_service && (rule.link.is_none() || rule.link == state.line)
        };
        let (_, rule) = state.rules.iter().rev().find(|(_, rule)| is_for(rule))?;
        let rule = rule.clone();
        // The stream of numbers moves only while a rule is in force.
        if rng.random::<f64>() >= rule.share {
            return None;
        }
        state.refused += 1;
        Some(rule)
    }
}

/// Somebody answers in head office's place until the end.
pub(crate) async fn play(stage: &Stage<'_>, rule: Rule) -> u64 {
    let (refusals, before) = (&stage.director.refusals, stage.director.refusals.refused());
    let number = refusals.begin(rule);
    if stage.over().await {
        refusals.end(number);
    }
    refusals.refused() - before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fault::captive_portal::{self, Answer},
        world::seed,
    };

    #[test]
    fn the_last_that_says_how_slow_decides() {
        let refusals = Refusals::default();
        assert_eq!(refusals.slow_auth(), None);
        let first = refusals.slow_down(Slow {
            auth: Some(Dist::Const(2.0)),
            ingest_bytes_per_second: None,
        });
        let second = refusals.slow_down(Slow {
            auth: Some(Dist::Const(9.0)),
            ingest_bytes_per_second: Some(1e3),
        });
        assert_eq!(refusals.slow_auth(), Some(Dist::Const(9.0)));
        refusals.speed_up(second);
        assert_eq!(refusals.slow_auth(), Some(Dist::Const(2.0)));
        assert_eq!(refusals.slow_ingest(), None);
        refusals.speed_up(first);
        assert_eq!((refusals.slow_auth(), refusals.slowed()), (None, 2));
    }

    #[test]
    fn the_last_rule_for_a_service_decides() {
        let (refusals, mut rng) = (Refusals::default(), seed::stream(1, &["test"]));
        let rule = |status, share, service| Rule {
            status,
            share,
            retry_after: None,
            service,
            link: None,
        };
        let mut ask = |service| refusals.ask(service, &mut rng).map(|rule| rule.status);
        assert_eq!(ask(Service::Sync), None);
        let all = refusals.begin(rule(503, 1.0, None));
        let one = refusals.begin(rule(401, 1.0, Some(Service::Telemetry)));
        assert_eq!(ask(Service::Sync), Some(503));
        assert_eq!(ask(Service::Telemetry), Some(401));
        refusals.end(one);
        assert_eq!(ask(Service::Telemetry), Some(503));
        refusals.end(all);
        assert_eq!(ask(Service::Telemetry), None);
        assert_eq!(refusals.refused(), 3);
        refusals.use_line("uplink");
        let portal = refusals.begin(captive_portal::rule("uplink", Answer::Redirect));
        assert_eq!(ask(Service::Payment), Some(302));
        assert!(refusals.is_captive("uplink") && !refusals.is_captive("lte"));
        refusals.use_line("lte");
        assert_eq!(ask(Service::Payment), None);
        refusals.end(portal);
        refusals.begin(rule(429, 0.25, None));
        let refused = (0..4000)
            .filter(|_| ask(Service::Payment).is_some())
            .count();
        assert!((900..1100).contains(&refused), "{refused} of 4000");
    }
}
