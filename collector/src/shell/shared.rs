//! What the tasks share: the spool behind a lock that is never held over an await, and the bells they ring.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::{Notify, oneshot};

use super::{Observer, links::Links, outlet::Outlet};
use crate::{
    config::Config,
    core::{
        Mono,
        accounting::Accounting,
        class::ClassName,
        metrics::{Counters, Trend},
        pacing::Pacer,
        pressure::Pressure,
        seen::stores::Stores,
        spool::{Backlog, Event, FileId, Spool},
    },
    env::{Env, Task},
};

/// One machine's collector.
pub(super) struct Shared<E: Env> {
    pub(super) env: E,
    pub(super) observer: Arc<dyn Observer>,
    /// Rung when there is something to commit or to remove.
    pub(super) commit: Notify,
    /// Rung when a batch may be due.
    pub(super) seal: Notify,
    /// Rung when a batch was sealed; every request that waits looks.
    pub(super) sealed: Notify,
    /// Rung when a commit has found room, and what it released is gone from the disk: a batch may find some, too.
    pub(super) room: Notify,
    /// Rung when something may be sent; every worker looks.
    pub(super) send: Notify,
    /// Rung after each commit, for those who wait for what they did to be durable.
    pub(super) committed: Notify,
    /// The segment that batches are sealed into.
    pub(super) batches: super::store::Current<E>,
    /// Held while a refused item is written: one at a time.
    pub(super) quarantine: tokio::sync::Mutex<()>,
    /// Rung when the line may be another one: it failed, or the configuration changed.
    pub(super) line: Notify,
    /// Held while the counters of budgets are read or written: the sequence number of the newest slot, 0 before there is one.
    pub(super) budget: tokio::sync::Mutex<u64>,
    /// Rung when the reports of the collector's own metrics change, or end.
    pub(super) telemetry: Notify,
    /// Rung when something was lost, or at the end.
    pub(super) losses: Notify,
    /// The tasks that send.
    crew: Mutex<Vec<Task<()>>>,
    /// Held while the file system is asked for its free space.
    pub(super) free_bytes: Arc<tokio::sync::Mutex<()>>,
    /// Held while the reserve's file is changed.
    pub(super) reserve: tokio::sync::Mutex<super::reserve::NextTry>,
    /// The directory of the buffer, which no reload changes.
    pub(super) dir: PathBuf,
    config: Mutex<Arc<Config>>,
    start: tokio::time::Instant,
    state: Mutex<State>,
}

/// Everything that changes.
pub(super) struct State {
    pub(super) spool: Spool,
    /// One for each request that the spool has queued, in its order.
    pub(super) waiters: VecDeque<oneshot::Sender<super::store::Committed>>,
    /// The destinations, in the order of the configuration as they came.
    pub(super) outlets: Vec<Outlet>,
    /// Counts them, those that are gone included.
    pub(super) outlets_made: u64,
    pub(super) pacer: Pacer,
    pub(super) links: Links,
    /// How fast room is made.
    pub(super) pressure: Pressure,
    /// Bytes of requests that are being taken in.
    pub(super) inflight_bytes: u64,
    /// What the disk said last to each [`Writer`], if it failed.
    pub(super) disk_errors: [Option<String>; 2],
    /// The class and the bytes of the last request, if there was no room for it; of a sorted one the first part that does not fit.
    pub(super) lacking: Option<(ClassName, u64)>,
    /// Nothing is taken in, sealed or sent any more.
    pub(super) is_stopping: bool,
    /// Nothing will be noted any more: the next commit is the last one.
    pub(super) is_ending: bool,
    /// When the commit that is under way began; `None` while there is none.
    pub(super) busy_since: Option<Mono>,
    /// What stores say of themselves, at a gateway.
    pub(super) stores: Stores,
    pub(super) reloads: super::reload::Reloads,
    pub(super) counters: Counters,
    /// How the buffer's files grow.
    pub(super) trend: Trend,
    told: (Accounting, Backlog),
}

impl State {
    /// What the disk said last, if it failed for any writer.
    pub(super) fn disk_error(&self) -> Option<&String> {
        self.disk_errors.iter().flatten().next()
    }

    /// Whether there was no room for the last request, and there still is none.
    pub(super) fn is_full(&self) -> bool {
        let lacking = self.lacking;
        lacking.is_some_and(|(class, bytes)| !self.spool.fits(class, bytes))
    }

    /// Whether that is because others have filled the disk.
    pub(super) fn is_disk_full(&self) -> bool {
        self.spool.is_short() && self.is_full()
    }
}

/// Who writes, as indices of `State::disk_errors`: one that works says nothing about the other's files.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer {
    Journal,
    Batches,
}

impl<E: Env> Shared<E> {
    pub(super) fn new(
        env: E,
        config: Config,
        observer: Arc<dyn Observer>,
        spool: Spool,
    ) -> Arc<Self> {
        let rate = config.send.max_rate.map(|rate| rate.bytes_per_second());
        let state = State {
            spool,
            waiters: VecDeque::new(),
            outlets: Vec::new(),
            outlets_made: 0,
            pacer: Pacer::new(rate),
            links: Links::default(),
            pressure: Pressure::default(),
            inflight_bytes: 0,
            disk_errors: [None, None],
            lacking: None,
            is_stopping: false,
            is_ending: false,
            busy_since: None,
            stores: Stores::default(),
            reloads: Default::default(),
            counters: Counters::default(),
            trend: Trend::default(),
            told: Default::default(),
        };
        Arc::new(Self {
            env,
            observer,
            commit: Notify::new(),
            seal: Notify::new(),
            sealed: Notify::new(),
            room: Notify::new(),
            send: Notify::new(),
            committed: Notify::new(),
            batches: Default::default(),
            quarantine: tokio::sync::Mutex::new(()),
            line: Notify::new(),
            budget: tokio::sync::Mutex::new(0),
            telemetry: Notify::new(),
            losses: Notify::new(),
            crew: Mutex::default(),
            free_bytes: Arc::default(),
            reserve: tokio::sync::Mutex::new(None),
            dir: config.buffer.dir.clone(),
            config: Mutex::new(Arc::new(config)),
            start: tokio::time::Instant::now(),
            state: Mutex::new(state),
        })
    }

    /// The state, for a moment.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("a panic while the state is held is a bug that must not be hidden")
    }

    /// The configuration as it is now: a reload may change it between two calls.
    pub(super) fn config(&self) -> Arc<Config> {
        let config = self.config.lock();
        config.expect("nothing panics while it holds it").clone()
    }

    /// The configuration from now on.
    pub(super) fn set_config(&self, config: Config) {
        let slot = self.config.lock();
        *slot.expect("nothing panics while it holds it") = Arc::new(config);
    }

    /// The tasks that send.
    pub(super) fn crew(&self) -> MutexGuard<'_, Vec<Task<()>>> {
        let crew = self.crew.lock();
        crew.expect("nothing panics while it holds the list")
    }

    /// Monotonic time.
    pub(super) fn now(&self) -> Mono {
        Mono(self.start.elapsed())
    }

    /// The instant on tokio's clock.
    pub(super) fn instant(&self, at: Mono) -> tokio::time::Instant {
        // A day is as good as never, and does not overflow the timer.
        let ahead = at.since(self.now()).min(Duration::from_secs(86_400));
        tokio::time::Instant::now() + ahead
    }

    /// Wall clock in nanoseconds.
    pub(super) fn unix_nanos(&self) -> u64 {
        u64::try_from(self.env.unix_time().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn path(&self, file: FileId) -> PathBuf {
        self.dir.join(file.name())
    }

    /// Tells the observer what has changed. Call it after the state was changed, without the lock.
    pub(super) fn settle(&self) {
        let time = self.now();
        let (events, accounting, backlog) = {
            let mut state = self.lock();
            if state.trend.is_due(time) {
                // The reserve comes and goes at once, which is no growth.
                let used = state.spool.disk_bytes() - state.spool.reserve_held();
                state.trend.look(time, used);
            }
            let events = state.spool.take_events();
            for event in &events {
                match event {
                    Event::Sealed(batch) => state.pressure.sealed.add(time, batch.raw_bytes.into()),
                    Event::Delivered(batch) => {
                        let bytes = batch.payload_bytes.into();
                        state.pressure.delivered.add(time, bytes);
                    }
                    Event::Dropped { .. } => {}
                }
            }
            let now = (*state.spool.accounting(), state.spool.backlog());
            let before = std::mem::replace(&mut state.told, now);
            let accounting = (before.0 != now.0).then_some(now.0);
            (events, accounting, (before.1 != now.1).then_some(now.1))
        };
        for event in events {
            match event {
                Event::Dropped {
                    signal,
                    items,
                    reason,
                } => {
                    self.losses.notify_one();
                    self.observer.dropped(signal, items, reason);
                }
                Event::Sealed(batch) => self.observer.sealed(&batch),
                Event::Delivered(batch) => self.observer.delivered(&batch),
            }
        }
        if let Some(accounting) = accounting {
            self.observer.accounting(&accounting);
        }
        if let Some(backlog) = backlog {
            self.observer.backlog(backlog);
        }
    }

    /// Remembers how the disk is for one writer, and says so when that changes.
    pub(super) fn disk_health(&self, writer: Writer, error: Option<String>) {
        let (before, works) = {
            let mut state = self.lock();
            let before = std::mem::replace(&mut state.disk_errors[writer as usize], error.clone());
            (before, state.disk_error().is_none())
        };
        match (before, error) {
            (None, Some(error)) => self.observer.notice(&error),
            (Some(_), None) if works => self.observer.notice("the disk works again"),
            _ => {}
        }
    }

    /// Counts a connection until the value is dropped.
    pub(super) fn connected(&self) -> Connected<'_, E> {
        self.lock().counters.connections += 1;
        Connected(self)
    }

    /// Tells the tasks that seal and send to end.
    pub(super) fn stop(&self) {
        self.lock().is_stopping = true;
        self.seal.notify_one();
        self.send.notify_waiters();
        self.telemetry.notify_one();
        self.losses.notify_one();
        self.line.notify_one();
    }

    /// Tells the task that commits to end.
    pub(super) fn end(&self) {
        self.lock().is_ending = true;
        self.commit.notify_one();
    }
}

/// A connection that stands.
pub(super) struct Connected<'a, E: Env>(&'a Shared<E>);

impl<E: Env> Drop for Connected<'_, E> {
    fn drop(&mut self) {
        self.0.lock().counters.connections -= 1;
    }
}
