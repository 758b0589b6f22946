//! A typed value before its interpretation, and its conversions.

use super::super::value::{Entry, Table, Value, switch_of};
use super::placeholder::{Weakness, is_weak};
use super::{duration, is_placeholder, size};
use crate::base::networks::Networks;
use crate::net::Listen;
use crate::outside::options::NamedVariables;

/// A value as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Raw {
    /// Words of a flag (one per repetition) or a variable.
    Words(Vec<String>),
    /// A value of a file.
    Value(Value),
}

impl Raw {
    /// The value as typed, for an error message.
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

    /// Whether this is `null`, which means "off" in JSON.
    pub(super) fn is_null(&self) -> bool {
        self == &Self::Value(Value::Null)
    }

    pub(super) fn listens(&self) -> Option<Vec<Listen>> {
        let list: Option<Vec<_>> = self.words()?.iter().map(|word| word.parse().ok()).collect();
        list.filter(|list| !list.is_empty())
    }

    pub(super) fn networks(&self) -> Option<Networks> {
        Networks::parse(self.list()?.iter().map(String::as_str)).ok()
    }

    /// Several words: repeated or separated by commas at a prompt, a list in a file.
    pub(super) fn words(&self) -> Option<Vec<String>> {
        match self {
            Self::Words(words) => {
                let words = words.iter().flat_map(|w| w.split(',')).map(str::trim);
                Some(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
            }
            Self::Value(value) => value.texts(),
        }
    }

    /// Like [`Raw::words`], for words without blanks: blanks separate them, too.
    pub(super) fn list(&self) -> Option<Vec<String>> {
        let words = self.words()?;
        Some(match self {
            Self::Words(_) => {
                words.iter().flat_map(|word| word.split_whitespace()).map(str::to_owned).collect()
            }
            Self::Value(_) => words,
        })
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Value(Value::Integer(number)) => (*number).try_into().ok(),
            Self::Words(_) | Self::Value(_) => self.word().map(str::trim).and_then(digits),
        }
    }

    pub(super) fn bytes(&self) -> Option<u64> {
        self.number().or_else(|| self.word().and_then(parse_size))
    }

    /// The milliseconds of a duration such as `30s`. A number without a unit is invalid, except for 0.
    pub(in super::super) fn duration_ms(&self) -> Option<u64> {
        let zero = || self.number().filter(|number| *number == 0);
        self.word().and_then(duration::parse).or_else(zero)
    }

    pub(super) fn switch(&self) -> Option<bool> {
        match self {
            Self::Words(_) => switch_of(self.word()?),
            Self::Value(value) => value.switch(),
        }
    }

    /// Replaces every `${CENTRIFUGO_VAR_…}` and `${THRONG_VAR_…}` by the variable of that name, in a text and in the
    /// texts of a table.
    ///
    /// # Errors
    /// The name of a variable that is not set.
    pub(in super::super) fn filled(&self, variables: &NamedVariables) -> Result<Self, String> {
        Ok(match self {
            Self::Words(words) => {
                Self::Words(words.iter().map(|word| variables.fill(word)).collect::<Result<_, _>>()?)
            }
            Self::Value(value) => Self::Value(filled(value, variables)?),
        })
    }

    /// Whether this is a number, a switch or a date, where a text would be in quotes.
    pub(in super::super) fn is_bare(&self) -> bool {
        matches!(self, Self::Value(value) if bare(value).is_some())
    }

    /// The error for a value without quotes that is no text, here or in a table of texts. It does not show the value.
    pub(in super::super) fn unquoted(&self) -> Option<String> {
        let Self::Value(value) = self else { return None };
        let inner = |table: &Table| {
            let found = table.0.iter().find_map(|entry| Some((entry.name.clone(), bare(&entry.value)?)));
            found.map(|(name, what)| format!("{name} is {what}: put it in quotes"))
        };
        let entry = |item: &Value| {
            if let Value::Table(table) = item {
                return inner(table);
            }
            bare(item).map(|what| format!("an entry is {what}: put it in quotes"))
        };
        if let Value::Table(table) = value {
            inner(table)
        } else if let Value::List(items) = value {
            items.iter().find_map(entry)
        } else {
            bare(value).map(|what| format!("is {what}: put it in quotes"))
        }
    }

    /// Whether one of its texts, at any depth, is a placeholder for a secret.
    pub(in super::super) fn has_placeholder(&self) -> bool {
        let texts = || self.headers().map(|pairs| pairs.into_iter().map(|(_, text)| text).collect());
        let texts = self.words().or_else(texts).unwrap_or_default();
        texts.iter().map(String::as_str).chain(self.word()).any(is_placeholder)
    }

    /// Whether this is a secret, or contains headers with one, that can be guessed.
    pub(in super::super) fn is_weak_secret(&self) -> bool {
        let (texts, weakness) = match self.headers() {
            Some(pairs) => (pairs.into_iter().map(|(_, text)| text).collect(), Weakness::Plain),
            None => (self.words().unwrap_or_default(), Weakness::Anywhere),
        };
        texts.iter().map(String::as_str).chain(self.word()).any(|text| is_weak(text, weakness))
    }

    /// Names and texts of a table, or of a list of tables with `key` and `value`, each key once.
    pub(super) fn headers(&self) -> Option<Vec<(String, String)>> {
        let pairs: Option<Vec<(String, String)>> = match self {
            Self::Value(Value::Table(table)) => table
                .0
                .iter()
                .map(|entry| Some((entry.name.clone(), entry.value.text()?.to_owned())))
                .collect(),
            Self::Value(Value::List(items)) => items.iter().map(pair).collect(),
            Self::Words(_) | Self::Value(_) => None,
        };
        let is_new = |(at, (name, _)): (usize, &(String, String)), pairs: &[(String, String)]| {
            pairs[..at].iter().all(|(before, _)| before != name)
        };
        pairs.filter(|pairs| pairs.iter().enumerate().all(|row| is_new(row, pairs)))
    }
}

/// The kind of a value without quotes; `None` for other values.
fn bare(value: &Value) -> Option<&'static str> {
    match value {
        Value::Integer(_) | Value::Fraction(_) => Some("a number"),
        Value::Switch(_) => Some("true or false"),
        Value::Date(_) => Some("a date"),
        Value::Null | Value::Text(_) | Value::List(_) | Value::Table(_) => None,
    }
}

fn filled(value: &Value, variables: &NamedVariables) -> Result<Value, String> {
    Ok(match value {
        Value::Text(text) => Value::Text(variables.fill(text)?),
        Value::List(items) => {
            Value::List(items.iter().map(|item| filled(item, variables)).collect::<Result<_, _>>()?)
        }
        Value::Table(table) => {
            let entry = |entry: &Entry| {
                Ok::<_, String>(Entry { value: filled(&entry.value, variables)?, ..entry.clone() })
            };
            Value::Table(Table(table.0.iter().map(entry).collect::<Result<_, _>>()?))
        }
        Value::Null | Value::Switch(_) | Value::Integer(_) | Value::Fraction(_) | Value::Date(_) => {
            value.clone()
        }
    })
}

/// A table with exactly `key` and `value`.
fn pair(item: &Value) -> Option<(String, String)> {
    let Value::Table(table) = item else { return None };
    let text = |name| table.find(name).and_then(Value::text).map(str::to_owned);
    (table.0.len() == 2).then(|| Some((text("key")?, text("value")?))).flatten()
}

/// Parses digits only: `u64::from_str` would accept a sign.
fn digits(word: &str) -> Option<u64> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// Parses `64KiB` or `64 KiB`. Units of 1000 are refused: KB is too often used for KiB.
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
        assert_eq!(words("a b,c").words(), Some(vec!["a b".into(), "c".into()]), "a path may hold a blank");
        assert_eq!(words(" a  b, c\td").list().unwrap(), ["a", "b", "c", "d"]);
        let file = Raw::Value(Value::List(vec![Value::Text("a b".into())]));
        assert_eq!(file.list().unwrap(), ["a b"], "a list of a file is a list already");
    }
}
