//! What a run looked like over time: the series that plots are made of, for a few seeds, and sums over all of them.
//!
//! Bounded whatever the run was: at most [`SEEDS_MAX`] seeds, [`POINTS_MAX`] points in a track, [`BANDS_MAX`] stretches of faults. Written as
//! `series.json` beside the result; the result stands without it. A series may be cut down, never a verdict. Nothing here
//! knows how a series is computed. Next to read: `lttb`, how points are left out; `html`, how they are drawn.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Moment, Unit, lttb};

/// 8: the first seed, and the worst one of each question that failed, fit; a page with all of them stays below 2 MB.
pub const SEEDS_MAX: usize = 8;

/// 400: a plot is 700 units wide, so more of them fall on one another.
pub const POINTS_MAX: usize = 400;

/// 300: a line that flaps for a day shows as a pattern; what is left out is counted.
pub const BANDS_MAX: usize = 300;

/// 24 plots of a seed: a store with two lines has ten.
pub const PLOTS_MAX: usize = 24;

/// Series of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunSeries {
    /// Version of this type: the result's.
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// Where virtual time begins.
    pub clock: Clock,
    /// The seeds that are kept, in order.
    pub seeds: Vec<SeedSeries>,
    /// Seeds that were run and are not kept here.
    pub seeds_left_out: usize,
    /// Latencies by phase, of all seeds together.
    pub latencies: Vec<Latency>,
    /// What the links carried; mean of all seeds.
    pub links: Vec<LinkUse>,
    /// Data allowances and how much of them was used, in the seed that used most.
    pub allowances: Vec<Allowance>,
}

/// Where virtual time begins, and how long it lasts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// Store-local time of virtual time zero, RFC 3339.
    pub start: String,
    /// The same as seconds since midnight.
    pub start_of_day_seconds: f64,
    /// Seconds until judging begins.
    pub warmup_seconds: f64,
    /// Length of the run in seconds.
    pub duration_seconds: f64,
}

/// One seed over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeedSeries {
    /// The seed.
    pub seed: u64,
    /// Why it is kept, such as `first` or `worst of caught-up-in-10-min`.
    pub why: Vec<String>,
    /// When faults were active, in time order.
    pub bands: Vec<Band>,
    /// Stretches of faults beyond [`BANDS_MAX`].
    pub bands_left_out: usize,
    /// What happened when.
    pub moments: Vec<Moment>,
    /// The instant at which each expectation was decided, where there is one.
    pub spots: Vec<Spot>,
    /// The plots, in the order in which they are shown.
    pub plots: Vec<Plot>,
}

/// A stretch in which a fault was active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Band {
    /// Id of the fault.
    pub fault: String,
    /// Virtual seconds.
    pub start_seconds: f64,
    /// Virtual seconds; the end of the run for a fault that outlasts it.
    pub end_seconds: f64,
}

/// Where an expectation was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spot {
    /// Id of the expectation.
    pub expectation: String,
    /// Virtual seconds.
    pub at_seconds: f64,
    /// Store-local time of day.
    pub clock: String,
}

/// Tracks that share their axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plot {
    /// A name for machines, such as `backlog`.
    pub id: String,
    /// A name for people.
    pub title: String,
    /// Unit of the vertical axis.
    pub unit: Unit,
    /// What else a reader should know; may be empty.
    pub note: String,
    /// What is drawn.
    pub tracks: Vec<Track>,
}

/// One line of a plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Track {
    /// Its name in the legend.
    pub name: String,
    /// How points are joined.
    pub shape: Shape,
    /// Whether it is a closed form, drawn dashed.
    pub is_theory: bool,
    /// (virtual seconds, value), seconds never decreasing, at most [`POINTS_MAX`] and two.
    pub points: Vec<(f64, f64)>,
    /// Points before any were left out.
    pub points_seen: u64,
    /// Points that were not numbers, and were left out.
    pub not_finite: u64,
}

/// How points are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Straight from one to the next.
    Line,
    /// A value holds until the next one.
    Step,
}

/// When a sample began, seen from the faults.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// While a fault was active.
    During,
    /// After one, for as long as it had lasted, until the next one.
    After,
    /// At any other time.
    Outside,
}

impl Phase {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::During => "during faults",
            Self::After => "after faults",
            Self::Outside => "outside faults",
        }
    }
}

/// A latency in one phase, of all seeds together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Name of the metric.
    pub metric: String,
    /// The phase.
    pub phase: Phase,
    /// Samples.
    pub samples: u64,
    /// (fraction, seconds), fractions increasing; values are kept to 0.4 %.
    pub quantiles: Vec<(f64, f64)>,
    /// The largest, seconds; `None` if there was no sample.
    pub max_seconds: Option<f64>,
}

/// What one direction of a link did for one class; mean of all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkUse {
    /// Name of the link.
    pub link: String,
    /// `up` or `down`.
    pub direction: String,
    /// Name of the class; empty for traffic without one.
    pub class: String,
    /// Bytes on the wire in a run.
    pub bytes: f64,
    /// Packets lost or refused in a run.
    pub packets_lost: f64,
}

/// A data allowance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Allowance {
    /// Name of the link.
    pub link: String,
    /// Bytes allowed in a period.
    pub bytes: f64,
    /// Length of the period in seconds.
    pub period_seconds: f64,
    /// Bytes used in the first period of the run, by the seed that used most.
    pub bytes_used: f64,
    /// That seed.
    pub seed: u64,
}

impl Track {
    /// A track of any length, cut down to [`POINTS_MAX`]; the lowest and the highest point are kept, and what is not a
    /// number is left out and counted. `points` in time order.
    pub fn new(name: impl Into<String>, shape: Shape, points: &[(f64, f64)]) -> Self {
        let finite: Vec<(f64, f64)> = points
            .iter()
            .copied()
            .filter(|(at, value)| at.is_finite() && value.is_finite())
            .collect();
        let not_finite = (points.len() - finite.len()) as u64;
        let kept = lttb::down_sample(&finite, POINTS_MAX);
        Self {
            name: name.into(),
            shape,
            is_theory: false,
            points: kept
                .into_iter()
                .map(|(at, value)| (tidy(at, 9), tidy(value, 6)))
                .collect(),
            points_seen: points.len() as u64,
            not_finite,
        }
    }

    /// The same, as a closed form.
    pub fn theory(self) -> Self {
        Self {
            is_theory: true,
            ..self
        }
    }

    /// The lowest and the highest point; `None` if there is none.
    pub fn extremes(&self) -> Option<((f64, f64), (f64, f64))> {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let low = self.points.iter().min_by(by_value)?;
        // The first of equal ones, as `min_by` has it.
        let high = self.points.iter().rev().max_by(by_value)?;
        Some((*low, *high))
    }
}

/// `digits` significant ones: more would only make files larger.
fn tidy(value: f64, digits: usize) -> f64 {
    let text = format!("{value:.*e}", digits.saturating_sub(1));
    text.parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_left_out_and_counted() {
        let points = [
            (0.0, 1.0),
            (1.0, f64::NAN),
            (2.0, f64::INFINITY),
            (f64::NAN, 3.0),
            (4.0, 1.234_567_89),
        ];
        let track = Track::new("x", Shape::Line, &points);
        assert_eq!(track.points, [(0.0, 1.0), (4.0, 1.234_57)]);
        assert_eq!((track.points_seen, track.not_finite), (5, 3));
        assert_eq!(track.extremes(), Some(((0.0, 1.0), (4.0, 1.234_57))));
        let empty = Track::new("x", Shape::Line, &[]);
        assert_eq!((empty.extremes(), empty.points.len()), (None, 0));
    }

    #[test]
    fn a_million_points_are_bounded_and_the_spike_stays() {
        let points: Vec<(f64, f64)> = (0..1_000_000)
            .map(|n| {
                let value = f64::from(n % 1000) + if n == 700_001 { 1e6 } else { 0.0 };
                (f64::from(n), value)
            })
            .collect();
        let track = Track::new("x", Shape::Line, &points);
        assert!(
            track.points.len() <= POINTS_MAX + 2,
            "{}",
            track.points.len()
        );
        let (_, high) = track.extremes().expect("there are points");
        assert_eq!(high.0, 700_001.0);
        assert_eq!(track.points_seen, 1_000_000);
    }
}
