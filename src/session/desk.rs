//! Requests answered outside the shards: their paths, their access rules, and the wait for the answer.
//!
//! A shard knows only paths and keys; the control thread's desk interprets the requests. One request of a connection
//! is pending at a time: later input waits, here and in the kernel.
//!
//! Invariant: a request with a wrong or missing key is not forwarded.

use std::borrow::Cow;
use std::fmt;

use subtle::{Choice, ConstantTimeEq as _};

use super::head::Standing;
use super::polling::{Poll, PollAsk};
use crate::base::slots::Key;
use crate::proto::authority;
use crate::proto::http::{Refusal, Request, Status, connection_line, is_of_proxy};

/// Paths answered outside, and the limit of pending requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// The routes. The first match counts.
    pub table: Vec<Route>,
    /// Pending requests with a valid key, per shard; beyond it, 503.
    pub requests_max: usize,
    /// Headers that are forwarded with a request, in lower case.
    pub headers: Vec<&'static str>,
}

/// A route of requests that are answered outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// A path, without a slash at its end.
    pub path: String,
    /// Whether it includes all paths below.
    pub is_tree: bool,
    /// Access rule.
    pub access: Access,
    /// Maximum of bytes of a request's body; beyond it, 413.
    pub body_bytes_max: usize,
}

/// Access rule of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Clients with one of these keys: `X-API-Key: KEY`, `Authorization: apikey KEY`, or `?api_key=KEY`.
    ApiKey(Keys),
    /// Clients with one of these keys: `Authorization: Bearer KEY` (RFC 6750 § 2.1).
    Bearer(Keys),
    /// Programs of this machine, where the listeners are not reachable from elsewhere; no web pages, and no clients
    /// behind a proxy.
    ThisMachine,
    /// Nobody: the answer is 404 with this text.
    Elsewhere(String),
}

/// A list of valid keys. `Debug` does not show them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<String>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Keys {
    /// Makes a list of keys, without empty ones: those would admit everybody.
    pub fn new(keys: impl IntoIterator<Item = String>) -> Self {
        Self(keys.into_iter().filter(|key| !key.is_empty()).collect())
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares with all keys; the time of each comparison depends on the key's length only.
    pub fn has(&self, key: &[u8]) -> bool {
        let same = |known: &String| known.as_bytes().ct_eq(key);
        self.0.iter().map(same).fold(Choice::from(0), |found, same| found | same).into()
    }
}

/// A whole request in its forwarded form. `Debug` does not show the query, which may contain a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlainRequest {
    /// `POST`, for example.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The query, undecoded.
    pub query: Option<String>,
    /// The headers of the request that its route hands over.
    pub headers: Vec<(&'static str, String)>,
    /// The body, without chunk framing.
    pub body: Vec<u8>,
    /// Whether it came with a valid key, or from a program of this machine where no key is needed.
    pub is_trusted: bool,
    /// Whether the key was in the query, where logs of proxies may keep it.
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
    /// Status and header lines except for length and connection: `200 OK\r\nContent-Type: …\r\n`.
    pub head: Cow<'static, str>,
    /// The body.
    pub body: Vec<u8>,
}

impl PlainResponse {
    /// A response with a short text.
    pub fn text(status: &'static str, text: &str) -> Self {
        let head = format!("{status}\r\nContent-Type: text/plain; charset=utf-8\r\n");
        Self { head: head.into(), body: text.as_bytes().to_vec() }
    }

    /// The response while too many requests are pending.
    pub fn busy(retry_after_s: u64) -> Self {
        let mut response = Self::text("503 Service Unavailable", "too many requests are waiting\n");
        response.head.to_mut().push_str(&format!("Retry-After: {retry_after_s}\r\n"));
        response
    }

    fn put(&self, lines: &[&str], has_body: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(
            format!("Content-Length: {}\r\n{}\r\n", self.body.len(), lines.concat()).as_bytes(),
        );
        if has_body {
            out.extend_from_slice(&self.body);
        }
    }
}

/// A pending request, and the input behind it. Each poll that waits has one.
#[derive(Debug)]
pub struct Away {
    extra: Option<Box<Extra>>,
    /// The place of the session whose output is the answer, if `is_fetch`.
    session: Key,
    shard: u16,
    is_fetch: bool,
    /// Whether another session answers.
    is_poll: bool,
    /// Whether no other request is read after it.
    is_last: bool,
    /// Whether the answer is sent without its body (RFC 9110 § 9.3.2).
    is_head: bool,
    is_http_1_0: bool,
    standing: Standing,
}

/// The properties of a pending request that most do not have.
#[derive(Debug, Default)]
struct Extra {
    /// The input behind the request.
    rest: Vec<u8>,
    /// Header lines of the answer beside those of the response.
    lines: Box<str>,
    /// The answer to a wrong key, which is only delayed.
    denied: Option<PlainResponse>,
}

/// The event that a session waits for without input from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The desk's answer.
    Answer,
    /// The scheduled answer to a wrong key.
    Moment,
    /// The answer of a session without a socket, which has a deadline of its own.
    Poll,
}

/// The reason for which a request is not forwarded.
#[derive(Debug)]
pub(super) enum Denied {
    /// Its key is wrong or missing.
    Key(PlainResponse),
    /// The path is served elsewhere.
    Elsewhere(String),
    /// Another reason.
    Refused(Refusal),
}

impl Away {
    /// A forwarded request.
    pub(super) fn handed(request: &Request<'_>, standing: Standing) -> Self {
        Self {
            extra: None,
            session: Key::from_token(0),
            shard: 0,
            is_fetch: false,
            is_poll: false,
            is_last: request.is_last(),
            is_head: request.method == "HEAD",
            is_http_1_0: request.is_http_1_0(),
            standing,
        }
    }

    /// A request for a session without a socket. `cors`: header lines of the answer.
    pub(super) fn polling(request: &Request<'_>, cors: &str, poll: &Poll) -> Self {
        // A valid session id is as good as a key.
        let standing = if poll.place.is_some() { Standing::Trusted } else { Standing::New };
        let mut away = Self { is_poll: true, ..Self::handed(request, standing) };
        if let (Some((shard, session)), PollAsk::Fetch) = (poll.place, &poll.ask) {
            (away.shard, away.session, away.is_fetch) = (shard, session, true);
        }
        if !cors.is_empty() {
            away.extra.get_or_insert_default().lines = cors.into();
        }
        away
    }

    /// A request for a WebSocket that is to replace the polls of a session: a refusal ends the connection.
    pub(super) fn upgrading(request: &Request<'_>) -> Self {
        Self { is_poll: true, is_last: true, ..Self::handed(request, Standing::Trusted) }
    }

    /// A request with a wrong key. If its body is incomplete it is the connection's last.
    pub(super) fn denied(
        request: &Request<'_>,
        standing: Standing,
        response: PlainResponse,
        is_whole: bool,
    ) -> Self {
        let handed = Self::handed(request, standing);
        let extra = Some(Box::new(Extra { denied: Some(response), ..Extra::default() }));
        Self { is_last: handed.is_last || !is_whole, extra, ..handed }
    }

    /// The standing of the connection after its requests.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Keeps the standing of earlier requests.
    pub(super) fn inherit(&mut self, standing: Standing) {
        self.standing = self.standing.max_of(standing);
    }

    /// Keeps input behind the request.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.extra.get_or_insert_default().rest.extend_from_slice(bytes);
        }
    }

    /// The input behind the request.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.extra.map(|extra| extra.rest).unwrap_or_default()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.rest.capacity())
    }

    pub(super) fn wait(&self) -> Wait {
        match (self.denied_with(), self.is_poll) {
            (Some(_), _) => Wait::Moment,
            (None, true) => Wait::Poll,
            (None, false) => Wait::Answer,
        }
    }

    /// The place of the session whose output is the answer.
    pub(super) fn fetches_from(&self) -> Option<(u16, Key)> {
        self.is_fetch.then_some((self.shard, self.session))
    }

    /// The answer to a wrong key.
    fn denied_with(&self) -> Option<&PlainResponse> {
        self.extra.as_ref()?.denied.as_ref()
    }

    /// Makes this the last request of the connection.
    pub(super) fn end(&mut self) {
        self.is_last = true;
    }

    /// Writes the answer; `None` for the delayed one. Returns the input behind the request, and whether to read
    /// another request.
    pub(super) fn answer(self, response: Option<&PlainResponse>, out: &mut Vec<u8>) -> (Vec<u8>, bool) {
        if let Some(response) = response.or(self.denied_with()) {
            let connection = connection_line(self.is_last, self.is_http_1_0);
            let lines = self.extra.as_ref().map_or("", |extra| &extra.lines);
            response.put(&[lines, connection], !self.is_head, out);
        }
        let goes_on = !self.is_last;
        (self.into_rest(), goes_on)
    }
}

impl RouteTable {
    /// The route of this path, if it is answered outside. Repeated slashes count as one: the desk decides about
    /// those.
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

    /// Whether a request may be forwarded.
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

    /// Whether a request admitted here is authenticated.
    pub(super) fn is_trusting(&self) -> bool {
        matches!(self.access, Access::ApiKey(_) | Access::Bearer(_) | Access::ThisMachine)
    }

    /// Whether the request is admitted by the key in its query, not by a header.
    fn has_key_in_query(&self, request: &Request<'_>) -> bool {
        match &self.access {
            Access::ApiKey(keys) => !api_key(request).is_some_and(|key| keys.has(key.as_bytes())),
            Access::Anyone | Access::Bearer(_) | Access::ThisMachine | Access::Elsewhere(_) => false,
        }
    }

    /// The request in its forwarded form.
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

/// The API key in a header.
fn api_key<'r>(request: &Request<'r>) -> Option<Cow<'r, str>> {
    request.header("x-api-key").or_else(|| credentials(request, "apikey"))
}

/// The credentials of `Authorization: SCHEME KEY`.
fn credentials<'r>(request: &Request<'r>, wanted: &str) -> Option<Cow<'r, str>> {
    let value = request.header("authorization")?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| key.trim().to_owned().into())
}

/// Whether a program of this machine asks, as far as a request shows: a page of another site has an `Origin`, a page
/// with a rebound DNS name has its `Host`, and a form sends no JSON.
fn check_machine(request: &Request<'_>) -> Result<(), Refusal> {
    let forbidden = |why| Err(Refusal::new(Status::Forbidden, why));
    // The default of nginx's `proxy_pass`: HTTP/1.0, and its own host name.
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

    #[test]
    fn a_request_that_waits_fits_a_block_of_32_bytes() {
        assert!(size_of::<Away>() <= 24, "{}", size_of::<Away>());
        let (request, _) = Request::parse(b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n", 100).unwrap().unwrap();
        let mut away = Away::handed(&request, Standing::New);
        away.keep(b"");
        assert!(away.extra.is_none(), "nothing behind the request needs no other block");
    }

    fn route(path: &str, is_tree: bool, access: Access) -> Route {
        Route { path: path.to_owned(), is_tree, access, body_bytes_max: 10 }
    }

    fn keys(keys: &[&str]) -> Keys {
        Keys::new(keys.iter().map(|&key| key.to_owned()))
    }

    /// The status of a refused request, or 200.
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
        let routes = RouteTable { table, ..RouteTable::default() };
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
