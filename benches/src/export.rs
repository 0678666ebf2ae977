//! Exporters of OTLP on real sockets, one request under way on each connection, over HTTP or gRPC, from one thread.
//!
//! What is sent is prepared beforehand, so that the clock sees sockets and answers only. Next: [`crate::intake`] takes it.

use std::{io, net::SocketAddr, time::Duration};

use backroom_collector::{
    config::Protocol,
    env::{Env as _, Executor, OsEnv, Target, Task},
    otlp::{grpc, response::PROTOBUF},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request as Call,
    client::conn::{http1, http2},
    header::{CONTENT_TYPE, HOST, TE},
};
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;

use crate::requests::Request;

/// Refusals of one request after which something is wrong: the collector refuses while it compresses what came before.
const REFUSALS_MAX: u32 = 10_000;

/// Pause after a refusal.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A request, ready to go.
#[derive(Clone, Debug)]
struct Message {
    url: String,
    body: Bytes,
}

/// Connections and what goes over them.
#[derive(Debug)]
pub struct Exporters {
    env: OsEnv,
    runtime: Runtime,
    connections: Vec<(Sender, Vec<Message>)>,
    authority: String,
}

impl Exporters {
    /// Opens so many connections and deals the requests out to them in turn.
    ///
    /// # Errors
    /// If nobody accepts them.
    pub fn connect(
        address: SocketAddr,
        protocol: Protocol,
        connections: usize,
        requests: &[Request],
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let env = OsEnv::with_root([8; 32]);
        let messages: Vec<Message> = requests
            .iter()
            .map(|request| message(address, protocol, request))
            .collect();
        let senders: io::Result<Vec<Sender>> = runtime.block_on(async {
            let mut senders = Vec::new();
            for _ in 0..connections.max(1) {
                senders.push(connect(&env, address, protocol).await?);
            }
            Ok(senders)
        });
        let senders = senders?;
        let step = senders.len();
        let dealt = senders.into_iter().enumerate().map(|(at, sender)| {
            let mine = messages.iter().skip(at).step_by(step).cloned();
            (sender, mine.collect())
        });
        Ok(Self {
            connections: dealt.collect(),
            authority: address.to_string(),
            env,
            runtime,
        })
    }

    /// Sends every request once and waits until each is acknowledged. What is refused goes again.
    ///
    /// # Errors
    /// If a connection breaks, or a request is refused again and again.
    pub fn round(&mut self) -> io::Result<()> {
        let (env, authority) = (&self.env, &self.authority);
        let connections = std::mem::take(&mut self.connections);
        let done: io::Result<Vec<_>> = self.runtime.block_on(async {
            let tasks: Vec<Task<_>> = connections
                .into_iter()
                .map(|(mut sender, messages)| {
                    let authority = authority.clone();
                    env.spawn(async move {
                        for message in &messages {
                            deliver(&mut sender, &authority, message).await?;
                        }
                        Ok::<_, io::Error>((sender, messages))
                    })
                })
                .collect();
            let mut back = Vec::new();
            for task in tasks {
                let done = task.await;
                back.push(done.ok_or_else(|| io::Error::other("an exporter has died"))??);
            }
            Ok(back)
        });
        self.connections = done?;
        Ok(())
    }
}

fn message(address: SocketAddr, protocol: Protocol, request: &Request) -> Message {
    match protocol {
        Protocol::Grpc => Message {
            url: format!("http://{address}{}", grpc::path(request.signal)),
            body: grpc::frame(&request.body).into(),
        },
        _ => Message {
            url: request.signal.path().to_owned(),
            body: request.body.clone(),
        },
    }
}

async fn connect(env: &OsEnv, address: SocketAddr, protocol: Protocol) -> io::Result<Sender> {
    let target = Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: None,
    };
    let stream = env.connect(&target).await.map_err(io::Error::other)?;
    let stream = TokioIo::new(stream);
    // A connection that ends badly shows in its requests.
    match protocol {
        Protocol::Grpc => {
            let opened = http2::handshake(Executor(env.clone()), stream).await;
            let (sender, connection) = opened.map_err(io::Error::other)?;
            env.spawn(connection);
            Ok(Sender::Http2(sender))
        }
        _ => {
            let opened = http1::handshake(stream).await;
            let (sender, connection) = opened.map_err(io::Error::other)?;
            env.spawn(connection);
            Ok(Sender::Http1(sender))
        }
    }
}

async fn deliver(sender: &mut Sender, authority: &str, message: &Message) -> io::Result<()> {
    for _ in 0..REFUSALS_MAX {
        if is_taken(sender, authority, message).await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(io::Error::other(format!(
        "refused {REFUSALS_MAX} times: {}",
        message.url
    )))
}

async fn is_taken(sender: &mut Sender, authority: &str, message: &Message) -> io::Result<bool> {
    let body = Full::new(message.body.clone());
    let call = Call::post(&message.url);
    let answer = match sender {
        Sender::Http1(sender) => {
            let call = call.header(HOST, authority).header(CONTENT_TYPE, PROTOBUF);
            sender.ready().await.map_err(io::Error::other)?;
            sender
                .send_request(call.body(body).map_err(io::Error::other)?)
                .await
        }
        Sender::Http2(sender) => {
            let call = call.header(CONTENT_TYPE, grpc::CONTENT_TYPE);
            let call = call.header(TE, "trailers");
            sender.ready().await.map_err(io::Error::other)?;
            sender
                .send_request(call.body(body).map_err(io::Error::other)?)
                .await
        }
    };
    let (head, body) = answer.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    Ok(match sender {
        Sender::Http1(_) => head.status.is_success(),
        // The status is in the trailers of a success, and in the head of a refusal.
        Sender::Http2(_) => body
            .trailers()
            .unwrap_or(&head.headers)
            .get("grpc-status")
            .is_some_and(|status| status == "0"),
    })
}
