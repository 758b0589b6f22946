//! Heartbeats and deadlines: silent clients, slow requests, missing answers.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::centrifuge::PATH;
use crate::support::peer::{PING, PONG, TEXT, upgrade};
use crate::support::{Client, Frame, Peer, Server};

const QUICK: [&str; 6] = ["--ping-interval-ms", "300", "--pong-timeout-ms", "100", "--echo", "/echo"];

#[test]
fn a_head_that_does_not_come_in_time_is_refused() {
    let server = Server::start(&["--handshake-ms", "200"]);
    for sent in ["", "GET", &upgrade(PATH, "")[..50]] {
        let began = Instant::now();
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(sent.as_bytes());
        let response = peer.response();
        assert_eq!((response.status, response.header("connection")), (408, Some("close")), "{sent:?}");
        assert!(began.elapsed() >= Duration::from_millis(200), "{sent:?}");
    }
    // A byte now and then does not help.
    let mut peer = Peer::connect(server.address);
    let began = Instant::now();
    for byte in upgrade(PATH, "").bytes() {
        peer.send_bytes(&[byte]);
        if !peer.is_silent_for(Duration::from_millis(20)) {
            break;
        }
    }
    assert_eq!(peer.response().status, 408);
    assert!(began.elapsed() < Duration::from_millis(150 * 20), "the slow writer got to the end of its head");
    assert_eq!(server.metric("throng_handshake_timeouts_total"), 4);
    server.await_metric("throng_connections", 0);
}

#[test]
fn a_connect_command_that_does_not_come_in_time_is_stale() {
    let server = Server::start(&["--connect-ms", "200"]);
    let mut silent = Peer::open(server.address, PATH);
    let mut client = Client::open(server.address);
    silent.expect_close(3502);
    client.sync();
}

#[test]
fn who_answers_heartbeats_stays_and_who_does_not_goes() {
    let server = Server::start(&QUICK);
    let mut deaf = Peer::open(server.address, "/echo");
    let mut awake = Peer::open(server.address, "/echo");
    for _ in 0..4 {
        assert_eq!(awake.frame(), Frame::new(PING, ""));
        awake.send(PONG, "");
    }
    assert_eq!(deaf.frame(), Frame::new(PING, ""));
    deaf.expect_close(3012);
    assert_eq!(server.metric("throng_heartbeats_missed_total"), 1);
    server.await_metric("throng_connections", 1);
}

#[test]
fn the_same_holds_for_centrifuge_clients() {
    let server = Server::start(&QUICK);
    let mut awake = Client::open(server.address);
    assert_eq!(awake.hello["ping"], 1, "rounded up to whole seconds");
    let mut deaf = Client::open(server.address).peer;
    for _ in 0..4 {
        assert_eq!(awake.peer.message(), (TEXT, b"{}".to_vec()));
        awake.send("{}");
    }
    assert_eq!(deaf.message(), (TEXT, b"{}".to_vec()));
    deaf.expect_close(3012);
    awake.sync();
}

#[test]
fn whatever_is_said_is_a_sign_of_life() {
    let server = Server::start(&QUICK);
    let mut client = Client::open(server.address);
    for n in 0..20 {
        // Never an answer to a ping, always something else.
        client.peer.send(TEXT, json!({"id": n + 10, "ping": {}}).to_string());
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut pings = 0;
    for _ in 0..20 + 2 {
        pings += usize::from(client.peer.message().1 == b"{}");
    }
    assert!(pings >= 2, "{pings}");
    assert_eq!(server.metric("throng_heartbeats_missed_total"), 0);
}

#[test]
fn a_raw_client_that_never_speaks_is_idle_whatever_it_receives() {
    let server = Server::start(&["--echo", "/echo", "--ping-interval-ms", "0", "--idle-ms", "300"]);
    let mut silent = Peer::open(server.address, "/echo");
    let mut busy = Peer::open(server.address, "/echo");
    for _ in 0..10 {
        busy.send(TEXT, "here");
        busy.frame();
        std::thread::sleep(Duration::from_millis(60));
    }
    silent.expect_close(3012);
    busy.send(TEXT, "still");
    busy.frame();
}

#[test]
fn who_does_not_say_goodbye_is_let_go_after_the_linger() {
    let server = Server::start(&["--echo", "/echo", "--linger-ms", "200"]);
    let mut peer = Peer::open(server.address, "/echo");
    peer.send_bytes(&[0x81, 0x01, b'a']);
    assert_eq!(peer.frame().close_code(), Some(1002));
    // The client keeps its end open and goes on talking.
    for _ in 0..3 {
        std::io::Write::write_all(&mut peer.stream, &Frame::new(TEXT, "more").bytes()).ok();
        std::thread::sleep(Duration::from_millis(20));
    }
    server.await_metric("throng_connections", 0);
    assert_eq!(server.metric("throng_messages_received_total"), 0);
}
