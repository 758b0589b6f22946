//! Keys: access to the server API on the listeners of clients, and the rates of wrong ones.

use std::{env, fs, process};

use super::{KEY, LAST, PUBLISH, answer, ask, get, post, publish, text};
use crate::support::backend::{Running, options};
use crate::support::{Peer, Server};

#[test]
fn without_a_right_key_nothing_is_done_and_with_one_nothing_is_limited() {
    let server = Running::start(options());
    let mut peer = Peer::connect(server.address);
    for lines in ["", "X-API-Key: \r\n", "X-API-Key: secre\r\n", "Authorization: Bearer secret\r\n"] {
        let response = ask(&mut peer, &publish(lines));
        assert_eq!((response.status, text(&response).as_str()), (401, "a key is needed: X-API-Key\n"));
    }
    // One right key is enough.
    let both = post("/api/publish?api_key=secret", "X-API-Key: wrong\r\n", PUBLISH);
    assert_eq!(ask(&mut peer, &both).status, 200);
    assert_eq!(ask(&mut peer, &publish(KEY)).status, 200, "on the same connection");
    // A refusal does not wait for the body.
    let half = "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(Peer::request(server.address, half.as_bytes()).status, 401);
    let large =
        format!("POST /api/publish HTTP/1.1\r\nHost: localhost\r\n{KEY}Content-Length: 1048577\r\n\r\n");
    assert_eq!(Peer::request(server.address, large.as_bytes()).status, 413);
    // More than the rate of immediate answers: they wait, and a valid key does not.
    let mut wrong: Vec<_> = (0..60).map(|_| Peer::connect(server.address)).collect();
    for peer in &mut wrong {
        peer.send_bytes(publish("X-API-Key: wrong\r\n").as_bytes());
    }
    for _ in 0..100 {
        assert_eq!(ask(&mut peer, &publish(KEY)).status, 200);
    }
    let fresh = Peer::request(server.address, publish(&format!("{KEY}{LAST}")).as_bytes());
    assert_eq!(fresh.status, 200);
    for peer in &mut wrong {
        assert_eq!(answer(peer).status, 401, "in the end each is told");
    }
    let metrics = text(&Peer::request(server.control, get("/metrics", LAST).as_bytes()));
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("throng_wrong_keys_total"), 65);
    // Each of three shards answers ten per second at once.
    assert!(value("throng_wrong_keys_slowed_total") > 0, "{metrics}");
    server.end();
}

/// Without a key, only programs of this machine are served, as far as a request can tell.
#[test]
fn where_no_key_is_asked_for_pages_and_proxies_are_refused() {
    let server = Running::configured(options(), |config| {
        config.api.keys.clear();
        config.api.insecure = true;
    });
    const JSON: &str = "Content-Type: application/json\r\n";
    for (host, lines, status) in [
        ("localhost", JSON, 200),
        ("127.0.0.1:8000", JSON, 200),
        (
            "localhost:8000",
            "Content-Type: application/json; charset=utf-8\r\nOrigin: http://localhost:8000\r\n",
            200,
        ),
        ("localhost", "", 415),
        ("localhost", "Content-Type: text/plain\r\n", 415),
        ("example.com", JSON, 403),
        ("localhost", "Content-Type: application/json\r\nOrigin: https://evil.example\r\n", 403),
        ("localhost", "Content-Type: application/json\r\nOrigin: null\r\n", 403),
        ("localhost", "Content-Type: application/json\r\nX-Forwarded-For: 10.0.0.1\r\n", 403),
        ("localhost", "Content-Type: application/json\r\nForwarded: for=10.0.0.1\r\n", 403),
        ("localhost", "Content-Type: application/json\r\nVia: 1.1 a\r\n", 403),
        ("93.184.216.34", JSON, 403),
    ] {
        let length = PUBLISH.len();
        let request = format!(
            "POST /api/publish HTTP/1.1\r\nHost: {host}\r\n{lines}{LAST}Content-Length: {length}\r\n\r\n{PUBLISH}"
        );
        let response = Peer::request(server.address, request.as_bytes());
        assert_eq!(response.status, status, "{host} {lines}: {}", text(&response));
    }
    let length = PUBLISH.len();
    for host in ["", "Host: 127.0.0.1\r\n"] {
        let old =
            format!("POST /api/publish HTTP/1.0\r\n{host}{JSON}Content-Length: {length}\r\n\r\n{PUBLISH}");
        assert_eq!(Peer::request(server.address, old.as_bytes()).status, 403, "a proxy's: {host}");
    }
    server.end();
    // Where a proxy may forward requests, no request is known to come from this machine.
    for (has_header, networks) in [(true, None), (false, Some("127.0.0.1"))] {
        let server = Running::configured(options(), |config| {
            config.api.keys.clear();
            config.api.insecure = true;
            config.proxy_protocol = has_header;
            config.trusted_proxies = throng::parts::base::networks::Networks::parse(networks).unwrap();
        });
        let request = format!(
            "POST /api/publish HTTP/1.1\r\nHost: localhost\r\n{JSON}{LAST}Content-Length: {length}\r\n\r\n{PUBLISH}"
        );
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(request.as_bytes());
        let status = peer.response_head().status;
        assert_eq!(status, 404, "{has_header} {networks:?}");
        server.end();
    }
}

/// Wrong keys are counted by the address from a trusted proxy: those of one client do not slow another.
#[test]
fn wrong_keys_are_counted_by_the_client_behind_a_proxy() {
    const CONFIG: &str = "http_api = { key = \"secret\", external = true }\nclient = { insecure = true }\n";
    let server = Server::configured(CONFIG, &["--trusted-proxies", "127.0.0.1/32", "--shards", "1"]);
    let mut peers: Vec<_> = (0..40).map(|_| Peer::connect(server.address)).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.send_bytes(publish(&format!("X-Forwarded-For: 192.0.2.{n}\r\n")).as_bytes());
    }
    for peer in &mut peers {
        assert_eq!(answer(peer).status, 401);
    }
    assert_eq!(server.metric("throng_wrong_keys_slowed_total"), 0, "each has its own rate");
    for peer in &mut peers {
        peer.send_bytes(publish("X-Forwarded-For: 192.0.2.1\r\n").as_bytes());
    }
    for peer in &mut peers {
        assert_eq!(answer(peer).status, 401);
    }
    assert!(server.metric("throng_wrong_keys_slowed_total") >= 10);
    assert_eq!(server.metric("throng_wrong_keys_total"), 80);
}

/// A reload changes the keys of client listeners as well, and a drain answers earlier requests.
#[test]
fn keys_follow_a_reload() {
    let path = env::temp_dir().join(format!("throng-one-port-{}.toml", process::id()));
    let write = |key: &str| {
        let text =
            format!("http_api = {{ key = \"{key}\", external = true }}\nclient = {{ insecure = true }}\n");
        fs::write(&path, text).unwrap();
    };
    write("first");
    let server = Server::start(&["--config", path.to_str().unwrap()]);
    let mut peer = Peer::connect(server.address);
    assert_eq!(ask(&mut peer, &publish("X-API-Key: first\r\n")).status, 200);
    write("second");
    let response = ask(&mut peer, &post("/api/reload", "X-API-Key: first\r\n", ""));
    assert!(text(&response).contains("http_api.key"), "{}", text(&response));
    // The shards learn of it by letters, which this connection's next request may overtake on another shard.
    let is_second =
        || ask(&mut Peer::connect(server.address), &publish("X-API-Key: second\r\n")).status == 200;
    crate::support::until("the second key", || is_second().then_some(()));
    assert_eq!(ask(&mut peer, &publish("X-API-Key: first\r\n")).status, 401);
    fs::remove_file(path).unwrap();
}
