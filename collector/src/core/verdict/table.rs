//! The one table of what answers mean: the numbers that decide, and the words that the documentation prints.
//!
//! A status or code that stands in no row is [`Class::Blocked`]: what nobody knows is no reason to throw anything away.

use std::{fmt::Write as _, ops::RangeInclusive};

/// What a status or a code means, before the answer's body and words are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Taken, if the body is OTLP.
    Taken,
    /// The path or the receiver is busy: back off, keep.
    Busy,
    /// Nothing goes through until somebody acts: suspend, probe slowly, keep.
    Blocked,
    /// The content encoding was refused.
    Codec,
    /// The request is too large.
    TooLarge,
    /// Busy if the answer says when to come back, otherwise the request is too large (gRPC only).
    Exhausted,
    /// The payload was refused, if an OTLP receiver says so.
    Payload,
}

/// One row: answers that have the same consequence.
#[derive(Debug)]
pub struct Row {
    /// What its statuses and codes mean.
    pub class: Class,
    /// The statuses of HTTP.
    pub statuses: &'static [RangeInclusive<u16>],
    /// The codes of gRPC.
    pub codes: &'static [u32],
    /// The answers over HTTP, for people.
    pub http: &'static str,
    /// The answers over gRPC, for people.
    pub grpc: &'static str,
    /// What follows, for people.
    pub follows: &'static str,
}

/// Every row, in the order of the documentation.
pub static TABLE: &[Row] = &[
    Row {
        class: Class::Taken,
        statuses: &[200..=299],
        codes: &[0],
        http: "2xx with an OTLP body",
        grpc: "OK with an OTLP message",
        follows: "delivered. What `partial_success` rejects is dropped and counted; nothing is sent again",
    },
    Row {
        class: Class::Busy,
        statuses: &[429..=429, 502..=504],
        // Cancelled, deadline exceeded, aborted, out of range, unavailable, data loss.
        codes: &[1, 4, 10, 11, 14, 15],
        http: "429, 502, 503, 504; no answer, reset, timeout, an answer cut short",
        grpc: "CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS, RESOURCE_EXHAUSTED with RetryInfo; no status, RST_STREAM, GOAWAY",
        follows: "back off, keep",
    },
    Row {
        class: Class::Blocked,
        statuses: &[
            100..=199,
            300..=399,
            401..=412,
            414..=414,
            416..=421,
            423..=428,
            430..=501,
            505..=u16::MAX,
        ],
        // Unknown, not found, already exists, permission denied, unimplemented, internal, unauthenticated.
        codes: &[2, 5, 6, 7, 12, 13, 16],
        http: "401, 403, 404, 405, 407, 408, other 4xx and 5xx, 3xx; 2xx, 400 or 422 whose body is not OTLP (a captive portal, a proxy); TLS for another name",
        grpc: "UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, UNKNOWN, INTERNAL, NOT_FOUND, any other code; an answer that is not gRPC; OK whose message is not OTLP",
        follows: "the same with 30 s more between probes",
    },
    Row {
        class: Class::Codec,
        statuses: &[415..=415],
        codes: &[],
        http: "415 with an OTLP body; 400 that names the content encoding",
        grpc: "UNIMPLEMENTED, INTERNAL or INVALID_ARGUMENT that names the encoding, or whose `grpc-accept-encoding` lacks it",
        follows: "the next encoding, zstd, gzip, none; the batch is sent again",
    },
    Row {
        class: Class::Codec,
        statuses: &[],
        codes: &[],
        http: "the same whose body is not OTLP",
        grpc: "",
        follows: "the same for this request alone; remembered once a lesser encoding was delivered. If none is taken: back off as for a proxy, keep",
    },
    Row {
        class: Class::Payload,
        statuses: &[400..=400, 422..=422],
        // Invalid argument, failed precondition.
        codes: &[3, 9],
        http: "413; 400 or 422 with an OTLP body",
        grpc: "INVALID_ARGUMENT, FAILED_PRECONDITION, RESOURCE_EXHAUSTED without RetryInfo",
        follows: "the batch is halved, down to the item that is refused; that one goes to quarantine",
    },
    Row {
        class: Class::TooLarge,
        statuses: &[413..=413],
        codes: &[],
        http: "413 for a single item, whose body is not OTLP",
        grpc: "HTTP status 413 for a single item",
        follows: "it is kept: back off as for a proxy; its batch waits 10 minutes and others go before it",
    },
    Row {
        class: Class::Exhausted,
        statuses: &[],
        codes: &[8],
        http: "",
        grpc: "",
        follows: "",
    },
];

/// What a status of HTTP means.
pub(super) fn of_status(status: u16) -> Class {
    let row = TABLE
        .iter()
        .find(|row| row.statuses.iter().any(|range| range.contains(&status)));
    row.map_or(Class::Blocked, |row| row.class)
}

/// What a code of gRPC means.
pub(super) fn of_code(code: u32) -> Class {
    let row = TABLE.iter().find(|row| row.codes.contains(&code));
    row.map_or(Class::Blocked, |row| row.class)
}

/// The table as the documentation shows it.
pub fn markdown() -> String {
    let mut out = "| HTTP | gRPC | what follows |\n|---|---|---|\n".to_owned();
    for row in TABLE.iter().filter(|row| !row.follows.is_empty()) {
        let _ = writeln!(out, "| {} | {} | {} |", row.http, row.grpc, row.follows);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_in_one_row() {
        for status in 100..=u16::MAX {
            let rows = TABLE
                .iter()
                .filter(|row| row.statuses.iter().any(|range| range.contains(&status)));
            assert_eq!(rows.count(), 1, "{status}");
        }
        for code in 0..=16 {
            let rows = TABLE.iter().filter(|row| row.codes.contains(&code));
            assert_eq!(rows.count(), 1, "{code}");
        }
        assert_eq!(of_code(99), Class::Blocked);
    }

    /// The documentation prints this very table.
    #[test]
    fn the_documentation_agrees() {
        let docs = include_str!("../../../../docs/collector.md");
        assert!(docs.contains(&markdown()), "print it:\n{}", markdown());
    }
}
