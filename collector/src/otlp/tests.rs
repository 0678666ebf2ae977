//! The walk against prost, on made and on damaged messages; the split against a decode.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    metrics::v1::metric::Data,
};
use proptest::prelude::*;
use prost::Message as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Signal, count_items, schema::*, split::put_varint, split_items};

/// What prost makes of it: the items, or `None` where it refuses.
fn prost_count(signal: Signal, body: &[u8]) -> Option<u64> {
    let count = match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(body)
            .ok()?
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .map(|scope| scope.spans.len())
            .sum::<usize>(),
        Signal::Logs => ExportLogsServiceRequest::decode(body)
            .ok()?
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs)
            .map(|scope| scope.log_records.len())
            .sum(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(body)
            .ok()?
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics)
            .map(|metric| match &metric.data {
                None => 0,
                Some(Data::Gauge(data)) => data.data_points.len(),
                Some(Data::Sum(data)) => data.data_points.len(),
                Some(Data::Histogram(data)) => data.data_points.len(),
                Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
                Some(Data::Summary(data)) => data.data_points.len(),
            })
            .sum(),
    };
    Some(count as u64)
}

fn check(signal: Signal, body: &[u8]) {
    assert_eq!(
        count_items(signal, body).ok(),
        prost_count(signal, body),
        "{signal} {body:02x?}"
    );
}

/// Writes fields of `message` at random: mostly as the schema wants them, sometimes not.
fn write(rng: &mut ChaCha8Rng, out: &mut Vec<u8>, message: &'static Message, depth: u32, odd: f64) {
    for _ in 0..rng.random_range(0..if depth < 6 { 6 } else { 2 }) {
        let tag = rng.random_range(1..message.fields.len() as u32 + 1);
        let mut kind = message.field(tag);
        if matches!(kind, Kind::Unknown) && !rng.random_bool(0.2) {
            continue;
        }
        if rng.random_bool(odd) {
            kind = [Kind::Varint, Kind::Fixed64, Kind::Fixed32, Kind::Blob][rng.random_range(0..4)];
        }
        let key = |out: &mut Vec<u8>, wire: u32| put_varint(out, u64::from(tag << 3 | wire));
        match kind {
            Kind::Varint | Kind::Varints if rng.random_bool(0.8) => {
                key(out, 0);
                let shift = rng.random_range(0..64);
                put_varint(out, rng.random::<u64>() >> shift);
            }
            Kind::Varint | Kind::Varints => {
                key(out, if matches!(kind, Kind::Varint) { 0 } else { 2 });
                if matches!(kind, Kind::Varints) {
                    let mut packed = Vec::new();
                    for _ in 0..rng.random_range(0..4) {
                        put_varint(&mut packed, rng.random());
                    }
                    put_varint(out, packed.len() as u64);
                    out.extend(packed);
                } else {
                    put_varint(out, 1);
                }
            }
            Kind::Fixed64 => {
                key(out, 1);
                out.extend(rng.random::<[u8; 8]>());
            }
            Kind::Fixed64s => {
                key(out, 2);
                let count = rng.random_range(0..4) * 8 + usize::from(rng.random_bool(odd));
                put_varint(out, count as u64);
                out.extend(std::iter::repeat_n(7, count));
            }
            Kind::Fixed32 => {
                key(out, 5);
                out.extend(rng.random::<[u8; 4]>());
            }
            Kind::Text | Kind::Blob => {
                key(out, 2);
                let text: &[u8] = if rng.random_bool(odd) {
                    b"\xff\xfe"
                } else {
                    "größe".as_bytes()
                };
                put_varint(out, text.len() as u64);
                out.extend(text);
            }
            Kind::Unknown => {
                key(out, 3);
                put_varint(out, 5 << 3);
                put_varint(out, 300);
                let end = if rng.random_bool(odd) { tag + 1 } else { tag };
                put_varint(out, u64::from(end << 3 | 4));
            }
            Kind::Message(inner)
            | Kind::Envelope(inner)
            | Kind::OneOf(inner)
            | Kind::Item(inner) => {
                let mut body = Vec::new();
                write(rng, &mut body, inner, depth + 1, odd);
                key(out, 2);
                put_varint(out, body.len() as u64);
                out.extend(body);
            }
        }
    }
}

/// Made messages are worth the test: most hold items.
#[test]
fn made_messages_hold_items() {
    for signal in Signal::ALL {
        let counts = (0..100).map(|seed| count_items(signal, &made(signal, seed, 0.0)).unwrap());
        assert!(counts.filter(|&count| count > 2).count() > 50, "{signal}");
    }
}

pub(super) fn made(signal: Signal, seed: u64, odd: f64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut body = Vec::new();
    for _ in 0..20 {
        write(&mut rng, &mut body, signal.request(), 0, odd);
    }
    body
}

pub(super) fn signals() -> impl Strategy<Value = Signal> {
    (0..3_usize).prop_map(|index| Signal::ALL[index])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_prost(signal in signals(), seed: u64) {
        let body = made(signal, seed, 0.0);
        prop_assert!(count_items(signal, &body).is_ok());
        check(signal, &body);
    }

    #[test]
    fn agrees_with_prost_on_odd_fields(signal in signals(), seed: u64) {
        check(signal, &made(signal, seed, 0.01));
    }

    #[test]
    fn agrees_with_prost_on_damage(
        signal in signals(),
        seed: u64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut body = made(signal, seed, 0.0);
        prop_assume!(!body.is_empty());
        for (index, byte) in flips {
            let at = index.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        check(signal, &body);
    }

    #[test]
    fn agrees_with_prost_on_noise(signal in signals(), body in prop::collection::vec(any::<u8>(), 0..40)) {
        check(signal, &body);
    }

    #[test]
    fn joined_requests_are_one_request(signal in signals(), seed: u64) {
        let (one, two) = (made(signal, seed, 0.0), made(signal, seed ^ 1, 0.0));
        let joined = [one.clone(), two.clone()].concat();
        let sum = count_items(signal, &one).unwrap() + count_items(signal, &two).unwrap();
        prop_assert_eq!(count_items(signal, &joined), Ok(sum));
    }

    #[test]
    fn halves_hold_all_items(signal in prop_oneof![Just(Signal::Traces), Just(Signal::Logs)], seed: u64, share in 0.0..1.0_f64) {
        let body = made(signal, seed, 0.0);
        let count = count_items(signal, &body).unwrap();
        let first = (count as f64 * share) as u64;
        let (left, right) = split_items(signal, &body, first).unwrap();
        prop_assert_eq!(count_items(signal, &left), Ok(first));
        prop_assert_eq!(count_items(signal, &right), Ok(count - first));
        prop_assert_eq!(items(signal, &left, &right), items(signal, &body, &[]));
    }
}

/// Each span with its resource and scope, in order.
fn items(signal: Signal, left: &[u8], right: &[u8]) -> Vec<String> {
    let mut items = Vec::new();
    for body in [left, right] {
        match signal {
            Signal::Traces => {
                for resource in ExportTraceServiceRequest::decode(body)
                    .unwrap()
                    .resource_spans
                {
                    for scope in resource.scope_spans {
                        for span in scope.spans {
                            items.push(format!(
                                "{:?} {:?} {span:?}",
                                resource.resource, scope.scope
                            ));
                        }
                    }
                }
            }
            _ => {
                for resource in ExportLogsServiceRequest::decode(body)
                    .unwrap()
                    .resource_logs
                {
                    for scope in resource.scope_logs {
                        for record in scope.log_records {
                            items.push(format!(
                                "{:?} {:?} {record:?}",
                                resource.resource, scope.scope
                            ));
                        }
                    }
                }
            }
        }
    }
    items
}

/// Arrays of arrays nest to prost's limit and not one deeper.
#[test]
fn depth_is_limited_as_in_prost() {
    for nested in 40..60 {
        let mut value = Vec::new();
        for _ in 0..nested {
            let mut array = vec![0x0a];
            put_varint(&mut array, value.len() as u64);
            array.extend(&value);
            value = vec![0x2a];
            put_varint(&mut value, array.len() as u64);
            value.extend(&array);
        }
        // resource_logs.scope_logs.log_records.body
        for key in [0x2a, 0x12, 0x12, 0x0a] {
            let mut outer = vec![key];
            put_varint(&mut outer, value.len() as u64);
            outer.extend(&value);
            value = outer;
        }
        check(Signal::Logs, &value);
    }
}

/// A metric whose kind is set twice holds the last one's points only; the same kind twice is merged.
#[test]
fn later_member_of_a_oneof_discards_the_earlier() {
    let point = [0x0a, 0x00];
    let gauge = [&[0x2a, 4][..], &point, &point].concat();
    let sum = [&[0x3a, 2][..], &point].concat();
    for (parts, expect) in [
        (vec![&gauge, &sum], 1),
        (vec![&sum, &gauge], 2),
        (vec![&gauge, &gauge], 4),
        (vec![&gauge, &sum, &gauge], 2),
    ] {
        let mut body: Vec<u8> = parts.into_iter().flatten().copied().collect();
        for key in [0x12, 0x12, 0x0a] {
            let mut outer = vec![key, body.len() as u8];
            outer.extend(&body);
            body = outer;
        }
        assert_eq!(count_items(Signal::Metrics, &body), Ok(expect));
        check(Signal::Metrics, &body);
    }
}

/// A deterministic fuzzer: made requests with one to three seeded mutations, each held against prost.
///
/// `BACKROOM_FUZZ_ROUNDS` makes it longer than the few seconds of the gate.
#[test]
fn agrees_with_prost_on_mutations() {
    let rounds = std::env::var("BACKROOM_FUZZ_ROUNDS").map_or(2000, |text| text.parse().unwrap());
    let mut verdicts = [0_u64; 2];
    for round in 0..rounds {
        let signal = Signal::ALL[(round % 3) as usize];
        let mut rng = ChaCha8Rng::seed_from_u64(round);
        let whole = made(signal, round, 0.0);
        for step in 0..8 {
            let mut body = whole.clone();
            for _ in 0..=step / 3 {
                mutate(&mut rng, &mut body);
            }
            check(signal, &body);
            verdicts[usize::from(count_items(signal, &body).is_ok())] += 1;
        }
    }
    // Neither verdict is given nearly always, or the loop would show nothing.
    let [refused, taken] = verdicts;
    assert!(refused > rounds && taken > rounds / 2, "{verdicts:?}");
}

/// Changes a few bytes as damage and attackers do.
fn mutate(rng: &mut ChaCha8Rng, body: &mut Vec<u8>) {
    if body.is_empty() {
        body.push(rng.random());
        return;
    }
    let at = rng.random_range(0..body.len());
    let end = (at + rng.random_range(0..24)).min(body.len());
    match rng.random_range(0..7) {
        // A bit; a byte that means something in a key, a length or a text; a byte more or less.
        0 => body[at] ^= 1 << rng.random_range(0..8),
        1 => body[at] = [0x00, 0x7f, 0x80, 0xff, 0x0a, 0x0b, 0x0c, 0xc0][rng.random_range(0..8)],
        2 => body.insert(at, rng.random()),
        3 => drop(body.remove(at)),
        // A piece again, a piece less, the rest gone.
        4 => {
            let piece = body[at..end].to_vec();
            let to = rng.random_range(0..=body.len());
            body.splice(to..to, piece);
        }
        5 => drop(body.drain(at..end)),
        _ => body.truncate(at.max(body.len() / 2)),
    }
}

/// One request of each signal with something in every field that applications use.
pub(super) fn rich() -> (
    ExportTraceServiceRequest,
    ExportMetricsServiceRequest,
    ExportLogsServiceRequest,
) {
    use opentelemetry_proto::tonic::{
        common::v1::*, logs::v1::*, metrics::v1::*, resource::v1::*, trace::v1::*,
    };
    let any = |value| AnyValue { value: Some(value) };
    let attribute = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    };
    let attributes = vec![
        attribute(
            "text",
            any_value::Value::StringValue("größe \"1\"".to_owned()),
        ),
        attribute("bool", any_value::Value::BoolValue(true)),
        attribute("int", any_value::Value::IntValue(-5)),
        attribute("double", any_value::Value::DoubleValue(0.1)),
        attribute("bytes", any_value::Value::BytesValue(vec![0, 255, 7, 8])),
        attribute(
            "array",
            any_value::Value::ArrayValue(ArrayValue {
                values: vec![any(any_value::Value::IntValue(1 << 60))],
            }),
        ),
        attribute(
            "list",
            any_value::Value::KvlistValue(KeyValueList {
                values: vec![attribute(
                    "inner",
                    any_value::Value::StringValue(String::new()),
                )],
            }),
        ),
    ];
    let resource = Some(Resource {
        attributes: attributes.clone(),
        dropped_attributes_count: 1,
        ..Resource::default()
    });
    let scope = Some(InstrumentationScope {
        name: "scope".to_owned(),
        version: "1.2".to_owned(),
        attributes: attributes.clone(),
        dropped_attributes_count: 2,
    });
    let schema_url = "https://example/schema".to_owned();
    let (trace_id, span_id) = ((0..16).collect::<Vec<u8>>(), vec![0xab; 8]);
    let traces = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource.clone(),
            scope_spans: vec![ScopeSpans {
                scope: scope.clone(),
                spans: vec![Span {
                    trace_id: trace_id.clone(),
                    span_id: span_id.clone(),
                    trace_state: "a=b".to_owned(),
                    parent_span_id: vec![1; 8],
                    flags: 0x101,
                    name: "sale".to_owned(),
                    kind: 2,
                    start_time_unix_nano: 1_700_000_000_000_000_001,
                    end_time_unix_nano: u64::MAX,
                    attributes: attributes.clone(),
                    dropped_attributes_count: 3,
                    events: vec![span::Event {
                        time_unix_nano: 5,
                        name: "printed".to_owned(),
                        attributes: attributes.clone(),
                        dropped_attributes_count: 4,
                    }],
                    dropped_events_count: 5,
                    links: vec![span::Link {
                        trace_id: trace_id.clone(),
                        span_id: span_id.clone(),
                        trace_state: "c=d".to_owned(),
                        attributes: attributes.clone(),
                        dropped_attributes_count: 6,
                        flags: 7,
                    }],
                    dropped_links_count: 8,
                    status: Some(Status {
                        message: "no paper".to_owned(),
                        code: 2,
                    }),
                }],
                schema_url: schema_url.clone(),
            }],
            schema_url: schema_url.clone(),
        }],
    };
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource.clone(),
            scope_logs: vec![ScopeLogs {
                scope: scope.clone(),
                log_records: vec![LogRecord {
                    time_unix_nano: 1,
                    observed_time_unix_nano: 2,
                    severity_number: 17,
                    severity_text: "ERROR".to_owned(),
                    body: Some(any(any_value::Value::StringValue("till open".to_owned()))),
                    attributes: attributes.clone(),
                    dropped_attributes_count: 3,
                    flags: 1,
                    trace_id: trace_id.clone(),
                    span_id: span_id.clone(),
                    event_name: "open".to_owned(),
                }],
                schema_url: schema_url.clone(),
            }],
            schema_url: schema_url.clone(),
        }],
    };
    let exemplar = |value| Exemplar {
        filtered_attributes: attributes.clone(),
        time_unix_nano: 9,
        span_id: span_id.clone(),
        trace_id: trace_id.clone(),
        value: Some(value),
    };
    let number = |value| NumberDataPoint {
        attributes: attributes.clone(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: vec![
            exemplar(exemplar::Value::AsDouble(2.5)),
            exemplar(exemplar::Value::AsInt(-2)),
        ],
        flags: 1,
        value: Some(value),
    };
    let buckets = |offset| exponential_histogram_data_point::Buckets {
        offset,
        bucket_counts: vec![1, 0, u64::MAX],
    };
    let metric = |name: &str, data| Metric {
        name: name.to_owned(),
        description: "of the till".to_owned(),
        unit: "1".to_owned(),
        metadata: attributes.clone(),
        data: Some(data),
    };
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource,
            scope_metrics: vec![ScopeMetrics {
                scope,
                metrics: vec![
                    metric(
                        "gauge",
                        Data::Gauge(Gauge {
                            data_points: vec![number(number_data_point::Value::AsDouble(0.0))],
                        }),
                    ),
                    metric(
                        "sum",
                        Data::Sum(Sum {
                            data_points: vec![number(number_data_point::Value::AsInt(-7))],
                            aggregation_temporality: 2,
                            is_monotonic: true,
                        }),
                    ),
                    metric(
                        "histogram",
                        Data::Histogram(Histogram {
                            data_points: vec![HistogramDataPoint {
                                attributes: attributes.clone(),
                                start_time_unix_nano: 1,
                                time_unix_nano: 2,
                                count: 3,
                                sum: Some(0.0),
                                bucket_counts: vec![1, 2],
                                explicit_bounds: vec![0.5],
                                exemplars: vec![exemplar(exemplar::Value::AsDouble(0.0))],
                                flags: 0,
                                min: Some(-1.0),
                                max: None,
                            }],
                            aggregation_temporality: 1,
                        }),
                    ),
                    metric(
                        "exponential",
                        Data::ExponentialHistogram(ExponentialHistogram {
                            data_points: vec![ExponentialHistogramDataPoint {
                                attributes: attributes.clone(),
                                start_time_unix_nano: 1,
                                time_unix_nano: 2,
                                count: 3,
                                sum: Some(4.0),
                                scale: -3,
                                zero_count: 5,
                                positive: Some(buckets(-2)),
                                negative: Some(buckets(2)),
                                flags: 1,
                                exemplars: Vec::new(),
                                min: None,
                                max: Some(9.0),
                                zero_threshold: 0.25,
                            }],
                            aggregation_temporality: 1,
                        }),
                    ),
                    metric(
                        "summary",
                        Data::Summary(Summary {
                            data_points: vec![SummaryDataPoint {
                                attributes: attributes.clone(),
                                start_time_unix_nano: 1,
                                time_unix_nano: 2,
                                count: 3,
                                sum: 4.0,
                                quantile_values: vec![summary_data_point::ValueAtQuantile {
                                    quantile: 0.5,
                                    value: 1.0,
                                }],
                                flags: 0,
                            }],
                        }),
                    ),
                ],
                schema_url: schema_url.clone(),
            }],
            schema_url,
        }],
    };
    (traces, metrics, logs)
}
