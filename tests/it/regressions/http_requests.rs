//! Unusual but valid requests, and requests with hidden parts in unreadable bytes.

use std::time::Duration;

use serde_json::json;

use crate::support::centrifuge::PATH;
use crate::support::peer::{Response, TEXT, upgrade};
use crate::support::{Peer, Server};

const ORIGINS: &str = "[client]\ninsecure = true\nallowed_origins = [\"https://*.example\"]\n[sse]\nenabled = true\n\
                       [http_stream]\nenabled = true\n[uni_sse]\nenabled = true\n";

fn ask(server: &Server, head: &str, body: &[u8]) -> Response {
    Peer::request(server.address, &[head.as_bytes(), body].concat())
}

fn ask_head(server: &Server, head: &[u8]) -> u16 {
    let mut peer = Peer::connect(server.address);
    peer.send_bytes(head);
    peer.response_head().status
}

/// An upgrade with these header lines, in bytes; the status that it gets.
fn upgrade_status(server: &Server, lines: &[u8]) -> u16 {
    let head = upgrade(PATH, "");
    ask_head(server, &[head.strip_suffix("\r\n").unwrap().as_bytes(), lines, b"\r\n"].concat())
}

/// A header with a byte above 0x7f counted as one that is not there: an origin as no browser's.
#[test]
fn an_origin_that_is_no_text_is_another_one() {
    let server = Server::configured(ORIGINS, &[]);
    assert_eq!(upgrade_status(&server, b"Origin: https://app.example\r\n"), 101);
    for lines in [
        &b"Origin: https://evil.test/\xff\r\n"[..],
        b"Origin: \xff\r\n",
        b"Origin: https://\xff.example\r\n",
        b"Origin: https://b\xc3\xbccher.example\r\n",
        b"Origin: https://app.example\r\nOrigin: https://evil.test\r\n",
        b"Origin:\r\nOrigin: https://evil.test\r\n",
    ] {
        assert_eq!(upgrade_status(&server, lines), 403, "{}", lines.escape_ascii());
    }
    let host = format!("GET {PATH} HTTP/1.1\r\nHost: ").into_bytes();
    for name in [&b"\xff"[..], b"a\xff", b"a, b", b"[::1].evil.test"] {
        let answer = Peer::request(server.address, &[&host, name, b"\r\n\r\n"].concat());
        assert_eq!(answer.status, 400, "{}", name.escape_ascii());
    }
    // An irrelevant header may have any value.
    assert_eq!(upgrade_status(&server, b"X-Name: J\xfcrgen\r\nCookie: a=\xff\r\n"), 101);
}

/// Clients waited for a leave that never came.
#[test]
fn who_asks_for_leave_to_send_a_body_is_given_it_or_told_why_not() {
    let server = Server::configured(ORIGINS, &["--message-bytes-max", "1000"]);
    let head = |path: &str, more: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n{more}\r\n")
    };
    let emulation = r#"{"session":"s","node":"n","data":"x"}"#;
    let chunks = format!("{:x}\r\n{emulation}\r\n0\r\n\r\n", emulation.len());
    let length = format!("Content-Length: {}\r\n", emulation.len());
    let mut peer = Peer::connect(server.address);
    // One after the other on the same connection; the head in one piece and in two.
    for (more, body) in [(length.as_str(), emulation), ("Transfer-Encoding: chunked\r\n", chunks.as_str())] {
        for cut in [0, 30] {
            let head = head("/emulation", more);
            let (front, back) = head.split_at(cut);
            peer.send_bytes(front.as_bytes());
            // A round trip elsewhere, so that the pieces do not meet in one read.
            assert_eq!(server.ask("/health").status, 200);
            peer.send_bytes(back.as_bytes());
            assert_eq!(peer.response_head().status, 100, "{more}");
            peer.send_bytes(body.as_bytes());
            // It is another node's: that is answered, and the connection goes on.
            assert_eq!(peer.response_head().status, 404, "{more}");
        }
    }
    let refused = |head: &str| ask(&server, head, b"").status;
    assert_eq!(refused(&head("/emulation", "Content-Length: 1001\r\n")), 413);
    assert_eq!(refused(&head("/emulation", "Content-Length: 9\r\nOrigin: https://evil.test\r\n")), 403);
    assert_eq!(refused(&head(PATH, "Content-Length: 9\r\n")), 405);
    assert_eq!(refused(&head("/nowhere", "Content-Length: 9\r\n")), 404);
    assert_eq!(refused(&head("/emulation", "Content-Length: 9\r\nExpect: more\r\n")), 417);
    // Without a body there is nothing to wait for.
    let mut peer = Peer::connect(server.address).upgraded(PATH, "Expect: 100-continue\r\n");
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    assert!(String::from_utf8(peer.frame().payload).unwrap().contains("\"connect\""));
}

/// Absolute targets got 400; their host takes precedence over `Host`, also in decisions.
#[test]
fn a_target_may_be_a_whole_url() {
    // In development mode, where a page of the server's own may come by an address.
    let server = Server::start(&[]);
    let status = |url: &str, origin: &str| {
        let head = upgrade(PATH, &format!("Origin: {origin}\r\n"));
        ask_head(&server, head.replacen(PATH, url, 1).as_bytes())
    };
    let url = format!("http://127.0.0.9:8000{PATH}?a=b");
    assert_eq!(status(&url, "http://127.0.0.9:8000"), 101);
    assert_eq!(status(&url.replace("http", "HTTP"), "http://127.0.0.9:8000"), 101);
    let head = upgrade(PATH, "");
    let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap();
    assert_eq!(status(PATH, &format!("http://{host}")), 101);
    assert_eq!(status(&url, &format!("http://{host}")), 403, "the other host does not count");
    for bad in ["http://user@throng.test/", "ftp://throng.test/", "http:///", "throng.test", "*"] {
        assert_eq!(status(bad, "http://throng.test"), 400, "{bad}");
    }
}

/// `Application/Octet-Stream` was JSON.
#[test]
fn media_types_are_compared_without_case() {
    let server = Server::configured(ORIGINS, &[]);
    // A connect command with id 1, behind its length.
    let body = b"\x04\x08\x01\x22\x00";
    for (content_type, is_protobuf) in [
        ("application/octet-stream", true),
        ("Application/Octet-Stream", true),
        ("APPLICATION/OCTET-STREAM ; a=b", true),
        ("application/octet-streams", false),
        ("application/json", false),
    ] {
        let head = format!(
            "POST /connection/http_stream HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(&[head.as_bytes(), body].concat());
        let told = peer.response_head();
        let wanted = if is_protobuf { "application/octet-stream" } else { "text/plain; charset=utf-8" };
        assert_eq!((told.status, told.header("content-type")), (200, Some(wanted)), "{content_type}");
    }
}

/// Bodies in chunks got 400.
#[test]
fn bodies_may_come_in_chunks() {
    let server = Server::configured(ORIGINS, &["--message-bytes-max", "1000"]);
    let connect = json!({"id": 1, "connect": {}}).to_string();
    let (front, back) = connect.split_at(7);
    let body = format!(
        "{:x}\r\n{front}\r\n00{:X};note=\"a, b\"\r\n{back}\r\n0\r\nX-Trailer: x\r\n\r\n",
        front.len(),
        back.len()
    );
    let request =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n");
    for piece in [1, 7, 4096] {
        let mut peer = Peer::connect(server.address);
        for bytes in format!("{}{body}", request("/connection/http_stream")).as_bytes().chunks(piece) {
            peer.send_bytes(bytes);
        }
        assert_eq!(peer.response_head().status, 200);
        assert!(peer.line().contains("\"connect\""), "{piece}");
    }
    // The bytes behind the body are the next request.
    let emulation = r#"{"session":"s","node":"n","data":"x"}"#;
    let one = format!("{}{:x}\r\n{emulation}\r\n0\r\n\r\n", request("/emulation"), emulation.len());
    let mut peer = Peer::connect(server.address);
    peer.send_bytes(format!("{one}{one}").as_bytes());
    assert_eq!([peer.response_head().status, peer.response_head().status], [404, 404]);
    // The limit holds for any declared length and any chunk size.
    let (thousand, many) = ("a".repeat(1000), "1\r\na\r\n".repeat(1000));
    for chunks in ["3e9\r\n", "ffffffff\r\n", &format!("3e8\r\n{thousand}\r\n1\r\n"), &format!("{many}1\r\n")]
    {
        assert_eq!(ask(&server, &request("/emulation"), chunks.as_bytes()).status, 413, "{chunks:.20}");
    }
    // Where no body is permitted, none is read.
    let get = "GET /connection/sse HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(ask(&server, get, b"").status, 400);
}

/// A proxy that parses such a request differently could be made to forward a request that its client did not send.
#[test]
fn nothing_behind_chunks_that_could_be_read_in_two_ways_is_taken_for_a_request() {
    let server = Server::start(&["--linger-ms", "300"]);
    let hidden = "OPTIONS /emulation HTTP/1.1\r\nHost: x\r\n\r\n";
    let plain = "Transfer-Encoding: chunked\r\n";
    for (lines, body) in [
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked \u{a0}\r\n", "0\r\n\r\n"),
        (plain, "0\n\r\n"),
        (plain, "0\r\n\n"),
        (plain, "0 \r\n\r\n"),
        (plain, "0x0\r\n\r\n"),
        (plain, "-0\r\n\r\n"),
        (plain, "0;a\n\r\n\r\n"),
        (plain, "1\r\nab0\r\n\r\n"),
        (plain, "1\r\na\n0\r\n\r\n"),
        (plain, "10000000000000000\r\n\r\n"),
        (plain, "0\r\nX : a\r\n\r\n"),
        (plain, "0\r\n X: a\r\n\r\n"),
    ] {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(
            format!("POST /emulation HTTP/1.1\r\nHost: x\r\n{lines}\r\n{body}{hidden}").as_bytes(),
        );
        let answer = peer.response();
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!((answer.status, said.contains("HTTP/1.1")), (400, false), "{lines} {body:?} {said}");
    }
}

/// A page could not read why it was refused.
#[test]
fn refusals_can_be_read_by_pages_that_may_come() {
    let flags = ["--message-bytes-max", "100", "--handshake-ms", "300"];
    let server = Server::configured(ORIGINS, &flags);
    let post = |path: &str, more: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\n{more}");
    let rows = [
        (post("/emulation", "Content-Length: 2\r\n"), "[]", 400),
        (post("/emulation", "Transfer-Encoding: chunked\r\n"), "x", 400),
        (post("/emulation", "Content-Length: 101\r\n"), "", 413),
        (post("/connection/http_stream", "Content-Length: 101\r\n"), "", 413),
        (post("/connection/http_stream", "Transfer-Encoding: chunked\r\n"), "ff\r\n", 413),
        (post("/connection/http_stream", "Expect: more\r\n"), "", 417),
        (post("/connection/uni_sse", "Content-Length: 9\r\n"), "", 408),
        (post("/connection/sse", "Content-Length: 101\r\n"), "", 413),
        ("GET /emulation HTTP/1.1\r\nHost: x\r\n".to_owned(), "", 405),
        ("GET /connection/http_stream HTTP/1.1\r\nHost: x\r\n".to_owned(), "", 405),
        ("DELETE /connection/sse HTTP/1.1\r\nHost: x\r\n".to_owned(), "", 405),
        ("GET /connection/sse HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n".to_owned(), "{}", 400),
    ];
    for (head, body, status) in rows {
        for origin in [Some("https://app.example"), None] {
            let line = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
            let answer = ask(&server, &format!("{head}{line}\r\n"), body.as_bytes());
            let told = (answer.status, answer.header("access-control-allow-origin"));
            assert_eq!(told, (status, origin), "{head}");
            assert_eq!(answer.header("vary").is_some(), origin.is_some(), "{head}");
        }
        let answer = ask(&server, &format!("{head}Origin: https://evil.test\r\n\r\n"), body.as_bytes());
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None), "{head}");
    }
}

/// An idle connection after an answered request got a 408, which a client could treat as the answer to its next
/// request.
#[test]
fn a_kept_connection_that_asks_nothing_is_closed_without_a_word() {
    let server = Server::start(&["--handshake-ms", "300"]);
    let mut kept = Peer::connect(server.address);
    for _ in 0..2 {
        kept.send_bytes(b"OPTIONS /emulation HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(kept.response_head().status, 204);
    }
    assert!(kept.is_silent_for(Duration::from_millis(100)));
    assert_eq!(kept.rest(), b"");
    server.await_metric("throng_connections", 0);
    assert_eq!(server.metric("throng_handshake_timeouts_total"), 0, "nobody was too slow");
    // A client with an incomplete request gets an answer.
    let mut begun = Peer::connect(server.address);
    begun.send_bytes(b"OPTIONS /emulation HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(begun.response_head().status, 204);
    begun.send_bytes(b"O");
    assert_eq!(begun.response_head().status, 408);
    assert_eq!(server.metric("throng_handshake_timeouts_total"), 1);
}

/// Clients that list several versions were told to use 13.
#[test]
fn one_of_several_versions_will_do() {
    let server = Server::start(&[]);
    let status = |versions: &str| {
        let head = upgrade(PATH, "").replace("Version: 13", &format!("Version: {versions}"));
        ask_head(&server, head.as_bytes())
    };
    assert_eq!([status("13, 8"), status("8\r\nSec-WebSocket-Version: 13")], [101, 101]);
    assert_eq!(status("8, 7"), 426);
}
