//! A new configuration for a running collector: all of it, or nothing. The buffer is not touched.
//!
//! What cannot change live stands in `config::changes`. What is under way is finished with the old settings, but a request
//! to an address that is left is given up, and its batch goes to the new one.

use std::sync::Arc;

use super::{
    outlet,
    shared::Shared,
    supervision::{ReloadError, Reloaded},
};
use crate::{
    config::{Config, changes},
    core::{codec::CodecId, spool::Limits},
    env::Env,
};

/// Reloads since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reloads {
    /// Taken.
    pub(super) taken: u64,
    /// Refused.
    pub(super) refused: u64,
    /// Whether the last one was refused.
    pub(super) is_refused: bool,
}

impl Reloads {
    pub(super) fn refused(&mut self) {
        self.refused += 1;
        self.is_refused = true;
    }

    fn take(&mut self) {
        self.taken += 1;
        self.is_refused = false;
    }

    /// Counts configurations, the first one included.
    pub(super) fn generation(&self) -> u64 {
        1 + self.taken
    }
}

impl<E: Env> Shared<E> {
    /// Takes a configuration.
    ///
    /// # Errors
    /// If it cannot be taken; then nothing has changed.
    pub(super) fn reload(self: &Arc<Self>, new: Config) -> Result<Reloaded, ReloadError> {
        let result = self.try_reload(new);
        if result.is_err() {
            self.lock().reloads.refused();
        }
        result
    }

    fn try_reload(self: &Arc<Self>, new: Config) -> Result<Reloaded, ReloadError> {
        let old = self.config();
        let changes = changes(&old, &new);
        if !changes.fixed.is_empty() {
            let keys = changes.fixed;
            return Err(ReloadError::NeedsRestart { keys });
        }
        let targets = outlet::targets(&new)?;
        // From here on nothing fails.
        let now = self.now();
        // The spool first: a worker finds the route of its outlet there.
        self.lock().spool.set_limits(Limits::new(&new));
        self.set_outlets(&old, &new, targets);
        let generation = {
            let mut state = self.lock();
            let state = &mut *state;
            for outlet in &mut state.outlets {
                if old.retry.backoff != new.retry.backoff {
                    outlet
                        .destination
                        .set_delays(self.delays(&new, outlet.name()));
                }
            }
            state.set_pace(now, &new);
            if CodecId::from(new.compress.codec) > state.accepts() {
                let codec = state.accepts().with_level(new.compress.codec);
                state.spool.set_codec(codec);
            }
            state.reloads.take();
            state.reloads.generation()
        };
        self.set_config(new);
        // With what is known of the line; it is asked for anew in a moment.
        self.go_by_line();
        self.line.notify_one();
        self.staff();
        // Whatever waits looks again: there may be room, a shorter delay, a faster line.
        self.commit.notify_one();
        self.seal.notify_one();
        self.send.notify_waiters();
        self.telemetry.notify_one();
        Ok(Reloaded {
            changed: changes.live,
            generation,
        })
    }
}
