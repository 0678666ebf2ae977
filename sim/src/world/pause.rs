//! Whether a machine stands still: its tasks are not polled, and go on where they were.
//!
//! Time goes on meanwhile: a timer that ends during a pause is late. What happens to packets is `net`'s.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

/// One machine's pause; clones are the same. It outlives the machine's programs: what starts meanwhile stands still, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Pause(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lasts: AtomicBool,
    /// Tasks that had something to do; bounded by the tasks of the machine.
    waiting: Mutex<Vec<Waker>>,
}

impl Pause {
    /// Whether a task must wait; then it is woken when the pause ends.
    pub(super) fn holds(&self, task: &Waker) -> bool {
        if !self.0.lasts.load(Ordering::Relaxed) {
            return false;
        }
        let mut waiting = self.waiting();
        if !waiting.iter().any(|other| other.will_wake(task)) {
            waiting.push(task.clone());
        }
        true
    }

    /// From now on nothing moves.
    pub(super) fn begin(&self) {
        self.0.lasts.store(true, Ordering::Relaxed);
    }

    /// Everything goes on; gives the number of tasks that had to wait.
    pub(super) fn end(&self) -> u64 {
        self.0.lasts.store(false, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *self.waiting());
        let count = waiting.len() as u64;
        waiting.into_iter().for_each(Waker::wake);
        count
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.0.waiting.lock().expect("waking does not panic")
    }
}
