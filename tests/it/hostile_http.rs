//! Requests of hostile clients: endless ones, too large ones, ambiguous ones. Each meets its limit, is counted, and
//! does not disturb other clients.

use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::centrifuge::PATH;
use crate::support::peer::{BINARY, CLOSE, PATIENCE, TEXT, upgrade};
use crate::support::{Client, Frame, Peer, Server};

/// Sends these bytes one by one, with pauses between them, until the connection ends; returns the answer's status.
fn trickle(address: SocketAddr, first: &str, drop: &[u8]) -> u16 {
    let mut peer = Peer::connect(address);
    peer.send_bytes(first.as_bytes());
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        if !peer.is_silent_for(Duration::from_millis(20)) {
            return peer.response_head().status;
        }
        // The end may come between the look and this.
        peer.stream.write_all(drop).ok();
    }
    panic!("{first:?} was waited for too long");
}

#[test]
fn who_sends_a_request_drop_by_drop_is_let_go_at_the_deadline() {
    let server = Server::start(&["--handshake-ms", "300"]);
    let head = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\n";
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{{");
    let answered = thread::scope(|scope| {
        let rows = [
            (String::new(), &b"\r\n"[..]),
            (head.to_owned(), b"X: y\r\n"),
            (head.to_owned() + "X: ", b"y"),
            (post("/emulation"), b" "),
            (post("/connection/http_stream"), b" "),
            (post("/connection/uni_sse"), b" "),
        ];
        let address = server.address;
        let threads = rows.map(|(first, drop)| scope.spawn(move || trickle(address, &first, drop)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(answered, [408; 6]);
    assert_eq!(server.metric("throng_handshake_timeouts_total"), 6);
    server.await_metric("throng_connections", 0);
}

#[test]
fn who_shakes_hands_drop_by_drop_is_let_go_at_the_deadline() {
    let server = Server::start(&["--tls-self-signed", "--handshake-ms", "300"]);
    // Nothing; half the header of a record; the beginning of a greeting, and drops of it.
    let threads =
        [(&b""[..], &b""[..]), (b"\x16\x03", b""), (b"\x16\x03\x01\x40\x00\x01\x00\x3f\xf0\x03\x03", b"x")]
            .map(|(first, drop)| {
                let mut peer = Peer::connect(server.address);
                thread::spawn(move || {
                    peer.send_bytes(first);
                    let end = Instant::now() + PATIENCE;
                    while peer.is_silent_for(Duration::from_millis(20)) && Instant::now() < end {
                        peer.stream.write_all(drop).ok();
                    }
                    // An alert, perhaps, and the end; input other than TLS gets no HTTP answer.
                    let rest = peer.rest();
                    assert!(rest.len() < 10, "{rest:?}");
                })
            });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    server.await_metric("throng_connections", 0);
    assert_eq!(server.metric("throng_handshake_timeouts_total"), 3);
}

#[test]
fn who_says_nothing_at_all_is_let_go_at_the_deadline() {
    let server = Server::start(&["--handshake-ms", "200", "--connect-ms", "300"]);
    let silent: Vec<Peer> = (0..50).map(|_| Peer::connect(server.address)).collect();
    let mute: Vec<Peer> = (0..50).map(|_| Peer::open(server.address, PATH)).collect();
    for mut peer in silent {
        assert_eq!(peer.response_head().status, 408);
        // Its body is read to the end of the connection.
        peer.rest();
    }
    for mut peer in mute {
        peer.expect_close(3502);
    }
    assert_eq!(server.metric("throng_handshake_timeouts_total"), 100);
    server.await_metric("throng_connections", 0);
}

#[test]
fn a_request_that_is_answered_buys_time_for_one_more_and_not_for_ever() {
    let server = Server::start(&["--handshake-ms", "400"]);
    let mut peer = Peer::connect(server.address);
    let whole = "OPTIONS /emulation HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..3 {
        peer.send_bytes(whole.as_bytes());
        assert_eq!(peer.response_head().status, 204);
    }
    // The beginning of another, together with a whole one, has the time that it would have had alone.
    peer.send_bytes(format!("{whole}OPTIONS /emul").as_bytes());
    assert_eq!(peer.response_head().status, 204);
    assert_eq!(peer.response_head().status, 408);
    server.await_metric("throng_connections", 0);
}

#[test]
fn floods_of_headers_are_cut_off() {
    let server = Server::start(&["--head-bytes-max", "4KiB", "--linger-ms", "300"]);
    let ask = |request: &str| Peer::request(server.address, request.as_bytes()).status;
    let start = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\n";
    assert_eq!(ask(&format!("{start}{}\r\n", "a: b\r\n".repeat(64))), 431, "64 headers and the host");
    assert_eq!(ask(&format!("{start}X: {}\r\n\r\n", "y".repeat(4096))), 431);
    assert_eq!(ask(&format!("{start}X: {}", "y".repeat(4096))), 431, "without an end");
    assert_eq!(ask(&format!("GET /{}", "y".repeat(4096))), 431);
    assert_eq!(ask(&"\r\n".repeat(2048)), 431, "lines without a request");
    assert_eq!(server.metric_with("throng_refused_total", "head_too_large"), 5);
    // A client that keeps sending after its refusal is read only as long as a linger takes.
    let mut peer = Peer::connect(server.address);
    peer.send_bytes(start.as_bytes());
    let flood = "a: b\r\n".repeat(1000);
    let end = Instant::now() + PATIENCE;
    while peer.stream.write_all(flood.as_bytes()).is_ok() {
        assert!(Instant::now() < end, "it is listened to for ever");
    }
    server.await_metric("throng_connections", 0);
}

#[test]
fn what_others_could_read_in_another_way_is_refused_and_what_follows_it_is_not_read() {
    let server = Server::start(&[]);
    let behind = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\n\r\n";
    let rows = [
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 0\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n", 400),
        (
            "POST /emulation HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nX: a\r\n Content-Length: 5\r\n\r\nhello", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\nHost: x\n\n", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\r\nhello", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\rContent-Length: 5\r\n\r\nhello", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", 400),
        ("POST http://x/emulation HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("POST emulation HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        ("POST /emulation HTTP/1.1\r\n\r\n", 400),
        ("POST /emulation HTTP/1.0\r\nHost: x\r\n\r\n", 400),
        ("POST /emulation HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        ("POST /emulation\r\nHost: x\r\n\r\n", 400),
        ("POST  /emulation HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("GET /connection/websocket HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}", 400),
        ("TRACE /emulation HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("post /emulation HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("POST //emulation HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("POST /./emulation HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("POST /emulation%00 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ];
    for (request, status) in rows {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(format!("{request}{behind}").as_bytes());
        assert_eq!(peer.response_head().status, status, "{request:?}");
        let rest = String::from_utf8(peer.rest()).unwrap();
        assert!(!rest.contains("Content-Length:"), "{request:?} was read as two: {rest}");
    }
    let counted = |status: u16| rows.iter().filter(|(_, is)| *is == status).count() as u64;
    for (reason, status) in [("bad_request", 400), ("method", 405), ("not_found", 404)] {
        assert_eq!(server.metric_with("throng_refused_total", reason), counted(status), "{reason}");
    }
    server.await_metric("throng_connections", 0);
}

#[test]
fn an_upgrade_is_one_or_it_is_nothing() {
    let server = Server::start(&[]);
    let whole = upgrade(PATH, "");
    for (request, status) in [
        (whole.replace("HTTP/1.1", "HTTP/1.0"), 400),
        (whole.replace("GET", "POST"), 405),
        (whole.replace("Version: 13", "Version: 8"), 426),
        (whole.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        (whole.replace("Connection: Upgrade", "Connection: close"), 426),
        (whole.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        (whole.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"), 400),
        (whole.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
    ] {
        assert_eq!(Peer::request(server.address, request.as_bytes()).status, status, "{request}");
    }
    // Behind an upgrade there are frames, no requests, even if a proxy parses one there.
    let mut peer = Peer::connect(server.address).upgraded(PATH, "");
    peer.send_bytes(b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\n\r\n");
    peer.expect_close(1002);
    let mut peer = Peer::connect(server.address);
    peer.send_bytes(format!("{whole}GET /connection/websocket HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert_eq!(peer.response_head().status, 101);
    peer.expect_close(1002);
    // Frames may come with it; they are read once.
    let mut peer = Peer::connect(server.address);
    let connect = Frame::new(TEXT, r#"{"id":1,"connect":{}}"#).bytes();
    peer.send_bytes(&[whole.as_bytes(), &connect].concat());
    assert_eq!(peer.response_head().status, 101);
    assert!(peer.message().1.starts_with(br#"{"id":1,"connect":"#));
    assert!(peer.is_silent_for(Duration::from_millis(50)));
    assert_eq!(server.metric("throng_violations_total"), 2);
}

#[test]
fn a_crowd_of_the_hostile_leaves_the_others_served() {
    let server = Server::start(&["--shards", "1", "--handshake-ms", "10000", "--echo", "/echo"]);
    let mut client = Client::open(server.address);
    let mut crowd: Vec<Peer> = (0..600).map(|_| Peer::connect(server.address)).collect();
    for (n, peer) in crowd.iter_mut().enumerate() {
        match n % 3 {
            0 => {}
            1 => peer.send_bytes(b"GET /connection/websocket HTTP/1.1\r\nX: "),
            _ => peer.send_bytes(b"POST /emulation HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n{"),
        }
    }
    for (n, peer) in crowd.iter_mut().enumerate().filter(|(n, _)| n % 3 != 0) {
        peer.send_bytes(&[b'y'; 100]);
        if n % 30 == 1 {
            client.sync();
        }
    }
    let mut echo = Peer::open(server.address, "/echo");
    echo.send(BINARY, "served");
    assert_eq!(echo.message(), (BINARY, b"served".to_vec()));
    // The server holds only their bytes, and counts them.
    assert!(server.metric("throng_connections") >= 602);
    drop(crowd);
    server.await_metric("throng_connections", 2);
    client.sync();
    echo.send(CLOSE, 1000u16.to_be_bytes());
    echo.expect_close(1000);
}
