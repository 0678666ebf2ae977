//! Takes the JSON Schema apart: every level at which keys are written, with the document that leads there, and a value for each key.
//!
//! Goes by the schema alone, never by the tables of keys that it is made from.

use std::path::Path;

use serde_json::{Map, Value, json};

/// The schema as it is shipped.
pub(crate) fn shipped() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/scenario.schema.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    serde_json::from_str(&text).expect("JSON")
}

/// Texts whose form the schema leaves open.
const TEXTS: &[(&str, &str)] = &[
    (
        "report.answer",
        "smallest collector.buffer.disk where one-in-ten-thousand passes",
    ),
    ("report.cell", "max(telemetry.backlog)"),
    ("report.quantiles", "p99.5"),
];

/// One step from a table to what stands in it.
#[derive(Clone, Debug)]
enum Step {
    /// Below this key.
    Key(String),
    /// In a list.
    Item,
    /// In a fault of this kind.
    Kind(String),
}

/// A table with keys.
#[derive(Debug)]
pub(crate) struct Level<'s> {
    /// Its place: `link.*.queue`, `fault[link.degrade].set`.
    pub(crate) place: String,
    steps: Vec<Step>,
    schema: &'s Value,
}

impl<'s> Level<'s> {
    /// Its keys, with the schema of each.
    pub(crate) fn properties(&self) -> &'s Map<String, Value> {
        self.schema["properties"]
            .as_object()
            .expect("a table of keys")
    }

    /// A value for a key.
    pub(crate) fn sample(&self, key: &str) -> Value {
        let place = format!("{}.{key}", self.place);
        let of = &self.properties()[key];
        match TEXTS.iter().find(|(known, _)| *known == place) {
            Some((_, text)) if of["type"] == "array" => json!([text]),
            Some((_, text)) => json!(text),
            None => sample(of),
        }
    }

    /// A file in which these keys stand at this level, and nothing else but what leads there.
    pub(crate) fn document(&self, keys: Map<String, Value>) -> Map<String, Value> {
        let mut value = Value::Object(keys);
        for step in self.steps.iter().rev() {
            value = match step {
                Step::Key(key) => json!({ key: value }),
                Step::Item => json!([value]),
                Step::Kind(kind) => {
                    if let Some(fault) = value.as_object_mut() {
                        fault.entry("kind").or_insert_with(|| json!(kind));
                    }
                    value
                }
            };
        }
        let Value::Object(mut document) = value else {
            panic!("a file is a table");
        };
        document.entry("schema").or_insert_with(|| json!(1));
        document
    }
}

/// All levels, the file itself first.
pub(crate) fn levels(schema: &Value) -> Vec<Level<'_>> {
    let mut all = Vec::new();
    walk("", &[], schema, &mut all);
    all
}

fn walk<'s>(place: &str, steps: &[Step], schema: &'s Value, out: &mut Vec<Level<'s>>) {
    let with = |step: Step| [steps, &[step]].concat();
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], json!(false), "{place}");
        out.push(Level {
            place: place.to_owned(),
            steps: steps.to_vec(),
            schema,
        });
        for (key, of) in properties {
            let below = match place {
                "" => key.clone(),
                place => format!("{place}.{key}"),
            };
            walk(&below, &with(Step::Key(key.clone())), of, out);
        }
    } else if schema["additionalProperties"].is_object() {
        // Any name will do, but for traffic, which has three.
        let name = match place {
            "traffic" => "orders",
            _ => "x",
        };
        let step = with(Step::Key(name.to_owned()));
        walk(
            &format!("{place}.*"),
            &step,
            &schema["additionalProperties"],
            out,
        );
    }
    let items = &schema["items"];
    for kind in items["oneOf"].as_array().into_iter().flatten() {
        let name = kind["properties"]["kind"]["const"]
            .as_str()
            .expect("a kind");
        let mut steps = with(Step::Item);
        steps.push(Step::Kind(name.to_owned()));
        walk(&format!("{place}[{name}]"), &steps, kind, out);
    }
    if items.is_object() {
        walk(&format!("{place}[]"), &with(Step::Item), items, out);
    }
    for form in schema["anyOf"].as_array().into_iter().flatten() {
        walk(place, steps, form, out);
    }
}

/// A value that a schema takes.
fn sample(schema: &Value) -> Value {
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    let list = |name: &str| schema[name].as_array().and_then(|list| list.first());
    if let Some(value) = list("enum").or_else(|| list("examples")) {
        return value.clone();
    }
    if let Some(form) = list("anyOf") {
        return sample(form);
    }
    match schema["type"].as_str() {
        Some("string") => json!("x"),
        Some("boolean") => json!(true),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("array") if schema["items"].is_object() && schema["items"]["oneOf"].is_null() => {
            json!([sample(&schema["items"])])
        }
        Some("array") => json!([]),
        // What must stand in a table, stands there.
        Some("object") => {
            let needed = schema["required"].as_array().into_iter().flatten();
            let needed = needed.filter_map(Value::as_str);
            let value = |key: &str| sample(&schema["properties"][key]);
            needed.map(|key| (key.to_owned(), value(key))).collect()
        }
        _ => json!("x"),
    }
}

/// A value as TOML writes it.
pub(crate) fn toml(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(toml).collect();
            format!("[{}]", list.join(", "))
        }
        Value::Object(table) => {
            let entry = |(key, value): (&String, &Value)| format!("{key} = {}", toml(value));
            let entries: Vec<String> = table.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        // Texts, numbers, booleans are written alike.
        other => other.to_string(),
    }
}
