//! Simpler values in place of a value: rounder numbers, and smaller ones where small is simple.
//!
//! Goes by how a text is written, not by what its key means: numbers with units, and arguments of distributions. A value that does not
//! fit its key is no harm, since every candidate is read before it is run.

use std::time::Duration;

use backroom_collector::config::quantity;

use super::doc::{Value, show_exactly};

/// Round times, in seconds: what people write.
const TIMES: [f64; 34] = [
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    3.0,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    45.0,
    60.0,
    90.0,
    120.0,
    180.0,
    300.0,
    600.0,
    900.0,
    1200.0,
    1800.0,
    2700.0,
    3600.0,
    5400.0,
    7200.0,
    10_800.0,
    14_400.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
];

/// Smaller values, the smallest first, all of them round: of counts, times, offsets such as `+40s`, and rates such as `1800/h`. None
/// where the value is none of these, or is small already.
pub fn smaller(value: &Value) -> Vec<Value> {
    match value {
        Value::Integer(n) => round_counts()
            .take_while(|c| c < n)
            .map(Value::Integer)
            .collect(),
        Value::Text(text) => {
            let (sign, rest) = match text.trim().strip_prefix('+') {
                Some(rest) => ("+", rest.trim()),
                None => ("", text.trim()),
            };
            if let Ok(time) = quantity::duration(rest) {
                let zero = (sign == "+").then_some(0.0);
                let times = zero.into_iter().chain(TIMES);
                return times
                    .map(Duration::from_secs_f64)
                    .take_while(|t| *t < time)
                    .map(|t| Value::Text(format!("{sign}{}", show_exactly(t))))
                    .collect();
            }
            let Some((number, unit)) = number_and_unit(rest).filter(|_| sign.is_empty()) else {
                return Vec::new();
            };
            // Six steps of 1-2-5: down to a hundredth.
            let mut below: Vec<f64> = Vec::new();
            let mut next = number;
            for _ in 0..6 {
                next = step_down(next);
                below.push(next);
            }
            below.reverse();
            let texts = below.into_iter().map(|n| Value::Text(format!("{n}{unit}")));
            texts.collect()
        }
        _ => Vec::new(),
    }
}

/// Rounder values, the roundest first; none where it is round already.
pub fn rounder(value: &Value) -> Vec<Value> {
    let mut all: Vec<Value> = match value {
        Value::Integer(n) if n.unsigned_abs() >= 10 => {
            let n = *n as f64;
            vec![
                Value::Integer(one_two_five(n) as i64),
                Value::Integer(digits(n, 1) as i64),
            ]
        }
        Value::Float(n) => vec![Value::Float(one_two_five(*n)), Value::Float(digits(*n, 1))],
        Value::Text(text) => [one_two_five, |n| digits(n, 1), |n| digits(n, 2)]
            .iter()
            .filter_map(|round: &fn(f64) -> f64| Some(Value::Text(each(text, round)?)))
            .collect(),
        _ => Vec::new(),
    };
    all.dedup();
    all.retain(|simpler| simpler != value);
    all
}

fn round_counts() -> impl Iterator<Item = i64> {
    (0..18).flat_map(|power| [1, 2, 5].map(|m| m * 10_i64.pow(power)))
}

/// The next smaller of 1, 2, 5 times a power of ten.
fn step_down(n: f64) -> f64 {
    let power = 10_f64.powf(n.log10().floor());
    let mantissa = n / power;
    let down = match mantissa {
        m if m > 5.000_001 => 5.0,
        m if m > 2.000_001 => 2.0,
        m if m > 1.000_001 => 1.0,
        _ => 0.5,
    };
    digits(down * power, 3)
}

/// The nearest of 1, 2, 5 times a power of ten, by ratio.
fn one_two_five(n: f64) -> f64 {
    if n == 0.0 || !n.is_finite() {
        return n;
    }
    let power = 10_f64.powf(n.abs().log10().floor());
    let mantissa = n.abs() / power;
    let nearest = [1.0, 2.0, 5.0, 10.0].into_iter().min_by(|a, b| {
        (a / mantissa)
            .ln()
            .abs()
            .total_cmp(&(b / mantissa).ln().abs())
    });
    digits(nearest.unwrap_or(1.0) * power, 3).copysign(n)
}

/// So many significant digits.
fn digits(n: f64, count: usize) -> f64 {
    format!("{n:.*e}", count.saturating_sub(1))
        .parse()
        .unwrap_or(n)
}

/// A text that is a number with a unit.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok().filter(|n| *n > 0.0)?;
    let is_unit = !unit.is_empty() && !unit.contains([':', ',', '(', '-']);
    is_unit.then_some((number, unit))
}

/// The text with every number changed that stands where a number may: at its beginning, or behind a space, `=`, `(`, `,` or a sign.
/// `None` if there is none. Times of day, versions and names with digits stay as they are.
pub fn each(text: &str, change: &dyn Fn(f64) -> f64) -> Option<String> {
    let mut out = String::new();
    let (mut rest, mut found, mut before) = (text, false, None::<char>);
    while let Some(c) = rest.chars().next() {
        let may_begin = matches!(before, None | Some(' ' | '=' | '(' | ',' | '+'));
        if may_begin && c.is_ascii_digit() {
            let end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            match number.parse::<f64>() {
                Ok(n) if !after.starts_with([':', '-', '_']) => {
                    out.push_str(&change(n).to_string());
                    found = true;
                }
                _ => out.push_str(number),
            }
            (rest, before) = (after, Some('0'));
            continue;
        }
        out.push(c);
        (rest, before) = (&rest[c.len_utf8()..], Some(c));
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: Vec<Value>) -> Vec<String> {
        values.iter().map(Value::print).collect()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn smaller_values_are_round_and_begin_with_the_smallest() {
        let check = |value: Value, expect: &[&str]| assert_eq!(texts(smaller(&value)), expect);
        check(Value::Integer(6), &["1", "2", "5"]);
        check(Value::Integer(1), &[]);
        check(
            text("1500ms"),
            &["\"100ms\"", "\"200ms\"", "\"500ms\"", "\"1s\""],
        );
        check(
            text("+12s"),
            &[
                "\"+0s\"",
                "\"+100ms\"",
                "\"+200ms\"",
                "\"+500ms\"",
                "\"+1s\"",
                "\"+2s\"",
                "\"+3s\"",
                "\"+5s\"",
                "\"+10s\"",
            ],
        );
        check(
            text("1800/h"),
            &[
                "\"20/h\"",
                "\"50/h\"",
                "\"100/h\"",
                "\"200/h\"",
                "\"500/h\"",
                "\"1000/h\"",
            ],
        );
        check(text("poisson"), &[]);
        check(text("12:05"), &[]);
        check(Value::Bool(true), &[]);
    }

    #[test]
    fn rounder_values_keep_all_that_is_no_number() {
        let check = |value: Value, expect: &[&str]| assert_eq!(texts(rounder(&value)), expect);
        check(
            text("lognormal(p50=17ms, p99=71ms)"),
            &[
                "\"lognormal(p50=20ms, p99=100ms)\"",
                "\"lognormal(p50=20ms, p99=70ms)\"",
            ],
        );
        check(text("37.25KiB"), &["\"50KiB\"", "\"40KiB\"", "\"37KiB\""]);
        check(text("100%"), &[]);
        for same in ["pos-12", "12:34", "zstd:13", "2025-03-14T11:30:00-05:00"] {
            check(text(same), &[]);
        }
        check(Value::Integer(187), &["200"]);
        check(Value::Integer(7), &[]);
    }

    #[test]
    fn steps_go_down_by_one_two_five() {
        let mut n = 730.0;
        let steps: Vec<f64> = (0..6)
            .map(|_| {
                n = step_down(n);
                n
            })
            .collect();
        assert_eq!(steps, [500.0, 200.0, 100.0, 50.0, 20.0, 10.0]);
    }
}
