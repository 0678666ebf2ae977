//! Where the documents speak of a level, and that they name each of its keys there, as code.

use std::{collections::BTreeSet, path::Path};

use super::levels::{levels, shipped};

/// A first key, the document and the heading of the section that tells what stands below it. A section goes to the next heading of its
/// rank or a higher one; an empty heading is all of the document.
#[rustfmt::skip]
const SECTIONS: &[(&str, &str, &str)] = &[
    ("", "scenarios.md", ""),
    ("limits", "scenarios.md", "## The file"),
    ("node", "scenarios.md", "### `[node.NAME]`"),
    ("disk", "scenarios.md", "### `[disk.NAME]`"),
    ("link", "scenarios.md", "### `[link.NAME]`"),
    ("class", "scenarios.md", "### `[class.NAME]`"),
    ("failover", "scenarios.md", "### `[class.NAME]`"),
    ("fleet", "scenarios.md", "### `[fleet]`"),
    ("hq", "scenarios.md", "### `[hq]`"),
    ("catalog", "scenarios.md", "### `[catalog]`"),
    ("stock", "scenarios.md", "### `[stock]`"),
    ("offers", "scenarios.md", "### `[offers]`"),
    ("traffic", "scenarios.md", "## Traffic"),
    ("profile", "scenarios.md", "## Traffic"),
    ("collector", "collector.md", ""),
    ("fault", "scenarios.md", "## `[[fault]]`"),
    ("expect", "scenarios.md", "## `[[expect]]`"),
    ("oracle", "scenarios.md", "## `[[oracle]]`"),
    ("sweep", "scenarios.md", "## `[sweep]`"),
    ("report", "scenarios.md", "## `[report]`"),
];

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

/// The part of a document below a heading.
fn section<'t>(text: &'t str, heading: &str) -> Option<&'t str> {
    if heading.is_empty() {
        return Some(text);
    }
    let start = text.find(&format!("\n{heading}"))?;
    let rank = heading.bytes().take_while(|b| *b == b'#').count();
    let rest = &text[start + 1..];
    let ends = (1..=rank).filter_map(|rank| rest.find(&format!("\n{} ", "#".repeat(rank))));
    Some(&rest[..ends.min().unwrap_or(rest.len())])
}

/// The words that stand in code.
fn words(text: &str) -> BTreeSet<&str> {
    let code = text.split('`').skip(1).step_by(2);
    code.flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .collect()
}

#[test]
fn code_is_told_from_prose() {
    let text = "\n## A `one`\nprose `two = 3` more\n### B\n```\nfour.five\n```\n## C\n`six`\n";
    let found = words(section(text, "## A").expect("it is there"));
    let found: Vec<&str> = found.into_iter().filter(|word| !word.is_empty()).collect();
    assert_eq!(found, ["3", "five", "four", "one", "two"]);
    assert_eq!(section(text, "## D"), None);
}

#[test]
fn the_documents_name_every_key() {
    let schema = shipped();
    let mut missing = Vec::new();
    for level in levels(&schema) {
        let first = level.place.split(['.', '[']).next().unwrap_or_default();
        let Some((_, name, heading)) = SECTIONS.iter().find(|(key, _, _)| *key == first) else {
            missing.push(format!("no section is known for `{first}`"));
            continue;
        };
        let text = read(name);
        let Some(text) = section(&text, heading) else {
            missing.push(format!(
                "docs/{name} has no `{heading}`, for `{}`",
                level.place
            ));
            continue;
        };
        let words = words(text);
        for key in level.properties().keys() {
            if !words.contains(key.as_str()) {
                missing.push(format!("docs/{name}, `{heading}`: `{}.{key}`", level.place));
            }
        }
    }
    missing.dedup();
    assert!(missing.is_empty(), "not told:\n{}", missing.join("\n"));
}
