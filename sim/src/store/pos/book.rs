//! What a POS may not forget: sales that head office has not booked, card payments taken offline, and what is done.
//!
//! Sans-IO: records for the journal, the state that they rebuild, and the limits of offline payments (those of stand-in
//! authorisation are `stand_in`'s). A sale is put down before the order is acknowledged to the broker, and struck out when the ledger has answered. Next: `uploader`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::{
    event::{OrderId, Payment},
    scenario::{OfflinePayments, StandIn},
    store::{kds::Recent, orders::Order},
};

use super::stand_in::{Approval, Approvals, Card, Refusal};

/// Orders that are remembered after the ledger has booked them, so that a late repeat from the broker is told.
const DONE_MAX: usize = 4096;

/// A card payment that was taken without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) order: OrderId,
    pub(super) cents: u32,
    /// Wall-clock seconds at which it was taken.
    pub(super) taken: u64,
    /// Virtual time at which the authorisation was asked for; only for the record of the run.
    pub(super) asked_at: Duration,
    /// The card, where the till approved it in place of head office.
    pub(super) card: Option<Card>,
}

/// The state.
#[derive(Debug)]
pub(super) struct Book {
    /// By order of arrival.
    sales: BTreeMap<u64, Order>,
    orders: BTreeSet<OrderId>,
    payments: BTreeMap<u64, Stored>,
    /// Of payments that nobody has approved.
    stored_cents: u64,
    approvals: Approvals,
    done: Recent,
    last: u64,
    /// Sales and payments whose records are not known to be durable yet. Head office must not hear of them: after a power
    /// cut it would know of what this till has forgotten.
    unsynced_sales: BTreeSet<OrderId>,
    unsynced_payments: BTreeSet<OrderId>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            sales: BTreeMap::new(),
            orders: BTreeSet::new(),
            payments: BTreeMap::new(),
            stored_cents: 0,
            approvals: Approvals::default(),
            done: Recent::new(DONE_MAX),
            last: 0,
            unsynced_sales: BTreeSet::new(),
            unsynced_payments: BTreeSet::new(),
        }
    }
}

const SALE: u8 = 1;
const BOOKED: u8 = 2;
const STORED: u8 = 3;
const CLOSED: u8 = 4;
const APPROVED: u8 = 5;
const ADVISED: u8 = 6;

impl Book {
    /// Rebuilds the state; records that make no sense are skipped.
    pub(super) fn recover(records: &[Bytes]) -> Self {
        let mut book = Self::default();
        for record in records {
            // A record that is too short for what it says to be is none.
            let _ = book.replay(record.clone());
        }
        book
    }

    fn replay(&mut self, mut record: Bytes) -> Option<()> {
        match record.try_get_u8().ok()? {
            SALE => {
                let order = Order::decode(&record)?;
                if !self.knows(order.id) {
                    self.insert_sale(order);
                }
            }
            BOOKED => self.strike_sale(record.try_get_u64_le().ok()?),
            kind @ (STORED | APPROVED) => {
                let mut stored = Stored {
                    order: record.try_get_u64_le().ok()?,
                    cents: record.try_get_u32_le().ok()?,
                    taken: record.try_get_u64_le().ok()?,
                    asked_at: Duration::from_micros(record.try_get_u64_le().ok()?),
                    card: None,
                };
                if kind == APPROVED {
                    stored.card = Some(record.try_get_u32_le().ok()?);
                }
                self.insert_payment(stored);
            }
            ADVISED => self.approvals.insert(Approval {
                order: record.try_get_u64_le().ok()?,
                cents: record.try_get_u32_le().ok()?,
                taken: record.try_get_u64_le().ok()?,
                card: record.try_get_u32_le().ok()?,
            }),
            CLOSED => {
                self.strike_payment(record.try_get_u64_le().ok()?);
            }
            _ => return None,
        }
        Some(())
    }

    /// Records that rebuild this state.
    pub(super) fn snapshot(&self, sale_bytes: u64) -> Vec<Bytes> {
        // What is done comes first: it is the oldest.
        let done = self.done.iter().map(|order| number(BOOKED, order));
        // Approvals that head office knows of still count for their cards.
        let waits = |a: &&Approval| self.payment(a.order) == Some(Payment::StandIn);
        let advised = self.approvals.iter().filter(|a| !waits(a));
        let advised = advised.map(encode_advised);
        let payments = self.payments.values().map(encode_stored);
        let sales = self
            .sales
            .values()
            .map(|sale| encode_sale(sale, sale_bytes));
        done.chain(advised).chain(payments).chain(sales).collect()
    }

    /// Whether an order is in the outbox, or was lately.
    pub(super) fn knows(&self, order: OrderId) -> bool {
        self.orders.contains(&order) || self.done.contains(order)
    }

    /// Puts a sale down; gives its record. It waits for [`sale_synced`](Self::sale_synced) before it may go.
    pub(super) fn sell(&mut self, order: Order, sale_bytes: u64) -> Bytes {
        self.insert_sale(order);
        self.unsynced_sales.insert(order.id);
        encode_sale(&order, sale_bytes)
    }

    /// The record of a sale is durable.
    pub(super) fn sale_synced(&mut self, order: OrderId) {
        self.unsynced_sales.remove(&order);
    }

    /// Strikes a booked sale out; gives its record, which may be lost: the ledger drops repeats.
    pub(super) fn booked(&mut self, order: OrderId) -> Bytes {
        self.strike_sale(order);
        number(BOOKED, order)
    }

    /// The oldest sales, at most `most`, as far as they are durable.
    pub(super) fn oldest_sales(&self, most: usize) -> Vec<Order> {
        let durable = |sale: &&Order| !self.unsynced_sales.contains(&sale.id);
        // Up to the first that is not: sales are booked in their order.
        let sales = self.sales.values().take_while(durable);
        sales.take(most).copied().collect()
    }

    /// All sales that the ledger has not booked, oldest first.
    pub(super) fn all_sales(&self) -> impl Iterator<Item = OrderId> {
        self.sales.values().map(|sale| sale.id)
    }

    /// Sales that the ledger has not booked.
    pub(super) fn sales(&self) -> usize {
        self.sales.len()
    }

    /// How a payment of this order was taken that waits to be settled; `None` if none does.
    pub(super) fn payment(&self, order: OrderId) -> Option<Payment> {
        let mut waiting = self.payments.values();
        waiting
            .find(|stored| stored.order == order)
            .map(Stored::how)
    }

    fn has_payment(&self, order: OrderId) -> bool {
        self.payment(order).is_some()
    }

    /// Approves a payment in place of head office if the limits of its card allow it; gives its record.
    ///
    /// # Errors
    /// The limit that it breaks.
    pub(super) fn stand_in(
        &mut self,
        payment: Stored,
        card: Card,
        limits: &StandIn,
    ) -> Result<Bytes, Refusal> {
        self.approvals
            .allow(card, payment.cents, payment.taken, limits)?;
        let payment = Stored {
            card: Some(card),
            ..payment
        };
        self.insert_payment(payment);
        self.unsynced_payments.insert(payment.order);
        Ok(encode_stored(&payment))
    }

    /// Takes a payment offline if the limits allow it; gives its record.
    pub(super) fn take_offline(
        &mut self,
        payment: Stored,
        limits: &OfflinePayments,
    ) -> Option<Bytes> {
        let cents = u64::from(payment.cents);
        if cents > limits.max_each || self.stored_cents + cents > limits.max_total {
            return None;
        }
        if self.has_payment(payment.order) {
            return None;
        }
        self.insert_payment(payment);
        self.unsynced_payments.insert(payment.order);
        Some(encode_stored(&payment))
    }

    /// The record of a payment is durable.
    pub(super) fn payment_synced(&mut self, order: OrderId) {
        self.unsynced_payments.remove(&order);
    }

    /// The oldest payment that waits to be settled, if it is durable.
    pub(super) fn oldest_payment(&self) -> Option<Stored> {
        let oldest = self.payments.values().next().copied();
        oldest.filter(|payment| !self.unsynced_payments.contains(&payment.order))
    }

    /// Strikes a payment out, settled or expired; gives its record.
    pub(super) fn close(&mut self, order: OrderId) -> Bytes {
        self.strike_payment(order);
        number(CLOSED, order)
    }

    fn insert_sale(&mut self, order: Order) {
        self.last += 1;
        self.sales.insert(self.last, order);
        self.orders.insert(order.id);
    }

    fn strike_sale(&mut self, order: OrderId) {
        self.orders.remove(&order);
        self.sales.retain(|_, sale| sale.id != order);
        self.done.insert(order);
    }

    fn insert_payment(&mut self, payment: Stored) {
        self.last += 1;
        match payment.card {
            None => self.stored_cents += u64::from(payment.cents),
            Some(card) => self.approvals.insert(Approval {
                order: payment.order,
                card,
                cents: payment.cents,
                taken: payment.taken,
            }),
        }
        self.payments.insert(self.last, payment);
    }

    fn strike_payment(&mut self, order: OrderId) {
        let stored_cents = &mut self.stored_cents;
        self.payments.retain(|_, payment| {
            let stays = payment.order != order;
            if !stays && payment.card.is_none() {
                *stored_cents -= u64::from(payment.cents);
            }
            stays
        });
    }
}

impl Stored {
    /// How it was taken.
    pub(super) fn how(&self) -> Payment {
        match self.card {
            Some(_) => Payment::StandIn,
            None => Payment::Offline,
        }
    }

    /// Whether it is too old to be settled, by the wall clock, which is all that a till has after a power cut.
    pub(super) fn is_expired(&self, unix_now: Duration, max_age: Duration) -> bool {
        unix_now.as_secs().saturating_sub(self.taken) > max_age.as_secs()
    }
}

/// How a payment ended, as a sale says it.
pub(super) fn paid(how: Payment) -> u8 {
    match how {
        Payment::Online => 1,
        Payment::Offline => 2,
        Payment::Declined => 3,
        Payment::SettledLater => 4,
        Payment::Expired => 5,
        Payment::StandIn => 6,
        Payment::Refused => 7,
        Payment::DeclinedLater => 8,
    }
}

fn number(kind: u8, order: OrderId) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    out.put_u8(kind);
    out.put_u64_le(order);
    out.freeze()
}

fn encode_sale(order: &Order, sale_bytes: u64) -> Bytes {
    let body = order.encode(sale_bytes);
    let mut out = BytesMut::with_capacity(1 + body.len());
    out.put_u8(SALE);
    out.put_slice(&body);
    out.freeze()
}

fn encode_stored(payment: &Stored) -> Bytes {
    let mut out = BytesMut::with_capacity(33);
    out.put_u8(match payment.card {
        None => STORED,
        Some(_) => APPROVED,
    });
    out.put_u64_le(payment.order);
    out.put_u32_le(payment.cents);
    out.put_u64_le(payment.taken);
    out.put_u64_le(u64::try_from(payment.asked_at.as_micros()).unwrap_or(u64::MAX));
    if let Some(card) = payment.card {
        out.put_u32_le(card);
    }
    out.freeze()
}

fn encode_advised(approval: &Approval) -> Bytes {
    let mut out = BytesMut::with_capacity(25);
    out.put_u8(ADVISED);
    out.put_u64_le(approval.order);
    out.put_u32_le(approval.cents);
    out.put_u64_le(approval.taken);
    out.put_u32_le(approval.card);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> OfflinePayments {
        OfflinePayments {
            max_age: Duration::from_secs(24 * 3600),
            max_each: 5_000,
            max_total: 12_000,
        }
    }

    fn order(id: OrderId) -> Order {
        Order {
            id,
            cents: 1_000,
            items: 2,
            paid: 1,
            trace: Default::default(),
            lines: Default::default(),
        }
    }

    fn payment(order: OrderId, cents: u32) -> Stored {
        Stored {
            order,
            cents,
            taken: 1_741_969_800,
            asked_at: Duration::from_millis(35),
            card: None,
        }
    }

    fn cards() -> StandIn {
        StandIn {
            floor: 5_000,
            per_card: 2,
            per_card_total: 8_000,
            within: Duration::from_secs(3600),
            max_age: Duration::from_secs(72 * 3600),
            cards: 3,
        }
    }

    #[test]
    fn offline_payments_keep_to_their_limits() {
        let mut book = Book::default();
        assert!(
            book.take_offline(payment(1, 5_001), &limits()).is_none(),
            "max_each"
        );
        assert!(book.take_offline(payment(2, 5_000), &limits()).is_some());
        assert!(book.take_offline(payment(3, 5_000), &limits()).is_some());
        assert!(
            book.take_offline(payment(4, 2_001), &limits()).is_none(),
            "max_total"
        );
        assert!(book.take_offline(payment(5, 2_000), &limits()).is_some());
        assert_eq!(book.oldest_payment(), None, "not durable yet");
        book.payment_synced(3);
        assert_eq!(book.oldest_payment(), None, "an older one is not");
        book.payment_synced(2);
        assert_eq!(book.oldest_payment(), Some(payment(2, 5_000)));
        // What is settled gives room.
        book.close(2);
        assert!(book.take_offline(payment(6, 5_000), &limits()).is_some());
        assert_eq!(book.oldest_payment(), Some(payment(3, 5_000)));
    }

    /// Regression: a till stored a payment and crashed before it stored the sale. The broker delivered the order again, and
    /// the till declined it, as a second payment of the same order.
    #[test]
    fn a_payment_is_known_before_its_sale() {
        let record = Book::default().take_offline(payment(7, 1_000), &limits());
        let mut book = Book::recover(&[record.expect("within the limits")]);
        assert!(!book.knows(7), "the sale is not there");
        assert_eq!(book.payment(7), Some(Payment::Offline));
        assert!(book.take_offline(payment(7, 1_000), &limits()).is_none());
        book.close(7);
        assert_eq!(book.payment(7), None);
    }

    /// An approval counts for its card until the window has passed, also when head office has been told and over restarts.
    #[test]
    fn an_approval_counts_after_it_was_advised() {
        let mut book = Book::default();
        let mut journal: Vec<Bytes> = Vec::new();
        for order in [1, 2] {
            let record = book.stand_in(payment(order, 1_000), 9, &cards());
            journal.push(record.expect("within the limits"));
        }
        assert_eq!(book.payment(1), Some(Payment::StandIn));
        journal.push(book.close(1));
        for book in [Book::recover(&journal), Book::recover(&book.snapshot(64))] {
            let mut book = book;
            assert_eq!(
                (book.payment(1), book.payment(2)),
                (None, Some(Payment::StandIn))
            );
            let third = book.stand_in(payment(3, 1_000), 9, &cards());
            assert_eq!(third, Err(Refusal::Count));
            assert!(book.stand_in(payment(3, 1_000), 8, &cards()).is_ok());
            // Offline payments have limits of their own.
            assert_eq!(book.stored_cents, 0);
        }
    }

    /// Regression: a sale could reach the ledger before the till had it on its disk.
    #[test]
    fn only_durable_sales_go_to_head_office() {
        let mut book = Book::default();
        let ids = |book: &Book| -> Vec<OrderId> {
            let sales = book.oldest_sales(16);
            sales.iter().map(|sale| sale.id).collect()
        };
        let journal: Vec<Bytes> = [1, 2, 3].map(|id| book.sell(order(id), 64)).into();
        book.sale_synced(2);
        assert!(ids(&book).is_empty(), "the oldest goes first");
        book.sale_synced(1);
        assert_eq!(ids(&book), [1, 2]);
        book.sale_synced(3);
        assert_eq!(ids(&book), [1, 2, 3]);
        assert_eq!(ids(&Book::recover(&journal)), [1, 2, 3]);
    }

    #[test]
    fn a_payment_expires_by_the_wall_clock() {
        let taken = payment(1, 100);
        let at = |seconds: u64| Duration::from_secs(taken.taken + seconds);
        let max_age = limits().max_age;
        assert!(!taken.is_expired(at(24 * 3600), max_age));
        assert!(taken.is_expired(at(24 * 3600 + 1), max_age));
        // A clock that was set back makes it young, not old.
        assert!(!taken.is_expired(Duration::ZERO, max_age));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Sell(u64),
        Booked(u64),
        Store(u64, u32),
        Close(u64),
        StandIn(u64),
        Compact,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                (0..20_u64).prop_map(Step::Sell),
                (0..20_u64).prop_map(Step::Booked),
                (0..20_u64, 0..6_000_u32).prop_map(|(o, c)| Step::Store(o, c)),
                (0..20_u64).prop_map(Step::Close),
                (0..20_u64).prop_map(Step::StandIn),
                Just(Step::Compact),
            ],
            0..60,
        )
    }

    type Seen = (
        Vec<OrderId>,
        Vec<Stored>,
        u64,
        Vec<OrderId>,
        BTreeSet<(u32, OrderId)>,
    );

    fn seen(book: &Book) -> Seen {
        (
            book.sales.values().map(|sale| sale.id).collect(),
            book.payments.values().copied().collect(),
            book.stored_cents,
            book.done.iter().collect(),
            book.approvals.iter().map(|a| (a.card, a.order)).collect(),
        )
    }

    proptest! {
        #[test]
        fn the_journal_rebuilds_the_book(steps in steps()) {
            let mut book = Book::default();
            let mut journal = Vec::new();
            for step in steps {
                match step {
                    Step::Sell(id) if book.knows(id) => {}
                    Step::Sell(id) => journal.push(book.sell(order(id), 64)),
                    Step::Booked(id) => journal.push(book.booked(id)),
                    Step::Store(id, cents) => {
                        journal.extend(book.take_offline(payment(id, cents), &limits()));
                    }
                    Step::StandIn(id) if book.payment(id).is_some() => {}
                    Step::StandIn(id) => {
                        // An order is paid with one card.
                        let card = (id % 3) as u32;
                        journal.extend(book.stand_in(payment(id, 1_000), card, &cards()));
                    }
                    Step::Close(id) => journal.push(book.close(id)),
                    Step::Compact => journal = book.snapshot(64),
                }
                prop_assert!(book.stored_cents <= limits().max_total);
            }
            prop_assert_eq!(seen(&Book::recover(&journal)), seen(&book));
        }

        #[test]
        fn arbitrary_records_never_panic(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8),
        ) {
            let records: Vec<Bytes> = records.into_iter().map(Bytes::from).collect();
            Book::recover(&records).snapshot(64);
        }
    }
}
