//! Rows of the loss ledger as OTLP: an encoded `ExportLogsServiceRequest`, one record for each row that changed.
//!
//! A record says how much a row has lost by now and how much of that is new since the last one, so two that come twice, or in another
//! order, say nothing wrong: the total of a row only grows, until a row is added to those of older days. Names stand in
//! `docs/metrics.md`. Next: `shell::losses`, which stores the request.

use super::{
    class::ClassName,
    ledger::{Loss, LossKey},
    metrics::otlp::{Message, Origin},
};
use crate::otlp::Signal;

/// The class of these records: they are as important as all that they tell of, and few.
pub const CLASS: &str = "losses";

/// The class of these records.
pub fn class() -> ClassName {
    ClassName::new(CLASS).expect("it is one")
}

/// Records in one request.
pub const RECORDS_MAX: usize = 256;

/// `event_name` of each record.
const EVENT: &str = "backroom.loss";

/// `SEVERITY_NUMBER_WARN`.
const WARN: u64 = 13;

/// A row that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Which.
    pub key: LossKey,
    /// What it says now.
    pub loss: Loss,
    /// Items that were told before.
    pub told: u64,
}

/// Encodes a request of these rows.
pub fn request(rows: &[Untold], origin: &Origin<'_>) -> Vec<u8> {
    let mut scope = Message::default();
    scope.text(1, origin.scope.0);
    scope.text(2, origin.scope.1);
    let mut scope_logs = Message::default();
    scope_logs.message(1, &scope);
    for row in rows {
        scope_logs.message(2, &record(row, origin.unix_nano));
    }
    let mut resource = Message::default();
    for (name, value) in &origin.resource {
        resource.attribute(1, name, value);
    }
    let mut resource_logs = Message::default();
    resource_logs.message(1, &resource);
    resource_logs.message(2, &scope_logs);
    let mut request = Message::default();
    request.message(1, &resource_logs);
    request.into_bytes()
}

fn record(row: &Untold, unix_nano: u64) -> Message {
    let Untold { key, loss, told } = row;
    let new = loss.items - told;
    let (signal, reason) = (key.signal.name(), key.reason.name());
    let whose = match key.service.as_str() {
        "" => "an unknown service",
        service => service,
    };
    let mut body = Message::default();
    body.text(
        1,
        &format!("{new} items of {signal} of {whose} dropped: {reason}"),
    );
    let mut out = Message::default();
    out.fixed64(1, loss.last_at);
    out.varint(2, WARN);
    out.text(3, "WARN");
    out.message(5, &body);
    for (name, value) in [
        ("backroom.loss.signal", signal),
        ("backroom.loss.class", key.class.as_str()),
        ("backroom.loss.service", &key.service),
        ("backroom.loss.reason", reason),
    ] {
        out.attribute(6, name, value);
    }
    for (name, value) in [
        ("backroom.loss.items", new),
        ("backroom.loss.items_total", loss.items),
        ("backroom.loss.day", key.day.into()),
        ("backroom.loss.born_min", loss.born_min),
        ("backroom.loss.born_max", loss.born_max),
        ("backroom.loss.first_at", loss.first_at),
        ("backroom.loss.last_at", loss.last_at),
    ] {
        out.integer(6, name, value);
    }
    out.fixed64(11, unix_nano);
    out.text(12, EVENT);
    out
}

/// What is told of: not these records themselves, or each loss of one would be told by another.
pub fn is_told_of(key: &LossKey) -> bool {
    !(key.signal == Signal::Logs && key.class.as_str() == CLASS)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest, common::v1::any_value::Value,
    };
    use prost::Message as _;

    use super::*;
    use crate::{core::accounting::DropReason, otlp};

    #[test]
    fn a_decoder_reads_what_was_lost() {
        let row = Untold {
            key: LossKey {
                day: 20_000,
                signal: Signal::Traces,
                class: Signal::Traces.into(),
                service: "pos".to_owned(),
                reason: DropReason::TooOld,
            },
            loss: Loss {
                items: 12,
                born_min: 1,
                born_max: 2,
                first_at: 3,
                last_at: 4,
            },
            told: 5,
        };
        let origin = Origin {
            resource: vec![("service.name", "backroom-collector")],
            scope: ("backroom", "1.2.3"),
            start_unix_nano: 5,
            unix_nano: 9,
        };
        let body = request(&[row.clone(), row], &origin);
        assert_eq!(otlp::count_items(Signal::Logs, &body), Ok(2));
        let read = ExportLogsServiceRequest::decode(&body[..]).expect("it is one");
        let record = &read.resource_logs[0].scope_logs[0].log_records[1];
        assert_eq!(
            (record.time_unix_nano, record.observed_time_unix_nano),
            (4, 9)
        );
        assert_eq!(record.severity_number, 13);
        assert_eq!(record.event_name, "backroom.loss");
        let attribute = |name: &str| {
            let mut all = record.attributes.iter();
            let found = all.find(|attribute| attribute.key == name).expect(name);
            found.value.as_ref().and_then(|value| value.value.clone())
        };
        assert_eq!(attribute("backroom.loss.items"), Some(Value::IntValue(7)));
        assert_eq!(
            attribute("backroom.loss.items_total"),
            Some(Value::IntValue(12))
        );
        let reason = Some(Value::StringValue("too_old".to_owned()));
        assert_eq!(attribute("backroom.loss.reason"), reason);
        let body = record.body.as_ref().and_then(|body| body.value.clone());
        let text = "7 items of traces of pos dropped: too_old".to_owned();
        assert_eq!(body, Some(Value::StringValue(text)));
    }
}
