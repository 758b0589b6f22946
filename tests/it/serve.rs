//! Starting, refusing, and the control listener's endpoints.

use std::process::Command;

use crate::support::centrifuge::PATH;
use crate::support::peer::{TEXT, upgrade};
use crate::support::{Client, Peer, Server};

#[test]
fn without_a_config_it_says_where_it_is_and_warns_once() {
    let server = Server::spawn(Command::new(env!("CARGO_BIN_EXE_throng")).arg("serve"));
    // The tests may run as root, which causes a warning.
    let said: Vec<_> = server.said.iter().filter(|line| !line.contains("running as root")).collect();
    let [warning, ready] = said[..] else { panic!("{said:#?}") };
    assert!(warning.contains("development mode"), "{warning}");
    let expected = format!("throng {} ready: ws://{}{PATH}, ", env!("CARGO_PKG_VERSION"), server.address);
    assert!(ready.starts_with(&expected), "{ready}");
    assert!(ready.contains(" connections; Socket.IO at /socket.io/; control http://127.0.0.1:"), "{ready}");
    assert_ne!((server.address.port(), server.control.port()), (0, 0));
    Client::open(server.address).sync();
}

#[test]
fn every_address_is_listened_on() {
    let server = Server::start(&["--listen", "[::1]:0", "--echo", "/echo"]);
    let ready = server.said.last().unwrap();
    let addresses: Vec<_> = ready.split("ws://").skip(1).filter_map(|rest| rest.split('/').next()).collect();
    assert_eq!(addresses.len(), 2, "{ready}");
    for address in addresses {
        let mut peer = Peer::open(address.parse().unwrap(), "/echo");
        peer.send(TEXT, address);
        assert_eq!(peer.message(), (TEXT, address.as_bytes().to_vec()));
    }
}

#[test]
fn an_address_in_use_ends_it_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--control"] {
        let other = if flag == "--listen" { "--control" } else { "--listen" };
        let output = Command::new(env!("CARGO_BIN_EXE_throng"))
            .args(["serve", flag, &address, other, "127.0.0.1:0"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&address), "{said}");
    }
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let server = Server::start(&["--echo", "/echo", "--head-bytes-max", "1KiB"]);
    let good = upgrade("/echo", "");
    let large = upgrade("/echo", &format!("X-Large: {}\r\n", "x".repeat(1024)));
    for (request, status, header) in [
        ("\x16\x03\x01 this is not HTTP\r\n\r\n".to_owned(), 400, None),
        (good.replace("HTTP/1.1", "HTTP/1.0"), 400, None),
        (good.replace("Host: localhost\r\n", ""), 400, None),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400, None),
        (upgrade("/echo", "Content-Length: 3\r\n"), 400, None),
        (upgrade("/nothing", ""), 404, None),
        (upgrade("/echo/", ""), 404, None),
        (good.replace("GET", "POST"), 405, Some(("allow", "GET"))),
        (good.replace("Upgrade: websocket\r\n", ""), 426, Some(("upgrade", "websocket"))),
        (good.replace("Version: 13", "Version: 8"), 426, Some(("sec-websocket-version", "13"))),
        (large, 431, None),
    ] {
        let response = Peer::request(server.address, request.as_bytes());
        assert_eq!(response.status, status, "{request}");
        if let Some((name, value)) = header {
            assert_eq!(response.header(name), Some(value), "{request}");
        }
        assert_eq!(response.header("connection"), Some("close"));
        let length: usize = response.header("content-length").unwrap().parse().unwrap();
        assert!(length > 5 && response.body.len() == length, "a reason for people: {response:?}");
    }
    for (reason, count) in
        [("bad_request", 5), ("not_found", 2), ("method", 1), ("upgrade", 2), ("head_too_large", 1)]
    {
        let labels = format!("reason=\"{reason}\"");
        assert_eq!(server.metric_with("throng_refused_total", &labels), count, "{reason}");
    }
    server.await_metric("throng_connections", 0);
}

#[test]
fn a_head_may_come_in_pieces_and_frames_behind_it() {
    let server = Server::start(&["--echo", "/echo"]);
    let mut peer = Peer::connect(server.address);
    let head = upgrade("/echo?with=a&query", "Sec-WebSocket-Protocol: unknown\r\n");
    let (first, second) = head.split_at(40);
    peer.send_bytes(first.as_bytes());
    std::thread::sleep(std::time::Duration::from_millis(20));
    let frame = crate::support::Frame::new(TEXT, "early").bytes();
    peer.send_bytes(&[second.as_bytes(), &frame].concat());
    let response = peer.response_head();
    assert_eq!((response.status, response.header("sec-websocket-protocol")), (101, None));
    assert_eq!(peer.message(), (TEXT, b"early".to_vec()));
}

#[test]
fn beyond_the_limit_of_connections_others_are_asked_to_come_later() {
    let server = Server::start(&["--echo", "/echo", "--connections-max", "3"]);
    let mut held: Vec<_> = (0..3).map(|_| Peer::open(server.address, "/echo")).collect();
    let response = Peer::request(server.address, upgrade("/echo", "").as_bytes());
    let wait = response.header("retry-after").and_then(|seconds| seconds.parse().ok());
    assert!(response.status == 503 && wait.is_some_and(|wait: u64| (1..=10).contains(&wait)), "{response:?}");
    assert_eq!(server.metric_with("throng_refused_total", "reason=\"unavailable\""), 1);
    for peer in &mut held {
        peer.send(TEXT, "still here");
        assert_eq!(peer.message(), (TEXT, b"still here".to_vec()));
    }
    held.pop().unwrap().send_close(1000);
    server.await_metric("throng_connections", 2);
    Peer::open(server.address, "/echo");
}

#[test]
fn the_control_listener_tells_health_readiness_and_figures() {
    let server = Server::start(&["--echo", "/echo"]);
    for (path, status) in [("/health", 200), ("/ready", 200), ("/metrics", 200), ("/else", 404)] {
        assert_eq!(server.ask(path).status, status, "{path}");
    }
    let mut peers: Vec<_> = (0..8).map(|_| Peer::open(server.address, "/echo")).collect();
    for peer in &mut peers {
        peer.send(TEXT, "ten bytes.");
        peer.frame();
    }
    let _subscriber = Client::subscribed(server.address, &["a", "b"]);
    for (name, value) in [
        ("throng_connections", 9),
        ("throng_sessions", 9),
        ("throng_accepts_total", 9),
        ("throng_handshakes_total", 9),
        ("throng_messages_received_total", 8 + 3),
        ("throng_messages_sent_total", 8 + 3),
        ("throng_channels", 2),
        ("throng_subscriptions", 2),
        ("throng_shards", 2),
        ("throng_ready", 1),
    ] {
        assert_eq!(server.metric(name), value, "{name}");
    }
    assert!(server.metric("throng_sent_bytes_total") > 9 * 100 && server.metric("throng_turns_total") > 10);
    assert_eq!(server.metric("throng_shards"), 2);
    drop(peers);
    server.await_metric("throng_connections", 1);
    // The data plane is no place for them.
    let response = Peer::request(server.address, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.status, 404);
}
