//! A parsed configuration: values that know their place, in any format.
//!
//! A value prints as TOML, which is its form in errors.

use super::{ConfigError, Place};
use std::fmt;

/// A value of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// JSON only.
    Null,
    Switch(bool),
    Integer(i64),
    /// A fraction, as typed: no key takes one, so the number is not needed.
    Fraction(String),
    Text(String),
    /// A date or a time, as typed; TOML only.
    Date(String),
    List(Vec<Self>),
    Table(Table),
}

/// The entries of a table in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table(pub(super) Vec<Entry>);

/// One entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// The place of the name.
    pub(super) place: Place,
    pub(super) value: Value,
}

impl Entry {
    /// The value as text if it is a word from a variable or a flag.
    pub(super) fn word(&self) -> Option<&str> {
        match self.place {
            Place::Variable(_) | Place::Flag(_) => self.value.text(),
            Place::Default | Place::File { .. } => None,
        }
    }

    /// The line in its file; 0 for other places.
    pub(super) fn line(&self) -> usize {
        if let Place::File { line, .. } = self.place { line } else { 0 }
    }

    /// An error about this entry.
    pub(super) fn error(&self, complaint: String) -> ConfigError {
        ConfigError { key: self.name.clone(), said: self.said(), complaint, place: self.place.clone() }
    }

    /// The value as typed, for an error message.
    pub(super) fn said(&self) -> String {
        self.word().map_or_else(|| self.value.to_string(), str::to_owned)
    }
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// An integer, also from text.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Null
            | Self::Switch(_)
            | Self::Fraction(_)
            | Self::Date(_)
            | Self::List(_)
            | Self::Table(_) => None,
        }
    }

    /// A boolean, also from text or from 1 and 0.
    pub(super) fn switch(&self) -> Option<bool> {
        match self {
            Self::Switch(on) => Some(*on),
            Self::Integer(0) => Some(false),
            Self::Integer(1) => Some(true),
            Self::Text(text) => switch_of(text),
            Self::Null
            | Self::Integer(_)
            | Self::Fraction(_)
            | Self::Date(_)
            | Self::List(_)
            | Self::Table(_) => None,
        }
    }

    /// A list of texts; one text counts as a list of one.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::Text(text) => Some(vec![text.clone()]),
            Self::List(items) => items.iter().map(|item| item.text().map(str::to_owned)).collect(),
            Self::Null
            | Self::Switch(_)
            | Self::Integer(_)
            | Self::Fraction(_)
            | Self::Date(_)
            | Self::Table(_) => None,
        }
    }

    /// Whether the value means "off": `false`, 0, empty, or a table whose `enabled` is false or whose values all mean
    /// "off".
    pub(super) fn is_off(&self) -> bool {
        match self {
            Self::Null | Self::Switch(false) | Self::Integer(0) => true,
            Self::Text(text) => text.is_empty() || text == "0s" || switch_of(text) == Some(false),
            Self::List(items) => items.iter().all(Self::is_off),
            Self::Table(table) => {
                table.find("enabled").is_some_and(|enabled| enabled.switch() == Some(false))
                    || table.0.iter().all(|entry| entry.value.is_off())
            }
            Self::Switch(true) | Self::Integer(_) | Self::Fraction(_) | Self::Date(_) => false,
        }
    }

    /// Whether this is a section that is not enabled, or a list of such, with any other keys.
    pub(super) fn is_disabled(&self) -> bool {
        match self {
            Self::Table(table) => table.find("enabled").is_none_or(Self::is_off),
            Self::List(items) => items.iter().all(Self::is_disabled),
            Self::Null
            | Self::Switch(_)
            | Self::Integer(_)
            | Self::Fraction(_)
            | Self::Text(_)
            | Self::Date(_) => self.is_off(),
        }
    }
}

/// A boolean in the forms that Go accepts (`strconv.ParseBool`), which users type in variables.
pub(super) fn switch_of(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Table {
    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|entry| entry.name == name).map(|entry| &entry.value)
    }

    /// The value at a path.
    pub(super) fn at(&self, path: &str) -> Option<&Value> {
        match path.split_once('.') {
            None => self.find(path),
            Some((name, rest)) => {
                if let Value::Table(inner) = self.find(name)? {
                    inner.at(rest)
                } else {
                    None
                }
            }
        }
    }

    /// Adds a value at a path, with the tables that it needs, after existing entries of this path.
    pub(super) fn put(&mut self, path: &str, place: &Place, value: Value) {
        let Some((name, rest)) = path.split_once('.') else {
            self.0.push(Entry { name: path.to_owned(), place: place.clone(), value });
            return;
        };
        let at = self.0.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
            let value = Value::Table(Self::default());
            self.0.push(Entry { name: name.to_owned(), place: place.clone(), value });
            self.0.len() - 1
        });
        if let Value::Table(inner) = &mut self.0[at].value {
            inner.put(rest, place, value);
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Fraction(typed) | Self::Date(typed) => f.write_str(typed),
            Self::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Self::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Table(_) => f.write_str("{ … }"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, Value)]) -> Value {
        let entry = |(name, value): &(&str, Value)| Entry {
            name: (*name).to_owned(),
            place: Place::Default,
            value: value.clone(),
        };
        Value::Table(Table(entries.iter().map(entry).collect()))
    }

    #[test]
    fn what_is_off_is_known() {
        let on = Value::Switch(true);
        let off = Value::Switch(false);
        for (value, is_off) in [
            (off.clone(), true),
            (on.clone(), false),
            (Value::Integer(0), true),
            (Value::Integer(-1), false),
            (Value::Text(String::new()), true),
            (Value::Text("0s".into()), true),
            (Value::Text("false".into()), true),
            (Value::Text("true".into()), false),
            (Value::Text("5s".into()), false),
            (Value::List(Vec::new()), true),
            (Value::List(vec![on.clone()]), false),
            (table(&[]), true),
            (table(&[("enabled", off.clone()), ("password", Value::Text("x".into()))]), true),
            (table(&[("enabled", on.clone())]), false),
            (table(&[("tls", table(&[("a", off)]))]), true),
            (table(&[("password", Value::Text("x".into()))]), false),
        ] {
            assert_eq!(value.is_off(), is_off, "{value:?}");
        }
    }

    #[test]
    fn a_value_is_told_in_toml() {
        let list = Value::List(vec![Value::Text("a \"b\"".into()), Value::Integer(-3), table(&[])]);
        assert_eq!(list.to_string(), "['a \"b\"', -3, { … }]");
    }
}
