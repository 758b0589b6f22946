//! RFC 6455 over the echo endpoint: returned messages, and ends of connections.

use std::time::Duration;

use crate::support::peer::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use crate::support::{Frame, Peer, Server};

fn echo() -> (Server, Peer) {
    let server = Server::start(&["--echo", "/echo"]);
    let peer = Peer::open(server.address, "/echo");
    (server, peer)
}

#[test]
fn messages_come_back_as_they_were() {
    let (_server, mut peer) = echo();
    for length in [0, 1, 125, 126, 127, 1000, 65_535, 65_536] {
        peer.send(BINARY, vec![0xa5; length]);
        assert_eq!(peer.message(), (BINARY, vec![0xa5; length]));
    }
    peer.send(TEXT, "Grüße, 世界 🌍");
    assert_eq!(peer.message(), (TEXT, "Grüße, 世界 🌍".into()));
}

#[test]
fn many_messages_in_one_write_come_back_in_order() {
    let (_server, mut peer) = echo();
    let bytes: Vec<u8> = (0..500).flat_map(|n: u32| Frame::new(TEXT, n.to_string()).bytes()).collect();
    peer.send_bytes(&bytes);
    for n in 0..500 {
        assert_eq!(peer.message(), (TEXT, n.to_string().into_bytes()));
    }
}

/// Large messages are returned from the input buffer, others by a copy: their order must not change, for any order of
/// sizes.
#[test]
fn large_and_small_messages_in_one_write_come_back_in_order() {
    let (_server, mut peer) = echo();
    let lengths = [3000, 20, 5000, 2048, 0, 2047, 20_000];
    for turned in 0..lengths.len() {
        let mut lengths = lengths;
        lengths.rotate_left(turned);
        let message = |length: usize| vec![u8::try_from(length % 251).unwrap(); length];
        let bytes: Vec<u8> =
            lengths.iter().flat_map(|&length| Frame::new(BINARY, message(length)).bytes()).collect();
        peer.send_bytes(&bytes);
        for length in lengths {
            assert_eq!(peer.message(), (BINARY, message(length)));
        }
    }
}

#[test]
fn bytes_may_arrive_one_by_one() {
    let (_server, mut peer) = echo();
    for byte in Frame::new(TEXT, "é in pieces").bytes() {
        peer.send_bytes(&[byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(peer.message(), (TEXT, "é in pieces".into()));
}

#[test]
fn fragments_become_one_message_and_control_frames_pass_between() {
    let (_server, mut peer) = echo();
    peer.send_part(TEXT, [b'a', 0xc3], false); // half of an é
    peer.send(PING, "now");
    assert_eq!(peer.frame(), Frame::new(PONG, "now"));
    peer.send_part(CONTINUATION, [0xa9], false);
    peer.send(PONG, "unasked");
    peer.send_part(CONTINUATION, "", true);
    assert_eq!(peer.message(), (TEXT, "aé".into()));
    peer.send(PING, "");
    assert_eq!(peer.frame(), Frame::new(PONG, ""));
}

#[test]
fn a_close_is_answered_with_its_code_and_nothing_after_it_counts() {
    let server = Server::start(&["--echo", "/echo"]);
    for code in [1000, 1001, 1011, 3000, 4999] {
        let mut peer = Peer::open(server.address, "/echo");
        let after = Frame::new(TEXT, "too late").bytes();
        peer.send_bytes(&[Frame::new(CLOSE, u16::to_be_bytes(code)).bytes(), after].concat());
        peer.expect_close(code);
    }
    let mut peer = Peer::open(server.address, "/echo");
    peer.send(CLOSE, "");
    assert_eq!(peer.frame().close_code(), None);
    peer.expect_end();
    server.await_metric("throng_connections", 0);
    assert_eq!(server.metric("throng_violations_total"), 0);
}

#[test]
fn what_was_sent_before_a_close_is_still_answered() {
    let (_server, mut peer) = echo();
    let last = vec![b'x'; 60_000];
    let close = Frame::new(CLOSE, 1000u16.to_be_bytes());
    peer.send_bytes(&[Frame::new(BINARY, last.clone()).bytes(), close.bytes()].concat());
    assert_eq!(peer.message(), (BINARY, last));
    peer.expect_close(1000);
}

#[test]
fn each_broken_rule_has_its_close_code() {
    let limits = ["--message-bytes-max", "1000", "--frame-bytes-max", "600"];
    let server = Server::start(&[&["--echo", "/echo"][..], &limits].concat());
    let part = |opcode, payload: Vec<u8>| Frame { fin: false, ..Frame::new(opcode, payload) }.bytes();
    let whole = |opcode, payload: &[u8]| Frame::new(opcode, payload).bytes();
    let rules = [
        (vec![0x81, 0x01, b'a'], 1002),       // unmasked
        (vec![0xc1, 0x80, 0, 0, 0, 0], 1002), // a reserved bit
        (whole(3, b""), 1002),                // a reserved opcode
        (part(PING, vec![]), 1002),
        (whole(PING, &[0; 126]), 1002),
        (whole(CONTINUATION, b"x"), 1002),
        ([part(TEXT, vec![]), whole(TEXT, b"x")].concat(), 1002),
        (whole(CLOSE, b"x"), 1002),
        (whole(CLOSE, &1005u16.to_be_bytes()), 1002),
        (whole(TEXT, &[0xff]), 1007),
        (whole(CLOSE, b"\x03\xe8\xff"), 1007),
        (whole(BINARY, &[0; 601]), 1009),
        ([part(BINARY, vec![0; 600]), whole(CONTINUATION, &[0; 401])].concat(), 1009),
    ];
    for (bytes, code) in &rules {
        let mut peer = Peer::open(server.address, "/echo");
        peer.send_bytes(bytes);
        peer.expect_close(*code);
    }
    server.await_metric("throng_connections", 0);
    assert_eq!(server.metric("throng_violations_total"), rules.len() as u64);
}

#[test]
fn bad_text_is_refused_inside_a_frame_that_is_still_arriving() {
    let (_server, mut peer) = echo();
    let whole = Frame::new(TEXT, b"good \xff and much more that never comes".to_vec()).bytes();
    peer.send_bytes(&whole[..6 + 6]);
    peer.expect_close(1007);
}

#[test]
fn a_large_echo_waits_for_a_client_that_does_not_read() {
    // Far more than the kernel's buffers hold, so that reading must pause until the client takes its answers.
    let server = Server::start(&["--echo", "/echo", "--outbox-bytes-max", "256KiB"]);
    let mut peer = Peer::open(server.address, "/echo");
    let (count, length) = (600u32, 60_000);
    let message = move |n: u32| vec![n.to_le_bytes()[0]; length];
    let mut writer = peer.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        for n in 0..count {
            let frame = Frame::new(BINARY, message(n)).bytes();
            std::io::Write::write_all(&mut writer, &frame).unwrap();
        }
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(server.metric("throng_outbox_bytes") <= (256 << 10) * 2, "the server does not hoard");
    for n in 0..count {
        assert_eq!(peer.message(), (BINARY, message(n)), "message {n}");
    }
    sending.join().unwrap();
    assert_eq!(server.metric("throng_slow_consumers_total"), 0);
    server.await_metric("throng_outbox_bytes", 0);
}
