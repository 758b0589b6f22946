//! All keys with a fixed path, throng's and Centrifugo's: the names for variables and flags.
//!
//! Invariant: each path has one variable, and each variable one path. `scripts/centrifugo-keys` makes the list of
//! Centrifugo's keys from that program's output. Left out: keys of namespaces, whose paths contain a name (see
//! `lists`).

use super::sections::{ALIASES, Target};
use super::{Config, KEYS, Key, Sections, Slot};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Centrifugo's keys: lines with path and default.
const CENTRIFUGO: &str = include_str!("centrifugo.txt");

/// Keys whose values are lists of tables. Centrifugo prints their defaults like that of a text.
const LISTS: [&str; 4] = ["channel.namespaces", "rpc.namespaces", "proxies", "consumers"];

/// The form of a key's value in variables and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// One or more words.
    Word,
    /// True or false.
    Switch,
    /// A list or a table, as JSON.
    Json,
}

/// All keys, sorted by path.
pub(super) struct Names {
    kinds: BTreeMap<String, ValueKind>,
    /// Paths of flat keys, and of all others: `log_level` and `log.level` have one variable, and the same meaning.
    flat: BTreeMap<String, String>,
    others: BTreeMap<String, String>,
}

/// The list, made at first use.
pub(super) fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut kinds: BTreeMap<String, ValueKind> =
            centrifugo().map(|(path, kind)| (path.to_owned(), kind)).collect();
        let (mut config, mut sections) = (Config::default(), Sections::default());
        let flat = KEYS.iter().map(|key| (key.name.to_owned(), Target::Flat(key)));
        for (path, target) in flat.chain(Target::all()) {
            let kind = kind_of(&target.slot(&mut config, &mut sections));
            kinds.entry(path).or_insert(kind);
        }
        for alias in ALIASES {
            kinds.entry(alias.path.to_owned()).or_insert(ValueKind::Word);
        }
        for path in LISTS {
            kinds.insert(path.to_owned(), ValueKind::Json);
        }
        let (flat, others) = kinds
            .keys()
            .map(|path| (variable(path), path.clone()))
            .partition(|(_, path)| Key::named(path).is_some());
        Names { kinds, flat, others }
    })
}

/// Centrifugo's keys, each with the kind that follows from its default.
fn centrifugo() -> impl Iterator<Item = (&'static str, ValueKind)> {
    CENTRIFUGO.lines().filter_map(|line| {
        let (path, default) = line.split_once('=')?;
        let kind = match default {
            "true" | "false" => ValueKind::Switch,
            "{}" | "[]" => ValueKind::Json,
            _ => ValueKind::Word,
        };
        Some((path, kind))
    })
}

fn kind_of(slot: &Slot<'_>) -> ValueKind {
    match () {
        () if matches!(slot, Slot::Headers(_) | Slot::Rules(..)) => ValueKind::Json,
        () if slot.is_switch() => ValueKind::Switch,
        () => ValueKind::Word,
    }
}

/// The variable of a path, without its prefix: `CLIENT_ALLOWED_ORIGINS`.
pub(super) fn variable(path: &str) -> String {
    path.to_ascii_uppercase().replace(['.', '-'], "_")
}

impl Names {
    /// The form of the value of the key at this path; `None` if there is no such key.
    pub(super) fn kind(&self, path: &str) -> Option<ValueKind> {
        self.kinds.get(path).copied()
    }

    /// Centrifugo's default of one of its keys.
    pub(super) fn default_of(&self, path: &str) -> Option<&'static str> {
        let pairs = CENTRIFUGO.lines().filter_map(|line| line.split_once('='));
        pairs.into_iter().find(|(known, _)| *known == path).map(|(_, default)| default)
    }

    /// The path of a variable without its prefix. For `THRONG_` variables, flat keys have precedence; for
    /// Centrifugo's, its own keys.
    pub(super) fn path_of(&self, variable: &str, is_ours: bool) -> Option<&str> {
        let (first, second) = if is_ours { (&self.flat, &self.others) } else { (&self.others, &self.flat) };
        first.get(variable).or_else(|| second.get(variable)).map(String::as_str)
    }

    /// Whether this is the name of a section at the top, or of a key there that is not flat.
    pub(super) fn has_section(&self, name: &str) -> bool {
        let is_within = |path: &String| {
            path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.others.values().any(is_within)
    }

    /// All paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_are_one_variable() {
        let names = names();
        assert_eq!(names.flat.len() + names.others.len(), names.kinds.len());
        assert!(names.others.len() > CENTRIFUGO.lines().count());
        let both: Vec<_> =
            names.flat.keys().filter(|variable| names.others.contains_key(*variable)).collect();
        assert_eq!(both, ["LOG_LEVEL"], "which mean the same");
    }

    #[test]
    fn a_key_knows_how_it_is_typed() {
        for (path, kind) in [
            ("client.insecure", Some(ValueKind::Switch)),
            ("pin", Some(ValueKind::Switch)),
            ("websocket.disabled", Some(ValueKind::Switch)),
            ("admin.enabled", Some(ValueKind::Switch)),
            ("http_server.port", Some(ValueKind::Word)),
            ("listen", Some(ValueKind::Word)),
            ("channel.namespaces", Some(ValueKind::Json)),
            ("client.proxy.connect.http.static_headers", Some(ValueKind::Json)),
            ("client.proxy.connect.http.status_to_code_transforms", Some(ValueKind::Json)),
            ("client", None),
            ("client.insecur", None),
        ] {
            assert_eq!(names().kind(path), kind, "{path}");
        }
        assert_eq!(names().path_of("CLIENT_INSECURE", true), Some("client.insecure"));
        assert_eq!(names().path_of("LOG_LEVEL", true), Some("log_level"));
        assert_eq!(names().path_of("LOG_LEVEL", false), Some("log.level"));
        assert_eq!(names().path_of("SHARDS", false), Some("shards"));
    }
}
