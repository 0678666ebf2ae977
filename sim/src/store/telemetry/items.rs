//! Item ids: how a span, a log record and a data point carry theirs, and a walk that finds them all.
//!
//! An id is a machine (16 bits) and a sequence number (48 bits). Spans and log records carry it in `span_id`, eight bytes,
//! big-endian. A data point has no such field: it has an integer attribute [`ATTRIBUTE`], whose bit 62 is set, so that
//! its varint always takes nine bytes and can be overwritten in place. That leaves 14 bits for the machine.

use super::wire::{Field, Fields, Kind, Malformed, varint};
use crate::event::MachineId;

/// Key of the attribute that carries a data point's id.
pub const ATTRIBUTE: &str = "backroom.item";

/// Set in the value of [`ATTRIBUTE`]: the varint is nine bytes long.
const POINT_MARK: u64 = 1 << 62;

const SEQ_BITS: u32 = 48;

/// One item of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemId {
    /// Who made it.
    pub machine: MachineId,
    /// Its number, below 2^48; counts up within a boot.
    pub seq: u64,
}

impl ItemId {
    pub(super) fn bits(self) -> u64 {
        u64::from(self.machine.0) << SEQ_BITS | self.seq & ((1 << SEQ_BITS) - 1)
    }

    fn from_bits(bits: u64) -> Self {
        Self {
            machine: MachineId((bits >> SEQ_BITS) as u16),
            seq: bits & ((1 << SEQ_BITS) - 1),
        }
    }

    /// As `span_id`.
    pub(super) fn span_id(self) -> [u8; 8] {
        self.bits().to_be_bytes()
    }

    /// As the value of [`ATTRIBUTE`].
    pub(super) fn attribute(self) -> i64 {
        (POINT_MARK | self.bits() & (POINT_MARK - 1)) as i64
    }

    /// As the varint of [`ATTRIBUTE`]'s value.
    pub(super) fn varint(self) -> [u8; 9] {
        let mut value = self.attribute() as u64;
        std::array::from_fn(|index| {
            let byte = value as u8 & 0x7f;
            value >>= 7;
            if index < 8 { byte | 0x80 } else { byte }
        })
    }
}

/// The three kinds of export requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportMetricsServiceRequest`.
    Metrics,
    /// `ExportLogsServiceRequest`.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Path of OTLP/HTTP.
    pub fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    /// The signal that is posted to `path`.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.path() == path)
    }
}

/// Calls `visit` for each item of an encoded export request, in order: with its id, or `None` where it carries none.
///
/// Nothing is decoded or allocated. Gives the number of items.
///
/// # Errors
/// When the bytes are no such request. Items before the fault have been visited.
pub fn visit_items(
    signal: Signal,
    body: &[u8],
    visit: &mut impl FnMut(Option<ItemId>),
) -> Result<u64, Malformed> {
    walk(signal, body, &mut |id, _| visit(id))
}

/// As [`visit_items`], and where `visit` asks for it, with the item's time: Unix nanoseconds of a span's start, of a log record, of a
/// data point. `None` if it says none.
///
/// # Errors
/// As [`visit_items`].
pub fn visit_items_at(
    signal: Signal,
    body: &[u8],
    visit: &mut impl FnMut(Option<ItemId>, &dyn Fn() -> Option<u64>),
) -> Result<u64, Malformed> {
    // Span.start_time_unix_nano = 7, LogRecord.time_unix_nano = 1, *DataPoint.time_unix_nano = 3.
    let number = match signal {
        Signal::Traces => 7,
        Signal::Logs => 1,
        Signal::Metrics => 3,
    };
    walk(signal, body, &mut |id, item| {
        visit(id, &|| time(body, item, number));
    })
}

/// The fixed-width field `number`.
fn time(body: &[u8], item: &Field, number: u32) -> Option<u64> {
    let mut fields = Fields::new(body, item.start, item.end);
    while let Some(field) = fields.next().ok()? {
        if field.number == number && field.kind == Kind::Fixed64 {
            let bytes = body[field.start..field.end].try_into().ok()?;
            return Some(u64::from_le_bytes(bytes));
        }
    }
    None
}

fn walk(
    signal: Signal,
    body: &[u8],
    visit: &mut impl FnMut(Option<ItemId>, &Field),
) -> Result<u64, Malformed> {
    let mut items = 0;
    // Export*ServiceRequest.resource_* = 1; Resource*.scope_* = 2; Scope*.{spans, metrics, log_records} = 2.
    each(body, 0, body.len(), 1, &mut |resource| {
        each(body, resource.start, resource.end, 2, &mut |scope| {
            each(body, scope.start, scope.end, 2, &mut |item| {
                match signal {
                    Signal::Traces => {
                        items += 1;
                        visit(span_id(body, &item, 2)?, &item);
                    }
                    Signal::Logs => {
                        items += 1;
                        visit(span_id(body, &item, 10)?, &item);
                    }
                    Signal::Metrics => items += points(body, &item, visit)?,
                }
                Ok(())
            })
        })
    })?;
    Ok(items)
}

/// Calls `then` for each length-delimited field `number` of the message in `buffer[start..end]`.
fn each(
    buffer: &[u8],
    start: usize,
    end: usize,
    number: u32,
    then: &mut impl FnMut(Field) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(buffer, start, end);
    while let Some(field) = fields.next()? {
        if field.number == number && field.kind == Kind::Bytes {
            then(field)?;
        }
    }
    Ok(())
}

/// The eight bytes of field `number`, as an id.
fn span_id(body: &[u8], item: &Field, number: u32) -> Result<Option<ItemId>, Malformed> {
    let mut fields = Fields::new(body, item.start, item.end);
    while let Some(field) = fields.next()? {
        if field.number == number && field.kind == Kind::Bytes {
            let id = <[u8; 8]>::try_from(&body[field.start..field.end]).ok();
            return Ok(id.map(|id| ItemId::from_bits(u64::from_be_bytes(id))));
        }
    }
    Ok(None)
}

/// The data points of a metric.
fn points(
    body: &[u8],
    metric: &Field,
    visit: &mut impl FnMut(Option<ItemId>, &Field),
) -> Result<u64, Malformed> {
    let mut count = 0;
    let mut fields = Fields::new(body, metric.start, metric.end);
    while let Some(data) = fields.next()? {
        let Some(attributes) = attributes_of(data.number) else {
            continue;
        };
        each(body, data.start, data.end, 1, &mut |point| {
            count += 1;
            let found = attribute(body, &point, attributes)?;
            visit(found.map(|(_, id)| id), &point);
            Ok(())
        })?;
    }
    Ok(count)
}

/// Number of `attributes` in the points of `Metric`'s data field `number`: gauge, sum, histogram, exponential histogram,
/// summary.
pub(super) fn attributes_of(number: u32) -> Option<u32> {
    match number {
        5 | 7 | 11 => Some(7),
        9 => Some(9),
        10 => Some(1),
        _ => None,
    }
}

/// The id attribute of a data point: where its varint starts, and its value.
pub(super) fn attribute(
    body: &[u8],
    point: &Field,
    attributes: u32,
) -> Result<Option<(usize, ItemId)>, Malformed> {
    let mut fields = Fields::new(body, point.start, point.end);
    while let Some(pair) = fields.next()? {
        if pair.number != attributes || pair.kind != Kind::Bytes {
            continue;
        }
        // In any order: the OpenTelemetry Collector writes a message from its last field to its first.
        let mut parts = Fields::new(body, pair.start, pair.end);
        let (mut ours, mut value) = (false, None);
        while let Some(part) = parts.next()? {
            match part.number {
                1 => ours = &body[part.start..part.end] == ATTRIBUTE.as_bytes(),
                2 if part.kind == Kind::Bytes => value = Some(part),
                _ => {}
            }
        }
        let Some(value) = value.filter(|_| ours) else {
            continue;
        };
        let mut value = Fields::new(body, value.start, value.end);
        while let Some(value) = value.next()? {
            if value.number == 3 && value.kind == Kind::Varint {
                let (bits, _) = varint(&body[value.start..value.end])?;
                let id = ItemId::from_bits(bits & !POINT_MARK);
                return Ok(Some((value.start, id)));
            }
        }
    }
    Ok(None)
}

/// Consecutive numbers of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Who made them.
    pub machine: MachineId,
    /// The first number.
    pub first: u64,
    /// How many.
    pub count: u32,
}

/// Gathers ids into runs, in the order they come.
#[derive(Debug, Default)]
pub struct Runs {
    runs: Vec<Run>,
}

impl Runs {
    /// One more item.
    #[inline]
    pub fn push(&mut self, id: ItemId) {
        if let Some(run) = self.runs.last_mut()
            && run.machine == id.machine
            && run.first + u64::from(run.count) == id.seq
        {
            run.count += 1;
            return;
        }
        self.runs.push(Run {
            machine: id.machine,
            first: id.seq,
            count: 1,
        });
    }

    /// What came together.
    pub fn into_vec(self) -> Vec<Run> {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_survives_both_of_its_forms() {
        for (machine, seq) in [(0, 1), (17, 5 << 32), (16_383, (1 << 48) - 1)] {
            let id = ItemId {
                machine: MachineId(machine),
                seq,
            };
            assert_eq!(ItemId::from_bits(u64::from_be_bytes(id.span_id())), id);
            let (bits, bytes) = varint(&id.varint()).expect("a varint");
            assert_eq!(bytes, 9);
            assert_eq!(bits as i64, id.attribute());
            assert_eq!(ItemId::from_bits(bits & !POINT_MARK), id);
        }
    }

    /// Scenario: a data point as the OpenTelemetry Collector writes it, each message from its last field to its first.
    /// Guarantees: its id is found; before, it was foreign to the receiver, and counted as lost.
    #[test]
    fn an_id_is_found_in_whatever_order_fields_stand() {
        let id = ItemId {
            machine: MachineId(3),
            seq: 77,
        };
        let keyed = |number: u32, body: &[u8]| {
            let mut out = Vec::new();
            super::super::wire::put_key(&mut out, number, body.len());
            out.extend_from_slice(body);
            out
        };
        let value = [&[3 << 3][..], &id.varint()].concat();
        let pair = [keyed(2, &value), keyed(1, ATTRIBUTE.as_bytes())].concat();
        let other = [
            keyed(2, &keyed(1, b"GET")),
            keyed(1, b"http.request.method"),
        ]
        .concat();
        let time = [&[3 << 3 | 1][..], &5_u64.to_le_bytes()].concat();
        let point = [keyed(7, &other), time, keyed(7, &pair)].concat();
        // Sum, then name: gauge = 5 and sum = 7 of a metric.
        let metric = [keyed(7, &keyed(1, &point)), keyed(1, b"orders")].concat();
        let body = keyed(1, &keyed(2, &keyed(2, &metric)));
        let mut found = Vec::new();
        let items = visit_items_at(Signal::Metrics, &body, &mut |id, time| {
            found.push((id, time()));
        });
        assert_eq!(items, Ok(1));
        assert_eq!(found, [(Some(id), Some(5))]);
    }

    #[test]
    fn runs_break_where_numbers_do() {
        let mut runs = Runs::default();
        for (machine, seq) in [(1, 5), (1, 6), (1, 8), (2, 9), (2, 10)] {
            runs.push(ItemId {
                machine: MachineId(machine),
                seq,
            });
        }
        let got: Vec<_> = runs
            .into_vec()
            .into_iter()
            .map(|run| (run.machine.0, run.first, run.count))
            .collect();
        assert_eq!(got, [(1, 5, 2), (1, 8, 1), (2, 9, 2)]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for signal in Signal::ALL {
                let _ = visit_items(signal, &bytes, &mut |_| {});
                let _ = visit_items_at(signal, &bytes, &mut |_, time| {
                    time();
                });
            }
        }
    }
}
