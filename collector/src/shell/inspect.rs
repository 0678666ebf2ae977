//! A buffer from outside: what stands in its files, read only, while a collector works on them or not.
//!
//! It makes the very spool that a starting collector would make (`core::recovery`), so that a tool and the collector cannot
//! disagree about what is stored; nothing is locked, written or synced. Files that appear or go meanwhile are no trouble:
//! what is seen is a moment's picture. Next: `recover`, which reads the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    recover::{self, Access},
    verify::quarantined,
};
use crate::{
    config::Config,
    core::{
        accounting::Items,
        codec::decompress,
        frame::{Found, HEADER_BYTES, Header, Kind, Place},
        ledger::{Loss, LossKey},
        ranges::Ranges,
        recovery::Report,
        spool::{FileId, FileKind, RouteStat, in_blocks},
    },
    env::{Disk, Env, File, Open},
    otlp::Signal,
};

/// How often the files are read again when one of them went away meanwhile.
const PICTURES_MAX: u32 = 3;

/// A file of the buffer.
#[derive(Clone, Debug)]
pub struct StoredFile {
    /// Its name as a file of ours; `None` for any other.
    pub id: Option<FileId>,
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// What it takes on disk, in whole blocks.
    pub disk_bytes: u64,
    /// Batches in it, those that are finished included; requests of a journal.
    pub frames: u64,
}

/// Something that waits for delivery.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Who it is, and when it came.
    pub header: Header,
    /// Where it is.
    pub at: At,
}

/// Where a batch is.
#[derive(Clone, Debug)]
pub enum At {
    /// Sealed.
    Segment(Place),
    /// In a journal only; these are its requests.
    Journal(Vec<Bytes>),
}

/// An item that was refused.
#[derive(Clone, Copy, Debug)]
pub struct Aside {
    /// Where its frame stands.
    pub place: Place,
    /// Who it is; the births are those of its batch.
    pub header: Header,
    /// Whether its batch still waits: then the item is in the buffer, and not in the quarantine yet.
    pub is_waiting: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Survey {
    /// `buffer.dir`.
    pub dir: PathBuf,
    /// The store's number, and its starts so far.
    pub identity: (u64, u64),
    /// All files, by name.
    pub files: Vec<StoredFile>,
    /// What waits, in the order of its files; what is in a journal only comes last.
    pub stored: Vec<Stored>,
    /// Items that were refused one by one, each once.
    pub quarantined: Vec<Aside>,
    /// What a start would say.
    pub report: Report,
    /// The account of each signal over all starts, as far as it is durable.
    pub accounts: [Items; 3],
    /// What was lost, the oldest day first.
    pub losses: Vec<(LossKey, Loss)>,
    /// How each destination of the configuration stands; what is in a journal only is not counted.
    pub routes: Vec<RouteStat>,
}

impl Survey {
    /// What all files take on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.disk_bytes).sum()
    }

    /// Items in the quarantine.
    pub fn quarantined_items(&self) -> u64 {
        let settled = self.quarantined.iter().filter(|aside| !aside.is_waiting);
        settled.map(|aside| aside.header.range.count).sum()
    }

    /// The words of the server that refused an item, and the request that holds it alone.
    ///
    /// # Errors
    /// `NotFound` if it has left the quarantine meanwhile, `InvalidData` if it is damaged.
    pub async fn aside<D: Disk>(&self, disk: &D, aside: &Aside) -> io::Result<(String, Bytes)> {
        let path = file_path(&self.dir, FileKind::Quarantine, aside.place);
        let payload = recover::read_payload(disk, &path, aside.place, &aside.header).await?;
        let (words, request) = quarantined(&payload).ok_or_else(|| {
            let why = "not the words of a server and a request";
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        let words = String::from_utf8_lossy(words).into_owned();
        Ok((words, payload.slice_ref(request)))
    }

    /// The requests of a stored batch, joined and decompressed.
    ///
    /// # Errors
    /// `NotFound` if it has been delivered meanwhile, `InvalidData` if it is damaged.
    pub async fn body<D: Disk>(&self, disk: &D, stored: &Stored) -> io::Result<Bytes> {
        match &stored.at {
            At::Journal(pieces) => Ok(pieces.concat().into()),
            At::Segment(place) => {
                let (header, body) = batch_at(disk, &self.dir, *place).await?;
                if header == stored.header {
                    return Ok(body);
                }
                let why = format!("{}: another batch stands in its place", stored.header.range);
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
        }
    }
}

/// The batch whose frame stands at `place`, with its request decompressed.
///
/// # Errors
/// `InvalidData` if it is damaged.
pub async fn batch_at<D: Disk>(disk: &D, dir: &Path, place: Place) -> io::Result<(Header, Bytes)> {
    let path = file_path(dir, FileKind::Batches, place);
    let file = disk.open(&path, Open::Read).await?;
    let data = file.read_at(place.offset, HEADER_BYTES).await?;
    let header = Header::decode(&data, place).ok_or_else(|| {
        let why = format!("read {}: no frame at byte {}", path.display(), place.offset);
        io::Error::new(io::ErrorKind::InvalidData, why)
    })?;
    let payload = recover::read_payload(disk, &path, place, &header).await?;
    let body = decompress(header.codec, &payload, header.raw_bytes.into())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((header, body))
}

fn file_path(dir: &Path, kind: FileKind, place: Place) -> PathBuf {
    let number = place.file;
    dir.join(FileId { kind, number }.name())
}

/// Looks at the buffer of a configuration.
///
/// # Errors
/// If the directory cannot be listed.
pub async fn survey<E: Env>(env: &E, config: &Config) -> io::Result<Survey> {
    let mut picture = 1;
    loop {
        let survey = picture_of(env, config).await?;
        match survey {
            // A file that went away held what was delivered meanwhile, or sealed into another one: look again.
            (_, true) if picture < PICTURES_MAX => picture += 1,
            (survey, _) => return Ok(survey),
        }
    }
}

/// A picture, and whether a file went away while it was taken.
async fn picture_of<E: Env>(env: &E, config: &Config) -> io::Result<(Survey, bool)> {
    let (disk, dir) = (env.disk(), &config.buffer.dir);
    let (spool, report) = recover::recover(env, config, Access::Look).await?;
    // Listed afterwards: a batch that is sealed meanwhile stands in a file that an older list does not have, and would be missing
    // in the picture. What is sealed from now on still counts as unsealed in it.
    let block_bytes = disk.block_bytes(dir).await?;
    let mut files: Vec<StoredFile> = disk
        .read_dir(dir)
        .await?
        .into_iter()
        .filter(|entry| !entry.is_dir)
        .map(|entry| StoredFile {
            id: FileId::from_name(&entry.name),
            name: entry.name,
            bytes: entry.bytes,
            disk_bytes: in_blocks(entry.bytes, block_bytes).max(entry.disk_bytes),
            frames: 0,
        })
        .collect();
    let mut survey = Survey {
        dir: dir.clone(),
        identity: spool.identity(),
        files: Vec::new(),
        stored: Vec::new(),
        quarantined: Vec::new(),
        report,
        accounts: Signal::ALL.map(|signal| spool.lifetime(signal)),
        routes: spool.routes(env.unix_time().as_nanos() as u64).collect(),
        losses: spool
            .ledger()
            .losses()
            .map(|(key, loss)| (key.clone(), *loss))
            .collect(),
    };
    // A file whose items have left, and that is still there, is no quarantine any more.
    let aside: BTreeSet<FileId> = spool.quarantined_files().map(|(file, _)| file).collect();
    let mut ranges = BTreeMap::new();
    let mut is_stale = false;
    for file in &mut files {
        let Some(id) = file.id.filter(|id| id.kind != FileKind::Journal) else {
            continue;
        };
        let path = dir.join(&file.name);
        let found = match recover::read_headers(disk, &path, id, file.bytes).await {
            Ok(found) => found,
            Err(error) => {
                is_stale |= error.kind() == io::ErrorKind::NotFound;
                continue;
            }
        };
        for item in found {
            let Found::Frame {
                offset,
                header,
                is_whole: true,
            } = item
            else {
                continue;
            };
            let place = Place {
                file: id.number,
                offset,
            };
            match header.kind {
                Kind::Batch if header.range.count > 0 => {
                    file.frames += 1;
                    if spool.is_waiting(place) {
                        let at = At::Segment(place);
                        survey.stored.push(Stored { header, at });
                    }
                }
                Kind::Quarantined if header.range.count > 0 => {
                    file.frames += 1;
                    if aside.contains(&id) {
                        ranges.insert(header.range, (place, header));
                    }
                }
                _ => {}
            }
        }
    }
    let unsealed = spool.unsealed_batches().into_iter().map(|unsealed| Stored {
        header: unsealed.header,
        at: At::Journal(unsealed.pieces),
    });
    survey.stored.extend(unsealed);
    survey.files = files;
    let mut waiting = Ranges::default();
    let stored = survey.stored.iter();
    stored.for_each(|stored| waiting.insert(&stored.header.range));
    survey.quarantined = ranges
        .into_values()
        .map(|(place, header)| Aside {
            place,
            header,
            is_waiting: waiting.missing(&header.range).is_empty(),
        })
        .collect();
    Ok((survey, is_stale))
}
