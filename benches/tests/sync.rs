//! What the suite `sync` measures does take place: requests are taken over both protocols, and a filled buffer goes out whole.

use std::{path::Path, sync::Arc, time::Duration};

use backroom_benches::{
    answers::Answers,
    drain::Filled,
    export::Exporters,
    intake::Intake,
    requests::{of_store, size},
};
use backroom_collector::{config::Protocol, shell::Quiet};
use backroom_sim::plan::stores;

fn disk() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Guarantees: a round ends with every request acknowledged, over HTTP and over gRPC, and another can follow it.
#[test]
fn a_collector_takes_rounds_of_requests() {
    let requests = of_store(stores::find("agency-office").expect("a kind"));
    let intake = Intake::start_with(disk(), Arc::new(Quiet), |_| {}).expect("it starts");
    for (protocol, address) in [
        (Protocol::HttpProtobuf, intake.http()),
        (Protocol::Grpc, intake.grpc()),
    ] {
        let exporters = Exporters::connect(address, protocol, 4, &requests);
        let mut exporters = exporters.expect("it listens");
        for _ in 0..2 {
            exporters.round().expect("it takes them");
        }
    }
}

/// Guarantees: what was filled once goes out as often as it is asked for, over either protocol.
#[test]
fn a_filled_buffer_goes_out_whole() {
    let requests = of_store(stores::find("agency-office").expect("a kind"));
    let filled = Filled::fill(disk(), &requests, 2).expect("it is filled");
    let (items, bytes) = size(&requests);
    assert_eq!((filled.items, filled.bytes), (2 * items, 2 * bytes));
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let answers = Answers::start(protocol).expect("a port");
        for _ in 0..2 {
            let took = filled.drain(disk(), &answers).expect("all of it arrives");
            assert!(took > Duration::ZERO, "{protocol:?}");
        }
    }
}
