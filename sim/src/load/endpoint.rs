//! Where a load goes: a URL, taken apart.

use backroom_collector::env::{ClientTls, Target, TargetTls};

/// A receiver of OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL as it was given.
    pub url: String,
    /// Where to connect to.
    pub target: Target,
    /// Value of `host`, or `:authority`.
    pub authority: String,
    /// What comes before `/v1/...`, without a slash at its end; empty for gRPC.
    pub prefix: String,
    /// OTLP/gRPC rather than OTLP/HTTP.
    pub is_grpc: bool,
}

impl Endpoint {
    /// Takes a URL apart: `http` or `https`, a host, a port (4318, or 4317 for gRPC, unless it is there), and for HTTP a path before
    /// `/v1/traces` and its like.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub fn parse(url: &str, is_grpc: bool) -> Result<Self, String> {
        const HOW: &str = "write http://127.0.0.1:4318";
        let uri: hyper::Uri = url
            .parse()
            .map_err(|error| format!("`{url}` is not a URL ({error}); {HOW}"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("`{url}` is neither http:// nor https://; {HOW}")),
        };
        let host = uri.host().unwrap_or("");
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(format!("`{url}` names no host; {HOW}"));
        }
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(format!(
                "`{url}` has a user in it, which is not sent; use --headers authorization=..."
            ));
        }
        if uri.query().is_some() {
            return Err(format!("`{url}` has a query, which OTLP has not; {HOW}"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        if is_grpc && !prefix.is_empty() {
            return Err(format!(
                "`{url}` has a path, which OTLP/gRPC has not; {HOW}"
            ));
        }
        if let Some(signal) = ["/v1/traces", "/v1/metrics", "/v1/logs"]
            .into_iter()
            .find(|path| prefix.ends_with(path))
        {
            return Err(format!(
                "`{url}` ends in {signal}, which is added for each signal; leave it out"
            ));
        }
        // `port_u16` is silent about what is no port.
        let has_port = uri.authority().is_some_and(|a| {
            a.as_str()
                .rsplit(']')
                .next()
                .is_some_and(|rest| rest.contains(':'))
        });
        let port = match uri.port_u16() {
            Some(port) if port > 0 => port,
            None if !has_port => {
                if is_grpc {
                    4317
                } else {
                    4318
                }
            }
            _ => return Err(format!("`{url}` has no port from 1 to 65535; {HOW}")),
        };
        let target = Target {
            host: host.to_owned(),
            port,
            tls: is_tls.then(|| TargetTls {
                name: host.to_owned(),
                files: ClientTls::default(),
                is_h2: is_grpc,
            }),
        };
        let shown = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        Ok(Self {
            url: url.to_owned(),
            target,
            authority: format!("{shown}:{port}"),
            prefix,
            is_grpc,
        })
    }

    /// Trusts these roots (PEM) in place of the system's; nothing without TLS.
    pub fn trust(&mut self, ca: std::path::PathBuf) {
        if let Some(tls) = &mut self.target.tls {
            tls.files.ca = Some(ca);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let check = |url: &str, is_grpc, expect: (&str, u16, &str, &str)| {
            let of = Endpoint::parse(url, is_grpc).expect(url);
            let found = (of.target.host.as_str(), of.target.port);
            let found = (found.0, found.1, of.authority.as_str(), of.prefix.as_str());
            assert_eq!(found, expect, "{url}");
        };
        check(
            "http://127.0.0.1",
            false,
            ("127.0.0.1", 4318, "127.0.0.1:4318", ""),
        );
        check(
            "http://localhost/",
            true,
            ("localhost", 4317, "localhost:4317", ""),
        );
        check(
            "https://hq:443/otlp/",
            false,
            ("hq", 443, "hq:443", "/otlp"),
        );
        check("http://[::1]:9", false, ("::1", 9, "[::1]:9", ""));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let check = |url: &str, is_grpc, why: &str| {
            let said = Endpoint::parse(url, is_grpc).expect_err(url);
            assert!(said.contains(why), "{said}");
        };
        check("127.0.0.1:4318", false, "neither http");
        check("ftp://hq:4318", false, "neither http");
        check("http://", false, "not a URL");
        check("http://a b", false, "not a URL");
        check("http://hq:99999", false, "1 to 65535");
        check("http://[::1]:0", false, "1 to 65535");
        check("http://me:pw@hq", false, "--headers");
        check("http://hq/?a=b", false, "query");
        check("http://hq/otlp", true, "path");
        check("http://hq/v1/traces", false, "leave it out");
    }
}
