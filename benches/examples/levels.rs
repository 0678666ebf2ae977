//! What each level of compression costs and saves: `cargo run --release -p backroom-benches --example levels`.
//!
//! The batches are those of the intake benches, of 1 MiB; each level compresses the same ones with the deployed code. `core::level` of
//! the collector chooses by these figures: the last lines are its table (half of what was measured), and what `zstd:auto` makes of it on
//! some lines.

use backroom_benches::{cpu, intake};
use backroom_collector::{
    config::Codec,
    core::{
        codec::{CodecId, compress, decompress},
        level::{self, Price},
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Spans of a batch: about 1 MiB.
const SPANS: u64 = 2400;

/// Batches for each level.
const BATCHES: u64 = 16;

fn main() {
    let batches: Vec<bytes::Bytes> = (0..BATCHES)
        .map(|variant| intake::body(variant, SPANS).into())
        .collect();
    let raw: usize = batches.iter().map(bytes::Bytes::len).sum();
    let items = (BATCHES * SPANS) as f64;
    println!(
        "{BATCHES} batches of {SPANS} spans, {:.0} B each raw",
        raw as f64 / items
    );
    println!(
        "{:<10} {:>8} {:>8} {:>8}",
        "codec", "B/item", "ratio", "MB/s"
    );
    let mut measured = Vec::new();
    let zstd = [1, 3, 6, 9, 12, 15, 19].map(Codec::Zstd);
    let gzip = [1, 6, 9].map(Codec::Gzip);
    for codec in zstd.into_iter().chain(gzip) {
        let (sizes, took) = cpu::of(|| {
            let bodies = batches.iter();
            let packed = bodies.map(|body| compress(codec, std::slice::from_ref(body)));
            packed.collect::<Vec<_>>()
        });
        let id = match codec {
            Codec::Gzip(_) => CodecId::Gzip,
            _ => CodecId::Zstd,
        };
        for (body, packed) in batches.iter().zip(&sizes) {
            let back = decompress(id, packed, body.len() as u64).expect("what was compressed");
            assert_eq!(&back, body, "{codec:?} gives back what it was given");
        }
        let stored: usize = sizes.iter().map(bytes::Bytes::len).sum();
        let rate = raw as f64 / took.as_secs_f64() / 1e6;
        println!(
            "{:<10} {:>8.1} {:>8.2} {:>8}",
            format!("{codec:?}"),
            stored as f64 / items,
            raw as f64 / stored as f64,
            format!("{rate:.1}"),
        );
        if let Codec::Zstd(level) = codec {
            measured.push((level, rate, stored as f64 / items));
        }
    }
    print_auto(&measured);
}

/// Levels that `zstd:auto` chooses from, besides the least one.
const CHOSEN_FROM: [i32; 5] = [3, 6, 9, 12, 19];

/// A store's telemetry before compression, bytes a second.
const STORE_BYTES_PER_SECOND: f64 = 48e3;

/// The table of `core::level` as it would be by what was measured, and what its present one chooses for a store with an idle processor.
fn print_auto(measured: &[(i32, f64, f64)]) {
    let table: Vec<String> = measured
        .iter()
        .filter(|(level, ..)| CHOSEN_FROM.contains(level))
        .map(|(level, rate, _)| format!("({level}, {:.1}e6)", rate / 2.0))
        .collect();
    println!("\nfor core::level: [{}]", table.join(", "));
    let rate = |bits: f64| Price {
        is_metered: false,
        bytes_per_second: Some(bits / 8.0),
    };
    let metered = Price {
        is_metered: true,
        bytes_per_second: None,
    };
    println!("{:<20} {:>6} {:>8}", "zstd:auto", "level", "B/item");
    for (line, price) in [
        ("with a budget", metered),
        ("256 kbit/s", rate(256e3)),
        ("2 Mbit/s", rate(2e6)),
        ("10 Mbit/s", rate(10e6)),
        ("no known rate", Price::default()),
    ] {
        let level = level::choose(price, STORE_BYTES_PER_SECOND, 1.0);
        let found = measured.iter().find(|(of, ..)| *of == level as i32);
        let bytes = found.map_or_else(|| "-".into(), |(.., bytes)| format!("{bytes:.1}"));
        println!("{line:<20} {level:>6} {bytes:>8}");
    }
}
