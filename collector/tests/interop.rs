//! Stock SDKs as clients: Python over gRPC and HTTP, JavaScript over HTTP with JSON and protobuf, Rust over gRPC and HTTP; each
//! with gzip and without, all three signals, every item looked for at the far end. And the OpenTelemetry Collector's Go library
//! as the reader of an export.
//!
//! They install packages, and so run only where `BACKROOM_INTEROP=1` is set and the language is there; elsewhere they say
//! that they were skipped.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeMap, process::Command};

use backroom_collector::otlp::Signal;
use common::{
    Received, Running, Sink, buffer, config, env,
    interop::{place, run, source, wanted, wanted_by},
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point,
    },
};
use prost::Message;

/// Items of each signal in one run of an SDK.
const COUNT: u64 = 1000;

/// Runs a sender for each protocol, with gzip and without, and looks for every item at the far end.
async fn check(service: &str, protocols: &[&str], sender: impl Fn() -> Command) {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let running = Running::start(&env, config(&dir, Some(sink.url()))).await;
    let mut first = 0;
    for protocol in protocols {
        for compression in ["gzip", "none"] {
            let address = if *protocol == "grpc" {
                running.grpc
            } else {
                running.address
            };
            let mut command = sender();
            command
                .args([*protocol, &format!("http://{address}"), compression])
                .args([first.to_string(), COUNT.to_string()]);
            // The collector runs on this thread.
            let sent = backroom_collector::env::Env::compute(&env, move || command.output()).await;
            let sent = sent.expect("the sender starts");
            let errors = String::from_utf8_lossy(&sent.stderr);
            assert!(
                sent.status.success(),
                "{service} {protocol} {compression}: {errors}"
            );
            assert_eq!(sent.stdout, b"sent\n", "{errors}");
            first += COUNT;
        }
    }
    let expect: BTreeMap<u64, usize> = (0..first).map(|number| (number, 1)).collect();
    running
        .told
        .wait("all delivered", |told| told.stored() == 0)
        .await;
    for signal in Signal::ALL {
        let mut seen = BTreeMap::new();
        for received in sink
            .received()
            .iter()
            .filter(|r| r.signal == signal && r.was_taken)
        {
            for number in numbers(service, received) {
                *seen.entry(number).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), expect.len(), "{service} {signal}");
        assert!(seen == expect, "{service} {signal}: not each once");
    }
    running.stop().await;
}

/// The numbers of the items of a request, which must all come from `service`.
fn numbers(service: &str, received: &Received) -> Vec<u64> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let is_from = |resource: &Option<opentelemetry_proto::tonic::resource::v1::Resource>| {
        let attributes = &resource.as_ref().expect("a resource").attributes;
        attributes
            .iter()
            .any(|a| a.key == "service.name" && text(&a.value) == service)
    };
    let mut numbers = Vec::new();
    match received.signal {
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(&received.body[..]).unwrap();
            for resource in request.resource_spans {
                assert!(is_from(&resource.resource));
                let spans = resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans);
                numbers.extend(spans.map(|span| {
                    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
                    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
                    span.name.parse::<u64>().unwrap()
                }));
            }
        }
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(&received.body[..]).unwrap();
            for resource in request.resource_logs {
                assert!(is_from(&resource.resource));
                let records = resource
                    .scope_logs
                    .into_iter()
                    .flat_map(|scope| scope.log_records);
                numbers.extend(records.map(|record| text(&record.body).parse::<u64>().unwrap()));
            }
        }
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(&received.body[..]).unwrap();
            for resource in request.resource_metrics {
                assert!(is_from(&resource.resource));
                let metrics = resource
                    .scope_metrics
                    .into_iter()
                    .flat_map(|scope| scope.metrics);
                for metric in metrics.filter(|metric| metric.name == "orders") {
                    let Some(Data::Sum(sum)) = metric.data else {
                        panic!("a counter is a sum");
                    };
                    numbers.extend(sum.data_points.into_iter().map(|point| {
                        let number: u64 = text(&point.attributes[0].value).parse().unwrap();
                        let value = match point.value {
                            Some(number_data_point::Value::AsInt(value)) => value as f64,
                            Some(number_data_point::Value::AsDouble(value)) => value,
                            None => panic!("a point has a value"),
                        };
                        assert_eq!(value, (number + 1) as f64);
                        number
                    }));
                }
            }
        }
    }
    numbers
}

#[tokio::test]
async fn python_over_grpc_and_http() {
    if let Err(reason) = wanted("python3") {
        return println!("skipped: {reason}");
    }
    let dir = place("interop-python");
    let python = dir.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir));
    }
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet"])
        .args([
            "opentelemetry-sdk",
            "opentelemetry-exporter-otlp-proto-grpc",
            "opentelemetry-exporter-otlp-proto-http",
        ]));
    check("python-pos", &["grpc", "http"], || {
        let mut command = Command::new(&python);
        command.arg(source("python/send_all.py"));
        command
    })
    .await;
}

#[tokio::test]
async fn javascript_over_http_with_json_and_protobuf() {
    if let Err(reason) = wanted("node").and_then(|()| wanted("npm")) {
        return println!("skipped: {reason}");
    }
    let dir = place("interop-javascript");
    for file in ["package.json", "send.mjs"] {
        std::fs::copy(source("javascript").join(file), dir.join(file)).unwrap();
    }
    let install = ["install", "--no-audit", "--no-fund", "--silent"];
    run(Command::new("npm").args(install).current_dir(&dir));
    check("javascript-pos", &["json", "protobuf"], || {
        let mut command = Command::new("node");
        command.arg(dir.join("send.mjs"));
        command
    })
    .await;
}

#[tokio::test]
async fn rust_over_grpc_and_http() {
    if let Err(reason) = wanted("cargo") {
        return println!("skipped: {reason}");
    }
    let dir = place("interop-rust");
    // Its lock file would be written beside the manifest.
    std::fs::create_dir_all(dir.join("src")).unwrap();
    for file in ["Cargo.toml", "src/main.rs"] {
        std::fs::copy(source("rust_sdk").join(file), dir.join(file)).unwrap();
    }
    let mut build = Command::new("cargo");
    build
        .args(["build", "--quiet", "--target-dir"])
        .arg(dir.join("target"));
    run(build.current_dir(&dir));
    check("rust-pos", &["grpc", "http"], || {
        Command::new(dir.join("target/debug/interop"))
    })
    .await;
}

/// What `buffer export --format json` writes is read by the library of the OpenTelemetry Collector, whose otlpjsonfile receiver
/// reads such files: every item, with large numbers, bytes and characters as they were.
#[tokio::test]
async fn go_reads_what_was_exported() {
    if let Err(reason) = wanted_by("go", "version") {
        return println!("skipped: {reason}");
    }
    let place = place("interop-go");
    for file in ["go.mod", "go.sum", "main.go"] {
        std::fs::copy(source("go").join(file), place.join(file)).unwrap();
    }
    let reader = place.join("reader");
    let mut build = Command::new("go");
    run(build.args(["build", "-o"]).arg(&reader).current_dir(&place));

    let at = 1_700_000_000_123_456_789_u64;
    let words = [
        "",
        "plain",
        "dr\u{fc}cker \"3\"\n\u{1}\u{2028}<&>",
        "\u{1f355}",
    ];
    let records = words.iter().map(|word| LogRecord {
        time_unix_nano: at,
        severity_number: 17,
        body: Some(AnyValue {
            value: Some(Value::StringValue((*word).to_owned())),
        }),
        ..LogRecord::default()
    });
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let numbers = [0, -1, i64::MAX, i64::MIN];
    let points = numbers.iter().map(|number| NumberDataPoint {
        time_unix_nano: at,
        value: Some(number_data_point::Value::AsInt(*number)),
        ..NumberDataPoint::default()
    });
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: "orders".to_owned(),
                    unit: "{order}".to_owned(),
                    data: Some(Data::Sum(Sum {
                        data_points: points.collect(),
                        aggregation_temporality: 2,
                        is_monotonic: true,
                    })),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };

    let env = env();
    let (_keep, dir) = buffer();
    let running = Running::start(&env, config(&dir, None)).await;
    let mut client = running.client().await;
    for (path, body) in [
        ("/v1/traces", common::spans(0..50)),
        ("/v1/logs", logs.encode_to_vec()),
        ("/v1/metrics", metrics.encode_to_vec()),
    ] {
        let answer = client
            .request("POST", path, &[common::PROTOBUF], &body)
            .await;
        assert_eq!(answer.unwrap().status, 200, "{path}");
    }
    running.stop().await;
    let file = dir.with_file_name("export.jsonl");
    let mut export = Command::new(env!("CARGO_BIN_EXE_backroom-collector"));
    export.args(["buffer", "export"]).arg(&file);
    run(export.arg("--buffer-dir").arg(&dir));

    let mut expect: Vec<String> = (0..50_u64)
        .map(|id| {
            let (trace, span) = ("07".repeat(16), format!("{:016x}", id + 1));
            let start = 1_700_000_000_000_000_000 + id;
            serde_json::json!([
                "span",
                "pos",
                trace,
                span,
                id.to_string(),
                start,
                start + 900_000,
                2
            ])
        })
        .chain(
            words
                .iter()
                .map(|word| serde_json::json!(["log", at, 17, word])),
        )
        .chain(
            numbers
                .iter()
                .map(|n| serde_json::json!(["point", "orders", "{order}", true, at, n])),
        )
        .map(|item| item.to_string())
        .collect();
    expect.sort();
    let output = Command::new(&reader).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut read: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line)
                .unwrap()
                .to_string()
        })
        .collect();
    read.sort();
    assert_eq!(read, expect);
    assert_eq!(read.len(), 58);

    // It can fail: an id that is cut is refused.
    let cut = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, cut.replacen("\"0707", "\"07", 1)).unwrap();
    let output = Command::new(&reader).arg(&file).output().unwrap();
    assert!(!output.status.success(), "a bad line is no success");
}
