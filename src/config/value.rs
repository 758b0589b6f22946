//! A configuration file taken apart: values that know their lines, whether the file was TOML or JSON.
//!
//! It prints as TOML, which is how a value is told in errors.

use std::fmt;

/// One value of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// JSON only.
    Null,
    Switch(bool),
    Integer(i64),
    /// As it was typed: no key takes a fraction, so nobody needs its number.
    Fraction(String),
    Text(String),
    /// A date or a time, as it was typed; TOML only.
    Date(String),
    List(Vec<Self>),
    Table(Table),
}

/// A table's entries in the order in which they stand in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table(pub(super) Vec<Entry>);

/// One entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Of the name, counted from 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// A list of texts; one text stands for a list of one.
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

    /// Whether it says that something is not wanted: `false`, 0, nothing, or a table whose `enabled` is false or in
    /// which everything says so.
    pub(super) fn is_off(&self) -> bool {
        match self {
            Self::Null | Self::Switch(false) | Self::Integer(0) => true,
            Self::Text(text) => text.is_empty() || text == "0" || text == "0s",
            Self::List(items) => items.iter().all(Self::is_off),
            Self::Table(table) => {
                table.find("enabled").is_some_and(|enabled| enabled == &Self::Switch(false))
                    || table.0.iter().all(|entry| entry.value.is_off())
            }
            Self::Switch(true) | Self::Integer(_) | Self::Fraction(_) | Self::Date(_) => false,
        }
    }

    /// Whether it is a section that is not enabled, or a list of such, whatever else they hold.
    pub(super) fn is_disabled(&self) -> bool {
        match self {
            Self::Table(table) => {
                matches!(table.find("enabled"), None | Some(Self::Null | Self::Switch(false)))
            }
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

impl Table {
    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|entry| entry.name == name).map(|entry| &entry.value)
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
        let entry =
            |(name, value): &(&str, Value)| Entry { name: (*name).to_owned(), line: 1, value: value.clone() };
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
