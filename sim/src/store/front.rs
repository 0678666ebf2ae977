//! What customers see: which version of the menu, and what is sold out. Boards, kiosks and tills keep one each.
//!
//! Both come as retained messages of the broker, so whoever starts learns them at once, and a dead line to head office changes
//! nothing. A message that is older than what is known is dropped: at least once may mean late. Who makes the messages: `stock`
//! and `catalog`. Who orders: `orders`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use backroom_collector::env::Env;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::Context;
use crate::event::{Event, ItemId, MachineId, Recorder, ShopEvent};

/// Retained: the menu as a whole.
pub(super) const MENU_TOPIC: &str = "menu/board";

/// Retained: what is sold out, as a whole.
pub(super) const STOCK_TOPIC: &str = "menu/stock";

/// Size of what a board is sent of a menu: names and prices of a page.
pub(super) const BOARD_BYTES: usize = 6_000;

/// A menu with a version begins with it; the menu of a store without a catalog has none.
const MENU_MAGIC: &[u8; 8] = b"BRMENU01";

/// Lines of an order that the stock looks at; what is beyond them is drinks and sauces.
const LINES_MAX: usize = 12;

/// Draws for a line before a customer takes whatever there is.
const TRIES_MAX: usize = 8;

/// The items of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    count: u8,
    items: [ItemId; LINES_MAX],
}

impl Lines {
    /// The items, in the order in which they were chosen.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ItemId> + '_ {
        self.items[..usize::from(self.count)].iter().copied()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends them; nothing where there are none.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        if self.count > 0 {
            out.put_u8(self.count);
            self.iter().for_each(|item| out.put_u16_le(item));
        }
    }

    /// Reads them; none where the bytes say nothing sensible.
    pub(crate) fn decode(mut bytes: &[u8]) -> Self {
        let count = usize::from(bytes.try_get_u8().unwrap_or(0));
        if count > LINES_MAX || bytes.len() < 2 * count {
            return Self::default();
        }
        (0..count).map(|_| bytes.get_u16_le()).collect()
    }
}

/// Keeps the first twelve.
impl FromIterator<ItemId> for Lines {
    fn from_iter<I: IntoIterator<Item = ItemId>>(all: I) -> Self {
        let mut lines = Self::default();
        for item in all.into_iter().take(LINES_MAX) {
            lines.items[usize::from(lines.count)] = item;
            lines.count += 1;
        }
        lines
    }
}

/// A menu's message.
pub(super) fn encode_menu(version: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(BOARD_BYTES);
    out.put_slice(MENU_MAGIC);
    out.put_u32_le(version);
    out.resize(BOARD_BYTES, b'm');
    out.freeze()
}

fn decode_menu(bytes: &[u8]) -> Option<u32> {
    bytes.strip_prefix(MENU_MAGIC)?.try_get_u32_le().ok()
}

/// The message of what is sold out: `seq u32le, count u16le, item u16le * count`.
pub(super) fn encode_stock(seq: u32, out_of: &BTreeSet<ItemId>) -> Bytes {
    let mut out = BytesMut::with_capacity(6 + 2 * out_of.len());
    out.put_u32_le(seq);
    out.put_u16_le(u16::try_from(out_of.len()).expect("a menu has at most 2,000 items"));
    out_of.iter().for_each(|item| out.put_u16_le(*item));
    out.freeze()
}

fn decode_stock(mut bytes: &[u8]) -> Option<(u32, BTreeSet<ItemId>)> {
    let seq = bytes.try_get_u32_le().ok()?;
    let count = usize::from(bytes.try_get_u16_le().ok()?);
    (bytes.len() == 2 * count).then(|| (seq, (0..count).map(|_| bytes.get_u16_le()).collect()))
}

/// What one machine knows.
#[derive(Debug, Default)]
struct Knows {
    menu: u32,
    stock: u32,
    out_of: BTreeSet<ItemId>,
}

impl Knows {
    /// Takes a message in; gives what is new.
    fn hear(&mut self, at: MachineId, topic: &str, payload: &[u8]) -> Vec<ShopEvent> {
        match topic {
            MENU_TOPIC => match decode_menu(payload) {
                Some(version) if version > self.menu => {
                    self.menu = version;
                    vec![ShopEvent::MenuShown { at, version }]
                }
                _ => Vec::new(),
            },
            STOCK_TOPIC => match decode_stock(payload) {
                Some((seq, out_of)) if seq > self.stock => {
                    self.stock = seq;
                    let before = std::mem::replace(&mut self.out_of, out_of);
                    let new = self.out_of.symmetric_difference(&before);
                    let known = new.map(|&item| ShopEvent::StockKnown {
                        at,
                        item,
                        some: before.contains(&item),
                    });
                    known.collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

/// What one machine shows to customers, and sells.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    at: MachineId,
    recorder: Recorder,
    knows: Arc<Mutex<Knows>>,
    /// Sums of the items' popularity, up to each; empty where there is no stock.
    popularity: Arc<[f64]>,
}

impl Front {
    /// Nothing known yet.
    pub(crate) fn new<E: Env>(ctx: &Context<E>) -> Self {
        let items = ctx.scenario.shop.stock.as_ref().map_or(0, |s| s.items);
        Self {
            at: ctx.id,
            recorder: ctx.recorder.clone(),
            knows: Arc::default(),
            popularity: popularity(items),
        }
    }

    /// What the machine subscribes to; nothing where the store has neither stock nor menus that change.
    pub(crate) fn topics<E: Env>(ctx: &Context<E>) -> Vec<String> {
        let shop = &ctx.scenario.shop;
        let has_menus = shop.catalog.as_ref().is_some_and(|c| c.menu.is_some());
        match shop.stock.is_some() || has_menus {
            true => vec!["menu/#".to_owned()],
            false => Vec::new(),
        }
    }

    /// Whether a message is for it.
    pub(crate) fn is_for(topic: &str) -> bool {
        topic.starts_with("menu/")
    }

    /// Takes a message in, and records what is new; tells whether anything was.
    pub(crate) fn hear(&self, topic: &str, payload: &[u8]) -> bool {
        let news = self.knows().hear(self.at, topic, payload);
        for event in &news {
            self.recorder.record(Event::Shop(*event));
        }
        !news.is_empty()
    }

    /// What a customer takes for an order of so many items: none that is known to be sold out.
    pub(crate) fn choose(&self, items: u16, rng: &mut ChaCha8Rng) -> Lines {
        let Some(whole) = self.popularity.last() else {
            return Lines::default();
        };
        let out_of = self.knows().out_of.clone();
        let mut one = || {
            for _ in 0..TRIES_MAX {
                let draw = rng.random::<f64>() * whole;
                let item = self.popularity.partition_point(|sum| *sum <= draw) as ItemId;
                if !out_of.contains(&item) {
                    return Some(item);
                }
            }
            let mut all = 0..self.popularity.len() as ItemId;
            all.find(|item| !out_of.contains(item))
        };
        let lines = usize::from(items).min(LINES_MAX);
        (0..lines).filter_map(|_| one()).collect()
    }

    fn knows(&self) -> std::sync::MutexGuard<'_, Knows> {
        self.knows.lock().expect("nobody panics while holding it")
    }
}

/// Zipf's law with exponent 1: a few items make most of the sales (Zipf 1949).
fn popularity(items: u16) -> Arc<[f64]> {
    let mut sum = 0.0;
    let up_to = |rank: u16| {
        sum += 1.0 / f64::from(rank);
        sum
    };
    (1..=items).map(up_to).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    use super::*;

    const AT: MachineId = MachineId(3);

    #[test]
    fn what_is_older_than_what_is_known_is_dropped() {
        let mut knows = Knows::default();
        let menu = |version| encode_menu(version);
        let shown = |version| vec![ShopEvent::MenuShown { at: AT, version }];
        assert_eq!(menu(2).len(), BOARD_BYTES);
        assert_eq!(knows.hear(AT, MENU_TOPIC, &menu(2)), shown(2));
        assert!(knows.hear(AT, MENU_TOPIC, &menu(2)).is_empty());
        assert!(knows.hear(AT, MENU_TOPIC, &menu(1)).is_empty());
        assert_eq!(knows.hear(AT, MENU_TOPIC, &menu(3)), shown(3));
        let known = |item, some| ShopEvent::StockKnown { at: AT, item, some };
        let stock = |seq, items: &[ItemId]| encode_stock(seq, &items.iter().copied().collect());
        assert_eq!(
            knows.hear(AT, STOCK_TOPIC, &stock(4, &[1, 7])),
            [known(1, false), known(7, false)]
        );
        assert!(knows.hear(AT, STOCK_TOPIC, &stock(3, &[])).is_empty());
        assert_eq!(
            knows.hear(AT, STOCK_TOPIC, &stock(5, &[7, 9])),
            [known(1, true), known(9, false)]
        );
        // A menu without a version, as a store without a catalog has it.
        assert!(knows.hear(AT, MENU_TOPIC, &[b'm'; 6_000]).is_empty());
    }

    fn front(items: u16) -> Front {
        Front {
            at: AT,
            recorder: Recorder::new(),
            knows: Arc::default(),
            popularity: popularity(items),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn customers_take_what_there_is() {
        let front = front(10);
        let mut rng = ChaCha8Rng::from_seed([5; 32]);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            let lines = front.choose(1, &mut rng);
            lines.iter().for_each(|item| counts[usize::from(item)] += 1);
        }
        // The harmonic number of 10 is 2.929: the first item has 34 %, the tenth 3.4 %.
        assert!((3_200..=3_640).contains(&counts[0]), "{counts:?}");
        assert!((250..=440).contains(&counts[9]), "{counts:?}");
        let all_but_four: BTreeSet<ItemId> = (0..10).filter(|item| *item != 4).collect();
        assert!(front.hear(STOCK_TOPIC, &encode_stock(1, &all_but_four)));
        let lines = front.choose(99, &mut rng);
        assert_eq!(lines.iter().collect::<Vec<_>>(), [4; LINES_MAX]);
        assert!(front.hear(STOCK_TOPIC, &encode_stock(2, &(0..10).collect())));
        assert!(front.choose(3, &mut rng).is_empty());
        assert!(super::popularity(0).is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_messages_never_panic(
            stock in any::<bool>(),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let topic = if stock { STOCK_TOPIC } else { MENU_TOPIC };
            Knows::default().hear(AT, topic, &bytes);
            Lines::decode(&bytes);
        }

        #[test]
        fn lines_come_back(items in prop::collection::vec(any::<ItemId>(), 0..20)) {
            let lines: Lines = items.iter().copied().collect();
            let mut out = BytesMut::new();
            lines.encode(&mut out);
            prop_assert_eq!(Lines::decode(&out), lines);
            prop_assert_eq!(lines.iter().count(), items.len().min(LINES_MAX));
        }
    }
}
