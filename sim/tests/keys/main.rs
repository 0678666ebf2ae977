//! The schema, the reader and the documents agree on every key, at every level of a file.
//!
//! Levels and values are generated from the shipped `scenario.schema.json`, so that a new key is in these tests by itself.
//!
//! - a key of the schema, alone with a value that the schema takes: the reader knows the key and takes the form of the value
//! - the same key with a value of a form that the schema refuses: the reader reads it, and refuses it too
//! - every key misspelt, and every key of any other level: the reader refuses it, as the schema does
//! - hours and days of a profile, whose keys are no words of the language
//! - `docs/scenarios.md` and `docs/collector.md` name every key, where they speak of its level
//!
//! Next: `levels`, how the schema is taken apart; `documented`, where the documents speak of what.

mod documented;
mod levels;

use std::collections::BTreeSet;

use backroom_sim::scenario;
use levels::{Level, levels, shipped, toml};
use serde_json::{Map, Value, json};

/// Findings about the form of a value. What a name refers to is unknown to the schema, and so is what must stand beside a key.
const FORM: [&str; 9] = [
    "E0001", "E0102", "E0103", "E0104", "E0105", "E0106", "E0111", "E0202", "E0303",
];

/// Findings that a whole table has no place in a scenario: nothing in it is looked at.
const OUT_OF_PLACE: [&str; 2] = ["E0701", "E0704"];

/// Findings that say that a key is unknown.
const UNKNOWN: [&str; 2] = ["E0102", "E0202"];

/// One error: its code, its title, the text under its caret.
type Found = (String, String, String);

/// What the reader has against a document.
fn errors(document: &Map<String, Value>) -> Vec<Found> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.toml");
    let text: String = document
        .iter()
        .map(|(key, value)| format!("{key} = {}\n", toml(value)))
        .collect();
    std::fs::write(&path, text).expect("written");
    let Err(report) = scenario::check(&path, &[]) else {
        return Vec::new();
    };
    report
        .list
        .iter()
        .map(|d| {
            let under = d
                .primary
                .as_ref()
                .map_or("", |l| report.sources.text(l.span));
            let code = d.code.map_or("", |c| c.id);
            (code.to_owned(), d.title.clone(), under.to_owned())
        })
        .collect()
}

/// What the reader has against a level with these keys, and would not have against it without them.
fn against(level: &Level<'_>, before: &[Found], keys: Map<String, Value>) -> Vec<Found> {
    let mut after = errors(&level.document(keys));
    after.retain(|found| !before.contains(found));
    after
}

fn one(key: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), value)])
}

#[test]
fn all_levels_are_found() {
    let schema = shipped();
    let all = levels(&schema);
    let places: Vec<&str> = all.iter().map(|level| level.place.as_str()).collect();
    for place in [
        "",
        "node.*",
        "node.*.stand_in",
        "link.*",
        "link.*.trace",
        "traffic.*.flow[]",
        "traffic.*.rate",
        "collector.destination.*",
        "collector.class.*.match[]",
        "fault[link.degrade].set",
        "expect[]",
        "oracle[]",
        "sweep.stop_when",
    ] {
        assert!(places.contains(&place), "{place}: {places:?}");
    }
    let kinds = places
        .iter()
        .filter(|p| p.starts_with("fault[") && p.ends_with(']'));
    assert_eq!(kinds.count(), backroom_sim::fault::table::FAULTS.len());
    let different: BTreeSet<&&str> = places.iter().collect();
    assert_eq!(different.len(), places.len(), "{places:?}");
}

#[test]
fn a_key_of_the_schema_is_a_key_of_the_reader() {
    let schema = shipped();
    let mut wrong = Vec::new();
    for level in levels(&schema) {
        let before = errors(&level.document(Map::new()));
        for (key, of) in level.properties() {
            let value = level.sample(key);
            let validator = jsonschema::validator_for(of).expect("a schema");
            assert!(
                validator.is_valid(&value),
                "{}.{key} = {value}",
                level.place
            );
            let found = against(&level, &before, one(key, value.clone()));
            for (code, title, _) in found {
                let undeclared = title.starts_with("there is no class");
                if FORM.contains(&code.as_str()) && !undeclared {
                    wrong.push(format!("{}.{key} = {value}: {code} {title}", level.place));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Guarantees: no key is accepted and then ignored.
#[test]
fn a_value_that_the_schema_refuses_is_refused_by_the_reader() {
    let schema = shipped();
    let mut wrong = Vec::new();
    for level in levels(&schema) {
        let before = errors(&level.document(Map::new()));
        let out_of_place = |(code, _, _): &Found| OUT_OF_PLACE.contains(&code.as_str());
        if before.iter().any(out_of_place) {
            continue;
        }
        for (key, of) in level.properties() {
            let validator = jsonschema::validator_for(of).expect("a schema");
            let forms = [json!(true), json!("~"), json!([[{}]]), json!(-1)];
            for value in forms.iter().filter(|value| !validator.is_valid(value)) {
                if against(&level, &before, one(key, value.clone())).is_empty() {
                    wrong.push(format!("{}.{key} = {value} is taken", level.place));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A key as it is mistyped: a letter doubled, the last one missing, two in the wrong order.
fn misspelt(key: &str) -> Vec<String> {
    let mut letters: Vec<char> = key.chars().collect();
    letters.reverse();
    let doubled = format!("{key}{}", &key[key.len() - 1..]);
    let short = key[..key.len() - 1].to_owned();
    vec![doubled, short, letters.into_iter().collect()]
}

#[test]
fn a_key_that_the_schema_does_not_have_is_unknown_to_the_reader() {
    let schema = shipped();
    let all = levels(&schema);
    let names: BTreeSet<&String> = all.iter().flat_map(|l| l.properties().keys()).collect();
    assert!(names.len() > 100, "{}", names.len());
    for level in &all {
        let own = level.properties();
        let mistyped = own.keys().flat_map(|key| misspelt(key));
        let others = names.iter().map(|name| (*name).clone()).chain(mistyped);
        let foreign: BTreeSet<String> = others
            .filter(|name| !own.contains_key(name) && !name.is_empty())
            .collect();
        let keys = foreign.iter().map(|name| (name.clone(), json!(1)));
        let before = errors(&level.document(Map::new()));
        let found = against(level, &before, keys.collect());
        let refused: BTreeSet<String> = found
            .into_iter()
            .filter(|(code, _, _)| UNKNOWN.contains(&code.as_str()))
            .map(|(_, _, under)| under)
            .collect();
        let taken: Vec<&String> = foreign.difference(&refused).collect();
        assert!(taken.is_empty(), "`{}` takes {taken:?}", level.place);
        assert_eq!(refused.len(), foreign.len(), "`{}`", level.place);
    }
}

/// Guarantees: an editor marks an hour or a day that the reader refuses, and no other.
#[test]
fn hours_and_days_are_the_same_to_both() {
    let schema = jsonschema::validator_for(&shipped()).expect("a schema");
    let check = |table: &str, key: &str, is_known: bool| {
        let mut profile = json!({ "hours": {} });
        profile[table][key] = json!(1.0);
        let document = json!({ "schema": 1, "kind": "template", "profile": { "x": profile } });
        let document = document.as_object().expect("a table");
        let found = errors(document);
        let is_told = found.iter().any(|(code, ..)| code == "E0102");
        assert_eq!(is_told, !is_known, "{table}.{key}: {found:?}");
        let is_valid = schema.is_valid(&Value::Object(document.clone()));
        assert_eq!(is_valid, is_known, "{table}.{key}");
    };
    for hour in ["0", "6", "06", "19", "23"] {
        check("hours", hour, true);
    }
    for hour in ["24", "006", "noon", "-1"] {
        check("hours", hour, false);
    }
    for day in ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] {
        check("days", day, true);
    }
    check("days", "monday", false);
}
