//! Variables that only Centrifugo 3 to 5 read. A shared `.env` file keeps them for years after a switch to version 6,
//! which ignores them with a warning.
//!
//! Invariant: nothing that a variable meant is lost in silence, and no server that works with Centrifugo 6 is refused
//! for a leftover. A variable is refused only where it may be the only place of a meaning: nothing sets the key that
//! replaced it, the key has an effect here, and the value is neither the key's default nor impossible for it. Left
//! out: the flags of these versions, which someone types today (`older::flags`).

use super::names::{names, variable};
use super::older::{self, Today, names as lists};
use super::said::Said;
use super::sections::{Alias, Class, TABLES, Target, Unit, Unsupported};
use super::slot::{HIDDEN, Raw, duration_ms};
use super::value::{Table, Value, switch_of};
use super::{ConfigError, ConfigWarning, Place};

/// The treatment of such a variable.
pub(super) enum Leftover {
    Refused(ConfigError),
    Warned(ConfigWarning),
}

/// Judges a variable or a flag by the tables of all sources; `None` if no version had it.
pub(super) fn judge(said: &Said, tables: &[&Table]) -> Option<Leftover> {
    let name = match &said.place {
        Place::Variable(name) => name.split_once('_')?.1.to_ascii_lowercase(),
        Place::Flag(_) if older::is_flag(&said.path) => said.path.clone(),
        Place::Default | Place::File { .. } | Place::Flag(_) => return None,
    };
    let path = older::path_today(&name)?;
    if let Place::Variable(_) = said.place
        && let Some(why) = harmless(said, &name, &path, tables)
    {
        let text = format!("is of Centrifugo 5 or older, ignored: {why}");
        return Some(Leftover::Warned(ConfigWarning {
            key: said.path.clone(),
            text,
            place: said.place.clone(),
        }));
    }
    let instead = match &said.place {
        _ if path.is_empty() => match older::today(&name) {
            Some(Today::Gone(why)) => format!("it has no counterpart: {why}"),
            _ => "there is nothing in its place".to_owned(),
        },
        Place::Variable(name) => {
            let (prefix, _) = name.split_once('_')?;
            format!("today it is {prefix}_{}", variable(&path))
        }
        Place::Default | Place::File { .. } | Place::Flag(_) => format!("today it is --{path}"),
    };
    let complaint = format!("is of Centrifugo 5 or older; {instead}");
    let hidden = if said.words.is_empty() { "" } else { HIDDEN };
    Some(Leftover::Refused(ConfigError {
        key: said.path.clone(),
        said: hidden.to_owned(),
        complaint,
        place: said.place.clone(),
    }))
}

/// The reason why ignoring the variable loses nothing; `None` if it may.
fn harmless(said: &Said, name: &str, path: &str, tables: &[&Table]) -> Option<String> {
    if let Some(Today::Gone(why)) = older::today(name) {
        return Some(format!("it has no counterpart: {why}"));
    }
    // Each of these forbade something that is forbidden today unless another key allows it.
    if lists::second(lists::OPPOSITES, name).is_some() {
        return Some("clients may do today what an allow_… key says".to_owned());
    }
    if let Some(section) = lists::second(lists::NAMED, name) {
        return is_set(section, tables).then(|| format!("{section} is set"));
    }
    if let Some(key) = lists::second(lists::OF_EACH_HOOK, name) {
        let hooks = TABLES.iter().filter(|table| table.path.contains("proxy"));
        let mut paths = hooks.map(|hook| format!("{}.{key}", hook.path)).chain(["proxies".to_owned()]);
        return paths.find(|path| is_set(path, tables)).map(|path| format!("{path} is set"));
    }
    let word = said.words.last().map_or("", String::as_str);
    if is_set(path, tables) {
        Some(format!("{path} is set"))
    } else if has_no_effect(path, word) {
        Some(format!("{path}, which replaced it, would have no effect"))
    } else if names().default_of(path).is_some_and(|default| is_same(word, default)) {
        Some(format!("{path}, which replaced it, has this value by default"))
    } else if !fits(path, word) {
        Some(format!("{path}, which replaced it, could not have this value"))
    } else {
        None
    }
}

/// Whether a source has a value at this path, or at that of the flat key with the same meaning.
fn is_set(path: &str, tables: &[&Table]) -> bool {
    let flat = Alias::find(path).map(|alias| alias.flat);
    let is_said = |table: &&Table| {
        let mut paths = std::iter::once(path).chain(flat);
        paths.any(|path| table.at(path).is_some_and(|value| *value != Value::Null))
    };
    tables.iter().any(is_said)
}

fn has_no_effect(path: &str, word: &str) -> bool {
    let table = path.rsplit_once('.').map_or(path, |(table, _)| table);
    let key = Unsupported::find(path).or_else(|| Unsupported::find(table));
    key.is_some_and(|key| key.class != Class::Refused || key.takes(&Value::Text(word.to_owned())))
}

fn is_same(word: &str, default: &str) -> bool {
    let (word, default) = (word.trim(), default.trim());
    let switches = switch_of(word).zip(switch_of(default));
    let durations = duration_ms(word).zip(duration_ms(default));
    word == default || switches.is_some_and(|(a, b)| a == b) || durations.is_some_and(|(a, b)| a == b)
}

/// Whether a word could be the value of a key. A `.env` file that a backend shares has variables of its own with the
/// same names: `CENTRIFUGO_ADDRESS=http://centrifugo:8000`.
fn fits(path: &str, word: &str) -> bool {
    let raw = Raw::Words(vec![word.to_owned()]);
    match Alias::find(path) {
        Some(alias) if alias.unit == Unit::Listener && path.ends_with("port") => {
            word.trim().parse::<u16>().is_ok()
        }
        Some(alias) if alias.unit == Unit::Listener => !word.contains('/'),
        Some(alias) => match alias.unit.convert(&Value::Text(word.to_owned())) {
            Ok(Some(raw)) => Target::find(alias.flat).is_some_and(|target| target.fits(&raw)),
            Ok(None) => true,
            Err(_) => false,
        },
        // A text of a wrong form was meant for this key all the same.
        None => Target::find(path).is_none_or(|target| target.takes_text() || target.fits(&raw)),
    }
}
