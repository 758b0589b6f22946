//! Placeholders of the documentation for secrets. A copied file with one of them would have a key that is public.

/// Parts of placeholders in our documents, in lower case with blanks for `-` and `_`. Weak secrets from other sources
/// only cause warnings: an existing deployment may have them.
const PARTS: [&str; 2] = ["replace it", "replace me"];

/// The error for such a secret.
pub(in super::super) const COMPLAINT: &str = "is a placeholder from the documentation: use a secret of your own, such as the output of `openssl rand -hex 32`";

/// Whether a secret is a placeholder.
pub fn is_placeholder(secret: &str) -> bool {
    let plain = secret.to_lowercase().replace(['-', '_'], " ");
    PARTS.iter().any(|part| plain.contains(part))
}

/// Words that people type as a preliminary secret, without blanks, `-` and `_`.
const WORDS: [&str; 26] = [
    "admin",
    "apikey",
    "default",
    "demo",
    "example",
    "example1",
    "key",
    "myapikey",
    "mykey",
    "mysecret",
    "mysecretkey",
    "mytoken",
    "none",
    "password",
    "secret",
    "secretkey",
    "string",
    "supersecret",
    "test",
    "testkey",
    "testsecret",
    "todo",
    "token",
    "topsecret",
    "tbd",
    "verysecret",
];

/// Parts of longer texts that show a preliminary secret: `change-me-in-production`, `your_api_key_here`.
const WORD_PARTS: [&str; 7] =
    ["changeme", "changeit", "changethis", "yoursecret", "yourapikey", "yourkey", "yourtoken"];

/// The warning for such a secret, which is accepted: an existing deployment may have it.
pub(in super::super) const WARNING: &str = "is a placeholder that others can guess: use a secret of your own, such as the output of `openssl rand -hex 32`";

/// The placeholders to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weakness {
    /// Single words, too, which are harmless in a header that is not a secret.
    Anywhere,
    /// Only texts that are always placeholders.
    Plain,
}

/// Whether a secret can be guessed because people type it as a placeholder.
pub(super) fn is_weak(secret: &str, weakness: Weakness) -> bool {
    let is_said = |c: &char| !c.is_whitespace() && !matches!(c, '-' | '_' | '.' | '<' | '>' | '!');
    let plain: String = secret.to_lowercase().chars().filter(is_said).collect();
    let is_word = || weakness == Weakness::Anywhere && WORDS.contains(&plain.as_str());
    is_word() || WORD_PARTS.iter().any(|part| plain.contains(part))
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

    #[test]
    fn secrets_that_others_can_guess_are_known() {
        for text in [
            "changeme",
            "Change-Me",
            "change_me_in_production",
            "secret",
            "SECRET",
            "my secret",
            "<your-api-key>",
        ] {
            assert!(is_weak(text, Weakness::Anywhere), "{text}");
        }
        for text in ["", "secretary", "between us", "9f86d081884c7d659a2feaa0c55ad015", "keys of a house"] {
            assert!(!is_weak(text, Weakness::Anywhere), "{text}");
        }
        assert!(is_weak("apikey changeme", Weakness::Plain) && !is_weak("test", Weakness::Plain));
    }
}
