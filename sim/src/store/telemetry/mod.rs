//! A machine's telemetry client: makes spans, logs and metrics, tops them up to the machine's share, exports them.
//!
//! Every [`every`](crate::scenario::Telemetry::every) one request goes to the collector, for traces, metrics and logs in turn:
//! the machine's own records (`sdk`), then as much of the pre-encoded pool (`pool`) as its share of the declared rate
//! still needs. The account is kept from the start of the program, so that what one export has too much the next has less.
//! All items carry ids (`items`): what was made, acknowledged, given up and received is counted, not assumed.
//!
//! The queue is bounded: while the collector is away, the oldest request goes when there is no room.

mod items;
mod pool;
mod sdk;
pub mod source;
mod vocabulary;
mod volume;
mod wire;

pub use items::{ATTRIBUTE, ItemId, Run, Runs, Signal, visit_items, visit_items_at};
pub use wire::Malformed;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use backroom_collector::env::Env;
use bytes::Bytes;
use opentelemetry::{KeyValue, trace::SpanKind};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue as WirePair, any_value::Value},
    resource::v1::Resource,
};
use prost::Message as _;
use rand::RngExt as _;
use tokio::{sync::Notify, time::sleep};

use self::{
    pool::{Envelope, Stamp, pool},
    sdk::{Items, Open, Own, Sdk, nanos},
    volume::Volume,
    wire::put_key,
};
use super::{COLLECTOR_PORT, Context, arrivals::Place, held::Held, http, pace::FullJitter, target};
use crate::{
    event::{self, Event, Recorder},
    scenario::Role,
};

/// Encoded requests that wait for the collector.
pub(crate) const QUEUE_BYTES_MAX: usize = 4 << 20;

/// Limit for one export, connecting included. The collector syncs before it answers.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Trace context as it travels in a message; zeros are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
}

/// A machine's handle for making telemetry. Does nothing in a store without telemetry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telemetry {
    sdk: Option<Arc<Sdk>>,
}

/// A span under way; it ends when it is told to. Dropped before, it ends at once, as far as the SDK knows.
#[derive(Debug)]
pub(crate) struct ActiveSpan(Option<Open>);

impl ActiveSpan {
    /// What a message to another machine carries.
    pub(crate) fn parent(&self) -> TraceParent {
        self.0.as_ref().map(Open::parent).unwrap_or_default()
    }

    pub(crate) fn end(self) {
        if let Some(open) = self.0 {
            open.end();
        }
    }
}

impl Telemetry {
    /// Starts the machine's client, if the scenario has telemetry and a collector.
    pub(crate) fn start<E: Env>(ctx: &Context<E>, boot: u16) -> Self {
        let Some(traffic) = &ctx.scenario.telemetry else {
            return Self::default();
        };
        let Some(collector) = ctx.host_of(Role::Collector) else {
            return Self::default();
        };
        let emitters: Vec<&str> = ctx
            .machines
            .machines()
            .iter()
            .filter(|machine| machine.role != Role::Collector && traffic.is_from(machine))
            .map(|machine| machine.name.as_str())
            .collect();
        let Some(place) = emitters.iter().position(|name| *name == ctx.name) else {
            return Self::default();
        };
        let every = traffic.every.max(Duration::from_millis(1));

        let items = Arc::new(Items::new(ctx.id, boot));
        let resource = resource(ctx);
        let env = ctx.env.clone();
        let sdk = Arc::new(Sdk::new(
            "backroom.store",
            resource.clone(),
            Arc::clone(&items),
            ctx.rng("traces", boot),
            Box::new(move || env.unix_time()),
        ));
        let queue = Arc::new(Queue::default());
        let started = ctx.env.unix_time();
        let mut rng = ctx.rng("telemetry-phase", boot);
        let maker = Maker {
            sdk: Arc::clone(&sdk),
            items,
            recorder: ctx.recorder.clone(),
            queue: Arc::clone(&queue),
            held: Held::new(ctx, event::Queue::Exports),
            envelope: envelope(&resource),
            volume: Volume::new(
                &ctx.scenario,
                traffic,
                Place {
                    index: place,
                    of: emitters.len(),
                },
                ctx.run_seed,
                ctx.recorder.now(),
                ctx.rng("telemetry-volume", boot),
                ctx.rng("telemetry-volume/bursts", boot),
            ),
            every,
            turn: rng.random_range(0..Signal::ALL.len()),
            cursors: Signal::ALL.map(|signal| pool().start(signal, place, emitters.len())),
            started: nanos(started),
            made: 0.0,
        };
        let phase = every.mul_f64(rng.random::<f64>());
        ctx.env
            .spawn(maker.run(ctx.env.clone(), phase, ctx.scenario.duration));
        let sender = Sender {
            queue,
            recorder: ctx.recorder.clone(),
            client: http::Client::new(ctx.env.clone(), target(collector, COLLECTOR_PORT)),
            backoff: FullJitter::new(
                Duration::from_millis(500),
                Duration::from_secs(30),
                ctx.rng("telemetry-backoff", boot),
            ),
        };
        ctx.env.spawn(sender.run());
        Self { sdk: Some(sdk) }
    }

    pub(crate) fn span(
        &self,
        name: &'static str,
        kind: SpanKind,
        parent: Option<TraceParent>,
        attributes: Vec<KeyValue>,
    ) -> ActiveSpan {
        ActiveSpan(self.sdk.as_ref().map(|sdk| Open {
            span: sdk.span(
                name,
                kind,
                parent.filter(|parent| *parent != TraceParent::default()),
                attributes,
            ),
            sdk: Arc::clone(sdk),
        }))
    }

    pub(crate) fn log(&self, event: &'static str, body: String, attributes: Vec<KeyValue>) {
        if let Some(sdk) = &self.sdk {
            sdk.log(event, body, attributes);
        }
    }

    /// Adds to a counter.
    pub(crate) fn count(&self, name: &'static str, by: u64) {
        if let Some(sdk) = &self.sdk {
            sdk.count(name, by);
        }
    }

    /// Records a time into a histogram.
    pub(crate) fn time(&self, name: &'static str, took: Duration) {
        if let Some(sdk) = &self.sdk {
            sdk.time(name, took);
        }
    }
}

/// Who made it: in a fixed order, which the SDK's own resource has not.
fn resource<E: Env>(ctx: &Context<E>) -> Resource {
    resource_of(&ctx.group, &ctx.name, None)
}

/// The same for a machine of one of many stores, which is then told, too.
fn resource_of(group: &str, name: &str, store: Option<u16>) -> Resource {
    let store = store.map(|store| format!("{store:04}"));
    let pairs = [
        ("service.namespace", "store"),
        ("service.name", group),
        ("service.instance.id", name),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("host.name", name),
        ("deployment.environment.name", "production"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "rust"),
    ];
    Resource {
        attributes: pairs
            .into_iter()
            .chain(store.as_deref().map(|store| ("store.id", store)))
            .map(|(key, value)| WirePair {
                key: key.to_owned(),
                value: Some(AnyValue {
                    value: Some(Value::StringValue(value.to_owned())),
                }),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn envelope(resource: &Resource) -> Envelope {
    let keyed = |message: Vec<u8>| {
        let mut out = Vec::with_capacity(message.len() + 4);
        put_key(&mut out, 1, message.len());
        out.extend(message);
        out
    };
    let scope = opentelemetry_proto::tonic::common::v1::InstrumentationScope {
        name: "store.services".to_owned(),
        version: "4.12.1".to_owned(),
        ..Default::default()
    };
    Envelope {
        resource: keyed(resource.encode_to_vec()),
        scope: keyed(scope.encode_to_vec()),
    }
}

/// One request, and the items in it.
#[derive(Debug)]
struct Request {
    signal: Signal,
    body: Bytes,
    runs: Vec<Run>,
}

/// Requests between the maker and the sender.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<(VecDeque<Request>, usize)>,
    more: Notify,
}

impl Queue {
    /// Adds a request; gives those that had to go for it, and the bytes of those that wait.
    fn push(&self, request: Request) -> (Vec<Request>, usize) {
        let mut waiting = self.waiting.lock().expect("nobody panics while holding it");
        let (requests, bytes) = &mut *waiting;
        *bytes += request.body.len();
        requests.push_back(request);
        let mut gone = Vec::new();
        while *bytes > QUEUE_BYTES_MAX {
            let Some(oldest) = requests.pop_front() else {
                break;
            };
            *bytes -= oldest.body.len();
            gone.push(oldest);
        }
        let held = *bytes;
        drop(waiting);
        self.more.notify_one();
        (gone, held)
    }

    async fn pop(&self) -> Request {
        loop {
            {
                let mut waiting = self.waiting.lock().expect("nobody panics while holding it");
                if let Some(oldest) = waiting.0.pop_front() {
                    waiting.1 -= oldest.body.len();
                    return oldest;
                }
            }
            self.more.notified().await;
        }
    }
}

struct Maker {
    sdk: Arc<Sdk>,
    items: Arc<Items>,
    recorder: Recorder,
    queue: Arc<Queue>,
    held: Held,
    envelope: Envelope,
    /// This machine's share.
    volume: Volume,
    every: Duration,
    turn: usize,
    cursors: [usize; 3],
    started: u64,
    /// Bytes made so far.
    made: f64,
}

impl Maker {
    /// Makes a request each interval, and a last one at the scenario's end.
    async fn run<E: Env>(mut self, env: E, phase: Duration, end: Duration) {
        let born = self.recorder.now();
        let mut due = born + phase;
        loop {
            let at = due.min(end);
            sleep(at.saturating_sub(self.recorder.now())).await;
            let now = self.recorder.now();
            if now > end {
                return;
            }
            self.make(now.saturating_sub(born), now, nanos(env.unix_time()));
            if due >= end {
                return;
            }
            due += self.every;
        }
    }

    fn make(&mut self, elapsed: Duration, at: Duration, now: u64) {
        let signal = Signal::ALL[self.turn];
        self.turn = (self.turn + 1) % Signal::ALL.len();
        let Own { mut body, mut runs } = match signal {
            Signal::Traces => self.sdk.traces(),
            Signal::Metrics => self.sdk.metrics(),
            Signal::Logs => self.sdk.logs(),
        };
        let owed_in_all = self.volume.owed(elapsed, at);
        let owed = owed_in_all - self.made - body.len() as f64;
        let cursor = &mut self.cursors[signal as usize];
        let bytes = (owed - self.envelope.bytes() as f64).max(0.0) as usize;
        let picked = pool().pick(signal, *cursor, bytes);
        if picked.fragments > 0 {
            let first = self.items.reserve(u64::from(picked.items));
            let stamp = Stamp {
                first,
                now,
                started: self.started,
                every: nanos(self.every),
            };
            body.reserve(picked.bytes + self.envelope.bytes());
            pool().put(signal, cursor, picked, &self.envelope, stamp, &mut body);
            for seq in first.seq..first.seq + u64::from(picked.items) {
                runs.push(ItemId { seq, ..first });
            }
        }
        if body.is_empty() {
            return;
        }
        self.made += body.len() as f64;
        if !self.volume.is_even() {
            self.made = self.made.min(owed_in_all);
        }

        let runs = runs.into_vec();
        let mut bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        for run in &runs {
            self.recorder.record(Event::TelemetryMade {
                machine: run.machine,
                first: run.first,
                count: run.count,
                // The whole request stands with its first run.
                bytes: std::mem::take(&mut bytes),
            });
        }
        let (gone, held) = self.queue.push(Request {
            signal,
            body: body.into(),
            runs,
        });
        self.held.look(held as u64);
        for request in &gone {
            discarded(&self.recorder, request);
        }
    }
}

fn discarded(recorder: &Recorder, request: &Request) {
    for run in &request.runs {
        recorder.record(Event::TelemetryDiscarded {
            machine: run.machine,
            first: run.first,
            count: run.count,
        });
    }
}

struct Sender<E> {
    queue: Arc<Queue>,
    recorder: Recorder,
    client: http::Client<E>,
    backoff: FullJitter,
}

impl<E: Env> Sender<E> {
    async fn run(mut self) {
        loop {
            let request = self.queue.pop().await;
            self.deliver(request).await;
        }
    }

    /// Sends one request until it is answered for good.
    async fn deliver(&mut self, request: Request) {
        loop {
            let answer = self
                .client
                .post(
                    request.signal.path(),
                    "application/x-protobuf",
                    request.body.clone(),
                    EXPORT_TIMEOUT,
                )
                .await;
            let mut pause = Duration::ZERO;
            if let Ok(answer) = answer {
                if answer.is_success() {
                    self.backoff.reset();
                    for run in &request.runs {
                        self.recorder.record(Event::TelemetryAcked {
                            machine: run.machine,
                            first: run.first,
                            count: run.count,
                        });
                    }
                    return;
                }
                // OTLP: these will be refused again (section "Failures" of the protocol).
                if matches!(answer.status.as_u16(), 400 | 413 | 415 | 422) {
                    discarded(&self.recorder, &request);
                    return;
                }
                pause = answer.retry_after().unwrap_or_default();
            }
            sleep(pause + self.backoff.next()).await;
        }
    }
}
