//! Converts files and variables of Centrifugo 3 to 5 to the current form.
//!
//! Invariant: nothing is lost. Each key becomes a current key, or a remark says why it has no counterpart. Clients
//! get no permission that they did not have: versions 4 and 5 ignored keys of version 3, and no key shows which version
//! read them, so these keys are left out with remarks. Version 3 gave permissions by default that must be given
//! explicitly today: its keys and defaults are written out only for a user who says that it was that version. Left
//! out: checks of values, which happen at start. The values of unknown keys do not appear in messages.

mod channels;
mod hooks;
mod lists;
mod old_variables;
mod tree;
mod values;
mod write;

use super::file;
use super::older::names::{self, GONE, MOVED, NAMED, OF_EACH_HOOK, option_today, second};
use super::older::{at_top, is_section, today};
use super::resolve::examine_table;
use super::sections::Unsupported;
use super::value::{Entry, Table, Value};
use super::{ConfigError, Key, Place, error, sections};
use lists::{HOOKS, OF_VERSION_3_AT_TOP};
use std::path::Path;
use tree::{Branch, Tree};

pub use old_variables::convert_variables;
pub use write::Secrets;

/// A configuration in the current form, with remarks.
#[derive(Clone, Debug, Default)]
pub struct Converted {
    tree: Tree,
    /// Remarks on the configuration as a whole.
    remarks: Vec<String>,
    /// Variables that are in the current form already.
    kept: Vec<(String, String)>,
}

/// The version of Centrifugo that read the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Version 3, where clients could do what was not forbidden.
    Three,
    /// Version 4 or 5, or unknown.
    #[default]
    Later,
}

/// Whether the key shows that the file is of an older version.
fn is_old(entry: &Entry) -> bool {
    let says_nothing = entry.value == Value::Null;
    !says_nothing && at_top(&entry.name, matches!(entry.value, Value::Table(_))).is_some()
}

/// Whether the key is converted in a file of an older version, even if a flat key of throng has the same name.
fn is_moved(entry: &Entry) -> bool {
    let is_todays = matches!(entry.value, Value::Table(_)) && is_section(&entry.name);
    entry.value != Value::Null && !is_todays && today(&entry.name).is_some()
}

/// Reads a file and converts it.
///
/// # Errors
/// When the file cannot be read, or has no key of an older version.
pub fn convert_file(path: &Path, version: Version) -> Result<Converted, ConfigError> {
    let table = file::read(path)?;
    if !table.0.iter().any(is_old) {
        let place = Place::File { path: path.to_owned(), line: 0 };
        let complaint = "has no key of Centrifugo 3 to 5: there is nothing to convert".to_owned();
        return Err(ConfigError { key: String::new(), said: String::new(), complaint, place });
    }
    Ok(convert(&table, Vec::new(), version))
}

/// Converts a table; `kept` are variables in the current form, which belong to the same configuration.
fn convert(table: &Table, kept: Vec<(String, String)>, version: Version) -> Converted {
    let mut converted = Converted { kept, ..Converted::default() };
    let is_of_3 = version == Version::Three;
    // Current keys come first: they have precedence over older ones.
    let (old, kept): (Vec<_>, Vec<_>) = table.0.iter().partition(|entry| is_moved(entry));
    kept.into_iter().for_each(|entry| converted.keep(entry));
    old.into_iter().for_each(|entry| converted.top(entry, is_of_3));
    channels::convert(&mut converted, table, is_of_3);
    hooks::convert(&mut converted, table);
    converted.switches();
    converted.judge();
    converted
}

impl Converted {
    /// Keeps a key in the current form, or an unknown one.
    fn keep(&mut self, entry: &Entry) {
        let name = &entry.name;
        let is_known = Key::named(name).is_some() || file::is_known(name);
        if entry.value == Value::Null || name == "proxies" {
            return;
        }
        if name == "consumers" {
            self.consumers(&entry.value);
        } else if is_known {
            self.tree.put(name, Branch::of(&entry.value));
        } else {
            self.remarks.push(format!("{name} is no key of any version: it is left out"));
        }
    }

    /// Converts a single key of an older version.
    fn top(&mut self, entry: &Entry, is_of_3: bool) {
        let name = entry.name.as_str();
        if OF_VERSION_3_AT_TOP.contains(&name) && !is_of_3 {
            if !entry.value.is_off() {
                self.remarks.push(channels::left_out(name, second(MOVED, name).unwrap_or_default()));
            }
            return;
        }
        let handled_elsewhere = ["namespaces", "rpc_namespaces"].contains(&name)
            || second(OF_EACH_HOOK, name).is_some()
            || second(NAMED, name).is_some()
            || (second(MOVED, name).is_none() && option_today(name).is_some())
            || second(names::OPPOSITES, name).is_some();
        if handled_elsewhere || name == "history_meta_ttl" && is_of_3 {
            return;
        }
        if let Some(why) = second(GONE, name) {
            if name != "granular_proxy_mode" && !entry.value.is_off() {
                self.remarks.push(format!("{name} has no counterpart: {why}"));
            }
            return;
        }
        let Some(path) = second(MOVED, name) else { return };
        let is_default_word =
            matches!((name, &entry.value), ("engine" | "broker", Value::Text(word)) if word.is_empty());
        if is_default_word {
            return;
        }
        self.move_to(name, path, &entry.value);
        if name == "broker" {
            self.tree.set("broker.enabled", Value::Switch(true));
        }
    }

    /// Puts a value at its current path.
    fn move_to(&mut self, name: &str, path: &str, value: &Value) {
        let (value, remark) = values::in_todays_form(path, value);
        if !self.tree.put(path, Branch::of(&value)) {
            self.remarks.push(format!("{name} is left out: {path} is set already"));
        } else if let Some(remark) = remark {
            self.tree.remark(path, format!("{name}: {remark}"));
        }
    }

    /// Consumers were enabled unless they were disabled.
    fn consumers(&mut self, list: &Value) {
        let Branch::Tables(mut tables) = Branch::of(list) else { return };
        for table in &mut tables {
            let is_disabled = table.is_on("disabled");
            table.0.retain(|node| node.name != "disabled");
            table.set("enabled", Value::Switch(!is_disabled));
        }
        self.tree.put("consumers", Branch::Tables(tables));
    }

    /// Enables features that were enabled by any of their options.
    fn switches(&mut self) {
        for hook in HOOKS.iter().filter(|hook| hook.starts_with("client.")) {
            if self.tree.has(&format!("{hook}.endpoint")) {
                self.tree.set(&format!("{hook}.enabled"), Value::Switch(true));
            }
        }
        let calls = "rpc.without_namespace.proxy_enabled";
        if self.tree.has("rpc.without_namespace.proxy_name") || self.tree.has("rpc.proxy.endpoint") {
            self.tree.set(calls, Value::Switch(true));
        }
    }

    /// Adds a remark to each key that throng refuses or ignores.
    fn judge(&mut self) {
        let remark = |(path, node): (String, &tree::Node)| match &node.branch {
            Branch::Leaf(value) => Unsupported::remark(&path, value).map(|remark| (path, remark)),
            Branch::Table(_) | Branch::Tables(_) => None,
        };
        let found: Vec<_> = write::values(&self.tree).into_iter().filter_map(remark).collect();
        for (path, remark) in &found {
            self.tree.remark(path, remark.clone());
        }
        let place = Place::File { path: "the converted file".into(), line: 0 };
        let variables = self.kept.iter().cloned().collect();
        let (effective, errors) = examine_table(self.tree.table(&place), &variables);
        let is_below = |path: &str, table: &str| {
            path.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let refused = errors.into_iter().filter(|error| {
            // A variable that a text of a hook names may be set where the server runs.
            let is_unset = error.complaint.starts_with("the variable ");
            !is_unset
                && !found.iter().any(|(path, _)| is_below(path, &error.key) || is_below(&error.key, path))
        });
        let refused = refused.map(|error| {
            let complaint = error::without_userinfo(&error.complaint);
            (error.key, format!("throng refuses it: {complaint}"))
        });
        let idle = sections::idle(&effective.sections).into_iter();
        for (path, remark) in
            refused.chain(idle.map(|(path, why)| (path, format!("throng ignores it: it {why}"))))
        {
            if self.tree.get(&path).is_some() {
                self.tree.remark(&path, remark);
            } else {
                self.remarks.push(format!("{path}: {remark}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
