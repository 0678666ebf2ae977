//! Reads the buffer's directory for `core::recovery`: journals whole, segments by their index or header by header.

use std::{collections::BTreeMap, io, path::Path};

use super::{
    BUDGET_FILE, LOCK_FILE, control::CONTROL_FILE, handling::LEDGER_FILE, reserve::RESERVE_FILE,
};
use crate::{
    config::Config,
    core::{
        Mono,
        frame::{self, Found, HEADER_BYTES, Header, Kind, Place, TRAILER_BYTES, Walk},
        recovery::{JOURNAL_BYTES_MAX, Recovery, Report, Suspect},
        spool::{FileId, FileKind, Limits, Spool, in_blocks},
    },
    env::{Disk, Env, File, Open},
};

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Ours: what counts from now on is synced first.
    Own,
    /// Somebody may be working on them: they are only looked at, and may go away meanwhile.
    Look,
}

/// Files of ours that are written as a whole; whoever writes one says its length to [`Spool::hold_small`].
const SMALL_FILES: [&str; 4] = [BUDGET_FILE, CONTROL_FILE, LEDGER_FILE, LOCK_FILE];

/// Makes the spool of what is on disk. Nothing is written but what stands there already, and that by its owner alone.
///
/// # Errors
/// If the directory cannot be listed. Whatever else goes wrong is in the report.
pub(super) async fn recover<E: Env>(
    env: &E,
    config: &Config,
    access: Access,
) -> io::Result<(Spool, Report)> {
    let dir = &config.buffer.dir;
    let disk = env.disk();
    let limits = Limits {
        block_bytes: disk.block_bytes(dir).await?,
        ..Limits::new(config)
    };
    let mut recovery = Recovery::new();
    recovery.set_clock(env.unix_time().as_nanos() as u64);
    let mut segments = Vec::new();
    let is_gone =
        |error: &io::Error| access == Access::Look && error.kind() == io::ErrorKind::NotFound;
    for entry in disk.read_dir(dir).await? {
        let id = FileId::from_name(&entry.name).filter(|_| !entry.is_dir);
        let whole = in_blocks(entry.bytes, limits.block_bytes);
        // Somebody's file may have holes, or more blocks than bytes.
        let disk_bytes = entry.disk_bytes.max(whole);
        if let Some(id) = id {
            recovery.on_disk(id, disk_bytes);
        }
        let own = SMALL_FILES.iter().find(|name| **name == entry.name);
        match id {
            Some(id) if id.kind == FileKind::Journal => {
                match disk.read(&dir.join(&entry.name), JOURNAL_BYTES_MAX).await {
                    Ok(data) => recovery.journal(id.number, &data),
                    Err(error) if is_gone(&error) => {}
                    Err(error) => recovery.unreadable(id, disk_bytes, &error.to_string()),
                }
            }
            Some(id) if id.kind == FileKind::Batches => segments.push((id, entry.bytes)),
            _ if entry.name == RESERVE_FILE && !entry.is_dir => {
                recovery.reserve(entry.disk_bytes);
            }
            Some(id) if id.kind == FileKind::Quarantine => {
                recovery.other(Some(id), entry.bytes);
            }
            _ => match own.filter(|_| !entry.is_dir) {
                Some(name) => recovery.small(name, disk_bytes),
                None => recovery.other(id, disk_bytes),
            },
        }
    }
    if access == Access::Own {
        make_sure(disk, dir, &mut recovery).await;
    }
    let segment_bytes: BTreeMap<FileId, u64> = segments.into_iter().collect();
    for (&id, &bytes) in &segment_bytes {
        let path = dir.join(id.name());
        match read_headers(disk, &path, id, bytes).await {
            Ok(found) => {
                let suspects = recovery.segment(id.number, bytes, &found);
                if suspects.is_empty() {
                    continue;
                }
                let mut verified = Vec::with_capacity(suspects.len());
                for suspect in suspects {
                    let place = suspect.place;
                    let frame = read_frame(disk, &path, place, &suspect.header).await;
                    let is_good = match (access, frame) {
                        (Access::Look, frame) => frame.is_ok(),
                        (Access::Own, Ok(frame)) => {
                            write_again(disk, &path, place.offset, frame).await.is_ok()
                        }
                        (Access::Own, Err(_)) => false,
                    };
                    verified.push((suspect, is_good));
                }
                let is_synced = match access {
                    Access::Own => sync(disk, &path, dir).await.is_ok(),
                    Access::Look => true,
                };
                for (suspect, is_good) in verified {
                    recovery.verified(&suspect, is_synced && is_good);
                }
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                let bytes = in_blocks(bytes, limits.block_bytes);
                recovery.unreadable(id, bytes, &error.to_string());
            }
        }
    }
    for number in recovery.twins() {
        let id = FileId {
            kind: FileKind::Batches,
            number,
        };
        let bytes = segment_bytes.get(&id).copied().unwrap_or(0);
        if let Ok(found) = read_headers(disk, &dir.join(id.name()), id, bytes).await {
            recovery.again(number, &found);
        }
    }
    let seed = env.seed("store");
    let random = u64::from_le_bytes(seed[..8].try_into().expect("8 of 32 bytes"));
    // Where seeds repeat, as in a simulation, the clock tells two buffers of one machine apart.
    let clock = env.unix_time().as_nanos() as u64;
    let store = random ^ clock.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Ok(recovery.finish(limits, store, Mono::default()))
}

/// Makes requests durable that a gateway would acknowledge a repeat of, and that may never have been synced.
async fn make_sure<D: Disk>(disk: &D, dir: &Path, recovery: &mut Recovery) {
    let mut by_file: BTreeMap<u64, Vec<Suspect>> = BTreeMap::new();
    for suspect in recovery.relayed_in_doubt() {
        by_file.entry(suspect.place.file).or_default().push(suspect);
    }
    for (number, suspects) in by_file {
        let kind = FileKind::Journal;
        let path = dir.join(FileId { kind, number }.name());
        let again = async {
            for suspect in &suspects {
                let frame = read_frame(disk, &path, suspect.place, &suspect.header).await?;
                write_again(disk, &path, suspect.place.offset, frame).await?;
            }
            sync(disk, &path, dir).await
        };
        if again.await.is_err() {
            for suspect in &suspects {
                recovery.stays_in_doubt(suspect);
            }
        }
    }
}

/// Writes a frame's own bytes over it.
///
/// Only the process may have died: what is read back need not be on the platter, and its journal will be released on the
/// strength of it. To sync it is not enough: after a sync that failed the kernel takes its pages for clean, and the next one
/// says yes and writes nothing (`a_failed_sync_is_not_made_good_by_the_next_start`).
async fn write_again<D: Disk>(
    disk: &D,
    path: &Path,
    offset: u64,
    frame: bytes::Bytes,
) -> io::Result<()> {
    let file = disk.open(path, Open::ReadWrite).await?;
    file.write_at(offset, frame).await
}

async fn sync<D: Disk>(disk: &D, path: &Path, dir: &Path) -> io::Result<()> {
    disk.open(path, Open::ReadWrite).await?.sync().await?;
    disk.sync_dir(dir).await
}

/// Everything in a segment, without payloads.
pub(super) async fn read_headers<D: Disk>(
    disk: &D,
    path: &Path,
    id: FileId,
    bytes: u64,
) -> io::Result<Vec<Found>> {
    let file = disk.open(path, Open::Read).await?;
    if bytes > TRAILER_BYTES as u64 {
        let trailer = file
            .read_at(bytes - TRAILER_BYTES as u64, TRAILER_BYTES)
            .await?;
        if let Some((offset, len)) = frame::decode_trailer(id.number, bytes, &trailer) {
            let place = Place {
                file: id.number,
                offset,
            };
            let index = file.read_at(offset, len).await?;
            if let Some(entries) = frame::decode_index(place, &index) {
                let whole = |(offset, header): (u64, Header)| Found::Frame {
                    offset,
                    header,
                    is_whole: true,
                };
                return Ok(entries.into_iter().map(whole).collect());
            }
        }
    }
    let mut walk = Walk::new(id.number, bytes);
    let mut found = Vec::new();
    while let Some((offset, len)) = walk.want() {
        found.extend(walk.feed(&file.read_at(offset, len).await?));
    }
    Ok(found)
}

/// The headers of the batches in a segment; none if it is gone.
pub(super) async fn read_batches<D: Disk>(
    disk: &D,
    path: &Path,
    id: FileId,
    bytes: u64,
) -> io::Result<Vec<(u64, Header)>> {
    let found = match read_headers(disk, path, id, bytes).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    let batch = |found| match found {
        Found::Frame {
            offset,
            header,
            is_whole: true,
        } if header.kind == Kind::Batch && header.range.count > 0 => Some((offset, header)),
        _ => None,
    };
    Ok(found.into_iter().filter_map(batch).collect())
}

/// Reads a frame's payload and checks it.
///
/// # Errors
/// `InvalidData` if it is not what was stored, and what the disk reports.
pub(super) async fn read_payload<D: Disk>(
    disk: &D,
    path: &Path,
    place: Place,
    header: &Header,
) -> io::Result<bytes::Bytes> {
    let mut frame = read_frame(disk, path, place, header).await?;
    Ok(frame.split_off(HEADER_BYTES))
}

/// Reads a whole frame and checks it.
async fn read_frame<D: Disk>(
    disk: &D,
    path: &Path,
    place: Place,
    header: &Header,
) -> io::Result<bytes::Bytes> {
    let file = disk.open(path, Open::Read).await?;
    let len = HEADER_BYTES + header.payload_bytes as usize;
    let data = file.read_at(place.offset, len).await?;
    let found = Header::decode(&data, place);
    let payload = data.slice(data.len().min(HEADER_BYTES)..);
    if found.as_ref() == Some(header) && header.is_intact(&payload) {
        return Ok(data);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "read {}: the frame at byte {} is not what was written",
            path.display(),
            place.offset
        ),
    ))
}
