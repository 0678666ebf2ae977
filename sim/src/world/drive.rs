//! Who is polled when: the network when something touched it or is due, whoever directs when he was woken.
//!
//! The driver lives in the runtime's main future, which runs when no task can: everything that machines do at one
//! instant is sent together. It must never sleep while the network is marked. What a turn does is `net`'s.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::time::Sleep;

use super::{World, clock, lock};

/// Drives the network of `world` until `director` has ended.
pub(super) async fn run<T>(world: World, director: impl Future<Output = T>) -> T {
    let mut director = pin!(director);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut driver = Driver::new(world);
    poll_fn(|cx| {
        driver.poll(cx);
        // Every packet wakes the driver; the director's timers and channels need not be looked at for each.
        match woken.take(cx.waker()) {
            true => director.as_mut().poll(&mut Context::from_waker(&waker)),
            false => Poll::Pending,
        }
    })
    .await
}

/// Whether a part of the main future was woken.
#[derive(Debug)]
struct Woken {
    yes: AtomicBool,
    main: Mutex<Waker>,
}

impl Default for Woken {
    /// Everything is polled a first time.
    fn default() -> Self {
        Self {
            yes: AtomicBool::new(true),
            main: Mutex::new(Waker::noop().clone()),
        }
    }
}

impl Woken {
    /// Whether it was woken since the last call; from now on it wakes `main`.
    fn take(&self, main: &Waker) -> bool {
        self.main
            .lock()
            .expect("waking does not panic")
            .clone_from(main);
        self.yes.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.yes.store(true, Ordering::Relaxed);
        self.main
            .lock()
            .expect("waking does not panic")
            .wake_by_ref();
    }
}

struct Driver {
    world: World,
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` ends, if it is of use.
    until: Option<Duration>,
}

impl Driver {
    /// Its first poll turns.
    fn new(world: World) -> Self {
        world.0.signal.mark();
        Self {
            sleep: Box::pin(tokio::time::sleep_until(world.0.start)),
            world,
            until: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        let signal = &self.world.0.signal;
        signal.wakes(cx.waker());
        let now = clock::now();
        if self.until.is_none_or(|until| until > now) && !signal.is_marked() {
            return;
        }
        let next = lock(&self.world.0.net).turn(now);
        if next == self.until {
            // The timer is armed for this instant already.
            return;
        }
        self.until = next;
        if let Some(next) = next {
            self.sleep.as_mut().reset(self.world.at(next));
            if self.sleep.as_mut().poll(cx).is_ready() {
                // Not before something else has had its turn.
                cx.waker().wake_by_ref();
            }
        }
    }
}
