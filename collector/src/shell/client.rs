//! One request to the destination: its head, its bytes on the wire, the connection that is kept between requests.
//!
//! It does not know what an answer means (`core::verdict`) nor when to try again (`core::destination`).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, Uri,
    client::conn::http1::{self, SendRequest},
    header::{HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;

use super::Error;
use crate::{
    config::Endpoint,
    core::{codec::CodecId, pacing, range::ItemRange},
    env::{Env, Target, TargetTls, Task},
    otlp::response,
};

/// Longest time for name, TCP and TLS: a dead line is noticed sooner than a slow answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers are read to this size: they are short, and a captive portal's page is not needed whole.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a tool asks for is read to this size: a page of metrics takes some tens of KiB.
const FETCH_BYTES_MAX: usize = 1 << 20;

/// A destination as it is connected to and addressed.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) url: String,
    pub(super) timeout: Duration,
    target: Target,
    base: String,
    headers: HeaderMap,
}

impl Destination {
    /// # Errors
    /// If the URL or a header cannot be used.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Endpoint {
            url: endpoint.url.clone(),
            reason,
        };
        let uri: Uri = endpoint
            .url
            .trim_end_matches('/')
            .parse()
            .map_err(|error| wrong(format!("{error}; write it like http://hq.example:4318")))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("write it like http://hq.example:4318".to_owned())),
        };
        let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else {
            return Err(wrong("it has no host".to_owned()));
        };
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let target = Target {
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            tls: is_tls.then(|| TargetTls {
                name: host.clone(),
                files: endpoint.tls.clone().unwrap_or_default(),
            }),
            host,
        };
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| wrong(format!("{text:?} is no header value")))
        };
        headers.insert("host", value(authority.as_str())?);
        let agent = concat!("backroom-collector/", env!("CARGO_PKG_VERSION"));
        headers.insert("user-agent", HeaderValue::from_static(agent));
        headers.insert("content-type", HeaderValue::from_static(response::PROTOBUF));
        for (name, text) in &endpoint.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| wrong(format!("{name:?} is no header name")))?;
            headers.insert(name, value(text)?);
        }
        Ok(Self {
            url: endpoint.url.clone(),
            timeout: endpoint.timeout,
            target,
            base: uri.path().trim_end_matches('/').to_owned(),
            headers,
        })
    }

    /// The request for a batch or a part of one.
    pub(super) fn request(
        &self,
        range: &ItemRange,
        codec: CodecId,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut headers = self.headers.clone();
        headers.insert("content-length", HeaderValue::from(body.len()));
        if let Some(encoding) = codec.content_encoding() {
            headers.insert("content-encoding", HeaderValue::from_static(encoding));
        }
        let batch = range.to_string();
        let batch = HeaderValue::from_str(&batch).expect("hex, digits, letters and dashes");
        headers.insert("x-backroom-batch", batch);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let path = format!("{}{}", self.base, range.signal.path());
        *request.uri_mut() = path.parse().expect("a path that was part of a URL");
        *request.headers_mut() = headers;
        request
    }

    /// A request of a tool to a path below the base URL, without a body.
    pub(super) fn bare(&self, method: Method, path: &str) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = method;
        let path = format!("{}{path}", self.base);
        *request.uri_mut() = path.parse().expect("a path that was part of a URL");
        *request.headers_mut() = self.headers.clone();
        let length = HeaderValue::from(0);
        request.headers_mut().insert("content-length", length);
        request
    }

    /// Bytes on the wire of such a request.
    pub(super) fn wire_bytes(&self, range: &ItemRange, codec: CodecId, body_bytes: u64) -> u64 {
        // The head depends on the body's length only through the digits of it.
        let mut request = self.request(range, codec, Bytes::new());
        let length = HeaderValue::from(body_bytes);
        request.headers_mut().insert("content-length", length);
        request_wire_bytes(&request, body_bytes)
    }
}

/// Bytes on the wire of a request as HTTP/1.1 writes it: request line, `name: value` lines, an empty line, the body, and
/// the TCP and IPv4 headers of its segments; see [`pacing::wire_bytes`].
pub fn request_wire_bytes<B>(request: &Request<B>, body_bytes: u64) -> u64 {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let line = request.method().as_str().len() + 1 + path.len() + " HTTP/1.1\r\n".len();
    let headers: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    pacing::wire_bytes((line + headers + "\r\n".len()) as u64, body_bytes)
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Sent {
    /// The peer answered.
    Answer {
        status: u16,
        content_type: Option<String>,
        retry_after: Option<String>,
        body: Bytes,
    },
    /// No answer, and why.
    Nothing {
        reason: String,
        /// The connection stood, and the answer did not come in time.
        is_slow: bool,
    },
}

/// A connection that is kept from request to request.
pub(super) struct Client<E> {
    env: E,
    destination: Arc<Destination>,
    open: Option<(SendRequest<Full<Bytes>>, Driver)>,
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
        }
    }

    /// Sends a request and reads the answer, `timeout` for all of it. Calls `sending` before it sends on an open connection,
    /// with whether it does so again, because the kept connection turned out to be closed.
    pub(super) async fn send(
        &mut self,
        make: impl Fn() -> Request<Full<Bytes>> + Send,
        timeout: Duration,
        sending: impl Fn(bool) + Send,
    ) -> Sent {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut is_again = false;
        loop {
            let is_kept = self.is_open();
            if !is_kept && let Err(reason) = self.connect(timeout).await {
                let is_slow = false;
                return Sent::Nothing { reason, is_slow };
            }
            let Some((sender, driver)) = self.open.take() else {
                unreachable!("opened above");
            };
            sending(is_again);
            match tokio::time::timeout_at(deadline, exchange(sender, make())).await {
                Ok(Ok((sender, answer))) => {
                    self.open = Some((sender, driver));
                    return answer;
                }
                // A server closes idle connections when it likes; that says nothing about the path.
                Ok(Err(_)) if is_kept => is_again = true,
                Ok(Err(error)) => {
                    return Sent::Nothing {
                        reason: with_sources(&error),
                        is_slow: false,
                    };
                }
                Err(_) => {
                    return Sent::Nothing {
                        reason: format!("no answer within {timeout:?}"),
                        is_slow: true,
                    };
                }
            }
        }
    }

    /// Sends one request on a connection of its own, and gives the answer; `timeout` for all of it. One that is too long is an
    /// error if it `must_be_whole`, and otherwise cut.
    pub(super) async fn fetch(
        &mut self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
        must_be_whole: bool,
    ) -> Result<Response<Bytes>, String> {
        let answer = async {
            self.connect(timeout).await?;
            let Some((mut sender, _driver)) = self.open.take() else {
                unreachable!("opened above");
            };
            let words = |error: hyper::Error| with_sources(&error);
            sender.ready().await.map_err(words)?;
            let answer = sender.send_request(request).await.map_err(words)?;
            let (head, mut body) = answer.into_parts();
            let mut read = Vec::new();
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.map_err(words)?.into_data() {
                    read.extend_from_slice(&data);
                }
                if read.len() > FETCH_BYTES_MAX {
                    if must_be_whole {
                        return Err(format!("the answer is longer than {FETCH_BYTES_MAX} bytes"));
                    }
                    read.truncate(FETCH_BYTES_MAX);
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

    fn is_open(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|(sender, _)| !sender.is_closed())
    }

    async fn connect(&mut self, timeout: Duration) -> Result<(), String> {
        self.open = None;
        let timeout = timeout.min(CONNECT_TIMEOUT);
        let target = &self.destination.target;
        let stream = match tokio::time::timeout(timeout, self.env.connect(target)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("connect: no answer within {timeout:?}")),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| with_sources(&error))?;
        let task = self.env.spawn(async move {
            // Its errors reach the request that is under way.
            let _ = connection.await;
        });
        self.open = Some((sender, Driver(task)));
        Ok(())
    }
}

async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> hyper::Result<(SendRequest<Full<Bytes>>, Sent)> {
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let text = |name: &str| {
        let value = head.headers.get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let (content_type, retry_after) = (text("content-type"), text("retry-after"));
    // A body that is cut or too long leaves an answer that is no OTLP, which is what it is.
    let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::from_static(b"\xff"),
    };
    let answer = Sent::Answer {
        status: head.status.as_u16(),
        content_type,
        retry_after,
        body,
    };
    Ok((sender, answer))
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
                    || destination.request(&range(), CodecId::Zstd, body.clone()),
                    Duration::from_secs(30),
                    |is_again| assert!(!is_again, "one connection is enough"),
                ),
            );
            let (head, text) = server;
            assert!(matches!(sent, Sent::Answer { status: 204, .. }), "{sent:?}");
            assert!(
                text.starts_with("POST /otlp/v1/traces HTTP/1.1\r\n"),
                "{text}"
            );
            assert!(text.contains("x-backroom-batch: 0000000000000007-1-traces-100-20\r\n"));
            let charged = destination.wire_bytes(&range(), CodecId::Zstd, body_bytes as u64);
            assert_eq!(charged, pacing::wire_bytes(head as u64, body_bytes as u64));
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let tls = destination("https://hq.example");
        assert_eq!((tls.target.port, tls.base.as_str()), (443, ""));
        let name = tls.target.tls.as_ref().map(|tls| tls.name.as_str());
        assert_eq!(name, Some("hq.example"));
        let v6 = destination("http://[::1]:4318");
        assert_eq!((v6.target.host.as_str(), v6.target.port), ("::1", 4318));
        for url in [
            "hq.example:4318",
            "ftp://hq.example",
            "http://",
            "http://a b",
        ] {
            let error = Destination::new(&Endpoint::new(url)).unwrap_err();
            assert!(error.to_string().contains(url), "{error}");
        }
    }
}
