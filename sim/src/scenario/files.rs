//! Which files a scenario stands on: whoever waits for a change has to look at all of them.

use std::{collections::BTreeSet, path::PathBuf};

use backroom_collector::config::{
    Sources,
    tree::{Node, Table, Value},
};

use super::{
    merge,
    words::{self, Arrivals},
};

/// The files that were read as TOML, and the recordings that the tree names; a pattern names none. `--set` is no file.
pub(super) fn of(tree: &Table, sources: &Sources) -> BTreeSet<PathBuf> {
    let texts = sources.iter().map(|source| source.name.as_str());
    let mut all: BTreeSet<PathBuf> = texts
        .filter(|name| !name.starts_with("--"))
        .map(PathBuf::from)
        .collect();
    table(tree, "", sources, &mut all);
    all
}

fn table(tree: &Table, name: &str, sources: &Sources, out: &mut BTreeSet<PathBuf>) {
    for (key, entry) in &tree.entries {
        match &entry.node.value {
            Value::Text(text) if name == "trace" && key == "file" => {
                if !text.value.contains(['*', '?']) {
                    out.insert(merge::path_from(sources, &entry.node, &text.value));
                }
            }
            _ => node(&entry.node, key, sources, out),
        }
    }
}

fn node(at: &Node, name: &str, sources: &Sources, out: &mut BTreeSet<PathBuf>) {
    match &at.value {
        Value::Table(inner) => table(inner, name, sources, out),
        Value::Array(list) => list.iter().for_each(|item| node(item, name, sources, out)),
        Value::Text(text) => {
            if let Ok(Arrivals::Replay { file, .. }) = words::arrivals(&text.value) {
                out.insert(merge::path_from(sources, at, &file));
            }
        }
        _ => {}
    }
}
