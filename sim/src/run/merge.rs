//! The result of all seeds: verdicts, exit code, and nothing that differs from one run of them to the next.

use backroom_reports::{
    Expectation, Invariant, Physics, RunResult, SeedFailure, SeedTrace, Severity, Verdict, exit,
};
use serde::{Deserialize, Serialize};

use super::outcome::SeedOutcome;
use crate::{
    invariant,
    metric::{Sample, judge},
    oracle::{judge as oracles, physics::Permitted},
    scenario::{Oracle, Scenario},
};

/// What the command line says of a run.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `--set` values, in order.
    pub overrides: Vec<String>,
    /// What an inconclusive expectation counts as.
    pub inconclusive: exit::Inconclusive,
    /// Seeds that were asked for.
    pub seeds_planned: usize,
    /// Whether every seed was run a second time.
    pub verified: bool,
    /// Why not all seeds were run, if somebody decided so.
    pub stopped: Option<String>,
    /// Whether that was an interruption.
    pub interrupted: bool,
}

/// A seed whose two runs differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The seed.
    pub seed: u64,
    /// Trace hashes of the first and of the second run.
    pub hashes: (String, String),
}

/// Judges a scenario on the outcomes of its seeds, sorted by seed. `failures` are seeds without one, `differences` is what
/// `--verify` found.
pub fn merge(
    scenario: &Scenario,
    asked: &Asked,
    outcomes: &[SeedOutcome],
    failures: &[SeedFailure],
    differences: &[Difference],
) -> RunResult {
    let expectations = scenario
        .expects
        .iter()
        .enumerate()
        .map(|(i, expect)| {
            let samples: Vec<_> = outcomes
                .iter()
                .map(|o| (o.seed, o.samples[i].clone()))
                .collect();
            let mut judged = judge::judge(scenario, expect, &samples);
            judged.physics = physics(&judged, i, outcomes);
            judged
        })
        .collect();
    let of_oracle = |(i, oracle): (usize, &Oracle)| {
        let samples: Vec<_> = outcomes
            .iter()
            .map(|o| (o.seed, o.oracles[i].clone()))
            .collect();
        oracles::judge(scenario, oracle, &samples)
    };
    let findings: Vec<_> = outcomes
        .iter()
        .map(|o| (o.seed, o.findings.clone()))
        .collect();
    let mut invariants = invariant::judge(&findings);
    if let Some(first) = differences.first() {
        invariants.push(Invariant {
            id: "DETERMINISM-1".into(),
            title: "two processes run a seed alike".into(),
            verdict: Verdict::Fail,
            seed: Some(first.seed),
            message: format!(
                "seed {} has trace {} in one process and {} in another",
                first.seed, first.hashes.0, first.hashes.1
            ),
            seeds_violated: differences.len(),
        });
    }
    let mut result = RunResult {
        schema_version: backroom_reports::SCHEMA_VERSION,
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        file: scenario.path.display().to_string(),
        overrides: asked.overrides.clone(),
        seeds: outcomes.iter().map(|o| o.seed).collect(),
        seeds_planned: asked.seeds_planned,
        failures: failures.to_vec(),
        simulated_seconds: scenario.duration.as_secs_f64(),
        timeline: outcomes
            .first()
            .map(|o| o.timeline.clone())
            .unwrap_or_default(),
        expectations,
        oracles: scenario.oracles.iter().enumerate().map(of_oracle).collect(),
        invariants,
        traces: outcomes
            .iter()
            .map(|o| SeedTrace {
                seed: o.seed,
                hash: o.trace_hash.clone(),
            })
            .collect(),
        notes: notes(asked, outcomes, differences),
        exit_code: exit::OK,
        exit_reason: String::new(),
    };
    result.exit_code = exit::of_run(&result, asked.inconclusive);
    if asked.interrupted {
        result.exit_code = exit::first([result.exit_code, exit::INTERRUPTED]);
    }
    result.exit_reason = reason(&result);
    result
}

/// What was possible in the seed whose value is shown; of a value of all seeds, the mean of what was possible in each.
fn physics(judged: &Expectation, i: usize, outcomes: &[SeedOutcome]) -> Option<Physics> {
    let of = |outcome: &SeedOutcome| outcome.physics.get(i).cloned().flatten();
    let of_all = judged.samples.is_some() || judged.interval.is_some();
    let worst = judged.worst.as_ref().map(|worst| worst.seed);
    let shown = outcomes
        .iter()
        .filter(|outcome| of_all || Some(outcome.seed) == worst);
    let all: Vec<Permitted> = shown.filter_map(of).collect();
    let first = all.first()?;
    let mean = |of: fn(&Permitted) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
    let mean = Permitted {
        seconds: mean(|p| p.seconds),
        reconnect: mean(|p| p.reconnect),
        ..first.clone()
    };
    judged.value?;
    Some(mean.shown())
}

/// What one seed decides by itself, as an exit code: an invariant that it violates, or an expectation that has to hold in every
/// seed. Quantiles and shares are judged on all seeds together and decide nothing here.
pub fn decided_by(scenario: &Scenario, outcome: &SeedOutcome) -> i32 {
    let expects = scenario.expects.iter().zip(&outcome.samples);
    let alone =
        expects.filter(|(_, s)| matches!(s, Sample::Number { .. } | Sample::AtLeast { .. }));
    let expects = alone.map(|(expect, sample)| {
        let judged = judge::judge(scenario, expect, &[(outcome.seed, sample.clone())]);
        match (judged.verdict, judged.severity) {
            (Verdict::Fail, Severity::Error) => exit::FAILED,
            _ => exit::OK,
        }
    });
    let invariants = invariant::judge(&[(outcome.seed, outcome.findings.clone())]);
    let invariants = invariants.iter().map(|i| match i.verdict {
        Verdict::Fail => exit::SUSPECT,
        _ => exit::OK,
    });
    exit::first(expects.chain(invariants))
}

/// The exit code in words.
fn reason(result: &RunResult) -> String {
    match result.exit_code {
        exit::OK => "everything holds",
        exit::FAILED => "an expectation failed",
        exit::INCONCLUSIVE => "something could not be judged",
        exit::SUSPECT => "an oracle or an invariant failed: suspect the model or our code",
        exit::INTERRUPTED => "interrupted before all seeds were run",
        exit::INTERNAL => "a seed did not run to its end",
        _ => "see the messages above",
    }
    .into()
}

/// What a reader should know although no verdict says it.
fn notes(asked: &Asked, outcomes: &[SeedOutcome], differences: &[Difference]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(why) = &asked.stopped {
        let run = outcomes.len();
        let planned = asked.seeds_planned;
        notes.push(format!(
            "{why}: {run} of {planned} seeds were run to their end"
        ));
    }
    match outcomes {
        [one] if asked.verified && differences.is_empty() => notes.push(format!(
            "trace {} in both of two processes (seed {})",
            one.trace_hash, one.seed
        )),
        [one] => notes.push(format!("trace {} (seed {})", one.trace_hash, one.seed)),
        all if asked.verified && differences.is_empty() => notes.push(format!(
            "the traces of {} seeds agree between two processes each",
            all.len()
        )),
        _ => {}
    }
    let pending = outcomes.iter().find(|o| !o.pending.is_empty());
    if let Some(first) = pending {
        let count = outcomes.iter().filter(|o| !o.pending.is_empty()).count();
        notes.push(format!(
            "not everything had arrived 15 min after the end in {count} seeds; seed {}: {}",
            first.seed,
            first.pending.join("; ")
        ));
    }
    let mut idle: Vec<(&str, u64, usize)> = Vec::new();
    for outcome in outcomes {
        for fault in &outcome.idle_faults {
            match idle.iter_mut().find(|(id, ..)| id == fault) {
                Some((.., seeds)) => *seeds += 1,
                None => idle.push((fault, outcome.seed, 1)),
            }
        }
    }
    for (fault, seed, seeds) in idle {
        let others = match seeds {
            1 => String::new(),
            seeds => format!(" and {} others of {}", seeds - 1, outcomes.len()),
        };
        notes.push(format!(
            "fault {fault} had no effect in seed {seed}{others}: nothing met it"
        ));
    }
    notes
}
