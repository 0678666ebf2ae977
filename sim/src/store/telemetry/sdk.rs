//! A machine's own spans, logs and metrics, made with the OpenTelemetry SDK and nothing of it that is not reproducible.
//!
//! The stock batch processors start threads, ids come from a thread-local generator, timestamps from the system clock, and
//! data points come in hash order. So: processors of ours that only keep what is finished, an id generator with a seed
//! whose span ids are item ids, timestamps from the machine's clock, metrics by a manual reader with points sorted.
//! When and how it is sent is decided in `telemetry` itself.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, SpanId, TraceId,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
    metrics::{Counter, Histogram, Meter, MeterProvider as _},
    trace::{
        Span as _, SpanContext, SpanKind, TraceContextExt as _, TraceFlags, TraceState,
        Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1 as common,
    logs::v1 as logs,
    metrics::v1::metric::Data,
    resource::v1::Resource,
    trace::v1 as trace,
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider},
    metrics::{
        InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality,
        data::ResourceMetrics, reader::MetricReader,
    },
    trace::{IdGenerator, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use prost::Message as _;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::{
    TraceParent,
    items::{ATTRIBUTE, ItemId, Runs},
};
use crate::event::MachineId;

/// Finished spans, and as many log records, that wait for the next export; further ones are not made.
const PENDING_MAX: usize = 4096;

/// Gives out sequence numbers: `boot << 32 | count`.
#[derive(Debug)]
pub(super) struct Items {
    machine: MachineId,
    next: AtomicU64,
}

impl Items {
    pub(super) fn new(machine: MachineId, boot: u16) -> Self {
        Self {
            machine,
            next: AtomicU64::new(u64::from(boot) << 32 | 1),
        }
    }

    /// Reserves `count` numbers; the id is the first of them.
    pub(super) fn reserve(&self, count: u64) -> ItemId {
        ItemId {
            machine: self.machine,
            seq: self.next.fetch_add(count, Ordering::Relaxed),
        }
    }
}

#[derive(Debug, Default)]
struct Pending {
    spans: Vec<SpanData>,
    logs: Vec<SdkLogRecord>,
}

type Shared = Arc<Mutex<Pending>>;

fn lock(pending: &Shared) -> std::sync::MutexGuard<'_, Pending> {
    pending.lock().expect("nobody panics while holding it")
}

/// Keeps finished spans and emitted log records until they are asked for.
#[derive(Clone, Debug)]
struct Keep(Shared);

impl SpanProcessor for Keep {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut pending = lock(&self.0);
        if pending.spans.len() < PENDING_MAX {
            pending.spans.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl LogProcessor for Keep {
    fn emit(&self, record: &mut SdkLogRecord, _scope: &InstrumentationScope) {
        let mut pending = lock(&self.0);
        if pending.logs.len() < PENDING_MAX {
            pending.logs.push(record.clone());
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Trace ids from a seed; span ids are item ids.
#[derive(Debug)]
struct Ids {
    rng: Mutex<ChaCha8Rng>,
    items: Arc<Items>,
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let mut rng = self.rng.lock().expect("nobody panics while holding it");
        TraceId::from(rng.random::<u128>() | 1)
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from_bytes(self.items.reserve(1).span_id())
    }
}

/// The manual reader, shared with the provider that owns its reader.
#[derive(Clone, Debug)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: std::sync::Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, rm: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(rm)
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

#[derive(Default)]
struct Instruments {
    counters: BTreeMap<&'static str, Counter<u64>>,
    histograms: BTreeMap<&'static str, Histogram<f64>>,
}

/// One machine's SDK.
pub(super) struct Sdk {
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    started: Duration,
    items: Arc<Items>,
    pending: Shared,
    resource: Resource,
    tracer: SdkTracer,
    logger: SdkLogger,
    meter: Meter,
    instruments: Mutex<Instruments>,
    reader: Reader,
    _providers: (SdkTracerProvider, SdkLoggerProvider, SdkMeterProvider),
}

impl fmt::Debug for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sdk")
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

/// Own records of one signal, encoded as a request, and the ids in it.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) body: Vec<u8>,
    pub(super) runs: Runs,
}

impl Sdk {
    pub(super) fn new(
        scope: &'static str,
        resource: Resource,
        items: Arc<Items>,
        rng: ChaCha8Rng,
        clock: Box<dyn Fn() -> Duration + Send + Sync>,
    ) -> Self {
        let pending = Shared::default();
        // The resource that is sent is ours: the SDK's lists its attributes in hash order.
        let empty = || opentelemetry_sdk::Resource::builder_empty().build();
        let traces = SdkTracerProvider::builder()
            .with_resource(empty())
            .with_sampler(Sampler::AlwaysOn)
            .with_id_generator(Ids {
                rng: Mutex::new(rng),
                items: Arc::clone(&items),
            })
            .with_span_processor(Keep(Arc::clone(&pending)))
            .build();
        let logs = SdkLoggerProvider::builder()
            .with_resource(empty())
            .with_log_processor(Keep(Arc::clone(&pending)))
            .build();
        let reader = Reader(Arc::new(ManualReader::builder().build()));
        let metrics = SdkMeterProvider::builder()
            .with_resource(empty())
            .with_reader(reader.clone())
            .build();
        Self {
            started: clock(),
            clock,
            items,
            pending,
            resource,
            tracer: traces.tracer(scope),
            logger: logs.logger(scope),
            meter: metrics.meter(scope),
            instruments: Mutex::default(),
            reader,
            _providers: (traces, logs, metrics),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + (self.clock)()
    }

    pub(super) fn span(
        &self,
        name: &'static str,
        kind: SpanKind,
        parent: Option<TraceParent>,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(SpanContext::new(
                TraceId::from_bytes(parent.trace),
                SpanId::from_bytes(parent.span),
                TraceFlags::SAMPLED,
                true,
                TraceState::NONE,
            )),
            None => Context::new(),
        };
        self.tracer
            .span_builder(name)
            .with_kind(kind)
            .with_start_time(self.now())
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &context)
    }

    pub(super) fn log(&self, event: &'static str, body: String, attributes: Vec<KeyValue>) {
        let mut record = self.logger.create_log_record();
        let now = self.now();
        record.set_event_name(event);
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.set_severity_number(Severity::Info);
        record.set_severity_text("INFO");
        record.set_body(AnyValue::from(body));
        for pair in attributes {
            record.add_attribute(pair.key, AnyValue::from(pair.value.to_string()));
        }
        self.logger.emit(record);
    }

    pub(super) fn count(&self, name: &'static str, by: u64) {
        let mut instruments = self
            .instruments
            .lock()
            .expect("nobody panics while holding it");
        instruments
            .counters
            .entry(name)
            .or_insert_with(|| self.meter.u64_counter(name).build())
            .add(by, &[]);
    }

    pub(super) fn time(&self, name: &'static str, took: Duration) {
        let mut instruments = self
            .instruments
            .lock()
            .expect("nobody panics while holding it");
        instruments
            .histograms
            .entry(name)
            .or_insert_with(|| {
                self.meter
                    .f64_histogram(name)
                    .with_unit("s")
                    .with_boundaries(vec![0.005, 0.025, 0.1, 0.5, 1.0, 5.0])
                    .build()
            })
            .record(took.as_secs_f64(), &[]);
    }

    fn scope(&self) -> common::InstrumentationScope {
        common::InstrumentationScope {
            name: "backroom.store".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        }
    }

    /// Spans that ended since the last call.
    pub(super) fn traces(&self) -> Own {
        let mut finished = std::mem::take(&mut lock(&self.pending).spans);
        let mut own = Own::default();
        if finished.is_empty() {
            return own;
        }
        // Numbers were given at the start of a span, it is listed by its end: sorted, they make few runs.
        finished.sort_by_key(|span| span.span_context.span_id().to_bytes());
        let spans: Vec<trace::Span> = finished.into_iter().map(trace::Span::from).collect();
        for span in &spans {
            if let Some(id) = id_of(&span.span_id) {
                own.runs.push(id);
            }
        }
        let request = ExportTraceServiceRequest {
            resource_spans: vec![trace::ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![trace::ScopeSpans {
                    scope: Some(self.scope()),
                    spans,
                    ..Default::default()
                }],
                ..Default::default()
            }],
        };
        own.body = request.encode_to_vec();
        own
    }

    /// Log records that were emitted since the last call.
    pub(super) fn logs(&self) -> Own {
        let emitted = std::mem::take(&mut lock(&self.pending).logs);
        let mut own = Own::default();
        if emitted.is_empty() {
            return own;
        }
        let mut log_records: Vec<logs::LogRecord> =
            emitted.iter().map(logs::LogRecord::from).collect();
        let mut id = self.items.reserve(log_records.len() as u64);
        for record in &mut log_records {
            record.span_id = id.span_id().to_vec();
            own.runs.push(id);
            id.seq += 1;
        }
        let request = ExportLogsServiceRequest {
            resource_logs: vec![logs::ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![logs::ScopeLogs {
                    scope: Some(self.scope()),
                    log_records,
                    ..Default::default()
                }],
                ..Default::default()
            }],
        };
        own.body = request.encode_to_vec();
        own
    }

    /// All metrics as they stand; cumulative.
    pub(super) fn metrics(&self) -> Own {
        let mut own = Own::default();
        let mut collected = ResourceMetrics::default();
        if self.reader.collect(&mut collected).is_err() {
            return own;
        }
        let mut request = ExportMetricsServiceRequest::from(&collected);
        let Some(resource) = request.resource_metrics.first_mut() else {
            return own;
        };
        if resource.scope_metrics.is_empty() {
            return own;
        }
        resource.resource = Some(self.resource.clone());
        let clock = Clock {
            start: nanos(self.started),
            now: nanos((self.clock)()),
        };
        for scope in &mut resource.scope_metrics {
            scope.metrics.sort_by(|a, b| a.name.cmp(&b.name));
            for metric in &mut scope.metrics {
                if let Some(data) = &mut metric.data {
                    stamp(data, clock, &self.items, &mut own.runs);
                }
            }
        }
        own.body = request.encode_to_vec();
        own
    }
}

#[derive(Clone, Copy)]
struct Clock {
    start: u64,
    now: u64,
}

pub(super) fn nanos(unix: Duration) -> u64 {
    u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX)
}

/// Puts the points of one metric in order, gives them ids, and overwrites the SDK's timestamps.
fn stamp(data: &mut Data, clock: Clock, items: &Items, runs: &mut Runs) {
    macro_rules! stamp {
        ($points:expr) => {{
            $points.sort_by(|a, b| key(&a.attributes).cmp(&key(&b.attributes)));
            for point in &mut $points {
                let id = items.reserve(1);
                runs.push(id);
                point.attributes.insert(0, item_attribute(id));
                point.start_time_unix_nano = clock.start;
                point.time_unix_nano = clock.now;
            }
        }};
    }
    match data {
        Data::Gauge(gauge) => stamp!(gauge.data_points),
        Data::Sum(sum) => stamp!(sum.data_points),
        Data::Histogram(histogram) => stamp!(histogram.data_points),
        Data::ExponentialHistogram(histogram) => stamp!(histogram.data_points),
        Data::Summary(summary) => stamp!(summary.data_points),
    }
}

fn key(attributes: &[common::KeyValue]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for pair in attributes {
        bytes.extend(pair.encode_to_vec());
    }
    bytes
}

/// The attribute that carries a data point's id.
pub(super) fn item_attribute(id: ItemId) -> common::KeyValue {
    common::KeyValue {
        key: ATTRIBUTE.to_owned(),
        value: Some(common::AnyValue {
            value: Some(common::any_value::Value::IntValue(id.attribute())),
        }),
        ..Default::default()
    }
}

fn id_of(span_id: &[u8]) -> Option<ItemId> {
    let bits = u64::from_be_bytes(span_id.try_into().ok()?);
    Some(ItemId {
        machine: MachineId((bits >> 48) as u16),
        seq: bits & ((1 << 48) - 1),
    })
}

/// A span that has not ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) span: Span,
    pub(super) sdk: Arc<Sdk>,
}

impl Open {
    pub(super) fn parent(&self) -> TraceParent {
        let context = self.span.span_context();
        TraceParent {
            trace: context.trace_id().to_bytes(),
            span: context.span_id().to_bytes(),
        }
    }

    pub(super) fn end(mut self) {
        let now = self.sdk.now();
        self.span.end_with_timestamp(now);
    }
}
