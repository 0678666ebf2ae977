//! What of menus, receipts and rewards is still under way at the end of a run.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{CouponId, Event, MachineId, OrderId, Set, ShopEvent};

/// What is under way. Empty for ever in a store without these machines.
#[derive(Debug, Default)]
pub(super) struct Shop {
    /// Whether sales make receipts.
    prints: bool,
    receipts: BTreeSet<OrderId>,
    printed: BTreeSet<OrderId>,
    rewards: BTreeSet<CouponId>,
    settled: BTreeSet<CouponId>,
    published: BTreeMap<Set, u32>,
    /// Versions in use; whoever fetches a set says so when it starts.
    in_use: BTreeMap<(Set, MachineId), u32>,
}

impl Shop {
    /// A store in which sales make receipts, or do not.
    pub(super) fn new(prints: bool) -> Self {
        Self {
            prints,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, event: &Event) {
        match *event {
            Event::SaleStored { order, .. } if self.prints && !self.printed.contains(&order) => {
                self.receipts.insert(order);
            }
            Event::Shop(ShopEvent::ReceiptPrinted { order, .. }) => {
                self.receipts.remove(&order);
                self.printed.insert(order);
            }
            // Told again for what the service finds when it starts.
            Event::Shop(ShopEvent::OfferRedeemed { coupon, .. })
                if !self.settled.contains(&coupon) =>
            {
                self.rewards.insert(coupon);
            }
            Event::Shop(ShopEvent::RewardSettled { coupon }) => {
                self.rewards.remove(&coupon);
                self.settled.insert(coupon);
            }
            Event::Shop(ShopEvent::Published { set, version }) => {
                self.published.insert(set, version);
            }
            Event::Shop(ShopEvent::Applied { set, at, version }) => {
                self.in_use.insert((set, at), version);
            }
            _ => {}
        }
    }

    pub(super) fn pending(&self) -> Vec<String> {
        let mut pending = Vec::new();
        if !self.receipts.is_empty() {
            pending.push(format!("{} receipts are not printed", self.receipts.len()));
        }
        if !self.rewards.is_empty() {
            pending.push(format!("{} rewards are not settled", self.rewards.len()));
        }
        for (set, version) in &self.published {
            let behind = self
                .in_use
                .iter()
                .filter(|((of, _), has)| of == set && *has < version);
            let behind = behind.count();
            if behind > 0 {
                let set = set.as_str();
                pending.push(format!(
                    "version {version} of {set} is not on {behind} of its machines"
                ));
            }
        }
        pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_told_until_it_is_there() {
        let mut shop = Shop::new(true);
        let (order, coupon, set, at) = (1, 7, Set::Media, MachineId(3));
        let pos = MachineId(1);
        let (printer, scan) = (MachineId(2), 7);
        let applied = |version| Event::Shop(ShopEvent::Applied { set, at, version });
        shop.add(&applied(1));
        shop.add(&Event::SaleStored { order, pos });
        shop.add(&Event::Shop(ShopEvent::OfferRedeemed { scan, coupon }));
        shop.add(&Event::Shop(ShopEvent::Published { set, version: 2 }));
        let told = [
            "1 receipts are not printed",
            "1 rewards are not settled",
            "version 2 of media is not on 1 of its machines",
        ];
        assert_eq!(shop.pending(), told);
        shop.add(&Event::Shop(ShopEvent::ReceiptPrinted { order, printer }));
        shop.add(&Event::Shop(ShopEvent::RewardSettled { coupon }));
        shop.add(&applied(2));
        assert!(shop.pending().is_empty());
        // A till and a service that start again tell what they have.
        shop.add(&Event::SaleStored { order, pos });
        shop.add(&Event::Shop(ShopEvent::OfferRedeemed { scan, coupon }));
        assert!(shop.pending().is_empty());
    }
}
