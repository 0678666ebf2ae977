//! How a store is: what it says to a gateway, and what a gateway shows of all of them, as JSON and as metrics.
//!
//! `/stores` lists every store; `/metrics` has sums, and series of single stores only while there are few
//! (`gateway.series_max`), for each series costs a monitoring system money. Next: `core::seen::stores`.

use serde::{Deserialize, Serialize};

use super::shared::{Shared, State};
use crate::{
    config::{Config, Role},
    core::{
        Mono,
        metrics::{Family, Kind, Relayed, Value},
        seen::stores::{Report, Stat, name},
    },
    env::Env,
    otlp::Signal,
};

/// The attribute of `telemetry.resource` that names a store.
const NAME_ATTRIBUTES: [&str; 2] = ["store.id", "service.instance.id"];

/// The path of the list.
pub const PATH: &str = "/stores";

/// All stores, as `/stores` gives them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    /// When it was written, unix seconds.
    pub unix_seconds: u64,
    /// By number.
    pub stores: Vec<Store>,
}

/// One store. Items and times in seconds; `null` where the store has not said it since the gateway started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Store {
    /// The number of its buffer, 16 hex digits.
    pub store: String,
    /// How people call it: `store.id` or `service.instance.id` of its `telemetry.resource`.
    pub name: Option<String>,
    /// When it was heard last, unix seconds.
    pub last_seen: u64,
    /// How long ago that is.
    pub age_seconds: u64,
    /// Whether that is more than `gateway.stale_after`.
    pub is_stale: bool,
    /// Items that wait there, beside those that are on their way.
    pub backlog_items: Option<u64>,
    /// The same in bytes after compression.
    pub backlog_bytes: Option<u64>,
    /// Items that were on their way when it was heard last, those of its last request included.
    pub under_way_items: Option<u64>,
    /// Time until they are delivered, at the rate of the last ten seconds.
    pub drain_seconds: Option<u64>,
    /// Items that it dropped, over all starts.
    pub dropped_items: Option<u64>,
    /// Items in its quarantine.
    pub quarantined_items: Option<u64>,
    /// Items taken from it since the gateway started.
    pub taken_items: u64,
    /// Items of it that were dropped as repeats since the gateway started.
    pub repeated_items: u64,
    /// Starts of its collector of which items are known.
    pub boots: u64,
    /// Holes in its numbers.
    pub gaps: u64,
    /// Items in them.
    pub missing_items: u64,
    /// Those that are neither in its backlog nor on their way, dropped or in its quarantine.
    pub unexplained_items: Option<u64>,
}

impl Store {
    fn new(stat: &Stat, now: u64) -> Self {
        let report = stat.report.as_ref();
        let said = |get: fn(&Report) -> u64| report.map(get);
        Self {
            store: format!("{:016x}", stat.store),
            name: report.and_then(|report| report.name.clone()),
            last_seen: stat.heard_at,
            age_seconds: now.saturating_sub(stat.heard_at),
            is_stale: stat.is_stale,
            backlog_items: said(|report| report.backlog_items),
            backlog_bytes: said(|report| report.backlog_bytes),
            under_way_items: said(|report| report.under_way_items),
            drain_seconds: report.and_then(|report| report.drain_seconds),
            dropped_items: said(|report| report.dropped_items),
            quarantined_items: said(|report| report.quarantined_items),
            taken_items: stat.taken_items,
            repeated_items: stat.repeated_items,
            boots: stat.gaps.boots,
            gaps: stat.gaps.holes,
            missing_items: stat.gaps.missing_items,
            unexplained_items: stat.unexplained_items(),
        }
    }
}

impl State {
    /// How this store is, for a gateway.
    pub(super) fn report(&self, config: &Config, now: Mono) -> Report {
        // What is under way is here when this is read, or comes again: a store that has sent everything has no backlog.
        let (stored, under_way) = (self.spool.backlog(), self.spool.under_way());
        let backlog_bytes = stored.bytes.saturating_sub(under_way.bytes);
        let accounts = Signal::ALL.map(|signal| self.spool.lifetime(signal));
        let rate = self.pressure.delivered.per_second(now);
        let seconds = backlog_bytes as f64 / rate;
        let resource = &config.telemetry.resource;
        let find = |key: &str| resource.iter().find(|(name, _)| name == key);
        let named = NAME_ATTRIBUTES.into_iter().find_map(find);
        Report {
            backlog_items: stored.items.saturating_sub(under_way.items),
            backlog_bytes,
            under_way_items: under_way.items,
            // A day of nothing leaves a rate that is not zero, and says nothing.
            drain_seconds: (rate >= 1.0).then_some(seconds.ceil() as u64),
            dropped_items: accounts.iter().map(|items| items.dropped_total()).sum(),
            quarantined_items: accounts.iter().map(|items| items.quarantined).sum(),
            name: named.and_then(|(_, value)| name(value)),
        }
    }

    fn stats(&self, config: &Config, unix_seconds: u64) -> Vec<Stat> {
        let stale_after = config.gateway.stale_after.as_secs();
        self.stores
            .stats(self.spool.seen(), unix_seconds, stale_after)
    }
}

/// What `/stores` answers; `None` where this is no gateway.
pub(super) fn page<E: Env>(shared: &Shared<E>) -> Option<String> {
    let config = shared.config();
    if config.role != Role::Gateway {
        return None;
    }
    let unix_seconds = shared.env.unix_time().as_secs();
    let stats = shared.lock().stats(&config, unix_seconds);
    let stores = stats.iter().map(|stat| Store::new(stat, unix_seconds));
    let page = Page {
        unix_seconds,
        stores: stores.collect(),
    };
    let text = serde_json::to_string(&page).expect("texts and numbers");
    Some(text + "\n")
}

/// The metrics of a gateway; none elsewhere.
pub(super) fn families(state: &State, config: &Config, unix_seconds: u64) -> Vec<Family> {
    if config.role != Role::Gateway {
        return Vec::new();
    }
    use Kind::{Counter, Gauge};
    let stats = state.stats(config, unix_seconds);
    let stale = stats.iter().filter(|stat| stat.is_stale).count() as u64;
    let seen = state.spool.seen();
    let counters = &state.counters;
    let requests = Family::new(
        "backroom_gateway_requests_total",
        Counter,
        "requests of stores that were taken in, by what was made of their range",
    );
    let requests = Relayed::ALL.iter().fold(requests, |family, relayed| {
        let count = counters.relayed[*relayed as usize];
        family.with([("range", relayed.name())], count)
    });
    let repeats = Family::new(
        "backroom_gateway_repeated_items_total",
        Counter,
        "items that had come before and were dropped",
    );
    let repeats = Signal::ALL.into_iter().fold(repeats, |family, signal| {
        let count = counters.repeated_items[signal.index()];
        family.with([("signal", signal.name())], count)
    });
    let sum = |get: fn(&Stat) -> u64| stats.iter().map(get).fold(0, u64::saturating_add);
    let mut out = vec![
        requests,
        repeats,
        Family::new(
            "backroom_gateway_stores",
            Gauge,
            "stores that are known, by whether they were heard within gateway.stale_after",
        )
        .with([("state", "fresh")], stats.len() as u64 - stale)
        .with([("state", "stale")], stale),
        Family::single(
            "backroom_gateway_intervals",
            Gauge,
            "intervals of item numbers that are remembered",
            seen.intervals() as u64,
        ),
        Family::single(
            "backroom_gateway_forgotten_items_total",
            Counter,
            "items that were forgotten before the horizon, for want of room: a repeat of them would pass",
            seen.crowded_out(),
        ),
        Family::single(
            "backroom_gateway_backlog_items",
            Gauge,
            "items that wait in stores beside what is under way, as they said last",
            sum(|stat| {
                stat.report
                    .as_ref()
                    .map_or(0, |report| report.backlog_items)
            }),
        ),
        Family::single(
            "backroom_gateway_missing_items",
            Gauge,
            "items in holes of the stores' numbers",
            sum(|stat| stat.gaps.missing_items),
        ),
        Family::single(
            "backroom_gateway_unexplained_items",
            Gauge,
            "the part of them that is neither in a backlog nor under way, dropped or in a quarantine, as stores say",
            sum(|stat| stat.unexplained_items().unwrap_or(0)),
        ),
    ];
    if stats.len() <= config.gateway.series_max {
        out.extend(series(&stats, unix_seconds));
    }
    out
}

/// One series for each store.
fn series(stats: &[Stat], unix_seconds: u64) -> [Family; 4] {
    type Get = fn(&Stat, u64) -> Option<u64>;
    let families: [(&str, &str, Get); 4] = [
        (
            "backroom_gateway_store_age_seconds",
            "time since a store was heard",
            |stat, now| Some(now.saturating_sub(stat.heard_at)),
        ),
        (
            "backroom_gateway_store_backlog_bytes",
            "what waits in a store beside what is under way, after compression",
            |stat, _| Some(stat.report.as_ref()?.backlog_bytes),
        ),
        (
            "backroom_gateway_store_drain_seconds",
            "time until that is delivered, as the store expects it",
            |stat, _| stat.report.as_ref()?.drain_seconds,
        ),
        (
            "backroom_gateway_store_missing_items",
            "items in holes of a store's numbers",
            |stat, _| Some(stat.gaps.missing_items),
        ),
    ];
    families.map(|(name, help, get)| {
        let mut family = Family::new(name, Kind::Gauge, help);
        for stat in stats {
            if let Some(value) = get(stat, unix_seconds) {
                let store = format!("{:016x}", stat.store);
                family.push([("store", store.into())], Value::Integer(value));
            }
        }
        family
    })
}
