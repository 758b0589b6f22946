//! Payloads of the application: one JSON value, or other bytes.
//!
//! Invariant: a payload that counts as JSON is JSON on one line. The bytes are classified once, at their source: a
//! token, a hook, the server API, a handler. Writers read the classification and never the bytes. Clients of the JSON
//! protocol receive other bytes as a base64 string, clients of the Protobuf protocol receive them unchanged. Left
//! out: the data of publications, which is shared and has a kind of its own (`hub::DataKind`).

use std::fmt;
use std::ops::Deref;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Prefix of bytes that are not JSON. No JSON begins with it.
const OTHER: u8 = 0;

/// A payload: one JSON value on one line, or other bytes; an empty payload is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Box<[u8]>);

impl Payload {
    /// A JSON payload, with blanks in place of line ends: those occur only between its tokens.
    pub fn of_json(json: &RawValue) -> Self {
        Self(one_line(json.get().as_bytes().to_vec()).into_boxed_slice())
    }

    /// The payload with its classification.
    pub fn get(&self) -> PayloadRef<'_> {
        match self.0.split_first() {
            Some((&OTHER, bytes)) => PayloadRef { bytes, is_json: false },
            _ => PayloadRef { bytes: &self.0, is_json: true },
        }
    }

    /// Heap bytes, without its own size.
    pub fn held_bytes(&self) -> usize {
        self.0.len()
    }
}

/// The bytes of either kind.
impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.get().bytes
    }
}

impl From<Vec<u8>> for Payload {
    /// Classifies bytes: JSON, or other bytes.
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() || is_json(&bytes) {
            return Self(one_line(bytes).into_boxed_slice());
        }
        let mut marked = Vec::with_capacity(bytes.len() + 1);
        marked.push(OTHER);
        marked.extend_from_slice(&bytes);
        Self(marked.into_boxed_slice())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A borrowed payload.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct PayloadRef<'a> {
    bytes: &'a [u8],
    is_json: bool,
}

impl<'a> PayloadRef<'a> {
    /// Classifies bytes: JSON, or other bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, is_json: is_json(bytes) }
    }

    /// The bytes of either kind.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The JSON; `None` for other bytes.
    pub fn json(self) -> Option<&'a [u8]> {
        self.is_json.then_some(self.bytes)
    }
}

impl fmt::Debug for PayloadRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_json { "" } else { "bytes " }, self.bytes.escape_ascii())
    }
}

/// Whether the bytes are one JSON value, at most with blanks around it.
pub fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// JSON with blanks in place of line ends.
pub fn one_line(mut json: Vec<u8>) -> Vec<u8> {
    json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_is_known_and_on_one_line() {
        let cases: [(&[u8], Option<&[u8]>); 9] = [
            (b"{\"a\":\r\n1}\n", Some(b"{\"a\":  1} ")),
            (b"null", Some(b"null")),
            (b"hello", None),
            (b"{} {}", None),
            (b"{}\n{\"id\":1}", None),
            (b"\"\xff\"", None),
            (b"\0{}", None),
            (b"\0", None),
            (b" ", None),
        ];
        for (bytes, json) in cases {
            let payload = Payload::from(bytes.to_vec());
            assert_eq!(payload.get().json(), json, "{payload:?}");
            assert_eq!(&*payload, json.unwrap_or(bytes), "{payload:?}");
            assert_eq!(PayloadRef::of(bytes).json().is_some(), json.is_some(), "{payload:?}");
        }
        assert!(Payload::default().is_empty() && Payload::from(Vec::new()) == Payload::default());
    }

    #[test]
    fn a_mark_takes_no_room_of_its_own() {
        assert_eq!(size_of::<Payload>(), size_of::<Box<[u8]>>());
        assert_eq!(Payload::from(b"hello".to_vec()).held_bytes(), 6);
        assert_eq!(Payload::from(b"[1]".to_vec()).held_bytes(), 3);
    }
}
