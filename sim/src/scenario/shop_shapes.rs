//! The tables of keys of menu, stock, offers and printers. What they mean: `shop`; how they are read: `resolve::shop`.

use backroom_collector::config::{
    quantity::{DURATION, EVENT_RATE, SIZE},
    shape::{Key, Shape, Ty},
};

use super::words::{ARRIVALS, DIST_COUNT, DIST_TIME, PROPORTION};

/// How a printer prints.
#[rustfmt::skip]
pub(super) static PRINTER: Shape = Shape {
    doc: "How a receipt printer prints.",
    keys: &[
        Key::or("line", Ty::Word(&DIST_TIME), "\"const(60ms)\"", "Time to print one line; a receipt has 12 lines and two for each item."),
        Key::or("roll", Ty::Integer(1, 1_000_000), "20000", "Lines on a roll of paper."),
        Key::or("refill", Ty::Word(&DIST_TIME), "\"lognormal(p50=90s, p99=10m)\"", "Time from the end of a roll until somebody has put in a new one."),
    ],
};

/// What there is of each item.
#[rustfmt::skip]
pub(super) static STOCK: Shape = Shape {
    doc: "What the store has of each item of its menu. Needs a machine with the role stock.",
    keys: &[
        Key::or("items", Ty::Integer(1, 2000), "40", "Items on the menu; the k-th most popular one is ordered in proportion to 1/k."),
        Key::or("start", Ty::Word(&DIST_COUNT), "\"uniform(40, 120)\"", "Portions of an item at the start, and after each restocking."),
        Key::may("restock", Ty::Word(&DIST_TIME), "\"exp(mean=45m)\"", "Time from the last portion until there is more; never in this run unless given."),
    ],
};

/// What head office publishes.
#[rustfmt::skip]
pub(super) static CATALOG: Shape = Shape {
    doc: "What head office publishes and the store keeps. Needs a machine with the role catalog.",
    keys: &[
        Key::need("class", Ty::Text, "\"media\"", "Its traffic class."),
        Key::or("poll", Ty::Word(&DURATION), "\"60s\"", "How often the store asks for something newer."),
        Key::may("menu", Ty::Table(&PUBLICATION), "{ bytes = \"2MB\", publish = \"schedule(10:30)\" }", "Menu and prices; boards, kiosks and tills show its version."),
        Key::may("reference", Ty::Table(&PUBLICATION), "{ bytes = \"300MB\", chunk = \"1MiB\", publish = \"schedule(04:00)\", changed = \"100%\" }", "A large set of reference data, such as a city's inventory."),
    ],
};

#[rustfmt::skip]
static PUBLICATION: Shape = Shape {
    doc: "A set that comes out in versions, in chunks with checksums. Version 1 is in the store when the run starts.",
    keys: &[
        Key::need("bytes", Ty::Word(&SIZE), "\"300MB\"", "Size of a version; at most 64 GiB, and 65536 chunks."),
        Key::or("chunk", Ty::Word(&SIZE), "\"64KiB\"", "Size of a chunk, from 4KiB to 4MiB: what is lost when the line breaks in the middle."),
        Key::need("publish", Ty::Word(&ARRIVALS), "\"schedule(10:30)\"", "Times of day at which a new version comes out."),
        Key::or("changed", Ty::Word(&PROPORTION), "\"10%\"", "Share of the chunks that differ from the version before; only they are fetched."),
    ],
};

/// Offers on phones.
#[rustfmt::skip]
pub(super) static OFFERS: Shape = Shape {
    doc: "Offers that customers show on their phones. Needs machines with the roles mobile and catalog, and [catalog.menu], whose versions bring the offers.",
    keys: &[
        Key::or("count", Ty::Integer(1, 10_000), "20", "Offers that come out with each version of the menu."),
        Key::or("valid_for", Ty::Integer(1, 1000), "2", "Versions for which an offer holds, its own included."),
        Key::need("scans", Ty::Word(&EVENT_RATE), "\"30/h\"", "Scans, of the whole store."),
        Key::or("reused", Ty::Word(&PROPORTION), "\"5%\"", "Share of the scans that show a coupon which was shown before."),
        Key::need("class", Ty::Text, "\"order\"", "Traffic class of the rewards that settle at head office."),
    ],
};
