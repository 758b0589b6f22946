//! Placeholders: objects `{"_placeholder":true,"num":0}` that stand for attachments in the JSON of a packet.
//!
//! The scan relies on valid JSON: it looks at strings and opening braces only. Clients write the two keys in either order,
//! and some do not number in the order of the text; so the rule is that each attachment occurs exactly once. An object with
//! `"_placeholder":true` in any other form is malformed.

use std::ops::Range;

use memchr::{memchr2, memmem};

use super::SocketError;
use super::attachments::ATTACHMENTS_READ_MAX;

const MARK: &str = "\"_placeholder\"";
const NUMBER: &str = "\"num\"";

/// Checks that the placeholders in valid JSON refer to the attachments with these numbers, to each exactly once.
pub(super) fn check(json: &str, numbers: Range<usize>) -> Result<(), SocketError> {
    let (mut seen, mut found) = ([false; ATTACHMENTS_READ_MAX], 0);
    let (first, count) = (numbers.start, numbers.len());
    for placeholder in Placeholders::new(json) {
        let index = placeholder?.number.checked_sub(first).ok_or(SocketError::Placeholders)?;
        let place =
            seen[..count.min(ATTACHMENTS_READ_MAX)].get_mut(index).ok_or(SocketError::Placeholders)?;
        if std::mem::replace(place, true) {
            return Err(SocketError::Placeholders);
        }
        found += 1;
    }
    if found == count { Ok(()) } else { Err(SocketError::Placeholders) }
}

/// Appends a placeholder.
pub(super) fn put(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(b"{\"_placeholder\":true,\"num\":");
    crate::proto::engine::put_number(out, number as u64);
    out.push(b'}');
}

/// A placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placeholder {
    /// The number of the attachment.
    pub(super) number: usize,
    /// The position behind it.
    pub(super) end: usize,
}

/// The placeholders in valid JSON, in the order of the text.
struct Placeholders<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Placeholders<'a> {
    fn new(json: &'a str) -> Self {
        // Most JSON has none: then the scan ends here.
        let is_marked = memmem::find(json.as_bytes(), MARK.as_bytes()).is_some();
        Self { json, at: if is_marked { 0 } else { json.len() } }
    }
}

impl Iterator for Placeholders<'_> {
    type Item = Result<Placeholder, SocketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.json.as_bytes();
        loop {
            let found = self.at + memchr2(b'"', b'{', &bytes[self.at..])?;
            if bytes[found] == b'{' {
                if let Some(placeholder) = at(self.json, found) {
                    self.at = placeholder.end;
                    return Some(Ok(placeholder));
                }
                self.at = found + 1;
                continue;
            }
            self.at = string_end(self.json, found)?;
            let is_mark = &self.json[found..self.at] == MARK;
            if is_mark && value_behind(&self.json[self.at..]).is_some_and(|value| value.starts_with("true")) {
                self.at = bytes.len();
                return Some(Err(SocketError::Placeholders));
            }
        }
    }
}

/// The position behind the string that begins at `start`, in valid JSON; `None` when the string is cut off.
pub(super) fn string_end(json: &str, start: usize) -> Option<usize> {
    let bytes = json.as_bytes();
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The placeholder that begins at `start`; `None` for any other object.
pub(super) fn at(json: &str, start: usize) -> Option<Placeholder> {
    let mut left = json.get(start..)?.strip_prefix('{')?;
    let (mut is_marked, mut number) = (false, None);
    for end in [',', '}'] {
        left = blank(left);
        if let Some(behind) = left.strip_prefix(MARK) {
            left = value_behind(behind)?.strip_prefix("true")?;
            is_marked = true;
        } else {
            let value = value_behind(left.strip_prefix(NUMBER)?)?;
            let digits = value.bytes().take_while(u8::is_ascii_digit).count();
            number = Some(value[..digits].parse().ok()?);
            left = &value[digits..];
        }
        left = blank(left).strip_prefix(end)?;
    }
    let number = number.filter(|_| is_marked)?;
    Some(Placeholder { number, end: json.len() - left.len() })
}

/// The text behind a key and its colon.
fn value_behind(key: &str) -> Option<&str> {
    Some(blank(blank(key).strip_prefix(':')?))
}

/// The text without leading whitespace (RFC 8259 §2).
pub(super) fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}
