//! How far a search is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use backroom_reports::human;

use super::{
    Terminal,
    progress::{COUNTED, How, LINE_EVERY, Progress, bar},
};
use crate::search::{check::Check, shrink::Size};

/// Progress of one search.
pub(super) struct Hunt {
    how: How,
    name: String,
    cases: Option<u64>,
    budget: Option<Duration>,
    began: Instant,
    so_far: Mutex<SoFar>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SoFar {
    ended: u64,
    failing: u64,
    told_at: Duration,
}

impl Hunt {
    pub(super) fn new(
        how: Progress,
        terminal: Terminal,
        name: &str,
        cases: Option<u64>,
        budget: Option<Duration>,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "how long the search takes for real"
        )]
        let began = Instant::now();
        Self {
            how: How::new(how, terminal, || {
                let shape = match cases {
                    Some(_) => COUNTED,
                    None => "{prefix}  {spinner}  {pos} cases  {elapsed}  {msg}",
                };
                bar(cases, shape, name.to_owned())
            }),
            name: name.to_owned(),
            cases,
            budget,
            began,
            so_far: Mutex::default(),
        }
    }

    /// Wall-clock time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().expect("no panic while it is held")
    }

    /// A case has ended; `what` tells of it.
    pub(super) fn case(&self, failed: bool, what: &str) {
        let elapsed = self.elapsed();
        let mut so_far = self.so_far();
        so_far.ended += 1;
        so_far.failing += u64::from(failed);
        match &self.how {
            How::Bar(bar) => {
                bar.set_message(format!("{} failing", so_far.failing));
                bar.inc(1);
            }
            How::Lines => eprintln!("{what}"),
            How::Summary if elapsed >= so_far.told_at + LINE_EVERY => {
                so_far.told_at = elapsed;
                eprintln!("{}: {}", self.name, self.state(&so_far, elapsed));
            }
            How::Summary | How::Nothing => {}
        }
    }

    fn state(&self, so_far: &SoFar, elapsed: Duration) -> String {
        let each = elapsed.as_secs_f64() / so_far.ended.max(1) as f64;
        let by_cases = self
            .cases
            .map(|all| each * all.saturating_sub(so_far.ended) as f64);
        let by_time = self
            .budget
            .map(|all| all.saturating_sub(elapsed).as_secs_f64());
        let left = match (by_cases, by_time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let of = self
            .cases
            .map_or_else(String::new, |all| format!(" of {all}"));
        let left = left.map_or_else(String::new, |left| {
            format!(", about {} left", human::seconds(left))
        });
        format!(
            "{}{of} cases, {} failing{left}",
            so_far.ended, so_far.failing
        )
    }

    /// A failure has become smaller.
    pub(super) fn smaller(&self, check: &Check, size: &Size, runs_left: usize) {
        let elapsed = self.elapsed();
        let text = format!("shrinking {check}: {size}; at most {runs_left} runs left");
        match &self.how {
            How::Bar(bar) => bar.set_message(text),
            How::Lines => eprintln!("{text}"),
            How::Summary => {
                let mut so_far = self.so_far();
                if elapsed >= so_far.told_at + LINE_EVERY {
                    so_far.told_at = elapsed;
                    eprintln!("{}: {text}", self.name);
                }
            }
            How::Nothing => {}
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&self) {
        self.how.clear();
    }
}
