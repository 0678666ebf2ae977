//! Lanes: what is fresh, what is backlog, and what a destination would refuse as too old.
//!
//! A batch is in one lane at any instant, by the births of its items and the clock alone: nothing is stored, so a restart or a
//! changed configuration cannot take one lane for another. Time moves a batch from live to backfill, and from there to
//! late. Which lane goes next is decided in `spool::turns`, how many requests of which may be under way in `destination`.

use std::time::Duration;

/// What a batch is to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Its youngest item is younger than `send.live_window`.
    Live,
    /// Everything else.
    Backfill,
    /// Its oldest item is older than what the destination takes.
    Late,
}

/// Which lanes a request may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Whichever is due.
    Any,
    /// Live, if there is any; whichever is due otherwise. A probe that gets through has then brought what is fresh.
    LiveFirst,
    /// Live only: as many requests as may carry the backlog do.
    LiveOnly,
}

/// Where lanes begin, as births in unix nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// A batch is live whose youngest item was born at or after this.
    pub live: u64,
    /// A batch is late whose oldest item was born before this.
    pub late: u64,
}

/// Births of items in several batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Births {
    /// The oldest item of all.
    pub oldest: u64,
    /// The youngest item of all.
    pub youngest: u64,
    /// Of the oldest items of each batch, the youngest.
    pub youngest_start: u64,
    /// Of the youngest items of each batch, the oldest.
    pub oldest_end: u64,
}

impl Cuts {
    /// Those of now. No window is no live lane, no limit no late lane.
    pub fn at(unix_now: u64, live_window: Option<Duration>, age_max: Option<Duration>) -> Self {
        let before = |age: Duration| {
            let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
            unix_now.saturating_sub(age)
        };
        Self {
            live: live_window.map_or(u64::MAX, before),
            late: age_max.map_or(0, before),
        }
    }

    /// The lane of a batch whose items were born between these instants.
    pub fn lane(&self, born_min: u64, born_max: u64) -> Lane {
        if born_min < self.late {
            Lane::Late
        } else if born_max >= self.live {
            Lane::Live
        } else {
            Lane::Backfill
        }
    }

    /// Whether any of several batches may be in a lane. Never wrong when it says no.
    pub fn may_be_in(&self, lane: Lane, births: &Births) -> bool {
        let is_in_time = births.youngest_start >= self.late;
        match lane {
            Lane::Live => is_in_time && births.youngest >= self.live,
            Lane::Backfill => is_in_time && births.oldest_end < self.live,
            Lane::Late => births.oldest < self.late,
        }
    }
}

impl Default for Births {
    /// Those of no batch.
    fn default() -> Self {
        Self {
            oldest: u64::MAX,
            youngest: 0,
            youngest_start: 0,
            oldest_end: u64::MAX,
        }
    }
}

impl Births {
    /// One batch more.
    pub fn add(&mut self, born_min: u64, born_max: u64) {
        self.oldest = self.oldest.min(born_min);
        self.youngest = self.youngest.max(born_max);
        self.youngest_start = self.youngest_start.max(born_min);
        self.oldest_end = self.oldest_end.min(born_max);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A lane that some batch is in is never ruled out, and age moves batches one way only.
        #[test]
        fn a_lane_is_never_overlooked(
            batches in prop::collection::vec((0..100_u64, 0..20_u64), 1..8),
            now in 0..200_u64, window in 0..60_u64, age_max in 0..120_u64, later in 0..50_u64,
        ) {
            let cuts = |now| Cuts::at(now, Some(Duration::from_nanos(window)), Some(Duration::from_nanos(age_max)));
            let mut births = Births::default();
            for (start, span) in &batches {
                births.add(*start, start + span);
            }
            for (start, span) in batches {
                let lane = cuts(now).lane(start, start + span);
                prop_assert!(cuts(now).may_be_in(lane, &births), "{lane:?} {births:?}");
                prop_assert!(cuts(now + later).lane(start, start + span) >= lane);
            }
        }
    }

    #[test]
    fn without_window_and_limit_all_is_backfill() {
        let cuts = Cuts::at(1000, None, None);
        assert_eq!(cuts.lane(0, 1000), Lane::Backfill);
        assert_eq!(cuts.lane(0, u64::MAX - 1), Lane::Backfill);
    }
}
