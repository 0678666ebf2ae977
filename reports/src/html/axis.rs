//! Axes: where a value stands, and the round numbers that are written beside it.
//!
//! Ticks are at values that people count in: 1, 2 and 5 times a power of ten for bytes and rates, and the steps of a clock for times.

use crate::{Clock, Unit, human};

/// Width of a plot in units of its own, and what its axes take of it. On a screen of 800 pixels a unit is a pixel.
pub(super) const WIDTH: f64 = 800.0;
/// 66: the widest labels are `1,234,567` and `900kbit/s`.
pub(super) const LEFT: f64 = 66.0;
/// Half a label of the time axis.
pub(super) const RIGHT: f64 = 22.0;

/// The horizontal axis of all plots of a page.
#[derive(Clone, Debug)]
pub(super) struct Time {
    start_of_day: f64,
    end: f64,
}

/// Steps of a clock, seconds.
const STEPS: [f64; 20] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0, 604_800.0,
];

/// 9 labels of 60 units fit with room between them.
const TICKS_MAX: f64 = 9.0;

const DAY: f64 = 86_400.0;

impl Time {
    pub(super) fn new(clock: &Clock) -> Self {
        let end = clock.duration_seconds;
        let start = clock.start_of_day_seconds;
        Self {
            start_of_day: if start.is_finite() { start } else { 0.0 },
            // A run of no length still has an axis.
            end: if end.is_finite() && end > 0.0 {
                end
            } else {
                1.0
            },
        }
    }

    pub(super) fn end(&self) -> f64 {
        self.end
    }

    /// Where an instant stands; outside the run: at its end.
    pub(super) fn x(&self, seconds: f64) -> f64 {
        let inside = seconds.clamp(0.0, self.end);
        LEFT + (WIDTH - LEFT - RIGHT) * inside / self.end
    }

    /// Round times of day: (virtual seconds, label).
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let fits = |step: &&f64| self.end / **step <= TICKS_MAX;
        let last = STEPS[STEPS.len() - 1];
        let step = STEPS
            .iter()
            .find(fits)
            .copied()
            .unwrap_or_else(|| last * (self.end / last / TICKS_MAX).ceil());
        // Ticks are round on the store's clock, not since the start.
        let first = (self.start_of_day / step).ceil() * step - self.start_of_day;
        let mut out = Vec::new();
        let mut at = first;
        while at <= self.end {
            out.push((at, self.label(at, step)));
            at += step;
        }
        out
    }

    fn label(&self, at: f64, step: f64) -> String {
        let of_day = (self.start_of_day + at).round();
        let day = (of_day / DAY).floor();
        let (h, m, s) = (
            (of_day % DAY / 3600.0).floor(),
            (of_day % 3600.0 / 60.0).floor(),
            of_day % 60.0,
        );
        let several = self.start_of_day + self.end > DAY;
        match () {
            () if step >= DAY => format!("day {}", day + 1.0),
            () if step < 60.0 => format!("{h:02}:{m:02}:{s:02}"),
            () if several && h == 0.0 && m == 0.0 => format!("day {}", day + 1.0),
            () => format!("{h:02}:{m:02}"),
        }
    }

    /// A time of day for a reader, to the second; with the day where there are several.
    pub(super) fn clock(&self, at: f64) -> String {
        let of_day = (self.start_of_day + at).floor();
        let (h, m, s) = (
            (of_day % DAY / 3600.0).floor(),
            (of_day % 3600.0 / 60.0).floor(),
            of_day % 60.0,
        );
        match self.start_of_day + self.end > DAY {
            true => format!("day {} {h:02}:{m:02}:{s:02}", (of_day / DAY).floor() + 1.0),
            false => format!("{h:02}:{m:02}:{s:02}"),
        }
    }
}

/// The vertical axis of one plot.
#[derive(Clone, Debug)]
pub(super) struct Value {
    low: f64,
    high: f64,
    step: f64,
    unit: Unit,
}

impl Value {
    /// An axis from zero, or from below it, to a round number above the largest value.
    pub(super) fn new(unit: Unit, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|v| v.is_finite())
            .fold((0.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        let span = if high > low { high - low } else { 1.0 };
        let step = round_step(unit, span / 4.0);
        Self {
            low: (low / step).floor() * step,
            high: ((high.max(low + span) / step).ceil() * step).max(step),
            step,
            unit,
        }
    }

    /// Where a value stands between `top` and `bottom`.
    pub(super) fn y(&self, value: f64, top: f64, bottom: f64) -> f64 {
        bottom - (bottom - top) * (value - self.low) / (self.high - self.low)
    }

    /// (value, label), from below.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count.min(12))
            .map(|n| {
                let value = self.low + self.step * n as f64;
                // 0.30000000000000004 is not round.
                let value = (value / self.step).round() * self.step;
                (value, label(self.unit, value))
            })
            .collect()
    }
}

/// Short: `0`, not `0B`.
fn label(unit: Unit, value: f64) -> String {
    match value {
        0.0 => "0".into(),
        _ if unit == Unit::Seconds => human::seconds(value),
        _ => unit.show(value),
    }
}

/// The smallest round step that is not below `least`.
fn round_step(unit: Unit, least: f64) -> f64 {
    if unit == Unit::Seconds && least > 20.0 {
        let found = STEPS.iter().find(|step| **step >= least);
        if let Some(step) = found {
            return *step;
        }
    }
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|m| m * power >= least * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0) * power;
    // Half an order, half a switch: counts have whole ticks.
    if unit == Unit::Count {
        step.max(1.0)
    } else {
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(start: f64, duration: f64) -> Clock {
        Clock {
            start_of_day_seconds: start,
            duration_seconds: duration,
            ..Clock::default()
        }
    }

    #[test]
    fn time_has_round_ticks() {
        let check = |start, duration, expect: &[&str]| {
            let axis = Time::new(&clock(start, duration));
            let labels: Vec<String> = axis.ticks().into_iter().map(|(_, l)| l).collect();
            assert_eq!(labels, expect);
        };
        let noon = 41_400.0;
        check(
            noon,
            5400.0,
            &[
                "11:30", "11:40", "11:50", "12:00", "12:10", "12:20", "12:30", "12:40", "12:50",
                "13:00",
            ],
        );
        check(
            noon,
            20.0,
            &["11:30:00", "11:30:05", "11:30:10", "11:30:15", "11:30:20"],
        );
        check(
            72_000.0,
            28_800.0,
            &[
                "20:00", "21:00", "22:00", "23:00", "day 2", "01:00", "02:00", "03:00", "04:00",
            ],
        );
        check(
            21_600.0,
            14.0 * DAY,
            &[
                "day 3", "day 5", "day 7", "day 9", "day 11", "day 13", "day 15",
            ],
        );
        // A run of no length, and figures that are none.
        check(0.0, 0.0, &["00:00:00", "00:00:01"]);
        check(f64::NAN, f64::NAN, &["00:00:00", "00:00:01"]);
        assert!(Time::new(&clock(0.0, 1e12)).ticks().len() <= 11);
    }

    #[test]
    fn values_have_round_ticks() {
        let check = |unit, values: &[f64], expect: &[&str]| {
            let axis = Value::new(unit, values.iter().copied());
            let labels: Vec<String> = axis.ticks().into_iter().map(|(_, l)| l).collect();
            assert_eq!(labels, expect, "{values:?}");
        };
        check(Unit::Bytes, &[5.4e6], &["0", "2MB", "4MB", "6MB"]);
        check(Unit::Count, &[], &["0", "1"]);
        check(Unit::Count, &[1.0, 0.0], &["0", "1"]);
        check(Unit::Seconds, &[0.214], &["0", "100ms", "200ms", "300ms"]);
        check(Unit::Seconds, &[380.0], &["0", "2m", "4m", "6m", "8m"]);
        check(
            Unit::BitsPerSecond,
            &[250_000.0, f64::NAN],
            &["0", "100kbit/s", "200kbit/s", "300kbit/s"],
        );
    }
}
