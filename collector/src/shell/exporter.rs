//! Sends batches: one worker for each request that may be under way. What to send, when, and what an answer means is
//! decided in `core`; this performs it, and halves a batch that was refused.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    client::{Client, Destination, Sent},
    recover::{read_batches, read_payload},
    shared::{Shared, State},
    store::sleep_until,
};
use crate::{
    core::{
        Mono,
        codec::{CodecId, compress, decompress},
        destination::{Allowed, Attempt},
        range::ItemRange,
        spool::{BatchRef, Pick},
        verdict::{Answer, Verdict, judge},
    },
    env::Env,
    otlp::{count_items, split_items},
};

/// Pause after a segment or a batch could not be read, or a refused item could not be written.
const DISK_PAUSE: Duration = Duration::from_secs(30);

/// The time for an answer doubles at most so many times: 32 times `endpoint.timeout`.
const SLOW_DOUBLINGS_MAX: u32 = 5;

/// A batch, or a part of one that was refused.
struct Part {
    range: ItemRange,
    codec: CodecId,
    body: Bytes,
    raw_bytes: u64,
}

/// What became of the parts of a batch.
#[derive(Default)]
struct Tally {
    rejected: u64,
    quarantined: u64,
}

/// What to do next with a part.
enum Next {
    Done,
    Again(Part),
    Halves(Part, Part),
    /// Leave the batch as it is; if told, not before that instant.
    Leave(Option<Mono>),
}

/// Sends batch after batch, until the end.
pub(super) async fn work<E: Env>(shared: Arc<Shared<E>>, destination: Arc<Destination>) {
    let mut worker = Worker {
        client: Client::new(shared.env.clone(), destination.clone()),
        shared,
        destination,
    };
    while let Some((batch, attempt)) = worker.next_batch().await {
        worker.export(batch, attempt).await;
        worker.shared.settle();
        worker.shared.commit.notify_one();
        worker.shared.send.notify_waiters();
    }
}

struct Worker<E: Env> {
    shared: Arc<Shared<E>>,
    destination: Arc<Destination>,
    client: Client<E>,
}

impl<E: Env> Worker<E> {
    /// Waits until a batch may be sent; `None` at the end.
    async fn next_batch(&mut self) -> Option<(BatchRef, Attempt)> {
        loop {
            let bell = self.shared.send.notified();
            tokio::pin!(bell);
            // Registered before looking, so that no bell is missed.
            bell.as_mut().enable();
            let now = self.shared.now();
            let unix_nanos = self.shared.unix_nanos();
            let (pick, wait) = {
                let mut state = self.shared.lock();
                if state.is_stopping {
                    return None;
                }
                match may_start(&state, now) {
                    Err(wait) => (Pick::Empty, wait),
                    Ok(()) => match state.spool.pick(now, unix_nanos) {
                        Pick::Batch(batch) => {
                            let header = &batch.header;
                            let codec = header.codec.min(state.accepts);
                            let bytes = header.payload_bytes.into();
                            let wire = self.destination.wire_bytes(&header.range, codec, bytes);
                            state.pacer.start(now, wire);
                            let attempt = state.destination.start(now);
                            return Some((batch, attempt));
                        }
                        Pick::At(at) => (Pick::Empty, Some(at)),
                        other => (other, None),
                    },
                }
            };
            // Picking may have dropped what is too old.
            self.shared.settle();
            if let Pick::Load(file, bytes) = pick {
                let path = self.shared.path(file);
                match read_batches(self.shared.env.disk(), &path, file, bytes).await {
                    Ok(batches) => self.shared.lock().spool.index_loaded(file, batches),
                    Err(error) => {
                        let message = format!("read {}: {error}; trying again", path.display());
                        self.shared.observer.notice(&message);
                        tokio::time::sleep(DISK_PAUSE).await;
                    }
                }
                continue;
            }
            tokio::select! {
                biased;
                () = bell => {}
                () = sleep_until(wait.map(|at| self.shared.instant(at))) => {}
            }
        }
    }

    /// Waits until a part of a batch may be sent; `None` at the end.
    async fn permit(&self, wire_bytes: u64) -> Option<Attempt> {
        loop {
            let bell = self.shared.send.notified();
            tokio::pin!(bell);
            bell.as_mut().enable();
            let now = self.shared.now();
            let wait = {
                let mut state = self.shared.lock();
                if state.is_stopping {
                    return None;
                }
                match may_start(&state, now) {
                    Ok(()) => {
                        state.pacer.start(now, wire_bytes);
                        return Some(state.destination.start(now));
                    }
                    Err(wait) => wait,
                }
            };
            tokio::select! {
                biased;
                () = bell => {}
                () = sleep_until(wait.map(|at| self.shared.instant(at))) => {}
            }
        }
    }

    /// Sends a batch, in halves where it is refused, and tells the spool what became of it.
    async fn export(&mut self, batch: BatchRef, attempt: Attempt) {
        let path = self.shared.path(batch.file());
        let disk = self.shared.env.disk();
        let body = match read_payload(disk, &path, batch.place, &batch.header).await {
            Ok(body) => body,
            Err(error) => {
                self.shared.observer.notice(&error.to_string());
                let until = self.shared.now().after(DISK_PAUSE);
                let mut state = self.shared.lock();
                state.destination.cancelled(attempt);
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::NotFound
                ) {
                    state.spool.damaged(&batch);
                } else {
                    state.spool.suspend(&batch, until);
                }
                return;
            }
        };
        let mut parts = vec![Part {
            range: batch.header.range,
            codec: batch.header.codec,
            body,
            raw_bytes: batch.header.raw_bytes.into(),
        }];
        let mut attempt = Some(attempt);
        let mut tally = Tally::default();
        while let Some(part) = parts.pop() {
            let part = self.fit_codec(part).await;
            let is_whole = part.range == batch.header.range;
            let attempt = match attempt.take() {
                Some(attempt) => attempt,
                None => {
                    let bytes = part.body.len() as u64;
                    let wire = self.destination.wire_bytes(&part.range, part.codec, bytes);
                    match self.permit(wire).await {
                        Some(attempt) => attempt,
                        None => return self.shared.lock().spool.failed(&batch),
                    }
                }
            };
            match self.send(part, attempt, is_whole, &mut tally).await {
                Next::Done => {}
                Next::Again(part) => parts.push(part),
                Next::Halves(left, right) => parts.extend([right, left]),
                Next::Leave(None) => return self.shared.lock().spool.failed(&batch),
                Next::Leave(Some(until)) => {
                    return self.shared.lock().spool.suspend(&batch, until);
                }
            }
        }
        let mut state = self.shared.lock();
        if tally.quarantined == 0 {
            state.spool.delivered(&batch, tally.rejected);
        } else {
            state
                .spool
                .quarantined(&batch, tally.quarantined, tally.rejected);
        }
    }

    /// Recompresses a part whose codec the destination does not take.
    async fn fit_codec(&self, part: Part) -> Part {
        let accepts = self.shared.lock().accepts;
        if part.codec <= accepts {
            return part;
        }
        let level = accepts.with_level(self.shared.config.compress.codec);
        let (codec, body, limit) = (part.codec, part.body.clone(), part.raw_bytes);
        let work = move || {
            let raw = decompress(codec, &body, limit).ok()?;
            Some(compress(level, &[raw]))
        };
        match self.shared.env.compute(work).await {
            Some(body) => Part {
                codec: accepts,
                body,
                ..part
            },
            // What we compressed and what has its checksum decompresses; if not, let the receiver say so.
            None => part,
        }
    }

    /// Sends one part and acts on the answer.
    async fn send(
        &mut self,
        part: Part,
        attempt: Attempt,
        is_whole: bool,
        tally: &mut Tally,
    ) -> Next {
        let slow = self.shared.lock().slow_answers.min(SLOW_DOUBLINGS_MAX);
        // A large batch on a thin line needs longer than anybody foresaw, and must not be stuck for ever.
        let timeout = self.destination.timeout * 2_u32.pow(slow);
        let wire = {
            let bytes = part.body.len() as u64;
            self.destination.wire_bytes(&part.range, part.codec, bytes)
        };
        let sent = self
            .client
            .send(
                || {
                    let body = part.body.clone();
                    self.destination.request(&part.range, part.codec, body)
                },
                timeout,
                || {
                    let now = self.shared.now();
                    self.shared.lock().pacer.add(now, wire);
                },
            )
            .await;
        let verdict = match &sent {
            Sent::Nothing { reason, is_slow } => {
                if *is_slow {
                    self.shared.lock().slow_answers += 1;
                }
                Verdict::Path {
                    retry_after: None,
                    suspend: false,
                    reason: reason.clone(),
                }
            }
            Sent::Answer {
                status,
                content_type,
                retry_after,
                body,
            } => {
                self.shared.lock().slow_answers = 0;
                let answer = Answer {
                    status: *status,
                    content_type: content_type.as_deref(),
                    retry_after: retry_after.as_deref(),
                    body,
                };
                judge(&answer, self.shared.env.unix_time())
            }
        };
        match verdict {
            Verdict::Delivered(accepted) => {
                self.path_works(attempt);
                if accepted.rejected > 0 {
                    self.shared.observer.notice(&format!(
                        "{} rejected {} items of {}: {}",
                        self.destination.url, accepted.rejected, part.range, accepted.message
                    ));
                }
                tally.rejected += accepted.rejected.min(part.range.count);
                Next::Done
            }
            Verdict::Path {
                retry_after,
                suspend,
                reason,
            } => {
                self.path_failed(attempt, retry_after, suspend, &reason);
                // A batch in parts is kept here, so that what was delivered of it is not sent again.
                if is_whole {
                    Next::Leave(None)
                } else {
                    Next::Again(part)
                }
            }
            Verdict::Codec => match part.codec.fallback() {
                Some(codec) => {
                    self.path_works(attempt);
                    self.fall_back(codec);
                    Next::Again(part)
                }
                None => {
                    let reason = "it refuses bodies without content encoding";
                    self.path_failed(attempt, None, true, reason);
                    Next::Leave(None)
                }
            },
            Verdict::Payload { message } => {
                self.path_works(attempt);
                self.refused(part, &message, tally).await
            }
        }
    }

    fn path_works(&self, attempt: Attempt) {
        let now = self.shared.now();
        let ended = self.shared.lock().destination.succeeded(now, attempt);
        self.shared.send.notify_waiters();
        if ended {
            let url = &self.destination.url;
            self.shared.observer.notice(&format!("{url} is back"));
        }
    }

    fn path_failed(
        &self,
        attempt: Attempt,
        retry_after: Option<Duration>,
        suspend: bool,
        reason: &str,
    ) {
        let now = self.shared.now();
        let began = {
            let mut state = self.shared.lock();
            state.destination.failed(now, attempt, retry_after, suspend)
        };
        self.shared.send.notify_waiters();
        if began {
            let url = &self.destination.url;
            self.shared
                .observer
                .notice(&format!("{url} is down: {reason}; buffering"));
        }
    }

    /// From now on nothing better than `codec` goes to this destination, and batches are sealed with it.
    fn fall_back(&self, codec: CodecId) {
        let is_news = {
            let mut state = self.shared.lock();
            let is_news = codec < state.accepts;
            state.accepts = state.accepts.min(codec);
            let level = state.accepts.with_level(self.shared.config.compress.codec);
            if CodecId::from(self.shared.config.compress.codec) > state.accepts {
                state.spool.set_codec(level);
            }
            is_news
        };
        if is_news {
            let url = &self.destination.url;
            let name = codec.content_encoding().unwrap_or("no compression");
            self.shared
                .observer
                .notice(&format!("{url} refuses the content encoding; using {name}"));
        }
    }

    /// The payload was refused: a single item goes to the quarantine, a part is halved.
    async fn refused(&self, part: Part, message: &str, tally: &mut Tally) -> Next {
        let until = self.shared.now().after(DISK_PAUSE);
        let Ok(raw) = decompress(part.codec, &part.body, part.raw_bytes) else {
            return Next::Leave(Some(until));
        };
        if part.range.count == 1 {
            let written = self.shared.write_quarantine(part.range, message, &raw);
            if let Err(error) = written.await {
                self.shared
                    .observer
                    .notice(&format!("write quarantine: {error}"));
                return Next::Leave(Some(until));
            }
            self.shared
                .observer
                .notice(&format!("put {} into quarantine: {message}", part.range));
            tally.quarantined += 1;
            return Next::Done;
        }
        let signal = part.range.signal;
        let halves = split_items(signal, &raw, part.range.count / 2)
            .ok()
            .filter(|(left, _)| count_items(signal, left) == Ok(part.range.count / 2));
        let Some((left, right)) = halves else {
            // It cannot be halved: it stays, and is tried from time to time.
            return Next::Leave(Some(until));
        };
        let (left_range, right_range) = part.range.split(part.range.count / 2);
        let level = part.codec.with_level(self.shared.config.compress.codec);
        let [left, right] = [(left_range, left), (right_range, right)].map(|(range, raw)| Part {
            range,
            codec: part.codec,
            raw_bytes: raw.len() as u64,
            body: compress(level, &[raw.into()]),
        });
        Next::Halves(left, right)
    }
}

/// Whether a request may start; otherwise when to look again, if that is known.
fn may_start(state: &State, now: Mono) -> Result<(), Option<Mono>> {
    match state.destination.allowed(now) {
        Allowed::AfterAnother => Err(None),
        Allowed::At(at) => Err(Some(at)),
        Allowed::Now if now < state.pacer.ready_at() => Err(Some(state.pacer.ready_at())),
        Allowed::Now => Ok(()),
    }
}
