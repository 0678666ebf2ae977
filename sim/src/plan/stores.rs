//! Kinds of stores, as data: what they produce and how much of it, each figure with where it comes from.
//!
//! The same sizes everywhere: `backroom plan` computes with them, benches are named after them. Every figure can be replaced on the
//! command line, because no two stores are alike.

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Store {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Machines by node group of the template, for a simulated check.
    pub nodes: &'static [(&'static str, u32)],
    /// Raw OTLP bytes per second of all machines together.
    pub telemetry_bytes_per_second: f64,
    /// Raw bytes over stored bytes.
    pub compression_ratio: f64,
    /// Sales of a mean day.
    pub sales_per_day: f64,
    /// Wire bytes of a sale on the backup line: payment, its answer, the sale itself, headers of all.
    pub sale_bytes: f64,
    /// Bytes that the backup line may carry in 30 days, both directions.
    pub allowance_bytes: f64,
    /// Mean seconds between two outages of its line.
    pub mtbf_seconds: f64,
    /// Mean seconds of an outage.
    pub mttr_seconds: f64,
    /// Where the figures come from.
    pub sources: &'static [(&'static str, &'static str)],
}

const DAY: f64 = 86_400.0;

/// 30 days and 2 hours: the assumption of `scenarios/buffer-sizing.toml`.
const OUTAGES: (&str, &str) = (
    "mtbf, mttr",
    "assumption: one outage of 2 h a month, as in scenarios/buffer-sizing.toml; take your provider's figures",
);

const RATIO: (&str, &str) = (
    "compression ratio",
    "declared in scenarios/stores/qsr-18.toml; the simulated check measures it",
);

/// 4,400 B: 900 + 300 + 1,600 of payload, and about 1,600 of HTTP, TCP and IP headers and acknowledgements.
const SALE_BYTES: f64 = 4400.0;

const SALE: (&str, &str) = (
    "sale",
    "payment.auth and order.sync of scenarios/stores/qsr-18.toml, with headers",
);

/// 2 GiB.
const ALLOWANCE_BYTES: f64 = 2_147_483_648.0;

const ALLOWANCE: (&str, &str) = (
    "allowance",
    "failover.data_cap of scenarios/stores/qsr-18.toml; take your contract's figure",
);

/// All kinds.
pub static STORES: &[Store] = &[
    Store {
        name: "quick-service",
        doc: "a quick-service restaurant with 18 devices",
        nodes: &[("kiosk", 6), ("pos", 4), ("kds", 3), ("signage", 3)],
        telemetry_bytes_per_second: 48_000.0,
        compression_ratio: 8.0,
        sales_per_day: 1250.0,
        sale_bytes: SALE_BYTES,
        allowance_bytes: ALLOWANCE_BYTES,
        mtbf_seconds: 30.0 * DAY,
        mttr_seconds: 7200.0,
        sources: &[
            ("devices, telemetry", "scenarios/stores/qsr-18.toml"),
            RATIO,
            (
                "sales",
                "180/h at the peak by the profile lunch-peak of that file, mean of a week",
            ),
            SALE,
            ALLOWANCE,
            OUTAGES,
        ],
    },
    Store {
        name: "grocery",
        doc: "a grocery with 12 tills and 28 devices",
        nodes: &[("kiosk", 6), ("pos", 12), ("kds", 1), ("signage", 7)],
        telemetry_bytes_per_second: 75_000.0,
        compression_ratio: 8.0,
        sales_per_day: 2170.0,
        sale_bytes: SALE_BYTES,
        allowance_bytes: ALLOWANCE_BYTES,
        mtbf_seconds: 30.0 * DAY,
        mttr_seconds: 7200.0,
        sources: &[
            (
                "devices",
                "assumption: a tenth of the day's sales in the busiest hour, 3 min each, keep 11 of 12 tills busy; the other devices are an assumption alone",
            ),
            (
                "sales",
                "$638,756 a week at $42.07 each: median US supermarket of 2021, FMI Supermarket Facts, as in mngrocers.com/industry/stats",
            ),
            (
                "telemetry",
                "assumption: that of a quick-service device, 2.7 KB/s, for 28 devices",
            ),
            RATIO,
            SALE,
            ALLOWANCE,
            OUTAGES,
        ],
    },
    Store {
        name: "agency-office",
        doc: "an agency's office with 6 devices",
        nodes: &[("kiosk", 1), ("pos", 2), ("kds", 1), ("signage", 1)],
        telemetry_bytes_per_second: 16_000.0,
        compression_ratio: 8.0,
        sales_per_day: 120.0,
        sale_bytes: SALE_BYTES,
        allowance_bytes: ALLOWANCE_BYTES,
        mtbf_seconds: 30.0 * DAY,
        mttr_seconds: 7200.0,
        sources: &[
            (
                "devices",
                "assumption: a device for each of about 6 people; 6.2 is what askwonder.com quotes of the IIABA Agency Universe Study 2014, which was not read",
            ),
            (
                "sales",
                "assumption: 20 payments and policies a person and day, no statistic was found",
            ),
            (
                "telemetry",
                "assumption: that of a quick-service device, 2.7 KB/s, for 6 devices",
            ),
            RATIO,
            SALE,
            ALLOWANCE,
            OUTAGES,
        ],
    },
];

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Store> {
    STORES.iter().find(|s| s.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_source_and_fits_into_a_world() {
        for store in STORES {
            let machines: u32 = store.nodes.iter().map(|(_, n)| n).sum();
            // Broker, collector and head office.
            assert!(
                machines as usize + 3 <= crate::world::MACHINES_MAX,
                "{}",
                store.name
            );
            let sources: String = store.sources.iter().map(|(of, _)| *of).collect();
            for figure in [
                "devices",
                "telemetry",
                "ratio",
                "sales",
                "sale",
                "allowance",
                "mtbf",
            ] {
                assert!(sources.contains(figure), "{}: {figure}", store.name);
            }
        }
        assert!(find("quick-service").is_some() && find("palace").is_none());
    }
}
