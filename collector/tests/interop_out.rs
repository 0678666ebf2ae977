//! Receivers that nobody here wrote: Python's gRPC server on opentelemetry-proto's services, aiohttp, and the OpenTelemetry
//! Collector built from its published modules. All three signals with zstd, gzip and without, every item looked for, each once.
//!
//! They install packages, and so run only where `BACKROOM_INTEROP=1` is set and the language is there; elsewhere they say
//! that they were skipped.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use backroom_collector::{
    config::{ByteSize, Codec, Protocol},
    env::Env,
};
use common::{
    PROTOBUF, Running, Sink, buffer, config, env,
    interop::{place, run, source, wanted, wanted_by},
};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point,
    },
};
use prost::Message;

/// Items of each signal for each encoding.
const COUNT: u32 = 500;

const SIGNALS: [&str; 3] = ["traces", "metrics", "logs"];

/// A receiver that prints `signal number` for each item.
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Counts the lines of a receiver until every item was there.
fn read_all(stdout: ChildStdout) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for line in BufReader::new(stdout).lines() {
        *seen.entry(line.unwrap()).or_default() += 1;
        if seen.len() == SIGNALS.len() * COUNT as usize {
            break;
        }
    }
    seen
}

fn logs(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let record = |number: u32| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000,
        body: Some(AnyValue {
            value: Some(Value::StringValue(number.to_string())),
        }),
        ..LogRecord::default()
    };
    let scope = ScopeLogs {
        log_records: numbers.map(record).collect(),
        ..ScopeLogs::default()
    };
    let resource = ResourceLogs {
        scope_logs: vec![scope],
        ..ResourceLogs::default()
    };
    let resource_logs = vec![resource];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn metrics(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let point = |number: u32| NumberDataPoint {
        time_unix_nano: 1_700_000_000_000_000_000,
        value: Some(number_data_point::Value::AsInt(number.into())),
        ..NumberDataPoint::default()
    };
    let sum = Sum {
        data_points: numbers.map(point).collect(),
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let metric = Metric {
        name: "orders".to_owned(),
        data: Some(Data::Sum(sum)),
        ..Metric::default()
    };
    let scope = ScopeMetrics {
        metrics: vec![metric],
        ..ScopeMetrics::default()
    };
    let resource = ResourceMetrics {
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    let resource_metrics = vec![resource];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

/// Sends all signals in each encoding to a receiver of its own, that `receiver` starts on a port.
async fn check(protocol: Protocol, takes_zstd: bool, receiver: impl Fn(u16) -> Command) {
    for codec in [Codec::Zstd(3), Codec::Gzip(6), Codec::None] {
        let env = env();
        let (_keep, dir) = buffer();
        // Only its address is wanted, on which nobody listens yet.
        let address = Sink::closed(&env).await.address;
        let mut config = config(&dir, Some(format!("http://{address}")));
        config.endpoint.as_mut().unwrap().protocol = protocol;
        config.compress.codec = codec;
        config.batch.bytes = ByteSize(8 << 10);
        let running = Running::start(&env, config).await;
        let mut client = running.client().await;
        for first in (0..COUNT).step_by(100) {
            let numbers = first..first + 100;
            for (path, body) in [
                ("/v1/traces", common::spans(numbers.clone())),
                ("/v1/metrics", metrics(numbers.clone())),
                ("/v1/logs", logs(numbers)),
            ] {
                let answer = client.request("POST", path, &[PROTOBUF], &body).await;
                assert_eq!(answer.unwrap().status, 200, "{path}");
            }
        }
        let child = receiver(address.port()).stdout(Stdio::piped()).spawn();
        let mut child = Receiver(child.expect("the receiver starts"));
        let stdout = child.0.stdout.take().unwrap();
        // The collector runs on this thread.
        let seen = env.compute(move || read_all(stdout));
        let told = &running.told;
        // If not all is delivered in time, the receiver ends with the test, and its output with it.
        let delivered = told.wait("all delivered", |told| told.stored() == 0);
        let (seen, ()) = tokio::join!(seen, delivered);
        let numbers = |signal| (0..COUNT).map(move |number| format!("{signal} {number}"));
        let expect = SIGNALS.into_iter().flat_map(numbers);
        let expect: BTreeMap<String, usize> = expect.map(|line| (line, 1)).collect();
        assert!(
            seen == expect,
            "{protocol:?} {codec:?}: {} lines",
            seen.len()
        );
        let has_fallen_back = told.has_notice("refuses the content encoding; using gzip");
        let is_zstd = matches!(codec, Codec::Zstd(_));
        assert_eq!(has_fallen_back, is_zstd && !takes_zstd, "{codec:?}");
        running.stop().await;
        drop(child);
    }
}

/// The interpreter of a virtual environment with the packages.
fn python() -> PathBuf {
    let dir = place("interop-receivers");
    let python = dir.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir));
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet"]);
    run(install.args(["opentelemetry-proto", "grpcio", "aiohttp"]));
    python
}

fn script(python: &Path, name: &str, port: u16) -> Command {
    let mut command = Command::new(python);
    command.arg("-u").arg(source("python").join(name));
    command.arg(port.to_string()).stderr(Stdio::null());
    command
}

/// grpc-core refuses zstd with INTERNAL.
#[tokio::test]
async fn python_grpc_server() {
    if let Err(reason) = wanted("python3") {
        return println!("skipped: {reason}");
    }
    let python = python();
    check(Protocol::Grpc, false, |port| {
        script(&python, "receive_grpc.py", port)
    })
    .await;
}

/// aiohttp refuses zstd with 400 in plain text, where it has no decoder for it.
#[tokio::test]
async fn aiohttp_receiver() {
    if let Err(reason) = wanted("python3") {
        return println!("skipped: {reason}");
    }
    let python = python();
    let mut import = Command::new(&python);
    import.args(["-c", "import compression.zstd"]);
    let has_zstd = import.stderr(Stdio::null()).status().unwrap().success();
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        check(protocol, has_zstd, |port| {
            script(&python, "receive_aiohttp.py", port)
        })
        .await;
    }
}

/// The OpenTelemetry Collector takes all of it, over gRPC and over HTTP in protobuf and JSON.
#[tokio::test]
async fn opentelemetry_collector() {
    if let Err(reason) = wanted_by("go", "version") {
        return println!("skipped: {reason}");
    }
    let dir = place("interop-collector");
    for file in ["go.mod", "go.sum", "main.go"] {
        std::fs::copy(source("go_receiver").join(file), dir.join(file)).unwrap();
    }
    run(Command::new("go")
        .args(["build", "-o", "receiver", "."])
        .current_dir(&dir));
    for (protocol, word) in [
        (Protocol::Grpc, "grpc"),
        (Protocol::HttpProtobuf, "http"),
        (Protocol::HttpJson, "http"),
    ] {
        check(protocol, true, |port| {
            let config =
                format!("yaml:receivers::otlp::protocols::{word}::endpoint: 127.0.0.1:{port}");
            let pipelines = SIGNALS.map(|signal| {
                format!(
                    "yaml:service::pipelines::{signal}: {{receivers: [otlp], exporters: [print]}}"
                )
            });
            let mut command = Command::new(dir.join("receiver"));
            let quiet = "yaml:service::telemetry: {metrics: {level: none}, logs: {level: error}}";
            for part in [
                config,
                "yaml:exporters::print:".to_owned(),
                quiet.to_owned(),
            ]
            .iter()
            .chain(&pipelines)
            {
                command.args(["--config", part]);
            }
            command.stderr(Stdio::null());
            command
        })
        .await;
    }
}
