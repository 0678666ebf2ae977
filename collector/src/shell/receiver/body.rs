//! A request's body: read within a budget, decompressed within a limit, transcoded, walked. Next: `intake`.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{
    intake,
    refusal::{Cause, Refusal},
};
use crate::{
    core::codec::{CodecId, DecompressError, decompress},
    env::Env,
    otlp::{
        Signal, count_items, grpc,
        json::{JsonError, from_json},
    },
    shell::shared::Shared,
};

/// How a request is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Protobuf: what is stored and sent on.
    Protobuf,
    /// OTLP/JSON, which becomes protobuf.
    Json,
}

/// Bytes of the budget for requests in flight, given back on drop; it lives as long as the request, whose time it takes.
pub(super) struct Lease<'a, E: Env> {
    shared: &'a Shared<E>,
    bytes: u64,
    since: tokio::time::Instant,
}

impl<'a, E: Env> Lease<'a, E> {
    pub(super) fn new(shared: &'a Shared<E>) -> Self {
        Self {
            shared,
            bytes: 0,
            since: tokio::time::Instant::now(),
        }
    }

    /// Sets how much is held; false if there is not as much.
    pub(super) fn hold(&mut self, bytes: u64) -> bool {
        let before = self.bytes;
        let all = {
            let mut state = self.shared.lock();
            let all = state.inflight_bytes - before + bytes;
            if bytes > before && all > self.shared.config().listen.inflight_bytes_max.0 {
                return false;
            }
            state.inflight_bytes = all;
            all
        };
        self.bytes = bytes;
        if bytes > before {
            self.shared.observer.inflight(all);
        }
        true
    }
}

impl<E: Env> Drop for Lease<'_, E> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.inflight_bytes -= self.bytes;
        let took = self.since.elapsed();
        state.counters.request_seconds.record_duration(took);
    }
}

/// Bodies larger than this are decompressed and walked off the event loop.
pub(super) const LARGE_BYTES: usize = 128 * 1024;

/// Reads a body as it came, within the limit and the budget.
pub(super) async fn read<E: Env>(
    lease: &mut Lease<'_, E>,
    is_framed: bool,
    incoming: &mut Incoming,
) -> Result<Bytes, Refusal> {
    let frame_bytes = if is_framed {
        grpc::FRAME_HEAD_BYTES as u64
    } else {
        0
    };
    let limit = lease.shared.config().listen.body_bytes_max.0;
    let limit_framed = limit + frame_bytes;
    let expected = incoming.size_hint().lower();
    if expected > limit_framed {
        return Err(too_large(limit));
    }
    if !lease.hold(expected) {
        return Err(intake::busy(lease.shared));
    }
    // One copy: a frame is a piece of the connection's read buffer, and would keep all of it until it is sealed.
    let mut all = Vec::with_capacity(expected as usize);
    while let Some(frame) = incoming.frame().await {
        let frame =
            frame.map_err(|error| Refusal::new(Cause::Malformed, format!("read body: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let len = (all.len() + data.len()) as u64;
        if len > limit_framed {
            return Err(too_large(limit));
        }
        if len > all.capacity() as u64 {
            // What is charged is what is allocated. Most bodies without a length come in one piece.
            let growth = if all.is_empty() { 1 } else { 2 };
            let capacity = (len * growth).min(limit_framed);
            if !lease.hold(capacity) {
                return Err(intake::busy(lease.shared));
            }
            all.reserve_exact(capacity as usize - all.len());
        }
        all.extend_from_slice(&data);
    }
    Ok(all.into())
}

/// Makes protobuf of a body and returns it with the number of its items.
pub(super) async fn unpack<E: Env>(
    lease: &mut Lease<'_, E>,
    signal: Signal,
    format: Format,
    codec: CodecId,
    body: Bytes,
) -> Result<(Bytes, u64), Refusal> {
    let len = body.len() as u64;
    let copies = u64::from(codec != CodecId::None) + u64::from(format == Format::Json);
    if copies == 0 {
        let large = body.len() > LARGE_BYTES * 8;
        return on(lease, large, move || count(signal, body)).await;
    }
    let limit = lease.shared.config().listen.body_bytes_max.0;
    // The budget covers what a usual body unfolds to; a larger one is unfolded again, if the budget has it.
    let usual = match codec {
        CodecId::None => len,
        _ => len * 16 + (64 << 10),
    };
    for allowed in [usual.min(limit), limit] {
        if !lease.hold(len + copies * allowed) {
            return Err(intake::busy(lease.shared));
        }
        let packed = body.clone();
        let large = packed.len() > LARGE_BYTES;
        let work = move || unfold(signal, format, codec, packed, allowed);
        match on(lease, large, work).await {
            Err(refusal) if refusal.cause == Cause::TooLarge && allowed < limit => {}
            Ok((body, items)) => {
                lease.hold(body.len() as u64);
                return Ok((body, items));
            }
            other => return other,
        }
    }
    Err(too_large(limit))
}

/// Decompresses, transcodes and walks; nothing on the way is larger than `allowed`.
fn unfold(
    signal: Signal,
    format: Format,
    codec: CodecId,
    body: Bytes,
    allowed: u64,
) -> Result<(Bytes, u64), Refusal> {
    let body = if codec == CodecId::None {
        body
    } else {
        decompress(codec, &body, allowed).map_err(|error| match error {
            DecompressError::TooLarge { limit } => too_large(limit),
            error @ DecompressError::Malformed(_) => {
                Refusal::new(Cause::Malformed, error.to_string())
            }
        })?
    };
    match format {
        Format::Protobuf => count(signal, body),
        Format::Json => match from_json(signal, &body, allowed as usize) {
            Ok(body) => count(signal, body.into()),
            Err(JsonError::TooLarge { limit }) => Err(too_large(limit as u64)),
            Err(JsonError::Malformed(why)) => {
                let message = format!("not a JSON {signal} request: {why}");
                Err(Refusal::new(Cause::Malformed, message))
            }
        },
    }
}

fn too_large(limit: u64) -> Refusal {
    let message = format!(
        "body exceeds {limit} bytes after decompression: send smaller batches or raise listen.body_bytes_max"
    );
    Refusal::new(Cause::TooLarge, message)
}

/// Reads the rest of a body that was refused and throws it away.
///
/// A connection that is closed with unread data is reset, and the reset overtakes the answer: the sender would see no reason,
/// and try again.
pub(super) async fn drain(incoming: &mut Incoming) {
    /// Beyond this a sender may see a reset.
    const BYTES_MAX: usize = 64 << 20;
    let mut bytes = 0;
    while let Some(Ok(frame)) = incoming.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > BYTES_MAX {
            return;
        }
    }
}

/// Does some work, off the event loop if it is large.
pub(super) async fn on<E: Env, T: Send + 'static>(
    lease: &Lease<'_, E>,
    large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if large {
        lease.shared.env.compute(work).await
    } else {
        work()
    }
}

fn count(signal: Signal, body: Bytes) -> Result<(Bytes, u64), Refusal> {
    match count_items(signal, &body) {
        Ok(items) => Ok((body, items)),
        Err(error) => {
            let message = format!("not a protobuf {signal} request: {error}");
            Err(Refusal::new(Cause::Malformed, message))
        }
    }
}
