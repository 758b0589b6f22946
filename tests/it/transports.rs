//! Server-sent events, HTTP streaming and the POSTs that go with them: bytes in, bytes out, over several shards.
//!
//! Official clients of these transports are in `tests/clients`; here are tests of their unusual uses, and of exact
//! bytes.

use serde_json::{Value, json};

use crate::support::peer::Response;
use crate::support::{Peer, Server};

/// A client whose messages come as a streaming response.
struct Stream {
    peer: Peer,
    /// The prefix of a message.
    prefix: &'static str,
    node: String,
    session: String,
}

impl Stream {
    fn sse(server: &Server) -> Self {
        let connect = "%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D";
        let request = format!("GET /connection/sse?cf_connect={connect} HTTP/1.1\r\nHost: x\r\n\r\n");
        Self::open(server, &request, "text/event-stream; charset=utf-8", "data: ")
    }

    fn http(server: &Server) -> Self {
        let request = post("/connection/http_stream", "", r#"{"id":1,"connect":{}}"#);
        Self::open(server, &request, "text/plain; charset=utf-8", "")
    }

    fn open(server: &Server, request: &str, content_type: &str, prefix: &'static str) -> Self {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(request.as_bytes());
        let head = peer.response_head();
        assert_eq!((head.status, head.header("content-type")), (200, Some(content_type)), "{}", head.head);
        assert_eq!((head.header("content-length"), head.header("transfer-encoding")), (None, None));
        let mut stream = Self { peer, prefix, node: String::new(), session: String::new() };
        let hello = stream.message();
        let text = |name: &str| hello["connect"][name].as_str().unwrap().to_owned();
        (stream.node, stream.session) = (text("node"), text("session"));
        stream
    }

    /// The next message that is no ping.
    fn message(&mut self) -> Value {
        loop {
            let line = self.peer.line();
            if line.is_empty() {
                continue;
            }
            let message: Value = serde_json::from_str(line.strip_prefix(self.prefix).unwrap()).unwrap();
            if message != json!({}) {
                return message;
            }
        }
    }

    /// A body with commands for it.
    fn body(&self, commands: &[Value]) -> String {
        let data: Vec<String> = commands.iter().map(Value::to_string).collect();
        json!({"node": self.node, "session": self.session, "data": data.join("\n")}).to_string()
    }

    /// Posts commands for it over a connection of their own, which may reach any shard.
    fn post(&self, server: &Server, commands: &[Value]) -> Response {
        let request = post("/emulation", "Connection: close\r\n", &self.body(commands));
        Peer::request(server.address, request.as_bytes())
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

#[test]
fn what_is_posted_finds_its_connection_in_whatever_shard_it_is() {
    let server = Server::start(&["--shards", "4"]);
    let mut streams: Vec<Stream> = (0..8).map(|_| Stream::sse(&server)).collect();
    streams.extend((0..8).map(|_| Stream::http(&server)));
    for (n, stream) in streams.iter_mut().enumerate() {
        let channel = format!("c{n}");
        let subscribe = json!({"id": 2, "subscribe": {"channel": channel}});
        let answer = stream.post(&server, &[subscribe, json!({"id": 3, "ping": {}})]);
        assert_eq!((answer.status, &*answer.body), (204, &b""[..]), "{}", answer.head);
        let mut replies = [stream.message(), stream.message()];
        replies.sort_by_key(|reply| reply["id"].as_u64());
        assert_eq!(replies[1], json!({"id": 3, "ping": {}}));
        assert!(replies[0]["subscribe"].is_object(), "{}", replies[0]);
        let answer = stream.post(&server, &[json!({"id": 4, "publish": {"channel": channel, "data": n}})]);
        assert_eq!(answer.status, 204);
        let mut replies = [stream.message(), stream.message()];
        replies.sort_by_key(|message| message["id"].as_u64());
        assert_eq!((&replies[0]["push"]["pub"]["data"], &replies[1]["id"]), (&json!(n), &json!(4)));
    }
    assert_eq!(server.metric("throng_requests_total"), 32);
    assert_eq!(server.metric("throng_stale_ids_total"), 0);
}

#[test]
fn a_session_that_was_never_given_out_is_not_found() {
    let server = Server::start(&["--shards", "4"]);
    let mut stream = Stream::http(&server);
    let ping = [json!({"id": 2, "ping": {}})];
    let session = stream.session.clone();
    let (node, real) = (stream.node.clone(), Stream::http(&server).session);
    // Another connection's place with this one's proof, no id at all, one of another node.
    for (node, session) in [
        (&*node, format!("{}{}", &real[..20], &session[20..])),
        (&*node, format!("{}0", &session[..session.len() - 1])),
        (&*node, "nonsense".to_owned()),
        (&*node, String::new()),
        ("another", session.clone()),
    ] {
        if session == stream.session && node == stream.node {
            continue;
        }
        let forged = Stream { peer: Peer::connect(server.address), prefix: "", node: node.into(), session };
        assert_eq!(forged.post(&server, &ping).status, 404, "{} {}", forged.node, forged.session);
    }
    assert_eq!(stream.post(&server, &ping).status, 204);
    assert_eq!(stream.message(), json!({"id": 2, "ping": {}}));
    // The session has ended: its posted commands find no connection.
    let gone = Stream { peer: Peer::connect(server.address), prefix: "", node, session };
    drop(stream);
    server.await_metric("throng_sessions", 0);
    assert_eq!(gone.post(&server, &ping).status, 204);
    server.await_metric("throng_stale_ids_total", 1);
}

#[test]
fn other_pages_ask_first_and_are_let_in_by_their_origin() {
    let config = "[client]\ninsecure = true\nallowed_origins = [\"https://*.example\"]\n[sse]\nenabled = true\n\
                  [http_stream]\nenabled = true\n";
    let server = Server::configured(config, &[]);
    for path in ["/emulation", "/connection/http_stream", "/connection/sse"] {
        let preflight = |origin: &str| {
            let request = format!(
                "OPTIONS {path} HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: content-type, x-request-id\r\nConnection: close\r\n\r\n"
            );
            Peer::request(server.address, request.as_bytes())
        };
        let answer = preflight("https://app.example");
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("content-type, x-request-id"));
        for origin in ["https://evil.test", "https://app.example.evil.test", "null"] {
            let answer = preflight(origin);
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (403, None),
                "{origin}"
            );
        }
    }
    // The answer itself permits the page to read it.
    let stream = Stream::http(&server);
    let headers = "Connection: close\r\nOrigin: https://app.example\r\n";
    let answer = Peer::request(server.address, post("/emulation", headers, &stream.body(&[])).as_bytes());
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(server.metric_with("throng_refused_total", "forbidden"), 9);
}

#[test]
fn a_body_may_come_in_pieces_and_another_request_behind_it() {
    let server = Server::start(&["--shards", "4"]);
    let mut stream = Stream::http(&server);
    let mut poster = Peer::connect(server.address);
    for round in 2..5 {
        let request = post("/emulation", "", &stream.body(&[json!({"id": round, "ping": {}})]));
        for piece in request.as_bytes().chunks(40) {
            poster.send_bytes(piece);
            // A round trip elsewhere, so that the pieces do not meet in one read.
            assert_eq!(server.ask("/health").status, 200);
        }
        assert_eq!(poster.response_head().status, 204);
        assert_eq!(stream.message(), json!({"id": round, "ping": {}}));
    }
    // Two requests in one piece are answered both, in their order.
    let [one, two] = [5, 6].map(|id| post("/emulation", "", &stream.body(&[json!({"id": id, "ping": {}})])));
    poster.send_bytes(format!("{one}{two}").as_bytes());
    assert_eq!((poster.response_head().status, poster.response_head().status), (204, 204));
    assert_eq!([stream.message()["id"].take(), stream.message()["id"].take()], [json!(5), json!(6)]);
}

#[test]
fn bodies_of_unclear_or_too_great_a_length_are_refused_before_they_come() {
    let server = Server::start(&["--message-bytes-max", "1000"]);
    for path in ["/emulation", "/connection/http_stream"] {
        let ask = |headers: &str| {
            let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
            Peer::request(server.address, request.as_bytes()).status
        };
        assert_eq!(ask("Transfer-Encoding: gzip, chunked\r\n"), 400, "{path}");
        assert_eq!(ask("Content-Length: 1001\r\n"), 413, "{path}");
        assert_eq!(ask("Content-Length: 18446744073709551615\r\n"), 413, "{path}");
    }
    // Where no body is permitted, none is read.
    let request = "GET /connection/sse HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(Peer::request(server.address, request.as_bytes()).status, 400);
    // A wrong method is answered with the right one.
    for (request, status, allow) in [
        ("GET /emulation HTTP/1.1\r\nHost: x\r\n\r\n", 405, Some("POST, OPTIONS")),
        ("GET /connection/http_stream HTTP/1.1\r\nHost: x\r\n\r\n", 405, Some("POST, OPTIONS")),
        ("DELETE /connection/sse HTTP/1.1\r\nHost: x\r\n\r\n", 405, Some("GET")),
    ] {
        let answer = Peer::request(server.address, request.as_bytes());
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{request}");
    }
    assert_eq!(server.metric_with("throng_refused_total", "head_too_large"), 4);
    assert_eq!(server.metric_with("throng_refused_total", "bad_request"), 3);
    assert_eq!(server.metric_with("throng_refused_total", "method"), 3);
}
