//! Custom services: a program of yours as a machine of the store, with a configuration of its own in the scenario.
//!
//! ```toml
//! [node.fridge]
//! role    = "custom"
//! service = "fridge"
//! config  = { every = "10s" }
//! ```
//! A [`Service`] has a name, a type for its `config`, and a program. It is told to the reader of scenarios in a [`Services`]: for
//! the whole command line by [`cli::main_with`](crate::cli::main_with), in a test by [`Lab::open_with`](crate::lab::Lab::open_with).
//! Its configuration is checked when a file is read, blamed in the file, and part of the schema that `schema` prints.
//!
//! Decides who is known by which name. What a service may do is decided by [`Context`]: sockets, a disk, a clock and seeds of a
//! simulated machine, the store's broker ([`store::mqtt`](crate::store::mqtt)), and [`Context::did`] for what metrics shall count.
//! `sim/examples/plug_in_a_service.rs` is a whole one.

use std::{
    collections::BTreeMap,
    fmt, io,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use backroom_collector::config::tree::Node;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{scenario::value, store::Context, world::env::SimEnv};

/// A program of yours that joins a store.
pub trait Service: 'static {
    /// Its configuration. `#[serde(deny_unknown_fields)]` makes a typing error an error.
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// Its name, as `service = "NAME"` says it.
    const NAME: &'static str;

    /// Runs on one machine until it is aborted. It is called again when the machine starts again, with what the disk kept.
    ///
    /// Every task must be started with `ctx.env.spawn`, all time be `tokio::time`, all randomness come from `ctx.rng`: a run must be
    /// equal to itself. A program that returns has stopped for good: wait with `std::future::pending` instead.
    fn run(
        ctx: Context<SimEnv>,
        config: Arc<Self::Config>,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
type Start = Arc<dyn Fn(Context<SimEnv>) -> Running + Send + Sync>;

/// A service with its configuration, ready to be started on machines.
#[derive(Clone)]
pub struct Configured {
    name: &'static str,
    start: Start,
}

impl fmt::Debug for Configured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Configured").field(&self.name).finish()
    }
}

impl Configured {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its program, on one machine.
    pub(crate) fn start(&self, ctx: Context<SimEnv>) -> Running {
        (self.start)(ctx)
    }
}

#[derive(Clone, Copy)]
struct Known {
    configure: fn(Option<&Node>) -> Result<Configured, value::Wrong>,
    schema: fn() -> serde_json::Value,
}

/// The services that scenarios may name.
#[derive(Clone, Default)]
pub struct Services {
    known: BTreeMap<&'static str, Known>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

static INSTALLED: OnceLock<Services> = OnceLock::new();

impl Services {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more.
    ///
    /// # Panics
    /// If another one has its name.
    #[must_use]
    pub fn with<S: Service>(mut self) -> Self {
        let known = Known {
            configure: configure::<S>,
            schema: || schemars::schema_for!(S::Config).to_value(),
        };
        let before = self.known.insert(S::NAME, known);
        assert!(before.is_none(), "two services are called {}", S::NAME);
        self
    }

    /// Their names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.known.keys().copied()
    }

    /// JSON Schemas of their configurations, by name.
    pub fn schemas(&self) -> impl Iterator<Item = (&'static str, serde_json::Value)> + '_ {
        self.known
            .iter()
            .map(|(name, known)| (*name, (known.schema)()))
    }

    /// A service with its configuration; `None` if there is none of this name.
    pub(crate) fn configure(
        &self,
        name: &str,
        config: Option<&Node>,
    ) -> Option<Result<Configured, value::Wrong>> {
        self.known.get(name).map(|known| (known.configure)(config))
    }

    /// Makes them those of this process, for readers that are told of none. Once: what a scenario means must not change under it.
    ///
    /// # Panics
    /// If it was done before.
    pub fn install(self) {
        assert!(INSTALLED.set(self).is_ok(), "services are installed once");
    }

    /// Those of this process; none unless some were installed.
    pub fn installed() -> Self {
        INSTALLED.get().cloned().unwrap_or_default()
    }
}

fn configure<S: Service>(config: Option<&Node>) -> Result<Configured, value::Wrong> {
    let config: S::Config = match config {
        Some(node) => value::read(node)?,
        None => serde_json::from_value(serde_json::json!({}))
            .map_err(<value::Wrong as serde::de::Error>::custom)?,
    };
    let config = Arc::new(config);
    Ok(Configured {
        name: S::NAME,
        start: Arc::new(move |ctx| Box::pin(S::run(ctx, Arc::clone(&config)))),
    })
}

/// Reads a duration with its unit, such as `"10s"`: for `#[serde(deserialize_with = "backroom_sim::service::duration")]`, with
/// `#[schemars(with = "String")]` beside it.
///
/// # Errors
/// If it is no text, or no duration.
pub fn duration<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<std::time::Duration, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(from)?;
    backroom_collector::config::quantity::duration(&text).map_err(|wrong| {
        let title = wrong.title.replace("{key}", &text);
        serde::de::Error::custom(format!("{title}; write \"10s\""))
    })
}
