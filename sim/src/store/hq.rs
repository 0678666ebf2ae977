//! Head office: the sales ledger, payment authorisation, and the OTLP sink, with a capacity, so that a herd hurts.
//!
//! It does not crash in this version, so its state is in memory. New sessions of all services share one gate
//! (`hq.accepts`); bytes that the sink takes in have a budget (`hq.ingest`): beyond it requests wait, and where they would
//! wait too long they are sent away with 503 and Retry-After.

use std::{
    collections::BTreeSet,
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use backroom_collector::{
    core::codec::{self, CodecId, DecompressError},
    env::Env,
};
use bytes::{Buf as _, Bytes};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

use super::{
    Context, HQ_OTLP_PORT, HQ_PAYMENT_PORT, HQ_SYNC_PORT,
    http::{self, answer, read_body},
    orders::Order,
    pace::TokenBucket,
    telemetry::{Runs, Signal, visit_items},
};
use crate::event::{Event, OrderId};

/// Largest request of the ledger and of the payment service.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Largest export, as received and decompressed.
const EXPORT_BYTES_MAX: usize = 64 << 20;

/// Longest wait for the sink's budget; beyond it a request is sent away.
const INGEST_WAIT_MAX: Duration = Duration::from_secs(5);

/// Runs head office until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let now = Instant::now();
    let gate: http::Gate = Arc::new(Mutex::new(TokenBucket::new(
        ctx.scenario.hq.accepts_per_second,
        now,
    )));
    let office = Arc::new(Office {
        ledger: Mutex::default(),
        auth: Mutex::new(ctx.rng("hq-auth", 0)),
        ingest: Mutex::new(TokenBucket::new(
            ctx.scenario.hq.ingest_bytes_per_second,
            now,
        )),
        ctx,
    });
    for service in [Service::Payment, Service::Sync, Service::Otlp] {
        let address = SocketAddr::from(([0, 0, 0, 0], service.port()));
        let listener = office.ctx.env.listen(address).await?;
        let handler = {
            let office = Arc::clone(&office);
            move |request| Arc::clone(&office).serve(service, request)
        };
        let env = office.ctx.env.clone();
        office
            .ctx
            .env
            .spawn(http::serve(env, listener, Arc::clone(&gate), handler));
    }
    pending().await
}

#[derive(Clone, Copy, Debug)]
enum Service {
    Payment,
    Sync,
    Otlp,
}

impl Service {
    fn port(self) -> u16 {
        match self {
            Self::Payment => HQ_PAYMENT_PORT,
            Self::Sync => HQ_SYNC_PORT,
            Self::Otlp => HQ_OTLP_PORT,
        }
    }
}

struct Office<E> {
    ctx: Context<E>,
    ledger: Mutex<BTreeSet<OrderId>>,
    auth: Mutex<ChaCha8Rng>,
    ingest: Mutex<TokenBucket>,
}

type Answered = Response<Full<Bytes>>;

impl<E: Env> Office<E> {
    async fn serve(self: Arc<Self>, service: Service, request: Request<Incoming>) -> Answered {
        match service {
            Service::Payment => self.payment(request).await,
            Service::Sync => self.book(request).await,
            Service::Otlp => self.export(request).await,
        }
    }

    /// Authorises or settles. Both are idempotent by order id: a till that got no answer asks again.
    async fn payment(&self, request: Request<Incoming>) -> Answered {
        let Some(body) = read_body(request.into_body(), REQUEST_BYTES_MAX).await else {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        };
        if Order::decode(&body).is_none() {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        }
        let time = {
            let mut rng = self.auth.lock().expect("nobody panics while holding it");
            self.ctx.scenario.hq.auth.sample_duration(&mut *rng)
        };
        sleep(time).await;
        answer(StatusCode::OK, self.reply("payment.auth"))
    }

    /// Books sales; each order once.
    async fn book(&self, request: Request<Incoming>) -> Answered {
        let Some(body) = read_body(request.into_body(), REQUEST_BYTES_MAX).await else {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        };
        let Some(sales) = decode_batch(&body) else {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        };
        let mut ledger = self.ledger.lock().expect("nobody panics while holding it");
        for order in sales {
            self.ctx.recorder.record(if ledger.insert(order) {
                Event::SaleBooked { order }
            } else {
                Event::SaleRepeated { order }
            });
        }
        drop(ledger);
        answer(StatusCode::OK, self.reply("order.sync"))
    }

    fn reply(&self, msg: &str) -> Bytes {
        let bytes = self.ctx.step(msg).map_or(0, |step| step.reply.0);
        vec![0; usize::try_from(bytes).unwrap_or(0).min(REQUEST_BYTES_MAX)].into()
    }

    /// Takes an export in.
    async fn export(&self, request: Request<Incoming>) -> Answered {
        let Some(signal) = Signal::of_path(request.uri().path()) else {
            return answer(StatusCode::NOT_FOUND, Bytes::new());
        };
        let coding = request.headers().get(CONTENT_ENCODING).cloned();
        let Some(wire) = read_body(request.into_body(), EXPORT_BYTES_MAX).await else {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new());
        };
        let wait = {
            let mut ingest = self.ingest.lock().expect("nobody panics while holding it");
            let now = Instant::now();
            let wait = ingest.wait_for(wire.len() as f64, now);
            if wait <= INGEST_WAIT_MAX {
                ingest.take(wire.len() as f64, now);
            }
            wait
        };
        if wait > INGEST_WAIT_MAX {
            let mut busy = answer(StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
            let seconds = HeaderValue::from(wait.as_secs().clamp(1, 60));
            busy.headers_mut().insert(RETRY_AFTER, seconds);
            return busy;
        }
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let raw = match decompress(coding.as_ref().map(HeaderValue::as_bytes), &wire) {
            Ok(raw) => raw,
            Err(status) => return answer(status, Bytes::new()),
        };
        let mut runs = Runs::default();
        let walked = visit_items(signal, &raw, &mut |id| {
            if let Some(id) = id {
                runs.push(id);
            }
        });
        if walked.is_err() {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        }
        for run in runs.into_vec() {
            self.ctx.recorder.record(Event::TelemetryReceived {
                machine: run.machine,
                first: run.first,
                count: run.count,
            });
        }
        self.ctx.recorder.record(Event::ExportReceived {
            wire_bytes: u32::try_from(wire.len()).unwrap_or(u32::MAX),
            raw_bytes: u32::try_from(raw.len()).unwrap_or(u32::MAX),
        });
        // An empty message: everything was taken.
        let mut done = answer(StatusCode::OK, Bytes::new());
        done.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        done
    }
}

/// The order ids of a batch of sales; `None` if it is malformed.
fn decode_batch(mut body: &[u8]) -> Option<Vec<OrderId>> {
    let mut sales = Vec::new();
    while !body.is_empty() {
        let bytes = body.try_get_u32_le().ok()? as usize;
        if bytes > body.len() {
            return None;
        }
        sales.push(Order::decode(&body[..bytes])?.id);
        body.advance(bytes);
    }
    Some(sales)
}

/// Undoes the content coding; at most [`EXPORT_BYTES_MAX`].
fn decompress(coding: Option<&[u8]>, wire: &Bytes) -> Result<Bytes, StatusCode> {
    let codec = match coding {
        None | Some(b"identity") => return Ok(wire.clone()),
        Some(b"zstd") => CodecId::Zstd,
        Some(b"gzip") => CodecId::Gzip,
        Some(_) => return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    codec::decompress(codec, wire, EXPORT_BYTES_MAX as u64).map_err(|error| match error {
        DecompressError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        DecompressError::Malformed(_) => StatusCode::BAD_REQUEST,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_codings_give_the_same_bytes() {
        let raw = Bytes::from("telemetry ".repeat(1_000));
        let zstd: Bytes = zstd::bulk::compress(&raw, 3).expect("it compresses").into();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&raw).expect("a vector takes anything");
        let gzip: Bytes = gzip.finish().expect("a vector takes anything").into();
        assert_eq!(decompress(None, &raw), Ok(raw.clone()));
        assert_eq!(decompress(Some(b"zstd"), &zstd), Ok(raw.clone()));
        assert_eq!(decompress(Some(b"gzip"), &gzip), Ok(raw.clone()));
        assert_eq!(
            decompress(Some(b"zstd"), &raw),
            Err(StatusCode::BAD_REQUEST)
        );
        assert_eq!(
            decompress(Some(b"br"), &raw),
            Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_batches_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            decode_batch(&bytes);
        }
    }
}
