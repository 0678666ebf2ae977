//! One connection to the target: made when it is needed and kept, one request at a time, over OTLP/HTTP or OTLP/gRPC.
//!
//! Decides what an answer is worth: acknowledged, refused, or none. Nothing is sent twice: a request that broke off may have arrived,
//! and counts as unanswered. An answer that is not OTLP is a refusal, whatever its status: a captive portal also says 200.

use std::time::Duration;

use backroom_collector::{
    config::Codec,
    core::codec::{self, CodecId},
    env::{Env as _, Executor, OsEnv},
    otlp::{
        Signal as Wire,
        grpc::{self, code_name},
        response::{PROTOBUF, parse_response},
    },
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use super::endpoint::Endpoint;
use crate::store::telemetry::Signal;

/// Answers are read to this size: those of OTLP are short.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Acknowledged; so many of its items were rejected all the same.
    Acked {
        /// `partial_success`.
        rejected: u64,
    },
    /// The target said no; its status.
    Refused(String),
    /// It was never sent: there is no connection.
    Unreachable(String),
    /// It was sent, and no whole answer came.
    Unanswered(String),
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A request as it goes out.
pub(super) struct Message {
    /// Which path it goes to.
    pub(super) signal: Signal,
    /// The body, compressed and framed.
    pub(super) body: Bytes,
}

/// How every request of a load is sent.
#[derive(Clone, Debug)]
pub(super) struct Road {
    pub(super) endpoint: Endpoint,
    pub(super) codec: Codec,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// For connecting, and from sending to the end of the answer.
    pub(super) limit: Duration,
}

impl Road {
    /// Compresses and frames an export request.
    pub(super) fn message(&self, signal: Signal, raw: Vec<u8>) -> Message {
        let raw = Bytes::from(raw);
        let body = match self.codec {
            Codec::None => raw,
            codec => codec::compress(codec, &[raw]),
        };
        let body = match self.endpoint.is_grpc {
            false => body,
            true => grpc::frame_of(&body, self.codec != Codec::None).into(),
        };
        Message { signal, body }
    }

    fn request(&self, message: &Message) -> Result<Request<Full<Bytes>>, String> {
        let endpoint = &self.endpoint;
        let encoding = CodecId::from(self.codec).content_encoding();
        let mut request = match endpoint.is_grpc {
            false => {
                let path = format!("{}{}", endpoint.prefix, message.signal.path());
                let request = Request::post(path)
                    .header(HOST, &endpoint.authority)
                    .header(CONTENT_TYPE, PROTOBUF);
                match encoding {
                    None => request,
                    Some(encoding) => request.header(CONTENT_ENCODING, encoding),
                }
            }
            true => {
                let scheme = if endpoint.target.tls.is_some() {
                    "https"
                } else {
                    "http"
                };
                let signal = Wire::from_path(message.signal.path()).expect("the same paths");
                let url = format!("{scheme}://{}{}", endpoint.authority, grpc::path(signal));
                let request = Request::post(url)
                    .header(CONTENT_TYPE, grpc::CONTENT_TYPE)
                    .header(TE, "trailers")
                    .header("grpc-timeout", grpc::timeout_text(self.limit));
                match encoding {
                    None => request,
                    Some(encoding) => request.header("grpc-encoding", encoding),
                }
            }
        };
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(message.body.clone()))
            .map_err(|error| error.to_string())
    }

    /// Opens a connection, to see whether somebody listens there.
    pub(super) async fn probe(&self, env: &OsEnv) -> Result<(), String> {
        self.connect(env).await.map(drop)
    }

    async fn connect(&self, env: &OsEnv) -> Result<Sender, String> {
        let opened = async {
            let stream = env.connect(&self.endpoint.target).await;
            let stream = TokioIo::new(stream.map_err(|error| error.to_string())?);
            match self.endpoint.is_grpc {
                false => {
                    let (sender, connection) = http1::handshake(stream)
                        .await
                        .map_err(|error| error.to_string())?;
                    // Its errors reach whoever waits for an answer.
                    env.spawn(async move { drop(connection.await) });
                    Ok(Sender::Http1(sender))
                }
                true => {
                    let (sender, connection) = http2::Builder::new(Executor(env.clone()))
                        .timer(TokioTimer::new())
                        .handshake(stream)
                        .await
                        .map_err(|error| error.to_string())?;
                    env.spawn(async move { drop(connection.await) });
                    Ok(Sender::Http2(sender))
                }
            }
        };
        timeout(self.limit, opened)
            .await
            .unwrap_or_else(|_| Err("connect: no answer".into()))
    }
}

/// One connection.
pub(super) struct Connection {
    env: OsEnv,
    road: Road,
    open: Option<Sender>,
}

impl Connection {
    pub(super) fn new(env: OsEnv, road: Road) -> Self {
        Self {
            env,
            road,
            open: None,
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn send(&mut self, message: &Message) -> Answer {
        let request = match self.road.request(message) {
            Ok(request) => request,
            Err(error) => return Answer::Unreachable(error),
        };
        let mut sender = match self.ready().await {
            Ok(sender) => sender,
            Err(error) => return Answer::Unreachable(error),
        };
        let asked = async {
            let answer = match &mut sender {
                Sender::Http1(sender) => sender.send_request(request).await,
                Sender::Http2(sender) => sender.send_request(request).await,
            };
            read(answer?).await
        };
        let limit = self.road.limit;
        match timeout(limit, asked).await {
            Err(_) => Answer::Unanswered(format!("no answer in {}s", limit.as_secs_f64())),
            Ok(Err(error)) => Answer::Unanswered(with_source(&error)),
            Ok(Ok((status, headers, body))) => {
                // Kept only after a whole exchange.
                self.open = Some(sender);
                match self.road.endpoint.is_grpc {
                    false => of_http(status, &headers, body.as_deref()),
                    true => of_grpc(status, &headers, body.as_deref()),
                }
            }
        }
    }

    /// A connection that takes a request: the kept one, unless it was closed meanwhile.
    async fn ready(&mut self) -> Result<Sender, String> {
        if let Some(mut kept) = self.open.take() {
            let is_ready = timeout(self.road.limit, async {
                match &mut kept {
                    Sender::Http1(sender) => sender.ready().await.is_ok(),
                    Sender::Http2(sender) => sender.ready().await.is_ok(),
                }
            });
            if is_ready.await == Ok(true) {
                return Ok(kept);
            }
        }
        self.road.connect(&self.env).await
    }
}

/// Status, headers with trailers, and the body; `None` for one that is too long to be OTLP's.
async fn read(answer: Response<Incoming>) -> hyper::Result<(u16, HeaderMap, Option<Bytes>)> {
    let (head, body) = answer.into_parts();
    let mut headers = head.headers;
    let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => {
            if let Some(trailers) = body.trailers() {
                headers.extend(trailers.clone());
            }
            Some(body.to_bytes())
        }
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => return Err(*error),
            Err(_) => None,
        },
    };
    Ok((head.status.as_u16(), headers, body))
}

fn with_source(error: &hyper::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn of_http(status: u16, headers: &HeaderMap, body: Option<&[u8]>) -> Answer {
    if !(200..300).contains(&status) {
        return Answer::Refused(status.to_string());
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .map(|kind| kind.to_str().unwrap_or(""));
    match body.and_then(|body| parse_response(kind, body)) {
        Some(accepted) => Answer::Acked {
            rejected: accepted.rejected,
        },
        None => Answer::Refused(format!("{status} without an OTLP response")),
    }
}

fn of_grpc(status: u16, headers: &HeaderMap, body: Option<&[u8]>) -> Answer {
    let code = headers
        .get("grpc-status")
        .and_then(|code| code.to_str().ok());
    match code.and_then(|code| code.trim().parse::<u32>().ok()) {
        None => Answer::Refused(format!("HTTP {status} without a grpc-status")),
        Some(0) => {
            let message = body.filter(|body| grpc::read_frame(body) == Ok(false));
            let message = message.map(|body| &body[grpc::FRAME_HEAD_BYTES..]);
            match message.and_then(|message| parse_response(Some(PROTOBUF), message)) {
                Some(accepted) => Answer::Acked {
                    rejected: accepted.rejected,
                },
                None => Answer::Refused("OK without an OTLP response".into()),
            }
        }
        Some(code) => Answer::Refused(code_name(code).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn only_otlp_acknowledges() {
        let check = |status, list: &[_], body: &[u8], expect: &str| {
            let found = match of_http(status, &headers(list), Some(body)) {
                Answer::Acked { rejected } => format!("acked {rejected}"),
                Answer::Refused(why) => why,
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expect);
        };
        let kind = ("content-type", "application/x-protobuf");
        check(200, &[kind], b"", "acked 0");
        // partial_success { rejected = 3 }
        check(200, &[kind], &[10, 2, 8, 3], "acked 3");
        check(200, &[], b"", "acked 0");
        check(
            200,
            &[("content-type", "text/html")],
            b"<html>",
            "200 without an OTLP response",
        );
        check(200, &[kind], b"\xff", "200 without an OTLP response");
        check(429, &[kind], b"", "429");
        check(302, &[], b"", "302");
    }

    #[test]
    fn only_a_status_and_a_message_acknowledge_over_grpc() {
        let check = |list: &[_], body: &[u8], expect: &str| {
            let found = match of_grpc(200, &headers(list), Some(body)) {
                Answer::Acked { rejected } => format!("acked {rejected}"),
                Answer::Refused(why) => why,
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expect);
        };
        let code = |code| [("grpc-status", code)];
        check(&code("0"), &grpc::frame(b""), "acked 0");
        check(&code("0"), &grpc::frame(&[10, 2, 8, 3]), "acked 3");
        check(&code("0"), b"", "OK without an OTLP response");
        check(&code("14"), b"", "UNAVAILABLE");
        check(&code("8"), b"", "RESOURCE_EXHAUSTED");
        check(&code("x"), b"", "HTTP 200 without a grpc-status");
        check(&[], b"<html>", "HTTP 200 without a grpc-status");
    }
}
