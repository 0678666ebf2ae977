//! Small stores that are simulated as a whole, for the wall time of one of their machines: a till's outbox, and the catalog.
//!
//! The machines are the deployed programs of `backroom_sim::store`, so what is measured has their journals, checksums, requests and answers, and
//! the simulated disk and network below them; virtual time costs nothing. How much a run does is counted in what it recorded.

use std::path::{Path, PathBuf};

use backroom_sim::{
    event::{Event, ShopEvent},
    lab::Lab,
    plan::stores::Store,
    run::one::SeedRun,
};

/// The seed of every run: all of them do the same.
const SEED: u64 = 1;

/// A store, and how much a run of it does.
#[derive(Debug)]
pub struct Whole {
    lab: Lab,
    /// Orders that head office has booked, or chunks that are stored.
    pub items: u64,
    /// Their bytes, without heads.
    pub bytes: u64,
}

/// Where a scenario stands.
pub fn path_of(name: &str) -> PathBuf {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    scenarios.join(name).with_extension("toml")
}

/// Bytes of a sale, as `scenarios/outbox.toml` declares them.
const SALE_BYTES: u64 = 1600;

/// A day's sales of a kind of store within an hour: each is put into the outbox and synced, uploaded, and struck out when the ledger has
/// answered. The line is dead for `outage_seconds`; what was sold meanwhile goes in batches then.
///
/// # Errors
/// What is wrong with the scenario; or not every sale was booked.
pub fn outbox(store: &Store, outage_seconds: u32) -> Result<Whole, String> {
    let tills = store.nodes.iter().find(|(group, _)| *group == "pos");
    let tills = tills.map_or(1, |(_, count)| *count);
    let lab = open(
        "outbox",
        &[
            &format!("node.pos.count={tills}"),
            &format!("traffic.orders.rate={}/h", store.sales_per_day),
            &format!("fault.dead.for={outage_seconds}s"),
        ],
    )?;
    let run = played(&lab)?;
    let count = |is: fn(&Event) -> bool| run.events.iter().filter(|s| is(&s.event)).count() as u64;
    let stored = count(|event| matches!(event, Event::SaleStored { .. }));
    let booked = count(|event| matches!(event, Event::SaleBooked { .. }));
    if booked == 0 || stored != booked {
        return Err(format!("{}: {stored} sales, {booked} booked", store.name));
    }
    Ok(Whole {
        lab,
        items: booked,
        bytes: booked * SALE_BYTES,
    })
}

/// A version of reference data in chunks of so many KiB: fetched, checked, put down and synced one after the other, then used.
///
/// # Errors
/// What is wrong with the scenario; or the version is not there at the end.
pub fn catalog(chunk_kib: u32) -> Result<Whole, String> {
    let lab = open(
        "catalog",
        &[&format!("catalog.reference.chunk={chunk_kib}KiB")],
    )?;
    let reference = lab.scenario().shop.catalog.as_ref();
    let reference = reference.and_then(|catalog| catalog.reference.clone());
    let reference = reference.ok_or("the scenario publishes no reference data")?;
    let run = played(&lab)?;
    let (mut items, mut bytes) = (0, 0);
    for stamped in run.events.iter() {
        if let Event::Shop(ShopEvent::ChunkStored { index, .. }) = stamped.event {
            items += 1;
            bytes += reference.chunk_bytes(index);
        }
    }
    if bytes != reference.bytes.0 {
        let whole = reference.bytes.0;
        return Err(format!("{bytes} of {whole} bytes came"));
    }
    Ok(Whole { lab, items, bytes })
}

fn open(name: &str, sets: &[&str]) -> Result<Lab, String> {
    Lab::open(path_of(name), sets)
}

fn played(lab: &Lab) -> Result<SeedRun, String> {
    let run = lab.run(SEED).map_err(|error| error.to_string())?;
    match &run.pending[..] {
        [] => Ok(run),
        left => Err(format!("not settled: {}", left.join(", "))),
    }
}

impl Whole {
    /// Simulates it once more.
    ///
    /// # Errors
    /// As at the first time: that is, never.
    pub fn play(&self) -> Result<SeedRun, String> {
        played(&self.lab)
    }
}

#[cfg(test)]
mod tests {
    use backroom_sim::plan::stores;

    use super::*;

    #[test]
    fn sales_wait_out_an_outage_and_all_are_counted() {
        let store = stores::find("agency-office").expect("a kind");
        for outage in [1, 1200] {
            let whole = outbox(store, outage).expect("all are booked");
            assert!(whole.items.abs_diff(120) <= 2, "{}", whole.items);
            assert_eq!(whole.bytes, whole.items * SALE_BYTES);
        }
    }

    #[test]
    fn a_version_comes_in_chunks() {
        let whole = catalog(4096).expect("it comes");
        assert_eq!((whole.items, whole.bytes), (8, 32 << 20));
    }
}
