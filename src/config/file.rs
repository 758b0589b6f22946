//! The configuration file: TOML with flat keys, each with the line it stands on.
//!
//! A key that is not known is refused: a misspelt limit that is silently ignored would be no limit.

use super::args::Typed;
use super::slot::Raw;
use super::{ConfigError, KEYS, Key, Place};
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<Typed>, Vec<ConfigError>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) => Err(vec![whole(path, 0, format!("cannot be read: {error}"))]),
    }
}

/// Takes a file apart; `path` is only told in errors.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Typed>, Vec<ConfigError>> {
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
    let table: BTreeMap<Spanned<String>, toml::Value> = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(span.start));
        vec![whole(path, line, format!("not valid TOML: {}", error.message().trim().replace('\n', ", ")))]
    })?;
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let (mut typed, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in entries {
        let place = Place::File { path: path.to_owned(), line: line_of(name.span().start) };
        match Key::named(name.get_ref()) {
            Some(key) => typed.push(Typed { key, raw: Raw::Toml(value), place }),
            None => errors.push(unknown(name.into_inner(), &value, place)),
        }
    }
    if errors.is_empty() { Ok(typed) } else { Err(errors) }
}

fn whole(path: &Path, line: usize, complaint: String) -> ConfigError {
    let place = Place::File { path: path.to_owned(), line };
    ConfigError { key: String::new(), said: String::new(), complaint, place }
}

fn unknown(key: String, value: &toml::Value, place: Place) -> ConfigError {
    let complaint = if value.is_table() {
        "unknown key; all keys stand at the top, without tables".to_owned()
    } else if let Some(near) = nearest(&key) {
        format!("unknown key; is {near} meant?")
    } else {
        "unknown key; `throng config` prints all of them".to_owned()
    };
    let said = if value.is_table() { "{ … }".to_owned() } else { value.to_string() };
    ConfigError { key, said, complaint, place }
}

/// The known key that is fewest edits away, if it is near enough to be what was meant.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let (distance, key) = KEYS.iter().map(|key| (edit_distance(&name, key.name), key.name)).min()?;
    (distance <= 1 + key.len() / 4).then_some(key)
}

/// Levenshtein's distance, in bytes, by one row.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        parse(Path::new("t.toml"), text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_know_their_lines() {
        let typed = parse(Path::new("t.toml"), "# head\n\nshards = 2\necho = \"/e\"\n").unwrap();
        let seen: Vec<_> = typed.iter().map(|t| (t.place.to_string(), t.key.name)).collect();
        assert_eq!(seen, [("t.toml:3".to_owned(), "shards"), ("t.toml:4".to_owned(), "echo")]);
    }

    #[test]
    fn unknown_keys_are_all_named_with_their_lines() {
        let said = errors("shards = 2\nping_interval = 3\nzebra = true\n[limits]\nconnections_max = 5\n");
        assert_eq!(
            said,
            [
                "t.toml:2: ping_interval = 3: unknown key; is ping_interval_ms meant?",
                "t.toml:3: zebra = true: unknown key; `throng config` prints all of them",
                "t.toml:4: limits = { … }: unknown key; all keys stand at the top, without tables",
            ]
        );
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        for (text, line) in [("shards = 2\npin = \n", "2"), ("shards = 2\nshards = 3\n", "2"), ("a b", "1")] {
            let said = errors(text);
            assert!(said[0].starts_with(&format!("t.toml:{line}: not valid TOML: ")), "{said:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let said = read(Path::new("/nowhere/t.toml")).unwrap_err();
        assert!(said[0].to_string().starts_with("/nowhere/t.toml: cannot be read: No such file"), "{said:?}");
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, n) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(edit_distance(a, b), n, "{a} {b}");
        }
    }
}
