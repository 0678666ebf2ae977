//! Brings versions of a published set from head office: asks for something newer, fetches what differs, uses it when all is there.
//!
//! ```text
//! GET /SET/manifest?have=V      304, or the list of checksums of the version that is out
//! GET /SET/chunk/V/N            the bytes of chunk N
//! ```
//! A chunk whose checksum is wrong is fetched again. A line that dies in the middle costs the chunk under way. A version that
//! comes out meanwhile takes the place of the one that is being fetched.
//!
//! Chunks go through one place on the disk and are synced there: they cost the disk its time. Their content is not kept, only
//! their checksums are, for a simulated disk keeps its bytes in memory. What their room would be is checked when a scenario is read.

use std::{io, path::PathBuf, time::Duration};

use backroom_collector::env::{Disk as _, Env, File as _, Open};
use hyper::StatusCode;
use tokio::time::sleep;

use super::{
    content::{self, Manifest},
    shelf::Shelf,
};
use crate::{
    event::{Event, Set, ShopEvent},
    scenario::shop::{CHUNK_BYTES, Publication, instants},
    store::{
        Context, DATA_DIR, HQ, HQ_MEDIA_PORT, http, journal::Journal, pace::FullJitter, target,
    },
};

/// Longest silence of head office in the middle of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Largest list of checksums: 65,536 of them, and a head.
const MANIFEST_BYTES_MAX: usize = 300 << 10;

/// Longest pause after a failure; shorter where the store asks more often.
const BACKOFF_CAP: Duration = Duration::from_secs(60);

/// The same for what comes by a timetable: it is for tomorrow morning, and a line that has been dead for days is not asked each minute.
const FILM_BACKOFF_CAP: Duration = Duration::from_secs(600);

/// One set on one machine.
pub(in crate::store) struct Puller<E: Env> {
    ctx: Context<E>,
    set: Set,
    pace: Pace,
    shelf: Shelf,
    journal: Journal,
    slot: PathBuf,
    client: http::Client<E>,
    backoff: FullJitter,
}

/// How often a machine asks for something newer.
#[derive(Clone, Debug)]
pub(in crate::store) enum Pace {
    /// Again and again.
    Every(Duration),
    /// From these virtual times on, in order, until it is there.
    From(Vec<Duration>),
}

impl Pace {
    /// Time until it asks again, after an answer that there is nothing newer than `version`.
    fn pause(&self, version: u32, now: Duration) -> Duration {
        match self {
            Self::Every(poll) => *poll,
            Self::From(times) => {
                let out = times.partition_point(|at| *at <= now);
                match times.get(out) {
                    _ if (version as usize) <= out => WAIT_FOR_IT,
                    Some(next) => *next - now,
                    None => NOTHING_DUE,
                }
            }
        }
    }

    /// Longest pause after a failure.
    fn cap(&self) -> Duration {
        match self {
            Self::Every(poll) => BACKOFF_CAP.min(*poll),
            Self::From(_) => FILM_BACKOFF_CAP,
        }
    }
}

/// 60 s: what comes by a timetable is for tomorrow morning.
const WAIT_FOR_IT: Duration = Duration::from_secs(60);

/// A day: nothing more comes in this run, and a timer costs nothing.
const NOTHING_DUE: Duration = Duration::from_secs(86_400);

/// Why a version has not come.
enum Failed {
    /// The line, or head office: it is tried again.
    Line,
    /// The disk of the journal.
    Disk(io::Error),
}

impl<E: Env> Puller<E> {
    /// Opens what the disk has of a set.
    ///
    /// # Errors
    /// When the disk fails.
    pub(in crate::store) async fn open(
        ctx: &Context<E>,
        boot: u16,
        set: Set,
        publication: &Publication,
        port: u16,
        pace: Pace,
    ) -> io::Result<Self> {
        let dir = PathBuf::from(DATA_DIR).join(set.as_str());
        let (journal, records) = ctx.journal(&dir.join("chunks")).await?;
        let installed = Manifest::of(set, publication, 1);
        Ok(Self {
            set,
            shelf: Shelf::recover(&records, installed),
            journal,
            slot: dir.join("slot"),
            client: http::Client::new(ctx.env.clone(), target(HQ, port)),
            backoff: FullJitter::new(
                Duration::from_secs(1),
                pace.cap(),
                ctx.rng(&format!("{}-backoff", set.as_str()), boot),
            ),
            pace,
            ctx: ctx.clone(),
        })
    }

    /// Keeps the set up to date until it is aborted; `applied` is told the version in use, at the start and after each change.
    ///
    /// # Errors
    /// When the disk fails.
    pub(in crate::store) async fn run<F>(
        mut self,
        mut applied: impl FnMut(u32) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = ()>,
    {
        self.record_applied();
        applied(self.shelf.version()).await;
        if let Pace::From(_) = &self.pace {
            // Nothing is due yet, unless it came while the machine was away.
            sleep(self.pause()).await;
        }
        loop {
            match self.update().await {
                Ok(true) => {
                    self.backoff.reset();
                    self.record_applied();
                    applied(self.shelf.version()).await;
                }
                Ok(false) => {
                    self.backoff.reset();
                    sleep(self.pause()).await;
                }
                Err(Failed::Line) => sleep(self.backoff.next()).await,
                Err(Failed::Disk(error)) => return Err(error),
            }
        }
    }

    fn pause(&self) -> Duration {
        let now = self.ctx.recorder.now();
        self.pace.pause(self.shelf.version(), now)
    }

    fn record_applied(&self) {
        self.ctx.recorder.record(Event::Shop(ShopEvent::Applied {
            set: self.set,
            at: self.ctx.id,
            version: self.shelf.version(),
        }));
    }

    /// Asks for something newer and fetches it; whether there was anything.
    async fn update(&mut self) -> Result<bool, Failed> {
        let path = format!(
            "/{}/manifest?have={}",
            self.set.as_str(),
            self.shelf.version()
        );
        let answer = self.client.get(&path, MANIFEST_BYTES_MAX, SILENCE_MAX);
        let manifest = match answer.await {
            Ok((StatusCode::NOT_MODIFIED, _)) => return Ok(false),
            Ok((StatusCode::OK, body)) => Manifest::decode(&body).ok_or(Failed::Line)?,
            _ => return Err(Failed::Line),
        };
        // Never back: whoever answers with an older one is not head office as it was.
        if manifest.version <= self.shelf.version() {
            return Ok(false);
        }
        for index in self.shelf.missing(&manifest) {
            self.fetch(&manifest, index).await?;
        }
        let record = self.shelf.apply(&manifest);
        let synced = async { self.journal.append(record.clone()).await?.await };
        synced.await.map_err(Failed::Disk)?;
        // What came before it is of no use any more.
        let compact = self.journal.replace(vec![record]);
        compact.await.map_err(Failed::Disk)?;
        Ok(true)
    }

    /// Fetches one chunk and puts it down.
    async fn fetch(&mut self, manifest: &Manifest, index: u32) -> Result<(), Failed> {
        let version = manifest.version;
        let path = format!("/{}/chunk/{version}/{index}", self.set.as_str());
        let limit = usize::try_from(*CHUNK_BYTES.end()).unwrap_or(usize::MAX);
        let answer = self.client.get(&path, limit, SILENCE_MAX).await;
        let Ok((StatusCode::OK, bytes)) = answer else {
            return Err(Failed::Line);
        };
        let checksum = manifest.checksums[index as usize];
        let is_whole = bytes.len() as u64 == manifest.chunk_bytes(index);
        if !is_whole || crc32c::crc32c(&bytes) != checksum {
            return Err(Failed::Line);
        }
        // A disk that is full or fails may have room again: no reason to stop selling.
        self.put_down(bytes).await.map_err(|_| Failed::Line)?;
        let record = self.shelf.chunk(version, index, checksum);
        let synced = async { self.journal.append(record).await?.await };
        synced.await.map_err(Failed::Disk)?;
        self.shelf.has(index, checksum);
        self.backoff.reset();
        self.ctx
            .recorder
            .record(Event::Shop(ShopEvent::ChunkStored {
                set: self.set,
                at: self.ctx.id,
                version,
                index,
            }));
        Ok(())
    }

    async fn put_down(&self, bytes: bytes::Bytes) -> io::Result<()> {
        let file = self.ctx.env.disk().open(&self.slot, Open::Create).await?;
        file.write_at(0, bytes).await?;
        file.sync().await
    }
}

/// The films of a menu board; `None` where none are due in this run, or none for it.
///
/// # Errors
/// When the disk fails.
pub(in crate::store) async fn media<E: Env>(
    ctx: &Context<E>,
    boot: u16,
) -> io::Result<Option<Puller<E>>> {
    let scenario = &ctx.scenario;
    let (Some(media), Some(publication)) =
        (&scenario.media, content::publication(scenario, Set::Media))
    else {
        return Ok(None);
    };
    let is_for = |to: &String| *to == ctx.group || *to == ctx.name || to == "store/*";
    let times = instants(scenario, &media.at);
    if times.is_empty() || !media.to.iter().any(is_for) {
        return Ok(None);
    }
    let pace = Pace::From(times);
    let puller = Puller::open(ctx, boot, Set::Media, &publication, HQ_MEDIA_PORT, pace).await?;
    Ok(Some(puller))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timetable_is_asked_when_something_is_due() {
        let s = Duration::from_secs;
        let pace = Pace::From(vec![s(100), s(200)]);
        assert_eq!(pace.pause(1, s(0)), s(100));
        assert_eq!(pace.pause(1, s(100)), WAIT_FOR_IT);
        assert_eq!(pace.pause(2, s(130)), s(70));
        // Version 2 was missed, and 3 is out.
        assert_eq!(pace.pause(1, s(230)), WAIT_FOR_IT);
        assert_eq!(pace.pause(3, s(230)), NOTHING_DUE);
        assert_eq!(Pace::Every(s(5)).pause(1, s(230)), s(5));
    }
}
