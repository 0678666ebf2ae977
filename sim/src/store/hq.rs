//! Head office: the sales ledger, payment authorisation, and the OTLP sink, with a capacity, so that a herd hurts.
//!
//! It does not crash in this version, so its state is in memory. New sessions of all services share one gate
//! (`hq.accepts`); bytes that the sink takes in have a budget (`hq.ingest`): beyond it requests wait, and where they would
//! wait too long they are sent away with 503 and Retry-After.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use backroom_collector::{
    core::codec::{self, CodecId, DecompressError},
    env::Env,
    otlp::{
        self,
        grpc::{self, Method},
        json,
        response::{Code, Status},
    },
};
use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER},
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

use super::{
    Context, HQ_OTLP_GRPC_PORT, HQ_OTLP_PORT, HQ_PAYMENT_PORT, HQ_SYNC_PORT,
    http::{self, Road, answer, read_body},
    orders::Order,
    pace::TokenBucket,
    publisher,
    telemetry::{Runs, Signal, visit_items},
};
use crate::{
    event::{Event, OrderId},
    fault::hq_reject::Service,
};

/// Largest request of the ledger and of the payment service.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Largest export, as received and decompressed.
pub(crate) const EXPORT_BYTES_MAX: usize = 64 << 20;

/// Longest wait for the sink's budget; beyond it a request is sent away.
const INGEST_WAIT_MAX: Duration = Duration::from_secs(5);

/// Runs head office until it is aborted.
pub(super) async fn run<E: Env>(ctx: Context<E>) -> io::Result<()> {
    let now = Instant::now();
    let gate = http::Gate::new(&ctx.scenario.hq, ctx.recorder.clone());
    let office = Arc::new(Office {
        ledger: Mutex::default(),
        refuse: Mutex::new(ctx.rng("hq-refuse", 0)),
        ingest: Mutex::new(TokenBucket::new(
            ctx.scenario.hq.ingest_bytes_per_second,
            now,
        )),
        ctx,
    });
    let env = &office.ctx.env;
    for (service, port) in [
        (Service::Payment, HQ_PAYMENT_PORT),
        (Service::Sync, HQ_SYNC_PORT),
        (Service::Telemetry, HQ_OTLP_PORT),
    ] {
        let listener = env.listen(SocketAddr::from(([0, 0, 0, 0], port))).await?;
        let handler = {
            let office = Arc::clone(&office);
            move |request| Arc::clone(&office).serve(service, request)
        };
        let gate = gate.clone();
        env.spawn(http::serve(
            env.clone(),
            listener,
            Road::Http1,
            gate,
            handler,
        ));
    }
    let address = SocketAddr::from(([0, 0, 0, 0], HQ_OTLP_GRPC_PORT));
    let listener = env.listen(address).await?;
    let handler = {
        let office = Arc::clone(&office);
        move |request| Arc::clone(&office).serve_grpc(request)
    };
    env.spawn(http::serve(
        env.clone(),
        listener,
        Road::Http2,
        gate.clone(),
        handler,
    ));
    let refuse = {
        let office = Arc::clone(&office);
        Arc::new(move || office.refuse(Service::Catalog))
    };
    publisher::start(&office.ctx, &gate, refuse).await?;
    pending().await
}

struct Office<E> {
    ctx: Context<E>,
    ledger: Mutex<BTreeSet<OrderId>>,
    ingest: Mutex<TokenBucket>,
    refuse: Mutex<ChaCha8Rng>,
}

type Answered = Response<Full<Bytes>>;

/// What came of an export.
enum Export {
    Taken,
    /// The budget is used up for so many seconds.
    Busy(u64),
    /// A status of HTTP and a code of gRPC.
    Refused(StatusCode, Code),
}

impl<E: Env> Office<E> {
    async fn serve(self: Arc<Self>, service: Service, request: Request<Incoming>) -> Answered {
        if let Some(page) = self.refuse(service) {
            return page;
        }
        match service {
            Service::Payment => self.payment(request).await,
            Service::Sync => self.book(request).await,
            Service::Telemetry => self.export(request).await,
            Service::Catalog => answer(StatusCode::NOT_FOUND, Bytes::new()),
        }
    }

    /// The page of whatever refuses, while a fault says so.
    fn refuse(&self, service: Service) -> Option<Answered> {
        let rule = {
            let mut rng = self.refuse.lock().expect("nobody panics while holding it");
            self.ctx.refusals.ask(service, &mut *rng)
        };
        // What a portal answers has not reached head office.
        let arrived = rule.as_ref().is_none_or(|rule| rule.link.is_none());
        if arrived && service == Service::Telemetry {
            self.ctx.recorder.record(Event::ExportRequested);
        }
        let rule = rule?;
        let status = StatusCode::from_u16(rule.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut page = answer(status, Bytes::from_static(b"<html>not now</html>"));
        let kind = HeaderValue::from_static("text/html");
        page.headers_mut().insert(CONTENT_TYPE, kind);
        if status.is_redirection() {
            let login = HeaderValue::from_static("http://login.example/");
            page.headers_mut().insert(LOCATION, login);
        }
        if let Some(wait) = rule.retry_after {
            let seconds = HeaderValue::from(wait.as_secs());
            page.headers_mut().insert(RETRY_AFTER, seconds);
        }
        Some(page)
    }

    /// Authorises, settles, or takes an advice. All are idempotent by order id: a till that got no answer asks again.
    async fn payment(&self, request: Request<Incoming>) -> Answered {
        let Some(body) = read_body(request.into_body(), REQUEST_BYTES_MAX).await else {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        };
        let Some(order) = Order::decode(&body) else {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        };
        // By order, not by turn: two payments that change places must not change their times, or nobody could compare a run
        // with another one in which the line was busier.
        let mut rng = self.ctx.rng(&format!("hq-auth/{}", order.id), 0);
        let slow = self.ctx.refusals.slow_auth();
        let auth = slow.as_ref().unwrap_or(&self.ctx.scenario.hq.auth);
        let time = auth.sample_duration(&mut rng);
        sleep(time).await;
        let declines = self.ctx.scenario.hq.declines;
        // The same answer whenever it is asked, and however: a declined payment is not approved as an advice.
        let mut rng = self.ctx.rng(&format!("hq-declines/{}", order.id), 0);
        if declines > 0.0 && rng.random::<f64>() < declines {
            return answer(StatusCode::PAYMENT_REQUIRED, Bytes::new());
        }
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

    /// Answers an export over HTTP.
    async fn export(&self, request: Request<Incoming>) -> Answered {
        let Some(signal) = Signal::of_path(request.uri().path()) else {
            return answer(StatusCode::NOT_FOUND, Bytes::new());
        };
        let kind = request.headers().get(CONTENT_TYPE).cloned();
        let is_json = kind.as_ref().is_some_and(|kind| kind == "application/json");
        let coding = request.headers().get(CONTENT_ENCODING).cloned();
        let Some(wire) = read_body(request.into_body(), EXPORT_BYTES_MAX).await else {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new());
        };
        let coding = coding.as_ref().map(HeaderValue::as_bytes);
        match self.take(signal, coding, &wire, is_json).await {
            Export::Taken => {
                // An empty message: everything was taken.
                let empty: &[u8] = if is_json { b"{}" } else { b"" };
                let mut done = answer(StatusCode::OK, Bytes::from_static(empty));
                let kind = kind.unwrap_or(HeaderValue::from_static("application/x-protobuf"));
                done.headers_mut().insert(CONTENT_TYPE, kind);
                done
            }
            Export::Busy(wait) => {
                let mut busy = answer(StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
                busy.headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from(wait));
                busy
            }
            Export::Refused(status, _) => answer(status, Bytes::new()),
        }
    }

    /// Answers an export over gRPC.
    async fn serve_grpc(self: Arc<Self>, request: Request<Incoming>) -> Response<GrpcBody> {
        if let Some(page) = self.refuse(Service::Telemetry) {
            return page.map(|body| body.boxed_unsync());
        }
        let signal = match grpc::method(request.uri().path()) {
            Method::Export(signal) => Signal::of_path(signal.path()),
            Method::Profiles | Method::Unknown => None,
        };
        let Some(signal) = signal else {
            return grpc_error(Code::Unimplemented, None);
        };
        let coding = request.headers().get("grpc-encoding").cloned();
        let body = read_body(request.into_body(), EXPORT_BYTES_MAX).await;
        let Some(body) = body.filter(|body| grpc::read_frame(body).is_ok()) else {
            return grpc_error(Code::ResourceExhausted, None);
        };
        let wire = body.slice(grpc::FRAME_HEAD_BYTES..);
        let coding = coding.as_ref().map(HeaderValue::as_bytes);
        match self.take(signal, coding, &wire, false).await {
            Export::Taken => grpc_ok(),
            Export::Busy(wait) => grpc_error(Code::Unavailable, Some(wait)),
            Export::Refused(_, code) => grpc_error(code, None),
        }
    }

    /// Takes an export in.
    async fn take(
        &self,
        signal: Signal,
        coding: Option<&[u8]>,
        wire: &Bytes,
        is_json: bool,
    ) -> Export {
        let wait = {
            let mut ingest = self.ingest.lock().expect("nobody panics while holding it");
            let now = Instant::now();
            let declared = self.ctx.scenario.hq.ingest_bytes_per_second;
            let rate = self.ctx.refusals.slow_ingest().unwrap_or(declared);
            ingest.set_rate(rate, now);
            let wait = ingest.wait_for(wire.len() as f64, now);
            if wait <= INGEST_WAIT_MAX {
                ingest.take(wire.len() as f64, now);
            }
            wait
        };
        if wait > INGEST_WAIT_MAX {
            return Export::Busy(wait.as_secs().clamp(1, 60));
        }
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let raw = match decompress(coding, wire) {
            Ok(raw) => raw,
            Err(StatusCode::UNSUPPORTED_MEDIA_TYPE) => {
                return Export::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented);
            }
            Err(status) => return Export::Refused(status, Code::InvalidArgument),
        };
        let malformed = Export::Refused(StatusCode::BAD_REQUEST, Code::InvalidArgument);
        let raw = match is_json {
            false => raw,
            true => {
                let signal = otlp::Signal::from_path(signal.path()).expect("the same paths");
                match json::from_json(signal, &raw, EXPORT_BYTES_MAX) {
                    Ok(raw) => raw.into(),
                    Err(_) => return malformed,
                }
            }
        };
        let mut runs = Runs::default();
        let walked = visit_items(signal, &raw, &mut |id| {
            if let Some(id) = id {
                runs.push(id);
            }
        });
        if walked.is_err() {
            return malformed;
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
        Export::Taken
    }
}

pub(crate) type GrpcBody = UnsyncBoxBody<Bytes, Infallible>;

/// The complete success: an empty message, and status 0 behind it.
pub(crate) fn grpc_ok() -> Response<GrpcBody> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = Full::new(Bytes::from(grpc::frame(&[])));
    let trailers = std::future::ready(Some(Ok(trailers)));
    grpc_answer(message.with_trailers(trailers).boxed_unsync())
}

/// An error, in one block of headers.
pub(crate) fn grpc_error(code: Code, wait: Option<u64>) -> Response<GrpcBody> {
    let mut refused = grpc_answer(Full::default().boxed_unsync());
    let headers = refused.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code as u32));
    if let Some(wait) = wait {
        let mut status = Status::new(code, "busy");
        status.retry = Some(Duration::from_secs(wait));
        let details = grpc::binary_header(&status.to_protobuf());
        let details = HeaderValue::try_from(details).expect("base64");
        headers.insert("grpc-status-details-bin", details);
    }
    refused
}

fn grpc_answer(body: GrpcBody) -> Response<GrpcBody> {
    let mut done = Response::new(body);
    let kind = HeaderValue::from_static(grpc::CONTENT_TYPE);
    done.headers_mut().insert(CONTENT_TYPE, kind);
    done
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
pub(crate) fn decompress(coding: Option<&[u8]>, wire: &Bytes) -> Result<Bytes, StatusCode> {
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
