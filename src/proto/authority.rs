//! The host of a request: `host` or `host:port`, as in the `Host` header and in an absolute target (RFC 3986 §3.2,
//! RFC 9110 §7.2).
//!
//! Stricter than the RFC in one point: of the permitted punctuation, only that of real host names is accepted. A
//! comma, for example, may join two headers.

use std::net::{IpAddr, Ipv6Addr};

/// Splits off the host, an IPv6 address without its brackets, and the port as written: digits or nothing. `None` for
/// anything else, including user information (`user@host`). A host may be empty: RFC 9112 §3.2 permits a `Host`
/// without a value.
pub(crate) fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok())?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_bracketed = authority.starts_with('[');
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port),
        None if rest.is_empty() => None,
        None => return None,
    };
    let is_port = port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (is_port && (is_bracketed || host.bytes().all(is_of_name))).then_some((host, port))
}

/// Whether it is a loopback address or `localhost`, with or without a port.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let is_it = |host: &str| host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    split(authority).is_some_and(|(host, _)| host.eq_ignore_ascii_case("localhost") || is_it(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_by_table() {
        for (authority, parts) in [
            ("example.com", ("example.com", None)),
            ("EXAMPLE.com:8000", ("EXAMPLE.com", Some("8000"))),
            ("my_service:", ("my_service", Some(""))),
            ("127.0.0.1:80", ("127.0.0.1", Some("80"))),
            ("[::1]", ("::1", None)),
            ("[2001:db8::1]:443", ("2001:db8::1", Some("443"))),
            ("", ("", None)),
        ] {
            assert_eq!(split(authority), Some(parts), "{authority}");
        }
        for bad in [
            "[::1].evil.com",
            "[::1]evil.com:80",
            "[::1",
            "[]",
            "[localhost]",
            "[::1%eth0]",
            "::1",
            "a:b",
            "a:80:80",
            "a:80 ",
            "a b",
            "a,b",
            "user@a",
            "user:80@a",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "b\u{fc}cher.example",
            "\u{fffd}",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
