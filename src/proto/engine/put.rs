//! Helpers of the writers of Engine.IO and Socket.IO: strings of JSON, numbers, base64.
//!
//! Invariant: each function only appends, and appends nothing when it fails.

use data_encoding::{BASE64, BASE64_NOPAD};

/// Appends `text` as a string of JSON.
pub(in crate::proto) fn put_string(out: &mut Vec<u8>, text: &str) {
    #[expect(clippy::expect_used, reason = "writing a string to a Vec cannot fail")]
    serde_json::to_writer(out, text).expect("a string is always JSON");
}

/// Appends the decimal digits of a number.
pub(in crate::proto) fn put_number(out: &mut Vec<u8>, number: u64) {
    put_digits(out, number, b'0');
}

/// Appends the decimal digits of a number; `zero` is the byte of the digit 0.
pub(super) fn put_digits(out: &mut Vec<u8>, number: u64, zero: u8) {
    let (start, mut left) = (out.len(), number);
    loop {
        out.push(zero + (left % 10) as u8);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// Appends `bytes` in base64 (RFC 4648 §4), with padding.
pub(in crate::proto) fn put_base64_of(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + BASE64.encode_len(bytes.len()), 0);
    BASE64.encode_mut(bytes, &mut out[start..]);
}

/// Appends the bytes of a base64 text with or without padding; `None` when it is invalid.
pub(in crate::proto) fn append_base64(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let bare = text.trim_end_matches('=').as_bytes();
    let padding = text.len() - bare.len();
    if padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) {
        return None;
    }
    let length = BASE64_NOPAD.decode_len(bare.len()).ok()?;
    let start = out.len();
    out.resize(start + length, 0);
    let decoded = BASE64_NOPAD.decode_mut(bare, &mut out[start..]);
    out.truncate(start + decoded.as_ref().map_or(0, |&length| length));
    decoded.ok().map(|_| ())
}
