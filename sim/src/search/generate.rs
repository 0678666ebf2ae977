//! Stores, outages, traffic and parameters around a scenario: one case for each number, by a seed.
//!
//! A case is a list of changes to the file, so the ones that matter can be told from those that do not. Swarm testing (Groce et al., ISSTA
//! 2012): each case arms a random half of the kinds of faults, since a kind that is always there hides what happens without it. Values are
//! drawn by the tables of keys: a new key, or a new kind of fault, is varied without a line here. Each change draws from a stream of its
//! own, named by what it changes, so that none reshuffles the others.
//!
//! Our own draws, not proptest's: a case must come from (file, seed, number) alone, and is shrunk as a file, not as a tree of draws.

use std::time::Duration;

use backroom_collector::config::{
    quantity,
    shape::{Key, Shape, Ty},
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::doc::{Doc, Place, Step, Table, Value, place, show_exactly};
use crate::{
    fault::table::{FAULTS, Kind, Lasts, PICKS, Target},
    scenario::{Scenario, shapes},
    world::seed,
};

/// Faults that a case adds, at most. More hide each other, and none ends in a quiet store.
const FAULTS_MAX: usize = 6;

/// One setting in so many is changed, so that some ten are.
const ONE_SETTING_IN: u32 = 8;

/// Sections that are left alone: what a file is, what is asked of it, and what decides when the store is open.
const LEFT_ALONE: [&str; 15] = [
    "schema",
    "name",
    "description",
    "kind",
    "seed",
    "seeds",
    "start",
    "warmup",
    "duration",
    "fidelity",
    "limits",
    "vars",
    "profile",
    "fleet",
    "report",
];

/// Settings that give up a promise: with them, invariants fail by what is written.
const PROMISES: [&str; 1] = ["collector.buffer.durability"];

/// 256 KiB: a collector whose disk is smaller than its first segment and notes takes nothing for ever, and what it never took is
/// TELEMETRY-2's. So small a buffer is a mistake of the file, and no finding.
const BUFFER_BYTES_MIN: u64 = 256 << 10;

/// At most twice the load: what a case costs stays near what the file costs.
const LOAD_MOST: f64 = 2.0;

/// One case in so many presses the collector's buffer.
const PRESSED_ONE_IN: u32 = 3;

/// One change to a scenario.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A fault of the file does not happen.
    Spare(String),
    /// Another fault happens.
    Fault(Table),
    /// A setting has another value.
    Set(Place, Value),
}

/// A scenario to change.
#[derive(Debug)]
pub struct Around {
    doc: Doc,
    scenario: Scenario,
    /// Every setting with its value, defaults included, and what it takes.
    settings: Vec<(Place, Value, Ty)>,
}

impl Around {
    /// Changes are made to `doc`, which reads as `scenario`; `whole` has its defaults too.
    pub fn new(doc: Doc, scenario: Scenario, whole: &Doc) -> Self {
        let mut settings = Vec::new();
        let top = &shapes::TOP;
        collect(&mut Vec::new(), whole.root(), top, &mut settings);
        settings.retain(|(place, _, _)| {
            let Some(Step::Key(first)) = place.first() else {
                return false;
            };
            let is_promise = PROMISES.contains(&doc.name_of(place).as_str());
            !LEFT_ALONE.contains(&first.as_str()) && !is_promise
        });
        Self {
            doc,
            scenario,
            settings,
        }
    }

    /// The scenario with these changes.
    pub fn with(&self, changes: &[Change]) -> Doc {
        let mut doc = self.doc.clone();
        for change in changes {
            match change {
                Change::Spare(id) => doc.list_mut("fault").retain(|fault| {
                    let own = fault.table().and_then(|t| t.get("id")?.text());
                    own != Some(id)
                }),
                Change::Fault(table) => doc.list_mut("fault").push(Value::Table(table.clone())),
                Change::Set(place, value) => {
                    doc.set(place, value.clone());
                }
            }
        }
        doc.tidy();
        doc
    }

    /// The changes of a case. The same scenario, seed and number give the same ones, on any machine.
    pub fn case(&self, run: u64, number: u64) -> Vec<Change> {
        let number = number.to_string();
        let stream = |purpose: &[&str]| {
            let path: Vec<&str> = ["fuzz", &number]
                .into_iter()
                .chain(purpose.iter().copied())
                .collect();
            seed::stream(run, &path)
        };
        let mut changes = Vec::new();
        let run = self.length(&mut stream(&["duration"]));
        if run < self.scenario.duration {
            let value = Value::Text(show_exactly(run));
            changes.push(Change::Set(place(&["duration"]), value));
        }
        for fault in &self.scenario.faults {
            let is_late = fault.windows.first().is_some_and(|w| w.start >= run);
            if is_late || stream(&["spare", &fault.id]).random_bool(0.5) {
                changes.push(Change::Spare(fault.id.clone()));
            }
        }
        for (place, value, ty) in &self.settings {
            let name = self.doc.name_of(place);
            let mut rng = stream(&["set", &name]);
            if rng.random_ratio(1, ONE_SETTING_IN)
                && let Some(new) = varied(&name, value, *ty, &mut rng)
                && new != *value
                && is_enough(&name, &new)
            {
                changes.push(Change::Set(place.clone(), new));
            }
        }
        if stream(&["press"]).random_ratio(1, PRESSED_ONE_IN) {
            self.press(&mut changes, &mut stream(&["press", "how"]));
        }
        let armed: Vec<&Kind> = FAULTS
            .iter()
            .filter(|kind| self.may_happen(kind) && stream(&["arm", kind.name]).random_bool(0.5))
            .collect();
        if armed.is_empty() {
            return changes;
        }
        let count = stream(&["faults"]).random_range(0..=FAULTS_MAX);
        for index in 0..count {
            let mut rng = stream(&["fault", &index.to_string()]);
            let kind = armed[rng.random_range(0..armed.len())];
            let id = self.free_id(kind, index);
            changes.extend(self.fault(kind, id, run, &mut rng).map(Change::Fault));
        }
        changes
    }

    /// Fills the collector's buffer: little room, nothing compressed, the most telemetry that a case may have, and a line that is away for
    /// most of the time. Each of them is drawn by itself too, and all of them meet in one case of thousands: what a full buffer does wrong
    /// would never be seen.
    fn press(&self, changes: &mut Vec<Change>, rng: &mut ChaCha8Rng) {
        // It takes the whole time to fill: a shorter case hardly would.
        let run = self.scenario.duration;
        let length = place(&["duration"]);
        changes.retain(|change| !matches!(change, Change::Set(at, _) if *at == length));
        let of = |name: &str| {
            let found = self
                .settings
                .iter()
                .find(|(place, _, _)| self.doc.name_of(place) == name);
            found.map(|(place, value, ty)| (place.clone(), value, *ty))
        };
        let times = match rng.random_bool(0.5) {
            true => 1.0,
            false => log_uniform(rng, 1.0, 4.0),
        };
        let kibibytes = (times * (BUFFER_BYTES_MIN >> 10) as f64).floor();
        let disk = format!("{kibibytes}KiB");
        // As the file has it in half of them.
        let full = match of("collector.buffer.on_full") {
            Some((_, _, Ty::Choice(words))) if rng.random_bool(0.5) => {
                Some(words[rng.random_range(0..words.len())].to_owned())
            }
            _ => None,
        };
        let rate = of("traffic.telemetry.rate")
            .and_then(|(_, value, _)| scaled(value.text()?, LOAD_MOST, false));
        let wanted = [
            ("collector.buffer.disk", Some(disk)),
            ("collector.buffer.on_full", full),
            ("collector.compress.codec", Some("none".to_owned())),
            ("traffic.telemetry.rate", rate),
        ];
        for (name, value) in wanted {
            let (Some((place, _, _)), Some(value)) = (of(name), value) else {
                continue;
            };
            // What was drawn for it before is not needed any more.
            changes.retain(|change| !matches!(change, Change::Set(at, _) if *at == place));
            changes.push(Change::Set(place, Value::Text(value)));
        }
        let away = match &self.scenario.failover {
            Some(failover) => Some(&failover.primary),
            None => {
                let ends_there = |(a, b): &(String, String)| a == "hq" || b == "hq";
                let mut links = self.scenario.links.iter();
                let found = links.find(|(_, link)| ends_there(&link.between));
                found.map(|(name, _)| name)
            }
        };
        if let Some(link) = away {
            let run = run.as_secs_f64();
            let seconds = |share: f64| Value::Text(show_exactly(Duration::from_secs_f64(share)));
            let tenths = |s: f64| (s * 10.0).round() / 10.0;
            let at = tenths(rng.random_range(0.02..0.1) * run);
            let lasts = tenths(rng.random_range(0.6..0.8) * run).max(0.1);
            let mut fault = Table::new();
            let mut id = "press".to_owned();
            while self.doc.ids("fault").contains(&id) {
                id.push('x');
            }
            fault.insert("id".into(), Value::Text(id));
            fault.insert("kind".into(), Value::Text("link.down".into()));
            fault.insert("on".into(), Value::Text(link.clone()));
            let Value::Text(at) = seconds(at) else { return };
            fault.insert("at".into(), Value::Text(format!("+{at}")));
            fault.insert("for".into(), seconds(lasts));
            changes.push(Change::Fault(fault));
        }
    }

    /// The changes of a case without those that do not go together: a document of the rest `is_valid`.
    pub fn valid_case(
        &self,
        run: u64,
        number: u64,
        is_valid: &dyn Fn(&Doc) -> bool,
    ) -> Vec<Change> {
        let all = self.case(run, number);
        if is_valid(&self.with(&all)) {
            return all;
        }
        let mut kept = Vec::new();
        for change in all {
            kept.push(change);
            if !is_valid(&self.with(&kept)) {
                kept.pop();
            }
        }
        kept
    }

    /// How long a case runs: as long as the file, or down to an eighth; whole seconds, and longer than the warm-up.
    fn length(&self, rng: &mut ChaCha8Rng) -> Duration {
        let whole = self.scenario.duration;
        if rng.random_bool(0.5) {
            return whole;
        }
        let seconds = whole.as_secs_f64() * log_uniform(rng, 0.125, 1.0);
        let least = self.scenario.warmup + Duration::from_secs(2);
        Duration::from_secs(seconds.ceil() as u64).clamp(least.min(whole), whole)
    }

    /// A name that no fault of the file has.
    fn free_id(&self, kind: &Kind, index: usize) -> String {
        let mut id = format!("{}-{}", kind.name.replace(['.', '_'], "-"), index + 1);
        while self.doc.ids("fault").contains(&id) {
            id.push('x');
        }
        id
    }

    /// Whether a kind can be drawn: what it needs is there, and no file has to be found for it.
    pub fn may_happen(&self, kind: &Kind) -> bool {
        let needs_a_file = kind.settings.iter().any(|key| key.name == "trace");
        !needs_a_file && kind.on != Target::Region && !self.targets(kind).is_empty()
    }

    /// What a fault of a kind may happen to.
    fn targets(&self, kind: &Kind) -> Vec<String> {
        match kind.on {
            Target::Link => self.scenario.links.keys().cloned().collect(),
            Target::Node => self.scenario.nodes.keys().cloned().collect(),
            Target::Router | Target::Store | Target::Hq => vec![kind.on.as_str().to_owned()],
            Target::Region => Vec::new(),
        }
    }

    /// A fault of a kind: when, for how long, how often, and with which settings.
    fn fault(&self, kind: &Kind, id: String, run: Duration, rng: &mut ChaCha8Rng) -> Option<Table> {
        let targets = self.targets(kind);
        let on = targets.get(rng.random_range(0..targets.len().max(1)))?;
        let mut fault = Table::new();
        let mut put = |key: &str, value: Value| fault.insert(key.to_owned(), value);
        put("id", Value::Text(id));
        put("kind", Value::Text(kind.name.to_owned()));
        let count = self.scenario.nodes.get(on).map_or(0, |node| node.count);
        let is_group = kind.on == Target::Node && count > 1;
        // One of a group, or all of it.
        put(
            "on",
            Value::Text(match is_group && rng.random_bool(0.5) {
                true => format!("{on}-{}", rng.random_range(1..=count)),
                false => on.clone(),
            }),
        );
        let run = run.as_secs_f64();
        let seconds = |s: f64| Duration::from_millis((s.max(0.1) * 10.0).round() as u64 * 100);
        // Everything heals before the end: while a fault lasts, most invariants cannot be asked.
        let at = rng.random_range(0.0..0.85) * run;
        put("at", Value::Text(format!("+{}", show_exactly(seconds(at)))));
        let most = (run * 0.95 - at).max(0.2);
        let lasts = log_uniform(rng, (run / 1000.0).clamp(0.1, most * 0.99), most);
        if kind.lasts != Lasts::Instant {
            put("for", Value::Text(show_exactly(seconds(lasts))));
        }
        if rng.random_bool(0.25) {
            let gap = log_uniform(rng, 1.0, (run / 4.0).max(2.0));
            let most = ((run * 0.95 - at - lasts) / (lasts + gap)).floor() as i64 + 1;
            let times = rng.random_range(2..=5).min(most);
            if times > 1 {
                put("every", Value::Text(show_exactly(seconds(lasts + gap))));
                put("times", Value::Integer(times));
            }
        }
        if is_group && rng.random_bool(0.3) {
            put(
                "pick",
                Value::Text(PICKS[rng.random_range(0..PICKS.len())].to_owned()),
            );
        }
        for key in kind.settings {
            if (key.required || rng.random_bool(0.4))
                && let Some(value) = self.drawn(key, rng)
            {
                put(key.name, value);
            }
        }
        Some(fault)
    }

    /// A value for a setting of a fault: near its example, or one that the scenario has.
    fn drawn(&self, key: &Key, rng: &mut ChaCha8Rng) -> Option<Value> {
        if key.name == "class" {
            let classes: Vec<&String> = self.scenario.classes.keys().collect();
            let class = classes.get(rng.random_range(0..classes.len().max(1)))?;
            return Some(Value::Text((*class).clone()));
        }
        let example = Value::parse(key.example)?;
        match key.ty {
            Ty::Table(shape) => {
                // One of its settings at least: a table that changes nothing is refused.
                let sure = rng.random_range(0..shape.keys.len());
                let mut table = Table::new();
                for (i, inner) in shape.keys.iter().enumerate() {
                    let is_drawn = rng.random_bool(0.4);
                    if let Some(value) = self.drawn(inner, rng).filter(|_| is_drawn || i == sure) {
                        table.insert(inner.name.to_owned(), value);
                    }
                }
                Some(Value::Table(table))
            }
            Ty::Map(_) => Some(example),
            ty => Some(varied(key.name, &example, ty, rng).unwrap_or(example)),
        }
    }
}

/// Every setting below a table that is a plain value, and what it takes.
fn collect(above: &mut Place, table: &Table, shape: &Shape, out: &mut Vec<(Place, Value, Ty)>) {
    for (name, value) in table {
        let Some(key) = shape.keys.iter().find(|key| key.name == name) else {
            continue;
        };
        above.push(Step::Key(name.clone()));
        match (key.ty, value) {
            (Ty::Named(inner), Value::Table(named)) => {
                for (name, value) in named {
                    above.push(Step::Key(name.clone()));
                    if let Value::Table(table) = value {
                        collect(above, table, inner, out);
                    }
                    above.pop();
                }
            }
            (ty, Value::Table(table)) => {
                if let Some(inner) = shape_of(ty) {
                    collect(above, table, inner, out);
                }
            }
            // Lists name things, or are orders' steps: what an order is is no parameter.
            (_, Value::List(_)) => {}
            (ty, value) => out.push((above.clone(), value.clone(), ty)),
        }
        above.pop();
    }
}

fn shape_of(ty: Ty) -> Option<&'static Shape> {
    match ty {
        Ty::Table(shape) => Some(shape),
        Ty::Either(all) => all.iter().find_map(|ty| shape_of(*ty)),
        _ => None,
    }
}

/// Whether a drawn value leaves what the store cannot do without.
fn is_enough(name: &str, value: &Value) -> bool {
    let size = value.text().map(quantity::byte_size);
    match size {
        Some(Ok(size)) if name == "collector.buffer.disk" => size.0 >= BUFFER_BYTES_MIN,
        _ => true,
    }
}

/// Another value for a setting; `None` where it names something, or has no other.
fn varied(name: &str, value: &Value, ty: Ty, rng: &mut ChaCha8Rng) -> Option<Value> {
    let last = name.rsplit('.').next().unwrap_or(name);
    match (ty, value) {
        (Ty::Choice(words), Value::Text(_)) if last != "role" => Some(Value::Text(
            words[rng.random_range(0..words.len())].to_owned(),
        )),
        (Ty::Bool, Value::Bool(b)) => Some(Value::Bool(!b)),
        (Ty::Integer(least, most), Value::Integer(n)) => {
            // At most twice as many machines: what a case costs stays near what the file costs.
            let top = match last {
                "count" => n.saturating_mul(2),
                _ => n.saturating_mul(8).max(8),
            };
            let drawn = log_uniform(rng, 1.0, top.max(2) as f64).round() as i64;
            Some(Value::Integer(drawn.clamp(least, most)))
        }
        (Ty::Number(least, most), Value::Float(n)) => {
            let drawn = n * log_uniform(rng, 0.1, 10.0);
            Some(Value::Float(digits(drawn.clamp(least, most))))
        }
        (Ty::Word(grammar), Value::Text(text)) if grammar.name != "a name" => {
            let is_load = name.starts_with("traffic.") || last == "scans";
            let (least, most) = match is_load {
                true => (0.125, LOAD_MOST),
                false => (1.0 / 64.0, 16.0),
            };
            let factor = log_uniform(rng, least, most);
            scaled(text, factor, text.contains('%')).map(Value::Text)
        }
        (Ty::Either(all), value) => all.iter().find_map(|ty| varied(name, value, *ty, rng)),
        _ => None,
    }
}

/// The text with every number that has a place of its own times `factor`; shares stay shares.
fn scaled(text: &str, factor: f64, is_share: bool) -> Option<String> {
    let at_most = if is_share { 100.0 } else { f64::INFINITY };
    super::numbers::each(text, &|n| digits((n * factor).min(at_most)))
}

/// Three significant digits: a drawn number need not be longer.
fn digits(n: f64) -> f64 {
    format!("{n:.2e}").parse().unwrap_or(n)
}

fn log_uniform(rng: &mut ChaCha8Rng, least: f64, most: f64) -> f64 {
    (rng.random_range(0.0..1.0) * (most / least).ln()).exp() * least
}

/// The seed of a case's run: another one for each, so that what is drawn within a run differs too.
pub fn seed_of(run: u64, number: u64) -> u64 {
    let bytes = seed::derive(run, &["fuzz", &number.to_string(), "seed"]);
    // Six digits: people write it.
    u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])) % 1_000_000
}

impl Change {
    /// In a few words: `fault.cut spared`, `link.down-1 on uplink`, `collector.buffer.disk = "1MiB"`.
    pub fn told(&self) -> String {
        match self {
            Self::Spare(id) => format!("fault {id} spared"),
            Self::Fault(table) => {
                let text = |key: &str| table.get(key).and_then(Value::text).unwrap_or_default();
                let lasts = match text("for") {
                    "" => String::new(),
                    lasts => format!(" for {lasts}"),
                };
                format!(
                    "{} on {} at {}{lasts}",
                    text("kind"),
                    text("on"),
                    text("at")
                )
            }
            Self::Set(place, value) => {
                let keys: Vec<&str> = place
                    .iter()
                    .map(|step| match step {
                        Step::Key(key) => key.as_str(),
                        Step::At(_) => "",
                    })
                    .collect();
                format!("{} = {}", keys.join("."), value.print())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::scenario;

    fn around(file: &str) -> Around {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let loaded = scenario::load(&path, &[]).unwrap_or_else(|r| panic!("{r}"));
        let whole = Doc::parse(&loaded.plain_toml(true)).expect("TOML");
        Around::new(Doc::of(&loaded), loaded.scenario, &whole)
    }

    fn reads(doc: &Doc) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("case.toml");
        std::fs::write(&path, doc.print()).expect("written");
        let loaded = scenario::load(&path, &[]);
        loaded.map(drop).map_err(|report| report.to_string())
    }

    #[test]
    fn a_case_comes_from_scenario_seed_and_number_alone() {
        let one = around("tests/fixtures/quick.toml");
        assert_eq!(
            one.case(1, 7),
            around("tests/fixtures/quick.toml").case(1, 7)
        );
        assert_ne!(one.case(1, 7), one.case(1, 8));
        assert_ne!(one.case(1, 7), one.case(2, 7));
        assert_eq!(one.with(&[]).print(), one.doc.print());
    }

    /// What is drawn reads back, prints the same again, and holds every kind of fault and every section sooner or later.
    #[test]
    fn cases_are_scenarios_and_reach_everything() {
        let around = around("../scenarios/lunch-uplink-cut.toml");
        let (mut kinds, mut sections) = (BTreeSet::new(), BTreeSet::new());
        let (mut dropped, mut all, mut without) = (0, 0, BTreeSet::new());
        for number in 0..60 {
            let drawn = around.case(1, number);
            let kept = around.valid_case(1, number, &|doc| reads(doc).is_ok());
            dropped += drawn.len() - kept.len();
            all += drawn.len();
            let doc = around.with(&kept);
            reads(&doc).unwrap_or_else(|why| panic!("case {number}: {why}"));
            assert_eq!(
                Doc::parse(&doc.print()).expect("TOML"),
                doc,
                "case {number}"
            );
            for change in &kept {
                match change {
                    Change::Spare(id) => _ = without.insert(id.clone()),
                    Change::Fault(table) => {
                        kinds.insert(table["kind"].text().unwrap_or_default().to_owned());
                    }
                    Change::Set(place, _) => _ = sections.insert(format!("{:?}", place[0])),
                }
            }
        }
        let missing: Vec<&str> = FAULTS
            .iter()
            .filter(|kind| around.may_happen(kind) && !kinds.contains(kind.name))
            .map(|kind| kind.name)
            .collect();
        assert_eq!(
            missing,
            Vec::<&str>::new(),
            "of {all} changes {dropped} were dropped"
        );
        let left_out: Vec<&str> = FAULTS
            .iter()
            .filter(|kind| !around.may_happen(kind))
            .map(|kind| kind.name)
            .collect();
        // A recording has to be found, and one store has no regions.
        assert_eq!(left_out, ["link.trace", "region.outage"]);
        for section in [
            "node",
            "disk",
            "link",
            "failover",
            "traffic",
            "collector",
            "hq",
        ] {
            assert!(sections.contains(&format!("Key({section:?})")), "{section}");
        }
        assert_eq!(without.len(), 1);
        assert!(dropped * 5 < all, "{dropped} of {all} changes do not fit");
    }
}
