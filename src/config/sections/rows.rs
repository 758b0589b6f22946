//! The sections as rows of key and value, to be printed; and the value of one key, to be told in an error.

use super::super::Config;
use super::super::slot::quote;
use super::{CHANNEL, Sections, Target};

/// One key with its value.
pub(in super::super) struct Row {
    /// By which its place is known.
    pub(in super::super) path: String,
    /// The namespace that it belongs to, by its index.
    pub(in super::super) namespace: Option<usize>,
    /// What follows the table that it stands in.
    pub(in super::super) name: String,
    pub(in super::super) toml: String,
    pub(in super::super) json: serde_json::Value,
    /// Whether nobody needs to type it for this value, but in development mode.
    pub(in super::super) is_default: bool,
}

impl Row {
    /// The table that it stands in.
    pub(in super::super) fn table(&self) -> &str {
        if self.namespace.is_some() {
            return "channel.namespaces";
        }
        self.path.strip_suffix(&self.name).map_or("", |table| table.trim_end_matches('.'))
    }
}

/// The key under which the place of a namespace's name is known.
pub(in super::super) fn name_path(index: usize) -> String {
    format!("channel.namespaces[{index}].name")
}

/// The path of a row's key as a person would write it: that of a namespace's name is the namespace's.
pub(in super::super) fn path_of(row: &Row) -> String {
    match (row.namespace, row.json.as_str()) {
        (Some(_), Some(namespace)) if row.name == "name" => format!("channel.namespaces.{namespace}"),
        _ => row.path.clone(),
    }
}

impl Sections {
    /// Every key that stands once, and of the tables those keys that differ from what holds anyway.
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
            rows.push(Row { path, namespace: None, name, toml, json, is_default });
        }
        for index in 0..self.namespaces.len() {
            rows.extend(self.namespace_rows(index));
        }
        rows
    }

    fn namespace_rows(&self, index: usize) -> Vec<Row> {
        let namespace = &self.namespaces[index];
        let mut rows = vec![Row {
            path: name_path(index),
            namespace: Some(index),
            name: "name".to_owned(),
            toml: quote(&namespace.name),
            json: namespace.name.as_str().into(),
            is_default: false,
        }];
        let (mut options, mut usual) = (namespace.options.clone(), Default::default());
        for key in CHANNEL {
            let slot = (key.slot)(&mut options);
            let (toml, json) = (slot.toml(true), slot.json(true));
            if toml != (key.slot)(&mut usual).toml(true) {
                let path = format!("channel.namespaces.{}.{}", namespace.name, key.name);
                let name = key.name.to_owned();
                rows.push(Row { path, namespace: Some(index), name, toml, json, is_default: false });
            }
        }
        rows
    }

    /// The value of a key of a section, as it is told in an error.
    pub(in super::super) fn said(&self, path: &str) -> Option<String> {
        let mut here = self.clone();
        if let Some(target) = Target::find(path) {
            return Some(target.slot(&mut Config::default(), &mut here).toml(false));
        }
        if let Some(index) = (0..self.namespaces.len()).find(|index| name_path(*index) == path) {
            return Some(quote(&self.namespaces[index].name));
        }
        let rest = path.strip_prefix("channel.namespaces.")?;
        let mut keys =
            CHANNEL.iter().flat_map(|key| (0..self.namespaces.len()).map(move |index| (key, index)));
        let (key, index) = keys.find(|(key, index)| {
            let name = &self.namespaces[*index].name;
            rest.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) == Some(key.name)
        })?;
        Some((key.slot)(&mut here.namespaces[index].options).toml(false))
    }
}
