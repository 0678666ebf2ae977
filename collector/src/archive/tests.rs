//! Export files: what was written is read, and any other bytes are refused with their place, without a panic.

use std::io::Cursor;

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{core::class::ClassName, otlp::Signal};

fn batch(signal: Signal, first: u64, count: u64) -> Batch {
    let names = first..first + count;
    let request = match signal {
        Signal::Traces => {
            let spans = names.map(|n| Span {
                name: n.to_string(),
                trace_id: vec![1; 16],
                span_id: vec![2; 8],
                ..Span::default()
            });
            let scope = ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            };
            let resource = ResourceSpans {
                scope_spans: vec![scope],
                ..ResourceSpans::default()
            };
            let resource_spans = vec![resource];
            ExportTraceServiceRequest { resource_spans }.encode_to_vec()
        }
        _ => {
            let records = names.map(|n| LogRecord {
                time_unix_nano: n + 1,
                ..LogRecord::default()
            });
            let scope = ScopeLogs {
                log_records: records.collect(),
                ..ScopeLogs::default()
            };
            let resource = ResourceLogs {
                scope_logs: vec![scope],
                ..ResourceLogs::default()
            };
            let resource_logs = vec![resource];
            ExportLogsServiceRequest { resource_logs }.encode_to_vec()
        }
    };
    Batch {
        range: ItemRange {
            store: 0xabc,
            boot: 3,
            class: ClassName::new("some-class").unwrap(),
            signal,
            first,
            count,
        },
        born_min: u64::MAX - 2,
        born_max: u64::MAX - 1,
        request: request.into(),
    }
}

fn batches() -> Vec<Batch> {
    vec![
        batch(Signal::Traces, 0, 3),
        batch(Signal::Logs, 0, 1),
        batch(Signal::Traces, 3, 200),
    ]
}

fn written(format: Format, compression: Compression) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), format, compression).unwrap();
    for batch in batches() {
        writer.add(&batch).unwrap();
    }
    writer.finish().unwrap()
}

fn read(data: &[u8]) -> (Vec<Batch>, Option<ReadError>) {
    let mut batches = Vec::new();
    let mut reader = match Reader::new(Cursor::new(data.to_vec())) {
        Ok(reader) => reader,
        Err(error) => {
            let why = error.to_string();
            let place = String::new();
            return (batches, Some(ReadError { place, why }));
        }
    };
    loop {
        match reader.next() {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, None),
            Err(error) => return (batches, Some(error)),
        }
    }
}

#[test]
fn what_is_written_is_read() {
    for format in [Format::Proto, Format::Json] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (found, error) = read(&written(format, compression));
            assert!(error.is_none(), "{error:?}");
            assert_eq!(found, batches(), "{format:?} {compression:?}");
        }
    }
    assert!(matches!(read(b""), (found, None) if found.is_empty()));
}

/// Unknown fields survive in protobuf: the request is kept as it is.
#[test]
fn protobuf_is_kept_byte_for_byte() {
    let mut odd = batch(Signal::Logs, 7, 2);
    odd.request = [&odd.request[..], &[0xfa, 0x01, 0x01, 0x07]]
        .concat()
        .into();
    let mut writer = Writer::new(Vec::new(), Format::Proto, Compression::None).unwrap();
    writer.add(&odd).unwrap();
    let (found, _) = read(&writer.finish().unwrap());
    assert_eq!(found, [odd]);
}

#[test]
fn errors_say_where_and_what() {
    let check = |data: &[u8], place: &str, why: &str| {
        let (_, error) = read(data);
        let error = error.expect("refused").to_string();
        assert!(error.starts_with(place) && error.contains(why), "{error}");
    };
    let proto = written(Format::Proto, Compression::None);
    check(
        &proto[..proto.len() - 1],
        "byte ",
        "the file ends inside a batch",
    );
    let mut flipped = proto.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    check(&flipped, "byte ", "checksum");
    check(
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        "byte 10",
        "bytes, more than",
    );
    check(b"PK\x03\x04", "byte 0", "not an export");
    let json = String::from_utf8(written(Format::Json, Compression::None)).unwrap();
    check(
        json.replace("some-class-0-1", "some-class-0-2").as_bytes(),
        "line 2",
        "holds 1 items",
    );
    check(
        b"{\"resourceLogs\":[]}\n",
        "line 1",
        "no member \"backroom\"",
    );
    let cut = format!("{}\n\n{{\"backroom\":\n", json.lines().next().unwrap());
    check(cut.as_bytes(), "line 3", "EOF");
    let swapped = json.replace("\"signal\":\"logs\"", "\"signal\":\"traces\"");
    check(swapped.as_bytes(), "line 2", "holds 0 items");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Damage is refused or hits what does not matter; what is read before it is what was written.
    #[test]
    fn damage_is_noticed(at: prop::sample::Index, byte: u8, cut: Option<prop::sample::Index>, is_json: bool) {
        let format = if is_json { Format::Json } else { Format::Proto };
        let mut data = written(format, Compression::None);
        let at = at.index(data.len());
        data[at] = byte;
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        let (found, error) = read(&data);
        if !is_json && error.is_none() {
            let whole = batches();
            prop_assert!(found.len() <= whole.len());
            for (found, whole) in found.iter().zip(&whole) {
                prop_assert_eq!(found, whole);
            }
        }
    }

    #[test]
    fn noise_is_refused(data in prop::collection::vec(any::<u8>(), 1..200)) {
        let (found, error) = read(&data);
        prop_assert!(found.is_empty());
        prop_assert!(error.is_some());
    }
}
