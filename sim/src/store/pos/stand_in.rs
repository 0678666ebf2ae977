//! Stand-in authorisation: whether a till may approve a card payment on behalf of head office, which it cannot reach. Sans-IO.
//!
//! It models stand-in processing of card networks (STIP), done at the till: within limits an approval is given in place of the
//! issuer, and told to it later as an *advice* (ISO 8583, messages 0120 and 0220), which it may decline; then the money is lost, and
//! counted. The limits are the usual ones: a floor limit for each payment, and for each card so many approvals and so much money
//! within a window (velocity). They go by the wall clock, which is all that a till has after a power cut, and by what this till has
//! approved: tills do not tell each other. Not modelled: lists of stolen cards, PIN and chip, and what a card says of its own expiry.
//! Who keeps it, and writes it down, is `book`.

use std::collections::{BTreeMap, VecDeque};

use crate::{event::OrderId, scenario::StandIn};

/// Approvals that are remembered; a till that has given more within its window gives no other.
const APPROVALS_MAX: usize = 65_536;

/// Number of a card, from 0.
pub(super) type Card = u32;

/// One that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Approval {
    pub(super) order: OrderId,
    pub(super) card: Card,
    pub(super) cents: u32,
    /// Wall-clock seconds.
    pub(super) taken: u64,
}

/// Why none is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The payment is larger than the floor limit.
    Floor,
    /// The card has had its approvals.
    Count,
    /// The card has had its money.
    Total,
    /// More approvals than can be remembered.
    Full,
}

/// What was approved lately, by card.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Approvals {
    by_card: BTreeMap<Card, VecDeque<Approval>>,
    count: usize,
}

impl Approvals {
    /// Remembers one. What is older than the window is forgotten when its card is asked for again, or all are too many.
    pub(super) fn insert(&mut self, approval: Approval) {
        let of_card = self.by_card.entry(approval.card).or_default();
        // A payment that is approved again, since a crash forgot what became of it, is still one.
        match of_card.iter_mut().find(|a| a.order == approval.order) {
            Some(before) => *before = approval,
            None => {
                of_card.push_back(approval);
                self.count += 1;
            }
        }
    }

    /// Whether another one keeps to the limits, at `now` in wall-clock seconds.
    ///
    /// # Errors
    /// The first limit that it breaks.
    pub(super) fn allow(
        &mut self,
        card: Card,
        cents: u32,
        now: u64,
        limits: &StandIn,
    ) -> Result<(), Refusal> {
        if u64::from(cents) > limits.floor {
            return Err(Refusal::Floor);
        }
        self.forget(card, now, limits);
        if self.count >= APPROVALS_MAX {
            let cards: Vec<Card> = self.by_card.keys().copied().collect();
            cards
                .into_iter()
                .for_each(|card| self.forget(card, now, limits));
        }
        if self.count >= APPROVALS_MAX {
            return Err(Refusal::Full);
        }
        let of_card = self.by_card.get(&card).into_iter().flatten();
        let (count, total) = of_card.fold((0, 0), |(count, total), a| {
            (count + 1, total + u64::from(a.cents))
        });
        if count >= limits.per_card {
            return Err(Refusal::Count);
        }
        if total + u64::from(cents) > limits.per_card_total {
            return Err(Refusal::Total);
        }
        Ok(())
    }

    /// All that are remembered, by card, in the order in which they were given.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Approval> {
        self.by_card.values().flatten()
    }

    fn forget(&mut self, card: Card, now: u64, limits: &StandIn) {
        let Some(of_card) = self.by_card.get_mut(&card) else {
            return;
        };
        let before = of_card.len();
        // A clock that was set back makes an approval of the future: it counts until the window has passed by that clock.
        of_card.retain(|a| a.taken + limits.within.as_secs() > now);
        self.count -= before - of_card.len();
        if of_card.is_empty() {
            self.by_card.remove(&card);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> StandIn {
        StandIn {
            floor: 2_500,
            per_card: 3,
            per_card_total: 6_000,
            within: Duration::from_secs(3600),
            max_age: Duration::from_secs(72 * 3600),
            cards: 100,
        }
    }

    /// Asks in turn: card, cents, wall-clock seconds, and what is answered.
    fn check(asked: &[(Card, u32, u64, Result<(), Refusal>)]) {
        let mut approvals = Approvals::default();
        for (n, (card, cents, now, expect)) in asked.iter().enumerate() {
            let found = approvals.allow(*card, *cents, *now, &limits());
            assert_eq!(found, *expect, "number {n} of {asked:?}");
            if found.is_ok() {
                approvals.insert(Approval {
                    order: n as u64,
                    card: *card,
                    cents: *cents,
                    taken: *now,
                });
            }
        }
    }

    #[test]
    fn an_approval_keeps_to_floor_count_and_total() {
        use Refusal::{Count, Floor, Total};
        check(&[(1, 2_501, 0, Err(Floor)), (1, 2_500, 0, Ok(()))]);
        check(&[
            (1, 100, 0, Ok(())),
            (1, 100, 1, Ok(())),
            (1, 100, 2, Ok(())),
            (1, 100, 3, Err(Count)),
            (2, 100, 3, Ok(())),
            // The first two are an hour old.
            (1, 100, 3601, Ok(())),
            (1, 100, 3601, Ok(())),
            (1, 100, 3601, Err(Count)),
        ]);
        check(&[
            (1, 2_500, 0, Ok(())),
            (1, 2_500, 1, Ok(())),
            (1, 1_001, 2, Err(Total)),
            (1, 1_000, 2, Ok(())),
            // What is refused does not count.
            (1, 1_000, 3600, Ok(())),
        ]);
        // The clock was set back by a minute.
        check(&[
            (1, 100, 60, Ok(())),
            (1, 100, 0, Ok(())),
            (1, 100, 0, Ok(())),
            (1, 100, 59, Err(Count)),
            (1, 100, 3600, Ok(())),
        ]);
    }

    #[test]
    fn approvals_are_bounded() {
        let mut approvals = Approvals::default();
        for n in 0..APPROVALS_MAX {
            approvals.insert(Approval {
                order: n as u64,
                card: n as u32,
                cents: 1,
                taken: 0,
            });
        }
        let asked = approvals.allow(1 << 20, 1, 1, &limits());
        assert_eq!(asked, Err(Refusal::Full));
        let later = approvals.allow(1 << 20, 1, 3600, &limits());
        assert_eq!((later, approvals.iter().count()), (Ok(()), 0));
    }
}
