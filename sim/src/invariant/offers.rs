//! OFFER-1: a coupon gives its reward once. One scan redeems it, head office settles it once and only if it was redeemed, a customer is
//! told of a reward that is durable; and after healing every reward is settled.
//!
//! Source: at least once on the line, exactly once in the books, by the coupon's number; liveness as CONVERGENCE-1.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Finding, Invariant, at, finding, told};
use crate::{
    event::{Event, OfferAnswer, ShopEvent},
    metric::{SeedLog, orders, shop},
};

pub(super) const OFFER_1: Invariant = Invariant {
    id: "OFFER-1",
    title: "a coupon gives its reward once, and it is settled",
    check,
};

fn check(log: &SeedLog<'_>) -> Finding {
    let first = shop::redeemed_at(log);
    let twice = shop::duplicated(log).into_iter();
    let twice = twice.map(|(time, coupon)| {
        let since = first.get(&coupon).copied().unwrap_or(time);
        (since, (time, coupon))
    });
    let mut wrong: Vec<String> = told::untold(log, twice.collect())
        .into_iter()
        .map(|(_, (time, coupon))| {
            format!("coupon {coupon:x} gave a second reward at {}", at(time))
        })
        .collect();
    let mut by_scan = BTreeSet::new();
    let mut open: BTreeMap<u64, Duration> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for stamped in log.events {
        let Event::Shop(event) = stamped.event else {
            continue;
        };
        let time = at(stamped.at);
        match event {
            ShopEvent::OfferRedeemed { scan, coupon } => {
                by_scan.insert(scan);
                if known.insert(coupon) {
                    open.insert(coupon, stamped.at);
                }
            }
            ShopEvent::OfferAnswered {
                scan,
                answer: OfferAnswer::Redeemed,
            } if !by_scan.contains(&scan) => {
                wrong.push(format!(
                    "scan {scan:x} was promised a reward at {time} that is nowhere written down"
                ));
            }
            ShopEvent::RewardSettled { coupon } => {
                open.remove(&coupon);
                if !known.contains(&coupon) {
                    wrong.push(format!(
                        "coupon {coupon:x} was settled at {time} and never redeemed"
                    ));
                }
            }
            _ => {}
        }
    }
    // While a fault lasts to the end of the run, rewards wait in the outbox.
    if let Some(healed) = orders::healed_at(log) {
        let due = |since: Duration| since.max(healed) + orders::SETTLE_BOUND <= log.ended_at;
        let late = open.into_iter().filter(|(_, since)| due(*since));
        let late = late.map(|(coupon, since)| (since, coupon)).collect();
        let late = told::untold(log, late).into_iter();
        wrong.extend(late.map(|(since, coupon)| {
            format!(
                "coupon {coupon:x}, redeemed at {}, was never settled",
                at(since)
            )
        }));
    }
    finding("rewards do not add up", &wrong)
}

#[cfg(test)]
mod tests {
    use super::{super::probe::message, *};
    use crate::metric::fixture::Log;

    fn redeemed(scan: u64, coupon: u64) -> Event {
        Event::Shop(ShopEvent::OfferRedeemed { scan, coupon })
    }

    fn answered(scan: u64) -> Event {
        let answer = OfferAnswer::Redeemed;
        Event::Shop(ShopEvent::OfferAnswered { scan, answer })
    }

    fn settled(coupon: u64) -> Event {
        Event::Shop(ShopEvent::RewardSettled { coupon })
    }

    #[test]
    fn a_second_reward_violates_and_a_repeat_does_not() {
        let good = || {
            Log::default()
                .at(700.0, redeemed(1, 1))
                .at(700.1, answered(1))
                // Told again after a restart.
                .at(800.0, redeemed(1, 1))
                .at(801.0, settled(1))
        };
        assert_eq!(message(&OFFER_1, good()), None);
        let text = "1 rewards do not add up; first: coupon 1 gave a second reward at 900.000s";
        let bad = message(&OFFER_1, good().at(900.0, redeemed(2, 1)));
        assert_eq!(bad.as_deref(), Some(text));
        assert!(message(&OFFER_1, good().at(900.0, settled(1))).is_some());
        assert!(message(&OFFER_1, good().at(900.0, settled(9))).is_some());
        assert!(message(&OFFER_1, good().at(900.0, answered(9))).is_some());
    }

    #[test]
    fn a_reward_that_is_never_settled_violates() {
        let open = |at| Log::default().at(at, redeemed(1, 1));
        let text =
            "1 rewards do not add up; first: coupon 1, redeemed at 2200.000s, was never settled";
        assert_eq!(message(&OFFER_1, open(2_200.0)).as_deref(), Some(text));
        // There was no time.
        assert_eq!(message(&OFFER_1, open(5_900.0)), None);
    }
}
