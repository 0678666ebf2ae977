//! When an expectation is judged: the window as it is written, as stretches of virtual time.
//!
//! The warm-up is cut off every window. A window that ends with the run includes its last instant, and what happens in the
//! settle phase counts as happening then. Half-open otherwise, so that neighbours share nothing.

use std::time::Duration;

use crate::scenario::{Scenario, expr::Window};

/// A stretch of virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first instant.
    pub start: Duration,
    /// Its end, which belongs to it only if it is the end of the run.
    pub end: Duration,
}

impl Stretch {
    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end - self.start).as_secs_f64()
    }
}

/// The stretches of a window, in time order, none empty. Empty if it never happens in this run.
pub fn stretches(window: &Window, scenario: &Scenario) -> Vec<Stretch> {
    let whole = Stretch {
        start: scenario.warmup,
        end: scenario.duration,
    };
    let all = match window {
        Window::During { fault, from, len } => occurrences(scenario, fault)
            .map(|(start, end)| {
                let start = start + *from;
                let end = end.unwrap_or(scenario.duration);
                Stretch {
                    start,
                    end: len.map_or(end, |len| end.min(start + len)),
                }
            })
            .collect(),
        Window::After { fault, len } => {
            let starts: Vec<Duration> = occurrences(scenario, fault)
                .map(|(start, _)| start)
                .collect();
            occurrences(scenario, fault)
                .enumerate()
                .filter_map(|(index, (_, end))| {
                    let start = end?;
                    // What comes after the next occurrence is after that one.
                    let next = starts.get(index + 1).copied().unwrap_or(scenario.duration);
                    Some(Stretch {
                        start,
                        end: len.map_or(next, |len| next.min(start + len)),
                    })
                })
                .collect()
        }
        Window::Between { start, end, except } => days(*start, *end, scenario.duration)
            .flat_map(|day| {
                let gaps = except.iter().flat_map(|fault| occurrences(scenario, fault));
                without(day, gaps, scenario.duration)
            })
            .collect(),
        Window::OutsideFaults => {
            let gaps = scenario
                .faults
                .iter()
                .flat_map(|f| f.windows.iter().map(|w| (w.start, w.end)));
            without(whole, gaps, scenario.duration)
        }
        Window::WholeRun | Window::AtEnd => vec![whole],
    };
    all.into_iter()
        .map(|s| Stretch {
            start: s.start.max(whole.start),
            end: s.end.min(whole.end),
        })
        .filter(|s| s.start < s.end)
        .collect()
}

/// Whether an instant lies in one of them; `end` is the end of the run.
pub fn contain(stretches: &[Stretch], at: Duration, end: Duration) -> bool {
    let at = at.min(end);
    let index = stretches.partition_point(|s| s.start <= at);
    index > 0 && (at < stretches[index - 1].end || (at == end && stretches[index - 1].end == end))
}

/// As `explain` writes it.
pub fn text(window: &Window, scenario: &Scenario) -> String {
    let span = |d: &Duration| backroom_reports::human::span(d.as_secs_f64());
    match window {
        Window::During { fault, from, len } => {
            let mut text = format!("during {fault}");
            if !from.is_zero() {
                text.push_str(&format!(" from +{}", span(from)));
            }
            if let Some(len) = len {
                text.push_str(&format!(" for {}", span(len)));
            }
            text
        }
        Window::After { fault, len: None } => format!("after {fault}"),
        Window::After {
            fault,
            len: Some(len),
        } => format!("after {fault} for {}", span(len)),
        Window::Between { start, end, except } => {
            let mut text = format!(
                "between {} and {}",
                clock(scenario, *start),
                clock(scenario, *end)
            );
            if !except.is_empty() {
                text.push_str(&format!(" except {}", except.join(", ")));
            }
            text
        }
        Window::OutsideFaults => "outside faults".into(),
        Window::WholeRun => "whole run".into(),
        Window::AtEnd => "at end".into(),
    }
}

/// Store-local time of day: `12:05`, with seconds where they are not zero.
pub fn clock(scenario: &Scenario, at: Duration) -> String {
    let Ok(time) = scenario.start.checked_add(at) else {
        return format!("+{}", backroom_reports::human::seconds(at.as_secs_f64()));
    };
    match time.second() {
        0 => time.strftime("%H:%M").to_string(),
        _ => time.strftime("%H:%M:%S").to_string(),
    }
}

/// When a fault happens, in time order; nothing if there is no such fault.
fn occurrences(
    scenario: &Scenario,
    fault: &str,
) -> impl Iterator<Item = (Duration, Option<Duration>)> {
    let found = scenario.faults.iter().find(move |f| f.id == fault);
    found
        .into_iter()
        .flat_map(|f| f.windows.iter().map(|w| (w.start, w.end)))
}

/// One stretch a day, from the day before the first one: a run may start within it. Where clocks change, by 24 hours all the same.
fn days(start: Duration, end: Duration, end_of_run: Duration) -> impl Iterator<Item = Stretch> {
    const DAY: Duration = Duration::from_secs(86_400);
    let before = end.checked_sub(DAY).map(|end| Stretch {
        start: start.saturating_sub(DAY),
        end,
    });
    let one = move |n: u32| {
        let by = DAY.checked_mul(n)?;
        let start = start.checked_add(by).filter(|start| *start < end_of_run)?;
        Some(Stretch {
            start,
            end: end.checked_add(by)?,
        })
    };
    before.into_iter().chain((0..).map_while(one))
}

fn without(
    whole: Stretch,
    gaps: impl Iterator<Item = (Duration, Option<Duration>)>,
    end_of_run: Duration,
) -> Vec<Stretch> {
    let mut gaps: Vec<_> = gaps
        .map(|(start, end)| (start, end.unwrap_or(end_of_run)))
        .collect();
    gaps.sort_unstable();
    let (mut out, mut at) = (Vec::new(), whole.start);
    for (start, end) in gaps {
        if start > at {
            out.push(Stretch {
                start: at,
                end: start.min(whole.end),
            });
        }
        at = at.max(end);
    }
    out.push(Stretch {
        start: at,
        end: whole.end.max(at),
    });
    out
}
