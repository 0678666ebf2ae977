//! How far a run is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use backroom_reports::human;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Terminal;
use crate::run::pool::{End, Task};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Progress {
    /// A bar on a terminal, a line every ten seconds elsewhere.
    Auto,
    /// A bar.
    Bar,
    /// A line for each seed.
    Plain,
    /// Nothing.
    None,
}

/// 10 s: a log of an hour gets a screen of lines, not a book.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress of one run.
pub(super) struct Shown {
    how: How,
    names: Vec<String>,
    total: usize,
    began: Instant,
    so_far: Mutex<SoFar>,
}

/// How it is shown, once it is known whether there is a terminal.
pub(super) enum How {
    Bar(ProgressBar),
    /// Every line.
    Lines,
    /// A line every [`LINE_EVERY`].
    Summary,
    Nothing,
}

impl How {
    /// What was asked for, there; `bar` is made where there is one.
    pub(super) fn new(
        asked: Progress,
        terminal: Terminal,
        bar: impl FnOnce() -> ProgressBar,
    ) -> Self {
        match asked {
            Progress::Bar => Self::Bar(bar()),
            Progress::Auto if terminal.interactive => Self::Bar(bar()),
            Progress::Auto => Self::Summary,
            Progress::Plain => Self::Lines,
            Progress::None => Self::Nothing,
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A bar of this shape that moves by itself.
pub(super) fn bar(total: Option<u64>, shape: &str, prefix: String) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar.set_prefix(prefix);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar of so many, with the time that is left.
pub(super) const COUNTED: &str =
    "{prefix}  {pos}/{len}  {bar:24}  {elapsed}, about {eta} left  {msg}";

/// What has ended.
#[derive(Clone, Copy, Debug, Default)]
struct SoFar {
    ended: usize,
    simulated: f64,
    cpu: f64,
    told_at: Duration,
}

impl Shown {
    /// Progress of `total` seeds of the scenarios called `names`.
    pub(super) fn new(how: Progress, terminal: Terminal, names: &[String], total: usize) -> Self {
        #[expect(clippy::disallowed_methods, reason = "how long the run takes for real")]
        let began = Instant::now();
        Self {
            how: How::new(how, terminal, || {
                let first = names.first().cloned().unwrap_or_default();
                bar(Some(total as u64), COUNTED, first)
            }),
            names: names.to_vec(),
            total,
            began,
            so_far: Mutex::default(),
        }
    }

    /// Wall-clock time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Processor seconds of all seeds that have ended.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.so_far().cpu
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().expect("no panic while it is held")
    }

    /// A seed has ended.
    pub(super) fn ended(&self, task: &Task, end: &End) {
        let name = self.names.get(task.job).map_or("", String::as_str);
        let elapsed = self.elapsed();
        let mut so_far = self.so_far();
        so_far.ended += 1;
        if let End::Ran(outcome) = end {
            so_far.simulated += outcome.cost.virtual_seconds;
            so_far.cpu += outcome.cost.cpu_seconds;
        }
        let times = so_far.simulated / elapsed.as_secs_f64().max(1e-9);
        let speed = format!("{}× real time", human::ratio(times));
        match &self.how {
            How::Bar(bar) => {
                bar.set_prefix(name.to_owned());
                bar.set_message(speed);
                bar.inc(1);
            }
            How::Lines => eprintln!("{}", line(name, self.names.len(), task, end)),
            How::Summary if elapsed >= so_far.told_at + LINE_EVERY => {
                so_far.told_at = elapsed;
                let left = self.total.saturating_sub(so_far.ended) as f64;
                let left = elapsed.as_secs_f64() / so_far.ended as f64 * left;
                eprintln!(
                    "{name}: {} of {} seeds, {speed}, about {} left",
                    so_far.ended,
                    self.total,
                    human::seconds(left)
                );
            }
            How::Summary | How::Nothing => {}
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&self) {
        self.how.clear();
    }
}

fn line(name: &str, names: usize, task: &Task, end: &End) -> String {
    let whose = match names {
        0 | 1 => String::new(),
        _ => format!("{name} "),
    };
    let seed = task.seed;
    match end {
        End::Ran(outcome) => format!(
            "{whose}seed {seed}: {} simulated in {}, trace {}",
            human::span(outcome.cost.virtual_seconds),
            human::seconds(outcome.cost.cpu_seconds),
            outcome.trace_hash
        ),
        End::Failed(failure) => {
            let what = failure.kind.as_str();
            format!("{whose}seed {seed} {what}: {}", failure.message)
        }
    }
}
