//! The source of a certificate or key in one value: the PEM text itself, the same in base64, or a file.

use std::path::Path;

use data_encoding::BASE64;

/// Start of a PEM text (RFC 7468, section 2).
const BEGIN: &str = "-----BEGIN ";

/// Maximum length of a file name, in bytes (limits.h, `NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;

/// Suffixes of files with certificates or keys.
const ENDINGS: [&str; 5] = [".pem", ".crt", ".cer", ".cert", ".key"];

/// The source in such a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    /// A PEM text.
    Text(Vec<u8>),
    /// The path of a file with one.
    File(&'a str),
}

impl<'a> Source<'a> {
    /// The source in a value: a PEM text, base64 of one with or without line breaks, or else a path.
    pub(crate) fn of(value: &'a str) -> Self {
        if value.contains(BEGIN) {
            return Self::Text(value.as_bytes().to_vec());
        }
        let packed: Vec<u8> = value.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        match BASE64.decode(&packed) {
            Ok(text) if Self::holds_pem(&text) => Self::Text(text),
            Ok(_) | Err(_) => Self::File(value),
        }
    }

    /// Whether a text in PEM stands somewhere in it.
    pub(crate) fn holds_pem(text: &[u8]) -> bool {
        text.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
    }

    /// Whether an error may show a value that is not PEM: a key that is truncated or lacks its frame is treated as a
    /// path, too.
    pub(crate) fn may_be_told(path: &str) -> bool {
        let is_of_base64 = path.contains(['=', '+', '\n', '\r', '"', '\'']);
        let ends_as_file = ENDINGS.iter().any(|ending| path.to_ascii_lowercase().ends_with(ending));
        let looks_like_path = path.starts_with(['/', '.']) || path.len() <= NAME_BYTES_MAX && ends_as_file;
        !is_of_base64 && looks_like_path || !path.is_empty() && Path::new(path).exists()
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

    #[test]
    fn what_may_be_a_key_is_not_told() {
        for path in ["/etc/tls/cert.pem", "./cert", "../tls/a", "tls/server.KEY", "cert.crt", "Cargo.toml"] {
            assert!(Source::may_be_told(path), "{path}");
        }
        let body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
        let long = format!("{}.pem", "a".repeat(NAME_BYTES_MAX));
        let quoted = format!("\"{body}\"");
        for value in [body, &quoted, "/+AA", "/AAA=", "/AAA\nBBB", "a=b.pem", &long, "cert", ""] {
            assert!(!Source::may_be_told(value), "{value}");
        }
    }
}
