//! A destination while the collector runs: when it may be tried, what it is known to take, and where it is.
//!
//! Outlets come and go with the configuration. Whoever sends holds a [`Tag`]; when its outlet is gone, or another one has the name
//! meanwhile, the tag leads nowhere, and what was under way says nothing. Next: `exporter`, whose workers send; `reload`.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;

use super::{
    client,
    pace::{INFLIGHT_MAX, INFLIGHT_MIN, Learned},
    shared::{Shared, State},
};
use crate::{
    config::{Config, ENDPOINT_NAME, Endpoint, Start},
    core::{
        backoff::Delays, class::ClassName, codec::CodecId, destination::Destination, spool::RouteId,
    },
    env::Env,
};

/// One destination.
pub(super) struct Outlet {
    tag: Tag,
    pub(super) destination: Destination,
    /// The best codec that it is known to take.
    pub(super) accepts: CodecId,
    /// Answers in a row that did not come in time on an open connection.
    pub(super) slow_answers: u32,
    /// What is known of the line to it.
    pub(super) line: Learned,
    /// Where it is. Workers end when this is dropped.
    target: watch::Sender<Arc<client::Destination>>,
    workers: usize,
}

/// Names an outlet for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) name: ClassName,
    generation: u64,
}

/// Where batches go, as it changes.
pub(super) type Targets = watch::Receiver<Arc<client::Destination>>;

impl State {
    /// The outlet of a tag, if it is there.
    pub(super) fn outlet(&mut self, tag: Tag) -> Option<&mut Outlet> {
        self.outlets.iter_mut().find(|outlet| outlet.tag == tag)
    }

    /// Its number in the spool.
    pub(super) fn route(&self, tag: Tag) -> Option<RouteId> {
        self.spool.route(tag.name)
    }

    /// Whether a destination failed last.
    pub(super) fn is_down(&self) -> bool {
        self.outlets
            .iter()
            .any(|outlet| outlet.destination.is_down())
    }

    /// Whether there is no destination, or each one failed last: nobody waits for batches.
    pub(super) fn is_all_down(&self) -> bool {
        self.outlets
            .iter()
            .all(|outlet| outlet.destination.is_down())
    }

    /// Requests under way.
    pub(super) fn inflight(&self) -> usize {
        let outlets = self.outlets.iter();
        outlets.map(|outlet| outlet.destination.inflight()).sum()
    }

    /// Requests that may be under way.
    pub(super) fn inflight_max(&self) -> usize {
        let outlets = self.outlets.iter();
        outlets
            .map(|outlet| outlet.destination.inflight_max())
            .sum()
    }

    /// The best codec that all destinations are known to take: what is sealed with it is sent as it is stored.
    pub(super) fn accepts(&self) -> CodecId {
        let outlets = self.outlets.iter();
        outlets
            .map(|outlet| outlet.accepts)
            .min()
            .unwrap_or(CodecId::Zstd)
    }
}

impl Outlet {
    /// Its name.
    pub(super) fn name(&self) -> ClassName {
        self.tag.name
    }

    /// It is at another address from now on. What the old one refused says nothing about the new one.
    fn redirect(&mut self, target: Arc<client::Destination>) {
        self.accepts = CodecId::Zstd;
        self.slow_answers = 0;
        self.line = Learned::default();
        self.destination.redirect();
        self.target.send_replace(target);
    }
}

impl<E: Env> Shared<E> {
    /// Begins to send to a destination.
    pub(super) fn open_outlet(
        &self,
        config: &Config,
        name: ClassName,
        target: client::Destination,
    ) {
        let inflight = config.send.inflight.unwrap_or(INFLIGHT_MIN);
        let destination = Destination::new(inflight, self.delays(config, name));
        let mut state = self.lock();
        state.outlets_made += 1;
        let generation = state.outlets_made;
        state.outlets.push(Outlet {
            tag: Tag { name, generation },
            destination,
            accepts: CodecId::Zstd,
            slow_answers: 0,
            line: Learned::default(),
            target: watch::channel(Arc::new(target)).0,
            workers: 0,
        });
        state.set_pace(self.now(), config);
    }

    /// The delays of a destination, drawn from a seed of its own, so that two do not try in step.
    pub(super) fn delays(&self, config: &Config, name: ClassName) -> Delays {
        let purpose = match name.as_str() {
            ENDPOINT_NAME => "retry".to_owned(),
            name => format!("retry {name}"),
        };
        let rng = ChaCha8Rng::from_seed(self.env.seed(&purpose));
        Delays::new(config.retry.backoff, rng)
    }

    /// Goes over from the destinations of one configuration to those of another; `targets` are those of the new one, in its order.
    pub(super) fn set_outlets(
        &self,
        old: &Config,
        new: &Config,
        targets: Vec<(ClassName, client::Destination)>,
    ) {
        let find = |config: &Config, name| {
            let mut routes = config.routes();
            routes
                .find(|(of, _)| *of == name)
                .map(|(_, endpoint)| place(endpoint))
        };
        let is_named = |name| targets.iter().any(|(of, _)| *of == name);
        self.lock().outlets.retain(|outlet| is_named(outlet.name()));
        for (name, target) in targets {
            let mut state = self.lock();
            let outlet = state
                .outlets
                .iter_mut()
                .find(|outlet| outlet.name() == name);
            match outlet {
                Some(outlet) if find(old, name) != find(new, name) => {
                    outlet.redirect(Arc::new(target));
                }
                Some(_) => {}
                None => {
                    drop(state);
                    self.open_outlet(new, name, target);
                }
            }
        }
    }

    /// Starts tasks that send, as many as may send at once, and one for what is fresh. Too many do no harm:
    /// `core::destination` holds the limit.
    pub(super) fn staff(self: &Arc<Self>) {
        let wanted = self.config().send.inflight.unwrap_or(INFLIGHT_MAX) + 1;
        let mut hired = Vec::new();
        {
            let mut state = self.lock();
            for outlet in &mut state.outlets {
                while outlet.workers < wanted {
                    outlet.workers += 1;
                    hired.push((outlet.tag, outlet.target.subscribe()));
                }
            }
        }
        let mut crew = self.crew();
        crew.retain(|task| !task.is_finished());
        for (tag, targets) in hired {
            let worker = super::exporter::work(self.clone(), tag, targets);
            crew.push(self.env.spawn(worker));
        }
    }
}

/// The part of a destination's configuration that says where it is.
fn place(endpoint: &Endpoint) -> Endpoint {
    Endpoint {
        classes: None,
        age_max: None,
        late: Default::default(),
        start: Start::default(),
        ..endpoint.clone()
    }
}

/// All destinations of a configuration, as they are connected to.
///
/// # Errors
/// If the URL or a header of one cannot be used.
pub(super) fn targets(
    config: &Config,
) -> Result<Vec<(ClassName, client::Destination)>, super::Error> {
    let routes = config.routes();
    routes
        .map(|(name, endpoint)| Ok((name, client::Destination::new(endpoint)?)))
        .collect()
}
