//! Which origins a browser's request may come from.
//!
//! A browser says in `Origin` (RFC 6454) which site's script asked for the connection, and sends the user's cookies
//! along whatever site that is; the check keeps other sites from acting in the user's name. Whoever is not a browser
//! can write anything there, so it protects users, never the server.

/// Whether a request with this `Origin` may be served at this `Host`. An empty `origin` is a request without one: not a
/// browser's, and allowed. The server's own host is always allowed; others by `patterns`, in which `*` stands for any
/// run of characters (dots and slashes included) and the rest for itself, whatever the case.
///
/// Takes time in proportion to the lengths of pattern and origin multiplied, however many `*` there are.
pub fn origin_allowed(patterns: &[String], origin: &str, host: &str) -> bool {
    origin.is_empty()
        || is_same_host(origin, host)
        || patterns.iter().any(|pattern| matches(pattern.as_bytes(), origin.as_bytes()))
}

/// Whether the origin is the host that was asked, with the scheme's own port left out or not.
fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let own_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |name: &str| name.strip_suffix(own_port).unwrap_or(name).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

/// Without recursion: after a mismatch, the last `*` takes one byte more.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last_star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            last_star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|byte| byte.eq_ignore_ascii_case(&text[t])) {
            p += 1;
            t += 1;
        } else if let Some((star, taken)) = last_star {
            last_star = Some((star, taken + 1));
            p = star + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn origins_by_table() {
        let table: &[(&[&str], &str, &str, bool)] = &[
            // Not a browser.
            (&[], "", "example.com", true),
            // The server's own host, whatever the patterns say.
            (&[], "https://example.com", "example.com", true),
            (&[], "https://EXAMPLE.com", "example.COM", true),
            (&[], "https://example.com", "example.com:443", true),
            (&[], "https://example.com:443", "example.com", true),
            (&[], "http://example.com", "example.com:80", true),
            (&[], "http://localhost:8000", "localhost:8000", true),
            (&[], "http://[::1]:8000", "[::1]:8000", true),
            (&["https://other.com"], "https://example.com", "example.com", true),
            // Another one.
            (&[], "https://evil.com", "example.com", false),
            (&[], "http://example.com:443", "example.com", false),
            (&[], "https://example.com:8443", "example.com", false),
            (&[], "https://example.com.evil.com", "example.com", false),
            (&[], "https://evil.com/example.com", "example.com", false),
            (&[], "https://example.com@evil.com", "example.com", false),
            (&[], "null", "example.com", false),
            (&[], "null", "null", false),
            (&[], "://", "", false),
            // By name.
            (&["https://site.com"], "https://site.com", "ws.com", true),
            (&["https://Site.com"], "https://site.COM", "ws.com", true),
            (&["https://site.com"], "http://site.com", "ws.com", false),
            (&["https://site.com"], "https://site.com:8443", "ws.com", false),
            (&["https://a.com", "https://b.com"], "https://b.com", "ws.com", true),
            (&["null"], "null", "ws.com", true),
            // By pattern.
            (&["*"], "https://anything.at.all", "ws.com", true),
            (&["*"], "null", "ws.com", true),
            (&["https://*.site.com"], "https://www.site.com", "ws.com", true),
            (&["https://*.site.com"], "https://a.b.site.com", "ws.com", true),
            (&["https://*.site.com"], "https://site.com", "ws.com", false),
            (&["https://*.site.com"], "https://evilsite.com", "ws.com", false),
            (&["https://*.site.com"], "https://www.site.com.evil.com", "ws.com", false),
            (&["http://localhost:*"], "http://localhost:3000", "ws.com", true),
            (&["http*://*site.com*"], "https://my.site.com:1", "ws.com", true),
            (&["**a**"], "bab", "ws.com", true),
            // A dot, a question mark and brackets are themselves.
            (&["https://a.com"], "https://abcom", "ws.com", false),
            (&["https://?.com", "https://[a].com"], "https://a.com", "ws.com", false),
            (&[""], "https://a.com", "ws.com", false),
        ];
        for (patterns, origin, host, allowed) in table {
            let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            assert_eq!(origin_allowed(&patterns, origin, host), *allowed, "{patterns:?} {origin} {host}");
        }
    }

    /// By definition: `*` is nothing, or one byte and a `*`.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => naive(rest, text) || !text.is_empty() && naive(pattern, &text[1..]),
            ([p, pattern @ ..], [t, text @ ..]) => p.eq_ignore_ascii_case(t) && naive(pattern, text),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn stars_match_as_their_definition_says(pattern in "[ab*]{0,8}", text in "[abAB]{0,10}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
