//! Sorts the items of a request by classes: one request for each class, with copies of the envelopes around its items.
//!
//! A request whose items are all of one class is returned as it came. Otherwise resource, scope and metric, with all that is in them
//! and is no item, known or not, go to every class that has an item in them; an envelope without items goes with the first part. A
//! decoder that merges the parts has what the whole was. Next: `rules`.

use bytes::Bytes;

use super::{
    Signal, WalkError,
    rules::Rule,
    schema::{Kind, Message},
    split::put_varint,
    walk::{LENGTH_DELIMITED, Reader},
};

/// What copies of envelopes may add to a request, beside its own size again. Beyond it, the request stays whole.
const COPIES_BYTES_MIN: usize = 64 << 10;

/// The items of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorted {
    /// Index of the class; the number of classes where none takes them.
    pub class: usize,
    /// How many, 1 at least.
    pub items: u64,
    /// The request that holds them.
    pub request: Bytes,
}

/// Sorts the items of a well-formed request. An item is of the first class of which it passes a rule. The parts come in the order of
/// their first items; none if there are no items.
///
/// Where many classes have few items each in large envelopes, the copies could be many times the request. If they come to more
/// than the request and 64 KiB, it stays whole, and all of it is of the first of the classes that its items have.
///
/// # Errors
/// If it is not well formed, as far as that is noticed: see [`count_items`](super::count_items).
pub fn sort_items(
    signal: Signal,
    request: &Bytes,
    classes: &[&[Rule]],
) -> Result<Vec<Sorted>, WalkError> {
    let mut found = Vec::new();
    for field in fields(request, signal.request())? {
        let Kind::Envelope(message) = field.kind else {
            continue;
        };
        let inner = fields(field.body, message)?;
        let resource = inner.iter().filter(|field| field.tag == RESOURCE);
        let resource: Vec<&[u8]> = resource.map(|field| field.body).collect();
        let mut live = Vec::new();
        for (class, rules) in classes.iter().enumerate() {
            for rule in *rules {
                if rule.takes_resource(&resource)? {
                    live.push((class, rule));
                }
            }
        }
        class_items(&inner, &live, classes.len(), &mut found)?;
    }
    let mut order: Vec<usize> = Vec::new();
    for class in &found {
        if !order.contains(class) {
            order.push(*class);
        }
    }
    let whole = |class: usize| Sorted {
        class,
        items: found.len() as u64,
        request: request.clone(),
    };
    if let [class] = order[..] {
        return Ok(vec![whole(class)]);
    }
    let mut parts = Vec::new();
    let (mut bytes, bytes_max) = (0, 2 * request.len() + COPIES_BYTES_MIN);
    for &class in &order {
        let mut filter = Filter {
            found: &found,
            next: 0,
            class,
            is_home: class == order[0],
        };
        let mut part = Vec::new();
        filter.message(request, signal.request(), &mut part)?;
        bytes += part.len();
        if bytes > bytes_max {
            let first = order.iter().min().copied();
            return Ok(first.map(whole).into_iter().collect());
        }
        parts.push(Sorted {
            class,
            items: found.iter().filter(|of| **of == class).count() as u64,
            request: part.into(),
        });
    }
    Ok(parts)
}

/// The field of the resource in `ResourceSpans`, `ResourceMetrics` and `ResourceLogs`.
const RESOURCE: u32 = 1;

/// Finds the class of each item, in the order of the request.
fn class_items(
    fields_of: &[Field<'_>],
    live: &[(usize, &Rule)],
    none: usize,
    found: &mut Vec<usize>,
) -> Result<(), WalkError> {
    for field in fields_of {
        match field.kind {
            Kind::Item(message) => {
                let mut class = none;
                for (of, rule) in live {
                    if rule.takes_item(field.body, message)? {
                        class = *of;
                        break;
                    }
                }
                found.push(class);
            }
            Kind::Envelope(inner) | Kind::OneOf(inner) => {
                class_items(&fields(field.body, inner)?, live, none, found)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies what belongs to one class.
struct Filter<'a> {
    found: &'a [usize],
    /// Index of the next item.
    next: usize,
    class: usize,
    /// Whether envelopes without items go there.
    is_home: bool,
}

impl Filter<'_> {
    /// Returns how many items of the class, and how many of any, were in it.
    fn message(
        &mut self,
        data: &[u8],
        message: &'static Message,
        out: &mut Vec<u8>,
    ) -> Result<(usize, usize), WalkError> {
        let (mut own, mut all) = (0, 0);
        for field in fields(data, message)? {
            match field.kind {
                Kind::Item(_) => {
                    all += 1;
                    if self.found.get(self.next) == Some(&self.class) {
                        own += 1;
                        out.extend_from_slice(field.whole);
                    }
                    self.next += 1;
                }
                Kind::Envelope(inner) | Kind::OneOf(inner) => {
                    let mut body = Vec::new();
                    let (inner_own, inner_all) = self.message(field.body, inner, &mut body)?;
                    (own, all) = (own + inner_own, all + inner_all);
                    // The kind of a metric is told by its member, and repetitions of one are merged.
                    let is_kind = matches!(field.kind, Kind::OneOf(_));
                    if is_kind || inner_own > 0 || inner_all == 0 && self.is_home {
                        let key = u64::from(field.tag << 3) | u64::from(LENGTH_DELIMITED);
                        put_varint(out, key);
                        put_varint(out, body.len() as u64);
                        out.extend_from_slice(&body);
                    }
                }
                _ => out.extend_from_slice(field.whole),
            }
        }
        Ok((own, all))
    }
}

/// A field of an envelope.
struct Field<'a> {
    tag: u32,
    kind: Kind,
    /// With its key.
    whole: &'a [u8],
    /// What is in it, where that has a length.
    body: &'a [u8],
}

/// The fields of a message that count: of the members of a `oneof` those that a decoder keeps.
fn fields<'a>(data: &'a [u8], message: &'static Message) -> Result<Vec<Field<'a>>, WalkError> {
    let mut found = Vec::new();
    let mut reader = Reader::new(data);
    while reader.at < data.len() {
        let start = reader.at;
        let (tag, wire) = reader.key(data.len())?;
        let after_key = reader.at;
        reader.skip_field(tag, wire, data.len(), 101)?;
        let end = reader.at;
        let (mut kind, mut body) = (Kind::Unknown, &[][..]);
        if wire == LENGTH_DELIMITED {
            reader.at = after_key;
            reader.length(data.len())?;
            body = &data[reader.at..end];
            reader.at = end;
            kind = message.field(tag);
        }
        found.push(Field {
            tag,
            kind,
            whole: &data[start..end],
            body,
        });
    }
    // Setting another member discards the one before it, setting the same one merges.
    let is_member = |field: &Field<'_>| matches!(field.kind, Kind::OneOf(_));
    let last = found.iter().rev().find(|field| is_member(field));
    if let Some(last) = last.map(|field| field.tag) {
        let other = |field: &Field<'_>| is_member(field) && field.tag != last;
        if let Some(index) = found.iter().rposition(other) {
            let mut at = 0;
            found.retain(|field| {
                at += 1;
                at > index + 1 || !is_member(field)
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
