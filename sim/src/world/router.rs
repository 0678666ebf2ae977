//! Which line the store's router uses. Sans-IO.
//!
//! Probes of the primary line go in, the active line comes out: `fails` lost probes in a row, then the time to switch,
//! then the backup; back when the primary has answered for `stable_for`. What a probe is, and what happens to packets
//! while no line carries their class, is decided in `net`.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use crate::scenario::Failover;

/// The line in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Active {
    /// The primary line, with all classes.
    Primary,
    /// The backup line, with the allowed classes.
    Backup,
}

/// The router's state.
#[derive(Debug)]
pub(super) struct Router {
    plan: Failover,
    rng: ChaCha8Rng,
    active: Active,
    failed_in_a_row: u32,
    switch_at: Option<Duration>,
    well_since: Option<Duration>,
}

impl Router {
    /// A router on its primary line.
    pub(super) fn new(plan: Failover, rng: ChaCha8Rng) -> Self {
        Self {
            plan,
            rng,
            active: Active::Primary,
            failed_in_a_row: 0,
            switch_at: None,
            well_since: None,
        }
    }

    /// The line in use.
    pub(super) fn active(&self) -> Active {
        self.active
    }

    /// When [`Router::poll`] has something to do.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.switch_at
    }

    /// A probe of the primary line came back, or did not. Gives the new line if it changed.
    pub(super) fn probed(&mut self, now: Duration, answered: bool) -> Option<Active> {
        if answered {
            self.failed_in_a_row = 0;
            // A line that answers again before the switch is done is kept.
            self.switch_at = None;
            let since = *self.well_since.get_or_insert(now);
            if self.active == Active::Backup && now - since >= self.plan.stable_for {
                self.active = Active::Primary;
                return Some(self.active);
            }
            return None;
        }
        self.well_since = None;
        self.failed_in_a_row += 1;
        if self.active == Active::Primary
            && self.switch_at.is_none()
            && self.failed_in_a_row >= self.plan.fails
        {
            self.switch_at = Some(now + self.plan.switch.sample_duration(&mut self.rng));
            return self.poll(now);
        }
        None
    }

    /// It has its power back: on its primary line, and it has seen no probe. Tells whether the line changed.
    pub(super) fn restart(&mut self) -> bool {
        let before = std::mem::replace(&mut self.active, Active::Primary);
        self.failed_in_a_row = 0;
        self.switch_at = None;
        self.well_since = None;
        before == Active::Backup
    }

    /// Completes a switch that is due. Gives the new line if it changed.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Active> {
        if self.switch_at.is_some_and(|at| at <= now) {
            self.switch_at = None;
            self.active = Active::Backup;
            return Some(self.active);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dist::Dist, world::seed};

    fn router() -> Router {
        let plan = Failover {
            primary: "uplink".into(),
            backup: "lte".into(),
            probe: Duration::from_secs(2),
            fails: 3,
            switch: Dist::Const(5.0),
            stable_for: Duration::from_secs(60),
            allow: vec![],
            data_cap: None,
        };
        Router::new(plan, seed::stream(1, &["router"]))
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_lost_probes_and_the_switch_time_make_a_failover() {
        let mut r = router();
        assert_eq!(r.probed(s(2), false), None);
        assert_eq!(r.probed(s(4), false), None);
        assert_eq!(r.probed(s(6), false), None);
        assert_eq!(r.deadline(), Some(s(11)));
        assert_eq!(r.poll(s(10)), None);
        assert_eq!(r.poll(s(11)), Some(Active::Backup));
    }

    #[test]
    fn an_answer_between_lost_probes_starts_the_count_again() {
        let mut r = router();
        for t in 0..20 {
            assert_eq!(r.probed(s(2 * t), t % 3 == 0), None);
        }
        assert_eq!((r.active(), r.deadline()), (Active::Primary, None));
    }

    #[test]
    fn it_starts_on_its_primary_line() {
        let mut r = router();
        for t in 1..=3 {
            r.probed(s(2 * t), false);
        }
        r.poll(s(11));
        assert!(r.restart());
        assert_eq!((r.active(), r.deadline()), (Active::Primary, None));
        assert_eq!(r.probed(s(20), false), None, "one probe is not three");
        assert!(!r.restart());
    }

    #[test]
    fn it_goes_back_when_the_primary_was_well_for_long_enough() {
        let mut r = router();
        for t in 1..=3 {
            r.probed(s(2 * t), false);
        }
        r.poll(s(11));
        assert_eq!(r.probed(s(20), true), None);
        assert_eq!(r.probed(s(50), false), None, "starts the wait again");
        assert_eq!(r.probed(s(52), true), None);
        assert_eq!(r.probed(s(110), true), None);
        assert_eq!(r.probed(s(112), true), Some(Active::Primary));
    }
}
