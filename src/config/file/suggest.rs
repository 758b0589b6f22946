//! Suggestions for unknown keys.

use super::super::KEYS;
use super::super::sections::{ALIASES, List, Target};

/// All paths that can be typed, except those in tables of lists.
pub(in super::super) fn paths() -> Vec<String> {
    let flat = KEYS.iter().map(|key| key.name.to_owned());
    let aliases = ALIASES.iter().map(|alias| alias.path.to_owned());
    // `namespaces` at the top means the namespaces of channels.
    let lists = [List::Namespaces, List::Proxies].map(|list| list.path().to_owned());
    flat.chain(Target::all().map(|(path, _)| path)).chain(aliases).chain(lists).collect()
}

/// The known path that is close to the unknown `path`, if any.
pub(in super::super) fn meant(path: &str) -> Option<String> {
    let paths = paths();
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    let normal = name.to_ascii_lowercase().replace('-', "_");
    same_name_elsewhere(&normal, table, &paths).or_else(|| {
        let beside = paths.iter().filter_map(|known| child_of(table, known));
        let (distance, near) = beside.map(|known| (edit_distance(&normal, known), known)).min()?;
        let is_near = distance <= 1 + near.len() / 4;
        is_near.then(|| if table.is_empty() { near.to_owned() } else { format!("{table}.{near}") })
    })
}

/// The name in `known` that `name` stands for: the one that ends with `name`, or else the nearest, if it is near.
pub(in super::super) fn nearest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let name = name.to_ascii_uppercase();
    let bare = name.split_once('_').map_or("", |(_, rest)| rest);
    let is_end =
        |full: &&str| !bare.is_empty() && full.strip_suffix(bare).is_some_and(|before| before.ends_with('_'));
    let (distance, near) = known.clone().map(|full| (edit_distance(&name, full), full)).min()?;
    if distance <= 1 + near.len() / 8 {
        Some(near)
    } else {
        known.filter(is_end).min_by_key(|full| full.len())
    }
}

/// The first part of `path` below `table`.
fn child_of<'a>(table: &str, path: &'a str) -> Option<&'a str> {
    let rest = if table.is_empty() { path } else { path.strip_prefix(table)?.strip_prefix('.')? };
    rest.split('.').next()
}

/// The section with a key of this name, for a key at the top: `allowed_origins`, `token_hmac_secret_key`.
fn same_name_elsewhere(name: &str, table: &str, paths: &[String]) -> Option<String> {
    if !table.is_empty() {
        return None;
    }
    let is_end = |path: &&String| {
        let flat = path.replace('.', "_");
        flat.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('_'))
            && path.contains('.')
    };
    // The shortest is the most likely.
    paths.iter().filter(is_end).min_by_key(|path| path.len()).cloned()
}

/// The Levenshtein distance in bytes, computed with one row.
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

    #[test]
    fn distance_counts_edits() {
        for (a, b, n) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(edit_distance(a, b), n, "{a} {b}");
        }
    }

    #[test]
    fn the_near_is_suggested_and_the_far_is_not() {
        for (path, wanted) in [
            ("shard", Some("shards")),
            ("Ping-Interval-MS", Some("ping_interval_ms")),
            ("client.tokn", Some("client.token")),
            ("client.proxy.connect.enpoint", Some("client.proxy.connect.endpoint")),
            ("client.proxy.connect.http.static_header", Some("client.proxy.connect.http.static_headers")),
            ("client.zebra", None),
            ("zebra", None),
        ] {
            assert_eq!(meant(path).as_deref(), wanted, "{path}");
        }
    }
}
