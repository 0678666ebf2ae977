//! Whose items a request holds: counted by `service.name`, by hopping over the items. Next: `response`.
//!
//! The loss ledger needs it for every request, so it reads lengths only: some 10 ns an item, no allocation but the list.

use super::{
    Signal, WalkError,
    schema::{Kind, Message},
    walk::{LENGTH_DELIMITED, Reader},
};

/// The items of a well-formed request by the `service.name` of their resource, in the order of the request; `""` where there
/// is none. What cannot be read is left out.
pub fn count_services(signal: Signal, request: &[u8]) -> Vec<(&str, u64)> {
    let mut services: Vec<(&str, u64)> = Vec::new();
    // What is read up to a defect counts; everything that is stored was walked before.
    let _ = each_field(request, |tag, envelope| {
        let Kind::Envelope(message) = signal.request().field(tag) else {
            return Ok(());
        };
        let (mut name, mut items) = ("", 0);
        each_field(envelope, |tag, field| {
            match message.field(tag) {
                Kind::Message(_) if tag == 1 => name = service_name(field)?.unwrap_or(name),
                Kind::Envelope(inner) => items += count(field, inner)?,
                _ => {}
            }
            Ok(())
        })?;
        match services.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += items,
            None if items > 0 => services.push((name, items)),
            None => {}
        }
        Ok(())
    });
    services
}

/// Calls `take` for each length-delimited field.
fn each_field<'a>(
    data: &'a [u8],
    mut take: impl FnMut(u32, &'a [u8]) -> Result<(), WalkError>,
) -> Result<(), WalkError> {
    let mut reader = Reader::new(data);
    while reader.at < data.len() {
        let (tag, wire) = reader.key(data.len())?;
        if wire == LENGTH_DELIMITED {
            let end = reader.length(data.len())?;
            let field = &data[reader.at..end];
            reader.at = end;
            take(tag, field)?;
        } else {
            reader.skip_field(tag, wire, data.len(), 101)?;
        }
    }
    Ok(())
}

/// Items in an envelope.
fn count(data: &[u8], message: &'static Message) -> Result<u64, WalkError> {
    let mut items = 0;
    each_field(data, |tag, field| {
        match message.field(tag) {
            Kind::Item(_) => items += 1,
            Kind::Envelope(inner) | Kind::OneOf(inner) => items += count(field, inner)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(items)
}

/// `service.name` among a resource's attributes.
fn service_name(resource: &[u8]) -> Result<Option<&str>, WalkError> {
    let mut name = None;
    each_field(resource, |tag, attribute| {
        let (mut is_it, mut text) = (false, None);
        if tag == 1 {
            each_field(attribute, |tag, field| {
                match tag {
                    1 => is_it = field == b"service.name",
                    2 => each_field(field, |tag, value| {
                        if tag == 1 {
                            text = std::str::from_utf8(value).ok();
                        }
                        Ok(())
                    })?,
                    _ => {}
                }
                Ok(())
            })?;
        }
        if is_it {
            name = text.or(name);
        }
        Ok(())
    })?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, data: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, data.len() as u8], data].concat()
    }

    fn resource(service: &str) -> Vec<u8> {
        let value = field(2, &field(1, service.as_bytes()));
        let other = [field(1, b"host.name"), field(2, &field(1, b"x"))].concat();
        let name = [field(1, b"service.name"), value].concat();
        field(1, &[field(1, &other), field(1, &name)].concat())
    }

    #[test]
    fn items_are_counted_by_service() {
        let logs = |count: usize| field(2, &field(2, b"").repeat(count));
        let request = [
            field(1, &[resource("pos"), logs(3), logs(1)].concat()),
            field(1, &[resource("kds"), logs(2)].concat()),
            field(1, &logs(5)),
            field(1, &[resource("pos"), logs(1)].concat()),
        ]
        .concat();
        let services = [("pos", 5), ("kds", 2), ("", 5)];
        assert_eq!(count_services(Signal::Logs, &request), services);
        // Metrics have their data points one level deeper.
        let gauge = field(5, &field(1, b"").repeat(4));
        let metrics = field(2, &field(2, &gauge));
        let request = field(1, &[resource("pos"), metrics].concat());
        assert_eq!(count_services(Signal::Metrics, &request), [("pos", 4)]);
        assert!(count_services(Signal::Traces, b"not a request").is_empty());
    }
}
