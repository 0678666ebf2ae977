//! What each level of compression costs and saves: `cargo run --release -p backroom-benches --example levels`.
//!
//! The batches are those of the intake benches, of 1 MiB; each level compresses the same ones with the deployed code. `core::level` of
//! the collector chooses by these figures.

use backroom_benches::{cpu, intake};
use backroom_collector::{
    config::Codec,
    core::codec::{CodecId, compress, decompress},
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
        let rate = took.map(|took| raw as f64 / took.as_secs_f64() / 1e6);
        println!(
            "{:<10} {:>8.1} {:>8.2} {:>8}",
            format!("{codec:?}"),
            stored as f64 / items,
            raw as f64 / stored as f64,
            rate.map_or_else(|| "-".into(), |rate| format!("{rate:.1}")),
        );
    }
}
