//! The permitted origins of browsers' requests.
//!
//! A browser names in `Origin` (RFC 6454) the site of the script that opened the connection, and sends the user's
//! cookies for any site; the check keeps other sites from acting in the user's name. Other clients can send any
//! value, so the check protects users, never the server.

use std::net::IpAddr;

use super::authority;
use crate::base::pattern::matches_ignoring_case;

/// Whether a request with this `Origin` may be served. An empty `origin` is a request without one: not a browser's,
/// and permitted. Others are permitted by `patterns`, in which `*` stands for any run of characters (dots and slashes
/// included) and other characters for themselves, ignoring case.
///
/// Takes time proportional to the product of the lengths of pattern and origin, for any number of `*`.
pub(crate) fn origin_allowed(patterns: &[String], origin: &str) -> bool {
    origin.is_empty() || patterns.iter().any(|pattern| matches_ignoring_case(pattern, origin))
}

/// Whether this `Origin` belongs to a page of this server itself, by an address or as `localhost`: the owner of any
/// other name could make it resolve to this server (DNS rebinding).
pub(crate) fn is_own_page(origin: &str, host: &str) -> bool {
    let is_fixed = |name: &str| name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    is_same_host(origin, host) && authority::split(host).is_some_and(|(name, _)| is_fixed(name))
}

/// Whether the origin is the requested host, with or without the scheme's default port.
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
        let table: &[(&[&str], &str, bool)] = &[
            // Not a browser.
            (&[], "", true),
            // No page, unless a pattern permits it.
            (&[], "https://example.com", false),
            (&[], "null", false),
            (&["https://other.com"], "https://example.com", false),
            // By name.
            (&["https://site.com"], "https://site.com", true),
            (&["https://Site.com"], "https://site.COM", true),
            (&["https://site.com"], "http://site.com", false),
            (&["https://site.com"], "https://site.com:8443", false),
            (&["https://a.com", "https://b.com"], "https://b.com", true),
            (&["null"], "null", true),
            // By pattern.
            (&["*"], "https://anything.at.all", true),
            (&["*"], "null", true),
            (&["https://*.site.com"], "https://www.site.com", true),
            (&["https://*.site.com"], "https://a.b.site.com", true),
            (&["https://*.site.com"], "https://site.com", false),
            (&["https://*.site.com"], "https://evilsite.com", false),
            (&["https://*.site.com"], "https://www.site.com.evil.com", false),
            (&["http://localhost:*"], "http://localhost:3000", true),
            (&["http*://*site.com*"], "https://my.site.com:1", true),
            (&["**a**"], "bab", true),
            // A dot stands for itself.
            (&["https://a.com"], "https://abcom", false),
            (&[""], "https://a.com", false),
        ];
        for (patterns, origin, allowed) in table {
            let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            assert_eq!(origin_allowed(&patterns, origin), *allowed, "{patterns:?} {origin}");
        }
    }

    #[test]
    fn own_pages_are_those_of_an_address_or_localhost() {
        for (origin, host, own) in [
            ("http://localhost:8000", "localhost:8000", true),
            ("http://LOCALHOST:8000", "localhost:8000", true),
            ("http://[::1]:8000", "[::1]:8000", true),
            ("http://127.0.0.1", "127.0.0.1:80", true),
            ("https://10.0.0.7:443", "10.0.0.7", true),
            ("http://127.0.0.1:8000", "localhost:8000", false),
            ("http://localhost:8443", "localhost", false),
            ("https://example.com", "example.com", false),
            ("http://localhost.evil.com", "localhost.evil.com", false),
            ("https://localhost@evil.com", "localhost", false),
            ("https://evil.com/localhost", "localhost", false),
            ("null", "null", false),
            ("://", "", false),
            ("", "localhost", false),
        ] {
            assert_eq!(is_own_page(origin, host), own, "{origin} {host}");
        }
    }
}
