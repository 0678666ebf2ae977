//! The two directions against each other, against prost, and against opentelemetry-proto's own JSON.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use proptest::prelude::*;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use super::{JsonError, from_json, to_json};
use crate::otlp::{
    Signal, count_items,
    tests::{made, signals},
};

const NO_LIMIT: usize = usize::MAX;

/// What prost reads, as text: two NaNs look the same.
fn seen(signal: Signal, request: &[u8]) -> String {
    fn text<M: Message + Default + std::fmt::Debug>(request: &[u8]) -> String {
        format!("{:#?}", M::decode(request).expect("well formed"))
    }
    match signal {
        Signal::Traces => text::<ExportTraceServiceRequest>(request),
        Signal::Metrics => text::<ExportMetricsServiceRequest>(request),
        Signal::Logs => text::<ExportLogsServiceRequest>(request),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back_says_the_same(signal in signals(), seed: u64) {
        let request = made(signal, seed, 0.0);
        let json = to_json(signal, &request).unwrap();
        prop_assert!(!json.contains('\n'));
        let back = from_json(signal, json.as_bytes(), NO_LIMIT).unwrap();
        prop_assert_eq!(seen(signal, &back), seen(signal, &request));
        prop_assert_eq!(count_items(signal, &back), count_items(signal, &request));
        // What was written once is written the same again.
        prop_assert_eq!(to_json(signal, &back).unwrap(), json);
    }

    #[test]
    fn damaged_json_is_refused_or_well_formed(
        signal in signals(),
        seed: u64,
        at: prop::sample::Index,
        byte in prop::sample::select(b"{}[]\",:0x-e\\n".to_vec()),
    ) {
        let mut json = to_json(signal, &made(signal, seed, 0.0)).unwrap().into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(request) = from_json(signal, &json, NO_LIMIT) {
            prop_assert!(count_items(signal, &request).is_ok());
        }
    }

    #[test]
    fn malformed_protobuf_is_refused(signal in signals(), seed: u64) {
        let request = made(signal, seed, 0.01);
        prop_assert_eq!(to_json(signal, &request).is_ok(), count_items(signal, &request).is_ok());
    }
}

/// A text is read as a request that our own writer puts into `expect`.
fn check(signal: Signal, json: &str, expect: &str) {
    let request = from_json(signal, json.as_bytes(), NO_LIMIT).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(to_json(signal, &request).unwrap(), expect, "{json}");
}

/// A text is refused for this reason.
fn check_error(signal: Signal, json: &str, expect: &str) {
    let error = from_json(signal, json.as_bytes(), NO_LIMIT).expect_err(json);
    assert!(error.to_string().contains(expect), "{json:.200}: {error}");
}

fn span(fields: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#)
}

fn body(value: &str) -> String {
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}"#)
}

fn gauge(point: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{{{point}}}]}}}}]}}]}}]}}"#
    )
}

#[test]
fn otlp_rules_hold() {
    // Ids in hex of any case; 64-bit integers as number, string, or number with an exponent.
    for time in [
        "\"1544712660000000000\"",
        "1544712660000000000",
        "154471266e10",
    ] {
        check(
            Signal::Traces,
            &span(&format!(
                r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","kind":2,"startTimeUnixNano":{time}"#
            )),
            &span(
                r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","kind":2,"startTimeUnixNano":"1544712660000000000""#,
            ),
        );
    }
    // Unknown names, snake_case among them, are ignored with all they hold; null is absent.
    check(
        Signal::Traces,
        &span(
            r#""trace_id":"zz","new":{"deep":[1,{"x":null}]},"name":"a","status":null,"events":null"#,
        ),
        &span(r#""name":"a""#),
    );
    check(Signal::Traces, "{}", "{}");
    check(Signal::Logs, r#"{"resourceSpans":[]}"#, "{}");
    // Zero says something in a oneof and in an optional field, and nothing elsewhere.
    check(
        Signal::Logs,
        &body(r#"{"intValue":0}"#),
        &body(r#"{"intValue":"0"}"#),
    );
    check(
        Signal::Logs,
        &body(r#"{"stringValue":""}"#),
        &body(r#"{"stringValue":""}"#),
    );
    check(Signal::Logs, &body("{}"), &body("{}"));
    check(Signal::Traces, &span(r#""kind":0,"name":"""#), &span(""));
    // Base64 in both alphabets, padded or not.
    for text in ["+/8=", "-_8=", "+/8", "-_8"] {
        let json = body(&format!(r#"{{"bytesValue":"{text}"}}"#));
        check(Signal::Logs, &json, &body(r#"{"bytesValue":"+/8="}"#));
    }
    // Doubles beyond numbers, and signed integers.
    for (given, expect) in [
        (r#""asDouble":"NaN""#, r#""asDouble":"NaN""#),
        (r#""asDouble":"-Infinity""#, r#""asDouble":"-Infinity""#),
        (r#""asDouble":"1.5""#, r#""asDouble":1.5"#),
        (r#""asDouble":3"#, r#""asDouble":3.0"#),
        (r#""asDouble":-0.0"#, r#""asDouble":-0.0"#),
        (
            r#""asInt":"-9223372036854775808""#,
            r#""asInt":"-9223372036854775808""#,
        ),
        (r#""asInt":-1"#, r#""asInt":"-1""#),
    ] {
        check(Signal::Metrics, &gauge(given), &gauge(expect));
    }
    check(
        Signal::Logs,
        &body(r#"{"stringValue":"\u00fc\n\""}"#),
        &body(r#"{"stringValue":"ü\n\""}"#),
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    for (fields, expect) in [
        (
            r#""kind":"SPAN_KIND_SERVER""#,
            "number of an enumeration's value for `kind`",
        ),
        (r#""kind":2147483648"#, "`kind`: 2147483648 is not within"),
        (
            r#""traceId":"xyz0""#,
            "expected hex digits in a text for `traceId`",
        ),
        (r#""traceId":"abc""#, "hex digits"),
        (
            r#""startTimeUnixNano":-1"#,
            "`startTimeUnixNano`: -1 is not within 0",
        ),
        (r#""startTimeUnixNano":1.5"#, "expected an integer"),
        (
            r#""startTimeUnixNano":"18446744073709551616""#,
            "is not within",
        ),
        (r#""flags":4294967296"#, "is not within"),
        (r#""name":5"#, "expected a text for `name`"),
        (r#""attributes":{}"#, "expected a list for `attributes`"),
        (
            r#""attributes":[null]"#,
            "expected an object for `attributes`",
        ),
        (r#""status":[]"#, "expected an object for `status`"),
        (r#""name":"\ud800""#, "at line 1"),
        (r#""name":"a""b""#, "at line 1"),
    ] {
        check_error(Signal::Traces, &span(fields), expect);
    }
    check_error(
        Signal::Metrics,
        &gauge(r#""asDouble":"inf""#),
        "for `asDouble`",
    );
    check_error(Signal::Logs, &body(r#"{"bytesValue":"?"}"#), "base64");
    check_error(
        Signal::Logs,
        &body(r#"{"boolValue":"true"}"#),
        "true or false",
    );
    for text in ["", "null", "[]", "{} {}", "{", "\u{feff}{}"] {
        check_error(Signal::Logs, text, "at line 1");
    }
}

/// The bounds of an explicit histogram take two bytes each in JSON and eight in protobuf: the limit is on the result.
#[test]
fn the_limit_is_on_the_result() {
    let list = vec!["0"; 10_000].join(",");
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"explicitBounds":[{list}]}}]}}}}]}}]}}]}}"#
    );
    let request = from_json(Signal::Metrics, json.as_bytes(), NO_LIMIT).unwrap();
    assert!(request.len() > 80_000);
    let error = from_json(Signal::Metrics, json.as_bytes(), 50_000).unwrap_err();
    assert_eq!(error, JsonError::TooLarge { limit: 50_000 });
    assert_eq!(
        to_json(Signal::Metrics, &request)
            .unwrap()
            .matches("0.0")
            .count(),
        10_000
    );
}

/// Deep nesting is refused before the stack is, and what is taken can be walked.
#[test]
fn nesting_is_bounded() {
    for kind in [
        ("{\"arrayValue\":{\"values\":[", "]}}"),
        ("{\"kvlistValue\":{\"values\":[{\"value\":", "}]}}"),
    ] {
        let nested = |depth: usize| body(&(kind.0.repeat(depth) + "{}" + &kind.1.repeat(depth)));
        let deepest = (1..60)
            .take_while(|depth| {
                let request = from_json(Signal::Logs, nested(*depth).as_bytes(), NO_LIMIT);
                request.is_ok_and(|request| count_items(Signal::Logs, &request) == Ok(1))
            })
            .count();
        assert!((25..50).contains(&deepest), "{deepest}");
        check_error(Signal::Logs, &nested(deepest + 1), "recursion limit");
        check_error(Signal::Logs, &nested(100_000), "recursion limit");
    }
    // What is ignored is skipped without recursion.
    let unknown = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    check(Signal::Logs, &unknown, "{}");
}

/// The same data in the JSON of opentelemetry-proto, which nobody here wrote.
#[test]
fn agrees_with_opentelemetry_proto() {
    fn both_ways<M>(signal: Signal, message: &M)
    where
        M: Message + Default + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let ours = to_json(signal, &message.encode_to_vec()).unwrap();
        let read: M = serde_json::from_str(&ours).unwrap_or_else(|e| panic!("{e}: {ours}"));
        assert_eq!(read, *message, "{ours}");
        let theirs = serde_json::to_string(message).unwrap();
        let read = from_json(signal, theirs.as_bytes(), NO_LIMIT).unwrap();
        assert_eq!(M::decode(&read[..]).unwrap(), *message, "{theirs}");
    }
    let (traces, metrics, logs) = crate::otlp::tests::rich();
    both_ways(Signal::Traces, &traces);
    both_ways(Signal::Metrics, &metrics);
    both_ways(Signal::Logs, &logs);
}
