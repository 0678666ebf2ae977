//! TLS, client certificates and tokens on real sockets: who passes, who does not, and what each is told.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::path::Path;

use backroom_collector::{
    config::{Endpoint, Protocol, load_text},
    env::{ClientTls, ConnectError, Env, OsEnv, OsStream, ServerTls, Target, TargetTls},
    otlp::grpc,
};
use common::{Client, PROTOBUF, Running, Sink, authority::Files, buffer, config, env, spans};

async fn connect(
    env: &OsEnv,
    address: std::net::SocketAddr,
    name: &str,
    files: ClientTls,
) -> Result<OsStream, ConnectError> {
    let target = Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: Some(TargetTls {
            name: name.to_owned(),
            files,
            is_h2: false,
        }),
    };
    env.connect(&target).await
}

#[tokio::test]
async fn both_listeners_speak_tls() {
    let (env, files) = (env(), Files::new());
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.listen.tls = Some(files.server());
    let running = Running::start(&env, config).await;
    // Who says nothing, and who does not speak TLS, hold up nobody.
    let silent = Client::connect(running.address).await;
    let mut plain = Client::connect(running.address).await;
    assert!(plain.post_spans(0..1).await.is_none(), "no answer in clear");

    let stream = connect(&env, running.address, "localhost", files.client())
        .await
        .unwrap();
    let mut client = Client::over(stream);
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    assert_eq!(client.post_spans(10..20).await.unwrap().status, 200);
    for port in [running.address, running.grpc] {
        let stream = connect(&env, port, "127.0.0.1", files.client())
            .await
            .unwrap();
        let mut client = common::http2::Http2::over(&env, stream).await;
        let (path, body) = if port == running.grpc {
            (
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                grpc::frame(&spans(0..5)),
            )
        } else {
            ("/v1/traces", spans(0..5))
        };
        let content_type = if port == running.grpc {
            "application/grpc"
        } else {
            PROTOBUF.1
        };
        let reply = client
            .post(path, &[("content-type", content_type)], body)
            .await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(running.told.stored(), 30);

    let error = connect(&env, running.address, "hq.example", files.client())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::CertificateName { .. }),
        "{error}"
    );
    let strangers = Files::new();
    let error = connect(&env, running.address, "localhost", strangers.client())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    drop(silent);
    running.stop().await;
}

#[tokio::test]
async fn clients_must_show_a_certificate_where_one_is_asked_for() {
    let (env, files) = (env(), Files::new());
    let (_keep, dir) = buffer();
    let mut config = config(&dir, None);
    config.listen.tls = Some(ServerTls {
        client_ca: Some(files.path("ca.pem")),
        ..files.server()
    });
    let running = Running::start(&env, config).await;
    let stream = connect(
        &env,
        running.address,
        "localhost",
        files.client_with_identity(),
    )
    .await;
    let mut client = Client::over(stream.unwrap());
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    // TLS 1.3 tells the client after its own handshake has ended.
    let strangers = ClientTls {
        ca: files.client().ca,
        ..Files::new().client_with_identity()
    };
    for files in [files.client(), strangers] {
        match connect(&env, running.address, "localhost", files).await {
            Ok(stream) => assert!(Client::over(stream).post_spans(0..1).await.is_none()),
            Err(error) => assert!(matches!(error, ConnectError::Tls(_)), "{error}"),
        }
    }
    assert_eq!(running.told.stored(), 10);
    running.stop().await;
}

#[tokio::test]
async fn batches_are_sent_over_tls() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let (env, files) = (env(), Files::new());
        let (_keep, dir) = buffer();
        let sink = Sink::closed(&env).await;
        match protocol {
            Protocol::Grpc => sink.listen_grpc_tls(&files.server()).await,
            _ => sink.listen_tls(&files.server()).await,
        }
        let mut config = config(&dir, None);
        config.endpoint = Some(Endpoint {
            tls: Some(files.client()),
            protocol,
            ..Endpoint::new(format!("https://localhost:{}", sink.address.port()))
        });
        let running = Running::start(&env, config).await;
        let answer = running.client().await.post_spans(0..20).await;
        assert_eq!(answer.unwrap().status, 200);
        sink.wait_for_spans(20).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn senders_need_a_token_where_there_are_some() {
    let env = env();
    let (keep, dir) = buffer();
    let tokens = keep.path().join("tokens");
    std::fs::write(&tokens, "# till 1\nfirst\nsecond\n").unwrap();
    let mut config = config(&dir, None);
    config.listen.bearer_tokens_file = Some(tokens);
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    for (token, status) in [
        (None, 401),
        (Some("Bearer third"), 401),
        (Some("Bearer firs"), 401),
        (Some("Basic first"), 401),
        (Some("Bearer first"), 200),
        (Some("bearer second"), 200),
    ] {
        let mut headers = vec![PROTOBUF];
        headers.extend(token.map(|token| ("authorization", token)));
        let answer = client
            .request("POST", "/v1/traces", &headers, &spans(0..5))
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{token:?}");
        if status == 401 {
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(
                answer.message().contains("bearer_tokens_file"),
                "{}",
                answer.message()
            );
        }
    }
    // Probes of a service manager carry none.
    let health = client.request("GET", "/healthz", &[], b"").await.unwrap();
    assert_eq!(health.status, 200);
    let stream = common::connect(&env, running.grpc).await;
    let mut client = common::http2::Http2::over(&env, stream).await;
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let grpc_type = ("content-type", "application/grpc");
    let reply = client
        .post(path, &[grpc_type], grpc::frame(&spans(0..5)))
        .await;
    assert_eq!(reply.grpc_status(), "16");
    let with = [grpc_type, ("authorization", "Bearer first")];
    let reply = client.post(path, &with, grpc::frame(&spans(0..5))).await;
    assert_eq!(reply.grpc_status(), "0");
    assert_eq!(running.told.stored(), 15);
    running.stop().await;
}

/// What a start would fail on, `check` finds, at the key that is to blame.
#[test]
fn files_are_tried_when_the_configuration_is_read() {
    let (files, strangers) = (Files::new(), Files::new());
    files.write("none.pem", "nothing");
    files.write("tokens", "# none yet\n");
    let shown = |path: &Path| format!("\"{}\"", path.display());
    let (cert, key) = (
        shown(&files.path("server.pem")),
        shown(&files.path("server.key")),
    );
    let check = |text: String, expect: Option<(&str, &str)>| {
        let result = load_text("collector.toml", &text);
        match expect {
            None => drop(result.unwrap_or_else(|report| panic!("{report}"))),
            Some((blamed, why)) => {
                let report = result.expect_err(&text);
                let label = report.list[0].primary.as_ref().expect("a place");
                assert_eq!(report.sources.text(label.span), blamed, "{report}");
                assert!(report.to_string().contains(why), "{report}");
            }
        }
    };
    check(
        format!("listen.tls = {{ cert = {cert}, key = {key} }}"),
        None,
    );
    check(
        "listen.tls = { cert = \"/nowhere.pem\", key = \"/nowhere.key\" }".to_owned(),
        Some(("\"/nowhere.pem\"", "No such file")),
    );
    let other = shown(&strangers.path("server.key"));
    check(
        format!("listen.tls = {{ cert = {cert}, key = {other} }}"),
        Some((&other, "cannot be used")),
    );
    let none = shown(&files.path("none.pem"));
    check(
        format!("listen.tls = {{ cert = {cert}, key = {key}, client_ca = {none} }}"),
        Some((&none, "no certificate")),
    );
    check(
        format!("listen.tls = {{ cert = {cert} }}"),
        Some((&format!("{{ cert = {cert} }}"), "needs `key`")),
    );
    let tokens = shown(&files.path("tokens"));
    check(
        format!("listen.bearer_tokens_file = {tokens}"),
        Some((&tokens, "no token")),
    );
    let https = "endpoint.url = \"https://hq.example\"\n";
    let ca = shown(&files.path("ca.pem"));
    check(
        format!("{https}endpoint.tls = {{ ca = {ca}, cert = {cert}, key = {key} }}"),
        None,
    );
    check(
        format!("{https}endpoint.tls = {{ ca = {ca}, cert = {cert} }}"),
        Some(("cert", "needs `key`")),
    );
    check(
        format!("endpoint = {{ url = \"http://hq.example\", tls = {{ ca = {ca} }} }}"),
        Some(("tls", "never used")),
    );
}

/// A peer that connects and says nothing is let go of after ten seconds.
#[tokio::test]
async fn a_silent_peer_has_its_time_for_a_handshake() {
    use backroom_collector::env::Listener as _;
    use tokio::io::AsyncReadExt as _;
    let (env, files) = (env(), Files::new());
    let any = "127.0.0.1:0".parse().unwrap();
    let mut listener = env.listen_tls(any, &files.server()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    // Nothing more comes from outside, so the clock may run ahead to what is waited for.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 10);
    drop(silent);
}
