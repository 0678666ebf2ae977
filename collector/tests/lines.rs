//! Line profiles on real sockets: what goes over which connection when the default route changes.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use backroom_collector::{
    config::{Config, Protocol, load_text},
    env::{ConnectError, Env, Listener, OsDisk, OsEnv, OsListener, OsStream, Target, Task},
    shell,
};
use common::{Client, Recorder, Sink, buffer, config, env};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the routes of the machine are, and who is connected over them.
#[derive(Default)]
struct Routes {
    default: &'static str,
    /// Connections so far, and those that are open, by the interface that they were opened on.
    opened: BTreeMap<&'static str, usize>,
    open: BTreeMap<&'static str, usize>,
    /// What comes in over this interface waits.
    held: Option<&'static str>,
    waiting: Vec<Waker>,
}

#[derive(Clone, Default)]
struct Machine(Arc<Mutex<Routes>>);

impl Machine {
    fn look<T>(&self, look: impl FnOnce(&mut Routes) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    fn go_over(&self, interface: &'static str) {
        self.look(|routes| routes.default = interface);
    }

    fn hold(&self, interface: Option<&'static str>) {
        let waiting = self.look(|routes| {
            routes.held = interface;
            std::mem::take(&mut routes.waiting)
        });
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Connections so far, and those that are open.
    fn connections(&self, interface: &str) -> (usize, usize) {
        let count = |of: &BTreeMap<&str, usize>| of.get(interface).copied().unwrap_or(0);
        self.look(|routes| (count(&routes.opened), count(&routes.open)))
    }

    /// Waits until so many connections are open.
    async fn left(&self, interface: &str, count: usize) {
        let left = async {
            while self.connections(interface).1 != count {
                tokio::task::yield_now().await;
            }
        };
        let wait = tokio::time::timeout(Duration::from_secs(20), left).await;
        let (_, open) = self.connections(interface);
        assert!(
            wait.is_ok(),
            "{open} are open over {interface}, not {count}"
        );
    }
}

/// The operating system with a default route that is set by hand.
#[derive(Clone)]
struct RoutedEnv {
    inner: OsEnv,
    machine: Machine,
}

/// A connection to the destination, or one that was accepted.
struct Routed {
    inner: OsStream,
    over: Option<(Machine, &'static str)>,
}

impl Drop for Routed {
    fn drop(&mut self) {
        if let Some((machine, interface)) = &self.over {
            machine.look(|routes| *routes.open.get_mut(interface).unwrap() -= 1);
        }
    }
}

impl AsyncRead for Routed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((machine, interface)) = &self.over {
            let is_held = machine.look(|routes| {
                let is_held = routes.held == Some(interface);
                routes.waiting.extend(is_held.then(|| cx.waker().clone()));
                is_held
            });
            if is_held {
                return Poll::Pending;
            }
        }
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Routed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct RoutedListener(OsListener);

impl Listener for RoutedListener {
    type Stream = Routed;

    async fn accept(&mut self) -> io::Result<(Routed, SocketAddr)> {
        let (inner, peer) = self.0.accept().await?;
        Ok((Routed { inner, over: None }, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Env for RoutedEnv {
    type Stream = Routed;
    type Listener = RoutedListener;
    type Disk = OsDisk;

    async fn connect(&self, target: &Target) -> Result<Routed, ConnectError> {
        let interface = self.machine.look(|routes| {
            let interface = routes.default;
            *routes.opened.entry(interface).or_default() += 1;
            interface
        });
        let inner = self.inner.connect(target).await?;
        self.machine
            .look(|routes| *routes.open.entry(interface).or_default() += 1);
        Ok(Routed {
            inner,
            over: Some((self.machine.clone(), interface)),
        })
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<RoutedListener> {
        Ok(RoutedListener(self.inner.listen(address).await?))
    }

    fn disk(&self) -> &OsDisk {
        self.inner.disk()
    }

    fn unix_time(&self) -> Duration {
        self.inner.unix_time()
    }

    fn seed(&self, purpose: &str) -> [u8; 32] {
        self.inner.seed(purpose)
    }

    fn spawn<F>(&self, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner.spawn(task)
    }

    fn default_route(&self) -> Option<String> {
        Some(self.machine.look(|routes| routes.default.to_owned()))
    }

    async fn compute<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.inner.compute(work).await
    }
}

const LINES: &str = "[link.lte]\nmatch = { interface = \"wwan*\" }\n\
                     [link.uplink]\nmatch = { interface = \"eth*\" }\n";

/// Scenario: a request is under way over LTE, its answer is late, and the uplink comes back; more is sent meanwhile, then the answer
/// comes.
/// Guarantees: the request under way is finished on its connection, once; what comes after it goes over a new connection; when it has
/// ended nothing is left open on the old line.
async fn check(protocol: Protocol) {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = match protocol {
        Protocol::Grpc => Sink::open_grpc(&env).await,
        _ => Sink::open(&env).await,
    };
    let mut config: Config = config(&dir, Some(sink.url()));
    config.endpoint.as_mut().unwrap().protocol = protocol;
    config.links = load_text("lines.toml", LINES).unwrap().links;
    let machine = Machine::default();
    machine.go_over("wwan0");
    let routed = RoutedEnv {
        inner: env.clone(),
        machine: machine.clone(),
    };
    let told = Arc::new(Recorder::default());
    let run = shell::run(routed, config, told.clone(), std::future::pending());
    let running = env.spawn(run);
    let (address, _) = told.listening().await;
    let mut client = Client::connect(address).await;
    let mut sent = 0;
    let mut post = async || {
        let ids = sent..sent + 10;
        sent += 10;
        assert_eq!(client.post_spans(ids).await.unwrap().status, 200);
    };

    // Two at once, as far as the window has opened: what is kept is more than one connection.
    for _ in 0..4 {
        post().await;
    }
    told.wait("over LTE", |told| told.stored() == 0).await;
    let (opened, open) = machine.connections("wwan0");
    assert!(opened >= 1 && open >= 1, "{opened} opened, {open} kept");

    machine.hold(Some("wwan0"));
    let before = sink.received().len();
    post().await;
    sink.wait("a request whose answer is late", |all| all.len() > before)
        .await;
    machine.go_over("eth0");
    post().await;
    sink.wait("one over the uplink", |all| all.len() > before + 1)
        .await;
    told.wait("it is delivered", |told| told.stored() == 10)
        .await;
    assert!(told.has_notice("the line is uplink (eth0)"));
    machine.left("wwan0", 1).await;
    let (over_uplink, _) = machine.connections("eth0");
    assert!(over_uplink >= 1);

    machine.hold(None);
    told.wait("the late answer", |told| told.stored() == 0)
        .await;
    post().await;
    told.wait("one more", |told| told.stored() == 0).await;
    machine.left("wwan0", 0).await;
    assert_eq!(machine.connections("wwan0").0, opened, "none was opened");
    let taken = sink.taken();
    assert_eq!(taken.len(), sent as usize);
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
    running.abort();
}

#[tokio::test]
async fn another_line_means_another_connection_over_http() {
    check(Protocol::HttpProtobuf).await;
}

#[tokio::test]
async fn another_line_means_another_connection_over_grpc() {
    check(Protocol::Grpc).await;
}
