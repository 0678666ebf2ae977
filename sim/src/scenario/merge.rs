//! One tree out of several texts: templates, the file itself, `--set`, variables.
//!
//! Later wins: templates in the order of `use`, then the file, then `--set`. Every value keeps the place where it was written,
//! so findings and origins name the right text. What the keys mean is decided in `resolve`.

use std::path::{Path, PathBuf};

use backroom_collector::config::{
    Diagnostic, Sink, Sources, Span,
    codes::{E0002, E0003, E0101, E0104, E0107, E0108, E0109, E0110},
    diagnostic::{FileId, Origin},
    did_you_mean,
    tree::{self, Entry, Node, Table, Value},
};

use super::{codes, shapes};

/// Arrays of tables whose entries are found by their `id`.
pub(super) const BY_ID: [&str; 3] = ["fault", "expect", "oracle"];

/// Tables of named tables: an override may change one, but not declare one.
const BY_NAME: [&str; 7] = [
    "node", "disk", "link", "class", "traffic", "profile", "vars",
];

/// The merged tree.
#[derive(Clone, Debug)]
pub(super) struct Merged {
    /// All keys and values.
    pub(super) table: Table,
    /// The file that was asked for.
    pub(super) main: FileId,
    /// Whether that file is a template.
    pub(super) is_template: bool,
}

/// A main file that cannot be read at all.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) std::io::Error);

/// 64: a scenario with its templates has three or four.
const FILES_MAX: usize = 64;

/// 4 MiB: a thousand times the largest that anybody writes by hand.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A whole file, unless it is something else than a text that somebody wrote.
fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read as _};
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(Error::new(
            ErrorKind::InvalidData,
            format!("it is longer than {FILE_BYTES_MAX} bytes"),
        )),
        false => Ok(text),
    }
}

/// Reads a file with its templates and overrides. Everything wrong goes to `sink`; what could be read is returned. Paths in it are
/// relative to the folder of `named`, which findings call it by.
///
/// # Errors
/// If the file itself cannot be read.
pub(super) fn load(
    path: &Path,
    named: &Path,
    sets: &[String],
    sources: &mut Sources,
    sink: &Sink,
) -> Result<Merged, Unreadable> {
    let text = read_text(path).map_err(Unreadable)?;
    let main = sources.add(named.display().to_string(), text);
    let mut stack = vec![normal(path)];
    let (table, is_template) = with_templates(main, path, &mut stack, sources, sink);
    let mut merged = Merged {
        table,
        main,
        is_template,
    };
    // Overrides of a file that is not TOML would only add to the noise.
    if sink.error_count() == 0 || !merged.table.entries.is_empty() {
        for set in sets {
            let file = sources.add_argument("--set", set.as_str());
            if let Err(finding) = apply(&mut merged.table, set, file, sources) {
                sink.push(*finding);
            }
        }
    }
    let vars = merged
        .table
        .get("vars")
        .and_then(Node::as_table)
        .cloned()
        .unwrap_or_default();
    for (name, entry) in &mut merged.table.entries {
        if name != "vars" {
            fill_in(&mut entry.node, &vars, sink);
        }
    }
    Ok(merged)
}

/// A document merged over its templates, and whether it is itself a template.
fn with_templates(
    file: FileId,
    path: &Path,
    stack: &mut Vec<PathBuf>,
    sources: &mut Sources,
    sink: &Sink,
) -> (Table, bool) {
    let mut document = match tree::parse(sources, file) {
        Ok(table) => table,
        Err(finding) => {
            sink.push(*finding);
            return (Table::default(), false);
        }
    };
    check_schema(&document, file, sink);
    report_doubles(&document, sink);
    if let Some(node) = document.get("kind") {
        own_key("kind", node, sink);
    }
    let is_template = document.text("kind") == Some("template");
    // Neither is of the merged scenario: `use` is done with here, `kind` says what this one file is.
    let uses = document.entries.shift_remove("use");
    document.entries.shift_remove("kind");
    let mut merged = Table::default();
    for node in uses.iter().flat_map(|e| used(&e.node, sink)) {
        let Some(name) = node.as_text() else { continue };
        let template = normal(&path.parent().unwrap_or(Path::new("")).join(name));
        let whole = node.within(0..name.len());
        if stack.contains(&template) {
            sink.push(
                Diagnostic::error(&E0003, format!("`{name}` uses itself"))
                    .at(whole, "already being read")
                    .help(String::from("take one of the files out of the circle")),
            );
            continue;
        }
        // Files that use others twice each would be read a million times at a depth of twenty.
        if sources.iter().count() >= FILES_MAX {
            sink.push(
                Diagnostic::error(&E0107, format!("more than {FILES_MAX} files are used"))
                    .at(whole, "one too many")
                    .help(String::from(
                        "templates that use each other count every time",
                    )),
            );
            break;
        }
        match read_text(&template) {
            Err(err) => sink.push(
                Diagnostic::error(&E0002, format!("cannot read `{}`", template.display()))
                    .at(whole, err.to_string()),
            ),
            Ok(text) => {
                let file = sources.add(template.display().to_string(), text);
                stack.push(template.clone());
                let (table, _) = with_templates(file, &template, stack, sources, sink);
                stack.pop();
                merge(&mut merged, table, true);
            }
        }
    }
    merge(&mut merged, document, true);
    (merged, is_template)
}

/// Every file says which language it is written in.
fn check_schema(document: &Table, file: FileId, sink: &Sink) {
    match document.get("schema").map(|n| (n, &n.value)) {
        Some((_, Value::Integer(1))) => {}
        Some((node, Value::Integer(n))) => sink.push(
            Diagnostic::error(&E0108, format!("schema {n} is not known"))
                .at(node.span, "this program reads schema 1"),
        ),
        Some((node, _)) => own_key("schema", node, sink),
        None => {
            let start = Span {
                file,
                start: 0,
                end: 0,
            };
            sink.push(
                Diagnostic::error(&E0101, "`schema` is missing")
                    .at(start, "expected in every file")
                    .help(String::from("add `schema = 1`")),
            );
        }
    }
}

/// Checks a key that says what this one file is: it does not reach the merged tree, whose reader would.
fn own_key(name: &str, node: &Node, sink: &Sink) {
    if let Some(key) = shapes::TOP.key(name) {
        key.ty.check(name, node, sink);
    }
}

/// The entries of `use`.
fn used<'n>(node: &'n Node, sink: &Sink) -> Vec<&'n Node> {
    let list = match &node.value {
        Value::Array(list) => list.iter().collect(),
        _ => vec![node],
    };
    list.into_iter()
        .filter(|n| {
            let is_text = n.as_text().is_some();
            if !is_text {
                sink.push(
                    Diagnostic::error(&E0104, "`use` takes a list of files")
                        .at(n.span, format!("this is {}", n.type_name())),
                );
            }
            is_text
        })
        .collect()
}

/// A path without `.` and without `x/..`, by its words alone.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The folder that paths in a text are relative to: that of its file; the working directory for arguments.
pub(super) fn folder(sources: &Sources, file: FileId) -> PathBuf {
    let source = sources.get(file);
    match source.origin {
        Origin::File => Path::new(&source.name)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default(),
        Origin::Argument => PathBuf::new(),
    }
}

/// A path that a text names, from where this process stands.
pub(super) fn path_from(sources: &Sources, node: &Node, name: &str) -> PathBuf {
    normal(&folder(sources, node.span.file).join(name))
}

fn id_of(node: &Node) -> Option<&str> {
    node.as_table().and_then(|t| t.text("id"))
}

/// What one file says twice: entries with the same id, one seed and several.
fn report_doubles(document: &Table, sink: &Sink) {
    if let (Some(one), Some(several)) =
        (document.entries.get("seed"), document.entries.get("seeds"))
    {
        sink.push(
            Diagnostic::error(&codes::E0209, "`seed` and `seeds` exclude each other")
                .at(several.key, "several seeds")
                .see(one.key, "one seed"),
        );
    }
    for kind in BY_ID {
        let mut seen: Vec<(&str, Span)> = Vec::new();
        for node in document.tables(kind) {
            let Some(id_node) = node.as_table().and_then(|t| t.get("id")) else {
                continue;
            };
            let Some(id) = id_node.as_text() else {
                continue;
            };
            match seen.iter().find(|(other, _)| *other == id) {
                Some((_, first)) => sink.push(
                    Diagnostic::error(&E0110, format!("two {kind}s are called `{id}`"))
                        .at(id_node.span, "the second one")
                        .see(*first, "the first one"),
                ),
                None => seen.push((id, id_node.span)),
            }
        }
    }
}

/// Puts one table over another: tables are merged, arrays of entries with an id by that id, all else is replaced.
fn merge(base: &mut Table, over: Table, top: bool) {
    for (name, entry) in over.entries {
        // One seed and several exclude each other: the later one is meant.
        if top && name == "seed" {
            base.entries.shift_remove("seeds");
        } else if top && name == "seeds" {
            base.entries.shift_remove("seed");
        }
        let by_id = top && BY_ID.contains(&name.as_str());
        match base.entries.get_mut(&name) {
            None => {
                base.entries.insert(name, entry);
            }
            Some(old) => {
                old.key = entry.key;
                merge_node(&mut old.node, entry.node, by_id);
            }
        }
    }
}

fn merge_node(base: &mut Node, over: Node, by_id: bool) {
    match (&mut base.value, over.value) {
        (Value::Table(old), Value::Table(new)) => {
            base.span = over.span;
            merge(old, new, false);
        }
        (Value::Array(old), Value::Array(new)) if by_id => {
            for node in new {
                let same =
                    id_of(&node).and_then(|id| old.iter().position(|o| id_of(o) == Some(id)));
                match same {
                    Some(i) => merge_node(&mut old[i], node, false),
                    None => old.push(node),
                }
            }
        }
        (_, value) => {
            *base = Node {
                span: over.span,
                value,
            }
        }
    }
}

/// Applies one `PATH=VALUE`.
fn apply(
    root: &mut Table,
    set: &str,
    file: FileId,
    sources: &Sources,
) -> Result<(), Box<Diagnostic>> {
    let span = |start: usize, end: usize| Span { file, start, end };
    let Some(equals) = equals_at(set) else {
        let finding = Diagnostic::error(&codes::E0503, "`--set` takes PATH=VALUE");
        return Err(Box::new(
            finding
                .at(span(0, set.len()), "no `=`")
                .help(String::from("write --set fault.uplink-cut.for=40m")),
        ));
    };
    let segments = segments(&set[..equals]);
    let value_at = equals + 1 + (set[equals + 1..].len() - set[equals + 1..].trim_start().len());
    let text = set[value_at..].trim_end();
    let value = tree::parse_value(sources, file, value_at)
        .unwrap_or_else(|| Node::bare_text(span(value_at, value_at + text.len()), text.to_owned()));

    let refuse = |range: &(String, usize, usize), title: String, label: &str, help| {
        Err(Box::new(
            Diagnostic::error(&codes::E0502, title)
                .at(span(range.1, range.2), label)
                .help(help),
        ))
    };
    if let Some(empty) = segments.iter().find(|s| s.0.is_empty()) {
        return refuse(
            empty,
            format!("`{}` is not a path", &set[..equals]),
            "a name is missing",
            None,
        );
    }
    let first = &segments[0];
    if matches!(first.0.as_str(), "use" | "kind" | "schema") {
        return refuse(
            first,
            format!("`{}` cannot be set", first.0),
            "it says what the file is",
            None,
        );
    }
    if segments.len() == 1 {
        let key = span(first.1, first.2);
        let mut over = Table::default();
        over.entries
            .insert(first.0.clone(), Entry { key, node: value });
        merge(root, over, true);
        return Ok(());
    }

    let mut table = root;
    let mut depth = 0;
    if BY_ID.contains(&first.0.as_str()) {
        let wanted = &segments[1];
        let list = match table.entries.get_mut(&first.0).map(|e| &mut e.node.value) {
            Some(Value::Array(list)) => list.as_mut_slice(),
            _ => &mut [],
        };
        let ids: Vec<String> = list.iter().filter_map(id_of).map(str::to_owned).collect();
        let found = list
            .iter_mut()
            .find(|n| id_of(n) == Some(wanted.0.as_str()));
        let Some(Value::Table(entry)) = found.map(|n| &mut n.value) else {
            let help = did_you_mean(&wanted.0, ids.iter().map(String::as_str), "declared");
            return refuse(
                wanted,
                format!("there is no {} `{}`", first.0, wanted.0),
                "not declared",
                help,
            );
        };
        if segments.len() == 2 {
            return refuse(
                wanted,
                format!("`{}` needs a setting", &set[..equals]),
                "a setting is missing after this",
                None,
            );
        }
        table = entry;
        depth = 2;
    }
    for (i, segment) in segments
        .iter()
        .enumerate()
        .take(segments.len() - 1)
        .skip(depth)
    {
        // Names are declared by files: an override of a misspelt one would make a second one.
        let is_name = i == 1 && BY_NAME.contains(&first.0.as_str());
        if is_name && !table.entries.contains_key(&segment.0) {
            let help = did_you_mean(
                &segment.0,
                table.entries.keys().map(String::as_str),
                "declared",
            );
            return refuse(
                segment,
                format!("there is no {} `{}`", first.0, segment.0),
                "not declared",
                help,
            );
        }
        let key = span(segment.1, segment.2);
        let entry = table
            .entries
            .entry(segment.0.clone())
            .or_insert_with(|| Entry {
                key,
                node: Node {
                    span: key,
                    value: Value::Table(Table::default()),
                },
            });
        match &mut entry.node.value {
            Value::Table(inner) => table = inner,
            _ => {
                let what = format!("`{}` is not a table", segment.0);
                return refuse(&segments[i + 1], what, "nothing is below it", None);
            }
        }
    }
    let last = &segments[segments.len() - 1];
    if first.0 == "vars" && !table.entries.contains_key(&last.0) {
        let help = did_you_mean(
            &last.0,
            table.entries.keys().map(String::as_str),
            "declared",
        );
        return refuse(
            last,
            format!("there is no variable `{}`", last.0),
            "not declared",
            help,
        );
    }
    let key = span(last.1, last.2);
    let mut over = Table::default();
    over.entries
        .insert(last.0.clone(), Entry { key, node: value });
    merge(table, over, false);
    Ok(())
}

/// The first `=` outside quotes.
fn equals_at(set: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in set.char_indices() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '=') => return Some(i),
            _ => {}
        }
    }
    None
}

/// The names of a dotted path, each with its bytes; quotes keep dots together.
pub(super) fn segments(path: &str) -> Vec<(String, usize, usize)> {
    let mut list = Vec::new();
    let (mut quote, mut start) = (None, 0);
    let mut push = |start: usize, end: usize| {
        let raw = &path[start..end];
        let left = start + raw.len() - raw.trim_start().len();
        let right = left + raw.trim().len();
        let mut inner = (left, right);
        for q in ['"', '\''] {
            let text = &path[left..right];
            if text.len() >= 2 && text.starts_with(q) && text.ends_with(q) {
                inner = (left + 1, right - 1);
            }
        }
        list.push((path[inner.0..inner.1].to_owned(), inner.0, inner.1));
    };
    for (i, c) in path.char_indices() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '.') => {
                push(start, i);
                start = i + 1;
            }
            _ => {}
        }
    }
    push(start, path.len());
    list
}

/// Fills `${vars.x}` into the texts below a node.
fn fill_in(node: &mut Node, vars: &Table, sink: &Sink) {
    match &mut node.value {
        Value::Array(list) => list.iter_mut().for_each(|n| fill_in(n, vars, sink)),
        Value::Table(table) => {
            for entry in table.entries.values_mut() {
                fill_in(&mut entry.node, vars, sink);
            }
        }
        Value::Text(_) => {
            if let Some(filled) = filled(node, vars, sink) {
                *node = filled;
            }
        }
        _ => {}
    }
}

fn filled(node: &Node, vars: &Table, sink: &Sink) -> Option<Node> {
    let text = node.as_text().filter(|t| t.contains("${"))?;
    let (mut out, mut at) = (String::new(), 0);
    while let Some(open) = text[at..].find("${").map(|i| at + i) {
        out.push_str(&text[at..open]);
        let Some(close) = text[open..].find('}').map(|i| open + i) else {
            sink.push(
                Diagnostic::error(&E0109, "`${` is not closed")
                    .at(node.within(open..open + 2), "its `}` is missing"),
            );
            return None;
        };
        let inner = &text[open + 2..close];
        let name = inner.trim().strip_prefix("vars.");
        let Some(value) = name.and_then(|n| vars.get(n)) else {
            let help = match name {
                Some(name) => {
                    did_you_mean(name, vars.entries.keys().map(String::as_str), "declared")
                }
                None => Some(String::from("write ${vars.NAME}")),
            };
            sink.push(
                Diagnostic::error(&E0109, format!("there is no variable `{}`", inner.trim()))
                    .at(node.within(open..close + 1), "not declared in [vars]")
                    .help(help),
            );
            return None;
        };
        // A text that is one variable is that value, with its type and its place.
        if open == 0 && close + 1 == text.len() {
            return Some(value.clone());
        }
        match &value.value {
            Value::Text(t) => out.push_str(&t.value),
            Value::Integer(n) => out.push_str(&n.to_string()),
            Value::Float(n) => out.push_str(&n.to_string()),
            Value::Bool(b) => out.push_str(&b.to_string()),
            Value::Array(_) | Value::Table(_) => {
                sink.push(
                    Diagnostic::error(&E0109, format!("`{inner}` cannot stand inside a text")).at(
                        node.within(open..close + 1),
                        format!("it is {}", value.type_name()),
                    ),
                );
                return None;
            }
        }
        at = close + 1;
    }
    out.push_str(&text[at..]);
    Some(Node::filled_in(node.span, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_file(
        path: &Path,
        sets: &[String],
        sources: &mut Sources,
        sink: &Sink,
    ) -> Result<Merged, Unreadable> {
        load(path, path, sets, sources, sink)
    }

    fn merged(files: &[(&str, &str)], sets: &[&str]) -> (Result<Table, String>, Sources) {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), format!("schema = 1\n{text}")).expect("written");
        }
        let mut sources = Sources::default();
        let sink = Sink::default();
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let merged =
            load_file(&dir.path().join(files[0].0), &sets, &mut sources, &sink).expect("readable");
        let list = sink.into_list();
        let result = match list.first() {
            None => Ok(merged.table),
            Some(finding) => {
                let label = finding.primary.as_ref().expect("a place");
                Err(format!(
                    "{} {}",
                    finding.code.map_or("", |c| c.id),
                    sources.text(label.span)
                ))
            }
        };
        (result, sources)
    }

    fn text_at(table: &Table, path: &str) -> String {
        let mut node = None;
        let mut table = Some(table);
        for name in path.split('.') {
            node = table.and_then(|t| t.get(name));
            table = node.and_then(Node::as_table);
        }
        node.and_then(Node::as_text).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_last_file_wins_and_the_rest_stays() {
        let (table, sources) = merged(
            &[
                (
                    "a.toml",
                    "use = [\"b.toml\", \"c.toml\"]\n[collector]\nbuffer = { disk = \"3B\" }\n[[fault]]\nid = \"y\"\nfor = \"2s\"\n",
                ),
                (
                    "b.toml",
                    "[collector.buffer]\ndisk = \"1B\"\non_full = \"refuse\"\n[[fault]]\nid = \"x\"\n[[fault]]\nid = \"y\"\nfor = \"1s\"\n",
                ),
                ("c.toml", "collector = { buffer = { disk = \"2B\" } }\n"),
            ],
            &[],
        );
        let table = table.expect("valid");
        assert_eq!(text_at(&table, "collector.buffer.disk"), "3B");
        assert_eq!(text_at(&table, "collector.buffer.on_full"), "refuse");
        let faults: Vec<&Table> = table.tables("fault").filter_map(Node::as_table).collect();
        assert_eq!(faults.len(), 2);
        assert_eq!(faults[1].text("for"), Some("2s"));
        let kept = table
            .get("collector")
            .and_then(Node::as_table)
            .and_then(|t| t.get("buffer"))
            .and_then(Node::as_table)
            .expect("buffer");
        assert!(
            sources
                .origin(kept.entries["on_full"].node.span)
                .ends_with("b.toml:4")
        );
    }

    #[test]
    fn overrides_reach_everything_that_is_declared() {
        let file = (
            "a.toml",
            "seeds = 3\n[vars]\nx = 1\n[link.uplink]\nup = \"1Mbit/s\"\n[[fault]]\nid = \"cut\"\nfor = \"15m\"\n",
        );
        let (table, _) = merged(
            &[file],
            &[
                "fault.cut.for=40m",
                "link.uplink.trace={ file = \"x.txt\" }",
                "link.uplink.trace.unit=MB/s",
                "seed = 7",
                "vars.x='y'",
                "warmup=10",
            ],
        );
        let table = table.expect("valid");
        let fault = table.tables("fault").next().and_then(Node::as_table);
        assert_eq!(fault.and_then(|f| f.text("for")), Some("40m"));
        assert_eq!(text_at(&table, "link.uplink.trace.file"), "x.txt");
        assert_eq!(text_at(&table, "link.uplink.trace.unit"), "MB/s");
        assert_eq!(text_at(&table, "vars.x"), "y");
        assert!(table.get("seeds").is_none(), "one seed replaces several");
        assert_eq!(
            table.get("seed").map(|n| &n.value),
            Some(&Value::Integer(7))
        );
        assert_eq!(
            table.get("warmup").map(|n| &n.value),
            Some(&Value::Integer(10))
        );
    }

    #[test]
    fn bad_overrides_are_blamed_in_the_argument() {
        let file = (
            "a.toml",
            "[vars]\nx = 1\n[link.uplink]\nup = \"1Mbit/s\"\n[[fault]]\nid = \"cut\"\nfor = \"15m\"\n",
        );
        let check = |set: &str, expect: &str| {
            let (table, _) = merged(&[file], &[set]);
            assert_eq!(table.expect_err(set), expect, "{set}");
        };
        check("fault.cut.for", "E0503 fault.cut.for");
        check("fault.cat.for=1m", "E0502 cat");
        check("fault.cut=1m", "E0502 cut");
        check("link.uplnk.up=1Mbit/s", "E0502 uplnk");
        check("link.uplink.up.x=1", "E0502 x");
        check("vars.y=1", "E0502 y");
        check("use=['b.toml']", "E0502 use");
        check("a..b=1", "E0502 ");
    }

    #[test]
    fn variables_are_filled_in() {
        let (table, sources) = merged(
            &[(
                "a.toml",
                "a = \"${vars.x}\"\nb = \"dir/${vars.x}/${vars.n}\"\n[vars]\nx = \"exp(mean=2h)\"\nn = 3\n",
            )],
            &[],
        );
        let table = table.expect("valid");
        assert_eq!(text_at(&table, "a"), "exp(mean=2h)");
        assert_eq!(text_at(&table, "b"), "dir/exp(mean=2h)/3");
        let span = table.get("a").expect("a").within(0..3);
        assert_eq!(
            sources.place(span).line,
            5,
            "a whole value keeps its own place"
        );
        let (table, _) = merged(&[("a.toml", "a = \"x ${vars.y}\"\n")], &[]);
        assert_eq!(table.expect_err("unknown"), "E0109 ${vars.y}");
    }

    #[test]
    fn circles_and_doubles_are_reported() {
        let (table, _) = merged(
            &[
                ("a.toml", "use = [\"b.toml\"]\n"),
                ("b.toml", "use = [\"a.toml\"]\n"),
            ],
            &[],
        );
        assert_eq!(table.expect_err("a circle"), "E0003 a.toml");
        let (table, _) = merged(
            &[("a.toml", "[[expect]]\nid = \"x\"\n[[expect]]\nid = \"x\"\n")],
            &[],
        );
        assert_eq!(table.expect_err("twice"), "E0110 \"x\"");
        let (table, _) = merged(&[("a.toml", "use = [\"none.toml\"]\n")], &[]);
        assert_eq!(table.expect_err("missing"), "E0002 none.toml");
    }
}
