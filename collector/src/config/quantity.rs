//! Quantities as people write them: `512MiB`, `256kbit/s`, `1500ms`, `99%`.
//!
//! A bare number is refused everywhere: nobody can tell whether `timeout = 10` is seconds. Every parser says which bytes of
//! the text are wrong. Next: `model`, which uses them; `grammar`, which says what a parser's error is.

use std::time::Duration;

use super::{
    codes,
    grammar::{Grammar, Part, TextError, write_with_units},
};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A data rate in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(pub u64);

impl BitRate {
    /// Bytes per second.
    pub fn bytes_per_second(self) -> f64 {
        self.0 as f64 / 8.0
    }
}

/// Sizes, in bytes.
const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

/// Rates, in bits per second. Line rates count in thousands, as line operators do.
const RATES: &[(&str, f64)] = &[
    ("bit/s", 1.0),
    ("kbit/s", 1e3),
    ("Mbit/s", 1e6),
    ("Gbit/s", 1e9),
    ("B/s", 8.0),
    ("kB/s", 8e3),
    ("KB/s", 8e3),
    ("MB/s", 8e6),
    ("GB/s", 8e9),
    ("KiB/s", 8.0 * 1024.0),
    ("MiB/s", 8.0 * 1_048_576.0),
];

/// Times, in seconds.
const TIMES: &[(&str, f64)] = &[
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("min", 60.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86400.0),
];

/// Shares, as fractions.
const SHARES: &[(&str, f64)] = &[("%", 0.01), ("ppm", 1e-6)];

/// Events, per second.
const EVENTS: &[(&str, f64)] = &[
    ("/s", 1.0),
    ("/min", 1.0 / 60.0),
    ("/m", 1.0 / 60.0),
    ("/h", 1.0 / 3600.0),
    ("/d", 1.0 / 86400.0),
];

/// Nothing in a store lasts longer than a century, and nanoseconds of it fit into 64 bits.
const TIME_MAX: f64 = 100.0 * 365.0 * 86400.0;

/// A duration: "90s", "1h30m".
pub static DURATION: Grammar = Grammar {
    name: "a duration",
    doc: "numbers with ns, us, ms, s, m, h or d, such as 1500ms, 10m or 1h30m",
    pattern: r"^ *([0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|min|m|h|d) ?)+$",
    examples: &["10s", "90m", "1h30m"],
    units: &["s", "m", "h"],
    check: |text| duration(text).map(drop),
};

/// A duration with a sign: "-90s".
pub static SIGNED_DURATION: Grammar = Grammar {
    name: "a duration with a sign",
    doc: "a duration that may be negative, such as -90s",
    pattern: r"^ *[+-]? ?([0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|min|m|h|d) ?)+$",
    examples: &["-90s", "+2m"],
    units: &["s", "m", "h"],
    check: |text| signed_seconds(text).map(drop),
};

/// A size: "512MiB".
pub static SIZE: Grammar = Grammar {
    name: "a size",
    doc: "a number with B, kB, MB, GB, KiB, MiB or GiB, such as 512MiB",
    pattern: r"^ *[0-9]+(\.[0-9]+)? ?(B|[kKMGT]B|[KMGT]iB) *$",
    examples: &["1200B", "256KiB", "1GiB"],
    units: &["B", "KiB", "MiB"],
    check: |text| byte_size(text).map(drop),
};

/// A data rate: "256kbit/s", "18MB/s".
pub static RATE: Grammar = Grammar {
    name: "a data rate",
    doc: "a number with bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s or MB/s, such as 256kbit/s",
    pattern: r"^ *[0-9]+(\.[0-9]+)? ?([kMG]?bit/s|[kKMG]?B/s|[KM]iB/s) *$",
    examples: &["256kbit/s", "10Mbit/s", "48KB/s"],
    units: &["kbit/s", "Mbit/s", "kB/s"],
    check: |text| bit_rate(text).map(drop),
};

/// A share: "99%", "180ppm".
pub static SHARE: Grammar = Grammar {
    name: "a share",
    doc: "a number with % or ppm, such as 99%",
    pattern: r"^ *[+-]?[0-9]+(\.[0-9]+)? ?(%|ppm) *$",
    examples: &["99%", "0.01%", "180ppm"],
    units: &["%"],
    check: |text| share(text).map(drop),
};

/// Events in a time: "180/h".
pub static EVENT_RATE: Grammar = Grammar {
    name: "a number of events in a time",
    doc: "a number with /s, /min, /h or /d, such as 180/h",
    pattern: r"^ *[0-9]+(\.[0-9]+)? ?/(s|min|m|h|d) *$",
    examples: &["50/s", "180/h"],
    units: &["/s", "/min", "/h"],
    check: |text| events_per_second(text).map(drop),
};

/// A duration.
///
/// # Errors
/// If it is not a list of numbers with units of time, or longer than a century.
pub fn duration(text: &str) -> Result<Duration, TextError> {
    let part = Part::whole(text);
    let seconds = seconds(part, &DURATION)?;
    // Whole nanoseconds: 0.1 s is written as 100 ms by people, and must be exactly that.
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

/// A duration with a sign, in seconds.
///
/// # Errors
/// Like [`duration`].
pub fn signed_seconds(text: &str) -> Result<f64, TextError> {
    let part = Part::whole(text);
    match part.text.chars().next() {
        Some('-') => Ok(-seconds(part.slice(1..part.text.len()), &SIGNED_DURATION)?),
        Some('+') => seconds(part.slice(1..part.text.len()), &SIGNED_DURATION),
        _ => seconds(part, &SIGNED_DURATION),
    }
}

fn seconds(part: Part<'_>, grammar: &Grammar) -> Result<f64, TextError> {
    let mut total = 0.0;
    let mut rest = part;
    loop {
        let (number, unit, after) = number_and_unit(rest, grammar)?;
        total += apply(number, factor(unit, TIMES, grammar)?);
        rest = after;
        if rest.text.is_empty() {
            break;
        }
    }
    if total > TIME_MAX {
        return Err(TextError::new(
            &codes::E0107,
            part.range(),
            "`{key}` is longer than a century",
            "too long",
        )
        .help(String::from("the longest is 36500d")));
    }
    Ok(total)
}

/// A number of bytes.
///
/// # Errors
/// If it is not a number with a unit of size.
pub fn byte_size(text: &str) -> Result<ByteSize, TextError> {
    Ok(ByteSize(scaled(text, SIZES, &SIZE)?.round() as u64))
}

/// A data rate.
///
/// # Errors
/// If it is not a number with a unit of rate.
pub fn bit_rate(text: &str) -> Result<BitRate, TextError> {
    Ok(BitRate(scaled(text, RATES, &RATE)?.round() as u64))
}

/// A fraction: 99 % is 0.99.
///
/// # Errors
/// If it is not a number with `%` or `ppm`.
pub fn share(text: &str) -> Result<f64, TextError> {
    let part = Part::whole(text);
    match part.text.chars().next() {
        Some('-') => Ok(-part
            .slice(1..part.text.len())
            .parse(|t| scaled(t, SHARES, &SHARE))?),
        Some('+') => part
            .slice(1..part.text.len())
            .parse(|t| scaled(t, SHARES, &SHARE)),
        _ => scaled(text, SHARES, &SHARE),
    }
}

/// A fraction from 0 to 1.
///
/// # Errors
/// If it is not a share, or not within 0 % and 100 %.
pub fn proportion(text: &str) -> Result<f64, TextError> {
    let value = share(text)?;
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(TextError::new(
        &codes::E0107,
        Part::whole(text).range(),
        "`{key}` is not within 0% and 100%",
        "out of range",
    ))
}

/// A number of events per second.
///
/// # Errors
/// If it is not a number with `/s`, `/min`, `/h` or `/d`.
pub fn events_per_second(text: &str) -> Result<f64, TextError> {
    scaled(text, EVENTS, &EVENT_RATE)
}

fn scaled(text: &str, units: &[(&str, f64)], grammar: &Grammar) -> Result<f64, TextError> {
    let part = Part::whole(text);
    let (number, unit, after) = number_and_unit(part, grammar)?;
    if !after.text.is_empty() {
        return Err(TextError::value(
            after.range(),
            format!("`{{key}}` is not {}", grammar.name),
            "not expected here",
        )
        .help(format!("write {}", grammar.doc)));
    }
    Ok(apply(number, factor(unit, units, grammar)?))
}

/// The first number of a text, its unit, and the rest.
fn number_and_unit<'t>(
    part: Part<'t>,
    grammar: &Grammar,
) -> Result<(f64, Part<'t>, Part<'t>), TextError> {
    let digits = part
        .text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(part.text.len());
    let written = part.slice(0..digits);
    let number = written.text.parse::<f64>().ok().filter(|n| n.is_finite());
    let Some(number) = number.filter(|_| !written.text.is_empty()) else {
        return Err(TextError::value(
            part.range(),
            format!("`{{key}}` is not {}", grammar.name),
            "no number here",
        )
        .help(format!("write {}", grammar.doc)));
    };
    let rest = part.slice(digits..part.text.len());
    let unit_len = rest
        .text
        .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
        .unwrap_or(rest.text.len());
    let unit = rest.slice(0..unit_len);
    if unit.text.is_empty() {
        return Err(TextError::new(
            &codes::E0103,
            written.range(),
            "`{key}` needs a unit",
            "a bare number",
        )
        .help(write_with_units(written.text, grammar.units)));
    }
    Ok((number, unit, rest.slice(unit_len..rest.text.len())))
}

/// Units below one divide, so that 180 ppm is the number nearest to 0.00018 and not one beside it.
fn apply(number: f64, factor: f64) -> f64 {
    if factor < 1.0 {
        number / (1.0 / factor).round()
    } else {
        number * factor
    }
}

fn factor(unit: Part<'_>, units: &[(&str, f64)], grammar: &Grammar) -> Result<f64, TextError> {
    if let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit.text) {
        return Ok(*factor);
    }
    let names = units.iter().map(|(name, _)| *name);
    let help = match usual_name(unit.text).filter(|u| names.clone().any(|n| n == u)) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None => super::did_you_mean(unit.text, names, "units"),
    };
    Err(TextError::value(
        unit.range(),
        format!("`{}` is not a unit of {}", unit.text, bare(grammar.name)),
        "unknown unit",
    )
    .help(help))
}

/// Our name for a unit that people also write in other ways.
fn usual_name(unit: &str) -> Option<String> {
    let lower = unit.to_lowercase();
    // A small b is a bit, as in "2Mb".
    if let Some(prefix) = unit.trim_end_matches("/s").strip_suffix('b') {
        return Some(format!("{prefix}bit/s"));
    }
    if let Some(prefix) = lower.strip_suffix("bps") {
        let prefix = match prefix {
            "" | "k" => prefix.to_owned(),
            other => other.to_uppercase(),
        };
        return Some(format!("{prefix}bit/s"));
    }
    let name = match lower.as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "msec" | "millis" => "ms",
        "percent" => "%",
        "/hour" => "/h",
        "/sec" => "/s",
        _ => return None,
    };
    Some(name.to_owned())
}

/// "a data rate" without its article.
fn bare(name: &str) -> &str {
    name.strip_prefix("a ").unwrap_or(name)
}

/// A duration as people write it: `1h 30m`, `12m 40s`, `3.5s`, `250ms`.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        return format!("{}ms", trim_zeros(seconds * 1e3));
    }
    if seconds < 60.0 {
        return format!("{}s", trim_zeros(seconds));
    }
    let whole = seconds.round() as u64;
    let parts = [
        (whole / 86400, "d"),
        (whole / 3600 % 24, "h"),
        (whole / 60 % 60, "m"),
        (whole % 60, "s"),
    ];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect();
    shown.join(" ")
}

/// A number of bytes as people write it: `5.4MB`, `256KiB`, `900B`.
pub fn show_bytes(bytes: f64) -> String {
    for (unit, factor) in [
        ("GiB", 1024.0 * 1_048_576.0),
        ("MiB", 1_048_576.0),
        ("KiB", 1024.0),
    ] {
        if bytes >= factor && bytes % factor == 0.0 {
            return format!("{}{unit}", bytes / factor);
        }
    }
    for (unit, factor) in [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] {
        if bytes >= factor {
            return format!("{}{unit}", trim_zeros(bytes / factor));
        }
    }
    format!("{}B", trim_zeros(bytes))
}

/// A bit rate as people write it: `256kbit/s`, `2Mbit/s`.
pub fn show_bit_rate(rate: BitRate) -> String {
    for (unit, factor) in [("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)] {
        if rate.0 as f64 >= factor {
            return format!("{}{unit}", trim_zeros(rate.0 as f64 / factor));
        }
    }
    format!("{}bit/s", rate.0)
}

/// At most two decimals, without zeros at the end.
fn trim_zeros(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_exact() {
        let check = |text: &str, ms: u64| {
            assert_eq!(
                duration(text).expect(text),
                Duration::from_millis(ms),
                "{text}"
            );
        };
        check("10s", 10_000);
        check("1500ms", 1_500);
        check("1h30m", 5_400_000);
        check("1h 30m", 5_400_000);
        check("0.1s", 100);
        check("14d", 14 * 86_400_000);
        check("2min", 120_000);
        assert_eq!(duration("180us").expect("us"), Duration::from_micros(180));
        assert_eq!(signed_seconds("-90s").expect("signed"), -90.0);
    }

    #[test]
    fn sizes_rates_and_shares_count_as_operators_do() {
        assert_eq!(byte_size("48KB").expect("KB"), ByteSize(48_000));
        assert_eq!(byte_size("48kB").expect("kB"), ByteSize(48_000));
        assert_eq!(byte_size("256KiB").expect("KiB"), ByteSize(262_144));
        assert_eq!(byte_size("1.5GiB").expect("GiB"), ByteSize(1_610_612_736));
        assert_eq!(byte_size("0B").expect("zero"), ByteSize(0));
        assert_eq!(bit_rate("256kbit/s").expect("kbit"), BitRate(256_000));
        assert_eq!(bit_rate("18MB/s").expect("MB/s"), BitRate(144_000_000));
        assert_eq!(bit_rate("48KB/s").expect("KB/s"), BitRate(384_000));
        assert_eq!(share("99%").expect("share"), 0.99);
        assert_eq!(share("+180ppm").expect("ppm"), 180e-6);
        assert_eq!(events_per_second("180/h").expect("events"), 0.05);
        assert!(proportion("101%").is_err());
    }

    #[test]
    fn errors_blame_the_exact_bytes() {
        let check = |result: Result<(), TextError>, text: &str, code: &str, blamed: &str| {
            let err = result.expect_err(text);
            assert_eq!((err.code.id, &text[err.at]), (code, blamed), "{text}");
        };
        let time = |t: &str| duration(t).map(drop);
        let size = |t: &str| byte_size(t).map(drop);
        check(time("10"), "10", "E0103", "10");
        check(time("1h30"), "1h30", "E0103", "30");
        check(time("10 sec"), "10 sec", "E0105", "sec");
        check(time("soon"), "soon", "E0105", "soon");
        check(time("1.2.3s"), "1.2.3s", "E0105", "1.2.3s");
        check(time("200000d"), "200000d", "E0107", "200000d");
        check(size("64mb"), "64mb", "E0105", "mb");
        check(size("64MB of"), "64MB of", "E0105", "of");
        let err = bit_rate("2Mbps").expect_err("bits");
        assert_eq!(err.help.as_deref(), Some("did you mean `Mbit/s`?"));
        let err = bit_rate("2Mb").expect_err("bits");
        assert_eq!(err.help.as_deref(), Some("did you mean `Mbit/s`?"));
    }

    #[test]
    fn quantities_are_shown_as_people_write_them() {
        let ms = Duration::from_millis;
        assert_eq!(show_duration(ms(250)), "250ms");
        assert_eq!(show_duration(ms(3_500)), "3.5s");
        assert_eq!(show_duration(ms(207_700)), "3m 28s");
        assert_eq!(show_duration(Duration::from_secs(1_209_600)), "14d");
        assert_eq!(show_bytes(5.4e6), "5.4MB");
        assert_eq!(show_bytes(262_144.0), "256KiB");
        assert_eq!(show_bit_rate(BitRate(256_000)), "256kbit/s");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,20}") {
            let parsers: [&Grammar; 6] = [&DURATION, &SIGNED_DURATION, &SIZE, &RATE, &SHARE, &EVENT_RATE];
            for grammar in parsers {
                if let Err(err) = (grammar.check)(&text) {
                    prop_assert!(err.at.start <= text.len());
                }
            }
        }

        #[test]
        fn what_is_written_is_read(n in 0_u64..1_000_000, unit in 0_usize..4) {
            let (unit, ms) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)][unit];
            prop_assume!(n * ms < 100 * 365 * 86_400_000);
            prop_assert_eq!(duration(&format!("{n}{unit}")).expect("valid"), Duration::from_millis(n * ms));
        }
    }
}
