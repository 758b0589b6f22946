//! Socket.IO over loopback: the example for test suites as a server in this process, and the built server without an
//! application.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use throng::parts::shard::counters::Counters;
use throng::{Config, Outcome, Server as Embedded, SocketIoOptions};

use crate::support::peer::{BINARY, CLOSE, TEXT};
use crate::support::{Frame, Peer, Server};

#[path = "../../examples/socketio_conformance.rs"]
#[expect(dead_code, unreachable_pub, reason = "elsewhere it is a program of its own")]
mod conformance;

mod dances;
mod engine;
mod floods;
mod identity;
mod malformed;
mod metrics;
mod old;
pub(crate) mod polling;
mod upgrade;

const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// A server with the example's application.
pub(crate) struct Running {
    address: std::net::SocketAddr,
    counters: Vec<Arc<Counters>>,
    drain: Box<dyn Fn() + Send>,
    thread: thread::JoinHandle<Outcome>,
}

impl Running {
    fn start(socketio: SocketIoOptions) -> Self {
        Self::start_with(socketio, |_| {})
    }

    fn start_with(socketio: SocketIoOptions, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            shards: 2,
            pin: false,
            // A shard's table would begin as a copy of this process's and keep the sockets of other tests open.
            private_descriptors: false,
            ..conformance::config(([127, 0, 0, 1], 0).into(), socketio)
        };
        config.timeouts.drain_ms = 50;
        change(&mut config);
        let server = Embedded::start(&config, |_shard| conformance::Echo).unwrap();
        let (address, drain) = (server.addresses()[0], Box::new(server.drainer()));
        let counters = server.counters().to_vec();
        Self { address, counters, drain, thread: thread::spawn(|| server.wait().unwrap()) }
    }

    /// A client that is connected to the main namespace.
    fn client(&self) -> Peer {
        let mut peer = self.open();
        peer.send(TEXT, "40");
        assert!(text(&mut peer).starts_with("40{\"sid\":\""));
        assert_eq!(text(&mut peer), "42[\"auth\",{}]");
        peer
    }

    /// A client that has got the open packet.
    fn open(&self) -> Peer {
        let mut peer = Peer::open(self.address, PATH);
        assert!(text(&mut peer).starts_with("0{\"sid\":\""));
        peer
    }

    /// A counter, over all shards.
    fn sum(&self, name: &str) -> u64 {
        let all = self.counters.iter().flat_map(|counters| counters.each());
        all.filter(|(counter, _)| *counter == name).map(|(_, value)| value).sum()
    }

    fn end(self) {
        (self.drain)();
        assert_eq!(self.thread.join().unwrap(), Outcome::Drained);
    }
}

/// The next packet that is no ping; pings are answered.
fn text(peer: &mut Peer) -> String {
    loop {
        let (opcode, payload) = peer.message();
        assert_eq!(opcode, TEXT, "{payload:?}");
        match payload.as_slice() {
            b"2" => peer.send(TEXT, "3"),
            _ => return String::from_utf8(payload).unwrap(),
        }
    }
}

#[test]
fn events_and_answers_come_back_with_their_attachments() {
    let running = Running::start(SocketIoOptions { enabled: true, ..SocketIoOptions::default() });
    let mut peer = running.client();
    for length in [0, 100, 70_000, 900_000] {
        let event = format!("42[\"message\",{{\"text\":\"{}\"}}]", "é".repeat(length / 2));
        peer.send(TEXT, event.clone());
        assert_eq!(text(&mut peer), event.replacen("message", "message-back", 1));
    }
    peer.send(
        TEXT,
        "452-17[\"message-with-ack\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
    );
    peer.send(BINARY, vec![1; 100_000]);
    peer.send(BINARY, vec![2; 3]);
    assert_eq!(
        text(&mut peer),
        "462-17[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]"
    );
    assert_eq!(peer.message(), (BINARY, vec![1; 100_000]));
    assert_eq!(peer.message(), (BINARY, vec![2; 3]));
    // Beyond the limit the client is told why.
    peer.send(TEXT, format!("42[\"message\",\"{}\"]", "x".repeat(1_000_000)));
    assert_eq!(peer.frame().close_code(), Some(1009));
    // Others notice nothing, and a drain asks them to come back.
    let mut other = running.client();
    running.end();
    let goodbye = other.frame();
    assert_eq!(goodbye.close_code(), Some(1012), "{goodbye:?}");
}

#[test]
fn heartbeats_are_exact_where_intervals_are_short() {
    let running = Running::start(conformance::options());
    let mut peer = running.open();
    peer.send(TEXT, "40");
    let begun = Instant::now();
    let mut pings = 0;
    while pings < 3 {
        let (_, payload) = peer.message();
        if payload == b"2" {
            peer.send(TEXT, "3");
            pings += 1;
        }
    }
    // No earlier than three intervals; later on a busy machine.
    assert!(begun.elapsed() >= Duration::from_millis(3 * 300 - 10), "{:?}", begun.elapsed());
    // Silence ends the connection: the next ping is the last thing that comes before the close frame.
    assert_eq!(peer.message(), (TEXT, b"2".to_vec()));
    assert_eq!(peer.frame().close_code(), Some(3012));
    // Whoever connects to no namespace is gone in time.
    let mut idle = running.open();
    let end = loop {
        let frame = idle.frame();
        match frame.opcode {
            CLOSE => break frame,
            _ => idle.send(TEXT, "3"),
        }
    };
    assert_eq!(end.close_code(), Some(3502));
    running.end();
}

#[test]
fn what_is_malformed_ends_its_connection_with_the_rule() {
    let running = Running::start(SocketIoOptions { enabled: true, ..SocketIoOptions::default() });
    for packet in ["4abc", "42{}", "42abc[\"message\"]", "40", "x", "2"] {
        let mut peer = running.client();
        peer.send(TEXT, packet);
        let Frame { payload, .. } = peer.frame();
        assert_eq!(payload[..2], 1002_u16.to_be_bytes(), "{packet}");
        assert!(payload.len() > 10, "{packet}: the reason is told");
    }
    running.end();
}

/// Without rules every namespace of the built server is unknown; requests are refused as the protocol demands.
#[test]
fn requests_that_are_not_served_get_the_protocols_answer() {
    let options = "[client]\ninsecure = true\nallow_own_pages = true\n[socketio]\nenabled = true\n";
    let server = Server::configured(options, &[]);
    let request = |line: &str, more: &str| {
        let request =
            format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{more}\r\n", server.address);
        Peer::request(server.address, request.as_bytes())
    };
    for (line, code, message) in [
        ("GET /socket.io/?EIO=4&transport=polling&sid=abc", 1, "Session ID unknown"),
        ("GET /socket.io?EIO=4&transport=polling&j=1", 0, "Transport unknown"),
        ("GET /socket.io/", 0, "Transport unknown"),
        ("GET /socket.io/?EIO=4&transport=websocket", 3, "Bad request"),
        ("GET /socket.io/?EIO=4&transport=websocket&sid=abc", 1, "Session ID unknown"),
    ] {
        let response = request(line, "");
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((response.status, body), (400, json!({"code": code, "message": message})), "{line}");
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    let posted = request("POST /socket.io/?EIO=4&transport=polling&sid=abc", "Content-Length: 0\r\n");
    assert_eq!(posted.status, 400);
    // A page may read the refusal.
    let origin = format!("http://{}", server.address);
    let response =
        request("GET /socket.io/?EIO=4&transport=polling&sid=abc", &format!("Origin: {origin}\r\n"));
    assert_eq!(response.header("access-control-allow-origin"), Some(origin.as_str()));
    // A refused upgrade gets the message as text.
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let line = "GET /socket.io/?EIO=3&transport=websocket";
    let head = format!("{line} HTTP/1.1\r\nHost: {}\r\n{upgrade}\r\n", server.address);
    let response = Peer::request(server.address, head.as_bytes());
    assert_eq!((response.status, response.body), (400, b"Unsupported protocol version\n".to_vec()));

    let mut peer = Peer::open(server.address, PATH);
    text(&mut peer);
    peer.send(TEXT, "40/admin,");
    assert_eq!(text(&mut peer), "44/admin,{\"message\":\"Invalid namespace\"}");
    assert_eq!(server.metric_with("throng_transport_sessions", "socketio"), 1);
}
