//! The messages of opentelemetry-proto v1.11 as tables: what stands in each field, and what JSON calls it.
//!
//! One table has two readers. [`Message::field`] gives the [`Kind`] of a tag, which is all that a walk must know: an array
//! lookup for each field of each request. [`Message::json`] gives the [`Field`]s with their names and exact types. A
//! field that is not in a table is unknown and skipped, as every decoder does. Next: `walk`, `json`.

/// What a field holds, as far as a walk must know.
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

/// The type of a field, as the schema declares it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ty {
    /// UTF-8.
    Text,
    /// Bytes that JSON writes in hex: trace and span ids alone.
    Hex,
    /// Bytes that JSON writes in base64.
    Base64,
    /// A varint of 0 or 1.
    Bool,
    /// A varint; negative numbers take ten bytes.
    Int32,
    /// A varint.
    Uint32,
    /// A zigzag varint.
    Sint32,
    /// A varint that JSON writes as a number, never as a name.
    Enum,
    /// A varint; JSON writes 64-bit integers as strings.
    Int64,
    /// A varint.
    Uint64,
    /// Four bytes.
    Fixed32,
    /// Eight bytes, unsigned.
    Fixed64,
    /// Eight bytes, signed.
    Sfixed64,
    /// Eight bytes, IEEE 754.
    Double,
    /// A message that holds no items.
    Message(&'static Message),
    /// A message on the way to the items.
    Envelope(&'static Message),
    /// An item.
    Item(&'static Message),
}

/// How often a field stands in its message, and whether a zero says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// At most once; zero, false and empty are the same as absent.
    One,
    /// At most once; zero differs from absent.
    Maybe,
    /// A member of the message's `oneof`: zero differs from absent, and the last member seen counts.
    Either,
    /// Any number of times; numbers are packed.
    Many,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) tag: u32,
    /// Its name in JSON.
    pub(super) name: &'static str,
    pub(super) label: Label,
    pub(super) ty: Ty,
}

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    /// The kinds of its fields, by tag.
    pub(super) fields: &'static [Kind],
    /// The same fields with all that JSON needs, in the order in which they are written.
    pub(super) json: &'static [Field],
}

impl Message {
    #[inline]
    pub(super) fn field(&self, tag: u32) -> Kind {
        self.fields
            .get(tag as usize)
            .copied()
            .unwrap_or(Kind::Unknown)
    }
}

const fn kind(label: Label, ty: Ty) -> Kind {
    match (ty, label) {
        (Text, _) => Kind::Text,
        (Hex | Base64, _) => Kind::Blob,
        (Bool | Int32 | Uint32 | Sint32 | Enum | Int64 | Uint64, Label::Many) => Kind::Varints,
        (Bool | Int32 | Uint32 | Sint32 | Enum | Int64 | Uint64, _) => Kind::Varint,
        (Fixed32, _) => Kind::Fixed32,
        (Fixed64 | Sfixed64 | Double, Label::Many) => Kind::Fixed64s,
        (Fixed64 | Sfixed64 | Double, _) => Kind::Fixed64,
        (Ty::Message(message), _) => Kind::Message(message),
        (Envelope(message), Label::Either) => Kind::OneOf(message),
        (Envelope(message), _) => Kind::Envelope(message),
        (Item(message), _) => Kind::Item(message),
    }
}

/// Builds the tables of one message from its fields: tag, name in JSON, label and type. Tag 0 does not exist.
macro_rules! message {
    ($name:ident, $size:literal, { $($tag:literal $json:ident: $label:ident($ty:expr)),* $(,)? }) => {
        pub(super) static $name: Message = {
            static KINDS: [Kind; $size] = {
                let mut kinds = [Kind::Unknown; $size];
                $(kinds[$tag] = kind(Label::$label, $ty);)*
                kinds
            };
            Message {
                fields: &KINDS,
                json: &[$(Field { tag: $tag, name: stringify!($json), label: Label::$label, ty: $ty }),*],
            }
        };
    };
}

use Ty::{
    Base64, Bool, Double, Enum, Envelope, Fixed32, Fixed64, Hex, Int32, Int64, Item, Sfixed64,
    Sint32, Text, Uint32, Uint64,
};
const fn nested(message: &'static Message) -> Ty {
    Ty::Message(message)
}

message!(TRACES, 2, { 1 resourceSpans: Many(Envelope(&RESOURCE_SPANS)) });
message!(RESOURCE_SPANS, 4, {
    1 resource: One(nested(&RESOURCE)),
    2 scopeSpans: Many(Envelope(&SCOPE_SPANS)),
    3 schemaUrl: One(Text),
});
message!(SCOPE_SPANS, 4, {
    1 scope: One(nested(&SCOPE)),
    2 spans: Many(Item(&SPAN)),
    3 schemaUrl: One(Text),
});
message!(SPAN, 17, {
    1 traceId: One(Hex),
    2 spanId: One(Hex),
    3 traceState: One(Text),
    4 parentSpanId: One(Hex),
    16 flags: One(Fixed32),
    5 name: One(Text),
    6 kind: One(Enum),
    7 startTimeUnixNano: One(Fixed64),
    8 endTimeUnixNano: One(Fixed64),
    9 attributes: Many(nested(&KEY_VALUE)),
    10 droppedAttributesCount: One(Uint32),
    11 events: Many(nested(&SPAN_EVENT)),
    12 droppedEventsCount: One(Uint32),
    13 links: Many(nested(&SPAN_LINK)),
    14 droppedLinksCount: One(Uint32),
    15 status: One(nested(&STATUS)),
});
message!(SPAN_EVENT, 5, {
    1 timeUnixNano: One(Fixed64),
    2 name: One(Text),
    3 attributes: Many(nested(&KEY_VALUE)),
    4 droppedAttributesCount: One(Uint32),
});
message!(SPAN_LINK, 7, {
    1 traceId: One(Hex),
    2 spanId: One(Hex),
    3 traceState: One(Text),
    4 attributes: Many(nested(&KEY_VALUE)),
    5 droppedAttributesCount: One(Uint32),
    6 flags: One(Fixed32),
});
message!(STATUS, 4, { 2 message: One(Text), 3 code: One(Enum) });

message!(LOGS, 2, { 1 resourceLogs: Many(Envelope(&RESOURCE_LOGS)) });
message!(RESOURCE_LOGS, 4, {
    1 resource: One(nested(&RESOURCE)),
    2 scopeLogs: Many(Envelope(&SCOPE_LOGS)),
    3 schemaUrl: One(Text),
});
message!(SCOPE_LOGS, 4, {
    1 scope: One(nested(&SCOPE)),
    2 logRecords: Many(Item(&LOG_RECORD)),
    3 schemaUrl: One(Text),
});
message!(LOG_RECORD, 13, {
    1 timeUnixNano: One(Fixed64),
    11 observedTimeUnixNano: One(Fixed64),
    2 severityNumber: One(Enum),
    3 severityText: One(Text),
    5 body: One(nested(&ANY_VALUE)),
    6 attributes: Many(nested(&KEY_VALUE)),
    7 droppedAttributesCount: One(Uint32),
    8 flags: One(Fixed32),
    9 traceId: One(Hex),
    10 spanId: One(Hex),
    12 eventName: One(Text),
});

message!(METRICS, 2, { 1 resourceMetrics: Many(Envelope(&RESOURCE_METRICS)) });
message!(RESOURCE_METRICS, 4, {
    1 resource: One(nested(&RESOURCE)),
    2 scopeMetrics: Many(Envelope(&SCOPE_METRICS)),
    3 schemaUrl: One(Text),
});
message!(SCOPE_METRICS, 4, {
    1 scope: One(nested(&SCOPE)),
    2 metrics: Many(Envelope(&METRIC)),
    3 schemaUrl: One(Text),
});
message!(METRIC, 13, {
    1 name: One(Text),
    2 description: One(Text),
    3 unit: One(Text),
    5 gauge: Either(Envelope(&GAUGE)),
    7 sum: Either(Envelope(&SUM)),
    9 histogram: Either(Envelope(&HISTOGRAM)),
    10 exponentialHistogram: Either(Envelope(&EXPONENTIAL_HISTOGRAM)),
    11 summary: Either(Envelope(&SUMMARY)),
    12 metadata: Many(nested(&KEY_VALUE)),
});
message!(GAUGE, 2, { 1 dataPoints: Many(Item(&NUMBER_POINT)) });
message!(SUM, 4, {
    1 dataPoints: Many(Item(&NUMBER_POINT)),
    2 aggregationTemporality: One(Enum),
    3 isMonotonic: One(Bool),
});
message!(HISTOGRAM, 3, {
    1 dataPoints: Many(Item(&HISTOGRAM_POINT)),
    2 aggregationTemporality: One(Enum),
});
message!(EXPONENTIAL_HISTOGRAM, 3, {
    1 dataPoints: Many(Item(&EXPONENTIAL_POINT)),
    2 aggregationTemporality: One(Enum),
});
message!(SUMMARY, 2, { 1 dataPoints: Many(Item(&SUMMARY_POINT)) });
message!(NUMBER_POINT, 9, {
    7 attributes: Many(nested(&KEY_VALUE)),
    2 startTimeUnixNano: One(Fixed64),
    3 timeUnixNano: One(Fixed64),
    4 asDouble: Either(Double),
    6 asInt: Either(Sfixed64),
    5 exemplars: Many(nested(&EXEMPLAR)),
    8 flags: One(Uint32),
});
message!(HISTOGRAM_POINT, 13, {
    9 attributes: Many(nested(&KEY_VALUE)),
    2 startTimeUnixNano: One(Fixed64),
    3 timeUnixNano: One(Fixed64),
    4 count: One(Fixed64),
    5 sum: Maybe(Double),
    6 bucketCounts: Many(Fixed64),
    7 explicitBounds: Many(Double),
    8 exemplars: Many(nested(&EXEMPLAR)),
    10 flags: One(Uint32),
    11 min: Maybe(Double),
    12 max: Maybe(Double),
});
message!(EXPONENTIAL_POINT, 15, {
    1 attributes: Many(nested(&KEY_VALUE)),
    2 startTimeUnixNano: One(Fixed64),
    3 timeUnixNano: One(Fixed64),
    4 count: One(Fixed64),
    5 sum: Maybe(Double),
    6 scale: One(Sint32),
    7 zeroCount: One(Fixed64),
    8 positive: One(nested(&BUCKETS)),
    9 negative: One(nested(&BUCKETS)),
    10 flags: One(Uint32),
    11 exemplars: Many(nested(&EXEMPLAR)),
    12 min: Maybe(Double),
    13 max: Maybe(Double),
    14 zeroThreshold: One(Double),
});
message!(BUCKETS, 3, { 1 offset: One(Sint32), 2 bucketCounts: Many(Uint64) });
message!(SUMMARY_POINT, 9, {
    7 attributes: Many(nested(&KEY_VALUE)),
    2 startTimeUnixNano: One(Fixed64),
    3 timeUnixNano: One(Fixed64),
    4 count: One(Fixed64),
    5 sum: One(Double),
    6 quantileValues: Many(nested(&QUANTILE)),
    8 flags: One(Uint32),
});
message!(QUANTILE, 3, { 1 quantile: One(Double), 2 value: One(Double) });
message!(EXEMPLAR, 8, {
    7 filteredAttributes: Many(nested(&KEY_VALUE)),
    2 timeUnixNano: One(Fixed64),
    3 asDouble: Either(Double),
    6 asInt: Either(Sfixed64),
    4 spanId: One(Hex),
    5 traceId: One(Hex),
});

message!(RESOURCE, 4, {
    1 attributes: Many(nested(&KEY_VALUE)),
    2 droppedAttributesCount: One(Uint32),
    3 entityRefs: Many(nested(&ENTITY)),
});
message!(ENTITY, 5, {
    1 schemaUrl: One(Text),
    2 type: One(Text),
    3 idKeys: Many(Text),
    4 descriptionKeys: Many(Text),
});
message!(SCOPE, 5, {
    1 name: One(Text),
    2 version: One(Text),
    3 attributes: Many(nested(&KEY_VALUE)),
    4 droppedAttributesCount: One(Uint32),
});
message!(KEY_VALUE, 4, {
    1 key: One(Text),
    2 value: One(nested(&ANY_VALUE)),
    3 keyStrindex: One(Int32),
});
message!(ANY_VALUE, 9, {
    1 stringValue: Either(Text),
    2 boolValue: Either(Bool),
    3 intValue: Either(Int64),
    4 doubleValue: Either(Double),
    5 arrayValue: Either(nested(&ARRAY)),
    6 kvlistValue: Either(nested(&KEY_VALUES)),
    7 bytesValue: Either(Base64),
    8 stringValueStrindex: Either(Int32),
});
message!(ARRAY, 2, { 1 values: Many(nested(&ANY_VALUE)) });
message!(KEY_VALUES, 2, { 1 values: Many(nested(&KEY_VALUE)) });

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
