//! The same load over OTLP/gRPC: unary calls, one after another, on one HTTP/2 connection.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Sends call after call until `end`; returns the latencies of those taken, and how many were not.
pub(crate) fn send(
    address: &str,
    bodies: &[Vec<u8>],
    end: Instant,
) -> io::Result<(Vec<Duration>, u64)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(calls(address, bodies, end))
}

async fn calls(
    address: &str,
    bodies: &[Vec<u8>],
    end: Instant,
) -> io::Result<(Vec<Duration>, u64)> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let url = format!("http://{address}{METHOD}");
    let messages: Vec<Bytes> = bodies.iter().map(|body| frame(body)).collect();
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for message in messages.iter().cycle() {
        let before = Instant::now();
        if before >= end {
            break;
        }
        let request = Request::post(&url)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(message.clone()))
            .map_err(io::Error::other)?;
        let answer = sender.send_request(request).await;
        let (head, body) = answer.map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?;
        // The status is in the trailers of a success, and in the head of an error.
        let trailers = body.trailers().unwrap_or(&head.headers);
        if trailers
            .get("grpc-status")
            .is_some_and(|status| status == "0")
        {
            latencies.push(before.elapsed());
        } else {
            refused += 1;
        }
    }
    Ok((latencies, refused))
}

/// A message behind its head: not compressed, its length.
fn frame(body: &[u8]) -> Bytes {
    let length = body.len() as u32;
    [&[0][..], &length.to_be_bytes(), body].concat().into()
}
