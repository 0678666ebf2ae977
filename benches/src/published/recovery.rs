//! Recovery time and buffer size for three kinds of store, over outage length and line rate; what the closed form says beside it.
//!
//! The small store of `scenarios/recovery.toml` with the telemetry of a kind (`backroom_sim::plan::stores`). Everything is virtual time and bytes of
//! one seed, so results are compared exactly with those that are committed: a change is a change of the code.

use std::{fmt::Write as _, sync::Arc};

use backroom_reports::human;
use backroom_sim::{
    event::Event,
    metric::SeedLog,
    oracle::judge::OracleSample,
    plan::stores::{STORES, Store},
    run::one::{self, Options},
    scenario,
};
use serde::{Deserialize, Serialize};

use crate::{cpu, recovery::scenario_path};

/// One question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// The kind of store.
    pub store: &'static Store,
    /// Length of the outage, minutes.
    pub outage_minutes: u32,
    /// Rate of the line upwards, kbit/s.
    pub line_kbit: u32,
    /// Minutes that are simulated.
    pub minutes: u32,
}

/// Its answer. Whole milliseconds and bytes, so that equal runs are equal text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The kind of store.
    pub store: String,
    /// Length of the outage, minutes.
    pub outage_minutes: u32,
    /// Rate of the line upwards, kbit/s.
    pub line_kbit: u32,
    /// From the end of the outage until less than 256 KiB wait for good, milliseconds; `None` if that was not within the run.
    pub recovery_ms: Option<u64>,
    /// What the fluid form T1 says with the figures of the run, milliseconds; `None` if it refuses.
    pub theory_ms: Option<u64>,
    /// Largest backlog, bytes on the collector's disk.
    pub peak_bytes: u64,
    /// Stored bytes per second during the outage.
    pub stored_bytes_per_second: u64,
}

/// All questions: two outages and three lines for each kind of store. Lines are so that the slowest one drains at all.
pub fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for store in STORES {
        let lines = match store.telemetry_bytes_per_second {
            rate if rate < 20_000.0 => [64, 128, 256],
            _ => [256, 512, 1024],
        };
        for outage_minutes in [10, 40] {
            for line_kbit in lines {
                all.push(Question {
                    store,
                    outage_minutes,
                    line_kbit,
                    minutes: 100,
                });
            }
        }
    }
    all
}

/// Simulates one.
///
/// # Errors
/// If the scenario cannot be read or run.
pub fn answer(question: &Question) -> Result<Answer, String> {
    let Question {
        store,
        outage_minutes,
        line_kbit,
        minutes,
    } = *question;
    let sets = [
        format!(
            "traffic.telemetry.rate={}B/s",
            store.telemetry_bytes_per_second
        ),
        format!("fault.dead.for={outage_minutes}m"),
        format!("link.uplink.up={line_kbit}kbit/s"),
        format!("duration={minutes}m"),
    ];
    let loaded = scenario::load(&scenario_path(), &sets)
        .map_err(|report| format!("{}: {:?}", scenario_path().display(), report.list))?;
    let scenario = Arc::new(loaded.scenario);
    let seed = 1;
    let run = cpu::on_a_fresh_thread(|| one::run(&scenario, seed, Options::default()))
        .map_err(|error| error.to_string())?;
    let log = SeedLog {
        seed,
        scenario: &scenario,
        events: &run.events,
        links: &run.links,
        machines: &run.machines,
        ended_at: run.ended_at,
    };
    let [oracle] = &scenario.oracles[..] else {
        return Err(format!("{} oracles, not one", scenario.oracles.len()));
    };
    let sample = OracleSample::of(&log, oracle);
    let window = scenario.faults[0].windows[0];
    let level = |at| {
        let before = run.events.iter().take_while(|s| s.at <= at);
        let levels = before.filter_map(|s| match s.event {
            Event::Backlog { bytes, .. } => Some(bytes),
            _ => None,
        });
        levels.last().unwrap_or(0)
    };
    let end = window.end.unwrap_or(scenario.duration);
    let grown = level(end).saturating_sub(level(window.start));
    let peak = run.events.iter().filter_map(|s| match s.event {
        Event::Backlog { bytes, .. } => Some(bytes),
        _ => None,
    });
    let milliseconds = |seconds: f64| (seconds * 1e3).round() as u64;
    let is_known = !sample.observed_is_lower_bound;
    Ok(Answer {
        store: store.name.into(),
        outage_minutes,
        line_kbit,
        recovery_ms: sample.observed.filter(|_| is_known).map(milliseconds),
        theory_ms: sample.theory.map(milliseconds),
        peak_bytes: peak.max().unwrap_or(0),
        stored_bytes_per_second: grown / u64::from(outage_minutes * 60).max(1),
    })
}

/// What differs from committed answers, a line each; empty if nothing does.
pub fn differences(committed: &[Answer], now: &[Answer]) -> Vec<String> {
    let of = |all: &[Answer], like: &Answer| {
        let same = |a: &&Answer| {
            (&a.store, a.outage_minutes, a.line_kbit)
                == (&like.store, like.outage_minutes, like.line_kbit)
        };
        all.iter().find(same).cloned()
    };
    let mut out = Vec::new();
    for is in now {
        let place = format!(
            "{}, {} min at {} kbit/s",
            is.store, is.outage_minutes, is.line_kbit
        );
        match of(committed, is) {
            None => out.push(format!("{place}: not in the committed results")),
            Some(was) if was != *is => out.push(format!(
                "{place}: recovery {} -> {}, peak {} -> {} B",
                shown(was.recovery_ms),
                shown(is.recovery_ms),
                was.peak_bytes,
                is.peak_bytes
            )),
            Some(_) => {}
        }
    }
    let gone = committed.iter().filter(|was| of(now, was).is_none());
    out.extend(gone.map(|was| {
        format!(
            "{}, {} min: not asked any more",
            was.store, was.outage_minutes
        )
    }));
    out
}

fn shown(milliseconds: Option<u64>) -> String {
    milliseconds.map_or("not within the run".into(), |ms| {
        human::seconds(ms as f64 / 1e3)
    })
}

/// Outages that buffers are told for, seconds.
const BUFFERS: [(&str, f64); 4] = [
    ("2 h", 7200.0),
    ("1 day", 86_400.0),
    ("3 days", 259_200.0),
    ("14 days", 1_209_600.0),
];

/// The tables.
pub fn tables(answers: &[Answer]) -> String {
    let mut out = String::from(
        "How long does a store need after an outage until head office is up to date, and how much disk does it need meanwhile? Telemetry is\n\
         really compressed (zstd level 3) by the deployed collector, which takes the whole line. *Theory* is the fluid form\n\
         `t0 + (q + a (D + t0) - s - below) / (c - a)`, `a` and `t0` measured in the run.\n",
    );
    for store in STORES {
        let mine: Vec<&Answer> = answers.iter().filter(|a| a.store == store.name).collect();
        let Some(longest) = mine.iter().max_by_key(|a| a.outage_minutes) else {
            continue;
        };
        let _ = write!(
            out,
            "\n## {}\n\n{}: {}/s of telemetry before compression.\n\n\
             | outage | line | recovery | theory | off | largest backlog | stored |\n|---|---|---|---|---|---|---|\n",
            store.name,
            store.doc,
            human::bytes(store.telemetry_bytes_per_second)
        );
        for a in &mine {
            let off = match (a.recovery_ms, a.theory_ms) {
                (Some(is), Some(theory)) if theory > 0 => {
                    human::deviation(is as f64 / theory as f64 - 1.0)
                }
                _ => "-".into(),
            };
            let _ = writeln!(
                out,
                "| {} min | {} | {} | {} | {off} | {} | {}/s |",
                a.outage_minutes,
                human::bit_rate(f64::from(a.line_kbit) * 1e3),
                shown(a.recovery_ms),
                a.theory_ms.map_or("refuses".into(), |_| shown(a.theory_ms)),
                human::bytes(a.peak_bytes as f64),
                human::bytes(a.stored_bytes_per_second as f64),
            );
        }
        let rate = longest.stored_bytes_per_second as f64;
        let _ = write!(
            out,
            "\nDisk for the buffer, `a D` with a quarter on top, at {}/s as stored in the outage of {} min:\n\n| outage | buffer |\n|---|---|\n",
            human::bytes(rate),
            longest.outage_minutes
        );
        for (name, seconds) in BUFFERS {
            let _ = writeln!(out, "| {name} | {} |", human::bytes(rate * seconds * 1.25));
        }
    }
    out.push_str("\n## Where the figures of a kind come from\n\n| store | figure | source |\n|---|---|---|\n");
    for store in STORES {
        for (of, source) in store.sources {
            let _ = writeln!(out, "| {} | {of} | {} |", store.name, super::cell(source));
        }
    }
    out
}

/// What the page does not tell.
pub const LIMITS: &[&str] = &[
    "One seed, one outage, a line without loss. How outages repeat is the business of `backroom plan` and of `scenarios/buffer-sizing.toml`.",
    "The bytes come from a seeded pool that compresses as measured telemetry of stores does. Yours may compress better or worse: `backroom plan --ratio`.",
    "Sales, payments and media, which go before telemetry on a line with classes, are left out here.",
    "Buffers are computed, not simulated, beyond the longest outage of the table.",
];
