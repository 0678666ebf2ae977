//! The simulated side of a plan: does a store with these figures do what the closed forms say?
//!
//! Two small simulations. The line's outages over centuries, event by event, for what a buffer loses. And one store at packet
//! fidelity through one short outage: recovery is linear in the length of the outage, so ten minutes tell of two weeks; what it
//! measures is what the forms take for granted: the ratio of the real compression, overhead on the wire, `t0`, what a sale weighs on the
//! backup line, and how far the form is off.

use std::{
    fs,
    path::{Path, PathBuf},
};

use backroom_reports::{Plan, RunResult, Verdict, human};

use super::{DAY, MONTH, Question, caught_up_with, held, over};
use crate::{
    oracle::{fluid::overflow, numeric, outages::OnOff},
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

/// Ten minutes of outage and five after it, seconds: where no recovery ends soon enough, arrivals, overhead and `t0` are measured all the same.
const WITHOUT_END: (f64, f64) = (OUTAGE_MAX, 300.0);

/// 8 sales: of fewer the bytes of a mean sale are not told.
const SALES_MIN: f64 = 8.0;

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
    if q.drain() <= q.wire() {
        plan.notes.push(
            "no store was simulated: the line carries less than what arrives, so nothing is measured after an outage".into(),
        );
        return Ok(());
    }
    let (outage, seconds) = shorter(q).unwrap_or(WITHOUT_END);
    let folder = Folder::new()?;
    let file = folder.0.join("plan.toml");
    let write = |name: &Path, text: &str| {
        fs::write(name, text).map_err(|e| format!("write {}: {e}", name.display()))
    };
    write(&folder.0.join("store.toml"), TEMPLATE)?;
    write(&file, &text(q, outage, seconds))?;
    let result = run(&file)?;
    match Measured::of(&result, outage) {
        Ok(measured) => use_figures(plan, q, &measured),
        // Such as telemetry that compresses so badly that the line never drains it: an answer, not a failure of ours.
        Err(why) => plan.notes.push(format!(
            "{why}; telemetry may compress worse than {} times: plan with a smaller --ratio, a larger --share or a faster --line",
            human::count(q.store.compression_ratio)
        )),
    }
    Ok(())
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
         [[expect]]\nid = \"sales\"\nthat = \"count(order.booked) >= 0\"\nwindow = \"during outage\"\n\
         [[expect]]\nid = \"backup\"\nthat = \"sum(link.lte.bytes) >= 0B\"\nwindow = \"during outage\"\n\
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

/// What one short outage tells.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Seconds of that outage.
    outage: f64,
    /// Bytes per second on the wire.
    a: f64,
    /// Wire bytes over stored bytes.
    overhead: f64,
    /// Seconds until the line is used again.
    t0: f64,
    /// How far recovery is from the form, as a share of it; `None` if the run ended before it.
    deviation: Option<f64>,
    /// Sales that head office booked over the backup line.
    sales: f64,
    /// Bytes that the backup line carried meanwhile, both directions.
    backup_bytes: f64,
}

impl Measured {
    fn of(result: &RunResult, outage: f64) -> Result<Self, String> {
        let oracle = result
            .oracles
            .first()
            .ok_or("the simulated store has no oracle")?;
        let input = |name: &str| {
            let found = oracle.inputs.iter().find(|i| i.name == name);
            found.map(|i| i.value).ok_or_else(|| {
                format!(
                    "the simulated store gave no answer: {}",
                    oracle.notes.join("; ")
                )
            })
        };
        let seen = |id: &str| {
            let found = result.expectations.iter().find(|e| e.id == id);
            found.and_then(|e| e.value).unwrap_or(0.0)
        };
        let is_over = oracle.verdict != Verdict::Inconclusive;
        Ok(Self {
            outage,
            a: input("a")?,
            overhead: input("wire over body")?,
            t0: input("t0")?,
            deviation: oracle.deviation.filter(|_| is_over),
            sales: seen("sales"),
            backup_bytes: seen("backup"),
        })
    }

    /// `a` on disk, bytes per second.
    fn stored(&self) -> f64 {
        self.a / self.overhead
    }

    /// Bytes of a sale over the backup line; `None` of too few sales.
    fn sale(&self) -> Option<f64> {
        (self.sales >= SALES_MIN).then(|| self.backup_bytes / self.sales)
    }
}

/// The margin of an answer with this simulated value; `None` where it is compared with nothing.
type Margin = fn(&Question, f64) -> Option<f64>;

/// What the run measured, in the place of what was assumed.
fn use_figures(plan: &mut Plan, q: &Question, m: &Measured) {
    let (d, c) = (q.duration(), q.drain());
    let (a, stored, t0) = (m.a, m.stored(), m.t0);
    let short = human::span(m.outage);
    let telemetry = match m.deviation {
        Some(deviation) => format!(
            "1 store, {short} of outage: a = {}/s stored, {} from the form",
            human::bytes(stored),
            human::deviation(deviation)
        ),
        None => format!(
            "1 store, {short} of outage: a = {}/s stored, put into the form; the run ended before the recovery",
            human::bytes(stored)
        ),
    };
    let backup = match m.sale() {
        Some(sale) => format!(
            "{} sales over the backup line in {short} of outage, {} each",
            human::count(m.sales),
            human::bytes(sale)
        ),
        None => format!(
            "not simulated: {} sales in {short} of outage are too few to tell",
            human::count(m.sales)
        ),
    };
    let a_day = m.sale().map(|sale| q.backup_per_day(sale));
    let line = q.most();
    for answer in &mut plan.answers {
        let (simulated, margin, how): (Option<f64>, Margin, &str) = match answer.id.as_str() {
            "buffer-disk" => (
                Some(stored * (d + t0)),
                |q, v| over(q.buffer(), v),
                &telemetry,
            ),
            "lost-in-this-outage" => (
                q.disk.map(|disk| overflow(stored, d + t0, disk)),
                |_, _| None,
                &telemetry,
            ),
            "outage-survived" => (
                q.disk.map(|disk| held(disk, stored, t0)),
                |q, v| over(v, q.outage?),
                &telemetry,
            ),
            "outage-caught-up" => (
                q.target
                    .filter(|_| line > a)
                    .map(|target| caught_up_with(target, a, line, t0)),
                |_, _| None,
                &telemetry,
            ),
            "line-share" => (
                q.target
                    .filter(|target| *target > t0)
                    .map(|target| (a + a * (d + t0) / (target - t0)) / q.line),
                |_, v| over(1.0, v),
                &telemetry,
            ),
            "recovery" => (
                // Where the end was not seen, what was measured still tells more than what is declared.
                (c > a).then(|| {
                    (t0 + a * (d + t0) / (c - a)) * (1.0 + m.deviation.unwrap_or_default())
                }),
                |q, v| q.target.map(|target| (target - v) / target),
                &telemetry,
            ),
            "backup-in-this-outage" => (
                a_day.map(|bytes| bytes * d / DAY),
                |q, v| over(q.allowance(q.duration()), v),
                &backup,
            ),
            "backup-per-month" => (
                a_day.map(|bytes| bytes * MONTH / DAY * q.line_outages().unavailability()),
                |q, v| over(q.allowance(MONTH), v),
                &backup,
            ),
            _ => continue,
        };
        how.clone_into(&mut answer.simulated_how);
        let Some(value) = simulated else { continue };
        answer.simulated = Some(value);
        // Against the worse of the two: a plan that holds on paper alone is none.
        if let (Some(on_paper), Some(simulated)) = (answer.margin, margin(q, value)) {
            answer.margin = Some(on_paper.min(simulated));
        }
    }
    plan.notes.push(format!(
        "the simulated store compresses {0:.1} times, {1} are assumed; `--ratio {0:.1}` plans with what was simulated",
        q.store.telemetry_bytes_per_second / stored,
        human::count(q.store.compression_ratio)
    ));
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

#[cfg(test)]
mod tests;
