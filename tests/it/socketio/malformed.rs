//! Packets that break a rule, and floods of valid ones: the protocol's answer, the metric that counts it, and a client
//! beside it that notices nothing.
//!
//! The answers were compared with those of the reference server (4.8). It ends a session in the same cases, with these
//! exceptions, all on purpose: here the close frame names the rule, and over polling the POST itself is refused, where the
//! reference answers `ok` and ends the session behind it; `42` without a payload, ids that JavaScript cannot count, control
//! characters in a namespace, attachments that no placeholder or several name, and JSON nested deeper than 128 are refused
//! here, where the reference makes something else of them; `450-` is a plain event here, as it is in the protocol's text.

use super::polling::{Http, POLLING, Polling};
use super::text;
use crate::support::peer::{BINARY, CLOSE, TEXT};
use crate::support::{Peer, Server};
use data_encoding::BASE64;

pub(super) const WEBSOCKET: &str = super::PATH;
pub(super) const RULES: &str = "throng_socketio_malformed_total";
pub(super) const EVENTS: &str = "throng_socketio_events_refused_total";
pub(super) const CONNECTS: &str = "throng_socketio_connects_refused_total";

#[derive(Clone, Copy)]
enum Sent<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
}
use Sent::{Bytes, Text};

pub(super) fn server(more: &str) -> Server {
    let options = format!(
        "[client]\nallow_anonymous_connect_without_token = true\n\
         [socketio]\nenabled = true\ninsecure = true\nmax_payload = 10000\nnamespaces_max = 4\n{more}"
    );
    Server::configured(&options, &[])
}

pub(super) fn counted(server: &Server, metric: &str, label: &str) -> u64 {
    server.metric_with(metric, &format!("=\"{label}\""))
}

/// A client in another namespace.
pub(super) struct Neighbour {
    peer: Peer,
    count: u32,
}

impl Neighbour {
    pub(super) fn new(server: &Server) -> Self {
        let mut peer = Peer::open(server.address, WEBSOCKET);
        text(&mut peer);
        peer.send(TEXT, "40/beside,");
        assert!(text(&mut peer).starts_with("40/beside,{"));
        Self { peer, count: 0 }
    }

    pub(super) fn notices_nothing(&mut self) {
        self.count += 1;
        let event = format!("42/beside,[\"count\",{}]", self.count);
        self.peer.send(TEXT, event.as_str());
        assert_eq!(text(&mut self.peer), event, "nothing else came, and nothing was lost");
    }
}

/// A client by WebSocket that is connected to the root.
pub(super) fn connected(server: &Server) -> Peer {
    let mut peer = Peer::open(server.address, WEBSOCKET);
    text(&mut peer);
    peer.send(TEXT, "40");
    assert!(text(&mut peer).starts_with("40{"));
    peer
}

fn send(peer: &mut Peer, sent: &[Sent<'_>]) {
    for one in sent {
        match one {
            Text(text) => peer.send(TEXT, *text),
            Bytes(bytes) => peer.send(BINARY, *bytes),
        }
    }
}

/// Code and reason of the close frame behind all that comes before it.
pub(super) fn end(peer: &mut Peer) -> (u16, String) {
    loop {
        let frame = peer.frame();
        if frame.opcode == CLOSE {
            let reason = String::from_utf8(frame.payload[2..].to_vec()).unwrap();
            return (frame.close_code().unwrap(), reason);
        }
    }
}

/// The packets as one body of protocol 4.
fn body(sent: &[Sent<'_>]) -> String {
    let packet = |one: &Sent<'_>| match one {
        Text(text) => (*text).to_owned(),
        Bytes(bytes) => format!("b{}", BASE64.encode(bytes)),
    };
    sent.iter().map(packet).collect::<Vec<_>>().join("\u{1e}")
}

pub(super) fn post(client: &mut Polling, body: &str) -> (u16, String) {
    client.posts.send("POST", &client.target, "Content-Type: text/plain;charset=UTF-8\r\n", body);
    let answer = client.posts.answer();
    (answer.status, answer.body)
}

/// The session of a client on polling is over.
pub(super) fn is_over(client: &mut Polling) {
    let answer = client.gets.get(&client.target);
    assert_eq!((answer.status, answer.body.contains("\"code\":1,")), (400, true), "{answer:?}");
}

const PLACEHOLDER: &str = "{\"_placeholder\":true,\"num\":0}";

/// Packets of text, packets of bytes behind them, and the name of the rule that they break.
type Case = (Vec<String>, Vec<Vec<u8>>, &'static str);

/// One case for each way to break a rule.
fn malformed() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut text = |packet: &str, rule| cases.push((vec![packet.to_owned()], Vec::new(), rule));
    text("x", "engine_type");
    text("7", "engine_type");
    text("b!!!", "engine_base64");
    text("2", "wrong_ping");
    text("4", "type");
    text("47", "type");
    text("4abc", "type");
    for payload in ["", "{}", "\"a\""] {
        text(&format!("42{payload}"), "no_list");
    }
    text("431{}", "no_list");
    for payload in
        ["[", "[\"a\"", "[\"a\"]x", "[\"a\",01]", "[\"a\",NaN]", "[\"a\",\"\\x\"]", "[\"a\",\"\u{1}\"]"]
    {
        text(&format!("42{payload}"), "json");
    }
    for payload in ["[]", "[null]", "[true]", "[{}]", "[[1]]"] {
        text(&format!("42{payload}"), "event_name");
    }
    let reserved =
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
    for name in reserved.into_iter().chain(["\\u0063onnect"]) {
        text(&format!("42[\"{name}\"]"), "reserved_name");
    }
    text("421a[\"a\"]", "no_list");
    text("429007199254740992[\"a\"]", "ack_id");
    text("4299999999999999999999999[\"a\"]", "ack_id");
    text("40", "second_connect");
    for payload in ["null", "[]", "\"a\""] {
        text(&format!("40/other,{payload}"), "payload");
    }
    text("40/other,{\"a\"", "json");
    text("40/a\u{1}b,", "namespace");
    text("41{}", "payload");
    text("44{}", "connect_error");
    text("44\"a\"", "connect_error");
    text("44null", "payload");
    text("45[\"a\"]", "attachment_count");
    text("45x-[\"a\"]", "attachment_count");
    text("4599999999999999999999-[\"a\"]", "too_many_attachments");
    text("4511-[\"a\"]", "too_many_attachments");
    text(&format!("42[\"a\",{}{}]", "[".repeat(2000), "]".repeat(2000)), "too_deep");
    let event = |list: &str| format!("451-[\"a\",{list}]");
    let mut mixed = |text: &[&str], bytes: &[&[u8]], rule| {
        let text = text.iter().map(|&text| text.to_owned()).collect();
        cases.push((text, bytes.iter().map(|bytes| bytes.to_vec()).collect(), rule));
    };
    mixed(&[], &[&[1, 2]], "stray_binary");
    mixed(&["450-[\"a\"]"], &[&[1]], "stray_binary");
    mixed(&[&event(PLACEHOLDER)], &[&[1], &[2]], "stray_binary");
    mixed(&[&event(PLACEHOLDER), "42[\"a\"]"], &[], "text_for_attachment");
    mixed(&[&event(&PLACEHOLDER.replace('0', "1"))], &[&[1]], "placeholders");
    mixed(&[&event(&PLACEHOLDER.replace('0', "-1"))], &[&[1]], "placeholders");
    mixed(&[&event(&PLACEHOLDER.replace('0', "\"0\""))], &[&[1]], "placeholders");
    mixed(&[&event(&format!("{PLACEHOLDER},{PLACEHOLDER}"))], &[&[1]], "placeholders");
    mixed(&[&event("1")], &[&[1]], "placeholders");
    mixed(&[&format!("451-[\"connect\",{PLACEHOLDER}]")], &[&[1]], "reserved_name");
    mixed(&[&event("")], &[&[1]], "json");
    cases
}

#[test]
fn a_packet_that_breaks_a_rule_ends_its_session_alone_and_is_counted_by_the_rule() {
    let server = server("");
    let mut neighbour = Neighbour::new(&server);
    let mut ended = 0;
    for (texts, binary, rule) in malformed() {
        let sent: Vec<Sent<'_>> =
            texts.iter().map(|text| Text(text)).chain(binary.iter().map(|bytes| Bytes(bytes))).collect();
        let case = body(&sent);
        let before = counted(&server, RULES, rule);
        let mut peer = connected(&server);
        send(&mut peer, &sent);
        let (code, reason) = end(&mut peer);
        assert_eq!((code, reason.is_empty()), (1002, false), "{case}");

        let mut client = Polling::at(server.address);
        assert_eq!(post(&mut client, "40").0, 200);
        assert!(client.packets(1)[0].starts_with("40{"));
        assert_eq!(post(&mut client, &case).0, 400, "{case}");
        is_over(&mut client);
        assert_eq!(counted(&server, RULES, rule), before + 2, "{case}: {rule}");
        neighbour.notices_nothing();
        ended += 2;
    }
    // Before any CONNECT.
    for packet in ["42[\"a\"]", "41", "431[]"] {
        let mut peer = Peer::open(server.address, WEBSOCKET);
        text(&mut peer);
        peer.send(TEXT, packet);
        assert_eq!(end(&mut peer).0, 1002, "{packet}");
        ended += 1;
    }
    assert_eq!(counted(&server, RULES, "before_connect"), 3);
    assert_eq!(server.metric("throng_violations_total"), ended);
    neighbour.notices_nothing();
}

/// Text that is not UTF-8: a violation of WebSocket, whose code is 1007, and a body that cannot be read.
#[test]
fn text_that_is_not_utf_8_ends_its_session() {
    let server = server("");
    let mut peer = connected(&server);
    peer.send(TEXT, b"42[\"\xff\"]".to_vec());
    assert_eq!(end(&mut peer).0, 1007);
    let mut client = Polling::at(server.address);
    client.posts.send_bytes("POST", &client.target, "", b"42[\"\xff\"]");
    assert_eq!(client.posts.answer().status, 400);
    is_over(&mut client);
    assert_eq!(counted(&server, RULES, "engine_utf8"), 1);
}

#[test]
fn packets_of_engine_io_3_that_break_a_rule_end_their_session() {
    let server = server("allow_eio3 = true\n");
    let mut neighbour = Neighbour::new(&server);
    for (sent, rule) in [
        (Text("x"), "engine_type"),
        (Text("3"), "wrong_ping"),
        (Text("42{}"), "no_list"),
        (Text("42[\"connect\"]"), "reserved_name"),
        (Text("40"), "second_connect"),
        (Bytes(&[9, 1]), "engine_type"),
        (Bytes(&[2, 1]), "engine_binary"),
        (Bytes(&[4, 1]), "stray_binary"),
    ] {
        let mut peer = Peer::open(server.address, &WEBSOCKET.replace("EIO=4", "EIO=3"));
        while text(&mut peer) != "40" {}
        send(&mut peer, &[sent]);
        assert_eq!(end(&mut peer).0, 1002, "{rule}");
        neighbour.notices_nothing();
    }
    let polling = POLLING.replace("EIO=4", "EIO=3");
    for (kind, body, rule) in [
        ("text/plain", &b"abc"[..], "engine_length"),
        ("text/plain", b"99:42[]", "engine_length"),
        ("text/plain", b"4:42{}", "no_list"),
        ("application/octet-stream", b"\x00\x01", "engine_length"),
        ("application/octet-stream", b"\x02\x01\xffx", "engine_length"),
    ] {
        let mut http = Http::at(server.address);
        let open = http.get(&polling).body;
        let target = format!("{polling}&sid={}", open.split('"').nth(3).unwrap());
        http.send_bytes("POST", &target, &format!("Content-Type: {kind}\r\n"), body);
        assert_eq!(http.answer().status, 400, "{body:?}: {rule}");
        assert_eq!(http.get(&target).status, 400);
        neighbour.notices_nothing();
    }
    for (rule, count) in [("engine_type", 3), ("engine_length", 3), ("no_list", 2), ("engine_binary", 1)] {
        assert_eq!(counted(&server, RULES, rule), count, "{rule}");
    }
}

/// Packets of msgpack: a map with `type`, `nsp` and `data`.
#[test]
fn packets_of_msgpack_that_break_a_rule_end_their_session() {
    let server = server("parser = \"msgpack\"\n");
    let connect = b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x80";
    let event = |data: &[u8]| [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", data].concat();
    let deep = [&[0x91; 2000][..], &[0xc0]].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "msgpack"),
        (b"\xc1".to_vec(), "msgpack"),
        (b"\x83\xa4type".to_vec(), "msgpack"),
        (event(b"\xdd\xff\xff\xff\xff"), "msgpack"),
        (event(b"\x92\xa1a\xa1\xff"), "msgpack"),
        (b"\x91\x01".to_vec(), "msgpack"),
        (b"\x83\xa4type\x05\xa3nsp\xa1/\xa4data\x91\xa1a".to_vec(), "type"),
        (b"\x83\xa4type\x00\xa3nsp\xa6custom\xa4data\x80".to_vec(), "namespace"),
        (event(b"\x80"), "no_list"),
        (event(b"\x90"), "event_name"),
        (event(b"\x91\xc0"), "event_name"),
        (event(b"\x91\xa7connect"), "reserved_name"),
        (event(&[b"\x92\xa1a", &deep[..]].concat()), "too_deep"),
        (connect.to_vec(), "second_connect"),
        (b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\x80".to_vec(), "connect_error"),
    ];
    let mut neighbour = Peer::open(server.address, WEBSOCKET);
    text(&mut neighbour);
    neighbour.send(BINARY, b"\x82\xa4type\x00\xa3nsp\xa2/n".to_vec());
    neighbour.message();
    let noticed_nothing = |neighbour: &mut Peer| {
        let event = b"\x83\xa4type\x02\xa3nsp\xa2/n\xa4data\x91\xa1a";
        neighbour.send(BINARY, event.to_vec());
        assert_eq!(neighbour.message().0, BINARY);
    };
    for (packet, rule) in cases {
        let before = counted(&server, RULES, rule);
        let mut peer = Peer::open(server.address, WEBSOCKET);
        text(&mut peer);
        peer.send(BINARY, connect.to_vec());
        peer.message();
        peer.send(BINARY, packet.clone());
        assert_eq!(end(&mut peer).0, 1002, "{packet:?}");
        let mut client = Polling::at(server.address);
        assert_eq!(post(&mut client, &body(&[Bytes(connect)])).0, 200);
        assert_eq!(post(&mut client, &body(&[Bytes(&packet)])).0, 400, "{packet:?}");
        assert_eq!(counted(&server, RULES, rule), before + 2, "{packet:?}: {rule}");
        noticed_nothing(&mut neighbour);
    }
    let mut peer = Peer::open(server.address, WEBSOCKET);
    text(&mut peer);
    peer.send(TEXT, "40");
    assert_eq!(end(&mut peer).0, 1002);
    assert_eq!(counted(&server, RULES, "text_for_msgpack"), 1);
}

/// Unusual packets that break no rule.
#[test]
fn what_breaks_no_rule_goes_on() {
    let server = server("");
    let mut neighbour = Neighbour::new(&server);
    let ten: Vec<String> = (0..10).map(|num| PLACEHOLDER.replace('0', &num.to_string())).collect();
    let ten = format!("4510-[\"a\",{}]", ten.join(","));
    let deep = format!("42[\"a\",{}{}]", "[".repeat(100), "]".repeat(100));
    let mut most = vec![Text(&ten)];
    most.resize(11, Bytes(&[7]));
    for (sent, echo) in [
        (vec![Text("42[\"a\",1e999]")], "42[\"a\",1e999]"),
        (vec![Text("42[\"\",\"\\u0000\"]")], "42[\"\",\"\\u0000\"]"),
        (vec![Text("42[\"__proto__\",1]")], "42[\"__proto__\",1]"),
        (vec![Text("42[5,1]")], "42[\"5\",1]"),
        (vec![Text("450-[\"a\",1]")], "42[\"a\",1]"),
        (vec![Text(&deep)], &deep),
        (most, &ten),
        // In an event without attachments it is plain data, as it is for clients.
        (
            vec![Text("42[\"a\",{\"_placeholder\":true,\"num\":0}]")],
            "42[\"a\",{\"_placeholder\":true,\"num\":0}]",
        ),
        // For a namespace without a socket, and answers to nothing.
        (
            vec![Text("42/none,[\"a\"]"), Text("43/none,1[]"), Text("41/none,"), Text("42[\"b\"]")],
            "42[\"b\"]",
        ),
        (vec![Text("435[1]"), Text("431"), Text("42[\"b\"]")], "42[\"b\"]"),
        (vec![Text("461-5[{\"_placeholder\":true,\"num\":0}]"), Bytes(&[1]), Text("42[\"b\"]")], "42[\"b\"]"),
    ] {
        let mut peer = connected(&server);
        send(&mut peer, &sent);
        assert_eq!(text(&mut peer), echo);
        let mut client = Polling::at(server.address);
        assert_eq!(post(&mut client, "40").0, 200);
        client.packets(1);
        assert_eq!(post(&mut client, &body(&sent)), (200, "ok".to_owned()), "{echo}");
        assert_eq!(client.packets(1)[0], echo);
        neighbour.notices_nothing();
    }
    assert_eq!((counted(&server, EVENTS, "not_connected"), counted(&server, EVENTS, "unknown_ack")), (4, 6));
    assert_eq!(server.metric("throng_violations_total"), 0);
}

#[test]
fn a_payload_beyond_the_limit_is_refused_with_its_reason() {
    let server = server("");
    let mut neighbour = Neighbour::new(&server);
    let large = format!("40/{},", "n".repeat(1_000_000));
    let mut peer = connected(&server);
    peer.send(TEXT, large.as_str());
    assert_eq!(end(&mut peer), (1009, "frame too big".to_owned()));
    // Attachments count together with their packet.
    let mut peer = connected(&server);
    let bytes = vec![0; 6000];
    let list = format!("[\"a\",{PLACEHOLDER},{}]", PLACEHOLDER.replace('0', "1"));
    send(&mut peer, &[Text(&format!("452-{list}")), Bytes(&bytes), Bytes(&bytes)]);
    assert_eq!(end(&mut peer).0, 1002);
    assert_eq!(counted(&server, RULES, "attachment_bytes"), 1);
    // A body that is announced by its length, and one in chunks. The session goes on, over other connections, and the
    // refusal is the last answer of the connection, once.
    let mut client = Polling::at(server.address);
    assert_eq!(post(&mut client, "40").0, 200);
    client.packets(1);
    let chunks = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    for (line, body) in [
        (format!("Content-Length: {}", large.len()), &large),
        ("Transfer-Encoding: chunked".to_owned(), &chunks),
    ] {
        let target = &client.target;
        let mut peer = Peer::connect(server.address);
        // As a kept connection that has had an answer.
        peer.send_bytes(
            format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n42[\"a\",1]").as_bytes(),
        );
        peer.send_bytes(
            format!("POST {target} HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n{}", &body[..2000]).as_bytes(),
        );
        let answers = String::from_utf8(peer.rest()).unwrap();
        assert_eq!(
            (answers.matches("HTTP/1.1 200").count(), answers.matches("HTTP/1.1 413").count()),
            (1, 1),
            "{answers}"
        );
        assert_eq!(client.packets(1)[0], "42[\"a\",1]");
    }
    assert_eq!(server.metric("throng_limit_exceeded_total{limit=\"message_bytes\"}"), 3);
    neighbour.notices_nothing();
}
