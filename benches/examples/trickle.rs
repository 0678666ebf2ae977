//! What an hour of a quiet store takes on disk, as its batches are sealed by their delay and as they are held open while nobody
//! waits for them: `cargo run --release -p backroom-benches --example trickle`.
//!
//! It drives the spool alone, with virtual time and the deployed limits and compression. Every request is committed by itself, as
//! an acknowledged one must be.

use std::time::Duration;

use backroom_benches::intake::body;
use backroom_collector::{
    config::Config,
    core::{
        Mono,
        codec::compress,
        spool::{Admission, FileId, Limits, Spool},
    },
    otlp::Signal,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HOUR: Duration = Duration::from_secs(3600);

/// What was found.
struct Hour {
    items: u64,
    raw_bytes: u64,
    /// Sealed batches, and their files.
    batches: u64,
    stored_bytes: u64,
    /// All that was written: journals, too.
    written_bytes: u64,
}

/// An hour of `per_second` requests of `spans` spans.
fn play(per_second: u32, spans: u64, holds_open: bool) -> Hour {
    let mut spool = Spool::new(Limits::new(&Config::default()), 412);
    spool.hold_open(holds_open);
    let (mut raw_bytes, mut written_bytes) = (0, 0);
    let requests = u64::from(per_second) * HOUR.as_secs();
    for number in 0..requests {
        let now = Mono(HOUR * number as u32 / requests as u32);
        seal(&mut spool, now, &mut written_bytes);
        let body = body(number, spans);
        raw_bytes += body.len() as u64;
        let born = 1_763_000_000_000_000_000 + now.0.as_nanos() as u64;
        let admission = spool.append(Signal::Traces, spans, body.into(), born);
        assert_eq!(admission, Admission::Queued);
        let commit = spool.begin_commit().expect("a request waits");
        written_bytes += commit.bytes.len() as u64;
        spool.commit_done(now, true);
        let garbage: Vec<FileId> = spool.take_garbage();
        garbage.into_iter().for_each(|file| spool.removed(file));
    }
    spool.close_batches();
    seal(&mut spool, Mono(HOUR), &mut written_bytes);
    let mut classes = spool.classes().filter(|class| class.items > 0);
    let class = classes.next().expect("all of it is stored");
    Hour {
        items: class.items,
        raw_bytes,
        batches: class.batches,
        stored_bytes: class.disk_bytes,
        written_bytes,
    }
}

fn seal(spool: &mut Spool, now: Mono, written_bytes: &mut u64) {
    while let Some(work) = spool.begin_seal(now) {
        let compressed = compress(work.codec, &work.pieces);
        let placement = spool.place_batch(work.codec.into(), &compressed);
        *written_bytes += placement.bytes.len() as u64;
        spool.seal_done(true);
    }
}

fn main() {
    println!("requests/s  spans  batches            raw KiB/batch  disk B/span  written B/span");
    for (per_second, spans) in [(1, 1), (1, 10), (2, 10), (10, 10), (10, 100)] {
        for (name, holds_open) in [("by delay", false), ("held open", true)] {
            let hour = play(per_second, spans, holds_open);
            let per_item = |bytes: u64| bytes as f64 / hour.items as f64;
            println!(
                "{per_second:>10}  {spans:>5}  {:>6} {name:<10}  {:>13.1}  {:>11.1}  {:>14.1}",
                hour.batches,
                hour.raw_bytes as f64 / hour.batches as f64 / 1024.0,
                per_item(hour.stored_bytes),
                per_item(hour.written_bytes),
            );
        }
    }
}
