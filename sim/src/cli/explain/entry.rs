//! One name of the language: a kind of fault, a metric, a closed form, a table of keys or a single key.
//!
//! It prints from the same tables as the reader goes by, so a key that is read is a key that is told: `explain keys` is the whole
//! reference. It must not know any key by name. Next: `scenario::shapes`, the tables.

use std::fmt::Write as _;

use backroom_collector::config::{
    nearest,
    shape::{Key, Shape, Ty},
};

use super::{closed_form, fault, metric_of, setting, wrap};
use crate::{
    fault::table::{self, COMMON, FAULTS},
    metric::catalogue::{self, METRICS},
    scenario::{models, shapes::TOP},
};

/// What a name means; `None` if nothing is called so. Tables may stand in their brackets: `[node]`, `[[expect]]`.
pub(super) fn entry(name: &str) -> Option<String> {
    if let Some(kind) = table::find(name) {
        let common = COMMON.iter().skip(3).map(|key| key.name);
        let common: Vec<_> = common.collect();
        return Some(format!(
            "{}    also: {}; see `backroom explain fault`\n",
            fault(kind),
            common.join(", ")
        ));
    }
    if let Some(metric) = METRICS.iter().find(|m| m.name == name) {
        return Some(metric_of(metric));
    }
    if let Some(model) = models::find(name) {
        return Some(closed_form(model));
    }
    key_at(name).or_else(|| catalogue::find(name).map(metric_of))
}

/// The name that was probably meant by one that is neither a file nor a name; `None` where it looks like a file, or nothing is near.
pub(super) fn meant(given: &str) -> Option<&'static str> {
    if given.contains(['/', '\\']) || given.ends_with(".toml") {
        return None;
    }
    let topics = ["metrics", "faults", "models", "codes", "keys"];
    let names = FAULTS.iter().map(|kind| kind.name);
    let names = names.chain(METRICS.iter().map(|metric| metric.name));
    let names = names.chain(models::MODELS.iter().map(|model| model.name));
    let names = names.chain(TOP.keys.iter().map(|key| key.name));
    nearest(given, names.chain(topics))
}

/// All keys of a scenario, table by table.
pub(super) fn keys() -> String {
    let mut out = String::from(
        "The keys of a scenario, in the order of a file. NAME stands for a name that you\nchoose. `backroom explain link` tells one table, `backroom explain faults` what\neach kind of fault takes.\n\n",
    );
    tell_table("", &TOP, &mut out);
    out
}

/// The key, or the table of keys, at a dotted path: `link`, `link.loss`, `link.uplink.loss`.
fn key_at(path: &str) -> Option<String> {
    let path = path.trim_matches(['[', ']']);
    let (mut shape, mut heading): (&Shape, String) = (&TOP, String::new());
    let mut parts = path.split('.').peekable();
    loop {
        let part = parts.next()?;
        let key = shape.key(part)?;
        let below = table_of(&key.ty);
        if parts.peek().is_none() {
            let mut out = String::new();
            match below {
                Some((suffix, below)) => {
                    tell_table(&join(&heading, key.name, suffix), below, &mut out);
                }
                None => setting(key, &mut out),
            }
            return Some(out);
        }
        let (suffix, below) = below?;
        heading = join(&heading, key.name, suffix);
        shape = below;
        // The name of a node, a link, a fault may stand there or not.
        if !suffix.is_empty()
            && let Some(next) = parts.peek()
            && shape.key(next).is_none()
        {
            // A name with nothing below it is none of the language: it may be a slip of `link.down`.
            parts.next().filter(|name| !name.is_empty())?;
            parts.peek()?;
        }
    }
}

fn join(above: &str, name: &str, suffix: &str) -> String {
    match above {
        "" => format!("{name}{suffix}"),
        above => format!("{above}.{name}{suffix}"),
    }
}

/// The table that a key takes, with what follows its name in a heading: `.NAME` for named ones.
fn table_of(ty: &Ty) -> Option<(&'static str, &'static Shape)> {
    match ty {
        Ty::Table(shape) => Some(("", shape)),
        Ty::Named(shape) => Some((".NAME", shape)),
        Ty::Tables(shape) => Some(("[]", shape)),
        Ty::List(of) => table_of(of).map(|(_, shape)| ("[]", shape)),
        Ty::Either(all) => all.iter().find_map(table_of),
        _ => None,
    }
}

/// A table with its keys, then the tables in it.
fn tell_table(heading: &str, shape: &Shape, out: &mut String) {
    let title = match (heading, heading.strip_suffix("[]")) {
        ("", _) => String::from("the file"),
        (_, Some(name)) => format!("[[{name}]]"),
        (name, None) => format!("[{name}]"),
    };
    let _ = writeln!(out, "{title}\n{}", wrap(shape.doc, "    ", 80));
    for key in shape.keys {
        key_of(key, out);
    }
    out.push('\n');
    for key in shape.keys {
        if let Some((suffix, below)) = table_of(&key.ty) {
            tell_table(&join(heading, key.name, suffix), below, out);
        }
    }
}

/// A key; of one that takes a table only what that is about, for it has a heading of its own.
fn key_of(key: &Key, out: &mut String) {
    match key.ty {
        Ty::Table(_) | Ty::Named(_) | Ty::Tables(_) => {
            let _ = writeln!(out, "    {}: a table, below", key.name);
            let _ = writeln!(out, "{}", wrap(key.doc, "        ", 80));
        }
        _ => setting(key, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_told_alone() {
        let check = |name: &str, begin: &str, contains: &str| {
            let text = entry(name).unwrap_or_else(|| panic!("{name} is a name"));
            assert!(text.starts_with(begin), "{name}: {text}");
            assert!(text.contains(contains), "{name}: {text}");
        };
        check("link.flap", "link.flap  (on a link)", "down_for");
        check("order.to_kds", "order.to_kds  (samples, time)", "from:");
        check("link.lte.bytes", "link.*.bytes", "class, dir");
        check("fluid_recovery", "fluid_recovery\n", "backlog");
        check("[node]", "[node.NAME]", "count = 1 (default 1)");
        check("node.kiosk.count", "    count = 1", "How many");
        check("link.loss", "    loss = ", "loss");
        check("failover.detect", "[failover.detect]", "probe");
        check("[[expect]]", "[[expect]]", "min_samples");
        check("fault", "[[fault]]", "mtbf");
        check("collector.buffer", "[collector.buffer]", "disk");
        for none in [
            "",
            ".",
            "[]",
            "node..count",
            "link.uplink.los",
            "link.dwon",
            "seed.7",
        ] {
            assert_eq!(entry(none), None, "{none}");
        }
    }

    #[test]
    fn all_names_are_found_and_near_misses_too() {
        let names = FAULTS.iter().map(|kind| kind.name);
        let names = names.chain(METRICS.iter().map(|metric| metric.name));
        let names = names.chain(models::MODELS.iter().map(|model| model.name));
        for name in names.chain(TOP.keys.iter().map(|key| key.name)) {
            assert!(entry(name).is_some(), "{name}");
        }
        assert_eq!(meant("link.dwon"), Some("link.down"));
        assert_eq!(meant("metric"), Some("metrics"));
        assert_eq!(meant("scenarios/link.dwon"), None);
        assert_eq!(meant("link.dwon.toml"), None);
        assert_eq!(meant("something-else"), None);
    }

    /// Guarantees: each key of each table stands in the reference, those of nested tables included.
    #[test]
    fn the_reference_has_every_key() {
        fn count(shape: &Shape) -> usize {
            let below = shape.keys.iter().filter_map(|key| table_of(&key.ty));
            shape.keys.len() + below.map(|(_, below)| count(below)).sum::<usize>()
        }
        let text = keys();
        let told = text.lines().filter(|line| {
            let key = line.strip_prefix("    ").filter(|l| !l.starts_with(' '));
            let key = key.and_then(|l| l.split([' ', ':']).next());
            key.is_some_and(|k| {
                !k.is_empty() && k.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            }) && (line.contains(" = ") || line.ends_with(": a table, below"))
        });
        assert_eq!(told.count(), count(&TOP));
    }
}
