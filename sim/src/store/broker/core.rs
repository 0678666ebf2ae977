//! The broker's decisions: who gets a message, what is under way, what the journal must hold. Sans-IO.
//!
//! A message is accepted ([`Core::publish`]) before it is durable, and delivered only after ([`Core::durable`]), so that a
//! snapshot for compaction holds all that was appended before it (see `journal`). `shell` is next to read.
//!
//! Invariant: a message is held as long as a durable session waits for it or a topic retains it, and no longer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::store::mqtt::{Publish, matches};

/// Deliveries to one client under way at once.
pub(super) const WINDOW: usize = 20;

/// Payload bytes held for all sessions together; beyond it publishers are turned away until consumers catch up.
pub(crate) const HELD_BYTES_MAX: usize = 64 << 20;

/// Sessions; a store has some thirty machines.
const SESSIONS_MAX: usize = 1024;

/// The broker is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug, Default)]
pub(super) struct Core {
    sessions: BTreeMap<Arc<str>, Session>,
    messages: BTreeMap<u64, Message>,
    retained: BTreeMap<Arc<str>, u64>,
    last: u64,
    durable: u64,
    held_bytes: usize,
}

#[derive(Debug, Default)]
struct Session {
    filters: BTreeSet<String>,
    /// Messages that were not sent yet, oldest first; the flag says that it goes out as a retained one.
    pending: VecDeque<(u64, bool)>,
    /// Sent and not acknowledged, in order of sending.
    inflight: VecDeque<(u16, u64, bool)>,
    last_id: u16,
    connected: bool,
}

#[derive(Debug)]
struct Message {
    topic: Arc<str>,
    payload: Bytes,
    retain: bool,
    /// Sessions that wait for it, and one more if it is retained.
    holders: usize,
}

/// What the journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A message, and which sessions wait for it.
    Message {
        seq: u64,
        retain: bool,
        clients: Vec<Arc<str>>,
        topic: Arc<str>,
        payload: Bytes,
    },
    /// A client has acknowledged a message.
    Taken { client: Arc<str>, seq: u64 },
    /// A client has subscribed.
    Subscribed { client: Arc<str>, filter: String },
}

impl Core {
    /// Rebuilds the state from the journal; what cannot be read is skipped.
    pub(super) fn recover(records: &[Bytes]) -> Self {
        let mut core = Self::default();
        for record in records.iter().filter_map(Record::decode) {
            core.replay(record);
        }
        core.durable = core.last;
        core
    }

    fn replay(&mut self, record: Record) {
        match record {
            Record::Message {
                seq,
                retain,
                clients,
                topic,
                payload,
            } => {
                self.last = self.last.max(seq);
                if !self.messages.contains_key(&seq) {
                    self.insert(seq, retain, clients, topic, payload);
                }
            }
            Record::Taken { client, seq } => self.taken(&client, seq),
            Record::Subscribed { client, filter } => {
                self.sessions
                    .entry(client)
                    .or_default()
                    .filters
                    .insert(filter);
            }
        }
    }

    /// Records that rebuild this state, and nothing that is done with.
    pub(super) fn snapshot(&self) -> Vec<Bytes> {
        let mut records = Vec::new();
        for (client, session) in &self.sessions {
            for filter in &session.filters {
                records.push(
                    Record::Subscribed {
                        client: Arc::clone(client),
                        filter: filter.clone(),
                    }
                    .encode(),
                );
            }
        }
        for (&seq, message) in &self.messages {
            let clients = self
                .sessions
                .iter()
                .filter(|(_, session)| session.must_get(seq))
                .map(|(client, _)| Arc::clone(client))
                .collect();
            records.push(
                Record::Message {
                    seq,
                    retain: message.retain && self.retained.get(&message.topic) == Some(&seq),
                    clients,
                    topic: Arc::clone(&message.topic),
                    payload: message.payload.clone(),
                }
                .encode(),
            );
        }
        records
    }

    /// Bytes of payload that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Accepts a message. `None`: nobody wants it, and nothing needs to be durable.
    ///
    /// # Errors
    /// When more is held than there is room for.
    pub(super) fn publish(
        &mut self,
        topic: Arc<str>,
        payload: Bytes,
        retain: bool,
    ) -> Result<Option<(u64, Record)>, Full> {
        let clients: Vec<Arc<str>> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.wants(&topic))
            .map(|(client, _)| Arc::clone(client))
            .collect();
        if clients.is_empty() && !retain {
            return Ok(None);
        }
        if self.held_bytes + payload.len() > HELD_BYTES_MAX {
            return Err(Full);
        }
        self.last += 1;
        let seq = self.last;
        self.insert(
            seq,
            retain,
            clients.clone(),
            Arc::clone(&topic),
            payload.clone(),
        );
        Ok(Some((
            seq,
            Record::Message {
                seq,
                retain,
                clients,
                topic,
                payload,
            },
        )))
    }

    fn insert(
        &mut self,
        seq: u64,
        retain: bool,
        clients: Vec<Arc<str>>,
        topic: Arc<str>,
        payload: Bytes,
    ) {
        let mut holders = 0;
        for client in clients {
            let session = self.sessions.entry(client).or_default();
            session.pending.push_back((seq, false));
            holders += 1;
        }
        // An empty retained message clears the topic (MQTT 3.1.1, section 3.3.1.3).
        if retain {
            let before = if payload.is_empty() {
                self.retained.remove(&topic)
            } else {
                holders += 1;
                self.retained.insert(Arc::clone(&topic), seq)
            };
            if let Some(before) = before {
                self.release(before);
            }
        }
        if holders > 0 {
            self.held_bytes += payload.len();
            self.messages.insert(
                seq,
                Message {
                    topic,
                    payload,
                    retain,
                    holders,
                },
            );
        }
    }

    /// Messages up to `seq` are durable: they may be delivered.
    pub(super) fn durable(&mut self, seq: u64) {
        self.durable = self.durable.max(seq);
    }

    /// A client has connected; says whether it had a session, and gives what to send again.
    pub(super) fn connected(
        &mut self,
        client: &Arc<str>,
        clean: bool,
    ) -> Result<(bool, Vec<Publish>), Full> {
        if clean {
            self.forget(client);
        }
        if self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(client) {
            return Err(Full);
        }
        let present = self.sessions.contains_key(client);
        let session = self.sessions.entry(Arc::clone(client)).or_default();
        session.connected = true;
        let again = session
            .inflight
            .iter()
            .filter_map(|&(id, seq, retained)| {
                let message = self.messages.get(&seq)?;
                Some(message.publish(id, true, retained))
            })
            .collect();
        Ok((present, again))
    }

    /// A client's connection has ended; its session stays.
    pub(super) fn disconnected(&mut self, client: &str) {
        if let Some(session) = self.sessions.get_mut(client) {
            session.connected = false;
        }
    }

    fn forget(&mut self, client: &Arc<str>) {
        if let Some(session) = self.sessions.remove(client) {
            let waiting = session.pending.iter().map(|&(seq, _)| seq);
            let sent = session.inflight.iter().map(|&(_, seq, _)| seq);
            for seq in waiting.chain(sent).collect::<Vec<_>>() {
                self.release(seq);
            }
        }
    }

    /// A client subscribes. Retained messages of the topics follow, each time (MQTT 3.1.1, section 3.8.4).
    ///
    /// Gives the record to make durable, or `None` if the subscription was there.
    pub(super) fn subscribe(&mut self, client: &Arc<str>, filter: &str) -> Option<Record> {
        let session = self.sessions.entry(Arc::clone(client)).or_default();
        let new = session.filters.insert(filter.to_owned());
        for (topic, &seq) in &self.retained {
            if matches(filter, topic) && !session.waits_for(seq) {
                session.pending.push_back((seq, true));
                if let Some(message) = self.messages.get_mut(&seq) {
                    message.holders += 1;
                }
            }
        }
        new.then(|| Record::Subscribed {
            client: Arc::clone(client),
            filter: filter.to_owned(),
        })
    }

    /// The next message for a client, if it is connected, has room, and the message is durable.
    pub(super) fn next(&mut self, client: &str) -> Option<Publish> {
        let session = self.sessions.get_mut(client)?;
        if !session.connected || session.inflight.len() >= WINDOW {
            return None;
        }
        while let Some(&(seq, retained)) = session.pending.front() {
            if seq > self.durable {
                return None;
            }
            session.pending.pop_front();
            if let Some(message) = self.messages.get(&seq) {
                let id = session.free_id();
                session.inflight.push_back((id, seq, retained));
                return Some(message.publish(id, false, retained));
            }
        }
        None
    }

    /// A client has acknowledged a delivery; gives the record that need not be durable.
    pub(super) fn puback(&mut self, client: &Arc<str>, id: u16) -> Option<Record> {
        let session = self.sessions.get_mut(client)?;
        let at = session.inflight.iter().position(|sent| sent.0 == id)?;
        let (_, seq, retained) = session.inflight.remove(at)?;
        self.release(seq);
        // That a retained message went out is not in the journal either: it is sent on each subscription.
        (!retained).then(|| Record::Taken {
            client: Arc::clone(client),
            seq,
        })
    }

    fn taken(&mut self, client: &str, seq: u64) {
        let Some(session) = self.sessions.get_mut(client) else {
            return;
        };
        if let Some(at) = session.pending.iter().position(|&(held, _)| held == seq) {
            session.pending.remove(at);
            self.release(seq);
        }
    }

    fn release(&mut self, seq: u64) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.holders -= 1;
            if message.holders == 0 {
                self.held_bytes -= message.payload.len();
                self.messages.remove(&seq);
            }
        }
    }

    /// Clients that are connected and may have something to be sent.
    pub(super) fn connected_clients(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sessions
            .iter()
            .filter(|(_, session)| session.connected && !session.pending.is_empty())
            .map(|(client, _)| client)
    }
}

impl Session {
    fn wants(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| matches(filter, topic))
    }

    fn waits_for(&self, seq: u64) -> bool {
        self.pending.iter().any(|&(held, _)| held == seq)
            || self.inflight.iter().any(|&(_, held, _)| held == seq)
    }

    /// As [`Session::waits_for`], without what is sent again on each subscription anyway.
    fn must_get(&self, seq: u64) -> bool {
        self.pending.contains(&(seq, false))
            || self
                .inflight
                .iter()
                .any(|&(_, held, retained)| held == seq && !retained)
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.inflight.iter().all(|sent| sent.0 != self.last_id) {
                return self.last_id;
            }
        }
    }
}

impl Message {
    fn publish(&self, id: u16, redelivered: bool, retain: bool) -> Publish {
        Publish {
            topic: Arc::clone(&self.topic),
            payload: self.payload.clone(),
            id: Some(id),
            redelivered,
            retain,
        }
    }
}

const MESSAGE: u8 = 1;
const TAKEN: u8 = 2;
const SUBSCRIBED: u8 = 3;

impl Record {
    /// Integers little-endian; strings with a `u16` length; the payload is the rest.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let text = |out: &mut BytesMut, text: &str| {
            out.put_u16_le(
                u16::try_from(text.len()).expect("MQTT strings have at most 65,535 bytes"),
            );
            out.put_slice(text.as_bytes());
        };
        match self {
            Self::Message {
                seq,
                retain,
                clients,
                topic,
                payload,
            } => {
                out.put_u8(MESSAGE);
                out.put_u64_le(*seq);
                out.put_u8(u8::from(*retain));
                out.put_u16_le(u16::try_from(clients.len()).expect("at most SESSIONS_MAX clients"));
                for client in clients {
                    text(&mut out, client);
                }
                text(&mut out, topic);
                out.put_slice(payload);
            }
            Self::Taken { client, seq } => {
                out.put_u8(TAKEN);
                out.put_u64_le(*seq);
                text(&mut out, client);
            }
            Self::Subscribed { client, filter } => {
                out.put_u8(SUBSCRIBED);
                text(&mut out, client);
                text(&mut out, filter);
            }
        }
        out.freeze()
    }

    fn decode(record: &Bytes) -> Option<Self> {
        let mut rest = record.clone();
        let text = |rest: &mut Bytes| {
            let length = rest.try_get_u16_le().ok()?;
            if rest.len() < usize::from(length) {
                return None;
            }
            String::from_utf8(rest.split_to(usize::from(length)).to_vec()).ok()
        };
        Some(match rest.try_get_u8().ok()? {
            MESSAGE => {
                let seq = rest.try_get_u64_le().ok()?;
                let retain = rest.try_get_u8().ok()? != 0;
                let count = rest.try_get_u16_le().ok()?;
                let mut clients = Vec::new();
                for _ in 0..count {
                    clients.push(text(&mut rest)?.into());
                }
                Self::Message {
                    seq,
                    retain,
                    clients,
                    topic: text(&mut rest)?.into(),
                    payload: rest,
                }
            }
            TAKEN => {
                let seq = rest.try_get_u64_le().ok()?;
                Self::Taken {
                    client: text(&mut rest)?.into(),
                    seq,
                }
            }
            SUBSCRIBED => Self::Subscribed {
                client: text(&mut rest)?.into(),
                filter: text(&mut rest)?,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client can see of the state: its filters and the messages that it waits for, in order.
    fn visible(core: &Core) -> Vec<(String, Vec<String>, Vec<u64>)> {
        core.sessions
            .iter()
            .map(|(client, session)| {
                let mut held: Vec<u64> = session
                    .inflight
                    .iter()
                    .filter(|sent| !sent.2)
                    .map(|sent| sent.1)
                    .chain(
                        session
                            .pending
                            .iter()
                            .filter(|held| !held.1)
                            .map(|held| held.0),
                    )
                    .collect();
                held.sort_unstable();
                (
                    client.to_string(),
                    session.filters.iter().cloned().collect(),
                    held,
                )
            })
            .collect()
    }

    fn retained(core: &Core) -> Vec<(String, Bytes)> {
        core.retained
            .iter()
            .map(|(topic, seq)| (topic.to_string(), core.messages[seq].payload.clone()))
            .collect()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Subscribe(u8, u8),
        Publish(u8, bool, u8),
        Deliver(u8),
        Ack(u8),
        Reconnect(u8),
        Compact,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                (0..4_u8, 0..3_u8).prop_map(|(c, t)| Step::Subscribe(c, t)),
                (0..3_u8, any::<bool>(), 0..5_u8).prop_map(|(t, r, n)| Step::Publish(t, r, n)),
                (0..4_u8).prop_map(Step::Deliver),
                (0..4_u8).prop_map(Step::Ack),
                (0..4_u8).prop_map(Step::Reconnect),
                Just(Step::Compact),
            ],
            0..60,
        )
    }

    proptest! {
        /// The state that the journal rebuilds is the state that was lost, at any point and across compactions.
        #[test]
        fn the_journal_rebuilds_what_was_lost(steps in steps()) {
            let mut core = Core::default();
            let mut journal: Vec<Bytes> = Vec::new();
            for step in steps {
                match step {
                    Step::Subscribe(client, topic) => {
                        let record = core.subscribe(&format!("c{client}").into(), &format!("t/{topic}"));
                        journal.extend(record.map(|record| record.encode()));
                    }
                    Step::Publish(topic, retain, bytes) => {
                        let accepted = core
                            .publish(format!("t/{topic}").into(), vec![topic; bytes.into()].into(), retain)
                            .expect("there is room");
                        if let Some((seq, record)) = accepted {
                            journal.push(record.encode());
                            core.durable(seq);
                        }
                    }
                    Step::Deliver(client) => {
                        let client: Arc<str> = format!("c{client}").into();
                        core.connected(&client, false).expect("there is room");
                        core.next(&client);
                    }
                    Step::Ack(client) => {
                        let client: Arc<str> = format!("c{client}").into();
                        let oldest = core.sessions.get(&client).and_then(|s| s.inflight.front().copied());
                        if let Some((id, _, _)) = oldest {
                            let record = core.puback(&client, id);
                            journal.extend(record.map(|record| record.encode()));
                        }
                    }
                    Step::Reconnect(client) => {
                        let client: Arc<str> = format!("c{client}").into();
                        core.disconnected(&client);
                        core.connected(&client, false).expect("there is room");
                    }
                    Step::Compact => journal = core.snapshot(),
                }
                let held: usize = core.messages.values().map(|message| message.payload.len()).sum();
                prop_assert_eq!(core.held_bytes, held);
            }
            let rebuilt = Core::recover(&journal);
            // Sessions without a subscription or a message leave no trace.
            let known = |core: &Core| -> Vec<_> {
                visible(core).into_iter().filter(|s| !s.1.is_empty() || !s.2.is_empty()).collect()
            };
            prop_assert_eq!(known(&rebuilt), known(&core));
            prop_assert_eq!(retained(&rebuilt), retained(&core));
        }

        #[test]
        fn arbitrary_records_never_panic(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let records: Vec<Bytes> = records.into_iter().map(Bytes::from).collect();
            Core::recover(&records).snapshot();
        }
    }

    #[test]
    fn a_message_is_delivered_only_once_it_is_durable() {
        let mut core = Core::default();
        let client: Arc<str> = "kds-1".into();
        core.connected(&client, false).expect("there is room");
        core.subscribe(&client, "tickets/kds-1");
        let (seq, _) = core
            .publish("tickets/kds-1".into(), Bytes::from_static(b"1"), false)
            .expect("there is room")
            .expect("somebody wants it");
        assert_eq!(core.next("kds-1"), None);
        core.durable(seq);
        let sent = core.next("kds-1").expect("it is durable now");

        // The connection breaks before the acknowledgement: the same id again, marked.
        core.disconnected("kds-1");
        let (present, again) = core.connected(&client, false).expect("there is room");
        assert!(present);
        assert_eq!(
            again,
            [Publish {
                redelivered: true,
                ..sent.clone()
            }]
        );
        assert!(core.puback(&client, sent.id.expect("QoS 1")).is_some());
        assert_eq!(core.held_bytes(), 0);
    }

    #[test]
    fn a_client_gets_no_more_than_its_window() {
        let mut core = Core::default();
        let client: Arc<str> = "pos-1".into();
        core.connected(&client, false).expect("there is room");
        core.subscribe(&client, "#");
        for _ in 0..WINDOW + 5 {
            let accepted = core.publish("a".into(), Bytes::from_static(b"x"), false);
            let (seq, _) = accepted.expect("there is room").expect("it is wanted");
            core.durable(seq);
        }
        let sent: Vec<Publish> = std::iter::from_fn(|| core.next("pos-1")).collect();
        assert_eq!(sent.len(), WINDOW);
        core.puback(&client, sent[3].id.expect("QoS 1"));
        assert!(core.next("pos-1").is_some());
        assert!(core.next("pos-1").is_none());
    }
}
