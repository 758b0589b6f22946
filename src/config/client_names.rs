//! Names of client programs that metrics use as values of a label, without escapes.

use crate::session::labels::OTHER;
use crate::shard::options::CLIENT_NAMES_LISTED_MAX;

/// Maximum size of a name, in bytes.
const BYTES_MAX: usize = 32;

/// The error in a list of names, if any.
pub(super) fn wrong(names: &[String]) -> Option<String> {
    let is_plain = |name: &String| {
        name.len() <= BYTES_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if names.len() > CLIENT_NAMES_LISTED_MAX {
        return Some(format!("expected at most {CLIENT_NAMES_LISTED_MAX} names"));
    }
    if names.iter().any(|name| !is_plain(name) || name == OTHER) {
        return Some(format!(
            "expected names of letters, digits, -, _ and ., at most {BYTES_MAX} bytes each, and none that is {OTHER}"
        ));
    }
    let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
    twice.map(|(_, name)| format!("{name} stands there twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_plain_and_distinct() {
        let names = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for good in [&[][..], &["js", "my-app_2.0"], &["x"; 1]] {
            assert_eq!(wrong(&names(good)), None, "{good:?}");
        }
        let many: Vec<String> = (0..15).map(|n| format!("p{n}")).collect();
        assert_eq!(wrong(&many[1..]), None);
        assert!(wrong(&many).is_some_and(|said| said.contains("at most 14")));
        for bad in ["other", "a b", "a\"", "a\n", "ü", &"x".repeat(33)] {
            assert!(wrong(&names(&["js", bad])).is_some_and(|said| said.contains("letters")), "{bad:?}");
        }
        assert_eq!(wrong(&names(&["a", "b", "a"])).as_deref(), Some("a stands there twice"));
    }
}
