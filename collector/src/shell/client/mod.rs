//! One request to the destination: the connections that are kept between requests, the answer or why there is none.
//!
//! HTTP/1.1 has one connection for each [`Client`], gRPC shares its connections (`channel`). What an answer means is decided in
//! `core::verdict`, when to try again in `core::destination`. The parts: `destination` (where to, and the requests' heads),
//! `token` (what it wants to see), `proxy` (the way), `channel` (HTTP/2), `answer`.

mod answer;
mod body;
mod channel;
mod destination;
mod proxy;
mod token;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

pub(super) use answer::{Answered, judge_parts};
pub(super) use body::{Given, Line, Pace, RequestBody};
use channel::Channel;
pub(super) use destination::Destination;
pub use destination::request_wire_bytes;
use proxy::Proxy;

use crate::{
    config::Protocol,
    env::{ConnectError, Env, Task},
};

/// Longest time for name, TCP and TLS: a dead line is noticed sooner than a slow answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What came of a request.
#[derive(Debug)]
pub(super) enum Sent {
    /// The peer answered.
    Answer(Answered),
    /// No answer, and why.
    Nothing {
        reason: String,
        /// The connection stood, and the answer did not come in time.
        is_slow: bool,
        /// Whether trying again soon is pointless.
        suspend: bool,
    },
}

impl Sent {
    fn nothing(reason: String) -> Self {
        Self::Nothing {
            reason,
            is_slow: false,
            suspend: false,
        }
    }

    fn late(timeout: Duration) -> Self {
        Self::Nothing {
            reason: format!("no answer within {timeout:?}"),
            is_slow: true,
            suspend: false,
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
struct Unconnected {
    reason: String,
    /// Whether trying again soon is pointless.
    suspend: bool,
}

impl Unconnected {
    fn new(reason: String) -> Self {
        Self {
            reason,
            suspend: false,
        }
    }
}

impl From<ConnectError> for Unconnected {
    fn from(error: ConnectError) -> Self {
        Self {
            // Somebody else answers: that does not change within seconds.
            suspend: matches!(error, ConnectError::CertificateName { .. }),
            reason: error.to_string(),
        }
    }
}

impl From<Unconnected> for Sent {
    fn from(Unconnected { reason, suspend }: Unconnected) -> Self {
        Self::Nothing {
            reason,
            is_slow: false,
            suspend,
        }
    }
}

/// Sends requests to one destination, one at a time.
pub(super) struct Client<E> {
    env: E,
    destination: Arc<Destination>,
    /// A connection of HTTP/1.1 that is kept from request to request.
    open: Option<(SendRequest<RequestBody>, Driver)>,
    /// The line that it was opened on.
    route: u64,
}

/// The task that moves a connection's bytes; it ends with the connection, and so does a request that is given up.
struct Driver(Task<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<E: Env> Client<E> {
    pub(super) fn new(env: E, destination: Arc<Destination>) -> Self {
        Self {
            env,
            destination,
            open: None,
            route: 0,
        }
    }

    /// Requests go over this line from now on, a number that grows when another one takes over. A kept connection stays with the line
    /// that it was opened on, for as long as that lives: it is closed, over HTTP/2 when the requests under way have ended.
    pub(super) fn go_by(&mut self, route: u64) {
        if self.route != route {
            self.route = route;
            self.open = None;
            self.destination.channels.leave(route);
        }
    }

    /// Sends a request and reads the answer, `timeout` for all of it. Calls `sending` before it sends on an open connection,
    /// with whether it does so again, because the kept connection turned out to be closed.
    pub(super) async fn send(
        &mut self,
        make: impl Fn() -> Request<RequestBody> + Send,
        timeout: Duration,
        sending: impl Fn(bool) + Send,
    ) -> Sent {
        let destination = self.destination.clone();
        if let Some(token) = &destination.token
            && let Err(reason) = token.refresh(&self.env).await
        {
            let suspend = true;
            return Unconnected { reason, suspend }.into();
        }
        let sent = match destination.protocol {
            Protocol::Grpc => self.call(make, timeout, sending).await,
            Protocol::HttpProtobuf | Protocol::HttpJson => self.post(make, timeout, sending).await,
        };
        if let (Some(token), Sent::Answer(answer)) = (&destination.token, &sent)
            && answer.is_unauthenticated()
        {
            token.refused();
        }
        sent
    }

    /// Over HTTP/1.1.
    async fn post(
        &mut self,
        make: impl Fn() -> Request<RequestBody> + Send,
        timeout: Duration,
        sending: impl Fn(bool) + Send,
    ) -> Sent {
        let deadline = Instant::now() + timeout;
        let mut is_again = false;
        loop {
            let is_kept = self.is_open();
            if !is_kept && let Err(error) = self.open(timeout).await {
                return error.into();
            }
            let Some((sender, driver)) = self.open.take() else {
                unreachable!("opened above");
            };
            sending(is_again);
            match tokio::time::timeout_at(deadline, exchange(sender, make())).await {
                Ok(Ok((sender, answer))) => {
                    self.open = sender.map(|sender| (sender, driver));
                    return Sent::Answer(answer);
                }
                // A server closes idle connections when it likes; that says nothing about the path.
                Ok(Err(_)) if is_kept => is_again = true,
                Ok(Err(error)) => return Sent::nothing(with_sources(&error)),
                Err(_) => return Sent::late(timeout),
            }
        }
    }

    /// Over HTTP/2, with others on the same connection.
    async fn call(
        &self,
        make: impl Fn() -> Request<RequestBody> + Send,
        timeout: Duration,
        sending: impl Fn(bool) + Send,
    ) -> Sent {
        let deadline = Instant::now() + timeout;
        let channels = &self.destination.channels;
        let mut is_again = false;
        loop {
            let kept = channels.pick().filter(|_| !is_again);
            let is_kept = kept.is_some();
            let channel = match kept {
                Some(channel) => channel,
                None => match self.channel(timeout).await {
                    Ok(channel) => channel,
                    Err(error) => return error.into(),
                },
            };
            sending(is_again);
            match tokio::time::timeout_at(deadline, channel.exchange(make())).await {
                Ok(Ok(answer)) => return Sent::Answer(answer),
                Ok(Err(error)) => {
                    // A fresh one on which a stream was reset may serve the next request; a kept one had its chance.
                    if is_kept || channel.is_closed() {
                        channels.retire(&channel);
                    }
                    if !is_kept {
                        return Sent::nothing(with_sources(&error));
                    }
                    is_again = true;
                }
                Err(_) => {
                    channels.retire(&channel);
                    return Sent::late(timeout);
                }
            }
        }
    }

    /// Sends a request to a path without a body (over gRPC an empty message) on a connection of its own, and gives the answer, its
    /// trailers among the headers; `timeout` for all of it. One of more than `bytes_max` is an error if it `must_be_whole`, and
    /// otherwise cut.
    pub(super) async fn fetch(
        &mut self,
        method: Method,
        path: &str,
        timeout: Duration,
        (bytes_max, must_be_whole): (usize, bool),
    ) -> Result<Response<Bytes>, String> {
        let words = |error: hyper::Error| with_sources(&error);
        let answer = async {
            if let Some(token) = &self.destination.token {
                token.refresh(&self.env).await?;
            }
            let request = self.destination.bare(method, path);
            let (answer, _connection) = if self.destination.protocol == Protocol::Grpc {
                let channel = self.channel(timeout).await.map_err(|error| error.reason)?;
                let answer = channel.ask(request).await.map_err(words)?;
                (answer, Connection::Http2(channel))
            } else {
                self.open(timeout).await.map_err(|error| error.reason)?;
                let Some((mut sender, driver)) = self.open.take() else {
                    unreachable!("opened above");
                };
                sender.ready().await.map_err(words)?;
                let answer = sender.send_request(request).await.map_err(words)?;
                (answer, Connection::Http1(sender, driver))
            };
            let (mut head, mut body) = answer.into_parts();
            let mut read = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(words)?;
                match frame.into_data() {
                    Ok(data) => read.extend_from_slice(&data),
                    Err(frame) => head
                        .headers
                        .extend(frame.into_trailers().unwrap_or_default()),
                }
                if read.len() > bytes_max {
                    if must_be_whole {
                        return Err(format!("the answer is longer than {bytes_max} bytes"));
                    }
                    read.truncate(bytes_max);
                    break;
                }
            }
            Ok(Response::from_parts(head, read.into()))
        };
        match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {timeout:?}")),
        }
    }

    /// Whether the next request finds a connection that stands.
    pub(super) fn is_connected(&self) -> bool {
        match self.destination.protocol {
            Protocol::Grpc => self.destination.channels.pick().is_some(),
            Protocol::HttpProtobuf | Protocol::HttpJson => self.is_open(),
        }
    }

    fn is_open(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|(sender, _)| !sender.is_closed())
    }

    /// Opens a connection for HTTP/1.1.
    async fn open(&mut self, timeout: Duration) -> Result<(), Unconnected> {
        self.open = None;
        let (stream, limit) = self.connect(timeout).await?;
        let handshake = http1::handshake(TokioIo::new(stream));
        let (sender, connection) = match tokio::time::timeout_at(limit, handshake).await {
            Ok(Ok(open)) => open,
            Ok(Err(error)) => return Err(Unconnected::new(with_sources(&error))),
            Err(_) => return Err(unanswered(timeout)),
        };
        let task = self.env.spawn(async move {
            // Its errors reach the request that is under way.
            let _ = connection.await;
        });
        self.open = Some((sender, Driver(task)));
        Ok(())
    }

    /// Opens a connection for HTTP/2.
    async fn channel(&self, timeout: Duration) -> Result<Arc<Channel>, Unconnected> {
        let route = self.destination.channels.route();
        let (stream, limit) = self.connect(timeout).await?;
        let open = Channel::open(&self.env, stream, &self.destination.channels, route);
        match tokio::time::timeout_at(limit, open).await {
            Ok(channel) => channel.map_err(Unconnected::new),
            Err(_) => Err(unanswered(timeout)),
        }
    }

    /// A stream to the destination as requests would have it, for who wants to see whom it leads to.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(in crate::shell) async fn stream(&self, timeout: Duration) -> Result<E::Stream, String> {
        let stream = self.connect(timeout).await;
        stream
            .map(|(stream, _)| stream)
            .map_err(|error| error.reason)
    }

    /// A stream to the destination, and when the rest of the opening must be over.
    async fn connect(&self, timeout: Duration) -> Result<(E::Stream, Instant), Unconnected> {
        let limit = Instant::now() + timeout.min(CONNECT_TIMEOUT);
        let stream = match &self.destination.proxy {
            None => tokio::time::timeout_at(limit, self.direct()).await,
            Some(proxy) => tokio::time::timeout_at(limit, self.through(proxy)).await,
        };
        match stream {
            Ok(stream) => Ok((stream?, limit)),
            Err(_) => Err(unanswered(timeout)),
        }
    }

    async fn direct(&self) -> Result<E::Stream, Unconnected> {
        let stream = self.env.connect(&self.destination.target).await;
        stream.map_err(Unconnected::from)
    }

    /// A stream by way of a proxy.
    async fn through(&self, proxy: &Proxy) -> Result<E::Stream, Unconnected> {
        let stream = self.env.connect(&proxy.target).await;
        let mut stream =
            stream.map_err(|error| Unconnected::new(format!("{}: {error}", proxy.name())))?;
        let (destination, target) = (&self.destination, &self.destination.target);
        if destination.is_tunnelled() {
            proxy.connect(&mut stream, target).await?;
        }
        match &target.tls {
            None => Ok(stream),
            Some(tls) => Ok(self.env.secure(stream, tls).await?),
        }
    }
}

fn unanswered(timeout: Duration) -> Unconnected {
    let timeout = timeout.min(CONNECT_TIMEOUT);
    Unconnected::new(format!("connect: no answer within {timeout:?}"))
}

/// What must stand while an answer is read.
#[expect(dead_code, reason = "holding it is its use")]
enum Connection {
    Http1(SendRequest<RequestBody>, Driver),
    Http2(Arc<Channel>),
}

/// Sends a request and reads the answer; gives the connection back if it can be used again.
async fn exchange(
    mut sender: SendRequest<RequestBody>,
    request: Request<RequestBody>,
) -> hyper::Result<(Option<SendRequest<RequestBody>>, Answered)> {
    sender.ready().await?;
    let (answer, is_whole) = answer::read(sender.send_request(request).await?).await?;
    Ok((is_whole.then_some(sender), answer))
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        config::Endpoint,
        core::{codec::CodecId, pacing, range::ItemRange},
        env::{Listener, OsEnv},
        otlp::Signal,
    };

    fn range() -> ItemRange {
        ItemRange {
            store: 7,
            boot: 1,
            class: Signal::Traces.into(),
            signal: Signal::Traces,
            first: 100,
            count: 20,
        }
    }

    fn destination(url: &str) -> Destination {
        let mut endpoint = Endpoint::new(url);
        endpoint.headers = vec![("x-store".to_owned(), "0412".to_owned())];
        Destination::new(&endpoint).unwrap()
    }

    /// What is charged is what stands on the socket, to the byte.
    #[tokio::test]
    async fn wire_bytes_are_those_on_the_socket() {
        let env = OsEnv::with_root([1; 32]);
        let mut listener = env.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let destination = Arc::new(destination(&format!("http://127.0.0.1:{port}/otlp/")));
        for body_bytes in [0, 9, 10, 5000] {
            let body = Bytes::from(vec![1; body_bytes]);
            let mut client = Client::new(env.clone(), destination.clone());
            let (server, sent) = tokio::join!(
                async {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut heard = Vec::new();
                    let head = loop {
                        heard.push(stream.read_u8().await.unwrap());
                        if heard.ends_with(b"\r\n\r\n") {
                            break heard.len();
                        }
                    };
                    let mut rest = vec![0; body_bytes];
                    stream.read_exact(&mut rest).await.unwrap();
                    stream
                        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                        .await
                        .unwrap();
                    (head, String::from_utf8(heard).unwrap())
                },
                client.send(
                    || {
                        let timeout = Duration::from_secs(30);
                        destination.request(
                            &range(),
                            CodecId::Zstd,
                            body.clone(),
                            timeout,
                            Pace::none(),
                        )
                    },
                    Duration::from_secs(30),
                    |is_again| assert!(!is_again, "one connection is enough"),
                ),
            );
            let (head, text) = server;
            assert!(
                matches!(&sent, Sent::Answer(answer) if answer.status == 204),
                "{sent:?}"
            );
            assert!(
                text.starts_with("POST /otlp/v1/traces HTTP/1.1\r\n"),
                "{text}"
            );
            assert!(text.contains("x-backroom-batch: 0000000000000007-1-traces-100-20\r\n"));
            let charged = destination.wire_bytes(&range(), CodecId::Zstd, body_bytes as u64);
            assert_eq!(charged, pacing::wire_bytes(head as u64, body_bytes as u64));
        }
    }
}
