//! What lies in `deploy/` fits the program: files parse, metrics exist, configurations are read, probes ask paths that answer.
//!
//! Tools that are not installed are skipped aloud.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;
#[path = "common/exposition.rs"]
mod exposition;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use backroom_collector::config;
use common::{Running, buffer, env};
use serde::Deserialize;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    let path = root().join("deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(file: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(&read(file))
        .map(|document| {
            Value::deserialize(document).unwrap_or_else(|error| panic!("{file}: {error}"))
        })
        .collect()
}

/// Every value of this key, at any depth.
fn all<'v>(value: &'v Value, key: &str, out: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if name == key {
                    out.push(value);
                }
                all(value, key, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| all(value, key, out)),
        _ => {}
    }
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    all(value, key, &mut found);
    let texts = found.into_iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The series of the real page, with the names of their labels.
async fn series() -> BTreeMap<String, BTreeSet<String>> {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = common::Sink::closed(&env).await;
    let running = Running::start(&env, common::config(&dir, Some(sink.url()))).await;
    let mut client = running.client().await;
    let answer = client.request("GET", "/metrics", &[], b"").await.unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    let page = exposition::read(&text, false).unwrap();
    let mut series = BTreeMap::<_, BTreeSet<_>>::new();
    for sample in page.into_values().flat_map(|family| family.samples) {
        series
            .entry(sample.name)
            .or_default()
            .extend(sample.labels.into_keys());
    }
    running.stop().await;
    series
}

/// The metrics of ours that a query names, each with the labels that it asks for.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut asked = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_word) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if !word.starts_with("backroom_") && !word.starts_with("process_") {
            continue;
        }
        let mut labels = Vec::new();
        if let Some(inside) = after.strip_prefix('{') {
            let (inside, after) = inside.split_once('}').expect("a closed selector");
            rest = after;
            let matchers = inside
                .split(',')
                .filter(|matcher| !matcher.trim().is_empty());
            let names = matchers.map(|matcher| matcher.split(['=', '!']).next().unwrap().trim());
            labels.extend(names.map(str::to_owned));
        }
        asked.push((word.to_owned(), labels));
    }
    asked
}

/// What a query asks for and the page does not have.
fn missing(query: &str, series: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, labels) in asked(query) {
        let Some(known) = series.get(&name) else {
            missing.push(format!("{name} in {query}"));
            continue;
        };
        // These two are the scraper's.
        let ours = labels
            .iter()
            .filter(|label| !matches!(label.as_str(), "instance" | "job"));
        let unknown = ours.filter(|label| !known.contains(*label));
        missing.extend(unknown.map(|label| format!("{name}{{{label}}} in {query}")));
    }
    missing
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_metrics_that_exist() {
    let series = series().await;
    let dashboard: Value = serde_json::from_str(&read("grafana/backroom-collector.json")).unwrap();
    let mut queries = texts(&dashboard, "expr");
    queries.extend(texts(&dashboard, "query"));
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(
        panels
            .iter()
            .all(|panel| panel["description"].as_str().is_some_and(|d| !d.is_empty()))
    );
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    let alerts = yaml("prometheus/alerts.yml");
    queries.extend(texts(&alerts[0], "expr"));
    assert!(queries.len() > 40, "{}", queries.len());
    let missing: Vec<_> = queries
        .iter()
        .flat_map(|query| missing(query, &series))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    // The check sees what is not there.
    assert_eq!(
        self::missing("rate(backroom_nonsense_total[5m])", &series).len(),
        1
    );
    let query = "backroom_stored_items{nonsense=\"x\", instance=~\".*\"}";
    assert_eq!(self::missing(query, &series).len(), 1);
}

/// Who is woken by an alert finds what it means and what to do.
#[test]
fn every_alert_says_what_to_do() {
    let guide = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let alerts = yaml("prometheus/alerts.yml");
    let mut rules = Vec::new();
    all(&alerts[0], "rules", &mut rules);
    let rules: Vec<&Value> = rules
        .iter()
        .flat_map(|list| list.as_array().unwrap())
        .collect();
    assert!(rules.len() > 10);
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        for note in ["summary", "description", "action"] {
            let text = rule["annotations"][note].as_str();
            assert!(text.is_some_and(|text| text.len() > 20), "{name} {note}");
        }
        assert!(rule["labels"]["severity"].is_string(), "{name}");
        assert!(
            guide.contains(&format!("**{name}.**")),
            "{name} in docs/operating.md"
        );
    }
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("skipped: promtool is not installed");
        return;
    }
    let rules = root().join("deploy/prometheus/alerts.yml");
    let mut check = Command::new("promtool");
    check.args(["check", "rules"]).arg(rules);
    let check = check.output().unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
}

#[test]
fn configurations_are_read() {
    let check = |name: &str, text: &str| {
        config::load_text(name, text)
            .unwrap_or_else(|report| panic!("{}", report.render(config::Format::Human, false)))
    };
    let packaged = read("collector.toml");
    let deployed = check("deploy/collector.toml", &packaged);
    let addresses = [deployed.listen.http, deployed.listen.grpc];
    assert!(
        addresses
            .into_iter()
            .flatten()
            .all(|address| address.ip().is_loopback())
    );
    // What stands behind a single # and a space before a key is an example, and is read too.
    let examples: String = packaged
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let full = check("deploy/collector.toml, examples", &examples);
    assert!(full.endpoint.is_some());
    assert!(full.telemetry.metrics_interval.is_some());
    let gateway = check("deploy/gateway.toml", &read("gateway.toml"));
    assert_eq!(gateway.role, config::Role::Gateway);
    check(
        "deploy/docker/collector.toml",
        &read("docker/collector.toml"),
    );
    let kubernetes = yaml("kubernetes/collector.yaml");
    let map = kubernetes
        .iter()
        .find(|object| object["kind"] == "ConfigMap")
        .unwrap();
    let text = map["data"]["collector.toml"].as_str().unwrap();
    let config = check("deploy/kubernetes/collector.yaml", text);
    let addresses = [config.listen.http, config.listen.grpc];
    let is_open = |address: std::net::SocketAddr| address.ip().is_unspecified();
    assert!(
        addresses.into_iter().flatten().all(is_open),
        "other pods reach it"
    );
}

/// Ports, probes and volumes of the pod are those of its configuration, and it runs as nobody in particular.
#[tokio::test]
async fn the_pod_fits_its_configuration() {
    let objects = yaml("kubernetes/collector.yaml");
    let of_kind = |kind: &str| {
        objects
            .iter()
            .find(|object| object["kind"] == kind)
            .unwrap()
    };
    let text = of_kind("ConfigMap")["data"]["collector.toml"]
        .as_str()
        .unwrap();
    let config = config::load_text("collector.toml", text).unwrap();
    let pod = &of_kind("DaemonSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let ports: BTreeMap<&str, u64> = container["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            (
                port["name"].as_str().unwrap(),
                port["containerPort"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        ports["otlp-http"],
        u64::from(config.listen.http.unwrap().port())
    );
    assert_eq!(
        ports["otlp-grpc"],
        u64::from(config.listen.grpc.unwrap().port())
    );
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > backroom_collector::shell::SHUTDOWN_MAX.as_secs());
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    let mounts = container["volumeMounts"].as_array().unwrap();
    let dir = config.buffer.dir.to_str().unwrap();
    let holds = |mount: &Value| {
        mount["name"] == "buffer" && dir.starts_with(mount["mountPath"].as_str().unwrap())
    };
    assert!(mounts.iter().any(holds));
    let service = &of_kind("Service")["spec"]["ports"];
    for port in service.as_array().unwrap() {
        assert!(ports.contains_key(port["targetPort"].as_str().unwrap()));
    }

    let env = env();
    let (_keep, buffer_dir) = buffer();
    let running = Running::start(&env, common::config(&buffer_dir, None)).await;
    let mut client = running.client().await;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        assert!(ports.contains_key(get["port"].as_str().unwrap()), "{probe}");
        let path = get["path"].as_str().unwrap();
        let answer = client.request("GET", path, &[], b"").await.unwrap();
        assert_eq!(answer.status, 200, "{probe}");
    }
    running.stop().await;
}

/// The unit is one that systemd takes, and leaves the program little to break.
/// The drop-in of a gateway changes settings that the unit has.
#[test]
fn the_drop_in_fits_the_unit() {
    let unit = read("systemd/backroom-collector.service");
    let drop_in = read("systemd/gateway.conf");
    let settings = drop_in
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with('#'));
    for setting in settings {
        let (key, _) = setting.split_once('=').unwrap();
        let is_set = |line: &str| line.starts_with(&format!("{key}="));
        assert!(unit.lines().any(is_set), "{key}");
    }
}

#[test]
fn the_unit_is_sound() {
    let unit = read("systemd/backroom-collector.service");
    let seconds = |key: &str| -> u64 {
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap();
        line.trim_end_matches('s').parse().unwrap()
    };
    assert!(seconds("TimeoutStopSec=") > backroom_collector::shell::SHUTDOWN_MAX.as_secs());
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backroom-collector.service");
    // verify looks for the program.
    let here = env!("CARGO_BIN_EXE_backroom-collector");
    std::fs::write(&path, unit.replace("/usr/bin/backroom-collector", here)).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .arg(&path)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (is_fine, told) = run(&["verify", "--man=no"]);
    let ours: Vec<_> = told
        .lines()
        .filter(|line| line.contains("backroom"))
        .collect();
    assert!(is_fine && ours.is_empty(), "{told}");
    // 0 is safe, 100 is unsafe; below 20 systemd itself calls it OK.
    let (is_fine, told) = run(&["security", "--offline=yes", "--threshold=20", "--no-pager"]);
    assert!(is_fine, "{told}");
}
