//! The output of a conversion: values in tables, by path, each with remarks.

use super::super::Place;
use super::super::value::{Entry, Table, Value};

/// A table with its entries in the order of the output.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tree(pub(super) Vec<Node>);

/// An entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) branch: Branch,
    /// Remarks above the entry.
    pub(super) remarks: Vec<String>,
}

/// The value of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Branch {
    Leaf(Value),
    Table(Tree),
    /// A list of tables.
    Tables(Vec<Tree>),
}

impl Tree {
    pub(super) fn get(&self, path: &str) -> Option<&Branch> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let node = self.0.iter().find(|node| node.name == first)?;
        match (rest, &node.branch) {
            (None, branch) => Some(branch),
            (Some(rest), Branch::Table(inner)) => inner.get(rest),
            (Some(_), Branch::Leaf(_) | Branch::Tables(_)) => None,
        }
    }

    /// Whether there is a value that is not empty: an empty endpoint meant no hook.
    pub(super) fn has(&self, path: &str) -> bool {
        self.get(path).is_some_and(|branch| !matches!(branch, Branch::Leaf(value) if value.is_off()))
    }

    /// Whether a switch is on, even if written as text.
    pub(super) fn is_on(&self, path: &str) -> bool {
        matches!(self.get(path), Some(Branch::Leaf(value)) if is_true(value))
    }

    /// Adds an entry unless the path is taken; returns whether it did. A table is merged with an existing table.
    pub(super) fn put(&mut self, path: &str, branch: Branch) -> bool {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let at = self.0.iter().position(|node| node.name == first);
        let node = match at {
            Some(at) => &mut self.0[at],
            None => {
                let empty = if rest.is_some() { Branch::Table(Self::default()) } else { branch.clone() };
                self.0.push(Node { name: first.to_owned(), branch: empty, remarks: Vec::new() });
                if rest.is_none() {
                    return true;
                }
                let last = self.0.len() - 1;
                &mut self.0[last]
            }
        };
        match (rest, &mut node.branch, branch) {
            (Some(rest), Branch::Table(inner), branch) => inner.put(rest, branch),
            (None, Branch::Table(inner), Branch::Table(more)) => {
                let put = more.0.into_iter().map(|one| inner.put(&one.name, one.branch));
                put.filter(|is_put| !is_put).count() == 0
            }
            _ => false,
        }
    }

    pub(super) fn set(&mut self, path: &str, value: Value) -> bool {
        self.put(path, Branch::Leaf(value))
    }

    /// Adds a remark to the entry at this path.
    pub(super) fn remark(&mut self, path: &str, text: String) {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let Some(node) = self.0.iter_mut().find(|node| node.name == first) else { return };
        match (rest, &mut node.branch) {
            (Some(rest), Branch::Table(inner)) => inner.remark(rest, text),
            _ => node.remarks.push(text),
        }
    }

    /// The tree as the table of a file, with this place for every entry.
    pub(super) fn table(&self, place: &Place) -> Table {
        let entry = |node: &Node| {
            let value = match &node.branch {
                Branch::Leaf(value) => value.clone(),
                Branch::Table(inner) => Value::Table(inner.table(place)),
                Branch::Tables(list) => {
                    Value::List(list.iter().map(|inner| Value::Table(inner.table(place))).collect())
                }
            };
            Entry { name: node.name.clone(), place: place.clone(), value }
        };
        Table(self.0.iter().map(entry).collect())
    }

    /// Copies a table.
    pub(super) fn of(table: &Table) -> Self {
        let mut tree = Self::default();
        for entry in &table.0 {
            tree.put(&entry.name, Branch::of(&entry.value));
        }
        tree
    }
}

impl Branch {
    pub(super) fn of(value: &Value) -> Self {
        let table = |item: &Value| if let Value::Table(table) = item { Some(Tree::of(table)) } else { None };
        match value {
            Value::Table(inner) => Self::Table(Tree::of(inner)),
            Value::List(items) if !items.is_empty() => {
                let tables: Option<Vec<_>> = items.iter().map(table).collect();
                tables.map_or_else(|| Self::Leaf(value.clone()), Self::Tables)
            }
            Value::Null
            | Value::Switch(_)
            | Value::Integer(_)
            | Value::Fraction(_)
            | Value::Text(_)
            | Value::Date(_)
            | Value::List(_) => Self::Leaf(value.clone()),
        }
    }
}

/// Whether a value means true; programs also accepted words for switches.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Switch(on) => *on,
        Value::Text(word) => matches!(word.as_str(), "true" | "1" | "True" | "TRUE" | "t"),
        Value::Integer(number) => *number != 0,
        Value::Null | Value::Fraction(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => false,
    }
}
