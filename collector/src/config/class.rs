//! `[class.NAME]`: classes of telemetry, each with a queue, a share of the disk and a policy of its own.
//!
//! A class takes items of one signal: those that `match` says, or all that no class before it takes. What no class takes has a class
//! of the signal's name with the policy of `[buffer]`. Next: `rules`, which reads `match`; `file`, which reads the rest.

use std::time::Duration;

use super::{
    ByteSize, Config, Fields, OnFull, Order, codes,
    diagnostic::Diagnostic,
    file::{GIVE_UP, give_up},
    grammar::{Grammar, TextError},
    quantity, rules,
    shape::{Key, Shape, Ty},
};
use crate::{
    core::{
        class::{ClassName, NAME_BYTES_MAX},
        losses,
    },
    otlp::{Rule, Signal},
};

/// A declared class.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: ClassName,
    /// The signal of its items.
    pub signal: Signal,
    /// Which items of the signal: those that pass one of these; empty is all that no other class takes.
    pub rules: Vec<Rule>,
    /// Its own part of `buffer.disk`: at most, and at least; `None` shares what the others leave.
    pub quota: Option<Quota>,
    /// Age at which a batch is dropped, and counted; `None` is never.
    pub ttl: Option<Duration>,
    /// What happens when its share is used up.
    pub on_full: OnFull,
    /// 0 to 100; higher goes first altogether.
    pub priority: u8,
    /// 1 to 100: its part of the line beside others of its priority.
    pub weight: u16,
    /// Which of its batches goes first, in each lane.
    pub order: Order,
}

impl Class {
    /// Whether it takes all of a signal that no class before it takes.
    pub fn takes_rest_of(&self, signal: Signal) -> bool {
        self.signal == signal && self.rules.is_empty()
    }
}

/// A part of the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quota {
    /// So many bytes.
    Size(ByteSize),
    /// A fraction of `buffer.disk`, above 0 and at most 1.
    Share(f64),
}

impl Quota {
    /// In bytes, of so much disk.
    pub fn bytes(self, disk: ByteSize) -> u64 {
        match self {
            Self::Size(size) => size.0,
            Self::Share(share) => (disk.0 as f64 * share) as u64,
        }
    }
}

pub(super) static CLASS: Shape = Shape {
    doc: "A class of telemetry: its queue, its share of the disk and its policy.",
    keys: &[
        Key::may(
            "signal",
            Ty::Choice(&["traces", "metrics", "logs"]),
            "\"logs\"",
            "The signal of its items. May be left out where the class has the name of a signal.",
        ),
        Key::may(
            "match",
            Ty::Either(&[Ty::Table(&rules::MATCH), Ty::Tables(&rules::MATCH)]),
            "{ severity = \"error\" }",
            "Which items of the signal it takes: those that pass every test of the table, or of one of several tables. An item goes to the first class in the file that takes it. Without `match` it takes what is left.",
        ),
        Key::may(
            "quota",
            Ty::Word(&QUOTA),
            "\"25%\"",
            "Its own part of buffer.disk, a size or a share: it never takes more, and what other classes keep never makes it less. Without one it shares what the quotas leave.",
        ),
        Key::may(
            "ttl",
            Ty::Word(&GIVE_UP),
            "\"7d\"",
            "Age at which its batches are dropped, and counted, sent or not; retry.give_up unless told otherwise.",
        ),
        Key::may(
            "on_full",
            Ty::Choice(&["refuse", "drop-oldest", "drop-newest"]),
            "\"drop-oldest\"",
            "What happens when its share is used up; buffer.on_full unless told otherwise.",
        ),
        Key::or(
            "priority",
            Ty::Integer(0, 100),
            "0",
            "Classes with a higher one go first, their backlog included: those with a lower one wait as long as there is anything.",
        ),
        Key::or(
            "weight",
            Ty::Integer(1, 100),
            "1",
            "Its part of the line beside other classes of its priority, by bytes.",
        ),
        Key::may(
            "order",
            Ty::Choice(&["oldest-first", "newest-first"]),
            "\"newest-first\"",
            "Which of its batches goes first, among the fresh ones and in the backlog; send.order unless told otherwise.",
        ),
    ],
};

static QUOTA: Grammar = Grammar {
    name: "a size or a share",
    doc: "a size such as 64MiB, or a share of buffer.disk such as 25%",
    pattern: "",
    examples: &["25%", "64MiB"],
    units: &["MiB", "%"],
    check: |text| quota(text).map(drop),
};

fn quota(text: &str) -> Result<Quota, TextError> {
    if text.trim_end().ends_with('%') {
        let share = quantity::proportion(text)?;
        return match share > 0.0 {
            true => Ok(Quota::Share(share)),
            false => Err(super::file::zero(text)),
        };
    }
    super::file::positive_size(text).map(Quota::Size)
}

/// The words of `on_full`.
pub(super) const ON_FULL: [(&str, OnFull); 3] = [
    ("refuse", OnFull::Refuse),
    ("drop-oldest", OnFull::DropOldest),
    ("drop-newest", OnFull::DropNewest),
];

/// The words of `order`.
pub(super) const ORDER: [(&str, Order); 2] = [
    ("oldest-first", Order::OldestFirst),
    ("newest-first", Order::NewestFirst),
];

/// Reads the declared classes; `config` has everything else.
pub(super) fn read(fields: &Fields<'_>, config: &Config) -> Vec<Class> {
    let sink = fields.sink();
    let out_of_range = |title: String, at, label: &str, help: String| {
        sink.push(
            Diagnostic::error(&codes::E0107, title)
                .at(at, label.to_owned())
                .help(help),
        );
    };
    let mut classes: Vec<Class> = Vec::new();
    let mut quotas = 0;
    for (text, key, f) in fields.named("class") {
        let name = ClassName::new(&text);
        if name.is_none() {
            out_of_range(
                format!("`{text}` cannot be a class's name"),
                key,
                "not a name",
                format!("use up to {NAME_BYTES_MAX} of a-z, 0-9, - and _"),
            );
        }
        if text == losses::CLASS {
            out_of_range(
                format!("`{text}` is the class of what tells of losses"),
                key,
                "a name with a meaning",
                String::from("give it another name; `telemetry.losses` says whether they are told"),
            );
        }
        let named = Signal::ALL.into_iter().find(|signal| signal.name() == text);
        let words = Signal::ALL.map(|signal| (signal.name(), signal));
        let signal = f.choice("signal", &words);
        let class = (name, signal.or(named));
        if signal.is_none() && named.is_none() && !f.has("signal") {
            sink.push(
                Diagnostic::error(&codes::E0101, format!("`class.{text}` needs `signal`"))
                    .at(key, "not the name of a signal")
                    .help(String::from("add `signal = \"logs\"`")),
            );
        }
        let rules = rules::read(&f, signal.or(named));
        let quota = f.text("quota", quota);
        let limits = Class {
            name: Signal::Traces.into(),
            signal: Signal::Traces,
            rules,
            quota,
            ttl: f.text("ttl", give_up).unwrap_or(config.retry.give_up),
            on_full: f
                .choice("on_full", &ON_FULL)
                .unwrap_or(config.buffer.on_full),
            priority: f.integer("priority").unwrap_or(0) as u8,
            weight: f.integer("weight").unwrap_or(1) as u16,
            order: f.choice("order", &ORDER).unwrap_or(config.send.order),
        };
        let (Some(name), Some(signal)) = class else {
            continue;
        };
        if let Some(other) = named.filter(|named| *named != signal) {
            out_of_range(
                format!("class `{text}` takes {signal}, not {other}"),
                f.key_span("signal"),
                "another signal than its name says",
                format!("give it another name, or `signal = \"{other}\"`"),
            );
        } else if named.is_some() && f.has("match") {
            out_of_range(
                format!("class `{text}` cannot have `match`"),
                f.key_span("match"),
                "it takes what no other class does",
                format!("give it another name, and `signal = \"{signal}\"`"),
            );
        } else if let Some(first) = classes.iter().find(|class| class.takes_rest_of(signal)) {
            let (title, label) = match f.has("match") {
                true => (format!("class `{text}` never gets anything"), "too late"),
                false => (format!("two classes take {signal}"), "the second one"),
            };
            let way_out = match f.has("match") {
                true => "put this before it",
                false => "give one of them a `match`",
            };
            out_of_range(
                title,
                key,
                label,
                format!(
                    "`{}` takes all that is left of {signal}: {way_out}",
                    first.name
                ),
            );
        }
        quotas += quota.map_or(0, |quota| quota.bytes(config.buffer.disk));
        if quotas > config.buffer.disk.0 {
            out_of_range(
                String::from("the quotas are more than the disk"),
                f.key_span("quota"),
                "no room is left for this",
                format!(
                    "they come to {quotas} bytes, `buffer.disk` is {}: make one smaller, or that larger",
                    config.buffer.disk.0
                ),
            );
            quotas = 0;
        }
        classes.push(Class {
            name,
            signal,
            ..limits
        });
    }
    // A signal's own class exists without being declared.
    classes
}
