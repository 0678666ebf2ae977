//! A measured load against a running collector: OTLP protobuf over HTTP or gRPC, 8 connections, 100 spans of about 430 bytes a
//! request.
//!
//! ```text
//! cargo run --release -p backroom-collector --example otlp_load -- 127.0.0.1:4318 20 [PID]
//! cargo run --release -p backroom-collector --example otlp_load -- --grpc 127.0.0.1:4317 20 [PID]
//! ```
//! sends for 20 seconds and prints items a second and the latency of the ack. With the collector's process id it also prints
//! that process's CPU time for a million items, and its peak memory. `--sink 127.0.0.1:4320` listens there too, for a collector
//! whose `endpoint` it is: then what is measured is the way in and out. The load itself should have a core of its own: its
//! requests are encoded beforehand.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures real time with real threads, outside any simulated world"
)]

mod grpc;
mod sink;

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CONNECTIONS: u64 = 8;
const SPANS: u64 = 100;

/// Different requests of one connection, sent in turn: a buffer of copies would compress too well.
const VARIANTS: u64 = 64;

fn main() -> io::Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    let (address, seconds, process) = (options.address, options.seconds, options.process);
    if let Some(address) = &options.sink {
        sink::listen(address)?;
    }
    let send = if options.is_grpc { grpc::send } else { send };

    let bodies: Vec<Vec<Vec<u8>>> = (0..CONNECTIONS)
        .map(|lane| {
            (0..VARIANTS)
                .map(|n| request(lane * VARIANTS + n))
                .collect()
        })
        .collect();
    let bytes = bodies[0][0].len();
    println!(
        "{}, {CONNECTIONS} connections, {SPANS} spans of {} bytes a request, {seconds} s",
        if options.is_grpc { "gRPC" } else { "HTTP" },
        bytes as u64 / SPANS
    );
    let cpu_before = process.and_then(cpu_seconds);
    let end = Instant::now() + Duration::from_secs(seconds);
    let start = Instant::now();
    let threads: Vec<_> = bodies
        .into_iter()
        .map(|bodies| {
            let address = address.clone();
            std::thread::spawn(move || send(&address, &bodies, end))
        })
        .collect();
    let mut latencies = Vec::new();
    let mut refused = 0;
    for thread in threads {
        let (taken, not_taken) = thread
            .join()
            .map_err(|_| io::Error::other("a sender died"))??;
        latencies.extend(taken);
        refused += not_taken;
    }
    let elapsed = start.elapsed().as_secs_f64();
    latencies.sort();
    let items = latencies.len() as u64 * SPANS;
    let quantile = |q: f64| {
        let index = ((latencies.len() as f64 * q) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    };
    println!("items/s           {:.0}", items as f64 / elapsed);
    println!(
        "MB/s              {:.1}",
        (latencies.len() * bytes) as f64 / elapsed / 1e6
    );
    println!("ack p50           {:.2} ms", quantile(0.5));
    println!("ack p99           {:.2} ms", quantile(0.99));
    println!("ack max           {:.2} ms", quantile(1.0));
    println!("refused requests  {refused}");
    if let (Some(process), Some(before)) = (process, cpu_before) {
        let used = cpu_seconds(process).unwrap_or(before) - before;
        println!("CPU-s/million     {:.2}", used / items as f64 * 1e6);
        println!(
            "peak RSS          {} MB",
            peak_kilobytes(process).unwrap_or(0) / 1024
        );
    }
    Ok(())
}

/// The command line.
struct Options {
    is_grpc: bool,
    sink: Option<String>,
    address: String,
    seconds: u64,
    process: Option<u32>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        let (mut is_grpc, mut sink, mut rest) = (false, None, Vec::new());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--grpc" => is_grpc = true,
                "--sink" => {
                    let address = arguments.next();
                    sink = Some(address.ok_or_else(|| wrong("--sink needs an address"))?);
                }
                option if option.starts_with('-') => {
                    return Err(wrong(&format!("unknown option {option}")));
                }
                _ => rest.push(argument),
            }
        }
        let mut rest = rest.into_iter();
        let port = if is_grpc { 4317 } else { 4318 };
        let address = rest.next().unwrap_or(format!("127.0.0.1:{port}"));
        let seconds = rest.next().map_or(Ok(10), |text| text.parse());
        let process = rest.next().map(|text| text.parse()).transpose();
        Ok(Self {
            is_grpc,
            sink,
            address,
            seconds: seconds.map_err(|_| wrong("seconds must be a number"))?,
            process: process.map_err(|_| wrong("the process id must be a number"))?,
        })
    }
}

/// Sends request after request until `end`; returns the latencies of those taken, and how many were not.
fn send(address: &str, bodies: &[Vec<u8>], end: Instant) -> io::Result<(Vec<Duration>, u64)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut latencies, mut refused) = (Vec::new(), 0);
    let mut message = Vec::new();
    for body in bodies.iter().cycle() {
        let before = Instant::now();
        if before >= end {
            break;
        }
        message.clear();
        write!(
            message,
            "POST /v1/traces HTTP/1.1\r\nhost: store\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        message.extend_from_slice(body);
        stream.write_all(&message)?;
        if read_answer(&mut stream)? {
            latencies.push(before.elapsed());
        } else {
            refused += 1;
        }
    }
    Ok((latencies, refused))
}

/// Reads one answer; true if it is 200.
fn read_answer(stream: &mut TcpStream) -> io::Result<bool> {
    let mut data = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        data.extend_from_slice(&chunk[..count]);
        let Some(head) = data.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&data[..head]).to_ascii_lowercase();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        if data.len() >= head + 4 + length {
            return Ok(text.starts_with("http/1.1 200"));
        }
    }
}

/// Store-like spans: few names and routes, numbers that change, ids that do not repeat.
fn request(seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let text = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    };
    let number = |key: &str, value: i64| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(value)),
        }),
        ..KeyValue::default()
    };
    let mut time = 1_763_000_000_000_000_000 + seed * 1_000_000_000;
    let spans = (0..SPANS)
        .map(|_| {
            time += rng.random_range(1..20_000_000);
            let order: u32 = rng.random_range(0..1_000_000);
            let name = [
                "POST /orders",
                "print receipt",
                "route ticket",
                "authorise payment",
            ][rng.random_range(0..4)];
            Span {
                trace_id: rng.random::<[u8; 16]>().to_vec(),
                span_id: rng.random::<[u8; 8]>().to_vec(),
                parent_span_id: rng.random::<[u8; 8]>().to_vec(),
                name: name.to_owned(),
                kind: 2,
                start_time_unix_nano: time,
                end_time_unix_nano: time + rng.random_range(100_000..900_000_000),
                attributes: vec![
                    text("http.request.method", "POST".to_owned()),
                    text("url.path", format!("/orders/{order}/items")),
                    text("server.address", "pos-2.store-0412.internal".to_owned()),
                    number("http.response.status_code", 200),
                    text("order.id", format!("0412-{order:08}")),
                    text("kiosk.id", format!("kiosk-{}", rng.random_range(1..7))),
                    number("order.lines", rng.random_range(1..9)),
                    text("menu.version", "2025-11-14.3".to_owned()),
                    text("payment.method", "contactless".to_owned()),
                    text("deployment.environment", "production".to_owned()),
                    number("customer.wait_ms", rng.random_range(0..90_000)),
                ],
                ..Span::default()
            }
        })
        .collect();
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "pos".to_owned()),
                    text("service.instance.id", "pos-2".to_owned()),
                    text("store.id", "0412".to_owned()),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "pos.orders".to_owned(),
                    version: "4.2.0".to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec()
}

/// User and system time of a process, in seconds.
fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold spaces; fields are counted after its closing bracket.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    // USER_HZ is 100 on every Linux architecture that matters.
    Some(ticks / 100.0)
}

fn peak_kilobytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
