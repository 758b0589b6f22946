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

/// What people write in place of a secret until they have one, alone, without the blanks, `-` and `_` in it.
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

/// The same within a longer text: `change-me-in-production`, `your_api_key_here`.
const WORD_PARTS: [&str; 7] =
    ["changeme", "changeit", "changethis", "yoursecret", "yourapikey", "yourkey", "yourtoken"];

/// What is said of such a secret, which is taken: a deployment may have it already.
pub(in super::super) const WARNING: &str = "is a placeholder that others can guess: use a secret of your own, such as the output of `openssl rand -hex 32`";

/// How much of a text counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weakness {
    /// Also single words, which are none in a header that is no secret.
    Anywhere,
    /// What is a placeholder wherever it stands.
    Plain,
}

/// Whether a secret is one that others can guess since people write it until they have another.
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
