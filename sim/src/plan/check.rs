//! The simulated side of a plan: does a store with these figures do what the closed forms say?
//!
//! Two small simulations. The line's outages over centuries, event by event, for what a buffer loses. And one store at packet
//! fidelity through one short outage: recovery is linear in the length of the outage, so ten minutes tell of two weeks; what it
//! measures is what the forms take for granted: the ratio of the real compression, overhead on the wire, `t0`, and how far the form is off.

use std::{
    fs,
    path::{Path, PathBuf},
};

use backroom_reports::{Oracle, Plan, RunResult, human};

use super::Question;
use crate::{
    oracle::{numeric, outages::OnOff},
    run::{
        merge::{self, Asked},
        one::Options,
        pool::{self, Control, End, Job, Task},
    },
    scenario,
    world::seed,
};

/// The store that a packet run plays: the shipped template, which stands in the program so that a plan needs no files.
const TEMPLATE: &str = include_str!("../../../scenarios/stores/qsr-18.toml");

/// 10 min: the recovery of it fits into minutes on any line that is worth having.
const OUTAGE_MAX: f64 = 600.0;

/// 45 min of simulated recovery: a few seconds of a processor.
const RECOVERY_MAX: f64 = 2700.0;

/// 2,000,000 cycles: a second.
const CYCLES_MAX: f64 = 2e6;

/// 30 overflows: below it a simulated loss says nothing.
const OVERFLOWS_MIN: f64 = 30.0;

/// Adds what simulations say to a plan.
///
/// # Errors
/// If the simulated store cannot be run; the plan then stands by its forms alone.
pub fn add(plan: &mut Plan, question: &Question) -> Result<(), String> {
    loss(plan, question);
    packets(plan, question)
}

/// The buffer's loss by simulated outages.
fn loss(plan: &mut Plan, q: &Question) {
    let (line, buffer) = (q.line_outages(), q.buffer());
    let OnOff { a, mttr, .. } = line;
    let Some(answer) = plan.answers.iter_mut().find(|a| a.id == "loss") else {
        return;
    };
    let Some(form) = answer.value else { return };
    // An outage overflows the buffer with this probability, or more often.
    let overflows = (-buffer / (a * mttr)).exp();
    let cycles = (300.0 / overflows).max(1000.0);
    if cycles > CYCLES_MAX {
        answer.simulated_how = match overflows > 1e-9 {
            true => format!(
                "not simulated: one outage in {} overflows it",
                human::count((1.0 / overflows).round())
            ),
            false => format!(
                "not simulated: one outage in {:.0e} overflows it",
                1.0 / overflows
            ),
        };
        return;
    }
    let mut rng = seed::stream(1, &["plan", "loss"]);
    let got = numeric::on_off(&line, buffer, 0.0, cycles as u64, &mut rng);
    if (got.overflows as f64) < OVERFLOWS_MIN {
        answer.simulated_how = format!("{} overflows are too few to tell", got.overflows);
        return;
    }
    answer.simulated = Some(got.loss());
    answer.simulated_how = format!(
        "{} outages, {} overflows, {} from the form",
        human::count(cycles.round()),
        human::count(got.overflows as f64),
        human::deviation(got.loss() / form - 1.0)
    );
}

/// One store through one short outage; what it measured, put into the forms.
fn packets(plan: &mut Plan, q: &Question) -> Result<(), String> {
    let (outage, seconds) = match shorter(q) {
        Some(fits) => fits,
        None => {
            plan.notes.push(
                "no store was simulated: with this line no recovery ends within 45 min".into(),
            );
            return Ok(());
        }
    };
    let folder = Folder::new()?;
    let file = folder.0.join("plan.toml");
    let write = |name: &Path, text: &str| {
        fs::write(name, text).map_err(|e| format!("write {}: {e}", name.display()))
    };
    write(&folder.0.join("store.toml"), TEMPLATE)?;
    write(&file, &text(q, outage, seconds))?;
    let result = run(&file)?;
    let oracle = result
        .oracles
        .first()
        .ok_or("the simulated store has no oracle")?;
    use_figures(plan, q, oracle, outage)
}

/// An outage whose recovery is short enough, with the simulated seconds after it.
fn shorter(q: &Question) -> Option<(f64, f64)> {
    [OUTAGE_MAX, 300.0, 120.0]
        .into_iter()
        .map(|d| d.min(q.duration().max(60.0)))
        .find_map(|d| {
            let short = Question {
                outage: Some(d),
                ..*q
            };
            // Twice the ratio, and a little: compression may be half as good as declared.
            let slow = super::Store {
                compression_ratio: q.store.compression_ratio / 2.0,
                ..q.store
            };
            let c = q.drain();
            let worst = Question {
                store: slow,
                share: Some(c / q.line),
                ..short
            };
            let seconds = worst.recovery().ok()? + 300.0;
            (seconds <= RECOVERY_MAX).then_some((d, seconds))
        })
}

fn text(q: &Question, outage: f64, after: f64) -> String {
    let mut text = format!(
        "schema = 1\nname = \"plan\"\ndescription = \"the simulated side of a plan\"\nuse = [\"store.toml\"]\nseed = 1\n\
         start = \"2025-03-14T11:55:00-05:00\"\nwarmup = \"3m\"\nduration = \"{:.0}s\"\n\
         [[fault]]\nid = \"outage\"\nkind = \"link.down\"\non = \"uplink\"\nat = \"+10m\"\nfor = \"{outage:.0}s\"\n\
         [[oracle]]\nid = \"fluid\"\nmodel = \"fluid_recovery\"\nfault = \"outage\"\n\
         observe = \"recovery(telemetry.backlog, below=256KiB)\"\ntolerance = \"8%\"\n\
         [link.uplink]\nup = \"{:.0}bit/s\"\n[traffic.telemetry]\nrate = \"{:.0}B/s\"\n\
         [collector]\nsend = {{ max_rate = \"{:.0}bit/s\" }}\n",
        600.0 + outage + after,
        q.line * 8.0,
        q.store.telemetry_bytes_per_second,
        q.drain() * 8.0,
    );
    for (node, count) in q.store.nodes {
        text.push_str(&format!("[node.{node}]\ncount = {count}\n"));
    }
    text
}

fn run(file: &Path) -> Result<RunResult, String> {
    let loaded = scenario::load(file, &[]).map_err(|report| {
        let errors: Vec<String> = report.list.iter().map(|d| d.title.clone()).collect();
        format!("the simulated store is refused: {}", errors.join("; "))
    })?;
    let job = Job {
        file: file.to_owned(),
        sets: Vec::new(),
        options: Options::default(),
        strict: false,
        timeout: None,
        memory_max: None,
        said: None,
    };
    let task = Task {
        job: 0,
        seed: 1,
        keep_in: None,
    };
    let ends = pool::run(&[job], &[task], 1, &Control::default(), &|_, end| {
        if let End::Ran(outcome) = end {
            outcome.plots = None;
        }
    });
    let ends = ends.map_err(|e| format!("simulate a store: {e}"))?;
    let outcome = match ends.into_iter().next() {
        Some((_, End::Ran(outcome))) => *outcome,
        Some((_, End::Failed(failure))) => {
            return Err(format!("simulate a store: {}", failure.message));
        }
        None => return Err("simulate a store: it was stopped".into()),
    };
    let asked = Asked {
        seeds_planned: 1,
        ..Asked::default()
    };
    Ok(merge::merge(&loaded.scenario, &asked, &[outcome], &[], &[]))
}

/// What the run measured, in the place of what was assumed.
fn use_figures(plan: &mut Plan, q: &Question, oracle: &Oracle, outage: f64) -> Result<(), String> {
    let input = |name: &str| {
        oracle
            .inputs
            .iter()
            .find(|i| i.name == name)
            .map(|i| i.value)
    };
    let (Some(a), Some(overhead), Some(t0), Some(deviation)) = (
        input("a"),
        input("wire over body"),
        input("t0"),
        oracle.deviation,
    ) else {
        return Err(format!(
            "the simulated store gave no answer: {}",
            oracle.notes.join("; ")
        ));
    };
    let (d, c) = (q.duration(), q.drain());
    let how = format!(
        "1 store, {} of outage: a = {}/s stored, {} from the form",
        human::span(outage),
        human::bytes(a / overhead),
        human::deviation(deviation)
    );
    for answer in &mut plan.answers {
        let simulated = match answer.id.as_str() {
            "buffer-disk" => Some(a / overhead * (d + t0)),
            "outage-survived" => q.disk.map(|disk| (disk / (a / overhead) - t0).max(0.0)),
            "line-share" => q
                .target
                .filter(|target| *target > t0)
                .map(|target| (a + a * (d + t0) / (target - t0)) / q.line),
            "recovery" if c > a => Some((t0 + a * (d + t0) / (c - a)) * (1.0 + deviation)),
            _ => None,
        };
        let Some(value) = simulated else { continue };
        answer.simulated = Some(value);
        answer.simulated_how.clone_from(&how);
        // Against the worse of the two: a plan that holds on paper alone is none.
        let margin = match answer.id.as_str() {
            "buffer-disk" => Some(q.buffer() / value - 1.0),
            "line-share" => Some(1.0 / value - 1.0),
            "recovery" => q.target.map(|target| (target - value) / target),
            _ => None,
        };
        if let (Some(on_paper), Some(simulated)) = (answer.margin, margin) {
            answer.margin = Some(on_paper.min(simulated));
        }
    }
    plan.notes.push(format!(
        "the simulated store compresses {0:.1} times, {1} are assumed; `--ratio {0:.1}` plans with what was simulated",
        q.store.telemetry_bytes_per_second / (a / overhead),
        human::count(q.store.compression_ratio)
    ));
    Ok(())
}

/// A folder for the time of a run.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("backroom-plan-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|e| format!("create {}: {e}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays costs a few kilobytes, not the plan.
        let _ = fs::remove_dir_all(&self.0);
    }
}
