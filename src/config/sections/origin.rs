//! The syntax of origin patterns: whether some browser could send an origin that matches.
//!
//! An `Origin` is a scheme, a host and an optional port, as browsers write them: in lower case, in ASCII, without the
//! scheme's default port, with nothing after it (RFC 6454 § 6.2, the URL standard's "serializing hosts"). Any other
//! pattern would match nothing, without any hint to its author. Left out: the matching of patterns (see
//! [`crate::proto::origin`]).

use std::net::{Ipv4Addr, Ipv6Addr};

/// The value that browsers send for an opaque origin: of files, of frames in a sandbox.
const OPAQUE: &str = "null";

/// The hint for several origins in one text.
const ONE_EACH: &str = "one origin in each text of the list";

/// The defect of an origin with a user.
const NAMES_USER: &str = "holds a user name, which browsers leave out";

/// The correction of a pattern: the text after this one step, or a better one.
fn better(text: &str) -> String {
    match check(text) {
        Ok(()) => format!("{text:?}"),
        Err(why) => why.rsplit_once(": write ").map_or(why.clone(), |(_, instead)| instead.to_owned()),
    }
}

/// Whether the pattern has a sign, apart from `*`, that stands for other characters in Centrifugo: `?`, a set in
/// brackets, alternatives in braces, or one after a backslash.
pub(super) fn has_other_wildcards(pattern: &str) -> bool {
    pattern.contains(['?', '[', ']', '{', '}', '\\'])
}

/// Checks a pattern.
///
/// # Errors
/// The defect, and the correction.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let wrong = |why: &str, instead: &str| Err(format!("{pattern:?} {why}: write {instead}"));
    if pattern == "*" || pattern == OPAQUE {
        return Ok(());
    }
    if let Some(odd) =
        pattern.chars().find(|c| !c.is_ascii() || c.is_ascii_whitespace() || c.is_ascii_control())
    {
        let (why, instead) = if odd.is_ascii() {
            ("holds a blank", ONE_EACH)
        } else {
            ("holds characters that are not ASCII, which browsers send as punycode", "xn--…")
        };
        return wrong(why, instead);
    }
    if pattern.contains(',') {
        return wrong("holds a comma", ONE_EACH);
    }
    // A password may hold capitals, and a path may hold an @.
    let of_url = pattern.split_once("://").map(|(scheme, rest)| (scheme, rest.split(['/', '?', '#']).next()));
    if let Some((scheme, Some(authority))) = of_url
        && let Some((_, host)) = authority.rsplit_once('@')
    {
        return wrong(NAMES_USER, &better(&format!("{scheme}://{host}")));
    }
    if pattern.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let lower = better(&pattern.to_ascii_lowercase());
        return wrong("holds capitals, and browsers send none", &lower);
    }
    let Some((scheme, authority)) = pattern.split_once("://") else {
        let may_hold_scheme = pattern
            .find('*')
            .is_some_and(|star| ["http://", "https://"].iter().any(|s| s.starts_with(&pattern[..star])));
        if may_hold_scheme {
            return check_authority(pattern, None, pattern);
        }
        let (scheme, host) = match pattern.split_once(':') {
            Some((scheme @ ("http" | "https"), host)) => (scheme, host),
            _ => ("https", pattern),
        };
        return wrong("has no scheme", &better(&format!("{scheme}://{}", host.trim_start_matches('/'))));
    };
    let (host, rest) = authority.split_at(authority.find(['/', '?', '#']).unwrap_or(authority.len()));
    if !rest.is_empty() {
        let bare = better(&format!("{scheme}://{host}"));
        return wrong("has a path, and an origin ends with its host and port", &bare);
    }
    match scheme {
        "ws" | "wss" => {
            let page = scheme.replacen("ws", "http", 1);
            let why = "has the scheme of a WebSocket, where that of the page belongs";
            return wrong(why, &better(&format!("{page}://{host}")));
        }
        "" => return wrong("has no scheme", &better(&format!("https://{host}"))),
        _ if !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.*".contains(&b)) => {
            return wrong("has no scheme that could be one", "https://, http:// or that of an app");
        }
        _ => {}
    }
    check_authority(pattern, Some(scheme), authority)
}

/// Checks host and port; `scheme` is `None` for a `*`.
fn check_authority(pattern: &str, scheme: Option<&str>, authority: &str) -> Result<(), String> {
    let wrong = |why: &str, instead: &str| Err(format!("{pattern:?} {why}: write {instead}"));
    if let Some((_, host)) = authority.rsplit_once('@') {
        return wrong(NAMES_USER, &better(&with(scheme, host)));
    }
    let (host, port) = match authority.rsplit_once(':') {
        // Within the brackets of an IPv6 address, a colon does not start a port.
        Some((host, port)) if !port.contains(']') && scheme.is_some() => (host, Some(port)),
        _ => (authority, None),
    };
    if let Some(port) = port.filter(|port| !port.contains('*')) {
        let own = match scheme {
            Some("http") => "80",
            Some("https") => "443",
            _ => "",
        };
        if port == own {
            let instead = better(&with(scheme, host));
            return wrong("has the scheme's own port, which browsers leave out", &instead);
        }
        if port.parse::<u16>().map_or(true, |number| number == 0 || number.to_string() != port) {
            return wrong(
                "has no port that could be one",
                "a number from 1 to 65535 behind the colon, or no colon",
            );
        }
    }
    match host_fault(host, scheme) {
        None => Ok(()),
        Some((why, instead)) => wrong(why, &instead),
    }
}

fn with(scheme: Option<&str>, host: &str) -> String {
    scheme.map_or_else(|| host.to_owned(), |scheme| format!("{scheme}://{host}"))
}

/// The defect of a host, and the correction.
fn host_fault(host: &str, scheme: Option<&str>) -> Option<(&'static str, String)> {
    if host.is_empty() {
        // Apps and files have schemes of their own, some without a host.
        let needs_host = matches!(scheme, Some("http" | "https"));
        return needs_host
            .then(|| ("has no host", "\"https://example.com\", with the name of your site".to_owned()));
    }
    if host.contains('*') {
        let is_odd = |c: char| !c.is_ascii_alphanumeric() && !"-._*:/[]".contains(c);
        // Brackets contain an IPv6 address, not a set of characters.
        let inside =
            host.split_once('[').map(|(_, rest)| rest.split_once(']').map_or(rest, |(inside, _)| inside));
        let is_set = inside.is_some_and(|inside| !inside.contains([':', '*']));
        return (is_set || host.contains(is_odd))
            .then(|| ("has no host that could be one", "letters, digits, - and . in it".to_owned()));
    }
    if let Some(inside) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let Ok(address) = inside.parse::<Ipv6Addr>() else {
            return Some(("has no IPv6 address in its brackets", "one such as [::1]".to_owned()));
        };
        // Browsers write an embedded IPv4 address in hexadecimal.
        let [.., a, b] = address.segments();
        let short = match address.to_ipv4_mapped() {
            Some(_) => format!("::ffff:{a:x}:{b:x}"),
            None => address.to_string(),
        };
        return (inside != short)
            .then(|| ("has an IPv6 address in another form than browsers send it", format!("[{short}]")));
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Some(("has no host that could be one", "letters, digits, - and . in it".to_owned()));
    }
    // A numeric last part makes browsers parse the host as an IPv4 address (the URL standard's "ends in a number").
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or(host);
    let is_number = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    let is_address = host.parse::<Ipv4Addr>().is_ok();
    let is_web = matches!(scheme, Some("http" | "https"));
    (is_number && !is_address && is_web).then(|| {
        ("has an IPv4 address in another form than browsers send it", "one such as 127.0.0.1".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::origin::origin_allowed;
    use proptest::prelude::*;

    #[test]
    fn what_a_browser_can_send_is_taken() {
        for pattern in [
            "*",
            "null",
            "https://example.com",
            "http://example.com:8080",
            "https://example.com:80",
            "http://localhost:*",
            "http://localhost",
            "https://*.example.com",
            "https://*",
            "*.example.com",
            "*",
            "*example.com*",
            "http*://*site.com*",
            "https*",
            "*://example.com",
            "*://example.com:443",
            "http*://example.com:80",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "http://[::ffff:102:304]",
            "https://xn--bcher-kva.example",
            "https://under_score.example",
            "https://example.com.",
            "capacitor://localhost",
            "ionic://localhost",
            "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
            "file://",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_what_to_write() {
        for (pattern, said) in [
            (
                "https://example.com/",
                "has a path, and an origin ends with its host and port: write \"https://example.com\"",
            ),
            ("https://example.com/chat", "write \"https://example.com\""),
            ("https://example.com:443/", "write \"https://example.com\""),
            ("HTTPS://u@example.com:443/", "write \"https://example.com\""),
            ("https:/example.com", "write \"https://example.com\""),
            ("http:example.com/chat", "write \"http://example.com\""),
            ("https://a.com,https://b.com", "holds a comma: write one origin in each text"),
            ("https://*.example.com/*", "write \"https://*.example.com\""),
            ("https://example.com?a=b", "write \"https://example.com\""),
            ("https://example.com:8443/", "write \"https://example.com:8443\""),
            ("example.com", "has no scheme: write \"https://example.com\""),
            ("//example.com", "has no scheme: write \"https://example.com\""),
            ("://example.com", "has no scheme: write \"https://example.com\""),
            ("localhost:*", "has no scheme: write \"https://localhost:*\""),
            ("", "has no scheme"),
            (
                "https://example.com:443",
                "the scheme's own port, which browsers leave out: write \"https://example.com\"",
            ),
            ("http://*.example.com:80", "write \"http://*.example.com\""),
            ("https://Example.com", "holds capitals, and browsers send none: write \"https://example.com\""),
            ("NULL", "write \"null\""),
            ("https://bücher.example", "are not ASCII, which browsers send as punycode: write xn--…"),
            ("https://a.com https://b.com", "holds a blank: write one origin in each text"),
            (" https://a.com", "holds a blank"),
            (
                "wss://example.com",
                "has the scheme of a WebSocket, where that of the page belongs: write \"https://example.com\"",
            ),
            ("ws://localhost:3000", "write \"http://localhost:3000\""),
            (
                "https://u:SECRET@example.com",
                "holds a user name, which browsers leave out: write \"https://example.com\"",
            ),
            (
                "https://user@example.com",
                "holds a user name, which browsers leave out: write \"https://example.com\"",
            ),
            ("https://example.com:", "has no port that could be one"),
            ("https://example.com:0", "has no port that could be one"),
            ("https://example.com:08443", "has no port that could be one"),
            ("https://example.com:99999", "has no port that could be one"),
            ("https://", "has no host"),
            ("https://:8443", "has no host"),
            ("https://exa(mple.com", "has no host that could be one"),
            ("https://*.exa mple.com", "holds a blank"),
            ("https://*.example.com,", "holds a comma"),
            ("http://[::1", "has no host that could be one"),
            ("http://[0:0:0:0:0:0:0:1]:80", "the scheme's own port"),
            ("http://[0:0:0:0:0:0:0:1]", "another form than browsers send it: write [::1]"),
            ("http://[::ffff:1.2.3.4]", "write [::ffff:102:304]"),
            ("http://127.1", "an IPv4 address in another form"),
            ("http://127.0.0.01:3000", "an IPv4 address in another form"),
        ] {
            let complaint = check(pattern).unwrap_err();
            assert!(
                complaint.starts_with(&format!("{pattern:?} ")) && complaint.contains(said),
                "{complaint}"
            );
        }
    }

    proptest! {
        /// A refused pattern matches no origin that a browser sends.
        #[test]
        fn no_pattern_that_is_refused_lets_a_browser_in(
            scheme in "http|https", host in "[a-z]{1,8}(\\.[a-z]{2,5}){0,2}", port in prop::option::of(1024_u16..),
            star in 0_usize..6,
        ) {
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            let origin = format!("{scheme}://{host}{port}");
            prop_assert_eq!(check(&origin), Ok(()));
            let cut = [scheme.len() + 3, scheme.len() + 3 + host.len(), origin.len(), 4, 0, scheme.len()][star];
            for pattern in [format!("{}*", &origin[..cut]), format!("*{}", &origin[cut..])] {
                prop_assert!(origin_allowed(std::slice::from_ref(&pattern), &origin));
                prop_assert_eq!(check(&pattern), Ok(()), "{}", pattern);
            }
        }
    }
}
