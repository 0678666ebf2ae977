//! The small grammars of a scenario's values: distributions, loss, arrivals, money, seeds, the start of the run.
//!
//! Each parser blames exact bytes. Times that refer to faults stand in `time`, expectations in `parse`.

use std::time::Duration;

use backroom_collector::config::{
    codes::{E0106, E0107},
    did_you_mean,
    grammar::{Call, Grammar, Part, TextError},
    quantity,
};
use jiff::{Timestamp, ZonedDateTime};

use super::{Loss, codes};
use crate::dist::Dist;

/// A distribution of times.
pub static DIST_TIME: Grammar = Grammar {
    name: "a distribution of times",
    doc: "a duration, or const(d), uniform(a, b), exp(mean=d), lognormal(p50=d, p99=d), weibull(p50=d, p99=d), pareto(p50=d, p99=d), quantiles(min=d, p50=d, …, max=d)",
    pattern: r"^ *([0-9].*|(const|uniform|exp|lognormal|weibull|pareto|quantiles)\(.*\)) *$",
    examples: &[
        "lognormal(p50=17ms, p99=71ms)",
        "uniform(35s, 70s)",
        "exp(mean=2h)",
        "30s",
    ],
    units: &["ms", "s", "m"],
    check: |text| dist_time(text).map(drop),
};

/// What a machine does with a message: how long it takes, or the program that decides it.
pub static SERVICE: Grammar = Grammar {
    name: "a distribution of times, or the name of a service",
    doc: "a duration, or const(d), uniform(a, b), exp(mean=d), lognormal(p50=d, p99=d); the name of a custom service",
    pattern: "",
    examples: &["lognormal(p50=2ms, p99=18ms)", "fridge"],
    units: &["ms", "s", "m"],
    check: |text| match name(text) {
        Ok(()) if !text.starts_with(|c: char| c.is_ascii_digit()) => Ok(()),
        _ => dist_time(text).map(drop),
    },
};

/// A distribution of counts.
pub static DIST_COUNT: Grammar = Grammar {
    name: "a distribution of counts",
    doc: "const(n), uniform(a, b), geometric(mean=n), lognormal(p50=n, p99=n), quantiles(min=n, p50=n, …, max=n)",
    pattern: r"^ *([0-9].*|(const|uniform|geometric|exp|lognormal|weibull|pareto|quantiles)\(.*\)) *$",
    examples: &["geometric(mean=2.2)", "const(1)"],
    units: &[],
    check: |text| dist_count(text).map(drop),
};

/// Packet loss.
pub static LOSS: Grammar = Grammar {
    name: "a loss",
    doc: "a share such as 0.1%, or gilbert(enter=0.02%, leave=20%, loss=60%)",
    pattern: r"^ *([0-9.]+ ?(%|ppm)|gilbert\(.*\)) *$",
    examples: &["0.1%", "gilbert(enter=0.02%, leave=20%, loss=60%)"],
    units: &["%"],
    check: |text| loss(text).map(drop),
};

/// A share from 0 % to 100 %.
pub static PROPORTION: Grammar = Grammar {
    name: "a share",
    doc: "a number with %, from 0% to 100%",
    pattern: r"^ *[0-9]+(\.[0-9]+)? ?(%|ppm) *$",
    examples: &["80%"],
    units: &["%"],
    check: |text| quantity::proportion(text).map(drop),
};

/// How sure a verdict must be.
pub static CONFIDENCE: Grammar = Grammar {
    name: "a confidence",
    doc: "a share from 50% to 99.9%",
    pattern: r"^ *[0-9]+(\.[0-9]+)? ?% *$",
    examples: &["95%"],
    units: &["%"],
    check: |text| confidence(text).map(drop),
};

/// When things arrive.
pub static ARRIVALS: Grammar = Grammar {
    name: "an arrival process",
    doc: "poisson, constant, negbin(dispersion=k), mmpp(calm=…, rush=…, factor=…), schedule(HH:MM, …), replay(file, column=…)",
    pattern: r"^(poisson|constant|(negbin|mmpp|schedule|replay)\(.*\))$",
    examples: &[
        "poisson",
        "constant",
        "negbin(dispersion=2)",
        "mmpp(calm=40m, rush=5m, factor=4)",
        "schedule(04:30)",
        "replay(orders.csv, column=placed_at)",
    ],
    units: &[],
    check: |text| arrivals(text).map(drop),
};

/// A rate of events or of bytes.
pub static TRAFFIC_RATE: Grammar = Grammar {
    name: "a rate",
    doc: "events in a time such as 180/h, or a data rate such as 48KB/s",
    pattern: r"^ *[0-9]+(\.[0-9]+)? ?(/(s|min|m|h|d)|[kMG]?bit/s|[kKMG]?B/s|[KM]iB/s) *$",
    examples: &["180/h", "48KB/s"],
    units: &["/h", "kB/s"],
    check: |text| {
        let events = quantity::events_per_second(text);
        if events.is_ok() {
            return Ok(());
        }
        quantity::bit_rate(text).map(drop)
    },
};

/// An amount of money.
pub static MONEY: Grammar = Grammar {
    name: "an amount of money",
    doc: "a number and a currency, such as 50 USD",
    pattern: r"^ *[0-9]+(\.[0-9]{1,2})? ?[A-Z]{3} *$",
    examples: &["50 USD", "19.90 EUR"],
    units: &[" USD", " EUR"],
    check: |text| money(text).map(drop),
};

/// Seeds.
pub static SEEDS: Grammar = Grammar {
    name: "seeds",
    doc: "a range such as 1..=20, a count, or a list",
    pattern: r"^ *[0-9]+ *(\.\.=? *[0-9]+)? *$",
    examples: &["1..=20"],
    units: &[],
    check: |text| seeds(text).map(drop),
};

/// The wall clock at the start.
pub static START: Grammar = Grammar {
    name: "a date, time and offset",
    doc: "store-local date and time with its offset, such as 2025-03-14T11:30:00-05:00",
    pattern: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}",
    examples: &["2025-03-14T11:30:00-05:00"],
    units: &[],
    check: |text| start(text).map(drop),
};

/// A name, as faults and expectations have.
pub static NAME: Grammar = Grammar {
    name: "a name",
    doc: "letters, digits, - and _",
    pattern: "^[A-Za-z0-9_-]+$",
    examples: &["uplink-cut"],
    units: &[],
    check: name,
};

/// Letters, digits, - and _: a name that can stand in a time, a window and a path.
///
/// # Errors
/// At the first other character.
pub fn name(text: &str) -> Result<(), TextError> {
    let bad = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    match bad {
        None if !text.is_empty() => Ok(()),
        None => Err(TextError::value(
            0..1,
            "`{key}` is empty",
            "a name belongs here",
        )),
        Some(i) => {
            let len = text[i..].chars().next().map_or(1, char::len_utf8);
            Err(TextError::value(
                i..i + len,
                format!("`{text}` is not a name"),
                "only letters, digits, - and _",
            ))
        }
    }
}

/// A distribution of times, in seconds.
///
/// # Errors
/// See [`dist`].
pub fn dist_time(text: &str) -> Result<Dist, TextError> {
    dist(text, |t| quantity::duration(t).map(|d| d.as_secs_f64()))
}

/// A distribution of counts.
///
/// # Errors
/// See [`dist`].
pub fn dist_count(text: &str) -> Result<Dist, TextError> {
    dist(text, plain_number)
}

fn plain_number(text: &str) -> Result<f64, TextError> {
    let part = Part::whole(text);
    part.text
        .parse::<f64>()
        .ok()
        .filter(|n| n.is_finite() && *n >= 0.0)
        .ok_or_else(|| TextError::value(part.range(), "`{key}` is not a number", "no number here"))
}

/// A distribution whose figures are parsed by `value`.
///
/// # Errors
/// If it is unknown, or if its figures are missing, unreadable or contradict each other.
pub fn dist(text: &str, value: impl Fn(&str) -> Result<f64, TextError>) -> Result<Dist, TextError> {
    let call = Call::parse(text)?;
    if call.args.is_empty() && call.name.text.starts_with(|c: char| c.is_ascii_digit()) {
        return call.name.parse(value).map(Dist::Const);
    }
    let impossible = |part: Part<'_>, why: &str| {
        TextError::new(
            &E0107,
            part.range(),
            format!("`{}` does not exist with these figures", call.name.text),
            why,
        )
    };
    match call.name.text {
        "const" => {
            let [v] = call.named(["value"])?;
            Ok(Dist::Const(v.parse(value)?))
        }
        "uniform" => {
            let [a_part, b_part] = call.named(["min", "max"])?;
            let (a, b) = (a_part.parse(&value)?, b_part.parse(&value)?);
            if a > b {
                return Err(impossible(b_part, "less than the first bound"));
            }
            Ok(Dist::Uniform(a, b))
        }
        "exp" => {
            let [mean] = call.named(["mean"])?;
            Ok(Dist::Exp {
                mean: mean.parse(value)?,
            })
        }
        "lognormal" | "weibull" | "pareto" => {
            let [(q1, v1), (q2, v2)] = two_quantiles(&call, &value)?;
            let last = call.args.len() - 1;
            match call.name.text {
                "lognormal" => Ok(Dist::log_normal((q1, v1), (q2, v2))),
                "weibull" => Ok(Dist::weibull((q1, v1), (q2, v2))),
                _ => Dist::pareto((q1, v1), (q2, v2)).ok_or_else(|| {
                    impossible(
                        call.args[last].1,
                        "its tail is so heavy that it has no mean",
                    )
                }),
            }
        }
        "quantiles" => {
            let list = quantiles_of(&call, &value)?;
            let is_whole = |list: &[(f64, f64)]| {
                list.first().is_some_and(|q| q.0 == 0.0) && list.last().is_some_and(|q| q.0 == 1.0)
            };
            match is_whole(&list) {
                true => Ok(Dist::Quantiles(list)),
                false => Err(TextError::value(
                    call.name.range(),
                    "`quantiles` needs `min` and `max`",
                    "an argument is missing",
                )
                .help(String::from("write quantiles(min=…, p50=…, max=…)"))),
            }
        }
        "geometric" => {
            let [mean_part] = call.named(["mean"])?;
            let mean = mean_part.parse(value)?;
            if mean < 1.0 {
                return Err(impossible(mean_part, "the mean must be at least 1"));
            }
            Ok(Dist::Geometric { mean })
        }
        other => Err(TextError::new(
            &codes::E0111,
            call.name.range(),
            format!("there is no distribution `{other}`"),
            "not a distribution",
        )
        .help(did_you_mean(
            other,
            [
                "const",
                "uniform",
                "exp",
                "lognormal",
                "weibull",
                "pareto",
                "quantiles",
                "geometric",
            ],
            "one of",
        ))),
    }
}

/// Most quantiles that a distribution is given by.
const QUANTILES_MAX: usize = 64;

/// Values by quantile: `p50=17ms`, `min` and `max`; growing in both. Without a name the first is the median and the second the p99.
fn quantiles_of(
    call: &Call<'_>,
    value: impl Fn(&str) -> Result<f64, TextError>,
) -> Result<Vec<(f64, f64)>, TextError> {
    let mut list: Vec<(f64, f64)> = Vec::new();
    if call.args.len() > QUANTILES_MAX {
        return Err(TextError::new(
            &E0107,
            call.name.range(),
            format!("more than {QUANTILES_MAX} percentiles"),
            "too many",
        ));
    }
    for (index, (key, at)) in call.args.iter().enumerate() {
        let q = match key.map(|k| k.text) {
            Some("min") => Some(0.0),
            Some("max") => Some(1.0),
            Some(name) => super::parse::quantile(name),
            None => [0.5, 0.99].get(index).copied(),
        };
        let blame = key.unwrap_or(*at);
        let Some(q) = q else {
            return Err(TextError::value(
                blame.range(),
                format!("`{}` has no argument `{}`", call.name.text, blame.text),
                "not a percentile",
            )
            .help(String::from(
                "write percentiles such as p50=…, p90=…, p99=…",
            )));
        };
        let found = at.parse(&value)?;
        if let Some((before, least)) = list.last().copied() {
            if q <= before {
                return Err(TextError::new(
                    &E0107,
                    blame.range(),
                    format!("`{}` is out of order", call.name.text),
                    "percentiles grow",
                ));
            }
            if found < least {
                return Err(TextError::new(
                    &E0107,
                    at.range(),
                    format!("`{}` does not exist with these figures", call.name.text),
                    "less than a lower percentile",
                ));
            }
        }
        list.push((q, found));
    }
    Ok(list)
}

/// Two percentiles, the lower one more than zero.
fn two_quantiles(
    call: &Call<'_>,
    value: impl Fn(&str) -> Result<f64, TextError>,
) -> Result<[(f64, f64); 2], TextError> {
    let list = quantiles_of(call, value)?;
    let [low, high] = list.as_slice() else {
        return Err(TextError::value(
            call.name.range(),
            format!("`{}` needs two percentiles", call.name.text),
            format!("{} given", list.len()),
        )
        .help(format!("write {}(p50=…, p99=…)", call.name.text)));
    };
    for ((q, _), (key, _)) in list.iter().zip(&call.args) {
        if let (true, Some(key)) = (*q <= 0.0 || *q >= 1.0, key) {
            return Err(TextError::value(
                key.range(),
                format!("`{}` has no argument `{}`", call.name.text, key.text),
                "not a percentile",
            )
            .help(String::from("write percentiles such as p50=…, p99=…")));
        }
    }
    if low.1 <= 0.0 {
        return Err(TextError::new(
            &E0107,
            call.args[0].1.range(),
            format!("`{}` does not exist with these figures", call.name.text),
            "must be more than zero",
        ));
    }
    Ok([*low, *high])
}

/// How sure a verdict must be, as a fraction.
///
/// # Errors
/// If it is not a share from 50 % to 99.9 %: below, a coin would do; above, no number of seeds would.
pub fn confidence(text: &str) -> Result<f64, TextError> {
    let part = Part::whole(text);
    let level = part.parse(quantity::proportion)?;
    if (0.5..=0.999).contains(&level) {
        return Ok(level);
    }
    Err(TextError::new(
        &E0107,
        part.range(),
        "`{key}` is out of range",
        "expected 50% to 99.9%",
    ))
}

/// Packet loss.
///
/// # Errors
/// If it is neither a share nor `gilbert(…)`.
pub fn loss(text: &str) -> Result<Loss, TextError> {
    let call = Call::parse(text)?;
    if call.args.is_empty() && call.name.text.starts_with(|c: char| c.is_ascii_digit()) {
        return quantity::proportion(text).map(Loss::Bernoulli);
    }
    if call.name.text != "gilbert" {
        return Err(TextError::new(
            &E0106,
            call.name.range(),
            format!("there is no loss model `{}`", call.name.text),
            "not a loss model",
        )
        .help(String::from(
            "write a share such as \"0.1%\", or gilbert(enter=…, leave=…, loss=…)",
        )));
    }
    let [enter, leave, lost] = call.named(["enter", "leave", "loss"])?;
    let leave_share = leave.parse(quantity::proportion)?;
    if leave_share <= 0.0 {
        return Err(TextError::new(
            &E0107,
            leave.range(),
            "a bad spell would never end",
            "must be more than zero",
        ));
    }
    Ok(Loss::Gilbert {
        enter: enter.parse(quantity::proportion)?,
        leave: leave_share,
        loss: lost.parse(quantity::proportion)?,
    })
}

/// When things arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// Independent of each other.
    Poisson,
    /// Evenly spread.
    Constant,
    /// At these times of day, in seconds since midnight.
    Schedule(Vec<u32>),
    /// In bursts.
    NegBin {
        /// More than zero.
        dispersion: f64,
        /// The interval whose counts it is about; a minute unless given.
        per: Duration,
    },
    /// Calm and rush in turn.
    Mmpp {
        /// Mean length of a calm.
        calm: Duration,
        /// Mean length of a rush.
        rush: Duration,
        /// How many times as fast in a rush.
        factor: f64,
    },
    /// As recorded.
    Replay {
        /// The file, as written.
        file: String,
        /// The column with the times: its name, or its number from 1.
        column: String,
    },
}

/// An arrival process.
///
/// # Errors
/// If it is unknown, or a time of day is wrong.
pub fn arrivals(text: &str) -> Result<Arrivals, TextError> {
    let call = Call::parse(text)?;
    match call.name.text {
        "poisson" => call.named([]).map(|_| Arrivals::Poisson),
        "constant" => call.named([]).map(|_| Arrivals::Constant),
        "schedule" => {
            let times: Result<Vec<u32>, TextError> = call
                .args
                .iter()
                .map(|(_, value)| value.parse(super::time::clock))
                .collect();
            let times = times?;
            if times.is_empty() {
                return Err(TextError::value(
                    call.name.range(),
                    "`schedule` needs a time of day",
                    "an argument is missing",
                )
                .help(String::from("write schedule(04:30)")));
            }
            Ok(Arrivals::Schedule(times))
        }
        "negbin" => negbin(&call),
        "mmpp" => mmpp(&call),
        "replay" => {
            let [file, column] = call.named(["file", "column"])?;
            Ok(Arrivals::Replay {
                file: file.text.to_owned(),
                column: column.text.to_owned(),
            })
        }
        other => Err(TextError::new(
            &E0106,
            call.name.range(),
            format!("there is no arrival process `{other}`"),
            "not one of its words",
        )
        .help(did_you_mean(
            other,
            [
                "poisson", "constant", "negbin", "mmpp", "schedule", "replay",
            ],
            "one of",
        ))),
    }
}

/// A number from `least` to `most`.
fn number_within(part: Part<'_>, least: f64, most: f64) -> Result<f64, TextError> {
    let number = part.parse(plain_number)?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(TextError::new(
        &E0107,
        part.range(),
        format!("`{}` is out of range", part.text),
        format!("expected {least} to {most}"),
    ))
}

/// A duration from one second to a year.
fn stay(part: Part<'_>) -> Result<Duration, TextError> {
    let time = part.parse(quantity::duration)?;
    if (Duration::from_secs(1)..=Duration::from_secs(366 * 86_400)).contains(&time) {
        return Ok(time);
    }
    Err(TextError::new(
        &E0107,
        part.range(),
        format!("`{}` is out of range", part.text),
        "expected 1s to 366d",
    ))
}

fn negbin(call: &Call<'_>) -> Result<Arrivals, TextError> {
    let has_per = call.args.len() > 1;
    let (dispersion, per) = match has_per {
        true => {
            let [dispersion, per] = call.named(["dispersion", "per"])?;
            (dispersion, stay(per)?)
        }
        false => {
            let [dispersion] = call.named(["dispersion"])?;
            (dispersion, Duration::from_secs(60))
        }
    };
    Ok(Arrivals::NegBin {
        dispersion: number_within(dispersion, 0.01, 1e6)?,
        per,
    })
}

fn mmpp(call: &Call<'_>) -> Result<Arrivals, TextError> {
    let [calm, rush, factor] = call.named(["calm", "rush", "factor"])?;
    Ok(Arrivals::Mmpp {
        calm: stay(calm)?,
        rush: stay(rush)?,
        factor: number_within(factor, 1.0, 1e4)?,
    })
}

/// An amount of money, in minor units.
///
/// # Errors
/// If it is not a number with a currency of three capital letters.
pub fn money(text: &str) -> Result<u64, TextError> {
    let part = Part::whole(text);
    let digits = part
        .text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(part.text.len());
    let (number, currency) = (part.slice(0..digits), part.slice(digits..part.text.len()));
    let amount = number.parse(plain_number)?;
    let is_code = currency.text.len() == 3 && currency.text.bytes().all(|b| b.is_ascii_uppercase());
    if !is_code {
        return Err(TextError::value(
            currency.range(),
            "`{key}` needs a currency",
            "expected a code such as USD",
        )
        .help(format!("write \"{} USD\"", number.text)));
    }
    Ok((amount * 100.0).round() as u64)
}

/// Most seeds that one run may have; more is a slip of the finger.
const SEEDS_MAX: u64 = 1_000_000;

/// `1..=20`, `1..21`, or a count.
///
/// # Errors
/// If it is none of these, empty, or more than a million.
pub fn seeds(text: &str) -> Result<Vec<u64>, TextError> {
    let part = Part::whole(text);
    let number = |p: Part<'_>| {
        p.text.parse::<u64>().map_err(|_| {
            TextError::value(
                p.range(),
                "`{key}` is not a range of seeds",
                "no number here",
            )
            .help(String::from("write \"1..=20\", or a count"))
        })
    };
    let (first, last) = match part.text.find("..") {
        None => (1, number(part)?),
        Some(i) => {
            let rest = part.slice(i + 2..part.text.len());
            let (inclusive, end) = match rest.text.strip_prefix('=') {
                Some(_) => (true, rest.slice(1..rest.text.len())),
                None => (false, rest),
            };
            let last = number(end)?;
            let first = number(part.slice(0..i))?;
            (
                first,
                if inclusive {
                    last
                } else {
                    last.saturating_sub(1)
                },
            )
        }
    };
    if last < first || last - first >= SEEDS_MAX {
        return Err(TextError::new(
            &E0107,
            part.range(),
            "`{key}` has no seeds, or more than a million",
            "out of range",
        ));
    }
    Ok((first..=last).collect())
}

/// The wall clock at the start of the run.
///
/// # Errors
/// If it is not a date and time with an offset or a time zone.
pub fn start(text: &str) -> Result<ZonedDateTime, TextError> {
    let wrong = |label: &str| {
        TextError::new(
            &codes::E0113,
            0..text.len().max(1),
            "`{key}` is not a date, time and offset",
            label,
        )
        .help(String::from("write \"2025-03-14T11:30:00-05:00\""))
    };
    if text.contains('[') {
        return text.parse().map_err(|_| wrong("not a time in a time zone"));
    }
    let pieces =
        jiff::fmt::temporal::Pieces::parse(text).map_err(|_| wrong("not a date and time"))?;
    let offset = pieces
        .to_numeric_offset()
        .ok_or_else(|| wrong("its offset from UTC is missing"))?;
    let instant: Timestamp = text.parse().map_err(|_| wrong("not a date and time"))?;
    Ok(instant.to_zoned_datetime(offset.to_time_zone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_s_words_are_read() {
        assert_eq!(
            dist_time("lognormal(p50=17ms, p99=71ms)").expect("lognormal"),
            Dist::LogNormal {
                p50: 0.017,
                p99: 0.071
            }
        );
        assert_eq!(dist_time("const(3s)").expect("const"), Dist::Const(3.0));
        assert_eq!(dist_time("30s").expect("plain"), Dist::Const(30.0));
        assert_eq!(
            dist_time("uniform(35s, 70s)").expect("uniform"),
            Dist::Uniform(35.0, 70.0)
        );
        assert_eq!(
            dist_count("geometric(mean=2.2)").expect("geometric"),
            Dist::Geometric { mean: 2.2 }
        );
        assert_eq!(
            loss("gilbert(enter=0.02%, leave=20%, loss=60%)").expect("gilbert"),
            Loss::Gilbert {
                enter: 0.0002,
                leave: 0.2,
                loss: 0.6
            }
        );
        assert_eq!(loss("0.1%").expect("share"), Loss::Bernoulli(0.001));
        assert_eq!(money("50 USD").expect("money"), 5_000);
        assert_eq!(
            arrivals("schedule(04:30)").expect("schedule"),
            Arrivals::Schedule(vec![16_200])
        );
        assert_eq!(
            arrivals("negbin(dispersion=2)").expect("negbin"),
            Arrivals::NegBin {
                dispersion: 2.0,
                per: Duration::from_secs(60)
            }
        );
        assert!(matches!(
            arrivals("mmpp(calm=40m, rush=5m, factor=4)"),
            Ok(Arrivals::Mmpp { factor: 4.0, .. })
        ));
        assert!(matches!(
            arrivals("replay(orders.csv, column=at)"),
            Ok(Arrivals::Replay { column, .. }) if column == "at"
        ));
        let through = |text: &str| dist_time(text).expect(text);
        assert_eq!(
            through("quantiles(min=1ms, p50=10ms, max=1s)"),
            Dist::Quantiles(vec![(0.0, 0.001), (0.5, 0.01), (1.0, 1.0)])
        );
        assert!(matches!(
            through("weibull(p50=2m, p95=1h)"),
            Dist::Weibull { .. }
        ));
        assert!(matches!(
            through("pareto(p50=1s, p99=5s)"),
            Dist::Pareto { .. }
        ));
        // The same line by other points of it.
        let Dist::LogNormal { p50, p99 } = through("lognormal(p90=46.06ms, p99=71ms)") else {
            panic!("a log-normal")
        };
        assert!(
            (p50 / 0.027_1 - 1.0).abs() < 0.01 && (p99 / 0.071 - 1.0).abs() < 1e-6,
            "{p50}"
        );
        assert_eq!(seeds("1..=20").expect("seeds").len(), 20);
        assert_eq!(seeds("5").expect("count"), [1, 2, 3, 4, 5]);
        let at = start("2025-03-14T11:30:00-05:00").expect("start");
        assert_eq!(
            (at.hour(), at.minute(), at.offset().seconds()),
            (11, 30, -18_000)
        );
    }

    #[test]
    fn wrong_words_are_blamed_exactly() {
        let check = |result: Result<(), TextError>, text: &str, code: &str, blamed: &str| {
            let err = result.expect_err(text);
            assert_eq!((err.code.id, &text[err.at]), (code, blamed), "{text}");
        };
        let time = |t: &str| dist_time(t).map(drop);
        check(
            time("lognromal(p50=1s, p99=2s)"),
            "lognromal(p50=1s, p99=2s)",
            "E0111",
            "lognromal",
        );
        let come = |t: &str| arrivals(t).map(drop);
        for (text, code, blamed) in [
            ("negbin(dispersion=0)", "E0107", "0"),
            ("negbin()", "E0105", "negbin"),
            ("negbin(dispersion=2, per=10)", "E0103", "10"),
            ("mmpp(calm=40m, rush=5m)", "E0105", "mmpp"),
            ("mmpp(calm=40m, rush=5m, factor=0.5)", "E0107", "0.5"),
            ("mmpp(calm=1ms, rush=5m, factor=2)", "E0107", "1ms"),
            ("replay(orders.csv)", "E0105", "replay"),
            ("poissom", "E0106", "poissom"),
        ] {
            check(come(text), text, code, blamed);
        }
        for (text, code, blamed) in [
            ("weibull(p50=1s)", "E0105", "weibull"),
            ("pareto(p50=1s, p99=1000s)", "E0107", "1000s"),
            ("lognormal(p50=1s, p99=2s, p999=3s)", "E0105", "lognormal"),
            ("lognormal(min=1s, p99=2s)", "E0105", "min"),
            ("quantiles(p50=1s, max=2s)", "E0105", "quantiles"),
            ("quantiles(min=1s, p90=2s, p50=3s, max=4s)", "E0107", "p50"),
            ("quantiles(min=3s, max=2s)", "E0107", "2s"),
            ("quantiles(min=1s, median=2s, max=3s)", "E0105", "median"),
        ] {
            check(time(text), text, code, blamed);
        }
        check(
            time("lognormal(p50=3s, p99=2s)"),
            "lognormal(p50=3s, p99=2s)",
            "E0107",
            "2s",
        );
        check(time("exp(mean=2)"), "exp(mean=2)", "E0103", "2");
        check(
            time("uniform(1s, 2 sec)"),
            "uniform(1s, 2 sec)",
            "E0105",
            "sec",
        );
        check(
            loss("gilbert(enter=2, leave=1%, loss=1%)").map(drop),
            "gilbert(enter=2, leave=1%, loss=1%)",
            "E0103",
            "2",
        );
        check(money("50").map(drop), "50 ", "E0105", " ");
        check(seeds("20..=1").map(drop), "20..=1", "E0107", "20..=1");
        check(
            start("2025-03-14T11:30:00").map(drop),
            "2025-03-14T11:30:00",
            "E0113",
            "2025-03-14T11:30:00",
        );
        check(name("a.b"), "a.b", "E0105", ".");
    }
}
