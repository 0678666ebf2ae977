//! Writes a merged tree as one file, each value with the place where it was written.
//!
//! The file reads back as the same scenario. Paths to files are written as they are seen from where this process stands.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use backroom_collector::config::{
    Sources,
    origins::quoted_key,
    shape::{Key, Shape, Ty},
    tree::{Node, Table, Value},
};

use super::{
    merge, shapes,
    words::{self, Arrivals},
};
use crate::fault;

/// The tree as TOML; with `defaults`, also what nobody wrote.
pub(super) fn write(tree: &Table, sources: &Sources, defaults: bool) -> String {
    let writer = Writer {
        sources,
        defaults,
        origins: true,
        whole_paths: false,
    };
    let mut out = String::from("# Every value with the place where it was written.\n");
    writer.table("", tree, shapes::TOP.keys.iter().collect(), &mut out);
    out
}

/// The tree as TOML that says nothing of where it comes from; recordings have whole paths, so it can be read from any folder.
pub(super) fn write_plain(tree: &Table, sources: &Sources, defaults: bool) -> String {
    let writer = Writer {
        sources,
        defaults,
        origins: false,
        whole_paths: true,
    };
    let mut out = String::new();
    writer.table("", tree, shapes::TOP.keys.iter().collect(), &mut out);
    out
}

/// One value as TOML, at a dotted path.
pub(super) fn value_text(path: &str, node: &Node, sources: &Sources) -> String {
    let writer = Writer {
        sources,
        defaults: false,
        origins: false,
        whole_paths: false,
    };
    let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
    writer.value(above, name, node)
}

struct Writer<'a> {
    sources: &'a Sources,
    defaults: bool,
    /// Whether each value is followed by the place where it was written.
    origins: bool,
    /// Whether recordings are named from the root of the file system on.
    whole_paths: bool,
}

impl Writer<'_> {
    /// Plain values first, then tables with a header each.
    fn table(&self, path: &str, table: &Table, keys: Vec<&'static Key>, out: &mut String) {
        let key_of = |name: &str| keys.iter().find(|k| k.name == name).copied();
        for (name, entry) in &table.entries {
            if is_section(&entry.node, key_of(name)) {
                continue;
            }
            let origin = self.sources.origin(entry.node.span);
            self.line(name, &self.value(path, name, &entry.node), &origin, out);
        }
        if self.defaults {
            for key in &keys {
                let default = key
                    .default
                    .filter(|_| !table.entries.contains_key(key.name));
                if let (Some(default), false) = (default, path.is_empty() && key.name == "kind") {
                    self.line(key.name, default, "default", out);
                }
            }
        }
        for (name, entry) in &table.entries {
            let key = key_of(name);
            if !is_section(&entry.node, key) {
                continue;
            }
            let below = match path {
                "" => quoted_key(name),
                path => format!("{path}.{}", quoted_key(name)),
            };
            match (&entry.node.value, key.map(|k| k.ty)) {
                (Value::Array(list), _) => {
                    for node in list {
                        let Some(item) = node.as_table() else {
                            continue;
                        };
                        let _ = write!(out, "\n[[{below}]]\n");
                        self.table(&below, item, entry_keys(name, item, key), out);
                    }
                }
                (Value::Table(named), Some(Ty::Named(shape))) => {
                    for (name, entry) in &named.entries {
                        let Some(inner) = entry.node.as_table() else {
                            continue;
                        };
                        let below = format!("{below}.{}", quoted_key(name));
                        let _ = write!(out, "\n[{below}]\n");
                        self.table(&below, inner, shape.keys.iter().collect(), out);
                    }
                }
                (Value::Table(inner), ty) => {
                    let _ = write!(out, "\n[{below}]\n");
                    self.table(&below, inner, ty.map_or(Vec::new(), keys_of), out);
                }
                _ => {}
            }
        }
        self.default_tables(path, table, &keys, out);
    }

    /// Tables that nobody wrote and that have defaults: `[collector.retry]`.
    fn default_tables(&self, path: &str, table: &Table, keys: &[&'static Key], out: &mut String) {
        let in_collector = path == "collector" || path.starts_with("collector.");
        if !self.defaults || !in_collector {
            return;
        }
        for key in keys.iter().filter(|k| !table.entries.contains_key(k.name)) {
            // A table with a key that must be written has no defaults: leaving it out means something else, such as no TLS.
            if let Ty::Table(shape) = key.ty
                && !shape.keys.iter().any(|key| key.required)
            {
                let below = format!("{path}.{}", key.name);
                let mut defaults = String::new();
                self.table(
                    &below,
                    &Table::default(),
                    shape.keys.iter().collect(),
                    &mut defaults,
                );
                // Nor has one of whose keys none has a default: an empty `[collector.endpoint.tls]` asks for TLS.
                if !defaults.is_empty() {
                    let _ = write!(out, "\n[{below}]\n{defaults}");
                }
            }
        }
    }

    fn line(&self, name: &str, value: &str, origin: &str, out: &mut String) {
        if !self.origins {
            let _ = writeln!(out, "{} = {value}", quoted_key(name));
            return;
        }
        // An origin is a comment: it must stay on its line.
        let origin = origin.replace(['\n', '\r'], " ");
        let _ = writeln!(out, "{} = {value}  # {origin}", quoted_key(name));
    }

    /// A file that a text names.
    fn file(&self, node: &Node, name: &str) -> PathBuf {
        let file = merge::path_from(self.sources, node, name);
        match self.whole_paths {
            true => whole(&file),
            false => file,
        }
    }

    fn value(&self, path: &str, name: &str, node: &Node) -> String {
        match &node.value {
            Value::Text(text) => {
                let is_file = name == "file" && path.ends_with("trace");
                if is_file {
                    return toml_text(&self.file(node, &text.value).display().to_string());
                }
                if name == "arrivals"
                    && let Ok(Arrivals::Replay { file, column }) = words::arrivals(&text.value)
                {
                    let file = self.file(node, &file);
                    return toml_text(&format!("replay({}, column={column})", file.display()));
                }
                toml_text(&text.value)
            }
            Value::Integer(n) => n.to_string(),
            Value::Float(n) => toml_edit::Value::from(*n).to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Array(list) => {
                let items: Vec<String> = list.iter().map(|n| self.value(path, "", n)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Table(table) => {
                let path = format!("{path}.{name}");
                let items: Vec<String> = table
                    .entries
                    .iter()
                    .map(|(k, e)| format!("{} = {}", quoted_key(k), self.value(&path, k, &e.node)))
                    .collect();
                format!("{{ {} }}", items.join(", "))
            }
        }
    }
}

/// A path from the root on. Where this process stands nowhere, it stays as it is.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether a value is written with a header.
fn is_section(node: &Node, key: Option<&Key>) -> bool {
    matches!(
        (&node.value, key.map(|k| &k.ty)),
        (Value::Array(_), Some(Ty::Tables(_)))
            | (
                Value::Table(_),
                Some(Ty::Table(_) | Ty::Named(_) | Ty::Map(_) | Ty::Either(_))
            )
    )
}

fn keys_of(ty: Ty) -> Vec<&'static Key> {
    fn shape(ty: &Ty) -> Option<&'static Shape> {
        match ty {
            Ty::Table(shape) => Some(shape),
            Ty::Either(all) => all.iter().find_map(shape),
            _ => None,
        }
    }
    shape(&ty).map_or(Vec::new(), |s| s.keys.iter().collect())
}

/// The keys of an entry of an array; those of a fault depend on its kind.
fn entry_keys(name: &str, item: &Table, key: Option<&'static Key>) -> Vec<&'static Key> {
    if name == "fault" {
        let kind = item.text("kind").and_then(fault::table::find);
        return kind.map_or(Vec::new(), |k| k.keys().collect());
    }
    match key.map(|k| k.ty) {
        Some(Ty::Tables(shape)) => shape.keys.iter().collect(),
        _ => Vec::new(),
    }
}

fn toml_text(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
