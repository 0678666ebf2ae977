//! JSON Schema of tables of keys, for editors: completion, hover texts, red lines.
//!
//! The schema is a little looser than the reader: it knows nothing of names that are declared elsewhere in a file.

use serde_json::{Map, Value, json};

use super::shape::{Key, Shape, Ty};

/// The schema of a table.
pub fn object(shape: &Shape) -> Value {
    let mut schema = object_of(shape.keys.iter());
    schema["description"] = json!(shape.doc);
    schema
}

/// The schema of a table with keys from several places.
pub fn object_of<'k>(keys: impl Iterator<Item = &'k Key>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys {
        if key.required {
            required.push(key.name);
        }
        properties.insert(key.name.to_owned(), property(key));
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The schema of a key: its type, its text, its default.
pub fn property(key: &Key) -> Value {
    let mut schema = ty(&key.ty);
    schema["description"] = json!(key.doc);
    if let Some(default) = key.default.and_then(toml_to_json) {
        schema["default"] = default;
    }
    schema
}

/// The schema of a type. A text may always be a variable, so patterns allow `${…}`.
pub fn ty(ty: &Ty) -> Value {
    match ty {
        Ty::Text => json!({"type": "string"}),
        Ty::Word(grammar) => {
            let mut schema = json!({"type": "string", "examples": grammar.examples});
            if !grammar.pattern.is_empty() {
                schema["pattern"] = json!(format!(r"({})|\$\{{", grammar.pattern));
            }
            schema
        }
        Ty::Choice(words) => {
            json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": r"\$\{"}]})
        }
        Ty::Bool => json!({"type": "boolean"}),
        Ty::Integer(min, max) => {
            let mut schema = json!({"type": "integer", "minimum": min});
            if *max < i64::MAX {
                schema["maximum"] = json!(max);
            }
            schema
        }
        Ty::Number(min, max) => {
            let mut schema = json!({"type": "number"});
            if min.is_finite() {
                schema["minimum"] = json!(min);
            }
            if max.is_finite() {
                schema["maximum"] = json!(max);
            }
            schema
        }
        Ty::List(of) => json!({"type": "array", "items": self::ty(of)}),
        Ty::Table(shape) => object(shape),
        Ty::Named(shape) => json!({"type": "object", "additionalProperties": object(shape)}),
        Ty::Map(of) => json!({"type": "object", "additionalProperties": self::ty(of)}),
        Ty::Tables(shape) => json!({"type": "array", "items": object(shape)}),
        Ty::Either(all) => json!({"anyOf": all.iter().map(self::ty).collect::<Vec<_>>()}),
        Ty::Any => json!({}),
    }
}

/// A TOML value as JSON; `None` if it is not one.
fn toml_to_json(toml: &str) -> Option<Value> {
    fn convert(value: &toml_edit::Value) -> Value {
        match value {
            toml_edit::Value::String(s) => json!(s.value()),
            toml_edit::Value::Integer(n) => json!(n.value()),
            toml_edit::Value::Float(n) => json!(n.value()),
            toml_edit::Value::Boolean(b) => json!(b.value()),
            toml_edit::Value::Datetime(d) => json!(d.value().to_string()),
            toml_edit::Value::Array(list) => list.iter().map(convert).collect(),
            toml_edit::Value::InlineTable(table) => table
                .iter()
                .map(|(key, value)| (key.to_owned(), convert(value)))
                .collect(),
        }
    }
    let value: toml_edit::Value = toml.parse().ok()?;
    Some(convert(&value))
}
