//! Destinations of the fields of outgoing messages.
//!
//! A message's length precedes it, so each message is put twice: into a counter, and into the outgoing bytes. Empty
//! fields are omitted, except for messages, whose presence has a meaning.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::super::message::Apart;

/// Appends a message preceded by its length.
pub(super) fn put_delimited(out: &mut Vec<u8>, message: &impl Message) {
    encode_varint(message.length() as u64, out);
    message.put(out);
}

/// A destination of numbered fields.
pub(super) trait Sink: Sized {
    fn put_varint(&mut self, number: u64);
    fn put_key(&mut self, number: u32, wire_type: WireType);
    fn put_bytes(&mut self, bytes: &[u8]);
    /// Notes a payload apart at this place.
    fn leave_out(&mut self, apart: &Apart);
    fn message(&mut self, number: u32, message: &impl Message);

    fn apart(&mut self, number: u32, apart: &Apart) {
        self.put_key(number, WireType::LengthDelimited);
        self.put_varint(apart.data().len() as u64);
        self.leave_out(apart);
    }

    fn number(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.put_key(number, WireType::Varint);
            self.put_varint(value);
        }
    }

    fn flag(&mut self, number: u32, value: bool) {
        self.number(number, value.into());
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.put_key(number, WireType::LengthDelimited);
            self.put_varint(bytes.len() as u64);
            self.put_bytes(bytes);
        }
    }

    fn text(&mut self, number: u32, text: &str) {
        self.bytes(number, text.as_bytes());
    }
}

impl Sink for Vec<u8> {
    fn put_varint(&mut self, number: u64) {
        encode_varint(number, self);
    }

    fn put_key(&mut self, number: u32, wire_type: WireType) {
        encode_key(number, wire_type, self);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn leave_out(&mut self, apart: &Apart) {
        apart.leave_out(self);
    }

    fn message(&mut self, number: u32, message: &impl Message) {
        self.put_key(number, WireType::LengthDelimited);
        put_delimited(self, message);
    }
}

/// A sink that only counts bytes.
struct Length(usize);

impl Sink for Length {
    fn put_varint(&mut self, number: u64) {
        self.0 += encoded_len_varint(number);
    }

    fn put_key(&mut self, number: u32, _: WireType) {
        self.0 += key_len(number);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn leave_out(&mut self, apart: &Apart) {
        self.0 += apart.data().len();
    }

    fn message(&mut self, number: u32, message: &impl Message) {
        let length = message.length();
        self.put_key(number, WireType::LengthDelimited);
        self.put_varint(length as u64);
        self.0 += length;
    }
}

/// A message, which must put the same fields each time.
pub(super) trait Message {
    fn put(&self, to: &mut impl Sink);

    fn length(&self) -> usize {
        let mut length = Length(0);
        self.put(&mut length);
        length.0
    }
}

/// A message without fields.
pub(super) struct Empty;

impl Message for Empty {
    fn put(&self, _: &mut impl Sink) {}
}

/// An entry of a map.
pub(super) struct Entry<'a, M>(pub(super) &'a str, pub(super) &'a M);

impl<M: Message> Message for Entry<'_, M> {
    fn put(&self, to: &mut impl Sink) {
        to.text(1, self.0);
        to.message(2, self.1);
    }
}

/// An entry of a map of texts.
pub(super) struct TextEntry<'a>(pub(super) &'a str, pub(super) &'a str);

impl Message for TextEntry<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.text(1, self.0);
        to.text(2, self.1);
    }
}
