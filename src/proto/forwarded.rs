//! The client's address in forwarding headers: `X-Forwarded-For`, a list of addresses, and `Forwarded` (RFC 7239), a
//! list of parameters.
//!
//! Each proxy appends the address of its peer. So the list is read from its end, as long as it names trusted proxies;
//! the first other address is the client's, and the entries before it come from the client itself. A client can send
//! either header itself, and a proxy that writes one may pass on the other: where both are present and differ, it is
//! unknown which of them the proxy wrote.
//!
//! Invariant: nothing that a client writes removes its address. Otherwise every limit by address would count the
//! client as the proxy, or as nobody; so headers that a client may have spoiled are refused, and only a proxy's own
//! `unknown` counts as no address.

use std::net::{IpAddr, SocketAddr};

use super::http::{Refusal, Request, Status};
use crate::base::networks::Networks;

const DISAGREE: Refusal =
    Refusal::new(Status::BadRequest, "X-Forwarded-For and Forwarded do not name the same client");
const OPEN_QUOTE: Refusal = Refusal::new(Status::BadRequest, "Forwarded has a quote that is not closed");

/// The client's address, from the headers of proxies in `trusted` networks; `None` when they name none.
///
/// # Errors
/// 400 where `X-Forwarded-For` and `Forwarded` name different clients, or an open quote hides the proxy's part.
pub(crate) fn client(request: &Request<'_>, trusted: &Networks) -> Result<Option<IpAddr>, Refusal> {
    let mut lists = [true, false].into_iter().filter_map(|is_list| {
        let mut hops = Hops::default();
        if is_list {
            request.values("x-forwarded-for").for_each(|line| hops.add_list(&line));
        } else {
            request.values("forwarded").for_each(|line| hops.add_elements(&line));
        }
        (!hops.0.is_empty()).then(|| hops.client(trusted))
    });
    let Some(first) = lists.next().transpose()? else { return Ok(None) };
    match lists.next().transpose()? {
        Some(second) if second != first => Err(DISAGREE),
        Some(_) | None => Ok(first),
    }
}

/// One entry of the list.
#[derive(Clone, Copy, Debug)]
enum Hop {
    At(IpAddr),
    /// Not an address, such as `unknown`.
    Unnamed,
    /// A line with an unterminated quoted string.
    Open,
}

/// Entries in the order in which they were added.
#[derive(Debug, Default)]
struct Hops(Vec<Hop>);

impl Hops {
    /// The last entry that is not trusted; the first of all if all are trusted. An unreadable entry hides the entries
    /// before it.
    fn client(&self, trusted: &Networks) -> Result<Option<IpAddr>, Refusal> {
        let mut nearest_known = None;
        for hop in self.0.iter().rev() {
            match *hop {
                Hop::At(address) if trusted.contains(address) => nearest_known = Some(address),
                Hop::At(address) => return Ok(Some(address)),
                Hop::Unnamed => return Ok(None),
                Hop::Open => return Err(OPEN_QUOTE),
            }
        }
        Ok(nearest_known)
    }

    fn add(&mut self, address: Option<IpAddr>) {
        self.0.push(address.map_or(Hop::Unnamed, Hop::At));
    }

    fn add_list(&mut self, line: &str) {
        line.split(',').for_each(|node| self.add(address(node.trim())));
    }

    /// Adds the elements of a `Forwarded` line (RFC 7239 §4): separated by commas, their pairs by semicolons, with
    /// optionally quoted values.
    fn add_elements(&mut self, line: &str) {
        // A quote that a client left open would hide the proxy's part behind it.
        if !closes_quotes(line) {
            return self.0.push(Hop::Open);
        }
        for element in outside_quotes(line, ',') {
            let mut pairs = outside_quotes(element, ';').filter_map(|pair| pair.split_once('='));
            let node = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
            self.add(node.and_then(|(_, value)| address(unquoted(value.trim())?)));
        }
    }
}

/// Follows quoted strings through a text: returns for each character whether it is inside one.
fn quotes() -> impl FnMut(char) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    move |char| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match char {
            '"' if !was_escaped => is_quoted = !is_quoted,
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            _ => {}
        }
        is_quoted
    }
}

fn closes_quotes(text: &str) -> bool {
    let mut is_quoted = quotes();
    !text.chars().fold(false, |_, char| is_quoted(char))
}

/// The parts of `text` between `separator`s outside of quoted strings.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut in_quotes = quotes();
    text.split(move |char| !in_quotes(char) && char == separator)
}

/// A value without its quotes; `None` for an unterminated one, or one with an escape, which no address needs.
fn unquoted(value: &str) -> Option<&str> {
    let Some(rest) = value.strip_prefix('"') else { return Some(value) };
    rest.strip_suffix('"').filter(|inner| !inner.contains(['"', '\\']))
}

/// Parses an address, optionally with a port, an IPv6 address optionally in brackets.
fn address(node: &str) -> Option<IpAddr> {
    let bracketed = || node.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || node.parse().ok().map(|address: SocketAddr| address.ip());
    let alone = node.parse().ok();
    alone.or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The client's address; "refused" for a refused request.
    fn seen(headers: &str) -> Option<String> {
        seen_of_bytes(headers.as_bytes())
    }

    fn seen_of_bytes(headers: &[u8]) -> Option<String> {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", headers, b"\r\n"].concat();
        let (request, _) = Request::parse(&head, 8192).unwrap().unwrap();
        let trusted = Networks::parse(["10.0.0.0/8", "fd00::/8"]).unwrap();
        match client(&request, &trusted) {
            Ok(address) => address.map(|address| address.to_string()),
            Err(_) => Some("refused".to_owned()),
        }
    }

    #[test]
    fn the_last_address_that_is_not_trusted_counts() {
        for (list, wanted) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("6.6.6.6, 192.0.2.1, 10.1.1.1 ,fd00::1", Some("192.0.2.1")),
            ("10.2.2.2, 10.1.1.1", Some("10.2.2.2")),
            ("unknown, 192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1, unknown", None),
            ("192.0.2.1, unknown, 10.1.1.1", None),
            ("192.0.2.1,", None),
            ("", None),
            ("192.0.2.256", None),
            ("192.0.2.1 192.0.2.2", None),
        ] {
            assert_eq!(seen(&format!("X-Forwarded-For: {list}\r\n")).as_deref(), wanted, "{list:?}");
        }
        let lines = "X-Forwarded-For: 6.6.6.6\r\nX-FORWARDED-FOR: 192.0.2.1\r\nx-forwarded-for: 10.1.1.1\r\n";
        assert_eq!(seen(lines).as_deref(), Some("192.0.2.1"), "lines are one list");
        assert_eq!(seen(""), None);
    }

    #[test]
    fn forwarded_says_the_same_with_more_words() {
        for (list, wanted) in [
            ("for=192.0.2.1", Some("192.0.2.1")),
            ("For=\"192.0.2.1:80\";proto=http;by=10.1.1.1", Some("192.0.2.1")),
            ("proto=https; for=\"[2001:db8::1]:4711\"", Some("2001:db8::1")),
            ("for=6.6.6.6, for=192.0.2.1;by=\"a, for=7.7.7.7\", for=10.1.1.1", Some("192.0.2.1")),
            ("for=192.0.2.1;ext=\"a\\\", for=7.7.7.7, \\\"\"", Some("192.0.2.1")),
            ("for=_hidden, for=192.0.2.1", Some("192.0.2.1")),
            ("for=192.0.2.1, for=_hidden", None),
            ("for=192.0.2.1, proto=http", None),
            ("for=\"192.0.2.1", Some("refused")),
            ("for=\"6.6.6.6, for=192.0.2.1", Some("refused")),
            ("for=", None),
            ("for=6.6.6.6;x=\", for=192.0.2.1", Some("refused")),
            ("for=6.6.6.6;x=\"\\, for=192.0.2.1", Some("refused")),
            ("for=6.6.6.6;x=\", for=\"[2001:db8::1]:80\"", Some("refused")),
        ] {
            assert_eq!(seen(&format!("Forwarded: {list}\r\n")).as_deref(), wanted, "{list:?}");
        }
    }

    #[test]
    fn where_both_are_there_they_must_agree() {
        let both =
            |list: &str, words: &str| seen(&format!("X-Forwarded-For: {list}\r\nForwarded: {words}\r\n"));
        assert_eq!(both("1.1.1.1, 192.0.2.1", "for=192.0.2.1").as_deref(), Some("192.0.2.1"));
        // One header is the proxy's, the other the client's; the client must not take the proxy's address by that.
        for (list, words) in [
            ("192.0.2.1", "for=192.0.2.2"),
            ("192.0.2.1", "for=unknown"),
            ("192.0.2.1", "for=\""),
            ("192.0.2.1", ""),
            ("192.0.2.1", "for=10.1.1.1"),
            ("unknown", "for=192.0.2.1"),
            ("", "for=192.0.2.1"),
        ] {
            assert_eq!(both(list, words).as_deref(), Some("refused"), "{list:?} {words:?}");
        }
        assert_eq!(both("unknown", "for=_hidden"), None, "neither header names a client");
    }

    /// A client that writes bytes other than UTF-8 must not take the address of the proxy before it.
    #[test]
    fn bytes_that_are_no_text_hide_nothing_behind_them() {
        let table: [(&[u8], Option<&str>); 7] = [
            (b"X-Forwarded-For: \xff, 192.0.2.1\r\n", Some("192.0.2.1")),
            (b"X-Forwarded-For: \xff\r\nX-Forwarded-For: 192.0.2.1\r\n", Some("192.0.2.1")),
            (b"X-Forwarded-For: 6.6.6.6\xff, 192.0.2.1, 10.1.1.1\r\n", Some("192.0.2.1")),
            (b"Forwarded: for=\xff;x=\"\xfe\", for=192.0.2.1\r\n", Some("192.0.2.1")),
            (b"Forwarded: \xff\r\nForwarded: for=192.0.2.1\r\n", Some("192.0.2.1")),
            // Nor do such bytes behind the client's address: no proxy writes them.
            (b"X-Forwarded-For: 192.0.2.1, \xff\r\n", None),
            (b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: \xff\r\n", None),
        ];
        for (lines, wanted) in table {
            assert_eq!(seen_of_bytes(lines).as_deref(), wanted, "{}", lines.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_a_client_writes_before_does_not_count(talk in "[ -~]{0,40}", words in "[ -!#-~]{0,40}") {
            let wanted = Some("192.0.2.1".to_owned());
            prop_assert_eq!(seen(&format!("X-Forwarded-For: {talk}, 192.0.2.1\r\n")), wanted.clone());
            prop_assert_eq!(seen(&format!("Forwarded: {words}, for=192.0.2.1\r\n")), wanted);
        }

        #[test]
        fn bytes_that_a_client_writes_before_do_not_count(talk in proptest::collection::vec(0x80_u8.., 0..20)) {
            let lines = [b"X-Forwarded-For: ", &talk[..], b", 192.0.2.1\r\n"].concat();
            prop_assert_eq!(seen_of_bytes(&lines), Some("192.0.2.1".to_owned()));
        }

        #[test]
        fn nothing_that_a_client_writes_becomes_its_address_or_takes_it_away(talk in "[ -~]{0,60}") {
            let outcome = seen(&format!("Forwarded: {talk}, for=192.0.2.1\r\n"));
            prop_assert!(matches!(outcome.as_deref(), Some("refused" | "192.0.2.1")), "{outcome:?}");
        }
    }
}
