//! Certificates and the days that they have left: those that the collector shows, and the one that the destination shows.

use std::{path::Path, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Finding, Patient};
use crate::{
    config::{ENDPOINT_NAME, Endpoint},
    env::Env as _,
    shell::fetch,
};

/// Longest wait for a handshake.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whoever renews by hand wants to know a month before.
const DAYS_NOTE: i64 = 30;

/// What renews itself has done so by now.
const DAYS_WRONG: i64 = 7;

const DAY_SECONDS: i64 = 86_400;

/// When a certificate, and those between it and the root, can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    /// Unix seconds.
    not_before: i64,
    not_after: i64,
}

/// Those that the collector shows, to senders and to its destinations.
pub(super) fn own(patient: &Patient) -> Vec<Finding> {
    let config = &patient.config;
    let listener = config.listen.tls.as_ref().map(|tls| &tls.cert);
    let identities = config.routes().filter_map(|(name, endpoint)| {
        let (cert, _) = endpoint.tls.as_ref()?.identity.as_ref()?;
        let what = match name.as_str() {
            ENDPOINT_NAME => "endpoint.tls",
            _ => "destination",
        };
        Some((what, cert))
    });
    let now = patient.env.unix_time();
    let listener = listener.map(|cert| ("listen.tls", cert)).into_iter();
    listener
        .chain(identities)
        .map(|(what, path)| of_file(what, path, now))
        .collect()
}

fn of_file(what: &'static str, path: &Path, now: Duration) -> Finding {
    let way_out = "renew it; the new files are used without a restart";
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let read: Result<Vec<CertificateDer<'_>>, String> = read.map_err(|error| error.to_string());
    match read.and_then(|chain| validity(&chain)) {
        Ok(validity) => told(
            what,
            &format!("the certificate {shown}"),
            validity,
            now,
            way_out,
        ),
        // `check` says what is wrong with it; here it is only its time that counts.
        Err(why) => Finding::wrong(what, format!("read {shown}: {why}"), "see `check`"),
    }
}

/// The one that the destination shows.
pub(super) async fn of_destination(patient: &Patient, endpoint: &Endpoint) -> Option<Finding> {
    let chain = fetch::certificates(&patient.env, endpoint, TIMEOUT).await;
    let validity = validity(&chain.ok()?).ok()?;
    let way_out =
        "have it renewed: when it has expired nothing is sent any more, and everything is kept";
    let name = format!("that of {}", endpoint.url);
    let now = patient.env.unix_time();
    Some(told("certificate", &name, validity, now, way_out))
}

/// When all of a chain can be used.
fn validity(chain: &[CertificateDer<'_>]) -> Result<Validity, String> {
    let one = |cert: &CertificateDer<'_>| {
        let (_, cert) = X509Certificate::from_der(cert).map_err(|error| error.to_string())?;
        let validity = cert.validity();
        Ok(Validity {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    };
    let all: Result<Vec<Validity>, String> = chain.iter().map(one).collect();
    let all = all?.into_iter().reduce(|one, other| Validity {
        not_before: one.not_before.max(other.not_before),
        not_after: one.not_after.min(other.not_after),
    });
    all.ok_or_else(|| "no certificate in it".to_owned())
}

fn told(
    what: &'static str,
    name: &str,
    validity: Validity,
    now: Duration,
    way_out: &str,
) -> Finding {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let day = |at: i64| match jiff::Timestamp::from_second(at) {
        Ok(at) => at.to_string().chars().take(10).collect(),
        Err(_) => "the end of time".to_owned(),
    };
    let until = day(validity.not_after);
    let left = validity.not_after.saturating_sub(now);
    if validity.not_before > now {
        let found = format!("{name} begins on {}", day(validity.not_before));
        return Finding::wrong(what, found, "set our clock, or wait");
    }
    if left < 0 {
        return Finding::wrong(what, format!("{name} expired on {until}"), way_out);
    }
    let found = match left / DAY_SECONDS {
        0 => format!("{name} expires within a day"),
        1 => format!("{name} expires in 1 day, on {until}"),
        days => format!("{name} expires in {days} days, on {until}"),
    };
    match left / DAY_SECONDS {
        days if days < DAYS_WRONG => Finding::wrong(what, found, way_out),
        days if days < DAYS_NOTE => Finding::note(what, found, way_out),
        _ => Finding::ok(what, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn days_left_are_told_in_time() {
        let day = 86_400;
        let validity = Validity {
            not_before: 1000 * day,
            not_after: 2000 * day,
        };
        let check = |days: i64, level: Level, part: &str| {
            let now = Duration::from_secs((days * day) as u64);
            let finding = told("listen.tls", "it", validity, now, "renew it");
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.found.contains(part), "{finding:?}");
        };
        check(999, Level::Wrong, "begins on 1972-09-27");
        check(1000, Level::Ok, "in 1000 days, on 1975-06-24");
        check(1970, Level::Ok, "in 30 days");
        check(1971, Level::Note, "in 29 days");
        check(1994, Level::Wrong, "in 6 days");
        check(1999, Level::Wrong, "in 1 day,");
        check(2000, Level::Wrong, "within a day");
        check(2001, Level::Wrong, "expired on 1975-06-24");
    }

    #[test]
    fn a_chain_lasts_as_long_as_its_first_to_expire() {
        let cert = |from: i32, until: i32| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["hq".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(until, 1, 1);
            params.self_signed(&key).unwrap().der().clone()
        };
        let year = |year: i32| rcgen::date_time_ymd(year, 1, 1).unix_timestamp();
        let chain = [cert(2020, 2040), cert(2021, 2030)];
        let expect = Validity {
            not_before: year(2021),
            not_after: year(2030),
        };
        assert_eq!(validity(&chain), Ok(expect));
        assert!(validity(&[]).is_err());
        assert!(validity(&[CertificateDer::from(vec![1, 2, 3])]).is_err());
    }
}
