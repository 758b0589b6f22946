//! Where a certificate or a key comes from, when one value says it: the text itself, the same in base64, or a file.

use data_encoding::BASE64;

/// What begins a text in PEM (RFC 7468, section 2).
const BEGIN: &str = "-----BEGIN ";

/// What such a value is.
#[derive(Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A text in PEM.
    Text(Vec<u8>),
    /// The path of a file that holds one.
    File(&'a str),
}

impl<'a> Source<'a> {
    /// What a value is: a text in PEM, base64 of one with or without line breaks, or else a path.
    pub fn of(value: &'a str) -> Self {
        if value.contains(BEGIN) {
            return Self::Text(value.as_bytes().to_vec());
        }
        let packed: Vec<u8> = value.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        match BASE64.decode(&packed) {
            Ok(text) if text.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes()) => {
                Self::Text(text)
            }
            Ok(_) | Err(_) => Self::File(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_text_its_base64_or_a_path() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(Source::of(pem), Source::Text(pem.into()));
        let packed = BASE64.encode(pem.as_bytes());
        assert_eq!(Source::of(&packed), Source::Text(pem.into()));
        let (first, rest) = packed.split_at(20);
        assert_eq!(Source::of(&format!("{first}\n{rest}\n")), Source::Text(pem.into()));
        for path in ["/etc/tls/cert.pem", "cert", "AAAA", ""] {
            assert_eq!(Source::of(path), Source::File(path));
        }
    }
}
