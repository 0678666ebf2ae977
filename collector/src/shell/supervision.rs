//! The line between a running collector and who supervises it: the binary with its signals, or a simulated machine.
//!
//! [`supervision`] makes both ends. The supervisor keeps the [`Handle`] and asks; [`super::run_with`] takes the [`Control`] and
//! answers from a task of its own, so an answer also says that the event loop turns. Questions wait in a queue of four.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{Error, health, shared::Shared};
use crate::{config::Config, env::Env};

/// Questions that wait at once; more wait in their senders.
const QUEUE: usize = 4;

/// Makes the two ends of a line.
pub fn supervision() -> (Handle, Control) {
    let (ask, asked) = mpsc::channel(QUEUE);
    (Handle(ask), Control(asked))
}

/// The supervisor's end.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<Question>);

/// The collector's end.
#[derive(Debug)]
pub struct Control(mpsc::Receiver<Question>);

#[derive(Debug)]
enum Question {
    Reload(Box<Config>, oneshot::Sender<Result<Reloaded, ReloadError>>),
    Refused,
    Status(oneshot::Sender<Status>),
}

/// A configuration was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys that changed; none if the configuration was the same.
    pub changed: Vec<&'static str>,
    /// Counts configurations that were taken, the first one included.
    pub generation: u64,
}

/// Why a configuration was not taken. The old one stays, whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It changes what a running collector cannot change.
    #[error(
        "{} cannot change while the collector runs: restart it, or set the old value again",
        .keys.join(" and ")
    )]
    NeedsRestart {
        /// The keys.
        keys: Vec<&'static str>,
    },
    /// It cannot be used.
    #[error(transparent)]
    Unusable(#[from] Error),
    /// The collector has ended, or has not started.
    #[error("the collector does not answer")]
    NotRunning,
}

/// How a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// It has started and requests would be taken (`/readyz`).
    pub is_ready: bool,
    /// Its commits turn: none has been under way for longer than [`HANG`](super::HANG). A slow or a failing disk is no hang.
    pub is_turning: bool,
    /// One line for an operator: what is stored, and what is wrong.
    pub line: String,
}

impl Handle {
    /// Changes the configuration, or leaves it as it is.
    ///
    /// # Errors
    /// Says why nothing was changed; the buffer is not touched in any case.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        let (tell, told) = oneshot::channel();
        let question = Question::Reload(Box::new(config), tell);
        let sent = self.0.send(question).await;
        sent.map_err(|_| ReloadError::NotRunning)?;
        told.await.map_err(|_| ReloadError::NotRunning)?
    }

    /// Counts a reload that failed before there was a configuration: the file is wrong.
    pub async fn refused(&self) {
        let _ = self.0.send(Question::Refused).await;
    }

    /// How it is; `None` if it does not say within `timeout`.
    pub async fn status(&self, timeout: Duration) -> Option<Status> {
        let (tell, told) = oneshot::channel();
        let answer = async {
            self.0.send(Question::Status(tell)).await.ok()?;
            told.await.ok()
        };
        tokio::time::timeout(timeout, answer).await.ok()?
    }
}

/// Answers until every handle is gone.
pub(super) async fn obey<E: Env>(shared: Arc<Shared<E>>, mut control: Control) {
    while let Some(question) = control.0.recv().await {
        // Who does not wait for the answer any more needs none.
        match question {
            Question::Reload(config, tell) => {
                let _ = tell.send(shared.reload(*config));
            }
            Question::Refused => shared.lock().reloads.refused(),
            Question::Status(tell) => {
                let _ = tell.send(health::status(&shared));
            }
        }
    }
}
