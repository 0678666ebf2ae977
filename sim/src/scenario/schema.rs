//! The JSON Schema of scenario files, made from the tables of keys and of fault kinds.

use backroom_collector::config::schema as keys;
use serde_json::{Value, json};

use super::{codes, models, shapes};
use crate::{
    fault::table::{FAULTS, Kind, Lasts},
    metric::catalogue::METRICS,
};

/// The JSON Schema of a scenario or a template.
pub fn schema() -> Value {
    let mut schema = keys::object(&shapes::TOP);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Backroom scenario");
    schema["required"] = json!(["schema"]);
    schema["properties"]["schema"] = json!({"const": 1, "description": "Version of the language."});
    schema["properties"]["fault"] = json!({
        "type": "array",
        "description": "What goes wrong.",
        "items": {"oneOf": FAULTS.iter().map(fault).collect::<Vec<_>>()},
    });
    // Templates and scenarios complete each other, so neither has to say everything.
    for (name, section) in schema["properties"].as_object_mut().into_iter().flatten() {
        if !super::merge::BY_ID.contains(&name.as_str()) {
            forget_required(section);
        }
    }
    custom(&mut schema);
    let profile = &mut schema["properties"]["profile"]["additionalProperties"]["properties"];
    profile["hours"]["propertyNames"] = json!({"pattern": "^([01]?[0-9]|2[0-3])$"});
    profile["days"]["propertyNames"] = json!({"enum": shapes::DAYS});
    let known: Vec<&str> = models::MODELS.iter().map(|m| m.name).collect();
    let model = &mut schema["properties"]["oracle"]["items"]["properties"]["model"];
    model["enum"] = json!(known);
    let metrics: Vec<&str> = METRICS.iter().map(|m| m.name).collect();
    let that = &mut schema["properties"]["expect"]["items"]["properties"]["that"];
    that["description"] = json!(format!(
        "What must hold, of one of these metrics: {}.",
        metrics.join(", ")
    ));
    schema["$comment"] = json!(format!(
        "Made by `backroom schema`; `backroom check` knows more, with codes up to {}.",
        codes::ALL
            .iter()
            .map(|c| c.id)
            .filter(|id| id.starts_with('E'))
            .max()
            .unwrap_or_default(),
    ));
    schema
}

/// What the services of this process take.
fn custom(schema: &mut Value) {
    let services = crate::service::Services::installed();
    let configs: Vec<Value> = services.schemas().map(|(_, schema)| schema).collect();
    let place = "/properties/node/additionalProperties/properties/config";
    if let (Some(config), false) = (schema.pointer_mut(place), configs.is_empty()) {
        let names: Vec<&str> = services.names().collect();
        *config = json!({
            "description": format!("What the program of a custom machine is told: {}.", names.join(", ")),
            "anyOf": configs,
        });
    }
}

fn forget_required(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("required");
            map.values_mut().for_each(forget_required);
        }
        Value::Array(list) => list.iter_mut().for_each(forget_required),
        _ => {}
    }
}

fn fault(kind: &Kind) -> Value {
    let mut schema = keys::object_of(kind.keys());
    schema["title"] = json!(kind.name);
    schema["description"] = json!(kind.doc);
    schema["properties"]["kind"] = json!({"const": kind.name, "description": kind.doc});
    schema["properties"]["on"]["description"] =
        json!(format!("What it happens to: {}.", kind.on.as_str()));
    if kind.lasts == Lasts::Needed {
        schema["anyOf"] = json!([{"required": ["at", "for"]}, {"required": ["mtbf", "mttr"]}]);
    }
    schema
}
