//! Lists of tables, which each have a name: which source's list holds, and keys of one of its tables that variables and
//! flags change.
//!
//! The nearest source that has a list gives all of it: `THRONG_CHANNEL_NAMESPACES` takes the place of the namespaces of a
//! file. `…_CHANNEL_NAMESPACES_<NAME>_<KEY>`, in capitals and with `_` for `-` and `.`, changes one key of a table that
//! is there, wherever it was typed, unless a nearer source has said that key.

use super::names::{self, ValueKind};
use super::said::{Said, Source, value};
use super::value::{Entry, Table, Value};
use super::{ConfigError, Place};

/// Lists whose tables can be changed by name, and the table that has the same keys and one path; of a list that is not
/// supported there is none, and any key is one of its tables'.
const LISTS: [(&str, &str); 4] = [
    ("channel.namespaces", "channel.without_namespace"),
    ("rpc.namespaces", "rpc.without_namespace"),
    ("proxies", "channel.proxy.subscribe"),
    ("consumers", ""),
];

/// Whether it could be a key of a table of a list.
pub(super) fn is_of_list(path: &str) -> bool {
    let variable = names::variable(path);
    LISTS.iter().any(|(list, _)| variable.starts_with(&format!("{}_", names::variable(list))))
}

/// The tables of a list that was typed as the names of its tables, with blanks between them, as Centrifugo has it beside
/// JSON: their keys come with the variables of each. A name has at least two of the letters `-a-zA-Z0-9_.`.
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

/// Leaves each list with the nearest source that has it, and changes its tables as the variables and flags say that are
/// left over. `sources` are in order, the nearest last. Returns what no table takes.
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

/// Where a value belongs.
struct Spot {
    /// The source that has the list.
    source: usize,
    list: &'static str,
    /// The table's place in it.
    table: usize,
    /// What follows the table in the key's path.
    key: String,
    kind: ValueKind,
}

/// The table and the key that this names.
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

/// What a variable or a flag names within the table of this path, which ends with a dot, whatever keys it has.
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

/// Sets the key in the table, unless a source that is nearer than `from` has said it.
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
