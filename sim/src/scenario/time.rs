//! When things happen: times of day, offsets, times relative to a fault.
//!
//! Times of day are the store's own; a clock turns them into virtual time. What a fault's window is in the end is decided in
//! `faults`, which knows all of them.

use std::time::Duration;

use backroom_collector::config::{
    grammar::{Grammar, Part, TextError},
    quantity,
};
use jiff::{ToSpan as _, ZonedDateTime, civil::Time};

use super::codes;

/// When a fault begins.
pub static AT: Grammar = Grammar {
    name: "a time",
    doc: "a store-local time of day (12:05), an offset from the start (+45m), or a time relative to a fault (after uplink-cut.end + 10m)",
    pattern: r"^ *([0-9]{1,2}:[0-9]{2}(:[0-9]{2})?|\+.+|after .+) *$",
    examples: &["12:05", "+45m", "after uplink-cut.end + 10m"],
    units: &["m", "h"],
    check: |text| at(text).map(drop),
};

/// How long a fault lasts.
pub static FOR: Grammar = Grammar {
    name: "a duration",
    doc: "a duration (15m), until another fault begins or ends (until uplink-cut.end), until a time of day (until 12:20), or forever",
    pattern: r"^ *([0-9].*|until .+|forever) *$",
    examples: &["15m", "until uplink-cut.end", "forever"],
    units: &["s", "m", "h"],
    check: |text| lasts(text).map(drop),
};

/// A reference to the beginning or the end of a fault, with the bytes that name it.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The fault.
    pub fault: String,
    /// First byte of its name in the text.
    pub at: usize,
    /// Whether it is the end.
    pub end: bool,
}

/// When a fault begins.
#[derive(Clone, Debug, PartialEq)]
pub enum At {
    /// A time of day, in seconds since midnight.
    Clock(u32),
    /// An offset from the start.
    Offset(Duration),
    /// Some time after a fault begins or ends.
    After(Edge, Duration),
}

/// How long a fault lasts.
#[derive(Clone, Debug, PartialEq)]
pub enum Lasts {
    /// So long.
    For(Duration),
    /// Until another begins or ends.
    Until(Edge),
    /// Until a time of day, in seconds since midnight.
    UntilClock(u32),
    /// It outlasts the run.
    Forever,
}

/// A time of day, `HH:MM` or `HH:MM:SS`, in seconds since midnight.
///
/// # Errors
/// If it is not one.
pub fn clock(text: &str) -> Result<u32, TextError> {
    let part = Part::whole(text);
    let numbers: Option<Vec<u32>> = part
        .text
        .split(':')
        .map(|n| n.parse().ok().filter(|_| n.len() <= 2))
        .collect();
    match numbers.as_deref() {
        Some([h @ 0..24, m @ 0..60]) => Ok(h * 3600 + m * 60),
        Some([h @ 0..24, m @ 0..60, s @ 0..60]) => Ok(h * 3600 + m * 60 + s),
        _ => Err(TextError::new(
            &codes::E0206,
            part.range(),
            format!("`{}` is not a time of day", part.text),
            "expected HH:MM",
        )),
    }
}

/// When a fault begins.
///
/// # Errors
/// If it is not a time.
pub fn at(text: &str) -> Result<At, TextError> {
    let part = Part::whole(text);
    if part.text.starts_with('+') {
        let offset = part.slice(1..part.text.len());
        return offset.parse(quantity::duration).map(At::Offset);
    }
    if let Some(rest) = after_word(part, "after") {
        // A name may contain `-` and a duration never does, so the offset begins at the first `+`.
        let (edge_part, plus) = match rest.split_once('+') {
            Some((edge_part, plus)) => (edge_part, plus.parse(quantity::duration)?),
            None => (rest, Duration::ZERO),
        };
        return Ok(At::After(edge(edge_part, true)?, plus));
    }
    if part.text.contains(':') {
        return clock(text).map(At::Clock);
    }
    let mut wrong = TextError::new(
        &codes::E0206,
        part.range(),
        "`{key}` is not a time",
        "expected a time of day, an offset or a fault",
    );
    wrong.help = Some(if quantity::duration(part.text).is_ok() {
        format!("write \"+{}\" for an offset from the start", part.text)
    } else {
        String::from("write \"12:05\", \"+45m\" or \"after X.end + 10m\"")
    });
    Err(wrong)
}

/// How long a fault lasts.
///
/// # Errors
/// If it is neither a duration nor an end.
pub fn lasts(text: &str) -> Result<Lasts, TextError> {
    let part = Part::whole(text);
    if part.text == "forever" {
        return Ok(Lasts::Forever);
    }
    if let Some(rest) = after_word(part, "until") {
        if rest.text.contains(':') {
            return rest.parse(clock).map(Lasts::UntilClock);
        }
        return edge(rest, true).map(Lasts::Until);
    }
    quantity::duration(text).map(Lasts::For)
}

/// What follows a word at the start of a text.
fn after_word<'t>(part: Part<'t>, word: &str) -> Option<Part<'t>> {
    let rest = part.text.strip_prefix(word)?;
    if rest.is_empty() || rest.starts_with(char::is_whitespace) {
        return Some(part.slice(word.len()..part.text.len()));
    }
    None
}

/// `X.start`, `X.end`, or `X`, which means its end.
fn edge(part: Part<'_>, end_by_default: bool) -> Result<Edge, TextError> {
    let (name, end) = match part.text.rsplit_once('.') {
        Some((name, "start")) => (name, false),
        Some((name, "end")) => (name, true),
        Some((name, other)) => {
            let at = part.at + name.len() + 1;
            return Err(TextError::new(
                &codes::E0206,
                at..at + other.len().max(1),
                format!("a fault has no `{other}`"),
                "expected `start` or `end`",
            ));
        }
        None => (part.text, end_by_default),
    };
    if let Err(err) = super::words::name(name) {
        return Err(TextError {
            code: &codes::E0206,
            title: String::from("`{key}` is not a time"),
            label: String::from("expected the name of a fault"),
            ..err.shift(part.at)
        });
    }
    Ok(Edge {
        fault: name.to_owned(),
        at: part.at,
        end,
    })
}

/// The wall clock of a run.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Store-local time of virtual time zero.
    pub start: ZonedDateTime,
}

impl Clock {
    /// Virtual time of the first such time of day at or after the start.
    pub fn first(&self, second_of_day: u32) -> Duration {
        self.next(second_of_day, Duration::ZERO)
    }

    /// Virtual time of the first such time of day at or after a virtual time.
    pub fn next(&self, second_of_day: u32, from: Duration) -> Duration {
        let time = Time::midnight()
            .checked_add((second_of_day as i64).seconds())
            .unwrap_or(Time::midnight());
        let from = self.at(from);
        let on = |date: jiff::civil::Date| {
            date.to_datetime(time)
                .to_zoned_datetime(self.start.time_zone().clone())
                .ok()
        };
        let mut found = on(from.date());
        if found.as_ref().is_none_or(|t| *t < from) {
            found = from.date().tomorrow().ok().and_then(on);
        }
        found
            .and_then(|t| self.start.duration_until(&t).try_into().ok())
            .unwrap_or(Duration::MAX)
    }

    /// The wall clock at a virtual time.
    pub fn at(&self, virtual_time: Duration) -> ZonedDateTime {
        self.start
            .checked_add(virtual_time)
            .unwrap_or_else(|_| self.start.clone())
    }

    /// The wall clock at a virtual time, as `13:00`, or `2025-03-15 13:00` on another day than the start.
    pub fn show(&self, virtual_time: Duration) -> String {
        let at = self.at(virtual_time);
        let mut text = at.strftime("%H:%M").to_string();
        if at.second() != 0 {
            text = at.strftime("%H:%M:%S").to_string();
        }
        if at.date() == self.start.date() {
            return text;
        }
        format!("{} {text}", at.strftime("%Y-%m-%d"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::words;

    #[test]
    fn times_are_read() {
        assert_eq!(at("12:05").expect("clock"), At::Clock(43_500));
        assert_eq!(
            at("+45m").expect("offset"),
            At::Offset(Duration::from_secs(2_700))
        );
        let At::After(edge, plus) = at("after card-lane-down.start + 10m").expect("relative")
        else {
            panic!("not relative")
        };
        assert_eq!(
            (edge.fault.as_str(), edge.at, edge.end),
            ("card-lane-down", 6, false)
        );
        assert_eq!(plus, Duration::from_secs(600));
        assert_eq!(lasts("forever").expect("forever"), Lasts::Forever);
        let Lasts::Until(edge) = lasts("until card-lane-down.end").expect("until") else {
            panic!("not until")
        };
        assert_eq!((edge.at, edge.end), (6, true));
    }

    #[test]
    fn wrong_times_are_blamed_exactly() {
        let check = |result: Result<(), TextError>, text: &str, code: &str, blamed: &str| {
            let err = result.expect_err(text);
            assert_eq!((err.code.id, &text[err.at]), (code, blamed), "{text}");
        };
        let begin = |t: &str| at(t).map(drop);
        check(begin("25:00"), "25:00", "E0206", "25:00");
        check(begin("+10"), "+10", "E0103", "10");
        check(begin("after x.middle"), "after x.middle", "E0206", "middle");
        check(
            begin("after x.end + soon"),
            "after x.end + soon",
            "E0105",
            "soon",
        );
        check(begin("45m"), "45m", "E0206", "45m");
        check(lasts("15").map(drop), "15", "E0103", "15");
    }

    #[test]
    fn a_time_of_day_is_the_first_one_after_the_start() {
        let clock = Clock {
            start: words::start("2025-03-14T11:30:00-05:00").expect("start"),
        };
        let minutes = |m: u64| Duration::from_secs(m * 60);
        assert_eq!(clock.first(12 * 3600 + 5 * 60), minutes(35));
        assert_eq!(clock.first(11 * 3600 + 30 * 60), minutes(0));
        assert_eq!(clock.first(11 * 3600), minutes(23 * 60 + 30));
        assert_eq!(
            clock.next(12 * 3600, minutes(24 * 60)),
            minutes(24 * 60 + 30)
        );
        assert_eq!(clock.show(minutes(90)), "13:00");
        assert_eq!(clock.show(minutes(24 * 60)), "2025-03-15 11:30");
    }
}
