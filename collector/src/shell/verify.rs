//! Every byte of a buffer's files, checked: headers, payloads, and whether each payload is what its header says.
//!
//! Read only, one frame in memory at a time, while a collector works on the files or not. What stands unfinished at the end of
//! a file is a *tail*: a write under way, or what a crash cut off before it was acknowledged. A tail is told and is no
//! damage. Next: `inspect`, which says what is stored.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::{
    core::{
        codec::decompress,
        frame::{self, Found, HEADER_BYTES, Header, Kind, TRAILER_BYTES, Walk},
        notes::{Checkpoint, decode_notes},
        seen::{Seen, wire::split_origin},
        spool::{FileId, FileKind},
        takes,
    },
    env::{Disk, Env, File, Open},
    otlp::count_items,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Unfinished at the end of a file; nothing of it was acknowledged.
    Tail,
    /// Bytes that were written once are not what they were.
    Damage,
}

/// Something that is not as it was written.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The file's name.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes are concerned.
    pub bytes: u64,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// The frame's header, where that can be read: it says which items are concerned.
    pub header: Option<Header>,
}

/// What was checked.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Frames that are what was written.
    pub frames: u64,
    /// Items in those, requests and batches both.
    pub items: u64,
    /// What is wrong, by file and offset.
    pub findings: Vec<Finding>,
}

impl Verified {
    /// How many findings are damage.
    pub fn damage_count(&self) -> usize {
        let damage = |finding: &&Finding| finding.severity == Severity::Damage;
        self.findings.iter().filter(damage).count()
    }
}

/// A verification under way; `progress` is told bytes done and bytes in all, after every frame.
pub struct Verify<'a, E: Env> {
    env: &'a E,
    dir: PathBuf,
    progress: &'a mut (dyn FnMut(u64, u64) + Send),
    total_bytes: u64,
    done: Verified,
    /// The last commit of each boot: a crash may have cut it short, before the ack.
    last_commits: BTreeMap<u64, u64>,
    /// Requests that are damaged: whether that is a tail is known once all journals were read.
    requests: Vec<Finding>,
}

/// Checks every file in `dir`.
///
/// # Errors
/// If the directory cannot be listed; a file that cannot be read is a finding.
pub async fn verify<E: Env>(
    env: &E,
    dir: &Path,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> io::Result<Verified> {
    let entries = env.disk().read_dir(dir).await?;
    let files: Vec<(FileId, u64)> = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| Some((FileId::from_name(&entry.name)?, entry.bytes)))
        .collect();
    let mut verify = Verify {
        env,
        dir: dir.to_owned(),
        progress,
        total_bytes: files.iter().map(|(_, bytes)| bytes).sum(),
        done: Verified::default(),
        last_commits: BTreeMap::new(),
        requests: Vec::new(),
    };
    for (id, bytes) in files {
        match verify.file(id, bytes).await {
            Ok(()) => verify.done.files += 1,
            // Delivered meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("cannot be read: {error}");
                verify.found(id, 0, bytes, Severity::Damage, what, None);
            }
        }
    }
    Ok(verify.finish())
}

impl<E: Env> Verify<'_, E> {
    async fn file(&mut self, id: FileId, bytes: u64) -> io::Result<()> {
        let file = self
            .env
            .disk()
            .open(&self.dir.join(id.name()), Open::Read)
            .await?;
        // A closed segment ends with a trailer, which is no frame.
        let mut frames_bytes = bytes;
        if let Some(at) = bytes.checked_sub(TRAILER_BYTES as u64)
            && id.kind == FileKind::Batches
        {
            let trailer = file.read_at(at, TRAILER_BYTES).await?;
            if frame::decode_trailer(id.number, bytes, &trailer).is_some() {
                frames_bytes = at;
            }
        }
        let is_closed = frames_bytes < bytes;
        let mut walk = Walk::new(id.number, frames_bytes);
        let before = self.done.bytes;
        while let Some((offset, len)) = walk.want() {
            let found = walk.feed(&file.read_at(offset, len).await?);
            for item in found {
                let is_last = walk.want().is_none();
                match item {
                    Found::Gap { offset, bytes } => {
                        let (severity, what) = if is_last && !is_closed {
                            (Severity::Tail, "no whole frame before the end of the file")
                        } else {
                            (Severity::Damage, "no frame: what stood here is unknown")
                        };
                        self.found(id, offset, bytes, severity, what.to_owned(), None);
                    }
                    Found::Frame {
                        offset,
                        header,
                        is_whole,
                    } => {
                        let wrong = match is_whole {
                            true => self.frame(&file, offset, &header).await?,
                            false => Some("the file ends inside the payload".to_owned()),
                        };
                        let Some(what) = wrong else {
                            self.done.frames += 1;
                            self.done.items += header.range.count;
                            continue;
                        };
                        let is_tail = is_last && !is_closed;
                        let severity = if is_tail {
                            Severity::Tail
                        } else {
                            Severity::Damage
                        };
                        let bytes = header.frame_bytes().min(bytes - offset);
                        self.found(id, offset, bytes, severity, what, Some(header));
                    }
                }
            }
            let at = walk.want().map_or(bytes, |(offset, _)| offset);
            self.done.bytes = before + at.min(bytes);
            (self.progress)(self.done.bytes, self.total_bytes);
        }
        self.done.bytes = before + bytes;
        Ok(())
    }

    /// What is wrong with a frame; `None` if nothing is.
    async fn frame(
        &mut self,
        file: &impl File,
        offset: u64,
        header: &Header,
    ) -> io::Result<Option<String>> {
        let len = header.payload_bytes as usize;
        let payload = file.read_at(offset + HEADER_BYTES as u64, len).await?;
        if header.kind.is_request() {
            let last = self.last_commits.entry(header.range.boot).or_default();
            *last = header.commit.max(*last);
        }
        if !header.is_intact(&payload) {
            let crc = crc32c::crc32c(&payload);
            let expected = header.payload_crc;
            return Ok(Some(format!(
                "payload has checksum {crc:08x}, expected {expected:08x}"
            )));
        }
        let header = *header;
        Ok(self
            .env
            .compute(move || content_error(&header, &payload))
            .await)
    }

    fn found(
        &mut self,
        id: FileId,
        offset: u64,
        bytes: u64,
        severity: Severity,
        what: String,
        header: Option<Header>,
    ) {
        let finding = Finding {
            file: id.name(),
            offset,
            bytes,
            severity,
            what,
            header,
        };
        match header {
            Some(header) if header.kind.is_request() => self.requests.push(finding),
            _ => self.done.findings.push(finding),
        }
    }

    fn finish(mut self) -> Verified {
        for mut finding in self.requests {
            let is_cut_short = finding.header.is_some_and(|header| {
                self.last_commits.get(&header.range.boot) == Some(&header.commit)
            });
            if is_cut_short {
                finding.severity = Severity::Tail;
            }
            self.done.findings.push(finding);
        }
        let place = |finding: &Finding| (finding.file.clone(), finding.offset);
        self.done.findings.sort_by_key(place);
        self.done
    }
}

/// What is wrong with a payload whose checksum is right.
fn content_error(header: &Header, payload: &[u8]) -> Option<String> {
    let request = match header.kind {
        Kind::Request | Kind::Batch => payload,
        Kind::Relayed => match split_origin(&header.range, payload) {
            Some((_, request)) => request,
            None => return Some("not an item range and a request".to_owned()),
        },
        Kind::Seen => {
            let is_read = Seen::is_one(payload);
            return (!is_read).then(|| "not a list of what stores have delivered".to_owned());
        }
        Kind::Quarantined => match quarantined(payload) {
            Some((_, request)) => request,
            None => return Some("not the words of a server and a request".to_owned()),
        },
        Kind::Checkpoint => {
            let is_read = Checkpoint::decode(payload).is_some();
            return (!is_read).then(|| "not a checkpoint".to_owned());
        }
        Kind::Note => {
            let is_read = decode_notes(payload).is_some();
            return (!is_read).then(|| "not a list of notes".to_owned());
        }
        Kind::Takes => {
            let is_read = takes::decode(payload).is_some();
            return (!is_read).then(|| "not a list of what destinations have".to_owned());
        }
        Kind::Index => return None,
    };
    let limit = u64::from(header.raw_bytes).max(request.len() as u64);
    let raw = match decompress(header.codec, request, limit) {
        Ok(raw) => raw,
        Err(error) => return Some(error.to_string()),
    };
    match count_items(header.range.signal, &raw) {
        Ok(items) if items == header.range.count => None,
        Ok(items) => Some(format!(
            "holds {items} items, its header says {}",
            header.range.count
        )),
        Err(error) => Some(format!("not a {} request: {error}", header.range.signal)),
    }
}

/// The server's words and the request of a quarantined item's payload.
pub(super) fn quarantined(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = payload.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}
