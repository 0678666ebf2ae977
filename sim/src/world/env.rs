//! [`SimEnv`]: the operating system of one simulated machine.
//!
//! Its streams, listeners and files carry the machine's identity and make it current before every operation and every
//! drop, so any task of any library may use them. Time is the paused runtime's. Next: `net`, `disk`, `scope`.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use backroom_collector::env::{ConnectError, Env, Listener, Target, Task};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil_net::{HostId, shim::tokio::net as shim};

use super::{
    clock,
    disk::SimDisk,
    names::Fails,
    net::{Net, Signal},
    pause::Pause,
    scope::Scope,
    seed,
    wall::Wall,
};

/// One machine of a simulated world, while it runs: after a crash it gets a new one.
#[derive(Clone)]
pub struct SimEnv(Arc<Machine>);

impl std::fmt::Debug for SimEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimEnv of {}", self.name())
    }
}

struct Machine {
    name: String,
    host: HostId,
    /// Its number in the network.
    index: u16,
    run_seed: u64,
    /// How often it was started before: a program that starts again draws other numbers.
    starts: u32,
    disk: SimDisk,
    scope: Scope,
    signal: Signal,
    net: Arc<Mutex<Net>>,
    clock: Wall,
    pause: Pause,
}

impl SimEnv {
    #[expect(clippy::too_many_arguments, reason = "called in one place")]
    pub(super) fn new(
        name: String,
        host: HostId,
        index: u16,
        run_seed: u64,
        starts: u32,
        disk: SimDisk,
        scope: Scope,
        signal: Signal,
        net: Arc<Mutex<Net>>,
        clock: Wall,
        pause: Pause,
    ) -> Self {
        Self(Arc::new(Machine {
            name,
            host,
            index,
            run_seed,
            starts,
            disk,
            scope,
            signal,
            net,
            clock,
            pause,
        }))
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    fn enter(&self) -> &Machine {
        turmoil_net::set_current(self.0.host);
        &self.0
    }

    /// Makes the machine current to close one of its sockets: the network first does what has happened until now, since what
    /// it does with a lost segment depends on whether its socket is still there.
    fn enter_to_close(&self) -> &Machine {
        // Closed by the network itself, or in the middle of a panic: then it is as far as it gets.
        if let Ok(mut net) = self.0.net.try_lock() {
            net.catch_up(clock::now());
        }
        let machine = self.enter();
        machine.signal.mark();
        machine
    }
}

impl Env for SimEnv {
    type Stream = SimStream;
    type Listener = SimListener;
    type Disk = SimDisk;

    async fn connect(&self, target: &Target) -> Result<SimStream, ConnectError> {
        if target.tls.is_some() {
            let why = "there is no TLS in this world; use http://";
            return Err(ConnectError::Tls(why.to_owned()));
        }
        if turmoil_net::lookup_host(&target.host).is_none() {
            return Err(ConnectError::Dns {
                host: target.host.clone(),
                reason: "no such machine in this world".into(),
            });
        }
        let fails = match self.0.net.lock() {
            Ok(mut net) => net.names_meet(&self.0.name, &target.host),
            Err(_) => None,
        };
        if let Some(fails) = fails {
            return Err(unresolved(fails, &target.host).await);
        }
        let dial = shim::TcpStream::connect((target.host.as_str(), target.port));
        let stream = Entered {
            env: self.clone(),
            future: Some(Box::pin(dial)),
        };
        match stream.await {
            Ok(stream) => {
                let stream = SimStream {
                    env: self.clone(),
                    stream: Some(stream),
                    unread: Bytes::new(),
                };
                let is_portal = match self.0.net.lock() {
                    Ok(mut net) => net.portal_meets(self.0.index, &target.host),
                    Err(_) => false,
                };
                match is_portal {
                    true => Err(ConnectError::CertificateName {
                        expected: target.host.clone(),
                    }),
                    false => Ok(stream),
                }
            }
            Err(e) => Err(match e.kind() {
                io::ErrorKind::ConnectionRefused => ConnectError::Refused,
                io::ErrorKind::TimedOut => ConnectError::Unreachable,
                _ => ConnectError::Io(e),
            }),
        }
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<SimListener> {
        let listener = Entered {
            env: self.clone(),
            future: Some(Box::pin(shim::TcpListener::bind(address))),
        };
        Ok(SimListener {
            listener: Some(listener.await?),
            env: self.clone(),
        })
    }

    fn disk(&self) -> &SimDisk {
        &self.0.disk
    }

    fn unix_time(&self) -> Duration {
        self.0.clock.now()
    }

    fn seed(&self, purpose: &str) -> [u8; 32] {
        let start = self.0.starts.to_string();
        seed::derive(self.0.run_seed, &[&self.0.name, &start, purpose])
    }

    fn spawn<F>(&self, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.scope.spawn(Watched {
            signal: self.0.signal.clone(),
            pause: self.0.pause.clone(),
            task: Box::pin(task),
        })
    }

    fn default_route(&self) -> Option<String> {
        let net = self.0.net.lock().ok()?;
        net.default_route(self.0.index).map(str::to_owned)
    }

    async fn compute<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        // Inline: a pool of threads is never deterministic. The work takes no virtual time.
        work()
    }
}

/// What a caller is told whose name is not resolved, after as long as that takes.
async fn unresolved(fails: Fails, host: &str) -> ConnectError {
    tokio::time::sleep(fails.takes()).await;
    match fails.reason() {
        Some(reason) => ConnectError::Dns {
            host: host.to_owned(),
            reason: reason.to_owned(),
        },
        None => ConnectError::Unreachable,
    }
}

/// A machine's task: tokio catches its panics, and a store that goes on without it would pass for a whole one.
pub(super) struct Watched<F> {
    pub(super) signal: Signal,
    pub(super) pause: Pause,
    pub(super) task: Pin<Box<F>>,
}

struct Alarm<'a>(&'a Signal);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked();
        }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        if this.pause.holds(cx.waker()) {
            return Poll::Pending;
        }
        let _alarm = Alarm(&this.signal);
        this.task.as_mut().poll(cx)
    }
}

/// A future whose every poll, and whose drop, happens with its machine current.
struct Entered<F> {
    env: SimEnv,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Entered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.env.enter().signal.mark();
        match &mut self.future {
            Some(future) => future.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Entered<F> {
    fn drop(&mut self) {
        if self.future.is_some() {
            self.env.enter_to_close();
            self.future = None;
        }
    }
}

/// turmoil-net's receive buffer. It tells the sender of room only when one read takes half of it or more: a reader with a
/// small buffer would leave a closed window closed for ever (test `a_slow_reader_with_a_small_buffer_gets_everything`).
/// So the kernel is always read with a buffer of this size, and small readers are served from what that gave.
const READ_BYTES: usize = 65536;

/// A read of so much makes the kernel tell the sender of the room; a smaller one gives it nothing to send.
const WINDOW_UPDATE_BYTES: usize = READ_BYTES / 2;

thread_local! {
    static SCRATCH: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// A simulated TCP connection.
pub struct SimStream {
    env: SimEnv,
    /// `None` only while it is being dropped.
    stream: Option<shim::TcpStream>,
    /// Read from the kernel and not yet by the program.
    unread: Bytes,
}

impl std::fmt::Debug for SimStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimStream of {}", self.env.name())
    }
}

impl SimStream {
    fn inner(&mut self) -> Pin<&mut shim::TcpStream> {
        Pin::new(self.stream.as_mut().expect("present until the drop"))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.env.enter_to_close();
        self.stream = None;
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            self.env.enter();
            let read = SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(READ_BYTES, 0);
                let mut whole = ReadBuf::new(scratch);
                let read = self.inner().poll_read(cx, &mut whole);
                let bytes = whole.filled();
                if bytes.len() >= WINDOW_UPDATE_BYTES {
                    self.env.0.signal.mark();
                }
                let now = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..now]);
                if now < bytes.len() {
                    self.unread = Bytes::copy_from_slice(&bytes[now..]);
                }
                read
            });
            return read;
        }
        let now = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(now));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.env.enter();
        let written = self.inner().poll_write(cx, bytes);
        match written.is_ready() {
            true => self.env.0.signal.mark(),
            false => self.env.0.signal.blocked(),
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.env.enter().signal.mark();
        self.inner().poll_shutdown(cx)
    }
}

/// A simulated listening socket.
pub struct SimListener {
    env: SimEnv,
    /// `None` only while it is being dropped.
    listener: Option<shim::TcpListener>,
}

impl std::fmt::Debug for SimListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimListener of {}", self.env.name())
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.env.enter_to_close();
        self.listener = None;
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let env = self.env.clone();
        let listener = self.listener.as_ref().expect("present until the drop");
        let (stream, peer) = std::future::poll_fn(|cx| {
            env.enter();
            listener.poll_accept(cx)
        })
        .await?;
        let stream = SimStream {
            env,
            stream: Some(stream),
            unread: Bytes::new(),
        };
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.env.enter();
        self.listener
            .as_ref()
            .expect("present until the drop")
            .local_addr()
    }
}
