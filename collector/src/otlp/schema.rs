//! The messages of opentelemetry-proto v1.11 as tables: what stands in each field, as far as a walk must know.
//!
//! A field that is not in a table is unknown and skipped, as every protobuf decoder does. Next: `walk`, which reads them.

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Not in the schema: skipped by its wire type.
    Unknown,
    /// Integers, booleans and enumerations.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// Four bytes.
    Fixed32,
    /// UTF-8.
    Text,
    /// Any bytes.
    Blob,
    /// Repeated eight-byte values, packed or not.
    Fixed64s,
    /// Repeated integers, packed or not.
    Varints,
    /// A message that holds no items.
    Message(&'static Message),
    /// A message on the way to the items: an envelope.
    Envelope(&'static Message),
    /// One of several envelopes of which the last one seen counts (a `oneof`).
    OneOf(&'static Message),
    /// An item: a span, a data point, a log record.
    Item(&'static Message),
}

/// A message: the kinds of its fields, by tag.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: &'static [Kind],
}

impl Message {
    pub(super) fn field(&self, tag: u32) -> Kind {
        self.fields
            .get(tag as usize)
            .copied()
            .unwrap_or(Kind::Unknown)
    }
}

/// Builds the table of one message; tag 0 does not exist.
macro_rules! message {
    ($(#[$meta:meta])* $name:ident, $size:literal, { $($tag:literal => $kind:expr),* $(,)? }) => {
        $(#[$meta])*
        pub(super) static $name: Message = {
            static FIELDS: [Kind; $size] = {
                let mut fields = [Unknown; $size];
                $(fields[$tag] = $kind;)*
                fields
            };
            Message { fields: &FIELDS }
        };
    };
}

use Kind::{
    Blob, Envelope, Fixed32, Fixed64, Fixed64s, Item, OneOf, Text, Unknown, Varint, Varints,
};
const fn nested(message: &'static Message) -> Kind {
    Kind::Message(message)
}

message!(TRACES, 2, { 1 => Envelope(&RESOURCE_SPANS) });
message!(RESOURCE_SPANS, 4, { 1 => nested(&RESOURCE), 2 => Envelope(&SCOPE_SPANS), 3 => Text });
message!(SCOPE_SPANS, 4, { 1 => nested(&SCOPE), 2 => Item(&SPAN), 3 => Text });
message!(SPAN, 17, {
    1 => Blob, 2 => Blob, 3 => Text, 4 => Blob, 5 => Text, 6 => Varint, 7 => Fixed64, 8 => Fixed64,
    9 => nested(&KEY_VALUE), 10 => Varint, 11 => nested(&SPAN_EVENT), 12 => Varint,
    13 => nested(&SPAN_LINK), 14 => Varint, 15 => nested(&STATUS), 16 => Fixed32,
});
message!(SPAN_EVENT, 5, { 1 => Fixed64, 2 => Text, 3 => nested(&KEY_VALUE), 4 => Varint });
message!(SPAN_LINK, 7, {
    1 => Blob, 2 => Blob, 3 => Text, 4 => nested(&KEY_VALUE), 5 => Varint, 6 => Fixed32,
});
message!(STATUS, 4, { 2 => Text, 3 => Varint });

message!(LOGS, 2, { 1 => Envelope(&RESOURCE_LOGS) });
message!(RESOURCE_LOGS, 4, { 1 => nested(&RESOURCE), 2 => Envelope(&SCOPE_LOGS), 3 => Text });
message!(SCOPE_LOGS, 4, { 1 => nested(&SCOPE), 2 => Item(&LOG_RECORD), 3 => Text });
message!(LOG_RECORD, 13, {
    1 => Fixed64, 2 => Varint, 3 => Text, 5 => nested(&ANY_VALUE), 6 => nested(&KEY_VALUE),
    7 => Varint, 8 => Fixed32, 9 => Blob, 10 => Blob, 11 => Fixed64, 12 => Text,
});

message!(METRICS, 2, { 1 => Envelope(&RESOURCE_METRICS) });
message!(RESOURCE_METRICS, 4, { 1 => nested(&RESOURCE), 2 => Envelope(&SCOPE_METRICS), 3 => Text });
message!(SCOPE_METRICS, 4, { 1 => nested(&SCOPE), 2 => Envelope(&METRIC), 3 => Text });
message!(METRIC, 13, {
    1 => Text, 2 => Text, 3 => Text, 5 => OneOf(&GAUGE), 7 => OneOf(&SUM), 9 => OneOf(&HISTOGRAM),
    10 => OneOf(&EXPONENTIAL_HISTOGRAM), 11 => OneOf(&SUMMARY), 12 => nested(&KEY_VALUE),
});
message!(GAUGE, 2, { 1 => Item(&NUMBER_POINT) });
message!(SUM, 4, { 1 => Item(&NUMBER_POINT), 2 => Varint, 3 => Varint });
message!(HISTOGRAM, 3, { 1 => Item(&HISTOGRAM_POINT), 2 => Varint });
message!(EXPONENTIAL_HISTOGRAM, 3, { 1 => Item(&EXPONENTIAL_POINT), 2 => Varint });
message!(SUMMARY, 2, { 1 => Item(&SUMMARY_POINT) });
message!(NUMBER_POINT, 9, {
    2 => Fixed64, 3 => Fixed64, 4 => Fixed64, 5 => nested(&EXEMPLAR), 6 => Fixed64,
    7 => nested(&KEY_VALUE), 8 => Varint,
});
message!(HISTOGRAM_POINT, 13, {
    2 => Fixed64, 3 => Fixed64, 4 => Fixed64, 5 => Fixed64, 6 => Fixed64s, 7 => Fixed64s,
    8 => nested(&EXEMPLAR), 9 => nested(&KEY_VALUE), 10 => Varint, 11 => Fixed64, 12 => Fixed64,
});
message!(EXPONENTIAL_POINT, 15, {
    1 => nested(&KEY_VALUE), 2 => Fixed64, 3 => Fixed64, 4 => Fixed64, 5 => Fixed64, 6 => Varint,
    7 => Fixed64, 8 => nested(&BUCKETS), 9 => nested(&BUCKETS), 10 => Varint,
    11 => nested(&EXEMPLAR), 12 => Fixed64, 13 => Fixed64, 14 => Fixed64,
});
message!(BUCKETS, 3, { 1 => Varint, 2 => Varints });
message!(SUMMARY_POINT, 9, {
    2 => Fixed64, 3 => Fixed64, 4 => Fixed64, 5 => Fixed64, 6 => nested(&QUANTILE),
    7 => nested(&KEY_VALUE), 8 => Varint,
});
message!(QUANTILE, 3, { 1 => Fixed64, 2 => Fixed64 });
message!(EXEMPLAR, 8, {
    2 => Fixed64, 3 => Fixed64, 4 => Blob, 5 => Blob, 6 => Fixed64, 7 => nested(&KEY_VALUE),
});

message!(RESOURCE, 4, { 1 => nested(&KEY_VALUE), 2 => Varint, 3 => nested(&ENTITY) });
message!(ENTITY, 5, { 1 => Text, 2 => Text, 3 => Text, 4 => Text });
message!(SCOPE, 5, { 1 => Text, 2 => Text, 3 => nested(&KEY_VALUE), 4 => Varint });
message!(KEY_VALUE, 4, { 1 => Text, 2 => nested(&ANY_VALUE), 3 => Varint });
message!(ANY_VALUE, 9, {
    1 => Text, 2 => Varint, 3 => Varint, 4 => Fixed64, 5 => nested(&ARRAY), 6 => nested(&KEY_VALUES),
    7 => Blob, 8 => Varint,
});
message!(ARRAY, 2, { 1 => nested(&ANY_VALUE) });
message!(KEY_VALUES, 2, { 1 => nested(&KEY_VALUE) });

impl super::Signal {
    /// The request message of a signal.
    pub(super) fn request(self) -> &'static Message {
        match self {
            Self::Traces => &TRACES,
            Self::Metrics => &METRICS,
            Self::Logs => &LOGS,
        }
    }
}
