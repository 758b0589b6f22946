//! Converts variables and flags to tables like those of a file, so that one function reads all sources.

use super::error::ConfigError;
use super::file::{self, nearest};
use super::names::{ValueKind, names};
use super::sections::{Alias, Sections, Target};
use super::slot::HIDDEN;
use super::value::{Table, Value};
use super::{Config, Place, lists};

/// A value from a variable or a flag.
#[derive(Clone)]
pub(super) struct Said {
    /// The key's path.
    pub(super) path: String,
    /// The value as typed; several words for a repeated flag.
    pub(super) words: Vec<String>,
    pub(super) place: Place,
}

#[cfg(test)]
impl Said {
    /// A value from a flag.
    pub(super) fn flag(path: &str, word: &str) -> Self {
        let place = Place::Flag(format!("--{}", super::error::flag_name(path)));
        Self { path: path.to_owned(), words: vec![word.to_owned()], place }
    }
}

/// Does not print the words, which may be secrets.
impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.path, self.place)
    }
}

/// The values of one source (all variables with a prefix, or all flags): its table, the remaining values for lists of
/// tables, and the errors.
#[derive(Default)]
pub(super) struct Source {
    pub(super) table: Table,
    pub(super) for_lists: Vec<Said>,
    pub(super) errors: Vec<ConfigError>,
}

/// Converts typed values to a source.
pub(super) fn source(said: Vec<Said>) -> Source {
    let mut source = Source::default();
    source.errors.extend(twice(&said));
    for one in said {
        let is_wrong = source.errors.iter().any(|error| error.place == one.place);
        match names().kind(&one.path).filter(|_| !is_wrong) {
            None if is_wrong => {}
            Some(kind) => match value(&one, kind) {
                Ok(value) => source.table.put(&one.path, &one.place, value),
                Err(error) => source.errors.push(error),
            },
            None => source.for_lists.push(one),
        }
    }
    source
}

/// The errors for keys that several flags set, under two names or by repeating a flag whose value is no list. One of
/// the values would have no effect.
fn twice(said: &[Said]) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let flags: Vec<_> = said.iter().filter(|one| matches!(one.place, Place::Flag(_))).collect();
    for (at, one) in flags.iter().enumerate() {
        let complaint = match flags[..at].iter().find(|before| before.path == one.path) {
            Some(before) => format!("sets the same key as {}: give one of them", before.place),
            None if one.words.len() > 1 && !is_repeatable(&one.path) => "is given twice".to_owned(),
            None => continue,
        };
        let (key, said) = (flag_of(one), String::new());
        errors.push(ConfigError { key, said, complaint, place: one.place.clone() });
    }
    errors
}

/// The name of a flag without its dashes.
fn flag_of(said: &Said) -> String {
    said.place.to_string().trim_start_matches('-').to_owned()
}

/// Whether the key's flag may be repeated. An unknown key, or one that is not supported, has an error of its own.
fn is_repeatable(path: &str) -> bool {
    let (mut config, mut sections) = (Config::default(), Sections::default());
    match Target::find(path) {
        Some(target) => target.slot(&mut config, &mut sections).is_list(),
        None => Alias::find(path).is_none(),
    }
}

/// The value of the words.
pub(super) fn value(said: &Said, kind: ValueKind) -> Result<Value, ConfigError> {
    let text = |word: &String| Value::Text(word.clone());
    match (kind, said.words.as_slice()) {
        (ValueKind::Json, [word]) => match lists::named_tables(said, word) {
            Some(tables) => Ok(tables),
            None => json(said, word),
        },
        (_, [word]) => Ok(text(word)),
        (ValueKind::Switch, []) => Ok(Value::Switch(true)),
        (ValueKind::Word | ValueKind::Json, []) => Err(wrong(said, "expected a value")),
        (_, several) => Ok(Value::List(several.iter().map(text).collect())),
    }
}

/// Parses JSON. Errors do not show the value: lists and tables may contain secrets.
fn json(said: &Said, word: &str) -> Result<Value, ConfigError> {
    let (_, complaint) = match file::json_value(word, &|_| said.place.clone()) {
        Ok(value @ (Value::List(_) | Value::Table(_) | Value::Null)) => return Ok(value),
        Ok(_) => (0, "not valid JSON of a list or an object".to_owned()),
        Err(error) => error,
    };
    Err(wrong(said, &complaint))
}

fn wrong(said: &Said, complaint: &str) -> ConfigError {
    let hidden = if said.words.is_empty() { "" } else { HIDDEN };
    ConfigError {
        key: said.path.clone(),
        said: hidden.to_owned(),
        complaint: complaint.to_owned(),
        place: said.place.clone(),
    }
}

/// The error for an unknown name. It does not show the value: that may be a secret under a misspelt name.
pub(super) fn unknown(said: &Said) -> ConfigError {
    let complaint = match &said.place {
        Place::Variable(name) => {
            let (prefix, _) = name.split_once('_').unwrap_or((name, ""));
            let ours = file::paths();
            let known: Vec<String> =
                ours.iter().map(|path| format!("{prefix}_{}", super::names::variable(path))).collect();
            match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("unknown variable; is {near} meant?"),
                None if lists::is_of_list(&said.path) => {
                    "unknown variable; no namespace, hook or consumer has this name".to_owned()
                }
                None => {
                    "unknown variable; `throng config --flags` lists the keys, from which variables are named"
                        .to_owned()
                }
            }
        }
        Place::Default | Place::File { .. } | Place::Flag(_) => match file::meant(&said.path) {
            Some(near) => format!("unknown key; is --{near} meant?"),
            None => "unknown key; `throng config --flags` lists all of them".to_owned(),
        },
    };
    wrong(said, &complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, words: &[&str]) -> Said {
        let place = Place::Variable(format!("THRONG_{}", super::super::names::variable(path)));
        Said { path: path.to_owned(), words: words.iter().map(|word| (*word).to_owned()).collect(), place }
    }

    #[test]
    fn a_key_that_two_flags_set_is_refused() {
        let flag = |name: &str, path: &str, words: &[&str]| {
            let place = Place::Flag(name.to_owned());
            Said { place, ..said(path, words) }
        };
        for (flags, wanted) in [
            (
                vec![
                    flag("-p", "http_server.port", &["1"]),
                    flag("--http_server.port", "http_server.port", &["2"]),
                ],
                "--http_server.port sets the same key as -p: give one of them",
            ),
            (
                vec![
                    flag("--http-api-key", "http_api.key", &["A"]),
                    flag("--http_api.key", "http_api.key", &["B"]),
                ],
                "--http_api.key sets the same key as --http-api-key: give one of them",
            ),
            (
                vec![flag("--http_server.port", "http_server.port", &["1", "2"])],
                "--http_server.port is given twice",
            ),
            (
                vec![flag("--client.insecure", "client.insecure", &["true", "false"])],
                "--client.insecure is given twice",
            ),
        ] {
            let source = source(flags);
            let errors: Vec<_> = source.errors.iter().map(ToString::to_string).collect();
            assert_eq!(errors, [wanted]);
        }
        let list = source(vec![flag("--http_api.key", "http_api.key", &["A", "B"])]);
        assert!(list.errors.is_empty(), "a list may be given in several flags");
    }

    #[test]
    fn words_become_tables() {
        let source = source(vec![
            said("client.token.audience", &["a"]),
            said("client.insecure", &[]),
            said("client.allowed_origins", &["a", "b"]),
            said("client.proxy.connect.http.static_headers", &[r#"{"A": "b"}"#]),
            said("channel.namespaces.chat.presence", &["true"]),
        ]);
        assert!(source.errors.is_empty());
        let at = |path: &str| source.table.at(path).map(ToString::to_string);
        assert_eq!(at("client.token.audience").as_deref(), Some("\"a\""));
        assert_eq!(at("client.insecure").as_deref(), Some("true"));
        assert_eq!(at("client.allowed_origins").as_deref(), Some("[\"a\", \"b\"]"));
        assert_eq!(at("client.proxy.connect.http.static_headers.A").as_deref(), Some("\"b\""));
        assert_eq!(source.for_lists.len(), 1);
    }

    #[test]
    fn what_is_no_json_is_told_without_its_value() {
        for (words, complaint) in [
            (&["[{\"name\": \"hush\""][..], "not valid JSON: EOF while parsing an object"),
            (&["hush!"], "not valid JSON: expected value"),
            (&["5"], "not valid JSON of a list or an object"),
        ] {
            let source = source(vec![said("channel.namespaces", words)]);
            let [error] = &source.errors[..] else { panic!("{words:?}") };
            assert_eq!(error.to_string(), format!("THRONG_CHANNEL_NAMESPACES=…: {complaint}"));
        }
    }
}
