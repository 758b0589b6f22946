//! Socket.IO through whatever is in front of a server: its way is tried as a client would use it.
//!
//! The checks: a session by HTTP long-polling, posts on connections of their own (which a balancer must bring to one
//! server), a WebSocket, and a heartbeat over each (which a proxy must have the patience for). The invariant: the session
//! connects to no namespace, so no application takes notice, and it is closed at the end. Left out: Engine.IO 3.

#![expect(clippy::disallowed_methods, reason = "the report says after how long a heartbeat came")]

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::report::{Line, Status, Value};

/// Posts of the check of sticky sessions: so many reach one of two servers by chance once in 256 times.
const POSTS: usize = 8;
/// Maximum wait for an answer, beside the wait for a heartbeat.
const PATIENCE: Duration = Duration::from_secs(10);
/// An open packet has the times; these are the protocol's defaults, in milliseconds.
const INTERVAL_MS: u64 = 25_000;
const TIMEOUT_MS: u64 = 20_000;
/// The longest of these times that is believed, in milliseconds.
const TIME_MS_MAX: u64 = 3_600_000;
/// Longer than any answer to these requests.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    is_secure: bool,
    /// Host and port, as in `Host`.
    host: String,
    path: String,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Endpoint {
    /// Reads `http://HOST[:PORT][/PATH]` or `https://…`.
    fn parse(url: &str) -> Result<Self, String> {
        let secure = url.strip_prefix("https://");
        let rest = secure.or_else(|| url.strip_prefix("http://"));
        let rest = rest.ok_or_else(|| format!("{url}: neither http:// nor https://"))?;
        let (host, path) = rest.find('/').map_or((rest, "/socket.io/"), |at| rest.split_at(at));
        let path = if path == "/" { "/socket.io/" } else { path };
        if host.is_empty() || path.contains(|c: char| c.is_ascii_whitespace() || c.is_control() || c == '?') {
            return Err(format!("{url}: no address of an endpoint"));
        }
        Ok(Self { is_secure: secure.is_some(), host: host.to_owned(), path: path.to_owned() })
    }

    fn connect(&self, patience: Duration) -> io::Result<Box<dyn Stream>> {
        let has_port = self.host.rfind(':').is_some_and(|at| !self.host[at..].contains(']'));
        let port = if self.is_secure { 443 } else { 80 };
        let address = if has_port { self.host.clone() } else { format!("{}:{port}", self.host) };
        let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if !self.is_secure {
            return Ok(Box::new(stream));
        }
        let name =
            if has_port { self.host.rsplit_once(':').map_or("", |(name, _)| name) } else { &self.host };
        let name =
            ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(session, stream)))
    }

    /// Sends a request on a connection of its own.
    fn ask(&self, method: &str, query: &str, body: &str, patience: Duration) -> io::Result<Box<dyn Stream>> {
        let mut stream = self.connect(patience)?;
        let Self { host, path, .. } = self;
        let length = if method == "POST" {
            format!("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n", body.len())
        } else {
            String::new()
        };
        let head = format!(
            "{method} {path}?EIO=4&{query} HTTP/1.1\r\nHost: {host}\r\n{length}Connection: close\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes())?;
        stream.flush()?;
        Ok(stream)
    }

    fn websocket(&self, patience: Duration) -> io::Result<Box<dyn Stream>> {
        let mut stream = self.connect(patience)?;
        let Self { host, path, .. } = self;
        let head = format!(
            "GET {path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhyb25nIGRvY3RvciBrZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.flush()?;
        Ok(stream)
    }
}

/// Status and body of an answer, to the end of the connection or of the body.
fn answer(stream: &mut dyn Stream) -> Result<(u16, String), String> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(found) = whole(&bytes) {
            return Ok(found);
        }
        match stream.read(&mut part) {
            Ok(0) => return ended(&bytes),
            Ok(_) if bytes.len() > ANSWER_BYTES_MAX => return Err("an endless answer".to_owned()),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err("no answer".to_owned());
            }
            Err(_) => return ended(&bytes),
        }
    }
}

fn ended(bytes: &[u8]) -> Result<(u16, String), String> {
    let (status, head_bytes) = head(bytes).ok_or("closed without an answer")?;
    if is_chunked(&bytes[..head_bytes]) {
        return Err("closed within the answer".to_owned());
    }
    Ok((status, String::from_utf8_lossy(&bytes[head_bytes..]).into_owned()))
}

/// The value of a field of a head, in lower case.
fn field(head: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = |line: &str| {
        let (field, value) = line.split_once(':')?;
        (field == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(value)
}

/// Whether the body after a head comes in chunks (RFC 9112 § 7.1).
fn is_chunked(head: &[u8]) -> bool {
    field(head, "transfer-encoding").is_some_and(|codings| codings.ends_with("chunked"))
}

/// The chunks of a body together, once the last is there.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        // The size may have extensions.
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        rest = &rest[end + 2..];
        body.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

/// Whether a ping is among the packets of a poll, which U+001E separates.
fn has_ping(body: &str) -> bool {
    body.split('\u{1e}').any(|packet| packet == "2")
}

/// Status and length of a head.
fn head(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    Some((status, end))
}

/// An answer in chunks or with a length, once it is whole.
fn whole(bytes: &[u8]) -> Option<(u16, String)> {
    let (status, end) = head(bytes)?;
    let (head, rest) = bytes.split_at(end);
    let body = match is_chunked(head) {
        true => joined(rest)?,
        false => rest.get(..field(head, "content-length")?.parse().ok()?)?.to_vec(),
    };
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The open packet.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    sid: String,
    #[serde(default)]
    ping_interval: Option<u64>,
    #[serde(default)]
    ping_timeout: Option<u64>,
}

/// The frame at the start of `bytes`, once it is whole: whether it closes, the first byte of its payload, and its length.
fn frame(bytes: &[u8]) -> Option<(bool, Option<u8>, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, rest, head_bytes) = match second {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..], 4),
        _ => (usize::from(second), rest, 2),
    };
    let payload = rest.get(..length)?;
    Some((first & 0x0f == 8, payload.first().copied(), head_bytes + length))
}

/// A WebSocket past its handshake, and what it has sent.
struct Socket {
    stream: Box<dyn Stream>,
    bytes: Vec<u8>,
}

impl Socket {
    /// Reads until a text frame with this beginning, without a mask or fragments, has come.
    fn await_text(&mut self, wanted: u8) -> Result<(), String> {
        let mut part = [0; 4096];
        loop {
            while let Some((is_close, first, length)) = frame(&self.bytes) {
                self.bytes.drain(..length);
                match (is_close, first == Some(wanted)) {
                    (true, _) => return Err("closed by the server".to_owned()),
                    (false, true) => return Ok(()),
                    (false, false) => {}
                }
            }
            match self.stream.read(&mut part) {
                Ok(0) => return Err("closed".to_owned()),
                Ok(count) => self.bytes.extend_from_slice(&part[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err("no heartbeat".to_owned());
                }
                Err(_) => return Err("closed".to_owned()),
            }
        }
    }
}

/// Tries the endpoint at this URL; takes as long as a heartbeat.
///
/// # Errors
/// A sentence about an invalid URL.
pub(super) fn lines(url: &str) -> Result<Vec<Line>, String> {
    let endpoint = Endpoint::parse(url)?;
    let mut lines = Vec::new();
    let opened = open(&endpoint);
    lines.push(polling_line(&opened));
    let interval_ms = opened.as_ref().ok().and_then(|open| open.ping_interval).unwrap_or(INTERVAL_MS);
    let timeout_ms = opened.as_ref().ok().and_then(|open| open.ping_timeout).unwrap_or(TIMEOUT_MS);
    let patience = Duration::from_millis(interval_ms) + PATIENCE;
    let needed = Value::Text(format!("{} s", (interval_ms + timeout_ms).div_ceil(1000)));
    let poll = opened.as_ref().ok().map(|open| {
        let query = format!("transport=polling&sid={}", open.sid);
        lines.push(sticky_line(&endpoint, &query));
        let began = Instant::now();
        (endpoint.ask("GET", &query, "", patience), began, query)
    });
    let socket = upgrade(&endpoint, patience);
    lines.push(websocket_line(&socket));
    if let Ok(mut socket) = socket {
        let began = Instant::now();
        lines.push(idle_line("idle WebSocket", socket.await_text(b'2'), began, &needed));
    }
    if let Some((asked, began, query)) = poll {
        let outcome = asked.map_err(|error| error.to_string()).and_then(|mut stream| answer(&mut *stream));
        let outcome = outcome.and_then(|(status, body)| match status {
            200 if has_ping(&body) => Ok(()),
            200 => Err("another answer than a heartbeat".to_owned()),
            other => Err(format!("status {other}")),
        });
        lines.push(idle_line("idle poll", outcome, began, &needed));
        // The session ends. Its last answer tells nothing.
        drop(endpoint.ask("POST", &query, "1", PATIENCE).map(|mut stream| answer(&mut *stream)));
    }
    Ok(lines)
}

fn open(endpoint: &Endpoint) -> Result<Open, String> {
    let mut stream =
        endpoint.ask("GET", "transport=polling", "", PATIENCE).map_err(|error| error.to_string())?;
    let (status, body) = answer(&mut *stream)?;
    if status != 200 {
        return Err(format!("status {status}"));
    }
    opened(&body).ok_or_else(|| "no open packet".to_owned())
}

/// The open packet at the start of an answer, with times that are no longer than [`TIME_MS_MAX`].
fn opened(body: &str) -> Option<Open> {
    let packet = body.split('\u{1e}').next()?;
    let Open { sid, ping_interval, ping_timeout } = serde_json::from_str(packet.strip_prefix('0')?).ok()?;
    let bounded = |time: Option<u64>| time.map(|ms| ms.min(TIME_MS_MAX));
    Some(Open { sid, ping_interval: bounded(ping_interval), ping_timeout: bounded(ping_timeout) })
}

fn polling_line(opened: &Result<Open, String>) -> Line {
    const WHY: &str = "Clients begin with HTTP long-polling unless they are told otherwise.";
    let needed = Value::Text("a session".to_owned());
    match opened {
        Ok(_) => Line::new("polling", Status::Ok, needed.clone(), needed, WHY),
        Err(cause) => Line::new("polling", Status::Short, Value::Text(cause.clone()), needed, WHY),
    }
}

fn sticky_line(endpoint: &Endpoint, query: &str) -> Line {
    const WHY: &str = "All requests of a session must reach the server that issued it, whatever connection they come by: with several \
        servers the balancer must keep a client on its server, by a cookie or by its address (this check has no cookies).";
    let needed = Value::Text(format!("{POSTS} of {POSTS} posts"));
    // A noop: the packet without an effect.
    let post = || {
        let answered = endpoint.ask("POST", query, "6", PATIENCE).ok().map(|mut stream| answer(&mut *stream));
        matches!(answered, Some(Ok((200, _))))
    };
    let count = (0..POSTS).filter(|_| post()).count();
    let status = if count == POSTS { Status::Ok } else { Status::Short };
    Line::new("one server", status, Value::Text(format!("{count} of {POSTS} posts")), needed, WHY)
}

fn upgrade(endpoint: &Endpoint, patience: Duration) -> Result<Socket, String> {
    let mut stream = endpoint.websocket(patience).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let (status, head_bytes) = loop {
        if let Some(found) = head(&bytes) {
            break found;
        }
        match stream.read(&mut part) {
            Ok(count @ 1..) if bytes.len() < ANSWER_BYTES_MAX => bytes.extend_from_slice(&part[..count]),
            Ok(_) => return Err("closed without an answer".to_owned()),
            Err(_) => return Err("no answer".to_owned()),
        }
    };
    if status != 101 {
        return Err(format!("status {status}"));
    }
    bytes.drain(..head_bytes);
    Ok(Socket { stream, bytes })
}

fn websocket_line(socket: &Result<Socket, String>) -> Line {
    const WHY: &str = "Where a proxy does not pass on upgrades, clients stay on polling, which costs two requests per message.";
    let needed = Value::Text("101".to_owned());
    match socket {
        Ok(_) => Line::new("WebSocket", Status::Ok, needed.clone(), needed, WHY),
        Err(cause) => Line::new("WebSocket", Status::Short, Value::Text(cause.clone()), needed, WHY),
    }
}

fn idle_line(name: &'static str, outcome: Result<(), String>, began: Instant, needed: &Value) -> Line {
    const WHY: &str = "Between heartbeats a connection is silent. A proxy must wait for the interval and the time for the answer: \
        proxy_read_timeout in nginx, timeout server and timeout tunnel in HAProxy; and it must not buffer.";
    let after = format!("after {:.1} s", began.elapsed().as_secs_f64());
    match outcome {
        Ok(()) => {
            let value = Value::Text(format!("heartbeat {after}"));
            Line::new(name, Status::Ok, value, Value::Unknown, WHY)
        }
        Err(cause) => {
            Line::new(name, Status::Short, Value::Text(format!("{cause} {after}")), needed.clone(), WHY)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_an_endpoint() {
        let parse = |url: &str| {
            Endpoint::parse(url).map(|Endpoint { is_secure, host, path }| (is_secure, host, path))
        };
        let of = |is_secure, host: &str, path: &str| Ok((is_secure, host.to_owned(), path.to_owned()));
        assert_eq!(parse("http://127.0.0.1:8000"), of(false, "127.0.0.1:8000", "/socket.io/"));
        assert_eq!(parse("https://a.example/"), of(true, "a.example", "/socket.io/"));
        assert_eq!(parse("https://a.example/b/"), of(true, "a.example", "/b/"));
        for bad in ["ws://a", "a.example", "http://", "http://a/b?c", "http://a/b c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_are_told_apart_once_they_are_whole() {
        let open = [&[0x81, 126, 0, 200][..], &[b'0'; 200]].concat();
        assert_eq!((frame(&open), frame(&open[..203])), (Some((false, Some(b'0'), 204)), None));
        assert_eq!(frame(&[0x81, 1, b'2', 0x88, 0]), Some((false, Some(b'2'), 3)));
        assert_eq!(frame(&[0x88, 0]), Some((true, None, 2)));
        assert_eq!(frame(&[0x81]), None);
    }

    #[test]
    fn an_answer_is_whole_at_its_length() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-Length: 2\r\n\r\nok";
        for cut in 0..text.len() {
            assert_eq!(whole(&text[..cut]), None);
        }
        assert_eq!(whole(text), Some((200, "ok".to_owned())));
        assert_eq!(ended(b"HTTP/1.1 504 x\r\n\r\nlate"), Ok((504, "late".to_owned())));
        assert!(ended(b"HTTP/1.1 20").is_err());
    }

    #[test]
    fn chunks_are_joined_and_a_part_of_them_is_no_answer() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
        let text = format!("{head}4\r\n0{{\"s\r\nA;x=y\r\nid\":\"2\r\n\"}}\r\n0\r\n\r\n");
        let cut = text.len() - 2;
        assert_eq!(whole(text.as_bytes()), Some((200, "0{\"sid\":\"2\r\n\"}".to_owned())));
        for cut in head.len()..cut - 2 {
            assert_eq!(whole(&text.as_bytes()[..cut]), None, "{cut}");
            assert!(ended(&text.as_bytes()[..cut]).is_err());
        }
        assert_eq!(whole(format!("{head}ffffffffffffffff\r\nx").as_bytes()), None);
        assert_eq!(whole(format!("{head}what\r\nx").as_bytes()), None);
    }

    #[test]
    fn packets_are_told_apart() {
        for (body, is_ping) in [
            ("2", true),
            ("6\u{1e}2", true),
            ("2\u{1e}40", true),
            ("", false),
            ("42[\"2\"]", false),
            ("0{\"sid\":\"2\"}", false),
        ] {
            assert_eq!(has_ping(body), is_ping, "{body:?}");
        }
        let open = opened("0{\"sid\":\"a\",\"pingInterval\":18446744073709551615,\"pingTimeout\":9}\u{1e}40")
            .unwrap();
        assert_eq!((&*open.sid, open.ping_interval, open.ping_timeout), ("a", Some(TIME_MS_MAX), Some(9)));
        for body in ["", "0", "1{\"sid\":\"a\"}", "0{}", "<html>"] {
            assert!(opened(body).is_none(), "{body}");
        }
    }
}
