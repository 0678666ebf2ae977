//! A machine's connection to the broker: publishes until acknowledged, delivers until acknowledged, connects again.
//!
//! One task owns the socket. What was published and not acknowledged is sent again, in order, on the next connection; what
//! was delivered and not acknowledged is delivered again by the broker. So both ways are at least once, and whoever
//! listens drops repeats by order id.
//!
//! A quiet connection costs nothing but one ping in [`KEEP_ALIVE`]. It has to be found dead some time: a broker that lost
//! power says no good-bye, and a display that only listens would wait for it for ever.

use std::{collections::VecDeque, convert::Infallible, io, sync::Arc, time::Duration};

use backroom_collector::env::Env;
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Packet, Publish, decode};
use crate::store::{BROKER_PORT, Context, pace::FullJitter, target};

/// Longest silence before a ping. Long, because two weeks of seventeen machines must stay cheap; a machine that publishes
/// notices a dead broker within [`ANSWER_TIMEOUT`].
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// Limit for connecting, for CONNACK, for PUBACK and for a ping's answer. The broker syncs before it acknowledges, and
/// may have a queue.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Publishes under way at once; others wait in the channel, and behind it their senders.
const INFLIGHT_MAX: usize = 16;

/// Publishes that wait for a place among those under way.
const WAITING_MAX: usize = 16;

/// Deliveries that the machine has not taken yet. More than the broker sends without acknowledgement.
const DELIVERIES_MAX: usize = 64;

/// What a client is told at its start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Topic filters; subscribed again on each connection.
    pub subscriptions: Vec<String>,
}

/// A handle for publishing.
#[derive(Clone, Debug)]
pub struct Client {
    publishes: mpsc::Sender<Outgoing>,
}

/// A message that the broker delivered.
#[derive(Debug)]
pub struct Delivery {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its bytes.
    pub payload: Bytes,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    id: Option<u16>,
    connection: u64,
    acks: mpsc::UnboundedSender<Ack>,
}

impl Delivery {
    /// Tells the broker that it need not deliver this again.
    ///
    /// On a later connection it does nothing: the broker delivers it once more, and that delivery is acknowledged.
    pub fn ack(self) {
        if let Some(id) = self.id {
            // A client whose task is gone has no broker to tell.
            let _ = self.acks.send(Ack {
                id,
                connection: self.connection,
            });
        }
    }
}

#[derive(Debug)]
struct Ack {
    id: u16,
    connection: u64,
}

#[derive(Debug)]
struct Outgoing {
    topic: Arc<str>,
    payload: Bytes,
    retain: bool,
    done: oneshot::Sender<()>,
}

struct Inflight {
    id: u16,
    outgoing: Outgoing,
    /// When it was sent on this connection.
    sent_at: Instant,
}

impl Client {
    /// Starts the client's task; deliveries come out of the channel.
    ///
    /// Its session at the broker is persistent and named after the machine.
    pub fn start<E: Env>(
        ctx: &Context<E>,
        boot: u16,
        broker: String,
        options: Options,
    ) -> (Self, mpsc::Receiver<Delivery>) {
        let (publishes, outgoing) = mpsc::channel(WAITING_MAX);
        let (deliveries, incoming) = mpsc::channel(DELIVERIES_MAX);
        let (acks, acked) = mpsc::unbounded_channel();
        let driver = Driver {
            env: ctx.env.clone(),
            client_id: ctx.name.clone(),
            broker,
            options,
            outgoing,
            deliveries,
            acks,
            acked,
            publishing: true,
            inflight: VecDeque::new(),
            last_id: 0,
            connection: 0,
            backoff: FullJitter::new(
                Duration::from_millis(200),
                Duration::from_secs(10),
                ctx.rng("mqtt-backoff", boot),
            ),
        };
        ctx.env.spawn(driver.run());
        (Self { publishes }, incoming)
    }

    /// Publishes with QoS 1 and waits for the acknowledgement, however long that takes.
    ///
    /// # Errors
    /// When the client's task is gone.
    pub async fn publish(
        &self,
        topic: impl Into<Arc<str>>,
        payload: Bytes,
        retain: bool,
    ) -> io::Result<()> {
        let gone = || io::Error::other("the MQTT client has stopped");
        let (done, acked) = oneshot::channel();
        self.publishes
            .send(Outgoing {
                topic: topic.into(),
                payload,
                retain,
                done,
            })
            .await
            .map_err(|_| gone())?;
        acked.await.map_err(|_| gone())
    }
}

struct Driver<E: Env> {
    env: E,
    client_id: String,
    broker: String,
    options: Options,
    outgoing: mpsc::Receiver<Outgoing>,
    deliveries: mpsc::Sender<Delivery>,
    acks: mpsc::UnboundedSender<Ack>,
    // Unbounded, and yet bounded: there is at most one for each delivery that the broker has under way.
    acked: mpsc::UnboundedReceiver<Ack>,
    publishing: bool,
    inflight: VecDeque<Inflight>,
    last_id: u16,
    connection: u64,
    backoff: FullJitter,
}

impl<E: Env> Driver<E> {
    async fn run(mut self) {
        loop {
            self.connection += 1;
            // All reasons have the same consequence.
            let Err(_ended) = self.connected().await;
            sleep(self.backoff.next()).await;
        }
    }

    /// One connection, from SYN to its end.
    async fn connected(&mut self) -> io::Result<Infallible> {
        let target = target(&self.broker, BROKER_PORT);
        let mut stream = within(ANSWER_TIMEOUT, async {
            self.env.connect(&target).await.map_err(io::Error::other)
        })
        .await?;
        let mut input = BytesMut::with_capacity(4096);
        let mut output = BytesMut::new();

        Packet::Connect {
            client_id: self.client_id.clone(),
            clean_session: false,
            keep_alive: KEEP_ALIVE.as_secs() as u16,
        }
        .encode(&mut output);
        let answer = within(ANSWER_TIMEOUT, async {
            stream.write_all(&output).await?;
            loop {
                if let Some(packet) = decode(&mut input).map_err(io::Error::other)? {
                    return Ok(packet);
                }
                if stream.read_buf(&mut input).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        })
        .await?;
        if !matches!(answer, Packet::Connack { accepted: true, .. }) {
            return Err(io::Error::other("the broker did not accept the connection"));
        }
        self.backoff.reset();

        output.clear();
        if !self.options.subscriptions.is_empty() {
            // Again on each connection: it costs one packet, and heals a broker that has lost the session.
            let id = self.free_id();
            Packet::Subscribe {
                id,
                filters: self.options.subscriptions.clone(),
            }
            .encode(&mut output);
        }
        let now = Instant::now();
        for sent in &mut self.inflight {
            sent.sent_at = now;
            encode_publish(sent, true, &mut output);
        }
        self.exchange(&mut stream, input, output).await
    }

    async fn exchange(
        &mut self,
        stream: &mut E::Stream,
        mut input: BytesMut,
        mut output: BytesMut,
    ) -> io::Result<Infallible> {
        let mut last_sent = Instant::now();
        let mut ping_sent: Option<Instant> = None;
        let alarm = sleep_until(last_sent + KEEP_ALIVE);
        tokio::pin!(alarm);
        loop {
            while let Some(packet) = decode(&mut input).map_err(io::Error::other)? {
                match packet {
                    Packet::Publish(publish) => self.deliver(publish).await?,
                    Packet::Puback(id) => self.puback(id),
                    Packet::Suback { granted, .. } => {
                        if granted.contains(&false) {
                            return Err(io::Error::other("the broker refused a subscription"));
                        }
                    }
                    Packet::Pingresp => ping_sent = None,
                    _ => return Err(io::Error::other("a packet that brokers do not send")),
                }
            }
            while let Ok(ack) = self.acked.try_recv() {
                self.encode_ack(&ack, &mut output);
            }
            while self.inflight.len() < INFLIGHT_MAX {
                let Ok(outgoing) = self.outgoing.try_recv() else {
                    break;
                };
                self.send(outgoing, &mut output);
            }
            if !output.is_empty() {
                last_sent = Instant::now();
                within(ANSWER_TIMEOUT, stream.write_all(&output)).await?;
                output.clear();
            }

            // The alarm is only ever moved forward in time when it rings, or back when something is due earlier.
            let due = self.due(last_sent, ping_sent);
            if due < alarm.deadline() {
                alarm.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                read = stream.read_buf(&mut input) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Some(ack) = self.acked.recv() => self.encode_ack(&ack, &mut output),
                outgoing = self.outgoing.recv(),
                    if self.publishing && self.inflight.len() < INFLIGHT_MAX =>
                {
                    match outgoing {
                        Some(outgoing) => self.send(outgoing, &mut output),
                        // A machine that only listens has dropped its handle.
                        None => self.publishing = false,
                    }
                }
                () = &mut alarm => {
                    let now = Instant::now();
                    if self.answer_is_late(ping_sent, now) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    if ping_sent.is_none() && now >= last_sent + KEEP_ALIVE {
                        Packet::Pingreq.encode(&mut output);
                        ping_sent = Some(now);
                        last_sent = now;
                    }
                    alarm.as_mut().reset(self.due(last_sent, ping_sent));
                }
            }
        }
    }

    fn due(&self, last_sent: Instant, ping_sent: Option<Instant>) -> Instant {
        let mut due = last_sent + KEEP_ALIVE;
        if let Some(oldest) = self.inflight.front() {
            due = due.min(oldest.sent_at + ANSWER_TIMEOUT);
        }
        if let Some(at) = ping_sent {
            due = due.min(at + ANSWER_TIMEOUT);
        }
        due
    }

    fn answer_is_late(&self, ping_sent: Option<Instant>, now: Instant) -> bool {
        let late = |sent: Instant| now >= sent + ANSWER_TIMEOUT;
        self.inflight
            .front()
            .is_some_and(|oldest| late(oldest.sent_at))
            || ping_sent.is_some_and(late)
    }

    async fn deliver(&mut self, publish: Publish) -> io::Result<()> {
        self.deliveries
            .send(Delivery {
                topic: publish.topic,
                payload: publish.payload,
                redelivered: publish.redelivered,
                id: publish.id,
                connection: self.connection,
                acks: self.acks.clone(),
            })
            .await
            .map_err(|_| io::Error::other("nobody listens any more"))
    }

    fn send(&mut self, outgoing: Outgoing, output: &mut BytesMut) {
        let sent = Inflight {
            id: self.free_id(),
            outgoing,
            sent_at: Instant::now(),
        };
        encode_publish(&sent, false, output);
        self.inflight.push_back(sent);
    }

    fn puback(&mut self, id: u16) {
        // Mostly the oldest one: the broker commits in order.
        if let Some(at) = self.inflight.iter().position(|sent| sent.id == id) {
            let sent = self.inflight.remove(at).expect("it was found there");
            // Whoever published may have been dropped.
            let _ = sent.outgoing.done.send(());
        }
    }

    fn encode_ack(&self, ack: &Ack, output: &mut BytesMut) {
        if ack.connection == self.connection {
            Packet::Puback(ack.id).encode(output);
        }
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.inflight.iter().all(|sent| sent.id != self.last_id) {
                return self.last_id;
            }
        }
    }
}

fn encode_publish(sent: &Inflight, redelivered: bool, output: &mut BytesMut) {
    Packet::Publish(Publish {
        topic: Arc::clone(&sent.outgoing.topic),
        payload: sent.outgoing.payload.clone(),
        id: Some(sent.id),
        redelivered,
        retain: sent.outgoing.retain,
    })
    .encode(output);
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}
