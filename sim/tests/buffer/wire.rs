//! Numbered telemetry, and just enough HTTP to post and to receive it.

use std::collections::BTreeMap;

use backroom_collector::otlp::Signal;
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A request of items with these numbers, each with `ballast`, which should not compress.
pub(crate) fn request(signal: Signal, ids: &[u32], ballast: &[u8]) -> Vec<u8> {
    match signal {
        Signal::Traces => {
            let span = |id: &u32| Span {
                trace_id: vec![7; 16],
                span_id: u64::from(id + 1).to_be_bytes().to_vec(),
                name: id.to_string(),
                trace_state: hex(ballast),
                ..Span::default()
            };
            let scope_spans = vec![ScopeSpans {
                spans: ids.iter().map(span).collect(),
                ..ScopeSpans::default()
            }];
            let resource_spans = vec![ResourceSpans {
                scope_spans,
                ..ResourceSpans::default()
            }];
            ExportTraceServiceRequest { resource_spans }.encode_to_vec()
        }
        _ => {
            let record = |id: &u32| LogRecord {
                body: Some(AnyValue {
                    value: Some(Value::StringValue(format!("{id} {}", hex(ballast)))),
                }),
                ..LogRecord::default()
            };
            let scope_logs = vec![ScopeLogs {
                log_records: ids.iter().map(record).collect(),
                ..ScopeLogs::default()
            }];
            let resource_logs = vec![ResourceLogs {
                scope_logs,
                ..ResourceLogs::default()
            }];
            ExportLogsServiceRequest { resource_logs }.encode_to_vec()
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The numbers in a request.
pub(crate) fn ids(signal: Signal, request: &[u8]) -> Vec<u32> {
    let number = |text: &str| {
        let first = text.split(' ').next().unwrap();
        first.parse().expect("items are numbered")
    };
    match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(request)
            .expect("what arrives is well formed")
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans)
            .map(|span| number(&span.name))
            .collect(),
        _ => ExportLogsServiceRequest::decode(request)
            .expect("what arrives is well formed")
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| &scope.log_records)
            .map(|record| match record.body.as_ref().unwrap().value {
                Some(Value::StringValue(ref text)) => number(text),
                _ => panic!("a body is text"),
            })
            .collect(),
    }
}

/// A request or an answer.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Of an answer.
    pub(crate) fn status(&self) -> u16 {
        let status = self.start.split(' ').nth(1).unwrap();
        status.parse().expect("a status is a number")
    }

    /// Of a request.
    pub(crate) fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap()
    }
}

/// Reads the next message; `None` if the connection ends first. `unread` keeps what came too early.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    unread: &mut Vec<u8>,
) -> Option<Message> {
    loop {
        if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(unread[..end].to_vec()).expect("a head is text");
            let mut lines = head.lines();
            let start = lines.next()?.to_owned();
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length = headers.get("content-length").map_or("0", String::as_str);
            let body_end = end + 4 + length.parse::<usize>().expect("a length is a number");
            if unread.len() >= body_end {
                let body = unread[end + 4..body_end].to_vec();
                unread.drain(..body_end);
                return Some(Message {
                    start,
                    headers,
                    body,
                });
            }
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

/// Posts telemetry, as that batch of its store if it is one, and reads the answer.
pub(crate) async fn post(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    unread: &mut Vec<u8>,
    signal: Signal,
    batch: Option<&str>,
    body: &[u8],
) -> Option<Message> {
    let path = match signal {
        Signal::Traces => "/v1/traces",
        _ => "/v1/logs",
    };
    let mut out = format!(
        "POST {path} HTTP/1.1\r\nhost: collector\r\ncontent-type: application/x-protobuf\r\n\
         {}content-length: {}\r\n\r\n",
        batch.map_or(String::new(), |batch| format!(
            "x-backroom-batch: {batch}\r\n"
        )),
        body.len()
    )
    .into_bytes();
    out.extend(body);
    stream.write_all(&out).await.ok()?;
    read(stream, unread).await
}

/// An answer of the receiver without a body.
pub(crate) fn answer(status: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
    )
}
