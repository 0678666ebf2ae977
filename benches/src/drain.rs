//! How fast a filled buffer goes out: a collector starts on a copy of it, and a receiver answers at once.
//!
//! The clock runs from the moment at which the collector listens, its buffer recovered, until the receiver has acknowledged the last item.
//! Filling, copying and recovery are outside. Next: [`crate::answers`] receives.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, mpsc},
    time::Duration,
};

use backroom_collector::{
    config::{Endpoint, Protocol},
    core::spool::BatchInfo,
    shell::Observer,
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    answers::Answers,
    export::Exporters,
    intake::Intake,
    requests::{Request, size},
};

/// Connections that fill it.
const CONNECTIONS: usize = 8;

/// A batch is sealed after so long even if it is not full: what ends in a journal would wait for its delay while the clock runs.
const DELAY: Duration = Duration::from_millis(100);

/// Nothing that works takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// A buffer of which all is sealed.
#[derive(Debug)]
pub struct Filled {
    dir: TempDir,
    /// Items that wait in it.
    pub items: u64,
    /// Their bytes before compression.
    pub bytes: u64,
}

impl Filled {
    /// Sends the requests `rounds` times to a collector without a destination, and stops it when all is sealed.
    ///
    /// # Errors
    /// If the collector cannot be started, or does not take or seal everything.
    pub fn fill(parent: &Path, requests: &[Request], rounds: u32) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        let dir = tempfile::tempdir_in(parent)?;
        let (items, bytes) = size(requests);
        let (items, bytes) = (items * u64::from(rounds), bytes * u64::from(rounds));
        let (watch, sealed) = Watch::new(Until::Sealed, items);
        let intake = Intake::start_with(parent, watch, |config| {
            config.buffer.dir = dir.path().to_owned();
            config.batch.delay = DELAY;
            config.batch.delay_down = DELAY;
        })?;
        let protocol = Protocol::HttpProtobuf;
        let mut exporters = Exporters::connect(intake.http(), protocol, CONNECTIONS, requests)?;
        for _ in 0..rounds {
            exporters.round()?;
        }
        wait(&sealed, "sealed")?;
        // The collector waits for connections that are still open.
        drop(exporters);
        drop(intake);
        Ok(Self { dir, items, bytes })
    }

    /// Starts a collector on a copy of the buffer; gives the time until all of it is acknowledged.
    ///
    /// # Errors
    /// If the copy cannot be made, the collector cannot be started, or something does not arrive.
    pub fn drain(&self, parent: &Path, to: &Answers) -> io::Result<Duration> {
        let copy = tempfile::tempdir_in(parent)?;
        copy_files(self.dir.path(), copy.path())?;
        let (watch, delivered) = Watch::new(Until::Delivered, self.items);
        let intake = Intake::start_with(parent, watch, |config| {
            config.buffer.dir = copy.path().to_owned();
            config.endpoint = Some(endpoint(to));
        })?;
        let took = wait(&delivered, "delivered")?;
        drop(intake);
        Ok(took)
    }
}

fn endpoint(to: &Answers) -> Endpoint {
    let mut endpoint = Endpoint::new(to.url());
    endpoint.protocol = to.protocol();
    endpoint
}

fn wait(done: &mpsc::Receiver<Duration>, what: &str) -> io::Result<Duration> {
    done.recv_timeout(LIMIT)
        .map_err(|_| io::Error::other(format!("not all is {what} after {LIMIT:?}")))
}

/// Copies a directory with all that is below it.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_files(&entry.path(), &to)?,
            false => drop(fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Sealed,
    Delivered,
}

/// Tells when it has come for so many items, and how long after the collector has begun to listen.
struct Watch {
    until: Until,
    seen: Mutex<Seen>,
}

struct Seen {
    start: Option<Instant>,
    left: u64,
    done: mpsc::Sender<Duration>,
}

impl Watch {
    fn new(until: Until, items: u64) -> (Arc<Self>, mpsc::Receiver<Duration>) {
        let (done, told) = mpsc::channel();
        let seen = Mutex::new(Seen {
            start: None,
            left: items,
            done,
        });
        (Arc::new(Self { until, seen }), told)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while counting")
    }

    fn count(&self, what: Until, batch: &BatchInfo) {
        if what != self.until {
            return;
        }
        let mut seen = self.seen();
        seen.left = seen.left.saturating_sub(batch.range.count);
        if seen.left == 0 {
            let took = seen.start.map_or(Duration::ZERO, |start| start.elapsed());
            // Nobody waits for a second time.
            let _ = seen.done.send(took);
        }
    }
}

impl Observer for Watch {
    fn listening(&self, _http: Option<SocketAddr>, _grpc: Option<SocketAddr>) {
        self.seen().start = Some(Instant::now());
    }

    fn sealed(&self, batch: &BatchInfo) {
        self.count(Until::Sealed, batch);
    }

    fn delivered(&self, batch: &BatchInfo) {
        self.count(Until::Delivered, batch);
    }
}
