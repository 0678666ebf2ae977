//! How, where and how fast a run was made: everything that differs from one run of the same seeds to the next.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a run was made. Kept beside the result, never inside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Version of this type.
    pub schema_version: u32,
    /// Version of `backroom`.
    pub tool_version: String,
    /// The command line.
    pub argv: Vec<String>,
    /// When it began, RFC 3339 with offset.
    pub started_at: String,
    /// Operating system and architecture.
    pub platform: String,
    /// The kind of processor and how many there are: times of different ones are not compared. Empty where nobody knows.
    #[serde(default)]
    pub machine: String,
    /// Commit of the repository in which it was run; `None` where there is none.
    #[serde(default)]
    pub git: Option<String>,
    /// The files that it read.
    pub inputs: Vec<Input>,
    /// How fast it was.
    pub timing: Timing,
}

/// A file that a run depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Input {
    /// Path as it was named.
    pub file: String,
    /// CRC32C of its bytes, in hex.
    pub crc32c: String,
}

/// How fast a run was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Wall-clock seconds from the first seed's start to the last one's end.
    pub wall_seconds: f64,
    /// Processor seconds of all workers; `None` where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// Simulated seconds of all seeds together.
    pub simulated_seconds: f64,
    /// Worker processes.
    pub jobs: u32,
    /// Largest memory of one worker, bytes; `None` where the system does not tell.
    pub memory_bytes_peak: Option<u64>,
}

impl Timing {
    /// Simulated seconds per wall-clock second, all workers together.
    pub fn times_real_time(&self) -> f64 {
        self.simulated_seconds / self.wall_seconds.max(1e-9)
    }
}
