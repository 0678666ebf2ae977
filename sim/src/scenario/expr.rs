//! Expectations as they are written: `p99(order.to_kds) < 1500ms`, `after uplink-cut for 10m`.
//!
//! Types of the grammar; its parser reports exact spans. What a metric is, and how it is computed, is decided in `metric`.

use std::time::Duration;

/// `measure op limit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Left-hand side.
    pub measure: Measure,
    /// Comparison.
    pub op: Op,
    /// Right-hand side, in the unit of the measure.
    pub limit: Value,
}

/// A function of one metric, or of two (`ratio`).
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The function.
    pub function: Function,
    /// Its metric.
    pub metric: MetricRef,
    /// The second metric of `ratio`.
    pub of: Option<MetricRef>,
    /// `recovery(x, below=256KiB)`: the level; and `share(x < 8s)`: the condition on a sample.
    pub condition: Option<Condition>,
}

/// A condition on samples: `< 8s`, or `below=256KiB` which is `<`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Comparison.
    pub op: Op,
    /// Limit.
    pub limit: Value,
    /// `recovery(order.to_kds, p99 < 2s)`: the quantile that the condition is about; `None` for plain samples.
    pub quantile: Option<f64>,
}

/// A metric with the dimensions that narrow it.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRef {
    /// Name, such as `order.to_kds` or `link.lte.bytes`.
    pub name: String,
    /// `class=telemetry`, in the order written.
    pub filters: Vec<Filter>,
}

/// One `key=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Dimension.
    pub key: String,
    /// Whether it is `!=`.
    pub negated: bool,
    /// Value, without quotes.
    pub value: String,
    /// The value of `born`, parsed as a window.
    pub window: Option<Window>,
}

/// Functions of the grammar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// Number of samples, or value of a counter.
    Count,
    /// Sum.
    Sum,
    /// Arithmetic mean.
    Mean,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Value at the end of the window.
    Last,
    /// Last minus first.
    Delta,
    /// Per second.
    Rate,
    /// One metric over another.
    Ratio,
    /// Share of samples that meet the condition.
    Share,
    /// Longest time without a sample.
    Gap,
    /// Time from the end of the fault until the condition holds for good.
    Recovery,
    /// Time from the start of the window until the condition first holds.
    TimeTo,
    /// A quantile, as a fraction.
    Quantile(f64),
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `==`
    Eq,
    /// `!=`
    Ne,
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Seconds.
    Time(f64),
    /// Bytes.
    Bytes(f64),
    /// A fraction: 99 % is 0.99.
    Fraction(f64),
    /// A plain number.
    Count(f64),
    /// Per second.
    PerSecond(f64),
    /// Bits per second.
    BitRate(f64),
    /// A quoted word.
    Text(String),
}

impl Value {
    /// The number in its base unit; `None` for words.
    pub fn number(&self) -> Option<f64> {
        match *self {
            Self::Time(v)
            | Self::Bytes(v)
            | Self::Fraction(v)
            | Self::Count(v)
            | Self::PerSecond(v)
            | Self::BitRate(v) => Some(v),
            Self::Text(_) => None,
        }
    }
}

/// When an expectation is judged. Samples before the warm-up never count.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// While a fault lasts: `during F [from +d] [for d]`.
    During {
        /// The fault.
        fault: String,
        /// Offset from its start.
        from: Duration,
        /// Length; `None` is to its end.
        len: Option<Duration>,
    },
    /// After a fault: `after F [for d]`.
    After {
        /// The fault.
        fault: String,
        /// Length; `None` is to the end of the run.
        len: Option<Duration>,
    },
    /// Between two times of day, as virtual times: `between HH:MM and HH:MM [except F, …]`.
    Between {
        /// Start.
        start: Duration,
        /// End.
        end: Duration,
        /// Faults whose windows do not count.
        except: Vec<String>,
    },
    /// `outside faults`.
    OutsideFaults,
    /// `whole run`.
    WholeRun,
    /// `at end`.
    AtEnd,
}
