//! The proxy on the way to a destination: `endpoint.proxy`, or the variables that other programs go by.
//!
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or not, as curl and Go read them: the first two by the
//! scheme of the destination's URL; `NO_PROXY` is a list of hosts, domains (with or without a dot in front), addresses,
//! networks such as `10.0.0.0/8`, each with a port or without, or `*`. Loopback is never reached through a proxy. Who reads the
//! environment is the caller; how a proxy is spoken to is in `shell::client::proxy`.

use std::net::IpAddr;

use super::grammar::{Part, TextError};

/// Why a text is no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Scheme,
    Host,
    Port,
    Rest,
}

/// A proxy that speaks HTTP, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyUrl<'a> {
    /// User and password as they stand in the URL, percent-encoded.
    pub(crate) user: Option<&'a str>,
    /// Name or address, without brackets.
    pub(crate) host: &'a str,
    /// 80 unless it is written.
    pub(crate) port: u16,
}

impl<'a> ProxyUrl<'a> {
    fn parse(text: &'a str) -> Result<Self, Wrong> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(Wrong::Scheme),
            // The variables are often written without.
            None => text,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (place, None),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || !host.chars().all(is_name) {
            return Err(Wrong::Host);
        }
        let port = match port {
            None => 80,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(Wrong::Port),
            },
        };
        let is_printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !path.is_empty() || !user.is_none_or(is_printable) {
            return Err(Wrong::Rest);
        }
        Ok(Self { user, host, port })
    }

    /// Takes a proxy apart that was checked before; `None` if it was not.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

/// Reads `endpoint.proxy`; `None` is off.
pub(super) fn proxy(text: &str) -> Result<Option<String>, TextError> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = |label: &str| {
        TextError::value(Part::whole(text).range(), "`{key}` is not a proxy", label).help(
            String::from("write \"http://proxy.example:3128\", with user:password@ before the host if it wants them, or \"off\""),
        )
    };
    match ProxyUrl::parse(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(Wrong::Scheme) => Err(wrong(
            "only proxies over http:// are known; TLS to the destination goes through them all the same",
        )),
        Err(Wrong::Host) => Err(wrong("no host name")),
        Err(Wrong::Port) => Err(wrong("not a port")),
        Err(Wrong::Rest) => Err(wrong("only user, password, host and port")),
    }
}

/// The proxy that the environment asks for on the way to `url`, and the variable that says so.
///
/// # Errors
/// If the variable does not hold a proxy: to go on without one would be worse than not to start.
pub fn proxy_of_environment(
    url: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<(String, &'static str)>, String> {
    let names: [&'static str; 4] = match url.starts_with("https:") {
        true => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        false => ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let Some((name, value)) = names.into_iter().find_map(|name| Some((name, set(name)?))) else {
        return Ok(None);
    };
    let direct = set("no_proxy").or_else(|| set("NO_PROXY"));
    if is_direct(url, direct.as_deref().unwrap_or("")) {
        return Ok(None);
    }
    let value = value.trim().trim_end_matches('/').to_owned();
    match ProxyUrl::parse(&value) {
        Ok(_) => Ok(Some((value, name))),
        // The value may hold a password.
        Err(_) => Err(format!(
            "{name} is no proxy: write it like http://proxy.example:3128, or set endpoint.proxy to \"off\""
        )),
    }
}

/// Whether a URL is reached without a proxy, by a list of exceptions.
fn is_direct(url: &str, exceptions: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or("").to_ascii_lowercase();
    let default = if url.starts_with("https:") { 443 } else { 80 };
    let (host, port) = split_port(&authority);
    let port = port.unwrap_or(default);
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    exceptions.split([',', ' ']).any(|entry| {
        let entry = entry.trim().to_ascii_lowercase();
        if let Some((network, bits)) = entry.split_once('/') {
            return address.is_some_and(|address| is_in(address, network, bits));
        }
        let (name, only) = split_port(&entry);
        if name.is_empty() || only.is_some_and(|only| only != port) {
            return false;
        }
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        let is_below = |host: &str| {
            let before = host.strip_suffix(name);
            before.is_some_and(|before| before.ends_with('.'))
        };
        name == "*" || name == host || (address.is_none() && is_below(host))
    })
}

/// Host without brackets, and port.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    let bare = |host: &str| host.parse::<IpAddr>().is_ok();
    if bare(authority) {
        return (authority, None);
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// Whether an address is in a network.
fn is_in(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            (u128::from(a.to_bits()), u128::from(n.to_bits()), 32_u32)
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits(), n.to_bits(), 128),
        _ => return false,
    };
    match width.checked_sub(bits) {
        None => false,
        Some(128) => true,
        Some(rest) => address >> rest == network >> rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_taken_apart() {
        let check = |text: &str, expect: Result<(Option<&str>, &str, u16), Wrong>| {
            let found = ProxyUrl::parse(text).map(|url| (url.user, url.host, url.port));
            assert_eq!(found, expect, "{text}");
        };
        check("http://proxy:3128", Ok((None, "proxy", 3128)));
        check("proxy.example", Ok((None, "proxy.example", 80)));
        check("http://[::1]:8080/", Ok((None, "::1", 8080)));
        check("http://[::1]", Ok((None, "::1", 80)));
        check("http://a%40b:c@d@p:1", Ok((Some("a%40b:c@d"), "p", 1)));
        check("https://proxy:3128", Err(Wrong::Scheme));
        check("socks5://proxy:1080", Err(Wrong::Scheme));
        check("http://", Err(Wrong::Host));
        check("http://a b:1", Err(Wrong::Host));
        check("http://proxy:0", Err(Wrong::Port));
        check("http://proxy:x", Err(Wrong::Port));
        check("http://proxy:1/path", Err(Wrong::Rest));
        check("http://us er@proxy:1", Err(Wrong::Rest));
    }

    #[test]
    fn exceptions_are_hosts_domains_and_networks() {
        let check = |url: &str, list: &str, expect| {
            assert_eq!(is_direct(url, list), expect, "{url} {list}");
        };
        let hq = "http://otel.hq.example:4318";
        for list in [
            "*",
            "otel.hq.example",
            "hq.example",
            ".hq.example",
            "*.hq.example",
            "other, HQ.example",
            "otel.hq.example:4318",
        ] {
            check(hq, list, true);
        }
        for list in [
            "",
            "q.example",
            "otel.hq.example:80",
            "otel",
            ",",
            "10.0.0.0/8",
        ] {
            check(hq, list, false);
        }
        check("https://hq.example", "hq.example:443", true);
        check("http://10.1.2.3:4318", "10.0.0.0/8", true);
        check("http://11.1.2.3:4318", "10.0.0.0/8", false);
        check("http://10.1.2.3:4318", "10.1.2.3", true);
        check("http://10.1.2.3:4318", "2.3", false);
        check("http://10.1.2.3:4318", "0.0.0.0/0", true);
        check("http://10.1.2.3:4318", "10.0.0.0/33", false);
        check("http://[fd00::7]:4318", "fd00::/8", true);
        check("http://[fd00::7]:4318", "::/0", true);
        check("http://[fd00::7]:4318", "fd00::7", true);
        for url in [
            "http://localhost:4318",
            "http://127.0.0.5",
            "http://[::1]:1",
        ] {
            check(url, "", true);
        }
    }

    #[test]
    fn variables_count_by_scheme() {
        let variables = [
            ("HTTP_PROXY", "plain:1"),
            ("https_proxy", "http://tls:2/"),
            ("HTTPS_PROXY", "http://capital:3"),
            ("NO_PROXY", "direct.example"),
        ];
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let check = |url: &str, expect: Option<(&str, &'static str)>| {
            let expect = expect.map(|(proxy, name)| (proxy.to_owned(), name));
            assert_eq!(proxy_of_environment(url, get), Ok(expect), "{url}");
        };
        check("http://hq:4318", Some(("plain:1", "HTTP_PROXY")));
        check("https://hq:4318", Some(("http://tls:2", "https_proxy")));
        check("https://direct.example", None);
        let wrong = proxy_of_environment("http://hq", |_| Some("socks5://u:secret@p".into()));
        let message = wrong.unwrap_err();
        assert!(message.contains("http_proxy") && !message.contains("secret"));
        assert_eq!(proxy_of_environment("http://hq", |_| None), Ok(None));
    }
}
