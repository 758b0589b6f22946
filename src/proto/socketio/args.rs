//! Arguments of events and acknowledgements, undecoded.
//!
//! Invariant: arguments are validated when they are read, so iterating over them never fails.

use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::value::RawValue;

use super::placeholder::blank;
use super::{SocketError, msgpack, scan};

/// Arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Args<'a> {
    /// In JSON.
    Json(JsonArgs<'a>),
    /// In msgpack.
    MsgPack(MsgPackArgs<'a>),
}

impl<'a> Args<'a> {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Self::Json(args) => args.count,
            Self::MsgPack(args) => args.count,
        }
    }
}

/// Arguments in JSON: values with commas between them, without the brackets around them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonArgs<'a> {
    text: &'a str,
    count: usize,
}

impl<'a> JsonArgs<'a> {
    /// No arguments.
    pub const NONE: Self = Self { text: "", count: 0 };

    /// Arguments of validated text.
    pub(super) fn new(text: &'a str, count: usize) -> Self {
        Self { text: text.trim_matches([' ', '\t', '\n', '\r']), count }
    }

    /// Validates an array of JSON and takes its values.
    ///
    /// # Errors
    /// When it is not an array of JSON, or nested too deeply.
    pub fn of_list(list: &'a str) -> Result<Self, SocketError> {
        let list = list.trim_matches([' ', '\t', '\n', '\r']);
        let shape = scan::list(list)?;
        Ok(Self::new(&list[1..list.len() - 1], shape.count))
    }

    /// The values unchanged, with commas between them.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// The only value, when there is exactly one.
    pub fn sole(self) -> Option<&'a str> {
        (self.count == 1).then_some(self.text)
    }

    /// Iterates over the values.
    pub fn items(self) -> JsonItems<'a> {
        JsonItems { left: self.text }
    }

    /// Deserializes the arguments into a tuple or a list, `()` for none; surplus arguments are ignored.
    ///
    /// # Errors
    /// When an argument has another type, or is missing.
    pub fn read<T: Deserialize<'a>>(self) -> serde_json::Result<T> {
        T::deserialize(OfItems(self.items()))
    }
}

/// Deserializes a list, or nothing where nothing is wanted.
struct OfItems<'a>(JsonItems<'a>);

impl<'de> Deserializer<'de> for OfItems<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        visitor.visit_seq(self.0)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The values of a list in JSON.
#[derive(Clone, Debug)]
pub struct JsonItems<'a> {
    left: &'a str,
}

impl<'a> Iterator for JsonItems<'a> {
    type Item = &'a RawValue;

    fn next(&mut self) -> Option<Self::Item> {
        let mut values = serde_json::Deserializer::from_str(self.left).into_iter::<&'a RawValue>();
        let value = values.next()?.ok()?;
        let behind = blank(&self.left[values.byte_offset()..]);
        self.left = behind.strip_prefix(',').unwrap_or(behind);
        Some(value)
    }
}

impl<'a> SeqAccess<'a> for JsonItems<'a> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> serde_json::Result<Option<T::Value>> {
        self.next().map(|value| seed.deserialize(value)).transpose()
    }
}

/// Arguments in msgpack: values one behind the other, without the header of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsgPackArgs<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> MsgPackArgs<'a> {
    /// Arguments of validated bytes.
    pub(super) fn new(bytes: &'a [u8], count: usize) -> Self {
        Self { bytes, count }
    }

    /// The values unchanged.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// Deserializes the arguments as [`JsonArgs::read`] does, by way of JSON; binary data becomes a placeholder.
    ///
    /// # Errors
    /// As [`JsonArgs::read`].
    pub fn read<T: for<'de> Deserialize<'de>>(self) -> serde_json::Result<T> {
        let (mut json, mut attachments) = (b"[".to_vec(), super::AttachmentStore::default());
        msgpack::args_to_json(self, &mut json, &mut attachments).map_err(serde_json::Error::custom)?;
        json.push(b']');
        let json = std::str::from_utf8(&json).map_err(serde_json::Error::custom)?;
        JsonArgs::of_list(json).map_err(serde_json::Error::custom)?.read()
    }
}
