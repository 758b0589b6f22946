//! What the documents write where a key belongs. Who copies a file whole and forgets to replace it would have a key that
//! everybody can read.

/// Parts of secrets that are none, in lower case with blanks for `-` and `_`: those of our documents. Weak secrets of others
/// are theirs: a deployment that switches has them already.
const PARTS: [&str; 2] = ["replace it", "replace me"];

/// What is wrong with such a secret, and what to do.
pub(in super::super) const COMPLAINT: &str = "is a placeholder from the documentation: use a secret of your own, such as the output of `openssl rand -hex 32`";

/// Whether a secret is only a place for one.
pub fn is_placeholder(secret: &str) -> bool {
    let plain = secret.to_lowercase().replace(['-', '_'], " ");
    PARTS.iter().any(|part| plain.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_for_secrets_are_known_and_secrets_are_not() {
        for text in ["replace it", "Replace-It, or set THRONG_X", "apikey replace-it", "REPLACE_ME"] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in
            ["", "changeme", "between us", "secret", "irreplaceable", "9f86d081884c7d659a2feaa0c55ad015"]
        {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
