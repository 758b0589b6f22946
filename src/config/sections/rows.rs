//! The sections as rows of key and value, for printing; and the value of one key, for errors.

use super::super::Config;
use super::super::slot::quote;
use super::{List, Sections, Target};

/// A key with its value.
pub(in super::super) struct Row {
    /// The key under which its place is stored.
    pub(in super::super) path: String,
    /// The table of a list that it belongs to, by index.
    pub(in super::super) of: Option<(List, usize)>,
    /// The part of the path below its table.
    pub(in super::super) name: String,
    pub(in super::super) toml: String,
    pub(in super::super) json: serde_json::Value,
    /// Whether this is the default outside development mode.
    pub(in super::super) is_default: bool,
}

impl Row {
    /// The path of its table.
    pub(in super::super) fn table(&self) -> &str {
        if let Some((list, _)) = self.of {
            return list.path();
        }
        self.path.strip_suffix(&self.name).map_or("", |table| table.trim_end_matches('.'))
    }
}

/// The path of a row's key as a user would write it; for a table's name, the path of the table.
pub(in super::super) fn path_of(row: &Row) -> String {
    match (row.of, row.json.as_str()) {
        (Some((list, _)), Some(named)) if row.name == "name" => format!("{}.{named}", list.path()),
        _ => row.path.clone(),
    }
}

impl Sections {
    /// All keys with a fixed path, and those keys of tables that differ from their defaults.
    pub(in super::super) fn rows(&self, shows_secrets: bool) -> Vec<Row> {
        let (mut here, mut otherwise) = (self.clone(), Self::default());
        let mut config = Config::default();
        let mut rows = Vec::new();
        for (path, target) in Target::all() {
            let usual = target.slot(&mut config, &mut otherwise).toml(true);
            let slot = target.slot(&mut config, &mut here);
            let is_default = slot.toml(true) == usual;
            if is_default && !matches!(target, Target::Once(_)) {
                continue;
            }
            let name = path.rsplit('.').next().unwrap_or_default().to_owned();
            let (toml, json) = (slot.toml(shows_secrets), slot.json(shows_secrets));
            rows.push(Row { path, of: None, name, toml, json, is_default });
        }
        for list in List::ALL {
            for (index, table) in self.names(list).into_iter().enumerate() {
                rows.extend(self.table_rows(list, index, table, shows_secrets));
            }
        }
        rows
    }

    fn table_rows(&self, list: List, index: usize, table: &str, shows_secrets: bool) -> Vec<Row> {
        let of = Some((list, index));
        let mut rows = vec![Row {
            path: list.name_path(index),
            of,
            name: "name".to_owned(),
            toml: quote(table),
            json: table.into(),
            is_default: false,
        }];
        self.each_of(list, index, |name, slot, is_usual| {
            if !is_usual {
                let path = format!("{}.{table}.{name}", list.path());
                let (toml, json) = (slot.toml(shows_secrets), slot.json(shows_secrets));
                rows.push(Row { path, of, name: name.to_owned(), toml, json, is_default: false });
            }
        });
        rows
    }

    /// The value of a key of a section, for an error.
    pub(in super::super) fn said(&self, path: &str) -> Option<String> {
        let mut here = self.clone();
        if let Some(target) = Target::find(path) {
            return Some(target.slot(&mut Config::default(), &mut here).toml(false));
        }
        for list in List::ALL {
            for (index, table) in self.names(list).into_iter().enumerate() {
                if list.name_path(index) == path {
                    return Some(quote(table));
                }
                let key = path.strip_prefix(list.path()).and_then(|rest| rest.strip_prefix('.'));
                let key =
                    key.and_then(|rest| rest.strip_prefix(table)).and_then(|rest| rest.strip_prefix('.'));
                if let Some(target) = key.and_then(|key| list.target(index, key)) {
                    return Some(target.slot(&mut Config::default(), &mut here).toml(false));
                }
            }
        }
        None
    }
}
