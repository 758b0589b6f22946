//! HTTP long-polling: sessions without a socket, reached from connections of any shard.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use throng::SocketIoOptions;
use throng::socketio::{SameSite, SessionCookie};

use super::Running;
use crate::support::peer::TEXT;
use crate::support::{Peer, Server};

pub(crate) const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// One connection that sends requests, one after the other.
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn new(running: &Running) -> Self {
        Self::at(running.address)
    }

    pub(crate) fn at(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, method: &str, target: &str, lines: &str, body: &str) {
        self.send_bytes(method, target, lines, body.as_bytes());
    }

    pub(super) fn send_bytes(&mut self, method: &str, target: &str, lines: &str, body: &[u8]) {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{length}{lines}\r\n");
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let (status, head, body) = self.answer_bytes();
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// Status, head and body of the next answer.
    pub(super) fn answer_bytes(&mut self) -> (u16, String, Vec<u8>) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut head).unwrap() > 0, "the connection ended: {head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        (head[9..12].parse().unwrap(), head, body)
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target, "", "");
        self.answer()
    }

    fn post(&mut self, target: &str, body: &str) -> Answer {
        self.send("POST", target, "Content-Type: text/plain;charset=UTF-8\r\n", body);
        self.answer()
    }
}

/// A polling client with two connections, as browsers have them. Which shards have them is the kernel's choice.
pub(crate) struct Polling {
    pub(crate) gets: Http,
    pub(crate) posts: Http,
    pub(crate) target: String,
}

impl Polling {
    pub(crate) fn open(running: &Running) -> Self {
        Self::at(running.address)
    }

    /// A client of any server that has got the open packet.
    pub(crate) fn at(address: std::net::SocketAddr) -> Self {
        let (mut gets, posts) = (Http::at(address), Http::at(address));
        let answer = gets.get(POLLING);
        assert_eq!(answer.status, 200, "{answer:?}");
        let open: serde_json::Value = serde_json::from_str(answer.body.strip_prefix('0').unwrap()).unwrap();
        let target = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
        Self { gets, posts, target }
    }

    /// A client that is connected to the main namespace.
    pub(crate) fn client(running: &Running) -> Self {
        let mut client = Self::open(running);
        client.post("40");
        let packets = client.packets(2);
        assert!(packets[0].starts_with("40{\"sid\":\"") && packets[1] == "42[\"auth\",{}]", "{packets:?}");
        client
    }

    pub(crate) fn post(&mut self, body: &str) {
        let answer = self.posts.post(&self.target, body);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }

    /// The next packets that are no pings, so many at least; pings are answered.
    pub(crate) fn packets(&mut self, count: usize) -> Vec<String> {
        let mut packets = Vec::new();
        while packets.len() < count {
            let answer = self.gets.get(&self.target);
            assert_eq!(answer.status, 200, "{answer:?}");
            for packet in answer.body.split('\u{1e}') {
                match packet {
                    "2" => self.post("3"),
                    _ => packets.push(packet.to_owned()),
                }
            }
        }
        packets
    }
}

fn options() -> SocketIoOptions {
    SocketIoOptions { enabled: true, ..SocketIoOptions::default() }
}

#[test]
fn events_and_answers_come_by_polls_in_order() {
    let running = Running::start(options());
    // Some of these have their session and their connections in different shards.
    let mut clients: Vec<Polling> = (0..16).map(|_| Polling::client(&running)).collect();
    for client in &mut clients {
        let sent: Vec<String> = (0..50).map(|number| format!("42[\"message\",{number}]")).collect();
        client.post(&sent[..25].join("\u{1e}"));
        for event in &sent[25..] {
            client.post(event);
        }
        client.post("451-1[\"message-with-ack\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID");
        let mut expected: Vec<String> =
            sent.iter().map(|event| event.replace("message", "message-back")).collect();
        expected.extend(["461-1[{\"_placeholder\":true,\"num\":0}]".to_owned(), "bAQID".to_owned()]);
        assert_eq!(client.packets(52), expected);
    }
    drop(clients);
    running.end();
}

#[test]
fn a_poll_waits_for_the_next_output() {
    let running = Running::start(options());
    let mut client = Polling::client(&running);
    client.gets.send("GET", &client.target, "", "");
    client.post("42[\"message\",\"now\"]");
    assert_eq!(client.gets.answer().body, "42[\"message-back\",\"now\"]");
    // The connection of a poll takes other requests afterwards.
    client.post("42[\"message\",1]");
    assert_eq!(client.packets(1), ["42[\"message-back\",1]"]);
    running.end();
}

#[test]
fn a_session_ends_with_its_client_its_server_and_its_poll() {
    let running = Running::start(options());
    let refused = |client: &mut Polling| {
        let answer = client.gets.get(&client.target);
        assert_eq!((answer.status, answer.body.contains("\"code\":1")), (400, true), "{answer:?}");
    };
    // The client: its parked poll ends with a packet without effect.
    let mut client = Polling::client(&running);
    client.gets.send("GET", &client.target, "", "");
    std::thread::sleep(Duration::from_millis(50));
    client.post("1");
    assert_eq!(client.gets.answer().body, "6");
    refused(&mut client);
    // A second poll beside a parked one: a fault of the client.
    let mut client = Polling::client(&running);
    client.gets.send("GET", &client.target, "", "");
    std::thread::sleep(Duration::from_millis(50));
    let second = client.posts.get(&client.target);
    let first = client.gets.answer();
    assert_eq!((second.status, first.status, first.body.as_str()), (400, 200, "1"));
    refused(&mut client);
    // A body that cannot be read.
    let mut client = Polling::client(&running);
    assert_eq!(client.posts.post(&client.target, "abc").status, 400);
    // A poll whose connection ends: nobody knows whether its packets would have arrived.
    let mut client = Polling::client(&running);
    client.gets.send("GET", &client.target, "", "");
    std::thread::sleep(Duration::from_millis(50));
    client.gets = Http::new(&running);
    for _ in 0..100 {
        if client.posts.post(&client.target, "42[\"message\",1]").status == 400 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    refused(&mut client);
    // The server, with a parked poll and without one.
    let (mut parked, idle) = (Polling::client(&running), Polling::client(&running));
    parked.gets.send("GET", &parked.target, "", "");
    std::thread::sleep(Duration::from_millis(50));
    running.end();
    assert!(matches!(parked.gets.answer().body.as_str(), "1" | "2\u{1e}1"));
    drop(idle);
}

#[test]
fn a_cookie_comes_with_the_first_answer_alone() {
    let mut options = options();
    options.cookie = SessionCookie::named("io");
    let running = Running::start(options);
    let mut http = Http::new(&running);
    let open = http.get(POLLING);
    let sid = open.body.split('"').nth(3).unwrap();
    let cookie = format!("\r\nSet-Cookie: io={sid}; Path=/; HttpOnly; SameSite=Lax\r\n");
    assert!(open.head.contains(&cookie), "{open:?}");
    let target = format!("{POLLING}&sid={sid}");
    http.post(&target, "40");
    let next = http.get(&target);
    assert!(next.body.starts_with("40{") && !next.head.contains("Set-Cookie"), "{next:?}");
    let mut peer = Peer::connect(running.address);
    peer.send_bytes(crate::support::peer::upgrade(super::PATH, "").as_bytes());
    assert!(!peer.response_head().head.contains("Set-Cookie"), "as at the reference");
    running.end();
    // Other attributes, and the id of a client of Engine.IO 3.
    let mut options = self::options();
    options.allow_eio3 = true;
    options.cookie = SessionCookie {
        max_age_s: Some(60),
        is_secure: true,
        same_site: SameSite::None,
        ..SessionCookie::named("n")
    };
    let running = Running::start(options);
    let open = Http::new(&running).get(&POLLING.replace('4', "3"));
    let sid = open.body.split('"').nth(3).unwrap();
    let cookie = format!("\r\nSet-Cookie: n={sid}; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=None\r\n");
    assert!(open.head.contains(&cookie), "{open:?}");
    running.end();
    // Without the option there is none.
    let running = Running::start(self::options());
    assert!(!Http::new(&running).get(POLLING).head.contains("Set-Cookie"));
    running.end();
}

#[test]
fn a_client_that_answers_no_ping_is_gone_in_time() {
    let running = Running::start(super::conformance::options());
    let mut client = Polling::client(&running);
    let answer = client.gets.get(&client.target);
    assert_eq!(answer.body, "2", "a ping ends a poll");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.gets.get(&client.target).status, 400);
    running.end();
}

#[test]
fn a_new_session_is_answered_at_once_where_nothing_else_happens() {
    let running = Running::start(options());
    for _ in 0..20 {
        let mut http = Http::new(&running);
        http.stream.get_ref().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        http.send("GET", POLLING, "Connection: close\r\n", "");
        let answer = http.answer();
        assert!(answer.head.contains("Connection: close\r\n") && answer.body.starts_with("0{"), "{answer:?}");
    }
    running.end();
}

#[test]
fn requests_of_no_session_are_refused_as_the_protocol_says() {
    let running = Running::start(options());
    let mut http = Http::new(&running);
    let code = |answer: &Answer| answer.body.as_bytes().get(8).map_or(b'?', |digit| *digit) - b'0';
    for (method, target, expected) in [
        ("GET", "/socket.io/?EIO=4&transport=abc", 0),
        ("GET", "/socket.io/?EIO=4&transport=polling&sid=abc", 1),
        ("POST", "/socket.io/?EIO=4&transport=polling&sid=abc", 1),
        ("POST", "/socket.io/?EIO=4&transport=polling", 2),
        ("GET", "/socket.io/?EIO=4&transport=websocket", 3),
        ("GET", "/socket.io/?EIO=3&transport=polling", 5),
    ] {
        http.send(method, target, "", if method == "POST" { "40" } else { "" });
        let answer = http.answer();
        assert_eq!((answer.status, code(&answer)), (400, expected), "{method} {target}: {answer:?}");
    }
    // A session by WebSocket has no polls.
    let mut peer = Peer::open(running.address, super::PATH);
    let open = super::text(&mut peer);
    let sid = open.split('"').nth(3).unwrap();
    let answer = http.get(&format!("{POLLING}&sid={sid}"));
    assert_eq!((answer.status, code(&answer)), (400, 3), "{answer:?}");
    peer.send(TEXT, "40");
    assert!(super::text(&mut peer).starts_with("40"), "the session is unharmed");
    running.end();
}

#[test]
fn a_body_beyond_the_limit_is_refused_and_told_to_pages() {
    let mut running = options();
    running.payload_bytes_max = 1000;
    let running = Running::start(running);
    let mut client = Polling::client(&running);
    client.post(&format!("42[\"message\",\"{}\"]", "x".repeat(900)));
    let answer = client.posts.post(&client.target, &"x".repeat(1001));
    assert_eq!(answer.status, 413);
    // Others of the client's requests are served.
    assert_eq!(client.packets(1).len(), 1);
    running.end();
}

#[test]
fn one_connection_opens_no_more_sessions_than_its_address_may() {
    let running = Running::start_with(options(), |config| config.limits.accepts_per_ip_max = 5);
    let mut http = Http::new(&running);
    let statuses: Vec<u16> = (0..12).map(|_| http.get(POLLING).status).collect();
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    running.end();
}

/// As at the reference: a volatile event is for those that can take it now.
#[test]
fn volatile_events_are_dropped_for_a_client_without_a_waiting_poll() {
    let rules = "[[socketio.rules]]\nevent = \"now\"\ndo = \"emit\"\nvolatile = true\n\
                 [[socketio.rules]]\nevent = \"*\"\ndo = \"emit\"\n";
    let server = Server::configured(
        &format!(
            "[client]\nallow_anonymous_connect_without_token = true\n[socketio]\nenabled = true\n{rules}"
        ),
        &[],
    );
    let mut client = Polling::at(server.address);
    client.post("40");
    assert!(client.packets(1)[0].starts_with("40{"));
    let mut sender = Peer::open(server.address, super::PATH);
    super::text(&mut sender);
    sender.send(TEXT, "40");
    super::text(&mut sender);
    let mut emit = |event: &str| {
        let packet = format!("42[\"{event}\"]");
        sender.send(TEXT, packet.as_str());
        assert_eq!(super::text(&mut sender), packet, "over WebSocket nothing is unsent");
    };
    // Without a poll, and behind output that waits for one.
    emit("now");
    emit("kept");
    emit("now");
    emit("last");
    assert_eq!(client.packets(2), ["42[\"kept\"]", "42[\"last\"]"]);
    client.gets.send("GET", &client.target, "", "");
    server.await_metric("throng_polls_waiting", 1);
    emit("now");
    assert_eq!(client.gets.answer().body, "42[\"now\"]");
}
