//! Sends numbered items of all three signals with the stock SDK: interop grpc|http URL gzip|none FIRST COUNT
//!
//! A span is named by its number, a log record has it as its body, and a counter has a point for each number N, of value
//! N + 1.

use opentelemetry::{
    KeyValue,
    logs::{LogRecord, Logger, LoggerProvider},
    metrics::MeterProvider,
    trace::{Span, Tracer, TracerProvider},
};
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource, logs::SdkLoggerProvider, metrics::SdkMeterProvider, trace::SdkTracerProvider,
};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, url, compression, first, count] = arguments.as_slice() else {
        return Err("usage: interop grpc|http URL gzip|none FIRST COUNT".into());
    };
    let (first, count): (i64, i64) = (first.parse()?, count.parse()?);
    // tonic wants a runtime; the processors have threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let is_zipped = compression == "gzip";
    let (spans, logs, points) = if protocol == "grpc" {
        macro_rules! exporter {
            ($kind:ident) => {{
                let mut builder = $kind::builder().with_tonic().with_endpoint(url);
                if is_zipped {
                    builder = builder.with_compression(Compression::Gzip);
                }
                builder.build()?
            }};
        }
        (
            exporter!(SpanExporter),
            exporter!(LogExporter),
            exporter!(MetricExporter),
        )
    } else {
        macro_rules! exporter {
            ($kind:ident, $path:literal) => {{
                let mut builder = $kind::builder()
                    .with_http()
                    .with_protocol(Protocol::HttpBinary)
                    .with_endpoint(format!("{url}{}", $path));
                if is_zipped {
                    builder = builder.with_compression(Compression::Gzip);
                }
                builder.build()?
            }};
        }
        (
            exporter!(SpanExporter, "/v1/traces"),
            exporter!(LogExporter, "/v1/logs"),
            exporter!(MetricExporter, "/v1/metrics"),
        )
    };
    drop(entered);
    let resource = Resource::builder().with_service_name("rust-pos").build();

    let tracers = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_batch_exporter(spans)
        .build();
    for number in first..first + count {
        tracers.tracer("interop").start(number.to_string()).end();
    }
    tracers.force_flush()?;

    let loggers = SdkLoggerProvider::builder()
        .with_resource(resource.clone())
        .with_batch_exporter(logs)
        .build();
    for number in first..first + count {
        let logger = loggers.logger("interop");
        let mut record = logger.create_log_record();
        record.set_body(number.to_string().into());
        logger.emit(record);
    }
    loggers.force_flush()?;

    let meters = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_periodic_exporter(points)
        .build();
    let counter = meters.meter("interop").u64_counter("orders").build();
    for number in first..first + count {
        counter.add(number as u64 + 1, &[KeyValue::new("number", number)]);
    }
    meters.force_flush()?;
    println!("sent");
    // A shutdown would export the counter again.
    std::process::exit(0)
}
