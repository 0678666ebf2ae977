//! Families as text: the Prometheus exposition format 0.0.4, or OpenMetrics 1.0 where the scraper asks for it.
//!
//! They differ in little: OpenMetrics names a family without `_total`, tells units, and ends with `# EOF`, so that a page that
//! was cut off is noticed. Prometheus asks for OpenMetrics first.

use std::fmt::Write;

use super::{Family, Histogram, Kind, Point, Value};

/// Which of the two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

impl Format {
    /// What a scraper wants that sends this `Accept` header. Its weights are not compared: who can read OpenMetrics gets it.
    pub fn accepted(accept: Option<&str>) -> Self {
        let open = "application/openmetrics-text";
        let asks = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|it| it.eq_ignore_ascii_case(open));
            is_it && parts.all(|parameter| !is_zero_weight(parameter))
        };
        match accept.unwrap_or_default().split(',').any(asks) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The content type of the page.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=");
    weight.is_some_and(|weight| weight.parse() == Ok(0.0))
}

/// Writes a page.
pub fn page(families: &[Family], format: Format) -> String {
    let mut out = String::with_capacity(16 << 10);
    for family in families {
        write_family(&mut out, family, format);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write_family(out: &mut String, family: &Family, format: Format) {
    let (title, kind) = match (format, family.kind) {
        (Format::Prometheus, Kind::Counter) => (family.name, "counter"),
        (Format::Prometheus, Kind::Info | Kind::Gauge) => (family.name, "gauge"),
        (Format::OpenMetrics, Kind::Counter) => (family.stem(), "counter"),
        (Format::OpenMetrics, Kind::Info) => (family.stem(), "info"),
        (Format::OpenMetrics, Kind::Gauge) => (family.name, "gauge"),
        (_, Kind::Histogram) => (family.name, "histogram"),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "# HELP {title} {}",
        escape(family.help, format == Format::OpenMetrics)
    );
    let _ = writeln!(out, "# TYPE {title} {kind}");
    if let (Format::OpenMetrics, Some(unit)) = (format, family.unit()) {
        let _ = writeln!(out, "# UNIT {title} {unit}");
    }
    for point in &family.points {
        match &point.value {
            Value::Integer(value) => sample(out, family.name, "", point, None, value),
            Value::Float(value) => sample(out, family.name, "", point, None, Number(*value)),
            Value::Histogram(histogram) => buckets(out, family.name, point, histogram),
        }
    }
}

fn buckets(out: &mut String, name: &str, point: &Point, histogram: &Histogram) {
    let mut sum = 0;
    let bounds = histogram.bounds().iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(histogram.counts()) {
        sum += count;
        sample(out, name, "_bucket", point, Some(bound), sum);
    }
    sample(out, name, "_sum", point, None, Number(histogram.sum()));
    sample(out, name, "_count", point, None, histogram.count());
}

fn sample(
    out: &mut String,
    name: &str,
    suffix: &str,
    point: &Point,
    bound: Option<f64>,
    value: impl std::fmt::Display,
) {
    out.push_str(name);
    out.push_str(suffix);
    let mut separator = '{';
    for (label, text) in &point.labels {
        let _ = write!(out, "{separator}{label}=\"{}\"", escape(text, true));
        separator = ',';
    }
    if let Some(bound) = bound {
        let _ = write!(out, "{separator}le=\"{}\"", Number(bound));
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

/// A number as both formats write it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value if value.is_nan() => f.write_str("NaN"),
            // With a point, so that a bound is the same label in both formats.
            value => write!(f, "{value:?}"),
        }
    }
}

/// Backslash and line feed; the quote in label values, and in every text of OpenMetrics.
fn escape(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::metrics::COUNTS;

    fn families() -> Vec<Family> {
        let mut histogram = Histogram::new(&COUNTS);
        histogram.record(2.0);
        histogram.record(1000.0);
        vec![
            Family::new("sent_bytes_total", Kind::Counter, "sent\nor \\ not")
                .with([("to", "a \"b\"\\\n"), ("by", "me")], 7)
                .with([("to", "c"), ("by", "me")], 0),
            Family::single("full_in_seconds", Kind::Gauge, "time left", f64::INFINITY),
            Family::single("work_seconds", Kind::Histogram, "work", histogram),
            Family::new("build_info", Kind::Info, "the build").with([("version", "1")], 1),
        ]
    }

    #[test]
    fn a_page_of_each_format() {
        insta::assert_snapshot!("prometheus", page(&families(), Format::Prometheus));
        insta::assert_snapshot!("openmetrics", page(&families(), Format::OpenMetrics));
    }

    #[test]
    fn the_scraper_decides() {
        let check = |accept: &str, expect| {
            assert_eq!(Format::accepted(Some(accept)), expect, "{accept}");
        };
        check(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            Format::OpenMetrics,
        );
        check("text/plain, */*", Format::Prometheus);
        check("application/openmetrics-text;q=0", Format::Prometheus);
        check("", Format::Prometheus);
        assert_eq!(Format::accepted(None), Format::Prometheus);
    }
}
