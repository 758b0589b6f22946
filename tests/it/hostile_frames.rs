//! Frames of hostile clients: floods of pings and of fragments, messages that never end, false lengths. Plain
//! violations are tested in `websocket`.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::centrifuge::PATH;
use crate::support::peer::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use crate::support::{Client, Frame, Peer, Server};

#[test]
fn a_flood_of_pings_makes_no_flood_of_pongs() {
    const PINGS: u64 = 50_000;
    let server = Server::start(&["--echo", "/echo", "--shards", "1"]);
    for path in ["/echo", PATH] {
        let before = server.metric("throng_pings_unanswered_total");
        let mut peer = Peer::open(server.address, path);
        let mut writer = peer.stream.try_clone().unwrap();
        let sender = thread::spawn(move || {
            // One by one, and then many at once: far more than are answered each.
            (0..PINGS).for_each(|n| writer.write_all(&Frame::new(PING, n.to_string()).bytes()).unwrap());
            let burst = (PINGS..2 * PINGS).flat_map(|n| Frame::new(PING, n.to_string()).bytes());
            writer.write_all(&burst.collect::<Vec<u8>>()).unwrap();
        });
        let (mut pong_count, mut last) = (0, None);
        while last != Some(2 * PINGS - 1) {
            let frame = peer.frame();
            assert_eq!(frame.opcode, PONG);
            let number: u64 = String::from_utf8(frame.payload).unwrap().parse().unwrap();
            assert!(last < Some(number), "{number} after {last:?}");
            (last, pong_count) = (Some(number), pong_count + 1);
        }
        sender.join().unwrap();
        let unanswered = server.metric("throng_pings_unanswered_total") - before;
        assert_eq!(pong_count + unanswered, 2 * PINGS, "every ping is answered or counted");
        assert!(unanswered > PINGS / 2, "{unanswered}");
    }
}

#[test]
fn a_polite_number_of_pings_is_answered_one_by_one() {
    let server = Server::start(&["--echo", "/echo"]);
    let mut peer = Peer::open(server.address, "/echo");
    let pings: Vec<u8> = (0..32).flat_map(|n: u8| Frame::new(PING, [n]).bytes()).collect();
    peer.send_bytes(&pings);
    for n in 0..32 {
        assert_eq!(peer.frame(), Frame::new(PONG, [n]));
    }
    assert_eq!(server.metric("throng_pings_unanswered_total"), 0);
}

#[test]
fn fragments_without_end_are_cut_off() {
    let server = Server::start(&["--echo", "/echo"]);
    for (path, payload) in [("/echo", &b""[..]), ("/echo", b"x"), (PATH, b"")] {
        let mut peer = Peer::open(server.address, path);
        peer.send_part(BINARY, payload, false);
        let part = Frame { fin: false, ..Frame::new(CONTINUATION, payload) }.bytes();
        for _ in 0..2000 {
            // The server may have closed by then.
            if peer.stream.write_all(&part).is_err() {
                break;
            }
        }
        peer.expect_close(1008);
    }
    assert_eq!(server.metric("throng_violations_total"), 3);
    // Many that carry something are one message.
    let mut peer = Peer::open(server.address, "/echo");
    peer.send_part(BINARY, [7; 20], false);
    let parts: Vec<u8> = Frame { fin: false, ..Frame::new(CONTINUATION, [7; 20]) }.bytes().repeat(3000);
    peer.send_bytes(&parts);
    peer.send_part(CONTINUATION, "", true);
    assert_eq!(peer.message(), (BINARY, vec![7; 3001 * 20]));
}

#[test]
fn a_message_that_does_not_end_in_time_ends_the_connection() {
    let flags =
        ["--echo", "/echo", "--message-ms", "2500", "--ping-interval-ms", "1000", "--pong-timeout-ms", "900"];
    let server = Server::start(&flags);
    // Each sends a byte now and then, which passes for a sign of life: no heartbeat is missed.
    let frame = Frame::new(BINARY, vec![b'x'; 1000]).bytes();
    let part = Frame { fin: false, ..Frame::new(BINARY, "x") }.bytes();
    let more = Frame { fin: false, ..Frame::new(CONTINUATION, "x") }.bytes();
    thread::scope(|scope| {
        for (path, start, drop) in [
            ("/echo", &frame[..20], &b"x"[..]),
            ("/echo", &part, &more),
            ("/echo", &frame[..3], b""),
            (PATH, &frame[..20], b"x"),
        ] {
            let address = server.address;
            scope.spawn(move || {
                let mut peer =
                    if path == PATH { Client::open(address).peer } else { Peer::open(address, path) };
                let began = Instant::now();
                peer.send_bytes(start);
                let mut writer = peer.stream.try_clone().unwrap();
                let drop = drop.to_vec();
                let trickle = thread::spawn(move || {
                    while writer.write_all(&drop).is_ok() && began.elapsed() < Duration::from_secs(9) {
                        thread::sleep(Duration::from_millis(30));
                    }
                });
                let code = loop {
                    let frame = peer.frame();
                    match frame.opcode {
                        CLOSE => break frame.close_code(),
                        _ => assert!(matches!(frame.opcode, PING | TEXT), "{frame:?}"),
                    }
                };
                // Deadlines have a granularity of 128 ms. The third client sends nothing more: the heartbeat closes
                // it first.
                assert_eq!(code, Some(if start.len() == 3 { 3012 } else { 1008 }));
                assert!(start.len() == 3 || began.elapsed() >= Duration::from_millis(2300));
                peer.expect_end();
                drop_quietly(&peer);
                trickle.join().unwrap();
            });
        }
    });
    assert_eq!(server.metric("throng_message_timeouts_total"), 3);
    assert_eq!(server.metric("throng_heartbeats_missed_total"), 1);
    server.await_metric("throng_connections", 0);
    server.await_metric("throng_outbox_bytes", 0);
}

/// Shuts down the socket that a clone would keep open.
fn drop_quietly(peer: &Peer) {
    peer.stream.shutdown(std::net::Shutdown::Both).ok();
}

#[test]
fn messages_that_come_in_pieces_but_come_have_all_the_time_that_they_need() {
    let server = Server::start(&["--echo", "/echo", "--message-ms", "1000"]);
    let mut peer = Peer::open(server.address, "/echo");
    // Every read ends in the middle of a message, for three times as long as one may take.
    let began = Instant::now();
    let frame = Frame::new(BINARY, vec![9; 500]).bytes();
    let mut count = 0;
    peer.send_bytes(&frame[..250]);
    while began.elapsed() < Duration::from_secs(3) {
        let piece = [&frame[250..], &frame[..250]].concat();
        peer.send_bytes(&piece);
        assert_eq!(peer.message(), (BINARY, vec![9; 500]));
        count += 1;
        thread::sleep(Duration::from_millis(20));
    }
    assert!(count > 10);
    assert_eq!(server.metric("throng_message_timeouts_total"), 0);
}

#[test]
fn a_length_that_is_only_claimed_costs_next_to_nothing() {
    let flags =
        ["--echo", "/echo", "--shards", "1", "--message-bytes-max", "1MiB", "--queued-bytes-max", "2MiB"];
    let server = Server::start(&flags);
    // A hundred claimed lengths of 1 MiB each would be fifty times the limit of the process.
    let mut claim = vec![0x82, 0xff];
    claim.extend((1u64 << 20).to_be_bytes());
    claim.extend([0; 4]);
    let mut claimants: Vec<Peer> = (0..100).map(|_| Peer::open(server.address, "/echo")).collect();
    for peer in &mut claimants {
        peer.send_bytes(&claim);
    }
    let mut client = Client::open(server.address);
    client.sync();
    let mut honest = Peer::open(server.address, "/echo");
    let frame = Frame::new(BINARY, vec![1; 100_000]).bytes();
    honest.send_bytes(&frame[..50_000]);
    client.sync();
    honest.send_bytes(&frame[50_000..]);
    assert_eq!(honest.message().1.len(), 100_000);
    assert_eq!(server.metric("throng_budget_closes_total"), 0);
}

#[test]
fn a_client_that_floods_does_not_starve_its_neighbours() {
    let server = Server::start(&["--echo", "/echo", "--shards", "1"]);
    let mut neighbour = Client::subscribed(server.address, &["quiet"]);
    let flooder = Peer::open(server.address, "/echo");
    let mut writer = flooder.stream.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let flood = Frame::new(BINARY, "x").bytes().repeat(10_000);
    // It never reads: its output must not grow without bound, and the server stops reading from it.
    let sender = thread::spawn(move || (0..1000).take_while(|_| writer.write_all(&flood).is_ok()).count());
    for n in 0..200 {
        neighbour.publish("quiet", json!(n)).unwrap();
        assert_eq!(neighbour.publication().1, json!(n));
    }
    assert!(server.metric("throng_outbox_bytes") <= 4 << 20);
    drop_quietly(&flooder);
    let sent = sender.join().unwrap();
    assert!(sent < 1000, "70 MB were taken from one that reads nothing");
    neighbour.sync();
}
