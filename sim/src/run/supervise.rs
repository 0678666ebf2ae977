//! Which programs have ended because their disk failed: what a supervisor such as systemd learns from its children.
//!
//! A program that cannot write its journal stops rather than goes on as if it had. It is started again after
//! [`RESTART_AFTER`], as often as it takes, with whatever the disk kept. Who starts and stops machines is `one`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::Notify;

/// 5 s: a unit file's usual `RestartSec`, so that a disk that fails at once does not keep the machine busy.
pub(super) const RESTART_AFTER: Duration = Duration::from_secs(5);

/// The programs that have ended; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Supervisor(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// At most one for each machine: it is not started before it was taken out.
    ended: Mutex<VecDeque<String>>,
    told: Notify,
}

impl Supervisor {
    fn queue(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0
            .ended
            .lock()
            .expect("one thread, and no panic while it is held")
    }

    /// A machine's program has ended.
    pub(super) fn ended(&self, machine: &str) {
        self.queue().push_back(machine.to_owned());
        self.0.told.notify_one();
    }

    /// Waits for the next one.
    pub(super) async fn next(&self) -> String {
        loop {
            if let Some(machine) = self.queue().pop_front() {
                return machine;
            }
            self.0.told.notified().await;
        }
    }
}
