//! What a kind of store sends: machines, how much of it, and in which pieces.
//!
//! The figures are those of [`crate::plan::stores`], with their sources; here they only become requests. Next: `drive`.

use crate::{
    plan::stores::Store,
    store::telemetry::source::{Machine, REQUEST_BYTES},
};

/// Seconds between two exports of a machine: the default of `traffic.telemetry.every`, and of the batch processors of stock SDKs.
const EVERY_SECONDS: f64 = 5.0;

/// One kind of store.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Its machines.
    pub machines: Vec<Machine>,
    /// Raw OTLP bytes a second of one store.
    pub bytes_per_second: f64,
    /// Bytes of a request, unless told otherwise: what one machine gathers in 5 s.
    pub request_bytes: usize,
}

impl Profile {
    /// Of a store of the table.
    pub fn of(store: &Store) -> Self {
        let mut machines = vec![("broker".to_owned(), "broker".to_owned())];
        for (group, count) in store.nodes {
            machines.extend((1..=*count).map(|n| ((*group).to_owned(), format!("{group}-{n}"))));
        }
        let bytes = store.telemetry_bytes_per_second * EVERY_SECONDS / machines.len() as f64;
        Self {
            name: store.name,
            request_bytes: (bytes as usize).clamp(*REQUEST_BYTES.start(), *REQUEST_BYTES.end()),
            bytes_per_second: store.telemetry_bytes_per_second,
            machines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::stores::{self, STORES};

    #[test]
    fn every_store_of_the_table_has_a_load() {
        for store in STORES {
            let profile = Profile::of(store);
            assert!(profile.machines.len() > 4, "{}", store.name);
            // Neither single items nor batches: what an SDK exports.
            assert!(
                (5_000..50_000).contains(&profile.request_bytes),
                "{}",
                store.name
            );
        }
        let quick = Profile::of(stores::find("quick-service").expect("it is there"));
        assert_eq!((quick.machines.len(), quick.request_bytes), (17, 14_117));
    }
}
