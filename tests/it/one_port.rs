//! The server API, health and metrics on the listeners of clients: successive requests on one connection, over every
//! layer. `access` has the rules of keys, and the limited influence of clients without a key on those with one.

mod access;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::{env, fs, process};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use crate::support::backend::{Running, options};
use crate::support::centrifuge::PATH;
use crate::support::peer::{PATIENCE, Response, TEXT, upgrade};
use crate::support::tls::fixtures::Authority;
use crate::support::tls::{Folder, trusting};
use crate::support::{Client, Peer, Server};

pub(crate) const PUBLISH: &str = r#"{"channel":"news","data":1}"#;

/// A request to publish, with these header lines.
pub(crate) fn publish(lines: &str) -> String {
    post("/api/publish", lines, PUBLISH)
}

pub(crate) fn post(path: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {length}\r\n\r\n{body}")
}

fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

pub(crate) const KEY: &str = "X-API-Key: secret\r\n";
const LAST: &str = "Connection: close\r\n";

/// Sends a request on a persistent connection, and reads the answer by its length.
pub(crate) fn ask(peer: &mut Peer, request: &str) -> Response {
    peer.send_bytes(request.as_bytes());
    answer(peer)
}

pub(crate) fn answer(peer: &mut Peer) -> Response {
    let mut response = peer.response_head();
    let length = response.header("content-length").unwrap().parse().unwrap();
    response.body = peer.bytes(length);
    response
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

#[test]
fn requests_of_all_kinds_follow_one_another_on_one_connection() {
    let server = Running::start(options());
    let mut listener = Client::subscribed(server.address, &["news"]);
    let mut peer = Peer::connect(server.address);
    for n in 0..5 {
        let body = json!({"channel": "news", "data": n}).to_string();
        let response = ask(&mut peer, &post("/api/publish", KEY, &body));
        assert_eq!(
            (response.status, text(&response).as_str()),
            (200, r#"{"result":{}}"#),
            "{}",
            response.head
        );
        assert_eq!(listener.publication().1, n);
    }
    // Another place of the key, another kind of body, another method, an error, and an unknown path.
    let chunked = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: apikey other\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{PUBLISH}\r\n0\r\n\r\n",
        PUBLISH.len()
    );
    assert_eq!(ask(&mut peer, &chunked).status, 200);
    assert_eq!(listener.publication().1, 1);
    let response = ask(&mut peer, &post("/api/info?api_key=secret", "", "{}"));
    assert!(text(&response).contains("num_clients"), "{response:?}");
    let status = "X-Centrifugo-Error-Mode: transport\r\n";
    assert_eq!(ask(&mut peer, &post("/api/publish", &format!("{KEY}{status}"), "{}")).status, 400);
    assert_eq!(ask(&mut peer, &post("/api/publish", KEY, "not json")).status, 400);
    assert_eq!(ask(&mut peer, &post("/api/unheard_of", KEY, "{}")).status, 404);
    assert_eq!(ask(&mut peer, &get("/api/publish", KEY)).header("allow"), Some("POST"));
    let document = ask(&mut peer, &get("/api/openapi.json", KEY));
    assert!(text(&document).contains("openapi"));
    let head =
        ask_head(&mut peer, &format!("HEAD /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n"));
    assert_eq!(head.header("content-length"), document.header("content-length"));
    // A page of another origin that has the key is a program like others.
    assert_eq!(ask(&mut peer, &publish(&format!("{KEY}Origin: https://evil.example\r\n"))).status, 200);
    assert_eq!(listener.publication().1, 1);
    let mut client = peer.upgraded(PATH, "");
    client.send(TEXT, r#"{"id":1,"connect":{}}"#);
    assert!(String::from_utf8(client.message().1).unwrap().contains(r#""client""#));
    server.end();
}

/// nginx's `proxy_pass` and many health checks speak HTTP/1.0, without `Host` or with one.
#[test]
fn http_1_0_is_answered_and_ends_the_connection_unless_it_asks_to_keep_it() {
    const KEEP: &str = "Connection: keep-alive\r\n";
    let server = Running::configured(options(), |config| {
        config.control_paths.clients_have_health = true;
        config.control_paths.clients_have_metrics = true;
        config.endpoints.extend(throng::Endpoint::beside_websocket());
    });
    let mut listener = Client::subscribed(server.address, &["news"]);
    let old = |method: &str, path: &str, lines: &str, body: &str| {
        let length = body.len();
        format!("{method} {path} HTTP/1.0\r\n{lines}Content-Length: {length}\r\n\r\n{body}")
    };
    let publishing = |lines: &str| old("POST", "/api/publish", &format!("{KEY}{lines}"), PUBLISH);
    for (request, status, words) in [
        ("GET /health HTTP/1.0\r\n\r\n".to_owned(), 200, "{}"),
        ("GET /health HTTP/1.0\r\nHost: backend\r\nConnection: close\r\n\r\n".to_owned(), 200, "{}"),
        (old("POST", "/health", "", "{}"), 200, "{}"),
        (old("POST", "/health", "", &"x".repeat(1025)), 413, "too large"),
        ("OPTIONS /ready HTTP/1.0\r\n\r\n".to_owned(), 405, ""),
        (old("GET", "/ready", "", ""), 200, "ready"),
        (old("GET", "/metrics", "", ""), 200, "throng_connections"),
        (old("POST", "/api/publish", "", PUBLISH), 401, "a key is needed"),
        (publishing(""), 200, r#"{"result":{}}"#),
        (publishing("Host: backend\r\nExpect: 100-continue\r\n"), 200, r#"{"result":{}}"#),
        (old("GET", "/nothing", "", ""), 404, "no endpoint"),
        (
            format!("POST /api/publish HTTP/1.0\r\n{KEY}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
            "length",
        ),
        ("GET /health HTTP/1.1\r\n\r\n".to_owned(), 400, "Host"),
    ] {
        // Later input is not parsed.
        let response = Peer::request(server.address, format!("{request}{}", get("/health", "")).as_bytes());
        assert_eq!(response.status, status, "{request}");
        assert_eq!(response.header("connection"), Some("close"), "{request}");
        let length: usize = response.header("content-length").unwrap().parse().unwrap();
        assert_eq!(length, response.body.len(), "{request}");
        assert!(text(&response).contains(words), "{request}: {response:?}");
    }
    let mut peer = Peer::connect(server.address);
    let both = format!("{}{}{}", publishing(KEEP), old("GET", "/health", KEEP, ""), publishing(""));
    peer.send_bytes(both.as_bytes());
    for (words, connection) in
        [(r#"{"result":{}}"#, "keep-alive"), ("{}", "keep-alive"), (r#"{"result":{}}"#, "close")]
    {
        let response = answer(&mut peer);
        assert_eq!((response.status, text(&response).as_str()), (200, words));
        assert_eq!(response.header("connection"), Some(connection));
    }
    peer.expect_end();
    for _ in 0..4 {
        assert_eq!(listener.publication().1, 1);
    }
    let mut peer = Peer::connect(server.address);
    for (lines, connection) in [(KEEP, "keep-alive"), ("", "close")] {
        let preflight = ask_head(&mut peer, &format!("OPTIONS /emulation HTTP/1.0\r\n{lines}\r\n"));
        assert_eq!((preflight.status, preflight.header("connection")), (204, Some(connection)));
    }
    peer.expect_end();
    // A stream ends with its connection, which HTTP/1.0 knows; another protocol it cannot change to.
    let mut peer = Peer::connect(server.address);
    peer.send_bytes(b"GET /connection/uni_sse HTTP/1.0\r\n\r\n");
    let head = peer.response_head();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    let refused = upgrade(PATH, "").replace("HTTP/1.1", "HTTP/1.0");
    let response = Peer::request(server.address, refused.as_bytes());
    assert_eq!((response.status, text(&response).as_str()), (400, "a WebSocket needs HTTP/1.1\n"));
    server.end();
}

fn ask_head(peer: &mut Peer, request: &str) -> Response {
    peer.send_bytes(request.as_bytes());
    peer.response_head()
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let server = Running::configured(options(), |config| config.control_paths.clients_have_health = true);
    let mut listener = Client::subscribed(server.address, &["news"]);
    let mut peer = Peer::connect(server.address);
    let mut all: String = (0..20)
        .map(|n| post("/api/publish", KEY, &json!({"channel": "news", "data": n}).to_string()))
        .collect();
    all.push_str(&get("/health", ""));
    all.push_str(&post("/api/rpc", KEY, r#"{"method":"add","params":[1,2]}"#));
    all.push_str(&upgrade(PATH, ""));
    peer.send_bytes(all.as_bytes());
    for n in 0..20 {
        assert_eq!(text(&answer(&mut peer)), r#"{"result":{}}"#);
        assert_eq!(listener.publication().1, n);
    }
    assert_eq!(text(&answer(&mut peer)), "{}");
    assert_eq!(text(&answer(&mut peer)), r#"{"result":{"data":3}}"#);
    assert_eq!(peer.response_head().status, 101);
    server.end();
}

#[test]
fn who_ends_its_side_behind_a_request_gets_all_of_a_large_answer() {
    let server = Running::configured(options(), |_| {});
    let data = "x".repeat(100_000);
    let mut peer = Peer::connect(server.address);
    for _ in 0..40 {
        let body = json!({"channel": "chat:long", "data": data}).to_string();
        assert_eq!(ask(&mut peer, &post("/api/publish", KEY, &body)).status, 200);
    }
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(post("/api/history", KEY, r#"{"channel":"chat:long","limit":-1}"#).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{}", &answer[..200]);
    assert!(answer.len() > 40 * data.len() && answer.ends_with("}}"), "{} bytes", answer.len());
    server.end();
}

#[test]
fn what_client_listeners_do_not_serve_they_say_where_it_is() {
    for (configure, expected) in [
        (
            (|config| config.control_paths.clients_have_api = false) as fn(&mut throng::Config),
            [
                ("/api/publish", 404, "http_api.external"),
                ("/health", 404, "health.enabled"),
                ("/ready", 404, "health.enabled"),
                ("/metrics", 404, "prometheus.enabled"),
            ],
        ),
        (
            |config| config.api.enabled = false,
            [
                ("/api", 404, "http_api.disabled"),
                ("/health", 404, "health.enabled"),
                ("/nothing", 404, "no endpoint"),
                ("/apis", 404, "no endpoint"),
            ],
        ),
        (
            |config| {
                config.api.keys.clear();
                config.control_paths.clients_have_health = true;
                config.control_paths.clients_have_metrics = true;
            },
            [
                ("/api/publish", 404, "http_api.key"),
                ("/health", 200, "{}"),
                ("/ready", 200, "ready"),
                ("/metrics", 200, "throng_connections"),
            ],
        ),
        (
            |config| {
                config.control_key.0 = "secret".to_owned();
                config.control_paths.clients_have_metrics = true;
                config.control_paths.metrics = "/own/metrics".to_owned();
                config.control_paths.api = "/own/api".to_owned();
            },
            [
                ("/own/metrics", 401, "Bearer"),
                ("/own/api/info", 401, "X-API-Key"),
                ("/metrics", 404, "no endpoint"),
                ("/api/info", 404, "no endpoint"),
            ],
        ),
    ] {
        let server = Running::configured(options(), configure);
        for (path, status, words) in expected {
            let response = Peer::request(server.address, get(path, LAST).as_bytes());
            assert_eq!(response.status, status, "{path}");
            assert!(text(&response).contains(words), "{path}: {}", text(&response));
        }
        server.end();
    }
}

#[test]
fn paths_can_be_others_on_both_listeners() {
    let server = Running::configured(options(), |config| {
        config.control_paths.clients_have_health = true;
        config.control_paths.clients_have_metrics = true;
        config.control_paths.api = "/own/api".to_owned();
        config.control_paths.health = "/own/health".to_owned();
        config.control_paths.metrics = "/own/metrics".to_owned();
    });
    for address in [server.address, server.control] {
        let mut peer = Peer::connect(address);
        let response = ask(&mut peer, &post("/own/api/publish", KEY, PUBLISH));
        assert_eq!((response.status, text(&response).as_str()), (200, r#"{"result":{}}"#));
        assert_eq!(text(&ask(&mut peer, &get("/own/health", ""))), "{}");
        assert!(text(&ask(&mut peer, &get("/own/metrics", LAST))).contains("throng_connections"));
    }
    server.end();
}

/// The same over every layer between a backend and the shard.
#[test]
fn tls_unix_sockets_and_proxies_carry_it_too() {
    const CONFIG: &str = "http_api = { key = \"secret\", external = true }\nclient = { insecure = true }\n";
    let (folder, ca) = (Folder::new(), Authority::new());
    let pair = folder.pair("one", &ca.issue(&["localhost"]));
    let path = env::temp_dir().join(format!("throng-one-port-{}.sock", process::id()));
    let unix = format!("unix:{}", path.display());
    let pair: Vec<&str> = pair.iter().map(String::as_str).collect();
    let server = Server::configured(CONFIG, &[&pair[..], &["--listen", unix.as_str()]].concat());
    let request = publish(&format!("{KEY}{LAST}"));
    let converse = |stream: &mut dyn ReadWrite| {
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // A TLS client may end without a goodbye here: it asked for the end.
        stream.read_to_string(&mut answer).ok();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(r#"{"result":{}}"#), "{answer}");
    };
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(Arc::clone(&trusting(&ca, None)), name).unwrap();
    converse(&mut StreamOwned::new(tls, connect(server.address)));
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    converse(&mut stream);
    drop(server);
    fs::remove_file(path).ok();

    let flags = ["--trusted-proxies", "127.0.0.1/32", "--proxy-protocol"];
    let server = Server::configured(CONFIG, &flags);
    let mut stream = connect(server.address);
    stream.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n").unwrap();
    converse(&mut stream);
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
