//! Records that survive: an append-only file with checksums, group commit, and compaction by replacement.
//!
//! Its writer task owns the file. Whoever appends waits until its record is synced; all that wait together share one
//! fsync. What a record means is the owner's business (`broker`, `pos`).
//!
//! ```text
//! file   := magic[8] record*
//! record := payload_bytes u32le, crc32c u32le (of the length and the payload), payload
//! ```
//! Recovery (`journal::recovery`) takes every whole record. What a loss of power tore is at the end, because the file only grows and a
//! sync covers all before it; what rots is anywhere, and costs its own record: it is skipped, counted and told ([`Damage`]).
//!
//! A replacement is written beside the file, synced, and renamed over it: a crash leaves the old or the new one.
//! Rule for owners: change your state first, then append, so that a snapshot holds the effect of all that was appended before it.

mod recovery;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use backroom_collector::env::{Disk as _, Env, File, Open};
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::recovery::Damage;
use self::recovery::{Found, recover};
use crate::plant::JournalBug;

const MAGIC: &[u8; 8] = b"BRJRNL01";
const HEADER_BYTES: usize = 8;

/// Largest payload; a longer length is damage.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Largest file that is read back: compaction keeps it far below.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Commands that may wait for the writer; senders then wait too.
const COMMANDS_MAX: usize = 256;

/// Lazy records are handed to the operating system when so many bytes have come together.
const LAZY_BYTES_MAX: usize = 64 << 10;

/// A handle for appending; clones append to the same file.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    /// A planted bug; `None` in every run that is not a test of the search.
    bug: Option<JournalBug>,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    /// Why the writer has stopped.
    failure: OnceLock<String>,
}

impl Shared {
    fn closed(&self) -> io::Error {
        let why = self
            .failure
            .get()
            .map_or("its task is gone", String::as_str);
        io::Error::other(format!("the journal takes no more records: {why}"))
    }
}

#[derive(Debug)]
enum Command {
    Append {
        payload: Bytes,
        synced: Option<oneshot::Sender<()>>,
    },
    Replace(Vec<Bytes>),
}

/// Waits for a record to be durable.
#[derive(Debug)]
pub(crate) struct Synced {
    done: oneshot::Receiver<()>,
    shared: Arc<Shared>,
}

impl Future for Synced {
    type Output = io::Result<()>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.done)
            .poll(cx)
            .map(|done| done.map_err(|_| self.shared.closed()))
    }
}

impl Journal {
    /// Opens or makes a journal and gives the records that it holds, oldest first, and what is damaged. All of them are durable
    /// on return. Machines open theirs by [`Context::journal`](super::Context::journal), which tells damage.
    ///
    /// # Errors
    /// When the disk fails. Damage is not an error: it costs the records that it hit.
    #[cfg(test)]
    pub(crate) async fn open<E: Env>(
        env: &E,
        path: &Path,
    ) -> io::Result<(Self, Vec<Bytes>, Damage)> {
        Self::open_with(env, path, None).await
    }

    /// As [`Journal::open`], with a bug if one is planted.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(crate) async fn open_with<E: Env>(
        env: &E,
        path: &Path,
        bug: Option<JournalBug>,
    ) -> io::Result<(Self, Vec<Bytes>, Damage)> {
        let disk = env.disk();
        let dir = path.parent().expect("a journal lies in a directory");
        disk.create_dir_all(dir).await?;
        let found = match disk.read(path, FILE_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Bytes::new(),
            Err(error) => return Err(error),
        };
        let Found { records, damage } = recover(&found);
        // What a crashed process wrote may still be unsynced, and its readers count on it from now on. To sync the file is not
        // enough: if a sync of it has failed before, what was dirty then counts as clean, and would be gone with the power
        // (test `a_sync_that_failed_is_not_believed_after_a_restart`). So what was found is written again, beside it.
        let new = match found.starts_with(MAGIC) || !records.is_empty() {
            false => path.to_owned(),
            true => path.with_extension("new"),
        };
        let data = encode_all(&records);
        let end = data.len() as u64;
        let file = disk.open(&new, Open::Create).await?;
        file.set_len(0).await?;
        file.write_at(0, data).await?;
        file.sync().await?;
        if new != path {
            disk.rename(&new, path).await?;
        }
        disk.sync_dir(dir).await?;

        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let shared = Arc::new(Shared::default());
        shared.bytes.store(end, Ordering::Relaxed);
        let writer = Writer {
            env: env.clone(),
            path: path.to_owned(),
            file,
            end,
            inbox,
            shared: Arc::clone(&shared),
            never_syncs: bug == Some(JournalBug::NeverSyncs),
        };
        env.spawn(writer.run());
        let journal = Self {
            commands,
            shared,
            bug,
        };
        Ok((journal, records, damage))
    }

    /// Appends a record; the answer says when it is durable. Records keep the order of their calls.
    ///
    /// # Errors
    /// When the writer has stopped.
    pub(crate) async fn append(&self, payload: Bytes) -> io::Result<Synced> {
        let (synced, done) = oneshot::channel();
        let synced = match self.bug {
            Some(JournalBug::AnswersEarly) => {
                let _ = synced.send(());
                None
            }
            _ => Some(synced),
        };
        self.command(Command::Append { payload, synced }).await?;
        Ok(Synced {
            done,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Appends a record that may be lost: it becomes durable with the next one that is waited for.
    ///
    /// # Errors
    /// When the writer has stopped.
    pub(crate) async fn append_lazily(&self, payload: Bytes) -> io::Result<()> {
        self.command(Command::Append {
            payload,
            synced: None,
        })
        .await
    }

    /// Replaces all that was appended before by `records`.
    ///
    /// # Errors
    /// When the writer has stopped.
    pub(crate) async fn replace(&self, records: Vec<Bytes>) -> io::Result<()> {
        self.shared.bytes.store(0, Ordering::Relaxed);
        self.command(Command::Replace(records)).await
    }

    /// Waits until the writer has stopped, and tells why: from then on nothing is durable any more, and its owner must end.
    pub(crate) async fn failed(&self) -> io::Error {
        self.commands.closed().await;
        self.shared.closed()
    }

    /// Bytes of the file, lazy records included; 0 while a replacement is on its way.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    async fn command(&self, command: Command) -> io::Result<()> {
        self.commands
            .send(command)
            .await
            .map_err(|_| self.shared.closed())
    }
}

struct Writer<E: Env> {
    env: E,
    path: PathBuf,
    file: <E::Disk as backroom_collector::env::Disk>::File,
    end: u64,
    inbox: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    /// A planted bug.
    never_syncs: bool,
}

impl<E: Env> Writer<E> {
    async fn run(mut self) {
        // After a failed write or sync nobody knows what the disk holds, so the journal stops: waiters see an error.
        if let Err(error) = self.write().await {
            let _ = self.shared.failure.set(error.to_string());
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        let mut pending = BytesMut::new();
        let mut waiters = Vec::new();
        while let Some(first) = self.inbox.recv().await {
            let mut next = Some(first);
            let mut replacement = None;
            while let Some(command) = next {
                match command {
                    Command::Append { payload, synced } => {
                        encode(&mut pending, &payload);
                        waiters.extend(synced);
                    }
                    Command::Replace(records) => {
                        // The snapshot holds the effect of what is pending.
                        pending.clear();
                        replacement = Some(records);
                    }
                }
                next = self.inbox.try_recv().ok();
            }
            if let Some(records) = replacement {
                self.replace(&records).await?;
            }
            if !waiters.is_empty() || pending.len() >= LAZY_BYTES_MAX {
                let data = pending.split().freeze();
                let length = data.len() as u64;
                if length > 0 {
                    self.file.write_at(self.end, data).await?;
                    self.end += length;
                }
                if !waiters.is_empty() && !self.never_syncs {
                    self.file.sync().await?;
                }
                for waiter in waiters.drain(..) {
                    // Whoever went away does not care any more.
                    let _ = waiter.send(());
                }
            }
            self.shared
                .bytes
                .store(self.end + pending.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn replace(&mut self, records: &[Bytes]) -> io::Result<()> {
        let disk = self.env.disk();
        let new = self.path.with_extension("new");
        let file = disk.open(&new, Open::Create).await?;
        file.set_len(0).await?;
        let data = encode_all(records);
        let end = data.len() as u64;
        file.write_at(0, data).await?;
        file.sync().await?;
        disk.rename(&new, &self.path).await?;
        disk.sync_dir(self.path.parent().expect("a journal lies in a directory"))
            .await?;
        drop(file);
        // Opened anew: on a simulated disk a handle belongs to the name that it was opened by.
        self.file = disk.open(&self.path, Open::ReadWrite).await?;
        self.end = end;
        Ok(())
    }
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), payload)
}

fn encode(out: &mut BytesMut, payload: &[u8]) {
    assert!(
        payload.len() <= RECORD_BYTES_MAX,
        "a record of {} bytes could not be read back",
        payload.len()
    );
    let length = (payload.len() as u32).to_le_bytes();
    out.reserve(8 + payload.len());
    out.put_slice(&length);
    out.put_u32_le(checksum(length, payload));
    out.put_slice(payload);
}

/// A file of these records.
fn encode_all(records: &[Bytes]) -> Bytes {
    let mut data = BytesMut::from(&MAGIC[..]);
    for record in records {
        encode(&mut data, record);
    }
    data.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{self, DiskOp, MachineSpec, World, WorldSpec, Zone, env::SimEnv};

    const PATH: &str = "/data/journal";

    /// One life of the machine, which ends with a power cut.
    async fn live<F>(world: &World, program: impl FnOnce(SimEnv) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (done, ended) = oneshot::channel();
        world.start("pos", move |env| async move {
            program(env).await;
            assert!(done.send(()).is_ok(), "somebody waits");
        });
        ended.await.expect("the program ends well");
        world.power_off("pos").await;
        world.power_on("pos");
    }

    fn one_machine() -> WorldSpec {
        WorldSpec {
            machines: vec![MachineSpec {
                name: "pos".into(),
                zone: Zone::Store,
                access: None,
                disk: None,
            }],
            ..WorldSpec::default()
        }
    }

    /// Scenario: a sync fails; the program ends and starts again, finds the record (it is in the page cache), and syncs the
    /// file; then the power goes. Regression: that sync wrote nothing, since what was dirty counted as clean, so the record was
    /// gone after its reader had counted on it.
    #[test]
    fn a_sync_that_failed_is_not_believed_after_a_restart() {
        let direct = |world: World| async move {
            let disk = world.disk("pos");
            let (done, ended) = oneshot::channel();
            world.start("pos", move |env| async move {
                let (journal, _, _) = Journal::open(&env, Path::new(PATH))
                    .await
                    .expect("it opens");
                append_synced(&journal, vec![1; 4]).await;
                disk.fail_once(DiskOp::Sync, 0, io::ErrorKind::Other);
                let synced = journal.append(Bytes::from_static(b"dirty")).await;
                assert!(synced.expect("it takes").await.is_err());
                let why = journal.failed().await.to_string();
                assert!(why.contains("Sync failed"), "{why}");
                assert!(journal.append(Bytes::new()).await.is_err());
                assert!(done.send(()).is_ok(), "somebody waits");
            });
            ended.await.expect("the program ends well");
            world.crash("pos").await;
            for life in 0..2 {
                live(&world, move |env| async move {
                    let (_, records, _) = Journal::open(&env, Path::new(PATH))
                        .await
                        .expect("it opens");
                    assert_eq!(records.len(), 2, "life {life}");
                })
                .await;
            }
        };
        world::run(&one_machine(), direct).expect("no recordings");
    }

    async fn append_synced(journal: &Journal, payload: Vec<u8>) {
        let synced = journal.append(payload.into()).await.expect("it takes");
        synced.await.expect("it syncs");
    }

    #[test]
    fn what_was_synced_survives_replacement_and_power_loss() {
        let spec = one_machine();
        let direct = |world: World| async move {
            live(&world, |env| async move {
                let (journal, records, _) = Journal::open(&env, Path::new(PATH))
                    .await
                    .expect("it opens");
                assert!(records.is_empty());
                for n in 0..100_u8 {
                    append_synced(&journal, vec![n; 100]).await;
                }
                assert!(journal.bytes() > 10_000);
                journal
                    .replace(vec![Bytes::from_static(b"snapshot")])
                    .await
                    .expect("it takes");
                for n in 0..3_u8 {
                    append_synced(&journal, vec![n; 4]).await;
                }
                assert!(journal.bytes() < 100);
                journal
                    .append_lazily(Bytes::from_static(b"lost"))
                    .await
                    .expect("it takes");
            })
            .await;
            live(&world, |env| async move {
                let (journal, records, _) = Journal::open(&env, Path::new(PATH))
                    .await
                    .expect("it opens");
                let expect: [&[u8]; 4] = [b"snapshot", &[0; 4], &[1; 4], &[2; 4]];
                assert_eq!(records, expect);
                append_synced(&journal, vec![9; 4]).await;
            })
            .await;
            live(&world, |env| async move {
                let (_, records, _) = Journal::open(&env, Path::new(PATH))
                    .await
                    .expect("it opens");
                assert_eq!(records.len(), 5);
            })
            .await;
        };
        world::run(&spec, direct).expect("no recordings");
    }
}
