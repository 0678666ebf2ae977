//! Disks, destinations and senders that hang: every wait of the collector has an end, and it says what it waits for.
//!
//! Virtual time, so that two minutes of a hanging disk are no two minutes of a test.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use backroom_collector::{
    config::{ByteSize, Config, Endpoint},
    core::accounting::Accounting,
    env::{Env, Listener as _, Target},
    otlp::Signal,
    shell::{self, HANG, Handle, Observer, SHUTDOWN_MAX},
};
use backroom_sim::world::{self, World, env::SimEnv, env::SimStream};
use tokio::{
    io::AsyncWriteExt as _,
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    stage::{self, S},
    wire,
};

const PORT: u16 = 4318;

/// So slow that it never answers.
const HANGS: f64 = 1e9;

/// A collector beside a disk, a destination that takes connections and never answers, and a sender that does as it is told.
struct Store {
    world: World,
    handle: Handle,
    stop: oneshot::Sender<()>,
    /// The virtual time at which `run` returned.
    ended: oneshot::Receiver<Instant>,
    /// Items that are stored.
    stored: watch::Receiver<u64>,
}

/// Tells how much is stored.
struct Told(watch::Sender<u64>);

impl Observer for Told {
    fn accounting(&self, accounting: &Accounting) {
        self.0.send_replace(accounting.stored_total());
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.listen.http = Some(SocketAddr::from(([0, 0, 0, 0], PORT)));
    config.listen.grpc = None;
    config.endpoint = Some(Endpoint::new(format!("http://hq:{PORT}")));
    config.buffer.dir = Path::new("/buffer").to_owned();
    config.buffer.disk = ByteSize(1 << 20);
    config.batch.delay = Duration::from_millis(200);
    config
}

/// Plays a script in a world of its own. The sender's script runs on the till.
fn play<F, G>(
    sender: impl FnOnce(SimEnv) -> G + Send + 'static,
    script: impl FnOnce(Store) -> F + Send,
) where
    F: Future<Output = ()>,
    G: Future<Output = ()> + Send + 'static,
{
    let spec = stage::spec(1, 1 << 30);
    let direct = |world: World| {
        world.start("hq", |env| async move {
            let any = SocketAddr::from(([0, 0, 0, 0], PORT));
            let mut listener = env.listen(any).await.expect("the port is free");
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        let (handle, control) = shell::supervision();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (told, stored) = watch::channel(0);
        world.start("collector", move |env| async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            let observer = Arc::new(Told(told));
            let result = shell::run_with(env, config(), observer, control, shutdown).await;
            result.expect("it starts");
            let _ = end.send(Instant::now());
        });
        world.start("till", sender);
        script(Store {
            world,
            handle,
            stop,
            ended,
            stored,
        })
    };
    std::thread::scope(|scope| {
        let world = scope.spawn(|| world::run(&spec, direct).expect("no recordings"));
        world.join().expect("the world ends well");
    });
}

async fn connect(env: &SimEnv) -> SimStream {
    let target = Target {
        host: "collector".into(),
        port: PORT,
        tls: None,
    };
    loop {
        if let Ok(Ok(stream)) = timeout(S, env.connect(&target)).await {
            return stream;
        }
        sleep(S / 10).await;
    }
}

/// Posts ten items; the status of the answer.
async fn post(env: &SimEnv) -> Option<u16> {
    let mut stream = connect(env).await;
    let ids: Vec<u32> = (0..10).collect();
    let body = wire::request(Signal::Traces, &ids, b"");
    let answer = wire::post(&mut stream, &mut Vec::new(), Signal::Traces, None, &body).await;
    answer.map(|answer| answer.status())
}

/// What `/healthz` says.
async fn health(env: &SimEnv) -> (u16, String) {
    let mut stream = connect(env).await;
    let get = b"GET /healthz HTTP/1.1\r\nhost: collector\r\n\r\n";
    stream.write_all(get).await.expect("it is read");
    let answer = wire::read(&mut stream, &mut Vec::new()).await;
    let answer = answer.expect("an answer");
    let words = String::from_utf8_lossy(&answer.body).into_owned();
    (answer.status(), words)
}

/// Sends the head of a request and a part of its body, and goes on when it is told.
async fn half_a_request(env: &SimEnv) -> SimStream {
    let mut stream = connect(env).await;
    let head = "POST /v1/traces HTTP/1.1\r\nhost: collector\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).await.expect("it is read");
    stream
}

/// Scenario: it is told to stop while a sender is half way through a request, the destination has taken a batch and says nothing,
/// and the disk hangs; each of these alone, and all together.
/// Guarantees: it has ended within [`SHUTDOWN_MAX`].
#[test]
fn an_end_has_an_end_whatever_hangs() {
    for hangs in 0..8_u32 {
        let [sender, destination, disk] = [1, 2, 4].map(|bit| hangs & bit > 0);
        let script = async move |mut store: Store| {
            if destination {
                let is_stored = store.stored.wait_for(|items| *items == 10);
                is_stored.await.expect("it runs");
            }
            // The batch is sealed, and under way.
            sleep(5 * S).await;
            if disk {
                store.world.disk("collector").slow_down(HANGS);
            }
            // A request that waits for the disk.
            sleep(5 * S).await;
            let began = Instant::now();
            store.stop.send(()).expect("it runs");
            let ended = store.ended.await.expect("it ends");
            let took = ended - began;
            assert!(took <= SHUTDOWN_MAX, "{hangs:03b}: {took:?}");
            // Not for want of anything that hangs.
            let waits = [sender, destination, disk].iter().any(|hangs| *hangs);
            assert_eq!(took > S, waits, "{hangs:03b}: {took:?}");
        };
        let till = async move |env: SimEnv| {
            if destination {
                assert_eq!(post(&env).await, Some(200));
            }
            sleep(7 * S).await;
            let half = match sender {
                true => Some(half_a_request(&env).await),
                false => None,
            };
            if disk {
                post(&env).await;
            }
            sleep(60 * S).await;
            drop(half);
        };
        play(till, script);
    }
}

/// Scenario: the disk hangs under a commit, for minutes.
/// Guarantees: `/healthz` says so after ten seconds and not before; a watchdog hears of a hang after two minutes and not before.
#[test]
fn a_disk_that_hangs_is_told() {
    let (tell, told) = oneshot::channel();
    let till = async move |env: SimEnv| {
        sleep(10 * S).await;
        let began = Instant::now();
        let waits = env.clone();
        drop(env.spawn(async move { post(&waits).await }));
        let mut answers = Vec::new();
        for at in [9, 12, 125] {
            tokio::time::sleep_until(began + at * S).await;
            answers.push(health(&env).await);
        }
        let _ = tell.send(answers);
    };
    let script = async move |store: Store| {
        sleep(9 * S).await;
        store.world.disk("collector").slow_down(HANGS);
        let request = store.world.at(10 * S);
        for (at, is_turning) in [(100, true), (125, false)] {
            assert_eq!(is_turning, at * S < HANG);
            tokio::time::sleep_until(request + at * S).await;
            let status = store.handle.status(S).await.expect("it answers");
            assert_eq!(status.is_turning, is_turning, "{at} s: {status:?}");
            assert!(!status.is_ready, "{status:?}");
            assert!(status.line.contains("has not answered"), "{status:?}");
        }
        let answers = told.await.expect("health answers");
        let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [200, 503, 503], "{answers:?}");
        let words = &answers[1].1;
        assert!(words.contains("the disk has not answered for"), "{words}");
    };
    play(till, script);
}

/// Scenario: a sender stops in the middle of a body, another one before its head is whole.
/// Guarantees: the first is answered 408 after a minute, the second one's connection is closed after two; others are served meanwhile.
#[test]
fn a_sender_that_stops_is_given_its_time_and_no_more() {
    let (tell, told) = oneshot::channel();
    let till = async move |env: SimEnv| {
        let mut half = half_a_request(&env).await;
        let mut head = connect(&env).await;
        head.write_all(b"POST /v1/tra").await.expect("it is read");
        let began = Instant::now();
        assert_eq!(post(&env).await, Some(200));
        let answer = wire::read(&mut half, &mut Vec::new()).await;
        let body = (answer.map(|answer| answer.status()), began.elapsed());
        let nothing = wire::read(&mut head, &mut Vec::new()).await;
        let _ = tell.send((body, nothing.is_none(), began.elapsed()));
    };
    let script = async move |store: Store| {
        let ((status, after), is_closed, closed_after) = told.await.expect("the sender ends");
        assert_eq!(status, Some(408));
        let minute = Duration::from_secs(59)..=Duration::from_secs(61);
        assert!(minute.contains(&after), "{after:?}");
        assert!(is_closed);
        let two = Duration::from_secs(119)..=Duration::from_secs(121);
        assert!(two.contains(&closed_after), "{closed_after:?}");
        drop(store);
    };
    play(till, script);
}
