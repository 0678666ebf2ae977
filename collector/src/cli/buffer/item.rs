//! How an item is shown: one line for people, one JSON object for machines.
//!
//! What an item says comes from outside, so control characters are written as escapes: a log line must not move the cursor
//! of whoever reads it.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{
    cli::show::{self, clean},
    otlp::{Signal, json::to_json},
};

/// A request in OTLP's own words; or what is wrong with it.
pub(super) fn parse(signal: Signal, body: &[u8]) -> Result<Value, String> {
    let json = to_json(signal, body).map_err(|error| format!("not a {signal} request: {error}"))?;
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

/// One item with its envelopes.
pub(super) struct Item<'a> {
    resource: &'a Value,
    scope: &'a Value,
    /// The metric that a data point belongs to.
    metric: Option<&'a Map<String, Value>>,
    body: &'a Value,
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Names of the lists of resources, of scopes, and of items in a scope.
fn names(signal: Signal) -> [&'static str; 3] {
    match signal {
        Signal::Traces => ["resourceSpans", "scopeSpans", "spans"],
        Signal::Metrics => ["resourceMetrics", "scopeMetrics", "metrics"],
        Signal::Logs => ["resourceLogs", "scopeLogs", "logRecords"],
    }
}

/// Where a metric keeps its points.
const POINTS: [&str; 5] = [
    "gauge",
    "sum",
    "histogram",
    "exponentialHistogram",
    "summary",
];

/// The items of a request.
pub(super) fn items(signal: Signal, request: &Value) -> Vec<Item<'_>> {
    let [resources, scopes, leaves] = names(signal);
    let mut found = Vec::new();
    for outer in list(request, resources) {
        let resource = &outer["resource"];
        for inner in list(outer, scopes) {
            let scope = &inner["scope"];
            for leaf in list(inner, leaves) {
                let item = |metric, body| Item {
                    resource,
                    scope,
                    metric,
                    body,
                };
                if signal != Signal::Metrics {
                    found.push(item(None, leaf));
                    continue;
                }
                let kinds = POINTS.iter().filter_map(|kind| leaf.get(*kind));
                let points = kinds.flat_map(|kind| list(kind, "dataPoints"));
                found.extend(points.map(|point| item(leaf.as_object(), point)));
            }
        }
    }
    found
}

impl Item<'_> {
    /// In OTLP's own words, with its resource and its scope.
    pub(super) fn as_json(&self, signal: Signal) -> Map<String, Value> {
        let mut line = Map::new();
        line.insert("signal".to_owned(), json!(signal.name()));
        for (name, envelope) in [("resource", self.resource), ("scope", self.scope)] {
            if !envelope.is_null() {
                line.insert(name.to_owned(), envelope.clone());
            }
        }
        let name = match signal {
            Signal::Traces => "span",
            Signal::Metrics => "dataPoint",
            Signal::Logs => "logRecord",
        };
        if let Some(metric) = self.metric {
            let mut metric = metric.clone();
            let kind = POINTS.iter().find(|kind| metric.contains_key(**kind));
            if let Some(kind) = kind {
                let mut rest = metric.remove(*kind).unwrap_or_default();
                if let Some(rest) = rest.as_object_mut() {
                    rest.remove("dataPoints");
                    metric.extend(std::mem::take(rest));
                }
                metric.insert("kind".to_owned(), json!(kind));
            }
            line.insert("metric".to_owned(), Value::Object(metric));
        }
        line.insert(name.to_owned(), self.body.clone());
        line
    }

    /// One line.
    pub(super) fn as_line(&self, signal: Signal) -> String {
        let service = attribute(self.resource, "service.name");
        let text = |key: &str| clean(self.body[key].as_str().unwrap_or_default());
        let mut line = match signal {
            Signal::Traces => {
                let (start, end) = (
                    nanos(self.body, "startTimeUnixNano"),
                    nanos(self.body, "endTimeUnixNano"),
                );
                let took = std::time::Duration::from_nanos(end.saturating_sub(start));
                format!(
                    "{} {service} {} {took:?} trace={} span={}",
                    time(start),
                    text("name"),
                    text("traceId"),
                    text("spanId")
                )
            }
            Signal::Logs => {
                let at = match nanos(self.body, "timeUnixNano") {
                    0 => nanos(self.body, "observedTimeUnixNano"),
                    at => at,
                };
                let severity = match text("severityText") {
                    text if text.is_empty() => {
                        severity(self.body["severityNumber"].as_u64()).to_owned()
                    }
                    text => text,
                };
                format!(
                    "{} {service} {severity} {}",
                    time(at),
                    any(&self.body["body"])
                )
            }
            Signal::Metrics => {
                let metric = |key: &str| {
                    let value = self.metric.and_then(|metric| metric.get(key));
                    clean(value.and_then(Value::as_str).unwrap_or_default())
                };
                let unit = metric("unit");
                let gap = if unit.is_empty() { "" } else { " " };
                let at = time(nanos(self.body, "timeUnixNano"));
                format!(
                    "{at} {service} {} {}{gap}{unit}",
                    metric("name"),
                    point(self.body)
                )
            }
        };
        for attribute in list(self.body, "attributes") {
            let key = clean(attribute["key"].as_str().unwrap_or_default());
            let _ = write!(line, " {key}={}", any(&attribute["value"]));
        }
        line
    }
}

/// A resource's attribute, `-` without it.
fn attribute(resource: &Value, key: &str) -> String {
    let found = list(resource, "attributes")
        .iter()
        .find(|attribute| attribute["key"] == key);
    found.map_or_else(|| "-".to_owned(), |attribute| any(&attribute["value"]))
}

/// 64-bit integers are texts in OTLP/JSON.
fn nanos(item: &Value, key: &str) -> u64 {
    let value = &item[key];
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or(0)
}

fn time(unix_nanos: u64) -> String {
    match unix_nanos {
        0 => "-".to_owned(),
        at => show::instant(at).unwrap_or_else(|| at.to_string()),
    }
}

/// The short name of a severity's range.
fn severity(number: Option<u64>) -> &'static str {
    match number.unwrap_or(0) {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "-",
    }
}

/// The value of a point, or the count and the sum of a distribution.
fn point(body: &Value) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => clean(text),
        other => other.to_string(),
    };
    for key in ["asDouble", "asInt"] {
        if let Some(value) = body.get(key) {
            return plain(value);
        }
    }
    let mut out = format!(
        "count={}",
        body.get("count").map_or_else(|| "0".to_owned(), plain)
    );
    if let Some(sum) = body.get("sum") {
        let _ = write!(out, " sum={}", plain(sum));
    }
    out
}

/// An attribute's value: texts as they are if they are one word, everything else as JSON.
fn any(value: &Value) -> String {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return "-".to_owned();
    };
    match (kind.as_str(), inner) {
        ("stringValue", Value::String(text))
            if !text.is_empty() && !text.contains([' ', '"', '=']) =>
        {
            clean(text)
        }
        ("intValue", Value::String(digits)) => clean(digits),
        _ => clean(&inner.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(signal: Signal, request: &Value) -> Vec<String> {
        let items = items(signal, request);
        items.iter().map(|item| item.as_line(signal)).collect()
    }

    #[test]
    fn items_are_lines() {
        let resource =
            json!({"attributes": [{"key": "service.name", "value": {"stringValue": "pos"}}]});
        let traces = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [{
            "traceId": "07", "spanId": "01", "name": "sale",
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000012000000",
            "attributes": [{"key": "n", "value": {"intValue": "3"}}, {"key": "w", "value": {"stringValue": "two words"}}],
        }]}]}]});
        assert_eq!(
            lines(Signal::Traces, &traces),
            ["2023-11-14T22:13:20.000Z pos sale 12ms trace=07 span=01 n=3 w=\"two words\""]
        );
        let logs = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{
            "observedTimeUnixNano": "1700000000000000000", "severityNumber": 17,
            "body": {"stringValue": "bad\u{1b}[2J"},
        }]}]}]});
        assert_eq!(
            lines(Signal::Logs, &logs),
            ["2023-11-14T22:13:20.000Z - ERROR bad\\u{1b}[2J"]
        );
        let metrics = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
            {"name": "queue", "unit": "1", "gauge": {"dataPoints": [{"asInt": "-4"}, {"asDouble": 0.5}]}},
            {"name": "took", "histogram": {"dataPoints": [{"count": "2", "sum": 1.5}]}},
        ]}]}]});
        assert_eq!(
            lines(Signal::Metrics, &metrics),
            [
                "- - queue -4 1",
                "- - queue 0.5 1",
                "- - took count=2 sum=1.5"
            ]
        );
        assert!(lines(Signal::Logs, &json!({"resourceLogs": 7})).is_empty());
    }
}
