//! What belongs to the line: the name, the way, whether an OTLP receiver answers at its end, and whether both clocks agree.

use std::{net::SocketAddr, time::Duration};

use hyper::{Response, header};

use super::{Finding, Level, Patient, certificates, name};
use crate::{
    config::{ENDPOINT_NAME, Endpoint},
    core::verdict::Verdict,
    env::Env as _,
    shell::fetch,
};

/// Longest wait for an answer of the destination.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Clocks that differ more make items seem too old, or to come from the future.
const CLOCKS_DIFFER: u64 = 60;

/// Whether an OTLP receiver answers where the configuration says; each destination in the order of the configuration.
pub(super) async fn destinations(patient: &Patient) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, endpoint) in patient.config.routes() {
        let found = destination(patient, endpoint).await;
        match name.as_str() {
            ENDPOINT_NAME => findings.extend(found),
            name => findings.extend(found.into_iter().map(|finding| named(finding, name))),
        }
    }
    if findings.is_empty() {
        let way_out = "set endpoint, --endpoint or OTEL_EXPORTER_OTLP_ENDPOINT";
        let found = "none is set: everything is kept";
        findings.push(Finding::note("endpoint", found, way_out));
    }
    findings
}

/// A finding about another destination than `endpoint`, whose keys stand in a table of its name.
fn named(finding: Finding, name: &str) -> Finding {
    let what = match finding.what {
        "endpoint" => "destination",
        what => what,
    };
    let way_out = finding.way_out;
    Finding {
        what,
        found: format!("{name}: {}", finding.found),
        way_out: way_out.map(|text| text.replace("endpoint.", &format!("destination.{name}."))),
        ..finding
    }
}

async fn destination(patient: &Patient, endpoint: &Endpoint) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_own = |listen: SocketAddr| {
        let named = format!("//localhost:{}", listen.port());
        endpoint.url.ends_with(&format!("//{listen}"))
            || listen.ip().is_loopback() && endpoint.url.ends_with(&named)
    };
    if patient.config.listen.http.is_some_and(is_own) {
        let found = format!("{} is the collector's own address", endpoint.url);
        let way_out =
            "set endpoint to the next hop; OTEL_EXPORTER_OTLP_ENDPOINT is meant for the senders";
        findings.push(Finding::wrong("endpoint", found, way_out));
        return findings;
    }
    if let Some(url) = &endpoint.proxy {
        // What stands before the host may be a password.
        let place = url
            .rsplit_once('@')
            .map_or(url.as_str(), |(_, place)| place);
        let place = place.trim_start_matches("http://");
        let found = format!("{} is reached through {place}", endpoint.url);
        findings.push(Finding::ok("proxy", found));
    }
    // A proxy resolves the destination's name by itself.
    let first_hop = endpoint.proxy.as_ref().unwrap_or(&endpoint.url);
    let resolved = name::resolved(patient, first_hop).await;
    let is_lost = resolved
        .as_ref()
        .is_some_and(|finding| finding.level == Level::Wrong);
    findings.extend(resolved);
    if is_lost {
        return findings;
    }
    match fetch::probe(&patient.env, endpoint, TIMEOUT).await {
        Ok(answer) => {
            findings.push(answered(endpoint, &answer, patient.env.unix_time()));
            findings.extend(certificates::of_destination(patient, endpoint).await);
            findings.extend(clocks(&answer, patient.env.unix_time()));
        }
        Err(reason) => findings.push(unanswered(endpoint, &reason)),
    }
    findings
}

fn unanswered(endpoint: &Endpoint, reason: &str) -> Finding {
    let lower = reason.to_lowercase();
    let way_out = if reason.contains("bearer_token_file") {
        "give the file a token in its first line, which the collector's user may read"
    } else if reason.contains("CONNECT") {
        "the proxy is there and does not let the destination through: check endpoint.proxy, or have it allowed"
    } else if reason.starts_with("proxy ") {
        "check endpoint.proxy and HTTPS_PROXY, or set endpoint.proxy = \"off\""
    } else if reason.contains("resolve") {
        "check the name and the DNS server (`getent hosts NAME`)"
    } else if reason.contains("refused") {
        "nothing listens there: check the port; a receiver may be down"
    } else if reason.contains("certificate is not for") {
        "the certificate is for another name: check the URL; if it is right, somebody is in between, such as a captive portal"
    } else if lower.contains("unknownissuer") {
        "set endpoint.tls.ca to the root that the receiver's certificate is from; if it was trusted before, somebody is in between"
    } else if lower.contains("expired") {
        "have the receiver's certificate renewed; if it is not past its time, our clock is ahead"
    } else if lower.contains("not valid yet") || lower.contains("notvalidyet") {
        "set our clock: the certificate begins later than what it says"
    } else if lower.contains("tls") {
        "check the certificates, and the clock: both sides must agree on the time"
    } else {
        "check the line, the route and any firewall between"
    };
    Finding::wrong("endpoint", format!("{}: {reason}", endpoint.url), way_out)
}

/// What an answer to an empty export says.
fn answered(endpoint: &Endpoint, answer: &Response<bytes::Bytes>, now: Duration) -> Finding {
    let text = |name: header::HeaderName| {
        answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let status = answer.status().as_u16();
    let content_type = text(header::CONTENT_TYPE);
    let verdict = fetch::judge(endpoint, answer, now);
    let url = &endpoint.url;
    let is_page = content_type.is_some_and(|kind| kind.starts_with("text/html"));
    let is_portal = status == 511 || is_page || (300..400).contains(&status);
    match verdict {
        Verdict::Delivered(_) => Finding::ok("endpoint", format!("{url} takes OTLP")),
        _ if is_portal => {
            let to = text(header::LOCATION)
                .map(|to| format!(", and sends to {to}"))
                .unwrap_or_default();
            Finding::wrong(
                "endpoint",
                format!("{url} answers {status} with a page{to}: a captive portal or a proxy"),
                "log in to the network, or let the destination through the proxy; nothing is lost meanwhile",
            )
        }
        Verdict::Path { reason, .. } => {
            let way_out = match status {
                401 | 403 => {
                    "check endpoint.bearer_token_file, or the credentials in endpoint.headers"
                }
                407 => "set endpoint.proxy with the user and password that the proxy wants",
                404 | 405 => "check the path of the URL: /v1/traces is appended to it",
                429 | 502..=504 => "the receiver is busy or down: it is tried again by itself",
                _ => "ask whoever runs the receiver; nothing is lost meanwhile",
            };
            Finding::wrong("endpoint", format!("{url}: {reason}"), way_out)
        }
        Verdict::Codec { .. } => Finding::wrong(
            "endpoint",
            format!("{url} answers {status} to an uncompressed request"),
            "ask whoever runs the receiver whether it takes OTLP with protobuf",
        ),
        Verdict::Payload { message, .. } => Finding::wrong(
            "endpoint",
            format!("{url} answers {status} to an empty request: {message}"),
            "ask whoever runs the receiver whether it takes OTLP with protobuf",
        ),
    }
}

/// Whether the clocks of both ends agree; nothing where the answer carries no date.
fn clocks(answer: &Response<bytes::Bytes>, now: Duration) -> Option<Finding> {
    let date = answer.headers().get(header::DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date)
        .ok()?
        .timestamp()
        .as_second();
    let ours = i64::try_from(now.as_secs()).ok()?;
    let ahead = ours - theirs;
    if ahead.unsigned_abs() <= CLOCKS_DIFFER {
        return Some(Finding::ok("clocks", "ours and the destination's agree"));
    }
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let found = format!("ours is {} s {way} the destination's", ahead.unsigned_abs());
    let way_out = "synchronise the clock (chrony, systemd-timesyncd): receivers refuse what is too old or from the future";
    Some(Finding::wrong("clocks", found, way_out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    fn answer(
        status: u16,
        headers: &[(&str, &str)],
        body: &'static [u8],
    ) -> Response<bytes::Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(bytes::Bytes::from_static(body)).unwrap()
    }

    #[test]
    fn an_answer_that_is_no_otlp_is_told_for_what_it_is() {
        let endpoint = Endpoint::new("http://hq:4318");
        let check = |answer: Response<bytes::Bytes>, level: Level, part: &str| {
            let finding = answered(&endpoint, &answer, Duration::ZERO);
            assert_eq!(finding.level, level, "{finding:?}");
            let all = format!("{} {:?}", finding.found, finding.way_out);
            assert!(all.contains(part), "{all}");
        };
        let protobuf = ("content-type", "application/x-protobuf");
        check(answer(200, &[protobuf], b""), Level::Ok, "takes OTLP");
        let html = ("content-type", "text/html; charset=utf-8");
        check(
            answer(200, &[html], b"<html>log in"),
            Level::Wrong,
            "captive portal",
        );
        check(
            answer(302, &[("location", "http://login.example/")], b""),
            Level::Wrong,
            "http://login.example/",
        );
        check(answer(511, &[], b""), Level::Wrong, "captive portal");
        check(answer(401, &[], b""), Level::Wrong, "credentials");
        check(answer(404, &[], b""), Level::Wrong, "path of the URL");
        check(answer(503, &[], b""), Level::Wrong, "by itself");
    }

    #[test]
    fn a_certificate_that_is_refused_has_a_way_out_of_its_own() {
        let endpoint = Endpoint::new("https://hq:4318");
        let check = |error: rustls::CertificateError, part: &str| {
            let reason = format!("TLS: {}", rustls::Error::InvalidCertificate(error));
            let way_out = unanswered(&endpoint, &reason).way_out.unwrap_or_default();
            assert!(way_out.contains(part), "{reason}: {way_out}");
        };
        let (early, late) = (
            rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(1)),
            rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(2)),
        );
        check(rustls::CertificateError::UnknownIssuer, "endpoint.tls.ca");
        check(rustls::CertificateError::Expired, "renewed");
        let expired = rustls::CertificateError::ExpiredContext {
            time: late,
            not_after: early,
        };
        check(expired, "renewed");
        let early = rustls::CertificateError::NotValidYetContext {
            time: early,
            not_before: late,
        };
        check(early, "set our clock");
        check(
            rustls::CertificateError::BadEncoding,
            "check the certificates",
        );
    }

    #[test]
    fn clocks_that_differ_are_told() {
        let date = ("date", "Wed, 15 Nov 2023 08:12:31 GMT");
        let at = 1_700_035_951;
        let check = |now: u64, expect: Option<&str>| {
            let found =
                clocks(&answer(200, &[date], b""), Duration::from_secs(now)).expect("a date");
            match expect {
                None => assert_eq!(found.level, Level::Ok, "{found:?}"),
                Some(part) => assert!(found.found.contains(part), "{found:?}"),
            }
        };
        check(at + 5, None);
        check(at + 100, Some("100 s ahead of"));
        check(at - 86_400, Some("86400 s behind"));
        assert!(clocks(&answer(200, &[], b""), Duration::ZERO).is_none());
    }
}
