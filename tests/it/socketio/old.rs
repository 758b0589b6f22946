//! Clients of Socket.IO 2 (Engine.IO 3).

use std::time::Duration;

use throng::SocketIoOptions;

use super::polling::Http;
use super::{Running, conformance};
use crate::support::Peer;
use crate::support::peer::{BINARY, TEXT};

const POLLING: &str = "/socket.io/?EIO=3&transport=polling";

fn options() -> SocketIoOptions {
    SocketIoOptions {
        allow_eio3: true,
        ping_interval_ms: 25_000,
        ping_timeout_ms: 20_000,
        ..conformance::options()
    }
}

/// A polling client: its connection and the target of its requests. The packets that open it were taken.
fn open(running: &Running, more: &str) -> (Http, String) {
    let (mut http, target) = (Http::new(running), format!("{POLLING}{more}"));
    let mut first = get(&mut http, &target).1;
    let sid = first.split('"').nth(3).unwrap().to_owned();
    let target = format!("{target}&sid={sid}");
    while !first.ends_with("42[\"auth\",{}]") {
        first.push_str(&get(&mut http, &target).1);
    }
    let open = format!(
        "{{\"sid\":\"{sid}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}}"
    );
    assert_eq!(first, format!("{}:0{open}2:4013:42[\"auth\",{{}}]", open.len() + 1));
    assert_eq!(sid.len(), 20, "it is the id of the socket as well");
    (http, target)
}

fn get(http: &mut Http, target: &str) -> (u16, String) {
    http.send_bytes("GET", target, "", b"");
    let (status, head, body) = http.answer_bytes();
    assert!(status != 200 || head.contains("\r\nContent-Type: text/plain; charset=UTF-8\r\n"), "{head}");
    (status, String::from_utf8(body).unwrap())
}

fn post(http: &mut Http, target: &str, kind: &str, body: &[u8]) {
    http.send_bytes("POST", target, &format!("Content-Type: {kind}\r\n"), body);
    assert_eq!(http.answer_bytes().2, b"ok");
}

#[test]
fn events_and_binary_data_come_by_polls_in_the_form_that_the_client_reads() {
    let running = Running::start(options());
    let event = "451-[\"message\",\"€😀\",{\"_placeholder\":true,\"num\":0}]";
    let event = format!("{}:{event}10:b4AQIDBA==", event.encode_utf16().count());
    let back = "451-[\"message-back\",\"€😀\",{\"_placeholder\":true,\"num\":0}]";
    for more in ["", "&b64=1"] {
        let (mut http, target) = open(&running, more);
        post(&mut http, &target, "text/plain;charset=UTF-8", b"5:2data1:2");
        assert_eq!(get(&mut http, &target), (200, "5:3data1:3".to_owned()));
        post(&mut http, &target, "text/plain;charset=UTF-8", event.as_bytes());
        if more.is_empty() {
            http.send_bytes("GET", &target, "", b"");
            let (_, head, body) = http.answer_bytes();
            assert!(head.contains("\r\nContent-Type: application/octet-stream\r\n"), "{head}");
            let digits: Vec<u8> = back.len().to_string().bytes().map(|digit| digit - b'0').collect();
            let wanted = [&[0], &digits[..], &[255], back.as_bytes(), &[1, 5, 255, 4, 1, 2, 3, 4]].concat();
            assert_eq!(body, wanted, "{}", body.escape_ascii());
        } else {
            let units = back.encode_utf16().count();
            assert_eq!(get(&mut http, &target), (200, format!("{units}:{back}10:b4AQIDBA==")));
        }
        // A binary body of the client's, whose answer is text.
        let body = b"\x00\x01\x05\xff42[\"message\",7]";
        post(&mut http, &target, "application/octet-stream", body);
        assert_eq!(get(&mut http, &target), (200, "20:42[\"message-back\",7]".to_owned()));
        post(&mut http, &target, "text/plain", b"24:40/custom?token=1&b=%20,");
        let mut packets = String::new();
        while packets.matches(':').count() < 4 {
            packets.push_str(&get(&mut http, &target).1);
        }
        assert_eq!(packets, "10:40/custom,40:42/custom,[\"auth\",{\"b\":\" \",\"token\":\"1\"}]");
        post(&mut http, &target, "text/plain", b"7:40/none");
        assert_eq!(get(&mut http, &target), (200, "27:44/none,\"Invalid namespace\"".to_owned()));
        http.send_bytes("POST", &target, "", b"1:1");
        assert_eq!(http.answer_bytes().2, b"ok");
    }
    running.end();
}

#[test]
fn a_poll_ends_with_its_session() {
    let running = Running::start(options());
    let (mut polls, target) = open(&running, "");
    let mut posts = Http::new(&running);
    polls.send_bytes("GET", &target, "", b"");
    std::thread::sleep(Duration::from_millis(50));
    post(&mut posts, &target, "text/plain", b"1:1");
    assert_eq!(polls.answer_bytes().2, b"1:6");
    let (mut polls, target) = open(&running, "");
    polls.send_bytes("GET", &target, "", b"");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(get(&mut posts, &target).0, 400, "a second poll");
    assert_eq!(polls.answer_bytes().2, b"1:1");
    let (mut polls, target) = open(&running, "");
    polls.send_bytes("GET", &target, "", b"");
    std::thread::sleep(Duration::from_millis(50));
    running.end();
    assert_eq!(polls.answer_bytes().2, b"1:1");
}

#[test]
fn a_session_moves_to_a_websocket_with_what_waits() {
    let running = Running::start(options());
    for endpoint in ["socket.io", "engine.io"] {
        let (mut http, target) = (Http::new(&running), POLLING.replace("socket.io", endpoint));
        let first = get(&mut http, &target).1;
        let target = format!("{target}&sid={}", first.split('"').nth(3).unwrap());
        let mut got = first.split_once('}').unwrap().1.to_owned();
        while endpoint == "socket.io" && !got.ends_with("42[\"auth\",{}]") {
            got.push_str(&get(&mut http, &target).1);
        }
        let mut peer = Peer::open(running.address, &target.replace("polling", "websocket"));
        peer.send(TEXT, "2probe");
        assert_eq!(super::text(&mut peer), "3probe");
        assert_eq!(get(&mut http, &target).1, "1:6");
        // The answers to these wait for a poll that does not come.
        let (binary, answer) = match endpoint {
            "socket.io" => (
                "451-7[\"message-with-ack\",{\"_placeholder\":true,\"num\":0}]",
                "461-7[{\"_placeholder\":true,\"num\":0}]",
            ),
            _ => ("4é", "4é"),
        };
        let body = format!("5:2data{}:{binary}10:b4AQIDBA==", binary.encode_utf16().count());
        post(&mut http, &target, "text/plain", body.as_bytes());
        peer.send(TEXT, "5");
        assert_eq!([super::text(&mut peer), super::text(&mut peer)], ["3data", answer]);
        assert_eq!(peer.message(), (BINARY, vec![4, 1, 2, 3, 4]));
        assert_eq!(get(&mut http, &target).0, 400, "it is polled no more");
        peer.send(TEXT, "2");
        assert_eq!(super::text(&mut peer), "3");
    }
    running.end();
}

#[test]
fn events_come_by_websocket_with_their_type_in_front_of_binary_data() {
    let running = Running::start(options());
    // Some clients name no version.
    let mut peer = Peer::open(running.address, "/socket.io/?transport=websocket");
    let open = super::text(&mut peer);
    assert!(open.starts_with("0{\"sid\":\""), "{open}");
    assert_eq!([super::text(&mut peer), super::text(&mut peer)], ["40", "42[\"auth\",{}]"]);
    peer.send(TEXT, "2abc");
    assert_eq!(super::text(&mut peer), "3abc");
    peer.send(TEXT, "451-3[\"message-with-ack\",{\"_placeholder\":true,\"num\":0}]");
    peer.send(BINARY, [4, 7, 8]);
    assert_eq!(super::text(&mut peer), "461-3[{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(peer.message(), (BINARY, vec![4, 7, 8]));
    let mut bare = Peer::open(running.address, "/engine.io/?EIO=3&transport=websocket");
    bare.message();
    for (opcode, message) in [(TEXT, &b"4hello"[..]), (BINARY, &[4, 1, 2]), (BINARY, &[4])] {
        bare.send(opcode, message);
        assert_eq!(bare.message(), (opcode, message.to_vec()));
    }
    running.end();
}

#[test]
fn a_client_that_does_not_ping_is_gone_in_time() {
    let options = SocketIoOptions { ping_interval_ms: 300, ping_timeout_ms: 200, ..options() };
    let running = Running::start(options);
    let mut peer = Peer::open(running.address, "/socket.io/?EIO=3&transport=websocket");
    for _ in 0..3 {
        assert!(!super::text(&mut peer).starts_with('2'));
    }
    assert_eq!(peer.frame().close_code(), Some(3012));
    running.end();
}
