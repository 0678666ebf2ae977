//! Which line profile holds, and what may go over it now.
//!
//! A profile (`[link.NAME]`) is chosen by name, or by the interface of the default route. What may go is a [`Gate`]: the classes that the
//! profile is for; of these the urgent ones only, outside its windows and once the budget is used up to its reserve; and nothing
//! once it is used up. Times of day and months are those of the store (`send.time_zone`).
//!
//! Pure: instants come in as seconds since 1970. Next: `budget`, which counts; `shell::links`, which asks and acts.

use jiff::{Timestamp, ToSpan as _, ZonedDateTime, civil, tz::TimeZone};

use super::class::ClassName;
use crate::config::{Budget, Config, Link, Period, Window};

/// What may go over the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// Everything.
    #[default]
    Open,
    /// These classes; none of them is nothing.
    Only(Vec<ClassName>),
}

impl Gate {
    /// Whether a class may go.
    pub fn lets(&self, class: ClassName) -> bool {
        match self {
            Self::Open => true,
            Self::Only(classes) => classes.contains(&class),
        }
    }

    /// Whether nothing may go.
    pub fn is_shut(&self) -> bool {
        matches!(self, Self::Only(classes) if classes.is_empty())
    }
}

/// The profile that holds: the one that is named, or the first whose pattern fits the interface. Without an interface, which is
/// without a default route or where the system does not tell, only profiles without a pattern fit.
pub fn choose<'c>(config: &'c Config, interface: Option<&str>) -> Option<&'c Link> {
    let mut links = config.links.iter();
    match config.send.link {
        Some(name) => links.find(|link| link.name == name),
        None => links.find(|link| match &link.interface {
            None => true,
            Some(pattern) => interface.is_some_and(|interface| fits(pattern, interface)),
        }),
    }
}

/// Whether a text fits a pattern, in which `*` stands for any letters.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What may go now, where so many bytes of the budget are used.
pub fn gate(link: &Link, zone: &TimeZone, unix_now: i64, used: u64) -> Gate {
    let spent = link
        .budget
        .as_ref()
        .map_or(Spent::Little, |b| spent(b, used));
    let classes = match (&link.classes, spent) {
        (_, Spent::All) => return Gate::Only(Vec::new()),
        (None, Spent::Little) if is_open(link, zone, unix_now) => return Gate::Open,
        (Some(classes), Spent::Little) if is_open(link, zone, unix_now) => classes.clone(),
        (None, _) => link.urgent.clone(),
        (Some(classes), _) => {
            let urgent = link.urgent.iter().copied();
            urgent.filter(|class| classes.contains(class)).collect()
        }
    };
    Gate::Only(classes)
}

/// How far a budget is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spent {
    Little,
    /// Up to the reserve for what is urgent.
    ToReserve,
    All,
}

fn spent(budget: &Budget, used: u64) -> Spent {
    match used {
        used if used >= budget.bytes.0 => Spent::All,
        used if used >= budget.bytes.0 - budget.reserve_bytes() => Spent::ToReserve,
        _ => Spent::Little,
    }
}

/// Most bytes of a period that a class may bring its line to.
pub fn limit(link: &Link, class: ClassName) -> u64 {
    link.budget.as_ref().map_or(u64::MAX, |budget| {
        let reserve = match link.urgent.contains(&class) {
            true => 0,
            false => budget.reserve_bytes(),
        };
        budget.bytes.0 - reserve
    })
}

/// Whether a line is in one of its windows, or has none.
fn is_open(link: &Link, zone: &TimeZone, unix_now: i64) -> bool {
    let time = local(zone, unix_now).time();
    let minute = i32::from(time.hour()) * 60 + i32::from(time.minute());
    link.windows.is_empty() || link.windows.iter().any(|window| holds(window, minute))
}

/// Whether a minute of the day is in a window, which may go over midnight.
fn holds(window: &Window, minute: i32) -> bool {
    let (from, to) = (i32::from(window.from), i32::from(window.to));
    match from < to {
        true => (from..to).contains(&minute),
        false => minute >= from || minute < to,
    }
}

/// Seconds until the minute after this one begins, when a window may open or close.
pub fn seconds_to_minute(unix_now: i64) -> i64 {
    60 - unix_now.rem_euclid(60)
}

/// When the period began that an instant is in, and when it ends, seconds since 1970.
///
/// Months begin at the first instant of their day in the store's time zone. Periods of a fixed length follow one another from
/// 1970 on, so they need nothing that could be forgotten.
pub fn period(period: Period, zone: &TimeZone, unix_now: i64) -> (i64, i64) {
    match period {
        Period::Every(length) => {
            let length = (length.as_secs() as i64).max(1);
            let began = unix_now.div_euclid(length).saturating_mul(length);
            (began, began.saturating_add(length))
        }
        Period::Month { day } => {
            let date = local(zone, unix_now).date();
            let this = civil::date(date.year(), date.month(), day.clamp(1, 28) as i8);
            let (from, to) = match date < this {
                true => (this.saturating_sub(1.month()), this),
                false => (this, this.saturating_add(1.month())),
            };
            let instant = |date: civil::Date| {
                let start =
                    zone.to_ambiguous_zoned_datetime(date.to_datetime(civil::Time::midnight()));
                start
                    .compatible()
                    .map_or(unix_now, |z| z.timestamp().as_second())
            };
            (instant(from), instant(to))
        }
    }
}

/// Beyond the years that a calendar has it is the end of them.
fn local(zone: &TimeZone, unix_now: i64) -> ZonedDateTime {
    let at = Timestamp::from_second(unix_now).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned_datetime(zone.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{BitRate, ByteSize, load_text};

    fn config(text: &str) -> Config {
        load_text("c.toml", text).expect(text)
    }

    fn unix(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn a_profile_is_chosen_by_name_or_by_interface() {
        let links = "link.lte = { match = { interface = \"wwan*\" } }\nlink.wire = { match = { interface = \"e*\" } }\nlink.any = {}\n";
        let check = |more: &str, interface: Option<&str>, expect: Option<&str>| {
            let config = config(&format!("{more}{links}"));
            let found = choose(&config, interface).map(|link| link.name.to_string());
            assert_eq!(found.as_deref(), expect, "{interface:?}");
        };
        check("", Some("wwan0"), Some("lte"));
        check("", Some("eth0"), Some("wire"));
        check("", Some("wlan0"), Some("any"));
        check("", None, Some("any"));
        check("send.link = \"lte\"\n", Some("eth0"), Some("lte"));
        let only = config("link.lte = { match = { interface = \"wwan*\" } }");
        assert_eq!(choose(&only, Some("eth0")), None);
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, yes, no) in [
            ("wwan*", "wwan", "wan0"),
            ("*", "", "\n"),
            ("e*0*p", "enp0s3p", "enp1s3p"),
            ("a*a", "aa", "a"),
            ("eth0", "eth0", "eth01"),
            ("*a*b*", "xaxbx", "xbxax"),
        ] {
            assert!(fits(pattern, yes), "{pattern} {yes}");
            assert!(pattern == "*" || !fits(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn windows_are_in_store_time_and_go_over_midnight() {
        let config = config(
            "send.time_zone = \"America/Chicago\"\n[link.lte]\nwindows = [\"22:00-06:00\", \"12:30-13:00\"]\nurgent = [\"logs\"]\nclasses = [\"logs\", \"traces\"]\n",
        );
        let zone = config.send.time_zone.clone().unwrap();
        let check = |at: &str, all: bool| {
            let gate = gate(&config.links[0], &zone, unix(at), 0);
            let names: Vec<&str> = match &gate {
                Gate::Open => panic!("it names classes"),
                Gate::Only(names) => names.iter().map(ClassName::as_str).collect(),
            };
            let expect: &[&str] = if all { &["logs", "traces"] } else { &["logs"] };
            assert_eq!(names, expect, "{at}");
        };
        // Chicago is five hours behind in summer, six in winter.
        check("2026-07-01T02:59:59Z", false);
        check("2026-07-01T03:00:00Z", true);
        check("2026-07-01T10:59:59Z", true);
        check("2026-07-01T11:00:00Z", false);
        check("2026-01-01T11:59:00Z", true);
        check("2026-01-01T12:00:00Z", false);
        check("2026-01-01T18:30:00Z", true);
        check("2026-01-01T19:00:00Z", false);
    }

    #[test]
    fn months_begin_on_their_day_in_store_time() {
        let zone = TimeZone::get("America/Chicago").unwrap();
        let check = |day, at: &str, began: &str, ends: &str| {
            let found = period(Period::Month { day }, &zone, unix(at));
            assert_eq!(found, (unix(began), unix(ends)), "{at}");
        };
        check(
            1,
            "2026-03-08T12:00:00Z",
            "2026-03-01T06:00:00Z",
            "2026-04-01T05:00:00Z",
        );
        check(
            15,
            "2026-01-15T05:59:59Z",
            "2025-12-15T06:00:00Z",
            "2026-01-15T06:00:00Z",
        );
        check(
            15,
            "2026-01-15T06:00:00Z",
            "2026-01-15T06:00:00Z",
            "2026-02-15T06:00:00Z",
        );
        check(
            28,
            "2026-03-01T12:00:00Z",
            "2026-02-28T06:00:00Z",
            "2026-03-28T05:00:00Z",
        );
        let days = Period::Every(Duration::from_secs(30 * 86_400));
        assert_eq!(period(days, &zone, 0), (0, 2_592_000));
        assert_eq!(period(days, &zone, -1), (-2_592_000, 0));
    }

    proptest! {
        /// Every instant is in its period, and periods follow one another without a gap.
        #[test]
        fn periods_follow_one_another(at in -2_000_000_000..20_000_000_000_i64, day in 1..=28_u8, hours in 1..10_000_u64) {
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            for kind in [Period::Month { day }, Period::Every(Duration::from_secs(hours * 3600))] {
                let (began, ends) = period(kind, &zone, at);
                prop_assert!(began <= at && at < ends, "{began} {at} {ends}");
                prop_assert_eq!(period(kind, &zone, ends).0, ends);
                prop_assert_eq!(period(kind, &zone, began), (began, ends));
            }
        }

        /// The gate closes as the budget is used and never opens again by it; what may go may never pass its limit.
        #[test]
        fn a_budget_only_closes(used in prop::collection::vec(0..3_000_000_u64, 2..20), reserve in 0..=100_u8, names in any::<bool>()) {
            let class = |name| ClassName::new(name).unwrap();
            let link = Link {
                classes: names.then(|| vec![class("logs"), class("traces")]),
                urgent: vec![class("logs")],
                budget: Some(Budget { bytes: ByteSize(2_000_000), per: Period::Every(Duration::from_secs(60)), reserve: f64::from(reserve) / 100.0 }),
                rate: Some(BitRate(1)),
                ..Link::new(class("lte"))
            };
            let mut used = used;
            used.sort_unstable();
            let mut before = [true; 3];
            for used in used {
                let gate = gate(&link, &TimeZone::UTC, 0, used);
                let now = ["logs", "traces", "metrics"].map(|name| gate.lets(class(name)));
                for (index, name) in ["logs", "traces"].into_iter().enumerate() {
                    prop_assert_eq!(now[index], used < limit(&link, class(name)));
                    prop_assert!(before[index] || !now[index]);
                }
                prop_assert!(!(names && now[2]));
                before = now;
            }
        }
    }
}
