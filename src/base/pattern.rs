//! Patterns in which `*` stands for any run of characters, including an empty one.

/// Whether the pattern matches the whole of `text`. Worst-case time is proportional to the product of both lengths.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    matches_by(pattern.as_bytes(), text.as_bytes(), |one, other| one == other)
}

/// As [`matches()`], ignoring the case of ASCII letters.
pub(crate) fn matches_ignoring_case(pattern: &str, text: &str) -> bool {
    matches_by(pattern.as_bytes(), text.as_bytes(), |one, other| one.eq_ignore_ascii_case(&other))
}

/// Matches without recursion: after a mismatch, the last `*` takes one byte more.
fn matches_by(pattern: &[u8], text: &[u8], is_same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // The index behind the last `*`, and the first byte that it has not taken.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
        } else if pattern.get(p).is_some_and(|&byte| is_same(byte, text[t])) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((after_star, taken)) = retry {
            (p, t, retry) = (after_star, taken + 1, Some((after_star, taken + 1)));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reference implementation: the definition itself.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            Some((first, rest)) => text.first() == Some(first) && naive(rest, &text[1..]),
        }
    }

    #[test]
    fn a_star_is_any_run() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("news:*", "news:", true),
            ("news:*", "new:1", false),
            ("*:a:*b", "x:a:ab", true),
            ("a*a", "a", false),
            ("a*c", "abbc", true),
            ("a*c", "acb", false),
            ("*b*b", "abab", true),
            ("*ab", "aab", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "axbxbx", false),
            ("", "a", false),
            ("**a**", "bab", true),
            ("A", "a", false),
            ("d\u{e9}*", "d\u{e9}j\u{e0}", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn case_does_not_matter_where_it_should_not(pattern in "[abAB*]{0,6}", text in "[abAB]{0,8}") {
            let lower = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
            prop_assert_eq!(matches_ignoring_case(&pattern, &text), matches(&lower.0, &lower.1));
        }

        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
