//! What goes wrong, and when: settings by the table of kinds, times that may refer to each other.
//!
//! Everything that is wrong with a time is told here, from the first window of each fault; which windows a run then has is
//! decided in [`occur`](crate::scenario::occur). What a kind does with its own settings stands in `kinds`.

use std::time::Duration;

use backroom_collector::config::{
    Diagnostic, Fields, Span,
    codes::{E0101, E0104, E0107},
    did_you_mean,
    grammar::Part,
    quantity,
    tree::{Node, Table},
};

use super::Cx;
use crate::{
    dist::Dist,
    fault::table::{self, COMMON, FAULTS, Kind, Lasts as KindLasts, Target},
    scenario::{
        Fault, FaultKind, FaultWindow, Pick, codes,
        occur::{self, Begins, Length, OCCURRENCES_MAX, Plan},
        parse::{Names, known_fault},
        time::{self, At, Edge, Lasts},
        words,
    },
};

/// A fault whose times are not settled yet.
struct Draft<'a> {
    id: String,
    line: usize,
    /// `None` where nothing else of it could be read.
    kind: Option<&'static Kind>,
    what: FaultKind,
    at: Option<(At, &'a Node)>,
    lasts: Option<(Lasts, &'a Node)>,
    every: Option<(Duration, Span)>,
    times: Option<i64>,
    /// It happens at random times.
    random: bool,
    mtbf: Option<Dist>,
    mttr: Option<Dist>,
    pick: Pick,
    /// Where to blame it as a whole.
    span: Span,
}

/// Faults of one file: many more than anybody reads.
const FAULTS_MAX: usize = 1_000;

/// Where a fault's first window is, as far as it is known.
#[derive(Clone, Copy)]
enum State {
    Unknown,
    Visiting,
    Known(Option<FaultWindow>),
}

impl Cx<'_> {
    pub(super) fn faults(&self) -> Vec<Fault> {
        let ids = self.fault_ids();
        let nodes = self.top.items("fault");
        if let Some(node) = nodes.get(FAULTS_MAX) {
            self.sink.push(
                Diagnostic::error(&E0107, format!("a file has at most {FAULTS_MAX} faults"))
                    .at(node.span, format!("there are {}", nodes.len()))
                    .help(String::from(
                        "let one happen again: add `every` and `times`",
                    )),
            );
            return Vec::new();
        }
        let drafts: Vec<Draft<'_>> = nodes
            .iter()
            .filter_map(|node| self.draft(node, &ids))
            .collect();
        let mut states = vec![State::Unknown; drafts.len()];
        for i in 0..drafts.len() {
            self.settle(i, &drafts, &mut states);
        }
        let plans: Vec<Option<Plan>> = drafts
            .iter()
            .zip(&states)
            .map(|(draft, state)| {
                let first = match state {
                    State::Known(first) => *first,
                    _ => None,
                };
                self.check_every(draft, first);
                self.plan(draft, &drafts)
            })
            .collect();
        let by_id = drafts.iter().zip(&plans);
        let by_id: Vec<_> = by_id
            .map(|(draft, plan)| (draft.id.as_str(), plan.as_ref()))
            .collect();
        let windows = match (&self.clock, self.duration) {
            (Some(clock), Some(duration)) => occur::windows(&by_id, clock, duration, None),
            _ => vec![None; drafts.len()],
        };
        let all = drafts.into_iter().zip(plans).zip(windows);
        all.map(|((draft, plan), windows)| Fault {
            id: draft.id,
            kind: draft.what,
            plan,
            pick: draft.pick,
            windows: windows.unwrap_or_default(),
            line: draft.line,
        })
        .collect()
    }

    /// Reads one fault: unknown settings, missing ones, then each in turn.
    fn draft<'n>(&self, node: &'n Node, ids: &[String]) -> Option<Draft<'n>> {
        let table = node.as_table().or_else(|| {
            self.sink.push(
                Diagnostic::error(&E0104, "a fault is a table").at(node.span, node.type_name()),
            );
            None
        })?;
        let id = table.text("id").unwrap_or_default().to_owned();
        let id_span = table.entries.get("id").map_or(node.span, |e| e.key);
        let mut draft = Draft {
            line: self.sources.place(id_span).line,
            span: id_span,
            what: FaultKind::LinkDown {
                link: String::new(),
            },
            kind: None,
            at: None,
            lasts: None,
            every: None,
            times: None,
            random: false,
            mtbf: None,
            mttr: None,
            pick: Pick::All,
            id,
        };
        let Some(kind) = self.kind_of(node, &draft.id) else {
            return Some(draft);
        };
        let place = format!("fault.{}", draft.id);
        let f = Fields::of_keys(node, kind.keys(), place, self.sink)?;
        draft.kind = Some(kind);
        draft.random = f.has("mtbf") || f.has("mttr");
        self.unknown_settings(&f, kind);
        self.missing_settings(&f, kind, &draft, id_span);
        f.text("id", words::name);
        let on = self.target(&f, kind);
        let names = Names {
            faults: Some(ids.to_vec()),
            ..Names::default()
        };
        self.times(&f, table, &mut draft, &names);
        self.contradictions(&f, kind);
        draft.what = self.what(&f, kind, on, &draft.id);
        Some(draft)
    }

    fn kind_of(&self, node: &Node, id: &str) -> Option<&'static Kind> {
        let table = node.as_table()?;
        let Some(kind_node) = table.get("kind") else {
            self.sink.push(
                Diagnostic::error(&E0101, format!("fault `{id}` needs `kind`"))
                    .at(node.span, "no `kind` here")
                    .help(String::from(
                        "add `kind = \"link.down\"`; `backroom explain faults` lists the kinds",
                    )),
            );
            return None;
        };
        let name = kind_node.as_text().or_else(|| {
            self.sink.push(
                Diagnostic::error(&E0104, "`kind` takes a text")
                    .at(kind_node.span, format!("this is {}", kind_node.type_name())),
            );
            None
        })?;
        table::find(name).or_else(|| {
            let known = FAULTS.iter().map(|k| k.name);
            let help = backroom_collector::config::nearest(name, known).map_or_else(
                || String::from("`backroom explain faults` lists the kinds"),
                |k| format!("did you mean `{k}`?"),
            );
            self.sink.push(
                Diagnostic::error(&codes::E0201, format!("unknown fault kind `{name}`"))
                    .at(kind_node.within(0..name.len()), "no such fault")
                    .help(help),
            );
            None
        })
    }

    fn unknown_settings(&self, f: &Fields<'_>, kind: &'static Kind) {
        for (name, entry) in &f.table().entries {
            if kind.key(name).is_some() {
                continue;
            }
            // Suggest what is not there yet first: `fro` beside `for` missing means `for`.
            let known = kind.keys().map(|k| k.name).filter(|k| !f.has(k));
            self.sink.push(
                Diagnostic::error(
                    &codes::E0202,
                    format!("`{}` has no setting `{name}`", kind.name),
                )
                .at(entry.key, "unknown setting")
                .help(did_you_mean(name, known, "it takes")),
            );
        }
    }

    fn missing_settings(&self, f: &Fields<'_>, kind: &'static Kind, draft: &Draft<'_>, at: Span) {
        let needs_at = kind.lasts != KindLasts::Optional && !draft.random;
        let needs_for = kind.lasts == KindLasts::Needed && !draft.random;
        let needs_mttr = draft.random && kind.lasts != KindLasts::Instant && !f.has("for");
        let missing = COMMON.iter().chain(kind.settings).filter(|key| {
            let needed = match key.name {
                "at" => needs_at,
                "for" => needs_for,
                "mtbf" => draft.random,
                "mttr" => needs_mttr,
                _ => key.required,
            };
            needed && !f.has(key.name)
        });
        for key in missing {
            let help = match key.name {
                "for" => format!(
                    "add `for = {}`, or `mtbf`/`mttr` for random outages",
                    key.example
                ),
                "at" => format!("add `at = {}`", key.example),
                name => format!("add `{name}`"),
            };
            let who = match draft.id.as_str() {
                "" => String::from("this fault"),
                id => format!("fault `{id}`"),
            };
            self.sink.push(
                Diagnostic::error(
                    &codes::E0203,
                    format!("`{}` needs `{}`", kind.name, key.name),
                )
                .at(at, format!("{who} has no `{}`", key.name))
                .help(help),
            );
        }
    }

    /// What a fault acts on; reports what is not declared.
    fn target(&self, f: &Fields<'_>, kind: &'static Kind) -> String {
        let Some(on) = f.string("on") else {
            return String::new();
        };
        let Some(node) = f.node("on") else { return on };
        match kind.on {
            Target::Link => {
                self.declared("link", &on, node, self.links.iter().map(String::as_str));
            }
            Target::Node if self.is_misplaced(kind, &on, node) => {}
            Target::Node => {
                self.machine(&on, node, &[]);
            }
            Target::Region => {
                let regions = self.regions.iter().map(String::as_str);
                match on.strip_prefix("region:") {
                    Some(region) => {
                        let at = node.within("region:".len()..on.len());
                        if !self.regions.iter().any(|r| r == region) {
                            self.sink.push(
                                Diagnostic::error(
                                    &codes::E0204,
                                    format!("there is no region `{region}`"),
                                )
                                .at(at, "not declared")
                                .help(did_you_mean(region, regions, "declared").or_else(|| {
                                    Some(format!(
                                        "write [fleet] with stores = 1 and regions = {{ {region} = 1 }}"
                                    ))
                                })),
                            );
                        }
                    }
                    None => self.wrong_target(kind, &on, node, "region:NAME"),
                }
            }
            Target::Router | Target::Store | Target::Hq => {
                let word = kind.on.as_str();
                if on != word {
                    self.wrong_target(kind, &on, node, word);
                }
            }
        }
        on
    }

    fn wrong_target(&self, kind: &Kind, on: &str, node: &Node, word: &str) {
        self.sink.push(
            Diagnostic::error(
                &codes::E0204,
                format!("`{}` cannot act on `{on}`", kind.name),
            )
            .at(node.within(0..on.len()), "something else")
            .help(format!("write on = \"{word}\"")),
        );
    }

    /// Reads `at`, `for` and what repeats them.
    fn times<'n>(&self, f: &Fields<'_>, table: &'n Table, draft: &mut Draft<'n>, names: &Names) {
        if draft.random && f.has("at") {
            let random = if f.has("mtbf") { "mtbf" } else { "mttr" };
            self.sink.push(
                Diagnostic::error(&codes::E0209, "a fault happens `at` a time, or at random")
                    .at(f.key_span("at"), "at a time")
                    .see(f.key_span(random), "at random"),
            );
        }
        draft.mtbf = f.text("mtbf", words::dist_time);
        draft.mttr = f.text("mttr", words::dist_time);
        if let (Some(node), Some(at)) = (table.get("at"), f.text("at", time::at)) {
            let known = match &at {
                At::After(edge, _) => self.known(node, edge, names),
                _ => true,
            };
            if known {
                self.happens(&at, node);
                draft.at = Some((at, node));
            }
        }
        if let (Some(node), Some(lasts)) = (table.get("for"), f.text("for", time::lasts)) {
            let known = match &lasts {
                Lasts::Until(edge) => self.known(node, edge, names),
                Lasts::For(length) if length.is_zero() => {
                    self.sink.push(
                        Diagnostic::error(&E0107, "a fault lasts some time")
                            .at(node.span, "nothing would happen"),
                    );
                    false
                }
                _ => true,
            };
            if known {
                draft.lasts = Some((lasts, node));
            }
        }
        let every = f.text("every", quantity::duration);
        draft.every = every.map(|every| (every, f.key_span("every")));
        draft.times = f.integer("times");
        if f.has("times") && !f.has("every") && !draft.random {
            self.sink.push(
                Diagnostic::error(&codes::E0203, "`times` needs `every`")
                    .at(f.key_span("times"), "how long in between?")
                    .help(String::from("add `every = \"4m\"`")),
            );
        }
        let picks = [
            ("all", Pick::All),
            ("one", Pick::One),
            ("one, round-robin", Pick::RoundRobin),
            ("one, random", Pick::Random),
        ];
        draft.pick = f.choice("pick", &picks).unwrap_or_default();
    }

    /// Settings that exclude each other.
    fn contradictions(&self, f: &Fields<'_>, kind: &'static Kind) {
        let both = |a: &str, b: &str, what: String| {
            if f.has(a) && f.has(b) {
                self.sink.push(
                    Diagnostic::error(&codes::E0209, what)
                        .at(f.key_span(a), "either this")
                        .see(f.key_span(b), "or this"),
                );
            }
        };
        both(
            "for",
            "mttr",
            "a fault lasts `for` a time, or as long as `mttr` draws".into(),
        );
        both(
            "every",
            "mtbf",
            "a fault happens `every` so often, or at random".into(),
        );
        if f.has("pick") && kind.on != Target::Node {
            self.sink.push(
                Diagnostic::error(
                    &codes::E0209,
                    format!("`{}` does not happen to a group of machines", kind.name),
                )
                .at(f.key_span("pick"), "there is nothing to pick from"),
            );
        }
        // A clock may step back again; a reboot and rot are over at once.
        let is_over_at_once = kind.lasts == KindLasts::Instant && kind.name != "clock.step";
        for key in ["for", "mttr"] {
            if f.has(key) && (is_over_at_once || kind.lasts == KindLasts::Instant && key == "mttr")
            {
                self.sink.push(
                    Diagnostic::error(&codes::E0209, format!("`{}` ends by itself", kind.name))
                        .at(f.key_span(key), "there is nothing to wait for"),
                );
            }
        }
    }

    /// Whether the fault that a time refers to is declared; reports it if not.
    fn known(&self, node: &Node, edge: &Edge, names: &Names) -> bool {
        let part = Part {
            text: &edge.fault,
            at: edge.at,
        };
        match known_fault(part, names) {
            Ok(()) => true,
            Err(err) => {
                backroom_collector::config::fields::report("at", node, err, self.sink);
                false
            }
        }
    }

    /// Reports a time that the run does not reach.
    fn happens(&self, at: &At, node: &Node) {
        let (Some(clock), Some(duration)) = (&self.clock, self.duration) else {
            return;
        };
        let start = match at {
            At::Clock(second) => clock.first(*second),
            At::Offset(offset) => *offset,
            At::After(..) => return,
        };
        if start >= duration {
            self.never(node, start, duration);
        }
    }

    fn never(&self, node: &Node, start: Duration, duration: Duration) {
        let label = match &self.clock {
            Some(clock) => format!("the run ends at {} store time", clock.show(duration)),
            None => String::from("the run is over"),
        };
        let text = node.as_text().unwrap_or_default();
        self.sink.push(
            Diagnostic::error(&codes::E0205, "this fault never happens")
                .at(node.within(0..text.len()), label)
                .help(format!(
                    "raise `duration` above \"{}\" or move the fault",
                    minutes(start)
                )),
        );
    }

    /// Finds a fault's first window, after those that it refers to.
    fn settle(&self, i: usize, drafts: &[Draft<'_>], states: &mut [State]) -> Option<FaultWindow> {
        match states[i] {
            State::Known(window) => return window,
            State::Visiting => {
                let draft = &drafts[i];
                // What refers to another fault is to blame: its beginning, else its end.
                let at = draft.at.as_ref();
                let at = at.filter(|(at, _)| matches!(at, At::After(..)));
                let end = draft.lasts.as_ref().map(|(_, node)| node.span);
                let span = at.map(|(_, node)| node.span).or(end);
                let span = span.unwrap_or(draft.span);
                self.sink.push(
                    Diagnostic::error(
                        &codes::E0207,
                        format!("the time of `{}` depends on itself", draft.id),
                    )
                    .at(span, "waits for a fault that waits for this one"),
                );
                states[i] = State::Known(None);
                return None;
            }
            State::Unknown => {}
        }
        states[i] = State::Visiting;
        let window = self.first_window(&drafts[i], drafts, states);
        // A circle has been told already where it was closed.
        if !matches!(states[i], State::Known(None)) {
            states[i] = State::Known(window);
        }
        window
    }

    fn first_window(
        &self,
        draft: &Draft<'_>,
        drafts: &[Draft<'_>],
        states: &mut [State],
    ) -> Option<FaultWindow> {
        let (clock, duration) = (self.clock.as_ref()?, self.duration?);
        let kind = draft.kind?;
        if draft.random {
            return None;
        }
        let start = match &draft.at {
            None if kind.lasts == KindLasts::Optional => Duration::ZERO,
            None => return None,
            Some((At::Clock(second), _)) => clock.first(*second),
            Some((At::Offset(offset), _)) => *offset,
            Some((At::After(edge, plus), node)) => {
                let other = self.edge(edge, node, drafts, states)?;
                let start = other.saturating_add(*plus);
                if start >= duration {
                    self.never(node, start, duration);
                }
                start
            }
        };
        let end = match &draft.lasts {
            None if kind.lasts == KindLasts::Instant => Some(start),
            None if kind.lasts == KindLasts::Optional => None,
            None => return None,
            Some((Lasts::For(length), _)) => Some(start.saturating_add(*length)),
            Some((Lasts::Forever, _)) => None,
            Some((Lasts::UntilClock(second), _)) => Some(clock.next(*second, start)),
            Some((Lasts::Until(edge), node)) => {
                let end = self.edge(edge, node, drafts, states)?;
                if end <= start {
                    let text = node.as_text().unwrap_or_default();
                    self.sink.push(
                        Diagnostic::error(&codes::E0209, "this fault ends before it begins")
                            .at(
                                node.within(0..text.len()),
                                format!("at {} store time", clock.show(end)),
                            )
                            .help(format!("it begins at {}", clock.show(start))),
                    );
                    return None;
                }
                Some(end)
            }
        };
        Some(FaultWindow { start, end })
    }

    /// When another fault begins or ends; reports one that never ends.
    fn edge(
        &self,
        edge: &Edge,
        node: &Node,
        drafts: &[Draft<'_>],
        states: &mut [State],
    ) -> Option<Duration> {
        let other = drafts.iter().position(|d| d.id == edge.fault)?;
        let window = self.settle(other, drafts, states)?;
        if !edge.end {
            return Some(window.start);
        }
        if window.end.is_none() {
            self.sink.push(
                Diagnostic::error(&codes::E0205, "this fault never happens")
                    .at(
                        node.within(edge.at..edge.at + edge.fault.len()),
                        format!("`{}` never ends", edge.fault),
                    )
                    .help(format!("write `after {}.start + …`", edge.fault)),
            );
        }
        window.end
    }

    /// Reports a fault that begins again before it has ended.
    fn check_every(&self, draft: &Draft<'_>, first: Option<FaultWindow>) {
        let (Some((every, span)), Some(first)) = (draft.every, first) else {
            return;
        };
        let length = first.end.map(|end| end - first.start);
        if every.is_zero() || length.is_none_or(|l| l > every) {
            self.sink.push(
                Diagnostic::error(
                    &codes::E0209,
                    "this fault happens again before it has ended",
                )
                .at(span, "shorter than it lasts"),
            );
        }
    }

    /// When a fault happens, with the others by their index; `None` if that was not to be read.
    fn plan(&self, draft: &Draft<'_>, drafts: &[Draft<'_>]) -> Option<Plan> {
        let index = |edge: &Edge| drafts.iter().position(|d| d.id == edge.fault);
        let kind = draft.kind?;
        let clock = self.clock.as_ref()?;
        let begins = match (&draft.mtbf, &draft.at) {
            (Some(mtbf), _) => Begins::Random(mtbf.clone()),
            (None, _) if draft.random => return None,
            (None, None) if kind.lasts == KindLasts::Optional => Begins::At(Duration::ZERO),
            (None, None) => return None,
            (None, Some((At::Clock(second), _))) => Begins::At(clock.first(*second)),
            (None, Some((At::Offset(offset), _))) => Begins::At(*offset),
            (None, Some((At::After(edge, plus), _))) => Begins::After {
                fault: index(edge)?,
                end: edge.end,
                plus: *plus,
            },
        };
        let lasts = match (&draft.mttr, &draft.lasts) {
            (Some(mttr), _) => Length::Random(mttr.clone()),
            (None, None) => match kind.lasts {
                KindLasts::Instant => Length::Instant,
                KindLasts::Optional => Length::Forever,
                KindLasts::Needed => return None,
            },
            (None, Some((Lasts::For(length), _))) => Length::For(*length),
            (None, Some((_, node))) if draft.random => {
                self.sink.push(
                    Diagnostic::error(&codes::E0209, "a fault at random times has a length")
                        .at(node.span, "one that differs each time")
                        .help(String::from(
                            "write for = \"15m\", or mttr = \"exp(mean=15m)\"",
                        )),
                );
                return None;
            }
            (None, Some((Lasts::Until(edge), _))) => Length::Until {
                fault: index(edge)?,
                end: edge.end,
            },
            (None, Some((Lasts::UntilClock(second), _))) => Length::UntilClock(*second),
            (None, Some((Lasts::Forever, _))) => Length::Forever,
        };
        let times = draft.times.and_then(|n| usize::try_from(n).ok());
        let plan = Plan {
            begins,
            lasts,
            every: draft.every.map(|(every, _)| every),
            times,
        };
        let unbounded = Plan {
            times: None,
            ..plan.clone()
        };
        let often = |plan: &Plan| plan.expected(self.duration.unwrap_or_default());
        if times.is_none() && often(&unbounded).is_some_and(|n| n >= OCCURRENCES_MAX as f64) {
            self.sink.push(
                Diagnostic::error(
                    &E0107,
                    format!("this fault would happen more than {OCCURRENCES_MAX} times"),
                )
                .at(draft.span, "too often for one run")
                .help(String::from("make `mtbf` longer, or bound it with `times`")),
            );
        }
        Some(plan)
    }
}

/// Whole minutes where it is some: "150m"; else seconds.
fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds % 60, seconds % 3600) {
        (_, 0) if seconds > 2 * 86_400 => format!("{}h", seconds / 3600),
        (0, _) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
