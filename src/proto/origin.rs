//! Which origins a browser's request may come from.
//!
//! A browser says in `Origin` (RFC 6454) which site's script asked for the connection, and sends the user's cookies
//! along whatever site that is; the check keeps other sites from acting in the user's name. Whoever is not a browser
//! can write anything there, so it protects users, never the server.

use crate::base::pattern::matches_ignoring_case;

/// Whether a request with this `Origin` may be served at this `Host`. An empty `origin` is a request without one: not a
/// browser's, and allowed. The server's own host is always allowed; others by `patterns`, in which `*` stands for any
/// run of characters (dots and slashes included) and the rest for itself, whatever the case.
///
/// Takes time in proportion to the lengths of pattern and origin multiplied, however many `*` there are.
pub fn origin_allowed(patterns: &[String], origin: &str, host: &str) -> bool {
    origin.is_empty()
        || is_same_host(origin, host)
        || patterns.iter().any(|pattern| matches_ignoring_case(pattern, origin))
}

/// Whether the origin is the host that was asked, with the scheme's own port left out or not.
fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let own_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |name: &str| name.strip_suffix(own_port).unwrap_or(name).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
