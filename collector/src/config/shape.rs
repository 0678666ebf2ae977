//! Tables of keys: what may be written, of which type, with which default, and what it means.
//!
//! One table serves the reader (unknown and missing keys), the JSON Schema, `explain` and the check of dotted paths, so that
//! they cannot disagree. Next: `fields`, which reads by it; `schema`, which prints it.

use super::{
    codes,
    diagnostic::{Diagnostic, Sink},
    fields::{self, Fields},
    grammar::Grammar,
    suggest::listed,
    tree::{Node, Value},
};

/// The keys of a table.
#[derive(Debug)]
pub struct Shape {
    /// What the table is about.
    pub doc: &'static str,
    /// Its keys, in the order they are usually written.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub ty: Ty,
    /// Whether it must be written.
    pub required: bool,
    /// What it is when it is not written, as TOML; `None` where leaving it out means something else.
    pub default: Option<&'static str>,
    /// What it means.
    pub doc: &'static str,
    /// A value, as TOML, for suggestions.
    pub example: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Ty {
    /// Any text.
    Text,
    /// A text with a grammar.
    Word(&'static Grammar),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// An integer within bounds.
    Integer(i64, i64),
    /// A plain number within bounds.
    Number(f64, f64),
    /// A list.
    List(&'static Ty),
    /// A table with these keys.
    Table(&'static Shape),
    /// A table of named tables: `[node.kiosk]`.
    Named(&'static Shape),
    /// Named values of one type: `hours = { 06 = 0.22 }`.
    Map(&'static Ty),
    /// An array of tables: `[[fault]]`.
    Tables(&'static Shape),
    /// The first that fits.
    Either(&'static [Ty]),
    /// Whatever its reader takes.
    Any,
}

impl Key {
    /// A key that must be written.
    pub const fn need(
        name: &'static str,
        ty: Ty,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            ty,
            required: true,
            default: None,
            doc,
            example,
        }
    }

    /// A key that may be left out.
    pub const fn may(name: &'static str, ty: Ty, example: &'static str, doc: &'static str) -> Self {
        Self {
            required: false,
            ..Self::need(name, ty, example, doc)
        }
    }

    /// A key with a default, which is its example too.
    pub const fn or(name: &'static str, ty: Ty, default: &'static str, doc: &'static str) -> Self {
        Self {
            required: false,
            default: Some(default),
            ..Self::need(name, ty, default, doc)
        }
    }
}

impl Shape {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }
}

impl Ty {
    /// What it is, with an article.
    pub fn name(&self) -> String {
        match self {
            Self::Text => String::from("a text"),
            Self::Word(grammar) => grammar.name.to_owned(),
            Self::Choice(words) => format!("one of {}", listed(words)),
            Self::Bool => String::from("true or false"),
            Self::Integer(..) => String::from("an integer"),
            Self::Number(..) => String::from("a number"),
            Self::List(of) => format!("a list (each {})", of.name()),
            Self::Table(_) | Self::Named(_) | Self::Map(_) => String::from("a table"),
            Self::Tables(_) => String::from("an array of tables"),
            Self::Either(all) => all.iter().map(Self::name).collect::<Vec<_>>().join(", or "),
            Self::Any => String::from("a value"),
        }
    }

    /// Whether a value could be of this type, by its outer form alone.
    fn takes(&self, node: &Node) -> bool {
        match self {
            Self::Text | Self::Word(_) | Self::Choice(_) => matches!(node.value, Value::Text(_)),
            Self::Bool => matches!(node.value, Value::Bool(_)),
            Self::Integer(..) => matches!(node.value, Value::Integer(_)),
            Self::Number(..) => matches!(node.value, Value::Integer(_) | Value::Float(_)),
            Self::List(_) | Self::Tables(_) => matches!(node.value, Value::Array(_)),
            Self::Table(_) | Self::Named(_) | Self::Map(_) => {
                matches!(node.value, Value::Table(_))
            }
            Self::Either(all) => all.iter().any(|ty| ty.takes(node)),
            Self::Any => true,
        }
    }

    /// The grammar of texts of this type.
    pub fn grammar(&self) -> Option<&'static Grammar> {
        match self {
            Self::Word(grammar) => Some(grammar),
            Self::Either(all) => all.iter().find_map(Self::grammar),
            _ => None,
        }
    }

    /// Checks a value that no reader will look at, such as one of a sweep; `key` is its name in messages.
    pub fn check(&self, key: &str, node: &Node, sink: &Sink) {
        if !self.takes(node) {
            fields::wrong_type(key, node, self, sink);
            return;
        }
        match (self, &node.value) {
            (Self::Word(grammar), _) => {
                fields::parse(key, node, self, grammar.check, sink);
            }
            (Self::Choice(words), Value::Text(text)) if !words.contains(&text.value.as_str()) => {
                fields::wrong_choice(key, node, &text.value, words, sink);
            }
            (Self::Integer(min, max), Value::Integer(n)) if !(min..=max).contains(&n) => {
                out_of_range(key, node, &min.to_string(), &max.to_string(), sink);
            }
            (Self::Number(min, max), value) => {
                let n = match value {
                    Value::Integer(n) => *n as f64,
                    Value::Float(n) => *n,
                    _ => return,
                };
                if !(*min..=*max).contains(&n) {
                    out_of_range(key, node, &min.to_string(), &max.to_string(), sink);
                }
            }
            (Self::List(of), Value::Array(list)) => {
                list.iter().for_each(|n| of.check(key, n, sink));
            }
            (Self::Map(of), Value::Table(table)) => {
                for (name, entry) in &table.entries {
                    of.check(name, &entry.node, sink);
                }
            }
            (Self::Table(shape), Value::Table(_)) => {
                if let Some(fields) = Fields::open(node, shape, key, sink) {
                    fields.check_all();
                }
            }
            (Self::Named(shape), Value::Table(table)) => {
                for (name, entry) in &table.entries {
                    Self::Table(shape).check(&format!("{key}.{name}"), &entry.node, sink);
                }
            }
            (Self::Tables(shape), Value::Array(list)) => {
                list.iter()
                    .for_each(|n| Self::Table(shape).check(key, n, sink));
            }
            (Self::Either(all), _) => {
                if let Some(ty) = all.iter().find(|ty| ty.takes(node)) {
                    ty.check(key, node, sink);
                }
            }
            _ => {}
        }
    }
}

fn out_of_range(key: &str, node: &Node, min: &str, max: &str, sink: &Sink) {
    // A bound that is only the end of what a number can hold says nothing to a reader.
    let label = match max == i64::MAX.to_string() {
        true => format!("less than {min}"),
        false => format!("not within {min} and {max}"),
    };
    sink.push(
        Diagnostic::error(&codes::E0107, format!("`{key}` is out of range")).at(node.span, label),
    );
}
