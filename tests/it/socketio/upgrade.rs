//! From HTTP long-polling to WebSocket: what is sent meanwhile, and what goes wrong on the way. Sessions,
//! requests and WebSockets are in different shards, by the kernel's choice.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use throng::SocketIoOptions;

use super::polling::{Http, Polling};
use super::{Running, text};
use crate::support::peer::{BINARY, CLOSE, TEXT, upgrade};
use crate::support::tls::fixtures::Authority;
use crate::support::{Frame, Peer, tls};

pub(super) fn options() -> SocketIoOptions {
    SocketIoOptions { enabled: true, ..SocketIoOptions::default() }
}

impl Polling {
    pub(super) fn by_websocket(&self) -> String {
        self.target.replace("transport=polling", "transport=websocket")
    }

    /// A WebSocket for the session.
    pub(super) fn websocket(&self, running: &Running) -> Peer {
        Peer::open(running.address, &self.by_websocket())
    }

    /// Parks a poll, which is no answer to what came before.
    pub(super) fn park(&mut self) {
        self.gets.send("GET", &self.target, "", "");
        std::thread::sleep(Duration::from_millis(30));
    }
}

pub(super) fn probe(peer: &mut Peer) {
    peer.send(TEXT, "2probe");
    assert_eq!(peer.message(), (TEXT, b"3probe".to_vec()));
}

pub(super) fn event(number: usize) -> String {
    format!("42[\"message\",{number}]")
}

pub(super) fn back(number: usize) -> String {
    format!("42[\"message-back\",{number}]")
}

/// The session is on the WebSocket, for good and whole: both directions work, and polls are refused.
pub(super) fn check_upgraded(client: &mut Polling, peer: &mut Peer) {
    for number in 0..3 {
        peer.send(TEXT, event(number));
        assert_eq!(text(peer), back(number));
    }
    peer.send(TEXT, "451-[\"message\",{\"_placeholder\":true,\"num\":0}]");
    peer.send(BINARY, [1, 2, 3]);
    assert_eq!(text(peer), "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(peer.message(), (BINARY, vec![1, 2, 3]));
    for (method, body) in [("GET", ""), ("POST", "42[\"message\",1]")] {
        client.posts.send(method, &client.target, "", body);
        let answer = client.posts.answer();
        assert_eq!((answer.status, answer.body.contains("\"code\":3")), (400, true), "{answer:?}");
    }
    peer.send(TEXT, event(7));
    assert_eq!(text(peer), back(7), "the session is unharmed");
}

#[test]
fn events_during_an_upgrade_arrive_once_and_in_order() {
    let running = Running::start(options());
    for _ in 0..8 {
        let mut client = Polling::client(&running);
        client.park();
        client.post(&event(0));
        assert_eq!(client.gets.answer().body, back(0));
        let mut peer = client.websocket(&running);
        // What is sent until the upgrade is posted, and may wait for a poll.
        client.post(&event(1));
        probe(&mut peer);
        client.post(&event(2));
        assert_eq!(client.packets(2), [back(1), back(2)]);
        // While it probes each poll is ended, and events still come by polls.
        for _ in 0..3 {
            assert_eq!(client.gets.get(&client.target).body, "6");
        }
        client.post(
            &[
                event(3),
                event(4),
                "451-[\"message\",{\"_placeholder\":true,\"num\":0}]".into(),
                "bAQID".into(),
            ]
            .join("\u{1e}"),
        );
        client.post(&event(5));
        peer.send(TEXT, "5");
        peer.send(TEXT, event(6));
        assert_eq!([text(&mut peer), text(&mut peer)], [back(3), back(4)]);
        assert_eq!(text(&mut peer), "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]");
        assert_eq!(peer.message(), (BINARY, vec![1, 2, 3]));
        assert_eq!([text(&mut peer), text(&mut peer)], [back(5), back(6)]);
        check_upgraded(&mut client, &mut peer);
    }
    running.end();
}

#[test]
fn a_second_websocket_is_closed_and_changes_nothing() {
    let running = Running::start(options());
    for _ in 0..8 {
        let mut client = Polling::client(&running);
        let mut peer = client.websocket(&running);
        probe(&mut peer);
        let is_closed = |client: &Polling| {
            let mut second = client.websocket(&running);
            assert_eq!(second.frame().opcode, CLOSE);
        };
        is_closed(&client);
        assert_eq!(client.gets.get(&client.target).body, "6", "the first is still the probe");
        peer.send(TEXT, "5");
        check_upgraded(&mut client, &mut peer);
        is_closed(&client);
        peer.send(TEXT, event(8));
        assert_eq!(text(&mut peer), back(8));
    }
    // A session that began by WebSocket.
    let mut peer = Peer::open(running.address, super::PATH);
    let open = text(&mut peer);
    let target = format!("{}&sid={}", super::PATH, open.split('"').nth(3).unwrap());
    assert_eq!(Peer::open(running.address, &target).frame().opcode, CLOSE);
    peer.send(TEXT, "40");
    assert!(text(&mut peer).starts_with("40{"));
    running.end();
}

#[test]
fn a_probe_that_fails_harms_no_polling() {
    let running = Running::start(SocketIoOptions { upgrade_timeout_ms: 200, ..options() });
    let check = |client: &mut Polling| {
        client.post(&event(1));
        assert_eq!(client.packets(1), [back(1)]);
    };
    for _ in 0..4 {
        let mut client = Polling::client(&running);
        // Broken, closed, against the rules, and too late.
        let mut peer = client.websocket(&running);
        probe(&mut peer);
        drop(peer);
        check(&mut client);
        let mut peer = open_again(&client, &running);
        peer.send_close(1000);
        peer.expect_close(1000);
        check(&mut client);
        for packet in ["40", "3", "x", "2"] {
            let mut peer = open_again(&client, &running);
            peer.send(TEXT, packet);
            peer.expect_close(1002);
            check(&mut client);
        }
        let mut peer = open_again(&client, &running);
        probe(&mut peer);
        assert_eq!(peer.frame().close_code(), Some(1000));
        client.park();
        check_parked(&mut client);
        // And then one that succeeds.
        let mut peer = open_again(&client, &running);
        peer.send(TEXT, "5");
        check_upgraded(&mut client, &mut peer);
    }
    running.end();
}

/// A WebSocket for a session whose last probe may just be ending: then it is closed at once.
fn open_again(client: &Polling, running: &Running) -> Peer {
    loop {
        let mut peer = client.websocket(running);
        peer.send(TEXT, "2probe");
        match peer.frame() {
            Frame { opcode: CLOSE, .. } => std::thread::sleep(Duration::from_millis(5)),
            frame => {
                assert_eq!(frame.payload, b"3probe");
                return peer;
            }
        }
    }
}

/// A parked poll stays until there is output.
fn check_parked(client: &mut Polling) {
    client.post(&event(2));
    assert_eq!(client.gets.answer().body, back(2));
}

#[test]
fn the_end_of_a_session_ends_its_probe() {
    let running = Running::start(options());
    let mut client = Polling::client(&running);
    let mut peer = client.websocket(&running);
    probe(&mut peer);
    client.post("1");
    assert_eq!(peer.frame().close_code(), Some(1000));
    // A session that is over gets no WebSocket.
    let mut late = Peer::connect(running.address);
    late.send_bytes(upgrade(&client.by_websocket(), "").as_bytes());
    let response = late.response();
    assert_eq!((response.status, response.body), (400, b"Session ID unknown\n".to_vec()));
    // A drain closes both.
    let client = Polling::client(&running);
    let mut peer = client.websocket(&running);
    probe(&mut peer);
    running.end();
    assert_eq!(peer.frame().opcode, CLOSE);
}

#[test]
fn a_ping_that_polling_owed_does_not_end_the_session() {
    let running = Running::start(super::conformance::options());
    let mut client = Polling::client(&running);
    let mut peer = client.websocket(&running);
    probe(&mut peer);
    // The ping comes by a poll; the client has no way to answer before it moves.
    while client.gets.get(&client.target).body != "2" {}
    peer.send(TEXT, "5");
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(900) {
        assert_eq!(peer.message(), (TEXT, b"2".to_vec()));
        peer.send(TEXT, "3");
    }
    // One that no poll has fetched leaves by the WebSocket.
    let client = Polling::client(&running);
    let mut peer = client.websocket(&running);
    std::thread::sleep(Duration::from_millis(350));
    peer.send(TEXT, "5");
    assert_eq!(peer.message(), (TEXT, b"2".to_vec()));
    running.end();
}

#[test]
fn a_transport_that_is_not_served_is_not_offered() {
    for (transports, expected) in
        [(vec!["polling"], "\"upgrades\":[]"), (vec!["polling", "websocket"], "\"upgrades\":[\"websocket\"]")]
    {
        let transports: Vec<String> = transports.into_iter().map(str::to_owned).collect();
        let running = Running::start(SocketIoOptions { transports, ..options() });
        let answer = Http::new(&running).get(super::polling::POLLING);
        assert!(answer.body.contains(expected), "{answer:?}");
        running.end();
    }
}

#[test]
fn a_compressed_websocket_takes_over_what_polls_did_not_fetch() {
    let running = Running::start_with(options(), |config| {
        (config.compression, config.compression_min_bytes) = (true, 1);
    });
    for _ in 0..4 {
        let mut client = Polling::client(&running);
        let long = format!("42[\"message\",\"{}\"]", "x".repeat(5000));
        client.post(&long);
        let more = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let mut peer = Peer::connect(running.address).upgraded(&client.by_websocket(), more);
        peer.send(TEXT, "5");
        let frame = peer.frame();
        assert!(frame.opcode & crate::support::peer::RSV1 != 0 && frame.payload.len() < 500, "{frame:?}");
        check_deflated(&mut peer);
    }
    running.end();
}

/// Messages in both directions may be compressed, too.
fn check_deflated(peer: &mut Peer) {
    peer.send(
        TEXT,
        "42[\"message\",\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\"]",
    );
    let frame = peer.frame();
    assert!(frame.opcode & crate::support::peer::RSV1 != 0 && frame.payload.len() < 60, "{frame:?}");
}

/// Each connection is counted where it is, whatever is done and undone, and in the end there is none.
#[test]
fn counts_are_right_after_upgrades_of_all_kinds() {
    // No probe ends by itself on a busy machine, and the last output of a session does not wait for a poll.
    let running =
        Running::start_with(SocketIoOptions { upgrade_timeout_ms: 600_000, ..options() }, |config| {
            config.timeouts.linger_ms = 100;
        });
    let sum = |name: &str| running.sum(name);
    let settles = |name: &str, expected: u64| {
        for _ in 0..2000 {
            if sum(name) == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(sum(name), expected, "{name}");
    };
    let mut open = Vec::new();
    for number in 0..24 {
        let mut client = Polling::client(&running);
        let mut peer = client.websocket(&running);
        match number % 3 {
            0 => {
                peer.send(TEXT, "5");
                check_upgraded(&mut client, &mut peer);
            }
            1 => probe(&mut peer),
            _ => {
                probe(&mut peer);
                let mut second = client.websocket(&running);
                assert_eq!(second.frame().opcode, CLOSE);
            }
        }
        open.push((client, peer));
    }
    // Two connections for the requests of each; the session of a client that has moved needs none of its own.
    settles("connections", 24 * 2 + 8 + 16 * 2);
    settles("sessions", 24);
    settles("probes", 16);
    assert_eq!((sum("upgrades"), sum("upgrades_refused")), (8, 8));
    assert!(sum("sockets_moved") > 0, "none of 32 requests reached another shard than its session's");
    for (client, _) in &mut open {
        client.posts.send("POST", &client.target, "", "1");
        client.posts.answer();
    }
    settles("probes", 0);
    assert_eq!(sum("upgrades_failed"), 16);
    drop(open);
    settles("connections", 0);
    settles("sessions", 0);
    settles("outboxes", 0);
    settles("partial_bytes", 0);
    running.end();
}

/// Over TLS the keys move with the connection, to whichever shard.
#[test]
fn an_upgrade_over_tls_takes_its_keys_along() {
    let ca = Authority::new();
    let (chain, key) = ca.issue(&["localhost"]);
    let running = Running::start_with(options(), |config| {
        let pem = vec![throng::PemText { name: "test".to_owned(), chain, key }];
        config.tls = throng::TlsOptions { pem, ..throng::TlsOptions::default() };
    });
    let trusting = tls::trusting(&ca, None);
    let mut in_other_shards = 0;
    for number in 0..12 {
        let before = running.sum("sockets_moved");
        let mut polls = Https::new(&running, &trusting);
        let open = polls.request("GET", super::polling::POLLING, "");
        let sid = open.split('"').nth(3).unwrap().to_owned();
        let target = format!("{}&sid={sid}", super::polling::POLLING);
        assert_eq!(polls.request("POST", &target, "40"), "ok");
        while !polls.request("GET", &target, "").contains("42[\"auth\"") {}
        polls.request("POST", &target, &event(0));
        let path = target.replace("transport=polling", "transport=websocket");
        let mut socket = tls::Socket::open(&trusting, running.address, "localhost", &path).unwrap();
        if number % 2 == 0 {
            assert_eq!(socket.ask("2probe"), "3probe");
        }
        socket.say("5");
        assert_eq!(socket.hear(), back(0));
        for number in 1..5 {
            assert_eq!(socket.ask(&event(number)), back(number));
        }
        let long = format!("42[\"message\",\"{}\"]", "é".repeat(100_000));
        assert_eq!(socket.ask(&long), long.replacen("message", "message-back", 1));
        in_other_shards += running.sum("sockets_moved") - before;
    }
    assert!(in_other_shards > 0, "none of twelve was in another shard than its session");
    running.end();
}

/// A connection of requests over TLS.
struct Https(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Https {
    fn new(running: &Running, config: &Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect(running.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let tls = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
        Self(BufReader::new(StreamOwned::new(tls, stream)))
    }

    /// The body of the answer.
    fn request(&mut self, method: &str, target: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "the connection ended: {head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }
}
