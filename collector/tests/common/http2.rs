//! An HTTP/2 client that sees the status, headers and trailers of each answer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use backroom_collector::env::{Env, Executor, OsEnv, OsStream};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, StatusCode,
    body::{Body, Frame},
    client::conn::http2,
};
use hyper_util::rt::{TokioIo, TokioTimer};

/// One HTTP/2 connection.
#[derive(Clone)]
pub struct Http2(http2::SendRequest<Sent>);

/// A body: whole, or all but its end.
#[derive(Debug)]
pub struct Sent(pub Full<Bytes>, pub bool);

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match Pin::new(&mut self.0).poll_frame(cx) {
            Poll::Ready(None) if self.1 => Poll::Pending,
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.1 && self.0.is_end_stream()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub trailers: Option<HeaderMap>,
    pub body: Bytes,
}

impl Http2 {
    pub async fn over(env: &OsEnv, stream: OsStream) -> Self {
        let (sender, connection) = http2::Builder::new(Executor(env.clone()))
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        env.spawn(async move { drop(connection.await) });
        Self(sender)
    }

    pub async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        self.send(path, headers, Sent(Full::new(body.into()), false))
            .await
    }

    pub async fn send(&mut self, path: &str, headers: &[(&str, &str)], body: Sent) -> Reply {
        let mut request = Request::post(format!("http://store{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let (head, body) = self.0.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        Reply {
            status: head.status,
            headers: head.headers,
            trailers: body.trailers().cloned(),
            body: body.to_bytes(),
        }
    }

    /// A gRPC call as every client makes it.
    pub async fn call(&mut self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let always = [("content-type", "application/grpc"), ("te", "trailers")];
        let reply = self
            .post(path, &[&always[..], headers].concat(), body)
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.headers["content-type"], "application/grpc");
        assert_eq!(reply.headers["grpc-accept-encoding"], "identity,gzip,zstd");
        reply
    }
}

impl Reply {
    /// The gRPC status: in the trailers of a success, in the head of an error.
    pub fn grpc_status(&self) -> &str {
        let headers = self.trailers.as_ref().unwrap_or(&self.headers);
        headers["grpc-status"].to_str().unwrap()
    }

    pub fn has_retry_info(&self) -> bool {
        use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
        let details = STANDARD_NO_PAD.decode(&self.headers["grpc-status-details-bin"]);
        let details = details.unwrap();
        let name = b"google.rpc.RetryInfo";
        details.windows(name.len()).any(|part| part == name)
    }
}
