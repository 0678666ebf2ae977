//! What the collector counts about itself, and the two ways in which that is written.
//!
//! - [`Counters`]: what is counted while requests come and go, without labels or names.
//! - [`Histogram`]: durations and sizes in fixed buckets.
//! - [`Trend`]: how fast the buffer grows, and so when it will be full.
//! - [`Family`]: one metric with its points, from which [`text`] writes a Prometheus page and [`otlp`] an OTLP request. They
//!   cannot disagree, because neither of them knows a metric.
//!
//! Which families there are stands in `shell::metrics`.

mod counters;
mod histogram;
pub mod otlp;
pub mod text;
mod trend;

use std::borrow::Cow;

pub use counters::{Counters, Outcome, Relayed, Reported, Tried};
pub use histogram::{BYTES, COUNTS, Histogram, SECONDS};
pub use trend::Trend;

/// What may happen to a value between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows while the process runs. Its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts in buckets, each of which only grows.
    Histogram,
    /// Always 1: what it says stands in its labels. Its name ends in `_info`.
    Info,
}

/// One metric: a name and what was measured under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Name of the time series, as Prometheus has it: unit, then `_total` for counters.
    pub name: &'static str,
    /// What may happen to its values.
    pub kind: Kind,
    /// One sentence, without a full stop.
    pub help: &'static str,
    /// The points, each with other labels.
    pub points: Vec<Point>,
}

/// One value with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Names and values, in the order in which they are written.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// What was measured.
    pub value: Value,
}

/// A measurement.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count or a size.
    Integer(u64),
    /// Seconds, or a share. Infinite where something will never happen.
    Float(f64),
    /// Buckets.
    Histogram(Histogram),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<Histogram> for Value {
    fn from(value: Histogram) -> Self {
        Self::Histogram(value)
    }
}

impl Family {
    /// A family without points.
    pub fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            help,
            points: Vec::new(),
        }
    }

    /// With one point that has no labels.
    pub fn single(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        value: impl Into<Value>,
    ) -> Self {
        Self::new(name, kind, help).with([], value)
    }

    /// With another point.
    pub fn with<const N: usize>(
        mut self,
        labels: [(&'static str, &'static str); N],
        value: impl Into<Value>,
    ) -> Self {
        let labels = labels.map(|(name, text)| (name, Cow::Borrowed(text)));
        self.push(labels, value);
        self
    }

    /// Adds another point.
    pub fn push<const N: usize>(
        &mut self,
        labels: [(&'static str, Cow<'static, str>); N],
        value: impl Into<Value>,
    ) {
        self.points.push(Point {
            labels: labels.into(),
            value: value.into(),
        });
    }

    /// The name without what encodings add to it by themselves: `_total`, `_info`.
    pub fn stem(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Info => self.name.strip_suffix("_info").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram => self.name,
        }
    }

    /// `seconds` or `bytes`, if that is how its stem ends.
    pub fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"].into_iter().find(|unit| {
            let stem = self.stem().strip_suffix(unit);
            stem.is_some_and(|stem| stem.ends_with('_'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_and_units_follow_from_names() {
        let check = |name, kind, stem: &str, unit: Option<&str>| {
            let family = Family::new(name, kind, "x");
            assert_eq!((family.stem(), family.unit()), (stem, unit));
        };
        check("a_total", Kind::Counter, "a", None);
        check("a_bytes_total", Kind::Counter, "a_bytes", Some("bytes"));
        check("a_seconds", Kind::Histogram, "a_seconds", Some("seconds"));
        check("build_info", Kind::Info, "build", None);
        check("kilobytes", Kind::Gauge, "kilobytes", None);
    }
}
