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

fn made(signal: Signal, seed: u64, odd: f64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut body = Vec::new();
    for _ in 0..20 {
        write(&mut rng, &mut body, signal.request(), 0, odd);
    }
    body
}

fn signals() -> impl Strategy<Value = Signal> {
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
