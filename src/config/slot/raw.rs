//! A value as it was typed, not yet understood; and what can be made of it.

use super::super::value::Value;
use super::{duration, is_placeholder, size};
use crate::base::networks::Networks;
use crate::net::Listen;

/// A value as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Raw {
    /// From a flag (one per repetition) or a variable.
    Words(Vec<String>),
    /// From a file.
    Value(Value),
}

impl Raw {
    /// As it was typed, for an error message.
    pub(in super::super) fn said(&self) -> String {
        match self {
            Self::Words(words) => words.join(","),
            Self::Value(value) => value.to_string(),
        }
    }

    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Words(words) => words.last().map(|w| w.trim()),
            Self::Value(value) => value.text(),
        }
    }

    /// True for the way in which JSON says that something is off.
    pub(super) fn is_null(&self) -> bool {
        self == &Self::Value(Value::Null)
    }

    pub(super) fn listens(&self) -> Option<Vec<Listen>> {
        let list: Option<Vec<_>> = self.words()?.iter().map(|word| word.parse().ok()).collect();
        list.filter(|list| !list.is_empty())
    }

    pub(super) fn networks(&self) -> Option<Networks> {
        Networks::parse(self.words()?.iter().map(String::as_str)).ok()
    }

    /// Several words: repeated or with commas where typed at a prompt, a list in a file.
    pub(super) fn words(&self) -> Option<Vec<String>> {
        match self {
            Self::Words(words) => {
                let words = words.iter().flat_map(|w| w.split(',')).map(str::trim);
                Some(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
            }
            Self::Value(value) => value.texts(),
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Words(_) => self.word().and_then(digits),
            Self::Value(value) => value.integer()?.try_into().ok(),
        }
    }

    pub(super) fn bytes(&self) -> Option<u64> {
        self.number().or_else(|| self.word().and_then(parse_size))
    }

    /// Milliseconds of a duration such as `30s`. A bare number would not say of what, but for 0.
    pub(in super::super) fn duration_ms(&self) -> Option<u64> {
        let zero = || self.number().filter(|number| *number == 0);
        self.word().and_then(duration::parse).or_else(zero)
    }

    pub(super) fn switch(&self) -> Option<bool> {
        match self {
            Self::Words(_) => self.word()?.parse().ok(),
            Self::Value(Value::Switch(on)) => Some(*on),
            Self::Value(_) => None,
        }
    }

    /// Whether one of its texts, wherever it stands in it, is only a place for a secret.
    pub(in super::super) fn has_placeholder(&self) -> bool {
        let texts = || self.headers().map(|pairs| pairs.into_iter().map(|(_, text)| text).collect());
        let texts = self.words().or_else(texts).unwrap_or_default();
        texts.iter().map(String::as_str).chain(self.word()).any(is_placeholder)
    }

    /// Names and texts of a table, sorted as they stand.
    pub(super) fn headers(&self) -> Option<Vec<(String, String)>> {
        let Self::Value(Value::Table(table)) = self else { return None };
        table.0.iter().map(|entry| Some((entry.name.clone(), entry.value.text()?.to_owned()))).collect()
    }
}

/// Digits and nothing else: `u64::from_str` would let a sign pass.
fn digits(word: &str) -> Option<u64> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// `64KiB` or `64 KiB`. Units of 1000 are not taken: too many people write KB and mean KiB.
fn parse_size(word: &str) -> Option<u64> {
    let (number, unit) =
        size::UNITS.iter().find_map(|(name, unit)| Some((word.strip_suffix(name)?, *unit)))?;
    digits(number.trim_end())?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Raw {
        Raw::Words(vec![text.to_owned()])
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("65536", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("64 KiB", Some(65_536)),
            ("16MiB", Some(16 << 20)),
            ("2GiB", Some(2 << 30)),
            ("12B", Some(12)),
            ("64KB", None),
            ("+1", None),
            ("-1", None),
            ("1.5MiB", None),
            ("KiB", None),
            ("", None),
            ("99999999999999999GiB", None),
        ] {
            assert_eq!(words(text).bytes(), bytes, "{text:?}");
        }
    }

    #[test]
    fn a_printed_size_is_read_as_the_same_number() {
        for bytes in [0, 1, 1023, 1024, 1025, 65_536, 3 << 20, (1 << 30) + 1024, 5 << 30, 3 << 40] {
            assert_eq!(parse_size(&size::text(bytes)), Some(bytes), "{}", size::text(bytes));
        }
    }

    #[test]
    fn a_number_is_no_duration_unless_it_is_zero() {
        let value = |n| Raw::Value(Value::Integer(n));
        assert_eq!((value(0).duration_ms(), value(25).duration_ms()), (Some(0), None));
        assert_eq!((words("0").duration_ms(), words("25").duration_ms()), (Some(0), None));
        assert_eq!(words("25s").duration_ms(), Some(25_000));
    }

    #[test]
    fn several_words_are_typed_with_commas() {
        assert_eq!(words(" a, b,,c").words(), Some(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(words("").words(), Some(Vec::new()));
    }
}
