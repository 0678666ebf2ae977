//! Reads a table by its shape: unknown and missing keys first, then each value with the parser that its user gives.
//!
//! A value that is wrong is reported and read as absent, so that one reading finds everything that is wrong. Next: `file`,
//! the collector's own reader.

use super::{
    codes,
    diagnostic::{Diagnostic, Sink, Span},
    grammar::{TextError, write_with_units},
    shape::{Key, Shape, Ty},
    suggest::did_you_mean,
    tree::{Node, Table, Value},
};

/// A table that is being read.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    table: &'a Table,
    span: Span,
    keys: Vec<&'static Key>,
    place: String,
    sink: &'a Sink,
}

impl<'a> Fields<'a> {
    /// Starts reading a table; `place` is its dotted path. Reports keys that are unknown, then keys that are missing.
    /// `None` (and an error) if it is no table.
    pub fn open(
        node: &'a Node,
        shape: &'static Shape,
        place: impl Into<String>,
        sink: &'a Sink,
    ) -> Option<Self> {
        let fields = Self::peek(node, shape, place, sink)?;
        fields.report_unknown();
        for key in shape
            .keys
            .iter()
            .filter(|k| k.required && !fields.has(k.name))
        {
            fields.report_missing(key);
        }
        Some(fields)
    }

    /// Like [`Fields::open`], without reporting keys.
    pub fn peek(
        node: &'a Node,
        shape: &'static Shape,
        place: impl Into<String>,
        sink: &'a Sink,
    ) -> Option<Self> {
        let place = place.into();
        let Some(table) = node.as_table() else {
            wrong_type(&place, node, &Ty::Table(shape), sink);
            return None;
        };
        Some(Self {
            table,
            span: node.span,
            keys: shape.keys.iter().collect(),
            place,
            sink,
        })
    }

    /// Starts reading a table whose keys stand in several places, without reporting any. `None` if it is no table.
    pub fn of_keys(
        node: &'a Node,
        keys: impl Iterator<Item = &'static Key>,
        place: impl Into<String>,
        sink: &'a Sink,
    ) -> Option<Self> {
        Some(Self {
            table: node.as_table()?,
            span: node.span,
            keys: keys.collect(),
            place: place.into(),
            sink,
        })
    }

    fn report_unknown(&self) {
        for (name, entry) in &self.table.entries {
            if self.keys.iter().any(|k| k.name == name) {
                continue;
            }
            let label = if self.place.is_empty() {
                String::from("not part of schema 1")
            } else {
                format!("not a setting of `{}`", self.place)
            };
            let known = self.keys.iter().map(|k| k.name);
            self.sink.push(
                Diagnostic::error(&codes::E0102, format!("unknown key `{name}`"))
                    .at(entry.key, label)
                    .help(did_you_mean(name, known, "it takes")),
            );
        }
    }

    fn report_missing(&self, key: &Key) {
        let (title, label) = if self.place.is_empty() {
            (
                format!("`{}` is missing", key.name),
                String::from("expected in this file"),
            )
        } else {
            (
                format!("`{}` needs `{}`", self.place, key.name),
                format!("no `{}` here", key.name),
            )
        };
        self.sink.push(
            Diagnostic::error(&codes::E0101, title)
                .at(self.span, label)
                .help(format!("add `{} = {}`", key.name, key.example)),
        );
    }

    /// Checks every value that is there by its type; for tables that nobody reads.
    pub fn check_all(&self) {
        for (name, entry) in &self.table.entries {
            if let Some(key) = self.keys.iter().find(|k| k.name == name) {
                key.ty.check(name, &entry.node, self.sink);
            }
        }
    }

    /// Where findings go.
    pub fn sink(&self) -> &'a Sink {
        self.sink
    }

    /// Where the table is written: its header, or its braces.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Its dotted path.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The table itself.
    pub fn table(&self) -> &'a Table {
        self.table
    }

    /// Whether a key is written.
    pub fn has(&self, key: &str) -> bool {
        self.table.entries.contains_key(key)
    }

    /// The value of a key.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        debug_assert!(
            self.keys.iter().any(|k| k.name == key),
            "{}.{key} is read but is not in its shape",
            self.place
        );
        self.table.get(key)
    }

    /// Where a key is written; the table where it is not.
    pub fn key_span(&self, key: &str) -> Span {
        self.table.entries.get(key).map_or(self.span, |e| e.key)
    }

    fn ty(&self, key: &str) -> Ty {
        self.keys
            .iter()
            .find(|k| k.name == key)
            .map_or(Ty::Any, |k| k.ty)
    }

    /// A text with a grammar.
    pub fn text<T>(
        &self,
        key: &str,
        parser: impl FnOnce(&str) -> Result<T, TextError>,
    ) -> Option<T> {
        parse(key, self.node(key)?, &self.ty(key), parser, self.sink)
    }

    /// Any text.
    pub fn string(&self, key: &str) -> Option<String> {
        let node = self.node(key)?;
        match node.as_text() {
            Some(text) => Some(text.to_owned()),
            None => {
                wrong_type(key, node, &self.ty(key), self.sink);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn bool(&self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                wrong_type(key, node, &self.ty(key), self.sink);
                None
            }
        }
    }

    /// An integer within the bounds of its shape.
    pub fn integer(&self, key: &str) -> Option<i64> {
        let node = self.node(key)?;
        self.checked(key, node)?;
        match node.value {
            Value::Integer(n) => Some(n),
            _ => None,
        }
    }

    /// A plain number within the bounds of its shape.
    pub fn number(&self, key: &str) -> Option<f64> {
        let node = self.node(key)?;
        self.checked(key, node)?;
        match node.value {
            Value::Integer(n) => Some(n as f64),
            Value::Float(n) => Some(n),
            _ => None,
        }
    }

    /// One of the words of its shape, as the value that stands beside it.
    pub fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let node = self.node(key)?;
        self.checked(key, node)?;
        let text = node.as_text()?;
        words
            .iter()
            .find(|(w, _)| *w == text)
            .map(|(_, value)| *value)
    }

    /// Checks a value by its type; `None` if that reported something.
    pub fn checked(&self, key: &str, node: &Node) -> Option<()> {
        let before = self.sink.error_count();
        self.ty(key).check(key, node, self.sink);
        (self.sink.error_count() == before).then_some(())
    }

    /// The texts of a list, each with its place.
    pub fn strings(&self, key: &str) -> Option<Vec<(String, &'a Node)>> {
        let node = self.node(key)?;
        let Value::Array(list) = &node.value else {
            wrong_type(key, node, &self.ty(key), self.sink);
            return None;
        };
        let mut texts = Vec::with_capacity(list.len());
        for item in list {
            match item.as_text() {
                Some(text) => texts.push((text.to_owned(), item)),
                None => wrong_type(key, item, &Ty::Text, self.sink),
            }
        }
        Some(texts)
    }

    /// A table within.
    pub fn fields(&self, key: &str) -> Option<Self> {
        let node = self.node(key)?;
        let shape = self.shape_of(key)?;
        let place = self.path(key);
        Self::open(node, shape, place, self.sink)
    }

    /// The tables of `[key.NAME]`, with the place of each name.
    pub fn named(&self, key: &str) -> Vec<(String, Span, Self)> {
        let (Some(node), Some(shape)) = (self.node(key), self.shape_of(key)) else {
            return Vec::new();
        };
        let Some(table) = node.as_table() else {
            wrong_type(key, node, &self.ty(key), self.sink);
            return Vec::new();
        };
        table
            .entries
            .iter()
            .filter_map(|(name, entry)| {
                let place = format!("{}.{name}", self.path(key));
                let fields = Self::open(&entry.node, shape, place, self.sink)?;
                Some((name.clone(), entry.key, fields))
            })
            .collect()
    }

    /// The nodes of an array of tables.
    pub fn items(&self, key: &str) -> Vec<&'a Node> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        match &node.value {
            Value::Array(list) => list.iter().collect(),
            _ => {
                wrong_type(key, node, &self.ty(key), self.sink);
                Vec::new()
            }
        }
    }

    fn path(&self, key: &str) -> String {
        if self.place.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.place)
        }
    }

    /// The shape of the tables that a key takes.
    fn shape_of(&self, key: &str) -> Option<&'static Shape> {
        fn shape(ty: &Ty) -> Option<&'static Shape> {
            match ty {
                Ty::Table(shape) | Ty::Named(shape) | Ty::Tables(shape) => Some(shape),
                Ty::List(of) => shape(of),
                Ty::Either(all) => all.iter().find_map(shape),
                _ => None,
            }
        }
        shape(&self.ty(key))
    }
}

/// Parses a text value; bare numbers and other types are reported.
pub fn parse<T>(
    key: &str,
    node: &Node,
    ty: &Ty,
    parser: impl FnOnce(&str) -> Result<T, TextError>,
    sink: &Sink,
) -> Option<T> {
    let Some(text) = node.as_text() else {
        wrong_type(key, node, ty, sink);
        return None;
    };
    match parser(text) {
        Ok(value) => Some(value),
        Err(err) => {
            report(key, node, err, sink);
            None
        }
    }
}

/// Reports what is wrong with the text of a value.
pub fn report(key: &str, node: &Node, err: TextError, sink: &Sink) {
    sink.push(
        Diagnostic::error(err.code, err.title.replace("{key}", key))
            .at(node.within(err.at), err.label)
            .help(err.help),
    );
}

/// Reports a value of another type than its key takes; a bare number where a unit belongs has its own message.
pub fn wrong_type(key: &str, node: &Node, ty: &Ty, sink: &Sink) {
    let number = match node.value {
        Value::Integer(n) => Some(n.to_string()),
        Value::Float(n) => Some(n.to_string()),
        _ => None,
    };
    let units = ty.grammar().map_or(&[][..], |g| g.units);
    if let (Some(number), false) = (number, units.is_empty()) {
        sink.push(
            Diagnostic::error(&codes::E0103, format!("`{key}` needs a unit"))
                .at(node.span, "a bare number")
                .help(write_with_units(&number, units)),
        );
        return;
    }
    let help = ty
        .grammar()
        .and_then(|g| g.examples.first())
        .map(|example| format!("write \"{example}\""));
    sink.push(
        Diagnostic::error(&codes::E0104, format!("`{key}` takes {}", ty.name()))
            .at(node.span, format!("this is {}", node.type_name()))
            .help(help),
    );
}

/// Reports a word that is none of a few.
pub fn wrong_choice(key: &str, node: &Node, given: &str, words: &[&str], sink: &Sink) {
    // Half of a word is as good as a near miss: `random` for `one, random`.
    let whole = words
        .iter()
        .find(|w| w.split(", ").any(|part| part == given));
    let help = match whole {
        Some(word) => Some(format!("did you mean `{word}`?")),
        None => did_you_mean(given, words.iter().copied(), "one of"),
    };
    sink.push(
        Diagnostic::error(&codes::E0106, format!("`{key}` cannot be `{given}`"))
            .at(node.within(0..given.len()), "not one of its words")
            .help(help),
    );
}
