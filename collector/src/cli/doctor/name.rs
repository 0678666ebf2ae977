//! Whether the destination's name leads anywhere: told apart from whether something answers there.

use std::{io, net::SocketAddr, time::Duration};

use super::{Finding, Patient};
use crate::shell::fetch;

/// Longest wait for the resolver: it asks each server several times.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What a connection feels of it.
const SLOW: Duration = Duration::from_secs(1);

/// Addresses that are shown.
const SHOWN: usize = 3;

/// What the resolver says of a destination's host; `None` where there is nothing to resolve.
pub(super) async fn resolved(patient: &Patient, url: &str) -> Option<Finding> {
    let (host, port) = fetch::host_of(url)?;
    if host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let start = tokio::time::Instant::now();
    let asked = tokio::time::timeout(TIMEOUT, patient.env.resolve(&host, port)).await;
    Some(told(&host, asked.ok(), start.elapsed()))
}

/// `answer` is `None` if none came in time.
fn told(host: &str, answer: Option<io::Result<Vec<SocketAddr>>>, took: Duration) -> Finding {
    let servers =
        "look at the DNS servers (resolvectl status, /etc/resolv.conf) and at the way to them";
    let addresses = match answer {
        None => {
            let found = format!("{host} is not resolved within {TIMEOUT:?}");
            return Finding::wrong("name", found, servers);
        }
        Some(Err(error)) => {
            let found = format!("resolve {host}: {error}");
            let way_out =
                format!("check the name (getent hosts {host}); if it is right, {servers}");
            return Finding::wrong("name", found, way_out);
        }
        Some(Ok(addresses)) if addresses.is_empty() => {
            let found = format!("{host} has no address");
            return Finding::wrong("name", found, "ask whoever keeps that name");
        }
        Some(Ok(addresses)) => addresses,
    };
    let shown: Vec<String> = addresses
        .iter()
        .take(SHOWN)
        .map(|address| address.ip().to_string())
        .collect();
    let more = match addresses.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let found = format!("{host} is {}{more} ({took:.1?})", shown.join(", "));
    match took > SLOW {
        true => Finding::note("name", found, servers),
        false => Finding::ok("name", found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn what_the_resolver_says_is_told() {
        let check =
            |answer: Option<io::Result<Vec<SocketAddr>>>, millis: u64, level, part: &str| {
                let finding = told("hq", answer, Duration::from_millis(millis));
                assert_eq!(finding.level, level, "{finding:?}");
                let all = format!("{} {:?}", finding.found, finding.way_out);
                assert!(all.contains(part), "{all}");
            };
        let addresses: Vec<SocketAddr> = (1..6_u8)
            .map(|last| SocketAddr::from(([192, 0, 2, last], 4318)))
            .collect();
        let shown = "hq is 192.0.2.1, 192.0.2.2, 192.0.2.3 and 2 more (3.0ms)";
        check(Some(Ok(addresses.clone())), 3, Level::Ok, shown);
        check(Some(Ok(addresses)), 2000, Level::Note, "(2.0s)");
        check(Some(Ok(Vec::new())), 3, Level::Wrong, "no address");
        let unknown = io::Error::other("Name or service not known");
        check(Some(Err(unknown)), 3, Level::Wrong, "getent hosts hq");
        check(None, 15_000, Level::Wrong, "within 15s");
    }
}
