//! Validates JSON (RFC 8259) in one pass, without a tree and without an allocation.
//!
//! Every event of every client passes here, so strings are scanned many bytes at a time. The rules are those of
//! serde_json for values that are ignored, among them that half a surrogate pair is text; but the depth is bounded.
//!
//! Invariant: the scan accepts the same values as serde_json, up to [`DEPTH_MAX`] levels.

use memchr::memchr2;

use super::SocketError;

/// The most levels of lists and objects within one value: the bits of the scan's stack.
pub(super) const DEPTH_MAX: u32 = u128::BITS;

/// The first value and the number of values of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape<'a> {
    /// The first value, without whitespace around it.
    pub(super) first: Option<&'a str>,
    /// The number of values.
    pub(super) count: usize,
    /// The position behind the first value.
    pub(super) first_end: usize,
}

/// Validates a text that is one list, without whitespace around it.
///
/// # Errors
/// When it is no list or not JSON, or nested too deeply.
pub(super) fn list(json: &str) -> Result<Shape<'_>, SocketError> {
    let bytes = json.as_bytes();
    if bytes.first() != Some(&b'[') {
        return Err(SocketError::NoList);
    }
    let mut shape = Shape { first: None, count: 0, first_end: 1 };
    let mut at = blank(bytes, 1);
    if bytes.get(at) == Some(&b']') {
        return ended(json, at + 1).map(|()| shape);
    }
    loop {
        at = blank(bytes, at);
        let end = value_end(bytes, at)?;
        if shape.count == 0 {
            (shape.first, shape.first_end) = (json.get(at..end), end);
        }
        shape.count += 1;
        at = blank(bytes, end);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b']') => return ended(json, at + 1).map(|()| shape),
            _ => return Err(SocketError::Json),
        }
    }
}

/// Validates a text that is one value, without whitespace around it.
///
/// # Errors
/// When it is not JSON, or nested too deeply.
pub(super) fn value(json: &str) -> Result<(), SocketError> {
    ended(json, value_end(json.as_bytes(), 0)?)
}

fn ended(json: &str, at: usize) -> Result<(), SocketError> {
    if at == json.len() { Ok(()) } else { Err(SocketError::Json) }
}

/// The position behind whitespace (RFC 8259 §2).
fn blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(rest.len())
}

/// The position behind the value that begins at `at`.
fn value_end(bytes: &[u8], mut at: usize) -> Result<usize, SocketError> {
    // One bit per level that is open, the innermost last: whether it is an object.
    let (mut objects, mut depth) = (0_u128, 0);
    loop {
        at = blank(bytes, at);
        let first = *bytes.get(at).ok_or(SocketError::Json)?;
        at = match first {
            b'{' | b'[' => {
                let inside = blank(bytes, at + 1);
                // In ASCII both closing brackets are two behind the opening ones.
                if bytes.get(inside) == Some(&(first + 2)) {
                    inside + 1
                } else if depth == DEPTH_MAX {
                    return Err(SocketError::TooDeep);
                } else {
                    let is_object = first == b'{';
                    (objects, depth) = (objects << 1 | u128::from(is_object), depth + 1);
                    at = if is_object { key_end(bytes, inside)? } else { inside };
                    continue;
                }
            }
            b'"' => string_end(bytes, at)?,
            b'-' | b'0'..=b'9' => number_end(bytes, at)?,
            _ => word_end(bytes, at)?,
        };
        // Behind a value: the levels that end here, or the next value of the innermost.
        loop {
            if depth == 0 {
                return Ok(at);
            }
            at = blank(bytes, at);
            let is_object = objects & 1 == 1;
            match (bytes.get(at), is_object) {
                (Some(b','), true) => {
                    at = key_end(bytes, blank(bytes, at + 1))?;
                    break;
                }
                (Some(b','), false) => {
                    at += 1;
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    (objects, depth, at) = (objects >> 1, depth - 1, at + 1);
                }
                _ => return Err(SocketError::Json),
            }
        }
    }
}

/// The position behind a key and its colon.
fn key_end(bytes: &[u8], at: usize) -> Result<usize, SocketError> {
    if bytes.get(at) != Some(&b'"') {
        return Err(SocketError::Json);
    }
    let colon = blank(bytes, string_end(bytes, at)?);
    if bytes.get(colon) == Some(&b':') { Ok(colon + 1) } else { Err(SocketError::Json) }
}

/// The position behind a string (RFC 8259 §7), whose opening quote is at `at`.
fn string_end(bytes: &[u8], at: usize) -> Result<usize, SocketError> {
    let mut at = at + 1;
    loop {
        let rest = bytes.get(at..).ok_or(SocketError::Json)?;
        let plain = memchr2(b'"', b'\\', rest).ok_or(SocketError::Json)?;
        // Without an early end, so that it is done many bytes at a time.
        if rest[..plain].iter().fold(false, |found, &byte| found | (byte < b' ')) {
            return Err(SocketError::Json);
        }
        at += plain;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at += match bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let digits = bytes.get(at + 2..at + 6).ok_or(SocketError::Json)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(6).ok_or(SocketError::Json)?
            }
            _ => return Err(SocketError::Json),
        };
    }
}

/// The position behind a number (RFC 8259 §6).
fn number_end(bytes: &[u8], at: usize) -> Result<usize, SocketError> {
    let digits = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 { Err(SocketError::Json) } else { Ok(at + count) }
    };
    let mut at = at + usize::from(bytes[at] == b'-');
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let is_signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits(at + 1 + usize::from(is_signed))?;
    }
    Ok(at)
}

fn word_end(bytes: &[u8], at: usize) -> Result<usize, SocketError> {
    let rest = &bytes[at..];
    let word = [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word));
    word.map(|word| at + word.len()).ok_or(SocketError::Json)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::value::RawValue;

    use super::*;

    /// Whether serde_json accepts the same text.
    fn reference(json: &str) -> Option<Vec<String>> {
        serde_json::from_str::<IgnoredAny>(json).ok()?;
        let list: Option<Vec<&RawValue>> = serde_json::from_str(json).ok();
        Some(list.unwrap_or_default().iter().map(|raw| raw.get().to_owned()).collect())
    }

    fn agrees(json: &str) {
        let json = json.trim_matches([' ', '\t', '\n', '\r']);
        let reference = reference(json);
        assert_eq!(value(json).is_ok(), reference.is_some(), "{json}");
        if !json.starts_with('[') {
            return assert_eq!(list(json), Err(SocketError::NoList), "{json}");
        }
        let shape = list(json);
        assert_eq!(shape.is_ok(), reference.is_some(), "{json}");
        if let (Ok(shape), Some(values)) = (shape, reference) {
            assert_eq!(
                (shape.first, shape.count),
                (values.first().map(String::as_str), values.len()),
                "{json}"
            );
            let first = shape.first.unwrap_or_default();
            assert!(json[..shape.first_end].ends_with(first), "{json}");
        }
    }

    #[test]
    fn the_scan_agrees_with_serde_json() {
        for json in [
            "",
            "[",
            "]",
            "[]",
            "[ ]",
            "[,]",
            "[1,]",
            "[1 2]",
            "[1]]",
            "[[],{}]",
            "[{]",
            "[{}]",
            "{\"a\":1}",
            "{\"a\" : [ ] }",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":{\"b\":[{},{\"c\":null}]}}",
            "[1}",
            "{\"a\":1]",
            "0",
            "-0",
            "01",
            "-",
            "1.",
            ".5",
            "1.5e",
            "1e5",
            "1E+5",
            "1e-05",
            "1e+",
            "+1",
            "1e400",
            "-1.0e9",
            "true",
            "truex",
            "fals",
            "null",
            "nul",
            "NaN",
            "\"",
            "\"a\"",
            "\"\\\"",
            "\"\\\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\u00e9\"",
            "\"a\nb\"",
            "\"a\u{1f}\"",
            "\"a\u{7f}é😀\"",
            "[\"a\",\n\t\r 1]",
            "[\u{a0}1]",
            "[1]\0",
            "\"a\\",
            "[\"\\u00",
            "{\"a\\\":1}",
        ] {
            agrees(json);
        }
    }

    #[test]
    fn the_depth_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        let max = DEPTH_MAX as usize;
        assert_eq!(value(&nested(max)), Ok(()));
        assert_eq!(value(&nested(max + 2)), Err(SocketError::TooDeep));
        assert_eq!(value(&"[".repeat(1 << 20)), Err(SocketError::TooDeep));
        assert_eq!(list(&format!("[{}]", nested(max))).map(|shape| shape.count), Ok(1));
    }

    proptest! {
        #[test]
        fn the_scan_agrees_with_serde_json_on_any_text(pieces in prop::collection::vec(prop::sample::select(vec![
            "[", "]", "{", "}", "\"", "\\", ",", ":", "\"a\"", "\"b\":", "1", "-", "0", ".", "e", "true", "null", " ", "\n",
            "\\u", "00e9", "é", "\u{1}", "[]", "{}", "[1,2]",
        ]), 0..12)) {
            agrees(&pieces.concat());
        }

        #[test]
        fn the_scan_accepts_any_value_and_no_cut_of_a_list(value in super::super::tests::any::any_value()) {
            let json = serde_json::json!([value, value]).to_string();
            agrees(&json);
            for (end, _) in json.char_indices() {
                prop_assert!(list(&json[..end]).is_err());
            }
        }
    }
}
