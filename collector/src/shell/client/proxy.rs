//! The way through a proxy: CONNECT for TLS and for gRPC, the whole URL in the request line for the rest (RFC 9110, section
//! 9.3.6; RFC 9112, section 3.2.2). With user and password, Basic authentication (RFC 7617).

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Unconnected;
use crate::{config::ProxyUrl, env::Target, otlp::grpc::percent_decode};

/// An answer to CONNECT is read to this size.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A proxy as it is connected to.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) target: Target,
    /// For `proxy-authorization`.
    pub(super) authorization: Option<String>,
}

impl Proxy {
    /// `None` if the URL is not one of a proxy.
    pub(super) fn new(url: &str) -> Option<Self> {
        let url = ProxyUrl::of(url)?;
        Some(Self {
            target: Target {
                host: url.host.to_owned(),
                port: url.port,
                tls: None,
            },
            authorization: url.user.map(|user| {
                let user = match percent_decode(user) {
                    user if user.contains(':') => user,
                    user => format!("{user}:"),
                };
                format!("Basic {}", STANDARD.encode(user))
            }),
        })
    }

    /// What it is called in messages: without user and password.
    pub(super) fn name(&self) -> String {
        format!("proxy {}:{}", self.target.host, self.target.port)
    }

    /// Has the proxy connect a stream to a target.
    pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        target: &Target,
    ) -> Result<(), Unconnected> {
        let host = match target.host.contains(':') {
            true => format!("[{}]:{}", target.host, target.port),
            false => format!("{}:{}", target.host, target.port),
        };
        let credentials = match &self.authorization {
            Some(basic) => format!("proxy-authorization: {basic}\r\n"),
            None => String::new(),
        };
        let request = format!("CONNECT {host} HTTP/1.1\r\nhost: {host}\r\n{credentials}\r\n");
        let failed =
            |what: String| Unconnected::new(format!("{}: CONNECT {host}: {what}", self.name()));
        let asked = stream.write_all(request.as_bytes()).await;
        asked.map_err(|error| failed(error.to_string()))?;
        // Byte by byte: what follows the head is the destination's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= HEAD_BYTES_MAX {
                return Err(failed("its answer does not end".to_owned()));
            }
            let byte = stream.read_u8().await;
            head.push(byte.map_err(|error| failed(error.to_string()))?);
        }
        let head = String::from_utf8_lossy(&head);
        let line = head.lines().next().unwrap_or("");
        let status = line
            .starts_with("HTTP/1.")
            .then(|| line.get(9..12))
            .flatten();
        let Some(status) = status.and_then(|digits| digits.parse::<u16>().ok()) else {
            return Err(failed("it does not speak HTTP".to_owned()));
        };
        let what = match status {
            200..=299 => return Ok(()),
            407 if self.authorization.is_none() => {
                "it wants user and password; set endpoint.proxy to http://user:password@host:port"
            }
            407 => "it does not know this user and password",
            403 => "it forbids the destination",
            502..=504 => "it cannot reach the destination",
            _ => "it refuses",
        };
        Err(Unconnected {
            suspend: !matches!(status, 429 | 502..=504),
            ..failed(format!("{what} (status {status})"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(answer: &[u8], expect: Result<(), (bool, &str)>) {
        let proxy = Proxy::new("http://till:p%3Aw@proxy:3128").unwrap();
        let target = Target {
            host: "fd00::1".to_owned(),
            port: 4317,
            tls: None,
        };
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        theirs.write_all(answer).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(&mut theirs);
        writer.shutdown().await.unwrap();
        let connected = proxy.connect(&mut ours, &target).await;
        let found = connected
            .as_ref()
            .map_err(|e| (e.suspend, e.reason.as_str()));
        match (found, expect) {
            (Ok(()), Ok(())) => {}
            (Err((suspend, reason)), Err((expect, part))) => {
                assert_eq!(suspend, expect, "{reason}");
                assert!(reason.contains(part), "{reason}");
                assert!(!reason.contains("p:w"), "{reason}");
            }
            (found, expect) => panic!("{found:?} {expect:?}"),
        }
        drop(ours);
        let mut asked = String::new();
        reader.read_to_string(&mut asked).await.unwrap();
        let basic = STANDARD.encode("till:p:w");
        let expect = format!(
            "CONNECT [fd00::1]:4317 HTTP/1.1\r\nhost: [fd00::1]:4317\r\nproxy-authorization: Basic {basic}\r\n\r\n"
        );
        assert_eq!(asked, expect);
    }

    #[tokio::test]
    async fn answers_of_proxies_are_told_apart() {
        check(b"HTTP/1.1 200 Connection established\r\n\r\n", Ok(())).await;
        check(b"HTTP/1.0 200 OK\r\nvia: x\r\n\r\nrest", Ok(())).await;
        let no = |status: &str| format!("HTTP/1.1 {status}\r\n\r\n<html>").into_bytes();
        check(&no("407 Who"), Err((true, "does not know this user"))).await;
        check(&no("403 No"), Err((true, "forbids the destination"))).await;
        check(&no("503 No"), Err((false, "cannot reach the destination"))).await;
        check(&no("500 No"), Err((true, "refuses (status 500)"))).await;
        check(b"SSH-2.0\r\n\r\n", Err((false, "does not speak HTTP"))).await;
        check(b"HTTP/1.1 2", Err((false, "CONNECT"))).await;
        let endless = vec![b'x'; HEAD_BYTES_MAX + 10];
        check(&endless, Err((false, "does not end"))).await;
    }

    #[test]
    fn a_user_without_password_is_a_user() {
        let proxy = Proxy::new("http://till@proxy").unwrap();
        let basic = format!("Basic {}", STANDARD.encode("till:"));
        assert_eq!(proxy.authorization, Some(basic));
        assert_eq!(proxy.name(), "proxy proxy:80");
    }
}
