//! Which items of a load were acknowledged: ranges of numbers, store by store, written down for the receiver to check against.
//!
//! Memory grows with the holes between acknowledged requests, not with items; the file is bounded by [`RECEIPT_BYTES_MAX`] when it is
//! read.

use std::path::Path;

use backroom_collector::{
    core::{range::ItemRange, ranges::Ranges},
    otlp::Signal,
};
use backroom_reports::{SCHEMA_VERSION, load};

/// Largest receipt that is read: some two million holes.
pub const RECEIPT_BYTES_MAX: u64 = 64 << 20;

/// Consecutive numbers of one store of one run, for a set of ranges. The signal stands for all: a store has one numbering.
pub fn range(run: u16, store: u16, first: u32, count: u32) -> ItemRange {
    ItemRange {
        store: store.into(),
        boot: run.into(),
        class: Signal::Traces.into(),
        signal: Signal::Traces,
        first: first.into(),
        count: count.into(),
    }
}

/// The tag of a run as it is written.
pub fn tag(run: u16) -> String {
    format!("{run:04x}")
}

/// Puts a receipt together.
pub fn of(run: u16, stores: u16, acked: &Ranges) -> load::Receipt {
    let mut list: Vec<load::ReceiptStore> = (1..=stores)
        .map(|store| load::ReceiptStore {
            store,
            acked: Vec::new(),
        })
        .collect();
    for range in acked.iter() {
        let at = usize::try_from(range.store).expect("stores have 16 bits") - 1;
        let number = |n: u64| u32::try_from(n).expect("numbers have 32 bits");
        list[at]
            .acked
            .push([number(range.first), number(range.end() - 1)]);
    }
    load::Receipt {
        schema_version: SCHEMA_VERSION,
        run: tag(run),
        stores: list,
    }
}

/// Reads a receipt: the run, and what was acknowledged.
///
/// # Errors
/// The file, what is wrong in it and where.
pub fn read(path: &Path) -> Result<(u16, Ranges), String> {
    let failed = |what: String| format!("read receipt {}: {what}", path.display());
    let bytes = std::fs::metadata(path)
        .map_err(|error| failed(error.to_string()))?
        .len();
    if bytes > RECEIPT_BYTES_MAX {
        return Err(failed(format!(
            "{bytes} bytes, at most {RECEIPT_BYTES_MAX}"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    parse(&text).map_err(failed)
}

fn parse(text: &str) -> Result<(u16, Ranges), String> {
    let receipt: load::Receipt = serde_json::from_str(text)
        .map_err(|error| format!("{error}; write it with `backroom load --receipt`"))?;
    if receipt.schema_version != SCHEMA_VERSION {
        return Err(format!(
            "schema_version is {}, this version reads {SCHEMA_VERSION}",
            receipt.schema_version
        ));
    }
    let run = u16::from_str_radix(&receipt.run, 16)
        .map_err(|_| format!("run is `{}`, not four hexadecimal digits", receipt.run))?;
    let mut acked = Ranges::default();
    for store in &receipt.stores {
        for [first, last] in &store.acked {
            let count = last.checked_sub(*first).and_then(|n| n.checked_add(1));
            let count = count.filter(|_| *first > 0).ok_or_else(|| {
                format!(
                    "store {}: [{first}, {last}] is no range of numbers from 1",
                    store.store
                )
            })?;
            acked.insert(&range(run, store.store, *first, count));
        }
    }
    Ok((run, acked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_as_it_was_written() {
        let mut acked = Ranges::default();
        for (store, first, count) in [(1, 1, 10), (1, 20, 5), (3, 7, 1)] {
            acked.insert(&range(0xbeef, store, first, count));
        }
        let receipt = of(0xbeef, 3, &acked);
        assert_eq!(receipt.stores[0].acked, [[1, 10], [20, 24]]);
        let text = load::render_json(&receipt);
        assert_eq!(parse(&text), Ok((0xbeef, acked)));
    }

    #[test]
    fn what_is_no_receipt_is_refused() {
        let check = |text: &str, why: &str| {
            let said = parse(text).expect_err(text);
            assert!(said.contains(why), "{said}");
        };
        check("", "backroom load --receipt");
        check("[]", "backroom load --receipt");
        check(r#"{"schema_version":9999,"run":"1","stores":[]}"#, "9999");
        let with = |run: &str, stores: &str| {
            format!(r#"{{"schema_version":{SCHEMA_VERSION},"run":"{run}","stores":[{stores}]}}"#)
        };
        check(&with("xyz", ""), "hexadecimal");
        check(&with("10000", ""), "hexadecimal");
        check(
            &with("1", r#"{"store":1,"acked":[[5,4]]}"#),
            "store 1: [5, 4]",
        );
        check(&with("1", r#"{"store":1,"acked":[[0,4]]}"#), "[0, 4]");
        check(&with("1", r#"{"store":70000,"acked":[]}"#), "70000");
        check(&with("1", r#"{"store":1,"acked":[],"more":1}"#), "more");
        check(
            &with("1", r#"{"store":1,"acked":[[0,4294967295]]}"#),
            "no range",
        );
        assert!(parse(&with("1", r#"{"store":1,"acked":[[1,4294967295]]}"#)).is_ok());
    }
}
