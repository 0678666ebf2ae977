//! How a value of one line is written: spaces, quotes, units.
//!
//! A quantity has no spaces, and the shorter of two names of a unit (`10 min` is `10m`, `µs` is `us`); an expression has one space around a
//! comparison and behind a comma, and none inside its brackets. A text that its grammar does not take, before or after, stays as it is.

use backroom_collector::config::{
    grammar::Grammar,
    quantity::{DURATION, EVENT_RATE, RATE, SHARE, SIGNED_DURATION, SIZE},
    shape::Ty,
};
use toml_edit::{Array, InlineTable, Value};

use super::order;
use crate::scenario::{
    parse::{OBSERVE, THAT, WINDOW},
    time::FOR,
    words::{ARRIVALS, DIST_COUNT, DIST_TIME, LOSS, SERVICE},
};

static QUANTITIES: [&Grammar; 6] = [
    &DURATION,
    &SIGNED_DURATION,
    &SIZE,
    &RATE,
    &SHARE,
    &EVENT_RATE,
];

static EXPRESSIONS: [&Grammar; 8] = [
    &THAT,
    &OBSERVE,
    &WINDOW,
    &DIST_TIME,
    &DIST_COUNT,
    &SERVICE,
    &LOSS,
    &ARRIVALS,
];

/// A value of one line, written as its key's type has it.
pub(super) fn value(raw: &str, ty: Option<Ty>) -> String {
    match raw.parse::<Value>() {
        Ok(value) => written(&value, ty),
        Err(_) => raw.to_owned(),
    }
}

/// A text without its quotes; anything else as it is written.
pub(super) fn plain(raw: &str) -> String {
    match raw.parse::<Value>() {
        Ok(Value::String(text)) => text.into_value(),
        _ => raw.to_owned(),
    }
}

fn written(value: &Value, ty: Option<Ty>) -> String {
    match value {
        Value::String(text) => {
            let repr = text.display_repr();
            quoted(&repr, text.value(), ty.and_then(word))
        }
        Value::Array(list) => array(list, ty),
        Value::InlineTable(table) => inline(table, ty),
        other => other.to_string().trim().to_owned(),
    }
}

fn array(list: &Array, ty: Option<Ty>) -> String {
    let of = ty.and_then(|ty| match ty {
        Ty::List(of) => Some(*of),
        Ty::Tables(shape) => Some(Ty::Table(shape)),
        Ty::Either(all) => all.iter().find_map(|ty| match ty {
            Ty::List(of) => Some(**of),
            _ => None,
        }),
        _ => None,
    });
    let items: Vec<String> = list.iter().map(|item| written(item, of)).collect();
    format!("[{}]", items.join(", "))
}

fn inline(table: &InlineTable, ty: Option<Ty>) -> String {
    let shape = ty.as_ref().and_then(order::shape_of);
    let items: Vec<String> = table
        .get_values()
        .into_iter()
        .map(|(path, value)| {
            let name: Vec<String> = path.iter().map(|k| k.display_repr().into_owned()).collect();
            let key = match path.as_slice() {
                [key] => shape.and_then(|shape| shape.key(key.get())),
                _ => None,
            };
            format!("{} = {}", name.join("."), written(value, key.map(|k| k.ty)))
        })
        .collect();
    match items.is_empty() {
        true => "{}".into(),
        false => format!("{{ {} }}", items.join(", ")),
    }
}

fn word(ty: Ty) -> Option<&'static Grammar> {
    match ty {
        Ty::Word(grammar) => Some(grammar),
        Ty::Either(all) => all.iter().find_map(|ty| word(*ty)),
        _ => None,
    }
}

fn quoted(repr: &str, text: &str, grammar: Option<&'static Grammar>) -> String {
    let new = grammar.map_or_else(|| text.to_owned(), |grammar| normal(text, grammar));
    let needs_care = |c: char| c == '"' || c == '\\' || c.is_control();
    match new.contains(needs_care) {
        true if new == text => repr.to_owned(),
        true => Value::from(new).to_string(),
        false => format!("\"{new}\""),
    }
}

fn normal(text: &str, grammar: &'static Grammar) -> String {
    let is = |all: &[&'static Grammar]| all.iter().any(|one| std::ptr::eq(*one, grammar));
    // How long a fault lasts is a duration, or words.
    let lasts = std::ptr::eq(grammar, &FOR) && (DURATION.check)(text).is_ok();
    let new = if lasts {
        quantity(text, &DURATION)
    } else if is(&QUANTITIES) {
        quantity(text, grammar)
    } else if is(&EXPRESSIONS) {
        expression(text)
    } else {
        return text.to_owned();
    };
    match (grammar.check)(text).is_ok() && (grammar.check)(&new).is_ok() {
        true => new,
        false => text.to_owned(),
    }
}

fn quantity(text: &str, grammar: &Grammar) -> String {
    let text: String = text.split_whitespace().collect();
    match std::ptr::eq(grammar, &EVENT_RATE) {
        true if text.ends_with("/m") => format!("{text}in"),
        true => text,
        false => text.replace("min", "m").replace('µ', "u"),
    }
}

/// Spaces of an expression; what stands between quotes is left alone.
fn expression(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim();
    let mut depth = 0_usize;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        // One space behind a comparison and a comma, none behind a bracket: whatever was written there.
        let mut eat = false;
        let mut taken = c.len_utf8();
        match c {
            '\'' => {
                taken = after.find('\'').map_or(rest.len(), |i| i + 2);
                out.push_str(&rest[..taken]);
            }
            '(' => {
                depth += 1;
                out.push('(');
                eat = true;
            }
            ')' => {
                depth = depth.saturating_sub(1);
                trim(&mut out);
                out.push(')');
            }
            ',' => {
                trim(&mut out);
                out.push_str(", ");
                eat = true;
            }
            '<' | '>' => {
                taken += usize::from(after.starts_with('='));
                compare(&mut out, &rest[..taken]);
                eat = true;
            }
            '=' | '!' if after.starts_with('=') => {
                taken += 1;
                match depth {
                    0 => {
                        compare(&mut out, &rest[..taken]);
                        eat = true;
                    }
                    _ => out.push_str(&rest[..taken]),
                }
            }
            '=' if depth > 0 => {
                trim(&mut out);
                out.push('=');
                eat = true;
            }
            c if c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
        rest = &rest[taken..];
        if eat {
            rest = rest.trim_start();
        }
    }
    out
}

fn compare(out: &mut String, operator: &str) {
    trim(out);
    out.push(' ');
    out.push_str(operator);
    out.push(' ');
}

fn trim(out: &mut String) {
    out.truncate(out.trim_end().len());
}
