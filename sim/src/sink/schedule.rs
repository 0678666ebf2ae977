//! When a receiver is down, slow or rude: `down 10s..20s, slow 200ms 30s..40s, reject 503 40s..`.
//!
//! Sans-IO. Times count from when the receiver listens. A share (`25%`) hits every fourth request, by count and not by chance, so that
//! two runs meet the same. Where phases overlap, the first that hits a request decides; `slow` goes with any other. Next: `serve`.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backroom_collector::config::{
    Diagnostic, Fields, Report, Span, codes,
    diagnostic::{Sink as Findings, Sources},
    did_you_mean, fields,
    grammar::{Grammar, Part, TextError},
    quantity,
    shape::{Key, Shape, Ty},
    tree,
};

/// Most phases of a schedule.
const PHASES_MAX: usize = 1_000;

/// Largest file with a schedule.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a receiver does for a while.
#[derive(Clone, Debug, PartialEq)]
pub enum Does {
    /// Nobody listens: connections are refused, those that stand are closed.
    Down,
    /// Each answer comes so much later. Items count when they come.
    Slow(Duration),
    /// Requests are sent away, with this status; nothing is taken.
    Reject {
        /// Status of HTTP, 400 to 599.
        status: u16,
        /// When to come again: `Retry-After`, or `RetryInfo`.
        retry_after: Option<Duration>,
    },
    /// A captive portal: 200 with a page; nothing is taken.
    Portal,
    /// The connection is closed after the request, and nothing is taken.
    CutBefore,
    /// The connection is closed in place of the answer, and everything was taken: the sender cannot know.
    CutAfter,
}

/// For a while.
#[derive(Debug)]
pub struct Phase {
    /// What it does.
    pub does: Does,
    /// Share of requests that it hits, above 0 and up to 1.
    pub share: f64,
    /// Since the receiver listens.
    pub from: Duration,
    /// First instant after it; `None` is for ever.
    pub until: Option<Duration>,
    met: AtomicU64,
}

impl PartialEq for Phase {
    fn eq(&self, other: &Self) -> bool {
        let of = |phase: &Self| (phase.does.clone(), phase.share, phase.from, phase.until);
        of(self) == of(other)
    }
}

impl Phase {
    fn is_on(&self, at: Duration) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// Counts a request, and says whether it is hit: of `n` requests, `n * share` are, evenly.
    fn hits(&self) -> bool {
        let before = self.met.fetch_add(1, Ordering::Relaxed);
        let hit = |n: u64| (n as f64 * self.share + 1e-9).floor();
        hit(before + 1) > hit(before)
    }
}

/// What becomes of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Treatment {
    /// What is done in place of taking it, or of answering it.
    pub does: Option<Does>,
    /// How much later the answer comes.
    pub delay: Duration,
}

/// All phases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule(Arc<Vec<Phase>>);

impl Schedule {
    /// Whether nobody listens at that time.
    pub fn is_down(&self, at: Duration) -> bool {
        let down = |phase: &&Phase| phase.does == Does::Down;
        self.0.iter().filter(down).any(|phase| phase.is_on(at))
    }

    /// The next time after `at` at which somebody begins or ceases to listen; `None` if never.
    pub fn next_turn(&self, at: Duration) -> Option<Duration> {
        let down = self.0.iter().filter(|phase| phase.does == Does::Down);
        let edges = down
            .flat_map(|phase| [Some(phase.from), phase.until])
            .flatten();
        edges
            .filter(|edge| *edge > at && self.is_down(*edge) != self.is_down(at))
            .min()
    }

    /// What becomes of a request that came at that time. Counts it.
    pub fn treat(&self, at: Duration) -> Treatment {
        let mut treatment = Treatment::default();
        for phase in self.0.iter().filter(|phase| phase.is_on(at)) {
            match &phase.does {
                Does::Down => {}
                Does::Slow(delay) => treatment.delay += *delay,
                // A share is of those that no earlier phase has hit: two of 25 % would otherwise hit the same ones.
                does if treatment.does.is_none() && phase.hits() => {
                    treatment.does = Some(does.clone());
                }
                _ => {}
            }
        }
        treatment
    }

    /// Reads phases that commas part.
    ///
    /// # Errors
    /// All that is wrong, with the place of each in the text.
    pub fn parse(text: &str) -> Result<Self, Box<Report>> {
        let mut sources = Sources::default();
        let file = sources.add("--schedule", text);
        let (mut phases, mut list) = (Vec::new(), Vec::new());
        for part in Part::whole(text).split_top(',') {
            match part.parse(phase) {
                Ok(phase) => phases.push(phase),
                Err(error) => {
                    let span = Span {
                        file,
                        start: error.at.start,
                        end: error.at.end,
                    };
                    let title = error.title.replace("{key}", "--schedule");
                    let found = Diagnostic::error(error.code, title).at(span, error.label);
                    list.push(found.help(error.help));
                }
            }
        }
        if list.is_empty() && phases.len() <= PHASES_MAX {
            return Ok(Self(Arc::new(phases)));
        }
        if list.is_empty() {
            let title = format!("{} phases, at most {PHASES_MAX}", phases.len());
            list.push(Diagnostic::error(&codes::E0107, title));
        }
        Err(Box::new(Report {
            sources: Arc::new(sources),
            list,
            missing_input: false,
        }))
    }

    /// Reads a TOML file with the one key `schedule`, a list of phases.
    ///
    /// # Errors
    /// All that is wrong with it, or why it cannot be read.
    pub fn load(path: &Path) -> Result<Self, Box<Report>> {
        let unreadable = |error| Box::new(Report::unreadable(path, &codes::E0002, &error));
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > FILE_BYTES_MAX {
            let why = format!("{bytes} bytes, at most {FILE_BYTES_MAX}");
            return Err(unreadable(std::io::Error::other(why)));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse_toml(&path.display().to_string(), &text)
    }

    fn parse_toml(name: &str, text: &str) -> Result<Self, Box<Report>> {
        let mut sources = Sources::default();
        let file = sources.add(name, text);
        let findings = Findings::default();
        let mut phases = Vec::new();
        match tree::parse_node(&sources, file) {
            Err(error) => findings.push(*error),
            Ok(node) => {
                let fields = Fields::open(&node, &FILE, "", &findings);
                let list = fields
                    .as_ref()
                    .and_then(|fields| fields.strings("schedule"));
                for (text, node) in list.into_iter().flatten() {
                    match phase(&text) {
                        Ok(phase) => phases.push(phase),
                        Err(error) => fields::report("schedule", node, error, &findings),
                    }
                }
            }
        }
        if phases.len() > PHASES_MAX {
            let title = format!("{} phases, at most {PHASES_MAX}", phases.len());
            findings.push(Diagnostic::error(&codes::E0107, title));
        }
        match findings.error_count() {
            0 => Ok(Self(Arc::new(phases))),
            _ => Err(Box::new(Report {
                sources: Arc::new(sources),
                list: findings.into_list(),
                missing_input: false,
            })),
        }
    }
}

/// One phase of a schedule, for messages.
static PHASE: Grammar = Grammar {
    name: "a phase",
    doc: "what the receiver does, and from when until when, such as `down 10s..20s`",
    pattern: ".*",
    examples: EXAMPLES,
    units: &[],
    check: |text| phase(text).map(drop),
};

static FILE: Shape = Shape {
    doc: "A schedule of a receiver.",
    keys: &[Key::need(
        "schedule",
        Ty::List(&Ty::Word(&PHASE)),
        "[\"down 10s..20s\"]",
        "What it does, and when.",
    )],
};

const VERBS: [&str; 5] = ["down", "slow", "reject", "portal", "cut"];

const EXAMPLES: &[&str] = &[
    "down 10s..20s",
    "slow 200ms 30s..40s",
    "reject 429 retry-after 5s 50% 40s..1m",
    "portal 1m..2m",
    "cut after 25% 2m..",
];

/// The words of a text, each with its place.
fn words(text: &str) -> Vec<Part<'_>> {
    let mut words = Vec::new();
    let mut at = 0;
    for word in text.split(char::is_whitespace) {
        if !word.is_empty() {
            words.push(Part { text: word, at });
        }
        at += word.len()
            + text[at + word.len()..]
                .chars()
                .next()
                .map_or(0, char::len_utf8);
    }
    words
}

/// Reads one phase.
fn phase(text: &str) -> Result<Phase, TextError> {
    let all = words(text);
    let Some((verb, rest)) = all.split_first() else {
        return Err(
            TextError::value(0..1, "`{key}` has an empty phase", "nothing here")
                .help(format!("write {}", EXAMPLES[0])),
        );
    };
    if !VERBS.contains(&verb.text) {
        let title = format!("`{{key}}` cannot `{}`", verb.text);
        return Err(
            TextError::new(&codes::E0106, verb.range(), title, "not one of its words")
                .help(did_you_mean(verb.text, VERBS, "one of")),
        );
    }
    let example = EXAMPLES
        .iter()
        .find(|example| example.starts_with(verb.text));
    let example = format!("write {}", example.expect("each verb has one"));
    let wrong = |part: Part<'_>, title: String, label: &str| {
        TextError::value(part.range(), title, label).help(example.clone())
    };
    let Some((time, settings)) = rest
        .split_last()
        .filter(|(time, _)| time.text.contains(".."))
    else {
        let last = all.last().expect("the verb, at least");
        let title = format!("`{}` in `{{key}}` says no time", verb.text);
        return Err(wrong(*last, title, "expected FROM..UNTIL after this"));
    };
    let (from, until) = span(*time)?;
    let mut settings = settings.iter().copied().peekable();
    let does = match verb.text {
        "down" => Does::Down,
        "portal" => Does::Portal,
        "slow" => {
            let by = settings.next().ok_or_else(|| {
                wrong(
                    *verb,
                    "`slow` in `{key}` does not say by how much".into(),
                    "by how much?",
                )
            })?;
            let delay = by.parse(quantity::duration)?;
            if delay.is_zero() {
                return Err(wrong(
                    by,
                    "`slow` in `{key}` by nothing".into(),
                    "must take time",
                ));
            }
            Does::Slow(delay)
        }
        "reject" => {
            let status = settings.next().ok_or_else(|| {
                wrong(
                    *verb,
                    "`reject` in `{key}` names no status".into(),
                    "with which status?",
                )
            })?;
            let number = status.text.parse().ok().filter(|n| (400..600).contains(n));
            let number = number.ok_or_else(|| {
                wrong(
                    status,
                    format!("`{}` in `{{key}}` is no status", status.text),
                    "400 to 599",
                )
            })?;
            let mut retry_after = None;
            if let Some(word) = settings.next_if(|word| word.text == "retry-after") {
                let after = settings.next().ok_or_else(|| {
                    wrong(
                        word,
                        "`retry-after` in `{key}` says no time".into(),
                        "after how long?",
                    )
                })?;
                retry_after = Some(after.parse(quantity::duration)?);
            }
            Does::Reject {
                status: number,
                retry_after,
            }
        }
        _ => match settings.next() {
            Some(when) if when.text == "before" => Does::CutBefore,
            Some(when) if when.text == "after" => Does::CutAfter,
            other => {
                let place = other.unwrap_or(*verb);
                return Err(wrong(
                    place,
                    "`cut` in `{key}` does not say when".into(),
                    "before or after the request is taken?",
                ));
            }
        },
    };
    let mut share = 1.0;
    let takes_share = !matches!(does, Does::Down | Does::Slow(_));
    if takes_share && let Some(word) = settings.next_if(|word| word.text.ends_with('%')) {
        share = word.parse(quantity::proportion)?;
        if share <= 0.0 {
            return Err(wrong(
                word,
                "`{key}` hits no request".into(),
                "more than 0%",
            ));
        }
    }
    if let Some(word) = settings.next() {
        let title = format!("`{}` in `{{key}}` does not take `{}`", verb.text, word.text);
        return Err(wrong(word, title, "not expected here"));
    }
    Ok(Phase {
        does,
        share,
        from,
        until,
        met: AtomicU64::new(0),
    })
}

/// `10s..20s`, `10s..` or `..20s`.
fn span(part: Part<'_>) -> Result<(Duration, Option<Duration>), TextError> {
    let at = part.text.find("..").expect("the caller has seen it");
    let (first, second) = (part.slice(0..at), part.slice(at + 2..part.text.len()));
    let read = |side: Part<'_>| match side.text {
        "" => Ok(None),
        _ => side.parse(quantity::duration).map(Some),
    };
    let (from, until) = (read(first)?.unwrap_or_default(), read(second)?);
    match until {
        Some(until) if until <= from => Err(TextError::new(
            &codes::E0107,
            part.range(),
            "a phase of `{key}` ends before it begins",
            "from the earlier to the later time",
        )),
        _ => Ok((from, until)),
    }
}

#[cfg(test)]
mod tests {
    use backroom_collector::config::Format;

    use super::*;

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn phases_are_read() {
        let check = |text: &str, does: Does, share: f64, from: f64, until: Option<f64>| {
            let found = phase(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            let expect = Phase {
                does,
                share,
                from: seconds(from),
                until: until.map(seconds),
                met: AtomicU64::new(0),
            };
            assert_eq!(found, expect, "{text}");
        };
        check("down 10s..20s", Does::Down, 1.0, 10.0, Some(20.0));
        check("down ..1m30s", Does::Down, 1.0, 0.0, Some(90.0));
        let slow = Does::Slow(Duration::from_millis(200));
        check(" slow  200ms\t30s.. ", slow, 1.0, 30.0, None);
        let reject = |status, after: Option<u64>| Does::Reject {
            status,
            retry_after: after.map(Duration::from_secs),
        };
        check("reject 503 1s..2s", reject(503, None), 1.0, 1.0, Some(2.0));
        check(
            "reject 429 retry-after 5s 50% 1s..2s",
            reject(429, Some(5)),
            0.5,
            1.0,
            Some(2.0),
        );
        check("portal 1m..", Does::Portal, 1.0, 60.0, None);
        check("cut before 1s..", Does::CutBefore, 1.0, 1.0, None);
        check("cut after 25% 1s..", Does::CutAfter, 0.25, 1.0, None);
        for example in EXAMPLES {
            assert!(phase(example).is_ok(), "{example}");
        }
    }

    /// Guarantees: all that is wrong is told in one go, each with its place and a way out.
    #[test]
    fn what_is_wrong_is_shown_where_it_stands() {
        let text = "donw 10s..20s, slow 1s..2s, slow 0s 1s..2s, slow 5 1s..2s, reject 200 1s..2s, reject 1s..2s, \
                    reject 429 retry-after 1s..2s, cut 1s..2s, cut never 1s..2s, down 20s..10s, down, down 10s, \
                    down now 1s..2s, cut after 0% 1s..2s, slow 1s 5% 1s..2s, , portal 10..20s, ü 1s..";
        let report = Schedule::parse(text).expect_err("all of it is wrong");
        insta::assert_snapshot!(report.render(Format::Short, false));
        let one = Schedule::parse("down 1s..2s, slwo 1s 2s..3s").expect_err("a typing error");
        insta::assert_snapshot!(one.render(Format::Human, false));
    }

    #[test]
    fn a_file_has_a_list_of_phases() {
        let good = "# lunch\nschedule = [\"down 10s..20s\", \"slow 1s 20s..30s\"]\n";
        let read = Schedule::parse_toml("s.toml", good).expect("it is right");
        let same = Schedule::parse("down 10s..20s, slow 1s 20s..30s").expect("it is right");
        assert_eq!(read, same);
        let bad = "schedule = [\"down 10s..20s\", \"slow 1 20s..30s\", 7]\nphases = 3\n";
        let report = Schedule::parse_toml("s.toml", bad).expect_err("it is wrong");
        insta::assert_snapshot!(report.render(Format::Short, false));
        for garbage in ["", "\u{0}", "schedule", "schedule = {}", "[[schedule]]\n"] {
            assert!(
                Schedule::parse_toml("s.toml", garbage).is_err(),
                "{garbage:?}"
            );
        }
    }

    #[test]
    fn turns_are_those_of_the_listener() {
        let schedule =
            Schedule::parse("down 10s..20s, down 15s..30s, slow 1s 12s..14s, down 40s..");
        let schedule = schedule.expect("it is right");
        let check = |at: f64, down: bool, turn: Option<f64>| {
            assert_eq!(schedule.is_down(seconds(at)), down, "{at}");
            assert_eq!(schedule.next_turn(seconds(at)), turn.map(seconds), "{at}");
        };
        check(0.0, false, Some(10.0));
        check(10.0, true, Some(30.0));
        check(20.0, true, Some(30.0));
        check(30.0, false, Some(40.0));
        check(50.0, true, None);
        assert_eq!(Schedule::default().next_turn(Duration::ZERO), None);
    }

    #[test]
    fn shares_are_of_what_earlier_phases_left() {
        let schedule =
            Schedule::parse("reject 503 50% 0s.., cut after 50% 0s..").expect("it is right");
        let treated: Vec<Option<Does>> = (0..8)
            .map(|_| schedule.treat(Duration::ZERO).does)
            .collect();
        let cut = treated
            .iter()
            .filter(|does| **does == Some(Does::CutAfter))
            .count();
        let free = treated.iter().filter(|does| does.is_none()).count();
        assert_eq!((cut, free), (2, 2), "{treated:?}");
    }

    #[test]
    fn a_share_hits_evenly_and_slowness_goes_with_the_rest() {
        let schedule = Schedule::parse("cut after 25% 0s.., slow 1s 0s..1s, reject 503 1s..2s");
        let schedule = schedule.expect("it is right");
        let hit: Vec<bool> = (0..8)
            .map(|_| schedule.treat(Duration::ZERO))
            .map(|treatment| {
                assert_eq!(treatment.delay, Duration::from_secs(1));
                treatment.does == Some(Does::CutAfter)
            })
            .collect();
        assert_eq!(hit, [false, false, false, true, false, false, false, true]);
        let rejected = (0..4).map(|_| schedule.treat(seconds(1.5)).does);
        let cut = rejected
            .filter(|does| *does == Some(Does::CutAfter))
            .count();
        assert_eq!(cut, 1, "the first that hits decides");
        assert_eq!(schedule.treat(seconds(2.0)).delay, Duration::ZERO);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in ".{0,60}", more in "[a-z0-9%. ,]{0,60}") {
            let _ = Schedule::parse(&text);
            let _ = Schedule::parse(&more);
            let _ = Schedule::parse_toml("x", &text);
        }
    }
}
