//! The receiver over gRPC: the same records and the same decisions, on HTTP/2.

use std::{collections::BTreeMap, convert::Infallible, future::ready};

use backroom_collector::{
    core::{
        codec::{CodecId, decompress},
        range::ItemRange,
    },
    env::{Env, Executor, Listener, OsListener, OsStream},
    otlp::grpc::{self, Method},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{Received, Reply, Sink};

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Sink {
    /// Starts to listen for gRPC.
    pub async fn listen_grpc(&self) {
        let listener = self.env.listen(self.address).await;
        self.accept_grpc(listener.expect("the port is free"));
    }

    /// A receiver over gRPC that takes everything.
    pub async fn open_grpc(env: &backroom_collector::env::OsEnv) -> Self {
        let sink = Self::closed(env).await;
        sink.listen_grpc().await;
        sink
    }

    pub fn accept_grpc(&self, mut listener: OsListener) {
        let sink = self.clone();
        let task = self.env.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *sink.connections.lock().unwrap() += 1;
                let connection = sink.clone();
                sink.env
                    .spawn(async move { connection.serve_grpc(stream).await });
            }
        });
        self.accepting.lock().unwrap().push(task.abort_handle());
    }

    async fn serve_grpc(&self, stream: OsStream) {
        let sink = self.clone();
        let service = service_fn(move |request| {
            let sink = sink.clone();
            async move { sink.answer_grpc(request).await }
        });
        let connection = http2::Builder::new(Executor(self.env.clone()))
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            () = self.leave.notified() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    /// Every connection says GOAWAY, and ends.
    pub fn go_away(&self) {
        self.leave.notify_waiters();
    }

    /// An error resets the stream.
    async fn answer_grpc(&self, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a whole request").to_bytes();
        let headers: BTreeMap<String, String> = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let encoding = headers.get("grpc-encoding").map_or("", String::as_str);
        let codec = CodecId::from_content_encoding(encoding).expect("a known encoding");
        let is_compressed = grpc::read_frame(&body).expect("one message");
        assert_eq!(is_compressed, codec != CodecId::None, "flag and encoding");
        let Method::Export(signal) = grpc::method(head.uri.path()) else {
            panic!("{} is no method of OTLP", head.uri.path());
        };
        let message = &body[grpc::FRAME_HEAD_BYTES..];
        let is_probe = !headers.contains_key("x-backroom-batch");
        let nobody = format!("{:016x}-0-{signal}-0-0", 0);
        let range = headers.get("x-backroom-batch").unwrap_or(&nobody);
        let mut received = Received {
            signal,
            range: ItemRange::parse(signal, range).expect("a range"),
            codec,
            headers,
            body: decompress(codec, message, 1 << 30)
                .expect("it decompresses")
                .to_vec(),
            was_taken: false,
        };
        let index = self.received.borrow().len();
        let reply = (self.decide.lock().unwrap())(index, &received);
        received.was_taken = matches!(reply, Reply::Take | Reply::TakeAndCut | Reply::Partial(_));
        if !is_probe {
            self.received.send_modify(|all| all.push(received));
        }
        match reply {
            Reply::Cut | Reply::TakeAndCut => Err(std::io::ErrorKind::ConnectionReset.into()),
            Reply::Take => Ok(ok(&[])),
            Reply::Partial(rejected) => {
                let inner = [&[0x08, rejected as u8][..], b"\x12\x03why"].concat();
                Ok(ok(&[&[0x0a, inner.len() as u8][..], &inner].concat()))
            }
            Reply::Refuse(code, message) => Ok(error(&[
                ("grpc-status", &code.to_string()),
                ("grpc-message", &grpc::percent_encode(message)),
            ])),
            Reply::Trailers(headers) => {
                let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
                Ok(error(&headers))
            }
            Reply::Raw(head, body) => Ok(raw(&head, body)),
        }
    }
}

fn ok(message: &[u8]) -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(grpc::frame(message)));
    let body = body.with_trailers(ready(Some(Ok(trailers)))).boxed();
    let mut answer = Response::new(body);
    let kind = HeaderValue::from_static(grpc::CONTENT_TYPE);
    answer.headers_mut().insert("content-type", kind);
    answer
}

/// An error in one block of headers.
fn error(headers: &[(&str, &str)]) -> Answer {
    let mut answer = Response::new(Full::default().boxed());
    let kind = ("content-type", grpc::CONTENT_TYPE);
    for (name, value) in [&[kind], headers].concat() {
        let name: HeaderName = name.parse().unwrap();
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

/// What something else than a gRPC server says: `503 Busy` and lines of headers.
fn raw(head: &str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed());
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').next().unwrap();
    *answer.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: HeaderName = name.parse().unwrap();
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}
