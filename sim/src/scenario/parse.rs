//! Parses expectations and windows, and checks their units against the catalogue of metrics.
//!
//! One error per text, at exact bytes. What the names in it refer to is asked of [`Names`]; what a measure amounts to in a run
//! is decided in `metric`.

use std::time::Duration;

use backroom_collector::config::{
    codes::{E0103, E0107},
    did_you_mean,
    grammar::{Grammar, Part, TextError, write_with_units},
    quantity,
};

use super::{
    codes,
    expr::{Comparison, Condition, Filter, Function, Measure, MetricRef, Op, Value, Window},
    time::{self, Clock},
};
use crate::metric::{
    catalogue::{self, COMMON_DIMENSIONS, Kind, METRICS, Metric, Unit},
    telemetry,
};

/// An expectation.
pub static THAT: Grammar = Grammar {
    name: "an expectation",
    doc: "FUNCTION(METRIC, …) COMPARISON LIMIT, such as p99(order.to_kds) < 1500ms",
    pattern: r"^ *[a-z][a-z0-9_.]*\(.+\) *(<=|>=|==|!=|<|>) *.+$",
    examples: &[
        "p99(order.to_kds) < 1500ms",
        "count(order.lost) == 0",
        "share(payment.auth < 8s) >= 99%",
    ],
    units: &[],
    check: |text| comparison(text, &Names::default()).map(drop),
};

/// A measure without a limit.
pub static OBSERVE: Grammar = Grammar {
    name: "a measure",
    doc: "FUNCTION(METRIC, …), such as recovery(telemetry.backlog, below=256KiB)",
    pattern: r"^ *[a-z][a-z0-9_.]*\(.+\) *$",
    examples: &["recovery(telemetry.backlog, below=256KiB)"],
    units: &[],
    check: |text| measure(text, &Names::default()).map(drop),
};

/// A window.
pub static WINDOW: Grammar = Grammar {
    name: "a window",
    doc: "during F [from +d] [for d], after F [for d], between HH:MM and HH:MM [except F, …], outside faults, whole run, at end",
    pattern: r"^ *(during|after|between|outside|whole|at) .+$",
    examples: &[
        "during uplink-cut",
        "after uplink-cut for 10m",
        "whole run",
        "at end",
    ],
    units: &[],
    check: |text| window(text, &Names::default()).map(drop),
};

/// What names may refer to.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Ids of faults; `None` does not check them.
    pub faults: Option<Vec<String>>,
    /// Links; `None` does not check them.
    pub links: Option<Vec<String>>,
    /// Classes; `None` does not check them.
    pub classes: Option<Vec<String>>,
    /// Regions of the fleet; `None` does not check them.
    pub regions: Option<Vec<String>>,
    /// Quantiles that are kept, as fractions; empty keeps the usual ones.
    pub quantiles: Vec<f64>,
    /// The wall clock, for times of day; `None` reads them as offsets from midnight.
    pub clock: Option<Clock>,
}

/// Quantiles that are always kept, by name and as fractions.
pub static QUANTILES: &[(&str, f64)] = &[
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p999", 0.999),
];

const FUNCTIONS: &[(&str, Function)] = &[
    ("count", Function::Count),
    ("sum", Function::Sum),
    ("mean", Function::Mean),
    ("min", Function::Min),
    ("max", Function::Max),
    ("last", Function::Last),
    ("delta", Function::Delta),
    ("rate", Function::Rate),
    ("ratio", Function::Ratio),
    ("share", Function::Share),
    ("gap", Function::Gap),
    ("recovery", Function::Recovery),
    ("time_to", Function::TimeTo),
];

/// Two-letter comparisons first: `<=` begins with `<`.
const OPS: &[(&str, Op)] = &[
    ("<=", Op::Le),
    (">=", Op::Ge),
    ("==", Op::Eq),
    ("!=", Op::Ne),
    ("<", Op::Lt),
    (">", Op::Gt),
];

/// What a value is; metrics have units, measures have these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dim {
    Time,
    Bytes,
    Fraction,
    /// A plain number, or a share: what a ratio is.
    Ratio,
    Count,
    PerSecond,
    BitRate,
    Text,
}

impl Dim {
    fn of(unit: Unit) -> Self {
        match unit {
            Unit::Time => Self::Time,
            Unit::Bytes => Self::Bytes,
            Unit::Count => Self::Count,
            Unit::PerSecond => Self::PerSecond,
            Unit::Link => Self::Text,
        }
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Time(_) => Self::Time,
            Value::Bytes(_) => Self::Bytes,
            Value::Fraction(_) => Self::Fraction,
            Value::Count(_) => Self::Count,
            Value::PerSecond(_) => Self::PerSecond,
            Value::BitRate(_) => Self::BitRate,
            Value::Text(_) => Self::Text,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Time => "a time",
            Self::Bytes => "a size",
            Self::Fraction => "a share",
            Self::Ratio => "a ratio",
            Self::Count => "a count",
            Self::PerSecond => "a number per second",
            Self::BitRate => "a data rate",
            Self::Text => "a name",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Time => "2s",
            Self::Bytes => "64MiB",
            Self::Fraction => "99%",
            Self::Ratio => "1.5",
            Self::Count => "0",
            Self::PerSecond => "50/s",
            Self::BitRate => "256kbit/s",
            Self::Text => "'lte'",
        }
    }

    fn units(self) -> &'static [&'static str] {
        match self {
            Self::Time => &["ms", "s", "m"],
            Self::Bytes => &["B", "KiB", "MiB"],
            Self::Fraction => &["%"],
            Self::PerSecond => &["/s"],
            Self::BitRate => &["kbit/s", "kB/s"],
            Self::Ratio | Self::Count | Self::Text => &[],
        }
    }
}

fn syntax(part: Part<'_>, title: impl Into<String>, label: impl Into<String>) -> TextError {
    TextError::new(&codes::E0303, part.range(), title, label)
}

/// A quantile by name: p50 is 0.5, p999 is 0.999, p99.5 is 0.995. `None` if it is not one.
pub fn quantile(name: &str) -> Option<f64> {
    let digits = name.strip_prefix('p')?;
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        // The first two digits are per cent, the rest their decimals; p100 would be p10, which nobody means.
        None if digits.len() > 2 && digits.ends_with('0') => return None,
        None if digits.len() > 2 => digits.split_at_checked(2)?,
        None => (digits, ""),
    };
    let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 2
        || !numeric(whole)
        || !numeric(fraction)
        || fraction.len() > 6
    {
        return None;
    }
    let decimals = fraction.len() as i32 + 2;
    let number: f64 = format!("{whole}{fraction}").parse().ok()?;
    Some(number / 10_f64.powi(decimals)).filter(|q| *q > 0.0)
}

/// Parses `measure op limit`.
///
/// # Errors
/// The first thing that is wrong.
pub fn comparison(text: &str, names: &Names) -> Result<Comparison, TextError> {
    let whole = Part::whole(text);
    let (measure, dim, rest) = call(whole, names)?;
    let found = OPS.iter().find(|(op, _)| rest.text.starts_with(op));
    let Some((written, op)) = found else {
        if rest.text.starts_with('=') {
            let at = rest.slice(0..1);
            return Err(TextError::new(
                &codes::E0305,
                at.range(),
                "`=` assigns, an expectation compares",
                "use `==`",
            ));
        }
        let label = "expected <, <=, >, >=, == or !=";
        return Err(syntax(rest, "an expectation compares", label));
    };
    let limit_part = rest.slice(written.len()..rest.text.len());
    let limit = limit_of(limit_part, *op, dim, &show(&measure), names)?;
    Ok(Comparison {
        measure,
        op: *op,
        limit,
    })
}

/// Parses a measure without a limit.
///
/// # Errors
/// The first thing that is wrong.
pub fn measure(text: &str, names: &Names) -> Result<Measure, TextError> {
    let (measure, _, rest) = call(Part::whole(text), names)?;
    if rest.text.is_empty() {
        return Ok(measure);
    }
    Err(syntax(rest, "a measure ends with `)`", "not expected here"))
}

/// A quantile over seeds of a measure, as report cells have: `p95(recovery(…))`; or a plain measure.
///
/// # Errors
/// The first thing that is wrong.
pub fn cell(text: &str, names: &Names) -> Result<(), TextError> {
    let whole = Part::whole(text);
    if let (Some(open), true) = (whole.text.find('('), whole.text.ends_with(')'))
        && quantile(whole.text[..open].trim()).is_some()
    {
        let inner = whole.slice(open + 1..whole.text.len() - 1);
        if inner.text.contains('(') {
            return inner.parse(|t| measure(t, names)).map(drop);
        }
    }
    measure(text, names).map(drop)
}

/// `recovery(telemetry.backlog)`: the function and its metrics.
fn show(measure: &Measure) -> String {
    let function = function_name(measure.function);
    match &measure.of {
        Some(of) => format!("{function}({}, {})", measure.metric.name, of.name),
        None => format!("{function}({})", measure.metric.name),
    }
}

/// The name of a function in the language.
pub fn function_name(function: Function) -> String {
    if let Function::Quantile(q) = function {
        return quantile_name(q);
    }
    FUNCTIONS
        .iter()
        .find(|(_, f)| *f == function)
        .map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// The name of a quantile in the language: p99, p999.
pub fn quantile_name(q: f64) -> String {
    let per_cent = format!("{:.6}", q * 100.0);
    let trimmed = per_cent.trim_end_matches('0').trim_end_matches('.');
    match trimmed.split_once('.') {
        Some((whole, fraction)) if whole.len() == 2 => format!("p{whole}{fraction}"),
        _ => format!("p{trimmed}"),
    }
}

/// A function call at the start of a text: the measure, what it is, and what follows.
fn call<'t>(whole: Part<'t>, names: &Names) -> Result<(Measure, Dim, Part<'t>), TextError> {
    let Some(open) = whole.text.find('(') else {
        let title = "an expectation begins with a function";
        return Err(syntax(whole, title, "expected FUNCTION(METRIC)")
            .help(String::from("write p99(order.to_kds) < 1500ms")));
    };
    let name = whole.slice(0..open);
    let function = function(name, names)?;
    let close = closing(whole.text, open).ok_or_else(|| {
        syntax(
            whole.slice(open..open + 1),
            "`(` is not closed",
            "its `)` is missing",
        )
    })?;
    let arguments = whole.slice(open + 1..close);
    let rest = whole.slice(close + 1..whole.text.len());
    let (measure, dim) = measure_of(name, function, arguments, names)?;
    Ok((measure, dim, rest))
}

/// The `)` that closes the `(` at `open`.
fn closing(text: &str, open: usize) -> Option<usize> {
    let (mut depth, mut quote) = (0_u32, None);
    for (i, c) in text.char_indices().skip_while(|(i, _)| *i < open) {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => return Some(i),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn function(name: Part<'_>, names: &Names) -> Result<Function, TextError> {
    if let Some((_, function)) = FUNCTIONS.iter().find(|(n, _)| *n == name.text) {
        return Ok(*function);
    }
    let looks_like_a_quantile = name
        .text
        .strip_prefix('p')
        .is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    if looks_like_a_quantile {
        return quantile_of(name, names).map(Function::Quantile);
    }
    let known = FUNCTIONS
        .iter()
        .chain([&("p99", Function::Quantile(0.99))])
        .map(|(n, _)| *n);
    Err(TextError::new(
        &codes::E0304,
        name.range(),
        format!("there is no function `{}`", name.text),
        "unknown function",
    )
    .help(did_you_mean(name.text, known, "functions")))
}

/// A quantile that is kept.
fn quantile_of(name: Part<'_>, names: &Names) -> Result<f64, TextError> {
    let usual = QUANTILES.iter().map(|(_, q)| *q);
    let kept: Vec<f64> = names.quantiles.iter().copied().chain(usual).collect();
    match quantile(name.text) {
        Some(q) if kept.iter().any(|k| (k - q).abs() < 1e-9) => Ok(q),
        _ => {
            let listed: Vec<&str> = QUANTILES.iter().map(|(n, _)| *n).collect();
            Err(TextError::new(
                &codes::E0302,
                name.range(),
                format!("percentile `{}` is not kept", name.text),
                "not recorded",
            )
            .help(format!(
                "use one of {}, or add it to report.quantiles",
                listed.join(", ")
            )))
        }
    }
}

fn measure_of(
    name: Part<'_>,
    function: Function,
    arguments: Part<'_>,
    names: &Names,
) -> Result<(Measure, Dim), TextError> {
    let mut parts = arguments.split_top(',').into_iter();
    let first = parts.next().unwrap_or(arguments);
    let (metric_part, inline) = match op_at(first.text) {
        Some((i, written, op)) => (
            first.slice(0..i),
            Some((op, first.slice(i + written.len()..first.text.len()))),
        ),
        None => (first, None),
    };
    let (metric, mut reference) = metric_of(metric_part, names)?;
    fits(name, function, metric, metric_part)?;

    let mut condition = None;
    if let Some((op, limit)) = inline {
        if !matches!(function, Function::Share | Function::TimeTo) {
            return Err(syntax(
                first,
                format!("`{}` takes no condition", name.text),
                "a condition belongs into share or time_to",
            ));
        }
        let limit = limit_of(limit, op, Dim::of(metric.unit), metric_part.text, names)?;
        condition = Some(Condition {
            op,
            limit,
            quantile: None,
        });
    }

    let mut of = None;
    for part in parts {
        if function == Function::Ratio && of.is_none() && op_at(part.text).is_none() {
            let (second, second_ref) = metric_of(part, names)?;
            fits(name, function, second, part)?;
            if second.unit != metric.unit {
                return Err(TextError::new(
                    &codes::E0306,
                    part.range(),
                    format!(
                        "`ratio` compares {} with {}",
                        Dim::of(metric.unit).noun(),
                        Dim::of(second.unit).noun()
                    ),
                    format!("expected {}", Dim::of(metric.unit).noun()),
                ));
            }
            of = Some(second_ref);
            continue;
        }
        match argument(name, function, metric, part, names)? {
            Argument::Condition(found) => condition = Some(found),
            Argument::Filter(filter) => reference.filters.push(filter),
        }
    }
    needs(name, function, arguments, condition.is_some(), of.is_some())?;
    let measure = Measure {
        function,
        metric: reference,
        of,
        condition,
    };
    Ok((measure, result(function, metric)))
}

/// What a function of a metric is.
fn result(function: Function, metric: &Metric) -> Dim {
    match function {
        Function::Count => Dim::Count,
        Function::Ratio => Dim::Ratio,
        Function::Share => Dim::Fraction,
        Function::Gap | Function::Recovery | Function::TimeTo => Dim::Time,
        Function::Rate => match metric.unit {
            Unit::Bytes => Dim::BitRate,
            _ => Dim::PerSecond,
        },
        Function::Sum
        | Function::Mean
        | Function::Min
        | Function::Max
        | Function::Last
        | Function::Delta
        | Function::Quantile(_) => Dim::of(metric.unit),
    }
}

/// What a function cannot do without.
fn needs(
    name: Part<'_>,
    function: Function,
    arguments: Part<'_>,
    has_condition: bool,
    has_second: bool,
) -> Result<(), TextError> {
    let (missing, help) = match function {
        Function::Share if !has_condition => ("a condition", "write share(payment.auth < 8s)"),
        Function::TimeTo if !has_condition => {
            ("a condition", "write time_to(failover.active == 'lte')")
        }
        Function::Recovery if !has_condition => (
            "a level",
            "write recovery(telemetry.backlog, below=256KiB) or recovery(order.to_kds, p99 < 2s)",
        ),
        Function::Ratio if !has_second => (
            "two metrics",
            "write ratio(telemetry.dropped, telemetry.generated)",
        ),
        _ => return Ok(()),
    };
    Err(syntax(
        arguments,
        format!("`{}` needs {missing}", name.text),
        "something is missing",
    )
    .help(String::from(help)))
}

/// Whether a function can be taken of a metric.
fn fits(
    name: Part<'_>,
    function: Function,
    metric: &Metric,
    at: Part<'_>,
) -> Result<(), TextError> {
    let ok = match (function, metric.kind) {
        (Function::Count, Kind::Samples) => true,
        (Function::Count, Kind::Counter) => metric.unit == Unit::Count,
        (Function::Count | Function::Sum, Kind::Gauge) => false,
        (Function::Sum, _) => true,
        (Function::Mean | Function::Min | Function::Max, Kind::Samples | Kind::Gauge) => {
            metric.unit != Unit::Link
        }
        (Function::Mean | Function::Min | Function::Max, Kind::Counter) => false,
        (Function::Last, kind) => kind != Kind::Samples,
        (Function::Delta, kind) => kind != Kind::Samples && metric.unit != Unit::Link,
        (Function::Rate | Function::Ratio, kind) => kind == Kind::Counter,
        (Function::Share | Function::Recovery, kind) => kind != Kind::Counter,
        (Function::Gap, kind) => kind != Kind::Gauge,
        (Function::TimeTo, _) => true,
        (Function::Quantile(_), kind) => kind == Kind::Samples,
    };
    if ok {
        return Ok(());
    }
    let use_instead = match metric.kind {
        Kind::Samples => "count, sum, mean, min, max, share, gap, recovery, or a percentile",
        Kind::Counter if metric.unit == Unit::Bytes => "sum, delta, rate or ratio",
        Kind::Counter => "count, delta, rate, ratio or gap",
        Kind::Gauge if metric.unit == Unit::Link => "last, share or time_to",
        Kind::Gauge => "min, max, mean, last, delta, share, recovery or time_to",
    };
    let kind = match metric.kind {
        Kind::Samples => "is samples",
        Kind::Counter => "is a counter",
        Kind::Gauge if metric.unit == Unit::Link => "is the name of a link",
        Kind::Gauge => "is a level",
    };
    Err(TextError::new(
        &codes::E0309,
        at.range(),
        format!("`{}` cannot be taken of `{}`", name.text, at.text),
        format!("this {kind}"),
    )
    .help(format!("use {use_instead}")))
}

/// The first comparison in a text that is not a lone `=`: `(position, as written, what it is)`.
fn op_at(text: &str) -> Option<(usize, &'static str, Op)> {
    let (mut quote, mut depth) = (None, 0_i32);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) if depth == 0 => {
                if let Some((written, op)) = OPS.iter().find(|(w, _)| text[i..].starts_with(w)) {
                    return Some((i, written, *op));
                }
            }
            _ => {}
        }
    }
    None
}

fn metric_of(part: Part<'_>, names: &Names) -> Result<(&'static Metric, MetricRef), TextError> {
    if part.text.is_empty() {
        let title = "a metric is missing";
        return Err(syntax(part, title, "expected a metric")
            .help(String::from("`backroom explain metrics` lists them")));
    }
    let Some(metric) = catalogue::find(part.text) else {
        let mut known: Vec<String> = Vec::new();
        for metric in METRICS {
            match (&names.links, metric.name.contains('*')) {
                (Some(links), true) => {
                    known.extend(links.iter().map(|l| metric.name.replace('*', l)));
                }
                _ => known.push(metric.name.to_owned()),
            }
        }
        let help = match backroom_collector::config::nearest(
            part.text,
            known.iter().map(String::as_str),
        ) {
            Some(name) => format!("did you mean `{name}`?"),
            None => String::from("`backroom explain metrics` lists them"),
        };
        return Err(TextError::new(
            &codes::E0301,
            part.range(),
            format!("unknown metric `{}`", part.text),
            "not in the catalogue",
        )
        .help(help));
    };
    let link = catalogue::link_of(metric, part.text).unwrap_or_default();
    if !link.is_empty() {
        declared("link", link, names.links.as_deref(), quoted(part, link))?;
    }
    let reference = MetricRef {
        name: part.text.to_owned(),
        filters: Vec::new(),
    };
    Ok((metric, reference))
}

/// Where a name stands in a part.
fn quoted<'t>(part: Part<'t>, name: &str) -> Part<'t> {
    match part.text.find(name) {
        Some(i) => part.slice(i..i + name.len()),
        None => part,
    }
}

/// Whether a name is declared.
fn declared(
    what: &str,
    name: &str,
    known: Option<&[String]>,
    at: Part<'_>,
) -> Result<(), TextError> {
    let Some(known) = known else { return Ok(()) };
    if known.iter().any(|k| k == name) {
        return Ok(());
    }
    Err(TextError::new(
        &codes::E0204,
        at.range(),
        format!("there is no {what} `{name}`"),
        "not declared",
    )
    .help(did_you_mean(
        name,
        known.iter().map(String::as_str),
        "declared",
    )))
}

enum Argument {
    Condition(Condition),
    Filter(Filter),
}

/// An argument after the metric: a condition (`below=256KiB`, `p99 < 2s`) or a filter (`class=telemetry`).
fn argument(
    name: Part<'_>,
    function: Function,
    metric: &'static Metric,
    part: Part<'_>,
    names: &Names,
) -> Result<Argument, TextError> {
    let dim = Dim::of(metric.unit);
    let (key, negated, value) = match op_at(part.text) {
        Some((i, written, Op::Ne)) => (
            part.slice(0..i),
            true,
            part.slice(i + written.len()..part.text.len()),
        ),
        Some((i, written, Op::Eq)) => (
            part.slice(0..i),
            false,
            part.slice(i + written.len()..part.text.len()),
        ),
        Some((i, written, op)) => {
            let left = part.slice(0..i);
            if function != Function::Recovery || metric.kind != Kind::Samples {
                return Err(syntax(
                    part,
                    format!("`{}` takes no such condition", name.text),
                    "not expected here",
                ));
            }
            let quantile = Some(quantile_of(left, names)?);
            let limit = value_of(
                part.slice(i + written.len()..part.text.len()),
                dim,
                left.text,
            )?;
            return Ok(Argument::Condition(Condition {
                op,
                limit,
                quantile,
            }));
        }
        None => match part.split_once('=') {
            Some((key, value)) => (key, false, value),
            None => {
                return Err(syntax(
                    part,
                    "an argument is KEY=VALUE",
                    "expected KEY=VALUE",
                ));
            }
        },
    };
    if matches!(key.text, "below" | "above") {
        if function != Function::Recovery {
            return Err(syntax(
                key,
                format!("`{}` takes no `{}`", name.text, key.text),
                "only recovery has a level",
            ));
        }
        if metric.kind == Kind::Samples {
            return Err(
                syntax(key, "samples recover by a percentile", "not a level")
                    .help(format!("write recovery({}, p99 < …)", metric.name)),
            );
        }
        let op = if key.text == "below" { Op::Lt } else { Op::Gt };
        let limit = value_of(value, dim, metric.name)?;
        return Ok(Argument::Condition(Condition {
            op,
            limit,
            quantile: None,
        }));
    }
    filter(metric, key, negated, value, names).map(Argument::Filter)
}

fn filter(
    metric: &'static Metric,
    key: Part<'_>,
    negated: bool,
    value: Part<'_>,
    names: &Names,
) -> Result<Filter, TextError> {
    let dimensions = || metric.dimensions.iter().chain(COMMON_DIMENSIONS).copied();
    if !dimensions().any(|d| d == key.text) {
        return Err(TextError::new(
            &codes::E0307,
            key.range(),
            format!("`{}` has no dimension `{}`", metric.name, key.text),
            "unknown dimension",
        )
        .help(did_you_mean(key.text, dimensions(), "it has")));
    }
    let inner = unquote(value);
    if inner.text.is_empty() {
        return Err(syntax(
            value,
            format!("`{}` has no value", key.text),
            "a value is missing",
        ));
    }
    let one_of = |words: &[&str]| {
        if words.contains(&inner.text) {
            return Ok(());
        }
        Err(syntax(
            inner,
            format!("`{}` cannot be `{}`", key.text, inner.text),
            "not one of its words",
        )
        .help(did_you_mean(inner.text, words.iter().copied(), "one of")))
    };
    let mut parsed = None;
    match key.text {
        "born" => parsed = Some(inner.parse(|t| window(t, names))?),
        "class" => declared("class", inner.text, names.classes.as_deref(), inner)?,
        "region" => {
            declared("region", inner.text, names.regions.as_deref(), inner).map_err(region_help)?
        }
        "acked" => one_of(&["true", "false"])?,
        "dir" => one_of(&["up", "down"])?,
        "by" => one_of(&["device"])?,
        "reason" => one_of(&telemetry::REASONS)?,
        "stores" => drop(inner.parse(quantity::proportion)?),
        _ => {}
    }
    Ok(Filter {
        key: key.text.to_owned(),
        negated,
        value: inner.text.to_owned(),
        window: parsed,
    })
}

/// Where no region is declared at all, the way out is to declare one.
fn region_help(mut err: TextError) -> TextError {
    err.help = err.help.or_else(|| {
        Some(String::from(
            "regions are declared by `regions` of `[fleet]`; without them leave the filter out",
        ))
    });
    err
}

fn unquote(part: Part<'_>) -> Part<'_> {
    for quote in ['\'', '"'] {
        if part.text.len() >= 2 && part.text.starts_with(quote) && part.text.ends_with(quote) {
            return part.slice(1..part.text.len() - 1);
        }
    }
    part
}

/// A limit that `what` can be compared with: what is compared with a name is a link, and is it or is not.
fn limit_of(
    part: Part<'_>,
    op: Op,
    dim: Dim,
    what: &str,
    names: &Names,
) -> Result<Value, TextError> {
    let limit = value_of(part, dim, what)?;
    if let Value::Text(link) = &limit {
        declared("link", link, names.links.as_deref(), quoted(part, link))?;
        if !matches!(op, Op::Eq | Op::Ne) {
            return Err(syntax(
                part,
                format!("`{what}` is a name, not a number"),
                "no more and no less",
            )
            .help(format!("write `== '{link}'` or `!= '{link}'`")));
        }
    }
    Ok(limit)
}

/// A limit of the kind that `what` needs.
fn value_of(part: Part<'_>, dim: Dim, what: &str) -> Result<Value, TextError> {
    if part.text.is_empty() {
        return Err(syntax(part, "a limit is missing", "expected a limit")
            .help(format!("write a limit such as `{}`", dim.example())));
    }
    if dim == Dim::Text && super::words::name(part.text).is_ok() {
        return Ok(Value::Text(part.text.to_owned()));
    }
    let value = any_value(part)?;
    if let (Dim::Fraction, Value::Fraction(n)) = (dim, &value)
        && !(0.0..=1.0).contains(n)
    {
        return Err(TextError::new(
            &E0107,
            part.range(),
            format!("`{what}` is a share, which `{}` is not", part.text),
            "not within 0% and 100%",
        ));
    }
    match (dim, &value) {
        (Dim::Ratio, Value::Count(n) | Value::Fraction(n)) => return Ok(Value::Fraction(*n)),
        (_, found) if Dim::of_value(found) == dim => return Ok(value),
        _ => {}
    }
    if let (Value::Count(_), false) = (&value, dim.units().is_empty()) {
        return Err(TextError::new(
            &E0103,
            part.range(),
            format!("the limit of `{what}` needs a unit"),
            "a bare number",
        )
        .help(write_with_units(part.text, dim.units())));
    }
    Err(TextError::new(
        &codes::E0306,
        part.range(),
        format!(
            "`{what}` is {}, but it is compared with {}",
            dim.noun(),
            Dim::of_value(&value).noun()
        ),
        format!("expected {}, such as `{}`", dim.noun(), dim.example()),
    ))
}

/// A value of any kind, by its unit.
fn any_value(part: Part<'_>) -> Result<Value, TextError> {
    let text = part.text;
    if text.starts_with(['\'', '"']) {
        return Ok(Value::Text(unquote(part).text.to_owned()));
    }
    if let Ok(n) = text.parse::<f64>() {
        if n.is_finite() {
            return Ok(Value::Count(n));
        }
        return Err(TextError::new(
            &E0107,
            part.range(),
            "the limit is not a finite number",
            "out of range",
        ));
    }
    if let Ok(d) = quantity::duration(text) {
        return Ok(Value::Time(d.as_secs_f64()));
    }
    if let Ok(b) = quantity::byte_size(text) {
        return Ok(Value::Bytes(b.0 as f64));
    }
    if let Ok(f) = quantity::share(text) {
        return Ok(Value::Fraction(f));
    }
    if let Ok(n) = quantity::events_per_second(text) {
        return Ok(Value::PerSecond(n));
    }
    if let Ok(r) = quantity::bit_rate(text) {
        return Ok(Value::BitRate(r.0 as f64));
    }
    Err(syntax(
        part,
        format!("`{text}` is not a value"),
        "expected a number with a unit",
    ))
}

/// Parses a window.
///
/// # Errors
/// The first thing that is wrong.
pub fn window(text: &str, names: &Names) -> Result<Window, TextError> {
    let whole = Part::whole(text);
    let mut words = words_of(whole);
    let fault = |part: Part<'_>| {
        known_fault(part, names)?;
        Ok(part.text.to_owned())
    };
    let first = words.next();
    let found = match first.map(|p| p.text) {
        Some("during") => {
            let fault = fault(words.expect(whole, "the name of a fault")?)?;
            let from = match words.take("from") {
                true => offset(words.expect(whole, "an offset such as +45s")?)?,
                false => Duration::ZERO,
            };
            let len = match words.take("for") {
                true => Some(
                    words
                        .expect(whole, "a duration")?
                        .parse(quantity::duration)?,
                ),
                false => None,
            };
            Window::During { fault, from, len }
        }
        Some("after") => {
            let fault = fault(words.expect(whole, "the name of a fault")?)?;
            let len = match words.take("for") {
                true => Some(
                    words
                        .expect(whole, "a duration")?
                        .parse(quantity::duration)?,
                ),
                false => None,
            };
            Window::After { fault, len }
        }
        Some("between") => between(&mut words, whole, names)?,
        Some("outside") if words.take("faults") => Window::OutsideFaults,
        Some("whole") if words.take("run") => Window::WholeRun,
        Some("at") if words.take("end") => Window::AtEnd,
        _ => {
            let at = first.unwrap_or(whole);
            let starts = [
                "during",
                "after",
                "between",
                "outside faults",
                "whole run",
                "at end",
            ];
            let help = match backroom_collector::config::nearest(whole.text, starts) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("write {}", WINDOW.doc),
            };
            return Err(TextError::new(
                &codes::E0308,
                at.range(),
                format!("`{}` is not a window", whole.text),
                "not a window",
            )
            .help(help));
        }
    };
    match words.next() {
        None => Ok(found),
        Some(extra) => Err(TextError::new(
            &codes::E0308,
            extra.range(),
            format!("`{}` is not a window", whole.text),
            "not expected here",
        )
        .help(format!("write {}", WINDOW.doc))),
    }
}

fn between<'t>(words: &mut Words<'t>, whole: Part<'t>, names: &Names) -> Result<Window, TextError> {
    let first = words.expect(whole, "a time of day")?.parse(time::clock)?;
    if !words.take("and") {
        let at = words.next().unwrap_or(whole);
        return Err(TextError::new(
            &codes::E0308,
            at.range(),
            "`between` needs two times",
            "expected `and`",
        )
        .help(String::from("write between 06:30 and 21:00")));
    }
    let second = words.expect(whole, "a time of day")?.parse(time::clock)?;
    let mut except = Vec::new();
    if words.take("except") {
        for part in words.rest().split_top(',') {
            known_fault(part, names)?;
            except.push(part.text.to_owned());
        }
    }
    let (start, end) = match &names.clock {
        Some(clock) => {
            let start = clock.first(first);
            (start, clock.next(second, start))
        }
        None => (
            Duration::from_secs(first.into()),
            Duration::from_secs(second.into()),
        ),
    };
    Ok(Window::Between { start, end, except })
}

/// `+45s`, or `45s`.
fn offset(part: Part<'_>) -> Result<Duration, TextError> {
    match part.text.strip_prefix('+') {
        Some(_) => part.slice(1..part.text.len()).parse(quantity::duration),
        None => part.parse(quantity::duration),
    }
}

/// Whether a fault is declared.
///
/// # Errors
/// If it is not.
pub fn known_fault(part: Part<'_>, names: &Names) -> Result<(), TextError> {
    let Some(faults) = &names.faults else {
        return Ok(());
    };
    if faults.iter().any(|f| f == part.text) {
        return Ok(());
    }
    Err(TextError::new(
        &codes::E0208,
        part.range(),
        format!("no fault is called `{}`", part.text),
        "not declared in this file",
    )
    .help(did_you_mean(
        part.text,
        faults.iter().map(String::as_str),
        "declared",
    )))
}

/// The words of a text, with their places.
struct Words<'t> {
    rest: Part<'t>,
}

fn words_of(part: Part<'_>) -> Words<'_> {
    Words { rest: part.trim() }
}

impl<'t> Words<'t> {
    fn next(&mut self) -> Option<Part<'t>> {
        if self.rest.text.is_empty() {
            return None;
        }
        let len = self
            .rest
            .text
            .find(char::is_whitespace)
            .unwrap_or(self.rest.text.len());
        let word = self.rest.slice(0..len);
        self.rest = self.rest.slice(len..self.rest.text.len());
        Some(word)
    }

    /// Takes a word if it is the next one.
    fn take(&mut self, word: &str) -> bool {
        let mut ahead = Words { rest: self.rest };
        if ahead.next().is_some_and(|w| w.text == word) {
            self.rest = ahead.rest;
            return true;
        }
        false
    }

    fn expect(&mut self, whole: Part<'t>, what: &str) -> Result<Part<'t>, TextError> {
        self.next().ok_or_else(|| {
            TextError::new(
                &codes::E0308,
                whole.range(),
                format!("`{}` is not complete", whole.text),
                format!("expected {what} after this"),
            )
        })
    }

    fn rest(&mut self) -> Part<'t> {
        let rest = self.rest;
        self.rest = rest.slice(rest.text.len()..rest.text.len());
        rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names {
            faults: Some(vec![String::from("uplink-cut"), String::from("power-cut")]),
            links: Some(vec![
                String::from("lan"),
                String::from("lte"),
                String::from("uplink"),
            ]),
            classes: Some(vec![String::from("telemetry"), String::from("order")]),
            regions: Some(vec![String::from("gulf")]),
            ..Names::default()
        }
    }

    #[test]
    fn every_expectation_of_the_shipped_files_is_read() {
        for text in [
            "p99(order.to_kds) < 1500ms",
            "share(payment.auth < 8s) >= 99%",
            "count(order.lost) == 0",
            "sum(link.lte.bytes, class=telemetry) == 0B",
            "recovery(telemetry.backlog, below=256KiB) < 10m",
            "count(telemetry.lost, born='during uplink-cut') == 0",
            "time_to(failover.active == 'lte') < 40s",
            "recovery(order.to_kds, p99 < 2s) < 90s",
            "count(telemetry.lost, acked=true) == 0",
            "count(event.out_of_order, by=device) == 0",
            "min(collector.retry_gap) >= 30s",
            "last(telemetry.backlog) < 1MiB",
            "ratio(telemetry.dropped, telemetry.generated) < 0.01%",
            "p99(telemetry.lag, region!=gulf) < 90s",
            "max(hq.new_sessions) <= 50/s",
            "ratio(hq.requests, hq.accepted) < 1.5",
            "recovery(telemetry.backlog, below=256KiB, region=gulf, stores=99%) < 25m",
        ] {
            comparison(text, &names()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        }
        let born = comparison(
            "count(telemetry.lost, born='during uplink-cut') == 0",
            &names(),
        )
        .expect("born");
        assert!(matches!(
            born.measure.metric.filters[0].window,
            Some(Window::During { .. })
        ));
        cell("p95(recovery(telemetry.backlog, below=256KiB))", &names()).expect("a cell");
    }

    #[test]
    fn wrong_expectations_are_blamed_exactly() {
        let check = |text: &str, code: &str, blamed: &str| {
            let err = comparison(text, &names()).expect_err(text);
            let end = err.at.end.min(text.len());
            assert_eq!(
                (err.code.id, &text[err.at.start.min(end)..end]),
                (code, blamed),
                "{text}"
            );
        };
        check(
            "p99(order.to_kitchen) < 1500ms",
            "E0301",
            "order.to_kitchen",
        );
        check("p99.5(order.e2e) < 2s", "E0302", "p99.5");
        check("cnt(order.lost) == 0", "E0304", "cnt");
        check("count(order.lost) = 0", "E0305", "=");
        check("count(order.lost)", "E0303", "");
        check("order.lost == 0", "E0303", "order.lost == 0");
        check("count(order.lost == 0", "E0303", "(");
        check(
            "recovery(telemetry.backlog, below=256KiB) < 64MiB",
            "E0306",
            "64MiB",
        );
        check("p99(order.to_kds) < 1500", "E0103", "1500");
        check("share(payment.auth) >= 99%", "E0303", "payment.auth");
        check("sum(link.ltr.bytes) == 0B", "E0204", "ltr");
        check("sum(link.lte.bytes, clas=telemetry) == 0B", "E0307", "clas");
        check("sum(link.lte.bytes, class=orders) == 0B", "E0204", "orders");
        check(
            "p99(telemetry.backlog) < 1MiB",
            "E0309",
            "telemetry.backlog",
        );
        check(
            "count(telemetry.lost, born='during uplnk') == 0",
            "E0208",
            "uplnk",
        );
        check("time_to(failover.active == 'lt') < 40s", "E0204", "lt");
        check("last(failover.active) == 'lt'", "E0204", "lt");
        check("count(order.lost, region=north) == 0", "E0204", "north");
        check("count(order.lost, region!=glf) == 0", "E0204", "glf");
        check("last(failover.active) != lt", "E0204", "lt");
        check("last(failover.active) > 'lte'", "E0303", "'lte'");
        check("share(failover.active < lte) > 1%", "E0303", "lte");
        check("share(payment.auth < 8s) >= 199%", "E0107", "199%");
        check("share(payment.auth < 8s) < -1%", "E0107", "-1%");
        check(
            "ratio(telemetry.dropped) < 1%",
            "E0303",
            "telemetry.dropped",
        );
        check("count() == 0", "E0303", ")");
    }

    #[test]
    fn windows_are_read_and_blamed() {
        let read = |text: &str| window(text, &names());
        assert_eq!(
            read("during uplink-cut from +45s for 5m").expect("during"),
            Window::During {
                fault: String::from("uplink-cut"),
                from: Duration::from_secs(45),
                len: Some(Duration::from_secs(300)),
            }
        );
        assert!(matches!(
            read("after uplink-cut for 10m"),
            Ok(Window::After { len: Some(_), .. })
        ));
        assert!(matches!(
            read("between 06:30 and 21:00 except power-cut, uplink-cut"),
            Ok(Window::Between { except, .. }) if except.len() == 2
        ));
        assert_eq!(
            read("outside faults").expect("outside"),
            Window::OutsideFaults
        );
        let check = |text: &str, code: &str, blamed: &str| {
            let err = read(text).expect_err(text);
            assert_eq!((err.code.id, &text[err.at]), (code, blamed), "{text}");
        };
        check("after uplink_cut", "E0208", "uplink_cut");
        check("whole day", "E0308", "whole");
        check("during uplink-cut forever", "E0308", "forever");
        check("after uplink-cut for 10", "E0103", "10");
        check("between 06:30 to 21:00", "E0308", "to");
    }

    #[test]
    fn quantiles_have_names() {
        assert_eq!(quantile("p50"), Some(0.5));
        assert_eq!(quantile("p999"), Some(0.999));
        assert_eq!(quantile("p99.5"), Some(0.995));
        assert_eq!(quantile("p"), None);
        assert_eq!(quantile("p0"), None);
        assert_eq!(quantile("p100"), None, "not p10");
        assert_eq!(quantile("p990"), None);
        for (name, q) in QUANTILES {
            assert_eq!(quantile_name(*q), *name);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z0-9_.()<>=!,' %é]{0,40}") {
            let _ = comparison(&text, &names());
            let _ = window(&text, &names());
        }

        #[test]
        fn no_change_of_a_good_text_makes_the_parser_panic(at in 0_usize..45, c in "\\PC") {
            let mut text = String::from("recovery(order.to_kds, p99 < 2s, region!=x) < 90s");
            text.insert_str(at, &c);
            let _ = comparison(&text, &names());
            text.truncate(at);
            let _ = comparison(&text, &names());
        }
    }
}
