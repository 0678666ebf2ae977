//! A request's body: read within a budget, decompressed within a limit, walked. Next: `receiver`.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::shared::Shared;
use crate::{
    core::codec::{CodecId, DecompressError, decompress},
    env::Env,
    otlp::{Signal, count_items},
};

/// Why a body was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not what it says: 400.
    Malformed(String),
    /// 413.
    TooLarge(u64),
    /// All requests in flight together hold too much: 503.
    Busy,
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
    fn hold(&mut self, bytes: u64) -> bool {
        let mut state = self.shared.lock();
        let others = state.inflight_bytes - self.bytes;
        if bytes > self.bytes && others + bytes > self.shared.config().listen.inflight_bytes_max.0 {
            return false;
        }
        state.inflight_bytes = others + bytes;
        self.bytes = bytes;
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
const LARGE_BYTES: usize = 128 * 1024;

/// Reads a body and returns it as protobuf, with the number of its items.
pub(super) async fn read<E: Env>(
    lease: &mut Lease<'_, E>,
    signal: Signal,
    codec: CodecId,
    incoming: &mut Incoming,
) -> Result<(Bytes, u64), Refusal> {
    let limit = lease.shared.config().listen.body_bytes_max.0;
    let expected = incoming.size_hint().lower();
    if expected > limit {
        return Err(Refusal::TooLarge(limit));
    }
    if !lease.hold(expected) {
        return Err(Refusal::Busy);
    }
    // One exact copy: a frame is a piece of the connection's read buffer, and would keep all of it until it is sealed.
    let mut all = BytesMut::with_capacity(expected as usize);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Refusal::Malformed(format!("read body: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let len = (all.len() + data.len()) as u64;
        if len > limit {
            return Err(Refusal::TooLarge(limit));
        }
        if !lease.hold(len.max(expected)) {
            return Err(Refusal::Busy);
        }
        all.extend_from_slice(&data);
    }
    let (len, body) = (all.len() as u64, all.freeze());
    if codec == CodecId::None {
        let large = body.len() > LARGE_BYTES * 8;
        return on(lease, large, move || count(signal, body)).await;
    }
    // The budget covers what a usual body unfolds to; a larger one is unfolded again, if the budget has it.
    let usual = (len * 16 + (64 << 10)).min(limit);
    for allowed in [usual, limit] {
        if !lease.hold(len + allowed) {
            return Err(Refusal::Busy);
        }
        let compressed = body.clone();
        let large = compressed.len() > LARGE_BYTES;
        let result = on(lease, large, move || {
            match decompress(codec, &compressed, allowed) {
                Ok(body) => count(signal, body),
                Err(DecompressError::TooLarge { limit }) => Err(Refusal::TooLarge(limit)),
                Err(error) => Err(Refusal::Malformed(error.to_string())),
            }
        })
        .await;
        match result {
            Err(Refusal::TooLarge(_)) if allowed < limit => {}
            Ok((body, items)) => {
                lease.hold(body.len() as u64);
                return Ok((body, items));
            }
            other => return other,
        }
    }
    Err(Refusal::TooLarge(limit))
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

async fn on<E: Env, T: Send + 'static>(
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
        Err(error) => Err(Refusal::Malformed(format!(
            "not a protobuf {signal} request: {error}"
        ))),
    }
}
