//! The tasks of one machine: a crash is the abort of its scope.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use backroom_collector::env::Task;
use tokio::task::AbortHandle;

/// Tasks of one run of one machine. A machine that starts again gets a new scope, so that nothing of the old one can
/// put tasks into the new one.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    tasks: Vec<AbortHandle>,
    sweep_at: usize,
    closed: bool,
}

impl Scope {
    /// Runs a task in this scope; in a closed one it is aborted before its first poll.
    pub(super) fn spawn<F>(&self, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a machine's tasks are made; the scope holds their abort handles"
        )]
        let handle = tokio::task::spawn(task);
        let mut inner = self.lock();
        if inner.closed {
            handle.abort();
        } else {
            inner.tasks.push(handle.abort_handle());
            if inner.tasks.len() > inner.sweep_at {
                // Finished tasks are swept when the list has doubled: constant work a task.
                inner.tasks.retain(|t| !t.is_finished());
                inner.sweep_at = (inner.tasks.len() * 2).max(64);
            }
        }
        Task::new(handle)
    }

    /// Aborts every task and waits until the last one has been dropped; tells how many were running.
    pub(super) async fn close(&self) -> usize {
        let tasks = {
            let mut inner = self.lock();
            inner.closed = true;
            std::mem::take(&mut inner.tasks)
        };
        let running = tasks.iter().filter(|t| !t.is_finished()).count();
        for task in &tasks {
            task.abort();
        }
        // The runtime drops an aborted task when it next schedules it. A task that is being dropped may wake others,
        // never more than there are.
        for _ in 0..=tasks.len() + 2 {
            if tasks.iter().all(AbortHandle::is_finished) {
                return running;
            }
            tokio::task::yield_now().await;
        }
        assert!(
            tasks.iter().all(AbortHandle::is_finished),
            "aborted tasks of a machine did not end"
        );
        running
    }

    /// Whether a task of it has not ended.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().tasks.iter().any(|t| !t.is_finished())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0
            .lock()
            .expect("a scope is used by one thread and never held across a panic")
    }
}
