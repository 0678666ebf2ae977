//! The sorting against a decode: nothing is lost or made, and each item is where a plain reading of the rules wants it.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::metric::Data,
    resource::v1::Resource,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::otlp::{
    AttributeTest, Pattern, count_items,
    tests::{made, signals},
};

/// An item with all that is around it, and its class.
type Flat = (String, usize);

fn takes(patterns: &[Pattern], value: Option<&Value>) -> bool {
    patterns.iter().any(|pattern| match (pattern, value) {
        (Pattern::Text(text), Some(Value::StringValue(value))) => value == text,
        (Pattern::Prefix(prefix), Some(Value::StringValue(value))) => value.starts_with(prefix),
        (Pattern::Integer(number), Some(Value::IntValue(value))) => value == number,
        (Pattern::Bool(flag), Some(Value::BoolValue(value))) => value == flag,
        _ => false,
    })
}

fn has_all(tests: &[AttributeTest], attributes: &[KeyValue]) -> bool {
    tests.iter().all(|test| {
        let mut named = attributes.iter().filter(|a| a.key == test.key);
        named.any(|a| {
            let value = a.value.as_ref().and_then(|v| v.value.as_ref());
            takes(&test.one_of, value)
        })
    })
}

fn class_of(
    classes: &[&[Rule]],
    resource: Option<&Resource>,
    attributes: &[KeyValue],
    severity: i32,
) -> usize {
    let of_resource = resource.map_or(&[][..], |r| &r.attributes);
    let takes = |rule: &Rule| {
        rule.severity_min
            .is_none_or(|least| severity >= i32::from(least))
            && has_all(&rule.resource, of_resource)
            && has_all(&rule.attributes, attributes)
    };
    let class = classes.iter().position(|rules| rules.iter().any(takes));
    class.unwrap_or(classes.len())
}

/// What a receiver makes of a request.
fn flat(signal: Signal, body: &[u8], classes: &[&[Rule]]) -> Vec<Flat> {
    let mut items = Vec::new();
    match signal {
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            for r in request.resource_spans {
                for s in r.scope_spans {
                    for item in s.spans {
                        let class = class_of(classes, r.resource.as_ref(), &item.attributes, 0);
                        let around = (&r.resource, &r.schema_url, &s.scope, &s.schema_url);
                        items.push((format!("{around:?} {item:?}"), class));
                    }
                }
            }
        }
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(body).unwrap();
            for r in request.resource_logs {
                for s in r.scope_logs {
                    for item in s.log_records {
                        let (attributes, severity) = (&item.attributes, item.severity_number);
                        let class = class_of(classes, r.resource.as_ref(), attributes, severity);
                        let around = (&r.resource, &r.schema_url, &s.scope, &s.schema_url);
                        items.push((format!("{around:?} {item:?}"), class));
                    }
                }
            }
        }
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(body).unwrap();
            for r in request.resource_metrics {
                for s in r.scope_metrics {
                    let around = (&r.resource, &r.schema_url, &s.scope, &s.schema_url);
                    for mut metric in s.metrics {
                        let mut points: Vec<(String, Vec<KeyValue>)> = Vec::new();
                        macro_rules! take {
                            ($data:expr) => {
                                for point in std::mem::take(&mut $data.data_points) {
                                    points.push((format!("{point:?}"), point.attributes.clone()));
                                }
                            };
                        }
                        match &mut metric.data {
                            Some(Data::Gauge(data)) => take!(data),
                            Some(Data::Sum(data)) => take!(data),
                            Some(Data::Histogram(data)) => take!(data),
                            Some(Data::ExponentialHistogram(data)) => take!(data),
                            Some(Data::Summary(data)) => take!(data),
                            None => {}
                        }
                        for (point, attributes) in points {
                            let class = class_of(classes, r.resource.as_ref(), &attributes, 0);
                            items.push((format!("{around:?} {metric:?} {point}"), class));
                        }
                    }
                }
            }
        }
    }
    items
}

/// Sorts, and compares with a decode. Returns the parts.
fn check(signal: Signal, body: Vec<u8>, classes: &[&[Rule]]) -> Vec<Sorted> {
    let body = Bytes::from(body);
    let expect = flat(signal, &body, classes);
    let parts = sort_items(signal, &body, classes).unwrap();
    let mut seen = 0;
    for part in &parts {
        assert!(part.items > 0, "no part is empty");
        assert_eq!(count_items(signal, &part.request), Ok(part.items));
        seen += part.items;
        let mine = flat(signal, &part.request, classes);
        if part.items == expect.len() as u64 {
            assert_eq!(part.request, body, "what need not be split is not touched");
            continue;
        }
        let expect: Vec<Flat> = expect
            .iter()
            .filter(|(_, c)| *c == part.class)
            .cloned()
            .collect();
        assert_eq!(mine, expect, "in order, and nothing else");
    }
    assert_eq!(seen, expect.len() as u64);
    parts
}

fn attribute(key: &str, one_of: &[Pattern]) -> AttributeTest {
    AttributeTest {
        key: key.to_owned(),
        one_of: one_of.to_vec(),
    }
}

/// Rules about what made messages hold: their only text is `größe`.
fn rules(resource: bool, attribute_of: u8, severity_min: Option<u8>) -> Rule {
    let text = Pattern::Text("größe".to_owned());
    let prefix = Pattern::Prefix("grö".to_owned());
    let test = match attribute_of {
        0 => vec![],
        1 => vec![attribute("größe", &[text.clone(), Pattern::Bool(true)])],
        _ => vec![attribute("größe", std::slice::from_ref(&prefix))],
    };
    Rule {
        severity_min,
        resource: match resource {
            true => vec![attribute("größe", &[prefix])],
            false => vec![],
        },
        attributes: test,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Fields in any order, repeated, unknown ones between them.
    #[test]
    fn made_requests_are_sorted(
        signal in signals(),
        seed: u64,
        classes in prop::collection::vec((any::<bool>(), 0..3_u8, prop::option::of(1..25_u8)), 0..4),
    ) {
        let rules: Vec<[Rule; 1]> = classes
            .into_iter()
            .map(|(resource, attribute, severity)| {
                [rules(resource, attribute, severity.filter(|_| signal == Signal::Logs))]
            })
            .collect();
        let rules: Vec<&[Rule]> = rules.iter().map(|rule| &rule[..]).collect();
        check(signal, made(signal, seed, 0.0), &rules);
    }

    /// Whatever comes, there is an answer.
    #[test]
    fn garbage_is_no_surprise(
        signal in signals(),
        seed: u64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut body = made(signal, seed, 0.02);
        prop_assume!(!body.is_empty());
        for (index, byte) in flips {
            let at = index.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        let rule = [rules(true, 1, Some(9))];
        let _ = sort_items(signal, &body.into(), &[&rule]);
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// A request of log records: services, each with severities and lanes of its records.
fn logs(services: &[(&str, &[(i32, &str)])]) -> Vec<u8> {
    let resource_logs = services.iter().map(|(service, records)| ResourceLogs {
        resource: Some(Resource {
            attributes: vec![text("service.name", service)],
            ..Resource::default()
        }),
        scope_logs: vec![ScopeLogs {
            log_records: records
                .iter()
                .map(|(severity, lane)| LogRecord {
                    severity_number: *severity,
                    attributes: vec![text("lane", lane)],
                    ..LogRecord::default()
                })
                .collect(),
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    });
    let resource_logs = resource_logs.collect();
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

#[test]
fn the_first_rule_that_fits_decides() {
    let pos = Rule {
        resource: vec![attribute("service.name", &[Pattern::Prefix("pos-".into())])],
        ..Rule::default()
    };
    let errors = Rule {
        severity_min: Some(17),
        ..Rule::default()
    };
    let drive = Rule {
        attributes: vec![attribute("lane", &[Pattern::Text("drive".into())])],
        severity_min: Some(9),
        ..Rule::default()
    };
    let body = logs(&[
        ("pos-1", &[(17, "drive"), (5, "front")]),
        (
            "kiosk",
            &[(17, "drive"), (0, "drive"), (9, "drive"), (9, "front")],
        ),
    ]);
    let parts = check(Signal::Logs, body, &[&[pos], &[errors, drive]]);
    let counts: Vec<_> = parts.iter().map(|part| (part.class, part.items)).collect();
    assert_eq!(counts, [(0, 2), (1, 2), (2, 2)]);
}

/// Envelopes so large that their copies would fill the memory: the request stays whole.
#[test]
fn copies_are_bounded() {
    let host = "x".repeat(100_000);
    let records: Vec<(i32, &str)> = (1..=24).map(|severity| (severity, "front")).collect();
    let body = logs(&[(&host, &records)]);
    let rules: Vec<[Rule; 1]> = (1..=24)
        .rev()
        .map(|severity| {
            [Rule {
                severity_min: Some(severity),
                ..Rule::default()
            }]
        })
        .collect();
    let rules: Vec<&[Rule]> = rules.iter().map(|rule| &rule[..]).collect();
    let parts = check(Signal::Logs, body.clone(), &rules);
    assert_eq!((parts.len(), parts[0].class, parts[0].items), (1, 0, 24));
    let parts = check(Signal::Logs, body, &rules[..1]);
    assert_eq!(parts.len(), 2);
}

/// Fields that nobody knows, at every level, are in every part that has the envelope around them.
#[test]
fn unknown_fields_go_with_their_envelope() {
    let field = |tag: u8, data: &[u8]| [&[tag << 3 | 2, data.len() as u8], data].concat();
    let unknown = |text: &str| field(15, text.as_bytes());
    let record =
        |severity: u8, text: &str| field(2, &[&[2 << 3, severity], &unknown(text)[..]].concat());
    let scope = field(
        2,
        &[record(1, "low"), unknown("in scope"), record(17, "high")].concat(),
    );
    let body = [
        unknown("in request"),
        field(1, &[scope, unknown("in resource")].concat()),
    ]
    .concat();
    let errors = [Rule {
        severity_min: Some(17),
        ..Rule::default()
    }];
    let parts = check(Signal::Logs, body, &[&errors]);
    let has = |part: &Sorted, text: &str| {
        part.request
            .windows(text.len())
            .any(|w| w == text.as_bytes())
    };
    for part in &parts {
        for text in ["in request", "in resource", "in scope"] {
            assert!(has(part, text), "{text} in {part:?}");
        }
    }
    assert!(has(&parts[0], "low") && !has(&parts[0], "high"));
    assert!(has(&parts[1], "high") && !has(&parts[1], "low"));
}
