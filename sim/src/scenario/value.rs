//! A part of a scenario's tree as a value of a user's own type, by serde; what is wrong is blamed on the exact place.
//!
//! The language's own tables do not come this way (`fields`): they know units, and tell all that is wrong in one go. This is for
//! the configuration of custom services, whose types are somebody else's. Next: `service`.

use std::fmt;

use backroom_collector::config::{
    Span,
    tree::{Node, Table, Value},
};
use indexmap::map::Iter;
use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
        VariantAccess, Visitor,
    },
};

/// What is wrong with a value, and where: `None` is the value as a whole.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) span: Option<Span>,
}

impl Wrong {
    /// Blames a place, unless one within it is blamed already.
    fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            span: None,
        }
    }
}

/// Reads a value.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn read<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Wrong> {
    T::deserialize(Reader(node))
}

#[derive(Clone, Copy)]
struct Reader<'de>(&'de Node);

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let read = match &self.0.value {
            Value::Text(text) => visitor.visit_borrowed_str(&text.value),
            Value::Integer(n) => visitor.visit_i64(*n),
            Value::Float(n) => visitor.visit_f64(*n),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Array(list) => visitor.visit_seq(Items(list.iter())),
            Value::Table(table) => visitor.visit_map(Entries::of(table)),
        };
        read.map_err(|wrong| wrong.at(self.0.span))
    }

    /// What is written is there.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor
            .visit_newtype_struct(self)
            .map_err(|wrong| wrong.at(self.0.span))
    }

    /// A word is a variant without content; a table of one key is one with.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let read = match &self.0.value {
            Value::Text(text) => visitor.visit_enum(text.value.as_str().into_deserializer()),
            Value::Table(table) if table.entries.len() == 1 => {
                let (name, entry) = table.entries.first().expect("there is one");
                visitor.visit_enum(Variant(name, &entry.node))
            }
            _ => Err(de::Error::custom(
                "expected a word, or a table with one key",
            )),
        };
        read.map_err(|wrong| wrong.at(self.0.span))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let next = self.0.next();
        next.map(|node| seed.deserialize(Reader(node))).transpose()
    }
}

struct Entries<'de> {
    rest: Iter<'de, String, backroom_collector::config::tree::Entry>,
    value: Option<&'de Node>,
}

impl<'de> Entries<'de> {
    fn of(table: &'de Table) -> Self {
        Self {
            rest: table.entries.iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some((name, entry)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(&entry.node);
        let key = seed.deserialize(name.as_str().into_deserializer());
        // An unknown key is blamed itself.
        key.map(Some).map_err(|wrong: Wrong| wrong.at(entry.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let node = self.value.take().expect("its key was read");
        seed.deserialize(Reader(node))
            .map_err(|wrong| wrong.at(node.span))
    }
}

struct Variant<'de>(&'de str, &'de Node);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Wrong;
    type Variant = Reader<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Reader<'de>), Wrong> {
        let variant = seed.deserialize(self.0.into_deserializer())?;
        Ok((variant, Reader(self.1)))
    }
}

impl<'de> VariantAccess<'de> for Reader<'de> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use backroom_collector::config::{Sources, tree};

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Shaker {
        flavours: Vec<String>,
        #[serde(default)]
        pace: Option<Pace>,
        speed: f64,
        cups: u16,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Pace {
        Slow,
        Every { seconds: u32 },
    }

    /// Reads a table; gives what is wrong with the text that is blamed.
    fn check(text: &str) -> Result<Shaker, (String, String)> {
        let mut sources = Sources::default();
        let file = sources.add("case.toml", text);
        let table = tree::parse(&sources, file).expect("it is TOML");
        let whole = Span {
            file,
            start: 0,
            end: text.len(),
        };
        let node = Node {
            span: whole,
            value: Value::Table(table),
        };
        read(&node).map_err(|wrong| {
            let span = wrong.span.unwrap_or(whole);
            (wrong.message, sources.text(span).to_owned())
        })
    }

    #[test]
    fn a_table_is_read_as_the_service_s_own_type() {
        let shaker = check(
            "flavours = [\"vanilla\", \"lime\"]\nspeed = 2\ncups = 3\npace = { every = { seconds = 5 } }\n",
        );
        let expect = Shaker {
            flavours: vec!["vanilla".into(), "lime".into()],
            pace: Some(Pace::Every { seconds: 5 }),
            speed: 2.0,
            cups: 3,
        };
        assert_eq!(shaker, Ok(expect));
        let slow = check("flavours = []\nspeed = 2.5\ncups = 3\npace = \"slow\"\n");
        assert_eq!(slow.map(|s| s.pace), Ok(Some(Pace::Slow)));
    }

    #[test]
    fn what_is_wrong_is_blamed_where_it_stands() {
        let blamed = |text: &str| {
            let (message, at) = check(text).expect_err("it is wrong");
            (message.split(',').next().unwrap_or_default().to_owned(), at)
        };
        let case = |message: &str, at: &str| (message.to_owned(), at.to_owned());
        assert_eq!(
            blamed("flavours = []\nspeed = 2\ncups = 3\nsped = 3\n"),
            case("unknown field `sped`", "sped")
        );
        assert_eq!(
            blamed("flavours = [\"lime\", 7]\nspeed = 2\ncups = 3\n"),
            case("invalid type: integer `7`", "7")
        );
        assert_eq!(
            blamed("flavours = []\nspeed = 2\ncups = 70000\n"),
            case("invalid value: integer `70000`", "70000")
        );
        assert_eq!(
            blamed("flavours = []\nspeed = 2\ncups = 3\npace = \"slwo\"\n").0,
            "unknown variant `slwo`"
        );
        assert_eq!(
            blamed("flavours = []\nspeed = 2\n").0,
            "missing field `cups`"
        );
    }
}
