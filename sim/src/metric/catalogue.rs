//! The table of metrics: name, unit, what a sample is, what starts and stops it, what narrows it.
//!
//! Expectations are checked against it before a run, and `explain metrics` prints it. How a metric is computed from a run's
//! events is decided by the other files of this folder; a new metric is one entry here and one computation there.

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name; a `*` stands for the name of a link.
    pub name: &'static str,
    /// What its values are.
    pub unit: Unit,
    /// What a sample is.
    pub kind: Kind,
    /// Dimensions that narrow it, besides [`COMMON_DIMENSIONS`].
    pub dimensions: &'static [&'static str],
    /// What it tells.
    pub doc: &'static str,
    /// What starts a sample, or raises the counter.
    pub starts: &'static str,
    /// What ends a sample; empty where it is an instant.
    pub stops: &'static str,
}

/// What a metric's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Time,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
    /// A number of things per second.
    PerSecond,
    /// The name of a link.
    Link,
}

/// What a sample of a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each happening is a sample with a value; it counts in the window in which it starts.
    Samples,
    /// A number that only grows; a window sees its growth.
    Counter,
    /// A value at every instant, which holds until it changes.
    Gauge,
}

impl Kind {
    /// Its word in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

impl Unit {
    /// Its word in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::PerSecond => "per second",
            Self::Link => "link",
        }
    }
}

/// Dimensions that every metric has: a region and a share of the stores, which matter in fleets only.
pub static COMMON_DIMENSIONS: &[&str] = &["region", "stores"];

/// All metrics.
#[rustfmt::skip]
pub static METRICS: &[Metric] = &[
    Metric { name: "order.accept_delay", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a customer waits until the store has the order.", starts: "the customer confirms", stops: "the broker acknowledges" },
    Metric { name: "order.to_kds", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long an order takes to the kitchen.", starts: "the customer confirms", stops: "the ticket stands on a kitchen display" },
    Metric { name: "order.e2e", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a sale takes to head office.", starts: "the customer confirms", stops: "head office books the sale for the first time" },
    Metric { name: "order.placed", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Orders that customers confirmed.", starts: "the customer confirms", stops: "" },
    Metric { name: "order.accepted", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Orders that the store may not lose any more.", starts: "the broker acknowledges", stops: "" },
    Metric { name: "order.booked", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Sales in head office's ledger.", starts: "head office books the sale for the first time", stops: "" },
    Metric { name: "order.outbox", unit: Unit::Count, kind: Kind::Gauge, dimensions: &[], doc: "Sales that are in a POS's durable outbox and that head office has not booked.", starts: "a POS stores a sale", stops: "head office books it" },
    Metric { name: "order.lost", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Accepted orders that are neither booked nor on their way in a durable place when the run ends; counted when they were accepted.", starts: "the broker acknowledges an order that nobody has at the end", stops: "" },
    Metric { name: "order.duplicated", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Orders that had an effect twice: booked twice, or shown twice on a display that did not restart.", starts: "the second effect", stops: "" },
    Metric { name: "order.repeated", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Sales that reached head office again and were dropped there: at least once on the line, once in the ledger.", starts: "head office receives a sale that it has", stops: "" },
    Metric { name: "payment.auth", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a card payment takes.", starts: "a POS asks for an authorisation", stops: "it has the answer, or goes on without it" },
    Metric { name: "payment.offline", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Payments taken offline, to be settled later.", starts: "a POS takes a payment offline", stops: "" },
    Metric { name: "payment.stand_in", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Payments that a POS approved in head office's place.", starts: "a POS approves a payment without an answer", stops: "" },
    Metric { name: "payment.declined", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Payments that nobody answered, refused because the limits of stand-in and offline payments were used up.", starts: "a POS refuses a payment", stops: "" },
    Metric { name: "payment.refused", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Payments that their issuer declined while the customer waited.", starts: "head office answers that a payment is declined", stops: "" },
    Metric { name: "payment.expired", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Payments without an answer that were not settled in time.", starts: "an offline payment is older than `offline_payments.max_age`, an approval older than `stand_in.max_age`", stops: "" },
    Metric { name: "payment.declined_later", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Payments without an answer that their issuer declined on settlement: the goods are gone.", starts: "head office answers that it is declined", stops: "" },
    Metric { name: "failover.switch", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Changes of the active line, there and back.", starts: "the router changes its line", stops: "" },
    Metric { name: "failover.active", unit: Unit::Link, kind: Kind::Gauge, dimensions: &[], doc: "The line that the router uses.", starts: "the router changes its line", stops: "the next change" },
    Metric { name: "failover.dark", unit: Unit::Count, kind: Kind::Gauge, dimensions: &[], doc: "1 while the line that the router uses is cut by a `link.down` or `region.outage`, 0 while it is not; its mean is the share of time without a line.", starts: "a fault cuts the line in use, or the router goes over to one that is cut", stops: "the line is back, or the router goes over to one that is" },
    Metric { name: "link.*.bytes", unit: Unit::Bytes, kind: Kind::Counter, dimensions: &["class", "dir"], doc: "Bytes that a link carried, headers counted; `dir` is up or down.", starts: "a packet has left the link", stops: "" },
    Metric { name: "link.*.lost", unit: Unit::Count, kind: Kind::Counter, dimensions: &["class", "dir"], doc: "Packets that a link lost.", starts: "a packet is lost on the line or finds the queue full", stops: "" },
    Metric { name: "link.*.packets", unit: Unit::Count, kind: Kind::Counter, dimensions: &["class", "dir"], doc: "Packets that were offered to a link, lost ones included; not those that found it down.", starts: "a packet comes to a link", stops: "" },
    Metric { name: "link.*.used", unit: Unit::Bytes, kind: Kind::Gauge, dimensions: &[], doc: "Bytes that a link has carried in both directions in the current period of the data allowance; since the start where there is none.", starts: "a packet has left the link", stops: "the period ends" },
    Metric { name: "telemetry.generated", unit: Unit::Count, kind: Kind::Counter, dimensions: &["born"], doc: "Telemetry items that machines made.", starts: "a machine makes an item", stops: "" },
    Metric { name: "telemetry.acked", unit: Unit::Count, kind: Kind::Counter, dimensions: &["born"], doc: "Items that the collector acknowledged.", starts: "the collector answers OK", stops: "" },
    Metric { name: "telemetry.delivered", unit: Unit::Count, kind: Kind::Counter, dimensions: &["born"], doc: "Items that reached head office, each counted once.", starts: "head office receives an item for the first time", stops: "" },
    Metric { name: "telemetry.dropped", unit: Unit::Count, kind: Kind::Counter, dimensions: &["reason", "born"], doc: "Items given up, by the machine or by the collector, with a reason.", starts: "an item is given up", stops: "" },
    Metric { name: "telemetry.lost", unit: Unit::Count, kind: Kind::Counter, dimensions: &["born", "acked"], doc: "Items that are neither at head office nor in the collector's buffer when the run ends, dropped with a reason or not; `born` is the window in which they were made, `acked=true` are those that the collector had acknowledged, `acked=false` the others.", starts: "an item is made that nobody has at the end", stops: "" },
    Metric { name: "telemetry.duplicated", unit: Unit::Count, kind: Kind::Counter, dimensions: &["born"], doc: "Items that head office received again.", starts: "head office receives an item that it has", stops: "" },
    Metric { name: "telemetry.backlog", unit: Unit::Bytes, kind: Kind::Gauge, dimensions: &[], doc: "Bytes stored and not acknowledged by head office, after compression.", starts: "the collector stores or releases a batch", stops: "the next change" },
    Metric { name: "telemetry.lag", unit: Unit::Time, kind: Kind::Samples, dimensions: &["born"], doc: "How old an item is when it reaches head office; at the end of a run, items still on their way count with their age.", starts: "a machine makes an item", stops: "head office receives it" },
    Metric { name: "telemetry.first_fresh", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "After head office has heard nothing new for 5 minutes or longer: how long from the first item that it receives to the first one that the collector has had for 15 s at most.", starts: "head office receives an item after 5 minutes without any", stops: "it receives a fresh one" },
    Metric { name: "gateway.repeated", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Items that came again to head office's gateway, which dropped them.", starts: "the gateway acknowledges a request with items that it has", stops: "" },
    Metric { name: "collector.exports", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Export requests that head office answered.", starts: "head office answers", stops: "" },
    Metric { name: "collector.retry_gap", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "Time between an export that failed and the next attempt at the same destination; a refusal of the payload is no such failure.", starts: "an export fails on its way, or is sent away", stops: "the next attempt begins" },
    Metric { name: "hq.new_sessions", unit: Unit::PerSecond, kind: Kind::Gauge, dimensions: &[], doc: "New sessions that head office takes, in bins of one second.", starts: "a second begins", stops: "it ends" },
    Metric { name: "hq.requests", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Export requests that reached head office.", starts: "a request arrives", stops: "" },
    Metric { name: "hq.accepted", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Export requests that head office took in.", starts: "head office answers OK", stops: "" },
    Metric { name: "menu.staleness", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a kiosk, POS or menu board shows an old menu; one sample for each machine and version, and what it still does not show at the end counts with its age.", starts: "head office publishes a version of the menu", stops: "the machine shows it, or a newer one" },
    Metric { name: "catalog.sync", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a version of the menu or of the reference data takes into the store; what has not come by the end counts with its age.", starts: "head office publishes it", stops: "the catalog uses it, or a newer one" },
    Metric { name: "catalog.chunks", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Chunks of menu and reference data that came in.", starts: "a chunk is on the disk, with the right checksum", stops: "" },
    Metric { name: "catalog.refetched", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Chunks, media included, that a machine fetched again for the same version: what a crash or a power cut cost.", starts: "such a chunk is on the disk again", stops: "" },
    Metric { name: "media.done", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long bulk media take to a menu board; what has not come by the end counts with its age.", starts: "they are due", stops: "the board has all of them" },
    Metric { name: "media.chunks", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Chunks of media that came in.", starts: "a chunk is on the board's disk, with the right checksum", stops: "" },
    Metric { name: "soldout.lag", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a kiosk, POS or menu board goes on with an item that is sold out; one sample for each machine.", starts: "the stock counts the last portion down", stops: "the machine knows" },
    Metric { name: "restock.lag", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a kiosk, POS or menu board goes on without an item that is there again.", starts: "the stock has some again", stops: "the machine knows" },
    Metric { name: "soldout.items", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "How often an item was sold out.", starts: "the stock counts the last portion down", stops: "" },
    Metric { name: "soldout.sold", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Portions that were sold although none was left: somebody did not know yet.", starts: "the stock counts such a portion", stops: "" },
    Metric { name: "receipt.delay", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a customer waits for the receipt; what is not printed by the end counts with its age.", starts: "a POS has stored the sale", stops: "the receipt is out" },
    Metric { name: "receipt.printed", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Receipts that came out.", starts: "a receipt is out", stops: "" },
    Metric { name: "printer.empty", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "How often a printer ran out of paper.", starts: "the roll ends", stops: "" },
    Metric { name: "offer.scanned", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Coupons that customers showed.", starts: "a customer shows a coupon", stops: "" },
    Metric { name: "offer.answer", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a customer waits for the answer to a coupon, 15 s at most.", starts: "a customer shows a coupon", stops: "there is an answer, or the customer gives up" },
    Metric { name: "offer.redeemed", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Coupons whose reward was given.", starts: "the redemption is durable", stops: "" },
    Metric { name: "offer.refused", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Coupons that were refused: used, expired, or of an offer that the store has not heard of.", starts: "the customer has the answer", stops: "" },
    Metric { name: "offer.unknown", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Coupons that were refused because the store had not heard of the offer: its menu was older.", starts: "the customer has the answer", stops: "" },
    Metric { name: "offer.unanswered", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Customers who put the phone away without an answer.", starts: "the customer gives up", stops: "" },
    Metric { name: "offer.duplicated", unit: Unit::Count, kind: Kind::Counter, dimensions: &[], doc: "Coupons that gave a reward to two scans, or were settled twice.", starts: "the second effect", stops: "" },
    Metric { name: "reward.settle", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "How long a reward waits until head office has settled it; what waits at the end counts with its age.", starts: "the redemption is durable", stops: "head office settles it for the first time" },
    Metric { name: "custom.done", unit: Unit::Time, kind: Kind::Samples, dimensions: &[], doc: "What custom services say they did, and how long each took.", starts: "the time that the service tells as its beginning", stops: "the service tells it" },
    Metric { name: "event.out_of_order", unit: Unit::Count, kind: Kind::Counter, dimensions: &["by"], doc: "Events that reached head office before an older one of the same device.", starts: "an older event arrives late", stops: "" },
];

/// The metric of this name; `link.lte.bytes` finds `link.*.bytes`, whether or not there is such a link.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| link_of(m, name).is_some())
}

/// Whether `name` is this metric, and the link that stands for the `*`: empty where the metric has none.
pub fn link_of<'n>(metric: &Metric, name: &'n str) -> Option<&'n str> {
    match metric.name.split_once('*') {
        None => (metric.name == name).then_some(""),
        Some((before, after)) => name
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .filter(|link| !link.is_empty() && !link.contains('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stand_for_the_star() {
        let metric = find("link.lte.bytes").expect("a metric");
        assert_eq!(metric.name, "link.*.bytes");
        assert_eq!(link_of(metric, "link.lte.bytes"), Some("lte"));
        assert!(find("link..bytes").is_none());
        assert!(find("order.to_kitchen").is_none());
    }

    #[test]
    fn names_are_unique_and_documented() {
        for (i, metric) in METRICS.iter().enumerate() {
            assert!(
                METRICS[..i].iter().all(|m| m.name != metric.name),
                "{}",
                metric.name
            );
            assert!(metric.doc.ends_with('.'), "{}", metric.name);
            assert!(!metric.starts.is_empty(), "{}", metric.name);
        }
    }
}
