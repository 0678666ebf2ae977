//! The small scenario on classic `turmoil`: the peer that our engine is measured against.
//!
//! It advances every host by a fixed tick, scans every link for every host, has no bandwidth, and never retransmits.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;
use turmoil::net::{TcpListener, TcpStream};

use crate::exchange::{Exchange, Log, PORT};

/// Runs it to its end.
///
/// # Panics
/// If a machine's connection breaks.
pub fn run(exchange: &Exchange, tick: Duration) -> Log {
    let (log, exchange) = (Log::default(), *exchange);
    let mut sim = turmoil::Builder::new()
        .rng_seed(exchange.seed)
        .epoch(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .tick_duration(tick)
        .min_message_latency(exchange.delay)
        .max_message_latency(exchange.delay)
        .simulation_duration(exchange.duration_max())
        .build();
    let served = log.clone();
    sim.host("hq", move || {
        let log = served.clone();
        async move {
            let start = Instant::now();
            let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(exchange.answer(stream, start, log.clone()));
            }
        }
    });
    for host in 0..exchange.hosts {
        let log = log.clone();
        sim.client(Exchange::name(host), async move {
            let start = Instant::now();
            let stream = TcpStream::connect(("hq", PORT)).await?;
            exchange.ask(host, stream, start, log).await?;
            Ok(())
        });
    }
    sim.run().expect("the line is well");
    log
}
