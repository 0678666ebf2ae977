//! What a run found out. Deterministic: the same scenario and seeds give the same bytes, on any machine, in any shards.
//!
//! Numbers are in base units (seconds, bytes, fractions) and `Unit` says which. Text is for people and may change;
//! ids, verdicts and numbers are the interface. A field may be added within a schema version, never changed or removed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::human;

/// Version of [`RunResult`] and [`crate::Manifest`].
pub const SCHEMA_VERSION: u32 = 1;

/// What a run found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// Version of this type.
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// The question that it answers.
    pub description: String,
    /// The scenario's file, as it was named.
    pub file: String,
    /// What `--set` changed, as `PATH=VALUE`, in order.
    pub overrides: Vec<String>,
    /// Seeds that were run to their end, in order.
    pub seeds: Vec<u64>,
    /// Seeds that were asked for. Fewer were run when it was interrupted or one of them failed to run.
    pub seeds_planned: usize,
    /// Seeds that did not run to their end, in order.
    #[serde(default)]
    pub failures: Vec<SeedFailure>,
    /// Simulated seconds of each seed.
    pub simulated_seconds: f64,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// One for each `[[expect]]`, in file order.
    pub expectations: Vec<Expectation>,
    /// One for each `[[oracle]]`, in file order.
    pub oracles: Vec<Oracle>,
    /// One for each invariant, in the order of their table.
    pub invariants: Vec<Invariant>,
    /// One for each seed, in order.
    pub traces: Vec<SeedTrace>,
    /// What this run does not tell, and what was seen beside the questions asked.
    pub notes: Vec<String>,
    /// Exit code of the process.
    pub exit_code: i32,
    /// Why that one.
    pub exit_reason: String,
}

impl RunResult {
    /// Invariants that a seed violates, in the order of their table.
    pub fn violated(&self) -> impl Iterator<Item = &Invariant> {
        let invariants = self.invariants.iter();
        invariants.filter(|invariant| invariant.verdict == Verdict::Fail)
    }
}

/// Something that happened at a time of day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// Virtual seconds since the start.
    pub at_seconds: f64,
    /// Store-local time of day, such as `12:05` or `12:05:21`.
    pub clock: String,
    /// `▼` a fault begins, `▲` it ends; empty for everything else.
    pub symbol: String,
    /// What happened.
    pub text: String,
    /// The seed in which it was seen; `None` for what the file says.
    pub seed: Option<u64>,
}

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// Too little was seen to say.
    Inconclusive,
    /// It was not asked: the window never happened, or an assumption does not hold.
    Skipped,
}

/// What a failed expectation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The run fails.
    Error,
    /// It is shown.
    Warn,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A fraction: 1 is all.
    Fraction,
    /// A plain number.
    Count,
    /// Per second.
    PerSecond,
    /// Bytes per second.
    BytesPerSecond,
    /// Bits per second.
    BitsPerSecond,
}

impl Unit {
    /// As people write it.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => human::seconds(value),
            Self::Bytes => human::bytes(value),
            Self::Fraction => human::fraction(value),
            Self::Count => human::count(value),
            Self::PerSecond => format!("{}/s", human::count(value)),
            Self::BytesPerSecond => format!("{}/s", human::bytes(value)),
            Self::BitsPerSecond => human::bit_rate(value),
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Op {
    /// Less than.
    #[serde(rename = "<")]
    Lt,
    /// At most.
    #[serde(rename = "<=")]
    Le,
    /// More than.
    #[serde(rename = ">")]
    Gt,
    /// At least.
    #[serde(rename = ">=")]
    Ge,
    /// Equal to.
    #[serde(rename = "==")]
    Eq,
    /// Different from.
    #[serde(rename = "!=")]
    Ne,
}

impl Op {
    /// One sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Lt => "<",
            Self::Le => "≤",
            Self::Gt => ">",
            Self::Ge => "≥",
            Self::Eq => "==",
            Self::Ne => "≠",
        }
    }

    /// Whether `value op limit` holds.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Lt => value < limit,
            Self::Le => value <= limit,
            Self::Gt => value > limit,
            Self::Ge => value >= limit,
            Self::Eq => value == limit,
            Self::Ne => value != limit,
        }
    }
}

/// One `[[expect]]`, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expectation {
    /// Its name.
    pub id: String,
    /// `that`, as it was written.
    pub text: String,
    /// The part of `text` before the comparison.
    pub measure: String,
    /// The comparison.
    pub op: Op,
    /// The limit, as it was written.
    pub limit_text: String,
    /// When it was judged, as `explain` writes it.
    pub window: String,
    /// What a failure does.
    pub severity: Severity,
    /// The verdict.
    pub verdict: Verdict,
    /// What was measured: of all seeds together for quantiles and shares, else in the worst seed. `None`: nothing was.
    pub value: Option<f64>,
    /// Whether the value had not been reached at the end of the run: then it is at least this.
    pub value_is_lower_bound: bool,
    /// The limit.
    pub limit: f64,
    /// Unit of value and limit.
    pub unit: Unit,
    /// Where the value lies with the confidence that was asked for; `None` if none was, or if one seed has no spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// What the line and the machines permit at best, where a closed form knows; `None` where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physics: Option<Physics>,
    /// Samples of all seeds together; `None` where a seed gives one number.
    pub samples: Option<u64>,
    /// Seeds in which it holds.
    pub seeds_held: usize,
    /// Seeds in which there was something to judge.
    pub seeds_total: usize,
    /// The seed that is furthest on the wrong side, or nearest to it.
    pub worst: Option<Worst>,
    /// Why it is not a plain yes or no.
    pub notes: Vec<String>,
    /// The file that declares it, as it was named.
    pub file: String,
    /// The 1-based line of `that`.
    pub line: usize,
}

/// Where a value lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The confidence, as a fraction.
    pub confidence: f64,
    /// Its lower end; `None` is not bounded.
    pub low: Option<f64>,
    /// Its upper end; `None` is not bounded.
    pub high: Option<f64>,
}

/// What is possible at best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Physics {
    /// The closed form.
    pub model: String,
    /// What it says, in the unit of the expectation.
    pub value: f64,
    /// The same in words, with what it is about.
    pub text: String,
}

/// A seed's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worst {
    /// The seed.
    pub seed: u64,
    /// Its value; `None` is infinite.
    pub value: Option<f64>,
}

/// One `[[oracle]]`, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Oracle {
    /// Its name.
    pub id: String,
    /// The closed form.
    pub model: String,
    /// What was observed, as it was written.
    pub observe: String,
    /// Unit of theory and observation.
    pub unit: Unit,
    /// What the closed form says with the figures of the run; mean of all seeds. `None`: it refuses.
    pub theory: Option<f64>,
    /// What it says with the figures of the file alone, such as a declared compression ratio.
    pub theory_declared: Option<f64>,
    /// What was observed; mean of all seeds.
    pub observed: Option<f64>,
    /// Mean of `observed / theory - 1` over the seeds.
    pub deviation: Option<f64>,
    /// Half-width of the 95 % interval of that mean; `None` with one seed.
    pub deviation_half_width: Option<f64>,
    /// Largest deviation that holds.
    pub tolerance: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// What went into the closed form.
    pub inputs: Vec<OracleInput>,
    /// Each seed by itself.
    pub seeds: Vec<OracleSeed>,
    /// Assumptions that do not hold, and corrections that were made.
    pub notes: Vec<String>,
    /// The file that declares it, as it was named.
    pub file: String,
    /// The 1-based line of its header.
    pub line: usize,
}

/// A figure that went into a closed form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OracleInput {
    /// Its letter in the formula.
    pub name: String,
    /// Its value; mean of all seeds.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
    /// Where it comes from: `measured`, `file`, or what was done.
    pub origin: String,
}

/// Theory and observation of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OracleSeed {
    /// The seed.
    pub seed: u64,
    /// What the closed form says.
    pub theory: Option<f64>,
    /// What was observed.
    pub observed: Option<f64>,
}

/// One invariant, checked in every seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Invariant {
    /// Its name, such as `DELIVERY-1`.
    pub id: String,
    /// What it says.
    pub title: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The first seed that violates it.
    pub seed: Option<u64>,
    /// The first violation, or what was counted.
    pub message: String,
    /// Seeds that violate it.
    pub seeds_violated: usize,
}

/// A seed that did not run to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeedFailure {
    /// The seed.
    pub seed: u64,
    /// What became of it.
    pub kind: SeedFailureKind,
    /// How.
    pub message: String,
}

/// What became of a seed that did not run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeedFailureKind {
    /// Its process ended early: an error of ours.
    Crashed,
    /// It took longer than it may.
    TimedOut,
    /// It took more memory than it may.
    OutOfMemory,
}

impl SeedFailureKind {
    /// What it did: `crashed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::TimedOut => "timed out",
            Self::OutOfMemory => "ran out of memory",
        }
    }
}

/// What a seed did, in one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeedTrace {
    /// The seed.
    pub seed: u64,
    /// Hash of everything that happened, in hex.
    pub hash: String,
}
