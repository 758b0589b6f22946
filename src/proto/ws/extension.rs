//! Negotiation of the extension permessage-deflate: `Sec-WebSocket-Extensions` (RFC 6455 §9.1, RFC 7692 §5 and §7.1).
//!
//! For any offer, both sides drop their window after each message: an accepted offer is always answered with
//! `server_no_context_takeover` and `client_no_context_takeover`. So a connection owns no window, and one compressed
//! frame is the same for all clients. Left out: the compression itself, see [`super::press`].

use std::borrow::Cow;

/// The extension's name (RFC 7692 §7).
const NAME: &str = "permessage-deflate";

/// The negotiated compression of a connection's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deflate {
    /// None.
    #[default]
    Off,
    /// With a window of 32 KiB.
    Wide,
    /// With a window of 512 bytes towards a client that bounded it: the smallest window satisfies any bound, so that
    /// there are two forms of a frame and not seven.
    Narrow,
}

impl Deflate {
    /// Whether messages may be compressed.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

/// An accepted offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The negotiated compression.
    pub deflate: Deflate,
    /// The value of the response's `Sec-WebSocket-Extensions`.
    pub answer: &'static str,
}

/// The header violates the syntax of RFC 6455 §9.1; the handshake must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Accepts the first acceptable offer of permessage-deflate in the values of all `Sec-WebSocket-Extensions` headers
/// of a request. Unknown extensions and invalid offers are declined, as if they were absent (RFC 6455 §9.1, RFC 7692
/// §5.1 and §7.1).
///
/// # Errors
/// [`Malformed`] when any part of a value is not a list of extensions.
pub fn negotiate(values: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Option<Accepted>, Malformed> {
    let mut accepted = None;
    for value in values {
        let mut scanner = Scanner(value.as_ref());
        while let Some(extension) = scanner.extension()? {
            if accepted.is_none() && extension.name.eq_ignore_ascii_case(NAME) {
                accepted = extension.accept();
            }
        }
    }
    Ok(accepted)
}

/// One extension of the list, with its parameters.
struct Extension<'a> {
    name: &'a str,
    params: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl Extension<'_> {
    /// The result of the offer; `None` when it must be declined (RFC 7692 §7.1): an undefined parameter, one with an
    /// invalid value, a repeated one, or an impossible window.
    fn accept(&self) -> Option<Accepted> {
        let (mut window_bits, mut seen) = (None, Vec::with_capacity(4));
        for (name, value) in &self.params {
            if seen.contains(name) {
                return None;
            }
            seen.push(*name);
            match (*name, value) {
                // §7.1.1: no values. Both hold for every connection, requested or not.
                ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
                ("server_max_window_bits", Some(value)) => window_bits = Some(bits(value)?),
                // §7.1.2.2: a hint that the server may request a window. It accepts any, so it requests none.
                ("client_max_window_bits", None) => {}
                ("client_max_window_bits", Some(value)) => _ = bits(value)?,
                _ => return None,
            }
        }
        // §7.1.2.1: the answer names the same window or a smaller one. zlib cannot write a window of 8 bits.
        let (deflate, answer) = match window_bits {
            None => {
                (Deflate::Wide, "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
            }
            Some(15) => (
                Deflate::Wide,
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
            ),
            Some(9..=14) => (
                Deflate::Narrow,
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
            ),
            Some(_) => return None,
        };
        Some(Accepted { deflate, answer })
    }
}

/// A window's size: 8 to 15, without leading zeros (RFC 7692 §7.1.2.1).
fn bits(value: &str) -> Option<u8> {
    let is_form = !value.starts_with('0') && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|bits| is_form && (8..=15).contains(bits))
}

/// The rest of a header's value.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    /// The next element of `1#extension`; empty elements of the list are skipped (RFC 9110 §5.6.1).
    fn extension(&mut self) -> Result<Option<Extension<'a>>, Malformed> {
        while self.eat(',') {}
        if self.0.is_empty() {
            return Ok(None);
        }
        let name = self.token().ok_or(Malformed)?;
        let mut params = Vec::new();
        while self.eat(';') {
            let name = self.token().ok_or(Malformed)?;
            let value = if self.eat('=') { Some(self.value().ok_or(Malformed)?) } else { None };
            params.push((name, value));
        }
        if !self.0.is_empty() && !self.eat(',') {
            return Err(Malformed);
        }
        Ok(Some(Extension { name, params }))
    }

    /// Skips a separator with the white space around it.
    fn eat(&mut self, separator: char) -> bool {
        const BLANKS: [char; 2] = [' ', '\t'];
        self.0 = self.0.trim_start_matches(BLANKS);
        let Some(rest) = self.0.strip_prefix(separator) else { return false };
        self.0 = rest.trim_start_matches(BLANKS);
        true
    }

    fn token(&mut self) -> Option<&'a str> {
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token, or a quoted string whose content is a token (RFC 6455 §9.1).
    fn value(&mut self) -> Option<Cow<'a, str>> {
        let Some(quoted) = self.0.strip_prefix('"') else { return self.token().map(Cow::Borrowed) };
        let (mut value, mut chars) = (String::new(), quoted.chars());
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(chars.next()?),
                other => value.push(other),
            }
        }
        self.0 = chars.as_str();
        (!value.is_empty() && value.chars().all(is_token)).then_some(Cow::Owned(value))
    }
}

/// Whether the character may occur in a token (RFC 9110 §5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of an offer: the form, and the answer without its constant part.
    fn outcome(value: &str) -> Option<(Deflate, &'static str)> {
        let Accepted { deflate, answer } = negotiate([value]).unwrap()?;
        let always = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        Some((deflate, answer.strip_prefix(always).unwrap()))
    }

    const WIDE: Option<(Deflate, &str)> = Some((Deflate::Wide, ""));
    const NARROW: Option<(Deflate, &str)> = Some((Deflate::Narrow, "; server_max_window_bits=9"));

    #[test]
    fn the_offers_of_the_rfc_are_taken() {
        for (offer, wanted) in [
            // RFC 7692 §7.1.3, §7.1.2.1 and §7.1.2.2.
            ("permessage-deflate", WIDE),
            ("permessage-deflate; client_max_window_bits; server_max_window_bits=10", NARROW),
            (
                "permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; client_max_window_bits",
                NARROW,
            ),
            ("permessage-deflate; server_no_context_takeover; client_max_window_bits=12", WIDE),
            ("permessage-deflate; client_no_context_takeover", WIDE),
            // The offers of browsers, and of the conformance suite.
            ("permessage-deflate; client_max_window_bits", WIDE),
            (
                "permessage-deflate; server_max_window_bits=15",
                Some((Deflate::Wide, "; server_max_window_bits=15")),
            ),
            ("permessage-deflate; server_max_window_bits=9", NARROW),
            ("permessage-deflate; server_max_window_bits=\"14\"", NARROW),
            ("permessage-deflate; server_max_window_bits=\"1\\4\"", NARROW),
            (" ,\tPerMessage-Deflate ;client_max_window_bits = 8 ,, x", WIDE),
        ] {
            assert_eq!(outcome(offer), wanted, "{offer}");
        }
        assert_eq!(negotiate(["x-other", "permessage-deflate"]).unwrap().unwrap().deflate, Deflate::Wide);
        assert_eq!(negotiate([""; 0]), Ok(None));
    }

    #[test]
    fn what_cannot_be_met_is_declined_and_the_next_offer_taken() {
        for bad in [
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=999",
            "permessage-deflate; client_max_window_bits=0",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; window=10",
            "permessage-bzip2; client_max_window_bits",
            "x-webkit-deflate-frame",
            "",
        ] {
            assert_eq!(outcome(bad), None, "{bad}");
            assert_eq!(outcome(&format!("{bad}, permessage-deflate")), WIDE, "{bad}");
        }
    }

    #[test]
    fn what_is_no_list_of_extensions_fails_the_handshake() {
        for bad in [
            "permessage-deflate;",
            "permessage-deflate; =1",
            "permessage-deflate; a=",
            "permessage-deflate; a=\"1",
            "permessage-deflate; a=\"\"",
            "permessage-deflate; a=\"1 2\"",
            "permessage-deflate; a=\"1\\",
            "permessage-deflate server_no_context_takeover",
            "permessage-deflate; a=b=c",
            "permessage-deflate, é",
            "=",
            ";",
        ] {
            assert_eq!(negotiate([bad]), Err(Malformed), "{bad}");
        }
    }
}
