//! From the tables of a file to the keys that are typed in it.

use super::super::args::Typed;
use super::super::sections::{Alias, Class, NAMESPACES, Taken, Target, Unit, Unsupported};
use super::super::slot::{HIDDEN, Raw};
use super::super::value::{Entry, Table, Value};
use super::super::{Config, ConfigError, ConfigWarning, Place};
use super::listeners::{Halves, Wrong};
use super::{Layer, suggest};
use crate::net::Listen;
use std::path::Path;

/// With these sections, a file decides about clients and channels.
const CONFIGURING: [&str; 2] = ["client", "channel"];

/// Everything that the file says, and everything that is wrong with it.
pub(super) fn walk(path: &Path, table: &Table) -> (Layer, Vec<ConfigError>) {
    let mut walk = Walk {
        path,
        paths: suggest::paths(),
        layer: Layer::default(),
        errors: Vec::new(),
        is_idle: false,
        listen: Halves::default(),
        control: Halves::default(),
    };
    for entry in &table.0 {
        walk.layer.is_configured |= CONFIGURING.contains(&entry.name.as_str());
        walk.entry(&entry.name, entry);
    }
    walk.listeners();
    walk.twice();
    let line = |place: &Place| if let Place::File { line, .. } = place { *line } else { 0 };
    walk.errors.sort_by_key(|error| line(&error.place));
    walk.layer.warnings.sort_by_key(|warning| line(&warning.place));
    (walk.layer, walk.errors)
}

struct Walk<'a> {
    path: &'a Path,
    /// Every path that can be typed.
    paths: Vec<String>,
    layer: Layer,
    errors: Vec<ConfigError>,
    /// Whether this is in a section that is disabled, where what is not supported changes nothing.
    is_idle: bool,
    listen: Halves,
    control: Halves,
}

impl Walk<'_> {
    /// One entry, `path` being its own.
    fn entry(&mut self, path: &str, entry: &Entry) {
        if let Some(unsupported) = Unsupported::find(path) {
            self.unsupported(unsupported, path, entry);
        } else if let Some(alias) = Alias::find(path) {
            self.alias(alias, entry);
        } else if let Some(target) = Target::find(path) {
            self.typed(target, path, entry);
        } else if path == NAMESPACES {
            self.namespaces(entry);
        } else if self.is_table(path) {
            self.table(path, entry);
        } else {
            self.unknown(path, entry, suggest::meant(path));
        }
    }

    fn is_table(&self, path: &str) -> bool {
        let inside = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        self.paths.iter().any(|known| inside(known)) || Unsupported::has_table(path)
    }

    fn table(&mut self, path: &str, entry: &Entry) {
        let Value::Table(table) = &entry.value else {
            // JSON generators write null for what is not there.
            if entry.value != Value::Null {
                self.misplaced(path, entry, "expected a table");
            }
            return;
        };
        let was_idle = self.is_idle;
        self.is_idle |= is_disabled(path, table);
        for inner in &table.0 {
            self.entry(&format!("{path}.{}", inner.name), inner);
        }
        self.is_idle = was_idle;
    }

    fn namespaces(&mut self, entry: &Entry) {
        let tables: Option<Vec<&Table>> = match &entry.value {
            Value::Null => return,
            Value::List(items) => items
                .iter()
                .map(|item| if let Value::Table(table) = item { Some(table) } else { None })
                .collect(),
            Value::Switch(_)
            | Value::Integer(_)
            | Value::Fraction(_)
            | Value::Text(_)
            | Value::Date(_)
            | Value::Table(_) => None,
        };
        let Some(tables) = tables else {
            return self.misplaced(NAMESPACES, entry, "expected a list of tables");
        };
        let mut names = Vec::new();
        for (index, table) in tables.into_iter().enumerate() {
            let named = table.0.iter().find(|inner| inner.name == "name");
            let Some((name, at)) = named.and_then(|inner| Some((inner.value.text()?, inner))) else {
                let line = table.0.first().map_or(entry.line, |first| first.line);
                let unnamed = Entry { line, ..entry.clone() };
                self.misplaced(&format!("{NAMESPACES}[{index}]"), &unnamed, "expected a name in it");
                continue;
            };
            for inner in table.0.iter().filter(|inner| inner.name != "name") {
                self.in_namespace(names.len(), name, inner);
            }
            names.push((name.to_owned(), self.place(at)));
        }
        self.layer.namespaces = Some(names);
    }

    fn in_namespace(&mut self, index: usize, namespace: &str, entry: &Entry) {
        let path = format!("{NAMESPACES}.{namespace}.{}", entry.name);
        // What holds for channels without a namespace holds here.
        let twin = format!("channel.without_namespace.{}", entry.name);
        if let Some(unsupported) = Unsupported::find(&twin) {
            self.unsupported(unsupported, &path, entry);
        } else if let Some(target) = Target::in_namespace(index, &entry.name) {
            self.typed(target, &path, entry);
        } else {
            let near = suggest::meant(&twin).and_then(|near| near.rsplit('.').next().map(str::to_owned));
            self.unknown(&path, entry, near);
        }
    }

    fn typed(&mut self, target: Target, path: &str, entry: &Entry) {
        let raw = Raw::Value(entry.value.clone());
        // JSON generators write null for what is not there; of our flat keys it says that something is off.
        let says_nothing = entry.value == Value::Null && !matches!(target, Target::Flat(_));
        if says_nothing || self.is_idle && !target.fits(&raw) {
            return;
        }
        self.push(target, path, entry, raw);
    }

    fn push(&mut self, target: Target, path: &str, entry: &Entry, raw: Raw) {
        let place = self.place(entry);
        self.layer.typed.push(Typed { target, name: path.to_owned(), said: raw.said(), raw, place });
    }

    fn alias(&mut self, alias: &'static Alias, entry: &Entry) {
        let is_empty = alias.unit == Unit::Listener && entry.value.text() == Some("");
        // The path of a WebSocket that is disabled is not another word for where it is.
        let is_idle = self.is_idle && alias.unit != Unit::Disabled;
        if is_empty || is_idle || entry.value == Value::Null {
            return;
        }
        if alias.unit == Unit::Listener {
            let halves = if alias.flat == "listen" { &mut self.listen } else { &mut self.control };
            let half = if alias.path.ends_with("port") { &mut halves.port } else { &mut halves.address };
            *half = Some((alias.path.to_owned(), entry.line, entry.value.clone()));
            return;
        }
        match alias.unit.convert(&entry.value) {
            Ok(Some(raw)) => {
                if let Some(target) = Target::find(alias.flat) {
                    let (said, place) = (entry.value.to_string(), self.place(entry));
                    let name = alias.path.to_owned();
                    self.layer.typed.push(Typed { target, name, said, raw, place });
                }
            }
            Ok(None) => {}
            Err(complaint) => self.wrong(alias.path, entry, complaint),
        }
    }

    /// Addresses and ports become listeners.
    fn listeners(&mut self) {
        let otherwise = Config::default();
        let listen = otherwise.listen.first().and_then(Listen::address);
        for (flat, halves, otherwise) in [
            ("listen", std::mem::take(&mut self.listen), listen),
            ("control", std::mem::take(&mut self.control), otherwise.control),
        ] {
            let (Some((name, line, value)), Some(otherwise)) = (halves.first(), otherwise) else { continue };
            let entry = Entry { name: name.clone(), line: *line, value: value.clone() };
            match (halves.join(otherwise), Target::find(flat)) {
                (Ok(address), Some(target)) => {
                    let raw = Raw::Value(Value::Text(address.to_string()));
                    let (said, place) = (value.to_string(), self.place(&entry));
                    self.layer.typed.push(Typed { target, name: name.clone(), said, raw, place });
                }
                (Err(Wrong { key, line, value, complaint }), _) => {
                    self.wrong(&key.clone(), &Entry { name: key, line, value }, complaint);
                }
                (Ok(_), None) => {}
            }
        }
    }

    /// One thing may have two names, but only one value.
    fn twice(&mut self) {
        let mut errors = Vec::new();
        let typed = &self.layer.typed;
        for (i, second) in typed.iter().enumerate() {
            let same = |first: &&Typed| first.target.is_same(&second.target);
            if let Some(first) = typed[..i].iter().find(same) {
                let (first, second) =
                    if first.line() <= second.line() { (first, second) } else { (second, first) };
                let complaint = format!("duplicates {} ({}); remove one of them", first.name, first.place);
                errors.push(second.error(complaint));
            }
        }
        self.errors.extend(errors);
    }

    fn unsupported(&mut self, key: &Unsupported, path: &str, entry: &Entry) {
        if self.is_idle || key.takes(&entry.value) {
            return;
        }
        let reason = if key.instead.is_empty() { String::new() } else { format!(": {}", key.instead) };
        let place = self.place(entry);
        if key.class == Class::Warned {
            let text = format!("has no effect{reason}");
            self.layer.warnings.push(ConfigWarning { key: path.to_owned(), text, place });
            return;
        }
        let complaint = match key.taken {
            Taken::Off | Taken::Disabled | Taken::Anything => format!("is not supported{reason}"),
            Taken::Values(taken) => {
                format!("is not supported as {}, only as {}{reason}", entry.value, taken.join(" or "))
            }
        };
        self.errors.push(ConfigError { key: path.to_owned(), said: String::new(), complaint, place });
    }

    fn unknown(&mut self, path: &str, entry: &Entry, near: Option<String>) {
        let what = if matches!(entry.value, Value::Table(_)) { "section" } else { "key" };
        let complaint = match near {
            Some(near) => format!("unknown {what}; is {near} meant?"),
            None => format!("unknown {what}; `throng config` prints all of them"),
        };
        self.misplaced(path, entry, &complaint);
    }

    /// Something where it does not belong. Its value is not told: it may be a secret.
    fn misplaced(&mut self, path: &str, entry: &Entry, complaint: &str) {
        let (place, said) = (self.place(entry), HIDDEN.to_owned());
        self.errors.push(ConfigError { key: path.to_owned(), said, complaint: complaint.to_owned(), place });
    }

    fn wrong(&mut self, path: &str, entry: &Entry, complaint: &str) {
        let (place, said) = (self.place(entry), entry.value.to_string());
        self.errors.push(ConfigError { key: path.to_owned(), said, complaint: complaint.to_owned(), place });
    }

    fn place(&self, entry: &Entry) -> Place {
        Place::File { path: self.path.to_owned(), line: entry.line }
    }
}

/// Whether the section says that it is disabled, or does not say that it is enabled although we do not have it at all.
fn is_disabled(path: &str, table: &Table) -> bool {
    let switch = table.find("enabled");
    let is_off = matches!(switch, Some(Value::Null | Value::Switch(false)));
    let is_not_ours = switch.is_none() && Unsupported::find(&format!("{path}.enabled")).is_some();
    is_off || is_not_ours || table.find("disabled") == Some(&Value::Switch(true))
}
