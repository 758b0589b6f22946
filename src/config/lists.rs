//! Lists of named tables: the source whose list is used, and changes to single keys of its tables by variables and
//! flags.
//!
//! The nearest source with a list provides all of it: `THRONG_CHANNEL_NAMESPACES` replaces the namespaces of a file.
//! `…_CHANNEL_NAMESPACES_<NAME>_<KEY>`, in capitals and with `_` for `-` and `.`, changes one key of an existing
//! table from any source, unless a nearer source has set that key.

use super::names::{self, ValueKind};
use super::said::{Said, Source, value};
use super::value::{Entry, Table, Value};
use super::{ConfigError, Place};

/// Lists whose tables can be changed by name, each with the table that has the same keys and a fixed path. For
/// unsupported lists there is none, and any key is accepted.
const LISTS: [(&str, &str); 4] = [
    ("channel.namespaces", "channel.without_namespace"),
    ("rpc.namespaces", "rpc.without_namespace"),
    ("proxies", "channel.proxy.subscribe"),
    ("consumers", ""),
];

/// Whether the path could be a key of a table in a list.
pub(super) fn is_of_list(path: &str) -> bool {
    let variable = names::variable(path);
    LISTS.iter().any(|(list, _)| variable.starts_with(&format!("{}_", names::variable(list))))
}

/// The tables of a list that was typed as the names of its tables, separated by blanks, which Centrifugo accepts
/// beside JSON; their keys come from the variables of each. A name has at least two of the characters `-a-zA-Z0-9_.`.
pub(super) fn named_tables(said: &Said, word: &str) -> Option<Value> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = |name: &str| name.len() >= 2 && name.bytes().all(is_of_name);
    if !LISTS.iter().any(|(list, _)| *list == said.path) || !word.split_whitespace().all(is_name) {
        return None;
    }
    let table = |name: &str| {
        let mut table = Table::default();
        table.put("name", &said.place, Value::Text(name.to_owned()));
        Value::Table(table)
    };
    Some(Value::List(word.split_whitespace().map(table).collect()))
}

/// Keeps each list only in the nearest source that has it, and applies the remaining variables and flags to its
/// tables. `sources` are in order, the nearest last. Returns values that fit no table.
pub(super) fn settle(sources: &mut [Source]) -> Vec<Said> {
    for (list, _) in LISTS {
        if let Some(nearest) = sources.iter().rposition(|source| source.table.at(list).is_some()) {
            sources[..nearest].iter_mut().for_each(|source| remove(&mut source.table, list));
        }
    }
    let mut left = Vec::new();
    for at in 0..sources.len() {
        for said in std::mem::take(&mut sources[at].for_lists) {
            match spot_of(&said, sources) {
                Ok(Some(spot)) => {
                    if let Err(error) = change(&said, &spot, at, sources) {
                        sources[at].errors.push(error);
                    }
                }
                Ok(None) => left.push(said),
                Err(error) => sources[at].errors.push(error),
            }
        }
    }
    left
}

/// The target of a value.
struct Spot {
    /// The index of the source with the list.
    source: usize,
    list: &'static str,
    /// The index of the table in it.
    table: usize,
    /// The part of the key's path below the table.
    key: String,
    kind: ValueKind,
}

/// The table and key that a variable or flag names.
fn spot_of(said: &Said, sources: &[Source]) -> Result<Option<Spot>, ConfigError> {
    let mut found: Vec<(String, Spot)> = Vec::new();
    for (list, twin) in LISTS {
        let keys: Vec<(String, ValueKind)> = names::names()
            .paths()
            .filter_map(|path| {
                let key = path.strip_prefix(twin)?.strip_prefix('.')?;
                Some((key.to_owned(), names::names().kind(path)?))
            })
            .collect();
        for (source, one) in sources.iter().enumerate() {
            let Some(Value::List(tables)) = one.table.at(list) else { continue };
            for (table, name) in
                tables.iter().enumerate().filter_map(|(at, table)| Some((at, name_of(table)?)))
            {
                if let Some(key) = any_key(said, &format!("{list}.{name}.")).filter(|_| twin.is_empty()) {
                    let kind = if key == "enabled" { ValueKind::Switch } else { ValueKind::Word };
                    found.push((name.to_owned(), Spot { source, list, table, key, kind }));
                }
                let fits = |(key, _): &&(String, ValueKind)| is_named(said, &format!("{list}.{name}.{key}"));
                found.extend(keys.iter().filter(fits).map(|(key, kind)| {
                    (name.to_owned(), Spot { source, list, table, key: key.clone(), kind: *kind })
                }));
            }
        }
    }
    if let [(first, _), (second, _), ..] = &found[..] {
        let complaint = format!("is a key of {first} and of {second}: write it where they are listed");
        let key = said.path.clone();
        return Err(ConfigError { key, said: String::new(), complaint, place: said.place.clone() });
    }
    Ok(found.pop().map(|(_, spot)| spot))
}

/// The key that a variable or a flag names below this path, which ends with a dot; any key is accepted.
fn any_key(said: &Said, table: &str) -> Option<String> {
    let key = match said.place {
        Place::Variable(_) => said.path.strip_prefix(&names::variable(table))?.to_ascii_lowercase(),
        Place::Default | Place::File { .. } | Place::Flag(_) => said.path.strip_prefix(table)?.to_owned(),
    };
    (!key.is_empty()).then_some(key)
}

/// Whether a variable or a flag names this path.
fn is_named(said: &Said, path: &str) -> bool {
    match said.place {
        Place::Variable(_) => said.path == names::variable(path),
        Place::Default | Place::File { .. } | Place::Flag(_) => said.path == path,
    }
}

fn name_of(table: &Value) -> Option<&str> {
    let Value::Table(table) = table else { return None };
    table.find("name").and_then(Value::text)
}

/// Sets the key in the table, unless a source nearer than `from` has set it.
fn change(said: &Said, spot: &Spot, from: usize, sources: &mut [Source]) -> Result<(), ConfigError> {
    let value = value(said, spot.kind)?;
    let Some(Entry { value: Value::List(tables), .. }) = find(&mut sources[spot.source].table, spot.list)
    else {
        return Ok(());
    };
    let Some(Value::Table(table)) = tables.get_mut(spot.table) else { return Ok(()) };
    if spot.source > from && table.at(&spot.key).is_some() {
        return Ok(());
    }
    remove(table, &spot.key);
    table.put(&spot.key, &said.place, value);
    Ok(())
}

/// The entry at a path.
fn find<'a>(table: &'a mut Table, path: &str) -> Option<&'a mut Entry> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let entry = table.0.iter_mut().find(|entry| entry.name == name)?;
    match rest {
        None => Some(entry),
        Some(rest) => {
            if let Value::Table(inner) = &mut entry.value {
                find(inner, rest)
            } else {
                None
            }
        }
    }
}

fn remove(table: &mut Table, path: &str) {
    match path.rsplit_once('.') {
        None => table.0.retain(|entry| entry.name != path),
        Some((outer, name)) => {
            if let Some(Entry { value: Value::Table(inner), .. }) = find(table, outer) {
                inner.0.retain(|entry| entry.name != name);
            }
        }
    }
}
