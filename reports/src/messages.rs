//! What happens while a run goes on, one JSON object a line, for programs that watch it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{RunResult, SeedFailure};

/// Something that happened; `type` says what. Types may be added within a schema version: leave out what you do not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// The first one.
    RunStarted {
        /// Version of these messages and of the results in them.
        schema_version: u32,
        /// Version of `backroom`.
        tool_version: String,
        /// What will be run, in order.
        scenarios: Vec<Planned>,
    },
    /// A seed has run to its end. In the order in which they end, which differs from run to run.
    SeedFinished {
        /// Name of the scenario.
        scenario: String,
        /// The seed.
        seed: u64,
        /// Hash of everything that happened, in hex.
        trace_hash: String,
        /// Simulated seconds, settle phase included.
        virtual_seconds: f64,
        /// Processor seconds.
        cpu_seconds: f64,
    },
    /// A seed has not run to its end.
    SeedFailed {
        /// Name of the scenario.
        scenario: String,
        /// What became of it.
        failure: SeedFailure,
    },
    /// A scenario is judged. In the order in which they were named.
    ScenarioFinished {
        /// The result.
        result: Box<RunResult>,
        /// Folder in which it is kept.
        folder: Option<String>,
    },
    /// The last one.
    RunFinished {
        /// Exit code of the process.
        exit_code: i32,
    },
}

/// A scenario that will be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Planned {
    /// Its name.
    pub scenario: String,
    /// Its file, as it was named.
    pub file: String,
    /// Seeds that will be run.
    pub seeds: usize,
}

/// One line, with its line break.
pub fn render(message: &Message) -> String {
    let text = serde_json::to_string(message);
    text.expect("plain data has no key that is not text") + "\n"
}

/// JSON Schema (2020-12) of [`Message`].
pub fn schema() -> String {
    crate::json::pretty(&schemars::schema_for!(Message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lines_that_the_schema_accepts() {
        let schema: serde_json::Value = serde_json::from_str(&schema()).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let all = [
            Message::RunStarted {
                schema_version: 1,
                tool_version: "0.1.0".into(),
                scenarios: vec![],
            },
            Message::SeedFinished {
                scenario: "x\ny".into(),
                seed: 3,
                trace_hash: "0".into(),
                virtual_seconds: 1.0,
                cpu_seconds: 0.5,
            },
            Message::ScenarioFinished {
                result: Box::new(crate::fixture::failing()),
                folder: None,
            },
            Message::RunFinished { exit_code: 1 },
        ];
        for message in all {
            let line = render(&message);
            assert_eq!(line.lines().count(), 1, "{line}");
            let value = serde_json::from_str(&line).expect("JSON");
            validator
                .validate(&value)
                .unwrap_or_else(|e| panic!("{e}: {line}"));
            let back: Message = serde_json::from_str(&line).expect("it reads back");
            assert_eq!(back, message);
        }
        assert!(!validator.is_valid(&serde_json::json!({"type": "seed_finished"})));
    }
}
