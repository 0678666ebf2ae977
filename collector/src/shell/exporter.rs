//! Sends batches: one worker for each request that may be under way. What to send, when, and what an answer means is
//! decided in `core`; this performs it, and halves a batch that was refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    client::{Client, Destination, Given, Pace, Sent},
    outlet::{Outlet, Tag, Targets},
    pace::Seen,
    recover::{read_batches, read_payload},
    shared::{Shared, State},
    store::sleep_until,
};
use crate::{
    config::{Codec, Protocol},
    core::{
        Mono,
        budget::{connection_bytes, line_bytes},
        codec::{CodecId, compress, decompress},
        destination::{Allowed, Attempt},
        lane::{Ask, Lane},
        metrics::Tried,
        range::ItemRange,
        spool::{BatchRef, Left, Pick},
        verdict::Verdict,
    },
    env::Env,
    otlp::{count_items, json, split_items},
};
use bytes::Bytes;

/// Pause after a segment or a batch could not be read, or a refused item could not be written.
const DISK_PAUSE: Duration = Duration::from_secs(30);

/// Pause of a batch with an item that something on the way does not let through: much longer than the probes of the path
/// are apart, so that other batches are tried in between.
const BLOCKED_PAUSE: Duration = Duration::from_secs(600);

/// The time for an answer doubles at most so many times: 32 times `endpoint.timeout`.
const SLOW_DOUBLINGS_MAX: u32 = 5;

/// A batch, or a part of one that was refused.
struct Part {
    range: ItemRange,
    codec: CodecId,
    body: Bytes,
    raw_bytes: u64,
    /// The codec that is tried because something that is not OTLP refused a better one.
    trial: Option<CodecId>,
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
    /// Leave the whole batch for its next turn.
    Leave,
    /// Come back to this part, and what else is left of the batch, at that instant.
    Wait(Part, Mono),
}

/// Sends batch after batch to one destination, until the end, or until it is gone.
pub(super) async fn work<E: Env>(shared: Arc<Shared<E>>, tag: Tag, mut targets: Targets) {
    let destination = targets.borrow_and_update().clone();
    let mut worker = Worker {
        client: Client::new(shared.env.clone(), destination.clone()),
        shared,
        tag,
        destination,
        targets,
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
    tag: Tag,
    destination: Arc<Destination>,
    client: Client<E>,
    targets: Targets,
}

impl<E: Env> Worker<E> {
    /// Goes over to another address, if there is one; false if the destination is gone.
    fn follow(&mut self) -> bool {
        match self.targets.has_changed() {
            Err(_) => return false,
            Ok(false) => {}
            Ok(true) => {
                let destination = self.targets.borrow_and_update().clone();
                self.client = Client::new(self.shared.env.clone(), destination.clone());
                self.destination = destination;
            }
        }
        true
    }

    /// Leaves connections of a line that another one has taken over from.
    fn leave_old_line(&mut self) {
        let route = self.shared.lock().links.route();
        self.client.go_by(route);
    }

    /// Waits until a batch may be sent; `None` at the end.
    async fn next_batch(&mut self) -> Option<(BatchRef, Attempt)> {
        let shared = self.shared.clone();
        loop {
            let bell = shared.send.notified();
            tokio::pin!(bell);
            // Registered before looking, so that no bell is missed.
            bell.as_mut().enable();
            if !self.follow() {
                return None;
            }
            self.leave_old_line();
            let now = self.shared.now();
            let unix_nanos = self.shared.unix_nanos();
            let (pick, wait) = {
                let mut state = self.shared.lock();
                let state = &mut *state;
                if state.is_stopping {
                    return None;
                }
                let route = state.route(self.tag)?;
                match may_start(state, self.tag, now) {
                    Err(wait) => (Pick::Empty, wait),
                    Ok((ask, others_at)) => match state.spool.pick(route, ask, now, unix_nanos) {
                        Pick::Batch(batch) => {
                            let outlet = state.outlet(self.tag).expect("it may start");
                            let attempt = outlet.destination.start(now, batch.lane);
                            let header = &batch.header;
                            let codec = header.codec.min(outlet.accepts);
                            let wire = self.destination.head_wire_bytes(&header.range, codec);
                            state.pacer.start(now, batch.lane, wire);
                            return Some((batch, attempt));
                        }
                        Pick::At(at) => {
                            let wait = others_at.map_or(at, |others_at| others_at.min(at));
                            (Pick::Empty, Some(wait))
                        }
                        other => (other, others_at),
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

    /// Waits until a part of a batch of that lane may be sent; `None` at the end.
    async fn permit(&mut self, lane: Lane, wire_bytes: u64) -> Option<Attempt> {
        let shared = self.shared.clone();
        loop {
            let bell = shared.send.notified();
            tokio::pin!(bell);
            bell.as_mut().enable();
            if !self.follow() {
                return None;
            }
            let now = self.shared.now();
            let wait = {
                let mut state = self.shared.lock();
                if state.is_stopping {
                    return None;
                }
                let paid_at = state.pacer.ready_at(lane);
                let destination = &mut state.outlet(self.tag)?.destination;
                match destination.allows(now, lane) {
                    Allowed::Now(_) if now >= paid_at => {
                        let attempt = destination.start(now, lane);
                        state.pacer.start(now, lane, wire_bytes);
                        return Some(attempt);
                    }
                    Allowed::Now(_) => Some(paid_at),
                    Allowed::At(at) => Some(at),
                    Allowed::AfterAnother => None,
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
                self.cancelled(attempt);
                let mut state = self.shared.lock();
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::NotFound
                ) {
                    state.spool.damaged(&batch);
                } else {
                    let left = state.spool.left(&batch).cloned();
                    state.spool.suspend(&batch, until, left);
                }
                return;
            }
        };
        let whole = Part {
            range: batch.header.range,
            codec: batch.header.codec,
            body,
            raw_bytes: batch.header.raw_bytes.into(),
            trial: None,
        };
        let (mut parts, mut tally) = self.resume(&batch, whole).await;
        let mut attempt = Some(attempt);
        while let Some(part) = parts.pop() {
            let part = match self.fit_size(part).await {
                Ok(part) => part,
                Err((left, right)) => {
                    parts.extend([right, left]);
                    continue;
                }
            };
            let part = self.fit_codec(part).await;
            let is_whole = part.range == batch.header.range;
            let attempt = match attempt.take() {
                Some(attempt) => attempt,
                None => {
                    let wire = self.destination.head_wire_bytes(&part.range, part.codec);
                    match self.permit(batch.lane, wire).await {
                        Some(attempt) => attempt,
                        None => return self.shared.lock().spool.failed(&batch),
                    }
                }
            };
            match self
                .send(part, batch.lane, attempt, is_whole, &mut tally)
                .await
            {
                Next::Done => {}
                Next::Again(part) => parts.push(part),
                Next::Halves(left, right) => parts.extend([right, left]),
                Next::Leave => return self.shared.lock().spool.failed(&batch),
                Next::Wait(part, until) => {
                    // The part in trouble goes last, so that it does not hold up the others next time.
                    parts.insert(0, part);
                    let left = (!is_whole).then(|| Left {
                        ranges: parts.iter().rev().map(|part| part.range).collect(),
                        rejected: tally.rejected,
                        quarantined: tally.quarantined,
                    });
                    return self.shared.lock().spool.suspend(&batch, until, left);
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

    /// The parts of a batch that are to be sent, the first one last, and what became of the others before.
    async fn resume(&self, batch: &BatchRef, whole: Part) -> (Vec<Part>, Tally) {
        let left = self.shared.lock().spool.left(batch).cloned();
        let Some(left) = left else {
            return (vec![whole], Tally::default());
        };
        let level = whole.codec.with_level(self.shared.config().compress.codec);
        let tally = Tally {
            rejected: left.rejected,
            quarantined: left.quarantined,
        };
        let work = move || cut(&whole, &left.ranges, level).ok_or(whole);
        match self.shared.env.compute(work).await {
            Ok(parts) => (parts, tally),
            // What was cut once is cut again; if not, twice is better than never.
            Err(whole) => (vec![whole], Tally::default()),
        }
    }

    /// Halves a part that is larger than the destination takes, or than gets through the line, without trying.
    async fn fit_size(&self, part: Part) -> Result<Part, (Part, Part)> {
        let raw_max = self.destination.raw_bytes_max.unwrap_or(u64::MAX);
        let line_max = {
            let mut state = self.shared.lock();
            let outlet = state.outlet(self.tag);
            outlet.and_then(|it| it.line.body_bytes_max())
        };
        let line_max = line_max.unwrap_or(u64::MAX);
        // Half as much again is not worth the work.
        let is_small = part.body.len() as u64 <= line_max.saturating_add(line_max / 2);
        if part.raw_bytes <= raw_max && is_small || part.range.count == 1 {
            return Ok(part);
        }
        match self.halve(part).await {
            Ok(halves) => Err(halves),
            Err(part) => Ok(part),
        }
    }

    /// The two halves of a part; the part again if it cannot be halved.
    async fn halve(&self, part: Part) -> Result<(Part, Part), Part> {
        let level = part.codec.with_level(self.shared.config().compress.codec);
        let work = move || halve(&part, level).ok_or(part);
        self.shared.env.compute(work).await
    }

    /// What is sent of a part: its body, or the same as JSON. `None` if it is not well formed.
    async fn wire_body(&self, part: &Part) -> Option<Bytes> {
        if self.destination.protocol != Protocol::HttpJson {
            return Some(part.body.clone());
        }
        let (signal, codec, body, limit) = (
            part.range.signal,
            part.codec,
            part.body.clone(),
            part.raw_bytes,
        );
        let level = codec.with_level(self.shared.config().compress.codec);
        let work = move || {
            let raw = decompress(codec, &body, limit).ok()?;
            let text = json::to_json(signal, &raw).ok()?;
            Some(compress(level, &[text.into()]))
        };
        self.shared.env.compute(work).await
    }

    /// Recompresses a part whose codec the destination does not take, or may not take.
    async fn fit_codec(&self, part: Part) -> Part {
        let outlet = self
            .shared
            .lock()
            .outlet(self.tag)
            .map(|outlet| outlet.accepts);
        let accepts = outlet.unwrap_or(CodecId::Zstd);
        let accepts = part.trial.map_or(accepts, |trial| trial.min(accepts));
        if part.codec <= accepts {
            return part;
        }
        let level = accepts.with_level(self.shared.config().compress.codec);
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
        lane: Lane,
        attempt: Attempt,
        is_whole: bool,
        tally: &mut Tally,
    ) -> Next {
        let slow = self
            .shared
            .lock()
            .outlet(self.tag)
            .map(|outlet| outlet.slow_answers);
        let slow = slow.unwrap_or(0).min(SLOW_DOUBLINGS_MAX);
        // A large batch on a thin line needs longer than anybody foresaw, and must not be stuck for ever.
        let timeout = self.destination.timeout * 2_u32.pow(slow);
        let Some(body) = self.wire_body(&part).await else {
            self.cancelled(attempt);
            let what = format!("write {} as JSON: it is not well formed", part.range);
            self.shared.observer.notice(&what);
            return Next::Wait(part, self.shared.now().after(BLOCKED_PAUSE));
        };
        let body_bytes = body.len() as u64;
        let destination = self.destination.clone();
        self.report_to(&destination, &part.range);
        let wire = destination.wire_bytes(&part.range, part.codec, body_bytes);
        let pace = Pace {
            line: self.shared.clone(),
            lane,
            given: Given::default(),
        };
        let is_tls = destination.target().tls.is_some();
        self.shared.notice_line().await;
        self.leave_old_line();
        // A kept connection may turn out to be closed; a new one is tried once.
        let (cost, anew) = (line_bytes(wire), connection_bytes(is_tls));
        let (opening, again) = match self.client.is_connected() {
            true => (0, cost + anew),
            false => (anew, 0),
        };
        let class = part.range.class;
        let charge = match self.shared.pay(class, cost + opening, again).await {
            Ok(charge) => charge,
            // The line is not for this, or not now.
            Err(until) => {
                self.cancelled(attempt);
                return Next::Wait(part, until);
            }
        };
        let went_out = AtomicBool::new(false);
        let began = self.shared.now();
        self.shared.observer.exporting(&self.destination.url);
        let request = self.client.send(
            || {
                let (body, pace) = (body.clone(), pace.clone());
                destination.request(&part.range, part.codec, body, timeout, pace)
            },
            timeout,
            |is_again| {
                let now = self.shared.now();
                let mut state = self.shared.lock();
                state.counters.wire_bytes += wire;
                went_out.store(true, Ordering::Relaxed);
                if is_again {
                    let head = destination.head_wire_bytes(&part.range, part.codec);
                    state.pacer.add(now, lane, head);
                    state.pay_again(charge);
                }
            },
        );
        let sent = tokio::select! {
            biased;
            sent = request => Some(sent),
            _ = changed(&mut self.targets) => None,
        };
        let went_out = went_out.into_inner();
        self.shared.paid(charge, went_out, opening);
        let Some(sent) = sent else {
            // Given up for another address, or for none: nothing was learned, and an old one may never answer.
            self.cancelled(attempt);
            return Self::later(part, is_whole);
        };
        let verdict = match &sent {
            Sent::Nothing {
                reason,
                is_slow,
                suspend,
            } => {
                if let Some(outlet) = self.shared.lock().outlet(self.tag) {
                    outlet.slow_answers += u32::from(*is_slow);
                    if went_out {
                        outlet.line.broke_off(body_bytes);
                    }
                }
                Verdict::Path {
                    retry_after: None,
                    suspend: *suspend,
                    reason: reason.clone(),
                }
            }
            Sent::Answer(answer) => {
                destination.answered(answer.is_gateway());
                let now = self.shared.now();
                let took = now.since(began);
                let seen = Seen {
                    body_bytes,
                    wire_bytes: wire,
                    took,
                    delay: pace.given.at().map(|at| at.elapsed()),
                };
                {
                    let config = self.shared.config();
                    let mut state = self.shared.lock();
                    if let Some(outlet) = state.outlet(self.tag) {
                        outlet.slow_answers = 0;
                        outlet.line.learn(now, &seen);
                    }
                    state.set_pace(now, &config);
                    state.counters.answer_seconds.record_duration(took);
                }
                let unix_now = self.shared.env.unix_time();
                answer.judge(self.destination.protocol, part.codec, unix_now)
            }
        };
        self.shared.lock().counters.attempt(tried(&verdict));
        match verdict {
            Verdict::Delivered(accepted) => {
                self.path_works(attempt);
                if part.trial.is_some() {
                    // Now the receiver itself has shown what it takes.
                    self.fall_back(part.codec);
                }
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
                Self::later(part, is_whole)
            }
            Verdict::Codec { is_otlp } => match part.codec.fallback() {
                Some(codec) if is_otlp => {
                    self.path_works(attempt);
                    self.fall_back(codec);
                    Next::Again(part)
                }
                Some(codec) => {
                    self.path_unknown(attempt);
                    let trial = Some(codec);
                    Next::Again(Part { trial, ..part })
                }
                None => {
                    let reason = "it refuses bodies without content encoding";
                    self.path_failed(attempt, None, true, reason);
                    Self::later(part, is_whole)
                }
            },
            Verdict::Payload {
                is_otlp: false,
                message,
            } if part.range.count == 1 => {
                let reason = format!("{message}, for a single item and not from an OTLP receiver");
                self.path_failed(attempt, None, true, &reason);
                Next::Wait(part, self.shared.now().after(BLOCKED_PAUSE))
            }
            Verdict::Payload { is_otlp, message } => {
                if is_otlp {
                    self.path_works(attempt);
                } else {
                    self.path_unknown(attempt);
                }
                self.refused(part, &message, tally).await
            }
        }
    }

    /// Says with the next request how this store is, where a gateway wants to know; not with items of another one, which were
    /// imported: they would be its report.
    fn report_to(&self, destination: &Destination, range: &ItemRange) {
        if !destination.is_gateway() {
            return destination.report(None);
        }
        let config = self.shared.config();
        let state = self.shared.lock();
        let is_own = range.store == state.spool.identity().0;
        let report = is_own.then(|| state.report(&config, self.shared.now()));
        drop(state);
        destination.report(report.as_ref());
    }

    /// After a failure of the path: a whole batch is picked again, a part is kept.
    fn later(part: Part, is_whole: bool) -> Next {
        if is_whole {
            Next::Leave
        } else {
            Next::Again(Part {
                trial: None,
                ..part
            })
        }
    }

    /// Nothing was learned.
    fn cancelled(&self, attempt: Attempt) {
        if let Some(outlet) = self.shared.lock().outlet(self.tag) {
            outlet.destination.cancelled(attempt);
        }
    }

    /// Something answered that need not be the destination.
    fn path_unknown(&self, attempt: Attempt) {
        self.cancelled(attempt);
        self.shared.send.notify_waiters();
    }

    fn path_works(&self, attempt: Attempt) {
        let now = self.shared.now();
        let ended = {
            let mut state = self.shared.lock();
            let outlet = state.outlet(self.tag);
            let ended = outlet.is_some_and(|it| it.destination.succeeded(now, attempt));
            if ended && let Some(route) = state.route(self.tag) {
                state.spool.refresh(route, now);
            }
            ended
        };
        self.shared.send.notify_waiters();
        if ended {
            // Batches that were held open are due now.
            self.shared.seal.notify_one();
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
        self.shared.observer.export_failed(&self.destination.url);
        let began = {
            let mut state = self.shared.lock();
            let failed = |it: &mut Outlet| {
                let began = it.destination.failed(now, attempt, retry_after, suspend);
                if began {
                    it.line.forget();
                }
                began
            };
            let began = state.outlet(self.tag).is_some_and(failed);
            if began {
                state.set_pace(now, &self.shared.config());
                // It may be another line by now.
                self.shared.line.notify_one();
            }
            state.counters.outages += u64::from(began);
            began
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
            let Some(outlet) = state.outlet(self.tag) else {
                return;
            };
            let is_news = codec < outlet.accepts;
            outlet.accepts = outlet.accepts.min(codec);
            let (accepts, wanted) = (state.accepts(), self.shared.config().compress.codec);
            if CodecId::from(wanted) > accepts {
                state.spool.set_codec(accepts.with_level(wanted));
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
        if part.range.count == 1 {
            let Ok(raw) = decompress(part.codec, &part.body, part.raw_bytes) else {
                return Next::Wait(part, until);
            };
            let written = self.shared.write_quarantine(part.range, message, &raw);
            if let Err(error) = written.await {
                self.shared
                    .observer
                    .notice(&format!("write quarantine: {error}"));
                let is_full = error.kind() == std::io::ErrorKind::QuotaExceeded;
                let pause = if is_full { BLOCKED_PAUSE } else { DISK_PAUSE };
                return Next::Wait(part, self.shared.now().after(pause));
            }
            self.shared
                .observer
                .notice(&format!("put {} into quarantine: {message}", part.range));
            tally.quarantined += 1;
            return Next::Done;
        }
        match self.halve(part).await {
            Ok((left, right)) => Next::Halves(left, right),
            // It cannot be halved: it stays, and is tried from time to time.
            Err(part) => Next::Wait(part, until),
        }
    }
}

/// Waits for another address without taking note of it: [`Worker::follow`] does.
async fn changed(targets: &mut Targets) {
    // One that is gone is as good as another one.
    if targets.changed().await.is_ok() {
        targets.mark_changed();
    }
}

/// How an answer is counted.
fn tried(verdict: &Verdict) -> Tried {
    match verdict {
        Verdict::Delivered(accepted) if accepted.rejected > 0 => Tried::Partial,
        Verdict::Delivered(_) => Tried::Delivered,
        Verdict::Path { suspend: true, .. } => Tried::Suspended,
        Verdict::Path { suspend: false, .. } => Tried::Path,
        Verdict::Codec { .. } => Tried::Codec,
        Verdict::Payload { .. } => Tried::Payload,
    }
}

/// The two halves of a part, by items.
fn halve(part: &Part, level: Codec) -> Option<(Part, Part)> {
    let raw = decompress(part.codec, &part.body, part.raw_bytes).ok()?;
    let (signal, middle) = (part.range.signal, part.range.count / 2);
    let (left, right) = split_items(signal, &raw, middle).ok()?;
    if count_items(signal, &left) != Ok(middle) {
        return None;
    }
    let (left_range, right_range) = part.range.split(middle);
    let half = |range, raw: Vec<u8>| Part {
        range,
        codec: part.codec,
        raw_bytes: raw.len() as u64,
        body: compress(level, &[raw.into()]),
        trial: part.trial,
    };
    Some((half(left_range, left), half(right_range, right)))
}

/// Cuts these ranges out of a batch, the first one last.
fn cut(whole: &Part, ranges: &[ItemRange], level: Codec) -> Option<Vec<Part>> {
    let raw = decompress(whole.codec, &whole.body, whole.raw_bytes).ok()?;
    let signal = whole.range.signal;
    let one = |range: &ItemRange| {
        let before = range.first - whole.range.first;
        let (_, rest) = split_items(signal, &raw, before).ok()?;
        let (raw, _) = split_items(signal, &rest, range.count).ok()?;
        Some(Part {
            range: *range,
            codec: whole.codec,
            raw_bytes: raw.len() as u64,
            body: compress(level, &[raw.into()]),
            trial: None,
        })
    };
    ranges.iter().rev().map(one).collect()
}

/// Of which lanes a request may start, and when it may be of any other one; otherwise when to look again. `None` where a bell
/// will tell.
fn may_start(state: &mut State, tag: Tag, now: Mono) -> Result<(Ask, Option<Mono>), Option<Mono>> {
    let outlet = state.outlet(tag).ok_or(None)?;
    let allowed = outlet.destination.allowed(now);
    let paid_at = |lane| state.pacer.ready_at(lane);
    match allowed {
        Allowed::AfterAnother => Err(None),
        Allowed::At(at) => Err(Some(at)),
        Allowed::Now(ask) if now >= paid_at(Lane::Backfill) => Ok((ask, None)),
        Allowed::Now(_) if now >= paid_at(Lane::Live) => {
            Ok((Ask::LiveOnly, Some(paid_at(Lane::Backfill))))
        }
        Allowed::Now(_) => Err(Some(paid_at(Lane::Live))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::Signal;

    /// What is left of a batch is cut out of it, in its order, and nothing else.
    #[test]
    fn only_what_is_left_is_cut_out() {
        // Resource logs (1), scope logs (2), log records (2) that hold a time each.
        let field = |number: u8, data: &[u8]| [&[number << 3 | 2, data.len() as u8], data].concat();
        let record = |id: u8| field(2, &[0x09, id, 0, 0, 0, 0, 0, 0, 0]);
        let request = |ids: std::ops::Range<u8>| -> Vec<u8> {
            let records: Vec<u8> = ids.flat_map(record).collect();
            field(1, &field(2, &records))
        };
        let range = ItemRange {
            store: 1,
            boot: 1,
            class: Signal::Logs.into(),
            signal: Signal::Logs,
            first: 100,
            count: 8,
        };
        let raw = request(0..8);
        let whole = Part {
            range,
            codec: CodecId::Gzip,
            raw_bytes: raw.len() as u64,
            body: compress(Codec::Gzip(1), &[raw.into()]),
            trial: None,
        };
        let (left, right) = range.split(4);
        let ranges = [right.split(1).1, left.split(1).0];
        let parts = cut(&whole, &ranges, Codec::Gzip(1)).unwrap();
        assert_eq!(
            parts.iter().map(|p| p.range).collect::<Vec<_>>(),
            [ranges[1], ranges[0]]
        );
        for (part, expect) in parts.iter().zip([request(0..1), request(5..8)]) {
            let raw = decompress(part.codec, &part.body, part.raw_bytes).unwrap();
            assert_eq!(count_items(Signal::Logs, &raw), Ok(part.range.count));
            assert_eq!(raw, expect);
        }
    }
}
