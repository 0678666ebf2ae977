//! Every setting with the place where it comes from: `file:line`, an option, a variable of the environment, or the default.
//!
//! It goes by the table of keys, so a new key shows up by itself. The text is TOML and reads back as the same configuration.

use std::fmt;

use super::{
    COLLECTOR, Sources,
    shape::{Shape, Ty},
    tree::{Node, Table, Value},
};

/// Settings in the order in which they are usually written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// Table and key, each quoted where TOML wants it.
    table: String,
    key: String,
    /// As TOML; `None` where leaving it out means something of its own.
    value: Option<String>,
    origin: String,
}

const NOT_SET: &str = "not set";

impl Origins {
    /// What a file says, and the defaults of what it does not say.
    pub fn of(table: &Table, sources: &Sources) -> Self {
        let mut origins = Self::default();
        origins.add("", &COLLECTOR, table, sources);
        origins
    }

    /// What somebody said instead: `path` is dotted, `value` is TOML.
    pub fn set(&mut self, path: &str, value: String, origin: &str) {
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        let line = Line {
            table: table.to_owned(),
            key: key.to_owned(),
            value: Some(value),
            origin: origin.to_owned(),
        };
        // A URL may be written as `endpoint = "..."`, which is `endpoint.url`, and there is one way to write a table.
        let is_short = |line: &&mut Line| line.table.is_empty() && line.key == table;
        if let Some(short) = self.lines.iter_mut().find(is_short) {
            (short.table, short.key) = (table.to_owned(), "url".to_owned());
        }
        let at = |line: &Line| line.table == table && line.key == key;
        match self.lines.iter_mut().find(|line| at(line)) {
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
    }

    fn add(&mut self, place: &str, shape: &'static Shape, table: &Table, sources: &Sources) {
        for key in shape.keys {
            let entry = table.entries.get(key.name);
            match (sub_shape(&key.ty), entry) {
                (Some(inner), Some(entry)) if entry.node.as_table().is_some() => {
                    let empty = Table::default();
                    let inner_table = entry.node.as_table().unwrap_or(&empty);
                    self.add(&below(place, key.name), inner, inner_table, sources);
                }
                // `[class.x]`: what is written, for what is not there has no name.
                (None, Some(entry)) if matches!(key.ty, Ty::Named(_)) => {
                    let Ty::Named(inner) = key.ty else { continue };
                    let named = entry.node.as_table().into_iter().flat_map(|t| &t.entries);
                    for (name, entry) in named {
                        let place = below(&below(place, key.name), &quoted_key(name));
                        if let Some(table) = entry.node.as_table() {
                            self.add(&place, inner, table, sources);
                        }
                    }
                }
                (_, Some(entry)) => self.lines.push(Line {
                    table: place.to_owned(),
                    key: key.name.to_owned(),
                    value: Some(toml(&entry.node).to_string()),
                    origin: sources.origin(entry.node.span),
                }),
                // A table without defaults says nothing, and its header alone would say that it is meant.
                (Some(inner), None)
                    if matches!(key.ty, Ty::Table(_))
                        && inner.keys.iter().any(|key| key.default.is_some()) =>
                {
                    self.add(&below(place, key.name), inner, &Table::default(), sources);
                }
                (_, None) => {
                    let origin = match key.default {
                        Some(_) => "default",
                        None => NOT_SET,
                    };
                    self.lines.push(Line {
                        table: place.to_owned(),
                        key: key.name.to_owned(),
                        value: key.default.map(str::to_owned),
                        origin: origin.to_owned(),
                    });
                }
            }
        }
    }
}

/// The table that a key may be.
fn sub_shape(ty: &Ty) -> Option<&'static Shape> {
    match ty {
        Ty::Table(shape) => Some(shape),
        Ty::Either(all) => all.iter().find_map(sub_shape),
        _ => None,
    }
}

fn below(place: &str, name: &str) -> String {
    match place {
        "" => name.to_owned(),
        place => format!("{place}.{name}"),
    }
}

/// A text as TOML.
pub fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// A key, quoted where it must be. Not as a value is: that may take several lines, which a key must not.
pub fn quoted_key(name: &str) -> String {
    toml_edit::Key::new(name).to_string()
}

fn toml(node: &Node) -> toml_edit::Value {
    match &node.value {
        Value::Text(text) => text.value.as_str().into(),
        Value::Integer(n) => (*n).into(),
        Value::Float(n) => (*n).into(),
        Value::Bool(b) => (*b).into(),
        Value::Array(list) => toml_edit::Value::Array(list.iter().map(toml).collect()),
        Value::Table(table) => {
            let entries = table.entries.iter();
            let pairs = entries.map(|(name, entry)| (name.as_str(), toml(&entry.node)));
            toml_edit::Value::InlineTable(pairs.collect())
        }
    }
}

/// Plain settings first, then tables with a header each; origins in a column.
impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |line: &Line| match &line.value {
            Some(value) => format!("{} = {value}", line.key),
            None => format!("# {}", line.key),
        };
        let width = self.lines.iter().map(|line| text(line).chars().count());
        // A long value pushes its own origin aside and not those of the others.
        let width = width.filter(|width| *width <= 60).max().unwrap_or(0);
        let mut tables: Vec<&str> = Vec::new();
        for line in &self.lines {
            if !tables.contains(&line.table.as_str()) {
                tables.push(&line.table);
            }
        }
        // Keys without a table must come before the first header.
        tables.sort_by_key(|table| !table.is_empty());
        for (index, table) in tables.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if !table.is_empty() {
                writeln!(f, "[{table}]")?;
            }
            for line in self.lines.iter().filter(|line| line.table == *table) {
                writeln!(f, "{:width$}  # {}", text(line), line.origin)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, load_text, load_text_whole};

    fn origins(text: &str) -> Origins {
        let Loaded { table, sources, .. } = load_text_whole("c.toml", text).expect("valid");
        Origins::of(&table, &sources)
    }

    #[test]
    fn every_setting_says_where_it_comes_from() {
        let text = "endpoint = \"http://hq:4318\"\n[buffer]\ndisk = \"512MiB\"\n";
        let mut origins = origins(text);
        origins.set("endpoint.url", quoted("http://other:4318"), "--endpoint");
        let shown = origins.to_string();
        let check = |line: &str| {
            let squeezed: Vec<String> = shown
                .lines()
                .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            assert!(squeezed.iter().any(|l| l == line), "{line}\n{shown}");
        };
        check("url = \"http://other:4318\" # --endpoint");
        check("disk = \"512MiB\" # c.toml:3");
        check("on_full = \"refuse\" # default");
        check("# max_rate # not set");
        assert!(!shown.contains("http://hq:4318"), "{shown}");
    }

    #[test]
    fn reads_back_as_the_same_configuration() {
        let text = "endpoint = { url = \"http://hq:4318\", headers = { \"x-a\" = \"b\" } }\n[send]\nmax_rate = \"1Mbit/s\"\n[retry]\ngive_up = \"30d\"\n";
        let shown = origins(text).to_string();
        let again = load_text("again.toml", &shown).expect(&shown);
        assert_eq!(again, load_text("c.toml", text).expect("valid"));
    }
}
