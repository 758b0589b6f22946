//! Requests that are answered outside the shards: where they are made, who may make them, and the wait for the answer.
//!
//! A shard knows paths, keys, and that there is a desk; what a request means is known there alone. One request of a
//! connection is out at a time: what comes behind it waits, here and in the kernel.
//!
//! Invariant: a request with a wrong key, or without one, is not handed over.

use std::borrow::Cow;
use std::fmt;

use subtle::{Choice, ConstantTimeEq as _};

use super::head::Standing;
use crate::proto::authority;
use crate::proto::http::{Refusal, Request, Status, connection_line, is_of_proxy};

/// What is answered outside, and how much of it at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Where. The first that has a path counts.
    pub table: Vec<Route>,
    /// Requests with a right key that may be out at a time, per shard; beyond it, 503.
    pub requests_max: usize,
    /// Headers that are handed over with a request, in lower case.
    pub headers: Vec<&'static str>,
}

/// Where requests are made that are answered outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// A path, without a slash at its end.
    pub path: String,
    /// Whether it is for all below that path as well.
    pub is_tree: bool,
    /// Who may make them.
    pub access: Access,
    /// Bytes of a request's body; beyond it, 413.
    pub body_bytes_max: usize,
}

/// Who may make a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Whoever has one of these keys: `X-API-Key: KEY`, `Authorization: apikey KEY`, or `?api_key=KEY`.
    ApiKey(Keys),
    /// Whoever has one of these keys: `Authorization: Bearer KEY` (RFC 6750 § 2.1).
    Bearer(Keys),
    /// Programs of this machine, where nobody else reaches the listeners; no page of a browser, and nobody for whom a
    /// proxy speaks.
    ThisMachine,
    /// Nobody: the answer is 404, and says this.
    Elsewhere(String),
}

/// Keys, of which any is right. `Debug` does not show them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<String>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Keys {
    /// These keys. An empty one would be one that everybody has, and is none.
    pub fn new(keys: impl IntoIterator<Item = String>) -> Self {
        Self(keys.into_iter().filter(|key| !key.is_empty()).collect())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares with all keys, each in a time that tells nothing of it but its length.
    pub fn has(&self, key: &[u8]) -> bool {
        let same = |known: &String| known.as_bytes().ct_eq(key);
        self.0.iter().map(same).fold(Choice::from(0), |found, same| found | same).into()
    }
}

/// A whole request, for whoever answers it. `Debug` does not show the query, which may have a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlainRequest {
    /// `POST`, for example.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The query, as it was written.
    pub query: Option<String>,
    /// Those of [`Routes::headers`] that there are.
    pub headers: Vec<(&'static str, String)>,
    /// The body, without what is around chunks.
    pub body: Vec<u8>,
    /// It came with a right key, or from a program of this machine where none is asked for.
    pub is_trusted: bool,
    /// The key stood in the query, where logs of proxies may keep it.
    pub has_key_in_query: bool,
}

impl fmt::Debug for PlainRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, body, is_trusted, .. } = self;
        write!(f, "{method} {path} ({} bytes, trusted: {is_trusted})", body.len())
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainResponse {
    /// The status, and the header lines but for those on length and connection: `200 OK\r\nContent-Type: …\r\n`.
    pub head: Cow<'static, str>,
    /// The body.
    pub body: Vec<u8>,
}

impl PlainResponse {
    /// A short text.
    pub fn text(status: &'static str, text: &str) -> Self {
        let head = format!("{status}\r\nContent-Type: text/plain; charset=utf-8\r\n");
        Self { head: head.into(), body: text.as_bytes().to_vec() }
    }

    /// For who comes while too many requests are out.
    pub fn busy(retry_after_s: u64) -> Self {
        let mut response = Self::text("503 Service Unavailable", "too many requests are waiting\n");
        response.head.to_mut().push_str(&format!("Retry-After: {retry_after_s}\r\n"));
        response
    }

    fn put(&self, connection: &str, has_body: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(format!("Content-Length: {}\r\n{connection}\r\n", self.body.len()).as_bytes());
        if has_body {
            out.extend_from_slice(&self.body);
        }
    }
}

/// A request that is out, and what waits behind it.
#[derive(Debug)]
pub struct Away {
    /// What came behind the request.
    rest: Vec<u8>,
    /// No other request is taken after it.
    is_last: bool,
    /// The answer has no body, whatever it says (RFC 9110 § 9.3.2).
    is_head: bool,
    is_http_1_0: bool,
    standing: Standing,
    /// What is said when nobody answers: the key is wrong.
    denied: Option<PlainResponse>,
}

/// What a connection waits for that is not its client's to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The answer of the desk.
    Answer,
    /// The moment at which it is told that its key is wrong.
    Moment,
}

/// Why a request is not handed over.
#[derive(Debug)]
pub(super) enum Denied {
    /// Its key is wrong, or missing.
    Key(PlainResponse),
    /// Nobody is served there.
    Elsewhere(String),
    /// Another reason.
    Refused(Refusal),
}

impl Away {
    /// A request that is handed over.
    pub(super) fn handed(request: &Request<'_>, standing: Standing) -> Self {
        Self {
            rest: Vec::new(),
            is_last: request.is_last(),
            is_head: request.method == "HEAD",
            is_http_1_0: request.is_http_1_0(),
            standing,
            denied: None,
        }
    }

    /// A request with a wrong key. Where its body is not whole it is the connection's last.
    pub(super) fn denied(
        request: &Request<'_>,
        standing: Standing,
        response: PlainResponse,
        is_whole: bool,
    ) -> Self {
        let handed = Self::handed(request, standing);
        Self { is_last: handed.is_last || !is_whole, denied: Some(response), ..handed }
    }

    /// Whose connection it is, as far as its requests have shown.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// What earlier requests have shown goes on to hold.
    pub(super) fn inherit(&mut self, standing: Standing) {
        self.standing = self.standing.max_of(standing);
    }

    /// Keeps what comes behind the request.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.rest.capacity()
    }

    pub(super) fn wait(&self) -> Wait {
        if self.denied.is_some() { Wait::Moment } else { Wait::Answer }
    }

    /// No request is taken after this one.
    pub(super) fn end(&mut self) {
        self.is_last = true;
    }

    /// Writes the answer; `None` for the one that is known already. Returns what came behind the request, and whether it
    /// is to be looked at.
    pub(super) fn answer(self, response: Option<&PlainResponse>, out: &mut Vec<u8>) -> (Vec<u8>, bool) {
        if let Some(response) = response.or(self.denied.as_ref()) {
            response.put(connection_line(self.is_last, self.is_http_1_0), !self.is_head, out);
        }
        (self.rest, !self.is_last)
    }
}

impl Routes {
    /// Where a request to this path is made, if it is answered outside. Slashes that stand twice count once: the answer is
    /// for whoever answers.
    pub fn find(&self, path: &str) -> Option<&Route> {
        if !path.contains("//") {
            return self.table.iter().find(|route| route.has(path));
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let path = format!("/{}", parts.join("/"));
        self.table.iter().find(|route| route.has(&path))
    }
}

impl Route {
    fn has(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || self.is_tree && rest.starts_with('/'))
    }

    /// Whether a request may be handed over.
    pub(super) fn admit(&self, request: &Request<'_>) -> Result<(), Denied> {
        match &self.access {
            Access::Anyone => Ok(()),
            Access::ApiKey(keys) => {
                let is_right = |key: Option<Cow<'_, str>>| key.is_some_and(|key| keys.has(key.as_bytes()));
                if is_right(api_key(request)) || is_right(request.query_value("api_key")) {
                    return Ok(());
                }
                Err(Denied::Key(PlainResponse::text("401 Unauthorized", "a key is needed: X-API-Key\n")))
            }
            Access::Bearer(keys) => {
                if credentials(request, "bearer").is_some_and(|key| keys.has(key.as_bytes())) {
                    return Ok(());
                }
                let text = "a key is needed: Authorization: Bearer KEY\n";
                Err(Denied::Key(PlainResponse::text("401 Unauthorized", text)))
            }
            Access::ThisMachine => check_machine(request).map_err(Denied::Refused),
            Access::Elsewhere(place) => Err(Denied::Elsewhere(place.clone())),
        }
    }

    /// Whether whoever is admitted here has shown that it may ask.
    pub(super) fn is_trusting(&self) -> bool {
        matches!(self.access, Access::ApiKey(_) | Access::Bearer(_) | Access::ThisMachine)
    }

    /// Whether it is not for a header that the request is admitted.
    fn has_key_in_query(&self, request: &Request<'_>) -> bool {
        match &self.access {
            Access::ApiKey(keys) => !api_key(request).is_some_and(|key| keys.has(key.as_bytes())),
            Access::Anyone | Access::Bearer(_) | Access::ThisMachine | Access::Elsewhere(_) => false,
        }
    }

    /// The request as it is handed over.
    pub(super) fn plain(&self, request: &Request<'_>, body: &[u8], headers: &[&'static str]) -> PlainRequest {
        let kept = |name: &&'static str| Some((*name, request.header(name)?.into_owned()));
        PlainRequest {
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            query: request.query.map(str::to_owned),
            headers: headers.iter().filter_map(kept).collect(),
            body: body.to_vec(),
            is_trusted: self.is_trusting(),
            has_key_in_query: self.has_key_in_query(request),
        }
    }
}

/// The key in a header.
fn api_key<'r>(request: &Request<'r>) -> Option<Cow<'r, str>> {
    request.header("x-api-key").or_else(|| credentials(request, "apikey"))
}

/// `Authorization: SCHEME KEY`.
fn credentials<'r>(request: &Request<'r>, wanted: &str) -> Option<Cow<'r, str>> {
    let value = request.header("authorization")?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| key.trim().to_owned().into())
}

/// Whether a program of this machine asks, as far as a request can tell: a page of another site says so by its `Origin`,
/// one whose name was made to mean this machine by its `Host`, and what a form sends is no JSON.
fn check_machine(request: &Request<'_>) -> Result<(), Refusal> {
    let forbidden = |why| Err(Refusal::new(Status::Forbidden, why));
    // What nginx's `proxy_pass` sends if nobody tells it more: HTTP/1.0, and its own idea of the host.
    if request.is_http_1_0() {
        return forbidden("requests by HTTP/1.0 need a key");
    }
    let host = request.host();
    if !authority::is_loopback(host) {
        return forbidden("without a key, the Host header must be a loopback address or localhost");
    }
    let is_own = |origin: &str| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    };
    if !request.values("origin").all(|origin| is_own(&origin)) {
        return forbidden("requests from pages of other origins are refused");
    }
    if request.names().any(is_of_proxy) {
        return forbidden("requests through a proxy need a key");
    }
    if request.method == "POST" && !is_json(request) {
        return Err(Refusal::new(Status::UnsupportedMediaType, "the content type must be application/json"));
    }
    Ok(())
}

fn is_json(request: &Request<'_>) -> bool {
    let is_it = |kind: &str| kind.trim().eq_ignore_ascii_case("application/json");
    request.header("content-type").is_some_and(|value| value.split(';').next().is_some_and(is_it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, is_tree: bool, access: Access) -> Route {
        Route { path: path.to_owned(), is_tree, access, body_bytes_max: 10 }
    }

    fn keys(keys: &[&str]) -> Keys {
        Keys::new(keys.iter().map(|&key| key.to_owned()))
    }

    /// The status with which a request is refused, or 200.
    fn status(access: Access, target: &str, lines: &str) -> u16 {
        let head = format!("POST {target} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n{lines}\r\n");
        let (request, _) = Request::parse(head.as_bytes(), 8192).unwrap().unwrap();
        let line = |line: &str| line[..3].parse().unwrap();
        match route("/api", true, access).admit(&request) {
            Ok(()) => 200,
            Err(Denied::Key(response)) => line(&response.head),
            Err(Denied::Refused(refusal)) => line(refusal.status.line()),
            Err(Denied::Elsewhere(_)) => 404,
        }
    }

    #[test]
    fn the_first_route_that_has_a_path_counts() {
        let table = vec![route("/health", false, Access::Anyone), route("/api", true, Access::ThisMachine)];
        let routes = Routes { table, ..Routes::default() };
        for (path, found) in [
            ("/health", Some("/health")),
            ("/health/", None),
            ("/healthy", None),
            ("/api", Some("/api")),
            ("/api/publish", Some("/api")),
            ("/apis", None),
            ("/", None),
        ] {
            assert_eq!(routes.find(path).map(|route| route.path.as_str()), found, "{path}");
        }
    }

    #[test]
    fn one_of_the_keys_opens_and_no_other() {
        let api = |target, lines| status(Access::ApiKey(keys(&["one", "two"])), target, lines);
        for (target, lines, expected) in [
            ("/api/a", "X-API-Key: two\r\n", 200),
            ("/api/a", "Authorization: ApiKey  one\r\n", 200),
            ("/api/a?api_key=one", "", 200),
            ("/api/a?api_key=on", "", 401),
            ("/api/a?api_key=one", "X-API-Key: wrong\r\n", 200),
            ("/api/a?api_key=", "", 401),
            ("/api/a", "X-API-Key: \r\n", 401),
            ("/api/a", "X-API-Key: onee\r\n", 401),
            ("/api/a", "Authorization: one\r\n", 401),
            ("/api/a", "Authorization: Bearer one\r\n", 401),
            ("/api/a", "", 401),
        ] {
            assert_eq!(api(target, lines), expected, "{target} {lines}");
        }
        let bearer = |lines| status(Access::Bearer(keys(&["one"])), "/metrics", lines);
        assert_eq!(
            ["Authorization: Bearer one\r\n", "Authorization: bearer one\r\n", "X-API-Key: one\r\n", ""]
                .map(bearer),
            [200, 200, 401, 401]
        );
        assert_eq!(status(Access::ApiKey(keys(&["", ""])), "/api", "X-API-Key: \r\n"), 401);
        assert!(keys(&[""]).is_empty() && !format!("{:?}", keys(&["secret"])).contains("secret"));
    }

    #[test]
    fn without_a_key_a_program_of_this_machine_may_ask_and_nothing_else() {
        const JSON: &str = "Content-Type: application/json\r\n";
        for (lines, expected) in [
            ("", 200),
            ("Origin: http://127.0.0.1:8000\r\n", 200),
            ("Origin: http://127.0.0.1:9000\r\n", 403),
            ("Origin: http://127.0.0.1:8000\r\nOrigin: https://evil.example\r\n", 403),
            ("X-Real-IP: 10.0.0.1\r\n", 403),
            ("X-Forwarded-Proto: https\r\n", 403),
            ("X-Forwarded: a\r\n", 403),
            ("X-Forwarded-Server: a\r\n", 403),
            ("x-forwarded-scheme: http\r\n", 403),
            ("Forwarded: for=10.0.0.1\r\n", 403),
            ("Via: 1.1 a\r\n", 403),
            ("CF-Connecting-IP: 10.0.0.1\r\n", 403),
            ("True-Client-IP: 10.0.0.1\r\n", 403),
            ("X-For: a\r\n", 200),
        ] {
            assert_eq!(status(Access::ThisMachine, "/api/a", &[JSON, lines].concat()), expected, "{lines}");
        }
        assert_eq!(status(Access::ThisMachine, "/api/a", ""), 415);
        assert_eq!(status(Access::ThisMachine, "http://evil.example/api/a", JSON), 403);
        assert_eq!(status(Access::Elsewhere(String::new()), "/api/a", ""), 404);
    }

    #[test]
    fn who_does_not_say_to_whom_it_speaks_is_not_of_this_machine() {
        let forbidden = Some(Status::Forbidden);
        for (version, host, expected) in [
            ("1.0", "", forbidden),
            ("1.0", "Host: 127.0.0.1\r\n", forbidden),
            ("1.1", "Host:\r\n", forbidden),
            ("1.1", "Host: 93.184.216.34\r\n", forbidden),
            ("1.1", "Host: 0.0.0.0\r\n", forbidden),
            ("1.1", "Host: example.com\r\n", forbidden),
            ("1.1", "Host: [::1]\r\n", None),
            ("1.1", "Host: [::ffff:127.0.0.1]:80\r\n", None),
            ("1.1", "Host: LocalHost:80\r\n", None),
        ] {
            let head = format!("POST /api HTTP/{version}\r\n{host}Content-Type: application/json\r\n\r\n");
            let (request, _) = Request::parse(head.as_bytes(), 8192).unwrap().unwrap();
            assert_eq!(
                check_machine(&request).err().map(|refusal| refusal.status),
                expected,
                "{version} {host}"
            );
        }
    }

    #[test]
    fn an_answer_is_written_as_its_request_asks() {
        let written = |method: &str, lines: &str| {
            let head = format!("{method} /api HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            let (request, _) = Request::parse(head.as_bytes(), 8192).unwrap().unwrap();
            let mut away = Away::handed(&request, Standing::Trusted);
            away.keep(b"next");
            let mut out = Vec::new();
            let rest = away.answer(Some(&PlainResponse::text("200 OK", "hi")), &mut out);
            (String::from_utf8(out).unwrap(), rest)
        };
        let (text, rest) = written("POST", "");
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("Content-Length: 2\r\n\r\nhi"),
            "{text}"
        );
        assert_eq!(rest, (b"next".to_vec(), true));
        let (text, (_, goes_on)) = written("POST", "Connection: close\r\n");
        assert!(text.contains("Connection: close\r\n") && !goes_on, "{text}");
        let (text, _) = written("HEAD", "");
        assert!(text.ends_with("Content-Length: 2\r\n\r\n"), "{text}");
    }
}
