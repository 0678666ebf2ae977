//! How numbers are written for people: short, with a unit, never rounded to the other side of what matters.
//!
//! Units as in the scenario language, decimal for bytes. Machines read the JSON instead.

/// A time in seconds: `850us`, `214ms`, `5.12s`, `3m 31s`, `2h 5m`, `14d`.
pub fn seconds(value: f64) -> String {
    duration(value, 0)
}

/// The same with tenths of a second where there are minutes: `3m 27.7s`. For theory beside observation.
pub fn seconds_fine(value: f64) -> String {
    duration(value, 1)
}

/// A planned length: `90m` stays `90m`, as people write it.
pub fn span(value: f64) -> String {
    let minutes = value / 60.0;
    match minutes.fract() == 0.0 && (1.0..=180.0).contains(&minutes) {
        true if minutes == 60.0 => "1h".into(),
        true => format!("{minutes}m"),
        false => seconds(value),
    }
}

fn duration(value: f64, tenths: usize) -> String {
    if value < 0.0 {
        return format!("-{}", duration(-value, tenths));
    }
    if !value.is_finite() {
        return "never".into();
    }
    // The bounds are where the next form would be rounded to: 0.9996 s is `1s`, not `1000ms`.
    match value {
        0.0 => "0s".into(),
        v if v < 0.000_999_5 => format!("{}us", trimmed(v * 1e6, 0)),
        v if v < 0.009_95 => format!("{}ms", trimmed(v * 1e3, 1)),
        v if v < 0.999_5 => format!("{}ms", trimmed(v * 1e3, 0)),
        v if v < 9.995 => format!("{}s", trimmed(v, 2)),
        v if v < 59.95 => format!("{}s", trimmed(v, 1)),
        v if v < 3599.5 => {
            let grain = 10f64.powi(tenths as i32);
            let v = (v * grain).round() / grain;
            two((v / 60.0).floor(), "m", v % 60.0, tenths, "s")
        }
        v if v < 86_370.0 => {
            let v = (v / 60.0).round();
            two((v / 60.0).floor(), "h", v % 60.0, 0, "m")
        }
        v => {
            let v = (v / 3600.0).round();
            two((v / 24.0).floor(), "d", v % 24.0, 0, "h")
        }
    }
}

fn two(large: f64, large_unit: &str, small: f64, decimals: usize, small_unit: &str) -> String {
    match trimmed(small, decimals).as_str() {
        "0" => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit} {small}{small_unit}"),
    }
}

/// A size: `512B`, `5.4MB`, `1.2GB`. Decimal units.
pub fn bytes(value: f64) -> String {
    scaled(value, &["B", "kB", "MB", "GB", "TB"])
}

/// A data rate: `2Mbit/s`.
pub fn bit_rate(value: f64) -> String {
    scaled(value, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

fn scaled(value: f64, units: &[&str]) -> String {
    if value < 0.0 {
        return format!("-{}", scaled(-value, units));
    }
    let (mut v, mut unit) = (value, 0);
    while v >= 999.5 && unit + 1 < units.len() {
        (v, unit) = (v / 1000.0, unit + 1);
    }
    let decimals = if unit == 0 || v >= 99.95 { 0 } else { 1 };
    format!("{}{}", trimmed(v, decimals), units[unit])
}

/// A share: `99.6%`, `0.12%`, `5.6ppm`. All and nothing are exact: 0.99999 is `99.999%`, not `100%`.
pub fn fraction(value: f64) -> String {
    if value == 0.0 || value == 1.0 {
        return format!("{}%", value * 100.0);
    }
    if value.abs() < 1e-4 {
        return format!("{}ppm", trimmed(value * 1e6, 1));
    }
    let percent = value * 100.0;
    // As many decimals as keep it apart from 0 % and 100 %, at least one.
    let decimals = (1..6).find(|d| {
        let grain = 10f64.powi(-d);
        percent.abs() >= grain * 9.5 && (percent >= 100.0 || 100.0 - percent >= grain / 2.0)
    });
    format!("{}%", trimmed(percent, decimals.unwrap_or(6) as usize))
}

/// A deviation with its sign: `+1.6%`.
pub fn deviation(value: f64) -> String {
    // Adding zero turns -0 into 0.
    let tenths = (value * 1000.0).round() / 10.0 + 0.0;
    format!("{tenths:+.1}%")
}

/// A number: `17`, `1,204`, `2.5`.
pub fn count(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 || value.fract() == 0.0 => grouped(value),
        v if v >= 10.0 => trimmed(value, 1),
        _ => trimmed(value, 3),
    }
}

/// Two significant digits of a large ratio: `26,000`.
pub fn ratio(value: f64) -> String {
    if value < 10.0 {
        return trimmed(value, 1);
    }
    let grain = 10f64.powf(value.log10().floor() - 1.0);
    grouped((value / grain).round() * grain)
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    match value < 0.0 && out != "0" {
        true => format!("-{out}"),
        false => out,
    }
}

/// At most `decimals`, without zeros at the end.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(show: fn(f64) -> String, table: &[(f64, &str)]) {
        for (value, expect) in table {
            assert_eq!(show(*value), *expect, "{value}");
        }
    }

    #[test]
    fn times_have_the_unit_that_people_would_choose() {
        check(
            seconds,
            &[
                (0.0, "0s"),
                (0.000_85, "850us"),
                (0.004_2, "4.2ms"),
                (0.2138, "214ms"),
                (0.9997, "1s"),
                (1.5, "1.5s"),
                (59.96, "1m"),
                (207.7, "3m 28s"),
                (211.0, "3m 31s"),
                (612.0, "10m 12s"),
                (3600.0, "1h"),
                (7500.0, "2h 5m"),
                (1_209_600.0, "14d"),
                (100_000.0, "1d 4h"),
                (f64::INFINITY, "never"),
                (-3.0, "-3s"),
            ],
        );
        check(
            seconds_fine,
            &[(207.69, "3m 27.7s"), (119.97, "2m"), (0.5, "500ms")],
        );
        check(
            span,
            &[
                (5400.0, "90m"),
                (3600.0, "1h"),
                (1_209_600.0, "14d"),
                (150.0, "2m 30s"),
            ],
        );
    }

    #[test]
    fn sizes_are_decimal() {
        check(
            bytes,
            &[
                (0.0, "0B"),
                (512.0, "512B"),
                (5.4e6, "5.4MB"),
                (999_600.0, "1MB"),
                (138e6, "138MB"),
            ],
        );
        check(bit_rate, &[(256_000.0, "256kbit/s"), (2e6, "2Mbit/s")]);
    }

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        check(
            fraction,
            &[
                (1.0, "100%"),
                (0.0, "0%"),
                (0.996, "99.6%"),
                (0.9999, "99.99%"),
                (0.999_999, "99.9999%"),
                (0.5, "50%"),
                (0.0012, "0.12%"),
                (5.6e-6, "5.6ppm"),
                (1.25, "125%"),
            ],
        );
        check(
            deviation,
            &[(0.016, "+1.6%"), (-0.08, "-8.0%"), (-0.0001, "+0.0%")],
        );
    }

    #[test]
    fn numbers_are_grouped() {
        check(
            count,
            &[
                (0.0, "0"),
                (1204.0, "1,204"),
                (2.5, "2.5"),
                (12.34, "12.3"),
                (1e6, "1,000,000"),
            ],
        );
        check(
            ratio,
            &[
                (26_341.0, "26,000"),
                (3.12, "3.1"),
                (195_321.0, "200,000"),
                (43.2, "43"),
            ],
        );
    }
}
