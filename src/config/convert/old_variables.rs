//! Variables of versions 3 to 5: keys in upper case with a prefix.

use super::super::Place;
use super::super::file;
use super::super::older::{
    self,
    names::{self, MOVED},
};
use super::super::sections::{Taken, UNSUPPORTED};
use super::super::value::{Entry, Table, Value};
use super::super::variables::{Variables, is_for_others};
use super::{Converted, Version, convert};

/// The prefix of all of them.
pub(super) const PREFIX: &str = "CENTRIFUGO_";
/// Lists, which are JSON in a variable.
const LISTS: [&str; 4] = ["namespaces", "rpc_namespaces", "proxies", "consumers"];

/// Converts the variables of an older version; current ones stay as they are. `None` if there is none of an older
/// version.
pub fn convert_variables(variables: &Variables, version: Version) -> Option<Converted> {
    let mut table = Table::default();
    let (mut kept, mut unknown) = (Vec::new(), Vec::new());
    let names: Vec<_> = older::all().chain(LISTS).collect();
    for (variable, value) in variables.texts(PREFIX) {
        let flat = variable[PREFIX.len()..].to_ascii_lowercase();
        let is_ours = !is_for_others(&variable[PREFIX.len()..], &value);
        match names.iter().find(|name| **name == flat) {
            _ if !is_ours => {}
            Some(_) if is_of_today(&flat) => kept.push((variable, value)),
            Some(name) => {
                let (name, value, place) =
                    ((*name).to_owned(), typed(name, &value), Place::Variable(variable));
                table.0.push(Entry { name, place, value });
            }
            None if is_of_today(&flat) => kept.push((variable, value)),
            None => unknown.push(variable),
        }
    }
    if table.0.is_empty() {
        return None;
    }
    let mut converted = convert(&table, kept, version);
    let remark = |name: String| format!("{name} is no variable of any version: it is left out");
    converted.remarks.extend(unknown.into_iter().map(remark));
    Some(converted)
}

/// Whether a variable, without its prefix and in lower case, is a current one.
fn is_of_today(flat: &str) -> bool {
    let plain = |path: &str| path.replace('.', "_");
    let of_section = |path: &str| flat.strip_prefix(&plain(path)).is_some_and(|rest| rest.starts_with('_'));
    file::paths().iter().any(|path| plain(path) == flat)
        || flat.starts_with("channel_namespaces_")
        || UNSUPPORTED.iter().any(|key| {
            let is_section = key.taken == Taken::Disabled;
            plain(key.path) == flat && !is_section || of_section(key.path)
        })
}

/// Parses a variable's value: lists of tables and tables are JSON.
fn typed(name: &str, value: &str) -> Value {
    let holds_json = LISTS.contains(&name) || name.ends_with("_headers") || name.ends_with("_transforms");
    let parsed = (holds_json && value.trim_start().starts_with(['[', '{']))
        .then(|| file::json_value(value, &|_| Place::Default).ok());
    match parsed.flatten() {
        Some(parsed) => parsed,
        None if names::second(MOVED, name).is_some_and(|path| path.ends_with(".enabled")) => {
            value.parse().map_or_else(|_| Value::Text(value.to_owned()), Value::Switch)
        }
        None => Value::Text(value.to_owned()),
    }
}
