//! Repeated names: the last one counts, in JSON and in maps of Protobuf alike.

use std::collections::HashSet;

/// Removes each item that is followed by another of the same name. Takes time proportional to the number of items.
pub(super) fn keep_last<T>(items: &mut Vec<T>, name: impl Fn(&T) -> &str) {
    let mut names = HashSet::with_capacity(items.len());
    let is_last: Vec<bool> = items.iter().rev().map(|item| names.insert(name(item))).collect();
    if names.len() < items.len() {
        let mut is_last = is_last.into_iter().rev();
        items.retain(|_| is_last.next().unwrap_or(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_stays_in_its_place() {
        for (items, kept) in [
            ("", ""),
            ("a1", "a1"),
            ("a1 b2 c3", "a1 b2 c3"),
            ("a1 a2", "a2"),
            ("a1 b2 a3 c4 b5 a6", "c4 b5 a6"),
        ] {
            let mut items: Vec<&str> = items.split_whitespace().collect();
            keep_last(&mut items, |item| &item[..1]);
            assert_eq!(items, kept.split_whitespace().collect::<Vec<_>>());
        }
    }
}
