//! HTTP/1.1 request heads, and the short responses that refuse them (RFC 9112).
//!
//! Only heads: how long a body is, is read here, and whether it is wanted is the endpoint's to say. Bodies of unknown
//! length (chunked) are refused: no client of ours sends them.

use std::borrow::Cow;
use std::fmt;

/// Most headers that a request may carry; beyond it, 431.
pub const HEADER_COUNT_MAX: usize = 64;

/// When to come back, where nobody says otherwise.
const RETRY_AFTER_S: u64 = 5;

/// The statuses with which a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 400: not HTTP, or a rule of the handshake is broken.
    BadRequest,
    /// 403: the endpoint does not want this client.
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
            Self::UpgradeRequired => "426 Upgrade Required",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    /// Header lines that this status must carry (RFC 9110 §15.5.6, §15.5.22; RFC 6455 §4.4).
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
            | Self::HeadTooLarge => "",
        }
    }
}

/// Why a request is refused: a status, and one sentence for the person who looks at the response.
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
        self.write_with(RETRY_AFTER_S, out);
    }

    /// The same; one for want of room says after how many seconds to try again (RFC 9110 §10.2.3).
    pub fn write_with(&self, retry_after_s: u64, out: &mut Vec<u8>) {
        let (line, headers, length) = (self.status.line(), self.status.headers(), self.reason.len() + 1);
        let is_for_want_of_room = self.status == Status::Unavailable;
        let retry =
            if is_for_want_of_room { format!("Retry-After: {retry_after_s}\r\n") } else { String::new() };
        out.extend_from_slice(
            format!(
                "HTTP/1.1 {line}\r\n{headers}{retry}Content-Type: text/plain\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{}\n",
                self.reason
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

/// A request head, borrowed from the bytes it was parsed from.
#[derive(Debug)]
pub struct Request<'a> {
    /// As sent; methods are case-sensitive.
    pub method: &'a str,
    /// The target up to the question mark.
    pub path: &'a str,
    /// The target behind the question mark.
    pub query: Option<&'a str>,
    headers: [httparse::Header<'a>; HEADER_COUNT_MAX],
    header_count: usize,
    body_length: usize,
}

impl<'a> Request<'a> {
    /// Parses a head from the start of `bytes`; `Ok(None)` when its end has not arrived. Returns it and its length.
    ///
    /// # Errors
    /// 400 for what is not HTTP/1.1 or whose body has no clear length, 431 beyond `bytes_max` bytes or [`HEADER_COUNT_MAX`] headers.
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
        if parsed.version != Some(1) {
            return Err(Refusal::new(Status::BadRequest, "HTTP/1.1 is needed"));
        }
        // The other forms (RFC 9112 §3.2) are for proxies; one that was sent here would name the host twice.
        if !parsed.path.is_some_and(|target| target.starts_with('/')) {
            return Err(Refusal::new(Status::BadRequest, "the target must be a path"));
        }
        let (method, target) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let header_count = parsed.headers.len();
        let mut request = Self { method, path, query, headers, header_count, body_length: 0 };
        request.body_length = request.check_framing()?;
        Ok(Some((request, length)))
    }

    /// Refuses ambiguous framing (RFC 9112 §6.3: a disagreement here is how requests are smuggled), and returns the
    /// length of the body.
    fn check_framing(&self) -> Result<usize, Refusal> {
        // By name, whatever the value is: what is no text here may be something elsewhere.
        if self.named("transfer-encoding").next().is_some() {
            return Err(Refusal::new(Status::BadRequest, "a body needs a Content-Length here"));
        }
        // RFC 9112 §3.2: exactly one Host.
        if self.named("host").count() != 1 || self.values("host").count() != 1 {
            return Err(Refusal::new(Status::BadRequest, "exactly one Host header is needed"));
        }
        let unclear = Refusal::new(Status::BadRequest, "the body's length is not clear");
        let mut lengths = self.named("content-length");
        let Some(length) = lengths.next() else { return Ok(0) };
        let digits = std::str::from_utf8(length.value).unwrap_or("").trim();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse() {
            Ok(length) if is_number && lengths.next().is_none() => Ok(length),
            _ => Err(unclear),
        }
    }

    /// Bytes of the body behind the head.
    pub fn body_length(&self) -> usize {
        self.body_length
    }

    /// The value of a field of the query, decoded (URL standard, `application/x-www-form-urlencoded`).
    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        form_urlencoded::parse(self.query?.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value of a cookie (RFC 6265 §4.2.1).
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let pairs = self.values("cookie").flat_map(|line| line.split(';'));
        pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s httparse::Header<'a>> + 's {
        self.headers[..self.header_count].iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
    }

    /// Values of every header of that name (case-insensitive), trimmed; those that are not text are passed over.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a str> + 's {
        self.named(name).filter_map(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    }

    /// The first header of that name (case-insensitive).
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Whether a comma-separated header holds `token` (case-insensitive), over all its lines.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name).flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    }
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
        assert_eq!(request.header("HOST"), Some("a"));
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
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
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
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
            "\x16\x03\x01\x02\x00",
        ] {
            assert_eq!(status(bad.as_bytes()), Some(Status::BadRequest), "{bad:?}");
        }
        // Bytes that are no text.
        for name in ["Transfer-Encoding", "Host", "Content-Length"] {
            let head =
                [format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: ").as_bytes(), b"\xff\r\n\r\n"].concat();
            assert_eq!(status(&head), Some(Status::BadRequest), "{name}");
        }
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), None);
        assert_eq!(status(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), None, "RFC 9112 §2.2");
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
        assert_eq!((request.query_value("y"), request.body_length()), (None, 7));
        let cookies = ["a", "token", "c", "d"].map(|name| request.cookie(name));
        assert_eq!(cookies, [Some("b"), Some("t=1"), None, Some("e")]);
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Request::parse(&bytes, 200).map_or(true, |whole| whole.is_none_or(|(_, length)| length <= 200)));
        }
    }
}
