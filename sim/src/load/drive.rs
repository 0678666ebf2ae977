//! The connections of a load together: who sends what and when, until its time is over or somebody stops it.
//!
//! All connections take tickets from one desk. A ticket says when its request is due; its connection makes the request, waits until
//! then, sends, and waits for the answer. If all are busy, tickets are taken late, and the latency counts from when they were due.
//! Nothing queues: what is not taken by the end was not sent, and is told.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use backroom_collector::{
    config::Codec,
    env::{Env as _, OsEnv},
};
use backroom_reports::{
    SCHEMA_VERSION,
    load::{LoadResult, Receipt},
};
use hyper::header::{HeaderName, HeaderValue};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    client::{Answer, Connection, Road},
    endpoint::Endpoint,
    pace::{Pace, Rate},
    profile::Profile,
    receipt,
    tally::{End, Progress, Tally, Times, findings},
};
use crate::store::telemetry::source::{Source, Ticket};

/// Most connections of a load.
pub const CONNECTIONS_MAX: usize = 1_000;

/// Without a rate, a connection that cannot be made is tried again after this: nothing else would slow it down.
const RETRY_CONNECT: Duration = Duration::from_millis(100);

/// What a load is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kind of its stores.
    pub profile: Profile,
    /// Where it goes.
    pub endpoint: Endpoint,
    /// How many stores, up to [`STORES_MAX`](crate::store::telemetry::source::STORES_MAX).
    pub stores: u16,
    /// How fast.
    pub rate: Rate,
    /// How long.
    pub length: Duration,
    /// Gives the tag of the run.
    pub seed: u64,
    /// How bodies are compressed.
    pub codec: Codec,
    /// Connections, up to [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// Headers of every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long an answer may take, and a connection.
    pub limit: Duration,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its figures.
    pub result: LoadResult,
    /// What was acknowledged.
    pub receipt: Receipt,
}

/// Nobody listens there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("send to {url}: {reason}")]
pub struct Unreachable {
    /// Where.
    pub url: String,
    /// Why not.
    pub reason: String,
}

/// A load that can be run once, watched and stopped.
#[derive(Debug)]
pub struct Load {
    options: Options,
    run: u16,
    stop: watch::Sender<bool>,
    desk: Mutex<Desk>,
    tally: Mutex<Tally>,
}

#[derive(Debug)]
struct Desk {
    source: Source,
    pace: Pace,
    start: Instant,
}

/// The tag of a run: 16 bits of the seed, spread, and never 0.
fn tag(seed: u64) -> u16 {
    // SplitMix64's finaliser (Steele et al. 2014): neighbouring seeds give different tags.
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) as u16).max(1)
}

impl Load {
    /// Builds its stores; nothing is sent yet.
    ///
    /// # Panics
    /// If a figure is not within its bounds.
    pub fn new(options: Options) -> Arc<Self> {
        assert!((1..=CONNECTIONS_MAX).contains(&options.connections));
        let run = tag(options.seed);
        let profile = &options.profile;
        let source = Source::new(
            run,
            options.stores,
            &profile.machines,
            profile.request_bytes,
        );
        Arc::new(Self {
            run,
            desk: Mutex::new(Desk {
                source,
                pace: Pace::new(options.rate),
                start: Instant::now(),
            }),
            tally: Mutex::default(),
            stop: watch::Sender::new(false),
            options,
        })
    }

    /// The tag of the run, as it is written.
    pub fn tag(&self) -> String {
        receipt::tag(self.run)
    }

    /// Ends it before its time: nothing more is sent, answers under way are waited for.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("nothing panics while it holds it")
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it holds it")
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let (elapsed, due) = {
            let desk = self.desk();
            (desk.start.elapsed(), desk.pace.due())
        };
        let tally = self.tally();
        Progress {
            elapsed,
            sent_items: tally.sent_items,
            acked_items: tally.acked_items,
            failed_requests: tally.failed_requests(),
            behind: due.map_or(Duration::ZERO, |due| elapsed.saturating_sub(due)),
            latency_p99: tally.latency.quantiles().p99,
        }
    }

    /// Sends until its time is over.
    ///
    /// # Errors
    /// If no connection can be made at its start. Later ones that fail are counted.
    pub async fn run(self: &Arc<Self>, env: &OsEnv) -> Result<Outcome, Unreachable> {
        let road = Road {
            endpoint: self.options.endpoint.clone(),
            codec: self.options.codec,
            headers: self.options.headers.clone(),
            limit: self.options.limit,
        };
        road.probe(env).await.map_err(|reason| Unreachable {
            url: self.options.endpoint.url.clone(),
            reason,
        })?;
        let cpu = || env.process().map(|process| process.cpu.as_secs_f64());
        let cpu_before = cpu();
        let start = Instant::now();
        self.desk().start = start;
        // Times of items follow the monotonic clock: a step of the wall clock would change their order.
        let unix_start = env.unix_time();
        let workers: Vec<_> = (0..self.options.connections)
            .map(|_| {
                let connection = Connection::new(env.clone(), road.clone());
                env.spawn(Arc::clone(self).work(connection, road.clone(), unix_start))
            })
            .collect();
        let mut is_stopped = self.stop.subscribe();
        let over = sleep_until(start + self.options.length);
        let interrupted = tokio::select! {
            biased;
            () = over => false,
            _ = is_stopped.wait_for(|stopped| *stopped) => true,
        };
        let sending = start.elapsed().min(self.options.length);
        for worker in workers {
            worker.await;
        }
        let seconds = start.elapsed().as_secs_f64();
        let own_cpu = cpu_before.zip(cpu()).map(|(before, after)| after - before);
        Ok(self.outcome(sending, seconds, own_cpu, interrupted))
    }

    /// A ticket, and when its request is due; `None` when it is over.
    fn take(&self) -> Option<(Ticket, Option<Instant>)> {
        let mut desk = self.desk();
        let due = desk.pace.due();
        let is_over = desk.start.elapsed() >= self.options.length
            || due.is_some_and(|due| due >= self.options.length);
        if is_over || *self.stop.borrow() {
            return None;
        }
        let ticket = desk.source.ticket()?;
        desk.pace.take(ticket.items.into(), ticket.bytes as u64);
        let start = desk.start;
        Some((ticket, due.map(|due| start + due)))
    }

    async fn work(self: Arc<Self>, mut connection: Connection, road: Road, unix_start: Duration) {
        let mut is_stopped = self.stop.subscribe();
        let start = self.desk().start;
        while let Some((ticket, due)) = self.take() {
            let taken = Instant::now();
            let due_at = due.unwrap_or(taken);
            let made_at = unix_start + due_at.saturating_duration_since(start);
            let mut raw = Vec::new();
            ticket.put(made_at.as_nanos() as u64, &mut raw);
            let raw_bytes = raw.len() as u64;
            let message = road.message(ticket.signal, raw);
            let making = taken.elapsed();
            if due_at > Instant::now() {
                tokio::select! {
                    biased;
                    () = sleep_until(due_at) => {}
                    // What is not due yet when it is stopped is not sent.
                    _ = is_stopped.wait_for(|stopped| *stopped) => return,
                }
            }
            let sent = Instant::now();
            // Where the connection was free before the request was due, lateness is ours.
            let own_lateness =
                (due.is_some() && taken <= due_at).then(|| sent.saturating_duration_since(due_at));
            let answer = connection.send(&message).await;
            let now = Instant::now();
            let is_unreachable = matches!(answer, Answer::Unreachable(_));
            let times = Times {
                making,
                waiting: now.saturating_duration_since(sent),
                from_due: now.saturating_duration_since(due_at),
                own_lateness,
            };
            let bytes = (raw_bytes, message.body.len() as u64);
            self.tally().add(self.run, &ticket, bytes, answer, times);
            if is_unreachable && due.is_none() {
                sleep(RETRY_CONNECT).await;
            }
        }
    }

    fn outcome(
        &self,
        sending: Duration,
        seconds: f64,
        own_cpu_seconds: Option<f64>,
        interrupted: bool,
    ) -> Outcome {
        let (pace, tally) = (self.desk().pace.clone(), self.tally());
        let connections = self.options.connections as f64 * seconds;
        let share = |time: Duration| (time.as_secs_f64() / connections.max(1e-9)).min(1.0);
        let behind = pace
            .due()
            .map_or(0.0, |due| sending.as_secs_f64() - due.as_secs_f64());
        let own_lateness = tally.own_lateness.quantiles();
        let end = End {
            seconds,
            due_items: pace.due_items(sending),
            asked: pace.items_per_second(),
            acked_per_second: tally.acked_items as f64 / seconds.max(1e-9),
            behind_seconds: behind.max(0.0),
            waiting_share: share(tally.waiting),
            making_share: share(tally.making),
            own_lateness_p99: own_lateness.p99,
        };
        let result = LoadResult {
            schema_version: SCHEMA_VERSION,
            to: self.options.endpoint.url.clone(),
            profile: self.options.profile.name.to_owned(),
            run: self.tag(),
            seed: self.options.seed,
            stores: self.options.stores.into(),
            connections: self.options.connections as u32,
            asked_items_per_second: end.asked,
            acked_items_per_second: end.acked_per_second,
            seconds,
            due_items: end.due_items,
            sent_items: tally.sent_items,
            acked_items: tally.acked_items,
            rejected_items: tally.rejected_items,
            unanswered_items: tally.unanswered_items,
            sent_requests: tally.sent_requests,
            acked_requests: tally.acked_requests,
            refused_requests: tally.refused.clone(),
            raw_bytes: tally.raw_bytes,
            body_bytes: tally.body_bytes,
            latency: tally.latency.quantiles(),
            service_time: tally.service_time.quantiles(),
            own_lateness,
            behind_seconds: end.behind_seconds,
            waiting_share: end.waiting_share,
            making_share: end.making_share,
            own_cpu_seconds,
            interrupted,
            findings: findings(&tally, &end),
        };
        Outcome {
            result,
            receipt: receipt::of(self.run, self.options.stores, &tally.acked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_give_tags_that_differ() {
        let tags: std::collections::BTreeSet<u16> = (0..100).map(tag).collect();
        assert!(tags.len() > 95, "{}", tags.len());
        assert!(!tags.contains(&0));
    }
}
