//! A destination as it is connected to and addressed: the heads of requests, and what requests cost on the wire.
//!
//! Whoever sends there shares one value, and with it the HTTP/2 connections. Next: `answer`.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Uri,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};

use super::{
    super::{
        Error,
        relay::{BATCH_HEADER, STORE_HEADER},
    },
    body::{Pace, RequestBody},
    channel::Channels,
    proxy::Proxy,
    token::Token,
};
use crate::{
    config::{Endpoint, Protocol},
    core::{codec::CodecId, pacing, range::ItemRange, seen::stores::Report},
    env::{Target, TargetTls},
    otlp::{Signal, grpc, response},
};

/// Head of an HTTP/2 frame.
const FRAME_HEAD_BYTES: u64 = 9;

/// Data of a full HTTP/2 frame, as every peer takes them.
const FRAME_DATA_BYTES: u64 = 16 * 1024;

/// Head, type and tag of a record of TLS 1.3, which carries 16 KiB as well (RFC 8446, 5.2).
const RECORD_BYTES: u64 = 22;

/// A destination as it is connected to and addressed.
#[derive(Debug)]
pub(in crate::shell) struct Destination {
    pub(in crate::shell) url: String,
    pub(in crate::shell) timeout: Duration,
    pub(in crate::shell) protocol: Protocol,
    /// Larger parts of a batch are halved before they are sent.
    pub(in crate::shell) raw_bytes_max: Option<u64>,
    pub(super) target: Target,
    /// The proxy on the way, if there is one.
    pub(super) proxy: Option<Proxy>,
    /// The token to send, if there is one.
    pub(super) token: Option<Token>,
    /// The connections of gRPC.
    pub(super) channels: Channels,
    /// Scheme and authority, for HTTP/2 and for proxies that pass requests on; empty otherwise.
    origin: String,
    base: String,
    headers: HeaderMap,
    /// What goes with each request, where the last answer was one of a gateway.
    report: Mutex<Option<HeaderValue>>,
    is_gateway: AtomicBool,
}

impl Destination {
    /// # Errors
    /// If the URL or a header cannot be used.
    pub(in crate::shell) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
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
        let is_grpc = endpoint.protocol == Protocol::Grpc;
        let target = Target {
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            tls: is_tls.then(|| TargetTls {
                name: host.clone(),
                files: endpoint.tls.clone().unwrap_or_default(),
                is_h2: is_grpc,
            }),
            host,
        };
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| wrong(format!("{text:?} is no header value")))
        };
        let content_type = match endpoint.protocol {
            Protocol::HttpProtobuf => response::PROTOBUF,
            Protocol::HttpJson => response::JSON,
            Protocol::Grpc => grpc::CONTENT_TYPE,
        };
        if is_grpc {
            headers.insert("te", HeaderValue::from_static("trailers"));
            let identity = HeaderValue::from_static("identity");
            headers.insert("grpc-accept-encoding", identity);
        } else {
            headers.insert("host", value(authority.as_str())?);
        }
        let agent = concat!("backroom-collector/", env!("CARGO_PKG_VERSION"));
        headers.insert("user-agent", HeaderValue::from_static(agent));
        headers.insert("content-type", HeaderValue::from_static(content_type));
        for (name, text) in &endpoint.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| wrong(format!("{name:?} is no header name")))?;
            headers.insert(name, value(text)?);
        }
        let proxy = match &endpoint.proxy {
            None => None,
            Some(url) => Some(Proxy::new(url).ok_or_else(|| {
                wrong("its proxy is none; write it like http://proxy.example:3128".to_owned())
            })?),
        };
        // Through a tunnel the proxy sees no request.
        let is_passed_on = proxy.is_some() && !is_tls && !is_grpc;
        let credentials = proxy.as_ref().filter(|_| is_passed_on);
        if let Some(basic) = credentials.and_then(|proxy| proxy.authorization.as_ref()) {
            headers.insert("proxy-authorization", value(basic)?);
        }
        let scheme = if is_tls { "https" } else { "http" };
        Ok(Self {
            url: endpoint.url.clone(),
            timeout: endpoint.timeout,
            protocol: endpoint.protocol,
            raw_bytes_max: endpoint.raw_bytes_max(),
            target,
            proxy,
            token: endpoint.bearer_token_file.clone().map(Token::new),
            channels: Channels::default(),
            origin: match is_grpc || is_passed_on {
                true => format!("{scheme}://{authority}"),
                false => String::new(),
            },
            base: uri.path().trim_end_matches('/').to_owned(),
            headers,
            report: Mutex::default(),
            is_gateway: AtomicBool::new(false),
        })
    }

    /// Whether a gateway answered last: it wants to know how the store is.
    pub(in crate::shell) fn is_gateway(&self) -> bool {
        self.is_gateway.load(Ordering::Relaxed)
    }

    /// Remembers whether a gateway answered.
    pub(in crate::shell) fn answered(&self, is_gateway: bool) {
        self.is_gateway.store(is_gateway, Ordering::Relaxed);
    }

    /// What goes with each request from now on.
    pub(in crate::shell) fn report(&self, report: Option<&Report>) {
        let value = report.map(|report| {
            let value = HeaderValue::try_from(report.to_string());
            value.expect("names are printable ASCII")
        });
        *self
            .report
            .lock()
            .expect("nothing panics while it holds it") = value;
    }

    /// The request for a batch or a part of one, which gets its answer within `timeout`.
    pub(in crate::shell) fn request(
        &self,
        range: &ItemRange,
        codec: CodecId,
        body: Bytes,
        timeout: Duration,
        pace: Pace,
    ) -> Request<RequestBody> {
        let body: Bytes = match self.protocol {
            Protocol::Grpc => grpc::frame_of(&body, codec != CodecId::None).into(),
            Protocol::HttpProtobuf | Protocol::HttpJson => body,
        };
        let request = self.bodyless(range, codec, body.len() as u64, timeout);
        let head = self.head_bytes_of(&request);
        request.map(|()| RequestBody::paced(body, head, self.piece_bytes(), pace))
    }

    /// Bytes on the wire of the head of such a request, which goes before its body.
    pub(in crate::shell) fn head_wire_bytes(&self, range: &ItemRange, codec: CodecId) -> u64 {
        // The length is not known yet, and matters by its digits only.
        let request = self.bodyless(range, codec, 1 << 20, self.timeout);
        pacing::wire_bytes(self.head_bytes_of(&request), 0)
    }

    fn head_bytes_of(&self, request: &Request<()>) -> u64 {
        match self.protocol {
            Protocol::HttpProtobuf | Protocol::HttpJson => request_head_bytes(request),
            Protocol::Grpc => grpc_head_bytes(request),
        }
    }

    /// What stands on the wire beside each piece of a body: the head of a frame of HTTP/2, and what a record of TLS adds.
    fn piece_bytes(&self) -> u64 {
        let frame = match self.protocol {
            Protocol::Grpc => FRAME_HEAD_BYTES,
            Protocol::HttpProtobuf | Protocol::HttpJson => 0,
        };
        frame + self.target.tls.as_ref().map_or(0, |_| RECORD_BYTES)
    }

    /// The request without its body.
    fn bodyless(
        &self,
        range: &ItemRange,
        codec: CodecId,
        body_bytes: u64,
        timeout: Duration,
    ) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(range.signal);
        *request.headers_mut() = self.head(range, codec, body_bytes, timeout);
        request
    }

    /// The headers of the request for a batch.
    fn head(
        &self,
        range: &ItemRange,
        codec: CodecId,
        body_bytes: u64,
        timeout: Duration,
    ) -> HeaderMap {
        let mut headers = self.headers.clone();
        let encoding = if self.protocol == Protocol::Grpc {
            let timeout = HeaderValue::try_from(grpc::timeout_text(timeout));
            headers.insert("grpc-timeout", timeout.expect("digits and a letter"));
            "grpc-encoding"
        } else {
            headers.insert("content-length", HeaderValue::from(body_bytes));
            "content-encoding"
        };
        if let Some(name) = codec.content_encoding() {
            headers.insert(encoding, HeaderValue::from_static(name));
        }
        self.authorize(&mut headers);
        let batch = range.to_string();
        let batch = HeaderValue::from_str(&batch).expect("hex, digits, letters and dashes");
        headers.insert(BATCH_HEADER, batch);
        let report = self
            .report
            .lock()
            .expect("nothing panics while it holds it");
        if let Some(report) = &*report {
            headers.insert(STORE_HEADER, report.clone());
        }
        headers
    }

    /// Adds the token, where there is one.
    fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(header) = self.token.as_ref().and_then(Token::header) {
            headers.insert(AUTHORIZATION, header);
        }
    }

    /// Whether the proxy is asked for a tunnel.
    pub(super) fn is_tunnelled(&self) -> bool {
        self.target.tls.is_some() || self.protocol == Protocol::Grpc
    }

    fn uri(&self, signal: Signal) -> Uri {
        let path = match self.protocol {
            Protocol::Grpc => grpc::path(signal),
            Protocol::HttpProtobuf | Protocol::HttpJson => signal.path(),
        };
        let uri = format!("{}{}{path}", self.origin, self.base);
        uri.parse().expect("made of parts of a URL")
    }

    /// Where it is connected to.
    pub(in crate::shell) fn target(&self) -> &Target {
        &self.target
    }

    /// A request of a tool to a path below the base URL, without a body; over gRPC an empty message.
    pub(in crate::shell) fn bare(&self, method: Method, path: &str) -> Request<RequestBody> {
        let signal = Signal::from_path(path).filter(|_| self.protocol == Protocol::Grpc);
        let body = match signal {
            Some(_) => grpc::frame(&[]).into(),
            None => Bytes::new(),
        };
        let length = HeaderValue::from(body.len());
        let mut request = Request::new(RequestBody::whole(body));
        *request.method_mut() = method;
        *request.uri_mut() = match signal {
            Some(signal) => self.uri(signal),
            None => format!("{}{}{path}", self.origin, self.base)
                .parse()
                .expect("made of parts of a URL"),
        };
        *request.headers_mut() = self.headers.clone();
        self.authorize(request.headers_mut());
        request.headers_mut().insert("content-length", length);
        request
    }

    /// Bytes on the wire of such a request.
    pub(in crate::shell) fn wire_bytes(
        &self,
        range: &ItemRange,
        codec: CodecId,
        body_bytes: u64,
    ) -> u64 {
        let head = self.head_bytes_of(&self.bodyless(range, codec, body_bytes, self.timeout));
        let body = match self.protocol {
            Protocol::HttpProtobuf | Protocol::HttpJson => body_bytes,
            Protocol::Grpc => {
                let message = body_bytes + grpc::FRAME_HEAD_BYTES as u64;
                message + message.div_ceil(FRAME_DATA_BYTES) * FRAME_HEAD_BYTES
            }
        };
        let records = match self.target.tls {
            Some(_) => (head + body).div_ceil(FRAME_DATA_BYTES) * RECORD_BYTES,
            None => 0,
        };
        pacing::wire_bytes(head, body + records)
    }
}

/// Bytes on the wire of a request as HTTP/1.1 writes it: request line, `name: value` lines, an empty line, the body, and
/// the TCP and IPv4 headers of its segments; see [`pacing::wire_bytes`].
pub fn request_wire_bytes<B>(request: &Request<B>, body_bytes: u64) -> u64 {
    pacing::wire_bytes(request_head_bytes(request), body_bytes)
}

fn request_head_bytes<B>(request: &Request<B>) -> u64 {
    // A path, or through a proxy a whole URL.
    let uri = request.uri().to_string();
    let line = request.method().as_str().len() + 1 + uri.len() + " HTTP/1.1\r\n".len();
    let headers: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    (line + headers + "\r\n".len()) as u64
}

/// Bytes of a frame of headers. They count as on the first request of a connection, though HPACK makes later ones shorter: the
/// limit of a line is kept, not used up.
fn grpc_head_bytes(request: &Request<()>) -> u64 {
    // Two lengths and an index stand beside each name and value; the path and the authority are names and values too.
    let fields: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 3)
        .sum();
    (fields + request.uri().to_string().len() + 16) as u64 + FRAME_HEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(url: &str) -> Destination {
        Destination::new(&Endpoint::new(url)).unwrap()
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
