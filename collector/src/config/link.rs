//! `[link.NAME]`: what may go over a line, how fast, and how much of it in a month.
//!
//! Which profile holds is decided in `core::link`, by `send.link` and the patterns here. Next: `file`, which reads the rest.

use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{
    BitRate, ByteSize, Config, Fields, Reader, codes,
    diagnostic::{Diagnostic, Span},
    file::{YIELD_DELAY, positive_rate, yield_delay},
    grammar::{Grammar, Part, TextError},
    quantity::{self, RATE, SIZE},
    shape::{Key, Shape, Ty},
};
use crate::core::class::{ClassName, NAME_BYTES_MAX};

/// Most profiles: what the file of the counters has room for, four times over.
pub const LINKS_MAX: usize = 16;

/// The word of `send.link` for a choice by interface.
const AUTO: &str = "auto";

/// Smallest budget: a few requests must fit, or the line says nothing for the whole period.
const BUDGET_MIN: u64 = 64 << 10;

/// Shortest period.
const PERIOD_MIN: Duration = Duration::from_secs(60);

/// A line profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Its name.
    pub name: ClassName,
    /// Pattern of the interface of the default route with which it is chosen, `*` for any letters; `None` fits all.
    pub interface: Option<String>,
    /// Wire bytes a second, in place of `send.max_rate`.
    pub rate: Option<BitRate>,
    /// In place of `send.yield`; the inner `None` is off.
    pub yield_delay: Option<Option<Duration>>,
    /// Level of compression of batches that are sealed while it holds, in place of that of `compress.codec`.
    pub level: Option<u32>,
    /// The classes that may go over it; `None` is all.
    pub classes: Option<Vec<ClassName>>,
    /// Those of them that may go outside the windows, and have the reserve of the budget.
    pub urgent: Vec<ClassName>,
    /// When the others may go; none is always.
    pub windows: Vec<Window>,
    /// What it may be used for in a period.
    pub budget: Option<Budget>,
}

/// A part of each day, in the store's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Minute of the day at which it opens, 0 to 1439.
    pub from: u16,
    /// Minute of the day at which it closes; before `from` it is one of the next day.
    pub to: u16,
}

/// Bytes in a period, both directions, headers counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// How many.
    pub bytes: ByteSize,
    /// In which time.
    pub per: Period,
    /// The part that is kept for urgent classes, 0 to 1.
    pub reserve: f64,
}

/// A period of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A month that begins on that day, 1 to 28.
    Month {
        /// The day.
        day: u8,
    },
    /// A time; the periods follow one another from 1970 on, UTC.
    Every(Duration),
}

impl Link {
    /// A profile that changes nothing.
    pub fn new(name: ClassName) -> Self {
        Self {
            name,
            interface: None,
            rate: None,
            yield_delay: None,
            level: None,
            classes: None,
            urgent: Vec::new(),
            windows: Vec::new(),
            budget: None,
        }
    }
}

impl Budget {
    /// What is kept for urgent classes.
    pub fn reserve_bytes(&self) -> u64 {
        (self.bytes.0 as f64 * self.reserve) as u64
    }
}

pub(super) static LINK: Shape = Shape {
    doc: "A line profile: what may go over a line, how fast, and how much of it.",
    keys: &[
        Key::may(
            "match",
            Ty::Table(&MATCH),
            "{ interface = \"wwan*\" }",
            "When it is chosen; without it always, unless one before it is.",
        ),
        Key::may(
            "rate",
            Ty::Word(&RATE),
            "\"256kbit/s\"",
            "Bytes on the wire in a second, in place of `send.max_rate`.",
        ),
        Key::may(
            "yield",
            Ty::Word(&YIELD_DELAY),
            "\"25ms\"",
            "Delay that is added to the line at most, in place of `send.yield`.",
        ),
        Key::may(
            "level",
            Ty::Integer(1, 19),
            "19",
            "Level of compression of batches that are sealed while this line is in use, in place of that of `compress.codec`; 9 is the most of gzip.",
        ),
        Key::may(
            "classes",
            Ty::List(&Ty::Text),
            "[\"logs\"]",
            "The classes that may go over it; all of them unless given.",
        ),
        Key::may(
            "urgent",
            Ty::List(&Ty::Text),
            "[\"logs\"]",
            "Those that may go outside the windows too, and have the budget's reserve; none unless given.",
        ),
        Key::may(
            "windows",
            Ty::List(&Ty::Word(&WINDOW)),
            "[\"22:00-06:00\"]",
            "When it may be used, in the store's time; always unless given.",
        ),
        Key::may(
            "budget",
            Ty::Table(&BUDGET),
            "{ bytes = \"2GiB\", per = \"month\" }",
            "How much it may be used for in a period, counted in both directions. The count survives restarts.",
        ),
    ],
};

static MATCH: Shape = Shape {
    doc: "When a line profile is chosen.",
    keys: &[Key::need(
        "interface",
        Ty::Word(&INTERFACE),
        "\"wwan*\"",
        "The network interface of the default route; `*` stands for any letters. In a simulated store it is the name of the link that the router uses.",
    )],
};

static BUDGET: Shape = Shape {
    doc: "How much a line may be used for in a period.",
    keys: &[
        Key::need(
            "bytes",
            Ty::Word(&SIZE),
            "\"2GiB\"",
            "So many bytes; at least 64KiB.",
        ),
        Key::or(
            "per",
            Ty::Word(&PER),
            "\"month\"",
            "month, or a duration such as 30d; periods of a duration follow one another from 1970 on, UTC.",
        ),
        Key::may(
            "day",
            Ty::Integer(1, 28),
            "1",
            "The day on which a month begins; the first unless given.",
        ),
        Key::may(
            "reserve",
            Ty::Word(&RESERVE),
            "\"10%\"",
            "The part that is kept for `urgent` classes; none unless given.",
        ),
    ],
};

static WINDOW: Grammar = Grammar {
    name: "a part of the day",
    doc: "two times of day such as 22:00-06:00",
    pattern: r"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$",
    examples: &["22:00-06:00"],
    units: &[],
    check: |text| window(text).map(drop),
};

static INTERFACE: Grammar = Grammar {
    name: "an interface",
    doc: "the name of a network interface, * for any letters",
    pattern: r"^[^\s/]+$",
    examples: &["wwan*", "eth0"],
    units: &[],
    check: |text| interface(text).map(drop),
};

static PER: Grammar = Grammar {
    name: "a period",
    doc: "month, or a duration of at least a minute such as 30d",
    pattern: "",
    examples: &["month", "30d"],
    units: &["d"],
    check: |text| per(text).map(drop),
};

static RESERVE: Grammar = Grammar {
    name: "a share",
    doc: "a share from 0% to 100%",
    pattern: "",
    examples: &["10%"],
    units: &["%"],
    check: |text| quantity::proportion(text).map(drop),
};

pub(super) static TIME_ZONE: Grammar = Grammar {
    name: "a time zone",
    doc: "a name of the IANA database such as America/Chicago, or UTC",
    pattern: r"^[A-Za-z0-9_+/-]+$",
    examples: &["America/Chicago", "UTC"],
    units: &[],
    // The same answer on each machine: whoever reads a file for a deployed collector asks its system as well.
    check: |text| bundled(text).map(drop),
};

/// `None` stands for a month, whose day is said elsewhere.
fn per(text: &str) -> Result<Option<Duration>, TextError> {
    if text.trim() == "month" {
        return Ok(None);
    }
    let length = quantity::duration(text)?;
    if length >= PERIOD_MIN {
        return Ok(Some(length));
    }
    Err(TextError::new(
        &codes::E0107,
        Part::whole(text).range(),
        "`{key}` is shorter than a minute",
        "at least 1m, or month",
    ))
}

fn window(text: &str) -> Result<Window, TextError> {
    let whole = Part::whole(text);
    let wrong = |label: &str| {
        TextError::value(whole.range(), "`{key}` takes parts of the day", label)
            .help(String::from("write \"22:00-06:00\""))
    };
    let minute = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let number = |text: &str, max: u16| {
            let is_plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse::<u16>().ok().filter(|_| is_plain)?;
            (number <= max).then_some(number)
        };
        let (hours, minutes) = (number(hours, 24)?, number(minutes, 59)?);
        (hours < 24 || minutes == 0).then_some(hours * 60 + minutes)
    };
    let (from, to) = whole
        .text
        .split_once('-')
        .ok_or_else(|| wrong("no two times of day"))?;
    let (Some(from), Some(to)) = (minute(from.trim()), minute(to.trim())) else {
        return Err(wrong("not times of day from 00:00 to 24:00"));
    };
    if from == to || from == 24 * 60 {
        return Err(wrong("a window without any time in it"));
    }
    Ok(Window { from, to })
}

fn interface(text: &str) -> Result<String, TextError> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if !text.is_empty() && !text.contains(is_odd) {
        return Ok(text.to_owned());
    }
    Err(TextError::value(
        Part::whole(text).range(),
        "`{key}` is not the name of an interface",
        "expected one such as wwan0, `*` for any letters",
    ))
}

/// A time zone of the database that the program carries, so that a scenario means the same everywhere.
pub(super) fn bundled(text: &str) -> Result<TimeZone, TextError> {
    zone(text, TimeZoneDatabase::bundled().get(text))
}

/// A time zone of the system's database, whose rules are kept up to date, or else of the program's own.
pub(super) fn of_system(text: &str) -> Result<TimeZone, TextError> {
    zone(text, TimeZone::get(text)).or_else(|_| bundled(text))
}

fn zone(text: &str, found: Result<TimeZone, jiff::Error>) -> Result<TimeZone, TextError> {
    if text == "UTC" {
        return Ok(TimeZone::UTC);
    }
    found.map_err(|_| {
        TextError::value(
            Part::whole(text).range(),
            "`{key}` is not a time zone",
            "not in the IANA database",
        )
        .help(String::from("write \"America/Chicago\", or \"UTC\""))
    })
}

/// Reads `send.time_zone`, `[link.NAME]` and `send.link`; `config` has the classes.
pub(super) fn read(
    fields: &Fields<'_>,
    send: Option<&Fields<'_>>,
    config: &mut Config,
    reader: Reader,
) {
    if let Some(send) = send {
        let zone = match reader {
            Reader::Deployed => of_system,
            Reader::Scenario => bundled,
        };
        config.send.time_zone = send.text("time_zone", zone);
    }
    let has_zone = send.is_some_and(|send| send.has("time_zone"));
    for (text, key, f) in fields.named("link") {
        let link = link(&text, key, &f, config, has_zone);
        let is_one_too_many = config.links.len() >= LINKS_MAX;
        if is_one_too_many {
            let help = format!("{LINKS_MAX} are the most");
            wrong(
                &f,
                key,
                format!("`{text}` is one line too many"),
                "no room for it",
                help,
            );
        }
        config.links.extend(link.filter(|_| !is_one_too_many));
    }
    let Some(send) = send else { return };
    let Some(wanted) = send.text("link", |text| Ok(text.to_owned())) else {
        return;
    };
    if wanted == AUTO {
        return;
    }
    let names: Vec<&str> = config.links.iter().map(|link| link.name.as_str()).collect();
    if !names.contains(&wanted.as_str()) {
        let known = names.into_iter().chain([AUTO]);
        let span = send.node("link").map_or(send.span(), |node| node.span);
        fields.sink().push(
            Diagnostic::error(&codes::E0106, format!("there is no link `{wanted}`"))
                .at(span, "not declared")
                .help(super::did_you_mean(&wanted, known, "one of")),
        );
    }
    config.send.link = ClassName::new(&wanted);
}

fn wrong(f: &Fields<'_>, at: Span, title: String, label: &str, help: String) {
    f.sink().push(
        Diagnostic::error(&codes::E0107, title)
            .at(at, label.to_owned())
            .help(help),
    );
}

/// One profile; `None` where it has no name that can be used.
fn link(text: &str, key: Span, f: &Fields<'_>, config: &Config, has_zone: bool) -> Option<Link> {
    let name = ClassName::new(text).filter(|_| text != AUTO);
    if name.is_none() {
        let label = match text {
            AUTO => "the word of `send.link` for a choice by interface",
            _ => "not a name",
        };
        let help = format!("use up to {NAME_BYTES_MAX} of a-z, 0-9, - and _");
        wrong(
            f,
            key,
            format!("`{text}` cannot be a link's name"),
            label,
            help,
        );
    }
    let mut link = Link::new(name.unwrap_or(ClassName::from(crate::otlp::Signal::Logs)));
    if let Some(f) = f.fields("match") {
        link.interface = f.text("interface", interface);
    }
    link.rate = f.text("rate", positive_rate);
    link.yield_delay = f.text("yield", yield_delay);
    link.level = f.integer("level").map(|level| level as u32);
    let names = |key: &str| -> Option<Vec<ClassName>> {
        let named = f.strings(key)?;
        Some(
            named
                .iter()
                .filter_map(|(name, _)| ClassName::new(name))
                .collect(),
        )
    };
    link.classes = names("classes");
    link.urgent = names("urgent").unwrap_or_default();
    for node in f
        .node("windows")
        .map(|_| f.items("windows"))
        .unwrap_or_default()
    {
        link.windows.extend(super::fields::parse(
            "windows",
            node,
            &Ty::Word(&WINDOW),
            window,
            f.sink(),
        ));
    }
    if let Some(budget) = f.fields("budget") {
        link.budget = read_budget(&budget);
        if let Some(reserve) = budget.node("reserve")
            && link.urgent.is_empty()
        {
            let help = String::from("name classes in `urgent`, or remove it");
            wrong(
                f,
                reserve.span,
                "`reserve` is kept for nobody".to_owned(),
                "never used",
                help,
            );
        }
    }
    let is_limited = link.budget.is_some() || f.has("windows");
    if !link.urgent.is_empty() && !is_limited {
        let help = String::from("add `windows` or a `budget`, or remove it");
        wrong(
            f,
            f.key_span("urgent"),
            "`urgent` makes no difference".to_owned(),
            "all may go at any time",
            help,
        );
    }
    let is_month = matches!(
        &link.budget,
        Some(Budget {
            per: Period::Month { .. },
            ..
        })
    );
    let wants_zone = [("windows", f.has("windows")), ("budget", is_month)];
    if let Some((what, _)) = wants_zone.iter().find(|(_, wants)| *wants)
        && !has_zone
    {
        f.sink().push(
            Diagnostic::error(&codes::E0101, format!("`{what}` needs `send.time_zone`"))
                .at(f.key_span(what), "the store's time is meant")
                .help(String::from(
                    "add `time_zone = \"America/Chicago\"` to [send]",
                )),
        );
    }
    let before = f.sink().error_count();
    super::file::check_class_names(f, &["classes", "urgent"], config);
    if before < f.sink().error_count() {
        return name.map(|_| link);
    }
    if let (Some(classes), Some(named)) = (&link.classes, f.strings("urgent")) {
        for (name, node) in named {
            if ClassName::new(&name).is_some_and(|name| !classes.contains(&name)) {
                let help = String::from("add it to `classes`, or remove it from `urgent`");
                wrong(
                    f,
                    node.span,
                    format!("`{name}` is urgent and may not go over this line"),
                    "not one of `classes`",
                    help,
                );
            }
        }
    }
    name.map(|_| link)
}

fn read_budget(f: &Fields<'_>) -> Option<Budget> {
    let bytes = f.text("bytes", |text| {
        let size = quantity::byte_size(text)?;
        if size.0 >= BUDGET_MIN {
            return Ok(size);
        }
        Err(TextError::new(
            &codes::E0107,
            Part::whole(text).range(),
            "`{key}` is less than a few requests take",
            "at least 64KiB",
        ))
    });
    let length = f.text("per", per).unwrap_or(None);
    let per = match length {
        Some(length) => Period::Every(length),
        None => Period::Month {
            day: f.integer("day").unwrap_or(1) as u8,
        },
    };
    if length.is_some()
        && let Some(day) = f.node("day")
    {
        let help = String::from("write `per = \"month\"`, or remove it");
        let title = "`day` says nothing about a period of fixed length".to_owned();
        wrong(f, day.span, title, "only a month has one", help);
    }
    Some(Budget {
        bytes: bytes?,
        per,
        reserve: f.text("reserve", quantity::proportion).unwrap_or(0.0),
    })
}
