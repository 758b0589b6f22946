//! Types of the fields of clients' messages: lenient where clients differ, bounded where they could grow.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::proto::last::keep_last;

/// A string, borrowed where possible; `null` is the empty string.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_str(self)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_option(TextVisitor)
    }
}

/// The pairs of an object, at most `MAX`; `null` is an empty object, and as a value the default. Of a repeated key
/// the last counts.
#[derive(Debug)]
pub(super) struct Pairs<V, const MAX: usize>(pub(super) Vec<(String, V)>);

impl<V, const MAX: usize> Default for Pairs<V, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: Deserialize<'de> + Default, const MAX: usize> Deserialize<'de> for Pairs<V, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<V, const MAX: usize>(PhantomData<V>);

        impl<'de, V: Deserialize<'de> + Default, const MAX: usize> Visitor<'de> for PairsVisitor<V, MAX> {
            type Value = Pairs<V, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {MAX} fields")
            }

            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(Pairs::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Pairs::default())
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_map(self)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Vec<(String, V)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Option<V>>()? {
                    if pairs.len() == MAX {
                        return Err(A::Error::invalid_length(MAX + 1, &self));
                    }
                    pairs.push((name, value.unwrap_or_default()));
                }
                keep_last(&mut pairs, |(name, _)| name);
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_option(PairsVisitor(PhantomData))
    }
}

/// The id of an unreadable command, which ignores all other fields; 0 for none.
#[derive(Debug)]
pub(super) struct IdAlone(pub(super) u32);

impl<'de> Deserialize<'de> for IdAlone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl<'de> Visitor<'de> for IdVisitor {
            type Value = IdAlone;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut id = 0;
                while let Some(IsId(is_id)) = map.next_key()? {
                    if is_id {
                        id = map.next_value::<Option<u32>>()?.unwrap_or_default();
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(IdAlone(id))
            }
        }

        deserializer.deserialize_map(IdVisitor)
    }
}

/// Whether a field's name is that of the id. Read as bytes: a name need not be Unicode.
struct IsId(bool);

impl<'de> Deserialize<'de> for IsId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = IsId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Self::Value, E> {
                Ok(IsId(name.eq_ignore_ascii_case(b"id")))
            }
        }

        deserializer.deserialize_bytes(NameVisitor)
    }
}

/// Distinguishes `null`, a message like any other, from a missing message.
pub(super) fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The text of a payload; empty for none.
pub(super) fn bytes(raw: Option<&RawValue>) -> Cow<'_, [u8]> {
    Cow::Borrowed(raw.map_or(&[], |raw| raw.get().as_bytes()))
}
