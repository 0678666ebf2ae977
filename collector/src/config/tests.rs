//! The collector's configuration, as users write it.

use std::time::Duration;

use super::*;
use super::{
    diagnostic::Sink,
    shape::{Shape, Ty},
};

/// Everything that a deployed collector can be told.
const FULL: &str = r#"
endpoint = { url = "http://hq.example:4318/", headers = { x-store = "0412" }, timeout = "10s" }
[listen]
http = "0.0.0.0:4318"
grpc = "off"
body_bytes_max = "4MiB"
[buffer]
dir = "/var/lib/backroom"
disk = "512MiB"
on_full = "drop-oldest"
durability = "os"
[class.logs]
priority = 9
weight = 3
order = "oldest-first"
quota = "25%"
ttl = "7d"
[class.till-metrics]
signal = "metrics"
quota = "64MiB"
on_full = "refuse"
[compress]
codec = "gzip:9"
[batch]
bytes = "256KiB"
delay = "1s"
delay_down = "2m"
[send]
inflight = 4
max_rate = "256kbit/s"
order = "newest-first"
live_window = "off"
backfill_share = "40%"
link = "lte"
time_zone = "America/Chicago"
[link.lte]
match = { interface = "wwan*" }
rate = "128kbit/s"
yield = "off"
level = 12
classes = ["logs", "traces"]
urgent = ["logs"]
windows = ["22:00-06:00", "12:00-24:00"]
budget = { bytes = "2GiB", day = 15, reserve = "10%" }
[link.wire]
budget = { bytes = "1TiB", per = "30d" }
[retry]
backoff = "decorrelated-jitter(base=500ms, cap=30s)"
give_up = "30d"
[telemetry]
metrics_interval = "60s"
resource = { "store.id" = "0412" }
"#;

#[test]
fn a_full_file_is_read_and_an_empty_one_is_the_default() {
    let config = load_text("collector.toml", FULL).expect("valid");
    let endpoint = config.endpoint.expect("an endpoint");
    assert_eq!(endpoint.url, "http://hq.example:4318");
    assert_eq!(
        endpoint.headers,
        [(String::from("x-store"), String::from("0412"))]
    );
    assert_eq!(endpoint.timeout, Duration::from_secs(10));
    assert_eq!(config.listen.http.map(|http| http.port()), Some(4318));
    assert_eq!(config.listen.grpc, None);
    assert_eq!(config.buffer.disk, ByteSize(512 << 20));
    assert_eq!(config.buffer.durability, Durability::Os);
    let day = Duration::from_secs(86400);
    let quota = |share| Some(Quota::Share(share));
    let [logs, metrics] = &config.classes[..] else {
        panic!("two classes: {:?}", config.classes);
    };
    assert_eq!((logs.name.as_str(), logs.quota), ("logs", quota(0.25)));
    assert_eq!(
        (logs.ttl, logs.on_full),
        (Some(7 * day), OnFull::DropOldest)
    );
    assert_eq!(metrics.name.as_str(), "till-metrics");
    assert_eq!(metrics.quota, Some(Quota::Size(ByteSize(64 << 20))));
    assert_eq!(
        (metrics.ttl, metrics.on_full),
        (Some(30 * day), OnFull::Refuse)
    );
    assert_eq!(config.compress.codec, Codec::Gzip(9));
    assert_eq!(config.send.max_rate, Some(BitRate(256_000)));
    assert_eq!(config.send.order, Order::NewestFirst);
    assert_eq!(
        (config.send.live_window, config.send.backfill_share),
        (None, 0.4)
    );
    assert_eq!(
        (logs.priority, logs.weight, logs.order),
        (9, 3, Order::OldestFirst)
    );
    assert_eq!(
        (metrics.priority, metrics.weight, metrics.order),
        (0, 1, Order::NewestFirst)
    );
    let name = |text| crate::core::class::ClassName::new(text).expect("a name");
    let lte = Link {
        interface: Some(String::from("wwan*")),
        rate: Some(BitRate(128_000)),
        yield_delay: Some(None),
        level: Some(12),
        classes: Some(vec![name("logs"), name("traces")]),
        urgent: vec![name("logs")],
        windows: vec![
            Window {
                from: 1320,
                to: 360,
            },
            Window {
                from: 720,
                to: 1440,
            },
        ],
        budget: Some(Budget {
            bytes: ByteSize(2 << 30),
            per: Period::Month { day: 15 },
            reserve: 0.1,
        }),
        ..Link::new(name("lte"))
    };
    let wire = Link {
        budget: Some(Budget {
            bytes: ByteSize(1 << 40),
            per: Period::Every(30 * day),
            reserve: 0.0,
        }),
        ..Link::new(name("wire"))
    };
    assert_eq!(config.links, [lte, wire]);
    assert_eq!(config.send.link, Some(name("lte")));
    let zone = config.send.time_zone.expect("a zone");
    assert_eq!(zone.iana_name(), Some("America/Chicago"));
    assert!(load_text("x.toml", "send.backfill_share = \"100%\"").is_err());
    assert_eq!(config.retry.give_up, Some(Duration::from_secs(30 * 86400)));
    assert_eq!(
        config.telemetry.metrics_interval,
        Some(Duration::from_secs(60))
    );
    assert_eq!(
        config.telemetry.resource,
        [(String::from("store.id"), String::from("0412"))]
    );
    assert!(load_text("x.toml", "telemetry.metrics_interval = \"10ms\"").is_err());
    assert!(load_text("x.toml", "buffer.disk = \"255KiB\"").is_err());
    assert_eq!(load_text("x.toml", "").expect("empty"), Config::default());
    let short = load_text("x.toml", "endpoint = \"http://[::1]:4318\"").expect("a URL alone");
    assert_eq!(short.endpoint, Some(Endpoint::new("http://[::1]:4318")));
}

/// Every default in the table of keys, written out, reads as the default configuration.
#[test]
fn the_table_of_keys_tells_the_true_defaults() {
    fn write(shape: &Shape, path: &str, out: &mut String) {
        for key in shape.keys {
            if let Some(default) = key.default {
                out.push_str(&format!("{path}{} = {default}\n", key.name));
            }
            if let (Ty::Table(inner), true) = (&key.ty, !key.required) {
                write(inner, &format!("{path}{}.", key.name), out);
            }
        }
    }
    let mut text = String::new();
    write(&COLLECTOR, "", &mut text);
    assert!(text.contains("retry.give_up = \"never\""), "{text}");
    assert_eq!(load_text("x.toml", &text).expect(&text), Config::default());
}

#[test]
fn everything_wrong_is_told_in_one_go() {
    let text = r#"
endpoint = "https:/hq.example"
[buffer]
disk = 512
on_ful = "drop-oldest"
durability = "sync"
[compress]
codec = "zsdt:3"
ratio = 8.0
[batch]
delay = "5 sec"
[send]
inflight = 0
max_rate = "256kbps"
[retry]
backoff = "full-jitter(base=60s, cap=1s)"
"#;
    let report = load_text("collector.toml", text).expect_err("nine errors");
    assert_eq!(report.exit_code(), 65);
    insta::assert_snapshot!(report.render(Format::Human, false));
}

#[test]
fn a_scenario_may_assume_a_ratio_and_a_deployed_collector_may_not() {
    let mut sources = Sources::default();
    let file = sources.add("x.toml", "[collector]\ncompress = { ratio = 8.0 }\n");
    let table = tree::parse(&sources, file).expect("valid");
    let sink = Sink::default();
    let node = table.get("collector").expect("a table");
    let config = read(node, "collector", Reader::Scenario, &sink);
    assert_eq!(config.compress.ratio, Some(8.0));
    assert_eq!(sink.error_count(), 0);
    let report = load_text("x.toml", "compress.ratio = 8.0").expect_err("refused");
    assert_eq!(report.list[0].code.map(|c| c.id), Some("E0701"));
}

#[test]
fn classes_are_checked_against_each_other() {
    let text = r#"
[class.Audit]
signal = "logs"
[class.audit]
[class.logs]
signal = "traces"
[class.one]
signal = "metrics"
quota = "700MiB"
[class.two]
signal = "metrics"
quota = "40%"
ttl = "soon"
[class.three]
signal = "profiles"
quota = "0%"
"#;
    let report = load_text("collector.toml", text).expect_err("wrong classes");
    insta::assert_snapshot!(report.render(Format::Short, false));
}

#[test]
fn line_profiles_are_checked_against_the_rest() {
    let text = r#"
[send]
link = "let"
[link.auto]
[link.lte]
match = { interface = "wwan 0" }
rate = "0kbit/s"
level = 20
windows = ["22:00", "24:00-06:00", "06:00-06:00", "7:00-08:00"]
classes = ["logs"]
urgent = ["traces"]
budget = { bytes = "1KiB", per = "30s", reserve = "10%" }
[link.wire]
urgent = ["log"]
[link.sat]
budget = { bytes = "1GiB", per = "7d", day = 3, reserve = "5%" }
[link.month]
budgets = {}
budget = { bytes = "1GiB" }
"#;
    let report = load_text("collector.toml", text).expect_err("wrong profiles");
    insta::assert_snapshot!(report.render(Format::Short, false));
    let zone = "send.time_zone = \"America/Chigaco\"";
    let report = load_text("x.toml", zone).expect_err("no such zone");
    insta::assert_snapshot!(report.render(Format::Short, false));
}

#[test]
fn a_scenario_means_the_same_time_everywhere() {
    let mut sources = Sources::default();
    let file = sources.add("x.toml", "send = { time_zone = \"Europe/Berlin\" }\n");
    let span = Span {
        file,
        start: 0,
        end: 0,
    };
    let table = tree::parse(&sources, file).expect("valid");
    let node = tree::Node {
        span,
        value: tree::Value::Table(table),
    };
    let sink = Sink::default();
    let config = read(&node, "", Reader::Scenario, &sink);
    assert_eq!(sink.error_count(), 0);
    let bundled = jiff::tz::TimeZoneDatabase::bundled().get("Europe/Berlin");
    assert_eq!(config.send.time_zone, bundled.ok());
}

#[test]
fn urls_are_blamed_where_they_are_wrong() {
    let check = |url: &str, blamed: &str| {
        let report = load_text("x.toml", &format!("endpoint = \"{url}\"")).expect_err(url);
        let label = report.list[0].primary.as_ref().expect("a place");
        assert_eq!(report.sources.text(label.span), blamed, "{url}");
    };
    check("hq.example:4318", "hq.example:4318");
    check("ftp://hq", "ftp");
    check("http://hq:port", "port");
    check("http:///v1", "/");
    check("http://hq/a?b", "?");
}

#[test]
fn a_missing_file_is_missing_input() {
    let report = load(std::path::Path::new("/nonexistent/collector.toml")).expect_err("missing");
    assert_eq!(report.exit_code(), 66);
    assert!(report.to_string().starts_with("error[E0002]"));
}

#[test]
fn the_schema_lists_every_key() {
    let schema = schema::object(&COLLECTOR);
    assert_eq!(
        schema["properties"]["send"]["properties"]["inflight"]["default"],
        "auto"
    );
    assert_eq!(schema["additionalProperties"], false);
}
