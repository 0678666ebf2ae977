//! `listen.tls`, `listen.bearer_tokens_file`, `endpoint.tls`, `endpoint.bearer_token_file`: files that are tried when the configuration is read, so
//! that `check` finds what a start would fail on. Next: `env::tls`, which uses them.

use std::path::PathBuf;

use super::{Diagnostic, Fields, Reader, codes, proxy};
use crate::{
    env::{ClientTls, ServerTls, TlsError, TlsFile},
    shell::parse_tokens,
};

pub(super) fn listen_tls(listen: &Fields<'_>, reader: Reader) -> Option<ServerTls> {
    let f = listen.fields("tls")?;
    if refuse_in_scenario(listen, "tls", reader) {
        return None;
    }
    let path = |key| f.string(key).map(PathBuf::from);
    let tls = ServerTls {
        cert: path("cert")?,
        key: path("key")?,
        client_ca: path("client_ca"),
    };
    blame(&f, tls.check(), "client_ca");
    Some(tls)
}

pub(super) fn endpoint_tls(endpoint: &Fields<'_>, reader: Reader) -> Option<ClientTls> {
    let f = endpoint.fields("tls")?;
    if refuse_in_scenario(endpoint, "tls", reader) {
        return None;
    }
    let path = |key| f.string(key).map(PathBuf::from);
    let identity = match (path("cert"), path("key")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (cert, _) => {
            let (has, needs) = if cert.is_some() {
                ("cert", "key")
            } else {
                ("key", "cert")
            };
            f.sink().push(
                Diagnostic::error(&codes::E0101, format!("`{}` needs `{needs}`", f.place()))
                    .at(f.key_span(has), format!("`{has}` alone shows nothing"))
                    .help(format!("add `{needs}`")),
            );
            return None;
        }
    };
    let ca = path("ca");
    let tls = ClientTls {
        ca,
        identity,
        pin: None,
    };
    blame(&f, tls.check(), "ca");
    Some(tls)
}

pub(super) fn tokens_file(listen: &Fields<'_>, reader: Reader) -> Option<PathBuf> {
    let path = PathBuf::from(listen.string("bearer_tokens_file")?);
    if refuse_in_scenario(listen, "bearer_tokens_file", reader) {
        return None;
    }
    let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    if let Err(why) = read.and_then(|text| parse_tokens(&text)) {
        unusable(listen, "bearer_tokens_file", why);
    }
    Some(path)
}

pub(super) fn token_file(endpoint: &Fields<'_>, reader: Reader) -> Option<PathBuf> {
    let key = "bearer_token_file";
    let path = PathBuf::from(endpoint.string(key)?);
    if refuse_in_scenario(endpoint, key, reader) {
        return None;
    }
    let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    if let Err(why) = read.and_then(|text| parse_tokens(&text)) {
        unusable(endpoint, key, why);
    }
    Some(path)
}

/// The proxy; `None` where there is none, or where it is off.
pub(super) fn proxy(endpoint: &Fields<'_>, reader: Reader) -> Option<String> {
    let proxy = endpoint.text("proxy", proxy::proxy)?;
    if refuse_in_scenario(endpoint, "proxy", reader) {
        return None;
    }
    proxy
}

/// Reports a file at the key that names it; `ca` is the key of the roots.
fn blame(f: &Fields<'_>, result: Result<(), TlsError>, ca: &str) {
    if let Err(error) = result {
        let key = match error.file {
            TlsFile::Cert => "cert",
            TlsFile::Key => "key",
            TlsFile::Ca => ca,
        };
        unusable(f, key, error.reason);
    }
}

fn unusable(f: &Fields<'_>, key: &str, why: String) {
    let span = f.node(key).map_or(f.span(), |node| node.span);
    f.sink()
        .push(Diagnostic::error(&codes::E0703, format!("`{key}` cannot be used")).at(span, why));
}

fn refuse_in_scenario(f: &Fields<'_>, key: &str, reader: Reader) -> bool {
    if reader == Reader::Scenario {
        f.sink().push(
            Diagnostic::error(&codes::E0704, format!("a simulated store has no `{key}`"))
                .at(f.key_span(key), "real machines only")
                .help(String::from("remove it")),
        );
    }
    reader == Reader::Scenario
}
