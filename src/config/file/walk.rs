//! Converts the tables of a file to typed keys.

use super::super::args::Typed;
use super::super::older::{self, Today};
use super::super::sections::{Alias, Class, List, Taken, Target, Unit, Unsupported};
use super::super::slot::{HIDDEN, Raw};
use super::super::value::{Entry, Table, Value};
use super::super::{ConfigError, ConfigWarning, Key, Place};
use super::{Layer, suggest};

/// All values of a source, and all errors in it. Switches in the `nearer` sources have precedence.
pub(in super::super) fn walk(table: &Table, nearer: &[&Table]) -> (Layer, Vec<ConfigError>) {
    let mut walk = Walk {
        nearer,
        paths: suggest::paths(),
        layer: Layer::default(),
        errors: Vec::new(),
        is_idle: false,
        age: age(table),
    };
    for entry in &table.0 {
        match old(entry) {
            // Programs write null for a missing value.
            Some(_) if entry.value == Value::Null => {}
            Some(today) => walk.old(&today, entry),
            None => walk.entry(&entry.name, entry),
        }
    }
    walk.layer.is_configured = !table.0.iter().all(is_flat);
    walk.twice();
    let line = |place: &Place| if let Place::File { line, .. } = place { *line } else { 0 };
    walk.errors.sort_by_key(|error| line(&error.place));
    walk.layer.warnings.sort_by_key(|warning| line(&warning.place));
    (walk.layer, walk.errors)
}

/// The present equivalent of an entry at the top of a file, if that is of an older version. A section may have the
/// name of an old switch, also while it is empty: `admin:` in YAML with all of its keys commented out.
fn old(entry: &Entry) -> Option<Today> {
    let is_section = matches!(entry.value, Value::Table(_) | Value::Null);
    older::at_top(&entry.name, is_section).filter(|_| matches!(entry.place, Place::File { .. }))
}

/// The age of a file by the names at its top, for one line about the file as a whole.
fn age(table: &Table) -> Option<&'static str> {
    let is_todays = |entry: &Entry| matches!(entry.value, Value::Table(_)) && older::is_section(&entry.name);
    let is_old = |entry: &Entry| entry.value != Value::Null && old(entry).is_some();
    if table.0.iter().any(is_todays) {
        table.0.iter().any(is_old).then_some("has keys of Centrifugo 5 or older")
    } else {
        let is_telling = |entry: &Entry| older::is_telling(&entry.name);
        table.0.iter().any(is_telling).then_some("is written for Centrifugo 5 or older")
    }
}

/// Whether an entry at the top says nothing about clients and channels: a flat key, or the switch of Socket.IO.
fn is_flat(entry: &Entry) -> bool {
    let is_switch = |table: &Table| table.0.iter().all(|inner| inner.name == "enabled");
    let switches =
        entry.name == "socketio" && matches!(&entry.value, Value::Table(table) if is_switch(table));
    Key::named(&entry.name).is_some() || switches
}

struct Walk<'a> {
    nearer: &'a [&'a Table],
    /// All paths that can be typed.
    paths: Vec<String>,
    layer: Layer,
    errors: Vec<ConfigError>,
    /// Whether this is in a disabled section, where unsupported keys have no effect.
    is_idle: bool,
    /// The age of the file, while no error tells it.
    age: Option<&'static str>,
}

impl Walk<'_> {
    /// Handles one entry at `path`.
    fn entry(&mut self, path: &str, entry: &Entry) {
        if let Some(unsupported) = Unsupported::find(path) {
            self.unsupported(unsupported, path, entry);
        } else if let Some(alias) = Alias::find(path) {
            self.alias(alias, entry);
        } else if let Some(target) = Target::find(path) {
            self.typed(target, path, entry);
        } else if let Some(list) = List::ALL.into_iter().find(|list| list.path() == path) {
            self.list(list, entry);
        } else if self.is_table(path) {
            self.table(path, entry);
        } else if is_comment(&entry.name) {
            self.comment(path, entry);
        } else {
            let of_channels = path.strip_prefix("channel.without_namespace.").and_then(older::option_renamed);
            self.unknown(path, entry, of_channels.map(str::to_owned).or_else(|| suggest::meant(path)));
        }
    }

    /// Handles a key of an older version; the error for the first one concerns the whole file.
    fn old(&mut self, today: &Today, entry: &Entry) {
        if let Place::File { path, .. } = &entry.place
            && let Some(age) = self.age.take()
        {
            let complaint =
                format!("this file {age}; `throng config --convert {}` writes it anew", path.display());
            let place = Place::File { path: path.clone(), line: 0 };
            self.errors.push(ConfigError { key: String::new(), said: String::new(), complaint, place });
        }
        self.renamed(&entry.name, today, entry);
        let Value::List(items) = &entry.value else { return };
        for item in items {
            let Value::Table(table) = item else { continue };
            let name = table.find("name").and_then(Value::text).unwrap_or_default();
            for inner in &table.0 {
                if let Some(today) = older::option_renamed(&inner.name) {
                    let path = format!("{}.{name}.{}", entry.name, inner.name);
                    self.renamed(&path, &Today::Path(today.to_owned()), inner);
                }
            }
        }
    }

    fn renamed(&mut self, path: &str, today: &Today, entry: &Entry) {
        let complaint = match today {
            Today::Path(new) if new.contains(',') => format!("is {new}, today"),
            Today::Path(new) => format!("is {new} today"),
            Today::Gone(why) => format!("has no counterpart: {why}"),
        };
        let place = entry.place.clone();
        self.errors.push(ConfigError { key: path.to_owned(), said: String::new(), complaint, place });
    }

    fn is_table(&self, path: &str) -> bool {
        let inside = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        self.paths.iter().any(|known| inside(known)) || Unsupported::has_table(path)
    }

    fn table(&mut self, path: &str, entry: &Entry) {
        let Value::Table(table) = &entry.value else {
            // JSON generators write null for a missing value.
            if entry.value != Value::Null {
                self.misplaced(path, entry, "expected a table");
            }
            return;
        };
        let was_idle = self.is_idle;
        self.is_idle |= self.is_disabled(path, table);
        for inner in &table.0 {
            self.entry(&format!("{path}.{}", inner.name), inner);
        }
        self.is_idle = was_idle;
    }

    fn list(&mut self, list: List, entry: &Entry) {
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
            return self.misplaced(list.path(), entry, "expected a list of tables");
        };
        let mut names = Vec::new();
        for (index, table) in tables.into_iter().enumerate() {
            let named = table.0.iter().find(|inner| inner.name == "name");
            let Some((name, at)) = named.and_then(|inner| Some((inner.value.text()?, inner))) else {
                let place = table.0.first().map_or(&entry.place, |first| &first.place).clone();
                let unnamed = Entry { place, ..entry.clone() };
                self.misplaced(&format!("{}[{index}]", list.path()), &unnamed, "expected a name in it");
                continue;
            };
            for inner in table.0.iter().filter(|inner| inner.name != "name") {
                self.in_list((list, names.len(), name), &inner.name, inner);
            }
            names.push((name.to_owned(), at.place.clone()));
        }
        self.layer.lists.push((list, names));
    }

    /// Handles the entry with this name in a table of a list, given by list, index and name.
    fn in_list(&mut self, of: (List, usize, &str), name: &str, entry: &Entry) {
        let (list, index, table) = of;
        let path = format!("{}.{table}.{name}", list.path());
        // The key has the same meaning as in the table that is not in a list.
        let twin = format!("{}.{name}", list.twin());
        if let Some(unsupported) = Unsupported::find(&twin) {
            self.unsupported(unsupported, &path, entry);
        } else if let Some(target) = list.target(index, name) {
            self.typed(target, &path, entry);
        } else if let (true, Value::Table(inner)) = (list.has_table(name), &entry.value) {
            let was_idle = self.is_idle;
            self.is_idle |= self.is_disabled(&path, inner);
            for entry in &inner.0 {
                self.in_list(of, &format!("{name}.{}", entry.name), entry);
            }
            self.is_idle = was_idle;
        } else if list.has_table(name) && entry.value == Value::Null {
            // JSON generators write null for a missing value.
        } else if is_comment(&entry.name) {
            self.comment(&path, entry);
        } else {
            let of_old = older::option_renamed(&entry.name).map(str::to_owned);
            let near = || suggest::meant(&twin).and_then(|near| near.rsplit('.').next().map(str::to_owned));
            self.unknown(&path, entry, of_old.or_else(near));
        }
    }

    fn typed(&mut self, target: Target, path: &str, entry: &Entry) {
        let raw = if matches!(target, Target::Flat(_)) { raw(entry) } else { or_empty(&target, raw(entry)) };
        // JSON generators write null for a missing value; for flat keys, null means "off".
        let says_nothing = entry.value == Value::Null && !matches!(target, Target::Flat(_));
        if says_nothing || self.is_idle && !target.fits(&raw) {
            return;
        }
        self.push(target, path, entry, raw);
    }

    fn push(&mut self, target: Target, path: &str, entry: &Entry, raw: Raw) {
        self.layer.typed.push(Typed::new(target, path, raw, entry.place.clone()));
    }

    fn alias(&mut self, alias: &'static Alias, entry: &Entry) {
        let is_empty = alias.unit == Unit::Listener && entry.value.text() == Some("");
        // The path of a disabled WebSocket is not a second value for its location.
        let is_idle = self.is_idle && alias.unit != Unit::Disabled;
        if is_empty || is_idle || entry.value == Value::Null {
            return;
        }
        if alias.unit == Unit::Listener {
            let layer = &mut self.layer;
            let halves = if alias.flat == "listen" { &mut layer.listen } else { &mut layer.control };
            let half = if alias.path.ends_with("port") { &mut halves.port } else { &mut halves.address };
            *half = Some(Entry { name: alias.path.to_owned(), ..entry.clone() });
            return;
        }
        if alias.unit == Unit::Level && is_unknown_word(&entry.value) {
            let text = format!("is {}, which is no level: info is used", entry.value);
            self.layer.warnings.push(ConfigWarning {
                key: alias.path.to_owned(),
                text,
                place: entry.place.clone(),
            });
            return;
        }
        if alias.is_default(&entry.value) && entry.word().is_none() {
            return;
        }
        match alias.unit.convert(&entry.value) {
            Ok(Some(converted)) => {
                // A text stays a word, for which more forms are allowed.
                let is_same = converted == Raw::Value(entry.value.clone());
                if let Some(target) = Target::find(alias.flat) {
                    let raw = if is_same { or_empty(&target, raw(entry)) } else { converted };
                    let (said, place) = (entry.said(), entry.place.clone());
                    let name = alias.path.to_owned();
                    self.layer.typed.push(Typed { target, name, said, raw, place });
                }
            }
            Ok(None) => {}
            Err(complaint) => self.wrong(alias.path, entry, complaint),
        }
    }

    /// Reports keys that were typed under two names with different values.
    fn twice(&mut self) {
        let mut errors = Vec::new();
        let halves = self.layer.listen.typed("listen").into_iter().chain(self.layer.control.typed("control"));
        let typed: Vec<Typed> = self.layer.typed.iter().cloned().chain(halves).collect();
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
        let place = entry.place.clone();
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

    fn comment(&mut self, path: &str, entry: &Entry) {
        let text = "is ignored: it is no key, but a comment".to_owned();
        let place = entry.place.clone();
        self.layer.warnings.push(ConfigWarning { key: path.to_owned(), text, place });
    }

    fn unknown(&mut self, path: &str, entry: &Entry, near: Option<String>) {
        let what = if matches!(entry.value, Value::Table(_)) { "section" } else { "key" };
        let opposite = path.strip_suffix("enabled").map(|table| format!("{table}disabled"));
        let decides = near.as_deref().is_some_and(decides);
        let complaint = match near {
            Some(near) if Some(&near) == opposite.as_ref() => {
                format!("unknown {what}; it is on unless {near} = true")
            }
            Some(near) => format!("unknown {what}; is {near} meant?"),
            None => format!("unknown {what}; `throng config` prints all of them"),
        };
        self.misplaced(path, entry, &complaint);
        if !decides {
            self.layer.unknown.extend(self.errors.last().cloned());
        }
    }

    /// Reports a value in the wrong place. The value is not shown: it may be a secret.
    fn misplaced(&mut self, path: &str, entry: &Entry, complaint: &str) {
        let (place, said) = (entry.place.clone(), HIDDEN.to_owned());
        self.errors.push(ConfigError { key: path.to_owned(), said, complaint: complaint.to_owned(), place });
    }

    fn wrong(&mut self, path: &str, entry: &Entry, complaint: &str) {
        let (place, said) = (entry.place.clone(), entry.said());
        self.errors.push(ConfigError { key: path.to_owned(), said, complaint: complaint.to_owned(), place });
    }

    /// Whether the section is disabled, or is unsupported and not enabled.
    fn is_disabled(&self, path: &str, table: &Table) -> bool {
        let enabled = self.switch(&format!("{path}.enabled"), table.find("enabled"));
        let is_not_ours = || Unsupported::find(&format!("{path}.enabled")).is_some();
        let is_off = enabled.map_or_else(is_not_ours, Value::is_off);
        let disabled = self.switch(&format!("{path}.disabled"), table.find("disabled"));
        is_off || disabled.and_then(Value::switch) == Some(true)
    }

    /// A switch as set by the nearest source.
    fn switch<'b>(&'b self, path: &str, here: Option<&'b Value>) -> Option<&'b Value> {
        self.nearer.iter().rev().find_map(|table| table.at(path)).or(here)
    }
}

/// Whether a key or section concerns permissions, so that misspelt ones are never ignored.
fn decides(path: &str) -> bool {
    const SECTIONS: [&str; 6] =
        ["client", "channel", "http_api", "http_server", "development", "trusted_proxies"];
    const WORDS: [&str; 12] = [
        "token",
        "key",
        "secret",
        "origins",
        "allow",
        "tls",
        "insecure",
        "anonymous",
        "proxy",
        "cookie",
        "password",
        "regex",
    ];
    let is_whole_section = !path.contains('.') && SECTIONS.contains(&path);
    is_whole_section || path.split(['.', '_']).any(|word| WORDS.contains(&word))
}

/// Whether a log level is one word that neither server knows. Several are directives, which must be right.
fn is_unknown_word(value: &Value) -> bool {
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let fits = |raw: &Raw| Target::find("log_level").is_some_and(|target| target.fits(raw));
    value.text().is_some_and(is_word)
        && Unit::Level.convert(value).ok().flatten().is_none_or(|raw| !fits(&raw))
}

/// Whether an entry is a comment in a format without comments, or of an editor: `_comment`, `$schema`, `//`. Nobody
/// means a setting by such a name.
fn is_comment(name: &str) -> bool {
    name.starts_with(['_', '$', '#', '/']) || matches!(name, "comment" | "comments")
}

/// The value, or for an empty text that stands where a number or a switch belongs, what that means in Centrifugo: a
/// template leaves it if a variable is not set.
fn or_empty(target: &Target, raw: Raw) -> Raw {
    let is_empty = raw == Raw::Value(Value::Text(String::new()));
    let meant = [Value::Switch(false), Value::Integer(0)].map(Raw::Value);
    let mut meant = meant.into_iter().filter(|_| is_empty && !target.takes_text());
    meant.find(|meant| target.fits(meant)).unwrap_or(raw)
}

/// The value: a word if it came from a variable or a flag.
fn raw(entry: &Entry) -> Raw {
    match entry.word() {
        Some(word) => Raw::Words(vec![word.to_owned()]),
        None => Raw::Value(entry.value.clone()),
    }
}
