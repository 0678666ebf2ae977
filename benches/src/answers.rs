//! A receiver that acknowledges at once and looks at nothing: so little that it does not weigh on what is sent to it.
//!
//! Not for checking what has come: that is `backroom_sim::sink`, which reads every item.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    thread::JoinHandle,
};

use backroom_collector::{
    config::Protocol,
    env::{Env as _, Executor, Listener as _, OsEnv},
    otlp::{grpc, response::PROTOBUF},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

type Body = BoxBody<Bytes, Infallible>;

/// A receiver in a thread of its own, until this is dropped.
#[derive(Debug)]
pub struct Answers {
    address: SocketAddr,
    protocol: Protocol,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Answers {
    /// Listens on a port that is free.
    ///
    /// # Errors
    /// If there is no thread or no port for it.
    pub fn start(protocol: Protocol) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(protocol, tell) => {}
                    // Dropped or sent, it is the end.
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("answers".into());
        let thread = thread.spawn(run)?;
        let address = told
            .recv()
            .map_err(|_| io::Error::other("the receiver has not started"))??;
        Ok(Self {
            address,
            protocol,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the receiver has panicked");
        }
    }
}

async fn serve(protocol: Protocol, tell: mpsc::Sender<io::Result<SocketAddr>>) {
    let env = OsEnv::with_root([9; 32]);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = env.listen(any).await;
    let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let mut listener = match bound {
        Ok((address, listener)) => {
            // Whoever asked has gone: it ends at once.
            let _ = tell.send(Ok(address));
            listener
        }
        Err(error) => {
            let _ = tell.send(Err(error));
            return;
        }
    };
    // A connection that ends badly is the collector's to open again.
    while let Ok((stream, _)) = listener.accept().await {
        let stream = TokioIo::new(stream);
        match protocol {
            Protocol::Grpc => {
                let server = http2::Builder::new(Executor(env.clone()));
                env.spawn(server.serve_connection(stream, service_fn(over_grpc)));
            }
            _ => {
                let server = http1::Builder::new();
                env.spawn(server.serve_connection(stream, service_fn(over_http)));
            }
        }
    }
}

async fn read(request: Request<Incoming>) -> Result<(), hyper::Error> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        drop(frame?);
    }
    Ok(())
}

fn answer(kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

async fn over_http(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    read(request).await?;
    Ok(answer(PROTOBUF, Full::new(Bytes::new()).boxed()))
}

async fn over_grpc(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    read(request).await?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(grpc::frame(&[])));
    let body = body.with_trailers(async { Some(Ok(trailers)) });
    Ok(answer(grpc::CONTENT_TYPE, body.boxed()))
}
