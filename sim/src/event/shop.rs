//! What happens to items, menus, receipts and offers. A store without these machines records none of it.

use bitcode::{Decode, Encode};
use serde::Serialize;

use super::{MachineId, OrderId};

/// Number of an item of the menu, from 0; the smaller, the more popular.
pub type ItemId = u16;

/// Number of a coupon on a customer's phone: unique in a run.
pub type CouponId = u64;

/// Something that happened to items, menus, receipts and offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Encode, Decode)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum ShopEvent {
    /// An order that a customer confirmed has this item in it.
    ItemOrdered {
        /// The order.
        order: OrderId,
        /// The item.
        item: ItemId,
        /// Where it was ordered.
        at: MachineId,
    },
    /// The stock counted a sale down, and has written it down.
    SaleCounted {
        /// The order.
        order: OrderId,
    },
    /// An item was sold although none was left: somebody did not know yet.
    ItemShort {
        /// The order.
        order: OrderId,
        /// The item.
        item: ItemId,
    },
    /// The stock has none left of an item, or some again.
    Stocked {
        /// The item.
        item: ItemId,
        /// Whether there is some.
        some: bool,
    },
    /// A board, kiosk or POS has learnt that there is none left of an item, or some again.
    StockKnown {
        /// Who.
        at: MachineId,
        /// The item.
        item: ItemId,
        /// Whether there is some.
        some: bool,
    },
    /// Head office has published a version of a set.
    Published {
        /// The set.
        set: Set,
        /// Its version.
        version: u32,
    },
    /// A machine has a chunk of a set on its disk, synced and with the right checksum.
    ChunkStored {
        /// The set.
        set: Set,
        /// Who.
        at: MachineId,
        /// The version that it was fetched for.
        version: u32,
        /// Its number.
        index: u32,
    },
    /// A machine has a whole version of a set, and uses it from now on. Told again when it starts.
    Applied {
        /// The set.
        set: Set,
        /// Who.
        at: MachineId,
        /// Its version.
        version: u32,
    },
    /// A board, kiosk or POS shows a version of the menu.
    MenuShown {
        /// Who.
        at: MachineId,
        /// The version.
        version: u32,
    },
    /// A receipt came out of a printer.
    ReceiptPrinted {
        /// The order.
        order: OrderId,
        /// Which printer.
        printer: MachineId,
    },
    /// A printer ran out of paper, or has a new roll.
    Paper {
        /// Which printer.
        printer: MachineId,
        /// Whether it has some now.
        loaded: bool,
    },
    /// A customer shows a coupon.
    OfferScanned {
        /// The scan: unique in a run.
        scan: u64,
        /// The coupon; it may have been shown before.
        coupon: CouponId,
        /// Whose phone.
        at: MachineId,
    },
    /// The store gave the reward of a coupon, and has written it down. Told again for what it finds when it starts.
    OfferRedeemed {
        /// The scan.
        scan: u64,
        /// The coupon.
        coupon: CouponId,
    },
    /// A customer has the answer to a scan, or has stopped waiting for it.
    OfferAnswered {
        /// The scan.
        scan: u64,
        /// What it says.
        answer: OfferAnswer,
    },
    /// Head office settled a reward for the first time.
    RewardSettled {
        /// The coupon.
        coupon: CouponId,
    },
    /// Head office received a reward that it had settled, and dropped it.
    RewardRepeated {
        /// The coupon.
        coupon: CouponId,
    },
}

/// What head office publishes in versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Set {
    /// Menu and prices.
    Menu,
    /// A large set of reference data.
    Reference,
    /// Films and pictures for menu boards.
    Media,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Menu, Self::Reference, Self::Media];

    /// Its name, also in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Menu => "menu",
            Self::Reference => "reference",
            Self::Media => "media",
        }
    }
}

/// What the store says to a coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum OfferAnswer {
    /// The reward is given.
    Redeemed,
    /// The coupon was redeemed before.
    Used,
    /// The store has not heard of the offer: its menu is older.
    Unknown,
    /// The offer does not hold any more.
    Expired,
    /// There was none in time.
    Silence,
}
