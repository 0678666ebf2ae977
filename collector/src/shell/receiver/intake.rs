//! What all roads share: a request's body becomes durable, or there is a reason why not.

use std::time::Duration;

use hyper::{
    HeaderMap,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};

use super::{
    Answer, Doors,
    body::{self, Format, Lease},
    refusal::{Cause, Refusal},
    sorting,
};
use crate::{
    config::Role,
    core::{
        codec::CodecId,
        metrics::Outcome,
        pressure::{Pressure, RETRY_MIN},
        spool::Limits,
    },
    env::Env,
    otlp::{Signal, grpc},
    shell::{relay, shared::Shared, store::Stored},
};

/// Time for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a sender is told while this process stops: it is mostly about to start again.
const STOPPING_RETRY: Duration = Duration::from_secs(5);

/// A request as its head describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) signal: Signal,
    pub(super) format: Format,
    pub(super) codec: CodecId,
    /// Whether the body is a gRPC frame, whose flag says if `codec` was applied.
    pub(super) is_framed: bool,
}

/// Tells a store's collector that a gateway has taken its request.
const GATEWAY: HeaderName = HeaderName::from_static(relay::GATEWAY_HEADER);

/// Marks the answer to a request that was taken in, where this is a gateway.
pub(super) fn mark<E: Env>(shared: &Shared<E>, answer: &mut Answer) {
    if shared.config().role == Role::Gateway {
        let value = HeaderValue::from_static("1");
        answer.headers_mut().insert(GATEWAY, value);
    }
}

/// Whether a sender may pass.
pub(super) async fn admit<E: Env>(
    shared: &Shared<E>,
    doors: &Doors,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    match &doors.tokens {
        Some(tokens) if !tokens.admit(shared, headers).await => {
            let message = "no token that is known here (listen.bearer_tokens_file): send Authorization: Bearer TOKEN";
            Err(Refusal::new(Cause::Unauthenticated, message))
        }
        _ => Ok(()),
    }
}

/// Takes a request in; returns when it is durable.
pub(super) async fn take<E: Env>(
    shared: &Shared<E>,
    offer: Offer,
    headers: &HeaderMap,
    incoming: &mut Incoming,
) -> Result<(), Refusal> {
    let result = try_take(shared, offer, headers, incoming).await;
    if let Err(refusal) = &result {
        count(shared, refusal.cause);
    }
    result
}

async fn try_take<E: Env>(
    shared: &Shared<E>,
    offer: Offer,
    headers: &HeaderMap,
    incoming: &mut Incoming,
) -> Result<(), Refusal> {
    let mut lease = Lease::new(shared);
    let read = body::read(&mut lease, offer.is_framed, incoming);
    let Ok(read) = tokio::time::timeout(BODY_TIMEOUT, read).await else {
        let message = "the body did not come in time";
        return Err(Refusal::new(Cause::TooSlow, message));
    };
    let (mut body, mut codec) = (read?, offer.codec);
    if offer.is_framed {
        let is_compressed = grpc::read_frame(&body)
            .map_err(|error| Refusal::new(Cause::Frame, error.to_string()))?;
        body = body.slice(grpc::FRAME_HEAD_BYTES..);
        match (is_compressed, codec) {
            (true, CodecId::None) => {
                let message = "the message is compressed, and grpc-encoding does not say how";
                return Err(Refusal::new(Cause::Frame, message));
            }
            (true, _) => {}
            (false, _) => codec = CodecId::None,
        }
    }
    let (body, items) = body::unpack(&mut lease, offer.signal, offer.format, codec, body).await?;
    if items == 0 {
        return Ok(());
    }
    let sender = match shared.config().role {
        Role::Collector => None,
        Role::Gateway => Some(relay::Sender::read(offer.signal, headers)),
    };
    let (bytes, stored) = match sender {
        Some(sender) => {
            let bytes = body.len() as u64;
            let stored = shared.relay(sender, offer.signal, items, body).await;
            (bytes, stored)
        }
        None => {
            let parts = sorting::sort(shared, &mut lease, offer.signal, items, body).await?;
            let bytes = parts.iter().map(|part| part.body.len() as u64).sum();
            (bytes, shared.store(offer.signal, &parts).await)
        }
    };
    match stored {
        Stored::Yes => {
            let now = shared.now();
            shared.lock().pressure.committed.add(now, bytes);
            Ok(())
        }
        Stored::Discarded => Ok(()),
        Stored::Busy | Stored::Known => Err(busy(shared)),
        Stored::Full => {
            // Room is made by whole segments, when their last batch was delivered.
            let bytes = Limits::new(&shared.config()).segment_bytes;
            let retry = retry(shared, bytes, |pressure| pressure.delivered);
            let message = match shared.lock().spool.is_short() {
                true => "the disk is full: it has less room than buffer.disk",
                false => "the buffer is full (buffer.disk)",
            };
            Err(Refusal::until(Cause::Full, retry, message))
        }
        Stored::DiskFailed => {
            let message = "the disk failed, nothing was stored";
            Err(Refusal::until(Cause::DiskFailed, RETRY_MIN, message))
        }
    }
}

/// The refusal when memory is short, or nothing is taken any more.
pub(super) fn busy<E: Env>(shared: &Shared<E>) -> Refusal {
    let (is_stopping, inflight, unsealed) = {
        let state = shared.lock();
        let unsealed = state.spool.unsealed_bytes();
        (state.is_stopping, state.inflight_bytes, unsealed)
    };
    if is_stopping {
        let message = "the collector is stopping";
        return Refusal::until(Cause::Stopping, STOPPING_RETRY, message);
    }
    // There is room when what is in flight is durable, or when half of what is not in a batch yet is.
    let committed = retry(shared, inflight, |pressure| pressure.committed);
    let retry = if unsealed > shared.config().listen.inflight_bytes_max.0 {
        committed.max(retry(shared, unsealed / 2, |pressure| pressure.sealed))
    } else {
        committed
    };
    let message = "too much in flight (listen.inflight_bytes_max), or the disk cannot keep up";
    Refusal::until(Cause::Busy, retry, message)
}

fn retry<E: Env>(
    shared: &Shared<E>,
    bytes: u64,
    rate: impl Fn(&Pressure) -> crate::core::pressure::Rate,
) -> Duration {
    let now = shared.now();
    rate(&shared.lock().pressure).retry_after(now, bytes)
}

pub(super) fn count<E: Env>(shared: &Shared<E>, cause: Cause) {
    let outcome = match cause {
        Cause::Busy | Cause::Stopping => Outcome::Memory,
        Cause::Full => Outcome::Full,
        Cause::TooLarge => Outcome::TooLarge,
        Cause::Unauthenticated => Outcome::Unauthorized,
        // Counted where it is stored.
        Cause::DiskFailed => return,
        _ => Outcome::Invalid,
    };
    shared.lock().counters.request(outcome, 1);
}
