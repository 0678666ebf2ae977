//! The store's broker: MQTT 3.1.1 with a journal. What it has acknowledged survives a crash and a power cut.
//!
//! One task, the router, owns the state (`core`) and decides; a task per connection moves bytes. A message waits for the
//! router (one at a time, for `service`), then for the journal's fsync together with all that came meanwhile; only then it
//! is acknowledged to its publisher and delivered.
//!
//! ```text
//! connection -> inbox -> [service] -> journal (group commit) -> PUBACK, deliveries -> connections
//! ```
//! Sessions are durable (clean_session = false). Subscriptions match exactly, by `+`, or by a trailing `#`.
//! QoS 2, wills and authentication are not spoken: no machine of a store uses them.

mod core;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use backroom_collector::env::{Env, Listener as _};
use bytes::BytesMut;
use opentelemetry::KeyValue;
use rand_chacha::ChaCha8Rng;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    time::{Instant, Sleep, sleep_until, timeout},
};

pub(crate) use self::core::HELD_BYTES_MAX;
use self::core::{Core, Record, WINDOW};
use super::{
    BROKER_PORT, Context, DATA_DIR, boot,
    held::Held,
    journal::{Journal, Synced},
    kds,
    mqtt::{Packet, Publish, decode},
    orders, printer, stock,
    telemetry::Telemetry,
};
use crate::{dist::Dist, event::Queue, scenario::Role};

/// Messages that wait for the router; behind it connections stop reading.
const WAITING_MAX: usize = 256;

/// Packets on their way to one connection: its window, and acknowledgements of what it may have under way.
const OUTBOX_MAX: usize = WINDOW + 108;

/// Limit for a CONNECT to arrive, and for a client to take what is sent.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The journal is rewritten when it is longer than this and four times what is still held.
const COMPACT_BYTES: u64 = 4 << 20;

/// Runs the broker until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let boot = boot::next(&ctx).await?;
    let telemetry = Telemetry::start(&ctx, boot);
    let path = Path::new(DATA_DIR).join("broker").join("journal");
    let (journal, records) = ctx.journal(&path).await?;
    let mut core = Core::recover(&records);
    for record in provision(&ctx, &mut core) {
        // Nobody can publish yet: these are in the journal before the first message.
        journal.append(record.encode()).await?;
    }
    telemetry.log(
        "broker.started",
        format!(
            "journal has {} records, {} bytes of messages wait",
            records.len(),
            core.held_bytes()
        ),
        Vec::new(),
    );
    drop(records);

    let (inbox, inputs) = mpsc::channel(WAITING_MAX);
    let node = &ctx.scenario.nodes[&ctx.group];
    let mut router = Router {
        core,
        journal,
        held: Held::new(&ctx, Queue::Messages),
        telemetry,
        service: node.service.clone(),
        rng: ctx.rng("broker-service", boot),
        connections: BTreeMap::new(),
        waiting: VecDeque::new(),
        committing: VecDeque::new(),
        dirty: BTreeSet::new(),
    };
    let mut listener = ctx
        .env
        .listen(SocketAddr::from(([0, 0, 0, 0], BROKER_PORT)))
        .await?;
    let env = ctx.env.clone();
    let accepting = async move {
        let mut number = 0_u64;
        loop {
            // An accept that fails (too many open files) leaves the listener usable.
            if let Ok((stream, _)) = listener.accept().await {
                number += 1;
                env.spawn(connection::<E>(stream, number, inbox.clone()));
            }
        }
    };
    tokio::select! {
        biased;
        failed = router.run(inputs) => failed,
        () = accepting => Ok(()),
    }
}

/// The store's own subscribers have their sessions from the start, as an installer leaves them: in a store that is switched
/// on, a kiosk may be ready before the POS that its orders are for, and what it publishes must wait for that POS (test
/// `an_order_waits_for_a_pos_that_has_never_connected`).
fn provision<E: Env>(ctx: &Context<E>, core: &mut Core) -> Vec<Record> {
    let machines = ctx.machines.machines().iter();
    machines
        .filter_map(|machine| match machine.role {
            Role::Pos => Some((machine, orders::order_topic(&machine.name))),
            Role::Kds => Some((machine, kds::topic(&machine.name))),
            Role::Printer => Some((machine, printer::topic(&machine.name))),
            Role::Stock => Some((machine, stock::SOLD_TOPIC.to_owned())),
            _ => None,
        })
        .filter_map(|(machine, filter)| core.subscribe(&machine.name.as_str().into(), &filter))
        .collect()
}

/// What connections tell the router.
#[derive(Debug)]
enum Input {
    Connected {
        connection: u64,
        client: Arc<str>,
        clean: bool,
        outbox: mpsc::Sender<Packet>,
    },
    Packet {
        connection: u64,
        packet: Packet,
    },
    Closed {
        connection: u64,
    },
}

struct Connection {
    client: Arc<str>,
    outbox: mpsc::Sender<Packet>,
}

/// An append whose commit somebody waits for.
struct Committing {
    synced: Synced,
    then: Then,
}

enum Then {
    Acknowledge {
        seq: u64,
        connection: u64,
        id: Option<u16>,
    },
    Suback {
        connection: u64,
        packet: Packet,
    },
}

struct Router {
    core: Core,
    journal: Journal,
    held: Held,
    telemetry: Telemetry,
    service: Option<Dist>,
    rng: ChaCha8Rng,
    connections: BTreeMap<u64, Connection>,
    waiting: VecDeque<(u64, Publish, Instant)>,
    committing: VecDeque<Committing>,
    /// Clients that may have something to be sent.
    dirty: BTreeSet<Arc<str>>,
}

impl Router {
    async fn run(&mut self, mut inputs: mpsc::Receiver<Input>) -> io::Result<()> {
        let busy = sleep_until(Instant::now());
        tokio::pin!(busy);
        let mut serving = false;
        loop {
            self.deliver().await?;
            if !serving && !self.waiting.is_empty() {
                serving = self.begin_service(busy.as_mut());
                if !serving {
                    self.serve().await?;
                    continue;
                }
            }
            tokio::select! {
                biased;
                committed = front(&mut self.committing) => {
                    let done = self.committing.pop_front().expect("it was the front that committed");
                    committed?;
                    self.committed(done.then);
                }
                input = inputs.recv(), if self.waiting.len() < WAITING_MAX => {
                    let Some(input) = input else { return Ok(()) };
                    self.take(input).await?;
                }
                () = &mut busy, if serving => {
                    serving = false;
                    self.serve().await?;
                }
            }
        }
    }

    /// Sets the timer for the next message; `false` if it takes no time.
    fn begin_service(&mut self, busy: std::pin::Pin<&mut Sleep>) -> bool {
        let Some(service) = &self.service else {
            return false;
        };
        let time = service.sample_duration(&mut self.rng);
        if time.is_zero() {
            return false;
        }
        busy.reset(Instant::now() + time);
        true
    }

    async fn take(&mut self, input: Input) -> io::Result<()> {
        match input {
            Input::Connected {
                connection,
                client,
                clean,
                outbox,
            } => self.connected(connection, client, clean, outbox),
            Input::Closed { connection } => {
                if let Some(closed) = self.connections.remove(&connection) {
                    self.core.disconnected(&closed.client);
                }
            }
            Input::Packet { connection, packet } => self.packet(connection, packet).await?,
        }
        Ok(())
    }

    fn connected(
        &mut self,
        connection: u64,
        client: Arc<str>,
        clean: bool,
        outbox: mpsc::Sender<Packet>,
    ) {
        // The same client again: the older connection is dead, whether it knows or not (section 3.1.4). Dropping its
        // outbox closes it.
        self.connections.retain(|_, old| old.client != client);
        let Ok((session_present, again)) = self.core.connected(&client, clean) else {
            let _ = outbox.try_send(Packet::Connack {
                session_present: false,
                accepted: false,
            });
            return;
        };
        self.telemetry.log(
            "broker.client.connected",
            format!("client {client} connected, {} messages again", again.len()),
            vec![KeyValue::new("mqtt.client_id", client.to_string())],
        );
        self.connections.insert(
            connection,
            Connection {
                client: Arc::clone(&client),
                outbox,
            },
        );
        self.tell(
            connection,
            Packet::Connack {
                session_present,
                accepted: true,
            },
        );
        for publish in again {
            self.tell(connection, Packet::Publish(publish));
        }
        self.dirty.insert(client);
    }

    async fn packet(&mut self, connection: u64, packet: Packet) -> io::Result<()> {
        let Some(client) = self
            .connections
            .get(&connection)
            .map(|c| Arc::clone(&c.client))
        else {
            return Ok(());
        };
        match packet {
            Packet::Publish(publish) => {
                self.waiting
                    .push_back((connection, publish, Instant::now()));
            }
            Packet::Puback(id) => {
                if let Some(record) = self.core.puback(&client, id) {
                    // Lost with a crash: then the message is delivered once more.
                    self.journal.append_lazily(record.encode()).await?;
                }
                self.dirty.insert(client);
            }
            Packet::Subscribe { id, filters } => {
                self.subscribe(connection, client, id, &filters).await?
            }
            Packet::Pingreq => self.tell(connection, Packet::Pingresp),
            // A client's good-bye, or something that clients do not send: both end the connection.
            _ => self.close(connection),
        }
        Ok(())
    }

    async fn subscribe(
        &mut self,
        connection: u64,
        client: Arc<str>,
        id: u16,
        filters: &[String],
    ) -> io::Result<()> {
        let records: Vec<Record> = filters
            .iter()
            .filter_map(|filter| self.core.subscribe(&client, filter))
            .collect();
        let packet = Packet::Suback {
            id,
            granted: vec![true; filters.len()],
        };
        let mut last = None;
        for record in records {
            last = Some(self.journal.append(record.encode()).await?);
        }
        match last {
            Some(synced) => self.committing.push_back(Committing {
                synced,
                then: Then::Suback { connection, packet },
            }),
            None => self.tell(connection, packet),
        }
        self.dirty.insert(client);
        Ok(())
    }

    /// The oldest waiting message has been served.
    async fn serve(&mut self) -> io::Result<()> {
        let Some((connection, publish, came_at)) = self.waiting.pop_front() else {
            return Ok(());
        };
        self.telemetry.count("messaging.broker.messages", 1);
        self.telemetry
            .time("messaging.broker.duration", came_at.elapsed());
        let id = publish.id;
        match self
            .core
            .publish(publish.topic, publish.payload, publish.retain)
        {
            Ok(Some((seq, record))) => {
                self.held.look(self.core.held_bytes() as u64);
                let synced = self.journal.append(record.encode()).await?;
                self.committing.push_back(Committing {
                    synced,
                    then: Then::Acknowledge {
                        seq,
                        connection,
                        id,
                    },
                });
            }
            Ok(None) => {
                if let Some(id) = id {
                    self.tell(connection, Packet::Puback(id));
                }
            }
            // MQTT 3.1.1 has no word for "not now": the publisher loses its connection, backs off and tries again.
            Err(core::Full) => self.close(connection),
        }
        Ok(())
    }

    fn committed(&mut self, then: Then) {
        match then {
            Then::Acknowledge {
                seq,
                connection,
                id,
            } => {
                self.core.durable(seq);
                if let Some(id) = id {
                    self.tell(connection, Packet::Puback(id));
                }
                let ready: Vec<Arc<str>> = self.core.connected_clients().cloned().collect();
                self.dirty.extend(ready);
            }
            Then::Suback { connection, packet } => self.tell(connection, packet),
        }
    }

    async fn deliver(&mut self) -> io::Result<()> {
        while let Some(client) = self.dirty.pop_first() {
            let found = self.connections.iter().find(|(_, c)| c.client == client);
            let Some((&connection, _)) = found else {
                continue;
            };
            while let Some(publish) = self.core.next(&client) {
                self.tell(connection, Packet::Publish(publish));
            }
        }
        let bytes = self.journal.bytes();
        if bytes > COMPACT_BYTES && bytes > 4 * self.core.held_bytes() as u64 {
            self.journal.replace(self.core.snapshot()).await?;
        }
        Ok(())
    }

    fn tell(&mut self, connection: u64, packet: Packet) {
        let Some(to) = self.connections.get(&connection) else {
            return;
        };
        // A full outbox is a client that does not read: the protocol bounds what may be on its way.
        if to.outbox.try_send(packet).is_err() {
            self.close(connection);
        }
    }

    fn close(&mut self, connection: u64) {
        if let Some(closed) = self.connections.remove(&connection) {
            self.core.disconnected(&closed.client);
        }
    }
}

/// Waits for the oldest commit; for ever if there is none.
async fn front(committing: &mut VecDeque<Committing>) -> io::Result<()> {
    match committing.front_mut() {
        Some(oldest) => (&mut oldest.synced).await,
        None => pending().await,
    }
}

/// One client's connection, from CONNECT to its end.
async fn connection<E: Env>(mut stream: E::Stream, number: u64, inbox: mpsc::Sender<Input>) {
    // Whatever ends a connection, the router is told; the stream closes by its drop.
    let _ = exchange(&mut stream, number, &inbox).await;
    let _ = inbox.send(Input::Closed { connection: number }).await;
}

async fn exchange<S>(stream: &mut S, connection: u64, inbox: &mpsc::Sender<Input>) -> io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let gone = |_| io::Error::other("the broker has stopped");
    let mut input = BytesMut::with_capacity(4096);
    let first = timeout(CLIENT_TIMEOUT, async {
        loop {
            if let Some(packet) = decode(&mut input).map_err(io::Error::other)? {
                return io::Result::Ok(packet);
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    })
    .await
    .map_err(|_| io::ErrorKind::TimedOut)??;
    let Packet::Connect {
        client_id,
        clean_session,
        keep_alive,
    } = first
    else {
        return Err(io::Error::other("the first packet is not CONNECT"));
    };
    let (outbox, mut packets) = mpsc::channel(OUTBOX_MAX);
    inbox
        .send(Input::Connected {
            connection,
            client: client_id.into(),
            clean: clean_session,
            outbox,
        })
        .await
        .map_err(gone)?;

    // One and a half times the keep-alive without a packet, and the client counts as gone (section 3.1.2.10).
    let patience = Duration::from_secs(u64::from(keep_alive)) * 3 / 2;
    let mut last_heard = Instant::now();
    let alarm = sleep_until(last_heard + patience);
    tokio::pin!(alarm);
    let mut output = BytesMut::new();
    loop {
        while let Some(packet) = decode(&mut input).map_err(io::Error::other)? {
            let told = Input::Packet { connection, packet };
            inbox.send(told).await.map_err(gone)?;
        }
        tokio::select! {
            biased;
            packet = packets.recv() => {
                // The router has dropped this connection.
                let Some(packet) = packet else { return Ok(()) };
                packet.encode(&mut output);
                while let Ok(packet) = packets.try_recv() {
                    packet.encode(&mut output);
                }
                timeout(CLIENT_TIMEOUT, stream.write_all(&output))
                    .await
                    .map_err(|_| io::ErrorKind::TimedOut)??;
                output.clear();
            }
            read = stream.read_buf(&mut input) => {
                if read? == 0 {
                    return Ok(());
                }
                last_heard = Instant::now();
            }
            () = &mut alarm, if keep_alive > 0 => {
                let due = last_heard + patience;
                if due <= Instant::now() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                alarm.as_mut().reset(due);
            }
        }
    }
}
