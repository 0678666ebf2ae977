//! A backlog of any size that costs little disk: real headers, indexes, trailers and a real journal around payloads of zeros, for which
//! no block is taken. A start reads nothing else; the checksums of the payloads are right all the same.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use backroom_collector::{
    config::Config,
    core::{
        Mono,
        codec::CodecId,
        frame::{self, Header, Kind, Place},
        range::ItemRange,
        spool::{Admission, FileId, FileKind, Limits, Spool},
    },
    otlp::Signal,
};

use crate::intake::{SPANS, body};

/// Stored bytes of a batch: what a MiB of store-like spans becomes.
const PAYLOAD_BYTES: usize = 180 << 10;

/// Requests in a batch.
const REQUESTS: u64 = 24;

/// Birth of the oldest item: nothing is too old by default.
const BORN: u64 = 1_763_000_000_000_000_000;

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Batch segments.
    pub segments: u64,
    /// Batches in them.
    pub batches: u64,
    /// Items in these.
    pub items: u64,
    /// Length of all files.
    pub bytes: u64,
}

/// Fills an empty directory with a backlog of at least `bytes`, as a collector of this configuration leaves it whose power was
/// cut: the last segment has no index.
///
/// # Errors
/// What the file system says.
pub fn make(dir: &Path, config: &Config, bytes: u64) -> io::Result<Backlog> {
    let limits = Limits::new(config);
    let segment_bytes = limits.segment_bytes;
    let mut backlog = Backlog::default();
    // The journal of this store: one request that is not sealed.
    let mut spool = Spool::new(limits, 412);
    let admission = spool.append(Signal::Traces, SPANS, body(0, SPANS).into(), BORN);
    assert_eq!(admission, Admission::Queued);
    let commit = spool.begin_commit().expect("a request waits");
    let (store, boot) = spool.identity();
    std::fs::write(dir.join(commit.file.name()), &commit.bytes)?;
    backlog.bytes += commit.bytes.len() as u64;
    spool.commit_done(Mono::default(), true);

    let zeros = vec![0; PAYLOAD_BYTES];
    let mut header = Header {
        kind: Kind::Batch,
        codec: CodecId::Zstd,
        payload_bytes: PAYLOAD_BYTES as u32,
        payload_crc: crc32c::crc32c(&zeros),
        raw_bytes: 1 << 20,
        range: ItemRange {
            store,
            boot,
            class: Signal::Traces.into(),
            signal: Signal::Traces,
            // Behind the request of the journal.
            first: SPANS,
            count: SPANS * REQUESTS,
        },
        born_min: BORN,
        born_max: BORN,
        commit: 0,
    };
    let step = frame::frame_bytes(PAYLOAD_BYTES);
    let mut number = commit.file.number;
    while backlog.bytes < bytes {
        number += 1;
        let kind = FileKind::Batches;
        let file = File::create_new(dir.join(FileId { kind, number }.name()))?;
        let (mut offset, mut entries) = (0, Vec::new());
        while offset + step <= segment_bytes && backlog.bytes + offset < bytes {
            let place = Place {
                file: number,
                offset,
            };
            file.write_all_at(&header.encode(place), offset)?;
            entries.push((offset, header));
            header.range.first += header.range.count;
            offset += step;
        }
        backlog.segments += 1;
        backlog.batches += entries.len() as u64;
        backlog.items += entries.len() as u64 * header.range.count;
        backlog.bytes += offset;
        if backlog.bytes < bytes {
            let base = Place {
                file: number,
                offset,
            };
            let template = Header {
                kind: Kind::Index,
                codec: CodecId::None,
                range: ItemRange {
                    count: 0,
                    ..header.range
                },
                ..header
            };
            let footer = frame::encode_footer(base, template, &entries);
            file.write_all_at(&footer, offset)?;
            backlog.bytes += footer.len() as u64;
        } else {
            file.set_len(offset)?;
        }
        file.sync_all()?;
    }
    Ok(backlog)
}
