//! Request heads of HTTP/1.1 and HTTP/1.0, and the short responses that refuse them (RFC 9112).
//!
//! Only heads: the length or chunked framing of a body is read here; whether a body is permitted is decided by the
//! endpoint.
//!
//! Invariant: a present header is never treated as absent. Values may contain any bytes above 0x7f (`obs-text`, RFC
//! 9110 §5.5); those that are not UTF-8 are read as U+FFFD, which equals no expected value.

use std::borrow::Cow;
use std::fmt;

use super::authority;

/// Maximum of headers of a request; beyond it, 431.
pub const HEADER_COUNT_MAX: usize = 64;

/// Default of `Retry-After`, in seconds.
const RETRY_AFTER_S: u64 = 5;

/// The statuses of refused requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 400: not HTTP, or a rule of the handshake is broken.
    BadRequest,
    /// 403: the endpoint refuses this client.
    Forbidden,
    /// 404: no such path.
    NotFound,
    /// 405: the method is not GET.
    MethodNotAllowed,
    /// 405: the method is not POST.
    PostNeeded,
    /// 408: the head did not arrive in time.
    RequestTimeout,
    /// 413: the body is larger than allowed.
    ContentTooLarge,
    /// 415: the body has an unsupported type.
    UnsupportedMediaType,
    /// 417: an unsupported expectation.
    ExpectationFailed,
    /// 426: not a WebSocket upgrade, or another version than 13.
    UpgradeRequired,
    /// 431: the head is larger than allowed.
    HeadTooLarge,
    /// 503: at capacity, or draining.
    Unavailable,
}

impl Status {
    /// Code and phrase of the status line.
    pub fn line(self) -> &'static str {
        match self {
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed | Self::PostNeeded => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UnsupportedMediaType => "415 Unsupported Media Type",
            Self::ExpectationFailed => "417 Expectation Failed",
            Self::UpgradeRequired => "426 Upgrade Required",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    /// Header lines required for this status (RFC 9110 §15.5.6, §15.5.22; RFC 6455 §4.4).
    fn headers(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "Allow: GET\r\n",
            Self::PostNeeded => "Allow: POST, OPTIONS\r\n",
            Self::UpgradeRequired => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            Self::BadRequest
            | Self::Unavailable
            | Self::Forbidden
            | Self::NotFound
            | Self::RequestTimeout
            | Self::ContentTooLarge
            | Self::UnsupportedMediaType
            | Self::ExpectationFailed
            | Self::HeadTooLarge => "",
        }
    }
}

/// The reason for which a request is refused: a status, and one sentence for the reader of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The response's status.
    pub status: Status,
    /// The response's body, without the line end.
    pub reason: &'static str,
}

impl Refusal {
    /// A refusal with this status and reason.
    pub const fn new(status: Status, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// Appends the whole response, after which the connection is closed.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.put("", RETRY_AFTER_S, out);
    }

    /// Writes the response with these header lines that allow a page to read it; empty for none.
    pub fn write_for_page(&self, cors: &str, out: &mut Vec<u8>) {
        self.put(cors, RETRY_AFTER_S, out);
    }

    /// Writes the response; a 503 includes the number of seconds before a retry (RFC 9110 §10.2.3).
    pub fn write_with(&self, retry_after_s: u64, out: &mut Vec<u8>) {
        self.put("", retry_after_s, out);
    }

    /// Writes the response with this text in place of its reason.
    pub fn write_saying(&self, words: &str, out: &mut Vec<u8>) {
        self.put_words(words, "", RETRY_AFTER_S, out);
    }

    fn put(&self, more: &str, retry_after_s: u64, out: &mut Vec<u8>) {
        self.put_words(self.reason, more, retry_after_s, out);
    }

    fn put_words(&self, words: &str, more: &str, retry_after_s: u64, out: &mut Vec<u8>) {
        let (line, headers, length) = (self.status.line(), self.status.headers(), words.len() + 1);
        let is_for_want_of_room = self.status == Status::Unavailable;
        let retry =
            if is_for_want_of_room { format!("Retry-After: {retry_after_s}\r\n") } else { String::new() };
        out.extend_from_slice(
            format!(
                "HTTP/1.1 {line}\r\n{headers}{retry}{more}Content-Type: text/plain\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{words}\n"
            )
            .as_bytes(),
        );
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.line(), self.reason)
    }
}

/// The framing of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A length in bytes; 0 without a body.
    Length(usize),
    /// It comes in chunks: see `chunked.rs`.
    Chunked,
}

/// A request head, borrowed from the parsed bytes.
#[derive(Debug)]
pub struct Request<'a> {
    /// As sent; methods are case-sensitive.
    pub method: &'a str,
    /// The target's path, before the question mark.
    pub path: &'a str,
    /// The target's part behind the question mark.
    pub query: Option<&'a str>,
    headers: [httparse::Header<'a>; HEADER_COUNT_MAX],
    header_count: usize,
    /// The authority of an absolute target.
    authority: Option<&'a str>,
    framing: Framing,
    is_http_1_0: bool,
}

/// Whether a header (case-insensitive) is one that proxies add to forwarded requests.
pub fn is_of_proxy(name: &str) -> bool {
    const NAMES: [&str; 5] = ["via", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"];
    const PREFIX: &str = "x-forwarded";
    let begins = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    begins || NAMES.iter().any(|one| name.eq_ignore_ascii_case(one))
}

/// The `Connection` header line of an answer, where the protocol's version requires it (RFC 9112 §9.3, §C.2.2); else
/// empty.
pub fn connection_line(is_last: bool, is_http_1_0: bool) -> &'static str {
    match (is_last, is_http_1_0) {
        (true, _) => "Connection: close\r\n",
        (false, true) => "Connection: keep-alive\r\n",
        (false, false) => "",
    }
}

/// The first value of this name in a target's query. A pair with a percent sign that begins no escape is passed over, as
/// if it were missing.
pub fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let pairs = query.split('&').filter(|pair| has_whole_escapes(pair));
    let mut decoded = pairs.flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
    decoded.find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Whether two hexadecimal digits follow each percent sign (RFC 3986 §2.1).
fn has_whole_escapes(pair: &str) -> bool {
    let mut parts = pair.as_bytes().split(|byte| *byte == b'%').skip(1);
    parts.all(|part| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit))
}

impl<'a> Request<'a> {
    /// Parses a head from the start of `bytes`; `Ok(None)` when it is incomplete. Returns it and its length.
    ///
    /// # Errors
    /// 400 for input that is not HTTP/1.1 or HTTP/1.0, or whose body has no clear length, 431 beyond `bytes_max`
    /// bytes or [`HEADER_COUNT_MAX`] headers.
    pub fn parse(bytes: &'a [u8], bytes_max: usize) -> Result<Option<(Self, usize)>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let too_large = Refusal::new(Status::HeadTooLarge, "the request head is too large");
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= bytes_max => length,
            Ok(httparse::Status::Partial) if bytes.len() < bytes_max => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(too_large),
            Err(_) => return Err(Refusal::new(Status::BadRequest, "this is not an HTTP request")),
        };
        // RFC 9112 §2.2 lets a recipient take a bare LF for a line's end; those that do and those that do not see
        // different requests.
        let has_bare_end = |at: usize| at == 0 || bytes[at - 1] != b'\r';
        if memchr::memchr_iter(b'\n', &bytes[..length]).any(has_bare_end) {
            return Err(Refusal::new(Status::BadRequest, "lines end with CR LF"));
        }
        let is_http_1_0 = parsed.version == Some(0);
        let method = parsed.method.unwrap_or("");
        let Some((authority, path, query)) = target_parts(parsed.path.unwrap_or("")) else {
            return Err(Refusal::new(Status::BadRequest, "the target must be a path, or a URL of HTTP"));
        };
        let header_count = parsed.headers.len();
        let framing = Framing::Length(0);
        let mut request =
            Self { method, path, query, headers, header_count, authority, framing, is_http_1_0 };
        request.framing = request.check_framing()?;
        Ok(Some((request, length)))
    }

    /// Refuses ambiguous framing (RFC 9112 §6.3: a disagreement enables request smuggling), and returns the body's
    /// framing.
    fn check_framing(&self) -> Result<Framing, Refusal> {
        // RFC 9112 §3.2: exactly one Host, and a valid one; before HTTP/1.1 there need be none.
        let mut hosts = self.values("host");
        let is_good = match (hosts.next(), hosts.next()) {
            (Some(host), None) => authority::split(&host).is_some(),
            (None, _) => self.is_http_1_0,
            (Some(_), Some(_)) => false,
        };
        if !is_good {
            return Err(Refusal::new(Status::BadRequest, "exactly one Host header is needed"));
        }
        let unclear = Refusal::new(Status::BadRequest, "the body's length is not clear");
        let mut lengths = self.values("content-length");
        let mut codings = self.values("transfer-encoding");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Framing::Length(0)),
            // RFC 9112 §6.1 warns of both together, and of chunks in HTTP/1.0, which a proxy may not know.
            (Some(_), Some(_)) => Err(unclear),
            (Some(_), None) if self.is_http_1_0 => Err(unclear),
            // Only one coding, once, is accepted: others would have to be decoded here, too.
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") && codings.next().is_none() => {
                Ok(Framing::Chunked)
            }
            (Some(_), None) => Err(unclear),
            (None, Some(digits)) => {
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                match digits.parse() {
                    Ok(length) if is_number && lengths.next().is_none() => Ok(Framing::Length(length)),
                    _ => Err(unclear),
                }
            }
        }
    }

    /// The framing of the body.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the request has version HTTP/1.0: it may have no `Host`, is the connection's last unless it states
    /// otherwise, and cannot become a WebSocket.
    pub fn is_http_1_0(&self) -> bool {
        self.is_http_1_0
    }

    /// Whether the client sends no other request on this connection (RFC 9112 §9.3).
    pub fn is_last(&self) -> bool {
        self.has_token("connection", "close")
            || self.is_http_1_0 && !self.has_token("connection", "keep-alive")
    }

    /// The host of the request, with the port if one was written: an absolute target takes precedence over `Host`
    /// (RFC 9112 §3.2.2). Empty where neither names one.
    pub fn host(&self) -> &'a str {
        let host = || {
            let host = self.named("host").next()?;
            std::str::from_utf8(trim(host.value)).ok()
        };
        self.authority.or_else(host).unwrap_or("")
    }

    /// Whether the client waits for an interim response 100 before it sends the body (RFC 9110 §10.1.1); false for
    /// HTTP/1.0, which has no such response.
    ///
    /// # Errors
    /// 417 for any other expectation.
    pub fn expects_continue(&self) -> Result<bool, Refusal> {
        let mut expected = self.values("expect").peekable();
        let is_any = expected.peek().is_some();
        if expected.all(|one| one.eq_ignore_ascii_case("100-continue")) {
            Ok(is_any && !self.is_http_1_0)
        } else {
            Err(Refusal::new(Status::ExpectationFailed, "nothing can be expected here but 100-continue"))
        }
    }

    /// The value of a query field, decoded (URL standard, `application/x-www-form-urlencoded`).
    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        query_value(self.query?, name)
    }

    /// The value of a cookie, without optional quotes around it (RFC 6265 §4.1.1, §4.2.1).
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.values("cookie").find_map(|line| {
            let pairs = line.split(';').filter_map(|pair| pair.trim_matches(BLANK).split_once('='));
            let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            Some(inner.unwrap_or(value).to_owned())
        })
    }

    fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s httparse::Header<'a>> + 's {
        self.headers[..self.header_count].iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
    }

    /// Values of every header of that name (case-insensitive), without blanks around them. None is skipped: bytes
    /// that are not UTF-8 are read as U+FFFD.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Cow<'a, str>> + 's {
        self.named(name).map(|header| String::from_utf8_lossy(trim(header.value)))
    }

    /// The first header of that name (case-insensitive), decoded as [`Request::values`] does.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        self.values(name).next()
    }

    /// The names of all headers, as sent.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.headers[..self.header_count].iter().map(|header| header.name)
    }

    /// Whether a comma-separated header contains `token` (case-insensitive), in any of its lines.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let is_it = |one: &str| one.trim_matches(BLANK).eq_ignore_ascii_case(token);
        self.values(name).any(|value| value.split(',').any(is_it))
    }
}

/// Optional whitespace around a value (RFC 9110 §5.6.3): other blanks belong to the value.
const BLANK: [char; 2] = [' ', '\t'];

fn trim(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// Authority, path and query of a target that is a path, or an absolute URL, which servers must accept (RFC 9112
/// §3.2.1, §3.2.2). `None` for the forms of requests to proxies, and for URLs without a host or with a user.
fn target_parts(target: &str) -> Option<(Option<&str>, &str, Option<&str>)> {
    let (authority, rest) = if target.starts_with('/') {
        (None, target)
    } else {
        let (scheme, rest) = target.split_once("://")?;
        let is_http = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let has_host = authority::split(authority).is_some_and(|(host, _)| !host.is_empty());
        if !is_http || !has_host || rest.contains('#') {
            return None;
        }
        (Some(authority), rest)
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    Some((authority, if path.is_empty() { "/" } else { path }, query))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] = b"GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\r\n";

    fn status(bytes: &[u8]) -> Option<Status> {
        Request::parse(bytes, 8192).err().map(|refusal| refusal.status)
    }

    #[test]
    fn a_head_is_borrowed_apart() {
        let bytes = [HEAD, b"rest"].concat();
        let (request, length) = Request::parse(&bytes, 8192).unwrap().unwrap();
        assert_eq!((request.method, request.path, request.query), ("GET", "/chat", Some("room=1")));
        assert_eq!(length, HEAD.len());
        assert!(request.has_token("connection", "upgrade") && !request.has_token("connection", "up"));
        assert_eq!(request.header("HOST").as_deref(), Some("a"));
    }

    #[test]
    fn every_prefix_waits_for_more() {
        for end in 0..HEAD.len() {
            assert!(Request::parse(&HEAD[..end], 8192).unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn limits_hold() {
        assert_eq!(Request::parse(HEAD, 20).err().map(|r| r.status), Some(Status::HeadTooLarge));
        assert_eq!(Request::parse(&HEAD[..30], 30).err().map(|r| r.status), Some(Status::HeadTooLarge));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(HEADER_COUNT_MAX));
        assert_eq!(status(many.as_bytes()), Some(Status::HeadTooLarge));
    }

    #[test]
    fn shapes_that_smuggle_are_refused() {
        for bad in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tfolded\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "GET a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1].evil.com\r\n\r\n",
            "GET //a/ HTTP/1.1 \r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET /\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{e9}\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "GET / HTTP/1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\u{a0}\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \u{2003}5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
            "\x16\x03\x01\x02\x00",
        ] {
            assert_eq!(status(bad.as_bytes()), Some(Status::BadRequest), "{bad:?}");
        }
        // Bytes that are not UTF-8.
        for name in ["Transfer-Encoding", "Host", "Content-Length"] {
            let head =
                [format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: ").as_bytes(), b"\xff\r\n\r\n"].concat();
            assert_eq!(status(&head), Some(Status::BadRequest), "{name}");
        }
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), None);
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost:\r\n\r\n"), None, "RFC 9112 \u{a7}3.2");
        assert_eq!(status(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), None, "RFC 9112 §2.2");
    }

    #[test]
    fn bodies_whose_framing_is_not_clear_are_refused() {
        for bad in [
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\u{a0}\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(status(bad.as_bytes()), Some(Status::BadRequest), "{bad:?}");
        }
    }

    #[test]
    fn http_1_0_needs_no_host_and_ends_the_connection_unless_it_says_otherwise() {
        let parsed = |version: &str, lines: &str| {
            let head = format!("POST /a {version}\r\n{lines}Content-Length: 7\r\n\r\n");
            let (request, _) = Request::parse(head.as_bytes(), 8192).unwrap().unwrap();
            assert_eq!(request.framing(), Framing::Length(7));
            let waits = request.expects_continue().map_err(|refusal| refusal.status);
            (request.host().to_owned(), request.is_http_1_0(), request.is_last(), waits)
        };
        for (version, lines, host, is_last) in [
            ("HTTP/1.0", "", "", true),
            ("HTTP/1.0", "Host: b\r\n", "b", true),
            ("HTTP/1.0", "Connection: Keep-Alive\r\n", "", false),
            ("HTTP/1.0", "Connection: x, keep-alive\r\n", "", false),
            ("HTTP/1.0", "Connection: keep-alive, close\r\n", "", true),
            ("HTTP/1.0", "Connection: keep-alive\r\nConnection: close\r\n", "", true),
            ("HTTP/1.0", "Keep-Alive: timeout=5\r\n", "", true),
            ("HTTP/1.1", "Host: b\r\n", "b", false),
            ("HTTP/1.1", "Host: b\r\nConnection: keep-alive, close\r\n", "b", true),
        ] {
            let is_http_1_0 = version == "HTTP/1.0";
            let expected = (host.to_owned(), is_http_1_0, is_last, Ok(false));
            assert_eq!(parsed(version, lines), expected, "{version} {lines}");
        }
        // RFC 9110 §10.1.1: no 100 for HTTP/1.0.
        assert_eq!(parsed("HTTP/1.0", "Expect: 100-continue\r\n").3, Ok(false));
        assert_eq!(parsed("HTTP/1.0", "Expect: more\r\n").3, Err(Status::ExpectationFailed));
    }

    #[test]
    fn a_refusal_is_a_whole_response() {
        let mut out = Vec::new();
        Refusal::new(Status::MethodNotAllowed, "use GET").write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 8\r\nConnection: close\r\n\r\nuse GET\n"), "{text}");
    }

    #[test]
    fn queries_cookies_and_lengths_are_read() {
        let text = "POST /a?x=1&cf_connect=%7B%22id%22%3A+1%7D HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\
                    Cookie: a=b; token=t=1 ;c\r\nCookie: d=e\r\n\r\n";
        let (request, _) = Request::parse(text.as_bytes(), 8192).unwrap().unwrap();
        assert_eq!(request.query_value("cf_connect").as_deref(), Some(r#"{"id": 1}"#));
        assert_eq!((request.query_value("y"), request.framing()), (None, Framing::Length(7)));
        for (query, expected) in [
            ("a=%zz", None),
            ("a=1%", None),
            ("a=1%4", None),
            ("a=%41%", None),
            ("%zz=1&a=2", Some("2")),
            ("a=%zz&a=2", Some("2")),
            ("b=%&a=%41%4a+%25", Some("AJ %")),
            ("&&a", Some("")),
        ] {
            assert_eq!(query_value(query, "a").as_deref(), expected, "{query}");
        }
        let cookies = ["a", "token", "c", "d"].map(|name| request.cookie(name));
        assert_eq!(cookies.each_ref().map(Option::as_deref), [Some("b"), Some("t=1"), None, Some("e")]);
    }

    /// Calls `ask` with a request that has these header lines behind its `Host`.
    fn asked<R>(lines: &[u8], ask: impl FnOnce(&Request<'_>) -> R) -> R {
        let head = [b"POST /a HTTP/1.1\r\nHost: own\r\n", lines, b"\r\n"].concat();
        ask(&Request::parse(&head, 8192).unwrap().unwrap().0)
    }

    #[test]
    fn what_cannot_be_read_is_there() {
        asked(
            b"Cookie: theme=\xff; token=good\r\nCookie: other=\xfe\r\nX-A: \xff\r\nX-B: caf\xc3\xa9\r\n",
            |request| {
                assert_eq!(request.cookie("token").as_deref(), Some("good"));
                assert_eq!(request.cookie("theme").as_deref(), Some("\u{fffd}"));
                assert_eq!(request.header("x-a").as_deref(), Some("\u{fffd}"));
                assert_eq!(request.header("x-b").as_deref(), Some("caf\u{e9}"));
                assert_eq!(request.header("x-c"), None);
            },
        );
        // An unreadable value counts as another value of the same header.
        let count = asked(b"A: \xff\r\nA: 1\r\n", |request| request.values("a").count());
        assert_eq!(count, 2);
    }

    #[test]
    fn cookies_may_stand_in_quotes() {
        let table: [(&[u8], Option<&str>); 8] = [
            (b"token=\"a.b.c\"", Some("a.b.c")),
            (b"x=\"1\"; token=\"a\" ; y=2", Some("a")),
            (b"token=\"\"", Some("")),
            (b"token=", Some("")),
            // Quotes that do not enclose the value belong to it.
            (b"token=\"a", Some("\"a")),
            (b"token=a\"", Some("a\"")),
            (b"token=\"", Some("\"")),
            (b"Token=a", None),
        ];
        for (line, wanted) in table {
            let cookie = asked(&[b"Cookie: ", line, b"\r\n"].concat(), |request| request.cookie("token"));
            assert_eq!(cookie.as_deref(), wanted, "{line:?}");
        }
    }

    #[test]
    fn a_target_may_be_a_whole_url_and_its_host_goes_before_the_other() {
        for (target, wanted) in [
            ("/a?b=http://c", ("/a", Some("b=http://c"), "own")),
            ("http://example.com/a/b?c=d?e", ("/a/b", Some("c=d?e"), "example.com")),
            ("HTTPS://example.com:8443", ("/", None, "example.com:8443")),
            ("http://[::1]:80?a", ("/", Some("a"), "[::1]:80")),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: own\r\n\r\n");
            let (request, _) = Request::parse(head.as_bytes(), 8192).unwrap().unwrap();
            assert_eq!((request.path, request.query, request.host()), wanted, "{target}");
        }
    }

    #[test]
    fn a_body_may_come_in_chunks_and_be_announced() {
        let framing = |lines: &str| asked(lines.as_bytes(), |request| request.framing());
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
        assert_eq!(framing("Transfer-Encoding:\t chunked \r\n"), Framing::Chunked);
        assert_eq!(framing(""), Framing::Length(0));
        let expects = |lines: &str| {
            asked(lines.as_bytes(), |request| request.expects_continue().map_err(|refusal| refusal.status))
        };
        assert_eq!(expects(""), Ok(false));
        assert_eq!(expects("Expect: 100-Continue\r\n"), Ok(true));
        assert_eq!(expects("Expect: 100-continue, more\r\n"), Err(Status::ExpectationFailed));
        assert_eq!(expects("Expect: 100-continue\r\nExpect: \u{fc}\r\n"), Err(Status::ExpectationFailed));
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Request::parse(&bytes, 200).map_or(true, |whole| whole.is_none_or(|(_, length)| length <= 200)));
        }
    }
}
