//! `run` as a service: signals in, words for the service manager out, and the collector in between.
//!
//! - SIGTERM, SIGINT: an orderly end, within [`shell::SHUTDOWN_MAX`]. A second one ends at once; what was acknowledged is on
//!   disk in either case.
//! - SIGHUP: the configuration is read again, by the very code of `check`. If anything is wrong with it the old one stays.
//! - A service manager hears when it is ready, reloading and stopping, how it is going, and a sign of life as often as it wants,
//!   but only while the collector answers and its commits turn.

use std::{io, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{exit, notify::Manager};
use crate::{
    config::{Config, Report},
    shell::{Handle, ReloadError, Reloaded, Status},
};

/// How long the collector may take to answer: a sign of life is due soon after. While it starts it does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a manager hears how it is going, if it wants no signs of life.
const STATUS_EVERY: Duration = Duration::from_secs(30);

/// The signals that a service takes. Made before anything can go wrong, so that none is lost.
pub(super) struct Signals {
    end: Ends,
    hangup: Signal,
}

impl Signals {
    /// # Errors
    /// If the operating system does not give them.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            end: Ends {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    /// Waits for one; gives the exit code of who leaves because of it.
    async fn wait(&mut self) -> u8 {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => exit::TERMINATED,
            _ = self.interrupt.recv() => exit::INTERRUPTED,
        }
    }
}

/// What supervises a collector.
pub(super) struct Service<L> {
    pub(super) signals: Signals,
    pub(super) manager: Manager,
    pub(super) handle: Handle,
    /// Reads the configuration again; `None` if there is no file.
    pub(super) load: L,
}

impl<L: Fn() -> Option<Result<Config, Report>>> Service<L> {
    /// Supervises until the first signal to end. Returns whether the collector has started by then: if not, it has
    /// acknowledged nothing and needs no orderly end.
    pub(super) async fn supervise(&mut self, tell: impl Fn(&Report)) -> bool {
        let mut next = tokio::time::Instant::now();
        let mut has_started = false;
        loop {
            let look = async {
                tokio::time::sleep_until(next).await;
                self.handle.status(ANSWER_TIMEOUT).await
            };
            tokio::select! {
                biased;
                _ = self.signals.end.wait() => break,
                _ = self.signals.hangup.recv() => self.reload(&tell).await,
                status = look => if let Some(status) = status {
                    self.pass_on(&status, has_started);
                    has_started = true;
                    next = tokio::time::Instant::now() + self.pause();
                },
            }
        }
        self.manager.stopping();
        has_started
    }

    /// Half of what the manager allows, as its documentation recommends.
    fn pause(&self) -> Duration {
        let half = self.manager.watchdog().map(|limit| limit / 2);
        half.map_or(STATUS_EVERY, |half| half.min(STATUS_EVERY))
    }

    fn pass_on(&self, status: &Status, has_started: bool) {
        if has_started {
            self.manager.status(&status.line);
        } else {
            self.manager.ready(&status.line);
        }
        if status.is_turning {
            self.manager.alive();
        }
    }

    async fn reload(&self, tell: impl Fn(&Report)) {
        self.manager.reloading();
        let say = |message: &str| eprintln!("backroom-collector: {message}");
        let words = match (self.load)() {
            None => "reload: there is no file to read again; start with --config FILE".to_owned(),
            Some(Err(wrong)) => {
                tell(&wrong);
                let refused = self.handle.refused();
                let _ = tokio::time::timeout(ANSWER_TIMEOUT, refused).await;
                "reload refused, the old configuration stays: the file is wrong".to_owned()
            }
            Some(Ok(config)) => match self.give(config).await {
                Ok(Reloaded { changed, .. }) if changed.is_empty() => {
                    "reloaded: nothing has changed".to_owned()
                }
                Ok(Reloaded {
                    changed,
                    generation,
                }) => format!(
                    "reloaded: {}; configuration {generation}",
                    changed.join(", ")
                ),
                Err(error) => format!("reload refused, the old configuration stays: {error}"),
            },
        };
        say(&words);
        self.manager.ready(&words);
    }

    async fn give(&self, config: Config) -> Result<Reloaded, ReloadError> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.handle.reload(config));
        answer.await.unwrap_or(Err(ReloadError::NotRunning))
    }

    /// Waits for a second signal to end; gives its exit code.
    pub(super) async fn insist(&mut self) -> u8 {
        self.signals.end.wait().await
    }
}
