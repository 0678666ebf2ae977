//! Dotted paths to settings: `collector.buffer.disk`, `fault.uplink-cut.for`, `vars.mttr`.
//!
//! A path exists if the language has it and, where it passes a name, a file declares that name. Sweeps, conditions of
//! oracles and variations of fleets are checked by it.

use backroom_collector::config::{
    Diagnostic, Sink, Span, nearest,
    shape::{Shape, Ty},
    tree::{Node, Table},
};

use super::{codes, merge, shapes};
use crate::fault;

/// A dotted path with the place of each of its names.
#[derive(Clone, Debug, Default)]
pub(super) struct DottedPath {
    /// Its names.
    pub(super) names: Vec<String>,
    /// Where each is written.
    pub(super) spans: Vec<Span>,
}

/// Why a path does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Which of its names.
    pub(super) index: usize,
    /// What was probably meant, as a whole path up to there.
    pub(super) meant: Option<String>,
}

impl DottedPath {
    /// The path that a key spells, quoted or not: `"collector.buffer.disk" = …`.
    pub(super) fn of_key(name: &str, key: Span, raw: &str) -> Self {
        let quoted = raw.starts_with(['"', '\'']);
        let from = key.start + usize::from(quoted);
        let exact = raw.len() == name.len() + 2 * usize::from(quoted);
        let (names, spans) = merge::segments(name)
            .into_iter()
            .map(|(text, start, end)| {
                let span = Span {
                    start: from + start,
                    end: from + end,
                    ..key
                };
                // With escapes inside the quotes positions mean nothing.
                (text, if exact { span } else { key })
            })
            .unzip();
        Self { names, spans }
    }

    /// The path that goes on after another.
    pub(super) fn join(&self, rest: Self) -> Self {
        let mut whole = self.clone();
        whole.names.extend(rest.names);
        whole.spans.extend(rest.spans);
        whole
    }

    /// As it is written.
    pub(super) fn text(&self) -> String {
        self.names.join(".")
    }

    /// The type of the setting; reports E0501 with `who` ("the sweep varies") where there is none.
    pub(super) fn ty(&self, root: &Table, who: &str, sink: &Sink) -> Option<Ty> {
        match ty_of(root, &self.names) {
            Ok(ty) => Some(ty),
            Err(missing) => {
                let name = &self.names[missing.index];
                let label = match missing.index {
                    0 => format!("there is no `{name}`"),
                    i => format!("`{}` has no `{name}`", self.names[..i].join(".")),
                };
                sink.push(
                    Diagnostic::error(
                        &codes::E0501,
                        format!("{who} `{}`, which does not exist", self.text()),
                    )
                    .at(self.spans[missing.index], label)
                    .help(missing.meant.map(|m| format!("did you mean `{m}`?"))),
                );
                None
            }
        }
    }
}

/// The type of the setting at a path.
///
/// # Errors
/// The first name that does not exist.
pub(super) fn ty_of(root: &Table, path: &[String]) -> Result<Ty, Missing> {
    let mut ty = Ty::Table(&shapes::TOP);
    let mut node: Option<&Node> = None;
    for (index, name) in path.iter().enumerate() {
        let children = if index == 0 {
            Some(root)
        } else {
            node.and_then(Node::as_table)
        };
        let missing = |known: Vec<&str>| Missing {
            index,
            meant: nearest(name, known).map(|k| {
                let mut whole = path[..index].to_vec();
                whole.push(k.to_owned());
                whole.join(".")
            }),
        };
        let declared = || {
            children.map_or(Vec::new(), |t| {
                t.entries.keys().map(String::as_str).collect()
            })
        };
        let child = children.and_then(|t| t.get(name));
        ty = match below(&ty) {
            Below::Keys(shape) => match shape.key(name) {
                Some(key) => key.ty,
                None => return Err(missing(shape.keys.iter().map(|k| k.name).collect())),
            },
            Below::Names(ty) if child.is_some() => ty,
            Below::Names(_) => return Err(missing(declared())),
            Below::Ids => {
                let list = root.tables(&path[index - 1]);
                let ids: Vec<&str> = list.filter_map(|n| n.as_table()?.text("id")).collect();
                if !ids.contains(&name.as_str()) {
                    return Err(missing(ids));
                }
                let entry = root
                    .tables(&path[index - 1])
                    .find(|n| n.as_table().and_then(|t| t.text("id")) == Some(name));
                if let Some(rest) = path.get(index + 1) {
                    return entry_ty(&path[index - 1], entry, path, index + 1, rest);
                }
                Ty::Any
            }
            Below::Nothing => return Err(missing(Vec::new())),
        };
        node = child;
    }
    Ok(ty)
}

/// The type of a setting of a fault, an expectation or an oracle.
fn entry_ty(
    kind: &str,
    entry: Option<&Node>,
    path: &[String],
    index: usize,
    name: &str,
) -> Result<Ty, Missing> {
    let fault_kind = entry
        .and_then(Node::as_table)
        .and_then(|t| t.text("kind"))
        .and_then(fault::table::find);
    let key = match (kind, fault_kind) {
        ("fault", Some(kind)) => kind.key(name),
        ("fault", None) => fault::table::COMMON.iter().find(|k| k.name == name),
        ("expect", _) => shapes::EXPECT.key(name),
        _ => shapes::ORACLE.key(name),
    };
    let known: Vec<&str> = match (kind, fault_kind) {
        ("fault", Some(kind)) => kind.keys().map(|k| k.name).collect(),
        ("fault", None) => fault::table::COMMON.iter().map(|k| k.name).collect(),
        ("expect", _) => shapes::EXPECT.keys.iter().map(|k| k.name).collect(),
        _ => shapes::ORACLE.keys.iter().map(|k| k.name).collect(),
    };
    let missing = |index: usize, known: &[&str], name: &str| Missing {
        index,
        meant: nearest(name, known.iter().copied()).map(|k| {
            let mut whole = path[..index].to_vec();
            whole.push(k.to_owned());
            whole.join(".")
        }),
    };
    let mut ty = match key {
        Some(key) => key.ty,
        None => return Err(missing(index, &known, name)),
    };
    for (i, name) in path.iter().enumerate().skip(index + 1) {
        ty = match below(&ty) {
            Below::Keys(shape) => match shape.key(name) {
                Some(key) => key.ty,
                None => {
                    let known: Vec<&str> = shape.keys.iter().map(|k| k.name).collect();
                    return Err(missing(i, &known, name));
                }
            },
            Below::Names(ty) => ty,
            _ => return Err(missing(i, &[], name)),
        };
    }
    Ok(ty)
}

/// What stands below a type.
enum Below {
    /// Keys of a shape.
    Keys(&'static Shape),
    /// Names that files declare, each of a type.
    Names(Ty),
    /// Entries with an id.
    Ids,
    /// Nothing.
    Nothing,
}

fn below(ty: &Ty) -> Below {
    match ty {
        Ty::Table(shape) => Below::Keys(shape),
        Ty::Named(shape) => Below::Names(Ty::Table(shape)),
        Ty::Map(of) => Below::Names(**of),
        Ty::Tables(_) => Below::Ids,
        Ty::Either(all) => all
            .iter()
            .map(below)
            .find(|b| !matches!(b, Below::Nothing))
            .unwrap_or(Below::Nothing),
        _ => Below::Nothing,
    }
}

/// The value at a path, as it is after all overrides; `None` if it is not written.
pub(super) fn value_at<'t>(root: &'t Table, path: &[String]) -> Option<&'t Node> {
    let (first, rest) = path.split_first()?;
    let mut node = root.get(first)?;
    let mut rest = rest;
    if merge::BY_ID.contains(&first.as_str()) {
        let (id, after) = rest.split_first()?;
        node = root
            .tables(first)
            .find(|n| n.as_table().and_then(|t| t.text("id")) == Some(id))?;
        rest = after;
    }
    for name in rest {
        node = node.as_table()?.get(name)?;
    }
    Some(node)
}
