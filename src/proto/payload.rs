//! Payloads in the JSON of tokens, hooks and the server API: one field has a JSON value, or another one has bytes in
//! base64.

use data_encoding::BASE64_MIME;
use serde_json::value::RawValue;

use crate::base::payload::Payload;

/// The reason of an error.
const NOT_BASE64: &str = "not base64";

/// A payload given as JSON, or as bytes in base64, which have precedence unless they are empty. Empty without either.
///
/// # Errors
/// When the text is not base64.
pub(crate) fn read(json: Option<&RawValue>, base64: Option<&str>) -> Result<Payload, &'static str> {
    match base64 {
        Some(text) if !text.is_empty() => decode(text).map(Payload::from),
        _ => Ok(json.map(Payload::of_json).unwrap_or_default()),
    }
}

/// Decodes base64, with line ends or without.
///
/// # Errors
/// When the text is not base64.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    BASE64_MIME.decode(text.as_bytes()).map_err(|_| NOT_BASE64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_base64_have_precedence_unless_they_are_empty() {
        let json: &RawValue = serde_json::from_str("{\"a\":\n1}").unwrap();
        for (json, base64, payload) in [
            (Some(json), Some("AQI="), &b"\x01\x02"[..]),
            (Some(json), Some("A\r\nQI=\n"), b"\x01\x02"),
            (Some(json), Some(""), b"{\"a\": 1}"),
            (Some(json), None, b"{\"a\": 1}"),
            (None, Some(""), b""),
            (None, None, b""),
        ] {
            assert_eq!(read(json, base64).as_deref(), Ok(payload), "{base64:?}");
        }
        for text in ["AQI", "A*I=", "AQI=="] {
            assert_eq!(read(Some(json), Some(text)), Err("not base64"), "{text}");
        }
    }
}
