//! A program of yours as a machine of the store, and the whole command line with it:
//!
//! ```text
//! cargo run -p backroom-sim --example plug_in_a_service -- run sim/examples/fridge.toml
//! cargo run -p backroom-sim --example plug_in_a_service -- schema
//! ```
//! A fridge brings its temperature to the store's broker; the scenario crashes the broker and asks how late a reading was.

use std::{io, sync::Arc, time::Duration};

use backroom_sim::{
    cli,
    scenario::Role,
    service::{Service, Services},
    store::{Context, mqtt},
    world::env::SimEnv,
};
use rand::RngExt as _;

/// What `config` takes; its comments stand in the schema.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Time between two readings, such as "10s".
    #[serde(deserialize_with = "backroom_sim::service::duration")]
    #[schemars(with = "String")]
    every: Duration,
    /// What it is set to, in degrees Celsius.
    #[serde(default)]
    degrees: f64,
}

pub(crate) struct Fridge;

impl Service for Fridge {
    type Config = Config;
    const NAME: &'static str = "fridge";

    async fn run(ctx: Context<SimEnv>, config: Arc<Config>) -> io::Result<()> {
        let boot = ctx.boot().await?;
        let mut rng = ctx.rng("temperature", boot);
        let broker = ctx.host_of(Role::Broker).unwrap_or_default().to_owned();
        let (client, _none) = mqtt::Client::start(&ctx, boot, broker, mqtt::Options::default());
        loop {
            tokio::time::sleep(config.every).await;
            let began = ctx.recorder.now();
            let degrees = config.degrees + rng.random_range(-0.5..0.5);
            let topic = format!("fridge/{}", ctx.name);
            // Returns when the broker has it on its disk.
            let reading = format!("{degrees:.1}").into();
            client.publish(topic, reading, true).await?;
            ctx.did(began);
        }
    }
}

fn main() {
    let services = Services::new().with::<Fridge>();
    std::process::exit(cli::main_with(services));
}
