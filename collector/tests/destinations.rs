//! Several destinations on real sockets and files.
//!
//! - `one_that_is_down_holds_up_no_other`: and gets everything later, after a restart, while the other one gets nothing twice
//! - `destinations_change_while_it_runs`: one more from now on, one less
//! - `tools_know_every_destination`: `buffer stat`, `buffer replay --to NAME`, `doctor`
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::collections::BTreeMap;

use backroom_collector::env::Env as _;
use backroom_collector::{
    config::{Config, Endpoint, Start},
    core::class::ClassName,
};
use common::{
    Running, Sink, buffer, config, env,
    tools::{done, told, tool},
};

fn with_audit(config: &Config, url: String) -> Config {
    let name = ClassName::new("audit").unwrap();
    Config {
        destinations: vec![(name, Endpoint::new(url))],
        ..config.clone()
    }
}

fn ids(range: std::ops::Range<u32>) -> BTreeMap<u32, usize> {
    range.map(|id| (id, 1)).collect()
}

#[tokio::test]
async fn one_that_is_down_holds_up_no_other() {
    let env = env();
    let (_keep, dir) = buffer();
    let (hq, audit) = (Sink::open(&env).await, Sink::closed(&env).await);
    let config = with_audit(&config(&dir, Some(hq.url())), audit.url());
    let running = Running::start(&env, config.clone()).await;
    let mut client = running.client().await;
    for round in 0..5 {
        let ids = round * 10..round * 10 + 10;
        assert_eq!(client.post_spans(ids).await.unwrap().status, 200);
    }
    hq.wait_for_spans(50).await;
    assert_eq!(running.told.stored(), 50, "they wait for the other one");
    let page = client.request("GET", "/metrics", &[], b"").await.unwrap();
    let page = String::from_utf8(page.body).unwrap();
    for line in [
        "backroom_destination_delivered_items_total{destination=\"endpoint\"} 50",
        "backroom_destination_delivered_items_total{destination=\"audit\"} 0",
        "backroom_destination_waiting_items{destination=\"endpoint\"} 0",
        "backroom_destination_waiting_items{destination=\"audit\"} 50",
        "backroom_destination_reachable{destination=\"endpoint\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    running.stop().await;

    audit.listen().await;
    let running = Running::start(&env, config).await;
    audit.wait_for_spans(50).await;
    running
        .told
        .wait("nothing stored", |told| told.stored() == 0)
        .await;
    running.stop().await;
    assert_eq!((hq.taken(), audit.taken()), (ids(0..50), ids(0..50)));
}

#[tokio::test]
async fn destinations_change_while_it_runs() {
    let env = env();
    let (_keep, dir) = buffer();
    let (hq, audit) = (Sink::closed(&env).await, Sink::open(&env).await);
    let config = config(&dir, Some(hq.url()));
    let running = Running::start(&env, config.clone()).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    running
        .told
        .wait("sealed", |told| told.sealed_items() == 10)
        .await;

    let mut both = with_audit(&config, audit.url());
    both.destinations[0].1.start = Start::Now;
    let reloaded = running.handle.reload(both).await.unwrap();
    assert_eq!(reloaded.changed, ["destination"]);
    assert_eq!(client.post_spans(10..20).await.unwrap().status, 200);
    audit.wait_for_spans(10).await;
    assert_eq!(running.told.stored(), 20, "all of it waits for head office");

    // Without head office nobody waits for what the other one has, and it never gets what was not for it.
    let only_audit = Config {
        endpoint: None,
        ..with_audit(&config, audit.url())
    };
    running.handle.reload(only_audit).await.unwrap();
    running
        .told
        .wait("nothing stored", |told| told.stored() == 0)
        .await;
    running.stop().await;
    assert_eq!(audit.taken(), ids(10..20));
    assert_eq!(hq.taken(), BTreeMap::new());
}

/// Scenario: head office has everything, the auditors' receiver was down; then the machine is dead.
#[tokio::test]
async fn tools_know_every_destination() {
    let env = env();
    let (_keep, dir) = buffer();
    let (hq, audit) = (Sink::open(&env).await, Sink::closed(&env).await);
    let config = with_audit(&config(&dir, Some(hq.url())), audit.url());
    let running = Running::start(&env, config).await;
    let answer = running.client().await.post_spans(0..50).await;
    assert_eq!(answer.unwrap().status, 200);
    hq.wait_for_spans(50).await;
    running.stop().await;
    hq.take_received();
    let file = dir.with_extension("toml");
    let text = format!(
        "endpoint = \"{}\"\n[destination.audit]\nurl = \"{}\"\n[listen]\nhttp = \"127.0.0.1:0\"\ngrpc = \"off\"\n",
        hq.url(),
        audit.url()
    );
    std::fs::write(&file, text).unwrap();
    let of_config = |verb: &'static str, more: &[&'static str]| {
        let args = [verb, "--config", file.to_str().unwrap()];
        [&args[..], more].concat()
    };
    let stat = told(&env, &dir, &of_config("stat", &["--json"])).await;
    let waiting = |name: &str| stat["destinations"][name]["waiting_items"].clone();
    assert_eq!(
        (waiting("endpoint"), waiting("audit")),
        (0.into(), 50.into())
    );
    let text = done(&tool(&env, &dir, &of_config("stat", &[])).await);
    assert!(
        text.contains("DESTINATION") && text.contains("audit"),
        "{text}"
    );

    let nobody = tool(&env, &dir, &of_config("replay", &["--to", "auditors"])).await;
    let why = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(nobody.status.code(), Some(64), "{why}");
    assert!(why.contains("endpoint, audit"), "{why}");

    let args = of_config("doctor", &["--json"]);
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    doctor.args(args).arg("--buffer-dir").arg(&dir);
    let output = env.compute(move || doctor.output().unwrap()).await;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    let level = |what: &str| findings.iter().find(|f| f["what"] == what).unwrap()["level"].clone();
    assert_eq!(
        (level("endpoint"), level("destination")),
        ("ok".into(), "wrong".into())
    );

    audit.listen().await;
    let text = done(&tool(&env, &dir, &of_config("replay", &["--to", "audit"])).await);
    assert!(text.contains("50 items delivered"), "{text}");
    assert_eq!(audit.taken(), ids(0..50));
    assert!(
        hq.received()
            .iter()
            .all(|received| received.range.count == 0),
        "nothing twice"
    );
}
