//! Programs of the user as machines of a store: read, checked, run, counted.
//!
//! - a service runs on each of its machines, keeps what its disk kept over a crash, and is judged by `custom.done`;
//! - what its configuration does not take is blamed in the file, with the exact text;
//! - the examples run: `examples/plug_in_a_service.rs` is compiled here and its scenario played.

use std::{io, path::Path, sync::Arc, time::Duration};

use backroom_sim::{
    event::Event,
    lab::Lab,
    service::{Service, Services},
    store::Context,
    world::env::SimEnv,
};

#[path = "../examples/plug_in_a_service.rs"]
#[expect(dead_code, reason = "its main is the command line's")]
mod plug_in_a_service;

/// Does something each second, and something that takes as long as the machine has started often.
struct Clock;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(deserialize_with = "backroom_sim::service::duration")]
    #[schemars(with = "String")]
    every: Duration,
}

impl Service for Clock {
    type Config = Config;
    const NAME: &'static str = "clock";

    async fn run(ctx: Context<SimEnv>, config: Arc<Config>) -> io::Result<()> {
        let boot = ctx.boot().await?;
        loop {
            let began = ctx.recorder.now();
            tokio::time::sleep(config.every * u32::from(boot)).await;
            ctx.did(began);
        }
    }
}

fn services() -> Services {
    Services::new().with::<Clock>()
}

/// A store of clocks, with `node` in the place of the group's settings.
fn open(node: &str, services: &Services) -> Result<Lab, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clocks.toml");
    let text = format!(
        "schema = 1\nstart = \"2025-03-14T11:30:00-05:00\"\nduration = \"30s\"\n\n[node.clock]\nboot = \"const(0s)\"\n{node}\n\n\
         [[fault]]\nid = \"dies\"\nkind = \"node.crash\"\non = \"clock\"\nat = \"+10s\"\nfor = \"5s\"\n\n\
         [[expect]]\nid = \"ticks\"\nthat = \"count(custom.done) > 10\"\n\n\
         [link.lan]\nbetween = [\"store/*\", \"router\"]\nup = \"1Gbit/s\"\ndown = \"1Gbit/s\"\ndelay = \"1ms\"\n\n\
         [link.uplink]\nbetween = [\"router\", \"hq\"]\nup = \"1Mbit/s\"\ndown = \"1Mbit/s\"\ndelay = \"1ms\"\n"
    );
    std::fs::write(&file, text).expect("it is written");
    Lab::open_with(&file, &[], services)
}

/// Scenario: a service on two machines that die after ten seconds and start again five later.
/// Guarantees: it runs on each, is told its configuration, and starts again with what its disk kept.
#[test]
fn a_service_joins_the_store_and_starts_again() {
    let node = "role = \"custom\"\nservice = \"clock\"\ncount = 2\nconfig = { every = \"1s\" }";
    let lab = open(node, &services()).unwrap_or_else(|told| panic!("{told}"));
    let run = lab.run(1).expect("it can be run");
    let ticks: Vec<(u64, u64)> = run
        .events
        .iter()
        .filter_map(|s| match s.event {
            Event::Did { began, .. } => Some((s.at.as_secs(), (s.at - began).as_secs())),
            _ => None,
        })
        .filter(|(at, _)| *at < 25)
        .collect();
    // Once a second until 10 s, then every two seconds from 15 s on; on two machines.
    let first = ticks.iter().filter(|(at, took)| *at < 10 && *took == 1);
    assert!((16..=20).contains(&first.count()), "{ticks:?}");
    let second = ticks.iter().filter(|(at, took)| *at >= 15 && *took == 2);
    assert!((6..=10).contains(&second.count()), "{ticks:?}");
    assert!(ticks.iter().all(|(at, _)| !(11..15).contains(at)));
    let result = lab.judge(&[run]);
    assert_eq!(result.exit_code, 0, "{:?}", result.expectations);
}

#[track_caller]
fn refused(node: &str, services: &Services, told: &[&str]) {
    let text = open(node, services).expect_err("it is wrong");
    for part in told {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn what_a_service_does_not_take_is_blamed_in_the_file() {
    let with = |rest: &str| format!("role = \"custom\"\nservice = \"clock\"\n{rest}");
    let unknown = with("config = { every = \"1s\", lable = \"x\" }");
    let told = [
        "E0105",
        "unknown field `lable`",
        "clocks.toml:9:26",
        "^^^^^",
    ];
    refused(&unknown, &services(), &told);
    let unit = with("config = { every = \"1\" }");
    refused(
        &unit,
        &services(),
        &["E0105", "write \"10s\"", "clocks.toml:9:"],
    );
    refused(&with(""), &services(), &["E0105", "missing field `every`"]);
    let nobody = "role = \"custom\"\nservice = \"clokc\"";
    let told = [
        "E0204",
        "there is no service `clokc`",
        "did you mean `clock`?",
    ];
    refused(nobody, &services(), &told);
    refused(nobody, &Services::new(), &["E0204", "docs/library.md"]);
    refused(
        "role = \"custom\"",
        &services(),
        &["E0101", "needs `service`"],
    );
    let kds = "role = \"kds\"\nconfig = { every = \"1s\" }";
    refused(
        kds,
        &services(),
        &["E0107", "only a custom machine has a `config`"],
    );
}

#[test]
fn a_service_s_configuration_has_a_schema() {
    let schemas: Vec<_> = services().schemas().collect();
    let [(name, schema)] = schemas.as_slice() else {
        panic!("one service");
    };
    assert_eq!(*name, "clock");
    assert_eq!(schema["properties"]["every"]["type"], "string");
    assert_eq!(schema["additionalProperties"], false);
}

/// Scenario: the one of the example, with one seed.
/// Guarantees: it does what its page says.
#[test]
fn the_example_of_a_service_runs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fridge.toml");
    let services = Services::new().with::<plug_in_a_service::Fridge>();
    let lab = Lab::open_with(&file, &["seeds=1"], &services);
    let lab = lab.unwrap_or_else(|told| panic!("{told}"));
    lab.check(&[1]).unwrap_or_else(|told| panic!("{told}"));
}
