//! Certificates, keys and tokens that are renewed while the collector runs are used without a restart; files that cannot be used
//! change nothing.
//!
//! The clock of the runtime is moved on, so nobody waits for the next look at a file.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use backroom_collector::env::{ClientTls, Env as _, OsEnv, OsStream, Target, TargetTls};
use common::{PROTOBUF, Running, authority::Files, buffer, config, env, spans};

/// Longer than between two looks at a file.
const LATER: Duration = Duration::from_secs(11);

/// Moves the clock on; sockets must not see it stand still, or every limit of time would be over at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Puts a file in the place of another one, with a time of change that tells them apart.
fn replace(from: &Path, to: &Path, change: u64) {
    std::fs::copy(from, to).unwrap();
    stamp(to, change);
}

fn stamp(path: &Path, change: u64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000 + change);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(at).unwrap();
}

/// Whether a server shows the certificate in this file; `None` if it shows none to us.
async fn shows(env: &OsEnv, address: std::net::SocketAddr, cert: &Path) -> Option<bool> {
    let target = Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: Some(TargetTls {
            name: "localhost".to_owned(),
            files: ClientTls {
                pin: Some(cert.to_owned()),
                ..ClientTls::default()
            },
            is_h2: false,
        }),
    };
    match env.connect(&target).await {
        Ok(stream) => Some(!OsStream::server_certificates(&stream).is_empty()),
        Err(error) => error.to_string().contains("UnknownIssuer").then_some(false),
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let (env, old, new) = (env(), Files::new(), Files::new());
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.listen.tls = Some(old.server());
    let (first, second) = (old.path("first.pem"), new.path("server.pem"));
    replace(&old.path("server.pem"), &first, 0);
    let running = Running::start(&env, config).await;
    for address in [running.address, running.grpc] {
        assert_eq!(shows(&env, address, &first).await, Some(true));
        assert_eq!(shows(&env, address, &second).await, Some(false));
    }
    // A certificate whose key has not come yet: the old pair stays.
    replace(&second, &old.path("server.pem"), 1);
    pass(LATER).await;
    assert_eq!(shows(&env, running.address, &first).await, Some(true));
    replace(&new.path("server.key"), &old.path("server.key"), 2);
    pass(LATER).await;
    for address in [running.address, running.grpc] {
        assert_eq!(shows(&env, address, &second).await, Some(true));
        assert_eq!(shows(&env, address, &first).await, Some(false));
    }
    // Garbage, and no file at all, change nothing.
    std::fs::write(old.path("server.pem"), "not a certificate").unwrap();
    stamp(&old.path("server.pem"), 3);
    pass(LATER).await;
    assert_eq!(shows(&env, running.address, &second).await, Some(true));
    std::fs::remove_file(old.path("server.key")).unwrap();
    pass(LATER).await;
    assert_eq!(shows(&env, running.address, &second).await, Some(true));
    running.stop().await;
}

#[tokio::test]
async fn a_new_token_is_taken_and_an_old_one_is_not_without_a_restart() {
    let env = env();
    let (keep, dir) = buffer();
    let tokens = keep.path().join("tokens");
    std::fs::write(&tokens, "first\n").unwrap();
    let mut config = config(&dir, None);
    config.listen.bearer_tokens_file = Some(tokens.clone());
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    let mut check = async |token: &str, status: u16, when: &str| {
        let headers = [PROTOBUF, ("authorization", token)];
        let body = spans(0..1);
        let answer = client.request("POST", "/v1/traces", &headers, &body).await;
        assert_eq!(answer.unwrap().status, status, "{token} {when}");
    };
    check("Bearer first", 200, "at the start").await;
    check("Bearer second", 401, "at the start").await;
    std::fs::write(&tokens, "second\n").unwrap();
    check("Bearer first", 200, "before the next look").await;
    pass(LATER).await;
    check("Bearer second", 200, "after the next look").await;
    check("Bearer first", 401, "after the next look").await;
    // A file without a token would lock everybody out: it is told, and the old ones stay.
    std::fs::write(&tokens, "# none\n").unwrap();
    pass(LATER).await;
    check("Bearer second", 200, "with an empty file").await;
    assert!(running.told.has_notice("the old ones stay"));
    running.stop().await;
}
