//! A buffer that is held for a tool: no receiver, and a destination only where one is asked for.
//!
//! The same lock, recovery, commits and seals as the running collector's, so what a tool does to a dead disk is what a
//! collector would do. Next: `handling`, which is done with it.

use std::{io, sync::Arc, time::Duration};

use super::{
    Error, Observer, client, end_by,
    handling::{Handled, Hold, Imported, Importer},
    hold_buffer,
    release::{Fate, Released},
    shared, store,
};
use crate::{
    archive,
    config::Config,
    core::{
        accounting::Accounting,
        class::ClassName,
        selection::Selection,
        spool::{RouteStat, Spool},
    },
    env::{Disk, Env, Task},
};

/// How long closing waits for the disk.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A buffer in our hands.
pub struct Keeper<E: Env> {
    shared: Arc<shared::Shared<E>>,
    commit: Task<()>,
    tasks: Vec<Task<()>>,
    importer: Option<Importer<E>>,
    _lock: Option<<E::Disk as Disk>::Lock>,
}

impl<E: Env> Keeper<E> {
    /// Locks the buffer and recovers it. No destination is sent to before [`Keeper::drain`].
    ///
    /// # Errors
    /// If another process has it, or it cannot be read.
    pub async fn open(env: E, config: Config, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        let (lock, spool) = hold_buffer(&env, &config, &observer).await?;
        let shared = shared::Shared::new(env.clone(), config, observer, spool);
        let commit = env.spawn(store::commit(shared.clone()));
        let tasks = vec![env.spawn(store::seal(shared.clone()))];
        Ok(Self {
            shared,
            commit,
            tasks,
            importer: None,
            _lock: lock,
        })
    }

    /// Drops what a selection covers, counted with the reason `purged`; with `is_trial` only says what that would be.
    ///
    /// # Errors
    /// If the disk does not do its part in time.
    pub async fn purge(&self, selection: &Selection, is_trial: bool) -> io::Result<Handled> {
        self.shared.purge(selection, is_trial).await
    }

    /// Sends refused items again, or deletes them; with `is_trial` only says what that would be.
    ///
    /// # Errors
    /// If the disk does not do its part in time.
    pub async fn release(
        &self,
        selection: &Selection,
        fate: Fate,
        is_trial: bool,
    ) -> io::Result<Released> {
        self.shared.release(selection, fate, is_trial).await
    }

    /// Takes what a selection covers out of the queue, until the hold is dropped or says that it was exported.
    ///
    /// # Errors
    /// If the disk does not do its part in time.
    pub async fn take(&self, selection: &Selection) -> io::Result<(Hold<E>, Handled)> {
        self.shared.take(selection).await
    }

    /// Puts in what is not known of a batch; synced on return. [`Keeper::close`] remembers what was imported.
    ///
    /// # Errors
    /// `StorageFull` if the quota has no room for it; `InvalidData` if it is not well formed.
    pub async fn import(&mut self, batch: &archive::Batch) -> io::Result<Imported> {
        let importer = match &mut self.importer {
            Some(importer) => importer,
            None => self
                .importer
                .insert(Importer::begin(self.shared.clone()).await?),
        };
        importer.add(batch).await
    }

    /// Begins to send to a destination of the configuration, what it does not have.
    ///
    /// # Errors
    /// If there is none of that name, or it cannot be used.
    pub fn drain(&mut self, name: ClassName) -> Result<(), Error> {
        let config = self.shared.config();
        let mut routes = config.routes();
        let Some((_, endpoint)) = routes.find(|(known, _)| *known == name) else {
            let (url, reason) = (name.to_string(), "no such destination is set".to_owned());
            return Err(Error::Endpoint { url, reason });
        };
        let target = client::Destination::new(endpoint)?;
        self.shared.lock().spool.close_batches();
        self.shared.seal.notify_one();
        self.shared.open_outlet(&config, name, target);
        self.shared.staff();
        Ok(())
    }

    /// Items that a destination does not have; about so many, and 0 only when it has all of them.
    pub fn waiting(&self, name: ClassName) -> u64 {
        let state = self.shared.lock();
        let unsealed = state.spool.unsealed_batches();
        let unsealed: u64 = unsealed.iter().map(|b| b.header.range.count).sum();
        let route = self.route(&state.spool, name);
        unsealed + route.map_or(0, |route| route.waiting_items)
    }

    /// Items that a destination took since it was opened.
    pub fn delivered(&self, name: ClassName) -> u64 {
        let state = self.shared.lock();
        let route = self.route(&state.spool, name);
        route.map_or(0, |route| route.delivered_total())
    }

    fn route(&self, spool: &Spool, name: ClassName) -> Option<RouteStat> {
        let mut routes = spool.routes(self.shared.unix_nanos());
        routes.find(|route| route.name == name)
    }

    /// The account of all items since it was opened.
    pub fn accounting(&self) -> Accounting {
        *self.shared.lock().spool.accounting()
    }

    /// Ends what is under way, syncs, and lets go of the buffer.
    ///
    /// # Errors
    /// If what was imported cannot be remembered.
    pub async fn close(mut self) -> io::Result<()> {
        let remembered = match self.importer.take() {
            Some(importer) => importer.finish().await,
            None => Ok(()),
        };
        let deadline = tokio::time::Instant::now() + CLOSE_TIMEOUT;
        self.shared.stop();
        self.tasks.append(&mut self.shared.crew());
        for task in self.tasks {
            end_by(deadline, task).await;
        }
        self.shared.end();
        end_by(deadline + CLOSE_TIMEOUT, self.commit).await;
        remembered
    }
}
