//! Options of a publication, and the check of its data.

use crate::base::payload;
use crate::hub::{DataKind, Tags};

/// Maximum size of an idempotency key, in bytes: homes keep keys for minutes.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 512;

/// Options of a publication.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// The kind of the data. Default: one JSON value.
    pub kind: DataKind,
    /// Names and values that are delivered with the publication, and that filters can test.
    pub tags: Tags,
    /// Leaves the publication out of the history.
    pub skip_history: bool,
    /// Publishes once, however often this key is used within five minutes in a channel. At most 512 bytes.
    pub idempotency_key: Option<Box<str>>,
    /// Sends a delta to the previous publication to clients that support it.
    pub delta: bool,
    /// Drops the publication if the channel has this version or a higher one; 0 for no version. Only with history.
    pub version: u64,
    /// The series of `version`: versions of different series are not compared.
    pub version_epoch: Option<Box<str>>,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            kind: DataKind::Json,
            tags: Tags::default(),
            skip_history: false,
            idempotency_key: None,
            delta: false,
            version: 0,
            version_epoch: None,
        }
    }
}

/// Whether data is of its kind.
pub(super) fn is_what_it_should_be(kind: DataKind, data: &[u8]) -> bool {
    match kind {
        DataKind::Json => payload::is_json(data),
        DataKind::Text => simdutf8::basic::from_utf8(data).is_ok(),
        DataKind::Binary => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_its_kind_says() {
        let cases: [(DataKind, &[u8], bool); 9] = [
            (DataKind::Json, b"{\"a\": [1, null]}", true),
            (DataKind::Json, b" 1\n", true),
            (DataKind::Json, b"", false),
            (DataKind::Json, b"{} {}", false),
            (DataKind::Json, b"\"\xff\"", false),
            (DataKind::Text, "Grüße".as_bytes(), true),
            (DataKind::Text, b"", true),
            (DataKind::Text, b"\xff", false),
            (DataKind::Binary, b"\xff", true),
        ];
        for (kind, data, good) in cases {
            assert_eq!(is_what_it_should_be(kind, data), good, "{kind:?} {}", data.escape_ascii());
        }
    }
}
