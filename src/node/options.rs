//! What a publisher may wish, and what a message of each kind must be.

use crate::base::payload;
use crate::hub::{DataKind, Tags};

/// Bytes of an idempotency key: homes keep keys for minutes.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 512;

/// What a publisher may wish.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// What the message is. Default: one JSON value.
    pub kind: DataKind,
    /// Names and values that are delivered with it, and that filters look at.
    pub tags: Tags,
    /// Keep it out of the history.
    pub skip_history: bool,
    /// Publish once, however often it is asked for with this key within five minutes, per channel. At most 512 bytes.
    pub idempotency_key: Option<Box<str>>,
    /// Send it as a delta to the publication before, to those who can apply one.
    pub delta: bool,
    /// Drop it if the channel has a version that is as high; 0 for no version. Only with history.
    pub version: u64,
    /// What `version` is a version of; another is another series.
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

/// Whether data is what its kind says.
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
