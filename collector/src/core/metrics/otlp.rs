//! Families as an OTLP request: an encoded `ExportMetricsServiceRequest`.
//!
//! A stock SDK would stamp points with the system clock and list them in hash order; this is the same in a store and in a
//! simulation. Points are cumulative since the start of the process. Names are the families' without `_total`, units those of
//! UCUM, so that a back end that writes Prometheus names from OTLP arrives at the very names of `/metrics`. What has no
//! value (an infinite time) has no point. Next: `shell::telemetry`, which stores the request.

use super::{Family, Histogram, Kind, Point, Value};
use crate::otlp::put_varint;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// Who measured, and when.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// Attributes of the resource, in order.
    pub resource: Vec<(&'a str, &'a str)>,
    /// Name and version of the scope.
    pub scope: (&'a str, &'a str),
    /// When counting began, unix nanoseconds.
    pub start_unix_nano: u64,
    /// Now, unix nanoseconds.
    pub unix_nano: u64,
}

/// Encodes a request, and counts its data points: `None` if there is none.
pub fn request(families: &[Family], origin: &Origin<'_>) -> Option<(Vec<u8>, u64)> {
    let mut points = 0;
    let mut scope_metrics = Message::default();
    let mut scope = Message::default();
    scope.text(1, origin.scope.0);
    scope.text(2, origin.scope.1);
    scope_metrics.message(1, &scope);
    for family in families {
        let (metric, count) = metric(family, origin);
        if count > 0 {
            scope_metrics.message(2, &metric);
            points += count;
        }
    }
    let mut resource = Message::default();
    for (name, value) in &origin.resource {
        resource.attribute(1, name, value);
    }
    let mut resource_metrics = Message::default();
    resource_metrics.message(1, &resource);
    resource_metrics.message(2, &scope_metrics);
    let mut request = Message::default();
    request.message(1, &resource_metrics);
    (points > 0).then_some((request.0, points))
}

fn metric(family: &Family, origin: &Origin<'_>) -> (Message, u64) {
    let mut data = Message::default();
    let mut count = 0;
    for point in &family.points {
        if let Some(point) = data_point(point, family.kind, origin) {
            data.message(1, &point);
            count += 1;
        }
    }
    let mut metric = Message::default();
    let name = match family.kind {
        Kind::Info => family.name,
        _ => family.stem(),
    };
    metric.text(1, name);
    metric.text(2, family.help);
    metric.text(3, unit(family));
    match family.kind {
        Kind::Gauge | Kind::Info => metric.message(5, &data),
        Kind::Counter => {
            data.varint(2, CUMULATIVE);
            data.varint(3, 1);
            metric.message(7, &data);
        }
        Kind::Histogram => {
            data.varint(2, CUMULATIVE);
            metric.message(9, &data);
        }
    }
    (metric, count)
}

/// UCUM: `s`, `By`, or nothing in particular.
fn unit(family: &Family) -> &'static str {
    match family.unit() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}

fn data_point(point: &Point, kind: Kind, origin: &Origin<'_>) -> Option<Message> {
    let mut out = Message::default();
    let attributes = match point.value {
        Value::Histogram(_) => 9,
        _ => 7,
    };
    for (name, value) in &point.labels {
        out.attribute(attributes, name, value);
    }
    if matches!(kind, Kind::Counter | Kind::Histogram) {
        out.fixed64(2, origin.start_unix_nano);
    }
    out.fixed64(3, origin.unix_nano);
    match &point.value {
        // The wire has signed integers.
        Value::Integer(value) => out.fixed64(6, (*value).min(i64::MAX as u64)),
        Value::Float(value) if !value.is_finite() => return None,
        Value::Float(value) => out.fixed64(4, value.to_bits()),
        Value::Histogram(histogram) => buckets(&mut out, histogram),
    }
    Some(out)
}

fn buckets(out: &mut Message, histogram: &Histogram) {
    out.fixed64(4, histogram.count());
    out.fixed64(5, histogram.sum().to_bits());
    out.packed(6, histogram.counts().iter().copied());
    out.packed(7, histogram.bounds().iter().map(|bound| bound.to_bits()));
}

/// An encoded protobuf message that grows.
#[derive(Debug, Default)]
pub(in crate::core) struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, tag: u64, wire_type: u64) {
        put_varint(&mut self.0, tag << 3 | wire_type);
    }

    pub(in crate::core) fn varint(&mut self, tag: u64, value: u64) {
        self.key(tag, 0);
        put_varint(&mut self.0, value);
    }

    /// fixed64, sfixed64 and double alike: eight bytes, little endian.
    pub(in crate::core) fn fixed64(&mut self, tag: u64, bits: u64) {
        self.key(tag, 1);
        self.0.extend(bits.to_le_bytes());
    }

    fn packed(&mut self, tag: u64, values: impl ExactSizeIterator<Item = u64>) {
        self.key(tag, 2);
        put_varint(&mut self.0, values.len() as u64 * 8);
        values.for_each(|bits| self.0.extend(bits.to_le_bytes()));
    }

    pub(in crate::core) fn text(&mut self, tag: u64, text: &str) {
        self.key(tag, 2);
        put_varint(&mut self.0, text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    pub(in crate::core) fn message(&mut self, tag: u64, message: &Self) {
        self.key(tag, 2);
        put_varint(&mut self.0, message.0.len() as u64);
        self.0.extend(&message.0);
    }

    /// A `KeyValue` with a string.
    pub(in crate::core) fn attribute(&mut self, tag: u64, name: &str, value: &str) {
        let mut any = Self::default();
        any.text(1, value);
        let mut pair = Self::default();
        pair.text(1, name);
        pair.message(2, &any);
        self.message(tag, &pair);
    }

    /// A `KeyValue` with an integer; the wire has signed ones.
    pub(in crate::core) fn integer(&mut self, tag: u64, name: &str, value: u64) {
        let mut any = Self::default();
        any.varint(3, value.min(i64::MAX as u64));
        let mut pair = Self::default();
        pair.text(1, name);
        pair.message(2, &any);
        self.message(tag, &pair);
    }

    /// The message.
    pub(in crate::core) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        metrics::v1::{metric::Data, number_data_point::Value as Number},
    };
    use prost::Message as _;

    use super::*;
    use crate::{core::metrics::COUNTS, otlp};

    fn origin() -> Origin<'static> {
        Origin {
            resource: vec![("service.name", "backroom-collector")],
            scope: ("backroom", "1.2.3"),
            start_unix_nano: 5,
            unix_nano: 9,
        }
    }

    /// prost decodes it, and our own walk counts the same points.
    #[test]
    fn decoders_read_what_was_measured() {
        let mut histogram = Histogram::new(&COUNTS);
        histogram.record(3.0);
        let families = [
            Family::new("sent_bytes_total", Kind::Counter, "sent").with([("to", "hq")], u64::MAX),
            Family::single("full_in_seconds", Kind::Gauge, "time left", 2.5),
            Family::single("never_seconds", Kind::Gauge, "no value", f64::INFINITY),
            Family::single("work_seconds", Kind::Histogram, "work", histogram),
        ];
        let (bytes, points) = request(&families, &origin()).unwrap();
        assert_eq!(points, 3);
        assert_eq!(otlp::count_items(otlp::Signal::Metrics, &bytes), Ok(3));
        let read = ExportMetricsServiceRequest::decode(&*bytes).unwrap();
        let [resource] = &read.resource_metrics[..] else {
            panic!("one resource in {read:?}");
        };
        let name = &resource.resource.as_ref().unwrap().attributes[0];
        assert_eq!(name.key, "service.name");
        let metrics = &resource.scope_metrics[0].metrics;
        let names: Vec<_> = metrics.iter().map(|m| (&*m.name, &*m.unit)).collect();
        let expect = [
            ("sent_bytes", "By"),
            ("full_in_seconds", "s"),
            ("work_seconds", "s"),
        ];
        assert_eq!(names, expect);
        let Some(Data::Sum(sum)) = &metrics[0].data else {
            panic!("a sum in {metrics:?}");
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality, 2);
        let point = &sum.data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 9));
        assert_eq!(point.value, Some(Number::AsInt(i64::MAX)), "at most");
        assert_eq!(point.attributes[0].key, "to");
        let Some(Data::Gauge(gauge)) = &metrics[1].data else {
            panic!("a gauge in {metrics:?}");
        };
        assert_eq!(gauge.data_points[0].value, Some(Number::AsDouble(2.5)));
        let Some(Data::Histogram(histogram)) = &metrics[2].data else {
            panic!("a histogram in {metrics:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (1, Some(3.0)));
        assert_eq!(point.explicit_bounds, COUNTS);
        assert_eq!(point.bucket_counts.len(), COUNTS.len() + 1);
        assert_eq!(point.bucket_counts[2], 1);
    }

    #[test]
    fn nothing_measured_is_no_request() {
        let family = Family::single("never_seconds", Kind::Gauge, "no value", f64::INFINITY);
        assert_eq!(request(&[family], &origin()), None);
    }
}
