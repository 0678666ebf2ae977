//! A scenario as a tree that can be changed, and printed as one file that stands alone.
//!
//! Made from the merged tree, so templates and variables are written out. It knows no meaning: whether a changed document is still a
//! scenario is for `scenario::load` to say, on the printed text. Next: `shrink` and `generate`, who change it.

use std::{
    fmt::Write as _,
    path::{Component, Path, PathBuf},
};

use backroom_collector::config::{
    origins::quoted_key,
    quantity::show_duration,
    shape::{Shape, Ty},
};
use indexmap::IndexMap;

use crate::scenario::{
    Loaded, Scenario, shapes,
    words::{self, Arrivals},
};

/// A table: keys in the order in which they are printed.
pub type Table = IndexMap<String, Value>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string; dates and times too.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// An array, also of tables.
    List(Vec<Value>),
    /// A table.
    Table(Table),
}

/// One step from a value to a value within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, 0-based.
    At(usize),
}

/// Where a value stands.
pub type Place = Vec<Step>;

/// A place of nested tables.
pub fn place(keys: &[&str]) -> Place {
    keys.iter().map(|k| Step::Key((*k).to_owned())).collect()
}

/// A scenario that can be changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Doc {
    root: Table,
}

/// Why a text is no document.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotADoc(String);

impl Doc {
    /// The scenario as its files and overrides say it, without its sweep, its report and variables that nothing refers to.
    ///
    /// # Panics
    /// If what `scenario` prints is not TOML, which its tests exclude.
    pub fn of(loaded: &Loaded) -> Self {
        let text = loaded.plain_toml(false);
        let mut doc = Self::parse(&text).expect("what is printed can be read");
        doc.root.shift_remove("sweep");
        // Percentiles that expectations may ask for; the rest of a report is for whoever wants one.
        if let Some(Value::Table(report)) = doc.root.get_mut("report") {
            report.retain(|key, _| key == "quantiles");
            if report.is_empty() {
                doc.root.shift_remove("report");
            }
        }
        // Texts have their variables filled in; what is left are conditions of closed forms.
        let refers = |oracle: &Value| {
            let when = oracle.table().and_then(|t| t.get("when")?.table());
            when.is_some_and(|when| when.keys().any(|k| k.starts_with("vars.")))
        };
        if !doc.list("oracle").iter().any(refers) {
            doc.root.shift_remove("vars");
        }
        doc
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, NotADoc> {
        let document: toml_edit::DocumentMut = text
            .parse()
            .map_err(|e: toml_edit::TomlError| NotADoc(e.to_string()))?;
        Ok(Self {
            root: table_of(document.as_table()),
        })
    }

    /// Takes out what is written as its default, as a lock file has it: it means the same without. A closed form with a `when` looks at
    /// settings where they are written, so beside one all stay.
    pub fn drop_defaults(&mut self) {
        let has_when = |oracle: &Value| oracle.table().is_some_and(|o| o.contains_key("when"));
        if self.list("oracle").iter().any(has_when) {
            return;
        }
        drop_defaults(&mut self.root, &shapes::TOP, false);
    }

    /// The whole tree.
    pub fn root(&self) -> &Table {
        &self.root
    }

    /// The entries of `[[name]]`.
    pub fn list(&self, name: &str) -> &[Value] {
        match self.root.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// The entries of `[[name]]`, to be changed; an empty list stands for none.
    pub fn list_mut(&mut self, name: &str) -> &mut Vec<Value> {
        let entry = self.root.entry(name.to_owned());
        let value = entry.or_insert_with(|| Value::List(Vec::new()));
        if !matches!(value, Value::List(_)) {
            *value = Value::List(Vec::new());
        }
        match value {
            Value::List(list) => list,
            _ => unreachable!("it was made one"),
        }
    }

    /// Names of the entries of `[[name]]`.
    pub fn ids(&self, name: &str) -> Vec<String> {
        let ids = self.list(name).iter().map(|entry| {
            let id = entry.table().and_then(|t| t.get("id")?.text());
            id.unwrap_or_default().to_owned()
        });
        ids.collect()
    }

    /// What stands at a place.
    pub fn get(&self, place: &[Step]) -> Option<&Value> {
        let (first, rest) = place.split_first()?;
        let Step::Key(key) = first else { return None };
        rest.iter().try_fold(self.root.get(key)?, Value::step)
    }

    /// Puts a value at a place; tables on the way are made, lists are not. `false` if there is no such place.
    pub fn set(&mut self, place: &[Step], value: Value) -> bool {
        put(&mut self.root, place, value)
    }

    fn get_mut(&mut self, place: &[Step]) -> Option<&mut Value> {
        let (first, rest) = place.split_first()?;
        let Step::Key(key) = first else { return None };
        rest.iter()
            .try_fold(self.root.get_mut(key)?, |value, step| match (value, step) {
                (Value::Table(table), Step::Key(key)) => table.get_mut(key),
                (Value::List(list), Step::At(at)) => list.get_mut(*at),
                _ => None,
            })
    }

    /// Takes a value out. `false` if there is none.
    pub fn remove(&mut self, place: &[Step]) -> bool {
        match place.split_last() {
            None => false,
            Some((Step::Key(key), [])) => self.root.shift_remove(key).is_some(),
            Some((last, above)) => match (self.get_mut(above), last) {
                (Some(Value::Table(table)), Step::Key(key)) => table.shift_remove(key).is_some(),
                (Some(Value::List(list)), Step::At(at)) if *at < list.len() => {
                    list.remove(*at);
                    true
                }
                _ => false,
            },
        }
    }

    /// All places with so many steps, in the order in which they are printed.
    pub fn places(&self, steps: usize) -> Vec<Place> {
        let mut all = Vec::new();
        for (key, value) in &self.root {
            collect(vec![Step::Key(key.clone())], value, steps, &mut all);
        }
        all
    }

    /// All places of values that are neither tables nor lists.
    pub fn leaves(&self) -> Vec<Place> {
        let mut all = Vec::new();
        let mut steps = 1;
        loop {
            let level = self.places(steps);
            if level.is_empty() {
                return all;
            }
            let is_leaf = |place: &Place| {
                let value = self.get(place);
                !matches!(value, Some(Value::Table(_) | Value::List(_)) | None)
            };
            all.extend(level.into_iter().filter(is_leaf));
            steps += 1;
        }
    }

    /// Takes out what refers to faults that are gone: faults, expectations and closed forms, and lists that are empty.
    pub fn tidy(&mut self) {
        loop {
            let faults = self.ids("fault");
            let before = self.list("fault").len();
            let refers = |table: &Table, key: &str| -> Vec<String> {
                let text = table.get(key).and_then(Value::text);
                text.map_or(Vec::new(), |text| named_faults(key, text))
            };
            let holds = |entry: &Value, keys: &[&str]| {
                let table = entry.table();
                let mut names = table
                    .into_iter()
                    .flat_map(|t| keys.iter().flat_map(|k| refers(t, k)));
                names.all(|name| faults.contains(&name))
            };
            self.retain("fault", |f| holds(f, &["at", "for"]));
            self.retain("expect", |e| holds(e, &["window", "that"]));
            self.retain("oracle", |o| holds(o, &["fault"]));
            if self.list("fault").len() == before {
                return;
            }
        }
    }

    fn retain(&mut self, name: &str, keep: impl Fn(&Value) -> bool) {
        if let Some(Value::List(list)) = self.root.get_mut(name) {
            list.retain(keep);
            if list.is_empty() {
                self.root.shift_remove(name);
            }
        }
    }

    /// A place in words: `fault.uplink-cut.for`.
    pub fn name_of(&self, place: &[Step]) -> String {
        let mut names: Vec<String> = Vec::new();
        for (i, step) in place.iter().enumerate() {
            names.push(match step {
                Step::Key(key) => key.clone(),
                Step::At(at) => {
                    let id = self.get(&place[..=i]).and_then(Value::table);
                    let id = id.and_then(|t| t.get("id")?.text());
                    id.map_or_else(|| at.to_string(), str::to_owned)
                }
            });
        }
        names.join(".")
    }

    /// Writes times of day and times that refer to other faults as offsets from the start, so that one fault can be moved or taken out
    /// without the others. Faults at random times stay as they are.
    pub fn use_offsets(&mut self, scenario: &Scenario) {
        for (value, fault) in self.list_mut("fault").iter_mut().zip(&scenario.faults) {
            let (Value::Table(table), Some(first)) = (value, fault.windows.first()) else {
                continue;
            };
            let show = |time| Value::Text(show_exactly(time));
            if let Some(at) = table.get_mut("at") {
                *at = Value::Text(format!("+{}", show_exactly(first.start)));
            }
            if let (Some(lasts), Some(end)) = (table.get_mut("for"), first.end) {
                *lasts = show(end - first.start);
            }
        }
    }

    /// The document as TOML. Sections of named tables and lists of entries have headers, all else stands in one line; a list of tables
    /// has a line for each.
    ///
    /// It is a whole file: recordings are named as they are in the tree. See [`Doc::relative_to`].
    pub fn print(&self) -> String {
        let mut out = String::new();
        let (sections, plain): (Vec<_>, Vec<_>) =
            self.root.iter().partition(|(_, v)| is_section(v));
        lines(plain.into_iter(), &mut out);
        for (name, value) in sections {
            let below = quoted_key(name);
            match value {
                Value::List(list) => {
                    for table in list.iter().filter_map(Value::table) {
                        let _ = write!(out, "\n[[{below}]]\n");
                        lines(table.iter(), &mut out);
                    }
                }
                Value::Table(table) if is_named(name) => {
                    for (name, value) in table {
                        let _ = write!(out, "\n[{below}.{}]\n", quoted_key(name));
                        lines(value.table().into_iter().flatten(), &mut out);
                    }
                }
                Value::Table(table) => {
                    let _ = write!(out, "\n[{below}]\n");
                    lines(table.iter(), &mut out);
                }
                _ => {}
            }
        }
        out
    }

    /// The document for a file in `folder`: recordings are named as they are seen from there.
    pub fn relative_to(&self, folder: &Path) -> Self {
        let mut doc = self.clone();
        for place in doc.leaves() {
            let Some(Value::Text(text)) = doc.get(&place) else {
                continue;
            };
            let key = |back: usize| match place.len().checked_sub(back).map(|i| &place[i]) {
                Some(Step::Key(key)) => key.as_str(),
                _ => "",
            };
            let new = match (key(2), key(1)) {
                ("trace", "file") => seen_from(folder, Path::new(text)).display().to_string(),
                (_, "arrivals") => match words::arrivals(text) {
                    Ok(Arrivals::Replay { file, column }) => {
                        let file = seen_from(folder, Path::new(&file));
                        format!("replay({}, column={column})", file.display())
                    }
                    _ => continue,
                },
                _ => continue,
            };
            doc.set(&place, Value::Text(new));
        }
        doc
    }
}

impl Value {
    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match (self, step) {
            (Self::Table(table), Step::Key(key)) => table.get(key),
            (Self::List(list), Step::At(at)) => list.get(*at),
            _ => None,
        }
    }

    /// As TOML, in one line.
    pub fn print(&self) -> String {
        match self {
            Self::Text(text) => toml_edit::Value::from(text.as_str()).to_string(),
            Self::Integer(n) => n.to_string(),
            Self::Float(n) => toml_edit::Value::from(*n).to_string(),
            Self::Bool(b) => b.to_string(),
            Self::List(list) => {
                let items: Vec<String> = list.iter().map(Self::print).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Table(table) if table.is_empty() => "{}".into(),
            Self::Table(table) => {
                let items: Vec<String> = table
                    .iter()
                    .map(|(k, v)| format!("{} = {}", quoted_key(k), v.print()))
                    .collect();
                format!("{{ {} }}", items.join(", "))
            }
        }
    }

    /// A value as TOML writes it; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(|value| value_of(&value))
    }
}

fn put(table: &mut Table, place: &[Step], value: Value) -> bool {
    let Some((Step::Key(key), mut rest)) = place.split_first() else {
        return false;
    };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return true;
    }
    let mut at = table
        .entry(key.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    loop {
        match (at, rest.split_first()) {
            (found, None) => {
                *found = value;
                return true;
            }
            (Value::Table(table), _) => return put(table, rest, value),
            (Value::List(list), Some((Step::At(i), below))) => {
                let Some(inner) = list.get_mut(*i) else {
                    return false;
                };
                (at, rest) = (inner, below);
            }
            _ => return false,
        }
    }
}

/// The faults that the text of a key names.
fn named_faults(key: &str, text: &str) -> Vec<String> {
    let bare = |name: &str| {
        let name = name
            .strip_suffix(".start")
            .or_else(|| name.strip_suffix(".end"));
        name.map(str::to_owned)
    };
    let one = |name: &str| vec![bare(name).unwrap_or_else(|| name.to_owned())];
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let mut words = text.split(|c| !is_name(c)).filter(|w| !w.is_empty());
    match key {
        "fault" => vec![text.to_owned()],
        "at" | "for" => match (words.next(), words.next()) {
            (Some("after" | "until"), Some(name)) if !name.contains(':') => one(name),
            _ => Vec::new(),
        },
        // `during F from +45s for 5m`, `between 06:30 and 21:00 except F, G`, `count(telemetry.lost, born='during F')`.
        _ => {
            let (mut names, mut several, mut next) = (Vec::new(), false, false);
            for word in words {
                match word {
                    "during" | "after" => (several, next) = (false, true),
                    "except" => (several, next) = (true, true),
                    "from" | "for" => next = false,
                    name if next => {
                        names.extend(one(name));
                        next = several;
                    }
                    _ => {}
                }
            }
            names
        }
    }
}

/// A time that reads back as the same one, in few characters.
pub fn show_exactly(time: std::time::Duration) -> String {
    let short = show_duration(time);
    match backroom_collector::config::quantity::duration(&short) {
        _ if time.is_zero() => "0s".into(),
        Ok(same) if same == time => short,
        _ if time.subsec_nanos().is_multiple_of(1_000_000) => format!("{}ms", time.as_millis()),
        _ => format!("{}ns", time.as_nanos()),
    }
}

fn collect(place: Place, value: &Value, steps: usize, out: &mut Vec<Place>) {
    if place.len() == steps {
        out.push(place);
        return;
    }
    let mut below = |step: Step, value: &Value| {
        let mut place = place.clone();
        place.push(step);
        collect(place, value, steps, out);
    };
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                below(Step::Key(key.clone()), value);
            }
        }
        Value::List(list) => {
            for (at, value) in list.iter().enumerate() {
                below(Step::At(at), value);
            }
        }
        _ => {}
    }
}

fn drop_defaults(table: &mut Table, shape: &'static Shape, in_collector: bool) {
    table.retain(|name, value| {
        let Some(key) = shape.keys.iter().find(|key| key.name == name) else {
            return true;
        };
        let in_collector = in_collector || name == "collector";
        let default = key.default.and_then(Value::parse);
        if default.is_some_and(|default| default == *value) {
            return false;
        }
        match (key.ty, value) {
            (Ty::Named(shape), Value::Table(named)) => {
                for value in named.values_mut() {
                    if let Value::Table(inner) = value {
                        drop_defaults(inner, shape, in_collector);
                    }
                }
            }
            (Ty::Table(shape), Value::Table(inner)) => {
                drop_defaults(inner, shape, in_collector);
                // A lock file writes whole tables of defaults there, such as `[collector.retry]`. Elsewhere a table may mean that there is
                // something: a menu, a printer.
                return !in_collector || !inner.is_empty();
            }
            _ => {}
        }
        true
    });
}

fn is_section(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::List(list) => list.iter().all(|v| v.table().is_some()),
        _ => false,
    }
}

/// Whether `[name]` holds named tables, such as `[node.kiosk]`.
fn is_named(name: &str) -> bool {
    let key = shapes::TOP.keys.iter().find(|k| k.name == name);
    key.is_some_and(|k| matches!(k.ty, Ty::Named(_)))
}

fn lines<'v>(entries: impl Iterator<Item = (&'v String, &'v Value)>, out: &mut String) {
    for (key, value) in entries {
        let _ = match value {
            Value::List(list) if list.len() > 1 && list.iter().all(|v| v.table().is_some()) => {
                let items: Vec<String> =
                    list.iter().map(|v| format!("  {},\n", v.print())).collect();
                writeln!(out, "{} = [\n{}]", quoted_key(key), items.concat())
            }
            value => writeln!(out, "{} = {}", quoted_key(key), value.print()),
        };
    }
}

/// A path from a folder on, if both have something in common; both are whole paths.
fn seen_from(folder: &Path, file: &Path) -> PathBuf {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let common = folder
        .components()
        .zip(file.components())
        .take_while(|(a, b)| a == b)
        .filter(|(a, _)| matches!(a, Component::Normal(_)))
        .count();
    if common == 0 || !file.is_absolute() {
        return file.to_owned();
    }
    let normal = |path: &Path| {
        let parts = path.components();
        parts.filter(|c| matches!(c, Component::Normal(_))).count()
    };
    let up = std::iter::repeat_n("..", normal(&folder) - common).collect::<PathBuf>();
    let down = file
        .components()
        .filter(|c| matches!(c, Component::Normal(_)))
        .skip(common);
    up.join(down.collect::<PathBuf>())
}

fn table_of(table: &dyn toml_edit::TableLike) -> Table {
    let entries = table.iter().map(|(k, item)| (k.to_owned(), item_of(item)));
    entries.collect()
}

fn item_of(item: &toml_edit::Item) -> Value {
    match item {
        toml_edit::Item::Value(value) => value_of(value),
        toml_edit::Item::Table(table) => Value::Table(table_of(table)),
        toml_edit::Item::ArrayOfTables(list) => {
            Value::List(list.iter().map(|t| Value::Table(table_of(t))).collect())
        }
        toml_edit::Item::None => Value::Table(Table::new()),
    }
}

fn value_of(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(n) => Value::Integer(*n.value()),
        toml_edit::Value::Float(n) => Value::Float(*n.value()),
        toml_edit::Value::Boolean(b) => Value::Bool(*b.value()),
        // The language reads dates as texts.
        toml_edit::Value::Datetime(time) => Value::Text(time.value().to_string()),
        toml_edit::Value::Array(list) => Value::List(list.iter().map(value_of).collect()),
        toml_edit::Value::InlineTable(table) => Value::Table(table_of(table)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scenario;

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
    }

    /// All that a scenario says, without where it says it.
    fn figures(scenario: &Scenario) -> String {
        let mut copy = scenario.clone();
        copy.path = PathBuf::new();
        copy.faults.iter_mut().for_each(|f| f.line = 0);
        copy.oracles.iter_mut().for_each(|o| o.line = 0);
        for expect in &mut copy.expects {
            (expect.file, expect.line) = (PathBuf::new(), 0);
        }
        format!("{copy:#?}")
    }

    fn read(text: &str, folder: &Path) -> Scenario {
        let path = folder.join("printed.toml");
        std::fs::write(&path, text).expect("written");
        scenario::load(&path, &[])
            .unwrap_or_else(|report| panic!("{report}\n{text}"))
            .scenario
    }

    #[test]
    fn every_shipped_scenario_reads_back_from_any_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut count = 0;
        for entry in std::fs::read_dir(shipped()).expect("there") {
            let path = entry.expect("there").path();
            if path.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            let loaded = scenario::load(&path, &[]).unwrap_or_else(|r| panic!("{r}"));
            let doc = Doc::of(&loaded);
            let again = read(&doc.print(), folder.path());
            assert_eq!(
                figures(&loaded.scenario),
                figures(&again),
                "{}",
                path.display()
            );
            assert_eq!(Doc::parse(&doc.print()).expect("TOML"), doc);

            let locked = loaded.plain_toml(true);
            let mut lock = Doc::parse(&locked).expect("TOML");
            lock.drop_defaults();
            let dropped = read(&lock.print(), folder.path());
            assert_eq!(
                figures(&read(&locked, folder.path())),
                figures(&dropped),
                "the lock file of {}",
                path.display()
            );
            count += 1;
        }
        assert!(count > 20, "{count} scenarios");
    }

    #[test]
    fn recordings_are_named_as_they_are_seen_from_a_folder() {
        let check = |folder: &str, file: &str, expect: &str| {
            let seen = seen_from(Path::new(folder), Path::new(file));
            assert_eq!(seen, Path::new(expect), "{file} from {folder}");
        };
        check("/a/b/regressions", "/a/b/traces/x.txt", "../traces/x.txt");
        check("/a/b", "/a/b/x.txt", "x.txt");
        check("/a/b", "/c/x.txt", "/c/x.txt");
        check("/a/b", "x.txt", "x.txt");
    }

    #[test]
    fn what_refers_to_a_fault_is_known() {
        let check = |key: &str, text: &str, expect: &[&str]| {
            assert_eq!(named_faults(key, text), expect, "{key} = {text}");
        };
        check("at", "after uplink-cut.end + 10m", &["uplink-cut"]);
        check("at", "12:05", &[]);
        check("for", "until 12:20", &[]);
        check("for", "until a.start", &["a"]);
        check("window", "during cut from +45s for 5m", &["cut"]);
        check("window", "between 06:30 and 21:00 except a, b", &["a", "b"]);
        check("window", "whole run", &[]);
        check(
            "that",
            "count(telemetry.lost, born='during cut') == 0",
            &["cut"],
        );
        check(
            "that",
            "recovery(telemetry.backlog, below=64KiB) < 10m",
            &[],
        );
    }

    #[test]
    fn places_are_found_set_and_taken_out() {
        let text = "a = 1\n\n[collector]\nbuffer = { disk = \"1MiB\" }\n\n[[fault]]\nid = \"cut\"\nfor = \"1m\"\n";
        let mut doc = Doc::parse(text).expect("TOML");
        assert_eq!(doc.print(), text);
        let lasts = vec![
            Step::Key("fault".into()),
            Step::At(0),
            Step::Key("for".into()),
        ];
        assert_eq!(doc.name_of(&lasts), "fault.cut.for");
        assert!(doc.set(&lasts, Value::Text("2m".into())));
        assert_eq!(doc.get(&lasts), Some(&Value::Text("2m".into())));
        assert!(doc.set(
            &place(&["collector", "retry", "give_up"]),
            Value::Bool(true)
        ));
        assert!(doc.remove(&place(&["collector", "buffer"])));
        assert!(!doc.remove(&place(&["collector", "buffer"])));
        assert!(
            !doc.set(&place(&["a", "b"]), Value::Bool(true)),
            "`a` is no table"
        );
        assert_eq!(
            doc.print(),
            "a = 1\n\n[collector]\nretry = { give_up = true }\n\n[[fault]]\nid = \"cut\"\nfor = \"2m\"\n"
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::Text),
            any::<i64>().prop_map(Value::Integer),
            (-1e12..1e12_f64).prop_map(Value::Float),
            any::<bool>().prop_map(Value::Bool),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|entries| Value::Table(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever a tree holds, its text holds the same.
        #[test]
        fn a_value_reads_back_as_it_is(value in value()) {
            let text = value.print();
            prop_assert_eq!(Value::parse(&text), Some(value), "{}", text);
        }
    }
}
